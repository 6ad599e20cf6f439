use std::io::{BufReader, Read};

use super::*;

impl<'a> From<&'a str> for Data<'a> {
    fn from(text: &'a str) -> Self {
        let buffer = Cow::Borrowed(text);
        Self { buffer, start: 0 }
    }
}

/// A frame as a test writes it down.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plain {
    event: String,
    data: String,
    id: Option<String>,
    named: bool,
    terminated: bool,
}

impl Plain {
    fn event(mut self, event: &str) -> Self {
        event.clone_into(&mut self.event);
        self.named = true;
        self
    }

    fn id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    fn without_blank_line(mut self) -> Self {
        self.terminated = false;
        self
    }
}

fn message(data: &str) -> Plain {
    Plain {
        event: "message".to_owned(),
        data: data.to_owned(),
        id: None,
        named: false,
        terminated: true,
    }
}

fn plain(frame: &Frame<'_>) -> Plain {
    Plain {
        event: frame.event.to_string(),
        data: frame.data.to_string(),
        id: frame.id.as_deref().map(ToOwned::to_owned),
        named: frame.named,
        terminated: frame.terminated,
    }
}

/// The frames up to the end or an error.
fn rest<R: BufRead>(frames: &mut Frames<R>) -> io::Result<Vec<Plain>> {
    let mut all = Vec::new();
    while let Some(frame) = frames.next()? {
        all.push(plain(&frame));
    }
    Ok(all)
}

fn decode_all(input: impl BufRead) -> Vec<Plain> {
    rest(&mut Frames::new(input)).unwrap()
}

/// An input that fails once, then is at its end.
#[derive(Debug)]
struct Fails(Option<ErrorKind>);

impl Read for Fails {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), |kind| Err(kind.into()))
    }
}

fn fails(kind: ErrorKind) -> BufReader<Fails> {
    BufReader::new(Fails(Some(kind)))
}

/// An input that nobody may read.
#[derive(Debug)]
struct TooFar;

impl Read for TooFar {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        panic!("read further than was needed")
    }
}

/// The same input whole, in pieces of every size, and cut, interrupted and broken at every position.
#[track_caller]
fn decode_every_way(input: &[u8]) -> Vec<Plain> {
    let whole = decode_all(input);
    for size in 1..=input.len() {
        let pieces = BufReader::with_capacity(size, input);
        assert_eq!(decode_all(pieces), whole, "by {size}: {input:?}");
    }
    for cut in 0..=input.len() {
        let (left, right) = input.split_at(cut);
        let parts = left.chain(right);
        assert_eq!(decode_all(parts), whole, "cut at {cut}: {input:?}");
        let parts = left.chain(fails(ErrorKind::Interrupted)).chain(right);
        assert_eq!(decode_all(parts), whole, "interrupted at {cut}: {input:?}");
        breaks_off(left, right, &whole);
    }
    whole
}

/// What is known after an error, and that reading on gives the rest.
#[track_caller]
fn breaks_off(left: &[u8], right: &[u8], whole: &[Plain]) {
    let expected = by_the_standard(left);
    let mut frames = Frames::new(left.chain(fails(ErrorKind::TimedOut)).chain(right));
    let mut before = Vec::new();
    let error = loop {
        match frames.next() {
            Ok(frame) => before.push(plain(&frame.expect("an error comes first"))),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let (finished, unfinished) = match expected.frames.split_last() {
        Some((last, finished)) if !last.terminated => (finished, &*last.data),
        _ => (&*expected.frames, ""),
    };
    assert_eq!(before, finished, "{left:?}");
    let found = frames.unfinished();
    assert_eq!(String::from_utf8_lossy(&found), unfinished, "{left:?}");
    assert_eq!(frames.has_begun(), expected.has_begun, "{left:?}");
    assert_eq!(frames.has_dropped(), expected.has_dropped, "{left:?}");
    before.extend(rest(&mut frames).unwrap());
    assert_eq!(before, whole, "broken after {left:?}");
}

/// What a stream says by the standard.
#[derive(Default)]
struct Standard {
    frames: Vec<Plain>,
    has_begun: bool,
    has_dropped: bool,
}

/// The standard read aloud, slowly: decode all, split all, then interpret line by line.
fn by_the_standard(input: &[u8]) -> Standard {
    let text = String::from_utf8_lossy(input).into_owned();
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut standard = Standard::default();
    let (mut event, mut data, mut id) = (None::<String>, None::<String>, None::<String>);
    for line in text.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "" if line.is_empty() => {
                let (event, id) = (event.take(), id.take());
                standard.has_dropped |= data.is_none() && (event.is_some() || id.is_some());
                let frame = data.take().map(|data| dispatch(event, &data, id));
                standard.frames.extend(frame);
            }
            "event" => event = Some(value.to_owned()),
            "id" if !value.contains('\0') => id = Some(value.to_owned()),
            "data" => {
                data = Some(data.map_or(value.to_owned(), |data| format!("{data}\n{value}")));
            }
            _ => {}
        }
    }
    let half_a_line = !text.is_empty() && !text.ends_with('\n');
    standard.has_begun = half_a_line || event.is_some() || data.is_some() || id.is_some();
    // What is left is an event whose blank line is missing.
    let frame = data.map(|data| dispatch(event, &data, id).without_blank_line());
    standard.frames.extend(frame);
    standard
}

fn dispatch(event: Option<String>, data: &str, id: Option<String>) -> Plain {
    let named = event.is_some();
    let event = event.filter(|event| !event.is_empty());
    let mut frame = message(data);
    frame.event = event.unwrap_or(frame.event);
    Plain { id, named, ..frame }
}

#[track_caller]
fn gives(input: &str, expected: &[Plain]) {
    assert_eq!(decode_every_way(input.as_bytes()), expected);
}

#[test]
fn an_event_of_coze() {
    gives(
        "id: 0\nevent: PING\ndata: {}\n\n",
        &[message("{}").event("PING").id("0")],
    );
}

#[test]
fn no_space_after_the_colon_and_no_newline_at_the_end() {
    let frame = message("{\"a\":1}").event("Done").id("4");
    gives(
        "id:4\nevent:Done\ndata:{\"a\":1}",
        &[frame.without_blank_line()],
    );
}

#[test]
fn the_examples_of_the_standard() {
    gives(
        "data: YHOO\ndata: +2\ndata: 10\n\n",
        &[message("YHOO\n+2\n10")],
    );
    gives(
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
        &[
            message("first event").id("1"),
            message("second event").id(""),
            message(" third event").without_blank_line(),
        ],
    );
    gives(
        "data\n\ndata\ndata\n\ndata:",
        &[message(""), message("\n"), message("").without_blank_line()],
    );
    gives(
        "data:test\n\ndata: test\n\n",
        &[message("test"), message("test")],
    );
}

#[test]
fn every_line_end_and_a_byte_order_mark() {
    gives(
        "\u{feff}data: a\r\rdata: b\r\n\r\ndata: c\n\n",
        &[message("a"), message("b"), message("c")],
    );
}

#[test]
fn a_byte_order_mark_is_skipped_only_at_the_very_start() {
    gives("\u{feff}\u{feff}data: a\n\n", &[]);
    gives("\n\u{feff}data: a\n\ndata: b\n\n", &[message("b")]);
}

#[test]
fn an_inherited_id_does_not_count() {
    gives(
        "id: 7\ndata: a\n\ndata: b\n\n",
        &[message("a").id("7"), message("b")],
    );
    gives("event: PING\nid: 3\n\ndata: x\n\n", &[message("x")]);
}

#[test]
fn an_id_with_nul_is_no_id() {
    gives("id: a\0b\ndata: x\n\n", &[message("x")]);
    gives("id: 7\nid: a\0b\ndata: x\n\n", &[message("x").id("7")]);
}

#[test]
fn of_a_field_that_is_there_twice_the_last_counts() {
    gives(
        "event: a\nid: 1\nevent: b\ndata: x\nid: 2\n\n",
        &[message("x").event("b").id("2")],
    );
}

#[test]
fn an_empty_name_is_a_message_but_a_name() {
    gives(
        "event: a\nevent\ndata: x\n\n",
        &[message("x").event("message")],
    );
}

#[test]
fn an_event_that_is_dropped_is_known_of() {
    for (input, dropped) in [
        ("event: PING\n\n", true),
        ("id: 0\n\n", true),
        (": comment\n\n\n", false),
        ("event: PING\ndata\n\n", false),
        ("event: PING\n", false),
    ] {
        let mut frames = Frames::new(input.as_bytes());
        rest(&mut frames).unwrap();
        assert_eq!(frames.has_dropped(), dropped, "{input:?}");
    }
}

#[test]
fn invalid_utf_8_becomes_the_replacement_character() {
    let frames = decode_every_way(b"event: \xff\ndata: a\xff\xe4\xbdb\nid: \xe4\n\n");
    let expected = message("a\u{fffd}\u{fffd}b").event("\u{fffd}");
    assert_eq!(frames, [expected.id("\u{fffd}")]);
}

#[test]
fn only_data_that_was_replaced_is_said_to_be() {
    for (input, replaced) in [
        (&b"data: \xff\n\n"[..], true),
        (b"data: large\xff\n\n", true),
        (b"data: \xff", true),
        (b"event: \xff\nid: \xff\ndata: a\n\n", false),
        ("data: \u{fffd}\n\n".as_bytes(), false),
    ] {
        let mut frames = Frames::new(input);
        assert_eq!(frames.next().unwrap().unwrap().replaced, replaced);
    }
}

#[test]
fn large_data_comes_with_its_buffer() {
    for (input, buffer, data) in [
        ("event: a\ndata: large\n\n", Some("data: large"), "large"),
        ("\u{feff}data:large\n\n", Some("data:large"), "large"),
        (
            "data: a\ndata: b\ndata: c\n\n",
            Some("data: a\nb\nc"),
            "a\nb\nc",
        ),
        ("data: abc\n\n", None, "abc"),
        // It may still be looked at as unfinished.
        ("data: large\n", None, "large"),
    ] {
        let mut frames = Frames::new(input.as_bytes());
        let frame = frames.next().unwrap().unwrap();
        let owned = match &frame.data.buffer {
            Cow::Owned(buffer) => Some(&**buffer),
            Cow::Borrowed(_) => None,
        };
        assert_eq!((owned, &*frame.data), (buffer, data));
        assert_eq!(frame.data.buffer.into_owned(), buffer.unwrap_or(data));
    }
}

/// All sequences of so many words.
fn for_all_sequences(length: usize, mut check: impl FnMut(&[u8])) {
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
    let mut digits = vec![0; length];
    loop {
        let words = digits.iter().flat_map(|&digit| WORDS[digit]);
        check(&words.copied().collect::<Vec<u8>>());
        count += 1;
        let Some(place) = digits.iter().rposition(|&digit| digit + 1 < WORDS.len()) else {
            break;
        };
        digits[place] += 1;
        digits[place + 1..].fill(0);
    }
    assert_eq!(count, WORDS.len().pow(length.try_into().unwrap()));
}

#[test]
fn all_short_sequences_of_the_vocabulary_decode_as_the_standard_says() {
    for length in 0..=3 {
        for_all_sequences(length, |input| {
            let expected = by_the_standard(input).frames;
            assert_eq!(decode_every_way(input), expected, "{input:?}");
        });
    }
    for length in 4..=5 {
        for_all_sequences(length, |input| {
            let expected = by_the_standard(input).frames;
            assert_eq!(decode_all(input), expected, "{input:?}");
            for size in 1..=3 {
                let pieces = BufReader::with_capacity(size, input);
                assert_eq!(decode_all(pieces), expected, "by {size}: {input:?}");
            }
        });
    }
}

/// Reads the finished events of an input, and nothing after it.
#[track_caller]
fn gives_at_once(input: &[u8]) {
    let mut frames = Frames::new(input.chain(BufReader::new(TooFar)));
    for expected in by_the_standard(input).frames {
        if expected.terminated {
            assert_eq!(plain(&frames.next().unwrap().unwrap()), expected);
        }
    }
}

#[test]
fn an_event_is_given_as_soon_as_its_blank_line_has_been_read() {
    for end in ["\n", "\r", "\r\n"] {
        let input = "data: a||id: 7|data: b||".replace('|', end);
        for length in 0..=input.len() {
            gives_at_once(&input.as_bytes()[..length]);
        }
    }
    gives_at_once(b"data: a\r\n\r");
    for length in 0..=4 {
        for_all_sequences(length, gives_at_once);
    }
}

#[test]
#[should_panic(expected = "read further than was needed")]
fn an_event_without_its_blank_line_is_waited_for() {
    let input = b"data: a\r\n".chain(BufReader::new(TooFar));
    let _ = Frames::new(input).next();
}

#[test]
fn the_data_of_the_unfinished_event_is_known_at_every_end() {
    for (input, unfinished) in [
        ("data: a\n\nid: 1\nevent: Done\ndata: {\"debug", "{\"debug"),
        ("\u{feff}data: {", "{"),
        ("data: {\ndata: \"a\"", "{\n\"a\""),
        ("data: {\ndata: \"a\":1,\ndata: \"b", "{\n\"a\":1,\n\"b"),
        (
            "data: {\ndata: \"a\":1,\ndata: \"b\nid: 7",
            "{\n\"a\":1,\n\"b",
        ),
        ("data: large\n\n", ""),
        ("data: abc\n\n", ""),
        ("data: a\n\nevent: data", ""),
    ] {
        let mut frames = Frames::new(input.as_bytes().chain(fails(ErrorKind::TimedOut)));
        while frames.next().is_ok() {}
        assert_eq!(*frames.unfinished(), *unfinished.as_bytes(), "{input:?}");
        rest(&mut frames).unwrap();
        assert_eq!(*frames.unfinished(), *unfinished.as_bytes(), "{input:?}");
    }
}

#[test]
fn an_event_has_begun_with_half_a_line_and_ends_with_its_blank_one() {
    for (input, has_begun) in [
        ("", false),
        ("data: a\n\n", false),
        ("data: a\r\n\r", false),
        (": comment\n", false),
        ("event: a\n\n\n", false),
        ("data: a\n\neve", true),
        ("event: a\n", true),
        ("id: 7", true),
        ("data\n", true),
        ("data: a", true),
        (": comm", true),
    ] {
        let mut frames = Frames::new(input.as_bytes());
        rest(&mut frames).unwrap();
        assert_eq!(frames.has_begun(), has_begun, "{input:?}");
        assert!(frames.next().unwrap().is_none(), "{input:?}");
        assert_eq!(frames.has_begun(), has_begun, "{input:?}");
    }
}

#[test]
fn the_input_can_be_reached_between_two_events() {
    let mut frames = Frames::new(&b"data: a\n\ndata: b\n\n"[..]);
    assert_eq!(plain(&frames.next().unwrap().unwrap()), message("a"));
    assert_eq!(*frames.get_mut(), b"data: b\n\n");
}

/// Reads a head, and then a repeated piece far beyond the limit. How many frames that gave; what is
/// held is little.
#[track_caller]
fn read_for_ever(head: &[u8], piece: &[u8]) -> io::Result<usize> {
    let pieces = piece.repeat((64 << 10) / piece.len());
    let mut frames = Frames::new(head.chain(Repeated {
        pieces: &pieces,
        place: 0,
        left: EVENT_LIMIT / pieces.len() * 2,
    }));
    let mut count = 0;
    while let Some(frame) = frames.next()? {
        count += usize::from(frame.terminated);
        assert!(held(&frames) < 1 << 20);
    }
    assert!(held(&frames) < 1 << 20);
    Ok(count)
}

fn held<R>(frames: &Frames<R>) -> usize {
    let Fields { event, id, data } = &frames.fields;
    let lines = [&frames.line, &event.line, &id.line, &data.line];
    lines.iter().map(|line| line.capacity()).sum()
}

struct Repeated<'a> {
    pieces: &'a [u8],
    place: usize,
    left: usize,
}

impl Read for Repeated<'_> {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        unreachable!("it is read by its buffer")
    }
}

impl BufRead for Repeated<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.place == self.pieces.len() {
            (self.place, self.left) = (0, self.left - 1);
        }
        let pieces = if self.left == 0 { &[] } else { self.pieces };
        Ok(pieces.get(self.place..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.place += count;
    }
}

#[test]
fn an_endless_event_is_given_up_at_the_limit() {
    for (head, piece) in [
        ("data: ", "x"),
        ("event: ", "x"),
        ("id: ", "x"),
        ("", "data: xxxxxx\n"),
        ("data: x\ndata: ", "x"),
    ] {
        let error = read_for_ever(head.as_bytes(), piece.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge, "{head} {piece}");
        assert_eq!(error.to_string(), "one event is larger than 32 MiB");
    }
}

#[test]
fn an_event_above_the_limit_still_tells_its_data() {
    let input = "data: x".to_owned() + &"y".repeat(EVENT_LIMIT) + "\n\ndata: z\n\n";
    let mut frames = Frames::new(BufReader::new(input.as_bytes()));
    for _ in 0..2 {
        assert_eq!(frames.next().unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert!(frames.unfinished().starts_with(b"xyyy") && frames.has_begun());
    }
}

#[test]
fn an_event_as_large_as_the_limit_is_given() {
    let input = "data: ".to_owned() + &"x".repeat(EVENT_LIMIT - 6) + "\n\n";
    let frames = decode_all(BufReader::new(input.as_bytes()));
    assert_eq!(frames[0].data.len(), EVENT_LIMIT - 6);
}

#[test]
fn endless_comments_and_events_are_not_held() {
    for (head, piece) in [
        ("", ": keep-alive\n"),
        (":", " keep-alive"),
        ("", "x"),
        ("data: x\n", ": keep-alive\n"),
        ("data: x\n:", "x"),
        ("data", "x"),
        ("data: x\n", "id: 7\nevent: x\n"),
    ] {
        let count = read_for_ever(head.as_bytes(), piece.as_bytes());
        assert_eq!(count.unwrap(), 0, "{head} {piece}");
    }
    assert!(read_for_ever(b"", b"data: x\n\n").unwrap() > EVENT_LIMIT / 9);
}

#[test]
fn a_long_comment_ends_with_its_line() {
    let comment = "x: data: ".repeat(30_000);
    let input = comment + "\rdata: a\n\n";
    let expected = [message("a")];
    assert_eq!(decode_all(input.as_bytes()), expected);
    assert_eq!(decode_all(BufReader::new(input.as_bytes())), expected);
}

#[test]
fn a_line_end_is_found_wherever_it_is() {
    for length in [0, 1, 1022, 1023, 1024, 1025, 2047, 2048, 5000] {
        for end in ["\n", "\r", "\r\n"] {
            let text = "x".repeat(length);
            let input = format!("data:{text}{end}{end}data:b\r\n\n");
            let frames = decode_all(input.as_bytes());
            assert_eq!(frames, [message(&text), message("b")], "{length} {end:?}");
        }
    }
}

#[test]
fn a_large_event_leaves_no_large_buffers() {
    let (one_line, two_lines) = ("x".repeat(4 << 20), "x\ndata: ".repeat(1 << 20));
    for large in [one_line, two_lines] {
        let head = format!("data: {large}\n\n");
        assert!(read_for_ever(head.as_bytes(), b"id: 7\ndata: x\n\n").unwrap() > 1);
    }
}
