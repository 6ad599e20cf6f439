//! Where an engine plays: a Coze that counts, a directory that all tasks share, rows, the program on
//! the PATH with the faults that a test wants, and scripts run there, bounded in time.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{Write as _, stderr};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::page::{self, block};
use crate::support::coze::{self, Coze, Options};
use crate::support::program::KEY;

/// For whatever a script does; it is ended then, with all that it started.
pub(crate) const PATIENCE: &str = "100";

/// A proxy that is not there: through it the same Coze is unreachable.
pub(crate) const NO_WAY: &str = "http_proxy=http://127.0.0.1:9";

pub(crate) struct Stage {
    pub(crate) coze: Coze,
    directory: TempDir,
    /// The workflow of each row; its id and key are `r` and its number. All rows are equally long, so that
    /// `split` gives each part as many.
    rows: Vec<&'static str>,
}

impl Stage {
    /// With these rows in `requests.jsonl`, and the program as it is.
    pub(crate) fn new(rows: &[&'static str]) -> Self {
        Self::with(rows, Options::default())
    }

    pub(crate) fn with(rows: &[&'static str], options: Options) -> Self {
        // The second look at a run that was slow finds its end.
        let slow_polls = 1;
        let stage = Self {
            coze: Coze::start(Options {
                slow_polls,
                ..options
            }),
            directory: TempDir::new().unwrap(),
            rows: rows.to_vec(),
        };
        for name in ["bin", "shared", "etc", "var/lib/report", "home"] {
            fs::create_dir_all(stage.path(name)).unwrap();
        }
        stage.home("home");
        let lines: String = (0..rows.len())
            .map(|row| stage.request(row) + "\n")
            .collect();
        fs::write(stage.path("shared/requests.jsonl"), lines).unwrap();
        symlink(program(), stage.path("bin/coze-workflow")).unwrap();
        stage
    }

    pub(crate) fn request(&self, row: usize) -> String {
        let id = format!("r{row:02}");
        let parameters = json!({"key": id, "text": "你好"});
        json!({"id": id, "workflow_id": self.rows[row], "parameters": parameters}).to_string()
    }

    /// Makes a directory the home of somebody who has the key.
    pub(crate) fn home(&self, name: &str) -> PathBuf {
        let home = self.path(name);
        let configuration = json!({"api_key": KEY, "base_url": self.coze.url()}).to_string();
        fs::create_dir_all(home.join(".config/coze-workflow")).unwrap();
        fs::write(
            home.join(".config/coze-workflow/config.json"),
            &configuration,
        )
        .unwrap();
        fs::write(self.path("etc/coze.json"), &configuration).unwrap();
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A text of the page, with the directories of a real machine moved here.
    pub(crate) fn here(&self, text: &str) -> String {
        let root = self.directory.path().display();
        text.replace("/usr/local/bin", &format!("{root}/bin"))
            .replace("/shared", &format!("{root}/shared"))
            .replace("/var/lib/", &format!("{root}/var/lib/"))
            .replace("/etc/", &format!("{root}/etc/"))
    }

    /// A file of the shared directory, as the page has it.
    pub(crate) fn file(&self, name: &str, text: &str) {
        fs::write(self.path("shared").join(name), self.here(text)).unwrap();
    }

    /// Something to call by its name.
    pub(crate) fn tool(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        // Never through the link to the program itself.
        let _ = fs::remove_file(&path);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }

    /// From now on the first `kills` programs that have `runs` runs going on at once are killed there,
    /// as by a power cut; `before` is done before each.
    pub(crate) fn kill_programs(&self, kills: u32, runs: u32, before: &str) {
        let (root, program) = (self.directory.path().display(), program());
        let script = format!(
            r#"{before}
[ -e {root}/killed.{kills} ] && exec {program} "$@"
exec 3<&0
{program} "$@" <&3 3<&- &
program=$!
exec 3<&-
going() {{
  mine=$(grep -ls "\"process_id\":$program," {root}/shared/journal/* {root}/var/lib/report/*.journal/*)
  [ "$mine" ] && [ "$(grep -L '"ended"' /dev/null $(grep -l '"started"' $mine) | wc -l)" -gt {runs} ]
}}
while kill -0 $program 2>/dev/null; do
  if going; then
    # Not while a start is on its way: that run would be unknown for good.
    kill -STOP $program
    if going && [ ! "$(grep -L '"started"\|"not_started"\|"ended"' $mine)" ]; then
      for number in $(seq {kills}); do
        if mkdir {root}/killed.$number 2>/dev/null; then kill -9 $program; break; fi
      done
    fi
    kill -CONT $program 2>/dev/null
  fi
  sleep 0.05
done
wait $program"#
        );
        self.tool("coze-workflow", &script);
    }

    /// How many programs were killed.
    pub(crate) fn killed(&self) -> usize {
        let names = fs::read_dir(self.directory.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("killed.")).count()
    }

    /// A shell in the shared directory, its environment empty but for home and PATH. What it says goes
    /// to files: no process that outlives it holds a pipe.
    pub(crate) fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", PATIENCE, "sh", "-c", script])
            .env_clear()
            .env(
                "PATH",
                format!(
                    "{}:{}",
                    self.path("bin").display(),
                    env::var("PATH").unwrap()
                ),
            )
            .env("HOME", self.path("home"))
            .env("LC_ALL", "C.UTF-8")
            .current_dir(self.path("shared"))
            .stdin(File::open("/dev/null").unwrap())
            .stdout(File::create(self.path("stdout")).unwrap())
            .stderr(File::create(self.path("stderr")).unwrap());
        command
    }

    /// Runs it to its end; shown when the test fails.
    pub(crate) fn run(&self, script: &str) -> i32 {
        let script = self.here(script);
        let status = self.shell(&script).status().unwrap();
        eprintln!("{script}\n{status}\n{}", self.said());
        status.code().expect("an end of its own will")
    }

    pub(crate) fn said(&self) -> String {
        self.read("stdout") + &self.read("stderr")
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.path(name)).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The page's last pass, which ends with `code`. The engine has left nothing for it to start.
    #[track_caller]
    pub(crate) fn pass(&self, code: i32) -> String {
        let started = self.coze.counts().started;
        assert_eq!(self.run(&block(page::ANSWERS)), code);
        assert_eq!(self.coze.counts().started, started);
        self.read("shared/answers.jsonl")
    }

    /// The proof: every row has its answer, `times` times over, and no run was started twice.
    #[track_caller]
    pub(crate) fn is_answered(&self, engine: &str, answers: &str, times: usize) {
        let answers: Vec<Value> = answers
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect();
        assert_eq!(answers.len(), self.rows.len() * times);
        let counts = self.coze.counts();
        let mut runs = 0;
        for (row, &workflow) in self.rows.iter().enumerate() {
            let id = format!("r{row:02}");
            let (kind, starts) = match workflow {
                coze::UNPUBLISHED => (json!("refused"), None),
                coze::FAILS => (json!("failed"), Some(&1)),
                _ => (Value::Null, Some(&1)),
            };
            let found: Vec<_> = answers
                .iter()
                .filter(|answer| answer["id"] == *id)
                .collect();
            assert_eq!(found.len(), times, "{id}");
            for answer in found {
                assert_eq!(answer["error"]["kind"], kind, "{answer}");
                assert_eq!(answer["status"] == "Success", kind.is_null(), "{answer}");
            }
            assert_eq!(counts.started.get(&id), starts, "{id}: {counts:?}");
            runs += usize::from(starts.is_some());
        }
        let mut sum = format!(
            "{engine}: {} rows answered, {runs} runs started",
            self.rows.len()
        );
        write!(
            sum,
            ", none twice; {} starts sent, {} polls",
            counts.run, counts.polls
        )
        .unwrap();
        writeln!(sum, ", {} programs killed", self.killed()).unwrap();
        // Past the harness, which shows nothing of a test that passed.
        stderr().write_all(sum.as_bytes()).unwrap();
    }
}

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_coze-workflow")
}

#[track_caller]
pub(crate) fn wait(mut is_there: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(90);
    while !is_there() {
        assert!(Instant::now() < end, "waited in vain");
        sleep(Duration::from_millis(20));
    }
}

/// The Python that has what the tests of Spark and Kubernetes need.
pub(crate) fn python() -> PathBuf {
    let python = env::var_os("COZE_WORKFLOW_ENGINES");
    python.map_or_else(|| Path::new("python3").to_owned(), PathBuf::from)
}

/// Whether all of these commands can be run. Where one can't, that is said past the harness, and a
/// machine that is to have every engine fails.
#[track_caller]
pub(crate) fn is_here(engine: &str, commands: &[(&Path, &[&str])]) -> bool {
    let missing = commands.iter().find(|(program, arguments)| {
        let output = Command::new(program).args(*arguments).output();
        !output.is_ok_and(|output| output.status.success())
    });
    let Some((program, arguments)) = missing else {
        return true;
    };
    let why = format!("`{} {}` fails here", program.display(), arguments.join(" "));
    assert!(
        env::var_os("COZE_WORKFLOW_ENGINES").is_none(),
        "{engine}: {why}"
    );
    let _ = writeln!(stderr(), "skipped: {engine}: {why}");
    false
}
