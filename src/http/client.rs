//! Coze over HTTP, by ureq: one call, sent once.
//! HTTP/1.1 is RFC 9112. What ureq does and leaves undone was read in its sources, version 3.5.2.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ureq::config::AutoHeaderValue;
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use ureq::http::uri::Scheme;
use ureq::http::{HeaderValue, Method, Request, Response, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, AsSendBody, SendBody};

use super::connect::{Curfew, Kept, MAX_IDLE_AGE, Names, Road, Stuck};
use super::failure::{Stage, Trip, Way};
use super::{Answer, Api, Body, Failure, Limits};
use crate::config::{Config, Proxy, ProxyProtocol, Roots};
use crate::coze::call::Call;
use crate::error::Error;

/// How long the end of an answer may take once its last event was read.
const TAIL: Duration = Duration::from_secs(1);
pub(super) const MAX_HEADER: usize = 64 * 1024;
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
    pub(super) curfew: Arc<Curfew>,
    stuck: Stuck,
    kept: Arc<Kept>,
}

impl Http {
    /// Connects to nothing yet. Fails when the CA file holds no certificate.
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let base: Uri = config
            .base_url
            .parse()
            .map_err(|_| Error::config(format!("{} is not a URL", config.base_url)))?;
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", config.key.expose()))
                .map_err(|_| Error::config("the key holds a character that no header can carry"))?;
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
        let broke = matches!(&sent, Err(error) if !matches!(error, ureq::Error::Timeout(_)));
        self.kept.used(broke);
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

fn proxy(proxy: &Proxy) -> Result<ureq::Proxy, Error> {
    let protocol = match proxy.protocol {
        ProxyProtocol::Http => ureq::ProxyProtocol::Http,
        ProxyProtocol::Socks4 => ureq::ProxyProtocol::Socks4,
        ProxyProtocol::Socks4a => ureq::ProxyProtocol::Socks4A,
        ProxyProtocol::Socks5 => ureq::ProxyProtocol::Socks5,
        ProxyProtocol::Socks5h => ureq::ProxyProtocol::Socks5h,
    };
    let mut builder = ureq::Proxy::builder(protocol)
        .host(&proxy.host_of_url())
        .port(proxy.port);
    if let Some(user) = &proxy.user {
        builder = builder.username(user);
    }
    if let Some(password) = &proxy.password {
        builder = builder.password(password);
    }
    builder
        .build()
        .map_err(|_| Error::config(format!("{} can't be used", proxy.name())))
}

fn tls(roots: &Roots) -> Result<TlsConfig, Error> {
    let roots = match roots {
        Roots::BuiltIn => RootCerts::WebPki,
        Roots::Pem { path, pem } => {
            let path = path.display();
            let mut certificates = Vec::new();
            for item in parse_pem(pem) {
                match item {
                    Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
                    Ok(_) => {}
                    Err(_) => return Err(Error::config(format!("{path} is not valid PEM"))),
                }
            }
            if certificates.is_empty() {
                let local = Error::config(format!("{path} holds no certificate"));
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
    pub(super) curfew: Arc<Curfew>,
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
