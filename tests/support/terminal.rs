//! A pseudo-terminal: one end for the program, the other for the test, which sees the bytes, and
//! what a terminal shows of them.

use std::fs::File;
use std::io::Read;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// More lines than any screen of the program has.
const ROWS: u16 = 200;

/// The end where a person sits.
pub struct Terminal {
    seen: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
    columns: u16,
}

/// A terminal of this width, and the end for a program.
pub fn open(columns: u16) -> (Terminal, File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let person = openpt(flags).expect("a pseudo-terminal");
    grantpt(&person)
        .and_then(|()| unlockpt(&person))
        .expect("its other end");
    let name = ptsname(&person, Vec::new()).expect("its name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let program: OwnedFd = rustix::fs::open(name, flags, Mode::empty()).expect("its other end");
    let size = Winsize {
        ws_row: ROWS,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&person, size).expect("a size");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let reader = thread::spawn({
        let (seen, mut person) = (Arc::clone(&seen), File::from(person));
        // When nobody has the other end any more, reading is an error on Linux.
        move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = person.read(&mut buffer) {
                lock(&seen).extend_from_slice(&buffer[..count]);
            }
        }
    });
    let terminal = Terminal {
        seen,
        reader,
        columns,
    };
    (terminal, program.into())
}

impl Terminal {
    /// What can be seen on it now; a line that was wrapped is one.
    pub fn screen(&self) -> String {
        rendered(&lock(&self.seen), self.columns)
    }

    /// Waits until this can be seen.
    #[track_caller]
    pub fn await_text(&self, text: &str) {
        let began = Instant::now();
        while !self.screen().contains(text) {
            assert!(
                began.elapsed() < PATIENCE,
                "no {text:?} on {:?}",
                self.screen()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The line of this number, counted from 0, that is no status line.
    #[track_caller]
    pub fn line(&self, number: usize) -> String {
        let began = Instant::now();
        loop {
            let sent = String::from_utf8_lossy(&lock(&self.seen)).into_owned();
            let lines = without_status(&sent);
            let mut lines = lines
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            if let Some(line) = lines.nth(number) {
                return line.to_owned();
            }
            assert!(began.elapsed() < PATIENCE, "no further line: {sent:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// All that was sent to it, once nobody has its other end any more.
    pub fn finish(self) -> (String, String) {
        let Self {
            seen,
            reader,
            columns,
        } = self;
        reader.join().expect("a reader");
        let bytes = lock(&seen).clone();
        let screen = rendered(&bytes, columns);
        (screen, String::from_utf8(bytes).expect("UTF-8"))
    }
}

fn rendered(bytes: &[u8], columns: u16) -> String {
    let size = [ROWS, columns].map(|length| NonZero::new(length).expect("a length"));
    let mut parser = vt100::Parser::new(size[0], size[1], 0);
    parser.process(bytes);
    parser.screen().contents()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was sent to a terminal without the status lines, as a pipe would have got it.
pub fn without_status(bytes: &str) -> String {
    let mut plain = String::new();
    for (number, part) in bytes.replace("\r\n", "\n").split('\r').enumerate() {
        let rest = match part.strip_prefix("\x1b[?7l") {
            Some(line) => line.split_once("\x1b[?7h").map_or("", |(_, rest)| rest),
            None if number > 0 => part.strip_prefix("\x1b[K").unwrap_or_default(),
            None => part,
        };
        plain += rest;
    }
    plain
}
