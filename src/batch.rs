//! Many requests: read one by one, no faster than they are answered, by one worker or several; what
//! each comes to is handed to `Output`, and all together to one exit code. Knows no HTTP.

mod entry;
mod fingerprint;
mod intake;
pub(crate) mod journal;
pub(crate) mod output_file;
pub(crate) mod rehearsal;
pub(crate) mod totals;

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::value::RawValue;

use self::intake::{Intake, Item, Next};
use self::journal::{Journal, Patience, Recall, Ticket};
use self::output_file::OutputFile;
use self::totals::Totals;
use crate::cli::Options;
use crate::coze::call::Mode;
use crate::error::{Error, Kind};
use crate::http::Http;
use crate::input::request::{Request, Task};
use crate::input::source::Input;
use crate::response::{Response, Status};
use crate::run::rehearse::Report;
use crate::run::{Note, Observer, Rules, Runner, Shared};
use crate::sse::Frame;
use crate::text::Text;
use crate::time::{Clock, Deadline};

/// So many requests on which other processes work are put aside, while others are answered.
const ASIDE_LIMIT: usize = 64;

/// How often such a request is looked at while no other one is there to be answered.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// So many files a job has open at most: a connection for a start, one for polls; and with a
/// journal its entry, twice while it is read.
const FILES: usize = 2;
const JOURNAL_FILES: usize = 2;
/// And so many are opened for all of them, to look up a name.
const SHARED_FILES: usize = 4;

/// Where everything goes that is reported of requests.
pub(crate) trait Output: Sync {
    /// A request was taken up. `is_last`: no other one is known to follow.
    fn taken(&self, is_last: bool);
    /// No other request will be taken up.
    fn all_taken(&self) {}
    /// Nothing more can be written to standard output.
    fn is_broken(&self) -> bool;
    /// Masks the key where the service's words quote it.
    fn mask(&self, response: &mut Response);
    fn mask_error(&self, error: Error) -> Error;
    /// A word about the requests themselves.
    fn warn(&self, english: &'static str, chinese: &'static str);
    /// Masks and writes one response to a request that was taken up at `began`; false when nothing
    /// more can be written.
    fn respond(&self, response: &mut Response, began: Duration) -> bool;
    /// Masks and writes what `--check` found; false when nothing more can be written.
    fn report(&self, report: &mut Report<'_>) -> bool;
    /// An event as it arrives; `request` is the request's `id`.
    fn event(&self, frame: &Frame<'_>, request: Option<&RawValue>);
    /// A step on the way.
    fn note(&self, note: &Note<'_>);
    /// A background run is known by its id.
    fn started(&self, execute_id: &str);
    /// How many requests came to what so far.
    fn answered(&self, totals: &Totals);
    /// How many requests came to what in the end, when there were several.
    fn summary(&self, totals: &Totals, exit_code: u8);
}

/// Requests to be answered, and how.
pub(crate) struct Batch<'a> {
    settings: Settings<'a>,
    has_output_file: bool,
    /// Held while a request is waited for: whoever has one to answer must not wait with it.
    queue: Mutex<Queue>,
    /// Requests on which other processes work.
    aside: Mutex<VecDeque<Taken>>,
    totals: Mutex<Totals>,
}

/// What a batch needs beside its inputs.
pub(crate) struct Settings<'a> {
    pub(crate) options: &'a Options,
    pub(crate) rules: Rules,
    /// Whether a request without an `id` gets its number instead.
    pub(crate) numbered: bool,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) output: &'a dyn Output,
    pub(crate) shared: Shared,
    pub(crate) output_file: Option<OutputFile>,
    pub(crate) journal: Option<Journal<'a>>,
}

struct Queue {
    intake: Intake,
    taken: u64,
    /// `-o`: for the first request, and no second one.
    output_file: Option<OutputFile>,
}

/// A request that was taken up.
struct Taken {
    began: Duration,
    request: Request,
    /// The request's `id`, or else its number where responses have to be told apart.
    id: Option<Box<RawValue>>,
    /// It is not the only one.
    is_one_of_many: bool,
    output_file: Option<OutputFile>,
    patience: Patience,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(inputs: Vec<Input>, mut settings: Settings<'a>) -> Result<Self, Error> {
        let output_file = settings.output_file.take();
        let intake = match settings.journal {
            Some(_) => Intake::in_thread(inputs).map_err(|error| no_threads(1, &error))?,
            None => Intake::of(inputs),
        };
        Ok(Self {
            settings,
            has_output_file: output_file.is_some(),
            queue: Mutex::new(Queue {
                intake,
                taken: 0,
                output_file,
            }),
            aside: Mutex::default(),
            totals: Mutex::default(),
        })
    }

    /// Answers all requests, one at a time for each client, and gives the exit code. An error comes
    /// before anything is sent.
    pub(crate) fn run<H: Http + Sync>(&self, clients: &[H]) -> Result<u8, Error> {
        self.open_files(clients.len())?;
        if let [only] = clients {
            self.work(only);
        } else {
            let worked = self.work_together(clients);
            worked.map_err(|error| no_threads(clients.len(), &error))?;
        }
        let taken = lock(&self.queue).taken;
        if taken == 0 {
            return Err(no_request());
        }
        let totals = lock(&self.totals);
        let exit_code = totals.exit_code(self.settings.journal.is_some());
        if taken > 1 {
            self.settings.output.summary(&totals, exit_code);
        }
        Ok(exit_code)
    }

    /// Opens as many files as will be needed, and closes them again: one that can't be had later
    /// would fail a run that is paid for.
    fn open_files(&self, jobs: usize) -> Result<(), Error> {
        let journal_files = self.settings.journal.as_ref().map_or(0, |_| JOURNAL_FILES);
        let needed = jobs * (FILES + journal_files) + SHARED_FILES;
        let mut files = Vec::new();
        let opened = io::pipe().and_then(|(file, _)| {
            for _ in 0..needed {
                files.push(file.try_clone()?);
            }
            Ok(())
        });
        opened.map_err(|error| {
            let had = files.len();
            let message =
                format!("{needed} more files are needed, and {had} can be opened: {error}");
            Error::config(message).hint(
                "raise the limit (ulimit -n), or take fewer --jobs",
                "请提高上限（ulimit -n），或减小 --jobs",
            )
        })
    }

    /// All threads are there before the first request is taken: one that can't be had later would
    /// end the program with paid runs in hand.
    fn work_together<H: Http + Sync>(&self, clients: &[H]) -> io::Result<()> {
        thread::scope(|scope| {
            // Whoever is there waits for this.
            let mut queue = lock(&self.queue);
            for client in clients {
                let spawned = thread::Builder::new().spawn_scoped(scope, || self.work(client));
                if let Err(error) = spawned {
                    queue.intake = Intake::of(Vec::new());
                    return Err(error);
                }
            }
            Ok(())
        })
    }

    fn work(&self, http: &dyn Http) {
        while let Some(taken) = self.next() {
            match self.answer(http, &taken) {
                Some(response) => self.deliver(response, taken),
                None => lock(&self.aside).push_back(taken),
            }
        }
    }

    /// The next request; or one that was put aside, when there are many of them, or no other one.
    fn next(&self) -> Option<Taken> {
        loop {
            let aside = lock(&self.aside).len();
            let next = if aside < ASIDE_LIMIT {
                self.take(aside > 0)
            } else {
                Next::End
            };
            let may_wait = match next {
                Next::Request(taken) => return Some(taken),
                Next::End if aside == 0 || self.settings.output.is_broken() => return None,
                Next::End => true,
                Next::NotYet => false,
            };
            if let Some(mut taken) = lock(&self.aside).pop_front() {
                taken.patience = self.more_patience(taken.patience, may_wait);
                return Some(taken);
            }
        }
    }

    /// Its time counts from when it is waited for.
    fn more_patience(&self, patience: Patience, may_wait: bool) -> Patience {
        let Settings { clock, rules, .. } = self.settings;
        let deadline = match patience {
            Patience::None => Deadline::after(clock, rules.timeout),
            Patience::Look(deadline) | Patience::Until(deadline) => deadline,
        };
        if may_wait {
            Patience::Until(deadline)
        } else {
            Patience::Look(deadline)
        }
    }

    /// The next request; the end also when nothing more can be written. With some put aside, it is
    /// not waited for long.
    fn take(&self, has_aside: bool) -> Next<Taken> {
        let mut queue = match self.queue.try_lock() {
            Ok(queue) => queue,
            Err(_) if has_aside => {
                self.settings.clock.sleep(LOOK_PAUSE);
                return Next::NotYet;
            }
            Err(_) => lock(&self.queue),
        };
        let next = queue.intake.next(has_aside.then_some(LOOK_PAUSE));
        if self.settings.output.is_broken() {
            return Next::End;
        }
        match next {
            Next::Request(item) => {
                self.settings.output.taken(!item.is_followed);
                queue.taken += 1;
                Next::Request(self.understand(&mut queue, item))
            }
            Next::NotYet => Next::NotYet,
            Next::End => {
                self.settings.output.all_taken();
                Next::End
            }
        }
    }

    fn understand(&self, queue: &mut Queue, Item { text, is_followed }: Item) -> Taken {
        let number = queue.taken - 1;
        let mut request = match text {
            Ok(text) => Request::parse(&text, self.settings.options),
            Err(error) => Request::refused(error),
        };
        let is_one_of_many = number > 0 || is_followed;
        let output_file = queue.output_file.take();
        if is_one_of_many && self.has_output_file {
            let error = Error::usage("-o takes one request, and there are several");
            request.task = Err(error.hint(
                "leave out -o, or run them one by one",
                "请去掉 -o，或逐个运行",
            ));
        }
        let is_numbered = self.settings.numbered || self.settings.journal.is_some();
        let number = RawValue::from_string(number.to_string()).expect("a number is JSON");
        Taken {
            began: self.settings.clock.now(),
            id: request.id.clone().or(is_numbered.then_some(number)),
            request,
            is_one_of_many,
            output_file,
            patience: Patience::None,
        }
    }

    /// The response; nothing while another process works on the request.
    fn answer(&self, http: &dyn Http, taken: &Taken) -> Option<Response> {
        let own = &taken.request.task;
        loop {
            let (task, ticket) = match self.recall(taken) {
                Recall::Unkept => return Some(self.run_task(http, taken, own, None)),
                Recall::Refuse(error) => {
                    return Some(self.run_task(http, taken, &Err(error), None));
                }
                Recall::Answer(response) => return Some(*response),
                Recall::Busy => return None,
                Recall::Run(ticket) => (None, ticket),
                Recall::Watch(watch, ticket) => (Some(Ok(Task::Watch(watch))), ticket),
            };
            let task = task.as_ref().unwrap_or(own);
            let mut response = self.run_task(http, taken, task, Some(&ticket));
            // Where another process began it in the meantime, nothing was sent.
            if ticket.is_lost() {
                continue;
            }
            self.settings.output.mask(&mut response);
            if let Err(error) = ticket.settle(&mut response) {
                add_fault(&mut response, error);
            }
            return Some(response);
        }
    }

    fn recall(&self, taken: &Taken) -> Recall<'_> {
        let Some(journal) = &self.settings.journal else {
            return Recall::Unkept;
        };
        let recall = journal.recall(&taken.request, taken.patience);
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
    ) -> Response {
        let settings = &self.settings;
        let mut rules = settings.rules;
        rules.batch |= taken.is_one_of_many;
        if let Patience::Look(deadline) | Patience::Until(deadline) = taken.patience {
            rules.timeout = deadline.left(settings.clock);
        }
        let runner = Runner {
            http,
            clock: settings.clock,
            rules,
            shared: &settings.shared,
        };
        let witness = Witness {
            output: settings.output,
            request: taken.id.as_deref(),
            ticket,
        };
        runner.answer(&taken.request, task, &witness)
    }

    fn deliver(&self, mut response: Response, taken: Taken) {
        if let Some(file) = taken.output_file
            && response.status == Status::Success
        {
            write_output(&mut response, file);
        }
        response.id = taken.id;
        let starts = !matches!(taken.request.task, Ok(Task::Watch(_)));
        let is_written = self.settings.output.respond(&mut response, taken.began);
        let mut totals = lock(&self.totals);
        totals.count(response.kind(), starts);
        totals.from_journal += u64::from(response.is_from_journal);
        if !is_written {
            totals.lost();
        }
        self.settings.output.answered(&totals);
    }
}

fn no_request() -> Error {
    Error::usage("there is no request").hint("see --help", "见 --help")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_threads(count: usize, error: &io::Error) -> Error {
    let message = format!("cannot start {count} threads: {error}");
    Error::config(message).hint("take fewer --jobs", "请减小 --jobs")
}

/// Moves the output of a success to the file that `-o` names. The run is paid for, so when that
/// fails the output stays in the response.
fn write_output(response: &mut Response, file: OutputFile) {
    let name = file.name();
    let output = response.output.plain().into_owned();
    match file.write(output.as_bytes()) {
        Ok(()) => {
            response.output_bytes = Some(output.len() as u64);
            response.output_file = Some(name);
            response.output = Text::default();
        }
        Err(error) => {
            let error = Error::new(Kind::Io, format!("cannot write {name}: {error}"));
            add_fault(
                response,
                error.hint("output holds the text", "文本在 output 中"),
            );
        }
    }
}

/// The run is what it is; that the journal could not take its end is said as well.
fn add_fault(response: &mut Response, fault: Error) {
    match &mut response.error {
        None => response.error = Some(fault),
        Some(error) if !error.message.contains(&fault.message) => {
            error.message = format!("{}; {}", error.message, fault.message);
            error.kind = Kind::Io;
        }
        Some(_) => {}
    }
}

/// Reports on one request, to the screen and to the journal.
struct Witness<'a> {
    output: &'a dyn Output,
    request: Option<&'a RawValue>,
    ticket: Option<&'a Ticket<'a>>,
}

impl Observer for Witness<'_> {
    fn starting(&self) -> Result<(), Error> {
        self.ticket.map_or(Ok(()), Ticket::starting)
    }

    fn rate_refused(&self, why: &Error) {
        if let Some(ticket) = self.ticket {
            ticket.rate_refused(&self.output.mask_error(why.clone()));
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
            self.output.event(frame, self.request);
        }
        self.output.note(note);
    }
}
