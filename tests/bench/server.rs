//! The stand-in for Coze in a process of its own, so that its time and memory are nobody else's:
//! `Server` starts this same program again, as `serve`, and ends it when dropped.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::Outcome;
use crate::support::coze::{Acceptor, Coze, Options, Wire};
use crate::support::tls::Authority;

/// What the stand-in is to be.
pub(crate) struct StandIn {
    tls: bool,
    messages: usize,
    bytes: usize,
    delay: Duration,
}

impl StandIn {
    pub(crate) fn tiny(tls: bool) -> Self {
        Self {
            tls,
            ..Self::bulk(0, 0)
        }
    }

    /// Its `BULK` streams so many messages of so many bytes.
    pub(crate) fn bulk(messages: usize, bytes: usize) -> Self {
        Self {
            tls: false,
            messages,
            bytes,
            delay: Duration::ZERO,
        }
    }

    /// Its `CLOCK` streams so many messages, 2 ms apart.
    pub(crate) fn clock(messages: usize) -> Self {
        Self {
            delay: Duration::from_millis(2),
            ..Self::bulk(messages, 0)
        }
    }
}

pub(crate) struct Server {
    child: Child,
    answers: BufReader<ChildStdout>,
    pub(crate) url: String,
    /// The authority that it is certified by, for TLS.
    pub(crate) authority: Option<PathBuf>,
    _directory: TempDir,
}

impl Server {
    pub(crate) fn start(stand_in: &StandIn) -> Outcome<Self> {
        let directory = TempDir::new()?;
        let pem = directory.path().join("authority.pem");
        let mut child = Command::new(env::current_exe()?)
            .arg("serve")
            .arg(stand_in.messages.to_string())
            .arg(stand_in.bytes.to_string())
            .arg(stand_in.delay.as_millis().to_string())
            .args(stand_in.tls.then_some(&pem))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let answers = child.stdout.take().ok_or("no stdout")?;
        let mut server = Self {
            child,
            answers: BufReader::new(answers),
            url: String::new(),
            authority: stand_in.tls.then_some(pem),
            _directory: directory,
        };
        server.url = server.answer()?;
        Ok(server)
    }

    /// How many connections it has taken since it was last asked.
    pub(crate) fn connections(&mut self) -> Outcome<u64> {
        let stdin = self.child.stdin.as_mut().ok_or("no stdin")?;
        stdin.write_all(b"\n")?;
        Ok(self.answer()?.parse()?)
    }

    fn answer(&mut self) -> Outcome<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        match line.trim_end() {
            "" => Err("the stand-in did not start".into()),
            answer => Ok(answer.to_owned()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The other side: says its URL, then its connections whenever a line comes, until stdin ends.
pub(crate) fn serve(arguments: &[&str]) -> Outcome<()> {
    let [messages, bytes, delay, pem @ ..] = arguments else {
        return Err("usage: bench serve MESSAGES BYTES DELAY [FILE]".into());
    };
    let acceptor = pem.first().map(|pem| acceptor(Path::new(pem)));
    let coze = Coze::start(Options {
        bulk: (messages.parse()?, bytes.parse()?),
        delay: Duration::from_millis(delay.parse()?),
        acceptor: acceptor.transpose()?,
        ..Options::default()
    });
    println!("{}", coze.url());
    let mut told = 0;
    for line in io::stdin().lines() {
        line?;
        let connections = coze.counts().connections;
        println!("{}", connections - told);
        told = connections;
    }
    Ok(())
}

fn acceptor(pem: &Path) -> Outcome<Acceptor> {
    let authority = Authority::new();
    fs::write(pem, authority.pem())?;
    let identity = authority.local();
    Ok(Arc::new(move |stream: TcpStream| {
        let connection = ServerConnection::new(Arc::clone(&identity)).map_err(io::Error::other)?;
        Ok(Box::new(StreamOwned::new(connection, stream)) as Box<dyn Wire>)
    }))
}
