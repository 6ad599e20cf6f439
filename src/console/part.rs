//! `-g PATH`: the part of a result at a path such as `data.images.0.url`. A string on the way that
//! holds JSON is read as JSON, as Coze packs results. Gives text or an error, prints nothing.

use super::printable::begin;
use crate::coze::fields::{self, Entries};
use crate::error::{Error, Kind};

/// So many letters are shown of what there is instead.
const SHOWN: usize = 200;

/// The text of a string at `path`, or the JSON of any other value, on one line.
pub(super) fn find(output: &str, path: &str) -> Result<String, Error> {
    let mut value = output.to_owned();
    let mut place = "the result".to_owned();
    // As jq has it, a dot may come first, and alone is all of it.
    let path = path.strip_prefix('.').unwrap_or(path);
    if path.is_empty() {
        return Ok(value);
    }
    // A dot in a key is written `\.`, and no argument holds a zero byte.
    for key in path.replace("\\.", "\0").split('.') {
        let key = key.replace('\0', ".");
        value = step(&value, &key).map_err(|what| {
            let message = format!("there is no {key:?}: {place} is {what}");
            Error::new(Kind::Io, message).hint(
                "a PATH is such as data.images.0.url; the run succeeded: send the response as a request \
                 with another PATH",
                "路径的写法如 data.images.0.url；运行已成功：把响应作为请求传回，并换一个路径",
            )
        })?;
        place = key;
    }
    Ok(value)
}

/// One step down; or what there is instead.
fn step(value: &str, key: &str) -> Result<String, String> {
    if let Ok(packed) = serde_json::from_str::<String>(value) {
        return step(&packed, key);
    }
    let (found, what) = if let Some(entries) = Entries::parse(value) {
        let keys: Vec<_> = entries.keys().collect();
        let what = format!("an object with the keys {}", begin(&keys.join(", "), SHOWN));
        // As everywhere in JSON, the last of two counts.
        let found = entries.iter().rfind(|(name, _)| *name == key);
        (found.map(|(_, value)| value), what)
    } else if let Some(items) = fields::items(value) {
        let place = |place: usize| items.get(place).copied();
        let found = key.parse().ok().and_then(place);
        (found, format!("an array of length {}", items.len()))
    } else {
        (
            None,
            format!("no object or array, but {:?}", begin(value, SHOWN)),
        )
    };
    let found = found.ok_or(what)?;
    // A string's text, or what else it is as JSON.
    Ok(serde_json::from_str(found.get())
        .unwrap_or_else(|_| fields::one_line(found.into()).get().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULT: &str = r#"{"data":"{\"images\":[{\"url\":\"https:\/\/x\/1\"},{\"url\":null}]}",
        "n":12345678901234567890.50,"a.b":{"":[ 1,
        2]},"twice":1,"twice":2,"text":"line\n"}"#;

    #[track_caller]
    fn gives(path: &str, expected: &str) {
        assert_eq!(find(RESULT, path).unwrap(), expected);
    }

    #[test]
    fn a_result_that_is_a_text_of_json_is_read_as_json() {
        assert_eq!(find(r#""{\"a\":1}""#, "a").unwrap(), "1");
        assert_eq!(find(r#"{"a":"\"{\\\"b\\\":2}\""}"#, "a.b").unwrap(), "2");
    }

    #[track_caller]
    fn lacks(output: &str, path: &str, sentence: &str) {
        let error = find(output, path).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (Kind::Io, sentence));
    }

    #[test]
    fn a_path_goes_through_objects_arrays_and_strings_that_hold_json() {
        gives("data.images.0.url", "https://x/1");
        gives("data.images.1.url", "null");
        gives("data", r#"{"images":[{"url":"https://x/1"},{"url":null}]}"#);
        gives("text", "line\n");
    }

    #[test]
    fn a_dot_may_come_first_as_in_jq() {
        gives(".data.images.0.url", "https://x/1");
        gives(".", RESULT);
    }

    #[test]
    fn what_is_no_string_is_its_json_digit_for_digit_on_one_line() {
        gives("n", "12345678901234567890.50");
        gives(r"a\.b", r#"{"":[ 1,         2]}"#);
        gives(r"a\.b..1", "2");
    }

    #[test]
    fn the_last_of_two_keys_counts() {
        gives("twice", "2");
    }

    #[test]
    fn what_is_not_there_is_shown_with_what_is() {
        lacks(
            RESULT,
            "date",
            r#"there is no "date": the result is an object with the keys data, n, a.b, twice, twice, text"#,
        );
        lacks(
            RESULT,
            "data.images.2",
            r#"there is no "2": images is an array of length 2"#,
        );
        lacks(
            RESULT,
            "data.images.x",
            r#"there is no "x": images is an array of length 2"#,
        );
        lacks(
            RESULT,
            "n.x",
            r#"there is no "x": n is no object or array, but "12345678901234567890.50""#,
        );
        lacks(
            RESULT,
            "text.x",
            r#"there is no "x": text is no object or array, but "line\n""#,
        );
        lacks(
            "",
            "x",
            r#"there is no "x": the result is no object or array, but """#,
        );
    }

    #[test]
    fn of_many_keys_some_are_named() {
        let keys: Vec<_> = (0..500).map(|key| format!("\"{key}\":0")).collect();
        let error = find(&format!("{{{}}}", keys.join(",")), "x").unwrap_err();
        assert!(error.message.len() < 300 && error.message.ends_with('…'));
    }
}
