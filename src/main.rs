mod api;
mod code;
mod error;
mod event;
mod field;
mod history;
mod reader;
mod request;
mod sse;
mod time;
mod transcript;

fn main() {}
