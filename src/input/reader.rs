//! Input bytes → the text of one request after another, each as soon as it is complete. Knows where
//! values begin and end and in which line, not what they mean. One serde deserializer per value: a
//! stream of them could not go on after an error.

use std::io::{ErrorKind, Read};

use serde_json::value::RawValue;

use crate::error::Error;

/// The largest request, in bytes: Coze takes no more than 20 MB.
pub(crate) const REQUEST_LIMIT: usize = 20 << 20;

const READ_SIZE: usize = 64 << 10;

/// The requests of one input, one by one.
#[derive(Debug)]
pub(crate) struct Requests<R> {
    input: R,
    /// What the input is called in a sentence; nothing for the only one.
    name: Option<String>,
    buffer: Vec<u8>,
    filled: usize,
    /// Where the unread part begins.
    start: usize,
    /// Of `start`, from 1; a column counts bytes.
    line: usize,
    column: usize,
    at_start: bool,
    /// It is an argument: behind a fault in it nothing is read.
    is_argument: bool,
    over: bool,
}

impl<R: Read> Requests<R> {
    pub(crate) fn new(input: R, name: Option<String>) -> Self {
        Self {
            input,
            name,
            buffer: Vec::new(),
            filled: 0,
            start: 0,
            line: 1,
            column: 1,
            at_start: true,
            is_argument: false,
            over: false,
        }
    }

    /// The input is an argument. It stands for one request, so that no line of a text in it, which
    /// the quoting has let loose, is taken for another.
    pub(crate) fn of_argument(self) -> Self {
        Self {
            is_argument: true,
            ..self
        }
    }

    /// The text of the next request: a JSON object, well formed. An error stands for one request
    /// that can't be one; whether more follow is for the next call to say.
    pub(crate) fn next(&mut self) -> Option<Result<String, Error>> {
        if self.over {
            return None;
        }
        match self.next_value() {
            Ok(value) => value.map(Ok),
            Err(error) => Some(Err(error)),
        }
    }

    fn next_value(&mut self) -> Result<Option<String>, Error> {
        let Some(first) = self.skip_white_space()? else {
            self.over = true;
            return Ok(None);
        };
        let end = self.scan_value(first)?;
        let bytes = &self.buffer[self.start..end];
        let breaks = self.buffer[end..self.filled].starts_with(b"\n");
        let text = match check(bytes, breaks) {
            Ok(text) => text.to_owned(),
            Err(fault) => return Err(self.refuse(&fault)),
        };
        self.advance(end);
        match first {
            _ if text.len() > REQUEST_LIMIT => Err(Error::usage(self.at(TOO_LARGE))),
            b'{' => Ok(Some(text)),
            b'[' => Err(Error::usage(self.at("an array is not a request")).hint(
                "send its elements one by one: jq -c '.[]'",
                "请逐个发送其中的元素：jq -c '.[]'",
            )),
            _ => Err(Error::usage(self.at("a request is a JSON object")).hint(
                r#"such as {"workflow_id":"…","parameters":{}}"#,
                r#"例如 {"workflow_id":"…","parameters":{}}"#,
            )),
        }
    }

    /// Moves to the next byte that is no white space and tells it; nothing at the end.
    fn skip_white_space(&mut self) -> Result<Option<u8>, Error> {
        loop {
            while self.start < self.filled {
                let rest = &self.buffer[self.start..self.filled];
                if std::mem::take(&mut self.at_start) {
                    const BOM: &[u8] = "\u{feff}".as_bytes();
                    if rest.len() < BOM.len() && BOM.starts_with(rest) && self.fill()? {
                        self.at_start = true;
                        continue;
                    }
                    if self.buffer[self.start..self.filled].starts_with(BOM) {
                        self.start += BOM.len();
                        continue;
                    }
                }
                let byte = self.buffer[self.start];
                if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                    return Ok(Some(byte));
                }
                self.advance(self.start + 1);
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Finds the end of the value that begins at `start`, reading on as needed. A line that ends
    /// inside a string, the limit, and the end of the input end a value that is none.
    fn scan_value(&mut self, first: u8) -> Result<usize, Error> {
        let mut length = 0;
        let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
        loop {
            while self.start + length < self.filled {
                let place = self.start + length;
                let byte = self.buffer[place];
                if in_string {
                    match byte {
                        b'\n' => return Ok(place),
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => in_string = false,
                        _ => {}
                    }
                } else {
                    match byte {
                        b'"' => in_string = true,
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth = depth.saturating_sub(1),
                        // A number or a word, or what is none.
                        b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => {
                            return Ok(place);
                        }
                        _ => {}
                    }
                }
                length += 1;
                let closes =
                    matches!(byte, b'}' | b']' | b'"') && matches!(first, b'{' | b'[' | b'"');
                if closes && depth == 0 && !in_string {
                    return Ok(place + 1);
                }
            }
            if length > REQUEST_LIMIT || !self.fill()? {
                return Ok(self.start + length);
            }
        }
    }

    /// Says what is wrong, and goes to where reading can go on: behind the line, when the value
    /// began on the line of the fault. Of a value over several lines nobody can tell where the next
    /// one begins, so it ends the input: a half request must never be sent.
    fn refuse(&mut self, fault: &Fault) -> Error {
        let column = match fault.line {
            1 => self.column + fault.column.saturating_sub(1),
            _ => fault.column,
        };
        let line = self.line + fault.line - 1;
        let place = format!("line {line}, column {column}: {}", fault.what);
        let error = Error::usage(self.at(&place));
        if fault.line > 1 {
            self.over = true;
            return error.hint(
                "it began on an earlier line, so nothing behind it is read",
                "它从前面的行开始，因此其后的内容不再读取",
            );
        }
        if self.is_argument {
            self.over = true;
        } else {
            self.skip_line();
        }
        match fault.mistake.map(Mistake::hint) {
            Some((english, chinese)) => error.hint(english, chinese),
            None => error,
        }
    }

    fn skip_line(&mut self) {
        loop {
            let rest = &self.buffer[self.start..self.filled];
            if let Some(length) = rest.iter().position(|&byte| byte == b'\n') {
                self.advance(self.start + length + 1);
                return;
            }
            self.start = self.filled;
            // A failing input is at its end; the next call will say so.
            if !self.fill().unwrap_or(false) {
                self.over = true;
                return;
            }
        }
    }

    fn at(&self, what: &str) -> String {
        match &self.name {
            Some(name) => format!("{name}: {what}"),
            None => what.to_owned(),
        }
    }

    fn advance(&mut self, to: usize) {
        for &byte in &self.buffer[self.start..to] {
            if byte == b'\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.start = to;
    }

    /// Reads more; false at the end of the input.
    fn fill(&mut self) -> Result<bool, Error> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.filled -= self.start;
            self.start = 0;
        }
        if self.buffer.len() < self.filled + READ_SIZE {
            let length = (self.filled * 2).max(READ_SIZE * 2);
            self.buffer.resize(length, 0);
        }
        loop {
            match self.input.read(&mut self.buffer[self.filled..]) {
                Ok(count) => {
                    self.filled += count;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.over = true;
                    let name = self.name.as_deref().unwrap_or("the requests");
                    return Err(Error::usage(format!("cannot read {name}: {error}")));
                }
            }
        }
    }
}

const TOO_LARGE: &str = "a request is larger than 20 MiB, which Coze does not take";

/// What is wrong with a value, and where in it.
struct Fault {
    what: String,
    line: usize,
    column: usize,
    mistake: Option<Mistake>,
}

/// What people do so often that it can be told from the fault.
#[derive(Clone, Copy)]
enum Mistake {
    /// Single quotes, or none where a shell has taken them.
    LacksQuotes,
    /// Those of an input method or a word processor.
    OtherPunctuation,
    /// A line ends inside a text.
    LineBreak,
    Encoding,
}

impl Mistake {
    /// In English and in Chinese.
    fn hint(self) -> (&'static str, &'static str) {
        match self {
            Self::LacksQuotes => (
                r#"names and texts stand in double quotes; in a shell, the whole in single ones: '{"a":"b"}'"#,
                r#"键和字符串要用双引号；在 shell 中，整个请求再用单引号括起：'{"a":"b"}'"#,
            ),
            Self::OtherPunctuation => (
                r#"JSON is written with plain " : , { }, not with curly or full-width ones"#,
                r#"JSON 只用半角的 " : , { }，不能用全角或弯引号"#,
            ),
            Self::LineBreak => (
                r"a line break inside a text is written \n; jq writes it so",
                r"文本中的换行要写成 \n；用 jq 生成的 JSON 即是如此",
            ),
            Self::Encoding => ("save it as UTF-8", "请以 UTF-8 编码保存"),
        }
    }
}

/// Whether it is one well-formed value. `breaks`: a line ends behind it.
fn check(bytes: &[u8], breaks: bool) -> Result<&str, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line_start = before.iter().rposition(|&byte| byte == b'\n');
        Fault {
            what: "not valid UTF-8".to_owned(),
            line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
            column: before.len() + 1 - line_start.map_or(0, |place| place + 1),
            mistake: Some(Mistake::Encoding),
        }
    })?;
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => Ok(text),
        Err(error) => {
            let too_large = error.is_eof() && text.len() > REQUEST_LIMIT;
            let sentence = error.to_string();
            let what = sentence
                .rsplit_once(" at line ")
                .map_or(&*sentence, |(what, _)| what);
            Err(Fault {
                what: match too_large {
                    true => TOO_LARGE.to_owned(),
                    false => format!("not valid JSON: {what}"),
                },
                line: error.line(),
                column: error.column(),
                mistake: match error.is_eof() {
                    true => breaks.then_some(Mistake::LineBreak),
                    false => mistake(text, &error),
                },
            })
        }
    }
}

/// What stands at the fault where a name or a text should begin.
fn mistake(text: &str, error: &serde_json::Error) -> Option<Mistake> {
    let line = text.lines().nth(error.line().checked_sub(1)?)?;
    let found = line.get(error.column().checked_sub(1)?..)?.chars().next()?;
    match found {
        '“' | '”' | '‘' | '’' | '＂' | '：' | '，' | '｛' | '｝' => {
            Some(Mistake::OtherPunctuation)
        }
        '\'' | 'a'..='z' | 'A'..='Z' if text.starts_with(['{', '\'']) => Some(Mistake::LacksQuotes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives the input in pieces of a few bytes.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(buffer.len()).min(self.0.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn read(input: &[u8], piece: usize) -> Vec<Result<String, String>> {
        let mut requests = Requests::new(Drip(input, piece), None);
        let next = || requests.next();
        std::iter::from_fn(next)
            .map(|item| item.map_err(|error| error.to_string()))
            .collect()
    }

    #[track_caller]
    fn gives(input: &str, expected: &[Result<&str, &str>]) {
        for piece in [usize::MAX, 1, 3] {
            let items = read(input.as_bytes(), piece);
            let items: Vec<_> = items
                .iter()
                .map(|item| item.as_deref().map_err(String::as_str))
                .collect();
            assert_eq!(items, expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn any_white_space_may_separate_requests() {
        gives("", &[]);
        gives(" \n\r\t ", &[]);
        gives(
            "{}{} {}\n\n{\n \"a\": [1, 2]\n}\n",
            &[Ok("{}"), Ok("{}"), Ok("{}"), Ok("{\n \"a\": [1, 2]\n}")],
        );
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        gives("\u{feff}{\"a\":1}", &[Ok("{\"a\":1}")]);
    }

    #[test]
    fn what_lacks_its_double_quotes_is_told_so() {
        let hint = r#"(names and texts stand in double quotes; in a shell, the whole in single ones: '{"a":"b"}')"#;
        for input in ["{'a':1}", "{a:1}", "{\"a\":'b'}", "{\"a\":b}", "'{}'"] {
            let said = read(input.as_bytes(), usize::MAX).remove(0).unwrap_err();
            assert!(said.ends_with(hint), "{input}: {said}");
        }
        for input in ["{\"a\":1,}", "{\"a\":\"b", "{\"a\" \"b\"}", "hello"] {
            let said = read(input.as_bytes(), usize::MAX).remove(0).unwrap_err();
            assert!(!said.ends_with(hint), "{input}: {said}");
        }
    }

    #[test]
    fn braces_and_quotes_inside_strings_are_text() {
        gives(
            r#"{"a":"}\"]{\\"} {}"#,
            &[Ok(r#"{"a":"}\"]{\\"}"#), Ok("{}")],
        );
    }

    #[test]
    fn a_request_is_given_before_the_input_goes_on() {
        struct OneThenPanic(bool);
        impl Read for OneThenPanic {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                assert!(
                    !std::mem::replace(&mut self.0, true),
                    "it would have waited"
                );
                buffer[..2].copy_from_slice(b"{}");
                Ok(2)
            }
        }
        let mut requests = Requests::new(OneThenPanic(false), None);
        assert_eq!(requests.next(), Some(Ok("{}".to_owned())));
    }

    #[test]
    fn a_bad_line_is_refused_and_reading_goes_on() {
        gives(
            "{\"a\":1,}\n{}\n",
            &[
                Err("line 1, column 8: not valid JSON: key must be a string"),
                Ok("{}"),
            ],
        );
        gives(
            "{}\n  {\"a\":\"x\n{}\n",
            &[
                Ok("{}"),
                Err(
                    r"line 2, column 9: not valid JSON: EOF while parsing a string (a line break inside a text is written \n; jq writes it so)",
                ),
                Ok("{}"),
            ],
        );
        gives(
            "hello world {}\n{}",
            &[
                Err("line 1, column 1: not valid JSON: expected value"),
                Ok("{}"),
            ],
        );
        gives(
            "{}}\n{}",
            &[
                Ok("{}"),
                Err("line 1, column 3: not valid JSON: expected value"),
                Ok("{}"),
            ],
        );
    }

    #[test]
    fn behind_a_fault_in_an_argument_nothing_is_read() {
        let mut requests = Requests::new(&b"{}\n{\"a\":\"x\n{}\ny\"}"[..], None).of_argument();
        assert_eq!(requests.next(), Some(Ok("{}".to_owned())));
        assert!(requests.next().unwrap().is_err());
        assert_eq!(requests.next(), None);
    }

    #[test]
    fn punctuation_of_another_kind_is_told_so() {
        for input in ["{“a”:1}", "{\"a\"：1}", "{\"a\":1，\"b\":2}", "｛\"a\":1}"] {
            let said = read(input.as_bytes(), usize::MAX).remove(0).unwrap_err();
            assert!(
                said.ends_with("not with curly or full-width ones)"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_broken_value_over_several_lines_ends_the_input() {
        gives(
            "{}\n{\"a\":1\n{\"b\":2}\n{}\n",
            &[
                Ok("{}"),
                Err("line 3, column 1: not valid JSON: expected `,` or `}` \
                     (it began on an earlier line, so nothing behind it is read)"),
            ],
        );
        gives(
            "{\n\"a\": tru\n}\n{}",
            &[Err("line 3, column 0: not valid JSON: expected ident \
                   (it began on an earlier line, so nothing behind it is read)")],
        );
    }

    #[test]
    fn an_input_that_breaks_off_gives_what_was_whole() {
        gives(
            "{}\n{\"a\":",
            &[
                Ok("{}"),
                Err("line 2, column 5: not valid JSON: EOF while parsing a value"),
            ],
        );
    }

    #[test]
    fn what_is_no_object_is_refused_with_what_to_do() {
        gives(
            "[{},\n{}]\n{}",
            &[
                Err("an array is not a request (send its elements one by one: jq -c '.[]')"),
                Ok("{}"),
            ],
        );
        let hint = r#"a request is a JSON object (such as {"workflow_id":"…","parameters":{}})"#;
        gives(
            "7 \"a b\" null {}",
            &[Err(hint), Err(hint), Err(hint), Ok("{}")],
        );
    }

    #[test]
    fn invalid_utf_8_is_a_bad_line() {
        let items = read(b"{\"a\":\"\xff\"}\n{}", usize::MAX);
        assert_eq!(
            items[0],
            Err("line 1, column 7: not valid UTF-8 (save it as UTF-8)".to_owned())
        );
        assert_eq!(items[1], Ok("{}".to_owned()));
    }

    #[test]
    fn the_limit_is_20_mib_and_one_byte_more_is_refused() {
        let padding = REQUEST_LIMIT - r#"{"a":""}"#.len();
        let exact = format!(r#"{{"a":"{}"}}"#, "x".repeat(padding));
        let items = read(exact.as_bytes(), usize::MAX);
        assert_eq!(items[0].as_ref().map(String::len), Ok(REQUEST_LIMIT));
        let larger = format!("{{\"a\":\"{}\"}}\n{{}}", "x".repeat(padding + 1));
        let items = read(larger.as_bytes(), usize::MAX);
        assert_eq!(items, [Err(TOO_LARGE.to_owned()), Ok("{}".to_owned())]);
    }

    #[test]
    fn an_endless_value_is_given_up_at_the_limit() {
        let mut requests =
            Requests::new(std::io::repeat(b'[').take(3 * REQUEST_LIMIT as u64), None);
        let error = requests.next().unwrap().unwrap_err();
        assert!(
            error.message.contains("larger than 20 MiB") || error.message.contains("recursion"),
            "{error}"
        );
        assert_eq!(requests.next(), None);
    }

    #[test]
    fn the_name_of_a_file_stands_before_the_line() {
        let mut requests = Requests::new(&b"{]"[..], Some("a.json".to_owned()));
        let error = requests.next().unwrap().unwrap_err();
        assert_eq!(
            error.message,
            "a.json: line 1, column 2: not valid JSON: key must be a string"
        );
    }
}
