//! The two standard streams: what is on the terminal, one write for each thing, and patience with
//! streams that take nothing more at the moment. Knows no response.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use super::status_line::Status;
use super::view::Live;
use crate::time::{Clock, SystemClock};

/// Lines up to here are written at once.
const LINE: usize = 64 << 10;

/// How long a stream is left alone that takes nothing more at the moment.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Default)]
pub(super) struct Screen {
    /// Standard output; none when nothing more can be written to it.
    pub(super) out: Option<Out>,
    /// Only for a person: standard error is a terminal, and nothing else is shown there.
    pub(super) status: Option<Status>,
    /// The status line stands on the terminal.
    drawn: bool,
    pub(super) over: bool,
    /// The run that is shown as it goes; nothing where there are many.
    pub(super) live: Option<Live>,
    /// How many of many were shown.
    pub(super) rows: u64,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self {
            out: standard_output().ok(),
            ..Self::default()
        }
    }

    pub(super) fn draw(&mut self, line: &str) {
        // With wrapping off meanwhile: in a narrow window a second line could not be erased.
        tell(format!("\r\x1b[?7l{line}\x1b[K\x1b[?7h"));
        self.drawn = true;
    }

    pub(super) fn erase(&mut self) {
        if std::mem::take(&mut self.drawn) {
            tell("\r\x1b[K");
        }
    }

    /// False when nothing more can be written.
    pub(super) fn write(&mut self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> bool {
        let out = self.out.as_mut();
        let written = out.is_some_and(|out| content(out).and_then(|()| out.flush()).is_ok());
        if !written {
            self.out = None;
        }
        written
    }
}

/// Standard output.
pub(super) type Out = BufWriter<Patient<File>>;

/// A stream that is waited for while it takes nothing more, as a non-blocking one may.
pub(super) struct Patient<W>(W);

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    SystemClock::default().sleep(PAUSE);
                }
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Not std's own handle: before it writes it looks for a line feed, in a text of megabytes too.
pub(super) fn standard_output() -> io::Result<Out> {
    let out = io::stdout().as_fd().try_clone_to_owned()?;
    Ok(BufWriter::with_capacity(LINE, Patient(out.into())))
}

/// On standard error, in one piece: other processes may write there as well. Nobody can be told when
/// that fails.
pub(super) fn tell(text: impl AsRef<[u8]>) {
    let _ = Patient(io::stderr().lock()).write_all(text.as_ref());
}
