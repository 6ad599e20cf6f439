//! The status line for a person at a terminal: what a run is doing, or how far a batch is. Only the
//! text of it; `console` draws and erases it.

use std::time::Duration;

use crate::batch::totals::Totals;
use crate::coze::event::{self, EventKind};
use crate::run::Note;

/// The width of a line that no terminal wraps.
const COLUMNS: usize = 79;

/// What there is to tell.
#[derive(Debug, Default)]
pub(crate) struct Status {
    began: Duration,
    taken: u64,
    answered: Totals,
    events: u64,
    looks: u64,
    /// The title of the node that spoke last.
    speaker: String,
}

impl Status {
    /// A request was taken up.
    pub(crate) fn taken(&mut self, now: Duration) {
        if self.taken == self.answered.all() {
            self.began = now;
            self.events = 0;
            self.looks = 0;
            self.speaker.clear();
        }
        self.taken += 1;
    }

    pub(crate) fn answered(&mut self, totals: Totals) {
        self.answered = totals;
    }

    pub(crate) fn note(&mut self, note: &Note<'_>) {
        match note {
            Note::Event(frame) => {
                self.events += 1;
                let kind = event::parse(frame).map(|event| event.kind);
                if let Some(EventKind::Message(message)) = kind {
                    let title = message.node_title.unwrap_or_default();
                    self.speaker.clear();
                    self.speaker.push_str(&title);
                }
            }
            Note::Polling { .. } => self.looks += 1,
            Note::Calling { .. }
            | Note::Answered { .. }
            | Note::Retrying { .. }
            | Note::FallingBack { .. } => {}
        }
    }

    /// The line, at most 79 columns wide; nothing between two requests.
    pub(crate) fn line(&self, now: Duration) -> Option<String> {
        let running = self.taken.saturating_sub(self.answered.all());
        if running == 0 {
            return None;
        }
        let elapsed = now.saturating_sub(self.began).as_secs();
        let time = format!("{:02}:{:02}", elapsed / 60, elapsed % 60);
        let rest = if self.taken > 1 {
            let (done, total) = (self.answered.all(), self.taken);
            let failed = done - self.answered.succeeded();
            format!("  {done} of {total} done, {running} running, {failed} without success")
        } else {
            let (events, looks) = (count(self.events, "event"), count(self.looks, "look"));
            format!("{events}{looks}  {}", self.speaker)
        };
        Some(fit(&format!("{time}{rest}")))
    }
}

fn count(number: u64, noun: &str) -> String {
    match number {
        0 => String::new(),
        1 => format!("  1 {noun}"),
        _ => format!("  {number} {noun}s"),
    }
}

/// Cut to the width of a line, without control characters. Chinese letters are two columns wide;
/// which others are is not worth a table, so all beyond ASCII count as two.
fn fit(line: &str) -> String {
    let mut columns = 0;
    line.chars()
        .filter(|char| !char.is_control())
        .take_while(|char| {
            columns += if char.is_ascii() { 1 } else { 2 };
            columns <= COLUMNS
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn one(events: u64, looks: u64, speaker: &str) -> Status {
        Status {
            taken: 1,
            events,
            looks,
            speaker: speaker.to_owned(),
            ..Status::default()
        }
    }

    #[test]
    fn one_run_tells_its_time_its_events_and_who_speaks() {
        let line = one(12, 0, "输出").line(Duration::from_secs(75));
        assert_eq!(line.as_deref(), Some("01:15  12 events  输出"));
        let line = one(1, 3, "").line(Duration::from_secs(5));
        assert_eq!(line.as_deref(), Some("00:05  1 event  3 looks  "));
    }

    #[test]
    fn a_batch_tells_its_totals() {
        let mut status = one(1, 1, "End");
        status.taken = 7;
        let mut totals = Totals::default();
        for kind in [None, None, None, Some(Kind::Failed)] {
            totals.count(kind, true);
        }
        status.answered(totals);
        let line = status.line(Duration::ZERO);
        let told = "00:00  4 of 7 done, 3 running, 1 without success";
        assert_eq!(line.as_deref(), Some(told));
    }

    #[test]
    fn nothing_is_told_when_nothing_runs() {
        assert_eq!(Status::default().line(Duration::ZERO), None);
    }

    #[test]
    fn a_line_is_never_wider_than_79_columns_and_commands_no_terminal() {
        let line = one(1, 0, &"\u{1b}[2J字".repeat(60))
            .line(Duration::ZERO)
            .unwrap();
        let width: usize = line
            .chars()
            .map(|char| if char.is_ascii() { 1 } else { 2 })
            .sum();
        assert!((77..=79).contains(&width), "{width}");
        assert!(!line.contains('\u{1b}'));
    }
}
