//! One test for each thing that a person may be shown.

use std::sync::mpsc::channel;

use crate::support::program::{KEY, Program};
use crate::support::server::{Exchange, Server};
use crate::support::terminal;
use crate::{CHINESE, RUN, WIDTH, done, message, show, show_both, stream_run};

/// The log id by which Coze Studio is known.
const STUDIO: (&str, &str) = ("X-Log-Id", "0f8fad5b-d9cb-469f-a165-70867728950e");

#[test]
fn a_result_that_is_json_is_laid_out() {
    let pieces = [r#"{\"b\":\"你好\","#, r#"\"a\":1.50}"#];
    let stream = message(0, pieces[0]) + &message(1, pieces[1]) + &done(2);
    let [english, chinese] = show_both(&[], || vec![stream_run().sse(&stream)], RUN);
    let result = "{\n  \"b\": \"你好\",\n  \"a\": 1.50\n}\n";
    let run = "9  https://coze.example/w?execute_id=9";
    english.is(0, &format!("{result}✓ success  T s  {run}"));
    chinese.is(0, &format!("{result}✓ 成功  T 秒  {run}"));
}

#[test]
fn a_text_is_shown_as_it_arrives() {
    let (go_on, gate) = channel();
    let server = Server::start(vec![
        stream_run()
            .sse(message(0, r"Once upon\n"))
            .piece(message(1, "a ti"))
            .wait(gate)
            .piece(message(2, "me") + &done(3)),
    ]);
    let (terminal, end) = terminal::open(WIDTH);
    let program = Program::at(&server.url()).stdout_to(end);
    let mut running = program.start();
    running.write(RUN);
    terminal.await_text("Once upon\na ti");
    go_on.send(()).unwrap();
    running.finish().is(0, "", "");
    let (screen, _) = terminal.finish();
    assert!(
        screen.starts_with("Once upon\na time\n✓ success  "),
        "{screen}"
    );
}

#[test]
fn a_text_that_ends_with_a_line_break_gets_no_other() {
    let stream = message(0, r"one\n") + &done(1);
    let [english, _] = show_both(&[], || vec![stream_run().sse(&stream)], RUN);
    english.is(
        0,
        "one\n✓ success  T s  9  https://coze.example/w?execute_id=9",
    );
}

#[test]
fn coze_studios_text_is_shown_when_its_history_has_confirmed_it() {
    let (go_on, gate) = channel();
    let server = Server::start(vec![
        stream_run()
            .header(STUDIO.0, STUDIO.1)
            .sse(message(0, "not yet"))
            .wait(gate)
            .piece(done(1)),
        Exchange::get("/v1/workflow/get_run_history?workflow_id=7&execute_id=9").json(
            200,
            r#"{"data":[{"execute_id":9,"execute_status":"Success","output":"{\"output\":\"not yet\"}"}]}"#,
        ),
    ]);
    let (terminal, end) = terminal::open(80);
    let program = Program::at(&server.url());
    let mut running = program
        .stdout_to(end.try_clone().unwrap())
        .stderr_to(end)
        .start();
    running.write(RUN);
    terminal.await_text("receiving from End");
    assert!(!terminal.screen().contains("not yet"));
    go_on.send(()).unwrap();
    assert_eq!(running.finish().code, 0);
    let (screen, _) = terminal.finish();
    assert!(screen.starts_with("not yet\n✓ success"), "{screen}");
    server.finish();
}

#[test]
fn a_text_that_was_shown_with_a_hole_is_shown_whole_again() {
    let hole = message(0, "one ") + &message(2, "three") + &done(3);
    let history = r#"{"code":0,"data":[{"execute_status":"Success","execute_id":"9","output":"{\"Output\":\"one two three\",\"node_status\":\"{}\"}"}]}"#;
    let poll = || Exchange::get("/v1/workflows/7/run_histories/9").json(200, history);
    let [english, _] = show_both(&[], || vec![stream_run().sse(&hole), poll()], RUN);
    english.is(
        0,
        "one three\n\none two three\n✓ success  T s  9  https://coze.example/w?execute_id=9",
    );
}

#[test]
fn a_failure_is_shown_once_with_the_text_so_far() {
    let error = r#"{"error_code":5000,"error_message":"node 3: no such city","debug_url":"https://coze.example/w?execute_id=9"}"#;
    let stream = message(0, "so far") + &format!("id: 1\nevent: Error\ndata: {error}\n\n");
    let [english, chinese] = show_both(&[], || vec![stream_run().sse(&stream)], RUN);
    let run = "9  https://coze.example/w?execute_id=9";
    let message = "node 3: no such city (code 5000";
    for (shown, end) in [(english, "✗ failed  T s"), (chinese, "✗ 失败  T 秒")] {
        let expected = format!("so far\n{end}  {run}\n{message}");
        assert!(shown.screen.starts_with(&expected), "{}", shown.screen);
        assert_eq!((shown.code, shown.screen.lines().count()), (1, 3));
    }
}

#[test]
fn a_refusal_is_shown_once_with_its_hint() {
    let refusal = r#"{"code":4008,"msg":"no more today"}"#;
    let script = || vec![stream_run().json(200, refusal)];
    let [english, chinese] = show_both(&[], script, RUN);
    english.is(
        4,
        "✗ refused  T s\nno more today (code 4008; the daily limit is used up; try again tomorrow)",
    );
    assert!(
        chinese
            .screen
            .starts_with("✗ 被拒绝  T 秒\nno more today (code 4008; ")
    );
    assert_eq!(chinese.screen.lines().count(), 2);
}

#[test]
fn a_mistake_in_the_arguments_is_shown_once() {
    let bad = || Program::bare().args(&["--time-out=3"]);
    show(bad(), "").is(
        2,
        "✗ usage  T s\nunknown option --time-out (did you mean --timeout?)",
    );
    show(bad().env("LANG", CHINESE), "").is(
        2,
        "✗ 用法有误  T 秒\nunknown option --time-out (您是想写 --timeout 吗？)",
    );
}

#[test]
fn whoever_asks_for_json_gets_the_mistake_in_json_wherever_it_is_asked_for() {
    for arguments in [["--time-out=3", "--json"], ["--json", "--time-out=3"]] {
        let shown = show(Program::bare().args(&arguments).arg("-q"), "");
        let response: serde_json::Value = serde_json::from_str(&shown.screen).unwrap();
        assert_eq!(
            (shown.code, &response["error"]["kind"]),
            (2, &"usage".into())
        );
    }
}

#[test]
fn the_clouds_question_is_its_message_and_a_command_answers_it() {
    let asked = r#"id: 0
event: Message
data: {"content":"哪个城市？","node_is_finish":true,"node_seq_id":"0","node_title":"问答","node_type":"Question"}

id: 1
event: Interrupt
data: {"interrupt_data":{"data":"","event_id":"9/27","type":2},"node_title":"问答"}

"#;
    let [english, chinese] = show_both(&[], || vec![stream_run().sse(asked)], RUN);
    let command = r#"→ coze-workflow --base-url 'http://127.0.0.1:PORT' --request '{"workflow_id":"7","interrupt":{"event_id":"9/27","type":2,"mode":"stream"},"resume_data":"…"}'"#;
    english.is(
        7,
        &format!("问答: 哪个城市？\n✗ interrupted  T s  9\n{command}"),
    );
    chinese.is(
        7,
        &format!("问答: 哪个城市？\n✗ 等待回答  T 秒  9\n{command}"),
    );
}

#[test]
fn a_choice_is_shown_with_its_options_and_not_as_json() {
    let data = r#"{\"messages\":[{\"type\":\"question\",\"content_type\":\"option\",\"content\":{\"options\":[{\"name\":\"red\"},{\"name\":\"it's\"}],\"question\":\"Which one?\"}}]}"#;
    let asked = format!(
        "id: 0\nevent: Message\ndata: {{\"content\":\"{data}\",\"node_is_finish\":true,\"node_seq_id\":\"0\",\"node_title\":\"Q\",\"node_type\":\"Question\"}}\n\n\
         id: 1\nevent: Interrupt\ndata: {{\"interrupt_data\":{{\"data\":\"{data}\",\"event_id\":\"9/27\",\"type\":2}}}}\n\n"
    );
    let script = || vec![stream_run().header(STUDIO.0, STUDIO.1).sse(&asked)];
    let [english, _] = show_both(&[], script, RUN);
    english.is(
        7,
        r#"✗ interrupted  T s  9
Which one?
  red
  it's
→ coze-workflow --base-url 'http://127.0.0.1:PORT' --request '{"workflow_id":"7","interrupt":{"event_id":"9/27","type":2,"mode":"stream"},"resume_data":"…"}'"#,
    );
}

#[test]
fn a_choice_of_one_of_many_is_shown_with_its_options_as_well() {
    let data = r#"{\"messages\":[{\"content\":{\"options\":[{\"name\":\"red\"},{\"name\":\"blue\"}],\"question\":\"Which\\none?\"}}]}"#;
    let asked = format!(
        "event: Interrupt\ndata: {{\"interrupt_data\":{{\"data\":\"{data}\",\"event_id\":\"9/27\",\"type\":2}}}}\n\n"
    );
    let script = || {
        let hello = message(0, "b") + &done(1);
        vec![stream_run().sse(&asked), stream_run().sse(hello)]
    };
    let [english, _] = show_both(&["-q"], script, &RUN.repeat(2));
    english.is(
        7,
        r#"✗ 0  T s  9  interrupted
  Which
  one?
    red
    blue
  → coze-workflow --base-url 'http://127.0.0.1:PORT' --request '{"workflow_id":"7","interrupt":{"event_id":"9/27","type":2,"mode":"stream"},"resume_data":"…"}'
✓ 1  T s  9  b"#,
    );
}

#[test]
fn what_no_end_node_has_said_is_shown_once() {
    let message = message(0, "only this").replace("\"End\"", "\"Out\"");
    let [english, _] = show_both(
        &[],
        || vec![stream_run().sse(message.clone() + &done(1))],
        RUN,
    );
    english.is(
        0,
        "only this\n✓ success  T s  9  https://coze.example/w?execute_id=9",
    );
}

#[test]
fn a_form_is_shown_by_its_names() {
    let asked = r#"event: Interrupt
data: {"interrupt_data":{"event_id":"9/27","type":5,"data":"","required_parameters":{"image":{"type":"image","required":true},"age":{"type":"integer"}}}}

"#;
    let [english, _] = show_both(&[], || vec![stream_run().sse(asked)], RUN);
    english.is(
        7,
        r#"✗ interrupted  T s  9
  image (image)
  age (integer, optional)
→ coze-workflow --base-url 'http://127.0.0.1:PORT' --request '{"workflow_id":"7","interrupt":{"event_id":"9/27","type":5,"required_parameters":{"image":{"type":"image","required":true},"age":{"type":"integer"}},"mode":"stream"},"resume_data":{"image":"…","age":…}}'"#,
    );
}

#[test]
fn a_refused_answer_is_followed_by_the_command_that_watches_its_run() {
    let refused = Exchange::post("/v1/workflow/stream_resume")
        .json(200, r#"{"code":4315,"msg":"the run is over"}"#);
    let server = Server::start(vec![refused]);
    let request = r#"{"workflow_id":"7","interrupt":{"event_id":"9/27","type":2,"data":"red or blue?"},"resume_data":"red"}"#;
    let program = Program::at(&server.url()).args(&["--request", request, "-o", "a b"]);
    show(program, "").is(
        4,
        r#"✗ refused  T s  9
the run is over (code 4315; the run does not wait for this answer; send the response without resume_data to watch how it ended)
red or blue?
→ coze-workflow --base-url 'http://127.0.0.1:PORT' -o 'a b' --request '{"workflow_id":"7","execute_id":"9"}'"#,
    );
}

/// What the command of a screen does when it is typed.
#[test]
fn the_command_that_answers_is_understood() {
    let server = Server::start(vec![
        Exchange::post("/v1/workflow/stream_resume").sse(message(0, "red it is") + &done(1)),
    ]);
    let request = r#"{"workflow_id":"7","interrupt":{"event_id":"9/27","type":2,"mode":"stream"},"resume_data":"red"}"#;
    let program = Program::at(&server.url()).args(&["--request", request]);
    show(program, "").is(
        0,
        "red it is\n✓ success  T s  9  https://coze.example/w?execute_id=9",
    );
    server.finish();
}

#[test]
fn a_background_run_is_shown_with_the_command_that_watches_it() {
    let submitted = r#"{"code":0,"execute_id":"9","debug_url":"https://coze.example/w"}"#;
    let script = || vec![Exchange::post("/v1/workflow/run").json(200, submitted)];
    let [english, chinese] = show_both(&["--async", "--no-wait"], script, RUN);
    let command = r#"→ coze-workflow --base-url 'http://127.0.0.1:PORT' --request '{"workflow_id":"7","execute_id":"9"}'"#;
    let message = "the run was started in the background";
    let first = "coze-workflow: started execute_id 9";
    english.is(
        6,
        &format!("{first}\n✗ running  T s  9  https://coze.example/w\n{message}\n{command}"),
    );
    let first = "coze-workflow: 运行已开始，execute_id 为 9";
    chinese.is(
        6,
        &format!("{first}\n✗ 仍在运行  T 秒  9  https://coze.example/w\n{message}\n{command}"),
    );
}

#[test]
fn many_requests_have_a_line_each() {
    let long = "x".repeat(100);
    let script = || {
        vec![
            stream_run().sse(message(0, &long) + &done(1)),
            stream_run().json(200, r#"{"code":4008,"msg":"no more today"}"#),
            stream_run().sse(message(0, r"a\nb") + &done(1)),
        ]
    };
    let requests = r#"{"workflow_id":"7"}{"workflow_id":"7","id":"row 2"}{"workflow_id":"7"}"#;
    let [english, chinese] = show_both(&[], script, requests);
    let start = "x".repeat(60);
    english.is(
        1,
        &format!(
            "✓ 0  T s  9  {start}…\n\
             ✗ row 2  T s  refused: no more today (code 4008; the daily limit is used up; try again tomorrow)\n\
             ✓ 2  T s  9  a\\nb\n\
             coze-workflow: 3 requests: 2 succeeded, 1 refused"
        ),
    );
    // A letter of two columns that does not fit ends a line.
    let screen = chinese.screen.replace('\n', "");
    assert!(
        screen.contains("✗ row 2  T 秒  被拒绝: no more today"),
        "{screen}"
    );
    assert!(
        screen.ends_with("coze-workflow: 3 个请求：2 个成功，1 个被拒绝"),
        "{screen}"
    );
}

#[test]
fn a_line_of_many_keeps_the_way_back() {
    let asked = "event: Interrupt\ndata: {\"interrupt_data\":{\"event_id\":\"9/27\",\"type\":2,\"data\":\"\"}}\n\n";
    let script = || {
        vec![
            stream_run().sse(asked),
            stream_run().sse(message(0, "b") + &done(1)),
        ]
    };
    let requests = r#"{"workflow_id":"7"}{"workflow_id":"7"}"#;
    let [english, _] = show_both(&["-q"], script, requests);
    english.is(
        7,
        r#"✗ 0  T s  9  interrupted
  the run's page has the question
  → coze-workflow --base-url 'http://127.0.0.1:PORT' --request '{"workflow_id":"7","interrupt":{"event_id":"9/27","type":2,"mode":"stream"},"resume_data":"…"}'
✓ 1  T s  9  b"#,
    );
}

#[test]
fn a_line_of_many_is_followed_by_a_text_that_nothing_else_holds() {
    let [one, two] = ["one ", "two "].map(|word| word.repeat(200));
    let server = Server::start(vec![
        stream_run().sse(message(0, &one) + &done(1)),
        stream_run().sse(message(0, &two) + &done(1)),
    ]);
    // The first line of an entry fits into a file of this size, and a text does not fit as well.
    let limited = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
    let program = Program::other("sh")
        .env("COZE_API_KEY", KEY)
        .args(&["-c", limited, "sh", env!("CARGO_BIN_EXE_coze-workflow")])
        .args(&["-q", "--base-url", &server.url(), "--journal", "journal"]);
    let requests = r#"{"workflow_id":"7","id":"a"}{"workflow_id":"7","id":"b"}"#;
    let shown = show(program, requests);
    let lines: Vec<_> = shown.screen.lines().collect();
    assert_eq!((shown.code, lines.len()), (9, 4), "{}", shown.screen);
    for (id, text, lines) in [("a", one, &lines[..2]), ("b", two, &lines[2..])] {
        let row = format!("✗ {id}  T s  9  io: ");
        assert!(lines[0].starts_with(&row), "{}", lines[0]);
        let response: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
        assert_eq!(response["output"], text);
        assert_eq!(shown.screen.matches(text.trim_end()).count(), 1);
    }
}

#[test]
fn the_only_request_of_several_jobs_is_shown_whole() {
    let script = || vec![stream_run().sse(message(0, r"one\ntwo") + &done(1))];
    let [english, chinese] = show_both(&["-j", "4"], script, RUN);
    let run = "9  https://coze.example/w?execute_id=9";
    english.is(0, &format!("one\ntwo\n✓ success  T s  {run}"));
    chinese.is(0, &format!("one\ntwo\n✓ 成功  T 秒  {run}"));
}

#[test]
fn several_requests_of_several_jobs_have_a_line_each_whichever_ends_first() {
    let (go_on, gate) = channel();
    let server = Server::start(vec![
        stream_run()
            .sse(message(0, "slow"))
            .wait(gate)
            .piece(done(1)),
        stream_run().sse(message(0, "quick") + &done(1)),
    ]);
    let (terminal, end) = terminal::open(80);
    let program = Program::at(&server.url()).args(&["-q", "-j", "2"]);
    let mut running = program.stdout_to(end).start();
    running.write(RUN);
    server.await_requests(1);
    running.write(RUN);
    terminal.await_text("✓ 1  ");
    go_on.send(()).unwrap();
    running.finish().is(0, "", "");
    let (screen, _) = terminal.finish();
    let rows: Vec<_> = screen.lines().map(|line| line.split("  ").last()).collect();
    assert_eq!(rows, [Some("quick"), Some("slow")], "{screen}");
}

#[test]
fn the_command_goes_to_the_server_that_the_run_is_on() {
    let submitted = r#"{"code":0,"execute_id":"9"}"#;
    let script = || vec![Exchange::post("/v1/workflow/run").json(200, submitted)];
    let options = ["-q", "--async", "--no-wait", "--service", "coze"];
    let [english, _] = show_both(&options, script, RUN);
    assert!(
        english.screen.contains(
            "→ coze-workflow --base-url 'http://127.0.0.1:PORT' --service 'coze' --request '"
        ),
        "{}",
        english.screen
    );
}

#[test]
fn requests_that_come_one_by_one_are_each_shown_whole() {
    let run = || stream_run().sse(message(0, "hello") + &done(1));
    let server = Server::start(vec![run(), run()]);
    let (terminal, end) = terminal::open(WIDTH);
    let mut running = Program::at(&server.url()).stdout_to(end).arg("-q").start();
    running.write(RUN);
    terminal.await_text("execute_id=9");
    running.write(RUN);
    assert_eq!(running.finish().code, 0);
    let (screen, _) = terminal.finish();
    assert_eq!(screen.matches("hello\n✓ success").count(), 2, "{screen}");
}

#[test]
fn a_check_is_a_list_at_a_terminal_and_json_where_it_is_asked_for() {
    let script = || vec![Exchange::get("/").json(404, "")];
    let [english, chinese] = show_both(&["--check"], script, "");
    let [asked, _] = show_both(&["--check", "--json"], script, "");
    assert!(
        english.screen.contains("✓ the server answers ("),
        "{}",
        english.screen
    );
    assert!(
        english.screen.contains("\nretries 2 (default)\n"),
        "{}",
        english.screen
    );
    for told in [
        "✓ 服务器有应答（",
        "令牌 已设置 (COZE_API_KEY)\n",
        "\n重试次数 2 (默认)\n",
    ] {
        assert!(chinese.screen.contains(told), "{}", chinese.screen);
    }
    let report: serde_json::Value = serde_json::from_str(&asked.screen).unwrap();
    assert_eq!((asked.code, &report["reachable"]), (0, &true.into()));
}

/// What a deployed project says of a run: it has no log id, no node and no page.
const WORK: &str = "event: message\ndata: {\"type\": \"workflow_start\", \"run_id\": \"9\"}\n\n";
const RESULT: &str = "event: message\ndata: {\"type\": \"workflow_end\", \"run_id\": \"9\", \"output\": {\"result\": 3.0}}\n\n";
const PROJECT: [&str; 2] = ["--service", "site"];

#[test]
fn a_project_is_at_work_until_its_result_is_there() {
    for (locale, work, success) in [
        ("C", "the workflow is at work", "✓ success  T s  9"),
        (CHINESE, "工作流正在运行", "✓ 成功  T 秒  9"),
    ] {
        let (go_on, gate) = channel();
        let stream = Exchange::post("/stream_run").sse(WORK);
        let server = Server::start(vec![stream.wait(gate).piece(RESULT)]);
        let (terminal, end) = terminal::open(80);
        let program = Program::at(&server.url()).args(&PROJECT);
        let mut running = program
            .env("LC_ALL", locale)
            .env("NO_COLOR", "1")
            .stdout_to(end.try_clone().unwrap())
            .stderr_to(end)
            .start();
        running.write(r#"{"parameters":{}}"#);
        terminal.await_text(work);
        go_on.send(()).unwrap();
        assert_eq!(running.finish().code, 0);
        let (screen, bytes) = terminal.finish();
        let screen = crate::without_times(&screen);
        assert_eq!(screen, format!("{{\n  \"result\": 3.0\n}}\n{success}"));
        assert!(!bytes.contains("receiving") && !bytes.contains("正在接收"));
        server.finish();
    }
}

#[test]
fn what_a_workflow_takes_is_listed_once_for_all_its_rows() {
    let takes = r#"{"code":0,"data":{"workflow_detail":{"workflow_id":"7","workflow_name":"Weather"},"input":{"parameters":{"city":{"type":"string","required":true}}}}}"#;
    let script =
        || vec![Exchange::get("/v1/workflows/7?include_input_output=true").json(200, takes)];
    let row = |parameters: &str| format!("{{\"workflow_id\":\"7\",\"parameters\":{parameters}}}\n");
    let rows = [row(r#"{"city":"a"}"#), row("{}"), row(r#"{"city":"b"}"#)].concat();
    let [english, _] = show_both(&["--check"], script, &rows);
    assert_eq!(
        english.screen.matches("Weather (7)\n").count(),
        1,
        "{}",
        english.screen
    );
    assert!(english.screen.contains("[id 1]"), "{}", english.screen);
    assert_eq!(english.code, 2);
}

#[test]
fn what_a_project_takes_is_listed_without_a_name() {
    let takes = r#"{"input_schema":{"properties":{"a":{"description":"a summand","type":"number"},"note":{"anyOf":[{"type":"string"},{"type":"null"}],"default":"none"}},"required":["a"],"type":"object"},"code":0}"#;
    let script = || vec![Exchange::get("/graph_parameter").json(200, takes)];
    let arguments = [&PROJECT[..], &["--check", "-p", "a:=1"]].concat();
    let screens = show_both(&arguments, script, "").map(|shown| shown.screen);
    assert_eq!(
        screens,
        [
            "  a     number  required                a summand\n  note  string  optional  default none",
            "  a     number  必填             a summand\n  note  string  选填  默认 none",
        ]
    );
}

#[test]
fn a_projects_background_run_is_shown_with_the_command_that_watches_it() {
    let started = r#"{"task_id":"9","status":"pending"}"#;
    let script = || vec![Exchange::post("/async_run").json(200, started)];
    let arguments = [&PROJECT[..], &["-q", "--async", "--no-wait"]].concat();
    let [english, _] = show_both(&arguments, script, r#"{"parameters":{}}"#);
    let watch = r#"{"execute_id":"9"}"#;
    english.is(
        6,
        &format!(
            "✗ running  T s  9\nthe run was started in the background\n\
             → coze-workflow --base-url 'http://127.0.0.1:PORT' --service 'site' --request '{watch}'"
        ),
    );
    let done = r#"{"task_id":"9","status":"completed","result":{"result":3.0}}"#;
    let server = Server::start(vec![Exchange::get("/task/9").json(200, done)]);
    let program = Program::at(&server.url()).args(&PROJECT);
    show(program.args(&["--request", watch]), "")
        .is(0, "{\n  \"result\": 3.0\n}\n✓ success  T s  9");
    server.finish();
}

#[test]
fn whoever_gives_nothing_is_shown_what_to_do_first() {
    for (locale, greeting) in [
        ("C", include_str!("../../src/console/greeting/en.txt")),
        (CHINESE, include_str!("../../src/console/greeting/zh.txt")),
    ] {
        let (_keyboard, end) = terminal::open(WIDTH);
        let program = Program::bare().env("LC_ALL", locale).stdin_from(end);
        show(program, "").is(2, greeting);
        assert!(greeting.lines().count() <= 23);
        for line in greeting.lines() {
            let width = |char: char| 1 + usize::from(char >= '\u{2e80}');
            let columns: usize = line.chars().map(width).sum();
            assert!(columns <= usize::from(WIDTH), "{columns} columns: {line}");
        }
    }
}

#[test]
fn a_program_that_gives_nothing_gets_its_response() {
    let (_keyboard, end) = terminal::open(WIDTH);
    let ended = Program::bare().stdin_from(end).run("");
    assert_eq!((ended.code, ended.responses().len()), (2, 1));
    assert_eq!(ended.responses()[0]["error"]["kind"], "usage");
}

#[test]
fn nothing_that_the_service_says_commands_the_terminal() {
    let text = r"a\u001b[2Jb\u009bc\u202ed\u007f\r\ne\rf";
    let stream = message(0, text)
        + "id: 1\nevent: Message\ndata: {\"content\":\"x\\u001b\",\"node_title\":\"\\u001bT\",\"node_type\":\"Message\",\"node_seq_id\":\"0\",\"node_is_finish\":true}\n\n"
        + &done(2);
    let [english, _] = show_both(&[], || vec![stream_run().sse(&stream)], RUN);
    english.is(
        0,
        "a\\u{1b}[2Jb\\u{9b}c\\u{202e}d\\u{7f}\ne\\rf\n\\u{1b}T: x\\u{1b}\n✓ success  T s  9  https://coze.example/w?execute_id=9",
    );
    let refused = r#"{"code":4008,"msg":"a\u001b]0;x\u0007"}"#;
    let [english, _] = show_both(&[], || vec![stream_run().json(200, refused)], RUN);
    for command in ['\u{1b}', '\u{9b}', '\u{7}', '\u{202e}'] {
        assert!(!english.bytes.contains(command), "{:?}", english.bytes);
    }
}

#[test]
fn json_that_is_asked_for_is_the_same_json_and_commands_no_terminal() {
    let stream = message(0, r"a\u009b\u202eb") + &done(1);
    let [english, _] = show_both(&["--json"], || vec![stream_run().sse(&stream)], RUN);
    assert!(
        english.bytes.contains(r"a\u009b\u202eb"),
        "{}",
        english.bytes
    );
    let raw = "id: 0\nevent: Message\ndata: {\"content\":\"a\u{9b}\u{202e}b\",\"node_title\":\"End\",\"node_seq_id\":\"0\",\"node_is_finish\":true}\n\n".to_owned() + &done(1);
    let [english, _] = show_both(&["--json"], || vec![stream_run().sse(&raw)], RUN);
    let response: serde_json::Value = serde_json::from_str(english.bytes.trim()).unwrap();
    assert_eq!(response["output"], "a\u{9b}\u{202e}b");
    assert!(!english.bytes.contains('\u{9b}'));
    for arguments in [&["-r"][..], &["--events", "-q"]] {
        let [english, _] = show_both(arguments, || vec![stream_run().sse(&raw)], RUN);
        assert!(
            !english.bytes.contains(['\u{9b}', '\u{202e}']),
            "{}",
            english.bytes
        );
        assert!(english.screen.starts_with(['a', '{']), "{}", english.screen);
    }
}

#[test]
fn colours_are_seen_only_by_those_who_want_them() {
    for (variables, has_colours) in [
        (&[("TERM", "xterm")][..], true),
        (&[("TERM", "xterm"), ("NO_COLOR", "")], true),
        (&[("TERM", "xterm"), ("NO_COLOR", "1")], false),
        (&[("TERM", "dumb")], false),
    ] {
        let server = Server::start(vec![stream_run().sse(message(0, "text") + &done(1))]);
        let (terminal, end) = terminal::open(WIDTH);
        let program = variables
            .iter()
            .fold(Program::at(&server.url()), |program, (name, value)| {
                program.env(name, value)
            });
        program.stdout_to(end).run(RUN);
        let (_, bytes) = terminal.finish();
        assert!(bytes.starts_with("text\r\n"), "{bytes:?}");
        assert_eq!(
            bytes.contains("\x1b["),
            has_colours,
            "{variables:?} {bytes:?}"
        );
    }
}

#[test]
fn no_screen_depends_on_the_width() {
    let stream = message(0, &"word ".repeat(30)) + &done(1);
    let screens = [20, WIDTH, 300].map(|width| {
        let server = Server::start(vec![stream_run().sse(&stream)]);
        let (terminal, end) = terminal::open(width);
        Program::at(&server.url()).stdout_to(end).run(RUN);
        crate::without_times(&terminal.finish().0)
    });
    assert_eq!(screens[0], screens[2]);
    assert_eq!(screens[1], screens[2]);
}
