//! Many requests: read one by one, no faster than they are answered, by one worker or several; what
//! each comes to is handed to the console, and all together to one exit code. Knows no HTTP.

mod entry;
mod identity;
mod intake;
pub(crate) mod journal;
mod new_file;
pub(crate) mod output_file;
pub(crate) mod rehearsal;

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::value::RawValue;

use self::intake::{Arrival, Intake, Item, Items};
use self::journal::{Journal, Patience, Recall, Ticket};
use self::output_file::OutputFile;
use crate::cli::Options;
use crate::config::Rules;
use crate::console::Console;
use crate::coze::call::{Mode, RunRef};
use crate::error::{Error, Kind};
use crate::http::Http;
use crate::input::request::{Request, Task};
use crate::input::source::Input;
use crate::response::totals::Totals;
use crate::response::{Response, Status};
use crate::run::{Note, Observer, OwnRun, Runner, Shared, lock};
use crate::text::Text;
use crate::time::{Clock, Deadline};

/// So many requests on which other processes work are put aside, while others are answered.
const ASIDE_LIMIT: usize = 64;

/// How often such a request is tried again while no other one is there to be answered.
const ASIDE_PAUSE: Duration = Duration::from_millis(50);

/// So many files a job has open at most: a connection for a start, one for polls; and with a
/// journal its entry, twice while it is read.
const FILES: usize = 2;
const JOURNAL_FILES: usize = 2;
/// And so many are opened for all of them, to look up a name.
const SHARED_FILES: usize = 4;

/// Requests to be answered, and how.
struct Batch<'a> {
    settings: Settings<'a>,
    /// Held while a request is waited for: whoever has one to answer must not wait with it.
    intake: Mutex<Intake>,
    /// Requests on which other processes work.
    aside: Mutex<VecDeque<Taken>>,
    totals: Mutex<Totals>,
}

/// What a batch needs beside its inputs.
pub(crate) struct Settings<'a> {
    pub(crate) options: &'a Options,
    pub(crate) rules: Rules,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) console: &'a Console<'a>,
    pub(crate) shared: &'a Shared,
    /// `-o`: for the only request. Where there are several, none has an output.
    pub(crate) output_file: Mutex<Option<OutputFile>>,
    pub(crate) journal: Option<Journal<'a>>,
}

/// A request that was taken up.
struct Taken {
    began: Duration,
    request: Request,
    /// The request's `id`, or else its number where responses have to be told apart.
    id: Option<Box<RawValue>>,
    /// It is not the only one.
    is_one_of_many: bool,
    /// Once it was put aside: how long it is waited for now.
    patience: Option<Patience>,
}

/// Answers all requests, one at a time for each client, and gives the exit code. An error comes before
/// anything is sent.
pub(crate) fn run<H: Http + Sync>(
    inputs: Vec<Input>,
    settings: Settings<'_>,
    clients: &[H],
) -> Result<u8, Error> {
    let items = Items::of(inputs);
    let intake = match settings.journal {
        Some(_) => Intake::in_thread(items).map_err(|error| no_threads(1, &error))?,
        None => Intake::Direct(items),
    };
    let batch = Batch {
        intake: Mutex::new(intake),
        aside: Mutex::default(),
        totals: Mutex::default(),
        settings,
    };
    batch.open_files(clients.len())?;
    let worked = batch.work_together(clients);
    worked.map_err(|error| no_threads(clients.len(), &error))?;
    let has_journal = batch.settings.journal.is_some();
    finish(&lock(&batch.totals), has_journal, batch.settings.console)
}

impl Batch<'_> {
    /// Opens as many files as will be needed, and closes them again: one that can't be had later
    /// would fail a run that is paid for.
    fn open_files(&self, jobs: usize) -> Result<(), Error> {
        let journal_files = self.settings.journal.as_ref().map_or(0, |_| JOURNAL_FILES);
        let needed = jobs * (FILES + journal_files) + SHARED_FILES;
        let mut files = Vec::new();
        let opened = io::pipe().and_then(|(file, _)| {
            (0..needed).try_for_each(|_| file.try_clone().map(|file| files.push(file)))
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
        let Some((own, others)) = clients.split_first() else {
            return Ok(());
        };
        thread::scope(|scope| {
            // Whoever is there waits for this.
            let mut intake = lock(&self.intake);
            for client in others {
                let spawned = thread::Builder::new().spawn_scoped(scope, || self.work(client));
                if let Err(error) = spawned {
                    *intake = Intake::Direct(Items::of(Vec::new()));
                    return Err(error);
                }
            }
            drop(intake);
            self.work(own);
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
        let Settings { clock, rules, .. } = self.settings;
        while !self.settings.console.is_broken() {
            let aside = lock(&self.aside).len();
            let is_full = aside >= ASIDE_LIMIT;
            let next = if is_full {
                // Not asked: first there have to be fewer.
                Arrival::NotYet
            } else {
                self.take(aside > 0)
            };
            let may_wait = is_full || matches!(next, Arrival::End);
            match next {
                Arrival::Item(item) => return Some(self.understand(item)),
                Arrival::End if aside == 0 => return None,
                Arrival::End | Arrival::NotYet => {}
            }
            if let Some(mut taken) = lock(&self.aside).pop_front() {
                // Its time counts from when it is waited for.
                let begun = taken.patience.map(|patience| patience.until);
                let until = begun.unwrap_or_else(|| Deadline::after(clock, rules.timeout));
                taken.patience = Some(Patience { until, may_wait });
                return Some(taken);
            }
        }
        None
    }

    /// What the input has. With some put aside, it is not waited for long.
    fn take(&self, has_aside: bool) -> Arrival {
        let Settings { clock, console, .. } = self.settings;
        let mut intake = match self.intake.try_lock() {
            Ok(intake) => intake,
            Err(_) if has_aside => {
                clock.sleep(ASIDE_PAUSE);
                return Arrival::NotYet;
            }
            Err(_) => lock(&self.intake),
        };
        let next = intake.take(has_aside.then_some(ASIDE_PAUSE));
        match &next {
            Arrival::Item(item) => console.taken(item.is_last),
            Arrival::End => console.all_taken(),
            Arrival::NotYet => {}
        }
        next
    }

    fn understand(&self, item: Item) -> Taken {
        let (number, is_one_of_many) = (item.number, item.is_one_of_many());
        let mut request = Request::of(item.text, self.settings.options);
        if is_one_of_many && self.settings.options.output.is_some() {
            let error = Error::usage("-o takes one request, and there are several");
            request.task = Err(error.hint(
                "leave out -o, or run them one by one",
                "请去掉 -o，或逐个运行",
            ));
        }
        let is_numbered = self.settings.rules.batch || self.settings.journal.is_some();
        Taken {
            began: self.settings.clock.now(),
            id: request.id_or(is_numbered.then_some(number)),
            request,
            is_one_of_many,
            patience: None,
        }
    }

    /// The response; nothing while another process works on the request.
    fn answer(&self, http: &dyn Http, taken: &Taken) -> Option<Response> {
        let settings = &self.settings;
        let (task, ticket) = match self.recall(taken) {
            Recall::Unkept => (None, None),
            Recall::Refuse(error) => (Some(Err(error)), None),
            Recall::Run(ticket) => (None, Some(ticket)),
            Recall::Watch(run, ticket) => (Some(Ok(Task::Watch(run))), Some(ticket)),
            Recall::Answer(response) => return Some(*response),
            Recall::Busy => return None,
        };
        let mut rules = settings.rules;
        rules.batch |= taken.is_one_of_many;
        if let Some(patience) = taken.patience {
            rules.timeout = patience.until.left(settings.clock);
        }
        let runner = Runner::new(http, settings.clock, rules, settings.shared);
        let witness = Witness {
            console: settings.console,
            request: taken.id.as_deref(),
            ticket: ticket.as_ref(),
        };
        let task = task.as_ref().unwrap_or(&taken.request.task);
        let mut response = runner.answer(&taken.request, task, &witness);
        if let Some(ticket) = ticket {
            // Another process began it in the meantime, so nothing was sent.
            if ticket.is_lost() {
                return None;
            }
            settings.console.mask(&mut response);
            if let Err(error) = ticket.settle(&mut response) {
                add_fault(&mut response, error);
            }
        }
        Some(response)
    }

    fn recall(&self, taken: &Taken) -> Recall<'_> {
        let Some(journal) = &self.settings.journal else {
            return Recall::Unkept;
        };
        let recall = journal.recall(&taken.request, taken.patience);
        if journal.has_met_equals() {
            self.settings.console.warn(
                "equal requests without an id are one request in the journal, and are answered \
                 alike; ids would make them several",
                "内容相同且不带 id 的请求在运行记录中算作同一个请求，结果相同；带上不同的 id 即为多个请求",
            );
        }
        recall
    }

    fn deliver(&self, mut response: Response, taken: Taken) {
        if response.status == Status::Success
            && let Some(file) = lock(&self.settings.output_file).take()
        {
            write_output(&mut response, file);
        }
        response.id = taken.id;
        let starts = !matches!(taken.request.task, Ok(Task::Watch(_)));
        let is_written = self.settings.console.respond(&mut response, taken.began);
        let mut totals = lock(&self.totals);
        totals.count(response.kind(), starts);
        totals.from_journal += u64::from(response.is_from_journal);
        if !is_written {
            totals.lost();
        }
        self.settings.console.answered(&totals);
    }
}

/// The exit code of all, and their sum when there were several.
fn finish(totals: &Totals, has_journal: bool, console: &Console<'_>) -> Result<u8, Error> {
    let exit_code = totals.exit_code(has_journal);
    match totals.all() {
        0 => return Err(Error::usage("there is no request").hint("see --help", "见 --help")),
        1 => {}
        _ => console.summary(totals, exit_code),
    }
    Ok(exit_code)
}

fn no_threads(count: usize, error: &io::Error) -> Error {
    let message = format!("cannot start {count} threads: {error}");
    Error::config(message).hint("take fewer --jobs", "请减小 --jobs")
}

/// Moves the output of a success to the file that `-o` names. The run is paid for, so when that
/// fails the output stays in the response.
fn write_output(response: &mut Response, file: OutputFile) {
    let name = file.name.clone();
    let output = response.output.plain().into_owned();
    if let Err(error) = file.write(output.as_bytes()) {
        let error = Error::new(Kind::Io, format!("cannot write {name}: {error}"));
        let error = error.hint("output holds the text", "文本在 output 中");
        return add_fault(response, error);
    }
    response.output_bytes = Some(output.len() as u64);
    response.output_file = Some(name);
    response.output = Text::default();
}

/// The run is what it is; that its end could not be written is said as well.
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
    console: &'a Console<'a>,
    request: Option<&'a RawValue>,
    ticket: Option<&'a Ticket<'a>>,
}

impl Observer for Witness<'_> {
    fn starting(&self) -> Result<(), Error> {
        self.ticket.map_or(Ok(()), Ticket::starting)
    }

    fn rate_refused(&self, why: &Error) {
        if let Some(ticket) = self.ticket {
            ticket.rate_refused(&self.console.mask_error(why.clone()));
        }
    }

    fn may_send(&self) -> Result<(), Error> {
        if self.console.is_broken() {
            let message = "not sent, because nothing more can be written to standard output";
            return Err(Error::new(Kind::Io, message));
        }
        Ok(())
    }

    fn started(&self, run: &RunRef) {
        // On the disk before anybody is told; and where the journal keeps it, nobody has to be.
        match self.ticket {
            Some(ticket) => ticket.started(run),
            None if run.mode() == Mode::Async => self.console.started(run.execute_id()),
            None => {}
        }
    }

    fn earlier(&self) -> Option<OwnRun> {
        self.ticket.and_then(Ticket::earlier)
    }

    fn confirmed(&self, run: &RunRef) {
        self.ticket.inspect(|ticket| ticket.confirmed(run));
    }

    fn note(&self, note: &Note<'_>) {
        if let Note::Event(frame) = note {
            self.console.event(frame, self.request);
        }
        self.console.note(note);
    }
}
