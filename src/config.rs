//! Options, environment and files → `Config`: the key, the base URL and how to get there. Each field
//! comes from the first place that holds it: option, variable, file, default. All failure is local
//! (exit 3) and names the place. Never touches the network; its messages never repeat a value that
//! might be a secret.

mod env;
mod file;
mod key;
mod proxy;
mod url;

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::cli::{Limit, Options};
use crate::error::{Error, Kind};
use crate::service::ServiceName;

pub(crate) use self::env::{Env, has_colours, knows_escapes, language};
use self::file::{ConfigFile, Field};
pub(crate) use self::key::Key;
use self::key::is_placeholder;
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
    pub(crate) connect_timeout: Duration,
    pub(crate) rules: Rules,
    /// Where each field came from.
    pub(crate) origins: Vec<Origin>,
    /// Sentences about what works, but should not be as it is.
    pub(crate) warnings: Vec<String>,
}

/// How a request is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// From when a request is taken up; none is for ever.
    pub(crate) timeout: Limit,
    /// Silence in a stream; none is for ever.
    pub(crate) idle_timeout: Limit,
    pub(crate) poll_interval: Duration,
    pub(crate) retries: u32,
    pub(crate) no_wait: bool,
    /// Many requests: a rate refusal makes all of them wait, and uses up no retries.
    pub(crate) batch: bool,
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

/// The `source` of what nobody configured.
const DEFAULT: &str = "default";

/// What is found in some place, or why it can't be used.
type Search<T> = Result<Found<T>, Error>;

/// A value and the place that held it.
struct Found<T> {
    value: T,
    source: String,
}

impl<T> Found<T> {
    fn new(value: T, source: impl Into<String>) -> Self {
        let source = source.into();
        Self { value, source }
    }
}

/// A text, or why there is none.
type Content = Result<String, Cow<'static, str>>;

/// All that a field may come from.
struct Sources<'a> {
    options: &'a Options,
    env: &'a Env,
    files: Vec<ConfigFile>,
}

impl Sources<'_> {
    /// The variables, then the files, and what each holds of one field.
    fn places(&self, field: &Field) -> impl Iterator<Item = Found<Content>> {
        let text = |name| self.env.text(name).ok_or("not set".into());
        let Field(_, names) = field;
        let variables = names.iter().map(move |name| Found::new(text(name), *name));
        let file = |file: &ConfigFile| Found::new(file.text(field), file.name());
        variables.chain(self.files.iter().map(file))
    }

    /// The first that is filled in: the option, or else what a place holds. A URL or a host is no
    /// placeholder, whatever it begins with: to pass it over would send the key elsewhere.
    fn first(&self, option: Option<Found<String>>, field: &Field) -> Option<Found<String>> {
        let text = |place: Found<Content>| Some(Found::new(place.value.ok()?, place.source));
        let texts = self.places(field).filter_map(text);
        let mut texts = option.into_iter().chain(texts);
        texts.find(|text| !is_placeholder(&text.value) || text.value.contains(['.', ':']))
    }
}

/// Puts the configuration together, or says what is missing or wrong and where.
pub(crate) fn load(options: &Options, env: &Env) -> Result<Config, Error> {
    let sources = Sources {
        options,
        env,
        files: file::find(options, env)?,
    };
    let key = key::find(&sources)?;
    let base_url = url::find(&sources)?;
    let service = find_service(&sources, &base_url.value)?;
    let roots = find_roots(options, env, &base_url.value)?;
    let proxy = proxy::choose(&base_url.value, env)?;

    let files = sources.files.iter();
    let mut warnings: Vec<_> = files.flat_map(ConfigFile::warnings).collect();
    if base_url.value.is_open_to_readers() {
        let warning = "is plain http: the token can be read on the way";
        warnings.push(format!("{} {warning}", base_url.value));
    }
    let unknown = "found out from the server";
    let service_word = service.value.map_or(unknown, ServiceName::word);
    let certificates = match &roots.value {
        Roots::BuiltIn => "built in".into(),
        Roots::Pem { path, .. } => path.to_string_lossy(),
    };
    let mut origins = vec![
        Origin::new("api_key", "set", key.source),
        Origin::new("base_url", &base_url.value, base_url.source),
        Origin::new("service", service_word, service.source),
        Origin::new("certificates", certificates, roots.source),
    ];
    let seconds = |limit: Limit| limit.map_or("none".to_owned(), plain);
    let mut limit = |field, option, default| setting(&mut origins, field, option, default, seconds);
    let timeout = limit("timeout", options.timeout, Some(TIMEOUT));
    let idle_timeout = limit("idle_timeout", options.idle_timeout, Some(IDLE_TIMEOUT));
    let mut time = |field, option, default| setting(&mut origins, field, option, default, plain);
    let connect_timeout = time("connect_timeout", options.connect_timeout, CONNECT_TIMEOUT);
    let poll_interval = time("poll_interval", options.poll_interval, POLL_INTERVAL);
    let retries = setting(&mut origins, "retries", options.retries, RETRIES, plain);
    if let Some(proxy) = &proxy {
        origins.push(Origin::new("proxy", proxy, &proxy.source));
    }
    Ok(Config {
        key: key.value,
        base_url: base_url.value.to_string(),
        service: service.value,
        roots: roots.value,
        proxy,
        connect_timeout,
        rules: Rules {
            timeout,
            idle_timeout,
            poll_interval,
            retries,
            no_wait: options.no_wait,
            batch: options.jobs.is_some_and(|jobs| jobs.get() > 1),
        },
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
    shown: fn(T) -> String,
) -> T {
    let value = option.unwrap_or(default);
    let name = || format!("--{}", field.replace('_', "-"));
    let source = option.map_or(DEFAULT.to_owned(), |_| name());
    origins.push(Origin::new(field, shown(value), source));
    value
}

fn plain(value: impl fmt::Debug) -> String {
    format!("{value:?}")
}

/// What kind of server it is. A host that has only one says so better than the environment or a file,
/// which hold for every base URL.
fn find_service(sources: &Sources<'_>, base_url: &BaseUrl) -> Search<Option<ServiceName>> {
    let option = sources.options.service;
    let option = option.map(|name| Found::new(name.word().to_owned(), "--service"));
    let of_host = ServiceName::of_host(&base_url.authority.host);
    if option.is_none() && of_host.is_some() {
        return Ok(Found::new(of_host, "base_url"));
    }
    let Some(found) = sources.first(option, &file::SERVICE) else {
        return Ok(Found::new(None, DEFAULT));
    };
    let name = ServiceName::parse(found.value.trim());
    let name = name.ok_or_else(|| ServiceName::unknown(Kind::Config, &found.source))?;
    Ok(Found::new(Some(name), found.source))
}

/// A file that the option names has to be there. The variables hold for every base URL, and count
/// where certificates are looked at.
fn find_roots(options: &Options, env: &Env, base_url: &BaseUrl) -> Search<Roots> {
    let option = options.cacert.clone().map(|path| (path, "--cacert"));
    let mut variables = ["COZE_CA_FILE", "SSL_CERT_FILE"].into_iter();
    let variable = variables.find_map(|name| Some((env.path(name)?, name)));
    let Some((path, source)) = option.or(variable.filter(|_| base_url.is_https)) else {
        return Ok(Found::new(Roots::BuiltIn, DEFAULT));
    };
    let pem = file::read(&format!("CA file {}", path.display()), &path, Some(source))?;
    Ok(Found::new(Roots::Pem { path, pem }, source))
}

#[cfg(test)]
mod tests;
