//! Where requests come from: bytes → the text of one request after another → what is to be done.

pub(crate) mod reader;
pub(crate) mod request;
