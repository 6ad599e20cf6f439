//! The usual mistakes in JSON that people write by hand: which one a fault looks like, and what to do
//! about it. Never repeats the text, which may be a secret; where it is wrong, its reader says.

/// What to do about a mistake, in English and in Chinese.
pub(crate) type Mistake = (&'static str, &'static str);

/// By what was found where a name or a value should begin.
pub(crate) fn find(before: &[u8], found: &[u8]) -> Option<Mistake> {
    let word = found.split(|byte| !byte.is_ascii_alphabetic()).next()?;
    match found.utf8_chunks().next()?.valid().chars().next()? {
        '…' => Some(PLACEHOLDER),
        '}' | ']' if before.trim_ascii_end().ends_with(b",") => Some(TRAILING_COMMA),
        '“' | '”' | '‘' | '’' | '＂' | '：' | '，' | '｛' | '｝' | '［' | '］' | '\u{3000}' => {
            Some(OTHER_PUNCTUATION)
        }
        '/' | '#' => Some(COMMENT),
        _ if matches!(word, b"True" | b"False" | b"None") => Some(PYTHON),
        '\'' => Some(LACKS_QUOTES),
        '\\' => Some(SHELLS_QUOTES),
        'a'..='z' | 'A'..='Z' if before.trim_ascii_start().starts_with(b"{") => Some(LACKS_QUOTES),
        _ => None,
    }
}

/// Where a value is to be put, in what a person is shown.
const PLACEHOLDER: Mistake = (
    "put a value in the place of …, or leave out what is optional",
    "请把 … 换成值；选填的可以去掉",
);
/// Single quotes, or none where a shell has taken them.
pub(crate) const LACKS_QUOTES: Mistake = (
    "names and texts are written in double quotes",
    "键和字符串要用双引号",
);
/// `{\"a\":1}`, for a shell that takes one kind of quotes away and left the backslashes.
pub(crate) const SHELLS_QUOTES: Mistake = (
    "a name takes no backslash before its quotes: a shell has left it there",
    "键的引号前不能有反斜杠，这是命令行转义留下的",
);
/// Those of an input method or a word processor.
const OTHER_PUNCTUATION: Mistake = (
    r#"JSON is written with plain " : , { }, not with curly or full-width ones"#,
    r#"JSON 只用半角的 " : , { }，不能用全角或弯引号"#,
);
/// A comma after the last element.
const TRAILING_COMMA: Mistake = (
    "JSON takes no comma before } or ]",
    "JSON 的 } 或 ] 之前不能有逗号",
);
const COMMENT: Mistake = (
    "JSON has no comments: take it out",
    "JSON 不支持注释，请删除",
);
/// `True`, `False`, `None`: what Python prints of a dictionary.
const PYTHON: Mistake = (
    "JSON writes true, false and null; in Python: json.dumps",
    "JSON 写作 true、false、null；在 Python 中请用 json.dumps 生成",
);
/// A line ends inside a text.
pub(crate) const LINE_BREAK: Mistake = (
    r"a line break inside a text is written \n; jq writes it so",
    r"文本中的换行要写成 \n；用 jq 生成的 JSON 即是如此",
);
pub(crate) const NOT_UTF_8: Mistake = (
    "save it as UTF-8; iconv converts it",
    "请以 UTF-8 编码保存；可用 iconv -f GBK -t UTF-8 转换",
);
pub(crate) const UTF_16: Mistake = (
    "save it as UTF-8; in PowerShell 5: Out-File -Encoding utf8",
    "请以 UTF-8 编码保存；在 PowerShell 5 中：Out-File -Encoding utf8",
);
