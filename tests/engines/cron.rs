//! cron: the lines of a crontab run as cron runs them. It mails whatever a command says, so that
//! nothing may be said unless somebody has to act.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::page::{self, block};
use crate::stage::{NO_WAY, Stage};
use crate::support::coze::{ECHO, FAILS, Options, SLOW};

#[test]
fn cron_has_nothing_to_mail_while_the_report_can_still_come() {
    let stage = installed(&[SLOW], Options::default());
    stage.kill_programs(1, 1, &format!("[ -e away ] && export {NO_WAY}"));
    fs::write(stage.path("home/away"), "").unwrap();
    assert_eq!(
        (call(&stage, EVERY_TEN_MINUTES), stage.said().as_str()),
        (0, "")
    );
    assert!(stage.coze.counts().started.is_empty());
    fs::remove_file(stage.path("home/away")).unwrap();
    for killed in [1, 1, 1] {
        assert_eq!(
            (call(&stage, EVERY_TEN_MINUTES), stage.said().as_str()),
            (0, "")
        );
        assert_eq!(stage.killed(), killed);
    }
    assert_eq!((call(&stage, AT_LAST), stage.said().as_str()), (0, ""));
    assert!(today(&stage, "txt").contains("你好"));
    stage.is_answered("cron", &today(&stage, "response"), 1);
}

#[test]
fn cron_mails_a_failure_once() {
    let stage = installed(&[FAILS], Options::default());
    assert_eq!(call(&stage, EVERY_TEN_MINUTES), 1);
    assert!(
        stage.said().starts_with("coze-workflow: failed: "),
        "{}",
        stage.said()
    );
    for line in [EVERY_TEN_MINUTES, AT_LAST] {
        assert_eq!((call(&stage, line), stage.said().as_str()), (1, ""));
    }
    stage.is_answered("cron", &today(&stage, "response"), 1);
}

#[test]
fn cron_mails_at_the_last_call_what_did_not_come() {
    let may_look = false;
    let stage = installed(
        &[ECHO],
        Options {
            may_look,
            ..Options::default()
        },
    );
    assert_eq!(
        (call(&stage, EVERY_TEN_MINUTES), stage.said().as_str()),
        (0, "")
    );
    assert_eq!(call(&stage, AT_LAST), 6);
    assert!(stage.said().contains("listRunHistory"), "{}", stage.said());
    assert_eq!(
        stage
            .coze
            .counts()
            .started
            .into_values()
            .collect::<Vec<_>>(),
        [1]
    );
}

const EVERY_TEN_MINUTES: &str = "*/10 6-8 * * *";
const AT_LAST: &str = "5 9 * * *";

/// The script where the crontab calls it, and the day's request.
fn installed(rows: &[&'static str], options: Options) -> Stage {
    let stage = Stage::with(rows, options);
    let report = stage.here(&block(page::REPORT));
    let path = stage.path("bin/report");
    fs::write(&path, report).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(stage.path("etc/report.json"), stage.request(0)).unwrap();
    stage.tool("date", r#"[ "$*" = +%F ] && echo 2026-01-31"#);
    stage
}

/// As cron calls the line of this schedule: a `%` would be the end of the command.
#[track_caller]
fn call(stage: &Stage, schedule: &str) -> i32 {
    let crontab = stage.here(&block(page::CRONTAB));
    let mut lines = crontab.lines();
    assert_eq!(lines.next(), Some("MAILTO=you@example.com"));
    let command = lines
        .find_map(|line| line.strip_prefix(schedule))
        .unwrap()
        .trim();
    assert!(!command.contains('%'));
    let home = stage.path("home").display().to_string();
    stage.run(&format!(
        "cd {home} && exec env -i LOGNAME=root SHELL=/bin/sh PATH=/usr/bin:/bin HOME={home} sh -c '{command}'"
    ))
}

fn today(stage: &Stage, suffix: &str) -> String {
    stage.read(&format!("var/lib/report/2026-01-31.{suffix}"))
}
