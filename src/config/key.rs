//! The API key: what is taken off around it, what counts as not configured, what no key can hold, and
//! where it is masked. No message repeats the key.

use std::fmt;

use crate::error::Error;

use super::file;
use super::{Found, Search, Sources};

/// A key as it goes into the `Authorization` header, and nowhere else: printable ASCII, no space.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// `None` is a placeholder; an error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, String> {
        let text = bare(text);
        if is_placeholder(text) {
            return Ok(None);
        }
        let fault = text.chars().find_map(fault);
        fault.map_or_else(|| Ok(Some(Self(text.to_owned()))), Err)
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The text without the key, whether it is quoted as it is or escaped in JSON. One of fewer
    /// characters than eight is left: it would be found inside words, and no real key is so short.
    pub(crate) fn mask(&self, text: &str) -> String {
        if self.0.len() < 8 {
            return text.to_owned();
        }
        let mut masked = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(place) = rest.find(['\\', char::from(self.0.as_bytes()[0])]) {
            let (before, found) = rest.split_at(place);
            let after = found.strip_prefix(&self.0);
            let after = after.or_else(|| after_escaped(found, &self.0));
            let (shown, after) = after.map_or(found.split_at(1), |after| ("***", after));
            masked.extend([before, shown]);
            rest = after;
        }
        masked + rest
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

pub(super) const KEY_FILE: &str = "COZE_API_KEY_FILE";

/// The first key that is configured, or the error that names every place that was looked at.
pub(super) fn find(sources: &Sources<'_>) -> Search<Key> {
    let mut looked_at = Vec::new();
    for Found { mut value, source } in sources.places(&file::API_KEY) {
        // It holds the key alone, and is not read before it is needed. No message repeats its name,
        // which may be the key itself.
        let path = sources.env.path(KEY_FILE);
        if let Some(path) = path.filter(|_| source == KEY_FILE) {
            value = Ok(file::read_text("token file", &path, Some(KEY_FILE))?);
        }
        let is_empty = value.as_ref().is_ok_and(|text| text.trim().is_empty());
        let note = match value.map(|text| Key::parse(&text)) {
            Ok(Ok(Some(key))) => return Ok(Found::new(key, source)),
            Ok(Ok(None)) if is_empty => "empty".into(),
            Ok(Ok(None)) => "a placeholder".into(),
            Ok(Err(fault)) => {
                let message = format!("the token in {source} {fault}");
                return Err(Error::config(message).hint(
                    "put the token there alone, copied anew from Coze",
                    "请从扣子重新复制令牌，只填令牌本身",
                ));
            }
            Err(note) => note,
        };
        looked_at.push(format!("{source} ({note})"));
    }
    let message = format!("no token: looked at {}", looked_at.join(", "));
    let file = file::preferred(sources.env).display().to_string();
    Err(Error::config(message).hint(
        format!(r#"set COZE_API_KEY or put {{"api_key": "…"}} in {file}"#),
        format!(r#"请设置 COZE_API_KEY，或把 {{"api_key": "…"}} 写入 {file}"#),
    ))
}

/// Why no key can hold this character; what follows the words `the token in PLACE`.
fn fault(c: char) -> Option<String> {
    let named = |what| format!("has a {what}, {c:?} (U+{:04X})", u32::from(c));
    let said = |what: &str| Some(what.to_owned());
    match c {
        _ if c.is_control() => said("has a line break or another control character inside"),
        _ if c.is_whitespace() => said("has a space inside"),
        _ if is_typographic_quote(c) => Some(named("typographic quote")),
        char::REPLACEMENT_CHARACTER => said("is not UTF-8"),
        _ if c.is_ascii() => None,
        _ => Some(named("character outside ASCII")),
    }
}

/// What is in a field until somebody fills it in: `pat_xxx`, `7xxx`, `your…`, `<…>`, or an
/// instruction in Chinese. Another text outside ASCII is a mistake, and reported.
pub(super) fn is_placeholder(text: &str) -> bool {
    const INSTRUCTIONS: &str = "你的 您的 请 填 替换 在此 此处 令牌 密钥 地址";
    let text = text.trim_matches(|c: char| c.is_whitespace() || is_typographic_quote(c));
    let lower = text.to_ascii_lowercase();
    let is_crossed_out = |rest: &str| rest.trim_matches(['x', '*', '.', '…', '·']).is_empty();
    let service_token = || lower.strip_prefix("sat_");
    let without_prefix = lower.strip_prefix("pat_").or_else(service_token);
    let without_digits = lower.trim_start_matches(|c: char| c.is_ascii_digit());
    text.is_empty()
        || lower.starts_with("your")
        || lower.starts_with('<')
        || without_prefix.is_some_and(is_crossed_out)
        || without_digits.len() < lower.len()
            && without_digits.starts_with("xx")
            && is_crossed_out(without_digits)
        || INSTRUCTIONS.split(' ').any(|word| text.contains(word))
}

/// The key without what was copied along with it: white space, quotes around it, `Bearer`.
fn bare(mut text: &str) -> &str {
    loop {
        text = text.trim();
        let inside = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
        let unquoted = ['"', '\'', '`'].into_iter().find_map(inside);
        let (scheme, rest) = text.split_at_checked(6).unwrap_or_default();
        let is_a_word = rest.is_empty() || rest.starts_with(char::is_whitespace);
        let without_scheme = (is_a_word && scheme.eq_ignore_ascii_case("bearer")).then_some(rest);
        let Some(inner) = unquoted.or(without_scheme) else {
            return text;
        };
        text = inner;
    }
}

fn is_typographic_quote(c: char) -> bool {
    matches!(c, '\u{2018}'..='\u{201f}') || "«»‹›「」『』＂＇".contains(c)
}

/// What follows the key at the beginning of `text`, each of its characters as it is or escaped as
/// JSON allows.
fn after_escaped<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    key.chars().try_fold(text, |rest, wanted| {
        let Some(escape) = rest.strip_prefix('\\') else {
            return rest.strip_prefix(wanted);
        };
        match escape.strip_prefix('u') {
            Some(digits) => {
                let (code, rest) = digits.split_at_checked(4)?;
                let is_wanted = u32::from_str_radix(code, 16) == Ok(wanted.into());
                is_wanted.then_some(rest)
            }
            None if matches!(wanted, '"' | '\\' | '/') => escape.strip_prefix(wanted),
            None => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::cli::Options;

    use super::super::env::Env;
    use super::*;

    impl Key {
        pub(in crate::config) fn scripted(text: &str) -> Self {
            Self(text.to_owned())
        }
    }

    #[track_caller]
    fn key(text: &str) -> Key {
        Key::parse(text).unwrap().expect("no placeholder")
    }

    #[track_caller]
    fn is_key(text: &str, expected: &str) {
        assert_eq!(key(text).expose(), expected, "{text:?}");
    }

    #[test]
    fn what_was_copied_along_with_the_key_is_taken_off() {
        for text in [
            " pat_123\r\n",
            "\"pat_123\"",
            "' pat_123 '",
            "`pat_123`",
            "Bearer pat_123",
            "bearer\tpat_123",
            "\"Bearer pat_123\"",
            "Bearer 'pat_123'",
            "\u{a0}pat_123\u{3000}",
        ] {
            is_key(text, "pat_123");
        }
        is_key("\"pat_123", "\"pat_123");
        is_key("bearerpat_123", "bearerpat_123");
    }

    #[test]
    fn the_shape_of_a_key_is_not_judged() {
        for text in ["pat_xxy", "sat_1", "xxx", "openclaw:secret/7", "7xy", "7"] {
            is_key(text, text);
        }
    }

    #[test]
    fn a_placeholder_is_no_key() {
        for text in [
            "",
            " \n",
            "''",
            "Bearer ",
            "pat_xxx",
            "PAT_XXXXXXXX",
            "pat_",
            "pat_…",
            "pat_***",
            "sat_xxx",
            "Bearer pat_xxx",
            "\"pat_xxx\"",
            "“pat_xxx”",
            "7xxx",
            "73xxxxxx",
            "your_api_key",
            "YOUR-KEY",
            "<api key>",
            "你的扣子api key",
            "“你的扣子api key”",
            "pat_您的令牌",
            "请填写",
        ] {
            assert_eq!(Key::parse(text), Ok(None), "{text:?}");
        }
    }

    #[test]
    fn what_no_key_can_hold_is_said_by_name() {
        let table = [
            (
                "pat_1\npat_2",
                "has a line break or another control character inside",
            ),
            ("pat_1 pat_2", "has a space inside"),
            ("pat_1\u{a0}2", "has a space inside"),
            ("“pat_1”", "has a typographic quote, '“' (U+201C)"),
            ("pat_1’2", "has a typographic quote, '’' (U+2019)"),
            ("「pat_1」", "has a typographic quote, '「' (U+300C)"),
            ("p\u{430}t_1", "has a character outside ASCII, 'а' (U+0430)"),
            ("ｐat_1", "has a character outside ASCII, 'ｐ' (U+FF50)"),
            (
                "pat_1\u{200b}",
                "has a character outside ASCII, '\\u{200b}' (U+200B)",
            ),
            ("pat_\u{fffd}", "is not UTF-8"),
        ];
        for (text, fault) in table {
            let sources = Sources {
                options: &Options::default(),
                env: &Env::scripted(&[("COZE_API_KEY", text)]),
                files: Vec::new(),
            };
            let error = find(&sources).err().expect("no key");
            let sentence = format!(
                "the token in COZE_API_KEY {fault} (put the token there alone, copied anew from Coze)"
            );
            assert_eq!(error.to_string(), sentence, "{text:?}");
        }
    }

    #[test]
    fn a_key_is_masked_where_it_is_quoted_unless_it_is_too_short_to_be_distinguished_from_a_word() {
        let masked = key("pat_1234").mask("token pat_1234: no (pat_1234)");
        assert_eq!(masked, "token ***: no (***)");
        assert_eq!(key("token").mask("bad token"), "bad token");
    }

    #[test]
    fn a_key_is_masked_where_it_is_escaped_in_json() {
        let key = key(r#"a/b"c\d<e&"#);
        for quoted in [
            r#"a/b"c\d<e&"#,
            r#"a/b\"c\\d<e&"#,
            r#"a\/b\"c\\d\u003ce\u0026"#,
            r"a/b\u0022c\u005Cd\u003Ce&",
            r"\u0061\u002fb\u0022c\u005cd<e&",
        ] {
            let text = format!("“{quoted}”{quoted}");
            assert_eq!(key.mask(&text), "“***”***", "{quoted}");
        }
        for other in [
            r#"a\/b\"c\\d\u003ce"#,
            r#"a\/b\"c\\d\u003de&"#,
            r"a\u00",
            r"a\u中文字",
        ] {
            assert_eq!(key.mask(other), other);
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = key("pat_1234");
        assert_eq!(format!("{key:?}"), "(redacted)");
    }
}
