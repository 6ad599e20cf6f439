//! The real program, run as a caller runs it: arguments, environment, files in a directory of its
//! own, pipes. Its environment is empty but for what a test puts there, and whatever it prints is
//! searched for the key. A program that does not do what a test waits for fails that test.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::terminal::{self, Terminal, without_status};

/// The key that the program is given; no key of anybody's.
pub const KEY: &str = "pat_no_real_key";

/// Where this variable is set, standard error is a terminal, and every test has to hold all the same:
/// `COZE_TEST_TERMINAL=1 cargo test --test program`, as one of those tests does itself.
pub const STDERR_IS_TERMINAL: &str = "COZE_TEST_TERMINAL";

/// How long a test waits for what must come. Long enough for the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program: the one that Cargo built for these tests, or another build of it, that this variable
/// names, such as one for Windows in a script that runs it.
pub fn path() -> OsString {
    let own = option_env!("CARGO_BIN_EXE_coze-workflow");
    env::var_os("COZE_WORKFLOW_PROGRAM").unwrap_or_else(|| {
        own.expect("an integration test: only those are told")
            .into()
    })
}

/// The program, before it runs.
pub struct Program {
    command: Command,
    directory: TempDir,
    may_quote_key: bool,
    has_own_stderr: bool,
}

impl Program {
    /// Without arguments, key or base URL.
    pub fn bare() -> Self {
        Self::other(path())
    }

    /// What lies beside the program, to be run as it is.
    pub fn beside(name: &str) -> Self {
        Self::other(Path::new(&path()).with_file_name(name))
    }

    /// Another program, in the same empty environment.
    pub fn other(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        let directory = TempDir::new().expect("a directory");
        command
            .env_clear()
            // Not the account's own home, which is where the program would look without it.
            .env("HOME", directory.path())
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self {
            command,
            directory,
            may_quote_key: false,
            has_own_stderr: false,
        }
    }

    /// With the key, for the Coze at `url`.
    pub fn at(url: &str) -> Self {
        Self::bare()
            .env("COZE_API_KEY", KEY)
            .args(&["--base-url", url])
    }

    pub fn arg(self, argument: &str) -> Self {
        self.args(&[argument])
    }

    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// A file in the directory where the program runs, which is also its home.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path().join(name);
        let directory = path.parent().expect("a file in the directory");
        fs::create_dir_all(directory).expect("a directory");
        fs::write(path, content).expect("a file");
        self
    }

    /// The directory where the program runs.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn stdin_from(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    pub fn stdout_to(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    pub fn stderr_to(mut self, stderr: impl Into<Stdio>) -> Self {
        self.command.stderr(stderr);
        self.has_own_stderr = true;
        self
    }

    /// The service's `output` quotes the key, which is not to be altered.
    pub fn may_quote_key(mut self) -> Self {
        self.may_quote_key = true;
        self
    }

    /// Runs it to its end on these requests.
    #[track_caller]
    pub fn run(self, requests: impl AsRef<[u8]>) -> Ended {
        let mut running = self.start();
        running.write(requests);
        running.finish()
    }

    /// Starts it, its standard input open.
    pub fn start(mut self) -> Running {
        let stderr = env::var_os(STDERR_IS_TERMINAL).filter(|_| !self.has_own_stderr);
        let stderr = stderr.map(|_| terminal::open(80)).map(|(terminal, end)| {
            self.command.stderr(end);
            terminal
        });
        let mut child = self.command.spawn().expect("the program");
        // Its own ends of the pipes must go, or they would never be at their end.
        drop(std::mem::replace(&mut self.command, Command::new("")));
        Running {
            stdin: child.stdin.take(),
            stdout: Lines::of(child.stdout.take()),
            stderr: Lines::of(child.stderr.take()),
            terminal: stderr,
            lines_read: 0,
            child,
            directory: self.directory,
            may_quote_key: self.may_quote_key,
        }
    }
}

/// The program at work; killed when the test is left.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines,
    stderr: Lines,
    /// Standard error, where it is one, and how many of its lines were read.
    terminal: Option<Terminal>,
    lines_read: usize,
    directory: TempDir,
    may_quote_key: bool,
}

impl Running {
    /// Gives it more to read. A program that has stopped reading is no failure.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut();
        let _ = stdin.map(|stdin| stdin.write_all(bytes.as_ref()));
    }

    /// To be filled by another thread.
    #[track_caller]
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("a standard input that is open")
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next line of its standard output.
    #[track_caller]
    pub fn line(&mut self) -> String {
        self.stdout.next("standard output")
    }

    /// The next line of its standard error.
    #[track_caller]
    pub fn error_line(&mut self) -> String {
        let Some(terminal) = &self.terminal else {
            return self.stderr.next("standard error");
        };
        self.lines_read += 1;
        let line = terminal.line(self.lines_read - 1);
        self.stderr.checked(line.trim_end_matches('\n'))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
    }

    /// The most memory that it has held so far, in bytes.
    #[track_caller]
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.expect("a program that has not ended");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kilobytes = kilobytes.and_then(|number| number.parse::<u64>().ok());
        kilobytes.expect("a peak in kilobytes") * 1024
    }

    #[track_caller]
    pub fn threads(&self) -> usize {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id()));
        let count = tasks.expect("a program that has not ended").count();
        // The status line has its own.
        count - usize::from(self.terminal.is_some())
    }

    /// Closes its standard input and waits for its end.
    #[track_caller]
    pub fn finish(mut self) -> Ended {
        self.close_stdin();
        let stdout = self.stdout.rest("standard output");
        let mut stderr = self.stderr.rest("standard error");
        // Its output is at its end, so that it is ending as well.
        let status = self.child.wait().expect("a status");
        if let Some(terminal) = self.terminal.take() {
            let told = without_status(&terminal.finish().1);
            let rest = told.split_inclusive('\n').skip(self.lines_read);
            stderr += &self.stderr.checked(&rest.collect::<String>());
        }
        let quoted = [&self.stdout, &self.stderr].map(|lines| lines.quoted_key);
        assert!(
            self.may_quote_key || quoted == [false, false],
            "the key is in {stdout:?} or {stderr:?}"
        );
        let directory = std::mem::replace(&mut self.directory, TempDir::new().expect("another"));
        Ended {
            code: status.code().expect("an end of its own will"),
            stdout,
            stderr,
            directory,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

/// What came of it. In what it printed, `PORT` is any port on 127.0.0.1.
pub struct Ended {
    pub code: i32,
    /// What was not yet read by `line`.
    pub stdout: String,
    pub stderr: String,
    directory: TempDir,
}

impl Ended {
    /// All of it at once: the exit code, and both outputs without their last line break.
    #[track_caller]
    pub fn is(&self, code: i32, stdout: &str, stderr: &str) {
        let printed = |text: &str| text.strip_suffix('\n').unwrap_or(text).to_owned();
        let got = (self.code, printed(&self.stdout), printed(&self.stderr));
        assert_eq!(got, (code, stdout.to_owned(), stderr.to_owned()));
        for text in [&self.stdout, &self.stderr] {
            assert!(text.is_empty() || text.ends_with('\n'), "no line: {text:?}");
        }
    }

    /// A single response of this exit code and `error`, the text of an object; and the line on
    /// standard error that says the same.
    #[track_caller]
    pub fn is_error(&self, code: i32, error: &str) {
        let status = if matches!(code, 6 | 8) {
            "Running"
        } else {
            "Fail"
        };
        let response = format!(
            r#"{{"execute_id":"","status":"{status}","output":"","debug_url":"","workflow_id":"7","error":{error}}}"#
        );
        self.is(code, &response, &complaint(error));
    }

    /// The responses, one a line.
    #[track_caller]
    pub fn responses(&self) -> Vec<serde_json::Value> {
        let lines = self.stdout.lines().map(serde_json::from_str);
        lines.map(|json| json.expect("one JSON value")).collect()
    }

    /// Where it ran.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// The line on standard error for an `error`: `coze-workflow: kind: message (code 4200; hint)`.
#[track_caller]
pub fn complaint(error: &str) -> String {
    let error: serde_json::Value = serde_json::from_str(error).expect("an error in JSON");
    let text = |key: &str| error[key].as_str().map(str::to_owned);
    let code = error["code"].as_i64().map(|code| format!("code {code}"));
    let asides: Vec<_> = code.into_iter().chain(text("hint")).collect();
    let asides = match asides.join("; ") {
        none if none.is_empty() => none,
        some => format!(" ({some})"),
    };
    let (kind, message) = (text("kind"), text("message"));
    let (kind, message) = (kind.expect("a kind"), message.expect("a message"));
    format!("coze-workflow: {kind}: {message}{asides}")
}

/// One output of the program, read as it comes.
struct Lines {
    lines: Receiver<String>,
    quoted_key: bool,
}

impl Lines {
    fn of(output: Option<impl Read + Send + 'static>) -> Self {
        let (sender, lines) = channel();
        if let Some(output) = output {
            thread::spawn(move || {
                let (mut output, mut line) = (BufReader::new(output), Vec::new());
                while output
                    .read_until(b'\n', &mut line)
                    .is_ok_and(|count| count > 0)
                {
                    let text = String::from_utf8(std::mem::take(&mut line));
                    // The test may have what it wants.
                    let _ = sender.send(text.expect("UTF-8"));
                }
            });
        }
        Self {
            lines,
            quoted_key: false,
        }
    }

    #[track_caller]
    fn next(&mut self, name: &str) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("{name} has no further line"));
        self.checked(&line).trim_end_matches('\n').to_owned()
    }

    #[track_caller]
    fn rest(&mut self, name: &str) -> String {
        let mut rest = String::new();
        loop {
            use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => rest += &self.checked(&line),
                Err(Disconnected) => return rest,
                Err(Timeout) => panic!("{name} does not end; so far: {rest:?}"),
            }
        }
    }

    fn checked(&mut self, line: &str) -> String {
        self.quoted_key |= line.contains(KEY);
        without_ports(line)
    }
}

/// The text with the ports of this very run taken out, so that it can be compared.
pub fn without_ports(text: &str) -> String {
    const HOST: &str = "127.0.0.1:";
    let mut parts = text.split(HOST);
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|char: char| char.is_ascii_digit());
        clean += HOST;
        clean += if rest.len() < part.len() { "PORT" } else { "" };
        clean += rest;
    }
    clean
}
