//! Input bytes → the text of one request after another, each as soon as it is complete. Knows where
//! values begin and end and in which line, not what they mean. serde finds the end of a value, over
//! a reader that gives it no more bytes than a request may have. One deserializer per value: a
//! stream of them could not go on after an error.

mod fault;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, BufReader, Read};

use serde::de::IgnoredAny;
use serde_json::Deserializer;

use self::fault::Fault;
use crate::error::Error;
use crate::error::mistake::{LACKS_QUOTES, Mistake, SHELLS_QUOTES, UTF_16};

/// The largest request, in bytes: Coze takes no more than 20 MB.
pub(crate) const REQUEST_LIMIT: usize = 20 << 20;

const TOO_LARGE: &str = "a request is larger than 20 MiB, which Coze does not take";

const ENDS_INPUT: Mistake = (
    "it began on an earlier line, so nothing after it is read",
    "它从前面的行开始，因此其后的内容不再读取",
);

const IN_A_SHELL: Mistake = (
    r#"in a shell, put the whole in single quotes: '{"a":"b"}', where ' is written '\'', and " in a text \"; in cmd and PowerShell use -w and -p, or a file"#,
    r#"在 shell 中，整个请求再用单引号括起：'{"a":"b"}'，其中的 ' 写作 '\''，文本中的 " 写作 \"；在 cmd 和 PowerShell 中请用 -w 和 -p，或写在文件里"#,
);

/// How much is read at a time.
const READ_SIZE: usize = 64 << 10;

/// What is between values. A byte order mark is found between joined files.
const SPACE: &[u8] = b" \t\n\r";
const MARK: &[u8] = b"\xef\xbb\xbf";

/// What kind of input it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Nothing is read after a fault in it: a line of a text that lost its quotes must not be taken
    /// for another request.
    Argument,
    File,
    /// It may keep its reader waiting.
    Stream,
}

/// The requests of one input: the text of one JSON object after another, well formed. An error is
/// the answer to one request that can't be one; whether more follow is for the next item to say.
#[derive(Debug)]
pub(crate) struct Requests<R> {
    input: BufReader<R>,
    /// What the input is called in a sentence; nothing for the only one.
    name: Option<String>,
    door: Door,
    /// The value at hand, as far as it was read; so much of it was given to serde.
    value: Vec<u8>,
    taken: usize,
    /// Where the value begins, from 1; a column counts bytes.
    line: usize,
    column: usize,
    /// The rest of the line is no request. That rest, which may not have arrived yet, is passed over
    /// when the next request is asked for.
    skips_line: bool,
    ended: bool,
}

impl<R: Read> Iterator for Requests<R> {
    type Item = Result<String, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.next_value().transpose();
        self.ended |= item.is_none() || self.door == Door::Argument && matches!(item, Some(Err(_)));
        item
    }
}

impl<R: Read> Requests<R> {
    pub(crate) fn new(input: R, name: Option<String>, door: Door) -> Self {
        Self {
            input: BufReader::with_capacity(READ_SIZE, input),
            name,
            door,
            value: Vec::new(),
            taken: 0,
            line: 1,
            column: 1,
            skips_line: false,
            ended: false,
        }
    }

    /// Whether another value is known to follow. Never waits for one.
    pub(crate) fn is_followed(&mut self) -> bool {
        if self.door != Door::Stream || self.input.buffer().contains(&b'\n') {
            // Where this fails, the next request tells why.
            let _ = self.finish_line();
        }
        let Self { input, value, .. } = &*self;
        let is_space = |byte| SPACE.contains(byte) || MARK.contains(byte);
        !self.ended
            && !self.skips_line
            && match self.door {
                Door::Argument | Door::File => !matches!(self.skip_space(), Ok(None)),
                Door::Stream => !value.iter().chain(input.buffer()).all(is_space),
            }
    }

    fn next_value(&mut self) -> Result<Option<String>, Error> {
        let first = self.finish_line().and_then(|()| self.skip_space());
        let Some(first) = first.map_err(|error| self.unreadable(&error))? else {
            return Ok(None);
        };
        let mut values = Deserializer::from_reader(&mut *self).into_iter::<IgnoredAny>();
        let parsed = values.next();
        let length = values.byte_offset();
        match parsed {
            Some(Err(error)) if error.is_io() => return Err(self.unreadable(&error.into())),
            Some(Err(error)) => return Err(self.refuse(Some(&error))),
            Some(Ok(IgnoredAny)) | None => {}
        }
        let Ok(text) = str::from_utf8(&self.value[..length]) else {
            return Err(self.refuse(None));
        };
        let text = text.to_owned();
        self.advance(length);
        // What follows a number or a word without a space, as in `12{…}`, is no request of its own. Of
        // other values nothing more was read.
        if !self.value.iter().all(|byte| SPACE.contains(byte)) {
            self.skip_line();
        }
        let (what, english, chinese) = match first {
            b'{' => return Ok(Some(text)),
            b'[' => (
                "an array is not a request",
                "send its elements one by one: jq -c '.[]'",
                "请逐个发送其中的元素：jq -c '.[]'",
            ),
            _ => (
                "a request is a JSON object",
                r#"such as {"workflow_id":"…","parameters":{}}"#,
                r#"例如 {"workflow_id":"…","parameters":{}}"#,
            ),
        };
        Err(Error::usage(self.at(what)).hint(english, chinese))
    }

    /// Says what is wrong with the value, and goes to where reading can go on: after the line, when
    /// the value began on the line of the fault. Of a value over several lines nobody can tell where
    /// the next one begins, so it ends the input: a half request must never be sent.
    fn refuse(&mut self, error: Option<&serde_json::Error>) -> Error {
        self.complete_word();
        let value = &self.value;
        let taken = &value[..self.taken];
        let fault = Fault::find(value, taken, error);
        // A line break belongs to the line that it ends.
        let began_before = taken.strip_suffix(b"\n").unwrap_or(taken).contains(&b'\n');
        let message = match error {
            Some(error) if error.is_eof() && taken.len() == REQUEST_LIMIT => self.at(TOO_LARGE),
            _ => {
                let (line, column) = self.line_and_column(fault.place);
                self.at(&format!("line {line}, column {column}: {}", fault.what))
            }
        };
        self.ended = began_before || fault.mistake == Some(UTF_16);
        if !self.ended {
            self.skip_line();
        }
        let in_a_shell =
            matches!(fault.mistake, Some(LACKS_QUOTES | SHELLS_QUOTES)).then_some(IN_A_SHELL);
        let ends = began_before.then_some(ENDS_INPUT);
        let hints = fault.mistake.into_iter().chain(in_a_shell).chain(ends);
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
        let name = self.name.as_ref().map(|name| format!("{name}: "));
        name.unwrap_or_default() + what
    }

    /// The value, by the next byte of the input; false at its end.
    fn grow(&mut self) -> io::Result<bool> {
        let byte = self.input.by_ref().bytes().next().transpose()?;
        self.value.extend(byte);
        Ok(byte.is_some())
    }

    /// Moves to the next byte that is neither white space nor a byte order mark, and gives it; nothing
    /// at the end.
    fn skip_space(&mut self) -> io::Result<Option<u8>> {
        loop {
            match *self.value {
                [first, ..] if SPACE.contains(&first) => self.advance(1),
                _ if self.value == MARK => self.value.clear(),
                [first, ..] if !MARK.starts_with(&self.value) => return Ok(Some(first)),
                _ => {
                    let first = self.value.first().copied();
                    if !self.grow()? {
                        return Ok(first);
                    }
                }
            }
        }
    }

    /// serde reads no further than the first byte that is wrong. Its character, or word, says more.
    fn complete_word(&mut self) {
        let is_part = |byte: &u8| byte.is_ascii_alphabetic() || !byte.is_ascii();
        let longest = self.taken + 7;
        while self.value.len() < longest
            && self.value.last().is_some_and(is_part)
            && self.grow().unwrap_or(false)
        {}
    }

    /// A line break can only be the last byte of what was read of it.
    fn skip_line(&mut self) {
        self.skips_line = !self.value.ends_with(b"\n");
        self.value.clear();
        self.taken = 0;
        (self.line, self.column) = (self.line + 1, 1);
    }

    fn finish_line(&mut self) -> io::Result<()> {
        if self.skips_line {
            // Where this fails, what follows is still the rest of the line.
            self.input.skip_until(b'\n')?;
            self.skips_line = false;
        }
        Ok(())
    }

    fn advance(&mut self, length: usize) {
        (self.line, self.column) = self.line_and_column(length);
        self.value.drain(..length);
        self.taken = 0;
    }

    /// Of that byte of the value.
    fn line_and_column(&self, place: usize) -> (usize, usize) {
        let before = &self.value[..place];
        let breaks = before.iter().filter(|&&byte| byte == b'\n').count();
        match before.iter().rposition(|&byte| byte == b'\n') {
            Some(last) => (self.line + breaks, place - last),
            None => (self.line, self.column + place),
        }
    }
}

/// For serde: the value at hand, and no more of it than a request may have.
impl<R: Read> Read for Requests<R> {
    /// One byte, for what is read too much has to be kept.
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let is_end =
            self.taken == REQUEST_LIMIT || self.taken == self.value.len() && !self.grow()?;
        if is_end || target.is_empty() {
            return Ok(0);
        }
        target[0] = self.value[self.taken];
        self.taken += 1;
        Ok(1)
    }
}
