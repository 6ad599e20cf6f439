//! `--journal DIR`: what was started and how it ended, one file a try, so that the same command can
//! be repeated after any end. This file decides: run, watch, answer, refuse, or come back later.
//! Which mistake is worse? To run twice: so a try is on the disk before its run is sent, and one of
//! which nothing more is known is not sent again. Nothing is held in memory between two requests.

mod ticket;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) use self::ticket::Ticket;
use super::entry::{Directory, Entry, Record, Start, State};
use super::identity::{self, Identity};
use crate::cli::Options;
use crate::coze::call::RunRef;
use crate::error::{Error, Hint, Kind};
use crate::input::fingerprint::Fingerprint;
use crate::input::request::{Request, Task};
use crate::response::{Outcome, Response};
use crate::run::OwnRun;
use crate::service::{self, Service};
use crate::time::{Clock, Deadline};

/// Between two attempts to lock what another one works on: the first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The clock of a file system goes in steps. What ended before this process began must have ended a
/// step before.
const STEP: Duration = Duration::from_millis(20);

/// How long a request is waited for that was `Busy` before. What it ended in is no matter of the past
/// and not run again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) until: Deadline,
    /// Nothing else is to be done meanwhile.
    pub(crate) may_wait: bool,
}

pub(crate) struct Journal<'a> {
    directory: Directory,
    base_url: String,
    service: &'static dyn Service,
    /// Is there when this server was seen to keep the ids of starts, and was written when it was last.
    kept: PathBuf,
    rerun: Vec<Kind>,
    clock: &'a dyn Clock,
    /// Equal requests without an id were met, and whether that was said.
    met_equals: AtomicBool,
    said_equals: AtomicBool,
}

/// What is to be done about a request.
pub(crate) enum Recall<'j> {
    /// As if there were no journal: a watch, or what can't be understood.
    Unkept,
    /// It is to be run. Nothing is on the disk before `Ticket::starting`.
    Run(Ticket<'j>),
    /// It was started, and is only polled.
    Watch(RunRef, Ticket<'j>),
    /// Nothing: this is the answer.
    Answer(Box<Response>),
    /// Nothing may be done.
    Refuse(Error),
    /// Another process, or another row of this one, works on it.
    Busy,
}

/// What there is of a request.
enum Found {
    Nothing,
    /// Its last try: locked, but where nothing will ever be added to it.
    Try(Entry, u32, Record),
    Busy(Entry, Record),
}

impl<'a> Journal<'a> {
    /// Opens a journal, a new one if there is none, and makes sure that it can be kept.
    pub(crate) fn open(
        path: &Path,
        base_url: &str,
        options: &Options,
        clock: &'a dyn Clock,
    ) -> Result<Self, Error> {
        if !options.rerun.is_empty() {
            clock.sleep(STEP);
        }
        Ok(Self {
            directory: Directory::open(path, clock.random())?,
            base_url: base_url.to_owned(),
            service: service::of(options.service),
            kept: path.join(format!("kept-{}", Fingerprint::of(&[base_url]))),
            rerun: options.rerun.clone(),
            clock,
            met_equals: AtomicBool::new(false),
            said_equals: AtomicBool::new(false),
        })
    }

    /// What is to be done about a request. Waits only as long as it is told to.
    pub(crate) fn recall(&self, request: &Request, patience: Option<Patience>) -> Recall<'_> {
        let Some(identity) = Identity::of(request, &self.base_url) else {
            return Recall::Unkept;
        };
        let mut pause = PAUSES.0;
        loop {
            let (entry, record) = match self.find(&identity) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return answer(request, damaged(&error.to_string()));
                }
                Err(error) => return Recall::Refuse(self.unusable(&error)),
                Ok(Found::Busy(entry, record)) => (entry, record),
                Ok(Found::Nothing) => {
                    return Recall::Run(Ticket::new(self, request, identity, 1, None, None));
                }
                Ok(Found::Try(entry, number, record)) => {
                    self.note_equals(request, &record);
                    let may_rerun = patience.is_none() && self.directory.began_after(&record);
                    let rerun = if may_rerun { &self.rerun[..] } else { &[] };
                    return self.decide(request, identity, rerun, entry, number, record);
                }
            };
            self.note_equals(request, &record);
            match patience {
                Some(Patience { until, .. }) if until.is_over(self.clock) => {
                    return self.still_busy(request, &entry, record);
                }
                Some(Patience { until, may_wait }) if may_wait => {
                    let left = until.left(self.clock).unwrap_or(pause);
                    self.clock.sleep(pause.min(left));
                    pause = (pause * 2).min(PAUSES.1);
                }
                _ => return Recall::Busy,
            }
        }
    }

    /// Whether the server was seen, within a day, to keep the ids that starts carry.
    pub(crate) fn knows_kept_ids(&self) -> bool {
        let written = fs::metadata(&self.kept).and_then(|mark| mark.modified());
        written.is_ok_and(|time| self.directory.began_near(time))
    }

    /// True once, when equal requests without an id were met: they are answered as one.
    pub(crate) fn has_met_equals(&self) -> bool {
        self.met_equals.load(Ordering::Relaxed) && !self.said_equals.swap(true, Ordering::Relaxed)
    }

    fn note_equals(&self, request: &Request, record: &Record) {
        let is_ours = |start| self.directory.made(start);
        let is_run = matches!(request.task, Ok(Task::Run(_)));
        if request.id.is_none() && is_run && record.start.as_ref().is_some_and(is_ours) {
            self.met_equals.store(true, Ordering::Relaxed);
        }
    }

    fn find(&self, identity: &Identity) -> io::Result<Found> {
        let (directory, name) = (&self.directory, identity.name);
        loop {
            let number = directory.tries(name)?;
            if number == 0 {
                return Ok(Found::Nothing);
            }
            let mut entry = match Entry::open(directory, name, number) {
                Ok(entry) => entry,
                // Its owner removed it just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // What has ended for good is read by many at a time.
            let mut record = self.read(&mut entry);
            if !record.is_final {
                if !entry.try_lock()? {
                    return Ok(Found::Busy(entry, record));
                }
                record = self.read(&mut entry);
            }
            // Whoever had the lock may have gone on to the next number.
            if !directory.holds(name, number + 1)? {
                return Ok(Found::Try(entry, number, record));
            }
        }
    }

    fn decide(
        &self,
        request: &Request,
        identity: Identity,
        rerun: &[Kind],
        entry: Entry,
        number: u32,
        record: Record,
    ) -> Recall<'_> {
        if let State::Damaged(why) = &record.state {
            return answer(request, damaged(&format!("{entry} {why}")));
        }
        let is_not_started = matches!(record.state, State::NotStarted);
        let content = identity.content.to_string();
        let is_same = |start: &Start| start.content == content;
        if !is_not_started && !record.start.as_ref().is_some_and(is_same) {
            return Recall::Refuse(other_content(request));
        }
        let known = match &record.state {
            State::Ended(_) if record.is_final => None,
            State::Ended(response) => {
                let told = || RunRef::new(&*response.execute_id, request.mode());
                record.run.or_else(told)
            }
            // That of an interrupt is known before it is answered.
            _ => record.run.or_else(|| request.run()),
        };
        // Another service than the one that it was sent to does not know an id of ours.
        let is_alien = record.is_own && !self.service.takes_run_ids();
        let can_watch = |run: &RunRef| self.service.can_watch(run.mode()) && !is_alien;
        let watched = known.clone().filter(can_watch);
        let unknown = rerun.contains(&Kind::Unknown);
        let is_run = match &record.state {
            State::NotStarted => true,
            State::Started => unknown && watched.is_none(),
            State::Unanswered => unknown,
            State::Ended(response) => match response.kind() {
                Some(Kind::Unknown) => unknown && watched.is_none(),
                kind => kind.is_some_and(|kind| rerun.contains(&kind)),
            },
            State::Damaged(_) => false,
        };
        let ticket =
            |number, entry, earlier| Ticket::new(self, request, identity, number, entry, earlier);
        if is_run {
            return Recall::Run(ticket(number + 1, None, None));
        }
        let Some(run) = watched else {
            return match record.state {
                State::Ended(mut response) => {
                    let error = response.error.as_mut();
                    if let Some(error) = error.filter(|error| error.kind == Kind::Unknown) {
                        error.hint = Some(look_or_rerun());
                    }
                    ended(request, *response)
                }
                _ => ended(request, lost(known.as_ref())),
            };
        };
        if !record.is_own {
            return Recall::Watch(run, ticket(number, Some(entry), None));
        }
        // The clock of this machine may differ from that of the one that wrote it; the file system's
        // says as well that it was not long ago. Damage is no reason to start anything.
        let is_near = |time| self.directory.began_near(time);
        let file = record.metadata.as_ref().filter(|_| !record.is_damaged);
        let is_known = file.is_some_and(|file| {
            // Not every file system knows when a file was made.
            file.modified().is_ok_and(is_near) && file.created().map_or(true, is_near)
        });
        let earlier = OwnRun {
            run,
            at: record.start.map(|start| start.at).filter(|_| is_known),
            may_have_arrived: true,
        };
        Recall::Run(ticket(number, Some(entry), Some(earlier)))
    }

    fn still_busy(&self, request: &Request, entry: &Entry, record: Record) -> Recall<'_> {
        let holder = match record.start {
            Some(start) if self.directory.made(&start) => "another row of this input".to_owned(),
            Some(start) => format!("process {} on this or another machine", start.process_id),
            None => "another process".to_owned(),
        };
        let message = format!("the deadline came while {holder} held {entry}");
        let error = Error::new(Kind::Running, message).hint(
            "run the same command again: it will be answered when the other one has ended",
            "请再次运行同一命令：另一方结束后即可得到结果",
        );
        Recall::Answer(Box::new(Response {
            execute_id: record
                .run
                .as_ref()
                .map_or("", RunRef::execute_id)
                .to_owned(),
            workflow_id: request.workflow_id.clone(),
            id: request.id.clone(),
            ..Response::new(Outcome::Error(error))
        }))
    }

    /// What a file says, and whether that is final.
    fn read(&self, entry: &mut Entry) -> Record {
        let mut record = entry.read();
        record.is_final = match &record.state {
            State::Ended(response) => match response.kind() {
                Some(Kind::Unknown) => response.execute_id.is_empty(),
                Some(Kind::Interrupted) => !self.has_answer_to(response),
                _ => true,
            },
            _ => false,
        };
        record
    }

    /// Whether its question was answered through this journal, so that the run goes on.
    fn has_answer_to(&self, response: &Response) -> bool {
        response.interrupt.as_ref().is_some_and(|interrupt| {
            let name = identity::of_answer(&self.base_url, &interrupt.event_id);
            let last = self.directory.tries(name).unwrap_or_default();
            let entry = Entry::open(&self.directory, name, last);
            entry.is_ok_and(|mut entry| !matches!(entry.read().state, State::NotStarted))
        })
    }

    fn unusable(&self, error: &io::Error) -> Error {
        let name = self.directory.name();
        Error::config(format!("cannot use the journal {name}: {error}"))
    }
}

fn answer<'j>(request: &Request, error: Error) -> Recall<'j> {
    ended(request, Response::new(Outcome::Error(error)))
}

/// An answer from the journal, with the request's own `id`.
fn ended<'j>(request: &Request, response: Response) -> Recall<'j> {
    Recall::Answer(Box::new(Response {
        workflow_id: response.workflow_id.or(request.workflow_id.clone()),
        id: request.id.clone(),
        is_from_journal: true,
        ..response
    }))
}

fn look_or_rerun() -> Hint {
    Hint::new(
        "look at Coze before running it again; --rerun unknown runs it again",
        "重新运行之前，请先到扣子上查看；--rerun unknown 会重新运行",
    )
}

/// A run that can't be watched.
fn lost(known: Option<&RunRef>) -> Response {
    let why = if known.is_none() {
        "and left no execute_id"
    } else {
        "which can't be watched"
    };
    let message = format!("an earlier process may have started the run, {why}");
    let error = Error::unknown(message).with_hint(Some(look_or_rerun()));
    Response {
        execute_id: known.map_or("", RunRef::execute_id).to_owned(),
        ..Response::new(Outcome::Error(error))
    }
}

fn damaged(why: &str) -> Error {
    let message = format!("the run may have been started: the journal's {why}");
    Error::unknown(message).hint(
        "look at Coze for the run; removing the file permits another one",
        "请先到扣子上查看该运行；删除此文件即允许重新运行",
    )
}

fn other_content(request: &Request) -> Error {
    if let Ok(Task::Resume(resume)) = &request.task {
        let event_id = &resume.event_id;
        let message = format!("the journal knows another answer to the interrupt {event_id}");
        return Error::usage(message).hint(
            "an interrupt is answered once; send the first answer again to see what came of it",
            "一个中断只能回答一次；再次发送第一次的回答即可看到结果",
        );
    }
    let id = request.id.as_ref().map_or("null", |id| id.get());
    Error::usage(format!("the journal knows the id {id} with other content")).hint(
        "give what is new a new id, or use another journal",
        "内容不同的请求请换一个 id，或使用另一份运行记录",
    )
}

#[cfg(test)]
mod tests;
