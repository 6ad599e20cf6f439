//! The status line, and streams that are not what they seem: standard error a terminal and standard
//! output none, and streams that take nothing more at the moment.

use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};

use crate::support::program::Program;
use crate::support::server::{Exchange, Server};
use crate::support::terminal;
use crate::{CHINESE, RUN, done, message, stream_run};

const RESPONSE: &str = "{\"execute_id\":\"9\",\"status\":\"Success\",\"output\":\"hello\",\"debug_url\":\"https://coze.example/w?execute_id=9\",\"workflow_id\":\"7\"}\n";

#[test]
fn the_status_line_says_what_is_waited_for_and_goes_away() {
    for (locale, waiting, receiving) in [
        ("C", "waiting for the workflow", "receiving from End"),
        (CHINESE, "等待工作流", "正在接收：End"),
    ] {
        let (first, first_gate) = channel();
        let (last, last_gate) = channel();
        let server = Server::start(vec![
            stream_run()
                .sse(": nothing yet\n\n")
                .wait(first_gate)
                .piece(message(0, "hello"))
                .wait(last_gate)
                .piece(done(1)),
        ]);
        let (terminal, end) = terminal::open(80);
        let program = Program::at(&server.url()).env("LC_ALL", locale);
        let mut running = program.stderr_to(end).start();
        running.write(RUN);
        terminal.await_text(waiting);
        first.send(()).unwrap();
        terminal.await_text(receiving);
        last.send(()).unwrap();
        let ended = running.finish();
        // And standard output has the bytes that it always has.
        assert_eq!((ended.code, ended.stdout.as_str()), (0, RESPONSE));
        let (screen, bytes) = terminal.finish();
        assert_eq!(screen, "");
        // No mode of the terminal stays changed.
        assert_eq!(
            bytes.matches("\x1b[?7l").count(),
            bytes.matches("\x1b[?7h").count()
        );
        assert!(bytes.ends_with("\r\x1b[K"), "{bytes:?}");
    }
}

#[test]
fn the_status_line_of_many_tells_how_many_are_done() {
    let (go_on, gate) = channel();
    let server = Server::start(vec![
        stream_run().sse(message(0, "one") + &done(1)),
        stream_run()
            .sse("")
            .wait(gate)
            .piece(message(0, "two") + &done(1)),
    ]);
    let (terminal, end) = terminal::open(80);
    let program = Program::at(&server.url()).file("rows", RUN.repeat(2));
    let mut running = program.arg("rows").stderr_to(end).start();
    terminal.await_text("  1/2 done, ");
    terminal.await_text(" left, 1 running, 0 without success, ");
    go_on.send(()).unwrap();
    assert_eq!(running.line(), RESPONSE.trim().replace("hello", "one"));
    assert_eq!(running.finish().code, 0);
    let (screen, _) = terminal.finish();
    assert_eq!(screen, "coze-workflow: 2 requests: 2 succeeded");
}

#[test]
fn the_status_line_says_that_a_request_is_waited_for() {
    for (locale, waiting) in [("C", "waiting for a request"), (CHINESE, "正在等待请求")] {
        for arguments in [&[][..], &["--check"]] {
            let (terminal, end) = terminal::open(80);
            let program = Program::at("http://127.0.0.1:1").env("LC_ALL", locale);
            let running = program.args(arguments).stderr_to(end).start();
            terminal.await_text(waiting);
            drop(running.finish());
            let (_, bytes) = terminal.finish();
            assert!(bytes.contains("\r\x1b[K"), "{bytes:?}");
        }
    }
}

#[test]
fn a_run_of_a_moment_has_no_status_line() {
    let server = Server::start(vec![stream_run().sse(message(0, "hello") + &done(1))]);
    let (terminal, end) = terminal::open(80);
    Program::at(&server.url()).stderr_to(end).run(RUN);
    assert_eq!(terminal.finish().1, "");
}

#[test]
fn an_error_at_a_terminal_is_one_line_in_the_readers_language() {
    for (locale, word) in [("C", "refused"), (CHINESE, "被拒绝")] {
        let refusal = r#"{"code":4008,"msg":"no more today"}"#;
        let server = Server::start(vec![stream_run().json(200, refusal)]);
        let (terminal, end) = terminal::open(200);
        let program = Program::at(&server.url()).env("LC_ALL", locale);
        let ended = program.stderr_to(end).run(RUN);
        assert_eq!((ended.code, ended.responses().len()), (4, 1));
        assert_eq!(ended.responses()[0]["error"]["kind"], "refused");
        let (screen, _) = terminal.finish();
        let expected = format!("coze-workflow: {word}: no more today (code 4008; ");
        assert!(screen.starts_with(&expected), "{screen}");
    }
}

#[test]
fn requests_that_do_not_come_at_the_moment_are_waited_for() {
    let hello = message(0, "hello") + &done(1);
    let server = Server::start([(); 2].map(|()| stream_run().sse(&hello)).into());
    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl_setfl(&reader, OFlags::NONBLOCK).unwrap();
    let mut running = Program::at(&server.url()).stdin_from(reader).start();
    let (begun, rest) = RUN.split_at(9);
    writer
        .write_all(format!("{RUN}{begun}").as_bytes())
        .unwrap();
    running.line();
    writer.write_all(rest.as_bytes()).unwrap();
    drop(writer);
    running.line();
    assert_eq!(running.finish().code, 0);
}

#[test]
fn a_stream_that_takes_nothing_at_the_moment_is_waited_for() {
    let text = "x".repeat(1 << 20);
    let server = Server::start(vec![
        Exchange::post("/v1/workflow/stream_run").sse(message(0, &text) + &done(1)),
        stream_run().json(200, format!(r#"{{"code":4008,"msg":"{text}"}}"#)),
    ]);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (mut errors, error_writer) = std::io::pipe().unwrap();
    for end in [&writer, &error_writer] {
        fcntl_setfl(end, OFlags::NONBLOCK).unwrap();
    }
    let program = Program::at(&server.url())
        .stdout_to(writer)
        .stderr_to(error_writer);
    let mut running = program.arg("-r").start();
    running.write(RUN.repeat(2));
    running.close_stdin();
    // Long enough for both pipes to be full.
    thread::sleep(Duration::from_millis(300));
    let complaints = thread::spawn(move || {
        let mut complaints = String::new();
        errors.read_to_string(&mut complaints).unwrap();
        complaints
    });
    let mut output = String::new();
    reader.read_to_string(&mut output).unwrap();
    assert_eq!(output, text.clone() + "\n");
    let complaints = complaints.join().unwrap();
    let (response, _) = complaints.split_once('\n').unwrap();
    let response: serde_json::Value = serde_json::from_str(response).unwrap();
    assert_eq!(response["error"]["message"], text);
    assert_eq!(running.finish().code, 1);
}
