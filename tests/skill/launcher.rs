//! The launcher in directories as archives, mounts and other machines leave them, under every shell
//! that is here: it runs the program, or says what to do and ends with 3.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::Value;

use crate::assembled::{Copy, can, set_mode, skip};
use crate::support::coze::{self, Coze, Options};
use crate::support::program::{Ended, KEY, Program};

/// With everything that a shell might take for something else.
const ODD_NAMES: [&str; 6] = [
    "-r",
    "a skill's \"own\" \\ directory",
    "line\nbreaks\n",
    "$(exit 1) `exit 1` ${HOME} %s",
    "* ? [a] ~ #!",
    "技能 ü",
];
const SHELLS: [&[&str]; 4] = [
    &["dash"],
    &["bash"],
    &["bash", "--posix"],
    &["busybox", "sh"],
];
const REQUEST: &str = r#"{"workflow_id":"7000000000000000001","parameters":{"city":"北京"}}"#;
const ECHOED: &str = r#"{"output":{"city":"北京"}}"#;

#[test]
fn it_runs_the_program_although_the_run_bits_are_lost() {
    for shell in shells() {
        let coze = Coze::start(Options::default());
        let copy = Copy::new().without_run_bits();
        launch(shell, &copy, &coze)
            .arg("-r")
            .run(REQUEST)
            .is(0, ECHOED, "");
        let mode = fs::metadata(copy.program()).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{shell:?}");
    }
}

#[test]
fn arguments_and_exit_code_are_the_programs() {
    let coze = Coze::start(Options::default());
    let copy = Copy::named("a skill's \"own\" \\ directory");
    for shell in shells() {
        let ended = launch(shell, &copy, &coze)
            .args(&["-r", "--request", REQUEST])
            .run("");
        ended.is(0, ECHOED, "");
        let refused = launch(shell, &copy, &coze).run(r#"{"workflow_id":"7000000000000000004"}"#);
        assert_eq!(refused.code, 4);
    }
}

#[test]
fn the_program_takes_its_place_so_that_a_signal_reaches_it() {
    for shell in shells() {
        let coze = Coze::start(Options {
            slow_polls: 1000,
            ..Options::default()
        });
        let copy = Copy::new();
        let program = launch(shell, &copy, &coze).args(&["--async", "--timeout", "0"]);
        let mut running = program.start();
        running.write(format!(r#"{{"workflow_id":"{}"}}"#, coze::SLOW));
        running.error_line();
        let executable = fs::read_link(format!("/proc/{}/exe", running.id())).unwrap();
        assert_eq!(executable, fs::canonicalize(copy.program()).unwrap());
    }
}

#[test]
fn it_needs_no_path_and_finds_itself_from_within_its_directory() {
    let coze = Coze::start(Options::default());
    let copy = Copy::new().without_run_bits();
    let command = format!(
        "cd '{}/scripts' && exec sh coze-workflow.sh -r",
        copy.skill.display()
    );
    let program = Program::other("/bin/sh").args(&["-c", &command]);
    let program = program
        .env("COZE_API_KEY", KEY)
        .env("COZE_BASE_URL", coze.url());
    program.env("CDPATH", "/tmp").run(REQUEST).is(0, ECHOED, "");
    let program = Program::other("/bin/sh")
        .arg(&copy.launcher())
        .env("PATH", "/nowhere");
    let program = program
        .env("COZE_API_KEY", KEY)
        .env("COZE_BASE_URL", coze.url());
    program.arg("-r").run(REQUEST).is(0, ECHOED, "");
}

#[test]
fn it_may_be_called_through_symbolic_links() {
    let coze = Coze::start(Options::default());
    let copy = Copy::new();
    let parent = copy.skill.parent().unwrap();
    let links = [
        ("by its path", copy.launcher()),
        ("again", "by its path".to_owned()),
        (
            "relative",
            "coze-workflow/scripts/coze-workflow.sh".to_owned(),
        ),
        ("a\nbreak\n", "-dash".to_owned()),
        ("-dash", "relative".to_owned()),
    ];
    for (name, target) in &links {
        symlink(target, parent.join(name)).unwrap();
    }
    symlink("coze-workflow", parent.join("skill")).unwrap();
    symlink("skill/scripts", parent.join("scripts")).unwrap();
    let in_links = ["skill/scripts/coze-workflow.sh", "scripts/coze-workflow.sh"];
    for shell in shells() {
        for called in links.iter().map(|(name, _)| *name).chain(in_links) {
            let path = parent.join(called);
            runs(shell, &path, &coze);
            runs_in(shell, parent, called, &coze);
        }
    }
    // As a command of its own, by its first line.
    let command = parent.join("again");
    Program::other(command)
        .env("COZE_API_KEY", KEY)
        .env("COZE_BASE_URL", coze.url())
        .arg("-r")
        .run(REQUEST)
        .is(0, ECHOED, "");
}

#[test]
fn its_directory_may_have_any_name() {
    let coze = Coze::start(Options::default());
    for name in ODD_NAMES {
        let copy = Copy::named(name).without_run_bits();
        for shell in shells() {
            runs(shell, Path::new(&copy.launcher()), &coze);
            let called = format!("{name}/scripts/coze-workflow.sh");
            runs_in(shell, copy.skill.parent().unwrap(), &called, &coze);
        }
    }
}

#[test]
fn a_refusal_is_one_line_in_a_directory_of_any_name() {
    for name in ODD_NAMES {
        let copy = Copy::named(name);
        fs::remove_file(copy.program()).unwrap();
        for shell in shells() {
            let ended = Program::other(shell[0])
                .args(&shell[1..])
                .arg(&copy.launcher())
                .run("");
            let (message, _) = refusal(&ended);
            let directory = copy.skill.join("bin").display().to_string();
            let shown = directory.replace('\n', " ");
            assert!(message.ends_with(&format!(" in {shown}")), "{message}");
        }
    }
}

#[test]
fn a_read_only_mount_is_no_hindrance_where_the_run_bit_is_there() {
    let Some(namespace) = mount_namespace("the launcher on a read-only mount") else {
        return;
    };
    let mount = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@""#;
    let coze = Coze::start(Options::default());
    for shell in shells() {
        for copy in [Copy::new(), Copy::new().without_run_bits()] {
            let has_bit = fs::metadata(copy.program()).unwrap().permissions().mode() & 0o111 != 0;
            let program = Program::other("unshare")
                .args(namespace)
                .args(&["sh", "-c", mount, copy.skill.to_str().unwrap()])
                .args(shell)
                .arg(&copy.launcher())
                .env("COZE_API_KEY", KEY)
                .env("COZE_BASE_URL", coze.url());
            let ended = program.run(REQUEST);
            if has_bit {
                assert_eq!((ended.code, &*ended.stderr), (0, ""));
            } else {
                cannot_run(&ended, &copy);
            }
        }
    }
}

#[test]
fn what_another_user_may_not_make_runnable_is_said_and_is_3() {
    if !can(
        "setpriv",
        &["--reuid=65534", "--regid=65534", "--clear-groups", "true"],
    ) {
        return skip("the launcher as another user", "only root may become one");
    }
    for shell in shells() {
        let copy = Copy::new().without_run_bits();
        set_mode(&copy.skill, 0o555);
        let program = Program::other("setpriv")
            .args(&["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args(shell)
            .arg(&copy.launcher());
        cannot_run(&program.run(REQUEST), &copy);
    }
}

#[test]
fn a_mount_that_lets_nothing_run_is_said_and_is_3() {
    let Some(namespace) = mount_namespace("the launcher on a noexec mount") else {
        return;
    };
    let mount = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro,noexec "$0" && exec "$@""#;
    for shell in shells() {
        for copy in [Copy::new(), Copy::new().without_run_bits()] {
            let program = Program::other("unshare")
                .args(namespace)
                .args(&["sh", "-c", mount, copy.skill.to_str().unwrap()])
                .args(shell)
                .arg(&copy.launcher());
            cannot_run(&program.run(REQUEST), &copy);
        }
    }
}

#[test]
fn each_system_has_its_own_program() {
    // `command` as a function: the launcher asks past any other uname.
    let elsewhere = "command() { shift; if [ $1 = uname ]; then echo \"$MACHINE\"; else \"$@\"; fi; }; . \"$0\"";
    for (machine, name) in [
        ("Linux arm64", "aarch64"),
        ("Darwin arm64", "aarch64-macos"),
        ("Darwin x86_64", "x86_64-macos"),
        ("MINGW64_NT-10.0-19045 x86_64", "x86_64-windows.exe"),
        ("FreeBSD x86_64", "FreeBSD x86_64"),
    ] {
        let copy = Copy::new();
        let program = copy.skill.join(format!("bin/coze-workflow-{name}"));
        fs::write(&program, "echo coze-workflow of $0\n").unwrap();
        set_mode(&program, 0o755);
        let launcher = Program::other("sh").env("MACHINE", machine);
        let ended = launcher.args(&["-c", elsewhere, &copy.launcher()]).run("");
        let expected = format!("coze-workflow of {}", program.display());
        ended.is(0, &expected, "");
    }
}

#[test]
fn an_architecture_without_a_program_is_said_and_is_3() {
    for shell in shells() {
        let copy = Copy::named("a \"skill\" \\");
        fs::rename(copy.program(), copy.skill.join("bin/coze-workflow-riscv64")).unwrap();
        let ended = Program::other(shell[0])
            .args(&shell[1..])
            .arg(&copy.launcher())
            .run("");
        let (message, hint) = refusal(&ended);
        let directory = copy.skill.join("bin");
        let end = format!(" in {}", directory.display());
        assert!(
            message.starts_with("there is no program for Linux ") && message.ends_with(&end),
            "{message}"
        );
        let name = copy.program();
        assert!(
            hint.ends_with(name.file_name().unwrap().to_str().unwrap()),
            "{hint}"
        );
    }
}

#[test]
fn a_refusal_keeps_to_raw_output_and_quiet() {
    let copy = Copy::new();
    fs::remove_file(copy.program()).unwrap();
    let run = |options: &[&str]| {
        let program = Program::other("/bin/sh").arg(&copy.launcher());
        program.args(options).run("")
    };
    let quiet = run(&["--quiet"]);
    assert_eq!(
        (quiet.code, quiet.stdout.lines().count(), &*quiet.stderr),
        (3, 1, "")
    );
    for option in ["-r", "--raw-output", "-g", "-ga.b", "--get=a.b", "-qr"] {
        let raw = run(&["-q", option]);
        let lines = raw.stderr.lines().count();
        assert_eq!((raw.code, &*raw.stdout, lines), (3, "", 1), "{option}");
    }
}

#[test]
fn a_hint_is_in_the_readers_language() {
    let copy = Copy::new();
    fs::remove_file(copy.program()).unwrap();
    for shell in shells() {
        let hint = |locale: &str| {
            let program = Program::other(shell[0]).args(&shell[1..]);
            let program = program.arg(&copy.launcher()).env("LC_ALL", "");
            refusal(&program.env("LANG", locale).run("")).1
        };
        let name = format!("coze-workflow-{}", std::env::consts::ARCH);
        let chinese = format!("用源码执行 make static 编译，再以 {name} 为名放到该目录");
        assert_eq!(hint("zh_CN.UTF-8"), chinese);
        assert!(hint("en_US.UTF-8").starts_with("build one "));
    }
}

/// The shells of this machine.
fn shells() -> impl Iterator<Item = &'static [&'static str]> {
    SHELLS.into_iter().filter(|shell| {
        let there = can(shell[0], &[&shell[1..], &["-c", "true"]].concat());
        if !there {
            skip(
                &format!("the launcher under {}", shell[0]),
                "it is not here",
            );
        }
        there
    })
}

/// The arguments of `unshare` with which mounts can be made; none, once that is said, where they can't.
fn mount_namespace(what: &str) -> Option<&'static [&'static str]> {
    let namespace = &["--user", "--map-root-user", "--mount"];
    if can("unshare", &[&namespace[..], &["true"]].concat()) {
        return Some(namespace);
    }
    skip(what, "no mount namespace may be made here");
    None
}

/// Called by its whole path.
#[track_caller]
fn runs(shell: &[&str], launcher: &Path, coze: &Coze) {
    let program = Program::other(shell[0])
        .args(&shell[1..])
        .arg(launcher.to_str().unwrap());
    is_run(program, coze);
}

/// Called by a name in `directory`.
#[track_caller]
fn runs_in(shell: &[&str], directory: &Path, launcher: &str, coze: &Coze) {
    let script = r#"cd -- "$0" && exec "$@""#;
    let program = Program::other("sh")
        .args(&["-c", script, directory.to_str().unwrap()])
        .args(shell)
        // A name may begin with a dash.
        .args(&["--", launcher]);
    is_run(program, coze);
}

#[track_caller]
fn is_run(program: Program, coze: &Coze) {
    let program = program
        .env("COZE_API_KEY", KEY)
        .env("COZE_BASE_URL", coze.url());
    program.arg("-r").run(REQUEST).is(0, ECHOED, "");
}

fn launch(shell: &[&str], copy: &Copy, coze: &Coze) -> Program {
    let program = Program::other(shell[0])
        .args(&shell[1..])
        .arg(&copy.launcher());
    program
        .env("COZE_API_KEY", KEY)
        .env("COZE_BASE_URL", coze.url())
}

#[track_caller]
fn cannot_run(ended: &Ended, copy: &Copy) {
    let (message, hint) = refusal(ended);
    let expected = format!(
        "{} can't be run here: Permission denied",
        copy.program().display()
    );
    assert_eq!(message, expected);
    assert!(hint.starts_with("chmod 755 it as its owner; "), "{hint}");
}

/// Message and hint of a response that is exactly the program's own for a bad configuration.
#[track_caller]
fn refusal(ended: &Ended) -> (String, String) {
    let response: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let error = response["error"].clone();
    let [message, hint] = ["message", "hint"].map(|key| error[key].as_str().unwrap().to_owned());
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let stdout = format!(
        r#"{{"execute_id":"","status":"Fail","output":"","debug_url":"","error":{{"kind":"config","message":{},"hint":{}}}}}"#,
        quoted(&message),
        quoted(&hint)
    );
    ended.is(
        3,
        &stdout,
        &crate::support::program::complaint(&error.to_string()),
    );
    (message, hint)
}
