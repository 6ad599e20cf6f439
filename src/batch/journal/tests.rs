//! What is decided about a request, after every way in which an earlier process can have ended.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::SystemTime;

use super::*;
use crate::coze::call::Mode;
use crate::coze::event::Interrupt;
use crate::language::Language;
use crate::response::Outcome;
use crate::service::ServiceName;
use crate::text::Text;
use crate::time::SystemClock;
use crate::time::scripted::ScriptedClock;

const BASE: &str = "https://api.coze.cn";
const RUN: &str = r#"{"workflow_id":"7","parameters":{"a":1}}"#;
const NAMED: &str = r#"{"id":"x","workflow_id":"7","parameters":{"a":1}}"#;
const OTHER: &str = r#"{"id":"x","workflow_id":"8"}"#;
const WATCH: &str = r#"{"workflow_id":"7","execute_id":"9"}"#;
const RESUME: &str = r#"{"workflow_id":"7","event_id":"9/1","interrupt_type":2,"resume_data":"x"}"#;
const OTHER_RESUME: &str =
    r#"{"workflow_id":"7","event_id":"9/1","interrupt_type":2,"resume_data":"y"}"#;

const PROJECT: Option<ServiceName> = Some(ServiceName::Site);
const OWN: &str = "0190c1f2aaaa4bbb8cccdddddddddddd";

const NO_RERUN: &[Kind] = &[];
const RERUN: &[Kind] = &[Kind::Unknown, Kind::Failed];

fn options(service: Option<ServiceName>, rerun: &[Kind]) -> Options {
    Options {
        service,
        rerun: rerun.to_vec(),
        ..Options::default()
    }
}

/// The scripted clock, with the chance of the real one: no two processes are alike.
#[derive(Debug, Default)]
struct TestClock(ScriptedClock);

impl Clock for TestClock {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn unix(&self) -> u64 {
        self.0.unix()
    }

    fn sleep(&self, duration: Duration) {
        self.0.sleep(duration);
    }

    fn random(&self) -> u64 {
        SystemClock::default().random()
    }
}

/// A journal's path, in a directory that goes with it.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("journal")
    }

    /// Another process comes to it.
    #[track_caller]
    fn open(&self) -> Journal<'static> {
        self.open_to(NO_RERUN)
    }

    #[track_caller]
    fn open_to(&self, rerun: &[Kind]) -> Journal<'static> {
        self.open_for(None, rerun)
    }

    #[track_caller]
    fn open_for(&self, service: Option<ServiceName>, rerun: &[Kind]) -> Journal<'static> {
        let clock: &'static TestClock = Box::leak(Box::default());
        Journal::open(&self.path(), BASE, &options(service, rerun), clock).unwrap()
    }

    /// A process that sends it to a deployed project, gets that far, and is killed.
    #[track_caller]
    fn sent_to_project(&self, mode: Mode, then: impl FnOnce(&Ticket<'_>)) {
        let journal = self.open_for(PROJECT, RERUN);
        let ticket = runs(recall(&journal, RUN));
        ticket.started(&known(OWN, mode));
        ticket.starting().unwrap();
        then(&ticket);
    }

    /// A process that takes the request, sends it, gets that far, and is killed.
    #[track_caller]
    fn sent(&self, request: &str, then: impl FnOnce(&Ticket<'_>)) {
        let journal = self.open();
        let ticket = runs(recall(&journal, request));
        ticket.starting().unwrap();
        then(&ticket);
    }

    #[track_caller]
    fn settled(&self, request: &str, mut response: Response) {
        self.sent(request, |ticket| ticket.settle(&mut response).unwrap());
    }

    /// All that was written was written an hour ago.
    fn age(&self) {
        self.age_by(3600);
    }

    /// By so many seconds.
    fn age_by(&self, seconds: u64) {
        let time = SystemTime::now() - Duration::from_secs(seconds);
        for file in self.files() {
            let file = File::options().append(true).open(file).unwrap();
            file.set_modified(time).unwrap();
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

#[track_caller]
fn known(execute_id: &str, mode: Mode) -> RunRef {
    RunRef::new(execute_id, mode).unwrap()
}

fn parse(request: &str) -> Request {
    let request = Request::parse(request, &Options::default());
    assert_eq!(request.task.as_ref().err(), None);
    request
}

fn recall<'j>(journal: &'j Journal<'_>, request: &str) -> Recall<'j> {
    journal.recall(&parse(request), None)
}

fn waits_until(until: Deadline) -> Patience {
    Patience {
        until,
        may_wait: true,
    }
}

fn word(recall: &Recall<'_>) -> &'static str {
    match recall {
        Recall::Unkept => "unkept",
        Recall::Run(_) => "run",
        Recall::Watch(..) => "watch",
        Recall::Answer(_) => "answer",
        Recall::Refuse(_) => "refuse",
        Recall::Busy => "busy",
    }
}

#[track_caller]
fn runs(recall: Recall<'_>) -> Ticket<'_> {
    match recall {
        Recall::Run(ticket) => ticket,
        other => panic!("{}", word(&other)),
    }
}

#[track_caller]
fn watches(recall: Recall<'_>) -> (RunRef, Ticket<'_>) {
    match recall {
        Recall::Watch(watch, ticket) => (watch, ticket),
        other => panic!("{}", word(&other)),
    }
}

#[track_caller]
fn answers(recall: Recall<'_>) -> Response {
    match recall {
        Recall::Answer(response) => *response,
        other => panic!("{}", word(&other)),
    }
}

#[track_caller]
fn refuses(recall: Recall<'_>) -> String {
    match recall {
        Recall::Refuse(error) => {
            assert_eq!(error.kind, Kind::Usage);
            error.message.clone()
        }
        other => panic!("{}", word(&other)),
    }
}

fn response(outcome: Outcome, execute_id: &str) -> Response {
    Response {
        execute_id: execute_id.to_owned(),
        output: Text::from_plain("{\"a\":\"\n\"}"),
        ..Response::new(outcome)
    }
}

fn error(kind: Kind) -> Outcome {
    Outcome::Error(Error::new(kind, "why"))
}

fn interrupted(event_id: &str) -> Outcome {
    let interrupt = Interrupt {
        event_id: event_id.to_owned(),
        r#type: 2,
        data: None,
        required_parameters: None,
        node_title: None,
        mode: Some(Mode::Stream),
    };
    Outcome::Interrupted(interrupt)
}

#[test]
fn what_is_not_there_is_run_and_watches_are_not_kept() {
    let bench = Bench::new();
    let journal = bench.open();
    runs(recall(&journal, RUN));
    assert_eq!(word(&recall(&journal, WATCH)), "unkept");
    let refused = Request::refused(Error::usage("no"));
    assert_eq!(word(&journal.recall(&refused, None)), "unkept");
    assert!(bench.files().is_empty());
}

#[test]
fn what_was_never_about_to_be_sent_leaves_nothing() {
    let bench = Bench::new();
    let journal = bench.open();
    let ticket = runs(recall(&journal, RUN));
    let mut refused = response(error(Kind::Refused), "");
    ticket.settle(&mut refused).unwrap();
    assert!(bench.files().is_empty());
}

#[test]
fn what_ended_is_answered_again_byte_for_byte_and_says_so() {
    for outcome in [Outcome::Success, error(Kind::Failed), interrupted("9/1")] {
        let bench = Bench::new();
        let mut first = response(outcome, "9");
        first.workflow_id = Some("7".to_owned());
        let text = serde_json::to_string(&first).unwrap();
        bench.settled(RUN, first);
        let mut again = answers(recall(&bench.open(), RUN));
        assert!(std::mem::take(&mut again.is_from_journal));
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }
}

#[test]
fn an_answer_has_the_id_of_whoever_asks_now() {
    let bench = Bench::new();
    bench.settled(
        r#"{"id":1,"workflow_id":"7"}"#,
        response(Outcome::Success, "9"),
    );
    let again = answers(recall(&bench.open(), r#"{"id":"1","workflow_id":"7"}"#));
    assert_eq!(again.id.unwrap().get(), "\"1\"");
    assert_eq!(again.workflow_id.as_deref(), Some("7"));
}

#[test]
fn what_was_not_started_is_tried_again_under_the_next_number() {
    let kinds = [Kind::Refused, Kind::Unreachable, Kind::Usage, Kind::Io];
    for kind in kinds {
        let bench = Bench::new();
        for tries in 1..=3 {
            bench.settled(RUN, response(error(kind), ""));
            assert_eq!(bench.files().len(), tries);
        }
        bench.settled(RUN, response(Outcome::Success, "9"));
        assert_eq!(answers(recall(&bench.open(), RUN)).kind(), None);
    }
}

#[test]
fn what_may_have_been_started_is_unknown_until_it_is_to_be_run_again() {
    let bench = Bench::new();
    bench.sent(RUN, |_| {});
    bench.age();
    let unknown = answers(recall(&bench.open(), RUN));
    assert_eq!(
        unknown.error.as_ref().unwrap().line(Language::English),
        "unknown: an earlier process may have started the run, and left no execute_id \
         (look at Coze before running it again; --rerun unknown runs it again)"
    );
    let only_failed = &[Kind::Failed];
    answers(recall(&bench.open_to(only_failed), RUN));
    let journal = bench.open_to(RERUN);
    let ticket = runs(recall(&journal, RUN));
    ticket.starting().unwrap();
    ticket.settle(&mut response(Outcome::Success, "9")).unwrap();
    drop(ticket);
    for journal in [journal, bench.open_to(RERUN)] {
        assert_eq!(answers(recall(&journal, RUN)).kind(), None);
    }
    assert_eq!(bench.files().len(), 2);
}

#[test]
fn what_failed_is_run_again_only_when_asked_to() {
    let bench = Bench::new();
    bench.settled(RUN, response(error(Kind::Failed), "9"));
    bench.age();
    let only_unknown = &[Kind::Unknown];
    answers(recall(&bench.open_to(only_unknown), RUN));
    runs(recall(&bench.open_to(RERUN), RUN));
}

#[test]
fn what_succeeded_or_asks_is_never_run_again() {
    for outcome in [Outcome::Success, interrupted("9/1")] {
        let bench = Bench::new();
        bench.settled(RUN, response(outcome, "9"));
        bench.age();
        answers(recall(&bench.open_to(RERUN), RUN));
    }
}

#[test]
fn what_ended_after_this_process_began_is_answered() {
    let bench = Bench::new();
    let journal = bench.open_to(RERUN);
    for (request, kind) in [(RUN, Kind::Failed), (NAMED, Kind::Unknown)] {
        // By another process, and by an equal row of this one.
        bench.settled(request, response(error(kind), ""));
        assert_eq!(answers(recall(&journal, request)).kind(), Some(kind));
    }
    let equal = r#"{"id":5,"workflow_id":"7"}"#;
    let ticket = runs(recall(&journal, equal));
    ticket.starting().unwrap();
    let mut failed = response(error(Kind::Failed), "9");
    ticket.settle(&mut failed).unwrap();
    drop(ticket);
    assert_eq!(answers(recall(&journal, equal)).kind(), Some(Kind::Failed));
    // The next process may.
    bench.age();
    runs(recall(&bench.open_to(RERUN), equal));
}

#[test]
fn what_ended_unknown_is_reported_again_in_the_same_words() {
    let bench = Bench::new();
    bench.settled(RUN, response(error(Kind::Unknown), ""));
    bench.age();
    let unknown = answers(recall(&bench.open(), RUN));
    let error = unknown.error.as_ref().unwrap();
    let told = (error.message.as_str(), error.hint.clone());
    assert_eq!(told, ("why", Some(look_or_rerun())));
    runs(recall(&bench.open_to(RERUN), RUN));
}

#[test]
fn what_is_known_by_its_execute_id_is_watched_even_when_unknown_is_run_again() {
    for kind in [Kind::Running, Kind::Unknown] {
        let bench = Bench::new();
        bench.sent(RUN, |ticket| {
            ticket.started(&known("9", Mode::Async));
            ticket.settle(&mut response(error(kind), "9")).unwrap();
        });
        bench.age();
        let run = known("9", Mode::Async);
        assert_eq!(watches(recall(&bench.open_to(RERUN), RUN)).0, run);
    }
}

#[test]
fn what_was_found_by_watching_is_answered_from_then_on() {
    let bench = Bench::new();
    bench.sent(RUN, |ticket| ticket.started(&known("9", Mode::Stream)));
    let journal = bench.open();
    let (_, ticket) = watches(recall(&journal, RUN));
    ticket.settle(&mut response(Outcome::Success, "9")).unwrap();
    drop(ticket);
    assert_eq!(answers(recall(&journal, RUN)).kind(), None);
    assert_eq!(bench.files().len(), 1);
}

#[test]
fn a_poll_that_ends_in_nothing_does_not_make_the_file_grow() {
    let bench = Bench::new();
    bench.sent(RUN, |ticket| ticket.started(&known("9", Mode::Stream)));
    let length = || fs::metadata(&bench.files()[0]).unwrap().len();
    let before = length();
    for kind in [
        Kind::Running,
        Kind::Unknown,
        Kind::Unreachable,
        Kind::Refused,
    ] {
        let journal = bench.open();
        let (_, ticket) = watches(recall(&journal, RUN));
        ticket.settle(&mut response(error(kind), "9")).unwrap();
    }
    assert_eq!(length(), before);
}

#[test]
fn a_rate_refusal_is_not_started_during_its_pause_and_may_be_after_it() {
    let bench = Bench::new();
    let why = Error::new(Kind::Unreachable, "too many");
    bench.sent(RUN, |ticket| ticket.rate_refused(&why));
    // Killed in the pause: nothing was started.
    bench.sent(RUN, |ticket| {
        ticket.rate_refused(&why);
        // Killed after the pause.
        ticket.starting().unwrap();
        assert_eq!(word(&recall(&bench.open(), RUN)), "busy");
    });
    assert_eq!(bench.files().len(), 3);
    let unknown = answers(recall(&bench.open(), RUN));
    assert_eq!(unknown.kind(), Some(Kind::Unknown));
}

#[test]
fn a_rate_refusal_that_outlasts_the_deadline_is_written_once() {
    let bench = Bench::new();
    bench.sent(RUN, |ticket| {
        ticket.rate_refused(&Error::new(Kind::Unreachable, "too many"));
        let mut unreachable = response(error(Kind::Unreachable), "");
        ticket.settle(&mut unreachable).unwrap();
    });
    let text = fs::read_to_string(&bench.files()[0]).unwrap();
    assert_eq!(text.lines().count(), 2);
    runs(recall(&bench.open(), RUN));
}

#[test]
fn sent_again_after_it_never_left_it_is_the_same_try() {
    let bench = Bench::new();
    bench.sent(RUN, |ticket| ticket.starting().unwrap());
    assert_eq!(bench.files().len(), 1);
}

#[test]
fn a_request_that_another_one_works_on_is_busy() {
    let bench = Bench::new();
    let (one, other) = (bench.open(), bench.open());
    let ticket = runs(recall(&one, RUN));
    // Nothing is on the disk yet.
    let late = runs(recall(&other, RUN));
    ticket.starting().unwrap();
    assert_eq!(late.starting().unwrap_err().kind, Kind::Running);
    assert!(late.is_lost() && !ticket.is_lost());
    for journal in [&one, &other] {
        assert_eq!(word(&recall(journal, RUN)), "busy");
    }
    ticket.settle(&mut response(Outcome::Success, "9")).unwrap();
    drop(ticket);
    for journal in [&one, &other] {
        assert_eq!(answers(recall(journal, RUN)).kind(), None);
    }
    assert_eq!(bench.files().len(), 1);
}

#[test]
fn a_request_is_busy_until_its_row_is_done_with_it() {
    let bench = Bench::new();
    let journal = bench.open();
    let ticket = runs(recall(&journal, RUN));
    ticket.starting().unwrap();
    ticket.started(&known("9", Mode::Stream));
    assert_eq!(word(&recall(&journal, RUN)), "busy");
    drop(ticket);
    let (_, watching) = watches(recall(&journal, RUN));
    assert_eq!(word(&recall(&journal, RUN)), "busy");
    drop(watching);
    watches(recall(&journal, RUN));
}

#[test]
fn what_is_waited_for_ends_running_at_its_deadline_with_the_id_that_is_known() {
    let bench = Bench::new();
    let one = bench.open();
    let ticket = runs(recall(&one, RUN));
    ticket.starting().unwrap();
    ticket.started(&known("9", Mode::Stream));
    let clock = TestClock::default();
    let other = Journal::open(&bench.path(), BASE, &options(None, NO_RERUN), &clock).unwrap();
    let deadline = Deadline::after(&clock, Some(Duration::from_secs(60)));
    // Nobody holds this one.
    runs(other.recall(&parse(NAMED), Some(waits_until(deadline))));
    let response = answers(other.recall(&parse(RUN), Some(waits_until(deadline))));
    assert_eq!(clock.now(), Duration::from_secs(60));
    assert_eq!(
        (response.exit_code(), response.execute_id.as_str()),
        (6, "9")
    );
    assert!(!response.is_from_journal);
    let message = &response.error.as_ref().unwrap().message;
    let process = std::process::id();
    let begin =
        format!("the deadline came while process {process} on this or another machine held ");
    assert!(message.starts_with(&begin), "{message}");
    let twin = answers(one.recall(&parse(RUN), Some(waits_until(deadline))));
    let message = &twin.error.as_ref().unwrap().message;
    let begin = "the deadline came while another row of this input held ";
    assert!(message.starts_with(begin), "{message}");
    let slept = clock.0.slept.lock().unwrap();
    assert!(slept.iter().all(|pause| *pause <= PAUSES.1));
}

#[test]
fn what_is_waited_for_is_answered_as_soon_as_the_other_one_ends() {
    let bench = Bench::new();
    let (one, other) = (bench.open(), bench.open_to(RERUN));
    let ticket = runs(recall(&one, RUN));
    ticket.starting().unwrap();
    bench.age();
    let waiting = std::thread::spawn(move || {
        let never = Deadline::after(&SystemClock::default(), None);
        answers(other.recall(&parse(RUN), Some(waits_until(never))))
    });
    // It dies without a word.
    drop(ticket);
    let recalled = waiting.join().unwrap();
    assert_eq!(recalled.kind(), Some(Kind::Unknown));
}

#[test]
fn whoever_waited_goes_on_where_the_other_one_ended() {
    let bench = Bench::new();
    let (one, other) = (bench.open(), bench.open());
    let ticket = runs(recall(&one, RUN));
    ticket.starting().unwrap();
    assert_eq!(word(&recall(&other, RUN)), "busy");
    ticket
        .settle(&mut response(error(Kind::Refused), ""))
        .unwrap();
    drop(ticket);
    runs(recall(&other, RUN)).starting().unwrap();
    assert_eq!(bench.files().len(), 2);
}

#[test]
fn an_id_with_other_content_is_refused_unless_nothing_was_started_under_it() {
    let bench = Bench::new();
    bench.settled(NAMED, response(error(Kind::Refused), ""));
    bench.sent(OTHER, |_| {});
    let sentence = r#"the journal knows the id "x" with other content"#;
    assert_eq!(refuses(recall(&bench.open(), NAMED)), sentence);
    bench.age();
    assert_eq!(refuses(recall(&bench.open_to(RERUN), NAMED)), sentence);
    runs(recall(&bench.open_to(RERUN), OTHER));
    runs(recall(&bench.open(), RUN));
}

#[test]
fn an_interrupt_is_answered_once() {
    let bench = Bench::new();
    bench.settled(RESUME, response(error(Kind::Refused), "9"));
    bench.settled(OTHER_RESUME, response(Outcome::Success, "9"));
    let sentence = "the journal knows another answer to the interrupt 9/1";
    assert_eq!(refuses(recall(&bench.open(), RESUME)), sentence);
    let named = OTHER_RESUME.replacen('{', r#"{"id":5,"#, 1);
    assert_eq!(answers(recall(&bench.open(), &named)).kind(), None);
}

#[test]
fn a_resume_that_may_have_been_sent_is_polled_first() {
    let bench = Bench::new();
    bench.sent(RESUME, |_| {});
    bench.age();
    let journal = bench.open_to(RERUN);
    let (watch, _) = watches(recall(&journal, RESUME));
    assert_eq!(watch.execute_id(), "9");
}

#[test]
fn a_resume_whose_run_still_waits_is_sent_again_only_when_asked_to() {
    let bench = Bench::new();
    bench.sent(RESUME, |_| {});
    let journal = bench.open();
    let (_, ticket) = watches(recall(&journal, RESUME));
    let mut waits = response(interrupted("9/1"), "9");
    ticket.settle(&mut waits).unwrap();
    assert_eq!(waits.kind(), Some(Kind::Unknown));
    drop(ticket);
    bench.age();
    watches(recall(&bench.open(), RESUME));
    runs(recall(&bench.open_to(RERUN), RESUME));
}

/// The connection was lost, and ten polls showed the question that had just been answered.
#[test]
fn a_resume_that_was_lost_and_whose_run_still_waits_may_be_sent_again_when_asked_to() {
    let bench = Bench::new();
    let mut waits = response(interrupted("9/1"), "9");
    bench.sent(RESUME, |ticket| ticket.settle(&mut waits).unwrap());
    assert_eq!(waits.kind(), Some(Kind::Unknown));
    bench.age();
    watches(recall(&bench.open(), RESUME));
    runs(recall(&bench.open_to(RERUN), RESUME));
}

#[test]
fn a_resumed_run_that_asks_something_else_has_taken_the_answer() {
    let bench = Bench::new();
    bench.sent(RESUME, |_| {});
    let journal = bench.open();
    let (_, ticket) = watches(recall(&journal, RESUME));
    ticket
        .settle(&mut response(interrupted("9/2"), "9"))
        .unwrap();
    drop(ticket);
    let again = answers(recall(&journal, RESUME));
    assert_eq!(again.kind(), Some(Kind::Interrupted));
}

#[test]
fn a_resume_that_goes_on_running_is_never_sent_again() {
    let bench = Bench::new();
    bench.settled(RESUME, response(error(Kind::Running), "9"));
    bench.age();
    watches(recall(&bench.open_to(RERUN), RESUME));
}

#[test]
fn a_damaged_file_is_unknown_and_named_and_never_run_again() {
    let bench = Bench::new();
    bench.settled(RUN, response(error(Kind::Failed), ""));
    let path = bench.files().remove(0);
    let whole = fs::read(&path).unwrap();
    for text in [&whole[..9], b"", b"alien\n"] {
        fs::write(&path, text).unwrap();
        bench.age();
        let unknown = answers(recall(&bench.open_to(RERUN), RUN));
        let error = unknown.error.as_ref().unwrap();
        assert_eq!(error.kind, Kind::Unknown);
        let name = path.display().to_string();
        assert!(error.message.contains(&name), "{error}");
    }
    // The answer is there, and whoever damaged the rest does not get another run.
    fs::write(&path, [&whole, &b"alien\n"[..]].concat()).unwrap();
    bench.age();
    let failed = answers(recall(&bench.open_to(RERUN), RUN));
    assert_eq!(failed.kind(), Some(Kind::Failed));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let unknown = answers(recall(&bench.open_to(RERUN), RUN));
    assert!(
        unknown
            .error
            .as_ref()
            .unwrap()
            .message
            .ends_with("is no regular file")
    );
}

#[test]
fn at_any_cut_of_its_file_a_request_that_was_sent_is_not_run() {
    let bench = Bench::new();
    bench.sent(RUN, |ticket| {
        ticket.started(&known("9", Mode::Stream));
        ticket
            .settle(&mut response(error(Kind::Failed), "9"))
            .unwrap();
    });
    let path = bench.files().remove(0);
    let whole = fs::read(&path).unwrap();
    let journal = bench.open();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let recalled = recall(&journal, RUN);
        assert!(matches!(word(&recalled), "answer" | "watch"), "{length}");
    }
}

#[test]
fn equal_requests_without_an_id_are_one_and_a_word_is_said_once() {
    let bench = Bench::new();
    bench.settled(RUN, response(Outcome::Success, "9"));
    let journal = bench.open();
    answers(recall(&journal, RUN));
    assert!(!journal.has_met_equals(), "an earlier process was it");
    for request in [
        r#"{"workflow_id":"8"}"#,
        r#"{"id":1,"workflow_id":"8"}"#,
        RESUME,
    ] {
        let ticket = runs(recall(&journal, request));
        ticket.starting().unwrap();
        ticket.settle(&mut response(Outcome::Success, "9")).unwrap();
    }
    for named in [r#"{"id":1,"workflow_id":"8"}"#, RESUME] {
        answers(recall(&journal, named));
        assert!(!journal.has_met_equals());
    }
    answers(recall(&journal, r#"{"workflow_id":"8"}"#));
    assert!(journal.has_met_equals());
    answers(recall(&journal, r#"{"workflow_id":"8"}"#));
    assert!(!journal.has_met_equals());
}

#[test]
fn another_server_is_another_request() {
    let bench = Bench::new();
    bench.sent(RUN, |_| {});
    let clock = TestClock::default();
    let other = Journal::open(
        &bench.path(),
        "https://api.coze.com",
        &options(None, NO_RERUN),
        &clock,
    )
    .unwrap();
    runs(recall(&other, RUN));
}

#[test]
fn a_directory_that_goes_away_starts_nothing_and_is_no_start() {
    let bench = Bench::new();
    let journal = bench.open();
    let ticket = runs(recall(&journal, RUN));
    fs::remove_dir(bench.path()).unwrap();
    assert_eq!(ticket.starting().unwrap_err().kind, Kind::Config);
    let mut refused = response(error(Kind::Config), "");
    ticket.settle(&mut refused).unwrap();
}

#[test]
fn jobs_side_by_side_start_each_request_once() {
    let bench = Bench::new();
    let journal = bench.open();
    let starts = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for row in 0..8 {
                    let request = format!(r#"{{"id":{row},"workflow_id":"7"}}"#);
                    if let Recall::Run(ticket) = recall(&journal, &request)
                        && ticket.starting().is_ok()
                    {
                        starts.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(starts.into_inner(), 8);
    assert_eq!(bench.files().len(), 8);
}

// Deployed projects, where a start carries an id of ours.

#[test]
fn the_id_of_a_start_is_on_the_disk_before_it_is_sent() {
    let bench = Bench::new();
    bench.sent_to_project(Mode::Async, |_| {});
    let text = fs::read_to_string(&bench.files()[0]).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(
        text.contains(&format!(r#""run":["{OWN}","async"]"#)),
        "{text}"
    );
}

#[test]
fn a_background_start_that_was_not_confirmed_is_looked_for_under_its_id() {
    let bench = Bench::new();
    bench.sent_to_project(Mode::Async, |_| {});
    bench.age();
    for rerun in [NO_RERUN, RERUN] {
        let journal = bench.open_for(PROJECT, rerun);
        let ticket = runs(recall(&journal, RUN));
        let earlier = ticket.earlier().unwrap();
        assert_eq!(earlier.run, known(OWN, Mode::Async));
        assert!(earlier.at.is_some() && earlier.may_have_arrived);
        // It may be sent again, as the same try.
        ticket.starting().unwrap();
        assert_eq!(bench.files().len(), 1);
        assert_eq!(word(&recall(&journal, RUN)), "busy");
    }
}

#[test]
fn a_confirmed_start_is_watched_and_the_server_is_known_to_keep_ids() {
    let bench = Bench::new();
    assert!(!bench.open_for(PROJECT, RERUN).knows_kept_ids());
    bench.sent_to_project(Mode::Async, |ticket| {
        ticket.confirmed(&known(OWN, Mode::Async));
    });
    bench.age();
    let journal = bench.open_for(PROJECT, RERUN);
    assert!(journal.knows_kept_ids());
    let (watch, ticket) = watches(recall(&journal, RUN));
    assert_eq!(watch.execute_id(), OWN);
    assert!(ticket.earlier().is_none());
    let clock = TestClock::default();
    let other = "https://other.example";
    let other = Journal::open(&bench.path(), other, &options(PROJECT, NO_RERUN), &clock);
    assert!(!other.unwrap().knows_kept_ids());
}

#[test]
fn a_stream_that_was_lost_is_unknown_with_its_id_and_can_be_run_again() {
    for ends in [false, true] {
        let bench = Bench::new();
        bench.sent_to_project(Mode::Stream, |ticket| {
            let mut unknown = response(error(Kind::Unknown), OWN);
            if ends {
                ticket.settle(&mut unknown).unwrap();
            }
        });
        bench.age();
        let told = answers(recall(&bench.open_for(PROJECT, NO_RERUN), RUN));
        assert_eq!((told.kind(), &*told.execute_id), (Some(Kind::Unknown), OWN));
        let hint = told.error.unwrap().hint.clone();
        assert_eq!(hint, Some(look_or_rerun()));
        let journal = bench.open_for(PROJECT, RERUN);
        let ticket = runs(recall(&journal, RUN));
        assert!(ticket.earlier().is_none());
    }
}

#[test]
fn what_stays_unknown_in_the_background_is_looked_for_under_its_id_whatever_is_asked_for() {
    let bench = Bench::new();
    bench.sent_to_project(Mode::Async, |ticket| {
        let mut unknown = response(error(Kind::Unknown), OWN);
        ticket.settle(&mut unknown).unwrap();
    });
    bench.age();
    for rerun in [NO_RERUN, RERUN] {
        let journal = bench.open_for(PROJECT, rerun);
        assert!(runs(recall(&journal, RUN)).earlier().is_some());
    }
}

#[test]
fn a_refusal_after_a_pause_makes_a_try_of_its_own_under_the_same_id() {
    let bench = Bench::new();
    bench.sent_to_project(Mode::Async, |ticket| {
        ticket.rate_refused(&Error::new(Kind::Unreachable, "busy"));
        ticket.starting().unwrap();
    });
    assert_eq!(bench.files().len(), 2);
    let journal = bench.open_for(PROJECT, NO_RERUN);
    let ticket = runs(recall(&journal, RUN));
    assert_eq!(ticket.earlier().unwrap().run.execute_id(), OWN);
}

#[test]
fn a_damaged_start_is_looked_for_but_never_sent_again() {
    let bench = Bench::new();
    bench.sent_to_project(Mode::Async, |_| {});
    let mut text = fs::read(&bench.files()[0]).unwrap();
    text.extend_from_slice(b"{\"started\":");
    fs::write(&bench.files()[0], text).unwrap();
    bench.age();
    let journal = bench.open_for(PROJECT, RERUN);
    let earlier = runs(recall(&journal, RUN)).earlier().unwrap();
    // Nobody knows when, so that a server that does not know it is not trusted.
    assert_eq!((earlier.run.execute_id(), earlier.at), (OWN, None));
}

#[test]
fn a_start_that_is_old_by_the_clock_of_the_file_system_is_looked_for_but_never_sent_again() {
    let bench = Bench::new();
    bench.sent_to_project(Mode::Async, |_| {});
    for (age, is_recent) in [(86_000, true), (87_000, false)] {
        bench.age_by(age);
        let journal = bench.open_for(PROJECT, RERUN);
        let earlier = runs(recall(&journal, RUN)).earlier().unwrap();
        assert_eq!(
            (earlier.run.execute_id(), earlier.at.is_some()),
            (OWN, is_recent)
        );
    }
}

#[test]
fn that_a_server_keeps_ids_is_trusted_for_a_day_after_it_was_last_seen() {
    let bench = Bench::new();
    bench.sent_to_project(Mode::Async, |ticket| {
        ticket.confirmed(&known(OWN, Mode::Async));
    });
    for (age, is_known) in [(86_000, true), (87_000, false)] {
        bench.age_by(age);
        assert_eq!(bench.open_for(PROJECT, RERUN).knows_kept_ids(), is_known);
    }
    let journal = bench.open_for(PROJECT, RERUN);
    runs(recall(&journal, NAMED)).confirmed(&known(OWN, Mode::Async));
    assert!(journal.knows_kept_ids());
}

#[test]
fn a_server_that_gives_a_run_another_id_is_not_relied_on_to_keep_ours() {
    let bench = Bench::new();
    let own = known(OWN, Mode::Async);
    bench.sent_to_project(Mode::Async, |ticket| ticket.confirmed(&own));
    let journal = bench.open_for(PROJECT, RERUN);
    let ticket = runs(recall(&journal, NAMED));
    ticket.started(&own);
    ticket.starting().unwrap();
    assert!(journal.knows_kept_ids());
    ticket.started(&known("9", Mode::Async));
    assert!(!journal.knows_kept_ids());
}

#[test]
fn a_question_that_was_answered_is_polled_again() {
    let bench = Bench::new();
    let mut asked = response(interrupted("9/1"), "9");
    asked.execute_id = "9".to_owned();
    bench.settled(RUN, asked);
    answers(recall(&bench.open(), RUN));
    // A refused answer leaves it open.
    bench.settled(RESUME, response(error(Kind::Refused), "9"));
    answers(recall(&bench.open(), RUN));
    bench.settled(RESUME, response(Outcome::Success, "9"));
    let journal = bench.open();
    let (watch, ticket) = watches(recall(&journal, RUN));
    assert_eq!(watch.execute_id(), "9");
    ticket.settle(&mut response(Outcome::Success, "9")).unwrap();
    drop(ticket);
    assert_eq!(answers(recall(&bench.open(), RUN)).kind(), None);
}

#[test]
fn what_was_sent_to_another_service_is_not_looked_for() {
    let bench = Bench::new();
    bench.sent_to_project(Mode::Async, |_| {});
    let told = answers(recall(&bench.open(), RUN));
    assert_eq!((told.kind(), &*told.execute_id), (Some(Kind::Unknown), OWN));
}
