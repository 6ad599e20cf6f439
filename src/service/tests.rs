//! What the histories of the services say: bytes of each in, what is known of the run out.

use super::*;
use crate::coze::history::node_output;

const VARIABLES: &[u8] =
    include_bytes!("../../tests/wire/cozecn_run_histories_success_variables.json");
const TEXT_MODE: &[u8] = include_bytes!("../../tests/wire/doc_run_histories_textmode.json");
const INVALID: &[u8] =
    include_bytes!("../../tests/wire/cozecn_run_histories_running_INVALID_JSON.json");
const STUDIO: &[u8] =
    include_bytes!("../../tests/wire/derived_studio_get_run_history_numeric_ids.json");
const STUDIO_401: &[u8] =
    include_bytes!("../../tests/wire/derived_studio_401_missing_session.json");
const NODE: &[u8] = include_bytes!("../../tests/wire/doc_execute_node_response.json");
const GATEWAY: &[u8] = include_bytes!("../../tests/wire/gateway_504.html");
const NO_PERMISSION: &[u8] = include_bytes!("../../tests/wire/envelope_4101.json");
const BAD_TOKEN: &[u8] = include_bytes!("../../tests/wire/envelope_700012006_http401.json");

/// A poll of the run of `VARIABLES`.
fn read_poll(service: ServiceName, status: u16, body: &[u8]) -> Poll {
    let run = RunRef::new("7535298640308535332", Mode::Stream).unwrap();
    service.service().read_poll(&run, status, true, body)
}

fn coze(body: &str) -> Poll {
    read_poll(ServiceName::Coze, 200, body.as_bytes())
}

/// A history of one record with these fields.
fn history(fields: &str) -> Poll {
    coze(&format!(r#"{{"code":0,"data":[{{{fields}}}]}}"#))
}

#[track_caller]
fn success(poll: Poll) -> Record {
    match poll {
        Poll::Success(record) => record,
        other => panic!("{other:?}"),
    }
}

/// The `output` field for what the decoded JSON text is.
fn output(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap();
    format!(r#""execute_status":"Success","output":{json}"#)
}

#[track_caller]
fn has_no_output(body: &[u8]) {
    match read_poll(ServiceName::Coze, 200, body) {
        Poll::Success(record) => assert_eq!(record.output, None),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_what_was_said_is_no_output() {
    let mut body =
        br#"{"code":0,"data":[{"execute_status":"Success","output":"{\"Output\":\"caf*\"}"}]}"#
            .to_vec();
    assert!(matches!(
        read_poll(ServiceName::Coze, 200, &body),
        Poll::Success(Record {
            output: Some(_),
            ..
        })
    ));
    let place = body.iter().position(|&byte| byte == b'*').unwrap();
    body[place] = 0xe9;
    has_no_output(&body);
}

#[test]
fn a_wrapper_that_is_cut_or_says_two_things_is_no_output() {
    for output in [
        r#"{"Msg":"a","Output":"cut he"#,
        r#"{ "Output": "cut he"#,
        r#"{"Output":"one","Output":"two"}"#,
        r#"{"Output":"one","Msg":"a","Msg":"b"}"#,
        r#"{"content_type":1,"data":"cut he"#,
        r#"{"content_type":1,"data":"a","data":"b","type_for_model":2}"#,
    ] {
        let output = serde_json::to_string(output).unwrap();
        let body =
            format!(r#"{{"code":0,"data":[{{"execute_status":"Success","output":{output}}}]}}"#);
        has_no_output(body.as_bytes());
    }
}

#[test]
fn variables_come_out_as_the_stream_gives_them() {
    let record = success(read_poll(ServiceName::Coze, 200, VARIABLES));
    let output = record.output.unwrap();
    assert!(
        output
            .plain()
            .starts_with(r#"{"content":"你好，[shortened]","title":"#)
    );
    assert_eq!(record.mode, Some(Mode::Async));
    assert_eq!(
        record.logid.as_deref(),
        Some("20250806104715BA070BFC777692AA724C")
    );
}

#[test]
fn a_text_mode_result_is_unwrapped() {
    let record = success(read_poll(ServiceName::Coze, 200, TEXT_MODE));
    assert_eq!(
        record.output.as_ref().map(Text::plain).as_deref(),
        Some("来找姐姐有什么事呀")
    );
    assert!(record.usage.unwrap().get().contains("150"));
}

#[test]
fn an_object_that_only_resembles_the_wrapper_is_text() {
    for text in [
        r#"{"content_type":1,"data":"x","type_for_model":2,"more":0}"#,
        r#"{"content_type":2,"data":"x","type_for_model":2}"#,
        r#"{"data":"x"}"#,
    ] {
        let outer = format!(r#"{{"Output":{}}}"#, serde_json::to_string(text).unwrap());
        assert_eq!(
            success(history(&output(&outer)))
                .output
                .as_ref()
                .map(Text::plain)
                .as_deref(),
            Some(text)
        );
    }
}

#[test]
fn other_keys_of_the_output_are_messages() {
    let text = r#"{"Output":"{\"a\":1}","node_status":"{}","输出":"你好","空":""}"#;
    let record = success(history(&output(text)));
    assert_eq!(
        record.output.as_ref().map(Text::plain).as_deref(),
        Some(r#"{"a":1}"#)
    );
    assert_eq!(record.messages.len(), 1);
    assert_eq!(record.messages[0].content.plain(), "你好");
}

#[test]
fn a_result_that_is_no_longer_kept_is_none() {
    assert_eq!(
        success(history(&output(r#"{"node_status":"{}"}"#))).output,
        None
    );
    assert_eq!(
        success(history(r#""execute_status":"Success""#)).output,
        None
    );
}

#[test]
fn text_that_is_no_such_object_is_taken_as_it_is() {
    for text in ["plain", r#"{"a":1}"#, "[1]", ""] {
        assert_eq!(
            success(history(&output(text)))
                .output
                .as_ref()
                .map(Text::plain)
                .as_deref(),
            Some(text)
        );
    }
}

#[test]
fn a_broken_wrapper_or_text_is_not_taken_for_the_result() {
    for text in [
        r#"{"Output":"hi there is mo"#,
        r#"{"x":"a"b","node_status":"{}"}"#,
        r#"{"Output":"abc \ud83d","node_status":"{}"}"#,
    ] {
        assert_eq!(success(history(&output(text))).output, None, "{text}");
    }
}

#[test]
fn a_body_that_is_no_json_but_says_running_is_running() {
    assert!(matches!(
        read_poll(ServiceName::Coze, 200, INVALID),
        Poll::Running(_)
    ));
    assert!(matches!(
        coze(r#"{"execute_status":"Success" oops"#),
        Poll::Unclear(_)
    ));
}

#[test]
fn an_interrupt_comes_before_the_status() {
    let poll = history(
        r#""execute_status":"Running","run_mode":2,"interrupt_data":{"event_id":"9/1","type":2,"data":"q"}"#,
    );
    assert!(
        matches!(poll, Poll::Interrupted(Record { mode: Some(Mode::Async), .. }, interrupt) if interrupt.event_id == "9/1")
    );
}

#[test]
fn failures_give_the_code_and_the_words() {
    let poll = history(r#""execute_status":"Fail","error_code":"720701013","error_message":"no""#);
    assert!(
        matches!(poll, Poll::Failed(_, said) if said.number() == Some(720_701_013) && said.message == "no")
    );
    let cancelled = history(r#""execute_status":"Cancel","error_code":"0""#);
    assert!(
        matches!(cancelled, Poll::Failed(_, said) if said.code.is_none() && said.message == "the run was cancelled")
    );
}

#[test]
fn studios_history_is_taken_unwrapped_with_its_numeric_ids() {
    let record = success(read_poll(ServiceName::Studio, 200, STUDIO));
    assert_eq!(
        record.output.as_ref().map(Text::plain).as_deref(),
        Some(r#"{"output":"hello"}"#)
    );
    assert!(record.debug_url.unwrap().contains("7547546110525440001"));
    assert_eq!(
        record.logid.as_deref(),
        Some("1f0f8f7a-0000-4000-8000-000000000000")
    );
    let unset = read_poll(
        ServiceName::Studio,
        200,
        br#"{"data":[{"execute_status":"<UNSET>"}]}"#,
    );
    assert!(matches!(unset, Poll::Waiting(_)));
}

#[test]
fn a_server_without_a_history_is_distinguished_from_one_that_refuses() {
    let polled = |service, status, body| read_poll(service, status, body);
    let page: &[u8] = b"404 page not found";
    for (service, status, body) in [
        (ServiceName::Coze, 404, page),
        (ServiceName::Studio, 404, page),
        (ServiceName::Studio, 401, STUDIO_401),
    ] {
        let poll = polled(service, status, body);
        assert!(matches!(poll, Poll::NoHistory), "{service:?}: {poll:?}");
    }
    for (service, status, body, code) in [
        (ServiceName::Coze, 401, STUDIO_401, 401),
        (ServiceName::Coze, 401, BAD_TOKEN, 700_012_006),
        (ServiceName::Studio, 200, BAD_TOKEN, 700_012_006),
    ] {
        let poll = polled(service, status, body);
        let told = matches!(poll, Poll::Refused(ref said) if said.number() == Some(code));
        assert!(told, "{service:?}: {poll:?}");
    }
}

#[test]
fn an_unsigned_answer_does_not_say_that_coze_studio_has_no_history() {
    let run = RunRef::new("9", Mode::Stream).unwrap();
    let studio = ServiceName::Studio.service();
    for (status, body) in [(401, STUDIO_401), (404, &b"404 page not found"[..])] {
        let poll = studio.read_poll(&run, status, false, body);
        assert!(matches!(poll, Poll::Unclear(_)), "{poll:?}");
    }
}

#[test]
fn what_is_no_map_is_no_output_of_coze_studio() {
    for output in [r#"{\"output\":\"x"#, "", "plain"] {
        let body = format!(r#"{{"data":[{{"execute_status":"Success","output":"{output}"}}]}}"#);
        let record = success(read_poll(ServiceName::Studio, 200, body.as_bytes()));
        assert_eq!(record.output, None, "{output}");
    }
}

#[test]
fn an_error_of_a_gateway_is_no_sign_of_coze_studio() {
    let found = Found::new(None);
    found.learn(Some(UUID), 502);
    assert_eq!(found.service().word(), "coze");
}

#[test]
fn each_service_says_in_its_own_way_that_there_is_no_such_run() {
    for (service, code, other) in [
        (ServiceName::Coze, 4314, 777_777_775),
        (ServiceName::Studio, 777_777_775, 5000),
    ] {
        let absent = |code| {
            let body = format!(r#"{{"code":{code},"msg":"x"}}"#);
            matches!(read_poll(service, 200, body.as_bytes()), Poll::Absent(_))
        };
        assert!(absent(code) && !absent(other), "{service:?}");
    }
}

#[test]
fn coze_studios_tokens_are_its_usage() {
    let body = br#"{"data":[{"execute_id":1,"execute_status":"Success","output":"{}","token":7}]}"#;
    let record = success(read_poll(ServiceName::Studio, 200, body));
    assert_eq!(record.usage.unwrap().get(), r#"{"token_count":7}"#);
}

#[test]
fn a_run_in_the_foreground_is_resumed_like_one_in_the_background() {
    for (mode, expected) in [
        ("0", Some(Mode::Async)),
        ("1", Some(Mode::Stream)),
        ("2", Some(Mode::Async)),
        ("9", None),
    ] {
        let fields = format!(r#""execute_status":"Success","output":"x","run_mode":{mode}"#);
        assert_eq!(success(history(&fields)).mode, expected, "{mode}");
    }
}

#[test]
fn what_may_pass_is_unclear_and_what_will_not_is_refused() {
    let unclear = |status, body: &[u8]| {
        matches!(read_poll(ServiceName::Coze, status, body), Poll::Unclear(_))
    };
    assert!(unclear(504, GATEWAY));
    assert!(unclear(429, b"slow down"));
    assert!(unclear(500, br#"{"code":5000,"msg":"x"}"#));
    assert!(unclear(200, br#"{"code":0,"data":[]}"#));
    assert!(unclear(200, b""));
    assert!(!unclear(403, b"<html>"));
    assert!(matches!(
        read_poll(ServiceName::Coze, 200, NO_PERMISSION),
        Poll::Refused(said) if said.number() == Some(4101)
    ));
}

#[test]
fn trimmed_output_names_the_nodes_to_fetch() {
    let fields = output(r#"{"Output":"cut","node_status":"{}"}"#)
        + r#","is_output_trimmed":true,"node_execute_status":{"输出":{"node_id":"1","node_execute_uuid":"u-1"},"循环":[{"node_execute_uuid":"u2"},{"node_execute_uuid":"../x"}]}"#;
    let record = success(history(&fields));
    assert_eq!(record.output, None);
    let uuids: Vec<_> = record
        .trimmed
        .iter()
        .map(|node| node.node_execute_uuid.as_str())
        .collect();
    assert_eq!(uuids, ["u-1", "u2"]);
}

#[test]
fn the_text_of_a_node_is_found() {
    assert!(
        node_output(200, NODE)
            .unwrap()
            .plain()
            .starts_with("0《零的奇妙冒险》\n")
    );
    assert_eq!(node_output(200, NO_PERMISSION), None);
}

#[test]
fn a_record_of_another_run_is_passed_over() {
    let about = |execute_id: &str| {
        format!(r#"{{"execute_id":{execute_id},"execute_status":"Success","output":"x"}}"#)
    };
    let ours = about("\"7535298640308535332\"");
    let another = about("\"7535298640308535333\"");
    for (records, output) in [
        (&ours, Some("x")),
        (&another, None),
        (&format!("{another},{ours}"), Some("x")),
        (&about("\"753529864030853****\""), Some("x")),
        (&about("7535298640308535000"), Some("x")),
        (&about("\"\""), Some("x")),
        (
            &format!("{},{ours}", about("\"\"").replace("\"x\"", "\"anon\"")),
            Some("x"),
        ),
        (
            &another.replace(
                "\"execute_id\":\"",
                "\"debug_url\":\"https://w/?execute_id=",
            ),
            None,
        ),
        (&r#"["7535298640308535332","Success","x"]"#.to_owned(), None),
    ] {
        let body = format!(r#"{{"code":0,"data":[{records}]}}"#);
        match read_poll(ServiceName::Coze, 200, body.as_bytes()) {
            Poll::Success(record) => {
                assert_eq!(record.output.unwrap().plain(), output.unwrap());
            }
            poll => assert!(
                matches!(poll, Poll::Unclear(_)) && output.is_none(),
                "{poll:?}"
            ),
        }
    }
}

const UUID: &str = "7af99dba-1020-4aa3-9365-e8ce24bea90c";

#[test]
fn coze_studio_is_found_out_by_its_log_id_unless_it_was_told() {
    let name = |told, logid| {
        let found = Found::new(told);
        found.learn(logid, 200);
        ServiceName::parse(found.service().word()).unwrap()
    };
    assert_eq!(name(None, Some(UUID)), ServiceName::Studio);
    assert_eq!(name(Some(ServiceName::Coze), Some(UUID)), ServiceName::Coze);
    assert_eq!(name(Some(ServiceName::Studio), None), ServiceName::Studio);
    for other in [None, Some(""), Some("20250806104715BA070BFC777692AA724C")] {
        assert_eq!(name(None, other), ServiceName::Coze, "{other:?}");
    }
}

#[test]
fn a_service_has_one_word_and_auto_is_none() {
    for name in ServiceName::ALL {
        assert_eq!(ServiceName::parse(name.word()), Some(name));
    }
    for word in ["", "auto", "Coze", "studio "] {
        assert_eq!(ServiceName::parse(word), None, "{word:?}");
    }
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    assert_eq!(
        ServiceName::unknown(Kind::Usage, "--service").to_string(),
        "the service in --service is none of coze, studio, site \
         (leave it out, and what the server says decides)"
    );
}

// Deployed projects.

const SITE_ANSWERS: &str = include_str!("../../tests/wire/site-server-answers.jsonl");

/// A recorded answer: its HTTP status, and its body.
#[track_caller]
fn recorded(call: &str) -> (u16, String) {
    #[derive(serde::Deserialize)]
    struct Recorded<'a> {
        #[serde(borrow)]
        call: std::borrow::Cow<'a, str>,
        http: u16,
        #[serde(borrow)]
        body: &'a serde_json::value::RawValue,
    }
    let lines = SITE_ANSWERS
        .lines()
        .map(|line| serde_json::from_str::<Recorded<'_>>(line).unwrap());
    let mut found = lines.filter(|recorded| recorded.call.starts_with(call));
    let found = found.next().expect("a call that was made");
    (found.http, found.body.get().to_owned())
}

const TASK: &str = "0190c1f2aaaa4bbb8cccdddddddddddd";

fn polled(id: &str, status: u16, body: &str) -> Poll {
    let run = RunRef::new(id, Mode::Async).unwrap();
    let site = ServiceName::Site.service();
    site.read_poll(&run, status, false, body.as_bytes())
}

#[track_caller]
fn polled_as_recorded(id: &str, call: &str) -> Poll {
    let (status, body) = recorded(call);
    polled(id, status, &body)
}

#[test]
fn a_task_of_a_project_tells_what_became_of_the_run_byte_for_byte() {
    let completed = success(polled_as_recorded(TASK, "GET /task/…, completed"));
    assert_eq!(completed.output.unwrap().plain(), r#"{"result":3.0}"#);
    let running = polled_as_recorded(TASK, "GET /task/…, running");
    assert!(matches!(running, Poll::Running(_)), "{running:?}");
    match polled_as_recorded("af", "GET /task/…, failed") {
        Poll::Failed(_, said) => {
            assert_eq!(said.message, "a must not be 13");
            assert_eq!(
                said.code,
                Some(crate::error::Code::Word("ValueError".to_owned()))
            );
        }
        other => panic!("{other:?}"),
    }
    let absent = polled_as_recorded("nope", "GET /task/nope");
    assert!(matches!(absent, Poll::Absent(ref said) if said.message == "task not found"));
}

#[test]
fn every_end_of_a_task_is_reported_and_anything_else_is_polled_again() {
    let of = |fields: &str| polled("t", 200, &format!(r#"{{"task_id":"t",{fields}}}"#));
    for (word, message) in [
        ("cancelled", "the run was cancelled"),
        ("timeout", "the run took too long"),
        ("failed", "the run failed; Coze gives no reason"),
    ] {
        let poll = of(&format!(r#""status":"{word}","error":null"#));
        assert!(
            matches!(&poll, Poll::Failed(_, said) if said.message == message),
            "{poll:?}"
        );
    }
    let null = success(of(r#""status":"completed","result":null"#));
    assert_eq!(null.output.unwrap().plain(), "null");
    assert_eq!(success(of(r#""status":"completed""#)).output, None);
    for (status, body) in [
        (
            200,
            r#"{"task_id":"another","status":"completed","result":1}"#,
        ),
        (200, r#"{"task_id":"t","status":"new"}"#),
        (200, r#"{"task_id":"t","status":"comp"#),
        (
            200,
            r#"{"task_id":"t","status":"completed","result":1,"result":2}"#,
        ),
        (503, r#"{"detail":"async-task storage unavailable"}"#),
        (429, ""),
    ] {
        let poll = polled("t", status, body);
        assert!(matches!(poll, Poll::Unclear(_)), "{body}: {poll:?}");
    }
    for (status, body) in [
        (401, r#"{"msg":"Missing authorization header"}"#),
        (404, r#"{"detail":"Not Found"}"#),
        (404, "<html>"),
    ] {
        let poll = polled("t", status, body);
        assert!(matches!(poll, Poll::Refused(_)), "{body}: {poll:?}");
    }
}

#[test]
fn a_start_of_a_project_has_the_parameters_alone_as_its_body() {
    let site = ServiceName::Site.service();
    for (body, sent) in [
        (
            r#"{"parameters":{"a": 1.0, "b":[]},"is_async":true}"#,
            r#"{"a": 1.0, "b":[]}"#,
        ),
        (r#"{"parameters":"{\"a\": 1.0}"}"#, r#"{"a": 1.0}"#),
        ("{}", "{}"),
    ] {
        assert_eq!(site.start(Mode::Stream, body).body(), Some(sent));
    }
    assert_eq!(site.start(Mode::Stream, "{}").path, "/stream_run");
    assert_eq!(site.start(Mode::Async, "{}").path, "/async_run");
}

#[test]
fn an_answer_of_a_project_is_understood() {
    let site = ServiceName::Site.service();
    let understood = |call: &str| {
        let (status, body) = recorded(call);
        let envelope = site.envelope(&body);
        let said = envelope.said(String::new);
        let meaning = site.meaning(envelope.code(), status, false);
        (
            envelope.execute_id(),
            said.number(),
            said.message.clone(),
            meaning,
        )
    };
    let started = understood("POST /async_run, x-run-id: 0190c1f2aaaa4bbb8cccdddddddddddd");
    assert_eq!(started.0.as_deref(), Some(TASK));
    let failed = understood("POST /run, a node raises");
    assert_eq!((failed.1, failed.3), (Some(201_003), Meaning::Failed));
    assert_eq!(failed.2, "值错误: a must not be 13");
    let again = understood("POST /async_run, the same x-run-id again");
    assert_eq!((again.0, again.3), (None, Meaning::Unclear));
    let refused = understood("POST /run, body is no JSON");
    assert!(refused.2.starts_with("Invalid JSON format"));
    assert_eq!(refused.3, Meaning::Refused);
}

/// How a stream of a project ends: its result or what went wrong, and the run.
fn streamed(stream: &[u8]) -> (String, Option<String>, bool) {
    use crate::coze::transcript::{Ended, Transcript};

    let mut frames = crate::sse::Frames::new(stream);
    let mut transcript = Transcript::default();
    while let Some(frame) = frames.next().unwrap() {
        if transcript.ended().is_none() {
            transcript
                .push(frame, ServiceName::Site.service().events())
                .unwrap();
        }
    }
    let end = match transcript.ended() {
        Some(Ended::Done) => None,
        Some(Ended::Error { said, is_first }) => {
            assert!(!is_first);
            let mut error = Error::new(Kind::Failed, &said.message);
            error.code.clone_from(&said.code);
            Some(error.advice())
        }
        other => Some(format!("{other:?}")),
    };
    let execute_id = transcript.execute_id.clone();
    let heard = transcript.finish();
    assert_eq!(heard.lost_events, 0);
    let output = heard.output.plain().into_owned();
    (end.unwrap_or(output), execute_id, heard.is_whole)
}

#[test]
fn every_recorded_stream_of_a_project_comes_out_right() {
    let result = r#"{"result": 3.0}"#;
    for (stream, end, is_whole) in [
        (
            &include_bytes!("../../tests/wire/site-doc-run-stream.sse")[..],
            result,
            true,
        ),
        (
            include_bytes!("../../tests/wire/site-server-stream-run.sse"),
            result,
            true,
        ),
        (
            include_bytes!("../../tests/wire/site-server-stream-run-debug.sse"),
            result,
            true,
        ),
        (
            include_bytes!("../../tests/wire/site-server-stream-run-ping.sse"),
            result,
            true,
        ),
        (
            include_bytes!("../../tests/wire/site-server-stream-run-error.sse"),
            "值错误: a must not be 13 (code 201003)",
            false,
        ),
        (
            include_bytes!("../../tests/wire/site-server-stream-run-canceled.sse"),
            "Stream cancelled by user (code CANCELED)",
            false,
        ),
    ] {
        let (told, execute_id, whole) = streamed(stream);
        assert_eq!((told.as_str(), whole), (end, is_whole));
        assert!(execute_id.unwrap().contains("-0000-4000-8000-"));
    }
}

#[test]
fn only_a_whole_result_ends_a_stream_of_a_project_well() {
    let stream = &include_bytes!("../../tests/wire/site-server-stream-run.sse")[..];
    let whole = stream.len() - 2;
    for cut in 0..whole {
        assert!(!streamed(&stream[..cut]).2, "{cut}");
    }
    let ends_well = |data: &str| streamed(format!("event: message\ndata: {data}\n\n").as_bytes()).2;
    assert!(ends_well(r#"{"type":"done","output":null}"#));
    for other in [
        r#"{"type":"workflow_end"}"#,
        r#"{"type":"node_end","output":1}"#,
        r#"{"output":1}"#,
        r#"{"type":"workflow_end","output":1"#,
        r#"["workflow_end"]"#,
    ] {
        assert!(!ends_well(other), "{other}");
    }
    let mut broken = br#"data: {"type":"done","output":"caf*"}"#.to_vec();
    broken.extend(b"\n\n");
    assert!(streamed(&broken).2);
    let place = broken.iter().position(|&byte| byte == b'*').unwrap();
    broken[place] = 0xe9;
    assert!(!streamed(&broken).2);
}

#[test]
fn what_a_project_takes_is_known_by_json_schema() {
    use crate::coze::description;

    let (status, body) = recorded("GET /graph_parameter");
    let site = ServiceName::Site.service();
    let workflow = site.read_description(status, &body).unwrap();
    let declared = workflow.parameters.unwrap();
    assert_eq!(
        description::signature(&declared).text(),
        "the workflow takes a (number, required), b (number, required), sleep (number)"
    );
    let faults = |given| description::faults(&declared, given, "");
    assert!(faults(r#"{"a":1,"b":2.5,"sleep":null}"#).is_empty());
    assert_eq!(
        faults(r#"{"a":"1","slep":1}"#),
        [
            r#""b" (number) is required and missing"#,
            r#""a" must be a number, not a string"#,
            r#""slep" is unknown, the nearest is "sleep""#,
        ]
    );
    for (status, body) in [
        (404, r#"{"detail":"Not Found"}"#),
        (200, "{}"),
        (200, "<html>"),
    ] {
        assert!(site.read_description(status, body).is_err());
    }
}
