//! `coze-workflow`: runs Coze workflows from a shell, a skill or a cron job. Requests in, responses
//! out. A funnel: arguments, configuration, requests, and then `batch` does the work. The only file
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
mod language;
mod platform;
mod proof;
mod response;
mod run;
mod service;
mod sse;
mod text;
mod time;

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

use std::env;
use std::io::{self, IsTerminal};
use std::num::NonZero;
use std::process::ExitCode;

use crate::batch::journal::Journal;
use crate::batch::output_file::OutputFile;
use crate::batch::{Settings, rehearsal};
use crate::cli::{Command, Options, help};
use crate::config::{Config, Env};
use crate::console::Console;
use crate::error::Error;
use crate::http::client::Client;
use crate::input::source;
use crate::run::rehearse::Rehearsal;
use crate::run::{Runner, Shared};
use crate::service::Found;
use crate::time::SystemClock;

fn main() -> ExitCode {
    let clock = SystemClock::default();
    let env = Env::real();
    let language = config::language(&env);
    let mut options = Options::default();
    let exit_code = match cli::parse(env::args_os().skip(1), &mut options) {
        Ok(Command::ShortHelp) => console::print_text(&help::short(language)),
        Ok(Command::Help) => console::print_text(help::long(language)),
        Ok(Command::Version) => console::print_text(&format!("{}\n", cli::VERSION)),
        Ok(Command::Work) => work(options, &env, &clock),
        // In the form that was asked for, as far as that was understood.
        Err(error) => Console::new(&options, &env, &clock).refuse(error),
    };
    ExitCode::from(exit_code)
}

fn work(mut options: Options, env: &Env, clock: &SystemClock) -> u8 {
    let config = config::load(&options, env);
    // Whoever reads requests needs to know, wherever it was named.
    options.service = config
        .as_ref()
        .map_or(options.service, |config| config.service);
    let mut console = Console::new(&options, env, clock);
    if !options.check && !options.names_requests() && io::stdin().is_terminal() {
        let error = Error::usage("there is no request, and standard input is a terminal");
        return console.greet(error);
    }
    let config = match config {
        Ok(config) => config,
        Err(error) => return console.refuse(error),
    };
    console.key = Some(&config.key);
    console.explain_config(&config);
    let answered = answer_all(&options, &config, &console, clock);
    answered.unwrap_or_else(|error| console.refuse(error))
}

/// An error comes before anything is sent.
fn answer_all(
    options: &Options,
    config: &Config,
    console: &Console<'_>,
    clock: &SystemClock,
) -> Result<u8, Error> {
    let clients = Client::several(config, options.jobs.map_or(1, NonZero::get))?;
    let (inputs, files) = source::open(options)?;
    let mut shared = Shared::new(Found::new(config.service), files);
    if options.check {
        let runner = Runner::new(&clients[0], clock, config.rules, &shared);
        let rehearsal = Rehearsal::new(runner, config);
        let rehearse = || rehearsal::run(inputs, rehearsal, options, console);
        return console.with_status(Box::new(rehearse));
    }
    let output_file = options.output.as_deref().map(OutputFile::prepare);
    let open = |path| Journal::open(path, &config.base_url, options, clock);
    let journal = options.journal.as_deref().map(open).transpose()?;
    shared.keeps_ids = journal.as_ref().is_some_and(Journal::knows_kept_ids).into();
    let settings = Settings {
        options,
        rules: config.rules,
        clock,
        console,
        shared: &shared,
        output_file: output_file.transpose()?.into(),
        journal,
    };
    console.with_status(Box::new(|| batch::run(inputs, settings, &clients)))
}
