//! The oracle of the fault matrix itself: stories that were worked out by hand, a few for each rule
//! of the contract. What a rule says is written here once more as the answer to one story.

#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;

use support::oracle::{self, Ended, Expected, Story};
use support::session::{History, Service, Session, sessions};

const DONE: &str = r#"{"debug_url":"https://w/?execute_id=9"}"#;

/// `id|name|data`, one a line; an id of `-` is none.
fn stream(events: &str) -> String {
    let event = |line: &str| {
        let mut parts = line.trim().splitn(3, '|');
        let mut part = || parts.next().unwrap();
        let (id, name, data) = (part(), part(), part());
        let id = Some(id).filter(|&id| id != "-");
        let id = id.map_or(String::new(), |id| format!("id: {id}\n"));
        format!("{id}event: {name}\ndata: {data}\n\n")
    };
    events.trim().lines().map(event).collect()
}

fn read(events: &str) -> Story {
    oracle::read(stream(events).as_bytes(), true)
}

/// A piece of the End node's; `seq` is written as it is in JSON.
fn end(content: &str, seq: &str, finish: bool) -> String {
    format!(
        r#"{{"content":"{content}","node_seq_id":{seq},"node_is_finish":{finish},"node_type":"End"}}"#
    )
}

fn end_pieces(pieces: &[(&str, &str, bool)]) -> Story {
    let pieces = pieces.iter().map(|&(content, seq, finish)| {
        let piece = end(content, seq, finish);
        format!("-|Message|{piece}\n")
    });
    read(&(pieces.collect::<String>() + "-|Done|" + DONE))
}

fn session(service: Service, text: &'static str, keeps: &'static str) -> Session {
    Session {
        name: "a story",
        events: Vec::new(),
        newline: "\n",
        execute_id: "9",
        text,
        keeps,
        exit_code: 0,
        polls: false,
        resumes: false,
        service,
    }
}

fn on_cloud(events: &str, history: History) -> Expected {
    let session = session(Service::Cloud, "of the history", "");
    oracle::expect(&session, &read(events), history)
}

fn on_studio(events: &str, keeps: &'static str, history: History) -> Expected {
    let session = session(Service::Studio, "", keeps);
    oracle::expect(&session, &read(events), history)
}

/// What a run on Coze Studio that succeeded is said to have brought.
fn studio_output(events: &str, keeps: &'static str) -> String {
    let expected = on_studio(events, keeps, History::Succeeded);
    assert_eq!((expected.exit_code, expected.polled), (0, true));
    expected.output
}

#[test]
fn the_end_node_s_own_count_proves_its_text() {
    assert!(end_pieces(&[("a", "0", false), ("b", "\"1\"", true)]).is_whole);
    assert!(!end_pieces(&[("a", "0", false), ("b", "1", false)]).is_whole);
    // Without Done it proves the text, but not that the run is over.
    let broken = read(&format!("0|Message|{}", end("a", "0", true)));
    assert!(broken.is_whole);
    assert_eq!(broken.ended, None);
}

#[test]
fn contiguous_ids_up_to_done_prove_the_text() {
    let piece = |id, content| format!("{id}|Message|{{\"content\":\"{content}\"}}\n");
    let whole = piece("0", "a") + "1|PING|{}\n" + &piece("2", "b");
    assert!(read(&format!("{whole}3|Done|{{}}")).is_whole);
    assert!(!read(&whole).is_whole);
    assert!(!read(&format!("{whole}4|Done|{{}}")).is_whole);
    assert!(!read(&format!("{whole}-|Done|{{}}")).is_whole);
    assert!(!read(&format!("{}2|Done|{{}}", piece("1", "a"))).is_whole);
}

#[test]
fn the_end_node_s_numbers_veto_what_the_ids_say() {
    let by_ids = |first: &str, second: &str| {
        read(&format!(
            "0|Message|{first}\n1|Message|{second}\n2|Done|{{}}"
        ))
    };
    let is_whole = |first: (&str, bool), second: (&str, bool)| {
        by_ids(&end("a", first.0, first.1), &end("b", second.0, second.1)).is_whole
    };
    assert!(is_whole(("0", false), ("1", false)));
    // From 1, a hole, a repetition, a step back, a piece after finish.
    assert!(!is_whole(("1", false), ("2", true)));
    assert!(!is_whole(("0", false), ("2", true)));
    assert!(!is_whole(("0", false), ("0", true)));
    assert!(!is_whole(("1", false), ("0", true)));
    assert!(!is_whole(("0", true), ("1", true)));
    // One that can't be understood: of the End node, or of nobody knows whom.
    let good = end("a", "0", false);
    assert!(!by_ids(&good, r#"{"content":7,"node_type":"End"}"#).is_whole);
    assert!(!by_ids(&good, "{\"content\":\"b").is_whole);
    assert!(by_ids(&good, r#"{"content":7,"node_type":"Message"}"#).is_whole);
    // The text is everybody's, and this is a part of it.
    assert!(
        !by_ids(
            "{\"content\":\"a\",\"node_id\":\"1\"}",
            r#"{"content":7,"node_id":"1"}"#
        )
        .is_whole
    );
}

#[test]
fn a_piece_without_its_number_is_neither_veto_nor_proof() {
    let pieces = [("a", "0", false), ("b", "null", false), ("c", "1", true)];
    assert!(!end_pieces(&pieces).is_whole);
    let by_ids = |third: &str| {
        let [first, second] = [end("a", "0", false), end("b", "null", false)];
        let third = end("c", third, true);
        let story =
            format!("0|Message|{first}\n1|Message|{second}\n2|Message|{third}\n3|Done|{{}}");
        read(&story).is_whole
    };
    assert!(by_ids("1"));
    assert!(!by_ids("2"));
}

#[test]
fn nothing_is_dropped_and_nothing_reordered() {
    let piece = end("ab", "0", true);
    let doubled = format!("0|Message|{piece}\n0|Message|{piece}\n1|Done|{DONE}");
    let story = read(&doubled);
    assert_eq!((story.text.as_str(), story.is_whole), ("abab", false));
    let expected = on_cloud(&doubled, History::Succeeded);
    assert_eq!((expected.exit_code, expected.polled), (0, true));
    assert_eq!(expected.output, "of the history");
    let [first, second] = [end("a", "0", false), end("b", "1", true)];
    let story = read(&format!(
        "1|Message|{second}\n0|Message|{first}\n2|Done|{DONE}"
    ));
    assert_eq!((story.text.as_str(), story.is_whole), ("ba", false));
    // An Output node's, doubled: the End node's own count proves its text all the same.
    let said = r#"{"content":"out","node_type":"Message"}"#;
    let piece = end("ab", "0", true);
    let events = format!("0|Message|{said}\n0|Message|{said}\n1|Message|{piece}\n2|Done|{DONE}");
    let story = read(&events);
    assert_eq!((story.others.as_str(), story.is_whole), ("outout", true));
    assert_eq!(story.lost_events, 0);
    assert!(!on_cloud(&events, History::Failed).polled);
}

#[test]
fn lost_events_are_the_ids_that_were_jumped_over_and_what_cannot_be_understood() {
    let lost = |ids: &[&str]| {
        let events = ids.iter().map(|id| format!("{id}|PING|{{}}\n"));
        read(&events.collect::<String>()).lost_events
    };
    assert_eq!(lost(&["0", "1", "2"]), 0);
    assert_eq!(lost(&["2", "3", "6"]), 4);
    // Late and doubled ones count for nothing: neither more, nor less.
    assert_eq!(lost(&["0", "2", "1", "3"]), 1);
    assert_eq!(lost(&["0", "1", "1", "2"]), 0);
    assert_eq!(lost(&["0", "-", "1"]), 0);
    let malformed = "0|Message|{\"content\":7}\n1|Message|[]\n2|Interrupt|{}\n3|Error|text";
    assert_eq!(read(malformed).lost_events, 3);
}

#[test]
fn absent_and_null_content_is_empty_text() {
    let story = read(
        r#"0|Message|{"content":null,"node_type":"End","node_seq_id":"0"}
        1|Message|{"node_type":"End","node_seq_id":"1","node_is_finish":true}"#,
    );
    assert_eq!((story.text.as_str(), story.end_pieces.len()), ("", 2));
    assert_eq!((story.lost_events, story.is_whole), (0, true));
}

#[test]
fn the_first_name_that_is_there_and_not_empty_marks_the_end_node() {
    let speaks = |names: &str| {
        let story = read(&format!("0|Message|{{\"content\":\"x\"{names}}}"));
        !story.end_pieces.is_empty()
    };
    assert!(speaks(
        r#","node_type":"End","node_id":"1","node_title":"x""#
    ));
    assert!(!speaks(
        r#","node_type":"Message","node_id":"900001","node_title":"End""#
    ));
    assert!(speaks(
        r#","node_type":"","node_id":"900001","node_title":"x""#
    ));
    assert!(!speaks(
        r#","node_type":"","node_id":"1","node_title":"End""#
    ));
    assert!(speaks(r#","node_type":"","node_id":"","node_title":"End""#));
    assert!(!speaks(r#","node_title":"x""#));
    assert!(speaks(r#","node_type":"","node_id":"","node_title":"""#));
    assert!(speaks(""));
}

#[test]
fn an_id_of_zeros_names_nothing() {
    let id = |data: &str| read(&format!("0|PING|{data}\n1|Done|{DONE}")).execute_id;
    assert_eq!(id(r#"{"execute_id":"0"}"#).unwrap(), "9");
    assert_eq!(
        id(r#"{"execute_id":"000","debug_url":"?execute_id=8"}"#).unwrap(),
        "8"
    );
    assert_eq!(id(r#"{"debug_url":"?execute_id=0&x=1"}"#).unwrap(), "9");
    assert_eq!(id(r#"{"execute_id":"70"}"#).unwrap(), "70");
    let zeros = br#"data: {"debug_url":"?execute_id=0&space"#;
    assert_eq!(oracle::read(zeros, false).execute_id, None);
}

#[test]
fn an_unfinished_event_names_an_id_that_cannot_go_on() {
    let id = |data: &str| oracle::read(format!("data: {data}").as_bytes(), false).execute_id;
    assert_eq!(id(r#"{"debug_url":"?execute_id=12"#), None);
    assert_eq!(id(r#"{"debug_url":"?execute_id=12&"#).unwrap(), "12");
    assert_eq!(id(r#"{"debug_url":"?execute_id=12\u00"#).unwrap(), "12");
    assert_eq!(
        id(r#"{"debug_url":"?execute_id=12","x":{"y":"{\\"#).unwrap(),
        "12"
    );
    assert_eq!(
        id(r#"{"debug_url":"?execute_id=12","x":{"y":"{\\\"z"#).unwrap(),
        "12"
    );
}

#[test]
fn an_error_without_an_object_is_a_broken_stream() {
    let piece = end("a", "0", false);
    let named = format!("0|PING|{{\"execute_id\":\"9\"}}\n1|Message|{piece}\n-|error|it broke");
    assert_eq!(read(&named).ended, None);
    let seen = |events: &str, history| {
        let expected = on_cloud(events, history);
        (expected.exit_code, expected.polled)
    };
    assert_eq!(seen(&named, History::Succeeded), (0, true));
    assert_eq!(seen(&named, History::Forbidden), (6, true));
    let nameless = format!("0|Message|{piece}\n-|error|it broke");
    assert_eq!(seen(&nameless, History::Succeeded), (8, false));
}

#[test]
fn a_done_that_cannot_be_understood_proves_nothing() {
    let piece = end("a", "0", true);
    let done =
        |data: &str| format!("0|PING|{{\"execute_id\":\"9\"}}\n1|Message|{piece}\n2|Done|{data}");
    assert_eq!(read(&done("{}")).ended, Some(Ended::Done));
    assert_eq!(read(&done("")).ended, Some(Ended::Done));
    assert_eq!(read(&done("{\"debug")).ended, None);
    assert!(on_cloud(&done("{\"debug"), History::Running).polled);
    assert_eq!(on_cloud(&done("{\"debug"), History::Running).exit_code, 6);
}

#[test]
fn only_an_error_that_comes_first_and_names_no_run_is_a_refusal() {
    let ended = |events: &str| read(events).ended.unwrap();
    let refusal = "0|Error|{\"error_code\":4000}";
    assert_eq!(ended(refusal), Ended::Refused);
    assert_eq!(ended(r#"-|Error|{"error_code":"4101"}"#), Ended::Refused);
    assert_eq!(ended("1|Error|{\"error_code\":4000}"), Ended::Failed);
    assert_eq!(ended(r#"0|Error|{"error_code":4013}"#), Ended::Failed);
    assert_eq!(ended(&format!("0|PING|{{}}\n{refusal}")), Ended::Failed);
    assert_eq!(
        ended(r#"0|Error|{"error_code":4000,"debug_url":"?execute_id=9"}"#),
        Ended::Failed
    );
    assert_eq!(
        ended(r#"0|Error|{"error_code":4000,"debug_url":"?execute_id=0"}"#),
        Ended::Refused
    );
}

#[test]
fn what_follows_a_refusal_may_name_a_run() {
    let refusal = "0|Error|{\"error_code\":4000}\n";
    let after = |events: &str| {
        let story = read(&format!("{refusal}{events}"));
        (story.ended.unwrap(), story.execute_id)
    };
    let failed = (Ended::Failed, Some("9".to_owned()));
    assert_eq!(after(&format!("1|Done|{DONE}")), failed);
    assert_eq!(after(&format!("{refusal}1|Done|{DONE}")), failed);
    assert_eq!(after("1|Done|{}"), (Ended::Refused, None));
    assert_eq!(after(refusal), (Ended::Refused, None));
    // After the Done nothing counts.
    assert_eq!(
        after(&format!("1|Done|{{}}\n2|Done|{DONE}")),
        (Ended::Refused, None)
    );
    let cut = |rest: &str| {
        let story = oracle::read((stream(refusal) + rest).as_bytes(), false);
        (story.ended.unwrap(), story.execute_id)
    };
    assert_eq!(cut(""), (Ended::Refused, None));
    assert_eq!(cut("id: 1\nevent: Do"), (Ended::Failed, None));
    assert_eq!(
        cut("event: Done\ndata: {\"debug_url\":\"?execute_id=9&"),
        failed
    );
}

#[test]
fn studio_s_text_stands_when_its_history_holds_the_same() {
    let said = format!("0|Message|{}\n1|Done|{DONE}", end("hi <", "0", true));
    assert_eq!(studio_output(&said, r#"{"output":"hi \u003c"}"#), "hi <");
    let map = format!(
        "0|Message|{}\n1|Done|{DONE}",
        end(r#"{\"a\":1}"#, "0", true)
    );
    assert_eq!(studio_output(&map, r#"{"a":1}"#), r#"{"a":1}"#);
    // The name of the one text is `output`, and no other.
    assert_eq!(studio_output(&said, r#"{"o":"hi <"}"#), r#"{"o":"hi <"}"#);
}

#[test]
fn studio_s_history_speaks_in_the_form_of_the_stream() {
    let child = end("child", "0", true);
    let done = format!("0|Message|{child}\n1|Done|{DONE}");
    let text = r#"{"output":"parent"}"#;
    // Of text, after Done; of a map, when one piece was the map.
    assert_eq!(studio_output(&done, text), "parent");
    let piece = end(r#"{\"output\":\"parent\"}"#, "1", true);
    let mapped = format!("0|Message|{child}\n1|Message|{piece}\n2|Done|{DONE}");
    assert_eq!(studio_output(&mapped, text), text);
    // Of text before Done, when the text begins with what was said, a byte at least.
    let broken = |said: &str| format!("0|PING|{DONE}\n1|Message|{}", end(said, "0", false));
    assert_eq!(studio_output(&broken("par"), text), "parent");
    assert_eq!(studio_output(&broken("ent"), text), text);
    assert_eq!(studio_output(&broken(""), text), text);
    assert_eq!(studio_output(&format!("0|PING|{DONE}"), text), text);
    // Two outputs are no text.
    let two = r#"{"output":"a","more":"b"}"#;
    assert_eq!(studio_output(&done, two), two);
}

#[test]
fn studio_s_empty_map_is_an_empty_text_unless_the_stream_said_it() {
    let silent = format!("0|Done|{DONE}");
    assert_eq!(studio_output(&silent, "{}"), "");
    assert_eq!(studio_output(&silent, r#"{"output":""}"#), "");
    assert_eq!(studio_output(&format!("0|PING|{DONE}"), "{}"), "{}");
    assert_eq!(
        studio_output(&format!("0|PING|{DONE}"), r#"{"output":""}"#),
        r#"{"output":""}"#
    );
    let said = format!("0|Message|{}\n1|Done|{DONE}", end("{}", "0", true));
    assert_eq!(studio_output(&said, "{}"), "{}");
}

#[test]
fn studio_s_done_is_unknown_until_its_history_says_how_the_run_ended() {
    let whole = format!("0|Message|{}\n1|Done|{DONE}", end("hi", "0", true));
    let broken = format!("0|PING|{DONE}\n1|Message|{}", end("hi", "0", true));
    for (history, done, lost) in [
        (History::Succeeded, 0, 0),
        (History::Failed, 1, 1),
        (History::Running, 8, 6),
        (History::Waiting, 7, 7),
        (History::Forbidden, 8, 6),
        (History::Missing, 8, 6),
    ] {
        for (events, exit_code) in [(&whole, done), (&broken, lost)] {
            let expected = on_studio(events, r#"{"output":"hi"}"#, history);
            assert_eq!(expected.exit_code, exit_code, "{history:?}");
            assert_eq!((expected.polled, &*expected.output), (true, "hi"));
        }
        // The cloud's stream is its own proof.
        assert!(!on_cloud(&whole, history).polled);
    }
    // No id, no look.
    let nameless = format!("0|Message|{}\n1|Done|{{}}", end("hi", "0", true));
    let expected = on_studio(&nameless, r#"{"output":"hi"}"#, History::Succeeded);
    assert_eq!((expected.exit_code, expected.polled), (8, false));
}

#[test]
fn what_a_waiting_run_asks_is_known_to_the_cloud_s_history_and_to_who_answered() {
    let broken = format!("0|PING|{DONE}");
    let asks = |service, resumes| {
        let session = Session {
            resumes,
            ..session(service, "", "{}")
        };
        let expected = oracle::expect(&session, &read(&broken), History::Waiting);
        assert_eq!((expected.exit_code, expected.polled), (7, true));
        assert_eq!(expected.asks, expected.words().1.is_none());
        expected.asks
    };
    assert!(asks(Service::Cloud, false));
    assert!(asks(Service::Cloud, true));
    assert!(!asks(Service::Studio, false));
    assert!(asks(Service::Studio, true));
}

#[test]
fn of_many_the_gravest_counts_and_none_that_says_not_started_when_some_were() {
    for (exit_codes, due) in [
        (&[0, 0][..], 0),
        (&[4], 4),
        (&[4, 4], 4),
        (&[0, 4], 1),
        (&[1, 4], 1),
        (&[6, 4], 6),
        (&[0, 7, 1], 7),
        (&[7, 6, 1], 6),
        (&[6, 8, 7], 8),
        (&[8, 4], 8),
    ] {
        assert_eq!(oracle::together(exit_codes), due, "{exit_codes:?}");
    }
}

#[test]
fn a_session_without_a_fault_ends_as_it_was_recorded() {
    for session in sessions() {
        let story = oracle::read_of(&session, &session.stream(), true);
        let expected = oracle::expect(&session, &story, History::Succeeded);
        let name = session.name;
        assert_eq!(expected.exit_code, session.exit_code, "{name}");
        assert_eq!(expected.polled, session.polls, "{name}");
        assert_eq!(expected.execute_id, session.execute_id, "{name}");
        if session.exit_code == 0 {
            assert_eq!(expected.output, session.text, "{name}");
        }
    }
}

#[test]
fn each_service_answers_in_its_own_dialect() {
    for session in sessions() {
        if session.service == Service::Site {
            continue;
        }
        let history = |history| -> Value {
            let (_, body) = session.history(history);
            serde_json::from_str(&body).unwrap()
        };
        let succeeded = history(History::Succeeded);
        let record = &succeeded["data"][0];
        assert_eq!(record["execute_status"], "Success");
        let waiting = &history(History::Waiting)["data"][0];
        match session.service {
            Service::Cloud => {
                assert_eq!(session.log_header().0, "X-Tt-Logid");
                assert_eq!(succeeded["code"], 0);
                assert_eq!(session.keeps, "");
                assert!(waiting["interrupt_data"]["event_id"].is_string());
            }
            Service::Studio => {
                assert_eq!(session.log_header().0, "X-Log-Id");
                assert!(succeeded.get("code").is_none());
                let execute_id = record["execute_id"].as_u64().unwrap();
                let due = session.execute_id.parse().unwrap_or(0);
                assert_eq!(execute_id, due, "{}", session.name);
                assert_eq!(record["output"], session.keeps);
                assert!(
                    serde_json::from_str::<Value>(session.keeps)
                        .unwrap()
                        .is_object()
                );
                assert_eq!(waiting["execute_status"], "<UNSET>");
                assert!(waiting.get("interrupt_data").is_none());
                assert_eq!(history(History::Missing)["code"], 777_777_775);
            }
            Service::Site => unreachable!("it keeps nothing of a stream"),
        }
    }
}
