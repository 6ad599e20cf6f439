//! The answer to an interrupt: whose question it answers, how the run is resumed, and the body that
//! is sent. By hand with `event_id` and `interrupt_type`, or with the `interrupt` of a response.
//! Body: <https://docs.coze.cn/developer_guides/workflow_stream_resume>.

use super::answer;
use super::object::{Object, quoted};
use super::request::{RUN_KEYS, Resume, refuse_bot_with_app, refuse_keys};
use crate::cli::Options;
use crate::coze::call::Mode;
use crate::coze::event::Interrupt;
use crate::coze::fields::{self, Entries, Json};
use crate::error::Error;

pub(super) fn resume(
    entries: &Entries<'_>,
    workflow_id: &str,
    options: &Options,
) -> Result<Resume, Error> {
    refuse_keys(entries, &RUN_KEYS[1..3], "resume_data")?;
    refuse_bot_with_app(entries)?;
    let interrupt = question(entries)?;
    let mode = interrupt.mode.unwrap_or(Mode::Stream);
    if options.no_wait && mode == Mode::Stream {
        let message = "--no-wait can't be used on a resume that is streamed";
        return Err(Error::usage(message));
    }
    let resume_data = resume_data(entries)?;
    // This is where the answer is to be put, in the command that a person is shown. A question
    // can be answered once only.
    if resume_data == "…" || resume_data.contains(r#""…""#) {
        return Err(Error::usage(r#"resume_data is still "…""#)
            .hint("put the answer in the place of …", "请把 … 换成回答"));
    }
    answer::check(&interrupt, &resume_data)?;
    let mut body = Object::about(Some(workflow_id));
    body.push("event_id", &quoted(&interrupt.event_id));
    body.push("interrupt_type", &interrupt.r#type.to_string());
    body.push("resume_data", &quoted(&resume_data));
    for key in &RUN_KEYS[3..] {
        entries.forward(key, &mut body)?;
    }
    Ok(Resume {
        event_id: interrupt.event_id,
        mode,
        body: body.finish(),
    })
}

/// The `interrupt` of a response that is fed back; without one it is empty.
pub(super) fn interrupt<'a>(entries: &Entries<'a>) -> Result<Entries<'a>, Error> {
    let Json(json) = entries.value("interrupt").unwrap_or(Json("{}"));
    Entries::parse(json)
        .filter(|interrupt| interrupt.repeated().is_none())
        .ok_or_else(|| Error::usage("interrupt must be the object of a response"))
}

/// How the run was started, as its `interrupt` says.
pub(super) fn mode(interrupt: &Entries<'_>) -> Result<Option<Mode>, Error> {
    let Json(mode) = interrupt.value("mode").unwrap_or(Json("null"));
    serde_json::from_str(mode).map_err(|_| {
        Error::usage(r#"interrupt.mode must be "stream" or "async""#).hint(
            "it says how the run was started; leave it as the response has it",
            "它说明运行是如何开始的；请保持响应中的原样",
        )
    })
}

/// The question that is answered.
pub(super) fn question(entries: &Entries<'_>) -> Result<Interrupt, Error> {
    let interrupt = interrupt(entries)?;
    let mode = mode(&interrupt)?;
    let by_hand = entries.has("event_id");
    let (question, r#type) = if by_hand {
        (entries, "interrupt_type")
    } else {
        (&interrupt, "type")
    };
    let event_id = question.string("event_id")?.filter(|id| !id.is_empty());
    let r#type = fields::number(question.value(r#type));
    let (Some(event_id), Some(r#type)) = (event_id, r#type) else {
        let error = Error::usage("resume_data needs the interrupt that it answers");
        return Err(error.hint(
            "give event_id and interrupt_type, or the whole response with its interrupt",
            "请给出 event_id 和 interrupt_type，或带有 interrupt 的整个响应",
        ));
    };
    // What it asks is known from a response only, which may have been fed back over several lines, and
    // is printed on one.
    let asks = Some(interrupt).filter(|_| !by_hand).unwrap_or_default();
    Ok(Interrupt {
        event_id,
        r#type,
        data: asks.value("data").map(fields::one_line),
        required_parameters: asks.value("required_parameters").map(fields::one_line),
        node_title: asks.string("node_title").ok().flatten(),
        mode,
    })
}

/// A string, or an object that is sent as its text.
fn resume_data(entries: &Entries<'_>) -> Result<String, Error> {
    match entries.value("resume_data") {
        Some(Json(json)) if json.starts_with('{') => Ok(json.to_owned()),
        _ => entries
            .string("resume_data")?
            .ok_or_else(|| Error::usage("resume_data must be a string or an object")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::{Request, Task};
    use super::*;

    fn parse(text: &str) -> Result<Resume, Error> {
        let task = Request::parse(text, &Options::default()).task?;
        match task {
            Task::Resume(resume) => Ok(resume),
            other => panic!("{other:?}"),
        }
    }

    fn question_of(text: &str) -> Interrupt {
        let request = Request::parse(text, &Options::default());
        request.facts.interrupt.unwrap()
    }

    #[track_caller]
    fn refused(text: &str, sentence: &str) {
        assert_eq!(parse(text).unwrap_err().to_string(), sentence);
    }

    /// An answer by hand, with more keys.
    fn by_hand(more: &str) -> String {
        format!(
            r#"{{"workflow_id":"7","event_id":"9/1","interrupt_type":2,"resume_data":"x"{more}}}"#
        )
    }

    /// An answer beside a response's interrupt.
    fn fed_back(interrupt: &str) -> String {
        format!(
            r#"{{"workflow_id":"7","execute_id":"9","interrupt":{interrupt},"resume_data":"x"}}"#
        )
    }

    #[test]
    fn what_a_run_needs_is_forwarded_as_with_a_run() {
        let more = r#","ext":{"b":1e2,  "a":"\u4f60"},"connector_id":1024,"app_id":5,"workflow_version":"v1","usage":{}"#;
        assert_eq!(
            parse(&by_hand(more)).unwrap().body,
            concat!(
                r#"{"workflow_id":"7","event_id":"9/1","interrupt_type":2,"resume_data":"x","#,
                r#""ext":{"b":1e2,  "a":"\u4f60"},"connector_id":"1024","app_id":"5","workflow_version":"v1"}"#
            )
        );
        let bot = parse(&by_hand(r#","bot_id":"3","ext":null"#)).unwrap();
        assert!(bot.body.ends_with(r#""resume_data":"x","bot_id":"3"}"#));
    }

    #[test]
    fn what_is_wrong_in_a_run_is_wrong_here_too() {
        refused(
            &by_hand(r#","bot_id":"1","app_id":"2""#),
            "bot_id and app_id can't be given together (leave one of them out)",
        );
        refused(
            &by_hand(r#","ext":[]"#),
            r#"ext must be an object (such as {"user_id":"…"})"#,
        );
        refused(
            &by_hand(r#","workflow_version":3"#),
            r#"workflow_version must be a string, not a number (write it in quotes: "3")"#,
        );
        refused(
            &by_hand(r#","bot_id":1.5"#),
            "bot_id must be a string or an integer",
        );
        refused(
            r#"{"event_id":"9/1","interrupt_type":2,"resume_data":"x"}"#,
            "the request has no workflow_id (it is the number after workflow_id= in the address of the workflow's page)",
        );
    }

    #[test]
    fn what_only_a_run_has_is_refused() {
        for key in ["parameters", "is_async"] {
            refused(
                &by_hand(&format!(r#","{key}":null"#)),
                &format!(
                    "resume_data and {key} can't be given together \
                     (a run has no resume_data; a request that has it starts nothing)"
                ),
            );
        }
    }

    #[test]
    fn the_interrupt_is_kept_as_it_was_given() {
        let given = r#"{"event_id":"9/1","type":2,"data":"{ }","required_parameters":{"n": 1e2},"node_title":"问","mode":"async"}"#;
        let interrupt = question_of(&fed_back(given));
        assert_eq!((interrupt.event_id.as_str(), interrupt.r#type), ("9/1", 2));
        assert_eq!(interrupt.data.unwrap().get(), r#""{ }""#);
        let required = interrupt.required_parameters.unwrap();
        assert_eq!(required.get(), r#"{"n": 1e2}"#);
        assert_eq!(interrupt.node_title.as_deref(), Some("问"));

        let interrupt = question_of(&by_hand(""));
        assert_eq!((interrupt.event_id.as_str(), interrupt.r#type), ("9/1", 2));
        assert!(interrupt.data.is_none() && interrupt.required_parameters.is_none());
        assert!(interrupt.node_title.is_none());
    }

    #[test]
    fn an_interrupt_of_several_lines_comes_back_on_one() {
        let given = "{\"event_id\":\"9/1\",\"type\":2,\"required_parameters\":{\r\n  \"n\": 1\n}}";
        let required = question_of(&fed_back(given)).required_parameters;
        assert_eq!(required.unwrap().get(), "{    \"n\": 1 }");
    }

    #[test]
    fn a_mode_that_is_none_is_refused_whether_it_is_answered_or_watched() {
        let sentence = r#"interrupt.mode must be "stream" or "async" (it says how the run was started; leave it as the response has it)"#;
        for mode in ["\"Async\"", "\"\"", "1", "{}"] {
            let interrupt = format!(r#"{{"event_id":"9/1","type":2,"mode":{mode}}}"#);
            refused(&fed_back(&interrupt), sentence);
            let watch =
                format!(r#"{{"workflow_id":"7","execute_id":"9","interrupt":{interrupt}}}"#);
            refused(&watch, sentence);
        }
        let absent = parse(&fed_back(r#"{"event_id":"9/1","type":2,"mode":null}"#));
        assert_eq!(absent.unwrap().mode, Mode::Stream);
    }

    #[test]
    fn an_interrupt_that_is_none_is_refused() {
        for interrupt in ["7", "[]", "\"9/1\"", r#"{"type":2,"type":2}"#] {
            refused(
                &fed_back(interrupt),
                "interrupt must be the object of a response",
            );
        }
    }

    #[test]
    fn an_event_id_of_zeros_gives_no_run() {
        let zeros = |rest: &str| {
            format!(
                r#"{{"workflow_id":"7","event_id":"000/1","interrupt_type":2,"resume_data":"x"{rest}}}"#
            )
        };
        for (rest, run) in [
            ("", None),
            (r#","execute_id":"0""#, None),
            (r#","execute_id":"9""#, Some("9")),
        ] {
            let request = Request::parse(&zeros(rest), &Options::default());
            assert_eq!(request.facts.execute_id.as_deref(), run, "{rest}");
            assert!(matches!(request.task, Ok(Task::Resume(resume)) if resume.event_id == "000/1"));
        }
    }

    #[test]
    fn an_answer_is_a_string_or_an_object() {
        let answer = |json: &str| {
            format!(
                r#"{{"workflow_id":"7","event_id":"9/1","interrupt_type":2,"resume_data":{json}}}"#
            )
        };
        refused(&answer("null"), "resume_data must be a string or an object");
        refused(&answer("[1]"), "resume_data must be a string");
        refused(
            &answer("-7"),
            r#"resume_data must be a string, not a number (write it in quotes: "-7")"#,
        );
    }

    #[test]
    fn an_event_id_is_a_string() {
        refused(
            r#"{"workflow_id":"7","event_id":9,"interrupt_type":2,"resume_data":"x"}"#,
            r#"event_id must be a string, not a number (write it in quotes: "9")"#,
        );
    }

    #[test]
    fn not_to_wait_is_refused_of_a_resume_that_is_streamed() {
        let options = Options {
            no_wait: true,
            ..Options::default()
        };
        let error = Request::parse(&by_hand(""), &options).task.unwrap_err();
        assert_eq!(
            error.to_string(),
            "--no-wait can't be used on a resume that is streamed"
        );
        let background = fed_back(r#"{"event_id":"9/1","type":2,"mode":"async"}"#);
        assert!(Request::parse(&background, &options).task.is_ok());
    }

    #[test]
    fn an_answer_that_lacks_what_is_asked_for_is_refused() {
        let interrupt = r#"{"event_id":"9/1","type":5,"required_parameters":{"img":{"required":true,"type":"image"}},"mode":"stream"}"#;
        refused(
            &fed_back(interrupt),
            r#"resume_data must be a JSON object: the run asks for img (image) (an object such as {"img":…}; with any other answer the run may fail)"#,
        );
    }
}
