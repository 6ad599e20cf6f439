//! How connections are made, and what is known of them: whether one may be used again, whether a
//! request left, and a moment beyond which nothing waits. ureq's own connectors, each step under its
//! own name.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ureq::Timeout;
use ureq::http::Uri;
use ureq::http::uri::Scheme;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector,
    SocksConnector, TcpConnector, Transport,
};

use crate::time::Moment;

/// A connection that was idle for so long is not used again: a close that races the request would
/// leave it unknown whether a run was started. Below the 2 s that are promised, for it is looked at a
/// little before the request leaves. ureq counts from where the end of an answer was read, which may
/// be long after it came, so we count ourselves, from the last bytes.
pub(super) const MAX_IDLE_AGE: Duration = Duration::from_millis(1900);

/// Where on the way a connection could not be made. ureq's own errors do not tell a proxy's
/// refusal from Coze's, nor a broken handshake from a broken answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// Before there was a wire to Coze: TCP, or what the proxy made of it.
    Wire(ureq::Error),
    Tls(ureq::Error),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Wire(error) | Self::Tls(error)) = self;
        error.fmt(f)
    }
}

impl std::error::Error for Lost {}

/// ureq's own chain of connectors, each step under its own name.
#[derive(Debug)]
pub(super) struct Road {
    socks: SocksConnector,
    tunnel: ConnectProxyConnector,
    tcp: TcpConnector,
    tls: RustlsConnector,
    curfew: Arc<Curfew>,
    stuck: Stuck,
    kept: Arc<Kept>,
}

impl Road {
    pub(super) fn new(curfew: Arc<Curfew>, stuck: Stuck, kept: Arc<Kept>) -> Self {
        Self {
            socks: SocksConnector::default(),
            tunnel: ConnectProxyConnector::default(),
            tcp: TcpConnector::default(),
            tls: RustlsConnector::default(),
            curfew,
            stuck,
            kept,
        }
    }

    fn wire(
        &self,
        details: &ConnectionDetails<'_>,
    ) -> Result<Option<impl Transport + use<>>, ureq::Error> {
        let wire = self.socks.connect(details, None::<()>)?;
        let wire = self.tunnel.connect(details, wire)?;
        self.tcp.connect(details, wire)
    }
}

impl Connector for Road {
    type Out = Bounded;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Bounded>, ureq::Error> {
        self.kept.replaced();
        // ureq gives every read of a CONNECT proxy's answer the whole connect timeout anew.
        let _guard = self.curfew.by(*details.timeout.after);
        let reason = details.timeout.reason;
        let lost = |stage: fn(ureq::Error) -> Lost, error| match error {
            // One address of several was given up for this; in the end the budget was spent.
            ureq::Error::Timeout(Timeout::Connect) => ureq::Error::Timeout(reason),
            // A tunnel's own connection comes through here, and has its name already.
            error @ (ureq::Error::Timeout(_) | ureq::Error::Other(_)) => error,
            error => ureq::Error::Other(Box::new(stage(error))),
        };
        let wire = self
            .wire(details)
            .map_err(|error| lost(Lost::Wire, error))?;
        let stream = self
            .tls
            .connect(&of_the_agent(details), wire)
            .map_err(|error| lost(Lost::Tls, error))?;
        Ok(stream.map(|stream| Bounded {
            stream: Box::new(stream),
            curfew: Arc::clone(&self.curfew),
            stuck: Arc::clone(&self.stuck),
        }))
    }
}

/// The same details, but said to be the agent's own: for a request's own settings ureq would parse
/// the roots anew with every connection. Ours differ in their timeouts only.
fn of_the_agent<'a>(details: &ConnectionDetails<'a>) -> ConnectionDetails<'a> {
    ConnectionDetails {
        uri: details.uri,
        addrs: details.addrs.clone(),
        config: details.config,
        request_level: false,
        resolver: details.resolver,
        now: details.now,
        timeout: details.timeout,
        current_time: Arc::clone(&details.current_time),
        run_connector: Arc::clone(&details.run_connector),
        register_shutdown: Arc::clone(&details.register_shutdown),
    }
}

/// A connection that keeps the curfew, and knows what did not leave.
#[derive(Debug)]
pub(super) struct Bounded {
    stream: Box<dyn Transport>,
    curfew: Arc<Curfew>,
    stuck: Stuck,
}

impl Transport for Bounded {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.stream.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let timeout = self.curfew.shorten(timeout);
        let sent = self.stream.transmit_output(amount, timeout);
        if sent.is_err() {
            self.stuck.store(true, Ordering::Relaxed);
        }
        sent
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let timeout = self.curfew.shorten(timeout);
        self.stream.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.stream.is_open()
    }

    fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }
}

/// A moment beyond which nothing waits, whatever timeouts the request has: ureq fixes those before
/// it sends the request, and what is left to do afterwards deserves less.
#[derive(Debug, Default)]
pub(super) struct Curfew(Mutex<Option<Moment>>);

impl Curfew {
    /// Until the guard goes, nothing waits for longer than `wait` from now.
    pub(super) fn by(&self, wait: Duration) -> CurfewGuard<'_> {
        let before = *self.lock();
        let moment = Moment::after(wait);
        *self.lock() = before.into_iter().chain(moment).min();
        CurfewGuard {
            curfew: self,
            before,
        }
    }

    pub(super) fn shorten(&self, mut timeout: NextTimeout) -> NextTimeout {
        if let Some(moment) = *self.lock() {
            let left = moment.left();
            timeout.after = timeout.after.min(left.into());
        }
        timeout
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Moment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct CurfewGuard<'a> {
    curfew: &'a Curfew,
    before: Option<Moment>,
}

impl Drop for CurfewGuard<'_> {
    fn drop(&mut self) {
        *self.curfew.lock() = self.before;
    }
}

/// Answers literal addresses itself: ureq starts a thread for every lookup that has a timeout.
#[derive(Debug, Default)]
pub(super) struct Names(DefaultResolver);

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let Some(address) = literal(uri) else {
            let found = self.0.resolve(uri, config, timeout);
            return found.map_err(|error| match error {
                timeout @ ureq::Error::Timeout(_) => timeout,
                _ => ureq::Error::HostNotFound,
            });
        };
        let mut addresses = self.empty();
        addresses.push(address);
        Ok(addresses)
    }
}

/// The port is missing in no proxy's URL, so that only HTTP's own defaults are needed.
fn literal(uri: &Uri) -> Option<SocketAddr> {
    let host = uri.host()?.trim_matches(['[', ']']);
    let address: IpAddr = host.parse().ok()?;
    let default = if uri.scheme() == Some(&Scheme::HTTPS) {
        443
    } else {
        80
    };
    Some(SocketAddr::new(address, uri.port_u16().unwrap_or(default)))
}

/// What is known of the kept connection, and of a server's way with such.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Until when it may be used: renewed with whatever comes over it.
    fresh_until: Mutex<Option<Moment>>,
    /// An answer was read to its end, so that its connection should still be there.
    pub(super) expected: AtomicBool,
    /// It was not there. A server that closes connections so soon will close one in the very moment
    /// when a run is sent, so that none is sent over a kept one any more.
    disappointed: AtomicBool,
}

impl Kept {
    pub(super) fn renew(&self) {
        *self.fresh_until() = Moment::after(MAX_IDLE_AGE);
    }

    fn is_fresh(&self) -> bool {
        self.fresh_until()
            .is_some_and(|until| !until.left().is_zero())
    }

    /// For how long a kept connection may have been idle to carry this call. A look may be lost.
    pub(super) fn max_idle_age(&self, starts: bool) -> Duration {
        let wary = starts && self.disappointed.load(Ordering::Relaxed);
        match self.is_fresh() && !wary {
            true => MAX_IDLE_AGE,
            false => Duration::ZERO,
        }
    }

    /// A call has gone over it, if no new connection was made for it.
    pub(super) fn used(&self, broke: bool) {
        if self.expected.swap(false, Ordering::Relaxed) && broke {
            self.disappointed.store(true, Ordering::Relaxed);
        }
    }

    /// A new connection is made.
    pub(super) fn replaced(&self) {
        if self.expected.swap(false, Ordering::Relaxed) && self.is_fresh() {
            self.disappointed.store(true, Ordering::Relaxed);
        }
    }

    fn fresh_until(&self) -> MutexGuard<'_, Option<Moment>> {
        self.fresh_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write failed: the request did not leave whole, even if ureq had taken all of it. A write that
/// worked proves nothing: what became of its bytes, nobody knows.
pub(super) type Stuck = Arc<AtomicBool>;

#[cfg(test)]
mod tests {
    use std::io;

    use ureq::unversioned::transport::LazyBuffers;

    use super::*;

    #[test]
    fn a_curfew_only_ever_shortens_and_ends_with_its_guard() {
        let curfew = Curfew::default();
        let left = || curfew.shorten(NextTimeout::default()).after;
        let hour = Duration::from_secs(3600);
        let outer = curfew.by(Duration::ZERO);
        let inner = curfew.by(hour);
        assert!(left().is_zero());
        drop(inner);
        assert!(left().is_zero());
        drop(outer);
        assert!(left().is_not_happening());
    }

    #[test]
    fn a_server_that_closes_a_kept_connection_is_sent_no_run_over_another() {
        let kept = Kept::default();
        let keeps = || kept.expected.store(true, Ordering::Relaxed);
        kept.renew();
        assert_eq!(kept.max_idle_age(true), MAX_IDLE_AGE);
        kept.replaced();
        assert_eq!(kept.max_idle_age(true), MAX_IDLE_AGE, "none was kept");
        keeps();
        kept.replaced();
        assert_eq!(kept.max_idle_age(true), Duration::ZERO);
        assert_eq!(
            kept.max_idle_age(false),
            MAX_IDLE_AGE,
            "a look starts nothing"
        );
        let kept = Kept::default();
        kept.renew();
        kept.used(true);
        assert_eq!(kept.max_idle_age(true), MAX_IDLE_AGE, "it was a new one");
        kept.expected.store(true, Ordering::Relaxed);
        kept.used(true);
        assert_eq!(kept.max_idle_age(true), Duration::ZERO, "it was closed");
    }

    #[test]
    fn a_write_that_fails_shows_that_the_request_did_not_leave_whole() {
        let stuck = Stuck::default();
        let mut connection = Bounded {
            stream: Box::new(Closed(LazyBuffers::new(100, 100))),
            curfew: Arc::default(),
            stuck: Arc::clone(&stuck),
        };
        let sent = connection.transmit_output(1, NextTimeout::default());
        assert!(sent.is_err() && stuck.load(Ordering::Relaxed));
    }

    /// A connection whose other end has gone.
    #[derive(Debug)]
    struct Closed(LazyBuffers);

    impl Transport for Closed {
        fn buffers(&mut self) -> &mut dyn Buffers {
            &mut self.0
        }

        fn transmit_output(&mut self, _: usize, _: NextTimeout) -> Result<(), ureq::Error> {
            Err(io::Error::from(io::ErrorKind::BrokenPipe).into())
        }

        fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
            Ok(false)
        }

        fn is_open(&mut self) -> bool {
            false
        }
    }
}
