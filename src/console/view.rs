//! What a person at a terminal is shown instead of JSON: the text of one run as it arrives, how it
//! ended and what to do; of many, a line each. Nothing depends on the width of the terminal. Gives
//! text, whose foreign parts are escaped; prints nothing.

use std::ffi::OsStr;
use std::time::Duration;

use serde_json::value::RawValue;

use super::{part, printable};
use crate::cli::Options;
use crate::coze::call::Mode;
use crate::coze::event::Interrupt;
use crate::coze::fields;
use crate::error::Kind;
use crate::input::answer;
use crate::input::object::{Object, quoted};
use crate::language::Language;
use crate::response::Response;
use crate::text::Text;

/// How much of an output is shown where a run has one line.
const START: usize = 60;

/// More choices than a person reads.
const CHOICES: usize = 100;

/// The text of one run, as far as it is on the terminal.
#[derive(Debug, Default)]
pub(super) struct Live {
    shown: String,
    /// How much of the run's text was looked at.
    seen: usize,
    /// It is shown when it is whole, as JSON is.
    is_held: bool,
}

impl Live {
    pub(super) fn new(is_held: bool) -> Self {
        Self {
            is_held,
            ..Self::default()
        }
    }

    /// What is to be shown now that the text has come so far.
    pub(super) fn advance(&mut self, text: &Text) -> String {
        if self.is_held || text.len() <= self.seen {
            return String::new();
        }
        let piece = text.slice(self.seen, text.len());
        let piece = piece.plain();
        let start = piece.trim();
        self.is_held = self.shown.is_empty() && start.starts_with(['{', '[']);
        if self.is_held || self.shown.is_empty() && start.is_empty() {
            return String::new();
        }
        self.seen = text.len();
        self.shown += &piece;
        printable::text(&piece)
    }

    pub(super) fn is_in_line(&self) -> bool {
        !self.shown.is_empty() && !self.shown.ends_with('\n')
    }

    /// What is left to be shown of the whole text, up to the end of its last line.
    fn rest(&self, output: &str) -> String {
        let laid_out = printable::layout(output);
        let whole = laid_out.as_deref().unwrap_or(output);
        let mut rest = match output.strip_prefix(&*self.shown) {
            _ if self.shown.is_empty() => printable::text(whole),
            Some(rest) => printable::text(rest),
            // What was shown turned out to be something else.
            None => format!("\n\n{}", printable::text(whole)),
        };
        if !rest.ends_with('\n') && (self.is_in_line() || !rest.is_empty()) {
            rest.push('\n');
        }
        rest
    }
}

/// How things are shown.
#[derive(Debug)]
pub(super) struct View {
    language: Language,
    has_colours: bool,
    /// The program, and the options that tell which server it asks, and what it keeps.
    command: String,
}

/// What ANSI calls its colours.
const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "1;31";
const GREEN: &str = "1;32";

impl View {
    pub(super) fn new(language: Language, has_colours: bool, options: &Options) -> Self {
        let mut command = "coze-workflow".to_owned();
        let mut add = |option, value: Option<&OsStr>| {
            if let Some(value) = value {
                let value = shell_word(&value.to_string_lossy());
                command = format!("{command} {option} {value}");
            }
        };
        add("-c", options.config.as_ref().map(AsRef::as_ref));
        add("--base-url", options.base_url.as_ref().map(AsRef::as_ref));
        let service = options.service.map(|name| name.word().as_ref());
        add("--service", service);
        add("--cacert", options.cacert.as_ref().map(AsRef::as_ref));
        add("--journal", options.journal.as_ref().map(AsRef::as_ref));
        add("-o", options.output.as_ref().map(AsRef::as_ref));
        Self {
            language,
            has_colours,
            command,
        }
    }

    /// The rest of a run's page, of which `live` is there already.
    pub(super) fn page(&self, response: &Response, elapsed: Duration, live: &Live) -> String {
        let next = self.next(response);
        let output = response.output.plain();
        // Where the End node has said nothing, the output is what the others said.
        let mut said = String::new();
        for message in &response.messages {
            said += &message.content.plain();
        }
        let is_twice = !output.is_empty() && said == output;
        let asks = response.interrupt.is_some();
        let mut page = live.rest(if is_twice && asks { "" } else { &output });
        for message in &response.messages {
            let content = message.content.plain();
            // Coze Studio asks in a message as well.
            let is_question = asks && content == next.asked;
            if !is_question && (asks || !is_twice) {
                let title = self.paint(BOLD, &printable::line(&message.node_title));
                let content = printable::text(content.trim_end());
                let message = format!("{title}: {content}\n");
                page += &message;
            }
        }
        page += &self.headline(response, elapsed, None);
        let mut add = |line: &str| printable::add_line(&mut page, &printable::line(line));
        if let (Some(name), Some(bytes)) = (&response.output_file, response.output_bytes) {
            add(&format!("→ {name} ({bytes} bytes)"));
        }
        if let Some(error) = &response.error {
            // The command takes the place of the hint.
            let own_words = next.has_command.then(|| error.message.clone());
            add(&own_words.unwrap_or_else(|| error.advice()));
            if let Some(logid) = &error.logid {
                add(&format!("logid {logid}"));
            }
        }
        page + &next.lines + "\n"
    }

    /// One of many runs, in one line.
    pub(super) fn row(&self, response: &Response, elapsed: Duration, number: u64) -> String {
        let id = response.id.as_deref().map(RawValue::get);
        let id = id.map_or_else(|| number.to_string(), ToOwned::to_owned);
        let id = id.trim_start_matches('"').trim_end_matches('"');
        let output = printable::begin(&response.output.plain(), START);
        let what = match (&response.error, &response.interrupt) {
            (Some(error), _) => error.line(self.language),
            (None, Some(_)) => {
                let label = Kind::Interrupted.label(self.language);
                let colon = if output.is_empty() { "" } else { ": " };
                format!("{label}{colon}{output}")
            }
            (None, None) => output,
        };
        let end = self.headline(response, elapsed, Some(id));
        let row = format!("{end}  {}", printable::line(&what));
        let next = self.next(response).lines.replace('\n', "\n  ");
        row.trim().to_owned() + &next + "\n"
    }

    /// How it ended, in one line: the mark, the kind, the seconds, the run. Of one of many its `id`
    /// instead of the kind, which begins what is said of it.
    fn headline(&self, response: &Response, elapsed: Duration, id: Option<&str>) -> String {
        let (mark, colour, word) = match response.kind() {
            None => ("✓", GREEN, self.language.pick("success", "成功")),
            Some(kind) => ("✗", RED, kind.label(self.language)),
        };
        let head = printable::line(&format!("{mark} {}", id.unwrap_or(word)));
        let tenths = elapsed.as_secs() * 10 + u64::from((elapsed.subsec_millis() + 50) / 100);
        let unit = self.language.pick("s", "秒");
        let mut facts = format!("{}.{} {unit}", tenths / 10, tenths % 10);
        let kept = self.language.pick("from the journal", "取自运行记录");
        let kept = if response.is_from_journal { kept } else { "" };
        let debug_url = id.map_or(&*response.debug_url, |_| "");
        for fact in [&*response.execute_id, kept, debug_url] {
            if !fact.is_empty() {
                facts = facts + "  " + fact;
            }
        }
        let facts = self.paint(DIM, &printable::line(&facts));
        format!("{}  {facts}", self.paint(colour, &head))
    }

    /// What a run waits for, and the command that goes on with it.
    fn next(&self, response: &Response) -> NextStep {
        let mut next = NextStep::default();
        let asked = response.interrupt.as_ref();
        let answer = asked.map(|interrupt| next.read(interrupt));
        if answer.is_some() && next.lines.is_empty() && response.messages.is_empty() {
            let words = ("the run's page has the question", "提问内容见运行页面");
            printable::add_line(&mut next.lines, self.language.pick(words.0, words.1));
        }
        let mut request = Object::about(response.workflow_id.as_deref());
        match (response.kind(), &response.interrupt) {
            // Also where the journal could not take it.
            (Some(Kind::Interrupted | Kind::Io), Some(interrupt)) => {
                let (id, kind) = (quoted(&interrupt.event_id), interrupt.r#type);
                let is_async = interrupt.mode == Some(Mode::Async);
                let mode = if is_async { "async" } else { "stream" };
                // An answer is checked by these before it is sent.
                let required = interrupt.required_parameters.as_ref();
                let required = required.map(|json| format!("\"required_parameters\":{json},"));
                let required = required.unwrap_or_default();
                let asked =
                    format!(r#"{{"event_id":{id},"type":{kind},{required}"mode":"{mode}"}}"#);
                request.push("interrupt", &asked);
                request.push("resume_data", &answer.unwrap_or_default());
            }
            // Where an answer was refused, the run tells anew what it waits for, or how it ended.
            (Some(Kind::Running), _) | (Some(Kind::Refused), Some(_))
                if !response.execute_id.is_empty() =>
            {
                request.push("execute_id", &quoted(&response.execute_id));
            }
            _ => return next,
        }
        let request = shell_word(&request.finish());
        let command = format!("→ {} --request {request}", self.command);
        printable::add_line(&mut next.lines, &printable::line(&command));
        next.has_command = response.kind() != Some(Kind::Refused);
        next
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.has_colours {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// As a shell reads it as one word.
fn shell_word(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What a run asks, and the command that goes on with it, where there is either.
#[derive(Default)]
struct NextStep {
    /// What it asks, as it came.
    asked: String,
    /// What it asks and the command that goes on with it: lines, each after its break.
    lines: String,
    /// A command is among them, and takes the place of a hint.
    has_command: bool,
}

impl NextStep {
    /// Adds what is asked. Gives an answer, as JSON, to be put right: as it is, it is refused.
    fn read(&mut self, interrupt: &Interrupt) -> String {
        let data = interrupt.data.as_deref().map(Into::into);
        self.asked = fields::text(data).unwrap_or_default().into_owned();
        let indented = |line: &str| printable::line(&format!("  {line}"));
        let mut add = |line: &str| printable::add_line(&mut self.lines, line);
        let inputs = answer::inputs(interrupt);
        if inputs.is_empty() {
            let at = |path: &str| part::find(&self.asked, path).ok();
            let words = at("messages.0.content.question").or_else(|| at("messages.0.content"));
            let words = words.or_else(|| printable::layout(&self.asked));
            add(&printable::text(words.as_ref().unwrap_or(&self.asked)));
            let choice = |n: usize| at(&format!("messages.0.content.options.{n}.name"));
            (0..CHOICES)
                .map_while(choice)
                .for_each(|choice| add(&indented(&choice)));
            return quoted("…");
        }
        let mut form = Object::default();
        for input in &inputs {
            add(&indented(&input.describe()));
            form.push(&input.name, if input.is_text() { "\"…\"" } else { "…" });
        }
        form.finish()
    }
}
