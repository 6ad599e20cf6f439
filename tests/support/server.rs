//! A server on 127.0.0.1, plain or TLS, that plays a script: a request comes, it is the one that
//! was expected, it is answered byte for byte as the script says. It records every request with
//! the number of its connection. When it goes, an exchange that was not used and a request that
//! was not scripted fail the test: "sent once" is proved, not hoped.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};
use socket2::SockRef;

use super::tls::Identity;
use super::wire::{self, Request};

/// How long a test waits for what must come. Long enough for the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that is playing its script.
pub struct Server {
    address: SocketAddr,
    scheme: &'static str,
    stage: Arc<Stage>,
    doorman: Option<JoinHandle<()>>,
}

/// A request, and the connection on which it came, counted from 0.
#[derive(Clone, Debug)]
pub struct Seen {
    pub connection: usize,
    pub request: Request,
}

impl Server {
    /// Plain HTTP; requests must come in the order of the script.
    pub fn start(script: Vec<Exchange>) -> Self {
        Self::open(script, None, false)
    }

    /// The same over TLS.
    pub fn start_tls(identity: &Identity, script: Vec<Exchange>) -> Self {
        Self::open(script, Some(Arc::clone(identity)), false)
    }

    /// For requests that are sent side by side: each takes the first exchange that fits it.
    pub fn start_in_any_order(script: Vec<Exchange>) -> Self {
        Self::open(script, None, true)
    }

    fn open(script: Vec<Exchange>, identity: Option<Identity>, any_order: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let stage = Arc::new(Stage::default());
        stage.play().script = script.into();
        stage.play().any_order = any_order;
        Self {
            address,
            scheme: if identity.is_some() { "https" } else { "http" },
            doorman: Some(thread::spawn({
                let stage = Arc::clone(&stage);
                move || stage.admit(&listener, identity.as_ref())
            })),
            stage,
        }
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// `127.0.0.1:port`
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What came so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.stage.play().seen.clone()
    }

    /// Waits until so many requests came in all.
    #[track_caller]
    pub fn await_requests(&self, count: usize) {
        let play = self.stage.play();
        let (_play, late) = self
            .stage
            .news
            .wait_timeout_while(play, PATIENCE, |play| play.seen.len() < count)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!late.timed_out(), "{count} requests did not come");
    }

    /// Ends the play, fails the test if it did not go as scripted, and says what came.
    #[track_caller]
    pub fn finish(mut self) -> Vec<Seen> {
        self.stop();
        self.stage.review();
        std::mem::take(&mut self.stage.play().seen)
    }

    fn stop(&mut self) {
        let Some(doorman) = self.doorman.take() else {
            return;
        };
        let mut play = self.stage.play();
        play.over = true;
        for stream in play.open.values() {
            // It may be gone already, which is what is wanted.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(play);
        self.stage.news.notify_all();
        // A last guest, so that the doorman looks up and sees that the play is over.
        let _ = TcpStream::connect(self.address);
        doorman.join().expect("the server itself must not panic");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        if thread::panicking() {
            // Often the cause of what the test says; a second panic would hide both.
            eprintln!("the server saw: {:#?}", self.stage.play().faults);
        } else {
            self.stage.review();
        }
    }
}

/// One request that is expected, and what is answered.
pub struct Exchange {
    expect: Expect,
    body: Option<String>,
    reads_body: bool,
    status: u16,
    headers: Vec<(String, String)>,
    framing: Framing,
    pieces: Vec<Piece>,
    end: End,
}

enum Expect {
    Request(&'static str, String),
    /// A connection on which nothing is read.
    Connection,
}

#[derive(Clone, Copy)]
enum Framing {
    Length(Option<usize>),
    Chunked,
    Close,
    /// The pieces are all there is, head included.
    Raw,
}

enum Piece {
    Bytes(Vec<u8>),
    /// Go on when the test says so, or has dropped the other end.
    Wait(Receiver<()>),
}

enum End {
    /// The body ends as its framing says.
    Whole,
    /// The rest never comes: the connection is closed, reset, or silent until the play is over.
    Fin,
    Rst,
    Hang,
}

impl Exchange {
    pub fn post(target: &str) -> Self {
        Self::of(Expect::Request("POST", target.to_owned()))
    }

    pub fn get(target: &str) -> Self {
        Self::of(Expect::Request("GET", target.to_owned()))
    }

    /// A connection on which nothing is read: it is told `bytes`, and closed.
    pub fn greeting(bytes: impl AsRef<[u8]>) -> Self {
        Self::of(Expect::Connection).raw(bytes)
    }

    /// A connection on which nothing is read and nothing said.
    pub fn deaf() -> Self {
        Self::greeting("").hang()
    }

    fn of(expect: Expect) -> Self {
        Self {
            expect,
            body: None,
            reads_body: true,
            status: 200,
            headers: Vec::new(),
            framing: Framing::Length(None),
            pieces: Vec::new(),
            end: End::Whole,
        }
    }

    /// The request must have exactly this body.
    pub fn with_body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// The request's body is not read: the answer, if any, comes right after its head.
    pub fn unread(mut self) -> Self {
        self.reads_body = false;
        self.end = End::Fin;
        self
    }

    /// An answer with a `Content-Length`.
    pub fn answer(mut self, status: u16, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        self.status = status;
        self.header("Content-Type", content_type).piece(body)
    }

    pub fn json(self, status: u16, body: impl AsRef<[u8]>) -> Self {
        self.answer(status, "application/json; charset=utf-8", body)
    }

    /// A chunked event stream, whole; more chunks by `piece`.
    pub fn sse(self, body: impl AsRef<[u8]>) -> Self {
        self.answer(200, "text/event-stream", body).chunked()
    }

    /// These bytes, head included or not HTTP at all; then the connection is closed.
    pub fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.framing = Framing::Raw;
        self.piece(bytes).fin()
    }

    /// Reads the request and never answers.
    pub fn silent(self) -> Self {
        self.raw("").hang()
    }

    /// Reads the request and closes the connection.
    pub fn hangs_up(self) -> Self {
        self.raw("")
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    pub fn close_delimited(mut self) -> Self {
        self.framing = Framing::Close;
        self.fin()
    }

    /// A `Content-Length` of one's own choosing.
    pub fn claiming(mut self, length: usize) -> Self {
        self.framing = Framing::Length(Some(length));
        self
    }

    /// More of the body: sent, and flushed, on its own.
    pub fn piece(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.pieces.push(Piece::Bytes(bytes.as_ref().to_vec()));
        self
    }

    /// What follows is sent when the test says so.
    pub fn wait(mut self, gate: Receiver<()>) -> Self {
        self.pieces.push(Piece::Wait(gate));
        self
    }

    /// After the pieces the connection is closed, whether the body was whole or not.
    pub fn fin(mut self) -> Self {
        self.end = End::Fin;
        self
    }

    /// After the pieces the connection is reset.
    pub fn rst(mut self) -> Self {
        self.end = End::Rst;
        self
    }

    /// After the pieces nothing more comes.
    pub fn hang(mut self) -> Self {
        self.end = End::Hang;
        self
    }

    fn objection(&self, request: &Request) -> Option<String> {
        let got = format!("{} {}", request.method, request.target);
        let Expect::Request(method, target) = &self.expect else {
            return Some(format!("a connection without request expected, got {got}"));
        };
        let expected = format!("{method} {target}");
        if got != expected {
            return Some(format!("{expected} expected, got {got}"));
        }
        let body = self.body.as_ref()?;
        (body.as_bytes() != request.body).then(|| {
            let other = String::from_utf8_lossy(&request.body);
            format!("{expected}: body {body} expected, got {other}")
        })
    }

    fn head(&self) -> String {
        let mut lines = vec![format!("HTTP/1.1 {} ", self.status)];
        let headers = self.headers.iter();
        lines.extend(headers.map(|(name, value)| format!("{name}: {value}")));
        lines.push(match self.framing {
            Framing::Length(Some(claimed)) => format!("Content-Length: {claimed}"),
            Framing::Length(None) => format!("Content-Length: {}", self.length()),
            Framing::Chunked => "Transfer-Encoding: chunked".to_owned(),
            Framing::Close => "Connection: close".to_owned(),
            Framing::Raw => return String::new(),
        });
        lines.join("\r\n") + "\r\n\r\n"
    }

    fn length(&self) -> usize {
        let lengths = self.pieces.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::Wait(_) => 0,
        });
        lengths.sum()
    }

    fn play(&self, stream: &mut impl Write) -> io::Result<()> {
        stream.write_all(self.head().as_bytes())?;
        stream.flush()?;
        for piece in &self.pieces {
            match (piece, self.framing) {
                (Piece::Wait(gate), _) => {
                    let _ = gate.recv_timeout(PATIENCE);
                }
                // An empty chunk would end the body.
                (Piece::Bytes(bytes), Framing::Chunked) if bytes.is_empty() => {}
                (Piece::Bytes(bytes), Framing::Chunked) => wire::write_chunk(stream, bytes)?,
                (Piece::Bytes(bytes), _) => {
                    stream.write_all(bytes)?;
                    stream.flush()?;
                }
            }
        }
        match (&self.end, self.framing) {
            (End::Whole, Framing::Chunked) => wire::write_chunk(stream, b""),
            _ => Ok(()),
        }
    }
}

/// What the threads of one server share.
#[derive(Default)]
struct Stage {
    play: Mutex<Play>,
    /// A request came, or the play is over.
    news: Condvar,
}

#[derive(Default)]
struct Play {
    script: VecDeque<Exchange>,
    any_order: bool,
    seen: Vec<Seen>,
    faults: Vec<String>,
    open: HashMap<usize, TcpStream>,
    over: bool,
}

impl Stage {
    fn play(&self) -> MutexGuard<'_, Play> {
        self.play.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[track_caller]
    fn review(&self) {
        let mut play = self.play();
        let mut faults = std::mem::take(&mut play.faults);
        faults.extend(play.script.drain(..).map(|unused| match unused.expect {
            Expect::Request(method, target) => format!("{method} {target} never came"),
            Expect::Connection => "a connection never came".to_owned(),
        }));
        drop(play);
        assert!(faults.is_empty(), "not as scripted: {faults:#?}");
    }

    fn admit(&self, listener: &TcpListener, identity: Option<&Identity>) {
        thread::scope(|threads| {
            for number in 0.. {
                let (stream, _) = listener.accept().expect("a client");
                let mut play = self.play();
                if play.over {
                    return;
                }
                let kept = stream.try_clone().expect("one more handle");
                play.open.insert(number, kept);
                drop(play);
                threads.spawn(move || {
                    // That a client goes in the middle is its own affair.
                    let _ = self.serve(Stream::new(stream, identity), number);
                    self.play().open.remove(&number);
                });
            }
        });
    }

    fn serve(&self, stream: Stream, number: usize) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let ignores = self.play().ignores_connection();
        if let Some(exchange) = ignores {
            return self.answer(&exchange, stream.get_mut(), number);
        }
        while !stream.fill_buf()?.is_empty() {
            let request = if self.play().reads_body() {
                wire::read_request(&mut stream)?
            } else {
                read_head(&mut stream)?
            };
            let Some(request) = request else { break };
            let exchange = self.play().cast(number, request);
            self.news.notify_all();
            let Some(exchange) = exchange else { break };
            self.answer(&exchange, stream.get_mut(), number)?;
            if !matches!(exchange.end, End::Whole) {
                break;
            }
        }
        Ok(())
    }

    fn answer(&self, exchange: &Exchange, stream: &mut Stream, number: usize) -> io::Result<()> {
        exchange.play(stream)?;
        match exchange.end {
            End::Whole => Ok(()),
            End::Fin => stream.close(),
            End::Rst => {
                // The socket is reset when its last handle goes.
                self.play().open.remove(&number);
                SockRef::from(stream.tcp()).set_linger(Some(Duration::ZERO))
            }
            End::Hang => {
                let _over = self.news.wait_while(self.play(), |play| !play.over);
                Ok(())
            }
        }
    }
}

impl Play {
    fn ignores_connection(&mut self) -> Option<Exchange> {
        let Expect::Connection = self.script.front()?.expect else {
            return None;
        };
        self.script.pop_front()
    }

    fn reads_body(&self) -> bool {
        self.script.front().is_none_or(|next| next.reads_body)
    }

    /// Records the request and picks who answers it.
    fn cast(&mut self, connection: usize, request: Request) -> Option<Exchange> {
        let fits = |exchange: &Exchange| exchange.objection(&request).is_none();
        let place = if self.any_order {
            self.script.iter().position(fits).unwrap_or(0)
        } else {
            0
        };
        let fault = match self.script.get(place) {
            Some(exchange) => exchange.objection(&request),
            None => Some(format!(
                "{} {} was not scripted",
                request.method, request.target
            )),
        };
        self.seen.push(Seen {
            connection,
            request,
        });
        if let Some(fault) = fault {
            self.faults.push(fault);
            return None;
        }
        self.script.remove(place)
    }
}

/// A request whose body stays on the wire.
fn read_head(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let (mut head, mut line) = (String::new(), String::new());
    while stream.read_line(&mut line)? > 2 {
        if !line.to_ascii_lowercase().starts_with("content-length:") {
            head += &line;
        }
        line.clear();
    }
    head += "\r\n";
    wire::read_request(&mut head.as_bytes())
}

/// A connection, with or without TLS.
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    fn new(stream: TcpStream, identity: Option<&Identity>) -> Self {
        // So that pieces arrive as pieces.
        stream.set_nodelay(true).expect("a socket");
        let Some(identity) = identity else {
            return Self::Plain(stream);
        };
        let session = ServerConnection::new(Arc::clone(identity)).expect("a good configuration");
        Self::Tls(Box::new(StreamOwned::new(session, stream)))
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref(),
        }
    }

    /// Closes in good manners; the kernel makes it a reset when the client's bytes lie unread.
    fn close(&mut self) -> io::Result<()> {
        if let Self::Tls(tls) = self {
            tls.conn.send_close_notify();
            tls.flush()?;
        }
        self.tcp().shutdown(Shutdown::Write)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}
