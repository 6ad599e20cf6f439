//! The seam between what a run needs of Coze and how it travels: sends one call once, and says of a
//! failure what went wrong and what it proves. Never retries, never sleeps, never prints. ureq is
//! named in `http/` only.

mod client;
mod connect;
mod failure;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub(crate) use self::client::Http;
use crate::coze::call::Call;

/// How long one call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// For all of it, body included: what is left until the deadline. `None` is for ever.
    pub(crate) total: Option<Duration>,
    /// Between two pieces of the answer. `None` is for ever.
    pub(crate) idle: Option<Duration>,
}

/// Whoever can be asked: Coze over HTTP, or a script in a test.
pub(crate) trait Api {
    /// Sends one call, once, and returns as soon as the head of the answer is there.
    ///
    /// An HTTP status is never an error here: it is part of the answer.
    fn call(&self, call: Call<'_>, limits: Limits) -> Result<Answer, Failure>;
}

/// The head of an answer, and its body still to be read.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// `Content-Type` in lower case, without parameters; empty when there is none.
    pub(crate) content_type: String,
    /// `X-Tt-Logid` (Coze) or `X-Log-ID` (Coze Studio): what Coze's support asks for.
    pub(crate) logid: Option<String>,
    /// `Retry-After` as it was sent: seconds or an HTTP date.
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Box<dyn Body>,
}

/// The body of an answer, read piece by piece.
pub(crate) trait Body: fmt::Debug {
    /// Fills the front of `buffer` and says how much; 0 is a clean end (of a close-delimited body
    /// also one that was cut: an end proves nothing).
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure>;

    /// Like `read`, but waits for about a second at most: what comes now may be of use, or not.
    fn read_tail(&mut self, buffer: &mut [u8]) -> Result<usize, Failure>;

    /// Reads what may be left after the last event, for about a second at most, so that the
    /// connection can serve the next call; if the end does not come, the connection is closed.
    fn finish(self: Box<Self>);
}

/// What is known about whether a call started something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Started {
    /// The request did not leave whole: nothing was started, it may be sent again.
    No,
    /// The request left; what became of it is not known.
    Maybe,
}

/// Why a call brought no answer, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) started: Started,
    pub(crate) cause: Cause,
    /// One line: lower case, no full stop; names the host or the proxy, never the key.
    pub(crate) detail: String,
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
}

impl Failure {
    /// Whether the same call may well succeed a moment later, without anybody changing anything.
    /// A bad certificate, and a proxy that says no, stay what they are.
    pub(crate) fn is_transient(&self) -> bool {
        match self.cause {
            Cause::Dns
            | Cause::Connect
            | Cause::Tls
            | Cause::Proxy
            | Cause::Silent
            | Cause::Cut => true,
            Cause::Certificate
            | Cause::ProxyRefused
            | Cause::Deadline
            | Cause::Stopped
            | Cause::TooLarge => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}
