//! What Coze's error codes mean to a caller who pays: whether one proves that nothing was started,
//! whether it is about the rate, whether every other request will meet it too.
//! <https://docs.coze.cn/developer_guides/coze_error_codes>.

use crate::error::Hint;

/// No such run; for a moment after a start this may pass.
pub(crate) const NO_SUCH_RUN: i64 = 4314;

pub(crate) const STUDIO_NO_SUCH_RUN: i64 = 777_777_775;

/// The token may run workflows but not look at them, or belongs to the other site.
pub(crate) const NO_PERMISSION: i64 = 4101;

/// What a code means that came with no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nothing was started, and the same request may pass a moment later.
    RateLimited,
    /// Nothing was started, and the same request will be refused again.
    Refused,
    /// A run was started, and has ended in failure.
    Failed,
    /// Nobody can tell whether something was started.
    Unclear,
}

/// What this code means in an answer of this HTTP status, on every service. To call a run that was
/// started refused would be the worst mistake: it would be run, and paid for, again.
pub(crate) fn meaning(code: Option<i64>, status: u16) -> Meaning {
    let Some(code) = code else {
        return match status {
            429 => Meaning::RateLimited,
            408 => Meaning::Unclear,
            300..=499 => Meaning::Refused,
            _ => Meaning::Unclear,
        };
    };
    match code {
        4009 | 4020 => Meaning::RateLimited,
        _ if status == 429 => Meaning::RateLimited,
        // An error of the model service, in the middle of a run.
        4013 => Meaning::Unclear,
        4000..=4999 | 6003 => Meaning::Refused,
        // Bad tokens.
        700_012_000..=700_012_999 => Meaning::Refused,
        // Coze Studio: a bad parameter, a workflow that is not published.
        720_702_001 | 720_702_002 | 720_702_011 => Meaning::Refused,
        // Coze Studio repeats the HTTP status; a timeout proves nothing.
        400..=499 if code != 408 && code == i64::from(status) => Meaning::Refused,
        _ => Meaning::Unclear,
    }
}

/// Whether every further run will be refused as well: a bad token, no balance, no quota.
pub(crate) fn stops_everything(code: i64) -> bool {
    matches!(
        code,
        401 | 4100 | 4011 | 4019 | 4027 | 4028 | 700_012_000..=700_012_999
    )
}

/// Whether it is about the parameters of a run.
pub(crate) fn is_about_parameters(code: i64) -> bool {
    matches!(code, 4000 | 720_702_001 | 720_702_002)
}

/// What the code is an answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The start of a run.
    Start,
    /// The answer to an interrupt.
    Resume,
    /// A poll of a run.
    Poll,
    /// The question what a workflow takes.
    Describe,
    /// A file for a parameter.
    Upload,
}

/// What to do about a code, when that is known.
#[expect(clippy::too_many_lines, reason = "a list, an arm a hint")]
pub(crate) fn hint(code: i64, about: About) -> Option<Hint> {
    let (english, chinese) = match (code, about) {
        (4000 | 4200 | 720_702_001 | 720_702_002 | 720_702_004 | 777_777_778, About::Resume) => (
            "check the answer against what the run asks: its names and types",
            "请对照运行所提的问题，检查回答中的名称和类型",
        ),
        (4315 | 720_701_013, About::Resume) => (
            "the run does not wait for this answer; send the response without resume_data to watch \
             how it ended",
            "这次运行并不在等待这个回答；去掉 resume_data 再传回响应，即可查看它如何结束",
        ),
        (NO_PERMISSION, About::Upload) => (
            "the token belongs to the other site (.cn or .com: see --base-url), or lacks the \
             permission uploadFile",
            "令牌属于另一个站点（.cn 或 .com，见 --base-url），或缺少 uploadFile 权限",
        ),
        (4000, About::Upload) => (
            "check the file: its type, and that it has at most 512 MB",
            "请检查文件的类型，以及大小是否不超过 512 MB",
        ),
        (4000, _) => (
            "check workflow_id and the parameters: coze-workflow --check -w ID, or the Start node, \
             says what the workflow takes",
            "请检查 workflow_id 和各参数；工作流需要哪些参数，可用 coze-workflow --check -w ID 查看，或看开始节点",
        ),
        // Of a deployed project.
        (201_001, _) => (
            "the same command with --check says what the workflow takes",
            "同一命令加上 --check，即说明工作流需要哪些参数",
        ),
        // Of Coze Studio, which does not say what a workflow takes.
        (720_702_001 | 720_702_002, _) => (
            "check the names and types of the parameters against the Start node",
            "请对照开始节点，检查各参数的名称和类型",
        ),
        (4008, _) => (
            "the daily limit is used up; try again tomorrow",
            "今天的调用次数已用完，请明天再试",
        ),
        (4009 | 4020, _) => (
            "too many requests at once; try again later, or with fewer --jobs",
            "请求过于频繁，请稍后再试，或减小 --jobs",
        ),
        (4011 | 4019 | 4027, _) => (
            "the account's balance is used up; top it up on Coze",
            "账号余额已用完，请到扣子充值",
        ),
        (4013, _) => (
            "the model service had an error; look at the run on its debug_url",
            "模型服务出错，请打开 debug_url 查看这次运行",
        ),
        (4015, _) => (
            "publish the workflow's bot or app to the API channel",
            "请把工作流所属的智能体或应用发布为 API 服务",
        ),
        (4028, _) => (
            "the free quota is used up; upgrade the plan on Coze",
            "免费额度已用完，请到扣子升级套餐",
        ),
        (401 | 4100, _) => (
            "the token is wrong or has expired: a personal token (pat_) lives 30 days at most, a \
             service token (sat_) need not expire",
            "令牌无效或已过期：个人令牌（pat_）最多 30 天有效，服务令牌（sat_）可以长期有效",
        ),
        (700_012_000..=700_012_999, _) => (
            "the token is wrong, has expired, or is of another site: check COZE_API_KEY and \
             --base-url; a service token (sat_) need not expire",
            "令牌无效、已过期，或属于另一个站点：请检查 COZE_API_KEY 和 --base-url；\
             服务令牌（sat_）可以长期有效",
        ),
        (NO_PERMISSION, About::Poll) => (
            "grant the token the permission listRunHistory, then send this response as a request",
            "请为令牌添加 listRunHistory 权限，再把这行响应作为请求传回",
        ),
        (NO_PERMISSION, About::Describe) => (
            "the token lacks the permission getMetaData, which only --check needs, or belongs to the \
             other site (.cn or .com: see --base-url)",
            "令牌缺少 getMetaData 权限（只有 --check 需要），或属于另一个站点\
             （.cn 或 .com，见 --base-url）",
        ),
        (NO_PERMISSION, _) => (
            "the token belongs to the other site (.cn or .com: see --base-url), or lacks a \
             permission: run to start, listRunHistory to watch",
            "令牌属于另一个站点（.cn 或 .com，见 --base-url），或缺少权限：运行需要 run，\
             查看需要 listRunHistory",
        ),
        (4102, _) => (
            "refused by risk control; ask Coze's support and give them the logid",
            "请求被风控拦截，请联系扣子技术支持并提供 logid",
        ),
        (4200 | 6031 | 720_702_004 | 720_702_011, _) => (
            "publish the workflow, and check workflow_id",
            "请先发布工作流，并检查 workflow_id",
        ),
        (NO_SUCH_RUN | STUDIO_NO_SUCH_RUN, _) => (
            "check workflow_id and execute_id; results are kept for 7 days",
            "请检查 workflow_id 和 execute_id；运行结果只保留 7 天",
        ),
        (6003, _) => (
            "background runs need a paid plan; leave out --async and is_async to stream the run",
            "后台运行需要付费套餐；去掉 --async 和 is_async 即可流式运行",
        ),
        (777_777_778, _) => (
            "check workflow_version: the workflow has no such version",
            "请检查 workflow_version：该工作流没有这个版本",
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
            700_012_999,
            720_702_011,
        ] {
            assert_eq!(meaning(Some(code), 200), Meaning::Refused, "{code}");
        }
        for code in [
            4013,
            5000,
            3999,
            6000,
            700_013_000,
            720_701_013,
            720_702_003,
            0,
            -1,
        ] {
            assert_eq!(meaning(Some(code), 200), Meaning::Unclear, "{code}");
        }
    }

    #[test]
    fn a_code_like_an_http_status_counts_only_when_it_is_the_status() {
        assert_eq!(meaning(Some(401), 401), Meaning::Refused);
        for (code, status) in [(401, 200), (408, 408), (500, 500)] {
            assert_eq!(meaning(Some(code), status), Meaning::Unclear, "{code}");
        }
    }

    #[test]
    fn a_hint_names_the_same_things_in_both_languages() {
        let names = |code, about, language| {
            let error = Error::usage("")
                .with_hint(hint(code, about))
                .translate(language);
            let hint = error.hint.clone()?;
            let words = hint
                .text()
                .split(|char: char| !char.is_ascii_alphanumeric() && !"_-.".contains(char));
            let names = words.filter(|word| word.contains(['_', '-', '.']) || *word == "logid");
            Some(names.map(str::to_owned).collect::<Vec<_>>())
        };
        let studio = [720_702_001, 720_702_002, 720_702_011];
        for code in (400..7000).chain([700_012_006]).chain(studio) {
            for about in [
                About::Start,
                About::Resume,
                About::Poll,
                About::Describe,
                About::Upload,
            ] {
                let english = names(code, about, Language::English);
                assert_eq!(english, names(code, about, Language::Chinese), "{code}");
            }
        }
    }

    #[test]
    fn a_rate_limit_is_known_by_the_status_or_by_the_code() {
        for (code, status) in [(None, 429), (Some(4200), 429), (Some(4020), 200)] {
            assert_eq!(meaning(code, status), Meaning::RateLimited, "{code:?}");
        }
        assert_eq!(meaning(Some(4008), 200), Meaning::Refused);
    }
}
