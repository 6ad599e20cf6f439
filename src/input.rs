//! Where requests come from: bytes → the text of one request after another → what is to be done.

mod address;
pub(crate) mod answer;
mod entries;
pub(crate) mod fingerprint;
pub(crate) mod object;
pub(crate) mod params;
pub(crate) mod reader;
pub(crate) mod request;
mod resume;
pub(crate) mod source;
