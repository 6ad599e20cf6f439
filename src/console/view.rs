//! What a person at a terminal is shown instead of JSON: the text of one run as it arrives, how it
//! ended and what to do; of many, a line each. Nothing depends on the width of the terminal. Gives
//! text, whose foreign parts are escaped; prints nothing.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::value::RawValue;

use super::{part, printable};
use crate::cli::Options;
use crate::coze::call::Mode;
use crate::coze::event::Interrupt;
use crate::coze::fields;
use crate::error::Kind;
use crate::input::answer::{self, Input};
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
        let start = piece.trim_start();
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

    /// What is left to be shown of the whole text, without the break of its last line.
    fn rest(&self, output: &str) -> Option<String> {
        let laid_out = printable::layout(output);
        let whole = laid_out.as_deref().unwrap_or(output);
        let rest = if self.shown.is_empty() {
            printable::text(whole)
        } else if let Some(rest) = output.strip_prefix(&*self.shown) {
            printable::text(rest)
        } else {
            // What was shown turned out to be something else.
            format!("\n\n{}", printable::text(whole))
        };
        let is_line = self.is_in_line() || !rest.is_empty();
        is_line.then(|| rest.strip_suffix('\n').unwrap_or(&rest).to_owned())
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
    pub(super) fn new<'a>(language: Language, has_colours: bool, options: &'a Options) -> Self {
        let path = |path: &'a Option<PathBuf>| Some(path.as_ref()?.to_string_lossy());
        let given = [
            ("-c", path(&options.config)),
            ("--base-url", options.base_url.as_deref().map(Into::into)),
            ("--service", options.service.map(|name| name.word().into())),
            ("--cacert", path(&options.cacert)),
            ("--journal", path(&options.journal)),
        ];
        let mut command = "coze-workflow".to_owned();
        for (option, value) in given {
            let word = value.map(|value| format!(" {option} {}", shell_word(&value)));
            command += &word.unwrap_or_default();
        }
        Self {
            language,
            has_colours,
            command,
        }
    }

    /// The rest of a run's page, of which `live` is there already.
    pub(super) fn page(&self, response: &Response, elapsed: Duration, live: &Live) -> String {
        let question = response.interrupt.as_ref().map(Question::read);
        let output = response.output.plain();
        // Where the End node has said nothing, the output is what the others said.
        let said = response.messages.iter();
        let said: String = said.map(|message| message.content.plain()).collect();
        let is_twice = !output.is_empty() && said == output;
        let is_asked = is_twice && question.is_some();
        let is_output = is_twice && question.is_none();
        let mut page = Vec::from_iter(live.rest(if is_asked { "" } else { &output }));
        for message in &response.messages {
            let content = message.content.plain();
            // Coze Studio asks in a message as well.
            let is_question = question.as_ref().is_some_and(|asked| asked.raw == content);
            if !is_question && !is_output {
                let title = self.paint(BOLD, &printable::line(&message.node_title));
                page.push(format!("{title}: {}", printable::text(content.trim_end())));
            }
        }
        page.push(self.headline(response, elapsed, None));
        if let (Some(name), Some(bytes)) = (&response.output_file, response.output_bytes) {
            page.push(printable::line(&format!("→ {name} ({bytes} bytes)")));
        }
        let next = self.next_command(response, question.as_ref());
        if let Some(error) = &response.error {
            let own_words = next.as_ref().map(|_| error.message.clone());
            let advice = own_words.unwrap_or_else(|| error.advice());
            page.push(printable::line(&advice));
            let logid = error.logid.iter();
            page.extend(logid.map(|logid| printable::line(&format!("logid {logid}"))));
        }
        page.extend(question.map(|question| question.lines).unwrap_or_default());
        page.extend(next);
        page.join("\n") + "\n"
    }

    /// One of many runs, in one line.
    pub(super) fn row(&self, response: &Response, elapsed: Duration, number: u64) -> String {
        let id = response.id.as_deref().map(RawValue::get);
        let id = id.map_or_else(|| number.to_string(), |id| id.trim_matches('"').to_owned());
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
        let end = self.headline(response, elapsed, Some(&id));
        let row = format!("{end}  {}", printable::line(&what));
        let mut row = row.trim_end().to_owned();
        let question = response.interrupt.as_ref().map(Question::read);
        let next = self.next_command(response, question.as_ref());
        let asked = question.map(|question| question.lines).unwrap_or_default();
        for line in asked.iter().chain(&next) {
            row = row + "\n  " + &line.replace('\n', "\n  ");
        }
        row + "\n"
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
        let time = format!("{}.{} {unit}", tenths / 10, tenths % 10);
        let mut facts = vec![&*time, &*response.execute_id];
        if response.is_from_journal {
            facts.push(self.language.pick("from the journal", "取自运行记录"));
        }
        if id.is_none() {
            facts.push(&response.debug_url);
        }
        facts.retain(|fact| !fact.is_empty());
        let facts = printable::line(&facts.join("  "));
        format!("{}  {}", self.paint(colour, &head), self.paint(DIM, &facts))
    }

    /// The line with the command that goes on with a run.
    fn next_command(&self, response: &Response, question: Option<&Question>) -> Option<String> {
        let mut request = Object::default();
        // A deployed project has none.
        if let Some(workflow_id) = &response.workflow_id {
            request.push("workflow_id", &quoted(workflow_id));
        }
        match (response.kind()?, &response.interrupt) {
            // Also where the journal could not take it.
            (Kind::Interrupted | Kind::Io, Some(interrupt)) => {
                let (id, kind) = (quoted(&interrupt.event_id), interrupt.r#type);
                let is_async = interrupt.mode == Some(Mode::Async);
                let mode = if is_async { "async" } else { "stream" };
                let asked = format!(r#"{{"event_id":{id},"type":{kind},"mode":"{mode}"}}"#);
                request.push("interrupt", &asked);
                request.push("resume_data", &question?.answer);
            }
            (Kind::Running, _) if !response.execute_id.is_empty() => {
                request.push("execute_id", &quoted(&response.execute_id));
            }
            _ => return None,
        }
        let request = shell_word(&request.finish());
        let next = format!("→ {} --request {request}", self.command);
        Some(printable::line(&next))
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

/// What a run asks.
struct Question {
    /// As it came.
    raw: String,
    /// As it is shown.
    lines: Vec<String>,
    /// An answer, as JSON, to be put right: as it is, it is refused.
    answer: String,
}

impl Question {
    fn read(interrupt: &Interrupt) -> Self {
        let data = interrupt.data.as_deref().map(Into::into);
        let raw = fields::text(data).unwrap_or_default().into_owned();
        let indented = |line: String| printable::line(&format!("  {line}"));
        let inputs = answer::inputs(interrupt);
        let mut lines: Vec<_> = inputs.iter().map(Input::describe).map(indented).collect();
        if inputs.is_empty() {
            let at = |path: &str| part::find(&raw, path).ok();
            let asked = at("messages.0.content.question").or_else(|| at("messages.0.content"));
            let asked = asked.unwrap_or_else(|| printable::layout(&raw).unwrap_or(raw.clone()));
            lines.extend((!asked.is_empty()).then(|| printable::text(&asked)));
            let choice = |n: usize| at(&format!("messages.0.content.options.{n}.name"));
            lines.extend((0..CHOICES).map_while(choice).map(indented));
            let answer = quoted("…");
            return Self { raw, lines, answer };
        }
        let mut form = Object::default();
        for input in &inputs {
            let value = if input.is_text() { "\"…\"" } else { "…" };
            form.push(&input.name, value);
        }
        let answer = form.finish();
        Self { raw, lines, answer }
    }
}
