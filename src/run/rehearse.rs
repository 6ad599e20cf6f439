//! `--check`: which configuration was found where, and whether anybody answers. Starts nothing, and
//! does not send the key.

use serde::Serialize;

use super::unreachable;
use crate::config::{Config, Origin};
use crate::coze::call::Call;
use crate::error::{Error, Kind};
use crate::http::{Http, Limits};
use crate::time::Clock;

/// What `--check` found. It is no response: it has no `status`, and says nothing of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    reachable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Error>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    milliseconds: u128,
    key: &'static str,
    config: &'a [Origin],
    warnings: &'a [String],
}

impl Report<'_> {
    pub(crate) fn exit_code(&self) -> u8 {
        let kind = self.error.as_ref().map(|error| error.kind);
        kind.map_or(0, Kind::exit_code)
    }
}

/// One GET without the key. Any HTTP answer will do.
pub(crate) fn connection<'a>(config: &'a Config, http: &dyn Http, clock: &dyn Clock) -> Report<'a> {
    let limits = Limits {
        total: config.timeout,
        idle: config.idle_timeout,
    };
    let before = clock.now();
    let answered = http.call(&Call::check(), limits);
    let milliseconds = clock.now().saturating_sub(before).as_millis();
    Report {
        reachable: answered.is_ok(),
        error: answered.as_ref().err().map(unreachable),
        http_status: answered.ok().map(|response| response.status),
        milliseconds,
        key: "not tried",
        config: &config.origins,
        warnings: &config.warnings,
    }
}
