//! What is understood as a request, what of it reaches the wire, and what is refused unsent. Where
//! nothing may be sent, the program is given a server whose script is empty.

use std::io::Write;
use std::sync::mpsc::channel;

use crate::support::program::{Ended, Program};
use crate::support::server::{Exchange, Server};
use crate::{HELLO, RUN, SAID_HELLO, stream_run};

// What reaches the wire.

#[test]
fn parameters_reach_the_wire_byte_for_byte() {
    let request = r#"{"workflow_id":"7","parameters":{ "z":1e2, "a":12345678901234567890,
        "n":1.50, "u":"\u4f60\/你", "a":-0 ,"e":[] } , "ext":{"b":"1", "a":"2"}}"#;
    sends(request, &request.replace("} , \"ext\"", "},\"ext\""));
}

#[test]
fn ids_may_be_integers_above_2_to_the_53() {
    let request = r#"{"workflow_id":7602049883201437750,"bot_id":7600000000000000001}"#;
    let body = r#"{"workflow_id":"7602049883201437750","bot_id":"7600000000000000001"}"#;
    sends(request, body);
}

#[test]
fn the_caller_s_id_is_not_sent_and_comes_back() {
    let server = Server::start(vec![stream_run().with_body(RUN).sse(HELLO)]);
    let ended = Program::at(&server.url()).run(r#"{"id":{"n": 1e2},"workflow_id":"7"}"#);
    ended.is(
        0,
        &SAID_HELLO.replace(r#""7"}"#, r#""7","id":{"n": 1e2}}"#),
        "",
    );
}

#[test]
fn unknown_keys_are_forwarded_when_that_is_asked_for() {
    let request = r#"{"workflow_id":"7","priority":{"of": 1e2}}"#;
    let server = Server::start(vec![stream_run().with_body(request).sse(HELLO)]);
    let program = Program::at(&server.url()).arg("--allow-unknown-fields");
    program.run(request).is(0, SAID_HELLO, "");
}

#[test]
fn the_answer_to_an_interrupt_may_be_an_object() {
    let server = Server::start(vec![
        Exchange::post("/v1/workflow/stream_resume")
            .with_body(r#"{"workflow_id":"7","event_id":"9/1","interrupt_type":5,"resume_data":"{\"a\": 1e2}"}"#)
            .sse(HELLO),
    ]);
    let program = Program::at(&server.url());
    let ended = program
        .run(r#"{"workflow_id":"7","event_id":"9/1","interrupt_type":5,"resume_data":{"a": 1e2}}"#);
    ended.is(0, SAID_HELLO, "");
}

#[test]
fn what_a_run_needs_is_sent_with_the_answer_to_its_interrupt() {
    let body = r#"{"workflow_id":"7","event_id":"9/1","interrupt_type":2,"resume_data":"x","ext":{"user_id": "u"},"connector_id":"1024","bot_id":"5","workflow_version":"v1"}"#;
    let request = body.replace(r#""1024""#, "1024");
    let resume = Exchange::post("/v1/workflow/stream_resume").with_body(body);
    let server = Server::start(vec![resume.sse(HELLO)]);
    Program::at(&server.url())
        .run(request)
        .is(0, SAID_HELLO, "");
}

#[test]
fn the_address_of_a_workflow_s_page_is_sent_as_its_id() {
    let request = r#"{"workflow_id":"https://www.coze.cn/work_flow?space_id=1&workflow_id=7","parameters":{}}"#;
    sends(request, r#"{"workflow_id":"7","parameters":{}}"#);
}

#[test]
fn a_request_of_many_megabytes_is_sent() {
    let text = "x".repeat(19 << 20);
    let request = format!(r#"{{"workflow_id":"7","parameters":{{"text":"{text}"}}}}"#);
    sends(&request, &request);
}

// Where requests come from.

#[test]
fn a_request_is_sent_as_soon_as_it_is_complete() {
    let server = Server::start(vec![stream_run().sse(HELLO), stream_run().sse(HELLO)]);
    let mut program = Program::at(&server.url()).arg("-q").start();
    for _ in 0..2 {
        // No line break, and the pipe stays open.
        program.write(RUN);
        assert_eq!(program.line(), SAID_HELLO);
    }
    program.finish().is(0, "", "");
}

#[test]
fn requests_need_no_white_space_between_them_and_may_have_any() {
    let pretty = "\u{feff}{\n  \"workflow_id\":\r\n\t\"7\"\n}";
    let ended = all_said_hello(3, &format!("{pretty}\n\n \t{RUN}{RUN}\r\n"));
    assert_eq!(ended.stdout.lines().count(), 3);
}

#[test]
fn joined_files_may_each_begin_with_a_byte_order_mark() {
    all_said_hello(3, &format!("\u{feff}{RUN}\n\u{feff}{RUN}\u{feff}{RUN}"));
}

#[test]
fn a_request_may_be_an_argument() {
    let server = Server::start(vec![stream_run().with_body(RUN).sse(HELLO)]);
    let program = Program::at(&server.url()).args(&["--request", RUN]);
    program.start().finish().is(0, SAID_HELLO, "");
}

#[test]
fn an_argument_keeps_standard_input_unread() {
    let server = Server::start(vec![stream_run().sse(HELLO)]);
    let mut program = Program::at(&server.url()).args(&["--request", RUN]).start();
    assert_eq!(program.line(), SAID_HELLO);
    // Standard input was open all the time.
    program.finish().is(0, "", "");
}

#[test]
fn requests_may_be_in_files_and_a_dash_is_standard_input() {
    let one = |name: &str| format!(r#"{{"workflow_id":"7","id":"{name}"}}"#);
    let server = Server::start((0..4).map(|_| stream_run().sse(HELLO)).collect());
    let program = Program::at(&server.url())
        .file("a", one("a") + &one("b"))
        .file("-d", one("d"))
        .args(&["-q", "a", "-", "--", "-d"]);
    let ended = program.run(one("c"));
    let ids: Vec<_> = ended
        .responses()
        .iter()
        .map(|response| response["id"].clone())
        .collect();
    assert_eq!(
        (ended.code, ids),
        (0, vec!["a".into(), "b".into(), "c".into(), "d".into()])
    );
}

#[test]
fn files_are_all_opened_before_anything_is_sent() {
    let program = unsent().file("a", RUN).args(&["a", "missing"]);
    let message = r#""message":"cannot read missing: No such file or directory (os error 2)""#;
    refuses(program, "", 2, message);
    refuses(
        unsent().file("a", RUN).args(&["a", "."]),
        "",
        2,
        r#""message":"cannot read .: it is a directory""#,
    );
}

#[test]
fn what_is_no_file_may_be_an_id_or_a_word() {
    for (file, hint) in [
        (
            "7550000000000000001",
            "to run a workflow by its id: -w '7550000000000000001'",
        ),
        (
            "https://www.coze.cn/work_flow?space_id=1&workflow_id=7",
            "to run a workflow by its id: -w 'https://www.coze.cn/work_flow?space_id=1&workflow_id=7'",
        ),
        ("help", "whatever is no option is a FILE: see --help"),
        ("version", "whatever is no option is a FILE: see --help"),
        ("run", "whatever is no option is a FILE: see --help"),
        ("{}", "to give a request as an argument: --request"),
    ] {
        let message = format!(
            r#""message":"cannot read {file}: No such file or directory (os error 2)","hint":"{hint}""#
        );
        refuses(unsent().arg(file), "", 2, &message);
    }
}

#[test]
fn no_request_at_all_is_refused() {
    for input in ["", " \n\t\r\n", "\u{feff}"] {
        refuses(
            unsent(),
            input,
            2,
            r#""message":"there is no request","hint":"see --help""#,
        );
    }
}

#[test]
fn a_standard_input_that_is_closed_is_empty() {
    let program = unsent().stdin_from(std::process::Stdio::null());
    refuses(
        program,
        "",
        2,
        r#""message":"there is no request","hint":"see --help""#,
    );
}

#[test]
fn a_standard_input_that_cannot_be_read_is_refused() {
    let directory = std::fs::File::open("/").unwrap();
    let message = r#""message":"cannot read the requests: Is a directory (os error 21)""#;
    refuses(unsent().stdin_from(directory), "", 2, message);
}

// What is refused.

#[test]
fn a_bad_line_is_refused_and_the_next_is_read() {
    let server = Server::start(vec![stream_run().sse(HELLO), stream_run().sse(HELLO)]);
    let ended =
        Program::at(&server.url()).run(format!("{RUN}\n  {{\"workflow_id\": 7,}}{RUN}\n{RUN}"));
    let bad = r#"{"execute_id":"","status":"Fail","output":"","debug_url":"","error":{"kind":"usage","message":"line 2, column 21: not valid JSON: key must be a string","hint":"JSON takes no comma before } or ]"}}"#;
    ended.is(
        1,
        &format!("{SAID_HELLO}\n{bad}\n{SAID_HELLO}"),
        "coze-workflow: usage: line 2, column 21: not valid JSON: key must be a string (JSON takes no comma before } or ])\ncoze-workflow: 3 requests: 2 succeeded, 1 not valid",
    );
}

#[test]
fn a_broken_value_over_several_lines_ends_the_input_and_what_came_before_stands() {
    let server = Server::start(vec![stream_run().sse(HELLO)]);
    let ended = Program::at(&server.url())
        .arg("-q")
        .run(format!("{RUN}\n{{\n\"workflow_id\": }}\n{RUN}\n{RUN}"));
    let bad = r#"{"execute_id":"","status":"Fail","output":"","debug_url":"","error":{"kind":"usage","message":"line 3, column 16: not valid JSON: expected value","hint":"it began on an earlier line, so nothing after it is read"}}"#;
    ended.is(1, &format!("{SAID_HELLO}\n{bad}"), "");
}

#[test]
fn half_a_request_is_never_sent() {
    for cut in 1..RUN.len() {
        assert_eq!(unsent().run(&RUN[..cut]).code, 2, "{cut}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let message = r#""message":"line 1, column 18: not valid UTF-8","hint":"save it as UTF-8; iconv converts it""#;
    refuses(unsent(), b"{\"workflow_id\":\"7\xff\"}", 2, message);
}

#[test]
fn utf_16_is_refused_once_for_the_whole_input() {
    let text = format!("\u{feff}{RUN}\r\n{RUN}\r\n");
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let message = r#""message":"line 1, column 1: this is UTF-16, not UTF-8","hint":"save it as UTF-8; in PowerShell 5: Out-File -Encoding utf8""#;
    refuses(unsent(), bytes, 2, message);
}

#[test]
fn an_array_of_requests_is_refused_with_a_way_out() {
    let message = r#""message":"an array is not a request","hint":"send its elements one by one: jq -c '.[]'""#;
    refuses(unsent(), format!("[{RUN}]"), 2, message);
}

#[test]
fn the_name_of_a_file_is_no_request() {
    let program = unsent().args(&["--request", "request.json"]);
    let message = r#""message":"--request takes JSON, not the name of a file","hint":"give it as FILE, without --request""#;
    refuses(program.file("request.json", RUN), "", 2, message);
}

#[test]
fn a_request_above_20_mib_is_refused() {
    let request = format!(
        r#"{{"workflow_id":"7","parameters":"{}"}}"#,
        "x".repeat(20 << 20)
    );
    let message = r#""message":"a request is larger than 20 MiB, which Coze does not take""#;
    refuses(unsent(), request, 2, message);
}

#[test]
fn a_misspelt_key_of_a_run_is_refused_for_it_would_cost_a_run() {
    let message =
        r#""message":"unknown key \"paramaters\" in a run","hint":"did you mean \"parameters\"?""#;
    refuses_of_7(r#"{"workflow_id":"7","paramaters":{}}"#, message);
}

#[test]
fn a_key_that_is_given_twice_is_refused() {
    let request = r#"{"workflow_id":"7","parameters":{},"parameters":{}}"#;
    let message = r#""message":"the key \"parameters\" is given twice","hint":"nobody can tell which one is meant""#;
    refuses_of_7(request, message);
}

#[test]
fn a_bot_and_an_app_together_are_refused() {
    let message =
        r#""message":"bot_id and app_id can't be given together","hint":"leave one of them out""#;
    refuses_of_7(r#"{"workflow_id":"7","bot_id":"1","app_id":"2"}"#, message);
}

#[test]
fn a_response_without_its_execute_id_is_refused() {
    let request =
        r#"{"execute_id":"","status":"Running","output":"","debug_url":"","workflow_id":"7"}"#;
    let message = r#""message":"execute_id is empty: there is nothing to watch","hint":"the run may have been started; look at Coze before running it again""#;
    refuses_of_7(request, message);
}

#[test]
fn an_id_that_would_leave_its_path_is_refused() {
    let ended = unsent().run(r#"{"workflow_id":"7","execute_id":"../9"}"#);
    assert!(
        ended
            .stdout
            .contains(r#""kind":"usage","message":"execute_id "#),
        "{}",
        ended.stdout
    );
    assert_eq!(ended.code, 2);
}

#[test]
fn parameters_that_are_no_object_are_refused() {
    let message = r#""message":"parameters must be an object, or the text of one","hint":"such as {\"city\":\"北京\"}""#;
    for parameters in [r#"["北京"]"#, r#""北京""#, r#""""#] {
        let request = format!(r#"{{"workflow_id":"7","parameters":{parameters}}}"#);
        refuses_of_7(&request, message);
    }
}

#[test]
fn an_execute_id_of_zeros_is_refused() {
    let message = r#""message":"execute_id \"000\" names no run","hint":"Coze says 0 where no run was started; look at Coze before running it again""#;
    refuses_of_7(r#"{"workflow_id":"7","execute_id":"000"}"#, message);
}

#[test]
fn a_chatflow_s_call_is_refused() {
    let request = r#"{"workflow_id":"7","additional_messages":[],"parameters":{}}"#;
    let message = r#""message":"this is a chatflow's call, which this program does not make","hint":"a workflow is run with workflow_id and parameters""#;
    refuses_of_7(request, message);
}

#[test]
fn a_report_of_a_check_is_never_run() {
    let message = r#""message":"this is a report of --check, not a request","hint":"send the request that was checked, without --check""#;
    refuses_of_7(r#"{"workflow_id":"7","workflow":{"name":"x"}}"#, message);
}

#[test]
fn the_address_of_a_run_is_refused_with_the_way_to_watch_it() {
    let request = r#"{"workflow_id":"https://www.coze.cn/work_flow?execute_id=9&workflow_id=7"}"#;
    let message = r#""message":"workflow_id is the address of a run, not of a workflow","hint":"to watch that run: {\"workflow_id\":\"7\",\"execute_id\":\"9\"}""#;
    refuses(unsent(), request, 2, message);
}

#[test]
fn an_answer_that_would_end_the_run_is_refused_and_its_question_comes_back() {
    let interrupt = r#""interrupt":{"event_id":"9/1","type":5,"data":"{\"content\":\"[{\\\"name\\\": \\\"name\\\", \\\"type\\\": \\\"string\\\", \\\"required\\\": true}]\",\"content_type\":\"form_schema\"}","mode":"stream"}"#;
    let request = format!(
        r#"{{"execute_id":"9","status":"Running","output":"","debug_url":"https://w/?execute_id=9","workflow_id":"7",{interrupt},"resume_data":"Ann"}}"#
    );
    let error = r#"{"kind":"usage","message":"resume_data must be a JSON object: the run asks for name (string)","hint":"an object such as {\"name\":…}; with any other answer the run may fail"}"#;
    let response = format!(
        r#"{{"execute_id":"9","status":"Fail","output":"","debug_url":"https://w/?execute_id=9","workflow_id":"7","error":{error},{interrupt}}}"#
    );
    unsent().arg("-q").run(request).is(2, &response, "");
}

#[test]
fn a_mode_that_is_none_is_refused() {
    let request = r#"{"workflow_id":"7","interrupt":{"event_id":"9/1","type":2,"mode":"later"},"resume_data":"x"}"#;
    let message = r#""message":"interrupt.mode must be \"stream\" or \"async\"","hint":"it says how the run was started; leave it as the response has it""#;
    refuses_of_7(request, message);
}

#[test]
fn a_streamed_run_cannot_be_left_alone() {
    let ended = unsent().arg("--no-wait").run(RUN);
    let error = r#"{"kind":"usage","message":"--no-wait can't be used on a streamed run","hint":"start it in the background: --async"}"#;
    ended.is_error(2, error);
}

#[test]
fn what_was_read_before_the_pipe_broke_off_is_acted_upon_once() {
    let (answered, gate) = channel();
    let server = Server::start(vec![stream_run().wait(gate).sse(HELLO)]);
    let mut program = Program::at(&server.url()).start();
    let mut stdin = program.take_stdin();
    stdin.write_all(RUN.as_bytes()).unwrap();
    server.await_requests(1);
    drop(stdin);
    answered.send(()).unwrap();
    program.finish().is(0, SAID_HELLO, "");
}

#[track_caller]
fn sends(request: &str, body: &str) {
    let server = Server::start(vec![stream_run().with_body(body).sse(HELLO)]);
    let ended = Program::at(&server.url()).run(request);
    let seen = server.finish();
    let workflow_id = body.split('"').nth(3).unwrap();
    ended.is(
        0,
        &SAID_HELLO.replace(r#""7""#, &format!("{workflow_id:?}")),
        "",
    );
    assert_eq!(seen.len(), 1);
}

/// So many runs, all well.
#[track_caller]
fn all_said_hello(count: usize, requests: &str) -> Ended {
    let server = Server::start(
        (0..count)
            .map(|_| stream_run().with_body(RUN).sse(HELLO))
            .collect(),
    );
    let ended = Program::at(&server.url()).arg("-q").run(requests);
    server.finish();
    let expected = vec![SAID_HELLO; count].join("\n");
    ended.is(0, &expected, "");
    ended
}

/// The program for a Coze that nobody may ask.
fn unsent() -> Program {
    Program::at("http://127.0.0.1:1").args(&["--retries", "0"])
}

#[track_caller]
fn refuses(program: Program, requests: impl AsRef<[u8]>, code: i32, error: &str) {
    let error = format!(r#"{{"kind":"usage",{error}}}"#);
    let response = format!(
        r#"{{"execute_id":"","status":"Fail","output":"","debug_url":"","error":{error}}}"#
    );
    let complaint = crate::support::program::complaint(&error);
    program.run(requests).is(code, &response, &complaint);
}

#[track_caller]
fn refuses_of_7(request: &str, error: &str) {
    let ended = unsent().run(request);
    ended.is_error(2, &format!(r#"{{"kind":"usage",{error}}}"#));
}
