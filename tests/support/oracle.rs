//! What must come of a session of which only so much was served: sections 4 and 5 of the contract
//! read aloud, slowly, on the list of complete events. Shares nothing with the program, on purpose:
//! it splits strings where the program decodes bytes, and builds values where the program borrows.

use std::collections::BTreeSet;

use serde_json::Value;

use super::session::{History, Service, Session};

/// What the events that were served tell.
#[derive(Debug, Default)]
pub struct Story {
    /// `None` when the stream broke off, or broke.
    pub ended: Option<Ended>,
    pub execute_id: Option<String>,
    /// The End node's text so far or, when it has not spoken, everybody's.
    pub text: String,
    /// The pieces of the End node's text; none when it has not spoken.
    pub end_pieces: Vec<String>,
    /// What the other nodes said.
    pub others: String,
    /// The stream itself proves that nothing of the text is missing.
    pub is_whole: bool,
    /// Ids that were jumped over, and events that can't be understood and did not end the stream.
    pub lost_events: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Done,
    Interrupt,
    /// By an Error that proves that nothing was started.
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
    pub polled: bool,
    /// Whether the response carries an `interrupt`.
    pub asks: bool,
}

impl Expected {
    /// The `status` and the `error.kind` that go with it.
    pub fn words(&self) -> (&'static str, Option<&'static str>) {
        match self.exit_code {
            0 => ("Success", None),
            1 => ("Fail", Some("failed")),
            4 => ("Fail", Some("refused")),
            6 => ("Running", Some("running")),
            7 if self.asks => ("Running", None),
            7 => ("Running", Some("interrupted")),
            8 => ("Running", Some("unknown")),
            other => panic!("no session ends with exit code {other}"),
        }
    }
}

/// The exit code of a process without a journal, from those of its requests. Codes that say "not
/// started" don't speak for a whole that started something.
pub fn together(exit_codes: &[u8]) -> u8 {
    let has = |code: u8| exit_codes.contains(&code);
    let started = [0, 1, 6, 7].into_iter().any(has);
    let counts_as = |&code: &u8| if started && code == 4 { 1 } else { code };
    let counted: Vec<u8> = exit_codes.iter().map(counts_as).collect();
    let gravest_first = [8, 6, 7, 1, 4];
    let gravest = gravest_first
        .into_iter()
        .find(|code| counted.contains(code));
    gravest.unwrap_or(0)
}

/// Reads what was served. At a clean end (one that could be meant) the last event counts without its
/// blank line, if it has a name and its data is an object.
pub fn read(served: &[u8], clean: bool) -> Story {
    let text = String::from_utf8_lossy(served);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (complete, rest) = match text.rsplit_once("\n\n") {
        Some((complete, rest)) => (complete, rest.trim_start_matches('\n')),
        None => ("", text.trim_start_matches('\n')),
    };
    let mut blocks: Vec<Block> = complete.split("\n\n").map(block).collect();
    let mut unfinished = rest;
    let last = block(rest);
    if clean && last.name.is_some() && last.value().is_object() {
        blocks.push(last);
        unfinished = "";
    }
    blocks.retain(|block| block.data.is_some());
    fold(&blocks, unfinished)
}

/// Reads what was served of this session.
pub fn read_of(session: &Session, served: &[u8], clean: bool) -> Story {
    match session.service {
        Service::Cloud | Service::Studio => read(served, clean),
        Service::Site => read_project(session, served, clean),
    }
}

/// A deployed project's: the first event that ends it counts, and nothing but that event has text.
fn read_project(session: &Session, served: &[u8], clean: bool) -> Story {
    let text = String::from_utf8_lossy(served);
    let (complete, rest) = text.rsplit_once("\n\n").unwrap_or(("", &text));
    let last = block(rest);
    let is_whole = clean && last.value().is_object();
    let blocks = complete.split("\n\n").map(block);
    let mut story = Story::default();
    for block in blocks.chain(is_whole.then_some(last)) {
        let data = block.value();
        let run_id = data["run_id"].as_str().map(str::to_owned);
        story.execute_id = story.execute_id.or(run_id);
        story.ended = match data["type"].as_str() {
            Some("workflow_end" | "done") => Some(Ended::Done),
            Some("error") => Some(Ended::Failed),
            _ => continue,
        };
        break;
    }
    story.is_whole = story.ended == Some(Ended::Done);
    if story.is_whole {
        session.text.clone_into(&mut story.text);
    }
    story
}

/// A lost stream can't be watched. Without a name of the server's the run has ours, which is not known
/// here.
fn expect_of_project(story: &Story) -> Expected {
    Expected {
        exit_code: match story.ended {
            Some(Ended::Done) => 0,
            Some(_) => 1,
            None => 8,
        },
        execute_id: story.execute_id.clone().unwrap_or_default(),
        output: story.text.clone(),
        polled: false,
        asks: false,
    }
}

/// The contract's answer, when the history is as said.
pub fn expect(session: &Session, story: &Story, history: History) -> Expected {
    if session.service == Service::Site {
        return expect_of_project(story);
    }
    let known = session.resumes.then(|| session.execute_id.to_owned());
    let execute_id = story.execute_id.clone().or(known);
    let done = story.ended == Some(Ended::Done);
    let mut expected = Expected {
        exit_code: 8,
        execute_id: execute_id.clone().unwrap_or_default(),
        output: story.text.clone(),
        polled: false,
        asks: false,
    };
    match story.ended {
        // On Coze Studio a sub-workflow's End speaks as the run's: no stream proves its text.
        Some(Ended::Done) if story.is_whole && session.service == Service::Cloud => {
            expected.exit_code = 0;
        }
        Some(Ended::Interrupt) => {
            expected.exit_code = 7;
            expected.asks = true;
        }
        // A refused answer carries its question, so that it can be corrected.
        Some(Ended::Refused) => {
            expected.exit_code = 4;
            expected.asks = session.resumes;
        }
        Some(Ended::Failed) => expected.exit_code = 1,
        // Nobody can tell what became of a run that has no name.
        Some(Ended::Done) | None if execute_id.is_none() => {}
        Some(Ended::Done) | None => {
            expected.polled = true;
            expected.exit_code = match history {
                History::Succeeded => 0,
                History::Failed => 1,
                History::Waiting => 7,
                History::Running | History::Forbidden | History::Missing if done => 8,
                History::Running | History::Forbidden | History::Missing => 6,
            };
            // Coze Studio tells what it asks to the stream only; what was answered is known.
            expected.asks = history == History::Waiting
                && (session.service == Service::Cloud || session.resumes);
            if history == History::Succeeded {
                expected.output = match session.service {
                    Service::Cloud => session.text.to_owned(),
                    Service::Studio => confirmed(story, session.keeps),
                    Service::Site => unreachable!("it is answered above"),
                };
            }
        }
    }
    expected
}

/// Whether a Success may say this: the run's text or, on Coze Studio, where the stream may not have
/// told the form of it, the map that is kept.
pub fn is_result(session: &Session, output: &str) -> bool {
    output == session.text
        || session.service == Service::Studio
            && (output == session.keeps
                || one_text(session.keeps).is_some_and(|text| text == output))
}

/// The output of a run on Coze Studio that succeeded: the stream's text when `map`, which is kept,
/// says the same, else what is kept, in the form that the stream used.
fn confirmed(story: &Story, map: &str) -> String {
    let done = story.ended == Some(Ended::Done);
    let end = story.end_pieces.concat();
    let text = one_text(map);
    let is_kept = story.text == map || text.as_ref() == Some(&story.text);
    if (done || !end.is_empty()) && is_kept {
        return story.text.clone();
    }
    if story.end_pieces.iter().any(|piece| piece == map) {
        return map.to_owned();
    }
    match text {
        Some(text) if done || !end.is_empty() && text.starts_with(&end) => text,
        _ => map.to_owned(),
    }
}

/// TEXT, when the map is exactly `{"output":TEXT}`, or empty.
fn one_text(map: &str) -> Option<String> {
    let map: Value = serde_json::from_str(map).ok()?;
    let map = map.as_object()?;
    match map.len() {
        0 => Some(String::new()),
        1 => Some(map.get("output")?.as_str()?.to_owned()),
        _ => None,
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
            "event" => block.name = Some(value.to_lowercase()).filter(|name| !name.is_empty()),
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

    /// Of a Done.
    fn is_understood(&self) -> bool {
        self.value().is_object() || self.data.as_deref() == Some("")
    }
}

/// What the End node's own numbers say of its text.
#[derive(Default)]
struct EndCount {
    next: u64,
    /// Every piece so far had the number that was due.
    is_counted: bool,
    is_finished: bool,
    vetoed: bool,
}

impl EndCount {
    fn piece(&mut self, is_first: bool, data: &Value) {
        self.vetoed |= self.is_finished;
        self.is_finished |= data["node_is_finish"] == true;
        self.is_counted |= is_first;
        // A piece without a number is neither veto nor proof.
        match number(&data["node_seq_id"]) {
            Some(number) if number == self.next => self.next += 1,
            Some(_) => self.vetoed = true,
            None => self.is_counted = false,
        }
    }
}

fn fold(blocks: &[Block], unfinished: &str) -> Story {
    let mut story = Story::default();
    let (mut next_id, mut ids_are_contiguous) = (0, true);
    let mut count = EndCount::default();
    let (mut other_text, mut others_are_understood) = (String::new(), true);
    let mut left = blocks.iter().enumerate();
    for (place, block) in left.by_ref() {
        let data = block.value();
        ids_are_contiguous &= block.id == Some(next_id);
        // One that comes again or late counts for nothing, here.
        if let Some(id) = block.id.filter(|&id| id >= next_id) {
            story.lost_events += id - next_id;
            next_id = id + 1;
        }
        story.execute_id = story.execute_id.or_else(|| execute_id_in(&data));
        match block.name.as_deref() {
            Some("message") | None => match (content(&data), is_end(&data)) {
                (Some(content), true) => {
                    count.piece(story.end_pieces.is_empty(), &data);
                    story.end_pieces.push(content);
                }
                (Some(content), false) => other_text += &content,
                (None, is_end) => {
                    story.lost_events += 1;
                    count.vetoed |= is_end;
                    others_are_understood = false;
                }
            },
            Some("done") if block.is_understood() => story.ended = Some(Ended::Done),
            Some("interrupt") if is_interrupt(&data) => story.ended = Some(Ended::Interrupt),
            Some("interrupt") => story.lost_events += 1,
            Some("error") if data.is_object() => {
                let is_first = place == 0 && matches!(block.id, None | Some(0));
                let is_refused = is_first
                    && story.execute_id.is_none()
                    && number(&data["error_code"]).is_some_and(proves_that_nothing_started);
                story.ended = Some(if is_refused {
                    Ended::Refused
                } else {
                    Ended::Failed
                });
            }
            // Here the stream broke: neither proves that the run ended.
            Some("done" | "error") => break,
            Some(_) => {}
        }
        if story.ended.is_some() {
            break;
        }
    }
    let end_spoke = !story.end_pieces.is_empty();
    let by_its_own_count = end_spoke && count.is_counted && count.is_finished;
    let by_ids = story.ended == Some(Ended::Done) && ids_are_contiguous;
    // What can't be understood of any node is missing when the text is everybody's.
    let vetoed = count.vetoed || !end_spoke && !others_are_understood;
    story.is_whole = (by_its_own_count || by_ids) && !vetoed;
    story.text = if end_spoke {
        story.end_pieces.concat()
    } else {
        other_text.clone()
    };
    story.others = other_text;
    let rest: Vec<&Block> = left.map(|(_, block)| block).collect();
    match story.ended {
        Some(Ended::Refused | Ended::Failed) => after_error(&mut story, &rest, unfinished),
        None => story.execute_id = story.execute_id.or_else(|| named_by_unfinished(unfinished)),
        Some(Ended::Done | Ended::Interrupt) => {}
    }
    story
}

/// Coze sends a Done after an Error, which may tell that there was a run. Only the same Error once
/// more, and a Done that tells of none, leave a refusal one.
fn after_error(story: &mut Story, rest: &[&Block], unfinished: &str) {
    let is_done = |block: &&Block| block.name.as_deref() == Some("done");
    let is_more = |block: &&Block| {
        let name = block.name.as_deref();
        execute_id_in(&block.value()).is_some()
            || !(name == Some("error") || is_done(block) && block.is_understood())
    };
    let (heard, unfinished) = match rest.iter().position(is_done) {
        Some(place) => (&rest[..=place], ""),
        None => (rest, unfinished),
    };
    // What has begun may be the Done that tells it.
    if heard.iter().copied().any(|block| is_more(&block)) || !unfinished.is_empty() {
        story.ended = Some(Ended::Failed);
    }
    let told = heard.iter().find_map(|block| execute_id_in(&block.value()));
    let told = told.or_else(|| named_by_unfinished(unfinished));
    story.execute_id = story.execute_id.take().or(told);
}

/// Absent and null are empty text; anything else that is no string can't be understood.
fn content(data: &Value) -> Option<String> {
    match data.as_object()?.get("content") {
        None | Some(Value::Null) => Some(String::new()),
        Some(content) => content.as_str().map(str::to_owned),
    }
}

/// The first of type, id and title that is there and not empty decides.
fn is_end(data: &Value) -> bool {
    let said = |key: &str| data[key].as_str().filter(|text| !text.is_empty());
    match (said("node_type"), said("node_id"), said("node_title")) {
        (Some(kind), _, _) => kind == "End",
        (None, Some(id), _) => id == "900001",
        (None, None, Some(title)) => title == "End",
        (None, None, None) => true,
    }
}

/// It can be answered.
fn is_interrupt(data: &Value) -> bool {
    let asked = &data["interrupt_data"];
    asked["event_id"].as_str().is_some_and(|id| !id.is_empty()) && number(&asked["type"]).is_some()
}

fn proves_that_nothing_started(code: u64) -> bool {
    let studio = [720_702_001, 720_702_002, 720_702_011];
    let documented = (4000..5000).contains(&code) || code == 6003 || code / 1000 == 700_012;
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
    // Zeros name nothing.
    let names = |id: &String| id.chars().any(|digit| digit != '0');
    let field = data["execute_id"].as_str().map(str::to_owned).filter(names);
    let url = || data["debug_url"].as_str().and_then(query).filter(names);
    let event_id = || {
        data["interrupt_data"]["event_id"]
            .as_str()
            .and_then(before_slash)
            .filter(names)
    };
    field.or_else(url).or_else(event_id)
}

/// An id that an unfinished event tells whatever its rest may be: the rest is made up in three ways,
/// and all of them must give the same id.
fn named_by_unfinished(event: &str) -> Option<String> {
    let data = block(event).data?;
    if !data.contains("execute_id") && !data.contains("event_id") {
        return None;
    }
    // Escapes that may be cut are no digits, which is all that matters here.
    let escape = data.rfind('\\').filter(|&place| data.len() - place < 6);
    let data = match escape {
        Some(place) => data[..place].trim_end_matches('\\').to_owned() + "&",
        None => data,
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
