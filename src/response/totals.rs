//! What many requests came to: how many ended in which way, and the one exit code of all.

use crate::error::Kind::{
    self, Config, Failed, Interrupted, Io, Refused, Running, Unknown, Unreachable, Usage,
};
use crate::language::Language;

/// How many requests ended in which way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// By the exit code of their kind; success is 0.
    counts: [u64; 10],
    /// So many of all were answered from the journal, without a call.
    pub(crate) from_journal: u64,
    /// Some request started a run, or may have.
    has_started: bool,
    /// A response could not be written, whatever its request came to.
    has_lost: bool,
}

/// All kinds, in the order in which they are told.
pub(crate) const TOLD: [Kind; 9] = [
    Failed,
    Refused,
    Unreachable,
    Unknown,
    Interrupted,
    Running,
    Usage,
    Config,
    Io,
];

/// The gravest first.
const GRAVEST: [Kind; 8] = [
    Unknown,
    Running,
    Interrupted,
    Config,
    Failed,
    Refused,
    Usage,
    Unreachable,
];

const NOT_STARTED: [Kind; 4] = [Usage, Config, Refused, Unreachable];

impl Totals {
    /// One more request. `starts`: it is a run or an answer, and not one that is only watched.
    pub(crate) fn count(&mut self, kind: Option<Kind>, starts: bool) {
        self.counts[usize::from(kind.map_or(0, Kind::exit_code))] += 1;
        self.has_started |= starts && !kind.is_some_and(|kind| NOT_STARTED.contains(&kind));
    }

    /// Its response could not be written.
    pub(crate) fn lost(&mut self) {
        self.has_lost = true;
    }

    pub(crate) fn of(&self, kind: Kind) -> u64 {
        self.counts[usize::from(kind.exit_code())]
    }

    pub(crate) fn succeeded(&self) -> u64 {
        self.counts[0]
    }

    pub(crate) fn all(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The exit code of all. A single request has its own. Of several, none that says "not started"
    /// is given for a whole that started something, so that no caller repeats what was paid for; with
    /// a journal, or when nothing was started, the whole may be repeated for nothing, and does so
    /// until no run is left that goes on or was not reached.
    pub(crate) fn exit_code(&self, has_journal: bool) -> u8 {
        // A response, the output file or the journal could not be written.
        if self.has_lost || self.of(Io) > 0 {
            return Io.exit_code();
        }
        let may_repeat = has_journal || !self.has_started;
        let repeated = [Running, Unreachable].into_iter().filter(|_| may_repeat);
        match repeated.chain(GRAVEST).find(|&kind| self.of(kind) > 0) {
            None => 0,
            Some(kind) if NOT_STARTED.contains(&kind) && !may_repeat => Failed.exit_code(),
            Some(kind) => kind.exit_code(),
        }
    }

    /// For the logs of whoever reads no sentences.
    pub(crate) fn json(&self, exit_code: u8) -> String {
        let counts = TOLD.map(|kind| (kind.label(Language::English), self.of(kind)));
        let first = [("requests", self.all()), ("succeeded", self.succeeded())];
        let last = [
            ("journal", self.from_journal),
            ("exit_code", exit_code.into()),
        ];
        let entries = first.into_iter().chain(counts).chain(last);
        let entries = entries.map(|(key, count)| format!("\"{key}\":{count}"));
        format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of runs that ended so, success being 0.
    fn exit_code(codes: &[u8], has_journal: bool) -> u8 {
        let mut totals = Totals::default();
        for &code in codes {
            totals.count(kind(code), true);
        }
        totals.exit_code(has_journal)
    }

    fn kind(code: u8) -> Option<Kind> {
        TOLD.into_iter().find(|kind| kind.exit_code() == code)
    }

    #[test]
    fn a_single_request_has_its_own_exit_code() {
        for code in 0..=9 {
            assert_eq!(exit_code(&[code], false), code);
        }
    }

    #[test]
    fn no_code_that_says_not_started_is_given_when_something_was() {
        for code in [2, 3, 4, 5] {
            assert_eq!(exit_code(&[0, code], false), 1, "{code}");
            assert_eq!(exit_code(&[code, 7], false), 7, "{code}");
            assert_eq!(exit_code(&[0, code], true), code, "{code}");
            assert_eq!(exit_code(&[code, code], false), code, "{code}");
        }
    }

    #[test]
    fn what_can_be_repeated_for_nothing_is_repeated_until_nothing_is_left() {
        assert_eq!(exit_code(&[8, 6, 5, 1], true), 6);
        assert_eq!(exit_code(&[8, 5, 1], true), 5);
        assert_eq!(exit_code(&[5, 4, 2], false), 5);
        assert_eq!(exit_code(&[8, 6, 5, 1], false), 8);
    }

    #[test]
    fn the_gravest_that_remains_is_given() {
        for (codes, gravest) in [
            (&[0, 0][..], 0),
            (&[1, 7, 6, 8], 8),
            (&[1, 7, 6], 6),
            (&[1, 7], 7),
            (&[0, 1], 1),
            (&[9, 8], 9),
        ] {
            assert_eq!(exit_code(codes, false), gravest, "{codes:?}");
        }
        assert_eq!(exit_code(&[3, 1, 4, 2], true), 3);
        assert_eq!(exit_code(&[1, 4, 2], true), 1);
        assert_eq!(exit_code(&[4, 2], true), 4);
    }

    #[test]
    fn all_of_it_is_one_line_of_json() {
        let mut totals = Totals::default();
        for code in 0..=9 {
            totals.count(kind(code), true);
        }
        totals.count(None, true);
        totals.from_journal = 3;
        assert_eq!(
            totals.json(9),
            concat!(
                r#"{"requests":11,"succeeded":2,"failed":1,"refused":1,"unreachable":1,"unknown":1,"#,
                r#""interrupted":1,"running":1,"usage":1,"config":1,"io":1,"journal":3,"exit_code":9}"#
            )
        );
    }

    #[test]
    fn a_run_that_is_only_watched_starts_nothing() {
        let mut totals = Totals::default();
        totals.count(None, false);
        totals.count(Some(Refused), true);
        assert_eq!(totals.exit_code(false), 4);
    }
}
