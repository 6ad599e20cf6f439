//! Input bytes → the text of one request after another, each as soon as it is complete. Knows where
//! values begin and end and in which line, not what they mean. serde finds the end of a value, over
//! a reader that gives it no more bytes than a request may have. One deserializer per value: a
//! stream of them could not go on after an error.

mod fault;
#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind, Read};

use serde::de::IgnoredAny;
use serde_json::Deserializer;

use self::fault::{Fault, Mistake, UTF_16};
use crate::error::Error;

/// The largest request, in bytes: Coze takes no more than 20 MB.
pub(crate) const REQUEST_LIMIT: usize = 20 << 20;

const TOO_LARGE: &str = "a request is larger than 20 MiB, which Coze does not take";

const ENDS_INPUT: Mistake = (
    "it began on an earlier line, so nothing after it is read",
    "它从前面的行开始，因此其后的内容不再读取",
);

/// How much is read at a time: as much as is held already, between these. Most requests are small, and
/// what is asked for is first filled with zeros.
const READ_SIZES: (usize, usize) = (4 << 10, 64 << 10);

/// The requests of one input, one by one.
#[derive(Debug)]
pub(crate) struct Requests<R> {
    source: Source<R>,
    /// What the input is called in a sentence; nothing for the only one.
    name: Option<String>,
    is_argument: bool,
    /// It is a stream, which may keep its reader waiting.
    may_wait: bool,
    ended: bool,
}

impl<R: Read> Requests<R> {
    pub(crate) fn new(input: R, name: Option<String>) -> Self {
        Self {
            source: Source {
                input,
                buffer: Vec::new(),
                start: 0,
                place: 0,
                line: 1,
                column: 1,
            },
            name,
            is_argument: false,
            may_wait: true,
            ended: false,
        }
    }

    /// The input never keeps its reader waiting.
    pub(crate) fn without_waiting(self) -> Self {
        Self {
            may_wait: false,
            ..self
        }
    }

    /// Whether another value is known to follow. Never waits for one.
    pub(crate) fn is_followed(&mut self) -> bool {
        // Nor do the bytes of a byte order mark begin a value.
        let skipped = b" \t\n\r\xef\xbb\xbf";
        let is_something = |byte| !skipped.contains(byte);
        if self.ended || self.may_wait {
            return !self.ended && self.source.value().iter().any(is_something);
        }
        !matches!(self.source.skip_white_space(), Ok(None))
    }

    /// The input is an argument, so nothing is read after a fault in it: a line of a text that lost
    /// its quotes must not be taken for another request.
    pub(crate) fn of_argument(self) -> Self {
        Self {
            is_argument: true,
            ..self
        }
    }

    /// The text of the next request: a JSON object, well formed. An error is the answer to one
    /// request that can't be one; whether more follow is for the next call to say.
    pub(crate) fn next(&mut self) -> Option<Result<String, Error>> {
        if self.ended {
            return None;
        }
        let item = self.next_value().transpose();
        self.ended |= item.is_none() || self.is_argument && matches!(item, Some(Err(_)));
        item
    }

    fn next_value(&mut self) -> Result<Option<String>, Error> {
        let first = self.source.skip_white_space();
        let Some(first) = first.map_err(|error| self.unreadable(&error))? else {
            return Ok(None);
        };
        let mut values = Deserializer::from_reader(&mut self.source).into_iter::<IgnoredAny>();
        let parsed = values.next();
        let length = values.byte_offset();
        match parsed {
            Some(Err(error)) if error.is_io() => return Err(self.unreadable(&error.into())),
            Some(Err(error)) => return Err(self.refuse(Some(&error))),
            Some(Ok(IgnoredAny)) | None => {}
        }
        let Ok(text) = str::from_utf8(&self.source.value()[..length]) else {
            return Err(self.refuse(None));
        };
        let text = text.to_owned();
        self.source.advance(length);
        // What follows a number or a word without a space, as in `12{…}`, is no request of its own.
        let follows = !matches!(first, b'{' | b'[' | b'"')
            && !matches!(self.source.value(), [] | [b' ' | b'\t' | b'\n' | b'\r', ..]);
        if follows {
            self.ended = !self.source.skip_line();
        }
        match first {
            b'{' => Ok(Some(text)),
            b'[' => Err(Error::usage(self.at("an array is not a request")).hint(
                "send its elements one by one: jq -c '.[]'",
                "请逐个发送其中的元素：jq -c '.[]'",
            )),
            _ => Err(Error::usage(self.at("a request is a JSON object")).hint(
                r#"such as {"workflow_id":"…","parameters":{}}"#,
                r#"例如 {"workflow_id":"…","parameters":{}}"#,
            )),
        }
    }

    /// Says what is wrong with the value, and goes to where reading can go on: after the line, when
    /// the value began on the line of the fault. Of a value over several lines nobody can tell where
    /// the next one begins, so it ends the input: a half request must never be sent.
    fn refuse(&mut self, error: Option<&serde_json::Error>) -> Error {
        self.source.complete_word();
        let value = self.source.value();
        let taken = &value[..self.source.place - self.source.start];
        let fault = Fault::find(value, taken, error);
        // A line break belongs to the line that it ends.
        let began_before = taken.strip_suffix(b"\n").unwrap_or(taken).contains(&b'\n');
        let message = match error {
            Some(error) if error.is_eof() && taken.len() == REQUEST_LIMIT => self.at(TOO_LARGE),
            _ => {
                let (line, column) = self.source.position(fault.place);
                self.at(&format!("line {line}, column {column}: {}", fault.what))
            }
        };
        self.ended = began_before || fault.mistake == Some(UTF_16);
        if !self.ended {
            self.ended = !self.source.skip_line();
        }
        let hints = fault
            .mistake
            .into_iter()
            .chain(began_before.then_some(ENDS_INPUT));
        let (english, chinese): (Vec<_>, Vec<_>) = hints.unzip();
        if english.is_empty() {
            return Error::usage(message);
        }
        Error::usage(message).hint(english.join("; "), chinese.join("；"))
    }

    fn unreadable(&mut self, error: &io::Error) -> Error {
        self.ended = true;
        let name = self.name.as_deref().unwrap_or("the requests");
        Error::usage(format!("cannot read {name}: {error}"))
    }

    fn at(&self, what: &str) -> String {
        match &self.name {
            Some(name) => format!("{name}: {what}"),
            None => what.to_owned(),
        }
    }
}

/// The input, kept from the beginning of the value at hand on. As a reader it gives that value, and
/// no more of it than a request may have.
#[derive(Debug)]
struct Source<R> {
    input: R,
    buffer: Vec<u8>,
    /// Where the value begins, and how far it was read.
    start: usize,
    place: usize,
    /// Of `start`, from 1; a column counts bytes.
    line: usize,
    column: usize,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.place == self.buffer.len() {
            self.fill()?;
        }
        let end = self.buffer.len().min(self.start + REQUEST_LIMIT);
        let length = target.len().min(end - self.place);
        target[..length].copy_from_slice(&self.buffer[self.place..][..length]);
        self.place += length;
        Ok(length)
    }
}

impl<R: Read> Source<R> {
    /// Moves to the next byte that is neither white space nor a byte order mark, which is found
    /// between joined files, and gives it; nothing at the end.
    fn skip_white_space(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.value() {
                [b' ' | b'\t' | b'\n' | b'\r', ..] => self.advance(1),
                [0xef, 0xbb, 0xbf, ..] => {
                    self.start += 3;
                    self.place = self.start;
                }
                [] | [0xef] | [0xef, 0xbb] => {
                    let first = self.value().first().copied();
                    if !self.fill()? {
                        return Ok(first);
                    }
                }
                &[first, ..] => return Ok(Some(first)),
            }
        }
    }

    /// The value and what was read of the input after it.
    fn value(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// serde reads no further than the first byte that is wrong. Its character, or word, says more.
    fn complete_word(&mut self) {
        loop {
            let word = &self.buffer[self.place.saturating_sub(1).max(self.start)..];
            let is_part = |byte: &&u8| byte.is_ascii_alphabetic() || !byte.is_ascii();
            let length = word.iter().take(8).take_while(is_part).count();
            let ends = length < word.len() || length == 8;
            // A failing input is at its end; the next call will say so.
            if ends || word.is_empty() || !self.fill().unwrap_or(false) {
                return;
            }
        }
    }

    /// False when the input ends with the line.
    fn skip_line(&mut self) -> bool {
        loop {
            if let Some(length) = self.value().iter().position(|&byte| byte == b'\n') {
                self.advance(length + 1);
                return true;
            }
            self.start = self.buffer.len();
            // A failing input is at its end.
            if !self.fill().unwrap_or(false) {
                return false;
            }
        }
    }

    fn advance(&mut self, length: usize) {
        (self.line, self.column) = self.position(length);
        self.start += length;
        self.place = self.start;
    }

    /// Line and column of that byte of the value.
    fn position(&self, place: usize) -> (usize, usize) {
        let before = &self.value()[..place];
        let breaks = before.iter().filter(|&&byte| byte == b'\n').count();
        match before.iter().rposition(|&byte| byte == b'\n') {
            Some(last) => (self.line + breaks, place - last),
            None => (self.line, self.column + place),
        }
    }

    /// Reads more; false at the end of the input.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.start);
        self.place = self.place.saturating_sub(self.start);
        self.start = 0;
        let filled = self.buffer.len();
        let (least, most) = READ_SIZES;
        self.buffer.resize(filled + filled.clamp(least, most), 0);
        let count = loop {
            match self.input.read(&mut self.buffer[filled..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                count => break count,
            }
        };
        self.buffer.truncate(filled + *count.as_ref().unwrap_or(&0));
        count.map(|count| count > 0)
    }
}
