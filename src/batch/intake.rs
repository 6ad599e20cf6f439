//! One request after another, from all inputs, no faster than they are asked for. With a journal
//! another thread reads: whoever waits for a request that another process works on must not have to
//! wait for the input as well.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::error::Error;
use crate::input::source::Input;

/// The text of a request, or why it can't be one.
pub(super) struct Item {
    pub(super) text: Result<String, Error>,
    /// Another one is known to follow. False says nothing: the input may just not have come so far.
    pub(super) is_followed: bool,
}

pub(super) enum Intake {
    Inputs(VecDeque<Input>),
    /// The thread reads one request ahead, and waits until it is taken.
    Thread(Receiver<Item>),
}

/// What comes next.
pub(super) enum Next<T> {
    Request(T),
    /// Nothing so far.
    NotYet,
    End,
}

impl Intake {
    pub(super) fn of(inputs: Vec<Input>) -> Self {
        Self::Inputs(inputs.into())
    }

    /// Not a thread of a scope: nobody waits for it when nothing more can be written.
    pub(super) fn in_thread(inputs: Vec<Input>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(0);
        let mut inputs = inputs.into();
        thread::Builder::new().spawn(move || {
            while let Some(item) = next(&mut inputs) {
                if sender.send(item).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self::Thread(receiver))
    }

    /// Waits for it, but no longer than that where another thread reads.
    pub(super) fn next(&mut self, most: Option<Duration>) -> Next<Item> {
        let received = match (self, most) {
            (Self::Inputs(inputs), _) => next(inputs).ok_or(RecvTimeoutError::Disconnected),
            (Self::Thread(receiver), Some(most)) => receiver.recv_timeout(most),
            (Self::Thread(receiver), None) => receiver.recv().map_err(Into::into),
        };
        match received {
            Ok(item) => Next::Request(item),
            Err(RecvTimeoutError::Timeout) => Next::NotYet,
            Err(RecvTimeoutError::Disconnected) => Next::End,
        }
    }
}

fn next(inputs: &mut VecDeque<Input>) -> Option<Item> {
    loop {
        if let Some(text) = inputs.front_mut()?.next() {
            let is_followed = inputs.iter_mut().any(Input::is_followed);
            return Some(Item { text, is_followed });
        }
        inputs.pop_front();
    }
}
