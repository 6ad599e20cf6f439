//! What can be asked of Coze: each call with its path and body. Does no I/O.
//! Endpoints: <https://docs.coze.cn/developer_guides/workflow_stream_run> and its neighbours.

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
