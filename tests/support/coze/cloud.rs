//! The dialect of api.coze.cn: its doors, refusals, events and histories, byte for byte as on the
//! wire (key order, escapes, PINGs). What is not documented is answered as seen, or else plainly.

use super::call::{Body, Event, Reply, Route, UPLOADED, Upload, go_escaped, request_key};
use super::workflow::{
    END, Ending, Field, Mode, Node, OUTPUT, Output, Phase, Question, Run, SAID, Speaker, Workflow,
    filled, quoted, written,
};
use super::{Dialect, Options, Request, State};

const USAGE: &str = r#"{"token_count":44,"output_count":5,"input_count":39}"#;
const SPACE_ID: &str = "7100000000000000000";
const OUTPUT_UUID: &str = "7300000000000000001";
/// Whatever failed.
const FAILURE: (u64, &str) = (5000, "workflow internal error");

#[derive(Debug)]
pub(super) struct Cloud;

impl Dialect for Cloud {
    fn answer(
        &self,
        options: &Options,
        state: &mut State,
        request: &Request,
        route: Route<'_>,
    ) -> Reply {
        if matches!(
            route,
            Route::StudioHistory { .. } | Route::Project(_) | Route::Unknown
        ) {
            return Reply::text(404, "404 page not found");
        }
        if !options.admits(request) {
            return refusal(401, 700_012_006, "access token invalid");
        }
        match route {
            Route::StreamRun => start(options, state, request, Mode::Stream),
            Route::Run => start(options, state, request, Mode::Background),
            Route::StreamResume => resume(state, request, Mode::Stream),
            Route::Resume => resume(state, request, Mode::Background),
            Route::History {
                workflow_id,
                execute_id,
                node,
            } => poll(options, state, workflow_id, execute_id, node),
            Route::Describe { workflow_id } => describe(state, workflow_id),
            Route::Upload => upload(request),
            Route::StudioHistory { .. } | Route::Project(_) | Route::Unknown => {
                unreachable!("answered above")
            }
        }
    }

    fn logid(&self, number: u64) -> (&'static str, String) {
        ("X-Tt-Logid", logid(number))
    }

    fn message(&self, node: &Node, seq: usize, is_last: bool, content: &str) -> Event {
        let Node { title, kind, id } = node;
        let content = quoted(content);
        let usage = if node.id == END.id && is_last {
            format!(r#","usage":{USAGE}"#)
        } else {
            String::new()
        };
        event(
            "Message",
            &format!(
                r#"{{"content_type":"text","node_is_finish":{is_last},"node_seq_id":"{seq}","node_title":"{title}","content":{content},"node_type":"{kind}","node_id":"{id}","node_execute_uuid":""{usage}}}"#
            ),
        )
    }

    fn events(&self, options: &Options, run: &Run) -> Vec<Event> {
        let story = run.story();
        let mut events = vec![ping()];
        // A sub-workflow's End node is not heard here, as far as any capture shows.
        for speech in story
            .said
            .iter()
            .filter(|said| said.speaker == Speaker::Output)
        {
            self.say(&mut events, &OUTPUT, &speech.pieces);
            events.push(ping());
        }
        if run.workflow == Workflow::Slow {
            (0..options.slow_polls).for_each(|_| events.push(ping()));
        }
        match story.ending {
            Ending::Asks(question) => {
                match question {
                    Question::Text(words) | Question::Options(words, _) => {
                        self.say(&mut events, question.node(), &[words.to_owned()]);
                    }
                    Question::Form(_) => {}
                }
                let title = question.node().title;
                let interrupt = interrupt_data(&run.event_id(), question);
                let data = format!(r#"{{"interrupt_data":{interrupt},"node_title":"{title}"}}"#);
                events.push(event("Interrupt", &data));
                return events;
            }
            Ending::Fails(_) => {
                let (code, message) = FAILURE;
                events.push(error(code, message, Some(&debug_url(run))));
            }
            Ending::Gives(_) if run.workflow == Workflow::Breaks => {
                events.push(Event::broken());
                return events;
            }
            Ending::Gives(Output::Variables(json)) => self.say(&mut events, &END, &[json]),
            Ending::Gives(Output::Text(pieces)) => self.say(&mut events, &END, &pieces),
        }
        if !matches!(run.workflow, Workflow::Cut | Workflow::Stuck) {
            events.push(self.done(run));
        }
        events
    }

    fn done(&self, run: &Run) -> Event {
        let url = debug_url(run);
        let data = format!(r#"{{"node_execute_uuid":"","debug_url":"{url}"}}"#);
        event("Done", &data)
    }
}

impl Cloud {
    fn say(&self, events: &mut Vec<Event>, node: &Node, pieces: &[String]) {
        for (seq, piece) in pieces.iter().enumerate() {
            events.push(self.message(node, seq, seq + 1 == pieces.len(), piece));
        }
    }
}

/// Its JSON is made by Go, which escapes three characters in every event.
fn event(name: &'static str, data: &str) -> Event {
    Event::new(name, go_escaped(data))
}

fn ping() -> Event {
    event("PING", r#"{"content":"{}","node_execute_uuid":""}"#)
}

/// With a `debug_url` the run had started; without one it is a refusal.
fn error(code: u64, message: &str, debug_url: Option<&str>) -> Event {
    let debug_url = debug_url.map_or_else(String::new, |url| format!(r#","debug_url":"{url}""#));
    let data = format!(r#"{{"error_code":{code},"error_message":"{message}"{debug_url}}}"#);
    event("Error", &data)
}

fn interrupt_data(event_id: &str, question: Question) -> String {
    let kind = question.interrupt_type();
    let (data, required) = match question {
        Question::Text(_) | Question::Options(..) => (String::new(), String::new()),
        Question::Form(fields) => {
            let form = written(fields, ",", |name, kind, required| {
                format!(r#"{{"type":"{kind}","name":"{name}","required":{required}}}"#)
            });
            let form = quoted(&format!("[{form}]"));
            let data = format!(r#"{{"content_type":"text","content":{form}}}"#);
            let required = format!(r#","required_parameters":{{{}}}"#, parameters(fields));
            (data, required)
        }
    };
    let data = quoted(&data);
    format!(r#"{{"data":{data},"event_id":"{event_id}","type":{kind}{required}}}"#)
}

/// The members of an object that declares them.
fn parameters(fields: &[Field]) -> String {
    written(fields, ",", |name, kind, required| {
        format!(r#""{name}":{{"required":{required},"type":"{kind}"}}"#)
    })
}

fn debug_url(run: &Run) -> String {
    let (execute_id, workflow_id) = (&run.execute_id, &run.workflow_id);
    format!(
        "https://www.coze.cn/work_flow?execute_id={execute_id}&space_id={SPACE_ID}&workflow_id={workflow_id}&execute_mode=2"
    )
}

fn logid(number: u64) -> String {
    format!("20260101120000{number:020X}")
}

fn refusal(status: u16, code: u64, message: &str) -> Reply {
    Reply::json(status, format!(r#"{{"code":{code},"msg":"{message}"}}"#))
}

fn bad_parameter() -> Reply {
    refusal(200, 4000, "Request parameter error")
}

fn start(options: &Options, state: &mut State, request: &Request, mode: Mode) -> Reply {
    let body = Body::of(request).ok();
    let Some((body, workflow_id)) = body.and_then(|mut body| {
        let workflow_id = body.workflow_id.take()?;
        Some((body, workflow_id))
    }) else {
        return bad_parameter();
    };
    if (mode == Mode::Background) != (body.is_async == Some(true)) {
        let message = "is_async belongs to /v1/workflow/run, and only there";
        return refusal(200, 4000, message);
    }
    let Some(workflow) = Workflow::of(&workflow_id) else {
        return refusal(200, 4200, "Requested resource workflow does not exist");
    };
    if workflow == Workflow::Unpublished {
        let message = "Workflow not published as API";
        return match mode {
            Mode::Stream => Reply::Events(vec![error(4200, message, None)]),
            Mode::Background | Mode::Foreground => refusal(200, 4200, message),
        };
    }
    let given = body.parameters();
    let given_names: serde_json::Value = serde_json::from_str(&given).unwrap_or_default();
    if workflow
        .inputs()
        .iter()
        .any(|field| field.required && given_names.get(field.name).is_none())
    {
        return bad_parameter();
    }
    let key = request_key(request, &given);
    if let Some(refused) = state.rate_refusal(options, workflow, &key) {
        return refused;
    }
    let raw = body.parameters.map_or("{}", |raw| raw.get()).to_owned();
    go(state.begin(options, key, workflow_id, workflow, mode, raw))
}

/// Says that a run has begun, or goes on.
fn go(run: Run) -> Reply {
    match run.mode {
        Mode::Stream => Reply::of_run(run),
        Mode::Background | Mode::Foreground => {
            let (debug_url, execute_id) = (debug_url(&run), &run.execute_id);
            Reply::json(
                200,
                format!(
                    r#"{{"code":0,"debug_url":"{debug_url}","execute_id":"{execute_id}","msg":"Success"}}"#
                ),
            )
        }
    }
}

fn resume(state: &mut State, request: &Request, mode: Mode) -> Reply {
    let Ok(Body {
        workflow_id: Some(workflow_id),
        event_id: Some(event_id),
        resume_data: Some(answer),
        interrupt_type: Some(kind),
        ..
    }) = Body::of(request)
    else {
        return bad_parameter();
    };
    let (execute_id, _) = event_id.split_once('/').unwrap_or_default();
    let Some(run) = state.runs.get_mut(execute_id) else {
        return bad_parameter();
    };
    if run.workflow_id != workflow_id || run.mode != mode {
        return bad_parameter();
    }
    let Some(question) = run.question() else {
        return refusal(200, 4315, "the workflow run is over");
    };
    if run.event_id() != event_id || question.interrupt_type() != kind {
        return bad_parameter();
    }
    let phase = match mode {
        Mode::Stream => Phase::Streaming,
        // One look still sees the interrupt that was just answered.
        Mode::Background | Mode::Foreground => Phase::Running { polls: 1 },
    };
    // An answer that does not fit its form is asked for again.
    let answer = filled(question, &answer).is_ok().then_some(answer);
    run.resume(question, answer, phase);
    let run = run.clone();
    state.count_answer(event_id);
    go(run)
}

fn poll(
    options: &Options,
    state: &mut State,
    workflow_id: &str,
    execute_id: &str,
    node: Option<&str>,
) -> Reply {
    if !options.may_look {
        let message = "The token you entered is incorrect. Please double-check and try again.";
        return refusal(200, 4101, message);
    }
    let logid = logid(state.next_logid());
    let run = state.runs.get_mut(execute_id);
    let Some(run) = run.filter(|run| run.workflow_id == workflow_id) else {
        return refusal(200, 4314, "workflow execution history not found");
    };
    match node {
        None => Reply::json(200, history(run, options.trimmed, &logid)),
        Some(OUTPUT_UUID) if speaks(run) => {
            let said = quoted(&SAID.concat());
            Reply::json(
                200,
                format!(
                    r#"{{"code":0,"msg":"","data":{{"is_finish":true,"node_output":{said}}},"detail":{{"logid":"{logid}"}}}}"#
                ),
            )
        }
        Some(_) => bad_parameter(),
    }
}

fn speaks(run: &Run) -> bool {
    let said = run.story().said;
    said.iter().any(|said| said.speaker == Speaker::Output)
}

fn history(run: &mut Run, trimmed: bool, logid: &str) -> String {
    let phase = run.poll();
    let is_running = matches!(phase, Phase::Streaming | Phase::Running { .. });
    if is_running && run.answered.is_none() && !run.polled {
        run.polled = true;
        // The quotes around the title lack a backslash: as captured.
        return r#"{"code":0,"data":[{"execute_status":"Running","output":"{\"node_status\":\"{\\"输出\\":{}}\",\"Output\":\"\"}","error_code":""}]}"#.to_owned();
    }
    let ending = run.story().ending;
    let status = match (phase, &ending) {
        (Phase::Ended, Ending::Fails(_)) => "Fail",
        (Phase::Ended, _) => "Success",
        _ => "Running",
    };
    let interrupt = match (phase, &run.answered, ending) {
        (Phase::Waiting, _, Ending::Asks(question)) => Some((run.event_id(), question)),
        (Phase::Running { .. }, answered, _) => answered.clone(),
        _ => None,
    };
    let interrupt = interrupt.map_or_else(String::new, |(event_id, question)| {
        let interrupt = interrupt_data(&event_id, question);
        format!(r#""interrupt_data":{interrupt},"#)
    });
    let (error_code, error_message) = match status {
        "Fail" => FAILURE,
        _ => (0, ""),
    };
    let run_mode = run.mode.number();
    let nodes = if speaks(run) && !is_running {
        let Node { title, id, .. } = OUTPUT;
        format!(
            r#"{{"{title}":{{"node_id":"{id}","is_finish":true,"node_execute_uuid":"{OUTPUT_UUID}"}}}}"#
        )
    } else {
        "{}".to_owned()
    };
    let output = quoted(&history_output(run, phase, trimmed, &nodes));
    let (execute_id, debug_url) = (&run.execute_id, debug_url(run));
    format!(
        r#"{{"msg":"","data":[{{"connector_uid":"1500000000000000","logid":"{logid}","bot_id":"0","update_time":1754448466,{interrupt}"execute_status":"{status}","error_code":"{error_code}","connector_id":"1024","is_output_trimmed":{trimmed},"token":"0","run_mode":{run_mode},"debug_url":"{debug_url}","node_execute_status":{nodes},"error_message":"{error_message}","execute_id":"{execute_id}","create_time":1754448435,"output":{output},"usage":{USAGE}}}],"detail":{{"logid":"{logid}"}},"code":0}}"#
    )
}

/// The object inside `output`, itself a text inside the history.
fn history_output(run: &Run, phase: Phase, trimmed: bool, nodes: &str) -> String {
    let nodes = quoted(nodes);
    if phase != Phase::Ended {
        return format!(r#"{{"node_status":{nodes},"Output":""}}"#);
    }
    let end = match run.story().ending {
        _ if trimmed => String::new(),
        Ending::Gives(Output::Text(pieces)) => {
            let data = quoted(&pieces.concat());
            format!(
                r#"{{"content_type":1,"data":{data},"original_result":null,"type_for_model":2}}"#
            )
        }
        Ending::Gives(Output::Variables(json)) => json,
        Ending::Asks(_) | Ending::Fails(_) => String::new(),
    };
    let said = if speaks(run) {
        let said = if trimmed {
            SAID[0].to_owned()
        } else {
            SAID.concat()
        };
        format!(r#","{}":{}"#, OUTPUT.title, quoted(&said))
    } else {
        String::new()
    };
    format!(
        r#"{{"node_status":{nodes},"Output":{}{said}}}"#,
        quoted(&end)
    )
}

fn describe(state: &mut State, workflow_id: &str) -> Reply {
    let Some(workflow) = Workflow::of(workflow_id) else {
        return refusal(200, 4200, "Requested resource workflow does not exist");
    };
    let (input, logid) = (parameters(workflow.inputs()), logid(state.next_logid()));
    Reply::json(
        200,
        format!(
            r#"{{"data":{{"workflow_detail":{{"workflow_name":"stand_in","app_id":"0","creator":{{"id":"1500000000000000","name":"user"}},"updated_at":1747983675,"workflow_id":"{workflow_id}","description":"{workflow:?}","icon_url":"https://image.example/icon.png","created_at":1747888248}},"input":{{"parameters":{{{input}}}}},"output":{{"parameters":{{}},"terminate_plan":"return_variables","content":""}}}},"code":0,"msg":"","detail":{{"logid":"{logid}"}}}}"#
        ),
    )
}

fn upload(request: &Request) -> Reply {
    let Some(Upload { file_name, bytes }) = Upload::of(request) else {
        return bad_parameter();
    };
    let file_name = quoted(&file_name);
    Reply::json(
        200,
        format!(
            r#"{{"code":0,"data":{{"bytes":{bytes},"created_at":1715847583,"file_name":{file_name},"id":"{UPLOADED}"}},"msg":""}}"#
        ),
    )
}
