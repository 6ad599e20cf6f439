//! The body of a poll → what is known of the run. Text comes out as the stream would have given it;
//! where the histories of two services differ, a `Dialect` says how. Does no I/O.
//! <https://docs.coze.cn/developer_guides/query_workflow_async_result>.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::coze::call::{Mode, RunRef};
use crate::coze::code::Meaning;
use crate::coze::envelope::Envelope;
use crate::coze::event::Interrupt;
use crate::coze::fields::{self, Fields, Json, Raw};
use crate::coze::transcript::NodeMessage;
use crate::error::Error;
use crate::text::Text;

/// What one poll showed.
#[derive(Debug)]
pub(crate) enum Poll {
    Running(Record),
    Success(Record),
    /// The run ended in failure, or was cancelled.
    Failed(Record, Error),
    /// The run waits for an answer to this.
    Interrupted(Record, Interrupt),
    /// The run waits for an answer, and the history does not tell to what.
    Waiting(Record),
    /// There is no such run, or not yet.
    Absent(Error),
    /// Nothing to be learned from it: a body that can't be understood, a server in trouble.
    Unclear(Error),
    /// The poll itself was refused.
    Refused(Error),
    /// The server has no history of runs.
    NoHistory,
}

/// What a history says beside the status.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) debug_url: Option<String>,
    pub(crate) logid: Option<String>,
    pub(crate) usage: Option<Box<RawValue>>,
    /// How the run was started; nothing when that is not said.
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

/// What differs between the histories of two services.
pub(crate) struct Dialect {
    /// The code of the answer when there is no such run.
    pub(crate) absent: i64,
    /// What any other code means, or its absence, in an answer of this HTTP status.
    pub(crate) meaning: fn(code: Option<i64>, status: u16) -> Meaning,
    /// Whether this answer says that the server has no history of runs.
    pub(crate) has_no_history: fn(code: Option<i64>, status: u16) -> bool,
    /// Takes apart the text that the history holds as `output`.
    pub(crate) unpack: fn(output: &str, record: &mut Record),
}

/// Understands the answer to a poll of the run.
pub(crate) fn read(dialect: &Dialect, run: &RunRef, status: u16, body: &[u8]) -> Poll {
    let text = String::from_utf8_lossy(body);
    let envelope = Envelope::parse(&text);
    if envelope.is_none() && says_running(&text) {
        return Poll::Running(Record::default());
    }
    let code = envelope.as_ref().and_then(Envelope::code);
    let data = envelope.as_ref().and_then(|envelope| envelope.data);
    if data.is_none() && (dialect.has_no_history)(code, status) {
        return Poll::NoHistory;
    }
    if code.is_none() && envelope.is_some() && status < 300 {
        let mut poll = poll(dialect, run, data.map_or("null", |Json(data)| data));
        if let (Poll::Success(record), Cow::Owned(_)) = (&mut poll, &text) {
            // What had to be replaced is not what was said.
            record.output = None;
        }
        return poll;
    }
    let said = match envelope.filter(|_| code.is_some()) {
        Some(envelope) => envelope.said(|| format!("HTTP {status}")),
        None => Error::unknown(format!("HTTP {status}, and the body can't be understood")),
    };
    if code == Some(dialect.absent) {
        return Poll::Absent(said);
    }
    match (dialect.meaning)(code, status) {
        Meaning::Refused if status < 500 => Poll::Refused(said),
        Meaning::Unclear if code.is_some() && (300..500).contains(&status) => Poll::Refused(said),
        _ => Poll::Unclear(said),
    }
}

/// The text of an Output node that was trimmed, from an answer of `execute_nodes`.
pub(crate) fn node_output(status: u16, body: &[u8]) -> Option<Text> {
    let text = std::str::from_utf8(body).ok()?;
    let envelope = Envelope::parse(text)?;
    if status != 200 || envelope.code().is_some() {
        return None;
    }
    let node = Fields::parse(envelope.data?.0)?;
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

/// `data` is an array of one; a lone object is taken as well.
fn poll(dialect: &Dialect, run: &RunRef, data: &str) -> Poll {
    let ours = |record: &Fields<'_>| named_run(record).is_none_or(|id| id == run.execute_id());
    let ours = objects(data).into_iter().filter(ours);
    // First those that say so.
    let Some(fields) = ours.min_by_key(|record| named_run(record).is_none()) else {
        return Poll::Unclear(Error::unknown("the history has no entry for the run"));
    };
    let record = record(dialect, &fields);
    // First, for the status of a run that waits is not documented.
    if let Some(interrupt) = fields.interrupt() {
        return Poll::Interrupted(record, interrupt);
    }
    let status = fields::text(fields.execute_status).unwrap_or_default();
    let said = |otherwise: &str| fields.said(|| otherwise.to_owned());
    match status.as_ref() {
        "Success" => Poll::Success(record),
        "Running" => Poll::Running(record),
        "<UNSET>" => Poll::Waiting(record),
        "Fail" | "Failed" => Poll::Failed(record, said("the run failed; Coze gives no reason")),
        "Cancel" | "Canceled" | "Cancelled" => Poll::Failed(record, said("the run was cancelled")),
        other => Poll::Unclear(Error::unknown(format!(
            "the history says execute_status {other:?}"
        ))),
    }
}

/// An object, or an array of such.
fn objects(json: &str) -> Vec<Fields<'_>> {
    let values = serde_json::from_str::<Vec<Json<'_>>>(json).unwrap_or_else(|_| vec![Json(json)]);
    let objects = values.iter().filter_map(|&Json(json)| Fields::parse(json));
    objects.collect()
}

/// The run that a record says it is of. Coze Studio's numbers do not count, for something on the way
/// may have rounded them; nor does an id that is masked, as in published samples.
fn named_run(record: &Fields<'_>) -> Option<String> {
    let is_string = |Json(json): Json<'_>| json.starts_with('"');
    let named = record.named_execute_id().filter(|id| !id.contains('*'));
    named.filter(|_| record.execute_id.is_none_or(is_string))
}

fn record(dialect: &Dialect, fields: &Fields<'_>) -> Record {
    let usage = fields.usage.map(fields::one_line);
    let mut record = Record {
        debug_url: fields.debug_url(),
        logid: fields.logid(),
        usage: usage.or_else(|| usage_of_token(fields.token)),
        mode: match fields::number(fields.run_mode) {
            Some(1) => Some(Mode::Stream),
            Some(0 | 2) => Some(Mode::Async),
            _ => None,
        },
        ..Record::default()
    };
    if let Some(output) = fields::text(fields.output) {
        (dialect.unpack)(&output, &mut record);
    }
    if fields::flag(fields.is_output_trimmed) {
        record.output = None;
        record.trimmed = trimmed_nodes(fields.node_execute_status);
    }
    record
}

/// Coze Studio counts tokens in a field of its own.
fn usage_of_token(token: Raw<'_>) -> Option<Box<RawValue>> {
    let count: u64 = fields::number(token)?;
    RawValue::from_string(format!(r#"{{"token_count":{count}}}"#)).ok()
}

/// `node_execute_status` maps titles to a node's execution, or to several of a loop.
fn trimmed_nodes(status: Raw<'_>) -> Vec<TrimmedNode> {
    // A JSON string that holds the object has been seen as well.
    let text = fields::unwrapped(status.map_or("{}", |Json(json)| json));
    let mut nodes = Vec::new();
    for (node_title, value) in fields::entries(&text).unwrap_or_default() {
        for execution in objects(value.get()) {
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
