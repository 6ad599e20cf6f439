//! A stand-in for Coze on 127.0.0.1: it keeps runs, answers as api.coze.cn, Coze Studio or a deployed
//! project does, and counts, so that a test can prove that nothing was started twice. This file owns
//! connections, counts and the runs; `workflow` says what a run does, `cloud`, `studio` and `project`
//! put it into bytes.

mod call;
mod cloud;
mod project;
mod studio;
mod workflow;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::call::{Door, Event, Reply, Route};
use self::cloud::Cloud;
use self::project::Project;
use self::studio::Studio;
use self::workflow::{END, Mode, Node, Phase, Run, Workflow, bulk_text};
use super::wire::{Request, read_request, write_chunk};

// Every target names some of them.
#[allow(unused_imports)]
pub use self::workflow::{
    ASKS_TWICE, BREAKS, BULK, CHOICE, CLOCK, CLOCK_MARK, CUT, ECHO, ECHO_TEXT, EMPTY_END,
    EMPTY_TEXT, FAILS, FORM, IMAGE, QUESTION, RATE_LIMITED, SLOW, STUCK, SUB_STREAM, SUB_TEXT,
    SUB_UNUSED, SUB_VARIABLES, SUM, TYPED, UNPUBLISHED,
};

/// How this Coze behaves.
#[derive(Clone)]
pub struct Options {
    pub site: Site,
    /// The only key that is accepted; `None` accepts any.
    pub key: Option<String>,
    /// Whether the key may look at runs: the cloud's permission `listRunHistory`.
    pub may_look: bool,
    /// The pause before every event but the first.
    pub delay: Duration,
    /// How many looks see `SLOW` still running. In its stream: so many PINGs, or on Studio so many
    /// pauses before anything comes.
    pub slow_polls: u32,
    /// How many times each request of `RATE_LIMITED` is refused.
    pub rate_refusals: u32,
    /// The `Retry-After` of such a refusal; `None` leaves it out.
    pub retry_after: Option<String>,
    /// Whether the cloud's histories come with `is_output_trimmed`, their texts cut short.
    pub trimmed: bool,
    /// How many messages `BULK` and `CLOCK` stream, and how many bytes of text each of `BULK` holds.
    pub bulk: (usize, usize),
    /// Whether a project takes the caller's id for a run in the background.
    pub keeps_ids: bool,
    /// Is told of every request, and may cut its connection by saying false.
    pub watcher: Option<Watcher>,
    /// Turns a connection into a TLS one.
    pub acceptor: Option<Acceptor>,
}

/// When a watcher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing was done about it.
    Arrived,
    /// All was done but to answer.
    Done,
}

pub type Watcher = Arc<dyn Fn(&Request, Moment) -> bool + Send + Sync>;

impl Default for Options {
    fn default() -> Self {
        Self {
            site: Site::Coze,
            key: None,
            may_look: true,
            delay: Duration::ZERO,
            slow_polls: 2,
            rate_refusals: 1,
            retry_after: Some("1".to_owned()),
            trimmed: false,
            bulk: (1000, 1000),
            keeps_ids: true,
            watcher: None,
            acceptor: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").finish_non_exhaustive()
    }
}

impl Options {
    /// Whether the request's key is the right one.
    fn admits(&self, request: &Request) -> bool {
        let key = request.header("authorization").unwrap_or_default();
        let key = key.strip_prefix("Bearer ").unwrap_or_default();
        match &self.key {
            Some(only) => key == only,
            None => !key.is_empty(),
        }
    }
}

/// Whose habits are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// api.coze.cn.
    Coze,
    /// Coze Studio.
    Studio,
    /// Coze Studio before v0.3: its events' names are lower case, and it has no history for a key.
    OldStudio,
    /// A workflow that was deployed as a project: `SUM`.
    Project,
}

impl Site {
    fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::Coze => &Cloud,
            Self::Studio => &Studio { before_v030: false },
            Self::OldStudio => &Studio { before_v030: true },
            Self::Project => &Project,
        }
    }
}

/// How a site answers.
trait Dialect: Sync {
    fn answer(
        &self,
        options: &Options,
        state: &mut State,
        request: &Request,
        route: Route<'_>,
    ) -> Reply;
    /// The header of the log id, and the id of this number.
    fn logid(&self, number: u64) -> (&'static str, String);
    fn message(&self, node: &Node, seq: usize, is_last: bool, content: &str) -> Event;
    /// What a run's stream says, from the start or from the answer on. Never empty.
    fn events(&self, options: &Options, run: &Run) -> Vec<Event>;
    fn done(&self, run: &Run) -> Event;
}

/// Takes an accepted connection through its handshake.
pub type Acceptor = Arc<dyn Fn(TcpStream) -> io::Result<Box<dyn Wire>> + Send + Sync>;

/// A connection, plain or TLS.
pub trait Wire: Read + Write {}

impl<T: Read + Write> Wire for T {}

/// What happened so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub connections: u64,
    /// Requests whose answer is not yet written.
    pub in_flight: usize,
    pub most_in_flight: usize,
    /// POSTs that arrived whole, refused ones included.
    pub stream_run: u64,
    pub run: u64,
    pub stream_resume: u64,
    pub resume: u64,
    /// GETs of a history, of either kind.
    pub polls: u64,
    /// GETs of an Output node's text.
    pub node_polls: u64,
    /// GETs of what a workflow takes.
    pub describes: u64,
    /// Files uploaded, refused ones included.
    pub uploads: u64,
    /// Runs started, by their request: the `key` in its `parameters`, else its whole body.
    pub started: BTreeMap<String, u64>,
    /// Interrupts answered, by `event_id`.
    pub resumed: BTreeMap<String, u64>,
}

/// A running stand-in; dropping it cuts its connections and waits for its threads.
#[derive(Debug)]
pub struct Coze {
    address: SocketAddr,
    service: Arc<Service>,
    accepting: Option<JoinHandle<()>>,
}

impl Coze {
    pub fn start(options: Options) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        Self::start_at(listener, options)
    }

    pub fn start_at(listener: TcpListener, options: Options) -> Self {
        let address = listener.local_addr().expect("a bound listener");
        let service = Arc::new(Service::new(options));
        let accepting = thread::spawn({
            let service = Arc::clone(&service);
            move || accept(&listener, &service)
        });
        Self {
            address,
            service,
            accepting: Some(accepting),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `--base-url` takes.
    pub fn url(&self) -> String {
        let scheme = match self.service.options.acceptor {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://{}", self.address)
    }

    pub fn counts(&self) -> Counts {
        self.service.state().counts.clone()
    }
}

impl Drop for Coze {
    fn drop(&mut self) {
        self.service.stop();
        // `accept` sees the stop only when something comes.
        let _ = TcpStream::connect(self.address);
        let ended = self.accepting.take().map(JoinHandle::join);
        assert!(
            thread::panicking() || !matches!(ended, Some(Err(_))),
            "the stand-in panicked"
        );
    }
}

fn accept(listener: &TcpListener, service: &Service) {
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            let Some(number) = service.admit(&stream) else {
                break;
            };
            scope.spawn(move || {
                // A client that hangs up is no failure of ours.
                let _ = service.serve(stream);
                service.state().open.remove(&number);
            });
        }
    });
}

struct Service {
    options: Options,
    state: Mutex<State>,
    /// Told when `State::stopped` becomes true, so that no pause outlives the stand-in.
    stopping: Condvar,
    /// What `BULK` streams before its Done, rendered once.
    bulk: OnceLock<Vec<u8>>,
}

#[derive(Default)]
struct State {
    stopped: bool,
    counts: Counts,
    /// By `execute_id`.
    runs: HashMap<String, Run>,
    /// Refusals for the rate so far, by request.
    rate_refusals: HashMap<String, u32>,
    /// Every open connection, to cut it at the end.
    open: HashMap<u64, TcpStream>,
    logids: u64,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Service {
    fn new(options: Options) -> Self {
        Self {
            options,
            state: Mutex::default(),
            stopping: Condvar::new(),
            bulk: OnceLock::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds")
    }

    fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        for stream in state.open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.stopping.notify_all();
    }

    /// Counts a connection and remembers how to cut it; `None` once stopped.
    fn admit(&self, stream: &TcpStream) -> Option<u64> {
        let mut state = self.state();
        if state.stopped {
            return None;
        }
        state.counts.connections += 1;
        let number = state.counts.connections;
        state.open.insert(number, stream.try_clone().ok()?);
        Some(number)
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let wire = match &self.options.acceptor {
            Some(accept) => accept(stream)?,
            None => Box::new(stream),
        };
        let mut wire = BufReader::new(wire);
        while let Some(request) = read_request(&mut wire)? {
            let watcher = self.options.watcher.as_ref();
            let goes_on = |moment| watcher.is_none_or(|watcher| watcher(&request, moment));
            if !goes_on(Moment::Arrived) {
                break;
            }
            let in_flight = InFlight::new(self);
            let reply = self.answer(&request);
            if !goes_on(Moment::Done) {
                break;
            }
            self.send(wire.get_mut(), reply, in_flight)?;
            if request.header("connection") == Some("close") {
                break;
            }
        }
        Ok(())
    }

    fn answer(&self, request: &Request) -> Reply {
        let route = Route::of(request);
        let mut state = self.state();
        state.count(route);
        let dialect = self.options.site.dialect();
        dialect.answer(&self.options, &mut state, request, route)
    }

    /// The request is over before the last bytes leave: a client that has them all may send the next
    /// one, and the two must not be counted as in flight together.
    fn send(&self, wire: &mut impl Write, reply: Reply, in_flight: InFlight<'_>) -> io::Result<()> {
        match reply {
            Reply::Whole {
                status,
                headers,
                media_type,
                body,
            } => {
                let (head, length) = (self.head(status, media_type), body.len());
                let more = headers
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}\r\n"));
                let more: String = more.collect();
                let answer = format!("{head}{more}Content-Length: {length}\r\n\r\n{body}");
                drop(in_flight);
                wire.write_all(answer.as_bytes())?;
                wire.flush()
            }
            Reply::Events(events) => {
                let mut sending = Sending::new(self, wire);
                drop(in_flight);
                for (id, event) in events.iter().enumerate() {
                    sending.chunk(event.render(id).as_bytes())?;
                }
                sending.finish()
            }
            Reply::Stream(run) => self.stream(Sending::new(self, wire), &run, in_flight),
        }
    }

    /// The first lines of an answer: status, log id and media type.
    fn head(&self, status: u16, media_type: &str) -> String {
        let number = self.state().next_logid();
        let (name, logid) = self.options.site.dialect().logid(number);
        let reason = match status {
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            429 => "Too Many Requests",
            500 => "Internal Server Error",
            503 => "Service Unavailable",
            _ => "Not Found",
        };
        format!("HTTP/1.1 {status} {reason}\r\n{name}: {logid}\r\nContent-Type: {media_type}\r\n")
    }

    /// Streams a run. A client that hangs up does not stop it, and whoever has seen its last event
    /// finds it ended in the history: so it is settled between the events and the last one.
    fn stream<W: Write>(
        &self,
        mut sending: Sending<'_, W>,
        run: &Run,
        in_flight: InFlight<'_>,
    ) -> io::Result<()> {
        let dialect = self.options.site.dialect();
        let messages = self.options.bulk.0;
        let (id, sent, last) = match run.workflow {
            Workflow::Bulk => {
                let bulk = self.bulk.get_or_init(|| render_bulk(dialect, run.bulk));
                (messages, sending.chunks(bulk), dialect.done(run))
            }
            Workflow::Clock => {
                let events = (0..messages)
                    .map(|seq| dialect.message(&END, seq, seq + 1 == messages, &Run::clock()));
                let (id, sent) = self.write_events(&mut sending, events);
                (id, sent, dialect.done(run))
            }
            _ => {
                let mut events = dialect.events(&self.options, run);
                let last = events.pop().expect("a run has events");
                let (id, sent) = self.write_events(&mut sending, events);
                (id, sent, last)
            }
        };
        self.state().settle(&run.execute_id);
        sent?;
        drop(in_flight);
        let last = last.render(id);
        match run.workflow {
            Workflow::Cut => {
                sending.chunk(&last.as_bytes()[..last.len() / 2])?;
                Err(io::Error::other("cut on purpose"))
            }
            Workflow::Stuck => {
                sending.chunk(last.as_bytes())?;
                drop(
                    self.stopping
                        .wait_while(self.state(), |state| !state.stopped),
                );
                Err(io::Error::other("stuck on purpose"))
            }
            _ => {
                sending.chunk(last.as_bytes())?;
                sending.finish()
            }
        }
    }

    /// Takes each event only when it is about to be written, and pauses before the next. Gives the
    /// next event's id.
    fn write_events<W: Write>(
        &self,
        sending: &mut Sending<'_, W>,
        events: impl IntoIterator<Item = Event>,
    ) -> (usize, io::Result<()>) {
        let mut id = 0;
        for event in events {
            if event.name.is_some() {
                if let Err(error) = sending.chunk(event.render(id).as_bytes()) {
                    return (id, Err(error));
                }
                id += 1;
            }
            self.pause();
        }
        (id, Ok(()))
    }

    fn pause(&self) {
        if !self.options.delay.is_zero() {
            let delay = self.options.delay;
            let waited = self
                .stopping
                .wait_timeout_while(self.state(), delay, |state| !state.stopped);
            drop(waited);
        }
    }
}

/// A stream of events on its way. Its head leaves together with the first event: neither site says
/// anything before.
struct Sending<'a, W> {
    wire: &'a mut W,
    head: Option<String>,
}

impl<'a, W: Write> Sending<'a, W> {
    fn new(service: &Service, wire: &'a mut W) -> Self {
        let head = service.head(200, "text/event-stream");
        let head = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
        Self {
            wire,
            head: Some(head),
        }
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_head()?;
        write_chunk(self.wire, bytes)
    }

    /// Of bytes that are chunks already.
    fn chunks(&mut self, chunked: &[u8]) -> io::Result<()> {
        self.write_head()?;
        self.wire.write_all(chunked)
    }

    fn write_head(&mut self) -> io::Result<()> {
        match self.head.take() {
            Some(head) => self.wire.write_all(head.as_bytes()),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        write_chunk(self.wire, b"")
    }
}

impl State {
    fn count(&mut self, route: Route<'_>) {
        let counts = &mut self.counts;
        match route {
            Route::StreamRun | Route::Project(Door::StreamRun) => counts.stream_run += 1,
            Route::Run | Route::Project(Door::AsyncRun) => counts.run += 1,
            Route::StreamResume => counts.stream_resume += 1,
            Route::Resume => counts.resume += 1,
            Route::History { node: None, .. }
            | Route::StudioHistory { .. }
            | Route::Project(Door::Task(_)) => counts.polls += 1,
            Route::History { node: Some(_), .. } => counts.node_polls += 1,
            Route::Describe { .. } | Route::Project(Door::GraphParameter) => {
                counts.describes += 1;
            }
            Route::Upload => counts.uploads += 1,
            Route::Unknown => {}
        }
    }

    fn next_logid(&mut self) -> u64 {
        self.logids += 1;
        self.logids
    }

    /// Refuses `RATE_LIMITED` as often as it shall.
    fn rate_refusal(&mut self, options: &Options, workflow: Workflow, key: &str) -> Option<Reply> {
        if workflow != Workflow::RateLimited {
            return None;
        }
        let refusals = self.rate_refusals.entry(key.to_owned()).or_default();
        if *refusals == options.rate_refusals {
            return None;
        }
        *refusals += 1;
        let after = options.retry_after.clone();
        Some(Reply::Whole {
            status: 429,
            headers: after
                .map(|after| ("Retry-After", after))
                .into_iter()
                .collect(),
            media_type: "application/json",
            body: r#"{"code":4020,"msg":"rate limit exceeded"}"#.to_owned(),
        })
    }

    /// Starts a run, and counts it under its key.
    fn begin(
        &mut self,
        options: &Options,
        key: String,
        workflow_id: String,
        workflow: Workflow,
        mode: Mode,
        parameters: String,
    ) -> Run {
        *self.counts.started.entry(key).or_default() += 1;
        let mut run = Run {
            execute_id: (7_600_000_000_000_000_000 + self.runs.len() as u64).to_string(),
            workflow_id,
            workflow,
            mode,
            parameters,
            answers: Vec::new(),
            resumed: 0,
            answered: None,
            phase: match mode {
                Mode::Background if workflow == Workflow::Slow => Phase::Running {
                    polls: options.slow_polls,
                },
                Mode::Background => Phase::Running { polls: 0 },
                Mode::Stream | Mode::Foreground => Phase::Streaming,
            },
            polled: false,
            bulk: options.bulk,
        };
        if mode == Mode::Foreground {
            run.settle();
        }
        self.runs.insert(run.execute_id.clone(), run.clone());
        run
    }

    fn count_answer(&mut self, event_id: String) {
        *self.counts.resumed.entry(event_id).or_default() += 1;
    }

    fn settle(&mut self, execute_id: &str) {
        if let Some(run) = self.runs.get_mut(execute_id) {
            run.settle();
        }
    }
}

/// A request being answered; over when dropped, however that comes about.
struct InFlight<'a>(&'a Service);

impl<'a> InFlight<'a> {
    fn new(service: &'a Service) -> Self {
        let counts = &mut service.state().counts;
        counts.in_flight += 1;
        counts.most_in_flight = counts.most_in_flight.max(counts.in_flight);
        Self(service)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.state().counts.in_flight -= 1;
    }
}

/// All that `BULK` streams before its Done, in chunks.
fn render_bulk(dialect: &dyn Dialect, (messages, bytes): (usize, usize)) -> Vec<u8> {
    let text = bulk_text(bytes);
    // Escaping the same text for every message would take most of a benchmark's time.
    let middle = dialect.message(&END, 0, false, &text);
    let (before, after) = middle.data.split_once(r#""0""#).expect("its node_seq_id");
    let mut rendered = Vec::new();
    for id in 0..messages {
        let is_last = id + 1 == messages;
        let event = if is_last {
            dialect.message(&END, id, is_last, &text).render(id)
        } else {
            let name = middle.name.as_deref().unwrap_or_default();
            format!("id: {id}\nevent: {name}\ndata: {before}\"{id}\"{after}\n\n")
        };
        write_chunk(&mut rendered, event.as_bytes()).expect("memory takes everything");
    }
    rendered
}
