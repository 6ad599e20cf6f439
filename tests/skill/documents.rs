//! Every command of README.md and SKILL.md, run by a shell in the language it stands in, against the
//! stand-in Coze. A block that names the program is run, or it is marked, just before it, with
//! `<!-- not run by the tests: reason -->`.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::assembled::{can, program, skill, skip};
use crate::support::coze::{self, Counts, Coze, Options};
use crate::support::program::{Ended, KEY, Program};

/// What a reader puts in where a document says `7xxxxxxxxxxxxxxxxxx`, by the text that marks a block,
/// and what must come of it.
struct Trial {
    /// Stands in one block of each language, perhaps of both documents.
    mark: &'static str,
    workflow_id: &'static str,
    /// What the reader did before, in a shell.
    before: &'static str,
    files: &'static [(&'static str, &'static str)],
    argument: &'static str,
    /// The key lacks the permission `listRunHistory`.
    may_not_look: bool,
    /// How many times in a row it is run.
    times: usize,
    /// How many runs that starts in all.
    starts: u64,
    check: fn(&Outcome),
}

const TRIAL: Trial = Trial {
    mark: "",
    workflow_id: coze::ECHO,
    before: "",
    files: &[],
    argument: "",
    may_not_look: false,
    times: 1,
    starts: 1,
    check: |_| (),
};

const PROMPT: &str = "一只\"猫\"，坐在'窗台'上\nit's \\raining\\ $HOME";
const QUESTION: &str = r#"{"workflow_id":"7xxxxxxxxxxxxxxxxxx"}"#;
const WITH_QUOTES: &str =
    r#"{"workflow_id":"7xxxxxxxxxxxxxxxxxx","parameters":{"text":"\"a\"\nb"}}"#;

const README: &[Trial] = &[
    Trial {
        mark: "cp -r dist/coze-workflow",
        before: "mkdir -p ~/.openclaw/skills",
        starts: 0,
        check: |outcome| {
            let page = outcome.read(".openclaw/skills/coze-workflow/SKILL.md");
            assert!(page.starts_with("---\nname: coze-workflow\n"));
            outcome.ended.is(0, "", "");
        },
        ..TRIAL
    },
    Trial {
        mark: "--check requests.jsonl",
        workflow_id: coze::TYPED,
        files: &[(
            "requests.jsonl",
            r#"{"workflow_id":"7xxxxxxxxxxxxxxxxxx","parameters":{"inptu":"hi"}}"#,
        )],
        starts: 0,
        check: |outcome| {
            let report = &outcome.responses()[0];
            assert!(report["workflow"]["input"]["parameters"]["input"].is_object());
            let message = report["error"]["message"].as_str().unwrap();
            assert!(message.contains(r#"the nearest is "input""#), "{message}");
            assert_eq!((outcome.ended.code, outcome.counts.describes), (2, 1));
        },
        ..TRIAL
    },
    Trial {
        mark: "--check   ",
        check: |outcome| {
            let [report, response] = &outcome.responses()[..] else {
                panic!("two lines")
            };
            assert_eq!(
                (&report["reachable"], &report["http_status"]),
                (&json!(true), &json!(404))
            );
            outcome.is_echo(response, &json!({"input": outcome.hello()}));
        },
        ..TRIAL
    },
    Trial {
        mark: "while [ $status -eq 6 ]",
        argument: PROMPT,
        check: |outcome| {
            let result: Value = serde_json::from_str(&outcome.ended.stdout).unwrap();
            assert_eq!(result, json!({"output": {"text": PROMPT}}));
            assert_eq!((outcome.counts.run, outcome.ended.code), (1, 0));
        },
        ..TRIAL
    },
    Trial {
        mark: "while [ $status -eq 6 ]",
        workflow_id: coze::FAILS,
        check: |outcome| {
            assert_eq!((outcome.ended.code, &*outcome.ended.stdout), (1, ""));
            assert!(tells_failure(&outcome.ended.stderr));
        },
        ..TRIAL
    },
    Trial {
        mark: "while [ $status -eq 6 ]",
        may_not_look: true,
        check: |outcome| {
            assert_eq!((outcome.ended.code, &*outcome.ended.stdout), (6, ""));
            assert_eq!((outcome.counts.run, outcome.counts.stream_run), (1, 0));
            assert!(!outcome.read("run.json").contains(r#""execute_id":"""#));
        },
        ..TRIAL
    },
    Trial {
        mark: "*/10 6-8 * * *",
        before: "mkdir -p var/lib/report",
        files: &[
            ("etc/coze.json", r#"{"api_key":"pat_no_real_key"}"#),
            (
                "etc/report.json",
                r#"{"id":"report","workflow_id":"7xxxxxxxxxxxxxxxxxx","parameters":{"day":1}}"#,
            ),
        ],
        times: 2,
        check: |outcome| {
            let report = outcome.read("var/lib/report/2026-01-31.txt");
            assert_eq!(report, r#"{"output":{"day":1}}"#);
            let journal = outcome
                .ended
                .path()
                .join("var/lib/report/2026-01-31.journal");
            assert_eq!(fs::read_dir(journal).unwrap().count(), 1);
            let response = outcome.read("var/lib/report/2026-01-31.response");
            assert!(response.contains(r#""status":"Success""#), "{response}");
            outcome.ended.is(0, "", "");
        },
        ..TRIAL
    },
    Trial {
        mark: "-r --request",
        check: |outcome| {
            let prompt = outcome.in_language("a cat", "一只猫");
            outcome
                .ended
                .is(0, &format!(r#"{{"output":{{"prompt":"{prompt}"}}}}"#), "");
        },
        ..TRIAL
    },
    Trial {
        mark: "*/10 6-8 * * *",
        workflow_id: coze::FAILS,
        before: "mkdir -p var/lib/report",
        files: &[
            ("etc/coze.json", r#"{"api_key":"pat_no_real_key"}"#),
            ("etc/report.json", QUESTION),
        ],
        times: 2,
        check: |outcome| {
            outcome.ended.is(1, "", "");
            let told = outcome.read("var/lib/report/2026-01-31.log");
            assert!(tells_failure(&told), "{told}");
        },
        ..TRIAL
    },
    Trial {
        mark: ".image_url // empty",
        workflow_id: coze::ECHO,
        argument: PROMPT,
        check: |outcome| {
            assert_eq!((outcome.ended.code, &*outcome.ended.stdout), (1, ""));
            assert!(outcome.ended.stderr.starts_with("no image_url in {"));
        },
        ..TRIAL
    },
    Trial {
        mark: ".image_url // empty",
        workflow_id: coze::IMAGE,
        argument: PROMPT,
        check: |outcome| {
            outcome
                .ended
                .is(0, "https://image.example/cat.png?size=1024&sign=abc", "");
            let request: Value = serde_json::from_str(outcome.only_request()).unwrap();
            assert_eq!(request["parameters"], json!({"prompt": PROMPT}));
        },
        ..TRIAL
    },
    Trial {
        mark: ".image_url // empty",
        workflow_id: coze::UNPUBLISHED,
        starts: 0,
        check: |outcome| assert_eq!((outcome.ended.code, &*outcome.ended.stdout), (4, "")),
        ..TRIAL
    },
    Trial {
        mark: "rows.tsv",
        files: &[("rows.tsv", "id\ttext\r\nr1\t\"hello\"\r\nr2\t你好\r\n")],
        times: 2,
        starts: 2,
        check: |outcome| {
            let answers = outcome.read("answers.jsonl");
            let mut answers: Vec<Value> = answers
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            answers.sort_by_key(|answer| answer["id"].to_string());
            let ids: Vec<_> = answers.iter().map(|answer| &answer["id"]).collect();
            assert_eq!(ids, ["r1", "r2"]);
            outcome.is_echo(&answers[0], &json!({"text": "\"hello\""}));
            outcome.is_echo(&answers[1], &json!({"text": "你好"}));
        },
        ..TRIAL
    },
    // As comma-separated values, and in another encoding.
    Trial {
        mark: "rows.tsv",
        files: &[("rows.tsv", "id,text\nr1,hello\n")],
        starts: 0,
        check: |outcome| assert_ne!(outcome.ended.code, 0),
        ..TRIAL
    },
    Trial {
        mark: "rows.tsv",
        before: r"printf 'id\ttext\nr1\t\304\343\272\303\n' > rows.tsv",
        starts: 0,
        check: |outcome| assert!(outcome.ended.stderr.contains("not two columns of UTF-8")),
        ..TRIAL
    },
    Trial {
        mark: "--events request.json",
        files: &[("request.json", WITH_QUOTES)],
        check: |outcome| {
            let spoken = r#"正在处理，请稍候……{"output":{"text":"\"a\"\nb"}}"#;
            let response = outcome.ended.stdout.strip_prefix(spoken).unwrap();
            let response: Value = serde_json::from_str(response).unwrap();
            outcome.is_echo(&response, &json!({"text": "\"a\"\nb"}));
        },
        ..TRIAL
    },
    Trial {
        mark: "question.json",
        workflow_id: coze::QUESTION,
        files: &[("request.json", QUESTION)],
        check: |outcome| {
            let city = outcome.in_language("Hangzhou", "杭州");
            assert_eq!(
                outcome.responses()[0]["output"],
                format!(r#"{{"answer":"{city}"}}"#)
            );
            assert_eq!(outcome.counts.resumed.len(), 1);
        },
        ..TRIAL
    },
    // One that asks nothing.
    Trial {
        mark: "question.json",
        workflow_id: coze::FAILS,
        files: &[("request.json", QUESTION)],
        check: |outcome| {
            assert_eq!((outcome.ended.code, &*outcome.ended.stdout), (1, ""));
            assert!(outcome.read("question.json").contains("failed"));
        },
        ..TRIAL
    },
];

fn says_hello(outcome: &Outcome) {
    let [response] = &outcome.responses()[..] else {
        panic!("one line")
    };
    outcome.is_echo(response, &json!({"input": outcome.hello()}));
}

const SKILL: &[Trial] = &[
    Trial {
        mark: "--request",
        check: says_hello,
        ..TRIAL
    },
    Trial {
        mark: "echo '",
        check: says_hello,
        ..TRIAL
    },
    Trial {
        mark: "-o result.txt",
        files: &[("request.json", WITH_QUOTES)],
        check: |outcome| {
            assert_eq!(
                outcome.read("result.txt"),
                r#"{"output":{"text":"\"a\"\nb"}}"#
            );
            let response = &outcome.responses()[0];
            assert_eq!(
                (&response["output"], &response["output_file"]),
                (&json!(""), &json!("result.txt"))
            );
        },
        ..TRIAL
    },
    // A run that goes on.
    Trial {
        mark: "response.json",
        before: "coze-workflow -q --async --no-wait request.json > response.json; test $? -eq 6",
        files: &[("request.json", WITH_QUOTES)],
        check: |outcome| {
            outcome.is_echo(&outcome.responses()[0], &json!({"text": "\"a\"\nb"}));
            assert_eq!((outcome.counts.run, outcome.counts.stream_run), (1, 0));
        },
        ..TRIAL
    },
    // One that asks, with the answer put in.
    Trial {
        mark: "response.json",
        workflow_id: coze::QUESTION,
        before: r#"coze-workflow request.json | sed 's/}$/,"resume_data":"Hangzhou"}/' > response.json"#,
        files: &[("request.json", QUESTION)],
        check: |outcome| {
            assert_eq!(outcome.responses()[0]["output"], r#"{"answer":"Hangzhou"}"#);
            assert_eq!(outcome.counts.resumed.len(), 1);
        },
        ..TRIAL
    },
];

/// In the language of the commands that were typed.
fn tells_failure(stderr: &str) -> bool {
    ["failed", "失败"]
        .iter()
        .any(|word| stderr.contains(&format!("coze-workflow: {word}: ")))
}

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    try_all(&fs::read_to_string(readme).unwrap(), README);
}

#[test]
fn every_command_of_the_skills_page_does_what_it_says() {
    try_all(
        &fs::read_to_string(skill().join("SKILL.md")).unwrap(),
        SKILL,
    );
}

#[test]
fn a_command_that_is_neither_tried_nor_marked_is_found() {
    let page = |mark: &str| format!("text\n{mark}\n```sh\n# why\ncoze-workflow a.json # so\n```\n");
    let found = blocks(&page(""));
    assert_eq!(
        (found[0].text.as_str(), found[0].is_marked),
        ("# why\ncoze-workflow a.json # so\n", false)
    );
    assert!(blocks(&page("<!-- not run by the tests: reason -->"))[0].is_marked);
    assert!(!blocks(&page("<!-- not run by the tests: -->"))[0].is_marked);
    assert!(names_program("x | coze-workflow -r") && !names_program("make # bin/coze-workflow"));
    assert_eq!(
        inline_command("so: `coze-workflow -r FILE`."),
        Some("coze-workflow -r FILE")
    );
    assert_eq!(
        inline_command("`coze-workflow` and `dist/coze-workflow`"),
        None
    );
}

/// Runs all blocks of a document that name the program, with every trial that fits.
#[track_caller]
fn try_all(page: &str, trials: &[Trial]) {
    assert_eq!(
        page.lines().find_map(inline_command),
        None,
        "a command in a line is not run: give it a block"
    );
    let (english, chinese) = page.split_once("\n## 中文\n").unwrap();
    for (language, part) in [(Language::English, english), (Language::Chinese, chinese)] {
        let mut blocks = blocks(part);
        blocks.retain(|block| names_program(&block.text) && !block.is_marked);
        for block in &blocks {
            let tried = trials.iter().any(|trial| block.text.contains(trial.mark));
            assert!(tried, "neither run nor marked:\n{}", block.text);
        }
        for trial in trials {
            let fits: Vec<_> = blocks
                .iter()
                .filter(|block| block.text.contains(trial.mark))
                .collect();
            let [block] = fits[..] else {
                panic!("{} blocks for {:?}", fits.len(), trial.mark)
            };
            if block.text.contains("jq ") && !can("jq", &["--version"]) {
                skip(&format!("{:?} in a document", trial.mark), "there is no jq");
            } else {
                run(language, &block.text, trial);
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    English,
    Chinese,
}

/// What came of a block.
struct Outcome {
    language: Language,
    ended: Ended,
    counts: Counts,
}

impl Outcome {
    fn in_language<'a>(&self, english: &'a str, chinese: &'a str) -> &'a str {
        match self.language {
            Language::English => english,
            Language::Chinese => chinese,
        }
    }

    fn hello(&self) -> &'static str {
        self.in_language("hello", "你好")
    }

    fn responses(&self) -> Vec<Value> {
        self.ended.responses()
    }

    #[track_caller]
    fn is_echo(&self, response: &Value, parameters: &Value) {
        let output = response["output"].as_str().unwrap();
        assert_eq!(response["status"], "Success");
        assert_eq!(
            serde_json::from_str::<Value>(output).unwrap()["output"],
            *parameters
        );
        assert_eq!(self.ended.code, 0);
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.ended.path().join(name)).unwrap()
    }

    fn only_request(&self) -> &str {
        assert_eq!(self.counts.started.len(), 1);
        self.counts.started.keys().next().unwrap()
    }
}

/// Runs a block as its reader would, who has put in a workflow and a key.
#[track_caller]
fn run(language: Language, block: &str, trial: &Trial) {
    let coze = Coze::start(Options {
        may_look: !trial.may_not_look,
        ..Options::default()
    });
    let filled = |text: &str| text.replace("7xxxxxxxxxxxxxxxxxx", trial.workflow_id);
    let tools = tools();
    let path = format!("{}:{}", tools.path().display(), env::var("PATH").unwrap());
    let mut shell = Program::other("/bin/sh")
        .env("PATH", path)
        .env("COZE_API_KEY", KEY)
        .env("COZE_BASE_URL", coze.url())
        .env(
            "LANG",
            match language {
                Language::English => "en_US.UTF-8",
                Language::Chinese => "zh_CN.UTF-8",
            },
        );
    for (name, content) in trial.files {
        shell = shell.file(name, filled(content));
    }
    let home = shell.path().display().to_string();
    let block = as_script(&filled(block), &home, tools.path()).repeat(trial.times);
    let script = format!("{}\n{block}", trial.before);
    // Shown when the test fails.
    eprintln!("{language:?}:\n{script}");
    let ended = shell.args(&["-c", &script, "sh", trial.argument]).run("");
    let counts = coze.counts();
    eprintln!("{}: {}{}", ended.code, ended.stdout, ended.stderr);
    let starts: u64 = counts.started.values().sum();
    assert_eq!(starts, trial.starts, "{counts:?}");
    (trial.check)(&Outcome {
        language,
        ended,
        counts,
    });
}

/// The program by its name, and a date that never changes.
fn tools() -> TempDir {
    let tools = TempDir::new().unwrap();
    symlink(program(), tools.path().join("coze-workflow")).unwrap();
    let date = tools.path().join("date");
    fs::write(&date, "#!/bin/sh\n[ \"$*\" = +%F ] && echo 2026-01-31\n").unwrap();
    crate::assembled::set_mode(&date, 0o755);
    tools
}

/// The block with its directories and its placeholders filled in; a line of a crontab as cron runs it.
fn as_script(block: &str, home: &str, tools: &Path) -> String {
    let block = match block.split_once("* * *  ") {
        Some((_, command)) => command.replace("\\%", "%"),
        None => block.to_owned(),
    };
    block
        .replace("/usr/local/bin", tools.to_str().unwrap())
        .replace("/var/lib/", &format!("{home}/var/lib/"))
        .replace("/etc/", &format!("{home}/etc/"))
        .replace("dist/coze-workflow", skill().to_str().unwrap())
        .replace("{baseDir}/..", skill().parent().unwrap().to_str().unwrap())
        .replace("{baseDir}", skill().to_str().unwrap())
        .replace("=pat_xxx", &format!("={KEY}"))
}

/// A block of code, and whether it says that it is not run.
struct Block {
    text: String,
    is_marked: bool,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    let mut before = "";
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let inside = lines.by_ref().take_while(|line| !line.starts_with("```"));
            let reason = before.strip_prefix("<!-- not run by the tests: ");
            blocks.push(Block {
                text: inside.flat_map(|line| [line, "\n"]).collect(),
                is_marked: reason.is_some_and(|reason| reason.len() > " -->".len()),
            });
        }
        before = line;
    }
    blocks
}

/// Whether the program is called, not only spoken of.
fn names_program(block: &str) -> bool {
    let code = block
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    code.into_iter().any(|code| code.contains("coze-workflow"))
}

/// A call of the program in the middle of a sentence.
fn inline_command(line: &str) -> Option<&str> {
    let mut codes = line.split('`').skip(1).step_by(2);
    codes.find(|code| code.starts_with("coze-workflow ") || code.contains("coze-workflow.sh\" "))
}
