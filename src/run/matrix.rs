//! The fault matrix in the scripted world: every session cut at every byte, read in pieces of every
//! kind, with each event dropped, doubled or swapped; each with every history that it may have. What
//! must come of it is said by `support::oracle`, which shares nothing with the program.

use std::cell::{Cell, RefCell};

use super::tests::{Notes, Pieces, failure};
use super::*;
use crate::cli::Options;
use crate::coze::call::Purpose;
use crate::http::{Cause, Reach};
use crate::language::Language;
use crate::service::ServiceName;
use crate::support::oracle::{self, Story};
use crate::support::session::{History, Session, sessions, told};
use crate::support::tally::Tally;
use crate::time::scripted::ScriptedClock;

/// As it is read: each piece on its own; then the body ends well, or breaks off.
struct Serving {
    pieces: Vec<Vec<u8>>,
    clean: bool,
}

/// A server that streams one session, once, and then only answers polls.
struct World<'s> {
    session: &'s Session,
    serving: &'s Serving,
    history: History,
    posts: Cell<u32>,
    polls: Cell<u32>,
    /// The id that the start carried.
    own_id: RefCell<String>,
}

impl Http for World<'_> {
    fn call(&self, call: &Call<'_>, _: Limits) -> Result<HttpResponse, Failure> {
        let session = self.session;
        if call.body().is_some() {
            assert_eq!(call.path, session.path());
            self.posts.set(self.posts.get() + 1);
            if let Purpose::Start {
                run_id: Some(id), ..
            } = call.purpose
            {
                *self.own_id.borrow_mut() = id.to_owned();
            }
            let mut pieces: Vec<_> = self.serving.pieces.iter().cloned().map(Ok).collect();
            if !self.serving.clean {
                pieces.push(Err(failure(Reach::MaybeSent, Cause::Cut)));
            }
            return Ok(response(session, 200, "text/event-stream", pieces));
        }
        assert_eq!(call.path, session.history_path("7"));
        self.polls.set(self.polls.get() + 1);
        let (status, body) = session.history(self.history);
        let pieces = vec![Ok(body.into_bytes())];
        Ok(response(session, status, "application/json", pieces))
    }
}

fn response(
    session: &Session,
    status: u16,
    content_type: &str,
    pieces: Vec<Result<Vec<u8>, Failure>>,
) -> HttpResponse {
    let (name, logid) = session.log_header();
    HttpResponse {
        status,
        content_type: content_type.to_owned(),
        logid: Some(logid.to_owned()),
        has_x_log_id: name == "X-Log-Id",
        retry_after: None,
        is_framed: true,
        body: Box::new(Pieces(pieces.into())),
    }
}

impl Tally {
    /// One serving of the session, with every history; with one if it turns out that nobody polls.
    fn serve(&mut self, session: &Session, fault: &str, serving: &Serving) {
        let served = serving.pieces.concat();
        let story = oracle::read_of(session, &served, serving.clean);
        for history in History::ALL {
            let polls = self.polls;
            if let Err(wrong) = self.case(session, serving, &story, history) {
                let end = if serving.clean { "ended" } else { "broken off" };
                let name = session.name;
                let fault = format!("{name}: {fault}, {end}, run {history:?}: {wrong}");
                self.faults.push(fault);
            }
            if self.polls == polls {
                break;
            }
        }
    }

    /// Beyond what the oracle reads.
    fn mix(&mut self, session: &Session, mixture: &[usize], serving: &Serving) {
        if let Err(wrong) = self.run(session, serving, History::Forbidden) {
            let name = session.name;
            self.faults
                .push(format!("{name}: events {mixture:?}: {wrong}"));
        }
    }

    fn case(
        &mut self,
        session: &Session,
        serving: &Serving,
        story: &Story,
        history: History,
    ) -> Result<(), String> {
        let (response, polls, own_id) = self.run(session, serving, history)?;
        let mut expected = oracle::expect(session, story, history);
        if expected.execute_id.is_empty() {
            expected.execute_id = own_id;
        }
        let seen = oracle::Expected {
            exit_code: response.exit_code(),
            execute_id: response.execute_id.clone(),
            output: response.output.plain().into_owned(),
            polled: polls > 0,
            asks: response.interrupt.is_some(),
        };
        ensure(seen == expected, || format!("{seen:?} for {expected:?}"))?;
        if seen.polled {
            return Ok(());
        }
        let messages = response.messages.iter();
        let others: String = messages.map(|said| said.content.plain()).collect();
        let (lost, due) = (response.lost_events, story.lost_events);
        ensure(others == story.others, || format!("messages {others:?}"))?;
        ensure(lost == due, || format!("{lost} events lost for {due}"))
    }

    /// One run of the program, and the promises that nothing excuses from. How often it polled, and
    /// the id that it gave the run.
    fn run(
        &mut self,
        session: &Session,
        serving: &Serving,
        history: History,
    ) -> Result<(Response, u32, String), String> {
        let world = World {
            session,
            serving,
            history,
            posts: Cell::default(),
            polls: Cell::default(),
            own_id: RefCell::default(),
        };
        let response = answer_of(&world);
        let (posts, polls) = (world.posts.get(), world.polls.get());
        let kind = response
            .kind()
            .map_or("success", |kind| kind.label(Language::English));
        self.count(kind);
        self.posts += u64::from(posts);
        self.polls += u64::from(polls);
        let output = response.output.plain();
        ensure(posts == 1, || format!("{posts} POSTs"))?;
        let is_result = oracle::is_result(session, &output);
        ensure(kind != "success" || is_result, || {
            format!("Success with {output:?}")
        })?;
        drop(output);
        Ok((response, polls, world.own_id.take()))
    }
}

fn ensure(holds: bool, complaint: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(complaint()) }
}

fn answer_of(world: &World<'_>) -> Response {
    let (clock, notes) = <(ScriptedClock, Notes)>::default();
    let service = told(world.session.service).and_then(ServiceName::parse);
    let shared = Shared::new(Found::new(service), Vec::new());
    let runner = Runner {
        http: world,
        clock: &clock,
        rules: Rules {
            // Room for ten polls.
            timeout: Some(Duration::from_secs(100)),
            idle_timeout: None,
            poll_interval: Duration::from_secs(10),
            retries: 2,
            no_wait: false,
            batch: false,
        },
        shared: &shared,
    };
    let options = Options {
        service,
        ..Options::default()
    };
    let request = Request::parse(&world.session.request("7"), &options);
    runner.answer(&request, &request.task, &notes)
}

/// Every session by itself, two at a time.
fn each_session(case: fn(&mut Tally, &Session)) -> Tally {
    let sessions = sessions();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut tally = Tally::default();
        while let Some(session) = sessions.get(next.fetch_add(1, Ordering::Relaxed)) {
            case(&mut tally, session);
        }
        tally
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut tally = work();
        tally.add(other.join().unwrap());
        tally
    })
}

fn serve_both_ends(tally: &mut Tally, session: &Session, fault: &str, pieces: &[&[u8]]) {
    for clean in [true, false] {
        // An empty piece would be an end.
        let pieces = pieces.iter().filter(|piece| !piece.is_empty());
        let pieces = pieces.map(|piece| piece.to_vec()).collect();
        tally.serve(session, fault, &Serving { pieces, clean });
    }
}

#[test]
fn a_session_without_a_fault_ends_as_it_was_recorded() {
    for session in sessions() {
        let story = oracle::read_of(&session, &session.stream(), true);
        let expected = oracle::expect(&session, &story, History::Succeeded);
        assert_eq!(expected.exit_code, session.exit_code, "{}", session.name);
        assert!(
            expected.exit_code != 0 || expected.output == session.text,
            "{}",
            session.name
        );
        assert_eq!(expected.polled, session.polls, "{}", session.name);
        assert_eq!(expected.execute_id, session.execute_id, "{}", session.name);
    }
}

#[test]
fn no_cut_at_any_byte_starts_a_run_twice_or_calls_half_a_text_whole() {
    each_session(|tally, session| {
        let stream = session.stream();
        for cut in 0..=stream.len() {
            serve_both_ends(tally, session, &format!("cut at {cut}"), &[&stream[..cut]]);
        }
    })
    .finish("scripted, cut");
}

#[test]
fn the_pieces_that_a_stream_comes_in_make_no_difference() {
    each_session(|tally, session| {
        let stream = session.stream();
        let bytes: Vec<_> = stream.chunks(1).collect();
        serve_both_ends(tally, session, "byte by byte", &bytes);
        let line_ends = stream
            .iter()
            .enumerate()
            .filter(|(_, byte)| b"\r\n".contains(byte));
        for (place, _) in line_ends {
            for cut in place.saturating_sub(1)..=(place + 2).min(stream.len()) {
                let (left, right) = stream.split_at(cut);
                serve_both_ends(tally, session, &format!("in two at {cut}"), &[left, right]);
            }
        }
    })
    .finish("scripted, in pieces");
}

#[test]
fn an_event_that_is_dropped_doubled_or_swapped_is_noticed() {
    each_session(|tally, session| {
        for (mishap, stream) in session.mishaps() {
            serve_both_ends(tally, session, &mishap, &[&stream]);
            let bytes: Vec<_> = stream.chunks(1).collect();
            serve_both_ends(tally, session, &format!("{mishap}, byte by byte"), &bytes);
        }
    })
    .finish("scripted, mishaps");
}

/// Beyond what the oracle reads: any events of a session, any number of times, in any order.
#[test]
fn no_mixture_of_events_calls_half_a_text_whole() {
    each_session(|tally, session| {
        let events = &session.events;
        if events.len() > 4 {
            return;
        }
        let mut mixtures = vec![vec![]];
        for _ in 0..5 {
            mixtures = with_one_more(&mixtures, events.len());
            for mixture in &mixtures {
                let mixed: Vec<_> = mixture.iter().map(|&place| events[place].clone()).collect();
                let serving = Serving {
                    pieces: vec![session.render(&mixed)],
                    clean: true,
                };
                tally.mix(session, mixture, &serving);
            }
        }
    })
    .finish("scripted, mixtures");
}

fn with_one_more(mixtures: &[Vec<usize>], kinds: usize) -> Vec<Vec<usize>> {
    let longer = |mixture: &Vec<usize>, place| [mixture.as_slice(), &[place]].concat();
    let all = mixtures.iter();
    all.flat_map(|mixture| (0..kinds).map(move |place| longer(mixture, place)))
        .collect()
}
