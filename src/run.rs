//! One request → one response: what is sent, what is waited for, and what is made of it. The only
//! file (with `run/`) that waits, retries and falls back. Which mistake is worse? To start a run
//! twice; then to call text whole that is not; then to lose the way back to a run. So a POST is
//! repeated only when it is certain that nothing was started, and once a run's id is known, nothing
//! but looking is done. Names no HTTP library and reads no clock of its own.

#[cfg(test)]
mod matrix;
mod pace;
#[cfg(test)]
mod tests;
mod watch;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;

use self::pace::Gate;
use crate::coze::call::{Call, Mode};
use crate::coze::code;
use crate::coze::envelope::Envelope;
use crate::coze::fields;
use crate::coze::transcript::{Ended, Learned, NodeMessage, Transcript};
use crate::error::{Error, Hint, Kind};
use crate::http::{Answer, Api, Body, Cause, Failure, Limits, Started};
use crate::input::request::{Request, Resume, Task};
use crate::response::{Response, Verdict};
use crate::sse::{Decoder, Frame};
use crate::text::Text;
use crate::time::{Clock, Deadline};

/// The most that is read of an answer that is neither a stream nor a history. A refusal is short, but
/// whatever the answer is, it may name a run.
const ANSWER_LIMIT: usize = 8 << 20;

/// How long the Done behind an Error is waited for.
const BEHIND_ERROR: Duration = Duration::from_secs(1);

/// What the command line and the locale say of how a request is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// From when a request is taken up; none is for ever.
    pub(crate) timeout: Option<Duration>,
    /// Silence; none is for ever.
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) poll_interval: Duration,
    pub(crate) retries: u32,
    pub(crate) no_wait: bool,
    /// Many requests: a rate refusal makes all of them wait, and uses up no retries.
    pub(crate) batch: bool,
}

/// What all requests of the process know of one another.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    gate: Gate,
    /// The refusal that every further run would meet as well.
    stopped: Mutex<Option<Error>>,
    /// The server has no `run_histories`: found out once.
    studio: std::sync::atomic::AtomicBool,
}

/// Something that happened on the way, for `-v`, `--events` and the status line.
#[derive(Debug)]
pub(crate) enum Note<'a> {
    Calling(Call<'a>),
    Answered {
        status: u16,
        logid: Option<&'a str>,
    },
    Event(&'a Frame<'a>),
    Retrying {
        pause: Duration,
        why: &'a str,
    },
    /// The stream did not bring everything; the history is asked.
    FallingBack {
        why: &'a str,
    },
    Looking {
        pause: Duration,
        why: &'a str,
    },
}

/// Whoever wants to know what happens on the way, and may stop a run from being started.
pub(crate) trait Observer {
    /// A run, or the answer to an interrupt, is about to be sent for the first time. An error keeps
    /// it from being sent.
    fn starting(&self) -> Result<(), Error>;
    /// Asked before each time that it is sent.
    fn may_send(&self) -> Result<(), Error> {
        Ok(())
    }
    /// The run's id is known. Told as soon as it is, once.
    fn started(&self, execute_id: &str, background: bool);
    fn note(&self, note: &Note<'_>);
}

/// The answer to a request, and what may be left on its connection.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) response: Response,
    /// To be finished when the response is out, if the connection is wanted again.
    pub(crate) rest: Option<Box<dyn Body>>,
}

/// All that is needed to answer requests.
pub(crate) struct Runner<'a> {
    pub(crate) api: &'a dyn Api,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) rules: Rules,
    pub(crate) shared: &'a Shared,
}

impl fmt::Debug for Runner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl Runner<'_> {
    /// Does what the request asks and tells what came of it.
    pub(crate) fn answer(&self, request: Request, observer: &dyn Observer) -> Answered {
        let mut attempt = Attempt {
            runner: self,
            observer,
            deadline: Deadline::after(self.clock, self.rules.timeout),
            workflow_id: request.workflow_id,
            known: Known::default(),
            retries_left: self.rules.retries,
            attempts: 0,
        };
        let verdict = match request.task {
            Ok(task) => attempt.carry_out(&task),
            Err(error) => Verdict::Error(error),
        };
        attempt.into_answered(verdict, request.id)
    }
}

/// A request being answered.
struct Attempt<'a> {
    runner: &'a Runner<'a>,
    observer: &'a dyn Observer,
    deadline: Deadline,
    workflow_id: Option<String>,
    known: Known,
    retries_left: u32,
    attempts: u32,
}

/// What is known of the run so far.
#[derive(Debug, Default)]
struct Known {
    execute_id: Option<String>,
    debug_url: Option<String>,
    logid: Option<String>,
    usage: Option<Box<RawValue>>,
    output: Text,
    /// `output` is the End node's text, and all of it.
    output_is_whole: bool,
    messages: Vec<NodeMessage>,
    lost_events: u64,
    /// The stream said Done: the run is over, whatever is missing.
    done: bool,
    /// How the run was started.
    mode: Option<Mode>,
    /// The interrupt that was just answered; the history may show it for a moment longer.
    answered: Option<String>,
    rest: Option<Box<dyn Body>>,
}

/// What comes after one POST.
enum Next {
    Over(Verdict),
    /// Nothing was started, for sure: it may be sent again.
    Again {
        trouble: Error,
        rate: bool,
        retry_after: Option<String>,
    },
    /// The run is known, its end is not.
    Watch {
        why: Error,
    },
    /// A background run was started, or answered.
    Wait,
}

/// What came behind an Error, and so may tell whether it was a refusal.
#[derive(Clone, Copy)]
enum Behind {
    /// The end of the stream.
    Nothing,
    /// A Done that says nothing, the same Error, silence, or a break.
    NotKnown,
    /// Something of a run.
    More,
}

impl Attempt<'_> {
    fn carry_out(&mut self, task: &Task) -> Verdict {
        match task {
            Task::Stream(start) => {
                self.known.mode = Some(Mode::Stream);
                self.start(Call::StreamRun { body: &start.body })
            }
            Task::Background(start) => {
                self.known.mode = Some(Mode::Async);
                self.start(Call::Run { body: &start.body })
            }
            Task::Watch(watch) => {
                self.known.mode = watch.mode;
                self.known.execute_id = Some(watch.execute_id.clone());
                self.watch(&watch::Reason::Request)
            }
            Task::Resume(resume) => self.resume(resume),
        }
    }

    fn resume(&mut self, resume: &Resume) -> Verdict {
        let body = &resume.body;
        self.known.mode = Some(resume.mode);
        self.known.execute_id.clone_from(&resume.execute_id);
        self.known.answered = Some(resume.event_id.clone());
        self.start(match resume.mode {
            Mode::Stream => Call::StreamResume { body },
            Mode::Async => Call::Resume { body },
        })
    }

    /// Sends a POST until it is certain that it started something, or that it never will.
    fn start(&mut self, call: Call<'_>) -> Verdict {
        if let Err(trouble) = self.wait_at_gate() {
            return Verdict::Error(trouble);
        }
        if let Some(trouble) = self.stopped() {
            return Verdict::Error(trouble);
        }
        if let Err(trouble) = self.observer.starting() {
            return Verdict::Error(trouble);
        }
        loop {
            if let Err(trouble) = self.observer.may_send() {
                return Verdict::Error(trouble);
            }
            match self.start_once(call) {
                Next::Over(verdict) => return verdict,
                Next::Watch { why } => return self.watch(&watch::Reason::Lost(why)),
                Next::Wait if self.runner.rules.no_wait => {
                    let message = "the run was started in the background";
                    return Verdict::Error(Self::still_running(message));
                }
                Next::Wait => return self.watch(&watch::Reason::Background),
                Next::Again {
                    trouble,
                    rate,
                    retry_after,
                } => {
                    if let Err(trouble) = self.pause(trouble, rate, retry_after.as_deref()) {
                        return Verdict::Error(trouble);
                    }
                }
            }
        }
    }

    fn start_once(&mut self, call: Call<'_>) -> Next {
        let answer = match self.call(call) {
            Ok(answer) => answer,
            Err(failure) => return self.not_answered(&failure),
        };
        let mut decoder = Decoder::default();
        let Answer {
            status,
            content_type,
            retry_after,
            mut body,
            ..
        } = answer;
        let first = match read_first(body.as_mut(), decoder.space()) {
            Ok(count) => count,
            Err(failure) => return self.lost(&failure.detail, failure.cause),
        };
        let space = decoder.space();
        let is_stream = match content(&space[..first]) {
            // All blank lines, as many as fit, or nothing at all.
            [] => first == space.len() && content_type == "text/event-stream",
            [b'{' | b'<', ..] => false,
            _ => content_type == "text/event-stream" || (200..300).contains(&status),
        };
        if is_stream {
            decoder.filled(first);
            return self.stream(status, retry_after, decoder, body);
        }
        let head = decoder.space()[..first].to_vec();
        let (text, cut) = read_answer(body.as_mut(), head);
        self.known.rest = Some(body);
        let text = String::from_utf8_lossy(&text);
        let text = text.trim_start();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        self.document(status, retry_after, text, cut)
    }

    /// No answer came: what that proves depends on whether the request left.
    fn not_answered(&mut self, failure: &Failure) -> Next {
        match failure.started {
            Started::No => {
                let trouble = unreachable(failure);
                match failure.is_transient() && !self.deadline_is_over() {
                    true => Next::Again {
                        trouble,
                        rate: false,
                        retry_after: None,
                    },
                    false => Next::Over(Verdict::Error(trouble)),
                }
            }
            Started::Maybe => self.lost(&failure.detail, failure.cause),
        }
    }

    /// Reads events until one ends the stream, or it breaks off.
    fn stream(
        &mut self,
        status: u16,
        retry_after: Option<String>,
        mut decoder: Decoder,
        mut body: Box<dyn Body>,
    ) -> Next {
        let mut transcript = Transcript::default();
        let mut tail_id = None;
        let broken = loop {
            match self.take_frames(&mut decoder, &mut transcript) {
                Ok(true) => break None,
                Ok(false) => {}
                Err(sentence) => break Some((sentence, Cause::TooLarge)),
            }
            match body.read(decoder.space()) {
                Ok(0) => {
                    // Before `finish`, which takes the unfinished event away.
                    tail_id = fields::execute_id_of_tail(&decoder.tail());
                    if let Some(frame) = decoder.finish() {
                        self.observer.note(&Note::Event(&frame));
                        // Above the limit it is lost like the rest.
                        let _ = transcript.push(frame);
                    }
                    let sentence = "the stream ended before the run did".to_owned();
                    break Some((sentence, Cause::Cut));
                }
                Ok(count) => decoder.filled(count),
                Err(failure) => break Some((failure.detail, failure.cause)),
            }
        };
        let behind = match (transcript.ended(), &broken) {
            (Some(Ended::Error { .. }), None) => {
                self.read_behind_error(&mut decoder, &mut transcript, body.as_mut())
            }
            // An Error without its blank line, with which the stream ended: who knows what is missing.
            _ => Behind::NotKnown,
        };
        if transcript.execute_id.is_none() {
            transcript.execute_id = tail_id.or(fields::execute_id_of_tail(&decoder.tail()));
        }
        let names_run = transcript.execute_id.is_some() || transcript.mentions_run;
        let behind = match names_run || decoder.has_dropped() {
            true => Behind::More,
            false => behind,
        };
        self.take_transcript(&mut transcript);
        match (transcript.ended(), broken) {
            (Some(ended), _) => {
                self.known.rest = Some(body);
                let ended = ended.clone();
                match ended {
                    Ended::Error {
                        code,
                        message,
                        first,
                    } => {
                        let trouble = self.coze_says(Kind::Failed, code, Some(message), None);
                        let proves = match first {
                            true => behind,
                            false => Behind::More,
                        };
                        self.stream_error(trouble, proves, status, retry_after)
                    }
                    Ended::Done => self.done(),
                    Ended::Interrupt(interrupt) => {
                        Next::Over(Verdict::Interrupted(interrupt, Mode::Stream))
                    }
                }
            }
            (None, Some((sentence, cause))) => self.lost(&sentence, cause),
            (None, None) => unreachable!("a stream is left when it has ended or is broken"),
        }
    }

    /// Coze sends a Done behind an Error, and it may tell which run it was: that one was started.
    /// However the network has cut the stream, it is waited for, but not for long.
    fn read_behind_error(
        &self,
        decoder: &mut Decoder,
        transcript: &mut Transcript,
        body: &mut dyn Body,
    ) -> Behind {
        let patience = Deadline::after(self.runner.clock, Some(BEHIND_ERROR));
        let (mut done, mut repeated, mut more) = (false, false, false);
        let behind = loop {
            while !done && let Ok(Some(frame)) = decoder.next() {
                self.observer.note(&Note::Event(&frame));
                match transcript.learn(&frame) {
                    Learned::Done => done = true,
                    Learned::Error => repeated = true,
                    Learned::Other => more = true,
                }
            }
            let told = transcript.execute_id.is_some() || transcript.mentions_run;
            if done || told || patience.is_over(self.runner.clock) {
                break Behind::NotKnown;
            }
            match body.read_tail(decoder.space()) {
                Ok(count @ 1..) => decoder.filled(count),
                Ok(0) if !repeated => break Behind::Nothing,
                Ok(0) | Err(_) => break Behind::NotKnown,
            }
        };
        match more || !done && decoder.has_begun() {
            true => Behind::More,
            false => behind,
        }
    }

    /// Folds what is complete; true when the stream has ended.
    fn take_frames(
        &mut self,
        decoder: &mut Decoder,
        transcript: &mut Transcript,
    ) -> Result<bool, String> {
        loop {
            let Some(frame) = decoder.next().map_err(|error| error.to_string())? else {
                return Ok(false);
            };
            self.observer.note(&Note::Event(&frame));
            transcript.push(frame).map_err(|error| error.to_string())?;
            if let Some(execute_id) = &transcript.execute_id {
                self.learn_execute_id(execute_id);
            }
            if transcript.ended().is_some() {
                return Ok(true);
            }
        }
    }

    fn take_transcript(&mut self, transcript: &mut Transcript) {
        if let Some(execute_id) = &transcript.execute_id {
            self.learn_execute_id(execute_id);
        }
        let known = &mut self.known;
        known.debug_url = transcript.debug_url.take().or(known.debug_url.take());
        known.usage = transcript.usage.take();
        known.messages = transcript.messages();
        known.lost_events = transcript.lost_events();
        known.output_is_whole = transcript.is_whole();
        known.output = transcript.take_output();
    }

    fn done(&mut self) -> Next {
        if self.known.output_is_whole {
            return Next::Over(Verdict::Success);
        }
        self.known.done = true;
        self.lost("the run is done, but text of it is missing", Cause::Cut)
    }

    /// An Error event. It may be a refusal only when it stands alone and names no run.
    fn stream_error(
        &mut self,
        trouble: Error,
        behind: Behind,
        status: u16,
        retry_after: Option<String>,
    ) -> Next {
        let code = trouble.code;
        let is_refusal = code.is_some_and(|code| code::is_refusal(code, status));
        let of_kind = |kind| Error { kind, ..trouble };
        match behind {
            Behind::Nothing if code::is_rate_limit(code, status) => Next::Again {
                trouble: of_kind(Kind::Unreachable),
                rate: true,
                retry_after,
            },
            // To be sent again it would have to be certain.
            Behind::NotKnown if code::is_rate_limit(code, status) => {
                self.unclear(of_kind(Kind::Unknown))
            }
            Behind::Nothing | Behind::NotKnown if is_refusal => self.over(of_kind(Kind::Refused)),
            Behind::Nothing | Behind::NotKnown | Behind::More => self.over(of_kind(Kind::Failed)),
        }
    }

    /// An answer that is no stream. Coze's code decides; without one, the HTTP status does.
    fn document(
        &mut self,
        status: u16,
        retry_after: Option<String>,
        body: &str,
        cut: bool,
    ) -> Next {
        let envelope = Envelope::parse(body).unwrap_or_default();
        let code = envelope.code();
        // A body that was cut, or is no good JSON, may name the run all the same.
        let told_id = envelope
            .execute_id()
            .or_else(|| fields::execute_id_of_tail(body.as_bytes()));
        let names_run = told_id.is_some();
        self.known.debug_url = envelope.debug_url().or(self.known.debug_url.take());
        if let Some(logid) = envelope.logid() {
            self.known.logid.get_or_insert(logid);
        }
        if let Some(execute_id) = told_id {
            self.learn_execute_id(&execute_id);
        }
        let (message, logid) = (envelope.message(), envelope.logid());
        let trouble = |kind| {
            self.coze_says(
                kind,
                code,
                message.or_else(|| Some(status_message(status))),
                logid,
            )
        };
        // What is missing may name the run.
        if cut && !names_run {
            return self.unclear(trouble(Kind::Unknown));
        }
        if !names_run && code::is_rate_limit(code, status) {
            // It speaks of a run that can't be made out: nobody can tell that nothing was started.
            if fields::mentions_run(body) {
                return self.unclear(trouble(Kind::Unknown));
            }
            return Next::Again {
                trouble: trouble(Kind::Unreachable),
                rate: true,
                retry_after,
            };
        }
        match (code, status) {
            (Some(_), _) if names_run => self.over(trouble(Kind::Failed)),
            (Some(code), _) if code::is_refusal(code, status) => self.over(trouble(Kind::Refused)),
            (Some(_), _) => self.unclear(trouble(Kind::Unknown)),
            (None, 200..=299) if names_run => self.accepted(&envelope),
            (None, 300..=399) if !names_run => self.over(trouble(Kind::Refused)),
            (None, 400..=407 | 409..=499) if !names_run => self.over(trouble(Kind::Refused).hint(
                "check the base URL: this is no answer of Coze's",
                "请检查服务地址：这不是扣子的回答",
            )),
            (None, _) => self.unclear(trouble(Kind::Unknown)),
        }
    }

    /// Coze took the run, or the answer, and will go on in the background.
    fn accepted(&self, envelope: &Envelope<'_>) -> Next {
        let asked = envelope.interrupt();
        let new = |asked: &crate::coze::event::Interrupt| {
            self.known.answered.as_ref() != Some(&asked.event_id)
        };
        match asked.filter(new) {
            Some(interrupt) => {
                let mode = self.known.mode.unwrap_or(Mode::Async);
                Next::Over(Verdict::Interrupted(interrupt, mode))
            }
            None => Next::Wait,
        }
    }

    /// Something may have been started, and its end did not come.
    fn lost(&mut self, sentence: &str, cause: Cause) -> Next {
        let trouble = Error::new(Kind::Unknown, sentence);
        match cause {
            Cause::TooLarge => Self::untold(trouble),
            _ => self.unclear(trouble),
        }
    }

    /// With an id the run can be watched; without one nobody can tell what became of it.
    fn unclear(&mut self, trouble: Error) -> Next {
        if self.known.execute_id.is_some() && self.workflow_id.is_some() {
            return Next::Watch { why: trouble };
        }
        Self::untold(trouble)
    }

    /// Nobody can tell what became of the run.
    fn untold(trouble: Error) -> Next {
        let hint = Hint::new(
            "the run may have been started: look at Coze before running it again",
            "工作流可能已经开始运行：重新运行之前，请先到扣子上查看",
        );
        Next::Over(Verdict::Error(match trouble.hint {
            Some(_) => trouble,
            None => trouble.with_hint(Some(hint)),
        }))
    }

    fn still_running(message: &str) -> Error {
        Error::new(Kind::Running, message).hint(
            "to watch it, send this response as a request",
            "把这行响应作为请求传回，即可继续等待",
        )
    }

    fn over(&self, trouble: Error) -> Next {
        let stops =
            trouble.kind == Kind::Refused && trouble.code.is_some_and(code::stops_everything);
        if stops {
            let mut stopped = lock(&self.runner.shared.stopped);
            stopped.get_or_insert_with(|| Error {
                message: format!(
                    "not sent, for an earlier request was refused: {}",
                    trouble.message
                ),
                ..trouble.clone()
            });
        }
        Next::Over(Verdict::Error(trouble))
    }

    fn stopped(&self) -> Option<Error> {
        lock(&self.runner.shared.stopped).clone()
    }

    fn coze_says(
        &self,
        kind: Kind,
        code: Option<i64>,
        message: Option<String>,
        logid: Option<String>,
    ) -> Error {
        let message = message.filter(|message| !message.is_empty());
        Error {
            kind,
            code,
            message: message.unwrap_or_else(|| "Coze gives no reason".to_owned()),
            hint: code.and_then(code::hint),
            logid: logid.or(self.known.logid.clone()),
        }
    }

    /// Sends one call, with what is left of the time.
    fn call(&mut self, call: Call<'_>) -> Result<Answer, Failure> {
        self.observer.note(&Note::Calling(call));
        let limits = Limits {
            total: self.deadline.left(self.runner.clock),
            idle: self.runner.rules.idle_timeout,
        };
        let answer = self.runner.api.call(call, limits)?;
        self.observer.note(&Note::Answered {
            status: answer.status,
            logid: answer.logid.as_deref(),
        });
        if answer.logid.is_some() && call.body().is_some() {
            self.known.logid.clone_from(&answer.logid);
        }
        Ok(answer)
    }

    /// Waits before the same POST is sent again; an error when it will not be.
    fn pause(
        &mut self,
        trouble: Error,
        rate: bool,
        retry_after: Option<&str>,
    ) -> Result<(), Error> {
        let Runner {
            clock,
            rules,
            shared,
            ..
        } = self.runner;
        if !(rate && rules.batch) {
            if self.retries_left == 0 {
                return Err(trouble);
            }
            self.retries_left -= 1;
        }
        self.attempts = self.attempts.saturating_add(1);
        let asked = retry_after.and_then(|value| pace::retry_after(value, clock.unix()));
        let own = pace::backoff(self.attempts, clock.random());
        let pause = asked.map_or(own, |asked| asked.max(own));
        if !self.deadline.has_room_for(*clock, pause) {
            let seconds = pause.as_secs();
            let message = &trouble.message;
            return Err(Error {
                message: format!("{message}; the deadline has no room for a pause of {seconds} s"),
                ..trouble
            });
        }
        if rate {
            shared.gate.close_until(clock.now() + pause);
        }
        self.observer.note(&Note::Retrying {
            pause,
            why: &trouble.message,
        });
        clock.sleep(pause);
        if rate { self.wait_at_gate() } else { Ok(()) }
    }

    /// Another job's rate refusal keeps this one waiting as well.
    fn wait_at_gate(&self) -> Result<(), Error> {
        let clock = self.runner.clock;
        loop {
            let closed_for = self.runner.shared.gate.closed_for(clock.now());
            if closed_for.is_zero() {
                return Ok(());
            }
            if !self.deadline.has_room_for(clock, closed_for) {
                let message = "Coze asks for a pause that is longer than the deadline leaves";
                return Err(Error::new(Kind::Unreachable, message));
            }
            clock.sleep(closed_for);
        }
    }

    fn deadline_is_over(&self) -> bool {
        self.deadline.is_over(self.runner.clock)
    }

    fn learn_execute_id(&mut self, execute_id: &str) {
        if self.known.execute_id.is_none() {
            let background = self.known.mode == Some(Mode::Async);
            self.observer.started(execute_id, background);
            self.known.execute_id = Some(execute_id.to_owned());
        }
    }

    fn into_answered(self, verdict: Verdict, id: Option<Box<RawValue>>) -> Answered {
        let known = self.known;
        Answered {
            response: Response {
                execute_id: known.execute_id.unwrap_or_default(),
                verdict,
                output: known.output,
                debug_url: known.debug_url.unwrap_or_default(),
                workflow_id: self.workflow_id,
                messages: known.messages,
                usage: known.usage,
                logid: known.logid,
                lost_events: known.lost_events,
                output_file: None,
                id,
            },
            rest: known.rest,
        }
    }
}

/// What never reached Coze, and what to do about it.
pub(crate) fn unreachable(failure: &Failure) -> Error {
    Error::new(Kind::Unreachable, &failure.detail).with_hint(cause_hint(failure.cause))
}

const BOM: &[u8] = "\u{feff}".as_bytes();

/// What stands behind white space and a byte order mark.
fn content(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.trim_ascii_start();
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    bytes.trim_ascii_start()
}

/// Reads until it can be told what begins, or the end: an event stream may begin with a blank line or
/// a byte order mark, which tell it from nothing. How much there is.
fn read_first(body: &mut dyn Body, space: &mut [u8]) -> Result<usize, Failure> {
    let mut filled = 0;
    while filled < space.len() && BOM.starts_with(content(&space[..filled])) {
        match body.read(&mut space[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// Reads an answer that is no stream: to its end, or until it is a whole JSON value, for some servers
/// leave the connection open behind it.
fn read_answer(body: &mut dyn Body, mut bytes: Vec<u8>) -> (Vec<u8>, bool) {
    let mut buffer = vec![0; 16 << 10];
    let is_whole = |bytes: &[u8]| {
        let json = content(bytes).trim_ascii_end();
        json.ends_with(b"}") && serde_json::from_slice::<&RawValue>(json).is_ok()
    };
    let mut failed = false;
    while bytes.len() < ANSWER_LIMIT && !is_whole(&bytes) {
        match body.read(&mut buffer) {
            Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
            Ok(0) => break,
            Err(_) => {
                failed = true;
                break;
            }
        }
    }
    // Where only the end of the connection ends a body, a cut looks like an end.
    let begun = content(&bytes).starts_with(b"{") && !is_whole(&bytes);
    (bytes, failed || begun)
}

/// Reads a body to its end; what came of it, when that is not all.
fn read_all(body: &mut dyn Body, mut bytes: Vec<u8>, limit: usize) -> Result<Vec<u8>, Vec<u8>> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        match body.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) if bytes.len() + count <= limit => bytes.extend_from_slice(&buffer[..count]),
            Ok(_) | Err(_) => return Err(bytes),
        }
    }
}

fn status_message(status: u16) -> String {
    match status {
        300..=399 => {
            format!("HTTP status {status}: redirects are not followed, check the base URL")
        }
        _ => format!("HTTP status {status}, and no word of Coze's"),
    }
}

fn cause_hint(cause: Cause) -> Option<Hint> {
    let (english, chinese) = match cause {
        Cause::Dns | Cause::Connect => (
            "check the base URL and the network; a sandbox may have none",
            "请检查服务地址和网络；沙箱里可能没有网络",
        ),
        Cause::Proxy | Cause::ProxyRefused => (
            "check the proxy's address, user and password",
            "请检查代理的地址、用户名和密码",
        ),
        Cause::Stopped => (
            "it may be too large, or not welcome there",
            "请求可能太大，或不被对方接受",
        ),
        Cause::Tls => (
            "check that the base URL is an https one indeed, and what stands before it",
            "请确认服务地址确实支持 https，并检查途中的代理",
        ),
        Cause::Certificate | Cause::Deadline | Cause::Silent | Cause::Cut | Cause::TooLarge => {
            return None;
        }
    };
    Some(Hint::new(english, chinese))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
