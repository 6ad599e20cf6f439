//! Which proxy is between this machine and the base URL, by the variables that curl reads.
//! ureq's own reading skips a bad value without a word and goes there directly; here it is an error,
//! for a direct connection may be what the proxy is there to prevent.

use std::fmt;
use std::net::IpAddr;

use crate::error::Error;

use super::env::Env;
use super::url::{self, Authority, BaseUrl, UrlFault};

/// A proxy that is to be used. Its `Debug` and `Display` show neither user nor password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) protocol: ProxyProtocol,
    /// As a URL has it: an IPv6 address in its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    /// The variable that names it.
    pub(crate) source: String,
}

impl Proxy {
    /// For sentences: where it is and who named it, never its password.
    pub(crate) fn name(&self) -> String {
        format!("proxy {}:{} ({})", self.host, self.port, self.source)
    }
}

/// How to speak to a proxy; the target is tunnelled in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyProtocol {
    /// CONNECT, for an http target as well.
    Http,
    Socks4,
    Socks4a,
    Socks5,
    Socks5h,
}

/// The proxy for the base URL, if there is one.
pub(super) fn choose(base_url: &BaseUrl, env: &Env) -> Result<Option<Proxy>, Error> {
    let Some((variable, value)) = variable(base_url.is_https, env) else {
        return Ok(None);
    };
    let exceptions = env.text("no_proxy").or_else(|| env.text("NO_PROXY"));
    if exceptions.is_some_and(|list| is_exempt(&list, &base_url.authority.host, base_url.port())) {
        return Ok(None);
    }
    // The value is never repeated: it may hold a password.
    parse(&value, variable).map(Some).map_err(|fault| {
        Error::config(format!("the proxy in {variable} {fault}")).hint(
            "write http://user:password@host:port or socks5h://…, with %XX for special characters",
            "请写成 http://用户名:密码@主机:端口 或 socks5h://…，特殊字符写作 %XX",
        )
    })
}

/// The schemes of a proxy's URL, the first of each protocol for sentences, and their usual ports.
const SCHEMES: [(&str, ProxyProtocol, u16); 6] = [
    ("http", ProxyProtocol::Http, 80),
    ("socks4", ProxyProtocol::Socks4, 1080),
    ("socks4a", ProxyProtocol::Socks4a, 1080),
    ("socks5", ProxyProtocol::Socks5, 1080),
    ("socks5h", ProxyProtocol::Socks5h, 1080),
    ("socks", ProxyProtocol::Socks5, 1080),
];

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut schemes = SCHEMES.into_iter();
        let scheme = schemes.find(|(_, protocol, _)| *protocol == self.protocol);
        let scheme = scheme.map_or("", |(scheme, ..)| scheme);
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({})", self.source)
    }
}

/// The first variable that is set, among those for the target's scheme.
fn variable(is_https: bool, env: &Env) -> Option<(&'static str, String)> {
    let names = if is_https {
        ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    } else {
        ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
    };
    // In a CGI program HTTP_PROXY is the request's header `Proxy`: anybody may set it.
    let is_cgi = env.text("REQUEST_METHOD").is_some();
    let is_trusted = |name: &&str| !is_cgi || *name != "HTTP_PROXY";
    let mut names = names.into_iter().filter(is_trusted);
    names.find_map(|name| Some((name, env.text(name)?)))
}

fn parse(value: &str, variable: &str) -> Result<Proxy, UrlFault> {
    let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
    if scheme.eq_ignore_ascii_case("https") {
        return Err("is an https:// one, which is not supported");
    }
    let mut schemes = SCHEMES.into_iter();
    let known = schemes.find(|(known, ..)| scheme.eq_ignore_ascii_case(known));
    let (_, protocol, usual_port) = known.ok_or("has an unknown scheme")?;
    // The last @: a password may hold one that nobody escaped.
    let (credentials, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    let place = place.strip_suffix('/').unwrap_or(place);
    if place.contains(['/', '?', '#']) {
        return Err("has something after host and port");
    }
    let (user, password) = match credentials.split_once(':') {
        None if credentials.is_empty() => (None, None),
        None => (Some(decoded(credentials)?), None),
        Some((user, password)) => (Some(decoded(user)?), Some(decoded(password)?)),
    };
    let is_socks4 = matches!(protocol, ProxyProtocol::Socks4 | ProxyProtocol::Socks4a);
    if is_socks4 && user.is_some() {
        return Err("has a user, which can't be sent to a SOCKS4 proxy: use socks5h");
    }
    let authority = Authority::parse(place)?;
    Ok(Proxy {
        protocol,
        host: url::host_of_url(&authority.host).into_owned(),
        port: authority.port.unwrap_or(usual_port),
        user,
        password,
        source: variable.to_owned(),
    })
}

/// `%XX` decoded. A percent sign that begins no such thing means itself, as in curl.
fn decoded(text: &str) -> Result<String, UrlFault> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.split_first_chunk().filter(|_| first == b'%');
        let escaped = escaped.and_then(|(digits, after)| Some((hex(*digits)?, after)));
        let (byte, after) = escaped.unwrap_or((first, after));
        bytes.push(byte);
        rest = after;
    }
    // What was no UTF-8 in the environment has arrived as U+FFFD.
    let is_odd = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
    let text = String::from_utf8(bytes).ok();
    let text = text.filter(|text| !text.contains(is_odd));
    text.ok_or("has a user or password that is no text")
}

fn hex(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? * 16 + low?).ok()
}

/// Whether `NO_PROXY` lists the target. An entry that makes no sense lists nothing.
fn is_exempt(list: &str, host: &str, port: u16) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    list.split(|c: char| c == ',' || c.is_whitespace())
        .any(|entry| covers(&entry.to_ascii_lowercase(), host, port))
}

fn covers(entry: &str, host: &str, port: u16) -> bool {
    let address = host.parse::<IpAddr>().ok();
    if let Some((network, bits)) = entry.split_once('/') {
        let (network, bits) = (network.parse().ok(), bits.parse().ok());
        let range = address.zip(network).zip(bits);
        return range.is_some_and(|((address, network), bits)| is_within(address, network, bits));
    }
    let (name, entry_port) = without_port(entry);
    let is_listed = match address {
        _ if name == "*" => true,
        // `0.0.1` is no domain that 127.0.0.1 lies in.
        Some(address) => name.parse() == Ok(address),
        None => is_below(host, name),
    };
    is_listed && entry_port.is_none_or(|entry_port| entry_port == port)
}

/// `[::1]:80`, `::1`, `host:80`
fn without_port(entry: &str) -> (&str, Option<u16>) {
    let is_address = entry.parse::<IpAddr>().is_ok();
    let with_port = entry.rsplit_once(':').filter(|_| !is_address);
    let with_port = with_port.and_then(|(name, port)| Some((name, Some(port.parse().ok()?))));
    let (name, port) = with_port.unwrap_or((entry, None));
    let address = url::without_brackets(name);
    (address.unwrap_or(name), port)
}

/// Whether the host is the domain or lies in it, however the domain's dot is written.
fn is_below(host: &str, domain: &str) -> bool {
    let domain = domain.strip_prefix('*').unwrap_or(domain);
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let front = host.strip_suffix(domain).filter(|_| !domain.is_empty());
    front.is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let (difference, width) = match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (u128::from(one.to_bits() ^ other.to_bits()), 32),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits(), 128),
        _ => return false,
    };
    let unlike = |rest| difference.checked_shr(rest).unwrap_or(0) != 0;
    bits <= width && !unlike(width - bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(base_url: &str, variables: &[(&str, &str)]) -> Result<Option<Proxy>, Error> {
        choose(
            &BaseUrl::parse(base_url).unwrap(),
            &Env::scripted(variables),
        )
    }

    #[track_caller]
    fn source(base_url: &str, variables: &[(&str, &str)]) -> Option<String> {
        chosen(base_url, variables)
            .unwrap()
            .map(|proxy| proxy.source)
    }

    #[track_caller]
    fn proxy(value: &str) -> Proxy {
        chosen("https://api.coze.cn", &[("https_proxy", value)])
            .unwrap()
            .expect("a proxy")
    }

    #[test]
    fn the_targets_scheme_and_the_lower_case_decide_which_variable_counts() {
        let mut variables = vec![
            ("https_proxy", "a"),
            ("HTTPS_PROXY", "a"),
            ("all_proxy", "a"),
            ("ALL_PROXY", "a"),
        ];
        while let Some(first) = variables.first() {
            let expected = Some(first.0.to_owned());
            assert_eq!(source("https://api.coze.cn", &variables), expected);
            variables.remove(0);
        }
        let http = [
            ("HTTP_PROXY", "a"),
            ("https_proxy", "b"),
            ("ALL_PROXY", "c"),
        ];
        assert_eq!(
            source("http://studio", &http).as_deref(),
            Some("HTTP_PROXY")
        );
        assert_eq!(
            source("https://studio", &http[..1]),
            None,
            "http_proxy is not for https targets"
        );
    }

    #[test]
    fn an_empty_variable_is_unset() {
        let variables = [
            ("https_proxy", ""),
            ("HTTPS_PROXY", " "),
            ("all_proxy", "a"),
        ];
        let source = source("https://api.coze.cn", &variables);
        assert_eq!(source.as_deref(), Some("all_proxy"));
    }

    #[test]
    fn a_cgi_program_does_not_trust_http_proxy_in_capitals() {
        let variables = [("HTTP_PROXY", "a"), ("REQUEST_METHOD", "GET")];
        assert_eq!(source("http://studio", &variables), None);
        let variables = [("http_proxy", "a"), ("REQUEST_METHOD", "GET")];
        assert!(source("http://studio", &variables).is_some());
    }

    #[test]
    fn a_proxy_is_a_protocol_a_host_and_a_port() {
        let table = [
            ("proxy", "http://proxy:80"),
            ("proxy:3128", "http://proxy:3128"),
            ("HTTP://Proxy:3128/", "http://proxy:3128"),
            ("http://[::1]:3128", "http://[::1]:3128"),
            ("socks4://proxy", "socks4://proxy:1080"),
            ("socks4a://proxy", "socks4a://proxy:1080"),
            ("socks://proxy", "socks5://proxy:1080"),
            ("socks5://proxy:9", "socks5://proxy:9"),
            ("socks5h://proxy", "socks5h://proxy:1080"),
        ];
        for (value, expected) in table {
            assert_eq!(proxy(value).to_string(), expected, "{value}");
        }
    }

    #[test]
    fn user_and_password_are_decoded_once() {
        let table = [
            ("http://proxy", None, None),
            ("http://@proxy", None, None),
            ("http://user@proxy", Some("user"), None),
            ("user:word@proxy:3128", Some("user"), Some("word")),
            (
                "http://u%40x:p%3Aw%2525+@proxy",
                Some("u@x"),
                Some("p:w%25+"),
            ),
            ("http://user:p@ss@proxy", Some("user"), Some("p@ss")),
            ("http://user:100%@proxy", Some("user"), Some("100%")),
            ("http://user:%+1@proxy", Some("user"), Some("%+1")),
            ("http://:word@proxy", Some(""), Some("word")),
        ];
        for (value, user, password) in table {
            let proxy = proxy(value);
            let found = (proxy.user.as_deref(), proxy.password.as_deref());
            assert_eq!(found, (user, password), "{value}");
        }
    }

    #[test]
    fn a_proxy_that_can_not_be_used_is_refused_and_not_repeated() {
        let table = [
            (
                "https://user:secret@proxy",
                "is an https:// one, which is not supported",
            ),
            ("ftp://user:secret@proxy", "has an unknown scheme"),
            (
                "socks4a://secret@proxy",
                "has a user, which can't be sent to a SOCKS4 proxy: use socks5h",
            ),
            (
                "http://user:secret%00@proxy",
                "has a user or password that is no text",
            ),
            (
                "http://user:secret%ff@proxy",
                "has a user or password that is no text",
            ),
            (
                "http://user:secret@proxy/path",
                "has something after host and port",
            ),
            ("http://user:sec/ret", "has something after host and port"),
            ("http://user:secret@", "has no valid host name or address"),
            (
                "http://user:secret@pro xy",
                "has no valid host name or address",
            ),
            (
                "http://user:secret@proxy:x",
                "has a port that is no number from 1 to 65535",
            ),
        ];
        for (value, reason) in table {
            let fault = chosen("https://api.coze.cn", &[("HTTPS_PROXY", value)]).unwrap_err();
            let sentence = format!("the proxy in HTTPS_PROXY {reason}");
            assert_eq!(fault.message, sentence, "{value}");
        }
    }

    #[test]
    fn neither_user_nor_password_is_ever_shown() {
        let proxy = proxy("http://user:secret@proxy:3128");
        let shown = format!("{proxy:?} {proxy}");
        assert!(
            !shown.contains("user") && !shown.contains("secret"),
            "{shown}"
        );
    }

    #[test]
    fn no_proxy_lists_names_addresses_and_ranges() {
        let table = [
            ("*", "https://api.coze.cn", true),
            ("coze.cn", "https://api.coze.cn", true),
            (".coze.cn", "https://api.coze.cn", true),
            ("*.coze.cn", "https://api.coze.cn", true),
            (".coze.cn", "https://coze.cn", true),
            ("COZE.cn.", "https://Api.Coze.CN.", true),
            ("oze.cn", "https://api.coze.cn", false),
            ("api.coze.cn.com", "https://api.coze.cn", false),
            ("a, b ,coze.cn", "https://api.coze.cn", true),
            ("a b coze.cn", "https://api.coze.cn", true),
            ("coze.cn:443", "https://api.coze.cn", true),
            ("coze.cn:80", "https://api.coze.cn", false),
            ("*:8888", "http://studio:8888", true),
            (", .,*.", "https://api.coze.cn", false),
            ("10.0.0.7", "http://10.0.0.7:8888", true),
            ("10.0.0.7:8888", "http://10.0.0.7:8888", true),
            ("0.0.7", "http://10.0.0.7", false),
            ("10.0.0.0/8", "http://10.9.9.9", true),
            ("10.0.0.0/8", "http://11.0.0.0", false),
            ("0.0.0.0/0", "http://11.0.0.0", true),
            ("10.0.0.7/32", "http://10.0.0.7", true),
            ("10.0.0.7/33", "http://10.0.0.7", false),
            ("10.0.0.0/8", "http://10.example", false),
            ("::1", "http://[::1]:8888", true),
            ("[::1]:8888", "http://[::1]:8888", true),
            ("[::1]:80", "http://[::1]:8888", false),
            ("0:0::1", "http://[::1]", true),
            ("fd00::/8", "http://[fd12::1]", true),
            ("fd00::/8", "http://[fe80::1]", false),
            ("::/0", "http://[fe80::1]", true),
            ("fd00::/8", "http://10.0.0.7", false),
        ];
        for (list, base_url, expected) in table {
            let variables = [("all_proxy", "proxy"), ("NO_PROXY", list)];
            let is_direct = source(base_url, &variables).is_none();
            assert_eq!(is_direct, expected, "{list} for {base_url}");
        }
    }

    #[test]
    fn the_lower_case_no_proxy_wins() {
        let variables = [("all_proxy", "proxy"), ("no_proxy", "b"), ("NO_PROXY", "a")];
        assert!(source("https://a", &variables).is_some());
        assert_eq!(source("https://b", &variables), None);
    }

    #[test]
    fn a_bad_proxy_that_is_not_used_harms_nobody() {
        let variables = [("https_proxy", "ftp://proxy"), ("NO_PROXY", "coze.cn")];
        assert_eq!(chosen("https://api.coze.cn", &variables), Ok(None));
        assert_eq!(chosen("http://studio", &variables), Ok(None));
    }
}
