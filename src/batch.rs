//! Many requests: read one by one, no faster than they are answered, by one worker or several; what
//! each comes to is handed to `Output`, and all together to one exit code. Knows no HTTP.

mod entry;
mod fingerprint;
pub(crate) mod journal;
pub(crate) mod output_file;
pub(crate) mod totals;

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::value::RawValue;

use self::journal::{Journal, Patience, Recall, Ticket};
use self::output_file::OutputFile;
use self::totals::Totals;
use crate::coze::call::Mode;
use crate::error::{Error, Kind};
use crate::http::Http;
use crate::input::request::{Defaults, Request, Task};
use crate::input::source::Input;
use crate::response::{Response, Status};
use crate::run::{Note, Observer, Rules, Runner, Shared};
use crate::sse::Frame;
use crate::text::Text;
use crate::time::{Clock, Deadline};

/// So many requests on which other processes work are put aside, while others are answered.
const ASIDE_LIMIT: usize = 64;

/// Where everything goes that is reported of requests.
pub(crate) trait Output: Sync {
    /// A request was taken up. `is_last`: no other one has been read, nor is at hand.
    fn taken(&self, is_last: bool);
    /// Nothing more can be written to standard output.
    fn is_broken(&self) -> bool;
    /// Masks the key where the service's words quote it.
    fn mask(&self, response: &mut Response);
    /// A word about the requests themselves.
    fn warn(&self, english: &'static str, chinese: &'static str);
    /// Masks and writes one response to a request that was taken up at `began`; false when nothing
    /// more can be written.
    fn respond(&self, response: &mut Response, began: Duration) -> bool;
    /// An event as it arrives; `request` is the request's `id`.
    fn event(&self, frame: &Frame<'_>, request: Option<&RawValue>);
    /// A step on the way.
    fn note(&self, note: &Note<'_>);
    /// A background run is known by its id.
    fn started(&self, execute_id: &str);
    /// How many requests came to what so far.
    fn answered(&self, totals: &Totals);
    /// How many requests came to what in the end, when there were several.
    fn summary(&self, totals: &Totals);
}

/// Requests to be answered, and how.
pub(crate) struct Batch<'a> {
    intake: Mutex<Intake>,
    progress: Mutex<Progress>,
    settings: Settings<'a>,
    /// `-o`: for the first request, and no second one.
    output_file: Mutex<Option<OutputFile>>,
    has_output_file: bool,
    /// Requests on which other processes work.
    aside: Mutex<VecDeque<Taken>>,
}

/// What a batch needs beside its inputs.
pub(crate) struct Settings<'a> {
    pub(crate) defaults: Defaults,
    pub(crate) rules: Rules,
    /// Whether a request without an `id` gets its number instead.
    pub(crate) numbered: bool,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) output: &'a dyn Output,
    pub(crate) shared: Shared,
    pub(crate) output_file: Option<OutputFile>,
    pub(crate) journal: Option<Journal<'a>>,
}

/// A request that was taken up.
struct Taken {
    number: u64,
    began: Duration,
    request: Request,
}

/// Held while a request is waited for: whoever has one to answer must not wait with it.
struct Intake {
    inputs: VecDeque<Input>,
    taken: u64,
}

#[derive(Default)]
struct Progress {
    /// Nothing more can be written, so nothing more is started.
    is_broken: bool,
    totals: Totals,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(inputs: Vec<Input>, mut settings: Settings<'a>) -> Self {
        let output_file = settings.output_file.take();
        Self {
            intake: Mutex::new(Intake {
                inputs: inputs.into(),
                taken: 0,
            }),
            progress: Mutex::default(),
            settings,
            has_output_file: output_file.is_some(),
            output_file: Mutex::new(output_file),
            aside: Mutex::default(),
        }
    }

    /// Answers all requests, one at a time for each client, and gives the exit code. An error comes
    /// before anything is sent.
    pub(crate) fn run<H: Http + Sync>(&self, clients: &[H]) -> Result<u8, Error> {
        match clients {
            [only] => self.work(only),
            _ => self.work_together(clients)?,
        }
        let taken = lock(&self.intake).taken;
        if taken == 0 {
            return Err(Error::usage("there is no request").hint("see --help", "见 --help"));
        }
        let progress = self.progress();
        if taken > 1 {
            self.settings.output.summary(&progress.totals);
        }
        Ok(progress.totals.exit_code(self.settings.journal.is_some()))
    }

    /// All threads are there before the first request is taken: one that can't be had later would
    /// end the program with paid runs in hand.
    fn work_together<H: Http + Sync>(&self, clients: &[H]) -> Result<(), Error> {
        let started = thread::scope(|scope| -> io::Result<()> {
            let mut starts = Vec::new();
            for client in clients {
                let (start, started) = channel::<()>();
                thread::Builder::new().spawn_scoped(scope, move || {
                    if started.recv().is_ok() {
                        self.work(client);
                    }
                })?;
                starts.push(start);
            }
            for start in starts {
                // A worker that waits for it is there.
                let _ = start.send(());
            }
            Ok(())
        });
        started.map_err(|error| {
            let message = format!("cannot start {} threads: {error}", clients.len());
            Error::config(message).hint("take fewer --jobs", "请减小 --jobs")
        })
    }

    fn work(&self, http: &dyn Http) {
        while let Some((taken, patience)) = self.next() {
            let starts = !matches!(taken.request.task, Ok(Task::Watch(_)));
            let Some(mut response) = self.answer(http, &taken, patience) else {
                lock(&self.aside).push_back(taken);
                continue;
            };
            self.write_output_file(&mut response);
            self.respond(&mut response, &taken, starts);
        }
    }

    /// The next request, or one that was put aside and is to be waited for.
    fn next(&self) -> Option<(Taken, Patience)> {
        let oldest_of = |least: usize| {
            let mut aside = lock(&self.aside);
            let taken = (aside.len() >= least).then(|| aside.pop_front())??;
            let timeout = self.settings.rules.timeout;
            let deadline = Deadline::after(self.settings.clock, timeout);
            Some((taken, Patience::Until(deadline)))
        };
        oldest_of(ASIDE_LIMIT).or_else(|| match self.take() {
            Some(taken) => Some((taken, Patience::None)),
            None if self.progress().is_broken => None,
            None => oldest_of(1),
        })
    }

    /// The next request; nothing at the end, or when nothing more can be written.
    fn take(&self) -> Option<Taken> {
        let mut intake = lock(&self.intake);
        while let Some(input) = intake.inputs.front_mut() {
            let item = input.next();
            let has_more = input.has_more_at_hand();
            if self.progress().is_broken {
                return None;
            }
            if let Some(item) = item {
                intake.taken += 1;
                let is_last = !has_more && intake.inputs.len() == 1;
                self.settings.output.taken(is_last);
                return Some(self.understand(intake.taken - 1, item));
            }
            intake.inputs.pop_front();
        }
        None
    }

    fn understand(&self, number: u64, item: Result<String, Error>) -> Taken {
        let mut request = match item {
            Ok(text) => Request::parse(&text, self.settings.defaults),
            Err(error) => Request::refused(error),
        };
        if number > 0 && self.has_output_file {
            let error = Error::usage("-o takes one request, and this is another one");
            request.task = Err(error.hint(
                "leave out -o, or run them one by one",
                "请去掉 -o，或逐个运行",
            ));
        }
        let began = self.settings.clock.now();
        Taken {
            number,
            began,
            request,
        }
    }

    /// The response; nothing while another process works on the request.
    fn answer(&self, http: &dyn Http, taken: &Taken, patience: Patience) -> Option<Response> {
        let (number, request) = (taken.number, &taken.request);
        let mut response = loop {
            let (task, ticket) = match self.recall(request, patience) {
                Recall::Unkept => break self.run_task(http, taken, &request.task, None, patience),
                Recall::Answer(response) => break *response,
                Recall::Refuse(error) => {
                    break self.run_task(http, taken, &Err(error), None, patience);
                }
                Recall::Busy => return None,
                Recall::Run(ticket) => (None, ticket),
                Recall::Watch(watch, ticket) => (Some(Ok(Task::Watch(watch))), ticket),
            };
            let task = task.as_ref().unwrap_or(&request.task);
            let mut response = self.run_task(http, taken, task, Some(&ticket), patience);
            // Where another process began it in the meantime, nothing was sent.
            if ticket.is_lost() {
                continue;
            }
            self.settings.output.mask(&mut response);
            if let Err(error) = ticket.settle(&mut response) {
                add_fault(&mut response, error);
            }
            break response;
        };
        response.id = response.id.take().or_else(|| self.number(number));
        Some(response)
    }

    fn recall(&self, request: &Request, patience: Patience) -> Recall<'_> {
        let Some(journal) = &self.settings.journal else {
            return Recall::Unkept;
        };
        let recall = journal.recall(request, patience);
        if journal.has_met_equals() {
            self.settings.output.warn(
                "equal requests without an id are one request in the journal, and are answered \
                 alike; ids would make them several",
                "内容相同且不带 id 的请求在运行记录中算作同一个请求，结果相同；带上不同的 id 即为多个请求",
            );
        }
        recall
    }

    fn run_task(
        &self,
        http: &dyn Http,
        taken: &Taken,
        task: &Result<Task, Error>,
        ticket: Option<&Ticket<'_>>,
        patience: Patience,
    ) -> Response {
        let (number, request) = (taken.number, &taken.request);
        let Settings {
            clock,
            rules,
            output,
            shared,
            ..
        } = &self.settings;
        let runner = Runner {
            http,
            clock: *clock,
            rules: Rules {
                batch: rules.batch || number > 0,
                timeout: match patience {
                    Patience::None => rules.timeout,
                    Patience::Until(deadline) => deadline.left(*clock),
                },
                ..*rules
            },
            shared,
        };
        let witness = Witness {
            output: *output,
            request: request.id.clone().or_else(|| self.number(number)),
            ticket,
        };
        runner.answer(request, task, &witness)
    }

    /// What a request without an `id` gets instead, where responses have to be told apart.
    fn number(&self, number: u64) -> Option<Box<RawValue>> {
        let number = RawValue::from_string(number.to_string());
        let is_numbered = self.settings.numbered || self.settings.journal.is_some();
        is_numbered.then(|| number.expect("a number is JSON"))
    }

    /// Moves the output of a success to the file that `-o` names. The run is paid for, so when that
    /// fails the output stays in the response.
    fn write_output_file(&self, response: &mut Response) {
        if response.status != Status::Success {
            return;
        }
        let Some(file) = lock(&self.output_file).take() else {
            return;
        };
        let name = file.name();
        let output = response.output.plain().into_owned();
        match file.write(output.as_bytes()) {
            Ok(()) => {
                response.output_bytes = Some(output.len() as u64);
                response.output_file = Some(name);
                response.output = Text::default();
            }
            Err(error) => {
                let message = format!("cannot write {name}: {error}");
                let error = Error::new(Kind::Io, message);
                response.error = Some(error.hint("output holds the text", "文本在 output 中"));
            }
        }
    }

    fn respond(&self, response: &mut Response, taken: &Taken, starts: bool) {
        let is_written = self.settings.output.respond(response, taken.began);
        let mut progress = self.progress();
        progress.totals.count(response.kind(), starts);
        if !is_written {
            progress.is_broken = true;
            progress.totals.lost();
        }
        self.settings.output.answered(&progress.totals);
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        lock(&self.progress)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The run is what it is; that the journal could not take its end is said as well.
fn add_fault(response: &mut Response, fault: Error) {
    match &mut response.error {
        None => response.error = Some(fault),
        Some(error) if error.kind != Kind::Io => {
            error.message = format!("{}; {}", error.message, fault.message);
            error.kind = Kind::Io;
        }
        Some(_) => {}
    }
}

/// Reports on one request, to the screen and to the journal.
struct Witness<'a> {
    output: &'a dyn Output,
    request: Option<Box<RawValue>>,
    ticket: Option<&'a Ticket<'a>>,
}

impl Observer for Witness<'_> {
    fn starting(&self) -> Result<(), Error> {
        self.ticket.map_or(Ok(()), Ticket::starting)
    }

    fn rate_refused(&self, why: &Error) {
        if let Some(ticket) = self.ticket {
            ticket.rate_refused(why);
        }
    }

    fn may_send(&self) -> Result<(), Error> {
        if self.output.is_broken() {
            let message = "not sent, because nothing more can be written to standard output";
            return Err(Error::new(Kind::Io, message));
        }
        Ok(())
    }

    fn started(&self, execute_id: &str, mode: Mode) {
        // On the disk before anybody is told; and where the journal keeps it, nobody has to be.
        match self.ticket {
            Some(ticket) => ticket.started(execute_id, mode),
            None if mode == Mode::Async => self.output.started(execute_id),
            None => {}
        }
    }

    fn note(&self, note: &Note<'_>) {
        if let Note::Event(frame) = note {
            self.output.event(frame, self.request.as_deref());
        }
        self.output.note(note);
    }
}
