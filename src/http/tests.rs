//! The seam over real sockets: plain, under TLS, through proxies.

use std::cell::RefCell;
use std::io::{self, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustls::{HandshakeKind, ServerConnection, StreamOwned};

use super::client::{Client, MAX_HEADER};
use super::*;
use crate::config::{Config, Proxy, ProxyProtocol, Roots};
use crate::coze::call::{Mode, RunRef, UploadBody};
use crate::support::nowhere::nowhere;
use crate::support::proxy::{Asked, Rules};
use crate::support::server::{Exchange, Server};
use crate::support::tls::{Authority, Identity};
use crate::support::wire;

const BODY: &str = r#"{"workflow_id":"7"}"#;
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

fn client(config: &Config) -> Client {
    Client::several(config, 1)
        .expect("a good configuration")
        .remove(0)
}

impl Client {
    fn start(&self, limits: Limits) -> Result<HttpResponse, Failure> {
        self.call(&Call::run(Mode::Stream, BODY), limits)
    }

    /// A file that is said to be so long.
    fn upload(
        &self,
        length: u64,
        mut reader: impl Read,
        limits: Limits,
    ) -> Result<HttpResponse, Failure> {
        let body = UploadBody {
            content_type: "multipart/form-data; boundary=b".to_owned(),
            length,
            reader: RefCell::new(Box::new(move |buffer| reader.read(buffer))),
        };
        self.call(&Call::upload(body), limits)
    }

    fn poll(&self, limits: Limits) -> Result<HttpResponse, Failure> {
        self.call(
            &Call::run_history("7", &RunRef::new("9", Mode::Stream).unwrap()),
            limits,
        )
    }
}

/// One run, to where `url` says.
#[track_caller]
fn run(url: &str) -> Result<HttpResponse, Failure> {
    client(&config(url)).start(PATIENT)
}

#[track_caller]
fn assert_failure<T: fmt::Debug>(
    result: Result<T, Failure>,
    reach: Reach,
    cause: Cause,
    detail: &str,
) {
    let expected = Failure::new(reach, cause, detail);
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
fn read(answer: &mut HttpResponse) -> Result<String, Failure> {
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
fn first(answer: &mut HttpResponse) -> String {
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
fn a_poll_is_a_get_without_a_body() {
    let server = Server::start(vec![get().json(200, "{}")]);
    let client = client(&config(&server.url()));
    client.poll(PATIENT).expect("an answer");
    let request = server.finish().remove(0).request;
    assert_eq!(request.header("authorization"), Some("Bearer pat_xxx"));
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("content-length"), None);
    assert_eq!(request.header("content-type"), None);
}

#[test]
fn a_check_goes_without_the_key() {
    let server = Server::start(vec![Exchange::get("/").answer(404, "text/html", "no")]);
    let answer = client(&config(&server.url())).call(&Call::check(), PATIENT);
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
    let client = client(&config(&server.url()));
    client
        .call(&Call::run(Mode::Stream, &body), PATIENT)
        .expect("an answer");
}

fn upload() -> Exchange {
    Exchange::post("/v1/files/upload")
}

#[test]
fn an_upload_is_a_post_of_what_is_read_with_the_key_and_its_length() {
    let server = Server::start(vec![upload().with_body("--b\nfile").json(200, "{}")]);
    let reader = "--b\n"
        .as_bytes()
        .chain(&b"file and what was added to it"[..]);
    let mut answer = client(&config(&server.url()))
        .upload(8, reader, PATIENT)
        .expect("an answer");
    assert_eq!(read(&mut answer).as_deref(), Ok("{}"));
    let request = server.finish().remove(0).request;
    let expected = [
        ("accept", Some("application/json")),
        ("authorization", Some("Bearer pat_xxx")),
        ("content-length", Some("8")),
        ("content-type", Some("multipart/form-data; boundary=b")),
        ("expect", None),
        ("transfer-encoding", None),
    ];
    for (name, value) in expected {
        assert_eq!(request.header(name), value, "{name}");
    }
}

#[test]
fn a_large_upload_arrives_byte_for_byte() {
    let file: Vec<u8> = (0..20 << 20)
        .map(|place: u32| (place % 251) as u8)
        .collect();
    let server = Server::start(vec![upload().json(200, "{}")]);
    client(&config(&server.url()))
        .upload(file.len() as u64, &*file, PATIENT)
        .expect("an answer");
    assert!(server.finish()[0].request.body == file);
}

// What comes back.

#[test]
fn the_head_of_an_answer_is_reported() {
    let refusal = r#"{"code":4100,"msg":"authentication is invalid"}"#;
    let script = post().json(401, refusal).header("X-Tt-Logid", "2024AB");
    let server = Server::start(vec![script]);
    let mut answer = run(&server.url()).expect("an answer");
    assert_eq!(answer.status, 401);
    assert_eq!(answer.content_type, "application/json");
    assert_eq!(answer.logid.as_deref(), Some("2024AB"));
    assert!(!answer.has_x_log_id);
    assert_eq!(answer.retry_after, None);
    assert_eq!(read(&mut answer).as_deref(), Ok(refusal));
}

#[test]
fn a_logid_is_cleaned_and_studio_calls_it_otherwise() {
    let script = post().sse("").header("X-Log-ID", "\t02\u{9b}AB\u{85} ");
    let server = Server::start(vec![script]);
    let answer = run(&server.url()).expect("an answer");
    assert_eq!(answer.logid.as_deref(), Some("02AB"));
    assert!(answer.has_x_log_id);
}

#[test]
fn the_logid_of_the_cloud_goes_before_that_of_studio() {
    let script = post()
        .sse("")
        .header("X-Log-ID", "02")
        .header("X-Tt-Logid", "01");
    let server = Server::start(vec![script]);
    let answer = run(&server.url()).expect("an answer");
    assert_eq!(answer.logid.as_deref(), Some("01"));
    assert!(!answer.has_x_log_id);
}

#[test]
fn retry_after_is_reported_as_it_was_sent() {
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
        let script = upload().answer(status, "text/html", "moved");
        let server = Server::start(vec![script.header("Location", "/elsewhere")]);
        let answer = client(&config(&server.url())).upload(4, &b"file"[..], PATIENT);
        assert_eq!(answer.expect("an answer").status, status);
    }
}

#[test]
fn an_interim_answer_is_not_the_answer() {
    let whole = "HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\ntext";
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nLink: </a>\r\n\r\n";
    let scripts = [
        post().raw(interim.to_owned() + whole),
        post().raw(interim).wait(after(20)).piece(whole),
    ];
    for script in scripts {
        let server = Server::start(vec![script.fin()]);
        let mut answer = run(&server.url()).expect("an answer");
        assert_eq!(answer.status, 200);
        assert_eq!(read(&mut answer).as_deref(), Ok("text"));
    }
}

#[test]
fn an_answer_before_the_whole_request_counts_if_the_rest_is_still_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let body = vec![b'x'; 20 << 20];
    let server = thread::spawn(move || {
        let mut stream = listener.accept().expect("a client").0;
        let mut head = [0; 100];
        stream.read_exact(&mut head).expect("a request");
        let answer = b"HTTP/1.1 413 \r\nContent-Length: 2\r\n\r\n{}";
        stream.write_all(answer).expect("a reader");
        io::copy(&mut stream, &mut io::sink()).expect("the rest")
    });
    let client = client(&config(&format!("http://{address}")));
    let mut answer = client
        .upload(body.len() as u64, &*body, PATIENT)
        .expect("an answer");
    assert_eq!(answer.status, 413);
    assert_eq!(read(&mut answer).as_deref(), Ok("{}"));
    drop((answer, client));
    assert!(server.join().expect("a server") > 20 << 20);
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

#[test]
fn only_a_length_chunks_or_a_status_without_a_body_prove_the_end() {
    let raw = |head: &str| post().raw(format!("{head}\r\n\r\n"));
    let cases = [
        (post().sse("whole"), true),
        (post().json(200, "{}"), true),
        (post().json(200, ""), true),
        (raw("HTTP/1.1 204 "), true),
        (raw("HTTP/1.1 304 "), true),
        (
            raw("HTTP/1.1 200 \r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: a, Chunked"),
            true,
        ),
        (raw("HTTP/1.0 200 \r\nTransfer-Encoding: chunked"), false),
        (raw("HTTP/1.0 200 \r\nContent-Length: 0"), true),
        (raw("HTTP/1.1 200 "), false),
        (post().sse("whole or not").close_delimited(), false),
    ];
    for (number, (script, is_framed)) in cases.into_iter().enumerate() {
        let server = Server::start(vec![script]);
        let answer = run(&server.url()).expect("an answer");
        assert_eq!(answer.is_framed, is_framed, "case {number}");
    }
}

// No connection: nothing was started.

#[test]
fn a_refused_connection_starts_nothing() {
    let host = nowhere().address().to_string();
    let detail = format!("cannot connect to {host}: connection refused");
    let answer = run(&format!("http://{host}"));
    assert_failure(answer, Reach::NotSent, Cause::Connect, &detail);
}

#[test]
fn a_name_that_is_nowhere_starts_nothing() {
    let answer = run("https://coze.invalid:1");
    let detail = "coze.invalid: name not found";
    assert_failure(answer, Reach::NotSent, Cause::Dns, detail);
}

#[test]
fn a_deadline_that_is_over_starts_nothing() {
    let host = nowhere().address().to_string();
    let answer = client(&config(&format!("http://{host}"))).start(limits(0, 60_000));
    let detail = format!("the deadline came before {host} answered");
    assert_failure(answer, Reach::NotSent, Cause::Deadline, &detail);
}

#[test]
fn a_server_that_does_not_speak_is_given_the_connect_timeout() {
    let server = Server::start(vec![Exchange::deaf()]);
    let mut config = config(&format!("https://{}", server.address()));
    config.connect_timeout = Duration::from_millis(20);
    let detail = format!("no answer from {} within 0.02 s", server.address());
    let answer = client(&config).start(PATIENT);
    assert_failure(answer, Reach::NotSent, Cause::Connect, &detail);
}

#[test]
fn a_deadline_before_the_connect_timeout_is_a_deadline() {
    let server = Server::start(vec![Exchange::deaf()]);
    let config = config(&format!("https://{}", server.address()));
    let answer = client(&config).start(limits(20, 60_000));
    let detail = format!("the deadline came before {} answered", server.address());
    assert_failure(answer, Reach::NotSent, Cause::Deadline, &detail);
}

// TLS.

fn trusting(server: &Server, authority: &Authority) -> Config {
    let mut config = config(&server.url());
    config.roots = roots(authority);
    config
}

fn roots(authority: &Authority) -> Roots {
    Roots::Pem {
        path: "ca.pem".into(),
        pem: authority.pem().as_bytes().to_vec(),
    }
}

/// `because` goes on after the host's name.
#[track_caller]
fn assert_distrust(identity: &Identity, authority: &Authority, because: &str) {
    let server = Server::start_tls(identity, vec![]);
    let answer = client(&trusting(&server, authority)).start(PATIENT);
    let detail = format!("the certificate of {} {because}", server.address());
    assert_failure(answer, Reach::NotSent, Cause::Certificate, &detail);
}

#[test]
fn a_certificate_of_the_given_authority_is_trusted() {
    let authority = Authority::new();
    let server = Server::start_tls(&authority.local(), vec![post().sse("secret")]);
    let mut answer = client(&trusting(&server, &authority))
        .start(PATIENT)
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
    client(&config).start(PATIENT).expect("an answer");
}

#[test]
fn certificates_that_begin_no_line_are_found_as_well() {
    let (first, second) = (Authority::new(), Authority::new());
    let joined = [first.pem().trim_end(), second.pem()].concat();
    let marked = format!("\u{feff}{}\u{feff}{}", first.pem(), second.pem());
    for pem in [joined, marked] {
        for authority in [&first, &second] {
            let server = Server::start_tls(&authority.local(), vec![post().sse("")]);
            let mut config = config(&server.url());
            config.roots = Roots::Pem {
                path: "ca.pem".into(),
                pem: pem.clone().into(),
            };
            client(&config).start(PATIENT).expect("an answer");
        }
    }
}

#[test]
fn a_certificate_made_for_an_authority_is_none_for_a_server() {
    let authority = Authority::new();
    let because = "is an authority's own; make one for the server, with basicConstraints=CA:FALSE";
    assert_distrust(&authority.as_server(), &authority, because);
}

#[test]
fn an_unknown_authority_is_not_trusted() {
    let because = "was issued by an unknown authority; if it is yours, name its file with \
                   --cacert or COZE_CA_FILE";
    assert_distrust(&Authority::new().local(), &Authority::new(), because);
    let server = Server::start_tls(&Authority::new().local(), vec![]);
    let detail = format!("the certificate of {} {because}", server.address());
    let answer = run(&server.url());
    assert_failure(answer, Reach::NotSent, Cause::Certificate, &detail);
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
        assert_eq!((failure.reach, failure.cause), (Reach::NotSent, Cause::Tls));
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
        Client::several(&config, 1)
            .err()
            .map(|local| local.message.clone())
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

/// Opens so many milliseconds from now.
fn after(milliseconds: u64) -> Receiver<()> {
    let (open, gate) = channel();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(milliseconds));
        open.send(())
    });
    gate
}

#[test]
fn a_start_may_be_silent_until_its_body_begins() {
    let head = "HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\n";
    let script = post().raw("").wait(after(200)).piece(head).wait(after(400));
    let server = Server::start(vec![script.piece("late")]);
    let mut answer = client(&config(&server.url()))
        .start(limits(60_000, 20))
        .expect("an answer");
    assert_eq!(read(&mut answer).as_deref(), Ok("late"));
}

#[test]
fn a_poll_that_is_not_answered_is_silent() {
    let server = Server::start(vec![get().silent()]);
    let answer = client(&config(&server.url())).poll(limits(60_000, 20));
    server.await_requests(1);
    let detail = format!("nothing came from {} for 0.02 s", server.address());
    assert_failure(answer, Reach::NotSent, Cause::Silent, &detail);
}

#[test]
fn a_deadline_before_the_answer_leaves_it_open() {
    let server = Server::start(vec![post().silent()]);
    let answer = client(&config(&server.url())).start(limits(1_000, 60_000));
    let detail = format!("the deadline came before {} answered", server.address());
    assert_failure(answer, Reach::MaybeSent, Cause::Deadline, &detail);
}

#[test]
fn a_close_before_the_answer_leaves_it_open() {
    let server = Server::start(vec![post().hangs_up()]);
    let detail = format!("{} gave no answer: peer disconnected", server.address());
    let answer = run(&server.url());
    assert_failure(answer, Reach::MaybeSent, Cause::Cut, &detail);
}

#[test]
fn a_reset_before_the_answer_leaves_it_open() {
    let server = Server::start(vec![post().raw("").rst()]);
    let host = server.address();
    let detail = format!("{host} gave no answer: connection reset by peer");
    let answer = run(&server.url());
    assert_failure(answer, Reach::MaybeSent, Cause::Cut, &detail);
}

#[test]
fn a_poll_that_fails_starts_nothing_however_far_it_came() {
    let server = Server::start(vec![
        get().hangs_up(),
        get().json(200, "{").claiming(9).fin(),
    ]);
    let client = client(&config(&server.url()));
    let failure = client.poll(PATIENT).expect_err("a failure");
    assert_eq!((failure.reach, failure.cause), (Reach::NotSent, Cause::Cut));
    let mut answer = client.poll(PATIENT).expect("an answer");
    let failure = read(&mut answer).expect_err("a failure");
    assert_eq!((failure.reach, failure.cause), (Reach::NotSent, Cause::Cut));
}

#[test]
fn an_answer_that_is_not_http_leaves_it_open() {
    let server = Server::start(vec![post().raw("SSH-2.0-OpenSSH_9.6\r\n\r\n")]);
    let failure = run(&server.url()).expect_err("a failure");
    assert_eq!(
        (failure.reach, failure.cause),
        (Reach::MaybeSent, Cause::Cut)
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
    assert_failure(answer, Reach::MaybeSent, Cause::TooLarge, &detail);
}

/// One start of 20 MiB, and one upload.
fn large(client: &Client) -> [Result<HttpResponse, Failure>; 2] {
    let body = "x".repeat(20 << 20);
    [
        client.call(&Call::run(Mode::Stream, &body), PATIENT),
        client.upload(20 << 20, body.as_bytes(), PATIENT),
    ]
}

/// What comes of both where the server answers so and does not read, plain and over TLS, each with the
/// server's address.
fn answered_unread(
    answer: impl Fn(Exchange) -> Exchange,
) -> Vec<(String, Result<HttpResponse, Failure>)> {
    let authority = Authority::new();
    let script = || vec![answer(post().unread()), answer(upload().unread())];
    let plain = Server::start(script());
    let secure = Server::start_tls(&authority.local(), script());
    let servers = [plain, secure].into_iter();
    let both = servers.flat_map(|server| {
        let answered = large(&client(&trusting(&server, &authority)));
        answered.map(|answered| (server.address().clone(), answered))
    });
    both.collect()
}

#[test]
fn a_server_that_stops_reading_has_started_nothing() {
    let answers: [fn(Exchange) -> Exchange; 5] = [
        |server| server.raw("").rst(),
        |server| server.json(503, "{}"),
        |server| server.json(408, "{}"),
        |server| server.json(413, "{").claiming(2).fin(),
        |server| server.answer(413, "text/html", "no").close_delimited(),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        for (host, answered) in answered_unread(answer) {
            let failure = answered.expect_err("a failure");
            let (reach, cause) = (failure.reach, failure.cause);
            assert_eq!((reach, cause), (Reach::NotSent, Cause::Stopped), "{number}");
            let start = format!("{host} stopped reading the request: ");
            assert_start(&failure.detail, &start);
        }
    }
}

#[test]
fn a_refusal_of_a_server_that_stops_reading_is_an_answer() {
    let refusal = r#"{"code":4000,"msg":"too large"}"#;
    for (_, answered) in answered_unread(|server| server.json(413, refusal)) {
        let mut answer = answered.expect("an answer");
        assert_eq!((answer.status, answer.is_framed), (413, true));
        assert_eq!(read(&mut answer).as_deref(), Ok(refusal));
    }
}

#[test]
fn what_a_server_that_stops_reading_says_of_a_run_is_kept() {
    let said = r#"{"execute_id":"7"}"#;
    for (_, answered) in answered_unread(|server| server.json(200, said)) {
        let failure = answered.expect_err("a failure");
        let (reach, cause) = (failure.reach, failure.cause);
        assert_eq!((reach, cause), (Reach::NotSent, Cause::Stopped));
        assert_eq!(failure.said, said);
    }
}

#[test]
fn a_server_that_never_reads_has_started_nothing() {
    let body = "x".repeat(20 << 20);
    let server = Server::start(vec![Exchange::deaf()]);
    let answer =
        client(&config(&server.url())).call(&Call::run(Mode::Stream, &body), limits(60_000, 20));
    let detail = format!("{} took nothing for 0.02 s", server.address());
    assert_failure(answer, Reach::NotSent, Cause::Silent, &detail);
}

#[test]
fn an_upload_fails_as_a_start_does() {
    let large = vec![0; 20 << 20];
    let deaf = Server::start(vec![Exchange::deaf()]);
    let answer =
        client(&config(&deaf.url())).upload(large.len() as u64, &*large, limits(60_000, 20));
    let detail = format!("{} took nothing for 0.02 s", deaf.address());
    assert_failure(answer, Reach::NotSent, Cause::Silent, &detail);
    let gone = Server::start(vec![upload().hangs_up()]);
    let answer = client(&config(&gone.url())).upload(4, &b"file"[..], PATIENT);
    let detail = format!("{} gave no answer: peer disconnected", gone.address());
    assert_failure(answer, Reach::MaybeSent, Cause::Cut, &detail);
}

#[test]
fn an_upload_that_is_not_answered_is_silent() {
    let server = Server::start(vec![upload().silent()]);
    let answer = client(&config(&server.url())).upload(4, &b"file"[..], limits(60_000, 20));
    server.await_requests(1);
    let detail = format!("nothing came from {} for 0.02 s", server.address());
    assert_failure(answer, Reach::MaybeSent, Cause::Silent, &detail);
}

/// A file that fails when it is read.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::from_raw_os_error(5))
    }
}

#[test]
fn a_file_that_ends_too_soon_or_fails_is_not_the_servers_fault() {
    let ends: Box<dyn Read> = Box::new(io::empty());
    for (rest, reason) in [
        (ends, "it ends too soon"),
        (Box::new(Broken), "input/output error"),
    ] {
        let server = Server::start(vec![upload().unread().silent()]);
        let file = "file".as_bytes().chain(rest);
        let answer = client(&config(&server.url())).upload(5, file, PATIENT);
        let detail = format!("what is to be sent can't be read: {reason}");
        assert_failure(answer, Reach::NotSent, Cause::Unreadable, &detail);
        server.await_requests(1);
    }
}

// The answer breaks off.

/// `script`'s answer begins with `data`, and then fails so.
#[track_caller]
fn assert_cut(script: Exchange, reason: &str) {
    let server = Server::start(vec![script]);
    let mut answer = run(&server.url()).expect("an answer");
    assert_eq!(first(&mut answer), "data");
    let detail = format!("{}'s answer was cut short: {reason}", server.address());
    assert_failure(read(&mut answer), Reach::MaybeSent, Cause::Cut, &detail);
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
        (failure.reach, failure.cause),
        (Reach::MaybeSent, Cause::Cut)
    );
}

#[test]
fn a_silence_in_the_middle_is_distinguished_from_the_deadline() {
    let cases = [
        (limits(60_000, 1_000), Cause::Silent),
        (limits(1_000, 60_000), Cause::Deadline),
    ];
    for (limits, cause) in cases {
        let server = Server::start(vec![post().sse("data").hang()]);
        let client = client(&config(&server.url()));
        let mut answer = client.start(limits).expect("an answer");
        let failure = read(&mut answer).expect_err("a failure");
        assert_eq!((failure.reach, failure.cause), (Reach::MaybeSent, cause));
    }
}

#[test]
fn what_came_before_the_deadline_is_read_after_it() {
    let authority = Authority::new();
    let script = |gate| vec![post().sse("one").wait(gate).piece("two").piece("three")];
    let ((open_plain, plain), (open_secure, secure)) = (channel(), channel());
    let servers = [
        (Server::start(script(plain)), open_plain),
        (
            Server::start_tls(&authority.local(), script(secure)),
            open_secure,
        ),
    ];
    for (server, open) in servers {
        let client = client(&trusting(&server, &authority));
        let mut answer = client.start(limits(1_000, 60_000)).expect("an answer");
        assert_eq!(first(&mut answer), "one");
        open.send(()).expect("a waiting server");
        thread::sleep(Duration::from_millis(1_100));
        assert_eq!(read(&mut answer).as_deref(), Ok("twothree"));
    }
}

#[test]
fn a_body_that_is_hurried_is_waited_for_no_longer_in_all() {
    let (open, gate) = channel();
    let script = post().sse("one").wait(gate).piece("two").hang();
    let server = Server::start(vec![script, post().sse("whole")]);
    let client = client(&config(&server.url()));
    let mut answer = client.start(PATIENT).expect("an answer");
    assert_eq!(first(&mut answer), "one");
    answer.body.hurry(Duration::from_secs(1));
    // More haste is obeyed, more leisure is not.
    answer.body.hurry(Duration::from_secs(60));
    open.send(()).expect("a waiting server");
    assert_eq!(first(&mut answer), "two");
    let detail = format!(
        "the deadline came in the middle of {}'s answer",
        server.address()
    );
    assert_failure(
        read(&mut answer),
        Reach::MaybeSent,
        Cause::Deadline,
        &detail,
    );
    // Nothing of the haste is left for the next call.
    let mut answer = client.start(limits(60_000, 60_000)).expect("an answer");
    assert_eq!(read(&mut answer).as_deref(), Ok("whole"));
}

// Connections.

/// The connections on which the requests came.
fn connections(server: Server) -> Vec<usize> {
    let seen = server.finish();
    seen.iter().map(|seen| seen.connection).collect()
}

#[test]
fn a_start_has_a_connection_of_its_own_and_polls_share_one() {
    let authority = Authority::new();
    let script = || {
        let answered = || get().json(200, "{}");
        let started = || post().sse("done");
        vec![
            answered(),
            started(),
            started(),
            answered(),
            started(),
            answered(),
        ]
    };
    let plain = Server::start(script());
    let secure = Server::start_tls(&authority.local(), script());
    for server in [plain, secure] {
        let client = client(&trusting(&server, &authority));
        for is_start in [false, true, true, false, true, false] {
            let answer = if is_start {
                client.start(PATIENT)
            } else {
                client.poll(PATIENT)
            };
            // Both are read to the end, which is what makes a connection fit for another call.
            read(&mut answer.expect("an answer")).expect("a whole body");
        }
        assert_eq!(connections(server), [0, 1, 2, 0, 3, 0]);
    }
}

#[test]
fn an_upload_has_a_connection_of_its_own() {
    let answered = || upload().json(200, "{}");
    let script = vec![
        get().json(200, "{}"),
        answered(),
        answered(),
        post().sse(""),
    ];
    let server = Server::start(script);
    let client = client(&config(&server.url()));
    for number in 0..4 {
        let answer = match number {
            0 => client.poll(PATIENT),
            3 => client.start(PATIENT),
            _ => client.upload(4, &b"file"[..], PATIENT),
        };
        // Read to the end, which is what makes a connection fit for another call.
        read(&mut answer.expect("an answer")).expect("a whole body");
    }
    assert_eq!(connections(server), [0, 1, 2, 3]);
}

#[test]
fn a_poll_that_is_not_read_to_its_end_costs_its_connection() {
    let server = Server::start(vec![get().json(200, "{}"), get().json(200, "{}")]);
    let client = client(&config(&server.url()));
    drop(client.poll(PATIENT).expect("an answer"));
    client.poll(PATIENT).expect("an answer");
    assert_eq!(connections(server), [0, 1]);
}

#[test]
fn a_stream_is_read_on_after_a_poll() {
    let (open, gate) = channel();
    let script = vec![
        post().sse("one").wait(gate).piece("two"),
        get().json(200, "{}"),
    ];
    let server = Server::start(script);
    let client = client(&config(&server.url()));
    let mut answer = client.start(PATIENT).expect("an answer");
    assert_eq!(first(&mut answer), "one");
    let mut polled = client.poll(PATIENT).expect("an answer");
    polled.body.hurry(Duration::ZERO);
    open.send(()).expect("a waiting server");
    assert_eq!(read(&mut answer).as_deref(), Ok("two"));
}

#[test]
fn every_connection_after_the_first_resumes_the_tls_session() {
    let authority = Authority::new();
    let identity = authority.local();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let server = thread::spawn(move || {
        let serve = |_| {
            let session = ServerConnection::new(Arc::clone(&identity)).expect("an identity");
            let stream = listener.accept().expect("a client").0;
            let mut stream = StreamOwned::new(session, stream);
            wire::read_request(&mut BufReader::new(&mut stream)).expect("a request");
            let answer = b"HTTP/1.1 200 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream
                .write_all(answer)
                .and_then(|()| stream.flush())
                .expect("a reader");
            stream.conn.handshake_kind().expect("a handshake")
        };
        (0..4).map(serve).collect::<Vec<_>>()
    });
    let mut config = config(&format!("https://{address}"));
    config.roots = roots(&authority);
    let clients = Client::several(&config, 2).expect("a good configuration");
    clients[0].start(PATIENT).expect("an answer");
    clients[0].start(PATIENT).expect("an answer");
    clients[0].poll(PATIENT).expect("an answer");
    // That of another job, too.
    clients[1].start(PATIENT).expect("an answer");
    let (full, resumed) = (HandshakeKind::Full, HandshakeKind::Resumed);
    let kinds = server.join().expect("a server");
    assert_eq!(kinds, [full, resumed, resumed, resumed]);
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
        let mut answer = client(&config).start(PATIENT).expect("an answer");
        assert_eq!(read(&mut answer).as_deref(), Ok(text));
    }
    let credentials = Some("user:p@ss:word");
    let expected = [plain.address(), secure.address()].map(|to| asked(&to, credentials));
    assert_eq!(proxy.asked(), expected);
}

#[test]
fn a_tunnel_serves_more_than_one_poll_and_a_start_has_its_own() {
    let proxy = Rules::http().start();
    let polled = || get().json(200, "{}");
    let script = vec![polled(), polled(), post().sse(""), post().sse("")];
    let server = Server::start(script);
    let config = through(&server.url(), ProxyProtocol::Http, &proxy.address());
    let client = client(&config);
    for _ in 0..2 {
        read(&mut client.poll(PATIENT).expect("an answer")).expect("a whole body");
    }
    for _ in 0..2 {
        read(&mut client.start(PATIENT).expect("an answer")).expect("a whole body");
    }
    assert_eq!(connections(server), [0, 0, 1, 2]);
    assert_eq!(proxy.asked().len(), 3);
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
        let mut answer = client(&config).start(PATIENT).expect("an answer");
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
    let mut answer = client(&config).start(PATIENT).expect("an answer");
    assert_eq!(read(&mut answer).as_deref(), Ok("found"));
}

/// A run to `coze.invalid` through what is at `proxy`; `PROXY` in the detail is its place.
#[track_caller]
fn assert_no_way(protocol: ProxyProtocol, proxy: &str, cause: Cause, detail: &str) {
    let config = through("https://coze.invalid", protocol, proxy);
    let detail = detail.replace("PROXY", &format!("proxy {proxy} (https_proxy)"));
    let answer = client(&config).start(PATIENT);
    assert_failure(answer, Reach::NotSent, cause, &detail);
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    for protocol in [ProxyProtocol::Http, ProxyProtocol::Socks5h] {
        let detail = "cannot connect to PROXY: connection refused";
        assert_no_way(
            protocol,
            &nowhere().address().to_string(),
            Cause::Proxy,
            detail,
        );
        let detail = "PROXY: name not found";
        assert_no_way(protocol, "proxy.invalid:1", Cause::Proxy, detail);
    }
}

#[test]
fn a_refusal_of_the_proxy_is_distinguished_from_its_failures() {
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
        (502, Cause::Proxy, "PROXY made no connection: HTTP 502"),
    ];
    for (status, cause, detail) in cases {
        let proxy = Rules::http().refusing(status).start();
        assert_no_way(ProxyProtocol::Http, &proxy.address(), cause, detail);
    }
}

#[test]
fn a_refusal_of_a_socks_proxy_is_reported() {
    let cases = [
        (
            ProxyProtocol::Socks5h,
            Rules::socks5().refusing(5),
            Cause::Proxy,
            "connection refused",
        ),
        (
            ProxyProtocol::Socks5h,
            Rules::socks5().refusing(2),
            Cause::ProxyRefused,
            "connection not allowed by ruleset",
        ),
        (
            ProxyProtocol::Socks5h,
            Rules::socks5().for_user("user", "other"),
            Cause::ProxyRefused,
            "password authentication failed",
        ),
        (
            ProxyProtocol::Socks4a,
            Rules::socks4().refusing(91),
            Cause::Proxy,
            "request rejected or failed",
        ),
    ];
    for (protocol, rules, cause, reason) in cases {
        let detail = format!("PROXY made no connection: {reason}");
        assert_no_way(protocol, &rules.start().address(), cause, &detail);
    }
}

#[test]
fn a_socks_proxy_that_wants_a_user_is_not_asked_again_without_one() {
    let proxy = Rules::socks5().for_user("user", "other").start();
    let mut config = through(
        "http://coze.invalid",
        ProxyProtocol::Socks5h,
        &proxy.address(),
    );
    config.proxy = config.proxy.map(|proxy| Proxy {
        user: None,
        password: None,
        ..proxy
    });
    let failure = client(&config).start(PATIENT).expect_err("a failure");
    assert_eq!(failure.cause, Cause::ProxyRefused, "{}", failure.detail);
}

#[test]
fn a_proxy_that_hangs_up_is_named() {
    let server = Server::start(vec![Exchange::greeting("")]);
    let config = through(
        "http://coze.invalid",
        ProxyProtocol::Http,
        &server.address(),
    );
    let failure = client(&config).start(PATIENT).expect_err("a failure");
    assert_eq!(
        (failure.reach, failure.cause),
        (Reach::NotSent, Cause::Proxy)
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
        let answer = client(&config).start(PATIENT);
        assert_failure(answer, Reach::NotSent, Cause::Proxy, &detail);
    }
}
