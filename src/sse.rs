//! Bytes → frames, by the event-stream rules of the HTML standard, to the letter:
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>.
//! Reads no further than the line that ends an event. Two additions: a last event without its blank
//! line is given as well, and the data of an unfinished one can be looked at.
//! Knows neither JSON nor Coze.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::io::{self, BufRead, ErrorKind};
use std::mem;
use std::ops::Deref;

/// The largest event that is held, in bytes.
const EVENT_LIMIT: usize = 32 << 20;

/// Data that is no shorter is given away with its buffer.
const LARGE: usize = if cfg!(test) { 4 } else { 1 << 20 };

const BOM: &[u8] = "\u{feff}".as_bytes();

/// One event as the standard dispatches it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// The `event` field, or `message` when there was none (or an empty one).
    pub(crate) event: Cow<'a, str>,
    /// The `data` lines, joined by line feeds.
    pub(crate) data: Data<'a>,
    /// Some of `data` was no UTF-8, and had to be replaced.
    pub(crate) replaced: bool,
    /// The `id` field of this very event; an inherited one does not count.
    pub(crate) id: Option<Cow<'a, str>>,
    /// Whether an `event` field was in this very event.
    pub(crate) named: bool,
    /// Whether the blank line that ends an event was there. False only for the last one, at the end
    /// of the input.
    pub(crate) terminated: bool,
}

/// The data of a frame. Large data comes with the buffer of its line, so that whoever keeps it need
/// not copy it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Data<'a> {
    /// The line's own buffer, or else the data alone.
    pub(crate) buffer: Cow<'a, str>,
    /// Where in it the data begins, which ends with it.
    start: usize,
}

impl Deref for Data<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.buffer[self.start..]
    }
}

/// The frames of an event stream, one after the other.
#[derive(Debug)]
pub(crate) struct Frames<R> {
    input: R,
    position: Position,
    /// So many of the bytes that come next are known to be no CR.
    without_cr: usize,
    /// The line that is being read, without its end.
    line: Vec<u8>,
    /// The event that is being read, or that the last frame borrows from.
    fields: Fields,
    /// That event has ended, and its frame was given.
    is_given: bool,
    has_dropped: bool,
}

/// Where in the input the next byte is.
#[derive(Debug)]
enum Position {
    /// In the first line, which may begin with a byte order mark.
    FirstLine,
    /// Beyond that mark. After a CR that ended a line, an LF belongs to it.
    Later { after_cr: bool },
    /// After the end of the input.
    End,
}

impl<R: BufRead> Frames<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            position: Position::FirstLine,
            without_cr: 0,
            line: Vec::new(),
            fields: Fields::default(),
            is_given: false,
            has_dropped: false,
        }
    }

    /// The next event; `None` at the end of the input, before which an unfinished event with data is
    /// given once. After an error the next call reads on.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame<'_>>> {
        if matches!(self.position, Position::End) {
            return Ok(None);
        }
        if mem::take(&mut self.is_given) {
            self.fields.clear();
        }
        while self.read_line()? {
            if !self.line.is_empty() {
                self.fields.take(&mut self.line);
                self.line.clear();
            } else if self.fields.data.is_there() {
                self.is_given = true;
                return Ok(Some(self.fields.frame(true)));
            } else if self.fields.len() > 0 {
                self.has_dropped = true;
                self.fields.clear();
            }
        }
        self.position = Position::End;
        // A line that is no field stays: it may be a part of one.
        self.fields.take(&mut self.line);
        let has_data = self.fields.data.is_there();
        Ok(has_data.then(|| self.fields.frame(false)))
    }

    /// The data of the event that had begun when the input ended or broke off, its unfinished line
    /// included; empty when there is none.
    pub(crate) fn unfinished(&self) -> Cow<'_, [u8]> {
        let (name, start) = split_field(&self.line);
        let line = (name == b"data").then(|| &self.line[start..]);
        let data = self.fields.data.value().filter(|_| !self.is_given);
        match (data, line) {
            (Some(data), Some(line)) => Cow::Owned([data, line].join(&b'\n')),
            (data, line) => Cow::Borrowed(data.or(line).unwrap_or_default()),
        }
    }

    /// Whether an event (any line of one, or half a line) has begun and has not ended.
    pub(crate) fn has_begun(&self) -> bool {
        !self.line.is_empty() || !self.is_given && self.fields.len() > 0
    }

    /// Whether some event so far had a name or an id, but no data, so that no frame tells of it.
    pub(crate) fn has_dropped(&self) -> bool {
        self.has_dropped
    }

    pub(crate) fn get_mut(&mut self) -> &mut R {
        &mut self.input
    }

    /// Reads on to the end of the line; false when the input ends first. Of a line that is no field,
    /// only the beginning is kept until its end is there.
    fn read_line(&mut self) -> io::Result<bool> {
        while self.line.len() + self.fields.len() <= EVENT_LIMIT {
            let bytes = match self.input.fill_buf() {
                Ok([]) => return Ok(false),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if let Position::Later { after_cr } = &mut self.position
                && mem::take(after_cr)
                && bytes[0] == b'\n'
            {
                self.input.consume(1);
                continue;
            }
            if self.without_cr == 0 {
                self.without_cr = count_to_cr(bytes);
            }
            let count = (&bytes[..self.without_cr]).read_until(b'\n', &mut self.line)?;
            let is_lf = self.line.pop_if(|last| *last == b'\n').is_some();
            let is_cr = !is_lf && bytes.get(count) == Some(&b'\r');
            self.without_cr -= count;
            self.input.consume(count + usize::from(is_cr));
            if matches!(self.position, Position::FirstLine) && self.line.starts_with(BOM) {
                self.line.drain(..BOM.len());
                self.position = Position::Later { after_cr: false };
            }
            if is_lf || is_cr {
                self.position = Position::Later { after_cr: is_cr };
                return Ok(true);
            }
            if !may_become_field(&self.line) {
                self.line.truncate(LONGEST_NAME);
            }
        }
        let message = format!("one event is larger than {} MiB", EVENT_LIMIT >> 20);
        Err(io::Error::new(ErrorKind::FileTooLarge, message))
    }
}

/// What the lines of one event have said.
#[derive(Debug, Default)]
struct Fields {
    event: Field,
    id: Field,
    data: Field,
}

/// The value of a field, in the buffer of its line so that megabytes are not copied.
#[derive(Debug, Default)]
struct Field {
    /// Empty while the event has no such field: its name is in it.
    line: Vec<u8>,
    /// Where in `line` the value begins.
    start: usize,
}

impl Fields {
    /// Takes a line in, and leaves an empty one; a line that is no field is left as it is.
    fn take(&mut self, line: &mut Vec<u8>) {
        let (name, start) = split_field(line);
        let value = &line[start..];
        let field = match name {
            b"data" if self.data.is_there() => {
                self.data.line.push(b'\n');
                self.data.line.extend_from_slice(value);
                line.clear();
                return;
            }
            b"data" => &mut self.data,
            b"event" => &mut self.event,
            b"id" if !value.contains(&0) => &mut self.id,
            _ => return,
        };
        mem::swap(&mut field.line, line);
        line.clear();
        field.start = start;
    }

    fn len(&self) -> usize {
        self.event.line.len() + self.id.line.len() + self.data.line.len()
    }

    fn clear(&mut self) {
        for field in [&mut self.event, &mut self.id, &mut self.data] {
            field.line.clear();
        }
    }

    /// An unfinished event keeps its data, so that it can still be looked at.
    fn frame(&mut self, terminated: bool) -> Frame<'_> {
        let line = &mut self.data.line;
        let mut start = self.data.start;
        let (buffer, replaced) = if terminated && line.len() - start >= LARGE {
            let line = String::from_utf8(mem::take(line));
            let replaced = line.is_err();
            // What had to be replaced comes after `start`: before it is the field's name.
            let line = line.unwrap_or_else(|error| decode(error.as_bytes()).into_owned());
            (line.into(), replaced)
        } else {
            let data = decode(&line[mem::take(&mut start)..]);
            let replaced = matches!(data, Cow::Owned(_));
            (data, replaced)
        };
        let event = self.event.value().filter(|name| !name.is_empty());
        Frame {
            event: event.map_or("message".into(), decode),
            data: Data { buffer, start },
            replaced,
            id: self.id.value().map(decode),
            named: self.event.is_there(),
            terminated,
        }
    }
}

impl Field {
    fn is_there(&self) -> bool {
        !self.line.is_empty()
    }

    fn value(&self) -> Option<&[u8]> {
        self.is_there().then(|| &self.line[self.start..])
    }
}

/// UTF-8 as the standard decodes it. Std's check of what is valid is much faster than its search for
/// what is not.
fn decode(bytes: &[u8]) -> Cow<'_, str> {
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
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

/// `event` and its colon: so much of a line tells whether it is a field that is taken.
const LONGEST_NAME: usize = 6;

/// Whether a line that is not at its end is held. Others, such as comments, may go on for ever.
fn may_become_field(line: &[u8]) -> bool {
    let head = line.get(..LONGEST_NAME);
    head.is_none_or(|head| matches!(split_field(head).0, b"data" | b"event" | b"id"))
}

/// How many bytes there are before a CR. There is seldom one, and `contains` is much faster than
/// `position`.
fn count_to_cr(bytes: &[u8]) -> usize {
    let place = || bytes.iter().position(|&byte| byte == b'\r');
    let is_there = bytes.contains(&b'\r');
    is_there.then(place).flatten().unwrap_or(bytes.len())
}
