//! How long to wait: between tries, between polls, at the gate that a rate refusal closes for all
//! jobs, and for a host that can't be reached.
//! `Retry-After`: <https://www.rfc-editor.org/rfc/rfc9110#name-retry-after>.

use std::iter;
use std::num::IntErrorKind;
use std::sync::Mutex;
use std::time::Duration;

use super::{Attempt, Note, lock};
use crate::error::{Error, Kind};

/// The longest pause before a try that nobody but us asks for.
const BACKOFF_LIMIT: Duration = Duration::from_secs(30);

/// The tries of one call.
#[derive(Debug, Default)]
pub(super) struct Retries<'a> {
    left: u32,
    tries: u32,
    /// It is the one that goes on trying while the others wait.
    probe: Option<Probe<'a>>,
}

impl Retries<'_> {
    pub(super) fn new(retries: u32) -> Self {
        Self {
            left: retries,
            ..Self::default()
        }
    }
}

/// Why something did not pass that may pass a moment later.
#[derive(Debug)]
pub(super) struct Setback {
    pub(super) error: Error,
    /// It was refused for its rate.
    pub(super) is_rate: bool,
    pub(super) retry_after: Option<String>,
}

impl From<Error> for Setback {
    fn from(error: Error) -> Self {
        Self {
            error,
            is_rate: false,
            retry_after: None,
        }
    }
}

impl<'a> Attempt<'a> {
    /// Waits before the same call is made again; an error when it will not be.
    pub(super) fn pause_or_give_up(
        &self,
        retries: &mut Retries<'a>,
        setback: Setback,
    ) -> Result<(), Error> {
        let (mut error, is_rate) = (setback.error, setback.is_rate);
        let (clock, rules) = (self.runner.clock, &self.runner.rules);
        let shared = self.runner.shared;
        let is_unreached = error.kind == Kind::Unreachable;
        let is_free = rules.batch && (is_rate || is_unreached && self.is_probed(retries, &error));
        match retries.left.checked_sub(1) {
            _ if is_free => {}
            Some(left) if lock(&shared.stopped).is_none() => retries.left = left,
            _ => return Err(error),
        }
        retries.tries = retries.tries.saturating_add(1);
        let asked = (setback.retry_after).and_then(|value| retry_after(&value, clock.unix()));
        let longest = retries
            .probe
            .as_ref()
            .map_or(BACKOFF_LIMIT, |_| PROBE_PAUSE);
        let own = backoff(retries.tries, clock.random()).min(longest);
        let pause = asked.map_or(own, |asked| asked.max(own));
        if !self.deadline.has_room_for(clock, pause) {
            let seconds = pause.as_secs();
            let no_room = format!("; the deadline has no room for a pause of {seconds} s");
            error.message += &no_room;
            return Err(error);
        }
        if is_rate {
            let mut gate = lock(&shared.gate);
            *gate = gate.max(clock.now() + pause);
        }
        self.observer.note(&Note::Retrying {
            pause,
            why: &error.message,
        });
        clock.sleep(pause);
        self.wait_at_gate(retries)
    }

    /// Whether somebody finds out if the host can be reached at all, so that a try that did not get
    /// through uses up no retries. When the time for that is over, nothing more is sent.
    fn is_probed(&self, retries: &mut Retries<'a>, error: &Error) -> bool {
        let (clock, rules) = (self.runner.clock, &self.runner.rules);
        let shared = self.runner.shared;
        let now = clock.now();
        if retries.probe.as_ref().is_none_or(Probe::is_over) {
            retries.probe = None;
            let is_last = retries.left == 0 && rules.retries > 0;
            match shared.host.unreached(now, is_last) {
                Turn::Free => return false,
                Turn::Wait => return true,
                Turn::Probe(probe) => retries.probe = Some(probe),
            }
        }
        let probe = retries.probe.as_ref();
        let has_time = probe.is_some_and(|probe| now < probe.until);
        if !has_time {
            let why = "not sent, because the host could not be reached";
            shared.stop(Kind::Unreachable, why, error);
        }
        has_time
    }

    /// Another job's rate refusal keeps this one waiting as well, and so does a host of which nobody
    /// knows whether it can be reached. An error when nothing more may be sent.
    pub(super) fn wait_at_gate(&self, retries: &mut Retries<'a>) -> Result<(), Error> {
        let (clock, shared) = (self.runner.clock, self.runner.shared);
        loop {
            if let Some(stopped) = lock(&shared.stopped).clone() {
                return Err(stopped);
            }
            let closed_for = lock(&shared.gate).saturating_sub(clock.now());
            let (pause, message) = if !closed_for.is_zero() {
                let message = "Coze asks for a pause that is longer than the deadline leaves";
                (closed_for, message)
            } else if retries.probe.is_some() {
                return Ok(());
            } else {
                match shared.host.turn() {
                    Turn::Wait => (LOOK_PAUSE, "the host was not reached before the deadline"),
                    Turn::Free => return Ok(()),
                    Turn::Probe(probe) => {
                        retries.probe = Some(probe);
                        return Ok(());
                    }
                }
            };
            if !self.deadline.has_room_for(clock, pause) {
                return Err(Error::new(Kind::Unreachable, message));
            }
            clock.sleep(pause);
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
pub(super) fn poll_pauses(most: Duration) -> impl Iterator<Item = Duration> {
    let longer = move |pause: &Duration| Some((*pause * 3 / 2).min(most));
    iter::successors(Some(Duration::from_secs(1).min(most)), longer)
}

/// The longest pause that a `Retry-After` may ask for: an absurd one must not stop the program for
/// ever, or count past the end of time.
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// What a `Retry-After` asks for: seconds, or the time left until a date. `unix` is now.
pub(super) fn retry_after(value: &str, unix: u64) -> Option<Duration> {
    let value = value.trim();
    let seconds = match value.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => u64::MAX,
        Err(_) => unix_of_http_date(value)?.saturating_sub(unix),
    };
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_LIMIT))
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
    let words: Vec<_> = date.split([' ', ':']).collect();
    let [day, month, year, hour, minute, second, "GMT"] = words[..] else {
        return None;
    };
    let number = |word: &str| word.parse::<u64>().ok();
    let month = MONTHS.iter().position(|&name| name == month)? as u64 + 1;
    let (day, year) = (number(day)?, number(year)?);
    let (hour, minute, second) = (number(hour)?, number(minute)?, number(second)?);
    let is_time = hour.max(minute).max(second) <= 60;
    if !is_time || !(1970..10_000).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    // The year begins in March, so that the leap day is its last.
    let (years, months) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let days = 365 * years + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day;
    let seconds = (hour * 60 + minute) * 60 + second;
    Some((days - DAYS_UNTIL_1970) * 86_400 + seconds)
}

/// So many calls in a row, of all jobs, may fail to reach the host before one more is to find out.
const UNREACHED_LIMIT: u32 = 8;

/// For so long it goes on trying, so that a break of a quarter of a minute ends nothing.
const PROBE_TIME: Duration = Duration::from_secs(20);

/// The longest pause between its tries.
const PROBE_PAUSE: Duration = Duration::from_secs(2);

/// How often those who wait for it look.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Whether the host can be reached, as all jobs know it together.
///
/// ```text
///         8 calls in a row, or all tries of a request
///  Open ──────────────────────────────────────────────▶ Doubted ── 20 s ──▶ `Shared::stopped`
///   ▲                                                      │
///   └───────────────── a call gets through ────────────────┘
/// ```
#[derive(Debug, Default)]
pub(super) struct Host(Mutex<Reached>);

#[derive(Debug)]
enum Reached {
    /// So many calls in a row did not reach it.
    Open { unreached: u32 },
    /// One request goes on trying, the others wait. Where that one ends before it knows, the next
    /// takes its place.
    Doubted { until: Duration, is_probed: bool },
}

impl Default for Reached {
    fn default() -> Self {
        Self::Open { unreached: 0 }
    }
}

/// What a request is to do.
#[derive(Debug)]
enum Turn<'a> {
    Free,
    Wait,
    Probe(Probe<'a>),
}

/// Held by the request that goes on trying.
#[derive(Debug)]
struct Probe<'a> {
    host: &'a Host,
    until: Duration,
}

impl Host {
    /// A call got through.
    pub(super) fn reached(&self) {
        *lock(&self.0) = Reached::default();
    }

    /// A call did not. `is_last`: nor did any other of the same request.
    fn unreached(&self, now: Duration, is_last: bool) -> Turn<'_> {
        let mut reached = lock(&self.0);
        if let Reached::Open { unreached } = &mut *reached {
            *unreached += 1;
            if is_last || *unreached > UNREACHED_LIMIT {
                *reached = Reached::Doubted {
                    until: now + PROBE_TIME,
                    is_probed: false,
                };
            }
        }
        drop(reached);
        self.turn()
    }

    fn turn(&self) -> Turn<'_> {
        match &mut *lock(&self.0) {
            Reached::Open { .. } => Turn::Free,
            Reached::Doubted { is_probed, until } => {
                if std::mem::replace(is_probed, true) {
                    return Turn::Wait;
                }
                Turn::Probe(Probe {
                    host: self,
                    until: *until,
                })
            }
        }
    }
}

impl Probe<'_> {
    /// Somebody got through meanwhile.
    fn is_over(&self) -> bool {
        !matches!(&*lock(&self.host.0), Reached::Doubted { until, .. } if *until == self.until)
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if let Reached::Doubted { until, is_probed } = &mut *lock(&self.host.0)
            && *until == self.until
        {
            *is_probed = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Options;
    use crate::config::Rules;
    use crate::coze::call::Call;
    use crate::http::{Cause, Failure, Http, HttpResponse, Limits, Reach};
    use crate::input::request::Request;
    use crate::run::tests::{Notes, Pieces, failure};
    use crate::run::{Runner, Shared};
    use crate::time::Clock;
    use crate::time::scripted::ScriptedClock;

    /// A host that can be reached from a moment on.
    struct Opening<'c> {
        clock: &'c ScriptedClock,
        from: Duration,
        calls: Mutex<u32>,
    }

    impl Http for Opening<'_> {
        fn call(&self, _: &Call<'_>, _: Limits) -> Result<HttpResponse, Failure> {
            *lock(&self.calls) += 1;
            if self.clock.now() < self.from {
                return Err(failure(Reach::NotSent, Cause::Connect));
            }
            Ok(refusal(4200, "here"))
        }
    }

    fn refusal(code: i64, msg: &str) -> HttpResponse {
        let body = format!(r#"{{"code":{code},"msg":"{msg}"}}"#).into_bytes();
        HttpResponse {
            status: 200,
            content_type: String::new(),
            logid: None,
            has_x_log_id: false,
            retry_after: None,
            is_framed: true,
            body: Box::new(Pieces([Ok(body)].into())),
        }
    }

    const RULES: Rules = Rules {
        timeout: Some(Duration::from_secs(660)),
        idle_timeout: None,
        poll_interval: Duration::from_secs(1),
        retries: 2,
        no_wait: false,
        batch: true,
    };

    /// What came of so many rows, one after the other.
    struct Rows {
        messages: Vec<String>,
        calls: u32,
        seconds: u64,
    }

    /// Of a host that can be reached after so many seconds.
    fn rows(count: usize, from: u64, retries: u32) -> Rows {
        rows_within(660, count, from, retries)
    }

    /// Each of which has so many seconds.
    fn rows_within(timeout: u64, count: usize, from: u64, retries: u32) -> Rows {
        let (clock, shared) = <(ScriptedClock, Shared)>::default();
        let http = Opening {
            clock: &clock,
            from: Duration::from_secs(from),
            calls: Mutex::default(),
        };
        let runner = Runner {
            http: &http,
            clock: &clock,
            rules: Rules {
                timeout: Some(Duration::from_secs(timeout)),
                retries,
                ..RULES
            },
            shared: &shared,
        };
        let request = Request::parse(r#"{"workflow_id":"7"}"#, &Options::default());
        let answer = |_| runner.answer(&request, &request.task, &Notes::default());
        let errors = (0..count).map(answer).map(|response| response.error);
        let messages = errors.map(|error| error.unwrap().message.clone()).collect();
        let calls = *lock(&http.calls);
        Rows {
            messages,
            calls,
            seconds: clock.now().as_secs(),
        }
    }

    const UNREACHED: &str = "connect of the script";
    const UNSENT: &str = "not sent, because the host could not be reached: connect of the script";

    #[test]
    fn when_a_host_is_dead_one_row_finds_out_and_the_others_are_not_sent() {
        let rows = rows(1000, 3600, 2);
        assert_eq!(rows.messages[0], UNREACHED);
        assert!(rows.messages[1..].iter().all(|message| message == UNSENT));
        assert!((20..30).contains(&rows.seconds), "{} s", rows.seconds);
        assert!(rows.calls < 30, "{} calls", rows.calls);
    }

    #[test]
    fn a_break_of_15_seconds_ends_no_row() {
        let rows = rows(100, 15, 2);
        assert_eq!(rows.messages, ["here"; 100]);
        assert!((15..18).contains(&rows.seconds), "{} s", rows.seconds);
    }

    #[test]
    fn without_retries_eight_rows_end_before_one_more_finds_out() {
        let dead = rows(1000, 3600, 0);
        assert_eq!(dead.messages[..9], [UNREACHED; 9]);
        assert!(dead.messages[9..].iter().all(|message| message == UNSENT));
        let short = rows(100, 15, 0);
        let unreached = short.messages.iter().filter(|&one| one == UNREACHED);
        assert_eq!((unreached.count(), short.messages[8].as_str()), (8, "here"));
    }

    #[test]
    fn rows_that_have_less_time_than_that_find_out_together() {
        let rows = rows_within(3, 1000, 3600, 2);
        assert_eq!(rows.messages.last().unwrap(), UNSENT);
        assert!((20..30).contains(&rows.seconds), "{} s", rows.seconds);
    }

    #[test]
    fn the_gate_stays_closed_until_the_latest_moment() {
        /// Refuses for the rate while another job is told to wait for a minute.
        struct Crowded<'c>(&'c ScriptedClock, &'c Shared);
        impl Http for Crowded<'_> {
            fn call(&self, _: &Call<'_>, _: Limits) -> Result<HttpResponse, Failure> {
                let minute = Duration::from_secs(60);
                if self.0.now() >= minute {
                    return Ok(refusal(4200, "here"));
                }
                assert!(lock(&self.1.gate).is_zero(), "it was called too early");
                *lock(&self.1.gate) = minute;
                Ok(refusal(4009, "busy"))
            }
        }
        let (clock, shared) = <(ScriptedClock, Shared)>::default();
        let http = Crowded(&clock, &shared);
        let runner = Runner::new(&http, &clock, RULES, &shared);
        let request = Request::parse(r#"{"workflow_id":"7"}"#, &Options::default());
        let response = runner.answer(&request, &request.task, &Notes::default());
        assert_eq!(response.error.unwrap().message, "here");
        assert_eq!(clock.now(), Duration::from_secs(60));
    }

    #[test]
    fn one_probes_at_a_time_and_the_next_takes_its_place() {
        let host = Host::default();
        let now = Duration::from_secs(5);
        let Turn::Probe(probe) = host.unreached(now, true) else {
            panic!("nobody probes yet");
        };
        assert!(matches!(host.turn(), Turn::Wait));
        assert!(matches!(host.unreached(now, false), Turn::Wait));
        drop(probe);
        let Turn::Probe(next) = host.turn() else {
            panic!("nobody probes any more");
        };
        assert_eq!(next.until, now + PROBE_TIME);
        host.reached();
        assert!(next.is_over() && matches!(host.turn(), Turn::Free));
    }

    #[test]
    fn calls_are_counted_in_a_row_over_all_requests() {
        let host = Host::default();
        for _ in 0..3 {
            for _ in 0..UNREACHED_LIMIT {
                assert!(matches!(host.unreached(Duration::ZERO, false), Turn::Free));
            }
            host.reached();
        }
    }

    #[test]
    fn pauses_grow_and_are_shortened_by_chance() {
        assert_eq!(backoff(1, 50), Duration::from_secs(1));
        assert_eq!(backoff(1, 0), Duration::from_millis(500));
        assert_eq!(backoff(3, 50), Duration::from_secs(4));
        assert_eq!(backoff(u32::MAX, 50), BACKOFF_LIMIT);
    }

    #[test]
    fn polls_come_after_1_s_then_half_as_long_again_up_to_the_poll_interval() {
        let pauses = poll_pauses(Duration::from_secs(3)).take(5);
        let millis: Vec<_> = pauses.map(|pause| pause.as_millis()).collect();
        assert_eq!(millis, [1000, 1500, 2250, 3000, 3000]);
        let short = Duration::from_millis(200);
        assert_eq!(poll_pauses(short).next(), Some(short));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(" 7 ", 0), Some(Duration::from_secs(7)));
        assert_eq!(
            retry_after("18446744073709551615", 0),
            Some(RETRY_AFTER_LIMIT)
        );
        assert_eq!(
            retry_after("99999999999999999999", 0),
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
            "Sun, 06 Nov 1994 9999999999999999999:49:37 GMT",
        ] {
            assert_eq!(retry_after(bad, 0), None, "{bad}");
        }
    }
}
