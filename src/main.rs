mod api;
mod error;
mod sse;
mod time;

fn main() {}
