//! How long to wait: between tries, between polls, and at the gate that a rate refusal closes for
//! all jobs. `Retry-After`: <https://www.rfc-editor.org/rfc/rfc9110#name-retry-after>.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Attempt, Note, Runner};
use crate::error::{Error, Kind};

/// The longest pause before a try that nobody but us asks for.
const BACKOFF_LIMIT: Duration = Duration::from_secs(30);

/// The tries of one POST.
#[derive(Debug)]
pub(super) struct Retries {
    left: u32,
    tries: u32,
}

impl Retries {
    pub(super) fn new(retries: u32) -> Self {
        Self {
            left: retries,
            tries: 0,
        }
    }
}

impl Attempt<'_> {
    /// Waits before the same POST is sent again; an error when it will not be.
    pub(super) fn pause(
        &self,
        retries: &mut Retries,
        error: Error,
        is_rate: bool,
        retry_after: Option<&str>,
    ) -> Result<(), Error> {
        let Runner {
            clock,
            rules,
            shared,
            ..
        } = self.runner;
        if !(is_rate && rules.batch) {
            let Some(left) = retries.left.checked_sub(1) else {
                return Err(error);
            };
            retries.left = left;
        }
        retries.tries = retries.tries.saturating_add(1);
        let asked = retry_after.and_then(|value| self::retry_after(value, clock.unix()));
        let own = backoff(retries.tries, clock.random());
        let pause = asked.map_or(own, |asked| asked.max(own));
        if !self.deadline.has_room_for(*clock, pause) {
            let seconds = pause.as_secs();
            let message = &error.message;
            return Err(Error {
                message: format!("{message}; the deadline has no room for a pause of {seconds} s"),
                ..error
            });
        }
        if is_rate {
            shared.gate.close_until(clock.now() + pause);
        }
        self.observer.note(&Note::Retrying {
            pause,
            why: &error.message,
        });
        clock.sleep(pause);
        if is_rate { self.wait_at_gate() } else { Ok(()) }
    }

    /// Another job's rate refusal keeps this one waiting as well.
    pub(super) fn wait_at_gate(&self) -> Result<(), Error> {
        let clock = self.runner.clock;
        loop {
            let closed_for = self.runner.shared.gate.closed_for(clock.now());
            if closed_for.is_zero() {
                return Ok(());
            }
            if !self.deadline.has_room_for(clock, closed_for) {
                let message = "Coze asks for a pause that is longer than the deadline leaves";
                return Err(Error::new(Kind::Unreachable, message));
            }
            clock.sleep(closed_for);
        }
    }
}

/// The pause after try `tries` (from 1): 1 s, 2 s, 4 s …, each shortened by up to half by chance, so
/// that many callers don't come back together.
fn backoff(tries: u32, random: u64) -> Duration {
    let doublings = tries.saturating_sub(1).min(16);
    let full = Duration::from_secs(1 << doublings).min(BACKOFF_LIMIT);
    let percent = 50 + u32::try_from(random % 51).unwrap_or(0);
    full * percent / 100
}

/// The pauses between polls: 1 s, then half as long again each time, up to the poll interval.
#[derive(Debug)]
pub(super) struct PollPauses {
    next: Duration,
    most: Duration,
}

impl PollPauses {
    pub(super) fn new(poll_interval: Duration) -> Self {
        Self {
            next: Duration::from_secs(1).min(poll_interval),
            most: poll_interval,
        }
    }

    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 3 / 2).min(self.most);
        pause
    }
}

/// The longest pause that a `Retry-After` may ask for: an absurd one must not stop the program for
/// ever, or count past the end of time.
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// What a `Retry-After` asks for: seconds, or the time left until a date. `unix` is now.
pub(super) fn retry_after(value: &str, unix: u64) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_LIMIT));
    }
    let date = unix_of_http_date(value)?;
    Some(Duration::from_secs(date.saturating_sub(unix)).min(RETRY_AFTER_LIMIT))
}

/// From the 1st of March of the year 0.
const DAYS_UNTIL_1970: u64 = 719_469;

/// Seconds since 1970 of a date such as `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that servers
/// still send.
fn unix_of_http_date(date: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, date) = date.split_once(", ")?;
    let mut words = date.split([' ', ':']);
    let number = |words: &mut dyn Iterator<Item = &str>| words.next()?.parse::<u64>().ok();
    let day = number(&mut words)?;
    let month_name = words.next()?;
    let month = MONTHS.iter().position(|&name| name == month_name)? as u64 + 1;
    let year = number(&mut words)?;
    let time = [
        number(&mut words)?,
        number(&mut words)?,
        number(&mut words)?,
    ];
    if words.next() != Some("GMT") || !(1970..10_000).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    // The year begins in March, so that the leap day is its last.
    let (years, months) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let days = 365 * years + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day;
    let seconds = (time[0] * 60 + time[1]) * 60 + time[2];
    Some((days - DAYS_UNTIL_1970) * 86_400 + seconds)
}

/// One gate for all jobs: closed until a moment, by a rate refusal.
#[derive(Debug, Default)]
pub(super) struct Gate {
    opens: Mutex<Duration>,
}

impl Gate {
    /// How long it stays closed.
    pub(super) fn closed_for(&self, now: Duration) -> Duration {
        let opens = self.opens.lock().unwrap_or_else(PoisonError::into_inner);
        opens.saturating_sub(now)
    }

    pub(super) fn close_until(&self, moment: Duration) {
        let mut opens = self.opens.lock().unwrap_or_else(PoisonError::into_inner);
        *opens = moment.max(*opens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_shortened_by_chance() {
        assert_eq!(backoff(1, 50), Duration::from_secs(1));
        assert_eq!(backoff(1, 0), Duration::from_millis(500));
        assert_eq!(backoff(3, 50), Duration::from_secs(4));
        assert_eq!(backoff(u32::MAX, 50), BACKOFF_LIMIT);
    }

    #[test]
    fn polls_come_after_1_s_then_half_as_long_again_up_to_the_poll_interval() {
        let mut pauses = PollPauses::new(Duration::from_secs(3));
        let millis: Vec<_> = (0..5).map(|_| pauses.next().as_millis()).collect();
        assert_eq!(millis, [1000, 1500, 2250, 3000, 3000]);
        let short = Duration::from_millis(200);
        assert_eq!(PollPauses::new(short).next(), short);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(" 7 ", 0), Some(Duration::from_secs(7)));
        assert_eq!(
            retry_after("18446744073709551615", 0),
            Some(RETRY_AFTER_LIMIT)
        );
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(retry_after(date, 784_111_770), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(date, 784_111_999), Some(Duration::ZERO));
        assert_eq!(
            retry_after("Thu, 29 Feb 2024 00:00:00 GMT", 1_709_164_799),
            Some(Duration::from_secs(1))
        );
        for bad in [
            "",
            "-1",
            "soon",
            "Sun, 06 Nov 1994",
            "Sun, 06 Xyz 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
        ] {
            assert_eq!(retry_after(bad, 0), None, "{bad}");
        }
    }

    #[test]
    fn the_gate_stays_closed_until_the_latest_moment() {
        let gate = Gate::default();
        gate.close_until(Duration::from_secs(9));
        gate.close_until(Duration::from_secs(5));
        assert_eq!(
            gate.closed_for(Duration::from_secs(2)),
            Duration::from_secs(7)
        );
        assert_eq!(gate.closed_for(Duration::from_secs(10)), Duration::ZERO);
    }
}
