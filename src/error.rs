//! The words every failure is told in: `Kind`, its exit code, and `Local`, a failure that was
//! found before anything was sent. The sentences themselves stand beside the code that finds the
//! fault; this file only carries them. Never prints, never exits.

use crate::language::Language;

/// Why a request did not end in plain success: the word in `error.kind`, one for each exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// The run may have been started and its `execute_id` is unknown, or its text is not whole.
    Unknown,
    /// Standard output, the output file or the journal could not be written.
    Io,
}

impl Kind {
    /// The word that stands in `error.kind`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Config => "config",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Unknown => "unknown",
            Self::Io => "io",
        }
    }

    /// The exit code of a process whose only request ended this way.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Config => 3,
            Self::Refused => 4,
            Self::Unreachable => 5,
            Self::Running => 6,
            Self::Interrupted => 7,
            Self::Unknown => 8,
            Self::Io => 9,
        }
    }
}

/// A failure found on this machine, before anything was sent.
///
/// `message` is one line: lower case, no full stop, naming the thing. `hint` says what to do, in
/// either language: which one is chosen when somebody is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Local {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    pub(crate) hint: Option<Hint>,
}

impl Local {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Usage,
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Config,
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, english: impl Into<String>, chinese: impl Into<String>) -> Self {
        self.hint = Some(Hint {
            english: english.into(),
            chinese: chinese.into(),
        });
        self
    }
}

/// The same in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    english: String,
    chinese: String,
}

impl Hint {
    pub(crate) fn in_language(self, language: Language) -> String {
        language.pick(self.english, self.chinese)
    }
}

/// For tests, which compare whole sentences.
#[cfg(test)]
impl std::fmt::Display for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({})", hint.english),
            None => Ok(()),
        }
    }
}

/// An error and its causes on one line, each cause once: `cannot read x: permission denied`.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !line.ends_with(&cause_text) {
            line.push_str(": ");
            line.push_str(&cause_text);
        }
        next = cause.source();
    }
    line
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
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
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
    use super::*;

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
            assert_eq!((kind.exit_code(), kind.word()), (code, word));
        }
    }

    #[test]
    fn a_local_failure_is_a_sentence_and_what_to_do() {
        let local = Local::usage("unknown option --frob").hint("see --help", "见 --help");
        assert_eq!(local.to_string(), "unknown option --frob (see --help)");
    }

    #[test]
    fn a_cause_that_is_already_said_is_not_said_twice() {
        let error = std::io::Error::other(std::io::Error::other("disk full"));
        assert_eq!(chain(&error), "disk full");
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
