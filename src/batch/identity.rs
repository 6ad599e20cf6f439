//! What a request is known by in a journal: the hash of what it asks, as one text for all ways to write
//! it, so that the name is the same on every machine and in every version.

use serde_json::value::RawValue;

use crate::coze::fields::{self, Json};
use crate::input::fingerprint::Fingerprint;
use crate::input::object::{Object, quoted};
use crate::input::request::{Request, Task};

/// What is asked is shown to whoever reads the journal, up to so many bytes.
const SHOWN: usize = 64 << 10;

/// Values inside so many others are compared as they are written.
const DEEPEST: u32 = 128;

/// Which request it is, and what it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: Fingerprint,
    /// Two requests of one name must ask the same.
    pub(crate) content: Fingerprint,
    /// The content as JSON on one line, unless it is long.
    pub(crate) asked: Option<String>,
}

impl Identity {
    /// Nothing for a request that starts nothing. A base URL is written in one way only, by `config`.
    pub(crate) fn of(request: &Request, base_url: &str) -> Option<Self> {
        let (name, content) = match request.task.as_ref().ok()? {
            Task::Watch(_) => return None,
            Task::Run(start) => {
                // How a run is started does not count, and `null` is as if it were not there.
                let content = content(&start.body, "parameters", |key, value| {
                    key != "is_async" && value.get() != "null"
                });
                let name = match &request.id {
                    Some(id) => Fingerprint::of(&["run", base_url, "id", &canonical_id(id.get())]),
                    None => Fingerprint::of(&["run", base_url, "content", &content]),
                };
                (name, content)
            }
            // One interrupt is answered once, whoever answers it, and whatever the answer is.
            Task::Resume(resume) => {
                let name = of_answer(base_url, &resume.event_id);
                let data = |key: &str, _: &RawValue| key == "resume_data";
                (name, content(&resume.body, "resume_data", data))
            }
        };
        Some(Self {
            name,
            content: Fingerprint::of(&[&content]),
            asked: (content.len() <= SHOWN).then_some(content),
        })
    }
}

/// The name of an answer to an interrupt.
pub(super) fn of_answer(base_url: &str, event_id: &str) -> Fingerprint {
    Fingerprint::of(&["resume", base_url, event_id])
}

/// The entries that count, in order; the object that `embedded` holds, perhaps as its text.
fn content(body: &str, embedded: &str, counts: impl Fn(&str, &RawValue) -> bool) -> String {
    let mut entries = fields::entries(body).unwrap_or_default();
    entries.retain(|(key, value)| counts(key, value));
    object(entries, |key, json| {
        let text = fields::unwrapped(json);
        let is_object = key == embedded && fields::entries(&text).is_some();
        canonical(if is_object { &text } else { json }, 1)
    })
}

/// An id is the same as a number and as a string.
fn canonical_id(json: &str) -> String {
    if json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return quoted(json);
    }
    canonical(json, 0)
}

/// The same text for the same value: no white space, keys in order, each character written one way.
/// Numbers stay digit for digit.
fn canonical(json: &str, depth: u32) -> String {
    let json = json.trim_ascii();
    let inner = |json: &str| canonical(json, depth + 1);
    let value = match json.as_bytes() {
        _ if depth == DEEPEST => return json.to_owned(),
        // Nothing for an object with a key that is no text.
        [b'{', ..] => fields::entries(json).map(|entries| object(entries, |_, json| inner(json))),
        [b'[', ..] => fields::items(json).map(|items| {
            let items: Vec<_> = items.iter().map(|item| inner(item.get())).collect();
            format!("[{}]", items.join(","))
        }),
        [b'"', ..] => fields::text(Some(Json(json))).map(|text| quoted(&text)),
        _ => None,
    };
    // A lone surrogate is no text, line breaks between tokens are no part of a line.
    value.unwrap_or_else(|| json.replace(['\n', '\r'], " "))
}

fn object(mut entries: Vec<(String, &RawValue)>, write: impl Fn(&str, &str) -> String) -> String {
    // Stable, because of two equal keys one counts, and nobody knows which.
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut object = Object::default();
    for (key, value) in entries {
        object.push(&key, &write(&key, value.get()));
    }
    object.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Options;

    const BASE: &str = "https://api.coze.cn";

    #[track_caller]
    fn identity(request: &str) -> Identity {
        identity_at(BASE, request)
    }

    #[track_caller]
    fn identity_at(base_url: &str, request: &str) -> Identity {
        let request = Request::parse(request, &Options::default());
        assert_eq!(request.task.as_ref().err(), None);
        Identity::of(&request, base_url).unwrap()
    }

    #[test]
    fn the_same_request_has_one_name_however_it_is_written() {
        let run = identity(r#"{"workflow_id":"7","parameters":{"a":"你/","b":[1,{"c":null}]}}"#);
        for same in [
            r#"{"parameters":{"b":[1,{"c":null}],"a":"你/"},"workflow_id":7}"#,
            r#"{ "workflow_id" : "7", "parameters" : { "a" : "\u4f60\/" , "b":[ 1,{"c":null} ] } }"#,
            r#"{"workflow_id":"7","parameters":"{\"b\":[1, {\"c\":null}],\"a\":\"你/\"}"}"#,
            r#"{"workflow_id":"7","parameters":{"a":"你/","b":[1,{"c":null}]},"is_async":true}"#,
            r#"{"workflow_id":"7","parameters":{"a":"你/","b":[1,{"c":null}]},"bot_id":null}"#,
            r#"{"id":null,"workflow_id":"7","parameters":{"a":"你/","b":[1,{"c":null}]}}"#,
        ] {
            assert_eq!(identity(same), run, "{same}");
        }
    }

    /// A journal that was begun by an earlier version has them: under another name each would be run
    /// once more.
    #[test]
    fn the_names_are_those_of_every_version() {
        for (request, name) in [
            (
                r#"{"workflow_id":"7","parameters":{"a":"你","b":1.0}}"#,
                "d630ecbf36ef6ae1b0784326a0ea04e2",
            ),
            (
                r#"{"id":"row 1","workflow_id":"7"}"#,
                "3a2465b3208afcffd5ce4bad316d5896",
            ),
            (
                r#"{"workflow_id":"7","event_id":"9/1","interrupt_type":2,"resume_data":"x"}"#,
                "379c2247093ad9af0ddb3e5e594a1018",
            ),
        ] {
            assert_eq!(identity(request).name.to_string(), name);
        }
    }

    #[test]
    fn another_value_of_anything_that_is_asked_is_another_request() {
        let all = [
            r#"{"workflow_id":"7"}"#,
            r#"{"workflow_id":"8"}"#,
            r#"{"workflow_id":"7","parameters":{"a":1}}"#,
            r#"{"workflow_id":"7","parameters":{"a":"1"}}"#,
            r#"{"workflow_id":"7","parameters":{"a":1.0}}"#,
            r#"{"workflow_id":"7","parameters":{"a":1e0}}"#,
            r#"{"workflow_id":"7","parameters":{"a":[1]}}"#,
            r#"{"workflow_id":"7","parameters":{"a":[1,1]}}"#,
            r#"{"workflow_id":"7","parameters":{"a":11}}"#,
            r#"{"workflow_id":"7","parameters":{"a":null}}"#,
            r#"{"workflow_id":"7","parameters":{"a":"{}"}}"#,
            r#"{"workflow_id":"7","parameters":{"a":{}}}"#,
            r#"{"workflow_id":"7","parameters":{"a":12345678901234567890}}"#,
            r#"{"workflow_id":"7","parameters":{"a":12345678901234567891}}"#,
            r#"{"workflow_id":"7","parameters":{"a":1,"a":2}}"#,
            r#"{"workflow_id":"7","parameters":{"a":2,"a":1}}"#,
            r#"{"workflow_id":"7","bot_id":"1"}"#,
            r#"{"workflow_id":"7","app_id":"1"}"#,
            r#"{"workflow_id":"7","connector_id":"1"}"#,
            r#"{"workflow_id":"7","workflow_version":"1"}"#,
            r#"{"workflow_id":"7","ext":{"user_id":"1"}}"#,
            r#"{"workflow_id":"7","parameters":{"a":"\ud83d"}}"#,
            r#"{"workflow_id":"7","parameters":{"a":"\ud83e"}}"#,
        ];
        let names: std::collections::HashSet<_> = all.map(|one| identity(one).name).into();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn an_id_alone_is_the_name_and_the_content_is_distinguished() {
        let named = |id: &str, workflow_id: &str| {
            identity(&format!(r#"{{"id":{id},"workflow_id":"{workflow_id}"}}"#))
        };
        let (one, other) = (named("1", "7"), named("1", "8"));
        assert_eq!(one.name, other.name);
        assert_ne!(one.content, other.content);
        assert_ne!(one.name, identity(r#"{"workflow_id":"7"}"#).name);
        for same in [r#""1""#, r#""\u0031""#, " 1 "] {
            assert_eq!(named(same, "7"), one, "{same}");
        }
        for another in ["1.0", "01e0", "[1]", "10", "true", r#"{"a":1}"#, r#""""#] {
            let Some(request) = serde_json::from_str::<serde_json::Value>(another).ok() else {
                continue;
            };
            assert_ne!(named(another, "7").name, one.name, "{request}");
        }
        assert_eq!(
            named(r#"{"a":1,"b":2}"#, "7"),
            named(r#"{ "b":2,"a":1 }"#, "7")
        );
    }

    #[test]
    fn a_resume_goes_by_its_event_id_and_its_data_is_its_content() {
        let resume = |id: &str, workflow_id: &str, data: &str| {
            identity(&format!(
                r#"{{"id":{id},"workflow_id":"{workflow_id}","event_id":"9/1","interrupt_type":2,"resume_data":{data}}}"#
            ))
        };
        let one = resume("1", "7", r#""x""#);
        assert_eq!(resume("2", "8", r#""\u0078""#), one);
        assert_eq!(resume("1", "7", r#""y""#).name, one.name);
        assert_ne!(resume("1", "7", r#""y""#).content, one.content);
        assert_eq!(
            resume("1", "7", r#"{"a":1,"b":2}"#),
            resume("1", "7", r#""{ \"b\":2,\"a\":1 }""#)
        );
    }

    #[test]
    fn another_base_url_is_another_server() {
        let at = |base_url| identity_at(base_url, r#"{"id":1,"workflow_id":"7"}"#).name;
        for other in [
            "http://api.coze.cn",
            "https://api.coze.com",
            "https://api.coze.cn:80",
            "https://api.coze.cn/Path",
        ] {
            assert_ne!(at(other), at(BASE), "{other}");
        }
    }

    #[test]
    fn a_watch_has_no_name() {
        let watch = Request::parse(
            r#"{"workflow_id":"7","execute_id":"9"}"#,
            &Options::default(),
        );
        assert_eq!(Identity::of(&watch, BASE), None);
    }

    #[test]
    fn what_is_asked_is_shown_on_one_line_unless_it_is_long() {
        let asked = |request: &str| identity(request).asked;
        let request = "{\"workflow_id\":7,\n\"parameters\":{\"b\":\n1,\"a\":{}}}";
        let line = r#"{"parameters":{"a":{},"b":1},"workflow_id":"7"}"#;
        assert_eq!(asked(request).as_deref(), Some(line));
        let long = "x".repeat(SHOWN);
        let request = format!(r#"{{"workflow_id":7,"parameters":{{"a":"{long}"}}}}"#);
        assert_eq!(asked(&request), None);
    }

    #[test]
    fn values_in_values_without_end_are_compared_and_not_followed_for_ever() {
        let deep = |space: &str| {
            let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
            identity(&format!(
                r#"{{"workflow_id":7,"parameters":{{"a":{space}{open}{close}}}}}"#
            ))
        };
        assert_eq!(deep(" ").name, deep("").name);
    }
}
