//! The cloud: api.coze.cn and api.coze.com. <https://docs.coze.cn/developer_guides>.

use std::collections::BTreeSet;

use super::Service;
use crate::coze::call::{Call, Mode, RunRef};
use crate::coze::code::{self, Meaning};
use crate::coze::fields::{self, Entries, Json};
use crate::coze::history::{self, Dialect, Poll, Record};
use crate::coze::transcript::NodeMessage;
use crate::text::Text;

#[derive(Debug)]
pub(super) struct Coze;

/// Of a text-mode End node.
const WRAPPER_KEYS: [&str; 3] = ["content_type", "data", "type_for_model"];

impl Service for Coze {
    fn word(&self) -> &'static str {
        "coze"
    }

    fn resume<'a>(&self, mode: Mode, body: &'a str) -> Call<'a> {
        Call::resume(mode, body)
    }

    fn poll(&self, workflow_id: &str, run: &RunRef) -> Call<'static> {
        Call::run_history(workflow_id, run)
    }

    fn read_poll(&self, run: &RunRef, status: u16, _: bool, body: &[u8]) -> Poll {
        const DIALECT: Dialect = Dialect {
            absent: code::NO_SUCH_RUN,
            meaning: code::meaning,
            has_no_history: |code, status| code.is_none() && status == 404,
            unpack,
        };
        history::read(&DIALECT, run, status, body)
    }

    fn meaning(&self, code: Option<i64>, status: u16, _: bool) -> Meaning {
        code::meaning(code, status)
    }
}

/// `output` is a JSON string: `{"Output": …, "node_status": …, <Output node's title>: …}`. Text that
/// is no such object is the result itself, but not one that is broken.
fn unpack(output: &str, record: &mut Record) {
    let Some(entries) = Entries::parse(output) else {
        let broken = is_begun(output) || output.contains("\"node_status\"");
        record.output = (!broken).then(|| Text::from_plain(output));
        return;
    };
    if !entries.has("Output") && !entries.has("node_status") {
        record.output = end_text(output);
        return;
    }
    for (title, value) in entries.iter() {
        let text = text_or_json(value.into());
        match title {
            "node_status" => {}
            "Output" if value.get() == "null" || entries.repeated().is_some() => {}
            "Output" => record.output = text.as_deref().and_then(end_text),
            _ => record.messages.push(NodeMessage {
                node_title: title.to_owned(),
                content: Text::from_plain(&text.unwrap_or_default()),
            }),
        }
    }
    record
        .messages
        .retain(|message| !message.content.is_empty());
}

/// The End node's text. In text mode it is wrapped as `{"content_type":1,"data":…,
/// "type_for_model":2}`, with exactly these keys and perhaps `original_result`.
fn end_text(text: &str) -> Option<Text> {
    let Some(wrapper) = Entries::parse(text) else {
        return (!is_begun(text)).then(|| Text::from_plain(text));
    };
    let keys = wrapper.keys().filter(|key| *key != "original_result");
    let is_wrapper = keys.collect::<BTreeSet<_>>() == BTreeSet::from(WRAPPER_KEYS)
        && wrapper.value("content_type") == Some(Json("1"))
        && wrapper.value("type_for_model") == Some(Json("2"));
    if !is_wrapper {
        return Some(Text::from_plain(text));
    }
    let data = wrapper
        .value_or_null("data")
        .filter(|_| wrapper.repeated().is_none());
    text_or_json(data?).map(|text| Text::from_plain(&text))
}

/// Whether a text that is no JSON object begins like one of the two wrappers.
fn is_begun(text: &str) -> bool {
    let is_object = text.trim_start().starts_with('{');
    is_object && (text.contains("\"Output\"") || text.contains("\"content_type\""))
}

/// A string's text, or what else it is as JSON; nothing for a string with a lone surrogate.
fn text_or_json(value: Json<'_>) -> Option<String> {
    match fields::text(Some(value)) {
        Some(text) => Some(text.into_owned()),
        None if value.0.starts_with('"') => None,
        None => Some(value.0.to_owned()),
    }
}
