//! Where requests come from: `-w`, `--request`, the files, else standard input. All are opened before
//! anything is sent.

use std::fs::{self, File};
use std::io::{self, Cursor, IsTerminal, Read};
use std::iter;
use std::path::{Path, PathBuf};

use super::params::{self, FileParameter};
use super::reader::Requests;
use crate::cli::Options;
use crate::error::Error;

/// So much is read twice, so that a person can be told how far the work is.
const COUNTED: u64 = 64 << 20;

/// One place that requests come from.
pub(crate) type Input = Requests<Box<dyn Read + Send>>;

/// Opens all of them, and the files of parameters.
pub(crate) fn open(options: &Options) -> Result<(Vec<Input>, Vec<FileParameter>), Error> {
    let mut inputs = Vec::new();
    let mut files = Vec::new();
    if let Some(workflow) = &options.workflow {
        let text;
        (text, files) = params::request(workflow, &options.params)?;
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
        inputs.push(input(io::stdin(), None));
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
    let count = |path: &PathBuf| {
        let mut input = open_file(path).ok()?;
        Some(iter::from_fn(|| input.next()).count())
    };
    files.iter().map(count).sum()
}

/// `--request` with the name of a file is a mistake that JSON's own errors would hardly explain.
fn refuse_file_name(request: &str) -> Result<(), Error> {
    let is_json = request.trim_start().starts_with(['{', '[']);
    let extension = Path::new(request).extension();
    let names_json = extension.is_some_and(|extension| extension == "json" || extension == "jsonl");
    if is_json || !(names_json || Path::new(request).is_file()) {
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
        return Ok(input(io::stdin(), Some("-".to_owned())));
    }
    let name = path.display().to_string();
    let cannot = |error: io::Error| {
        let error = Error::usage(format!("cannot read {name}: {error}"));
        if name.starts_with('{') {
            return error.hint(
                "to give a request as an argument: --request",
                "要在命令行中直接给出请求，请用 --request",
            );
        }
        error
    };
    let file = File::open(path).map_err(cannot)?;
    let kind = file.metadata().map_err(cannot)?.file_type();
    if kind.is_dir() {
        let message = format!("cannot read {name}: it is a directory");
        return Err(Error::usage(message));
    }
    let input = input(file, Some(name));
    Ok(if kind.is_file() {
        input.without_waiting()
    } else {
        input
    })
}

fn argument(text: String) -> Input {
    input(Cursor::new(text.into_bytes()), None)
        .of_argument()
        .without_waiting()
}

fn input(bytes: impl Read + Send + 'static, name: Option<String>) -> Input {
    Requests::new(Box::new(bytes), name)
}
