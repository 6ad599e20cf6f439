//! What came of the cases of a fault matrix, in the scripted world or over sockets.

use std::collections::BTreeMap;
use std::io::{self, Write};

#[derive(Default)]
pub struct Tally {
    pub cases: u64,
    pub posts: u64,
    pub polls: u64,
    pub faults: Vec<String>,
    by_kind: BTreeMap<String, u64>,
}

impl Tally {
    /// One more case, which ended so.
    pub fn count(&mut self, kind: &str) {
        self.cases += 1;
        *self.by_kind.entry(kind.to_owned()).or_default() += 1;
    }

    pub fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.posts += other.posts;
        self.polls += other.polls;
        for (kind, count) in other.by_kind {
            *self.by_kind.entry(kind).or_default() += count;
        }
        self.faults.extend(other.faults);
    }

    /// Says what came of all, to standard error itself, so that it is seen, and fails on any fault.
    #[track_caller]
    pub fn finish(self, what: &str) {
        let Self {
            cases,
            posts,
            polls,
            faults,
            by_kind,
        } = self;
        let kinds: Vec<_> = by_kind
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        let kinds = kinds.join(", ");
        let line = format!("matrix, {what}: {cases} cases, {posts} POSTs, {polls} polls: {kinds}");
        let _ = writeln!(io::stderr(), "{line}");
        let some = faults[..faults.len().min(20)].join("\n");
        let count = faults.len();
        assert!(count == 0, "{count} cases went wrong:\n{some}");
        // Each case is one POST.
        assert_eq!(cases, posts);
        assert!(cases > 0);
    }
}
