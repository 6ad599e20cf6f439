//! The seam over ureq, and the only file that names it: sends one call once, and says of a failure
//! what went wrong and what it proves. Never retries, never sleeps, never prints.
//! HTTP/1.1 is RFC 9112. What ureq does and leaves undone was read in its sources, version 3.5.2.

use std::fmt;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ureq::config::AutoHeaderValue;
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use ureq::http::uri::Scheme;
use ureq::http::{HeaderValue, Method, Request, Response, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector,
    SocksConnector, TcpConnector, Transport,
};
use ureq::{Agent, AsSendBody, SendBody, Timeout};

use crate::api::{Answer, Api, Body, Call, Cause, Failure, Limits, Started};
use crate::config::{Config, Proxy, ProxyProtocol, Roots};
use crate::error::Local;
use crate::time::Moment;

/// A connection that was idle for so long is not used again: a close that races the request would
/// leave it unknown whether a run was started. Below the 2 s that are promised, for it is looked at a
/// little before the request leaves. ureq counts from where the end of an answer was read, which may
/// be long after it came, so we count ourselves, from the last bytes.
const MAX_IDLE_AGE: Duration = Duration::from_millis(1900);
/// How long the end of an answer may take once its last event was read.
const TAIL: Duration = Duration::from_secs(1);
const MAX_HEADER: usize = 64 * 1024;
/// ureq fills its buffers with zeros for each connection. This one has to hold a header that is too
/// large; of the other, more than a TLS record gains nothing.
const IN_BUFFER: usize = MAX_HEADER + OUT_BUFFER;
const OUT_BUFFER: usize = 16 << 10;
/// ureq adds a timeout to an `Instant`, which panics on overflow; 30 years are for ever.
const FOR_EVER: Duration = Duration::from_secs(1_000_000_000);

/// Coze over HTTP. One for each thread: it keeps one idle connection at most.
pub(crate) struct Http {
    agent: Agent,
    base_url: String,
    authorization: HeaderValue,
    way: Arc<Way>,
    curfew: Arc<Curfew>,
    stuck: Stuck,
    kept: Arc<Kept>,
}

/// What is known of the kept connection, and of a server's way with such.
#[derive(Debug, Default)]
struct Kept {
    /// Until when it may be used: renewed with whatever comes over it.
    fresh_until: Mutex<Option<Moment>>,
    /// An answer was read to its end, so that its connection should still be there.
    expected: AtomicBool,
    /// It was not there. A server that closes connections so soon will close one in the very moment
    /// when a run is sent, so that none is sent over a kept one any more.
    disappointed: AtomicBool,
}

impl Kept {
    fn renew(&self) {
        *self.fresh_until() = Moment::after(MAX_IDLE_AGE);
    }

    fn is_fresh(&self) -> bool {
        self.fresh_until()
            .is_some_and(|until| !until.left().is_zero())
    }

    /// For how long a kept connection may have been idle to carry this call. A look may be lost.
    fn max_idle_age(&self, starts: bool) -> Duration {
        let wary = starts && self.disappointed.load(Ordering::Relaxed);
        match self.is_fresh() && !wary {
            true => MAX_IDLE_AGE,
            false => Duration::ZERO,
        }
    }

    /// A new connection is made.
    fn replaced(&self) {
        if self.expected.swap(false, Ordering::Relaxed) && self.is_fresh() {
            self.disappointed.store(true, Ordering::Relaxed);
        }
    }

    fn fresh_until(&self) -> MutexGuard<'_, Option<Moment>> {
        self.fresh_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write failed: the request did not leave whole, even if ureq had taken all of it. A write that
/// worked proves nothing: what became of its bytes, nobody knows.
type Stuck = Arc<AtomicBool>;

impl Http {
    /// Connects to nothing yet. Fails when the CA file holds no certificate.
    pub(crate) fn new(config: &Config) -> Result<Self, Local> {
        let base: Uri = config
            .base_url
            .parse()
            .map_err(|_| Local::config(format!("{} is not a URL", config.base_url)))?;
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", config.key.expose()))
                .map_err(|_| Local::config("the key holds a character that no header can carry"))?;
        authorization.set_sensitive(true);
        let mut settings = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(config.proxy.as_ref().map(proxy).transpose()?)
            .user_agent(concat!("coze-workflow/", env!("CARGO_PKG_VERSION")))
            .accept_encoding(AutoHeaderValue::None)
            .max_response_header_size(MAX_HEADER)
            .input_buffer_size(IN_BUFFER)
            .output_buffer_size(OUT_BUFFER)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(MAX_IDLE_AGE)
            .timeout_resolve(Some(config.connect_timeout.min(FOR_EVER)))
            .timeout_connect(Some(config.connect_timeout.min(FOR_EVER)));
        if base.scheme() == Some(&Scheme::HTTPS) {
            settings = settings.tls_config(tls(&config.roots)?);
        }
        let curfew = Arc::new(Curfew::default());
        let stuck = Stuck::default();
        let kept = Arc::new(Kept::default());
        let road = Road::new(Arc::clone(&curfew), Arc::clone(&stuck), Arc::clone(&kept));
        Ok(Self {
            agent: Agent::with_parts(settings.build(), road, Names::default()),
            base_url: config.base_url.clone(),
            authorization,
            way: Arc::new(Way::new(&base, config)),
            curfew,
            stuck,
            kept,
        })
    }

    /// `unsent` is left with what ureq did not take of the body.
    fn send(
        &self,
        call: Call<'_>,
        limits: Limits,
        unsent: &mut &[u8],
    ) -> Result<Response<ureq::Body>, ureq::Error> {
        let mut request = Request::builder()
            .uri(format!("{}{}", self.base_url, call.path()))
            .header(ACCEPT, accept(call));
        if !matches!(call, Call::Check) {
            request = request.header(AUTHORIZATION, self.authorization.clone());
        }
        match call.body() {
            // A reader with its length, not a string: only a reader shows how far it was read.
            Some(body) => {
                let request = request
                    .method(Method::POST)
                    .header(CONTENT_TYPE, "application/json")
                    .header(CONTENT_LENGTH, body.len())
                    .body(SendBody::from_reader(unsent))?;
                self.run(request, limits)
            }
            None => self.run(request.body(())?, limits),
        }
    }

    fn run(
        &self,
        request: Request<impl AsSendBody>,
        limits: Limits,
    ) -> Result<Response<ureq::Body>, ureq::Error> {
        let idle = limits.idle.map(|idle| idle.min(FOR_EVER));
        let starts = request.method() == Method::POST;
        let request = self
            .agent
            .configure_request(request)
            .max_idle_age(self.kept.max_idle_age(starts))
            .timeout_global(limits.total.map(|total| total.min(FOR_EVER)))
            .timeout_per_read(idle)
            .timeout_per_write(idle)
            .build();
        self.agent.run(request)
    }
}

impl Api for Http {
    fn call(&self, call: Call<'_>, limits: Limits) -> Result<Answer, Failure> {
        let trip = Trip {
            way: Arc::clone(&self.way),
            idle: limits.idle.unwrap_or_default(),
            starts: call.body().is_some(),
        };
        let mut unsent = call.body().unwrap_or_default().as_bytes();
        self.stuck.store(false, Ordering::Relaxed);
        let sent = self.send(call, limits, &mut unsent);
        self.kept.expected.store(false, Ordering::Relaxed);
        let whole = call.body().unwrap_or_default().len();
        let stage = if !unsent.is_empty() && unsent.len() < whole {
            Stage::Stopped
        } else if unsent.is_empty() && !self.stuck.load(Ordering::Relaxed) {
            Stage::Waiting
        } else {
            Stage::Sending
        };
        let (head, body) = sent
            .map_err(|error| trip.failure(error, stage))?
            .into_parts();
        self.kept.renew();
        Ok(Answer {
            status: head.status.as_u16(),
            content_type: media_type(&head.headers),
            logid: text(&head.headers, "x-tt-logid").or_else(|| text(&head.headers, "x-log-id")),
            retry_after: text(&head.headers, "retry-after"),
            body: Box::new(HttpBody {
                reader: body.into_reader(),
                trip,
                curfew: Arc::clone(&self.curfew),
                kept: Arc::clone(&self.kept),
            }),
        })
    }
}

fn accept(call: Call<'_>) -> &'static str {
    match call {
        Call::StreamRun { .. } | Call::StreamResume { .. } => "text/event-stream",
        _ => "application/json",
    }
}

/// A header as text that can be printed, whatever the server put there; an empty one is none.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = String::from_utf8_lossy(headers.get(name)?.as_bytes());
    let value: String = value.chars().filter(|char| !char.is_control()).collect();
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

fn media_type(headers: &HeaderMap) -> String {
    let value = text(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default();
    media_type.trim().to_ascii_lowercase()
}

fn proxy(proxy: &Proxy) -> Result<ureq::Proxy, Local> {
    let protocol = match proxy.protocol {
        ProxyProtocol::Http => ureq::ProxyProtocol::Http,
        ProxyProtocol::Socks4 => ureq::ProxyProtocol::Socks4,
        ProxyProtocol::Socks4a => ureq::ProxyProtocol::Socks4A,
        ProxyProtocol::Socks5 => ureq::ProxyProtocol::Socks5,
        ProxyProtocol::Socks5h => ureq::ProxyProtocol::Socks5h,
    };
    let mut builder = ureq::Proxy::builder(protocol)
        .host(&bracketed(&proxy.host))
        .port(proxy.port);
    if let Some(user) = &proxy.user {
        builder = builder.username(user);
    }
    if let Some(password) = &proxy.password {
        builder = builder.password(password);
    }
    builder
        .build()
        .map_err(|_| Local::config(format!("{} can't be used", proxy_name(proxy))))
}

/// For sentences: where the proxy is and who named it, never its password.
fn proxy_name(proxy: &Proxy) -> String {
    let host = bracketed(&proxy.host);
    format!("proxy {host}:{} ({})", proxy.port, proxy.source)
}

fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

fn tls(roots: &Roots) -> Result<TlsConfig, Local> {
    let roots = match roots {
        Roots::BuiltIn => RootCerts::WebPki,
        Roots::Pem { path, pem } => {
            let path = path.display();
            let mut certificates = Vec::new();
            for item in parse_pem(pem) {
                match item {
                    Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
                    Ok(_) => {}
                    Err(_) => return Err(Local::config(format!("{path} is not valid PEM"))),
                }
            }
            if certificates.is_empty() {
                let local = Local::config(format!("{path} holds no certificate"));
                return Err(local.hint(
                    "it must be PEM, with BEGIN CERTIFICATE lines",
                    "必须是 PEM 格式，含有 BEGIN CERTIFICATE 行",
                ));
            }
            certificates.into()
        }
    };
    Ok(TlsConfig::builder().root_certs(roots).build())
}

/// The body of an answer. Dropped before its end, it takes its connection with it.
struct HttpBody {
    reader: ureq::BodyReader<'static>,
    trip: Trip,
    curfew: Arc<Curfew>,
    kept: Arc<Kept>,
}

impl fmt::Debug for HttpBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpBody").finish_non_exhaustive()
    }
}

impl Body for HttpBody {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let count = self.reader.read(buffer).map_err(|error| {
            // What ureq meant is inside; the kind of the outer error says only `Other`.
            let error = ureq::Error::from(error);
            self.trip.failure(error, Stage::Reading)
        })?;
        if count > 0 {
            self.kept.renew();
        }
        Ok(count)
    }

    fn read_tail(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let curfew = Arc::clone(&self.curfew);
        let _guard = curfew.by(TAIL);
        self.read(buffer)
    }

    fn finish(mut self: Box<Self>) {
        let _guard = self.curfew.by(TAIL);
        let mut rest = [0; 8 * 1024];
        let ended = loop {
            match self.reader.read(&mut rest) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(_) => break false,
            }
        };
        self.kept.expected.store(ended, Ordering::Relaxed);
    }
}

/// One call on its way, as far as a failure has to tell of it.
struct Trip {
    way: Arc<Way>,
    idle: Duration,
    starts: bool,
}

/// How far a call had come when it failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Sending,
    /// In the middle of a body: the server stopped reading, and would again.
    Stopped,
    Waiting,
    Reading,
}

impl Trip {
    /// What ureq's error means. The stage alone decides whether something may have been started:
    /// a server can't act on a request that it does not have whole.
    fn failure(&self, error: ureq::Error, stage: Stage) -> Failure {
        let (cause, detail) = match (stage, self.cause(error, stage)) {
            (Stage::Stopped, (Cause::Cut, detail)) => (Cause::Stopped, detail),
            (_, told) => told,
        };
        let started = match stage {
            Stage::Waiting | Stage::Reading if self.starts => Started::Maybe,
            _ => Started::No,
        };
        Failure {
            started,
            cause,
            detail,
        }
    }

    fn cause(&self, error: ureq::Error, stage: Stage) -> (Cause, String) {
        let host = &self.way.host;
        match error {
            ureq::Error::Timeout(timeout) => self.late(timeout, stage),
            ureq::Error::HostNotFound => (Cause::Dns, format!("{}: name not found", self.way.name)),
            ureq::Error::LargeResponseHeader(..) => {
                let limit = MAX_HEADER / 1024;
                let detail = format!("the header of {host}'s answer is larger than {limit} KiB");
                (Cause::TooLarge, detail)
            }
            ureq::Error::Protocol(fault) => {
                (Cause::Cut, format!("what {host} sent is not HTTP: {fault}"))
            }
            ureq::Error::Other(other) => match other.downcast::<Lost>() {
                Ok(lost) => self.way.lost(*lost),
                Err(other) => (Cause::Cut, format!("the call to {host} failed: {other}")),
            },
            ureq::Error::Io(error) => (Cause::Cut, cut(host, &error, stage)),
            other => (Cause::Cut, format!("the call to {host} failed: {other}")),
        }
    }

    fn late(&self, timeout: Timeout, stage: Stage) -> (Cause, String) {
        let Way { host, name, .. } = &*self.way;
        let (connect, idle) = (seconds(self.way.connect), seconds(self.idle));
        match timeout {
            Timeout::PerRead => (
                Cause::Silent,
                format!("nothing came from {host} for {idle}"),
            ),
            Timeout::PerWrite => (Cause::Silent, format!("{host} took nothing for {idle}")),
            Timeout::Resolve => (
                Cause::Dns,
                format!("{name}: no answer from the name server within {connect}"),
            ),
            Timeout::Connect => {
                let (cause, peer) = self.way.peer();
                (cause, format!("no answer from {peer} within {connect}"))
            }
            // No other timeout is ever set.
            _ if stage == Stage::Reading => (
                Cause::Deadline,
                format!("the deadline came in the middle of {host}'s answer"),
            ),
            _ => (
                Cause::Deadline,
                format!("the deadline came before {host} answered"),
            ),
        }
    }
}

fn cut(host: &str, error: &io::Error, stage: Stage) -> String {
    let reason = plain(error);
    match stage {
        Stage::Reading => format!("{host}'s answer was cut short: {reason}"),
        Stage::Waiting => format!("{host} gave no answer: {reason}"),
        Stage::Sending | Stage::Stopped => format!("{host} stopped reading the request: {reason}"),
    }
}

/// An I/O error in the house style: `Connection refused (os error 111)` is `connection refused`.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// The way to Coze, in the words of the sentences.
struct Way {
    /// Without the port: what is looked up.
    name: String,
    /// As it stands in the base URL, with the port if there is one.
    host: String,
    proxy: Option<String>,
    connect: Duration,
}

impl Way {
    fn new(base: &Uri, config: &Config) -> Self {
        let host = base.authority().map_or("", |authority| authority.as_str());
        Self {
            name: base.host().unwrap_or_default().to_owned(),
            host: host.to_owned(),
            proxy: config.proxy.as_ref().map(proxy_name),
            connect: config.connect_timeout,
        }
    }

    /// Who is connected to, and what it is called when that does not work.
    fn peer(&self) -> (Cause, &str) {
        match &self.proxy {
            Some(proxy) => (Cause::Proxy, proxy),
            None => (Cause::Connect, &self.host),
        }
    }

    fn lost(&self, lost: Lost) -> (Cause, String) {
        match lost {
            Lost::Wire(error) => self.no_wire(error),
            Lost::Tls(error) => self.no_tls(&error),
        }
    }

    fn no_wire(&self, error: ureq::Error) -> (Cause, String) {
        let (cause, peer) = self.peer();
        match error {
            ureq::Error::Io(error) if error.raw_os_error().is_some() => (
                cause,
                format!("cannot connect to {peer}: {}", plain(&error)),
            ),
            ureq::Error::HostNotFound => (cause, format!("{peer}: name not found")),
            // `proxy server responded 407/407`: the status is nowhere else.
            ureq::Error::ConnectProxyFailed(reason) => match reason.rsplit('/').next() {
                Some("407") => (
                    Cause::ProxyRefused,
                    format!("{peer} wants another user and password (407)"),
                ),
                Some("403") => (
                    Cause::ProxyRefused,
                    format!("{peer} does not allow {} (403)", self.host),
                ),
                _ => (cause, format!("{peer} made no connection: {reason}")),
            },
            ureq::Error::Io(error) => (
                cause,
                format!("{peer} made no connection: {}", plain(&error)),
            ),
            other => (cause, format!("{peer} made no connection: {other}")),
        }
    }

    /// rustls's own error type can't be named here without depending on it; its text can be read.
    fn no_tls(&self, error: &ureq::Error) -> (Cause, String) {
        let host = &self.host;
        let reason = match error {
            ureq::Error::Io(error) => plain(error),
            other => other.to_string(),
        };
        let Some(fault) = reason.strip_prefix("invalid peer certificate: ") else {
            return (Cause::Tls, format!("no TLS with {host}: {reason}"));
        };
        // A root of the same name but another key shows as a bad signature.
        let fault = if matches!(fault, "UnknownIssuer" | "BadSignature") {
            "was issued by an unknown authority; if it is yours, name its file with --cacert or \
             COZE_CA_FILE"
                .to_owned()
        } else if fault.starts_with("certificate expired") {
            "has expired, or this machine's clock is wrong".to_owned()
        } else if fault.starts_with("certificate not valid yet") {
            "is not valid yet, or this machine's clock is wrong".to_owned()
        } else if fault.starts_with("certificate not valid for name") {
            "is for another name".to_owned()
        } else {
            format!("is not trusted: {fault}")
        };
        let detail = format!("the certificate of {host} {fault}");
        (Cause::Certificate, detail)
    }
}

/// Where on the way a connection could not be made. ureq's own errors do not tell a proxy's
/// refusal from Coze's, nor a broken handshake from a broken answer.
#[derive(Debug)]
enum Lost {
    /// Before there was a wire to Coze: TCP, or what the proxy made of it.
    Wire(ureq::Error),
    Tls(ureq::Error),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Wire(error) | Self::Tls(error)) = self;
        error.fmt(f)
    }
}

impl std::error::Error for Lost {}

/// ureq's own chain of connectors, each step under its own name.
#[derive(Debug)]
struct Road {
    socks: SocksConnector,
    tunnel: ConnectProxyConnector,
    tcp: TcpConnector,
    tls: RustlsConnector,
    curfew: Arc<Curfew>,
    stuck: Stuck,
    kept: Arc<Kept>,
}

impl Road {
    fn new(curfew: Arc<Curfew>, stuck: Stuck, kept: Arc<Kept>) -> Self {
        Self {
            socks: SocksConnector::default(),
            tunnel: ConnectProxyConnector::default(),
            tcp: TcpConnector::default(),
            tls: RustlsConnector::default(),
            curfew,
            stuck,
            kept,
        }
    }

    fn wire(
        &self,
        details: &ConnectionDetails<'_>,
    ) -> Result<Option<impl Transport + use<>>, ureq::Error> {
        let wire = self.socks.connect(details, None::<()>)?;
        let wire = self.tunnel.connect(details, wire)?;
        self.tcp.connect(details, wire)
    }
}

impl Connector for Road {
    type Out = Bounded;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Bounded>, ureq::Error> {
        self.kept.replaced();
        // ureq gives every read of a CONNECT proxy's answer the whole connect timeout anew.
        let _guard = self.curfew.by(*details.timeout.after);
        let reason = details.timeout.reason;
        let lost = |stage: fn(ureq::Error) -> Lost, error| match error {
            // One address of several was given up for this; in the end the budget was spent.
            ureq::Error::Timeout(Timeout::Connect) => ureq::Error::Timeout(reason),
            // A tunnel's own connection comes through here, and has its name already.
            error @ (ureq::Error::Timeout(_) | ureq::Error::Other(_)) => error,
            error => ureq::Error::Other(Box::new(stage(error))),
        };
        let wire = self
            .wire(details)
            .map_err(|error| lost(Lost::Wire, error))?;
        let stream = self
            .tls
            .connect(&of_the_agent(details), wire)
            .map_err(|error| lost(Lost::Tls, error))?;
        Ok(stream.map(|stream| Bounded {
            stream: Box::new(stream),
            curfew: Arc::clone(&self.curfew),
            stuck: Arc::clone(&self.stuck),
        }))
    }
}

/// The same details, but said to be the agent's own: for a request's own settings ureq would parse
/// the roots anew with every connection. Ours differ in their timeouts only.
fn of_the_agent<'a>(details: &ConnectionDetails<'a>) -> ConnectionDetails<'a> {
    ConnectionDetails {
        uri: details.uri,
        addrs: details.addrs.clone(),
        config: details.config,
        request_level: false,
        resolver: details.resolver,
        now: details.now,
        timeout: details.timeout,
        current_time: Arc::clone(&details.current_time),
        run_connector: Arc::clone(&details.run_connector),
        register_shutdown: Arc::clone(&details.register_shutdown),
    }
}

/// A connection that keeps the curfew, and knows what did not leave.
#[derive(Debug)]
struct Bounded {
    stream: Box<dyn Transport>,
    curfew: Arc<Curfew>,
    stuck: Stuck,
}

impl Transport for Bounded {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.stream.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let timeout = self.curfew.shorten(timeout);
        let sent = self.stream.transmit_output(amount, timeout);
        if sent.is_err() {
            self.stuck.store(true, Ordering::Relaxed);
        }
        sent
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let timeout = self.curfew.shorten(timeout);
        self.stream.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.stream.is_open()
    }

    fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }
}

/// A moment beyond which nothing waits, whatever timeouts the request has: ureq fixes those before
/// it sends the request, and what is left to do afterwards deserves less.
#[derive(Debug, Default)]
struct Curfew(Mutex<Option<Moment>>);

impl Curfew {
    /// Until the guard goes, nothing waits for longer than `wait` from now.
    fn by(&self, wait: Duration) -> CurfewGuard<'_> {
        let before = *self.lock();
        let moment = Moment::after(wait);
        *self.lock() = before.into_iter().chain(moment).min();
        CurfewGuard {
            curfew: self,
            before,
        }
    }

    fn shorten(&self, mut timeout: NextTimeout) -> NextTimeout {
        if let Some(moment) = *self.lock() {
            let left = moment.left();
            timeout.after = timeout.after.min(left.into());
        }
        timeout
    }

    fn lock(&self) -> MutexGuard<'_, Option<Moment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct CurfewGuard<'a> {
    curfew: &'a Curfew,
    before: Option<Moment>,
}

impl Drop for CurfewGuard<'_> {
    fn drop(&mut self) {
        *self.curfew.lock() = self.before;
    }
}

/// Answers literal addresses itself: ureq starts a thread for every lookup that has a timeout.
#[derive(Debug, Default)]
struct Names(DefaultResolver);

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let Some(address) = literal(uri) else {
            let found = self.0.resolve(uri, config, timeout);
            return found.map_err(|error| match error {
                timeout @ ureq::Error::Timeout(_) => timeout,
                _ => ureq::Error::HostNotFound,
            });
        };
        let mut addresses = self.empty();
        addresses.push(address);
        Ok(addresses)
    }
}

/// The port is missing in no proxy's URL, so that only HTTP's own defaults are needed.
fn literal(uri: &Uri) -> Option<SocketAddr> {
    let host = uri.host()?.trim_matches(['[', ']']);
    let address: IpAddr = host.parse().ok()?;
    let default = if uri.scheme() == Some(&Scheme::HTTPS) {
        443
    } else {
        80
    };
    Some(SocketAddr::new(address, uri.port_u16().unwrap_or(default)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc::channel;

    use ureq::unversioned::transport::LazyBuffers;

    use super::*;
    use crate::support::proxy::{Asked, Rules};
    use crate::support::server::{Exchange, Server};
    use crate::support::tls::{Authority, Identity};

    const RUN: Call<'_> = Call::StreamRun {
        body: r#"{"workflow_id":"7"}"#,
    };
    const LOOK: Call<'_> = Call::RunHistory {
        workflow_id: "7",
        execute_id: "9",
    };
    /// Must never be reached.
    const PATIENT: Limits = limits(60_000, 60_000);

    const fn limits(total: u64, idle: u64) -> Limits {
        Limits {
            total: Some(Duration::from_millis(total)),
            idle: Some(Duration::from_millis(idle)),
        }
    }

    fn config(url: &str) -> Config {
        Config {
            connect_timeout: Duration::from_secs(60),
            ..Config::scripted(url)
        }
    }

    fn http(config: &Config) -> Http {
        Http::new(config).expect("a good configuration")
    }

    /// One run, to where `url` says.
    #[track_caller]
    fn run(url: &str) -> Result<Answer, Failure> {
        http(&config(url)).call(RUN, PATIENT)
    }

    #[track_caller]
    fn assert_failure<T: fmt::Debug>(
        result: Result<T, Failure>,
        started: Started,
        cause: Cause,
        detail: &str,
    ) {
        let expected = Failure {
            started,
            cause,
            detail: detail.to_owned(),
        };
        assert_eq!(result.expect_err("a failure"), expected);
    }

    #[track_caller]
    fn assert_start(text: &str, start: &str) {
        assert!(
            text.starts_with(start),
            "{text:?} does not start so: {start:?}"
        );
    }

    /// The body to its end.
    fn read(answer: &mut Answer) -> Result<String, Failure> {
        let (mut text, mut buffer) = (Vec::new(), [0; 1000]);
        loop {
            match answer.body.read(&mut buffer)? {
                0 => return Ok(String::from_utf8(text).expect("text")),
                count => text.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Reads until the first bytes are there.
    #[track_caller]
    fn first(answer: &mut Answer) -> String {
        let mut buffer = [0; 1000];
        let count = answer.body.read(&mut buffer).expect("a first piece");
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    fn post() -> Exchange {
        Exchange::post("/v1/workflow/stream_run")
    }

    fn get() -> Exchange {
        Exchange::get("/v1/workflows/7/run_histories/9")
    }

    /// A port on which nobody listens.
    fn nowhere() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("a bound socket").to_string()
    }

    // What is sent.

    #[test]
    fn a_run_is_a_post_of_its_body_with_the_key() {
        let server = Server::start(vec![post().with_body(r#"{"workflow_id":"7"}"#).sse("")]);
        run(&server.url()).expect("an answer");
        let request = server.finish().remove(0).request;
        let version = concat!("coze-workflow/", env!("CARGO_PKG_VERSION"));
        let expected = [
            ("accept", Some("text/event-stream")),
            ("accept-encoding", None),
            ("authorization", Some("Bearer pat_xxx")),
            ("content-length", Some("19")),
            ("content-type", Some("application/json")),
            ("transfer-encoding", None),
            ("user-agent", Some(version)),
        ];
        for (name, value) in expected {
            assert_eq!(request.header(name), value, "{name}");
        }
    }

    #[test]
    fn a_look_is_a_get_without_a_body() {
        let server = Server::start(vec![get().json(200, "{}")]);
        let http = http(&config(&server.url()));
        http.call(LOOK, PATIENT).expect("an answer");
        let request = server.finish().remove(0).request;
        assert_eq!(request.header("authorization"), Some("Bearer pat_xxx"));
        assert_eq!(request.header("accept"), Some("application/json"));
        assert_eq!(request.header("content-length"), None);
        assert_eq!(request.header("content-type"), None);
    }

    #[test]
    fn a_check_goes_without_the_key() {
        let server = Server::start(vec![Exchange::get("/").answer(404, "text/html", "no")]);
        let answer = http(&config(&server.url())).call(Call::Check, PATIENT);
        assert_eq!(answer.expect("an answer").status, 404);
        assert_eq!(server.finish()[0].request.header("authorization"), None);
    }

    #[test]
    fn a_prefix_of_the_base_url_stays() {
        let server = Server::start(vec![Exchange::post("/coze/v1/workflow/stream_run").sse("")]);
        run(&format!("{}/coze", server.url())).expect("an answer");
    }

    #[test]
    fn a_large_body_arrives_whole() {
        let body = "x".repeat(20 << 20);
        let server = Server::start(vec![post().with_body(&body).sse("")]);
        let http = http(&config(&server.url()));
        let call = Call::StreamRun { body: &body };
        http.call(call, PATIENT).expect("an answer");
    }

    // What comes back.

    #[test]
    fn the_head_of_an_answer_is_told() {
        let refusal = r#"{"code":4100,"msg":"authentication is invalid"}"#;
        let script = post().json(401, refusal).header("X-Tt-Logid", "2024AB");
        let server = Server::start(vec![script]);
        let mut answer = run(&server.url()).expect("an answer");
        assert_eq!(answer.status, 401);
        assert_eq!(answer.content_type, "application/json");
        assert_eq!(answer.logid.as_deref(), Some("2024AB"));
        assert_eq!(answer.retry_after, None);
        assert_eq!(read(&mut answer).as_deref(), Ok(refusal));
    }

    #[test]
    fn a_logid_is_cleaned_and_studio_calls_it_otherwise() {
        let script = post().sse("").header("X-Log-ID", "\t02\u{9b}AB\u{85} ");
        let server = Server::start(vec![script]);
        let answer = run(&server.url()).expect("an answer");
        assert_eq!(answer.logid.as_deref(), Some("02AB"));
    }

    #[test]
    fn retry_after_is_told_as_it_was_sent() {
        let script = post().json(429, "{}").header("Retry-After", "17");
        let server = Server::start(vec![script]);
        let answer = run(&server.url()).expect("an answer");
        assert_eq!(answer.status, 429);
        assert_eq!(answer.retry_after.as_deref(), Some("17"));
    }

    #[test]
    fn a_redirect_is_not_followed() {
        for status in [301, 302, 303, 307, 308] {
            let script = post().answer(status, "text/html", "moved");
            let server = Server::start(vec![script.header("Location", "/elsewhere")]);
            let mut answer = run(&server.url()).expect("an answer");
            assert_eq!(answer.status, status);
            assert_eq!(read(&mut answer).as_deref(), Ok("moved"));
        }
    }

    #[test]
    fn pieces_are_read_as_they_come() {
        let (open, gate) = channel();
        let server = Server::start(vec![post().sse("one").wait(gate).piece("two")]);
        let mut answer = run(&server.url()).expect("an answer");
        assert_eq!(first(&mut answer), "one");
        open.send(()).expect("a waiting server");
        assert_eq!(read(&mut answer).as_deref(), Ok("two"));
    }

    #[test]
    fn the_end_of_a_close_delimited_body_is_clean_and_proves_nothing() {
        let server = Server::start(vec![post().sse("half an ev").close_delimited()]);
        let mut answer = run(&server.url()).expect("an answer");
        assert_eq!(read(&mut answer).as_deref(), Ok("half an ev"));
    }

    // No connection: nothing was started.

    #[test]
    fn a_refused_connection_starts_nothing() {
        let host = nowhere();
        let detail = format!("cannot connect to {host}: connection refused");
        let answer = run(&format!("http://{host}"));
        assert_failure(answer, Started::No, Cause::Connect, &detail);
    }

    #[test]
    fn a_name_that_is_nowhere_starts_nothing() {
        let answer = run("https://coze.invalid:1");
        let detail = "coze.invalid: name not found";
        assert_failure(answer, Started::No, Cause::Dns, detail);
    }

    #[test]
    fn a_deadline_that_is_over_starts_nothing() {
        let host = nowhere();
        let answer = http(&config(&format!("http://{host}"))).call(RUN, limits(0, 60_000));
        let detail = format!("the deadline came before {host} answered");
        assert_failure(answer, Started::No, Cause::Deadline, &detail);
    }

    #[test]
    fn a_server_that_does_not_speak_is_given_the_connect_timeout() {
        let server = Server::start(vec![Exchange::deaf()]);
        let mut config = config(&format!("https://{}", server.address()));
        config.connect_timeout = Duration::from_millis(20);
        let detail = format!("no answer from {} within 0.02 s", server.address());
        let answer = http(&config).call(RUN, PATIENT);
        assert_failure(answer, Started::No, Cause::Connect, &detail);
    }

    #[test]
    fn a_deadline_before_the_connect_timeout_is_a_deadline() {
        let server = Server::start(vec![Exchange::deaf()]);
        let config = config(&format!("https://{}", server.address()));
        let answer = http(&config).call(RUN, limits(20, 60_000));
        let detail = format!("the deadline came before {} answered", server.address());
        assert_failure(answer, Started::No, Cause::Deadline, &detail);
    }

    // TLS.

    fn trusting(server: &Server, authority: &Authority) -> Config {
        let mut config = config(&server.url());
        config.roots = Roots::Pem {
            path: "ca.pem".into(),
            pem: authority.pem().as_bytes().to_vec(),
        };
        config
    }

    /// `because` goes on after the host's name.
    #[track_caller]
    fn assert_distrust(identity: &Identity, authority: &Authority, because: &str) {
        let server = Server::start_tls(identity, vec![]);
        let answer = http(&trusting(&server, authority)).call(RUN, PATIENT);
        let detail = format!("the certificate of {} {because}", server.address());
        assert_failure(answer, Started::No, Cause::Certificate, &detail);
    }

    #[test]
    fn a_certificate_of_the_given_authority_is_trusted() {
        let authority = Authority::new();
        let server = Server::start_tls(&authority.local(), vec![post().sse("secret")]);
        let mut answer = http(&trusting(&server, &authority))
            .call(RUN, PATIENT)
            .expect("an answer");
        assert_eq!(read(&mut answer).as_deref(), Ok("secret"));
    }

    #[test]
    fn any_certificate_in_the_file_may_be_the_one() {
        let (first, second) = (Authority::new(), Authority::new());
        let server = Server::start_tls(&second.local(), vec![post().sse("")]);
        let mut config = config(&server.url());
        config.roots = Roots::Pem {
            path: "ca.pem".into(),
            pem: [first.pem(), "\n# two\n", second.pem()].concat().into(),
        };
        http(&config).call(RUN, PATIENT).expect("an answer");
    }

    #[test]
    fn an_unknown_authority_is_not_trusted() {
        let because = "was issued by an unknown authority; if it is yours, name its file with \
                       --cacert or COZE_CA_FILE";
        assert_distrust(&Authority::new().local(), &Authority::new(), because);
        let server = Server::start_tls(&Authority::new().local(), vec![]);
        let detail = format!("the certificate of {} {because}", server.address());
        let answer = run(&server.url());
        assert_failure(answer, Started::No, Cause::Certificate, &detail);
    }

    #[test]
    fn a_certificate_out_of_its_time_is_not_trusted() {
        let authority = Authority::new();
        let because = "has expired, or this machine's clock is wrong";
        assert_distrust(&authority.expired(), &authority, because);
        let because = "is not valid yet, or this machine's clock is wrong";
        assert_distrust(&authority.not_yet_valid(), &authority, because);
    }

    #[test]
    fn a_certificate_of_another_name_is_not_trusted() {
        let authority = Authority::new();
        let identity = authority.named(&["api.coze.cn"]);
        assert_distrust(&identity, &authority, "is for another name");
    }

    #[test]
    fn a_handshake_that_breaks_off_is_no_matter_of_trust() {
        for greeting in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
            let server = Server::start(vec![Exchange::greeting(greeting)]);
            let host = server.address();
            let failure = run(&format!("https://{host}")).expect_err("a failure");
            assert_eq!((failure.started, failure.cause), (Started::No, Cause::Tls));
            assert_start(&failure.detail, &format!("no TLS with {host}: "));
        }
    }

    #[test]
    fn a_ca_file_must_hold_a_certificate_when_there_is_tls() {
        let fault = |url: &str, pem: &str| {
            let mut config = config(url);
            config.roots = Roots::Pem {
                path: "/etc/ca.pem".into(),
                pem: pem.into(),
            };
            Http::new(&config).err().map(|local| local.message)
        };
        let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        let cases = [
            (
                "https://localhost",
                "",
                Some("/etc/ca.pem holds no certificate"),
            ),
            (
                "https://localhost",
                broken,
                Some("/etc/ca.pem is not valid PEM"),
            ),
            ("http://localhost", "", None),
        ];
        for (url, pem, message) in cases {
            assert_eq!(fault(url, pem).as_deref(), message, "{url}");
        }
    }

    // The request left: something may have been started.

    #[test]
    fn silence_before_the_answer_leaves_it_open() {
        let server = Server::start(vec![post().silent()]);
        let answer = http(&config(&server.url())).call(RUN, limits(60_000, 20));
        let detail = format!("nothing came from {} for 0.02 s", server.address());
        assert_failure(answer, Started::Maybe, Cause::Silent, &detail);
    }

    #[test]
    fn a_deadline_before_the_answer_leaves_it_open() {
        let server = Server::start(vec![post().silent()]);
        let answer = http(&config(&server.url())).call(RUN, limits(1_000, 60_000));
        let detail = format!("the deadline came before {} answered", server.address());
        assert_failure(answer, Started::Maybe, Cause::Deadline, &detail);
    }

    #[test]
    fn a_close_before_the_answer_leaves_it_open() {
        let server = Server::start(vec![post().hangs_up()]);
        let detail = format!("{} gave no answer: peer disconnected", server.address());
        let answer = run(&server.url());
        assert_failure(answer, Started::Maybe, Cause::Cut, &detail);
    }

    #[test]
    fn a_reset_before_the_answer_leaves_it_open() {
        let server = Server::start(vec![post().raw("").rst()]);
        let host = server.address();
        let detail = format!("{host} gave no answer: connection reset by peer");
        let answer = run(&server.url());
        assert_failure(answer, Started::Maybe, Cause::Cut, &detail);
    }

    #[test]
    fn a_look_that_fails_starts_nothing_however_far_it_came() {
        let server = Server::start(vec![
            get().hangs_up(),
            get().json(200, "{").claiming(9).fin(),
        ]);
        let http = http(&config(&server.url()));
        let failure = http.call(LOOK, PATIENT).expect_err("a failure");
        assert_eq!((failure.started, failure.cause), (Started::No, Cause::Cut));
        let mut answer = http.call(LOOK, PATIENT).expect("an answer");
        let failure = read(&mut answer).expect_err("a failure");
        assert_eq!((failure.started, failure.cause), (Started::No, Cause::Cut));
    }

    #[test]
    fn an_answer_that_is_not_http_leaves_it_open() {
        let server = Server::start(vec![post().raw("SSH-2.0-OpenSSH_9.6\r\n\r\n")]);
        let failure = run(&server.url()).expect_err("a failure");
        assert_eq!(
            (failure.started, failure.cause),
            (Started::Maybe, Cause::Cut)
        );
        let start = format!("what {} sent is not HTTP: ", server.address());
        assert_start(&failure.detail, &start);
    }

    #[test]
    fn a_header_above_the_limit_leaves_it_open() {
        let server = Server::start(vec![
            post()
                .json(200, "{}")
                .header("X-Large", &"x".repeat(MAX_HEADER)),
        ]);
        let host = server.address();
        let detail = format!("the header of {host}'s answer is larger than 64 KiB");
        let answer = run(&server.url());
        assert_failure(answer, Started::Maybe, Cause::TooLarge, &detail);
    }

    #[test]
    fn a_server_that_stops_reading_has_started_nothing() {
        let body = "x".repeat(20 << 20);
        let server = Server::start(vec![post().unread().json(413, "{}")]);
        let failure = http(&config(&server.url()))
            .call(Call::StreamRun { body: &body }, PATIENT)
            .expect_err("a failure");
        assert_eq!(
            (failure.started, failure.cause),
            (Started::No, Cause::Stopped)
        );
        let start = format!("{} stopped reading the request: ", server.address());
        assert_start(&failure.detail, &start);
    }

    #[test]
    fn a_server_that_never_reads_has_started_nothing() {
        let body = "x".repeat(20 << 20);
        let server = Server::start(vec![Exchange::deaf()]);
        let answer =
            http(&config(&server.url())).call(Call::StreamRun { body: &body }, limits(60_000, 20));
        let detail = format!("{} took nothing for 0.02 s", server.address());
        assert_failure(answer, Started::No, Cause::Silent, &detail);
    }

    // The answer breaks off.

    /// `script`'s answer begins with `data`, and then fails so.
    #[track_caller]
    fn assert_cut(script: Exchange, reason: &str) {
        let server = Server::start(vec![script]);
        let mut answer = run(&server.url()).expect("an answer");
        assert_eq!(first(&mut answer), "data");
        let detail = format!("{}'s answer was cut short: {reason}", server.address());
        assert_failure(read(&mut answer), Started::Maybe, Cause::Cut, &detail);
    }

    #[test]
    fn a_chunked_body_without_its_end_was_cut() {
        assert_cut(post().sse("data").fin(), "peer disconnected");
    }

    #[test]
    fn a_body_shorter_than_its_length_was_cut() {
        let script = post().json(200, "data").claiming(5).fin();
        assert_cut(script, "peer disconnected");
    }

    #[test]
    fn a_reset_in_the_middle_is_a_cut() {
        let (open, gate) = channel();
        let server = Server::start(vec![post().sse("data").wait(gate).rst()]);
        let mut answer = run(&server.url()).expect("an answer");
        assert_eq!(first(&mut answer), "data");
        open.send(()).expect("a waiting server");
        let failure = read(&mut answer).expect_err("a failure");
        assert_eq!(
            (failure.started, failure.cause),
            (Started::Maybe, Cause::Cut)
        );
    }

    #[test]
    fn a_silence_in_the_middle_is_told_from_the_deadline() {
        let cases = [
            (limits(60_000, 1_000), Cause::Silent),
            (limits(1_000, 60_000), Cause::Deadline),
        ];
        for (limits, cause) in cases {
            let server = Server::start(vec![post().sse("data").hang()]);
            let http = http(&config(&server.url()));
            let mut answer = http.call(RUN, limits).expect("an answer");
            let failure = read(&mut answer).expect_err("a failure");
            assert_eq!((failure.started, failure.cause), (Started::Maybe, cause));
        }
    }

    // Connections that are kept.

    /// The connections on which the requests came.
    fn connections(server: Server) -> Vec<usize> {
        let seen = server.finish();
        seen.iter().map(|seen| seen.connection).collect()
    }

    #[test]
    fn a_finished_answer_leaves_its_connection_to_the_next_call() {
        let (open, gate) = channel();
        let script = vec![
            post().sse("done").wait(gate).piece("rest"),
            get().json(200, "{}"),
        ];
        let server = Server::start(script);
        let http = http(&config(&server.url()));
        let mut answer = http.call(RUN, PATIENT).expect("an answer");
        assert_eq!(first(&mut answer), "done");
        open.send(()).expect("a waiting server");
        answer.body.finish();
        http.call(LOOK, PATIENT).expect("an answer");
        assert_eq!(connections(server), [0, 0]);
    }

    #[test]
    fn a_connection_under_tls_is_kept_too() {
        let authority = Authority::new();
        let script = vec![post().sse("done"), get().json(200, "{}")];
        let server = Server::start_tls(&authority.local(), script);
        let http = http(&trusting(&server, &authority));
        let answer = http.call(RUN, PATIENT).expect("an answer");
        answer.body.finish();
        http.call(LOOK, PATIENT).expect("an answer");
        assert_eq!(connections(server), [0, 0]);
    }

    #[test]
    fn a_curfew_only_ever_shortens_and_ends_with_its_guard() {
        let curfew = Curfew::default();
        let left = || curfew.shorten(NextTimeout::default()).after;
        let hour = Duration::from_secs(3600);
        let outer = curfew.by(Duration::ZERO);
        let inner = curfew.by(hour);
        assert!(left().is_zero());
        drop(inner);
        assert!(left().is_zero());
        drop(outer);
        assert!(left().is_not_happening());
    }

    #[test]
    fn a_server_that_closes_a_kept_connection_is_sent_no_run_over_another() {
        let kept = Kept::default();
        let keeps = || kept.expected.store(true, Ordering::Relaxed);
        kept.renew();
        assert_eq!(kept.max_idle_age(true), MAX_IDLE_AGE);
        kept.replaced();
        assert_eq!(kept.max_idle_age(true), MAX_IDLE_AGE, "none was kept");
        keeps();
        kept.replaced();
        assert_eq!(kept.max_idle_age(true), Duration::ZERO);
        assert_eq!(
            kept.max_idle_age(false),
            MAX_IDLE_AGE,
            "a look starts nothing"
        );
    }

    #[test]
    fn a_write_that_fails_shows_that_the_request_did_not_leave_whole() {
        let stuck = Stuck::default();
        let mut connection = Bounded {
            stream: Box::new(Closed(LazyBuffers::new(100, 100))),
            curfew: Arc::default(),
            stuck: Arc::clone(&stuck),
        };
        let sent = connection.transmit_output(1, NextTimeout::default());
        assert!(sent.is_err() && stuck.load(Ordering::Relaxed));
    }

    /// A connection whose other end has gone.
    #[derive(Debug)]
    struct Closed(LazyBuffers);

    impl Transport for Closed {
        fn buffers(&mut self) -> &mut dyn Buffers {
            &mut self.0
        }

        fn transmit_output(&mut self, _: usize, _: NextTimeout) -> Result<(), ureq::Error> {
            Err(io::Error::from(io::ErrorKind::BrokenPipe).into())
        }

        fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
            Ok(false)
        }

        fn is_open(&mut self) -> bool {
            false
        }
    }

    #[test]
    fn an_answer_that_does_not_end_costs_its_connection_and_a_second() {
        let server = Server::start(vec![post().sse("done").hang(), get().json(200, "{}")]);
        let http = http(&config(&server.url()));
        let mut answer = http.call(RUN, PATIENT).expect("an answer");
        assert_eq!(first(&mut answer), "done");
        answer.body.finish();
        // Nothing of the second's haste is left for the next call.
        assert_eq!(*http.curfew.lock(), None);
        http.call(LOOK, PATIENT).expect("an answer");
        assert_eq!(connections(server), [0, 1]);
    }

    #[test]
    fn an_answer_that_is_dropped_costs_its_connection() {
        let server = Server::start(vec![post().sse("done"), get().json(200, "{}")]);
        let http = http(&config(&server.url()));
        drop(http.call(RUN, PATIENT).expect("an answer"));
        http.call(LOOK, PATIENT).expect("an answer");
        assert_eq!(connections(server), [0, 1]);
    }

    #[test]
    fn a_run_is_not_sent_on_a_connection_that_was_idle_for_two_seconds() {
        let server = Server::start(vec![get().json(200, "{}"), post().sse("")]);
        let http = http(&config(&server.url()));
        let answer = http.call(LOOK, PATIENT).expect("an answer");
        answer.body.finish();
        std::thread::sleep(MAX_IDLE_AGE);
        http.call(RUN, PATIENT).expect("an answer");
        assert_eq!(connections(server), [0, 1]);
    }

    // Proxies.

    fn through(url: &str, protocol: ProxyProtocol, proxy: &str) -> Config {
        let (host, port) = proxy.rsplit_once(':').expect("host:port");
        let mut config = config(url);
        config.proxy = Some(Proxy {
            protocol,
            host: host.to_owned(),
            port: port.parse().expect("a port"),
            user: Some("user".to_owned()),
            password: Some("p@ss:word".to_owned()),
            source: "https_proxy".to_owned(),
        });
        config
    }

    fn asked(target: &str, credentials: Option<&str>) -> Asked {
        Asked {
            target: target.to_owned(),
            credentials: credentials.map(str::to_owned),
        }
    }

    #[test]
    fn http_and_https_go_through_a_tunnel_with_the_password() {
        let authority = Authority::new();
        let proxy = Rules::http().for_user("user", "p@ss:word").start();
        let plain = Server::start(vec![post().sse("plain")]);
        let secure = Server::start_tls(&authority.local(), vec![post().sse("secure")]);
        for (server, text) in [(&plain, "plain"), (&secure, "secure")] {
            let mut config = through(&server.url(), ProxyProtocol::Http, &proxy.address());
            config.roots = trusting(server, &authority).roots;
            let mut answer = http(&config).call(RUN, PATIENT).expect("an answer");
            assert_eq!(read(&mut answer).as_deref(), Ok(text));
        }
        let credentials = Some("user:p@ss:word");
        let expected = [plain.address(), secure.address()].map(|to| asked(&to, credentials));
        assert_eq!(proxy.asked(), expected);
    }

    #[test]
    fn a_tunnel_serves_more_than_one_call() {
        let proxy = Rules::http().start();
        let server = Server::start(vec![get().json(200, "{}"), post().sse("")]);
        let config = through(&server.url(), ProxyProtocol::Http, &proxy.address());
        let http = http(&config);
        let answer = http.call(LOOK, PATIENT).expect("an answer");
        answer.body.finish();
        http.call(RUN, PATIENT).expect("an answer");
        assert_eq!(connections(server), [0, 0]);
        assert_eq!(proxy.asked().len(), 1);
    }

    #[test]
    fn socks_proxies_are_given_a_name_or_an_address_as_their_protocol_says() {
        let socks5 = Rules::socks5().for_user("user", "p@ss:word");
        let credentials = Some("user:p@ss:word");
        let cases = [
            (ProxyProtocol::Socks4, Rules::socks4(), "127.0.0.1", None),
            (ProxyProtocol::Socks4a, Rules::socks4(), "localhost", None),
            (
                ProxyProtocol::Socks5,
                socks5.clone(),
                "127.0.0.1",
                credentials,
            ),
            (ProxyProtocol::Socks5h, socks5, "localhost", credentials),
        ];
        for (protocol, rules, host, credentials) in cases {
            let proxy = rules.start();
            let server = Server::start(vec![post().sse("through")]);
            let target = format!("{host}:{}", server.port());
            let at = format!("localhost:{}", proxy.port());
            let config = through(&format!("http://{target}"), protocol, &at);
            let mut answer = http(&config).call(RUN, PATIENT).expect("an answer");
            assert_eq!(read(&mut answer).as_deref(), Ok("through"));
            assert_eq!(proxy.asked(), [asked(&target, credentials)]);
        }
    }

    #[test]
    fn a_name_that_only_the_proxy_knows_is_left_to_it() {
        let authority = Authority::new();
        let identity = authority.named(&["coze.invalid"]);
        let server = Server::start_tls(&identity, vec![post().sse("found")]);
        let url = format!("https://coze.invalid:{}", server.port());
        let proxy = Rules::http().start();
        let mut config = through(&url, ProxyProtocol::Http, &proxy.address());
        config.roots = trusting(&server, &authority).roots;
        let mut answer = http(&config).call(RUN, PATIENT).expect("an answer");
        assert_eq!(read(&mut answer).as_deref(), Ok("found"));
    }

    /// A run to `coze.invalid` through what is at `proxy`; `PROXY` in the detail stands for it.
    #[track_caller]
    fn assert_no_way(protocol: ProxyProtocol, proxy: &str, cause: Cause, detail: &str) {
        let config = through("https://coze.invalid", protocol, proxy);
        let detail = detail.replace("PROXY", &format!("proxy {proxy} (https_proxy)"));
        let answer = http(&config).call(RUN, PATIENT);
        assert_failure(answer, Started::No, cause, &detail);
    }

    #[test]
    fn a_proxy_that_is_not_there_is_named() {
        for protocol in [ProxyProtocol::Http, ProxyProtocol::Socks5h] {
            let detail = "cannot connect to PROXY: connection refused";
            assert_no_way(protocol, &nowhere(), Cause::Proxy, detail);
            let detail = "PROXY: name not found";
            assert_no_way(protocol, "proxy.invalid:1", Cause::Proxy, detail);
        }
    }

    #[test]
    fn a_refusal_of_the_proxy_is_told_from_its_failures() {
        let cases = [
            (
                407,
                Cause::ProxyRefused,
                "PROXY wants another user and password (407)",
            ),
            (
                403,
                Cause::ProxyRefused,
                "PROXY does not allow coze.invalid (403)",
            ),
            (
                502,
                Cause::Proxy,
                "PROXY made no connection: proxy server responded 502/502",
            ),
        ];
        for (status, cause, detail) in cases {
            let proxy = Rules::http().refusing(status).start();
            assert_no_way(ProxyProtocol::Http, &proxy.address(), cause, detail);
        }
    }

    #[test]
    fn a_refusal_of_a_socks_proxy_is_told() {
        let cases = [
            (
                ProxyProtocol::Socks5h,
                Rules::socks5().refusing(5),
                "connection refused",
            ),
            (
                ProxyProtocol::Socks5h,
                Rules::socks5().for_user("user", "other"),
                "password authentication failed",
            ),
            (
                ProxyProtocol::Socks4a,
                Rules::socks4().refusing(91),
                "request rejected or failed",
            ),
        ];
        for (protocol, rules, reason) in cases {
            let detail = format!("PROXY made no connection: {reason}");
            assert_no_way(protocol, &rules.start().address(), Cause::Proxy, &detail);
        }
    }

    #[test]
    fn a_proxy_that_hangs_up_is_named() {
        let server = Server::start(vec![Exchange::greeting("")]);
        let config = through(
            "http://coze.invalid",
            ProxyProtocol::Http,
            &server.address(),
        );
        let failure = http(&config).call(RUN, PATIENT).expect_err("a failure");
        assert_eq!(
            (failure.started, failure.cause),
            (Started::No, Cause::Proxy)
        );
        assert!(
            failure.detail.contains(&server.address()),
            "{}",
            failure.detail
        );
    }

    #[test]
    fn a_proxy_that_does_not_answer_is_given_the_connect_timeout() {
        for protocol in [ProxyProtocol::Http, ProxyProtocol::Socks5h] {
            let server = Server::start(vec![Exchange::deaf()]);
            let proxy = server.address();
            let mut config = through("https://coze.invalid", protocol, &proxy);
            config.connect_timeout = Duration::from_millis(20);
            let detail = format!("no answer from proxy {proxy} (https_proxy) within 0.02 s");
            let answer = http(&config).call(RUN, PATIENT);
            assert_failure(answer, Started::No, Cause::Proxy, &detail);
        }
    }
}
