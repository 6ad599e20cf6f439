//! The skill's directory that is tested, copies of it, and what a test may do when this machine
//! lacks something it needs.

use std::env::{self, consts::ARCH};
use std::fs;
use std::io::{Write, stderr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// The directory that `COZE_WORKFLOW_SKILL` names, as it will be shipped.
pub(crate) fn shipped() -> Option<PathBuf> {
    let path = env::var_os("COZE_WORKFLOW_SKILL")?;
    Some(fs::canonicalize(path).expect("COZE_WORKFLOW_SKILL names a directory"))
}

/// The shipped directory, or one assembled in the same way around the program under test.
pub(crate) fn skill() -> &'static Path {
    static SKILL: OnceLock<PathBuf> = OnceLock::new();
    SKILL.get_or_init(|| {
        shipped().unwrap_or_else(|| {
            let dist = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dist");
            let program = env!("CARGO_BIN_EXE_coze-workflow");
            make("skill-directory", &dist, &format!("{ARCH}={program}"));
            dist.join("coze-workflow")
        })
    })
}

/// The program in it for this machine.
pub(crate) fn program() -> PathBuf {
    skill().join(format!("bin/coze-workflow-{ARCH}"))
}

#[track_caller]
pub(crate) fn make(target: &str, dist: &Path, binaries: &str) {
    let mut make = Command::new("make");
    make.current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["--silent", target, &format!("BINARIES={binaries}")])
        .arg(format!("DIST={}", dist.display()));
    // What cargo tells a test of itself would tell the cargo that make calls to build ring anew.
    for (name, _) in env::vars_os() {
        let is_told = name.as_encoded_bytes().starts_with(b"CARGO_");
        if is_told && name != "CARGO_HOME" && name != "CARGO_TARGET_DIR" {
            make.env_remove(name);
        }
    }
    let output = make.output().expect("make");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "make {target}: {stderr}");
}

/// A copy of the skill, in a directory that every user may look into.
pub(crate) struct Copy {
    /// What it lies in, for as long as it is used.
    _parent: TempDir,
    pub(crate) skill: PathBuf,
}

impl Copy {
    pub(crate) fn new() -> Self {
        Self::named("coze-workflow")
    }

    /// In a directory of that name.
    pub(crate) fn named(name: &str) -> Self {
        let directory = TempDir::new().expect("a directory");
        set_mode(directory.path(), 0o755);
        let skill = directory.path().join(name);
        copy(crate::assembled::skill(), &skill);
        Self {
            _parent: directory,
            skill,
        }
    }

    pub(crate) fn launcher(&self) -> String {
        let path = self.skill.join("scripts/coze-workflow.sh");
        path.to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.skill.join(format!("bin/coze-workflow-{ARCH}"))
    }

    /// As an archive leaves it that does not keep run bits.
    pub(crate) fn without_run_bits(self) -> Self {
        for directory in ["bin", "scripts"] {
            for file in fs::read_dir(self.skill.join(directory)).unwrap() {
                set_mode(&file.unwrap().path(), 0o644);
            }
        }
        self
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir(to).expect("a new directory");
        for entry in fs::read_dir(from).expect("a directory") {
            let name = entry.expect("an entry").file_name();
            copy(&from.join(&name), &to.join(&name));
        }
    } else {
        fs::copy(from, to).expect("a copy");
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

/// Whether this command does it, without a word.
pub(crate) fn can(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

/// Leaves something untested, and says so past the harness, which shows nothing of a test that
/// passed. What is about to be shipped is tested as a whole or not at all.
#[track_caller]
pub(crate) fn skip(what: &str, why: &str) {
    assert!(shipped().is_none(), "{what}: {why}");
    let _ = writeln!(stderr(), "skipped: {what}: {why}");
}
