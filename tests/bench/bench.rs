//! What a run costs with this program and with what people use today: every client in turn, on one
//! machine, against one stand-in for Coze in a process of its own; a table in Markdown comes out
//! (`make bench`). `budget` instead holds what does not drift with the machine (`make budget`).

#![allow(clippy::cast_precision_loss, reason = "nobody reads that many digits")]

#[path = "../support"]
#[allow(dead_code, unreachable_pub, reason = "tests use more of it")]
mod support {
    pub mod coze;
    pub mod tls;
    pub mod wire;
}

mod budget;
mod chart;
mod client;
mod measure;
mod report;
mod server;

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use client::{Client, Job};
use measure::{Cost, Quantiles};
use report::{Promise, Row, Unit};
use server::{Server, StandIn};
use support::coze;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Where the other clients are installed, and the table is left: below `target`.
const DIRECTORY: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/bench");

const USAGE: &str = "usage: bench [quick|budget] [PROGRAM]; see make bench, make budget";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.is_empty() {
        // `cargo test --all-targets`; Cargo says `--bench` when it means to measure.
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let words = arguments.iter().map(String::as_str);
    let mut words: Vec<&str> = words.filter(|word| *word != "--bench").collect();
    let mode = match words.first() {
        Some(&("serve" | "quick" | "budget")) => words.remove(0),
        _ => "full",
    };
    let done = match (mode, &words[..]) {
        ("serve", arguments) => server::serve(arguments),
        ("budget", [] | [_]) => budget::hold(&program(words.first())),
        (_, [] | [_]) => bench(program(words.first()), mode == "quick"),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is measured: the path that was given, else what Cargo has just built.
fn program(given: Option<&&str>) -> PathBuf {
    given
        .map_or(env!("CARGO_BIN_EXE_coze-workflow"), |given| given)
        .into()
}

/// How often, and how much.
struct Scale {
    tiny_rounds: usize,
    large_rounds: usize,
    /// Of 100 bytes each.
    messages: usize,
    /// Of the one message.
    bytes: usize,
    /// Whose delay is taken, by every client.
    events: usize,
    /// One after the other, by every client.
    processes: usize,
}

const FULL: Scale = Scale {
    tiny_rounds: 30,
    large_rounds: 2,
    messages: 640_000,
    bytes: 20_000_000,
    events: 3000,
    processes: 500,
};

const QUICK: Scale = Scale {
    tiny_rounds: 5,
    large_rounds: 1,
    messages: 64_000,
    bytes: 20_000_000,
    events: 500,
    processes: 20,
};

fn bench(program: PathBuf, quick: bool) -> Outcome<()> {
    let scale = if quick { QUICK } else { FULL };
    let most_bytes = budget::most_bytes(&program)?;
    let (clients, left_out) = client::all(program)?;
    let mut rows = Vec::new();
    let mut promises = Vec::new();

    for (transport, wall, peak) in [("HTTP", 0.25, 2.5), ("TLS", 0.35, 3.5)] {
        let stand_in = StandIn::tiny(transport == "TLS");
        let what = format!("a tiny run over {transport}");
        let tiny = costs(&clients, &stand_in, coze::ECHO, &what, scale.tiny_rounds)?;
        promises.push(Promise::new(
            &what,
            "of curl's time",
            tiny.wall.to_curl(),
            wall,
        ));
        promises.push(Promise::new(&what, "MB of memory", tiny.peak.ours(), peak));
        rows.extend([tiny.wall, tiny.cpu, tiny.peak]);
    }

    let text = |bytes: usize| bytes as f64 / 1e6;
    let streamed = text(scale.messages * 100);
    let whole = text(scale.bytes);
    let large = [
        (
            format!("{streamed} MB in messages of 100 bytes"),
            scale.messages,
            100,
            3.0,
            1.25 * streamed + 8.0,
        ),
        // The stand-in's text needs escapes.
        (
            format!("one message of {whole} MB"),
            1,
            scale.bytes,
            4.0,
            2.25 * whole + 8.0,
        ),
    ];
    let mut notes = Vec::new();
    for (what, messages, bytes, wall, peak) in large {
        let stand_in = StandIn::bulk(messages, bytes);
        let large = costs(&clients, &stand_in, coze::BULK, &what, scale.large_rounds)?;
        promises.push(Promise::new(
            &what,
            "of curl's time",
            large.wall.to_curl(),
            wall,
        ));
        promises.push(Promise::new(&what, "MB of memory", large.peak.ours(), peak));
        if messages == 1 {
            notes.push(of_memory(whole, &large.wall));
        }
        rows.extend([large.wall, large.cpu, large.peak]);
    }

    let (median, worst) = delays(&clients, scale.events)?;
    promises.push(Promise::new(
        "an event's delay",
        "of curl's, median",
        median.to_curl(),
        1.25,
    ));
    promises.push(Promise::new(
        "an event's delay",
        "of curl's, 99th percentile",
        worst.to_curl(),
        2.0,
    ));
    rows.extend([median, worst]);

    let (batches, speed) = many(&clients, &scale)?;
    promises.push(Promise::at_least(
        "500 runs over TLS with -j 8",
        "times as many a second as curl, grep and jq",
        speed,
        // Each on a connection of its own.
        40.0,
    ));
    rows.extend(batches);

    let sizes = clients.iter().map(|client| client.disk().ok());
    rows.push(Row::new(
        "size on disk, all that it needs",
        Unit::Megabytes,
        sizes,
    ));
    if let Some(most) = most_bytes {
        let bytes = clients[0].disk()? * 1e6;
        promises.push(Promise::new("the program", "bytes", bytes, most));
    }
    promises.push(Promise::new(
        "the program",
        "crates",
        budget::crates()?,
        40.0,
    ));

    rows.extend(instructions(&clients)?);
    report::write(&clients, &left_out, &rows, &promises, &notes)
}

/// Wall and CPU time, medians, and peak memory of one run by each client.
struct Costs {
    wall: Row,
    cpu: Row,
    peak: Row,
}

fn costs(
    clients: &[Client],
    stand_in: &StandIn,
    workflow_id: &str,
    what: &str,
    rounds: usize,
) -> Outcome<Costs> {
    let server = Server::start(stand_in)?;
    let job = Job::new(&server, workflow_id);
    // The first round warms up caches, and the stand-in's own rendering.
    let mut rounds_by_client: Vec<Vec<Cost>> = vec![Vec::new(); clients.len()];
    for round in 0..=rounds {
        eprintln!("{what}: round {round} of {rounds}");
        for (client, costs) in clients.iter().zip(&mut rounds_by_client) {
            costs.push(measure::cost(client.command(&job)?)?);
        }
    }
    let median = |of: fn(&Cost) -> f64| {
        rounds_by_client
            .iter()
            .map(move |costs| Some(Quantiles::of(costs[1..].iter().map(of)).median()))
    };
    let peaks = clients
        .iter()
        .map(|client| measure::peak(client, &job).map(Some))
        .collect::<Outcome<Vec<_>>>()?;
    Ok(Costs {
        wall: Row::new(
            &format!("{what}: wall"),
            Unit::Milliseconds,
            median(|cost| cost.wall),
        ),
        cpu: Row::new(
            &format!("{what}: CPU"),
            Unit::Milliseconds,
            median(|cost| cost.cpu),
        ),
        peak: Row::new(&format!("{what}: peak memory"), Unit::Megabytes, peaks),
    })
}

/// What of a text's time is the kernel's, for giving the memory to hold it.
fn of_memory(megabytes: f64, wall: &Row) -> String {
    let cost = megabytes * measure::fresh_memory();
    let part = cost / (wall.ours() / wall.to_curl());
    format!(
        "To write {megabytes} MB into fresh memory, as whoever holds such a text must, took \
         {cost:.1} ms here: {part:.2} of what curl, which holds none, took for the message."
    )
}

/// From the server's write of an event to its line on the client's stdout: median, and 99th
/// percentile.
fn delays(clients: &[Client], events: usize) -> Outcome<(Row, Row)> {
    // In turns, so that a busy moment of the machine hits everybody.
    const TURNS: usize = 5;
    let server = Server::start(&StandIn::clock(events / TURNS))?;
    let job = Job::new(&server, coze::CLOCK).live();
    let mut delays = vec![Vec::new(); clients.len()];
    for turn in 1..=TURNS {
        eprintln!("an event's delay: turn {turn} of {TURNS}");
        for (client, delays) in clients.iter().zip(&mut delays) {
            let seen = measure::delays(client.command(&job)?)?;
            if seen.len() != events / TURNS {
                return Err(format!(
                    "{} showed {} events, not {}",
                    client.name(),
                    seen.len(),
                    events / TURNS
                )
                .into());
            }
            delays.extend(seen);
        }
    }
    let quantiles: Vec<_> = delays.into_iter().map(Quantiles::of).collect();
    let median = quantiles.iter().map(|delays| Some(delays.median()));
    let worst = quantiles.iter().map(|delays| Some(delays.at(99)));
    Ok((
        Row::new("an event's delay: median", Unit::Milliseconds, median),
        Row::new(
            "an event's delay: 99th percentile",
            Unit::Milliseconds,
            worst,
        ),
    ))
}

/// Many runs over TLS: a process for each, and all in one process of ours. Also how many times as
/// many runs a second 8 jobs get done as the script does.
fn many(clients: &[Client], scale: &Scale) -> Outcome<(Vec<Row>, f64)> {
    const RUNS: usize = 500;
    let server = Server::start(&StandIn::tiny(true))?;
    let job = Job::new(&server, coze::ECHO);
    let mut per_run = Vec::new();
    for client in clients {
        eprintln!("{} processes: {}", scale.processes, client.name());
        let costs = (0..scale.processes)
            .map(|_| Ok(measure::cost(client.command(&job)?)?.wall))
            .collect::<Outcome<Vec<_>>>()?;
        let mean = costs.iter().sum::<f64>() / costs.len() as f64;
        per_run.push(mean);
    }
    let all = |per_run: f64| per_run * RUNS as f64;
    let measured = match scale.processes {
        RUNS => String::new(),
        fewer => format!(" (from {fewer})"),
    };
    let what = format!("{RUNS} runs over TLS, a process each{measured}");
    let processes = per_run.iter().map(|&mean| Some(all(mean)));
    let mut rows = vec![Row::new(&what, Unit::Milliseconds, processes)];
    let mut fastest = f64::INFINITY;
    for jobs in [1, 8] {
        let rounds = (0..5).map(|_| {
            let command = clients[0].command(&job.clone().batch(RUNS, jobs))?;
            Ok(measure::cost(command)?.wall)
        });
        fastest = Quantiles::of(rounds.collect::<Outcome<Vec<_>>>()?).median();
        let what = format!("{RUNS} runs over TLS, one process, -j {jobs}");
        rows.push(Row::new(&what, Unit::Milliseconds, [Some(fastest)]));
    }
    let rounds = (0..5).map(|_| {
        let journal = tempfile::tempdir()?;
        let mut command = clients[0].command(&job.clone().batch(RUNS, 8))?;
        command.arg("--journal").arg(journal.path());
        Ok(measure::cost(command)?.wall)
    });
    let kept = Quantiles::of(rounds.collect::<Outcome<Vec<_>>>()?).median();
    let what = "the same with a journal in the temporary directory";
    rows.push(Row::new(what, Unit::Milliseconds, [Some(kept)]));
    let script = clients
        .iter()
        .position(|client| matches!(client, Client::Script));
    Ok((
        rows,
        script.map_or(f64::NAN, |script| all(per_run[script]) / fastest),
    ))
}

/// As callgrind counts them; of programs that are not their interpreter's, which it would count.
fn instructions(clients: &[Client]) -> Outcome<Vec<Row>> {
    let native = clients.iter().filter(|client| client.is_native());
    let counts = native
        .map(|client| {
            eprintln!("instructions: {}", client.name());
            measure::instructions(client)
        })
        .collect::<Outcome<Vec<_>>>()?;
    let tiny = counts.iter().map(|counts| Some(counts.tiny));
    let streamed = counts.iter().map(|counts| Some(counts.per_megabyte));
    Ok(vec![
        Row::new("instructions of a tiny run over HTTP", Unit::Millions, tiny),
        Row::new(
            "instructions per MB of text in messages of 100 bytes",
            Unit::Millions,
            streamed,
        ),
    ])
}
