//! Every command of the documents, run by a shell in the language it is told in, against the stand-in
//! Coze: README.md, SKILL.md and the page of the skill, the examples of the help, the script of the
//! page of engines. A block that names the program is run, or it is marked, just before it, with
//! `<!-- not run by the tests: reason -->`. What a terminal shows is compared as well.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::assembled::{can, program, skill, skip};
use crate::support::coze::{self, Counts, Coze, Options};
use crate::support::program::{Ended, KEY, Program};
use crate::support::terminal;
use crate::trials::{self, Trial};

const PAGES: [&str; 7] = [
    "README.md",
    "src/README.md",
    "src/skill/README.md",
    "src/skill/SKILL.md",
    "src/static/README.md",
    "tests/bench/README.md",
    "tests/engines/README.md",
];

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    try_all(&page("README.md"), trials::README);
}

#[test]
fn every_command_of_the_skills_page_does_what_it_says() {
    try_all(
        &fs::read_to_string(skill().join("SKILL.md")).unwrap(),
        trials::SKILL,
    );
    try_all(&page("src/skill/README.md"), trials::SKILL_PAGE);
}

#[test]
fn every_example_of_the_help_does_what_it_says() {
    for (language, file, heading) in [
        (Language::English, "en.txt", "\nExamples:\n"),
        (Language::Chinese, "zh.txt", "\n示例：\n"),
    ] {
        let help = page(&format!("src/cli/help/{file}"));
        let (_, examples) = help.split_once(heading).unwrap();
        let of_code = |block: &&str| block.starts_with("    ");
        let blocks = examples.split("\n\n").filter(of_code).map(|text| Block {
            text: text.to_owned() + "\n",
            is_marked: false,
        });
        try_blocks(language, blocks.collect(), trials::HELP);
    }
}

/// The tests beside that page run its other blocks.
#[test]
fn the_script_of_the_page_of_engines_does_what_it_says() {
    let page = page("tests/engines/README.md");
    for (language, part) in in_languages(&page) {
        let mut blocks = blocks(part);
        blocks.retain(|block| block.text.contains(trials::SCRIPT));
        try_blocks(language, blocks, trials::ENGINES);
    }
}

#[test]
fn the_recipe_for_a_killed_run_finds_it_after_a_kill() {
    let page = page("README.md");
    for (language, part) in in_languages(&page) {
        let mut blocks = blocks(part);
        blocks.retain(|block| block.text.contains(trials::KILLED));
        let block = blocks.remove(0).text.replace(PLACEHOLDER, coze::SLOW);
        let coze = Coze::start(Options::default());
        let tools = tools();
        let directory = TempDir::new().unwrap();
        let command = format!("cd {} && exec {block}", directory.path().display());
        let shell = || reader(language, &coze, &tools).args(&["-c", &command]);
        let mut running = shell().start();
        let journal = directory.path().join("journal");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !contains(&journal, r#""started""#) {
            assert!(Instant::now() < deadline, "no execute_id in the journal");
            thread::sleep(Duration::from_millis(5));
        }
        running.kill();
        drop(running);
        let ended = shell().run("");
        assert_eq!(ended.responses()[0]["status"], "Success", "{block}");
        assert_eq!((ended.code, coze.counts().run), (0, 1));
    }
}

#[test]
fn a_terminal_shows_what_the_readme_shows() {
    let page = page("README.md");
    for (language, part) in in_languages(&page) {
        let mut lines = part
            .lines()
            .skip_while(|line| *line != "```console")
            .skip(1);
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        assert!(!lines.any(|line| line == "```console"), "only one is tried");
        let coze = Coze::start(Options::default());
        let tools = tools();
        let mut exchanges = block.split(|line| line.starts_with("$ ")).skip(1);
        for command in block.iter().filter_map(|line| line.strip_prefix("$ ")) {
            let expected = exchanges.next().unwrap();
            let (terminal, end) = terminal::open(400);
            let shell = reader(language, &coze, &tools).args(&["-c", command]);
            let shell = shell
                .env("TERM", "dumb")
                .stdout_to(end.try_clone().unwrap());
            shell.stderr_to(end).run("");
            let (screen, _) = terminal.finish();
            let shown: Vec<_> = screen.lines().collect();
            assert_eq!(shown.len(), expected.len(), "{command}: {screen}");
            for (shown, expected) in shown.into_iter().zip(expected) {
                let (shown, expected) = (without_time(shown), without_time(expected));
                let is_it = match expected.strip_suffix('…') {
                    Some(beginning) => shown.starts_with(beginning),
                    None => shown == expected,
                };
                assert!(is_it, "{command}: {shown} for {expected}");
            }
        }
    }
}

#[test]
fn the_readme_is_short_and_begins_with_what_can_be_tried() {
    let page = page("README.md");
    assert!(page.lines().count() <= 250);
    for (_, part) in in_languages(&page) {
        let beginning: Vec<_> = part.lines().take(25).collect();
        for command in ["$ coze-workflow ", "make demo ", "make test "] {
            let is_there = beginning.iter().any(|line| line.starts_with(command));
            assert!(is_there, "{command}");
        }
    }
}

#[test]
fn both_languages_of_the_readme_have_the_same_commands() {
    let page = page("README.md");
    let commands = in_languages(&page).map(|(_, part)| {
        let code = blocks(part).into_iter().flat_map(|block| {
            let lines = block
                .text
                .lines()
                .map(|line| line.split(" # ").next().unwrap().trim_end());
            let commands = lines.filter(|line| line.starts_with("make") || names_program(line));
            let first =
                commands.map(|line| line.split(['"', '=', '你']).next().unwrap().to_owned());
            first.collect::<Vec<_>>()
        });
        code.collect::<Vec<_>>()
    });
    assert_eq!(commands[0], commands[1]);
    assert!(commands[0].len() > 12, "{commands:?}");
}

#[test]
fn every_link_between_the_pages_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in PAGES {
        let text = page(name);
        for link in text
            .split("](")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap())
        {
            if link.starts_with("https://") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => root.join(name),
                path => root.join(name).parent().unwrap().join(path),
            };
            assert!(target.exists(), "{name} links {link}");
            if !heading.is_empty() {
                let target = fs::read_to_string(target).unwrap().to_lowercase();
                let is_there = target.contains(&format!("\n## {heading}\n"));
                assert!(is_there, "{name} links {link}");
            }
        }
    }
}

#[test]
fn every_target_of_make_that_is_named_is_there() {
    let makefile = page("Makefile");
    let mut found = 0;
    for name in PAGES {
        let text = page(name);
        let inline = text.split('`').skip(1).step_by(2);
        let commands = inline.chain(text.lines());
        for command in commands.filter_map(|code| code.strip_prefix("make ")) {
            let target = command.split(' ').next().unwrap();
            assert!(
                makefile.contains(&format!("\n{target}:")),
                "{name}: make {target}"
            );
            found += 1;
        }
    }
    assert!(found > 20, "{found}");
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
    for (language, part) in in_languages(page) {
        try_blocks(language, blocks(part), trials);
    }
}

#[track_caller]
fn try_blocks(language: Language, mut blocks: Vec<Block>, trials: &[Trial]) {
    // Another test compares what a terminal shows.
    let is_screen = |block: &Block| block.text.starts_with("$ ");
    blocks.retain(|block| names_program(&block.text) && !block.is_marked && !is_screen(block));
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

fn in_languages(page: &str) -> [(Language, &str); 2] {
    let (english, chinese) = page.split_once("\n## 中文\n").unwrap();
    [(Language::English, english), (Language::Chinese, chinese)]
}

/// A file of the project.
fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// Whether a file of the directory holds this.
fn contains(directory: &Path, text: &str) -> bool {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    texts.any(|content| content.contains(text))
}

/// `✓ success  0.6 s  7…` without the number: how long it took is nobody's promise.
fn without_time(line: &str) -> String {
    let parts = line.split("  ").map(|part| match part.split_once(' ') {
        Some((number, unit @ ("s" | "秒"))) if number.parse::<f64>().is_ok() => unit,
        _ => part,
    });
    parts.collect::<Vec<_>>().join("  ")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    Chinese,
}

/// What came of a block.
pub(crate) struct Outcome {
    pub(crate) language: Language,
    pub(crate) ended: Ended,
    pub(crate) counts: Counts,
}

impl Outcome {
    pub(crate) fn in_language<'a>(&self, english: &'a str, chinese: &'a str) -> &'a str {
        match self.language {
            Language::English => english,
            Language::Chinese => chinese,
        }
    }

    pub(crate) fn hello(&self) -> &'static str {
        self.in_language("hello", "你好")
    }

    pub(crate) fn responses(&self) -> Vec<Value> {
        self.ended.responses()
    }

    #[track_caller]
    pub(crate) fn is_echo(&self, response: &Value, parameters: &Value) {
        let output = response["output"].as_str().unwrap();
        assert_eq!(response["status"], "Success");
        assert_eq!(
            serde_json::from_str::<Value>(output).unwrap()["output"],
            *parameters
        );
        assert_eq!(self.ended.code, 0);
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.ended.path().join(name)).unwrap()
    }

    pub(crate) fn only_request(&self) -> &str {
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
    let filled = |text: &str| {
        let filled = text.replace(PLACEHOLDER, trial.workflow_id);
        filled.replace("7…", trial.workflow_id)
    };
    let tools = tools();
    let mut shell = reader(language, &coze, &tools);
    for (name, content) in trial.files {
        shell = shell.file(name, filled(content));
    }
    let home = shell.path().display().to_string();
    let block = as_script(&filled(block), &home, tools.path()).repeat(trial.times);
    let script = format!("{}\n{block}", filled(trial.before));
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

/// What a document says where its reader has an id.
const PLACEHOLDER: &str = "7xxxxxxxxxxxxxxxxxx";

/// A reader's shell, with the key of this Coze.
fn reader(language: Language, coze: &Coze, tools: &TempDir) -> Program {
    let path = format!("{}:{}", tools.path().display(), env::var("PATH").unwrap());
    let locale = match language {
        Language::English => "en_US.UTF-8",
        Language::Chinese => "zh_CN.UTF-8",
    };
    Program::other("/bin/sh")
        .env("PATH", path)
        .env("COZE_API_KEY", KEY)
        .env("COZE_BASE_URL", coze.url())
        .env("LANG", locale)
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
        .replace("{baseDir}/../coze_workflow", skill().to_str().unwrap())
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
