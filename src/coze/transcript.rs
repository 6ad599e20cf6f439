//! The fold of a stream's events: the text so far, whether it is whole, and how the stream ended.
//! To call text whole that is not would be the worst mistake here, so wholeness has to be proved by
//! the counts that Coze gives for it, and no prefix of a stream ever folds to success. Does no I/O.
//! <https://docs.coze.cn/developer_guides/workflow_stream_run>: ids and `node_seq_id` are to be
//! checked by the client.

use std::borrow::Cow;
use std::mem;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(crate) use crate::coze::event::Ended;
use crate::coze::event::{Event, EventKind, Message, Parse};
use crate::coze::fields::{self, Json};
use crate::sse::{Data, Frame};
use crate::text::Text;

/// The most text that one run may have, in bytes.
pub(crate) const TEXT_LIMIT: usize = 256 << 20;

/// What an Output node (or any node but End) said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeMessage {
    pub(crate) node_title: String,
    pub(crate) content: Text,
}

/// What a stream brought.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The End node's text or, when it has not spoken, everybody's.
    pub(crate) output: Text,
    /// Every piece of `output` is there.
    pub(crate) is_whole: bool,
    /// The stream ended with Done.
    pub(crate) is_done: bool,
    /// What the other nodes said, in the order in which they began.
    pub(crate) messages: Vec<NodeMessage>,
    /// Events that are known to be missing, or could not be understood.
    pub(crate) lost_events: u64,
    end_spoke: bool,
    /// The pieces of the End node that may each be a map of variables: where they are in `output`.
    maps: Vec<Range<usize>>,
}

impl Heard {
    /// The pieces of the End node that may each be a map of variables.
    pub(crate) fn maps(&self) -> impl Iterator<Item = Text> {
        let pieces = self.maps.iter();
        pieces.map(|piece| self.output.slice(piece.start, piece.end))
    }

    /// Whether the End node has said something, and `text` begins so.
    pub(crate) fn end_began(&self, text: &Text) -> bool {
        let has_text = self.end_spoke && !self.output.is_empty();
        has_text && text.plain().starts_with(&*self.output.plain())
    }
}

/// Why a stream is given up whose text is above `TEXT_LIMIT`.
const TOO_MUCH_TEXT: &str = "the run's text is larger than 256 MiB";

/// What came after an Error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterError {
    Done,
    Error,
    Other,
}

#[derive(Debug, Default)]
pub(crate) struct Transcript {
    /// The run's id, from the first event that names it.
    pub(crate) execute_id: Option<String>,
    pub(crate) debug_url: Option<String>,
    pub(crate) usage: Option<Box<RawValue>>,
    /// The Error that ended it speaks of a run, whether or not its id could be read.
    pub(crate) mentions_run: bool,
    /// The title of the node of which the last event was a message.
    pub(crate) speaker: Option<String>,
    ended: Option<Ended>,
    end: EndNodeText,
    others: Others,
    ids: Ids,
    events: u64,
    malformed: u64,
}

impl Transcript {
    /// Takes in one frame, as `parse` understands it. None should come after the event that ends the
    /// stream.
    pub(crate) fn push(&mut self, frame: Frame<'_>, parse: Parse) -> Result<(), &'static str> {
        let Some(mut event) = parse(&frame) else {
            return Ok(());
        };
        self.learn(&mut event);
        self.events += 1;
        self.ids.count(event.id);
        self.hear(&event.kind);
        match event.kind {
            EventKind::Message(message) => {
                if let Some(place) = self.push_message(&message, &frame.data)? {
                    self.end.text = Text::in_place(frame.data.buffer.into_owned(), place);
                }
            }
            EventKind::Malformed { is_end } => {
                self.malformed += 1;
                self.end.is_vetoed |= is_end;
            }
            EventKind::Other => {}
            EventKind::Result(Json(json)) => {
                self.end.text = Text::from_plain(json);
                self.end.speech = Speech::Finished;
                self.ended = Some(Ended::Done);
            }
            EventKind::Ended(mut ended) => {
                if let Ended::Error { is_first, .. } = &mut ended {
                    *is_first &= self.events == 1;
                    self.mentions_run = fields::mentions_run(&frame.data);
                }
                self.ended = Some(ended);
            }
        }
        Ok(())
    }

    /// Takes from a frame after an Error what it tells of the run.
    pub(crate) fn push_after_error(&mut self, frame: &Frame<'_>, parse: Parse) -> AfterError {
        let Some(mut event) = parse(frame) else {
            return AfterError::Other;
        };
        self.learn(&mut event);
        match event.kind {
            EventKind::Ended(Ended::Error { .. }) => AfterError::Error,
            EventKind::Ended(Ended::Done) if !fields::mentions_run(&frame.data) => AfterError::Done,
            _ => AfterError::Other,
        }
    }

    /// Whether a run was named: by its id, or by its page.
    pub(crate) fn names_run(&self) -> bool {
        self.execute_id.is_some() || self.debug_url.is_some()
    }

    /// How the stream ended; nothing while it goes on, or when it was cut.
    pub(crate) fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// What the End node said so far.
    pub(crate) fn end_text(&self) -> &Text {
        &self.end.text
    }

    /// What was said so far.
    pub(crate) fn finish(&mut self) -> Heard {
        let is_whole = self.is_whole();
        let (end, others) = (mem::take(&mut self.end), mem::take(&mut self.others));
        let end_spoke = end.speech != Speech::NotBegun;
        let said = others.messages.into_iter().map(|message| message.said);
        Heard {
            is_whole,
            is_done: matches!(self.ended, Some(Ended::Done)),
            lost_events: self.ids.missing.saturating_add(self.malformed),
            maps: end.maps,
            end_spoke,
            output: if end_spoke { end.text } else { others.text },
            messages: said.filter(|said| !said.content.is_empty()).collect(),
        }
    }

    /// Whether every piece of the output is there: the End node's pieces are numbered from 0 without
    /// a hole and the last one said that it was, or the stream's ids are, from 0 up to Done. What that
    /// is worth for a Success, `run::stream` decides.
    fn is_whole(&self) -> bool {
        let end = &self.end;
        let by_numbers = end.speech == Speech::Finished && !end.is_unnumbered;
        let is_done = matches!(self.ended, Some(Ended::Done));
        let by_ids = is_done && !self.ids.is_broken && self.malformed == 0;
        !end.is_vetoed && (by_numbers || by_ids)
    }

    fn hear(&mut self, kind: &EventKind<'_>) {
        let title = match kind {
            EventKind::Message(message) => Some(message.title()),
            _ => None,
        };
        if self.speaker.as_deref() != title.as_deref() {
            self.speaker = title.map(Cow::into_owned);
        }
    }

    fn learn(&mut self, event: &mut Event<'_>) {
        self.execute_id = self.execute_id.take().or(event.execute_id.take());
        self.debug_url = self.debug_url.take().or(event.debug_url.take());
        let usage = event.usage.map(fields::one_line);
        self.usage = usage.or(self.usage.take());
    }

    /// Gives back the place of a text that can stay where it is, if the event came with its buffer.
    fn push_message(
        &mut self,
        message: &Message<'_>,
        data: &Data<'_>,
    ) -> Result<Option<Range<usize>>, &'static str> {
        let text = self.end.text.len() + self.others.text.len() + message.content.0.len();
        let pieces = self.end.maps.len() * size_of::<Range<usize>>();
        if text + pieces + self.others.overhead > TEXT_LIMIT {
            return Err(TOO_MUCH_TEXT);
        }
        if !message.is_end {
            self.others.push(message);
            return Ok(None);
        }
        self.end.count(message);
        if let Cow::Owned(buffer) = &data.buffer
            && self.end.text.is_empty()
            && let Some(place) = message.content.place_in(buffer)
        {
            return Ok(Some(place));
        }
        self.end.text.push_json(message.content.0);
        Ok(None)
    }
}

/// The End node's text, and what its own numbers say of it.
#[derive(Debug, Default)]
struct EndNodeText {
    text: Text,
    speech: Speech,
    /// The number that the next piece should have.
    next: u64,
    /// Some piece had no number.
    is_unnumbered: bool,
    /// A hole, a repetition or a step back in its numbers, a piece after its last one, or one that
    /// can't be understood: the text is not whole, whatever the ids say.
    is_vetoed: bool,
    maps: Vec<Range<usize>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Speech {
    #[default]
    NotBegun,
    GoesOn,
    /// The last piece said that it was the last.
    Finished,
}

impl EndNodeText {
    fn count(&mut self, message: &Message<'_>) {
        self.is_vetoed |= self.speech == Speech::Finished;
        match message.node_seq_id {
            Some(number) if number == self.next => self.next += 1,
            Some(_) => self.is_vetoed = true,
            None => self.is_unnumbered = true,
        }
        self.speech = if message.node_is_finish {
            Speech::Finished
        } else {
            Speech::GoesOn
        };
        if message.content.0.starts_with("\"{") {
            let start = self.text.len();
            self.maps.push(start..start + message.content.0.len() - 2);
        }
    }
}

/// What all other nodes said: together, in order of arrival, and each for itself.
#[derive(Debug, Default)]
struct Others {
    text: Text,
    messages: Vec<OtherMessage>,
    /// Those that may still get more pieces; nodes can speak at the same time.
    open: Vec<usize>,
    overhead: usize,
}

#[derive(Debug)]
struct OtherMessage {
    node_id: String,
    said: NodeMessage,
}

impl Others {
    fn push(&mut self, message: &Message<'_>) {
        self.text.push_json(message.content.0);
        let index = self.message_for(message);
        let said = &mut self.messages[index].said;
        said.content.push_json(message.content.0);
        if message.node_is_finish {
            self.open.retain(|&open| open != index);
        }
    }

    /// The open message of the same node, or a new one.
    fn message_for(&mut self, message: &Message<'_>) -> usize {
        let title = message.title();
        let id = fields::text(message.node_id).unwrap_or_default();
        let begins = message.node_seq_id == Some(0);
        let open = self.open.iter().position(|&index| {
            let open = &self.messages[index];
            open.said.node_title == title && open.node_id == id
        });
        match open {
            Some(place) if begins => drop(self.open.swap_remove(place)),
            Some(place) => return self.open[place],
            None => {}
        }
        self.overhead += size_of::<OtherMessage>() + title.len() + id.len();
        self.messages.push(OtherMessage {
            node_id: id.into_owned(),
            said: NodeMessage {
                node_title: title.into_owned(),
                content: Text::default(),
            },
        });
        self.open.push(self.messages.len() - 1);
        self.messages.len() - 1
    }
}

/// The count of event ids. One that is not the next breaks the proof by ids, and nothing else: nothing
/// is told apart as repeated or late.
#[derive(Debug, Default)]
struct Ids {
    /// The one that is due.
    next: u64,
    is_broken: bool,
    /// How many were jumped over.
    missing: u64,
}

impl Ids {
    fn count(&mut self, id: Option<u64>) {
        self.is_broken |= id != Some(self.next);
        if let Some(id) = id.filter(|&id| id >= self.next) {
            self.missing = self.missing.saturating_add(id - self.next);
            self.next = id.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;
    use crate::coze::event;
    use crate::sse::Frames;

    const MESSAGES: &[u8] = include_bytes!("../../tests/wire/doc_stream_messages_done.sse");
    const INTERRUPT: &[u8] = include_bytes!("../../tests/wire/doc_stream_interrupt.sse");
    const ERROR: &[u8] = include_bytes!("../../tests/wire/doc_stream_error.sse");
    const PINGS: &[u8] = include_bytes!("../../tests/wire/cozecn_ping_message_done.sse");
    const NUMBERS: &[u8] =
        include_bytes!("../../tests/wire/recon_cozecn_end_variables_numbers.sse");
    const STUDIO: &[u8] =
        include_bytes!("../../tests/wire/studio_pre_v030_lowercase_interrupt.sse");
    const NO_SPACE: &[u8] = include_bytes!("../../tests/wire/test_cozego_nospace_ping_unknown.sse");

    fn fold(input: &[u8]) -> Transcript {
        let mut frames = Frames::new(BufReader::with_capacity(7, input));
        let mut transcript = Transcript::default();
        while let Some(frame) = frames.next().unwrap() {
            transcript.push(frame, event::parse).unwrap();
        }
        transcript
    }

    /// A stream of events written `id|event|data`.
    fn stream(events: &[&str]) -> Vec<u8> {
        let text = |event: &&str| {
            let mut parts = event.splitn(3, '|');
            let id = parts.next().filter(|id| !id.is_empty());
            let id = id.map_or(String::new(), |id| format!("id: {id}\n"));
            let (name, data) = (parts.next().unwrap(), parts.next().unwrap_or("{}"));
            format!("{id}event: {name}\ndata: {data}\n\n")
        };
        events.iter().map(text).collect::<String>().into_bytes()
    }

    fn piece(id: &str, title: &str, seq: u64, finish: bool, content: &str) -> String {
        format!(
            r#"{id}|Message|{{"content":"{content}","node_title":"{title}","node_seq_id":"{seq}","node_is_finish":{finish}}}"#
        )
    }

    #[track_caller]
    fn folds_to(events: &[&str], whole: bool, output: &str, lost: u64) {
        let heard = fold(&stream(events)).finish();
        assert_eq!((heard.is_whole, heard.lost_events), (whole, lost));
        assert_eq!(heard.output.plain(), output);
    }

    #[test]
    fn a_done_with_the_rest_of_another_event_in_it_proves_nothing() {
        folds_to(&["0|Done|"], true, "", 0);
        folds_to(&["0|Done|{\"content\":\"textid: 1"], false, "", 0);
    }

    #[test]
    fn the_samples_fold_to_what_they_say() {
        let messages = fold(MESSAGES).finish();
        assert!(messages.is_whole);
        let output = messages.output.plain();
        assert!(output.starts_with(r#"{"output":"为什么小明"#));
        let said = &messages.messages[0];
        assert_eq!(said.node_title, "Message");
        assert!(said.content.plain().starts_with("msg为什么小明"));

        let mut pings = fold(PINGS);
        assert!(pings.finish().is_whole);
        assert_eq!(pings.execute_id.as_deref(), Some("7579525066972217378"));
        assert!(pings.usage.unwrap().get().contains("44122"));

        let numbers = fold(NUMBERS).finish();
        assert!(numbers.output.plain().contains(r#""temp_high":26"#));

        let mut no_space = fold(NO_SPACE);
        assert!(matches!(no_space.ended(), Some(Ended::Done)));
        assert_eq!(no_space.execute_id, None);
        // Its End node counts from 1, so a piece may be missing.
        let no_space = no_space.finish();
        assert!(!no_space.is_whole);
        assert_eq!(no_space.output.plain(), "World");
    }

    #[test]
    fn interrupts_of_both_servers_name_the_run() {
        let cloud = fold(INTERRUPT);
        assert!(matches!(cloud.ended(), Some(Ended::Interrupt(_))));
        assert_eq!(cloud.execute_id.as_deref(), Some("7404830425073352713"));
        let studio = fold(STUDIO);
        assert!(matches!(studio.ended(), Some(Ended::Interrupt(_))));
        assert_eq!(studio.execute_id.as_deref(), Some("7547546110525440000"));
    }

    #[test]
    fn an_error_knows_whether_it_came_first() {
        assert!(matches!(
            fold(ERROR).ended(),
            Some(Ended::Error { said, is_first: true }) if said.number() == Some(4000)
        ));
        let later = fold(&stream(&["0|PING", "1|Error"]));
        assert!(matches!(
            later.ended(),
            Some(Ended::Error {
                is_first: false,
                ..
            })
        ));
    }

    #[test]
    fn no_prefix_of_a_sample_has_ended_and_is_whole_before_its_last_event() {
        for sample in [MESSAGES, PINGS, NUMBERS, NO_SPACE] {
            let all = fold(sample).finish().output;
            let last_event = sample.windows(4).rposition(|part| part == b"Done").unwrap();
            for cut in 0..last_event {
                let mut prefix = fold(&sample[..cut]);
                assert!(prefix.ended().is_none(), "cut at {cut}");
                let heard = prefix.finish();
                assert!(heard.output == all || !heard.is_whole, "cut at {cut}");
            }
        }
    }

    #[test]
    fn the_pieces_of_end_are_whole_by_their_own_count_although_ids_are_lost() {
        let (a, b) = (
            piece("2", "End", 0, false, "a"),
            piece("5", "End", 1, true, "b"),
        );
        folds_to(&["0|PING", &a, &b, "6|Done"], true, "ab", 3);
    }

    #[test]
    fn a_lost_piece_of_end_is_noticed_by_its_number() {
        let (a, c) = (
            piece("0", "End", 0, false, "a"),
            piece("2", "End", 2, true, "c"),
        );
        folds_to(&[&a, &c, "3|Done"], false, "ac", 1);
    }

    #[test]
    fn pieces_without_a_number_are_whole_when_the_ids_are() {
        let piece = r#"0|Message|{"content":"a","node_title":"End"}"#;
        folds_to(&[piece, "1|Done"], true, "a", 0);
        folds_to(&[piece, "2|Done"], false, "a", 1);
    }

    #[test]
    fn nothing_is_whole_before_done_by_ids_alone() {
        let piece = r#"0|Message|{"content":"a","node_title":"End"}"#;
        folds_to(&[piece], false, "a", 0);
    }

    #[test]
    fn what_is_said_again_is_kept_and_makes_the_text_doubtful() {
        let a = piece("0", "End", 0, false, "a");
        let b = piece("1", "End", 1, true, "b");
        folds_to(&[&a, &a, &b, "2|Done"], false, "aab", 0);
        folds_to(&[&a, &b, &b, "2|Done"], false, "abb", 0);
        let unnumbered = r#"0|Message|{"content":"a","node_title":"End"}"#;
        folds_to(&[unnumbered, unnumbered, "1|Done"], false, "aa", 0);
        folds_to(&[&a, &b, &b.replace("1|", "2|"), "3|Done"], false, "abb", 0);
    }

    #[test]
    fn another_event_said_again_does_no_harm_to_a_text_that_is_counted() {
        let a = piece("1", "End", 0, true, "a");
        folds_to(&["0|PING", "0|PING", &a, "2|Done"], true, "a", 0);
        let unnumbered = r#"1|Message|{"content":"a","node_title":"End"}"#;
        folds_to(&["0|PING", "0|PING", unnumbered, "2|Done"], false, "a", 0);
    }

    #[test]
    fn the_end_nodes_own_numbers_count_against_the_ids() {
        for numbers in [&[1][..], &[0, 2], &[0, 0], &[0, 1, 0], &[7]] {
            let pieces = numbers.iter().enumerate();
            let pieces: Vec<_> = pieces
                .map(|(id, &number)| piece(&id.to_string(), "End", number, false, "x"))
                .collect();
            let done = format!("{}|Done", pieces.len());
            let mut events: Vec<&str> = pieces.iter().map(String::as_str).collect();
            events.push(&done);
            folds_to(&events, false, &"x".repeat(numbers.len()), 0);
        }
    }

    #[test]
    fn a_piece_of_end_after_its_last_one_makes_the_text_doubtful() {
        let child = piece("0", "End", 0, true, "child");
        let parent = piece("1", "End", 1, true, "parent");
        folds_to(&[&child, &parent, "2|Done"], false, "childparent", 0);
        let unnumbered = r#"1|Message|{"content":"b","node_title":"End"}"#;
        folds_to(&[&child, unnumbered, "2|Done"], false, "childb", 0);
    }

    #[test]
    fn a_piece_without_a_number_is_neither_a_veto_nor_a_proof() {
        let a = piece("0", "End", 0, false, "a");
        let b = r#"1|Message|{"content":"b","node_title":"End"}"#;
        let c = piece("2", "End", 1, true, "c");
        folds_to(&[&a, b, &c, "3|Done"], true, "abc", 0);
        folds_to(&[&a, b, &c, "4|Done"], false, "abc", 1);
    }

    #[test]
    fn pieces_that_may_be_maps_are_found_again() {
        let a = piece("0", "End", 0, true, "child");
        let b = piece("1", "End", 1, true, r#"{\"k\":1}"#);
        let heard = fold(&stream(&[&a, &b, "2|Done"])).finish();
        let maps: Vec<_> = heard.maps().map(|map| map.plain().into_owned()).collect();
        assert_eq!(maps, [r#"{"k":1}"#]);
        assert!(heard.end_began(&Text::from_plain("child{\"k\":1} and more")));
        assert!(!heard.end_began(&Text::from_plain("chi")));
    }

    #[test]
    fn a_piece_of_end_that_cannot_be_understood_breaks_its_count() {
        let whole = piece("0", "End", 0, true, "a");
        let broken = |title| piece("1", title, 1, true, r"\ud83d");
        folds_to(&[&whole, &broken("End"), "2|Done"], false, "a", 1);
        folds_to(&[&whole, &broken("Out"), "2|Done"], true, "a", 1);
    }

    #[test]
    fn ids_that_begin_anew_prove_nothing() {
        let out = piece("0", "Out", 0, true, "out");
        let [a, b, c] = ["0", "1", "2"].map(|id| piece(id, "End", 7, true, id));
        folds_to(&[&out, &a, "0|Done"], false, "0", 0);
        folds_to(&[&out, "1|PING", &a, "1|Done"], false, "0", 0);
        folds_to(&[&out, "1|PING", &a, &b, &c, "3|Done"], false, "012", 0);
    }

    #[test]
    fn swapped_pieces_are_not_put_in_order() {
        let a = piece("0", "End", 0, false, "a");
        let b = piece("1", "End", 1, true, "b");
        folds_to(&[&b, &a, "2|Done"], false, "ba", 1);
    }

    #[test]
    fn a_ping_that_changes_places_with_a_piece_does_no_harm() {
        let a = piece("1", "End", 0, true, "a");
        folds_to(&[&a, "0|PING", "2|Done"], true, "a", 1);
    }

    #[test]
    fn events_without_an_id_prove_nothing_by_ids() {
        let a = piece("", "End", 0, false, "a");
        let b = piece("", "End", 1, true, "b");
        folds_to(&[&a, &b, "|Done"], true, "ab", 0);
        let plain = r#"|Message|{"content":"a","node_title":"End"}"#;
        folds_to(&["0|PING", plain, "1|Done"], false, "a", 0);
    }

    #[test]
    fn a_message_that_cannot_be_parsed_is_lost() {
        let a = r#"0|Message|{"content":"a","node_title":"End"}"#;
        folds_to(&[a, "1|Message|{\"content", "2|Done"], false, "a", 1);
        folds_to(
            &[a, r#"1|Message|{"content":"\ud83d"}"#, "2|Done"],
            false,
            "a",
            1,
        );
    }

    #[test]
    fn without_an_end_node_the_output_is_what_everybody_said() {
        let (a, b) = (
            piece("0", "One", 0, true, "a"),
            piece("1", "Two", 0, true, "b"),
        );
        folds_to(&[&a, &b, "2|Done"], true, "ab", 0);
        folds_to(&[&a, "2|Done"], false, "a", 1);
    }

    #[test]
    fn nodes_that_speak_at_the_same_time_are_kept_apart() {
        let events = [
            piece("0", "One", 0, false, "a"),
            piece("1", "Two", 0, false, "x"),
            piece("2", "One", 1, true, "b"),
            piece("3", "Two", 1, true, "y"),
            piece("4", "One", 0, true, "again"),
        ];
        let heard = fold(&stream(&events.each_ref().map(String::as_str))).finish();
        let messages = heard.messages.into_iter();
        let said: Vec<_> = messages
            .map(|message| message.node_title + ":" + &message.content.plain())
            .collect();
        assert_eq!(said, ["One:ab", "Two:xy", "One:again"]);
    }

    #[test]
    fn a_gap_of_any_size_is_counted() {
        let mut ids = Ids::default();
        for id in [1, 5, 2, u64::MAX, u64::MAX] {
            ids.count(Some(id));
        }
        assert!(ids.is_broken);
        assert_eq!(ids.missing, 1 + 3 + (u64::MAX - 6));
    }

    #[test]
    fn text_above_the_limit_is_given_up() {
        let mut transcript = Transcript::default();
        transcript.end.text = Text::from_plain(&"x".repeat(TEXT_LIMIT - 10));
        let data = format!(r#"{{"content":"{}","node_title":"End"}}"#, "y".repeat(20));
        let bytes = format!("event: Message\ndata: {data}\n\n");
        let mut frames = Frames::new(bytes.as_bytes());
        let frame = frames.next().unwrap().unwrap();
        let result = transcript.push(frame, event::parse);
        assert_eq!(result, Err("the run's text is larger than 256 MiB"));
    }
}
