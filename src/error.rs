//! The one type of error: its kind with the exit code, its message, and a hint in two languages. The
//! sentences are written where the fault is found; this file only carries them. Never prints, never
//! exits.

pub(crate) mod mistake;

use std::borrow::Cow;
use std::mem;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

use crate::language::Language;

/// Why a request did not end in plain success: the word in `error.kind`, one for each exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The run ended in failure.
    Failed,
    /// A bad flag or a bad request; nothing was sent.
    Usage,
    /// No key, an unreadable configuration, a bad URL or CA file; nothing was sent.
    Config,
    /// Coze refused the request; nothing was started.
    Refused,
    /// The request never reached Coze, or its rate limit outlasted the retries; nothing was started.
    Unreachable,
    /// The run goes on and its `execute_id` is known.
    Running,
    /// The run waits for an answer.
    Interrupted,
    /// The run may have been started, and its `execute_id` is unknown or not confirmed; or its text is
    /// not whole.
    Unknown,
    /// Standard output, the output file or the journal could not be written.
    Io,
}

impl Kind {
    /// The word of `error.kind`, for a person.
    pub(crate) fn label(self, language: Language) -> &'static str {
        let (_, english, chinese) = self.exit_code_and_label();
        language.pick(english, chinese)
    }

    /// The exit code of a process whose only request ended this way.
    pub(crate) fn exit_code(self) -> u8 {
        self.exit_code_and_label().0
    }

    fn exit_code_and_label(self) -> (u8, &'static str, &'static str) {
        match self {
            Self::Failed => (1, "failed", "失败"),
            Self::Usage => (2, "usage", "用法有误"),
            Self::Config => (3, "config", "配置有误"),
            Self::Refused => (4, "refused", "被拒绝"),
            Self::Unreachable => (5, "unreachable", "未能送达"),
            Self::Running => (6, "running", "仍在运行"),
            Self::Interrupted => (7, "interrupted", "等待回答"),
            Self::Unknown => (8, "unknown", "情况不明"),
            Self::Io => (9, "io", "无法输出"),
        }
    }
}

/// So many characters of a message are shown on standard error.
const LINE_LIMIT: usize = 500;

/// Why a request did not end in plain success: the response's `error`. Boxed, because all that may fail
/// holds one, and hands it on: the program is 16 KB smaller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Error(Box<Details>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Details {
    pub(crate) kind: Kind,
    /// Coze's own code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<Code>,
    /// Coze's own words, or ours: one line, lower case, no full stop, naming the thing.
    pub(crate) message: String,
    /// What to do about it, when that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<Hint>,
    /// What Coze's support asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) logid: Option<String>,
}

/// A code of the service's: most are numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Code {
    Number(i64),
    Word(String),
}

impl Deref for Error {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl DerefMut for Error {
    fn deref_mut(&mut self) -> &mut Details {
        &mut self.0
    }
}

impl Error {
    /// Not a part of each of the hundred places that call it, as `hint`: 20 KB less.
    #[inline(never)]
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind,
            code: None,
            message: message.into(),
            hint: None,
            logid: None,
        }))
    }

    /// A bad option or request.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Something on this machine is not as it must be.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// Nobody can tell whether a run was started, or what became of it. Also Coze's own words, or none
    /// where it gives no reason: whoever judges them sets the kind.
    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Self::new(Kind::Unknown, message)
    }

    #[inline(never)]
    pub(crate) fn hint(self, english: impl Into<Words>, chinese: impl Into<Words>) -> Self {
        self.with_hint(Some(Hint::new(english, chinese)))
    }

    /// Its code, if that is a number.
    pub(crate) fn number(&self) -> Option<i64> {
        match self.code {
            Some(Code::Number(number)) => Some(number),
            _ => None,
        }
    }

    /// Keeps the hint that it has when there is no other.
    pub(crate) fn with_hint(mut self, hint: Option<Hint>) -> Self {
        self.hint = hint.or(self.hint.take());
        self
    }

    /// The same in other words.
    pub(crate) fn reworded(mut self, kind: Kind, message: String) -> Self {
        self.kind = kind;
        self.message = message;
        self
    }

    /// The same, its hint in that language alone.
    pub(crate) fn translate(mut self, language: Language) -> Self {
        self.hint = self.hint.take().map(|hint| hint.in_language(language));
        self
    }

    /// `kind: words (code 4200; hint)`, for standard error.
    pub(crate) fn line(&self, language: Language) -> String {
        format!("{}: {}", self.kind.label(language), self.advice())
    }

    /// `words (code 4200; hint)`. Of a message with many lines, such as a stack of the service's, the
    /// first one will do: JSON has it whole. Of the hint the English words, which are in the language of
    /// the reader only after `translate`.
    pub(crate) fn advice(&self) -> String {
        let message = self.message.trim();
        let first = message.lines().next().unwrap_or_default();
        let mut line: String = first.chars().take(LINE_LIMIT).collect();
        if line.len() < message.len() {
            line.push('…');
        }
        let code = self.code.as_ref().map(|code| match code {
            Code::Number(number) => format!("code {number}"),
            Code::Word(word) => format!("code {word}"),
        });
        let hint = self.hint.as_ref().map(|hint| hint.english.to_string());
        let asides: Vec<_> = code.into_iter().chain(hint).collect();
        if asides.is_empty() {
            return line;
        }
        format!("{line} ({})", asides.join("; "))
    }
}

type Words = Cow<'static, str>;

/// What to do about an error, in both languages. Which one is shown is chosen where it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(crate) struct Hint {
    english: Words,
    chinese: Words,
}

impl Hint {
    pub(crate) fn new(english: impl Into<Words>, chinese: impl Into<Words>) -> Self {
        Self {
            english: english.into(),
            chinese: chinese.into(),
        }
    }

    pub(crate) fn in_language(self, language: Language) -> Self {
        Self::from(language.pick(self.english, self.chinese).into_owned())
    }

    /// Other words in either language.
    pub(crate) fn map(self, change: impl Fn(&str) -> String) -> Self {
        Self::new(change(&self.english), change(&self.chinese))
    }
}

/// A hint that was read back, or translated, is the same text in either language.
impl From<String> for Hint {
    fn from(text: String) -> Self {
        Self::new(text.clone(), text)
    }
}

impl From<Hint> for String {
    fn from(hint: Hint) -> Self {
        hint.english.into_owned()
    }
}

/// The known word that `word` was most likely meant to be, if any is near enough.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let by_distance = known.iter().map(|known| (distance(word, known), *known));
    let (distance, near) = by_distance.min()?;
    (distance <= 1 + near.len() / 4).then_some(near)
}

/// How many letters must be put in, left out or changed (Levenshtein's distance).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = mem::replace(&mut row[0], i + 1);
        for (j, right) in b.chars().enumerate() {
            let change = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.chars().count()]
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    impl Hint {
        pub(crate) fn text(&self) -> &str {
            &self.english
        }
    }

    /// For tests, which compare whole sentences.
    impl fmt::Display for Error {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.message)?;
            let hint = self.hint.as_ref();
            hint.map_or(Ok(()), |hint| write!(f, " ({})", hint.english))
        }
    }

    #[test]
    fn exit_codes_are_the_table_of_the_readme() {
        let table = [
            (Kind::Failed, 1, "failed"),
            (Kind::Usage, 2, "usage"),
            (Kind::Config, 3, "config"),
            (Kind::Refused, 4, "refused"),
            (Kind::Unreachable, 5, "unreachable"),
            (Kind::Running, 6, "running"),
            (Kind::Interrupted, 7, "interrupted"),
            (Kind::Unknown, 8, "unknown"),
            (Kind::Io, 9, "io"),
        ];
        for (kind, code, word) in table {
            assert_eq!(
                (kind.exit_code(), kind.label(Language::English)),
                (code, word)
            );
        }
    }

    #[test]
    fn an_error_is_a_sentence_and_what_to_do() {
        let error = Error::usage("unknown option --frob").hint("see --help", "见 --help");
        assert_eq!(error.to_string(), "unknown option --frob (see --help)");
    }

    #[test]
    fn the_line_of_a_long_message_is_its_beginning() {
        let line = |message: &str| Error::new(Kind::Failed, message).line(Language::English);
        assert_eq!(line("panic\ngoroutine 1\nmain.go:7"), "failed: panic…");
        let long = "好".repeat(LINE_LIMIT);
        assert_eq!(line(&long), format!("failed: {long}"));
        assert_eq!(line(&(long.clone() + "!")), format!("failed: {long}…"));
    }

    #[test]
    fn a_misspelt_word_is_near_and_another_word_is_not() {
        let known = ["parameters", "bot_id"];
        assert_eq!(nearest("paramaters", &known), Some("parameters"));
        assert_eq!(nearest("parameter", &known), Some("parameters"));
        assert_eq!(nearest("botid", &known), Some("bot_id"));
        assert_eq!(nearest("colour", &known), None);
    }
}
