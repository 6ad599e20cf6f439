//! The program where there is nothing else: the static binary alone as a root, read-only, as another
//! user, without HOME, certificates or network; and the skill beside nothing but busybox. Needs the
//! shipped binaries, and a machine on which namespaces can be made.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::assembled::{can, copy, program, set_mode, shipped, skill, skip};
use crate::support::coze::{Coze, Options};
use crate::support::program::{Ended, KEY, Program};
use crate::support::tls::Authority;

const REQUEST: &str = r#"{"workflow_id":"7000000000000000001","parameters":{"city":"北京"}}"#;
const ECHOED: &str = r#"{"output":{"city":"北京"}}"#;

#[test]
fn the_binary_alone_in_a_root_runs_a_workflow_over_tls() {
    let Some(sandbox) = Sandbox::new() else {
        return;
    };
    let authority = Authority::new();
    fs::copy(program(), sandbox.path().join("coze-workflow")).unwrap();
    fs::write(sandbox.path().join("ca.pem"), authority.pem()).unwrap();
    let coze = Coze::start(Options {
        acceptor: Some(authority.acceptor()),
        ..Options::default()
    });
    let options = ["--base-url", &coze.url(), "--cacert", "/ca.pem", "-r"];
    let command = [&["/coze-workflow"], &options[..]].concat();
    sandbox
        .run(Network::OfTheMachine, &command)
        .is(0, ECHOED, "");
    assert_eq!(coze.counts().started.len(), 1);
}

#[test]
fn without_a_network_it_ends_with_5_and_says_that_there_may_be_none() {
    let Some(sandbox) = Sandbox::new() else {
        return;
    };
    fs::copy(program(), sandbox.path().join("coze-workflow")).unwrap();
    // By address, and by the name of the default, which nobody can look up.
    for options in [&["--base-url", "http://127.0.0.1:9"][..], &[]] {
        let command = [&["/coze-workflow", "--retries", "0"], options].concat();
        let ended = sandbox.run(Network::None, &command);
        let response: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(
            (ended.code, &response["error"]["kind"]),
            (5, &"unreachable".into())
        );
        let hint = response["error"]["hint"].as_str().unwrap();
        assert!(
            hint.contains("network") && hint.contains("sandbox"),
            "{hint}"
        );
    }
}

#[test]
fn the_skill_beside_nothing_but_busybox_does_the_main_job() {
    let Some(sandbox) = Sandbox::new() else {
        return;
    };
    if !add_busybox(sandbox.path()) {
        return skip("the skill on a bare machine", "no static busybox is here");
    }
    copy(skill(), &sandbox.path().join("skill"));
    let coze = Coze::start(Options::default());
    let url = coze.url();
    let command = [
        "/bin/sh",
        "/skill/scripts/coze-workflow.sh",
        "-r",
        "--base-url",
        &url,
    ];
    sandbox
        .run(Network::OfTheMachine, &command)
        .is(0, ECHOED, "");
    let copied = sandbox
        .path()
        .join("skill/bin")
        .join(program().file_name().unwrap());
    set_mode(&copied, 0o644);
    let ended = sandbox.run(Network::OfTheMachine, &command);
    assert_eq!((ended.code, &*ended.stdout), (3, ""));
    assert_eq!(coze.counts().started.len(), 1);
}

/// A directory that becomes the root of a process: read-only, and of another user if we are root.
struct Sandbox {
    root: TempDir,
}

#[derive(Clone, Copy)]
enum Network {
    OfTheMachine,
    None,
}

impl Sandbox {
    /// None, once that is said, where it can't be had.
    fn new() -> Option<Self> {
        let what = "a bare root";
        if shipped().is_none() {
            skip(
                what,
                "needs the static binary: make skill, then COZE_WORKFLOW_SKILL=dist/coze-workflow",
            );
            return None;
        }
        let root = TempDir::new().unwrap();
        set_mode(root.path(), 0o755);
        let namespaces = ["--user", "--map-root-user", "--mount", "--net", "true"];
        if !can("unshare", &namespaces) {
            skip(what, "no namespaces may be made here");
            return None;
        }
        Some(Self { root })
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn run(&self, network: Network, command: &[&str]) -> Ended {
        let root = self.path().to_str().unwrap();
        let other_user = ["--userspec=65534:65534", root];
        let (namespaces, chroot) = match can("sh", &["-c", "test $(id -u) = 0"]) {
            true => (&["--mount"][..], &other_user[..]),
            false => (
                &["--user", "--map-root-user", "--mount"][..],
                &other_user[1..],
            ),
        };
        let net: &[&str] = match network {
            Network::OfTheMachine => &[],
            Network::None => &["--net"],
        };
        let enter =
            r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec chroot "$@""#;
        let program = Program::other("unshare")
            .args(namespaces)
            .args(net)
            .args(&["env", "-u", "HOME", "sh", "-c", enter, root])
            .args(chroot)
            .args(command);
        program
            .env("COZE_API_KEY", KEY)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .run(REQUEST)
    }
}

/// A shell and what the launcher may need, in one static file.
fn add_busybox(root: &Path) -> bool {
    let busybox = Path::new("/bin/busybox");
    let elf = fs::read(busybox).unwrap_or_default();
    if elf.is_empty() || can("sh", &["-c", "readelf -lW /bin/busybox | grep INTERP"]) {
        return false;
    }
    fs::create_dir(root.join("bin")).unwrap();
    for name in ["sh", "uname", "chmod"] {
        fs::copy(busybox, root.join("bin").join(name)).unwrap();
    }
    true
}
