//! The ladder in a scripted world: every call must be in the script, in order, so "sent once" is
//! proved; sleeping moves the clock, so a day of polling takes microseconds.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::cli::Options;
use crate::coze::call::Purpose;
use crate::http::{Body, Cause, Reach};
use crate::language::Language;
use crate::service::ServiceName;
use crate::time::scripted::ScriptedClock;

const DONE: &str = "id: 1\nevent: Done\ndata: {\"debug_url\":\"https://w/?execute_id=9\"}\n\n";
const RUNNING: &str = r#"{"code":0,"data":[{"execute_status":"Running"}]}"#;
const SUCCEEDED: &str =
    r#"{"code":0,"data":[{"execute_status":"Success","output":"{\"Output\":\"whole\"}"}]}"#;
const FAILED: &str =
    r#"{"code":0,"data":[{"execute_status":"Fail","error_code":"5000","error_message":"broken"}]}"#;
const FORBIDDEN: &str = r#"{"code":4101,"msg":"no permission"}"#;
const STARTED: &str = r#"{"code":0,"execute_id":"9","debug_url":"https://w/?execute_id=9"}"#;

/// A piece of End, with the event id 0.
fn end(content: &str, seq: u32, finish: bool) -> String {
    format!(
        "id: {seq}\nevent: Message\ndata: {{\"content\":\"{content}\",\"node_type\":\"End\",\"node_seq_id\":\"{seq}\",\"node_is_finish\":{finish}}}\n\n"
    )
}

/// How the world replies to one call.
struct Reply {
    path: &'static str,
    answer: Result<(u16, &'static str, Option<&'static str>), Failure>,
    pieces: Vec<Result<Vec<u8>, Failure>>,
    /// How long the call takes.
    takes: Duration,
    logid: &'static str,
    is_framed: bool,
}

/// The cloud's.
const LOGID: &str = "L";
/// One of Coze Studio's.
const UUID: &str = "7af99dba-1020-4aa3-9365-e8ce24bea90c";

fn reply(path: &'static str, status: u16, content_type: &'static str, body: &str) -> Reply {
    Reply {
        path,
        answer: Ok((status, content_type, None)),
        pieces: vec![Ok(body.as_bytes().to_vec())],
        takes: Duration::ZERO,
        logid: LOGID,
        is_framed: true,
    }
}

fn sse(body: &str) -> Reply {
    reply("/v1/workflow/stream_run", 200, "text/event-stream", body)
}

fn refusal(status: u16, body: &str) -> Reply {
    reply("/v1/workflow/stream_run", status, "application/json", body)
}

fn background(status: u16, body: &str) -> Reply {
    reply("/v1/workflow/run", status, "application/json", body)
}

fn poll(status: u16, body: &str) -> Reply {
    let path = "/v1/workflows/7/run_histories/9";
    reply(path, status, "application/json", body)
}

fn no_answer(path: &'static str, reach: Reach, cause: Cause) -> Reply {
    Reply {
        answer: Err(failure(reach, cause)),
        ..reply(path, 0, "", "")
    }
}

pub(super) fn failure(reach: Reach, cause: Cause) -> Failure {
    let detail = format!("{cause:?} of the script").to_lowercase();
    Failure::new(reach, cause, detail)
}

impl Reply {
    fn then_fails(mut self, cause: Cause) -> Self {
        self.pieces.push(Err(failure(Reach::MaybeSent, cause)));
        self
    }

    fn retry_after(mut self, value: &'static str) -> Self {
        if let Ok((_, _, retry_after)) = &mut self.answer {
            *retry_after = Some(value);
        }
        self
    }

    fn at(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }

    /// As Coze Studio does it.
    fn of_studio(mut self) -> Self {
        self.logid = UUID;
        self
    }

    /// The end of the body is only the connection's.
    fn unframed(mut self) -> Self {
        self.is_framed = false;
        self
    }

    fn takes(mut self, seconds: u64) -> Self {
        self.takes = Duration::from_secs(seconds);
        self
    }
}

struct World<'c> {
    clock: &'c ScriptedClock,
    script: Mutex<VecDeque<Reply>>,
    /// When the script is through, this is repeated.
    for_ever: Option<fn() -> Reply>,
    calls: Mutex<Vec<String>>,
}

impl Http for World<'_> {
    fn call(&self, call: &Call<'_>, limits: Limits) -> Result<HttpResponse, Failure> {
        let path = call.path.as_str();
        let mut called = format!("{path} {}", call.body().unwrap_or_default());
        if let Purpose::Start {
            run_id: Some(id), ..
        } = call.purpose
        {
            called = format!("{called} {id}");
        }
        lock(&self.calls).push(called);
        let scripted = lock(&self.script).pop_front();
        let reply = scripted
            .or_else(|| self.for_ever.map(|reply| reply()))
            .unwrap_or_else(|| panic!("a call that is not in the script: {path}"));
        assert_eq!(path, reply.path);
        let over = limits.total.is_some_and(|total| total < reply.takes);
        self.clock
            .advance(reply.takes.min(limits.total.unwrap_or(reply.takes)));
        if over {
            return Err(failure(Reach::MaybeSent, Cause::Deadline));
        }
        let (status, content_type, retry_after) = reply.answer?;
        Ok(HttpResponse {
            status,
            content_type: content_type.to_owned(),
            logid: Some(reply.logid.to_owned()),
            has_x_log_id: reply.logid != LOGID,
            is_framed: reply.is_framed,
            retry_after: retry_after.map(str::to_owned),
            body: Box::new(Pieces(reply.pieces.into())),
        })
    }
}

#[derive(Debug)]
pub(super) struct Pieces(pub(super) VecDeque<Result<Vec<u8>, Failure>>);

impl Body for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let Some(mut piece) = self.0.pop_front().transpose()? else {
            return Ok(0);
        };
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        if count < piece.len() {
            self.0.push_front(Ok(piece.split_off(count)));
        }
        Ok(count)
    }

    fn hurry(&mut self, _: Duration) {}
}

#[derive(Default)]
pub(super) struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn starting(&self) -> Result<(), Error> {
        lock(&self.0).push("starting".to_owned());
        Ok(())
    }

    fn started(&self, run: &RunRef) {
        lock(&self.0).push(format!("started {} {:?}", run.execute_id(), run.mode()));
    }

    fn note(&self, _: &Note<'_>) {}
}

/// What came of it: the response, the paths that were called, the pauses in milliseconds.
struct Answered {
    response: Response,
    calls: Vec<String>,
    slept: Vec<u128>,
    notes: Vec<String>,
}

struct Case {
    options: Options,
    rules: Rules,
    for_ever: Option<fn() -> Reply>,
    keeps_ids: bool,
    /// What is left of the request after an earlier process.
    recalled: Option<Result<Task, Error>>,
}

impl Case {
    fn new() -> Self {
        Self {
            options: Options::default(),
            rules: Rules {
                timeout: Some(Duration::from_secs(660)),
                idle_timeout: Some(Duration::from_secs(300)),
                poll_interval: Duration::from_secs(10),
                retries: 2,
                no_wait: false,
                batch: false,
            },
            for_ever: None,
            keeps_ids: false,
            recalled: None,
        }
    }

    /// Of a deployed project.
    fn of_project(keeps_ids: bool) -> Self {
        let mut case = Self::new();
        case.options.service = ServiceName::parse("site");
        case.keeps_ids = keeps_ids;
        case
    }

    fn timeout(mut self, seconds: u64) -> Self {
        self.rules.timeout = Some(Duration::from_secs(seconds)).filter(|time| !time.is_zero());
        self
    }

    fn no_wait(mut self) -> Self {
        self.rules.no_wait = true;
        self.options.no_wait = true;
        self
    }

    fn for_ever(mut self, reply: fn() -> Reply) -> Self {
        self.for_ever = Some(reply);
        self
    }

    fn answer(&self, request: &str, script: Vec<Reply>) -> Answered {
        let notes = Notes::default();
        let mut outcome = self.observed(&[request], script, &notes);
        outcome.notes = lock(&notes.0).clone();
        outcome
    }

    /// Some requests to one process, and what came of the last.
    fn observed(&self, requests: &[&str], script: Vec<Reply>, observer: &dyn Observer) -> Answered {
        let clock = ScriptedClock::default();
        let mut shared = Shared::new(Found::new(self.options.service), Vec::new());
        shared.keeps_ids = self.keeps_ids.into();
        let world = World {
            clock: &clock,
            script: Mutex::new(script.into()),
            for_ever: self.for_ever,
            calls: Mutex::default(),
        };
        let runner = Runner {
            http: &world,
            clock: &clock,
            rules: self.rules,
            shared: &shared,
        };
        let answers = requests.iter().map(|request| {
            let request = Request::parse(request, &self.options);
            let task = self.recalled.as_ref().unwrap_or(&request.task);
            runner.answer(&request, task, observer)
        });
        let response = answers.last().expect("a request");
        assert!(
            lock(&world.script).is_empty(),
            "not all of the script was asked for"
        );
        Answered {
            response,
            calls: lock(&world.calls).clone(),
            slept: lock(&clock.slept).iter().map(Duration::as_millis).collect(),
            notes: Vec::new(),
        }
    }
}

const RUN: &str = r#"{"workflow_id":"7"}"#;
const WATCH: &str = r#"{"workflow_id":"7","execute_id":"9"}"#;
const ASYNC: &str = r#"{"workflow_id":"7","is_async":true}"#;
const RESUME: &str = r#"{"workflow_id":"7","event_id":"9/1","interrupt_type":2,"resume_data":"x"}"#;
const RESUME_ASYNC: &str = r#"{"workflow_id":"7","resume_data":"x","interrupt":{"event_id":"9/1","type":2,"mode":"async"}}"#;

impl Answered {
    /// Exit code, `execute_id` and `output`.
    #[track_caller]
    fn is(self, exit_code: u8, execute_id: &str, output: &str) -> Self {
        let response = &self.response;
        let text = response.output.plain();
        let seen = (response.exit_code(), &*response.execute_id, &*text);
        assert_eq!(
            seen,
            (exit_code, execute_id, output),
            "{:?}",
            response.error
        );
        self
    }

    #[track_caller]
    fn says(self, words: &str) -> Self {
        let complaint = self
            .response
            .complaint(Language::English)
            .unwrap_or_default();
        assert!(complaint.contains(words), "{complaint}");
        self
    }

    fn posts(&self) -> usize {
        self.calls.iter().filter(|call| call.contains('{')).count()
    }
}

#[track_caller]
fn run(script: Vec<Reply>) -> Answered {
    Case::new().answer(RUN, script)
}

#[test]
fn a_run_that_ends_well_is_one_post_and_nothing_else() {
    let whole = end("hi", 0, true) + DONE;
    let outcome = run(vec![sse(&whole)]).is(0, "9", "hi");
    assert_eq!(
        outcome.calls,
        [r#"/v1/workflow/stream_run {"workflow_id":"7"}"#]
    );
    assert_eq!(outcome.notes, ["starting", "started 9 Stream"]);
    assert_eq!(outcome.response.logid.as_deref(), Some("L"));
}

#[test]
fn what_never_left_is_sent_again_with_growing_pauses() {
    let whole = end("hi", 0, true) + DONE;
    let path = "/v1/workflow/stream_run";
    for cause in [Cause::Dns, Cause::Connect, Cause::Tls, Cause::Proxy] {
        let unsent = || no_answer(path, Reach::NotSent, cause);
        let outcome = run(vec![unsent(), unsent(), sse(&whole)]).is(0, "9", "hi");
        assert_eq!(outcome.slept, [500, 1000]);
    }
}

#[test]
fn what_never_left_is_unreachable_when_the_retries_are_used_up() {
    let unsent = || no_answer("/v1/workflow/stream_run", Reach::NotSent, Cause::Connect);
    run(vec![unsent(), unsent(), unsent()])
        .is(5, "", "")
        .says("unreachable: connect of the script");
}

#[test]
fn a_bad_certificate_and_a_proxy_that_says_no_are_not_tried_again() {
    for cause in [Cause::Certificate, Cause::ProxyRefused] {
        run(vec![no_answer(
            "/v1/workflow/stream_run",
            Reach::NotSent,
            cause,
        )])
        .is(5, "", "");
    }
}

#[test]
fn a_refused_answer_to_an_interrupt_stops_what_would_be_refused_too() {
    let refused = refusal(200, r#"{"code":4100,"msg":"bad token"}"#);
    let script = vec![refused.at("/v1/workflow/stream_resume")];
    let outcome = Case::new().observed(&[RESUME, RUN], script, &Notes::default());
    outcome
        .is(4, "", "")
        .says("not sent, because an earlier request was refused: bad token");
}

#[test]
fn a_lone_error_event_is_judged_as_the_same_words_in_json() {
    let refused = r#"{"code":4000,"msg":"invalid event_id"}"#;
    let event = format!("id: 0\nevent: Error\ndata: {refused}\n\n");
    for reply in [refusal(200, refused), sse(&event)] {
        let at = "/v1/workflow/stream_resume";
        let outcome = Case::new()
            .answer(RESUME, vec![reply.at(at)])
            .is(4, "9", "");
        assert!(outcome.response.interrupt.is_some());
    }
}

#[test]
fn a_message_that_cannot_be_read_may_be_the_end_nodes() {
    let piece = r#""node_type":"End","node_seq_id":"#;
    for broken in [
        r#"{"content":"he said "no"","node_type":"End"}"#.to_owned(),
        format!(r#"{{"content":"own","content":"x",{piece}"1"}}"#),
        format!(r#"{{"content":"own",{piece}"-1"}}"#),
        format!(r#"{{"content":"own",{piece}2.0}}"#),
    ] {
        let stream = format!(
            "{}id: 1\nevent: Message\ndata: {broken}\n\n",
            end("sub", 0, true)
        );
        let stream = stream + &DONE.replace("id: 1", "id: 2");
        run(vec![sse(&stream), poll(200, SUCCEEDED)]).is(0, "9", "whole");
    }
}

#[test]
fn what_never_left_whole_but_was_answered_with_a_run_is_watched() {
    let early = |said: &str| {
        let mut early = no_answer("/v1/workflow/stream_run", Reach::NotSent, Cause::Cut);
        early.answer.as_mut().unwrap_err().said = said.to_owned();
        early
    };
    for named in [
        r#"{"execute_id":"9","x"#,
        r#"{"code":0,"data":{"execute_id":"9"}}"#,
        "id: 0\nevent: PING\ndata: {\"x\":\"\\\"\",\"debug_url\":\"https://w/?execute_id=9\"}\n\n",
    ] {
        run(vec![early(named), poll(200, SUCCEEDED)]).is(0, "9", "whole");
    }
    run(vec![early(r#"{"interrupt_data":{"event_id""#)])
        .is(8, "", "")
        .says("cut of the script");
    run(vec![early("no"), sse(&(end("hi", 0, true) + DONE))]).is(0, "9", "hi");
}

#[test]
fn what_may_have_left_is_never_sent_again() {
    let path = "/v1/workflow/stream_run";
    for cause in [
        Cause::Cut,
        Cause::Silent,
        Cause::Deadline,
        Cause::TooLarge,
        Cause::Tls,
    ] {
        let outcome = run(vec![no_answer(path, Reach::MaybeSent, cause)]).is(8, "", "");
        assert_eq!(outcome.posts(), 1);
    }
}

#[test]
fn a_rate_refusal_is_sent_again_however_it_looks() {
    let whole = end("hi", 0, true) + DONE;
    let event = "id: 0\nevent: Error\ndata: {\"error_code\":4009,\"error_message\":\"busy\"}\n\n";
    for refused in [
        || refusal(429, "<html>slow down"),
        || refusal(429, r#"{"code":4200,"msg":"x"}"#),
        || refusal(200, r#"{"code":4020,"msg":"x"}"#),
    ] {
        run(vec![refused(), refused(), sse(&whole)]).is(0, "9", "hi");
        run(vec![refused(), refused(), refused()]).is(5, "", "");
    }
    run(vec![sse(event), sse(&whole)]).is(0, "9", "hi");
}

#[test]
fn a_rate_refusal_that_names_a_run_is_not_sent_again() {
    let named = r#"{"code":4009,"msg":"busy","debug_url":"https://w/?execute_id=9"}"#;
    run(vec![refusal(429, named)]).is(1, "9", "");
    let event = "id: 0\nevent: Error\ndata: {\"error_code\":4009,\"debug_url\":\"https://w/?execute_id=9\"}\n\n";
    run(vec![sse(event)]).is(1, "9", "");
}

#[test]
fn a_rate_refusal_that_only_speaks_of_a_run_is_not_sent_again() {
    for body in [
        r#"{"code":4009,"interrupt_data":{"event_id":"9/2","type":2}}"#,
        r#"{"code":4009,"data":{"execute_id":"9"}}"#,
        r#"[{"code":4009,"execute_id":"9"}]"#,
        r#"{"code":4009,"msg":"a"b","execute_id":"9"}"#,
    ] {
        let outcome = Case::new()
            .for_ever(|| poll(200, FORBIDDEN))
            .answer(RUN, vec![refusal(429, body)]);
        assert_eq!(outcome.posts(), 1, "{body}");
        assert_ne!(outcome.response.exit_code(), 4, "{body}");
    }
    let nested = "id: 0\nevent: Error\ndata: {\"error_code\":4009,\"data\":{\"execute_id\":9}}\n\n";
    run(vec![sse(nested)]).is(1, "", "");
    let fifth = "id: 5\nevent: Error\ndata: {\"error_code\":4009}\n\n";
    run(vec![sse(fifth)]).is(1, "", "");
}

#[test]
fn a_refusal_in_a_stream_goes_by_the_http_status_too() {
    let error = |code| format!("id: 0\nevent: Error\ndata: {{\"error_code\":{code}}}\n\n");
    let answered = |status, code| Reply {
        answer: Ok((status, "text/event-stream", Some("7"))),
        ..sse(&error(code))
    };
    run(vec![answered(401, 401)]).is(4, "", "");
    let whole = end("hi", 0, true) + DONE;
    let outcome = run(vec![answered(429, 5000), sse(&whole)]).is(0, "9", "hi");
    assert_eq!(outcome.slept, [7000]);
}

#[test]
fn an_id_is_reported_as_soon_as_an_event_names_it() {
    struct Impatient(Mutex<Option<String>>);
    impl Observer for Impatient {
        fn starting(&self) -> Result<(), Error> {
            Ok(())
        }
        fn started(&self, run: &RunRef) {
            *lock(&self.0) = Some(run.execute_id().to_owned());
        }
        fn note(&self, note: &Note<'_>) {
            if let Note::Event(frame) = note
                && frame.event == "Done"
            {
                assert_eq!(lock(&self.0).as_deref(), Some("9"), "before the end");
            }
        }
    }
    let told = "id: 0\nevent: PING\ndata: {\"execute_id\":\"9\"}\n\n";
    let script = vec![sse(&format!("{told}{DONE}"))];
    let outcome = Case::new().observed(&[RUN], script, &Impatient(Mutex::default()));
    assert_eq!(outcome.response.exit_code(), 0);
}

#[test]
fn a_whole_answer_is_taken_although_its_connection_stays_open() {
    let open = background(200, STARTED).then_fails(Cause::Silent);
    Case::new()
        .no_wait()
        .answer(ASYNC, vec![open])
        .is(6, "9", "");
}

#[test]
fn retry_after_is_obeyed_or_given_up_at_once() {
    let whole = end("hi", 0, true) + DONE;
    let outcome = run(vec![refusal(429, "").retry_after("7"), sse(&whole)]);
    assert_eq!(outcome.slept, [7000]);
    let date = "Thu, 01 Jan 2026 00:00:09 GMT";
    let outcome = run(vec![refusal(429, "").retry_after(date), sse(&whole)]);
    assert_eq!(outcome.slept, [9000]);
    let outcome = run(vec![refusal(429, "").retry_after("3600")]).is(5, "", "");
    assert!(outcome.slept.is_empty());
    outcome.says("no room for a pause of 3600 s");
}

#[test]
fn a_refusal_is_known_by_its_code() {
    for code in [4000, 4100, 4101, 4200, 6003, 700_012_006, 720_702_011] {
        let body = format!(r#"{{"code":{code},"msg":"Coze's words"}}"#);
        run(vec![refusal(200, &body)])
            .is(4, "", "")
            .says("Coze's words");
    }
    run(vec![refusal(401, r#"{"code":401,"msg":"x"}"#)]).is(4, "", "");
    let event = "id: 0\nevent: Error\ndata: {\"error_code\":4000,\"error_message\":\"bad\"}\n\n";
    run(vec![sse(event)])
        .is(4, "", "")
        .says("refused: bad (code 4000");
}

#[test]
fn another_code_proves_nothing_in_json_or_alone_in_a_stream() {
    run(vec![refusal(200, r#"{"code":5000,"msg":"x"}"#)]).is(8, "", "");
    run(vec![refusal(200, r#"{"code":4013,"msg":"x"}"#)]).is(8, "", "");
    run(vec![refusal(408, r#"{"code":408,"msg":"x"}"#)]).is(8, "", "");
    let event = |code| format!("id: 0\nevent: Error\ndata: {{\"error_code\":{code}}}\n\n");
    run(vec![sse(&event(5000))]).is(8, "", "");
    run(vec![sse(&event(4013))]).is(8, "", "");
}

#[test]
fn an_error_after_anything_else_is_a_failure() {
    let ping = "id: 0\nevent: PING\ndata: {}\n\n";
    let error = "id: 1\nevent: Error\ndata: {\"error_code\":4000,\"error_message\":\"bad\"}\n\n";
    run(vec![sse(&format!("{ping}{error}"))]).is(1, "", "");
    run(vec![sse(&(end("so far", 0, false) + error))]).is(1, "", "so far");
}

#[test]
fn a_refusal_with_a_debug_url_was_a_run() {
    let body = r#"{"code":4000,"msg":"x","debug_url":"https://w/?execute_id=9"}"#;
    run(vec![refusal(200, body)]).is(1, "9", "");
}

#[test]
fn without_a_code_the_http_status_decides() {
    for status in [301, 302, 400, 403, 404, 413] {
        run(vec![refusal(status, "<html>")]).is(4, "", "");
    }
    for status in [200, 204, 408, 500, 502, 503, 504] {
        run(vec![refusal(status, "<html>")]).is(8, "", "");
        run(vec![refusal(status, "")]).is(8, "", "");
    }
    run(vec![refusal(200, r#"{"code":0,"msg":""}"#)]).is(8, "", "");
}

#[test]
fn an_interrupt_waits_for_its_answer() {
    let event = "id: 0\nevent: Interrupt\ndata: {\"interrupt_data\":{\"event_id\":\"9/1\",\"type\":2,\"data\":\"q\"}}\n\n";
    let outcome = run(vec![sse(event)]).is(7, "9", "");
    let interrupt = outcome.response.interrupt.unwrap();
    assert_eq!(interrupt.mode, Some(Mode::Stream));
}

#[test]
fn a_stream_that_is_lost_without_an_id_is_unknown_and_keeps_its_text() {
    for cause in [Cause::Cut, Cause::Silent, Cause::Deadline] {
        run(vec![sse(&end("so far", 0, false)).then_fails(cause)]).is(8, "", "so far");
    }
    run(vec![sse(&end("so far", 0, true))])
        .is(8, "", "so far")
        .says("the stream ended before the run did");
}

#[test]
fn a_stream_that_is_lost_with_an_id_is_watched() {
    let told = "id: 5\nevent: PING\ndata: {\"execute_id\":\"9\"}\n\n";
    let lost = || sse(&(end("so", 0, false) + told)).then_fails(Cause::Cut);
    run(vec![lost(), poll(200, SUCCEEDED)]).is(0, "9", "whole");
    run(vec![lost(), poll(200, FAILED)])
        .is(1, "9", "so")
        .says("broken (code 5000)");
    run(vec![lost(), poll(200, FORBIDDEN)])
        .is(6, "9", "so")
        .says("listRunHistory");
}

#[test]
fn the_unfinished_last_line_is_a_way_back_too() {
    let cut = end("hi", 0, true)
        + "id: 1\nevent: Done\ndata: {\"debug_url\":\"https://w/?execute_id=9\\u0026sp";
    run(vec![sse(&cut).then_fails(Cause::Cut), poll(200, SUCCEEDED)]).is(0, "9", "hi");
    let half =
        end("hi", 0, true) + "id: 1\nevent: Done\ndata: {\"debug_url\":\"https://w/?execute_id=9";
    run(vec![sse(&half).then_fails(Cause::Cut)]).is(8, "", "hi");
}

#[test]
fn the_unfinished_last_line_is_a_way_back_at_a_clean_end_as_well() {
    let cut = end("hi", 0, true)
        + "id: 1\nevent: Done\ndata: {\"debug_url\":\"https://w/?execute_id=9\\u0026sp";
    run(vec![sse(&cut), poll(200, SUCCEEDED)]).is(0, "9", "hi");
}

#[test]
fn a_stream_that_begins_with_a_blank_line_is_a_stream() {
    let whole = format!("\n{}{DONE}", end("hi", 0, true));
    let bytes = whole.bytes().map(|byte| Ok(vec![byte])).collect();
    let pieces = Reply {
        pieces: bytes,
        ..sse("")
    };
    run(vec![pieces]).is(0, "9", "hi");
}

#[test]
fn missing_text_is_fetched_from_the_history() {
    let gap = end("who", 0, false)
        + "id: 3\nevent: Done\ndata: {\"debug_url\":\"https://w/?execute_id=9\"}\n\n";
    run(vec![sse(&gap), poll(200, RUNNING), poll(200, SUCCEEDED)]).is(0, "9", "whole");
    run(vec![sse(&gap), poll(200, FORBIDDEN)])
        .is(8, "9", "who")
        .says("listRunHistory");
    let expired = r#"{"data":[{"execute_status":"Success","output":"{\"node_status\":\"{}\"}"}]}"#;
    run(vec![sse(&gap), poll(200, expired)]).is(8, "9", "who");
    let no_id = end("who", 0, false) + "id: 3\nevent: Done\ndata: {}\n\n";
    run(vec![sse(&no_id)])
        .is(8, "", "who")
        .says("text of it is missing");
}

#[test]
fn a_stream_above_the_limit_is_given_up() {
    let mut endless = sse("data: ");
    endless
        .pieces
        .extend((0..5000).map(|_| Ok(vec![b'x'; 8192])));
    run(vec![endless])
        .is(8, "", "")
        .says("one event is larger than 32 MiB");
}

#[test]
fn a_background_run_is_started_once_and_watched() {
    let script = vec![
        background(200, STARTED),
        poll(200, RUNNING),
        poll(200, RUNNING),
        poll(200, SUCCEEDED),
    ];
    let outcome = Case::new().answer(ASYNC, script).is(0, "9", "whole");
    assert_eq!(
        outcome.calls[0],
        r#"/v1/workflow/run {"workflow_id":"7","is_async":true}"#
    );
    assert_eq!(outcome.slept, [1000, 1500, 2250]);
    assert_eq!(outcome.notes, ["starting", "started 9 Async"]);
}

#[test]
fn not_to_wait_answers_running_right_after_the_start() {
    let outcome = Case::new()
        .no_wait()
        .answer(ASYNC, vec![background(200, STARTED)]);
    assert!(outcome.slept.is_empty());
    outcome.is(6, "9", "");
}

#[test]
fn a_background_start_without_an_id_is_unknown() {
    Case::new()
        .answer(ASYNC, vec![background(200, r#"{"code":0}"#)])
        .is(8, "", "");
    let cut = no_answer("/v1/workflow/run", Reach::MaybeSent, Cause::Cut);
    Case::new().answer(ASYNC, vec![cut]).is(8, "", "");
    let unpaid = r#"{"code":6003,"msg":"premium"}"#;
    Case::new()
        .answer(ASYNC, vec![background(200, unpaid)])
        .is(4, "", "")
        .says("paid plan");
}

#[test]
fn a_watch_polls_at_once_and_then_ever_more_slowly() {
    let mut script: Vec<_> = (0..8).map(|_| poll(200, RUNNING)).collect();
    script.push(poll(200, SUCCEEDED));
    let outcome = Case::new().answer(WATCH, script).is(0, "9", "whole");
    assert_eq!(
        outcome.slept,
        [1000, 1500, 2250, 3375, 5062, 7593, 10_000, 10_000]
    );
}

#[test]
fn a_watch_that_does_not_wait_polls_once() {
    let watch = |reply| Case::new().no_wait().answer(WATCH, vec![reply]);
    watch(poll(200, RUNNING)).is(6, "9", "");
    watch(poll(200, SUCCEEDED)).is(0, "9", "whole");
    watch(poll(504, "<html>")).is(6, "9", "");
}

#[test]
fn a_day_of_watching_ends_at_the_deadline() {
    let case = Case::new().timeout(86_400).for_ever(|| poll(200, RUNNING));
    let outcome = case.answer(WATCH, vec![]).is(6, "9", "");
    // Each pause is cut to whole milliseconds here.
    assert!((86_399_900..=86_400_000).contains(&outcome.slept.iter().sum::<u128>()));
    assert!(
        (8640..8700).contains(&outcome.calls.len()),
        "{}",
        outcome.calls.len()
    );
}

#[test]
fn polls_that_bring_nothing_are_given_up_after_ten_in_a_row() {
    let nothing: [(u16, &str); 5] = [
        (504, "<html>"),
        (429, ""),
        (200, r#"{"code":0,"data":[]}"#),
        (200, "no json"),
        (500, r#"{"code":5000}"#),
    ];
    for (status, body) in nothing {
        let mut script: Vec<_> = (0..9).map(|_| poll(status, body)).collect();
        script.push(poll(200, RUNNING));
        script.extend((0..10).map(|_| poll(status, body)));
        Case::new().answer(WATCH, script).is(6, "9", "");
    }
}

#[test]
fn a_run_that_is_not_there_may_be_there_in_a_moment_and_then_was_never_there() {
    let absent = || poll(200, r#"{"code":4314,"msg":"no such run"}"#);
    Case::new()
        .answer(WATCH, vec![absent(), poll(200, SUCCEEDED)])
        .is(0, "9", "whole");
    let ten = || (0..10).map(|_| absent());
    Case::new()
        .answer(WATCH, ten().collect())
        .is(4, "9", "")
        .says("no such run");
    let mut script = vec![background(200, STARTED)];
    script.extend(ten());
    Case::new().answer(ASYNC, script).is(6, "9", "");
}

#[test]
fn a_run_of_an_earlier_process_that_stays_absent_is_not_refused() {
    let absent = || poll(200, r#"{"code":4314,"msg":"no such run"}"#);
    let mut case = Case::new();
    case.recalled = RunRef::new("9", Mode::Stream).map(|run| Ok(Task::Watch(run)));
    case.answer(RUN, (0..10).map(|_| absent()).collect())
        .is(6, "9", "")
        .says("polling failed 10 times: no such run");
}

#[test]
fn polls_that_bring_nothing_are_counted_in_a_row() {
    let fault = || poll(503, "<html>");
    let asked =
        r#"{"data":[{"execute_status":"Running","interrupt_data":{"event_id":"9/1","type":2}}]}"#;
    let mut all = vec![no_answer(
        "/v1/workflow/stream_resume",
        Reach::MaybeSent,
        Cause::Cut,
    )];
    all.extend((0..2).flat_map(|_| (0..6).map(|_| fault()).chain([poll(200, asked)])));
    all.push(poll(200, SUCCEEDED));
    Case::new().answer(RESUME, all).is(0, "9", "whole");
}

#[test]
fn network_trouble_while_polling_lasts_until_the_deadline() {
    let case = Case::new().timeout(300).for_ever(|| {
        no_answer(
            "/v1/workflows/7/run_histories/9",
            Reach::NotSent,
            Cause::Connect,
        )
    });
    let outcome = case.answer(WATCH, vec![]).is(6, "9", "");
    assert!(outcome.calls.len() > 25);
    let back = || {
        no_answer(
            "/v1/workflows/7/run_histories/9",
            Reach::NotSent,
            Cause::Cut,
        )
    };
    Case::new()
        .answer(WATCH, vec![back(), back(), poll(200, SUCCEEDED)])
        .is(0, "9", "whole");
}

#[test]
fn an_answer_that_is_cut_names_its_run_once_it_has_named_it() {
    let told = STARTED.find('9').unwrap() + 2;
    for cut in 0..STARTED.len() {
        let started = background(200, &STARTED[..cut]).then_fails(Cause::Cut);
        let mut script = vec![started];
        script.extend((cut >= told).then(|| poll(200, SUCCEEDED)));
        let outcome = Case::new().answer(ASYNC, script);
        match cut >= told {
            true => outcome.is(0, "9", "whole"),
            false => outcome.is(8, "", ""),
        };
    }
}

#[test]
fn a_rate_refusal_that_is_cut_after_it_named_a_run_is_not_sent_again() {
    let named = r#"{"code":4009,"debug_url":"https://w/?execute_id=9","msg"#;
    let refused = refusal(429, named).then_fails(Cause::Cut);
    run(vec![refused, poll(200, SUCCEEDED)]).is(0, "9", "whole");
}

#[test]
fn a_poll_that_is_refused_refuses_a_watch_but_not_a_run() {
    let refused = || poll(200, FORBIDDEN);
    Case::new().answer(WATCH, vec![refused()]).is(4, "9", "");
    let script = vec![background(200, STARTED), refused()];
    Case::new()
        .answer(ASYNC, script)
        .is(6, "9", "")
        .says("listRunHistory");
    let mut case = Case::new();
    case.recalled = RunRef::new("9", Mode::Stream).map(|run| Ok(Task::Watch(run)));
    case.answer(RUN, vec![refused()])
        .is(6, "9", "")
        .says("listRunHistory");
}

/// A poll of Coze Studio's history.
fn studio_poll(status: u16, body: &str) -> Reply {
    let path = "/v1/workflow/get_run_history?workflow_id=7&execute_id=9";
    poll(status, body).at(path).of_studio()
}

/// The answer of Coze Studio to a path that it does not have.
fn no_such_path(path: &'static str) -> Reply {
    let body = r#"{"code":401,"msg":"missing session_key in cookie"}"#;
    reply(path, 401, "application/json", body).of_studio()
}

fn studio_history(status: &str, output: &str) -> Reply {
    let output = serde_json::to_string(output).unwrap();
    let body = format!(
        r#"{{"data":[{{"execute_id":9,"execute_status":"{status}","output":{output},"error_code":"305","error_msg":"boom"}}]}}"#
    );
    studio_poll(200, &body)
}

#[test]
fn coze_studio_is_found_out_once_by_the_log_id_of_an_answer() {
    let succeeded = || studio_history("Success", r#"{"output":"plain"}"#);
    let script = vec![
        no_such_path("/v1/workflows/7/run_histories/9"),
        studio_history("Running", ""),
        succeeded(),
        succeeded(),
    ];
    let second = Case::new().observed(&[WATCH, WATCH], script, &Notes::default());
    assert_eq!(second.calls.len(), 4);
    second.is(0, "9", r#"{"output":"plain"}"#);
    let cloud = poll(401, r#"{"code":401,"msg":"no"}"#);
    Case::new().answer(WATCH, vec![cloud]).is(4, "9", "");
}

#[test]
fn coze_studios_done_is_confirmed_by_its_history() {
    let done = || end("hi", 0, true) + DONE;
    let streamed = || sse(&done()).of_studio();
    let answered = |reply| run(vec![streamed(), reply]);
    answered(studio_history("Success", r#"{"output":"hi"}"#)).is(0, "9", "hi");
    answered(studio_history("Success", r#"{"output":"other"}"#)).is(0, "9", "other");
    answered(studio_history("Success", r#"{"result":"hi"}"#)).is(0, "9", r#"{"result":"hi"}"#);
    answered(studio_history("Fail", ""))
        .is(1, "9", "hi")
        .says("boom (code 305)");
    answered(studio_poll(401, r#"{"code":700012006,"msg":"bad"}"#)).is(8, "9", "hi");
    // An older one has no history: the stream's own proof has to do.
    answered(no_such_path(
        "/v1/workflow/get_run_history?workflow_id=7&execute_id=9",
    ))
    .is(0, "9", "hi");
    let twice = end("child", 0, true) + &end("hi", 1, true) + &DONE.replace("id: 1", "id: 2");
    let history = no_such_path("/v1/workflow/get_run_history?workflow_id=7&execute_id=9");
    run(vec![sse(&twice).of_studio(), history]).is(8, "9", "childhi");
    let alone = DONE.replace("id: 1", "id: 0");
    let empty = studio_history("Success", r#"{"output":""}"#);
    run(vec![sse(&alone).of_studio(), empty]).is(0, "9", "");
}

#[test]
fn a_json_answer_of_coze_studio_that_names_no_run_is_a_refusal() {
    let nowhere =
        r#""debug_url":"http://h/work_flow?execute_id=0&workflow_id=0","execute_id":null"#;
    for code in [720_701_013, 720_702_004, 777_777_778, 999] {
        for body in [
            format!(r#"{{"code":{code},"msg":"x"}}"#),
            format!(r#"{{"code":{code},"msg":"x",{nowhere}}}"#),
        ] {
            let outcome = run(vec![refusal(200, &body).of_studio()]).is(4, "", "");
            assert_eq!(outcome.response.debug_url, "");
            run(vec![refusal(500, &body).of_studio()]).is(8, "", "");
            let cut = refusal(200, &body[..body.len() - 1]).of_studio();
            run(vec![cut]).is(8, "", "");
        }
    }
    let named = r#"{"code":305000002,"msg":"x","debug_url":"http://h/?execute_id=9"}"#;
    run(vec![refusal(200, named).of_studio()]).is(1, "9", "");
    run(vec![refusal(200, r#"{"code":720701013,"msg":"x"}"#)]).is(8, "", "");
}

#[test]
fn a_background_answer_finds_the_other_path_of_a_server_that_is_not_known_yet() {
    let whole = end("hi", 0, true) + DONE;
    let script = vec![
        no_such_path("/v1/workflows/resume"),
        sse(&whole).at("/v1/workflow/stream_resume").of_studio(),
        studio_history("Success", r#"{"output":"hi"}"#),
    ];
    let outcome = Case::new().answer(RESUME_ASYNC, script).is(0, "9", "hi");
    assert_eq!(outcome.posts(), 2);
    let gateway = background(401, r#"{"code":401,"msg":"x"}"#).at("/v1/workflows/resume");
    Case::new()
        .answer(RESUME_ASYNC, vec![gateway])
        .is(4, "9", "");
}

#[test]
fn a_refused_answer_carries_its_interrupt_so_that_it_can_be_corrected() {
    let refused = refusal(200, r#"{"code":720701013,"msg":"not interrupted"}"#)
        .at("/v1/workflow/stream_resume")
        .of_studio();
    let outcome = Case::new().answer(RESUME, vec![refused]).is(4, "9", "");
    let interrupt = outcome.response.interrupt.as_ref().unwrap();
    assert_eq!(interrupt.event_id, "9/1");
    outcome.says("does not wait for this answer");
    let failed = r#"{"code":5000,"msg":"x","debug_url":"https://w/?execute_id=9"}"#;
    let failed = refusal(200, failed).at("/v1/workflow/stream_resume");
    let outcome = Case::new().answer(RESUME, vec![failed]).is(1, "9", "");
    assert!(outcome.response.interrupt.is_none());
}

#[test]
fn a_run_of_coze_studio_without_a_status_waits_for_an_answer() {
    let unset = || studio_history("<UNSET>", "");
    let watch = |script: Vec<Reply>| {
        let mut all = vec![no_such_path("/v1/workflows/7/run_histories/9")];
        all.extend(script);
        Case::new().answer(WATCH, all)
    };
    let outcome = watch(vec![unset(), unset()]).is(7, "9", "");
    assert!(outcome.response.interrupt.is_none());
    outcome.says("told to its stream only");
    let running = studio_history("Running", "");
    let done = studio_history("Success", "{}");
    watch(vec![unset(), running, unset(), done]).is(0, "9", "{}");
    // Of an answer that was lost it is known what it was for.
    let lost = no_answer("/v1/workflow/stream_resume", Reach::MaybeSent, Cause::Cut);
    let mut script = vec![lost, no_such_path("/v1/workflows/7/run_histories/9")];
    script.extend((0..10).map(|_| unset()));
    let outcome = Case::new().answer(RESUME, script).is(7, "9", "");
    assert_eq!(outcome.response.interrupt.unwrap().event_id, "9/1");
}

#[test]
fn an_error_that_is_plain_text_is_a_stream_that_broke() {
    run(vec![sse("event: error\ndata: EOF\n\n")])
        .is(8, "", "")
        .says("the stream broke: EOF");
    let told = "id: 0\nevent: PING\ndata: {\"execute_id\":\"9\"}\n\n";
    let script = vec![
        sse(&format!("{told}event: error\ndata: EOF\n\n")),
        poll(200, SUCCEEDED),
    ];
    run(script).is(0, "9", "whole");
}

#[test]
fn the_end_of_a_body_that_only_the_connection_ends_proves_nothing() {
    let event = "id: 0\nevent: Error\ndata: {\"error_code\":4009}\n\n";
    run(vec![sse(event).unframed()]).is(8, "", "");
    run(vec![refusal(429, "").unframed()]).is(8, "", "");
    run(vec![refusal(200, r#"{"code":4020}"#).unframed()]).is(8, "", "");
    run(vec![refusal(200, r#"{"code":4200}"#).unframed()]).is(4, "", "");
}

#[test]
fn a_done_that_cannot_be_understood_proves_nothing() {
    for data in ["{\"debug_url\":", "text", r#"{"content":"x"}"#] {
        let done = format!("id: 1\nevent: Done\ndata: {data}\n\n");
        run(vec![sse(&(end("hi", 0, true) + &done))]).is(8, "", "hi");
    }
}

#[test]
fn trimmed_output_nodes_are_fetched_but_the_end_text_cannot_be() {
    let node = || {
        poll(200, r#"{"code":0,"data":{"node_output":"long"}}"#)
            .at("/v1/workflows/7/run_histories/9/execute_nodes/u1")
    };
    let trimmed = r#"{"data":[{"execute_status":"Success","is_output_trimmed":true,"output":"{\"Output\":\"cut\",\"node_status\":\"{}\"}","node_execute_status":{"输出":{"node_execute_uuid":"u1"}}}]}"#;
    let outcome = Case::new()
        .answer(WATCH, vec![poll(200, trimmed), node()])
        .is(8, "9", "");
    assert_eq!(outcome.response.messages[0].content.plain(), "long");
    let told = "id: 5\nevent: PING\ndata: {\"execute_id\":\"9\"}\n\n";
    let lost = sse(&(end("all", 0, true) + told)).then_fails(Cause::Cut);
    run(vec![lost, poll(200, trimmed), node()]).is(0, "9", "all");
}

#[test]
fn a_resume_is_streamed_where_the_run_was() {
    let whole = end("hi", 0, true) + DONE;
    let script = vec![sse(&whole).at("/v1/workflow/stream_resume")];
    let outcome = Case::new().answer(RESUME, script).is(0, "9", "hi");
    assert_eq!(outcome.posts(), 1);
}

#[test]
fn a_resume_that_is_lost_is_watched_by_the_run_it_names() {
    let interrupted =
        r#"{"data":[{"execute_status":"Running","interrupt_data":{"event_id":"9/1","type":2}}]}"#;
    let lost = no_answer("/v1/workflow/stream_resume", Reach::MaybeSent, Cause::Cut);
    let script = vec![
        lost,
        poll(200, interrupted),
        poll(200, interrupted),
        poll(200, SUCCEEDED),
    ];
    Case::new().answer(RESUME, script).is(0, "9", "whole");
    let lost = no_answer("/v1/workflow/stream_resume", Reach::MaybeSent, Cause::Cut);
    let mut script = vec![lost];
    script.extend((0..11).map(|_| poll(200, interrupted)));
    Case::new().answer(RESUME, script).is(7, "9", "");
}

#[test]
fn a_resume_that_is_refused_was_not_answered() {
    let refused = "id: 0\nevent: Error\ndata: {\"error_code\":4315,\"error_message\":\"over\"}\n\n";
    let script = vec![sse(refused).at("/v1/workflow/stream_resume")];
    Case::new()
        .answer(RESUME, script)
        .is(4, "9", "")
        .says("does not wait for this answer");
}

#[test]
fn a_resume_whose_error_names_the_run_is_failed_and_not_sent_again() {
    for code in [4000, 4009] {
        let error = format!(
            "id: 0\nevent: Error\ndata: {{\"error_code\":{code},\"debug_url\":\"https://w/?execute_id=9\"}}\n\n"
        );
        let script = vec![sse(&error).at("/v1/workflow/stream_resume")];
        Case::new().answer(RESUME, script).is(1, "9", "");
    }
}

#[test]
fn a_background_resume_is_watched_and_may_meet_the_next_question() {
    let resume = |body| background(200, body).at("/v1/workflows/resume");
    let script = vec![resume(STARTED), poll(200, SUCCEEDED)];
    Case::new().answer(RESUME_ASYNC, script).is(0, "9", "whole");
    let next = r#"{"code":0,"execute_id":"9","interrupt_data":{"event_id":"9/2","type":2}}"#;
    let outcome = Case::new()
        .answer(RESUME_ASYNC, vec![resume(next)])
        .is(7, "9", "");
    let interrupt = outcome.response.interrupt.unwrap();
    assert_eq!(interrupt.mode, Some(Mode::Async));
    Case::new()
        .no_wait()
        .answer(RESUME_ASYNC, vec![resume(STARTED)])
        .is(6, "9", "");
}

#[test]
fn the_deadline_covers_the_connection_the_stream_and_the_pauses() {
    let case = Case::new().timeout(10);
    case.answer(RUN, vec![sse("").takes(11)]).is(8, "", "");
    let started = background(200, STARTED).takes(9);
    let outcome = case.answer(ASYNC, vec![started]);
    assert_eq!(outcome.slept, [1000]);
    outcome.is(6, "9", "");
    let unsent = || no_answer("/v1/workflow/stream_run", Reach::NotSent, Cause::Connect).takes(10);
    case.answer(RUN, vec![unsent()]).is(5, "", "");
}

#[test]
fn after_a_bad_token_or_any_401_no_further_run_is_sent() {
    for (status, body) in [
        (200, r#"{"code":4100,"msg":"bad token"}"#),
        (401, r#"{"code":4999,"msg":"bad token"}"#),
        (401, r#"{"code":1,"msg":"bad token"}"#),
        (401, "who are you?"),
    ] {
        let notes = Notes::default();
        let second = Case::new().observed(&[RUN, RUN], vec![refusal(status, body)], &notes);
        assert_eq!(second.calls.len(), 1);
        // Not `starting`, which would make an entry of a journal.
        assert_eq!(*lock(&notes.0), ["starting"]);
        second.is(4, "", "").says("not sent");
    }
}

#[test]
fn the_done_behind_an_error_names_the_run_however_the_stream_is_cut() {
    let told = "id: 1\nevent: Done\ndata: {\"debug_url\":\"https://w/?execute_id=9\"}\n\n";
    for code in [4000, 4009, 5000] {
        let error = format!("id: 0\nevent: Error\ndata: {{\"error_code\":{code}}}\n\n");
        let mut apart = sse(&error);
        apart.pieces.push(Ok(told.as_bytes().to_vec()));
        run(vec![apart]).is(1, "9", "");
        run(vec![sse(&(error + told))]).is(1, "9", "");
    }
}

#[test]
fn whatever_is_cut_or_said_behind_an_error_keeps_it_from_being_sent_again() {
    let told = "id: 1\nevent: Done\ndata: {\"debug_url\":\"https://w/?execute_id=9\"}\n\n";
    let error = |code| format!("id: 0\nevent: Error\ndata: {{\"error_code\":{code}}}\n\n");
    for cut in 1..told.len() - 3 {
        for code in [4000, 4009] {
            let begun = || sse(&(error(code) + &told[..cut]));
            for cut in [begun(), begun().then_fails(Cause::Cut)] {
                assert_eq!(run(vec![cut]).response.exit_code(), 1);
            }
        }
    }
    run(vec![sse(error(4009).trim_end())]).is(8, "", "");
    run(vec![sse(error(4000).trim_end())]).is(4, "", "");
    // What comes after a Done is no part of it.
    let done = "event: Done\ndata: {}\n\n\n: bye";
    run(vec![sse(&(error(4000) + done))]).is(4, "", "");
    // Right after it, only a clean end proves that nothing follows.
    run(vec![sse(&error(4009)).then_fails(Cause::Cut)]).is(8, "", "");
    run(vec![sse(&error(4000)).then_fails(Cause::Cut)]).is(4, "", "");
    for after in [
        r#"Done|{"data":{"execute_id":"9"}}"#,
        r#"Done|{"debug_url":"https://w/?execute_id=%37"}"#,
        r#"Interrupt|{"interrupt_data":{"event_id":"abc"}}"#,
        r#"Message|{"content":"a","node_title":"End"}"#,
        "PING|{}",
    ] {
        let (name, data) = after.split_once('|').unwrap();
        let event = format!("id: 1\nevent: {name}\ndata: {data}\n\n");
        run(vec![sse(&(error(4009) + &event))]).is(1, "", "");
    }
    run(vec![sse(
        &(error(4009) + "id: 1\nevent: Done\ndata: {}\n\n")
    )])
    .is(8, "", "");
}

#[test]
fn an_event_without_data_is_before_an_error_too() {
    for code in [4000, 4009] {
        let error = format!("event: Error\ndata: {{\"error_code\":{code}}}\n\n");
        run(vec![sse(&format!("id: 0\nevent: PING\n\n{error}"))]).is(1, "", "");
    }
}

#[test]
fn a_long_answer_names_its_run_at_its_end() {
    let long = "x".repeat(3 << 20);
    let answer = format!(r#"{{"code":0,"data":"{long}","execute_id":"9"}}"#);
    run(vec![refusal(200, &answer), poll(200, SUCCEEDED)]).is(0, "9", "whole");
}

#[test]
fn an_array_is_no_refusal() {
    run(vec![refusal(502, "[4009]")]).is(8, "", "");
    run(vec![refusal(500, "[4200]")]).is(8, "", "");
}

#[test]
fn a_stream_whose_first_piece_is_a_byte_order_mark_or_blank_is_a_stream() {
    let whole = end("hi", 0, true) + DONE;
    for first in [&b"\xef\xbb\xbf"[..], b"\xef", b"\n\n", b"\n\xef\xbb"] {
        let rest: &[u8] = match first {
            b"\xef" => b"\xbb\xbf",
            b"\n\xef\xbb" => b"\xbf\n",
            _ => b"",
        };
        let mut apart = sse("");
        apart.pieces = vec![Ok(first.to_vec()), Ok([rest, whole.as_bytes()].concat())];
        run(vec![apart]).is(0, "9", "hi");
    }
}

#[test]
fn any_event_names_the_run_although_its_json_is_broken() {
    for name in ["PING", "workflow_start", "Message", "Done"] {
        let event = format!("id: 0\nevent: {name}\ndata: {{\"execute_id\":\"9\",\"a\":\n\n");
        let outcome = run(vec![
            sse(&event).then_fails(Cause::Cut),
            poll(200, SUCCEEDED),
        ]);
        outcome.is(0, "9", "whole");
    }
}

#[test]
fn a_text_in_a_ping_or_a_done_was_a_messages_whose_end_was_lost() {
    let text = r#"{"content":"x","node_title":"End","debug_url":"https://w/?execute_id=9"}"#;
    let ping = format!("id: 0\nevent: PING\ndata: {text}\n\nid: 1\nevent: Done\ndata: {{}}\n\n");
    let done = format!("id: 0\nevent: Done\ndata: {text}\n\n");
    for stream in [ping, done] {
        run(vec![sse(&stream), poll(200, SUCCEEDED)]).is(0, "9", "whole");
    }
}

#[test]
fn a_refusal_that_was_cut_proves_nothing() {
    let begun = r#"{"code":4009,"msg":"m","debug_url":"https://w/?exec"#;
    for status in [200, 400, 429] {
        // A clean end proves no more than a break: a body may be ended by the connection alone.
        run(vec![refusal(status, begun)]).is(8, "", "");
        run(vec![refusal(status, begun).then_fails(Cause::Cut)]).is(8, "", "");
    }
    run(vec![refusal(429, "").then_fails(Cause::Cut)]).is(8, "", "");
    run(vec![refusal(429, &format!("\u{feff}{begun}"))]).is(8, "", "");
    let named = r#"{"code":4009,"debug_url":"https://w/?execute_id=9&workfl"#;
    run(vec![refusal(429, named), poll(200, SUCCEEDED)]).is(0, "9", "whole");
}

#[test]
fn in_a_batch_a_rate_refusal_closes_the_gate_and_uses_up_no_retries() {
    let mut case = Case::new();
    case.rules.batch = true;
    let whole = end("hi", 0, true) + DONE;
    let mut script: Vec<_> = (0..6).map(|_| refusal(429, "")).collect();
    script.push(sse(&whole));
    case.answer(RUN, script).is(0, "9", "hi");
}

#[test]
fn whoever_watches_can_keep_a_run_from_being_sent() {
    struct Veto;
    impl Observer for Veto {
        fn starting(&self) -> Result<(), Error> {
            Err(Error::new(Kind::Io, "the journal can't be written"))
        }
        fn started(&self, _: &RunRef) {}
        fn note(&self, _: &Note<'_>) {}
    }
    let outcome = Case::new().observed(&[RUN], Vec::new(), &Veto);
    assert_eq!(outcome.response.exit_code(), 9);
}

/// What the handlers of Coze Studio answered, call by call, and what must come of each.
#[test]
fn every_recorded_answer_of_coze_studio_comes_out_right() {
    let answers = include_str!("../../tests/wire/studio_live_answers.jsonl");
    let mut checked = 0;
    for line in answers.lines() {
        let answer: serde_json::Value = serde_json::from_str(line).unwrap();
        let (call, body) = (answer["call"].as_str().unwrap(), answer["body"].to_string());
        let status = u16::try_from(answer["http"].as_u64().unwrap()).unwrap();
        let post = |path| reply(path, status, "application/json", &body).of_studio();
        let what = call.split_once(", ").map_or("", |(_, what)| what);
        let case = Case::new().no_wait();
        let outcome = if call.starts_with("POST stream_run") {
            Case::new().answer(RUN, vec![post("/v1/workflow/stream_run")])
        } else if call.starts_with("POST stream_resume") {
            Case::new().answer(RESUME, vec![post("/v1/workflow/stream_resume")])
        } else if call.starts_with("POST run") {
            case.answer(ASYNC, vec![post("/v1/workflow/run")])
        } else if call.starts_with("GET history") {
            // Which run it is of is told by a number there, which may be rounded on the way.
            let path = "/v1/workflow/get_run_history?workflow_id=7&execute_id=9";
            let body = recorded_of_run_9(&body);
            let polled = reply(path, status, "application/json", &body).of_studio();
            let found_out = no_such_path("/v1/workflows/7/run_histories/9");
            case.answer(WATCH, vec![found_out, polled])
        } else {
            continue;
        };
        checked += 1;
        let expected = match (call.split_once(',').map_or(call, |(call, _)| call), what) {
            ("POST run", "in the foreground, a node fails") => (1, "7712454175249924096"),
            ("POST run", "in the foreground, text") => (6, "7712454175291867136"),
            ("POST run", "is_async") => (6, "7712454175317032960"),
            ("POST stream_run" | "POST run", _) => (4, ""),
            ("POST stream_resume", _) => (4, "9"),
            ("GET history", "failed") => (1, "9"),
            ("GET history", "wrong key") => (4, "9"),
            ("GET history", "running" | "waits for an answer (for good)") => (6, "9"),
            ("GET history", "no such run (for good)" | "execute_id abc") => (6, "9"),
            ("GET history", _) => (0, "9"),
            other => panic!("{other:?}"),
        };
        let response = &outcome.response;
        let seen = (response.exit_code(), response.execute_id.as_str());
        assert_eq!(seen, expected, "{call}: {:?}", response.error);
        assert!(!response.debug_url.contains("execute_id=0&"), "{call}");
    }
    assert_eq!(checked, 38);
}

/// The run's own address would name another run.
fn recorded_of_run_9(body: &str) -> String {
    let mut body: serde_json::Value = serde_json::from_str(body).unwrap();
    if let Some(record) = body["data"].get_mut(0) {
        record["debug_url"] = serde_json::Value::Null;
    }
    body.to_string()
}

#[test]
fn a_refusal_that_has_a_page_on_a_run_was_not_only_a_refusal() {
    for page in ["https://w/work_flow?***", "https://w/work_flow"] {
        for code in [4000, 4009, 4020] {
            let body = format!(r#"{{"code":{code},"msg":"x","debug_url":"{page}"}}"#);
            let outcome = run(vec![refusal(200, &body)]).is(8, "", "");
            assert_eq!(outcome.posts(), 1);
            let event = format!(
                "id: 0\nevent: Error\ndata: {{\"error_code\":{code},\"debug_url\":\"{page}\"}}\n\n"
            );
            run(vec![sse(&event)]).is(1, "", "");
        }
    }
}

#[test]
fn an_id_is_found_inside_the_data_of_an_answer() {
    let refused = r#"{"code":4000,"data":{"execute_id":"9"}}"#;
    run(vec![refusal(200, refused)]).is(1, "9", "");
    let started = background(200, r#"{"code":0,"data":{"execute_id":"9"}}"#);
    let script = vec![started, poll(200, SUCCEEDED)];
    Case::new().answer(ASYNC, script).is(0, "9", "whole");
}

#[test]
fn an_error_under_another_id_than_0_is_not_the_first() {
    for id in ["99999999999999999999999", "1-0", "evt_7", "5 ", "1"] {
        let event = format!("id: {id}\nevent: Error\ndata: {{\"error_code\":4020}}\n\n");
        run(vec![sse(&event)]).is(1, "", "");
    }
}

#[test]
fn a_rate_refusal_that_cannot_be_read_is_not_sent_again() {
    let mut unreadable = refusal(429, "");
    unreadable.pieces = vec![Ok(vec![0x1f, 0x8b, 0xff])];
    run(vec![unreadable]).is(8, "", "");
}

#[test]
fn only_the_signature_of_coze_studio_makes_its_answers_refusals() {
    let case = |logid| {
        let (clock, notes) = <(ScriptedClock, Notes)>::default();
        let shared = Shared::new(Found::new(ServiceName::parse("studio")), Vec::new());
        let mut refused = refusal(200, r#"{"code":720701013,"msg":"upstream timeout"}"#);
        refused.logid = logid;
        let world = World {
            clock: &clock,
            script: Mutex::new(vec![refused].into()),
            for_ever: None,
            calls: Mutex::default(),
        };
        let runner = Runner {
            http: &world,
            clock: &clock,
            rules: Case::new().rules,
            shared: &shared,
        };
        let request = Request::parse(RUN, &Options::default());
        runner.answer(&request, &request.task, &notes).exit_code()
    };
    assert_eq!((case(LOGID), case("-"), case(UUID)), (8, 8, 4));
}

#[test]
fn a_run_is_named_by_its_interrupt_however_the_rest_of_it_is() {
    for (name, data) in [
        ("Interrupt", r#"{"interrupt_data":{"event_id":"9/1"}}"#),
        (
            "Interrupt",
            r#"{"interrupt_data":{"event_id":"9/1","type":"question"}}"#,
        ),
        (
            "Interrupt",
            r#"{"interrupt_data":"{\"event_id\":\"9/1\",\"type\":2}"}"#,
        ),
        (
            "question",
            r#"{"interrupt_data":{"event_id":"9/1","type":2}}"#,
        ),
    ] {
        let event = format!("id: 0\nevent: {name}\ndata: {data}\n\n");
        run(vec![sse(&event), poll(200, SUCCEEDED)]).is(0, "9", "whole");
    }
    let cut = "id: 0\nevent: Interrupt\ndata: {\"interrupt_data\":{\"event_id\":\"9\\/27";
    run(vec![sse(cut).then_fails(Cause::Cut), poll(200, SUCCEEDED)]).is(0, "9", "whole");
}

#[test]
fn after_a_broken_end_the_run_may_still_be_named() {
    for broken in [
        "event: error\ndata: EOF\n\n",
        "event: Done\ndata: {\"debug_url\":\n\n",
    ] {
        let stream = format!("{broken}{DONE}");
        run(vec![sse(&stream), poll(200, SUCCEEDED)]).is(0, "9", "whole");
    }
}

#[test]
fn a_run_that_was_seen_is_not_said_to_be_absent() {
    let absent = || poll(200, r#"{"code":4314,"msg":"no such run"}"#);
    let mut script = vec![poll(200, RUNNING)];
    script.extend((0..10).map(|_| absent()));
    Case::new().answer(WATCH, script).is(6, "9", "");
    let mut script: Vec<_> = (0..9).map(|_| poll(503, "<html>")).collect();
    script.push(absent());
    Case::new().answer(WATCH, script).is(6, "9", "");
}

#[test]
fn a_history_above_the_limit_is_unknown_and_not_fetched_again() {
    let mut huge = poll(200, "");
    let piece = vec![b'x'; 16 << 20];
    huge.pieces = (0..17).map(|_| Ok(piece.clone())).collect();
    Case::new()
        .answer(WATCH, vec![huge])
        .is(8, "9", "")
        .says("larger than 256 MiB");
}

// Deployed projects, where a start carries an id of ours.

/// What the scripted clock's chance makes.
const OWN: &str = "00000000000000330000000000000033";
const IN_BACKGROUND: &str = r#"{"parameters":{"a":1},"is_async":true}"#;

fn async_run(status: u16, body: &str) -> Reply {
    reply("/async_run", status, "application/json", body)
}

fn accepted() -> Reply {
    async_run(200, &format!(r#"{{"task_id":"{OWN}","status":"pending"}}"#))
}

fn task(status: &str) -> Reply {
    let body = format!(r#"{{"task_id":"{OWN}","status":"{status}","result":{{"n": 3.0}}}}"#);
    reply(TASK, 200, "application/json", &body)
}

fn no_task() -> Reply {
    reply(
        TASK,
        404,
        "application/json",
        r#"{"detail":"task not found"}"#,
    )
}

const TASK: &str = "/task/00000000000000330000000000000033";

fn lost_start() -> Reply {
    no_answer("/async_run", Reach::MaybeSent, Cause::Cut)
}

#[test]
fn a_start_carries_an_id_of_ours_that_is_reported_before_it_is_sent() {
    let script = vec![accepted(), task("running"), task("completed")];
    let outcome = Case::of_project(false).answer(IN_BACKGROUND, script);
    let outcome = outcome.is(0, OWN, r#"{"n": 3.0}"#);
    assert_eq!(outcome.calls[0], format!(r#"/async_run {{"a":1}} {OWN}"#));
    assert_eq!(outcome.notes, [&format!("started {OWN} Async"), "starting"]);
}

#[test]
fn a_lost_start_is_sent_again_under_its_id_where_the_server_keeps_ids() {
    let script = vec![lost_start(), no_task(), accepted(), task("completed")];
    let outcome = Case::of_project(true).answer(IN_BACKGROUND, script);
    let outcome = outcome.is(0, OWN, r#"{"n": 3.0}"#);
    assert_eq!(outcome.calls[0], outcome.calls[2]);
    // One that shows it in the same process.
    let script = vec![
        accepted(),
        task("completed"),
        lost_start(),
        no_task(),
        accepted(),
        task("completed"),
    ];
    let case = Case::of_project(false);
    let requests = [IN_BACKGROUND, IN_BACKGROUND];
    let outcome = case.observed(&requests, script, &Notes::default());
    outcome.is(0, OWN, r#"{"n": 3.0}"#);
}

#[test]
fn a_lost_start_that_is_there_is_watched_and_a_repeated_one_as_well() {
    let script = vec![lost_start(), task("running"), task("completed")];
    let outcome = Case::of_project(false).answer(IN_BACKGROUND, script);
    outcome.is(0, OWN, r#"{"n": 3.0}"#);
    let again = r#"{"detail":"(psycopg2.errors.UniqueViolation) Key (task_id) already exists"}"#;
    let script = vec![
        lost_start(),
        no_task(),
        async_run(503, again),
        task("completed"),
    ];
    let outcome = Case::of_project(true).answer(IN_BACKGROUND, script);
    assert_eq!(outcome.is(0, OWN, r#"{"n": 3.0}"#).posts(), 2);
}

#[test]
fn where_a_404_cannot_be_trusted_it_is_looked_for_ten_times_and_unknown() {
    let absent = |case: Case, script| {
        let outcome = case
            .for_ever(no_task)
            .timeout(0)
            .answer(IN_BACKGROUND, script);
        let outcome = outcome.is(8, OWN, "").says("task not found");
        assert_eq!((outcome.posts(), outcome.calls.len()), (1, 11));
    };
    absent(Case::of_project(false), vec![lost_start()]);
    // After a day it may have been forgotten.
    let late = || no_answer("/async_run", Reach::MaybeSent, Cause::Cut).takes(86_400);
    absent(Case::of_project(true), vec![late()]);
}

#[test]
fn what_may_have_arrived_is_never_called_not_started_whatever_the_next_try_meets() {
    let no_way = || no_answer("/async_run", Reach::NotSent, Cause::Connect);
    let refused = || async_run(400, r#"{"detail":"Invalid JSON format"}"#);
    let busy = || async_run(429, "");
    for next in [
        vec![no_way(), no_way()],
        vec![busy(), busy()],
        vec![no_way(), busy()],
        vec![refused(), no_task(), refused(), no_task()],
        vec![lost_start(), no_task(), lost_start(), no_task()],
    ] {
        let mut script = vec![lost_start(), no_task()];
        script.extend(next);
        let outcome = Case::of_project(true).answer(IN_BACKGROUND, script);
        assert_eq!(outcome.is(8, OWN, "").posts(), 3);
    }
}

#[test]
fn what_keeps_a_start_from_being_sent_again_does_not_hide_that_it_may_have_arrived() {
    let no_way = |cause| no_answer("/async_run", Reach::NotSent, cause);
    let [again, last] = [Cause::Connect; 2].map(no_way);
    let script = vec![lost_start(), no_task(), again, last];
    let outcome = Case::of_project(true).answer(IN_BACKGROUND, script);
    outcome.is(8, OWN, "").says(
        "unknown: the run may have been started; then: connect of the script \
         (the run may have been started: look at Coze before running it again)",
    );
    // The first try may yet be found.
    let other = no_way(Cause::Certificate);
    let script = vec![lost_start(), no_task(), other, task("completed")];
    let outcome = Case::of_project(true).answer(IN_BACKGROUND, script);
    outcome.is(0, OWN, r#"{"n": 3.0}"#);
}

#[test]
fn an_answer_that_repeats_the_id_of_a_start_does_not_refuse_it() {
    for status in [400, 429] {
        let body = format!(r#"{{"detail":"no","run_id":"{OWN}"}}"#);
        let script = vec![reply("/stream_run", status, "application/json", &body)];
        let outcome = Case::of_project(true).answer(r#"{"parameters":{}}"#, script);
        assert_eq!(outcome.is(8, OWN, "").posts(), 1);
        let script = vec![async_run(status, &body), task("completed")];
        let outcome = Case::of_project(true).answer(IN_BACKGROUND, script);
        assert_eq!(outcome.is(0, OWN, r#"{"n": 3.0}"#).posts(), 1);
    }
}

#[test]
fn a_server_that_gave_a_run_another_id_is_not_trusted_to_keep_ours() {
    let done = r#"{"task_id":"other","status":"completed","result":1}"#;
    let script = vec![
        async_run(200, r#"{"task_id":"other","status":"pending"}"#),
        reply("/task/other", 200, "application/json", done),
        lost_start(),
    ];
    let case = Case::of_project(true).for_ever(no_task).timeout(0);
    let requests = [IN_BACKGROUND, IN_BACKGROUND];
    let outcome = case.observed(&requests, script, &Notes::default());
    assert_eq!(outcome.is(8, OWN, "").posts(), 2);
}

#[test]
fn an_error_event_is_of_a_run_that_failed_whatever_its_code_is() {
    for code in ["\"CANCELED\"", "7", "null"] {
        let event =
            format!("data: {{\"type\":\"error\",\"code\":{code},\"error_msg\":\"no\"}}\n\n");
        let script = vec![reply("/stream_run", 200, "text/event-stream", &event)];
        let outcome = Case::of_project(true).answer(r#"{"parameters":{}}"#, script);
        outcome.is(1, OWN, "").says("failed: no");
    }
}

#[test]
fn an_early_answer_of_a_project_may_name_the_run_too() {
    for said in [
        r#"{"task_id":"theirs","status":"pending"}"#,
        r#"{"task_id":"th"#,
    ] {
        let mut early = no_answer("/stream_run", Reach::NotSent, Cause::Cut);
        early.answer.as_mut().unwrap_err().said = said.to_owned();
        let outcome = Case::of_project(true).answer(r#"{"parameters":{}}"#, vec![early]);
        let id = if said.ends_with('}') { "theirs" } else { OWN };
        outcome.is(8, id, "");
    }
}

#[test]
fn a_result_that_says_two_things_is_not_a_success() {
    let end = r#"{"type":"workflow_end","run_id":"theirs","output":1,"output":2}"#;
    let script = vec![reply(
        "/stream_run",
        200,
        "text/event-stream",
        &format!("data: {end}\n\n"),
    )];
    let outcome = Case::of_project(true).answer(r#"{"parameters":{}}"#, script);
    outcome.is(8, "theirs", "");
}

#[test]
fn what_never_left_or_was_refused_has_no_id() {
    let no_way = || no_answer("/async_run", Reach::NotSent, Cause::Connect);
    let script = vec![no_way(), no_way(), no_way()];
    Case::of_project(true)
        .answer(IN_BACKGROUND, script)
        .is(5, "", "");
    let refused = async_run(400, r#"{"detail":"Invalid JSON format"}"#);
    Case::of_project(true)
        .answer(IN_BACKGROUND, vec![refused])
        .is(4, "", "")
        .says("refused: Invalid JSON format");
}

#[test]
fn a_workflow_that_fails_at_once_is_failed_and_not_refused() {
    let fault = r#"{"detail":{"error_code":201001,"error_message":"必填字段缺失: b"}}"#;
    for request in [IN_BACKGROUND, r#"{"parameters":{"a":1}}"#] {
        let path = if request == IN_BACKGROUND {
            "/async_run"
        } else {
            "/stream_run"
        };
        let script = vec![reply(path, 500, "application/json", fault)];
        let outcome = Case::of_project(true).answer(request, script);
        outcome.is(1, OWN, "").says("必填字段缺失: b (code 201001");
    }
}

#[test]
fn a_lost_stream_is_not_asked_for_and_never_sent_again() {
    let begun = r#"{"type":"workflow_start","run_id":"theirs"}"#;
    let begun = format!("id: 1\nevent: message\ndata: {begun}\n\n");
    let stream = |body: &str| reply("/stream_run", 200, "text/event-stream", body);
    for (script, id) in [
        (no_answer("/stream_run", Reach::MaybeSent, Cause::Cut), OWN),
        (stream(""), OWN),
        (stream(&begun), "theirs"),
        (stream(&begun).then_fails(Cause::Cut), "theirs"),
        (reply("/stream_run", 502, "text/html", "<html>"), OWN),
    ] {
        let outcome = Case::of_project(true).answer(r#"{"parameters":{}}"#, vec![script]);
        outcome.is(8, id, "");
    }
}

#[test]
fn a_poll_that_is_refused_leaves_a_lost_start_unknown() {
    let refused = reply(TASK, 401, "application/json", r#"{"msg":"no"}"#);
    let outcome = Case::of_project(true).answer(IN_BACKGROUND, vec![lost_start(), refused]);
    outcome.is(8, OWN, "").says("look at Coze before");
    let refused = reply(TASK, 401, "application/json", r#"{"msg":"no"}"#);
    let outcome = Case::of_project(true).answer(IN_BACKGROUND, vec![accepted(), refused]);
    outcome.is(6, OWN, "").says("send this response");
}

#[test]
fn what_an_earlier_process_may_have_sent_is_looked_for_before_it_is_sent_again() {
    struct Earlier(Option<u64>);
    impl Observer for Earlier {
        fn earlier(&self) -> Option<OwnRun> {
            Some(OwnRun {
                run: RunRef::new(OWN, Mode::Async).unwrap(),
                at: self.0,
                may_have_arrived: true,
            })
        }
        fn starting(&self) -> Result<(), Error> {
            Ok(())
        }
        fn started(&self, run: &RunRef) {
            panic!("{run:?} is known already");
        }
        fn note(&self, _: &Note<'_>) {}
    }
    let now = ScriptedClock::default().unix();
    // How it is to be run now does not matter.
    let asked = r#"{"parameters":{"a":1}}"#;
    let answer = |at: Option<u64>, script| {
        Case::of_project(true)
            .for_ever(no_task)
            .observed(&[asked], script, &Earlier(at))
    };
    let outcome = answer(Some(now), vec![task("completed")]);
    assert_eq!(outcome.is(0, OWN, r#"{"n": 3.0}"#).posts(), 0);
    let script = vec![no_task(), accepted(), task("completed")];
    let outcome = answer(Some(now - 86_399), script);
    assert_eq!(outcome.is(0, OWN, r#"{"n": 3.0}"#).posts(), 1);
    for at in [Some(now - 86_400), Some(now + 2 * 86_400), None] {
        assert_eq!(answer(at, vec![]).is(8, OWN, "").posts(), 0);
    }
    // Whatever keeps it from being sent again says nothing of what was sent before.
    let refused = || async_run(401, r#"{"msg":"Missing authorization header"}"#);
    let script = vec![no_task(), refused(), no_task(), no_task()];
    let outcome = Case::of_project(true).observed(&[asked, asked], script, &Earlier(Some(now)));
    assert_eq!(outcome.is(8, OWN, "").posts(), 1);
}
