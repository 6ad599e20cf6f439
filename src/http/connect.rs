//! How connections are made: ureq's own connectors, each step under its own name, all of them within
//! one time.

use std::fmt;
use std::sync::Arc;

use ureq::Timeout;
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector,
    SocksConnector, TcpConnector, Transport,
};

use super::deadline::{ReadDeadline, TimedTransport};

/// Where on the way a connection could not be made. ureq's own errors do not tell a proxy's
/// refusal from Coze's, nor a broken handshake from a broken response.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// Before there was a wire to Coze: TCP, or what the proxy made of it.
    Wire(ureq::Error),
    Tls(ureq::Error),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Wire(error) | Self::Tls(error)) = self;
        error.fmt(f)
    }
}

impl std::error::Error for ConnectError {}

/// ureq's own chain of connectors, each step under its own name.
#[derive(Debug)]
pub(super) struct Connectors {
    socks: SocksConnector,
    tunnel: ConnectProxyConnector,
    tcp: TcpConnector,
    /// Holds rustls's configuration and with it the sessions to resume: shared by all agents.
    tls: Arc<RustlsConnector>,
    deadline: Arc<ReadDeadline>,
}

impl Connectors {
    pub(super) fn new(tls: Arc<RustlsConnector>, deadline: Arc<ReadDeadline>) -> Self {
        Self {
            socks: SocksConnector::default(),
            tunnel: ConnectProxyConnector::default(),
            tcp: TcpConnector::default(),
            tls,
            deadline,
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

    fn stream(
        &self,
        details: &ConnectionDetails<'_>,
    ) -> Result<Option<impl Transport + use<>>, ureq::Error> {
        let reason = details.timeout.reason;
        let failed = |stage: fn(ureq::Error) -> ConnectError, error| match error {
            // One address of several was given up for this; in the end the budget was spent.
            ureq::Error::Timeout(Timeout::Connect) => ureq::Error::Timeout(reason),
            // A tunnel's own connection comes through here, and has its name already.
            error @ (ureq::Error::Timeout(_) | ureq::Error::Other(_)) => error,
            error => ureq::Error::Other(Box::new(stage(error))),
        };
        let wire = self.wire(details);
        let wire = wire.map_err(|error| failed(ConnectError::Wire, error))?;
        let stream = self.tls.connect(details, wire);
        stream.map_err(|error| failed(ConnectError::Tls, error))
    }
}

impl Connector for Connectors {
    type Out = TimedTransport<Box<dyn Transport>>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let timeout = self.deadline.shorten(details.timeout);
        if timeout.after.is_zero() {
            return Err(ureq::Error::Timeout(timeout.reason));
        }
        let details = within(details, timeout);
        let connect = || self.stream(&details);
        let stream = self.deadline.connecting(*timeout.after, connect)?;
        Ok(stream.map(|stream| TimedTransport {
            stream: Box::new(stream) as Box<dyn Transport>,
            deadline: Arc::clone(&self.deadline),
        }))
    }
}

/// The same details with what is left of the time now.
fn within<'a>(details: &ConnectionDetails<'a>, timeout: NextTimeout) -> ConnectionDetails<'a> {
    ConnectionDetails {
        uri: details.uri,
        addrs: details.addrs.clone(),
        config: details.config,
        request_level: details.request_level,
        resolver: details.resolver,
        now: (details.current_time)(),
        timeout,
        current_time: Arc::clone(&details.current_time),
        run_connector: Arc::clone(&details.run_connector),
        register_shutdown: Arc::clone(&details.register_shutdown),
    }
}
