//! What does not drift with the machine, held against `budget.json`: the size of the binary, the
//! crates it is made of, the instructions of plain HTTP runs, and the connections of 500 requests.
//! The size is held where std was built with the program, which alone can be small; instructions
//! depend on the compiler, and are held for those that are named there.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::Outcome;
use crate::client::{Client, Job, said};
use crate::measure::{self, Instructions};
use crate::server::{Server, StandIn};
use crate::support::coze;

/// How far above its budget a count of instructions may be.
const SLACK: f64 = 1.05;

pub(crate) fn hold(program: &Path) -> Outcome<()> {
    let budget = budget()?;
    let built_by = built_by(program)?;
    println!("{}: {built_by}", program.display());
    let mut books = Books::default();
    books.hold("crates", crates()?, &budget["crates"], 1.0);
    for jobs in ["1", "8"] {
        let what = format!("connections of 500 requests with -j {jobs}");
        let most = &budget["connections"][jobs];
        books.hold(&what, connections(program, jobs.parse()?)?, most, 1.0);
    }

    let bytes = fs::metadata(program)?.len() as f64;
    let most = most_bytes(program)?;
    let what = if most.is_some() {
        "bytes"
    } else {
        "bytes, with a std that came ready"
    };
    books.hold(what, bytes, &most.into(), 1.0);

    let Instructions { tiny, per_megabyte } =
        measure::instructions(&Client::Ours(program.to_owned()))?;
    let built = &budget["built"][&built_by];
    if built.is_null() {
        println!("  of instructions there is no budget for this compiler; for comparison:");
    }
    books.hold(
        "million instructions of a tiny run",
        tiny,
        &built["tiny_run"],
        SLACK,
    );
    books.hold(
        "million instructions per MB",
        per_megabyte,
        &built["per_megabyte"],
        SLACK,
    );
    match books.exceeded.is_empty() {
        true => Ok(()),
        false => Err(format!("over budget: {}", books.exceeded.join(", ")).into()),
    }
}

fn budget() -> Outcome<Value> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/budget.json");
    Ok(serde_json::from_slice(&fs::read(file)?)?)
}

#[derive(Default)]
struct Books {
    exceeded: Vec<String>,
}

impl Books {
    /// `most` may be null: then it is only told.
    fn hold(&mut self, what: &str, measured: f64, most: &Value, slack: f64) {
        let verdict = match most.as_f64() {
            None => String::new(),
            Some(most) if measured > most * slack => {
                self.exceeded.push(what.to_owned());
                format!(", of {most}: EXCEEDED")
            }
            Some(most) if measured * slack < most && slack > 1.0 => {
                format!(", of {most}: the budget can be lowered")
            }
            Some(most) => format!(", of {most}"),
        };
        println!("  {what}: {}{verdict}", (measured * 1e3).round() / 1e3);
    }
}

/// All crates of the program, itself included.
pub(crate) fn crates() -> Outcome<f64> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let tree = [
        "tree",
        "--locked",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--no-dedupe",
    ];
    let tree = said(Command::new(cargo).args(tree))?;
    Ok(tree.lines().collect::<BTreeSet<_>>().len() as f64)
}

fn connections(program: &Path, jobs: usize) -> Outcome<f64> {
    let mut server = Server::start(&StandIn::tiny(false))?;
    let job = Job::new(&server, coze::ECHO).batch(500, jobs);
    measure::cost(Client::Ours(program.to_owned()).command(&job)?)?;
    Ok(server.connections()? as f64)
}

/// None for a program whose std was not built with it. One that came ready names the sources of its
/// makers.
pub(crate) fn most_bytes(program: &Path) -> Outcome<Option<f64>> {
    if position(&fs::read(program)?, "/rustc/").is_some() {
        return Ok(None);
    }
    Ok(budget()?["bytes"].as_f64())
}

fn position(bytes: &[u8], text: &str) -> Option<usize> {
    let mut windows = bytes.windows(text.len());
    windows.position(|window| window == text.as_bytes())
}

/// The compiler and the C library that the program was built with, as the file itself says.
pub(crate) fn built_by(program: &Path) -> Outcome<String> {
    let bytes = fs::read(program)?;
    let find = |text: &str| position(&bytes, text);
    // As the compiler signs it, in `.comment`.
    let compiler = find("rustc version ").ok_or("no Rust program")?;
    let compiler = bytes[compiler..].split(|&byte| byte == 0).next();
    let compiler = String::from_utf8_lossy(compiler.unwrap_or_default());
    let library = if find("GNU C Library").is_some() {
        "static glibc"
    } else if find("libc.so.6").is_some() {
        "glibc"
    } else {
        "musl"
    };
    Ok(format!("{compiler}, {}, {library}", env::consts::ARCH))
}
