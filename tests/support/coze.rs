//! A stand-in for Coze on 127.0.0.1: it keeps runs, answers as api.coze.cn (or Coze Studio) does,
//! and counts, so that a test can prove that nothing was started twice. What the workflows say
//! stands in `workflow`; this file owns connections, permissions, and what became of each run.

mod workflow;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use self::workflow::{Event, Mode, Phase, Run, Workflow};
use super::wire::{Request, read_request, write_chunk};

// Every target names some of them.
#[allow(unused_imports)]
pub use self::workflow::{
    BULK, CLOCK, CLOCK_MARK, CUT, ECHO, ECHO_TEXT, FAILS, IMAGE, QUESTION, RATE_LIMITED, SLOW,
    UNPUBLISHED,
};

/// How this Coze behaves.
#[derive(Clone)]
pub struct Options {
    /// 0 takes any free port.
    pub port: u16,
    pub site: Site,
    /// The only key that is accepted; `None` accepts any.
    pub key: Option<String>,
    /// Whether the key may look at runs: the permission `listRunHistory`.
    pub may_look: bool,
    /// The pause before every event but the first.
    pub delay: Duration,
    /// How many looks see `SLOW` still running.
    pub slow_looks: u32,
    /// How many times each request of `RATE_LIMITED` is refused.
    pub rate_refusals: u32,
    /// The `Retry-After` of such a refusal; `None` leaves it out.
    pub retry_after: Option<String>,
    /// Whether histories come with `is_output_trimmed`, their texts cut short.
    pub trimmed: bool,
    /// How many messages `BULK` and `CLOCK` stream, and how many bytes of text each of `BULK` holds.
    pub bulk: (usize, usize),
    /// Turns a connection into a TLS one.
    pub acceptor: Option<Acceptor>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            site: Site::Coze,
            key: None,
            may_look: true,
            delay: Duration::ZERO,
            slow_looks: 2,
            rate_refusals: 1,
            retry_after: Some("1".to_owned()),
            trimmed: false,
            bulk: (1000, 1000),
            acceptor: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").finish_non_exhaustive()
    }
}

/// Whose habits are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// api.coze.cn.
    Coze,
    /// Coze Studio, which says 404 to `run_histories`.
    Studio404,
    /// Coze Studio behind its own login, which says 401.
    Studio401,
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
    pub looks: u64,
    /// GETs of an Output node's text.
    pub node_looks: u64,
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
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))
            .expect("cannot listen on 127.0.0.1; is the port taken?");
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

    /// Cuts every connection and waits until all is over; then the port is free.
    pub fn stop(self) {
        drop(self);
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

/// What goes back for a request.
enum Reply {
    /// A status, further headers, a media type, a body.
    Whole(u16, Vec<(&'static str, String)>, &'static str, String),
    /// Events of nothing that was started: a refusal.
    Refusal(Event),
    /// The events of a run.
    Stream(Run),
}

impl Reply {
    fn json(body: String) -> Self {
        Self::Whole(200, Vec::new(), "application/json; charset=utf-8", body)
    }

    fn not_found() -> Self {
        let page = "404 page not found".to_owned();
        Self::Whole(404, Vec::new(), "text/plain", page)
    }

    fn code(status: u16, code: u64, message: &str) -> Self {
        let body = format!(r#"{{"code":{code},"msg":"{message}"}}"#);
        Self::Whole(status, Vec::new(), "application/json; charset=utf-8", body)
    }
}

/// The body of a run or a resume, as far as it matters here.
#[derive(Deserialize)]
struct Body<'a> {
    workflow_id: String,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    is_async: Option<bool>,
    event_id: Option<String>,
    interrupt_type: Option<u64>,
    resume_data: Option<String>,
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
            let in_flight = InFlight::new(self);
            let reply = self.answer(&request);
            self.send(wire.get_mut(), reply, in_flight)?;
            if request.header("connection") == Some("close") {
                break;
            }
        }
        Ok(())
    }

    fn answer(&self, request: &Request) -> Reply {
        let (path, query) = match request.target.split_once('?') {
            Some((path, query)) => (path, query),
            None => (request.target.as_str(), ""),
        };
        let path: Vec<&str> = path.split('/').skip(1).collect();
        let mut state = self.state();
        let state = &mut *state;
        let counts = &mut state.counts;
        match path[..] {
            ["v1", "workflow", "stream_run"] => counts.stream_run += 1,
            ["v1", "workflow", "run"] => counts.run += 1,
            ["v1", "workflow", "stream_resume"] => counts.stream_resume += 1,
            ["v1", "workflows", "resume"] => counts.resume += 1,
            ["v1", "workflow", "get_run_history"] | ["v1", "workflows", _, "run_histories", _] => {
                counts.looks += 1;
            }
            ["v1", "workflows", _, "run_histories", _, "execute_nodes", _] => {
                counts.node_looks += 1;
            }
            _ => return Reply::not_found(),
        }
        let key = request.header("authorization").unwrap_or_default();
        if !self.admits(key.strip_prefix("Bearer ").unwrap_or_default()) {
            return Reply::code(401, 700_012_006, "access token invalid");
        }
        match (request.method.as_str(), &path[..]) {
            ("POST", [_, _, "stream_run"]) => self.start(state, request, Mode::Stream),
            ("POST", [_, _, "run"]) => self.start(state, request, Mode::Background),
            ("POST", [_, _, "stream_resume"]) => resume(state, request, Mode::Stream),
            ("POST", [_, _, "resume"]) => resume(state, request, Mode::Background),
            ("GET", [_, _, "get_run_history"]) => self.studio_history(state, query),
            ("GET", [_, _, workflow_id, _, execute_id, node @ ..]) => {
                self.history(state, workflow_id, execute_id, node.last().copied())
            }
            _ => Reply::not_found(),
        }
    }

    fn admits(&self, key: &str) -> bool {
        match &self.options.key {
            Some(only) => key == only,
            None => !key.is_empty(),
        }
    }

    fn start(&self, state: &mut State, request: &Request, mode: Mode) -> Reply {
        let Some(body) = parse(request) else {
            return Reply::code(200, 4000, "Request parameter error");
        };
        if (mode == Mode::Background) != (body.is_async == Some(true)) {
            return Reply::code(
                200,
                4000,
                "is_async belongs to /v1/workflow/run, and only there",
            );
        }
        let Some(workflow) = Workflow::of(&body.workflow_id) else {
            return Reply::code(200, 4200, "Requested resource workflow does not exist");
        };
        if workflow == Workflow::Unpublished {
            return unpublished(mode);
        }
        let key = key(request, &body);
        if workflow == Workflow::RateLimited {
            let refusals = state.rate_refusals.entry(key.clone()).or_default();
            if *refusals < self.options.rate_refusals {
                *refusals += 1;
                return self.rate_refusal();
            }
        }
        *state.counts.started.entry(key).or_default() += 1;
        let run = Run {
            execute_id: (7_600_000_000_000_000_000 + state.runs.len() as u64).to_string(),
            workflow_id: body.workflow_id,
            workflow,
            mode,
            parameters: body.parameters.map_or("{}", RawValue::get).to_owned(),
            answer: None,
            phase: match mode {
                Mode::Stream => Phase::Streaming,
                Mode::Background if workflow == Workflow::Slow => Phase::Running {
                    looks: self.options.slow_looks,
                },
                Mode::Background => Phase::Running { looks: 0 },
            },
            looked: false,
            bulk: self.options.bulk,
        };
        go(state, run)
    }

    fn rate_refusal(&self) -> Reply {
        let after = self.options.retry_after.clone();
        let headers = after.map(|after| ("Retry-After", after)).into_iter();
        let body = r#"{"code":4020,"msg":"rate limit exceeded"}"#.to_owned();
        Reply::Whole(429, headers.collect(), "application/json", body)
    }

    fn history(
        &self,
        state: &mut State,
        workflow_id: &str,
        execute_id: &str,
        node: Option<&str>,
    ) -> Reply {
        match self.options.site {
            Site::Coze => {}
            Site::Studio404 => return Reply::not_found(),
            Site::Studio401 => return Reply::code(401, 401, "missing session_key in cookie"),
        }
        if !self.options.may_look {
            let message = "The token you entered is incorrect. Please double-check and try again.";
            return Reply::code(200, 4101, message);
        }
        let logid = state.logid();
        let run = state.runs.get_mut(execute_id);
        let Some(run) = run.filter(|run| run.workflow_id == workflow_id) else {
            return Reply::code(200, 4314, "workflow execution history not found");
        };
        match node {
            None => Reply::json(run.history(self.options.trimmed, &logid)),
            Some(uuid) => run.node_text(uuid, &logid).map_or_else(
                || Reply::code(200, 4000, "Request parameter error"),
                Reply::json,
            ),
        }
    }

    fn studio_history(&self, state: &mut State, query: &str) -> Reply {
        if self.options.site == Site::Coze {
            return Reply::not_found();
        }
        let execute_id = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("execute_id="));
        match execute_id.and_then(|id| state.runs.get_mut(id)) {
            Some(run) => Reply::json(run.studio_history()),
            None => Reply::code(200, 4314, "workflow execution history not found"),
        }
    }

    /// The request is over before the last bytes leave: a client that has them all may send the next
    /// one, and the two must not be counted as in flight together.
    fn send(&self, wire: &mut impl Write, reply: Reply, in_flight: InFlight<'_>) -> io::Result<()> {
        match reply {
            Reply::Whole(status, headers, content_type, body) => {
                let head = self.head(status, content_type);
                let more = headers
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}\r\n"));
                let (more, length) = (more.collect::<String>(), body.len());
                let answer = format!("{head}{more}Content-Length: {length}\r\n\r\n{body}");
                drop(in_flight);
                wire.write_all(answer.as_bytes())?;
                wire.flush()
            }
            Reply::Refusal(event) => {
                self.stream_head(wire)?;
                drop(in_flight);
                write_chunk(wire, event.render(0).as_bytes())?;
                write_chunk(wire, b"")
            }
            Reply::Stream(run) => {
                self.stream_head(wire)?;
                self.stream(wire, &run, in_flight)
            }
        }
    }

    /// The first lines of an answer: status, log id and media type.
    fn head(&self, status: u16, content_type: &str) -> String {
        let logid = self.state().logid();
        let logid_name = match self.options.site {
            Site::Coze => "X-Tt-Logid",
            Site::Studio404 | Site::Studio401 => "X-Log-ID",
        };
        let reason = match status {
            200 => "OK",
            401 => "Unauthorized",
            429 => "Too Many Requests",
            _ => "Not Found",
        };
        format!(
            "HTTP/1.1 {status} {reason}\r\n{logid_name}: {logid}\r\nContent-Type: {content_type}\r\n"
        )
    }

    fn stream_head(&self, wire: &mut impl Write) -> io::Result<()> {
        let head = self.head(200, "text/event-stream; charset=utf-8");
        wire.write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes())?;
        wire.flush()
    }

    /// Streams a run. A client that hangs up does not stop it, and whoever has seen its last event
    /// finds it ended in the history: so it is settled between the events and the last one.
    fn stream(&self, wire: &mut impl Write, run: &Run, in_flight: InFlight<'_>) -> io::Result<()> {
        let messages = self.options.bulk.0;
        let (id, sent, last) = match run.workflow {
            Workflow::Bulk => {
                let bulk = self.bulk.get_or_init(|| run.render_bulk());
                (messages, wire.write_all(bulk), run.done())
            }
            Workflow::Clock => {
                let events = (0..messages).map(|seq| run.clock(seq));
                (messages, self.write_events(wire, events), run.done())
            }
            _ => {
                let mut events = run.events(&self.options);
                let last = events.pop().expect("a run has events");
                (events.len(), self.write_events(wire, events), last)
            }
        };
        self.state().settle(&run.execute_id);
        sent?;
        drop(in_flight);
        let last = last.render(id);
        if run.workflow == Workflow::Cut {
            write_chunk(wire, &last.as_bytes()[..last.len() / 2])?;
            return Err(io::Error::other("cut on purpose"));
        }
        write_chunk(wire, last.as_bytes())?;
        write_chunk(wire, b"")
    }

    /// Takes each event only when it is about to be written, and pauses before the next.
    fn write_events(
        &self,
        wire: &mut impl Write,
        events: impl IntoIterator<Item = Event>,
    ) -> io::Result<()> {
        for (id, event) in events.into_iter().enumerate() {
            write_chunk(wire, event.render(id).as_bytes())?;
            self.pause();
        }
        Ok(())
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

impl State {
    fn logid(&mut self) -> String {
        self.logids += 1;
        format!("20260101120000{:020X}", self.logids)
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

/// Remembers a run from now on, and says so.
fn go(state: &mut State, run: Run) -> Reply {
    state.runs.insert(run.execute_id.clone(), run.clone());
    match run.mode {
        Mode::Stream => Reply::Stream(run),
        Mode::Background => Reply::json(run.submitted()),
    }
}

fn resume(state: &mut State, request: &Request, mode: Mode) -> Reply {
    let refused = || Reply::code(200, 4000, "Request parameter error");
    let Some((body, event_id)) = parse(request).and_then(|mut body| {
        let event_id = body.event_id.take()?;
        Some((body, event_id))
    }) else {
        return refused();
    };
    let (execute_id, _) = event_id.split_once('/').unwrap_or_default();
    let Some(run) = state.runs.get_mut(execute_id) else {
        return refused();
    };
    let fits = run.workflow_id == body.workflow_id
        && run.mode == mode
        && run.event_id() == event_id
        && body.interrupt_type == Some(workflow::INTERRUPT_TYPE);
    let (true, Some(answer)) = (fits, body.resume_data) else {
        return refused();
    };
    if !run.is_waiting() {
        return Reply::code(200, 4315, "the workflow run is over");
    }
    *state.counts.resumed.entry(event_id).or_default() += 1;
    run.answer = Some(answer);
    run.looked = false;
    run.phase = match mode {
        Mode::Stream => Phase::Streaming,
        // One look still sees the interrupt that was just answered.
        Mode::Background => Phase::Running { looks: 1 },
    };
    let run = run.clone();
    go(state, run)
}

fn unpublished(mode: Mode) -> Reply {
    let message = "Workflow not published as API";
    match mode {
        Mode::Stream => Reply::Refusal(Event::error(4200, message, None)),
        Mode::Background => Reply::code(200, 4200, message),
    }
}

fn parse(request: &Request) -> Option<Body<'_>> {
    let is_json = request
        .header("content-type")
        .is_some_and(|media_type| media_type.starts_with("application/json"));
    serde_json::from_slice(&request.body)
        .ok()
        .filter(|_| is_json)
}

/// What names a request: the `key` in its `parameters`, else its whole body.
fn key(request: &Request, body: &Body<'_>) -> String {
    #[derive(Deserialize)]
    struct Parameters {
        key: String,
    }
    let named = body
        .parameters
        .and_then(|parameters| serde_json::from_str::<Parameters>(parameters.get()).ok());
    named.map_or_else(|| request.body_text().to_owned(), |named| named.key)
}
