//! The stand-in Coze that other tests lean on: asked over a plain socket, without the program.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use support::coze::{self, Coze, Options, Site};

const STREAM_RUN: &str = "/v1/workflow/stream_run";
const RUN: &str = "/v1/workflow/run";
const STREAM_RESUME: &str = "/v1/workflow/stream_resume";
const KEY: &str = "pat_demo";
/// What the recorded workflows of Studio were given.
const INPUT: &str = r#"{"input":"hi <&> 你好"}"#;

#[test]
fn a_streamed_run_echoes_its_parameters_byte_for_byte() {
    let coze = Coze::start(Options::default());
    let answer = post(
        &coze,
        STREAM_RUN,
        &run(coze::ECHO, r#"{"key":"a", "n":1.50}"#),
    );
    assert_eq!(
        names(&answer),
        [
            "PING", "Message", "Message", "Message", "PING", "Message", "Done"
        ]
    );
    let end = &events(&answer)[5];
    assert_eq!(end["content"], r#"{"output":{"key":"a", "n":1.50}}"#);
    assert_eq!(coze.counts().started, [("a".to_owned(), 1)].into());
}

#[test]
fn done_names_the_run_and_its_history_holds_the_same_text() {
    let coze = Coze::start(Options::default());
    let answer = post(
        &coze,
        STREAM_RUN,
        &run(coze::ECHO_TEXT, r#"{"key":"扣子"}"#),
    );
    let execute_id = execute_id(&answer);
    assert!(answer.contains(r"\u0026execute_mode=2"));
    assert_eq!(node(&answer, "End"), r#"{"key":"扣子"}"#);
    let output = json(&output(&poll(&coze, coze::ECHO_TEXT, &execute_id)));
    assert_eq!(output["输出"], node(&answer, "输出"));
    assert_eq!(
        output["Output"],
        r#"{"content_type":1,"data":"{\"key\":\"扣子\"}","original_result":null,"type_for_model":2}"#
    );
}

#[test]
fn a_question_is_answered_once_and_in_its_own_mode() {
    let coze = Coze::start(Options::default());
    let asked = post(&coze, STREAM_RUN, &run(coze::QUESTION, "{}"));
    assert_eq!(names(&asked), ["PING", "Message", "Interrupt"]);
    let event_id = events(&asked)[2]["interrupt_data"]["event_id"].clone();
    let event_id = event_id.as_str().unwrap();
    let answer = answer_to(coze::QUESTION, event_id, "明天");
    assert_eq!(code(&post(&coze, "/v1/workflows/resume", &answer)), 4000);
    let told = post(&coze, "/v1/workflow/stream_resume", &answer);
    assert_eq!(node(&told, "End"), r#"{"answer":"明天"}"#);
    let again = post(&coze, "/v1/workflow/stream_resume", &answer);
    assert_eq!(code(&again), 4315);
    assert_eq!(coze.counts().resumed, [(event_id.to_owned(), 1)].into());
}

#[test]
fn a_background_question_still_shows_its_interrupt_once_after_the_answer() {
    let coze = Coze::start(Options::default());
    let submitted = post(&coze, RUN, &background(coze::QUESTION));
    let id = json(body(&submitted))["execute_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let event_id = format!("{id}/2769808280134765896");
    assert!(poll(&coze, coze::QUESTION, &id).contains(&event_id));
    post(
        &coze,
        "/v1/workflows/resume",
        &answer_to(coze::QUESTION, &event_id, "x"),
    );
    assert!(poll(&coze, coze::QUESTION, &id).contains(&event_id));
    assert_eq!(status(&poll(&coze, coze::QUESTION, &id)), "Success");
}

#[test]
fn a_slow_run_is_running_first_in_invalid_json_then_in_valid() {
    let coze = Coze::start(Options::default());
    let submitted = post(&coze, RUN, &background(coze::SLOW));
    let id = json(body(&submitted))["execute_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let first = poll(&coze, coze::SLOW, &id);
    assert!(first.contains(r#""execute_status":"Running""#));
    assert!(serde_json::from_str::<Value>(body(&first)).is_err());
    assert_eq!(status(&poll(&coze, coze::SLOW, &id)), "Running");
    assert_eq!(status(&poll(&coze, coze::SLOW, &id)), "Success");
    assert_eq!(coze.counts().polls, 3);
}

#[test]
fn a_failed_run_says_error_then_done_and_fail_in_its_history() {
    let coze = Coze::start(Options::default());
    let answer = post(&coze, STREAM_RUN, &run(coze::FAILS, "{}"));
    assert!(names(&answer).ends_with(&["Error".to_owned(), "Done".to_owned()]));
    assert_eq!(
        status(&poll(&coze, coze::FAILS, &execute_id(&answer))),
        "Fail"
    );
}

#[test]
fn refusals_start_nothing() {
    let coze = Coze::start(Options {
        key: Some("pat_demo".to_owned()),
        ..Options::default()
    });
    let unpublished = post(&coze, STREAM_RUN, &run(coze::UNPUBLISHED, "{}"));
    assert_eq!(names(&unpublished), ["Error"]);
    assert_eq!(events(&unpublished)[0]["error_code"], 4200);
    assert_eq!(code(&post(&coze, STREAM_RUN, &run("7", "{}"))), 4200);
    assert_eq!(code(&post(&coze, STREAM_RUN, "{")), 4000);
    assert_eq!(coze.counts().stream_run, 3);
    assert!(coze.counts().started.is_empty());
}

#[test]
fn a_wrong_key_is_http_401() {
    let coze = Coze::start(Options {
        key: Some("pat_other".to_owned()),
        ..Options::default()
    });
    let answer = post(&coze, STREAM_RUN, &run(coze::ECHO, "{}"));
    assert!(answer.starts_with("HTTP/1.1 401 "));
    assert_eq!(code(&answer), 700_012_006);
}

#[test]
fn a_key_without_list_run_history_may_run_but_not_poll() {
    let coze = Coze::start(Options {
        may_look: false,
        ..Options::default()
    });
    let answer = post(&coze, STREAM_RUN, &run(coze::ECHO, "{}"));
    assert_eq!(code(&poll(&coze, coze::ECHO, &execute_id(&answer))), 4101);
}

#[test]
fn each_request_is_refused_for_its_rate_before_it_is_run() {
    let coze = Coze::start(Options::default());
    let request = run(coze::RATE_LIMITED, r#"{"key":"a"}"#);
    let refused = post(&coze, STREAM_RUN, &request);
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("Retry-After: 1\r\n"));
    assert!(coze.counts().started.is_empty());
    assert!(names(&post(&coze, STREAM_RUN, &request)).contains(&"Done".to_owned()));
}

#[test]
fn a_cut_stream_ends_inside_an_event_and_the_run_goes_on() {
    let coze = Coze::start(Options::default());
    let answer = post(&coze, STREAM_RUN, &run(coze::CUT, "{}"));
    assert!(!answer.ends_with("0\r\n\r\n") && !answer.contains("Done"));
    assert_eq!(coze.counts().started.len(), 1);
    let history = poll(&coze, coze::CUT, "7600000000000000000");
    assert_eq!(status(&history), "Success");
}

#[test]
fn a_trimmed_history_leaves_the_text_to_execute_nodes() {
    let coze = Coze::start(Options {
        trimmed: true,
        ..Options::default()
    });
    let id = execute_id(&post(&coze, STREAM_RUN, &run(coze::ECHO, "{}")));
    let history = json(body(&poll(&coze, coze::ECHO, &id)));
    let uuid = &history["data"][0]["node_execute_status"]["输出"]["node_execute_uuid"];
    let path = format!(
        "/v1/workflows/{}/run_histories/{id}/execute_nodes/{}",
        coze::ECHO,
        uuid.as_str().unwrap()
    );
    let text = json(body(&get(&coze, &path)));
    assert_eq!(text["data"]["node_output"], "正在处理，请稍候……");
}

#[test]
fn a_form_that_is_answered_wrongly_is_asked_for_again_by_the_cloud() {
    let coze = Coze::start(Options::default());
    let asked = post(&coze, STREAM_RUN, &run(coze::FORM, "{}"));
    let interrupt = &events(&asked)[1]["interrupt_data"];
    let required =
        r#"{"name":{"required":true,"type":"string"},"age":{"required":false,"type":"integer"}}"#;
    assert_eq!(interrupt["required_parameters"], json(required));
    let first = event_id(&asked);
    let again = post(&coze, STREAM_RESUME, &form(&first, "Ann"));
    let second = event_id(&again);
    assert_ne!(first, second);
    let done = post(
        &coze,
        STREAM_RESUME,
        &form(&second, r#"{\"name\":\"Ann\"}"#),
    );
    assert_eq!(node(&done, "End"), r#"{"age":0,"name":"Ann"}"#);
    assert_eq!(coze.counts().resumed.len(), 2);
}

#[test]
fn the_cloud_answers_in_the_keys_that_were_recorded() {
    let coze = Coze::start(Options::default());
    let submitted = post(&coze, RUN, &background(coze::IMAGE));
    let recorded = include_str!("wire/cozecn_run_async_submit_2025_08.json");
    assert_eq!(keys(body(&submitted)), keys(recorded));
    let id = json(body(&submitted))["execute_id"].clone();
    let history = poll(&coze, coze::IMAGE, id.as_str().unwrap());
    let recorded = include_str!("wire/cozecn_run_histories_success_variables.json");
    assert_eq!(keys(body(&history)), keys(recorded));
    let streamed = post(&coze, STREAM_RUN, &run(coze::IMAGE, "{}"));
    let recorded = include_str!("wire/cozecn_ping_message_done.sse");
    // It was slower.
    let recorded = &recorded[recorded.find("id: 4").unwrap()..];
    assert_eq!(names(&streamed), names(recorded));
    assert_eq!(keys(&dechunked(&streamed)), keys(recorded));
    assert!(streamed.contains("\r\nX-Tt-Logid: ") && !streamed.contains("X-Log-Id"));
}

#[test]
fn the_cloud_describes_a_workflow_and_takes_a_file() {
    let coze = Coze::start(Options::default());
    let path = format!("/v1/workflows/{}?include_input_output=true", coze::TYPED);
    let described = json(body(&get(&coze, &path)));
    let recorded = json(include_str!("wire/doc_workflow_info.json"));
    let names = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&described["data"]), names(&recorded["data"]));
    let detail = |of: &Value| names(&of["data"]["workflow_detail"]);
    assert_eq!(detail(&described), detail(&recorded));
    let input =
        r#"{"input":{"required":true,"type":"string"},"more":{"required":false,"type":"string"}}"#;
    assert_eq!(described["data"]["input"]["parameters"], json(input));
    let missing = post(&coze, STREAM_RUN, &run(coze::TYPED, "{}"));
    assert_eq!(code(&missing), 4000);
    let stored = json(body(&upload(&coze, "猫.txt", "四个汉字")));
    let recorded = json(include_str!("wire/doc_files_upload.json"));
    assert_eq!(names(&stored["data"]), names(&recorded["data"]));
    assert_eq!(stored["data"]["file_name"], "猫.txt");
    assert_eq!(stored["data"]["bytes"], 12);
    assert_eq!((coze.counts().describes, coze.counts().uploads), (1, 1));
}

#[test]
fn studio_has_its_own_history_with_numbers_for_ids() {
    let coze = studio();
    let answer = post(&coze, STREAM_RUN, &run(coze::ECHO, "{}"));
    assert!(!names(&answer).contains(&"PING".to_owned()));
    let id = execute_id(&answer);
    assert_eq!(code(&poll(&coze, coze::ECHO, &id)), 401);
    let path = format!("/v1/workflow/get_run_history?workflow_id=7&execute_id={id}");
    let history = get(&coze, &path);
    assert!(history.contains(&format!(r#""execute_id":{id},"#)));
    assert_eq!(output(&history), r#"{"output":{}}"#);
}

#[test]
fn studio_streams_the_recorded_bytes() {
    let coze = studio();
    for (workflow_id, parameters, recorded) in [
        (
            coze::TYPED,
            INPUT,
            include_str!("wire/studio_live_vars.sse"),
        ),
        (
            coze::EMPTY_TEXT,
            "{}",
            include_str!("wire/studio_live_text_empty.sse"),
        ),
        (
            coze::SUB_VARIABLES,
            INPUT,
            include_str!("wire/studio_live_sub_text_vars.sse"),
        ),
        (
            coze::SUB_TEXT,
            INPUT,
            include_str!("wire/studio_live_sub_text_text.sse"),
        ),
        (
            coze::SUB_UNUSED,
            INPUT,
            include_str!("wire/studio_live_sub_text_unused.sse"),
        ),
        (
            coze::FORM,
            "{}",
            include_str!("wire/studio_live_ask_input.sse"),
        ),
        (
            coze::CHOICE,
            "{}",
            include_str!("wire/studio_live_ask_options.sse"),
        ),
    ] {
        let answer = post(&coze, STREAM_RUN, &run(workflow_id, parameters));
        assert_eq!(
            masked(&dechunked(&answer)),
            masked(recorded),
            "{workflow_id}"
        );
        assert!(answer.contains("\r\nX-Log-Id: ") && !answer.contains("X-Tt-Logid"));
    }
}

#[test]
fn studio_ends_a_stream_with_the_recorded_events() {
    let coze = studio();
    for (workflow_id, recorded) in [
        (
            coze::EMPTY_END,
            include_str!("wire/studio_live_output_then_empty_end.sse"),
        ),
        (
            coze::FAILS,
            include_str!("wire/studio_live_output_then_fail.sse"),
        ),
    ] {
        let answer = dechunked(&post(&coze, STREAM_RUN, &run(workflow_id, INPUT)));
        // The Output node of the stand-in speaks in three pieces.
        let after = |text: &str, id: &str| masked(&text[text.find(id).unwrap() + id.len()..]);
        assert_eq!(
            after(&answer, "id: 3").replace("id: 4", "id: 2"),
            after(recorded, "id: 1")
        );
        assert_eq!(
            keys(&answer[..answer.find("id: 1").unwrap()]),
            keys(&recorded[..recorded.find("id: 1").unwrap()])
        );
    }
}

#[test]
fn studio_counts_the_pieces_of_two_end_nodes_as_one() {
    let recorded = include_str!("wire/studio_live_sub_stream_stream.sse");
    let coze = studio();
    let answer = dechunked(&post(&coze, STREAM_RUN, &run(coze::SUB_STREAM, INPUT)));
    for stream in [recorded, &answer] {
        let mut events = events(stream);
        events.pop();
        let finished = events
            .iter()
            .filter(|event| event["node_is_finish"] == true);
        assert_eq!(finished.count(), 2);
        for (seq, event) in events.iter().enumerate() {
            assert_eq!(event["node_seq_id"], seq.to_string());
            assert_eq!(event["node_id"], "900001");
        }
    }
    assert_eq!(
        node(&answer, "End"),
        "Child: hi <&> 你好Parent: Child: hi <&> 你好"
    );
}

#[test]
fn studio_finishes_a_text_with_its_last_piece_only() {
    let recorded = include_str!("wire/studio_live_text_stream.sse");
    let coze = studio();
    let answer = dechunked(&post(&coze, STREAM_RUN, &run(coze::ECHO_TEXT, INPUT)));
    assert_eq!(node(&answer, "End"), INPUT);
    for stream in [recorded, &answer] {
        let events = events(stream);
        let end = events.iter().filter(|event| event["node_id"] == "900001");
        let finished: Vec<_> = end.map(|event| event["node_is_finish"] == true).collect();
        let (last, before) = finished.split_last().unwrap();
        assert!(*last && !before.is_empty() && !before.contains(&true));
    }
    let first = |stream: &str| keys(&stream[..stream.find("id: 1").unwrap()]);
    assert_eq!(first(&answer), first(recorded));
}

#[test]
fn studio_says_nothing_before_its_first_event_and_never_a_ping() {
    let coze = Coze::start(Options {
        site: Site::Studio,
        delay: Duration::from_millis(200),
        slow_polls: 2,
        ..Options::default()
    });
    let mut stream = TcpStream::connect(coze.address()).unwrap();
    send(&mut stream, "POST", STREAM_RUN, &run(coze::SLOW, INPUT));
    let started = Instant::now();
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(400));
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(
        names(&rest),
        ["Message", "Message", "Message", "Message", "Done"]
    );
}

#[test]
fn studio_takes_an_answer_as_recorded() {
    let person = r#"{\"name\":\"Ann\",\"age\":7}"#;
    for (workflow_id, answer, recorded) in [
        (
            coze::FORM,
            person,
            include_str!("wire/studio_live_resume_done.sse"),
        ),
        (
            coze::FORM,
            "Ann",
            include_str!("wire/studio_live_resume_answer_no_json.sse"),
        ),
        (
            coze::FORM,
            r#"{\"age\":7}"#,
            include_str!("wire/studio_live_resume_required_missing.sse"),
        ),
        (
            coze::ASKS_TWICE,
            r#"{\"first\":1}"#,
            include_str!("wire/studio_live_resume_asks_again.sse"),
        ),
    ] {
        let coze = studio();
        let asked = post(&coze, STREAM_RUN, &run(workflow_id, "{}"));
        let event_id = event_id(&asked);
        // Neither the workflow nor the type of the interrupt is looked at.
        let answer = format!(
            r#"{{"workflow_id":"1","event_id":"{event_id}","interrupt_type":1,"resume_data":"{answer}"}}"#
        );
        let told = dechunked(&post(&coze, STREAM_RESUME, &answer));
        assert_eq!(masked(&told), masked(recorded));
        assert!(
            !told.contains(&event_id),
            "a second question has a new event_id"
        );
        assert_eq!(code(&post(&coze, STREAM_RESUME, &answer)), 720_701_013);
        assert_eq!(coze.counts().resumed, [(event_id, 1)].into());
        assert_eq!(coze.counts().started.len(), 1);
    }
}

#[test]
fn studio_makes_a_value_of_the_wrong_type_an_empty_one() {
    let coze = studio();
    let event_id = event_id(&post(&coze, STREAM_RUN, &run(coze::FORM, "{}")));
    let told = post(
        &coze,
        STREAM_RESUME,
        &form(&event_id, r#"{\"name\":1,\"age\":\"x\"}"#),
    );
    assert_eq!(node(&told, "End"), r#"{"age":0,"name":""}"#);
}

/// A line of `studio_live_answers.jsonl`.
#[derive(Deserialize)]
struct Recorded<'a> {
    call: String,
    http: u16,
    #[serde(borrow)]
    body: &'a RawValue,
}

#[test]
fn studio_answers_every_call_with_the_recorded_bytes() {
    for line in include_str!("wire/studio_live_answers.jsonl").lines() {
        let recorded: Recorded<'_> = serde_json::from_str(line).unwrap();
        let coze = Coze::start(Options {
            site: Site::Studio,
            key: Some(KEY.to_owned()),
            ..Options::default()
        });
        let answer = ask_studio(&coze, &recorded.call);
        let call = recorded.call;
        let status = format!("HTTP/1.1 {} ", recorded.http);
        assert!(answer.starts_with(&status), "{call}: {answer}");
        assert!(answer.contains("\r\nX-Log-Id: "), "{call}");
        let raw = recorded.body.get();
        let recorded = match serde_json::from_str::<String>(raw) {
            Ok(text) => text,
            // What follows is the server's source, or a copy of the request.
            Err(_) => before_frames(raw).to_owned(),
        };
        let same_text =
            before_frames(body(&answer)).replace("Parent says: Child says: ", "You said: ");
        assert_eq!(masked(&same_text), masked(&recorded), "{call}");
        if !call.contains("history") && !call.contains("stream_resume") {
            let started = u64::from(call.contains("foreground") || call.contains("is_async"));
            assert_eq!(coze.counts().started.len() as u64, started, "{call}");
        }
    }
}

/// Makes a call of `studio_live_answers.jsonl`, and what has to be there before it.
fn ask_studio(coze: &Coze, call: &str) -> String {
    let (place, what) = call.split_once(", ").unwrap_or((call, ""));
    let asks = |parameters: &str| {
        let started = post(coze, STREAM_RUN, &run(coze::FORM, parameters));
        (execute_id(&started), event_id(&started))
    };
    let poll = |execute_id: &str| get(coze, &studio_poll(execute_id));
    let history = |workflow_id: &str, parameters: &str| {
        poll(&execute_id(&post(
            coze,
            STREAM_RUN,
            &run(workflow_id, parameters),
        )))
    };
    let path = match place {
        "POST run" => RUN,
        "POST stream_run" => STREAM_RUN,
        "POST stream_resume" => STREAM_RESUME,
        "GET history" => &studio_poll("1"),
        _ => "",
    };
    let request = match (place, what) {
        (_, "no such workflow") => run("7999999999999999999", "{}"),
        (_, "not published") => run(coze::UNPUBLISHED, "{}"),
        (_, "a required parameter is missing") => run(coze::TYPED, "{}"),
        (_, "a parameter of the wrong type") => run(coze::TYPED, r#"{"input":1}"#),
        (_, "workflow_id abc") => run("abc", "{}"),
        (_, "bot_id and app_id") => format!(
            r#"{{"workflow_id":"{}","bot_id":"1","app_id":"2"}}"#,
            coze::ECHO
        ),
        (_, "workflow_id a number") => r#"{"workflow_id":12345}"#.to_owned(),
        ("GET history", "wrong key") => return as_key(coze, "GET", path, Some("pat_xxx")),
        (_, "wrong key") => return as_key(coze, "POST", path, Some("pat_xxx")),
        (_, "no key") => return as_key(coze, "POST", path, None),
        (_, "in the foreground, a node fails") => run(coze::FAILS, "{}"),
        (_, "in the foreground, the workflow asks") => run(coze::FORM, "{}"),
        (_, "in the foreground, text") => run(coze::SUB_TEXT, r#"{"input":"x"}"#),
        (_, "is_async") => background(coze::ECHO),
        (_, "running") => {
            let slow = run(coze::SLOW, INPUT).replace("}}", r#"},"is_async":true}"#);
            let submitted = post(coze, RUN, &slow);
            return poll(json(body(&submitted))["execute_id"].as_str().unwrap());
        }
        (_, "variables") => return history(coze::TYPED, INPUT),
        (_, "text mode") => return history(coze::SUB_TEXT, INPUT),
        (_, "empty text") => return history(coze::EMPTY_TEXT, "{}"),
        (_, "no variables") => return history(coze::EMPTY_END, INPUT),
        (_, "a sub-workflow with text") => return history(coze::SUB_VARIABLES, INPUT),
        (_, "failed") => return history(coze::FAILS, INPUT),
        (_, "waits for an answer (for good)") => {
            let (execute_id, _) = asks(r#"{"input":"hi"}"#);
            poll(&execute_id);
            return poll(&execute_id);
        }
        ("GET history", "no such run (for good)") => return poll("123"),
        (_, "execute_id abc") => return poll("abc"),
        (_, "already answered") => {
            let (_, event_id) = asks("{}");
            post(coze, STREAM_RESUME, &form(&event_id, "Ann"));
            form(&event_id, "Ann")
        }
        (_, "another event of a waiting run") => form(&format!("{}/123", asks("{}").0), "Ann"),
        (_, "no such run") => form("123/456", "Ann"),
        (_, "event_id abc") => form("abc", "Ann"),
        (_, "resume_data an object") => form("1/2", "Ann").replace(r#""Ann""#, r#"{"name":"Ann"}"#),
        ("GET /v1/workflows/ID", "a workflow") => {
            return get(coze, &format!("/v1/workflows/{}", coze::ECHO));
        }
        ("GET /v1/workflows/ID", "none") => return get(coze, "/v1/workflows/7999999999999999999"),
        ("GET /v1/workflows/ID/run_histories/EXECUTE_ID (the cloud's door)", _) => {
            return get(coze, "/v1/workflows/7/run_histories/7");
        }
        ("POST /v1/workflows/resume (the cloud's door)", _) => {
            return post(coze, "/v1/workflows/resume", &form("1/2", "Ann"));
        }
        ("GET /", _) => return get(coze, "/"),
        ("POST /v1/files/upload", _) => return upload(coze, "a.txt", &"x".repeat(643)),
        _ => panic!("how is this asked? {call}"),
    };
    post(coze, path, &request)
}

#[test]
fn studio_refuses_what_it_cannot_read_with_http_400() {
    let coze = studio();
    for request in ["{", "", "[]", r#"{"is_async":"true"}"#] {
        let answer = post(&coze, STREAM_RUN, request);
        assert!(
            answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{answer}"
        );
        assert_eq!(code(&answer), 400);
    }
    assert!(coze.counts().started.is_empty());
}

#[test]
fn studio_lets_null_pass_for_a_required_parameter_and_ignores_unknown_names() {
    let coze = studio();
    for parameters in [r#"{"input":null}"#, r#"{"input":"","unknown":1}"#] {
        let answer = post(&coze, STREAM_RUN, &run(coze::TYPED, parameters));
        assert_eq!(
            node(&answer, "End"),
            r#"{"fixed":"constant","input":"","more":""}"#
        );
    }
}

#[test]
fn studio_resumes_a_background_run_by_its_stream() {
    let coze = studio();
    let submitted = post(&coze, RUN, &background(coze::QUESTION));
    let id = json(body(&submitted))["execute_id"].clone();
    let path = studio_poll(id.as_str().unwrap());
    let history = get(&coze, &path);
    assert_eq!(status(&history), "<UNSET>");
    assert!(!history.contains("interrupt_data"));
    // Nothing but a refusal tells the event's number.
    let event_id = |number: &str| format!("{}/{number}", id.as_str().unwrap());
    let refused = post(&coze, STREAM_RESUME, &answer_to("1", &event_id("1"), "x"));
    let (_, number) = refused.split_once("actual: ").unwrap();
    let event_id = event_id(number.split('"').next().unwrap());
    let told = post(&coze, STREAM_RESUME, &answer_to("1", &event_id, "明天"));
    assert_eq!(node(&told, "End"), r#"{"answer":"明天"}"#);
    assert_eq!(output(&get(&coze, &path)), r#"{"answer":"明天"}"#);
}

#[test]
fn studio_runs_on_when_its_client_goes_away() {
    let coze = Coze::start(Options {
        site: Site::Studio,
        delay: Duration::from_millis(20),
        ..Options::default()
    });
    let mut stream = TcpStream::connect(coze.address()).unwrap();
    send(&mut stream, "POST", STREAM_RUN, &run(coze::ECHO, "{}"));
    stream.read_exact(&mut [0; 16]).unwrap();
    drop(stream);
    let path = studio_poll("7600000000000000000");
    let deadline = Instant::now() + Duration::from_secs(10);
    while status(&get(&coze, &path)) != "Success" {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(output(&get(&coze, &path)), r#"{"output":{}}"#);
}

#[test]
fn studio_may_never_say_done_and_then_says_running_for_good() {
    let coze = studio();
    let mut stream = TcpStream::connect(coze.address()).unwrap();
    send(&mut stream, "POST", STREAM_RUN, &run(coze::STUCK, INPUT));
    let mut lines = BufReader::new(&stream).lines();
    assert!(lines.any(|line| line.unwrap().contains(r#""node_is_finish":true"#)));
    let silence = Some(Duration::from_millis(100));
    stream.set_read_timeout(silence).unwrap();
    let next = lines.find(|line| line.as_ref().map_or(true, |line| line.contains("data")));
    assert!(next.unwrap().is_err());
    let path = studio_poll("7600000000000000000");
    for _ in 0..3 {
        assert_eq!(status(&get(&coze, &path)), "Running");
    }
}

#[test]
fn studio_may_break_its_stream_in_plain_text_and_run_on() {
    let coze = studio();
    let answer = dechunked(&post(&coze, STREAM_RUN, &run(coze::BREAKS, "{}")));
    let (before, broken) = answer.split_once("event: error\n").unwrap();
    assert!(before.ends_with("\n\n"), "it has no id");
    let data = broken.strip_prefix("data: ").unwrap().trim_end();
    assert!(serde_json::from_str::<Value>(data).is_err());
    let path = studio_poll("7600000000000000000");
    assert_eq!(output(&get(&coze, &path)), r#"{"output":{}}"#);
}

#[test]
fn an_old_studio_writes_names_in_lower_case_and_has_no_history() {
    let coze = Coze::start(Options {
        site: Site::OldStudio,
        ..Options::default()
    });
    let recorded = include_str!("wire/studio_pre_v030_lowercase_interrupt.sse");
    let asked = post(&coze, STREAM_RUN, &run(coze::CHOICE, "{}"));
    assert_eq!(names(&asked), names(recorded));
    let history = get(&coze, &studio_poll(&execute_id(&asked)));
    assert!(history.starts_with("HTTP/1.1 401 "));
    assert_eq!(code(&history), 401);
}

const SUM: &str = r#"{"a":1,"b":2}"#;

fn project() -> Coze {
    Coze::start(Options {
        site: Site::Project,
        ..Options::default()
    })
}

/// As recorded of the published server.
fn recorded(call: &str) -> Value {
    let mut lines = include_str!("wire/site-server-answers.jsonl")
        .lines()
        .map(json);
    let found = lines.find(|line| line["call"].as_str().unwrap().starts_with(call));
    found.expect("a call that was made")
}

/// A background start under an id.
fn async_run(coze: &Coze, id: &str, parameters: &str) -> String {
    let headers = format!("{}x-run-id: {id}\r\n", usual_headers());
    exchange(coze, "POST", "/async_run", &headers, parameters)
}

#[test]
fn a_project_streams_what_was_recorded() {
    let coze = project();
    for (parameters, recorded) in [
        (SUM, include_str!("wire/site-server-stream-run.sse")),
        (
            r#"{"a":13,"b":2}"#,
            include_str!("wire/site-server-stream-run-error.sse"),
        ),
        (
            r#"{"a":1,"b":2,"sleep":1}"#,
            include_str!("wire/site-server-stream-run-ping.sse"),
        ),
    ] {
        let told = events(&dechunked(&post(&coze, "/stream_run", parameters)));
        let recorded = events(recorded);
        assert_eq!(told.len(), recorded.len());
        for (told, recorded) in told.iter().zip(&recorded) {
            let keys = |event: &Value| {
                event
                    .as_object()
                    .unwrap()
                    .keys()
                    .cloned()
                    .collect::<Vec<_>>()
            };
            assert_eq!(keys(told), keys(recorded));
            for key in ["type", "output", "code", "error_msg"] {
                assert_eq!(told[key], recorded[key], "{key}");
            }
        }
    }
    let result = post(&coze, "/stream_run", SUM);
    assert!(result.contains(r#""output": {"result": 3.0}"#), "{result}");
}

#[test]
fn a_project_keeps_the_caller_s_id_of_a_run_in_the_background() {
    let coze = project();
    let id = "0190c1f2aaaa4bbb8cccdddddddddddd";
    let sleepy = r#"{"a":1,"b":2,"sleep":1}"#;
    let path = format!("/task/{id}");
    let absent = get(&coze, &path);
    assert!(absent.starts_with("HTTP/1.1 404 "), "{absent}");
    assert_eq!(json(body(&absent)), recorded("GET /task/nope")["body"]);
    let started = json(body(&async_run(&coze, id, sleepy)));
    assert_eq!(started["task_id"], id);
    let again = async_run(&coze, id, sleepy);
    assert!(again.starts_with("HTTP/1.1 503 ") && again.contains("UniqueViolation"));
    let [running, completed] = ["running", "completed"].map(|status| {
        let told = json(body(&get(&coze, &path)));
        assert_eq!(told["status"], status);
        told
    });
    assert_eq!(running["result"], Value::Null);
    assert_eq!(
        completed["result"],
        recorded("GET /task/…, completed")["body"]["result"]
    );
    async_run(&coze, "af", r#"{"a":13,"b":2}"#);
    let failed = json(body(&get(&coze, "/task/af")));
    assert_eq!(
        failed["error"],
        recorded("GET /task/…, failed")["body"]["error"]
    );
    assert_eq!((coze.counts().run, coze.counts().started.len()), (3, 2));
}

#[test]
fn a_project_may_name_a_run_itself_and_refuses_what_is_none_of_its_calls() {
    let coze = Coze::start(Options {
        site: Site::Project,
        keeps_ids: false,
        ..Options::default()
    });
    let started = json(body(&async_run(&coze, "mine", SUM)));
    assert_eq!(started["task_id"], "7600000000000000000");
    let keyless = as_key(&coze, "POST", "/async_run", None);
    assert!(keyless.starts_with("HTTP/1.1 401 ") && keyless.contains("Missing authorization"));
    assert!(post(&coze, "/stream_run", "{").starts_with("HTTP/1.1 400 "));
    let lacking = json(body(&post(&coze, "/stream_run", r#"{"a":1}"#)));
    let missing =
        recorded("POST /run, a required parameter")["body"]["detail"]["error_code"].clone();
    assert_eq!(lacking["detail"]["error_code"], missing);
    assert!(post(&coze, STREAM_RUN, "{}").starts_with("HTTP/1.1 404 "));
    let told = json(body(&get(&coze, "/graph_parameter")));
    let due = &recorded("GET /graph_parameter")["body"];
    assert_eq!(told["output_schema"], due["output_schema"]);
    assert_eq!(
        told["input_schema"]["required"],
        due["input_schema"]["required"]
    );
    assert_eq!(coze.counts().started.len(), 1);
}

#[test]
fn a_connection_serves_one_request_after_another() {
    let coze = Coze::start(Options::default());
    let mut stream = TcpStream::connect(coze.address()).unwrap();
    for _ in 0..2 {
        let head = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = BufReader::new(&stream);
        let mut line = String::new();
        answer.read_line(&mut line).unwrap();
        assert_eq!(line, "HTTP/1.1 404 Not Found\r\n");
    }
    assert_eq!(coze.counts().connections, 1);
}

#[test]
fn bulk_streams_as_much_as_it_is_asked_for() {
    let coze = Coze::start(Options {
        bulk: (3, 100),
        ..Options::default()
    });
    let answer = post(&coze, STREAM_RUN, &run(coze::BULK, "{}"));
    assert_eq!(names(&answer), ["Message", "Message", "Message", "Done"]);
    assert_eq!(node(&answer, "End").len(), 300);
}

#[test]
fn a_stop_cuts_what_is_in_flight() {
    let coze = Coze::start(Options {
        delay: Duration::from_secs(600),
        ..Options::default()
    });
    let mut stream = TcpStream::connect(coze.address()).unwrap();
    send(&mut stream, "POST", STREAM_RUN, &run(coze::ECHO, "{}"));
    let mut first = [0; 16];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(coze.counts().in_flight, 1);
    drop(coze);
    let mut rest = String::new();
    let _ = stream.read_to_string(&mut rest);
    assert!(!rest.contains("Done"));
}

fn run(workflow_id: &str, parameters: &str) -> String {
    format!(r#"{{"workflow_id":"{workflow_id}","parameters":{parameters}}}"#)
}

fn background(workflow_id: &str) -> String {
    format!(r#"{{"workflow_id":"{workflow_id}","is_async":true}}"#)
}

fn answer_to(workflow_id: &str, event_id: &str, answer: &str) -> String {
    format!(
        r#"{{"workflow_id":"{workflow_id}","event_id":"{event_id}","interrupt_type":2,"resume_data":"{answer}"}}"#
    )
}

fn form(event_id: &str, answer: &str) -> String {
    answer_to(coze::FORM, event_id, answer)
        .replace(r#""interrupt_type":2"#, r#""interrupt_type":5"#)
}

fn studio() -> Coze {
    Coze::start(Options {
        site: Site::Studio,
        ..Options::default()
    })
}

fn studio_poll(execute_id: &str) -> String {
    format!("/v1/workflow/get_run_history?workflow_id=7&execute_id={execute_id}")
}

#[track_caller]
fn upload(coze: &Coze, name: &str, file: &str) -> String {
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{file}\r\n--b--\r\n"
    );
    let headers =
        format!("Authorization: Bearer {KEY}\r\nContent-Type: multipart/form-data; boundary=b\r\n");
    exchange(coze, "POST", "/v1/files/upload", &headers, &body)
}

/// The call of somebody with another key, or without any.
#[track_caller]
fn as_key(coze: &Coze, method: &str, path: &str, key: Option<&str>) -> String {
    let headers = key.map_or_else(String::new, |key| {
        format!("Authorization: Bearer {key}\r\n")
    });
    exchange(coze, method, path, &headers, &run(coze::ECHO, "{}"))
}

#[track_caller]
fn post(coze: &Coze, path: &str, body: &str) -> String {
    exchange(coze, "POST", path, &usual_headers(), body)
}

#[track_caller]
fn get(coze: &Coze, path: &str) -> String {
    exchange(coze, "GET", path, &usual_headers(), "")
}

#[track_caller]
fn poll(coze: &Coze, workflow_id: &str, execute_id: &str) -> String {
    get(
        coze,
        &format!("/v1/workflows/{workflow_id}/run_histories/{execute_id}"),
    )
}

/// The whole answer as it came, head and chunk sizes included.
#[track_caller]
fn exchange(coze: &Coze, method: &str, path: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(coze.address()).unwrap();
    send_with(&mut stream, method, path, headers, body);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn send(stream: &mut TcpStream, method: &str, path: &str, body: &str) {
    send_with(stream, method, path, &usual_headers(), body);
}

fn send_with(stream: &mut TcpStream, method: &str, path: &str, headers: &str, body: &str) {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
}

fn usual_headers() -> String {
    format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n")
}

/// The text of a chunked answer.
#[track_caller]
fn dechunked(answer: &str) -> String {
    let mut rest = body(answer);
    let mut text = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        text += &after[..length];
        rest = &after[length + 2..];
    }
    text
}

/// Without what differs from run to run, and between the stand-in's workflows and the recorded
/// ones: ids, times, node ids, and the title of the Output node.
fn masked(text: &str) -> String {
    const NODES: [&str; 6] = ["200004", "200005", "200006", "100002", "100003", "100004"];
    let is_word = |c: char| c.is_ascii_hexdigit() || c == '-';
    let mut masked = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        masked += &rest[..start];
        let end = rest[start..].find(|c| !is_word(c));
        let end = end.map_or(rest.len(), |end| start + end);
        let word = &rest[start..end];
        let is_uuid = word.len() == 36 && word.matches('-').count() == 4;
        let is_number = word.len() >= 10 && word.bytes().all(|byte| byte.is_ascii_digit());
        masked += match word {
            _ if is_uuid => "UUID",
            _ if is_number => "NUMBER",
            _ if NODES.contains(&word) => "NODE",
            _ => word,
        };
        rest = &rest[end..];
    }
    (masked + rest).replace(r#""node_title":"Output""#, r#""node_title":"输出""#)
}

/// An answer up to where the server's own source, or a copy of the request, begins.
fn before_frames(answer: &str) -> &str {
    let stops = ["runtime/debug.Stack()", "at index "];
    let stop = stops.iter().find_map(|stop| answer.find(stop));
    &answer[..stop.unwrap_or(answer.len())]
}

/// The keys of every object in a text that holds JSON, in order.
fn keys(text: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('"') {
        rest = &rest[start..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let Some(Ok(key)) = values.next() else { break };
        rest = &rest[values.byte_offset()..];
        if rest.trim_start().starts_with(':') {
            keys.push(key);
        }
    }
    keys
}

#[track_caller]
fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[track_caller]
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[track_caller]
fn code(answer: &str) -> u64 {
    json(body(answer))["code"].as_u64().unwrap()
}

#[track_caller]
fn status(history: &str) -> String {
    let status = json(body(history))["data"][0]["execute_status"].clone();
    status.as_str().unwrap().to_owned()
}

#[track_caller]
fn output(history: &str) -> String {
    let output = json(body(history))["data"][0]["output"].clone();
    output.as_str().unwrap().to_owned()
}

fn names(answer: &str) -> Vec<String> {
    let lines = answer.lines();
    lines
        .filter_map(|line| line.strip_prefix("event: "))
        .map(str::to_owned)
        .collect()
}

fn events(answer: &str) -> Vec<Value> {
    let lines = answer.lines();
    lines
        .filter_map(|line| line.strip_prefix("data: "))
        .map(json)
        .collect()
}

/// Of the question with which a stream ended.
#[track_caller]
fn event_id(asked: &str) -> String {
    let interrupt = events(asked).pop().unwrap();
    let event_id = interrupt["interrupt_data"]["event_id"].as_str();
    event_id.unwrap().to_owned()
}

/// All that a node said.
fn node(answer: &str, title: &str) -> String {
    let events = events(answer);
    let of_node = events.iter().filter(|event| event["node_title"] == title);
    of_node
        .filter_map(|event| event["content"].as_str())
        .collect()
}

#[track_caller]
fn execute_id(answer: &str) -> String {
    let done = events(answer).pop().unwrap();
    let (_, query) = done["debug_url"]
        .as_str()
        .unwrap()
        .split_once("execute_id=")
        .unwrap();
    query.split('&').next().unwrap().to_owned()
}
