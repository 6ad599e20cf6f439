//! One SSE frame → one event of Coze's stream. Unknown events are values, names match in any case
//! (Coze Studio before v0.3 writes them small). Does no I/O and remembers nothing.
//! <https://docs.coze.cn/developer_guides/workflow_stream_run>, "Returned result".

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::coze::fields::{self, Json, Raw};
use crate::json;
use crate::sse::Frame;

/// What one frame says.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub(crate) kind: EventKind<'a>,
    /// The number in this very event's `id`; an inherited id does not count.
    pub(crate) id: Option<u64>,
    /// The run's id, wherever this event tells it.
    pub(crate) execute_id: Option<Cow<'a, str>>,
    pub(crate) debug_url: Option<Cow<'a, str>>,
    /// Token counts, as Coze gives them.
    pub(crate) usage: Raw<'a>,
}

#[derive(Debug)]
pub(crate) enum EventKind<'a> {
    Message(Message<'a>),
    Ping,
    Interrupt(Interrupt),
    Error {
        code: Option<i64>,
        message: String,
    },
    Done {
        /// Its data is an object, or nothing: not the rest of another event, glued to its name.
        understood: bool,
    },
    /// An event of a name we don't know: it only uses up its id.
    Unknown,
    /// A Message or Interrupt that can't be understood: something is lost.
    Malformed {
        /// It says that it is the End node's.
        is_end: bool,
    },
}

/// A piece of what a node says.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// A JSON string that has a text.
    pub(crate) content: Json<'a>,
    pub(crate) node_title: Option<Cow<'a, str>>,
    /// Counts the pieces of a node from 0 (in Coze Studio: of the whole run).
    pub(crate) node_seq_id: Option<u64>,
    pub(crate) node_is_finish: bool,
    /// Whether the End node speaks: the first of type, id and title that is there decides.
    pub(crate) is_end: bool,
    pub(crate) node_id: Option<Cow<'a, str>>,
}

/// A question that the run waits to have answered.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    /// `<execute_id>/<n>`.
    pub(crate) event_id: String,
    /// 2 question, 5 input, 6 or 1 client plugin, 7 OAuth.
    pub(crate) r#type: i64,
    pub(crate) data: Option<Box<RawValue>>,
    pub(crate) required_parameters: Option<Box<RawValue>>,
    pub(crate) node_title: Option<String>,
}

/// The fields of all events; each event has some of them.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
struct Fields<'a> {
    #[serde(borrow)]
    content: Raw<'a>,
    node_title: Raw<'a>,
    node_seq_id: Raw<'a>,
    node_is_finish: Raw<'a>,
    node_type: Raw<'a>,
    node_id: Raw<'a>,
    usage: Raw<'a>,
    debug_url: Raw<'a>,
    execute_id: Raw<'a>,
    error_code: Raw<'a>,
    error_message: Raw<'a>,
    code: Raw<'a>,
    msg: Raw<'a>,
    interrupt_data: Raw<'a>,
    /// It is a JSON string, but with a lone surrogate in it.
    #[serde(skip)]
    content_has_no_text: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InterruptFields<'a> {
    #[serde(borrow)]
    event_id: Raw<'a>,
    r#type: Raw<'a>,
    data: Raw<'a>,
    required_parameters: Raw<'a>,
}

impl<'a> Fields<'a> {
    fn parse(data: &'a str) -> Option<Self> {
        Self::parse_flat(data).or_else(|| {
            let mut fields: Self = fields::object(data)?;
            // What the short way takes has a text.
            fields.content_has_no_text = !fields.content.is_none_or(has_text);
            Some(fields)
        })
    }

    /// The short way for what nearly all events are: one object without white space between its
    /// keys and values. Gives the very same fields as the long way, or nothing. Half of the time
    /// that a long stream takes would go into its JSON.
    fn parse_flat(data: &'a str) -> Option<Self> {
        let mut fields = Self::default();
        let bytes = data.as_bytes();
        let mut place = data.starts_with('{').then_some(1)?;
        loop {
            // An escaped key may be any key.
            let key = place + 1..place + json::plain_string(bytes.get(place..)?)? - 1;
            if bytes.get(key.end + 1) != Some(&b':') {
                return None;
            }
            let start = key.end + 2;
            let rest = &bytes[start..];
            let length = match rest.first()? {
                b'"' => json::string(rest)?,
                b't' => rest.starts_with(b"true").then_some(4)?,
                b'f' => rest.starts_with(b"false").then_some(5)?,
                b'1'..=b'9' => rest.iter().take_while(|byte| byte.is_ascii_digit()).count(),
                b'{' => json::object(rest)?,
                _ => return None,
            };
            place = start + length;
            if let Some(field) = fields.field(&bytes[key])
                && field.replace(Json(&data[start..place])).is_some()
            {
                return None;
            }
            match bytes[place..] {
                [b',', ..] => place += 1,
                [b'}'] => return Some(fields),
                _ => return None,
            }
        }
    }

    fn field(&mut self, key: &[u8]) -> Option<&mut Raw<'a>> {
        Some(match key {
            b"content" => &mut self.content,
            b"node_title" => &mut self.node_title,
            b"node_seq_id" => &mut self.node_seq_id,
            b"node_is_finish" => &mut self.node_is_finish,
            b"node_type" => &mut self.node_type,
            b"node_id" => &mut self.node_id,
            b"usage" => &mut self.usage,
            b"debug_url" => &mut self.debug_url,
            b"execute_id" => &mut self.execute_id,
            b"error_code" => &mut self.error_code,
            b"error_message" => &mut self.error_message,
            b"code" => &mut self.code,
            b"msg" => &mut self.msg,
            b"interrupt_data" => &mut self.interrupt_data,
            _ => return None,
        })
    }
}

/// Understands a frame. `None` for a last frame without its blank line whose data is not whole: a
/// JSON object that is closed is whole, of anything else nobody can tell.
pub(crate) fn parse<'a>(frame: &'a Frame<'_>) -> Option<Event<'a>> {
    let data: &'a str = &frame.data;
    let fields = Fields::parse(data);
    if !frame.terminated && (fields.is_none() || !frame.named) {
        return None;
    }
    let id = frame.own_id.then(|| frame.id.parse().ok()).flatten();
    let known = fields.is_some();
    let fields = fields.unwrap_or_default();
    let name = frame.event.as_ref();
    let is = |expected: &str| name == expected || name.eq_ignore_ascii_case(expected);
    let malformed = || EventKind::Malformed {
        is_end: is_end(&fields),
    };
    let kind = if is("Message") {
        // What had to be replaced is not what was said.
        let said = Some(&fields).filter(|_| !frame.replaced);
        said.and_then(message)
            .map_or_else(malformed, EventKind::Message)
    } else if is("PING") {
        let is_empty = |Json(json)| matches!(json, r#""{}""# | r#""""#);
        match fields.content.is_none_or(is_empty) {
            true => EventKind::Ping,
            // The text of a Message whose end was lost.
            false => malformed(),
        }
    } else if is("Done") {
        // A text in it was a Message's, whose end was lost.
        let understood = data.is_empty() || known && fields.content.is_none();
        EventKind::Done { understood }
    } else if is("Error") {
        error(&fields, data, known)
    } else if is("Interrupt") {
        let title = fields.node_title;
        interrupt(fields.interrupt_data, title).map_or_else(malformed, EventKind::Interrupt)
    } else if fields.content.is_some() {
        // Whatever it is called, it may be a piece of text.
        malformed()
    } else {
        EventKind::Unknown
    };
    let debug_url = fields::nonempty(fields.debug_url);
    let execute_id = fields::execute_id(fields.execute_id)
        .or_else(|| {
            let url = debug_url.as_deref()?;
            fields::execute_id_of_url(url).map(|id| Cow::Owned(id.to_owned()))
        })
        .or_else(|| match &kind {
            EventKind::Interrupt(interrupt) => {
                fields::execute_id_of_event(&interrupt.event_id).map(|id| Cow::Owned(id.to_owned()))
            }
            // Broken JSON may name the run all the same.
            _ if !known => fields::execute_id_of_tail(data.as_bytes()).map(Cow::Owned),
            _ => None,
        });
    Some(Event {
        kind,
        id,
        execute_id,
        debug_url,
        usage: fields.usage,
    })
}

/// A parser that skips a string looks at the syntax of its escapes only.
fn has_text(Json(json): Json<'_>) -> bool {
    !json.contains("\\u") || serde_json::from_str::<String>(json).is_ok()
}

/// The interrupt in an event's or a history's `interrupt_data`; nothing without its `event_id`,
/// which is what an answer is addressed to.
pub(crate) fn interrupt(data: Raw<'_>, node_title: Raw<'_>) -> Option<Interrupt> {
    let fields: InterruptFields<'_> = fields::object(data?.0)?;
    Some(Interrupt {
        event_id: fields::nonempty(fields.event_id)?.into_owned(),
        r#type: fields::number(fields.r#type)?,
        data: fields.data.map(fields::one_line),
        required_parameters: fields.required_parameters.map(fields::one_line),
        node_title: fields::nonempty(node_title).map(Cow::into_owned),
    })
}

fn message<'a>(fields: &Fields<'a>) -> Option<Message<'a>> {
    let content = fields.content.filter(|json| json.0.starts_with('"'))?;
    if fields.content_has_no_text {
        return None;
    }
    Some(Message {
        content,
        node_title: fields::text(fields.node_title),
        node_seq_id: fields::number(fields.node_seq_id),
        node_is_finish: fields::flag(fields.node_is_finish),
        is_end: is_end(fields),
        node_id: fields::nonempty(fields.node_id),
    })
}

/// Whether the End node speaks.
fn is_end(fields: &Fields<'_>) -> bool {
    let title = || fields::text(fields.node_title);
    match (
        fields::nonempty(fields.node_type),
        fields::nonempty(fields.node_id),
    ) {
        (Some(node_type), _) => node_type == "End" || node_type.eq_ignore_ascii_case("End"),
        (None, Some(id)) => id == "900001",
        (None, None) => title().is_some_and(|title| title.is_empty() || title == "End"),
    }
}

/// Coze sends `error_code` and `error_message`; Coze Studio, when a stream breaks, plain text.
fn error<'a>(fields: &Fields<'_>, data: &str, known: bool) -> EventKind<'a> {
    let message = fields::nonempty(fields.error_message).or(fields::nonempty(fields.msg));
    EventKind::Error {
        code: fields::number(fields.error_code).or(fields::number(fields.code)),
        message: match message {
            Some(message) => message.into_owned(),
            None if known => String::new(),
            None => data.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse::Data;

    fn frame<'a>(event: &'a str, data: &'a str) -> Frame<'a> {
        Frame {
            event: Cow::Borrowed(event),
            data: Data::Text(Cow::Borrowed(data)),
            replaced: false,
            id: Cow::Borrowed("5"),
            own_id: true,
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
    fn the_first_of_type_id_and_title_that_is_there_tells_the_end_node() {
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
        assert!(!is_of_end(r#"{"content":""}"#));
    }

    #[test]
    fn names_match_in_any_case_and_unknown_events_are_values() {
        assert!(matches!(
            parse(&frame("done", "{}")).unwrap().kind,
            EventKind::Done { understood: true }
        ));
        assert!(matches!(
            parse(&frame("ping", "")).unwrap().kind,
            EventKind::Ping
        ));
        assert!(matches!(
            parse(&frame("invalid", "{}")).unwrap().kind,
            EventKind::Unknown
        ));
    }

    #[test]
    fn a_message_that_cannot_be_understood_is_malformed() {
        for data in [
            "",
            "text",
            "{}",
            r#"{"content":7}"#,
            r#"{"content":"a""#,
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
    fn the_short_way_gives_what_the_long_way_gives_or_nothing() {
        const VALUES: [&str; 23] = [
            r#""a""#,
            r#""""#,
            r#""\n""#,
            "\"\n\"",
            "\"字\"",
            "12",
            "0",
            "01",
            "-1",
            "1e2",
            "true",
            "false",
            "null",
            "{}",
            "tru",
            r#""a"#,
            r#""a\\""#,
            r#""\""#,
            r#""say \"hello\"\t""#,
            r#""\ud83D\/""#,
            r#""\u12g4""#,
            r#""\x""#,
            r#""\u12""#,
        ];
        const KEYS: [&str; 5] = [
            "content",
            "node_seq_id",
            "other",
            "c\\u006fde",
            "node_is_finish",
        ];
        let (mut short, mut long) = (0, 0);
        for (first, second) in VALUES.iter().flat_map(|a| VALUES.map(|b| (a, b))) {
            for (key, other) in KEYS.iter().flat_map(|a| KEYS.map(|b| (a, b))) {
                for data in [
                    format!(r#"{{"{key}":{first},"{other}":{second}}}"#),
                    format!(r#"{{"{key}":{first}, "{other}":{second}}}"#),
                    format!(r#"{{"{key}":{first},"{other}":{second}}} "#),
                    format!(r#"{{"{key}":{first},"{other}":{second},}}"#),
                    format!(r#"{{"{key}":{first}"{other}":{second}}}"#),
                ] {
                    long += 1;
                    if let Some(fields) = Fields::parse_flat(&data) {
                        assert_eq!(Some(fields), serde_json::from_str(&data).ok(), "{data}");
                        short += 1;
                    }
                }
            }
        }
        assert!((400..long / 10).contains(&short), "{short} of {long}");
    }

    #[test]
    fn an_error_is_read_from_its_fields_or_taken_as_text() {
        let told = |data: &str| match parse(&frame("error", data)).unwrap().kind {
            EventKind::Error { code, message } => (code, message),
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
        assert_eq!(
            told("stream broke\nhalfway"),
            (None, "stream broke\nhalfway".to_owned())
        );
    }

    #[test]
    fn an_interrupt_tells_the_run_in_the_first_half_of_its_event_id() {
        let data =
            r#"{"interrupt_data":{"data":"","event_id":"740/276","type":2},"node_title":"问答"}"#;
        let frame = frame("Interrupt", data);
        let event = parse(&frame).unwrap();
        assert_eq!(event.execute_id.unwrap(), "740");
        let EventKind::Interrupt(interrupt) = event.kind else {
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
    fn an_inherited_id_is_no_id() {
        let mut frame = frame("PING", "{}");
        assert_eq!(parse(&frame).unwrap().id, Some(5));
        frame.own_id = false;
        assert_eq!(parse(&frame).unwrap().id, None);
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
