mod api;
mod error;
mod time;

fn main() {}
