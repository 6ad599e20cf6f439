//! `-w ID -p NAME=VALUE…` → the text of one request, so that all that follows is as with any other,
//! and the files among its parameters, which are uploaded before it is sent. Sends nothing itself.
//! Forms: <https://httpie.io/docs/cli/request-items>.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, Take};
use std::path::Path;

use serde_json::value::RawValue;

use super::fingerprint::Fingerprint;
use super::object::{Object, quoted};
use super::reader::REQUEST_LIMIT;
use crate::error::Error;

/// The request that the options give, and the files that its parameters name by their hashes.
pub(crate) fn request(
    workflow: Option<&str>,
    params: &[String],
) -> Result<(String, Vec<FileParameter>), Error> {
    let mut names = Vec::new();
    let mut files = Vec::new();
    let mut parameters = Object::default();
    for argument in params {
        // The first of `:=`, `=`, `@` ends the NAME.
        let place = argument.bytes().position(|byte| b"=@".contains(&byte));
        let (before, signed) = argument.split_at(place.unwrap_or_default());
        let json_name = before.strip_suffix(':').filter(|_| signed.starts_with('='));
        let name = json_name.unwrap_or(before);
        if name.is_empty() {
            let forms = "NAME=TEXT, NAME:=JSON and NAME@FILE";
            return Err(Error::usage(format!("--param {argument:?} is none of {forms}")).hint(
                "such as city=北京, days:=3 or image@cat.png; a text or JSON in a file is =@FILE or :=@FILE",
                "例如 city=北京、days:=3 或 image@cat.png；文件中的文本或 JSON 写作 =@文件 或 :=@文件",
            ));
        }
        if names.contains(&name) {
            let error = Error::usage(format!("--param {name} was given twice"));
            return Err(error.hint("leave one of them out", "请去掉其中一个"));
        }
        names.push(name);
        let Some(value) = signed.strip_prefix('=') else {
            let file = FileParameter::open(name, &signed[1..])?;
            parameters.push(name, &file.placeholder());
            files.push(file);
            continue;
        };
        let file = value.strip_prefix('@').map(|path| read(name, path));
        let file = file.transpose()?;
        let text = file.as_deref().unwrap_or(value);
        let json = match json_name {
            Some(_) => json(name, text)?,
            None => quoted(text),
        };
        parameters.push(name, &json);
    }
    let mut body = Object::about(workflow);
    if !params.is_empty() {
        body.push("parameters", &parameters.finish());
    }
    Ok((body.finish(), files))
}

/// The text of a file.
fn read(name: &str, path: &str) -> Result<String, Error> {
    // One byte more, by which it is too large.
    let limited = File::open(path).map(|file| file.take(REQUEST_LIMIT as u64 + 1));
    match limited.and_then(io::read_to_string) {
        // A byte order mark, which PowerShell writes, is no part of it.
        Ok(text) if text.len() <= REQUEST_LIMIT => {
            Ok(text.trim_start_matches('\u{feff}').to_owned())
        }
        Err(error) if error.kind() != ErrorKind::InvalidData => Err(unreadable(name, path, &error)),
        _ => {
            let message = format!("--param {name}: {path} is no UTF-8 text of at most 20 MiB");
            Err(Error::usage(message).hint(
                format!("save it as UTF-8; to upload it as it is: {name}@{path}"),
                format!("请以 UTF-8 编码保存；要原样上传：{name}@{path}"),
            ))
        }
    }
}

/// Byte for byte. The white space around it is no part of it.
fn json(name: &str, text: &str) -> Result<String, Error> {
    if text.trim_ascii().is_empty() {
        let error = Error::usage(format!("--param {name}: the JSON is missing"));
        return Err(error.hint(
            format!("a variable may not be set; an empty text is given as {name}="),
            format!("可能有变量未设置；空文本请写作 {name}="),
        ));
    }
    let parsed = serde_json::from_str::<&RawValue>(text);
    parsed.map(ToString::to_string).map_err(|error| {
        Error::usage(format!("--param {name}: not valid JSON: {error}")).hint(
            "a text is given without the colon: NAME=TEXT or NAME=@FILE",
            "普通文本不写冒号：NAME=文本 或 NAME=@文件",
        )
    })
}

fn unreadable(name: &str, path: &str, error: &io::Error) -> Error {
    Error::usage(format!("--param {name}: cannot read {path:?}: {error}")).hint(
        "what follows @ is the name of a file; a text that begins with @ is given as JSON: \
         NAME:='\"@…\"'",
        "@ 之后是文件名；以 @ 开头的文本请写成 JSON：NAME:='\"@…\"'",
    )
}

/// A file that is a parameter: uploaded first, and named by its id then.
#[derive(Debug)]
pub(crate) struct FileParameter {
    name: String,
    path: String,
    file: File,
    pub(crate) length: u64,
    hash: Fingerprint,
}

impl FileParameter {
    fn open(name: &str, path: &str) -> Result<Self, Error> {
        let cannot = |error: io::Error| unreadable(name, path, &error);
        // Looked at before it is opened, for a pipe would be waited for.
        if !fs::metadata(path).map_err(cannot)?.is_file() {
            let error = Error::usage(format!("--param {name}: {path} is no regular file"));
            return Err(error.hint(
                "only a regular file can be uploaded: save it as one",
                "只能上传普通文件，请先保存为文件",
            ));
        }
        let mut file = File::open(path).map_err(cannot)?;
        let (mut hash, mut length, mut buffer) = (Fingerprint::EMPTY, 0, [0; 8192]);
        while let count @ 1.. = file.read(&mut buffer).map_err(cannot)? {
            hash = hash.then(&buffer[..count]);
            length += count as u64;
        }
        Ok(Self {
            name: name.to_owned(),
            path: path.to_owned(),
            file,
            length,
            hash,
        })
    }

    /// The last part of its path.
    pub(crate) fn file_name(&self) -> String {
        let name = Path::new(&self.path).file_name().unwrap_or_default();
        name.display().to_string()
    }

    /// Whether a run's body still lacks its id.
    pub(crate) fn is_awaited_in(&self, body: &str) -> bool {
        body.contains(&*self.placeholder())
    }

    /// The body with its id, also where other parameters are the same file.
    pub(crate) fn with_id(&self, id: &str, body: &str) -> String {
        let reference = quoted(&format!(r#"{{"file_id":{}}}"#, quoted(id)));
        body.replace(&*self.placeholder(), &reference)
    }

    /// What is in its place, as JSON, until it has an id. A journal knows it by its bytes.
    fn placeholder(&self) -> String {
        quoted(&format!(r#"{{"file_hash":"{}"}}"#, self.hash))
    }

    /// The bytes that were hashed. Where the file has others by now they fail before their end, so
    /// that they are never uploaded whole, and `has_changed` says why.
    pub(crate) fn reader<'a>(&'a self, has_changed: &'a Cell<bool>) -> impl Read + 'a {
        // From another place than the beginning the bytes would be others.
        let _ = (&self.file).rewind();
        SameBytes {
            bytes: (&self.file).take(self.length),
            hash: Fingerprint::EMPTY,
            expected: self.hash,
            has_changed,
        }
    }

    pub(crate) fn changed(&self) -> Error {
        self.not_uploaded(Error::usage("it has changed meanwhile").hint(
            "run the command again when nothing writes to it",
            "请在没有程序写入该文件时重新运行",
        ))
    }

    pub(crate) fn not_uploaded(&self, mut why: Error) -> Error {
        let Self { name, path, .. } = self;
        why.message = format!("--param {name}: {path} was not uploaded: {}", why.message);
        why
    }
}

struct SameBytes<'a> {
    bytes: Take<&'a File>,
    hash: Fingerprint,
    expected: Fingerprint,
    has_changed: &'a Cell<bool>,
}

impl Read for SameBytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        self.hash = self.hash.then(&buffer[..count]);
        let is_last = count == 0 && !buffer.is_empty() || self.bytes.limit() == 0;
        if is_last && self.hash != self.expected {
            self.has_changed.set(true);
            return Err(io::Error::other("the file has changed"));
        }
        Ok(count)
    }
}
