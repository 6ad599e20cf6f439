//! `--journal`: the real program, killed at any moment and started again with the same input, never
//! runs anything twice, and answers everything in the end. The stand-in's counts are the proof.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use support::coze::{self, Coze, Options};
use support::server::{Exchange, Server};

const KEY: &str = "pat_no_real_key";

/// How long a test waits for what must come. Long enough for the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A journal and an input in a directory of their own, for the Coze at one base URL.
struct Desk {
    directory: tempfile::TempDir,
    base_url: String,
}

impl Desk {
    fn new(base_url: String) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            base_url,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn journal(&self) -> String {
        fs::read_to_string(self.path("journal")).unwrap()
    }

    /// The program, with that input; `options` are separated by spaces.
    fn program(&self, options: &str, input: &str) -> Command {
        fs::write(self.path("input"), input).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_coze-workflow"));
        command
            .env_clear()
            .env("HOME", self.directory.path())
            .env("COZE_API_KEY", KEY)
            .current_dir(self.directory.path())
            .args(["--base-url", &self.base_url, "--poll-interval", "0.02"])
            .args(["--journal", "journal", "input"])
            .args(options.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    fn run(&self, options: &str, input: &str) -> Told {
        Told::of(&self.program(options, input).output().unwrap())
    }

    /// Kills it as soon as `reached` says so.
    #[track_caller]
    fn kill_when(&self, options: &str, input: &str, mut reached: impl FnMut() -> bool) {
        let mut child = self.program(options, input).spawn().unwrap();
        let begin = Instant::now();
        while !reached() {
            assert!(begin.elapsed() < PATIENCE, "it never came so far");
            assert_eq!(child.try_wait().unwrap(), None, "it ended before");
            thread::sleep(Duration::from_millis(1));
        }
        kill(&mut child);
    }
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What the program said.
#[derive(Debug)]
struct Told {
    stdout: String,
    stderr: String,
    exit_code: i32,
}

impl Told {
    #[track_caller]
    fn of(output: &Output) -> Self {
        Self {
            stdout: String::from_utf8(output.stdout.clone()).unwrap(),
            stderr: String::from_utf8(output.stderr.clone()).unwrap(),
            exit_code: output.status.code().expect("not killed"),
        }
    }

    fn responses(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The exit code, and the kind of each response.
    fn kinds(&self) -> (i32, Vec<String>) {
        (self.exit_code, self.responses().iter().map(kind).collect())
    }

    #[track_caller]
    fn is(&self, exit_code: i32, kinds: &[&str]) {
        let (told_code, told_kinds) = self.kinds();
        assert_eq!(
            (told_code, told_kinds.as_slice()),
            (exit_code, to_owned(kinds).as_slice()),
            "{self:?}"
        );
    }
}

fn to_owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// `Success`, `interrupted`, or the kind of the error.
fn kind(response: &Value) -> String {
    if let Some(kind) = response["error"]["kind"].as_str() {
        return kind.to_owned();
    }
    match response.get("interrupt") {
        Some(_) => "interrupted".to_owned(),
        None => response["status"].as_str().unwrap().to_owned(),
    }
}

fn request(workflow_id: &str, key: &str) -> String {
    format!(r#"{{"workflow_id":"{workflow_id}","parameters":{{"key":"{key}"}}}}"#)
}

fn with(request: &str, more: &str) -> String {
    request.replacen('{', &format!("{{{more},"), 1)
}

/// A Coze that takes its time between two events.
fn slow_coze(delay: u64) -> Coze {
    Coze::start(Options {
        delay: Duration::from_millis(delay),
        ..Options::default()
    })
}

/// Numbers that look like chance and are the same every time (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

const KILLS: u32 = 200;
const ROWS: usize = 40;
/// So many rows at the end are all the same.
const SAME: usize = 4;

#[test]
fn killed_200_times_at_random_moments_nothing_is_run_twice_and_everything_is_answered() {
    let coze = Coze::start(Options::default());
    let mut dice = Dice(0x5eed_c0de);
    let (mut kills, mut kinds) = (0, BTreeMap::new());
    for round in 0.. {
        let desk = Desk::new(coze.url());
        let rows = rows(round);
        let input = rows.join("\n");
        let told = loop {
            let mut child = desk.program("-j 8 -q", &input).spawn().unwrap();
            let life = Duration::from_millis(dice.below([40, 80, 160][round as usize % 3]));
            // A reader that leaves the pipe full would hold the program up; 40 rows fit into it.
            thread::sleep(life);
            if kills == KILLS || child.try_wait().unwrap().is_some() {
                break Told::of(&child.wait_with_output().unwrap());
            }
            kill(&mut child);
            kills += 1;
        };
        check_round(&coze, round, &told);
        assert!(!desk.journal().contains(KEY));
        for response in told.responses() {
            *kinds.entry(kind(&response)).or_insert(0) += 1;
        }
        if kills == KILLS {
            eprintln!(
                "journal: {KILLS} kills, {} rounds of {ROWS} requests: {kinds:?}",
                round + 1
            );
            break;
        }
    }
    assert!(kinds.contains_key("Success"), "{kinds:?}");
    for (key, runs) in coze.counts().started {
        let most = if key.ends_with("/same") { SAME } else { 1 };
        assert!(runs <= most as u64, "{key} was started {runs} times");
    }
}

/// By id and by content, streamed and in the background, well and badly ending. All are of one
/// Coze, so each round has its own keys.
fn rows(round: u32) -> Vec<String> {
    let row = |row: usize| {
        let key = format!("{round}/{row}");
        let named = |request: &str| with(request, &format!(r#""id":"row {row}""#));
        let in_background = |request: &str| with(request, r#""is_async":true"#);
        match row % 10 {
            _ if row >= ROWS - SAME => request(coze::ECHO, &format!("{round}/same")),
            0 => named(&request(coze::ECHO, &key)),
            1 => request(coze::ECHO_TEXT, &key),
            2 => named(&in_background(&request(coze::SLOW, &key))),
            3 => in_background(&request(coze::ECHO, &key)),
            4 => named(&request(coze::QUESTION, &key)),
            5 => in_background(&request(coze::QUESTION, &key)),
            6 => request(coze::FAILS, &key),
            7 => named(&request(coze::UNPUBLISHED, &key)),
            8 => named(&request(coze::CUT, &key)),
            _ => request(coze::SLOW, &key),
        }
    };
    (0..ROWS).map(row).collect()
}

/// Every row is answered once, by what happened to it.
#[track_caller]
fn check_round(coze: &Coze, round: u32, told: &Told) {
    let started = coze.counts().started;
    let responses = told.responses();
    let ids: BTreeSet<_> = responses
        .iter()
        .map(|response| response["id"].to_string())
        .collect();
    assert_eq!((responses.len(), ids.len()), (ROWS, ROWS), "{told:?}");
    for response in &responses {
        let id = &response["id"];
        let row = id
            .as_str()
            .map_or(id.to_string(), |id| id["row ".len()..].to_owned());
        let row: usize = row.parse().unwrap();
        let key = match row >= ROWS - SAME {
            true => format!("{round}/same"),
            false => format!("{round}/{row}"),
        };
        let runs = started.get(&key).copied().unwrap_or(0);
        let kind = kind(response);
        match kind.as_str() {
            "refused" => assert_eq!((row % 10, runs), (7, 0)),
            "unknown" => assert_eq!(response["execute_id"], ""),
            "failed" => assert_eq!((row % 10, runs), (6, 1)),
            "interrupted" => assert!(matches!(row % 10, 4 | 5) && runs == 1),
            "Success" => {
                let output = response["output"].as_str().unwrap();
                let quoted = format!("\"{key}\"");
                assert!(output.contains(&quoted) && runs > 0, "{response}");
            }
            other => panic!("{other}: {response}"),
        }
    }
}

#[test]
fn what_ended_is_answered_from_the_journal_without_a_call() {
    let coze = Coze::start(Options::default());
    let desk = Desk::new(coze.url());
    let input = [coze::ECHO, coze::FAILS, coze::QUESTION]
        .map(|id| request(id, id))
        .join("\n");
    let first = desk.run("", &input);
    first.is(1, &["Success", "failed", "interrupted"]);
    let counts = coze.counts();
    let again = desk.run("", &input);
    assert_eq!(again.stdout, first.stdout);
    assert_eq!(again.stderr, first.stderr);
    assert_eq!((again.exit_code, coze.counts()), (1, counts));
}

#[test]
fn an_answer_from_the_journal_goes_wherever_an_answer_goes() {
    let coze = Coze::start(Options::default());
    let desk = Desk::new(coze.url());
    let input = request(coze::ECHO, "a");
    desk.run("-o first", &input).is(0, &["Success"]);
    let text = r#"{"output":{"key":"a"}}"#;
    assert_eq!(desk.run("-r", &input).stdout, format!("{text}\n"));
    let told = desk.run("-o again", &input);
    assert_eq!(told.responses()[0]["output_file"], "again");
    assert_eq!(fs::read_to_string(desk.path("again")).unwrap(), text);
    assert_eq!(coze.counts().stream_run, 1);
}

#[test]
fn requests_without_an_id_are_numbered_and_an_id_comes_back_as_it_stands_now() {
    let coze = Coze::start(Options::default());
    let desk = Desk::new(coze.url());
    let (a, b) = (request(coze::ECHO, "a"), request(coze::ECHO, "b"));
    let named = with(&b, r#""id":{"row": 1e0}"#);
    let told = desk.run("", &format!("{a}\n{named}"));
    assert_eq!(told.responses()[0]["id"], 0);
    let told = desk.run("", &format!("{named}\n{a}"));
    assert!(told.stdout.contains(r#""id":{"row": 1e0}}"#));
    assert_eq!(told.responses()[1]["id"], 1);
    assert_eq!(coze.counts().stream_run, 2);
}

#[test]
fn a_stream_that_was_killed_is_unknown_and_runs_again_only_when_asked_to() {
    let coze = slow_coze(100);
    let desk = Desk::new(coze.url());
    let input = request(coze::ECHO, "a");
    desk.kill_when("", &input, || coze.counts().stream_run == 1);
    let told = desk.run("", &input);
    told.is(8, &["unknown"]);
    assert!(told.stderr.contains("--rerun-unknown"), "{told:?}");
    assert_eq!(coze.counts().stream_run, 1);
    desk.run("--rerun-unknown", &input).is(0, &["Success"]);
    desk.run("--rerun-unknown", &input).is(0, &["Success"]);
    assert_eq!(coze.counts().stream_run, 2);
}

#[test]
fn a_background_run_that_was_started_is_looked_at() {
    let coze = Coze::start(Options {
        slow_looks: 20,
        ..Options::default()
    });
    let desk = Desk::new(coze.url());
    let input = request(coze::SLOW, "a");
    desk.kill_when("--async", &input, || coze.counts().looks > 0);
    // How it is to be run does not matter any more.
    desk.run("", &input).is(0, &["Success"]);
    assert_eq!((coze.counts().run, coze.counts().stream_run), (1, 0));
}

#[test]
fn what_still_runs_is_looked_at_again() {
    let coze = Coze::start(Options {
        slow_looks: 3,
        ..Options::default()
    });
    let desk = Desk::new(coze.url());
    let input = request(coze::SLOW, "a");
    desk.run("--async --no-wait", &input).is(6, &["running"]);
    desk.run("--async --no-wait", &input).is(6, &["running"]);
    desk.run("--async", &input).is(0, &["Success"]);
    assert_eq!(coze.counts().run, 1);
}

#[test]
fn a_resume_that_may_have_been_sent_is_looked_at_and_never_sent_again() {
    let coze = slow_coze(100);
    let desk = Desk::new(coze.url());
    let asked = desk.run("", &request(coze::QUESTION, "a"));
    let mut answer = asked.responses().remove(0);
    answer["resume_data"] = "明天".into();
    answer["id"] = Value::Null;
    let input = answer.to_string();
    desk.kill_when("", &input, || coze.counts().stream_resume == 1);
    let told = desk.run("", &input);
    told.is(0, &["Success"]);
    assert_eq!(told.responses()[0]["output"], r#"{"answer":"明天"}"#);
    assert_eq!(desk.run("", &input).stdout, told.stdout);
    assert_eq!(coze.counts().stream_resume, 1);
}

#[test]
fn what_was_refused_or_never_arrived_is_tried_again() {
    let coze = Coze::start(Options::default());
    let desk = Desk::new(coze.url());
    let input = request(coze::UNPUBLISHED, "a");
    desk.run("", &input).is(4, &["refused"]);
    desk.run("", &input).is(4, &["refused"]);
    assert_eq!(coze.counts().stream_run, 2);
    let port = coze.address().port();
    coze.stop();
    let input = request(coze::ECHO, "a");
    desk.run("--retries 0", &input).is(5, &["unreachable"]);
    let coze = Coze::start(Options {
        port,
        ..Options::default()
    });
    desk.run("", &input).is(0, &["Success"]);
    assert_eq!(coze.counts().stream_run, 1);
}

#[test]
fn an_id_twice_or_with_other_content_is_refused_and_sends_nothing() {
    let coze = Coze::start(Options::default());
    let desk = Desk::new(coze.url());
    let one = with(&request(coze::ECHO, "a"), r#""id":1"#);
    let told = desk.run("", &format!("{one}\n{one}"));
    told.is(2, &["Success", "usage"]);
    assert_eq!(
        told.responses()[1]["error"]["message"],
        "the id 1 stood in this input before"
    );
    let other = with(&request(coze::ECHO, "b"), r#""id":1"#);
    let told = desk.run("", &other);
    told.is(2, &["usage"]);
    assert_eq!(
        told.responses()[0]["error"]["message"],
        "the journal knows the id 1 with other content"
    );
    assert_eq!(coze.counts().stream_run, 1);
}

#[test]
fn rows_may_be_appended_and_equal_rows_are_told_apart_by_their_number() {
    let coze = Coze::start(Options::default());
    let desk = Desk::new(coze.url());
    let row = request(coze::ECHO, "a");
    for count in 1..=3 {
        let told = desk.run("", &format!("{row}\n").repeat(count));
        told.is(0, &vec!["Success"; count]);
        assert_eq!(coze.counts().started["a"], count as u64);
    }
}

#[test]
fn a_torn_last_line_is_as_if_it_were_not_there() {
    let coze = Coze::start(Options::default());
    let desk = Desk::new(coze.url());
    let input = request(coze::ECHO, "a");
    let first = desk.run("", &input);
    let whole = desk.journal();
    fs::write(desk.path("journal"), format!("{whole}{{\"at\":17")).unwrap();
    assert_eq!(desk.run("", &input).stdout, first.stdout);
    desk.run("", &request(coze::ECHO, "b")).is(0, &["Success"]);
    assert!(desk.journal().starts_with(&whole));
    assert_eq!(desk.run("", &input).stdout, first.stdout);
    assert_eq!(coze.counts().stream_run, 2);
}

#[test]
fn a_journal_of_another_base_url_or_no_journal_is_refused_before_anything_is_sent() {
    let (coze, other) = (
        Coze::start(Options::default()),
        Coze::start(Options::default()),
    );
    let mut desk = Desk::new(coze.url());
    let input = request(coze::ECHO, "a");
    desk.run("", &input).is(0, &["Success"]);
    let before = desk.journal();
    desk.base_url = other.url();
    desk.run("", &input).is(3, &["config"]);
    assert_eq!(desk.journal(), before);
    fs::write(desk.path("journal"), "a letter\n").unwrap();
    desk.run("", &input).is(3, &["config"]);
    assert_eq!(desk.journal(), "a letter\n");
    assert_eq!(other.counts().connections, 0);
}

#[test]
fn a_journal_in_use_is_refused_before_anything_is_sent() {
    let coze = slow_coze(1);
    let desk = Desk::new(coze.url());
    let input = request(coze::ECHO, "a");
    let mut first = desk.program("-", "").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = first.stdin.take().unwrap();
    writeln!(stdin, "{input}").unwrap();
    let mut line = String::new();
    BufReader::new(first.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let told = desk.run("", &input);
    told.is(3, &["config"]);
    assert!(
        told.stderr.contains("is in use by another process"),
        "{told:?}"
    );
    drop(stdin);
    first.wait().unwrap();
    assert_eq!(desk.run("", &input).stdout, line);
    assert_eq!(coze.counts().stream_run, 1);
}

#[test]
fn the_key_does_not_get_into_the_journal_when_coze_quotes_it() {
    let said = format!(r#"{{"code":5000,"msg":"who is {KEY}?"}}"#);
    let server = Server::start(vec![
        Exchange::post("/v1/workflow/stream_run").json(200, said),
    ]);
    let desk = Desk::new(server.url());
    let told = desk.run("", &request(coze::ECHO, "a"));
    told.is(8, &["unknown"]);
    assert!(desk.journal().contains("who is ***?"), "{}", desk.journal());
    assert!(!desk.journal().contains(KEY));
    desk.run("", &request(coze::ECHO, "a")).is(8, &["unknown"]);
    server.finish();
}

#[test]
fn a_journal_that_cannot_grow_starts_nothing_more_and_loses_no_response() {
    let coze = Coze::start(Options::default());
    let desk = Desk::new(coze.url());
    let input = [request(coze::ECHO, "a"), request(coze::ECHO, "b")].join("\n");
    let program = desk.program("-q", &input);
    // The header and the first line fit into a KiB, the response does not fit as well.
    let limited = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", limited, "sh"])
        .arg(program.get_program())
        .args(program.get_args());
    command.env_clear().envs(
        program
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let output = command.current_dir(desk.directory.path()).output().unwrap();
    let told = Told::of(&output);
    told.is(9, &["io", "io"]);
    assert_eq!(told.responses()[0]["output"], r#"{"output":{"key":"a"}}"#);
    assert_eq!(told.responses()[0]["status"], "Success");
    assert_eq!(coze.counts().stream_run, 1);
}
