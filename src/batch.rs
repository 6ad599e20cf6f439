//! Many requests: read one by one, no faster than they are answered, by one worker or several; what
//! each comes to is handed to `Output`, and all together to one exit code. Knows no HTTP.

pub(crate) mod fingerprint;
pub(crate) mod journal;
pub(crate) mod output_file;
mod recorded;

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;

use self::journal::{Claim, Journal, Recall};
use self::output_file::OutputFile;
use crate::coze::call::Mode;
use crate::error::{Error, Kind};
use crate::http::{Api, Body};
use crate::input::reader::Requests;
use crate::input::request::{Manner, Request};
use crate::response::{Response, Verdict};
use crate::run::{Answered, Note, Observer, Rules, Runner, Shared};
use crate::sse::Frame;
use crate::text::Text;
use crate::time::Clock;

/// What is left on a connection is read only so soon after the answer: later the connection would
/// pass for fresher than it is, and a POST must not meet a server that is about to close it.
const REST_LIMIT: Duration = Duration::from_secs(1);

/// Where everything goes that is told of requests.
pub(crate) trait Output: Sync {
    /// A request was taken up.
    fn taken(&self);
    /// Nothing more can be written to standard output.
    fn is_broken(&self) -> bool;
    /// Masks what must be written nowhere.
    fn mask_response(&self, response: &mut Response);
    /// Masks and writes one response; false when nothing more can be written.
    fn respond(&self, response: &mut Response) -> bool;
    /// An event as it arrives; `request` is the request's `id`.
    fn event(&self, frame: &Frame<'_>, request: Option<&RawValue>);
    /// A step on the way.
    fn note(&self, note: &Note<'_>);
    /// A background run is known by its id.
    fn started(&self, execute_id: &str);
    /// How many requests came to what so far.
    fn answered(&self, tally: &Tally);
    /// How many requests came to what in the end, when there were several.
    fn summary(&self, tally: &Tally);
}

/// How many requests came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) running: u64,
    pub(crate) interrupted: u64,
    pub(crate) unknown: u64,
}

impl Tally {
    fn count(&mut self, kind: Option<Kind>) {
        *match kind {
            None => &mut self.done,
            Some(
                Kind::Failed
                | Kind::Usage
                | Kind::Config
                | Kind::Refused
                | Kind::Unreachable
                | Kind::Io,
            ) => &mut self.failed,
            Some(Kind::Running) => &mut self.running,
            Some(Kind::Interrupted) => &mut self.interrupted,
            Some(Kind::Unknown) => &mut self.unknown,
        } += 1;
    }

    pub(crate) fn total(&self) -> u64 {
        self.done + self.failed + self.running + self.interrupted + self.unknown
    }
}

/// One place that requests come from.
pub(crate) type Input = Requests<Box<dyn Read + Send>>;

/// Requests to be answered, and how.
pub(crate) struct Batch<'a> {
    intake: Mutex<Intake>,
    progress: Mutex<Progress>,
    manner: Manner,
    rules: Rules,
    /// Whether a request without an `id` gets its number instead.
    numbered: bool,
    clock: &'a dyn Clock,
    output: &'a dyn Output,
    shared: Shared,
    /// `-o`: for the first request, and no second one.
    output_file: Option<Mutex<Option<OutputFile>>>,
    journal: Option<Journal<'a>>,
}

/// A request that was taken up.
struct Taken {
    number: u64,
    request: Request,
    /// Its place in the journal.
    claim: Option<Claim>,
}

/// Held while a request is waited for: whoever has one to answer must not wait with it.
struct Intake {
    inputs: VecDeque<Input>,
    taken: u64,
}

#[derive(Default)]
struct Progress {
    /// Nothing more can be written, so nothing more is started.
    broken: bool,
    tally: Tally,
    /// The first, in input order, that was not plain success, and its exit code.
    first_failure: Option<(u64, u8)>,
    io_failed: bool,
}

/// What a batch needs beside its inputs.
pub(crate) struct Settings<'a> {
    pub(crate) manner: Manner,
    pub(crate) rules: Rules,
    pub(crate) numbered: bool,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) output: &'a dyn Output,
    pub(crate) output_file: Option<OutputFile>,
    pub(crate) journal: Option<Journal<'a>>,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(inputs: impl IntoIterator<Item = Input>, settings: Settings<'a>) -> Self {
        Self {
            intake: Mutex::new(Intake {
                inputs: inputs.into_iter().collect(),
                taken: 0,
            }),
            progress: Mutex::default(),
            manner: settings.manner,
            rules: settings.rules,
            numbered: settings.numbered,
            clock: settings.clock,
            output: settings.output,
            shared: Shared::default(),
            output_file: settings.output_file.map(|file| Mutex::new(Some(file))),
            journal: settings.journal,
        }
    }

    /// Answers all requests, as many at a time as there are `apis`, and gives the exit code.
    pub(crate) fn run<A: Api + Sync>(&self, apis: &[A]) -> u8 {
        match apis {
            [only] => self.work(only),
            _ => std::thread::scope(|scope| {
                for api in apis {
                    scope.spawn(|| self.work(api));
                }
            }),
        }
        let taken = lock(&self.intake).taken;
        if taken == 0 {
            let error = Error::usage("there is no request").hint("see --help", "见 --help");
            self.respond(0, &mut Response::unsent(error), true);
        }
        let progress = self.progress();
        if taken > 1 {
            self.output.summary(&progress.tally);
        }
        match (progress.io_failed, progress.first_failure) {
            (true, _) => Kind::Io.exit_code(),
            (false, Some((_, exit_code))) => exit_code,
            (false, None) => 0,
        }
    }

    fn work(&self, api: &dyn Api) {
        let mut rest: Option<(Box<dyn Body>, Duration)> = None;
        while let Some(taken) = self.take() {
            if let Some((body, since)) = rest.take()
                && self.clock.now().saturating_sub(since) < REST_LIMIT
            {
                body.finish();
            }
            let number = taken.number;
            let (answered, recorded) = self.answer(api, taken);
            let since = self.clock.now();
            rest = answered.rest.map(|body| (body, since));
            let mut response = answered.response;
            self.write_output_file(&mut response);
            if let Err(trouble) = &recorded {
                tell_unrecorded(&mut response, trouble);
            }
            self.respond(number, &mut response, recorded.is_ok());
        }
    }

    /// The next request; nothing at the end, or when nothing more can be written.
    fn take(&self) -> Option<Taken> {
        let mut intake = lock(&self.intake);
        while let Some(input) = intake.inputs.front_mut() {
            let item = input.next();
            if self.progress().broken {
                return None;
            }
            if let Some(item) = item {
                intake.taken += 1;
                self.output.taken();
                return Some(self.understand(intake.taken - 1, item));
            }
            intake.inputs.pop_front();
        }
        None
    }

    /// Called in the order of the input, which is what the journal goes by.
    fn understand(&self, number: u64, item: Result<String, Error>) -> Taken {
        let mut request = match item {
            Ok(text) => Request::parse(&text, self.manner),
            Err(error) => Request::refused(error),
        };
        if number > 0 && self.output_file.is_some() {
            let error = Error::usage("-o takes one request, and this is another one");
            request.task = Err(error.hint(
                "leave out -o, or run them one by one",
                "请去掉 -o，或逐个运行",
            ));
        }
        let claim = match self.journal.as_ref().map(|journal| journal.claim(&request)) {
            None => None,
            Some(Ok(claim)) => claim,
            Some(Err(error)) => {
                // What is wrong with the request itself comes first.
                request.task = request.task.and(Err(error));
                None
            }
        };
        if self.numbered && request.id.is_none() {
            let number = RawValue::from_string(number.to_string());
            request.id = Some(number.expect("a number is JSON"));
        }
        Taken {
            number,
            request,
            claim,
        }
    }

    /// The answer, and whether the journal could take it.
    fn answer(&self, api: &dyn Api, taken: Taken) -> (Answered, Result<(), Error>) {
        let Taken {
            number,
            mut request,
            claim,
        } = taken;
        let entry = self.journal.as_ref().zip(claim.as_ref());
        if let Some((journal, claim)) = entry
            && let Ok(task) = request.task
        {
            request.task = match journal.recall(claim, task) {
                Recall::Act(task) => Ok(task),
                Recall::Answer(mut response) => {
                    response.id = request.id;
                    response.workflow_id = response.workflow_id.or(request.workflow_id);
                    let answered = Answered {
                        response: *response,
                        rest: None,
                    };
                    return (answered, Ok(()));
                }
            };
        }
        let runner = Runner {
            api,
            clock: self.clock,
            rules: Rules {
                batch: self.rules.batch || number > 0,
                ..self.rules
            },
            shared: &self.shared,
        };
        let witness = Witness {
            output: self.output,
            request: request.id.clone(),
            entry,
        };
        let mut answered = runner.answer(request, &witness);
        let recorded = entry.map_or(Ok(()), |(journal, claim)| {
            self.output.mask_response(&mut answered.response);
            journal.settle(claim, &mut answered.response)
        });
        (answered, recorded)
    }

    /// Moves the output of a success to the file that `-o` names. The run is paid for, so when that
    /// fails the output stays in the response.
    fn write_output_file(&self, response: &mut Response) {
        let Some(slot) = &self.output_file else {
            return;
        };
        if !matches!(response.verdict, Verdict::Success) {
            return;
        }
        let Some(file) = lock(slot).take() else {
            return;
        };
        match file.write(response.output.plain().as_bytes()) {
            Ok(written) => {
                response.output_file = Some(written);
                response.output = Text::default();
            }
            Err(sentence) => {
                let trouble = Error::new(Kind::Io, sentence)
                    .hint("output holds the text", "文本在 output 中");
                response.verdict = Verdict::Unwritten(trouble);
            }
        }
    }

    fn respond(&self, number: u64, response: &mut Response, recorded: bool) {
        let written = self.output.respond(response);
        let mut progress = self.progress();
        progress.tally.count(response.kind());
        progress.broken |= !written;
        let exit_code = response.exit_code();
        progress.io_failed |= !written || !recorded || exit_code == Kind::Io.exit_code();
        if exit_code != 0 {
            let earlier = progress.first_failure.filter(|(first, _)| *first < number);
            progress.first_failure = Some(earlier.unwrap_or((number, exit_code)));
        }
        self.output.answered(&progress.tally);
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        lock(&self.progress)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The run is what it is; that the journal doesn't know it is said as well.
fn tell_unrecorded(response: &mut Response, why: &Error) {
    match &mut response.verdict {
        Verdict::Success => response.verdict = Verdict::Unwritten(why.clone()),
        Verdict::Error(trouble) | Verdict::Unwritten(trouble) if trouble.kind != Kind::Io => {
            trouble.message = format!("{}; {}", trouble.message, why.message);
        }
        Verdict::Error(_) | Verdict::Unwritten(_) | Verdict::Interrupted(..) => {}
    }
}

/// Tells of one request, on the screen and in the journal.
struct Witness<'a> {
    output: &'a dyn Output,
    request: Option<Box<RawValue>>,
    entry: Option<(&'a Journal<'a>, &'a Claim)>,
}

impl Observer for Witness<'_> {
    fn starting(&self) -> Result<(), Error> {
        match self.entry {
            Some((journal, claim)) => journal.starting(claim),
            None => Ok(()),
        }
    }

    fn may_send(&self) -> Result<(), Error> {
        match self.output.is_broken() {
            false => Ok(()),
            true => Err(Error::new(
                Kind::Io,
                "not sent, for nothing more can be written to standard output",
            )),
        }
    }

    fn started(&self, execute_id: &str, background: bool) {
        if background {
            self.output.started(execute_id);
        }
        if let Some((journal, claim)) = self.entry {
            let mode = if background {
                Mode::Async
            } else {
                Mode::Stream
            };
            journal.started(claim, execute_id, mode);
        }
    }

    fn note(&self, note: &Note<'_>) {
        if let Note::Event(frame) = note {
            self.output.event(frame, self.request.as_deref());
        }
        self.output.note(note);
    }
}
