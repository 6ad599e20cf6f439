//! One SSE frame → one event of Coze's stream. Unknown events are values, names match in any case
//! (Coze Studio before v0.3 writes them small). Does no I/O and remembers nothing.
//! <https://docs.coze.cn/developer_guides/workflow_stream_run>, "Returned result".

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::coze::call::Mode;
use crate::coze::fields::{self, Fields, Json, Raw};
use crate::error::Error;
use crate::sse::Frame;

/// What one frame says.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub(crate) kind: EventKind<'a>,
    /// The number in this very event's `id`; an inherited id does not count.
    pub(crate) id: Option<u64>,
    /// The run's id, wherever this event names it.
    pub(crate) execute_id: Option<String>,
    pub(crate) debug_url: Option<String>,
    /// Token counts, as Coze gives them.
    pub(crate) usage: Raw<'a>,
}

#[derive(Debug)]
pub(crate) enum EventKind<'a> {
    Message(Message<'a>),
    /// A PING, or an event of a name we don't know: it only uses up its id.
    Other,
    /// All that the run came to, as JSON, which ends the stream.
    Result(Json<'a>),
    /// The stream is over.
    Ended(Ended),
    /// A Message or Interrupt that can't be understood: something is lost.
    Malformed {
        /// It is the End node's, or may be.
        is_end: bool,
    },
}

/// How a stream ended, in its own words.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    Done,
    Interrupt(Interrupt),
    Error {
        said: Error,
        /// No event came before it, not even a PING: it may be a refusal.
        is_first: bool,
    },
    /// A Done whose data can't be understood, or an Error that is plain text (so Coze Studio tells
    /// that a stream broke): what became of the run is not said.
    Broken {
        message: String,
    },
}

/// A piece of what a node says.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// A JSON string that has a text.
    pub(crate) content: Json<'a>,
    node_title: Raw<'a>,
    /// Counts the pieces of a node from 0.
    pub(crate) node_seq_id: Option<u64>,
    pub(crate) node_is_finish: bool,
    /// Whether the End node speaks.
    pub(crate) is_end: bool,
    pub(crate) node_id: Raw<'a>,
}

impl<'a> Message<'a> {
    /// The node's title; it may be empty.
    pub(crate) fn title(&self) -> Cow<'a, str> {
        fields::text(self.node_title).unwrap_or_default()
    }
}

/// A question that the run waits to have answered, as a response shows it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Interrupt {
    /// `<execute_id>/<n>`.
    pub(crate) event_id: String,
    /// 2 question, 5 input, 6 or 1 client plugin, 7 OAuth.
    pub(crate) r#type: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) required_parameters: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node_title: Option<String>,
    /// How the run was started, and so how it must be answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<Mode>,
}

/// How a service's frames are understood.
pub(crate) type Parse = for<'a, 'b> fn(&'a Frame<'b>) -> Option<Event<'a>>;

/// Understands a frame. `None` for a last frame without its blank line whose data is not whole: a
/// JSON object that is closed is whole, of anything else nobody can tell.
pub(crate) fn parse<'a>(frame: &'a Frame<'_>) -> Option<Event<'a>> {
    let fields = Fields::parse(&frame.data);
    if !frame.terminated && (fields.is_none() || !frame.named) {
        return None;
    }
    // Broken JSON may name the run all the same.
    let in_broken = || fields::execute_id_of_tail(frame.data.as_bytes());
    let fields = fields.as_ref();
    Some(Event {
        kind: kind(frame, fields),
        id: frame.id.as_ref().and_then(|id| id.parse().ok()),
        execute_id: fields.map_or_else(in_broken, Fields::own_execute_id),
        debug_url: fields.and_then(Fields::debug_url),
        usage: fields.and_then(|fields| fields.usage),
    })
}

/// `fields`: those of the data, if it is an object.
fn kind<'a>(frame: &Frame<'_>, fields: Option<&Fields<'a>>) -> EventKind<'a> {
    let content = fields.and_then(|fields| fields.content);
    let is = |name: &str| frame.event.eq_ignore_ascii_case(name);
    let broken = |message| EventKind::Ended(Ended::Broken { message });
    let kind = if is("Message") {
        // What had to be replaced is not what was said.
        let fields = fields.filter(|_| !frame.replaced);
        fields.and_then(message).map(EventKind::Message)
    } else if is("PING") {
        // Any other content is the text of a Message whose end was lost.
        let is_ping = content.is_none_or(|Json(json)| matches!(json, r#""{}""# | r#""""#));
        is_ping.then_some(EventKind::Other)
    } else if is("Interrupt") {
        let interrupt = fields.and_then(Fields::interrupt).map(Ended::Interrupt);
        interrupt.map(EventKind::Ended)
    } else if is("Error") {
        // Coze Studio sends plain text when it is its stream that broke, and not the run that ended.
        let broken = || broken(format!("the stream broke: {}", &*frame.data));
        let error = fields.map(|fields| Ended::Error {
            said: fields.said(String::new),
            // An id above 0 tells of others that were lost.
            is_first: matches!(frame.id.as_deref(), None | Some("" | "0")),
        });
        Some(error.map_or_else(broken, EventKind::Ended))
    } else if is("Done") {
        // A content in it was a Message's, whose end was lost.
        let is_whole = frame.data.is_empty() || fields.is_some() && content.is_none();
        Some(if is_whole {
            EventKind::Ended(Ended::Done)
        } else {
            broken("the event that ends the stream can't be understood".into())
        })
    } else {
        // Whatever it is called, it may be a piece of text.
        content.is_none().then_some(EventKind::Other)
    };
    // Of a Message without fields nobody knows whose it is.
    kind.unwrap_or_else(|| EventKind::Malformed {
        is_end: fields.map_or(is("Message"), is_end),
    })
}

impl Fields<'_> {
    /// The interrupt in its `interrupt_data`; nothing without its `event_id`, which is what an answer
    /// is addressed to.
    pub(crate) fn interrupt(&self) -> Option<Interrupt> {
        let fields = Self::parse(self.interrupt_data?.0)?;
        Some(Interrupt {
            event_id: fields::nonempty(fields.event_id)?.into_owned(),
            r#type: fields::number(fields.r#type)?,
            data: fields.data.map(fields::one_line),
            required_parameters: fields.required_parameters.map(fields::one_line),
            node_title: fields::nonempty(self.node_title).map(Cow::into_owned),
            mode: None,
        })
    }
}

/// A piece without content says nothing, which is a text as well.
fn message<'a>(fields: &Fields<'a>) -> Option<Message<'a>> {
    let content = fields.content.unwrap_or(Json(r#""""#));
    let node_seq_id = fields::number(fields.node_seq_id);
    let is_misnumbered = node_seq_id.is_none() && fields::nonempty(fields.node_seq_id).is_some();
    if !content.0.starts_with('"') || !has_text(content) || is_misnumbered {
        return None;
    }
    Some(Message {
        content,
        node_title: fields.node_title,
        node_seq_id,
        node_is_finish: fields::flag(fields.node_is_finish),
        is_end: is_end(fields),
        node_id: fields.node_id,
    })
}

/// Whether a JSON string has a text: one with a lone surrogate has none, and serde, which skipped
/// the string, has only seen that its escapes are well formed.
fn has_text(Json(json): Json<'_>) -> bool {
    !json.contains("\\u") || serde_json::from_str::<String>(json).is_ok()
}

/// Whether the End node speaks: the first of type, id and title that is there and not empty decides.
/// Where none is, it does.
fn is_end(fields: &Fields<'_>) -> bool {
    let by_type = fields::nonempty(fields.node_type).map(|word| word.eq_ignore_ascii_case("End"));
    let by_id = || fields::nonempty(fields.node_id).map(|id| id == "900001");
    let by_title = || fields::nonempty(fields.node_title).map(|title| title == "End");
    by_type.or_else(by_id).or_else(by_title).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame<'a>(event: &'a str, data: &'a str) -> Frame<'a> {
        Frame {
            event: Cow::Borrowed(event),
            data: data.into(),
            replaced: false,
            id: Some(Cow::Borrowed("5")),
            named: true,
            terminated: true,
        }
    }

    #[track_caller]
    fn is_of_end(data: &str) -> bool {
        match parse(&frame("Message", data)).unwrap().kind {
            EventKind::Message(message) => message.is_end,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_of_type_id_and_title_that_is_there_marks_the_end_node() {
        assert!(is_of_end(
            r#"{"content":"","node_type":"End","node_id":"1","node_title":"x"}"#
        ));
        assert!(!is_of_end(
            r#"{"content":"","node_type":"Message","node_id":"900001","node_title":"End"}"#
        ));
        assert!(is_of_end(
            r#"{"content":"","node_id":"900001","node_title":"结束"}"#
        ));
        assert!(!is_of_end(
            r#"{"content":"","node_id":"900002","node_title":"End"}"#
        ));
        assert!(is_of_end(r#"{"content":"","node_title":""}"#));
        assert!(is_of_end(r#"{"content":"","node_title":"End"}"#));
        assert!(!is_of_end(r#"{"content":"","node_title":"Message"}"#));
        assert!(is_of_end(r#"{"content":""}"#));
        assert!(!is_of_end(
            r#"{"content":"","node_type":"","node_id":"900002","node_title":"End"}"#
        ));
        assert!(is_of_end(
            r#"{"content":"","node_type":"","node_id":"","node_title":"End"}"#
        ));
    }

    #[test]
    fn a_piece_without_content_says_nothing() {
        for data in ["{}", r#"{"content":null}"#, r#"{"content":""}"#] {
            let frame = frame("Message", data);
            let EventKind::Message(message) = parse(&frame).unwrap().kind else {
                panic!("{data} is no message");
            };
            assert_eq!(message.content, Json(r#""""#), "{data}");
        }
    }

    #[test]
    fn names_match_in_any_case_and_unknown_events_are_values() {
        assert!(matches!(
            parse(&frame("done", "{}")).unwrap().kind,
            EventKind::Ended(Ended::Done)
        ));
        assert!(matches!(
            parse(&frame("ping", "")).unwrap().kind,
            EventKind::Other
        ));
        assert!(matches!(
            parse(&frame("invalid", "{}")).unwrap().kind,
            EventKind::Other
        ));
    }

    #[test]
    fn a_message_that_cannot_be_understood_is_malformed() {
        for data in [
            "",
            "text",
            r#"{"content":7}"#,
            r#"{"content":"a""#,
            r#"{"content":"\ud83d"}"#,
            r#"{"content":"\uD83D\u0041"}"#,
            "[]",
        ] {
            let frame = frame("Message", data);
            let kind = parse(&frame).unwrap().kind;
            assert!(
                matches!(kind, EventKind::Malformed { .. }),
                "{data}: {kind:?}"
            );
        }
    }

    #[test]
    fn an_error_is_read_from_its_fields() {
        let told = |data: &str| match parse(&frame("error", data)).unwrap().kind {
            EventKind::Ended(Ended::Error { said, .. }) => (said.number(), said.message.clone()),
            other => panic!("{other:?}"),
        };
        let refusal = r#"{"error_code":4000,"error_message":"Request parameter error"}"#;
        assert_eq!(
            told(refusal),
            (Some(4000), "Request parameter error".to_owned())
        );
        assert_eq!(
            told(r#"{"code":"401","msg":"no"}"#),
            (Some(401), "no".to_owned())
        );
    }

    #[test]
    fn an_error_that_is_no_object_and_a_done_that_is_none_tell_only_that_the_stream_is_over() {
        let broken = |name, data| match parse(&frame(name, data)).unwrap().kind {
            EventKind::Ended(Ended::Broken { message }) => message,
            other => panic!("{other:?}"),
        };
        let told = broken("error", "EOF\nhalfway");
        assert_eq!(told, "the stream broke: EOF\nhalfway");
        for data in ["{\"debug_url\":", "text", r#"{"content":"x"}"#] {
            let told = broken("Done", data);
            assert_eq!(told, "the event that ends the stream can't be understood");
        }
    }

    #[test]
    fn an_interrupt_names_the_run_in_the_first_half_of_its_event_id() {
        let data =
            r#"{"interrupt_data":{"data":"","event_id":"740/276","type":2},"node_title":"问答"}"#;
        let frame = frame("Interrupt", data);
        let event = parse(&frame).unwrap();
        assert_eq!(event.execute_id.unwrap(), "740");
        let EventKind::Ended(Ended::Interrupt(interrupt)) = event.kind else {
            panic!("no interrupt");
        };
        assert_eq!(interrupt.r#type, 2);
        assert_eq!(interrupt.node_title.as_deref(), Some("问答"));
    }

    #[test]
    fn an_execute_id_is_found_in_any_event() {
        let url = r#"{"debug_url":"https://w/?execute_id=75\u0026space_id=1"}"#;
        assert_eq!(
            parse(&frame("PING", url)).unwrap().execute_id.unwrap(),
            "75"
        );
        let field = r#"{"execute_id":7547546110525440001}"#;
        let frame = frame("new", field);
        assert_eq!(
            parse(&frame).unwrap().execute_id.unwrap(),
            "7547546110525440001"
        );
    }

    #[test]
    fn a_last_event_without_its_blank_line_counts_only_when_its_data_is_whole() {
        let unfinished = |event: &str, data: &str, named: bool| {
            let frame = Frame {
                named,
                terminated: false,
                ..frame(event, data)
            };
            parse(&frame).is_some()
        };
        assert!(unfinished("Done", r#"{"debug_url":"x"}"#, true));
        assert!(!unfinished("Done", r#"{"debug_url":"x""#, true));
        assert!(!unfinished("error", "plain text that may go on", true));
        // The line with the name may have been cut off: this need not be a Message.
        assert!(!unfinished("message", r#"{"content":"x"}"#, false));
    }
}
