//! Runs that go well, in every way they can be started, watched and answered; and the way back to
//! a run through the program's own responses.

use std::sync::mpsc::channel;

use crate::support::coze::{self, Coze, Options, Site};
use crate::support::program::Program;
use crate::support::server::{Exchange, Server};
use crate::{
    HELLO, HISTORY, RUN, SAID_HELLO, SUBMITTED, background_run, event, play, play_with, poll,
    stream_run,
};

const RUNNING: &str =
    r#"{"code":0,"data":[{"execute_status":"Running","execute_id":"9","output":""}]}"#;

// Streaming.

#[test]
fn a_run_is_one_post_and_one_response() {
    let run = stream_run().with_body(RUN).sse(HELLO);
    play(vec![run]).is(0, SAID_HELLO, "");
}

#[test]
fn all_that_coze_says_is_reported_on_one_line() {
    let stream = include_str!("../wire/doc_stream_messages_done.sse");
    play(vec![stream_run().header("X-Tt-Logid", "L1").sse(stream)]).is(
        0,
        r#"{"execute_id":"","status":"Success","output":"{\"output\":\"为什么小明要带一把尺子去看电影？\\n因为他听说电影很长，怕坐不下！\"}","debug_url":"","workflow_id":"7","messages":[{"node_title":"Message","content":"msg为什么小明要带一把尺子去看电影？\n因为他听说电影很长，怕坐不下！"}],"logid":"L1"}"#,
        "",
    );
}

#[test]
fn the_response_does_not_wait_for_the_end_of_the_body() {
    let (read, gate) = channel();
    let server = Server::start(vec![stream_run().sse(HELLO).wait(gate)]);
    let mut program = Program::at(&server.url()).start();
    program.write(RUN);
    assert_eq!(program.line(), SAID_HELLO);
    read.send(()).unwrap();
    program.finish().is(0, "", "");
}

#[test]
fn a_body_that_never_ends_does_not_keep_the_program() {
    let ended = play(vec![stream_run().sse(HELLO).hang()]);
    ended.is(0, SAID_HELLO, "");
}

#[test]
fn a_stream_that_ends_with_done_but_no_blank_line_is_whole() {
    let stream = HELLO.trim_end_matches('\n');
    play(vec![stream_run().sse(stream)]).is(0, SAID_HELLO, "");
}

#[test]
fn a_stream_in_single_bytes_is_the_same_stream() {
    let bytes = HELLO.bytes();
    let drip = bytes.fold(stream_run().sse(""), |drip, byte| drip.piece([byte]));
    play(vec![drip]).is(0, SAID_HELLO, "");
}

#[test]
fn pings_are_no_messages_but_use_up_ids() {
    let ping = event(0, "PING", r#"{"content":"{}","node_execute_uuid":""}"#);
    let hello = HELLO.replace("id: 1", "id: 2").replace("id: 0", "id: 1");
    play(vec![stream_run().sse(ping + &hello)]).is(0, SAID_HELLO, "");
}

// In the background.

#[test]
fn a_background_run_reports_its_id_the_moment_it_is_known() {
    let (told, gate) = channel();
    let script = vec![
        background_run()
            .with_body(r#"{"workflow_id":"7","is_async":true}"#)
            .json(200, SUBMITTED),
        Exchange::get("/v1/workflows/7/run_histories/9")
            .wait(gate)
            .json(200, HISTORY),
    ];
    let server = Server::start(script);
    let mut program = Program::at(&server.url()).arg("--async").start();
    program.write(RUN);
    assert_eq!(program.error_line(), "coze-workflow: started execute_id 9");
    told.send(()).unwrap();
    program.finish().is(0, SAID_HELLO, "");
}

#[test]
fn is_async_in_the_request_is_the_same_and_quiet_is_quiet() {
    let script = vec![
        background_run().json(200, SUBMITTED),
        poll().json(200, HISTORY),
    ];
    let server = Server::start(script);
    let program = Program::at(&server.url()).arg("-q");
    let ended = program.run(r#"{"workflow_id":7,"is_async":true,"id":[1, 2]}"#);
    let response = SAID_HELLO.replace(r#""7"}"#, r#""7","id":[1, 2]}"#);
    ended.is(0, &response, "");
}

#[test]
fn a_run_that_is_not_waited_for_is_running() {
    let ended = play_with(
        &["--async", "--no-wait"],
        vec![background_run().json(200, SUBMITTED)],
    );
    ended.is(
        6,
        r#"{"execute_id":"9","status":"Running","output":"","debug_url":"https://coze.example/w?execute_id=9","workflow_id":"7","error":{"kind":"running","message":"the run was started in the background","hint":"to watch it, send this response as a request"}}"#,
        "coze-workflow: started execute_id 9\ncoze-workflow: running: the run was started in the background (to watch it, send this response as a request) [execute_id 9]",
    );
}

#[test]
fn a_poll_in_invalid_json_that_says_running_is_polled_again() {
    let invalid = include_str!("../wire/cozecn_run_histories_running_INVALID_JSON.json");
    let script = vec![
        background_run().json(200, SUBMITTED),
        poll().json(200, invalid),
        poll().answer(502, "text/html", "<html>"),
        poll().json(200, r#"{"code":4314,"msg":"no such run"}"#),
        poll().json(200, r#"{"code":0,"data":[]}"#),
        poll().hangs_up(),
        poll().json(200, HISTORY),
    ];
    let ended = play_with(&["--async", "-q", "--poll-interval", "0.01"], script);
    ended.is(0, SAID_HELLO, "");
}

#[test]
fn a_poll_that_is_answered_whole_is_not_waited_for_on_a_connection_left_open() {
    let head = "HTTP/1.1 200 \r\nContent-Type: application/json\r\n\r\n";
    play_with(
        &["--async", "-q"],
        vec![
            background_run().json(200, SUBMITTED),
            poll().raw(head.to_owned() + HISTORY).hang(),
        ],
    )
    .is(0, SAID_HELLO, "");
}

#[test]
fn polling_that_fails_ten_times_in_a_row_leaves_the_run_running() {
    let mut script = vec![background_run().json(200, SUBMITTED)];
    script.extend((0..10).map(|_| poll().answer(502, "text/html", "<html>")));
    let ended = play_with(&["--async", "-q", "--poll-interval", "0.01"], script);
    let response = &ended.responses()[0];
    assert_eq!((ended.code, &response["execute_id"]), (6, &"9".into()));
    assert_eq!(
        response["error"]["hint"],
        "to watch it, send this response as a request"
    );
}

#[test]
fn a_deadline_while_watching_leaves_the_run_running() {
    let script = vec![background_run().json(200, SUBMITTED), poll().silent()];
    let arguments = [
        "--async",
        "-q",
        "--poll-interval",
        "0.01",
        "--timeout",
        "0.5",
    ];
    let ended = play_with(&arguments, script);
    assert_eq!(
        (ended.code, &ended.responses()[0]["execute_id"]),
        (6, &"9".into())
    );
}

#[test]
fn a_token_that_may_not_poll_leaves_the_run_running() {
    let refusal = include_str!("../wire/envelope_4101.json");
    let script = vec![
        background_run().json(200, SUBMITTED),
        poll().json(200, refusal),
    ];
    let ended = play_with(&["--async", "-q", "--poll-interval", "0.01"], script);
    let error = &ended.responses()[0]["error"];
    assert_eq!((ended.code, &error["code"]), (6, &4101.into()));
    assert!(error["hint"].as_str().unwrap().contains("listRunHistory"));
}

// A response is a request.

#[test]
fn a_watch_polls_and_starts_nothing() {
    let server = Server::start(vec![poll().json(200, RUNNING), poll().json(200, HISTORY)]);
    let program = Program::at(&server.url()).args(&["--poll-interval", "0.01"]);
    program
        .run(r#"{"workflow_id":"7","execute_id":9}"#)
        .is(0, SAID_HELLO, "");
}

#[test]
fn a_watch_that_is_refused_is_refused() {
    let refusal = include_str!("../wire/envelope_4101.json");
    let server = Server::start(vec![poll().json(200, refusal)]);
    let ended = Program::at(&server.url()).run(r#"{"workflow_id":"7","execute_id":"9"}"#);
    assert_eq!(
        (ended.code, &ended.responses()[0]["error"]["kind"]),
        (4, &"refused".into())
    );
}

#[test]
fn a_running_response_piped_into_the_program_is_watched() {
    let coze = Coze::start(Options::default());
    let submit = Program::at(&coze.url()).args(&["--async", "--no-wait", "-q"]);
    let watch = Program::at(&coze.url()).args(&["--poll-interval", "0.01"]);
    let (submitted, watched) = pipe(submit, watch, &run(coze::SLOW));
    assert_eq!((submitted, watched.code), (6, 0));
    assert_eq!(
        watched.responses()[0]["output"],
        r#"{"output":{"key":"a"}}"#
    );
    assert_eq!(coze.counts().started, [("a".to_owned(), 1)].into());
}

#[test]
fn an_interrupt_with_an_answer_piped_into_the_program_is_resumed() {
    for arguments in [&[][..], &["--async", "--poll-interval", "0.01"]] {
        let coze = Coze::start(Options::default());
        let program = || Program::at(&coze.url()).arg("-q").args(arguments);
        let asked = program().run(run(coze::QUESTION));
        assert_eq!(asked.code, 7);
        let answer = asked
            .stdout
            .trim_end()
            .strip_suffix('}')
            .unwrap()
            .to_owned();
        let ended = program().run(answer + r#","resume_data":"明天"}"#);
        assert_eq!(ended.responses()[0]["output"], r#"{"answer":"明天"}"#);
        assert_eq!((ended.code, coze.counts().started.len()), (0, 1));
        assert_eq!(coze.counts().resumed.values().sum::<u64>(), 1);
    }
}

#[test]
fn a_response_without_an_execute_id_is_refused() {
    let coze = Coze::start(Options::default());
    let cut = || Program::at(&coze.url()).arg("-q");
    let (lost, refused) = pipe(cut(), cut(), &run(coze::CUT));
    assert_eq!((lost, refused.code), (8, 2));
    let error = &refused.responses()[0]["error"];
    assert_eq!(
        error["message"],
        "execute_id is empty: there is nothing to watch"
    );
    assert_eq!(coze.counts().stream_run, 1);
}

#[test]
fn a_success_fed_back_is_polled_and_not_run_again() {
    let coze = Coze::start(Options::default());
    let program = || Program::at(&coze.url());
    let (first, again) = pipe(program(), program(), &run(coze::ECHO));
    assert_eq!((first, again.code), (0, 0));
    assert_eq!(again.responses()[0]["output"], r#"{"output":{"key":"a"}}"#);
    assert_eq!((coze.counts().stream_run, coze.counts().polls), (1, 1));
}

#[test]
fn the_history_and_the_stream_give_the_same_response() {
    let coze = Coze::start(Options::default());
    for workflow in [coze::ECHO, coze::ECHO_TEXT, coze::IMAGE] {
        let streamed = Program::at(&coze.url()).run(run(workflow));
        let watched = Program::at(&coze.url()).run(&streamed.stdout);
        for key in [
            "execute_id",
            "status",
            "output",
            "debug_url",
            "messages",
            "usage",
        ] {
            let (streamed, watched) = (&streamed.responses()[0][key], &watched.responses()[0][key]);
            assert_eq!(streamed, watched, "{workflow} {key}");
        }
    }
}

#[test]
fn texts_that_the_history_trimmed_are_fetched_one_by_one() {
    let coze = Coze::start(Options {
        trimmed: true,
        ..Options::default()
    });
    let program = Program::at(&coze.url()).args(&["--async", "-q", "--poll-interval", "0.01"]);
    let ended = program.run(run(coze::ECHO));
    // The End node's own text can't be had any more.
    assert_eq!(ended.code, 8);
    assert_eq!(
        ended.responses()[0]["messages"][0]["content"],
        "正在处理，请稍候……"
    );
    assert_eq!((coze.counts().run, coze.counts().node_polls), (1, 1));
}

#[test]
fn coze_studio_is_found_out_and_asked_its_own_way() {
    let coze = Coze::start(Options {
        site: Site::Studio,
        ..Options::default()
    });
    let program = Program::at(&coze.url()).args(&["--async", "-q", "--poll-interval", "0.01"]);
    let ended = program.run(run(coze::SLOW));
    assert_eq!(ended.responses()[0]["output"], r#"{"output":{"key":"a"}}"#);
    // Three polls, none in vain: what answered the start had shown already that it is Studio.
    assert_eq!(
        (ended.code, coze.counts().run, coze.counts().polls),
        (0, 1, 3)
    );
}

#[test]
fn waiting_takes_one_thread() {
    let (counted, gate) = channel();
    let script = vec![
        Exchange::post("/v1/workflow/stream_run")
            .wait(gate)
            .sse(HELLO),
    ];
    let server = Server::start(script);
    let mut program = Program::at(&server.url()).start();
    program.write(RUN);
    server.await_requests(1);
    assert_eq!(program.threads(), 1);
    counted.send(()).unwrap();
    program.finish().is(0, SAID_HELLO, "");
}

fn run(workflow_id: &str) -> String {
    format!(r#"{{"workflow_id":"{workflow_id}","parameters":{{"key":"a"}}}}"#)
}

/// `first | second`: the exit code of the first and what came of the second.
#[track_caller]
fn pipe(first: Program, second: Program, request: &str) -> (i32, crate::support::program::Ended) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut first = first.stdout_to(writer).start();
    let second = second.stdin_from(reader).start();
    first.write(request);
    (first.finish().code, second.finish())
}
