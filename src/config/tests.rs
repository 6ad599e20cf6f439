//! What is put together, from a machine with files on it. The other rooms' tests use it too.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use super::url::BASE_URL;
use super::*;

impl Config {
    /// For the tests of other rooms: the defaults, a key, and a place to go to as it is.
    pub(crate) fn scripted(base_url: &str) -> Self {
        let env = Env::scripted(&[("COZE_API_KEY", "pat_scripted")]);
        let config = load(&Options::default(), &env).expect("a key is enough");
        Self {
            key: Key::scripted("pat_xxx"),
            base_url: base_url.to_owned(),
            ..config
        }
    }
}

/// A machine with files on it; `/` in what a test writes is `root`.
pub(super) struct Machine {
    root: TempDir,
    pub(super) options: Options,
    pub(super) env: Env,
}

pub(super) fn machine(variables: &[(&str, &str)]) -> Machine {
    let root = tempfile::tempdir().unwrap();
    let mut env = Env::scripted(variables);
    env.home = Some(root.path().join("home"));
    env.executable = Some(root.path().join("skill/bin/coze-workflow"));
    Machine {
        root,
        options: Options::default(),
        env,
    }
}

impl Machine {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(super) fn write(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        self.chmod(name, 0o600)
    }

    pub(super) fn chmod(self, name: &str, mode: u32) -> Self {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub(super) fn var(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.variables.insert(name.into(), value.into());
        self
    }

    /// A file that gives itself as the key, and its name as a part of the base URL.
    pub(super) fn with_config(self, name: &str) -> Self {
        let name_only = name.replace(['/', '.'], "-");
        let json = format!(r#"{{"api_key":"{name_only}","base_url":"https://{name_only}"}}"#);
        self.write(name, json)
    }

    pub(super) fn load(&self) -> Result<Config, Error> {
        load(&self.options, &self.env)
    }

    #[track_caller]
    pub(super) fn config(&self) -> Config {
        self.load().unwrap()
    }

    #[track_caller]
    pub(super) fn key(&self) -> String {
        self.config().key.expose().to_owned()
    }

    /// The sentence, with the machine's directory taken out.
    #[track_caller]
    pub(super) fn refused(&self) -> String {
        let error = self.load().unwrap_err();
        assert_eq!(error.kind, Kind::Config);
        let root = format!("{}/", self.root.path().display());
        error.to_string().replace(&root, "/")
    }
}

pub(super) const KEY: (&str, &str) = ("COZE_API_KEY", "pat_123");
pub(super) const HOME_FILE: &str = "home/.openclaw/skills/coze_workflow/config.json";

#[track_caller]
fn origin(config: &Config, field: &str) -> (String, String) {
    let origin = config.origins.iter().find(|origin| origin.field == field);
    let origin = origin.expect("an origin");
    (origin.value.clone(), origin.source.clone())
}

// Where things come from.

#[test]
fn a_key_is_enough() {
    let config = machine(&[KEY]).config();
    assert_eq!(config.base_url, "https://api.coze.cn");
    assert_eq!((config.roots, config.proxy), (Roots::BuiltIn, None));
    assert_eq!(config.rules.timeout, Some(Duration::from_secs(660)));
    assert_eq!(config.rules.idle_timeout, Some(Duration::from_secs(300)));
    assert_eq!(config.connect_timeout, Duration::from_secs(15));
    assert_eq!(config.rules.poll_interval, Duration::from_secs(10));
    assert_eq!(config.rules.retries, 2);
    assert!(config.warnings.is_empty());
}

#[test]
fn every_place_for_the_key_counts_in_its_order() {
    let mut machine = machine(&[("COZE_API_KEY", "first"), ("COZE_API_TOKEN", "third")])
        .write("key", "second\n")
        .with_config("a.json")
        .with_config("b.json")
        .with_config("skill/bin/config.json")
        .with_config("skill/config.json")
        .with_config(HOME_FILE)
        .with_config("home/.openclaw/skills/coze-workflow/config.json")
        .with_config("home/.config/coze-workflow/config.json");
    machine.options.config = Some(machine.path("a.json"));
    let (b, key) = (machine.path("b.json"), machine.path("key"));
    machine = machine
        .var("COZE_WORKFLOW_CONFIG", b)
        .var("COZE_API_KEY_FILE", key);
    let mut found = Vec::new();
    while let Ok(config) = machine.load() {
        let (_, source) = origin(&config, "api_key");
        found.push(config.key.expose().to_owned());
        machine.env.variables.remove(OsStr::new(&source));
        if Path::new(&source).exists() {
            fs::write(source, "{}").unwrap();
        }
    }
    let expected = [
        "first",
        "second",
        "third",
        "a-json",
        "b-json",
        "skill-bin-config-json",
        "skill-config-json",
        "home--openclaw-skills-coze_workflow-config-json",
        "home--openclaw-skills-coze-workflow-config-json",
        "home--config-coze-workflow-config-json",
    ];
    assert_eq!(found, expected);
}

#[test]
fn every_place_for_the_base_url_counts_in_its_order() {
    let mut machine = machine(&[
        KEY,
        ("COZE_BASE_URL", "https://b"),
        ("COZE_API_BASE", "https://c"),
    ])
    .write(HOME_FILE, r#"{"base_url":"https://d"}"#);
    machine.options.base_url = Some("https://a".to_owned());
    assert_eq!(machine.config().base_url, "https://a");
    machine.options.base_url = None;
    assert_eq!(machine.config().base_url, "https://b");
    let machine = machine.var("COZE_BASE_URL", "");
    assert_eq!(machine.config().base_url, "https://c");
    let machine = machine.var("COZE_API_BASE", "");
    assert_eq!(machine.config().base_url, "https://d");
    let home = machine.path(HOME_FILE).display().to_string();
    let config = machine.config();
    assert_eq!(origin(&config, "base_url"), ("https://d".to_owned(), home));
}

#[test]
pub(super) fn key_and_base_url_may_come_from_different_files() {
    let mut machine = machine(&[])
        .write("a.json", r#"{"base_url":"https://a","api_key":"pat_xxx"}"#)
        .with_config(HOME_FILE);
    machine.options.config = Some(machine.path("a.json"));
    assert_eq!(machine.config().base_url, "https://a");
    assert!(machine.key().starts_with("home"));
}

#[test]
fn options_replace_the_defaults() {
    let mut machine = machine(&[KEY]);
    machine.options.timeout = Some(None);
    machine.options.poll_interval = Some(Duration::from_millis(500));
    machine.options.retries = Some(0);
    let config = machine.config();
    assert_eq!((config.rules.timeout, config.rules.retries), (None, 0));
    let timeout = ("none".to_owned(), "--timeout".to_owned());
    assert_eq!(origin(&config, "timeout"), timeout);
    assert_eq!(origin(&config, "poll_interval").0, "500ms");
    assert_eq!(origin(&config, "idle_timeout").1, "default");
}

// What counts as configured.

#[test]
fn placeholders_count_as_not_configured() {
    for text in [
        "pat_xxx",
        "7xxx",
        "your_api_key",
        "<api key>",
        "你的扣子api key",
    ] {
        let machine = machine(&[("COZE_API_KEY", text), ("COZE_API_TOKEN", "real")]);
        assert_eq!(machine.key(), "real", "{text:?}");
    }
}

#[test]
fn a_host_is_no_placeholder_whatever_it_begins_with() {
    let machine = machine(&[KEY, ("COZE_BASE_URL", "yourstudio.lan:8888")]);
    let sentence = "the base URL in COZE_BASE_URL does not begin with https:// or http://";
    assert!(machine.refused().starts_with(sentence));
}

#[test]
fn a_key_is_trimmed_and_holds_no_control_character() {
    assert_eq!(
        machine(&[("COZE_API_KEY", " \"Bearer pat_123\"\r\n")]).key(),
        "pat_123"
    );
    let machine = machine(&[
        ("COZE_API_KEY", "pat_123\npat_456"),
        ("COZE_API_TOKEN", "t"),
    ]);
    assert_eq!(
        machine.refused(),
        "the token in COZE_API_KEY has a line break or another control character inside \
         (put the token there alone, copied anew from Coze)"
    );
}

#[test]
fn a_mistake_in_a_key_names_the_file() {
    let machine = machine(&[]).write(HOME_FILE, r#"{"api_key":"“pat_1”"}"#);
    let start = format!("the token in /{HOME_FILE} has a typographic quote, '“' (U+201C)");
    assert!(
        machine.refused().starts_with(&start),
        "{}",
        machine.refused()
    );
}

#[test]
fn a_key_file_is_read_when_it_is_needed_and_must_then_be_there() {
    let machine = machine(&[KEY, ("COZE_API_KEY_FILE", "/nowhere/key")]);
    assert_eq!(machine.key(), KEY.1);
    let machine = machine.var("COZE_API_KEY", "pat_xxx");
    assert_eq!(
        machine.refused(),
        "cannot read the token file, named by COZE_API_KEY_FILE: \
         No such file or directory (os error 2)"
    );
}

#[test]
fn a_key_file_holds_the_key_alone() {
    for (content, expected) in [
        ("pat_9\r\n", "pat_9"),
        ("\u{feff}pat_9", "pat_9"),
        ("\"pat_9\"\n", "pat_9"),
        ("\n", "token"),
        ("pat_xxx", "token"),
    ] {
        let machine = machine(&[("COZE_API_TOKEN", "token")]).write("key", content);
        let path = machine.path("key");
        let machine = machine.var("COZE_API_KEY_FILE", path);
        assert_eq!(machine.key(), expected, "{content:?}");
    }
}

#[test]
fn a_place_that_holds_nothing_is_called_empty_and_no_placeholder() {
    let machine = machine(&[])
        .write("key", "\n")
        .write(HOME_FILE, r#"{"api_key":" "}"#);
    let path = machine.path("key");
    let refused = machine.var("COZE_API_KEY_FILE", path).refused();
    assert!(refused.contains("COZE_API_KEY_FILE (empty), "), "{refused}");
    assert!(
        refused.contains(&format!("/{HOME_FILE} (empty), ")),
        "{refused}"
    );
}

#[test]
fn a_key_file_that_holds_something_else_is_refused() {
    let refused = |content: &[u8]| {
        let machine = machine(&[]).write("key", content);
        let path = machine.path("key");
        machine.var("COZE_API_KEY_FILE", path).refused()
    };
    let two = refused(b"pat_9\npat_8\n");
    let inside = "the token in COZE_API_KEY_FILE has a line break or another control character";
    assert!(two.starts_with(inside), "{two}");
    let utf_16 = refused(b"\xff\xfep\0a\0t\0");
    let is_utf_16 =
        "cannot read the token file, named by COZE_API_KEY_FILE: it is UTF-16, not UTF-8 (";
    assert!(utf_16.starts_with(is_utf_16), "{utf_16}");
}

#[test]
fn a_deployed_project_is_known_by_its_host_and_its_key_is_a_jwt() {
    let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2FwaS5jb3plLmNuIn0.c2ln_bmF0dXJl-Q";
    let mut machine = machine(&[("COZE_API_KEY", jwt), ("COZE_SERVICE", "studio")]);
    machine.options.base_url = Some("https://abc123.coze.site/stream_run".to_owned());
    let config = machine.load().unwrap();
    assert_eq!(config.base_url, "https://abc123.coze.site");
    assert_eq!(config.service, Some(ServiceName::Site));
    assert_eq!(config.key.expose(), jwt);
}

#[test]
fn a_missing_key_names_every_place_that_was_looked_at() {
    let mut machine = machine(&[("COZE_API_TOKEN", "pat_xxx")])
        .write("a.json", "{}")
        .write("skill/config.json", r#"{"api_key":"<key>"}"#);
    machine.options.config = Some(machine.path("a.json"));
    assert_eq!(
        machine.refused(),
        "no token: looked at COZE_API_KEY (not set), COZE_API_KEY_FILE (not set), \
         COZE_API_TOKEN (a placeholder), \
             /a.json (not in it), /skill/bin/config.json (not there), \
             /skill/config.json (a placeholder), \
             /home/.openclaw/skills/coze_workflow/config.json (not there), \
             /home/.openclaw/skills/coze-workflow/config.json (not there), \
         /home/.config/coze-workflow/config.json (not there) \
             (set COZE_API_KEY or put {\"api_key\": \"…\"} in \
             /home/.config/coze-workflow/config.json)"
    );
}

#[test]
fn the_example_is_a_placeholder_all_over() {
    let example = include_str!("../skill/config.example.json");
    let machine = machine(&[]).write(HOME_FILE, example);
    assert!(machine.refused().starts_with("no token"));
    assert_eq!(machine.var("COZE_API_KEY", "k").config().base_url, BASE_URL);
}

#[test]
fn a_base_url_that_is_wrong_is_refused_and_not_repeated() {
    let machine = machine(&[KEY, ("COZE_BASE_URL", "https://me:secret@api.coze.cn")]);
    assert_eq!(
        machine.refused(),
        "the base URL in COZE_BASE_URL must not hold a user or password \
             (for example https://api.coze.cn)"
    );
    let machine = machine.var("COZE_BASE_URL", "https://扣子.cn");
    assert!(machine.refused().contains("no valid host name"));
    let machine = machine.var("COZE_BASE_URL", "你的地址");
    assert_eq!(machine.config().base_url, BASE_URL);
}

#[test]
fn a_proxy_that_is_wrong_is_refused_and_not_repeated() {
    let machine = machine(&[KEY, ("https_proxy", "ftp://me:secret@proxy")]);
    assert_eq!(
        machine.refused(),
        "the proxy in https_proxy has an unknown scheme \
             (write http://user:password@host:port or socks5h://…, with %XX for special characters)"
    );
}

#[test]
fn a_page_of_coze_is_answered_with_the_address_of_its_api() {
    for site in ["coze.cn", "coze.com"] {
        for page in [
            format!("https://www.{site}/work_flow?workflow_id=7"),
            format!("HTTPS://WWW.{}?next=coze.com", site.to_uppercase()),
        ] {
            assert_eq!(
                machine(&[KEY, ("COZE_BASE_URL", &page)]).refused(),
                format!(
                    "the base URL in COZE_BASE_URL is the address of a page, not of the API \
                     (for example https://api.{site})"
                )
            );
        }
    }
}

// The service.

#[test]
fn the_service_comes_from_the_option_the_host_the_variable_then_the_file() {
    use ServiceName::{Coze, Studio};
    let found = |machine: &Machine| {
        let config = machine.config();
        (config.service, origin(&config, "service").1)
    };
    let mut machine =
        machine(&[KEY, ("COZE_SERVICE", "studio")]).write(HOME_FILE, r#"{"service":"coze"}"#);
    assert_eq!(found(&machine), (Some(Coze), "base_url".to_owned()));
    machine.options.service = Some(Studio);
    assert_eq!(found(&machine), (Some(Studio), "--service".to_owned()));
    machine.options.service = None;
    machine.options.base_url = Some("https://api.coze.com/v1".to_owned());
    assert_eq!(found(&machine), (Some(Coze), "base_url".to_owned()));
    machine.options.base_url = Some("https://studio".to_owned());
    assert_eq!(found(&machine), (Some(Studio), "COZE_SERVICE".to_owned()));
    let machine = machine.var("COZE_SERVICE", "<service>");
    let file = machine.path(HOME_FILE).display().to_string();
    assert_eq!(found(&machine), (Some(Coze), file));
    let machine = machine.write(HOME_FILE, "{}");
    assert_eq!(found(&machine), (None, "default".to_owned()));
    let config = machine.config();
    assert_eq!(origin(&config, "service").0, "found out from the server");
}

#[test]
fn a_service_that_is_unknown_is_refused_with_the_known_ones() {
    let known = "is none of coze, studio, site (leave it out, and what the server says decides)";
    let machine = machine(&[
        KEY,
        ("COZE_SERVICE", "auto"),
        ("COZE_BASE_URL", "https://s"),
    ])
    .write(HOME_FILE, r#"{"service":"cloud"}"#);
    assert_eq!(
        machine.refused(),
        format!("the service in COZE_SERVICE {known}")
    );
    let machine = machine.var("COZE_SERVICE", "");
    assert_eq!(
        machine.refused(),
        format!("the service in /{HOME_FILE} {known}")
    );
}

// Certificates and the way there.

#[test]
fn certificates_come_from_the_first_place_that_names_a_file() {
    let mut machine = machine(&[KEY])
        .write("a", "A")
        .write("b", "B")
        .write("c", "C");
    machine.options.cacert = Some(machine.path("a"));
    let (b, c) = (machine.path("b"), machine.path("c"));
    let mut machine = machine.var("COZE_CA_FILE", b).var("SSL_CERT_FILE", c);
    for (source, content) in [
        ("--cacert", "A"),
        ("COZE_CA_FILE", "B"),
        ("SSL_CERT_FILE", "C"),
    ] {
        let config = machine.config();
        assert_eq!(origin(&config, "certificates").1, source);
        assert!(matches!(config.roots, Roots::Pem { pem, .. } if pem == content.as_bytes()));
        machine.options.cacert = None;
        machine.env.variables.remove(OsStr::new(&source));
    }
    assert_eq!(machine.config().roots, Roots::BuiltIn);
}

#[test]
fn certificates_are_read_for_https_only_unless_the_option_names_them() {
    let machine = machine(&[KEY, ("SSL_CERT_FILE", "/nowhere/ca.pem")]);
    assert_eq!(
        machine.refused(),
        "cannot read the CA file /nowhere/ca.pem, named by SSL_CERT_FILE: \
             No such file or directory (os error 2)"
    );
    let mut machine = machine.var("COZE_BASE_URL", "http://127.0.0.1:8888");
    assert_eq!(machine.config().roots, Roots::BuiltIn);
    machine.options.cacert = Some("/nowhere/b.pem".into());
    let refused = machine.refused();
    let start = "cannot read the CA file /nowhere/b.pem, named by --cacert: ";
    assert!(refused.starts_with(start), "{refused}");
}

#[test]
fn plain_http_to_another_machine_is_allowed_and_said() {
    let machine = machine(&[KEY, ("COZE_BASE_URL", "http://10.0.0.7:8888/v1")]);
    let warning = "http://10.0.0.7:8888 is plain http: the token can be read on the way";
    assert_eq!(machine.config().warnings, [warning]);
    let machine = machine.var("COZE_BASE_URL", "http://localhost:8888");
    assert!(machine.config().warnings.is_empty());
}

// What must never show.

#[test]
fn neither_key_nor_password_is_ever_shown() {
    let machine = machine(&[
        ("COZE_API_KEY", "pat_secret"),
        ("all_proxy", "http://me:secret@proxy"),
    ]);
    let config = machine.config();
    let shown = format!("{config:?}");
    assert!(!shown.contains("secret"), "{shown}");
    assert!(shown.contains("key: (redacted)"), "{shown}");
    assert_eq!(
        origin(&config, "api_key"),
        ("set".to_owned(), "COZE_API_KEY".to_owned())
    );
    let proxy = ("http://proxy:80".to_owned(), "all_proxy".to_owned());
    assert_eq!(origin(&config, "proxy"), proxy);
}
