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
    /// Counted from 0.
    pub(super) number: u64,
    /// No other one is known to follow: the input may just not have come so far.
    pub(super) is_last: bool,
}

impl Item {
    /// Whether there are others, as far as is known.
    pub(super) fn is_one_of_many(&self) -> bool {
        self.number > 0 || !self.is_last
    }
}

/// All inputs, one after another.
pub(super) struct Items {
    inputs: VecDeque<Input>,
    taken: u64,
}

impl Items {
    pub(super) fn of(inputs: Vec<Input>) -> Self {
        Self {
            inputs: inputs.into(),
            taken: 0,
        }
    }
}

impl Iterator for Items {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(text) = self.inputs.front_mut()?.next() {
                self.taken += 1;
                return Some(Item {
                    text,
                    number: self.taken - 1,
                    is_last: !self.inputs.iter_mut().any(Input::is_followed),
                });
            }
            self.inputs.pop_front();
        }
    }
}

/// What there is to be taken.
pub(super) enum Arrival {
    Item(Item),
    /// Nothing so far.
    NotYet,
    /// Nothing any more.
    End,
}

pub(super) enum Intake {
    Direct(Items),
    /// The thread reads one request ahead, and waits until it is taken.
    Thread(Receiver<Item>),
}

impl Intake {
    /// Not a thread of a scope: when nothing more can be written, a batch ends without it.
    pub(super) fn in_thread(mut items: Items) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(0);
        thread::Builder::new().spawn(move || items.all(|item| sender.send(item).is_ok()))?;
        Ok(Self::Thread(receiver))
    }

    /// Waits for the next one, but no longer than that where another thread reads.
    pub(super) fn take(&mut self, most: Option<Duration>) -> Arrival {
        let item = match (self, most) {
            (Self::Direct(items), _) => items.next(),
            (Self::Thread(receiver), None) => receiver.recv().ok(),
            (Self::Thread(receiver), Some(most)) => match receiver.recv_timeout(most) {
                Err(RecvTimeoutError::Timeout) => return Arrival::NotYet,
                item => item.ok(),
            },
        };
        item.map_or(Arrival::End, Arrival::Item)
    }
}
