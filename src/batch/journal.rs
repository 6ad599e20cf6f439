//! `--journal FILE`: what was started and what came of it, a JSON line for each step, so that a
//! caller who was killed at any moment starts again with the same input. Which mistake is worse? To
//! run twice: so a line is on the disk before a run is sent, and a run of which nothing more than
//! that line is known is not sent again. Responses stay in the file; in memory there is only where.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{lock, recorded};
use crate::batch::fingerprint::Fingerprint;
use crate::coze::call::Mode;
use crate::error::{Error, Hint, Kind};
use crate::input::request::{Request, Resume, Task, Watch};
use crate::response::{Response, Verdict};
use crate::time::Clock;

/// Of the format.
const VERSION: u32 = 1;

fn look_or_rerun() -> Hint {
    Hint::new(
        "look at Coze before running it again; --rerun-unknown runs it again",
        "重新运行之前，请先到扣子上查看；--rerun-unknown 会重新运行",
    )
}

/// A journal, locked by this process until it ends.
pub(crate) struct Journal<'a> {
    name: String,
    file: File,
    clock: &'a dyn Clock,
    rerun_unknown: bool,
    index: Mutex<HashMap<Fingerprint, Entry>>,
    tail: Mutex<Tail>,
    /// How many lines of this process are on the disk for sure.
    synced: Mutex<u64>,
}

/// What is held of one request: 48 bytes with its key.
struct Entry {
    content: Fingerprint,
    /// Where the line begins that tells its stage.
    offset: u64,
    /// How many times it stood in the input so far.
    taken: u32,
    stage: Stage,
}

/// How far a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    /// Nothing was started, for sure.
    NotStarted,
    /// It was about to be sent.
    Starting,
    /// Its `execute_id` is known.
    Started,
    /// It answers an interrupt, and when the run was looked at, it still waited for that answer.
    Unanswered,
    /// What it came to needs no further look.
    Answered,
}

#[derive(Default)]
struct Tail {
    lines: u64,
    /// Why nothing more can be written. The file may end in half a line then.
    fault: Option<String>,
}

impl Tail {
    fn check(&self) -> Result<(), Error> {
        match &self.fault {
            None => Ok(()),
            Some(sentence) => Err(Error::new(Kind::Io, sentence)),
        }
    }
}

/// A request's place in the journal, which no other request of this process has.
#[derive(Debug)]
pub(crate) struct Claim {
    key: Fingerprint,
    content: Fingerprint,
    /// For whoever reads the journal.
    id: Option<Box<RawValue>>,
    stage: Stage,
    offset: u64,
    /// The interrupt that the request answers, and how.
    answers: Option<(String, Mode)>,
    /// This process wrote that it is about to be sent.
    sent: Cell<bool>,
    /// An earlier process sent it; it is only looked at.
    looked_at: Cell<bool>,
}

/// What is to be done about a request.
#[derive(Debug)]
pub(crate) enum Recall {
    Act(Task),
    /// Nothing: this is the answer.
    Answer(Box<Response>),
}

impl<'a> Journal<'a> {
    /// Opens and locks a journal of that base URL, a new one if there is none.
    pub(crate) fn open(
        path: &Path,
        base_url: &str,
        rerun_unknown: bool,
        clock: &'a dyn Clock,
    ) -> Result<Self, Error> {
        let name = path.display().to_string();
        let file = open_locked(path, &name)?;
        let index = if is_journal(&file, &name, base_url)? {
            read_lines(&file, &name)?
        } else {
            write_header(&file, base_url).map_err(|error| unusable(&name, &error))?;
            sync_directory(path);
            HashMap::new()
        };
        Ok(Self {
            name,
            file,
            clock,
            rerun_unknown,
            index: Mutex::new(index),
            tail: Mutex::default(),
            synced: Mutex::default(),
        })
    }

    /// The place of the next request of the input; none for one that can't be understood. Requests
    /// must come in the order of the input, for without an `id` those of the same content are told
    /// apart by that.
    pub(crate) fn claim(&self, request: &Request) -> Result<Option<Claim>, Error> {
        let mut index = lock(&self.index);
        let content = request.task.as_ref().ok().map(Task::fingerprint);
        let key = match &request.id {
            Some(id) => claim_id(&mut index, id, content)?,
            None => content.map(|content| claim_content(&mut index, content)),
        };
        let (Some(key), Some(content)) = (key, content) else {
            return Ok(None);
        };
        let known = index.get(&key);
        Ok(Some(Claim {
            key,
            content,
            id: request.id.clone(),
            stage: known.map_or(Stage::NotStarted, |entry| entry.stage),
            offset: known.map_or(0, |entry| entry.offset),
            answers: match &request.task {
                Ok(Task::Resume(resume)) => Some((resume.event_id.clone(), resume.mode)),
                _ => None,
            },
            sent: Cell::new(false),
            looked_at: Cell::new(false),
        }))
    }

    /// What is left to be done after what an earlier process did.
    pub(crate) fn recall(&self, claim: &Claim, task: Task) -> Recall {
        match (claim.stage, task) {
            (Stage::NotStarted, task) => Recall::Act(task),
            // Whose run it is about is known, so what is to be found out is found out first.
            (Stage::Starting, Task::Resume(resume)) if resume.execute_id.is_some() => {
                Self::look_at_resumed(claim, resume)
            }
            (Stage::Starting | Stage::Unanswered, task) if self.rerun_unknown => Recall::Act(task),
            (Stage::Unanswered, Task::Resume(resume)) => Self::look_at_resumed(claim, resume),
            (Stage::Starting | Stage::Unanswered, _) => answer(Self::lost()),
            (Stage::Started, task) => self.look_at_started(claim, task),
            (Stage::Answered, task) => self.answer_again(claim, task),
        }
    }

    fn look_at_resumed(claim: &Claim, resume: Resume) -> Recall {
        let Some(execute_id) = resume.execute_id else {
            return answer(Self::lost());
        };
        claim.looked_at.set(true);
        Recall::Act(Task::Watch(Watch {
            workflow_id: resume.workflow_id,
            execute_id,
            mode: Some(resume.mode),
        }))
    }

    fn lost() -> Error {
        let message = "an earlier process was about to start the run, and left no execute_id";
        Error::new(Kind::Unknown, message).with_hint(Some(look_or_rerun()))
    }

    fn unanswered() -> Error {
        let message =
            "an earlier process was about to send the answer, and the run still waits for it";
        Error::new(Kind::Unknown, message).hint(
            "look at Coze before answering again; --rerun-unknown answers again",
            "再次回答之前，请先到扣子上查看；--rerun-unknown 会再次回答",
        )
    }

    /// To be called before a run, or an answer to an interrupt, is sent: an error forbids it.
    pub(crate) fn starting(&self, claim: &Claim) -> Result<(), Error> {
        self.append(&self.line(claim, Stage::Starting))?;
        claim.sent.set(true);
        Ok(())
    }

    /// The run is known by its id. That this can't be written is told at the end.
    pub(crate) fn started(&self, claim: &Claim, execute_id: &str, mode: Mode) {
        let _ = self.append(&Line {
            execute_id: Some(execute_id),
            mode: Some(mode.word()),
            ..self.line(claim, Stage::Started)
        });
    }

    /// Remembers what it came to. The key must be masked in the response by now.
    pub(crate) fn settle(&self, claim: &Claim, response: &mut Response) -> Result<(), Error> {
        if claim.looked_at.get() {
            correct(response);
            if still_waits(claim, response) {
                response.verdict = Verdict::Error(Self::unanswered());
                return self.append(&self.line(claim, Stage::Unanswered));
            }
        }
        let stage = match response.kind() {
            Some(Kind::Running) => return self.settle_running(claim, response),
            Some(Kind::Unknown) if !response.execute_id.is_empty() => {
                return self.settle_running(claim, response);
            }
            None | Some(Kind::Failed | Kind::Interrupted | Kind::Unknown) => Stage::Answered,
            Some(Kind::Refused | Kind::Unreachable | Kind::Usage | Kind::Config | Kind::Io) => {
                if !claim.sent.get() {
                    return Ok(());
                }
                Stage::NotStarted
            }
        };
        self.append(&Line {
            response: Some(&*response),
            ..self.line(claim, stage)
        })
    }

    /// It will be looked at again by its `execute_id`. That of a run was told when it was started;
    /// that of an interrupted run was known before, and proved nothing then.
    fn settle_running(&self, claim: &Claim, response: &Response) -> Result<(), Error> {
        if let (Some((_, mode)), true) = (&claim.answers, claim.sent.get()) {
            self.started(claim, &response.execute_id, *mode);
        }
        lock(&self.tail).check()
    }

    fn look_at_started(&self, claim: &Claim, task: Task) -> Recall {
        let bytes = match self.read(claim) {
            Ok(bytes) => bytes,
            Err(trouble) => return answer(trouble),
        };
        let Ok(line) = serde_json::from_slice::<Line<'_, IgnoredAny>>(&bytes) else {
            return answer(self.unreadable("it has changed"));
        };
        claim.looked_at.set(true);
        Recall::Act(Task::Watch(Watch {
            workflow_id: workflow_id(task),
            execute_id: line.execute_id.unwrap_or_default().to_owned(),
            mode: line.mode.map(recorded::mode),
        }))
    }

    fn answer_again(&self, claim: &Claim, task: Task) -> Recall {
        let bytes = match self.read(claim) {
            Ok(bytes) => bytes,
            Err(trouble) => return answer(trouble),
        };
        let response = serde_json::from_slice::<Line<'_, &RawValue>>(&bytes)
            .ok()
            .and_then(|line| recorded::parse(line.response?.get()));
        let Some(mut response) = response else {
            return answer(self.unreadable("it has changed"));
        };
        match &mut response.verdict {
            Verdict::Error(trouble) if trouble.kind == Kind::Unknown => {
                if self.rerun_unknown {
                    return Recall::Act(task);
                }
                trouble.hint = Some(look_or_rerun());
            }
            // Since then somebody may have answered it, and looking costs nothing.
            Verdict::Interrupted(..) if matches!(task, Task::Watch(_)) => return Recall::Act(task),
            _ => {}
        }
        Recall::Answer(Box::new(response))
    }

    fn line<'l>(&self, claim: &'l Claim, stage: Stage) -> Line<'l, &'l Response> {
        Line {
            at: self.clock.unix(),
            stage,
            key: claim.key,
            content: claim.content,
            id: claim.id.as_deref(),
            execute_id: None,
            mode: None,
            response: None,
        }
    }

    /// Writes a line and waits until it is on the disk. Jobs that write at the same time are served
    /// by one sync: whoever comes to it first syncs for all.
    fn append(&self, line: &impl Serialize) -> Result<(), Error> {
        let number = {
            let mut tail = lock(&self.tail);
            tail.check()?;
            let written = write_line(&self.file, line);
            written.map_err(|error| self.fail(&mut tail, &error))?;
            tail.lines += 1;
            tail.lines
        };
        let mut synced = lock(&self.synced);
        if *synced >= number {
            return Ok(());
        }
        let lines = {
            let tail = lock(&self.tail);
            tail.check()?;
            tail.lines
        };
        let written = self.file.sync_data();
        written.map_err(|error| self.fail(&mut lock(&self.tail), &error))?;
        *synced = lines;
        Ok(())
    }

    /// After half a line, or a sync of which nobody knows what it left out, nothing is written.
    fn fail(&self, tail: &mut Tail, error: &io::Error) -> Error {
        let sentence = format!("cannot write the journal {}: {error}", self.name);
        Error::new(Kind::Io, tail.fault.get_or_insert(sentence).as_str())
    }

    /// The line of an earlier process that tells how far a request came.
    fn read(&self, claim: &Claim) -> Result<Vec<u8>, Error> {
        // Lines are appended wherever the file is read, but nobody else may read meanwhile.
        let _tail = lock(&self.tail);
        let mut line = Vec::new();
        let mut file = BufReader::new(&self.file);
        file.seek(SeekFrom::Start(claim.offset))
            .and_then(|_| file.read_until(b'\n', &mut line))
            .map_err(|error| self.unreadable(&error.to_string()))?;
        Ok(line)
    }

    fn unreadable(&self, why: &str) -> Error {
        Error::new(
            Kind::Io,
            format!("cannot read the journal {}: {why}", self.name),
        )
    }
}

/// One line: how far a request came. The last line of a request counts.
#[derive(Serialize, Deserialize)]
struct Line<'a, R> {
    /// Seconds since 1970.
    at: u64,
    stage: Stage,
    key: Fingerprint,
    content: Fingerprint,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execute_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<R>,
}

/// The first line.
#[derive(Serialize, Deserialize)]
struct Header {
    coze_workflow_journal: u32,
    base_url: String,
}

fn open_locked(path: &Path, name: &str) -> Result<File, Error> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| unusable(name, &error))?;
    let metadata = file.metadata().map_err(|error| unusable(name, &error))?;
    if !metadata.is_file() {
        return Err(Error::config(format!("{name} is no regular file")).hint(
            "a journal must still be there when the program is started again",
            "程序再次启动时，运行记录必须还在",
        ));
    }
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::config(format!(
            "the journal {name} is in use by another process"
        ))
        .hint(
            "wait for its end, or give each process a journal of its own",
            "请等它结束，或让每个进程各用自己的运行记录",
        )),
        Err(TryLockError::Error(error)) => Err(Error::config(format!(
            "the journal {name} cannot be locked: {error}"
        ))
        .hint(
            "put it on a file system that can lock, such as a local disk",
            "请放在支持文件锁的文件系统上，例如本地磁盘",
        )),
    }
}

fn unusable(name: &str, error: &io::Error) -> Error {
    Error::config(format!("cannot use the journal {name}: {error}"))
}

/// False for a file that is empty, or whose only line is the beginning of the header that would be
/// written: an earlier process was killed in the middle of it.
fn is_journal(file: &File, name: &str, base_url: &str) -> Result<bool, Error> {
    /// Of what is no journal no more than this is read. A header is shorter.
    const LIMIT: u64 = 64 << 10;
    let mut line = Vec::new();
    BufReader::new(file.take(LIMIT))
        .read_until(b'\n', &mut line)
        .map_err(|error| unusable(name, &error))?;
    if header(base_url).as_bytes().starts_with(&line) && !line.ends_with(b"\n") {
        return Ok(false);
    }
    let Ok(header) = serde_json::from_slice::<Header>(&line) else {
        return Err(Error::config(format!("{name} is not a journal")).hint(
            "it is left as it is; --journal needs a new file or a journal",
            "该文件未作改动；--journal 需要新文件或已有的运行记录",
        ));
    };
    if header.coze_workflow_journal != VERSION {
        let version = header.coze_workflow_journal;
        let sentence = format!("the journal {name} is of format {version}, not {VERSION}");
        return Err(Error::config(sentence).hint(
            "use the version of the program that wrote it",
            "请使用写下它的那个版本的程序",
        ));
    }
    if header.base_url != base_url {
        let other = header.base_url;
        let sentence = format!("the journal {name} is of {other}, not {base_url}");
        return Err(Error::config(sentence).hint(
            "give each base URL a journal of its own",
            "请让每个服务地址各用自己的运行记录",
        ));
    }
    Ok(true)
}

fn header(base_url: &str) -> String {
    let header = Header {
        coze_workflow_journal: VERSION,
        base_url: base_url.to_owned(),
    };
    serde_json::to_string(&header).expect("two plain fields") + "\n"
}

fn write_header(mut file: &File, base_url: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all(header(base_url).as_bytes())?;
    file.sync_data()
}

/// So that the file has its name after a power cut. Not every file system can do it.
fn sync_directory(path: &Path) {
    let directory = match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    };
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
}

/// Reads what is behind the header, and cuts off a last line that is not whole: it was not synced
/// yet, so nothing was done because of it.
fn read_lines(mut file: &File, name: &str) -> Result<HashMap<Fingerprint, Entry>, Error> {
    let unusable = |error: io::Error| unusable(name, &error);
    let mut index = HashMap::new();
    file.seek(SeekFrom::Start(0)).map_err(unusable)?;
    let mut lines = BufReader::new(file);
    let mut offset = lines.skip_until(b'\n').map_err(unusable)? as u64;
    let mut bytes = Vec::new();
    for number in 2.. {
        bytes.clear();
        let length = lines.read_until(b'\n', &mut bytes).map_err(unusable)?;
        if length == 0 {
            break;
        }
        let line = serde_json::from_slice::<Line<'_, IgnoredAny>>(&bytes);
        let Some(line) = line.ok().filter(|_| bytes.ends_with(b"\n")) else {
            if lines.fill_buf().map_err(unusable)?.is_empty() {
                file.set_len(offset).map_err(unusable)?;
                break;
            }
            let sentence = format!("the journal {name} is damaged in line {number}");
            return Err(Error::config(sentence).hint(
                "look at Coze for the run that stood there before using it again",
                "再次使用之前，请先到扣子上查看该行所记的运行",
            ));
        };
        let entry = Entry {
            content: line.content,
            offset,
            taken: 0,
            stage: line.stage,
        };
        index.insert(line.key, entry);
        offset += length as u64;
    }
    Ok(index)
}

fn write_line(file: &File, line: &impl Serialize) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn claim_id(
    index: &mut HashMap<Fingerprint, Entry>,
    id: &RawValue,
    content: Option<Fingerprint>,
) -> Result<Option<Fingerprint>, Error> {
    let key = Fingerprint::of(&["id", id.get()]);
    // Of a request that can't be understood only the id counts.
    let entry = index
        .entry(key)
        .or_insert_with(|| Entry::new(content.unwrap_or(key)));
    if entry.taken > 0 {
        let sentence = format!("the id {} stood in this input before", id.get());
        return Err(Error::usage(sentence).hint(
            "with a journal each request needs an id of its own, or none",
            "使用运行记录时，每个请求的 id 必须各不相同，或都不带 id",
        ));
    }
    entry.taken = 1;
    if content.is_some_and(|content| content != entry.content) {
        let sentence = format!("the journal knows the id {} with other content", id.get());
        return Err(Error::usage(sentence).hint(
            "give what is new a new id, or use another journal",
            "内容不同的请求请换一个 id，或使用另一份运行记录",
        ));
    }
    Ok(Some(key))
}

fn claim_content(index: &mut HashMap<Fingerprint, Entry>, content: Fingerprint) -> Fingerprint {
    let entry = index.entry(content).or_insert_with(|| Entry::new(content));
    let before = entry.taken;
    entry.taken += 1;
    match before {
        0 => content,
        _ => Fingerprint::of(&["again", &content.to_string(), &before.to_string()]),
    }
}

impl Entry {
    fn new(content: Fingerprint) -> Self {
        Self {
            content,
            offset: 0,
            taken: 0,
            stage: Stage::NotStarted,
        }
    }
}

/// When a look is refused, the run that was started goes on all the same.
fn correct(response: &mut Response) {
    if let Verdict::Error(trouble) = &mut response.verdict
        && trouble.kind == Kind::Refused
    {
        trouble.kind = Kind::Running;
        trouble.message = format!("the run can't be looked at: {}", trouble.message);
    }
}

/// Whether the run waits for the very answer that may have been sent.
fn still_waits(claim: &Claim, response: &Response) -> bool {
    match (&response.verdict, &claim.answers) {
        (Verdict::Interrupted(interrupt, _), Some((event_id, _))) => {
            interrupt.event_id == *event_id
        }
        _ => false,
    }
}

fn answer(trouble: Error) -> Recall {
    Recall::Answer(Box::new(Response::unsent(trouble)))
}

fn workflow_id(task: Task) -> String {
    match task {
        Task::Stream(start) | Task::Background(start) => start.workflow_id,
        Task::Watch(watch) => watch.workflow_id,
        Task::Resume(resume) => resume.workflow_id,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;
    use crate::coze::event::Interrupt;
    use crate::input::request::Manner;
    use crate::text::Text;
    use crate::time::scripted::ScriptedClock;

    const BASE: &str = "https://api.coze.cn";
    const RUN: &str = r#"{"workflow_id":"7","parameters":{"a":1}}"#;
    const WATCH: &str = r#"{"workflow_id":"7","execute_id":"9"}"#;
    const RESUME: &str =
        r#"{"workflow_id":"7","event_id":"9/1","interrupt_type":2,"resume_data":"x"}"#;

    /// A journal's path, in a directory that goes with it.
    struct Bench(tempfile::TempDir);

    impl Bench {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("journal")
        }

        fn try_open(&self, base_url: &str) -> Result<Journal<'static>, String> {
            let clock: &'static ScriptedClock = Box::leak(Box::default());
            Journal::open(&self.path(), base_url, false, clock).map_err(|error| error.message)
        }

        #[track_caller]
        fn open(&self) -> Journal<'static> {
            self.try_open(BASE).unwrap()
        }

        #[track_caller]
        fn open_to_rerun(&self) -> Journal<'static> {
            Journal {
                rerun_unknown: true,
                ..self.open()
            }
        }

        /// A process that takes the request, sends it, and gets that far before it is killed.
        #[track_caller]
        fn sent(&self, request: &str, then: impl FnOnce(&Journal<'_>, &Claim)) {
            let journal = self.open();
            let claim = claim(&journal, request);
            journal.starting(&claim).unwrap();
            then(&journal, &claim);
        }

        #[track_caller]
        fn sent_and_settled(&self, request: &str, mut response: Response) {
            self.sent(request, |journal, claim| {
                journal.settle(claim, &mut response).unwrap();
            });
        }
    }

    #[track_caller]
    fn claim(journal: &Journal<'_>, request: &str) -> Claim {
        try_claim(journal, request).unwrap().unwrap()
    }

    fn try_claim(journal: &Journal<'_>, request: &str) -> Result<Option<Claim>, String> {
        let request = Request::parse(request, Manner::default());
        journal.claim(&request).map_err(|error| error.message)
    }

    #[track_caller]
    fn recall(journal: &Journal<'_>, request: &str) -> Recall {
        let task = Request::parse(request, Manner::default()).task.unwrap();
        journal.recall(&claim(journal, request), task)
    }

    #[track_caller]
    fn answers(recall: Recall) -> Response {
        match recall {
            Recall::Answer(response) => *response,
            Recall::Act(task) => panic!("{task:?}"),
        }
    }

    #[track_caller]
    fn acts(recall: Recall) -> Task {
        match recall {
            Recall::Act(task) => task,
            Recall::Answer(response) => panic!("{response:?}"),
        }
    }

    fn response(verdict: Verdict, execute_id: &str) -> Response {
        Response {
            verdict,
            execute_id: execute_id.to_owned(),
            output: Text::from_plain("{\"a\":\"\n\"}"),
            ..Response::unsent(Error::new(Kind::Unknown, ""))
        }
    }

    fn trouble(kind: Kind) -> Verdict {
        Verdict::Error(Error::new(kind, "why"))
    }

    fn interrupted(event_id: &str) -> Verdict {
        let interrupt = Interrupt {
            event_id: event_id.to_owned(),
            r#type: 2,
            data: None,
            required_parameters: None,
            node_title: None,
        };
        Verdict::Interrupted(interrupt, Mode::Stream)
    }

    #[test]
    fn a_new_journal_is_readable_by_its_owner_only_and_names_its_base_url() {
        let bench = Bench::new();
        drop(bench.open());
        let mode = fs::metadata(bench.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            fs::read_to_string(bench.path()).unwrap(),
            "{\"coze_workflow_journal\":1,\"base_url\":\"https://api.coze.cn\"}\n"
        );
    }

    #[test]
    fn a_file_that_is_no_journal_is_refused_and_left_as_it_is() {
        let bench = Bench::new();
        for text in ["\n", "hello", "{}\n", "{\"workflow_id\":\"7\"}\n"] {
            fs::write(bench.path(), text).unwrap();
            let sentence = bench.try_open(BASE).err().unwrap();
            assert!(sentence.ends_with("is not a journal"), "{sentence}");
            assert_eq!(fs::read_to_string(bench.path()).unwrap(), text);
        }
        fs::remove_file(bench.path()).unwrap();
        fs::create_dir(bench.path()).unwrap();
        assert!(bench.try_open(BASE).is_err());
    }

    #[test]
    fn a_device_is_no_journal() {
        let clock = ScriptedClock::default();
        let opened = Journal::open(Path::new("/dev/null"), BASE, false, &clock);
        assert_eq!(
            opened.err().unwrap().message,
            "/dev/null is no regular file"
        );
    }

    #[test]
    fn a_journal_of_another_base_url_or_format_is_refused() {
        let bench = Bench::new();
        drop(bench.open());
        let sentence = bench.try_open("https://api.coze.com").err().unwrap();
        let end = "is of https://api.coze.cn, not https://api.coze.com";
        assert!(sentence.ends_with(end), "{sentence}");
        fs::write(bench.path(), header(BASE).replace(":1,", ":2,")).unwrap();
        let sentence = bench.try_open(BASE).err().unwrap();
        assert!(sentence.ends_with("is of format 2, not 1"), "{sentence}");
    }

    #[test]
    fn a_journal_in_use_is_refused() {
        let bench = Bench::new();
        let _first = bench.open();
        let sentence = bench.try_open(BASE).err().unwrap();
        assert!(
            sentence.ends_with("is in use by another process"),
            "{sentence}"
        );
    }

    #[test]
    fn a_header_cut_anywhere_is_begun_anew() {
        let bench = Bench::new();
        for length in 0..header(BASE).len() {
            fs::write(bench.path(), &header(BASE)[..length]).unwrap();
            drop(bench.open());
            assert_eq!(fs::read_to_string(bench.path()).unwrap(), header(BASE));
        }
    }

    #[test]
    fn a_last_line_cut_anywhere_is_as_if_it_were_not_there() {
        let bench = Bench::new();
        bench.sent(RUN, |journal, claim| {
            journal.started(claim, "9", Mode::Async);
        });
        let whole = fs::read(bench.path()).unwrap();
        let line_end = |bytes: &[u8]| bytes.iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
        let last = line_end(&whole[..whole.len() - 1]);
        for length in last..whole.len() {
            fs::write(bench.path(), &whole[..length]).unwrap();
            let journal = bench.open();
            assert_eq!(claim(&journal, RUN).stage, Stage::Starting);
            assert_eq!(fs::read(bench.path()).unwrap(), &whole[..last]);
        }
    }

    #[test]
    fn a_journal_that_is_damaged_in_the_middle_is_refused() {
        let bench = Bench::new();
        bench.sent(RUN, |_, _| {});
        let text = fs::read_to_string(bench.path()).unwrap();
        let damaged = text.replace("starting", "star\n") + "\n";
        fs::write(bench.path(), damaged).unwrap();
        let sentence = bench.try_open(BASE).err().unwrap();
        assert!(sentence.ends_with("is damaged in line 2"), "{sentence}");
    }

    #[test]
    fn what_ended_is_answered_again_byte_for_byte() {
        for verdict in [Verdict::Success, trouble(Kind::Failed), interrupted("9/1")] {
            let bench = Bench::new();
            let first = response(verdict, "9");
            let text = serde_json::to_string(&first).unwrap();
            bench.sent_and_settled(RUN, first);
            let again = answers(recall(&bench.open(), RUN));
            assert_eq!(serde_json::to_string(&again).unwrap(), text);
        }
    }

    #[test]
    fn what_was_not_started_is_tried_again() {
        for kind in [Kind::Refused, Kind::Unreachable] {
            let bench = Bench::new();
            bench.sent_and_settled(RUN, response(trouble(kind), ""));
            assert!(matches!(acts(recall(&bench.open(), RUN)), Task::Stream(_)));
        }
    }

    #[test]
    fn what_may_have_been_started_is_unknown_until_it_is_to_be_run_again() {
        let bench = Bench::new();
        bench.sent(RUN, |_, _| {});
        let unknown = answers(recall(&bench.open(), RUN));
        assert_eq!(unknown.kind(), Some(Kind::Unknown));
        assert_eq!(
            unknown.error().unwrap().line(),
            "unknown: an earlier process was about to start the run, and left no execute_id \
             (look at Coze before running it again; --rerun-unknown runs it again)"
        );
        let task = acts(recall(&bench.open_to_rerun(), RUN));
        assert!(matches!(task, Task::Stream(_)));
    }

    #[test]
    fn what_ended_unknown_is_told_again_in_the_same_words() {
        let bench = Bench::new();
        bench.sent_and_settled(RUN, response(trouble(Kind::Unknown), ""));
        let unknown = answers(recall(&bench.open(), RUN));
        let error = unknown.error().unwrap();
        assert_eq!(
            (error.message.as_str(), error.hint.clone()),
            ("why", Some(look_or_rerun()))
        );
        assert!(matches!(
            acts(recall(&bench.open_to_rerun(), RUN)),
            Task::Stream(_)
        ));
    }

    #[test]
    fn what_is_known_by_its_execute_id_is_looked_at_even_when_unknown_is_run_again() {
        for kind in [Kind::Running, Kind::Unknown] {
            let bench = Bench::new();
            bench.sent(RUN, |journal, claim| {
                journal.started(claim, "9", Mode::Async);
                let mut response = response(trouble(kind), "9");
                journal.settle(claim, &mut response).unwrap();
            });
            let watch = Watch {
                workflow_id: "7".to_owned(),
                execute_id: "9".to_owned(),
                mode: Some(Mode::Async),
            };
            assert_eq!(
                acts(recall(&bench.open_to_rerun(), RUN)),
                Task::Watch(watch)
            );
        }
    }

    #[test]
    fn a_refused_look_at_what_was_started_does_not_make_it_not_started() {
        let bench = Bench::new();
        bench.sent(RUN, |journal, claim| {
            journal.started(claim, "9", Mode::Stream);
        });
        let journal = bench.open();
        let claim = claim(&journal, RUN);
        journal.recall(&claim, Request::parse(RUN, Manner::default()).task.unwrap());
        let mut refused = response(trouble(Kind::Refused), "9");
        journal.settle(&claim, &mut refused).unwrap();
        assert_eq!(refused.kind(), Some(Kind::Running));
        drop(journal);
        assert!(matches!(acts(recall(&bench.open(), RUN)), Task::Watch(_)));
    }

    #[test]
    fn a_watch_is_answered_again_when_the_run_ended_and_else_looks_again() {
        let ends = [(Verdict::Success, true), (interrupted("9/1"), false)];
        for (verdict, ended) in ends {
            let bench = Bench::new();
            let journal = bench.open();
            let mut first = response(verdict, "9");
            journal.settle(&claim(&journal, WATCH), &mut first).unwrap();
            drop(journal);
            let recall = recall(&bench.open(), WATCH);
            assert_eq!(matches!(recall, Recall::Answer(_)), ended);
        }
    }

    #[test]
    fn a_resume_that_may_have_been_sent_is_looked_at_first() {
        let bench = Bench::new();
        bench.sent(RESUME, |_, _| {});
        assert!(matches!(
            acts(recall(&bench.open_to_rerun(), RESUME)),
            Task::Watch(_)
        ));
    }

    #[test]
    fn a_resume_whose_run_still_waits_is_sent_again_only_when_asked_for() {
        let bench = Bench::new();
        bench.sent(RESUME, |_, _| {});
        let journal = bench.open();
        let claim = claim(&journal, RESUME);
        let task = Request::parse(RESUME, Manner::default()).task.unwrap();
        journal.recall(&claim, task);
        let mut waits = response(interrupted("9/1"), "9");
        journal.settle(&claim, &mut waits).unwrap();
        assert_eq!(waits.kind(), Some(Kind::Unknown));
        drop(journal);
        assert!(matches!(
            acts(recall(&bench.open(), RESUME)),
            Task::Watch(_)
        ));
        assert!(matches!(
            acts(recall(&bench.open_to_rerun(), RESUME)),
            Task::Resume(_)
        ));
    }

    #[test]
    fn a_resume_that_goes_on_running_is_never_sent_again() {
        let bench = Bench::new();
        bench.sent_and_settled(RESUME, response(trouble(Kind::Running), "9"));
        assert!(matches!(
            acts(recall(&bench.open_to_rerun(), RESUME)),
            Task::Watch(_)
        ));
    }

    #[test]
    fn an_id_stands_once_in_an_input_and_for_one_content() {
        let bench = Bench::new();
        let journal = bench.open();
        let (one, other) = (
            r#"{"id":"x","workflow_id":"7"}"#,
            r#"{"id":"x","workflow_id":"8"}"#,
        );
        journal.starting(&claim(&journal, one)).unwrap();
        let twice = r#"the id "x" stood in this input before"#;
        assert_eq!(try_claim(&journal, one).unwrap_err(), twice);
        drop(journal);
        let sentence = r#"the journal knows the id "x" with other content"#;
        assert_eq!(try_claim(&bench.open(), other).unwrap_err(), sentence);
        assert_eq!(claim(&bench.open(), one).stage, Stage::Starting);
    }

    #[test]
    fn an_id_is_told_apart_byte_for_byte() {
        let bench = Bench::new();
        let journal = bench.open();
        for id in ["1", "1.0", "\"1\"", r#""\u0031""#, "[1]", "[ 1]"] {
            claim(&journal, &format!(r#"{{"id":{id},"workflow_id":"7"}}"#));
        }
    }

    #[test]
    fn requests_without_an_id_are_told_apart_by_content_and_then_by_number() {
        let bench = Bench::new();
        bench.sent(RUN, |journal, _| {
            let second = claim(journal, RUN);
            journal.started(&second, "9", Mode::Stream);
        });
        let journal = bench.open();
        let stages: Vec<_> = (0..3).map(|_| claim(&journal, RUN).stage).collect();
        assert_eq!(stages, [Stage::Starting, Stage::Started, Stage::NotStarted]);
    }

    #[test]
    fn a_journal_that_cannot_be_written_starts_nothing_from_then_on() {
        let bench = Bench::new();
        let mut journal = bench.open();
        journal.file = File::open(bench.path()).unwrap();
        let claim = claim(&journal, RUN);
        let trouble = journal.starting(&claim).unwrap_err();
        assert_eq!(trouble.kind, Kind::Io);
        assert!(trouble.message.starts_with("cannot write the journal"));
        journal.file = File::options().append(true).open(bench.path()).unwrap();
        assert_eq!(journal.starting(&claim), Err(trouble.clone()));
        let mut success = response(Verdict::Success, "9");
        assert_eq!(journal.settle(&claim, &mut success), Err(trouble));
    }

    #[test]
    fn a_few_dozen_bytes_are_held_of_each_request() {
        assert_eq!(size_of::<(Fingerprint, Entry)>(), 48);
    }

    #[test]
    fn jobs_write_side_by_side_and_every_line_stays_whole() {
        let bench = Bench::new();
        let journal = bench.open();
        std::thread::scope(|scope| {
            for row in 0..16 {
                let claim = claim(&journal, &format!(r#"{{"id":{row},"workflow_id":"7"}}"#));
                let journal = &journal;
                scope.spawn(move || journal.starting(&claim).unwrap());
            }
        });
        drop(journal);
        assert_eq!(lock(&bench.open().index).len(), 16);
    }
}
