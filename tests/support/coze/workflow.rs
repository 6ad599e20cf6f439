//! The workflows of the stand-in: what each says, asks and gives, as a story that every site tells
//! in its own bytes (`cloud`, `studio`), and how far each run has come. Does no I/O.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

/// An Output node speaks, then a variable-mode End node gives `{"output":PARAMETERS}`.
pub const ECHO: &str = "7000000000000000001";
/// Asks a question; answered, the End node gives `{"answer":RESUME_DATA}`.
pub const QUESTION: &str = "7000000000000000002";
/// An Output node speaks, then the run fails.
pub const FAILS: &str = "7000000000000000003";
/// Refused: it is not published.
pub const UNPUBLISHED: &str = "7000000000000000004";
/// `ECHO`, but still running at the first polls, the first of which gets invalid JSON from the
/// cloud. Studio's stream says nothing at all for as many pauses as there are such looks.
pub const SLOW: &str = "7000000000000000005";
/// `ECHO`, but the connection is cut in the middle of the End node's event.
pub const CUT: &str = "7000000000000000006";
/// `ECHO`, but each request is refused for its rate at first.
pub const RATE_LIMITED: &str = "7000000000000000007";
/// The End node gives `{"image_url":"https://…"}`.
pub const IMAGE: &str = "7000000000000000008";
/// A text-mode End node streams many messages: for benchmarks.
pub const BULK: &str = "7000000000000000009";
/// A text-mode End node gives the parameters themselves, in pieces.
pub const ECHO_TEXT: &str = "7000000000000000010";
/// A text-mode End node streams as many messages as `BULK`, each of which says when it was written:
/// nanoseconds since 1970, between two `CLOCK_MARK`s. Its history knows no text.
pub const CLOCK: &str = "7000000000000000011";
pub const CLOCK_MARK: char = '@';
/// A sub-workflow's text-mode End says `Child says: INPUT`, then the End node gives that text as
/// `{"result":…}`. INPUT is the parameter `input`, here and below.
pub const SUB_VARIABLES: &str = "7000000000000000012";
/// The same, but the End node gives the text `Parent says: Child says: INPUT`.
pub const SUB_TEXT: &str = "7000000000000000013";
/// The same, but the End node does not use what the sub-workflow said: `{"input":INPUT}`.
pub const SUB_UNUSED: &str = "7000000000000000014";
/// `SUB_TEXT`, but both texts come in pieces.
pub const SUB_STREAM: &str = "7000000000000000015";
/// A text-mode End node whose text is empty.
pub const EMPTY_TEXT: &str = "7000000000000000016";
/// An Output node speaks, then a variable-mode End node that has no variables gives `{}`.
pub const EMPTY_END: &str = "7000000000000000017";
/// An input node asks for `name` (required) and `age`; the End node gives both.
pub const FORM: &str = "7000000000000000018";
/// A question with options; answered, the End node gives `{"answer":RESUME_DATA}`.
pub const CHOICE: &str = "7000000000000000019";
/// An input node asks for `first`, an Output node says `got FIRST`, a second input node asks for
/// `second`; the End node gives `{"second":SECOND}`.
pub const ASKS_TWICE: &str = "7000000000000000020";
/// Declares what it takes: `input` (required) and `more`. Gives both, and `{"fixed":"constant"}`.
pub const TYPED: &str = "7000000000000000021";
/// `ECHO_TEXT`, but after the End node has finished nothing comes any more, and the history says
/// Running for good.
pub const STUCK: &str = "7000000000000000022";
/// An Output node speaks, then the stream breaks with an `error` event in plain text; the run goes
/// on and gives `{"output":PARAMETERS}`.
pub const BREAKS: &str = "7000000000000000023";

/// Gives `{"result":a+b}`, in floating point, and fails when `a` is 13. What a project has deployed.
pub const SUM: &str = "7000000000000000024";

const IMAGE_URL: &str = "https://image.example/cat.png?size=1024&sign=abc";
/// What the Output node says, in its three pieces.
pub(super) const SAID: [&str; 3] = ["正在处理", "，请稍候", "……"];

#[derive(Debug)]
pub(super) struct Node {
    pub(super) title: &'static str,
    pub(super) kind: &'static str,
    pub(super) id: &'static str,
}

pub(super) const END: Node = Node {
    title: "End",
    kind: "End",
    id: "900001",
};
pub(super) const OUTPUT: Node = Node {
    title: "输出",
    kind: "Message",
    id: "100002",
};
const ASKS: Node = Node {
    title: "问答",
    kind: "Question",
    id: "100003",
};
const INPUT: Node = Node {
    title: "输入",
    kind: "Input",
    id: "100004",
};

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
    EchoText,
    Clock,
    SubVariables,
    SubText,
    SubUnused,
    SubStream,
    EmptyText,
    EmptyEnd,
    Form,
    Choice,
    AsksTwice,
    Typed,
    Stuck,
    Breaks,
    Sum,
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
            ECHO_TEXT => Self::EchoText,
            CLOCK => Self::Clock,
            SUB_VARIABLES => Self::SubVariables,
            SUB_TEXT => Self::SubText,
            SUB_UNUSED => Self::SubUnused,
            SUB_STREAM => Self::SubStream,
            EMPTY_TEXT => Self::EmptyText,
            EMPTY_END => Self::EmptyEnd,
            FORM => Self::Form,
            CHOICE => Self::Choice,
            ASKS_TWICE => Self::AsksTwice,
            TYPED => Self::Typed,
            STUCK => Self::Stuck,
            BREAKS => Self::Breaks,
            SUM => Self::Sum,
            _ => return None,
        })
    }

    fn asks(self) -> bool {
        matches!(
            self,
            Self::Question | Self::Choice | Self::Form | Self::AsksTwice
        )
    }

    /// What it declares to take; it runs with anything.
    pub(super) fn inputs(self) -> &'static [Field] {
        match self {
            Self::Echo
            | Self::EchoText
            | Self::Slow
            | Self::Cut
            | Self::RateLimited
            | Self::Breaks
            | Self::Stuck => ECHOED,
            Self::Image => PROMPT,
            Self::SubVariables | Self::SubText | Self::SubUnused | Self::SubStream => INPUT_TEXT,
            Self::Typed => TAKEN,
            Self::Sum => SUMMANDS,
            _ => &[],
        }
    }
}

/// A parameter, or a field of a form.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    /// `string`, `integer` or `number`.
    pub(super) kind: &'static str,
    pub(super) required: bool,
}

/// All fields as JSON has them there: `one` writes a name, its kind and whether it is required.
pub(super) fn written(
    fields: &[Field],
    separator: &str,
    one: fn(&str, &str, bool) -> String,
) -> String {
    let all = fields.iter();
    let all: Vec<_> = all
        .map(|field| one(field.name, field.kind, field.required))
        .collect();
    all.join(separator)
}

impl Field {
    const fn required(name: &'static str) -> Self {
        Self {
            name,
            kind: "string",
            required: true,
        }
    }

    const fn optional(name: &'static str, kind: &'static str) -> Self {
        Self {
            name,
            kind,
            required: false,
        }
    }

    pub(super) fn fits(&self, value: &Value) -> bool {
        match self.kind {
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            _ => value.is_string(),
        }
    }

    /// What takes the place of an absent value, or of one of the wrong type.
    fn zero(&self) -> Value {
        match self.kind {
            "integer" | "number" => 0.into(),
            _ => "".into(),
        }
    }
}

/// What a run does from its start, or from its last answer, until it ends or asks.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) said: Vec<Speech>,
    pub(super) ending: Ending,
}

#[derive(Debug)]
pub(super) struct Speech {
    pub(super) speaker: Speaker,
    pub(super) pieces: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    Output,
    /// The text-mode End node of a sub-workflow.
    SubWorkflow,
}

#[derive(Debug)]
pub(super) enum Ending {
    Gives(Output),
    Asks(Question),
    Fails(Failure),
}

/// The End node's result.
#[derive(Debug)]
pub(super) enum Output {
    /// Variable mode: a JSON object.
    Variables(String),
    /// Text mode, in its pieces.
    Text(Vec<String>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    Text(&'static str),
    Options(&'static str, &'static [&'static str]),
    Form(&'static [Field]),
}

impl Question {
    pub(super) fn interrupt_type(self) -> u64 {
        match self {
            Self::Text(_) | Self::Options(..) => 2,
            Self::Form(_) => 5,
        }
    }

    pub(super) fn node(self) -> &'static Node {
        match self {
            Self::Text(_) | Self::Options(..) => &ASKS,
            Self::Form(_) => &INPUT,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// A node failed.
    Node,
    /// The answer to a form is no JSON object.
    NoObject(String),
    /// The answer to a form lacks a required name.
    Missing(&'static str),
}

/// How a run was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Studio only: the answer waits for the run's end.
    Foreground,
    Stream,
    Background,
}

impl Mode {
    /// `run_mode` in a history.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Foreground => 0,
            Self::Stream => 1,
            Self::Background => 2,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Until its last event is about to be sent.
    Streaming,
    /// In the background, for so many more looks.
    Running {
        polls: u32,
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
    /// Each `resume_data` that it took.
    pub(super) answers: Vec<String>,
    /// How often it was resumed: the cloud asks again after an answer that does not fit.
    pub(super) resumed: u64,
    /// The interrupt that was answered last.
    pub(super) answered: Option<(String, Question)>,
    pub(super) phase: Phase,
    /// Whether somebody looked since it was started or resumed.
    pub(super) polled: bool,
    /// How many messages of how many bytes `BULK` gives.
    pub(super) bulk: (usize, usize),
}

impl Run {
    pub(super) fn story(&self) -> Story {
        let mut said = Vec::new();
        let ending = match self.workflow {
            Workflow::Echo
            | Workflow::Slow
            | Workflow::Cut
            | Workflow::RateLimited
            | Workflow::Breaks => {
                said.push(Speech::of_output());
                variables(format!(r#"{{"output":{}}}"#, self.parameters))
            }
            Workflow::EchoText => {
                said.push(Speech::of_output());
                text(cut(&self.parameters, 3))
            }
            Workflow::Stuck => text(cut(&self.parameters, 3)),
            Workflow::Fails => {
                said.push(Speech::of_output());
                Ending::Fails(Failure::Node)
            }
            Workflow::Question => self.answered(Question::Text("请问你想查看哪个城市的天气？")),
            Workflow::Choice => self.answered(Question::Options("Which one?", &["red", "green"])),
            Workflow::Form => match &self.answers[..] {
                [] => Ending::Asks(PERSON),
                [answer, ..] => {
                    filled(PERSON, answer).map_or_else(Ending::Fails, |form| object(&form))
                }
            },
            Workflow::AsksTwice => self.asked_twice(&mut said),
            Workflow::Image => variables(format!(r#"{{"image_url":"{IMAGE_URL}"}}"#)),
            Workflow::Bulk => text(vec![bulk_text(self.bulk.1); self.bulk.0]),
            Workflow::Clock | Workflow::EmptyText => text(Vec::new()),
            Workflow::SubVariables
            | Workflow::SubText
            | Workflow::SubUnused
            | Workflow::SubStream => self.with_child(&mut said),
            Workflow::EmptyEnd => {
                said.push(Speech::of_output());
                variables("{}".to_owned())
            }
            Workflow::Typed => {
                let (input, more) = (self.parameter("input"), self.parameter("more"));
                let (input, more) = (quoted(&input), quoted(&more));
                variables(format!(
                    r#"{{"fixed":"constant","input":{input},"more":{more}}}"#
                ))
            }
            Workflow::Sum => {
                let [a, b] = ["a", "b"].map(|name| self.number(name));
                if (a - 13.0).abs() < f64::EPSILON {
                    Ending::Fails(Failure::Node)
                } else {
                    variables(format!(r#"{{"result": {:?}}}"#, a + b))
                }
            }
            Workflow::Unpublished => unreachable!("it is refused"),
        };
        Story { said, ending }
    }

    fn answered(&self, question: Question) -> Ending {
        match self.answers.first() {
            None => Ending::Asks(question),
            Some(answer) => variables(format!(r#"{{"answer":{}}}"#, quoted(answer))),
        }
    }

    fn asked_twice(&self, said: &mut Vec<Speech>) -> Ending {
        let (question, answer) = match &self.answers[..] {
            [] => return Ending::Asks(FIRST),
            [first] => (FIRST, first),
            [_, second, ..] => (SECOND, second),
        };
        match (filled(question, answer), self.answers.len()) {
            (Err(failure), _) => Ending::Fails(failure),
            (Ok(form), 1) => {
                said.push(Speech {
                    speaker: Speaker::Output,
                    pieces: vec![format!("got {}", form["first"])],
                });
                Ending::Asks(SECOND)
            }
            (Ok(form), _) => object(&form),
        }
    }

    fn with_child(&self, said: &mut Vec<Speech>) -> Ending {
        let input = self.parameter("input");
        let child = match self.workflow {
            Workflow::SubStream => vec!["Child: ".to_owned(), input.clone()],
            _ => vec![format!("Child says: {input}")],
        };
        let ending = match self.workflow {
            Workflow::SubVariables => {
                variables(format!(r#"{{"result":{}}}"#, quoted(&child.concat())))
            }
            Workflow::SubText => text(vec![format!("Parent says: {}", child.concat())]),
            Workflow::SubStream => text([vec!["Parent: ".to_owned()], child.clone()].concat()),
            _ => variables(format!(r#"{{"input":{}}}"#, quoted(&input))),
        };
        said.push(Speech {
            speaker: Speaker::SubWorkflow,
            pieces: child,
        });
        ending
    }

    fn parameter(&self, name: &str) -> String {
        let parameters: Value = serde_json::from_str(&self.parameters).unwrap_or_default();
        parameters[name].as_str().unwrap_or_default().to_owned()
    }

    pub(super) fn number(&self, name: &str) -> f64 {
        let parameters: Value = serde_json::from_str(&self.parameters).unwrap_or_default();
        parameters[name].as_f64().unwrap_or_default()
    }

    /// The token that a run of a model would use.
    pub(super) fn tokens(&self) -> u64 {
        match (self.workflow, self.phase) {
            (Workflow::EchoText, Phase::Ended) => 44,
            _ => 0,
        }
    }

    pub(super) fn event_id(&self) -> String {
        let number = 2_769_808_280_134_765_896 + self.resumed;
        format!("{}/{number}", self.execute_id)
    }

    /// What it asks now, if it waits for an answer.
    pub(super) fn question(&mut self) -> Option<Question> {
        if self.phase == (Phase::Running { polls: 0 }) {
            self.settle();
        }
        if self.phase != Phase::Waiting {
            return None;
        }
        match self.story().ending {
            Ending::Asks(question) => Some(question),
            Ending::Gives(_) | Ending::Fails(_) => None,
        }
    }

    /// Goes on with an answer to its question; without one it asks again.
    pub(super) fn resume(&mut self, question: Question, answer: Option<String>, phase: Phase) {
        self.answered = Some((self.event_id(), question));
        self.answers.extend(answer);
        self.resumed += 1;
        self.polled = false;
        self.phase = phase;
    }

    /// Runs on to its end, or to its question.
    pub(super) fn settle(&mut self) {
        self.phase = match self.workflow {
            Workflow::Stuck => return,
            // The story of `BULK` is long: nobody may pay for it here.
            workflow if !workflow.asks() => Phase::Ended,
            _ => match self.story().ending {
                Ending::Asks(_) => Phase::Waiting,
                Ending::Gives(_) | Ending::Fails(_) => Phase::Ended,
            },
        };
    }

    /// One look: time goes on in the background by being looked at.
    pub(super) fn poll(&mut self) -> Phase {
        match self.phase {
            Phase::Running { polls: 0 } => self.settle(),
            Phase::Running { polls } => {
                self.phase = Phase::Running { polls: polls - 1 };
                return Phase::Running { polls };
            }
            Phase::Streaming | Phase::Waiting | Phase::Ended => {}
        }
        self.phase
    }

    /// What a message of `CLOCK` says that is written at once.
    pub(super) fn clock() -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("a clock set after 1970").as_nanos();
        format!("{CLOCK_MARK}{now}{CLOCK_MARK}")
    }
}

const ECHOED: &[Field] = &[
    Field::optional("input", "string"),
    Field::optional("city", "string"),
    Field::optional("days", "integer"),
];
const PROMPT: &[Field] = &[Field::optional("prompt", "string")];
const INPUT_TEXT: &[Field] = &[Field::optional("input", "string")];
const TAKEN: &[Field] = &[Field::required("input"), Field::optional("more", "string")];
const SUMMANDS: &[Field] = &[
    Field {
        name: "a",
        kind: "number",
        required: true,
    },
    Field {
        name: "b",
        kind: "number",
        required: true,
    },
    Field::optional("sleep", "number"),
    Field::optional("key", "string"),
];
const PERSON: Question =
    Question::Form(&[Field::required("name"), Field::optional("age", "integer")]);
const FIRST: Question = Question::Form(&[Field {
    name: "first",
    kind: "integer",
    required: true,
}]);
const SECOND: Question = Question::Form(&[Field::optional("second", "string")]);

impl Speech {
    fn of_output() -> Self {
        Self {
            speaker: Speaker::Output,
            pieces: SAID.map(str::to_owned).into(),
        }
    }
}

/// A form with its answers; any answer fits another question.
pub(super) fn filled(question: Question, answer: &str) -> Result<Map<String, Value>, Failure> {
    let Question::Form(fields) = question else {
        return Ok(Map::new());
    };
    let given: Map<String, Value> =
        serde_json::from_str(answer).map_err(|_| Failure::NoObject(answer.to_owned()))?;
    let mut form = Map::new();
    for field in fields {
        let value = match given.get(field.name) {
            None if field.required => return Err(Failure::Missing(field.name)),
            Some(value) if field.fits(value) => value.clone(),
            _ => field.zero(),
        };
        form.insert(field.name.to_owned(), value);
    }
    Ok(form)
}

fn object(form: &Map<String, Value>) -> Ending {
    variables(serde_json::to_string(form).expect("a map is always JSON"))
}

fn variables(json: String) -> Ending {
    Ending::Gives(Output::Variables(json))
}

fn text(pieces: Vec<String>) -> Ending {
    Ending::Gives(Output::Text(pieces))
}

pub(super) fn bulk_text(bytes: usize) -> String {
    let line = "coze says \"hello\"\n";
    line.chars().cycle().take(bytes).collect()
}

pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is always JSON")
}

/// `text` in so many pieces, of about the same length.
fn cut(text: &str, pieces: usize) -> Vec<String> {
    let mut rest = text;
    let mut cuts = Vec::new();
    for left in (2..=pieces).rev() {
        let middle = rest.chars().count() / left;
        let at = rest.char_indices().nth(middle).map_or(0, |(at, _)| at);
        let (piece, after) = rest.split_at(at);
        cuts.push(piece.to_owned());
        rest = after;
    }
    cuts.push(rest.to_owned());
    cuts
}
