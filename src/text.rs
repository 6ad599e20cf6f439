//! Text as it is inside a JSON string, escapes and all: it comes in JSON and leaves in JSON, so
//! megabytes pass through without being unescaped and escaped again. Made plain only for those who
//! ask for plain text (`-r`, `-o`).

use std::borrow::Cow;
use std::ops::Range;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A text, kept as a JSON string.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// Up to its end, a JSON string with both quotes, always valid.
    buffer: String,
    /// Where it begins.
    start: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self::from_valid("\"\"".to_owned())
    }
}

impl Text {
    pub(crate) fn from_plain(plain: &str) -> Self {
        Self::from_valid(serde_json::to_string(plain).expect("every text is a JSON string"))
    }

    /// The text of a JSON string; nothing for one with a lone surrogate, and for other values.
    pub(crate) fn from_json(json: &str) -> Option<Self> {
        let is_text = serde_json::from_str::<Cow<'_, str>>(json).is_ok();
        is_text.then(|| Self::from_valid(json.to_owned()))
    }

    fn from_valid(buffer: String) -> Self {
        Self { buffer, start: 0 }
    }

    /// Appends the text of a JSON string, which must have one.
    pub(crate) fn push_json(&mut self, json: &str) {
        self.buffer.pop();
        self.buffer.push_str(&json[1..]);
    }

    /// The text of a JSON string, which must have one, at this place of a buffer. It takes the
    /// buffer: megabytes are not copied.
    pub(crate) fn in_place(mut buffer: String, Range { start, end }: Range<usize>) -> Self {
        buffer.truncate(end);
        Self { buffer, start }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The length as JSON, in bytes: no less than that of the plain text.
    pub(crate) fn len(&self) -> usize {
        self.json().len() - 2
    }

    /// The text between two places, each of which was once its `len`.
    pub(crate) fn slice(&self, from: usize, to: usize) -> Self {
        Self::from_valid(format!("\"{}\"", &self.json()[from + 1..=to]))
    }

    /// With its quotes.
    pub(crate) fn json(&self) -> &str {
        &self.buffer[self.start..]
    }

    pub(crate) fn plain(&self) -> Cow<'_, str> {
        let json = self.json();
        let inner = &json[1..json.len() - 1];
        if !inner.contains('\\') {
            return Cow::Borrowed(inner);
        }
        Cow::Owned(serde_json::from_str(json).expect("always valid"))
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.json() == other.json()
    }
}

impl Eq for Text {}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(self.json()).expect("always valid");
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_json(json.get()).ok_or_else(|| D::Error::custom("not a text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_as_they_are_and_read_as_one_text() {
        let mut text = Text::default();
        for piece in [r#""a\n""#, r#""\u4f60\/""#, r#""""#, r#""\ud83d\ude00""#] {
            text.push_json(piece);
        }
        assert_eq!(text.plain(), "a\n你/😀");
        assert_eq!(
            serde_json::to_string(&text).unwrap(),
            r#""a\n\u4f60\/\ud83d\ude00""#
        );
    }

    #[test]
    fn a_lone_surrogate_has_no_text() {
        assert_eq!(Text::from_json(r#""\ud83d""#), None);
        assert_eq!(Text::from_json("7"), None);
        let pair = Text::from_json(r#""\ud83d\ude00""#).unwrap();
        assert_eq!(pair.plain(), "😀");
    }

    #[test]
    fn a_text_may_stay_where_it_is() {
        let buffer = r#"{"content":"a\n"}"#.to_owned();
        assert_eq!(Text::in_place(buffer, 11..16), Text::from_plain("a\n"));
    }

    #[test]
    fn parts_are_found_again() {
        let mut text = Text::from_plain("a\"");
        let from = text.len();
        text.push_json(Text::from_plain("b\\").json());
        assert_eq!(text.slice(from, text.len()).plain(), "b\\");
        assert_eq!(text.plain(), "a\"b\\");
        assert!(Text::default().is_empty());
    }
}
