//! Bytes in, in pieces of every size; requests, or what is wrong with them, out.

use super::*;
use crate::error::Hint;
use crate::language::Language;

/// Gives the input in pieces of a few bytes.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(buffer.len()).min(self.0.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

fn read(input: &[u8], piece: usize) -> Vec<Result<String, String>> {
    let mut requests = Requests::new(Drip(input, piece), None, Door::Stream);
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
fn what_lacks_its_double_quotes_is_named() {
    let hint = r#"(names and texts are written in double quotes; in a shell, put the whole in single quotes: '{"a":"b"}', where ' is written '\'', and " in a text \"; in cmd and PowerShell use -w and -p, or a file)"#;
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
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            assert!(
                !std::mem::replace(&mut self.0, true),
                "it would have waited"
            );
            buffer[..2].copy_from_slice(b"{}");
            Ok(2)
        }
    }
    let mut requests = Requests::new(OneThenPanic(false), None, Door::Stream);
    assert_eq!(requests.next(), Some(Ok("{}".to_owned())));
}

#[test]
fn a_bad_line_is_refused_and_reading_goes_on() {
    gives(
        "{\"a\":1,}\n{}\n",
        &[
            Err("line 1, column 8: not valid JSON: key must be a string \
                 (JSON takes no comma before } or ])"),
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
fn after_a_fault_in_an_argument_nothing_is_read() {
    let mut requests = Requests::new(&b"{}\n{\"a\":\"x\n{}\ny\"}"[..], None, Door::Argument);
    assert_eq!(requests.next(), Some(Ok("{}".to_owned())));
    assert!(requests.next().unwrap().is_err());
    assert_eq!(requests.next(), None);
}

#[test]
fn punctuation_of_another_kind_is_named() {
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
                 (it began on an earlier line, so nothing after it is read)"),
        ],
    );
    gives(
        "{\n\"a\": tru\n}\n{}",
        &[Err("line 2, column 8: not valid JSON: expected ident \
               (it began on an earlier line, so nothing after it is read)")],
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
        Err("line 1, column 7: not valid UTF-8 (save it as UTF-8; iconv converts it)".to_owned())
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
    let mut requests = Requests::new(
        io::repeat(b'[').take(3 * REQUEST_LIMIT as u64),
        None,
        Door::Stream,
    );
    let error = requests.next().unwrap().unwrap_err();
    assert!(
        error.message.contains("larger than 20 MiB") || error.message.contains("recursion"),
        "{error}"
    );
    assert_eq!(requests.next(), None);
}

#[test]
fn the_name_of_a_file_comes_before_the_line() {
    let mut requests = Requests::new(&b"{]"[..], Some("a.json".to_owned()), Door::File);
    let error = requests.next().unwrap().unwrap_err();
    assert_eq!(
        error.message,
        "a.json: line 1, column 2: not valid JSON: key must be a string"
    );
}

#[test]
fn a_byte_order_mark_between_values_is_skipped() {
    gives(
        "\u{feff}{}\n\u{feff}{}\u{feff} \u{feff}{}\u{feff}",
        &[Ok("{}"), Ok("{}"), Ok("{}")],
    );
    gives(
        "\u{feff}{]",
        &[Err(
            "line 1, column 2: not valid JSON: key must be a string",
        )],
    );
}

#[test]
fn a_word_that_ends_with_its_line_is_a_fault_of_that_line() {
    gives(
        "{\"a\": tru\n{}",
        &[
            Err("line 1, column 9: not valid JSON: expected ident"),
            Ok("{}"),
        ],
    );
    gives(
        "{\"a\":\"x\r\n{}",
        &[
            Err(
                "line 1, column 8: not valid JSON: EOF while parsing a string \
                 (a line break inside a text is written \\n; jq writes it so)",
            ),
            Ok("{}"),
        ],
    );
}

#[test]
fn a_broken_value_is_answered_before_the_input_goes_on() {
    struct OnceThenPanic(Option<&'static [u8]>);
    impl Read for OnceThenPanic {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let bytes = self.0.take().expect("it would have waited");
            buffer[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        }
    }
    for input in [
        &b"{\"a\":1,}\n"[..],
        b"{\"a\":1,}",
        b"x\n",
        b"{\n\"a\":1,}",
        b"{\n\"a\":tru}",
    ] {
        let mut requests = Requests::new(OnceThenPanic(Some(input)), None, Door::Stream);
        assert!(requests.next().unwrap().is_err());
    }
}

#[test]
fn the_rest_of_a_bad_line_is_no_request_although_reading_it_failed_once() {
    struct FailsOnce(u8);
    impl Read for FailsOnce {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            let bytes = match self.0 {
                1 => &b"{\"a\":1,} "[..],
                2 => return Err(io::Error::other("once")),
                3 => b"{\"workflow_id\":\"7\"}\n",
                _ => b"",
            };
            buffer[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        }
    }
    let mut requests = Requests::new(FailsOnce(0), None, Door::File);
    assert!(requests.next().unwrap().is_err());
    requests.is_followed();
    assert_eq!(requests.next(), None);
}

/// The hint on the first fault, in English and in Chinese, in pieces of any size.
#[track_caller]
fn hints(input: &[u8], english: &str, chinese: &str) {
    for piece in [usize::MAX, 1, 3] {
        let mut requests = Requests::new(Drip(input, piece), None, Door::Stream);
        let error = requests.next().unwrap().unwrap_err();
        for (language, expected) in [(Language::English, english), (Language::Chinese, chinese)] {
            let hint = error.clone().translate(language).hint.clone();
            assert_eq!(hint.as_ref().map(Hint::text), Some(expected), "{error}");
        }
    }
}

#[test]
fn a_trailing_comma_is_named() {
    for input in ["{\"a\":1,}", "{\"a\":[1 , ]}", "[1,]"] {
        hints(
            input.as_bytes(),
            "JSON takes no comma before } or ]",
            "JSON 的 } 或 ] 之前不能有逗号",
        );
    }
}

#[test]
fn what_python_prints_is_named() {
    for word in ["True", "False", "None"] {
        hints(
            format!("{{\"a\":{word}}}").as_bytes(),
            "JSON writes true, false and null; in Python: json.dumps",
            "JSON 写作 true、false、null；在 Python 中请用 json.dumps 生成",
        );
    }
}

#[test]
fn a_place_for_a_value_is_named() {
    hints(
        r#"{"a":…}"#.as_bytes(),
        "put a value in the place of …, or leave out what is optional",
        "请把 … 换成值；选填的可以去掉",
    );
}

#[test]
fn single_quotes_are_named() {
    hints(
        b"{'a':1}",
        r#"names and texts are written in double quotes; in a shell, put the whole in single quotes: '{"a":"b"}', where ' is written '\'', and " in a text \"; in cmd and PowerShell use -w and -p, or a file"#,
        r#"键和字符串要用双引号；在 shell 中，整个请求再用单引号括起：'{"a":"b"}'，其中的 ' 写作 '\''，文本中的 " 写作 \"；在 cmd 和 PowerShell 中请用 -w 和 -p，或写在文件里"#,
    );
    hints(
        br#"{\"a\":1}"#,
        r#"a name takes no backslash before its quotes: a shell has left it there; in a shell, put the whole in single quotes: '{"a":"b"}', where ' is written '\'', and " in a text \"; in cmd and PowerShell use -w and -p, or a file"#,
        r#"键的引号前不能有反斜杠，这是命令行转义留下的；在 shell 中，整个请求再用单引号括起：'{"a":"b"}'，其中的 ' 写作 '\''，文本中的 " 写作 \"；在 cmd 和 PowerShell 中请用 -w 和 -p，或写在文件里"#,
    );
}

#[test]
fn a_mistake_is_named_in_a_value_over_several_lines_too() {
    hints(
        b"{\n\"a\":1,\n}\n{}",
        "JSON takes no comma before } or ]; \
         it began on an earlier line, so nothing after it is read",
        "JSON 的 } 或 ] 之前不能有逗号；它从前面的行开始，因此其后的内容不再读取",
    );
}

#[test]
fn utf_16_is_named_and_ends_the_input() {
    let text = "{\"workflow_id\":\"7\"}\n{}\n";
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
    for input in [
        marked(b"\xff\xfe", &little),
        marked(b"\xfe\xff", &big),
        little,
        big,
    ] {
        hints(
            &input,
            "save it as UTF-8; in PowerShell 5: Out-File -Encoding utf8",
            "请以 UTF-8 编码保存；在 PowerShell 5 中：Out-File -Encoding utf8",
        );
        let items = read(&input, 3);
        assert_eq!(items.len(), 1, "{items:?}");
        let sentence = items[0].as_ref().unwrap_err();
        assert!(sentence.starts_with("line 1, column 1: this is UTF-16, not UTF-8"));
    }
}

#[test]
fn a_nul_inside_a_text_is_not_taken_for_utf_16() {
    gives(
        "{\"a\":\"\0\"}\n{}",
        &[
            Err("line 1, column 7: not valid JSON: control character \
                 (\\u0000-\\u001F) found while parsing a string"),
            Ok("{}"),
        ],
    );
}

#[test]
fn other_encodings_are_to_be_saved_as_utf_8() {
    // 你好 in GBK; 誠, whose second byte is a backslash; a full-width colon.
    for input in [
        &b"{\"a\":\"\xc4\xe3\xba\xc3\"}"[..],
        b"{\"a\":\"\xd5\x5c\"}\n",
        b"{\"a\"\xa3\xba1}",
    ] {
        hints(
            input,
            "save it as UTF-8; iconv converts it",
            "请以 UTF-8 编码保存；可用 iconv -f GBK -t UTF-8 转换",
        );
    }
}

#[test]
fn a_value_over_several_lines_that_is_no_text_ends_the_input() {
    let items = read(b"{\"a\":\"\xff\",\n\"b\":\n{}\n}\n{}", usize::MAX);
    assert_eq!(
        items,
        [Err(
            "line 1, column 7: not valid UTF-8 (save it as UTF-8; iconv converts it; \
             it began on an earlier line, so nothing after it is read)"
                .to_owned()
        )]
    );
}

#[test]
fn an_input_that_fails_is_named_once() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("out of order"))
        }
    }
    for before in ["", "{\"a\":"] {
        let mut requests = Requests::new(before.as_bytes().chain(Fails), None, Door::Stream);
        let error = requests.next().unwrap().unwrap_err();
        assert_eq!(error.message, "cannot read the requests: out of order");
        assert_eq!(requests.next(), None);
    }
}

#[test]
fn an_object_right_after_a_number_or_a_word_is_no_request() {
    let hint = r#"a request is a JSON object (such as {"workflow_id":"…","parameters":{}})"#;
    gives("12{}\n{}", &[Err(hint), Ok("{}")]);
    gives("null{} {}", &[Err(hint)]);
    gives("true {}", &[Err(hint), Ok("{}")]);
}
