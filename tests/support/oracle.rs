//! What must come of a session of which only so much was served: sections 4 and 5 of the contract
//! read aloud, slowly, on the list of complete events. Shares nothing with the program, on purpose:
//! it splits strings where the program decodes bytes, and builds values where the program borrows.

use std::collections::BTreeSet;

use serde_json::Value;

use super::session::{History, Session};

/// What the events that were served tell.
#[derive(Debug)]
pub struct Story {
    pub ended: Option<Ended>,
    pub execute_id: Option<String>,
    /// The End node's text so far or, when it has not spoken, everybody's.
    pub text: String,
    /// What the other nodes said.
    pub others: String,
    pub is_whole: bool,
    /// Ids that never came, and messages that can't be understood.
    pub lost_events: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Done,
    Interrupt,
    Refused,
    Failed,
}

/// What the response must say.
#[derive(Debug, PartialEq, Eq)]
pub struct Expected {
    pub exit_code: u8,
    pub execute_id: String,
    pub output: String,
    /// Whether the history must have been asked for it.
    pub looked: bool,
}

/// Reads what was served. At a clean end (one that could be meant) the last event counts without its
/// blank line, if it has a name and its data is an object.
pub fn read(served: &[u8], clean: bool) -> Story {
    let text = String::from_utf8_lossy(served);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut blocks: Vec<Block> = text.split("\n\n").map(block).collect();
    let rest = blocks.pop().unwrap_or_default();
    let unfinished = rest.data.clone().unwrap_or_default();
    if clean && rest.name.is_some() && rest.value().is_object() {
        blocks.push(rest);
    }
    blocks.retain(|block| block.data.is_some());
    let mut story = fold(&blocks);
    if story.ended.is_none() && story.execute_id.is_none() {
        story.execute_id = told_by_unfinished(&unfinished);
    }
    story
}

/// The contract's answer, when the history is as said.
pub fn expect(session: &Session, story: &Story, history: History) -> Expected {
    let known = session.resumes.then(|| session.execute_id.to_owned());
    let execute_id = story.execute_id.clone().or(known);
    let done = story.ended == Some(Ended::Done);
    let mut output = story.text.clone();
    let mut looked = false;
    let exit_code = match story.ended {
        Some(Ended::Done) if story.is_whole => 0,
        Some(Ended::Interrupt) => 7,
        Some(Ended::Refused) => 4,
        Some(Ended::Failed) => 1,
        Some(Ended::Done) | None if execute_id.is_none() => 8,
        Some(Ended::Done) | None => {
            looked = true;
            match history {
                History::Succeeded => {
                    session.text.clone_into(&mut output);
                    0
                }
                History::Failed => 1,
                _ if done => 8,
                History::Running | History::Forbidden | History::Missing => 6,
            }
        }
    };
    Expected {
        exit_code,
        execute_id: execute_id.unwrap_or_default(),
        output,
        looked,
    }
}

/// The `status` and the `error.kind` that go with an exit code.
pub fn words(exit_code: u8) -> (&'static str, Option<&'static str>) {
    match exit_code {
        0 => ("Success", None),
        1 => ("Fail", Some("failed")),
        4 => ("Fail", Some("refused")),
        6 => ("Running", Some("running")),
        7 => ("Running", None),
        8 => ("Running", Some("unknown")),
        other => panic!("no session ends with exit code {other}"),
    }
}

#[derive(Default)]
struct Block {
    id: Option<u64>,
    name: Option<String>,
    data: Option<String>,
}

fn block(text: &str) -> Block {
    let mut block = Block::default();
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => block.id = value.parse().ok(),
            "event" => block.name = Some(value.to_lowercase()),
            "data" => {
                block.data = Some(match block.data {
                    Some(before) => before + "\n" + value,
                    None => value.to_owned(),
                });
            }
            _ => {}
        }
    }
    block
}

impl Block {
    fn value(&self) -> Value {
        let data = self.data.as_deref().unwrap_or_default();
        serde_json::from_str(data).unwrap_or_default()
    }
}

fn fold(blocks: &[Block]) -> Story {
    let mut ended = None;
    let mut execute_id = None;
    let mut ids = Vec::new();
    let (mut end, mut others) = (String::new(), String::new());
    let (mut end_seqs, mut end_finished) = (Vec::new(), false);
    let mut not_understood = 0;
    for (place, block) in blocks.iter().enumerate() {
        if block.id.is_some() && ids.contains(&block.id) {
            continue;
        }
        ids.push(block.id);
        let data = block.value();
        execute_id = execute_id.or_else(|| execute_id_in(&data));
        match (block.name.as_deref(), data["content"].as_str()) {
            (Some("message") | None, Some(content)) if is_end(&data) => {
                end += content;
                end_seqs.push(number(&data["node_seq_id"]));
                end_finished = data["node_is_finish"] == true;
            }
            (Some("message") | None, Some(content)) => others += content,
            (Some("message") | None, None) => not_understood += 1,
            (Some("done"), _) => ended = Some(Ended::Done),
            (Some("interrupt"), _) => ended = Some(Ended::Interrupt),
            (Some("error"), _) => {
                let refused = place == 0
                    && execute_id.is_none()
                    && number(&data["error_code"]).is_some_and(proves_that_nothing_started);
                ended = Some(if refused {
                    Ended::Refused
                } else {
                    Ended::Failed
                });
            }
            _ => {}
        }
        if ended.is_some() {
            break;
        }
    }
    let from_zero = |numbers: &[Option<u64>]| {
        numbers
            .iter()
            .copied()
            .eq((0..).map(Some).take(numbers.len()))
    };
    let end_spoke = !end_seqs.is_empty();
    let by_its_own_count = end_spoke && from_zero(&end_seqs) && end_finished;
    let by_ids = ended == Some(Ended::Done) && from_zero(&ids) && not_understood == 0;
    let known: BTreeSet<u64> = ids.into_iter().flatten().collect();
    let highest = known.last().map_or(0, |last| last + 1);
    Story {
        ended,
        execute_id,
        is_whole: by_its_own_count || by_ids,
        lost_events: highest - known.len() as u64 + not_understood,
        text: if end_spoke { end } else { others.clone() },
        others,
    }
}

fn is_end(data: &Value) -> bool {
    let title = data["node_title"].as_str();
    let nonempty = |key: &str| data[key].as_str().filter(|text| !text.is_empty());
    match (nonempty("node_type"), nonempty("node_id"), title) {
        (Some(kind), _, _) => kind == "End",
        (None, Some(id), _) => id == "900001",
        (None, None, Some(title)) => title.is_empty() || title == "End",
        (None, None, None) => false,
    }
}

fn proves_that_nothing_started(code: u64) -> bool {
    let studio = [720_702_001, 720_702_002, 720_702_011];
    let documented = (4000..5000).contains(&code) || code == 6003 || code / 100 == 7_000_120;
    (documented || studio.contains(&code)) && code != 4013
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    }
}

fn execute_id_in(data: &Value) -> Option<String> {
    let query = |url: &str| {
        let (_, query) = url.split_once('?')?;
        let mut pairs = query.split('&');
        pairs.find_map(|pair| pair.strip_prefix("execute_id=").map(str::to_owned))
    };
    let before_slash = |id: &str| id.split_once('/').map(|(first, _)| first.to_owned());
    let field = data["execute_id"].as_str().map(str::to_owned);
    let url = || data["debug_url"].as_str().and_then(query);
    let event_id = || {
        data["interrupt_data"]["event_id"]
            .as_str()
            .and_then(before_slash)
    };
    field.or_else(url).or_else(event_id)
}

/// An id that an unfinished event tells whatever its rest may be: the rest is made up in three ways,
/// and all of them must give the same id.
fn told_by_unfinished(data: &str) -> Option<String> {
    if !data.contains("execute_id") && !data.contains("event_id") {
        return None;
    }
    // An escape that may be cut is no digit, which is all that matters here.
    let escape = data.rfind('\\').filter(|&place| data.len() - place < 6);
    let data = match escape {
        Some(place) => data[..place].to_owned() + "&",
        None => data.to_owned(),
    };
    let rests = ["", "0", "1"];
    let told: BTreeSet<_> = rests
        .iter()
        .filter_map(|rest| completed(&(data.clone() + rest)))
        .map(|value| execute_id_in(&value))
        .collect();
    match told.len() {
        1 => told.into_iter().next().flatten(),
        _ => None,
    }
}

fn completed(beginning: &str) -> Option<Value> {
    let closers = ["", "\"", "\":0", ":0", "0", "\"\":0"];
    let braces = ["", "}", "}}"];
    closers
        .iter()
        .flat_map(|closer| braces.map(|braces| format!("{beginning}{closer}{braces}")))
        .find_map(|text| serde_json::from_str(&text).ok())
}
