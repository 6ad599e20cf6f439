//! `--check` with requests: what would be wrong with each is said, and nothing is started. That
//! nothing is, the counts of the stand-in prove, or a script in which only GETs are.

use std::fs;

use serde_json::Value;

use crate::play_with;
use crate::support::coze::{self, Coze, Options, Site};
use crate::support::nowhere::nowhere;
use crate::support::program::{Ended, KEY, Program};
use crate::support::server::{Exchange, Server};

const DOCUMENTED: &str = include_str!("../wire/doc_workflow_info.json");
const NO_PERMISSION: &str = include_str!("../wire/envelope_4101.json");

const CHINESE: &str = "zh_CN.UTF-8";

/// A run of the workflow that declares `input` (required) and `more`.
fn typed(parameters: &str) -> String {
    run(coze::TYPED, parameters)
}

fn run(workflow_id: &str, parameters: &str) -> String {
    format!("{{\"workflow_id\":\"{workflow_id}\",\"parameters\":{parameters}}}\n")
}

fn look_up() -> Exchange {
    Exchange::get("/v1/workflows/7?include_input_output=true")
}

/// A check of these requests, which starts nothing, whatever it says.
#[track_caller]
fn check(coze: &Coze, arguments: &[&str], requests: &str) -> Ended {
    let program = Program::at(&coze.url()).arg("--check").args(arguments);
    let ended = program.run(requests);
    starts_nothing(coze);
    for report in ended.responses() {
        assert!(report["workflow"].is_object(), "{report}");
        assert_eq!((report.get("status"), report.get("output")), (None, None));
    }
    ended
}

#[track_caller]
fn starts_nothing(coze: &Coze) {
    let counts = coze.counts();
    let posts = [
        counts.stream_run,
        counts.run,
        counts.stream_resume,
        counts.resume,
        counts.uploads,
        counts.polls,
    ];
    assert_eq!(posts, [0; 6]);
}

/// What is wrong with the parameters of a run of `TYPED`.
#[track_caller]
fn is_misfit(parameters: &str, faults: &str) {
    let coze = Coze::start(Options::default());
    let ended = check(&coze, &[], &typed(parameters));
    let error = &ended.responses()[0]["error"];
    let message = format!("the parameters do not fit the workflow: {faults}");
    let hint = "the workflow takes input (string, required), more (string)";
    assert_eq!(
        (
            ended.code,
            &error["kind"],
            &error["message"],
            &error["hint"]
        ),
        (
            2,
            &"usage".into(),
            &message.clone().into(),
            &Value::from(hint)
        )
    );
    let line = format!("coze-workflow: usage: {message} ({hint})\n");
    assert_eq!(ended.stderr, line);
}

#[test]
fn a_request_that_fits_is_reported_with_what_its_workflow_takes() {
    let coze = Coze::start(Options {
        key: Some(KEY.to_owned()),
        ..Options::default()
    });
    let request = format!(
        r#"{{"id":["row",7],"workflow_id":"{}","parameters":{{"input":"hi"}}}}"#,
        coze::TYPED
    );
    let report = format!(
        r#"{{"id":["row",7],"workflow_id":"{}","workflow":{{"name":"stand_in","description":"Typed","input":{{"parameters":{{"input":{{"required":true,"type":"string"}},"more":{{"required":false,"type":"string"}}}}}},"output":{{"parameters":{{}},"terminate_plan":"return_variables","content":""}}}},"warnings":[]}}"#,
        coze::TYPED
    );
    check(&coze, &[], &request).is(0, &report, "");
    assert_eq!(coze.counts().describes, 1);
}

#[test]
fn all_that_is_wrong_with_parameters_is_in_one_sentence() {
    is_misfit("{}", r#""input" (string) is required and missing"#);
    is_misfit(
        r#"{"inptu":"hi","more":7,"colour":[]}"#,
        concat!(
            r#""input" (string) is required and missing; "inptu" is unknown, the nearest is "input"; "#,
            r#""more" must be a string, not an integer; "colour" is unknown"#
        ),
    );
    is_misfit(
        r#"{"input":{"file_id":"7"}}"#,
        r#""input" must be a string, not an object"#,
    );
}

#[test]
fn parameters_as_a_text_are_read_and_null_passes() {
    let coze = Coze::start(Options::default());
    for parameters in [
        r#""{\"input\":\"hi\"}""#,
        r#"{"input":null}"#,
        r#"{"input":"","more":null}"#,
    ] {
        let ended = check(&coze, &[], &typed(parameters));
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{parameters}");
    }
}

#[test]
fn a_run_without_parameters_lacks_those_that_are_required() {
    let coze = Coze::start(Options::default());
    let request = format!(r#"{{"workflow_id":"{}"}}"#, coze::TYPED);
    assert_eq!(check(&coze, &[], &request).code, 2);
}

#[test]
fn every_workflow_is_looked_up_once_and_every_request_reported() {
    let coze = Coze::start(Options::default());
    let requests = [
        typed(r#"{"input":"a"}"#),
        typed(r#"{"input":1}"#),
        run(coze::ECHO, "{}"),
        typed(r#"{"input":"b"}"#),
    ];
    let ended = check(&coze, &[], &requests.concat());
    let reports = ended.responses();
    let is_right = reports.iter().map(|report| report.get("error").is_none());
    assert_eq!(is_right.collect::<Vec<_>>(), [true, false, true, true]);
    assert_eq!(ended.code, 2);
    assert_eq!(coze.counts().describes, 2);
    let sum = "coze-workflow: 4 requests checked: 3 in order, 1 not valid\n";
    assert!(ended.stderr.ends_with(sum), "{}", ended.stderr);
}

/// Whoever tries `--check` on a command of README.md, against the stand-in, is told of no fault.
#[test]
fn the_workflows_of_the_pages_take_what_the_pages_give() {
    let coze = Coze::start(Options::default());
    for (workflow_id, parameters) in [
        (coze::ECHO, r#"{"input":"hello"}"#),
        (coze::ECHO, r#"{"city":"北京","days":3}"#),
        (coze::IMAGE, r#"{"prompt":"a cat"}"#),
    ] {
        let ended = check(&coze, &[], &run(workflow_id, parameters));
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{parameters}");
    }
}

#[test]
fn a_workflow_that_is_not_there_is_refused() {
    let coze = Coze::start(Options::default());
    let ended = check(&coze, &[], &run("7", "{}"));
    let error = &ended.responses()[0]["error"];
    assert_eq!(
        (ended.code, &error["code"], &error["hint"]),
        (
            4,
            &4200.into(),
            &"publish the workflow, and check workflow_id".into()
        )
    );
}

#[test]
fn a_bad_key_is_tried_once() {
    let coze = Coze::start(Options {
        key: Some("another".to_owned()),
        ..Options::default()
    });
    let requests = [typed("{}"), run(coze::ECHO, "{}"), run(coze::SLOW, "{}")];
    let ended = check(&coze, &[], &requests.concat());
    assert_eq!((ended.code, coze.counts().describes), (4, 1));
    let reports = ended.responses();
    assert_eq!(reports[0]["error"]["message"], "access token invalid");
    let message = "not looked up, because an earlier look-up failed: access token invalid";
    for report in &reports[1..] {
        assert_eq!(report["error"]["message"], message);
        assert_eq!(report["error"]["code"], 700_012_006);
    }
}

#[test]
fn a_missing_permission_is_named_in_both_languages() {
    for (locale, start) in [
        ("C", "the token lacks the permission getMetaData, "),
        (CHINESE, "令牌缺少 getMetaData 权限"),
    ] {
        let server = Server::start(vec![look_up().json(200, NO_PERMISSION)]);
        let program = Program::at(&server.url()).env("LANG", locale);
        let ended = program.arg("--check").run(crate::RUN);
        server.finish();
        let error = &ended.responses()[0]["error"];
        assert_eq!((ended.code, &error["code"]), (4, &4101.into()));
        let hint = error["hint"].as_str().unwrap();
        assert!(hint.starts_with(start), "{hint}");
    }
}

#[test]
fn a_chinese_reader_reads_chinese() {
    let coze = Coze::start(Options::default());
    let program = Program::at(&coze.url()).env("LANG", CHINESE).arg("--check");
    let report = program.run(typed("{}")).responses().remove(0);
    assert_eq!(
        report["error"]["hint"],
        "该工作流的参数：input (string, required), more (string)"
    );
    let watch = r#"{"workflow_id":"7","execute_id":"9"}"#;
    let program = Program::at(&coze.url()).env("LANG", CHINESE).arg("--check");
    let report = program.run(watch).responses().remove(0);
    assert_eq!(report["warnings"][0], "只检查了格式：预演不会查询任何运行");
}

#[test]
fn what_may_pass_is_asked_again_and_then_unreachable() {
    let ended = play_with(
        &["--check"],
        vec![
            look_up().json(429, r#"{"code":4020,"msg":"slow down"}"#),
            look_up().json(200, DOCUMENTED),
        ],
    );
    assert_eq!(ended.code, 0);
    let ended = play_with(
        &["--check", "--retries", "1"],
        vec![look_up().json(504, "<html>"), look_up().json(504, "<html>")],
    );
    let error = &ended.responses()[0]["error"];
    assert_eq!((ended.code, &error["kind"]), (5, &"unreachable".into()));
    assert_eq!(error["message"], "HTTP 504, and the body is not Coze's");
    let program = Program::at(&nowhere().url()).args(&["--check", "--retries", "0"]);
    let ended = program.run(crate::RUN);
    assert_eq!(ended.code, 5);
    assert!(ended.responses()[0]["workflow"].is_object());
}

#[test]
fn a_chatflow_is_recognised() {
    let ended = play_with(&["--check"], vec![look_up().json(200, DOCUMENTED)]);
    let report = &ended.responses()[0];
    assert_eq!(report["workflow"]["description"], "统计图片数量");
    assert_eq!(
        report["warnings"][0],
        "this looks like a chatflow, whose own call this program does not make"
    );
    assert_eq!(ended.code, 0);
}

#[test]
fn studio_does_not_tell_what_a_workflow_takes() {
    let coze = Coze::start(Options {
        site: Site::Studio,
        ..Options::default()
    });
    let ended = check(&coze, &[], &typed("{}"));
    let report = &ended.responses()[0];
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(
        report["warnings"][0],
        "the server does not tell what the workflow takes: its parameters were not compared"
    );
    let ended = check(&coze, &[], &run("7", "{}"));
    let error = &ended.responses()[0]["error"];
    assert_eq!((ended.code, &error["code"]), (4, &720_702_004.into()));
}

#[test]
fn studio_says_which_key_is_bad() {
    let coze = Coze::start(Options {
        site: Site::Studio,
        key: Some("another".to_owned()),
        ..Options::default()
    });
    let ended = check(&coze, &[], &typed("{}"));
    let error = &ended.responses()[0]["error"];
    assert_eq!((ended.code, &error["code"]), (4, &700_012_006.into()));
}

#[test]
fn what_is_about_a_run_is_checked_for_its_form_and_asks_nothing() {
    let coze = Coze::start(Options::default());
    let watch = r#"{"workflow_id":"7","execute_id":"9"}"#;
    let resume = r#"{"workflow_id":"7","event_id":"9/1","interrupt_type":2,"resume_data":"a"}"#;
    for request in [watch, resume] {
        let ended = check(&coze, &[], request);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
        assert_eq!(
            ended.responses()[0]["warnings"][0],
            "only its form was checked: a rehearsal asks nothing of a run"
        );
    }
    assert_eq!(coze.counts().connections, 0);
}

#[test]
fn a_request_that_is_not_valid_is_refused_as_in_a_run() {
    let coze = Coze::start(Options::default());
    for request in [
        r#"{"workflowid":"7"}"#,
        r#"{"workflow_id":"7","parameters":7}"#,
        r#"{"workflow_id":"7","parameters":"[1]"}"#,
        r#"{"workflow_id":"7","execute_id":""}"#,
        "{]",
        "[{}]",
    ] {
        let checked = check(&coze, &[], request).responses().remove(0);
        let ran = Program::at(&coze.url()).run(request).responses().remove(0);
        assert_eq!(checked["error"], ran["error"], "{request}");
        assert_eq!(checked["error"]["kind"], "usage");
    }
    assert_eq!(coze.counts().connections, 0);
}

#[test]
fn every_report_is_refused_as_a_request() {
    let coze = Coze::start(Options::default());
    let requests = [
        typed(r#"{"input":"hi"}"#),
        typed("{}"),
        run("7", "{}"),
        r#"{"workflow_id":"7","execute_id":"9"}"#.to_owned(),
    ];
    let reports = check(&coze, &[], &requests.concat()).stdout;
    let connection = Program::at(&coze.url()).arg("--check").run("").stdout;
    let program = Program::at(&coze.url()).arg("--allow-unknown-fields");
    let ended = program.run(reports + &connection);
    let refused = ended.responses();
    assert_eq!((ended.code, refused.len()), (2, 5));
    for response in refused {
        let message = "this is a report of --check, not a request";
        assert_eq!(response["error"]["message"], message);
    }
    starts_nothing(&coze);
}

#[test]
fn what_a_run_would_write_is_not_written() {
    let coze = Coze::start(Options::default());
    for (option, given) in [
        ("--output", "-o=out"),
        ("--journal", "--journal=journal"),
        ("--rerun", "--rerun=failed"),
        ("--events", "--events"),
    ] {
        let program = Program::at(&coze.url()).args(&["--check", given]);
        let ended = program.run(typed(r#"{"input":"hi"}"#));
        let message = format!("--check and {option} can't be used together");
        assert_eq!(ended.responses()[0]["error"]["message"], *message);
        let left = fs::read_dir(ended.path()).unwrap().count();
        assert_eq!((ended.code, left), (2, 0));
    }
    assert_eq!(coze.counts().connections, 0);
    let ended = check(&coze, &["--async", "-j", "3"], &typed(r#"{"input":"hi"}"#));
    assert_eq!(ended.code, 0);
}

#[test]
fn a_report_of_many_has_the_number_of_a_request_without_an_id() {
    let coze = Coze::start(Options::default());
    let named = typed("{}").replacen('{', r#"{"id":"a","#, 1);
    let requests = [typed("{}"), named, "{]\n".to_owned(), typed("{}")];
    let program = Program::at(&coze.url()).file("all", requests.concat());
    let ended = program.args(&["--check", "all"]).run("");
    let reports = ended.responses();
    let ids: Vec<_> = reports.iter().map(|report| report["id"].clone()).collect();
    let expected: [Value; 4] = [0.into(), "a".into(), 2.into(), 3.into()];
    assert_eq!(ids, expected);
    assert!(ended.stderr.contains("[id 2]\n"), "{}", ended.stderr);
    let only = check(&coze, &[], &typed("{}"));
    assert_eq!(only.responses()[0].get("id"), None);
}

#[test]
fn requests_come_by_every_door() {
    let coze = Coze::start(Options::default());
    let request = typed(r#"{"input":1}"#);
    let program = Program::at(&coze.url()).file("a.json", &request);
    assert_eq!(program.args(&["--check", "a.json"]).run("").code, 2);
    assert_eq!(check(&coze, &["--request", &request], "").code, 2);
    assert_eq!(coze.counts().describes, 2);
}

#[test]
fn a_file_without_a_request_would_be_no_run_either() {
    let program = Program::at(&nowhere().url()).file("empty.json", "\n");
    let ended = program.args(&["--check", "empty.json"]).run("");
    assert_eq!(ended.code, 2);
    let message = &ended.responses()[0]["error"]["message"];
    assert_eq!(message, "there is no request");
}

#[test]
fn the_log_of_a_check_shows_the_look_up_and_not_the_key() {
    let coze = Coze::start(Options::default());
    let ended = check(&coze, &["-v"], &typed("{}"));
    let path = format!("> GET /v1/workflows/{}?include", coze::TYPED);
    assert!(ended.stderr.contains(&path), "{}", ended.stderr);
}
