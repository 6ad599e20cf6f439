//! `-w ID -p NAME=VALUE`: a request as a person types it. What reaches the wire, which files are
//! uploaded before, and what is refused unsent.

use std::fs;
use std::path::Path;

use crate::support::coze::{self, Counts, Coze, Options, Site};
use crate::support::program::{Ended, Program, complaint};
use crate::support::server::{Exchange, Server};
use crate::support::wire::Request;
use crate::{HELLO, RUN, SAID_HELLO, stream_run};

/// An uploaded file's id.
const UPLOADED: &str = include_str!("../wire/doc_files_upload.json");

/// What a parameter is then.
const REFERENCE: &str = r#""{\"file_id\":\"736949598110202****\"}""#;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n--\xff\0\r\n";

fn upload() -> Exchange {
    Exchange::post("/v1/files/upload")
}

/// The program with `-w 7` and each of these after `-p`.
fn program(url: &str, params: &[&str]) -> Program {
    params
        .iter()
        .fold(Program::at(url).args(&["-w", "7"]), |program, param| {
            program.args(&["-p", param])
        })
}

/// The body of a run with these parameters.
fn body(parameters: &str) -> String {
    format!(r#"{{"workflow_id":"7","parameters":{parameters}}}"#)
}

/// What is sent as `parameters`.
#[track_caller]
fn sends(params: &[&str], parameters: &str) {
    let server = Server::start(vec![stream_run().with_body(&body(parameters)).sse(HELLO)]);
    with_files(program(&server.url(), params))
        .run("")
        .is(0, SAID_HELLO, "");
}

fn with_files(program: Program) -> Program {
    program
        .file("marked.txt", "\u{feff}hello")
        .file("notes.txt", "第一行\n\"2\"\n")
        .file("opts.json", "\u{feff}{ \"z\": 1e2,\r\n \"a\":-0 }\n")
        .file("latin.txt", b"caf\xe9")
        .file("cat.png", PNG)
}

/// Refused, and nothing is sent.
#[track_caller]
fn refuses(arguments: &[&str], message: &str, hint: &str) {
    refuses_in("C", arguments, message, hint);
}

#[track_caller]
fn refuses_in(locale: &str, arguments: &[&str], message: &str, hint: &str) {
    let server = Server::start(vec![]);
    let program = Program::at(&server.url())
        .env("LC_ALL", locale)
        .args(arguments);
    let error = serde_json::json!({"kind": "usage", "message": message, "hint": hint});
    let response: serde_json::Value = serde_json::json!({
        "execute_id": "", "status": "Fail", "output": "", "debug_url": "", "error": error
    });
    let ended = with_files(program).run(RUN);
    assert_eq!(ended.responses(), [response], "{}", ended.stderr);
    assert_eq!(ended.code, 2);
}

// The forms.

#[test]
fn a_workflow_is_run_without_parameters_and_standard_input_is_not_read() {
    let server = Server::start(vec![stream_run().with_body(RUN).sse(HELLO)]);
    let mut running = Program::at(&server.url()).args(&["-w", "7"]).start();
    running.write("no request");
    assert_eq!(running.line(), SAID_HELLO);
    running.finish().is(0, "", "");
}

#[test]
fn a_text_is_sent_as_it_is_typed() {
    sends(&["city=北京"], r#"{"city":"北京"}"#);
    sends(
        &["a=", "b==@x:=1", "c= \"q\"\\\n"],
        r#"{"a":"","b":"=@x:=1","c":" \"q\"\\\n"}"#,
    );
}

#[test]
fn a_text_may_be_in_a_file_and_keeps_its_last_line_feed() {
    sends(&["text=@notes.txt"], r#"{"text":"第一行\n\"2\"\n"}"#);
}

#[test]
fn the_byte_order_mark_of_a_file_is_no_part_of_its_text() {
    sends(&["text=@marked.txt"], r#"{"text":"hello"}"#);
}

#[test]
fn json_is_sent_byte_for_byte() {
    sends(
        &[
            "days:=3",
            r#"opts:={"b":1.50, "a":12345678901234567890,"u":"\u4f60\/"}"#,
        ],
        r#"{"days":3,"opts":{"b":1.50, "a":12345678901234567890,"u":"\u4f60\/"}}"#,
    );
}

#[test]
fn json_in_a_file_is_sent_byte_for_byte() {
    sends(
        &["opts:=@opts.json"],
        "{\"opts\":{ \"z\": 1e2,\r\n \"a\":-0 }}",
    );
}

#[test]
fn the_first_sign_ends_the_name() {
    sends(&["a:b=c:=d@e"], r#"{"a:b":"c:=d@e"}"#);
    sends(&["键 \"x\":=null"], r#"{"键 \"x\"":null}"#);
}

#[test]
fn a_workflow_may_be_given_by_its_page() {
    let server = Server::start(vec![
        stream_run().with_body(&body(r#"{"a":"b"}"#)).sse(HELLO),
    ]);
    let page = "https://www.coze.cn/work_flow?space_id=1&workflow_id=7";
    let program = Program::at(&server.url()).args(&["--workflow", page, "--param=a=b"]);
    program.run("").is(0, SAID_HELLO, "");
}

#[test]
fn the_page_of_a_run_says_how_to_watch_it() {
    let server = Server::start(vec![]);
    let page = "https://www.coze.cn/work_flow?execute_id=9&workflow_id=7";
    let ended = Program::at(&server.url()).args(&["-w", page]).run("");
    assert!(
        ended
            .stdout
            .contains(r#"to watch that run: {\"workflow_id\":\"7\",\"execute_id\":\"9\"}"#)
    );
    assert_eq!(ended.code, 2);
}

#[test]
fn it_may_run_in_the_background_as_any_request() {
    let coze = Coze::start(Options::default());
    let program =
        Program::at(&coze.url()).args(&["-w", coze::ECHO, "-p", "a:=[1]", "--async", "-qr"]);
    program.run("").is(0, r#"{"output":{"a":[1]}}"#, "");
}

// Files.

#[test]
fn a_file_is_uploaded_first_and_a_number_beside_it_is_sent_byte_for_byte() {
    let parameters = format!(r#"{{"size":1e2,"image":{REFERENCE}}}"#);
    let server = Server::start(vec![
        upload().json(200, UPLOADED),
        stream_run().with_body(&body(&parameters)).sse(HELLO),
    ]);
    let params = ["size:=1e2", "image@cat.png"];
    with_files(program(&server.url(), &params))
        .run("")
        .is(0, SAID_HELLO, "");
    let seen = server.finish();
    is_form(&seen[0].request, "cat.png", PNG);
    assert_ne!(seen[0].connection, seen[1].connection);
}

#[track_caller]
fn is_form(request: &Request, file_name: &str, file: &[u8]) {
    let content_type = request.header("content-type").unwrap();
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=");
    let boundary = boundary.unwrap();
    assert!(boundary.len() >= 32, "{boundary}");
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{file_name}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    let tail = format!("\r\n--{boundary}--\r\n");
    let expected = [head.as_bytes(), file, tail.as_bytes()].concat();
    assert_eq!(request.body, expected);
    let length = expected.len().to_string();
    assert_eq!(request.header("content-length"), Some(&*length));
    assert!(request.header("authorization").is_some());
}

#[test]
fn a_file_s_name_can_t_break_out_of_its_quotes() {
    let server = Server::start(vec![upload().json(200, UPLOADED), stream_run().sse(HELLO)]);
    let name = "猫\"\r\n.png";
    let program = program(&server.url(), &[&format!("image@more/{name}")]);
    let ended = program.file(&format!("more/{name}"), "").run("");
    ended.is(0, SAID_HELLO, "");
    is_form(&server.finish()[0].request, "猫%22%0D%0A.png", b"");
}

#[test]
fn either_server_takes_a_file() {
    for site in [Site::Coze, Site::Studio] {
        let coze = Coze::start(Options {
            site,
            ..Options::default()
        });
        let arguments = ["-w", coze::ECHO, "-p", "image@cat.png", "-p", "n:=7", "-r"];
        let ended = with_files(Program::at(&coze.url()).args(&arguments)).run("");
        let output = r#"{"output":{"image":"{\"file_id\":\"7712448377585139712\"}","n":7}}"#;
        ended.is(0, output, "");
        assert_eq!(posts(&coze.counts()), (1, 1), "{site:?}");
    }
}

/// Uploads and runs.
fn posts(counts: &Counts) -> (u64, u64) {
    (counts.uploads, counts.stream_run + counts.run)
}

#[test]
fn one_file_for_two_parameters_is_uploaded_once() {
    let parameters = format!(r#"{{"a":{REFERENCE},"b":{REFERENCE}}}"#);
    let server = Server::start(vec![
        upload().json(200, UPLOADED),
        stream_run().with_body(&body(&parameters)).sse(HELLO),
    ]);
    with_files(program(&server.url(), &["a@cat.png", "b@cat.png"]))
        .run("")
        .is(0, SAID_HELLO, "");
}

#[test]
fn two_files_are_uploaded_one_after_the_other() {
    let other = UPLOADED.replace("736949598110202****", "8");
    let parameters = format!(r#"{{"a":{REFERENCE},"b":"{{\"file_id\":\"8\"}}"}}"#);
    let server = Server::start(vec![
        upload().json(200, UPLOADED),
        upload().json(200, other),
        stream_run().with_body(&body(&parameters)).sse(HELLO),
    ]);
    with_files(program(&server.url(), &["a@cat.png", "b@notes.txt"]))
        .run("")
        .is(0, SAID_HELLO, "");
}

#[test]
fn a_large_file_is_not_held_in_memory() {
    const LENGTH: usize = 64 << 20;
    let (open, gate) = std::sync::mpsc::channel();
    let server = Server::start(vec![
        upload().wait(gate).json(200, UPLOADED),
        stream_run().sse(HELLO),
    ]);
    let program = program(&server.url(), &["film@film.bin"]);
    let running = program.file("film.bin", vec![7; LENGTH]).start();
    server.await_requests(1);
    let peak = running.peak_memory();
    assert!(peak < 32 << 20, "{peak}");
    open.send(()).unwrap();
    running.finish().is(0, SAID_HELLO, "");
    assert!(server.finish()[0].request.body.len() > LENGTH);
}

// An upload that fails.

/// The run is not sent; so ends the command.
#[track_caller]
fn fails(script: Vec<Exchange>, arguments: &[&str], code: i32, error: &str) {
    let server = Server::start(script);
    let program = program(&server.url(), &["image@cat.png"]).args(arguments);
    let ended = with_files(program).run("");
    server.finish();
    ended.is_error(code, error);
}

#[test]
fn a_missing_permission_is_named_and_the_run_is_not_sent() {
    let refusal = r#"{"code":4101,"msg":"no access","detail":{"logid":"L"}}"#;
    let error = r#"{"kind":"refused","code":4101,"message":"--param image: cat.png was not uploaded: no access","hint":"the token belongs to the other site (.cn or .com: see --base-url), or lacks the permission uploadFile","logid":"L"}"#;
    let server = Server::start(vec![upload().json(200, refusal)]);
    let ended = with_files(program(&server.url(), &["image@cat.png"])).run("");
    let response = format!(
        r#"{{"execute_id":"","status":"Fail","output":"","debug_url":"","workflow_id":"7","error":{error}}}"#
    );
    ended.is(4, &response, &complaint(error));
}

#[test]
fn a_token_that_is_refused_is_refused_before_the_run() {
    for site in [Site::Coze, Site::Studio] {
        let coze = Coze::start(Options {
            site,
            key: Some("pat_another".to_owned()),
            ..Options::default()
        });
        let program = program(&coze.url(), &["image@cat.png"]);
        let ended = with_files(program).run("");
        assert_eq!(ended.code, 4, "{}", ended.stdout);
        assert_eq!(posts(&coze.counts()), (1, 0), "{site:?}");
    }
}

#[test]
fn an_upload_is_repeated_whatever_became_of_the_one_before() {
    // Two of them at most, so that no pause grows long.
    let mishaps = [
        vec![upload().answer(503, "text/html", "<html>")],
        vec![
            upload().hangs_up(),
            upload().json(429, "{}").header("Retry-After", "1"),
        ],
        vec![
            upload()
                .json(200, "{\"data\":{\"id\":\"7")
                .claiming(99)
                .fin(),
            upload().json(200, r#"{"code":5000,"msg":"internal"}"#),
        ],
    ];
    for mut exchanges in mishaps {
        exchanges.push(upload().json(200, UPLOADED));
        let uploads = exchanges.len();
        exchanges.push(stream_run().sse(HELLO));
        let server = Server::start(exchanges);
        let program = program(&server.url(), &["image@cat.png", "n:=1"]);
        with_files(program).run("").is(0, SAID_HELLO, "");
        for seen in &server.finish()[..uploads] {
            is_form(&seen.request, "cat.png", PNG);
        }
    }
}

#[test]
fn an_upload_that_never_arrives_is_unreachable() {
    let retries = ["--retries", "1"];
    let gateway = || upload().answer(502, "text/html", "<html>");
    let error = r#"{"kind":"unreachable","message":"--param image: cat.png was not uploaded: HTTP 502, and the body is not Coze's"}"#;
    fails(vec![gateway(), gateway()], &retries, 5, error);
    let error = r#"{"kind":"unreachable","message":"--param image: cat.png was not uploaded: HTTP 200, and the body is not Coze's"}"#;
    let nothing = || upload().json(200, r#"{"code":0,"data":{}}"#);
    fails(vec![nothing(), nothing()], &retries, 5, error);
}

#[test]
fn an_upload_that_is_refused_is_not_repeated() {
    let refusal = upload().json(200, r#"{"code":4000,"msg":"bad file"}"#);
    let error = r#"{"kind":"refused","code":4000,"message":"--param image: cat.png was not uploaded: bad file","hint":"check the file: its type, and that it has at most 512 MB"}"#;
    fails(vec![refusal], &[], 4, error);
    let refusal = upload().answer(413, "text/html", "<html>");
    let error = r#"{"kind":"refused","message":"--param image: cat.png was not uploaded: HTTP 413, and the body is not Coze's","hint":"check the base URL: the response is not Coze's"}"#;
    fails(vec![refusal], &[], 4, error);
}

#[test]
fn a_code_that_stays_unclear_is_a_refusal_in_the_end() {
    let unclear = || upload().json(200, r#"{"code":5000,"msg":"internal"}"#);
    let error = r#"{"kind":"refused","code":5000,"message":"--param image: cat.png was not uploaded: internal"}"#;
    fails(vec![unclear(), unclear()], &["--retries", "1"], 4, error);
}

/// The file is written to after the first try, which a gateway answered.
#[track_caller]
fn changes(content: &[u8]) {
    let server = Server::start(vec![upload().answer(503, "text/html", "")]);
    let program = with_files(program(&server.url(), &["image@cat.png"]));
    let path = program.path().join("cat.png");
    let running = program.args(&["--journal", "journal"]).start();
    server.await_requests(1);
    fs::write(path, content).unwrap();
    let ended = running.finish();
    server.finish();
    let error = r#"{"kind":"usage","message":"--param image: cat.png was not uploaded: it has changed meanwhile","hint":"run the command again when nothing writes to it"}"#;
    let response = format!(
        r#"{{"execute_id":"","status":"Fail","output":"","debug_url":"","workflow_id":"7","error":{error},"id":0}}"#
    );
    assert_eq!((ended.code, ended.stdout.trim_end()), (2, &*response));
    assert_eq!(entries(&ended), 0);
}

#[test]
fn a_file_that_changed_meanwhile_is_not_uploaded_whole_and_the_run_is_not_sent() {
    let other: Vec<u8> = PNG.iter().map(|byte| byte ^ 1).collect();
    changes(&other);
}

#[test]
fn a_file_that_became_shorter_meanwhile_has_changed() {
    changes(&PNG[1..]);
    changes(b"");
}

// The journal.

/// How many tries it has.
#[track_caller]
fn entries(ended: &Ended) -> usize {
    count(&ended.path().join("journal"))
}

#[track_caller]
fn count(journal: &Path) -> usize {
    let names = fs::read_dir(journal).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".1")).count()
}

/// Runs in one directory with one journal.
struct Desk {
    coze: Coze,
    directory: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self {
            coze: Coze::start(Options::default()),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn write(&self, name: &str, content: &[u8]) -> String {
        let path = self.directory.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[track_caller]
    fn run(&self, params: &[String]) -> serde_json::Value {
        let journal = self.directory.path().join("journal");
        let mut program = Program::at(&self.coze.url()).args(&[
            "-w",
            coze::ECHO,
            "--journal",
            journal.to_str().unwrap(),
        ]);
        for param in params {
            program = program.args(&["-p", param]);
        }
        let ended = program.run("");
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.responses().remove(0)
    }
}

#[test]
fn the_journal_answers_without_a_second_upload() {
    let desk = Desk::new();
    let one = desk.write("one.png", PNG);
    let first = desk.run(&[format!("image@{one}")]);
    let again = desk.run(&[format!("image@{one}")]);
    assert_eq!(again["journal"], true);
    assert_eq!(again["output"], first["output"]);
    assert_eq!(posts(&desk.coze.counts()), (1, 1));
}

#[test]
fn a_file_counts_by_its_bytes_and_not_by_its_name() {
    let desk = Desk::new();
    let (one, two) = (desk.write("one.png", PNG), desk.write("two.png", PNG));
    desk.run(&[format!("image@{one}")]);
    desk.run(&[format!("image@{two}")]);
    assert_eq!(posts(&desk.coze.counts()), (1, 1));
    desk.write("one.png", b"other");
    desk.run(&[format!("image@{one}")]);
    desk.run(&[format!("other@{one}")]);
    assert_eq!(posts(&desk.coze.counts()), (3, 3));
}

#[test]
fn an_upload_that_failed_leaves_nothing_in_the_journal() {
    let server = Server::start(vec![upload().json(200, r#"{"code":4100,"msg":"no"}"#)]);
    let program = program(&server.url(), &["image@cat.png"]).args(&["--journal", "journal"]);
    let ended = with_files(program).run("");
    assert_eq!((ended.code, entries(&ended)), (4, 0));
}

// What is refused.

const SIGNS: &str =
    "such as city=北京, days:=3 or image@cat.png; a text or JSON in a file is =@FILE or :=@FILE";

#[test]
fn what_has_none_of_the_signs_is_refused() {
    for param in ["city", "", "city:北京", "=x", ":=1", "@cat.png"] {
        let message = format!("--param {param:?} is none of NAME=TEXT, NAME:=JSON and NAME@FILE");
        refuses(&["-w", "7", "-p", param], &message, SIGNS);
    }
    refuses_in(
        "zh_CN.UTF-8",
        &["-w", "7", "-p", "city"],
        "--param \"city\" is none of NAME=TEXT, NAME:=JSON and NAME@FILE",
        "例如 city=北京、days:=3 或 image@cat.png；文件中的文本或 JSON 写作 =@文件 或 :=@文件",
    );
}

#[test]
fn a_name_that_is_given_twice_is_refused_whatever_its_forms() {
    refuses(
        &["-w", "7", "-p", "a=1", "-p", "a:=1"],
        "--param a was given twice",
        "leave one of them out",
    );
}

#[test]
fn a_file_that_can_t_be_read_is_refused() {
    let hint = "what follows @ is the name of a file; a text that begins with @ is given as JSON: NAME:='\"@…\"'";
    for sign in ["=@", ":=@", "@"] {
        refuses(
            &["-w", "7", "-p", &format!("a{sign}nowhere")],
            "--param a: cannot read \"nowhere\": No such file or directory (os error 2)",
            hint,
        );
    }
    refuses_in(
        "zh_CN.UTF-8",
        &["-w", "7", "-p", "a=@"],
        "--param a: cannot read \"\": No such file or directory (os error 2)",
        "@ 之后是文件名；以 @ 开头的文本请写成 JSON：NAME:='\"@…\"'",
    );
}

#[test]
fn only_a_regular_file_is_uploaded() {
    for path in ["/dev/null", "."] {
        refuses(
            &["-w", "7", "-p", &format!("a@{path}")],
            &format!("--param a: {path} is no regular file"),
            "only a regular file can be uploaded: save it as one",
        );
    }
}

#[test]
fn a_text_that_coze_would_not_take_is_refused() {
    let server = Server::start(vec![]);
    let program = program(&server.url(), &["a=@large.txt"]).file("large.txt", "你".repeat(7 << 20));
    let ended = program.run("");
    let message = r#""message":"--param a: large.txt is no UTF-8 text of at most 20 MiB","hint":"save it as UTF-8; to upload it as it is: a@large.txt""#;
    assert!(ended.stdout.contains(message), "{}", ended.stdout);
    assert_eq!(ended.code, 2);
}

#[test]
fn a_file_that_is_no_utf_8_is_refused() {
    for sign in ["=@", ":=@"] {
        refuses(
            &["-w", "7", "-p", &format!("a{sign}latin.txt")],
            "--param a: latin.txt is no UTF-8 text of at most 20 MiB",
            "save it as UTF-8; to upload it as it is: a@latin.txt",
        );
    }
}

#[test]
fn json_that_is_none_is_refused() {
    let hint = "a text is given without the colon: NAME=TEXT or NAME=@FILE";
    refuses(
        &["-w", "7", "-p", "city:=北京"],
        "--param city: not valid JSON: expected value at line 1 column 1",
        hint,
    );
    refuses(
        &["-w", "7", "-p", "a:=1 2"],
        "--param a: not valid JSON: trailing characters at line 1 column 3",
        hint,
    );
    refuses(
        &["-w", "7", "-p", "text:=@notes.txt"],
        "--param text: not valid JSON: expected value at line 1 column 1",
        hint,
    );
    refuses_in(
        "zh_CN.UTF-8",
        &["-w", "7", "-p", "a:={"],
        "--param a: not valid JSON: EOF while parsing an object at line 1 column 1",
        "普通文本不写冒号：NAME=文本 或 NAME=@文件",
    );
}

#[test]
fn json_that_an_unset_variable_has_left_out_is_named() {
    for nothing in ["days:=", "days:= "] {
        refuses(
            &["-w", "7", "-p", nothing],
            "--param days: the JSON is missing",
            "a variable may not be set; an empty text is given as days=",
        );
    }
    refuses_in(
        "zh_CN.UTF-8",
        &["-w", "7", "-p", "days:="],
        "--param days: the JSON is missing",
        "可能有变量未设置；空文本请写作 days=",
    );
}

#[test]
fn other_requests_beside_it_are_refused() {
    refuses(
        &["-w", "7", "city=Hangzhou"],
        "--workflow and FILE can't be used together",
        "whatever is no option is a FILE; a parameter needs its -p",
    );
    refuses(
        &["-w", "7", "--request", RUN],
        "--workflow and --request can't be used together",
        "leave one of them out",
    );
}

#[test]
fn parameters_without_a_workflow_are_refused() {
    refuses(
        &["-p", "a=1"],
        "--param needs --workflow",
        "-w says which workflow takes it",
    );
    refuses(
        &["-p", "a=1", "notes.txt"],
        "--param and FILE can't be used together",
        "whatever is no option is a FILE; a parameter needs its -p",
    );
    refuses_in(
        "zh_CN.UTF-8",
        &["-p", "a=1"],
        "--param needs --workflow",
        "用 -w 指明把参数交给哪个工作流",
    );
}

#[test]
fn a_mistake_is_reported_in_the_form_that_was_asked_for() {
    let program = |option: &str| Program::bare().args(&[option, "-workflow", "7"]);
    let error = r#"{"kind":"usage","message":"unknown option -workflow","hint":"did you mean --workflow?"}"#;
    let response = format!(
        r#"{{"execute_id":"","status":"Fail","output":"","debug_url":"","error":{error}}}"#
    );
    let complaint = complaint(error);
    program("--json").run("").is(2, &response, &complaint);
    let both = format!("{response}\n{complaint}");
    program("-r").run("").is(2, "", &both);
    program("-q").run("").is(2, &response, "");
}

#[test]
fn an_empty_workflow_is_refused() {
    for workflow in ["", " "] {
        refuses(
            &["-w", workflow],
            "-w is empty",
            "give the workflow's id, or the address of its page",
        );
    }
}
