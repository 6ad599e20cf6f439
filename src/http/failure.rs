//! ureq's errors → what went wrong, in a sentence that names the host or the proxy, and what it proves.

use std::io::{self, ErrorKind};
use std::time::Duration;

use ureq::http::Uri;
use ureq::{Error, Timeout};

use super::client::MAX_HEADER;
use super::deadline::ReadDeadline;
use super::{Cause, Failure, Reach};
use crate::config::{Config, Proxy};
use crate::platform;

/// Where the calls of one agent go, in the words of the sentences, and the times of the one that is
/// on its way.
#[derive(Debug, Default)]
pub(super) struct CallContext {
    /// Without the port: what is looked up.
    name: String,
    /// As it is in the base URL, with the port if there is one.
    host: String,
    proxy: Option<String>,
    /// How long making a connection may take.
    connect: String,
    /// The calls send something that is more than a question.
    is_post: bool,
    pub(super) deadline: ReadDeadline,
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
    pub(super) fn new(base: &Uri, config: &Config, is_post: bool) -> Self {
        let host = base.authority().map_or("", |authority| authority.as_str());
        Self {
            name: base.host().unwrap_or_default().to_owned(),
            host: host.to_owned(),
            proxy: config.proxy.as_ref().map(Proxy::name),
            connect: seconds(config.connect_timeout),
            is_post,
            deadline: ReadDeadline::default(),
        }
    }

    /// What ureq's error means, and by its stage how far the request came: a server can't act on one
    /// that it does not have whole.
    pub(super) fn failure(&self, error: Error, stage: Stage) -> Failure {
        let host = &self.host;
        let stopped = format!("{host} stopped reading the request");
        let (cut, what) = match stage {
            Stage::Sending => (Cause::Cut, stopped),
            Stage::Stopped => (Cause::Stopped, stopped),
            Stage::Unreadable => (Cause::Unreadable, "what is to be sent can't be read".into()),
            Stage::Waiting => (Cause::Cut, format!("{host} gave no answer")),
            Stage::Reading => (Cause::Cut, format!("{host}'s answer was cut short")),
        };
        let reason = reason(&error);
        let reported = match error {
            Error::Timeout(timeout) => self.late(timeout, stage),
            Error::HostNotFound => self.no_name("name not found"),
            Error::LargeResponseHeader(..) => {
                let limit = MAX_HEADER / 1024;
                let detail = format!("the header of {host}'s answer is larger than {limit} KiB");
                (Cause::TooLarge, detail)
            }
            Error::Protocol(fault) => (cut, format!("what {host} sent is not HTTP: {fault}")),
            Error::Other(other) => match other.downcast::<Failure>() {
                // No connection: the connector has said why.
                Ok(failure) => return *failure,
                Err(other) => (cut, format!("the call to {host} failed: {other}")),
            },
            Error::Io(_) => (cut, format!("{what}: {reason}")),
            _ => (cut, format!("the call to {host} failed: {reason}")),
        };
        let mut failure = Failure::not_sent(reported);
        if self.is_post && matches!(stage, Stage::Waiting | Stage::Reading) {
            failure.reach = Reach::MaybeSent;
        }
        failure
    }

    fn late(&self, timeout: Timeout, stage: Stage) -> (Cause, String) {
        let Self { host, connect, .. } = self;
        let (cause, peer) = self.peer();
        let idle = seconds(self.deadline.idle());
        let silent = |detail| (Cause::Silent, detail);
        let late = |when| (Cause::Deadline, format!("the deadline came {when}"));
        match timeout {
            Timeout::PerRead => silent(format!("nothing came from {host} for {idle}")),
            Timeout::PerWrite => silent(format!("{host} took nothing for {idle}")),
            Timeout::Resolve => {
                self.no_name(&format!("no answer from the name server within {connect}"))
            }
            Timeout::Connect => (cause, format!("no answer from {peer} within {connect}")),
            // No other timeout is ever set.
            _ if stage == Stage::Reading => late(format!("in the middle of {host}'s answer")),
            _ => late(format!("before {host} answered")),
        }
    }

    /// Who is connected to, and what it is called when that does not work.
    fn peer(&self) -> (Cause, &str) {
        match &self.proxy {
            Some(proxy) => (Cause::Proxy, proxy),
            None => (Cause::Connect, &self.host),
        }
    }

    fn no_name(&self, why: &str) -> (Cause, String) {
        (Cause::Dns, format!("{}: {why}", self.name))
    }

    /// Why there is no wire to Coze: TCP, or what the proxy made of it.
    pub(super) fn no_wire(&self, error: &Error) -> (Cause, String) {
        let (cause, peer) = self.peer();
        let refused = |detail| (Cause::ProxyRefused, detail);
        let reason = reason(error);
        let no_connection = format!("{peer} made no connection: {reason}");
        match error {
            Error::HostNotFound => (cause, format!("{peer}: name not found")),
            Error::Io(error) if error.raw_os_error().is_some() => {
                (cause, format!("cannot connect to {peer}: {reason}"))
            }
            // `proxy server responded 407/407`: the status is nowhere else.
            Error::ConnectProxyFailed(said) => match said.rsplit('/').next().unwrap_or_default() {
                "407" => refused(format!("{peer} wants another user and password (407)")),
                "403" => refused(format!("{peer} does not allow {} (403)", self.host)),
                status => (cause, format!("{peer} made no connection: HTTP {status}")),
            },
            Error::Io(error) if is_socks_refusal(error) => refused(no_connection),
            _ => (cause, no_connection),
        }
    }

    /// Why there is no TLS on it. rustls's own error type can't be named here without depending on
    /// it; its text can be read.
    pub(super) fn no_tls(&self, error: &Error) -> (Cause, String) {
        let (host, reason) = (&self.host, reason(error));
        let Some(fault) = reason.strip_prefix("invalid peer certificate: ") else {
            return (Cause::Tls, format!("no TLS with {host}: {reason}"));
        };
        let inner = || fault.strip_prefix("Other(OtherError(")?.strip_suffix("))");
        let fault = inner().unwrap_or(fault);
        let known = DISTRUST.iter().find(|(start, _)| fault.starts_with(start));
        let detail = match known {
            Some((_, sentence)) => format!("the certificate of {host} {sentence}"),
            None => format!("the certificate of {host} is not trusted: {fault}"),
        };
        (Cause::Certificate, detail)
    }
}

/// How rustls begins what is wrong with a certificate, and how its sentence goes on.
const DISTRUST: [(&str, &str); 7] = [
    ("UnknownIssuer", UNKNOWN_AUTHORITY),
    // A root of the same name but another key.
    ("BadSignature", UNKNOWN_AUTHORITY),
    (
        "certificate expired",
        "has expired, or this machine's clock is wrong",
    ),
    (
        "certificate not valid yet",
        "is not valid yet, or this machine's clock is wrong",
    ),
    ("certificate not valid for name", "is for another name"),
    // Both are what `openssl req -x509` makes for a server of one's own, and curl takes.
    (
        "CaUsedAsEndEntity",
        "is an authority's own; make one for the server, with basicConstraints=CA:FALSE",
    ),
    (
        "UnsupportedCertVersion",
        "is not of version 3; make another one, with a subjectAltName",
    ),
];
const UNKNOWN_AUTHORITY: &str = "was issued by an unknown authority; if it is yours, name its file \
                                 with --cacert or COZE_CA_FILE";

/// Whether a SOCKS proxy would say the same again: it wants another user or password, or does not allow
/// the target. ureq has no type of its own for what it says.
fn is_socks_refusal(error: &io::Error) -> bool {
    const KINDS: [ErrorKind; 2] = [ErrorKind::InvalidInput, ErrorKind::PermissionDenied];
    const SENTENCES: [&str; 2] = [
        "no acceptable auth methods",
        "connection not allowed by ruleset",
    ];
    KINDS.contains(&error.kind()) || SENTENCES.contains(&&*error.to_string())
}

/// ureq's own words. An I/O error in the house style: `Connection refused (os error 111)` is
/// `connection refused`.
fn reason(error: &Error) -> String {
    let Error::Io(error) = error else {
        return error.to_string();
    };
    // ureq's words for it: rustls would add a URL, std would speak of a buffer.
    if error.kind() == ErrorKind::UnexpectedEof {
        return "peer disconnected".to_owned();
    }
    let mut text = platform::reason(error);
    let is_capital = |char: char| char.is_ascii_uppercase();
    // But for a name such as SOCKS4.
    if text.starts_with(is_capital) && !text[1..].starts_with(is_capital) {
        text[..1].make_ascii_lowercase();
    }
    text
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
