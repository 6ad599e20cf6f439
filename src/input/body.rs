//! The body of a call being written: one JSON object, its values as they were given.

pub(super) struct Body(String);

impl Body {
    pub(super) fn new() -> Self {
        Self(String::from("{"))
    }

    pub(super) fn push(&mut self, key: &str, json: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&quoted(key));
        self.0.push(':');
        self.0.push_str(json);
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// A text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("any text can be a JSON string")
}
