//! Coze over HTTP, by ureq: one call, sent once.
//! HTTP/1.1 is RFC 9112. What ureq does and leaves undone was read in its sources, version 3.5.2.

use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ureq::config::AutoHeaderValue;
use ureq::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, TRANSFER_ENCODING,
};
use ureq::http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::RustlsConnector;
use ureq::{Agent, AsSendBody, SendBody};

use super::connect::Connectors;
use super::deadline::ReadDeadline;
use super::failure::{CallContext, Stage};
use super::lookup::{LiteralResolver, LookupThread};
use super::{Body, Failure, Http, HttpResponse, Limits};
use crate::config::{Config, Proxy, ProxyProtocol, Roots};
use crate::coze::call::{Call, Purpose, Source};
use crate::error::Error;

pub(super) const MAX_HEADER: usize = 64 * 1024;
/// ureq fills its buffers with zeros for each connection. This one has to hold a header that is too
/// large; of the other, more than a TLS record gains nothing.
const IN_BUFFER: usize = MAX_HEADER + OUT_BUFFER;
const OUT_BUFFER: usize = 16 << 10;
/// The most that is read of an answer that comes before the whole request has left: whatever it is, it
/// may name a run.
const EARLY_LIMIT: u64 = 8 << 20;
const JSON: &str = "application/json";
/// ureq adds a timeout to an `Instant`, which panics on overflow; 30 years are for ever.
const FOR_EVER: Duration = Duration::from_secs(1_000_000_000);

/// Coze over HTTP, one call at a time: each worker has its own. A start and a poll don't touch one
/// another, so that a stream may be read on after a poll.
pub(crate) struct Client {
    /// Starts and uploads, each on a connection of its own. It is not said to be the last
    /// (`Connection: close`): some servers then end a body by closing, and its end would prove
    /// nothing.
    posts: Lane,
    /// All on one connection, as long as it lasts. Most runs need none.
    polls: LazyLock<Lane, Box<dyn FnOnce() -> Lane + Send>>,
    base_url: String,
    authorization: HeaderValue,
}

/// An agent, and the call that it carries.
struct Lane {
    agent: Agent,
    context: Arc<CallContext>,
}

impl Lane {
    fn run(
        &self,
        request: ureq::http::Result<Request<impl AsSendBody>>,
    ) -> Result<Response<ureq::Body>, ureq::Error> {
        self.agent.run(request?)
    }
}

impl Client {
    /// One for each job, connected to nothing yet. Fails when the CA file holds no certificate, or
    /// when there is no thread to look up names.
    pub(crate) fn several(config: &Config, jobs: usize) -> Result<Vec<Self>, Error> {
        let roots = match &config.roots {
            Roots::Pem { path, pem } if config.base_url.starts_with("https:") => {
                certificates(path, pem)?
            }
            _ => RootCerts::WebPki,
        };
        // One configuration of rustls, so that every connection may resume a session.
        let tls = Arc::new(RustlsConnector::default());
        let clients = (0..jobs).map(|_| Self::new(config, roots.clone(), Arc::clone(&tls)));
        clients.collect()
    }

    fn new(config: &Config, roots: RootCerts, tls: Arc<RustlsConnector>) -> Result<Self, Error> {
        let base: Uri = config
            .base_url
            .parse()
            .map_err(|_| Error::config(format!("{} is not a URL", config.base_url)))?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", config.key.expose()))
            .expect("a key is printable ASCII");
        authorization.set_sensitive(true);
        let proxy = config.proxy.as_ref().map(proxy).transpose()?;
        let names = LookupThread::new(&base, proxy.as_ref())?;
        let connect_timeout = Some(config.connect_timeout.min(FOR_EVER));
        let context = |is_post| Arc::new(CallContext::new(&base, config, is_post));
        let of_polls = context(false);
        let lane = move |is_post: bool, context: Arc<CallContext>| {
            let settings = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .proxy(proxy.clone())
                .user_agent(concat!("coze-workflow/", env!("CARGO_PKG_VERSION")))
                .accept_encoding(AutoHeaderValue::None)
                .max_response_header_size(MAX_HEADER)
                .input_buffer_size(IN_BUFFER)
                .output_buffer_size(OUT_BUFFER)
                .max_idle_connections(usize::from(!is_post))
                .timeout_resolve(connect_timeout)
                .timeout_connect(connect_timeout)
                .tls_config(TlsConfig::builder().root_certs(roots.clone()).build())
                .build();
            let connectors = Connectors {
                tls: Arc::clone(&tls),
                context: Arc::clone(&context),
            };
            let resolver = LiteralResolver {
                names: names.clone(),
                context: Arc::clone(&context),
            };
            let agent = Agent::with_parts(settings, connectors, resolver);
            Lane { agent, context }
        };
        Ok(Self {
            posts: lane(true, context(true)),
            polls: LazyLock::new(Box::new(move || lane(false, of_polls))),
            base_url: config.base_url.clone(),
            authorization,
        })
    }
}

/// What ureq has not taken yet of a body.
struct Unsent<'a> {
    body: &'a mut Source<'a>,
    left: u64,
    /// What ureq waits for, which is more once it can't be sent.
    due: u64,
    is_unreadable: bool,
    deadline: &'a ReadDeadline,
}

impl Read for Unsent<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let due = usize::try_from(self.due).unwrap_or(usize::MAX);
        let most = buffer.len().min(due);
        // What can't be sent is not read: ureq only has to go on to the answer.
        let read = if self.deadline.write_failed() {
            Ok(most)
        } else {
            let read = (self.body)(&mut buffer[..most]);
            read.inspect(|count| self.left -= *count as u64)
        };
        let read = match read {
            // ureq would ask for the rest again and again.
            Ok(0) if most > 0 => Err(io::Error::other("it ends too soon")),
            read => read,
        };
        self.is_unreadable = read.is_err();
        read.inspect(|count| self.due -= *count as u64)
    }
}

impl Http for Client {
    fn call(&self, call: &Call<'_>, limits: Limits) -> Result<HttpResponse, Failure> {
        let mut json = call.body().unwrap_or_default().as_bytes();
        let mut json = |buffer: &mut [u8]| json.read(buffer);
        let mut file;
        let (accept, content_type, length, body): (_, _, _, &mut Source<'_>) = match &call.purpose {
            Purpose::Start { body, accept, .. } => (*accept, JSON, body.len() as u64, &mut json),
            Purpose::Upload { body } => {
                file = body.reader.borrow_mut();
                (JSON, &*body.content_type, body.length, &mut **file)
            }
            Purpose::Get | Purpose::Check => (JSON, "", 0, &mut json),
        };
        let lane: &Lane = if length > 0 { &self.posts } else { &self.polls };
        let deadline = &lane.context.deadline;
        deadline.begin(limits, !matches!(call.purpose, Purpose::Start { .. }));
        let mut unsent = Unsent {
            body,
            left: length,
            due: length,
            is_unreadable: false,
            deadline,
        };
        let mut request = Request::builder()
            .uri(format!("{}{}", self.base_url, call.path))
            .header(ACCEPT, accept);
        if let Purpose::Start {
            run_id: Some(id), ..
        } = call.purpose
        {
            request = request.header("x-run-id", id);
        }
        if !matches!(call.purpose, Purpose::Check) {
            request = request.header(AUTHORIZATION, self.authorization.clone());
        }
        let answered = if length == 0 {
            lane.run(request.body(()))
        } else {
            request = request
                .method(Method::POST)
                .header(CONTENT_TYPE, content_type)
                .header(CONTENT_LENGTH, length);
            // A reader with its length, not a string: only a reader shows how far it was read.
            lane.run(request.body(SendBody::from_reader(&mut unsent)))
        };
        let write_error = deadline.take_write_error();
        let stage = match unsent.left {
            _ if unsent.is_unreadable => Stage::Unreadable,
            0 if write_error.is_none() => Stage::Waiting,
            left if left > 0 && left < length => Stage::Stopped,
            _ => Stage::Sending,
        };
        let mut said = String::new();
        let answered = match (write_error, answered) {
            (Some(error), Ok(early)) => whole_refusal(early, &mut said).ok_or(error),
            (Some(error), Err(_)) => Err(error),
            (None, answered) => answered,
        };
        let response = answered.map_err(|error| Failure {
            said,
            ..lane.context.failure(error, stage)
        })?;
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
                body,
                context: Arc::clone(&lane.context),
            }),
        })
    }
}

/// The answer of a server that stopped reading the request, if that is a refusal, and all of it is
/// there. Any other proves no more than that nothing was started, unless what it `said` names a run.
fn whole_refusal(
    response: Response<ureq::Body>,
    said: &mut String,
) -> Option<Response<ureq::Body>> {
    let status = response.status();
    let is_refusal = status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT;
    let is_framed = is_framed(&response);
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    let most = body.as_reader().take(EARLY_LIMIT).read_to_end(&mut bytes);
    let is_whole = most.is_ok_and(|count| (count as u64) < EARLY_LIMIT);
    *said = String::from_utf8_lossy(&bytes).into_owned();
    let body = ureq::Body::builder().data(bytes);
    (is_refusal && is_framed && is_whole).then(|| Response::from_parts(head, body))
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
        .host(&proxy.host)
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

fn certificates(path: &Path, pem: &[u8]) -> Result<RootCerts, Error> {
    let path = path.display();
    // A certificate begins a line of its own, also after a byte order mark and where files were joined.
    let pem = String::from_utf8_lossy(pem).replace('\u{feff}', "\n");
    let pem = pem.replace("----------BEGIN", "-----\n-----BEGIN");
    let items: Result<Vec<_>, _> = parse_pem(pem.as_bytes()).collect();
    let items = items.map_err(|_| Error::config(format!("{path} is not valid PEM")))?;
    let certificates = items.into_iter().filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = certificates.collect();
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
#[derive(Debug)]
struct HttpBody {
    body: ureq::Body,
    context: Arc<CallContext>,
}

impl Body for HttpBody {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let count = self.body.as_reader().read(buffer).map_err(|error| {
            // What ureq meant is inside; the kind of the outer error says only `Other`.
            let error = ureq::Error::from(error);
            self.context.failure(error, Stage::Reading)
        })?;
        if count > 0 {
            self.context.deadline.body_has_begun();
        }
        Ok(count)
    }

    fn hurry(&mut self, most: Duration) {
        self.context.deadline.hurry(most);
    }
}
