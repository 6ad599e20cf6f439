//! The fold of a stream's events: the text so far, what is missing of it, and how it ended.
//! Which mistake is worse? To call text whole that is not. So wholeness has to be proved, by the
//! counts that Coze gives for it, and no prefix of a stream ever folds to success. Does no I/O.
//! <https://docs.coze.cn/developer_guides/workflow_stream_run>: ids and `node_seq_id` are to be
//! checked by the client.

use std::ops::Range;

use serde_json::value::RawValue;

use crate::coze::event::{self, Event, EventKind, Interrupt, Message};
use crate::coze::fields;
use crate::sse::Frame;
use crate::text::Text;

/// The most text that one run may have, in bytes.
pub(crate) const TEXT_LIMIT: usize = 256 << 20;

/// Gaps in the ids are remembered one by one up to here; a stream with more is broken anyway.
const GAPS_LIMIT: usize = 1024;

/// How a stream ended, in its own words.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    Done,
    Error {
        code: Option<i64>,
        message: String,
        /// No event came before it, not even a PING: it may be a refusal.
        first: bool,
    },
    Interrupt(Interrupt),
}

/// What an Output node (or any node but End) said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeMessage {
    pub(crate) node_title: String,
    pub(crate) content: Text,
}

/// The run's text is above `TEXT_LIMIT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMuchText;

impl std::fmt::Display for TooMuchText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the run's text is larger than {} MiB", TEXT_LIMIT >> 20)
    }
}

/// A Message whose text is the end of what is held.
#[derive(Debug)]
struct Piece {
    is_end: bool,
    node_seq_id: Option<u64>,
    node_is_finish: bool,
    /// The `len` of that text before.
    from: usize,
    /// Of the event's data.
    length: usize,
}

/// What came behind the event that ends a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learned {
    Done,
    /// The same once more, perhaps.
    Error,
    Other,
}

#[derive(Debug, Default)]
pub(crate) struct Transcript {
    /// The run's id, from the first event that told it.
    pub(crate) execute_id: Option<String>,
    pub(crate) debug_url: Option<String>,
    pub(crate) usage: Option<Box<RawValue>>,
    /// An Error spoke of a run, whether or not its id could be read.
    pub(crate) mentions_run: bool,
    ended: Option<Ended>,
    /// The last event, if it was a Message.
    last: Option<Piece>,
    end: EndText,
    others: Others,
    ids: Ids,
    events: u64,
    malformed: u64,
}

impl Transcript {
    /// Takes in one frame. After the event that ends a stream nothing more should come.
    pub(crate) fn push(&mut self, frame: Frame<'_>) -> Result<(), TooMuchText> {
        let Some(event) = event::parse(&frame) else {
            return Ok(());
        };
        if matches!(event.kind, EventKind::Error { .. }) {
            self.mentions_run = fields::mentions_run(&frame.data);
        }
        let (buffer, length) = (frame.data.buffer(), frame.data.len());
        if let Some(place) = self.push_event(event, buffer, length)? {
            self.end.text = Text::in_place(frame.data.into_buffer(), place);
        }
        Ok(())
    }

    /// Takes from a frame behind the end what it tells of the run.
    pub(crate) fn learn(&mut self, frame: &Frame<'_>) -> Learned {
        self.mentions_run |= fields::mentions_run(&frame.data);
        let Some(event) = event::parse(frame) else {
            return Learned::Other;
        };
        self.learn_event(&event);
        match event.kind {
            EventKind::Done { understood: true } => Learned::Done,
            EventKind::Error { .. } => Learned::Error,
            _ => Learned::Other,
        }
    }

    /// How the stream ended; nothing while it goes on, or when it was lost.
    pub(crate) fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// Whether every piece of the output is there: the End node's pieces are counted from 0 without
    /// a gap and the last one said that it was, or the stream's ids are, from 0 up to Done.
    pub(crate) fn is_whole(&self) -> bool {
        let done = matches!(self.ended, Some(Ended::Done));
        self.end.is_whole() || (done && self.ids.are_contiguous() && self.malformed == 0)
    }

    /// The End node's text so far or, when it has not spoken, everybody's.
    pub(crate) fn take_output(&mut self) -> Text {
        if self.end.has_spoken {
            std::mem::take(&mut self.end.text)
        } else {
            self.others.text.clone()
        }
    }

    /// What the other nodes said, in the order in which they began.
    pub(crate) fn messages(&self) -> Vec<NodeMessage> {
        self.others.messages()
    }

    /// Events that are known to be missing, or could not be understood.
    pub(crate) fn lost_events(&self) -> u64 {
        self.ids.missing().saturating_add(self.malformed)
    }

    /// Gives back the place of a text that should stay where it is, if the event comes in a `buffer`.
    /// `length`: of its data.
    fn push_event(
        &mut self,
        event: Event<'_>,
        buffer: Option<&str>,
        length: usize,
    ) -> Result<Option<Range<usize>>, TooMuchText> {
        // An id above 0 tells of others that were lost.
        let first = self.events == 0 && matches!(event.id, None | Some(0));
        self.events += 1;
        let place = self.ids.place(event.id);
        let ends = matches!(
            event.kind,
            EventKind::Done { .. } | EventKind::Error { .. } | EventKind::Interrupt(_)
        );
        self.learn_event(&event);
        if place == Place::Repeat && !ends {
            self.drop_repeat(&event.kind, length);
            return Ok(None);
        }
        // An end is an end, even under an id that was there already; but the ids do not lead to it.
        self.ids.broken |= place == Place::Repeat;
        self.last = None;
        match event.kind {
            EventKind::Message(message) => return self.push_message(&message, buffer, length),
            EventKind::Malformed { is_end } => {
                self.malformed += 1;
                self.end.broken |= is_end;
            }
            EventKind::Ping | EventKind::Unknown => {}
            EventKind::Done { understood } => {
                self.malformed += u64::from(!understood);
                self.ended = Some(Ended::Done);
            }
            EventKind::Interrupt(interrupt) => self.ended = Some(Ended::Interrupt(interrupt)),
            EventKind::Error { code, message } => {
                self.ended = Some(Ended::Error {
                    code,
                    message,
                    first,
                });
            }
        }
        Ok(None)
    }

    /// A repeat brings nothing that was not said just before. Else two events have one id: that the
    /// ids are contiguous does not prove then that nothing is lost, nor do the End node's own counts
    /// if that other event was a piece of its text.
    fn drop_repeat(&mut self, kind: &EventKind<'_>, length: usize) {
        let (is_repeat, touches_end) = match kind {
            EventKind::Message(message) => (
                self.says_again(message, length),
                message.is_end && !self.is_counted(message),
            ),
            EventKind::Malformed { is_end } => (false, *is_end),
            _ => (true, false),
        };
        self.ids.broken |= !is_repeat;
        self.end.broken |= touches_end && !is_repeat;
    }

    /// Whether the last event was just this one.
    fn says_again(&self, message: &Message<'_>, length: usize) -> bool {
        self.last.as_ref().is_some_and(|last| {
            let (text, is_same_node) = match last.is_end {
                true => (&self.end.text, true),
                false => (&self.others.text, self.others.is_last(message)),
            };
            last.is_end == message.is_end
                && last.node_seq_id == message.node_seq_id
                && last.node_is_finish == message.node_is_finish
                && last.length == length
                && is_same_node
                && text.is_from(last.from, message.content.0)
        })
    }

    /// Whether a piece of End with this number was there, and not just now: it is all said again.
    fn is_counted(&self, message: &Message<'_>) -> bool {
        let last = self.last.as_ref().filter(|last| last.is_end);
        let is_last = last.is_some_and(|last| last.node_seq_id == message.node_seq_id);
        let number = message.node_seq_id;
        number.is_some_and(|number| number < self.end.contiguous) && !is_last
    }

    fn learn_event(&mut self, event: &Event<'_>) {
        remember(&mut self.execute_id, event.execute_id.as_deref());
        remember(&mut self.debug_url, event.debug_url.as_deref());
        if let Some(usage) = event.usage {
            self.usage = Some(fields::one_line(usage));
        }
    }

    fn push_message(
        &mut self,
        message: &Message<'_>,
        buffer: Option<&str>,
        length: usize,
    ) -> Result<Option<Range<usize>>, TooMuchText> {
        let held = self.end.text.len() + self.others.size();
        if held + message.content.0.len() > TEXT_LIMIT {
            return Err(TooMuchText);
        }
        self.last = Some(Piece {
            is_end: message.is_end,
            node_seq_id: message.node_seq_id,
            node_is_finish: message.node_is_finish,
            length,
            from: match message.is_end {
                true => self.end.text.len(),
                false => self.others.text.len(),
            },
        });
        if !message.is_end {
            self.others.push(message);
            return Ok(None);
        }
        self.end.count(message);
        if let Some(buffer) = buffer.filter(|_| self.end.text.is_empty()) {
            return Ok(Some(message.content.place_in(buffer)));
        }
        self.end.text.push_json(message.content.0);
        Ok(None)
    }
}

fn remember(known: &mut Option<String>, told: Option<&str>) {
    if known.is_none() {
        *known = told.map(str::to_owned);
    }
}

/// The End node's text.
#[derive(Debug, Default)]
struct EndText {
    text: Text,
    has_spoken: bool,
    /// How many pieces came, each with the number that was due.
    contiguous: u64,
    broken: bool,
    finished: bool,
}

impl EndText {
    fn count(&mut self, message: &Message<'_>) {
        self.has_spoken = true;
        if message.node_seq_id == Some(self.contiguous) {
            self.contiguous += 1;
        } else {
            self.broken = true;
        }
        self.finished = message.node_is_finish;
    }

    fn is_whole(&self) -> bool {
        self.has_spoken && self.finished && !self.broken
    }
}

/// The text of all other nodes, once, in order of arrival; each message knows its pieces of it.
#[derive(Debug, Default)]
struct Others {
    text: Text,
    messages: Vec<OtherMessage>,
    /// Those that may still get more pieces; nodes can speak at the same time.
    open: Vec<usize>,
    /// The one that got the last piece.
    last: usize,
    overhead: usize,
}

#[derive(Debug)]
struct OtherMessage {
    node_title: String,
    node_id: String,
    pieces: Vec<Range<usize>>,
}

impl Others {
    fn push(&mut self, message: &Message<'_>) {
        let begin = self.text.len();
        self.text.push_json(message.content.0);
        let index = self.message_for(message);
        self.last = index;
        let pieces = &mut self.messages[index].pieces;
        match pieces.last_mut().filter(|piece| piece.end == begin) {
            Some(piece) => piece.end = self.text.len(),
            None => pieces.push(begin..self.text.len()),
        }
        if message.node_is_finish {
            self.open.retain(|&open| open != index);
        }
    }

    /// Whether the node is that of the last piece.
    fn is_last(&self, message: &Message<'_>) -> bool {
        self.messages.get(self.last).is_some_and(|last| {
            last.node_title == message.node_title.as_deref().unwrap_or_default()
                && last.node_id == message.node_id.as_deref().unwrap_or_default()
        })
    }

    /// The open message of the same node, or a new one.
    fn message_for(&mut self, message: &Message<'_>) -> usize {
        let title = message.node_title.as_deref().unwrap_or_default();
        let id = message.node_id.as_deref().unwrap_or_default();
        let begins = message.node_seq_id == Some(0);
        let open = self.open.iter().position(|&index| {
            let open = &self.messages[index];
            open.node_title == title && open.node_id == id
        });
        match open {
            Some(place) if begins => drop(self.open.swap_remove(place)),
            Some(place) => return self.open[place],
            None => {}
        }
        self.messages.push(OtherMessage {
            node_title: title.to_owned(),
            node_id: id.to_owned(),
            pieces: Vec::new(),
        });
        self.overhead += size_of::<OtherMessage>() + size_of::<Range<usize>>() * 4;
        self.overhead += title.len() + id.len();
        self.open.push(self.messages.len() - 1);
        self.messages.len() - 1
    }

    fn messages(&self) -> Vec<NodeMessage> {
        let whole = |message: &OtherMessage| NodeMessage {
            node_title: message.node_title.clone(),
            content: self.join(&message.pieces),
        };
        let messages = self.messages.iter().map(whole);
        messages.filter(|said| !said.content.is_empty()).collect()
    }

    fn join(&self, pieces: &[Range<usize>]) -> Text {
        let mut text = Text::default();
        for piece in pieces {
            text.append(&self.text.slice(piece.start, piece.end));
        }
        text
    }

    fn size(&self) -> usize {
        self.text.len() + self.overhead
    }
}

/// Which event ids have been there.
#[derive(Debug, Default)]
struct Ids {
    /// One more than the highest.
    next: u64,
    /// Those below `next` that have not been there, in order.
    gaps: Vec<Range<u64>>,
    /// Some event had no id, came late, or came again after others; or more gaps came than are
    /// remembered.
    broken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    New,
    Repeat,
}

impl Ids {
    fn place(&mut self, id: Option<u64>) -> Place {
        let Some(id) = id else {
            self.broken = true;
            return Place::New;
        };
        if id >= self.next {
            if id > self.next {
                self.add_gap(self.next..id);
            }
            self.next = id.saturating_add(1);
            return Place::New;
        }
        let Some(index) = self.gaps.iter().position(|gap| gap.contains(&id)) else {
            // Right behind its like it was sent twice. After others, the ids may have begun anew, and
            // it is another event.
            self.broken |= id + 1 != self.next;
            return Place::Repeat;
        };
        // It comes late: nothing is lost by it, but the order is.
        self.broken = true;
        let gap = self.gaps.remove(index);
        for rest in [id + 1..gap.end, gap.start..id] {
            if !rest.is_empty() {
                self.gaps.insert(index, rest);
            }
        }
        Place::New
    }

    fn add_gap(&mut self, gap: Range<u64>) {
        if self.gaps.len() < GAPS_LIMIT {
            self.gaps.push(gap);
        } else {
            self.broken = true;
        }
    }

    fn are_contiguous(&self) -> bool {
        !self.broken && self.gaps.is_empty()
    }

    fn missing(&self) -> u64 {
        let lengths = self.gaps.iter().map(|gap| gap.end - gap.start);
        lengths.fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse::Decoder;

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
        let mut decoder = Decoder::default();
        let mut transcript = Transcript::default();
        for piece in input.chunks(7) {
            decoder.space()[..piece.len()].copy_from_slice(piece);
            decoder.filled(piece.len());
            while let Some(frame) = decoder.next().unwrap() {
                transcript.push(frame).unwrap();
            }
        }
        if let Some(frame) = decoder.finish() {
            transcript.push(frame).unwrap();
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
        let mut transcript = fold(&stream(events));
        assert_eq!(
            (transcript.is_whole(), transcript.lost_events()),
            (whole, lost)
        );
        assert_eq!(transcript.take_output().plain(), output);
    }

    #[test]
    fn a_done_with_the_rest_of_another_event_in_it_proves_nothing() {
        folds_to(&["0|Done|"], true, "", 0);
        folds_to(&["0|Done|{\"content\":\"textid: 1"], false, "", 1);
    }

    #[test]
    fn the_samples_fold_to_what_they_say() {
        let mut messages = fold(MESSAGES);
        assert!(messages.is_whole());
        assert!(
            messages
                .take_output()
                .plain()
                .starts_with(r#"{"output":"为什么小明"#)
        );
        assert_eq!(messages.messages()[0].node_title, "Message");
        assert!(
            messages.messages()[0]
                .content
                .plain()
                .starts_with("msg为什么小明")
        );

        let pings = fold(PINGS);
        assert!(pings.is_whole());
        assert_eq!(pings.execute_id.as_deref(), Some("7579525066972217378"));
        assert!(pings.usage.unwrap().get().contains("44122"));

        let mut numbers = fold(NUMBERS);
        assert!(numbers.take_output().plain().contains(r#""temp_high":26"#));

        let mut no_space = fold(NO_SPACE);
        assert!(matches!(no_space.ended(), Some(Ended::Done)));
        assert!(no_space.is_whole());
        assert_eq!(no_space.take_output().plain(), "World");
        assert_eq!(no_space.execute_id, None);
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
            Some(Ended::Error {
                code: Some(4000),
                first: true,
                ..
            })
        ));
        let later = fold(&stream(&["0|PING", "1|Error"]));
        assert!(matches!(
            later.ended(),
            Some(Ended::Error { first: false, .. })
        ));
    }

    #[test]
    fn no_prefix_of_a_sample_has_ended_and_is_whole_before_its_last_event() {
        for sample in [MESSAGES, PINGS, NUMBERS, NO_SPACE] {
            let all = fold(sample).take_output();
            let last_event = sample.windows(4).rposition(|part| part == b"Done").unwrap();
            for cut in 0..last_event {
                let mut prefix = fold(&sample[..cut]);
                assert!(prefix.ended().is_none(), "cut at {cut}");
                let output = prefix.take_output();
                assert!(output == all || !prefix.is_whole(), "cut at {cut}");
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
    fn a_repeat_is_dropped() {
        let a = piece("0", "End", 0, false, "a");
        let b = piece("1", "End", 1, true, "b");
        folds_to(&[&a, &a, &b, &b, "2|Done"], true, "ab", 0);
    }

    #[test]
    fn another_event_under_the_same_id_is_no_repeat_of_the_one_before() {
        let a = r#"0|Message|{"content":"a","node_title":"End"}"#;
        let b = r#"0|Message|{"content":"b","node_title":"End"}"#;
        folds_to(&[a, a, "1|Done"], true, "a", 0);
        folds_to(&[a, b, "1|Done"], false, "a", 0);
        folds_to(&["0|PING", a, "1|Done"], false, "", 0);
        folds_to(&[a, "0|PING", "1|Done"], true, "a", 0);
        let (first, again) = (
            piece("0", "End", 0, false, "a"),
            piece("0", "End", 1, true, "a"),
        );
        folds_to(&[&first, &first, "1|Done"], true, "a", 0);
        folds_to(&[&first, &again, "1|Done"], false, "a", 0);
        let finished = piece("0", "End", 0, true, "a");
        let more = piece("0", "End", 1, true, "b");
        folds_to(&[&finished, &more, "1|Done"], false, "a", 0);
        // Its text is the end of the other's, or it says the same once more.
        for (one, other) in [("xab", "b"), (r"line\n", "n"), ("a", "a")] {
            let message = |id: u64, text: &str| {
                format!(r#"{id}|Message|{{"content":"{text}","node_title":"End"}}"#)
            };
            let text = one.replace(r"\n", "\n");
            let ping = if one == other { "1|PING" } else { "0|PING" };
            let id = u64::from(one == other);
            let events = [&message(0, one), ping, &message(id, other), "2|Done"];
            let mut transcript = fold(&stream(&events));
            assert!(!transcript.is_whole(), "{events:?}");
            assert_eq!(transcript.take_output().plain(), text);
        }
    }

    #[test]
    fn a_repeat_is_one_in_all_that_it_says() {
        let said = |title: &str, more: &str| {
            format!(r#"0|Message|{{"content":"ha","node_title":"{title}"{more}}}"#)
        };
        let finish = |is: bool| format!(r#","node_is_finish":{is}"#);
        folds_to(
            &[&said("Out1", ""), &said("Out1", ""), "1|Done"],
            true,
            "ha",
            0,
        );
        for (one, other) in [
            (said("Out1", ""), said("Out2", "")),
            (said("End", &finish(false)), said("End", &finish(true))),
            (
                said("End", ""),
                said("End", r#","usage":{"token_count":1}"#),
            ),
        ] {
            folds_to(&[&one, &other, "1|Done"], false, "ha", 0);
        }
    }

    #[test]
    fn what_is_all_said_again_is_dropped_by_the_count_of_end() {
        let a = piece("0", "End", 0, false, "a");
        let b = piece("1", "End", 1, true, "b");
        folds_to(&[&a, &b, &a, &b, "2|Done"], true, "ab", 0);
        let other = piece("1", "End", 1, true, "c");
        folds_to(&[&a, &b, &other, "2|Done"], false, "ab", 0);
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
        folds_to(&[&out, &a, "0|Done"], false, "out", 0);
        folds_to(&[&out, "1|PING", &a, "1|Done"], false, "out", 0);
        folds_to(&[&out, "1|PING", &a, &b, &c, "3|Done"], false, "2", 0);
    }

    #[test]
    fn swapped_pieces_are_not_put_in_order() {
        let a = piece("0", "End", 0, false, "a");
        let b = piece("1", "End", 1, true, "b");
        folds_to(&[&b, &a, "2|Done"], false, "ba", 0);
    }

    #[test]
    fn a_ping_that_changes_places_with_a_piece_does_no_harm() {
        let a = piece("1", "End", 0, true, "a");
        folds_to(&[&a, "0|PING", "2|Done"], true, "a", 0);
    }

    #[test]
    fn events_without_an_id_are_no_repeats_and_fill_no_gap() {
        let a = piece("", "End", 0, false, "a");
        let b = piece("", "End", 1, true, "b");
        folds_to(&[&a, &b, "|Done"], true, "ab", 0);
        let plain = r#"|Message|{"content":"a","node_title":"End"}"#;
        folds_to(&["0|PING", plain, "1|Done"], false, "a", 0);
    }

    #[test]
    fn a_message_that_cannot_be_parsed_is_a_gap() {
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
        let transcript = fold(&stream(&events.each_ref().map(String::as_str)));
        let said: Vec<_> = transcript
            .messages()
            .into_iter()
            .map(|message| message.node_title + ":" + &message.content.plain())
            .collect();
        assert_eq!(said, ["One:ab", "Two:xy", "One:again"]);
    }

    #[test]
    fn a_gap_of_any_size_is_counted_and_held_in_little() {
        let mut ids = Ids::default();
        for id in 0..10 * GAPS_LIMIT as u64 {
            ids.place(Some(2 * id + 1));
        }
        ids.place(Some(u64::MAX));
        assert!(ids.gaps.len() <= GAPS_LIMIT);
        assert!(!ids.are_contiguous());
    }

    #[test]
    fn text_above_the_limit_is_given_up() {
        let mut transcript = Transcript::default();
        transcript.end.text = Text::from_plain(&"x".repeat(TEXT_LIMIT - 10));
        let data = format!(r#"{{"content":"{}","node_title":"End"}}"#, "y".repeat(20));
        let bytes = format!("event: Message\ndata: {data}\n\n");
        let mut decoder = Decoder::default();
        let mut result = Ok(());
        for piece in bytes.as_bytes().chunks(7) {
            decoder.space()[..piece.len()].copy_from_slice(piece);
            decoder.filled(piece.len());
            while let Some(frame) = decoder.next().unwrap() {
                result = transcript.push(frame);
            }
        }
        assert_eq!(result, Err(TooMuchText));
    }
}
