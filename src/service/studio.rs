//! Coze Studio, the open-source server: its calls, its refusals, and its history, which has to
//! confirm every Done, for a sub-workflow's End speaks as the run's.
//! Its codes are in `coze::code`, a run that waits without a status is in `run::watch`.
//! <https://github.com/coze-dev/coze-studio>, `backend/api/handler` and `backend/application/workflow`.

use super::Service;
use crate::coze::call::{Call, RunRef};
use crate::coze::code::{self, Meaning};
use crate::coze::description::{self, Workflow};
use crate::coze::fields;
use crate::coze::history::{self, Dialect, Poll, Record};
use crate::coze::transcript::Heard;
use crate::error::Error;
use crate::text::Text;

#[derive(Debug)]
pub(super) struct Studio;

/// The workflow is there, and is no chatflow.
const NO_CHATFLOW: i64 = 777_777_780;

impl Service for Studio {
    fn word(&self) -> &'static str {
        "studio"
    }

    fn poll(&self, workflow_id: &str, run: &RunRef) -> Call<'static> {
        let execute_id = run.execute_id();
        Call::get(format!(
            "/v1/workflow/get_run_history?workflow_id={workflow_id}&execute_id={execute_id}"
        ))
    }

    fn read_poll(&self, run: &RunRef, status: u16, has_studio_log_id: bool, body: &[u8]) -> Poll {
        const DIALECT: Dialect = Dialect {
            absent: code::STUDIO_NO_SUCH_RUN,
            meaning: |code, status| Studio.meaning(code, status, true),
            // Older ones have none.
            has_no_history: |code, status| {
                Studio.has_no_such_path(code, status) || code.is_none() && status == 404
            },
            // It is always a map, so that nothing else is what it wrote.
            unpack: |output, record| {
                let is_map = fields::entries(output).is_some();
                record.output = is_map.then(|| Text::from_plain(output));
            },
        };
        match history::read(&DIALECT, run, status, body) {
            // Anything on the way can say 401 or 404.
            Poll::NoHistory if !has_studio_log_id => Poll::Unclear(Error::unknown(format!(
                "HTTP {status}, which Coze Studio did not sign (see --service)"
            ))),
            poll => poll,
        }
    }

    /// It tells only what chatflows take, and older ones do not tell that.
    fn read_description(&self, status: u16, body: &str) -> Result<Workflow, Meaning> {
        let envelope = self.envelope(body);
        match envelope.code() {
            Some(NO_CHATFLOW) => Ok(Workflow::default()),
            code if self.has_no_such_path(code, status) => Ok(Workflow::default()),
            _ => description::read(&envelope, status),
        }
    }

    /// The path belongs to the pages, which want a login.
    fn has_no_such_path(&self, code: Option<i64>, status: u16) -> bool {
        status == 401 && code == Some(401)
    }

    /// Its handlers answer in JSON only before anything was started.
    fn meaning(&self, code: Option<i64>, status: u16, has_studio_log_id: bool) -> Meaning {
        let is_answer = has_studio_log_id && code.is_some() && status < 500 && status != 408;
        match code::meaning(code, status) {
            Meaning::Unclear if is_answer => Meaning::Refused,
            meaning => meaning,
        }
    }

    fn confirms_done(&self) -> bool {
        true
    }

    /// The stream's text when the history holds the same; else the history's, in the form that the
    /// stream used. The history has a map in text mode too, and only the stream tells the modes apart.
    fn output(&self, heard: &mut Heard, record: &mut Record) -> Option<Text> {
        let map = record.output.take()?;
        if heard.maps().any(|piece| piece.plain() == map.plain()) {
            return Some(map);
        }
        let Some(text) = only_text(&map.plain()) else {
            return Some(map);
        };
        if heard.is_done || heard.end_began(&text) {
            Some(text)
        } else {
            Some(map)
        }
    }
}

/// The text of a map that a text-mode End node may have left: `{"output":TEXT}`, or `{}` for none.
fn only_text(map: &str) -> Option<Text> {
    match &fields::entries(map)?[..] {
        [] => Some(Text::default()),
        [(key, value)] if key == "output" => Text::from_json(value.get()),
        _ => None,
    }
}
