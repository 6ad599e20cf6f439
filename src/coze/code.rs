//! What Coze's error codes mean to a caller who pays: whether one proves that nothing was started,
//! whether it is about the rate, whether every other request will meet it too.
//! <https://docs.coze.cn/developer_guides/coze_error_codes>.

use crate::error::Hint;

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
pub(crate) fn hint(code: i64) -> Option<Hint> {
    let (english, chinese) = match code {
        4000 | 720_702_001 | 720_702_002 => (
            "check workflow_id and the names and types of the parameters against the Start node",
            "请对照开始节点，检查 workflow_id 以及各参数的名称和类型",
        ),
        4008 => (
            "the daily limit is used up; try again tomorrow",
            "今天的调用次数已用完，请明天再试",
        ),
        4009 | 4020 => (
            "too many requests at once; try again later, or with fewer --jobs",
            "请求过于频繁，请稍后再试，或减小 --jobs",
        ),
        4011 | 4019 | 4027 => (
            "the account's balance is used up; top it up on Coze",
            "账号余额已用完，请到扣子充值",
        ),
        4013 => (
            "the model service had an error; look at the run on its debug_url",
            "模型服务出错，请打开 debug_url 查看这次运行",
        ),
        4015 => (
            "publish the workflow's bot or app to the API channel",
            "请把工作流所属的智能体或应用发布为 API 服务",
        ),
        4028 => (
            "the free quota is used up; upgrade the plan on Coze",
            "免费额度已用完，请到扣子升级套餐",
        ),
        4100 | 401 => (
            "the token is wrong or has expired; make a new one on Coze",
            "令牌无效或已过期，请到扣子重新创建",
        ),
        NO_PERMISSION => (
            "the token belongs to the other site (.cn or .com: see --base-url), or lacks a \
             permission: run to start, listRunHistory to look",
            "令牌属于另一个站点（.cn 或 .com，见 --base-url），或缺少权限：运行需要 run，\
             查看需要 listRunHistory",
        ),
        4102 => (
            "refused by risk control; ask Coze's support and give them the logid",
            "请求被风控拦截，请联系扣子技术支持并提供 logid",
        ),
        4200 | 720_702_011 => (
            "publish the workflow, and check workflow_id",
            "请先发布工作流，并检查 workflow_id",
        ),
        NO_SUCH_RUN => (
            "check workflow_id and execute_id; results are kept for 7 days",
            "请检查 workflow_id 和 execute_id；运行结果只保留 7 天",
        ),
        4315 => (
            "the run is over and can't be resumed",
            "这次运行已经结束，无法恢复",
        ),
        6003 => (
            "background runs need a paid plan; leave out --async and is_async to stream the run",
            "后台运行需要付费套餐；去掉 --async 和 is_async 即可流式运行",
        ),
        700_012_006 => (
            "the token is not valid on this site; check COZE_API_KEY and --base-url",
            "令牌在这个站点无效，请检查 COZE_API_KEY 和 --base-url",
        ),
        _ => return None,
    };
    Some(Hint::new(english, chinese))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::language::Language;

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
    fn a_hint_names_the_same_things_in_both_languages() {
        let names = |code, language| {
            let error = Error::usage("").with_hint(hint(code)).translate(language);
            let hint = error.hint?;
            let words = hint
                .text()
                .split(|char: char| !char.is_ascii_alphanumeric() && !"_-.".contains(char));
            let names = words.filter(|word| word.contains(['_', '-', '.']) || *word == "logid");
            Some(names.map(str::to_owned).collect::<Vec<_>>())
        };
        let studio = [720_702_001, 720_702_002, 720_702_011];
        for code in (400..7000).chain([700_012_006]).chain(studio) {
            let english = names(code, Language::English);
            assert_eq!(english, names(code, Language::Chinese), "{code}");
        }
    }

    #[test]
    fn a_rate_limit_is_told_by_the_status_or_by_the_code() {
        assert!(is_rate_limit(None, 429));
        assert!(is_rate_limit(Some(4200), 429));
        assert!(is_rate_limit(Some(4020), 200));
        assert!(!is_rate_limit(Some(4008), 200));
    }
}
