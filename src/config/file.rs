//! The places of config.json, in the order in which they count, and how one is read. A file that was
//! found and not named is obeyed only where nobody else can have put it. Never waits for a file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::Options;
use crate::error::{self, Error};

use super::env::Env;
use super::key::{Key, is_placeholder};

/// The names in a file; others are ignored, for skills keep their own settings in such files.
pub(super) const API_KEY: &str = "api_key";
pub(super) const BASE_URL_KEY: &str = "base_url";
pub(super) const SERVICE: &str = "service";
const FIELDS: [&str; 3] = [API_KEY, BASE_URL_KEY, SERVICE];

/// More than any configuration or collection of certificates, and not all of /dev/zero.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;

/// A place for a configuration file, and what was found there.
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    content: Content,
}

enum Content {
    Absent,
    /// It may be there, but nobody lets us see.
    OutOfReach,
    Fields {
        fields: BTreeMap<&'static str, String>,
        /// The names of the other texts in it: a skill's own, or ours misspelt.
        others: Vec<String>,
        /// Others than the owner may read or write it.
        is_open: bool,
    },
}

/// All places for a file. All are read, even when the first is complete: a broken file is reported
/// now, not on the day when the first one is gone.
pub(super) fn find(options: &Options, env: &Env) -> Result<Vec<ConfigFile>, Error> {
    let mut files: Vec<ConfigFile> = Vec::new();
    let variable = env.path("COZE_WORKFLOW_CONFIG");
    let named = [
        (options.config.clone(), "--config"),
        (variable, "COZE_WORKFLOW_CONFIG"),
    ];
    for (path, source) in named {
        if let Some(path) = path {
            let content = fields(&path, Some(source))?;
            files.push(ConfigFile { path, content });
        }
    }
    for directory in directories(env) {
        let path = directory.join("config.json");
        // The program may lie in one of its own places, or `--config` have named one.
        if files.iter().any(|file| is_same(&file.path, &path)) {
            continue;
        }
        let content = match fs::metadata(&path) {
            // Another user's home is one that we can't look into.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Content::OutOfReach,
            Err(_) => Content::Absent,
            Ok(_) => {
                refuse_if_everyone_may_write(&path)?;
                fields(&path, None)?
            }
        };
        files.push(ConfigFile { path, content });
    }
    Ok(files)
}

/// Where a key is best put.
pub(super) fn preferred(env: &Env) -> PathBuf {
    let state = state_directory(env).unwrap_or_else(|| "~/.openclaw".into());
    state.join("skills/coze_workflow/config.json")
}

/// Reads a text file, which `source` named if it was not found. Only a regular one: a pipe would
/// have to be waited for.
pub(super) fn read_text(what: &str, path: &Path, source: Option<&str>) -> Result<String, Error> {
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(unreadable(what, path, source, "it is no regular file"));
    }
    let bytes = read(what, path, source)?;
    // By its byte order mark, or by the empty half of its first character.
    let is_utf_16 = matches!(
        bytes[..],
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..]
    );
    let why = if is_utf_16 {
        "it is UTF-16, not UTF-8"
    } else {
        "it is not UTF-8"
    };
    match String::from_utf8(bytes) {
        Ok(text) if !is_utf_16 => Ok(text.trim_start_matches('\u{feff}').to_owned()),
        _ => Err(unreadable(what, path, source, why).hint(
            "save it as UTF-8: in PowerShell with Out-File -Encoding utf8, elsewhere with iconv",
            "请存为 UTF-8：PowerShell 中用 Out-File -Encoding utf8，其他系统可用 iconv -f GBK -t UTF-8",
        )),
    }
}

/// Reads a file whatever it is.
pub(super) fn read(what: &str, path: &Path, source: Option<&str>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST_FILE).read_to_end(&mut bytes))
        .map_err(|error| unreadable(what, path, source, error::chain(&error)))?;
    Ok(bytes)
}

/// `cannot read the configuration x, named by --config: it is no regular file`
fn unreadable(what: &str, path: &Path, source: Option<&str>, why: impl Display) -> Error {
    let path = path.display();
    let named = source.map(|source| format!(", named by {source}"));
    let named = named.unwrap_or_default();
    Error::config(format!("cannot read the {what} {path}{named}: {why}"))
}

impl ConfigFile {
    /// What it holds in this field, or why that is nothing.
    pub(super) fn text(&self, field: &str) -> Result<String, Cow<'static, str>> {
        match &self.content {
            Content::Absent => Err("not there".into()),
            Content::OutOfReach => Err("out of reach".into()),
            Content::Fields { fields, .. } => match (fields.get(field), self.misspelt(field)) {
                (Some(text), _) => Ok(text.clone()),
                (None, Some(other)) => Err(format!("not in it, but {other:?} is").into()),
                (None, None) => Err("not in it".into()),
            },
        }
    }

    /// What may have been meant as the field, where that is missing: only what can't be a skill's own.
    fn misspelt(&self, field: &str) -> Option<&str> {
        let meant: &[&str] = match field {
            API_KEY => &["apikey", "cozeapikey", "cozeapitoken"],
            BASE_URL_KEY => &["baseurl", "cozebaseurl", "cozeapibase"],
            _ => &["cozeservice"],
        };
        match &self.content {
            Content::Fields { fields, others, .. } if !fields.contains_key(field) => {
                let is_meant = |other: &&String| meant.contains(&letters(other).as_str());
                others.iter().find(is_meant).map(String::as_str)
            }
            _ => None,
        }
    }

    pub(super) fn misspelling(&self, field: &str) -> Option<String> {
        let other = self.misspelt(field)?;
        Some(format!(
            "{} has no {field:?}, but {other:?}",
            self.path.display()
        ))
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let Content::Fields {
            fields, is_open, ..
        } = &self.content
        else {
            return Vec::new();
        };
        let path = self.path.display();
        let misspelt = FIELDS
            .into_iter()
            .filter_map(|field| self.misspelling(field));
        let is_key = |text: &String| matches!(Key::parse(text), Ok(Some(_)));
        let is_open_key = *is_open && fields.get(API_KEY).is_some_and(is_key);
        let open_key = is_open_key
            .then(|| format!("{path} holds the key and is open to others: chmod 600 it"));
        misspelt.chain(open_key).collect()
    }
}

/// The directories in which a configuration is looked for without being named.
fn directories(env: &Env) -> impl Iterator<Item = PathBuf> {
    let skills = state_directory(env).map(|state| state.join("skills"));
    let own = skills
        .into_iter()
        .flat_map(|skills| ["coze_workflow", "coze-workflow"].map(|skill| skills.join(skill)));
    // The XDG Base Directory Specification ignores a relative path.
    let user = env
        .path("XDG_CONFIG_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| Some(home(env)?.join(".config")))
        .map(|config| config.join("coze-workflow"));
    skill_directories(env).into_iter().chain(own).chain(user)
}

/// Where the program may have been installed as a part of a skill: its own directory, and the one
/// above if that is the skill's folder for programs.
fn skill_directories(env: &Env) -> Vec<PathBuf> {
    let Some(executable) = &env.executable else {
        return Vec::new();
    };
    // A link in some `bin` leads to the skill, not the other way round.
    let executable = fs::canonicalize(executable).unwrap_or_else(|_| executable.clone());
    let own = executable.parent();
    let above = own
        .filter(|own| own.ends_with("bin") || own.ends_with("scripts"))
        .and_then(Path::parent);
    own.into_iter().chain(above).map(Path::to_owned).collect()
}

/// The agent's directory, found as `OpenClaw` finds it: its profile `default` is no profile.
fn state_directory(env: &Env) -> Option<PathBuf> {
    if let Some(state) = env.directory("OPENCLAW_STATE_DIR") {
        return Some(state);
    }
    let profile = env.text("OPENCLAW_PROFILE");
    Some(home(env)?.join(match profile {
        Some(profile) if !profile.eq_ignore_ascii_case("default") => {
            format!(".openclaw-{profile}")
        }
        _ => ".openclaw".to_owned(),
    }))
}

fn home(env: &Env) -> Option<PathBuf> {
    env.directory("OPENCLAW_HOME").or_else(|| env.home.clone())
}

/// Whether both names lead to the same file.
fn is_same(one: &Path, other: &Path) -> bool {
    let whole = fs::canonicalize;
    one == other || matches!((whole(one), whole(other)), (Ok(one), Ok(other)) if one == other)
}

/// Whoever can change the file could have the key sent to another machine.
fn refuse_if_everyone_may_write(path: &Path) -> Result<(), Error> {
    let what = if mode(path).is_ok_and(|mode| mode & 0o002 != 0) {
        "it"
    } else if is_in_open_directory(path)
        || fs::canonicalize(path).is_ok_and(|path| is_in_open_directory(&path))
    {
        "in its directory"
    } else {
        return Ok(());
    };
    let path = path.display();
    let sentence = format!("{path} is not obeyed: everyone may write {what}");
    Err(Error::config(sentence).hint(
        "take that permission away (chmod o-w), or name the file with --config",
        "请去掉这一权限（chmod o-w），或用 --config 指定该文件",
    ))
}

/// With the sticky bit only their owners may replace files in it.
fn is_in_open_directory(path: &Path) -> bool {
    let mode = path.parent().map(mode);
    matches!(mode, Some(Ok(mode)) if mode & 0o1002 == 0o002)
}

fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode())
}

/// Reads a file that must be there. `source` is what named it.
fn fields(path: &Path, source: Option<&str>) -> Result<Content, Error> {
    let text = read_text("configuration", path, source)?;
    let json = serde_json::from_str(&text).map_err(|error| not_json(path, &text, &error))?;
    let Value::Object(object) = json else {
        let sentence = format!("{} is not a JSON object", path.display());
        return Err(Error::config(sentence).hint(
            r#"for example {"api_key": "pat_xxx"}"#,
            r#"例如 {"api_key": "pat_xxx"}"#,
        ));
    };
    let mut fields = BTreeMap::new();
    let mut others = Vec::new();
    for (name, value) in &object {
        match (FIELDS.into_iter().find(|field| field == name), value) {
            (Some(_), Value::Null) => {}
            (Some(field), Value::String(text)) => {
                fields.insert(field, text.clone());
            }
            (Some(field), _) => {
                let path = path.display();
                return Err(Error::config(format!(
                    "{field:?} in {path} is not a string"
                )));
            }
            (None, Value::String(text)) if !is_placeholder(text) => others.push(name.clone()),
            (None, _) => {}
        }
    }
    Ok(Content::Fields {
        fields,
        others,
        is_open: mode(path).is_ok_and(|mode| mode & 0o077 != 0),
    })
}

/// Where the JSON is broken, and what is usually meant by what is there. The text is not repeated:
/// it may be the key.
fn not_json(path: &Path, text: &str, error: &serde_json::Error) -> Error {
    let lines_before = text.split_inclusive('\n').take(error.line() - 1);
    let start: usize = lines_before.map(str::len).sum();
    // serde_json counts bytes, up to and with the one that is wrong.
    let seen = text[start..].char_indices();
    let seen = seen.take_while(|(at, _)| *at < error.column());
    let (column, wrong) = seen.fold((0, None), |(column, _), found| (column + 1, Some(found)));
    let local = Error::config(format!(
        "{} is not valid JSON at line {}, column {column}",
        path.display(),
        error.line()
    ));
    let is_after_comma = |at| text[..start + at].trim_end().ends_with(',');
    match wrong {
        Some((at, '}' | ']')) if is_after_comma(at) => {
            local.hint("take out the comma before it", "请去掉它前面多余的逗号")
        }
        Some((_, '\'')) => local.hint("JSON has double quotes only", "JSON 只用双引号"),
        Some((_, '/' | '#')) => local.hint(
            "JSON has no comments: take it out",
            "JSON 不支持注释，请删除",
        ),
        Some((_, c)) if !c.is_ascii() => local.hint(
            "outside of texts only ASCII quotes, commas and colons count",
            "文本之外的引号、逗号和冒号须用英文（半角）的",
        ),
        _ => local,
    }
}

/// The letters and digits of a name, in lower case.
fn letters(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests;
