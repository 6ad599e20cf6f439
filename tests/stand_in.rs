//! The stand-in Coze that other tests lean on: asked over a plain socket, without the program.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use support::coze::{self, Coze, Options, Site};

const STREAM_RUN: &str = "/v1/workflow/stream_run";
const RUN: &str = "/v1/workflow/run";

#[test]
fn a_streamed_run_echoes_its_parameters_byte_for_byte() {
    let coze = Coze::start(Options::default());
    let answer = post(
        &coze,
        STREAM_RUN,
        &run(coze::ECHO, r#"{"key":"a", "n":1.50}"#),
    );
    assert_eq!(
        names(&answer),
        [
            "PING", "Message", "Message", "Message", "PING", "Message", "Done"
        ]
    );
    let end = &events(&answer)[5];
    assert_eq!(end["content"], r#"{"output":{"key":"a", "n":1.50}}"#);
    assert_eq!(coze.counts().started, [("a".to_owned(), 1)].into());
}

#[test]
fn done_names_the_run_and_its_history_holds_the_same_text() {
    let coze = Coze::start(Options::default());
    let answer = post(
        &coze,
        STREAM_RUN,
        &run(coze::ECHO_TEXT, r#"{"key":"扣子"}"#),
    );
    let execute_id = execute_id(&answer);
    assert!(answer.contains(r"\u0026execute_mode=2"));
    assert_eq!(node(&answer, "End"), r#"{"key":"扣子"}"#);
    let output = json(&output(&look(&coze, coze::ECHO_TEXT, &execute_id)));
    assert_eq!(output["输出"], node(&answer, "输出"));
    assert_eq!(
        output["Output"],
        r#"{"content_type":1,"data":"{\"key\":\"扣子\"}","original_result":null,"type_for_model":2}"#
    );
}

#[test]
fn a_question_is_answered_once_and_in_its_own_mode() {
    let coze = Coze::start(Options::default());
    let asked = post(&coze, STREAM_RUN, &run(coze::QUESTION, "{}"));
    assert_eq!(names(&asked), ["PING", "Message", "Interrupt"]);
    let event_id = events(&asked)[2]["interrupt_data"]["event_id"].clone();
    let event_id = event_id.as_str().unwrap();
    let answer = answer_to(coze::QUESTION, event_id, "明天");
    assert_eq!(code(&post(&coze, "/v1/workflows/resume", &answer)), 4000);
    let told = post(&coze, "/v1/workflow/stream_resume", &answer);
    assert_eq!(node(&told, "End"), r#"{"answer":"明天"}"#);
    let again = post(&coze, "/v1/workflow/stream_resume", &answer);
    assert_eq!(code(&again), 4315);
    assert_eq!(coze.counts().resumed, [(event_id.to_owned(), 1)].into());
}

#[test]
fn a_background_question_still_shows_its_interrupt_once_after_the_answer() {
    let coze = Coze::start(Options::default());
    let submitted = post(&coze, RUN, &background(coze::QUESTION));
    let id = json(body(&submitted))["execute_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let event_id = format!("{id}/2769808280134765896");
    assert!(look(&coze, coze::QUESTION, &id).contains(&event_id));
    post(
        &coze,
        "/v1/workflows/resume",
        &answer_to(coze::QUESTION, &event_id, "x"),
    );
    assert!(look(&coze, coze::QUESTION, &id).contains(&event_id));
    assert_eq!(status(&look(&coze, coze::QUESTION, &id)), "Success");
}

#[test]
fn a_slow_run_is_running_first_in_invalid_json_then_in_valid() {
    let coze = Coze::start(Options::default());
    let submitted = post(&coze, RUN, &background(coze::SLOW));
    let id = json(body(&submitted))["execute_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let first = look(&coze, coze::SLOW, &id);
    assert!(first.contains(r#""execute_status":"Running""#));
    assert!(serde_json::from_str::<Value>(body(&first)).is_err());
    assert_eq!(status(&look(&coze, coze::SLOW, &id)), "Running");
    assert_eq!(status(&look(&coze, coze::SLOW, &id)), "Success");
    assert_eq!(coze.counts().looks, 3);
}

#[test]
fn a_failed_run_says_error_then_done_and_fail_in_its_history() {
    let coze = Coze::start(Options::default());
    let answer = post(&coze, STREAM_RUN, &run(coze::FAILS, "{}"));
    assert!(names(&answer).ends_with(&["Error".to_owned(), "Done".to_owned()]));
    assert_eq!(
        status(&look(&coze, coze::FAILS, &execute_id(&answer))),
        "Fail"
    );
}

#[test]
fn refusals_start_nothing() {
    let coze = Coze::start(Options {
        key: Some("pat_demo".to_owned()),
        ..Options::default()
    });
    let unpublished = post(&coze, STREAM_RUN, &run(coze::UNPUBLISHED, "{}"));
    assert_eq!(names(&unpublished), ["Error"]);
    assert_eq!(events(&unpublished)[0]["error_code"], 4200);
    assert_eq!(code(&post(&coze, STREAM_RUN, &run("7", "{}"))), 4200);
    assert_eq!(code(&post(&coze, STREAM_RUN, "{")), 4000);
    assert_eq!(coze.counts().stream_run, 3);
    assert!(coze.counts().started.is_empty());
}

#[test]
fn a_wrong_key_is_http_401() {
    let coze = Coze::start(Options {
        key: Some("pat_other".to_owned()),
        ..Options::default()
    });
    let answer = post(&coze, STREAM_RUN, &run(coze::ECHO, "{}"));
    assert!(answer.starts_with("HTTP/1.1 401 "));
    assert_eq!(code(&answer), 700_012_006);
}

#[test]
fn a_key_without_list_run_history_may_run_but_not_look() {
    let coze = Coze::start(Options {
        may_look: false,
        ..Options::default()
    });
    let answer = post(&coze, STREAM_RUN, &run(coze::ECHO, "{}"));
    assert_eq!(code(&look(&coze, coze::ECHO, &execute_id(&answer))), 4101);
}

#[test]
fn each_request_is_refused_for_its_rate_before_it_is_run() {
    let coze = Coze::start(Options::default());
    let request = run(coze::RATE_LIMITED, r#"{"key":"a"}"#);
    let refused = post(&coze, STREAM_RUN, &request);
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("Retry-After: 1\r\n"));
    assert!(coze.counts().started.is_empty());
    assert!(names(&post(&coze, STREAM_RUN, &request)).contains(&"Done".to_owned()));
}

#[test]
fn a_cut_stream_ends_inside_an_event_and_the_run_goes_on() {
    let coze = Coze::start(Options::default());
    let answer = post(&coze, STREAM_RUN, &run(coze::CUT, "{}"));
    assert!(!answer.ends_with("0\r\n\r\n") && !answer.contains("Done"));
    assert_eq!(coze.counts().started.len(), 1);
    let history = look(&coze, coze::CUT, "7600000000000000000");
    assert_eq!(status(&history), "Success");
}

#[test]
fn a_trimmed_history_leaves_the_text_to_execute_nodes() {
    let coze = Coze::start(Options {
        trimmed: true,
        ..Options::default()
    });
    let id = execute_id(&post(&coze, STREAM_RUN, &run(coze::ECHO, "{}")));
    let history = json(body(&look(&coze, coze::ECHO, &id)));
    let uuid = &history["data"][0]["node_execute_status"]["输出"]["node_execute_uuid"];
    let path = format!(
        "/v1/workflows/{}/run_histories/{id}/execute_nodes/{}",
        coze::ECHO,
        uuid.as_str().unwrap()
    );
    let text = json(body(&get(&coze, &path)));
    assert_eq!(text["data"]["node_output"], "正在处理，请稍候……");
}

#[test]
fn studio_has_its_own_history_with_numbers_for_ids() {
    let coze = Coze::start(Options {
        site: Site::Studio401,
        ..Options::default()
    });
    let answer = post(&coze, STREAM_RUN, &run(coze::ECHO, "{}"));
    assert!(!names(&answer).contains(&"PING".to_owned()));
    let id = execute_id(&answer);
    assert_eq!(code(&look(&coze, coze::ECHO, &id)), 401);
    let path = format!("/v1/workflow/get_run_history?workflow_id=7&execute_id={id}");
    let history = get(&coze, &path);
    assert!(history.contains(&format!(r#""execute_id":{id},"#)));
    assert_eq!(output(&history), r#"{"output":{}}"#);
}

#[test]
fn a_connection_serves_one_request_after_another() {
    let coze = Coze::start(Options::default());
    let mut stream = TcpStream::connect(coze.address()).unwrap();
    for _ in 0..2 {
        let head = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = BufReader::new(&stream);
        let mut line = String::new();
        answer.read_line(&mut line).unwrap();
        assert_eq!(line, "HTTP/1.1 404 Not Found\r\n");
    }
    assert_eq!(coze.counts().connections, 1);
}

#[test]
fn bulk_streams_as_much_as_it_is_told() {
    let coze = Coze::start(Options {
        bulk: (3, 100),
        ..Options::default()
    });
    let answer = post(&coze, STREAM_RUN, &run(coze::BULK, "{}"));
    assert_eq!(names(&answer), ["Message", "Message", "Message", "Done"]);
    assert_eq!(node(&answer, "End").len(), 300);
}

#[test]
fn a_stop_cuts_what_is_in_flight() {
    let coze = Coze::start(Options {
        delay: std::time::Duration::from_secs(600),
        ..Options::default()
    });
    let mut stream = TcpStream::connect(coze.address()).unwrap();
    send(&mut stream, "POST", STREAM_RUN, &run(coze::ECHO, "{}"));
    let mut first = [0; 16];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(coze.counts().in_flight, 1);
    coze.stop();
    let mut rest = String::new();
    let _ = stream.read_to_string(&mut rest);
    assert!(!rest.contains("Done"));
}

fn run(workflow_id: &str, parameters: &str) -> String {
    format!(r#"{{"workflow_id":"{workflow_id}","parameters":{parameters}}}"#)
}

fn background(workflow_id: &str) -> String {
    format!(r#"{{"workflow_id":"{workflow_id}","is_async":true}}"#)
}

fn answer_to(workflow_id: &str, event_id: &str, answer: &str) -> String {
    format!(
        r#"{{"workflow_id":"{workflow_id}","event_id":"{event_id}","interrupt_type":2,"resume_data":"{answer}"}}"#
    )
}

#[track_caller]
fn post(coze: &Coze, path: &str, body: &str) -> String {
    exchange(coze, "POST", path, body)
}

#[track_caller]
fn get(coze: &Coze, path: &str) -> String {
    exchange(coze, "GET", path, "")
}

#[track_caller]
fn look(coze: &Coze, workflow_id: &str, execute_id: &str) -> String {
    get(
        coze,
        &format!("/v1/workflows/{workflow_id}/run_histories/{execute_id}"),
    )
}

/// The whole answer as it came, head and chunk sizes included.
#[track_caller]
fn exchange(coze: &Coze, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(coze.address()).unwrap();
    send(&mut stream, method, path, body);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn send(stream: &mut TcpStream, method: &str, path: &str, body: &str) {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer pat_demo\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
}

#[track_caller]
fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[track_caller]
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[track_caller]
fn code(answer: &str) -> u64 {
    json(body(answer))["code"].as_u64().unwrap()
}

#[track_caller]
fn status(history: &str) -> String {
    let status = json(body(history))["data"][0]["execute_status"].clone();
    status.as_str().unwrap().to_owned()
}

#[track_caller]
fn output(history: &str) -> String {
    let output = json(body(history))["data"][0]["output"].clone();
    output.as_str().unwrap().to_owned()
}

fn names(answer: &str) -> Vec<String> {
    let lines = answer.lines();
    lines
        .filter_map(|line| line.strip_prefix("event: "))
        .map(str::to_owned)
        .collect()
}

fn events(answer: &str) -> Vec<Value> {
    let lines = answer.lines();
    lines
        .filter_map(|line| line.strip_prefix("data: "))
        .map(json)
        .collect()
}

/// All that a node said.
fn node(answer: &str, title: &str) -> String {
    let events = events(answer);
    let of_node = events.iter().filter(|event| event["node_title"] == title);
    of_node
        .filter_map(|event| event["content"].as_str())
        .collect()
}

#[track_caller]
fn execute_id(answer: &str) -> String {
    let done = events(answer).pop().unwrap();
    let (_, query) = done["debug_url"]
        .as_str()
        .unwrap()
        .split_once("execute_id=")
        .unwrap();
    query.split('&').next().unwrap().to_owned()
}
