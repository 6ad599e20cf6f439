//! One file: whatever happens to it, it never says "not started" unless that was written.

use std::os::unix::fs::{FileExt, PermissionsExt};

use super::*;
use crate::cli::Options;
use crate::input::request::Request;
use crate::response::Outcome;
use crate::text::Text;

const BASE: &str = "https://api.coze.cn";

/// A journal's directory, which goes with it.
struct Bench {
    root: tempfile::TempDir,
    identity: Identity,
}

impl Bench {
    fn new() -> Self {
        let request = r#"{"id":"x","workflow_id":"7","parameters":{"a":1}}"#;
        let request = Request::parse(request, &Options::default());
        Self {
            root: tempfile::tempdir().unwrap(),
            identity: Identity::of(&request, BASE).unwrap(),
        }
    }

    /// As another process would open it.
    #[track_caller]
    fn directory(&self) -> Directory {
        use std::hash::{BuildHasher, RandomState};
        Directory::open(&self.path(), RandomState::new().hash_one(0)).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.root.path().join("journal")
    }

    #[track_caller]
    fn create(&self, directory: &Directory, number: u32) -> Option<Entry> {
        let start = Start::new(1, BASE, None, &self.identity, None);
        Entry::create(directory, self.identity.name, number, start).unwrap()
    }

    /// A first try to which these lines were added.
    #[track_caller]
    fn written(&self, lines: &[Line<&Response>]) -> PathBuf {
        let directory = self.directory();
        let mut entry = self.create(&directory, 1).unwrap();
        for line in lines {
            entry.append(line).unwrap();
        }
        self.first()
    }

    #[track_caller]
    fn read(&self) -> Record {
        let path = self.first();
        Entry::new(&path, open(&path).unwrap()).read()
    }

    /// The path of the first try.
    fn first(&self) -> PathBuf {
        self.path().join(format!("{}.1", self.identity.name))
    }

    /// What is there now, hidden files too.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn started() -> Line<&'static Response> {
    Line::Started {
        at: 2,
        execute_id: "9".to_owned(),
        mode: Mode::Async,
    }
}

fn not_started() -> Line<&'static Response> {
    Line::NotStarted {
        at: 2,
        error: Error::new(Kind::Refused, "no"),
    }
}

fn response(outcome: Outcome) -> Response {
    Response {
        execute_id: "9".to_owned(),
        output: Text::from_plain("{\"a\":\"你\n\"}"),
        ..Response::new(outcome)
    }
}

fn ended(response: &Response) -> Line<&Response> {
    Line::Ended { at: 3, response }
}

fn word(state: &State) -> &'static str {
    match state {
        State::NotStarted => "not started",
        State::Started => "started",
        State::Unanswered => "unanswered",
        State::Ended(_) => "ended",
        State::Damaged(_) => "damaged",
    }
}

#[track_caller]
fn is_damaged(record: &Record, why: &str) {
    match &record.state {
        State::Damaged(said) => assert_eq!(said, why),
        other => panic!("{other:?}"),
    }
    assert!(record.is_damaged);
}

#[test]
fn directory_and_files_are_their_owners_only() {
    let bench = Bench::new();
    let path = bench.written(&[]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&bench.path()), mode(&path)), (0o700, 0o600));
}

#[test]
fn a_directory_that_is_a_file_or_has_no_parent_is_refused_with_a_sentence() {
    let bench = Bench::new();
    fs::write(bench.path(), "{}\n").unwrap();
    let error = Directory::open(&bench.path(), 0).unwrap_err();
    assert_eq!(error.kind, Kind::Config);
    let end = "is a file, and has to be a directory";
    assert!(error.message.ends_with(end), "{error}");
    assert_eq!(fs::read_to_string(bench.path()).unwrap(), "{}\n");
    let error = Directory::open(&bench.path().join("below"), 0).unwrap_err();
    assert_eq!(error.kind, Kind::Config);
    let error = Directory::open(Path::new("/nowhere/journal"), 0).unwrap_err();
    let begin = "cannot use the journal /nowhere/journal: ";
    assert!(error.message.starts_with(begin), "{error}");
    let error = Directory::open(Path::new("/proc/self"), 0).unwrap_err();
    let begin = "cannot keep a journal in /proc/self: ";
    assert!(error.message.starts_with(begin), "{error}");
}

#[test]
fn opening_leaves_nothing_but_the_directory_and_minds_nothing_that_is_there() {
    let bench = Bench::new();
    bench.directory();
    assert!(bench.names().is_empty());
    fs::write(bench.path().join("letter"), "dear").unwrap();
    fs::write(bench.path().join(".0-0.tmp"), "left by a kill").unwrap();
    bench.directory();
    assert_eq!(bench.names(), [".0-0.tmp", "letter"]);
}

#[test]
fn a_try_is_one_file_of_readable_lines_and_no_temporary_name_is_left() {
    let bench = Bench::new();
    let path = bench.written(&[started(), ended(&response(Outcome::Success))]);
    assert_eq!(bench.names(), [format!("{}.1", bench.identity.name)]);
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    let asked = serde_json::json!({"workflow_id":"7","parameters":{"a":1}});
    assert_eq!(lines[0]["starting"]["asked"], asked);
    assert_eq!(lines[0]["starting"]["base_url"], BASE);
    assert_eq!(lines[1]["started"]["execute_id"], "9");
    assert_eq!(lines[2]["ended"]["response"]["status"], "Success");
}

#[test]
fn what_was_written_is_read() {
    let success = response(Outcome::Success);
    let unknown = response(Outcome::Error(Error::new(Kind::Unknown, "why")));
    let cases: [(&[Line<&Response>], &str, bool); 6] = [
        (&[], "started", false),
        (&[started()], "started", true),
        (&[not_started()], "not started", false),
        (&[Line::Unanswered { at: 2 }], "unanswered", false),
        (&[started(), ended(&success)], "ended", true),
        (&[ended(&unknown), ended(&success)], "ended", false),
    ];
    for (lines, state, has_run) in cases {
        let bench = Bench::new();
        bench.written(lines);
        let record = bench.read();
        assert_eq!(
            (word(&record.state), record.run.is_some()),
            (state, has_run)
        );
        assert!(!record.is_damaged);
        let content = bench.identity.content.to_string();
        assert_eq!(record.start.unwrap().content, content);
        if let State::Ended(again) = record.state {
            let json = |response: &Response| serde_json::to_string(response).unwrap();
            assert_eq!(json(&again), json(&success));
        }
    }
}

#[test]
fn a_try_is_made_once_and_is_locked_by_whoever_made_it() {
    let bench = Bench::new();
    let (one, other) = (bench.directory(), bench.directory());
    let made = bench.create(&one, 1).unwrap();
    assert!(bench.create(&other, 1).is_none());
    assert!(bench.create(&one, 1).is_none());
    // A second file of the same process is kept out too.
    for directory in [&one, &other] {
        let again = Entry::open(directory, bench.identity.name, 1).unwrap();
        assert!(!again.try_lock().unwrap());
    }
    drop(made);
    let again = Entry::open(&other, bench.identity.name, 1).unwrap();
    assert!(again.try_lock().unwrap());
    assert!(bench.create(&other, 2).is_some());
    assert_eq!(one.tries(bench.identity.name).unwrap(), 2);
    assert_eq!(bench.names().len(), 2);
}

#[test]
fn a_link_whose_answer_was_lost_is_known_by_its_token() {
    let bench = Bench::new();
    let path = bench.written(&[]);
    let text = fs::read_to_string(&path).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    let token = line["starting"]["token"].as_str().unwrap();
    assert!(holds_token(&path, token));
    assert!(!holds_token(&path, &token[1..]));
    assert!(!holds_token(&bench.path().join("none"), token));
}

#[test]
fn tries_are_counted_up_to_the_first_number_that_is_missing() {
    let bench = Bench::new();
    let directory = bench.directory();
    for number in [1, 2, 4] {
        bench.create(&directory, number).unwrap();
    }
    assert_eq!(directory.tries(bench.identity.name).unwrap(), 2);
}

/// The lines of every kind of history, as whole files.
fn histories() -> Vec<(Bench, Vec<u8>)> {
    let success = response(Outcome::Success);
    let unknown = response(Outcome::Error(Error::new(Kind::Unknown, "why")));
    let failed = response(Outcome::Error(Error::new(Kind::Failed, "why")));
    let histories: [&[Line<&Response>]; 7] = [
        &[],
        &[started()],
        &[started(), ended(&success)],
        &[started(), ended(&unknown), ended(&failed)],
        &[ended(&failed)],
        &[Line::Unanswered { at: 2 }, ended(&success)],
        &[not_started()],
    ];
    let written = histories.iter().map(|lines| {
        let bench = Bench::new();
        let bytes = fs::read(bench.written(lines)).unwrap();
        (bench, bytes)
    });
    written.collect()
}

#[test]
fn cut_at_any_byte_it_is_never_not_started_and_a_known_run_stays_known() {
    for (bench, bytes) in histories() {
        let path = bench.first();
        let named = bytes.windows(11).position(|part| part == b"{\"started\":");
        let named = named.map(|place| {
            place
                + bytes[place..]
                    .iter()
                    .position(|&byte| byte == b'\n')
                    .unwrap()
                + 1
        });
        let file = open(&path).unwrap();
        for length in (0..bytes.len()).rev() {
            file.set_len(length as u64).unwrap();
            let record = bench.read();
            let is_whole = length > 0 && bytes[length - 1] == b'\n';
            assert_eq!(!record.is_damaged, is_whole, "{length}");
            assert_ne!(word(&record.state), "not started", "{length}");
            if named.is_some_and(|place| length >= place) {
                assert_eq!(record.run, RunRef::new("9", Mode::Async), "{length}");
                assert!(!matches!(record.state, State::Damaged(_)), "{length}");
            }
        }
    }
}

#[test]
fn with_any_byte_flipped_it_is_never_intact_or_not_started() {
    for (bench, bytes) in histories() {
        let path = bench.first();
        // Written in place: a file that is written anew takes its time on some file systems.
        let file = File::options().write(true).open(&path).unwrap();
        for (place, &written) in bytes.iter().enumerate() {
            let put = |byte: u8| file.write_all_at(&[byte], place as u64).unwrap();
            for byte in [written ^ 1, written ^ 0x80, b'\n', b' '] {
                if byte == written {
                    continue;
                }
                put(byte);
                let record = bench.read();
                assert!(record.is_damaged, "{place} {byte}");
                let state = word(&record.state);
                assert!(matches!(state, "damaged" | "started" | "ended"), "{state}");
            }
            put(written);
        }
    }
}

#[test]
fn lines_left_out_or_exchanged_are_damage() {
    let bench = Bench::new();
    let path = bench.written(&[started(), ended(&response(Outcome::Success))]);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    for (order, state) in [
        (vec![0, 2], "damaged"),
        (vec![0, 2, 1], "started"),
        (vec![0, 1, 1], "started"),
        (vec![0, 0, 1], "started"),
        (vec![1, 2], "damaged"),
        (vec![0, 1, 2, 2], "ended"),
    ] {
        let text: String = order.iter().map(|&line| lines[line]).collect();
        fs::write(&path, text).unwrap();
        let record = bench.read();
        assert_eq!((word(&record.state), record.is_damaged), (state, true));
    }
}

#[test]
fn a_file_of_another_name_is_damage() {
    let bench = Bench::new();
    let path = bench.written(&[not_started()]);
    let other = bench.directory().path(bench.identity.name, 2);
    fs::rename(&path, other).unwrap();
    let directory = bench.directory();
    let mut entry = Entry::open(&directory, bench.identity.name, 2).unwrap();
    is_damaged(&entry.read(), "is damaged in line 1");
}

#[test]
fn a_later_version_is_not_understood_and_not_started_again() {
    let bench = Bench::new();
    let path = bench.first();
    let directory = bench.directory();
    let mut entry = Entry::new(&path, create_new(&path).unwrap());
    let asking = Start {
        version: 2,
        at: 1,
        token: directory.next_token(),
        process_id: 1,
        base_url: BASE.to_owned(),
        id: None,
        content: bench.identity.content.to_string(),
        asked: None,
        run: None,
    };
    entry.write(&Line::Starting(asking)).unwrap();
    entry.write(&not_started()).unwrap();
    is_damaged(&bench.read(), "is of format 2, not 1, in line 1");
}

#[test]
fn a_line_of_a_kind_that_is_not_known_is_damage() {
    let bench = Bench::new();
    let path = bench.written(&[]);
    let mut entry = Entry::open(&bench.directory(), bench.identity.name, 1).unwrap();
    entry.read();
    let body = br#"{"paused":{"at":1}"#;
    let line = [&body[..], seal(entry.next_check(body)).as_bytes()].concat();
    let whole = [fs::read(&path).unwrap(), line].concat();
    fs::write(&path, whole).unwrap();
    is_damaged(
        &bench.read(),
        "holds what this version does not know in line 2",
    );
}

#[test]
fn alien_files_are_damage() {
    let texts: [&[u8]; 6] = [b"", b"\n", b"{}\n", b"hello", &[0; 5000], b"\xff\xfe\n"];
    for text in texts {
        let bench = Bench::new();
        let directory = bench.directory();
        fs::write(directory.path(bench.identity.name, 1), text).unwrap();
        assert_eq!(word(&bench.read().state), "damaged");
        assert!(bench.create(&directory, 1).is_none());
    }
}

#[test]
fn what_is_no_regular_file_is_not_opened_but_keeps_the_name() {
    let bench = Bench::new();
    let directory = bench.directory();
    let path = directory.path(bench.identity.name, 1);
    fs::create_dir(&path).unwrap();
    let open = || {
        Entry::open(&directory, bench.identity.name, 1)
            .unwrap_err()
            .kind()
    };
    assert_eq!(open(), io::ErrorKind::InvalidData);
    assert!(bench.create(&directory, 1).is_none());
    fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    assert_eq!(open(), io::ErrorKind::InvalidData);
    assert!(bench.create(&directory, 1).is_none());
    assert_eq!(directory.tries(bench.identity.name).unwrap(), 1);
}

#[test]
fn after_half_a_line_a_later_process_goes_on_with_a_whole_one() {
    let bench = Bench::new();
    let path = bench.written(&[started()]);
    let mut text = fs::read(&path).unwrap();
    text.extend_from_slice(br#"{"ended":{"at":3,"resp"#);
    fs::write(&path, text).unwrap();
    assert_eq!(word(&bench.read().state), "started");
    let mut entry = Entry::open(&bench.directory(), bench.identity.name, 1).unwrap();
    entry.read();
    entry.append(&ended(&response(Outcome::Success))).unwrap();
    let record = bench.read();
    assert_eq!((word(&record.state), record.is_damaged), ("ended", true));
}

#[test]
fn after_half_a_line_nothing_counts_as_not_started() {
    let bench = Bench::new();
    let path = bench.written(&[]);
    let mut text = fs::read(&path).unwrap();
    text.extend_from_slice(br#"{"started":{"at":3"#);
    fs::write(&path, text).unwrap();
    let mut entry = Entry::open(&bench.directory(), bench.identity.name, 1).unwrap();
    entry.read();
    entry.append(&not_started()).unwrap();
    assert_eq!(word(&bench.read().state), "damaged");
}

#[test]
fn a_denial_after_a_start_is_not_believed() {
    let bench = Bench::new();
    bench.written(&[started(), not_started()]);
    let record = bench.read();
    assert_eq!((word(&record.state), record.is_damaged), ("started", true));
}

#[test]
fn a_directory_that_is_gone_starts_nothing() {
    let bench = Bench::new();
    let directory = bench.directory();
    fs::remove_dir(bench.path()).unwrap();
    let start = Start::new(1, BASE, None, &bench.identity, None);
    let error = Entry::create(&directory, bench.identity.name, 1, start).unwrap_err();
    assert_eq!(error.kind, Kind::Config);
    let begin = "cannot write the journal ";
    assert!(error.message.starts_with(begin), "{error}");
}

#[test]
fn it_is_known_who_made_a_try_and_when() {
    let bench = Bench::new();
    let (one, other) = (bench.directory(), bench.directory());
    bench.create(&one, 1).unwrap();
    let record = bench.read();
    let start = record.start.as_ref().unwrap();
    assert!(one.made(start) && !other.made(start));
    assert!(!one.began_after(&record));
    let hour = Duration::from_secs(3600);
    let file = open(&bench.first()).unwrap();
    file.set_modified(FileTime::now() - hour).unwrap();
    assert!(one.began_after(&bench.read()));
}
