//! What can be asked of Coze: each call with its path and body; and what a run is known by. Does no
//! I/O. Endpoints: <https://docs.coze.cn/developer_guides/workflow_stream_run> and its neighbours.

use std::borrow::Cow;
use std::cell::RefCell;
use std::{fmt, io};

use serde::{Deserialize, Serialize};

use crate::coze::fields;

/// One HTTP call.
pub(crate) struct Call<'a> {
    /// Below the base URL, query included.
    pub(crate) path: String,
    pub(crate) purpose: Purpose<'a>,
}

/// What a call is for, which decides how it is sent.
pub(crate) enum Purpose<'a> {
    /// POST of this JSON, which starts a run or answers an interrupt: on a connection of its own.
    Start {
        body: Cow<'a, str>,
        accept: &'static str,
        /// The id that the run is to have, where the server lets its caller say so.
        run_id: Option<&'a str>,
    },
    /// POST of a file: starts nothing, and is sent on a connection of its own.
    Upload { body: UploadBody<'a> },
    /// GET of a run's state, or of what a workflow takes: changes nothing, and may share a connection.
    Get,
    /// GET without the key.
    Check,
}

/// Puts what comes next into a buffer, as `Read::read` does. A `dyn Read` would bring all other ways of
/// reading into the program.
pub(crate) type Source<'a> = dyn FnMut(&mut [u8]) -> io::Result<usize> + 'a;

/// What is sent as it is read, so that a large file is never held.
pub(crate) struct UploadBody<'a> {
    pub(crate) content_type: String,
    /// All that is sent. A reader that ends before makes the call fail; what it has beyond stays.
    pub(crate) length: u64,
    /// Read once: to send the file again is another call.
    pub(crate) reader: RefCell<Box<Source<'a>>>,
}

const EVENTS: &str = "text/event-stream";
const JSON: &str = "application/json";

impl<'a> Call<'a> {
    /// Starts a run; one in the background has `is_async` in the body as well.
    pub(crate) fn run(mode: Mode, body: &'a str) -> Self {
        let path = match mode {
            Mode::Stream => "/v1/workflow/stream_run",
            Mode::Async => "/v1/workflow/run",
        };
        Self::start(path, body, mode)
    }

    /// Answers the interrupt of a run.
    pub(crate) fn resume(mode: Mode, body: &'a str) -> Self {
        let path = match mode {
            Mode::Stream => "/v1/workflow/stream_resume",
            Mode::Async => "/v1/workflows/resume",
        };
        Self::start(path, body, mode)
    }

    /// A POST that is answered by a stream, or by what can be watched.
    pub(crate) fn start(path: &str, body: impl Into<Cow<'a, str>>, mode: Mode) -> Self {
        Self {
            path: path.to_owned(),
            purpose: Purpose::Start {
                body: body.into(),
                accept: match mode {
                    Mode::Stream => EVENTS,
                    Mode::Async => JSON,
                },
                run_id: None,
            },
        }
    }

    /// The same start, of this run.
    pub(crate) fn naming(mut self, run: Option<&'a RunRef>) -> Self {
        if let Purpose::Start { run_id, .. } = &mut self.purpose {
            *run_id = run.map(RunRef::execute_id);
        }
        self
    }

    /// Gives Coze a file.
    pub(crate) fn upload(body: UploadBody<'a>) -> Self {
        Self {
            path: "/v1/files/upload".to_owned(),
            purpose: Purpose::Upload { body },
        }
    }

    /// The history of a run.
    pub(crate) fn run_history(workflow_id: &str, run: &RunRef) -> Self {
        Self::get(history_path(workflow_id, run))
    }

    /// The text of an Output node that the history trimmed.
    pub(crate) fn execute_node(workflow_id: &str, run: &RunRef, node_execute_uuid: &str) -> Self {
        let history = history_path(workflow_id, run);
        Self::get(format!("{history}/execute_nodes/{node_execute_uuid}"))
    }

    /// A question that changes nothing.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            purpose: Purpose::Get,
        }
    }

    /// Is anybody there?
    pub(crate) fn check() -> Self {
        Self {
            path: "/".to_owned(),
            purpose: Purpose::Check,
        }
    }

    /// The body that starts or answers a run; a call without one never does either.
    pub(crate) fn body(&self) -> Option<&str> {
        match &self.purpose {
            Purpose::Start { body, .. } => Some(body),
            Purpose::Upload { .. } | Purpose::Get | Purpose::Check => None,
        }
    }
}

/// `POST /v1/workflow/run (19 bytes)`, as `-v` shows it.
impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = match &self.purpose {
            Purpose::Start { body, .. } => body.len() as u64,
            Purpose::Upload { body } => body.length,
            Purpose::Get | Purpose::Check => return write!(f, "GET {}", self.path),
        };
        write!(f, "POST {} ({length} bytes)", self.path)
    }
}

/// Ids hold only `[A-Za-z0-9_-]`, so that nothing needs escaping; a `node_execute_uuid` comes from
/// Coze and is checked by `history`.
fn history_path(workflow_id: &str, run: &RunRef) -> String {
    let execute_id = run.execute_id();
    format!("/v1/workflows/{workflow_id}/run_histories/{execute_id}")
}

/// A run that is known, without which nothing can be watched. An id of zeros names none. A journal
/// has it as a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(String, Mode)", into = "(String, Mode)")]
pub(crate) struct RunRef {
    execute_id: String,
    /// How it was started, which is by a stream where nobody says.
    mode: Mode,
}

impl RunRef {
    pub(crate) fn new(execute_id: impl Into<String>, mode: Mode) -> Option<Self> {
        Self::try_from((execute_id.into(), mode)).ok()
    }

    pub(crate) fn execute_id(&self) -> &str {
        &self.execute_id
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }
}

impl TryFrom<(String, Mode)> for RunRef {
    type Error = &'static str;

    fn try_from((execute_id, mode): (String, Mode)) -> Result<Self, Self::Error> {
        if !fields::names_a_run(&execute_id) {
            return Err("it names no run");
        }
        Ok(Self { execute_id, mode })
    }
}

impl From<RunRef> for (String, Mode) {
    fn from(run: RunRef) -> Self {
        (run.execute_id, run.mode)
    }
}

/// How a run was started, which decides how it is resumed: the word in a response's `interrupt.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    #[default]
    Stream,
    Async,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_are_those_of_the_documentation() {
        let run = RunRef::new("9", Mode::Stream).unwrap();
        assert_eq!(
            Call::run_history("7", &run).path,
            "/v1/workflows/7/run_histories/9"
        );
        assert_eq!(
            Call::execute_node("7", &run, "u").path,
            "/v1/workflows/7/run_histories/9/execute_nodes/u"
        );
    }

    #[test]
    fn only_a_call_that_starts_something_has_a_body() {
        assert_eq!(Call::run(Mode::Stream, "{}").body(), Some("{}"));
        assert_eq!(Call::check().body(), None);
        assert_eq!(Call::upload(file()).body(), None);
    }

    fn file() -> UploadBody<'static> {
        UploadBody {
            content_type: "multipart/form-data".to_owned(),
            length: 4,
            reader: RefCell::new(Box::new(|_| Ok(0))),
        }
    }

    #[test]
    fn a_call_is_shown_with_its_path_and_the_size_of_what_it_sends() {
        let cases = [
            (Call::check(), "GET /"),
            (
                Call::run(Mode::Async, "{}"),
                "POST /v1/workflow/run (2 bytes)",
            ),
            (Call::upload(file()), "POST /v1/files/upload (4 bytes)"),
        ];
        for (call, shown) in cases {
            assert_eq!(call.to_string(), shown);
        }
    }

    #[test]
    fn an_id_of_zeros_is_no_run() {
        for id in ["", "0", "000"] {
            assert_eq!(RunRef::new(id, Mode::Stream), None, "{id:?}");
        }
        assert!(RunRef::new("10", Mode::Stream).is_some());
        let of_journal = serde_json::from_str::<RunRef>;
        assert!(of_journal(r#"["00","async"]"#).is_err());
        let run = of_journal(r#"["10","async"]"#).unwrap();
        assert_eq!(serde_json::to_string(&run).unwrap(), r#"["10","async"]"#);
    }
}
