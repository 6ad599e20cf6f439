//! What is wrong with a value that is not valid JSON, and which usual mistake that looks like. Reads
//! nothing.

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
            return fault("not valid UTF-8", valid, Some(ENCODING));
        };
        let sentence = error.to_string();
        let what = sentence.split(" at line ").next().unwrap_or_default();
        let last = taken.len().saturating_sub(1);
        let (what, mistake) = match value[last] {
            b'\n' | b'\r' if what.starts_with("control character") => {
                ("EOF while parsing a string", Some(LINE_BREAK))
            }
            _ if error.is_eof() => (what, None),
            _ => (what, mistake(&value[..last], &value[last..])),
        };
        // A line break belongs to the line that it ends.
        let place = last.saturating_sub(usize::from(value[last] == b'\n'));
        fault(&format!("not valid JSON: {what}"), place, mistake)
    }
}

/// By what was found where a name or a value should begin.
fn mistake(before: &[u8], found: &[u8]) -> Option<Mistake> {
    let word = found.split(|byte| !byte.is_ascii_alphabetic()).next()?;
    match found.utf8_chunks().next()?.valid().chars().next()? {
        '}' | ']' if before.trim_ascii_end().ends_with(b",") => Some(TRAILING_COMMA),
        '“' | '”' | '‘' | '’' | '＂' | '：' | '，' | '｛' | '｝' | '［' | '］' | '\u{3000}' => {
            Some(OTHER_PUNCTUATION)
        }
        _ if matches!(word, b"True" | b"False" | b"None") => Some(PYTHON),
        '\'' => Some(LACKS_QUOTES),
        'a'..='z' | 'A'..='Z' if before.starts_with(b"{") => Some(LACKS_QUOTES),
        _ => None,
    }
}

/// A mistake that people make so often that it can be told from the fault: what to do about it, in
/// English and in Chinese.
pub(super) type Mistake = (&'static str, &'static str);

/// Single quotes, or none where a shell has taken them.
const LACKS_QUOTES: Mistake = (
    r#"names and texts are written in double quotes; in a shell, put the whole in single quotes: '{"a":"b"}'"#,
    r#"键和字符串要用双引号；在 shell 中，整个请求再用单引号括起：'{"a":"b"}'"#,
);
/// Those of an input method or a word processor.
const OTHER_PUNCTUATION: Mistake = (
    r#"JSON is written with plain " : , { }, not with curly or full-width ones"#,
    r#"JSON 只用半角的 " : , { }，不能用全角或弯引号"#,
);
/// A line ends inside a text.
const LINE_BREAK: Mistake = (
    r"a line break inside a text is written \n; jq writes it so",
    r"文本中的换行要写成 \n；用 jq 生成的 JSON 即是如此",
);
/// A comma after the last element.
const TRAILING_COMMA: Mistake = (
    "JSON takes no comma before } or ]",
    "JSON 的 } 或 ] 之前不能有逗号",
);
/// `True`, `False`, `None`: what Python prints of a dictionary.
const PYTHON: Mistake = (
    "JSON writes true, false and null; in Python: json.dumps",
    "JSON 写作 true、false、null；在 Python 中请用 json.dumps 生成",
);
const ENCODING: Mistake = ("save it as UTF-8", "请以 UTF-8 编码保存");
pub(super) const UTF_16: Mistake = (
    "save it as UTF-8; in PowerShell 5: Out-File -Encoding utf8",
    "请以 UTF-8 编码保存；在 PowerShell 5 中：Out-File -Encoding utf8",
);
