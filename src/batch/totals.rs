//! What many requests came to: how many ended in which way, and the one exit code of all. Knows no
//! single request.

use std::collections::BTreeMap;

use crate::error::Kind;

/// How many requests ended in which way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) succeeded: u64,
    /// By the exit code of their kind.
    others: BTreeMap<u8, u64>,
    /// Some request started a run, or may have.
    has_started: bool,
    /// A response, the output file or the journal could not be written.
    has_lost: bool,
}

impl Totals {
    /// One more request. `starts`: it is a run or an answer, and not one that is only watched.
    pub(crate) fn count(&mut self, kind: Option<Kind>, starts: bool) {
        match kind {
            None => self.succeeded += 1,
            Some(kind) => *self.others.entry(kind.exit_code()).or_default() += 1,
        }
        self.has_started |= starts && !kind.is_some_and(is_not_started);
        self.has_lost |= kind == Some(Kind::Io);
    }

    /// Its response could not be written.
    pub(crate) fn lost(&mut self) {
        self.has_lost = true;
    }

    pub(crate) fn of(&self, kind: Kind) -> u64 {
        let count = self.others.get(&kind.exit_code());
        count.copied().unwrap_or_default()
    }

    pub(crate) fn all(&self) -> u64 {
        self.succeeded + self.others.values().sum::<u64>()
    }

    /// The exit code of all. A single request has its own. Of several, none that says "not started"
    /// is given for a whole that started something, so that no caller repeats what was paid for; with
    /// a journal, or when nothing was started, the whole may be repeated for nothing, and does so
    /// until no run is left that goes on or was not reached.
    pub(crate) fn exit_code(&self, has_journal: bool) -> u8 {
        if self.has_lost {
            return Kind::Io.exit_code();
        }
        if self.all() == 1 {
            return self.others.keys().next().copied().unwrap_or(0);
        }
        let may_be_repeated = has_journal || !self.has_started;
        let first: &[Kind] = if may_be_repeated {
            &[Kind::Running, Kind::Unreachable]
        } else {
            &[]
        };
        let gravest = [
            Kind::Unknown,
            Kind::Running,
            Kind::Interrupted,
            Kind::Config,
            Kind::Failed,
            Kind::Refused,
            Kind::Usage,
        ];
        let counted = |kind: Kind| {
            let is_failed = kind == Kind::Failed && !may_be_repeated;
            let others = [Kind::Usage, Kind::Config, Kind::Refused, Kind::Unreachable];
            let as_failed = is_failed && others.iter().any(|&kind| self.of(kind) > 0);
            let is_itself = may_be_repeated || !is_not_started(kind);
            as_failed || is_itself && self.of(kind) > 0
        };
        let order = first.iter().chain(&gravest).copied();
        order
            .into_iter()
            .find(|&kind| counted(kind))
            .map_or(0, Kind::exit_code)
    }
}

/// Whether it says that nothing was started.
fn is_not_started(kind: Kind) -> bool {
    match kind {
        Kind::Usage | Kind::Config | Kind::Refused | Kind::Unreachable => true,
        Kind::Failed | Kind::Running | Kind::Interrupted | Kind::Unknown | Kind::Io => false,
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
        let kinds = [
            Kind::Failed,
            Kind::Usage,
            Kind::Config,
            Kind::Refused,
            Kind::Unreachable,
            Kind::Running,
            Kind::Interrupted,
            Kind::Unknown,
            Kind::Io,
        ];
        kinds.into_iter().find(|kind| kind.exit_code() == code)
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
    fn a_run_that_is_only_watched_starts_nothing() {
        let mut totals = Totals::default();
        totals.count(None, false);
        totals.count(Some(Kind::Refused), true);
        assert_eq!(totals.exit_code(false), 4);
    }
}
