//! The cloud: api.coze.cn and api.coze.com. <https://docs.coze.cn/developer_guides>.

use serde_json::value::RawValue;

use super::Service;
use crate::coze::call::{Call, Mode, RunRef};
use crate::coze::code::{self, Meaning};
use crate::coze::fields::{self, has_key_twice};
use crate::coze::history::{self, Dialect, Poll, Record};
use crate::coze::transcript::NodeMessage;
use crate::text::Text;

#[derive(Debug)]
pub(super) struct Coze;

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
    let Some(entries) = fields::entries(output) else {
        let broken = is_begun(output) || output.contains("\"node_status\"");
        record.output = (!broken).then(|| Text::from_plain(output));
        return;
    };
    let is_wrapper = |(key, _): &(String, &RawValue)| key == "Output" || key == "node_status";
    if !entries.iter().any(is_wrapper) {
        record.output = end_text(output);
        return;
    }
    let is_clear = !has_key_twice(&entries);
    for (title, value) in entries {
        match title.as_str() {
            "Output" if value.get() == "null" => {}
            "Output" if is_clear => {
                record.output = text_or_json(value).as_deref().and_then(end_text);
            }
            "Output" | "node_status" => {}
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
fn end_text(text: &str) -> Option<Text> {
    let Some(mut wrapper) = fields::entries(text) else {
        return (!is_begun(text)).then(|| Text::from_plain(text));
    };
    wrapper.retain(|(key, _)| key != "original_result");
    wrapper.sort_by(|(a, _), (b, _)| a.cmp(b));
    let is_twice = has_key_twice(&wrapper);
    wrapper.dedup_by(|(a, _), (b, _)| a == b);
    let keys_and_values: Vec<_> = wrapper
        .iter()
        .map(|(key, raw)| (&**key, raw.get()))
        .collect();
    match keys_and_values[..] {
        [("content_type", "1"), ("data", _), ("type_for_model", "2")] if is_twice => None,
        [("content_type", "1"), ("data", _), ("type_for_model", "2")] => {
            text_or_json(wrapper[1].1).map(|text| Text::from_plain(&text))
        }
        _ => Some(Text::from_plain(text)),
    }
}

/// Whether a text that is no JSON object begins like one of the two wrappers.
fn is_begun(text: &str) -> bool {
    let is_object = text.trim_start().starts_with('{');
    is_object && (text.contains("\"Output\"") || text.contains("\"content_type\""))
}

/// A string's text, or what else it is as JSON; nothing for a string with a lone surrogate.
fn text_or_json(value: &RawValue) -> Option<String> {
    match fields::text(Some(value.into())) {
        Some(text) => Some(text.into_owned()),
        None if value.get().starts_with('"') => None,
        None => Some(value.get().to_owned()),
    }
}
