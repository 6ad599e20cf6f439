//! Watching a run that was started: one poll after another of its history, until it ends or the
//! deadline comes. Polling starts nothing, so it may be repeated; but a free account has 500 calls
//! in all, so the pauses grow.

use std::mem;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::start::{is_json, unknown};
use super::{Attempt, Note, Runner, TAIL, pace};
use crate::coze::call::{Call, RunRef};
use crate::coze::code::About;
use crate::coze::history::{self, Poll, Record, TrimmedNode};
use crate::coze::transcript::{NodeMessage, TEXT_LIMIT};
use crate::error::{Error, Hint, Kind};
use crate::http::{Body, Cause, Failure, Reach};
use crate::proof::{Evidence, Reply};
use crate::response::Outcome;
use crate::service;

/// Polls in a row that may bring nothing before the run is given up.
const UNCLEAR_LIMIT: u32 = 10;

/// Polls in a row without a status after which a run is taken to wait.
const WAITING_LIMIT: u32 = 2;

/// Polls at which the interrupt that was just answered may still be shown.
const RESUMED_LIMIT: u32 = 10;

/// Why a run is watched.
#[derive(Debug)]
pub(super) enum Reason {
    /// The request asks for it.
    Request,
    /// An earlier process started it.
    Earlier,
    /// It was started, or answered, in the background.
    Background,
    /// The stream did not tell its end, or not for sure, or not all of its text.
    Broke(Error),
}

/// What is to be done after a poll.
enum AfterPoll {
    Finish(Outcome),
    /// The request ends with this error.
    Fail(Error),
    /// What was to start it never arrived: it may be sent again.
    NotArrived(Error),
    /// Why, and what its `Retry-After` says.
    Again(String, Option<String>),
}

/// What the polls so far have brought.
#[derive(Default)]
struct Polls {
    /// That brought nothing since the run was last seen running, or asking.
    unclear: u32,
    /// Some said something else than that there is no such run.
    has_other: bool,
    /// In a row, that say that the run waits, and not for what.
    waiting: u32,
    /// That show the interrupt which was just answered.
    resumed: u32,
}

/// A run that is older may have been forgotten, in seconds.
const DAY: u64 = 24 * 60 * 60;

/// A clock that shows an earlier time than 2025 was never set.
const PLAUSIBLE: Range<u64> = 1_735_689_600..u64::MAX;

/// Whether a run that was first sent then can't have been forgotten by now.
fn is_recent(at: Option<u64>, now: u64) -> bool {
    let is_set = |at: &u64| PLAUSIBLE.contains(at) && PLAUSIBLE.contains(&now);
    at.filter(is_set).is_some_and(|at| now.abs_diff(at) < DAY)
}

impl Attempt<'_> {
    /// An error is one of a start that never arrived, for sure: it may be sent again.
    pub(super) fn watch(&mut self, run: &RunRef, reason: &Reason) -> Result<Outcome, Error> {
        let most = self.runner.rules.poll_interval;
        let mut pauses = pace::poll_pauses(most);
        let mut pause = || pauses.next().unwrap_or(most);
        match reason {
            Reason::Broke(why) => self.observer.note(&Note::FallingBack { why: &why.message }),
            Reason::Background => self.sleep(pause(), "just started"),
            Reason::Request | Reason::Earlier => {}
        }
        let mut polls = Polls::default();
        // What the last poll brought, for the sentence at the end.
        let mut last = String::new();
        loop {
            if self.deadline.is_over(self.runner.clock) {
                let message = format!("the deadline came before the run's end{last}");
                return Ok(Outcome::Error(self.unfinished(reason, &message)));
            }
            let (why, retry_after) = match self.poll_once(run, reason, &mut polls) {
                AfterPoll::Finish(outcome) => return Ok(outcome),
                AfterPoll::Fail(error) => return Ok(Outcome::Error(error)),
                AfterPoll::NotArrived(error) => return Err(error),
                AfterPoll::Again(why, retry_after) => (why, retry_after),
            };
            if self.runner.rules.no_wait {
                let message = format!("polled once: {why}");
                return Ok(Outcome::Error(self.unfinished(reason, &message)));
            }
            last = format!("; at the last poll: {why}");
            let unix = self.runner.clock.unix();
            let asked = retry_after.and_then(|value| pace::retry_after(&value, unix));
            self.sleep(pause().max(asked.unwrap_or_default()), &why);
        }
    }

    fn poll_once(&mut self, run: &RunRef, reason: &Reason, polls: &mut Polls) -> AfterPoll {
        let (poll, retry_after) = match self.poll(run) {
            Ok(polled) => polled,
            Err(failure) if failure.cause == Cause::TooLarge => {
                return AfterPoll::Fail(unknown(Error::unknown(failure.detail)));
            }
            Err(failure) if failure.cause == Cause::Deadline || !failure.is_transient() => {
                return AfterPoll::Fail(self.unfinished(reason, &failure.detail));
            }
            Err(failure) => return AfterPoll::Again(failure.detail, None),
        };
        if !matches!(poll, Poll::Waiting(_)) {
            polls.waiting = 0;
        }
        if let Poll::Running(_) | Poll::Interrupted(..) = poll {
            polls.unclear = 0;
        }
        polls.has_other |= !matches!(poll, Poll::Absent(_));
        if let Poll::Success(_) | Poll::Failed(..) | Poll::Running(_) = poll {
            self.progress.unconfirmed = None;
        }
        match poll {
            Poll::Success(record) => AfterPoll::Finish(self.succeeded(run, record)),
            Poll::Failed(record, said) => {
                self.take_record(record);
                AfterPoll::Fail(self.coze_error(Kind::Failed, About::Poll, said))
            }
            Poll::Interrupted(record, interrupt) => {
                polls.resumed += 1;
                if self.is_resumed(&interrupt) && polls.resumed <= RESUMED_LIMIT {
                    return AfterPoll::Again("the answer is not seen yet".to_owned(), None);
                }
                self.take_record(record);
                AfterPoll::Finish(Outcome::Interrupted(interrupt))
            }
            Poll::Running(record) => {
                self.take_record(record);
                AfterPoll::Again("running".to_owned(), None)
            }
            Poll::Waiting(record) => self.waiting(record, polls),
            Poll::Refused(mut said) => {
                // This process started the run, so its base URL and its key are right.
                if let Reason::Background | Reason::Broke(_) = reason {
                    said.hint = None;
                }
                let error = self.coze_error(Kind::Refused, About::Poll, said);
                AfterPoll::Fail(self.poll_refused(reason, error))
            }
            // A server without a history can't confirm what the stream proved, nor bring what it lacks.
            Poll::NoHistory if self.progress.heard.is_done && self.progress.heard.is_whole => {
                AfterPoll::Finish(Outcome::Success)
            }
            Poll::NoHistory => {
                let error = Error::new(Kind::Refused, "this server has no history of runs");
                AfterPoll::Fail(self.poll_refused(reason, error))
            }
            Poll::Absent(said) if self.never_arrived() => {
                AfterPoll::NotArrived(self.unfinished(reason, &said.message))
            }
            // To a request that only watches, a run that stays absent was never there.
            Poll::Absent(said)
                if matches!(reason, Reason::Request)
                    && polls.unclear + 1 == UNCLEAR_LIMIT
                    && !polls.has_other =>
            {
                AfterPoll::Fail(self.coze_error(Kind::Refused, About::Poll, said))
            }
            Poll::Absent(said) | Poll::Unclear(said) => {
                polls.unclear += 1;
                self.unclear(reason, said, retry_after, polls)
            }
        }
    }

    /// One poll, and its `Retry-After`. The answer may tell which service this is: then the run is
    /// looked for where that one has it.
    fn poll(&mut self, run: &RunRef) -> Result<(Poll, Option<String>), Failure> {
        loop {
            let service = self.service();
            let mut response = self.call(&service.poll(self.progress.workflow_id(), run))?;
            if self.service().word() != service.word() {
                continue;
            }
            let has_studio_log_id = service::is_studio_log_id(response.x_log_id());
            // A body that was cut is no JSON, so it can't be mistaken for a whole one.
            let (body, _) = read_up_to(response.body.as_mut(), TEXT_LIMIT)?;
            let mut poll = service.read_poll(run, response.status, has_studio_log_id, &body);
            if let Poll::Refused(said) = &mut poll
                && said.code.is_none()
            {
                let text = String::from_utf8_lossy(&body);
                let has_words = service.envelope(&text).msg.is_some();
                said.hint = service.hint_without_code(response.status, has_words);
            }
            return Ok((poll, response.retry_after));
        }
    }

    /// Whether a run that is not there was surely never started.
    fn never_arrived(&self) -> bool {
        let Some(own) = &self.progress.unconfirmed else {
            return false;
        };
        let Runner { shared, clock, .. } = self.runner;
        let absent = Evidence::of(Reply::Absent {
            keeps_ids: shared.keeps_ids.load(Ordering::Relaxed),
            is_recent: is_recent(own.at, clock.unix()),
        });
        self.judge(absent).may_be_sent_again()
    }

    fn unclear(
        &self,
        reason: &Reason,
        mut said: Error,
        retry_after: Option<String>,
        polls: &Polls,
    ) -> AfterPoll {
        if polls.unclear < UNCLEAR_LIMIT && !self.runner.rules.no_wait {
            return AfterPoll::Again(said.message.clone(), retry_after);
        }
        let message = match polls.unclear {
            1 => format!("polling failed: {}", said.message),
            times => format!("polling failed {times} times: {}", said.message),
        };
        let mut error = self.unfinished(reason, &message);
        error.code = said.code.take();
        AfterPoll::Fail(error)
    }

    /// Some services tell what a run asks to its stream only.
    fn waiting(&mut self, record: Record, polls: &mut Polls) -> AfterPoll {
        polls.waiting += 1;
        let resumed = self.progress.resumed.clone();
        let limit = resumed.as_ref().map_or(WAITING_LIMIT, |_| RESUMED_LIMIT);
        if polls.waiting < limit {
            return AfterPoll::Again("the run has no status yet".to_owned(), None);
        }
        self.take_record(record);
        if let Some(resumed) = resumed {
            return AfterPoll::Finish(Outcome::Interrupted(resumed));
        }
        let message = "the run waits for an answer, and what it asks was told to its stream only";
        AfterPoll::Fail(Error::new(Kind::Interrupted, message).hint(
            "look at its debug_url for the question",
            "请打开 debug_url 查看它提出的问题",
        ))
    }

    /// The run succeeded. Its service knows which text is its output.
    fn succeeded(&mut self, run: &RunRef, mut record: Record) -> Outcome {
        let is_whole = self.progress.heard.is_whole;
        let (service, heard) = (self.service(), &mut self.progress.heard);
        let output = service.output(heard, &mut record);
        let trimmed = mem::take(&mut record.trimmed);
        let kept = mem::take(&mut record.messages);
        self.take_record(record);
        let is_known = output.is_some();
        let heard = &mut self.progress.heard;
        heard.output = output.unwrap_or_else(|| mem::take(&mut heard.output));
        if is_known && !is_whole {
            heard.lost_events = 0;
        }
        if !trimmed.is_empty() {
            self.progress.heard.messages = self.fetch(run, &trimmed);
        } else if !(kept.is_empty() || is_whole && heard.lost_events == 0) {
            heard.messages = kept;
            heard.lost_events = 0;
        }
        if is_known {
            return Outcome::Success;
        }
        let message = "the run succeeded, but its whole text is not kept in its history";
        let hint = self.progress.debug_url.as_ref().map(|_| {
            Hint::new(
                "look at its debug_url; results are kept for 7 days",
                "请打开 debug_url 查看；运行结果只保留 7 天",
            )
        });
        Outcome::Error(Error::unknown(message).with_hint(hint))
    }

    /// Output nodes' texts that the history trimmed. One that can't be had is a lost event.
    fn fetch(&mut self, run: &RunRef, trimmed: &[TrimmedNode]) -> Vec<NodeMessage> {
        let mut messages = Vec::new();
        let mut held = self.progress.heard.output.len();
        for node in trimmed {
            let (workflow_id, uuid) = (self.progress.workflow_id(), &node.node_execute_uuid);
            let response = self.call(&Call::execute_node(workflow_id, run, uuid));
            let content = response.ok().and_then(|mut response| {
                let room = TEXT_LIMIT.saturating_sub(held);
                let (body, is_whole) = read_up_to(response.body.as_mut(), room).ok()?;
                history::node_output(response.status, &body).filter(|_| is_whole)
            });
            match content {
                Some(content) => {
                    held += content.len();
                    messages.push(NodeMessage {
                        node_title: node.node_title.clone(),
                        content,
                    });
                }
                None => self.progress.heard.lost_events += 1,
            }
        }
        messages
    }

    /// A request that only watches is refused with the poll; a run that was started goes on.
    fn poll_refused(&mut self, reason: &Reason, mut error: Error) -> Error {
        if matches!(reason, Reason::Request) {
            return error;
        }
        let message = format!("the run can't be watched: {}", error.message);
        let mut unfinished = self.unfinished(reason, &message);
        unfinished.code = error.code.take();
        unfinished.logid = error.logid.take();
        unfinished.with_hint(error.hint.take())
    }

    /// Polling ended before the run did; or, when Done was seen, before its text could be had.
    fn unfinished(&self, reason: &Reason, message: &str) -> Error {
        let message = match reason {
            Reason::Broke(why) => format!("{}; {message}", why.message),
            Reason::Request | Reason::Earlier | Reason::Background => message.to_owned(),
        };
        if self.progress.unconfirmed.is_some() {
            return unknown(Error::unknown(message));
        }
        let mut error = still_running(&message);
        if self.progress.heard.is_done {
            error.kind = Kind::Unknown;
        }
        error
    }

    fn take_record(&mut self, record: Record) {
        let progress = &mut self.progress;
        progress.debug_url = record.debug_url.or(progress.debug_url.take());
        progress.logid = record.logid.or(progress.logid.take());
        progress.usage = record.usage.or(progress.usage.take());
        progress.mode = record.mode.unwrap_or(progress.mode);
    }

    /// Waits, but not beyond the deadline.
    fn sleep(&self, pause: Duration, why: &str) {
        let clock = self.runner.clock;
        let left = self.deadline.left(clock);
        let pause = left.map_or(pause, |left| pause.min(left));
        self.observer.note(&Note::Polling { pause, why });
        clock.sleep(pause);
    }
}

pub(super) fn still_running(message: &str) -> Error {
    Error::new(Kind::Running, message).hint(
        "to watch it, send this response as a request",
        "把这行响应作为请求传回，即可继续等待",
    )
}

/// Reads a body to its end, and says whether that came. One above the limit is a failure. Where the
/// connection is left open after the whole, its end is waited for only a moment.
fn read_up_to(body: &mut dyn Body, limit: usize) -> Result<(Vec<u8>, bool), Failure> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        match body.read(&mut buffer) {
            Ok(0) => return Ok((bytes, true)),
            Ok(count) if bytes.len() + count <= limit => {
                bytes.extend_from_slice(&buffer[..count]);
                if count < buffer.len() && is_json(&bytes) {
                    body.hurry(TAIL);
                }
            }
            Ok(_) => {
                let detail = format!("the run's text is larger than {} MiB", TEXT_LIMIT >> 20);
                return Err(Failure::new(Reach::MaybeSent, Cause::TooLarge, detail));
            }
            Err(_) => return Ok((bytes, false)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_recent_only_by_two_clocks_that_were_set() {
        let now = 1_767_225_600;
        for (at, now, due) in [
            (Some(now), now, true),
            (Some(now - DAY + 1), now, true),
            (Some(now - DAY), now, false),
            (Some(now + DAY), now, false),
            (None, now, false),
            // Since the machine was switched on; before 1970.
            (Some(7), 8, false),
            (Some(0), 0, false),
            (Some(u64::MAX), u64::MAX, false),
            (None, 0, false),
        ] {
            assert_eq!(is_recent(at, now), due, "{at:?} {now}");
        }
    }
}
