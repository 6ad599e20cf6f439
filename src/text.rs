//! Text as it stands inside a JSON string, escapes and all: it comes in JSON and leaves in JSON, so
//! megabytes pass through without being unescaped and escaped again. Made plain only for those who
//! ask for plain text (`-r`, `-o`).

use std::borrow::Cow;
use std::ops::Range;

use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A text, kept as a JSON string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    /// With both quotes, always valid.
    json: String,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            json: "\"\"".to_owned(),
        }
    }
}

impl Text {
    pub(crate) fn from_plain(plain: &str) -> Self {
        Self {
            json: serde_json::to_string(plain).expect("every text is a JSON string"),
        }
    }

    /// Appends the text of a JSON string. With a lone surrogate it has no text: nothing is appended
    /// then, and it is false.
    ///
    /// `json` must be a string as a JSON parser accepts it, with its quotes.
    pub(crate) fn push_json(&mut self, json: &str) -> bool {
        let is_text = is_text(json);
        if is_text {
            self.json.pop();
            self.json.push_str(&json[1..]);
        }
        is_text
    }

    /// Takes the text of a JSON string, at this place of a buffer, and the buffer with it: megabytes
    /// are not copied. Nothing when it has no text.
    pub(crate) fn in_place(mut buffer: String, place: Range<usize>) -> Option<Self> {
        if !is_text(&buffer[place.clone()]) {
            return None;
        }
        buffer.truncate(place.end);
        buffer.drain(..place.start);
        Some(Self { json: buffer })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The length as JSON, in bytes: no less than that of the plain text.
    pub(crate) fn len(&self) -> usize {
        self.json.len() - 2
    }

    /// The text between two places, each of which was once its `len`.
    pub(crate) fn slice(&self, from: usize, to: usize) -> Self {
        Self {
            json: format!("\"{}\"", &self.json[from + 1..=to]),
        }
    }

    /// With its quotes.
    pub(crate) fn json(&self) -> &str {
        &self.json
    }

    pub(crate) fn append(&mut self, other: &Self) {
        self.json.pop();
        self.json.push_str(&other.json[1..]);
    }

    pub(crate) fn plain(&self) -> Cow<'_, str> {
        let inner = &self.json[1..self.json.len() - 1];
        match inner.contains('\\') {
            false => Cow::Borrowed(inner),
            true => Cow::Owned(serde_json::from_str(&self.json).expect("always valid")),
        }
    }
}

/// Of a JSON string's `\u` only the syntax was looked at so far, not what it stands for.
fn is_text(json: &str) -> bool {
    !json.contains("\\u") || serde_json::from_str::<String>(json).is_ok()
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.json).expect("always valid");
        raw.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_as_they_are_and_read_as_one_text() {
        let mut text = Text::default();
        for piece in [r#""a\n""#, r#""\u4f60\/""#, r#""""#, r#""\ud83d\ude00""#] {
            assert!(text.push_json(piece));
        }
        assert_eq!(text.plain(), "a\n你/😀");
        assert_eq!(
            serde_json::to_string(&text).unwrap(),
            r#""a\n\u4f60\/\ud83d\ude00""#
        );
    }

    #[test]
    fn a_lone_surrogate_is_refused_and_leaves_the_text_as_it_was() {
        let mut text = Text::from_plain("x");
        assert!(!text.push_json(r#""\ud83d""#));
        assert_eq!(text, Text::from_plain("x"));
    }

    #[test]
    fn parts_are_found_again() {
        let mut text = Text::from_plain("a\"");
        let from = text.len();
        text.append(&Text::from_plain("b\\"));
        assert_eq!(text.slice(from, text.len()).plain(), "b\\");
        assert_eq!(text.plain(), "a\"b\\");
        assert!(Text::default().is_empty());
    }
}
