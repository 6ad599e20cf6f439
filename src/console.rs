//! Standard output and standard error: one line for each response, one for each failure, what
//! `--events` and `-v` show, and the status line. Masks the key where the service's words quote it,
//! and escapes control characters before they reach a terminal. The only file beside `main` that
//! prints.

mod status_line;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use self::status_line::Status;
use crate::batch::{Output, Tally};
use crate::config::Key;
use crate::coze::fields;
use crate::error::Hint;
use crate::language::Language;
use crate::response::{Response, Verdict};
use crate::run::Note;
use crate::sse::Frame;
use crate::time::Clock;

/// Lines up to here are written at once.
const LINE: usize = 64 << 10;

/// How often the status line is drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// What is to be shown.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub(crate) struct Show {
    /// `-r`: `output` itself, and nothing but it, on standard output.
    pub(crate) raw_output: bool,
    pub(crate) events: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
}

pub(crate) struct Console<'a> {
    show: Show,
    language: Language,
    key: Option<&'a Key>,
    clock: &'a dyn Clock,
    /// Held while something is written, so that lines of several jobs never mix.
    screen: Mutex<Screen>,
    /// Told when the ticker has to go.
    over: Condvar,
}

struct Screen {
    /// Standard output; none when nothing more can be written to it.
    out: Option<BufWriter<File>>,
    /// Only for a person: standard error is a terminal, and nothing else is shown there.
    status: Option<Status>,
    /// The status line stands on the terminal.
    drawn: bool,
    over: bool,
}

impl Screen {
    fn new() -> Self {
        // Not std's own handle: before it writes it looks for a line feed, in a text of megabytes too.
        let out = io::stdout().as_fd().try_clone_to_owned().ok();
        Self {
            out: out.map(|out| BufWriter::with_capacity(LINE, out.into())),
            status: None,
            drawn: false,
            over: false,
        }
    }

    fn draw(&mut self, line: &str) {
        // With wrapping off meanwhile: in a narrow window a second line could not be erased.
        let _ = write!(io::stderr().lock(), "\r\x1b[?7l{line}\x1b[K\x1b[?7h");
        self.drawn = true;
    }

    fn erase(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

impl<'a> Console<'a> {
    pub(crate) fn new(show: Show, language: Language, clock: &'a dyn Clock) -> Self {
        Self {
            show,
            language,
            key: None,
            clock,
            screen: Mutex::new(Screen::new()),
            over: Condvar::new(),
        }
    }

    /// From now on the key is masked wherever the service's words quote it.
    pub(crate) fn mask_key(self, key: &'a Key) -> Self {
        Self {
            key: Some(key),
            ..self
        }
    }

    /// Does `work`, with a status line meanwhile when somebody can see it.
    pub(crate) fn with_status<T>(&self, work: impl FnOnce() -> T) -> T {
        let plain = self.show.quiet || self.show.verbose;
        if plain || !io::stderr().is_terminal() {
            return work();
        }
        self.screen().status = Some(Status::default());
        std::thread::scope(|scope| {
            scope.spawn(|| self.tick());
            let done = work();
            self.screen().over = true;
            self.over.notify_all();
            done
        })
    }

    /// Draws the status line again and again, until all is over.
    fn tick(&self) {
        let mut screen = self.lock();
        while !screen.over {
            let line = screen
                .status
                .as_ref()
                .and_then(|status| status.line(self.clock.now()));
            match line {
                Some(line) => screen.draw(&line),
                None => screen.erase(),
            }
            let waited = self.over.wait_timeout(screen, TICK);
            screen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        screen.erase();
    }

    /// A line on standard error, whatever the options say. Nobody can be told when that fails.
    pub(crate) fn complain(&self, line: &str) {
        self.tell(&format!("coze-workflow: {}\n", printable(&self.mask(line))));
    }

    /// A line for `-v`.
    pub(crate) fn explain(&self, line: &str) {
        if self.show.verbose {
            let elapsed = self.clock.now().as_secs_f64();
            let line = printable(&self.mask(line));
            self.tell(&format!("[{elapsed:9.3}] {line}\n"));
        }
    }

    /// On standard error, in one piece: other processes may write there as well.
    fn tell(&self, line: &str) {
        let _screen = self.screen();
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }

    /// One JSON value on a line of standard output, flushed. False when it can't be written.
    pub(crate) fn print(&self, value: &impl Serialize) -> bool {
        self.print_line(|line| Ok(serde_json::to_writer(line, value)?))
    }

    fn print_line(&self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> bool {
        let mut screen = self.screen();
        let out = screen.out.as_mut();
        let written = out.is_some_and(|out| write_line(out, content).is_ok());
        if !written {
            screen.out = None;
        }
        written
    }

    fn mask(&self, text: &str) -> String {
        match self.key {
            Some(key) => key.mask(text),
            None => text.to_owned(),
        }
    }

    /// The right to write, with the status line out of the way.
    fn screen(&self) -> MutexGuard<'_, Screen> {
        let mut screen = self.lock();
        screen.erase();
        screen
    }

    fn lock(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step on the way, as `-v` shows it.
    fn told(&self, note: &Note<'_>) -> String {
        let seconds = |pause: &Duration| format!("{} s", pause.as_secs_f64());
        match note {
            Note::Calling(call) => match call.body() {
                Some(body) => format!("> POST {} ({} bytes)", call.path(), body.len()),
                None => format!("> GET {}", call.path()),
            },
            Note::Answered { status, logid } => match logid {
                Some(logid) => format!("< HTTP {status}, logid {logid}"),
                None => format!("< HTTP {status}"),
            },
            Note::Event(frame) => {
                let id = if frame.own_id { frame.id.as_ref() } else { "-" };
                // Masked before it is cut: half a key would not be found.
                let masked = self.mask(&frame.data);
                let mut data: String = masked.chars().take(300).collect();
                if data.len() < masked.len() {
                    write!(data, "… ({} bytes)", frame.data.len()).expect("a string takes all");
                }
                format!("< {} {id} {data}", frame.event)
            }
            Note::Retrying { pause, why } => format!("again in {}, for {why}", seconds(pause)),
            Note::FallingBack { why } => format!("asking the history, for {why}"),
            Note::Looking { pause, why } => format!("looking again in {}: {why}", seconds(pause)),
        }
    }

    /// A whole response on standard error, for it may hold the only way back to a run.
    fn print_aside(&self, response: &Response) {
        let _screen = self.screen();
        let mut err = BufWriter::with_capacity(LINE, io::stderr().lock());
        let _ = write_line(&mut err, |line| response.write(line));
    }
}

impl Output for Console<'_> {
    fn is_broken(&self) -> bool {
        self.lock().out.is_none()
    }

    fn mask_response(&self, response: &mut Response) {
        response.debug_url = self.mask(&response.debug_url);
        response.logid = response.logid.as_ref().map(|logid| self.mask(logid));
        if let Some(error) = response.error_mut() {
            error.message = self.mask(&error.message);
            let translated = error.clone().translate(self.language);
            error.hint = translated
                .hint
                .map(|hint| Hint::from(self.mask(hint.text())));
            error.logid = error.logid.as_ref().map(|logid| self.mask(logid));
        }
    }

    fn respond(&self, response: &mut Response) -> bool {
        self.mask_response(response);
        let success = matches!(response.verdict, Verdict::Success);
        let written = match (self.show.raw_output, success) {
            (false, _) => self.print_line(|line| response.write(line)),
            (true, true) if response.output_file.is_some() => true,
            (true, true) => {
                self.print_line(|line| line.write_all(response.output.plain().as_bytes()))
            }
            (true, false) => {
                self.print_aside(response);
                true
            }
        };
        if !written {
            self.print_aside(response);
            self.complain("io: standard output cannot be written; the response stands above");
        }
        if let Some(line) = response.complaint().filter(|_| !self.show.quiet) {
            self.complain(&line);
        }
        written
    }

    fn event(&self, frame: &Frame<'_>, request: Option<&RawValue>) {
        #[derive(Serialize)]
        struct Line<'a> {
            event: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<&'a str>,
            data: Data<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            request: Option<&'a RawValue>,
        }

        if !self.show.events {
            return;
        }
        let one_line = serde_json::from_str(&frame.data).map(fields::one_line);
        // A reader that has gone away keeps no run from ending: the response says so.
        let _ = self.print(&Line {
            event: &frame.event,
            id: frame.own_id.then_some(&frame.id),
            data: match &one_line {
                Ok(json) => Data::Json(json),
                Err(_) => Data::Text(&frame.data),
            },
            request,
        });
    }

    fn taken(&self) {
        let now = self.clock.now();
        if let Some(status) = &mut self.lock().status {
            status.taken(now);
        }
    }

    fn answered(&self, tally: &Tally) {
        if let Some(status) = &mut self.lock().status {
            status.answered(*tally);
        }
    }

    fn note(&self, note: &Note<'_>) {
        if let Some(status) = &mut self.lock().status {
            status.note(note);
        }
        if self.show.verbose {
            self.explain(&self.told(note));
        }
    }

    fn started(&self, execute_id: &str) {
        if !self.show.quiet {
            self.complain(&format!("started execute_id {execute_id}"));
        }
    }

    fn summary(&self, tally: &Tally) {
        if !self.show.quiet {
            self.complain(&totals(tally));
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

fn write_line(
    out: &mut impl Write,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    content(out)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn totals(tally: &Tally) -> String {
    let mut line = format!("{} requests: {} done", tally.total(), tally.done);
    let rest = [
        (tally.failed, "failed", true),
        (tally.running, "running", false),
        (tally.interrupted, "interrupted", false),
        (tally.unknown, "unknown", true),
    ];
    for (count, word, always) in rest {
        if count > 0 || always {
            write!(line, ", {count} {word}").expect("a string takes all");
        }
    }
    line
}

/// The text with its control characters escaped: a service must not command a terminal.
fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            // Bidirectional overrides would show other words than there are.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => safe.extend(char.escape_unicode()),
            char if char.is_control() => safe.extend(char.escape_default()),
            char => safe.push(char),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            printable("a\u{1b}[2J\nb\u{9b}\u{7f}你"),
            "a\\u{1b}[2J\\nb\\u{9b}\\u{7f}你"
        );
        assert_eq!(printable("a\u{202e}b"), "a\\u{202e}b");
    }

    #[test]
    fn totals_always_tell_done_failed_and_unknown() {
        let mut tally = Tally {
            done: 3,
            ..Tally::default()
        };
        assert_eq!(totals(&tally), "3 requests: 3 done, 0 failed, 0 unknown");
        tally.running = 1;
        tally.unknown = 2;
        assert_eq!(
            totals(&tally),
            "6 requests: 3 done, 0 failed, 1 running, 2 unknown"
        );
    }
}
