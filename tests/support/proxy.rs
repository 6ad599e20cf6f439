//! Proxies that really tunnel: HTTP CONNECT (RFC 9110), SOCKS5 with passwords (RFC 1928, 1929) and
//! `SOCKS4a`. Whatever host is asked for, the tunnel ends on 127.0.0.1, so that a test may use any
//! name and never leaves the machine. They live until the test process ends.

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::wire;

/// A running proxy.
pub struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// One request to the proxy, whether it was granted or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `host:port` as the client put it.
    pub target: String,
    /// `user:password`, when the client gave them.
    pub credentials: Option<String>,
}

/// How a proxy behaves, until `start`.
#[derive(Clone)]
pub struct Rules {
    protocol: Protocol,
    credentials: Option<String>,
    refusal: Option<u16>,
}

#[derive(Clone, Copy)]
enum Protocol {
    Connect,
    Socks4,
    Socks5,
}

impl Rules {
    pub fn http() -> Self {
        Self::of(Protocol::Connect)
    }

    /// SOCKS4, and `SOCKS4a` when a name is asked for.
    pub fn socks4() -> Self {
        Self::of(Protocol::Socks4)
    }

    pub fn socks5() -> Self {
        Self::of(Protocol::Socks5)
    }

    fn of(protocol: Protocol) -> Self {
        Self {
            protocol,
            credentials: None,
            refusal: None,
        }
    }

    /// Only who knows these gets through. Not for SOCKS4, which has no passwords.
    pub fn for_user(mut self, user: &str, password: &str) -> Self {
        self.credentials = Some(format!("{user}:{password}"));
        self
    }

    /// Nobody gets through: an HTTP status, or a SOCKS reply code.
    pub fn refusing(mut self, code: u16) -> Self {
        self.refusal = Some(code);
        self
    }

    pub fn start(self) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let proxy = Proxy {
            address: listener.local_addr().expect("a bound socket"),
            asked: Arc::default(),
        };
        let asked = Arc::clone(&proxy.asked);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (rules, asked) = (self.clone(), Arc::clone(&asked));
                // A client that breaks off is its own affair: what it asked for is recorded.
                thread::spawn(move || rules.serve(client, &asked));
            }
        });
        proxy
    }

    fn serve(&self, mut client: TcpStream, asked: &Mutex<Vec<Asked>>) -> io::Result<()> {
        let record = |one: &Asked| lock(asked).push(one.clone());
        let target = match self.protocol {
            Protocol::Connect => self.answer_connect(&mut client, &record)?,
            Protocol::Socks4 => self.answer_socks4(&mut client, &record)?,
            Protocol::Socks5 => self.answer_socks5(&mut client, &record)?,
        };
        match target {
            Some(target) => tunnel(client, port(&target)),
            None => Ok(()),
        }
    }

    fn answer_connect(
        &self,
        client: &mut TcpStream,
        record: &dyn Fn(&Asked),
    ) -> io::Result<Option<String>> {
        let Some(request) = wire::read_request(&mut BufReader::new(&mut *client))? else {
            return Ok(None);
        };
        let credentials = request.header("proxy-authorization").map(basic);
        let asked = Asked {
            target: request.target,
            credentials,
        };
        record(&asked);
        let status = match self.refusal {
            Some(status) => status,
            None if self.credentials.is_some() && asked.credentials != self.credentials => 407,
            None => 200,
        };
        write!(client, "HTTP/1.1 {status} \r\n\r\n")?;
        Ok((status == 200).then_some(asked.target))
    }

    fn answer_socks4(
        &self,
        client: &mut TcpStream,
        record: &dyn Fn(&Asked),
    ) -> io::Result<Option<String>> {
        let [_version, _connect, high, low, a, b, c, d] = take(client)?;
        let user = until_nul(client)?;
        let host = match [a, b, c, d] {
            [0, 0, 0, last] if last != 0 => until_nul(client)?,
            address => Ipv4Addr::from(address).to_string(),
        };
        let asked = Asked {
            target: format!("{host}:{}", u16::from_be_bytes([high, low])),
            credentials: (!user.is_empty()).then_some(user),
        };
        record(&asked);
        let code = reply(self.refusal.unwrap_or(90));
        client.write_all(&[0, code, 0, 0, 0, 0, 0, 0])?;
        Ok((code == 90).then_some(asked.target))
    }

    fn answer_socks5(
        &self,
        client: &mut TcpStream,
        record: &dyn Fn(&Asked),
    ) -> io::Result<Option<String>> {
        let [_version, methods] = take(client)?;
        let offered = take_vec(client, methods)?;
        let mut asked = Asked::default();
        match &self.credentials {
            Some(_) if !offered.contains(&2) => {
                record(&asked);
                client.write_all(&[5, 0xff])?;
                return Ok(None);
            }
            Some(wanted) => {
                client.write_all(&[5, 2])?;
                let [_version, length] = take(client)?;
                let user = text(take_vec(client, length)?);
                let [length] = take(client)?;
                let password = text(take_vec(client, length)?);
                let given = format!("{user}:{password}");
                let known = given == *wanted;
                asked.credentials = Some(given);
                client.write_all(&[1, u8::from(!known)])?;
                if !known {
                    record(&asked);
                    return Ok(None);
                }
            }
            None => client.write_all(&[5, 0])?,
        }
        let [_version, _connect, _reserved, kind] = take(client)?;
        let host = match kind {
            1 => Ipv4Addr::from(take::<4>(client)?).to_string(),
            4 => format!("[{}]", Ipv6Addr::from(take::<16>(client)?)),
            _ => {
                let [length] = take(client)?;
                text(take_vec(client, length)?)
            }
        };
        let port = u16::from_be_bytes(take(client)?);
        asked.target = format!("{host}:{port}");
        record(&asked);
        let code = reply(self.refusal.unwrap_or(0));
        client.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0])?;
        Ok((code == 0).then_some(asked.target))
    }
}

impl Proxy {
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `127.0.0.1:port`, to be put after `http://` or `socks5://user:password@`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.asked).clone()
    }
}

/// Carries bytes both ways until both sides are done.
fn tunnel(mut client: TcpStream, port: u16) -> io::Result<()> {
    let mut target = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let (mut from_client, mut to_target) = (client.try_clone()?, target.try_clone()?);
    thread::spawn(move || carry(&mut from_client, &mut to_target));
    carry(&mut target, &mut client);
    Ok(())
}

fn carry(from: &mut TcpStream, to: &mut TcpStream) {
    // Either end may break off; the other is told by the end of its input, as a cable would not.
    let _ = io::copy(from, to);
    let _ = to.shutdown(Shutdown::Write);
}

fn port(target: &str) -> u16 {
    let port = target.rsplit(':').next().and_then(|port| port.parse().ok());
    port.expect("a target that ends in a port")
}

fn basic(header: &str) -> String {
    let encoded = header.strip_prefix("Basic ").unwrap_or_default();
    text(BASE64_STANDARD.decode(encoded).expect("base64"))
}

fn reply(code: u16) -> u8 {
    u8::try_from(code).expect("a SOCKS reply is one byte")
}

fn take<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn take_vec(stream: &mut impl Read, length: u8) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn until_nul(stream: &mut impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        match take(stream)? {
            [0] => return Ok(text(bytes)),
            [byte] => bytes.push(byte),
        }
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
