//! Options, environment and files → `Config`: the key, the base URL and how to get there. Each field
//! comes from the first place that holds it: option, variable, file, default. All failure is local
//! (exit 3) and names the place. Never touches the network; its messages never repeat a value that
//! might be a secret.

mod env;
mod file;
mod key;
mod place;
mod proxy;
mod url;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::cli::Options;
use crate::error::{Error, Kind};
use crate::service::ServiceName;

pub(crate) use self::env::{Env, has_colours, language};
use self::file::ConfigFile;
pub(crate) use self::key::Key;
use self::key::is_placeholder;
use self::place::{DEFAULT, Found, texts};
pub(crate) use self::proxy::{Proxy, ProxyProtocol};
use self::url::BaseUrl;

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
    /// The kind of server; `None` is still to be found out from what it says.
    pub(crate) service: Option<ServiceName>,
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
        let (value, source) = (value.to_string(), source.into());
        Self {
            field,
            value,
            source,
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

/// Puts the configuration together, or says what is missing or wrong and where.
pub(crate) fn load(options: &Options, env: &Env) -> Result<Config, Error> {
    let files = file::find(options, env)?;
    let key = key::find(env, &files)?;
    let base_url = url::find(options, env, &files)?;
    refuse_project(&base_url)?;
    let service = find_service(options, env, &files, &base_url.value)?;
    let roots = find_roots(options, env, &base_url.value)?;
    let proxy = proxy::choose(&base_url.value, env)?;

    let mut warnings: Vec<String> = files.iter().flat_map(ConfigFile::warnings).collect();
    if base_url.value.is_open_to_readers() {
        let url = &base_url.value;
        warnings.push(format!(
            "{url} is plain http: the key can be read on the way"
        ));
    }
    let unknown = "found out from the server";
    let service_word = service.value.map_or(unknown, ServiceName::word);
    let mut origins = vec![
        Origin::new("api_key", "set", key.source),
        Origin::new("base_url", &base_url.value, base_url.source),
        Origin::new("service", service_word, service.source),
        Origin::new("certificates", &roots.value, roots.source),
    ];
    let mut limit = |field, option, default| setting(&mut origins, field, option, default, seconds);
    let timeout = limit("timeout", options.timeout, Some(TIMEOUT));
    let idle_timeout = limit("idle_timeout", options.idle_timeout, Some(IDLE_TIMEOUT));
    let some_seconds = |time| seconds(Some(time));
    let mut time =
        |field, option, default| setting(&mut origins, field, option, default, some_seconds);
    let connect_timeout = time("connect_timeout", options.connect_timeout, CONNECT_TIMEOUT);
    let poll_interval = time("poll_interval", options.poll_interval, POLL_INTERVAL);
    let retries = options.retries;
    let retries = setting(&mut origins, "retries", retries, RETRIES, |n| n.to_string());
    if let Some(proxy) = &proxy {
        origins.push(Origin::new("proxy", proxy, &proxy.source));
    }
    Ok(Config {
        key: key.value,
        base_url: base_url.value.to_string(),
        service: service.value,
        roots: roots.value,
        proxy,
        timeout,
        idle_timeout,
        connect_timeout,
        poll_interval,
        retries,
        origins,
        warnings,
    })
}

/// What the option of the field's name gives, else the default.
fn setting<T: Copy>(
    origins: &mut Vec<Origin>,
    field: &'static str,
    option: Option<T>,
    default: T,
    shown: impl Fn(T) -> String,
) -> T {
    let value = option.unwrap_or(default);
    let source = match option {
        Some(_) => format!("--{}", field.replace('_', "-")),
        None => DEFAULT.to_owned(),
    };
    origins.push(Origin::new(field, shown(value), source));
    value
}

fn seconds(limit: Option<Duration>) -> String {
    limit.map_or("none".to_owned(), |limit| format!("{limit:?}"))
}

/// A workflow that was deployed as a project has an address of its own.
fn refuse_project(base_url: &Found<BaseUrl>) -> Result<(), Error> {
    if !base_url.value.is_project() {
        return Ok(());
    }
    let source = &base_url.source;
    let sentence = format!(
        "the base URL in {source} is that of a deployed project, which this version does not call"
    );
    Err(Error::config(sentence).hint(
        "call the workflow itself, with a personal or service token",
        "请直接调用工作流，使用个人访问令牌或服务访问令牌",
    ))
}

/// What kind of server it is. A host that is Coze itself says so better than the environment or a
/// file, which hold for every base URL.
fn find_service(
    options: &Options,
    env: &Env,
    files: &[ConfigFile],
    base_url: &BaseUrl,
) -> Result<Found<Option<ServiceName>>, Error> {
    if options.service.is_some() {
        return Ok(Found::new(options.service, "--service"));
    }
    if base_url.is_cloud() {
        return Ok(Found::new(Some(ServiceName::Coze), "base_url"));
    }
    let mut texts = texts(&["COZE_SERVICE"], file::SERVICE, env, files);
    match texts.find(|found| !is_placeholder(&found.value)) {
        None => Ok(Found::new(None, DEFAULT)),
        Some(Found { value, source }) => match ServiceName::parse(&value) {
            Some(name) => Ok(Found::new(Some(name), source)),
            None => Err(ServiceName::unknown(Kind::Config, &source)),
        },
    }
}

fn find_roots(options: &Options, env: &Env, base_url: &BaseUrl) -> Result<Found<Roots>, Error> {
    let option = options.cacert.clone().map(|path| (path, "--cacert"));
    let variables = ["COZE_CA_FILE", "SSL_CERT_FILE"];
    let variable = |name| Some((env.path(name)?, name));
    match option.or_else(|| variables.into_iter().find_map(variable)) {
        Some((path, source)) if base_url.is_https => {
            let pem = file::read("CA file", &path, Some(source))?;
            Ok(Found::new(Roots::Pem { path, pem }, source))
        }
        _ => Ok(Found::new(Roots::BuiltIn, DEFAULT)),
    }
}

#[cfg(test)]
impl Config {
    /// For the tests of other rooms: the defaults, a key, and a place to go to as it is.
    pub(crate) fn scripted(base_url: &str) -> Self {
        let env = Env::scripted(&[("COZE_API_KEY", "pat_scripted")]);
        let config = load(&Options::default(), &env).expect("a key is enough");
        Self {
            key: Key::scripted("pat_xxx"),
            base_url: base_url.to_owned(),
            ..config
        }
    }
}

#[cfg(test)]
mod tests;
