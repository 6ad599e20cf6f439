//! The keys of one JSON object with their values as they are written, and how a single value is
//! read. `null` counts as absent. Knows no kinds of requests.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::value::RawValue;

use super::body::quoted;
use crate::coze::fields::{self, Json};
use crate::error::Error;

/// In the order in which they are written.
pub(super) struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Entries<'a> {
    /// Nothing for what is no object with plain keys.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        fields::entries(text).map(Self)
    }

    pub(super) fn refuse_repeated(&self) -> Result<(), Error> {
        let mut before = HashSet::new();
        match self.keys().find(|&key| !before.insert(key)) {
            None => Ok(()),
            Some(key) => Err(Error::usage(format!("the key {key:?} is given twice"))
                .hint("nobody can tell which one is meant", "无法判断以哪一个为准")),
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(key, _)| key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), *value))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.keys().any(|other| other == key)
    }

    /// The value as it is written.
    pub(super) fn value(&self, key: &str) -> Option<&'a RawValue> {
        let (_, value) = self.0.iter().find(|(other, _)| other == key)?;
        (value.get() != "null").then_some(*value)
    }

    /// An id: a string, or an integer literal taken digit for digit, because ids exceed 2^53.
    /// Absent when it is not there, `null` or empty.
    pub(super) fn id(&self, key: &str) -> Result<Option<String>, Error> {
        let Some(raw) = self.value(key) else {
            return Ok(None);
        };
        let integer = raw.get().bytes().all(|byte| byte.is_ascii_digit());
        let text = (raw.get().starts_with('"') || integer)
            .then(|| fields::text(Some(raw.into())))
            .flatten()
            .ok_or_else(|| Error::usage(format!("{key} must be a string or an integer")))?;
        plain_id(key, &text)?;
        Ok(Some(text.into_owned()).filter(|text| !text.is_empty()))
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<String>, Error> {
        let Some(raw) = self.value(key) else {
            return Ok(None);
        };
        serde_json::from_str(raw.get()).map(Some).map_err(|_| {
            if !matches!(raw.get().as_bytes(), [b'-' | b'0'..=b'9', ..]) {
                return Error::usage(format!("{key} must be a string"));
            }
            Error::usage(format!("{key} must be a string, not a number")).hint(
                format!("write it in quotes: \"{raw}\""),
                format!("请加上引号：\"{raw}\""),
            )
        })
    }

    pub(super) fn boolean(&self, key: &str) -> Result<bool, Error> {
        match self.value(key).map(RawValue::get) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Error::usage(format!("{key} must be true or false"))),
        }
    }

    /// The JSON that is sent to Coze for a key that it knows; nothing when the key is absent.
    pub(super) fn to_send(&self, key: &str) -> Result<Option<Cow<'a, str>>, Error> {
        let quote = |text: String| Cow::Owned(quoted(&text));
        let raw = self.value(key).map(RawValue::get);
        match key {
            "bot_id" | "app_id" | "connector_id" => Ok(self.id(key)?.map(quote)),
            "workflow_version" => Ok(self.string(key)?.map(quote)),
            "ext" if raw.is_some_and(|raw| !raw.starts_with('{')) => {
                Err(Error::usage("ext must be an object")
                    .hint(r#"such as {"user_id":"…"}"#, r#"例如 {"user_id":"…"}"#))
            }
            "parameters" if raw.is_some_and(|raw| !raw.starts_with(['{', '"'])) => {
                let error = Error::usage("parameters must be an object, or the text of one");
                Err(error.hint(r#"such as {"city":"北京"}"#, r#"例如 {"city":"北京"}"#))
            }
            _ => Ok(raw.map(Cow::Borrowed)),
        }
    }
}

/// The JSON that a string holds, or the value itself.
pub(super) fn unwrapped(json: &str) -> Cow<'_, str> {
    fields::text(Some(Json(json))).unwrap_or(Cow::Borrowed(json))
}

/// Ids become parts of a path and are shown to a terminal. One such as `7xxx` is an example's.
pub(super) fn plain_id(key: &str, id: &str) -> Result<(), Error> {
    let unknown = id.trim_start_matches(|char: char| char.is_ascii_digit());
    if unknown.len() > 2
        && unknown
            .bytes()
            .all(|byte| matches!(byte, b'x' | b'X' | b'*'))
    {
        return Err(Error::usage(format!("{key} {id} is a placeholder"))
            .hint("put the id itself in its place", "请换成真正的 ID"));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if id.bytes().all(plain) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{key} may hold only letters, digits, _ and -"
    )))
}
