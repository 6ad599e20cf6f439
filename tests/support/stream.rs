//! A streamed run as the tests script it, event by event: the run 9 of the workflow 7, whose End node
//! speaks in pieces.

use super::server::Exchange;

pub fn stream_run() -> Exchange {
    Exchange::post("/v1/workflow/stream_run")
}

/// One event of a stream.
pub fn event(id: usize, name: &str, data: &str) -> String {
    format!("id: {id}\nevent: {name}\ndata: {data}\n\n")
}

/// A piece of what the End node says; `content` as it is written in JSON.
pub fn message(id: usize, content: &str) -> String {
    let data = format!(
        r#"{{"content":"{content}","node_is_finish":false,"node_seq_id":"{id}","node_title":"End"}}"#
    );
    event(id, "Message", &data)
}

pub fn done(id: usize) -> String {
    let data = r#"{"debug_url":"https://coze.example/w?execute_id=9"}"#;
    event(id, "Done", data)
}
