//! What is tried of each document: the workflow and the files that a reader puts in, and what must
//! come of it.

use std::fs;

use serde_json::{Value, json};

use crate::documents::Outcome;
use crate::support::coze;

/// What a reader puts in where a document says `7xxxxxxxxxxxxxxxxxx` or `7…`, by the text that marks a
/// block, and what must come of it.
pub(crate) struct Trial {
    /// Is in one block of each language, perhaps of several documents.
    pub(crate) mark: &'static str,
    pub(crate) workflow_id: &'static str,
    /// What the reader did before, in a shell.
    pub(crate) before: &'static str,
    pub(crate) files: &'static [(&'static str, &'static str)],
    pub(crate) argument: &'static str,
    /// The key lacks the permission `listRunHistory`.
    pub(crate) may_not_look: bool,
    /// How many times in a row it is run.
    pub(crate) times: usize,
    /// How many runs that starts in all.
    pub(crate) starts: u64,
    pub(crate) check: fn(&Outcome),
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

const IMAGE_URL: &str = "https://image.example/cat.png?size=1024&sign=abc";
const PROMPT: &str = "一只\"猫\"，坐在'窗台'上\nit's \\raining\\ $HOME";
const QUESTION: &str = r#"{"workflow_id":"7xxxxxxxxxxxxxxxxxx"}"#;
const WITH_QUOTES: &str =
    r#"{"workflow_id":"7xxxxxxxxxxxxxxxxxx","parameters":{"text":"\"a\"\nb"}}"#;

pub(crate) const README: &[Trial] = &[
    Trial {
        mark: "--check -w",
        check: |outcome| {
            let [report, response] = &outcome.responses()[..] else {
                panic!("two lines")
            };
            assert_eq!(report["workflow"]["name"], "stand_in");
            assert_eq!(outcome.counts.describes, 1);
            outcome.is_echo(response, &json!({"input": outcome.hello()}));
        },
        ..TRIAL
    },
    Trial {
        mark: "--get image_url",
        workflow_id: coze::IMAGE,
        argument: PROMPT,
        check: |outcome| {
            outcome.ended.is(0, IMAGE_URL, "");
            let request: Value = serde_json::from_str(outcome.only_request()).unwrap();
            assert_eq!(request["parameters"], json!({"prompt": PROMPT}));
        },
        ..TRIAL
    },
    Trial {
        mark: "--get image_url",
        argument: PROMPT,
        check: |outcome| {
            assert_eq!((outcome.ended.code, &*outcome.ended.stdout), (9, ""));
            assert!(outcome.ended.stderr.contains(r#""status":"Success""#));
        },
        ..TRIAL
    },
    Trial {
        mark: "--get image_url",
        workflow_id: coze::UNPUBLISHED,
        starts: 0,
        check: |outcome| assert_eq!((outcome.ended.code, &*outcome.ended.stdout), (4, "")),
        ..TRIAL
    },
    Trial {
        mark: "image@cat.png",
        files: &[
            ("cat.png", "no picture"),
            ("prompt.txt", PROMPT),
            ("options.json", r#"{"size":[1,2.50]}"#),
        ],
        check: |outcome| {
            let result: Value = serde_json::from_str(&outcome.read("result.json")).unwrap();
            assert!(
                result["output"]["image"]
                    .as_str()
                    .unwrap()
                    .contains("file_id")
            );
            assert_eq!(result["output"]["prompt"], PROMPT);
            assert_eq!(result["output"]["options"], json!({"size": [1, 2.50]}));
            assert_eq!((outcome.ended.code, outcome.counts.uploads), (0, 1));
        },
        ..TRIAL
    },
    Trial {
        mark: "MAILTO=",
        before: "mkdir -p var/lib/report && mv request.json var/lib/report",
        files: &[
            ("etc/coze.json", r#"{"api_key":"pat_no_real_key"}"#),
            ("request.json", WITH_QUOTES),
        ],
        times: 2,
        check: |outcome| {
            outcome.ended.is(0, "", "");
            let report = outcome.read("var/lib/report/report.txt");
            assert_eq!(report, r#"{"output":{"text":"\"a\"\nb"}}"#);
            let journal = outcome.ended.path().join("var/lib/report/2026-01-31");
            assert_eq!(fs::read_dir(journal).unwrap().count(), 1);
            let response = outcome.read("var/lib/report/response.json");
            assert!(response.contains(r#""status":"Success""#), "{response}");
        },
        ..TRIAL
    },
    // What cron would mail.
    Trial {
        mark: "MAILTO=",
        workflow_id: coze::FAILS,
        before: "mkdir -p var/lib/report && mv request.json var/lib/report",
        files: &[
            ("etc/coze.json", r#"{"api_key":"pat_no_real_key"}"#),
            ("request.json", QUESTION),
        ],
        check: |outcome| {
            assert_eq!((outcome.ended.code, &*outcome.ended.stdout), (1, ""));
            assert!(tells_failure(&outcome.ended.stderr));
        },
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
        mark: "resume_data",
        workflow_id: coze::QUESTION,
        check: answered_with_a_city,
        ..TRIAL
    },
    // One that asks nothing.
    Trial {
        mark: "resume_data",
        workflow_id: coze::FAILS,
        check: |outcome| {
            assert_ne!(outcome.ended.code, 0);
            assert_eq!(outcome.ended.stdout, "");
            assert!(outcome.read("q.json").contains("failed"));
        },
        ..TRIAL
    },
    // As after a kill; the kill itself has a test of its own.
    Trial {
        mark: KILLED,
        times: 2,
        check: |outcome| {
            let [first, second] = &outcome.responses()[..] else {
                panic!("two lines")
            };
            outcome.is_echo(first, &json!({"input": outcome.hello()}));
            assert_eq!(second["journal"], true);
            assert_eq!(first["execute_id"], second["execute_id"]);
        },
        ..TRIAL
    },
];

/// The recipe for a run whose program was killed.
pub(crate) const KILLED: &str = "--journal journal -w";

/// Of the page of engines, what is no engine; the tests beside it run the rest.
pub(crate) const ENGINES: &[Trial] = &[
    Trial {
        mark: SCRIPT,
        argument: PROMPT,
        check: |outcome| {
            let result: Value = serde_json::from_str(&outcome.ended.stdout).unwrap();
            assert_eq!(result, json!({"output": {"text": PROMPT}}));
            assert_eq!((outcome.counts.run, outcome.ended.code), (1, 0));
        },
        ..TRIAL
    },
    Trial {
        mark: SCRIPT,
        workflow_id: coze::FAILS,
        check: |outcome| {
            assert_eq!((outcome.ended.code, &*outcome.ended.stdout), (1, ""));
            assert!(tells_failure(&outcome.ended.stderr));
        },
        ..TRIAL
    },
    Trial {
        mark: SCRIPT,
        may_not_look: true,
        check: |outcome| {
            assert_eq!((outcome.ended.code, &*outcome.ended.stdout), (6, ""));
            assert_eq!((outcome.counts.run, outcome.counts.stream_run), (1, 0));
            assert!(!outcome.read("run.json").contains(r#""execute_id":"""#));
        },
        ..TRIAL
    },
];

pub(crate) const SCRIPT: &str = "while [ $status -eq 6 ]";

pub(crate) const SKILL: &[Trial] = &[
    Trial {
        mark: "-p input=",
        check: says_hello,
        ..TRIAL
    },
    Trial {
        mark: "--check",
        workflow_id: coze::TYPED,
        starts: 0,
        check: |outcome| {
            let report = &outcome.responses()[0];
            assert!(report["workflow"]["input"]["parameters"]["input"].is_object());
            // It lacks a parameter.
            assert_eq!((outcome.ended.code, outcome.counts.describes), (2, 1));
        },
        ..TRIAL
    },
    Trial {
        mark: "--get output",
        files: &[("prompt.txt", PROMPT)],
        check: gives_the_prompt_back,
        ..TRIAL
    },
    Trial {
        mark: "--journal",
        files: &[(
            "request.json",
            r#"{"id":"cat-1","workflow_id":"7xxxxxxxxxxxxxxxxxx","parameters":{"prompt":"a cat"}}"#,
        )],
        times: 2,
        check: |outcome| {
            let responses = outcome.responses();
            outcome.is_echo(&responses[0], &json!({"prompt": "a cat"}));
            assert_eq!(
                (responses.len(), &responses[1]["journal"]),
                (2, &json!(true))
            );
            assert_eq!((outcome.counts.run, outcome.counts.stream_run), (1, 0));
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

/// Of the page about the skill, for people.
pub(crate) const SKILL_PAGE: &[Trial] = &[
    Trial {
        mark: "cp -R dist/coze-workflow/.",
        // Installed before, with a key in it.
        before: "mkdir -p .openclaw/skills/coze_workflow; echo '{\"api_key\":\"pat_mine\"}' > .openclaw/skills/coze_workflow/config.json",
        starts: 0,
        check: |outcome| {
            let page = outcome.read(".openclaw/skills/coze_workflow/SKILL.md");
            assert!(page.starts_with("---\nname: coze-workflow\n"));
            let kept = outcome.read(".openclaw/skills/coze_workflow/config.json");
            assert_eq!(kept, "{\"api_key\":\"pat_mine\"}\n");
            assert_eq!(outcome.responses()[0]["reachable"], true);
            assert_eq!((outcome.ended.code, &*outcome.ended.stderr), (0, ""));
        },
        ..TRIAL
    },
    Trial {
        mark: "$workflow_id",
        before: "workflow_id=7xxxxxxxxxxxxxxxxxx",
        argument: PROMPT,
        check: gives_the_prompt_back,
        ..TRIAL
    },
    // Without the field.
    Trial {
        mark: "$workflow_id",
        workflow_id: coze::IMAGE,
        before: "workflow_id=7xxxxxxxxxxxxxxxxxx",
        argument: PROMPT,
        check: |outcome| {
            assert_eq!((outcome.ended.code, &*outcome.ended.stdout), (9, ""));
            assert!(outcome.ended.stderr.contains("image_url"));
        },
        ..TRIAL
    },
    Trial {
        mark: "$workflow_id",
        workflow_id: coze::UNPUBLISHED,
        before: "workflow_id=7xxxxxxxxxxxxxxxxxx",
        argument: PROMPT,
        starts: 0,
        check: |outcome| assert_eq!((outcome.ended.code, &*outcome.ended.stdout), (4, "")),
        ..TRIAL
    },
    Trial {
        mark: "--journal journal",
        argument: "cat-1",
        times: 2,
        check: |outcome| {
            let prompt = outcome.in_language("a cat", "一只猫");
            let line = format!(r#"{{"prompt":"{prompt}"}}"#);
            outcome.ended.is(0, &format!("{line}\n{line}"), "");
            assert_eq!((outcome.counts.run, outcome.counts.stream_run), (1, 0));
        },
        ..TRIAL
    },
];

/// The examples at the end of the help, and so of the manual pages.
pub(crate) const HELP: &[Trial] = &[
    Trial {
        mark: "echo '",
        check: |outcome| {
            let hi = outcome.in_language("hi", "你好");
            outcome.is_echo(&outcome.responses()[0], &json!({"input": hi}));
        },
        ..TRIAL
    },
    Trial {
        mark: "image@cat.png",
        files: &[("cat.png", "no picture")],
        check: |outcome| {
            let output = outcome.responses()[0]["output"]
                .as_str()
                .unwrap()
                .to_owned();
            assert!(
                output.contains(r#""days":3"#) && output.contains("file_id"),
                "{output}"
            );
            assert_eq!((outcome.ended.code, outcome.counts.uploads), (0, 1));
        },
        ..TRIAL
    },
    Trial {
        mark: "-r request.json",
        files: &[("request.json", WITH_QUOTES)],
        check: |outcome| {
            let answer = outcome.read("answer.txt");
            assert_eq!(answer, "{\"output\":{\"text\":\"\\\"a\\\"\\nb\"}}\n");
        },
        ..TRIAL
    },
    Trial {
        mark: "--no-wait",
        files: &[("request.json", WITH_QUOTES)],
        check: |outcome| {
            outcome.is_echo(&outcome.responses()[0], &json!({"text": "\"a\"\nb"}));
            assert_eq!((outcome.counts.run, outcome.counts.stream_run), (1, 0));
        },
        ..TRIAL
    },
    Trial {
        mark: "question.json",
        workflow_id: coze::QUESTION,
        files: &[("request.json", QUESTION)],
        check: answered_with_a_city,
        ..TRIAL
    },
    Trial {
        mark: "-j 4",
        files: &[(
            "requests.jsonl",
            "{\"id\":1,\"workflow_id\":\"7xxxxxxxxxxxxxxxxxx\"}\n{\"id\":2,\"workflow_id\":\"7xxxxxxxxxxxxxxxxxx\"}\n",
        )],
        times: 2,
        starts: 2,
        check: |outcome| {
            let answers = outcome.read("answers.jsonl");
            assert_eq!(answers.matches(r#""journal":true"#).count(), 2, "{answers}");
        },
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
    // The report of a rehearsal, as it is told there.
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
];

fn says_hello(outcome: &Outcome) {
    let [response] = &outcome.responses()[..] else {
        panic!("one line")
    };
    outcome.is_echo(response, &json!({"input": outcome.hello()}));
}

/// `--get output` of a workflow that gives its parameters back.
fn gives_the_prompt_back(outcome: &Outcome) {
    let output: Value = serde_json::from_str(&outcome.ended.stdout).unwrap();
    assert_eq!(output, json!({"prompt": PROMPT}));
    assert_eq!((outcome.ended.code, &*outcome.ended.stderr), (0, ""));
}

fn answered_with_a_city(outcome: &Outcome) {
    let city = outcome.in_language("Hangzhou", "杭州");
    let response = &outcome.responses()[0];
    assert_eq!(response["output"], format!(r#"{{"answer":"{city}"}}"#));
    assert_eq!(outcome.counts.resumed.len(), 1);
}

/// In the language of the commands that were typed.
fn tells_failure(stderr: &str) -> bool {
    ["failed", "失败"]
        .iter()
        .any(|word| stderr.contains(&format!("coze-workflow: {word}: ")))
}
