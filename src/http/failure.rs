//! ureq's errors → what went wrong, in a sentence that names the host or the proxy, and what it proves.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ureq::Timeout;
use ureq::http::Uri;

use super::client::MAX_HEADER;
use super::connect::ConnectError;
use super::{Cause, Failure, Reach};
use crate::config::{Config, Proxy};

/// One call on its way, as far as a failure has to report it.
pub(super) struct CallContext {
    pub(super) target: Arc<Target>,
    pub(super) idle: Duration,
    /// It sends something that is more than a question.
    pub(super) is_post: bool,
}

/// How far a call had come when it failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Sending,
    /// In the middle of a body that could not be read.
    Unreadable,
    /// In the middle of a body: the server stopped reading, and would again.
    Stopped,
    Waiting,
    Reading,
}

impl CallContext {
    /// What ureq's error means. The stage alone decides whether something may have been started:
    /// a server can't act on a request that it does not have whole.
    pub(super) fn failure(&self, error: ureq::Error, stage: Stage) -> Failure {
        let (cause, detail) = match (stage, self.cause(error, stage)) {
            (Stage::Stopped, (Cause::Cut, detail)) => (Cause::Stopped, detail),
            (Stage::Unreadable, (Cause::Cut, detail)) => (Cause::Unreadable, detail),
            (_, reported) => reported,
        };
        let reach = match stage {
            Stage::Waiting | Stage::Reading if self.is_post => Reach::MaybeSent,
            _ => Reach::NotSent,
        };
        Failure {
            reach,
            cause,
            detail,
        }
    }

    fn cause(&self, error: ureq::Error, stage: Stage) -> (Cause, String) {
        let host = &self.target.host;
        match error {
            ureq::Error::Timeout(timeout) => self.late(timeout, stage),
            ureq::Error::HostNotFound => {
                (Cause::Dns, format!("{}: name not found", self.target.name))
            }
            ureq::Error::LargeResponseHeader(..) => {
                let limit = MAX_HEADER / 1024;
                let detail = format!("the header of {host}'s answer is larger than {limit} KiB");
                (Cause::TooLarge, detail)
            }
            ureq::Error::Protocol(fault) => {
                (Cause::Cut, format!("what {host} sent is not HTTP: {fault}"))
            }
            ureq::Error::Other(other) => match other.downcast().map(|error| *error) {
                Ok(ConnectError::Wire(error)) => self.target.no_wire(error),
                Ok(ConnectError::Tls(error)) => self.target.no_tls(&error),
                Err(other) => (Cause::Cut, format!("the call to {host} failed: {other}")),
            },
            ureq::Error::Io(error) => (Cause::Cut, cut(host, &error, stage)),
            other => (Cause::Cut, format!("the call to {host} failed: {other}")),
        }
    }

    fn late(&self, timeout: Timeout, stage: Stage) -> (Cause, String) {
        let Target { host, name, .. } = &*self.target;
        let (connect, idle) = (seconds(self.target.connect), seconds(self.idle));
        match timeout {
            Timeout::PerRead => (
                Cause::Silent,
                format!("nothing came from {host} for {idle}"),
            ),
            Timeout::PerWrite => (Cause::Silent, format!("{host} took nothing for {idle}")),
            Timeout::Resolve => (
                Cause::Dns,
                format!("{name}: no answer from the name server within {connect}"),
            ),
            Timeout::Connect => {
                let (cause, peer) = self.target.peer();
                (cause, format!("no answer from {peer} within {connect}"))
            }
            // No other timeout is ever set.
            _ if stage == Stage::Reading => (
                Cause::Deadline,
                format!("the deadline came in the middle of {host}'s answer"),
            ),
            _ => (
                Cause::Deadline,
                format!("the deadline came before {host} answered"),
            ),
        }
    }
}

fn cut(host: &str, error: &io::Error, stage: Stage) -> String {
    let reason = plain(error);
    match stage {
        Stage::Reading => format!("{host}'s answer was cut short: {reason}"),
        Stage::Waiting => format!("{host} gave no answer: {reason}"),
        Stage::Unreadable => format!("what is to be sent can't be read: {reason}"),
        Stage::Sending | Stage::Stopped => format!("{host} stopped reading the request: {reason}"),
    }
}

/// An I/O error in the house style: `Connection refused (os error 111)` is `connection refused`.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// Where the calls go, in the words of the sentences.
pub(super) struct Target {
    /// Without the port: what is looked up.
    name: String,
    /// As it is in the base URL, with the port if there is one.
    host: String,
    proxy: Option<String>,
    connect: Duration,
}

impl Target {
    pub(super) fn new(base: &Uri, config: &Config) -> Self {
        let host = base.authority().map_or("", |authority| authority.as_str());
        Self {
            name: base.host().unwrap_or_default().to_owned(),
            host: host.to_owned(),
            proxy: config.proxy.as_ref().map(Proxy::name),
            connect: config.connect_timeout,
        }
    }

    /// Who is connected to, and what it is called when that does not work.
    fn peer(&self) -> (Cause, &str) {
        match &self.proxy {
            Some(proxy) => (Cause::Proxy, proxy),
            None => (Cause::Connect, &self.host),
        }
    }

    fn no_wire(&self, error: ureq::Error) -> (Cause, String) {
        let (cause, peer) = self.peer();
        let refused = |sentence| (Cause::ProxyRefused, sentence);
        let reason = match error {
            ureq::Error::HostNotFound => return (cause, format!("{peer}: name not found")),
            ureq::Error::Io(error) if error.raw_os_error().is_some() => {
                let reason = plain(&error);
                return (cause, format!("cannot connect to {peer}: {reason}"));
            }
            // `proxy server responded 407/407`: the status is nowhere else.
            ureq::Error::ConnectProxyFailed(reason) => match reason.rsplit('/').next() {
                Some("407") => {
                    return refused(format!("{peer} wants another user and password (407)"));
                }
                Some("403") => {
                    return refused(format!("{peer} does not allow {} (403)", self.host));
                }
                _ => reason,
            },
            ureq::Error::Io(error) => plain(&error),
            other => other.to_string(),
        };
        (cause, format!("{peer} made no connection: {reason}"))
    }

    /// rustls's own error type can't be named here without depending on it; its text can be read.
    fn no_tls(&self, error: &ureq::Error) -> (Cause, String) {
        let host = &self.host;
        let reason = match error {
            ureq::Error::Io(error) => plain(error),
            other => other.to_string(),
        };
        let Some(fault) = reason.strip_prefix("invalid peer certificate: ") else {
            return (Cause::Tls, format!("no TLS with {host}: {reason}"));
        };
        // A root of the same name but another key shows as a bad signature.
        let fault = if matches!(fault, "UnknownIssuer" | "BadSignature") {
            "was issued by an unknown authority; if it is yours, name its file with --cacert or \
             COZE_CA_FILE"
                .to_owned()
        } else if fault.starts_with("certificate expired") {
            "has expired, or this machine's clock is wrong".to_owned()
        } else if fault.starts_with("certificate not valid yet") {
            "is not valid yet, or this machine's clock is wrong".to_owned()
        } else if fault.starts_with("certificate not valid for name") {
            "is for another name".to_owned()
        } else {
            format!("is not trusted: {fault}")
        };
        let detail = format!("the certificate of {host} {fault}");
        (Cause::Certificate, detail)
    }
}
