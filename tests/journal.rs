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
use support::nowhere::Nowhere;
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

    /// The text of all files of the journal.
    fn journal(&self) -> String {
        let texts = self.files().into_iter().map(fs::read_to_string);
        texts.map(Result::unwrap).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.path("journal")).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    }

    /// The program, with that input; `options` are separated by spaces.
    fn program(&self, options: &str, input: &str) -> Command {
        self.program_for("input", options, input)
    }

    /// With an input of that name: one for each of several at a time.
    fn program_for(&self, name: &str, options: &str, input: &str) -> Command {
        fs::write(self.path(name), input).unwrap();
        let mut command = Command::new(support::program::path());
        command
            .env_clear()
            .env("HOME", self.directory.path())
            .env("COZE_API_KEY", KEY)
            .current_dir(self.directory.path())
            .args(["--base-url", &self.base_url, "--poll-interval", "0.02"])
            .args(["--journal", "journal", name])
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

    /// Standard output as it would be without a journal.
    fn without_mark(&self) -> String {
        self.stdout.replace(r#","journal":true"#, "")
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

const KILLS: u32 = 300;
const PROCESSES: usize = 8;
const ROWS: usize = 40;
/// So many rows at the end are all the same.
const SAME: usize = 4;
/// After that long it is enough, on however slow a machine.
const LONG_ENOUGH: Duration = Duration::from_secs(30);

#[test]
fn killed_at_random_moments_eight_at_a_time_nothing_is_run_twice_and_everything_is_answered() {
    let coze = Coze::start(Options {
        retry_after: Some("0".to_owned()),
        ..Options::default()
    });
    let mut dice = Dice(0x5eed_c0de);
    let begin = Instant::now();
    let (mut kills, mut kinds) = (0, BTreeMap::new());
    let mut rounds = 0;
    while kills < KILLS && begin.elapsed() < LONG_ENOUGH {
        let desk = Desk::new(coze.url());
        let rows = rows(rounds);
        // As often as it takes to come through all rows.
        for wave in 0..6 {
            kills += killed_wave(&desk, &rows, wave, &mut dice);
        }
        let told = desk.run("-j 8 -q", &rows.join("\n"));
        check_round(&coze, rounds, &told);
        assert!(!desk.journal().contains(KEY));
        for response in told.responses() {
            *kinds.entry(kind(&response)).or_insert(0) += 1;
        }
        rounds += 1;
    }
    eprintln!("journal: {kills} kills, {rounds} rounds of {ROWS} requests: {kinds:?}");
    assert!(kills >= 20, "{kills}");
    assert!(kinds.contains_key("Success"), "{kinds:?}");
    for (key, runs) in coze.counts().started {
        assert_eq!(runs, 1, "{key} was started {runs} times");
    }
}

/// Several processes at a time on the same rows, cut in one of three ways, each killed at a moment of
/// its own unless it ends before. How many were killed.
fn killed_wave(desk: &Desk, rows: &[String], wave: usize, dice: &mut Dice) -> u32 {
    let mut children: Vec<_> = (0..PROCESSES)
        .map(|process| {
            let part: Vec<_> = match wave % 3 {
                // Every eighth row, a piece of five rows, or all, each beginning elsewhere.
                0 => rows.iter().skip(process).step_by(PROCESSES).collect(),
                1 => rows.iter().skip(process * 5).take(5).collect(),
                _ => rows.iter().cycle().skip(process * 5).take(ROWS).collect(),
            };
            let part: Vec<_> = part.into_iter().map(String::as_str).collect();
            let name = format!("input {process}");
            let mut program = desk.program_for(&name, "-j 4 -q", &part.join("\n"));
            let child = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            let life = Duration::from_millis(dice.below(250));
            (child.unwrap(), Instant::now() + life)
        })
        .collect();
    let mut kills = 0;
    children.sort_by_key(|(_, end)| *end);
    for (child, end) in &mut children {
        thread::sleep(end.saturating_duration_since(Instant::now()));
        if child.try_wait().unwrap().is_none() {
            kill(child);
            kills += 1;
        }
    }
    kills
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
            5 => in_background(&request(coze::RATE_LIMITED, &key)),
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
            "interrupted" => assert_eq!((row % 10, runs), (4, 1)),
            "Success" => {
                let output = response["output"].as_str().unwrap();
                let quoted = format!("\"{key}\"");
                assert!(output.contains(&quoted) && runs == 1, "{response}");
            }
            other => panic!("{other}: {response}"),
        }
    }
}

#[test]
fn processes_side_by_side_share_the_rows_and_all_give_the_same_answers() {
    let coze = Coze::start(Options {
        delay: Duration::from_millis(5),
        ..Options::default()
    });
    let desk = Desk::new(coze.url());
    let rows: Vec<_> = (0..20)
        .map(|row| {
            let workflow = [coze::ECHO, coze::FAILS, coze::QUESTION, coze::SLOW][row % 4];
            with(
                &request(workflow, &format!("{row}")),
                &format!(r#""id":{row}"#),
            )
        })
        .collect();
    let children: Vec<_> = (0..4)
        .map(|process| {
            let part: Vec<_> = rows.iter().cycle().skip(process * 5).take(20).collect();
            let part: Vec<_> = part.into_iter().map(String::as_str).collect();
            let name = format!("input {process}");
            desk.program_for(&name, "-j 2 -q", &part.join("\n"))
                .spawn()
                .unwrap()
        })
        .collect();
    let sorted = |child: Child| {
        let told = Told::of(&child.wait_with_output().unwrap());
        let mut responses = told.responses();
        for response in &mut responses {
            response.as_object_mut().unwrap().remove("journal");
        }
        responses.sort_by_key(|response| response["id"].as_u64());
        responses
    };
    let mut answers = children.into_iter().map(sorted);
    let first = answers.next().unwrap();
    assert_eq!(first.len(), 20);
    for others in answers {
        assert_eq!(others, first);
    }
    let started = coze.counts().started;
    assert_eq!(started.len(), 20);
    assert!(started.values().all(|&runs| runs == 1), "{started:?}");
}

#[test]
fn what_ended_is_answered_from_the_journal_without_a_call() {
    let coze = Coze::start(Options::default());
    let desk = Desk::new(coze.url());
    let input = [coze::ECHO, coze::FAILS, coze::QUESTION]
        .map(|id| request(id, id))
        .join("\n");
    let first = desk.run("", &input);
    first.is(7, &["Success", "failed", "interrupted"]);
    let counts = coze.counts();
    let again = desk.run("", &input);
    assert_eq!(again.stdout.matches(r#","journal":true"#).count(), 3);
    assert_eq!(again.without_mark(), first.stdout);
    let mark = "; of them 3 from the journal\n";
    assert_eq!(again.stderr, first.stderr.trim_end().to_owned() + mark);
    assert_eq!((again.exit_code, coze.counts()), (7, counts));
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
    assert!(told.stderr.contains("--rerun unknown"), "{told:?}");
    desk.run("--rerun failed", &input).is(8, &["unknown"]);
    assert_eq!(coze.counts().stream_run, 1);
    desk.run("--rerun unknown", &input).is(0, &["Success"]);
    desk.run("--rerun unknown", &input).is(0, &["Success"]);
    assert_eq!(coze.counts().stream_run, 2);
}

#[test]
fn what_failed_is_run_again_when_asked_to_once_for_all_equal_rows() {
    let coze = Coze::start(Options::default());
    let desk = Desk::new(coze.url());
    let row = request(coze::FAILS, "a");
    desk.run("", &row).is(1, &["failed"]);
    desk.run("--rerun unknown", &row).is(1, &["failed"]);
    assert_eq!(coze.counts().stream_run, 1);
    let input = format!("{row}\n{row}\n{row}");
    desk.run("--rerun failed --rerun unknown", &input)
        .is(1, &["failed"; 3]);
    assert_eq!(coze.counts().stream_run, 2);
    desk.run("--rerun some", &row).is(2, &["usage"]);
}

#[test]
fn a_background_run_that_was_started_is_polled() {
    let coze = Coze::start(Options {
        slow_polls: 20,
        ..Options::default()
    });
    let desk = Desk::new(coze.url());
    let input = request(coze::SLOW, "a");
    desk.kill_when("--async", &input, || coze.counts().polls > 0);
    // How it is to be run does not matter any more.
    desk.run("", &input).is(0, &["Success"]);
    assert_eq!((coze.counts().run, coze.counts().stream_run), (1, 0));
}

#[test]
fn what_still_runs_is_polled_again() {
    let coze = Coze::start(Options {
        slow_polls: 3,
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
fn a_resume_that_may_have_been_sent_is_polled_and_never_sent_again() {
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
    assert_eq!(desk.run("", &input).without_mark(), told.stdout);
    answer["resume_data"] = "后天".into();
    desk.run("", &answer.to_string()).is(2, &["usage"]);
    assert_eq!(coze.counts().stream_resume, 1);
}

#[test]
fn what_was_refused_or_never_arrived_is_tried_again() {
    let nowhere = Nowhere::new();
    let desk = Desk::new(nowhere.url());
    let input = request(coze::ECHO, "a");
    desk.run("--retries 0", &input).is(5, &["unreachable"]);
    let coze = Coze::start_at(nowhere.listen(), Options::default());
    desk.run("", &input).is(0, &["Success"]);
    assert_eq!(coze.counts().stream_run, 1);
    let input = request(coze::UNPUBLISHED, "a");
    desk.run("", &input).is(4, &["refused"]);
    desk.run("", &input).is(4, &["refused"]);
    assert_eq!(coze.counts().stream_run, 3);
}

#[test]
fn an_id_twice_is_one_request_and_with_other_content_it_is_refused() {
    let coze = Coze::start(Options::default());
    let desk = Desk::new(coze.url());
    let one = with(&request(coze::ECHO, "a"), r#""id":1"#);
    let told = desk.run("", &format!("{one}\n{one}"));
    told.is(0, &["Success", "Success"]);
    assert!(!told.stderr.contains("ids"), "{told:?}");
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
fn equal_rows_without_an_id_are_one_request_and_a_word_says_so_once() {
    let coze = slow_coze(20);
    let desk = Desk::new(coze.url());
    let row = request(coze::ECHO, "a");
    let same = r#"{"parameters":"{\"key\": \"\u0061\"}", "workflow_id":7000000000000000001}"#;
    let told = desk.run("-j 4", &[&row, same, &row, same, &row].join("\n"));
    told.is(0, &["Success"; 5]);
    assert_eq!(
        told.stderr.matches("ids would make them several").count(),
        1
    );
    let ids: BTreeSet<_> = told
        .responses()
        .iter()
        .map(|one| one["id"].as_u64())
        .collect();
    assert_eq!(ids, (0..5).map(Some).collect());
    let outputs: BTreeSet<_> = told
        .responses()
        .iter()
        .map(|one| one["output"].to_string())
        .collect();
    assert_eq!(outputs.len(), 1);
    // By whichever of the two spellings came first.
    assert_eq!(coze.counts().started.into_values().collect::<Vec<_>>(), [1]);
}

#[test]
fn a_damaged_file_is_unknown_and_named_and_removing_it_permits_another_run() {
    let coze = Coze::start(Options::default());
    let desk = Desk::new(coze.url());
    let input = request(coze::ECHO, "a");
    desk.run("", &input).is(0, &["Success"]);
    let file = desk.files().remove(0);
    fs::write(&file, "{").unwrap();
    let told = desk.run("--rerun unknown --rerun failed", &input);
    told.is(8, &["unknown"]);
    assert!(
        told.stderr
            .contains(file.to_str().unwrap().rsplit('/').next().unwrap())
    );
    assert_eq!(coze.counts().stream_run, 1);
    fs::remove_file(file).unwrap();
    desk.run("", &input).is(0, &["Success"]);
    assert_eq!(coze.counts().stream_run, 2);
}

#[test]
fn another_server_is_another_request_in_the_same_journal() {
    let (coze, other) = (
        Coze::start(Options::default()),
        Coze::start(Options::default()),
    );
    let mut desk = Desk::new(coze.url());
    let input = with(&request(coze::ECHO, "a"), r#""id":1"#);
    desk.run("", &input).is(0, &["Success"]);
    desk.base_url = other.url();
    desk.run("", &input).is(0, &["Success"]);
    assert_eq!(
        (coze.counts().stream_run, other.counts().stream_run),
        (1, 1)
    );
}

#[test]
fn a_directory_that_is_none_is_refused_before_anything_is_sent() {
    let coze = Coze::start(Options::default());
    let desk = Desk::new(coze.url());
    let input = request(coze::ECHO, "a");
    fs::write(desk.path("journal"), "a letter\n").unwrap();
    let told = desk.run("", &input);
    told.is(3, &["config"]);
    assert!(told.stderr.contains("journal is a file"), "{told:?}");
    let letter = fs::read_to_string(desk.path("journal")).unwrap();
    assert_eq!(letter, "a letter\n");
    assert_eq!(coze.counts().connections, 0);
}

#[test]
fn what_another_process_works_on_comes_last_and_is_waited_for() {
    let coze = slow_coze(300);
    let desk = Desk::new(coze.url());
    let (slow, other) = (request(coze::ECHO, "a"), request(coze::UNPUBLISHED, "b"));
    let first = desk.program("", &slow).spawn().unwrap();
    let begin = Instant::now();
    while coze.counts().stream_run == 0 {
        assert!(begin.elapsed() < PATIENCE, "it was never sent");
        thread::sleep(Duration::from_millis(1));
    }
    let told = Told::of(
        &desk
            .program_for("other input", "", &format!("{slow}\n{other}"))
            .output()
            .unwrap(),
    );
    let kinds: Vec<_> = told.responses().iter().map(kind).collect();
    assert_eq!(kinds, ["refused", "Success"]);
    let told_first = Told::of(&first.wait_with_output().unwrap());
    told_first.is(0, &["Success"]);
    assert_eq!(
        told.responses()[1]["output"],
        told_first.responses()[0]["output"]
    );
    assert_eq!(coze.counts().started["a"], 1);
}

#[test]
fn what_another_process_works_on_is_answered_while_standard_input_stays_open() {
    for jobs in ["-j 1", "-j 3"] {
        let coze = slow_coze(100);
        let desk = Desk::new(coze.url());
        let slow = request(coze::ECHO, "a");
        let first = desk.program("", &slow).spawn().unwrap();
        let begin = Instant::now();
        while coze.counts().stream_run == 0 {
            assert!(begin.elapsed() < PATIENCE, "it was never sent");
            thread::sleep(Duration::from_millis(1));
        }
        let mut program = desk.program_for("-", jobs, "");
        let mut second = program.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = second.stdin.take().unwrap();
        let mut stdout = BufReader::new(second.stdout.take().unwrap()).lines();
        let mut ask = |request: &str| {
            writeln!(stdin, "{request}").unwrap();
            let line = stdout.next().unwrap().unwrap();
            kind(&serde_json::from_str(&line).unwrap())
        };
        // The caller gives nothing more before it has its answer.
        assert_eq!(ask(&slow), "Success", "{jobs}");
        assert_eq!(ask(&request(coze::UNPUBLISHED, "b")), "refused");
        assert_eq!(ask(&slow), "Success");
        drop(stdin);
        assert_eq!(second.wait().unwrap().code(), Some(4));
        Told::of(&first.wait_with_output().unwrap()).is(0, &["Success"]);
        assert_eq!(coze.counts().started["a"], 1);
    }
}

#[test]
fn rows_that_are_not_sent_leave_nothing_in_the_journal() {
    let server = Server::start(vec![
        Exchange::post("/v1/workflow/stream_run").json(401, r#"{"code":1,"msg":"bad token"}"#),
    ]);
    let desk = Desk::new(server.url());
    let rows = ["a", "b", "c"]
        .map(|key| request(coze::ECHO, key))
        .join("\n");
    // The code alone proves nothing; that the key is not accepted, the others will meet as well.
    desk.run("", &rows)
        .is(8, &["unknown", "refused", "refused"]);
    assert_eq!(desk.files().len(), 1);
    server.finish();
}

#[test]
fn what_another_process_works_on_is_running_at_the_deadline() {
    let coze = Coze::start(Options {
        slow_polls: 100_000,
        ..Options::default()
    });
    let desk = Desk::new(coze.url());
    let input = request(coze::SLOW, "a");
    let mut first = desk.program("--async", &input).spawn().unwrap();
    let begin = Instant::now();
    while coze.counts().polls == 0 {
        assert!(begin.elapsed() < PATIENCE, "it was never looked at");
        thread::sleep(Duration::from_millis(1));
    }
    let told = Told::of(
        &desk
            .program_for("other input", "--timeout 0.2", &input)
            .output()
            .unwrap(),
    );
    told.is(6, &["running"]);
    let response = &told.responses()[0];
    assert_ne!(response["execute_id"], "");
    let message = response["error"]["message"].as_str().unwrap();
    let process = format!("process {} on this or another machine", first.id());
    assert!(message.contains(&process), "{message}");
    kill(&mut first);
    assert_eq!(coze.counts().run, 1);
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

/// Runs it where no file may grow above so many blocks.
fn run_limited(desk: &Desk, blocks: u32, input: &str) -> Told {
    let program = desk.program("-q", input);
    let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", &limited, "sh"])
        .arg(program.get_program())
        .args(program.get_args());
    command.env_clear().envs(
        program
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    Told::of(&command.current_dir(desk.directory.path()).output().unwrap())
}

#[test]
fn a_journal_that_cannot_grow_loses_no_response_and_no_run() {
    let coze = Coze::start(Options::default());
    let desk = Desk::new(coze.url());
    let input = [request(coze::ECHO, "a"), request(coze::ECHO, "b")].join("\n");
    // The first line fits into it, the response does not fit as well.
    let told = run_limited(&desk, 1, &input);
    told.is(9, &["io", "io"]);
    assert_eq!(told.responses()[0]["output"], r#"{"output":{"key":"a"}}"#);
    assert_eq!(told.responses()[0]["status"], "Success");
    let counts = coze.counts().stream_run;
    let kinds = desk.run("", &input).kinds().1;
    assert!(
        kinds
            .iter()
            .all(|kind| kind == "Success" || kind == "unknown"),
        "{kinds:?}"
    );
    assert_eq!((counts, coze.counts().stream_run), (2, 2));
}

#[test]
fn a_journal_that_takes_nothing_starts_nothing() {
    let coze = Coze::start(Options::default());
    let desk = Desk::new(coze.url());
    let told = run_limited(&desk, 0, &request(coze::ECHO, "a"));
    told.is(3, &["config"]);
    assert_eq!(coze.counts().stream_run, 0);
    desk.run("", &request(coze::ECHO, "a")).is(0, &["Success"]);
}
