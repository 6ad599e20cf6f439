//! What the shells complete, made by `completions.awk` of the help as `make completions` makes it,
//! held to the options of the program and to the words that it takes as their values. A shell is asked
//! where it is installed; what zsh and fish are told is read besides.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

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
    if let Some(errors) = answer_of("zsh", &["-f", "-n", "-c", &script]) {
        assert_eq!(errors, "");
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
    let asked = format!("{script}\ncomplete -C 'coze-workflow --'");
    if let Some(offered) = answer_of("fish", &["--no-config", "-c", &asked]) {
        let offered = offered.lines().filter_map(|line| line.split('\t').next());
        let offered: BTreeSet<_> = offered.map(str::to_owned).collect();
        let long = options_of_the_program().into_iter();
        let long: BTreeSet<_> = long.map(|option| option.long).collect();
        assert_eq!(offered, long);
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
_coze_workflow
printf '%s\n' "${COMPREPLY[@]}""#;
    let asked = script("bash") + ask;
    let arguments = ["--norc", "-c", &asked, "bash"];
    let offered = answer_of("bash", &[&arguments[..], words].concat())?;
    let offered = offered.lines().filter(|line| !line.is_empty());
    Some(offered.map(str::to_owned).collect())
}

/// What a shell says, if it is installed.
#[track_caller]
fn answer_of(shell: &str, arguments: &[&str]) -> Option<String> {
    let said = Command::new(shell).args(arguments).output().ok()?;
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
    Some(String::from_utf8(said.stdout).unwrap())
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
