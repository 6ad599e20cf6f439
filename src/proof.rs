//! What became of a request that starts a run or answers an interrupt: one type, made in one place,
//! from plain evidence. Whoever retries, reports or remembers asks it. To say that nothing was
//! started when something was would be the worst mistake: the run would be started, and paid for,
//! twice. Does no I/O and knows no code: what a code means is its service's to say.

use crate::coze::code::Meaning;

/// What is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The request never left whole, or never arrived: nothing was started.
    NotSent {
        /// The same request may get through a moment later.
        may_pass: bool,
    },
    /// Refused for its rate: nothing was started, and the same request may pass a moment later.
    RateLimited,
    /// The server has no such path: nothing was started.
    NoSuchPath,
    /// Refused: nothing was started, and the same request will be refused again.
    Refused,
    /// It was started, and has ended in failure.
    Failed,
    /// It was started, and goes on.
    Started,
    /// Nobody can tell.
    Unknown,
}

impl Proof {
    /// Whether the same request may be sent once more; to another path where there is none of this.
    pub(crate) fn may_be_sent_again(self) -> bool {
        match self {
            Self::NotSent { may_pass } => may_pass,
            Self::RateLimited | Self::NoSuchPath => true,
            Self::Refused | Self::Failed | Self::Started | Self::Unknown => false,
        }
    }
}

/// What came of sending it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence {
    pub(crate) reply: Reply,
    /// The reply names a run.
    pub(crate) names_run: bool,
    /// The reply speaks of a run, whether or not its id can be made out.
    pub(crate) mentions_run: bool,
    /// The same start was sent before, under the same id, and may yet arrive: whatever is refused now,
    /// only the server's own word on that id may count as "not started".
    pub(crate) may_have_arrived: bool,
}

impl Evidence {
    /// Of a reply that says nothing of a run.
    pub(crate) fn of(reply: Reply) -> Self {
        Self {
            reply,
            names_run: false,
            mentions_run: false,
            may_have_arrived: false,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    /// None, or none to the whole request.
    Nothing {
        /// The request left whole, as far as can be told: a server can't act on less.
        may_have_left: bool,
        /// What kept it from leaving may be gone a moment later.
        may_pass: bool,
    },
    /// An answer that is no stream of events.
    Document {
        has_code: bool,
        status: u16,
        meaning: Meaning,
        /// All of it came.
        is_whole: bool,
        /// Its framing proves that nothing more was to come.
        has_proved_end: bool,
        /// It has the address of a page on a run, which there is only when one was started.
        has_debug_url: bool,
        /// It says that the path is not there, on a server that lacks this one.
        is_of_missing_path: bool,
    },
    /// A stream that ended in an Error event.
    Error {
        meaning: Meaning,
        /// No other event came before it.
        is_first: bool,
        after: After,
    },
    /// A stream that ended, or broke off, without a word on the run's end.
    Broken,
    /// The server knows no run of the id that the start carried.
    Absent {
        /// It has shown that it keeps the ids of starts, and starts none twice.
        keeps_ids: bool,
        /// The first try is not so old that it may have been forgotten.
        is_recent: bool,
    },
}

/// What came after an Error event. The order is that of their weight: of several the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum After {
    /// The end of the stream, proved by its framing.
    Nothing,
    /// A Done that tells nothing, the same Error, silence, a break, an end that proves nothing.
    NotKnown,
    /// Other events, or a part of one.
    More,
}

/// What the evidence proves.
pub(crate) fn judge(evidence: Evidence) -> Proof {
    let (names_run, mentions_run) = (evidence.names_run, evidence.mentions_run);
    let may_have_arrived = evidence.may_have_arrived;
    match evidence.reply {
        Reply::Nothing {
            may_have_left: false,
            may_pass,
        } if !(names_run || mentions_run) && (may_pass || !may_have_arrived) => {
            Proof::NotSent { may_pass }
        }
        Reply::Absent {
            keeps_ids: true,
            is_recent: true,
        } => Proof::NotSent { may_pass: true },
        Reply::Nothing { .. } | Reply::Absent { .. } | Reply::Broken => Proof::Unknown,
        Reply::Document {
            has_code,
            status,
            meaning,
            is_whole,
            has_proved_end,
            has_debug_url,
            is_of_missing_path,
        } => {
            if names_run {
                return match (has_code, status) {
                    (true, _) => Proof::Failed,
                    (false, 200..=299) => Proof::Started,
                    (false, _) => Proof::Unknown,
                };
            }
            match meaning {
                // What is missing may name the run; and what has a page on it was started.
                _ if !is_whole || has_debug_url => Proof::Unknown,
                Meaning::RateLimited if has_proved_end && !mentions_run => Proof::RateLimited,
                Meaning::Failed => Proof::Failed,
                Meaning::Refused if may_have_arrived => Proof::Unknown,
                Meaning::Refused if is_of_missing_path && !mentions_run => Proof::NoSuchPath,
                Meaning::Refused => Proof::Refused,
                Meaning::RateLimited | Meaning::Unclear => Proof::Unknown,
            }
        }
        Reply::Error {
            meaning,
            is_first,
            after,
        } => match meaning {
            _ if !is_first || names_run || after == After::More => Proof::Failed,
            Meaning::Failed => Proof::Failed,
            Meaning::RateLimited if mentions_run => Proof::Failed,
            Meaning::RateLimited if after == After::Nothing => Proof::RateLimited,
            Meaning::Refused if may_have_arrived => Proof::Unknown,
            Meaning::Refused => Proof::Refused,
            Meaning::RateLimited | Meaning::Unclear => Proof::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEANINGS: [Meaning; 4] = [
        Meaning::RateLimited,
        Meaning::Refused,
        Meaning::Failed,
        Meaning::Unclear,
    ];
    const AFTER: [After; 3] = [After::Nothing, After::NotKnown, After::More];
    const BOTH: [bool; 2] = [false, true];
    const STATUSES: [u16; 6] = [200, 302, 404, 408, 429, 503];

    /// Every reply that there can be, with every word on a run.
    fn all_evidence() -> Vec<Evidence> {
        let mut replies = vec![Reply::Broken];
        for (may_have_left, may_pass) in pairs(BOTH, BOTH) {
            replies.push(Reply::Nothing {
                may_have_left,
                may_pass,
            });
        }
        for (keeps_ids, is_recent) in pairs(BOTH, BOTH) {
            replies.push(Reply::Absent {
                keeps_ids,
                is_recent,
            });
        }
        for (meaning, (is_first, after)) in pairs(MEANINGS, pairs(BOTH, AFTER)) {
            replies.push(Reply::Error {
                meaning,
                is_first,
                after,
            });
        }
        let flags = pairs(pairs(BOTH, BOTH), pairs(BOTH, pairs(BOTH, BOTH)));
        for ((meaning, status), flags) in pairs(pairs(MEANINGS, STATUSES), flags) {
            let ((has_code, is_whole), (has_proved_end, (has_debug_url, is_of_missing_path))) =
                flags;
            replies.push(Reply::Document {
                has_code,
                status,
                meaning,
                is_whole,
                has_proved_end,
                has_debug_url,
                is_of_missing_path,
            });
        }
        let words = pairs(BOTH, pairs(BOTH, BOTH));
        pairs(replies, words)
            .into_iter()
            .map(
                |(reply, (names_run, (mentions_run, may_have_arrived)))| Evidence {
                    reply,
                    names_run,
                    mentions_run,
                    may_have_arrived,
                },
            )
            .collect()
    }

    fn pairs<A: Copy, B: Copy>(
        left: impl IntoIterator<Item = A>,
        right: impl IntoIterator<Item = B>,
    ) -> Vec<(A, B)> {
        let right: Vec<B> = right.into_iter().collect();
        let left = left.into_iter();
        left.flat_map(|a| right.iter().map(move |&b| (a, b)).collect::<Vec<_>>())
            .collect()
    }

    /// The rule that counts, said once more: it is sent again only when it is certain that nothing
    /// was started, because it never left, or was refused for its rate in an answer of which the end
    /// is proved, with no word on a run; or the server has no such path; or it keeps the ids of starts,
    /// and does not know this one on the day of its first try.
    fn is_certain(evidence: &Evidence) -> bool {
        let says_nothing_of_a_run = !evidence.names_run && !evidence.mentions_run;
        match evidence.reply {
            Reply::Nothing {
                may_have_left,
                may_pass,
            } => !may_have_left && may_pass && says_nothing_of_a_run,
            Reply::Document {
                meaning,
                is_whole,
                has_proved_end,
                has_debug_url,
                is_of_missing_path,
                ..
            } => {
                let is_rate = meaning == Meaning::RateLimited;
                let is_refused_path = meaning == Meaning::Refused && is_of_missing_path;
                let is_refused_path = is_refused_path && !evidence.may_have_arrived;
                let may_pass = is_rate && has_proved_end || is_refused_path;
                is_whole && !has_debug_url && may_pass && says_nothing_of_a_run
            }
            Reply::Error {
                meaning,
                is_first,
                after,
            } => {
                let is_alone = is_first && after == After::Nothing;
                meaning == Meaning::RateLimited && is_alone && says_nothing_of_a_run
            }
            Reply::Absent {
                keeps_ids,
                is_recent,
            } => keeps_ids && is_recent,
            Reply::Broken => false,
        }
    }

    #[test]
    fn it_is_sent_again_only_when_it_is_certain_that_nothing_was_started() {
        let all = all_evidence();
        assert_eq!(all.len(), 8 * (1 + 4 + 4 + 24 + 768));
        for evidence in all {
            let again = judge(evidence).may_be_sent_again();
            assert_eq!(again, is_certain(&evidence), "{evidence:?}");
        }
    }

    #[test]
    fn what_names_a_run_is_never_said_not_to_have_started() {
        for evidence in all_evidence().into_iter().filter(|told| told.names_run) {
            let proof = judge(evidence);
            let is_sent = !matches!(evidence.reply, Reply::Absent { .. });
            let says_so = matches!(proof, Proof::Failed | Proof::Started | Proof::Unknown);
            assert!(says_so || !is_sent, "{evidence:?}: {proof:?}");
        }
    }

    #[test]
    fn what_may_have_arrived_is_said_not_to_have_started_by_the_server_alone() {
        for evidence in all_evidence()
            .into_iter()
            .filter(|told| told.may_have_arrived)
        {
            let proof = judge(evidence);
            let says_not = matches!(
                proof,
                Proof::NotSent { may_pass: false } | Proof::NoSuchPath | Proof::Refused
            );
            assert!(!says_not, "{evidence:?}: {proof:?}");
        }
    }

    #[test]
    fn what_has_a_page_on_a_run_is_never_said_not_to_have_started() {
        for evidence in all_evidence() {
            let has_page = matches!(
                evidence.reply,
                Reply::Document {
                    has_debug_url: true,
                    ..
                }
            );
            if has_page && !evidence.names_run {
                assert_eq!(judge(evidence), Proof::Unknown, "{evidence:?}");
            }
        }
    }

    #[test]
    fn what_did_not_come_whole_proves_nothing() {
        for evidence in all_evidence() {
            if let Reply::Document {
                is_whole: false, ..
            } = evidence.reply
                && !evidence.names_run
            {
                assert_eq!(judge(evidence), Proof::Unknown, "{evidence:?}");
            }
        }
    }

    /// The table of the contract, a row a case, for a reply without a word on a run.
    #[test]
    fn the_table_of_answers_is_that_of_the_contract() {
        let document = |has_code, status, meaning| Reply::Document {
            has_code,
            status,
            meaning,
            is_whole: true,
            has_proved_end: true,
            has_debug_url: false,
            is_of_missing_path: false,
        };
        let error = |meaning, is_first, after| Reply::Error {
            meaning,
            is_first,
            after,
        };
        let (rate, refused, unclear) = (Meaning::RateLimited, Meaning::Refused, Meaning::Unclear);
        for (reply, proof) in [
            (document(true, 200, refused), Proof::Refused),
            (document(true, 200, rate), Proof::RateLimited),
            (document(false, 429, rate), Proof::RateLimited),
            (document(true, 200, unclear), Proof::Unknown),
            (document(false, 404, refused), Proof::Refused),
            (document(false, 408, unclear), Proof::Unknown),
            (document(false, 503, unclear), Proof::Unknown),
            (document(false, 200, unclear), Proof::Unknown),
            (error(refused, true, After::Nothing), Proof::Refused),
            (error(refused, true, After::NotKnown), Proof::Refused),
            (error(refused, true, After::More), Proof::Failed),
            (error(refused, false, After::Nothing), Proof::Failed),
            (error(rate, true, After::Nothing), Proof::RateLimited),
            (error(rate, true, After::NotKnown), Proof::Unknown),
            (error(rate, true, After::More), Proof::Failed),
            (error(unclear, true, After::Nothing), Proof::Unknown),
            (error(unclear, false, After::Nothing), Proof::Failed),
            (document(true, 500, Meaning::Failed), Proof::Failed),
            (error(Meaning::Failed, true, After::Nothing), Proof::Failed),
            (Reply::Broken, Proof::Unknown),
        ] {
            assert_eq!(judge(Evidence::of(reply)), proof, "{reply:?}");
        }
    }

    #[test]
    fn an_answer_that_names_a_run_tells_whether_it_goes_on() {
        let document = |has_code, status| Evidence {
            reply: Reply::Document {
                has_code,
                status,
                meaning: Meaning::Unclear,
                is_whole: true,
                has_proved_end: true,
                has_debug_url: true,
                is_of_missing_path: false,
            },
            names_run: true,
            mentions_run: true,
            may_have_arrived: false,
        };
        assert_eq!(judge(document(false, 200)), Proof::Started);
        assert_eq!(judge(document(true, 200)), Proof::Failed);
        assert_eq!(judge(document(false, 503)), Proof::Unknown);
    }
}
