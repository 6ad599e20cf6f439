//! What only a program for Windows does: its paths, its names of variables, its launcher. Run by
//! `make test-windows`, under wine, where Z: is the root of this machine.

use std::fs;
use std::path::Path;

use super::*;
use crate::support::coze::{self, Coze, Options};

/// A path of this machine, as Windows calls it.
fn windows(path: &Path) -> String {
    format!("Z:{}", path.display()).replace('/', r"\")
}

fn config(base_url: &str) -> String {
    format!(r#"{{"api_key":"pat_of_the_file","base_url":"{base_url}"}}"#)
}

#[test]
#[ignore = "for Windows"]
fn the_users_own_file_is_among_the_settings_of_programs() {
    let server = Server::start(vec![stream_run().sse(HELLO)]);
    let file = "AppData/Roaming/coze-workflow/config.json";
    let program = Program::bare().file(file, config(&server.url()));
    program.run(RUN).is(0, SAID_HELLO, "");
    server.finish();
}

#[test]
#[ignore = "for Windows"]
fn places_are_named_as_the_system_names_them() {
    let ended = Program::bare().arg("-q").run(RUN);
    let error = &ended.responses()[0]["error"];
    let home = windows(ended.path());
    let place = format!(r"{home}\.openclaw\skills\coze_workflow\config.json");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("{place} (not there)")),
        "{message}"
    );
    assert!(
        !message.contains('/') && !message.contains(r"\\?\"),
        "{message}"
    );
    let hint = error["hint"].as_str().unwrap();
    let own = r"\coze-workflow\config.json";
    assert!(hint.ends_with(own) && !hint.contains('/'), "{hint}");
}

#[test]
#[ignore = "for Windows"]
fn a_variable_has_its_name_in_capitals_and_in_small_letters() {
    let server = Server::start(vec![stream_run().sse(HELLO)]);
    let program = Program::bare()
        .env("coze_api_key", support::program::KEY)
        .env("Coze_Base_Url", server.url());
    program.run(RUN).is(0, SAID_HELLO, "");
    server.finish();
}

#[test]
#[ignore = "for Windows"]
fn files_are_named_with_drive_letters_and_backslashes() {
    let body = r#"{"workflow_id":"7","parameters":{"a":"你好","b":[1]}}"#;
    let run = || stream_run().with_body(body).sse(HELLO);
    let server = Server::start(vec![run(), run()]);
    let program = Program::at(&server.url())
        .file("folder/text", "你好")
        .file("folder/json", "[1]");
    let text = format!(r"a=@{}\folder\text", windows(program.path()));
    let params = ["-w", "7", "-p", &text, "-p", r"b:=@folder\json"];
    program.args(&params).run("").is(0, SAID_HELLO, "");

    let program = Program::at(&server.url()).file("folder/request.json", body);
    let [request, out] =
        ["request.json", "out"].map(|name| format!(r"{}\folder\{name}", windows(program.path())));
    let ended = program.args(&["-o", &out, &request]).run("");
    assert_eq!(ended.responses()[0]["output_file"], out);
    assert_eq!(fs::read(ended.path().join("folder/out")).unwrap(), b"hello");
    server.finish();
}

/// Runs `-o out` while another program has that file open: whether others may `write` it or not,
/// nobody may remove it.
#[track_caller]
fn run_held(script: Vec<Exchange>, sharing: &str) -> Ended {
    let server = Server::start(script);
    let program = Program::at(&server.url()).file("out", "what was there");
    let out = program.path().join("out");
    let mut holder = Program::beside("hold")
        .args(&[&windows(&out), sharing])
        .start();
    assert_eq!(holder.line(), "held");
    let ended = program.args(&["-o", "out"]).run(RUN);
    holder.finish();
    server.finish();
    ended
}

#[test]
#[ignore = "for Windows"]
fn an_output_file_that_another_program_keeps_to_itself_is_found_before_anything_is_sent() {
    let ended = run_held(vec![], "alone");
    let message = ended.responses()[0]["error"]["message"].to_string();
    assert_eq!(ended.code, 2);
    assert!(message.contains("cannot write out: "), "{message}");
}

#[test]
#[ignore = "for Windows"]
fn an_output_file_that_another_program_has_open_is_written_in_place() {
    let ended = run_held(vec![stream_run().sse(HELLO)], "write");
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    assert_eq!(fs::read(ended.path().join("out")).unwrap(), b"hello");
    assert_eq!(fs::read_dir(ended.path()).unwrap().count(), 1);
}

#[test]
#[ignore = "for Windows"]
fn the_commands_of_the_readme_are_right_for_cmd() {
    let readme = include_str!("../../README.md");
    let blocks = readme.split("```bat\n").skip(1);
    let commands: Vec<_> = blocks
        .map(|rest| rest.split_once("```").unwrap().0)
        .collect();
    assert_eq!(commands.len(), 2, "one for each language");
    for commands in commands {
        let coze = Coze::start(Options::default());
        let commands = commands
            .replace("7xxxxxxxxxxxxxxxxxx", coze::ECHO)
            .replace(r"C:\pictures", r"pictures")
            .replace('\n', "\r\n");
        let request = format!(
            r#"{{"workflow_id":"{}","parameters":{{"a":1}}}}"#,
            coze::ECHO
        );
        let path = support::program::path();
        let programs = windows(Path::new(&path).parent().unwrap());
        let ended = Program::beside("cmd")
            .env("COZE_API_KEY", support::program::KEY)
            .env("COZE_BASE_URL", coze.url())
            .file("pictures/cat.png", "a cat")
            .file("request.json", request)
            .file(
                "t.cmd",
                format!("@set PATH={programs}\r\n@echo off\r\n{commands}"),
            )
            .args(&["/c", "t.cmd"])
            .run("");
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (0, ""),
            "{}",
            ended.stdout
        );
        assert!(ended.stdout.ends_with("{\"a\":1}\n"), "{}", ended.stdout);
        let result = fs::read_to_string(ended.path().join("result.json")).unwrap();
        for part in ["\"days\":3", "\"image\":\"{", "\"city\":\""] {
            assert!(result.contains(part), "{result}");
        }
        let counts = coze.counts();
        assert_eq!((counts.stream_run, counts.uploads), (2, 1));
    }
}

#[test]
#[ignore = "for Windows"]
fn the_launcher_of_the_skill_runs_the_program_or_says_that_it_is_missing_and_ends_with_3() {
    let server = Server::start(vec![stream_run().with_body(RUN).sse(HELLO)]);
    let launcher = include_bytes!("../../src/skill/coze-workflow.cmd");
    let path = support::program::path();
    let beside = |name: &str| fs::read(Path::new(&path).with_file_name(name)).unwrap();
    let url = server.url();
    // As it is where Windows keeps programs.
    let launch = |skill: &str| {
        Program::beside("cmd")
            .env("COZE_API_KEY", support::program::KEY)
            .env("COZE_BASE_URL", &url)
            .file(&format!("{skill}/scripts/coze-workflow.cmd"), launcher)
            .file(
                "t.cmd",
                format!("@\"{skill}\\scripts\\coze-workflow.cmd\" %*"),
            )
            .args(&["/c", "t.cmd"])
    };
    let whole = launch("a skill (x86)")
        .file(
            "a skill (x86)/bin/coze-workflow-x86_64-windows.exe",
            beside("coze-workflow.exe"),
        )
        .file(
            "a skill (x86)/bin/bcryptprimitives.dll",
            beside("bcryptprimitives.dll"),
        );
    whole.args(&["-w", "7"]).run("").is(0, SAID_HELLO, "");
    server.finish();

    let ended = launch("missing").arg("-V").run("");
    let error = &ended.responses()[0]["error"];
    assert_eq!((ended.code, &error["kind"]), (3, &"config".into()));
    let place = r"missing\scripts\..\bin\coze-workflow-x86_64-windows.exe";
    assert!(error["message"].as_str().unwrap().ends_with(place));
    assert!(ended.stderr.starts_with("coze-workflow: config: "));
}
