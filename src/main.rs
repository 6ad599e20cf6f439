//! `coze-workflow`: runs Coze workflows from a shell, a skill or a cron job. Requests in, responses
//! out. A funnel: arguments, configuration, inputs, and then `batch` does the work. The only file
//! that exits.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test that panics has failed")
)]

mod batch;
mod cli;
mod config;
mod console;
mod coze;
mod error;
mod http;
mod input;
mod json;
mod language;
mod response;
mod run;
mod sse;
mod text;
mod time;

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

use std::env;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::batch::journal::Journal;
use crate::batch::output_file::OutputFile;
use crate::batch::{Batch, Input, Output, Settings};
use crate::cli::{Command, Options, help};
use crate::config::{Config, Env, Origin};
use crate::console::{Console, Show};
use crate::coze::call::Call;
use crate::error::Error;
use crate::http::{Api, Http, Limits};
use crate::input::reader::Requests;
use crate::input::request::Manner;
use crate::response::Response;
use crate::run::Rules;
use crate::time::{Clock, SystemClock};

fn main() -> ExitCode {
    let clock = SystemClock::new();
    let env = Env::real();
    let language = config::language(&env);
    let exit_code = match cli::parse(env::args_os().skip(1)) {
        Ok(Command::ShortHelp) => print_text(&help::short(language)),
        Ok(Command::Help) => print_text(help::long(language)),
        Ok(Command::Version) => print_text(&format!("{}\n", cli::VERSION)),
        Ok(Command::Check(options)) => check(&options, &env, &clock),
        Ok(Command::Run(options)) => run(&options, &env, &clock),
        Err(error) => refuse(&Console::new(Show::default(), language, &clock), error),
    };
    ExitCode::from(exit_code)
}

fn run(options: &Options, env: &Env, clock: &SystemClock) -> u8 {
    let language = config::language(env);
    let console = Console::new(show(options), language, clock);
    if options.files.is_empty() && options.request.is_none() && io::stdin().is_terminal() {
        let usage = help::short(language);
        let _ = io::stderr().lock().write_all(usage.as_bytes());
        let error = Error::usage("there is no request, and standard input is a terminal");
        return refuse(&console, error);
    }
    let config = match config::load(options, env) {
        Ok(config) => config,
        Err(error) => return refuse(&console, error),
    };
    let console = console.mask_key(&config.key);
    explain(&console, &config);
    match prepare(options, &config, clock) {
        Ok((apis, inputs, output_file, journal)) => {
            let settings = Settings {
                manner: Manner {
                    allow_unknown_fields: options.allow_unknown_fields,
                    asynchronous: options.asynchronous,
                    no_wait: options.no_wait,
                },
                rules: rules(options, &config),
                numbered: apis.len() > 1 || journal.is_some(),
                clock,
                output: &console,
                output_file,
                journal,
            };
            console.with_status(|| Batch::new(inputs, settings).run(&apis))
        }
        Err(error) => refuse(&console, error),
    }
}

/// What is needed to work: a connection for each job, the inputs, the file of `-o`, the journal.
type Prepared<'a> = (
    Vec<Http>,
    Vec<Input>,
    Option<OutputFile>,
    Option<Journal<'a>>,
);

/// Whether two names lead to the same file: one would overwrite the other.
fn is_same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| {
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).canonicalize().ok()?;
        path.canonicalize()
            .ok()
            .or(Some(parent.join(path.file_name()?)))
    };
    one == other || whole(one).is_some_and(|path| Some(path) == whole(other))
}

/// All that can fail on this machine, before anything is sent.
fn prepare<'a>(
    options: &Options,
    config: &Config,
    clock: &'a SystemClock,
) -> Result<Prepared<'a>, Error> {
    let jobs = options.jobs.map_or(1, std::num::NonZero::get);
    let apis = (0..jobs)
        .map(|_| Http::new(config))
        .collect::<Result<_, _>>()?;
    let inputs = inputs(options)?;
    if let (Some(output), Some(journal)) = (&options.output, &options.journal)
        && is_same(output, journal)
    {
        let sentence = "--output and --journal name the same file";
        return Err(Error::usage(sentence).hint(
            "the output would overwrite the journal",
            "output 会覆盖运行记录",
        ));
    }
    let output_file = options
        .output
        .as_deref()
        .map(OutputFile::prepare)
        .transpose()?;
    let rerun_unknown = options.rerun_unknown;
    let journal = options
        .journal
        .as_deref()
        .map(|path| Journal::open(path, &config.base_url, rerun_unknown, clock))
        .transpose()?;
    Ok((apis, inputs, output_file, journal))
}

/// Where requests come from: `--request`, then the files, else standard input.
fn inputs(options: &Options) -> Result<Vec<Input>, Error> {
    let mut inputs = Vec::new();
    if let Some(request) = &options.request {
        refuse_file_name(request)?;
        let bytes = io::Cursor::new(request.clone().into_bytes());
        inputs.push(input(bytes, None).of_argument());
    }
    for path in &options.files {
        inputs.push(open(path)?);
    }
    if inputs.is_empty() {
        inputs.push(input(io::stdin(), None));
    }
    Ok(inputs)
}

/// `--request` with the name of a file is a mistake that JSON's own errors would hardly explain.
fn refuse_file_name(request: &str) -> Result<(), Error> {
    let is_json = request.trim_start().starts_with(['{', '[']);
    let extension = Path::new(request).extension();
    let names_json = extension.is_some_and(|extension| extension == "json" || extension == "jsonl");
    if is_json || !(names_json || Path::new(request).is_file()) {
        return Ok(());
    }
    let error = Error::usage("--request takes JSON, not the name of a file");
    Err(error.hint(
        "give it as FILE, without --request",
        "请直接把它作为文件参数，不用 --request",
    ))
}

fn open(path: &Path) -> Result<Input, Error> {
    if path == Path::new("-") {
        return Ok(input(io::stdin(), Some("-".to_owned())));
    }
    let name = path.display().to_string();
    let cannot = |error: io::Error| {
        let local = Error::usage(format!("cannot read {name}: {error}"));
        match name.starts_with('{') {
            true => local.hint(
                "to give a request as an argument: --request",
                "要在命令行中直接给出请求，请用 --request",
            ),
            false => local,
        }
    };
    let file = File::open(path).map_err(cannot)?;
    if file.metadata().map_err(cannot)?.is_dir() {
        return Err(Error::usage(format!(
            "cannot read {name}: it is a directory"
        )));
    }
    Ok(input(file, Some(name)))
}

fn input(bytes: impl Read + Send + 'static, name: Option<String>) -> Input {
    Requests::new(Box::new(bytes), name)
}

fn show(options: &Options) -> Show {
    Show {
        raw_output: options.raw_output,
        events: options.events,
        quiet: options.quiet,
        verbose: options.verbose,
    }
}

fn rules(options: &Options, config: &Config) -> Rules {
    Rules {
        timeout: config.timeout,
        idle_timeout: config.idle_timeout,
        poll_interval: config.poll_interval,
        retries: config.retries,
        no_wait: options.no_wait,
        batch: options.journal.is_some() || options.jobs.is_some_and(|jobs| jobs.get() > 1),
    }
}

/// `--check`: which configuration was found where, and whether anybody answers. Starts nothing, and
/// does not send the key.
fn check(options: &Options, env: &Env, clock: &SystemClock) -> u8 {
    let language = config::language(env);
    let console = Console::new(show(options), language, clock);
    let config = match config::load(options, env) {
        Ok(config) => config,
        Err(error) => return refuse(&console, error),
    };
    let console = console.mask_key(&config.key);
    explain(&console, &config);
    let http = match Http::new(&config) {
        Ok(http) => http,
        Err(error) => return refuse(&console, error),
    };
    let limits = Limits {
        total: config.timeout,
        idle: config.idle_timeout,
    };
    let before = clock.now();
    let answer = http.call(Call::Check, limits);
    let error = answer.as_ref().err();
    let error = error.map(|failure| run::unreachable(failure).translate(language));
    if let Some(error) = error.as_ref().filter(|_| !options.quiet) {
        console.complain(&error.line());
    }
    let exit_code = error.as_ref().map_or(0, |error| error.kind.exit_code());
    let report = Report {
        execute_id: "",
        status: if error.is_none() { "Success" } else { "Fail" },
        output: "",
        debug_url: "",
        error,
        http_status: answer.ok().map(|answer| answer.status),
        milliseconds: clock.now().saturating_sub(before).as_millis(),
        config: &config.origins,
        warnings: &config.warnings,
    };
    match console.print(&report) {
        true => exit_code,
        false => error::Kind::Io.exit_code(),
    }
}

/// What `--check` found: the keys of every response, then its own.
#[derive(Serialize)]
struct Report<'a> {
    execute_id: &'a str,
    status: &'a str,
    output: &'a str,
    debug_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    milliseconds: u128,
    config: &'a [Origin],
    warnings: &'a [String],
}

/// Under `-v`: every setting and where it comes from. Warnings are told there too.
fn explain(console: &Console<'_>, config: &Config) {
    for origin in &config.origins {
        console.explain(&format!(
            "{} {} ({})",
            origin.field, origin.value, origin.source
        ));
    }
    for warning in &config.warnings {
        console.explain(warning);
    }
}

/// One response and one line for what was found before any request was read.
fn refuse(console: &Console<'_>, error: Error) -> u8 {
    let mut response = Response::unsent(error);
    match console.respond(&mut response) {
        true => response.exit_code(),
        false => error::Kind::Io.exit_code(),
    }
}

fn print_text(text: &str) -> u8 {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => 0,
        // Whoever closes a pipe, `head` or a pager, has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(_) => error::Kind::Io.exit_code(),
    }
}
