//! A request's place in the journal while a row of this process works on it: what is written before
//! it is sent, when its run is known, and at its end.

use std::cell::RefCell;
use std::fs::{self, File};

use serde_json::value::RawValue;

use super::{Journal, PAUSES};
use crate::batch::entry::{Entry, Line, Start};
use crate::batch::identity::Identity;
use crate::batch::new_file::create_new;
use crate::coze::call::{Mode, RunRef};
use crate::error::{Error, Kind};
use crate::input::request::{Request, Task};
use crate::response::Response;
use crate::run::OwnRun;

/// A request's place in the journal, held by this row alone once it is on the disk.
pub(crate) struct Ticket<'j> {
    journal: &'j Journal<'j>,
    identity: Identity,
    id: Option<Box<RawValue>>,
    /// The interrupt that the request answers.
    event_id: Option<String>,
    mode: Mode,
    /// What an earlier process may have started.
    earlier: Option<OwnRun>,
    held: RefCell<Held>,
}

/// Without an entry it begins in Vacant; with one in Watching, or in Starting where the run is to be
/// looked for before it is sent again.
///
/// ```text
///           Lost
///            ▲ another one was first
/// Vacant ─ starting ─▶ Starting ─ started ─▶ Started ─ settle
///   ▲                  │  │
///   └── rate_refused ──┘  └─ settle          Watching ─ settle
/// ```
#[derive(Debug)]
struct Held {
    /// Of the try at hand, or of the next one in Vacant.
    number: u32,
    /// Stays locked in Vacant, after a refusal: others wait for the next try.
    entry: Option<Entry>,
    stage: Stage,
    /// The run, where its id is of our own making.
    run: Option<RunRef>,
    /// Why the `execute_id` is not on the disk.
    fault: Option<Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Vacant,
    /// Another one made the try first.
    Lost,
    Starting,
    Started,
    Watching,
}

impl<'j> Ticket<'j> {
    /// With an entry: of a run that was started, and is only polled; or of one that an earlier
    /// process may have started.
    pub(super) fn new(
        journal: &'j Journal<'j>,
        request: &Request,
        identity: Identity,
        number: u32,
        entry: Option<Entry>,
        earlier: Option<OwnRun>,
    ) -> Self {
        let stage = match entry {
            Some(_) if earlier.is_some() => Stage::Starting,
            Some(_) => Stage::Watching,
            None => Stage::Vacant,
        };
        Self {
            journal,
            identity,
            id: request.id.clone(),
            event_id: match &request.task {
                Ok(Task::Resume(resume)) => Some(resume.event_id.clone()),
                _ => None,
            },
            mode: (earlier.as_ref()).map_or(request.mode(), |own| own.run.mode()),
            held: RefCell::new(Held {
                number,
                entry,
                stage,
                run: earlier.as_ref().map(|own| own.run.clone()),
                fault: None,
            }),
            earlier,
        }
    }

    pub(crate) fn earlier(&self) -> Option<OwnRun> {
        self.earlier.clone()
    }

    /// To be called each time before a run, or an answer to an interrupt, is sent: when this is done,
    /// the disk knows it. An error forbids to send it.
    pub(crate) fn starting(&self) -> Result<(), Error> {
        let mut held = self.held.borrow_mut();
        if held.stage != Stage::Vacant {
            return Ok(());
        }
        let (at, base_url) = (self.journal.clock.unix(), &self.journal.base_url);
        let run = held.run.clone();
        let start = Start::new(at, base_url, self.id.clone(), &self.identity, run);
        let name = self.identity.name;
        let Some(entry) = Entry::create(&self.journal.directory, name, held.number, start)? else {
            held.stage = Stage::Lost;
            // Over a network its name may be seen a moment later.
            self.journal.clock.sleep(PAUSES.0);
            let message = "another process began to work on the same request";
            return Err(Error::new(Kind::Running, message));
        };
        held.entry = Some(entry);
        held.stage = Stage::Starting;
        Ok(())
    }

    /// Whether `starting` failed because another one was first: the request is to be recalled.
    pub(crate) fn is_lost(&self) -> bool {
        self.held.borrow().stage == Stage::Lost
    }

    /// The run is known by its id; before it is sent, if that is ours. That this can't be written is
    /// told at the end.
    pub(crate) fn started(&self, run: &RunRef) {
        let mut held = self.held.borrow_mut();
        match held.stage {
            Stage::Vacant => held.run = Some(run.clone()),
            Stage::Starting => {
                if (held.run.as_ref()).is_some_and(|own| own.execute_id() != run.execute_id()) {
                    // The server does not keep the ids that it is given.
                    let _ = fs::remove_file(&self.journal.kept);
                }
                held.stage = Stage::Started;
                let written = held.append(&Line::Started {
                    at: self.journal.clock.unix(),
                    execute_id: run.execute_id().to_owned(),
                    mode: run.mode(),
                });
                held.fault = written.err();
            }
            Stage::Lost | Stage::Started | Stage::Watching => {}
        }
    }

    /// The server has the run under our id, which shows that it keeps such ids.
    pub(crate) fn confirmed(&self, run: &RunRef) {
        self.started(run);
        // What can't be remembered will be found out anew.
        let kept = &self.journal.kept;
        let _ = create_new(kept).or_else(|_| File::create(kept));
    }

    /// It was refused for its rate, and will be sent again after a pause. The next `starting` makes
    /// the next try. Where this can't be written, the try is as it was.
    pub(crate) fn rate_refused(&self, why: &Error) {
        let mut held = self.held.borrow_mut();
        if held.stage != Stage::Starting {
            return;
        }
        let line = Line::NotStarted {
            at: self.journal.clock.unix(),
            error: why.clone(),
        };
        if held.append(&line).is_ok() {
            // Its file may say nothing else any more.
            held.stage = Stage::Vacant;
            held.number += 1;
        }
    }

    /// Remembers what it came to. The key must be masked in the response by now.
    pub(crate) fn settle(&self, response: &mut Response) -> Result<(), Error> {
        let at = self.journal.clock.unix();
        let mut held = self.held.borrow_mut();
        if self.still_waits(response) {
            response.interrupt = None;
            let message = "the answer may have been sent, and the run still waits for it";
            response.set_error(Error::unknown(message).hint(
                "look at Coze before answering again; --rerun unknown answers again",
                "再次回答之前，请先到扣子上查看；--rerun unknown 会再次回答",
            ));
            return held.append(&Line::Unanswered { at });
        }
        let response = &*response;
        let run = RunRef::new(&*response.execute_id, self.mode);
        // What it waits for is told to nobody any more, so that only watching can bring its end.
        let goes_on = response.kind() == Some(Kind::Interrupted) && response.interrupt.is_none();
        let kind = response
            .kind()
            .map(|kind| if goes_on { Kind::Running } else { kind });
        let line = match kind {
            Some(Kind::Running) => {
                drop(held);
                // It will be watched by its id. That of a resumed run was known before, and is
                // written only now that the answer was taken.
                run.inspect(|run| self.started(run));
                return self.held.borrow_mut().fault.take().map_or(Ok(()), Err);
            }
            // The next one watches it again, and this poll has shown nothing.
            Some(Kind::Unknown) if run.is_some() && held.stage == Stage::Watching => return Ok(()),
            None | Some(Kind::Failed | Kind::Interrupted | Kind::Unknown) => {
                Line::Ended { at, response }
            }
            Some(Kind::Refused | Kind::Unreachable | Kind::Usage | Kind::Config | Kind::Io) => {
                match &response.error {
                    Some(why) if held.stage == Stage::Starting => Line::NotStarted {
                        at,
                        error: why.clone(),
                    },
                    _ => return Ok(()),
                }
            }
        };
        held.append(&line)
    }

    /// Whether the run waits for the very answer that may have been sent.
    fn still_waits(&self, response: &Response) -> bool {
        let asked = response.interrupt.as_ref();
        let is_same = asked.is_some_and(|asked| Some(&asked.event_id) == self.event_id.as_ref());
        is_same && response.error.is_none()
    }
}

impl Held {
    fn append(&mut self, line: &Line<&Response>) -> Result<(), Error> {
        self.entry
            .as_mut()
            .map_or(Ok(()), |entry| entry.append(line))
    }
}
