//! Who is measured, each called as its documentation shows: this program, curl alone (the floor of
//! the network), the usual pipe of curl, grep and jq, and Coze's own SDKs for Python and JavaScript.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::server::Server;
use crate::{DIRECTORY, Outcome, budget};

const KEY: &str = "pat_bench_dummy";
const PARAMETERS: &str = r#"{"city":"北京","days":3}"#;
const ADAPTERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/clients");

pub(crate) enum Client {
    Ours(PathBuf),
    Curl,
    Script,
    /// The interpreter, and where `cozepy` is.
    Python(PathBuf, PathBuf),
    /// Where `node_modules` is.
    JavaScript(PathBuf),
}

/// What a client is to do.
#[derive(Clone)]
pub(crate) struct Job<'a> {
    server: &'a Server,
    workflow_id: &'a str,
    /// A line for each event as it comes.
    live: bool,
    runs: usize,
    jobs: usize,
    /// What it is to be run by.
    tool: &'a [&'a str],
}

impl<'a> Job<'a> {
    pub(crate) fn new(server: &'a Server, workflow_id: &'a str) -> Self {
        Self {
            server,
            workflow_id,
            live: false,
            runs: 1,
            jobs: 1,
            tool: &[],
        }
    }

    pub(crate) fn live(self) -> Self {
        Self { live: true, ..self }
    }

    /// Many runs in one process: ours only.
    pub(crate) fn batch(self, runs: usize, jobs: usize) -> Self {
        Self { runs, jobs, ..self }
    }

    pub(crate) fn under(self, tool: &'a [&'a str]) -> Self {
        Self { tool, ..self }
    }
}

/// All that can be had here, ours and curl first, and a word on each that can't.
pub(crate) fn all(program: PathBuf) -> Outcome<(Vec<Client>, Vec<String>)> {
    fs::create_dir_all(DIRECTORY)?;
    let mut clients = vec![Client::Ours(program), Client::Curl, Client::Script];
    let mut left_out = Vec::new();
    for (name, needs, installed) in [
        ("cozepy", "python3-pip", python()),
        ("@coze/api", "npm", javascript()),
    ] {
        match installed {
            Ok(client) => clients.push(client),
            Err(error) => left_out.push(format!(
                "{name} is left out: {error}: it needs a network, and apt-get install {needs}"
            )),
        }
    }
    Ok((clients, left_out))
}

fn python() -> Outcome<Client> {
    // Not what PATH names, which may be a script that chooses among versions.
    let interpreter =
        said(Command::new("python3").args(["-c", "import sys; print(sys.executable)"]))?;
    let packages = Path::new(DIRECTORY).join("python");
    if !packages.exists() {
        let pip = ["-m", "pip", "install", "--quiet", "--target"];
        said(
            Command::new(&interpreter)
                .args(pip)
                .arg(&packages)
                .arg("cozepy"),
        )?;
    }
    Ok(Client::Python(interpreter.into(), packages))
}

fn javascript() -> Outcome<Client> {
    let project = Path::new(DIRECTORY).join("javascript");
    if !project.join("node_modules").exists() {
        fs::create_dir_all(&project)?;
        let npm = ["install", "--silent", "--no-audit", "--no-fund", "--prefix"];
        said(Command::new("npm").args(npm).arg(&project).arg("@coze/api"))?;
    }
    // An import is looked for from where the importing file is.
    fs::copy(
        Path::new(ADAPTERS).join("javascript.mjs"),
        project.join("javascript.mjs"),
    )?;
    Ok(Client::JavaScript(project))
}

impl Client {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ours(_) => "coze-workflow",
            Self::Curl => "curl",
            Self::Script => "curl, grep, jq",
            Self::Python(..) => "cozepy",
            Self::JavaScript(_) => "@coze/api",
        }
    }

    /// Whether it is compiled.
    pub(crate) fn is_native(&self) -> bool {
        matches!(self, Self::Ours(_) | Self::Curl | Self::Script)
    }

    pub(crate) fn command(&self, job: &Job<'_>) -> Outcome<Command> {
        let Job {
            server,
            workflow_id,
            ..
        } = *job;
        let body = format!(r#"{{"workflow_id":"{workflow_id}","parameters":{PARAMETERS}}}"#);
        let mut words: Vec<String> = job.tool.iter().map(ToString::to_string).collect();
        let mut say = |more: &[&str]| words.extend(more.iter().map(ToString::to_string));
        let mut stdin = Stdio::null();
        match self {
            Self::Ours(program) => {
                say(&[text(program)?, "--base-url", &server.url]);
                if job.runs > 1 {
                    say(&["--jobs", &job.jobs.to_string()]);
                }
                if let Some(authority) = &server.authority {
                    say(&["--cacert", text(authority)?]);
                }
                if job.live {
                    say(&["--events"]);
                }
                stdin = requests(&body, job.runs)?.into();
            }
            Self::Curl => {
                say(&[
                    "curl",
                    "-sN",
                    &format!("{}/v1/workflow/stream_run", server.url),
                ]);
                say(&["-H", &format!("Authorization: Bearer {KEY}")]);
                say(&["-H", "Content-Type: application/json", "-d", &body]);
            }
            Self::Script => say(&["sh", &format!("{ADAPTERS}/script.sh"), &body]),
            Self::Python(interpreter, _) => {
                say(&[text(interpreter)?, &format!("{ADAPTERS}/python.py")]);
            }
            Self::JavaScript(project) => say(&["node", text(&project.join("javascript.mjs"))?]),
        }
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs([("COZE_API_KEY", KEY), ("COZE_API_TOKEN", KEY)])
            .envs([
                ("COZE_API_BASE", &*server.url),
                ("COZE_WORKFLOW_ID", workflow_id),
            ])
            .envs([
                ("COZE_PARAMETERS", PARAMETERS),
                ("PYTHONWARNINGS", "ignore"),
            ])
            .stdin(stdin)
            .stdout(Stdio::null());
        if let Some(authority) = &server.authority {
            for name in ["CURL_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"] {
                command.env(name, authority);
            }
        }
        if job.live {
            command.envs([("LIVE", "1"), ("PYTHONUNBUFFERED", "1")]);
        }
        if let Self::Python(_, packages) = self {
            command.env("PYTHONPATH", packages);
        }
        Ok(command)
    }

    /// Its name and version, and those of what it runs in.
    pub(crate) fn version(&self) -> Outcome<String> {
        Ok(match self {
            Self::Ours(program) => {
                let version = said(Command::new(program).arg("-V"))?;
                format!("{version} ({})", budget::built_by(program)?)
            }
            Self::Curl => first_words(&said(Command::new("curl").arg("-V"))?, 2),
            Self::Script => {
                let grep = first_words(&said(Command::new("grep").arg("-V"))?, 4);
                format!("{grep}, {}", said(Command::new("jq").arg("-V"))?)
            }
            Self::Python(interpreter, packages) => {
                let python = said(Command::new(interpreter).arg("-V"))?;
                let show = "import importlib.metadata as m; print(m.version('cozepy'))";
                let mut python3 = Command::new(interpreter);
                let show = python3.args(["-c", show]).env("PYTHONPATH", packages);
                format!("cozepy {} in {python}", said(show)?)
            }
            Self::JavaScript(project) => {
                let package = fs::read(project.join("node_modules/@coze/api/package.json"))?;
                let package: serde_json::Value = serde_json::from_slice(&package)?;
                let version = package["version"].as_str().unwrap_or_default();
                format!(
                    "@coze/api {version} in Node {}",
                    said(Command::new("node").arg("-v"))?
                )
            }
        })
    }

    /// In MB: the programs, the libraries they load, an interpreter's own library, the packages,
    /// and the certificates where they are not built in.
    pub(crate) fn disk(&self) -> Outcome<f64> {
        let certificates = Path::new("/etc/ssl/certs/ca-certificates.crt");
        let bytes = match self {
            Self::Ours(program) => fs::metadata(program)?.len(),
            Self::Curl => loaded(&["curl"])? + size(certificates)?,
            Self::Script => loaded(&["sh", "curl", "grep", "jq"])? + size(certificates)?,
            Self::Python(interpreter, packages) => {
                let library = "import sysconfig; print(sysconfig.get_path('stdlib'))";
                let library = said(Command::new(interpreter).args(["-c", library]))?;
                loaded(&[text(interpreter)?])? + size(Path::new(&library))? + size(packages)?
            }
            Self::JavaScript(project) => loaded(&["node"])? + size(&project.join("node_modules"))?,
        };
        Ok(bytes as f64 / 1e6)
    }
}

/// Several have an `id` each: in a journal, equal requests without one are one request.
fn requests(body: &str, runs: usize) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    if runs == 1 {
        writeln!(file, "{body}")?;
    } else {
        let keys = body.trim_start_matches('{');
        let lines = (0..runs).map(|id| format!("{{\"id\":{id},{keys}\n"));
        file.write_all(lines.collect::<String>().as_bytes())?;
    }
    file.rewind()?;
    Ok(file)
}

fn text(path: &Path) -> Outcome<&str> {
    path.to_str()
        .ok_or_else(|| format!("{} is not UTF-8", path.display()).into())
}

/// What a program says on stdout; an error with its last words if it fails.
pub(crate) fn said(command: &mut Command) -> Outcome<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start {program}: {error}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let complaint = complaint
            .trim_end()
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned();
        return Err(format!("{program} failed: {complaint}").into());
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}

fn first_words(text: &str, count: usize) -> String {
    let words: Vec<_> = text.split_whitespace().take(count).collect();
    words.join(" ")
}

/// The bytes of these programs and of every library that they load, each once.
fn loaded(programs: &[&str]) -> Outcome<u64> {
    let mut files = BTreeSet::new();
    for program in programs {
        let path = said(Command::new("sh").args(["-c", "command -v \"$0\"", program]))?;
        let libraries = said(Command::new("ldd").arg(&path))?;
        let libraries = libraries
            .split_whitespace()
            .filter(|word| word.starts_with('/'));
        for file in libraries.chain([path.as_str()]) {
            files.insert(fs::canonicalize(file)?);
        }
    }
    files.iter().map(|file| size(file)).sum()
}

/// The bytes of a file, or of all files below a directory but the packages and tests that come with
/// a Python library.
fn size(path: &Path) -> Outcome<u64> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    fs::read_dir(path)?
        .map(|entry| {
            let path = entry?.path();
            match path.file_name().and_then(|name| name.to_str()) {
                Some("site-packages" | "test") => Ok(0),
                _ => size(&path),
            }
        })
        .sum()
}
