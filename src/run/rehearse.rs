//! `--check`: which configuration was found where, and whether anybody answers; or, with requests,
//! what would be wrong with them. Starts nothing: all it asks is what a workflow takes.

use std::sync::LazyLock;

use serde::Serialize;
use serde_json::value::RawValue;

use super::pace::Setback;
use super::start::{Document, http_message};
use super::{Attempt, Observer, Progress, Runner, pace, stops_everything, unreachable};
use crate::config::{Config, Origin};
use crate::coze::call::Call;
use crate::coze::code::{About, Meaning};
use crate::coze::description::{self, Workflow};
use crate::coze::fields;
use crate::error::{Error, Hint, Kind};
use crate::http::{HttpResponse, Limits};
use crate::input::request::{Request, Start, Task};
use crate::language::Language;
use crate::time::Deadline;

/// What a workflow takes, or why that is not known of this one.
type Description = Result<Workflow, Error>;

/// What `--check` found. It is no response: it has no `status`, and says nothing of a run. By
/// `workflow`, be it empty, or `reachable` a report that is fed back is refused.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workflow_id: Option<&'a str>,
    /// None in a report on the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workflow: Option<&'a Workflow>,
    /// This and the next four are of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reachable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) milliseconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) config: &'a [Origin],
    pub(crate) warnings: Vec<Hint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Error>,
}

impl Report<'_> {
    /// Nothing where nothing is wrong.
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.error.as_ref().map(|error| error.kind)
    }

    /// The line for standard error.
    pub(crate) fn complaint(&self, language: Language) -> Option<String> {
        let line = self.error.as_ref()?.line(language);
        let id = self.id.map(|id| format!(" [id {id}]"));
        Some(line + &id.unwrap_or_default())
    }
}

/// Reports on requests, one after another.
pub(crate) struct Rehearsal<'a> {
    runner: Runner<'a>,
    config: &'a Config,
    /// What each workflow takes, asked once.
    looked_up: Vec<(String, Description)>,
}

impl<'a> Rehearsal<'a> {
    pub(crate) fn new(mut runner: Runner<'a>, config: &'a Config) -> Self {
        // One look-up after another: nobody else finds out whether the host can be reached.
        runner.rules.batch = false;
        Self {
            runner,
            config,
            looked_up: Vec::new(),
        }
    }

    /// One GET without the key. Any HTTP answer will do.
    pub(crate) fn connection(&self) -> Report<'a> {
        let Runner {
            http, clock, rules, ..
        } = &self.runner;
        let limits = Limits {
            total: rules.timeout,
            idle: rules.idle_timeout,
        };
        let before = clock.now();
        let answered = http.call(&Call::check(), limits);
        let milliseconds = clock.now().saturating_sub(before).as_millis();
        let warnings = self.config.warnings.iter().cloned();
        Report {
            warnings: warnings.map(Hint::from).collect(),
            error: answered.as_ref().err().map(unreachable),
            reachable: Some(answered.is_ok()),
            http_status: answered.ok().map(|response| response.status),
            milliseconds: u64::try_from(milliseconds).ok(),
            key: Some("not tried"),
            config: &self.config.origins,
            ..Report::default()
        }
    }

    /// What would be wrong with a request, as far as can be told without starting anything.
    pub(crate) fn request<'r>(
        &'r mut self,
        request: &'r Request,
        observer: &dyn Observer,
    ) -> Report<'r> {
        static UNKNOWN: LazyLock<Workflow> = LazyLock::new(Workflow::default);
        let mut report = Report {
            id: request.id.as_deref(),
            workflow_id: request.workflow_id.as_deref(),
            workflow: Some(&UNKNOWN),
            ..Report::default()
        };
        match &request.task {
            Err(error) => report.error = Some(error.clone()),
            Ok(Task::Run(start)) => {
                let id = request.workflow_id.as_deref().unwrap_or_default();
                match self.looked_up(id, observer) {
                    Ok(workflow) => {
                        report.workflow = Some(workflow);
                        report.warnings.extend(warning(workflow));
                        report.error = misfit(workflow, start);
                    }
                    Err(error) => report.error = Some(error.clone()),
                }
            }
            Ok(Task::Watch(_) | Task::Resume(_)) => report.warnings.push(Hint::new(
                "only its form was checked: a rehearsal asks nothing of a run",
                "只检查了格式：预演不会查询任何运行",
            )),
        }
        report
    }

    fn looked_up(&mut self, id: &str, observer: &dyn Observer) -> &Description {
        let known = self.looked_up.iter().position(|(known, _)| known == id);
        let place = known.unwrap_or_else(|| {
            let found = self.look_up(id, observer).unwrap_or_else(|error| {
                let why = "not looked up, because an earlier look-up failed";
                self.runner.shared.stop(error.kind, why, &error);
                Err(error)
            });
            self.looked_up.push((id.to_owned(), found));
            self.looked_up.len() - 1
        });
        &self.looked_up[place].1
    }

    /// Asks until there is an answer. It may be asked again: it changes nothing. An error of its own is
    /// what every further look-up would meet as well.
    fn look_up(&self, id: &str, observer: &dyn Observer) -> Result<Description, Error> {
        let runner = &self.runner;
        let mut attempt = Attempt {
            runner,
            observer,
            deadline: Deadline::after(runner.clock, runner.rules.timeout),
            progress: Progress::default(),
        };
        let mut retries = pace::Retries::new(runner.rules.retries);
        attempt.wait_at_gate(&mut retries)?;
        loop {
            let call = attempt.service().describe(id);
            let setback = match attempt.call(&call) {
                Ok(mut response) => {
                    let retry_after = response.retry_after.take();
                    match attempt.read_description(response) {
                        Err(error) if error.kind == Kind::Unreachable => Setback {
                            retry_after,
                            ..error.into()
                        },
                        found => return found,
                    }
                }
                Err(failure) if failure.is_transient() => unreachable(&failure).into(),
                Err(failure) => return Err(unreachable(&failure)),
            };
            attempt.pause_or_give_up(&mut retries, setback)?;
        }
    }
}

impl Attempt<'_> {
    fn read_description(&self, mut response: HttpResponse) -> Result<Description, Error> {
        let status = response.status;
        let document = Document::read(response.body.as_mut(), Vec::new());
        // By the service as this very answer shows it: they all are asked alike.
        let service = self.service();
        let envelope = service.envelope(&document.text);
        let read = service.read_description(status, &document.text);
        read.map(Ok).or_else(|meaning| {
            let has_words = envelope.msg.is_some();
            let mut said = envelope.said(|| http_message(status));
            let code = said.number();
            said.logid = response.logid.or(said.logid.take());
            let mut error = self.coze_error(Kind::Unreachable, About::Describe, said);
            if code.is_none() && meaning != Meaning::RateLimited {
                error = error.with_hint(service.hint_without_code(status, has_words));
            }
            if meaning == Meaning::Refused {
                error.kind = Kind::Refused;
                if !stops_everything(&error, status) {
                    return Ok(Err(error));
                }
            }
            Err(error)
        })
    }
}

fn warning(workflow: &Workflow) -> Option<Hint> {
    if workflow.parameters.is_none() {
        return Some(Hint::new(
            "the server does not tell what the workflow takes: its parameters were not compared",
            "服务器没有说明该工作流的参数：未作比对",
        ));
    }
    workflow.is_chatflow().then(|| {
        Hint::new(
            "this looks like a chatflow, whose own call this program does not make",
            "这看起来是对话流，本程序不支持对话流的调用",
        )
    })
}

/// The error of a run whose parameters are not what the workflow takes: all that is wrong in one
/// sentence.
fn misfit(workflow: &Workflow, start: &Start) -> Option<Error> {
    let declared = workflow.parameters.as_deref()?;
    let faults = description::faults(declared, &fields::parameters(&start.body), "");
    (!faults.is_empty()).then(|| {
        let faults = faults.join("; ");
        Error::usage(format!("the parameters do not fit the workflow: {faults}"))
            .with_hint(Some(description::signature(declared)))
    })
}
