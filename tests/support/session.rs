//! Recorded sessions for the fault matrix: what a server streams, event by event, and the text of
//! the whole run, written down by hand. Some are samples of `tests/wire`, some are written to match
//! Coze's documentation; what goes wrong with them is for `oracle` and the matrix to say.

use serde_json::json;

/// One run as it is streamed.
pub struct Session {
    pub name: &'static str,
    /// Each with its blank line; line ends are line feeds here.
    pub events: Vec<String>,
    /// What every line ends in.
    pub newline: &'static str,
    /// Empty when no event ever tells it.
    pub execute_id: &'static str,
    /// What is streamed when nothing goes wrong, or what the history holds of it.
    pub text: &'static str,
    /// The exit code when nothing goes wrong.
    pub exit_code: u8,
    /// It answers an interrupt, so the run is known from the start.
    pub resumes: bool,
    /// Coze Studio's habits.
    pub studio: bool,
}

/// What the history says of a run when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    Succeeded,
    Failed,
    Running,
    Forbidden,
    Missing,
}

impl History {
    pub const ALL: [Self; 5] = [
        Self::Succeeded,
        Self::Failed,
        Self::Running,
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
        let mut request = json!({"workflow_id": workflow_id});
        if self.resumes {
            request["event_id"] = json!(format!("{}/27", self.execute_id));
            request["interrupt_type"] = json!(2);
            request["resume_data"] = json!("杭州");
        }
        request.to_string()
    }

    /// Where the request goes.
    pub fn path(&self) -> &'static str {
        match self.resumes {
            true => "/v1/workflow/stream_resume",
            false => "/v1/workflow/stream_run",
        }
    }

    /// What a look at the run is answered: HTTP status and body.
    pub fn history(&self, history: History) -> (u16, String) {
        let record = |record: serde_json::Value| (200, json!({"code": 0, "data": [record]}));
        let (status, body) = match history {
            History::Succeeded => {
                record(json!({"execute_status": "Success", "output": self.kept_output()}))
            }
            History::Failed => record(
                json!({"execute_status": "Fail", "error_code": "5000", "error_message": "broken"}),
            ),
            History::Running if !self.studio => {
                let invalid =
                    include_str!("../wire/cozecn_run_histories_running_INVALID_JSON.json");
                return (200, invalid.to_owned());
            }
            History::Running => record(json!({"execute_status": "Running"})),
            History::Forbidden if !self.studio => {
                (200, json!({"code": 4101, "msg": "The token is incorrect"}))
            }
            History::Forbidden => (401, json!({"code": 700_012_006, "msg": "bad token"})),
            History::Missing => (200, json!({"code": 4314, "msg": "no such history"})),
        };
        (status, body.to_string())
    }

    /// Studio keeps the text as it is; Coze wraps it up, text mode twice.
    fn kept_output(&self) -> String {
        if self.studio {
            return self.text.to_owned();
        }
        let output = match self.text.starts_with('{') {
            true => self.text.to_owned(),
            false => json!({"content_type": 1, "data": self.text, "type_for_model": 2}).to_string(),
        };
        json!({"node_status": "{}", "Output": output}).to_string()
    }
}

const EXECUTE_ID: &str = "7600000000000000001";
const PING: &str = r#"{"content":"{}","node_execute_uuid":""}"#;
const DONE: &str = r#"{"node_execute_uuid":"","debug_url":"https://www.coze.cn/work_flow?execute_id=7600000000000000001\u0026space_id=75\u0026workflow_id=7"}"#;

pub fn sessions() -> Vec<Session> {
    let mut sessions = samples();
    sessions.extend(written());
    sessions
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
        Session {
            text: "World",
            ..sample(
                "no spaces, an unknown event, no blank line at the end",
                include_str!("../wire/test_cozego_nospace_ping_unknown.sse"),
            )
        },
        Session {
            execute_id: "7547546110525440000",
            text: "what came after the question",
            exit_code: 7,
            studio: true,
            ..sample(
                "Studio's question",
                include_str!("../wire/studio_pre_v030_lowercase_interrupt.sse"),
            )
        },
    ]
}

#[expect(clippy::too_many_lines, reason = "a list; each session stands alone")]
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
                    said(5, END, 1, false, r#"{\"debug_url\":\"https://w/?execute_id=667&\"}"#),
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
                    event(3, "Error", r#"{"error_code":5000,"error_message":"internal","debug_url":"https://www.coze.cn/work_flow?execute_id=7600000000000000001\u0026space_id=75"}"#),
                    event(4, "Done", DONE),
                ],
            )
        },
        Session {
            text: "abc",
            exit_code: 1,
            studio: true,
            ..session(
                "Studio's plain-text error, without an id, on two lines",
                vec![
                    studio(0, 0, "ab"),
                    "event: error\ndata: stream error: {\"execute_id\":\ndata: broken\n\n".to_owned(),
                ],
            )
        },
        Session {
            execute_id: EXECUTE_ID,
            text: "hello",
            studio: true,
            ..session(
                "Studio counts over the whole run and never says finish",
                vec![
                    r#"id: 0
event: message
data: {"content":"said","node_title":"Out","node_type":"Message","node_id":"3","node_seq_id":"0","node_is_finish":true}

"#.to_owned(),
                    studio(1, 1, "hel"),
                    studio(2, 2, "lo"),
                    event(3, "done", r#"{"debug_url":"http://127.0.0.1:8888/work_flow?execute_id=7600000000000000001&space_id=75"}"#),
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
                vec![event(0, "Error", r#"{"error_code":4315,"error_message":"over"}"#)],
            )
        },
        Session {
            execute_id: EXECUTE_ID,
            text: "early",
            ..session(
                "the first event tells the run",
                vec![
                    event(0, "PING", r#"{"content":"{}","execute_id":"7600000000000000001","x":0}"#),
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
        Session {
            execute_id: EXECUTE_ID,
            text: "ab",
            ..session(
                "pieces without a count",
                vec![
                    event(0, "Message", r#"{"content":"a","node_title":"End","node_is_finish":true}"#),
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
                    event(1, "Message", r#"{"content":"two","node_title":"另一个","node_seq_id":0,"node_is_finish":true}"#),
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
                    event(2, "Done", &DONE.replace("\"debug_url\"", "\ndata: \"debug_url\"")),
                ],
            )
        },
    ]
}

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
        exit_code: 0,
        resumes: false,
        studio: false,
    }
}

fn event(id: u32, name: &str, data: &str) -> String {
    format!("id: {id}\nevent: {name}\ndata: {data}\n\n")
}

const END: (&str, &str, &str) = ("End", "End", "900001");
const OUTPUT: (&str, &str, &str) = ("输出", "Message", "138");

/// A piece of what a node says; `content` is written as it stands in JSON.
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
