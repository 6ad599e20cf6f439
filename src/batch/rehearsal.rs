//! `--check`: one report for each request, or one on the connection where there is none; and one exit
//! code. Starts nothing, and writes nothing but reports.

use super::intake::Items;
use super::{Witness, finish};
use crate::cli::Options;
use crate::console::Console;
use crate::error::Error;
use crate::input::request::Request;
use crate::input::source::Input;
use crate::response::totals::Totals;
use crate::run::rehearse::Rehearsal;

/// Gives the exit code.
pub(crate) fn run(
    inputs: Vec<Input>,
    mut rehearsal: Rehearsal<'_>,
    options: &Options,
    console: &Console<'_>,
) -> Result<u8, Error> {
    let mut totals = Totals::default();
    let mut items = Items::of(inputs);
    let mut is_written = true;
    while is_written && let Some(item) = items.next() {
        console.taken(item.is_last);
        let number = item.is_one_of_many().then_some(item.number);
        let mut request = Request::of(item.text, options);
        request.id = request.id_or(number);
        let witness = Witness {
            console,
            request: request.id.as_deref(),
            ticket: None,
        };
        let mut report = rehearsal.request(&request, &witness);
        totals.count(report.kind(), false);
        is_written = console.report(&mut report);
        console.answered(&totals);
    }
    if totals.all() == 0 && !options.names_requests() {
        console.taken(true);
        let mut report = rehearsal.connection();
        totals.count(report.kind(), false);
        is_written = console.report(&mut report);
    }
    if !is_written {
        totals.lost();
    }
    finish(&totals, false, console)
}
