//! The dialect of a deployed project, as its published server library answers (`tests/wire/site-*`):
//! the parameters are the whole body, and only what was started in the background is kept, under the
//! id that its caller gave.

use serde_json::Value;

use super::call::{Door, Event, Reply, Route, request_key};
use super::workflow::{Ending, Field, Mode, Node, Output, Phase, Run, Workflow, quoted};
use super::{Dialect, Options, Request, State};

/// Whatever failed in a node.
const FAILURE: (u64, &str) = (201_003, "值错误: a must not be 13");
const MISSING: u64 = 201_001;

#[derive(Debug)]
pub(super) struct Project;

impl Dialect for Project {
    fn answer(
        &self,
        options: &Options,
        state: &mut State,
        request: &Request,
        route: Route<'_>,
    ) -> Reply {
        let Route::Project(door) = route else {
            return detail(404, "Not Found");
        };
        if !options.admits(request) {
            let msg = "Missing authorization header. Please provide a valid Bearer token.";
            return Reply::json(401, format!(r#"{{"msg":"{msg}"}}"#));
        }
        match door {
            Door::StreamRun => match begin(options, state, request, Mode::Stream) {
                Ok(run) => Reply::of_run(run),
                Err(refused) => refused,
            },
            Door::AsyncRun => match begin(options, state, request, Mode::Background) {
                Ok(run) => Reply::json(
                    200,
                    format!(
                        r#"{{"task_id":"{}","status":"pending",{TIMES}}}"#,
                        run.execute_id
                    ),
                ),
                Err(refused) => refused,
            },
            Door::Task(id) => match state.runs.get_mut(id) {
                Some(run) if run.mode == Mode::Background => Reply::json(200, task(run)),
                _ => detail(404, "task not found"),
            },
            Door::GraphParameter => Reply::json(200, graph_parameter()),
        }
    }

    /// Its answers have no log id.
    fn logid(&self, _: u64) -> (&'static str, String) {
        ("server", "uvicorn".to_owned())
    }

    fn message(&self, _: &Node, _: usize, _: bool, content: &str) -> Event {
        event(&format!(
            r#"{{"type": "message", "content": {}}}"#,
            quoted(content)
        ))
    }

    fn events(&self, _: &Options, run: &Run) -> Vec<Event> {
        let of_type = |word| format!(r#""type": "{word}", {}"#, about(run));
        let mut events = vec![event(&format!("{{{}}}", of_type("workflow_start")))];
        let pings = (0..naps(run)).map(|_| event(&format!("{{{}}}", of_type("ping"))));
        events.extend(pings);
        if matches!(run.story().ending, Ending::Fails(_)) {
            let (code, message) = FAILURE;
            let error = of_type("error");
            let error = format!(r#"{{{error}, "code": "{code}", "error_msg": "{message}"}}"#);
            events.push(event(&error));
        } else {
            events.push(self.done(run));
        }
        events
    }

    fn done(&self, run: &Run) -> Event {
        let (end, result) = (about(run), result(run));
        event(&format!(
            r#"{{"type": "workflow_end", {end}, "output": {result}, "time_cost_ms": 19}}"#
        ))
    }
}

const TIMES: &str = r#""created_at":"2026-11-26T09:37:12.068174+00:00","deadline":"2026-11-27T09:37:12.067178+00:00""#;

fn event(data: &str) -> Event {
    Event::new("message", data.to_owned())
}

fn about(run: &Run) -> String {
    let run_id = &run.execute_id;
    format!(r#""timestamp": 1795685855347, "log_id": "", "run_id": "{run_id}""#)
}

fn detail(status: u16, words: &str) -> Reply {
    Reply::json(status, format!(r#"{{"detail":{}}}"#, quoted(words)))
}

/// How long it takes: so many polls, or PINGs.
fn naps(run: &Run) -> u32 {
    let sleep: Value = serde_json::from_str(&run.parameters).unwrap_or_default();
    sleep["sleep"]
        .as_u64()
        .map_or(0, |naps| u32::try_from(naps).expect("a short nap"))
}

fn begin(
    options: &Options,
    state: &mut State,
    request: &Request,
    mode: Mode,
) -> Result<Run, Reply> {
    let parameters = request.body_text().to_owned();
    let Ok(given) = serde_json::from_str::<Value>(&parameters) else {
        return Err(detail(400, "Invalid JSON format"));
    };
    let workflow = Workflow::Sum;
    let lacking = |field: &&Field| field.required && given.get(field.name).is_none();
    if let Some(field) = workflow.inputs().iter().find(lacking) {
        let message = format!("必填字段缺失: {}", field.name);
        return Err(Reply::json(
            500,
            format!(
                r#"{{"detail":{{"error_code":{MISSING},"error_message":"{message}","stack_trace":["File \"graph.py\""]}}}}"#
            ),
        ));
    }
    let own = request.header("x-run-id").filter(|_| options.keeps_ids);
    if let Some(id) = own.filter(|id| state.runs.contains_key(*id) && mode == Mode::Background) {
        let words = format!(
            "async-task storage unavailable: (psycopg2.errors.UniqueViolation) duplicate key value violates unique constraint \"async_tasks_pkey\"\nDETAIL:  Key (task_id)=({id}) already exists."
        );
        return Err(detail(503, &words));
    }
    let key = request_key(request, &parameters);
    let run = state.begin(options, key, String::new(), workflow, mode, parameters);
    // Under the id that its caller gave.
    let mut run = state.runs.remove(&run.execute_id).expect("it was begun");
    if let Some(id) = own {
        id.clone_into(&mut run.execute_id);
    }
    if mode == Mode::Background {
        run.phase = Phase::Running { polls: naps(&run) };
    }
    state.runs.insert(run.execute_id.clone(), run.clone());
    Ok(run)
}

fn result(run: &Run) -> String {
    match run.story().ending {
        Ending::Gives(Output::Variables(json)) => json,
        _ => "null".to_owned(),
    }
}

fn task(run: &mut Run) -> String {
    let is_over = run.poll() == Phase::Ended;
    let fails = matches!(run.story().ending, Ending::Fails(_));
    let (status, result, error) = match (is_over, fails) {
        (false, _) => ("running", "null".to_owned(), "null"),
        (true, false) => ("completed", result(run).replace(": ", ":"), "null"),
        (true, true) => {
            let error = r#"{"code":"ValueError","message":"a must not be 13"}"#;
            ("failed", "null".to_owned(), error)
        }
    };
    let id = &run.execute_id;
    format!(
        r#"{{"task_id":"{id}","status":"{status}","claim_count":1,{TIMES},"result":{result},"error":{error}}}"#
    )
}

fn graph_parameter() -> String {
    let properties = Workflow::Sum.inputs().iter().map(|field| {
        let Field { name, kind, .. } = field;
        if field.required {
            format!(r#""{name}":{{"description":"{name} number","title":"{name}","type":"{kind}"}}"#)
        } else {
            format!(r#""{name}":{{"anyOf":[{{"type":"{kind}"}},{{"type":"null"}}],"default":null,"title":"{name}"}}"#)
        }
    });
    let properties = properties.collect::<Vec<_>>().join(",");
    format!(
        r#"{{"input_schema":{{"properties":{{{properties}}},"required":["a","b"],"title":"GraphInput","type":"object"}},"output_schema":{{"properties":{{"result":{{"description":"sum","title":"Result","type":"number"}}}},"required":["result"],"title":"GraphOutput","type":"object"}},"code":0,"msg":""}}"#
    )
}
