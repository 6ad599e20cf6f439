//! The table, in Markdown and as JSON: a row for each thing measured, a column for each client, and
//! what was promised. `chart` draws some of it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::json;

use crate::client::{Client, said};
use crate::{DIRECTORY, Outcome, chart};

#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Milliseconds,
    Megabytes,
    Millions,
}

/// One thing measured, in the order of the clients: ours, curl, the others.
pub(crate) struct Row {
    pub(crate) what: String,
    unit: Unit,
    values: Vec<Option<f64>>,
}

impl Row {
    pub(crate) fn new(
        what: &str,
        unit: Unit,
        values: impl IntoIterator<Item = Option<f64>>,
    ) -> Self {
        Self {
            what: what.to_owned(),
            unit,
            values: values.into_iter().collect(),
        }
    }

    pub(crate) fn ours(&self) -> f64 {
        self.value(0).unwrap_or(f64::NAN)
    }

    /// Ours as a part of curl's.
    pub(crate) fn to_curl(&self) -> f64 {
        self.value(1).map_or(f64::NAN, |curl| self.ours() / curl)
    }

    pub(crate) fn value(&self, column: usize) -> Option<f64> {
        self.values.get(column).copied().flatten()
    }

    /// A value with its unit.
    pub(crate) fn shown(&self, value: f64) -> String {
        match self.unit {
            Unit::Milliseconds if value >= 10_000.0 => format!("{:.1} s", value / 1000.0),
            Unit::Milliseconds => format!("{} ms", short(value)),
            Unit::Megabytes => format!("{} MB", short(value)),
            Unit::Millions => format!("{} M", short(value)),
        }
    }

    /// A value, and what it is to curl's.
    fn cell(&self, column: usize) -> String {
        let Some(value) = self.value(column) else {
            return "–".to_owned();
        };
        let shown = self.shown(value);
        match self.value(1) {
            Some(curl) if column != 1 => format!("{shown} ({})", short(value / curl)),
            _ => shown,
        }
    }
}

/// Three digits that count, without an exponent.
fn short(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// What the program promises of itself, and what came of it.
pub(crate) struct Promise {
    what: String,
    measured: f64,
    limit: String,
    kept: bool,
}

impl Promise {
    pub(crate) fn new(what: &str, unit: &str, measured: f64, most: f64) -> Self {
        Self {
            what: format!("{what}, {unit}"),
            measured,
            limit: format!("≤ {most}"),
            kept: measured <= most,
        }
    }

    pub(crate) fn at_least(what: &str, unit: &str, measured: f64, least: f64) -> Self {
        Self {
            what: format!("{what}, {unit}"),
            measured,
            limit: format!("≥ {least}"),
            kept: measured >= least,
        }
    }
}

/// Prints the table, and leaves it below `target` as `bench.md`, `bench.json` and `bench.svg`.
pub(crate) fn write(
    clients: &[Client],
    left_out: &[String],
    rows: &[Row],
    promises: &[Promise],
    notes: &[String],
) -> Outcome<()> {
    let machine = machine()?;
    let versions = clients
        .iter()
        .map(Client::version)
        .collect::<Outcome<Vec<_>>>()?;
    let mut page = format!("{machine}; {}.\n", versions.join("; "));
    for word in left_out {
        writeln!(page, "{word}.")?;
    }
    page += "Medians; of our memory the most in five runs; in brackets what a value is to curl's alone.\n\n";
    let names: Vec<_> = clients.iter().map(Client::name).collect();
    writeln!(
        page,
        "| | {} |\n|---|{}",
        names.join(" | "),
        "--:|".repeat(names.len())
    )?;
    for row in rows {
        let cells: Vec<_> = (0..clients.len()).map(|column| row.cell(column)).collect();
        writeln!(page, "| {} | {} |", row.what, cells.join(" | "))?;
    }
    page += "\n| promised | limit | measured | kept |\n|---|--:|--:|---|\n";
    for promise in promises {
        let Promise { what, limit, .. } = promise;
        let kept = if promise.kept { "yes" } else { "**no**" };
        writeln!(
            page,
            "| {what} | {limit} | {} | {kept} |",
            short(promise.measured)
        )?;
    }
    for note in notes {
        writeln!(page, "\n{note}")?;
    }
    print!("{page}");
    fs::write(Path::new(DIRECTORY).join("bench.md"), page)?;
    let chart = chart::draw(&names, rows, &format!("{machine}."));
    fs::write(Path::new(DIRECTORY).join("bench.svg"), chart)?;
    let rows = rows
        .iter()
        .map(|row| json!({"what": row.what, "values": row.values}));
    let data = json!({"machine": machine, "clients": versions, "rows": rows.collect::<Vec<_>>()});
    fs::write(Path::new(DIRECTORY).join("bench.json"), data.to_string())?;
    println!("\nThe same in {DIRECTORY}: bench.md, bench.json, and as a chart bench.svg.");
    Ok(())
}

/// The day, the processor, and the system.
fn machine() -> Outcome<String> {
    let day = said(Command::new("date").args(["-u", "+%F"]))?;
    let processor = fs::read_to_string("/proc/cpuinfo")?;
    let processor = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unnamed processor", |(_, name)| name);
    let cores = thread::available_parallelism()?;
    let system = said(Command::new("uname").args(["-srm"]))?;
    // What follows the first two numbers of a kernel is its distributor's.
    let kernel = system.split('.').take(2).collect::<Vec<_>>().join(".");
    let architecture = system.rsplit(' ').next().unwrap_or_default();
    Ok(format!(
        "{day}, {processor}, {cores} cores, {kernel} {architecture}"
    ))
}
