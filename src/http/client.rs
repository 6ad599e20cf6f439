//! Coze over HTTP, by ureq: one call, sent once.
//! HTTP/1.1 is RFC 9112. What ureq does and leaves undone was read in its sources, version 3.5.2.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use ureq::config::AutoHeaderValue;
use ureq::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, TRANSFER_ENCODING,
};
use ureq::http::uri::Scheme;
use ureq::http::{HeaderValue, Method, Request, Response, Uri, Version};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::RustlsConnector;
use ureq::{Agent, SendBody};

use super::connect::Connectors;
use super::deadline::ReadDeadline;
use super::failure::{CallContext, Stage, Target};
use super::lookup::{LiteralResolver, LookupThread};
use super::{Body, Failure, Http, HttpResponse, Limits};
use crate::config::{Config, Proxy, ProxyProtocol, Roots};
use crate::coze::call::{Call, Purpose};
use crate::error::Error;

pub(super) const MAX_HEADER: usize = 64 * 1024;
/// ureq fills its buffers with zeros for each connection. This one has to hold a header that is too
/// large; of the other, more than a TLS record gains nothing.
const IN_BUFFER: usize = MAX_HEADER + OUT_BUFFER;
const OUT_BUFFER: usize = 16 << 10;
/// ureq adds a timeout to an `Instant`, which panics on overflow; 30 years are for ever.
const FOR_EVER: Duration = Duration::from_secs(1_000_000_000);

/// Coze over HTTP, one call at a time: each worker has its own. A start and a poll don't touch one
/// another, so that a stream may be read on after a poll.
pub(crate) struct Client {
    /// Each on a connection of its own. It is not said to be the last (`Connection: close`): some
    /// servers then end a body by closing, and its end would prove nothing.
    starts: Lane,
    /// All on one connection, as long as it lasts.
    polls: Lane,
    base_url: String,
    authorization: HeaderValue,
    target: Arc<Target>,
}

/// An agent, and the times of the call that it carries.
struct Lane {
    agent: Agent,
    deadline: Arc<ReadDeadline>,
}

impl Client {
    /// Connects to nothing yet. Fails when the CA file holds no certificate, or when there is no
    /// thread to look up names.
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let base: Uri = config
            .base_url
            .parse()
            .map_err(|_| Error::config(format!("{} is not a URL", config.base_url)))?;
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", config.key.expose()))
                .map_err(|_| Error::config("the key holds a character that no header can carry"))?;
        authorization.set_sensitive(true);
        let roots = if base.scheme() == Some(&Scheme::HTTPS) {
            certificates(&config.roots)?
        } else {
            RootCerts::WebPki
        };
        let proxy = config.proxy.as_ref().map(proxy).transpose()?;
        let names = LookupThread::for_config(&base, config)?.map(Arc::new);
        // One configuration of rustls, so that every connection may resume a session.
        let tls = Arc::new(RustlsConnector::default());
        let lane = |kept: usize| {
            let settings = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .proxy(proxy.clone())
                .user_agent(concat!("coze-workflow/", env!("CARGO_PKG_VERSION")))
                .accept_encoding(AutoHeaderValue::None)
                .max_response_header_size(MAX_HEADER)
                .input_buffer_size(IN_BUFFER)
                .output_buffer_size(OUT_BUFFER)
                .max_idle_connections(kept)
                .timeout_resolve(Some(config.connect_timeout.min(FOR_EVER)))
                .timeout_connect(Some(config.connect_timeout.min(FOR_EVER)))
                .tls_config(TlsConfig::builder().root_certs(roots.clone()).build())
                .build();
            let deadline = Arc::new(ReadDeadline::default());
            let connectors = Connectors::new(Arc::clone(&tls), Arc::clone(&deadline));
            let resolver = LiteralResolver {
                names: names.clone(),
                deadline: Arc::clone(&deadline),
            };
            Lane {
                agent: Agent::with_parts(settings, connectors, resolver),
                deadline,
            }
        };
        Ok(Self {
            starts: lane(0),
            polls: lane(1),
            base_url: config.base_url.clone(),
            authorization,
            target: Arc::new(Target::new(&base, config)),
        })
    }

    /// `unsent` is left with what ureq did not take of the body.
    fn send(
        &self,
        call: &Call<'_>,
        unsent: &mut &[u8],
    ) -> Result<Response<ureq::Body>, ureq::Error> {
        let mut request = Request::builder().uri(format!("{}{}", self.base_url, call.path));
        if !matches!(call.purpose, Purpose::Check) {
            request = request.header(AUTHORIZATION, self.authorization.clone());
        }
        match &call.purpose {
            // A reader with its length, not a string: only a reader shows how far it was read.
            Purpose::Start { body, accept } => {
                let request = request
                    .method(Method::POST)
                    .header(ACCEPT, *accept)
                    .header(CONTENT_TYPE, "application/json")
                    .header(CONTENT_LENGTH, body.len())
                    .body(SendBody::from_reader(unsent))?;
                self.starts.agent.run(request)
            }
            Purpose::Upload { body } => {
                let mut reader = body.reader.borrow_mut();
                let request = request
                    .method(Method::POST)
                    .header(ACCEPT, "application/json")
                    .header(CONTENT_TYPE, &body.content_type)
                    .header(CONTENT_LENGTH, body.length)
                    .body(SendBody::from_reader(&mut *reader))?;
                self.starts.agent.run(request)
            }
            Purpose::Poll | Purpose::Check => {
                let request = request.header(ACCEPT, "application/json").body(())?;
                self.polls.agent.run(request)
            }
        }
    }
}

impl Http for Client {
    fn call(&self, call: &Call<'_>, limits: Limits) -> Result<HttpResponse, Failure> {
        let (lane, is_start) = match call.purpose {
            Purpose::Start { .. } | Purpose::Upload { .. } => (&self.starts, true),
            Purpose::Poll | Purpose::Check => (&self.polls, false),
        };
        let context = CallContext {
            target: Arc::clone(&self.target),
            idle: limits.idle.unwrap_or_default(),
            is_start,
        };
        lane.deadline.begin(limits, !is_start);
        let whole = call.body().unwrap_or_default().as_bytes();
        let mut unsent = whole;
        let sent = self.send(call, &mut unsent);
        let stage = if !unsent.is_empty() && unsent.len() < whole.len() {
            Stage::Stopped
        } else if unsent.is_empty() && !lane.deadline.write_failed() {
            Stage::Waiting
        } else {
            Stage::Sending
        };
        let response = sent.map_err(|error| context.failure(error, stage))?;
        let is_framed = is_framed(&response);
        let (head, body) = response.into_parts();
        let logid = text(&head.headers, "x-tt-logid");
        let x_log_id = text(&head.headers, "x-log-id");
        Ok(HttpResponse {
            status: head.status.as_u16(),
            content_type: media_type(&head.headers),
            has_x_log_id: logid.is_none() && x_log_id.is_some(),
            logid: logid.or(x_log_id),
            retry_after: text(&head.headers, "retry-after"),
            is_framed,
            body: Box::new(HttpBody {
                reader: body.into_reader(),
                context,
                deadline: Arc::clone(&lane.deadline),
            }),
        })
    }
}

/// Whether the end of the body is proved. ureq decides the same; a bad length it has refused.
fn is_framed<T>(response: &Response<T>) -> bool {
    let headers = response.headers();
    let codings = headers.get_all(TRANSFER_ENCODING).into_iter();
    let mut codings = codings.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    let is_chunked = codings.any(|coding| coding.trim().eq_ignore_ascii_case("chunked"));
    matches!(response.status().as_u16(), 204 | 304)
        || headers.contains_key(CONTENT_LENGTH)
        || is_chunked && response.version() != Version::HTTP_10
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

fn certificates(roots: &Roots) -> Result<RootCerts, Error> {
    let Roots::Pem { path, pem } = roots else {
        return Ok(RootCerts::WebPki);
    };
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
        let error = Error::config(format!("{path} holds no certificate"));
        return Err(error.hint(
            "it must be PEM, with BEGIN CERTIFICATE lines",
            "必须是 PEM 格式，含有 BEGIN CERTIFICATE 行",
        ));
    }
    Ok(certificates.into())
}

/// Dropped before its end, it takes its connection with it.
struct HttpBody {
    reader: ureq::BodyReader<'static>,
    context: CallContext,
    deadline: Arc<ReadDeadline>,
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
            self.context.failure(error, Stage::Reading)
        })?;
        if count > 0 {
            self.deadline.body_has_begun();
        }
        Ok(count)
    }

    fn hurry(&mut self, most: Duration) {
        self.deadline.hurry(most);
    }
}
