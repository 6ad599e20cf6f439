//! A deployed project: one workflow at an address of its own. The parameters are the whole body, a
//! start carries the run's id, and only what was started in the background can be watched.
//! <https://docs.coze.cn/guides> on deployment, and the server library `coze-coding-utils`.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::Service;
use crate::coze::call::{Call, Mode, RunRef};
use crate::coze::code::{self, Meaning};
use crate::coze::description::Workflow;
use crate::coze::envelope::{Envelope, Said};
use crate::coze::event::{Ended, Event, EventKind, Parse};
use crate::coze::fields::{self, Json, Raw};
use crate::coze::history::{Poll, Record};
use crate::error::{Error, Hint};
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
        Call::start(path, parameters(body), mode)
    }

    fn envelope<'a>(&self, body: &'a str) -> Option<Envelope<'a>> {
        let answer = Object::read(body)?;
        let (detail, fault) = (answer.get("detail"), answer.object("detail"));
        Some(Envelope {
            code: fault.get("error_code"),
            msg: (fault.get("error_message").or(detail)).or(answer.get("msg")),
            execute_id: answer.get("task_id"),
            ..Envelope::default()
        })
    }

    fn events(&self) -> Parse {
        event
    }

    fn poll(&self, run: &RunRef) -> Call<'static> {
        Call::poll(format!("/task/{}", run.execute_id()))
    }

    fn read_poll(&self, run: &RunRef, status: u16, _: bool, body: &[u8]) -> Poll {
        let text = String::from_utf8_lossy(body);
        let answer = Object::read(&text).unwrap_or_default();
        let fault = answer.object("error");
        let said = |otherwise: &str| {
            let told = fault.text("message").or(answer.text("detail"));
            let told = told.or(answer.text("msg")).unwrap_or(otherwise.into());
            Said::ours(told).with_code(fault.get("code"))
        };
        let failed = |otherwise| Poll::Failed(Record::default(), said(otherwise));
        let is_ours = answer.text("task_id").as_deref() == Some(run.execute_id());
        let word = answer.text("status").filter(|_| status == 200 && is_ours);
        match word.as_deref() {
            Some("pending" | "running") => Poll::Running(Record::default()),
            Some("completed") => {
                // What had to be replaced is not what was said.
                let result = answer
                    .get("result")
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
            _ if status == 404 && answer.text("detail").as_deref() == Some(ABSENT) => {
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
        Call::poll("/graph_parameter")
    }

    fn read_description(&self, status: u16, body: &str) -> Result<Workflow, Meaning> {
        let answer = Object::read(body).unwrap_or_default();
        let input = answer.get("input_schema").filter(|_| status == 200);
        let input = input.ok_or_else(|| code::meaning(None, status))?;
        Ok(Workflow::of_schemas(input, answer.get("output_schema")))
    }

    fn hint_without_code(&self, status: u16, has_words: bool) -> Option<Hint> {
        match status {
            _ if !has_words => Some(super::no_answer_of_coze()),
            401 => Some(Hint::new(
                "a deployed project has a key of its own (eyJ…): create one on its page at Coze",
                "部署的项目有自己的密钥（eyJ…）：请在扣子的项目页面创建",
            )),
            _ => None,
        }
    }

    /// Only a workflow that ran has a code.
    fn meaning(&self, code: Option<i64>, status: u16, _: bool) -> Meaning {
        code.map_or_else(|| code::meaning(None, status), |_| Meaning::Failed)
    }
}

/// What a JSON object holds.
#[derive(Default)]
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    fn read(json: &'a str) -> Option<Self> {
        fields::entries(json).map(Self)
    }

    /// Also a `null`, which may be a result.
    fn get(&self, key: &str) -> Raw<'a> {
        let (_, value) = self.0.iter().find(|(other, _)| other == key)?;
        Some(Json(value.get()))
    }

    fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        fields::nonempty(self.get(key))
    }

    /// An empty one where it is none.
    fn object(&self, key: &str) -> Self {
        let inner = self.get(key).and_then(|Json(json)| Self::read(json));
        inner.unwrap_or_default()
    }
}

/// The object of parameters, also where it is given as its text.
fn parameters(body: &str) -> Cow<'_, str> {
    let given = Object::read(body).and_then(|body| body.get("parameters"));
    let own = given.map_or("{}", |Json(json)| json);
    fields::text(given).unwrap_or(own.into())
}

/// A frame as it is understood here. `None` for a last one that is not whole.
fn event<'a>(frame: &'a Frame<'_>) -> Option<Event<'a>> {
    let data = Object::read(&frame.data);
    if data.is_none() && !frame.terminated {
        return None;
    }
    let data = data.unwrap_or_default();
    let word = data.text("type").unwrap_or_default();
    let kind = match (&*word, data.get("output")) {
        ("workflow_end" | "done", Some(output)) if !frame.replaced => EventKind::Result(output),
        ("error", _) => {
            let message = data.text("error_msg").or(data.text("message"));
            let said = Said::ours(message.unwrap_or_default()).with_code(data.get("code"));
            EventKind::Ended(Ended::of_error(frame, said))
        }
        _ => EventKind::Other,
    };
    Some(Event {
        kind,
        // They begin at 0 or 1, and the last has none.
        id: None,
        execute_id: fields::execute_id(data.get("run_id")).map(Cow::into_owned),
        debug_url: None,
        usage: None,
    })
}
