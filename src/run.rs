//! One request → one response: the order of the calls, and (with `run/`) all waiting. To start a run
//! twice would be the worst mistake; then to call text whole that is not; then to lose the way back
//! to a run. So a POST is repeated only when `proof` says that nothing was started, and once the server
//! has named a run, it is only watched. Names no HTTP library and reads no clock of its own.

#[cfg(test)]
mod matrix;
mod pace;
pub(crate) mod rehearse;
mod start;
mod stream;
#[cfg(test)]
mod tests;
mod upload;
mod watch;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;

use self::pace::Host;
use self::watch::Reason;
use crate::config::Rules;
use crate::coze::call::{Call, Mode, RunRef};
use crate::coze::code::{self, About};
use crate::coze::event::Interrupt;
use crate::coze::transcript::Heard;
use crate::error::{Error, Kind};
use crate::http::{Failure, Http, HttpResponse, Limits, Reach};
use crate::input::params::FileParameter;
use crate::input::request::{Request, Task};
use crate::response::{Outcome, Response};
use crate::service::{Found, Service};
use crate::sse::Frame;
use crate::text::Text;
use crate::time::{Clock, Deadline};

/// How long the end of a body is waited for after all that was to be expected has come.
const TAIL: Duration = Duration::from_secs(1);

/// What all requests of the process have in common.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    service: Found,
    /// The server has shown that it keeps the ids that starts carry.
    pub(crate) keeps_ids: AtomicBool,
    /// The files of the request that the options give.
    files: Vec<FileParameter>,
    /// Until then nothing is sent, for something was refused for its rate.
    gate: Mutex<Duration>,
    host: Host,
    /// What every further run would meet as well.
    stopped: Mutex<Option<Error>>,
}

impl Shared {
    pub(crate) fn new(service: Found, files: Vec<FileParameter>) -> Self {
        Self {
            service,
            files,
            ..Self::default()
        }
    }

    /// Nothing more is sent. `why` begins the sentence that the others get.
    fn stop(&self, kind: Kind, why: &str, error: &Error) {
        let message = format!("{why}: {}", error.message);
        let stopped = || error.clone().reworded(kind, message);
        lock(&self.stopped).get_or_insert_with(stopped);
    }
}

/// Something that happened on the way, for `-v`, `--events` and the status line.
#[derive(Debug)]
pub(crate) enum Note<'a> {
    /// The call, as it is shown.
    Calling(fmt::Arguments<'a>),
    Answered {
        status: u16,
        logid: Option<&'a str>,
    },
    Event(&'a Frame<'a>),
    /// An event was understood.
    Heard {
        /// The title of the node that spoke in it.
        speaker: Option<&'a str>,
        /// The End node's text so far, where nothing but a fault can still take it back.
        text: Option<&'a Text>,
    },
    Retrying {
        pause: Duration,
        why: &'a str,
    },
    /// The stream did not bring everything: the history is asked.
    FallingBack {
        why: &'a str,
    },
    /// The run was polled, and will be again.
    Polling {
        pause: Duration,
        why: &'a str,
    },
}

/// A run of which the id is of our own making, as long as the server has not shown that it has it.
#[derive(Clone, Debug)]
pub(crate) struct OwnRun {
    pub(crate) run: RunRef,
    /// Seconds since 1970 when it was first sent, where that is known for sure.
    pub(crate) at: Option<u64>,
    /// It was sent, and may have arrived.
    pub(crate) may_have_arrived: bool,
}

/// Whoever wants to know what happens on the way, may stop a run from being started, and remembers
/// what an earlier process did.
pub(crate) trait Observer {
    /// What an earlier process may have sent of it.
    fn earlier(&self) -> Option<OwnRun> {
        None
    }
    /// Asked before each time that a run, or the answer to an interrupt, is sent.
    fn may_send(&self) -> Result<(), Error> {
        Ok(())
    }
    /// It is about to be sent, or sent again. An error keeps it from being sent.
    fn starting(&self) -> Result<(), Error>;
    /// It was refused for its rate, so nothing was started, and it will be sent again after a pause.
    fn rate_refused(&self, _why: &Error) {}
    /// The run is known. Reported as soon as it is: where its id is ours, before it is sent; and again
    /// where the server has it under another one.
    fn started(&self, run: &RunRef);
    /// The server has the run, in the background, under the id that we gave it.
    fn confirmed(&self, _run: &RunRef) {}
    fn note(&self, note: &Note<'_>);
}

/// All that is needed to answer requests.
pub(crate) struct Runner<'a> {
    pub(crate) http: &'a dyn Http,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) rules: Rules,
    pub(crate) shared: &'a Shared,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(
        http: &'a dyn Http,
        clock: &'a dyn Clock,
        rules: Rules,
        shared: &'a Shared,
    ) -> Self {
        Self {
            http,
            clock,
            rules,
            shared,
        }
    }

    /// Does what the request asks and reports what came of it.
    /// `task`: the request's own, or what is left of it after an earlier process.
    pub(crate) fn answer(
        &self,
        request: &Request,
        task: &Result<Task, Error>,
        observer: &dyn Observer,
    ) -> Response {
        let task = task.as_ref().map_err(Error::clone);
        let mut attempt = Attempt {
            runner: self,
            observer,
            deadline: Deadline::after(self.clock, self.rules.timeout),
            progress: Progress {
                workflow_id: request.workflow_id.clone(),
                mode: task.as_ref().map_or(request.mode(), |task| task.mode()),
                run: request.run(),
                debug_url: request.facts.debug_url.clone(),
                resumed: request.facts.interrupt.clone(),
                ..Progress::default()
            },
        };
        let outcome = task.and_then(|task| attempt.carry_out(request, task));
        let outcome = outcome.unwrap_or_else(Outcome::Error);
        attempt.progress.respond(outcome, request.id.clone())
    }
}

/// A request being answered.
struct Attempt<'a> {
    runner: &'a Runner<'a>,
    observer: &'a dyn Observer,
    deadline: Deadline,
    progress: Progress,
}

/// What is known of the run so far.
#[derive(Debug, Default)]
struct Progress {
    workflow_id: Option<String>,
    /// How the run is started, or was by what its history says of it: it is resumed by this. `run`
    /// keeps what is known when it starts.
    mode: Mode,
    run: Option<RunRef>,
    unconfirmed: Option<OwnRun>,
    debug_url: Option<String>,
    logid: Option<String>,
    usage: Option<Box<RawValue>>,
    heard: Heard,
    /// The interrupt that the request answers; the history may show it for a moment longer.
    resumed: Option<Interrupt>,
}

impl Progress {
    /// Empty where a server has one workflow only.
    fn workflow_id(&self) -> &str {
        self.workflow_id.as_deref().unwrap_or_default()
    }

    fn respond(self, outcome: Outcome, id: Option<Box<RawValue>>) -> Response {
        let mut response = Response {
            execute_id: self.run.as_ref().map_or("", RunRef::execute_id).to_owned(),
            output: self.heard.output,
            debug_url: self.debug_url.unwrap_or_default(),
            workflow_id: self.workflow_id,
            messages: self.heard.messages,
            usage: self.usage,
            logid: self.logid,
            lost_events: self.heard.lost_events,
            id,
            ..Response::new(outcome)
        };
        if let Some(asked) = &mut response.interrupt {
            asked.mode.get_or_insert(self.mode);
        }
        // The run still waits, so that a corrected answer can be fed back.
        if let Some(Kind::Usage | Kind::Config | Kind::Refused | Kind::Unreachable | Kind::Io) =
            response.kind()
        {
            response.interrupt = self.resumed;
            // There is no run of this id.
            if self.unconfirmed.is_some() {
                response.execute_id.clear();
            }
        }
        response
    }
}

impl Attempt<'_> {
    fn carry_out(&mut self, request: &Request, task: &Task) -> Result<Outcome, Error> {
        match task {
            Task::Run(start) => {
                let body = self.upload_files(&start.body)?;
                let outcome = self.start(About::Start, &body);
                Ok(hint_at_file_objects(outcome, task))
            }
            Task::Watch(run) => {
                self.progress.run = Some(run.clone());
                let reason = match request.task {
                    Ok(Task::Watch(_)) => Reason::Request,
                    _ => Reason::Earlier,
                };
                self.watch(run, &reason)
            }
            Task::Resume(resume) => {
                if let Some(resumed) = &mut self.progress.resumed {
                    resumed.mode = Some(resume.mode);
                }
                Ok(self.start(About::Resume, &resume.body))
            }
        }
    }

    /// What Coze said went wrong, judged to be of this kind, and what to do about it.
    fn coze_error(&self, kind: Kind, about: About, mut said: Error) -> Error {
        said.kind = kind;
        if said.message.is_empty() {
            "Coze gives no reason".clone_into(&mut said.message);
        }
        said.logid = said.logid.take().or(self.progress.logid.clone());
        let hint = said.number().and_then(|code| code::hint(code, about));
        said.with_hint(hint)
    }

    /// Sends one call, with what is left of the time.
    fn call(&mut self, call: &Call<'_>) -> Result<HttpResponse, Failure> {
        self.observer.note(&Note::Calling(format_args!("{call}")));
        let limits = Limits {
            total: self.deadline.left(self.runner.clock),
            idle: self.runner.rules.idle_timeout,
        };
        let answered = self.runner.http.call(call, limits);
        let is_unsent = |failure: &Failure| failure.reach == Reach::NotSent;
        if !answered.as_ref().is_err_and(is_unsent) {
            self.runner.shared.host.reached();
        }
        let response = answered?;
        let logid = response.logid.as_deref();
        self.observer.note(&Note::Answered {
            status: response.status,
            logid,
        });
        let service = &self.runner.shared.service;
        service.learn(response.x_log_id(), response.status);
        if call.body().is_some() {
            self.progress.logid = logid.map(str::to_owned).or(self.progress.logid.take());
        }
        Ok(response)
    }

    fn service(&self) -> &'static dyn Service {
        self.runner.shared.service.service()
    }

    /// The server names the run. Its first name for it counts, and before that our own.
    fn learn_execute_id(&mut self, execute_id: &str) {
        let progress = &mut self.progress;
        let Some(run) = RunRef::new(execute_id, progress.mode) else {
            return;
        };
        let keeps_ids = &self.runner.shared.keeps_ids;
        let own = progress.unconfirmed.take();
        if own
            .as_ref()
            .is_some_and(|own| own.run.execute_id() == execute_id)
        {
            // A streamed run is not found by its id later, so it proves nothing.
            if run.mode() == Mode::Async {
                keeps_ids.store(true, Ordering::Relaxed);
                self.observer.confirmed(&run);
            }
        } else if own.is_some() || progress.run.is_none() {
            if own.is_some() {
                keeps_ids.store(false, Ordering::Relaxed);
            }
            self.observer.started(&run);
            progress.run = Some(run);
        }
    }

    /// The run, if it is known and can be watched.
    fn watchable_run(&self) -> Option<RunRef> {
        let can_watch = |run: &RunRef| self.service().can_watch(run.mode());
        self.progress.run.clone().filter(can_watch)
    }
}

/// A file's object among the parameters is what Coze refuses most often.
fn hint_at_file_objects(outcome: Outcome, task: &Task) -> Outcome {
    match outcome {
        Outcome::Error(error)
            if error.number().is_some_and(code::is_about_parameters)
                && error.kind == Kind::Refused
                && task.looks_like_file_object() =>
        {
            Outcome::Error(error.hint(
                r#"a file parameter is a text: "{\"file_id\":\"…\"}", not an object"#,
                r#"文件参数是字符串："{\"file_id\":\"…\"}"，不是对象"#,
            ))
        }
        other => other,
    }
}

/// Whether everything else would be refused as this was.
fn stops_everything(error: &Error, status: u16) -> bool {
    status == 401 || error.number().is_some_and(code::stops_everything)
}

/// What never reached Coze, and what to do about it.
pub(crate) fn unreachable(failure: &Failure) -> Error {
    Error::new(Kind::Unreachable, &failure.detail).with_hint(failure.cause.hint())
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
