//! Standard output and standard error: one line for each response, one for each failure, what
//! `--events` and `-v` show, and the status line. Masks the key where the service's words quote it,
//! and escapes control characters before they reach a terminal. The only file beside `main` that
//! prints.

mod parameters;
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
use crate::batch::Output;
use crate::batch::totals::Totals;
use crate::cli::{Options, help};
use crate::config::{Config, Key, Origin};
use crate::coze::fields;
use crate::error::{Error, Kind};
use crate::language::Language;
use crate::response::{Outcome, Response};
use crate::run::Note;
use crate::run::rehearse::Report;
use crate::sse::Frame;
use crate::time::Clock;

/// Lines up to here are written at once.
const LINE: usize = 64 << 10;

/// How often the status line is drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// What is to be shown.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
struct Show {
    /// `-r`: `output` itself, and nothing but it, on standard output.
    raw_output: bool,
    events: bool,
    quiet: bool,
    verbose: bool,
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
    pub(crate) fn new(options: &Options, language: Language, clock: &'a dyn Clock) -> Self {
        Self {
            show: Show {
                raw_output: options.raw_output,
                events: options.events,
                quiet: options.quiet,
                verbose: options.verbose,
            },
            language,
            key: None,
            clock,
            screen: Mutex::new(Screen::new()),
            over: Condvar::new(),
        }
    }

    /// One response and one line for what was found before any request was read. Gives the exit code.
    pub(crate) fn refuse(&self, error: Error) -> u8 {
        let mut response = Response::new(Outcome::Error(error));
        if self.respond(&mut response) {
            response.exit_code()
        } else {
            Kind::Io.exit_code()
        }
    }

    /// The short help, on standard error, for a person who gave no request.
    pub(crate) fn show_help(&self) {
        let _ = io::stderr()
            .lock()
            .write_all(help::short(self.language).as_bytes());
    }

    /// Under `-v`: every setting and where it comes from, and warnings.
    pub(crate) fn explain_config(&self, config: &Config) {
        for Origin {
            field,
            value,
            source,
        } in &config.origins
        {
            self.explain(&format!("{field} {value} ({source})"));
        }
        for warning in &config.warnings {
            self.explain(warning);
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
            // Without a thread for it there is no status line.
            let _ = std::thread::Builder::new().spawn_scoped(scope, || self.tick());
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
        self.tell(&format!(
            "coze-workflow: {}\n",
            printable(&self.masked(line))
        ));
    }

    /// A line for `-v`.
    pub(crate) fn explain(&self, line: &str) {
        if self.show.verbose {
            let elapsed = self.clock.now().as_secs_f64();
            let line = printable(&self.masked(line));
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

    /// A line for a person.
    fn print_text(&self, line: &str) -> bool {
        self.print_line(|out| out.write_all(printable(line).as_bytes()))
    }

    fn is_for_a_person(&self) -> bool {
        io::stdout().is_terminal() && !self.show.raw_output && !self.show.events
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

    fn masked(&self, text: &str) -> String {
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
            Note::Calling(call) => format!("> {call}"),
            Note::Answered { status, logid } => match logid {
                Some(logid) => format!("< HTTP {status}, logid {logid}"),
                None => format!("< HTTP {status}"),
            },
            Note::Event(frame) => {
                let id = frame.id.as_deref().unwrap_or("-");
                // Masked before it is cut: half a key would not be found.
                let masked = self.masked(&frame.data);
                let mut data: String = masked.chars().take(300).collect();
                if data.len() < masked.len() {
                    write!(data, "… ({} bytes)", frame.data.len()).expect("a string takes all");
                }
                format!("< {} {id} {data}", frame.event)
            }
            Note::Retrying { pause, why } => format!("retrying in {}: {why}", seconds(pause)),
            Note::FallingBack { why } => format!("asking the history: {why}"),
            Note::Polling { pause, why } => format!("polling again in {}: {why}", seconds(pause)),
        }
    }

    /// A whole response on standard error, for it may hold the only way back to a run.
    fn print_aside(&self, response: &mut Response) {
        let _screen = self.screen();
        let mut err = BufWriter::with_capacity(LINE, io::stderr().lock());
        let _ = write_line(&mut err, |line| response.write(line));
    }
}

impl Output for Console<'_> {
    fn mask(&self, response: &mut Response) {
        response.debug_url = self.masked(&response.debug_url);
        response.logid = response.logid.as_ref().map(|logid| self.masked(logid));
        response.error = response.error.take().map(|error| self.mask_error(error));
    }

    fn mask_error(&self, error: Error) -> Error {
        Error {
            message: self.masked(&error.message),
            hint: error.hint.map(|hint| hint.map(|text| self.masked(text))),
            logid: error.logid.map(|logid| self.masked(&logid)),
            ..error
        }
    }

    fn warn(&self, english: &'static str, chinese: &'static str) {
        if !self.show.quiet {
            self.complain(self.language.pick(english, chinese));
        }
    }

    fn is_broken(&self) -> bool {
        self.lock().out.is_none()
    }

    fn respond(&self, response: &mut Response) -> bool {
        Output::mask(self, response);
        let error = response.error.take();
        response.error = error.map(|error| error.translate(self.language));
        let is_success = response.kind().is_none();
        let written = match (self.show.raw_output, is_success) {
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

    fn report(&self, report: &mut Report<'_>) -> bool {
        let error = report.error.take().map(|error| self.mask_error(error));
        report.error = error.map(|error| error.translate(self.language));
        let warnings = report.warnings.drain(..);
        report.warnings = warnings.map(|one| one.in_language(self.language)).collect();
        let written = match report.workflow {
            Some(workflow) if self.is_for_a_person() => {
                let lines = parameters::lines(report, workflow, self.language);
                lines.iter().all(|line| self.print_text(line))
            }
            _ => self.print(report),
        };
        if let Some(line) = report.complaint().filter(|_| !self.show.quiet) {
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
            id: frame.id.as_deref(),
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

    fn answered(&self, totals: &Totals) {
        if let Some(status) = &mut self.lock().status {
            status.answered(totals.clone());
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

    fn summary(&self, totals: &Totals, exit_code: u8) {
        if self.show.verbose {
            self.tell(&format!("{}\n", totals.json(exit_code)));
        } else if !self.show.quiet {
            self.complain(&sum(totals));
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

/// The help, or the version. Gives the exit code.
pub(crate) fn print_text(text: &str) -> u8 {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => 0,
        // Whoever closes a pipe, `head` or a pager, has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(_) => Kind::Io.exit_code(),
    }
}

fn write_line(
    out: &mut impl Write,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    content(out)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// What many requests came to, in one line.
fn sum(totals: &Totals) -> String {
    let mut line = format!(
        "{} requests: {} succeeded",
        totals.all(),
        totals.succeeded()
    );
    for (kind, word) in SUMMED {
        let count = totals.of(kind);
        if count > 0 {
            write!(line, ", {count} {word}").expect("a string takes all");
        }
    }
    if totals.from_journal > 0 {
        let count = totals.from_journal;
        write!(line, "; of them {count} from the journal").expect("a string takes all");
    }
    line
}

const SUMMED: [(Kind, &str); 9] = [
    (Kind::Failed, "failed"),
    (Kind::Refused, "refused"),
    (Kind::Unreachable, "unreachable"),
    (Kind::Unknown, "unknown"),
    (Kind::Interrupted, "interrupted"),
    (Kind::Running, "still running"),
    (Kind::Usage, "not valid"),
    (Kind::Config, "not configured"),
    (Kind::Io, "not written"),
];

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
    fn the_sum_names_what_there_was() {
        let mut totals = Totals::default();
        for kind in [None, None, None] {
            totals.count(kind, true);
        }
        assert_eq!(sum(&totals), "3 requests: 3 succeeded");
        for kind in [Kind::Unknown, Kind::Running, Kind::Unknown, Kind::Refused] {
            totals.count(Some(kind), true);
        }
        assert_eq!(
            sum(&totals),
            "7 requests: 3 succeeded, 1 refused, 2 unknown, 1 still running"
        );
        totals.from_journal = 2;
        assert!(sum(&totals).ends_with(", 1 still running; of them 2 from the journal"));
    }
}
