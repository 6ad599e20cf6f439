//! What the tests and the demo share. Every target uses some of it, none uses all.
#![allow(dead_code, unreachable_pub)]

pub mod coze;
pub mod nowhere;
pub mod oracle;
pub mod program;
pub mod proxy;
pub mod server;
pub mod session;
pub mod stream;
pub mod tally;
pub mod terminal;
pub mod tls;
pub mod wire;
