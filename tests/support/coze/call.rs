//! What is common to every site: the calls that are made, as parsed, and the pieces of an answer.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Request;
use super::workflow::Run;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Route<'a> {
    StreamRun,
    Run,
    StreamResume,
    /// The cloud's, for background runs.
    Resume,
    /// The cloud's: a run, or an Output node of it.
    History {
        workflow_id: &'a str,
        execute_id: &'a str,
        node: Option<&'a str>,
    },
    StudioHistory {
        execute_id: &'a str,
    },
    Describe {
        workflow_id: &'a str,
    },
    Upload,
    Project(Door<'a>),
    Unknown,
}

/// What a deployed project is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Door<'a> {
    StreamRun,
    AsyncRun,
    Task(&'a str),
    GraphParameter,
}

impl<'a> Route<'a> {
    pub(super) fn of(request: &'a Request) -> Self {
        let target = request.target.as_str();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path: Vec<&str> = path.split('/').skip(1).collect();
        match (request.method.as_str(), &path[..]) {
            ("POST", ["v1", "workflow", "stream_run"]) => Self::StreamRun,
            ("POST", ["v1", "workflow", "run"]) => Self::Run,
            ("POST", ["v1", "workflow", "stream_resume"]) => Self::StreamResume,
            ("POST", ["v1", "workflows", "resume"]) => Self::Resume,
            ("POST", ["v1", "files", "upload"]) => Self::Upload,
            ("POST", ["stream_run"]) => Self::Project(Door::StreamRun),
            ("POST", ["async_run"]) => Self::Project(Door::AsyncRun),
            ("GET", ["task", id]) => Self::Project(Door::Task(id)),
            ("GET", ["graph_parameter"]) => Self::Project(Door::GraphParameter),
            ("GET", ["v1", "workflow", "get_run_history"]) => Self::StudioHistory {
                execute_id: query
                    .split('&')
                    .find_map(|pair| pair.strip_prefix("execute_id="))
                    .unwrap_or_default(),
            },
            ("GET", ["v1", "workflows", workflow_id]) => Self::Describe { workflow_id },
            ("GET", ["v1", "workflows", workflow_id, "run_histories", execute_id]) => {
                Self::History {
                    workflow_id,
                    execute_id,
                    node: None,
                }
            }
            (
                "GET",
                [
                    "v1",
                    "workflows",
                    workflow_id,
                    "run_histories",
                    execute_id,
                    "execute_nodes",
                    node,
                ],
            ) => Self::History {
                workflow_id,
                execute_id,
                node: Some(node),
            },
            _ => Self::Unknown,
        }
    }
}

/// What goes back for a request.
pub(super) enum Reply {
    Whole {
        status: u16,
        headers: Vec<(&'static str, String)>,
        media_type: &'static str,
        body: String,
    },
    /// Events of nothing that was started: a refusal.
    Events(Vec<Event>),
    /// The events of a run.
    Stream(Box<Run>),
}

impl Reply {
    pub(super) fn json(status: u16, body: String) -> Self {
        Self::Whole {
            status,
            headers: Vec::new(),
            media_type: "application/json; charset=utf-8",
            body,
        }
    }

    pub(super) fn of_run(run: Run) -> Self {
        Self::Stream(Box::new(run))
    }

    pub(super) fn text(status: u16, body: &str) -> Self {
        Self::Whole {
            status,
            headers: Vec::new(),
            media_type: "text/plain",
            body: body.to_owned(),
        }
    }
}

/// An event of a stream, still without its id.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// `None`: nothing is sent, but time goes by.
    pub(super) name: Option<String>,
    pub(super) data: String,
    has_id: bool,
}

impl Event {
    pub(super) fn new(name: &str, data: String) -> Self {
        Self {
            name: Some(name.to_owned()),
            data,
            has_id: true,
        }
    }

    pub(super) fn silence() -> Self {
        Self {
            name: None,
            data: String::new(),
            has_id: false,
        }
    }

    /// What a server sends whose own stream broke.
    pub(super) fn broken() -> Self {
        Self {
            name: Some("error".to_owned()),
            data: "recv from the workflow failed: context deadline exceeded".to_owned(),
            has_id: false,
        }
    }

    pub(super) fn render(&self, id: usize) -> String {
        let Some(name) = &self.name else {
            return String::new();
        };
        let id = if self.has_id {
            format!("id: {id}\n")
        } else {
            String::new()
        };
        format!("{id}event: {name}\ndata: {}\n\n", self.data)
    }
}

/// The body of a run or a resume, as far as it matters here.
#[derive(Deserialize)]
pub(super) struct Body<'a> {
    pub(super) workflow_id: Option<String>,
    #[serde(borrow)]
    pub(super) parameters: Option<&'a RawValue>,
    pub(super) bot_id: Option<String>,
    pub(super) app_id: Option<String>,
    pub(super) workflow_version: Option<String>,
    pub(super) is_async: Option<bool>,
    pub(super) event_id: Option<String>,
    pub(super) interrupt_type: Option<u64>,
    pub(super) resume_data: Option<String>,
}

impl<'a> Body<'a> {
    pub(super) fn of(request: &'a Request) -> serde_json::Result<Self> {
        let is_json = request
            .header("content-type")
            .is_some_and(|media_type| media_type.starts_with("application/json"));
        serde_json::from_slice(if is_json { &request.body } else { b"" })
    }

    /// The object of parameters, also where it was sent as a text.
    pub(super) fn parameters(&self) -> String {
        let raw = self.parameters.map_or("{}", RawValue::get);
        serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned())
    }
}

/// The `id` of every uploaded file.
pub(super) const UPLOADED: &str = "7712448377585139712";

/// A file in a multipart body.
pub(super) struct Upload {
    pub(super) file_name: String,
    pub(super) bytes: usize,
}

impl Upload {
    pub(super) fn of(request: &Request) -> Option<Self> {
        // One character for each byte, so that a file need not be UTF-8 and its bytes can be counted.
        let body: String = request.body.iter().copied().map(char::from).collect();
        let (head, rest) = body.split_once("\r\n\r\n")?;
        let (file, _) = rest.rsplit_once("\r\n--")?;
        let (_, name) = head.split_once("filename=\"")?;
        let name: Vec<u8> = name.split('"').next()?.chars().map(|c| c as u8).collect();
        Some(Self {
            file_name: String::from_utf8_lossy(&name).into_owned(),
            bytes: file.chars().count(),
        })
    }
}

/// What names a request: the `key` in its parameters, else its whole body.
pub(super) fn request_key(request: &Request, parameters: &str) -> String {
    #[derive(Deserialize)]
    struct Parameters {
        key: String,
    }
    let named: Option<Parameters> = serde_json::from_str(parameters).ok();
    named.map_or_else(|| request.body_text().to_owned(), |named| named.key)
}

/// JSON as Go writes it, with three characters escaped.
pub(super) fn go_escaped(json: &str) -> String {
    json.replace('&', r"\u0026")
        .replace('<', r"\u003c")
        .replace('>', r"\u003e")
}
