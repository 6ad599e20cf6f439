//! One try of a request: a file of a journal. Its lines, each with a checksum over the file's name,
//! the line before and itself; how it is made, locked, read and continued. Decides nothing, removes
//! no try, and lists no directory. What can't be read as it was written never says "not started":
//! after `NotStarted` nothing is written, so that no cut can bring such a line to a file's end.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::identity::Identity;
use super::new_file::{Temporary, create_new};
use crate::coze::call::{Mode, RunRef};
use crate::error::{Error, Kind};
use crate::input::fingerprint::Fingerprint;
use crate::platform::{self, sync_directory};
use crate::response::Response;
use crate::time::FileTime;

/// Of the format.
const VERSION: u32 = 1;

/// No more than this is read of a file: two answers of the longest kind fit in.
const READ_LIMIT: u64 = 1 << 30;

/// A server may forget what is older.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The directory of a journal.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// 64 random bits, because machines that share the directory may share process ids.
    process: String,
    /// How many files this process made under temporary names.
    made: AtomicU64,
    /// When this process began, by the clock of the file system: that of another machine may differ.
    began: FileTime,
}

/// A try, which is there under its name.
#[derive(Debug)]
pub(crate) struct Entry {
    path: PathBuf,
    file: File,
    /// The checksum of the last good line.
    check: Fingerprint,
    /// The file ends within a line.
    is_torn: bool,
}

/// A step of a try.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line<R = Box<Response>> {
    /// It is about to be sent: the first line.
    Starting(Start),
    /// The server named the run, or has it under the id that we gave it.
    Started {
        at: u64,
        execute_id: String,
        mode: Mode,
    },
    /// Nothing was started, for sure: the last line.
    NotStarted { at: u64, error: Error },
    /// When the run was polled, it still waited for the answer that may have been sent.
    Unanswered { at: u64 },
    /// What it came to.
    Ended { at: u64, response: R },
}

/// What is asked, and by whom.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) version: u32,
    /// Seconds since 1970.
    pub(crate) at: u64,
    /// Tells this try from another of the same name.
    token: String,
    pub(crate) process_id: u32,
    pub(crate) base_url: String,
    /// For whoever reads the journal, as `asked` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<Box<RawValue>>,
    /// Its hash.
    pub(crate) content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) asked: Option<Box<RawValue>>,
    /// The run, where its id is of our own making.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<RunRef>,
}

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) state: State,
    /// Known unless the file is damaged at its beginning.
    pub(crate) start: Option<Start>,
    /// The run, once it was known, whatever came later.
    pub(crate) run: Option<RunRef>,
    /// Its id is of our own making, and the server has not shown that it has it.
    pub(crate) is_own: bool,
    /// Not all of it is as it was written.
    pub(crate) is_damaged: bool,
    /// Nothing will be added to it, as far as the journal knew when it was read.
    pub(crate) is_final: bool,
    /// Tells when it was last written.
    pub(crate) metadata: Option<Metadata>,
}

/// How far a try came.
#[derive(Debug, Default)]
pub(crate) enum State {
    NotStarted,
    #[default]
    Started,
    Unanswered,
    Ended(Box<Response>),
    /// Why the file can't be understood. It may have been started.
    Damaged(String),
}

impl Directory {
    /// Opens the directory, a new one if there is none, and makes sure that it can keep a journal.
    pub(crate) fn open(path: &Path, random: u64) -> Result<Self, Error> {
        let name = path.display();
        let unusable = |error: io::Error| {
            Error::config(format!("cannot use the journal {name}: {error}")).hint(
                "--journal needs a directory that can be written",
                "--journal 需要一个可写的目录",
            )
        };
        match platform::create_private_directory(path) {
            // So that it is there after a power cut. Not every file system can do it.
            Ok(()) => drop(sync_directory(&path.join(".."))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(unusable(error)),
        }
        if !fs::metadata(path).map_err(unusable)?.is_dir() {
            let message = format!("the journal {name} is a file, and has to be a directory");
            return Err(Error::config(message).hint(
                "give the name of a directory, or of none that is there yet",
                "请给出一个目录，或一个尚不存在的名字",
            ));
        }
        let process = format!("{random:016x}");
        let began = probe(path, &process).map_err(|error| {
            let message = format!("cannot keep a journal in {name}: {error}");
            Error::config(message).hint(
                "put it on a file system with locks and hard links, such as a local disk",
                "请放在支持文件锁和硬链接的文件系统上，例如本地磁盘",
            )
        })?;
        Ok(Self {
            path: path.to_owned(),
            process,
            made: AtomicU64::new(0),
            began,
        })
    }

    /// Whether a try was last written before this process began, and nothing of it is damaged.
    pub(crate) fn began_after(&self, record: &Record) -> bool {
        let written = (record.metadata.as_ref()).and_then(|file| file.modified().ok());
        !record.is_damaged && written.is_some_and(|written| written < self.began)
    }

    /// Whether a time of a file is within a day of when this process began.
    pub(crate) fn began_near(&self, time: FileTime) -> bool {
        let later = time.duration_since(self.began);
        later.unwrap_or_else(|earlier| earlier.duration()) < DAY
    }

    pub(crate) fn name(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    fn next_token(&self) -> String {
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        format!("{}-{made}", self.process)
    }

    /// The name of a try.
    pub(crate) fn path(&self, name: Fingerprint, number: u32) -> PathBuf {
        self.path.join(format!("{name}.{number}"))
    }

    /// How many tries there are: up to the first number that is missing.
    pub(crate) fn tries(&self, name: Fingerprint) -> io::Result<u32> {
        let mut number = 0;
        while self.holds(name, number + 1)? {
            number += 1;
        }
        Ok(number)
    }

    pub(crate) fn holds(&self, name: Fingerprint, number: u32) -> io::Result<bool> {
        match fs::symlink_metadata(self.path(name, number)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether this very process made the try.
    pub(crate) fn made(&self, start: &Start) -> bool {
        let process = start.token.split_once('-');
        process.is_some_and(|(process, _)| process == self.process)
    }
}

impl Entry {
    /// Makes a try: when this is done, the disk knows it, and the run may be sent. Nothing when
    /// another one made that try.
    pub(crate) fn create(
        directory: &Directory,
        name: Fingerprint,
        number: u32,
        start: Start,
    ) -> Result<Option<Self>, Error> {
        let path = directory.path(name, number);
        Self::try_create(directory, &path, start).map_err(|error| {
            let message = format!("cannot write the journal {}: {error}", path.display());
            Error::config(message)
        })
    }

    fn try_create(
        directory: &Directory,
        path: &Path,
        mut start: Start,
    ) -> io::Result<Option<Self>> {
        let (at, token) = (start.at, directory.next_token());
        start.token.clone_from(&token);
        let starting = Line::<&Response>::Starting(start);
        let temporary = Temporary::new(&directory.path, &token);
        let mut entry = Self::new(path, create_new(&temporary.0)?);
        entry.file.lock()?;
        entry.write(&starting)?;
        entry.file.sync_all()?;
        if let Err(error) = fs::hard_link(&temporary.0, path)
            // Over a network the link may have been made, and its answer lost.
            && !holds_token(path, &token)
        {
            return match error.kind() {
                io::ErrorKind::AlreadyExists => Ok(None),
                _ => Err(error),
            };
        }
        drop(temporary);
        if let Err(error) = sync_directory(&directory.path) {
            let why = Error::new(Kind::Config, "the directory of the journal can't be synced");
            let _ = entry.append(&Line::NotStarted { at, error: why });
            return Err(error);
        }
        Ok(Some(entry))
    }

    /// Opens a try. `InvalidData`, naming it, when what has its name is no regular file.
    pub(crate) fn open(directory: &Directory, name: Fingerprint, number: u32) -> io::Result<Self> {
        let path = directory.path(name, number);
        // Before it is opened: a named pipe would be waited for.
        if !fs::symlink_metadata(&path)?.is_file() {
            let alien = format!("{} is no regular file", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, alien));
        }
        Ok(Self::new(&path, open(&path)?))
    }

    fn new(path: &Path, file: File) -> Self {
        Self {
            path: path.to_owned(),
            file,
            check: Fingerprint::default(),
            is_torn: false,
        }
    }

    /// False when another process, or another row of this one, works on it.
    pub(crate) fn try_lock(&self) -> io::Result<bool> {
        try_lock(&self.file)
    }

    /// Adds a line; when this is done, the disk knows it.
    pub(crate) fn append(&mut self, line: &Line<&Response>) -> Result<(), Error> {
        let written = self.write(line).and_then(|()| self.file.sync_data());
        written.map_err(|error| {
            let message = format!("cannot write the journal {self}: {error}");
            Error::new(Kind::Io, message)
        })
    }

    fn write(&mut self, line: &Line<&Response>) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.pop();
        let check = self.next_check(&bytes);
        bytes.extend_from_slice(seal(check).as_bytes());
        if self.is_torn {
            bytes.insert(0, b'\n');
        }
        self.is_torn = true;
        self.file.write_all(&bytes)?;
        self.is_torn = false;
        self.check = check;
        Ok(())
    }

    /// Reads all of it. Where it is not locked, its last line may be just being written.
    pub(crate) fn read(&mut self) -> Record {
        let mut record = Record {
            metadata: self.file.metadata().ok(),
            ..Record::default()
        };
        if let Err(why) = self.fold(&mut record) {
            record.is_damaged = true;
            // What a good line told holds all the same.
            record.state = match (record.state, &record.run) {
                (State::Ended(response), _) => State::Ended(response),
                (_, Some(_)) => State::Started,
                (_, None) => State::Damaged(why),
            };
        }
        record
    }

    /// The first thing that is wrong is given back; good lines after it count, for after half a line
    /// a later process goes on with a whole one.
    fn fold(&mut self, record: &mut Record) -> Result<(), String> {
        let unreadable = |error: io::Error| format!("can't be read: {error}");
        let mut file = self.file.try_clone().map_err(unreadable)?;
        file.rewind().map_err(unreadable)?;
        let mut lines = BufReader::new(file.take(READ_LIMIT));
        self.check = Fingerprint::default();
        let mut result = Ok(());
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.clear();
            let length = lines.read_until(b'\n', &mut bytes).map_err(unreadable)?;
            if length == 0 {
                break;
            }
            self.is_torn = !bytes.ends_with(b"\n");
            let accepted = self.accept(&mut bytes).and_then(|line| record.take(line));
            result = result.and(accepted.map_err(|why| format!("{why} in line {number}")));
            if record.start.is_none() {
                return result;
            }
        }
        if record.start.is_none() {
            return Err("is empty".to_owned());
        }
        result
    }

    fn accept(&mut self, bytes: &mut Vec<u8>) -> Result<Line, String> {
        let length = bytes.len().saturating_sub(seal(self.check).len());
        let end = bytes.split_off(length);
        let check = self.next_check(bytes);
        if end != seal(check).as_bytes() {
            return Err("is damaged".to_owned());
        }
        self.check = check;
        bytes.push(b'}');
        serde_json::from_slice(bytes)
            .map_err(|_| "holds what this version does not know".to_owned())
    }

    /// The checksum of the line that comes next.
    fn next_check(&self, body: &[u8]) -> Fingerprint {
        let name = self.path.file_name().unwrap_or_default();
        let before = self.check.to_string();
        Fingerprint::of(&[name.as_encoded_bytes(), before.as_bytes(), body])
    }
}

/// The name of the file, for sentences.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

impl Start {
    pub(crate) fn new(
        at: u64,
        base_url: &str,
        id: Option<Box<RawValue>>,
        identity: &Identity,
        run: Option<RunRef>,
    ) -> Self {
        let asked = identity.asked.clone();
        Self {
            version: VERSION,
            at,
            token: String::new(),
            process_id: std::process::id(),
            base_url: base_url.to_owned(),
            id,
            content: identity.content.to_string(),
            asked: asked.and_then(|asked| RawValue::from_string(asked).ok()),
            run,
        }
    }
}

impl Record {
    fn take(&mut self, line: Line) -> Result<(), String> {
        let is_first = self.start.is_none();
        self.state = match line {
            Line::Starting(start) if is_first => {
                let version = start.version;
                if version > VERSION {
                    return Err(format!("is of format {version}, not {VERSION},"));
                }
                self.run.clone_from(&start.run);
                self.is_own = self.run.is_some();
                self.start = Some(start);
                return Ok(());
            }
            Line::Starting(_) => return Err("starts twice".to_owned()),
            _ if is_first => return Err("does not start".to_owned()),
            Line::Started {
                execute_id, mode, ..
            } => {
                self.run = RunRef::new(execute_id, mode);
                self.is_own = false;
                State::Started
            }
            Line::NotStarted { .. } if self.run.is_none() || self.is_own => State::NotStarted,
            Line::NotStarted { .. } => return Err("denies what it started".to_owned()),
            Line::Unanswered { .. } => State::Unanswered,
            Line::Ended { response, .. } => State::Ended(response),
        };
        Ok(())
    }
}

/// How a line ends.
fn seal(check: Fingerprint) -> String {
    format!(",\"check\":\"{check}\"}}\n")
}

/// Does once what every try needs. Gives the time of a file that was made just now.
fn probe(path: &Path, process: &str) -> io::Result<FileTime> {
    let temporary = Temporary::new(path, &format!("{process}-probe"));
    let linked = Temporary::new(path, &format!("{process}-link"));
    let file = create_new(&temporary.0)?;
    file.lock()?;
    if try_lock(&open(&temporary.0)?)? {
        return Err(io::Error::other("file locks have no effect here"));
    }
    fs::hard_link(&temporary.0, &linked.0)?;
    sync_directory(path)?;
    file.metadata()?.modified()
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).open(path)
}

fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether the file that is there is our own. Its first line holds the token of whoever made it.
fn holds_token(path: &Path, token: &str) -> bool {
    let mut line = Vec::new();
    let read = File::open(path).and_then(|file| BufReader::new(file).read_until(b'\n', &mut line));
    let token = format!("\"token\":\"{token}\"").into_bytes();
    read.is_ok() && line.windows(token.len()).any(|part| part == token)
}

#[cfg(test)]
mod tests;
