//! What is bounded: memory, whatever Coze and the callers do, and the sizes beyond which a run is
//! called unknown. Peaks are read while the program waits for more requests.

use std::io::{self, BufReader, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::support::program::{KEY, Program};
use crate::support::server::Server;
use crate::support::wire;
use crate::{HELLO, RUN, done, message, stream_run};

const MIB: u64 = 1 << 20;

#[test]
fn a_stream_of_64_mb_in_small_messages_takes_little_more_than_its_text() {
    const MESSAGES: usize = 640_000;
    let url = telling(|out| {
        let text = "x".repeat(100);
        (0..MESSAGES).try_for_each(|id| out.write_all(message(id, &text).as_bytes()))?;
        out.write_all(done(MESSAGES).as_bytes())
    });
    let mut program = Program::at(&url).start();
    program.write(RUN);
    let text = 100 * MESSAGES as u64;
    assert!(program.line().len() as u64 > text);
    let peak = program.peak_memory();
    assert!(peak < text + 16 * MIB, "{} MiB", peak / MIB);
    program.finish().is(0, "", "");
}

#[test]
fn one_message_of_20_mb_is_reported() {
    let text = "好".repeat(20_000_000 / 3);
    let stream = message(0, &text) + &done(1);
    let server = Server::start(vec![stream_run().sse(stream)]);
    let mut program = Program::at(&server.url()).start();
    program.write(RUN);
    assert!(program.line().contains(&text));
    let peak = program.peak_memory();
    assert!(peak < 96 * MIB, "{} MiB", peak / MIB);
    program.finish().is(0, "", "");
}

#[test]
fn a_large_message_is_reported_where_address_space_is_rationed() {
    let text = "好".repeat(1_000_000);
    let stream = message(0, &text) + &done(1);
    let server = Server::start(vec![stream_run().sse(stream)]);
    // Less than the largest event may have.
    let program = Program::other("sh").args(&["-c", "ulimit -v 32768; exec \"$@\"", "sh"]);
    let program = program.env("COZE_API_KEY", KEY).args(&[
        env!("CARGO_BIN_EXE_coze-workflow"),
        "--base-url",
        &server.url(),
    ]);
    let ended = program.run(RUN);
    assert_eq!((ended.code, &*ended.stderr), (0, ""));
    assert!(ended.stdout.contains(&text));
}

#[test]
fn a_line_without_end_is_unknown() {
    let url = telling(|out| {
        out.write_all(b"data: ")?;
        loop {
            out.write_all(&[b'x'; 1000])?;
        }
    });
    is_too_large(&url, "one event is larger than 32 MiB", 96);
}

#[test]
fn a_stream_without_end_is_unknown() {
    let url = telling(|out| {
        let text = "x".repeat(8 << 20);
        (0..).try_for_each(|id| out.write_all(message(id, &text).as_bytes()))
    });
    is_too_large(&url, "the run's text is larger than 256 MiB", 320);
}

#[test]
fn pings_without_end_take_no_memory() {
    let url = telling(|out| {
        let ping = b"event: PING\ndata: {}\n\n".repeat(1000);
        (0..100).try_for_each(|_| out.write_all(&ping))?;
        out.write_all(HELLO.as_bytes())
    });
    let mut program = Program::at(&url).start();
    program.write(RUN);
    program.line();
    let peak = program.peak_memory();
    assert!(peak < 16 * MIB, "{} MiB", peak / MIB);
}

#[test]
fn an_answer_that_is_no_stream_is_not_read_without_end() {
    let url = answering("HTTP/1.1 500 \r\n\r\n", |out| {
        loop {
            out.write_all(&[b' '; 1000])?;
        }
    });
    let ended = Program::at(&url).run(RUN);
    assert_eq!(
        (ended.code, &ended.responses()[0]["status"]),
        (8, &"Running".into())
    );
}

#[test]
fn requests_are_read_no_faster_than_they_are_answered() {
    let (answered, gate) = channel();
    let server = Server::start(vec![stream_run().wait(gate).sse(HELLO).hang()]);
    let mut program = Program::at(&server.url()).arg("-q").start();
    let mut stdin = program.take_stdin();
    let written = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&written);
    let writer = thread::spawn(move || {
        let line = RUN.to_owned() + "\n";
        // A million of them, had anybody read them.
        for _ in 0..1_000_000 {
            if stdin.write_all(line.as_bytes()).is_err() {
                return;
            }
            count.fetch_add(line.len() as u64, Ordering::Relaxed);
        }
    });
    server.await_requests(1);
    // A program that reads ahead is given the time to show it; no other one is failed by this.
    thread::sleep(Duration::from_millis(300));
    assert!(written.load(Ordering::Relaxed) < MIB);
    assert!(program.peak_memory() < 16 * MIB);
    program.kill();
    writer.join().unwrap();
    drop(answered);
}

#[test]
fn large_requests_do_not_add_up() {
    const REQUESTS: usize = 100;
    let request = format!(
        r#"{{"workflow_id":"7","parameters":{{"text":"{}"}}}}"#,
        "x".repeat(512 << 10)
    );
    let server = Server::start((0..REQUESTS).map(|_| stream_run().sse(HELLO)).collect());
    let mut program = Program::at(&server.url()).arg("-q").start();
    let mut stdin = program.take_stdin();
    let writer = thread::spawn(move || {
        (0..REQUESTS).for_each(|_| stdin.write_all(request.as_bytes()).unwrap());
        stdin
    });
    (0..REQUESTS).for_each(|_| drop(program.line()));
    let peak = program.peak_memory();
    assert!(peak < 16 * MIB, "{} MiB", peak / MIB);
    drop(writer.join().unwrap());
    program.finish().is(0, "", "");
}

#[test]
fn what_came_while_the_program_was_stopped_is_read_although_the_time_is_up() {
    for limit in ["--timeout", "--idle-timeout"] {
        let (open, gate) = channel();
        let script = stream_run().sse(message(0, "hel")).wait(gate);
        let script = script.piece(message(1, "lo")).piece(done(2));
        let server = Server::start(vec![script]);
        let program = Program::at(&server.url()).args(&["--events", limit, "3"]);
        let mut program = program.start();
        program.write(RUN);
        program.line();
        signal("STOP", program.id());
        open.send(()).unwrap();
        thread::sleep(Duration::from_millis(3100));
        signal("CONT", program.id());
        let ended = program.finish();
        let response = ended.responses().pop().unwrap();
        assert_eq!(
            (ended.code, &response["output"]),
            (0, &"hello".into()),
            "{limit}: {response}"
        );
    }
}

/// A stack that is larger than any address space, so that no thread can be had.
const NO_THREADS: (&str, &str) = ("RUST_MIN_STACK", "1000000000000000");

#[test]
fn a_thread_that_cannot_be_had_is_found_out_before_anything_is_sent() {
    let server = Server::start(vec![]);
    let url = format!("http://localhost:{}", server.port());
    let program = Program::at(&url).env(NO_THREADS.0, NO_THREADS.1);
    let ended = program.run(RUN);
    let error = &ended.responses()[0]["error"];
    let message = error["message"].as_str().unwrap();
    assert_eq!((ended.code, &error["kind"]), (3, &"config".into()));
    let sentence = "cannot start the thread that looks up names: ";
    assert!(message.starts_with(sentence), "{message}");
}

#[test]
fn an_address_needs_no_thread() {
    let server = Server::start(vec![stream_run().sse(HELLO)]);
    let program = Program::at(&server.url()).env(NO_THREADS.0, NO_THREADS.1);
    assert_eq!(program.run(RUN).code, 0);
}

#[track_caller]
fn signal(name: &str, process: u32) {
    let status = Command::new("sh")
        .args(["-c", "kill -$0 $1", name, &process.to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// The URL of a server that answers one run with a stream that `tell` writes, or as much of it as
/// the program reads. Nobody listens after that.
fn telling(tell: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static) -> String {
    answering(
        "HTTP/1.1 200 \r\nContent-Type: text/event-stream\r\n\r\n",
        tell,
    )
}

fn answering(
    head: &'static str,
    tell: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        drop(listener);
        wire::read_request(&mut BufReader::new(&mut stream))
            .unwrap()
            .unwrap();
        let mut out = io::BufWriter::with_capacity(1 << 16, stream);
        // The program goes when it has had enough.
        let _ = out
            .write_all(head.as_bytes())
            .and_then(|()| tell(&mut out))
            .and_then(|()| out.flush());
    });
    url
}

#[track_caller]
fn is_too_large(url: &str, sentence: &str, most: u64) {
    let mut program = Program::at(url).arg("-q").start();
    program.write(RUN);
    let response: serde_json::Value = serde_json::from_str(&program.line()).unwrap();
    let error = &response["error"];
    assert_eq!(
        (&error["kind"], &error["message"]),
        (&"unknown".into(), &sentence.into())
    );
    let peak = program.peak_memory();
    assert!(peak < most * MIB, "{} MiB", peak / MIB);
    assert_eq!(program.finish().code, 8);
}
