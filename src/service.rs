//! What differs between the servers that run Coze workflows: which call is made, how its answer is
//! read, and what it means. No other room asks which server it is. Does no I/O.

mod coze;
mod studio;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::OnceLock;

use crate::coze::call::{Call, Mode, RunRef};
use crate::coze::code::Meaning;
use crate::coze::description::{self, Workflow};
use crate::coze::envelope::Envelope;
use crate::coze::history::{Poll, Record};
use crate::coze::transcript::Heard;
use crate::error::{Error, Kind};
use crate::text::Text;

/// One of the servers.
pub(crate) trait Service: fmt::Debug + Sync {
    fn name(&self) -> ServiceName;

    /// Starts a run.
    fn start<'a>(&self, mode: Mode, body: &'a str) -> Call<'a> {
        match mode {
            Mode::Stream => Call::stream_run(body),
            Mode::Async => Call::run(body),
        }
    }

    /// Answers the interrupt of a run that was started so.
    fn resume<'a>(&self, mode: Mode, body: &'a str) -> Call<'a>;

    /// Asks for a run's history.
    fn poll(&self, run: &RunRef) -> Call<'static>;

    /// Understands the answer to it.
    fn read_poll(&self, run: &RunRef, status: u16, is_signed: bool, body: &[u8]) -> Poll;

    /// Asks what a workflow takes.
    fn describe(&self, workflow_id: &str) -> Call<'static> {
        Call::describe(workflow_id)
    }

    /// Understands the answer to it.
    fn read_description(&self, status: u16, envelope: &Envelope<'_>) -> Result<Workflow, Meaning> {
        description::read(envelope, status)
    }

    /// What an answer of this code and HTTP status means that names no run. `is_signed`: it has the
    /// log id of the service, so that no gateway on the way has made it up.
    fn meaning(&self, code: Option<i64>, status: u16, is_signed: bool) -> Meaning;

    /// Whether the history has to confirm what a stream told that ended with Done.
    fn confirms_done(&self) -> bool;

    /// The output of a run that its history calls a success; nothing when it can't be had whole.
    fn output(&self, heard: &Heard, record: &mut Record) -> Option<Text>;
}

/// A kind of server, by the name that a person can give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceName {
    /// The cloud: api.coze.cn and api.coze.com.
    Coze,
    /// Coze Studio, the server that anybody can run.
    Studio,
}

impl ServiceName {
    const ALL: [Self; 2] = [Self::Coze, Self::Studio];

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.word() == word)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Coze => "coze",
            Self::Studio => "studio",
        }
    }

    /// The error about a word in `place` that names no service. The word is not repeated: it may be
    /// a secret in the wrong place.
    pub(crate) fn unknown(kind: Kind, place: &str) -> Error {
        let known = Self::ALL.map(Self::word).join(", ");
        let message = format!("the service in {place} is none of {known}");
        Error::new(kind, message).hint(
            "leave it out, and what the server says decides",
            "也可不设置，由服务器的响应判断",
        )
    }

    fn service(self) -> &'static dyn Service {
        match self {
            Self::Coze => &coze::Coze,
            Self::Studio => &studio::Studio,
        }
    }
}

/// The service of this process: told by the configuration, or found out once from what the server
/// says. Until then it is taken for the cloud.
#[derive(Debug, Default)]
pub(crate) struct Found(OnceLock<ServiceName>);

impl Found {
    pub(crate) fn new(told: Option<ServiceName>) -> Self {
        Self(told.map(OnceLock::from).unwrap_or_default())
    }

    pub(crate) fn service(&self) -> &'static dyn Service {
        self.0.get().unwrap_or(&ServiceName::Coze).service()
    }

    /// Takes the signature of an answer for a sign. A gateway may sign what it makes up itself.
    pub(crate) fn learn(&self, x_log_id: Option<&str>, status: u16) {
        if is_signature(x_log_id) && status < 500 {
            self.0.get_or_init(|| ServiceName::Studio);
        }
    }
}

/// Whether an answer was signed by Coze Studio itself: only it sends a log id under that name, a uuid.
pub(crate) fn is_signature(x_log_id: Option<&str>) -> bool {
    x_log_id.is_some_and(is_uuid)
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').map(str::len).collect();
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    groups == [8, 4, 4, 4, 12] && is_plain
}
