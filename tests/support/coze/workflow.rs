//! The workflows of the stand-in: what each says in its stream and in its history, byte for byte
//! as on the wire (key order, escapes, ids as strings or numbers). Does no I/O.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Options, Site, write_chunk};

/// An Output node speaks, then a variable-mode End node gives `{"output":PARAMETERS}`.
pub const ECHO: &str = "7000000000000000001";
/// Asks a question; answered, the End node gives `{"answer":RESUME_DATA}`.
pub const QUESTION: &str = "7000000000000000002";
/// An Output node speaks, then the run fails with 5000.
pub const FAILS: &str = "7000000000000000003";
/// Refused with 4200: in a stream as an Error event alone.
pub const UNPUBLISHED: &str = "7000000000000000004";
/// `ECHO`, but still running at the first looks, the first of which gets invalid JSON.
pub const SLOW: &str = "7000000000000000005";
/// `ECHO`, but the connection is cut in the middle of the End node's event.
pub const CUT: &str = "7000000000000000006";
/// `ECHO`, but each request is refused for its rate at first.
pub const RATE_LIMITED: &str = "7000000000000000007";
/// The End node gives `{"image_url":"https://…"}`.
pub const IMAGE: &str = "7000000000000000008";
/// A text-mode End node streams many messages: for benchmarks.
pub const BULK: &str = "7000000000000000009";
/// A text-mode End node streams as many messages as `BULK`, each of which says when it was written:
/// nanoseconds since 1970, between two `CLOCK_MARK`s. Its history knows no text.
pub const CLOCK: &str = "7000000000000000011";
pub const CLOCK_MARK: char = '@';
/// A text-mode End node gives the parameters themselves, in pieces.
pub const ECHO_TEXT: &str = "7000000000000000010";

/// A question.
pub(super) const INTERRUPT_TYPE: u64 = 2;

const IMAGE_URL: &str = "https://image.example/cat.png?size=1024&sign=abc";
const USAGE: &str = r#"{"token_count":44,"output_count":5,"input_count":39}"#;
const SPACE_ID: &str = "7100000000000000000";
const FAILURE: &str = "workflow internal error";
const END: Node = Node {
    title: "End",
    kind: "End",
    id: "900001",
};
const OUTPUT: Node = Node {
    title: "输出",
    kind: "Message",
    id: "100002",
};
const ASKS: Node = Node {
    title: "问答",
    kind: "Question",
    id: "100003",
};
const OUTPUT_UUID: &str = "7300000000000000001";
/// What the Output node says, in its three pieces.
const SAID: [&str; 3] = ["正在处理", "，请稍候", "……"];

struct Node {
    title: &'static str,
    kind: &'static str,
    id: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workflow {
    Echo,
    Question,
    Fails,
    Unpublished,
    Slow,
    Cut,
    RateLimited,
    Image,
    Bulk,
    Clock,
    EchoText,
}

impl Workflow {
    pub(super) fn of(workflow_id: &str) -> Option<Self> {
        Some(match workflow_id {
            ECHO => Self::Echo,
            QUESTION => Self::Question,
            FAILS => Self::Fails,
            UNPUBLISHED => Self::Unpublished,
            SLOW => Self::Slow,
            CUT => Self::Cut,
            RATE_LIMITED => Self::RateLimited,
            IMAGE => Self::Image,
            BULK => Self::Bulk,
            CLOCK => Self::Clock,
            ECHO_TEXT => Self::EchoText,
            _ => return None,
        })
    }

    fn speaks(self) -> bool {
        !matches!(
            self,
            Self::Question | Self::Image | Self::Bulk | Self::Clock
        )
    }

    fn is_text_mode(self) -> bool {
        matches!(self, Self::EchoText | Self::Bulk | Self::Clock)
    }
}

/// How a run was started, which decides how it is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Stream,
    Background,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Until its last event is about to be sent.
    Streaming,
    /// In the background, for so many more looks.
    Running {
        looks: u32,
    },
    /// Interrupted.
    Waiting,
    Ended,
}

#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) execute_id: String,
    pub(super) workflow_id: String,
    pub(super) workflow: Workflow,
    pub(super) mode: Mode,
    /// As they were sent, byte for byte.
    pub(super) parameters: String,
    /// The `resume_data` it was given.
    pub(super) answer: Option<String>,
    pub(super) phase: Phase,
    /// Whether somebody looked since it was started or resumed.
    pub(super) looked: bool,
    /// How many messages of how many bytes `BULK` gives.
    pub(super) bulk: (usize, usize),
}

/// An event of a stream, still without its id.
#[derive(Clone, Debug)]
pub(super) struct Event {
    name: &'static str,
    data: String,
}

impl Event {
    /// Coze's JSON is made by Go, which escapes these three in every event.
    fn new(name: &'static str, data: &str) -> Self {
        let data = data
            .replace('&', r"\u0026")
            .replace('<', r"\u003c")
            .replace('>', r"\u003e");
        Self { name, data }
    }

    fn ping() -> Self {
        Self::new("PING", r#"{"content":"{}","node_execute_uuid":""}"#)
    }

    fn message(node: &Node, seq: usize, is_last: bool, content: &str) -> Self {
        let Node { title, kind, id } = node;
        let content = quoted(content);
        let usage = if node.id == END.id && is_last {
            format!(r#","usage":{USAGE}"#)
        } else {
            String::new()
        };
        let data = format!(
            r#"{{"content_type":"text","node_is_finish":{is_last},"node_seq_id":"{seq}","node_title":"{title}","content":{content},"node_type":"{kind}","node_id":"{id}","node_execute_uuid":""{usage}}}"#
        );
        Self::new("Message", &data)
    }

    /// With a `debug_url` the run had started; without one it is a refusal.
    pub(super) fn error(code: u64, message: &str, debug_url: Option<&str>) -> Self {
        let debug_url =
            debug_url.map_or_else(String::new, |url| format!(r#","debug_url":"{url}""#));
        let data = format!(r#"{{"error_code":{code},"error_message":"{message}"{debug_url}}}"#);
        Self::new("Error", &data)
    }

    pub(super) fn render(&self, id: usize) -> String {
        format!("id: {id}\nevent: {}\ndata: {}\n\n", self.name, self.data)
    }
}

impl Run {
    /// What its stream says, from the start or from the answer on. Never empty.
    pub(super) fn events(&self, options: &Options) -> Vec<Event> {
        let mut story = Story::new(options.site);
        story.ping();
        if self.workflow == Workflow::Question && self.answer.is_none() {
            story.say(&ASKS, &["请问你想查看哪个城市的天气？"]);
            story.events.push(self.interrupt());
            return story.events;
        }
        if self.workflow.speaks() {
            story.say(&OUTPUT, &SAID);
            story.ping();
        }
        if self.workflow == Workflow::Slow {
            (0..options.slow_looks).for_each(|_| story.ping());
        }
        if self.workflow == Workflow::Fails {
            let debug_url = self.debug_url();
            let error = Event::error(5000, FAILURE, Some(&debug_url));
            story.events.push(error);
            if options.site != Site::Coze {
                return story.events;
            }
        } else {
            let text = self.end_text();
            let pieces = if self.workflow.is_text_mode() { 3 } else { 1 };
            story.say(&END, &cut(&text, pieces));
        }
        if self.workflow != Workflow::Cut {
            story.events.push(self.done());
        }
        story.events
    }

    /// All that `BULK` streams before its Done, in chunks.
    pub(super) fn render_bulk(&self) -> Vec<u8> {
        let (messages, bytes) = self.bulk;
        let text = bulk_text(bytes);
        // Escaping the same text for every message would take most of a benchmark's time.
        let middle = Event::message(&END, 0, false, &text).data;
        let (before, after) = middle.split_once(r#""0""#).expect("its node_seq_id");
        let mut rendered = Vec::new();
        for id in 0..messages {
            let event = if id + 1 == messages {
                Event::message(&END, id, true, &text).render(id)
            } else {
                format!("id: {id}\nevent: Message\ndata: {before}\"{id}\"{after}\n\n")
            };
            write_chunk(&mut rendered, event.as_bytes()).expect("memory takes everything");
        }
        rendered
    }

    /// A message of `CLOCK`, to be written at once.
    pub(super) fn clock(&self, seq: usize) -> Event {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("a clock set after 1970").as_nanos();
        let is_last = seq + 1 == self.bulk.0;
        Event::message(
            &END,
            seq,
            is_last,
            &format!("{CLOCK_MARK}{now}{CLOCK_MARK}"),
        )
    }

    pub(super) fn done(&self) -> Event {
        let url = self.debug_url();
        let data = format!(r#"{{"node_execute_uuid":"","debug_url":"{url}"}}"#);
        Event::new("Done", &data)
    }

    fn interrupt(&self) -> Event {
        let interrupt = self.interrupt_data();
        let title = ASKS.title;
        let data = format!(r#"{{"interrupt_data":{interrupt},"node_title":"{title}"}}"#);
        Event::new("Interrupt", &data)
    }

    fn interrupt_data(&self) -> String {
        let event_id = self.event_id();
        format!(r#"{{"data":"","event_id":"{event_id}","type":{INTERRUPT_TYPE}}}"#)
    }

    pub(super) fn event_id(&self) -> String {
        format!("{}/2769808280134765896", self.execute_id)
    }

    fn debug_url(&self) -> String {
        let (execute_id, workflow_id) = (&self.execute_id, &self.workflow_id);
        format!(
            "https://www.coze.cn/work_flow?execute_id={execute_id}&space_id={SPACE_ID}&workflow_id={workflow_id}&execute_mode=2"
        )
    }

    /// What a start or a resume in the background is answered.
    pub(super) fn submitted(&self) -> String {
        let (debug_url, execute_id) = (self.debug_url(), &self.execute_id);
        format!(
            r#"{{"code":0,"debug_url":"{debug_url}","execute_id":"{execute_id}","msg":"Success"}}"#
        )
    }

    /// The End node's result.
    fn end_text(&self) -> String {
        let parameters = &self.parameters;
        match self.workflow {
            Workflow::Echo | Workflow::Slow | Workflow::Cut | Workflow::RateLimited => {
                format!(r#"{{"output":{parameters}}}"#)
            }
            Workflow::EchoText => parameters.clone(),
            Workflow::Question => {
                let answer = quoted(self.answer.as_deref().unwrap_or_default());
                format!(r#"{{"answer":{answer}}}"#)
            }
            Workflow::Image => format!(r#"{{"image_url":"{IMAGE_URL}"}}"#),
            Workflow::Bulk => bulk_text(self.bulk.1).repeat(self.bulk.0),
            Workflow::Clock | Workflow::Fails | Workflow::Unpublished => String::new(),
        }
    }

    pub(super) fn is_waiting(&mut self) -> bool {
        if self.phase == (Phase::Running { looks: 0 }) {
            self.settle();
        }
        self.phase == Phase::Waiting
    }

    /// Runs on to its end, or to its question.
    pub(super) fn settle(&mut self) {
        self.phase = if self.workflow == Workflow::Question && self.answer.is_none() {
            Phase::Waiting
        } else {
            Phase::Ended
        };
    }

    /// One look: time goes on in the background by being looked at.
    fn look(&mut self) -> Phase {
        match self.phase {
            Phase::Running { looks: 0 } => self.settle(),
            Phase::Running { looks } => {
                self.phase = Phase::Running { looks: looks - 1 };
                return Phase::Running { looks };
            }
            Phase::Streaming | Phase::Waiting | Phase::Ended => {}
        }
        self.phase
    }

    fn status(&self, phase: Phase) -> &'static str {
        match phase {
            Phase::Streaming | Phase::Running { .. } | Phase::Waiting => "Running",
            Phase::Ended if self.workflow == Workflow::Fails => "Fail",
            Phase::Ended => "Success",
        }
    }

    /// The answer to a look at api.coze.cn.
    pub(super) fn history(&mut self, trimmed: bool, logid: &str) -> String {
        let phase = self.look();
        let is_running = matches!(phase, Phase::Streaming | Phase::Running { .. });
        let was_answered = self.answer.is_some();
        if is_running && !was_answered && !self.looked {
            self.looked = true;
            // The quotes around the title lack a backslash: as captured.
            return r#"{"code":0,"data":[{"execute_status":"Running","output":"{\"node_status\":\"{\\"输出\\":{}}\",\"Output\":\"\"}","error_code":""}]}"#.to_owned();
        }
        let stale = is_running && was_answered && self.mode == Mode::Background;
        let interrupt = if phase == Phase::Waiting || stale {
            format!(r#""interrupt_data":{},"#, self.interrupt_data())
        } else {
            String::new()
        };
        let status = self.status(phase);
        let (error_code, error_message) = match status {
            "Fail" => ("5000", FAILURE),
            _ => ("0", ""),
        };
        let run_mode = match self.mode {
            Mode::Stream => 1,
            Mode::Background => 2,
        };
        let nodes = if self.workflow.speaks() && !is_running {
            let Node { title, id, .. } = OUTPUT;
            format!(
                r#"{{"{title}":{{"node_id":"{id}","is_finish":true,"node_execute_uuid":"{OUTPUT_UUID}"}}}}"#
            )
        } else {
            "{}".to_owned()
        };
        let output = quoted(&self.history_output(phase, trimmed, &nodes));
        let (execute_id, debug_url) = (&self.execute_id, self.debug_url());
        format!(
            r#"{{"msg":"","data":[{{"connector_uid":"1500000000000000","logid":"{logid}","bot_id":"0","update_time":1754448466,{interrupt}"execute_status":"{status}","error_code":"{error_code}","connector_id":"1024","is_output_trimmed":{trimmed},"token":"0","run_mode":{run_mode},"debug_url":"{debug_url}","node_execute_status":{nodes},"error_message":"{error_message}","execute_id":"{execute_id}","create_time":1754448435,"output":{output},"usage":{USAGE}}}],"detail":{{"logid":"{logid}"}},"code":0}}"#
        )
    }

    /// The object inside `output`, itself a text inside the history.
    fn history_output(&self, phase: Phase, trimmed: bool, nodes: &str) -> String {
        let nodes = quoted(nodes);
        if phase != Phase::Ended {
            return format!(r#"{{"node_status":{nodes},"Output":""}}"#);
        }
        let end = if trimmed {
            String::new()
        } else if self.workflow.is_text_mode() {
            let data = quoted(&self.end_text());
            format!(
                r#"{{"content_type":1,"data":{data},"original_result":null,"type_for_model":2}}"#
            )
        } else {
            self.end_text()
        };
        let said = if self.workflow.speaks() {
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

    /// The whole text of an Output node of this run.
    pub(super) fn node_text(&self, node_execute_uuid: &str, logid: &str) -> Option<String> {
        if !self.workflow.speaks() || node_execute_uuid != OUTPUT_UUID {
            return None;
        }
        let said = quoted(&SAID.concat());
        Some(format!(
            r#"{{"code":0,"msg":"","data":{{"is_finish":true,"node_output":{said}}},"detail":{{"logid":"{logid}"}}}}"#
        ))
    }

    /// The answer to a look at Coze Studio: ids are numbers, the End result is not wrapped.
    pub(super) fn studio_history(&mut self) -> String {
        let phase = self.look();
        let status = match phase {
            Phase::Waiting => "<UNSET>",
            _ => self.status(phase),
        };
        let output = match phase {
            Phase::Ended => quoted(&self.end_text()),
            _ => r#""""#.to_owned(),
        };
        let (error_code, error_message) = match status {
            "Fail" => (r#""error_code":"5000","#, FAILURE),
            _ => ("", ""),
        };
        let run_mode = match self.mode {
            Mode::Stream => 1,
            Mode::Background => 2,
        };
        let (execute_id, debug_url) = (&self.execute_id, self.debug_url());
        let input = quoted(&self.parameters);
        format!(
            r#"{{"data":[{{"execute_id":{execute_id},"execute_status":"{status}","bot_id":7545315412737523713,"connector_id":1024,"connector_uid":"7545315412737523714","run_mode":{run_mode},"log_id":"1f0f8f7a-0000-4000-8000-000000000000","create_time":1757300000,"update_time":1757300002,"debug_url":"{debug_url}","input":{input},"output":{output},"token":0,"cost":"0.00000",{error_code}"error_msg":"{error_message}"}}],"BaseResp":null}}"#
        )
    }
}

/// Events in the making. Studio sends no PING, counts `node_seq_id` over the whole run and never
/// says that a node has finished.
struct Story {
    site: Site,
    events: Vec<Event>,
    pieces: usize,
}

impl Story {
    fn new(site: Site) -> Self {
        Self {
            site,
            events: Vec::new(),
            pieces: 0,
        }
    }

    fn ping(&mut self) {
        if self.site == Site::Coze {
            self.events.push(Event::ping());
        }
    }

    fn say(&mut self, node: &Node, pieces: &[&str]) {
        for (seq, piece) in pieces.iter().enumerate() {
            let is_last = seq + 1 == pieces.len();
            let event = match self.site {
                Site::Coze => Event::message(node, seq, is_last, piece),
                Site::Studio404 | Site::Studio401 => {
                    Event::message(node, self.pieces, false, piece)
                }
            };
            self.events.push(event);
            self.pieces += 1;
        }
    }
}

fn bulk_text(bytes: usize) -> String {
    let line = "coze says \"hello\"\n";
    line.chars().cycle().take(bytes).collect()
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is always JSON")
}

/// `text` in so many pieces, of about the same length.
fn cut(text: &str, pieces: usize) -> Vec<&str> {
    let mut rest = text;
    let mut cuts = Vec::new();
    for left in (2..=pieces).rev() {
        let middle = rest.chars().count() / left;
        let at = rest.char_indices().nth(middle).map_or(0, |(at, _)| at);
        let (piece, after) = rest.split_at(at);
        cuts.push(piece);
        rest = after;
    }
    cuts.push(rest);
    cuts
}
