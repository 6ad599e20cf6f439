//! `--check`: one report for each request, or one on the connection where there is none; and one exit
//! code. Starts nothing, and writes nothing but reports.

use super::totals::Totals;
use super::{Output, Witness, no_request};
use crate::cli::Options;
use crate::error::Error;
use crate::input::request::Request;
use crate::input::source::Input;
use crate::run::rehearse::Rehearsal;

/// Gives the exit code.
pub(crate) fn run(
    inputs: Vec<Input>,
    mut rehearsal: Rehearsal<'_>,
    options: &Options,
    output: &dyn Output,
) -> Result<u8, Error> {
    let mut totals = Totals::default();
    let mut requests = inputs
        .into_iter()
        .flat_map(|mut input| std::iter::from_fn(move || input.next()));
    let mut is_written = true;
    while is_written && let Some(item) = requests.next() {
        let request = match item {
            Ok(text) => Request::parse(&text, options),
            Err(error) => Request::refused(error),
        };
        let witness = Witness {
            output,
            request: request.id.as_deref(),
            ticket: None,
        };
        let mut report = rehearsal.request(&request, &witness);
        totals.count(report.kind(), false);
        is_written = output.report(&mut report);
    }
    if totals.all() == 0 {
        if options.names_requests() {
            return Err(no_request());
        }
        let mut report = rehearsal.connection();
        totals.count(report.kind(), false);
        is_written = output.report(&mut report);
    }
    if !is_written {
        totals.lost();
    }
    let exit_code = totals.exit_code(false);
    if totals.all() > 1 {
        output.summary(&totals, exit_code);
    }
    Ok(exit_code)
}
