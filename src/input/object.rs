//! A JSON object being written, such as the body of a call: its values as they were given.

#[derive(Default)]
pub(crate) struct Object(String);

impl Object {
    /// One about a workflow. A deployed project has no `workflow_id`.
    pub(crate) fn about(workflow_id: Option<&str>) -> Self {
        let mut object = Self::default();
        if let Some(workflow_id) = workflow_id {
            object.push("workflow_id", &quoted(workflow_id));
        }
        object
    }

    pub(crate) fn push(&mut self, key: &str, json: &str) {
        let before = if self.0.is_empty() { "{" } else { "," };
        self.0.extend([before, &quoted(key), ":", json]);
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }
}

/// A text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("any text can be a JSON string")
}
