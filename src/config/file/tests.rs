//! The places of config.json and what is in them.

use std::os::fd::AsRawFd;
use std::os::unix::fs::{chown, lchown, symlink};

use super::super::tests::{HOME_FILE, KEY, machine};
use super::super::url::BASE_URL;
use super::*;

#[test]
fn openclaw_is_looked_for_where_its_variables_say() {
    let table: [(&[(&str, &str)], &str); 7] = [
        (&[], "home/.openclaw"),
        (&[("OPENCLAW_PROFILE", "work")], "home/.openclaw-work"),
        (&[("OPENCLAW_PROFILE", "default")], "home/.openclaw"),
        (&[("OPENCLAW_HOME", "~/claw")], "home/claw/.openclaw"),
        (
            &[("OPENCLAW_HOME", "~/claw"), ("OPENCLAW_PROFILE", "work")],
            "home/claw/.openclaw-work",
        ),
        (&[("OPENCLAW_STATE_DIR", "~/state")], "home/state"),
        (
            &[("OPENCLAW_STATE_DIR", "~"), ("OPENCLAW_PROFILE", "work")],
            "home",
        ),
    ];
    for (variables, state) in table {
        let machine = machine(variables);
        assert_eq!(state_directory(&machine.env), Some(machine.path(state)));
    }
}

#[test]
fn the_file_above_the_program_counts_only_from_bin_or_scripts() {
    for (directory, expected) in [("bin", true), ("scripts", true), ("lib", false)] {
        let mut machine = machine(&[]).with_config("skill/config.json");
        machine.env.executable = Some(machine.path(&format!("skill/{directory}/program")));
        assert_eq!(machine.load().is_ok(), expected, "{directory}");
    }
}

#[test]
fn a_link_to_the_program_leads_to_its_skill() {
    let mut machine = machine(&[])
        .write("skill/bin/program", "")
        .with_config("skill/config.json");
    let link = machine.path("link");
    symlink(machine.path("skill/bin/program"), &link).unwrap();
    machine.env.executable = Some(link);
    assert_eq!(machine.key(), "skill-config-json");
}

#[test]
fn a_file_that_is_too_large_is_not_cut() {
    let mut machine = machine(&[]).write("large", "");
    let large = machine.path("large");
    let file = File::options().write(true).open(&large).unwrap();
    file.set_len(LONGEST_FILE + 1).unwrap();
    machine.options.config = Some(large);
    let sentence = ", named by --config: it is larger than 16 MiB";
    assert!(machine.refused().ends_with(sentence));
}

#[test]
fn a_file_that_was_named_must_exist() {
    let missing = machine(&[KEY]).var("COZE_WORKFLOW_CONFIG", "/nowhere/c.json");
    assert_eq!(
        missing.refused(),
        "cannot read the configuration /nowhere/c.json, named by COZE_WORKFLOW_CONFIG: \
             No such file or directory (os error 2)"
    );
    let mut missing = machine(&[KEY]);
    missing.options.config = Some("/nowhere/d.json".into());
    assert!(
        missing
            .refused()
            .contains("/nowhere/d.json, named by --config")
    );
}

#[test]
fn a_file_that_is_there_must_be_a_regular_one() {
    let machine = machine(&[KEY]);
    fs::create_dir_all(machine.path(HOME_FILE)).unwrap();
    assert_eq!(
        machine.refused(),
        "cannot read the configuration /home/.openclaw/skills/coze_workflow/config.json: \
         it is no regular file"
    );
}

#[test]
fn a_file_that_is_no_json_is_refused_by_line_and_never_quoted() {
    let machine = machine(&[KEY]).write(HOME_FILE, "{\n  \"api_key\": pat_secret\n}");
    assert_eq!(
        machine.refused(),
        "/home/.openclaw/skills/coze_workflow/config.json is not valid JSON at line 2, column 14 \
         (names and texts are written in double quotes)"
    );
}

#[test]
fn a_file_holds_an_object_of_strings() {
    let refused = |json: &str| machine(&[KEY]).write(HOME_FILE, json).refused();
    let file = format!("/{HOME_FILE}");
    assert_eq!(
        refused(r#"["pat_secret"]"#),
        format!(r#"{file} is not a JSON object (for example {{"api_key": "pat_xxx"}})"#)
    );
    assert_eq!(
        refused(r#"{"base_url":443}"#),
        format!(r#""base_url" in {file} is not a string"#)
    );
}

#[test]
fn a_byte_order_mark_null_and_other_keys_do_no_harm() {
    let json = "\u{feff}{\"api_key\":\"pat_9\",\"base_url\":null,\"workflow_id\":7}\r\n";
    let machine = machine(&[]).write(HOME_FILE, json);
    assert_eq!(machine.key(), "pat_9");
}

#[test]
fn a_misspelt_name_is_pointed_out() {
    let json = r#"{"apiKey":"pat_9","base-url":"https://coze.example","model":"x"}"#;
    let machine = machine(&[]).write(HOME_FILE, json);
    let note = r#"config.json (not in it, but "apiKey" is)"#;
    assert!(machine.refused().contains(note), "{}", machine.refused());
    let machine = machine.var(KEY.0, KEY.1);
    let hint = "(correct its name, or set COZE_BASE_URL)";
    let misspelt = format!(r#"/{HOME_FILE} has no "base_url", but "base-url" {hint}"#);
    assert_eq!(machine.refused(), misspelt);
    let path = machine.path(HOME_FILE);
    let path = path.display();
    let machine = machine.var("COZE_BASE_URL", BASE_URL);
    let warnings = [
        format!(r#"{path} has no "api_key", but "apiKey""#),
        format!(r#"{path} has no "base_url", but "base-url""#),
    ];
    assert_eq!(machine.config().warnings, warnings);
}

#[test]
fn a_skills_own_names_and_what_is_not_filled_in_are_passed_over() {
    for own in [
        r#""image_url":"https://coze.example","base_dir":"/srv","case_url":"x","url":"y""#,
        r#""baseURL":"","base-url":"<url>""#,
    ] {
        let json = format!(r#"{{"api_key":"pat_9",{own}}}"#);
        let config = machine(&[]).write(HOME_FILE, &json).config();
        assert_eq!(
            (config.base_url.as_str(), config.warnings.len()),
            (BASE_URL, 0)
        );
    }
    for meant in [
        "baseURL",
        "BASE_URL",
        "base url",
        "COZE_BASE_URL",
        "coze_api_base",
    ] {
        let json = format!(r#"{{"api_key":"pat_9","{meant}":"https://coze.example"}}"#);
        let refused = machine(&[]).write(HOME_FILE, &json).refused();
        assert!(
            refused.contains(&format!("no \"base_url\", but {meant:?}")),
            "{refused}"
        );
    }
}

#[test]
fn a_key_that_others_can_read_is_pointed_out() {
    let machine = machine(&[]).with_config(HOME_FILE);
    assert!(machine.config().warnings.is_empty());
    let machine = machine.chmod(HOME_FILE, 0o640);
    let path = machine.path(HOME_FILE);
    let warning = format!(
        "{} holds the token and is open to others: chmod 600 it",
        path.display()
    );
    assert_eq!(machine.config().warnings, [warning]);
    let machine = machine.write(HOME_FILE, "{}").chmod(HOME_FILE, 0o644);
    assert!(machine.var(KEY.0, KEY.1).config().warnings.is_empty());
}

#[test]
fn a_pipe_or_a_device_is_refused_and_not_waited_for() {
    // Not by mkfifo: a process that is being started holds the locks of the journals in other tests.
    let (reader, _writer) = io::pipe().unwrap();
    let pipe = format!("/dev/fd/{}", reader.as_raw_fd());
    let start = format!(
        "cannot read the configuration {pipe}, named by COZE_WORKFLOW_CONFIG: it is no regular file"
    );
    let machine = machine(&[KEY]).var("COZE_WORKFLOW_CONFIG", pipe);
    assert!(
        machine.refused().starts_with(&start),
        "{}",
        machine.refused()
    );
    let mut machine = machine.var("COZE_WORKFLOW_CONFIG", "");
    machine.options.config = Some("/dev/zero".into());
    let start = "cannot read the configuration /dev/zero, named by --config: it is no regular file";
    assert!(
        machine.refused().starts_with(start),
        "{}",
        machine.refused()
    );
}

#[test]
fn a_found_file_that_everyone_may_change_is_not_obeyed() {
    let hint = "(name the file with --config, or take that permission away (chmod o-w))";
    for name in [
        "skill/config.json",
        HOME_FILE,
        "home/.config/coze-workflow/config.json",
    ] {
        let directory = Path::new(name).parent().unwrap().to_str().unwrap();
        let refused =
            |what| format!("/{name} is not used, because every user can write {what} {hint}");
        let program = "skill/bin/coze-workflow";
        let machine = machine(&[KEY]).write(program, "").write(name, "{}");
        let machine = machine.chmod(name, 0o602);
        assert_eq!(machine.refused(), refused("it"));
        let machine = machine.chmod(name, 0o600).chmod(directory, 0o777);
        assert_eq!(machine.refused(), refused("in its directory"));
        let machine = machine.chmod(directory, 0o1777);
        assert_eq!(machine.key(), KEY.1);
        let give_away = |name| chown(machine.path(name), Some(1), None);
        // Only root may do that.
        if give_away(name).is_ok() {
            assert_eq!(machine.refused(), refused("in its directory"));
            give_away(program).unwrap();
            assert_eq!(machine.key(), KEY.1);
            // A stranger's link, whosever the file is that it names.
            fs::rename(machine.path(name), machine.path("other.json")).unwrap();
            symlink(machine.path("other.json"), machine.path(name)).unwrap();
            lchown(machine.path(name), Some(2), None).unwrap();
            assert_eq!(machine.refused(), refused("in its directory"));
        }
    }
}

#[test]
fn a_found_link_into_a_directory_of_everyones_is_not_obeyed() {
    let machine = machine(&[KEY])
        .write("shared/c.json", "{}")
        .chmod("shared", 0o777)
        .write(HOME_FILE, "");
    let link = machine.path(HOME_FILE);
    fs::remove_file(&link).unwrap();
    symlink(machine.path("shared/c.json"), &link).unwrap();
    assert!(
        machine
            .refused()
            .contains("every user can write in its directory")
    );
}

#[test]
fn a_named_file_is_obeyed_whoever_may_write_it_and_wherever_it_is() {
    let name = "skill/config.json";
    let mut machine = machine(&[])
        .with_config(name)
        .chmod(name, 0o666)
        .chmod("skill", 0o777);
    assert!(machine.load().is_err());
    machine.options.config = Some(machine.path("skill/../skill/config.json"));
    assert_eq!(machine.key(), "skill-config-json");
    machine.options.config = None;
    let path = machine.path(name);
    let machine = machine.var("COZE_WORKFLOW_CONFIG", path);
    assert_eq!(machine.key(), "skill-config-json");
}

#[test]
fn the_users_own_directory_is_where_xdg_says() {
    let places = |variables: &[(&str, &str)]| {
        let machine = machine(variables);
        let last = directories(&machine.env).pop().unwrap();
        last.display()
            .to_string()
            .replace(&machine.path("").display().to_string(), "/")
    };
    assert_eq!(places(&[]), "/home/.config/coze-workflow");
    let xdg = ("XDG_CONFIG_HOME", "/etc/xdg");
    assert_eq!(places(&[xdg]), "/etc/xdg/coze-workflow");
    for unset in ["", "relative"] {
        let place = places(&[("XDG_CONFIG_HOME", unset)]);
        assert_eq!(place, "/home/.config/coze-workflow");
    }
    assert_eq!(
        places(&[("OPENCLAW_HOME", "~/claw")]),
        "/home/claw/.config/coze-workflow"
    );
}

#[test]
fn another_encoding_is_named_with_the_way_to_utf_8() {
    let refused = |bytes: &[u8]| machine(&[KEY]).write(HOME_FILE, bytes).refused();
    let hint = "(save it as UTF-8; in PowerShell 5: Out-File -Encoding utf8)";
    let utf_16 =
        format!("cannot read the configuration /{HOME_FILE}: it is UTF-16, not UTF-8 {hint}");
    assert_eq!(refused(b"\xff\xfe{\0}\0"), utf_16);
    assert_eq!(refused(b"\xfe\xff\0{\0}"), utf_16);
    assert_eq!(refused(b"{\0}\0"), utf_16);
    let hint = "(save it as UTF-8; iconv converts it)";
    let gbk = format!("cannot read the configuration /{HOME_FILE}: it is not UTF-8 {hint}");
    assert_eq!(refused(b"{\"note\":\"\xbf\xdb\xd7\xd3\"}"), gbk);
}

#[test]
fn a_usual_mistake_in_json_is_explained_where_it_is() {
    let table = [
        ("{\n\"a\": 1,\n}", 3, 1, "JSON takes no comma before } or ]"),
        ("{\"a\": [1, ]}", 1, 11, "JSON takes no comma before } or ]"),
        (
            "{'a': 1}",
            1,
            2,
            "names and texts are written in double quotes",
        ),
        (
            "{\"a\": 'b'}",
            1,
            7,
            "names and texts are written in double quotes",
        ),
        (
            "{\"扣子\": 'b'}",
            1,
            8,
            "names and texts are written in double quotes",
        ),
        ("// a\n{}", 1, 1, "JSON has no comments: take it out"),
        (
            "{\"api_key\":\"pat_\n1\"}",
            2,
            0,
            r"a line break inside a text is written \n; jq writes it so",
        ),
        (
            "{\"a\": 1, # b\n}",
            1,
            10,
            "JSON has no comments: take it out",
        ),
        (
            "{“a”: 1}",
            1,
            2,
            r#"JSON is written with plain " : , { }, not with curly or full-width ones"#,
        ),
        (
            "{\"a\"：1}",
            1,
            5,
            r#"JSON is written with plain " : , { }, not with curly or full-width ones"#,
        ),
    ];
    for (json, line, column, hint) in table {
        let refused = machine(&[KEY]).write(HOME_FILE, json).refused();
        let place = format!("is not valid JSON at line {line}, column {column}");
        assert_eq!(refused, format!("/{HOME_FILE} {place} ({hint})"), "{json}");
    }
    for json in ["", "{", "{\"a\": 1", "{\"a", "{}\n}", "\n"] {
        let refused = machine(&[KEY]).write(HOME_FILE, json).refused();
        assert!(!refused.contains('('), "{json:?}: {refused}");
    }
}
