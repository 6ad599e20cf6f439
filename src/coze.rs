//! Coze's words: what is sent, what comes back, and what it means once folded. Pure: bytes or values
//! in, values out; no room in here does I/O. <https://docs.coze.cn/developer_guides>.

pub(crate) mod call;
pub(crate) mod code;
pub(crate) mod description;
pub(crate) mod envelope;
pub(crate) mod event;
pub(crate) mod fields;
pub(crate) mod history;
pub(crate) mod transcript;
