//! Watching a run that was started: one look after another at its history, until it ends or the
//! deadline comes. Looking starts nothing, so it may be repeated; but a free account has 500 calls
//! in all, so the pauses grow.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Attempt, Note, pace, read_all};
use crate::coze::call::{Call, Mode};
use crate::coze::code;
use crate::coze::history::{self, Look, Record, Server, TrimmedNode};
use crate::coze::transcript::{NodeMessage, TEXT_LIMIT};
use crate::error::{Error, Hint, Kind};
use crate::http::{Cause, Failure};
use crate::response::Verdict;

/// Looks in a row that may bring nothing before they are given up.
const UNCLEAR_LIMIT: u32 = 10;

/// Looks at which the interrupt that was just answered may still be shown.
const STALE_LIMIT: u32 = 10;

/// Why a run is watched.
#[derive(Debug)]
pub(super) enum Reason {
    /// The request asks for it.
    Request,
    /// It was started, or answered, in the background.
    Background,
    /// The stream did not tell its end, or not all of its text.
    Lost(Error),
}

/// A look, or why there was none.
type Looked = Result<(Look, Option<String>), Failure>;

impl Attempt<'_> {
    pub(super) fn watch(&mut self, reason: &Reason) -> Verdict {
        let mut pauses = pace::LookPauses::new(self.runner.rules.poll_interval);
        if let Reason::Lost(why) = reason {
            self.observer.note(&Note::FallingBack { why: &why.message });
        }
        let (mut unclear, mut stale) = (0, 0);
        // What the last look brought, for the sentence at the end.
        let mut last = String::new();
        if matches!(reason, Reason::Background) {
            self.sleep(pauses.next(), "just started");
        }
        loop {
            if self.deadline_is_over() {
                let message = format!("the deadline came before the run's end{last}");
                return self.unfinished(reason, &message);
            }
            let mut asked_pause = None;
            let why = match self.look() {
                Ok((Look::Success(record), _)) => return self.succeeded(record),
                Ok((
                    Look::Failed {
                        record,
                        code,
                        message,
                    },
                    _,
                )) => {
                    self.take_record(record);
                    let trouble = self.coze_says(Kind::Failed, code, Some(message), None);
                    return Verdict::Error(trouble);
                }
                Ok((Look::Interrupted(record, interrupt), _)) => {
                    stale += 1;
                    let answered = self.known.answered.as_ref() == Some(&interrupt.event_id);
                    if !answered || stale > STALE_LIMIT {
                        let mode = record.mode.or(self.known.mode).unwrap_or(Mode::Stream);
                        self.take_record(record);
                        return Verdict::Interrupted(interrupt, mode);
                    }
                    "the answer is not seen yet".to_owned()
                }
                Ok((Look::Running(record), _)) => {
                    unclear = 0;
                    self.take_record(record);
                    "running".to_owned()
                }
                Ok((
                    Look::Refused {
                        code,
                        message,
                        logid,
                    },
                    _,
                )) => {
                    let trouble = self.coze_says(Kind::Refused, code, Some(message), logid);
                    return self.look_refused(reason, trouble);
                }
                Ok((Look::NotHere, _)) => {
                    let message = "this server has no history of runs";
                    return self.look_refused(reason, Error::new(Kind::Refused, message));
                }
                Ok((Look::Unclear { code, message }, retry_after)) => {
                    unclear += 1;
                    // To a request that only looks, a run that stays unknown was never there.
                    let absent =
                        code == Some(code::NO_SUCH_RUN) && matches!(reason, Reason::Request);
                    if absent && unclear >= UNCLEAR_LIMIT {
                        let trouble = self.coze_says(Kind::Refused, code, Some(message), None);
                        return Verdict::Error(trouble);
                    }
                    if unclear >= UNCLEAR_LIMIT || self.runner.rules.no_wait {
                        let message = format!("looking failed {unclear} times: {message}");
                        return self.unfinished_with(reason, &message, code);
                    }
                    asked_pause = retry_after;
                    message
                }
                Err(failure) if failure.cause == Cause::Deadline || !failure.is_transient() => {
                    return self.unfinished(reason, &failure.detail);
                }
                Err(failure) => failure.detail,
            };
            if self.runner.rules.no_wait {
                return self.unfinished(reason, &format!("looked once: {why}"));
            }
            last = format!("; at the last look: {why}");
            let unix = self.runner.clock.unix();
            let asked = asked_pause.and_then(|value| pace::retry_after(&value, unix));
            let pause = pauses.next().max(asked.unwrap_or_default());
            self.sleep(pause, &why);
        }
    }

    /// One look, at whichever history this server has.
    fn look(&mut self) -> Looked {
        let studio = &self.runner.shared.studio;
        if !studio.load(Ordering::Relaxed) {
            let (look, retry_after) = self.look_at(Server::Coze)?;
            if !matches!(look, Look::NotHere) {
                return Ok((look, retry_after));
            }
        }
        let looked = self.look_at(Server::Studio)?;
        if !matches!(looked.0, Look::Refused { .. } | Look::Unclear { .. }) {
            studio.store(true, Ordering::Relaxed);
        }
        Ok(looked)
    }

    fn look_at(&mut self, server: Server) -> Looked {
        let workflow_id = self.workflow_id.clone().unwrap_or_default();
        let execute_id = self.known.execute_id.clone().unwrap_or_default();
        let (workflow_id, execute_id) = (&*workflow_id, &*execute_id);
        let mut answer = self.call(match server {
            Server::Coze => Call::RunHistory {
                workflow_id,
                execute_id,
            },
            Server::Studio => Call::StudioRunHistory {
                workflow_id,
                execute_id,
            },
        })?;
        // A body that was cut is no JSON, so it can't be mistaken for a whole one.
        let body = read_all(answer.body.as_mut(), Vec::new(), TEXT_LIMIT).unwrap_or_else(|cut| cut);
        answer.body.finish();
        Ok((
            history::parse(server, execute_id, answer.status, &body),
            answer.retry_after,
        ))
    }

    /// The run succeeded. Its text is what the stream brought, if that was all; else the history's.
    fn succeeded(&mut self, mut record: Record) -> Verdict {
        let output = record.output.take();
        let trimmed = std::mem::take(&mut record.trimmed);
        let from_stream = self.known.output_is_whole;
        let stream_messages = std::mem::take(&mut self.known.messages);
        let messages = std::mem::take(&mut record.messages);
        self.take_record(record);
        if !trimmed.is_empty() {
            self.known.messages = self.fetch(&trimmed);
        } else if from_stream && self.known.lost_events == 0 || messages.is_empty() {
            self.known.messages = stream_messages;
        } else {
            self.known.messages = messages;
            self.known.lost_events = 0;
        }
        match output {
            _ if from_stream => Verdict::Success,
            Some(output) => {
                self.known.output = output;
                self.known.lost_events = 0;
                Verdict::Success
            }
            None => {
                let message = "the run succeeded, but its whole text is not kept in its history";
                Verdict::Error(Error::new(Kind::Unknown, message).hint(
                    "look at its debug_url; results are kept for 7 days",
                    "请打开 debug_url 查看；运行结果只保留 7 天",
                ))
            }
        }
    }

    /// Output nodes' texts that the history trimmed. One that can't be had is a lost event.
    fn fetch(&mut self, trimmed: &[TrimmedNode]) -> Vec<NodeMessage> {
        let workflow_id = self.workflow_id.clone().unwrap_or_default();
        let execute_id = self.known.execute_id.clone().unwrap_or_default();
        let mut messages = Vec::new();
        let mut held = self.known.output.len();
        for node in trimmed {
            let answer = self.call(Call::ExecuteNode {
                workflow_id: &workflow_id,
                execute_id: &execute_id,
                node_execute_uuid: &node.node_execute_uuid,
            });
            let content = answer.ok().and_then(|mut answer| {
                let room = TEXT_LIMIT.saturating_sub(held);
                let body = read_all(answer.body.as_mut(), Vec::new(), room).ok()?;
                answer.body.finish();
                history::node_output(answer.status, &body)
            });
            match content {
                Some(content) => {
                    held += content.len();
                    messages.push(NodeMessage {
                        node_title: node.node_title.clone(),
                        content,
                    });
                }
                None => self.known.lost_events += 1,
            }
        }
        messages
    }

    /// The look was refused. A request that only wanted to look is refused with it; a run that was
    /// started goes on all the same.
    fn look_refused(&mut self, reason: &Reason, trouble: Error) -> Verdict {
        if matches!(reason, Reason::Request) {
            return Verdict::Error(trouble);
        }
        let hint = match trouble.code {
            Some(code::NO_PERMISSION) => {
                let hint = Hint::new(
                    "grant the token the permission listRunHistory, then send this response as a \
                     request",
                    "请为令牌添加 listRunHistory 权限，再把这行响应作为请求传回",
                );
                Some(hint)
            }
            _ => trouble.hint.clone(),
        };
        let message = format!("the run can't be looked at: {}", trouble.message);
        let unfinished = self.unfinished(reason, &message);
        match unfinished {
            Verdict::Error(running) => Verdict::Error(Error {
                code: trouble.code,
                logid: trouble.logid,
                hint: hint.or(running.hint),
                ..running
            }),
            other => other,
        }
    }

    fn unfinished(&self, reason: &Reason, message: &str) -> Verdict {
        self.unfinished_with(reason, message, None)
    }

    /// Looking ended before the run did; or, when Done was seen, before its text could be had.
    fn unfinished_with(&self, reason: &Reason, message: &str, code: Option<i64>) -> Verdict {
        let message = match reason {
            Reason::Lost(why) => format!("{}; {message}", why.message),
            Reason::Request | Reason::Background => message.to_owned(),
        };
        let trouble = Self::still_running(&message);
        let kind = match self.known.done {
            true => Kind::Unknown,
            false => Kind::Running,
        };
        Verdict::Error(Error {
            kind,
            code,
            ..trouble
        })
    }

    fn take_record(&mut self, record: Record) {
        let known = &mut self.known;
        known.debug_url = record.debug_url.or(known.debug_url.take());
        known.logid = record.logid.or(known.logid.take());
        known.usage = record.usage.or(known.usage.take());
        known.mode = record.mode.or(known.mode);
    }

    /// Waits, but not beyond the deadline.
    fn sleep(&self, pause: Duration, why: &str) {
        let clock = self.runner.clock;
        let pause = self
            .deadline
            .left(clock)
            .map_or(pause, |left| pause.min(left));
        self.observer.note(&Note::Looking { pause, why });
        clock.sleep(pause);
    }
}
