//! Sending a POST, until it is certain that it started something or that it never will. What became
//! of it is for `proof` to say, and for `after` to act on; of a run that is watched, `never_arrived`.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::pace::Setback;
use super::watch::{self, Reason};
use super::{Attempt, OwnRun, TAIL, pace, stops_everything, unreachable};
use crate::coze::call::{Call, RunRef};
use crate::coze::code::About;
use crate::coze::event::Interrupt;
use crate::coze::fields;
use crate::error::{Error, Kind};
use crate::http::{Body, Failure, HttpResponse, Reach};
use crate::proof::{self, Evidence, Proof, Reply};
use crate::response::Outcome;
use crate::service::{self, Service};
use crate::sse::Frames;

/// The most that is read of an answer that is neither a stream nor a history. A refusal is short, but
/// whatever the answer is, it may name a run.
const DOCUMENT_LIMIT: usize = 8 << 20;

/// What is sent: a run, or the answer to an interrupt.
#[derive(Clone, Copy)]
pub(super) struct Post<'a> {
    pub(super) about: About,
    body: &'a str,
    /// What its run will be known by, where a start can say so.
    run: Option<&'a RunRef>,
}

/// What comes after one POST.
pub(super) enum AfterPost {
    Finish(Outcome),
    /// Nothing was started, for sure: it may be sent again.
    Again(Setback),
    /// Nothing was started, for there is no such path: the same may be sent to another one.
    OtherPath,
    Watch(RunRef, Reason),
}

impl Attempt<'_> {
    /// Sends a POST until it is certain that it started something, or that it never will.
    pub(super) fn start(&mut self, about: About, body: &str) -> Outcome {
        self.try_to_start(about, body).unwrap_or_else(|mut error| {
            if error.kind != Kind::Unknown && self.may_have_arrived() {
                // What keeps it from being sent again says nothing of what was sent before.
                error.message = format!("the run may have been started; then: {}", error.message);
                error.hint = None;
                error = unknown(error);
            }
            Outcome::Error(error)
        })
    }

    /// An error is what keeps it from being sent, or sent again.
    fn try_to_start(&mut self, about: About, body: &str) -> Result<Outcome, Error> {
        let mut retries = pace::Retries::new(self.runner.rules.retries);
        let earlier = self.observer.earlier();
        // What may have been sent is looked for, whatever keeps others from being sent.
        if earlier.is_none() {
            self.wait_at_gate(&mut retries)?;
        }
        let own = self.name_run(earlier);
        let post = Post {
            about,
            body,
            run: own.as_ref(),
        };
        // It is looked for before it is sent again.
        let mut sent = self.watchable_run().filter(|_| self.may_have_arrived());
        loop {
            let after = if let Some(run) = sent.take() {
                let why = "an earlier process may have started the run";
                AfterPost::Watch(run, Reason::Broke(Error::unknown(why)))
            } else {
                self.observer.may_send()?;
                self.observer.starting()?;
                self.post(post)
            };
            let setback = match after {
                AfterPost::Finish(outcome) => return Ok(outcome),
                AfterPost::Watch(_, Reason::Background) if self.runner.rules.no_wait => {
                    let message = "the run was started in the background";
                    return Ok(Outcome::Error(watch::still_running(message)));
                }
                AfterPost::Watch(run, reason) => match self.watch(&run, &reason) {
                    Ok(outcome) => return Ok(outcome),
                    Err(error) => error.into(),
                },
                AfterPost::OtherPath => continue,
                AfterPost::Again(setback) => setback,
            };
            if setback.is_rate && !self.may_have_arrived() {
                self.observer.rate_refused(&setback.error);
            }
            self.pause_or_give_up(&mut retries, setback)?;
        }
    }

    /// The id that a start carries, where one may: reported and remembered before it is sent. What an
    /// earlier process may have sent keeps its own, so that it can't be started twice.
    fn name_run(&mut self, earlier: Option<OwnRun>) -> Option<RunRef> {
        if !self.service().takes_run_ids() {
            return None;
        }
        let (clock, progress) = (self.runner.clock, &mut self.progress);
        let own = earlier.unwrap_or_else(|| {
            let id = format!("{:016x}{:016x}", clock.random(), clock.random());
            OwnRun {
                run: RunRef::new(id, progress.mode).expect("128 bits of chance are not all zero"),
                at: Some(clock.unix()),
                may_have_arrived: false,
            }
        });
        let run = own.run.clone();
        if !own.may_have_arrived {
            self.observer.started(&run);
        }
        progress.mode = run.mode();
        progress.run = Some(run.clone());
        progress.unconfirmed = Some(own);
        Some(run)
    }

    fn may_have_arrived(&self) -> bool {
        let own = self.progress.unconfirmed.as_ref();
        own.is_some_and(|own| own.may_have_arrived)
    }

    /// What the reply proves, with what was sent before it.
    pub(super) fn judge(&self, evidence: Evidence) -> Proof {
        proof::judge(Evidence {
            may_have_arrived: self.may_have_arrived(),
            ..evidence
        })
    }

    /// What a reply in so many words proves; the run that they name is known from now on.
    fn judge_words(&mut self, reply: Reply, words: &str) -> Proof {
        let service = self.service();
        let execute_id = named_run(service, words);
        // A reply that repeats an id of ours names the run as well.
        let own = self.progress.unconfirmed.as_ref();
        let names_own = own.is_some_and(|own| words.contains(own.run.execute_id()));
        let proof = self.judge(Evidence {
            names_run: execute_id.is_some() || names_own,
            mentions_run: service.mentions_run(words),
            ..Evidence::of(reply)
        });
        if let Some(execute_id) = execute_id {
            self.learn_execute_id(&execute_id);
        }
        proof
    }

    /// The call for this POST, by the service as it is known now: it may change between tries.
    fn call_for<'a>(&self, post: Post<'a>) -> Call<'a> {
        let (service, mode) = (self.service(), self.progress.mode);
        match post.about {
            About::Start => service.start(mode, post.body).naming(post.run),
            About::Resume => service.resume(mode, post.body),
            other => unreachable!("no POST of a run is about {other:?}"),
        }
    }

    fn post(&mut self, post: Post<'_>) -> AfterPost {
        let call = self.call_for(post);
        let mut response = match self.call(&call) {
            Ok(response) => response,
            Err(failure) => return self.not_answered(&failure),
        };
        match read_first(response.body.as_mut()) {
            Err(failure) => self.stream_broke(&failure.detail),
            Ok(first) if is_stream(&response, &first) => self.stream(post, response, first),
            Ok(first) => {
                let document = Document::read(response.body.as_mut(), first);
                let is_elsewhere = self.call_for(post).path != call.path;
                self.document(post, response, &document, is_elsewhere)
            }
        }
    }

    /// No answer came, or not to the whole request: what that proves depends on whether it left.
    fn not_answered(&mut self, failure: &Failure) -> AfterPost {
        let reply = Reply::Nothing {
            may_have_left: failure.reach == Reach::MaybeSent,
            may_pass: failure.is_transient() && !self.deadline.is_over(self.runner.clock),
        };
        let proof = self.judge_words(reply, &failure.said);
        let error = match proof {
            Proof::NotSent { .. } => unreachable(failure),
            _ => Error::unknown(&failure.detail),
        };
        self.after(proof, error, None)
    }

    /// An answer that is no stream. `is_elsewhere`: the server, as it is known now, has another path
    /// for this.
    fn document(
        &mut self,
        post: Post<'_>,
        response: HttpResponse,
        document: &Document,
        is_elsewhere: bool,
    ) -> AfterPost {
        let service = self.service();
        let envelope = service.envelope(&document.text);
        let (code, status) = (envelope.code(), response.status);
        let has_studio_log_id = service::is_studio_log_id(response.x_log_id());
        let reply = Reply::Document {
            has_code: code.is_some(),
            status,
            meaning: service.meaning(code, status, has_studio_log_id),
            is_whole: document.is_whole,
            has_proved_end: document.has_ended && response.is_framed && document.is_text,
            has_debug_url: envelope.debug_url().is_some(),
            is_of_missing_path: is_elsewhere && service.has_no_such_path(code, status),
        };
        let proof = self.judge_words(reply, &document.text);
        let progress = &mut self.progress;
        progress.debug_url = envelope.debug_url().or(progress.debug_url.take());
        // The interrupt that was just answered is no question any more.
        let asked = envelope.interrupt().filter(|asked| !self.is_resumed(asked));
        if let (Proof::Started, Some(interrupt)) = (proof, asked) {
            return AfterPost::Finish(Outcome::Interrupted(interrupt));
        }
        let has_words = envelope.msg.is_some();
        let said = envelope.said(|| http_message(status));
        let progress = &mut self.progress;
        progress.logid = progress.logid.take().or(said.logid.clone());
        let mut error = self.coze_error(Kind::Unknown, post.about, said);
        if proof == Proof::Refused && code.is_none() && status >= 400 {
            error = error.with_hint(self.service().hint_without_code(status, has_words));
        }
        self.stop_others(proof, status, &error);
        self.after(proof, error, response.retry_after)
    }

    pub(super) fn is_resumed(&self, interrupt: &Interrupt) -> bool {
        let resumed = self.progress.resumed.as_ref();
        resumed.is_some_and(|resumed| resumed.event_id == interrupt.event_id)
    }

    /// What is to be done after a POST of which this is proved. The one other place that permits to
    /// send again is `never_arrived`, of a watch.
    pub(super) fn after(
        &mut self,
        proof: Proof,
        mut error: Error,
        retry_after: Option<String>,
    ) -> AfterPost {
        let kind = match proof {
            Proof::NotSent { .. } | Proof::RateLimited => Kind::Unreachable,
            Proof::NoSuchPath => return AfterPost::OtherPath,
            Proof::Refused => Kind::Refused,
            Proof::Failed => Kind::Failed,
            Proof::Started | Proof::Unknown => return self.watch_or_unknown(proof, error),
        };
        error.kind = kind;
        if proof.may_be_sent_again() {
            return AfterPost::Again(Setback {
                error,
                is_rate: proof == Proof::RateLimited,
                retry_after,
            });
        }
        AfterPost::Finish(Outcome::Error(error))
    }

    /// Sends no further run when each would be refused as this one was.
    pub(super) fn stop_others(&self, proof: Proof, status: u16, error: &Error) {
        // Unknown is refused as well, where an earlier try may have arrived.
        let is_refused = matches!(proof, Proof::Refused | Proof::Unknown);
        if is_refused && stops_everything(error, status) {
            let why = "not sent, because an earlier request was refused";
            self.runner.shared.stop(Kind::Refused, why, error);
        }
    }

    /// With an id the run can be watched; without one nobody can tell what became of it.
    fn watch_or_unknown(&mut self, proof: Proof, mut error: Error) -> AfterPost {
        error.kind = Kind::Unknown;
        if let Some(own) = &mut self.progress.unconfirmed {
            own.may_have_arrived = true;
        }
        match self.watchable_run() {
            Some(run) if proof == Proof::Started => AfterPost::Watch(run, Reason::Background),
            Some(run) => AfterPost::Watch(run, Reason::Broke(error)),
            None => AfterPost::Finish(Outcome::Error(unknown(error))),
        }
    }

    /// Something may have been started, and its end did not come.
    pub(super) fn stream_broke(&mut self, why: &str) -> AfterPost {
        let proof = self.judge(Evidence::of(Reply::Broken));
        self.after(proof, Error::unknown(why), None)
    }
}

/// The run that an answer names: a JSON object, a stream, or what there is of either. A body that was
/// cut, or is no good JSON, may name it all the same.
fn named_run(service: &dyn Service, words: &str) -> Option<String> {
    let mut named = service.envelope(words).execute_id();
    let mut frames = Frames::new(words.as_bytes());
    while let (None, Ok(Some(frame))) = (&named, frames.next()) {
        named = service.events()(&frame).and_then(|event| event.execute_id);
    }
    named.or_else(|| fields::execute_id_of_tail(words.as_bytes()))
}

/// Nobody can tell what became of the run.
pub(super) fn unknown(mut error: Error) -> Error {
    error.kind = Kind::Unknown;
    if error.hint.is_some() {
        return error;
    }
    error.hint(
        "the run may have been started: look at Coze before running it again",
        "工作流可能已经开始运行：重新运行之前，请先到扣子上查看",
    )
}

const BOM: &[u8] = "\u{feff}".as_bytes();

/// What comes after white space and a byte order mark.
fn content(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.trim_ascii_start();
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    bytes.trim_ascii_start()
}

/// More blank bytes than this are no beginning of an answer.
const FIRST_LIMIT: usize = 64 << 10;

/// Reads until it can be told what begins, or to the end: an event stream may begin with blank lines
/// or a byte order mark, which tell it from nothing.
fn read_first(body: &mut dyn Body) -> Result<Vec<u8>, Failure> {
    let mut first = Vec::new();
    let mut buffer = [0; 4096];
    while first.len() < FIRST_LIMIT && BOM.starts_with(content(&first)) {
        match body.read(&mut buffer)? {
            0 => break,
            count => first.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(first)
}

/// By what it begins with: a JSON value and a page are none, whatever they say that they are.
fn is_stream(response: &HttpResponse, first: &[u8]) -> bool {
    let is_events = response.content_type == "text/event-stream";
    match content(first) {
        [] => is_events && first.len() >= FIRST_LIMIT,
        [b'{' | b'<', ..] => false,
        _ => is_events || (200..300).contains(&response.status),
    }
}

/// An answer that is no stream.
pub(super) struct Document {
    pub(super) text: String,
    /// All of it came, as far as its own form can tell.
    is_whole: bool,
    /// Every byte of it could be read.
    is_text: bool,
    /// The body came to its end.
    has_ended: bool,
}

impl Document {
    /// Reads it to its end. Some servers leave the connection open after it, so that once it is a
    /// whole JSON value, the end is waited for only a moment.
    pub(super) fn read(body: &mut dyn Body, mut bytes: Vec<u8>) -> Self {
        let mut buffer = vec![0; 16 << 10];
        let has_ended = loop {
            if bytes.len() > DOCUMENT_LIMIT {
                break false;
            }
            if is_json(&bytes) {
                body.hurry(TAIL);
            }
            match body.read(&mut buffer) {
                Ok(0) => break true,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(_) => break false,
            }
        };
        // Where only the end of the connection ends a body, a cut looks like an end.
        let is_begun = content(&bytes).starts_with(b"{");
        let text = String::from_utf8_lossy(content(&bytes));
        Self {
            is_text: matches!(text, Cow::Borrowed(_)),
            text: text.into_owned(),
            is_whole: is_json(&bytes) || has_ended && !is_begun,
            has_ended,
        }
    }
}

/// Whether it is a whole JSON object.
pub(super) fn is_json(bytes: &[u8]) -> bool {
    let json = content(bytes).trim_ascii_end();
    json.ends_with(b"}") && serde_json::from_slice::<&RawValue>(json).is_ok()
}

pub(super) fn http_message(status: u16) -> String {
    if (300..400).contains(&status) {
        format!("HTTP {status}: redirects are not followed, check the base URL")
    } else {
        format!("HTTP {status}, and the body is not Coze's")
    }
}
