//! What came of a request → the JSON object on standard output, and the exit code, which is that of
//! the error's kind (`error`); and, from a journal, back. Never prints.

pub(crate) mod totals;

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::coze::event::Interrupt;
use crate::coze::transcript::NodeMessage;
use crate::error::{Error, Kind};
use crate::language::Language;
use crate::text::Text;

/// One response. The first four keys are always there, always strings.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Response {
    /// Empty when unknown.
    pub(crate) execute_id: String,
    pub(crate) status: Status,
    /// The End node's result; text so far when the run did not succeed.
    pub(crate) output: Text,
    /// Empty when unknown.
    pub(crate) debug_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workflow_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Error>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interrupt: Option<Interrupt>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) messages: Vec<NodeMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) logid: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) lost_events: u64,
    /// Where `output` was written instead, and how much of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output_bytes: Option<u64>,
    /// Taken from the journal, without a call.
    #[serde(rename = "journal", default, skip_serializing_if = "is_default")]
    pub(crate) is_from_journal: bool,
    /// The caller's own name for the request, or its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<Box<RawValue>>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    /// The run finished, and its output is whole.
    Success,
    /// Refused, failed, or never sent.
    #[default]
    Fail,
    /// Still going, waiting for an answer, or not known.
    Running,
}

/// How a request ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The run finished and `output` is whole.
    Success,
    /// The run waits for an answer.
    Interrupted(Interrupt),
    /// Anything else.
    Error(Error),
}

impl Response {
    pub(crate) fn new(outcome: Outcome) -> Self {
        let (status, interrupt, error) = match outcome {
            Outcome::Success => (Status::Success, None, None),
            Outcome::Interrupted(interrupt) => (Status::Running, Some(interrupt), None),
            Outcome::Error(error) => (status_of(error.kind), None, Some(error)),
        };
        Self {
            status,
            error,
            interrupt,
            ..Self::default()
        }
    }

    /// Says this instead of what it said.
    pub(crate) fn set_error(&mut self, error: Error) {
        self.status = status_of(error.kind);
        self.error = Some(error);
    }

    /// Why it is no plain success; nothing for Success.
    pub(crate) fn kind(&self) -> Option<Kind> {
        let asks = self.interrupt.as_ref().map(|_| Kind::Interrupted);
        self.error.as_ref().map(|error| error.kind).or(asks)
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.kind().map_or(0, Kind::exit_code)
    }

    /// The line for standard error; nothing for Success.
    pub(crate) fn complaint(&self, language: Language) -> Option<String> {
        let asked = self.interrupt.as_ref().map(|Interrupt { event_id, .. }| {
            let message = format!("the run waits for an answer to {event_id}");
            let asked = Error::new(Kind::Interrupted, message).hint(
                "to answer it, add resume_data to the response and feed that back",
                "请在响应中加上 resume_data 作为回答，再传回",
            );
            asked.translate(language)
        });
        let error = self.error.as_ref().or(asked.as_ref())?;
        let mut line = error.line(language);
        if !self.execute_id.is_empty() {
            line = format!("{line} [execute_id {}]", self.execute_id);
        }
        if let Some(id) = &self.id {
            line = format!("{line} [id {id}]");
        }
        Some(line)
    }

    /// The object, as serde gives it. Of `output` every byte was looked at when it came, and serde
    /// takes no JSON without looking at all of it again: megabytes go around it.
    pub(crate) fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        const EMPTY: &[u8] = br#""output":"""#;
        let output = std::mem::take(&mut self.output);
        let line = serde_json::to_vec(self);
        self.output = output;
        let line = line?;
        // Neither of the two values before it can hold a quote.
        let place = line.windows(EMPTY.len()).position(|part| part == EMPTY);
        let end = place.expect("output is always there") + EMPTY.len();
        out.write_all(&line[..end - 2])?;
        out.write_all(self.output.json().as_bytes())?;
        out.write_all(&line[end..])
    }
}

fn status_of(kind: Kind) -> Status {
    match kind {
        Kind::Failed
        | Kind::Usage
        | Kind::Config
        | Kind::Refused
        | Kind::Unreachable
        | Kind::Io => Status::Fail,
        Kind::Running | Kind::Interrupted | Kind::Unknown => Status::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coze::call::Mode;
    use crate::error::Code;

    /// The line, which is what serde gives, and which is read back as what it was.
    #[track_caller]
    fn json(response: &mut Response) -> String {
        let mut written = Vec::new();
        response.write(&mut written).unwrap();
        assert_eq!(written, serde_json::to_vec(response).unwrap());
        let mut again: Response = serde_json::from_slice(&written).unwrap();
        let mut rewritten = Vec::new();
        again.write(&mut rewritten).unwrap();
        assert_eq!(written, rewritten);
        String::from_utf8(written).unwrap()
    }

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn the_four_keys_come_first_and_are_always_strings() {
        assert_eq!(
            json(&mut Response::new(Outcome::Success)),
            r#"{"execute_id":"","status":"Success","output":"","debug_url":""}"#
        );
    }

    #[test]
    fn everything_that_is_to_be_said_is_said_in_order() {
        let mut all = Response {
            execute_id: "9".to_owned(),
            output: Text::from_plain("{\"a\":\"\n\"}"),
            debug_url: "https://w/?execute_id=9".to_owned(),
            workflow_id: Some("7".to_owned()),
            messages: vec![NodeMessage {
                node_title: "输出".to_owned(),
                content: Text::from_plain("你好"),
            }],
            usage: Some(raw(r#"{"token_count":1e2}"#)),
            logid: Some("L".to_owned()),
            lost_events: 2,
            output_file: Some("out.txt".to_owned()),
            output_bytes: Some(3),
            is_from_journal: true,
            id: Some(raw("12345678901234567890")),
            ..Response::new(Outcome::Success)
        };
        assert_eq!(
            json(&mut all),
            concat!(
                r#"{"execute_id":"9","status":"Success","output":"{\"a\":\"\n\"}","#,
                r#""debug_url":"https://w/?execute_id=9","workflow_id":"7","#,
                r#""messages":[{"node_title":"输出","content":"你好"}],"#,
                r#""usage":{"token_count":1e2},"logid":"L","lost_events":2,"#,
                r#""output_file":"out.txt","output_bytes":3,"journal":true,"id":12345678901234567890}"#
            )
        );
    }

    #[test]
    fn an_error_says_kind_code_message_and_hint() {
        let mut error = Error::new(Kind::Refused, "not published").hint("publish it", "请发布");
        error.code = Some(Code::Number(4200));
        let mut refused = Response::new(Outcome::Error(error));
        assert!(json(&mut refused).ends_with(
            r#""error":{"kind":"refused","code":4200,"message":"not published","hint":"publish it"}}"#
        ));
        let line = "refused: not published (code 4200; publish it)";
        assert_eq!(refused.complaint(Language::English).as_deref(), Some(line));
        assert_eq!(refused.exit_code(), 4);
    }

    #[test]
    fn an_interrupt_carries_what_an_answer_needs() {
        let interrupt = Interrupt {
            event_id: "740/27".to_owned(),
            r#type: 5,
            data: Some(raw("\"q\"")),
            required_parameters: Some(raw(r#"{"img":{"type":"image"}}"#)),
            node_title: Some("问答".to_owned()),
            mode: Some(Mode::Async),
        };
        let mut waiting = Response::new(Outcome::Interrupted(interrupt));
        assert!(json(&mut waiting).ends_with(concat!(
            r#""interrupt":{"event_id":"740/27","type":5,"data":"q","#,
            r#""required_parameters":{"img":{"type":"image"}},"node_title":"问答","mode":"async"}}"#
        )));
        assert_eq!((waiting.exit_code(), waiting.status), (7, Status::Running));
    }

    #[test]
    fn a_refusal_that_carries_its_interrupt_is_a_refusal() {
        let mut refused = Response::new(Outcome::Error(Error::new(Kind::Refused, "")));
        refused.interrupt = Some(Interrupt::default());
        assert_eq!((refused.exit_code(), refused.status), (4, Status::Fail));
    }

    #[test]
    fn the_status_of_every_kind() {
        let status = |kind| Response::new(Outcome::Error(Error::new(kind, ""))).status;
        for kind in [
            Kind::Failed,
            Kind::Usage,
            Kind::Config,
            Kind::Refused,
            Kind::Unreachable,
        ] {
            assert_eq!(status(kind), Status::Fail);
        }
        for kind in [Kind::Running, Kind::Unknown] {
            assert_eq!(status(kind), Status::Running);
        }
    }

    #[test]
    fn the_run_is_named_in_the_complaint() {
        let mut running = Response::new(Outcome::Error(Error::new(Kind::Running, "deadline")));
        running.execute_id = "9".to_owned();
        let line = "running: deadline [execute_id 9]";
        assert_eq!(running.complaint(Language::English).as_deref(), Some(line));
        running.id = Some(raw("\"row 7\""));
        let line = "running: deadline [execute_id 9] [id \"row 7\"]";
        assert_eq!(running.complaint(Language::English).as_deref(), Some(line));
    }
}
