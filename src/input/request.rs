//! The text of one request → what is to be done: run, watch or resume, each with exactly what its
//! call needs. `parameters`, `ext` and `id` pass through byte for byte. Whatever could cost a run by
//! mistake (a misspelt key, a key twice, an empty `execute_id`) is refused here, unsent.
//! Bodies: <https://docs.coze.cn/developer_guides/workflow_stream_run> and `…/workflow_stream_resume`.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::value::RawValue;

use crate::batch::fingerprint::Fingerprint;
use crate::coze::call::Mode;
use crate::coze::fields;
use crate::error::{Error, nearest};

/// The keys of a run, all of which Coze knows.
const RUN_KEYS: [&str; 8] = [
    "workflow_id",
    "parameters",
    "bot_id",
    "app_id",
    "ext",
    "workflow_version",
    "connector_id",
    "is_async",
];

/// What the command line says about requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// `--allow-unknown-fields`: forward keys of a run that we don't know.
    pub(crate) allow_unknown_fields: bool,
    /// `--async`: start every run in the background.
    pub(crate) asynchronous: bool,
    /// `--no-wait`: refuse what can only be waited for.
    pub(crate) no_wait: bool,
}

/// One request, as far as it could be understood.
#[derive(Debug)]
pub(crate) struct Request {
    /// The caller's own name for it, any JSON value, on one line.
    pub(crate) id: Option<Box<RawValue>>,
    /// For the response: feeding it back needs it.
    pub(crate) workflow_id: Option<String>,
    pub(crate) task: Result<Task, Error>,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Start a run and stream it.
    Stream(Start),
    /// Start a run in the background and watch it.
    Background(Start),
    /// Look at a run until it ends.
    Watch(Watch),
    /// Answer an interrupt.
    Resume(Resume),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) workflow_id: String,
    /// The body to send.
    pub(crate) body: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Watch {
    pub(crate) workflow_id: String,
    pub(crate) execute_id: String,
    /// From the response that is fed back, when it knew.
    pub(crate) mode: Option<Mode>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resume {
    pub(crate) workflow_id: String,
    /// The run that waits: the first half of `event_id`, or the response's `execute_id`.
    pub(crate) execute_id: Option<String>,
    pub(crate) event_id: String,
    pub(crate) mode: Mode,
    /// The body to send.
    pub(crate) body: String,
}

impl Task {
    /// The same for what asks the same: `id` does not count, nor whether a run is started in the
    /// background, which decides how it is fetched and not what it is.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Stream(start) => Fingerprint::of(&["run", without(&start.body, "}")]),
            Self::Background(start) => {
                Fingerprint::of(&["run", without(&start.body, IN_BACKGROUND)])
            }
            Self::Watch(watch) => {
                Fingerprint::of(&["watch", &watch.workflow_id, &watch.execute_id])
            }
            Self::Resume(resume) => Fingerprint::of(&["resume", &resume.body]),
        }
    }
}

/// How the body of a background run ends.
const IN_BACKGROUND: &str = r#","is_async":true}"#;

fn without<'a>(body: &'a str, end: &str) -> &'a str {
    body.strip_suffix(end).unwrap_or(body)
}

impl Request {
    /// Understands the text of one JSON object.
    pub(crate) fn parse(text: &str, manner: Manner) -> Self {
        let entries = match Entries::parse(text) {
            Ok(entries) => entries,
            Err(error) => return Self::refused(error),
        };
        let workflow_id = entries.id("workflow_id");
        Self {
            id: entries.value("id").map(|id| fields::one_line(id.into())),
            workflow_id: workflow_id.as_ref().ok().cloned().flatten(),
            task: entries.task(manner),
        }
    }

    /// A request of which nothing could be understood.
    pub(crate) fn refused(error: Error) -> Self {
        Self {
            id: None,
            workflow_id: None,
            task: Err(error),
        }
    }
}

/// The top-level keys with the text of their values, in order, none twice.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Entries<'a> {
    fn parse(text: &'a str) -> Result<Self, Error> {
        let entries = fields::entries(text)
            .ok_or_else(|| Error::usage("a request is a JSON object with plain keys"))?;
        let mut before = HashSet::new();
        for (key, _) in &entries {
            if !before.insert(key) {
                let sentence = format!("the key {key:?} stands twice");
                return Err(Error::usage(sentence).hint(
                    "which one is meant, nobody can tell",
                    "无法判断以哪一个为准",
                ));
            }
        }
        Ok(Self(entries))
    }

    fn task(&self, manner: Manner) -> Result<Task, Error> {
        let workflow_id = self.id("workflow_id");
        if self.has("resume_data") {
            let task = self.resume(workflow_id?, manner)?;
            return Ok(Task::Resume(task));
        }
        if self.has("execute_id") {
            return self.watch(workflow_id?).map(Task::Watch);
        }
        self.check_run_keys(manner)?;
        self.run(workflow_id?, manner)
    }

    fn run(&self, workflow_id: Option<String>, manner: Manner) -> Result<Task, Error> {
        let workflow_id = workflow_id.ok_or_else(missing_workflow_id)?;
        if self.value("bot_id").is_some() && self.value("app_id").is_some() {
            return Err(Error::usage("bot_id and app_id can't stand together")
                .hint("leave one of them out", "请去掉其中一个"));
        }
        let background = manner.asynchronous || self.boolean("is_async")?;
        if manner.no_wait && !background {
            return Err(
                Error::usage("--no-wait can't be used on a streamed run").hint(
                    "start it in the background: --async",
                    "请在后台运行：--async",
                ),
            );
        }
        let body = self.run_body(&workflow_id, background)?;
        let start = Start { workflow_id, body };
        Ok(match background {
            true => Task::Background(start),
            false => Task::Stream(start),
        })
    }

    fn run_body(&self, workflow_id: &str, background: bool) -> Result<String, Error> {
        let mut body = Object::new();
        body.string("workflow_id", workflow_id);
        for (key, value) in &self.0 {
            match key.as_str() {
                "workflow_id" | "is_async" | "id" => {}
                "bot_id" | "app_id" | "connector_id" => {
                    if let Some(id) = self.id(key)? {
                        body.string(key, &id);
                    }
                }
                "workflow_version" => {
                    if let Some(version) = self.string(key)? {
                        body.string(key, &version);
                    }
                }
                "ext" if !matches!(value.get().as_bytes(), [b'{', ..] | b"null") => {
                    return Err(Error::usage("ext must be an object")
                        .hint(r#"such as {"user_id":"…"}"#, r#"例如 {"user_id":"…"}"#));
                }
                _ => body.raw(key, value.get()),
            }
        }
        if background {
            body.raw("is_async", "true");
        }
        Ok(body.finish())
    }

    /// An unknown key of a run may be a misspelt `parameters`, and the run would be paid for.
    fn check_run_keys(&self, manner: Manner) -> Result<(), Error> {
        let known = |key: &str| key == "id" || RUN_KEYS.contains(&key);
        let unknown = self.0.iter().find(|(key, _)| !known(key));
        let Some((key, _)) = unknown.filter(|_| !manner.allow_unknown_fields) else {
            return Ok(());
        };
        if self.has("status") && self.has("debug_url") {
            return Err(
                Error::usage("this is a response without its execute_id").hint(
                    "look at Coze before running it again",
                    "重新运行之前，请先到扣子上查看",
                ),
            );
        }
        let error = Error::usage(format!("unknown key {key:?} in a run"));
        Err(match nearest(key, &RUN_KEYS) {
            Some(near) => error.hint(
                format!("did you mean {near:?}?"),
                format!("您是想写 {near:?} 吗？"),
            ),
            None => error.hint(
                "a workflow's inputs belong in parameters; to forward the key all the same: \
                 --allow-unknown-fields",
                "工作流的输入应放在 parameters 中；若确要转发这个键：--allow-unknown-fields",
            ),
        })
    }

    fn watch(&self, workflow_id: Option<String>) -> Result<Watch, Error> {
        let misspelt = |(key, _): &&(String, _)| nearest(key, &["resume_data"]).is_some();
        if let Some((key, _)) = self.0.iter().find(misspelt) {
            let error = Error::usage(format!("unknown key {key:?} beside execute_id"));
            return Err(error.hint(
                "did you mean \"resume_data\"?",
                "您是想写 \"resume_data\" 吗？",
            ));
        }
        self.refuse_run_keys("execute_id")?;
        let interrupt = self.interrupt()?;
        if interrupt
            .as_ref()
            .is_some_and(|inner| inner.has("resume_data"))
        {
            let error = Error::usage("resume_data stands inside interrupt");
            return Err(error.hint(
                "it belongs beside interrupt: jq -c '. + {resume_data: \"…\"}'",
                "它应与 interrupt 并列：jq -c '. + {resume_data: \"…\"}'",
            ));
        }
        let execute_id = self.id("execute_id")?.ok_or_else(|| {
            let never_started = self.value("status").map(RawValue::get) == Some("\"Fail\"");
            let error = Error::usage("execute_id is empty: there is nothing to watch");
            match never_started {
                true => error.hint(
                    "a response is never run again; send the request itself",
                    "响应不会被重新运行；请发送原来的请求",
                ),
                false => error.hint(
                    "the run may have been started; look at Coze before running it again",
                    "可能已经开始运行；重新运行之前，请先到扣子上查看",
                ),
            }
        })?;
        Ok(Watch {
            workflow_id: workflow_id.ok_or_else(missing_workflow_id)?,
            execute_id,
            mode: interrupt.and_then(|interrupt| interrupt.mode()),
        })
    }

    fn resume(&self, workflow_id: Option<String>, manner: Manner) -> Result<Resume, Error> {
        self.refuse_run_keys("resume_data")?;
        let workflow_id = workflow_id.ok_or_else(missing_workflow_id)?;
        let interrupt = self.interrupt()?;
        let (event_id, interrupt_type) = match &interrupt {
            Some(inner) if !self.has("event_id") => {
                (inner.string("event_id")?, inner.value("type"))
            }
            _ => (self.string("event_id")?, self.value("interrupt_type")),
        };
        let incomplete = || {
            Error::usage("resume_data needs the interrupt that it answers").hint(
                "give event_id and interrupt_type, or the whole response with its interrupt",
                "请给出 event_id 和 interrupt_type，或带有 interrupt 的整个响应",
            )
        };
        let event_id = event_id
            .filter(|id| !id.is_empty())
            .ok_or_else(incomplete)?;
        let interrupt_type: i64 =
            fields::number(interrupt_type.map(Into::into)).ok_or_else(incomplete)?;
        let mode = interrupt
            .and_then(|interrupt| interrupt.mode())
            .unwrap_or(Mode::Stream);
        if manner.no_wait && mode == Mode::Stream {
            return Err(Error::usage(
                "--no-wait can't be used on a resume that is streamed",
            ));
        }
        let mut body = Object::new();
        body.string("workflow_id", &workflow_id);
        body.string("event_id", &event_id);
        body.raw("interrupt_type", &interrupt_type.to_string());
        body.string("resume_data", &self.resume_data()?);
        let execute_id = fields::execute_id_of_event(&event_id).map(str::to_owned);
        Ok(Resume {
            workflow_id,
            execute_id: execute_id.or(self.id("execute_id").ok().flatten()),
            event_id,
            mode,
            body: body.finish(),
        })
    }

    /// A string, or an object that is sent as its text.
    fn resume_data(&self) -> Result<String, Error> {
        let raw = self.value("resume_data").map_or("", RawValue::get);
        if raw.starts_with('{') {
            return Ok(raw.to_owned());
        }
        self.string("resume_data")?
            .ok_or_else(|| Error::usage("resume_data must be a string or an object"))
    }

    fn interrupt(&self) -> Result<Option<Entries<'a>>, Error> {
        let Some(raw) = self.value("interrupt") else {
            return Ok(None);
        };
        match Self::parse(raw.get()) {
            Ok(entries) => Ok(Some(entries)),
            Err(_) => Err(Error::usage("interrupt must be the object of a response")),
        }
    }

    fn mode(&self) -> Option<Mode> {
        let word = self.string("mode").ok()??;
        [Mode::Stream, Mode::Async]
            .into_iter()
            .find(|mode| mode.word() == word)
    }

    /// What only a run has makes a watch or resume ambiguous: it may have been meant as a run.
    fn refuse_run_keys(&self, key: &str) -> Result<(), Error> {
        let run_only = &RUN_KEYS[1..];
        match self
            .0
            .iter()
            .find(|(other, _)| run_only.contains(&other.as_str()))
        {
            None => Ok(()),
            Some((other, _)) => Err(Error::usage(format!(
                "{key} and {other} can't stand together"
            ))
            .hint(
                format!("a run has no {key}; a request that has it starts nothing"),
                format!("运行请求没有 {key}；带有它的请求不会开始运行"),
            )),
        }
    }

    fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(other, _)| other == key)
    }

    /// The text of a value; `null` counts as absent.
    fn value(&self, key: &str) -> Option<&'a RawValue> {
        let (_, value) = self.0.iter().find(|(other, _)| other == key)?;
        (value.get() != "null").then_some(*value)
    }

    /// An id: a string, or an integer literal taken digit for digit, because ids exceed 2^53.
    /// Absent when it is not there, `null` or empty.
    fn id(&self, key: &str) -> Result<Option<String>, Error> {
        let Some(raw) = self.value(key) else {
            return Ok(None);
        };
        let integer = raw.get().bytes().all(|byte| byte.is_ascii_digit());
        let text = match raw.get().starts_with('"') || integer {
            true => fields::text(Some(raw.into())),
            false => None,
        };
        let Some(text) = text else {
            return Err(Error::usage(format!(
                "{key} must be a string or an integer"
            )));
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !text.bytes().all(plain) {
            return Err(Error::usage(format!(
                "{key} may hold only letters, digits, _ and -"
            )));
        }
        Ok(Some(text.into_owned()).filter(|text| !text.is_empty()))
    }

    fn string(&self, key: &str) -> Result<Option<String>, Error> {
        self.value(key)
            .map(|raw| serde_json::from_str(raw.get()))
            .transpose()
            .map_err(|_| Error::usage(format!("{key} must be a string")))
    }

    fn boolean(&self, key: &str) -> Result<bool, Error> {
        match self.value(key).map(RawValue::get) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Error::usage(format!("{key} must be true or false"))),
        }
    }
}

fn missing_workflow_id() -> Error {
    Error::usage("the request has no workflow_id").hint(
        "it is the number behind workflow_id= in the address of the workflow's page",
        "它是工作流页面地址中 workflow_id= 后面的数字",
    )
}

/// A JSON object being written.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self(String::from("{"))
    }

    fn raw(&mut self, key: &str, json: &str) {
        let comma = if self.0.len() > 1 { "," } else { "" };
        let key = RawString(key);
        write!(self.0, "{comma}{key}:{json}").expect("a string takes all");
    }

    fn string(&mut self, key: &str, text: &str) {
        self.raw(key, &RawString(text).to_string());
    }

    fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// A text as a JSON string.
struct RawString<'a>(&'a str);

impl std::fmt::Display for RawString<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self.0).map_err(|_| std::fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Request {
        Request::parse(text, Manner::default())
    }

    #[track_caller]
    fn body(text: &str) -> String {
        match parse(text).task.unwrap() {
            Task::Stream(start) | Task::Background(start) => start.body,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn refused(text: &str, sentence: &str) {
        let error = parse(text).task.unwrap_err();
        assert_eq!(error.to_string(), sentence);
    }

    #[test]
    fn parameters_and_ext_are_forwarded_byte_for_byte() {
        let values = r#"{"b":1e2,"a":12345678901234567890,"a":"\u4f60\/",  "c":-0.0,"d":[ 1 ]}"#;
        assert_eq!(
            body(&format!(
                r#"{{"ext":{values},"parameters":{values},"workflow_id":"7"}}"#
            )),
            format!(r#"{{"workflow_id":"7","ext":{values},"parameters":{values}}}"#)
        );
        assert_eq!(
            body("{\"workflow_id\":\"7\",\"parameters\":[\n1]}"),
            "{\"workflow_id\":\"7\",\"parameters\":[\n1]}"
        );
    }

    #[test]
    fn ids_may_be_integers_and_are_taken_digit_for_digit() {
        assert_eq!(
            body(r#"{"workflow_id":7550000000000000001,"bot_id":18446744073709551617}"#),
            r#"{"workflow_id":"7550000000000000001","bot_id":"18446744073709551617"}"#
        );
        assert_eq!(
            body(r#"{"workflow_id":"a_B-9"}"#),
            r#"{"workflow_id":"a_B-9"}"#
        );
        refused(
            r#"{"workflow_id":7.5}"#,
            "workflow_id must be a string or an integer",
        );
        refused(
            r#"{"workflow_id":1e5}"#,
            "workflow_id must be a string or an integer",
        );
        refused(
            r#"{"workflow_id":-7}"#,
            "workflow_id must be a string or an integer",
        );
        refused(
            r#"{"workflow_id":true}"#,
            "workflow_id must be a string or an integer",
        );
        refused(
            r#"{"workflow_id":"7/8"}"#,
            "workflow_id may hold only letters, digits, _ and -",
        );
    }

    #[test]
    fn the_callers_id_comes_back_and_is_not_sent() {
        let request = parse("{\"id\":{\"row\":\n 12345678901234567890},\"workflow_id\":\"7\"}");
        assert_eq!(
            request.id.unwrap().get(),
            "{\"row\":  12345678901234567890}"
        );
        assert!(
            matches!(request.task, Ok(Task::Stream(start)) if start.body == r#"{"workflow_id":"7"}"#)
        );
    }

    #[test]
    fn a_refused_request_still_gives_its_id_and_workflow() {
        let request = parse(r#"{"id":3,"workflow_id":"7","parameter":{}}"#);
        assert_eq!(request.id.unwrap().get(), "3");
        assert_eq!(request.workflow_id.as_deref(), Some("7"));
        assert!(request.task.is_err());
    }

    #[test]
    fn is_async_starts_in_the_background() {
        let request = parse(r#"{"workflow_id":"7","is_async":true}"#);
        assert!(
            matches!(request.task, Ok(Task::Background(start)) if start.body == r#"{"workflow_id":"7","is_async":true}"#)
        );
        assert!(matches!(
            parse(r#"{"workflow_id":"7","is_async":false}"#).task,
            Ok(Task::Stream(_))
        ));
        refused(
            r#"{"workflow_id":"7","is_async":1}"#,
            "is_async must be true or false",
        );
        let manner = Manner {
            asynchronous: true,
            ..Manner::default()
        };
        let request = Request::parse(r#"{"workflow_id":"7","is_async":false}"#, manner);
        assert!(matches!(request.task, Ok(Task::Background(_))));
    }

    #[test]
    fn a_fingerprint_tells_what_is_asked_and_not_by_whom_or_how() {
        let fingerprint = |text: &str| parse(text).task.unwrap().fingerprint();
        let run = fingerprint(r#"{"workflow_id":"7","parameters":{"a":1}}"#);
        let same = r#"{"is_async":true,"parameters":{"a":1},"id":3,"workflow_id":7}"#;
        assert_eq!(fingerprint(same), run);
        let other = r#"{"workflow_id":"7","parameters":{"a":1,"is_async":true}}"#;
        assert_ne!(fingerprint(other), run);
        let watch = fingerprint(r#"{"workflow_id":"7","execute_id":"9","output":"a"}"#);
        let later = r#"{"workflow_id":"7","execute_id":"9","output":"ab","id":3}"#;
        assert_eq!(fingerprint(later), watch);
    }

    #[test]
    fn what_could_cost_a_run_by_mistake_is_refused() {
        refused(
            r#"{"parameters":{}}"#,
            "the request has no workflow_id (it is the number behind workflow_id= in the address of the workflow's page)",
        );
        refused(
            r#"{"workflow_id":"7","paramaters":{}}"#,
            r#"unknown key "paramaters" in a run (did you mean "parameters"?)"#,
        );
        refused(
            r#"{"workflow_id":"7","zzz":{}}"#,
            r#"unknown key "zzz" in a run (a workflow's inputs belong in parameters; to forward the key all the same: --allow-unknown-fields)"#,
        );
        refused(
            r#"{"workflow_id":"7","workflow_id":"7"}"#,
            r#"the key "workflow_id" stands twice (which one is meant, nobody can tell)"#,
        );
        refused(
            r#"{"workflow_id":"7","bot_id":"1","app_id":"2"}"#,
            "bot_id and app_id can't stand together (leave one of them out)",
        );
        refused(
            r#"{"workflow_id":"7","ext":[]}"#,
            r#"ext must be an object (such as {"user_id":"…"})"#,
        );
        refused(
            r#"{"workflow_id":"7","workflow_version":3}"#,
            "workflow_version must be a string",
        );
    }

    #[test]
    fn unknown_fields_are_forwarded_verbatim_when_that_is_asked_for() {
        let manner = Manner {
            allow_unknown_fields: true,
            ..Manner::default()
        };
        let request = Request::parse(r#"{"workflow_id":"7","new_field":{"a":1e2}}"#, manner);
        let Ok(Task::Stream(start)) = request.task else {
            panic!("no run")
        };
        assert_eq!(start.body, r#"{"workflow_id":"7","new_field":{"a":1e2}}"#);
    }

    #[test]
    fn a_response_that_runs_is_watched() {
        let response = r#"{"execute_id":"9","status":"Running","output":"","debug_url":"","workflow_id":"7","error":{"kind":"running"},"usage":{},"logid":"x","id":1}"#;
        let Ok(Task::Watch(watch)) = parse(response).task else {
            panic!("no watch")
        };
        assert_eq!(
            (watch.workflow_id.as_str(), watch.execute_id.as_str()),
            ("7", "9")
        );
    }

    #[test]
    fn a_response_without_an_execute_id_is_refused_and_never_run_again() {
        let hint = "the run may have been started; look at Coze before running it again";
        refused(
            r#"{"execute_id":"","status":"Running","output":"","debug_url":"","workflow_id":"7"}"#,
            &format!("execute_id is empty: there is nothing to watch ({hint})"),
        );
        refused(
            r#"{"status":"Running","output":"","debug_url":"","workflow_id":"7"}"#,
            "this is a response without its execute_id (look at Coze before running it again)",
        );
        refused(
            r#"{"execute_id":"9","workflow_id":"7","parameters":{}}"#,
            "execute_id and parameters can't stand together (a run has no execute_id; a request that has it starts nothing)",
        );
    }

    #[test]
    fn a_response_that_says_fail_was_never_started() {
        refused(
            r#"{"execute_id":"","status":"Fail","output":"","debug_url":"","workflow_id":"7"}"#,
            "execute_id is empty: there is nothing to watch (a response is never run again; send the request itself)",
        );
    }

    #[test]
    fn a_misspelt_answer_is_not_taken_for_a_wish_to_watch() {
        refused(
            r#"{"execute_id":"9","workflow_id":"7","interrupt":{},"resume_date":"x"}"#,
            r#"unknown key "resume_date" beside execute_id (did you mean "resume_data"?)"#,
        );
        refused(
            r#"{"execute_id":"9","workflow_id":"7","interrupt":{"event_id":"9/1","resume_data":"x"}}"#,
            r#"resume_data stands inside interrupt (it belongs beside interrupt: jq -c '. + {resume_data: "…"}')"#,
        );
    }

    #[test]
    fn a_response_with_an_interrupt_is_resumed_when_resume_data_is_added() {
        let response = r#"{"execute_id":"740","workflow_id":"7","interrupt":{"event_id":"740/27","type":2,"data":"","mode":"async"},"resume_data":"杭州"}"#;
        let Ok(Task::Resume(resume)) = parse(response).task else {
            panic!("no resume")
        };
        assert_eq!(resume.mode, Mode::Async);
        assert_eq!(resume.execute_id.as_deref(), Some("740"));
        assert_eq!(
            resume.body,
            r#"{"workflow_id":"7","event_id":"740/27","interrupt_type":2,"resume_data":"杭州"}"#
        );
    }

    #[test]
    fn a_resume_by_hand_is_streamed_and_may_answer_with_an_object() {
        let request = r#"{"workflow_id":"7","event_id":"740/27","interrupt_type":5,"resume_data":{"img":"https://x",  "n":1e2}}"#;
        let Ok(Task::Resume(resume)) = parse(request).task else {
            panic!("no resume")
        };
        assert_eq!(resume.mode, Mode::Stream);
        assert!(
            resume
                .body
                .ends_with(r#""resume_data":"{\"img\":\"https://x\",  \"n\":1e2}"}"#)
        );
    }

    #[test]
    fn an_answer_without_its_question_is_refused() {
        let sentence = "resume_data needs the interrupt that it answers (give event_id and interrupt_type, or the whole response with its interrupt)";
        refused(r#"{"workflow_id":"7","resume_data":"x"}"#, sentence);
        refused(
            r#"{"workflow_id":"7","resume_data":"x","event_id":"1/2"}"#,
            sentence,
        );
        refused(
            r#"{"workflow_id":"7","resume_data":7,"event_id":"1/2","interrupt_type":2}"#,
            "resume_data must be a string",
        );
    }

    #[test]
    fn not_to_wait_is_refused_where_waiting_is_all_there_is() {
        let manner = Manner {
            no_wait: true,
            ..Manner::default()
        };
        let error = Request::parse(r#"{"workflow_id":"7"}"#, manner)
            .task
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "--no-wait can't be used on a streamed run (start it in the background: --async)"
        );
        let watch = Request::parse(r#"{"workflow_id":"7","execute_id":"9"}"#, manner);
        assert!(watch.task.is_ok());
    }
}
