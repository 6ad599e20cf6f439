//! How a single value of a request is read, and what is said when it is of a wrong kind. `null` counts
//! as absent. Knows no kinds of requests.

use serde::de::IgnoredAny;

use super::object::{Object, quoted};
use crate::coze::fields::{self, Entries, Json};
use crate::error::Error;

impl Entries<'_> {
    pub(super) fn refuse_repeated(&self) -> Result<(), Error> {
        match self.repeated() {
            None => Ok(()),
            Some(key) => Err(Error::usage(format!("the key {key:?} is given twice"))
                .hint("nobody can tell which one is meant", "无法判断以哪一个为准")),
        }
    }

    /// An id: a string, or an integer literal taken digit for digit, because ids exceed 2^53.
    /// Absent when it is not there, `null` or empty.
    pub(super) fn id(&self, key: &str) -> Result<Option<String>, Error> {
        let Some(Json(json)) = self.value(key) else {
            return Ok(None);
        };
        let is_id = json.starts_with('"') || json.bytes().all(|byte| byte.is_ascii_digit());
        let text = fields::text(Some(Json(json))).filter(|_| is_id);
        let text = text.ok_or_else(|| must_be(key, "a string or an integer"))?;
        plain_id(key, &text)?;
        Ok(Some(text.into_owned()).filter(|text| !text.is_empty()))
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<String>, Error> {
        match self.value(key) {
            None => Ok(None),
            Some(Json(json)) if json.starts_with(|first| matches!(first, '-' | '0'..='9')) => {
                Err(must_be(key, "a string, not a number").hint(
                    format!("write it in quotes: \"{json}\""),
                    format!("请加上引号：\"{json}\""),
                ))
            }
            Some(Json(json)) => serde_json::from_str(json).map_err(|_| must_be(key, "a string")),
        }
    }

    pub(super) fn boolean(&self, key: &str) -> Result<bool, Error> {
        let json = self.value(key).map_or("false", |Json(json)| json);
        serde_json::from_str(json).map_err(|_| must_be(key, "true or false"))
    }

    /// Writes the value of a key that Coze knows as Coze wants it, unless it is absent.
    pub(super) fn forward(&self, key: &str, body: &mut Object) -> Result<(), Error> {
        // A program that found no parameters writes `null`; the run would be paid for without them.
        let value = if key == "parameters" {
            self.value_or_null(key)
        } else {
            self.value(key)
        };
        let Some(Json(json)) = value else {
            return Ok(());
        };
        let is_object = |json: &str| fields::object::<IgnoredAny>(json).is_some();
        let text = match key {
            "bot_id" | "app_id" | "connector_id" => self.id(key)?,
            "workflow_version" => self.string(key)?,
            "ext" if !json.starts_with('{') => {
                return Err(must_be(key, "an object")
                    .hint(r#"such as {"user_id":"…"}"#, r#"例如 {"user_id":"…"}"#));
            }
            "parameters" if !json.starts_with('{') && !is_object(&fields::unwrapped(json)) => {
                return Err(must_be(key, "an object, or the text of one")
                    .hint(r#"such as {"city":"北京"}"#, r#"例如 {"city":"北京"}"#));
            }
            _ => {
                body.push(key, json);
                None
            }
        };
        if let Some(text) = text {
            body.push(key, &quoted(&text));
        }
        Ok(())
    }
}

fn must_be(key: &str, what: &str) -> Error {
    Error::usage(format!("{key} must be {what}"))
}

/// More than any id has. A path that is too long can't be called.
const LONGEST_ID: usize = 256;

/// Ids become parts of a path and are shown to a terminal. One such as `7xxx` is an example's.
pub(super) fn plain_id(key: &str, id: &str) -> Result<(), Error> {
    let unknown = id.trim_start_matches(|char: char| char.is_ascii_digit());
    if unknown.len() > 2 && unknown.trim_matches(['x', 'X', '*']).is_empty() {
        return Err(Error::usage(format!("{key} {id} is a placeholder"))
            .hint("put the id itself in its place", "请换成真正的 ID"));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if id.len() <= LONGEST_ID && id.bytes().all(is_plain) {
        return Ok(());
    }
    let message = format!("{key} may hold only letters, digits, _ and -, {LONGEST_ID} at most");
    Err(Error::usage(message))
}
