//! What differs between the servers that run Coze workflows: which call is made, how its answer is
//! read, and what it means. No other room asks which server it is. Does no I/O.

mod coze;
mod site;
mod studio;
#[cfg(test)]
mod tests;

use std::fmt;
use std::mem;
use std::sync::OnceLock;

use crate::coze::call::{Call, Mode, RunRef};
use crate::coze::code::Meaning;
use crate::coze::description::{self, Workflow};
use crate::coze::envelope::Envelope;
use crate::coze::event::{self, Parse};
use crate::coze::fields;
use crate::coze::history::{Poll, Record};
use crate::coze::transcript::Heard;
use crate::error::{Error, Hint, Kind};
use crate::text::Text;

/// One of the servers.
pub(crate) trait Service: fmt::Debug + Sync {
    /// The name that a person can give it.
    fn word(&self) -> &'static str;

    /// Why a request may not have this; nothing where it may.
    fn refuse(&self, _what: &str) -> Option<Error> {
        None
    }

    /// Whether a request has to say which workflow it is about.
    fn has_workflow_ids(&self) -> bool {
        true
    }

    /// Whether a start carries an id of our own making, which is the run's unless the answer names
    /// another.
    fn takes_run_ids(&self) -> bool {
        false
    }

    /// Whether a run that was started so can be watched.
    fn can_watch(&self, _mode: Mode) -> bool {
        true
    }

    /// Starts a run.
    fn start<'a>(&self, mode: Mode, body: &'a str) -> Call<'a> {
        Call::run(mode, body)
    }

    /// Answers the interrupt of a run that was started so.
    fn resume<'a>(&self, _mode: Mode, body: &'a str) -> Call<'a> {
        Call::resume(Mode::Stream, body)
    }

    /// Understands an answer that is no stream; an empty one where it is no JSON object.
    fn envelope<'a>(&self, body: &'a str) -> Envelope<'a> {
        Envelope::parse(body).unwrap_or_default()
    }

    /// Understands the frames of a stream.
    fn events(&self) -> Parse {
        event::parse
    }

    /// Asks for a run's history.
    fn poll(&self, workflow_id: &str, run: &RunRef) -> Call<'static>;

    /// Understands the answer to it.
    fn read_poll(&self, run: &RunRef, status: u16, has_studio_log_id: bool, body: &[u8]) -> Poll;

    /// Asks what a workflow takes.
    fn describe(&self, workflow_id: &str) -> Call<'static> {
        Call::get(format!(
            "/v1/workflows/{workflow_id}?include_input_output=true"
        ))
    }

    /// Understands the answer to it.
    fn read_description(&self, status: u16, body: &str) -> Result<Workflow, Meaning> {
        description::read(&self.envelope(body), status)
    }

    /// What an answer of this code and HTTP status means that names no run. `has_studio_log_id`: below
    /// 500, Coze Studio itself has made it, and no gateway on the way.
    fn meaning(&self, code: Option<i64>, status: u16, has_studio_log_id: bool) -> Meaning;

    /// Whether a text so much as speaks of a run, even where no id can be read out of it.
    fn mentions_run(&self, text: &str) -> bool {
        fields::mentions_run(text)
    }

    /// Whether an answer says that there is no such path.
    fn has_no_such_path(&self, _code: Option<i64>, _status: u16) -> bool {
        false
    }

    /// What to do about a refusal that has no code. `has_words`: it says why.
    fn hint_without_code(&self, _status: u16, _has_words: bool) -> Option<Hint> {
        Some(no_answer_of_coze())
    }

    /// Whether the history has to confirm what a stream told that ended with Done.
    fn confirms_done(&self) -> bool {
        false
    }

    /// The output of a run that its history calls a success: what the stream brought, if that was
    /// all, else what the history holds. Nothing when it can't be had whole.
    fn output(&self, heard: &mut Heard, record: &mut Record) -> Option<Text> {
        if heard.is_whole {
            Some(mem::take(&mut heard.output))
        } else {
            record.output.take()
        }
    }
}

fn no_answer_of_coze() -> Hint {
    Hint::new(
        "check the base URL: the response is not Coze's",
        "请检查服务地址：返回的不是扣子的响应",
    )
}

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceName {
    /// The cloud: api.coze.cn and api.coze.com.
    Coze,
    /// Coze Studio, the server that anybody can run.
    Studio,
    /// A workflow that was deployed as a project, with an address of its own.
    Site,
}

impl ServiceName {
    const ALL: [Self; 3] = [Self::Coze, Self::Studio, Self::Site];

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.word() == word)
    }

    pub(crate) fn word(self) -> &'static str {
        self.service().word()
    }

    /// Where only one service is, by the host's name in lower case.
    pub(crate) fn of_host(host: &str) -> Option<Self> {
        match host {
            "api.coze.cn" | "api.coze.com" => Some(Self::Coze),
            _ => host.ends_with(".coze.site").then_some(Self::Site),
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

    pub(crate) fn service(self) -> &'static dyn Service {
        match self {
            Self::Coze => &coze::Coze,
            Self::Studio => &studio::Studio,
            Self::Site => &site::Site,
        }
    }
}

/// The service that was named; until one is found out, the cloud.
pub(crate) fn of(named: Option<ServiceName>) -> &'static dyn Service {
    named.unwrap_or(ServiceName::Coze).service()
}

/// The service of this process as far as it is known: named by the configuration, or found out once
/// from what the server says. Until then it is taken for the cloud.
#[derive(Debug, Default)]
pub(crate) struct Found(OnceLock<ServiceName>);

impl Found {
    pub(crate) fn new(named: Option<ServiceName>) -> Self {
        Self(named.map(OnceLock::from).unwrap_or_default())
    }

    pub(crate) fn service(&self) -> &'static dyn Service {
        of(self.0.get().copied())
    }

    /// Takes the log id of an answer for a sign. A gateway may send one on with a fault of its own, which
    /// is one from 500 on.
    pub(crate) fn learn(&self, x_log_id: Option<&str>, status: u16) {
        if is_studio_log_id(x_log_id) && status < 500 {
            self.0.get_or_init(|| ServiceName::Studio);
        }
    }
}

/// Whether it is a log id of Coze Studio: only it sends one under that name, a uuid.
pub(crate) fn is_studio_log_id(x_log_id: Option<&str>) -> bool {
    x_log_id.is_some_and(|text| {
        let is_plain = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
        text.bytes().all(is_plain) && text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
    })
}
