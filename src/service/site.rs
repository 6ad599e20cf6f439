//! A deployed project: one workflow at an address of its own. The parameters are the whole body, a
//! start carries the run's id, and only what was started in the background can be watched.
//! <https://docs.coze.cn/guides> on deployment, and the server library `coze-coding-utils`.

use std::borrow::Cow;

use super::Service;
use crate::coze::call::{Call, Mode, RunRef};
use crate::coze::code::{self, Meaning};
use crate::coze::description::Workflow;
use crate::coze::envelope::Envelope;
use crate::coze::event::{Ended, Event, EventKind, Parse};
use crate::coze::fields::{self, Entries, Json, Raw};
use crate::coze::history::{Poll, Record};
use crate::error::{Code, Error, Hint};
use crate::sse::Frame;
use crate::text::Text;

#[derive(Debug)]
pub(super) struct Site;

/// All that a run may have.
const KEYS: [&str; 4] = ["id", "workflow_id", "parameters", "is_async"];

const ABSENT: &str = "task not found";

impl Service for Site {
    fn word(&self) -> &'static str {
        "site"
    }

    fn refuse(&self, what: &str) -> Option<Error> {
        let name = match what {
            "file" => what.to_owned(),
            key => format!("key {key:?}"),
        };
        let error = Error::usage(format!("a deployed project takes no {name}")).hint(
            "it takes parameters, and is_async",
            "它只接受 parameters 和 is_async",
        );
        (!KEYS.contains(&what)).then_some(error)
    }

    fn has_workflow_ids(&self) -> bool {
        false
    }

    fn takes_run_ids(&self) -> bool {
        true
    }

    /// A stream ends with its client, and leaves no trace.
    fn can_watch(&self, mode: Mode) -> bool {
        mode == Mode::Async
    }

    fn start<'a>(&self, mode: Mode, body: &'a str) -> Call<'a> {
        let path = match mode {
            Mode::Stream => "/stream_run",
            Mode::Async => "/async_run",
        };
        Call::start(path, fields::parameters(body), mode)
    }

    fn envelope<'a>(&self, body: &'a str) -> Envelope<'a> {
        let answer = Entries::parse(body).unwrap_or_default();
        let (detail, fault) = (answer.value("detail"), answer.object("detail"));
        Envelope {
            code: fault.value("error_code"),
            msg: (fault.value("error_message").or(detail)).or(answer.value("msg")),
            execute_id: answer.value("task_id"),
            ..Envelope::default()
        }
    }

    fn events(&self) -> Parse {
        event
    }

    fn poll(&self, _: &str, run: &RunRef) -> Call<'static> {
        Call::get(format!("/task/{}", run.execute_id()))
    }

    fn read_poll(&self, run: &RunRef, status: u16, _: bool, body: &[u8]) -> Poll {
        let text = String::from_utf8_lossy(body);
        let answer = Entries::parse(&text).unwrap_or_default();
        let fault = answer.object("error");
        let said = |otherwise: &str| {
            let words = fault.text("message").or(answer.text("detail"));
            let words = words.or(answer.text("msg")).unwrap_or(otherwise.into());
            error_with_code(words, fault.value("code"))
        };
        let failed = |otherwise| Poll::Failed(Record::default(), said(otherwise));
        let is_ours = answer.text("task_id").as_deref() == Some(run.execute_id());
        let is_clear = is_ours && answer.repeated().is_none();
        let word = answer.text("status").filter(|_| status == 200 && is_clear);
        match word.as_deref() {
            Some("pending" | "running") => Poll::Running(Record::default()),
            Some("completed") => {
                // What had to be replaced is not what was said.
                let result = answer
                    .value_or_null("result")
                    .filter(|_| matches!(text, Cow::Borrowed(_)));
                let output = result.map(|Json(json)| Text::from_plain(json));
                Poll::Success(Record {
                    output,
                    ..Record::default()
                })
            }
            Some("failed") => failed("the run failed; Coze gives no reason"),
            Some("cancelled") => failed("the run was cancelled"),
            Some("timeout") => failed("the run took too long"),
            // What says more of a task is no word that there is none.
            _ if status == 404
                && answer.repeated().is_none()
                && !["task_id", "status"].into_iter().any(|key| answer.has(key))
                && answer.text("detail").as_deref() == Some(ABSENT) =>
            {
                Poll::Absent(said(ABSENT))
            }
            _ => {
                let said = said(&format!("HTTP {status}, and no status of the run"));
                match code::meaning(None, status) {
                    Meaning::Refused => Poll::Refused(said),
                    _ => Poll::Unclear(said),
                }
            }
        }
    }

    fn describe(&self, _: &str) -> Call<'static> {
        Call::get("/graph_parameter")
    }

    fn read_description(&self, status: u16, body: &str) -> Result<Workflow, Meaning> {
        let answer = Entries::parse(body).unwrap_or_default();
        let input = answer.value("input_schema").filter(|_| status == 200);
        let input = input.ok_or_else(|| code::meaning(None, status))?;
        Ok(Workflow::of_schemas(input, answer.value("output_schema")))
    }

    fn hint_without_code(&self, status: u16, has_words: bool) -> Option<Hint> {
        match status {
            _ if !has_words => Some(super::no_answer_of_coze()),
            401 => Some(Hint::new(
                "a deployed project has a token of its own (eyJ…): create one on its page at Coze",
                "部署的项目有自己的令牌（eyJ…）：请在扣子的项目页面创建",
            )),
            _ => None,
        }
    }

    fn mentions_run(&self, text: &str) -> bool {
        text.contains("task_id") || text.contains("run_id")
    }

    /// Only a workflow that ran has a code.
    fn meaning(&self, code: Option<i64>, status: u16, _: bool) -> Meaning {
        code.map_or_else(|| code::meaning(None, status), |_| Meaning::Failed)
    }
}

/// What went wrong, with a code that may be a number or a word.
fn error_with_code(words: Cow<'_, str>, code: Raw<'_>) -> Error {
    let mut error = Error::unknown(words);
    let word = || Some(Code::Word(fields::nonempty(code)?.into_owned()));
    error.code = fields::number(code).map(Code::Number).or_else(word);
    error
}

/// A frame as it is understood here. `None` for a last one that is not whole.
fn event<'a>(frame: &'a Frame<'_>) -> Option<Event<'a>> {
    let data = Entries::parse(&frame.data);
    if data.is_none() && !frame.terminated {
        return None;
    }
    let data = data.unwrap_or_default();
    let word = data.text("type").unwrap_or_default();
    let kind = match (&*word, data.value_or_null("output")) {
        _ if data.repeated().is_some() => EventKind::Other,
        ("workflow_end" | "done", Some(output)) if !frame.replaced => EventKind::Result(output),
        ("error", _) => {
            let message = data.text("error_msg").or(data.text("message"));
            let said = error_with_code(message.unwrap_or_default(), data.value("code"));
            // Only a workflow that ran says it.
            let is_first = false;
            EventKind::Ended(Ended::Error { said, is_first })
        }
        _ => EventKind::Other,
    };
    Some(Event {
        kind,
        // They begin at 0 or 1, and the last has none.
        id: None,
        execute_id: fields::execute_id(data.value("run_id")).map(Cow::into_owned),
        debug_url: None,
        usage: None,
    })
}
