//! The demonstration: `demo PROGRAM` runs the built program against the stand-in Coze, shows what
//! goes in and what comes out, and fails if that is not what was promised; `demo EMULATOR PROGRAM`
//! does so with one for another machine. `demo serve SERVICE DIRECTORY [PORT]` keeps the stand-in
//! running, as `coze`, `studio` or `site`, for commands typed by hand with the program in that
//! directory. Needs no network and no account.

#[path = "mod.rs"]
mod support;

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use support::coze::{self, Counts, Coze, Options, Site};

const KEY: &str = "pat_demo_dummy";

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["serve", service, directory] => serve(service, directory, 0),
        ["serve", service, directory, port] => port
            .parse()
            .map_err(|_| format!("{port} is no port: a number below 65536 is").into())
            .and_then(|port| serve(service, directory, port)),
        [] | ["serve", ..] => {
            Err("usage: demo [EMULATOR] PROGRAM, or demo serve SERVICE DIRECTORY [PORT]".into())
        }
        _ => demonstrate(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demonstrate(program: &[&str]) -> Outcome<()> {
    let coze = Coze::start(Options {
        delay: Duration::from_millis(150),
        ..Options::default()
    });

    println!("模拟服务已启动 A stand-in for Coze listens on this machine. In what follows:\n");
    println!("export COZE_API_KEY={KEY} COZE_BASE_URL={}", coze.url());

    heading("1. 运行 Run: parameters in, result out; -v shows the configuration and every step");
    let run = request(coze::ECHO, r#"{"city":"北京","days":3}"#);
    let ran = play(program, &coze, &typed(&run), &run, Configuration::Shown)?;
    ran.expect("status", "Success", 0)?;
    ran.expect("output", r#"{"output":{"city":"北京","days":3}}"#, 0)?;

    heading("2. 提问与回答 Question: the response, with resume_data added, is the next request");
    let question = request(coze::QUESTION, "{}");
    let show = |typed: &str, request: &str| {
        let known = Configuration::Known;
        play(program, &coze, typed, request, known)
    };
    let asked = show(&typed(&question), &question)?;
    asked.expect("status", "Running", 7)?;
    let mut answer = asked.response;
    answer["resume_data"] = "北京".into();
    let resume = r#"echo '…the response above…' | jq -c '.resume_data = "北京"'"#;
    println!();
    let told = show(resume, &answer.to_string())?;
    told.expect("output", r#"{"answer":"北京"}"#, 0)?;

    heading("3. 拒绝 Refusal: a workflow that is not published");
    let unpublished = request(coze::UNPUBLISHED, "{}");
    let refused = show(&typed(&unpublished), &unpublished)?;
    refused.expect("status", "Fail", 4)?;

    heading("4. 部署的项目 A deployed project: parameters alone, at an address of its own");
    let project = Coze::start(Options {
        site: Site::Project,
        ..Options::default()
    });
    println!("export COZE_BASE_URL={}", project.url());
    let sum = r#"{"parameters":{"a":1,"b":2,"sleep":1}}"#;
    let summed = play(
        &[program, &["--service=site", "--async"]].concat(),
        &project,
        &typed(sum),
        sum,
        Configuration::Known,
    )?;
    summed.expect("output", r#"{"result":3.0}"#, 0)?;

    let Counts {
        stream_run,
        started,
        ..
    } = coze.counts();
    heading("对账 What Coze saw");
    println!(
        "POST stream_run: {stream_run}, runs started: {}",
        started.len()
    );
    if stream_run != 3 || started.values().any(|&runs| runs != 1) || started.len() != 2 {
        return Err(
            format!("three requests should have started two runs, once each: {started:?}").into(),
        );
    }
    println!("\n一切符合约定 All as promised.");
    Ok(())
}

fn heading(text: &str) {
    println!("\n== {text}\n");
}

fn request(workflow_id: &str, parameters: &str) -> String {
    format!(r#"{{"workflow_id":"{workflow_id}","parameters":{parameters}}}"#)
}

/// What a person would type for it.
fn typed(request: &str) -> String {
    format!("echo '{request}'")
}

/// Whether the reader has seen the lines of `-v` that tell it.
#[derive(Clone, Copy, PartialEq)]
enum Configuration {
    Shown,
    Known,
}

/// How the program answered.
struct Answer {
    response: Value,
    exit_code: Option<i32>,
}

impl Answer {
    fn expect(&self, key: &str, value: &str, exit_code: i32) -> Outcome<()> {
        if self.response[key] != value {
            return Err(format!("{key} should be {value}, not {}", self.response[key]).into());
        }
        if self.exit_code != Some(exit_code) {
            return Err(format!(
                "the exit code should be {exit_code}, not {:?}",
                self.exit_code
            )
            .into());
        }
        Ok(())
    }
}

/// Runs the program as a caller would, in an environment that holds nothing but the key and the
/// stand-in's URL, and shows its stderr while it runs.
fn play(
    program: &[&str],
    coze: &Coze,
    typed: &str,
    request: &str,
    configuration: Configuration,
) -> Outcome<Answer> {
    let options = program.iter().filter(|word| word.starts_with("--"));
    let options: Vec<_> = options.copied().chain(["-v"]).collect();
    println!("$ {typed} | coze-workflow {}", options.join(" "));
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .arg("-v")
        .env_clear()
        .envs([("COZE_API_KEY", KEY), ("COZE_BASE_URL", &coze.url())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", program.join(" ")))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    writeln!(stdin.ok_or("no stdin")?, "{request}")?;
    let telling = thread::spawn(move || {
        let lines = stderr
            .map(BufReader::new)
            .into_iter()
            .flat_map(BufRead::lines);
        let mut is_known = configuration == Configuration::Known;
        for line in lines.map_while(Result::ok) {
            // It ends with the first request; an error has no time before it.
            is_known = is_known && line.starts_with('[') && !line.contains("] > ");
            if !is_known {
                println!("stderr  {line}");
            }
        }
    });
    let mut response = String::new();
    stdout.ok_or("no stdout")?.read_to_string(&mut response)?;
    telling.join().map_err(|_| "cannot show stderr")?;
    let exit_code = child.wait()?.code();
    print!("stdout  {response}");
    println!(
        "exit    {}",
        exit_code.map_or("none: killed".to_owned(), |code| code.to_string())
    );
    Ok(Answer {
        response: serde_json::from_str(&response)
            .map_err(|error| format!("stdout should hold one JSON object: {error}"))?,
        exit_code,
    })
}

fn serve(service: &str, directory: &str, port: u16) -> Outcome<()> {
    let (site, whose) = match service {
        "coze" => (Site::Coze, "Coze"),
        "studio" => (Site::Studio, "Coze Studio"),
        "site" => (Site::Project, "a deployed project"),
        _ => {
            return Err(
                format!("no stand-in for {service}; SERVICE is coze, studio or site").into(),
            );
        }
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map_err(|error| format!("cannot listen on port {port}: {error}; give another: PORT=…"))?;
    let options = Options {
        site,
        key: Some(KEY.to_owned()),
        delay: Duration::from_millis(300),
        ..Options::default()
    };
    let coze = Coze::start_at(listener, options);
    let url = coze.url();
    println!("模拟服务已启动 A stand-in for {whose} listens at {url}\n");
    // A proxy that leads abroad does not lead here.
    println!("export PATH=\"{directory}:$PATH\" no_proxy=127.0.0.1");
    println!("export COZE_API_KEY={KEY} COZE_BASE_URL={url}");
    if site == Site::Project {
        println!("export COZE_SERVICE=site");
        for (options, what) in [
            ("-p a:=1 -p b:=2", "求和 adds two numbers"),
            (
                "-p a:=1 -p b:=2 -p sleep:=5 --async",
                "慢 slow, in the background",
            ),
            ("-p a:=13 -p b:=2", "失败 fails"),
            (
                "-p a=1 --check",
                "参数 says what is wrong with the parameters",
            ),
        ] {
            println!("\n# {what}\ncoze-workflow {options}");
        }
        println!("\nCtrl-C 结束 ends it.");
        loop {
            thread::park();
        }
    }
    let city = r#"{"city":"北京"}"#;
    let input = r#"{"input":"北京"}"#;
    let workflows = [
        (coze::ECHO, city, "回显 gives the parameters back"),
        (coze::ECHO_TEXT, city, "文本 the same, in text mode"),
        (
            coze::QUESTION,
            "{}",
            "提问 asks: feed the response back with resume_data",
        ),
        (coze::CHOICE, "{}", "选项 asks for one of two"),
        (coze::FORM, "{}", "表单 asks for a name, and perhaps an age"),
        (
            coze::TYPED,
            input,
            "参数 declares what it takes: leave input out",
        ),
        (
            coze::SUB_TEXT,
            input,
            "子工作流 calls another workflow, which speaks as well",
        ),
        (coze::EMPTY_END, "{}", "无输出 only an Output node speaks"),
        (coze::FAILS, "{}", "失败 fails"),
        (coze::UNPUBLISHED, "{}", "未发布 refused: not published"),
        (coze::SLOW, city, "慢 slow: try --async"),
        (coze::CUT, city, "断线 the connection is cut in the middle"),
        (coze::RATE_LIMITED, city, "限流 refused once for the rate"),
        (
            coze::IMAGE,
            r#"{"prompt":"一只猫"}"#,
            "图片 gives an image's address",
        ),
    ];
    for (workflow_id, parameters, what) in workflows {
        let request = request(workflow_id, parameters);
        println!("\n# {what}\necho '{request}' | coze-workflow");
        let answer = match workflow_id {
            coze::QUESTION => r#""Hangzhou""#,
            coze::CHOICE => r#""green""#,
            coze::FORM => r#""{\"name\":\"Ann\",\"age\":7}""#,
            _ => continue,
        };
        println!("# …| jq -c '. + {{resume_data: {answer}}}' | coze-workflow");
    }
    println!("\nCtrl-C 结束 ends it.");
    loop {
        thread::park();
    }
}
