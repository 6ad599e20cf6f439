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
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::time::Duration;

use serde_json::value::{RawValue, to_raw_value};

use self::screen::{Content, Out, Screen, standard_output, tell};
use self::status_line::Status;
use self::view::{Live, View};
use crate::cli::Options;
use crate::config::{self, Config, Env, Key};
use crate::coze::fields;
use crate::error::{Code, Error, Kind};
use crate::input::object::{Object, quoted};
use crate::input::source;
use crate::language::Language;
use crate::response::totals::Totals;
use crate::response::{Outcome, Response};
use crate::run::Note;
use crate::run::rehearse::Report;
use crate::sse::Frame;
use crate::time::Clock;

pub(crate) struct Console<'a> {
    options: &'a Options,
    language: Language,
    /// Standard output is a terminal: no text may command it.
    is_terminal: bool,
    /// For a person at that terminal, who is shown no JSON.
    view: Option<View>,
    /// For a person, while there is work: standard error is a terminal that can draw it, and nobody
    /// wants another form.
    has_status: bool,
    /// Once it is set, it is masked wherever the service's words quote it.
    pub(crate) key: Option<&'a Key>,
    clock: &'a dyn Clock,
    screen: Screen,
}

impl<'a> Console<'a> {
    pub(crate) fn new(options: &'a Options, env: &Env, clock: &'a dyn Clock) -> Self {
        let language = config::language(env);
        let is_terminal = io::stdout().is_terminal();
        let wants_text = options.raw_output || options.get.is_some();
        let knows_escapes = config::knows_escapes(env);
        let is_plain = wants_text || options.json || options.events;
        let has_view = is_terminal && knows_escapes && !is_plain;
        let has_status = knows_escapes && !options.quiet && !options.verbose;
        let view = || View::new(language, config::has_colours(env), options);
        Self {
            options,
            language,
            is_terminal,
            view: has_view.then(view),
            has_status: has_status && io::stderr().is_terminal(),
            key: None,
            clock,
            screen: Screen::new(),
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
        self.screen.lock().live = Some(Live::default());
        if self.respond(&mut response, self.clock.now()) {
            response.exit_code()
        } else {
            Kind::Io.exit_code()
        }
    }

    /// Under `-v`: every setting and where it comes from, and warnings.
    pub(crate) fn explain_config(&self, config: &Config) {
        // No sentence is made where nobody reads it.
        for one in config.origins.iter().filter(|_| self.options.verbose) {
            self.explain(&format!("{} {} ({})", one.field, one.value, one.source));
        }
        for warning in &config.warnings {
            self.explain(warning);
        }
    }

    /// Does `work`, with a status line meanwhile when somebody can see it.
    pub(crate) fn with_status<T>(&self, work: Box<dyn FnOnce() -> T + '_>) -> T {
        if !self.has_status {
            return work();
        }
        let status = Status::new(self.language, source::count(&self.options.files));
        self.screen.with_status(status, self.clock, work)
    }

    /// A line on standard error, unless nobody wants one.
    fn complain(&self, line: &str) {
        if !self.options.quiet {
            self.tell_line("coze-workflow:", line);
        }
    }

    /// A line for `-v`.
    fn explain(&self, line: &str) {
        if self.options.verbose {
            let elapsed = self.clock.now();
            let (seconds, milliseconds) = (elapsed.as_secs(), elapsed.subsec_millis());
            self.tell_line(&format!("[{seconds:5}.{milliseconds:03}]"), line);
        }
    }

    fn tell_line(&self, head: &str, line: &str) {
        let line = printable::line(&self.masked(line));
        let _screen = self.screen.cleared();
        tell(format!("{head} {line}\n"));
    }

    fn print_text(&self, text: &str) -> bool {
        self.print_line(printable::text, &mut |line| line.write_all(text.as_bytes()))
    }

    /// A line of standard output, flushed. False when it can't be written.
    /// `safe`: as a terminal may be given it. Anybody else gets the bytes as they are.
    fn print_line(&self, safe: fn(&str) -> String, content: &mut Content<'_>) -> bool {
        self.screen.cleared().write(&mut |out| {
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

    /// As it is printed.
    fn worded(&self, error: Error) -> Error {
        self.mask_error(error).translate(self.language)
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
        let _screen = self.screen.cleared();
        tell(&line);
    }

    /// After exit 9 the response is on standard error as well, whatever could not be written. Not
    /// `is_due` where it is there already, or where a person has seen all of it.
    fn print_again(&self, is_due: bool, response: &mut Response) {
        if is_due && response.kind() == Some(Kind::Io) {
            self.print_aside(response);
        }
    }

    /// For a person at the terminal. False when it can't be written.
    fn show(&self, view: &View, response: &mut Response, elapsed: Duration) -> bool {
        let mut screen = self.screen.cleared();
        let live = screen.live.take();
        let shown = if let Some(live) = &live {
            view.page(response, elapsed, live)
        } else {
            screen.rows += 1;
            view.row(response, elapsed, screen.rows - 1)
        };
        let written = screen.write(&mut |out| out.write_all(shown.as_bytes()));
        drop(screen);
        // A page has all of it; a row has no room for a text that nothing else holds.
        self.print_again(written && live.is_none(), response);
        written
    }

    /// On standard output, in the form that was asked for. False when it can't be written.
    fn print_response(&self, response: &mut Response, elapsed: Duration) -> bool {
        if let Some(view) = &self.view {
            return self.show(view, response, elapsed);
        }
        let options = self.options;
        if !options.raw_output && options.get.is_none() {
            let written = self.print_line(printable::json, &mut |line| response.write(line));
            self.print_again(written, response);
            return written;
        }
        if response.kind().is_none() {
            let output = response.output.plain();
            let part = options.get.as_ref().map(|path| part::find(&output, path));
            match part.transpose() {
                Ok(part) => return self.print_text(&part.map_or(output, Cow::Owned)),
                Err(error) => response.error = Some(self.worded(error)),
            }
        }
        self.print_aside(response);
        true
    }

    /// Masks the key where the service's words quote it.
    pub(crate) fn mask(&self, response: &mut Response) {
        response.debug_url = self.masked(&response.debug_url);
        response.logid = response.logid.as_ref().map(|logid| self.masked(logid));
        response.error = response.error.take().map(|error| self.mask_error(error));
    }

    pub(crate) fn mask_error(&self, mut error: Error) -> Error {
        let mask = |text: &str| self.masked(text);
        error.message = mask(&error.message);
        error.hint = error.hint.take().map(|hint| hint.map(mask));
        error.logid = error.logid.as_deref().map(mask);
        if let Some(Code::Word(word)) = &mut error.code {
            *word = mask(word);
        }
        error
    }

    /// A word about the requests themselves.
    pub(crate) fn warn(&self, english: &'static str, chinese: &'static str) {
        self.complain(self.language.pick(english, chinese));
    }

    /// Nothing more can be written to standard output.
    pub(crate) fn is_broken(&self) -> bool {
        self.screen.lock().out.is_none()
    }

    /// Masks and writes one response to a request that was taken up at `began`; false when nothing
    /// more can be written.
    pub(crate) fn respond(&self, response: &mut Response, began: Duration) -> bool {
        self.mask(response);
        response.error = response.error.take().map(|error| self.worded(error));
        let elapsed = self.clock.now().saturating_sub(began);
        let written = self.print_response(response, elapsed);
        if !written {
            self.print_aside(response);
            let label = Kind::Io.label(self.language);
            let fault = "standard output cannot be written; the response is on the line above";
            self.tell_line("coze-workflow:", &format!("{label}: {fault}"));
        }
        // A person has been told already.
        let is_told = written && self.view.is_some();
        if let Some(line) = response.complaint(self.language).filter(|_| !is_told) {
            self.complain(&line);
        }
        written
    }

    /// Writes what `--check` found; false when nothing more can be written.
    pub(crate) fn report(&self, report: &mut Report<'_>) -> bool {
        report.error = report.error.take().map(|error| self.worded(error));
        let warnings = report.warnings.drain(..);
        report.warnings = warnings.map(|one| one.in_language(self.language)).collect();
        let written = if self.view.is_some() {
            let lines = parameters::lines(report, self.language);
            // What was said of a workflow is not said again for each of its rows.
            let is_new = self.screen.lock().add_report(&lines);
            // Without the break before the first.
            !is_new || lines.is_empty() || self.print_text(&lines[1..])
        } else {
            self.print_line(printable::json, &mut |line| {
                line.write_all(&serde_json::to_vec(report)?)
            })
        };
        if !written {
            self.tell_line("coze-workflow:", "standard output cannot be written");
        }
        // No option hides it from a person.
        let is_wanted = self.view.is_some() || !self.options.quiet;
        if let Some(line) = report.complaint(self.language).filter(|_| is_wanted) {
            self.tell_line("coze-workflow:", &line);
        }
        written
    }

    /// An event as it arrives; `request` is the request's `id`.
    pub(crate) fn event(&self, frame: &Frame<'_>, request: Option<&RawValue>) {
        if !self.options.events {
            return;
        }
        let json = serde_json::from_str(&frame.data).map(fields::one_line);
        let Ok(data) = json.or_else(|_| to_raw_value(&*frame.data)) else {
            return;
        };
        let mut line = Object::default();
        line.push("event", &quoted(&frame.event));
        if let Some(id) = &frame.id {
            line.push("id", &quoted(id));
        }
        line.push("data", data.get());
        if let Some(request) = request {
            line.push("request", request.get());
        }
        let line = line.finish();
        // A reader that has gone away keeps no run from ending: the response says so.
        let _ = self.print_line(printable::json, &mut |out| out.write_all(line.as_bytes()));
    }

    /// A request was taken up. `is_last`: no other one is known to follow.
    pub(crate) fn taken(&self, is_last: bool) {
        let mut screen = self.screen.lock();
        let is_alone = is_last && screen.rows == 0 && screen.status.running() == 0;
        // While one of several jobs is at work, another request may still come.
        let may_come = self.options.jobs.is_some_and(|jobs| jobs.get() > 1);
        screen.live = is_alone.then(|| Live::new(may_come));
        screen.status.taken(self.clock.now());
    }

    /// No other request will be taken up.
    pub(crate) fn all_taken(&self) {
        self.screen.lock().status.all_taken();
    }

    /// How many requests came to what so far.
    pub(crate) fn answered(&self, totals: &Totals) {
        self.screen.lock().status.answered(totals.clone());
    }

    /// A step on the way.
    pub(crate) fn note(&self, note: &Note<'_>) {
        let masked = |words: &str| self.masked(words);
        if self.options.verbose {
            // Lines come into the middle of no text: it is shown when it is whole.
            if let Some(line) = status_line::step(note, masked) {
                self.explain(&line);
            }
            return;
        }
        let mut screen = self.screen.lock();
        if screen.has_status {
            screen.status.note(note, masked);
        }
        let is_shown = self.view.is_some();
        if let (Note::Heard { text, .. }, Some(live)) = (note, &mut screen.live)
            && let Some(text) = text.filter(|_| is_shown)
        {
            let piece = live.advance(text);
            if !piece.is_empty() {
                screen.erase();
                screen.write(&mut |out| out.write_all(piece.as_bytes()));
            }
        }
    }

    /// A background run is known by its id.
    pub(crate) fn started(&self, execute_id: &str) {
        self.complain(&self.language.pick(
            format!("started execute_id {execute_id}"),
            format!("运行已开始，execute_id 为 {execute_id}"),
        ));
    }

    /// How many requests came to what in the end, when there were several.
    pub(crate) fn summary(&self, totals: &Totals, exit_code: u8) {
        if self.options.verbose {
            let _screen = self.screen.cleared();
            tell(format!("{}\n", totals.json(exit_code)));
        } else if self.options.check {
            self.complain(&status_line::sum_of_check(totals, self.language));
        } else {
            self.complain(&status_line::sum(totals, self.language));
        }
    }
}

/// The help, or the version. Gives the exit code.
pub(crate) fn print_text(text: &str) -> u8 {
    let print = |mut out: Out| out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match standard_output().and_then(print) {
        // Whoever closes a pipe, `head` or a pager, has read enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            tell(format!(
                "coze-workflow: standard output cannot be written: {error}\n"
            ));
            Kind::Io.exit_code()
        }
        _ => 0,
    }
}
