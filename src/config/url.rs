//! The base URL: `http(s)://host[:port][/prefix]`, as RFC 3986 has it, and the host and port that a
//! proxy's URL shares with it. No message repeats the text: a key lands in the wrong variable easily.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::cli::Options;
use crate::error::Error;

use super::env::Env;
use super::file::{self, ConfigFile};
use super::key::is_placeholder;
use super::place::{DEFAULT, Found, texts};

/// What is called when nobody says otherwise: Coze in China.
pub(super) const BASE_URL: &str = "https://api.coze.cn";

/// The first base URL that is configured, else the default.
pub(super) fn find(
    options: &Options,
    env: &Env,
    files: &[ConfigFile],
) -> Result<Found<BaseUrl>, Error> {
    let option = options.base_url.iter();
    let option = option.map(|text| Found::new(text.trim().to_owned(), "--base-url"));
    let variables = ["COZE_BASE_URL", "COZE_API_BASE"];
    let found = option
        .chain(texts(&variables, file::BASE_URL_KEY, env, files))
        // A URL in the wrong alphabet is no placeholder: to pass it over would send the key elsewhere.
        .find(|found| !is_placeholder(&found.value) || found.value.contains("://"));
    if let Some(Found { value, source }) = found {
        return match BaseUrl::parse(&value) {
            Ok(base_url) => Ok(Found::new(base_url, source)),
            Err(fault) => {
                let error = Error::config(format!("the base URL in {source} {fault}"));
                let example = match fault {
                    UrlFault::Page { api } => api,
                    _ => BASE_URL,
                };
                Err(error.hint(format!("for example {example}"), format!("例如 {example}")))
            }
        };
    }
    // To pass over a name that is misspelt would send the key to the default.
    let misspelling = |file: &ConfigFile| file.misspelling(file::BASE_URL_KEY);
    if let Some(sentence) = files.iter().find_map(misspelling) {
        return Err(Error::config(sentence).hint(
            "correct its name, or set COZE_BASE_URL",
            "请改正键名，或设置 COZE_BASE_URL",
        ));
    }
    let base_url = BaseUrl::parse(BASE_URL).expect("a good URL");
    Ok(Found::new(base_url, DEFAULT))
}

/// Where Coze is. Its `Display` has no slash at the end, so that a path can follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BaseUrl {
    pub(super) is_https: bool,
    pub(super) authority: Authority,
    /// Empty, or it begins with a slash and does not end with one.
    prefix: String,
}

impl BaseUrl {
    pub(super) fn parse(text: &str) -> Result<Self, UrlFault> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlFault::NoScheme)?;
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(UrlFault::OtherScheme),
        };
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority_end);
        if authority.contains('@') {
            return Err(UrlFault::User);
        }
        let authority = Authority::parse(authority)?;
        // Before the rest is judged: the address of a page has a query.
        match authority.host.as_str() {
            "www.coze.cn" => return Err(UrlFault::Page { api: BASE_URL }),
            "www.coze.com" => {
                return Err(UrlFault::Page {
                    api: "https://api.coze.com",
                });
            }
            _ => {}
        }
        if path.contains(['?', '#']) {
            return Err(UrlFault::QueryOrFragment);
        }
        if !path.bytes().all(is_path_byte) {
            return Err(UrlFault::Path);
        }
        Ok(Self {
            is_https,
            authority,
            prefix: without_endpoint(path).to_owned(),
        })
    }

    pub(super) fn port(&self) -> u16 {
        let usual = if self.is_https { 443 } else { 80 };
        self.authority.port.unwrap_or(usual)
    }

    /// Whether what is sent can be read on the way.
    pub(super) fn is_open_to_readers(&self) -> bool {
        !self.is_https && !self.authority.is_loopback()
    }

    /// Whether it is Coze itself, in China or elsewhere.
    pub(super) fn is_cloud(&self) -> bool {
        ["api.coze.cn", "api.coze.com"].contains(&self.authority.host.as_str())
    }

    /// Whether it is the address that Coze gives to a deployed project.
    pub(super) fn is_project(&self) -> bool {
        self.authority.host.ends_with(".coze.site")
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.prefix)
    }
}

/// `host[:port]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    /// In lower case; an IPv6 address without its brackets.
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

impl Authority {
    pub(super) fn parse(text: &str) -> Result<Self, UrlFault> {
        // The colons of an IPv6 address are before its closing bracket.
        let host_end = text.rfind(']').map_or(0, |bracket| bracket + 1);
        let (host, port) = match text[host_end..].find(':') {
            Some(colon) => {
                let (host, port) = text.split_at(host_end + colon);
                (host, Some(port_number(&port[1..])?))
            }
            None => (text, None),
        };
        let host = match host.strip_prefix('[') {
            Some(address) => ipv6(address).ok_or(UrlFault::Host)?,
            None if is_name(host) => host,
            None => return Err(UrlFault::Host),
        };
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// What is wrong with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UrlFault {
    NoScheme,
    OtherScheme,
    User,
    QueryOrFragment,
    Path,
    Host,
    Port,
    /// Of the site that has this API.
    Page {
        api: &'static str,
    },
}

impl fmt::Display for UrlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoScheme => "does not begin with https:// or http://",
            Self::OtherScheme => "must begin with https:// or http://",
            Self::User => "must not hold a user or password",
            Self::QueryOrFragment => "must have no query (?) and no fragment (#)",
            Self::Path => "has a character in its path that must be written as %XX",
            Self::Host => "has no valid host name or address",
            Self::Port => "has a port that is no number from 1 to 65535",
            Self::Page { .. } => "is the address of a page, not of the API",
        })
    }
}

/// What RFC 3986 allows in a path.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte)
}

/// Paths that are cut off: configurations that are passed around hold the whole address of a call.
/// `*` is any one part of a path.
const ENDPOINTS: [&str; 13] = [
    "/v1",
    "/v1/workflow/run",
    "/v1/workflow/stream_run",
    "/v1/workflow/stream_resume",
    "/v1/workflow/get_run_history",
    "/v1/workflows/resume",
    "/v1/workflows/chat",
    "/v1/workflows/*",
    "/v1/workflows/*/run_histories/*",
    "/v1/workflows/*/run_histories/*/execute_nodes/*",
    "/v1/files/upload",
    "/v3/chat",
    "/open_api/v2/chat",
];

/// The path without the endpoint and the slashes at its end.
fn without_endpoint(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    let before = |endpoint: &&str| {
        let mut rest = path;
        for part in endpoint.split('/').skip(1).collect::<Vec<_>>().iter().rev() {
            let (before, last) = rest.rsplit_once('/')?;
            if *part != "*" && *part != last || last.is_empty() {
                return None;
            }
            rest = before;
        }
        Some(rest)
    };
    let prefix = ENDPOINTS.iter().find_map(before).unwrap_or(path);
    prefix.trim_end_matches('/')
}

fn port_number(text: &str) -> Result<u16, UrlFault> {
    // `parse` alone would take a plus sign.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if is_number && port != 0 => Ok(port),
        _ => Err(UrlFault::Port),
    }
}

/// The address before the closing bracket, if that is what it is.
fn ipv6(bracketed: &str) -> Option<&str> {
    let address = bracketed.strip_suffix(']')?;
    address.parse::<Ipv6Addr>().ok().map(|_| address)
}

/// A name or an IPv4 address, by its characters; whether it exists is for the resolver to say.
fn is_name(host: &str) -> bool {
    // A dot at the end marks a name that is complete.
    let labels = host.strip_suffix('.').unwrap_or(host);
    labels.split('.').all(|label| {
        let is_label_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !label.is_empty() && label.bytes().all(is_label_byte)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_what_comes_before_the_path_of_a_call() {
        let table = [
            ("https://api.coze.cn", "https://api.coze.cn"),
            ("https://api.coze.cn/", "https://api.coze.cn"),
            ("https://api.coze.cn//", "https://api.coze.cn"),
            ("https://api.coze.cn/v1", "https://api.coze.cn"),
            ("https://api.coze.cn/v1/", "https://api.coze.cn"),
            ("https://api.coze.cn/v1/workflow/run", "https://api.coze.cn"),
            (
                "https://api.coze.cn/v1/workflow/stream_run/",
                "https://api.coze.cn",
            ),
            ("HTTPS://API.Coze.CN", "https://api.coze.cn"),
            ("http://10.0.0.7:8888", "http://10.0.0.7:8888"),
            ("http://[::1]:8888/", "http://[::1]:8888"),
            ("http://coze_studio/a/b/v1", "http://coze_studio/a/b"),
            ("https://gateway/coze%20cn/", "https://gateway/coze%20cn"),
            ("https://gateway/dev1", "https://gateway/dev1"),
            ("https://gateway/v1/workflow", "https://gateway/v1/workflow"),
            (
                "https://gateway/v1/workflow/other",
                "https://gateway/v1/workflow/other",
            ),
            (
                "https://gateway/v1/workflows/",
                "https://gateway/v1/workflows",
            ),
            ("https://gateway/v1/x/run", "https://gateway/v1/x/run"),
        ];
        for (text, url) in table {
            let parsed = BaseUrl::parse(text).map(|url| url.to_string());
            assert_eq!(parsed.as_deref(), Ok(url), "{text}");
        }
    }

    #[test]
    fn every_endpoint_of_coze_is_cut_off() {
        for endpoint in [
            "/v1/workflow/run",
            "/v1/workflow/stream_run",
            "/v1/workflow/stream_resume",
            "/v1/workflow/get_run_history",
            "/v1/workflows/resume",
            "/v1/workflows/chat",
            "/v1/workflows/7351",
            "/v1/workflows/:workflow_id/run_histories/:execute_id",
            "/v1/workflows/7/run_histories/9/execute_nodes/n",
            "/v1/files/upload",
            "/v3/chat",
            "/open_api/v2/chat",
        ] {
            for slash in ["", "/"] {
                let text = format!("https://gateway/coze{endpoint}{slash}");
                let parsed = BaseUrl::parse(&text).map(|url| url.to_string());
                assert_eq!(parsed.as_deref(), Ok("https://gateway/coze"), "{text}");
            }
        }
    }

    #[test]
    fn the_host_says_whether_it_is_coze_itself_or_a_project() {
        for (url, is_cloud, is_project) in [
            ("https://api.coze.cn/v1", true, false),
            ("https://API.coze.com:443", true, false),
            ("https://api.coze.cn.example", false, false),
            ("https://x1y2.coze.site/stream_run", false, true),
            ("https://coze.site.example", false, false),
        ] {
            let url = BaseUrl::parse(url).unwrap();
            let found = (url.is_cloud(), url.is_project());
            assert_eq!(found, (is_cloud, is_project), "{url}");
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused_with_a_reason() {
        let table = [
            ("api.coze.cn", UrlFault::NoScheme),
            ("https:/api.coze.cn", UrlFault::NoScheme),
            ("ftp://api.coze.cn", UrlFault::OtherScheme),
            ("://api.coze.cn", UrlFault::OtherScheme),
            ("https://user:word@api.coze.cn", UrlFault::User),
            ("https://user@api.coze.cn/v1", UrlFault::User),
            ("https://api.coze.cn?a=b", UrlFault::QueryOrFragment),
            ("https://api.coze.cn/#top", UrlFault::QueryOrFragment),
            ("https://api.coze.cn/a b", UrlFault::Path),
            ("https://api.coze.cn/a\nb", UrlFault::Path),
            ("https://api.coze.cn/扣子", UrlFault::Path),
            ("https://", UrlFault::Host),
            ("https:///v1", UrlFault::Host),
            ("https://:443", UrlFault::Host),
            ("https://api..cn", UrlFault::Host),
            ("https://api coze.cn", UrlFault::Host),
            ("https://扣子.cn", UrlFault::Host),
            ("https://api.coze.cn\\v1", UrlFault::Host),
            ("https://www.coze.cn", UrlFault::Page { api: BASE_URL }),
            (
                "https://www.coze.com/work_flow?space_id=1&workflow_id=7",
                UrlFault::Page {
                    api: "https://api.coze.com",
                },
            ),
            ("https://[::1", UrlFault::Port),
            ("https://[::g]", UrlFault::Host),
            ("https://[127.0.0.1]", UrlFault::Host),
            ("https://::1/", UrlFault::Port),
            ("https://api.coze.cn:", UrlFault::Port),
            ("https://api.coze.cn:0", UrlFault::Port),
            ("https://api.coze.cn:+80", UrlFault::Port),
            ("https://api.coze.cn:65536", UrlFault::Port),
        ];
        for (text, fault) in table {
            assert_eq!(BaseUrl::parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn every_reason_is_a_sentence_after_the_name_of_the_setting() {
        let table = [
            (
                UrlFault::NoScheme,
                "does not begin with https:// or http://",
            ),
            (UrlFault::OtherScheme, "must begin with https:// or http://"),
            (UrlFault::User, "must not hold a user or password"),
            (
                UrlFault::QueryOrFragment,
                "must have no query (?) and no fragment (#)",
            ),
            (
                UrlFault::Path,
                "has a character in its path that must be written as %XX",
            ),
            (UrlFault::Host, "has no valid host name or address"),
            (
                UrlFault::Port,
                "has a port that is no number from 1 to 65535",
            ),
            (
                UrlFault::Page { api: BASE_URL },
                "is the address of a page, not of the API",
            ),
        ];
        for (fault, sentence) in table {
            assert_eq!(fault.to_string(), sentence);
        }
    }

    #[test]
    fn the_usual_port_is_that_of_the_scheme() {
        let port = |text| BaseUrl::parse(text).map(|url| url.port());
        assert_eq!(port("https://a"), Ok(443));
        assert_eq!(port("http://a"), Ok(80));
        assert_eq!(port("http://a:8888"), Ok(8888));
    }

    #[test]
    fn loopback_is_this_machine_and_no_other() {
        for (host, expected) in [
            ("localhost", true),
            ("coze.localhost", true),
            ("127.8.8.8", true),
            ("[::1]", true),
            ("10.0.0.7", false),
            ("localhost.cn", false),
        ] {
            let authority = Authority::parse(host).unwrap();
            assert_eq!(authority.is_loopback(), expected, "{host}");
        }
    }
}
