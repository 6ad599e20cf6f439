//! What can go wrong with a run, and what the caller is told: above all whether it may have been
//! started. Every script holds one POST, so that a second one would fail the test; where one is
//! sent again, the script says so.

use crate::support::nowhere::nowhere;
use crate::support::program::Program;
use crate::support::server::{Exchange, Server};
use crate::support::tls::Authority;
use crate::{
    HELLO, HISTORY, RUN, SAID_HELLO, background_run, done, event, message, play, play_with, poll,
    stream_run,
};

// Nothing was started: it may be run again.

#[test]
fn a_refused_connection_is_unreachable() {
    let program = Program::at(&nowhere().url()).args(&["--retries", "0"]);
    let message = "cannot connect to 127.0.0.1:PORT: connection refused";
    program.run(RUN).is_error(5, &no_way(message));
}

#[test]
fn a_name_that_is_not_found_is_unreachable() {
    let program = Program::at("http://coze.invalid:1").args(&["--retries", "0"]);
    let ended = program.run(RUN);
    ended.is_error(5, &no_way("coze.invalid: name not found"));
}

#[test]
fn what_could_not_be_sent_is_sent_again() {
    let ended = Program::at(&nowhere().url())
        .args(&["--retries", "1", "-v"])
        .run(RUN);
    assert_eq!(ended.code, 5);
    assert_eq!(ended.stderr.matches("> POST").count(), 2);
}

#[test]
fn a_certificate_of_an_unknown_authority_is_unreachable_at_once() {
    let server = Server::start_tls(&Authority::new().local(), vec![]);
    let ended = Program::at(&server.url()).run(RUN);
    let error = r#"{"kind":"unreachable","message":"the certificate of 127.0.0.1:PORT was issued by an unknown authority; if it is yours, name its file with --cacert or COZE_CA_FILE"}"#;
    ended.is_error(5, error);
}

#[test]
fn a_server_without_tls_is_unreachable_by_https() {
    let server = Server::start(vec![Exchange::greeting("HTTP/1.0 400 \r\n\r\n")]);
    let url = server.url().replace("http:", "https:");
    let ended = Program::at(&url).args(&["--retries", "0"]).run(RUN);
    assert!(ended.stdout.contains("no TLS with 127.0.0.1:PORT"));
    assert_eq!(ended.code, 5);
}

#[test]
fn a_rate_refusal_is_sent_again_after_the_time_that_it_asks_for() {
    let limited = stream_run().header("Retry-After", "1");
    let limited = limited.json(429, r#"{"code":4020,"msg":"rate limit"}"#);
    play(vec![limited, stream_run().sse(HELLO)]).is(0, SAID_HELLO, "");
}

#[test]
fn a_rate_refusal_is_one_by_its_status_or_its_code_or_as_the_first_event() {
    let busy = event(0, "Error", r#"{"error_code":4009,"error_message":"busy"}"#);
    let script = vec![
        stream_run().answer(429, "text/html", "<html>"),
        stream_run().json(200, r#"{"code":4020,"msg":"rate limit"}"#),
        stream_run().sse(busy),
        stream_run().sse(HELLO),
    ];
    play_with(&["--retries", "3"], script).is(0, SAID_HELLO, "");
}

#[test]
fn a_rate_refusal_that_outlasts_the_retries_is_unreachable() {
    let limited = stream_run().json(429, r#"{"code":4020,"msg":"rate limit"}"#);
    let ended = play_with(&["--retries", "0"], vec![limited]);
    let error = r#"{"kind":"unreachable","code":4020,"message":"rate limit","hint":"too many requests at once; try again later, or with fewer --jobs"}"#;
    ended.is_error(5, error);
}

#[test]
fn a_retry_that_the_deadline_has_no_room_for_is_given_up_at_once() {
    let limited = stream_run().header("Retry-After", "3600").json(429, "");
    let error = r#"{"kind":"unreachable","message":"HTTP 429, and the body is not Coze's; the deadline has no room for a pause of 3600 s"}"#;
    play(vec![limited]).is_error(5, error);
}

#[test]
fn a_rate_refusal_that_names_a_run_is_never_sent_again() {
    let body = r#"{"code":4020,"msg":"rate limit","execute_id":"9"}"#;
    let ended = play(vec![stream_run().json(429, body)]);
    assert_eq!(ended.responses()[0]["execute_id"], "9");
    assert_eq!(ended.code, 1);
}

// Coze refused it: it must be corrected.

#[test]
fn a_refusal_in_json_is_refused_whatever_its_status() {
    let error = r#"{"kind":"refused","code":4200,"message":"not published","hint":"publish the workflow, and check workflow_id"}"#;
    for status in [200, 400, 500] {
        let answer = stream_run().json(status, r#"{"code":4200,"msg":"not published"}"#);
        play(vec![answer]).is_error(4, error);
    }
}

#[test]
fn a_bad_token_is_refused() {
    let body = include_str!("../wire/envelope_700012006_http401.json");
    let error = r#"{"kind":"refused","code":700012006,"message":"access token invalid","hint":"the token is wrong, has expired, or is of another site: check COZE_API_KEY and --base-url; a service token (sat_) need not expire"}"#;
    play(vec![stream_run().json(401, body)]).is_error(4, error);
}

#[test]
fn the_log_id_is_reported_for_coze_s_support() {
    let answer = stream_run().header("X-Tt-Logid", "L1");
    let ended = play(vec![answer.json(200, r#"{"code":4000,"msg":"parameter"}"#)]);
    let response = &ended.responses()[0];
    assert_eq!(response["logid"], "L1");
    assert_eq!(response["error"]["logid"], "L1");
}

#[test]
fn a_rate_refusal_with_a_done_that_names_a_run_is_not_sent_again() {
    let busy = r#"{"error_code":4009,"error_message":"busy"}"#;
    let ended = play(vec![stream_run().sse(event(0, "Error", busy) + &done(1))]);
    assert_eq!(ended.code, 1, "{}", ended.stdout);
    assert!(!ended.stdout.contains(r#""execute_id":"""#));
}

#[test]
fn an_error_as_the_first_event_is_a_refusal() {
    let stream = include_str!("../wire/doc_stream_error.sse");
    let error = r#"{"kind":"refused","code":4000,"message":"Request parameter error","hint":"check workflow_id and the parameters: coze-workflow --check -w ID, or the Start node, says what the workflow takes"}"#;
    play(vec![stream_run().sse(stream)]).is_error(4, error);
}

#[test]
fn a_redirect_is_refused_and_not_followed() {
    let answer = stream_run().header("Location", "/elsewhere");
    let error = r#"{"kind":"refused","message":"HTTP 307: redirects are not followed, check the base URL"}"#;
    play(vec![answer.answer(307, "text/html", "")]).is_error(4, error);
}

#[test]
fn a_404_without_a_word_of_coze_s_is_refused() {
    let answer = stream_run().answer(404, "text/plain", "404 page not found");
    let error = r#"{"kind":"refused","message":"HTTP 404, and the body is not Coze's","hint":"check the base URL: the response is not Coze's"}"#;
    play(vec![answer]).is_error(4, error);
}

#[test]
fn a_background_run_without_a_paid_plan_is_refused() {
    let body = r#"{"code":6003,"msg":"paid plans only"}"#;
    let error = r#"{"kind":"refused","code":6003,"message":"paid plans only","hint":"background runs need a paid plan; leave out --async and is_async to stream the run"}"#;
    play_with(&["--async"], vec![background_run().json(200, body)]).is_error(4, error);
}

// It may have been started: nobody may run it again unseen.

#[test]
fn silence_before_the_head_lasts_until_the_deadline() {
    let limits = ["--idle-timeout", "0.1", "--timeout", "0.3"];
    let ended = play_with(&limits, vec![stream_run().silent()]);
    let message = "the deadline came before 127.0.0.1:PORT answered";
    ended.is_error(8, &unknown(message));
}

#[test]
fn a_deadline_before_the_head_is_unknown() {
    let ended = play_with(&["--timeout", "0.2"], vec![stream_run().silent()]);
    let message = "the deadline came before 127.0.0.1:PORT answered";
    ended.is_error(8, &unknown(message));
}

#[test]
fn a_close_after_the_request_is_unknown() {
    let ended = play(vec![stream_run().hangs_up()]);
    let message = "127.0.0.1:PORT gave no answer: peer disconnected";
    ended.is_error(8, &unknown(message));
}

#[test]
fn a_reset_after_the_request_is_unknown() {
    let ended = play(vec![stream_run().raw("").rst()]);
    assert!(ended.stdout.contains(r#""kind":"unknown""#));
    assert_eq!(ended.code, 8);
}

#[test]
fn what_is_not_http_is_unknown() {
    let ended = play(vec![stream_run().raw("SSH-2.0-OpenSSH\r\n")]);
    assert!(
        ended
            .stdout
            .contains("what 127.0.0.1:PORT sent is not HTTP")
    );
    assert_eq!(ended.code, 8);
}

#[test]
fn a_head_that_is_too_large_is_unknown() {
    let answer = stream_run().header("X-Large", &"x".repeat(64 << 10));
    let ended = play(vec![answer.sse(HELLO)]);
    let message = "the header of 127.0.0.1:PORT's answer is larger than 64 KiB";
    ended.is_error(8, &unknown(message));
}

#[test]
fn a_gateway_s_page_is_unknown() {
    let page = include_str!("../wire/gateway_504.html");
    let ended = play(vec![stream_run().answer(504, "text/html", page)]);
    ended.is_error(8, &unknown("HTTP 504, and the body is not Coze's"));
}

#[test]
fn a_timeout_that_the_server_reports_is_unknown() {
    let ended = play(vec![stream_run().answer(408, "text/html", "")]);
    ended.is_error(8, &unknown("HTTP 408, and the body is not Coze's"));
}

#[test]
fn an_empty_200_is_unknown() {
    let ended = play(vec![stream_run().json(200, "")]);
    ended.is_error(8, &unknown("HTTP 200, and the body is not Coze's"));
}

#[test]
fn a_code_that_proves_nothing_is_unknown() {
    let ended = play(vec![
        stream_run().json(200, r#"{"code":5000,"msg":"internal"}"#),
    ]);
    let error = unknown("internal").replace(r#""message""#, r#""code":5000,"message""#);
    ended.is_error(8, &error);
}

#[test]
fn a_stream_that_ends_without_done_is_unknown() {
    let ended = play(vec![stream_run().sse(message(0, "hel"))]);
    ended.is(
        8,
        &so_far("the stream ended before the run did"),
        &complains("the stream ended before the run did"),
    );
}

#[test]
fn a_chunked_body_that_is_cut_is_unknown() {
    let cut = stream_run().sse(message(0, "hel")).fin();
    is_cut_short(
        cut,
        "127.0.0.1:PORT's answer was cut short: peer disconnected",
    );
}

#[test]
fn a_body_shorter_than_its_length_is_unknown() {
    let cut = stream_run().answer(200, "text/event-stream", message(0, "hel"));
    is_cut_short(
        cut.claiming(1000).fin(),
        "127.0.0.1:PORT's answer was cut short: peer disconnected",
    );
}

#[test]
fn a_close_delimited_body_that_is_cut_is_unknown() {
    let cut = stream_run().answer(200, "text/event-stream", message(0, "hel"));
    is_cut_short(cut.close_delimited(), "the stream ended before the run did");
}

#[test]
fn a_reset_in_the_stream_is_unknown() {
    // Whether `hel` is still read before the reset is up to the kernel.
    let ended = play(vec![stream_run().sse(message(0, "hel")).rst()]);
    assert!(ended.stdout.contains(r#""kind":"unknown""#));
    assert_eq!(ended.code, 8);
}

#[test]
fn a_stream_that_falls_silent_is_unknown() {
    let silent = stream_run().sse(message(0, "hel")).hang();
    let ended = play_with(&["--idle-timeout", "0.3"], vec![silent]);
    let sentence = "nothing came from 127.0.0.1:PORT for 0.3 s";
    ended.is(8, &so_far(sentence), &complains(sentence));
}

#[test]
fn a_deadline_in_the_stream_is_unknown() {
    let endless = stream_run().sse(message(0, "hel")).hang();
    let ended = play_with(&["--timeout", "0.5"], vec![endless]);
    let sentence = "the deadline came in the middle of 127.0.0.1:PORT's answer";
    ended.is(8, &so_far(sentence), &complains(sentence));
}

#[test]
fn a_cut_in_the_middle_of_done_still_names_the_run_to_watch() {
    let cut = HELLO.trim_end_matches("}\n\n");
    play(vec![stream_run().sse(cut).fin(), poll().json(200, HISTORY)]).is(0, SAID_HELLO, "");
}

#[test]
fn a_cut_stream_whose_run_is_known_is_watched() {
    let ping = event(0, "PING", r#"{"execute_id":"9"}"#);
    let ended = play(vec![
        stream_run().sse(ping).fin(),
        poll().json(200, HISTORY),
    ]);
    ended.is(0, SAID_HELLO, "");
}

#[test]
fn text_that_is_missing_is_fetched_from_the_history() {
    let gap = message(0, "h") + &message(2, "llo") + &done(3);
    play(vec![stream_run().sse(gap), poll().json(200, HISTORY)]).is(0, SAID_HELLO, "");
}

#[test]
fn text_that_is_missing_and_cannot_be_had_is_unknown() {
    let gap = message(0, "h") + &message(2, "llo") + &done(3);
    let refusal = include_str!("../wire/envelope_4101.json");
    let ended = play(vec![stream_run().sse(gap), poll().json(200, refusal)]);
    let response = &ended.responses()[0];
    assert_eq!(
        (&response["status"], &response["execute_id"]),
        (&"Running".into(), &"9".into())
    );
    assert_eq!((ended.code, &response["error"]["code"]), (8, &4101.into()));
}

// The run was started, and ended.

#[test]
fn an_error_after_a_message_is_a_failed_run_and_keeps_the_text_so_far() {
    let error = r#"{"error_code":5000,"error_message":"internal","debug_url":"https://coze.example/w?execute_id=9"}"#;
    let stream = message(0, "hel") + &event(1, "Error", error) + &done(2);
    play(vec![stream_run().sse(stream)]).is(
        1,
        r#"{"execute_id":"9","status":"Fail","output":"hel","debug_url":"https://coze.example/w?execute_id=9","workflow_id":"7","error":{"kind":"failed","code":5000,"message":"internal"}}"#,
        "coze-workflow: failed: internal (code 5000) [execute_id 9]",
    );
}

#[test]
fn a_refusal_s_code_after_a_ping_is_a_failed_run() {
    let error = r#"{"error_code":4000,"error_message":"parameter"}"#;
    let stream = event(0, "PING", "{}") + &event(1, "Error", error);
    let ended = play(vec![stream_run().sse(stream)]);
    assert_eq!(ended.responses()[0]["error"]["kind"], "failed");
    assert_eq!(ended.code, 1);
}

#[test]
fn a_refusal_s_code_with_a_debug_url_is_a_failed_run() {
    let body = r#"{"code":4000,"msg":"node","debug_url":"https://coze.example/w?execute_id=9"}"#;
    let ended = play(vec![stream_run().json(200, body)]);
    ended.is(
        1,
        r#"{"execute_id":"9","status":"Fail","output":"","debug_url":"https://coze.example/w?execute_id=9","workflow_id":"7","error":{"kind":"failed","code":4000,"message":"node","hint":"check workflow_id and the parameters: coze-workflow --check -w ID, or the Start node, says what the workflow takes"}}"#,
        "coze-workflow: failed: node (code 4000; check workflow_id and the parameters: coze-workflow --check -w ID, or the Start node, says what the workflow takes) [execute_id 9]",
    );
}

#[test]
fn an_interrupt_waits_for_an_answer() {
    let stream = include_str!("../wire/doc_stream_interrupt.sse");
    play(vec![stream_run().sse(stream)]).is(
        7,
        r#"{"execute_id":"7404830425073352713","status":"Running","output":"请问你想查看哪个城市、哪一天的天气呢","debug_url":"","workflow_id":"7","interrupt":{"event_id":"7404830425073352713/2769808280134765896","type":2,"data":"","node_title":"问答","mode":"stream"},"messages":[{"node_title":"问答","content":"请问你想查看哪个城市、哪一天的天气呢"}]}"#,
        "coze-workflow: interrupted: the run waits for an answer to 7404830425073352713/2769808280134765896 (to answer it, add resume_data to the response and feed that back) [execute_id 7404830425073352713]",
    );
}

#[test]
fn how_a_question_is_answered_is_reported_in_chinese_too() {
    let stream = include_str!("../wire/doc_stream_interrupt.sse");
    let server = Server::start(vec![stream_run().sse(stream)]);
    let ended = Program::at(&server.url())
        .env("LANG", "zh_CN.UTF-8")
        .run(RUN);
    let hint = "(请在响应中加上 resume_data 作为回答，再传回)";
    assert!(ended.stderr.contains(hint), "{}", ended.stderr);
}

fn no_way(message: &str) -> String {
    format!(
        r#"{{"kind":"unreachable","message":"{message}","hint":"check the base URL and the network; a sandbox may have none"}}"#
    )
}

fn unknown(message: &str) -> String {
    format!(
        r#"{{"kind":"unknown","message":"{message}","hint":"the run may have been started: look at Coze before running it again"}}"#
    )
}

/// The response of a run that was lost after `hel`.
fn so_far(message: &str) -> String {
    let error = unknown(message);
    format!(
        r#"{{"execute_id":"","status":"Running","output":"hel","debug_url":"","workflow_id":"7","error":{error}}}"#
    )
}

fn complains(message: &str) -> String {
    crate::support::program::complaint(&unknown(message))
}

#[track_caller]
fn is_cut_short(answer: Exchange, sentence: &str) {
    play(vec![answer]).is(8, &so_far(sentence), &complains(sentence));
}
