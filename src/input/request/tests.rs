//! JSON in; what is to be done, or why it is not, out.

use super::*;

fn parse(text: &str) -> Request {
    Request::parse(text, &Options::default())
}

#[track_caller]
fn body(text: &str) -> String {
    match parse(text).task.unwrap() {
        Task::Run(start) => start.body,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(text: &str, sentence: &str) {
    let error = parse(text).task.unwrap_err();
    assert_eq!(error.to_string(), sentence);
}

fn parse_allowing(text: &str) -> Request {
    let options = Options {
        allow_unknown_fields: true,
        ..Options::default()
    };
    Request::parse(text, &options)
}

#[track_caller]
fn refused_whatever_is_allowed(text: &str, sentence: &str) {
    refused(text, sentence);
    let error = parse_allowing(text).task.unwrap_err();
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
        body("{\"workflow_id\":\"7\",\"parameters\":{\n\"a\":1}}"),
        "{\"workflow_id\":\"7\",\"parameters\":{\n\"a\":1}}"
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
        "workflow_id may hold only letters, digits, _ and -, 256 at most",
    );
}

#[test]
fn the_callers_id_comes_back_and_is_not_sent() {
    let request = parse("{\"id\":{\"row\":\n 12345678901234567890},\"workflow_id\":\"7\"}");
    assert_eq!(
        request.id.unwrap().get(),
        "{\"row\":  12345678901234567890}"
    );
    assert!(matches!(request.task, Ok(Task::Run(start)) if start.body == r#"{"workflow_id":"7"}"#));
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
        matches!(request.task, Ok(Task::Run(start)) if start.mode == Mode::Async && start.body == r#"{"workflow_id":"7","is_async":true}"#)
    );
    assert!(matches!(
        parse(r#"{"workflow_id":"7","is_async":false}"#).task,
        Ok(Task::Run(Start {
            mode: Mode::Stream,
            ..
        }))
    ));
    refused(
        r#"{"workflow_id":"7","is_async":1}"#,
        "is_async must be true or false",
    );
    let options = Options {
        asynchronous: true,
        ..Options::default()
    };
    let request = Request::parse(r#"{"workflow_id":"7","is_async":false}"#, &options);
    assert!(matches!(
        request.task,
        Ok(Task::Run(Start {
            mode: Mode::Async,
            ..
        }))
    ));
}

#[test]
fn what_could_cost_a_run_by_mistake_is_refused() {
    refused(
        r#"{"parameters":{}}"#,
        "the request has no workflow_id (it is the number after workflow_id= in the address of the workflow's page)",
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
        r#"the key "workflow_id" is given twice (nobody can tell which one is meant)"#,
    );
    refused(
        r#"{"workflow_id":"7","bot_id":"1","app_id":"2"}"#,
        "bot_id and app_id can't be given together (leave one of them out)",
    );
    refused(
        r#"{"workflow_id":"7","ext":[]}"#,
        r#"ext must be an object (such as {"user_id":"…"})"#,
    );
    refused(
        r#"{"workflow_id":"7","workflow_version":3}"#,
        r#"workflow_version must be a string, not a number (write it in quotes: "3")"#,
    );
}

#[test]
fn unknown_fields_are_forwarded_verbatim_when_that_is_asked_for() {
    let request = parse_allowing(r#"{"workflow_id":"7","new_field":{"a":1e2}}"#);
    let Ok(Task::Run(start)) = request.task else {
        panic!("no run")
    };
    assert_eq!(start.body, r#"{"workflow_id":"7","new_field":{"a":1e2}}"#);
}

#[test]
fn a_response_that_runs_is_watched() {
    let response = r#"{"execute_id":"9","status":"Running","output":"","debug_url":"","workflow_id":"7","error":{"kind":"running"},"usage":{},"logid":"x","id":1}"#;
    let request = parse(response);
    let Ok(Task::Watch(watch)) = &request.task else {
        panic!("no watch")
    };
    let named = (request.workflow_id.as_deref(), watch.execute_id());
    assert_eq!(named, (Some("7"), "9"));
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
        "execute_id and parameters can't be given together (a run has no execute_id; a request that has it starts nothing)",
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
        r#"resume_data is inside interrupt (it belongs beside interrupt: jq -c '. + {resume_data: "…"}')"#,
    );
}

#[test]
fn an_id_or_an_answer_that_was_never_put_in_is_refused() {
    refused(
        r#"{"workflow_id":"7xxxxxxxxxxxxxxxxxx"}"#,
        "workflow_id 7xxxxxxxxxxxxxxxxxx is a placeholder (put the id itself in its place)",
    );
    for answer in [r#""…""#, r#"{"city":"…"}"#] {
        refused(
            &format!(
                r#"{{"workflow_id":"7","event_id":"9/1","interrupt_type":2,"resume_data":{answer}}}"#
            ),
            r#"resume_data is still "…" (put the answer in the place of …)"#,
        );
    }
    let answer =
        r#"{"workflow_id":"7","event_id":"9/1","interrupt_type":2,"resume_data":"这个……"}"#;
    assert!(parse(answer).task.is_ok());
}

#[test]
fn a_response_with_an_interrupt_is_resumed_when_resume_data_is_added() {
    let response = r#"{"execute_id":"740","workflow_id":"7","interrupt":{"event_id":"740/27","type":2,"data":"","mode":"async"},"resume_data":"杭州"}"#;
    let request = parse(response);
    let Ok(Task::Resume(resume)) = request.task else {
        panic!("no resume")
    };
    assert_eq!(resume.mode, Mode::Async);
    assert_eq!(request.facts.execute_id.as_deref(), Some("740"));
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
        r#"resume_data must be a string, not a number (write it in quotes: "7")"#,
    );
}

#[test]
fn not_to_wait_is_refused_where_waiting_is_all_there_is() {
    let options = Options {
        no_wait: true,
        ..Options::default()
    };
    let error = Request::parse(r#"{"workflow_id":"7"}"#, &options)
        .task
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "--no-wait can't be used on a streamed run (start it in the background: --async)"
    );
    let watch = Request::parse(r#"{"workflow_id":"7","execute_id":"9"}"#, &options);
    assert!(watch.task.is_ok());
}

#[test]
fn parameters_are_an_object_or_its_text() {
    for parameters in [
        "null",
        "[1]",
        "7",
        "true",
        r#""""#,
        r#""text""#,
        r#""[{}]""#,
        r#""{\"a\":""#,
        r#""{}{}""#,
        r#""\ud83d""#,
    ] {
        refused(
            &format!(r#"{{"workflow_id":"7","parameters":{parameters}}}"#),
            r#"parameters must be an object, or the text of one (such as {"city":"北京"})"#,
        );
    }
    let text = r#"{"workflow_id":"7","parameters":" {\"a\": 1}\n"}"#;
    assert_eq!(body(text), text);
}

#[test]
fn null_counts_as_absent_but_for_a_key_that_is_not_known() {
    assert_eq!(
        body(r#"{"workflow_id":"7","ext":null,"bot_id":null,"is_async":null}"#),
        r#"{"workflow_id":"7"}"#
    );
    assert!(parse(r#"{"id":null,"workflow_id":"7"}"#).id.is_none());
    let request = parse_allowing(r#"{"workflow_id":"7","new_field":null}"#);
    let Ok(Task::Run(start)) = request.task else {
        panic!("no run")
    };
    assert_eq!(start.body, r#"{"workflow_id":"7","new_field":null}"#);
}

#[test]
fn an_execute_id_of_zeros_is_refused() {
    for (execute_id, named) in [("\"0\"", "0"), ("\"000\"", "000"), ("0", "0")] {
        refused(
            &format!(r#"{{"workflow_id":"7","execute_id":{execute_id}}}"#),
            &format!(
                "execute_id {named:?} names no run (Coze says 0 where no run was started; \
                 look at Coze before running it again)"
            ),
        );
    }
}

#[test]
fn a_watch_needs_its_workflow() {
    refused(
        r#"{"execute_id":"9"}"#,
        "the request has no workflow_id (it is the number after workflow_id= in the address of the workflow's page)",
    );
}

#[test]
fn a_chatflow_s_call_is_refused_whatever_is_allowed() {
    let sentence = "this is a chatflow's call, which this program does not make (a workflow is run with workflow_id and parameters)";
    for key in [r#""additional_messages":[]"#, r#""conversation_id":"1""#] {
        let text = format!(r#"{{"workflow_id":"7","parameters":{{}},{key}}}"#);
        refused_whatever_is_allowed(&text, sentence);
    }
}

#[test]
fn an_answer_without_its_resume_data_is_no_run_whatever_is_allowed() {
    let sentence = "this is the answer to an interrupt without its resume_data (add resume_data; to watch the run instead, give its execute_id)";
    for key in [
        r#""interrupt":{"event_id":"9/1","type":2}"#,
        r#""event_id":"9/1""#,
    ] {
        let text = format!(r#"{{"workflow_id":"7",{key}}}"#);
        refused_whatever_is_allowed(&text, sentence);
    }
}

#[test]
fn a_refused_answer_with_a_key_twice_keeps_the_way_back() {
    let request = parse(
        r#"{"workflow_id":"7","interrupt":{"event_id":"9/1","type":2},"resume_data":"x","resume_data":"y"}"#,
    );
    assert!(request.task.is_err());
    assert_eq!(request.facts.execute_id.as_deref(), Some("9"));
    assert_eq!(request.facts.interrupt.unwrap().event_id, "9/1");
}

#[test]
fn an_id_that_is_too_long_is_refused() {
    let id = "7".repeat(257);
    refused(
        &format!(r#"{{"workflow_id":"7","execute_id":"{id}"}}"#),
        "execute_id may hold only letters, digits, _ and -, 256 at most",
    );
}

#[test]
fn a_report_of_a_check_is_no_request_of_any_kind() {
    let sentence = "this is a report of --check, not a request (send the request that was checked, without --check)";
    for report in [r#""workflow":{"name":"x"}"#, r#""reachable":true"#] {
        for kind in [
            "",
            r#","parameters":{}"#,
            r#","execute_id":"9""#,
            r#","event_id":"9/1","interrupt_type":2,"resume_data":"x""#,
        ] {
            refused(
                &format!(r#"{{"workflow_id":"7",{report}{kind}}}"#),
                sentence,
            );
        }
    }
    refused(r#"{"execute_id":"9","workflow":"7"}"#, sentence);
    let error = parse_allowing(r#"{"workflow_id":"7","workflow":null}"#).task;
    assert_eq!(error.unwrap_err().to_string(), sentence);
    refused(
        r#"{"workflow":"7"}"#,
        r#"unknown key "workflow" in a run (did you mean "workflow_id"?)"#,
    );
}

#[test]
fn the_address_of_a_workflow_s_page_is_its_id() {
    let request = parse(
        r#"{"workflow_id":"https://www.coze.cn/work_flow?space_id=1&workflow_id=75","parameters":{}}"#,
    );
    assert_eq!(request.workflow_id.as_deref(), Some("75"));
    let Ok(Task::Run(start)) = request.task else {
        panic!("no run")
    };
    assert!(start.body.starts_with(r#"{"workflow_id":"75""#));
    assert_eq!(start.body, r#"{"workflow_id":"75","parameters":{}}"#);
}

#[test]
fn the_address_of_anything_else_starts_nothing() {
    refused(
        r#"{"workflow_id":"https://www.coze.cn/work_flow?execute_id=9&workflow_id=75"}"#,
        r#"workflow_id is the address of a run, not of a workflow (to watch that run: {"workflow_id":"75","execute_id":"9"})"#,
    );
    refused(
        r#"{"workflow_id":"https://abc.coze.site"}"#,
        "workflow_id is the address of a deployed project (such an address is a base URL: --base-url or COZE_BASE_URL)",
    );
}

#[test]
fn a_request_with_a_key_twice_still_gives_its_id() {
    let request = parse(r#"{"id":3,"workflow_id":"7","workflow_id":"8"}"#);
    assert_eq!(request.id.unwrap().get(), "3");
    assert_eq!(request.workflow_id.as_deref(), Some("7"));
    assert!(request.task.is_err());
}

#[test]
fn a_key_that_is_no_text_is_refused() {
    refused(
        r#"{"\ud83d":1}"#,
        "a request is a JSON object with plain keys",
    );
}

#[test]
fn a_file_given_as_an_object_is_sent_as_it_is_and_can_be_told() {
    let task = |parameters: &str| {
        let text = format!(r#"{{"workflow_id":"7","parameters":{parameters}}}"#);
        assert_eq!(body(&text), text);
        parse(&text).task.unwrap()
    };
    for parameters in [
        r#"{"image":{"file_id":"1"}}"#,
        r#"{"a":1,"images":["x",{"file_id":"1"}]}"#,
        r#""{\"image\":{\"file_id\":\"1\"}}""#,
    ] {
        assert!(task(parameters).looks_like_file_object(), "{parameters}");
    }
    for parameters in [
        "{}",
        r#"{"image":"{\"file_id\":\"1\"}"}"#,
        r#"{"file_id":"1"}"#,
        r#""{\"file_id\":\"1\"}""#,
        r#"{"image":{"url":"x"}}"#,
    ] {
        assert!(!task(parameters).looks_like_file_object(), "{parameters}");
    }
    let watch = parse(r#"{"workflow_id":"7","execute_id":"9"}"#).task;
    assert!(!watch.unwrap().looks_like_file_object());
}

#[test]
fn a_refused_answer_still_knows_its_run_and_its_question() {
    let refused = r#"{"execute_id":"9","workflow_id":"7","debug_url":"https://w/?execute_id=9","interrupt":{"event_id":"9/1","type":5,"mode":"async"},"resume_data":"no object"}"#;
    let request = parse(refused);
    assert!(request.task.is_err());
    assert_eq!(request.facts.execute_id.as_deref(), Some("9"));
    let url = request.facts.debug_url.as_deref();
    assert_eq!(url, Some("https://w/?execute_id=9"));
    let interrupt = request.facts.interrupt.unwrap();
    assert_eq!(
        (interrupt.event_id.as_str(), interrupt.mode),
        ("9/1", Some(Mode::Async))
    );
}
