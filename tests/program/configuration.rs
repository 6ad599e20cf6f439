//! Where key, base URL, certificates and proxy come from, by way of what reaches the wire. Every
//! place and its order is tested where it is decided; here are the ones that callers use.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::nowhere::nowhere;
use crate::support::program::{Ended, KEY, Program};
use crate::support::proxy::{Asked, Rules};
use crate::support::server::{Exchange, Server};
use crate::support::tls::Authority;
use crate::{HELLO, RUN, SAID_HELLO, stream_run};

// The key and the base URL.

#[test]
fn an_environment_is_enough() {
    let server = Server::start(vec![stream_run().sse(HELLO)]);
    let program = Program::bare()
        .env("COZE_API_KEY", KEY)
        .env("COZE_BASE_URL", server.url());
    program.run(RUN).is(0, SAID_HELLO, "");
    is_bearer(server, KEY);
}

#[test]
fn the_names_of_the_official_examples_are_known() {
    let server = Server::start(vec![stream_run().sse(HELLO)]);
    let program = Program::bare()
        .env("COZE_API_TOKEN", KEY)
        .env("COZE_API_BASE", server.url());
    program.run(RUN).is(0, SAID_HELLO, "");
    is_bearer(server, KEY);
}

#[test]
fn the_file_of_the_skill_is_enough() {
    for skill in ["coze_workflow", "coze-workflow"] {
        let server = Server::start(vec![stream_run().sse(HELLO)]);
        let name = format!(".openclaw/skills/{skill}/config.json");
        let program = Program::bare().file(&name, config(KEY, &server.url()));
        program.run(RUN).is(0, SAID_HELLO, "");
        is_bearer(server, KEY);
    }
}

#[test]
fn a_file_may_hold_the_key_alone() {
    let server = Server::start(vec![stream_run().sse(HELLO)]);
    let program = Program::bare()
        .file("secret", format!("{KEY}\n"))
        .env("COZE_API_KEY_FILE", "secret")
        .env("COZE_API_TOKEN", "another")
        .args(&["--base-url", &server.url()]);
    program.run(RUN).is(0, SAID_HELLO, "");
    is_bearer(server, KEY);
}

#[test]
fn the_users_own_file_is_enough() {
    for xdg in [None, Some("xdg")] {
        let server = Server::start(vec![stream_run().sse(HELLO)]);
        let program = Program::bare();
        let directory = program.path().join(xdg.unwrap_or(".config"));
        let program = program.file(
            &format!("{}/coze-workflow/config.json", directory.display()),
            config(KEY, &server.url()),
        );
        let program = match xdg {
            Some(_) => program.env("XDG_CONFIG_HOME", &directory),
            None => program,
        };
        program.run(RUN).is(0, SAID_HELLO, "");
        is_bearer(server, KEY);
    }
}

#[test]
fn a_found_file_that_everyone_may_write_is_obeyed_only_by_name() {
    let server = Server::start(vec![stream_run().sse(HELLO)]);
    let name = ".openclaw/skills/coze_workflow/config.json";
    let program = || {
        let program = Program::bare().file(name, config(KEY, &server.url()));
        let everyone = Permissions::from_mode(0o606);
        fs::set_permissions(program.path().join(name), everyone).unwrap();
        program
    };
    let ended = program().run(RUN);
    let error = &ended.responses()[0]["error"];
    assert_eq!((ended.code, &error["kind"]), (3, &"config".into()));
    let message = error["message"].as_str().unwrap();
    assert!(
        message.ends_with("is not used, because every user can write it"),
        "{message}"
    );
    assert!(
        error["hint"].as_str().unwrap().contains("--config"),
        "{error}"
    );
    program().args(&["-c", name]).run(RUN).is(0, SAID_HELLO, "");
    is_bearer(server, KEY);
}

#[test]
fn a_configuration_that_is_a_pipe_is_not_waited_for() {
    let program = Program::at(&nowhere().url());
    let pipe = program.path().join("pipe");
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    is_config_error(
        &program.args(&["-c", "pipe"]).run(RUN),
        "cannot read the configuration pipe, named by --config: it is no regular file",
    );
}

#[test]
fn an_empty_base_url_is_a_usage_error() {
    let ended = Program::bare().args(&["--base-url", ""]).run(RUN);
    let error = r#"{"kind":"usage","message":"--base-url is empty","hint":"leave it out, or give a URL such as https://api.coze.cn"}"#;
    is_local_error(&ended, 2, error);
}

#[test]
fn an_unknown_service_is_a_usage_error_of_the_option_and_a_configuration_error_elsewhere() {
    let error = |kind, place| {
        format!(
            r#"{{"kind":"{kind}","message":"the service in {place} is none of coze, studio, site","hint":"leave it out, and what the server says decides"}}"#
        )
    };
    let program = || Program::at(&nowhere().url());
    let option = program().args(&["--service", "auto"]).run(RUN);
    is_local_error(&option, 2, &error("usage", "--service"));
    let variable = program().env("COZE_SERVICE", "cloud").run(RUN);
    is_local_error(&variable, 3, &error("config", "COZE_SERVICE"));
    let file = program()
        .file("c", r#"{"service":"cloud"}"#)
        .args(&["-c", "c"]);
    is_local_error(&file.run(RUN), 3, &error("config", "c"));
}

#[test]
fn what_a_check_says_of_the_service() {
    for (name, value, source) in [
        (None, "found out from the server", "default"),
        (Some("studio"), "studio", "COZE_SERVICE"),
    ] {
        let program = Program::at(&nowhere().url()).args(&["--check", "--retries", "0"]);
        let program = match name {
            Some(name) => program.env("COZE_SERVICE", name),
            None => program,
        };
        let report = program.run("").responses().remove(0);
        let fields = report["config"].as_array().unwrap();
        let service = fields.iter().find(|field| field["field"] == "service");
        let service = service.unwrap();
        assert_eq!(
            (&service["value"], &service["source"]),
            (&value.into(), &source.into())
        );
    }
}

#[test]
fn an_option_beats_the_environment_and_that_a_file() {
    let server = Server::start(vec![stream_run().sse(HELLO), stream_run().sse(HELLO)]);
    let program = || Program::bare().file("c", config("pat_of_the_file", &nowhere().url()));
    let with_option = program()
        .env("COZE_API_KEY", KEY)
        .env("COZE_BASE_URL", nowhere().url())
        .args(&["-c", "c", "--base-url", &server.url()]);
    with_option.run(RUN).is(0, SAID_HELLO, "");
    let with_variable = program()
        .env("COZE_WORKFLOW_CONFIG", "c")
        .env("COZE_BASE_URL", server.url());
    with_variable.run(RUN).is(0, SAID_HELLO, "");
    let keys: Vec<_> = server
        .finish()
        .iter()
        .map(|seen| bearer(&seen.request))
        .collect();
    assert_eq!(keys, [KEY, "pat_of_the_file"]);
}

#[test]
fn each_field_comes_from_the_first_place_that_holds_it() {
    let server = Server::start(vec![stream_run().sse(HELLO)]);
    let url_only = format!(r#"{{"base_url":"{}"}}"#, server.url());
    let program = Program::bare()
        .file("c", url_only)
        .file(
            "state/skills/coze_workflow/config.json",
            config(KEY, &nowhere().url()),
        )
        .env("OPENCLAW_STATE_DIR", "state")
        .env("COZE_API_KEY", "你的扣子api key");
    program.args(&["-c", "c"]).run(RUN).is(0, SAID_HELLO, "");
    is_bearer(server, KEY);
}

#[test]
fn the_base_url_may_be_the_whole_endpoint() {
    for rest in [
        "/",
        "/v1",
        "/v1/workflow/run",
        "/v1/workflow/stream_run",
        "/v1/workflows/7/run_histories/9",
        "/v1/files/upload",
    ] {
        let server = Server::start(vec![stream_run().sse(HELLO)]);
        let url = server.url() + rest;
        Program::at(&url).run(RUN).is(0, SAID_HELLO, "");
    }
}

#[test]
fn the_base_url_may_have_a_path() {
    let server = Server::start(vec![
        Exchange::post("/coze/v1/workflow/stream_run").sse(HELLO),
    ]);
    let url = server.url() + "/coze/";
    Program::at(&url).run(RUN).is(0, SAID_HELLO, "");
}

#[test]
fn a_base_url_that_is_none_is_a_bad_configuration() {
    for url in [
        "https://www.coze.cn/work_flow?space_id=1",
        "ftp://127.0.0.1",
        "http://user@127.0.0.1",
        "http://127.0.0.1/?a",
        "nonsense",
    ] {
        is_config_error(&Program::at(url).run(RUN), "the base URL in --base-url ");
    }
}

#[test]
fn without_a_key_every_place_is_named() {
    let ended = Program::bare().run(RUN);
    for place in [
        "COZE_API_KEY",
        "COZE_API_KEY_FILE",
        "COZE_API_TOKEN",
        "skills/coze_workflow/config.json",
        ".config/coze-workflow/config.json",
    ] {
        assert!(ended.stdout.contains(place), "{}", ended.stdout);
    }
    is_config_error(&ended, "no token: looked at ");
}

#[test]
fn a_placeholder_is_no_key() {
    for placeholder in [
        "",
        " ",
        "pat_xxx",
        "7xxx",
        "your_api_key",
        "你的扣子api key",
    ] {
        let ended = Program::at(&nowhere().url())
            .env("COZE_API_KEY", placeholder)
            .run(RUN);
        is_config_error(&ended, "no token: looked at ");
    }
}

#[test]
fn the_shape_of_a_key_is_not_judged_and_its_ends_are_trimmed() {
    for key in ["x", "sk-1+2/3=", "{{secret:coze}}"] {
        let server = Server::start(vec![stream_run().sse(HELLO)]);
        let program = Program::at(&server.url()).env("COZE_API_KEY", format!(" {key}\r\n"));
        program.run(RUN).is(0, SAID_HELLO, "");
        is_bearer(server, key);
    }
}

#[test]
fn a_key_with_a_line_break_inside_is_a_bad_configuration() {
    let ended = Program::at(&nowhere().url())
        .env("COZE_API_KEY", format!("{KEY}\nX: y"))
        .run(RUN);
    is_config_error(&ended, "the token in COZE_API_KEY has a line break ");
}

#[test]
fn what_is_around_a_key_is_taken_off_and_what_is_inside_is_named() {
    let server = Server::start(vec![stream_run().sse(HELLO)]);
    let program = Program::at(&server.url()).env("COZE_API_KEY", format!("\"Bearer {KEY}\""));
    program.run(RUN).is(0, SAID_HELLO, "");
    is_bearer(server, KEY);
    for (key, sentence) in [
        (format!("{KEY} 2"), "has a space inside"),
        (format!("“{KEY}”"), "has a typographic quote, '“' (U+201C)"),
        (
            format!("{KEY}é"),
            "has a character outside ASCII, 'é' (U+00E9)",
        ),
    ] {
        let ended = Program::at(&nowhere().url())
            .env("COZE_API_KEY", key)
            .run(RUN);
        is_config_error(&ended, &format!("the token in COZE_API_KEY {sentence}"));
    }
}

#[test]
fn a_configuration_that_is_named_must_be_there_and_be_json() {
    let missing = Program::at(&nowhere().url())
        .args(&["-c", "missing"])
        .run(RUN);
    is_config_error(
        &missing,
        "cannot read the configuration missing, named by --config: ",
    );
    let broken = Program::at(&nowhere().url()).file("c", format!("{{\"api_key\":\"{KEY}\""));
    is_config_error(
        &broken.args(&["-c", "c"]).run(RUN),
        "c is not valid JSON at line 1",
    );
}

#[test]
fn a_bad_configuration_is_one_response_and_one_line() {
    let error = r#"{"kind":"config","message":"cannot read the configuration missing, named by --config: No such file or directory (os error 2)"}"#;
    let ended = Program::bare().args(&["-c", "missing"]).run(RUN);
    is_local_error(&ended, 3, error);
}

// Certificates.

#[test]
fn an_own_authority_may_be_named() {
    let authority = Authority::new();
    for name in ["COZE_CA_FILE", "SSL_CERT_FILE"] {
        let server = Server::start_tls(&authority.local(), vec![stream_run().sse(HELLO)]);
        let program = Program::at(&server.url()).file("ca.pem", authority.pem());
        program.env(name, "ca.pem").run(RUN).is(0, SAID_HELLO, "");
    }
    let server = Server::start_tls(&authority.local(), vec![stream_run().sse(HELLO)]);
    let program = Program::at(&server.url()).file("ca.pem", authority.pem());
    let program = program
        .env("SSL_CERT_FILE", "missing")
        .args(&["--cacert", "ca.pem"]);
    program.run(RUN).is(0, SAID_HELLO, "");
}

#[test]
fn a_certificate_that_has_expired_or_is_for_another_name_is_not_tried_again() {
    let authority = Authority::new();
    for (identity, sentence) in [
        (
            authority.expired(),
            "has expired, or this machine's clock is wrong",
        ),
        (authority.named(&["coze.invalid"]), "is for another name"),
    ] {
        let server = Server::start_tls(&identity, vec![]);
        let program = Program::at(&server.url()).file("ca.pem", authority.pem());
        let message = format!("the certificate of 127.0.0.1:PORT {sentence}");
        let error = format!(r#"{{"kind":"unreachable","message":"{message}"}}"#);
        program
            .args(&["--cacert", "ca.pem"])
            .run(RUN)
            .is_error(5, &error);
    }
}

#[test]
fn a_ca_file_without_certificates_is_a_bad_configuration() {
    for content in ["", "nonsense"] {
        let program = Program::at("https://127.0.0.1:1").file("ca.pem", content);
        let ended = program.args(&["--cacert", "ca.pem"]).run(RUN);
        is_config_error(&ended, "ca.pem holds no certificate");
    }
    let ended = Program::at("https://127.0.0.1:1")
        .args(&["--cacert", "missing"])
        .run(RUN);
    is_config_error(
        &ended,
        "cannot read the CA file missing, named by --cacert: ",
    );
}

#[test]
fn without_https_no_certificate_is_checked() {
    let server = Server::start(vec![stream_run().sse(HELLO)]);
    let program = Program::at(&server.url()).args(&["--cacert", "none.pem"]);
    let program = program.env("COZE_CA_FILE", "missing");
    program
        .file("none.pem", "no certificate")
        .run(RUN)
        .is(0, SAID_HELLO, "");
    let server = Server::start(vec![]);
    let program = Program::at(&server.url()).args(&["--cacert", "missing"]);
    is_config_error(
        &program.run(RUN),
        "cannot read the CA file missing, named by --cacert: ",
    );
}

// Proxies.

#[test]
fn a_proxy_with_user_and_password_tunnels_tls() {
    for (scheme, rules) in [
        ("http", Rules::http()),
        ("socks5", Rules::socks5()),
        ("socks5h", Rules::socks5()),
    ] {
        let authority = Authority::new();
        let identity = authority.named(&["coze.invalid", "localhost"]);
        let server = Server::start_tls(&identity, vec![stream_run().sse(HELLO)]);
        let proxy = rules.for_user("me", "p@ss word").start();
        // A name that only the proxy can know, unless the scheme says to look it up here.
        let (host, target) = if scheme == "socks5" {
            ("localhost", "127.0.0.1")
        } else {
            ("coze.invalid", "coze.invalid")
        };
        let target = format!("{target}:{}", server.port());
        let program = Program::at(&format!("https://{host}:{}", server.port()))
            .file("ca.pem", authority.pem())
            .env("COZE_CA_FILE", "ca.pem")
            .env(
                "https_proxy",
                format!("{scheme}://me:p%40ss%20word@{}", proxy.address()),
            )
            .env("HTTPS_PROXY", "http://127.0.0.1:1");
        program.run(RUN).is(0, SAID_HELLO, "");
        let credentials = Some("me:p@ss word".to_owned());
        assert_eq!(
            proxy.asked(),
            [Asked {
                target,
                credentials
            }]
        );
    }
}

#[test]
fn a_proxy_tunnels_plain_http_as_well() {
    for (scheme, rules) in [("http", Rules::http()), ("socks4", Rules::socks4())] {
        let server = Server::start(vec![stream_run().sse(HELLO)]);
        let proxy = rules.start();
        let url = format!("{scheme}://{}", proxy.address());
        Program::at(&server.url())
            .env("http_proxy", url)
            .run(RUN)
            .is(0, SAID_HELLO, "");
        assert_eq!(proxy.asked()[0].target, server.address());
    }
}

#[test]
fn a_proxy_is_not_used_for_what_it_is_not_for() {
    for exception in ["127.0.0.1", " x , 127.0.0.0/8 ", "*"] {
        let server = Server::start(vec![stream_run().sse(HELLO)]);
        let program = Program::at(&server.url())
            .env("http_proxy", "http://127.0.0.1:1")
            .env("NO_PROXY", exception);
        program.run(RUN).is(0, SAID_HELLO, "");
    }
    let server = Server::start(vec![stream_run().sse(HELLO)]);
    let program = Program::at(&server.url()).env("https_proxy", "http://127.0.0.1:1");
    program.run(RUN).is(0, SAID_HELLO, "");
}

#[test]
fn a_proxy_that_says_no_is_not_asked_again() {
    for (status, sentence) in [
        (407, "wants another user and password (407)"),
        (403, "does not allow coze.invalid (403)"),
    ] {
        let proxy = Rules::http().refusing(status).start();
        let ended = Program::at("http://coze.invalid")
            .env("all_proxy", proxy.address())
            .run(RUN);
        let error = format!(
            r#"{{"kind":"unreachable","message":"proxy 127.0.0.1:PORT (all_proxy) {sentence}","hint":"check the proxy's address, user and password"}}"#
        );
        ended.is_error(5, &error);
        assert_eq!(proxy.asked().len(), 1);
    }
}

#[test]
fn a_proxy_that_fails_or_is_not_there_is_asked_again() {
    let proxy = Rules::http().refusing(502).start();
    let failing = Program::at("http://coze.invalid").env("http_proxy", proxy.address());
    let ended = failing.args(&["--retries", "1"]).run(RUN);
    assert_eq!((ended.code, proxy.asked().len()), (5, 2));
    let absent = Program::at("http://coze.invalid").env("http_proxy", nowhere().url());
    let ended = absent.args(&["--retries", "0"]).run(RUN);
    let error = r#"{"kind":"unreachable","message":"cannot connect to proxy 127.0.0.1:PORT (http_proxy): connection refused","hint":"check the proxy's address, user and password"}"#;
    ended.is_error(5, error);
}

#[test]
fn a_proxy_that_cannot_be_used_is_a_bad_configuration_and_never_gone_around() {
    for proxy in [
        "https://127.0.0.1:1",
        "ftp://127.0.0.1:1",
        "http://",
        "http://127.0.0.1:x",
        "http://127.0.0.1:1/path",
    ] {
        let server = Server::start(vec![]);
        let ended = Program::at(&server.url()).env("http_proxy", proxy).run(RUN);
        is_config_error(&ended, "the proxy in http_proxy ");
    }
}

#[test]
fn a_proxy_s_password_is_shown_nowhere() {
    let proxy = Rules::http().refusing(407).start();
    let url = format!("http://me:{KEY}@{}", proxy.address());
    for arguments in [&["-v"][..], &["--check", "-v"]] {
        // The program's own check of everything printed finds it.
        let program = Program::at("http://coze.invalid").env("COZE_API_KEY", "another");
        let ended = program.env("http_proxy", &url).args(arguments).run(RUN);
        assert_eq!(ended.code, 5);
    }
}

fn config(key: &str, url: &str) -> String {
    format!(r#"{{"api_key":"{key}","base_url":"{url}"}}"#)
}

fn bearer(request: &crate::support::wire::Request) -> String {
    let authorization = request.header("authorization").unwrap();
    authorization.strip_prefix("Bearer ").unwrap().to_owned()
}

#[track_caller]
fn is_bearer(server: Server, key: &str) {
    assert_eq!(bearer(&server.finish()[0].request), key);
}

#[track_caller]
fn is_config_error(ended: &Ended, start: &str) {
    let error = &ended.responses()[0]["error"];
    assert_eq!((ended.code, &error["kind"]), (3, &"config".into()));
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with(start), "{message}");
}

/// One response and one line, of a request that was not read.
#[track_caller]
fn is_local_error(ended: &Ended, code: i32, error: &str) {
    let response = format!(
        r#"{{"execute_id":"","status":"Fail","output":"","debug_url":"","error":{error}}}"#
    );
    let complaint = crate::support::program::complaint(error);
    ended.is(code, &response, &complaint);
}
