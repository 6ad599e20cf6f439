//! SKILL.md and the files around it, by the rules of those who read, scan and pack skills.

use std::collections::BTreeSet;
use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::assembled::{make, shipped, skill};

#[test]
fn the_front_matter_is_three_lines_that_say_what_and_when() {
    let page = page();
    let matter = front_matter(&page);
    let keys: Vec<_> = matter.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, ["name", "description", "metadata"]);
    assert_eq!(matter[0].1, "coze-workflow");
    assert_eq!(skill().file_name().unwrap(), matter[0].1);
    let description = matter[1].1;
    assert!(description.chars().count() < 160, "{description}");
    assert!(description.contains("Use when") && description.contains("扣子"));
    // Else YAML would take it for something else than a text.
    assert!(!description.contains(": ") && !description.contains(" #"));
}

#[test]
fn the_metadata_is_json_that_asks_nothing_of_the_machine() {
    let page = page();
    let metadata: Value = serde_json::from_str(front_matter(&page)[2].1).unwrap();
    let openclaw = metadata["openclaw"].as_object().unwrap();
    let keys: Vec<_> = openclaw.keys().map(String::as_str).collect();
    assert_eq!(keys, ["emoji", "envVars", "os", "primaryEnv", "skillKey"]);
    assert_eq!(openclaw["os"][0], "linux");
    assert_eq!(openclaw["primaryEnv"], "COZE_API_KEY");
    assert_eq!(openclaw["skillKey"], "coze_workflow");
}

#[test]
fn every_variable_that_is_read_is_declared_and_no_other() {
    let page = page();
    let metadata: Value = serde_json::from_str(front_matter(&page)[2].1).unwrap();
    let declared = metadata["openclaw"]["envVars"].as_array().unwrap();
    for variable in declared {
        assert_eq!(variable["required"], false, "{variable}");
        assert!(!variable["description"].as_str().unwrap().is_empty());
    }
    let declared: BTreeSet<_> = declared
        .iter()
        .map(|variable| variable["name"].as_str().unwrap().to_owned())
        .collect();
    // The crate `home` asks for it.
    let read = variables_in_source().into_iter().chain(["HOME".to_owned()]);
    assert_eq!(declared, read.collect());
}

#[test]
fn the_page_is_short_and_speaks_both_languages_alike() {
    let page = page();
    assert!(page.lines().count() < 150);
    let (english, chinese) = page.split_once("\n## 中文\n").unwrap();
    for part in [english, chinese] {
        let codes: Vec<_> = part
            .lines()
            .filter_map(|line| {
                line.strip_prefix("| ")?
                    .split(' ')
                    .next()?
                    .parse::<u8>()
                    .ok()
            })
            .collect();
        assert_eq!(codes, (0..=9).collect::<Vec<_>>());
    }
    let commands = |text: &str| text.matches("coze-workflow.sh\"").count();
    assert_eq!(commands(english), commands(chinese));
}

#[test]
fn nothing_in_the_directory_would_stop_a_scanner() {
    for (name, bytes) in files() {
        assert_ne!(name, "config.json", "an update would overwrite the user's");
        if name.starts_with("bin/") {
            continue;
        }
        let text = String::from_utf8(bytes).unwrap();
        let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{feff}');
        assert!(!text.contains(hidden), "{name} holds hidden characters");
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
        let longest = text.split(|c| !is_base64(c)).map(str::len).max();
        assert!(
            longest < Some(60),
            "{name} holds {longest:?} letters without a break"
        );
        for key in text.split("pat_").skip(1) {
            assert!(key.starts_with("xxx"), "{name} holds what may be a key");
        }
        let pipes = ["| sh\n", "| bash", "|sh\n", "| sh -s", "curl ", "wget "];
        assert!(
            !pipes.iter().any(|pipe| text.contains(pipe)),
            "{name} downloads to a shell"
        );
    }
}

#[test]
fn the_directory_holds_what_a_skill_needs_and_nothing_else() {
    let names: Vec<_> = files().into_iter().map(|(name, _)| name).collect();
    let here = format!("bin/coze-workflow-{ARCH}");
    let mut programs = match shipped() {
        Some(_) => vec!["bin/coze-workflow-aarch64", "bin/coze-workflow-x86_64"],
        None => vec![here.as_str()],
    };
    let page = page();
    if page.contains(r#""darwin""#) {
        programs.extend([
            "bin/coze-workflow-aarch64-macos",
            "bin/coze-workflow-x86_64-macos",
        ]);
    }
    if page.contains(r#""win32""#) {
        programs.extend([
            "bin/coze-workflow-x86_64-windows.exe",
            "scripts/coze-workflow.cmd",
        ]);
    }
    let others = [
        "SKILL.md",
        "THIRD-PARTY-NOTICES.txt",
        "config.example.json",
        "scripts/coze-workflow.sh",
    ];
    let expected: BTreeSet<_> = programs.into_iter().chain(others).collect();
    assert_eq!(
        names.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        expected
    );
}

#[test]
fn no_shipped_file_is_too_large_for_a_skill() {
    // The program under test is full of debug information.
    let all = files().into_iter();
    let shipped = all.filter(|(name, _)| shipped().is_some() || !name.starts_with("bin/"));
    for (name, bytes) in shipped {
        assert!(bytes.len() < 10_000_000, "{name}");
    }
}

#[test]
fn every_crate_inside_the_program_has_its_notice() {
    let notices = fs::read_to_string(skill().join("THIRD-PARTY-NOTICES.txt")).unwrap();
    for name in [
        "ureq",
        "rustls",
        "ring",
        "webpki-roots",
        "serde_json",
        "lexopt",
        "home",
    ] {
        let heading = format!("\n======== {name} ");
        let section = notices.split_once(&heading).unwrap().1;
        let section = section.split("\n========").next().unwrap();
        assert!(section.len() > 500, "{name}: {section}");
    }
    for text in [
        "musl",
        "Rust's standard library",
        "Permission is hereby granted",
    ] {
        assert!(notices.contains(text), "{text}");
    }
    assert!(
        !notices.contains("======== rcgen "),
        "only the tests use it"
    );
}

#[test]
fn the_example_of_a_configuration_is_one() {
    let example = fs::read(skill().join("config.example.json")).unwrap();
    let example: Value = serde_json::from_slice(&example).unwrap();
    let expected = r#"{"api_key": "pat_xxx", "base_url": "https://api.coze.cn"}"#;
    assert_eq!(example, serde_json::from_str::<Value>(expected).unwrap());
}

#[test]
fn two_assemblies_of_the_same_are_the_same_bytes() {
    let directory = TempDir::new().unwrap();
    let [first, second] = ["first", "second"].map(|name| {
        let dist = directory.path().join(name);
        // Any two files: packing is what is tested.
        make("skill", &dist, "x86_64=README.md aarch64=LICENSE");
        fs::read_to_string(dist.join("SHA256SUMS")).unwrap()
    });
    let names: Vec<_> = first
        .lines()
        .map(|line| {
            line.split_once("  ")
                .unwrap()
                .1
                .replace(env!("CARGO_PKG_VERSION"), "V")
        })
        .collect();
    assert_eq!(
        names,
        [
            "coze-workflow-V-aarch64-linux.tar.gz",
            "coze-workflow-V-skill.tar.gz",
            "coze-workflow-V-x86_64-linux.tar.gz"
        ]
    );
    assert_eq!(first, second);
}

fn page() -> String {
    fs::read_to_string(skill().join("SKILL.md")).unwrap()
}

/// The keys and values between the two lines of dashes, one a line.
#[track_caller]
fn front_matter(page: &str) -> Vec<(&str, &str)> {
    let (matter, _) = page
        .strip_prefix("---\n")
        .unwrap()
        .split_once("\n---\n")
        .unwrap();
    matter
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .collect()
}

/// Every file of the skill by its path in it.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    walk(skill(), &mut |path| {
        let name = path.strip_prefix(skill()).unwrap().to_str().unwrap();
        files.push((name.to_owned(), fs::read(&path).unwrap()));
    });
    files
}

fn walk(directory: &Path, see: &mut impl FnMut(PathBuf)) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, see);
        } else {
            see(path);
        }
    }
}

/// The names of variables among the texts in the source, without its tests: our own, the agent's,
/// the proxies', the certificates', the locale's.
fn variables_in_source() -> BTreeSet<String> {
    const OTHERS: [&str; 6] = [
        "APPDATA",
        "ConEmuANSI",
        "LANG",
        "NO_COLOR",
        "TERM",
        "WT_SESSION",
    ];
    let mut variables = BTreeSet::new();
    let is_ours = |text: &&str| {
        let upper = text.to_ascii_uppercase();
        let known = ["COZE_", "OPENCLAW_", "LC_", "SSL_", "XDG_"];
        let is_name =
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
        is_name
            && (known.iter().any(|start| text.starts_with(start))
                || upper.ends_with("_PROXY")
                || OTHERS.contains(text))
    };
    walk(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")),
        &mut |path| {
            if path.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(&path).unwrap();
                let source = source.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
                variables.extend(source.split('"').filter(is_ours).map(str::to_owned));
            }
        },
    );
    variables
}
