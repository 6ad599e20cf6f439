//! Where the answers go: standard output in its three manners, the output file, standard error,
//! and what happens when one of them can't be written. Also `--check`, `-h` and `-V`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::channel;

use crate::support::coze::{self, Coze, Options};
use crate::support::nowhere::nowhere;
use crate::support::program::{KEY, Program};
use crate::support::server::{Exchange, Server};
use crate::{
    HELLO, HISTORY, RUN, SAID_HELLO, SUBMITTED, background_run, done, event, message, play,
    play_with, poll, stream_run,
};

/// What a response that is on standard error is followed by.
const STANDS_ABOVE: &str =
    "coze-workflow: io: standard output cannot be written; the response is on the line above";

const REFUSAL: &str = r#"{"code":4008,"msg":"no more today"}"#;
const REFUSED: &str = r#"{"execute_id":"","status":"Fail","output":"","debug_url":"","workflow_id":"7","error":{"kind":"refused","code":4008,"message":"no more today","hint":"the daily limit is used up; try again tomorrow"}}"#;
const REFUSED_LINE: &str = "coze-workflow: refused: no more today (code 4008; the daily limit is used up; try again tomorrow)";

// Standard output.

#[test]
fn raw_output_is_the_output_and_a_line_break() {
    play_with(&["-r"], vec![stream_run().sse(HELLO)]).is(0, "hello", "");
}

#[test]
fn raw_output_of_a_failure_is_nothing_and_the_response_is_on_standard_error() {
    let ended = play_with(&["-r"], vec![stream_run().json(200, REFUSAL)]);
    ended.is(4, "", &format!("{REFUSED}\n{REFUSED_LINE}"));
}

/// The stream of a run whose result is JSON with JSON inside.
fn packed() -> String {
    let packed =
        r#"{\"data\":\"{\\\"images\\\":[{\\\"url\\\":\\\"https://x/1\\\"}]}\",\"a.b\":1.50}"#;
    message(0, packed) + &done(1)
}

#[test]
fn a_part_of_the_output_is_got_by_its_path() {
    for (path, part) in [
        ("data.images.0.url", "https://x/1"),
        ("data.images.0", r#"{"url":"https://x/1"}"#),
        (r"a\.b", "1.50"),
    ] {
        play_with(&["-g", path], vec![stream_run().sse(packed())]).is(0, part, "");
    }
}

#[test]
fn a_part_that_is_not_there_is_io_and_the_response_is_on_standard_error() {
    for (path, answer, message) in [
        (
            "data.image",
            packed(),
            r#"there is no "image": data is an object with the keys images"#,
        ),
        (
            "data.images.1",
            packed(),
            r#"there is no "1": images is an array of length 1"#,
        ),
        (
            "data",
            HELLO.to_owned(),
            r#"there is no "data": the result is no object or array, but "hello""#,
        ),
    ] {
        let ended = play_with(&["-g", path], vec![stream_run().sse(answer)]);
        let (response, complaint) = ended.stderr.split_once('\n').unwrap();
        let response: serde_json::Value = serde_json::from_str(response).unwrap();
        assert_eq!((ended.code, ended.stdout.as_str()), (9, ""));
        assert_eq!(response["status"], "Success");
        assert_eq!(response["error"]["kind"], "io");
        assert_eq!(response["error"]["message"], message);
        assert_ne!(response["output"], "");
        let begins =
            format!("coze-workflow: io: {message} (a PATH is such as data.images.0.url; the run");
        assert!(complaint.starts_with(&begins), "{complaint}");
    }
}

#[test]
fn a_response_that_lacks_a_part_is_fed_back_with_another_path_and_starts_nothing() {
    let coze = Coze::start(Options::default());
    let get = |path: &str| Program::at(&coze.url()).args(&["-q", "-g", path]);
    let workflow_id = coze::ECHO;
    let run = format!(r#"{{"workflow_id":"{workflow_id}","parameters":{{"city":"a"}}}}"#);
    let lacks = get("output.town").run(run);
    assert_eq!((lacks.code, lacks.stdout.as_str()), (9, ""));
    get("output.city").run(lacks.stderr).is(0, "a", "");
    let started: Vec<_> = coze.counts().started.into_values().collect();
    assert_eq!(started, [1]);
}

#[test]
fn of_several_results_each_gives_its_part_or_is_io() {
    let server = Server::start(vec![stream_run().sse(packed()), stream_run().sse(HELLO)]);
    let program = Program::at(&server.url()).args(&["-q", "-g", "data.images.0.url"]);
    let ended = program.run(RUN.repeat(2));
    assert_eq!((ended.code, ended.stdout.as_str()), (9, "https://x/1\n"));
}

#[test]
fn a_run_that_fails_has_no_part_to_get() {
    let ended = play_with(&["-g", "x"], vec![stream_run().json(200, REFUSAL)]);
    ended.is(4, "", &format!("{REFUSED}\n{REFUSED_LINE}"));
}

#[test]
fn the_journal_keeps_the_whole_answer_whatever_part_of_it_is_got() {
    let server = Server::start(vec![stream_run().sse(packed())]);
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    let get = |path: &str| {
        let program = Program::at(&server.url()).args(&["--journal", journal.to_str().unwrap()]);
        program.args(&["-g", path]).run(RUN)
    };
    assert_eq!(get("nowhere").code, 9);
    get("data.images.0.url").is(0, "https://x/1", "");
    server.finish();
}

#[test]
fn events_are_reported_as_they_come_and_the_response_last() {
    let (told, gate) = channel();
    let rest = event(1, "note", "two\ndata: lines") + "event: Done\ndata: {}\n\n";
    let server = Server::start(vec![
        stream_run()
            .sse(event(0, "PING", "{ \"a\":1e2,\r\ndata: \"b\":0}"))
            .wait(gate)
            .piece(rest),
    ]);
    let mut program = Program::at(&server.url()).args(&["--events", "-q"]).start();
    program.write(r#"{"workflow_id":"7","id":"x"}"#);
    assert_eq!(
        program.line(),
        r#"{"event":"PING","id":"0","data":{ "a":1e2, "b":0},"request":"x"}"#
    );
    told.send(()).unwrap();
    assert_eq!(
        program.line(),
        r#"{"event":"note","id":"1","data":"two\nlines","request":"x"}"#
    );
    assert_eq!(
        program.line(),
        r#"{"event":"Done","data":{},"request":"x"}"#
    );
    assert!(program.line().starts_with(r#"{"execute_id":"","status":"#));
    program.finish();
}

#[test]
fn quiet_leaves_standard_error_empty() {
    play_with(&["-q"], vec![stream_run().json(200, REFUSAL)]).is(4, REFUSED, "");
}

#[test]
fn a_failure_is_also_one_line_on_standard_error() {
    play(vec![stream_run().json(200, REFUSAL)]).is(4, REFUSED, REFUSED_LINE);
}

#[test]
fn verbose_tells_every_call_on_standard_error_and_not_the_key() {
    let ended = play_with(
        &["-v"],
        vec![stream_run().header("X-Tt-Logid", "L1").sse(HELLO)],
    );
    let steps = ended
        .stderr
        .lines()
        .map(|line| line.split_once("] ").unwrap().1);
    let calls: Vec<_> = steps.filter(|step| step.starts_with(['<', '>'])).collect();
    assert_eq!(
        calls[..2],
        [
            "> POST /v1/workflow/stream_run (19 bytes)",
            "< HTTP 200, logid L1"
        ]
    );
    assert!(
        ended.stderr.contains("api_key set (COZE_API_KEY)"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.code, 0);
}

// The key and other people's words.

#[test]
fn the_key_is_masked_in_what_the_service_says_of_an_error() {
    let body = format!(r#"{{"code":4100,"msg":"bad token {KEY}"}}"#);
    let ended = play_with(&["-v"], vec![stream_run().json(401, body)]);
    assert_eq!(ended.responses()[0]["error"]["message"], "bad token ***");
    assert!(ended.stderr.contains("refused: bad token *** (code 4100"));
    let event = format!("data: {{\"type\":\"error\",\"code\":\"X {KEY}\"}}\n\n");
    let project = Exchange::post("/stream_run").sse(event);
    let ended = play_with(&["--service", "site"], vec![project]);
    assert_eq!(ended.responses()[0]["error"]["code"], "X ***");
}

#[test]
fn the_key_is_not_masked_in_the_output() {
    let stream = message(0, KEY) + &done(1);
    let server = Server::start(vec![stream_run().sse(stream)]);
    let ended = Program::at(&server.url()).may_quote_key().run(RUN);
    assert_eq!(ended.responses()[0]["output"], KEY);
    assert!(ended.stderr.is_empty());
}

#[test]
fn the_key_is_masked_in_the_events_that_verbose_shows_even_where_they_are_cut() {
    for before in [0, 276, 280, 300] {
        let stream = message(0, &("x".repeat(before) + KEY)) + &done(1);
        let server = Server::start(vec![stream_run().sse(stream)]);
        let ended = Program::at(&server.url())
            .may_quote_key()
            .arg("-v")
            .run(RUN);
        assert!(
            !ended.stderr.contains("pat_no_r"),
            "{before}: {}",
            ended.stderr
        );
    }
}

#[test]
fn the_key_is_in_no_argument_and_in_no_header_but_its_own() {
    let (seen, gate) = channel();
    let server = Server::start(vec![stream_run().wait(gate).sse(HELLO)]);
    let mut program = Program::at(&server.url()).start();
    program.write(RUN);
    server.await_requests(1);
    let arguments = fs::read(format!("/proc/{}/cmdline", program.id())).unwrap();
    assert!(!String::from_utf8(arguments).unwrap().contains(KEY));
    seen.send(()).unwrap();
    program.finish().is(0, SAID_HELLO, "");
    let request = server.finish().remove(0).request;
    let quoting = request
        .headers
        .iter()
        .filter(|(_, value)| value.contains(KEY));
    let names: Vec<_> = quoting
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(names, [("authorization", format!("Bearer {KEY}").as_str())]);
}

#[test]
fn control_characters_and_further_lines_of_the_service_do_not_reach_standard_error() {
    let body = r#"{"code":4008,"msg":"a\u001b[2Jb\tc\u202ed\ne"}"#;
    let ended = play(vec![stream_run().json(200, body)]);
    assert!(
        ended
            .stderr
            .contains(r"refused: a\u{1b}[2Jb\tc\u{202e}d… (code"),
        "{}",
        ended.stderr
    );
    assert_eq!(
        ended.responses()[0]["error"]["message"],
        "a\u{1b}[2Jb\tc\u{202e}d\ne"
    );
}

// The output file.

#[test]
fn the_output_may_go_to_a_file() {
    let ended = play_with(&["-o", "out"], vec![stream_run().sse(HELLO)]);
    let response = SAID_HELLO
        .replace("hello", "")
        .replace(r#""7"}"#, r#""7","output_file":"out","output_bytes":5}"#);
    ended.is(0, &response, "");
    assert_eq!(
        fs::read_to_string(ended.path().join("out")).unwrap(),
        "hello"
    );
    let mode = fs::metadata(ended.path().join("out"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(
        (mode & 0o777, names(ended.path())),
        (0o600, vec!["out".to_owned()])
    );
}

#[test]
fn without_success_the_old_file_stays_and_nothing_else_is_left() {
    for answer in [
        stream_run().json(200, REFUSAL),
        stream_run().sse(message(0, "hel")).fin(),
    ] {
        let server = Server::start(vec![answer]);
        let program = Program::at(&server.url())
            .file("out", "old")
            .args(&["-o", "out"]);
        let ended = program.run(RUN);
        assert_eq!(fs::read_to_string(ended.path().join("out")).unwrap(), "old");
        assert_eq!(names(ended.path()), ["out"]);
    }
}

#[test]
fn a_file_that_cannot_be_made_is_reported_before_anything_is_sent() {
    let program = Program::at(&nowhere().url()).args(&["-o", "missing/out"]);
    let error = r#"{"kind":"usage","message":"cannot write missing/out: No such file or directory (os error 2)","hint":"-o needs a file in a directory that can be written"}"#;
    let response = format!(
        r#"{{"execute_id":"","status":"Fail","output":"","debug_url":"","error":{error}}}"#
    );
    let complaint = crate::support::program::complaint(error);
    program.run(RUN).is(2, &response, &complaint);
}

#[test]
fn a_file_that_cannot_be_written_keeps_the_output_in_the_response_on_both_streams() {
    let response = SAID_HELLO.replace(
        r#""7"}"#,
        r#""7","error":{"kind":"io","message":"cannot write /dev/full: No space left on device (os error 28)","hint":"output holds the text"}}"#,
    );
    let line = "coze-workflow: io: cannot write /dev/full: No space left on device (os error 28) (output holds the text) [execute_id 9]";
    let ended = play_with(&["-o", "/dev/full"], vec![stream_run().sse(HELLO)]);
    ended.is(9, &response, &format!("{response}\n{line}"));
}

#[test]
fn what_is_no_regular_file_is_written_in_place() {
    let ended = play_with(&["-o", "/dev/stderr"], vec![stream_run().sse(HELLO)]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, "hello"));
    assert_eq!(ended.responses()[0]["output_file"], "/dev/stderr");
}

#[test]
fn nothing_is_written_to_disk_unless_that_is_asked_for() {
    let ended = play(vec![stream_run().sse(HELLO)]);
    assert_eq!(names(ended.path()), Vec::<String>::new());
}

// A standard output that can't be written.

#[test]
fn on_a_broken_pipe_no_further_run_starts_and_the_response_is_on_standard_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let server = Server::start(vec![stream_run().sse(HELLO)]);
    let program = Program::at(&server.url()).stdout_to(writer);
    program
        .run(RUN.repeat(3))
        .is(9, "", &format!("{SAID_HELLO}\n{STANDS_ABOVE}"));
}

#[test]
fn a_pipe_that_breaks_while_requests_are_awaited_stops_at_the_next_response() {
    let (reader, writer) = std::io::pipe().unwrap();
    let server = Server::start(vec![stream_run().sse(HELLO), stream_run().sse(HELLO)]);
    let mut program = Program::at(&server.url()).stdout_to(writer).start();
    let mut first = BufReader::new(reader);
    let mut stdin = program.take_stdin();
    stdin.write_all(RUN.as_bytes()).unwrap();
    first.read_line(&mut String::new()).unwrap();
    drop(first);
    stdin.write_all(RUN.as_bytes()).unwrap();
    // It does not wait for a third one, nor for the end of its input.
    let ended = program.finish();
    let summary = "coze-workflow: 2 requests: 2 succeeded";
    ended.is(9, "", &format!("{SAID_HELLO}\n{STANDS_ABOVE}\n{summary}"));
}

#[test]
fn a_broken_pipe_does_not_end_a_background_run_s_watch() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let script = vec![
        background_run().json(200, SUBMITTED),
        poll().json(200, HISTORY),
    ];
    let server = Server::start(script);
    let program = Program::at(&server.url())
        .stdout_to(writer)
        .args(&["--async", "-q"]);
    program
        .run(RUN)
        .is(9, "", &format!("{SAID_HELLO}\n{STANDS_ABOVE}"));
}

#[test]
fn a_full_disk_is_reported_and_the_response_is_on_standard_error() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for (arguments, answer) in [(&[][..], HELLO), (&["-r"], HELLO)] {
        let server = Server::start(vec![stream_run().sse(answer)]);
        let program = Program::at(&server.url()).args(arguments).stdout_to(full());
        program
            .run(RUN)
            .is(9, "", &format!("{SAID_HELLO}\n{STANDS_ABOVE}"));
    }
}

#[test]
fn a_file_that_standard_output_goes_to_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    assert_is_not_replaced(directory.path(), Path::new("/dev/stdout"));
}

#[test]
fn a_file_that_standard_output_goes_to_has_other_names() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink("/dev/stdout", &link).unwrap();
    assert_is_not_replaced(directory.path(), &link);
    assert_is_not_replaced(directory.path(), &directory.path().join("log"));
}

/// `-o NAME`, with a log in the directory as standard output, leaves the log as it was.
#[track_caller]
fn assert_is_not_replaced(directory: &Path, name: &Path) {
    let log = directory.join("log");
    fs::write(&log, "earlier\n").unwrap();
    let append = File::options().append(true).open(&log).unwrap();
    let program = Program::at(&nowhere().url()).args(&["-o", name.to_str().unwrap()]);
    let ended = program.stdout_to(append).run(RUN);
    assert_eq!(ended.code, 2);
    let log = fs::read_to_string(&log).unwrap();
    assert!(log.starts_with("earlier\n{"), "{log}");
}

#[test]
fn help_and_version_tell_when_they_cannot_be_written() {
    for argument in ["-h", "-V", "--check"] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let program = Program::at(&nowhere().url()).arg(argument).stdout_to(full);
        let ended = program.run("");
        assert_eq!(ended.code, 9, "{argument}");
        let told = "standard output cannot be written";
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
    }
}

// Without a run.

#[test]
fn help_and_version_need_no_configuration() {
    let help = Program::bare().args(&["--base-url", "x", "-h"]).run("");
    assert!(help.stdout.contains("--base-url") && help.stdout.contains("--jobs"));
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    let version = concat!("coze-workflow ", env!("CARGO_PKG_VERSION"));
    Program::bare().arg("-V").run("").is(0, version, "");
}

#[test]
fn help_is_in_the_reader_s_language() {
    let help = Program::bare()
        .env("LANG", "zh_CN.UTF-8")
        .arg("--help")
        .run("");
    assert!(help.stdout.contains("工作流"));
}

#[test]
fn a_bad_option_is_one_response_and_one_line() {
    let error = r#"{"kind":"usage","message":"unknown option --time-out","hint":"did you mean --timeout?"}"#;
    Program::bare().arg("--time-out=3").run(RUN).is(
        2,
        &format!(
            r#"{{"execute_id":"","status":"Fail","output":"","debug_url":"","error":{error}}}"#
        ),
        "coze-workflow: usage: unknown option --time-out (did you mean --timeout?)",
    );
}

#[test]
fn there_is_no_option_for_the_key_and_its_value_is_not_repeated() {
    for arguments in [&["--api-key", KEY][..], &["--token=pat_no_real_key"]] {
        let ended = Program::bare().args(arguments).run(RUN);
        assert_eq!(ended.code, 2);
        let hint = &ended.responses()[0]["error"]["hint"];
        assert!(hint.as_str().unwrap().contains("set COZE_API_KEY"));
    }
}

#[test]
fn a_check_asks_once_without_the_key_and_any_answer_will_do() {
    let server = Server::start(vec![Exchange::get("/").json(404, "")]);
    let ended = Program::at(&server.url()).arg("--check").run("");
    let report = &ended.responses()[0];
    assert_eq!(
        (ended.code, &report["reachable"], &report["http_status"]),
        (0, &true.into(), &404.into())
    );
    // It is no response, and says nothing of a run.
    assert_eq!(report.get("status"), None);
    assert_eq!(report["key"], "not tried");
    assert_eq!(ended.stderr, "");
    assert_eq!(server.finish()[0].request.header("authorization"), None);
}

#[test]
fn a_check_of_nobody_is_unreachable() {
    let ended = Program::at(&nowhere().url()).arg("--check").run("");
    let report = &ended.responses()[0];
    assert_eq!((ended.code, &report["reachable"]), (5, &false.into()));
    assert_eq!(
        report["error"]["message"],
        "cannot connect to 127.0.0.1:PORT: connection refused"
    );
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
