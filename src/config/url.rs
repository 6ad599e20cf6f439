//! The base URL: `http(s)://host[:port][/prefix]`, as RFC 3986 has it, and the host and port that a
//! proxy's URL shares with it. No message repeats the text: a key lands in the wrong variable easily.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Where Coze is. Its `Display` has no slash at the end, so that a path can be put behind it.
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
        if rest.contains(['?', '#']) {
            return Err(UrlFault::QueryOrFragment);
        }
        let path_start = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_start);
        if authority.contains('@') {
            return Err(UrlFault::User);
        }
        if !path.bytes().all(is_path_byte) {
            return Err(UrlFault::Path);
        }
        Ok(Self {
            is_https,
            authority: Authority::parse(authority)?,
            prefix: without_endpoint(path).to_owned(),
        })
    }

    pub(super) fn port(&self) -> u16 {
        let usual = if self.is_https { 443 } else { 80 };
        self.authority.port.unwrap_or(usual)
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
        // The colons of an IPv6 address stand before its closing bracket.
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

    pub(super) fn is_loopback(&self) -> bool {
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
        })
    }
}

/// What RFC 3986 allows in a path.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte)
}

/// The path without the slashes and the part of an endpoint at its end: configurations that are
/// passed around hold the whole address of `stream_run`.
fn without_endpoint(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    ["/v1/workflow/stream_run", "/v1/workflow/run", "/v1"]
        .into_iter()
        .find_map(|endpoint| path.strip_suffix(endpoint))
        .unwrap_or(path)
        .trim_end_matches('/')
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
    fn a_base_url_is_what_stands_before_the_path_of_a_call() {
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
        ];
        for (text, url) in table {
            let parsed = BaseUrl::parse(text).map(|url| url.to_string());
            assert_eq!(parsed.as_deref(), Ok(url), "{text}");
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
