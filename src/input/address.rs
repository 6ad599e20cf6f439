//! `workflow_id` given as the address of a page → the id in it. A workflow's page is
//! `https://www.coze.cn/work_flow?space_id=…&workflow_id=…`; a run's has `execute_id` as well.

use super::entries::plain_id;
use crate::coze::fields::of_query;
use crate::error::Error;
use crate::service::ServiceName;

/// The id that an address names; nothing for a text that is no address.
pub(super) fn workflow_id(text: &str) -> Result<Option<&str>, Error> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#', ':']).next().unwrap_or_default();
    let of_host = ServiceName::of_host(&host.to_ascii_lowercase());
    if of_host.is_some_and(|name| !name.service().has_workflow_ids()) {
        let error = Error::usage("workflow_id is the address of a deployed project");
        return Err(error.hint(
            "such an address is a base URL: --base-url or COZE_BASE_URL",
            "这样的地址是服务地址，请用 --base-url 或 COZE_BASE_URL 给出",
        ));
    }
    // Not its fragment.
    let page = rest.split('#').next().unwrap_or_default();
    let Some(id) = of_query(page, "workflow_id", |id| !id.is_empty()) else {
        if rest == text {
            return Ok(None);
        }
        let error = Error::usage("workflow_id is an address that names no workflow");
        return Err(error.hint(
            "the address of a workflow's page holds workflow_id=…",
            "工作流页面的地址中有 workflow_id=…",
        ));
    };
    plain_id("workflow_id", id)?;
    let is_run = |id: &str| id.bytes().any(|byte| byte != b'0');
    let Some(execute_id) = of_query(page, "execute_id", is_run) else {
        return Ok(Some(id));
    };
    plain_id("execute_id", execute_id)?;
    let watch = format!(r#"{{"workflow_id":"{id}","execute_id":"{execute_id}"}}"#);
    let error = Error::usage("workflow_id is the address of a run, not of a workflow");
    Err(error.hint(
        format!("to watch that run: {watch}"),
        format!("要查看这次运行：{watch}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(address: &str, sentence: &str) {
        assert_eq!(workflow_id(address).unwrap_err().to_string(), sentence);
    }

    #[test]
    fn a_page_names_its_workflow() {
        for address in [
            "https://www.coze.cn/work_flow?space_id=1&workflow_id=75",
            "https://www.coze.com/work_flow?workflow_id=75&space_id=1#top",
            "http://127.0.0.1:8888/work_flow?workflow_id=75",
            "www.coze.cn/work_flow?space_id=1&workflow_id=75",
            "https://www.coze.cn/work_flow?execute_id=0&workflow_id=75",
            "https://www.coze.cn/work_flow?execute_id=&workflow_id=75",
        ] {
            assert_eq!(workflow_id(address).unwrap(), Some("75"), "{address}");
        }
    }

    #[test]
    fn what_is_no_address_is_left_alone() {
        for text in ["", "75", "a_B-9", "7/8", "workflow_id=75"] {
            assert_eq!(workflow_id(text).unwrap(), None, "{text}");
        }
    }

    #[test]
    fn the_address_of_a_run_says_how_to_watch_it() {
        refused(
            "https://www.coze.cn/work_flow?execute_id=9&space_id=1&workflow_id=75&execute_mode=2",
            r#"workflow_id is the address of a run, not of a workflow (to watch that run: {"workflow_id":"75","execute_id":"9"})"#,
        );
    }

    #[test]
    fn the_address_of_a_deployed_project_is_a_base_url() {
        for address in [
            "https://abc.coze.site",
            "https://ABC.coze.site/stream_run?workflow_id=7",
            "abc.coze.site/",
        ] {
            refused(
                address,
                "workflow_id is the address of a deployed project (such an address is a base URL: --base-url or COZE_BASE_URL)",
            );
        }
    }

    #[test]
    fn an_address_that_names_no_workflow_is_refused() {
        for address in [
            "https://www.coze.cn/space/1/library",
            "https://www.coze.cn/work_flow?workflow_id=",
            "https://www.coze.cn/work_flow?my_workflow_id=7",
        ] {
            refused(
                address,
                "workflow_id is an address that names no workflow (the address of a workflow's page holds workflow_id=…)",
            );
        }
    }

    #[test]
    fn an_id_in_an_address_is_as_plain_as_any() {
        refused(
            "https://www.coze.cn/work_flow?workflow_id=7%2F8",
            "workflow_id may hold only letters, digits, _ and -, 256 at most",
        );
        refused(
            "https://www.coze.cn/work_flow?workflow_id=7&execute_id=9%00",
            "execute_id may hold only letters, digits, _ and -, 256 at most",
        );
    }
}
