//! The base URL: `http(s)://host[:port][/prefix]`, as RFC 3986 has it, and the host and port that a
//! proxy's URL shares with it. No message repeats the text: a key lands in the wrong variable easily.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::Error;
use crate::service::ServiceName;

use super::file::{self, ConfigFile};
use super::{DEFAULT, Found, Search, Sources};

/// What is called when nobody says otherwise: Coze in China.
pub(super) const BASE_URL: &str = "https://api.coze.cn";
const BASE_URL_ABROAD: &str = "https://api.coze.com";

/// The first base URL that is configured, else the default.
pub(super) fn find(sources: &Sources<'_>) -> Search<BaseUrl> {
    let option = sources.options.base_url.clone();
    let option = option.map(|text| Found::new(text, "--base-url"));
    let found = sources.first(option, &file::BASE_URL_FIELD);
    // To pass over a name that is misspelt would send the key to the default.
    let misspelling = |file: &ConfigFile| file.misspelling(&file::BASE_URL_FIELD);
    if found.is_none()
        && let Some(sentence) = sources.files.iter().find_map(misspelling)
    {
        return Err(Error::config(sentence).hint(
            "correct its name, or set COZE_BASE_URL",
            "请改正键名，或设置 COZE_BASE_URL",
        ));
    }
    let found = found.unwrap_or_else(|| Found::new(BASE_URL.to_owned(), DEFAULT));
    let base_url = BaseUrl::parse(found.value.trim()).map_err(|fault| {
        let host = found.value.split('/').nth(2).unwrap_or_default();
        let is_abroad = fault == IS_PAGE && host.to_ascii_lowercase().starts_with("www.coze.com");
        let example = if is_abroad { BASE_URL_ABROAD } else { BASE_URL };
        Error::config(format!("the base URL in {} {fault}", found.source))
            .hint(format!("for example {example}"), format!("例如 {example}"))
    })?;
    Ok(Found::new(base_url, found.source))
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
        let no_scheme = "does not begin with https:// or http://";
        let (scheme, rest) = text.split_once("://").ok_or(no_scheme)?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return Err("must begin with https:// or http://");
        }
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority_end);
        if authority.contains('@') {
            return Err("must not hold a user or password");
        }
        let mut authority = Authority::parse(authority)?;
        // As if it were not there: a journal knows a server by its base URL.
        authority.port.take_if(|port| *port == usual_port(is_https));
        // Before the rest is judged: the address of a page has a query.
        if ["www.coze.cn", "www.coze.com"].contains(&&*authority.host) {
            return Err(IS_PAGE);
        }
        if path.contains(['?', '#']) {
            return Err("must have no query (?) and no fragment (#)");
        }
        if !path.bytes().all(is_path_byte) {
            return Err("has a character in its path that must be written as %XX");
        }
        let prefix = without_endpoint(path, &authority.host).to_owned();
        Ok(Self {
            is_https,
            authority,
            prefix,
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.authority.port.unwrap_or(usual_port(self.is_https))
    }

    /// Whether what is sent can be read on the way.
    pub(super) fn is_open_to_readers(&self) -> bool {
        !self.is_https && !self.authority.is_loopback()
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
        let (bracketed, rest) = text.split_at(host_end);
        let (name, port) = match rest.split_once(':') {
            Some((name, port)) => (name, Some(port_number(port)?)),
            None => (rest, None),
        };
        let host = match without_brackets(bracketed) {
            Some(address) if name.is_empty() && address.parse::<Ipv6Addr>().is_ok() => address,
            None if bracketed.is_empty() && is_name(name) => name,
            _ => return Err("has no valid host name or address"),
        };
        let host = host.to_ascii_lowercase();
        Ok(Self { host, port })
    }

    fn is_loopback(&self) -> bool {
        let is_name = self.host == "localhost" || self.host.ends_with(".localhost");
        let address = self.host.parse::<IpAddr>();
        address.map_or(is_name, |address| address.is_loopback())
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&host_of_url(&self.host))?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// As a URL has it: an IPv6 address in its brackets.
pub(super) fn host_of_url(host: &str) -> Cow<'_, str> {
    let address = host.contains(':').then(|| format!("[{host}]"));
    address.map_or(host.into(), Cow::from)
}

pub(super) fn without_brackets(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

/// What is wrong with a URL: what follows the words `the base URL in PLACE`.
pub(super) type UrlFault = &'static str;

/// It is of the site that has this API.
const IS_PAGE: UrlFault = "is the address of a page, not of the API";

/// What RFC 3986 allows in a path.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte)
}

/// Paths that are cut off: configurations that are passed around hold the whole address of a call.
/// `*` is any one part of a path.
const ENDPOINTS: [&str; 14] = [
    "v1",
    "v1/workflow/run",
    "v1/workflow/stream_run",
    "v1/workflow/stream_resume",
    "v1/workflow/get_run_history",
    "v1/workflows/*",
    "v1/workflows/*/run_histories/*",
    "v1/workflows/*/run_histories/*/execute_nodes/*",
    "v1/files/upload",
    "run/stream",
    "stream_run",
    "async_run",
    "v3/chat",
    "open_api/v2/chat",
];

/// The path without the endpoint and the slashes at its end.
fn without_endpoint<'a>(path: &'a str, host: &str) -> &'a str {
    let path = path.trim_end_matches('/');
    let before = |endpoint: &&str| {
        endpoint.rsplit('/').try_fold(path, |rest, part| {
            let (before, last) = rest.rsplit_once('/')?;
            (last == part || part == "*" && !last.is_empty()).then_some(before)
        })
    };
    // Another server may well have its API below this.
    let of_coze = ServiceName::of_host(host).map(|_| &"run");
    let mut endpoints = ENDPOINTS.iter().chain(of_coze);
    let prefix = endpoints.find_map(before).unwrap_or(path);
    prefix.trim_end_matches('/')
}

fn usual_port(is_https: bool) -> u16 {
    if is_https { 443 } else { 80 }
}

fn port_number(text: &str) -> Result<u16, UrlFault> {
    // `parse` alone would take a plus sign.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| is_number && *port != 0);
    port.ok_or("has a port that is no number from 1 to 65535")
}

/// A name or an IPv4 address, by its characters; whether it exists is for the resolver to say.
fn is_name(host: &str) -> bool {
    // A dot at the end marks a name that is complete.
    let labels = host.strip_suffix('.').unwrap_or(host);
    let last = labels.rsplit('.').next().unwrap_or_default();
    // No name ends with a number, and not everybody reads 127.1 as an address.
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return labels.parse::<Ipv4Addr>().is_ok();
    }
    labels.split('.').all(|label| {
        let is_label_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let has_hyphen_at_an_end = label.starts_with('-') || label.ends_with('-');
        let fits = (1..64).contains(&label.len());
        fits && !has_hyphen_at_an_end && label.bytes().all(is_label_byte)
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
    fn a_base_url_is_written_one_way_for_one_server() {
        let written = |text: &str| BaseUrl::parse(text).unwrap().to_string();
        for (one, other) in [
            ("https://API.coze.cn", "https://api.coze.cn"),
            ("HTTPS://api.coze.cn:443/", "https://api.coze.cn"),
            ("http://[::1]:80/p/", "http://[::1]/p"),
        ] {
            assert_eq!(written(one), other);
        }
        for other in [
            "http://api.coze.cn",
            "https://api.coze.com",
            "https://api.coze.cn:80",
            "https://api.coze.cn/Path",
            "https://api.coze.cn/path",
        ] {
            assert_eq!(written(other), other);
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
        for (url, service) in [
            ("https://api.coze.cn/v1", Some(ServiceName::Coze)),
            ("https://API.coze.com:443", Some(ServiceName::Coze)),
            ("https://api.coze.cn.example", None),
            ("https://x1y2.Coze.site/stream_run", Some(ServiceName::Site)),
            ("https://coze.site.example", None),
        ] {
            let url = BaseUrl::parse(url).unwrap();
            let found = ServiceName::of_host(&url.authority.host);
            assert_eq!(found, service, "{url}");
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused_with_a_reason() {
        let no_scheme = "does not begin with https:// or http://";
        let other_scheme = "must begin with https:// or http://";
        let user = "must not hold a user or password";
        let query = "must have no query (?) and no fragment (#)";
        let path = "has a character in its path that must be written as %XX";
        let host = "has no valid host name or address";
        let port = "has a port that is no number from 1 to 65535";
        let page = "is the address of a page, not of the API";
        let table = [
            ("api.coze.cn", no_scheme),
            ("https:/api.coze.cn", no_scheme),
            ("ftp://api.coze.cn", other_scheme),
            ("://api.coze.cn", other_scheme),
            ("https://user:word@api.coze.cn", user),
            ("https://user@api.coze.cn/v1", user),
            ("https://api.coze.cn?a=b", query),
            ("https://api.coze.cn/#top", query),
            ("https://api.coze.cn/a b", path),
            ("https://api.coze.cn/a\nb", path),
            ("https://api.coze.cn/扣子", path),
            ("https://", host),
            ("https:///v1", host),
            ("https://:443", host),
            ("https://api..cn", host),
            ("https://-api.coze.cn", host),
            ("https://127.1", host),
            ("https://api coze.cn", host),
            ("https://扣子.cn", host),
            ("https://api.coze.cn\\v1", host),
            ("https://www.coze.cn", page),
            (
                "https://www.coze.com/work_flow?space_id=1&workflow_id=7",
                page,
            ),
            ("https://[::1", port),
            ("https://[::g]", host),
            ("https://[127.0.0.1]", host),
            ("https://::1/", port),
            ("https://api.coze.cn:", port),
            ("https://api.coze.cn:0", port),
            ("https://api.coze.cn:+80", port),
            ("https://api.coze.cn:65536", port),
        ];
        for (text, fault) in table {
            assert_eq!(BaseUrl::parse(text), Err(fault), "{text}");
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
