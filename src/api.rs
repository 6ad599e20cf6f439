//! The seam between what a run needs of Coze and how it travels: what can be asked, and what each
//! failure proves about whether something was started. Does no I/O.
//! Endpoints: <https://docs.coze.cn/developer_guides/workflow_stream_run> and its neighbours.

use std::fmt;
use std::time::Duration;

/// One HTTP call to Coze. Bodies are complete JSON texts, made by `request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call<'a> {
    /// `POST /v1/workflow/stream_run`: start a run and stream it.
    StreamRun { body: &'a str },
    /// `POST /v1/workflow/run` with `is_async`: start a run in the background.
    Run { body: &'a str },
    /// `POST /v1/workflow/stream_resume`: answer an interrupt and stream the rest.
    StreamResume { body: &'a str },
    /// `POST /v1/workflows/resume`: answer the interrupt of a background run.
    Resume { body: &'a str },
    /// `GET /v1/workflows/:workflow_id/run_histories/:execute_id`: look at a run.
    RunHistory {
        workflow_id: &'a str,
        execute_id: &'a str,
    },
    /// `GET …/run_histories/:execute_id/execute_nodes/:node_execute_uuid`: an Output node's text.
    ExecuteNode {
        workflow_id: &'a str,
        execute_id: &'a str,
        node_execute_uuid: &'a str,
    },
    /// `GET /v1/workflow/get_run_history`: look at a run of Coze Studio.
    StudioRunHistory {
        workflow_id: &'a str,
        execute_id: &'a str,
    },
    /// `GET /`, without the key: is anybody there?
    Check,
}

impl<'a> Call<'a> {
    /// The path below the base URL, query included. Ids hold only `[A-Za-z0-9_-]`, so that nothing
    /// needs escaping; a `node_execute_uuid` comes from Coze and is checked by `history`.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::StreamRun { .. } => "/v1/workflow/stream_run".to_owned(),
            Self::Run { .. } => "/v1/workflow/run".to_owned(),
            Self::StreamResume { .. } => "/v1/workflow/stream_resume".to_owned(),
            Self::Resume { .. } => "/v1/workflows/resume".to_owned(),
            Self::RunHistory {
                workflow_id,
                execute_id,
            } => format!("/v1/workflows/{workflow_id}/run_histories/{execute_id}"),
            Self::ExecuteNode {
                workflow_id,
                execute_id,
                node_execute_uuid,
            } => format!(
                "/v1/workflows/{workflow_id}/run_histories/{execute_id}/execute_nodes/{node_execute_uuid}"
            ),
            Self::StudioRunHistory {
                workflow_id,
                execute_id,
            } => format!(
                "/v1/workflow/get_run_history?workflow_id={workflow_id}&execute_id={execute_id}"
            ),
            Self::Check => "/".to_owned(),
        }
    }

    /// The body of a POST; a call without one is a GET, which never starts or changes anything.
    pub(crate) fn body(&self) -> Option<&'a str> {
        match *self {
            Self::StreamRun { body }
            | Self::Run { body }
            | Self::StreamResume { body }
            | Self::Resume { body } => Some(body),
            Self::RunHistory { .. }
            | Self::ExecuteNode { .. }
            | Self::StudioRunHistory { .. }
            | Self::Check => None,
        }
    }
}

/// How a run was started, which decides how it is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Stream,
    Async,
}

impl Mode {
    /// The word in a response's `interrupt.mode`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Async => "async",
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_are_those_of_the_documentation() {
        let look = Call::RunHistory {
            workflow_id: "7",
            execute_id: "9",
        };
        assert_eq!(look.path(), "/v1/workflows/7/run_histories/9");
        let node = Call::ExecuteNode {
            workflow_id: "7",
            execute_id: "9",
            node_execute_uuid: "u",
        };
        assert_eq!(
            node.path(),
            "/v1/workflows/7/run_histories/9/execute_nodes/u"
        );
        let studio = Call::StudioRunHistory {
            workflow_id: "7",
            execute_id: "9",
        };
        assert_eq!(
            studio.path(),
            "/v1/workflow/get_run_history?workflow_id=7&execute_id=9"
        );
    }

    #[test]
    fn only_a_call_with_a_body_is_a_post() {
        assert_eq!(Call::StreamRun { body: "{}" }.body(), Some("{}"));
        assert_eq!(Call::Check.body(), None);
    }
}
