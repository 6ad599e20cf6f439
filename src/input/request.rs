//! The text of one request → what is to be done: run, watch or resume, each with exactly what its
//! call needs. `parameters`, `ext` and `id` pass through byte for byte. Whatever could cost a run by
//! mistake (a misspelt key, a key twice, an empty `execute_id`) is refused here, unsent.
//! Body of a run: <https://docs.coze.cn/developer_guides/workflow_stream_run>.

#[cfg(test)]
mod tests;

use serde_json::value::{RawValue, to_raw_value};

use super::object::Object;
use super::{address, resume};
use crate::cli::Options;
use crate::coze::call::{Mode, RunRef};
use crate::coze::event::Interrupt;
use crate::coze::fields::{self, Entries, Json};
use crate::error::{Error, nearest};
use crate::service::{self, Service};

/// The keys of a run, all of which Coze knows. A resume has the first and takes those from `ext` on.
pub(super) const RUN_KEYS: [&str; 8] = [
    "workflow_id",
    "parameters",
    "is_async",
    "ext",
    "connector_id",
    "app_id",
    "bot_id",
    "workflow_version",
];

/// One request, as far as it could be understood.
#[derive(Debug)]
pub(crate) struct Request {
    /// The caller's own name for it, any JSON value, on one line.
    pub(crate) id: Option<Box<RawValue>>,
    /// For the response: feeding it back needs it.
    pub(crate) workflow_id: Option<String>,
    pub(crate) facts: RunFacts,
    pub(crate) task: Result<Task, Error>,
}

/// What a request says of the run that it is about. Its response says so too, even where the request
/// is refused: it may be the only way back.
#[derive(Debug, Default)]
pub(crate) struct RunFacts {
    pub(crate) execute_id: Option<String>,
    pub(crate) debug_url: Option<String>,
    /// The question that is answered.
    pub(crate) interrupt: Option<Interrupt>,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Task {
    /// Start a run.
    Run(Start),
    /// Look at a run until it ends. Its mode is known from the response that is fed back, if that knew.
    Watch(RunRef),
    /// Answer an interrupt.
    Resume(Resume),
}

#[derive(Debug)]
pub(crate) struct Start {
    /// Streamed, or in the background and watched.
    pub(crate) mode: Mode,
    /// The body to send.
    pub(crate) body: String,
}

#[derive(Debug)]
pub(crate) struct Resume {
    pub(crate) event_id: String,
    pub(crate) mode: Mode,
    /// The body to send.
    pub(crate) body: String,
}

impl Request {
    /// Understands the text of one JSON object.
    pub(crate) fn parse(text: &str, options: &Options) -> Self {
        let Some(entries) = Entries::parse(text) else {
            let sentence = "a request is a JSON object with plain keys";
            return Self::refused(Error::usage(sentence));
        };
        let workflow_id = workflow_id(&entries, service::of(options.service));
        Self {
            id: entries.value("id").map(fields::one_line),
            workflow_id: workflow_id.clone().ok().flatten(),
            facts: facts(&entries),
            task: task(&entries, workflow_id, options),
        }
    }

    /// Of what a reader gives.
    pub(crate) fn of(text: Result<String, Error>, options: &Options) -> Self {
        match text {
            Ok(text) => Self::parse(&text, options),
            Err(error) => Self::refused(error),
        }
    }

    /// Its `id`, or else its number where responses have to be told apart.
    pub(crate) fn id_or(&self, number: Option<u64>) -> Option<Box<RawValue>> {
        let number = || to_raw_value(&number?).ok();
        self.id.clone().or_else(number)
    }

    /// How its run is, or was, started.
    pub(crate) fn mode(&self) -> Mode {
        self.task.as_ref().map_or(Mode::default(), Task::mode)
    }

    /// The run that it is about, where it names one.
    pub(crate) fn run(&self) -> Option<RunRef> {
        RunRef::new(self.facts.execute_id.clone()?, self.mode())
    }

    /// A request of which nothing could be understood.
    pub(crate) fn refused(error: Error) -> Self {
        Self {
            id: None,
            workflow_id: None,
            facts: RunFacts::default(),
            task: Err(error),
        }
    }
}

impl Task {
    /// How its run is, or was, started.
    pub(crate) fn mode(&self) -> Mode {
        match self {
            Self::Run(start) => start.mode,
            Self::Watch(run) => run.mode(),
            Self::Resume(resume) => resume.mode,
        }
    }

    /// Whether a parameter of a run is a file's object. Coze wants its text, so this may be why it
    /// refused the parameters.
    pub(crate) fn looks_like_file_object(&self) -> bool {
        let Self::Run(start) = self else {
            return false;
        };
        // In a text its quotes would be escaped.
        let is_file = |json: &str| json.starts_with(['{', '[']) && json.contains("\"file_id\"");
        let json = fields::parameters(&start.body);
        let parameters = fields::entries(&json).unwrap_or_default();
        parameters.iter().any(|(_, value)| is_file(value.get()))
    }
}

fn facts(entries: &Entries<'_>) -> RunFacts {
    let is_resume = entries.has("resume_data");
    let interrupt = resume::question(entries).ok().filter(|_| is_resume);
    let event_id = interrupt.as_ref().map(|interrupt| &*interrupt.event_id);
    let of_event = event_id.and_then(fields::execute_id_of_event);
    let given = || entries.id("execute_id").ok()?;
    let debug_url = entries.string("debug_url").ok().flatten();
    RunFacts {
        execute_id: (of_event.map(str::to_owned).or_else(given))
            .filter(|id| fields::names_a_run(id)),
        debug_url: debug_url.filter(|url| !url.is_empty()),
        interrupt,
    }
}

/// The keys decide the kind.
fn task(
    entries: &Entries<'_>,
    workflow_id: Result<Option<String>, Error>,
    options: &Options,
) -> Result<Task, Error> {
    entries.refuse_repeated()?;
    refuse_report(entries, options)?;
    let service = service::of(options.service);
    let refuse = |key| service.refuse(key).map_or(Ok(()), Err);
    if entries.has("resume_data") {
        refuse("resume_data")?;
        let workflow_id = workflow_id?.unwrap_or_default();
        return resume::resume(entries, &workflow_id, options).map(Task::Resume);
    }
    if entries.has("execute_id") {
        return watch(entries, workflow_id).map(Task::Watch);
    }
    check_run_keys(entries, options)?;
    entries.keys().try_for_each(refuse)?;
    let workflow_id = workflow_id?.filter(|_| service.has_workflow_ids());
    run(entries, workflow_id.as_deref(), options).map(Task::Run)
}

/// Without a `workflow_id` where the server has one workflow only.
fn run(
    entries: &Entries<'_>,
    workflow_id: Option<&str>,
    options: &Options,
) -> Result<Start, Error> {
    refuse_bot_with_app(entries)?;
    let background = options.asynchronous || entries.boolean("is_async")?;
    if options.no_wait && !background {
        let error = Error::usage("--no-wait can't be used on a streamed run");
        return Err(error.hint(
            "start it in the background: --async",
            "请在后台运行：--async",
        ));
    }
    let mut body = Object::about(workflow_id);
    for (key, value) in entries.iter() {
        if matches!(key, "workflow_id" | "is_async" | "id") {
            continue;
        }
        if RUN_KEYS.contains(&key) {
            entries.forward(key, &mut body)?;
        } else {
            // Even `null` may mean something there.
            body.push(key, value.get());
        }
    }
    let mode = if background {
        body.push("is_async", "true");
        Mode::Async
    } else {
        Mode::Stream
    };
    Ok(Start {
        mode,
        body: body.finish(),
    })
}

fn watch(
    entries: &Entries<'_>,
    workflow_id: Result<Option<String>, Error>,
) -> Result<RunRef, Error> {
    let misspelt = |key: &&str| nearest(key, &["resume_data"]).is_some();
    if let Some(key) = entries.keys().find(misspelt) {
        let error = Error::usage(format!("unknown key {key:?} beside execute_id"));
        return Err(error.hint(
            "did you mean \"resume_data\"?",
            "您是想写 \"resume_data\" 吗？",
        ));
    }
    refuse_keys(entries, &RUN_KEYS[1..], "execute_id")?;
    let interrupt = resume::interrupt(entries)?;
    if interrupt.has("resume_data") {
        let error = Error::usage("resume_data is inside interrupt");
        return Err(error.hint(
            "it belongs beside interrupt: jq -c '. + {resume_data: \"…\"}'",
            "它应与 interrupt 并列：jq -c '. + {resume_data: \"…\"}'",
        ));
    }
    let mode = resume::mode(&interrupt)?.unwrap_or_default();
    let execute_id = entries.id("execute_id")?;
    let execute_id = execute_id.ok_or_else(|| nothing_to_watch(entries))?;
    // The history is found below its workflow: without one nothing can be watched.
    workflow_id?;
    let no_run = format!("execute_id {execute_id:?} names no run");
    RunRef::new(execute_id, mode).ok_or_else(|| {
        Error::usage(no_run).hint(
            "Coze says 0 where no run was started; look at Coze before running it again",
            "没有开始运行时，扣子给出的是 0；重新运行之前，请先到扣子上查看",
        )
    })
}

fn nothing_to_watch(entries: &Entries<'_>) -> Error {
    let (english, chinese) = if entries.value("status") == Some(Json("\"Fail\"")) {
        (
            "a response is never run again; send the request itself",
            "响应不会被重新运行；请发送原来的请求",
        )
    } else {
        (
            "the run may have been started; look at Coze before running it again",
            "可能已经开始运行；重新运行之前，请先到扣子上查看",
        )
    };
    Error::usage("execute_id is empty: there is nothing to watch").hint(english, chinese)
}

fn workflow_id(entries: &Entries<'_>, service: &dyn Service) -> Result<Option<String>, Error> {
    if let Ok(Some(text)) = entries.string("workflow_id")
        && let Some(id) = address::workflow_id(&text)?
    {
        return Ok(Some(id.to_owned()));
    }
    match entries.id("workflow_id")? {
        None if service.has_workflow_ids() => Err(Error::usage("the request has no workflow_id")
            .hint(
                "it is the number after workflow_id= in the address of the workflow's page",
                "它是工作流页面地址中 workflow_id= 后面的数字",
            )),
        id => Ok(id),
    }
}

/// An unknown key of a run may be a misspelt `parameters`, and the run would be paid for.
fn check_run_keys(entries: &Entries<'_>, options: &Options) -> Result<(), Error> {
    if entries.has("additional_messages") || entries.has("conversation_id") {
        let sentence = "this is a chatflow's call, which this program does not make";
        return Err(Error::usage(sentence).hint(
            "a workflow is run with workflow_id and parameters",
            "运行工作流请用 workflow_id 和 parameters",
        ));
    }
    // A response is no run, nor is an answer to an interrupt, whatever is allowed.
    if entries.has("status") && entries.has("debug_url") {
        let error = Error::usage("this is a response without its execute_id");
        return Err(error.hint(
            "look at Coze before running it again",
            "重新运行之前，请先到扣子上查看",
        ));
    }
    if entries.has("interrupt") || entries.has("event_id") {
        let error = Error::usage("this is the answer to an interrupt without its resume_data");
        return Err(error.hint(
            "add resume_data; to watch the run instead, give its execute_id",
            "请加上 resume_data；若要查看这次运行，请给出它的 execute_id",
        ));
    }
    let known = |key: &str| key == "id" || RUN_KEYS.contains(&key);
    let unknown = entries.keys().find(|key| !known(key));
    let Some(key) = unknown.filter(|_| !options.allow_unknown_fields) else {
        return Ok(());
    };
    let error = Error::usage(format!("unknown key {key:?} in a run"));
    Err(match nearest(key, &RUN_KEYS) {
        Some(near) => error.hint(
            format!("did you mean {near:?}?"),
            format!("您是想写 {near:?} 吗？"),
        ),
        None => error.hint(
            "a workflow's inputs belong in parameters; to forward the key all the same: \
             --allow-unknown-fields",
            "工作流的输入应放在 parameters 中；若确要转发这个键：--allow-unknown-fields",
        ),
    })
}

/// A report is about a workflow and looks like a request for it, which would be paid for.
fn refuse_report(entries: &Entries<'_>, options: &Options) -> Result<(), Error> {
    // Of a run it is an unknown key, and what it may have meant is said with those.
    let is_run = !entries.has("execute_id") && !entries.has("resume_data");
    let knows_keys = is_run && !options.allow_unknown_fields;
    let is_unknown = |Json(json): Json<'_>| knows_keys && !json.starts_with('{');
    let workflow = entries.value_or_null("workflow");
    if !entries.has("reachable") && workflow.is_none_or(is_unknown) {
        return Ok(());
    }
    let error = Error::usage("this is a report of --check, not a request");
    Err(error.hint(
        "send the request that was checked, without --check",
        "请发送被检查的那个请求，不带 --check",
    ))
}

/// What only a run has makes a watch or resume ambiguous: it may have been meant as a run.
pub(super) fn refuse_keys(
    entries: &Entries<'_>,
    run_only: &[&str],
    key: &str,
) -> Result<(), Error> {
    let Some(other) = entries.keys().find(|other| run_only.contains(other)) else {
        return Ok(());
    };
    let error = Error::usage(format!("{key} and {other} can't be given together"));
    Err(error.hint(
        format!("a run has no {key}; a request that has it starts nothing"),
        format!("运行请求没有 {key}；带有它的请求不会开始运行"),
    ))
}

pub(super) fn refuse_bot_with_app(entries: &Entries<'_>) -> Result<(), Error> {
    if entries.value("bot_id").is_some() && entries.value("app_id").is_some() {
        return Err(Error::usage("bot_id and app_id can't be given together")
            .hint("leave one of them out", "请去掉其中一个"));
    }
    Ok(())
}
