//! The seam between what a run needs of Coze and how it travels: sends one call once, and says of a
//! failure what went wrong and what it proves. Never retries, never sleeps, never prints. ureq is
//! named in `http/` only.

pub(crate) mod client;
mod connect;
mod deadline;
mod failure;
mod lookup;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use crate::coze::call::Call;
use crate::error::Hint;

/// How long one call may take. `None` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// For all of it, body included: what is left until the deadline.
    pub(crate) total: Option<Duration>,
    /// Silence: between two pieces of the body, counted from its first byte on. Before that only
    /// `total` counts for a start, whose first byte may take as long as the run does. All others are
    /// answered at once, so for them silence counts from when the request has left.
    pub(crate) idle: Option<Duration>,
}

/// Whoever can be asked: the network, or a script in a test.
pub(crate) trait Http {
    /// Sends one call once; returns as soon as the head of the response is there. A status is no
    /// error.
    fn call(&self, call: &Call<'_>, limits: Limits) -> Result<HttpResponse, Failure>;
}

/// The head of a response, and its body still to be read.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    /// `Content-Type` in lower case, without parameters; empty when there is none.
    pub(crate) content_type: String,
    /// `X-Tt-Logid` (the cloud), else `X-Log-Id` (Coze Studio): what Coze's support asks for.
    pub(crate) logid: Option<String>,
    /// Whether the log id came as `X-Log-Id` and there was no `X-Tt-Logid`: a sign of Coze Studio.
    pub(crate) has_x_log_id: bool,
    /// `Retry-After` as it was sent: seconds or an HTTP date.
    pub(crate) retry_after: Option<String>,
    /// Whether the body's framing (Content-Length, chunks, or a status without a body) proves its
    /// end. False for a close-delimited body: one that was cut reads as a clean end.
    pub(crate) is_framed: bool,
    pub(crate) body: Box<dyn Body>,
}

impl HttpResponse {
    /// The log id, if it came as `X-Log-Id`.
    pub(crate) fn x_log_id(&self) -> Option<&str> {
        self.logid.as_deref().filter(|_| self.has_x_log_id)
    }
}

/// The body of a response, read piece by piece.
pub(crate) trait Body: fmt::Debug {
    /// Fills the front of `buffer` and says how much; 0 is the end.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure>;

    /// From now on the body is waited for no longer than this, in all.
    fn hurry(&mut self, most: Duration);
}

/// What is known about whether the request left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The request did not leave whole: nothing was started, it may be sent again.
    NotSent,
    /// The request left; what became of it is not known.
    MaybeSent,
}

/// Why a call brought no response, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reach: Reach,
    pub(crate) cause: Cause,
    /// One line: lower case, no full stop; names the host or the proxy, never the key.
    pub(crate) detail: String,
    /// What the server said before it had the whole request. It can't act on a part of one, but what
    /// names a run is believed.
    pub(crate) said: String,
}

/// What went wrong on the way, as far as it matters to whoever decides what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The name could not be resolved.
    Dns,
    /// No connection: refused, unreachable, or not within the connect timeout.
    Connect,
    /// The TLS handshake broke off.
    Tls,
    /// The certificate is not trusted, expired, or of another name.
    Certificate,
    /// The proxy could not be reached or did not answer in its own protocol.
    Proxy,
    /// The proxy answered and will not: 407, 403.
    ProxyRefused,
    /// The deadline came.
    Deadline,
    /// Nothing came for the idle timeout.
    Silent,
    /// The connection was cut, by either end, or what came is not HTTP.
    Cut,
    /// The server stopped reading in the middle of the request.
    Stopped,
    /// More than the limit: a header above 64 KiB.
    TooLarge,
    /// What is to be uploaded could not be read to its end.
    Unreadable,
}

impl Cause {
    /// What to do about it, when nothing was sent.
    pub(crate) fn hint(self) -> Option<Hint> {
        let (english, chinese) = match self {
            Self::Dns | Self::Connect => (
                "check the base URL and the network; a sandbox may have none",
                "请检查服务地址和网络；沙箱里可能没有网络",
            ),
            Self::Proxy | Self::ProxyRefused => (
                "check the proxy's address, user and password",
                "请检查代理的地址、用户名和密码",
            ),
            Self::Stopped => (
                "the server may limit the size of a request",
                "请求可能太大，超出服务器的限制",
            ),
            Self::Tls => (
                "check that the base URL really is an https one, and what is between",
                "请确认服务地址确实支持 https，并检查途中的代理",
            ),
            _ => return None,
        };
        Some(Hint::new(english, chinese))
    }
}

impl Failure {
    pub(crate) fn new(reach: Reach, cause: Cause, detail: impl Into<String>) -> Self {
        Self {
            reach,
            cause,
            detail: detail.into(),
            said: String::new(),
        }
    }

    fn not_sent((cause, detail): (Cause, String)) -> Self {
        Self::new(Reach::NotSent, cause, detail)
    }

    /// Whether the same call may well succeed a moment later, without anybody changing anything.
    /// A bad certificate, and a proxy that says no, stay what they are.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(
            self.cause,
            Cause::Dns | Cause::Connect | Cause::Tls | Cause::Proxy | Cause::Silent | Cause::Cut
        )
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}
