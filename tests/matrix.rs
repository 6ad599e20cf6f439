//! The fault matrix over real sockets: the real program against a server that cuts its answers by
//! FIN or RST at any byte, in any framing, or sends them byte by byte, or with an event dropped,
//! doubled or swapped. What must come of it is said by `support::oracle`. No case depends on speed.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use socket2::SockRef;

use support::oracle::{self, Expected};
use support::program::Program;
use support::session::{History, Service, Session, sessions, told};
use support::tally::Tally;
use support::wire::{Request, read_request};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Chunked,
    Length,
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// As the framing says.
    Whole,
    /// After so many bytes of the answer, head included.
    Fin(usize),
    Rst(usize),
}

/// One request to the program, and how it is answered.
struct Case<'s> {
    session: &'s Session,
    /// Where it can't be told from the rest.
    fault: String,
    /// What would be streamed; each piece is a write of its own, and a chunk.
    pieces: Vec<Vec<u8>>,
    framing: Framing,
    end: End,
    history: History,
}

const FRAMINGS: [Framing; 3] = [Framing::Chunked, Framing::Length, Framing::Close];

impl Case<'_> {
    fn head(&self) -> String {
        let framing = match self.framing {
            Framing::Chunked => "Transfer-Encoding: chunked".to_owned(),
            Framing::Length => format!("Content-Length: {}", self.pieces.concat().len()),
            Framing::Close => "Connection: close".to_owned(),
        };
        let (name, log_id) = self.session.log_header();
        let log_id = format!("{name}: {log_id}");
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{log_id}\r\n{framing}\r\n\r\n"
        )
    }

    /// The writes of the answer; of each, which part is payload.
    fn writes(&self) -> Vec<(Vec<u8>, Range<usize>)> {
        let mut writes = vec![(self.head().into_bytes(), 0..0)];
        writes.extend(self.pieces.iter().map(|piece| self.write(piece)));
        if self.framing == Framing::Chunked {
            writes.push((b"0\r\n\r\n".to_vec(), 0..0));
        }
        writes
    }

    fn write(&self, piece: &[u8]) -> (Vec<u8>, Range<usize>) {
        if self.framing != Framing::Chunked {
            return (piece.to_vec(), 0..piece.len());
        }
        let head = format!("{:x}\r\n", piece.len());
        let payload = head.len()..head.len() + piece.len();
        ([head.as_bytes(), piece, b"\r\n"].concat(), payload)
    }

    /// What of the payload gets through, and whether its end could be meant.
    fn served(&self) -> (Vec<u8>, bool) {
        let (End::Fin(mut left) | End::Rst(mut left)) = self.end else {
            return (self.pieces.concat(), true);
        };
        let mut served = Vec::new();
        for (bytes, payload) in self.writes() {
            let until = left.min(payload.end).max(payload.start);
            served.extend_from_slice(&bytes[payload.start..until]);
            left = left.saturating_sub(bytes.len());
        }
        let clean = match self.framing {
            // A reset reads as an end here, for ureq.
            Framing::Close => true,
            Framing::Length => served.len() == self.pieces.concat().len(),
            Framing::Chunked => false,
        };
        (served, clean)
    }

    /// Whether the program was told whose server it is.
    fn serves_head(&self) -> bool {
        match self.end {
            End::Whole => true,
            End::Fin(cut) | End::Rst(cut) => cut >= self.head().len(),
        }
    }

    fn expected(&self) -> Expected {
        let (served, clean) = self.served();
        let story = oracle::read_of(self.session, &served, clean);
        oracle::expect(self.session, &story, self.history)
    }

    fn name(&self) -> String {
        let Self {
            session,
            fault,
            framing,
            end,
            history,
            ..
        } = self;
        format!(
            "{}: {fault} {framing:?} {end:?}, run {history:?}",
            session.name
        )
    }
}

/// What was asked for, by case.
#[derive(Clone, Default)]
struct Asked {
    /// The id that the start carried.
    own_id: String,
    posts: u64,
    polls: u64,
    /// At another service's path.
    misses: u64,
}

/// Answers all cases; a request names its case in its `workflow_id`, or in a parameter.
struct Stage<'c> {
    cases: &'c [Case<'c>],
    asked: Mutex<HashMap<usize, Asked>>,
    faults: Mutex<Vec<String>>,
    patience: Patience,
}

/// How polls of a run that goes on are brought to an end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// After a few polls the history can't be had any more: given up after ten in a row.
    GivesUp,
    /// The deadline comes.
    Deadline,
}

impl Stage<'_> {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let (mut is_first, mut started) = (true, false);
        while let Some(request) = read_request(&mut stream)? {
            let starts = request.method == "POST";
            // A start has a connection of its own.
            if started || starts && !is_first {
                self.fault(format!("on a used connection: {}", request.target));
            }
            let goes_on = if starts {
                self.stream(&request, stream.get_mut())?
            } else {
                self.poll(&request, stream.get_mut())?
            };
            if !goes_on {
                break;
            }
            is_first = false;
            started |= starts;
        }
        Ok(())
    }

    /// False when the connection is over.
    fn stream(&self, request: &Request, stream: &mut TcpStream) -> io::Result<bool> {
        let body: Value = serde_json::from_slice(&request.body)?;
        let named = body["workflow_id"].as_str().or(body["case"].as_str());
        let number = named.unwrap_or_default();
        let number: usize = number.parse().map_err(io::Error::other)?;
        let case = &self.cases[number];
        {
            let mut asked = self.asked.lock().unwrap();
            let asked = asked.entry(number).or_default();
            asked.posts += 1;
            let own_id = request.header("x-run-id").map(str::to_owned);
            asked.own_id = own_id.unwrap_or_default();
        }
        if request.target != case.session.path() {
            self.fault(format!("{}: POST {}", case.name(), request.target));
        }
        let mut left = match case.end {
            End::Whole => usize::MAX,
            End::Fin(cut) | End::Rst(cut) => cut,
        };
        for (bytes, _) in case.writes() {
            stream.write_all(&bytes[..left.min(bytes.len())])?;
            left = left.saturating_sub(bytes.len());
        }
        match case.end {
            End::Whole => Ok(case.framing != Framing::Close),
            End::Fin(_) => {
                // Closed with anything unread, it would end in RST.
                stream.shutdown(Shutdown::Write)?;
                io::copy(stream, &mut io::sink()).map(|_| false)
            }
            End::Rst(_) => {
                SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
                Ok(false)
            }
        }
    }

    fn poll(&self, request: &Request, stream: &mut TcpStream) -> io::Result<bool> {
        let path: Vec<&str> = request.target.split(['/', '?', '&', '=']).collect();
        let (["", "v1", "workflows", number, "run_histories", _]
        | ["", "v1", "workflow", "get_run_history", _, number, _, _]) = path[..]
        else {
            self.fault(format!("GET {}", request.target));
            return Ok(false);
        };
        let case_number: usize = number.parse().map_err(io::Error::other)?;
        let case = &self.cases[case_number];
        let is_here = request.target == case.session.history_path(number);
        let asked = {
            let mut asked = self.asked.lock().unwrap();
            let asked = asked.entry(case_number).or_default();
            asked.polls += 1;
            asked.misses += u64::from(!is_here);
            asked.clone()
        };
        // Once, when no answer has told whose server it is.
        if !is_here && (case.serves_head() || asked.misses > 1) {
            self.fault(format!("{}: GET {}", case.name(), request.target));
        }
        let gives_up = self.patience == Patience::GivesUp
            && match case.history {
                History::Running => asked.polls > 4,
                // More than anybody needs: a program that goes on looking is found out, not waited for.
                History::Waiting => asked.polls > 20,
                _ => false,
            };
        let (status, body) = if !is_here {
            let (status, body) = case.session.no_history_there();
            (status, body.to_owned())
        } else if gives_up {
            (504, include_str!("wire/gateway_504.html").to_owned())
        } else {
            case.session.history(case.history)
        };
        let (name, log_id) = case.session.log_header();
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status} \r\n{name}: {log_id}\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        Ok(true)
    }

    fn fault(&self, fault: String) {
        self.faults.lock().unwrap().push(fault);
    }
}

/// Serves the cases while `ask` goes on.
fn serving<T>(stage: &Stage<'_>, ask: impl FnOnce(&str) -> T) -> T {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let over = &AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(move || {
            thread::scope(|guests| {
                for stream in listener.incoming() {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    // That a client goes in the middle is its own affair.
                    guests.spawn(move || stream.and_then(|stream| stage.serve(stream)));
                }
            });
        });
        let told = ask(&format!("http://{address}"));
        over.store(true, Ordering::Relaxed);
        // A last guest, so that the server looks up.
        TcpStream::connect(address).unwrap();
        told
    })
}

/// All cases by one program; its responses, by case.
fn ask_all(stage: &Stage<'_>, options: &[&str]) -> BTreeMap<usize, Value> {
    let requests = stage.cases.iter().enumerate().map(|(number, case)| {
        let mut request = case.session.request(&number.to_string());
        request.truncate(request.len() - 1);
        format!("{request},\"id\":{number}}}\n")
    });
    let requests: String = requests.collect();
    let ended = serving(stage, |url| {
        Program::at(url).args(options).arg("-q").run(requests)
    });
    assert_eq!(ended.stderr, "");
    let responses = ended.responses();
    let exit_codes = stage.cases.iter().map(|case| case.expected().exit_code);
    let together = oracle::together(&exit_codes.collect::<Vec<_>>());
    assert_eq!(ended.code, i32::from(together));
    assert_eq!(responses.len(), stage.cases.len());
    let number = |response: &Value| usize::try_from(response["id"].as_u64().unwrap()).unwrap();
    responses
        .into_iter()
        .map(|response| (number(&response), response))
        .collect()
}

fn stage<'c>(cases: &'c [Case<'c>], patience: Patience) -> Stage<'c> {
    Stage {
        cases,
        asked: Mutex::default(),
        faults: Mutex::default(),
        patience,
    }
}

/// Compares all responses.
#[track_caller]
fn judge(what: &str, stage: &Stage<'_>, responses: &BTreeMap<usize, Value>) {
    let asked = stage.asked.lock().unwrap();
    let mut tally = Tally::default();
    tally.faults.clone_from(&stage.faults.lock().unwrap());
    for (number, case) in stage.cases.iter().enumerate() {
        let asked = asked.get(&number).cloned().unwrap_or_default();
        let response = &responses[&number];
        let kind = response["error"]["kind"]
            .as_str()
            .or(response["status"].as_str());
        tally.count(&kind.unwrap_or_default().to_lowercase());
        tally.posts += asked.posts;
        tally.polls += asked.polls;
        let mut expected = case.expected();
        if expected.execute_id.is_empty() {
            expected.execute_id = asked.own_id;
        }
        let (status, kind) = expected.words();
        let seen = json!([
            asked.posts,
            asked.polls > 0,
            response["status"],
            response["error"]["kind"],
            response["execute_id"],
            response["output"],
            response["interrupt"].is_object(),
        ]);
        let due = json!([
            1,
            expected.polled,
            status,
            kind,
            expected.execute_id,
            expected.output,
            expected.asks,
        ]);
        if seen != due {
            let fault = format!("{}: {seen} for {due}", case.name());
            tally.faults.push(fault);
        }
    }
    tally.finish(what);
}

/// Every second byte by FIN, each in one of the framings; every tenth by RST, in all of them. (The
/// scripted world cuts at every byte.)
const FIN_STEP: usize = 6;
const RST_STEP: usize = 10;

fn cuts(session: &Session) -> Vec<Case<'_>> {
    let mut histories = History::ALL.into_iter().cycle();
    let mut history = || histories.next().unwrap();
    let mut cases = Vec::new();
    let case = |framing, history, end| Case {
        session,
        fault: "cut".to_owned(),
        pieces: session
            .events
            .iter()
            .map(|event| session.render(std::slice::from_ref(event)))
            .collect(),
        framing,
        end,
        history,
    };
    for (turn, framing) in FRAMINGS.into_iter().enumerate() {
        let whole = case(framing, history(), End::Whole);
        let length: usize = whole.writes().iter().map(|(bytes, _)| bytes.len()).sum();
        cases.push(whole);
        for cut in 0..length {
            if cut % FIN_STEP == turn {
                cases.push(case(framing, history(), End::Fin(cut)));
            }
            if cut % RST_STEP == 0 {
                cases.push(case(framing, history(), End::Rst(cut)));
            }
        }
    }
    cases
}

fn pieces(session: &Session) -> Vec<Case<'_>> {
    let mut framings = FRAMINGS.into_iter().cycle();
    let stream = session.stream();
    let case = |fault: String, pieces: Vec<&[u8]>, framing| Case {
        session,
        fault,
        // An empty chunk would be the last.
        pieces: pieces
            .iter()
            .filter(|piece| !piece.is_empty())
            .map(|piece| piece.to_vec())
            .collect(),
        framing,
        end: End::Whole,
        history: History::Succeeded,
    };
    let mut cases = Vec::from(FRAMINGS.map(|framing| {
        case(
            "byte by byte".to_owned(),
            stream.chunks(1).collect(),
            framing,
        )
    }));
    for (place, _) in stream
        .iter()
        .enumerate()
        .filter(|(_, byte)| b"\r\n".contains(byte))
    {
        for cut in place..=place + 1 {
            let (left, right) = stream.split_at(cut);
            cases.push(case(
                format!("in two at {cut}"),
                vec![left, right],
                framings.next().unwrap(),
            ));
        }
    }
    cases
}

fn mishaps(session: &Session) -> Vec<Case<'_>> {
    let mut framings = FRAMINGS.into_iter().cycle();
    let mut cases = Vec::new();
    for (fault, stream) in session.mishaps() {
        for history in History::ALL {
            let pieces = vec![stream.clone()];
            let framing = framings.next().unwrap();
            let fault = fault.clone();
            cases.push(Case {
                session,
                fault,
                pieces,
                framing,
                end: End::Whole,
                history,
            });
        }
    }
    cases
}

/// So many at a time, polls in quick succession, and deadlines that never come.
const HASTY: [&str; 3] = ["--jobs=8", "--poll-interval=0.002", "--timeout=0"];

/// The sessions of each service by a program of their own: which it is, is told or found out once.
#[track_caller]
fn all_hold(what: &str, cases_of: fn(&Session) -> Vec<Case<'_>>) {
    for service in [Service::Cloud, Service::Studio, Service::Site] {
        let sessions = sessions_of(service);
        let cases: Vec<_> = sessions.iter().flat_map(cases_of).collect();
        let stage = stage(&cases, Patience::GivesUp);
        let responses = ask_all(&stage, &[&HASTY[..], &option(service)].concat());
        judge(&format!("{what}, {service:?}"), &stage, &responses);
    }
}

fn option(service: Service) -> Vec<&'static str> {
    told(service).map_or(Vec::new(), |name| vec!["--service", name])
}

fn sessions_of(service: Service) -> Vec<Session> {
    let mut sessions = sessions();
    sessions.retain(|session| session.service == service);
    sessions
}

#[test]
fn a_stream_that_is_cut_is_one_post_and_never_half_a_success() {
    all_hold("cut", cuts);
}

#[test]
fn the_pieces_that_a_stream_comes_in_make_no_difference() {
    all_hold("in pieces", pieces);
}

#[test]
fn an_event_that_is_dropped_doubled_or_swapped_is_noticed() {
    all_hold("mishaps", mishaps);
}

/// Every other case ends by itself; these wait for their deadline, all of them side by side. It has
/// to leave room for nothing but the stream.
#[track_caller]
fn all_wait_for_the_deadline(service: Service) {
    let sessions = sessions_of(service);
    let all = |session| mishaps(session).into_iter().chain(cuts(session));
    let waits = |case: &Case<'_>| case.history == History::Running && case.expected().polled;
    let cases = sessions.iter().flat_map(all).filter(waits);
    let cases: Vec<_> = cases.step_by(4).take(64).collect();
    let stage = stage(&cases, Patience::Deadline);
    let responses = ask_all(&stage, &["--jobs=64", "--poll-interval=2", "--timeout=15"]);
    judge(
        &format!("until the deadline, {service:?}"),
        &stage,
        &responses,
    );
}

#[test]
fn a_run_of_the_cloud_that_goes_on_is_running_at_the_deadline() {
    all_wait_for_the_deadline(Service::Cloud);
}

#[test]
fn a_run_of_studio_that_goes_on_is_running_or_unknown_at_the_deadline() {
    all_wait_for_the_deadline(Service::Studio);
}

#[test]
fn the_exit_code_of_a_single_request_is_its_own() {
    let sessions = sessions();
    let all = |session| mishaps(session).into_iter().chain(cuts(session));
    // No program is started thousands of times.
    let cases: Vec<_> = sessions.iter().flat_map(all).step_by(61).collect();
    let stage = stage(&cases, Patience::GivesUp);
    let responses = serving(&stage, |url| {
        let answer = |(number, case): (usize, &Case<'_>)| {
            let request = case.session.request(&number.to_string());
            let program = Program::at(url).args(&HASTY);
            let ended = program.args(&option(case.session.service)).run(request);
            let exit_code = case.expected().exit_code;
            assert_eq!(ended.code, i32::from(exit_code), "{}", case.name());
            assert_eq!(ended.stderr.is_empty(), exit_code == 0, "{}", case.name());
            (number, ended.responses().remove(0))
        };
        cases.iter().enumerate().map(answer).collect()
    });
    judge("one by one", &stage, &responses);
}
