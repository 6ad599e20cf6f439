//! GNU parallel: parts of the rows on one machine and on several, with programs killed, parallel itself
//! killed, a connection lost, and a host that can't reach Coze.

use std::path::Path;
use std::process::Command;
use std::{fs, str};

use crate::page::{self, block};
use crate::stage::{NO_WAY, Stage, is_here, wait};
use crate::support::coze::{ECHO, FAILS, RATE_LIMITED, SLOW, UNPUBLISHED};

#[test]
fn parallel_killed_and_called_again_starts_nothing_twice() {
    if !is_parallel_here() {
        return;
    }
    let mut rows = [SLOW; 16];
    rows[12..].copy_from_slice(&[ECHO, RATE_LIMITED, FAILS, UNPUBLISHED]);
    let stage = Stage::new(&rows);
    stage.kill_programs(2, 2, "");
    stage.tool(
        "parallel",
        r#"echo $$ > ../parallel.id; exec /usr/bin/parallel "$@""#,
    );
    let line = stage.here(&block(page::ONE_MACHINE));
    let mut first = stage.shell(&line).spawn().unwrap();
    wait(|| stage.killed() == 2);
    // The programs that it started go on.
    let id = stage.read("parallel.id");
    assert!(
        Command::new("sh")
            .args(["-c", "kill -9 $0", id.trim()])
            .status()
            .unwrap()
            .success()
    );
    first.wait().unwrap();
    // The failed row's part, and that of the refused one: they are the same.
    assert_eq!(stage.run(&line), 1);
    assert_eq!(failed(&stage), ["1", "part.07"]);
    let answers = stage.pass(1);
    stage.is_answered("GNU parallel", &answers, 1);
}

#[test]
fn parallel_on_hosts_that_fail_in_every_way_starts_nothing_twice() {
    if !is_parallel_here() {
        return;
    }
    let stage = Stage::new(&[SLOW; 16]);
    let away = stage.path("away.2").display().to_string();
    // Nothing is killed before host3 has its jobs: there, what was started would be watched in vain.
    stage.kill_programs(1, 2, &format!("until [ -e {away} ]; do sleep 0.1; done"));
    for host in ["host1", "host2", "host3"] {
        stage.home(host);
    }
    let tools = stage.path("bin").display().to_string();
    let root = stage.path("").display().to_string();
    // HOST, options and the command, which runs here, in the environment that sshd gives there. From host2
    // the connection is lost once, and the command goes on; from host3 nothing
    // reaches Coze at first.
    let ssh = format!(
        r#"host=$1; shift
[ "$1" = -- ] && shift
echo "$host" >> {root}/logins
there() {{ env -i SHELL=/bin/sh HOME={root}/$host PATH={tools}:/usr/bin:/bin "$@"; }}
case $host in
host2) if mkdir {root}/lost 2>/dev/null; then there sh -c "$*" > /dev/null 2>&1 & sleep 1; exit 255; fi ;;
host3) if mkdir {root}/away.1 2>/dev/null || mkdir {root}/away.2 2>/dev/null; then there {NO_WAY} sh -c "$*"; exit; fi ;;
esac
there sh -c "$*""#
    );
    stage.tool("ssh", &ssh);
    let cut = "split -d -n l/8 requests.jsonl part.\n";
    assert_eq!(stage.run(&(cut.to_owned() + &block(page::HOSTS))), 0);
    assert_eq!((stage.killed(), failed(&stage)), (1, Vec::<String>::new()));
    let logins = stage.read("logins");
    for (host, least) in [("host1", 2), ("host2", 2), ("host3", 2)] {
        assert!(
            logins.lines().filter(|line| *line == host).count() >= least,
            "{logins}"
        );
    }
    let answers = stage.pass(0);
    stage.is_answered("GNU parallel over ssh", &answers, 1);
}

fn is_parallel_here() -> bool {
    is_here(
        "GNU parallel",
        &[(Path::new("/usr/bin/parallel"), &["--version"])],
    )
}

/// Exit code and part of the jobs whose last line in the log says that they failed.
fn failed(stage: &Stage) -> Vec<String> {
    let log = fs::read(stage.path("shared/parts.log")).unwrap();
    let mut last = std::collections::BTreeMap::new();
    for line in str::from_utf8(&log).unwrap().lines().skip(1) {
        let fields: Vec<_> = line.split('\t').collect();
        let part = fields[8]
            .split("< ")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap();
        last.insert(
            part.to_owned(),
            (fields[6].to_owned(), fields[7].to_owned()),
        );
    }
    assert_eq!(last.len(), 8);
    last.retain(|_, (code, signal)| code != "0" || signal != "0");
    last.into_iter()
        .flat_map(|(part, (code, _))| [code, part])
        .collect()
}
