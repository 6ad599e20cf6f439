//! The dialect of Coze Studio, the server that everybody can run: as its own handlers answered when
//! they were called (`tests/wire/studio_live_*`). A Studio `before_v030` writes its events' names in
//! lower case and has no history that a key could ask for.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::call::{Body, Event, Reply, Route, UPLOADED, Upload, go_escaped, request_key};
use super::workflow::{
    END, Ending, Failure, Mode, Node, OUTPUT, Output, Phase, Question, Run, Speaker, Workflow,
    quoted, written,
};
use super::{Dialect, Options, Request, State};

const OTHER: u64 = 720_701_013;
const WRONG_TYPE: u64 = 720_702_001;
const MISSING: u64 = 720_702_002;
const NO_WORKFLOW: u64 = 720_702_004;
const NOT_PUBLISHED: u64 = 720_702_011;
const NO_VERSION: u64 = 777_777_778;
const NO_RUN: u64 = 777_777_775;
/// The one version of every workflow.
const VERSION: &str = "v0.0.1";

#[derive(Debug)]
pub(super) struct Studio {
    pub(super) before_v030: bool,
}

impl Dialect for Studio {
    fn answer(
        &self,
        options: &Options,
        state: &mut State,
        request: &Request,
        route: Route<'_>,
    ) -> Reply {
        match route {
            Route::StudioHistory { .. } if self.before_v030 => return no_session(),
            Route::History { .. } | Route::Resume => return no_session(),
            Route::Unknown if request.target.starts_with("/v1/") => return no_session(),
            Route::Project(_) | Route::Unknown => {
                return Reply::text(404, "Cannot open requested path");
            }
            _ => {}
        }
        if request.header("authorization").is_none() {
            return unauthorized("missing authorization in header");
        }
        if !options.admits(request) {
            return unauthorized("CheckPermission failed");
        }
        match route {
            Route::StreamRun => stream_run(options, state, request),
            Route::Run => run(options, state, request),
            Route::StreamResume => resume(state, request),
            Route::StudioHistory { execute_id } => poll(state, execute_id),
            Route::Describe { workflow_id } => describe(workflow_id),
            Route::Upload => upload(request),
            Route::History { .. } | Route::Resume | Route::Project(_) | Route::Unknown => {
                unreachable!("answered above")
            }
        }
    }

    fn logid(&self, number: u64) -> (&'static str, String) {
        ("X-Log-Id", uuid(number))
    }

    fn message(&self, node: &Node, seq: usize, is_last: bool, content: &str) -> Event {
        let Node { title, kind, id } = node;
        let content = quoted(content);
        let data = format!(
            r#"{{"content":{content},"content_type":"text","node_seq_id":"{seq}","node_id":"{id}","node_is_finish":{is_last},"node_type":"{kind}","node_title":"{title}"}}"#
        );
        self.event("Message", data)
    }

    fn events(&self, options: &Options, run: &Run) -> Vec<Event> {
        let story = run.story();
        let mut telling = Telling {
            studio: self,
            events: Vec::new(),
            pieces: HashMap::new(),
        };
        if run.workflow == Workflow::Slow {
            (0..options.slow_polls).for_each(|_| telling.events.push(Event::silence()));
        }
        for speech in story.said {
            let node = match speech.speaker {
                Speaker::Output => &OUTPUT,
                Speaker::SubWorkflow => &END,
            };
            telling.say(node, &speech.pieces);
        }
        match story.ending {
            Ending::Gives(_) if run.workflow == Workflow::Breaks => {
                telling.events.push(Event::broken());
                return telling.events;
            }
            Ending::Gives(Output::Variables(json)) => telling.say(&END, &[go_json(&json)]),
            Ending::Gives(Output::Text(pieces)) => telling.say(&END, &pieces),
            Ending::Asks(question) => {
                let data = question_data(question);
                telling.say(question.node(), std::slice::from_ref(&data));
                let (url, event_id) = (debug_url(run), run.event_id());
                let (data, kind) = (quoted(&data), question.interrupt_type());
                let data = format!(
                    r#"{{"debug_url":"{url}","interrupt_data":{{"event_id":"{event_id}","type":{kind},"data":{data}}}}}"#
                );
                telling.events.push(self.event("Interrupt", data));
                return telling.events;
            }
            Ending::Fails(failure) => {
                let (code, message) = told(&failure);
                let (url, message) = (debug_url(run), quoted(&message));
                let data = format!(
                    r#"{{"debug_url":"{url}","error_code":{code},"error_message":{message}}}"#
                );
                telling.events.push(self.event("Error", data));
                return telling.events;
            }
        }
        if !matches!(run.workflow, Workflow::Cut | Workflow::Stuck) {
            telling.events.push(self.done(run));
        }
        telling.events
    }

    fn done(&self, run: &Run) -> Event {
        self.event("Done", format!(r#"{{"debug_url":"{}"}}"#, debug_url(run)))
    }
}

impl Studio {
    /// Its events, unlike its answers, are not escaped.
    fn event(&self, name: &str, data: String) -> Event {
        if self.before_v030 {
            Event::new(&name.to_lowercase(), data)
        } else {
            Event::new(name, data)
        }
    }
}

/// Events in the making. `node_seq_id` counts per node over the whole stream, so a sub-workflow's
/// End and the run's own share a count; an empty text is not sent.
struct Telling<'a> {
    studio: &'a Studio,
    events: Vec<Event>,
    /// Sent so far, by `node_id`.
    pieces: HashMap<&'static str, usize>,
}

impl Telling<'_> {
    fn say(&mut self, node: &Node, pieces: &[String]) {
        let seq = self.pieces.entry(node.id).or_default();
        let mut pieces = pieces.iter().filter(|piece| !piece.is_empty()).peekable();
        while let Some(piece) = pieces.next() {
            let is_last = pieces.peek().is_none();
            self.events
                .push(self.studio.message(node, *seq, is_last, piece));
            *seq += 1;
        }
    }
}

/// What a question node or an input node says, in its Message and in the Interrupt.
fn question_data(question: Question) -> String {
    let node = question.node().id;
    match question {
        Question::Text(words) => {
            let words = quoted(words);
            format!(
                r#"{{"messages":[{{"type":"question","content_type":"text","content":{words},"id":"{node}_0"}}]}}"#
            )
        }
        Question::Options(words, options) => {
            let words = quoted(words);
            let options: Vec<String> = options
                .iter()
                .map(|option| format!(r#"{{"name":{}}}"#, quoted(option)))
                .collect();
            let options = options.join(",");
            format!(
                r#"{{"messages":[{{"type":"question","content_type":"option","content":{{"options":[{options}],"question":{words}}},"id":"{node}_0"}}]}}"#
            )
        }
        Question::Form(fields) => {
            let fields = written(fields, ", ", |name, kind, required| {
                format!(r#"{{"name": "{name}", "type": "{kind}", "required": {required}}}"#)
            });
            let form = quoted(&format!("[{fields}]"));
            format!(r#"{{"content":{form},"content_type":"form_schema"}}"#)
        }
    }
}

/// The code and the words of a failure.
fn told(failure: &Failure) -> (u64, String) {
    match failure {
        Failure::Node => (
            305_000_002,
            "Function execution failed, please check the code of the function. Detail: boom: the code failed"
                .to_owned(),
        ),
        Failure::NoObject(answer) => {
            let words = format!("Syntax error at index 1: invalid char\n\n\t{answer}\n\t.^.\n");
            (OTHER, failure_of(&quoted(&words)))
        }
        Failure::Missing(name) => (MISSING, missing(name)),
    }
}

fn missing(name: &str) -> String {
    format!(
        "Missing required parameters：’{name}‘. Please review the API documentation and ensure all mandatory fields are included in your request."
    )
}

fn failure_of(what: &str) -> String {
    format!("Workflow execution failure: {what}")
}

/// Why nothing was started.
struct Refusal {
    code: u64,
    message: String,
}

impl Refusal {
    fn new(code: u64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// From every path but `run`.
    fn plain(&self) -> Reply {
        let (code, message) = (self.code, quoted(&self.message));
        json(200, &format!(r#"{{"code":{code},"msg":{message}}}"#))
    }

    /// From `run`, which has other codes for some of them.
    fn of_run(&self) -> Reply {
        let code = match self.code {
            WRONG_TYPE | MISSING => 4000,
            NOT_PUBLISHED => 6031,
            code => code,
        };
        submitted(code, &quoted(&self.message), None, &no_debug_url(), None)
    }
}

/// What the refusal of a start and the start itself need.
struct Start {
    workflow_id: String,
    workflow: Workflow,
    parameters: String,
    is_async: bool,
    key: String,
}

enum NoStart {
    /// Before anything was understood.
    Unreadable(serde_json::Error),
    Refused(Refusal),
}

fn read_start(request: &Request) -> Result<Start, NoStart> {
    let refused = |code, message: String| Err(NoStart::Refused(Refusal::new(code, message)));
    let body = Body::of(request).map_err(NoStart::Unreadable)?;
    let parameters = body.parameters();
    let workflow_id = body.workflow_id.unwrap_or_default();
    if workflow_id.parse::<i64>().is_err() {
        return refused(OTHER, failure_of(&panic(&workflow_id)));
    }
    let Some(workflow) = Workflow::of(&workflow_id) else {
        return refused(NO_WORKFLOW, no_workflow(&workflow_id));
    };
    if workflow == Workflow::Unpublished {
        let message = "Workflow not published. The requested operation cannot be performed on an unpublished workflow. Please publish the workflow and try again.";
        return refused(NOT_PUBLISHED, message.to_owned());
    }
    if body.bot_id.is_some() && body.app_id.is_some() {
        let message = failure_of("project_id and bot_id cannot be set at the same time");
        return refused(OTHER, message);
    }
    if body
        .workflow_version
        .is_some_and(|version| version != VERSION)
    {
        let message = "Workflow operation failure: no such version of the workflow";
        return refused(NO_VERSION, message.to_owned());
    }
    let given: Value = serde_json::from_str(&parameters).unwrap_or_default();
    for field in workflow.inputs() {
        match given.get(field.name) {
            None if field.required => return refused(MISSING, missing(field.name)),
            Some(value) if !value.is_null() && !field.fits(value) => {
                let message = "Invalid request parameters. Please check your input and ensure all required fields are correctly formatted and within allowed ranges.";
                return refused(WRONG_TYPE, message.to_owned());
            }
            _ => {}
        }
    }
    Ok(Start {
        key: request_key(request, &parameters),
        workflow_id,
        workflow,
        parameters,
        is_async: body.is_async == Some(true),
    })
}

fn begin(options: &Options, state: &mut State, start: Start, mode: Mode) -> Result<Run, Reply> {
    if let Some(refused) = state.rate_refusal(options, start.workflow, &start.key) {
        return Err(refused);
    }
    let Start {
        workflow_id,
        workflow,
        parameters,
        key,
        ..
    } = start;
    Ok(state.begin(options, key, workflow_id, workflow, mode, parameters))
}

fn stream_run(options: &Options, state: &mut State, request: &Request) -> Reply {
    let start = match read_start(request) {
        Ok(start) => start,
        Err(NoStart::Unreadable(error)) => return unreadable(&error),
        Err(NoStart::Refused(refusal)) => return refusal.plain(),
    };
    begin(options, state, start, Mode::Stream).map_or_else(|refused| refused, Reply::of_run)
}

fn run(options: &Options, state: &mut State, request: &Request) -> Reply {
    let start = match read_start(request) {
        Ok(start) => start,
        Err(NoStart::Unreadable(error)) => return unreadable(&error),
        Err(NoStart::Refused(refusal)) => return refusal.of_run(),
    };
    let mode = if start.is_async {
        Mode::Background
    } else {
        Mode::Foreground
    };
    let run = match begin(options, state, start, mode) {
        Ok(run) => run,
        Err(refused) => return refused,
    };
    let (url, execute_id) = (debug_url(&run), Some(run.execute_id.as_str()));
    if mode == Mode::Background {
        return submitted(0, "null", None, &url, execute_id);
    }
    match run.story().ending {
        Ending::Gives(output) => {
            let data = match output {
                Output::Variables(json) => go_json(&json),
                Output::Text(pieces) => {
                    let text = go_quoted(&pieces.concat());
                    format!(r#"{{"content_type":1,"data":{text},"type_for_model":2}}"#)
                }
            };
            submitted(0, "null", Some(&data), &url, execute_id)
        }
        Ending::Fails(failure) => {
            let (code, message) = told(&failure);
            submitted(code, &quoted(&message), None, &url, None)
        }
        Ending::Asks(_) => {
            let message = "Synchronous requests do not support interruption. Please switch to asynchronous requests for interruptible operations.";
            submitted(6039, &quoted(message), None, &no_debug_url(), None)
        }
    }
}

/// Every answer of `run` but HTTP 400; `message` is JSON.
fn submitted(
    code: u64,
    message: &str,
    data: Option<&str>,
    debug_url: &str,
    execute_id: Option<&str>,
) -> Reply {
    let (token, cost) = match data {
        Some(_) => ("0", r#""0.00000""#),
        None => ("null", "null"),
    };
    let or_null = |text: Option<&str>| text.map_or_else(|| "null".to_owned(), quoted);
    let (data, execute_id) = (or_null(data), or_null(execute_id));
    json(
        200,
        &format!(
            r#"{{"code":{code},"msg":{message},"data":{data},"token":{token},"cost":{cost},"debug_url":"{debug_url}","execute_id":{execute_id},"BaseResp":null}}"#
        ),
    )
}

/// `workflow_id` and `interrupt_type` are not looked at, nor how the run was started.
fn resume(state: &mut State, request: &Request) -> Reply {
    let body = match Body::of(request) {
        Ok(body) => body,
        Err(error) => return unreadable(&error),
    };
    let refused = |what: String| Refusal::new(OTHER, failure_of(&what)).plain();
    let event_id = body.event_id.unwrap_or_default();
    let numbers = event_id.split_once('/').filter(|(execute_id, event)| {
        execute_id.parse::<i64>().is_ok() && event.parse::<i64>().is_ok()
    });
    let Some((execute_id, event)) = numbers else {
        return refused(format!("invalid event id when stream resume: {event_id}"));
    };
    let Some(run) = state.runs.get_mut(execute_id) else {
        return refused(format!(
            "workflow execution does not exist, id: {execute_id}"
        ));
    };
    let Some(question) = run.question() else {
        let status = match (run.phase, run.story().ending) {
            (Phase::Ended, Ending::Fails(_)) => 3,
            (Phase::Ended, _) => 2,
            _ => 1,
        };
        return refused(format!(
            "workflow execution {execute_id} is not interrupted, status is {status}, cannot resume"
        ));
    };
    let waits_for = run.event_id();
    if waits_for != event_id {
        let (_, actual) = waits_for.split_once('/').unwrap_or_default();
        return refused(format!(
            "interrupt event id mismatch, expect: {event}, actual: {actual}"
        ));
    }
    let answer = body.resume_data.unwrap_or_default();
    run.resume(question, Some(answer), Phase::Streaming);
    let run = run.clone();
    state.count_answer(event_id);
    Reply::of_run(run)
}

fn poll(state: &mut State, execute_id: &str) -> Reply {
    let refused = |what: String| {
        let message = quoted(&format!("Workflow operation failure: {what}"));
        json(
            200,
            &format!(r#"{{"code":{NO_RUN},"msg":{message},"BaseResp":null}}"#),
        )
    };
    if execute_id.parse::<i64>().is_err() {
        return refused(panic(execute_id));
    }
    match state.runs.get_mut(execute_id) {
        Some(run) => json(200, &history(run)),
        None => refused("user 123 does not have access to space 0".to_owned()),
    }
}

fn history(run: &mut Run) -> String {
    let phase = run.poll();
    let nothing = (String::new(), String::new(), String::new());
    let (status, (output, error_code, error_message)) = match (phase, run.story().ending) {
        (Phase::Waiting, _) => ("<UNSET>", nothing),
        (Phase::Streaming | Phase::Running { .. }, _) => ("Running", nothing),
        (Phase::Ended, Ending::Gives(output)) => {
            let output = match output {
                Output::Variables(json) => go_json(&json),
                Output::Text(pieces) => format!(r#"{{"output":{}}}"#, go_quoted(&pieces.concat())),
            };
            ("Success", (output, String::new(), String::new()))
        }
        (Phase::Ended, Ending::Fails(failure)) => {
            let (code, message) = told(&failure);
            ("Fail", (String::new(), code.to_string(), message))
        }
        (Phase::Ended, Ending::Asks(_)) => unreachable!("a run that asks waits"),
    };
    let (execute_id, url) = (&run.execute_id, debug_url(run));
    let log_id = uuid(execute_id.parse().unwrap_or_default());
    let (run_mode, token) = (run.mode.number(), run.tokens());
    let (input, output) = (quoted(&run.parameters), quoted(&output));
    let error_message = quoted(&error_message);
    format!(
        r#"{{"data":[{{"execute_id":{execute_id},"execute_status":"{status}","bot_id":null,"connector_id":1024,"connector_uid":"123","run_mode":{run_mode},"log_id":"{log_id}","create_time":1795695669,"update_time":1795695669,"debug_url":"{url}","input":{input},"output":{output},"token":{token},"cost":"0.00000","cost_unit":null,"ext":null,"error_code":"{error_code}","error_msg":{error_message}}}],"BaseResp":null}}"#
    )
}

/// It belongs to chatflows: that a workflow is there is all it tells.
fn describe(workflow_id: &str) -> Reply {
    if Workflow::of(workflow_id).is_some() {
        Refusal::new(777_777_780, "ChatFlowRole operation failure: {cause}").plain()
    } else {
        Refusal::new(NO_WORKFLOW, no_workflow(workflow_id)).plain()
    }
}

fn upload(request: &Request) -> Reply {
    let Some(Upload { file_name, bytes }) = Upload::of(request) else {
        return json(400, r#"{"code":400,"msg":"no file"}"#);
    };
    let uri = format!("bot_files/{}/{file_name}", uuid(bytes as u64));
    let url = quoted(&format!("{HOST}/local_storage/{uri}"));
    let (uri, file_name) = (quoted(&uri), quoted(&file_name));
    json(
        200,
        &format!(
            r#"{{"data":{{"uri":{uri},"bytes":{bytes},"CreatedAt":1795694319,"file_name":{file_name},"url":{url},"id":"{UPLOADED}"}},"code":0,"msg":"","BaseResp":null}}"#
        ),
    )
}

const HOST: &str = "http://127.0.0.1:8888";

fn debug_url(run: &Run) -> String {
    let (execute_id, workflow_id) = (&run.execute_id, &run.workflow_id);
    format!(
        "{HOST}/work_flow?execute_id={execute_id}&execute_mode=2&space_id=123&workflow_id={workflow_id}"
    )
}

/// Of a run that there is not.
fn no_debug_url() -> String {
    format!("{HOST}/work_flow?execute_id=0&execute_mode=2&space_id=0&workflow_id=0")
}

fn no_workflow(workflow_id: &str) -> String {
    format!("workflow {workflow_id} not found, please check if the workflow exists and not deleted")
}

/// Every path below /v1 that it does not know is its web page's, which has another login.
fn no_session() -> Reply {
    json(401, r#"{"code":401,"msg":"missing session_key in cookie"}"#)
}

fn unauthorized(why: &str) -> Reply {
    Refusal::new(700_012_006, format!("authentication failed: {why}")).plain()
}

/// HTTP 400: the body is no JSON, or a member of it has the wrong type.
fn unreadable(error: &serde_json::Error) -> Reply {
    let (error, index) = (error.to_string(), error.column());
    let kinds = [
        ("integer", "number"),
        ("floating point", "number"),
        ("map", "object"),
        ("sequence", "array"),
        ("boolean", "bool"),
    ];
    let found = error.strip_prefix("invalid type: ").map(|found| {
        let kind = kinds
            .iter()
            .find(|(of_serde, _)| found.starts_with(of_serde));
        let wanted = if found.contains("expected a boolean") {
            "bool"
        } else {
            "string"
        };
        (kind.map_or("string", |(_, kind)| *kind), wanted)
    });
    let message = match found {
        Some((kind, wanted)) => format!(
            "bind body failed, err=Mismatch type {wanted} with value {kind} \"at index {index}: mismatched type with value\""
        ),
        None => format!("bind body failed, err=\"Syntax error at index {index}: invalid char\""),
    };
    json(
        400,
        &format!(r#"{{"code":400,"msg":{}}}"#, quoted(&message)),
    )
}

/// What Go says of an id that is no number: with its whole stack, some 6 KB.
fn panic(id: &str) -> String {
    let mut said = format!(
        "panic error: strconv.ParseInt: parsing {}: invalid syntax, \nstack: goroutine 5591 [running]:\nruntime/debug.Stack()\n\t/usr/local/go/src/runtime/debug/stack.go:26 +0x5e\n",
        quoted(id)
    );
    for frame in 0..60 {
        let _ = write!(
            said,
            "github.com/coze-dev/coze-studio/backend/frame{frame}(0xc000{frame:06x})\n\t/app/backend/frame{frame}.go:{frame} +0x1d\n"
        );
    }
    said
}

fn uuid(number: u64) -> String {
    let low = number % (1 << 48);
    format!("1f0f8f7a-0000-4000-8000-{low:012x}")
}

/// An answer that is no stream, escaped as Go's own encoder does.
fn json(status: u16, body: &str) -> Reply {
    Reply::json(status, go_escaped(body))
}

fn go_quoted(text: &str) -> String {
    go_escaped(&quoted(text))
}

/// A map of outputs as Go writes it: keys in order, three characters escaped.
fn go_json(json: &str) -> String {
    let value: Value = serde_json::from_str(json).expect("a workflow gives JSON");
    go_escaped(&value.to_string())
}
