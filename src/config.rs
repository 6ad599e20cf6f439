//! Options, environment and files → `Config`: the key, the base URL and how to get there. Each field
//! comes from the first place that holds it: option, variable, file, default. All failure is local
//! (exit 3) and names the place. Never touches the network; its messages never repeat a value that
//! might be a secret.

mod proxy;
mod url;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::cli::Options;
use crate::error::{self, Error};
use crate::language::Language;

use self::proxy::ProxyFault;
pub(crate) use self::proxy::{Proxy, ProxyProtocol};
use self::url::{BaseUrl, UrlFault};

const BASE_URL: &str = "https://api.coze.cn";
/// Streamed runs end after ten minutes; one more for the way there and for looking at the end.
const TIMEOUT: Duration = Duration::from_secs(660);
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const POLL_INTERVAL: Duration = Duration::from_secs(10);
const RETRIES: u32 = 2;

/// All that a run needs to know of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) key: Key,
    /// `scheme://host[:port][/prefix]`, without a slash at the end.
    pub(crate) base_url: String,
    pub(crate) roots: Roots,
    /// The one to use for this base URL; none is a direct connection.
    pub(crate) proxy: Option<Proxy>,
    /// `None` is no limit.
    pub(crate) timeout: Option<Duration>,
    /// `None` is no limit.
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) connect_timeout: Duration,
    pub(crate) poll_interval: Duration,
    pub(crate) retries: u32,
    /// Where each field came from.
    pub(crate) origins: Vec<Origin>,
    /// Sentences about what works, but should not be as it is.
    pub(crate) warnings: Vec<String>,
}

/// What a field holds and which place it came from, for `-v` and `--check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Origin {
    pub(crate) field: &'static str,
    /// Never the key itself.
    pub(crate) value: String,
    pub(crate) source: String,
}

impl Origin {
    fn new(field: &'static str, value: impl fmt::Display, source: impl Into<String>) -> Self {
        Self {
            field,
            value: value.to_string(),
            source: source.into(),
        }
    }
}

/// The certificates that a server's is checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    /// Mozilla's, from inside the program.
    BuiltIn,
    /// The content of a file, still to be parsed.
    Pem { path: PathBuf, pem: Vec<u8> },
}

impl fmt::Display for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::Pem { path, .. } => path.display().fmt(f),
        }
    }
}

/// The API key: printable ASCII, and no placeholder. Goes into the `Authorization` header only.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    pub(crate) fn parse(text: &str) -> Result<Self, KeyFault> {
        let text = text.trim();
        if is_placeholder(text) {
            Err(KeyFault::Placeholder)
        } else if text.contains(char::is_control) {
            Err(KeyFault::ControlCharacter)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The text without the key. One of fewer characters than eight is left: it would be found
    /// inside words, and no real key is so short.
    pub(crate) fn mask(&self, text: &str) -> String {
        if self.0.len() < 8 {
            text.to_owned()
        } else {
            text.replace(&self.0, "***")
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyFault {
    Placeholder,
    ControlCharacter,
}

/// What the machine says of the process: taken once, so that a test can say it instead.
/// Has no `Debug`: among the variables is the key.
pub(crate) struct Env {
    variables: BTreeMap<OsString, OsString>,
    executable: Option<PathBuf>,
    home: Option<PathBuf>,
}

impl Env {
    pub(crate) fn real() -> Self {
        Self {
            variables: env::vars_os().collect(),
            executable: env::current_exe().ok(),
            home: home::home_dir().filter(|home| !home.as_os_str().is_empty()),
        }
    }

    /// A variable as text, trimmed; an empty one is unset. Bytes that are no UTF-8 become U+FFFD,
    /// which no field accepts.
    fn text(&self, name: &str) -> Option<String> {
        let value = self.variables.get(OsStr::new(name))?.to_string_lossy();
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// A variable as a path; an empty one is unset.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let value = self.variables.get(OsStr::new(name))?;
        (!value.is_empty()).then(|| value.into())
    }

    /// A directory in a variable of `OpenClaw`, which expands `~` itself.
    fn directory(&self, name: &str) -> Option<PathBuf> {
        let path = self.path(name)?;
        match (path.strip_prefix("~"), &self.home) {
            (Ok(below), Some(home)) => Some(home.join(below)),
            _ => Some(path),
        }
    }
}

/// The language of whoever started the program. As POSIX has it, the first of the variables that is
/// not empty decides alone: `LC_ALL=C` is English whatever `LANG` says.
pub(crate) fn language(env: &Env) -> Language {
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .find_map(|name| env.text(name));
    locale.map_or(Language::English, |name| Language::of_locale(&name))
}

/// Puts the configuration together, or says what is missing or wrong and where.
pub(crate) fn load(options: &Options, env: &Env) -> Result<Config, Error> {
    let files = config_files(options, env)?;
    let (key, key_source) = find_key(env, &files)?;
    let (base_url, base_url_source) = find_base_url(options, env, &files)?;
    let (roots, roots_source) = find_roots(options, env, &base_url)?;
    let proxy = proxy::choose(&base_url, env).map_err(Fault::Proxy)?;
    let timeout = given(options.timeout, "--timeout", Some(TIMEOUT));
    let idle_timeout = given(options.idle_timeout, "--idle-timeout", Some(IDLE_TIMEOUT));
    let connect_timeout = given(
        options.connect_timeout,
        "--connect-timeout",
        CONNECT_TIMEOUT,
    );
    let poll_interval = given(options.poll_interval, "--poll-interval", POLL_INTERVAL);
    let retries = given(options.retries, "--retries", RETRIES);

    let mut origins = vec![
        Origin::new("api_key", "set", key_source),
        Origin::new("base_url", &base_url, base_url_source),
        Origin::new("certificates", &roots, roots_source),
        Origin::new("timeout", limit(timeout.0), timeout.1),
        Origin::new("idle_timeout", limit(idle_timeout.0), idle_timeout.1),
        Origin::new(
            "connect_timeout",
            limit(Some(connect_timeout.0)),
            connect_timeout.1,
        ),
        Origin::new(
            "poll_interval",
            limit(Some(poll_interval.0)),
            poll_interval.1,
        ),
        Origin::new("retries", retries.0, retries.1),
    ];
    if let Some(proxy) = &proxy {
        origins.push(Origin::new("proxy", proxy, &proxy.source));
    }
    let mut warnings: Vec<String> = files.iter().flat_map(ConfigFile::warnings).collect();
    if !base_url.is_https && !base_url.authority.is_loopback() {
        let warning = format!("{base_url} is plain http: the key can be read on the way");
        warnings.push(warning);
    }
    Ok(Config {
        key,
        base_url: base_url.to_string(),
        roots,
        proxy,
        timeout: timeout.0,
        idle_timeout: idle_timeout.0,
        connect_timeout: connect_timeout.0,
        poll_interval: poll_interval.0,
        retries: retries.0,
        origins,
        warnings,
    })
}

/// The `source` of what nobody configured.
const DEFAULT: &str = "default";

/// The names in a file; others are ignored, for skills keep their own settings in such files.
const API_KEY: &str = "api_key";
const BASE_URL_KEY: &str = "base_url";
const FIELDS: [&str; 2] = [API_KEY, BASE_URL_KEY];

/// More than any configuration or collection of certificates, and not all of /dev/zero.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;

/// An option or its default, and where that came from.
fn given<T>(option: Option<T>, name: &'static str, default: T) -> (T, &'static str) {
    match option {
        Some(value) => (value, name),
        None => (default, DEFAULT),
    }
}

fn limit(duration: Option<Duration>) -> String {
    duration.map_or("none".to_owned(), |duration| format!("{duration:?}"))
}

fn find_key(env: &Env, files: &[ConfigFile]) -> Result<(Key, String), Fault> {
    let variables = ["COZE_API_KEY", "COZE_API_TOKEN"];
    let mut looked_at = Vec::new();
    for place in places(variables, API_KEY, env, files) {
        let note = match place.content.map(|text| Key::parse(&text)) {
            Ok(Ok(key)) => return Ok((key, place.name)),
            Ok(Err(KeyFault::ControlCharacter)) => return Err(Fault::KeyWithControl(place.name)),
            Ok(Err(KeyFault::Placeholder)) => "a placeholder".into(),
            Err(note) => note,
        };
        looked_at.push(format!("{} ({note})", place.name));
    }
    let state = state_directory(env).unwrap_or_else(|| "~/.openclaw".into());
    Err(Fault::NoKey {
        looked_at,
        file: state.join("skills/coze_workflow/config.json"),
    })
}

fn find_base_url(
    options: &Options,
    env: &Env,
    files: &[ConfigFile],
) -> Result<(BaseUrl, String), Fault> {
    let option = Place {
        name: "--base-url".to_owned(),
        content: options.base_url.clone().ok_or("not given".into()),
    };
    let variables = ["COZE_BASE_URL", "COZE_API_BASE"];
    let found = std::iter::once(option)
        .chain(places(variables, BASE_URL_KEY, env, files))
        .filter_map(|place| Some((place.content.ok()?, place.name)))
        .find(|(text, _)| !is_url_placeholder(text.trim()));
    let Some((text, source)) = found else {
        // To pass it over would send the key to the default instead.
        let misspelt = |file: &ConfigFile| {
            let other = file.misspelt(BASE_URL_KEY)?.to_owned();
            let path = file.path.clone();
            Some(Fault::Misspelt { path, other })
        };
        return match files.iter().find_map(misspelt) {
            Some(fault) => Err(fault),
            None => Ok((
                BaseUrl::parse(BASE_URL).expect("a good URL"),
                DEFAULT.to_owned(),
            )),
        };
    };
    match BaseUrl::parse(text.trim()) {
        Ok(base_url) => Ok((base_url, source)),
        Err(reason) => Err(Fault::BaseUrl { source, reason }),
    }
}

fn find_roots(
    options: &Options,
    env: &Env,
    base_url: &BaseUrl,
) -> Result<(Roots, &'static str), Fault> {
    let option = options.cacert.clone().map(|path| (path, "--cacert"));
    let variables = ["COZE_CA_FILE", "SSL_CERT_FILE"];
    let chosen = option.or_else(|| {
        variables
            .into_iter()
            .find_map(|name| Some((env.path(name)?, name)))
    });
    match chosen {
        Some((path, source)) if base_url.is_https => match read(&path) {
            Ok(pem) => Ok((Roots::Pem { path, pem }, source)),
            Err(error) => Err(Fault::Unreadable {
                what: "CA file",
                path,
                source: Some(source),
                error,
            }),
        },
        _ => Ok((Roots::BuiltIn, DEFAULT)),
    }
}

/// Somewhere a field may stand, and what it holds: a text, or why there is none.
struct Place {
    name: String,
    content: Result<String, Cow<'static, str>>,
}

/// The variables, then the files, of one field.
fn places(
    variables: [&'static str; 2],
    field: &'static str,
    env: &Env,
    files: &[ConfigFile],
) -> impl Iterator<Item = Place> {
    let variables = variables.into_iter().map(|name| Place {
        name: name.to_owned(),
        content: env.text(name).ok_or("not set".into()),
    });
    let files = files.iter().map(move |file| Place {
        name: file.path.display().to_string(),
        content: file.text(field),
    });
    variables.chain(files)
}

/// What stands in a field until somebody fills it in.
fn is_placeholder(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_crossed_out = |rest: &str| rest.chars().all(|c| c == 'x');
    text.is_empty()
        || !text.is_ascii()
        || lower.starts_with("your")
        || lower.starts_with('<')
        || lower.strip_prefix("pat_").is_some_and(is_crossed_out)
}

/// A URL in the wrong alphabet is a mistake to be told of: to pass it over would send the key to
/// the default instead.
fn is_url_placeholder(text: &str) -> bool {
    is_placeholder(text) && !text.contains("://")
}

/// The letters and digits of a name, in lower case.
fn letters(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

/// A place for a configuration file, and what was found there.
struct ConfigFile {
    path: PathBuf,
    content: Content,
}

enum Content {
    Absent,
    /// It may be there, but nobody lets us see.
    OutOfReach,
    /// Not read, for whoever can put a file there could have the key sent to another machine.
    Distrusted,
    Fields {
        fields: BTreeMap<&'static str, String>,
        /// The names of the other texts in it: a skill's own, or ours misspelt.
        others: Vec<String>,
        /// Others than the owner may read or write it.
        is_open: bool,
    },
}

impl ConfigFile {
    fn text(&self, field: &str) -> Result<String, Cow<'static, str>> {
        match &self.content {
            Content::Absent => Err("not there".into()),
            Content::OutOfReach => Err("out of reach".into()),
            Content::Distrusted => Err("not read: everyone may write in its directory".into()),
            Content::Fields { fields, .. } => match (fields.get(field), self.misspelt(field)) {
                (Some(text), _) => Ok(text.clone()),
                (None, Some(other)) => Err(format!("not in it, but {other:?} is").into()),
                (None, None) => Err("not in it".into()),
            },
        }
    }

    /// What may have been meant as the field, where that is missing: only what can't be a skill's own.
    fn misspelt(&self, field: &str) -> Option<&str> {
        let meant = match field {
            API_KEY => ["apikey", "cozeapikey", "cozeapitoken"],
            _ => ["baseurl", "cozebaseurl", "cozeapibase"],
        };
        match &self.content {
            Content::Fields { fields, others, .. } if !fields.contains_key(field) => {
                let is_meant = |other: &&String| meant.contains(&letters(other).as_str());
                others.iter().find(is_meant).map(String::as_str)
            }
            _ => None,
        }
    }

    fn warnings(&self) -> Vec<String> {
        let path = self.path.display();
        let misspelt = FIELDS.into_iter().filter_map(|field| {
            let other = self.misspelt(field)?;
            Some(format!("{path} has no {field:?}, but {other:?}"))
        });
        let unsafe_file = match &self.content {
            Content::Distrusted => Some(format!(
                "{path} is not read: everyone may write in its directory"
            )),
            Content::Fields {
                fields, is_open, ..
            } => {
                let holds_key = fields
                    .get(API_KEY)
                    .is_some_and(|key| Key::parse(key).is_ok());
                (*is_open && holds_key)
                    .then(|| format!("{path} holds the key and is open to others: chmod 600 it"))
            }
            Content::Absent | Content::OutOfReach => None,
        };
        misspelt.chain(unsafe_file).collect()
    }
}

/// All places for a file, in the order in which they count. All are read, even when the first is
/// complete: a broken file is reported now, not on the day when the first one is gone.
fn config_files(options: &Options, env: &Env) -> Result<Vec<ConfigFile>, Fault> {
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
    let shipped = skill_directories(env)
        .into_iter()
        .map(|skill| (skill, true));
    let skills = state_directory(env).map(|state| state.join("skills"));
    let own = skills.iter().flat_map(|skills| {
        ["coze_workflow", "coze-workflow"].map(|skill| (skills.join(skill), false))
    });
    for (directory, is_shipped) in shipped.chain(own) {
        let path = directory.join("config.json");
        // The program may lie in one of its own places, or `--config` have named one.
        if files.iter().any(|file| file.path == path) {
            continue;
        }
        let is_for_everyone = || mode(&directory).is_ok_and(|mode| mode & 0o002 != 0);
        let content = match mode(&path) {
            // Another user's home is one that we can't look into.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Content::OutOfReach,
            Err(_) => Content::Absent,
            Ok(_) if is_shipped && is_for_everyone() => Content::Distrusted,
            Ok(_) => fields(&path, None)?,
        };
        files.push(ConfigFile { path, content });
    }
    Ok(files)
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
    let home = env
        .directory("OPENCLAW_HOME")
        .or_else(|| env.home.clone())?;
    let profile = env.text("OPENCLAW_PROFILE");
    Some(match profile {
        Some(profile) if !profile.eq_ignore_ascii_case("default") => {
            home.join(format!(".openclaw-{profile}"))
        }
        _ => home.join(".openclaw"),
    })
}

fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode())
}

/// Reads a file that must be there. `source` is what named it.
fn fields(path: &Path, source: Option<&'static str>) -> Result<Content, Fault> {
    let bytes = read(path).map_err(|error| Fault::Unreadable {
        what: "configuration",
        path: path.to_owned(),
        source,
        error,
    })?;
    let json = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let json = serde_json::from_slice(json).map_err(|error| Fault::NotJson {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
    })?;
    let Value::Object(object) = json else {
        return Err(Fault::NotAnObject(path.to_owned()));
    };
    let mut fields = BTreeMap::new();
    for field in FIELDS {
        match object.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => {
                fields.insert(field, text.clone());
            }
            Some(_) => {
                let path = path.to_owned();
                return Err(Fault::NotAString { path, field });
            }
        }
    }
    let is_other = |(name, value): &(&String, &Value)| {
        let text = value.as_str().map(str::trim).unwrap_or_default();
        !is_url_placeholder(text) && !FIELDS.contains(&name.as_str())
    };
    let others = object.iter().filter(is_other);
    Ok(Content::Fields {
        fields,
        others: others.map(|(name, _)| name.clone()).collect(),
        is_open: mode(path).is_ok_and(|mode| mode & 0o077 != 0),
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LONGEST_FILE)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What is wrong with the configuration. Holds places, never values.
#[derive(Debug)]
enum Fault {
    NoKey {
        looked_at: Vec<String>,
        /// Where it is best put.
        file: PathBuf,
    },
    KeyWithControl(String),
    BaseUrl {
        source: String,
        reason: UrlFault,
    },
    Proxy(ProxyFault),
    Unreadable {
        what: &'static str,
        path: PathBuf,
        source: Option<&'static str>,
        error: io::Error,
    },
    NotJson {
        path: PathBuf,
        line: usize,
        column: usize,
    },
    NotAnObject(PathBuf),
    /// What may have been meant as the base URL.
    Misspelt {
        path: PathBuf,
        other: String,
    },
    NotAString {
        path: PathBuf,
        field: &'static str,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey { looked_at, .. } => {
                write!(f, "no API key: looked at {}", looked_at.join(", "))
            }
            Self::KeyWithControl(place) => write!(
                f,
                "the key in {place} has a line break or another control character inside"
            ),
            Self::BaseUrl { source, reason } => write!(f, "the base URL in {source} {reason}"),
            Self::Proxy(fault) => fault.fmt(f),
            Self::Unreadable {
                what,
                path,
                source,
                error,
            } => {
                write!(f, "cannot read the {what} {}", path.display())?;
                if let Some(source) = source {
                    write!(f, ", named by {source}")?;
                }
                write!(f, ": {}", error::chain(error))
            }
            Self::NotJson { path, line, column } => write!(
                f,
                "{} is not valid JSON at line {line}, column {column}",
                path.display()
            ),
            Self::NotAnObject(path) => write!(f, "{} is not a JSON object", path.display()),
            Self::Misspelt { path, other } => write!(
                f,
                "{} has no {BASE_URL_KEY:?}, but {other:?}",
                path.display()
            ),
            Self::NotAString { path, field } => {
                write!(f, "{field:?} in {} is not a string", path.display())
            }
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let local = Self::config(fault.to_string());
        match fault {
            Fault::NoKey { file, .. } => {
                let file = file.display();
                local.hint(
                    format!(r#"set COZE_API_KEY or put {{"api_key": "…"}} in {file}"#),
                    format!(r#"请设置 COZE_API_KEY，或把 {{"api_key": "…"}} 写入 {file}"#),
                )
            }
            Fault::BaseUrl { .. } => local.hint(
                format!("for example {BASE_URL}"),
                format!("例如 {BASE_URL}"),
            ),
            Fault::Proxy(_) => local.hint(
                "write http://user:password@host:port or socks5h://…, with %XX for special \
                 characters",
                "请写成 http://用户名:密码@主机:端口 或 socks5h://…，特殊字符写作 %XX",
            ),
            Fault::NotAnObject(_) => local.hint(
                r#"for example {"api_key": "pat_xxx"}"#,
                r#"例如 {"api_key": "pat_xxx"}"#,
            ),
            Fault::Misspelt { .. } => local.hint(
                "correct its name, or set COZE_BASE_URL",
                "请改正键名，或设置 COZE_BASE_URL",
            ),
            // Their sentences say so themselves.
            Fault::KeyWithControl(_)
            | Fault::Unreadable { .. }
            | Fault::NotJson { .. }
            | Fault::NotAString { .. } => local,
        }
    }
}

#[cfg(test)]
impl Config {
    /// For the tests of other rooms: the defaults, a key, and a place to go to as it is.
    pub(crate) fn scripted(base_url: &str) -> Self {
        let env = Env::scripted(&[("COZE_API_KEY", "pat_scripted")]);
        let config = load(&Options::default(), &env).expect("a key is enough");
        Self {
            key: Key("pat_xxx".to_owned()),
            base_url: base_url.to_owned(),
            ..config
        }
    }
}

#[cfg(test)]
impl Env {
    /// A machine with nothing on it but these variables.
    fn scripted(variables: &[(&str, &str)]) -> Self {
        let variables = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        Self {
            variables: variables.collect(),
            executable: None,
            home: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A machine with files on it; `/` in what a test writes is `root`.
    struct Machine {
        root: TempDir,
        options: Options,
        env: Env,
    }

    fn machine(variables: &[(&str, &str)]) -> Machine {
        let root = tempfile::tempdir().unwrap();
        let mut env = Env::scripted(variables);
        env.home = Some(root.path().join("home"));
        env.executable = Some(root.path().join("skill/bin/coze-workflow"));
        Machine {
            root,
            options: Options::default(),
            env,
        }
    }

    impl Machine {
        fn path(&self, name: &str) -> PathBuf {
            self.root.path().join(name)
        }

        fn write(self, name: &str, content: impl AsRef<[u8]>) -> Self {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            self.chmod(name, 0o600)
        }

        fn chmod(self, name: &str, mode: u32) -> Self {
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
            self
        }

        fn var(mut self, name: &str, value: impl Into<OsString>) -> Self {
            self.env.variables.insert(name.into(), value.into());
            self
        }

        /// A file that gives itself as the key, and its name as a part of the base URL.
        fn with_config(self, name: &str) -> Self {
            let name_only = name.replace(['/', '.'], "-");
            let json = format!(r#"{{"api_key":"{name_only}","base_url":"https://{name_only}"}}"#);
            self.write(name, json)
        }

        fn load(&self) -> Result<Config, Error> {
            load(&self.options, &self.env)
        }

        #[track_caller]
        fn config(&self) -> Config {
            self.load().unwrap()
        }

        #[track_caller]
        fn key(&self) -> String {
            self.config().key.expose().to_owned()
        }

        /// The sentence, with the machine's directory taken out.
        #[track_caller]
        fn refused(&self) -> String {
            let error = self.load().unwrap_err();
            assert_eq!(error.kind, error::Kind::Config);
            let root = format!("{}/", self.root.path().display());
            error.to_string().replace(&root, "/")
        }
    }

    const KEY: (&str, &str) = ("COZE_API_KEY", "pat_123");
    const HOME_FILE: &str = "home/.openclaw/skills/coze_workflow/config.json";

    #[track_caller]
    fn origin(config: &Config, field: &str) -> (String, String) {
        let origin = config.origins.iter().find(|origin| origin.field == field);
        let origin = origin.expect("an origin");
        (origin.value.clone(), origin.source.clone())
    }

    // Where things come from.

    #[test]
    fn a_key_is_enough() {
        let config = machine(&[KEY]).config();
        assert_eq!(config.base_url, "https://api.coze.cn");
        assert_eq!((config.roots, config.proxy), (Roots::BuiltIn, None));
        assert_eq!(config.timeout, Some(Duration::from_secs(660)));
        assert_eq!(config.idle_timeout, Some(Duration::from_secs(300)));
        assert_eq!(config.connect_timeout, Duration::from_secs(15));
        assert_eq!(config.poll_interval, Duration::from_secs(10));
        assert_eq!(config.retries, 2);
        assert!(config.warnings.is_empty());
    }

    #[test]
    fn every_place_for_the_key_counts_in_its_order() {
        let mut machine = machine(&[("COZE_API_KEY", "first"), ("COZE_API_TOKEN", "second")])
            .with_config("a.json")
            .with_config("b.json")
            .with_config("skill/bin/config.json")
            .with_config("skill/config.json")
            .with_config(HOME_FILE)
            .with_config("home/.openclaw/skills/coze-workflow/config.json");
        machine.options.config = Some(machine.path("a.json"));
        let b = machine.path("b.json");
        machine = machine.var("COZE_WORKFLOW_CONFIG", b);
        let mut found = Vec::new();
        while let Ok(config) = machine.load() {
            let (_, source) = origin(&config, "api_key");
            found.push(config.key.expose().to_owned());
            machine.env.variables.remove(OsStr::new(&source));
            if Path::new(&source).exists() {
                fs::write(source, "{}").unwrap();
            }
        }
        let expected = [
            "first",
            "second",
            "a-json",
            "b-json",
            "skill-bin-config-json",
            "skill-config-json",
            "home--openclaw-skills-coze_workflow-config-json",
            "home--openclaw-skills-coze-workflow-config-json",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn every_place_for_the_base_url_counts_in_its_order() {
        let mut machine = machine(&[
            KEY,
            ("COZE_BASE_URL", "https://b"),
            ("COZE_API_BASE", "https://c"),
        ])
        .write(HOME_FILE, r#"{"base_url":"https://d"}"#);
        machine.options.base_url = Some("https://a".to_owned());
        assert_eq!(machine.config().base_url, "https://a");
        machine.options.base_url = None;
        assert_eq!(machine.config().base_url, "https://b");
        let machine = machine.var("COZE_BASE_URL", "");
        assert_eq!(machine.config().base_url, "https://c");
        let machine = machine.var("COZE_API_BASE", "");
        assert_eq!(machine.config().base_url, "https://d");
        let home = machine.path(HOME_FILE).display().to_string();
        let config = machine.config();
        assert_eq!(origin(&config, "base_url"), ("https://d".to_owned(), home));
    }

    #[test]
    fn key_and_base_url_may_come_from_different_files() {
        let mut machine = machine(&[])
            .write("a.json", r#"{"base_url":"https://a","api_key":"pat_xxx"}"#)
            .with_config(HOME_FILE);
        machine.options.config = Some(machine.path("a.json"));
        assert_eq!(machine.config().base_url, "https://a");
        assert!(machine.key().starts_with("home"));
    }

    #[test]
    fn openclaw_is_looked_for_where_its_variables_say() {
        let table: [(&[(&str, &str)], &str); 7] = [
            (&[], "home/.openclaw"),
            (&[("OPENCLAW_PROFILE", "work")], "home/.openclaw-work"),
            (&[("OPENCLAW_PROFILE", "default")], "home/.openclaw"),
            (&[("OPENCLAW_HOME", "~/claw")], "home/claw/.openclaw"),
            (
                &[("OPENCLAW_HOME", "~/claw"), ("OPENCLAW_PROFILE", "work")],
                "home/claw/.openclaw-work",
            ),
            (&[("OPENCLAW_STATE_DIR", "~/state")], "home/state"),
            (
                &[("OPENCLAW_STATE_DIR", "~"), ("OPENCLAW_PROFILE", "work")],
                "home",
            ),
        ];
        for (variables, state) in table {
            let machine = machine(variables);
            assert_eq!(state_directory(&machine.env), Some(machine.path(state)));
        }
    }

    #[test]
    fn the_file_above_the_program_counts_only_from_bin_or_scripts() {
        for (directory, expected) in [("bin", true), ("scripts", true), ("lib", false)] {
            let mut machine = machine(&[]).with_config("skill/config.json");
            machine.env.executable = Some(machine.path(&format!("skill/{directory}/program")));
            assert_eq!(machine.load().is_ok(), expected, "{directory}");
        }
    }

    #[test]
    fn a_link_to_the_program_leads_to_its_skill() {
        let mut machine = machine(&[])
            .write("skill/bin/program", "")
            .with_config("skill/config.json");
        let link = machine.path("link");
        std::os::unix::fs::symlink(machine.path("skill/bin/program"), &link).unwrap();
        machine.env.executable = Some(link);
        assert_eq!(machine.key(), "skill-config-json");
    }

    #[test]
    fn options_replace_the_defaults() {
        let mut machine = machine(&[KEY]);
        machine.options.timeout = Some(None);
        machine.options.poll_interval = Some(Duration::from_millis(500));
        machine.options.retries = Some(0);
        let config = machine.config();
        assert_eq!((config.timeout, config.retries), (None, 0));
        let timeout = ("none".to_owned(), "--timeout".to_owned());
        assert_eq!(origin(&config, "timeout"), timeout);
        assert_eq!(origin(&config, "poll_interval").0, "500ms");
        assert_eq!(origin(&config, "idle_timeout").1, "default");
    }

    // What counts as configured.

    #[test]
    fn placeholders_count_as_not_configured() {
        let placeholders = [
            "",
            " \n",
            "pat_xxx",
            "PAT_XXXXXXXX",
            "pat_",
            "your_api_key",
            "YOUR-KEY",
            "<api key>",
            "你的扣子api key",
        ];
        for text in placeholders {
            assert_eq!(Key::parse(text), Err(KeyFault::Placeholder), "{text:?}");
            let machine = machine(&[("COZE_API_KEY", text), ("COZE_API_TOKEN", "real")]);
            assert_eq!(machine.key(), "real", "{text:?}");
        }
    }

    #[test]
    fn a_key_is_masked_where_it_is_quoted_unless_it_is_too_short_to_be_told_from_a_word() {
        let mask = |key, text| Key::parse(key).map(|key| key.mask(text));
        let masked = mask("pat_1234", "token pat_1234: no (pat_1234)");
        assert_eq!(masked.as_deref(), Ok("token ***: no (***)"));
        assert_eq!(mask("token", "bad token").as_deref(), Ok("bad token"));
    }

    #[test]
    fn the_shape_of_a_key_is_not_judged() {
        for text in ["pat_xxy", "sat_1", "xxx", "openclaw:secret/7", "a b"] {
            let key = Key::parse(text);
            assert_eq!(key.as_ref().map(Key::expose), Ok(text));
        }
    }

    #[test]
    fn a_key_is_trimmed_and_holds_no_control_character() {
        assert_eq!(
            machine(&[("COZE_API_KEY", " pat_123\r\n")]).key(),
            "pat_123"
        );
        let machine = machine(&[("COZE_API_KEY", "pat_123\npat_456")]);
        assert_eq!(
            machine.refused(),
            "the key in COZE_API_KEY has a line break or another control character inside"
        );
    }

    #[test]
    fn a_missing_key_names_every_place_that_was_looked_at() {
        let mut machine = machine(&[("COZE_API_TOKEN", "pat_xxx")])
            .write("a.json", "{}")
            .write("skill/config.json", r#"{"api_key":"<key>"}"#);
        machine.options.config = Some(machine.path("a.json"));
        assert_eq!(
            machine.refused(),
            "no API key: looked at COZE_API_KEY (not set), COZE_API_TOKEN (a placeholder), \
             /a.json (not in it), /skill/bin/config.json (not there), \
             /skill/config.json (a placeholder), \
             /home/.openclaw/skills/coze_workflow/config.json (not there), \
             /home/.openclaw/skills/coze-workflow/config.json (not there) \
             (set COZE_API_KEY or put {\"api_key\": \"…\"} in \
             /home/.openclaw/skills/coze_workflow/config.json)"
        );
    }

    #[test]
    fn the_example_is_a_placeholder_all_over() {
        let example = include_str!("skill/config.example.json");
        let machine = machine(&[]).write(HOME_FILE, example);
        assert!(machine.refused().starts_with("no API key"));
        assert_eq!(machine.var("COZE_API_KEY", "k").config().base_url, BASE_URL);
    }

    #[test]
    fn a_base_url_that_is_wrong_is_refused_and_not_repeated() {
        let machine = machine(&[KEY, ("COZE_BASE_URL", "https://me:secret@api.coze.cn")]);
        assert_eq!(
            machine.refused(),
            "the base URL in COZE_BASE_URL must not hold a user or password \
             (for example https://api.coze.cn)"
        );
        let machine = machine.var("COZE_BASE_URL", "https://扣子.cn");
        assert!(machine.refused().contains("no valid host name"));
        let machine = machine.var("COZE_BASE_URL", "你的地址");
        assert_eq!(machine.config().base_url, BASE_URL);
    }

    #[test]
    fn a_proxy_that_is_wrong_is_refused_and_not_repeated() {
        let machine = machine(&[KEY, ("https_proxy", "ftp://me:secret@proxy")]);
        assert_eq!(
            machine.refused(),
            "the proxy in https_proxy has an unknown scheme \
             (write http://user:password@host:port or socks5h://…, with %XX for special characters)"
        );
    }

    // Files.

    #[test]
    fn a_file_that_was_named_must_exist() {
        let missing = machine(&[KEY]).var("COZE_WORKFLOW_CONFIG", "/nowhere/c.json");
        assert_eq!(
            missing.refused(),
            "cannot read the configuration /nowhere/c.json, named by COZE_WORKFLOW_CONFIG: \
             No such file or directory (os error 2)"
        );
        let mut missing = machine(&[KEY]);
        missing.options.config = Some("/nowhere/d.json".into());
        assert!(
            missing
                .refused()
                .contains("/nowhere/d.json, named by --config")
        );
    }

    #[test]
    fn a_file_that_is_there_must_be_readable() {
        let machine = machine(&[KEY]);
        fs::create_dir_all(machine.path(HOME_FILE)).unwrap();
        assert_eq!(
            machine.refused(),
            "cannot read the configuration /home/.openclaw/skills/coze_workflow/config.json: \
             Is a directory (os error 21)"
        );
    }

    #[test]
    fn a_file_that_is_no_json_is_refused_by_line_and_never_quoted() {
        let machine = machine(&[KEY]).write(HOME_FILE, "{\n  \"api_key\": pat_secret\n}");
        assert_eq!(
            machine.refused(),
            "/home/.openclaw/skills/coze_workflow/config.json is not valid JSON at line 2, column 14"
        );
    }

    #[test]
    fn a_file_holds_an_object_of_strings() {
        let refused = |json: &str| machine(&[KEY]).write(HOME_FILE, json).refused();
        let file = format!("/{HOME_FILE}");
        assert_eq!(
            refused(r#"["pat_secret"]"#),
            format!(r#"{file} is not a JSON object (for example {{"api_key": "pat_xxx"}})"#)
        );
        assert_eq!(
            refused(r#"{"base_url":443}"#),
            format!(r#""base_url" in {file} is not a string"#)
        );
    }

    #[test]
    fn a_byte_order_mark_null_and_other_keys_do_no_harm() {
        let json = "\u{feff}{\"api_key\":\"pat_9\",\"base_url\":null,\"workflow_id\":7}\r\n";
        let machine = machine(&[]).write(HOME_FILE, json);
        assert_eq!(machine.key(), "pat_9");
    }

    #[test]
    fn a_misspelt_name_is_pointed_out() {
        let json = r#"{"apiKey":"pat_9","base-url":"https://coze.example","model":"x"}"#;
        let machine = machine(&[]).write(HOME_FILE, json);
        let note = r#"config.json (not in it, but "apiKey" is)"#;
        assert!(machine.refused().contains(note), "{}", machine.refused());
        let machine = machine.var(KEY.0, KEY.1);
        let hint = "(correct its name, or set COZE_BASE_URL)";
        let misspelt = format!(r#"/{HOME_FILE} has no "base_url", but "base-url" {hint}"#);
        assert_eq!(machine.refused(), misspelt);
        let path = machine.path(HOME_FILE);
        let path = path.display();
        let machine = machine.var("COZE_BASE_URL", BASE_URL);
        let warnings = [
            format!(r#"{path} has no "api_key", but "apiKey""#),
            format!(r#"{path} has no "base_url", but "base-url""#),
        ];
        assert_eq!(machine.config().warnings, warnings);
    }

    #[test]
    fn a_skills_own_names_and_what_is_not_filled_in_are_passed_over() {
        for own in [
            r#""image_url":"https://coze.example","base_dir":"/srv","case_url":"x","url":"y""#,
            r#""baseURL":"","base-url":"<url>""#,
        ] {
            let json = format!(r#"{{"api_key":"pat_9",{own}}}"#);
            let config = machine(&[]).write(HOME_FILE, &json).config();
            assert_eq!(
                (config.base_url.as_str(), config.warnings.len()),
                (BASE_URL, 0)
            );
        }
        for meant in [
            "baseURL",
            "BASE_URL",
            "base url",
            "COZE_BASE_URL",
            "coze_api_base",
        ] {
            let json = format!(r#"{{"api_key":"pat_9","{meant}":"https://coze.example"}}"#);
            let refused = machine(&[]).write(HOME_FILE, &json).refused();
            assert!(
                refused.contains(&format!("no \"base_url\", but {meant:?}")),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_pointed_out() {
        let machine = machine(&[]).with_config(HOME_FILE);
        assert!(machine.config().warnings.is_empty());
        let machine = machine.chmod(HOME_FILE, 0o640);
        let path = machine.path(HOME_FILE);
        let warning = format!(
            "{} holds the key and is open to others: chmod 600 it",
            path.display()
        );
        assert_eq!(machine.config().warnings, [warning]);
        let machine = machine.write(HOME_FILE, "{}").chmod(HOME_FILE, 0o644);
        assert!(machine.var(KEY.0, KEY.1).config().warnings.is_empty());
    }

    #[test]
    fn a_skill_directory_that_everyone_may_write_is_skipped() {
        let machine = machine(&[KEY])
            .write("skill/config.json", "no JSON")
            .chmod("skill", 0o777);
        let path = machine.path("skill/config.json");
        let sentence = "is not read: everyone may write in its directory";
        let warning = format!("{} {sentence}", path.display());
        assert_eq!(machine.config().warnings, [warning]);
        let machine = machine.var(KEY.0, "");
        let note = "/skill/config.json (not read: everyone may write in its directory)";
        assert!(machine.refused().contains(note));
    }

    // Certificates and the way there.

    #[test]
    fn certificates_come_from_the_first_place_that_names_a_file() {
        let mut machine = machine(&[KEY])
            .write("a", "A")
            .write("b", "B")
            .write("c", "C");
        machine.options.cacert = Some(machine.path("a"));
        let (b, c) = (machine.path("b"), machine.path("c"));
        let mut machine = machine.var("COZE_CA_FILE", b).var("SSL_CERT_FILE", c);
        for (source, content) in [
            ("--cacert", "A"),
            ("COZE_CA_FILE", "B"),
            ("SSL_CERT_FILE", "C"),
        ] {
            let config = machine.config();
            assert_eq!(origin(&config, "certificates").1, source);
            assert!(matches!(config.roots, Roots::Pem { pem, .. } if pem == content.as_bytes()));
            machine.options.cacert = None;
            machine.env.variables.remove(OsStr::new(&source));
        }
        assert_eq!(machine.config().roots, Roots::BuiltIn);
    }

    #[test]
    fn certificates_are_read_for_https_only() {
        let machine = machine(&[KEY, ("SSL_CERT_FILE", "/nowhere/ca.pem")]);
        assert_eq!(
            machine.refused(),
            "cannot read the CA file /nowhere/ca.pem, named by SSL_CERT_FILE: \
             No such file or directory (os error 2)"
        );
        let machine = machine.var("COZE_BASE_URL", "http://127.0.0.1:8888");
        assert_eq!(machine.config().roots, Roots::BuiltIn);
    }

    #[test]
    fn plain_http_to_another_machine_is_allowed_and_said() {
        let machine = machine(&[KEY, ("COZE_BASE_URL", "http://10.0.0.7:8888/v1")]);
        let warning = "http://10.0.0.7:8888 is plain http: the key can be read on the way";
        assert_eq!(machine.config().warnings, [warning]);
        let machine = machine.var("COZE_BASE_URL", "http://localhost:8888");
        assert!(machine.config().warnings.is_empty());
    }

    // What must never show.

    #[test]
    fn neither_key_nor_password_is_ever_shown() {
        let machine = machine(&[
            ("COZE_API_KEY", "pat_secret"),
            ("all_proxy", "http://me:secret@proxy"),
        ]);
        let config = machine.config();
        let shown = format!("{config:?}");
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains("key: (redacted)"), "{shown}");
        assert_eq!(
            origin(&config, "api_key"),
            ("set".to_owned(), "COZE_API_KEY".to_owned())
        );
        let proxy = ("http://proxy:80".to_owned(), "all_proxy".to_owned());
        assert_eq!(origin(&config, "proxy"), proxy);
    }

    // The language.

    #[test]
    fn the_first_locale_variable_that_is_not_empty_decides_the_language() {
        use Language::{Chinese, English};
        let table: [(&[(&str, &str)], Language); 7] = [
            (&[], English),
            (&[("LANG", "zh_CN.UTF-8")], Chinese),
            (&[("LANG", "C.UTF-8")], English),
            (&[("LC_ALL", "C"), ("LANG", "zh_CN")], English),
            (&[("LC_ALL", ""), ("LC_MESSAGES", "zh_TW")], Chinese),
            (&[("LC_MESSAGES", "zh-Hans"), ("LANG", "C")], Chinese),
            (&[("LC_ALL", "en_US"), ("LC_MESSAGES", "zh_TW")], English),
        ];
        for (variables, expected) in table {
            let env = Env::scripted(variables);
            assert_eq!(language(&env), expected, "{variables:?}");
        }
    }
}
