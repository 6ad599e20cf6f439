mod api;
mod code;
mod envelope;
mod error;
mod event;
mod field;
mod history;
mod reader;
mod request;
mod response;
mod run;
mod sse;
mod time;
mod transcript;

fn main() {}
