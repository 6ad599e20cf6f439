//! What is wrong with a value that is not valid JSON, and which usual mistake that looks like. Reads
//! nothing.

use crate::error::mistake::{self, LINE_BREAK, Mistake, NOT_UTF_8, UTF_16};

/// What is wrong with a value, and which byte of it.
pub(super) struct Fault {
    pub(super) what: String,
    pub(super) place: usize,
    pub(super) mistake: Option<Mistake>,
}

impl Fault {
    /// Of the bytes that serde took the last one is wrong, or the input ended after it. Without an
    /// error of serde's the value is whole, but no text.
    pub(super) fn find(value: &[u8], taken: &[u8], error: Option<&serde_json::Error>) -> Self {
        let fault = |what: &str, place, mistake| Self {
            what: what.to_owned(),
            place,
            mistake,
        };
        let is_utf_16 = value.starts_with(b"\xff\xfe") || value.starts_with(b"\xfe\xff");
        if is_utf_16 || value.iter().take(2).any(|&byte| byte == 0) {
            return fault("this is UTF-16, not UTF-8", 0, Some(UTF_16));
        }
        let valid = str::from_utf8(value).map_or_else(|error| error.valid_up_to(), str::len);
        let Some(error) = error.filter(|_| valid >= taken.len()) else {
            return fault("not valid UTF-8", valid, Some(NOT_UTF_8));
        };
        let sentence = error.to_string();
        let what = sentence.split(" at line ").next().unwrap_or_default();
        let last = taken.len().saturating_sub(1);
        let (what, mistake) = match value[last] {
            b'\n' | b'\r' if what.starts_with("control character") => {
                ("EOF while parsing a string", Some(LINE_BREAK))
            }
            _ if error.is_eof() => (what, None),
            _ => (what, mistake::find(&value[..last], &value[last..])),
        };
        // A line break belongs to the line that it ends.
        let place = last.saturating_sub(usize::from(value[last] == b'\n'));
        fault(&format!("not valid JSON: {what}"), place, mistake)
    }
}
