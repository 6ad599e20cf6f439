//! Deadlines, and the clock they are read from. The only file that knows the wall clock or sleeps;
//! everything else asks a `Clock`, so that a test lives through a day in microseconds.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::thread;
/// When a file was made or written, by the clock of its file system.
pub(crate) use std::time::SystemTime as FileTime;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where time and chance come from.
pub(crate) trait Clock: Sync {
    /// Time since some fixed moment; never runs backwards.
    fn now(&self) -> Duration;
    /// Seconds since 1970, for dates in `Retry-After` and in the journal.
    fn unix(&self) -> u64;
    /// Waits.
    fn sleep(&self, duration: Duration);
    /// A number nobody can foresee, for jitter and for the ids of our own runs.
    fn random(&self) -> u64;
}

/// The machine's own clock.
#[derive(Debug)]
pub(crate) struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn unix(&self) -> u64 {
        // A clock set before 1970 makes every date lie in the future; none is obeyed then.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(u64::MAX, |since| since.as_secs())
    }

    fn sleep(&self, duration: Duration) {
        thread::sleep(duration);
    }

    fn random(&self) -> u64 {
        // std seeds every `RandomState` from the system's randomness: enough for jitter and ids, no crate.
        RandomState::new().hash_one(0)
    }
}

/// How long a stream is left alone that has, or takes, nothing more at the moment.
const PAUSE: Duration = Duration::from_millis(10);

/// A stream that is waited for where another one would block, as a non-blocking one is not.
pub(crate) struct Patient<S>(pub(crate) S);

impl<S> Patient<S> {
    fn wait<T>(&mut self, mut work: impl FnMut(&mut S) -> io::Result<T>) -> io::Result<T> {
        loop {
            match work(&mut self.0) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
                done => return done,
            }
        }
    }
}

impl<S: Read> Read for Patient<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait(|stream| stream.read(buffer))
    }
}

impl<S: Write> Write for Patient<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(|stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.wait(S::flush)
    }
}

/// The moment by which something must be done; the default is never, as for `--timeout 0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deadline(Option<Duration>);

impl Deadline {
    /// `timeout` from now on; none means never.
    pub(crate) fn after(clock: &dyn Clock, timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|timeout| clock.now().checked_add(timeout)))
    }

    /// Whichever comes first.
    pub(crate) fn min(self, other: Self) -> Self {
        Self(self.0.into_iter().chain(other.0).min())
    }

    /// What is left: `None` is for ever, zero is over.
    pub(crate) fn left(self, clock: &dyn Clock) -> Option<Duration> {
        self.0.map(|at| at.saturating_sub(clock.now()))
    }

    pub(crate) fn is_over(self, clock: &dyn Clock) -> bool {
        self.left(clock).is_some_and(|left| left.is_zero())
    }

    /// Whether `pause` ends before the deadline does.
    pub(crate) fn has_room_for(self, clock: &dyn Clock, pause: Duration) -> bool {
        self.left(clock).is_none_or(|left| pause < left)
    }
}

#[cfg(test)]
pub(crate) mod scripted {
    //! A clock that moves only when somebody sleeps.

    use std::sync::Mutex;
    use std::time::Duration;

    use super::Clock;

    #[derive(Debug, Default)]
    pub(crate) struct ScriptedClock {
        now: Mutex<Duration>,
        pub(crate) slept: Mutex<Vec<Duration>>,
    }

    impl ScriptedClock {
        pub(crate) fn advance(&self, by: Duration) {
            *self.now.lock().unwrap() += by;
        }
    }

    impl Clock for ScriptedClock {
        fn now(&self) -> Duration {
            *self.now.lock().unwrap()
        }

        /// The scripted world began on 2026-01-01T00:00:00Z.
        fn unix(&self) -> u64 {
            1_767_225_600 + self.now().as_secs()
        }

        fn sleep(&self, duration: Duration) {
            self.slept.lock().unwrap().push(duration);
            self.advance(duration);
        }

        /// The shortest jitter, and no zeros, which are no run's id.
        fn random(&self) -> u64 {
            51
        }
    }
}

#[cfg(test)]
mod tests {
    use super::scripted::ScriptedClock;
    use super::*;

    #[test]
    fn a_deadline_counts_down_and_ends() {
        let clock = ScriptedClock::default();
        let deadline = Deadline::after(&clock, Some(Duration::from_secs(10)));
        clock.sleep(Duration::from_secs(4));
        assert_eq!(deadline.left(&clock), Some(Duration::from_secs(6)));
        assert!(deadline.has_room_for(&clock, Duration::from_secs(5)));
        assert!(!deadline.has_room_for(&clock, Duration::from_secs(6)));
        clock.sleep(Duration::from_secs(7));
        assert!(deadline.is_over(&clock));
        assert_eq!(deadline.left(&clock), Some(Duration::ZERO));
    }

    #[test]
    fn of_two_deadlines_the_first_counts_and_never_is_the_last() {
        let clock = ScriptedClock::default();
        let of = |seconds| Deadline::after(&clock, seconds);
        let [one, two, never] = [Some(1), Some(2), None].map(|s| of(s.map(Duration::from_secs)));
        assert_eq!((one.min(two), two.min(one)), (one, one));
        assert_eq!((one.min(never), never.min(one)), (one, one));
        assert_eq!(never.min(never), Deadline::default());
    }

    #[test]
    fn no_timeout_is_for_ever() {
        let clock = ScriptedClock::default();
        let deadline = Deadline::after(&clock, None);
        clock.sleep(Duration::from_secs(u64::from(u32::MAX)));
        assert_eq!(deadline.left(&clock), None);
        assert!(!deadline.is_over(&clock));
    }
}
