//! How long a call may wait, and the connection that keeps to it. ureq's own timeouts would report
//! the deadline without a look at the socket, and count silence from the request on; so a request
//! has none of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ureq::Timeout;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

use super::Limits;
use super::failure::CallContext;
use crate::time::{Deadline, SystemClock};

/// How long the look at a socket waits for what lies in it already. ureq takes zero for an error.
const LOOK: Duration = Duration::from_millis(1);

/// What lies in a socket is read in much less. A server that never stops talking gains no more.
const LATEST: Duration = Duration::from_millis(250);

/// The times of one call, shared with the connection that carries it.
#[derive(Debug, Default)]
pub(super) struct ReadDeadline {
    clock: SystemClock,
    times: Mutex<Times>,
}

#[derive(Debug, Default)]
struct Times {
    /// Nothing is waited for beyond this: the deadline, or less where the body is hurried.
    end: Deadline,
    /// While a connection is made. ureq gives every read of a proxy's answer the whole time anew.
    connect_end: Option<Deadline>,
    /// Until when what lies in the socket is still read, once the end has come.
    late_end: Deadline,
    idle: Option<Duration>,
    silence_counts: bool,
    /// Why the request did not leave whole, even if ureq had taken all of it. A write that worked
    /// proves nothing: what became of its bytes, nobody knows.
    write_error: Option<ureq::Error>,
    /// The answer is waited for. What is written from then on, such as an alert of TLS, is no part of
    /// the request, and whether it leaves proves nothing.
    is_sent: bool,
}

impl ReadDeadline {
    pub(super) fn begin(&self, limits: Limits, silence_counts: bool) {
        *self.times() = Times {
            end: Deadline::after(&self.clock, limits.total),
            idle: limits.idle,
            silence_counts,
            ..Times::default()
        };
    }

    /// Something of the body is there: from now on silence counts.
    pub(super) fn body_has_begun(&self) {
        self.times().silence_counts = true;
    }

    pub(super) fn hurry(&self, most: Duration) {
        let mut times = self.times();
        times.end = times.end.min(self.after(most));
    }

    pub(super) fn idle(&self) -> Duration {
        self.times().idle.unwrap_or_default()
    }

    pub(super) fn write_failed(&self) -> bool {
        self.times().write_error.is_some()
    }

    pub(super) fn take_write_error(&self) -> Option<ureq::Error> {
        self.times().write_error.take()
    }

    /// Takes the failure of a write of the request. The server may have answered before it stopped
    /// reading: its answer is here already, if so.
    fn take_failed(&self, sent: Result<(), ureq::Error>) -> Result<(), ureq::Error> {
        let mut times = self.times();
        match sent {
            Err(error) if times.connect_end.is_none() && !times.is_sent => {
                times.end = times.end.min(self.after(LATEST));
                times.write_error = Some(error);
                Ok(())
            }
            sent => sent,
        }
    }

    /// Makes a connection within `most`. A proxy's own connection is made within the outer one's.
    pub(super) fn connecting<T>(&self, most: Duration, connect: impl FnOnce() -> T) -> T {
        let outer = self.times().connect_end;
        let end = self.after(most).min(outer.unwrap_or_default());
        self.times().connect_end = Some(end);
        let connected = connect();
        self.times().connect_end = outer;
        connected
    }

    /// What is left, whatever is waited for but silence.
    pub(super) fn shorten(&self, mut timeout: NextTimeout) -> NextTimeout {
        let times = self.times();
        let connect_end = (times.connect_end.unwrap_or_default(), Timeout::Connect);
        for (end, reason) in [connect_end, (times.end, Timeout::Global)] {
            if let Some(left) = end.left(&self.clock)
                && left < *timeout.after
            {
                timeout.after = left.into();
                timeout.reason = reason;
            }
        }
        timeout.per_write = times.idle.map(Into::into);
        timeout
    }

    fn for_read(&self, timeout: NextTimeout) -> NextTimeout {
        let mut timeout = self.shorten(timeout);
        let mut times = self.times();
        times.is_sent |= times.connect_end.is_none();
        if times.silence_counts && times.connect_end.is_none() {
            timeout.per_read = times.idle.map(Into::into);
        }
        timeout.for_read()
    }

    /// Whether what lies in the socket is still read. After a silence it always is.
    fn may_look(&self, reason: Timeout) -> bool {
        let mut times = self.times();
        if reason != Timeout::PerRead {
            times.late_end = times.late_end.min(self.after(LATEST));
        }
        !times.late_end.is_over(&self.clock)
    }

    fn after(&self, wait: Duration) -> Deadline {
        Deadline::after(&self.clock, Some(wait))
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that keeps to the deadline, and notes what did not leave.
#[derive(Debug)]
pub(super) struct TimedTransport<T> {
    pub(super) stream: T,
    pub(super) context: Arc<CallContext>,
}

impl<T: Transport> Transport for TimedTransport<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.stream.buffers()
    }

    /// Once it has failed, what comes after is not sent, and the call goes on to its answer.
    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let deadline = &self.context.deadline;
        if deadline.write_failed() {
            return Ok(());
        }
        let timeout = deadline.shorten(timeout);
        let sent = if timeout.after.is_zero() {
            Err(ureq::Error::Timeout(timeout.reason))
        } else {
            self.stream.transmit_output(amount, timeout)
        };
        deadline.take_failed(sent)
    }

    /// This process may have been stopped, or the machine asleep, while the time passed. So before
    /// it is said to be up, what came meanwhile is read.
    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let mut timeout = self.context.deadline.for_read(timeout);
        let mut awaited = Err(ureq::Error::Timeout(timeout.reason));
        if !timeout.after.is_zero() {
            awaited = self.stream.await_input(timeout);
        }
        if matches!(awaited, Err(ureq::Error::Timeout(_)))
            && self.context.deadline.may_look(timeout.reason)
        {
            timeout.after = LOOK.into();
            awaited = self.stream.await_input(timeout);
        }
        awaited
    }

    fn is_open(&mut self) -> bool {
        self.stream.is_open()
    }

    fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use ureq::unversioned::transport::LazyBuffers;

    use super::*;

    /// A connection on which nothing comes in time. What came meanwhile, a look finds.
    #[derive(Debug)]
    struct Scripted {
        buffers: LazyBuffers,
        lies_there: Vec<u8>,
        waits: Vec<Duration>,
    }

    impl Transport for Scripted {
        fn buffers(&mut self) -> &mut dyn Buffers {
            &mut self.buffers
        }

        fn transmit_output(&mut self, _: usize, _: NextTimeout) -> Result<(), ureq::Error> {
            Err(io::Error::from(io::ErrorKind::BrokenPipe).into())
        }

        fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
            self.waits.push(*timeout.after);
            if *timeout.after > LOOK || self.lies_there.is_empty() {
                return Err(ureq::Error::Timeout(timeout.for_read().reason));
            }
            self.lies_there.pop();
            Ok(true)
        }

        fn is_open(&mut self) -> bool {
            true
        }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    fn transport(total: Duration, idle: Duration, lies_there: usize) -> TimedTransport<Scripted> {
        let context = CallContext::default();
        let limits = Limits {
            total: Some(total),
            idle: Some(idle),
        };
        context.deadline.begin(limits, false);
        TimedTransport {
            stream: Scripted {
                buffers: LazyBuffers::new(100, 100),
                lies_there: vec![0; lies_there],
                waits: Vec::new(),
            },
            context: Arc::new(context),
        }
    }

    impl TimedTransport<Scripted> {
        /// None when something came.
        fn reason(&mut self) -> Option<Timeout> {
            match self.await_input(NextTimeout::default()) {
                Ok(_) => None,
                Err(ureq::Error::Timeout(reason)) => Some(reason),
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn what_lies_in_the_socket_is_read_before_the_deadline_is_reported() {
        // It came up before the read and, as for a process that is stopped in it, during the read.
        for total in [Duration::ZERO, HOUR] {
            let mut transport = transport(total, HOUR, 2);
            assert_eq!(transport.reason(), None);
            assert_eq!(transport.reason(), None);
            assert_eq!(transport.reason(), Some(Timeout::Global));
        }
    }

    #[test]
    fn what_lies_in_the_socket_is_read_before_silence_is_reported() {
        let mut transport = transport(HOUR, Duration::from_secs(60), 1);
        transport.context.deadline.body_has_begun();
        assert_eq!(transport.reason(), None);
        assert_eq!(transport.reason(), Some(Timeout::PerRead));
        let silence = Duration::from_secs(60);
        assert_eq!(transport.stream.waits, [silence, LOOK, silence, LOOK]);
    }

    #[test]
    fn a_server_that_never_stops_talking_does_not_put_the_deadline_off() {
        let mut transport = transport(Duration::ZERO, HOUR, usize::from(u16::MAX));
        assert_eq!(transport.reason(), None);
        std::thread::sleep(LATEST);
        assert_eq!(transport.reason(), Some(Timeout::Global));
    }

    #[test]
    fn silence_counts_from_the_first_byte_of_the_body() {
        let mut transport = transport(HOUR, Duration::ZERO, 0);
        assert_eq!(transport.reason(), Some(Timeout::Global));
        transport.context.deadline.body_has_begun();
        assert_eq!(transport.reason(), Some(Timeout::PerRead));
    }

    #[test]
    fn silence_does_not_count_while_a_connection_is_made() {
        let mut transport = transport(HOUR, Duration::ZERO, 0);
        transport.context.deadline.body_has_begun();
        let context = Arc::clone(&transport.context);
        let reason = context.deadline.connecting(HOUR / 2, || transport.reason());
        assert_eq!(reason, Some(Timeout::Connect));
    }

    #[test]
    fn a_connection_within_another_only_shortens_its_time() {
        let deadline = ReadDeadline::default();
        let left = || *deadline.shorten(NextTimeout::default()).after;
        deadline.connecting(HOUR, || {
            deadline.connecting(Duration::ZERO, || assert!(left().is_zero()));
            assert!(left() <= HOUR && !left().is_zero());
            deadline.connecting(2 * HOUR, || assert!(left() <= HOUR));
        });
        assert!(
            deadline
                .shorten(NextTimeout::default())
                .after
                .is_not_happening()
        );
    }

    #[test]
    fn haste_only_ever_shortens() {
        let deadline = ReadDeadline::default();
        let left = || *deadline.shorten(NextTimeout::default()).after;
        deadline.hurry(HOUR);
        deadline.hurry(2 * HOUR);
        assert!(left() <= HOUR);
        deadline.hurry(Duration::ZERO);
        assert!(left().is_zero());
    }

    #[test]
    fn a_write_that_fails_shows_that_the_request_did_not_leave_whole() {
        let mut transport = transport(HOUR, HOUR, 0);
        let context = Arc::clone(&transport.context);
        let deadline = &context.deadline;
        let mut send = || transport.transmit_output(1, NextTimeout::default());
        assert!(deadline.connecting(HOUR, &mut send).is_err());
        // The call goes on to the answer, which is here already, or never comes.
        assert!(send().is_ok());
        assert!(deadline.write_failed());
        assert!(*deadline.shorten(NextTimeout::default()).after <= LATEST);
        let error = deadline.take_write_error();
        assert!(matches!(error, Some(ureq::Error::Io(_))), "{error:?}");
    }

    #[test]
    fn a_write_that_fails_once_the_answer_is_waited_for_proves_nothing() {
        let mut transport = transport(HOUR, HOUR, 1);
        assert_eq!(transport.reason(), None);
        let sent = transport.transmit_output(1, NextTimeout::default());
        assert!(sent.is_err());
        assert!(!transport.context.deadline.write_failed());
    }

    #[test]
    fn nothing_leaves_after_the_deadline() {
        let mut transport = transport(Duration::ZERO, HOUR, 0);
        let sent = transport.transmit_output(1, NextTimeout::default());
        assert!(sent.is_ok());
        let error = transport.context.deadline.take_write_error();
        assert!(matches!(error, Some(ureq::Error::Timeout(Timeout::Global))));
    }
}
