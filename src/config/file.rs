//! The places of config.json, in the order in which they count, and how one is read. A file that was
//! found and not named is obeyed only where nobody else can have put it. Never waits for a file.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::cli::Options;
use crate::error::{Error, Hint, mistake};
use crate::platform;

use super::Content;
use super::env::Env;
use super::key::{KEY_FILE, Key, is_placeholder};

/// What a file calls it, and the variables that come before files. Other names are ignored: skills
/// keep their own settings in such files.
pub(super) struct Field(pub(super) &'static str, pub(super) &'static [&'static str]);

pub(super) const API_KEY: Field = Field("api_key", &["COZE_API_KEY", KEY_FILE, "COZE_API_TOKEN"]);
pub(super) const BASE_URL_FIELD: Field = Field("base_url", &["COZE_BASE_URL", "COZE_API_BASE"]);
pub(super) const SERVICE: Field = Field("service", &["COZE_SERVICE"]);
const FIELDS: [&Field; 3] = [&API_KEY, &BASE_URL_FIELD, &SERVICE];

/// More than any configuration or collection of certificates, and not all of /dev/zero.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;

/// A place for a configuration file, and what was found there.
pub(super) struct ConfigFile {
    path: PathBuf,
    /// Empty where there is no file.
    object: Map<String, Value>,
    /// Why there is no more in it.
    note: &'static str,
}

/// All places for a file. All are read, even when the first is complete: a broken file is reported
/// now, not on the day when the first one is gone.
pub(super) fn find(options: &Options, env: &Env) -> Result<Vec<ConfigFile>, Error> {
    let mut files: Vec<ConfigFile> = Vec::new();
    let option = options.config.clone().map(|path| (path, "--config"));
    let variable = "COZE_WORKFLOW_CONFIG";
    let variable = env.path(variable).map(|path| (path, variable));
    for (path, source) in option.into_iter().chain(variable) {
        files.push(ConfigFile::read(path, Some(source))?);
    }
    let mut names: Vec<_> = files.iter().map(|file| real(&file.path)).collect();
    for directory in directories(env) {
        let path = directory.join("config.json");
        let name = real(&path);
        // The program may lie in one of its own places, or `--config` have named one.
        if names.contains(&name) {
            continue;
        }
        names.push(name);
        files.push(match fs::metadata(&path) {
            // Another user's home is one that we can't look into.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                ConfigFile::empty(path, "out of reach")
            }
            Err(_) => ConfigFile::empty(path, "not there"),
            Ok(_) => {
                refuse_if_a_strangers(&path, env)?;
                ConfigFile::read(path, None)?
            }
        });
    }
    Ok(files)
}

/// Where a token is best put: no update of a skill removes it there.
pub(super) fn preferred(env: &Env) -> PathBuf {
    let unknown = || ["~", ".config", "coze-workflow"].iter().collect();
    let directory = user_directory(env).unwrap_or_else(unknown);
    directory.join("config.json")
}

/// Reads a text file, which `source` named if it was not found. `what` names it in messages, with its
/// path unless that may be a key. Only a regular one: a pipe would have to be waited for.
pub(super) fn read_text(what: &str, path: &Path, source: Option<&str>) -> Result<String, Error> {
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(unreadable(what, source, "it is no regular file"));
    }
    let bytes = read(what, path, source)?;
    // UTF-16 by its byte order mark, or by the empty half of its first character.
    let (why, (english, chinese)) = match bytes[..] {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => {
            ("it is UTF-16, not UTF-8", mistake::UTF_16)
        }
        _ => match String::from_utf8(bytes) {
            Ok(text) => return Ok(text.trim_start_matches('\u{feff}').to_owned()),
            Err(_) => ("it is not UTF-8", mistake::NOT_UTF_8),
        },
    };
    Err(unreadable(what, source, why).hint(english, chinese))
}

/// Reads a file whatever it is.
pub(super) fn read(what: &str, path: &Path, source: Option<&str>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let length = File::open(path)
        .and_then(|file| file.take(LONGEST_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(what, source, error))?;
    if length as u64 > LONGEST_FILE {
        return Err(unreadable(what, source, "it is larger than 16 MiB"));
    }
    Ok(bytes)
}

/// `cannot read the configuration x, named by --config: it is no regular file`
fn unreadable(what: &str, source: Option<&str>, why: impl Display) -> Error {
    let named = source.map_or(String::new(), |source| format!(", named by {source}"));
    Error::config(format!("cannot read the {what}{named}: {why}"))
}

impl ConfigFile {
    fn empty(path: PathBuf, note: &'static str) -> Self {
        let object = Map::new();
        Self { path, object, note }
    }

    /// Reads a file that must be there. `source` is what named it.
    fn read(path: PathBuf, source: Option<&str>) -> Result<Self, Error> {
        let text = read_text(&format!("configuration {}", path.display()), &path, source)?;
        let json = serde_json::from_str(&text).map_err(|error| not_json(&path, &text, &error))?;
        let name = path.display();
        let Value::Object(object) = json else {
            return Err(Error::config(format!("{name} is not a JSON object")).hint(
                r#"for example {"api_key": "pat_xxx"}"#,
                r#"例如 {"api_key": "pat_xxx"}"#,
            ));
        };
        for (field, value) in &object {
            let is_ours = FIELDS.iter().any(|Field(name, _)| name == field);
            if is_ours && !value.is_string() && !value.is_null() {
                let message = format!("{field:?} in {name} is not a string");
                return Err(Error::config(message));
            }
        }
        let note = "not in it";
        Ok(Self { path, object, note })
    }

    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// What it holds in this field, or why that is nothing.
    pub(super) fn text(&self, field: &Field) -> Content {
        match (self.object.get(field.0), self.misspelt(field)) {
            (Some(Value::String(text)), _) => Ok(text.clone()),
            (_, Some(other)) => Err(format!("{}, but {other:?} is", self.note).into()),
            _ => Err(self.note.into()),
        }
    }

    /// What may have been meant as the field, where that is missing: only what can't be a skill's own.
    fn misspelt(&self, Field(name, variables): &Field) -> Option<&str> {
        if self.object.get(*name).is_some_and(Value::is_string) {
            return None;
        }
        let mut texts = self.object.iter();
        texts.find_map(|(other, value)| {
            let is_filled = value.as_str().is_some_and(|text| !is_placeholder(text));
            let is_like = |known: &&str| letters(known) == letters(other);
            let is_meant = variables.iter().chain([name]).any(is_like);
            (is_filled && is_meant).then_some(other.as_str())
        })
    }

    pub(super) fn misspelling(&self, field: &Field) -> Option<String> {
        let other = self.misspelt(field)?;
        Some(format!(
            "{} has no {:?}, but {other:?}",
            self.name(),
            field.0
        ))
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let misspelling = |field| self.misspelling(field);
        let mut warnings: Vec<_> = FIELDS.into_iter().filter_map(misspelling).collect();
        let key = self.text(&API_KEY).map(|text| Key::parse(&text));
        // Others than the owner may read or write it.
        let is_open = || platform::others_may_use(&self.path);
        if matches!(key, Ok(Ok(Some(_)))) && is_open() {
            let warning = "holds the token and is open to others: chmod 600 it";
            warnings.push(format!("{} {warning}", self.name()));
        }
        warnings
    }
}

/// The directories in which a configuration is looked for without being named.
fn directories(env: &Env) -> Vec<PathBuf> {
    // A link in some `bin` leads to the skill, not the other way round.
    let executable = env.executable.as_deref().map(real);
    // The program may be a part of a skill: in its directory, or in its folder for programs.
    let own = executable.as_deref().and_then(Path::parent);
    let is_folder = |own: &&Path| own.ends_with("bin") || own.ends_with("scripts");
    let above = own.filter(is_folder).and_then(Path::parent);
    let program = own.into_iter().chain(above).map(Path::to_owned);
    let state = state_directory(env);
    let skill = |name| Some(state.as_ref()?.join("skills").join(name));
    let skills = ["coze_workflow", "coze-workflow"].map(skill);
    let found = program.chain(skills.into_iter().flatten());
    found.chain(user_directory(env)).collect()
}

/// The user's own. The XDG Base Directory Specification ignores a relative path.
fn user_directory(env: &Env) -> Option<PathBuf> {
    let xdg = env.path("XDG_CONFIG_HOME");
    let user = xdg.filter(|path| path.is_absolute());
    let user = user.or_else(|| platform::configurations(env.path("APPDATA"), home(env)));
    Some(user?.join("coze-workflow"))
}

/// The agent's directory, found as `OpenClaw` finds it: its profile `default` is no profile.
fn state_directory(env: &Env) -> Option<PathBuf> {
    if let Some(state) = env.directory("OPENCLAW_STATE_DIR") {
        return Some(state);
    }
    let profile = env.text("OPENCLAW_PROFILE");
    let profile = profile.filter(|profile| !profile.eq_ignore_ascii_case("default"));
    let suffix = profile.map_or(String::new(), |profile| format!("-{profile}"));
    Some(home(env)?.join(format!(".openclaw{suffix}")))
}

fn home(env: &Env) -> Option<PathBuf> {
    env.directory("OPENCLAW_HOME").or_else(|| env.home.clone())
}

/// Where the name leads in the end, if it is one of something that is there.
fn real(path: &Path) -> PathBuf {
    platform::canonical(path).unwrap_or_else(|_| path.to_owned())
}

/// Whoever can change the file, or has put it there, could have the key sent to another machine. The
/// program's owner could anyway.
fn refuse_if_a_strangers(path: &Path, env: &Env) -> Result<(), Error> {
    let program = env.executable.as_deref().unwrap_or(Path::new(""));
    let is_in_open_directory = |path: &Path| platform::may_be_a_strangers(path, program);
    let what = if platform::everyone_may_write(path) {
        "it"
    } else if is_in_open_directory(path) || is_in_open_directory(&real(path)) {
        "in its directory"
    } else {
        return Ok(());
    };
    let path = path.display();
    let sentence = format!("{path} is not used, because every user can write {what}");
    Err(Error::config(sentence).hint(
        "name the file with --config, or take that permission away (chmod o-w)",
        "请用 --config 指定该文件，或去掉这一权限（chmod o-w）",
    ))
}

/// Where the JSON is broken, and what is usually meant by what is there. The text is not repeated:
/// it may be the key.
fn not_json(path: &Path, text: &str, error: &serde_json::Error) -> Error {
    let lines_before = text.split_inclusive('\n').take(error.line() - 1);
    let start: usize = lines_before.map(str::len).sum();
    // serde_json counts bytes, up to and with the one that is wrong.
    let seen = text[start..].char_indices();
    let seen: Vec<_> = seen.take_while(|(at, _)| *at < error.column()).collect();
    let (path, line, column) = (path.display(), error.line(), seen.len());
    let message = format!("{path} is not valid JSON at line {line}, column {column}");
    let wrong = seen.last().filter(|_| !error.is_eof());
    let mistake = wrong.and_then(|(at, _)| {
        let (before, found) = text.as_bytes().split_at(start + at);
        mistake::find(before, found)
    });
    // A line break in a text is counted to the line after it.
    let is_break = column == 0 && !error.is_eof();
    let mistake = mistake.or(is_break.then_some(mistake::LINE_BREAK));
    Error::config(message).with_hint(mistake.map(|(english, chinese)| Hint::new(english, chinese)))
}

/// The letters and digits of a name, in lower case.
fn letters(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests;
