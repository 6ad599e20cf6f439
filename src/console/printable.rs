//! Text for a terminal: nothing in it commands the terminal, and JSON is laid out for the eye. Gives
//! text, prints nothing.

use serde_json::value::RawValue;

use crate::coze::fields;
use crate::input::object::quoted;

/// On one line.
pub(super) fn line(text: &str) -> String {
    escape(text, "", plain)
}

/// On as many lines as it has.
pub(super) fn text(text: &str) -> String {
    escape(&text.replace("\r\n", "\n"), "\n\t", plain)
}

/// JSON, which is the same JSON afterwards: outside its strings it has none but line breaks.
pub(super) fn json(json: &str) -> String {
    escape(json, "\n\t\r", |char| format!("\\u{:04x}", u32::from(char)))
}

fn plain(char: char) -> String {
    char.escape_default().to_string()
}

/// `kept`: control characters that may stay.
fn escape(text: &str, kept: &str, escaped: fn(char) -> String) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        // Bidirectional overrides would show other words than there are.
        let is_override = matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if is_override || char.is_control() && !kept.contains(char) {
            safe.push_str(&escaped(char));
        } else {
            safe.push(char);
        }
    }
    safe
}

/// One more line, after its break; an empty one is none. Not a part of each of the many places that
/// call it: 2 KB less.
#[inline(never)]
pub(super) fn add_line(lines: &mut String, line: &str) {
    if !line.is_empty() {
        lines.extend(["\n", line]);
    }
}

/// So many of its letters, and whether it goes on.
pub(super) fn begin(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => text[..end].to_owned() + "…",
        None => text.to_owned(),
    }
}

/// An object or array with one value a line, each value as it was written; nothing for any other text.
pub(super) fn layout(text: &str) -> Option<String> {
    let json: &RawValue = serde_json::from_str(text).ok()?;
    let mut page = String::new();
    add_laid_out(&mut page, json.get(), "\n");
    json.get().starts_with(['{', '[']).then_some(page)
}

/// What is deeper stays as it was written: blanks before it would fill the memory.
const DEEPEST: usize = 50;

/// `line`: the break before a closing bracket and the blanks that go before it, two for each level, so
/// that its length tells how deep this is.
fn add_laid_out(page: &mut String, json: &str, line: &str) {
    let Some(members) = fields::members(json).filter(|_| line.len() <= 2 * DEEPEST) else {
        return page.push_str(json);
    };
    let inner = format!("{line}  ");
    page.push_str(&json[..1]);
    for (n, (name, value)) in members.iter().enumerate() {
        page.push_str(if n > 0 { "," } else { "" });
        page.push_str(&inner);
        if let Some(name) = name {
            page.push_str(&(quoted(name) + ": "));
        }
        add_laid_out(page, value.get(), &inner);
    }
    page.push_str(if members.is_empty() { "" } else { line });
    page.push_str(&json[json.len() - 1..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            line("a\u{1b}[2J\nb\u{9b}\u{7f}你"),
            "a\\u{1b}[2J\\nb\\u{9b}\\u{7f}你"
        );
        assert_eq!(line("a\u{202e}b"), "a\\u{202e}b");
    }

    #[test]
    fn a_text_keeps_its_lines_and_a_line_break_of_windows_is_one() {
        assert_eq!(text("a\r\nb\tc\rd\u{1b}"), "a\nb\tc\\rd\\u{1b}");
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let value = "a\u{9b}\u{7f}\u{2066}\u{202e}你";
        let written = serde_json::to_string(value).unwrap();
        assert_eq!(json(&written), r#""a\u009b\u007f\u2066\u202e你""#);
        let again: String = serde_json::from_str(&json(&written)).unwrap();
        assert_eq!(again, value);
    }

    #[test]
    fn what_is_very_deep_is_not_laid_out_to_its_end() {
        let deep = "[".repeat(20_000) + &"]".repeat(20_000);
        assert!(layout(&deep).unwrap().len() < 100_000);
    }

    #[test]
    fn json_is_laid_out_one_value_a_line_and_not_altered() {
        let laid_out = layout(r#" {"b":1.50,"a":[ ],"c":{"\"{,":[true,{}]},"d":"x, \\"} "#);
        let expected = r#"{
  "b": 1.50,
  "a": [],
  "c": {
    "\"{,": [
      true,
      {}
    ]
  },
  "d": "x, \\"
}"#;
        assert_eq!(laid_out.as_deref().map(str::trim), Some(expected));
        for none in ["", "text", "7", "\"a\"", "{", "[1,]", "{} {}"] {
            assert_eq!(layout(none), None, "{none}");
        }
    }
}
