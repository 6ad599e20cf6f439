//! A response that the journal holds → the response it was. The inverse of what `response` writes:
//! written again, it is the same, byte for byte.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::coze::call::Mode;
use crate::coze::event::Interrupt;
use crate::coze::transcript::NodeMessage;
use crate::error::Error;
use crate::response::{Response, Verdict};
use crate::text::Text;

/// Understands a response; nothing when it is none that a journal holds.
pub(super) fn parse(json: &str) -> Option<Response> {
    let recorded: Recorded = serde_json::from_str(json).ok()?;
    let verdict = match (recorded.error, recorded.interrupt) {
        (Some(error), _) => Verdict::Error(error),
        (None, Some(interrupt)) => {
            let mode = mode(&interrupt.mode);
            Verdict::Interrupted(interrupt.interrupt(), mode)
        }
        (None, None) => Verdict::Success,
    };
    let messages = recorded.messages.into_iter();
    let messages: Option<_> = messages.map(RecordedMessage::message).collect();
    Some(Response {
        execute_id: recorded.execute_id,
        verdict,
        output: Text::from_json(recorded.output.get())?,
        debug_url: recorded.debug_url,
        workflow_id: recorded.workflow_id,
        messages: messages?,
        usage: recorded.usage,
        logid: recorded.logid,
        lost_events: recorded.lost_events,
        output_file: None,
        id: recorded.id,
    })
}

/// The mode of that word; a run that is not known to be in the background was streamed.
pub(super) fn mode(word: &str) -> Mode {
    match word == Mode::Async.word() {
        true => Mode::Async,
        false => Mode::Stream,
    }
}

#[derive(Deserialize)]
struct Recorded {
    execute_id: String,
    output: Box<RawValue>,
    debug_url: String,
    workflow_id: Option<String>,
    error: Option<Error>,
    interrupt: Option<RecordedInterrupt>,
    #[serde(default)]
    messages: Vec<RecordedMessage>,
    usage: Option<Box<RawValue>>,
    logid: Option<String>,
    #[serde(default)]
    lost_events: u64,
    id: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct RecordedInterrupt {
    event_id: String,
    r#type: i64,
    data: Option<Box<RawValue>>,
    required_parameters: Option<Box<RawValue>>,
    node_title: Option<String>,
    mode: String,
}

impl RecordedInterrupt {
    fn interrupt(self) -> Interrupt {
        Interrupt {
            event_id: self.event_id,
            r#type: self.r#type,
            data: self.data,
            required_parameters: self.required_parameters,
            node_title: self.node_title,
        }
    }
}

#[derive(Deserialize)]
struct RecordedMessage {
    node_title: String,
    content: Box<RawValue>,
}

impl RecordedMessage {
    fn message(self) -> Option<NodeMessage> {
        Some(NodeMessage {
            node_title: self.node_title,
            content: Text::from_json(self.content.get())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[track_caller]
    fn comes_back(json: &str) -> Response {
        let response = parse(json).unwrap();
        assert_eq!(serde_json::to_string(&response).unwrap(), json);
        response
    }

    #[test]
    fn a_success_comes_back_byte_for_byte() {
        let response = comes_back(concat!(
            r#"{"execute_id":"9","status":"Success","output":"{\"a\":\"你\u4f60\/\n\"}","#,
            r#""debug_url":"https://w/?execute_id=9","workflow_id":"7","#,
            r#""messages":[{"node_title":"","content":"c"}],"usage":{ "token_count":1e2},"#,
            r#""logid":"L","lost_events":2,"id":{"row": 12345678901234567890}}"#
        ));
        assert!(matches!(response.verdict, Verdict::Success));
    }

    #[test]
    fn a_failure_comes_back_byte_for_byte() {
        let response = comes_back(concat!(
            r#"{"execute_id":"9","status":"Fail","output":"","debug_url":"","#,
            r#""error":{"kind":"failed","code":5000,"message":"m","hint":"h","logid":"L"}}"#
        ));
        assert_eq!(response.kind(), Some(Kind::Failed));
    }

    #[test]
    fn an_interrupt_comes_back_byte_for_byte() {
        let response = comes_back(concat!(
            r#"{"execute_id":"9","status":"Running","output":"","debug_url":"","#,
            r#""interrupt":{"event_id":"9/1","type":5,"data":"\u4f60","#,
            r#""required_parameters":{"b":1, "a":2},"node_title":"问答","mode":"async"}}"#
        ));
        assert_eq!(response.kind(), Some(Kind::Interrupted));
    }

    #[test]
    fn what_is_no_response_of_a_journal_is_none() {
        assert!(parse("{}").is_none());
        assert!(parse(r#"{"execute_id":"","output":1,"debug_url":""}"#).is_none());
        let kind =
            r#"{"execute_id":"","output":"","debug_url":"","error":{"kind":"new","message":""}}"#;
        assert!(parse(kind).is_none());
    }
}
