//! The words of the program. Its help in two lengths and two languages and the manual pages tell all
//! options, exit codes and environment variables, README.md and the other pages some of them: here
//! they are held to what the program's own sources have. And what it says of itself is in the
//! reader's language.

#![allow(clippy::unwrap_used)]

#[path = "words/completions.rs"]
mod completions;
#[path = "support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Write, pipe, stderr};
use std::path::Path;
use std::process::Command;

use support::nowhere::nowhere;
use support::program::{KEY, Program};
use support::server::{Exchange, Server};

const ENGLISH: &str = "C";
const CHINESE: &str = "zh_CN.UTF-8";

const SKILL: &str = include_str!("../src/skill/SKILL.md");
/// The pages for people, each in two languages.
const PAGES: &[(&str, &str)] = &[
    ("README.md", include_str!("../README.md")),
    ("SKILL.md", SKILL),
    (
        "the page of the skill",
        include_str!("../src/skill/README.md"),
    ),
    ("the page of engines", include_str!("engines/README.md")),
    ("the page of the benchmark", include_str!("bench/README.md")),
];

#[test]
fn every_text_names_the_options_of_the_program() {
    let program = options_of_the_program();
    assert!(program.len() > 20, "{program:?}");
    let told = |text: &Text| text.options.iter().map(|(term, _)| option(term)).collect();
    for (name, text) in texts() {
        let told: BTreeSet<_> = told(&text);
        assert_eq!(told, program, "{name}");
        assert_eq!(told.len(), text.options.len(), "{name} has one twice");
    }
}

#[test]
fn every_text_names_the_defaults_that_the_program_has() {
    let check = Program::bare()
        .env("COZE_API_KEY", KEY)
        .env("all_proxy", nowhere().url())
        .arg("--check");
    let report = check.run("").responses().remove(0);
    let fields = report["config"].as_array().unwrap();
    let of_program = |option: &str| {
        let field = option.trim_start_matches('-').replace('-', "_");
        let field = fields.iter().find(|entry| entry["field"] == *field)?;
        assert_eq!(field["source"], "default");
        Some(field["value"].as_str()?.trim_end_matches('s').to_owned())
    };
    for (name, text) in texts().into_iter().filter(|(_, text)| text.has_defaults) {
        let defaults = text.options.iter().filter_map(|(term, default)| {
            let long = option(term).long;
            Some((long, default.clone()?))
        });
        let (mut told, jobs): (Vec<_>, Vec<_>) = defaults.partition(|(long, _)| long != "--jobs");
        // How many at a time is no part of the configuration.
        assert_eq!(jobs, [("--jobs".to_owned(), "1".to_owned())], "{name}");
        told.sort();
        let expected: Vec<_> = told
            .iter()
            .map(|(long, _)| (long.clone(), of_program(long).unwrap()))
            .collect();
        assert_eq!(told, expected, "{name}");
        assert_eq!(told.len(), 6, "{name}: {told:?}");
    }
}

#[test]
fn every_text_names_the_exit_codes_of_the_program() {
    let program = exit_codes_of_the_program();
    assert_eq!(program.len(), 10);
    for (name, text) in texts() {
        assert_eq!(text.exit_codes, program, "{name}");
    }
}

#[test]
fn every_text_names_the_variables_that_the_program_reads() {
    let program = variables_of_the_program();
    assert!(program.len() > 15, "{program:?}");
    let mut texts: Vec<(String, String)> = Vec::new();
    for locale in [ENGLISH, CHINESE] {
        texts.push((format!("--help in {locale}"), help(locale, "--help")));
        texts.push((format!("manual in {locale}"), manual(locale)));
    }
    texts.push(("SKILL.md".to_owned(), SKILL.to_owned()));
    for (name, text) in texts {
        let words: BTreeSet<_> = words(&text).collect();
        let is_told = |variable: &&String| words.contains(variable.as_str());
        let untold: Vec<_> = program
            .iter()
            .filter(|variable| !is_told(variable))
            .collect();
        assert!(untold.is_empty(), "{name} lacks {untold:?}");
        tells_only(&program, &name, &text);
    }
    for (name, page) in PAGES {
        tells_only(&program, name, page);
    }
}

/// No variable of ours but these.
#[track_caller]
fn tells_only(program: &BTreeSet<String>, name: &str, text: &str) {
    // The tests have variables of their own.
    let is_ours = |word: &&str| {
        (word.starts_with("COZE_") || word.starts_with("OPENCLAW_"))
            && !word.starts_with("COZE_WORKFLOW_SKILL")
    };
    let unread: Vec<_> = words(text)
        .filter(is_ours)
        .filter(|word| !program.contains(*word))
        .collect();
    assert!(unread.is_empty(), "{name} tells of {unread:?}");
}

/// What is told of the program as code: options of other programs are in blocks, and are left alone.
#[test]
fn the_pages_name_only_options_that_there_are() {
    let program = options_of_the_program();
    let is_known = |word: &str| program.iter().any(|option| option.is_called(word));
    for (name, page) in PAGES {
        let mut is_in_block = false;
        for line in page.lines() {
            is_in_block ^= line.starts_with("```");
            let code = line.split('`').skip(1).step_by(2);
            let words = code
                .filter(|code| code.starts_with('-'))
                .flat_map(|code| code.split(' '));
            for word in words.filter(|word| !is_in_block && word.starts_with('-')) {
                let is_of_others = OF_OTHERS.contains(&word);
                assert!(is_of_others || is_known(word), "{name} names {word}");
            }
        }
    }
    for word in SKILL.split(|char: char| !char.is_ascii_alphanumeric() && char != '-') {
        let name = word.trim_start_matches('-');
        let is_option =
            word.len() > name.len() && name.starts_with(|char: char| char.is_ascii_alphabetic());
        assert!(!is_option || is_known(word), "SKILL.md names {word}");
    }
}

/// Options of engines, and of curl.
const OF_OTHERS: &[&str] = &["--resume-failed", "--requeue", "--retry"];

/// Beside the help README.md and SKILL.md have a table of them.
#[test]
fn the_pages_have_every_exit_code_in_each_language() {
    let codes = |table: &str| {
        let rows = rows(table).filter_map(|row| row[0].parse::<u8>().ok());
        rows.collect::<Vec<_>>()
    };
    for (name, page) in &PAGES[..2] {
        let mut tables: Vec<_> = page.split("\n\n").map(codes).collect();
        tables.retain(|codes| !codes.is_empty());
        let all: Vec<_> = (0..10).collect();
        assert_eq!(tables, [all.clone(), all], "{name}");
    }
    for part in readme() {
        let kinds = rows(&part).filter_map(|row| {
            let kind = row[1].trim_matches('`').replace('–', SUCCESS);
            Some((row[0].parse().ok()?, kind))
        });
        assert_eq!(
            kinds.collect::<BTreeMap<_, _>>(),
            exit_codes_of_the_program()
        );
    }
}

#[test]
fn the_short_help_fits_a_screen_and_the_long_one_its_width() {
    for (locale, option, lines) in [
        (ENGLISH, "-h", 23),
        (CHINESE, "-h", 23),
        (ENGLISH, "--help", 320),
        (CHINESE, "--help", 320),
    ] {
        let help = help(locale, option);
        assert!(help.lines().count() <= lines, "{help}");
        assert!(help.contains("--help"));
        for line in help.lines() {
            // Chinese letters, and their punctuation, are two columns wide.
            let width = |char: char| 1 + usize::from(char >= '\u{2e80}');
            let columns: usize = line.chars().map(width).sum();
            assert!(columns <= 79, "{columns} columns: {line}");
        }
    }
}

/// They could not be copied from the page.
#[test]
fn the_manual_breaks_no_name_in_two_and_no_example() {
    for locale in [ENGLISH, CHINESE] {
        let page = Program::other("groff").env("PATH", std::env::var("PATH").unwrap());
        let page = page.args(&["-man", "-Kutf8", "-Tutf8", "-P-c", "-rLL=60n"]);
        let page = page.file("page", manual(locale)).arg("page");
        match Command::new("groff").arg("--version").output() {
            Ok(_) => {
                let page = page.run("").stdout;
                assert!(
                    page.contains("execute_id") && !page.contains('\u{2010}'),
                    "{page}"
                );
                let help = help(locale, "--help");
                let is_command =
                    |line: &&str| line.contains("coze-workflow ") || line.contains(" jq ");
                let examples = help.lines().filter_map(|line| line.strip_prefix("    "));
                for example in examples.filter(is_command) {
                    assert!(page.contains(example), "{example}");
                }
            }
            Err(_) => {
                let _ = writeln!(stderr(), "skipped: the manual's page: there is no groff");
            }
        }
    }
}

#[test]
fn the_chinese_manual_has_no_blank_where_its_text_has_none() {
    let manual = manual(CHINESE);
    let lines: Vec<_> = manual.lines().collect();
    for pair in lines.windows(2).filter(|pair| !pair[0].starts_with('.')) {
        let goes_on = pair[0].ends_with(|char: char| !char.is_ascii());
        let is_chinese = pair[1].starts_with(|char: char| !char.is_ascii());
        assert!(!goes_on || !is_chinese, "roff would part {pair:?}");
    }
    // A line may break after a comma, and nothing is shown there.
    assert!(manual.contains("JSON\u{ff0c}\\:即响应"), "{manual}");
}

#[test]
fn the_first_locale_variable_that_is_not_empty_decides() {
    let help_in = |variables: &[(&str, &str)]| {
        let program = variables
            .iter()
            .fold(Program::bare(), |program, (name, value)| {
                program.env(name, value)
            });
        program.arg("-h").run("").stdout
    };
    for variables in [
        &[("LANG", "zh_CN.UTF-8")][..],
        &[("LC_ALL", ""), ("LC_MESSAGES", "zh"), ("LANG", "C")],
        &[("LC_ALL", "zh-Hans"), ("LANG", "en_US.UTF-8")],
    ] {
        assert!(help_in(variables).contains("用法："), "{variables:?}");
    }
    for variables in [&[][..], &[("LC_ALL", "C"), ("LANG", "zh_CN.UTF-8")]] {
        assert!(help_in(variables).contains("Usage:"), "{variables:?}");
    }
}

#[test]
fn a_reader_who_has_read_enough_of_the_help_is_no_failure() {
    for option in ["-h", "--help"] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let ended = Program::bare().arg(option).stdout_to(writer).run("");
        ended.is(0, "", "");
    }
}

#[test]
fn of_an_error_the_hint_is_translated_and_on_standard_error_its_kind() {
    let server = Server::start(vec![
        Exchange::post("/v1/workflow/stream_run")
            .json(200, r#"{"code":4200,"msg":"not published"}"#),
    ]);
    let program = Program::at(&server.url()).env("LANG", CHINESE);
    program.run(r#"{"workflow_id":"7"}"#).is(
        4,
        r#"{"execute_id":"","status":"Fail","output":"","debug_url":"","workflow_id":"7","error":{"kind":"refused","code":4200,"message":"not published","hint":"请先发布工作流，并检查 workflow_id"}}"#,
        "coze-workflow: 被拒绝: not published (code 4200; 请先发布工作流，并检查 workflow_id)",
    );
    server.finish();
}

#[test]
fn hints_of_this_machine_are_translated_too() {
    let said = |program: Program, request: &str| {
        let ended = program.env("LANG", CHINESE).run(request);
        let error = &ended.responses()[0]["error"];
        format!(
            "{}; {}",
            error["message"].as_str().unwrap(),
            error["hint"].as_str().unwrap()
        )
    };
    let nowhere = || Program::at(&nowhere().url());
    let run = r#"{"workflow_id":"7"}"#;
    for (program, request, ending) in [
        (
            nowhere().args(&["--retries", "0"]),
            run,
            "connection refused; 请检查服务地址和网络；沙箱里可能没有网络",
        ),
        (
            nowhere().arg("--check"),
            "",
            "connection refused; 请检查服务地址和网络；沙箱里可能没有网络",
        ),
        (
            nowhere().arg("--timout=5"),
            "",
            "unknown option --timout; 您是想写 --timeout 吗？",
        ),
        (nowhere(), "", "there is no request; 见 --help"),
        (
            nowhere(),
            r#"{"workflowid":"7"}"#,
            r#"unknown key "workflowid" in a run; 您是想写 "workflow_id" 吗？"#,
        ),
        (
            nowhere().args(&["--journal", "/dev/null"]),
            run,
            "the journal /dev/null is a file, and has to be a directory; 请给出一个目录，或一个尚不存在的名字",
        ),
        (
            nowhere().args(&["--service", "auto"]),
            "",
            "the service in --service is none of coze, studio, site; 也可不设置，由服务器的响应判断",
        ),
        (
            nowhere().args(&["--base-url", ""]),
            "",
            "--base-url is empty; 请去掉该选项，或给出网址，例如 https://api.coze.cn",
        ),
        (
            nowhere().env("COZE_API_KEY", "“k”"),
            run,
            "has a typographic quote, '“' (U+201C); 请从扣子重新复制令牌，只填令牌本身",
        ),
        (
            nowhere().args(&["--service", "site"]),
            r#"{"parameters":{},"bot_id":"7"}"#,
            "a deployed project takes no key \"bot_id\"; 它只接受 parameters 和 is_async",
        ),
    ] {
        let said = said(program, request);
        assert!(said.ends_with(ending), "{said}");
    }
    for (content, ending) in [
        (&b"{'a':1}"[..], "column 2; 键和字符串要用双引号"),
        (b"{\"a\":1,}", "column 8; JSON 的 } 或 ] 之前不能有逗号"),
        (b"//\n{}", "column 1; JSON 不支持注释，请删除"),
        (
            "{“a”:1}".as_bytes(),
            r#"column 2; JSON 只用半角的 " : , { }，不能用全角或弯引号"#,
        ),
        (
            b"\xff\xfe{\0}\0",
            "it is UTF-16, not UTF-8; 请以 UTF-8 编码保存；在 PowerShell 5 中：Out-File -Encoding utf8",
        ),
    ] {
        let said = said(nowhere().file("c", content).args(&["-c", "c"]), run);
        assert!(said.ends_with(ending), "{said}");
    }
    let said = said(Program::bare(), run);
    assert!(
        said.starts_with("no token: looked at") && said.contains("; 请设置 COZE_API_KEY，或把 "),
        "{said}"
    );
}

// What the program has, by its sources.

/// `-c, --config FILE`, whatever the value is called.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Spelling {
    long: String,
    short: Option<String>,
    takes_value: bool,
}

impl Spelling {
    fn is_called(&self, word: &str) -> bool {
        self.long == word || self.short.as_deref() == Some(word)
    }
}

/// The arms of the match that understands them: `"-c" | "--config" => …`.
fn options_of_the_program() -> BTreeSet<Spelling> {
    let source = include_str!("../src/cli.rs");
    let (_, arms) = source.split_once("match name.as_str() {").unwrap();
    let (arms, _) = arms.split_once("        _ =>").unwrap();
    let mut options = BTreeSet::new();
    let mut short = None;
    for arm in arms.split("\n        \"").skip(1) {
        let (names, action) = arm.split_once(" => ").unwrap();
        for name in names.split(" | ").map(|name| name.trim_matches('"')) {
            if name.starts_with("--") {
                options.insert(Spelling {
                    long: name.to_owned(),
                    short: short.take(),
                    takes_value: action.contains("value."),
                });
            } else {
                // `-h` and `--help` differ, and are told as one.
                short = Some(name.to_owned());
            }
        }
    }
    options
}

/// The table of `Kind`: `Self::Failed => (1, "failed", …),`.
fn exit_codes_of_the_program() -> BTreeMap<u8, String> {
    let source = include_str!("../src/error.rs");
    let rows = source.lines().filter_map(|line| {
        let (_, row) = line.trim().strip_prefix("Self::")?.split_once(" => (")?;
        let (code, words) = row.split_once(", \"")?;
        Some((code.parse().ok()?, words.split('"').next()?.to_owned()))
    });
    rows.chain([(0, SUCCESS.to_owned())]).collect()
}

/// Success has no kind, and every text its own word for it.
const SUCCESS: &str = "success";

/// Whatever looks like one in the only files that read them. `HOME` is the business of a library,
/// and `REQUEST_METHOD` no setting: where a web server runs programs, `HTTP_PROXY` is a stranger's.
fn variables_of_the_program() -> BTreeSet<String> {
    let sources = [
        include_str!("../src/config.rs"),
        include_str!("../src/config/env.rs"),
        include_str!("../src/config/file.rs"),
        include_str!("../src/config/key.rs"),
        include_str!("../src/config/proxy.rs"),
        include_str!("../src/config/url.rs"),
        include_str!("../src/platform.rs"),
    ];
    let looks_like_one = |word: &&str| {
        let capitals = |char: char| char.is_ascii_uppercase() || char == '_';
        *word != "REQUEST_METHOD" && word.len() > 3 && word.chars().all(capitals)
            || word.ends_with("_proxy") && words(word).count() == 1
    };
    let code = sources
        .iter()
        .map(|source| source.split("mod tests {").next().unwrap());
    let names = code.flat_map(|code| code.split('"')).filter(looks_like_one);
    // Of a proxy's two names texts tell one.
    let shown = names.map(|name| match name.ends_with("_PROXY") {
        true => name.to_ascii_lowercase(),
        false => name.to_owned(),
    });
    shown.collect()
}

// What the texts have.

/// A text that tells all options and exit codes.
struct Text {
    /// The names, as in `-c, --config FILE`, and the default, where there is one.
    options: Vec<(String, Option<String>)>,
    exit_codes: BTreeMap<u8, String>,
    has_defaults: bool,
}

fn texts() -> Vec<(String, Text)> {
    let mut texts = Vec::new();
    for locale in [ENGLISH, CHINESE] {
        texts.push((
            format!("-h in {locale}"),
            of_short_help(&help(locale, "-h")),
        ));
        texts.push((
            format!("--help in {locale}"),
            of_entries(&entries(&help(locale, "--help"))),
        ));
        texts.push((
            format!("manual in {locale}"),
            of_entries(&entries_of_manual(&manual(locale))),
        ));
    }
    texts
}

#[track_caller]
fn help(locale: &str, option: &str) -> String {
    let ended = Program::bare().env("LC_ALL", locale).arg(option).run("");
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    ended.stdout
}

/// As `make man` makes it.
fn manual(locale: &str) -> String {
    let (file, name) = match locale {
        ENGLISH => ("en.txt", "name=NAME"),
        _ => ("zh.txt", "name=名称"),
    };
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/help");
    let arguments = ["-v", "version=1", "-v", name, "-f", "man.awk", file];
    let awk = Command::new("awk")
        .args(arguments)
        .current_dir(directory)
        .output();
    let awk = awk.expect("awk, as any POSIX system has it");
    assert!(awk.status.success() && awk.stderr.is_empty(), "{awk:?}");
    String::from_utf8(awk.stdout).unwrap()
}

fn readme() -> [String; 2] {
    let (_, text) = include_str!("../README.md")
        .split_once("\n## English\n")
        .unwrap();
    let (english, chinese) = text.split_once("\n## 中文\n").unwrap();
    [english.to_owned(), chinese.to_owned()]
}

/// The terms are side by side, and defaults are left to the long help.
fn of_short_help(help: &str) -> Text {
    let terms = help
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .flat_map(|line| line.split("  "));
    let terms = terms.map(|term| (term.to_owned(), String::new()));
    let terms = terms
        .filter(|(term, _)| !term.starts_with("--request;"))
        .collect::<Vec<_>>();
    Text {
        has_defaults: false,
        ..of_entries(&terms)
    }
}

/// Terms and what is said of them, from anywhere in the text.
fn of_entries(entries: &[(String, String)]) -> Text {
    let options = entries
        .iter()
        .filter(|(term, _)| term.starts_with('-') && !term.contains('$'));
    let default = |words: &str| {
        let (_, rest) = words
            .split_once("(default ")
            .or_else(|| words.split_once("（默认 "))?;
        Some(rest.split([')', '）']).next()?.to_owned())
    };
    let codes = entries.iter().filter_map(|(term, _)| {
        let (code, kind) = term.split_once(' ')?;
        Some((code.parse().ok()?, kind.to_owned()))
    });
    Text {
        options: options
            .map(|(term, words)| (term.clone(), default(words)))
            .collect(),
        exit_codes: codes.collect(),
        has_defaults: true,
    }
}

fn entries(help: &str) -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = Vec::new();
    for line in help.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        match text.split_once("  ") {
            Some((term, words)) if indent <= 6 => {
                entries.push((term.to_owned(), words.trim_start().to_owned()));
            }
            None if indent > 6 => {
                let (_, words) = entries.last_mut().expect("words that go on");
                *words += " ";
                *words += text;
            }
            _ => {}
        }
    }
    entries
}

fn entries_of_manual(manual: &str) -> Vec<(String, String)> {
    let plain = manual.replace("\\-", "-");
    let pieces = plain.split(".TP\n.B ").skip(1);
    let entry = |piece: &str| {
        let (term, words) = piece.split_once('\n').unwrap();
        let words = words.lines().take_while(|line| !line.starts_with('.'));
        (term.to_owned(), words.collect::<Vec<_>>().join(" "))
    };
    pieces.map(entry).collect()
}

/// The cells of every table's rows.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    rows.map(|row| row.split('|').map(str::trim).collect())
}

fn option(term: &str) -> Spelling {
    let (names, value): (Vec<&str>, Vec<&str>) = term
        .split([' ', ','])
        .filter(|word| !word.is_empty())
        .partition(|word| word.starts_with('-'));
    let (long, short): (Vec<&str>, Vec<&str>) =
        names.into_iter().partition(|name| name.starts_with("--"));
    Spelling {
        long: long.concat(),
        short: short.first().map(|&short| short.to_owned()),
        takes_value: !value.is_empty(),
    }
}

/// Words as variables are spelt.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_')
}
