mod api;
mod error;
mod event;
mod field;
mod sse;
mod time;
mod transcript;

fn main() {}
