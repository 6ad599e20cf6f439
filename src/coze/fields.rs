//! How Coze's JSON is read: one set of fields for all its objects, ids that come as strings or as
//! numbers above 2^53, codes likewise, and the `execute_id` wherever it hides. Values are kept as the
//! text they came as.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The JSON text of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Json<'a>(pub(crate) &'a str);

/// A field that may be absent, kept as its text; `null` counts as absent.
pub(crate) type Raw<'a> = Option<Json<'a>>;

impl Json<'_> {
    /// Where it is in `whole`, if it is a part of it.
    pub(crate) fn place_in(self, whole: &str) -> Option<Range<usize>> {
        let start = self.0.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
        let end = start + self.0.len();
        (end <= whole.len()).then_some(start..end)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Self(raw.get()))
    }
}

impl<'a> From<&'a RawValue> for Json<'a> {
    fn from(raw: &'a RawValue) -> Self {
        Self(raw.get())
    }
}

/// What is read of Coze's objects, whichever they are: events, answers, histories, and what is in
/// them. A name means the same in all, and each has some of them. Those of a Message come first: it
/// is what there are most of.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Fields<'a> {
    #[serde(borrow)]
    pub(crate) content: Raw<'a>,
    pub(crate) node_title: Raw<'a>,
    pub(crate) node_seq_id: Raw<'a>,
    pub(crate) node_is_finish: Raw<'a>,
    pub(crate) node_type: Raw<'a>,
    pub(crate) node_id: Raw<'a>,
    pub(crate) node_execute_uuid: Raw<'a>,
    pub(crate) usage: Raw<'a>,
    pub(crate) debug_url: Raw<'a>,
    pub(crate) execute_id: Raw<'a>,
    pub(crate) code: Raw<'a>,
    pub(crate) msg: Raw<'a>,
    pub(crate) error_code: Raw<'a>,
    pub(crate) error_message: Raw<'a>,
    pub(crate) error_msg: Raw<'a>,
    pub(crate) logid: Raw<'a>,
    pub(crate) log_id: Raw<'a>,
    pub(crate) detail: Raw<'a>,
    pub(crate) data: Raw<'a>,
    pub(crate) id: Raw<'a>,
    pub(crate) interrupt_data: Raw<'a>,
    pub(crate) event_id: Raw<'a>,
    pub(crate) r#type: Raw<'a>,
    pub(crate) required_parameters: Raw<'a>,
    pub(crate) execute_status: Raw<'a>,
    pub(crate) output: Raw<'a>,
    pub(crate) token: Raw<'a>,
    pub(crate) run_mode: Raw<'a>,
    pub(crate) is_output_trimmed: Raw<'a>,
    pub(crate) node_execute_status: Raw<'a>,
    pub(crate) node_output: Raw<'a>,
}

impl<'a> Fields<'a> {
    /// Nothing for what is no JSON object.
    pub(crate) fn parse(json: &'a str) -> Option<Self> {
        object(json)
    }

    /// A run's page; one that names no run leads nowhere.
    pub(crate) fn debug_url(&self) -> Option<String> {
        let url = nonempty(self.debug_url)?;
        let leads_nowhere = url.contains("execute_id=0&") || url.ends_with("execute_id=0");
        (!leads_nowhere).then(|| url.into_owned())
    }

    /// The run's id, or else that of `data`.
    pub(crate) fn execute_id(&self) -> Option<String> {
        let in_data = || Self::parse(self.data?.0)?.own_execute_id();
        self.own_execute_id().or_else(in_data)
    }

    /// The run's id without a look into `data`: its own, or that of the interrupt.
    pub(crate) fn own_execute_id(&self) -> Option<String> {
        let of_interrupt = || run_of_interrupt(self.interrupt_data);
        self.named_execute_id().or_else(of_interrupt)
    }

    /// The run's id, from its own field or the `debug_url`.
    pub(crate) fn named_execute_id(&self) -> Option<String> {
        let id = execute_id(self.execute_id).map(Cow::into_owned);
        id.or_else(|| execute_id_of_url(&text(self.debug_url)?).map(str::to_owned))
    }
}

/// The run that an interrupt belongs to, although the rest of it may not be understood, or be a text
/// that holds it.
fn run_of_interrupt(data: Raw<'_>) -> Option<String> {
    let interrupt = unwrapped(data?.0);
    let interrupt = Fields::parse(&interrupt)?;
    execute_id_of_event(&text(interrupt.event_id)?).map(str::to_owned)
}

/// A string's content, or a number's digits as they were written. Nothing for other values, and
/// for a string with a lone surrogate.
pub(crate) fn text(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    let Json(raw) = raw?;
    match raw.as_bytes() {
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
            Some(Cow::Borrowed(&raw[1..raw.len() - 1]))
        }
        [b'"', ..] => serde_json::from_str(raw).ok().map(Cow::Owned),
        [b'-' | b'0'..=b'9', ..] => Some(Cow::Borrowed(raw)),
        _ => None,
    }
}

/// The JSON that a string holds, or the value itself.
pub(crate) fn unwrapped(json: &str) -> Cow<'_, str> {
    text(Some(Json(json))).unwrap_or(Cow::Borrowed(json))
}

/// Like `text`, but an empty string counts as absent.
pub(crate) fn nonempty(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    text(raw).filter(|text| !text.is_empty())
}

/// A whole number, as a number or as a string.
pub(crate) fn number<T: std::str::FromStr>(raw: Raw<'_>) -> Option<T> {
    text(raw)?.parse().ok()
}

/// Whether a value means yes, however it is written.
pub(crate) fn flag(raw: Raw<'_>) -> bool {
    let yes = ["true", "1", r#""true""#, r#""True""#, r#""1""#];
    raw.is_some_and(|Json(json)| yes.contains(&json))
}

/// A struct out of a JSON object; nothing for anything else. serde would take an array for one.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Option<T> {
    if !json.trim_ascii_start().starts_with('{') {
        return None;
    }
    serde_json::from_str(json).ok()
}

/// Whether a text so much as speaks of a run, even where no id can be read out of it.
pub(crate) fn mentions_run(text: &str) -> bool {
    text.contains("execute_id") || text.contains("event_id")
}

/// An object's keys with the text of their values, in order, repeated ones included.
pub(crate) fn entries(json: &str) -> Option<Vec<(String, &RawValue)>> {
    struct Collect;

    impl<'de> Visitor<'de> for Collect {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = map.next_entry()? {
                entries.push(entry);
            }
            Ok(entries)
        }
    }

    let mut json = serde_json::Deserializer::from_str(json);
    let entries = json.deserialize_map(Collect).ok()?;
    json.end().ok().map(|()| entries)
}

/// An array's items; nothing for anything else.
pub(crate) fn items(json: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(json).ok()
}

/// What is in an object, with the names, or in an array; nothing for anything else.
pub(crate) fn members(json: &str) -> Option<Vec<(Option<String>, &RawValue)>> {
    let named = |(name, value)| (Some(name), value);
    let nameless = |value| (None, value);
    Some(match entries(json) {
        Some(entries) => entries.into_iter().map(named).collect(),
        None => items(json)?.into_iter().map(nameless).collect(),
    })
}

/// What a JSON object holds, in the order in which it is written. Of two equal keys the first counts.
#[derive(Default)]
pub(crate) struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Entries<'a> {
    /// Nothing for what is no object with plain keys.
    pub(crate) fn parse(json: &'a str) -> Option<Self> {
        entries(json).map(Self)
    }

    /// A key that is there twice: nobody knows which one counts.
    pub(crate) fn repeated(&self) -> Option<&str> {
        let mut before = HashSet::new();
        self.keys().find(|&key| !before.insert(key))
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), *value))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys().any(|other| other == key)
    }

    /// The value as it is written.
    pub(crate) fn value(&self, key: &str) -> Raw<'a> {
        self.value_or_null(key).filter(|json| json.0 != "null")
    }

    pub(crate) fn value_or_null(&self, key: &str) -> Raw<'a> {
        let (_, value) = self.iter().find(|(other, _)| *other == key)?;
        Some(value.into())
    }

    pub(crate) fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        nonempty(self.value(key))
    }

    /// The object under a key, an empty one where it is none.
    pub(crate) fn object(&self, key: &str) -> Self {
        let inner = self.value(key).and_then(|Json(json)| Self::parse(json));
        inner.unwrap_or_default()
    }
}

/// The object of parameters in the body of a run, also where it is given as its text;
/// an empty one where there is none.
pub(crate) fn parameters(body: &str) -> Cow<'_, str> {
    let given = Entries::parse(body).and_then(|body| body.value("parameters"));
    given.map_or("{}".into(), |Json(json)| unwrapped(json))
}

/// The value on one line: line breaks can only be between its tokens and become spaces.
pub(crate) fn one_line(Json(json): Json<'_>) -> Box<RawValue> {
    let line = json.replace(['\n', '\r'], " ");
    RawValue::from_string(line).expect("white space between tokens is free")
}

/// A run's id as Coze gives it. Published samples mask digits with `*`, which is kept.
pub(crate) fn execute_id(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    text(raw).filter(|id| names_a_run(id))
}

/// Whether this can be the id of a run. Coze Studio writes 0 where there is none.
pub(crate) fn names_a_run(id: &str) -> bool {
    id.bytes().all(is_id_byte) && id.bytes().any(|byte| byte != b'0')
}

/// The `execute_id` in the query of a `debug_url`.
pub(crate) fn execute_id_of_url(debug_url: &str) -> Option<&str> {
    of_query(debug_url, "execute_id", names_a_run)
}

/// What the query of an address, or the fragment after it, gives a name: the first value that fits.
pub(crate) fn of_query<'a>(url: &'a str, name: &str, fits: fn(&str) -> bool) -> Option<&'a str> {
    let (_, query) = url.split_once('?')?;
    let value = |pair: &'a str| pair.strip_prefix(name)?.strip_prefix('=');
    let mut values = query.split(['&', '#']).filter_map(value);
    values.find(|value| fits(value))
}

/// The first half of an interrupt's `event_id`, `<execute_id>/<n>`.
pub(crate) fn execute_id_of_event(event_id: &str) -> Option<&str> {
    let (id, _) = event_id.split_once('/')?;
    names_a_run(id).then_some(id)
}

/// The `execute_id` that an object tells before it breaks off: in `execute_id`, in the query of
/// `debug_url`, or in the `event_id` of `interrupt_data`. It counts only when a byte that is no
/// part of it follows, for half an id leads to another run, or nowhere. Text that merely looks like
/// it, inside `content`, does not count: keys are followed from the outermost brace.
pub(crate) fn execute_id_of_tail(tail: &[u8]) -> Option<String> {
    // `outer`: the key, in the outermost object, of what the second bracket opens.
    let (mut depth, mut outer, mut key): (usize, &[u8], &[u8]) = (0, b"", b"");
    let mut rest = tail;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                let key = std::mem::take(&mut key);
                if depth == 2 {
                    outer = key;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let string = string_bytes(rest);
                let closed = rest.get(string.len()) == Some(&b'"');
                rest = rest.get(string.len() + 1..).unwrap_or_default();
                if rest.trim_ascii_start().first() == Some(&b':') {
                    key = string;
                    continue;
                }
                let id = match (depth, key) {
                    (1, b"execute_id") => leading_id(string, closed),
                    (1, b"debug_url") => after_name(string, closed),
                    (2, b"event_id") if outer == b"interrupt_data" => {
                        let rest = |id: &String| &string[id.len()..];
                        leading_id(string, false)
                            .filter(|id| rest(id).starts_with(b"/") || rest(id).starts_with(b"\\/"))
                    }
                    _ => None,
                };
                if id.is_some() {
                    return id;
                }
                key = b"";
            }
            b'0'..=b'9' if depth == 1 && key == b"execute_id" => {
                let number = &tail[tail.len() - rest.len() - 1..];
                return leading_id(number, false);
            }
            b',' => key = b"",
            _ => {}
        }
    }
    None
}

/// The bytes of a JSON string up to its closing quote, or to where the input ends.
fn string_bytes(rest: &[u8]) -> &[u8] {
    let mut escaped = false;
    let end = rest.iter().position(|&byte| {
        let quote = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        quote
    });
    &rest[..end.unwrap_or(rest.len())]
}

fn after_name(url: &[u8], closed: bool) -> Option<String> {
    const NAME: &[u8] = b"execute_id=";
    let place = url.windows(NAME.len()).position(|part| part == NAME)?;
    // `my_execute_id=` is another name; `&` may be written `\u0026`.
    let before = &url[..place];
    let starts = before.ends_with(b"?") || before.ends_with(b"&") || before.ends_with(b"\\u0026");
    starts.then(|| leading_id(&url[place + NAME.len()..], closed))?
}

/// The id that `bytes` begin with, if something else follows it.
fn leading_id(bytes: &[u8], closed: bool) -> Option<String> {
    let length = bytes.iter().take_while(|&&byte| is_id_byte(byte)).count();
    let ended = length < bytes.len() || closed;
    let id = String::from_utf8_lossy(&bytes[..length]);
    (ended && names_a_run(&id)).then(|| id.into_owned())
}

fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_same_as_a_string_and_as_a_number() {
        assert_eq!(
            text(Some(Json("7547546110525440001"))).unwrap(),
            "7547546110525440001"
        );
        assert_eq!(
            text(Some(Json("\"7547546110525440001\""))).unwrap(),
            "7547546110525440001"
        );
        assert_eq!(text(Some(Json("\"\\u4f60\""))).unwrap(), "你");
        assert_eq!(text(Some(Json("{}"))), None);
        assert_eq!(text(Some(Json("\"\\ud83d\""))), None);
    }

    #[test]
    fn a_code_is_the_same_as_a_string_and_as_a_number() {
        assert_eq!(
            number::<i64>(Some(Json("\"720701013\""))),
            Some(720_701_013)
        );
        assert_eq!(number::<i64>(Some(Json("4000"))), Some(4000));
        assert_eq!(number::<i64>(Some(Json("\"\""))), None);
    }

    #[test]
    fn an_execute_id_is_found_in_a_debug_url_by_its_whole_name() {
        let url = "https://www.coze.cn/work_flow?execute_id=75&space_id=1";
        assert_eq!(execute_id_of_url(url), Some("75"));
        assert_eq!(execute_id_of_url("https://x/?my_execute_id=75"), None);
        assert_eq!(execute_id_of_url("https://x/?execute_id="), None);
        assert_eq!(execute_id_of_url("https://www.coze.cn/work_flow?***"), None);
    }

    #[test]
    fn an_id_of_zeros_names_nothing_wherever_it_is() {
        assert_eq!(execute_id(Some(Json("0"))), None);
        assert_eq!(execute_id(Some(Json("\"000\""))), None);
        assert_eq!(
            execute_id_of_url("https://w/?execute_id=0&space_id=0"),
            None
        );
        assert_eq!(execute_id_of_event("0/27"), None);
        for tail in [
            r#"{"execute_id":"0","#,
            r#"{"execute_id":0,"#,
            r#"{"debug_url":"https://w/?execute_id=0&"#,
        ] {
            assert_eq!(execute_id_of_tail(tail.as_bytes()), None, "{tail}");
        }
        assert_eq!(execute_id(Some(Json("\"070\""))).unwrap(), "070");
    }

    #[test]
    fn an_execute_id_is_the_first_half_of_an_event_id() {
        assert_eq!(execute_id_of_event("740/276"), Some("740"));
        assert_eq!(execute_id_of_event("740"), None);
    }

    /// What a tail tells, cut at every byte: nothing, or the whole id.
    #[track_caller]
    fn tells(whole: &str, id: &str) {
        let told: Vec<_> = (0..=whole.len())
            .map(|cut| execute_id_of_tail(&whole.as_bytes()[..cut]))
            .collect();
        assert!(told.iter().flatten().all(|told| told == id), "{told:?}");
        let end = whole.rfind(id).unwrap() + id.len();
        assert_eq!(told[end], None, "it may go on");
        assert_eq!(told[end + 1].as_deref(), Some(id));
    }

    #[test]
    fn a_tail_names_a_whole_id_or_none() {
        tells(
            r#"{"node_execute_uuid":"","debug_url":"https://w/work_flow?execute_id=7579&space_id=75"}"#,
            "7579",
        );
        tells(
            r#"{"debug_url":"https://w/work_flow?space_id=1\u0026execute_id=7579\u0026x=2"}"#,
            "7579",
        );
        tells(
            r#"{"interrupt_data":{"data":"","event_id":"7404/27","type":2}}"#,
            "7404",
        );
        tells(r#"{"execute_id":"7404","x":1}"#, "7404");
        tells(r#"{"execute_id":7404,"x":1}"#, "7404");
    }

    #[test]
    fn an_id_inside_the_text_of_a_message_is_not_the_runs() {
        let content = r#"{"content":"see \"debug_url\":\"https://w/?execute_id=1&\" {\"execute_id\":\"2\"}","x"#;
        assert_eq!(execute_id_of_tail(content.as_bytes()), None);
        assert_eq!(execute_id_of_tail(br#"{"ext":{"execute_id":"3"},"#), None);
    }

    #[test]
    fn a_value_over_several_lines_comes_out_on_one() {
        assert_eq!(
            one_line(Json("{\n \"a\": \"\\n\"\r\n}")).get(),
            "{  \"a\": \"\\n\"  }"
        );
    }
}
