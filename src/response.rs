//! What came of a request → the JSON object on standard output, and the exit code. Never prints.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::coze::call::Mode;
use crate::coze::event::Interrupt;
use crate::coze::transcript::NodeMessage;
use crate::error::{Error, Kind};
use crate::text::Text;

/// One response. The first four keys are always there, always strings.
#[derive(Debug)]
pub(crate) struct Response {
    /// Empty when unknown.
    pub(crate) execute_id: String,
    pub(crate) verdict: Verdict,
    /// The End node's result; text so far when the run did not succeed.
    pub(crate) output: Text,
    /// Empty when unknown.
    pub(crate) debug_url: String,
    pub(crate) workflow_id: Option<String>,
    pub(crate) messages: Vec<NodeMessage>,
    pub(crate) usage: Option<Box<RawValue>>,
    pub(crate) logid: Option<String>,
    pub(crate) lost_events: u64,
    /// Where `output` was written instead.
    pub(crate) output_file: Option<OutputFile>,
    /// The caller's own name for the request, or its number.
    pub(crate) id: Option<Box<RawValue>>,
}

#[derive(Debug)]
pub(crate) struct OutputFile {
    pub(crate) path: String,
    pub(crate) bytes: u64,
}

/// How it ended.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// The run finished and `output` is whole.
    Success,
    /// The run waits for an answer, to be given the way it was started.
    Interrupted(Interrupt, Mode),
    /// Anything else.
    Error(Error),
    /// The run succeeded, but its output could not be written.
    Unwritten(Error),
}

impl Response {
    /// A response to a request that was never sent.
    pub(crate) fn unsent(trouble: Error) -> Self {
        Self {
            execute_id: String::new(),
            verdict: Verdict::Error(trouble),
            output: Text::default(),
            debug_url: String::new(),
            workflow_id: None,
            messages: Vec::new(),
            usage: None,
            logid: None,
            lost_events: 0,
            output_file: None,
            id: None,
        }
    }

    /// Why it is no plain success; nothing for Success.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match &self.verdict {
            Verdict::Success => None,
            Verdict::Interrupted(..) => Some(Kind::Interrupted),
            Verdict::Error(trouble) | Verdict::Unwritten(trouble) => Some(trouble.kind),
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.kind().map_or(0, Kind::exit_code)
    }

    pub(crate) fn error(&self) -> Option<&Error> {
        match &self.verdict {
            Verdict::Success | Verdict::Interrupted(..) => None,
            Verdict::Error(trouble) | Verdict::Unwritten(trouble) => Some(trouble),
        }
    }

    /// The `error`, to be masked where the service's words quote the key.
    pub(crate) fn error_mut(&mut self) -> Option<&mut Error> {
        match &mut self.verdict {
            Verdict::Success | Verdict::Interrupted(..) => None,
            Verdict::Error(trouble) | Verdict::Unwritten(trouble) => Some(trouble),
        }
    }

    /// Success: finished and whole. Fail: refused, failed or never sent. Running: everything else.
    pub(crate) fn status(&self) -> &'static str {
        match &self.verdict {
            Verdict::Success | Verdict::Unwritten(_) => "Success",
            Verdict::Interrupted(..) => "Running",
            Verdict::Error(trouble) => match trouble.kind {
                Kind::Failed
                | Kind::Usage
                | Kind::Config
                | Kind::Refused
                | Kind::Unreachable
                | Kind::Io => "Fail",
                Kind::Running | Kind::Interrupted | Kind::Unknown => "Running",
            },
        }
    }

    /// The line for standard error; nothing for Success.
    pub(crate) fn complaint(&self) -> Option<String> {
        let mut line = match &self.verdict {
            Verdict::Success => return None,
            Verdict::Interrupted(interrupt, _) => {
                let event_id = &interrupt.event_id;
                format!("interrupted: the run waits for an answer to {event_id}")
            }
            Verdict::Error(trouble) | Verdict::Unwritten(trouble) => trouble.line(),
        };
        if !self.execute_id.is_empty() {
            line = format!("{line} [execute_id {}]", self.execute_id);
        }
        if let Some(id) = &self.id {
            line = format!("{line} [id {id}]");
        }
        Some(line)
    }
}

impl Response {
    /// The object, as `serialize` gives it. Of `output` every byte was looked at when it came, and
    /// serde takes no JSON without looking at all of it again: megabytes go around it.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(br#"{"execute_id":"#)?;
        serde_json::to_writer(&mut *out, &self.execute_id)?;
        write!(out, r#","status":"{}","output":"#, self.status())?;
        out.write_all(self.output.json().as_bytes())?;
        let rest = serde_json::to_vec(&Rest(self))?;
        out.write_all(b",")?;
        out.write_all(&rest[1..])
    }

    /// What stands behind `output`.
    fn serialize_rest<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("debug_url", &self.debug_url)?;
        if let Some(workflow_id) = &self.workflow_id {
            map.serialize_entry("workflow_id", workflow_id)?;
        }
        if let Some(error) = self.error() {
            map.serialize_entry("error", error)?;
        }
        if let Verdict::Interrupted(interrupt, mode) = &self.verdict {
            map.serialize_entry("interrupt", &InterruptKeys(interrupt, *mode))?;
        }
        if !self.messages.is_empty() {
            map.serialize_entry("messages", &self.messages)?;
        }
        if let Some(usage) = &self.usage {
            map.serialize_entry("usage", usage)?;
        }
        if let Some(logid) = &self.logid {
            map.serialize_entry("logid", logid)?;
        }
        if self.lost_events > 0 {
            map.serialize_entry("lost_events", &self.lost_events)?;
        }
        if let Some(file) = &self.output_file {
            map.serialize_entry("output_file", &file.path)?;
            map.serialize_entry("output_bytes", &file.bytes)?;
        }
        if let Some(id) = &self.id {
            map.serialize_entry("id", id)?;
        }
        Ok(())
    }
}

impl Serialize for Response {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("execute_id", &self.execute_id)?;
        map.serialize_entry("status", self.status())?;
        map.serialize_entry("output", &self.output)?;
        self.serialize_rest(&mut map)?;
        map.end()
    }
}

struct Rest<'a>(&'a Response);

impl Serialize for Rest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.0.serialize_rest(&mut map)?;
        map.end()
    }
}

struct InterruptKeys<'a>(&'a Interrupt, Mode);

impl Serialize for InterruptKeys<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(interrupt, mode) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("event_id", &interrupt.event_id)?;
        map.serialize_entry("type", &interrupt.r#type)?;
        if let Some(data) = &interrupt.data {
            map.serialize_entry("data", data)?;
        }
        if let Some(required) = &interrupt.required_parameters {
            map.serialize_entry("required_parameters", required)?;
        }
        if let Some(title) = &interrupt.node_title {
            map.serialize_entry("node_title", title)?;
        }
        map.serialize_entry("mode", mode.word())?;
        map.end()
    }
}

impl Serialize for NodeMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("node_title", &self.node_title)?;
        map.serialize_entry("content", &self.content)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways give the same.
    #[track_caller]
    fn json(response: &Response) -> String {
        let mut written = Vec::new();
        response.write(&mut written).unwrap();
        assert_eq!(written, serde_json::to_vec(response).unwrap());
        String::from_utf8(written).unwrap()
    }

    fn response(verdict: Verdict) -> Response {
        Response {
            verdict,
            ..Response::unsent(Error::new(Kind::Usage, ""))
        }
    }

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn the_four_keys_stand_first_and_are_always_strings() {
        assert_eq!(
            json(&response(Verdict::Success)),
            r#"{"execute_id":"","status":"Success","output":"","debug_url":""}"#
        );
    }

    #[test]
    fn everything_that_is_to_be_said_is_said_in_order() {
        let mut all = response(Verdict::Success);
        all.execute_id = "9".to_owned();
        all.output = Text::from_plain("{\"a\":\"\n\"}");
        all.debug_url = "https://w/?execute_id=9".to_owned();
        all.workflow_id = Some("7".to_owned());
        all.messages = vec![NodeMessage {
            node_title: "输出".to_owned(),
            content: Text::from_plain("你好"),
        }];
        all.usage = Some(raw(r#"{"token_count":1e2}"#));
        all.logid = Some("L".to_owned());
        all.lost_events = 2;
        all.output_file = Some(OutputFile {
            path: "out.txt".to_owned(),
            bytes: 3,
        });
        all.id = Some(raw("12345678901234567890"));
        assert_eq!(
            json(&all),
            concat!(
                r#"{"execute_id":"9","status":"Success","output":"{\"a\":\"\n\"}","#,
                r#""debug_url":"https://w/?execute_id=9","workflow_id":"7","#,
                r#""messages":[{"node_title":"输出","content":"你好"}],"#,
                r#""usage":{"token_count":1e2},"logid":"L","lost_events":2,"#,
                r#""output_file":"out.txt","output_bytes":3,"id":12345678901234567890}"#
            )
        );
    }

    #[test]
    fn an_error_says_kind_code_message_and_hint() {
        let mut trouble = Error::new(Kind::Refused, "not published").hint("publish it", "请发布");
        trouble.code = Some(4200);
        let refused = response(Verdict::Error(trouble));
        assert!(json(&refused).ends_with(
            r#""error":{"kind":"refused","code":4200,"message":"not published","hint":"publish it"}}"#
        ));
        let line = "refused: not published (code 4200; publish it)";
        assert_eq!(refused.complaint().as_deref(), Some(line));
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
        };
        let waiting = response(Verdict::Interrupted(interrupt, Mode::Async));
        assert!(json(&waiting).ends_with(concat!(
            r#""interrupt":{"event_id":"740/27","type":5,"data":"q","#,
            r#""required_parameters":{"img":{"type":"image"}},"node_title":"问答","mode":"async"}}"#
        )));
        assert_eq!((waiting.exit_code(), waiting.status()), (7, "Running"));
    }

    #[test]
    fn the_status_of_every_kind() {
        let status = |kind| response(Verdict::Error(Error::new(kind, ""))).status();
        for kind in [
            Kind::Failed,
            Kind::Usage,
            Kind::Config,
            Kind::Refused,
            Kind::Unreachable,
        ] {
            assert_eq!(status(kind), "Fail");
        }
        for kind in [Kind::Running, Kind::Unknown] {
            assert_eq!(status(kind), "Running");
        }
        let unwritten = Verdict::Unwritten(Error::new(Kind::Io, "disk full"));
        assert_eq!(response(unwritten).status(), "Success");
    }

    #[test]
    fn the_run_is_named_in_the_complaint() {
        let mut running = response(Verdict::Error(Error::new(Kind::Running, "deadline")));
        running.execute_id = "9".to_owned();
        let line = "running: deadline [execute_id 9]";
        assert_eq!(running.complaint().as_deref(), Some(line));
        running.id = Some(raw("\"row 7\""));
        let line = "running: deadline [execute_id 9] [id \"row 7\"]";
        assert_eq!(running.complaint().as_deref(), Some(line));
    }
}
