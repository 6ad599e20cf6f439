//! Standard output and standard error: one line for each response, one for each failure, what
//! `--events` and `-v` show; or, where a person looks at standard output, the view, and the status
//! line. Masks the key where the service's words quote it, and lets nothing command a terminal. Nobody
//! else prints.

mod parameters;
mod part;
mod printable;
mod screen;
mod status_line;
mod view;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use self::screen::{Out, Screen, standard_output, tell};
use self::status_line::Status;
use self::view::{Live, View};
use crate::batch::Output;
use crate::batch::totals::{TOLD, Totals};
use crate::cli::Options;
use crate::config::{self, Config, Env, Key};
use crate::coze::fields;
use crate::error::{Error, Kind};
use crate::input::source;
use crate::language::Language;
use crate::response::{Outcome, Response};
use crate::run::Note;
use crate::run::rehearse::Report;
use crate::sse::Frame;
use crate::time::Clock;

/// How often the status line is drawn anew.
const TICK: Duration = Duration::from_millis(200);

pub(crate) struct Console<'a> {
    options: &'a Options,
    language: Language,
    /// Standard output is a terminal: no text may command it.
    is_terminal: bool,
    /// For a person at that terminal, who is shown no JSON.
    view: Option<View>,
    key: Option<&'a Key>,
    clock: &'a dyn Clock,
    /// Held while something is written, so that lines of several jobs never mix.
    screen: Mutex<Screen>,
    /// Told when the ticker has to go.
    over: Condvar,
}

impl<'a> Console<'a> {
    pub(crate) fn new(options: &'a Options, env: &Env, clock: &'a dyn Clock) -> Self {
        let language = config::language(env);
        let is_terminal = io::stdout().is_terminal();
        let wants_text = options.raw_output || options.get.is_some();
        let has_view = is_terminal && !wants_text && !options.json && !options.events;
        let view = || View::new(language, config::has_colours(env), options);
        Self {
            options,
            language,
            is_terminal,
            view: has_view.then(view),
            key: None,
            clock,
            screen: Mutex::new(Screen::new()),
            over: Condvar::new(),
        }
    }

    /// What a person is shown who gave no request, and the exit code. A program that runs this one
    /// gets its response all the same.
    pub(crate) fn greet(&self, error: Error) -> u8 {
        tell(self.language.pick(
            include_str!("console/greeting/en.txt"),
            include_str!("console/greeting/zh.txt"),
        ));
        if self.view.is_none() {
            return self.refuse(error);
        }
        error.kind.exit_code()
    }

    /// One response and one line for what was found before any request was read. Gives the exit code.
    pub(crate) fn refuse(&self, error: Error) -> u8 {
        let mut response = Response::new(Outcome::Error(error));
        self.lock().live = self.view.is_some().then(Live::default);
        if self.respond(&mut response, self.clock.now()) {
            response.exit_code()
        } else {
            Kind::Io.exit_code()
        }
    }

    /// Under `-v`: every setting and where it comes from, and warnings.
    pub(crate) fn explain_config(&self, config: &Config) {
        for origin in &config.origins {
            let (field, value, source) = (&origin.field, &origin.value, &origin.source);
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
        let plain = self.options.quiet || self.options.verbose;
        if plain || !io::stderr().is_terminal() {
            return work();
        }
        let total = source::count(&self.options.files);
        self.lock().status = Some(Status::new(self.language, total));
        thread::scope(|scope| {
            // Where no thread can be had, there is no status line.
            let _ = thread::Builder::new().spawn_scoped(scope, || self.tick());
            let done = work();
            self.lock().over = true;
            self.over.notify_all();
            done
        })
    }

    /// Draws the status line again and again, until all is over.
    fn tick(&self) {
        let mut screen = self.lock();
        while !screen.over {
            let in_line = screen.live.as_ref().is_some_and(Live::is_in_line);
            let status = screen.status.as_ref().filter(|_| !in_line);
            match status.and_then(|status| status.line(self.clock.now())) {
                Some(line) => screen.draw(&line),
                None => screen.erase(),
            }
            let waited = self.over.wait_timeout(screen, TICK);
            screen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        screen.erase();
    }

    /// A line on standard error, unless nobody wants one.
    fn complain(&self, line: &str) {
        if !self.options.quiet {
            self.tell_line(line);
        }
    }

    fn tell_line(&self, line: &str) {
        let line = printable::line(&self.masked(line));
        let _screen = self.screen();
        tell(format!("coze-workflow: {line}\n"));
    }

    /// A line for `-v`.
    fn explain(&self, line: &str) {
        if self.options.verbose {
            let elapsed = self.clock.now().as_secs_f64();
            let line = printable::line(&self.masked(line));
            let _screen = self.screen();
            tell(format!("[{elapsed:9.3}] {line}\n"));
        }
    }

    /// One JSON value on a line of standard output, flushed. False when it can't be written.
    fn print(&self, value: &impl Serialize) -> bool {
        self.print_line(printable::json, |line| {
            Ok(serde_json::to_writer(line, value)?)
        })
    }

    /// `safe`: as a terminal may be given it. Anybody else gets the bytes as they are.
    fn print_line(
        &self,
        safe: fn(&str) -> String,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> bool {
        self.screen().write(|out| {
            if self.is_terminal {
                let mut bytes = Vec::new();
                content(&mut bytes)?;
                out.write_all(safe(&String::from_utf8_lossy(&bytes)).as_bytes())?;
            } else {
                content(out)?;
            }
            out.write_all(b"\n")
        })
    }

    fn masked(&self, text: &str) -> String {
        self.key
            .map_or_else(|| text.to_owned(), |key| key.mask(text))
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
    fn told(&self, note: &Note<'_>) -> Option<String> {
        let seconds = |pause: &Duration| format!("{} s", pause.as_secs_f64());
        Some(match note {
            Note::Text(_) => return None,
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
        })
    }

    /// A whole response on standard error, for it may hold the only way back to a run.
    fn print_aside(&self, response: &mut Response) {
        let mut line = Vec::new();
        if response.write(&mut line).is_err() {
            return;
        }
        if io::stderr().is_terminal() {
            line = printable::json(&String::from_utf8_lossy(&line)).into_bytes();
        }
        line.push(b'\n');
        let _screen = self.screen();
        tell(&line);
    }

    /// On standard output, in the form that was asked for. False when it can't be written.
    fn print_response(&self, response: &mut Response, elapsed: Duration) -> bool {
        if let Some(view) = &self.view {
            let mut screen = self.screen();
            let live = screen.live.take();
            let shown = if let Some(live) = &live {
                view.page(response, elapsed, live)
            } else {
                screen.rows += 1;
                view.row(response, elapsed, screen.rows - 1)
            };
            let written = screen.write(|out| out.write_all(shown.as_bytes()));
            drop(screen);
            // A row has no room for a text that nothing else holds.
            if written && live.is_none() && response.kind() == Some(Kind::Io) {
                self.print_aside(response);
            }
            return written;
        }
        let options = self.options;
        if !options.raw_output && options.get.is_none() {
            return self.print_line(printable::json, |line| response.write(line));
        }
        if response.kind().is_none() {
            let output = response.output.plain();
            let part = options.get.as_ref().map(|path| part::find(&output, path));
            match part.transpose() {
                Ok(part) => {
                    let text = part.map_or(output, Cow::Owned);
                    return self
                        .print_line(printable::text, |line| line.write_all(text.as_bytes()));
                }
                Err(error) => {
                    response.error = Some(self.mask_error(error).translate(self.language));
                }
            }
        }
        self.print_aside(response);
        true
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
        self.complain(self.language.pick(english, chinese));
    }

    fn is_broken(&self) -> bool {
        self.lock().out.is_none()
    }

    fn respond(&self, response: &mut Response, began: Duration) -> bool {
        Output::mask(self, response);
        let error = response.error.take();
        response.error = error.map(|error| error.translate(self.language));
        let elapsed = self.clock.now().saturating_sub(began);
        let written = self.print_response(response, elapsed);
        if !written {
            self.print_aside(response);
            let label = Kind::Io.label(self.language);
            self.tell_line(&format!(
                "{label}: standard output cannot be written; the response stands above"
            ));
        }
        // A person has been told already.
        let is_told = written && self.view.is_some();
        if let Some(line) = response.complaint(self.language).filter(|_| !is_told) {
            self.complain(&line);
        }
        written
    }

    fn report(&self, report: &mut Report<'_>) -> bool {
        let error = report.error.take().map(|error| self.mask_error(error));
        report.error = error.map(|error| error.translate(self.language));
        let warnings = report.warnings.drain(..);
        report.warnings = warnings.map(|one| one.in_language(self.language)).collect();
        let written = if self.view.is_some() {
            let lines = parameters::lines(report, self.language).join("\n");
            lines.is_empty()
                || self.print_line(printable::text, |out| out.write_all(lines.as_bytes()))
        } else {
            self.print(report)
        };
        if let Some(line) = report.complaint(self.language) {
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
            data: &'a RawValue,
            #[serde(skip_serializing_if = "Option::is_none")]
            request: Option<&'a RawValue>,
        }

        if !self.options.events {
            return;
        }
        let json = serde_json::from_str(&frame.data).map(fields::one_line);
        let Ok(data) = json.or_else(|_| to_raw_value(&*frame.data)) else {
            return;
        };
        // A reader that has gone away keeps no run from ending: the response says so.
        let _ = self.print(&Line {
            event: &frame.event,
            id: frame.id.as_deref(),
            data: &data,
            request,
        });
    }

    fn taken(&self, is_last: bool) {
        let now = self.clock.now();
        let mut screen = self.lock();
        let is_alone =
            is_last && screen.rows == 0 && self.options.jobs.is_none_or(|jobs| jobs.get() == 1);
        screen.live = (self.view.is_some() && is_alone).then(Live::default);
        if let Some(status) = &mut screen.status {
            status.taken(now);
        }
    }

    fn all_taken(&self) {
        if let Some(status) = &mut self.lock().status {
            status.all_taken();
        }
    }

    fn answered(&self, totals: &Totals) {
        if let Some(status) = &mut self.lock().status {
            status.answered(totals.clone());
        }
    }

    fn note(&self, note: &Note<'_>) {
        let mut screen = self.lock();
        if let Some(status) = &mut screen.status {
            status.note(note, |words| self.masked(words));
        }
        // Lines of `-v` would come into the middle of it.
        if let (Note::Text(text), Some(live), false) =
            (note, &mut screen.live, self.options.verbose)
        {
            let piece = live.advance(text);
            if !piece.is_empty() {
                screen.erase();
                screen.write(|out| out.write_all(piece.as_bytes()));
            }
        }
        drop(screen);
        if self.options.verbose
            && let Some(line) = self.told(note)
        {
            self.explain(&line);
        }
    }

    fn started(&self, execute_id: &str) {
        self.complain(&format!("started execute_id {execute_id}"));
    }

    fn summary(&self, totals: &Totals, exit_code: u8) {
        if self.options.verbose {
            let _screen = self.screen();
            tell(format!("{}\n", totals.json(exit_code)));
        } else {
            self.complain(&sum(totals, self.language));
        }
    }
}

/// The help, or the version. Gives the exit code.
pub(crate) fn print_text(text: &str) -> u8 {
    let print = |mut out: Out| out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match standard_output().and_then(print) {
        Ok(()) => 0,
        // Whoever closes a pipe, `head` or a pager, has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => 0,
        Err(_) => Kind::Io.exit_code(),
    }
}

/// What many requests came to, in one line.
fn sum(totals: &Totals, language: Language) -> String {
    let (all, succeeded) = (totals.all(), totals.succeeded());
    let mut line = language.pick(
        format!("{all} requests: {succeeded} succeeded"),
        format!("{all} 个请求：{succeeded} 个成功"),
    );
    for kind in TOLD.into_iter().filter(|&kind| totals.of(kind) > 0) {
        let (count, label) = (totals.of(kind), kind.label(language));
        let word = match kind {
            Kind::Running => "still running",
            Kind::Usage => "not valid",
            Kind::Config => "not configured",
            Kind::Io => "not written",
            _ => label,
        };
        line += &language.pick(format!(", {count} {word}"), format!("，{count} 个{label}"));
    }
    if totals.from_journal > 0 {
        let count = totals.from_journal;
        line += &language.pick(
            format!("; of them {count} from the journal"),
            format!("；其中 {count} 个取自运行记录"),
        );
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_names_what_there_was() {
        let mut totals = Totals::default();
        for kind in [None, None, None] {
            totals.count(kind, true);
        }
        assert_eq!(sum(&totals, Language::English), "3 requests: 3 succeeded");
        for kind in [Kind::Unknown, Kind::Running, Kind::Unknown, Kind::Refused] {
            totals.count(Some(kind), true);
        }
        assert_eq!(
            sum(&totals, Language::English),
            "7 requests: 3 succeeded, 1 refused, 2 unknown, 1 still running"
        );
        totals.from_journal = 2;
        assert!(
            sum(&totals, Language::English)
                .ends_with(", 1 still running; of them 2 from the journal")
        );
        assert_eq!(
            sum(&totals, Language::Chinese),
            "7 个请求：3 个成功，1 个被拒绝，2 个情况不明，1 个仍在运行；其中 2 个取自运行记录"
        );
    }
}
