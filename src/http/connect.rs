//! How connections are made: ureq's own connectors, each step under its own name, all of them within
//! one time.

use std::sync::Arc;

use ureq::Timeout;
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, RustlsConnector, SocksConnector,
    TcpConnector, Transport,
};

use super::deadline::TimedTransport;
use super::failure::CallContext;
use super::{Cause, Failure};

/// ureq's own chain of connectors. Why one of them makes no connection is said here, where it is
/// known which it was: ureq's own errors do not tell a proxy's refusal from Coze's, nor a broken
/// handshake from a broken response.
#[derive(Debug)]
pub(super) struct Connectors {
    /// Holds rustls's configuration and with it the sessions to resume: shared by all agents.
    pub(super) tls: Arc<RustlsConnector>,
    pub(super) context: Arc<CallContext>,
}

impl Connectors {
    fn stream(
        &self,
        details: &ConnectionDetails<'_>,
    ) -> Result<Option<Box<dyn Transport>>, ureq::Error> {
        let failed = |why: fn(&CallContext, &ureq::Error) -> (Cause, String), error| match error {
            // One address of several was given up for this; in the end the budget was spent.
            ureq::Error::Timeout(Timeout::Connect) => ureq::Error::Timeout(details.timeout.reason),
            // A tunnel's own connection comes through here, and its failure is said already.
            error @ (ureq::Error::Timeout(_) | ureq::Error::Other(_)) => error,
            error => ureq::Error::Other(Box::new(Failure::not_sent(why(&self.context, &error)))),
        };
        let wire = SocksConnector::default().connect(details, None::<()>);
        let wire = wire.and_then(|wire| ConnectProxyConnector::default().connect(details, wire));
        let wire = wire.and_then(|wire| TcpConnector::default().connect(details, wire));
        let wire = wire.map_err(|error| failed(CallContext::no_wire, error))?;
        // Below TLS, which gives up as a whole when it can't write.
        let wire = wire.map(|stream| TimedTransport {
            stream,
            context: Arc::clone(&self.context),
        });
        let stream = self.tls.connect(details, wire);
        let stream = stream.map_err(|error| failed(CallContext::no_tls, error))?;
        Ok(stream.map(|stream| Box::new(stream) as Box<dyn Transport>))
    }
}

impl Connector for Connectors {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let timeout = self.context.deadline.shorten(details.timeout);
        if timeout.after.is_zero() {
            return Err(ureq::Error::Timeout(timeout.reason));
        }
        // The same with what is left of the time now.
        let details = ConnectionDetails {
            addrs: details.addrs.clone(),
            now: (details.current_time)(),
            timeout,
            current_time: Arc::clone(&details.current_time),
            run_connector: Arc::clone(&details.run_connector),
            register_shutdown: Arc::clone(&details.register_shutdown),
            ..*details
        };
        let connect = || self.stream(&details);
        self.context.deadline.connecting(*timeout.after, connect)
    }
}
