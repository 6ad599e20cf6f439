//! Names → addresses, on a thread that is made before anything is sent. ureq's own resolver makes
//! one for every lookup, and panics when none can be had.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use ureq::http::Uri;
use ureq::http::uri::Scheme;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::failure::CallContext;
use crate::error::Error;

/// The most addresses that ureq takes.
const MOST: usize = 16;

/// Looks up one name at a time. A lookup can't be ended, only be waited for no longer.
#[derive(Clone, Debug)]
pub(super) struct LookupThread(Sender<Lookup>);

#[derive(Debug)]
struct Lookup {
    host: String,
    port: u16,
    /// None of them says that there is no such name.
    found: Sender<Vec<SocketAddr>>,
}

impl LookupThread {
    /// None is needed where every host is an address, or left to the proxy.
    pub(super) fn new(base: &Uri, proxy: Option<&ureq::Proxy>) -> Result<Option<Self>, Error> {
        let resolves_target = proxy.is_none_or(ureq::Proxy::resolve_target);
        let target = base.host().filter(|_| resolves_target);
        let mut hosts = target.into_iter().chain(proxy.map(ureq::Proxy::host));
        if hosts.all(|host| bare(host).parse::<IpAddr>().is_ok()) {
            return Ok(None);
        }
        Self::start(|host, port| Ok((host, port).to_socket_addrs()?.collect())).map(Some)
    }

    fn start(
        find: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> Result<Self, Error> {
        let (lookups, inbox) = mpsc::channel::<Lookup>();
        let work = move || {
            for lookup in &inbox {
                // Nobody waits any more for what was asked before the last.
                let lookup = inbox.try_iter().last().unwrap_or(lookup);
                let found = find(&lookup.host, lookup.port).unwrap_or_default();
                let _ = lookup.found.send(found);
            }
        };
        let thread = thread::Builder::new().name("lookup".to_owned()).spawn(work);
        thread.map(|_| Self(lookups)).map_err(|error| {
            let message = format!("cannot start the thread that looks up names: {error}");
            Error::config(message).hint(
                "allow this process another thread, or name hosts by their addresses",
                "请允许本进程再创建一个线程，或用 IP 地址代替主机名",
            )
        })
    }

    /// None when the time was not enough.
    fn addresses(&self, host: &str, port: u16, most: Duration) -> Option<Vec<SocketAddr>> {
        let (found, answer) = mpsc::channel();
        let host = host.to_owned();
        // If the thread is gone, so is `found`, and the answer says it.
        let _ = self.0.send(Lookup { host, port, found });
        match answer.recv_timeout(most) {
            Ok(addresses) => Some(addresses),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Vec::new()),
        }
    }
}

/// Answers literal addresses itself, and names with the help of the thread.
#[derive(Debug)]
pub(super) struct LiteralResolver {
    pub(super) names: Option<LookupThread>,
    pub(super) context: Arc<CallContext>,
}

impl Resolver for LiteralResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = bare(uri.host().unwrap_or_default());
        let is_https = uri.scheme() == Some(&Scheme::HTTPS);
        // A proxy's URL always has its port, so that only HTTP's own defaults are needed.
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let mut found = match (host.parse::<IpAddr>(), &self.names) {
            (Ok(address), _) => vec![SocketAddr::new(address, port)],
            (Err(_), Some(names)) => {
                let timeout = self.context.deadline.shorten(timeout);
                let found = names.addresses(host, port, *timeout.after);
                found.ok_or(ureq::Error::Timeout(timeout.reason))?
            }
            (Err(_), None) => Vec::new(),
        };
        // SOCKS4 knows IPv4 only, and ureq gives the proxy the first address.
        if config.proxy().is_some_and(ureq::Proxy::resolve_target) {
            found.sort_by_key(SocketAddr::is_ipv6);
        }
        let mut addresses = self.empty();
        for address in found.into_iter().take(MOST) {
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        Ok(addresses)
    }
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match host {
            "one" => Ok(vec![([127, 0, 0, 1], port).into()]),
            "two" => Ok(vec![([127, 0, 0, 2], port).into()]),
            "many" => Ok((0..99)
                .map(|last| ([127, 0, 0, last], port).into())
                .collect()),
            "both" => Ok(vec![
                ([0, 0, 0, 0, 0, 0, 0, 1], port).into(),
                ([127, 0, 0, 1], port).into(),
            ]),
            "empty" => Ok(Vec::new()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn resolve(url: &str, proxy: Option<&str>) -> Result<Vec<String>, ureq::Error> {
        let resolver = LiteralResolver {
            names: Some(LookupThread::start(look_up).unwrap()),
            context: Arc::default(),
        };
        let proxy = proxy.map(|proxy| ureq::Proxy::new(proxy).unwrap());
        let config = ureq::Agent::config_builder().proxy(proxy).build();
        let found = resolver.resolve(&url.parse().unwrap(), &config, NextTimeout::default())?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_name_or_an_address_is_found_with_the_port_of_its_url() {
        let cases = [
            ("http://one", "127.0.0.1:80"),
            ("https://one", "127.0.0.1:443"),
            ("https://two:8443", "127.0.0.2:8443"),
            ("http://10.0.0.1:81", "10.0.0.1:81"),
            ("https://[::1]", "[::1]:443"),
        ];
        for (url, address) in cases {
            assert_eq!(resolve(url, None).unwrap(), [address], "{url}");
        }
    }

    #[test]
    fn a_name_without_an_address_is_not_found() {
        for url in ["http://nobody", "http://empty"] {
            let found = resolve(url, None);
            assert!(matches!(found, Err(ureq::Error::HostNotFound)), "{url}");
        }
    }

    #[test]
    fn more_addresses_than_ureq_takes_are_cut_off() {
        assert_eq!(resolve("http://many", None).unwrap().len(), MOST);
    }

    #[test]
    fn a_socks4_proxy_is_told_the_ipv4_address_of_a_host_that_has_both() {
        let of = |proxy| resolve("http://both", proxy).unwrap().remove(0);
        assert_eq!(of(None), "[::1]:80");
        assert_eq!(of(Some("socks4://10.0.0.1:1080")), "127.0.0.1:80");
    }

    #[test]
    fn a_lookup_that_hangs_is_not_waited_for_and_not_taken_for_the_next() {
        let (open, gate) = channel::<()>();
        let (began, names_begun) = channel();
        let names = LookupThread::start(move |host, port| {
            began.send(host.to_owned()).unwrap();
            if host == "one" {
                gate.recv().unwrap();
            }
            look_up(host, port)
        });
        let names = names.unwrap();
        let moment = Duration::from_millis(10);
        assert!(names.addresses("one", 80, moment).is_none());
        assert!(names.addresses("both", 80, moment).is_none());
        open.send(()).unwrap();
        let found = names.addresses("two", 80, Duration::from_secs(60));
        assert_eq!(found.unwrap(), [([127, 0, 0, 2], 80).into()]);
        assert_eq!(names_begun.recv().unwrap(), "one");
    }

    #[test]
    fn a_thread_is_made_only_where_a_name_must_be_looked_up() {
        let cases = [
            ("https://api.coze.cn", None, true),
            ("http://localhost:1", None, true),
            ("http://127.0.0.1:1", None, false),
            ("http://[::1]:1", None, false),
            ("https://api.coze.cn", Some("http://10.0.0.1:1"), false),
            ("https://api.coze.cn", Some("socks5h://[::1]:1"), false),
            ("https://api.coze.cn", Some("socks4a://10.0.0.1:1"), false),
            ("https://api.coze.cn", Some("socks4://10.0.0.1:1"), true),
            ("https://api.coze.cn", Some("socks5://10.0.0.1:1"), true),
            ("http://127.0.0.1:1", Some("http://proxy:1"), true),
        ];
        for (url, proxy, is_needed) in cases {
            let of_ureq = proxy.map(|proxy| ureq::Proxy::new(proxy).unwrap());
            let thread = LookupThread::new(&url.parse().unwrap(), of_ureq.as_ref()).unwrap();
            assert_eq!(thread.is_some(), is_needed, "{url} {proxy:?}");
        }
    }
}
