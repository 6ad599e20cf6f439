//! What a person sees: the real program with a pseudo-terminal for its output. Every screen is
//! compared as a terminal shows it, in both languages, 40 columns wide; and in a pipe nothing of it
//! is there.

#![allow(clippy::unwrap_used)]

mod screens;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use support::program::{Program, without_ports};
use support::server::{Exchange, Server};
use support::stream::{done, message, stream_run};
use support::terminal;

const RUN: &str = r#"{"workflow_id":"7"}"#;
const WIDTH: u16 = 40;
const CHINESE: &str = "zh_CN.UTF-8";

/// What is on the terminal in the end, its times taken out; and the exit code.
struct Shown {
    code: i32,
    screen: String,
    bytes: String,
}

impl Shown {
    #[track_caller]
    fn is(&self, code: i32, screen: &str) {
        assert_eq!((self.code, self.screen.as_str()), (code, screen.trim()));
    }
}

/// Standard output and standard error are one terminal.
fn show(program: Program, requests: &str) -> Shown {
    let (terminal, end) = terminal::open(WIDTH);
    let ended = program
        .env("NO_COLOR", "1")
        .stdout_to(end.try_clone().unwrap())
        .stderr_to(end)
        .run(requests);
    let (screen, bytes) = terminal.finish();
    Shown {
        code: ended.code,
        screen: without_times(&without_ports(&screen)),
        bytes,
    }
}

/// The same in English and in Chinese, each against a script of its own.
fn show_both(arguments: &[&str], script: impl Fn() -> Vec<Exchange>, requests: &str) -> [Shown; 2] {
    ["C", CHINESE].map(|locale| {
        let server = Server::start(script());
        let program = Program::at(&server.url()).args(arguments);
        let shown = show(program.env("LC_ALL", locale), requests);
        server.finish();
        shown
    })
}

/// `0.1 s` becomes `T s`: how long it took is nobody's promise.
fn without_times(screen: &str) -> String {
    let lines = screen.lines().map(|line| {
        let words = line.split("  ").map(|word| {
            let unit = [" s", " 秒"].into_iter().find(|unit| word.ends_with(unit));
            match unit.filter(|unit| word[..word.len() - unit.len()].parse::<f64>().is_ok()) {
                Some(unit) => format!("T{unit}"),
                None => word.to_owned(),
            }
        });
        words.collect::<Vec<_>>().join("  ")
    });
    lines.collect::<Vec<_>>().join("\n")
}
