//! Recorded sessions for the fault matrix: what a server streams, event by event, and the text of
//! the whole run, written down by hand. Some are samples of `tests/wire`, some are written to match
//! Coze's documentation; what goes wrong with them is for `oracle` and the matrix to say.

use std::sync::LazyLock;

use serde_json::{Value, json};

/// Whose habits a session has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Cloud,
    Studio,
    /// A deployed project.
    Site,
}

/// One run as it is streamed.
pub struct Session {
    pub name: &'static str,
    /// Each with its blank line; line ends are line feeds here.
    pub events: Vec<String>,
    /// What every line ends in.
    pub newline: &'static str,
    /// Empty when no event ever tells it.
    pub execute_id: &'static str,
    /// The run's result, in the form that the stream uses.
    pub text: &'static str,
    /// On Coze Studio: the map of outputs that its history keeps.
    pub keeps: &'static str,
    /// The exit code when nothing goes wrong.
    pub exit_code: u8,
    /// Whether the history is asked when nothing goes wrong.
    pub polls: bool,
    /// It answers an interrupt, so the run is known from the start.
    pub resumes: bool,
    pub service: Service,
}

/// What the history says of a run when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    Succeeded,
    Failed,
    Running,
    /// It waits for an answer: after a resume, to what was just answered.
    Waiting,
    Forbidden,
    Missing,
}

impl History {
    pub const ALL: [Self; 6] = [
        Self::Succeeded,
        Self::Failed,
        Self::Running,
        Self::Waiting,
        Self::Forbidden,
        Self::Missing,
    ];
}

impl Session {
    /// All of it, as it goes over the wire.
    pub fn stream(&self) -> Vec<u8> {
        self.render(&self.events)
    }

    /// Other events in its stead.
    pub fn render(&self, events: &[String]) -> Vec<u8> {
        events.concat().replace('\n', self.newline).into_bytes()
    }

    /// Every single event dropped, doubled, or swapped with its neighbour.
    pub fn mishaps(&self) -> Vec<(String, Vec<u8>)> {
        let mut mishaps = Vec::new();
        for place in 0..self.events.len() {
            let mut events = self.events.clone();
            events.remove(place);
            mishaps.push((format!("event {place} dropped"), self.render(&events)));
            let mut events = self.events.clone();
            events.insert(place, self.events[place].clone());
            mishaps.push((format!("event {place} doubled"), self.render(&events)));
            if place > 0 {
                let mut events = self.events.clone();
                events.swap(place - 1, place);
                let mishap = format!("events {} and {place} swapped", place - 1);
                mishaps.push((mishap, self.render(&events)));
            }
        }
        mishaps
    }

    /// The request that it answers; `workflow_id` is its own.
    pub fn request(&self, workflow_id: &str) -> String {
        if self.service == Service::Site {
            return json!({"parameters": {"case": workflow_id}}).to_string();
        }
        let mut request = json!({"workflow_id": workflow_id});
        if self.resumes {
            request["event_id"] = json!(self.event_id());
            request["interrupt_type"] = json!(2);
            request["resume_data"] = json!("杭州");
        }
        request.to_string()
    }

    /// Where the request goes.
    pub fn path(&self) -> &'static str {
        match (self.service, self.resumes) {
            (Service::Site, _) => "/stream_run",
            (_, true) => "/v1/workflow/stream_resume",
            (_, false) => "/v1/workflow/stream_run",
        }
    }

    /// What a look at the run is answered: HTTP status and body.
    pub fn history(&self, history: History) -> (u16, String) {
        match self.service {
            Service::Cloud => self.history_of_cloud(history),
            Service::Studio => self.history_of_studio(history),
            // It knows nothing of a stream.
            Service::Site => (404, r#"{"detail":"task not found"}"#.to_owned()),
        }
    }

    /// Name and value of the header that every answer carries.
    pub fn log_header(&self) -> (&'static str, &'static str) {
        match self.service {
            Service::Cloud => ("X-Tt-Logid", "20250806104715BA070BFC777692AA724C"),
            Service::Studio => ("X-Log-Id", "7af99dba-1020-4aa3-9365-e8ce24bea90c"),
            Service::Site => ("Server", "uvicorn"),
        }
    }

    /// Where its history is, below the base URL.
    pub fn history_path(&self, workflow_id: &str) -> String {
        let execute_id = self.execute_id;
        match self.service {
            Service::Cloud => format!("/v1/workflows/{workflow_id}/run_histories/{execute_id}"),
            Service::Studio => format!(
                "/v1/workflow/get_run_history?workflow_id={workflow_id}&execute_id={execute_id}"
            ),
            Service::Site => format!("/task/{execute_id}"),
        }
    }

    /// What a look at another service's path is answered.
    pub fn no_history_there(&self) -> (u16, &'static str) {
        match self.service {
            Service::Cloud | Service::Site => (404, "404 page not found"),
            Service::Studio => (
                401,
                include_str!("../wire/derived_studio_401_missing_session.json"),
            ),
        }
    }

    /// Of the interrupt that it answers.
    fn event_id(&self) -> String {
        format!("{}/27", self.execute_id)
    }

    fn history_of_cloud(&self, history: History) -> (u16, String) {
        let record = |record: Value| json!({"code": 0, "data": [record]});
        let body = match history {
            History::Succeeded => {
                record(json!({"execute_status": "Success", "output": self.kept_output()}))
            }
            History::Failed => record(
                json!({"execute_status": "Fail", "error_code": "5000", "error_message": "broken"}),
            ),
            History::Running => {
                let invalid =
                    include_str!("../wire/cozecn_run_histories_running_INVALID_JSON.json");
                return (200, invalid.to_owned());
            }
            History::Waiting => record(json!({
                "execute_status": "Running",
                "interrupt_data": {"event_id": self.event_id(), "type": 2, "data": "where?"},
            })),
            History::Forbidden => json!({"code": 4101, "msg": "The token is incorrect"}),
            History::Missing => json!({"code": 4314, "msg": "no such history"}),
        };
        (200, body.to_string())
    }

    /// The words of the real server, about this run.
    fn history_of_studio(&self, history: History) -> (u16, String) {
        let mut body = live_answer(match history {
            History::Succeeded => "GET history, text mode",
            History::Failed => "GET history, failed",
            History::Running => "GET history, running",
            History::Waiting => "GET history, waits for an answer (for good)",
            History::Forbidden => "GET history, wrong key",
            History::Missing => "GET history, no such run (for good)",
        });
        if let Some(record) = body["data"].get_mut(0) {
            let execute_id: u64 = self.execute_id.parse().unwrap_or_default();
            record["execute_id"] = json!(execute_id);
            record["debug_url"] = json!(format!(
                "http://127.0.0.1:8888/work_flow?execute_id={execute_id}"
            ));
        }
        if history == History::Succeeded {
            body["data"][0]["output"] = json!(self.keeps);
        }
        (200, body.to_string())
    }

    /// The cloud wraps the text up, that of text mode twice.
    fn kept_output(&self) -> String {
        let output = match self.text.starts_with('{') {
            true => self.text.to_owned(),
            false => json!({"content_type": 1, "data": self.text, "type_for_model": 2}).to_string(),
        };
        json!({"node_status": "{}", "Output": output}).to_string()
    }
}

/// The body of what Coze Studio was asked, and answered.
fn live_answer(call: &str) -> Value {
    static ANSWERS: LazyLock<Vec<Value>> = LazyLock::new(|| {
        let lines = include_str!("../wire/studio_live_answers.jsonl").lines();
        lines
            .map(|line| serde_json::from_str(line).expect("one JSON value"))
            .collect()
    });
    let answer = ANSWERS.iter().find(|answer| answer["call"] == call);
    answer.expect("a call that was made")["body"].clone()
}

const EXECUTE_ID: &str = "7600000000000000001";
const PING: &str = r#"{"content":"{}","node_execute_uuid":""}"#;
const DONE: &str = r#"{"node_execute_uuid":"","debug_url":"https://www.coze.cn/work_flow?execute_id=7600000000000000001\u0026space_id=75\u0026workflow_id=7"}"#;

pub fn sessions() -> Vec<Session> {
    [
        samples(),
        live(),
        written(),
        studio_written(),
        of_projects(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The name that must be told to the program: nothing on the wire tells it.
pub fn told(service: Service) -> Option<&'static str> {
    (service == Service::Site).then_some("site")
}

/// What the published server of deployed projects streamed.
fn of_projects() -> Vec<Session> {
    let of_project = |name, stream: &str| Session {
        service: Service::Site,
        execute_id: "66b98c71-0000-4000-8000-000000000002",
        text: r#"{"result": 3.0}"#,
        ..sample(name, stream)
    };
    vec![
        Session {
            execute_id: "1878882f-0000-4000-8000-000000000001",
            ..of_project(
                "a project's nodes, as documented",
                include_str!("../wire/site-doc-run-stream.sse"),
            )
        },
        of_project(
            "a project's result",
            include_str!("../wire/site-server-stream-run.sse"),
        ),
        of_project(
            "a project's nodes, then its result",
            include_str!("../wire/site-server-stream-run-debug.sse"),
        ),
        of_project(
            "a project's ping",
            include_str!("../wire/site-server-stream-run-ping.sse"),
        ),
        Session {
            exit_code: 1,
            ..of_project(
                "a project's failure",
                include_str!("../wire/site-server-stream-run-error.sse"),
            )
        },
        Session {
            exit_code: 1,
            ..of_project(
                "a project's run that was cancelled, without a last id",
                include_str!("../wire/site-server-stream-run-canceled.sse"),
            )
        },
    ]
}

fn samples() -> Vec<Session> {
    vec![
        Session {
            execute_id: "7579525066972217378",
            text: "[long text of the original shortened by the collector]",
            ..sample(
                "PINGs before a long End",
                include_str!("../wire/cozecn_ping_message_done.sse"),
            )
        },
        Session {
            text: "{\"output\":\"为什么小明要带一把尺子去看电影？\\n因为他听说电影很长，怕坐不下！\"}",
            ..sample(
                "an Output node in pieces, a Done that tells nothing",
                include_str!("../wire/doc_stream_messages_done.sse"),
            )
        },
        Session {
            execute_id: "7500000000000000000",
            text: r#"{"city":"…","temp_high":26,"temp_low":17}"#,
            ..sample(
                "End with variables, in one",
                include_str!("../wire/recon_cozecn_end_variables_numbers.sse"),
            )
        },
        Session {
            execute_id: "7404830425073352713",
            text: "what came after the question",
            exit_code: 7,
            ..sample(
                "a question",
                include_str!("../wire/doc_stream_interrupt.sse"),
            )
        },
        Session {
            text: "never",
            exit_code: 4,
            ..sample("a refusal", include_str!("../wire/doc_stream_error.sse"))
        },
        // Its End counts from 1: what came first is missing, and nothing tells the run.
        Session {
            text: "World",
            exit_code: 8,
            ..sample(
                "no spaces, an unknown event, no blank line at the end",
                include_str!("../wire/test_cozego_nospace_ping_unknown.sse"),
            )
        },
        Session {
            execute_id: "7547546110525440000",
            text: "what came after the question",
            keeps: r#"{"output":"what came after the question"}"#,
            exit_code: 7,
            service: Service::Studio,
            ..sample(
                "Studio's question",
                include_str!("../wire/studio_pre_v030_lowercase_interrupt.sse"),
            )
        },
    ]
}

/// What Coze Studio streamed, and the history of the same run. Of a run that failed, or that waits,
/// the map is what another end would have kept.
#[expect(
    clippy::too_many_lines,
    reason = "a list; each session is read by itself"
)]
fn live() -> Vec<Session> {
    let live = |name, stream| Session {
        service: Service::Studio,
        polls: true,
        ..sample(name, stream)
    };
    let ended = |exit_code, session| Session {
        exit_code,
        polls: false,
        ..session
    };
    vec![
        Session {
            execute_id: "7712454164021772288",
            text: r#"{"fixed":"constant","input":"hi \u003c\u0026\u003e 你好","more":""}"#,
            keeps: r#"{"fixed":"constant","input":"hi \u003c\u0026\u003e 你好","more":""}"#,
            ..live(
                "Studio's variables",
                include_str!("../wire/studio_live_vars.sse"),
            )
        },
        Session {
            execute_id: "7712454174847270912",
            text: JSON_TYPES,
            keeps: JSON_TYPES,
            ..live(
                "Studio's variables of every type",
                include_str!("../wire/studio_live_json_types.sse"),
            )
        },
        Session {
            execute_id: "7712454164046938112",
            text: "Answer: Hello, I am the fake model. You said: hi <&> 你好 你好. (to hi <&> 你好)",
            keeps: r#"{"output":"Answer: Hello, I am the fake model. You said: hi \u003c\u0026\u003e 你好 你好. (to hi \u003c\u0026\u003e 你好)"}"#,
            ..live(
                "Studio's text in pieces",
                include_str!("../wire/studio_live_text_stream.sse"),
            )
        },
        Session {
            execute_id: "7712454169243680768",
            text: "",
            keeps: r#"{"output":""}"#,
            ..live(
                "Studio's empty text",
                include_str!("../wire/studio_live_text_empty.sse"),
            )
        },
        Session {
            execute_id: "7712454169285623808",
            text: "{}",
            keeps: "{}",
            ..live(
                "Studio's Output node, then no variables",
                include_str!("../wire/studio_live_output_then_empty_end.sse"),
            )
        },
        Session {
            execute_id: "7712454169314983936",
            text: "End says: hi <&> 你好",
            keeps: r#"{"output":"End says: hi \u003c\u0026\u003e 你好"}"#,
            ..live(
                "Studio's Output node, then text",
                include_str!("../wire/studio_live_output_then_text.sse"),
            )
        },
        Session {
            execute_id: "7712454169394675712",
            text: "Parent says: Child says: hi <&> 你好",
            keeps: r#"{"output":"Parent says: Child says: hi \u003c\u0026\u003e 你好"}"#,
            ..live(
                "Studio's text after a sub-workflow's",
                include_str!("../wire/studio_live_sub_text_text.sse"),
            )
        },
        Session {
            execute_id: "7712454169445007360",
            text: r#"{"input":"hi \u003c\u0026\u003e 你好"}"#,
            keeps: r#"{"input":"hi \u003c\u0026\u003e 你好"}"#,
            ..live(
                "Studio's variables after a sub-workflow's text, which they don't use",
                include_str!("../wire/studio_live_sub_text_unused.sse"),
            )
        },
        Session {
            execute_id: "7712454169352732672",
            text: r#"{"result":"Child says: hi \u003c\u0026\u003e 你好"}"#,
            keeps: r#"{"result":"Child says: hi \u003c\u0026\u003e 你好"}"#,
            ..live(
                "Studio's variables after a sub-workflow's text, which they hold",
                include_str!("../wire/studio_live_sub_text_vars.sse"),
            )
        },
        Session {
            execute_id: "7712454169503727616",
            text: "Parent: Child: Hello, I am the fake model. You said: hi <&> 你好 你好.",
            keeps: r#"{"output":"Parent: Child: Hello, I am the fake model. You said: hi \u003c\u0026\u003e 你好 你好."}"#,
            ..live(
                "Studio's text in pieces after a sub-workflow's in pieces",
                include_str!("../wire/studio_live_sub_stream_stream.sse"),
            )
        },
        ended(
            7,
            Session {
                execute_id: "7712454174796939264",
                text: r#"{"age":7,"name":"Ann"}"#,
                keeps: r#"{"age":7,"name":"Ann"}"#,
                ..live(
                    "Studio asks for input",
                    include_str!("../wire/studio_live_ask_input.sse"),
                )
            },
        ),
        ended(
            7,
            Session {
                execute_id: "7712454174822105088",
                text: "You chose red",
                keeps: r#"{"output":"You chose red"}"#,
                ..live(
                    "Studio asks with options",
                    include_str!("../wire/studio_live_ask_options.sse"),
                )
            },
        ),
        ended(
            1,
            Session {
                execute_id: "7712454174725636096",
                text: "never",
                keeps: r#"{"output":"never"}"#,
                ..live(
                    "Studio's run fails at once",
                    include_str!("../wire/studio_live_fail.sse"),
                )
            },
        ),
        ended(
            1,
            Session {
                execute_id: "7712454174767579136",
                text: "never",
                keeps: r#"{"output":"never"}"#,
                ..live(
                    "Studio's run fails after an Output node",
                    include_str!("../wire/studio_live_output_then_fail.sse"),
                )
            },
        ),
        Session {
            execute_id: "7712454174964711424",
            text: r#"{"age":7,"name":"Ann"}"#,
            keeps: r#"{"age":7,"name":"Ann"}"#,
            resumes: true,
            ..live(
                "Studio is answered",
                include_str!("../wire/studio_live_resume_done.sse"),
            )
        },
        ended(
            7,
            Session {
                execute_id: "7712454174880825344",
                text: "got both",
                keeps: r#"{"output":"got both"}"#,
                resumes: true,
                ..live(
                    "Studio is answered and asks again",
                    include_str!("../wire/studio_live_resume_asks_again.sse"),
                )
            },
        ),
        ended(
            1,
            Session {
                execute_id: "7712454175023431680",
                text: "never",
                keeps: r#"{"output":"never"}"#,
                resumes: true,
                ..live(
                    "Studio is answered with what is no JSON",
                    include_str!("../wire/studio_live_resume_answer_no_json.sse"),
                )
            },
        ),
        ended(
            1,
            Session {
                execute_id: "7712454175065374720",
                text: "never",
                keeps: r#"{"output":"never"}"#,
                resumes: true,
                ..live(
                    "Studio is answered without a required name",
                    include_str!("../wire/studio_live_resume_required_missing.sse"),
                )
            },
        ),
    ]
}

const JSON_TYPES: &str = r#"{"arr":["one","two"],"input":"hi \u003c\u0026\u003e 你好","int":9007199254740992,"no":false,"nothing":"","num":3.5,"obj":{"a":"x \u003c\u0026\u003e 中","b":7,"c":["p","q"]},"objs":[{"a":"x","b":1,"c":[]}],"text":"line\nbreak \"q\"","yes":true}"#;

#[expect(
    clippy::too_many_lines,
    reason = "a list; each session is read by itself"
)]
fn written() -> Vec<Session> {
    vec![
        Session {
            execute_id: EXECUTE_ID,
            text: "看 https://w/?execute_id=666& {\"debug_url\":\"https://w/?execute_id=667&\"}\n😀完。",
            ..session(
                "an Output node, End in five pieces, PINGs between",
                vec![
                    event(0, "PING", PING),
                    said(1, OUTPUT, 0, false, "画好了"),
                    said(2, OUTPUT, 1, true, "…🎨"),
                    said(3, END, 0, false, r"看 https:\/\/w\/?execute_id=666& "),
                    event(4, "PING", PING),
                    said(
                        5,
                        END,
                        1,
                        false,
                        r#"{\"debug_url\":\"https://w/?execute_id=667&\"}"#,
                    ),
                    said(6, END, 2, false, r"\n\ud83d\ude00"),
                    event(7, "PING", PING),
                    said(8, END, 3, false, ""),
                    said(9, END, 4, true, "完。"),
                    event(10, "Done", DONE),
                ],
            )
        },
        Session {
            execute_id: EXECUTE_ID,
            text: "abc",
            exit_code: 1,
            ..session(
                "Error then Done",
                vec![
                    event(0, "PING", PING),
                    said(1, OUTPUT, 0, true, "soon"),
                    said(2, END, 0, false, "ab"),
                    event(
                        3,
                        "Error",
                        r#"{"error_code":5000,"error_message":"internal","debug_url":"https://www.coze.cn/work_flow?execute_id=7600000000000000001\u0026space_id=75"}"#,
                    ),
                    event(4, "Done", DONE),
                ],
            )
        },
        Session {
            execute_id: EXECUTE_ID,
            text: "resumed",
            resumes: true,
            ..session(
                "a resume",
                vec![
                    event(0, "PING", PING),
                    said(1, END, 0, false, "resu"),
                    said(2, END, 1, true, "med"),
                    event(3, "Done", DONE),
                ],
            )
        },
        Session {
            execute_id: EXECUTE_ID,
            text: "over",
            exit_code: 4,
            resumes: true,
            ..session(
                "a resume that is refused",
                vec![event(
                    0,
                    "Error",
                    r#"{"error_code":4315,"error_message":"over"}"#,
                )],
            )
        },
        Session {
            execute_id: EXECUTE_ID,
            text: "early",
            ..session(
                "the first event tells the run",
                vec![
                    event(
                        0,
                        "PING",
                        r#"{"content":"{}","execute_id":"7600000000000000001","x":0}"#,
                    ),
                    said(1, OUTPUT, 0, true, "out"),
                    said(2, END, 0, false, "ear"),
                    said(3, END, 1, true, "ly"),
                    event(4, "Done", "{}"),
                ],
            )
        },
        Session {
            text: "whole",
            ..session(
                "End says finish, Done tells nothing",
                vec![
                    said(0, END, 0, false, "who"),
                    said(1, END, 1, true, "le"),
                    event(2, "Done", r#"{"node_execute_uuid":""}"#),
                ],
            )
        },
        // A piece after the one that said finish: the history decides.
        Session {
            execute_id: EXECUTE_ID,
            text: "ab",
            polls: true,
            ..session(
                "pieces without a count",
                vec![
                    event(
                        0,
                        "Message",
                        r#"{"content":"a","node_title":"End","node_is_finish":true}"#,
                    ),
                    event(1, "PING", PING),
                    event(2, "Message", r#"{"content":"b","node_title":"End"}"#),
                    event(3, "Done", DONE),
                ],
            )
        },
        Session {
            execute_id: EXECUTE_ID,
            text: "abc",
            ..session(
                "pieces without a count, or with one, counted by their ids",
                vec![
                    event(0, "Message", r#"{"content":"a","node_title":"End"}"#),
                    event(
                        1,
                        "Message",
                        r#"{"content":"b","node_title":"End","node_seq_id":0}"#,
                    ),
                    event(2, "Message", r#"{"content":"c","node_title":"End"}"#),
                    event(3, "Done", DONE),
                ],
            )
        },
        Session {
            execute_id: EXECUTE_ID,
            text: "all",
            ..session(
                "null and absent contents, empty and absent names",
                vec![
                    event(
                        0,
                        "Message",
                        r#"{"content":null,"node_type":"","node_id":"","node_title":"End","node_seq_id":"0"}"#,
                    ),
                    event(1, "Message", r#"{"node_seq_id":"1","node_id":"900001"}"#),
                    event(
                        2,
                        "Message",
                        r#"{"content":null,"node_type":"Message","node_title":"End","node_seq_id":"0"}"#,
                    ),
                    event(
                        3,
                        "Message",
                        r#"{"content":"all","node_seq_id":"2","node_is_finish":true}"#,
                    ),
                    event(4, "Done", DONE),
                ],
            )
        },
        Session {
            text: "whole",
            ..session(
                "ids of zeros, which name nothing",
                vec![
                    event(0, "PING", r#"{"content":"{}","execute_id":"0"}"#),
                    said(1, END, 0, true, "whole"),
                    event(
                        2,
                        "Done",
                        r#"{"debug_url":"https://www.coze.cn/work_flow?execute_id=000\u0026space_id=75"}"#,
                    ),
                ],
            )
        },
        Session {
            execute_id: EXECUTE_ID,
            text: "never",
            exit_code: 1,
            ..session(
                "a refusal, and a Done that tells of a run",
                vec![
                    event(
                        0,
                        "Error",
                        r#"{"error_code":4000,"error_message":"Request parameter error"}"#,
                    ),
                    event(1, "Done", DONE),
                ],
            )
        },
        Session {
            execute_id: EXECUTE_ID,
            text: "whole",
            ..session(
                "a piece of an Output node that can't be understood",
                vec![
                    event(
                        0,
                        "Message",
                        r#"{"content":7,"node_type":"Message","node_title":"Out","node_seq_id":"0"}"#,
                    ),
                    said(1, END, 0, false, "who"),
                    said(2, END, 1, true, "le"),
                    event(3, "Done", DONE),
                ],
            )
        },
        Session {
            execute_id: EXECUTE_ID,
            text: "whole",
            polls: true,
            ..session(
                "a Done that can't be understood",
                vec![
                    event(
                        0,
                        "PING",
                        r#"{"content":"{}","execute_id":"7600000000000000001","x":0}"#,
                    ),
                    said(1, END, 0, true, "whole"),
                    event(
                        2,
                        "Done",
                        r#"{"debug_url":"https://www.coze.cn/work_flow?exec"#,
                    ),
                ],
            )
        },
        Session {
            execute_id: EXECUTE_ID,
            text: "resumed",
            polls: true,
            resumes: true,
            ..session(
                "a resume whose stream breaks",
                vec![
                    said(0, END, 0, false, "resu"),
                    "event: error\ndata: stream error\n\n".to_owned(),
                ],
            )
        },
        Session {
            execute_id: EXECUTE_ID,
            text: "abc",
            ..session(
                "events without ids",
                [
                    said(0, OUTPUT, 0, true, "out"),
                    said(0, END, 0, false, "a"),
                    said(0, END, 1, true, "bc"),
                    event(0, "Done", DONE),
                ]
                .map(|event| event.replace("id: 0\n", ""))
                .into(),
            )
        },
        Session {
            execute_id: EXECUTE_ID,
            text: "onetwo",
            ..session(
                "no End node speaks",
                vec![
                    said(0, OUTPUT, 0, true, "one"),
                    event(
                        1,
                        "Message",
                        r#"{"content":"two","node_title":"另一个","node_seq_id":0,"node_is_finish":true}"#,
                    ),
                    event(2, "Done", DONE),
                ],
            )
        },
        Session {
            execute_id: EXECUTE_ID,
            text: "x\r\ny",
            newline: "\r\n",
            ..session(
                "CRLF, a byte order mark, comments, a blank line, retry",
                vec![
                    "\u{feff}: welcome\nretry: 3000\n\n\n".to_owned(),
                    event(0, "PING", PING),
                    said(1, END, 0, false, r"x\r").replace("data:", ":\ndata:"),
                    said(2, END, 1, true, r"\ny"),
                    event(3, "Done", DONE),
                ],
            )
        },
        Session {
            execute_id: EXECUTE_ID,
            text: "{\n\"k\":1}",
            newline: "\r",
            ..session(
                "CR alone, data on several lines, a blank line first",
                vec![
                    "\n".to_owned(),
                    said(0, END, 0, false, r"{\n").replace(",\"node_id\"", ",\ndata: \"node_id\""),
                    said(1, END, 1, true, r#"\"k\":1}"#),
                    event(
                        2,
                        "Done",
                        &DONE.replace("\"debug_url\"", "\ndata: \"debug_url\""),
                    ),
                ],
            )
        },
    ]
}

/// Coze Studio's, of which no run was recorded.
fn studio_written() -> Vec<Session> {
    let written = |name, events| Session {
        execute_id: EXECUTE_ID,
        service: Service::Studio,
        polls: true,
        ..session(name, events)
    };
    let done = |id| event(id, "Done", STUDIO_DONE);
    vec![
        Session {
            execute_id: "",
            text: "abc",
            keeps: r#"{"output":"abc"}"#,
            exit_code: 8,
            polls: false,
            ..written(
                "Studio's plain-text error, without an id, on two lines",
                vec![
                    studio(0, 0, "ab"),
                    "event: error\ndata: stream error: {\"execute_id\":\ndata: broken\n\n".to_owned(),
                ],
            )
        },
        Session {
            text: "hello",
            keeps: r#"{"output":"hello"}"#,
            ..written(
                "Studio counts over the whole run and never says finish",
                vec![
                    r#"id: 0
event: message
data: {"content":"said","node_title":"Out","node_type":"Message","node_id":"3","node_seq_id":"0","node_is_finish":true}

"#.to_owned(),
                    studio(1, 1, "hel"),
                    studio(2, 2, "lo"),
                    event(3, "done", STUDIO_DONE),
                ],
            )
        },
        Session {
            text: "resumed",
            keeps: r#"{"output":"resumed"}"#,
            resumes: true,
            ..written(
                "Studio is answered and goes on with text",
                vec![studio(0, 0, "resu"), studio(1, 1, "med"), done(2)],
            )
        },
        Session {
            text: "resumed",
            keeps: r#"{"output":"resumed"}"#,
            resumes: true,
            ..written(
                "Studio is answered, and its stream breaks",
                vec![
                    studio(0, 0, "resu"),
                    "event: error\ndata: stream error\n\n".to_owned(),
                ],
            )
        },
        // A variable that has the name of the one text: one whole piece tells that it is a map.
        Session {
            text: r#"{"output":"a map"}"#,
            keeps: r#"{"output":"a map"}"#,
            resumes: true,
            ..written(
                "Studio is answered and goes on with an Output node and one variable",
                vec![
                    said(0, OUTPUT, 0, true, "a map"),
                    studio(1, 0, r#"{\"output\":\"a map\"}"#),
                    done(2),
                ],
            )
        },
        Session {
            text: "",
            keeps: "{}",
            ..written("Studio says nothing and keeps nothing", vec![done(0)])
        },
    ]
}

const STUDIO_DONE: &str =
    r#"{"debug_url":"http://127.0.0.1:8888/work_flow?execute_id=7600000000000000001&space_id=75"}"#;

fn sample(name: &'static str, stream: &str) -> Session {
    session(
        name,
        stream.split_inclusive("\n\n").map(str::to_owned).collect(),
    )
}

/// One that ends well.
fn session(name: &'static str, events: Vec<String>) -> Session {
    Session {
        name,
        events,
        newline: "\n",
        execute_id: "",
        text: "",
        keeps: "",
        exit_code: 0,
        polls: false,
        resumes: false,
        service: Service::Cloud,
    }
}

fn event(id: u32, name: &str, data: &str) -> String {
    format!("id: {id}\nevent: {name}\ndata: {data}\n\n")
}

const END: (&str, &str, &str) = ("End", "End", "900001");
const OUTPUT: (&str, &str, &str) = ("输出", "Message", "138");

/// A piece of what a node says; `content` is written as it is in JSON.
fn said(id: u32, node: (&str, &str, &str), seq: u32, finish: bool, content: &str) -> String {
    let (title, kind, node_id) = node;
    event(
        id,
        "Message",
        &format!(
            r#"{{"content":"{content}","node_is_finish":{finish},"node_seq_id":"{seq}","node_title":"{title}","node_type":"{kind}","node_id":"{node_id}"}}"#
        ),
    )
}

/// A piece of End as Studio before v0.3 sends it.
fn studio(id: u32, seq: u32, content: &str) -> String {
    event(
        id,
        "message",
        &format!(
            r#"{{"content":"{content}","node_title":"End","node_type":"End","node_id":"900001","node_seq_id":"{seq}","node_is_finish":false}}"#
        ),
    )
}
