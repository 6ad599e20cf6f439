//! What README.md says of other ways to call Coze. Each is called as the benchmark calls it, against
//! answers that go wrong; the SDKs are there when `make bench` has installed them, and are left out
//! aloud when it has not. The figures are held to the benchmark's page.

use std::fs;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::assembled::{can, skip};
use crate::support::program::{Ended, Program};
use crate::support::server::{Exchange, Server};
use crate::support::stream::stream_run;

const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/clients");
const BODY: &str = r#"{"workflow_id":"7","parameters":{}}"#;
const REFUSAL: &str = r#"{"code":4200,"msg":"Workflow not published as API"}"#;
const HISTORY: &str = r#"{"code":0,"data":[{"execute_status":"Success","execute_id":"9","output":"{\"Output\":\"one two three\",\"node_status\":\"{}\"}"}]}"#;

#[test]
fn a_refusal_with_http_200_is_an_empty_result_to_the_script_and_to_javascript() {
    let refusal = || vec![stream_run().json(200, REFUSAL)];
    let ours = ours(refusal());
    assert_eq!(ours.code, 4);
    assert!(
        ours.stderr.contains("publish the workflow"),
        "{}",
        ours.stderr
    );
    if let Some(script) = script(refusal()) {
        script.is(0, "", "");
    }
    for sdk in sdks() {
        let ended = sdk.call(refusal());
        assert_eq!((ended.code != 0, &*ended.stdout), (sdk.is_python(), ""));
    }
}

#[test]
fn a_stream_that_is_cut_is_a_result_to_the_script_and_to_javascript() {
    let cut = || vec![stream_run().sse(said(0, "one ")).fin()];
    let ours = ours(cut());
    assert_eq!(ours.code, 8);
    assert!(
        ours.stdout.contains(r#""output":"one ""#),
        "{}",
        ours.stdout
    );
    if let Some(script) = script(cut()) {
        script.is(0, "one ", "");
    }
    for sdk in sdks() {
        let ended = sdk.call(cut());
        assert_eq!(ended.stdout.trim_end_matches('\n'), "one ");
        assert_eq!(ended.code != 0, sdk.is_python());
    }
}

#[test]
fn a_missing_piece_is_fetched_and_nobody_else_misses_it() {
    let hole = || vec![stream_run().sse(said(0, "one ") + &said(2, "three") + &done(3))];
    let poll = Exchange::get("/v1/workflows/7/run_histories/9").json(200, HISTORY);
    let ours = ours(hole().into_iter().chain([poll]).collect());
    assert_eq!(ours.responses()[0]["output"], "one two three");
    assert_eq!(ours.code, 0);
    if let Some(script) = script(hole()) {
        script.is(0, "one \nthree", "");
    }
    for sdk in sdks() {
        let ended = sdk.call(hole());
        assert_eq!((ended.code, &*ended.stdout), (0, "one \nthree\n"));
    }
}

/// The run may be under way when a gateway has lost patience.
#[test]
fn after_a_lost_answer_only_curl_that_is_told_to_retry_sends_again() {
    let lost = || stream_run().answer(504, "text/html", "<html>Gateway Time-out</html>");
    assert_eq!(ours(vec![lost()]).code, 8);
    if can("curl", &["--version"]) {
        // Each server sees to it that exactly these requests came.
        let server = Server::start(vec![lost(), lost()]);
        let url = format!("{}/v1/workflow/stream_run", server.url());
        let retry = ["-s", "--retry", "1", "--retry-delay", "1", "-d", BODY, &url];
        assert_eq!(Program::other("curl").args(&retry).run("").code, 0);
        server.finish();
    } else {
        skip("curl that retries", "there is no curl");
    }
    for sdk in sdks() {
        assert_ne!(sdk.call(vec![lost()]).code, 0);
    }
}

#[test]
fn the_figures_of_the_readme_are_those_of_the_benchmark() {
    let page =
        |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let (bench, readme) = (page("tests/bench/README.md"), page("README.md"));
    for (measured, told) in [
        (
            "a tiny run over HTTP: wall",
            ["a tiny run, start to end", "一次短运行的全部用时"],
        ),
        (
            "size on disk, all that it needs",
            ["size, with all it needs", "连同依赖的大小"],
        ),
    ] {
        let mut measured = cells(&bench, measured);
        // curl alone, which no script can do with.
        measured.remove(1);
        for told in told {
            let told = cells(&readme, told);
            assert_eq!(told.len(), measured.len());
            for (told, measured) in told.iter().zip(&measured) {
                let ratio = told / measured;
                assert!((0.75..1.33).contains(&ratio), "{told} for {measured}");
            }
        }
    }
}

/// The numbers in the row of a table that begins like this.
#[track_caller]
fn cells(page: &str, row: &str) -> Vec<f64> {
    let row = format!("| {row} |");
    let row = page.lines().find_map(|line| line.strip_prefix(&row));
    let cells = row.expect("the row").trim_end_matches('|').split('|');
    let number = |cell: &str| cell.trim().split(' ').next()?.parse().ok();
    cells.map(|cell| number(cell).expect("a number")).collect()
}

fn said(id: usize, content: &str) -> String {
    format!(
        "id: {id}\nevent: Message\ndata: {{\"content\":\"{content}\",\"node_is_finish\":false,\"node_seq_id\":\"{id}\",\"node_title\":\"End\",\"node_type\":\"End\"}}\n\n"
    )
}

fn done(id: usize) -> String {
    let url = "https://www.coze.cn/work_flow?execute_id=9";
    format!("id: {id}\nevent: Done\ndata: {{\"debug_url\":\"{url}\"}}\n\n")
}

fn ours(answers: Vec<Exchange>) -> Ended {
    let server = Server::start(answers);
    let ended = Program::at(&server.url()).run(BODY);
    server.finish();
    ended
}

/// None, once that is said, where its tools are not here.
fn script(answers: Vec<Exchange>) -> Option<Ended> {
    for tool in ["curl", "jq"] {
        if !can(tool, &["--version"]) {
            skip("curl, grep and jq", &format!("there is no {tool}"));
            return None;
        }
    }
    let pipe = Program::other("sh").args(&[&format!("{CLIENTS}/script.sh"), BODY]);
    Some(call(pipe, answers))
}

fn call(client: Program, answers: Vec<Exchange>) -> Ended {
    let server = Server::start(answers);
    let ended = client
        .env("PATH", std::env::var("PATH").unwrap())
        .env("COZE_API_BASE", server.url())
        .env("COZE_API_TOKEN", "pat_xxx")
        .env("COZE_WORKFLOW_ID", "7")
        .env("COZE_PARAMETERS", "{}")
        .env("PYTHONWARNINGS", "ignore")
        .run("");
    server.finish();
    ended
}

#[derive(Debug)]
enum Sdk {
    Python {
        interpreter: String,
        packages: PathBuf,
    },
    JavaScript {
        project: PathBuf,
    },
}

impl Sdk {
    fn is_python(&self) -> bool {
        matches!(self, Self::Python { .. })
    }

    fn call(&self, answers: Vec<Exchange>) -> Ended {
        let client = match self {
            Self::Python {
                interpreter,
                packages,
            } => Program::other(interpreter)
                .arg(&format!("{CLIENTS}/python.py"))
                .env("PYTHONPATH", packages),
            Self::JavaScript { project } => {
                Program::other("node").arg(project.join("javascript.mjs").to_str().unwrap())
            }
        };
        call(client, answers)
    }
}

/// Those that `make bench` has installed.
fn sdks() -> Vec<Sdk> {
    let installed = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
    let (packages, project) = (installed.join("python"), installed.join("javascript"));
    let mut sdks = Vec::new();
    // Not what PATH names, which may be a script that chooses among versions.
    let executable = ["-c", "import sys; print(sys.executable)"];
    let interpreter = Command::new("python3").args(executable).output();
    match interpreter.map(|output| String::from_utf8(output.stdout).unwrap()) {
        Ok(interpreter) if packages.join("cozepy").exists() => sdks.push(Sdk::Python {
            interpreter: interpreter.trim_end().to_owned(),
            packages,
        }),
        _ => say("cozepy"),
    }
    if project.join("node_modules/@coze/api").exists() && can("node", &["--version"]) {
        // An import is looked for from where the importing file is.
        let client = Path::new(CLIENTS).join("javascript.mjs");
        fs::copy(client, project.join("javascript.mjs")).unwrap();
        sdks.push(Sdk::JavaScript { project });
    } else {
        say("@coze/api");
    }
    sdks
}

/// Past the harness, which shows nothing of a test that passed.
fn say(sdk: &str) {
    let _ = writeln!(stderr(), "skipped: {sdk}: make bench installs it");
}
