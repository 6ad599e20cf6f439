//! Deployed projects, end to end: the real program against the stand-in, which cuts connections before
//! and after it has acted, or is there to see the program killed at that moment. Its counts prove that
//! nothing was started twice.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use support::coze::{Counts, Coze, Moment, Options, Site};
use support::program::{Ended, Program};
use support::wire::Request;

const SUM: &str = r#"{"parameters":{"a":1,"b":2,"key":"a"}}"#;
const FAILS: &str = r#"{"parameters":{"a":13,"b":2,"key":"a"}}"#;

const PATIENCE: Duration = Duration::from_secs(60);

fn project() -> Coze {
    Coze::start(Options {
        site: Site::Project,
        ..Options::default()
    })
}

/// The program, for a project.
fn program(coze: &Coze) -> Program {
    let options = ["--service", "site", "--poll-interval", "0.01"];
    Program::at(&coze.url()).args(&options)
}

#[track_caller]
fn answer(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}", ended.stdout))
}

fn is_id(text: &str) -> bool {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 32 && text.bytes().all(is_hex)
}

#[test]
fn a_streamed_run_is_its_result_byte_for_byte_under_an_id_of_ours() {
    let coze = project();
    let ended = program(&coze).run(SUM);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let response = answer(&ended);
    assert_eq!(response["output"], r#"{"result": 3.0}"#);
    assert!(
        is_id(response["execute_id"].as_str().unwrap()),
        "{response}"
    );
    assert_eq!(response.as_object().unwrap().len(), 4);
    let counts = coze.counts();
    assert_eq!((counts.stream_run, counts.polls), (1, 0));
}

#[test]
fn a_background_run_reports_its_id_before_it_is_sent_and_is_watched() {
    let coze = project();
    let request = r#"{"workflow_id":7,"id":"x","parameters":{"a":1,"b":2,"sleep":2}}"#;
    let ended = program(&coze).arg("--async").run(request);
    let response = answer(&ended);
    let id = response["execute_id"].as_str().unwrap();
    assert_eq!(
        ended.stderr,
        format!("coze-workflow: started execute_id {id}\n")
    );
    assert_eq!((ended.code, is_id(id)), (0, true));
    assert_eq!(response["output"], r#"{"result":3.0}"#);
    assert_eq!(
        (&response["workflow_id"], &response["id"]),
        (&json!("7"), &json!("x"))
    );
    let counts = coze.counts();
    assert_eq!((counts.run, counts.polls), (1, 4 - 1));
    let no_wait = program(&coze).args(&["--async", "--no-wait"]).run(SUM);
    assert_eq!(no_wait.code, 6);
    let watched = program(&coze).run(&no_wait.stdout);
    assert_eq!((watched.code, coze.counts().run), (0, 2));
    assert_eq!(answer(&watched)["output"], r#"{"result":3.0}"#);
}

#[test]
fn parameters_need_no_workflow() {
    let coze = project();
    let ended = program(&coze)
        .args(&["-p", "a:=1", "-p", "b:=2.50", "-r"])
        .run("");
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "{\"result\": 3.5}\n")
    );
    let text = r#"{"parameters":"{\"a\": 1, \"b\": 2}"}"#;
    assert_eq!(program(&coze).run(text).code, 0);
    let file = program(&coze)
        .file("cat.png", "…")
        .args(&["-p", "a@cat.png"])
        .run("");
    assert_eq!(file.code, 2);
    assert_eq!(
        answer(&file)["error"]["message"],
        "a deployed project takes no file"
    );
    assert_eq!(coze.counts().stream_run, 2);
}

#[test]
fn what_a_project_does_not_take_is_refused_unsent() {
    let coze = project();
    for (request, what) in [
        (r#"{"bot_id":"7"}"#, "bot_id"),
        (r#"{"app_id":"7"}"#, "app_id"),
        (r#"{"ext":{}}"#, "ext"),
        (r#"{"workflow_version":"1"}"#, "workflow_version"),
        (r#"{"connector_id":"1"}"#, "connector_id"),
        (
            r#"{"event_id":"9/1","interrupt_type":2,"resume_data":"x"}"#,
            "resume_data",
        ),
        (r#"{"a":1}"#, "a"),
    ] {
        let ended = program(&coze).arg("--allow-unknown-fields").run(request);
        assert_eq!(ended.code, 2, "{request}");
        let message = answer(&ended)["error"]["message"].clone();
        assert_eq!(
            message,
            format!("a deployed project takes no key \"{what}\"")
        );
    }
    assert_eq!(coze.counts(), Counts::default());
}

#[test]
fn a_run_that_fails_is_failed_with_its_code() {
    let coze = project();
    let streamed = answer(&program(&coze).run(FAILS));
    assert_eq!(streamed["error"]["kind"], "failed");
    assert_eq!(streamed["error"]["code"], 201_003);
    assert_eq!(streamed["error"]["message"], "值错误: a must not be 13");
    let watched = answer(&program(&coze).args(&["--async", "-q"]).run(FAILS));
    assert_eq!(watched["error"]["kind"], "failed");
    assert_eq!(watched["error"]["code"], "ValueError");
    let missing = program(&coze).run(r#"{"parameters":{"a":1}}"#);
    assert_eq!(missing.code, 1);
    assert_eq!(answer(&missing)["error"]["code"], 201_001);
}

#[test]
fn a_refusal_started_nothing_and_has_no_id() {
    let coze = Coze::start(Options {
        site: Site::Project,
        key: Some("eyJ.another.key".to_owned()),
        ..Options::default()
    });
    let watch = format!(r#"{{"execute_id":"{}"}}"#, "1".repeat(32));
    for (options, request) in [
        (&[][..], SUM),
        (&["--async", "-q"], SUM),
        (&["--check"], SUM),
        (&["-q"], &watch),
    ] {
        let ended = program(&coze).args(options).run(request);
        assert_eq!(ended.code, 4);
        let response = answer(&ended);
        if options != ["--check"] && request == SUM {
            assert_eq!(response["execute_id"], "");
        }
        let message = response["error"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("Missing authorization header"),
            "{message}"
        );
        let hint = response["error"]["hint"].as_str().unwrap();
        assert!(hint.starts_with("a deployed project has a token of its own"));
    }
    assert!(coze.counts().started.is_empty());
}

#[test]
fn a_check_compares_with_the_graph_s_parameters() {
    let coze = project();
    let ended = program(&coze).arg("--check").run(SUM);
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    assert_eq!(answer(&ended)["workflow"]["input"]["title"], "GraphInput");
    let wrong = r#"{"parameters":{"a":"1","slepe":2}}"#;
    let ended = program(&coze).arg("--check").run(wrong);
    let message = answer(&ended)["error"]["message"].clone();
    let due = "the parameters do not fit the workflow: \"b\" (number) is required and missing; \
               \"a\" must be a number, not a string; \"slepe\" is unknown, the nearest is \"sleep\"";
    assert_eq!((ended.code, message), (2, json!(due)));
    let counts = coze.counts();
    assert_eq!((counts.describes, counts.stream_run), (2, 0));
}

// Answers that are lost.

/// A project that cuts the connections of these of its requests, counted from 0, at that moment.
fn cutting(keeps_ids: bool, cuts: &[usize], moment: Moment) -> Coze {
    let (count, cuts) = (AtomicUsize::new(0), cuts.to_owned());
    watched(keeps_ids, move |_, now| {
        let number = match now {
            Moment::Arrived => count.fetch_add(1, Ordering::SeqCst),
            Moment::Done => count.load(Ordering::SeqCst) - 1,
        };
        now != moment || !cuts.contains(&number)
    })
}

fn watched(
    keeps_ids: bool,
    watcher: impl Fn(&Request, Moment) -> bool + Send + Sync + 'static,
) -> Coze {
    Coze::start(Options {
        site: Site::Project,
        keeps_ids,
        watcher: Some(Arc::new(watcher)),
        ..Options::default()
    })
}

fn started(coze: &Coze) -> u64 {
    coze.counts().started.values().sum()
}

#[test]
fn a_stream_that_is_lost_is_unknown_with_its_id_and_never_sent_again() {
    for moment in [Moment::Arrived, Moment::Done] {
        let coze = cutting(true, &[0], moment);
        let ended = program(&coze).run(SUM);
        assert_eq!(ended.code, 8, "{moment:?}");
        assert!(is_id(answer(&ended)["execute_id"].as_str().unwrap()));
        let counts = coze.counts();
        assert_eq!(
            (counts.polls, started(&coze)),
            (0, u64::from(moment == Moment::Done))
        );
    }
}

/// Its second run is the one whose answers are lost: by the first the server has shown that it keeps
/// our ids.
#[test]
fn whichever_answer_is_lost_there_is_one_start_and_the_right_answer() {
    for moment in [Moment::Arrived, Moment::Done] {
        // One start and four looks; and two answers in a row.
        for cuts in [&[2][..], &[3], &[4], &[5], &[2, 3], &[3, 4], &[2, 4]] {
            let coze = cutting(true, cuts, moment);
            let row =
                |key: &str| format!(r#"{{"parameters":{{"a":1,"b":2,"key":"{key}","sleep":2}}}}"#);
            let first = row("first").replace(r#","sleep":2"#, "");
            let ended = program(&coze)
                .args(&["--async", "-q"])
                .run(format!("{first}\n{}\n", row("second")));
            let second = ended.responses().remove(1);
            let case = format!("{moment:?} {cuts:?}: {second}");
            assert_eq!(second["output"], r#"{"result":3.0}"#, "{case}");
            assert_eq!(ended.code, 0, "{case}");
            let counts = coze.counts();
            assert_eq!(counts.started["second"], 1, "{case}");
            assert_eq!(counts.started["first"], 1, "{case}");
        }
    }
}

#[test]
fn a_start_that_never_arrives_is_unknown_when_the_retries_are_used_up() {
    // The first run, then three starts, each with a look after it.
    let coze = cutting(true, &[2, 4, 6], Moment::Arrived);
    let other = SUM.replace(r#""key":"a""#, r#""key":"b""#);
    let ended = program(&coze)
        .args(&["--async", "-q"])
        .run(format!("{SUM}\n{other}"));
    let response = ended.responses().remove(1);
    assert_eq!(response["error"]["kind"], "unknown");
    assert!(is_id(response["execute_id"].as_str().unwrap()));
    assert_eq!((coze.counts().run, started(&coze)), (1, 1));
}

#[test]
fn on_a_server_that_has_not_shown_that_it_keeps_ids_a_lost_start_is_never_sent_again() {
    for keeps_ids in [true, false] {
        for moment in [Moment::Arrived, Moment::Done] {
            let coze = cutting(keeps_ids, &[0], moment);
            let ended = program(&coze).args(&["--async", "-q"]).run(SUM);
            let is_there = keeps_ids && moment == Moment::Done;
            let due = if is_there { 0 } else { 8 };
            assert_eq!(ended.code, due, "{keeps_ids} {moment:?}");
            let response = answer(&ended);
            assert!(
                is_id(response["execute_id"].as_str().unwrap()),
                "{response}"
            );
            let counts = coze.counts();
            let polls = if is_there { 1 } else { 10 };
            assert_eq!(counts.polls, polls, "{keeps_ids} {moment:?}");
            assert!(started(&coze) == u64::from(moment == Moment::Done));
        }
    }
}

#[test]
fn a_server_with_ids_of_its_own_is_watched_by_them() {
    let coze = cutting(false, &[], Moment::Arrived);
    let ended = program(&coze).args(&["--async", "-q"]).run(SUM);
    let response = answer(&ended);
    assert_eq!(
        (ended.code, &response["execute_id"]),
        (0, &json!("7600000000000000000"))
    );
}

// The program killed.

/// A journal and an input, for a project at one address.
struct Desk {
    directory: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn program(&self, coze: &Coze, options: &[&str], input: &str) -> Command {
        fs::write(self.directory.path().join("input"), input).unwrap();
        let mut command = Command::new(support::program::path());
        command
            .env_clear()
            .env("HOME", self.directory.path())
            .env("COZE_API_KEY", "eyJ.no.key")
            .current_dir(self.directory.path())
            .args(["--base-url", &coze.url(), "--service", "site"])
            .args(["--poll-interval", "0.01", "--journal", "journal", "input"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end: the exit code, and the one response.
    #[track_caller]
    fn run(&self, coze: &Coze, options: &[&str], input: &str) -> (i32, Value) {
        let output = self.program(coze, options, input).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let response = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}"));
        (output.status.code().unwrap(), response)
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.directory.path().join("journal")).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }

    /// The ids that the tries of a journal hold.
    fn marks(&self) -> usize {
        let is_mark = |path: &PathBuf| path.to_string_lossy().contains("/kept-");
        self.files().iter().filter(|path| is_mark(path)).count()
    }
}

/// A project that stands still at one moment of one request, and says so, until it is told to go on.
struct Still {
    coze: Coze,
    reached: Receiver<()>,
    go_on: Sender<bool>,
}

impl Still {
    /// `at`: which request, counted from 0.
    fn start(keeps_ids: bool, at: usize, moment: Moment) -> Self {
        let (says, reached) = channel();
        let (go_on, goes_on) = channel();
        let (says, goes_on) = (Mutex::new(says), Mutex::new(goes_on));
        let (count, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let coze = watched(keeps_ids, move |_, now| {
            if now == Moment::Arrived {
                count.fetch_add(1, Ordering::SeqCst);
            }
            let is_here = count.load(Ordering::SeqCst) == at + 1 && now == moment;
            if !is_here || is_over.swap(true, Ordering::SeqCst) {
                return true;
            }
            let _ = says.lock().unwrap().send(());
            // Without word the test is over.
            goes_on.lock().unwrap().recv().unwrap_or(false)
        });
        Self {
            coze,
            reached,
            go_on,
        }
    }

    /// Kills the program there; the request is carried on with, or cut.
    fn kill(&self, mut child: Child, goes_on: bool) {
        self.reached
            .recv_timeout(PATIENCE)
            .expect("it comes so far");
        child.kill().unwrap();
        child.wait().unwrap();
        self.go_on.send(goes_on).unwrap();
    }
}

const SLOW: &str = r#"{"parameters":{"a":1,"b":2,"key":"slow","sleep":2}}"#;

#[test]
fn killed_at_any_step_of_a_background_run_there_is_one_start_and_the_right_answer() {
    for moment in [Moment::Arrived, Moment::Done] {
        for at in 0..4 {
            for goes_on in [true, false] {
                // After two requests of a run by which the server shows that it keeps our ids.
                let still = Still::start(true, at + 2, moment);
                let (coze, desk) = (&still.coze, Desk::new());
                assert_eq!(desk.run(coze, &["--async"], SUM).0, 0);
                assert_eq!(desk.marks(), 1);
                let child = desk.program(coze, &["--async"], SLOW).spawn().unwrap();
                still.kill(child, goes_on);
                let case = format!("{moment:?} of {at}, {goes_on}");
                let (exit_code, response) = desk.run(coze, &[], SLOW);
                assert_eq!(
                    (exit_code, &response["output"]),
                    (0, &json!(r#"{"result":3.0}"#)),
                    "{case}"
                );
                let (_, again) = desk.run(coze, &["--async"], SLOW);
                assert_eq!(again["journal"], true, "{case}");
                assert_eq!(again["execute_id"], response["execute_id"], "{case}");
                assert_eq!(coze.counts().started["slow"], 1, "{case}");
            }
        }
    }
}

#[test]
fn killed_where_no_ids_were_seen_to_be_kept_there_is_one_start_or_none() {
    for keeps_ids in [true, false] {
        for moment in [Moment::Arrived, Moment::Done] {
            for at in 0..3 {
                let still = Still::start(keeps_ids, at, moment);
                let (coze, desk) = (&still.coze, Desk::new());
                let child = desk.program(coze, &["--async"], SLOW).spawn().unwrap();
                still.kill(child, false);
                let was_started = at > 0 || moment == Moment::Done;
                // Where the server has answered, its name for the run is in the journal.
                let is_known = at > 0 || keeps_ids && was_started;
                let (exit_code, response) = desk.run(coze, &[], SLOW);
                let case = format!("{keeps_ids}, {moment:?} of {at}: {response}");
                assert_eq!(exit_code, if is_known { 0 } else { 8 }, "{case}");
                assert_ne!(response["execute_id"], "", "{case}");
                assert_eq!(started(coze), u64::from(was_started), "{case}");
                desk.run(coze, &["--rerun", "failed"], SLOW);
                assert_eq!(started(coze), u64::from(was_started), "{case}");
            }
        }
    }
}

#[test]
fn what_was_lost_in_the_background_is_looked_for_and_never_run_under_another_id() {
    let still = Still::start(false, 0, Moment::Arrived);
    let (coze, desk) = (&still.coze, Desk::new());
    let child = desk.program(coze, &["--async"], SUM).spawn().unwrap();
    still.kill(child, false);
    // The first look finds nothing; and what is not known to have ended is not run again.
    assert_eq!(desk.run(coze, &["--rerun", "unknown"], SUM).0, 8);
    assert_eq!(started(coze), 0);
    std::thread::sleep(Duration::from_millis(50));
    let (exit_code, response) = desk.run(coze, &["--async", "--rerun", "unknown"], SUM);
    assert_eq!((exit_code, started(coze)), (8, 0), "{response}");
}

#[test]
fn a_stream_that_was_killed_is_unknown_with_its_id_until_it_is_to_be_run_again() {
    for moment in [Moment::Arrived, Moment::Done] {
        let still = Still::start(true, 0, moment);
        let (coze, desk) = (&still.coze, Desk::new());
        let child = desk.program(coze, &[], SUM).spawn().unwrap();
        still.kill(child, false);
        for options in [&[][..], &["--async"], &["--rerun", "failed"]] {
            let (exit_code, response) = desk.run(coze, options, SUM);
            assert_eq!(
                (exit_code, &response["journal"]),
                (8, &json!(true)),
                "{options:?}"
            );
            assert!(is_id(response["execute_id"].as_str().unwrap()));
        }
        assert_eq!(coze.counts().polls, 0);
        let before = started(coze);
        assert_eq!(desk.run(coze, &["--rerun", "unknown"], SUM).0, 0);
        assert_eq!(started(coze), before + 1);
    }
}

#[test]
fn a_lost_stream_is_answered_from_the_journal_and_run_again_only_when_asked_to() {
    let coze = cutting(true, &[0], Moment::Done);
    let desk = Desk::new();
    let (exit_code, first) = desk.run(&coze, &[], SUM);
    let (again, second) = desk.run(&coze, &[], SUM);
    assert_eq!((exit_code, again), (8, 8));
    assert_eq!(first["execute_id"], second["execute_id"]);
    assert_eq!((started(&coze), coze.counts().polls), (1, 0));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(desk.run(&coze, &["--rerun", "unknown"], SUM).0, 0);
    assert_eq!(started(&coze), 2);
}
