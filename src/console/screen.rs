//! The two standard streams: what is on the terminal, the status line on it, one write for each thing,
//! and patience with streams that take nothing more at the moment. Knows no response.

use std::io::{self, BufWriter, Write};
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::status_line::Status;
use super::view::Live;
use crate::platform::{self, StandardOutput};
use crate::time::{Clock, Patient};

/// Lines up to here are written at once.
const LINE: usize = 64 << 10;

/// How often the status line is drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// Both streams. Locked while something is written, so that lines of several jobs never mix.
#[derive(Default)]
pub(super) struct Screen {
    shown: Mutex<Shown>,
    /// Told when the ticker has to go.
    over: Condvar,
}

/// What is there, and what is to be there.
#[derive(Default)]
pub(super) struct Shown {
    /// Standard output; none when nothing more can be written to it.
    pub(super) out: Option<Out>,
    pub(super) status: Status,
    /// Only for a person: standard error is a terminal, and nothing else is shown there.
    pub(super) has_status: bool,
    /// The status line is on the terminal.
    is_drawn: bool,
    /// The run that is shown as it goes; nothing where there are many.
    pub(super) live: Option<Live>,
    /// How many of many were shown.
    pub(super) rows: u64,
    /// What was said of workflows.
    reports: Vec<String>,
}

impl Screen {
    pub(super) fn new() -> Self {
        let screen = Self::default();
        screen.lock().out = standard_output().ok();
        screen
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// With the status line out of the way.
    pub(super) fn cleared(&self) -> MutexGuard<'_, Shown> {
        let mut shown = self.lock();
        shown.erase();
        shown
    }

    /// Does `work` and draws the status line again and again meanwhile.
    pub(super) fn with_status<T>(
        &self,
        status: Status,
        clock: &dyn Clock,
        work: Box<dyn FnOnce() -> T + '_>,
    ) -> T {
        let mut shown = self.lock();
        (shown.status, shown.has_status) = (status, true);
        drop(shown);
        thread::scope(|scope| {
            // Where no thread can be had, there is no status line.
            let _ = thread::Builder::new().spawn_scoped(scope, || self.tick(clock));
            let done = work();
            self.lock().has_status = false;
            self.over.notify_all();
            done
        })
    }

    fn tick(&self, clock: &dyn Clock) {
        let mut shown = self.lock();
        while shown.has_status {
            let in_line = shown.live.as_ref().is_some_and(Live::is_in_line);
            match shown.status.line(clock.now()).filter(|_| !in_line) {
                Some(line) => shown.draw(&line),
                None => shown.erase(),
            }
            let waited = self.over.wait_timeout(shown, TICK);
            shown = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        shown.erase();
    }
}

impl Shown {
    /// False where the same was said before.
    pub(super) fn add_report(&mut self, report: &str) -> bool {
        let is_new = self.reports.iter().all(|known| known != report);
        self.reports.extend(is_new.then(|| report.to_owned()));
        is_new
    }

    fn draw(&mut self, line: &str) {
        // With wrapping off meanwhile: in a narrow window a second line could not be erased.
        tell(format!("\r\x1b[?7l{line}\x1b[K\x1b[?7h"));
        self.is_drawn = true;
    }

    pub(super) fn erase(&mut self) {
        if mem::take(&mut self.is_drawn) {
            tell("\r\x1b[K");
        }
    }

    /// False when nothing more can be written.
    pub(super) fn write(&mut self, content: &mut Content<'_>) -> bool {
        // It is let go with the first thing that fails.
        let fails = |out: &mut Out| content(out).and_then(|()| out.flush()).is_err();
        drop(self.out.take_if(fails));
        self.out.is_some()
    }
}

/// What writes something.
pub(super) type Content<'a> = dyn FnMut(&mut dyn Write) -> io::Result<()> + 'a;

/// Standard output.
pub(super) type Out = BufWriter<Patient<StandardOutput>>;

pub(super) fn standard_output() -> io::Result<Out> {
    let out = platform::standard_output()?;
    Ok(BufWriter::with_capacity(LINE, Patient(out)))
}

/// On standard error, in one piece: other processes may write there as well. Nobody can be told when
/// that fails.
pub(super) fn tell(text: impl AsRef<[u8]>) {
    let _ = Patient(io::stderr().lock()).write_all(text.as_ref());
}
