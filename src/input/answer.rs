//! What the answer to an input node must hold, as far as the question says it. Coze would end the run
//! as failed by an answer that is no JSON object or lacks a required name, and takes no second one.
//! Questions: `required_parameters`, or on Coze Studio the form in `data`.

use serde_json::value::RawValue;

use super::object::quoted;
use crate::coze::event::Interrupt;
use crate::coze::fields::{self, Entries, unwrapped};
use crate::error::Error;

/// The interrupt of an input node.
const INPUT: i64 = 5;

pub(super) fn check(interrupt: &Interrupt, answer: &str) -> Result<(), Error> {
    if interrupt.r#type != INPUT {
        return Ok(());
    }
    let inputs = inputs(interrupt);
    let Some(given) = Entries::parse(answer) else {
        return Err(refusal("resume_data must be a JSON object", &inputs));
    };
    let lacking = required(&inputs).filter(|name| !given.has(name));
    let lacking: Vec<_> = lacking.map(quoted).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let sentence = format!("resume_data lacks {}", lacking.join(", "));
    Err(refusal(&sentence, &inputs))
}

/// Names what is asked for.
fn refusal(sentence: &str, inputs: &[Input]) -> Error {
    let asked: Vec<_> = inputs.iter().map(Input::describe).collect();
    let asks = match asked.as_slice() {
        [] => "waits for inputs".to_owned(),
        asked => format!("asks for {}", asked.join(", ")),
    };
    let message = format!("{sentence}: the run {asks}");
    let mut needed: Vec<_> = required(inputs).map(quoted).collect();
    if needed.is_empty() {
        needed.push(quoted("NAME"));
    }
    let example = format!("{{{}:…}}", needed.join(":…,"));
    Error::usage(message).hint(
        format!("an object such as {example}; with any other answer the run may fail"),
        format!("请给出这样的对象：{example}；其他回答可能使运行失败"),
    )
}

/// One of the values that an input node asks for.
pub(crate) struct Input {
    pub(crate) name: String,
    /// Its type in Coze's word, if it is told.
    r#type: Option<String>,
    required: bool,
}

impl Input {
    /// One of a list has its name inside, one of a map before it.
    fn parse(name: Option<String>, json: &RawValue) -> Option<Self> {
        let entries = Entries::parse(json.get())?;
        let text = |key| entries.text(key).map(Into::into);
        Some(Self {
            name: name.or_else(|| text("name"))?,
            r#type: text("type"),
            required: fields::flag(entries.value("required")),
        })
    }

    /// Whether it takes a text, as far as the run says.
    pub(crate) fn is_text(&self) -> bool {
        let other = ["integer", "number", "boolean", "object", "array", "float"];
        let r#type = self.r#type.as_deref().map(str::to_ascii_lowercase);
        !r#type.is_some_and(|r#type| other.iter().any(|word| r#type.starts_with(word)))
    }

    /// `name (type, optional)`.
    pub(crate) fn describe(&self) -> String {
        let optional = (!self.required).then_some("optional");
        let asides: Vec<_> = self.r#type.as_deref().into_iter().chain(optional).collect();
        if asides.is_empty() {
            return self.name.clone();
        }
        format!("{} ({})", self.name, asides.join(", "))
    }
}

fn required(inputs: &[Input]) -> impl Iterator<Item = &str> {
    let required = inputs.iter().filter(|input| input.required);
    required.map(|input| input.name.as_str())
}

/// What the run asks for; nothing where it does not say so.
pub(crate) fn inputs(interrupt: &Interrupt) -> Vec<Input> {
    let required = interrupt.required_parameters.as_deref();
    let named = required.and_then(|required| of_collection(required.get()));
    // The form is `{"content":"[…]"}`, or the text of it.
    let in_form = || {
        let form = unwrapped(interrupt.data.as_deref()?.get());
        of_collection(Entries::parse(&form)?.value("content")?.0)
    };
    named.or_else(in_form).unwrap_or_default()
}

/// `{NAME: {"type","required"}}` or `[{"name","type","required"}]`, or the text of one of them;
/// nothing when it names nothing.
fn of_collection(json: &str) -> Option<Vec<Input>> {
    let json = unwrapped(json);
    let members = fields::members(&json)?.into_iter();
    let inputs: Vec<_> = members
        .filter_map(|(name, one)| Input::parse(name, one))
        .collect();
    (!inputs.is_empty()).then_some(inputs)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::language::Language;

    /// The official sample of a background run's question.
    const CLOUD: &str = r#"{"img":{"required":true,"type":"image"}}"#;
    /// As Coze Studio's handlers send it, and as the cloud does.
    const STUDIO_FORM: &str = r#""{\"content\":\"[{\\\"name\\\": \\\"name\\\", \\\"type\\\": \\\"string\\\", \\\"required\\\": true}, {\\\"name\\\": \\\"age\\\", \\\"type\\\": \\\"integer\\\", \\\"required\\\": false}]\",\"content_type\":\"form_schema\"}""#;
    const CLOUD_FORM: &str = r#""{\"content_type\":\"text\",\"content\":\"[{\\\"type\\\":\\\"string\\\",\\\"name\\\":\\\"img\\\",\\\"required\\\":true,\\\"assistType\\\":2}]\"}""#;

    fn interrupt(r#type: i64, data: Option<&str>, required: Option<&str>) -> Interrupt {
        let raw = |json: &str| RawValue::from_string(json.to_owned()).unwrap();
        Interrupt {
            event_id: "9/1".to_owned(),
            r#type,
            data: data.map(raw),
            required_parameters: required.map(raw),
            node_title: None,
            mode: None,
        }
    }

    #[track_caller]
    fn refused(interrupt: &Interrupt, answer: &str, message: &str) -> Error {
        let error = check(interrupt, answer).unwrap_err();
        assert_eq!(error.message, message);
        error
    }

    #[test]
    fn only_an_input_node_asks_for_names() {
        for r#type in [1, 2, 6, 7] {
            assert!(check(&interrupt(r#type, Some(STUDIO_FORM), Some(CLOUD)), "杭州").is_ok());
        }
    }

    #[test]
    fn an_answer_with_all_that_is_required_is_taken() {
        let cloud = interrupt(5, Some(CLOUD_FORM), Some(CLOUD));
        let studio = interrupt(5, Some(STUDIO_FORM), None);
        for (interrupt, answer) in [
            (&cloud, r#"{"img":"https://x"}"#),
            (&cloud, r#" {"img":null,"more":1} "#),
            (&studio, r#"{"name":"Ann"}"#),
            (&studio, r#"{"age":3,"name":""}"#),
        ] {
            assert!(check(interrupt, answer).is_ok(), "{answer}");
        }
    }

    #[test]
    fn what_is_asked_for_is_named_in_a_refusal() {
        let cloud = interrupt(5, Some(CLOUD_FORM), Some(CLOUD));
        let error = refused(
            &cloud,
            "{}",
            r#"resume_data lacks "img": the run asks for img (image)"#,
        );
        let hint = |language| error.clone().translate(language).hint.clone();
        assert_eq!(
            hint(Language::English).unwrap().text(),
            r#"an object such as {"img":…}; with any other answer the run may fail"#
        );
        assert_eq!(
            hint(Language::Chinese).unwrap().text(),
            r#"请给出这样的对象：{"img":…}；其他回答可能使运行失败"#
        );
        let studio = interrupt(5, Some(STUDIO_FORM), None);
        for answer in ["Ann", "", "[]", "7", r#"{"name":"Ann""#] {
            refused(
                &studio,
                answer,
                "resume_data must be a JSON object: the run asks for name (string), age (integer, optional)",
            );
        }
        refused(
            &studio,
            r#"{"age":3,"Name":"Ann"}"#,
            r#"resume_data lacks "name": the run asks for name (string), age (integer, optional)"#,
        );
    }

    #[test]
    fn a_list_is_understood_as_well_as_a_map_and_the_text_of_either() {
        for required in [
            r#"[{"name":"a","type":"string","required":true},{"name":"b","required":"true"}]"#,
            r#"{"a":{"type":"string","required":true},"b":{"required":true}}"#,
            r#""[{\"name\":\"a\",\"type\":\"string\",\"required\":true},{\"name\":\"b\",\"required\":true}]""#,
        ] {
            refused(
                &interrupt(5, None, Some(required)),
                "{}",
                r#"resume_data lacks "a", "b": the run asks for a (string), b"#,
            );
        }
    }

    #[test]
    fn the_form_is_read_where_required_parameters_name_nothing() {
        for required in [None, Some("{}"), Some("[]"), Some("\"\""), Some("7")] {
            refused(
                &interrupt(5, Some(CLOUD_FORM), required),
                "{}",
                r#"resume_data lacks "img": the run asks for img (string)"#,
            );
        }
    }

    #[test]
    fn a_question_that_is_not_understood_asks_for_an_object_and_no_name() {
        for data in [
            None,
            Some("\"\""),
            Some(r#""{\"content\":\"?\"}""#),
            Some("[]"),
        ] {
            let unclear = interrupt(5, data, None);
            assert!(check(&unclear, "{}").is_ok());
            let error = refused(
                &unclear,
                "x",
                "resume_data must be a JSON object: the run waits for inputs",
            );
            assert_eq!(
                error.hint.clone().unwrap().text(),
                r#"an object such as {"NAME":…}; with any other answer the run may fail"#
            );
        }
    }
}
