//! Where requests come from: `-w`, `--request`, the files, else standard input. All are opened before
//! anything is sent.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Cursor, IsTerminal, Read};
use std::path::{Path, PathBuf};

use super::params::{self, FileParameter};
use super::reader::{Door, Requests};
use crate::cli::{Options, help};
use crate::error::{Error, Hint};
use crate::service;
use crate::time::Patient;

/// So much is read twice, so that a person can be told how far the work is.
const COUNTED: u64 = 64 << 20;

/// One place that requests come from.
pub(crate) type Input = Requests<Box<dyn Read + Send>>;

/// Opens all of them, and the files of parameters.
pub(crate) fn open(options: &Options) -> Result<(Vec<Input>, Vec<FileParameter>), Error> {
    let mut inputs = Vec::new();
    let mut files = Vec::new();
    if options.gives_request() {
        let service = service::of(options.service);
        if options.workflow.is_none() && service.has_workflow_ids() {
            return Err(Error::usage("--param needs --workflow").hint(
                "-w says which workflow takes it",
                "用 -w 指明把参数交给哪个工作流",
            ));
        }
        let text;
        (text, files) = params::request(options.workflow.as_deref(), &options.params)?;
        if let Some(error) = service.refuse("file").filter(|_| !files.is_empty()) {
            return Err(error);
        }
        inputs.push(argument(text));
    }
    if let Some(request) = &options.request {
        refuse_file_name(request)?;
        inputs.push(argument(request.clone()));
    }
    for path in &options.files {
        inputs.push(open_file(path)?);
    }
    // Nobody is asked to type one.
    if inputs.is_empty() && !io::stdin().is_terminal() {
        inputs.push(stdin(None));
    }
    Ok((inputs, files))
}

/// How many requests there are, where they can be read ahead of their own reading: in regular files
/// that are not too large together.
pub(crate) fn count(files: &[PathBuf]) -> Option<usize> {
    let length = |path: &PathBuf| {
        let data = fs::metadata(path).ok()?;
        // `-` is standard input, which can be read once only, even where a file has that name.
        let is_file = data.is_file() && path.as_path() != Path::new("-");
        is_file.then_some(data.len())
    };
    let total: u64 = files.iter().map(length).sum::<Option<_>>()?;
    if files.is_empty() || total > COUNTED {
        return None;
    }
    let count = |path: &PathBuf| open_file(path).map(Iterator::count);
    files.iter().map(count).sum::<Result<_, _>>().ok()
}

/// `--request` with the name of a file is a mistake that JSON's own errors would hardly explain.
fn refuse_file_name(request: &str) -> Result<(), Error> {
    let path = Path::new(request);
    let extension = path.extension().and_then(OsStr::to_str);
    let is_name = matches!(extension, Some("json" | "jsonl")) || path.is_file();
    if request.trim_start().starts_with(['{', '[']) || !is_name {
        return Ok(());
    }
    let error = Error::usage("--request takes JSON, not the name of a file");
    Err(error.hint(
        "give it as FILE, without --request",
        "请直接把它作为文件参数，不用 --request",
    ))
}

fn open_file(path: &Path) -> Result<Input, Error> {
    if path == Path::new("-") {
        return Ok(stdin(Some("-".to_owned())));
    }
    let name = path.display().to_string();
    let cannot = |error: &dyn fmt::Display| Error::usage(format!("cannot read {name}: {error}"));
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = opened.map_err(|error| cannot(&error).with_hint(no_file_name(&name)))?;
    if metadata.is_dir() {
        return Err(cannot(&"it is a directory"));
    }
    let door = if metadata.is_file() {
        Door::File
    } else {
        Door::Stream
    };
    Ok(Requests::new(Box::new(file), Some(name), door))
}

/// What somebody may have meant who gave this for the name of a file.
fn no_file_name(text: &str) -> Option<Hint> {
    let is_id = text.len() > 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    if text.starts_with('{') {
        Some(Hint::new(
            "to give a request as an argument: --request",
            "要在命令行中直接给出请求，请用 --request",
        ))
    } else if is_id || text.contains("workflow_id=") {
        Some(Hint::new(
            format!("to run a workflow by its id: -w '{text}'"),
            format!("要按 ID 运行工作流：-w '{text}'"),
        ))
    } else if text == "run" || help::option_names().contains(&text) {
        Some(Hint::new(
            "whatever is no option is a FILE: see --help",
            "不是选项的内容都算作文件：见 --help",
        ))
    } else {
        None
    }
}

fn argument(text: String) -> Input {
    Requests::new(Box::new(Cursor::new(text)), None, Door::Argument)
}

fn stdin(name: Option<String>) -> Input {
    Requests::new(Box::new(Patient(io::stdin())), name, Door::Stream)
}
