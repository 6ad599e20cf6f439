//! The real program over real sockets: standard output, standard error and exit code, compared
//! exactly, and the requests that came. One request is one POST: a server plays its script once,
//! and a request too many fails the test. One binary, so that it is linked once.

#![allow(clippy::unwrap_used)]

mod check;
mod configuration;
mod failures;
mod hands;
mod input;
mod limits;
mod many;
mod output;
mod runs;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod windows;

use support::program::{Ended, Program};
use support::server::{Exchange, Server};
use support::stream::{done, event, message, stream_run};

const RUN: &str = r#"{"workflow_id":"7"}"#;

/// The stream of a run that says `hello`.
const HELLO: &str = concat!(
    "id: 0\nevent: Message\n",
    r#"data: {"content":"hello","node_is_finish":true,"node_seq_id":"0","node_title":"End"}"#,
    "\n\nid: 1\nevent: Done\n",
    r#"data: {"debug_url":"https://coze.example/w?execute_id=9"}"#,
    "\n\n"
);

/// And the response to it.
const SAID_HELLO: &str = r#"{"execute_id":"9","status":"Success","output":"hello","debug_url":"https://coze.example/w?execute_id=9","workflow_id":"7"}"#;

/// The answer to a run that was started in the background.
const SUBMITTED: &str =
    r#"{"code":0,"execute_id":"9","debug_url":"https://coze.example/w?execute_id=9"}"#;

/// The history of a run that said `hello`.
const HISTORY: &str = r#"{"code":0,"data":[{"execute_status":"Success","execute_id":"9","output":"{\"Output\":\"hello\",\"node_status\":\"{}\"}","debug_url":"https://coze.example/w?execute_id=9"}]}"#;

fn background_run() -> Exchange {
    Exchange::post("/v1/workflow/run")
}

fn poll() -> Exchange {
    Exchange::get("/v1/workflows/7/run_histories/9")
}

/// One run against this script, all of which must be played.
#[track_caller]
fn play(script: Vec<Exchange>) -> Ended {
    play_with(&[], script)
}

#[track_caller]
fn play_with(arguments: &[&str], script: Vec<Exchange>) -> Ended {
    let server = Server::start(script);
    let ended = Program::at(&server.url()).args(arguments).run(RUN);
    server.finish();
    ended
}
