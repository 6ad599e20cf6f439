//! The body of a look at a run → what is known of it: Coze's `run_histories` and Coze Studio's
//! `get_run_history`. Text comes out as the stream would have given it. Does no I/O.
//! <https://docs.coze.cn/developer_guides/query_workflow_async_result>.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::coze::call::Mode;
use crate::coze::code;
use crate::coze::envelope::Envelope;
use crate::coze::event::{self, Interrupt};
use crate::coze::fields::{self, Json, Raw};
use crate::coze::transcript::NodeMessage;
use crate::text::Text;

/// Whose history it is. Studio gives the End node's result as it is, Coze wraps it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Coze,
    Studio,
}

/// What one look showed.
#[derive(Debug)]
pub(crate) enum Look {
    Running(Record),
    Success(Record),
    /// The run ended in failure, or was cancelled.
    Failed {
        record: Record,
        code: Option<i64>,
        message: String,
    },
    /// The run waits for an answer.
    Interrupted(Record, Interrupt),
    /// Nothing to be learned from it: no such run yet, or a body that can't be understood.
    Unclear {
        code: Option<i64>,
        message: String,
    },
    /// The look itself was refused.
    Refused {
        code: Option<i64>,
        message: String,
        logid: Option<String>,
    },
    /// This server has no `run_histories`: it is Coze Studio.
    NotHere,
}

/// What a history says beside the status.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) debug_url: Option<String>,
    pub(crate) logid: Option<String>,
    pub(crate) usage: Option<Box<RawValue>>,
    /// How the run was started; nothing when it can't be resumed either way.
    pub(crate) mode: Option<Mode>,
    /// The End node's result; nothing when it is no longer kept, or was trimmed.
    pub(crate) output: Option<Text>,
    pub(crate) messages: Vec<NodeMessage>,
    /// Output nodes whose texts were trimmed, to be fetched one by one.
    pub(crate) trimmed: Vec<TrimmedNode>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrimmedNode {
    pub(crate) node_title: String,
    pub(crate) node_execute_uuid: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields<'a> {
    #[serde(borrow)]
    execute_id: Raw<'a>,
    execute_status: Raw<'a>,
    output: Raw<'a>,
    error_code: Raw<'a>,
    error_message: Raw<'a>,
    error_msg: Raw<'a>,
    logid: Raw<'a>,
    log_id: Raw<'a>,
    usage: Raw<'a>,
    debug_url: Raw<'a>,
    run_mode: Raw<'a>,
    is_output_trimmed: Raw<'a>,
    node_execute_status: Raw<'a>,
    interrupt_data: Raw<'a>,
    node_title: Raw<'a>,
}

/// Understands the answer to a look at the run `execute_id`.
pub(crate) fn parse(server: Server, execute_id: &str, status: u16, body: &[u8]) -> Look {
    let text = String::from_utf8_lossy(body);
    let Some(envelope) = Envelope::parse(&text) else {
        return match says_running(&text) {
            true => Look::Running(Record::default()),
            false => without_envelope(server, status),
        };
    };
    let code = envelope.code();
    let data = envelope.data.map_or("null", |Json(data)| data);
    let told = |otherwise: &str| envelope.message().unwrap_or_else(|| otherwise.to_owned());
    match code {
        Some(401) if status == 401 && server == Server::Coze => Look::NotHere,
        None if status == 404 && data == "null" => without_envelope(server, status),
        Some(code::NO_SUCH_RUN) => Look::Unclear {
            code,
            message: told("Coze knows no such run"),
        },
        _ if status == 429 || status >= 500 => Look::Unclear {
            code,
            message: told(&format!("HTTP status {status}")),
        },
        Some(4009 | 4020) => Look::Unclear {
            code,
            message: told("too many requests"),
        },
        Some(known) if code::is_refusal(known, status) || status >= 300 => Look::Refused {
            code,
            message: told(&format!("HTTP status {status}")),
            logid: envelope.logid(),
        },
        Some(_) => Look::Unclear {
            code,
            message: told("Coze could not look"),
        },
        None if status >= 300 => without_envelope(server, status),
        // What had to be replaced is not what was said.
        None => match (look(server, execute_id, data), &text) {
            (Look::Success(record), Cow::Owned(_)) => Look::Success(Record {
                output: None,
                ..record
            }),
            (look, _) => look,
        },
    }
}

/// The text of an Output node that was trimmed, from an answer of `execute_nodes`.
pub(crate) fn node_output(status: u16, body: &[u8]) -> Option<Text> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Node<'a> {
        #[serde(borrow)]
        node_output: Raw<'a>,
    }

    let text = std::str::from_utf8(body).ok()?;
    let envelope = Envelope::parse(text)?;
    if status != 200 || envelope.code().is_some() {
        return None;
    }
    let node: Node<'_> = fields::object(envelope.data?.0)?;
    fields::text(node.node_output).map(|text| Text::from_plain(&text))
}

/// While a run goes on Coze is known to send a body that is no JSON, because a text in it is not
/// escaped.
fn says_running(text: &str) -> bool {
    let places = text.match_indices("\"execute_status\"");
    places.into_iter().any(|(place, key)| {
        let value = text[place + key.len()..].trim_start().strip_prefix(':');
        value.is_some_and(|value| value.trim_start().starts_with("\"Running\""))
    })
}

/// What the HTTP status alone says.
fn without_envelope(server: Server, status: u16) -> Look {
    let message = format!("HTTP status {status} and a body that can't be understood");
    match status {
        404 if server == Server::Coze => Look::NotHere,
        300..=428 | 430..=499 if status != 408 => Look::Refused {
            code: None,
            message,
            logid: None,
        },
        _ => Look::Unclear {
            code: None,
            message,
        },
    }
}

/// `data` is an array of one; a lone object is taken as well.
fn look(server: Server, execute_id: &str, data: &str) -> Look {
    let mut records = objects::<Fields<'_>>(data);
    let ours = records
        .iter()
        .position(|record| named_run(record).as_deref() == Some(execute_id))
        .or_else(|| {
            records
                .iter()
                .position(|record| named_run(record).is_none())
        });
    let Some(fields) = ours.map(|place| records.swap_remove(place)) else {
        return Look::Unclear {
            code: None,
            message: "the history has no entry for the run".to_owned(),
        };
    };
    let record = record(server, &fields);
    // First, for the status of a run that waits is not documented.
    if let Some(interrupt) = event::interrupt(fields.interrupt_data, fields.node_title) {
        return Look::Interrupted(record, interrupt);
    }
    let status = fields::text(fields.execute_status).unwrap_or_default();
    match status.as_ref() {
        "Success" => Look::Success(record),
        // Studio says `<UNSET>` of a run that waits, before its interrupt is there to be seen.
        "Running" | "<UNSET>" => Look::Running(record),
        "Fail" | "Failed" | "Cancel" | "Canceled" | "Cancelled" => {
            let message = fields::nonempty(fields.error_message)
                .or(fields::nonempty(fields.error_msg))
                .unwrap_or_else(|| match status.starts_with("Cancel") {
                    true => "the run was cancelled".into(),
                    false => "the run failed; Coze gives no reason".into(),
                });
            Look::Failed {
                code: fields::number(fields.error_code).filter(|&code: &i64| code != 0),
                message: message.into_owned(),
                record,
            }
        }
        other => Look::Unclear {
            code: None,
            message: format!("the history says execute_status {other:?}"),
        },
    }
}

/// An object, or an array of such.
fn objects<'a, T: Deserialize<'a>>(json: &'a str) -> Vec<T> {
    match serde_json::from_str::<Vec<&RawValue>>(json) {
        Ok(values) => values
            .into_iter()
            .filter_map(|value| fields::object(value.get()))
            .collect(),
        Err(_) => fields::object(json).into_iter().collect(),
    }
}

/// The run that a record says it is of. Studio's numbers do not count, for something on the way may
/// have rounded them; nor does an id that is masked, as in published samples.
fn named_run(record: &Fields<'_>) -> Option<String> {
    let told = match record.execute_id {
        Some(Json(json)) if !json.starts_with('"') => None,
        id => fields::nonempty(id).map(Cow::into_owned).or_else(|| {
            let url = fields::nonempty(record.debug_url)?;
            fields::execute_id_of_url(&url).map(str::to_owned)
        }),
    };
    told.filter(|told| !told.contains('*'))
}

fn record(server: Server, fields: &Fields<'_>) -> Record {
    let owned = |raw| fields::nonempty(raw).map(Cow::into_owned);
    let trimmed = fields::flag(fields.is_output_trimmed);
    let mut record = Record {
        debug_url: owned(fields.debug_url),
        logid: owned(fields.logid).or(owned(fields.log_id)),
        usage: fields.usage.map(fields::one_line),
        mode: match fields::number(fields.run_mode) {
            Some(1) => Some(Mode::Stream),
            Some(2) => Some(Mode::Async),
            _ => None,
        },
        ..Record::default()
    };
    let output = fields::text(fields.output);
    match server {
        Server::Coze => unwrap(output.as_deref(), &mut record),
        Server::Studio => record.output = output.as_deref().map(Text::from_plain),
    }
    if trimmed {
        record.output = None;
        record.trimmed = trimmed_nodes(fields.node_execute_status);
    }
    record
}

/// Coze's `output` is a JSON string: `{"Output": …, "node_status": …, <Output node's title>: …}`.
/// Text that is no such object is the result itself, but not one that is broken.
fn unwrap(output: Option<&str>, record: &mut Record) {
    let is_wrapper = |(key, _): &(String, &RawValue)| key == "Output" || key == "node_status";
    let entries = output.and_then(fields::entries);
    let is_json = entries.is_some();
    let Some(entries) = entries.filter(|entries| entries.iter().any(is_wrapper)) else {
        let broken = |text: &&str| {
            let begun = !is_json && text.trim_start().starts_with('{');
            begun && text.contains("\"Output\"") || text.contains("\"node_status\"")
        };
        record.output = output.filter(|text| !broken(text)).map(Text::from_plain);
        return;
    };
    // Which of two is meant, nobody can tell.
    let once = entries.iter().filter(|(key, _)| key == "Output").count() == 1;
    for (title, value) in entries {
        match title.as_str() {
            "Output" if !once => {}
            "Output" if value.get() == "null" => {}
            "Output" => record.output = end_text(value).map(|text| Text::from_plain(&text)),
            "node_status" => {}
            _ => record.messages.push(NodeMessage {
                node_title: title,
                content: Text::from_plain(&text_or_json(value).unwrap_or_default()),
            }),
        }
    }
    record
        .messages
        .retain(|message| !message.content.is_empty());
}

/// The End node's text. In text mode it is wrapped as `{"content_type":1,"data":…,
/// "type_for_model":2}`, with exactly these keys and perhaps `original_result`.
fn end_text(value: &RawValue) -> Option<String> {
    let text = text_or_json(value)?;
    let Some(mut wrapper) = fields::entries(&text) else {
        return Some(text);
    };
    wrapper.retain(|(key, _)| key != "original_result");
    wrapper.sort_by(|(a, _), (b, _)| a.cmp(b));
    let keys_and_values: Vec<_> = wrapper
        .iter()
        .map(|(key, raw)| (&**key, raw.get()))
        .collect();
    match keys_and_values[..] {
        [("content_type", "1"), ("data", _), ("type_for_model", "2")] => text_or_json(wrapper[1].1),
        _ => Some(text),
    }
}

/// A string's text, or what else it is as JSON; nothing for a string with a lone surrogate.
fn text_or_json(value: &RawValue) -> Option<String> {
    match fields::text(Some(value.into())) {
        Some(text) => Some(text.into_owned()),
        None if value.get().starts_with('"') => None,
        None => Some(value.get().to_owned()),
    }
}

/// `node_execute_status` maps titles to a node's execution, or to several of a loop.
fn trimmed_nodes(status: Raw<'_>) -> Vec<TrimmedNode> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Execution<'a> {
        #[serde(borrow)]
        node_execute_uuid: Raw<'a>,
    }

    // A JSON string that holds the object has been seen as well.
    let text = fields::text(status).or(status.map(|Json(json)| json.into()));
    let text = text.unwrap_or_default();
    let mut nodes = Vec::new();
    for (node_title, value) in fields::entries(&text).unwrap_or_default() {
        for execution in objects::<Execution<'_>>(value.get()) {
            let uuid = fields::nonempty(execution.node_execute_uuid).unwrap_or_default();
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            if !uuid.is_empty() && uuid.bytes().all(plain) {
                nodes.push(TrimmedNode {
                    node_title: node_title.clone(),
                    node_execute_uuid: uuid.into_owned(),
                });
            }
        }
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIABLES: &[u8] =
        include_bytes!("../../tests/wire/cozecn_run_histories_success_variables.json");
    const TEXT_MODE: &[u8] = include_bytes!("../../tests/wire/doc_run_histories_textmode.json");
    const INVALID: &[u8] =
        include_bytes!("../../tests/wire/cozecn_run_histories_running_INVALID_JSON.json");
    const STUDIO: &[u8] =
        include_bytes!("../../tests/wire/derived_studio_get_run_history_numeric_ids.json");
    const STUDIO_401: &[u8] =
        include_bytes!("../../tests/wire/derived_studio_401_missing_session.json");
    const NODE: &[u8] = include_bytes!("../../tests/wire/doc_execute_node_response.json");
    const GATEWAY: &[u8] = include_bytes!("../../tests/wire/gateway_504.html");
    const NO_PERMISSION: &[u8] = include_bytes!("../../tests/wire/envelope_4101.json");
    const BAD_TOKEN: &[u8] = include_bytes!("../../tests/wire/envelope_700012006_http401.json");

    /// A look at the run of `VARIABLES`.
    fn looked(server: Server, status: u16, body: &[u8]) -> Look {
        parse(server, "7535298640308535332", status, body)
    }

    fn coze(body: &str) -> Look {
        looked(Server::Coze, 200, body.as_bytes())
    }

    /// A history of one record with these fields.
    fn history(fields: &str) -> Look {
        coze(&format!(r#"{{"code":0,"data":[{{{fields}}}]}}"#))
    }

    #[track_caller]
    fn success(look: Look) -> Record {
        match look {
            Look::Success(record) => record,
            other => panic!("{other:?}"),
        }
    }

    /// The `output` field for what the decoded JSON text is.
    fn output(text: &str) -> String {
        let json = serde_json::to_string(text).unwrap();
        format!(r#""execute_status":"Success","output":{json}"#)
    }

    #[track_caller]
    fn has_no_output(body: &[u8]) {
        match looked(Server::Coze, 200, body) {
            Look::Success(record) => assert_eq!(record.output, None),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_what_was_said_is_no_output() {
        let mut body =
            br#"{"code":0,"data":[{"execute_status":"Success","output":"{\"Output\":\"caf*\"}"}]}"#
                .to_vec();
        assert!(matches!(
            looked(Server::Coze, 200, &body),
            Look::Success(Record {
                output: Some(_),
                ..
            })
        ));
        let place = body.iter().position(|&byte| byte == b'*').unwrap();
        body[place] = 0xe9;
        has_no_output(&body);
    }

    #[test]
    fn a_wrapper_that_is_cut_or_says_two_things_is_no_output() {
        for output in [
            r#"{"Msg":"a","Output":"cut he"#,
            r#"{ "Output": "cut he"#,
            r#"{"Output":"one","Output":"two"}"#,
        ] {
            let output = serde_json::to_string(output).unwrap();
            let body = format!(
                r#"{{"code":0,"data":[{{"execute_status":"Success","output":{output}}}]}}"#
            );
            has_no_output(body.as_bytes());
        }
    }

    #[test]
    fn variables_come_out_as_the_stream_gives_them() {
        let record = success(looked(Server::Coze, 200, VARIABLES));
        let output = record.output.unwrap();
        assert!(
            output
                .plain()
                .starts_with(r#"{"content":"你好，[shortened]","title":"#)
        );
        assert_eq!(record.mode, Some(Mode::Async));
        assert_eq!(
            record.logid.as_deref(),
            Some("20250806104715BA070BFC777692AA724C")
        );
    }

    #[test]
    fn a_text_mode_result_is_unwrapped() {
        let record = success(looked(Server::Coze, 200, TEXT_MODE));
        assert_eq!(
            record.output.as_ref().map(Text::plain).as_deref(),
            Some("来找姐姐有什么事呀")
        );
        assert!(record.usage.unwrap().get().contains("150"));
    }

    #[test]
    fn an_object_that_only_resembles_the_wrapper_is_text() {
        for text in [
            r#"{"content_type":1,"data":"x","type_for_model":2,"more":0}"#,
            r#"{"content_type":2,"data":"x","type_for_model":2}"#,
            r#"{"data":"x"}"#,
        ] {
            let outer = format!(r#"{{"Output":{}}}"#, serde_json::to_string(text).unwrap());
            assert_eq!(
                success(history(&output(&outer)))
                    .output
                    .as_ref()
                    .map(Text::plain)
                    .as_deref(),
                Some(text)
            );
        }
    }

    #[test]
    fn other_keys_of_the_output_are_messages() {
        let text = r#"{"Output":"{\"a\":1}","node_status":"{}","输出":"你好","空":""}"#;
        let record = success(history(&output(text)));
        assert_eq!(
            record.output.as_ref().map(Text::plain).as_deref(),
            Some(r#"{"a":1}"#)
        );
        assert_eq!(record.messages.len(), 1);
        assert_eq!(record.messages[0].content.plain(), "你好");
    }

    #[test]
    fn a_result_that_is_no_longer_kept_is_none() {
        assert_eq!(
            success(history(&output(r#"{"node_status":"{}"}"#))).output,
            None
        );
        assert_eq!(
            success(history(r#""execute_status":"Success""#)).output,
            None
        );
    }

    #[test]
    fn text_that_is_no_such_object_is_taken_as_it_is() {
        for text in ["plain", r#"{"a":1}"#, "[1]", ""] {
            assert_eq!(
                success(history(&output(text)))
                    .output
                    .as_ref()
                    .map(Text::plain)
                    .as_deref(),
                Some(text)
            );
        }
    }

    #[test]
    fn a_broken_wrapper_or_text_is_not_taken_for_the_result() {
        for text in [
            r#"{"Output":"hi there is mo"#,
            r#"{"x":"a"b","node_status":"{}"}"#,
            r#"{"Output":"abc \ud83d","node_status":"{}"}"#,
        ] {
            assert_eq!(success(history(&output(text))).output, None, "{text}");
        }
    }

    #[test]
    fn a_body_that_is_no_json_but_says_running_is_running() {
        assert!(matches!(
            looked(Server::Coze, 200, INVALID),
            Look::Running(_)
        ));
        assert!(matches!(
            coze(r#"{"execute_status":"Success" oops"#),
            Look::Unclear { .. }
        ));
    }

    #[test]
    fn an_interrupt_comes_before_the_status() {
        let look = history(
            r#""execute_status":"Running","run_mode":2,"interrupt_data":{"event_id":"9/1","type":2,"data":"q"}"#,
        );
        assert!(
            matches!(look, Look::Interrupted(Record { mode: Some(Mode::Async), .. }, interrupt) if interrupt.event_id == "9/1")
        );
    }

    #[test]
    fn failures_give_the_code_and_the_words() {
        let look =
            history(r#""execute_status":"Fail","error_code":"720701013","error_message":"no""#);
        assert!(
            matches!(look, Look::Failed { code: Some(720_701_013), message, .. } if message == "no")
        );
        let cancelled = history(r#""execute_status":"Cancel","error_code":"0""#);
        assert!(
            matches!(cancelled, Look::Failed { code: None, message, .. } if message == "the run was cancelled")
        );
    }

    #[test]
    fn studios_history_is_taken_unwrapped_with_its_numeric_ids() {
        let record = success(looked(Server::Studio, 200, STUDIO));
        assert_eq!(
            record.output.as_ref().map(Text::plain).as_deref(),
            Some(r#"{"output":"hello"}"#)
        );
        assert!(record.debug_url.unwrap().contains("7547546110525440001"));
        assert_eq!(
            record.logid.as_deref(),
            Some("1f0f8f7a-0000-4000-8000-000000000000")
        );
        let unset = looked(
            Server::Studio,
            200,
            br#"{"data":[{"execute_status":"<UNSET>"}]}"#,
        );
        assert!(matches!(unset, Look::Running(_)));
    }

    #[test]
    fn studio_is_told_by_its_401_or_by_a_404_without_a_code() {
        assert!(matches!(
            looked(Server::Coze, 401, STUDIO_401),
            Look::NotHere
        ));
        assert!(matches!(
            looked(Server::Coze, 404, b"404 page not found"),
            Look::NotHere
        ));
        assert!(matches!(
            looked(Server::Studio, 401, STUDIO_401),
            Look::Refused { .. }
        ));
        assert!(matches!(
            looked(Server::Studio, 404, b"404 page not found"),
            Look::Refused { .. }
        ));
        assert!(matches!(
            looked(Server::Coze, 401, BAD_TOKEN),
            Look::Refused {
                code: Some(700_012_006),
                ..
            }
        ));
    }

    #[test]
    fn what_may_pass_is_unclear_and_what_will_not_is_refused() {
        let unclear = |status, body: &[u8]| {
            matches!(looked(Server::Coze, status, body), Look::Unclear { .. })
        };
        assert!(unclear(504, GATEWAY));
        assert!(unclear(429, b"slow down"));
        assert!(unclear(500, br#"{"code":5000,"msg":"x"}"#));
        assert!(unclear(200, br#"{"code":0,"data":[]}"#));
        assert!(unclear(200, br#"{"code":4314,"msg":"x"}"#));
        assert!(unclear(200, b""));
        assert!(!unclear(403, b"<html>"));
        assert!(matches!(
            looked(Server::Coze, 200, NO_PERMISSION),
            Look::Refused {
                code: Some(4101),
                ..
            }
        ));
    }

    #[test]
    fn trimmed_output_names_the_nodes_to_fetch() {
        let fields = output(r#"{"Output":"cut","node_status":"{}"}"#)
            + r#","is_output_trimmed":true,"node_execute_status":{"输出":{"node_id":"1","node_execute_uuid":"u-1"},"循环":[{"node_execute_uuid":"u2"},{"node_execute_uuid":"../x"}]}"#;
        let record = success(history(&fields));
        assert_eq!(record.output, None);
        let uuids: Vec<_> = record
            .trimmed
            .iter()
            .map(|node| node.node_execute_uuid.as_str())
            .collect();
        assert_eq!(uuids, ["u-1", "u2"]);
    }

    #[test]
    fn the_text_of_a_node_is_found() {
        assert!(
            node_output(200, NODE)
                .unwrap()
                .plain()
                .starts_with("0《零的奇妙冒险》\n")
        );
        assert_eq!(node_output(200, NO_PERMISSION), None);
    }

    #[test]
    fn a_record_of_another_run_is_passed_over() {
        let about = |execute_id: &str| {
            format!(r#"{{"execute_id":{execute_id},"execute_status":"Success","output":"x"}}"#)
        };
        let ours = about("\"7535298640308535332\"");
        let another = about("\"7535298640308535333\"");
        for (records, output) in [
            (&ours, Some("x")),
            (&another, None),
            (&format!("{another},{ours}"), Some("x")),
            (&about("\"753529864030853****\""), Some("x")),
            (&about("7535298640308535000"), Some("x")),
            (&about("\"\""), Some("x")),
            (
                &format!("{},{ours}", about("\"\"").replace("\"x\"", "\"anon\"")),
                Some("x"),
            ),
            (
                &another.replace(
                    "\"execute_id\":\"",
                    "\"debug_url\":\"https://w/?execute_id=",
                ),
                None,
            ),
            (&r#"["7535298640308535332","Success","x"]"#.to_owned(), None),
        ] {
            let body = format!(r#"{{"code":0,"data":[{records}]}}"#);
            match looked(Server::Coze, 200, body.as_bytes()) {
                Look::Success(record) => {
                    assert_eq!(record.output.unwrap().plain(), output.unwrap());
                }
                look => assert!(
                    matches!(look, Look::Unclear { .. }) && output.is_none(),
                    "{look:?}"
                ),
            }
        }
    }
}
