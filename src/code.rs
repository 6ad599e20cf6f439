//! What Coze's error codes mean to a caller who pays: whether one proves that nothing was started,
//! whether it is about the rate, whether every other request will meet it too.
//! <https://docs.coze.cn/developer_guides/coze_error_codes>.

/// No such run; for a moment after a start this may pass.
pub(crate) const NO_SUCH_RUN: i64 = 4314;

/// The token may run workflows but not look at them, or belongs to the other site.
pub(crate) const NO_PERMISSION: i64 = 4101;

/// Whether this code, told in an answer of this HTTP status, proves that nothing was started.
/// Which mistake is worse? To say so of a run that was started: it would be run, and paid for, again.
pub(crate) fn is_refusal(code: i64, status: u16) -> bool {
    match code {
        // An error of the model service, in the middle of a run.
        4013 => false,
        4000..=4999 | 6003 => true,
        // Bad tokens.
        700_012_000..=700_012_099 => true,
        // Coze Studio: a bad parameter, a workflow that is not published.
        720_702_001 | 720_702_002 | 720_702_011 => true,
        // Coze Studio repeats the HTTP status; a timeout proves nothing.
        400..=499 => code != 408 && code == i64::from(status),
        _ => false,
    }
}

/// Whether the request came too fast: the same one may pass a moment later.
pub(crate) fn is_rate_limit(code: Option<i64>, status: u16) -> bool {
    status == 429 || matches!(code, Some(4009 | 4020))
}

/// Whether every further run will be refused as well: a bad token, no balance, no quota.
pub(crate) fn stops_everything(code: i64) -> bool {
    matches!(code, 4100 | 4011 | 4028 | 700_012_006)
}

/// What to do about a code, when that is known.
pub(crate) fn hint(code: i64) -> Option<&'static str> {
    Some(match code {
        4000 | 720_702_001 | 720_702_002 => {
            "check workflow_id and the names and types of the parameters against the Start node"
        }
        4008 => "the daily limit is used up; try again tomorrow",
        4009 | 4020 => "too many requests at once; try again later, or with fewer --jobs",
        4011 | 4019 | 4027 => "the account's balance is used up; top it up on Coze",
        4013 => "the model service had an error; look at the run on its debug_url",
        4015 => "publish the workflow's bot or app to the API channel",
        4028 => "the free quota is used up; upgrade the plan on Coze",
        4100 | 401 => "the token is wrong or has expired; make a new one on Coze",
        4101 => {
            "the token belongs to the other site (.cn or .com: see --base-url), or lacks a \
             permission: run to start, listRunHistory to look"
        }
        4102 => "refused by risk control; ask Coze's support and give them the logid",
        4200 | 720_702_011 => "publish the workflow, and check workflow_id",
        NO_SUCH_RUN => "check workflow_id and execute_id; results are kept for 7 days",
        4315 => "the run is over and can't be resumed",
        6003 => {
            "background runs need a paid plan; leave out --async and is_async to stream the run"
        }
        700_012_006 => "the token is not valid on this site; check COZE_API_KEY and --base-url",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_those_that_prove_that_nothing_was_started() {
        for code in [
            4000,
            4008,
            4028,
            4100,
            4200,
            4999,
            6003,
            700_012_006,
            700_012_099,
            720_702_011,
        ] {
            assert!(is_refusal(code, 200), "{code}");
        }
        for code in [
            4013,
            5000,
            3999,
            6000,
            700_012_100,
            720_701_013,
            720_702_003,
            0,
            -1,
        ] {
            assert!(!is_refusal(code, 200), "{code}");
        }
    }

    #[test]
    fn a_code_like_an_http_status_counts_only_when_it_is_the_status() {
        assert!(is_refusal(401, 401));
        assert!(!is_refusal(401, 200));
        assert!(!is_refusal(408, 408));
        assert!(!is_refusal(500, 500));
    }

    #[test]
    fn a_rate_limit_is_told_by_the_status_or_by_the_code() {
        assert!(is_rate_limit(None, 429));
        assert!(is_rate_limit(Some(4200), 429));
        assert!(is_rate_limit(Some(4020), 200));
        assert!(!is_rate_limit(Some(4008), 200));
    }
}
