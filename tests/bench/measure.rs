//! What a run costs: time as the kernel accounts for it, memory as GNU time tells it, instructions
//! as callgrind counts them, and the delay of each event.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, BufRead, BufReader, Seek};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wait4::Wait4;

use crate::Outcome;
use crate::client::{Client, Job};
use crate::server::{Server, StandIn};
use crate::support::coze;

/// In milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: f64,
    /// Of the process and all that it waited for.
    pub(crate) cpu: f64,
}

pub(crate) fn cost(mut command: Command) -> Outcome<Cost> {
    let complaint = complaint(&mut command)?;
    let start = Instant::now();
    let ended = command.spawn()?.wait4()?;
    let wall = start.elapsed();
    succeeded(&command, ended.status, complaint)?;
    let cpu = ended.rusage.utime + ended.rusage.stime;
    Ok(Cost {
        wall: milliseconds(wall),
        cpu: milliseconds(cpu),
    })
}

/// Where its stderr goes: shown only if it fails.
fn complaint(command: &mut Command) -> Outcome<File> {
    let complaint = tempfile::tempfile()?;
    command.stderr(complaint.try_clone()?);
    Ok(complaint)
}

fn succeeded(command: &Command, status: ExitStatus, mut complaint: File) -> Outcome<()> {
    if status.success() {
        return Ok(());
    }
    complaint.rewind()?;
    let complaint = io::read_to_string(complaint)?;
    Err(format!("{command:?} failed: {status}: {complaint}").into())
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The most memory that any of five runs has held, in MB; of several processes the largest one's.
/// Not a median: what is promised is a bound, and one run of a large message may take a sixth more
/// than the next.
///
/// GNU time starts it, because what the kernel tells of a child begins with what its parent held.
pub(crate) fn peak(client: &Client, job: &Job<'_>) -> Outcome<f64> {
    let told = tempfile::NamedTempFile::new()?;
    let file = told.path().to_string_lossy();
    let tool = ["time", "--quiet", "--format", "%M", "--output", &file];
    let mut peak = 0.0_f64;
    // Of the others nothing is promised, and some take minutes.
    let runs = if matches!(client, Client::Ours(_)) {
        5
    } else {
        1
    };
    for _ in 0..runs {
        cost(client.command(&job.clone().under(&tool))?)?;
        let kilobytes: f64 = fs::read_to_string(told.path())?.trim().parse()?;
        peak = peak.max(kilobytes * 1024.0 / 1e6);
    }
    Ok(peak)
}

/// Milliseconds from the server's write of each event to its line on stdout.
pub(crate) fn delays(mut command: Command) -> Outcome<Vec<f64>> {
    let complaint = complaint(&mut command)?;
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
    let mut delays = Vec::new();
    for line in lines {
        let line = line?;
        let seen = SystemTime::now().duration_since(UNIX_EPOCH)?;
        // A response holds the times of all events: it is no event.
        let mut marks = line.split(coze::CLOCK_MARK);
        if let (Some(_), Some(written), Some(_), None) =
            (marks.next(), marks.next(), marks.next(), marks.next())
        {
            let written = Duration::from_nanos(written.parse()?);
            delays.push(milliseconds(seen.saturating_sub(written)));
        }
    }
    succeeded(&command, child.wait()?, complaint)?;
    Ok(delays)
}

/// Milliseconds for each megabyte that is written into memory which the process did not have before:
/// nobody holds a text for less.
pub(crate) fn fresh_memory() -> f64 {
    // So much the allocator always asks of the kernel, and gives back.
    const MEGABYTES: usize = 64;
    let rounds = (0..9).map(|_| {
        let start = Instant::now();
        black_box(vec![1_u8; MEGABYTES * 1_000_000]);
        milliseconds(start.elapsed()) / MEGABYTES as f64
    });
    Quantiles::of(rounds).median()
}

/// In millions, over plain HTTP.
pub(crate) struct Instructions {
    pub(crate) tiny: f64,
    /// Of text, in messages of 100 bytes.
    pub(crate) per_megabyte: f64,
}

pub(crate) fn instructions(client: &Client) -> Outcome<Instructions> {
    const SHORT: usize = 10_000;
    const LONG: usize = 30_000;
    let tiny = executed(client, &StandIn::tiny(false), coze::ECHO)?;
    let short = executed(client, &StandIn::bulk(SHORT, 100), coze::BULK)?;
    let long = executed(client, &StandIn::bulk(LONG, 100), coze::BULK)?;
    Ok(Instructions {
        tiny,
        // 20,000 more messages are 2 MB more.
        per_megabyte: (long - short) / 2.0,
    })
}

fn executed(client: &Client, stand_in: &StandIn, workflow_id: &str) -> Outcome<f64> {
    let server = Server::start(stand_in)?;
    let tool = [
        "valgrind",
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--trace-children=yes",
    ];
    let job = Job::new(&server, workflow_id).under(&tool);
    let output = client.command(&job)?.stderr(Stdio::piped()).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let counts = told.lines().filter_map(|line| {
        let (_, count) = line.split_once("Collected : ")?;
        count.trim().parse::<f64>().ok()
    });
    let count: f64 = counts.sum();
    if !output.status.success() || count == 0.0 {
        return Err(format!("valgrind failed: {told}").into());
    }
    Ok(count / 1e6)
}

/// Measured values in order.
pub(crate) struct Quantiles(Vec<f64>);

impl Quantiles {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(50)
    }

    pub(crate) fn at(&self, percent: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0
            .get(last * percent / 100)
            .copied()
            .unwrap_or(f64::NAN)
    }
}
