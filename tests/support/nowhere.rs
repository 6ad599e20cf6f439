//! An address where nobody listens, and where no other test's server will: its port stays taken.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::LazyLock;

use socket2::{Domain, Socket, Type};

/// The same for every test of a process.
pub fn nowhere() -> &'static Nowhere {
    static NOWHERE: LazyLock<Nowhere> = LazyLock::new(Nowhere::new);
    &NOWHERE
}

/// A socket that is bound and does not listen.
#[derive(Debug)]
pub struct Nowhere(Socket);

impl Nowhere {
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        // A daemon that sets this too, as most do, may still be given the port.
        socket.set_reuse_address(true).expect("a new socket");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).expect("a free port");
        Self(socket)
    }

    pub fn address(&self) -> SocketAddr {
        let address = self.0.local_addr().expect("a bound socket");
        address.as_socket().expect("an IPv4 address")
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// From now on somebody listens there.
    pub fn listen(self) -> TcpListener {
        self.0.listen(128).expect("a port of our own");
        self.0.into()
    }
}
