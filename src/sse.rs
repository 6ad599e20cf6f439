//! Bytes → frames, by the event-stream rules of the HTML standard, to the letter:
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>.
//! Push-style: input arrives in any pieces and the frames are the same. Two additions: a frame tells
//! whether its `id` stood in that very event, and the unfinished tail can be looked at.
//! Knows neither JSON nor Coze; does no I/O.

use std::borrow::Cow;
use std::fmt;
use std::hint::black_box;
use std::ops::{Deref, Range};

/// The largest unfinished event that is held, in bytes.
pub(crate) const EVENT_LIMIT: usize = 32 << 20;

/// The least room that `Decoder::space` offers. Tests have little, so that the buffer often moves.
const READ_SIZE: usize = if cfg!(test) { 16 } else { 64 << 10 };

/// Data of one line that is no shorter is given away with the buffer in which it stands.
const LARGE: usize = if cfg!(test) { 4 } else { 1 << 20 };

/// One event as the standard dispatches it.
#[derive(Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each tells another thing that stood in the stream, or did not"
)]
pub(crate) struct Frame<'a> {
    /// The `event` field, or `message` when there was none.
    pub(crate) event: Cow<'a, str>,
    /// The `data` lines, joined by line feeds.
    pub(crate) data: Data<'a>,
    /// Some of `data` was no UTF-8, and had to be replaced.
    pub(crate) replaced: bool,
    /// The last event id: of this event, or inherited from an earlier one.
    pub(crate) id: Cow<'a, str>,
    /// Whether an `id` field stood in this very event.
    pub(crate) own_id: bool,
    /// Whether an `event` field stood in this very event.
    pub(crate) named: bool,
    /// Whether the blank line that ends an event was there. False only for what `finish` gives.
    pub(crate) terminated: bool,
}

/// The data of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Data<'a> {
    Text(Cow<'a, str>),
    /// Large data, at its place in the buffer that it came in: whoever keeps it need not copy it.
    InBuffer(String, Range<usize>),
}

impl Data<'_> {
    /// The buffer, if the data comes with it.
    pub(crate) fn buffer(&self) -> Option<&str> {
        match self {
            Self::Text(_) => None,
            Self::InBuffer(buffer, _) => Some(buffer),
        }
    }

    /// The buffer, or else the data alone.
    pub(crate) fn into_buffer(self) -> String {
        match self {
            Self::Text(text) => text.into_owned(),
            Self::InBuffer(buffer, _) => buffer,
        }
    }
}

impl Deref for Data<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::InBuffer(buffer, place) => &buffer[place.clone()],
        }
    }
}

/// An event grew above `EVENT_LIMIT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventTooLong;

impl fmt::Display for EventTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one event is larger than {} MiB", EVENT_LIMIT >> 20)
    }
}

/// The decoder: `space`, `filled`, then `next` until it gives nothing; `finish` at a clean end.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// Bytes that were read; those before `filled` are meant, the rest is room.
    buffer: Vec<u8>,
    filled: usize,
    /// Where the unfinished event begins. All ranges in `fields` count from here.
    start: usize,
    /// Where the unfinished line begins.
    line: usize,
    /// No line ends between `line` and here: a line of megabytes is searched once, however it arrives.
    sought: usize,
    /// The last line ended in CR: an LF right behind it belongs to it.
    after_cr: bool,
    /// The first bytes have been looked at for a byte order mark.
    past_bom: bool,
    /// An event was dropped, as the standard wants it, for it had no data.
    dropped: bool,
    fields: Fields,
    /// The data of an event with several `data` lines.
    joined: Vec<u8>,
    last_id: String,
}

/// What the lines of the unfinished event have said so far.
#[derive(Clone, Debug, Default)]
struct Fields {
    event: Option<Range<usize>>,
    id: Option<Range<usize>>,
    data: Lines,
}

/// The `data` lines.
#[derive(Clone, Debug, Default)]
enum Lines {
    #[default]
    None,
    /// One line: where it stands, so that megabytes are not copied.
    Line(Range<usize>),
    /// Several lines, in `Decoder::joined`.
    Joined,
}

impl Decoder {
    /// Room to read into; say with `filled` how much of it was used.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        // What was read is written over as soon as that is cheap: fresh memory is dear.
        let unfinished = self.filled - self.start;
        let cheap = self.start >= unfinished.max(READ_SIZE);
        if cheap || self.buffer.len() - self.filled < READ_SIZE {
            self.make_room();
        }
        &mut self.buffer[self.filled..]
    }

    /// The first `count` bytes of `space` are input now.
    pub(crate) fn filled(&mut self, count: usize) {
        self.filled += count;
    }

    /// The next frame that is complete; nothing when more input is needed.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, EventTooLong> {
        if !self.skip_bom() {
            return Ok(None);
        }
        while let Some(end) = self.line_end() {
            let line = self.line..end;
            self.line = end + 1;
            if self.take_line(line) {
                return Ok(Some(self.dispatch(true)));
            }
        }
        if self.filled - self.start > EVENT_LIMIT {
            return Err(EventTooLong);
        }
        Ok(None)
    }

    /// At a clean end of the input: the last event, although its blank line is missing. Whether its
    /// data is whole is for the caller to see.
    pub(crate) fn finish(&mut self) -> Option<Frame<'_>> {
        if self.line < self.filled {
            let line = self.line..self.filled;
            self.line = self.filled;
            if self.take_line(line) {
                return Some(self.dispatch(true));
            }
        }
        match self.fields.data {
            Lines::None => None,
            Lines::Line(_) | Lines::Joined => Some(self.dispatch(false)),
        }
    }

    /// Whether some event so far had a name or an id, but no data, so that no frame tells of it.
    pub(crate) fn has_dropped(&self) -> bool {
        self.dropped
    }

    /// Whether an event has begun and has not ended.
    pub(crate) fn has_begun(&self) -> bool {
        self.start < self.filled
    }

    /// The data of the unfinished event, its unfinished line included.
    pub(crate) fn tail(&self) -> Cow<'_, [u8]> {
        let line = &self.buffer[self.line..self.filled];
        let unfinished = match split_field(line) {
            (b"data", value) => &line[value..],
            _ => &[],
        };
        let finished = match &self.fields.data {
            Lines::None => return Cow::Borrowed(unfinished),
            Lines::Line(range) => &self.buffer[self.start..][range.clone()],
            Lines::Joined => &self.joined,
        };
        match unfinished {
            [] => Cow::Borrowed(finished),
            _ => Cow::Owned([finished, unfinished].join(&b'\n')),
        }
    }

    /// Moves the unfinished event to the front, and grows the buffer if that is not enough: at once
    /// for the largest event that there can be. The kernel gives memory only to what is used of it,
    /// so that this spares copies and costs nothing.
    fn make_room(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.move_to_front();
        }
        if self.buffer.len() - self.filled < READ_SIZE {
            let len = match self.filled {
                ..READ_SIZE => 2 * READ_SIZE,
                _ if can_be_had(EVENT_LIMIT + READ_SIZE) => EVENT_LIMIT + READ_SIZE,
                filled => filled + (filled / 8).max(2 * READ_SIZE),
            };
            // Not `resize`, which would write into all of it.
            let mut roomy = vec![0; len];
            roomy[..self.filled].copy_from_slice(&self.buffer[..self.filled]);
            self.buffer = roomy;
        }
    }

    /// Skips a byte order mark at the very start; false while that can't be told yet.
    fn skip_bom(&mut self) -> bool {
        const BOM: &[u8] = "\u{feff}".as_bytes();
        if !self.past_bom {
            let head = &self.buffer[..self.filled.min(BOM.len())];
            if head.len() < BOM.len() && BOM.starts_with(head) {
                return false;
            }
            if head == BOM {
                self.start = BOM.len();
                self.line = BOM.len();
            }
            self.past_bom = true;
        }
        true
    }

    /// Where the unfinished line ends: the place of its CR or LF.
    fn line_end(&mut self) -> Option<usize> {
        if self.after_cr && self.line < self.filled {
            self.after_cr = false;
            if self.buffer[self.line] == b'\n' {
                self.line += 1;
                self.forget_useless_lines();
            }
        }
        let from = self.sought.max(self.line);
        let found = find_line_end(&self.buffer[from..self.filled]);
        self.sought = found.map_or(self.filled, |place| from + place);
        self.after_cr = self.buffer[self.sought..self.filled].first()? == &b'\r';
        Some(self.sought)
    }

    /// Takes in one line; true when it is the blank one that dispatches an event.
    fn take_line(&mut self, line: Range<usize>) -> bool {
        let bytes = &self.buffer[line.clone()];
        if bytes.is_empty() {
            return self.end_block();
        }
        let (name, value) = split_field(bytes);
        let place = line.start + value - self.start..line.end - self.start;
        match name {
            b"data" => self.add_data(place),
            b"event" => self.fields.event = Some(place),
            b"id" if !bytes[value..].contains(&0) => self.fields.id = Some(place),
            _ => self.forget_useless_lines(),
        }
        false
    }

    /// What was read so far is not part of any field, so it need not be held: comments may go on
    /// for ever.
    fn forget_useless_lines(&mut self) {
        let Fields { event, id, data } = &self.fields;
        if event.is_none() && id.is_none() && matches!(data, Lines::None) {
            self.start = self.line;
        }
    }

    /// A blank line: true when there is an event to dispatch; without data there is none, but its
    /// id is remembered all the same.
    fn end_block(&mut self) -> bool {
        if !matches!(self.fields.data, Lines::None) {
            return true;
        }
        self.dropped |= self.fields.event.is_some() || self.fields.id.is_some();
        if let Some(id) = self.fields.id.take() {
            self.remember_id(id);
        }
        self.fields = Fields::default();
        self.start = self.line;
        false
    }

    fn add_data(&mut self, place: Range<usize>) {
        match std::mem::replace(&mut self.fields.data, Lines::Joined) {
            Lines::None => {
                self.fields.data = Lines::Line(place);
                return;
            }
            Lines::Line(first) => {
                self.joined.clear();
                let first = &self.buffer[self.start..][first];
                self.joined.extend_from_slice(first);
            }
            Lines::Joined => {}
        }
        self.joined.push(b'\n');
        let line = &self.buffer[self.start..][place];
        self.joined.extend_from_slice(line);
    }

    fn remember_id(&mut self, id: Range<usize>) {
        let id = &self.buffer[self.start..][id];
        self.last_id.clear();
        self.last_id.push_str(&decode(id));
    }

    fn dispatch(&mut self, terminated: bool) -> Frame<'_> {
        let Fields { event, id, data } = std::mem::take(&mut self.fields);
        let own_id = id.is_some();
        if let Some(id) = id {
            self.remember_id(id);
        }
        let block = std::mem::replace(&mut self.start, self.line);
        let named = event.is_some();
        let (event, data, replaced) = match data {
            Lines::Line(range) if range.len() >= LARGE => {
                let event = name(event, &self.buffer[block..]).into_owned();
                let mut buffer = self.give_away();
                buffer.truncate(block + range.end);
                let (data, replaced) = in_buffer(buffer, block + range.start);
                (Cow::Owned(event), data, replaced)
            }
            data => {
                let bytes = &self.buffer[block..];
                let data = decode(match data {
                    Lines::None => &[],
                    Lines::Line(range) => &bytes[range],
                    Lines::Joined => &self.joined,
                });
                let replaced = matches!(data, Cow::Owned(_));
                (name(event, bytes), Data::Text(data), replaced)
            }
        };
        Frame {
            event,
            data,
            replaced,
            id: Cow::Borrowed(&self.last_id),
            own_id,
            named,
            terminated,
        }
    }

    /// The buffer; what was not yet read of it goes on in a new one.
    fn give_away(&mut self) -> Vec<u8> {
        let rest = self.buffer[self.start..self.filled].to_vec();
        self.move_to_front();
        std::mem::replace(&mut self.buffer, rest)
    }

    /// All places, for when the unfinished event is moved to the front.
    fn move_to_front(&mut self) {
        self.filled -= self.start;
        self.line -= self.start;
        self.sought = self.sought.saturating_sub(self.start);
        self.start = 0;
    }
}

/// The event's name. By the standard an empty `event` is as good as none.
fn name(event: Option<Range<usize>>, bytes: &[u8]) -> Cow<'_, str> {
    match event {
        Some(range) if !range.is_empty() => decode(&bytes[range]),
        _ => Cow::Borrowed("message"),
    }
}

/// What stands in the buffer from there on, and whether some of it was no UTF-8.
fn in_buffer(buffer: Vec<u8>, start: usize) -> (Data<'static>, bool) {
    match String::from_utf8(buffer) {
        Ok(buffer) => {
            let place = start..buffer.len();
            (Data::InBuffer(buffer, place), false)
        }
        // It may stand before the data: then that is as it was said.
        Err(error) => {
            let data = decode(&error.as_bytes()[start..]);
            let replaced = matches!(data, Cow::Owned(_));
            (Data::Text(Cow::Owned(data.into_owned())), replaced)
        }
    }
}

/// Whether there is so much address space: it may be rationed (`ulimit -v`), and whoever asks for more
/// is ended at once.
fn can_be_had(len: usize) -> bool {
    let mut room: Vec<u8> = Vec::new();
    let had = room.try_reserve_exact(len).is_ok();
    // Or the compiler leaves it out, and says yes.
    black_box(room);
    had
}

/// The field's name, and where its value begins. A comment has the empty name.
fn split_field(line: &[u8]) -> (&[u8], usize) {
    let Some(colon) = line.iter().position(|&byte| byte == b':') else {
        return (line, line.len());
    };
    let value = colon + 1;
    let space = usize::from(line.get(value) == Some(&b' '));
    (&line[..colon], value + space)
}

/// UTF-8 as the standard decodes it. Std's check of what is valid is much faster than its search for
/// what is not.
fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// The place of the first CR or LF.
fn find_line_end(bytes: &[u8]) -> Option<usize> {
    let is_line_end = |&byte: &u8| byte == b'\n' || byte == b'\r';
    let mut rest = bytes;
    while let Some((block, after)) = rest.split_first_chunk() {
        // Few other control characters stand in a stream, so that most blocks are passed at once.
        if has_controls(*block)
            && let Some(place) = block.iter().position(is_line_end)
        {
            return Some(bytes.len() - rest.len() + place);
        }
        rest = after;
    }
    let place = rest.iter().position(is_line_end)?;
    Some(bytes.len() - rest.len() + place)
}

/// Whether one of these bytes is no greater than CR. Where one is, what has to be borrowed for it sets
/// its highest bit.
#[inline]
fn has_controls(block: [u8; 32]) -> bool {
    const ABOVE: u64 = u64::from_ne_bytes([b'\r' + 1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let borrows = |bytes: [u8; 8]| {
        let word = u64::from_ne_bytes(bytes);
        word.wrapping_sub(ABOVE) & !word
    };
    let (words, _) = block.as_chunks();
    (borrows(words[0]) | borrows(words[1]) | borrows(words[2]) | borrows(words[3])) & HIGH != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a test writes it down: event, data, id, whether the id was its own, terminated.
    type Plain = (String, String, String, bool, bool);

    fn plain(frame: &Frame<'_>) -> Plain {
        let text = |text: &str| text.to_owned();
        let (event, data, id) = (text(&frame.event), text(&frame.data), text(&frame.id));
        (event, data, id, frame.own_id, frame.terminated)
    }

    fn push(
        decoder: &mut Decoder,
        mut piece: &[u8],
        mut each: impl FnMut(Frame<'_>),
    ) -> Result<(), EventTooLong> {
        while !piece.is_empty() {
            let space = decoder.space();
            let count = space.len().min(piece.len());
            space[..count].copy_from_slice(&piece[..count]);
            decoder.filled(count);
            piece = &piece[count..];
            while let Some(frame) = decoder.next()? {
                each(frame);
            }
        }
        Ok(())
    }

    fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Plain> {
        let mut decoder = Decoder::default();
        let mut frames = Vec::new();
        for piece in pieces {
            push(&mut decoder, piece, |frame| frames.push(plain(&frame))).unwrap();
        }
        frames.extend(decoder.finish().map(|frame| plain(&frame)));
        frames
    }

    /// The same input whole, byte by byte, and cut at every position.
    #[track_caller]
    fn decode_every_way(input: &[u8]) -> Vec<Plain> {
        let whole = decode([input]);
        assert_eq!(whole, decode(input.chunks(1)), "byte by byte: {input:?}");
        for cut in 1..input.len() {
            let (left, right) = input.split_at(cut);
            assert_eq!(whole, decode([left, right]), "cut at {cut}: {input:?}");
        }
        whole
    }

    /// The standard read aloud, slowly: decode all, split all, then interpret line by line.
    fn by_the_standard(input: &[u8]) -> Vec<Plain> {
        let text = String::from_utf8_lossy(input).into_owned();
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let (mut frames, mut last_id) = (Vec::new(), String::new());
        let (mut event, mut data, mut id) = (String::new(), None::<String>, None::<String>);
        let mut dispatch =
            |event: &mut String, data: &mut Option<String>, id: &mut Option<String>, terminated| {
                let own_id = id.is_some();
                last_id = id.take().unwrap_or(last_id.clone());
                let name = std::mem::take(event);
                let name = if name.is_empty() {
                    "message".to_owned()
                } else {
                    name
                };
                if let Some(data) = data.take() {
                    frames.push((name, data, last_id.clone(), own_id, terminated));
                }
            };
        for line in text.lines() {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "" if line.is_empty() => dispatch(&mut event, &mut data, &mut id, true),
                "event" => value.clone_into(&mut event),
                "id" if !value.contains('\0') => id = Some(value.to_owned()),
                "data" => {
                    data = Some(data.map_or(value.to_owned(), |data| format!("{data}\n{value}")));
                }
                _ => {}
            }
        }
        // What is left is an event whose blank line is missing.
        dispatch(&mut event, &mut data, &mut id, false);
        frames
    }

    #[track_caller]
    fn gives(input: &str, expected: &[(&str, &str, &str, bool, bool)]) {
        let expected: Vec<Plain> = expected
            .iter()
            .map(|&(event, data, id, own, end)| (event.into(), data.into(), id.into(), own, end))
            .collect();
        assert_eq!(decode_every_way(input.as_bytes()), expected);
    }

    #[test]
    fn an_event_of_coze() {
        gives(
            "id: 0\nevent: PING\ndata: {}\n\n",
            &[("PING", "{}", "0", true, true)],
        );
    }

    #[test]
    fn no_space_after_the_colon_and_no_newline_at_the_end() {
        gives(
            "id:4\nevent:Done\ndata:{\"a\":1}",
            &[("Done", "{\"a\":1}", "4", true, false)],
        );
    }

    #[test]
    fn the_examples_of_the_standard() {
        gives(
            "data: YHOO\ndata: +2\ndata: 10\n\n",
            &[("message", "YHOO\n+2\n10", "", false, true)],
        );
        gives(
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
            &[
                ("message", "first event", "1", true, true),
                ("message", "second event", "", true, true),
                ("message", " third event", "", false, false),
            ],
        );
        gives(
            "data\n\ndata\ndata\n\ndata:",
            &[
                ("message", "", "", false, true),
                ("message", "\n", "", false, true),
                ("message", "", "", false, false),
            ],
        );
        gives(
            "data:test\n\ndata: test\n\n",
            &[
                ("message", "test", "", false, true),
                ("message", "test", "", false, true),
            ],
        );
    }

    #[test]
    fn every_line_end_and_a_byte_order_mark() {
        gives(
            "\u{feff}data: a\r\rdata: b\r\n\r\ndata: c\n\n",
            &[
                ("message", "a", "", false, true),
                ("message", "b", "", false, true),
                ("message", "c", "", false, true),
            ],
        );
    }

    #[test]
    fn an_inherited_id_is_told_from_an_own_one() {
        gives(
            "id: 7\ndata: a\n\ndata: b\n\n",
            &[
                ("message", "a", "7", true, true),
                ("message", "b", "7", false, true),
            ],
        );
    }

    #[test]
    fn an_id_with_nul_is_no_id() {
        gives(
            "id: a\0b\ndata: x\n\n",
            &[("message", "x", "", false, true)],
        );
    }

    #[test]
    fn an_event_without_data_is_not_dispatched_but_its_id_stays() {
        gives(
            "event: PING\nid: 3\n\ndata: x\n\n",
            &[("message", "x", "3", false, true)],
        );
    }

    #[test]
    fn an_event_that_is_dropped_is_known_of() {
        for (input, dropped) in [
            ("event: PING\n\n", true),
            ("id: 0\n\n", true),
            (": comment\n\n\n", false),
            ("event: PING\ndata\n\n", false),
        ] {
            let mut decoder = Decoder::default();
            push(&mut decoder, input.as_bytes(), |_| ()).unwrap();
            assert_eq!(decoder.has_dropped(), dropped, "{input:?}");
        }
    }

    #[test]
    fn invalid_utf_8_becomes_the_replacement_character() {
        let frames = decode_every_way(b"data: a\xff\xe4\xbdb\n\n");
        assert_eq!(frames[0].1, "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn all_short_sequences_of_the_vocabulary_decode_as_the_standard_says() {
        const WORDS: [&[u8]; 11] = [
            b"\r",
            b"\n",
            b":",
            b" ",
            b"data",
            b"id",
            b"event",
            b"x",
            "\u{feff}".as_bytes(),
            "字".as_bytes(),
            b"\0",
        ];
        let mut count = 0;
        for length in 0..=5 {
            let mut digits = vec![0; length];
            loop {
                let input: Vec<u8> = digits
                    .iter()
                    .flat_map(|&digit| WORDS[digit])
                    .copied()
                    .collect();
                let whole = decode([&input[..]]);
                assert_eq!(
                    whole,
                    by_the_standard(&input),
                    "{:?}",
                    String::from_utf8_lossy(&input)
                );
                assert_eq!(whole, decode(input.chunks(1)), "byte by byte: {input:?}");
                count += 1;
                let Some(place) = digits.iter().rposition(|&digit| digit + 1 < WORDS.len()) else {
                    break;
                };
                digits[place] += 1;
                digits[place + 1..].fill(0);
            }
        }
        assert_eq!(count, (0..=5).map(|n| 11_usize.pow(n)).sum::<usize>());
    }

    #[test]
    fn the_tail_is_the_data_of_the_unfinished_event() {
        let mut decoder = Decoder::default();
        let input = b"data: a\n\nid: 1\nevent: Done\ndata: {\"debug";
        let mut frames = 0;
        push(&mut decoder, input, |_| frames += 1).unwrap();
        assert_eq!(frames, 1);
        assert_eq!(*decoder.tail(), *b"{\"debug");
    }

    #[test]
    fn the_tail_of_several_data_lines_goes_on_to_the_unfinished_one() {
        let mut decoder = Decoder::default();
        for (input, tail) in [
            ("data: {\ndata: \"a\"", "{\n\"a\""),
            (":1,\ndata: \"b", "{\n\"a\":1,\n\"b"),
            ("\nid: 7", "{\n\"a\":1,\n\"b"),
        ] {
            push(&mut decoder, input.as_bytes(), |_| ()).unwrap();
            assert_eq!(*decoder.tail(), *tail.as_bytes());
        }
    }

    fn feed_for_ever(piece: &[u8], most: usize) -> Result<(), EventTooLong> {
        let mut decoder = Decoder::default();
        for _ in 0..most / piece.len() {
            push(&mut decoder, piece, |_| ())?;
        }
        assert!(decoder.buffer.len() <= EVENT_LIMIT * 2);
        Ok(())
    }

    #[test]
    fn an_endless_line_is_given_up_at_the_limit() {
        assert_eq!(
            feed_for_ever(&[b'x'; 4096], EVENT_LIMIT * 2),
            Err(EventTooLong)
        );
        assert_eq!(
            feed_for_ever(&b"data: x\n".repeat(400), EVENT_LIMIT * 2),
            Err(EventTooLong)
        );
    }

    #[test]
    fn what_was_read_is_written_over_behind_an_event_of_any_size() {
        let (one_line, two_lines) = ("x".repeat(1000), "x\ndata: ".repeat(200));
        for large in [one_line, two_lines] {
            let mut decoder = Decoder::default();
            push(
                &mut decoder,
                format!("data: {large}\n\n").as_bytes(),
                |_| (),
            )
            .unwrap();
            let small = "id: 7\ndata: x\n\n".repeat(500);
            let mut most = 0;
            for piece in small.as_bytes().chunks(7) {
                push(&mut decoder, piece, |_| ()).unwrap();
                most = most.max(decoder.filled);
            }
            assert!(most < 4 * READ_SIZE, "{most}");
        }
    }

    #[test]
    fn endless_comments_and_events_are_not_held() {
        assert!(feed_for_ever(&b": keep-alive\n".repeat(400), EVENT_LIMIT + 9000).is_ok());
        assert!(feed_for_ever(&b"data: x\n\n".repeat(400), EVENT_LIMIT + 9000).is_ok());
    }
}
