//! What the shells complete, made by `completions.awk` of the help as `make completions` makes it,
//! held to the options of the program and to the words that it takes as their values. The shells are
//! asked themselves; one that is not installed is skipped aloud, unless `COZE_WORKFLOW_ENGINES` asks for
//! all. What zsh and fish are told is read besides.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::{Write, stderr};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::support::program::Program;
use super::{Spelling, option, options_of_the_program};

#[test]
fn bash_completes_the_options_and_the_program_takes_no_other() {
    let Some(offered) = complete_in_bash(&["-"]) else {
        return;
    };
    assert_eq!(names(&offered), names_of_the_program());
    let begun = complete_in_bash(&["--tim"]).unwrap();
    assert_eq!(begun, ["--timeout"]);
    let after_dashes = complete_in_bash(&["--", "-"]).unwrap();
    assert!(after_dashes.is_empty(), "{after_dashes:?}");
}

#[test]
fn bash_completes_no_option_where_a_value_is_due() {
    for option in options_of_the_program() {
        let names = option.short.iter().chain([&option.long]);
        let mut before: Vec<_> = names.map(|name| vec![&**name]).collect();
        before.push(vec![&option.long, "="]);
        for words in before {
            let Some(offered) = complete_in_bash(&[&words[..], &["-"]].concat()) else {
                return;
            };
            assert_eq!(offered.is_empty(), option.takes_value, "{words:?}");
        }
    }
}

#[test]
fn bash_completes_the_words_that_an_option_takes() {
    for (option, words) in words_of_the_program() {
        for typed in [&[option, ""][..], &[option, "="], &[option, "=", ""]] {
            if let Some(offered) = complete_in_bash(typed) {
                assert_eq!(offered, words, "{typed:?}");
            }
        }
    }
}

#[test]
fn bash_completes_a_file_that_is_a_parameter() {
    for sign in ["@", "=@", ":=@"] {
        for (typed, offered) in [
            (
                &["-p", "a", sign][..],
                &["@cat.png", "@dir", "@dog 1.png"][..],
            ),
            (&["-p", "a", sign, "d"], &["@dir", "@dog 1.png"]),
            (&["-p", "a", sign, "no"], &[]),
        ] {
            if let Some(mut files) = complete_in_bash(typed) {
                files.sort();
                assert_eq!(files, offered, "{typed:?}");
            }
        }
    }
}

#[test]
fn zsh_completes_options_words_and_files() {
    completes(complete_in_zsh);
}

#[test]
fn fish_completes_options_words_and_files() {
    completes(complete_in_fish);
}

/// What every shell has to offer for each line.
#[track_caller]
fn completes(complete: fn(&[String]) -> Option<Vec<BTreeSet<String>>>) {
    let (options, words) = (options_of_the_program(), words_of_the_program());
    let names = options.iter().map(|option| option.long.as_str()).collect();
    let mut expected: Vec<(String, Vec<&str>)> = vec![
        ("--".to_owned(), names),
        ("--tim".to_owned(), vec!["--timeout"]),
        ("--journal ".to_owned(), vec!["dir"]),
    ];
    for nothing in ["-- --", "--timeout ", "-p ", "-p a=c"] {
        expected.push((nothing.to_owned(), vec![]));
    }
    for (option, words) in &words {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        expected.push((format!("{option} "), words.clone()));
        expected.push((format!("{option}="), words.clone()));
        expected.push((format!("-q {option} {}", &words[0][..1]), vec![words[0]]));
    }
    for option in [
        "",
        "-c ",
        "-q -o ",
        "--cacert=",
        "-p a@",
        "-p a=@",
        "--param a:=@",
    ] {
        expected.push((option.to_owned(), vec!["cat.png", "dir", "dog 1.png"]));
        expected.push((format!("{option}c"), vec!["cat.png"]));
    }
    let lines = expected
        .iter()
        .map(|(typed, _)| format!("coze-workflow {typed}"));
    let Some(offered) = complete(&lines.collect::<Vec<_>>()) else {
        return;
    };
    assert_eq!(offered.len(), expected.len());
    for ((typed, words), offered) in expected.iter().zip(&offered) {
        let words = words.iter().map(|word| (*word).to_owned());
        assert_eq!(offered, &words.collect(), "{typed:?}");
    }
}

#[test]
fn zsh_is_told_the_options_of_the_program() {
    let script = script("zsh");
    let lines = script.lines().filter_map(|line| line.strip_prefix("  '"));
    let told: BTreeSet<_> = lines
        .filter(|line| !line.starts_with("*:"))
        .map(spelling_of_zsh)
        .collect();
    assert_eq!(told, options_of_the_program());
    for (option, words) in words_of_the_program() {
        let is_told = |line: &str| {
            line.contains(&format!("{option}="))
                && line.contains(&format!("({})' ", words.join(" ")))
        };
        assert!(script.lines().any(is_told), "{option}: {script}");
    }
}

#[test]
fn fish_is_told_the_options_of_the_program() {
    let script = script("fish");
    let told: BTreeSet<_> = script.lines().filter_map(spelling_of_fish).collect();
    assert_eq!(told, options_of_the_program());
    for (option, words) in words_of_the_program() {
        let name = option.trim_start_matches('-');
        let told = format!("-l {name} -x -a '{}' -d ", words.join(" "));
        assert!(script.contains(&told), "{script}");
    }
}

// What the program has.

fn names_of_the_program() -> BTreeSet<String> {
    let options = options_of_the_program().into_iter();
    options
        .flat_map(|option| option.short.into_iter().chain([option.long]))
        .collect()
}

/// What it says to a word that an option does not take.
fn words_of_the_program() -> BTreeMap<&'static str, Vec<String>> {
    let listed = |option, key: &str, before: &str, between: &str, after: &str| {
        let refused = Program::bare().args(&[option, "x"]).run("").responses();
        let said = refused[0]["error"][key].as_str().unwrap().to_owned();
        let (_, words) = said.split_once(before).expect(&said);
        let words = words.split(after).next().unwrap().split(between);
        (option, words.map(str::to_owned).collect())
    };
    BTreeMap::from([
        listed("--service", "message", "is none of ", ", ", ";"),
        listed("--rerun", "hint", "", " or ", ";"),
    ])
}

// What the shells are told.

/// As `make completions` makes it.
fn script(shell: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/help");
    let shell = format!("shell={shell}");
    let awk = Command::new("awk")
        .args(["-v", &shell, "-f", "completions.awk", "en.txt"])
        .current_dir(directory)
        .output();
    let awk = awk.expect("awk, as any POSIX system has it");
    assert!(awk.status.success() && awk.stderr.is_empty(), "{awk:?}");
    String::from_utf8(awk.stdout).unwrap()
}

/// What bash offers for the last of the words.
#[track_caller]
fn complete_in_bash(words: &[&str]) -> Option<Vec<String>> {
    let ask = r#"
COMP_WORDS=(coze-workflow "$@") COMP_CWORD=$# COMPREPLY=()
[[ $(complete -p coze-workflow) == *' -F _coze_workflow '* ]] || exit
# The sign before a file is a part of the word, as readline has it.
word=${!#}
if [[ $word == *@ ]]; then word=@; elif [[ $# -gt 1 && ${@: -2:1} == *@ ]]; then word=@$word; fi
_coze_workflow coze-workflow "$word"
printf '%s\n' "${COMPREPLY[@]}""#;
    let asked = script("bash") + ask;
    let arguments = ["--norc", "-c", &asked, "bash"];
    let offered = Places::new().answer_of("bash", &[&arguments[..], words].concat())?;
    let offered = offered.lines().filter(|line| !line.is_empty());
    Some(offered.map(str::to_owned).collect())
}

fn complete_in_zsh(lines: &[String]) -> Option<Vec<BTreeSet<String>>> {
    let places = Places::new();
    places.write("_coze-workflow", &script("zsh"));
    places.write("ask.zsh", include_str!("ask.zsh"));
    places.write("offered", "");
    places.answer_of("zsh", &with("-f ../ask.zsh", lines))?;
    let offered = fs::read_to_string(places.root.path().join("offered"));
    Some(of_each_line(&offered.unwrap()))
}

fn complete_in_fish(lines: &[String]) -> Option<Vec<BTreeSet<String>>> {
    let places = Places::new();
    places.write("completion", &script("fish"));
    places.write(
        "ask.fish",
        "source ../completion; for line in $argv; complete -C $line; echo %; end",
    );
    let offered = places.answer_of("fish", &with("--no-config ../ask.fish", lines))?;
    Some(of_each_line(&offered))
}

fn with<'a>(arguments: &'a str, lines: &'a [String]) -> Vec<&'a str> {
    let lines = lines.iter().map(String::as_str);
    arguments.split(' ').chain(lines).collect()
}

/// A percent sign ends what is offered for a line; a tab the word before its description.
fn of_each_line(offered: &str) -> Vec<BTreeSet<String>> {
    let lines = offered.split("%\n").map(|words| {
        let words = words.lines().filter_map(|line| line.split('\t').next());
        words.filter_map(bare).collect()
    });
    let mut lines: Vec<_> = lines.collect();
    lines.pop();
    lines
}

/// Without what is before it in its word, the mark of a directory, and quotes.
fn bare(offered: &str) -> Option<String> {
    let last = offered.rsplit(['=', '@']).next()?;
    let plain = last.trim_end_matches('/').replace('\\', "");
    (!plain.is_empty()).then_some(plain)
}

/// Where a shell is: among a few files.
struct Places {
    root: TempDir,
}

impl Places {
    fn new() -> Self {
        let places = Self {
            root: TempDir::new().unwrap(),
        };
        fs::create_dir_all(places.root.path().join("files/dir")).unwrap();
        places.write("files/cat.png", "");
        places.write("files/dog 1.png", "");
        places
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.root.path().join(name), content).unwrap();
    }

    /// What a shell says, if it is installed.
    #[track_caller]
    fn answer_of(&self, shell: &str, arguments: &[&str]) -> Option<String> {
        let said = Command::new("timeout")
            .args(["60", shell])
            .args(arguments)
            .current_dir(self.root.path().join("files"))
            .env("HOME", self.root.path())
            .env("TERM", "xterm")
            .output();
        let said = said.ok().filter(|said| said.status.code() != Some(127));
        let Some(said) = said else {
            assert!(env::var_os("COZE_WORKFLOW_ENGINES").is_none(), "no {shell}");
            let _ = writeln!(stderr(), "skipped: {shell} is not installed");
            return None;
        };
        assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
        Some(String::from_utf8(said.stdout).unwrap())
    }
}

fn names(offered: &[String]) -> BTreeSet<String> {
    let names: BTreeSet<_> = offered.iter().cloned().collect();
    assert_eq!(
        names.len(),
        offered.len(),
        "one is there twice: {offered:?}"
    );
    names
}

/// `*'{-c+,--config=}'[words]:FILE:_files' \`, `(-q --quiet)'{-q,--quiet}'[words]' \`,
/// `*--timeout=[words]:SECONDS: ' \`, `--async[words]' \`
fn spelling_of_zsh(line: &str) -> Spelling {
    let (names, rest) = line.split_once('[').unwrap();
    let names = names.rsplit('{').next().unwrap();
    let is_of_name = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == ',';
    let plain: String = names.chars().filter(|char| is_of_name(*char)).collect();
    let takes_value = names.contains('=');
    let (_, action) = rest.rsplit_once(']').unwrap();
    assert_eq!(action.starts_with(':'), takes_value, "{line}");
    option(&(plain + if takes_value { " VALUE" } else { "" }))
}

/// `complete -c coze-workflow -s c -l config -r -F -d 'words'`
fn spelling_of_fish(line: &str) -> Option<Spelling> {
    let told = line.strip_prefix("complete -c coze-workflow ")?;
    let (told, _) = told.split_once(" -d '").unwrap();
    let words: Vec<_> = told.split(' ').collect();
    let after = |flag| {
        let at = words.iter().position(|word| *word == flag)?;
        Some(words[at + 1])
    };
    Some(Spelling {
        long: format!("--{}", after("-l").unwrap()),
        short: after("-s").map(|letter| format!("-{letter}")),
        takes_value: words.contains(&"-r") || words.contains(&"-x"),
    })
}
