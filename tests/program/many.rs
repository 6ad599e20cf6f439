//! Many requests at once: every response right, every run started once, on its own connection, memory
//! flat, and what one request's failure means for the others.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::coze::{self, Coze, Options};
use crate::support::nowhere::{Nowhere, nowhere};
use crate::support::program::{Ended, KEY, Program};
use crate::support::server::Server;
use crate::support::wire;
use crate::{HELLO, RUN, SAID_HELLO, stream_run};

#[test]
fn two_thousand_requests_by_64_jobs_are_each_run_once_and_answered_right() {
    let coze = Coze::start(Options::default());
    let program = Program::at(&coze.url()).args(&["-j", "64"]);
    let ended = program.run(requests(coze::ECHO, 2000));
    answers_each(&ended, 2000);
    let counts = coze.counts();
    let times: Vec<_> = counts
        .started
        .values()
        .filter(|&&times| times != 1)
        .collect();
    assert_eq!(
        (counts.started.len(), counts.stream_run, times.len()),
        (2000, 2000, 0)
    );
    assert_eq!(counts.connections, 2000);
    assert!(counts.most_in_flight <= 64);
    let summary = "coze-workflow: 2000 requests: 2000 succeeded\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (0, summary));
}

#[test]
fn one_job_answers_in_order_each_run_on_its_own_connection() {
    let coze = Coze::start(Options::default());
    let ended = Program::at(&coze.url())
        .arg("-q")
        .run(requests(coze::ECHO, 50));
    answers_each(&ended, 50);
    let ids: Vec<_> = ended
        .responses()
        .iter()
        .map(|response| response["id"].clone())
        .collect();
    assert_eq!(ids, (0..50).map(Value::from).collect::<Vec<_>>());
    assert_eq!(
        (coze.counts().connections, coze.counts().most_in_flight),
        (50, 1)
    );
}

#[test]
fn with_jobs_a_request_without_id_gets_its_number() {
    let coze = Coze::start(Options::default());
    let program = Program::at(&coze.url()).args(&["-q", "-j", "2"]);
    let ended = program.run(RUN.replace('7', coze::ECHO).repeat(3));
    let ids: BTreeSet<_> = ended
        .responses()
        .iter()
        .map(|response| response["id"].as_u64())
        .collect();
    assert_eq!(ids, BTreeSet::from([Some(0), Some(1), Some(2)]));
}

#[test]
fn lines_of_many_jobs_never_mix() {
    let coze = Coze::start(Options::default());
    let program = Program::at(&coze.url()).args(&["-q", "-j", "16", "--events"]);
    let ended = program.run(requests(coze::ECHO_TEXT, 200));
    let lines = ended.responses();
    let of_request = |id: u64| lines.iter().filter(move |line| line["request"] == id);
    for id in 0..200 {
        let names: Vec<_> = of_request(id)
            .map(|line| line["event"].as_str().unwrap())
            .collect();
        let messages = ["Message"; 3];
        assert_eq!(
            names,
            [&["PING"][..], &messages, &["PING"], &messages, &["Done"]].concat()
        );
    }
    assert_eq!((ended.code, lines.len()), (0, 200 * 10));
}

#[test]
fn a_reader_of_the_responses_that_is_slow_fills_no_memory() {
    const REQUESTS: usize = 10_000;
    let coze = Coze::start(Options::default());
    let (reader, writer) = std::io::pipe().unwrap();
    let program = Program::at(&coze.url())
        .args(&["-q", "-j", "8"])
        .stdout_to(writer);
    let mut program = program.start();
    let mut stdin = program.take_stdin();
    let feeder = thread::spawn(move || {
        stdin
            .write_all(requests(coze::IMAGE, REQUESTS).as_bytes())
            .unwrap();
        stdin
    });
    let mut lines = BufReader::new(reader).lines();
    lines.next().unwrap().unwrap();
    // Nobody reads on: no more runs are started than the pipe and the jobs can hold.
    let before = settled(&coze);
    assert!(
        before < REQUESTS as u64 / 2,
        "{before} runs without a reader"
    );
    let early = program.peak_memory();
    assert_eq!(
        lines.by_ref().take(REQUESTS - 1).flatten().count(),
        REQUESTS - 1
    );
    let late = program.peak_memory();
    assert!(late < early + (4 << 20), "{early} bytes, then {late}");
    drop(feeder.join().unwrap());
    assert_eq!(
        (program.finish().code, coze.counts().stream_run),
        (0, REQUESTS as u64)
    );
}

#[test]
fn a_connection_that_the_server_has_closed_is_not_used_again() {
    let (closed, is_closed) = channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            wire::read_request(&mut stream).unwrap().unwrap();
            let length = HELLO.len();
            let head = format!(
                "HTTP/1.1 200 \r\nContent-Type: text/event-stream\r\nContent-Length: {length}\r\n\r\n"
            );
            stream
                .get_mut()
                .write_all((head + HELLO).as_bytes())
                .unwrap();
            drop(stream);
            closed.send(()).unwrap();
        }
    });
    let mut program = Program::at(&url).arg("-q").start();
    for _ in 0..20 {
        program.write(RUN);
        assert_eq!(program.line(), SAID_HELLO);
        is_closed.recv().unwrap();
    }
    program.finish().is(0, "", "");
}

// What one failure means for the others.

#[test]
fn the_exit_code_is_the_gravest_and_never_one_that_says_not_started() {
    let coze = Coze::start(Options::default());
    let all = [coze::ECHO, coze::QUESTION, coze::FAILS, coze::UNPUBLISHED];
    let requests: Vec<_> = all
        .iter()
        .map(|workflow| RUN.replace('7', workflow))
        .collect();
    for jobs in ["1", "4"] {
        let program = Program::at(&coze.url()).args(&["-j", jobs]);
        let ended = program.run(requests.concat());
        let summary = "coze-workflow: 4 requests: 1 succeeded, 1 failed, 1 refused, 1 interrupted";
        assert_eq!(
            (ended.code, ended.stderr.lines().last()),
            (7, Some(summary))
        );
    }
}

#[test]
fn an_output_that_could_not_be_written_comes_before_every_other_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let refusal = stream_run().json(200, r#"{"code":4200,"msg":"no"}"#);
    let server = Server::start(vec![refusal]);
    let program = Program::at(&server.url()).arg("-q").stdout_to(writer);
    assert_eq!(program.run(RUN.repeat(2)).code, 9);
}

#[test]
fn after_a_bad_token_the_rest_is_refused_unsent() {
    let refusal = r#"{"code":4100,"msg":"bad token"}"#;
    let server = Server::start(vec![
        stream_run().sse(HELLO),
        stream_run().json(401, refusal),
    ]);
    let ended = Program::at(&server.url()).run(RUN.repeat(4));
    let messages: Vec<_> = ended.responses()[1..]
        .iter()
        .map(|response| response["error"]["message"].clone())
        .collect();
    let unsent = "not sent, because an earlier request was refused: bad token";
    assert_eq!(messages, ["bad token", unsent, unsent]);
    let summary = "coze-workflow: 4 requests: 1 succeeded, 3 refused";
    // A run was started: the whole must not be taken for refused.
    assert_eq!(
        (ended.code, ended.stderr.lines().last()),
        (1, Some(summary))
    );
}

#[test]
fn a_message_of_many_lines_is_one_line_on_standard_error_and_whole_in_the_response() {
    let refusal = r#"{"code":4000,"msg":"panic: nil\ngoroutine 7 [running]:\nmain.go:1"}"#;
    let server = Server::start(vec![stream_run().json(200, refusal)]);
    let ended = Program::at(&server.url()).run(r#"{"workflow_id":"7","id":"row"}"#);
    let message = &ended.responses()[0]["error"]["message"];
    assert_eq!(message, "panic: nil\ngoroutine 7 [running]:\nmain.go:1");
    let line = "coze-workflow: refused: panic: nil… (code 4000; ";
    assert!(ended.stderr.starts_with(line), "{}", ended.stderr);
    assert!(ended.stderr.ends_with("[id \"row\"]\n"), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1);
}

#[test]
fn the_sum_is_json_for_the_logs_under_v_and_nothing_under_q() {
    let run = |option: &str, count: usize| {
        let server = Server::start((0..count).map(|_| stream_run().sse(HELLO)).collect());
        let ended = Program::at(&server.url())
            .arg(option)
            .run(RUN.repeat(count));
        ended.stderr
    };
    let sum = concat!(
        r#"{"requests":2,"succeeded":2,"failed":0,"refused":0,"unreachable":0,"unknown":0,"#,
        r#""interrupted":0,"running":0,"usage":0,"config":0,"io":0,"journal":0,"exit_code":0}"#
    );
    let told = run("-v", 2);
    assert_eq!(told.lines().last(), Some(sum));
    assert_eq!(told.matches("succeeded").count(), 1);
    assert_eq!(run("-q", 2), "");
    assert!(!run("-v", 1).contains("succeeded"));
}

#[test]
fn when_a_host_comes_back_no_row_has_failed() {
    let nowhere = Nowhere::new();
    let mut program = Program::at(&nowhere.url()).args(&["-v", "-j", "4"]).start();
    program.write(requests(coze::ECHO, 100));
    program.close_stdin();
    // More tries than four rows have of their own.
    for _ in 0..14 {
        while !program.error_line().contains("retrying in") {}
    }
    let coze = Coze::start_at(nowhere.listen(), Options::default());
    let ended = program.finish();
    answers_each(&ended, 100);
    assert_eq!((ended.code, coze.counts().stream_run), (0, 100));
}

#[test]
fn a_thousand_rows_to_a_dead_host_are_answered_and_hardly_any_is_tried() {
    let program = Program::at(&nowhere().url()).args(&["-v", "-j", "8"]);
    let ended = program.run(requests(coze::ECHO, 1000));
    let kinds = ended.responses();
    let unreached = kinds
        .iter()
        .filter(|one| one["error"]["kind"] == "unreachable");
    assert_eq!((ended.code, unreached.count()), (5, 1000));
    let tries = ended.stderr.matches("> POST").count();
    assert!(tries < 60, "{tries}");
}

#[test]
fn o_with_several_requests_is_refused_before_any_is_sent() {
    let server = Server::start(vec![]);
    let program = || Program::at(&server.url()).args(&["-q", "-o", "out"]);
    let all = [
        program().run(RUN.repeat(2)),
        program()
            .file("a", RUN)
            .file("b", RUN)
            .args(&["a", "b"])
            .run(""),
        program().args(&["--request", &RUN.repeat(2)]).run(""),
        program().file("a", RUN.repeat(2)).arg("a").run(""),
    ];
    for ended in all {
        let kinds: Vec<_> = ended.responses();
        let usage = kinds.iter().filter(|one| one["error"]["kind"] == "usage");
        assert_eq!((ended.code, usage.count()), (2, 2));
        assert!(!ended.path().join("out").exists());
    }
}

#[test]
fn o_does_not_wait_to_learn_whether_there_are_several_requests() {
    let server = Server::start(vec![stream_run().sse(HELLO)]);
    let mut program = Program::at(&server.url())
        .args(&["-q", "-o", "out"])
        .start();
    program.write(RUN.to_owned() + "\n");
    assert!(program.line().contains(r#""output_file":"out""#));
    program.write(RUN);
    let ended = program.finish();
    assert_eq!(ended.responses()[0]["error"]["kind"], "usage");
    assert_eq!(
        fs::read_to_string(ended.path().join("out")).unwrap(),
        "hello"
    );
}

#[test]
fn files_that_cannot_be_opened_are_found_out_before_anything_is_sent() {
    let server = Server::start(vec![]);
    for (limit, options) in [
        ("100", &["-j", "64"][..]),
        ("100", &["-j", "30", "--journal", "j"]),
    ] {
        let limited = format!("ulimit -n {limit}; exec \"$@\"");
        let program = Program::other("sh").args(&["-c", &limited, "sh"]);
        let program = program.env("COZE_API_KEY", KEY).args(&[
            env!("CARGO_BIN_EXE_coze-workflow"),
            "--base-url",
            &server.url(),
        ]);
        let ended = program.args(options).run(RUN.repeat(100));
        let error = &ended.responses()[0]["error"];
        assert_eq!((ended.code, ended.responses().len()), (3, 1));
        assert_eq!(
            error["hint"],
            "raise the limit (ulimit -n), or take fewer --jobs"
        );
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains(" more files are needed, and "),
            "{message}"
        );
    }
}

#[test]
fn another_refusal_stops_nobody_else() {
    let refusal = r#"{"code":4200,"msg":"not published"}"#;
    let server = Server::start(vec![
        stream_run().json(200, refusal),
        stream_run().sse(HELLO),
    ]);
    let ended = Program::at(&server.url()).arg("-q").run(RUN.repeat(2));
    assert_eq!(
        (ended.code, &ended.responses()[1]["output"]),
        (1, &"hello".into())
    );
}

#[test]
fn rate_refusals_of_many_requests_use_up_no_retries() {
    let options = Options {
        retry_after: None,
        rate_refusals: 2,
        ..Options::default()
    };
    let coze = Coze::start(options);
    let program = Program::at(&coze.url()).args(&["-q", "-j", "8", "--retries", "0"]);
    let ended = program.run(requests(coze::RATE_LIMITED, 8));
    answers_each(&ended, 8);
    assert_eq!((ended.code, coze.counts().started.len()), (0, 8));
}

#[test]
fn a_rate_refusal_keeps_the_other_jobs_waiting() {
    let limited = stream_run().header("Retry-After", "3600").json(429, "");
    let server = Server::start(vec![limited]);
    let program = Program::at(&server.url()).args(&["-v", "-j", "8", "--timeout", "3700"]);
    let mut program = program.start();
    program.write(RUN);
    while !program.error_line().contains("retrying in 3600 s") {}
    program.write(RUN.repeat(7));
    // A job that does not wait is given the time to show it; no other one is failed by this.
    thread::sleep(Duration::from_millis(300));
    drop(program);
    assert_eq!(server.finish().len(), 1);
}

/// So many runs of a workflow, each with a key of its own.
fn requests(workflow_id: &str, count: usize) -> String {
    (0..count).fold(String::new(), |mut all, id| {
        writeln!(
            all,
            r#"{{"workflow_id":"{workflow_id}","parameters":{{"key":"k{id}"}},"id":{id}}}"#
        )
        .unwrap();
        all
    })
}

/// Every request has one response, a success, with what was made of its own parameters.
#[track_caller]
fn answers_each(ended: &Ended, count: usize) {
    let mut ids = BTreeSet::new();
    for response in ended.responses() {
        let id = response["id"].as_u64().unwrap();
        let output = format!(r#"{{"output":{{"key":"k{id}"}}}}"#);
        assert_eq!(
            (&response["status"], &response["output"]),
            (&"Success".into(), &output.into())
        );
        assert!(ids.insert(id), "{id} was answered twice");
    }
    assert_eq!(ids.len(), count);
}

/// How many runs were started when no more are.
fn settled(coze: &Coze) -> u64 {
    let mut before = 0;
    loop {
        // Too short a wait only makes the number smaller.
        thread::sleep(Duration::from_millis(300));
        let now = coze.counts().stream_run;
        if now == before {
            return now;
        }
        before = now;
    }
}
