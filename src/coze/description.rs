//! What a workflow takes, as Coze describes it, and whether given parameters are that. Where nobody
//! can tell, they pass: Coze looks at them again, and its refusal costs nothing.
//! <https://docs.coze.cn/developer_guides/get_workflow_info>.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::coze::code::{self, Meaning};
use crate::coze::envelope::Envelope;
use crate::coze::fields::{self, Entries, Json, Raw};
use crate::error::{Hint, nearest};

/// Types in types are followed this far; below, anything passes.
const DEPTH: usize = 8;

/// Coze's word for a type, what its values are, and what they begin with. First those that a value
/// is called by.
const TYPES: [(&str, &str, &str); 7] = [
    ("integer", "an integer", "-0123456789"),
    ("number", "a number", "-0123456789"),
    ("boolean", "true or false", "tf"),
    ("object", "an object", "{"),
    ("array", "an array", "["),
    ("string", "a string", "\""),
    ("time", "a string", "\""),
];

/// Types of which a value is a file's text, or its URL.
const FILES: [&str; 13] = [
    "file", "image", "audio", "video", "voice", "doc", "ppt", "excel", "txt", "code", "zip", "svg",
    "default",
];

/// What a workflow is, each part as Coze gives it; by default one of which nothing is told.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Workflow {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Box<RawValue>>,
    /// What it takes; nothing where the server does not tell.
    #[serde(skip)]
    pub(crate) parameters: Option<Vec<Parameter>>,
}

#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) takes: Type,
    pub(crate) is_required: bool,
    /// Empty when there is none.
    pub(crate) default: String,
    /// Empty when there is none.
    pub(crate) description: String,
}

#[derive(Debug)]
pub(crate) struct Type {
    word: String,
    /// Of an array, when that is known.
    items: Option<Box<Type>>,
    /// Of an object; one without any may hold anything.
    properties: Vec<Parameter>,
}

/// Understands an answer as every service may give it. The question starts nothing, so that a code of
/// which nobody knows whether a run was started is a refusal here.
pub(crate) fn read(envelope: &Envelope<'_>, status: u16) -> Result<Workflow, Meaning> {
    let code = envelope.code();
    match Workflow::read(envelope.data) {
        Some(description) if code.is_none() => Ok(description),
        _ => Err(match code::meaning(code, status) {
            Meaning::Unclear if code.is_some() && status < 500 => Meaning::Refused,
            meaning => meaning,
        }),
    }
}

impl Workflow {
    /// One that is told by the JSON Schemas of what it takes and gives.
    pub(crate) fn of_schemas(input: Json<'_>, output: Raw<'_>) -> Self {
        let inner = |key| member(Some(input), key);
        Self {
            input: Some(fields::one_line(input)),
            output: output.map(fields::one_line),
            parameters: parameters(inner("properties"), inner("required"), DEPTH),
            ..Self::default()
        }
    }

    fn read(data: Raw<'_>) -> Option<Self> {
        let detail = member(data, "workflow_detail")?;
        let one_line = |raw: Raw<'_>| raw.map(fields::one_line);
        let input = member(data, "input");
        Some(Self {
            name: one_line(member(Some(detail), "workflow_name")),
            description: one_line(member(Some(detail), "description")),
            input: one_line(input),
            output: one_line(member(data, "output")),
            parameters: parameters(member(input, "parameters"), None, DEPTH),
        })
    }

    /// Its name and what is said of it, as plain text.
    pub(crate) fn title(&self) -> [String; 2] {
        [&self.name, &self.description].map(|raw| plain(raw.as_deref().map(Into::into)))
    }

    /// Whether it is a chatflow, which another call runs.
    pub(crate) fn is_chatflow(&self) -> bool {
        let parameters = self.parameters.as_deref().unwrap_or_default();
        let takes = |name: &str| parameters.iter().any(|one| one.name == name);
        takes("USER_INPUT") && takes("CONVERSATION_NAME")
    }
}

/// What an object has under a key.
fn member<'a>(object: Raw<'a>, key: &str) -> Raw<'a> {
    Entries::parse(object?.0)?.value(key)
}

/// A text or a number as it is, anything else as JSON; empty when it is absent.
fn plain(raw: Raw<'_>) -> String {
    fields::unwrapped(raw.map_or("", |Json(json)| json)).into_owned()
}

/// `required`: the list of those that are, which JSON Schema has beside them. Coze says it of each.
fn parameters(declared: Raw<'_>, required: Raw<'_>, depth: usize) -> Option<Vec<Parameter>> {
    let entries = fields::entries(declared?.0)?;
    let required = required.and_then(|Json(list)| fields::items(list));
    let required = required.unwrap_or_default();
    let parameter = |(name, raw): (String, &RawValue)| {
        let inner = |key| member(Some(raw.into()), key);
        let is_this = |one: &&RawValue| fields::unwrapped(one.get()) == name;
        Parameter {
            is_required: required.iter().any(is_this) || fields::flag(inner("required")),
            name,
            takes: Type::read(Some(raw.into()), depth),
            default: plain(inner("default_value").or(inner("default"))),
            description: plain(inner("description")),
        }
    };
    Some(entries.into_iter().map(parameter).collect())
}

impl Type {
    fn read(declared: Raw<'_>, depth: usize) -> Self {
        // What is deeper is of no type that is known.
        let inner = |key| member(declared, key).filter(|_| depth > 0);
        // JSON Schema's way to say that a value may be `null`, which passes everywhere.
        let choices = inner("anyOf").and_then(|Json(list)| fields::items(list));
        if let Some(&[one, null]) = choices.as_deref()
            && plain(member(Some(null.into()), "type")) == "null"
        {
            return Self::read(Some(one.into()), depth - 1);
        }
        Self {
            word: plain(inner("type")),
            items: inner("items").map(|items| Box::new(Self::read(Some(items), depth - 1))),
            properties: inner("properties")
                .and_then(|declared| parameters(Some(declared), inner("required"), depth - 1))
                .unwrap_or_default(),
        }
    }

    /// Of the object that it is, or of those in the array.
    pub(crate) fn properties(&self) -> &[Parameter] {
        let items = self.items.as_ref();
        items.map_or(&self.properties, |items| items.properties())
    }

    /// What is wrong with a value, each as a clause. `null` is an empty value of every type.
    fn faults(&self, json: &str, path: &str) -> Vec<String> {
        let known = TYPES.iter().find(|(word, ..)| *word == self.word);
        let (noun, starts) = match known {
            Some((_, noun, starts)) => (*noun, *starts),
            None if FILES.contains(&&*self.word) => {
                (r#"a string (the text {"file_id":"…"}, or a URL)"#, "\"")
            }
            None => return Vec::new(),
        };
        let is_fraction = self.word == "integer" && noun_of(json) == "a number";
        let fits = !is_fraction && starts.as_bytes().contains(&json.as_bytes()[0]);
        match &self.items {
            _ if json == "null" => Vec::new(),
            _ if !fits => vec![format!("{path:?} must be {noun}, not {}", noun_of(json))],
            // The first item that is wrong: the others may be wrong alike.
            Some(takes) if self.word == "array" => {
                let items = fields::items(json).unwrap_or_default();
                let items = items.iter().enumerate();
                let mut faults =
                    items.map(|(n, item)| takes.faults(item.get(), &format!("{path}[{n}]")));
                let first = faults.find(|faults| !faults.is_empty());
                first.unwrap_or_default()
            }
            _ if self.properties.is_empty() => Vec::new(),
            _ => faults(&self.properties, json, &format!("{path}.")),
        }
    }
}

/// By Coze's words, and what an array holds.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.items {
            None if self.word.is_empty() => f.write_str("any"),
            None => f.write_str(&self.word),
            Some(items) => write!(f, "{}<{items}>", self.word),
        }
    }
}

/// What is wrong with the parameters of a run, or with what an object of them holds, each as a clause;
/// nothing when they may be right. `within`: what goes before a name.
pub(crate) fn faults(declared: &[Parameter], json: &str, within: &str) -> Vec<String> {
    let Some(given) = Entries::parse(json) else {
        return vec!["they are a text that holds no JSON object".to_owned()];
    };
    let mut faults = Vec::new();
    let is_missing = |one: &&Parameter| one.is_required && !given.has(&one.name);
    for Parameter { name, takes, .. } in declared.iter().filter(is_missing) {
        let path = format!("{within}{name}");
        faults.push(format!("{path:?} ({takes}) is required and missing"));
    }
    let names: Vec<_> = declared.iter().map(|one| one.name.as_str()).collect();
    for (name, value) in given.iter() {
        let path = format!("{within}{name}");
        match declared.iter().find(|one| one.name == name) {
            Some(parameter) => faults.append(&mut parameter.takes.faults(value.get(), &path)),
            None => faults.push(match nearest(name, &names) {
                Some(near) => format!("{path:?} is unknown, the nearest is {near:?}"),
                None => format!("{path:?} is unknown"),
            }),
        }
    }
    faults
}

/// 3.0 is an integer as well: it is the same number as 3.
fn noun_of(json: &str) -> &'static str {
    let number = serde_json::from_str::<f64>(json);
    let is_whole = number.is_ok_and(|number| number.fract() == 0.0);
    let mut types = TYPES.iter().skip(usize::from(!is_whole));
    let found = types.find(|(.., starts)| starts.as_bytes().contains(&json.as_bytes()[0]));
    found.map_or("null", |(_, noun, _)| noun)
}

/// What a workflow takes, in one sentence.
pub(crate) fn signature(parameters: &[Parameter]) -> Hint {
    if parameters.is_empty() {
        return Hint::new("the workflow takes no parameters", "该工作流没有参数");
    }
    let mut all = Vec::new();
    for one in parameters {
        let required = if one.is_required { ", required" } else { "" };
        all.push(format!("{} ({}{required})", one.name, one.takes));
    }
    let all = all.join(", ");
    Hint::new(
        format!("the workflow takes {all}"),
        format!("该工作流的参数：{all}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTED: &str = include_str!("../../tests/wire/doc_workflow_info.json");

    const TYPES: &str = r#"{
        "days":{"type":"integer","required":true,"default_value":3},
        "rate":{"type":"number"},
        "deep":{"type":"boolean"},
        "text":{"type":"string","description":"说明","default_value":"x"},
        "image":{"type":"image"},
        "user":{"type":"object","properties":{"name":{"type":"string","required":true},"age":{"type":"integer"}}},
        "free":{"type":"object"},
        "tags":{"type":"array","items":{"type":"string"}},
        "files":{"type":"array","items":{"type":"file"}},
        "rows":{"type":"array","items":{"type":"object","properties":{"id":{"type":"integer","required":true}}}},
        "list":{"type":"array"},
        "new":{"type":"tensor"}
    }"#;

    fn types() -> Vec<Parameter> {
        parameters(Some(Json(TYPES)), None, DEPTH).unwrap()
    }

    #[track_caller]
    fn found(given: &str, expected: &[&str]) {
        assert_eq!(faults(&types(), given, ""), expected, "{given}");
    }

    fn described(body: &str, status: u16) -> Result<Workflow, Meaning> {
        read(&Envelope::parse(body).unwrap_or_default(), status)
    }

    #[test]
    fn the_documented_answer_is_kept_as_it_is() {
        let description = described(DOCUMENTED, 200).unwrap();
        assert_eq!(description.title(), ["workflow_image", "统计图片数量"]);
        assert!(description.is_chatflow());
        let json = serde_json::to_string(&description).unwrap();
        assert!(!json.contains('\n'));
        let (kept, whole): (serde_json::Value, serde_json::Value) = (
            serde_json::from_str(&json).unwrap(),
            serde_json::from_str(DOCUMENTED).unwrap(),
        );
        for key in ["input", "output"] {
            assert_eq!(kept[key], whole["data"][key]);
        }
        assert_eq!(kept.as_object().unwrap().len(), 4);
    }

    #[test]
    fn what_is_no_description_is_refused_or_may_pass_when_asked_again() {
        for (body, status, meaning) in [
            (r#"{"code":4200,"msg":"none"}"#, 200, Meaning::Refused),
            (r#"{"code":5000}"#, 200, Meaning::Refused),
            (r#"{"code":5000}"#, 500, Meaning::Unclear),
            (r#"{"code":4020}"#, 200, Meaning::RateLimited),
            ("", 429, Meaning::RateLimited),
            ("<html>", 404, Meaning::Refused),
            ("<html>", 504, Meaning::Unclear),
            (r#"{"code":0}"#, 200, Meaning::Unclear),
            (r#"{"code":0,"data":{}}"#, 200, Meaning::Unclear),
            (&DOCUMENTED[..DOCUMENTED.len() - 3], 200, Meaning::Unclear),
        ] {
            assert_eq!(described(body, status).unwrap_err(), meaning, "{body}");
        }
    }

    #[test]
    fn a_description_without_inputs_tells_of_no_parameters() {
        for (input, takes_none) in [
            ("null", false),
            ("{}", false),
            (r#"{"parameters":{}}"#, true),
        ] {
            let body = format!(r#"{{"data":{{"workflow_detail":{{}},"input":{input}}}}}"#);
            let description = described(&body, 200).unwrap();
            assert_eq!(description.parameters.is_some(), takes_none, "{input}");
        }
    }

    #[test]
    fn parameters_that_fit_pass_and_so_does_null() {
        found(r#"{"days":3}"#, &[]);
        found(
            r#"{"days":-3.0,"rate":1e3,"deep":false,"text":"","image":"https://x/y.png","user":{"name":"n","age":null},"free":{"any":[1]},"tags":["a",null],"files":["{\"file_id\":\"7\"}"],"rows":[{"id":1}],"list":[1,"a"],"new":{}}"#,
            &[],
        );
        found(
            r#"{"days":null,"rate":null,"text":null,"user":null,"tags":null}"#,
            &[],
        );
    }

    #[test]
    fn every_fault_is_a_clause() {
        found("{}", &[r#""days" (integer) is required and missing"#]);
        found(
            r#"{"Days":1,"colour":2}"#,
            &[
                r#""days" (integer) is required and missing"#,
                r#""Days" is unknown, the nearest is "days""#,
                r#""colour" is unknown"#,
            ],
        );
        found(
            r#"{"days":"3","rate":"1","deep":1,"text":7,"image":{"file_id":"7"},"user":"{}","tags":"a","list":{}}"#,
            &[
                r#""days" must be an integer, not a string"#,
                r#""rate" must be a number, not a string"#,
                r#""deep" must be true or false, not an integer"#,
                r#""text" must be a string, not an integer"#,
                r#""image" must be a string (the text {"file_id":"…"}, or a URL), not an object"#,
                r#""user" must be an object, not a string"#,
                r#""tags" must be an array, not a string"#,
                r#""list" must be an array, not an object"#,
            ],
        );
        found(
            r#"{"days":3.5,"text":true,"rate":[]}"#,
            &[
                r#""days" must be an integer, not a number"#,
                r#""text" must be a string, not true or false"#,
                r#""rate" must be a number, not an array"#,
            ],
        );
    }

    #[test]
    fn what_is_inside_objects_and_arrays_is_compared_too() {
        found(
            r#"{"days":1,"user":{"nam":"n","age":"1"},"tags":["a",1,2],"files":[{"file_id":"7"}],"rows":[{"id":1},{"id":"2"},{}]}"#,
            &[
                r#""user.name" (string) is required and missing"#,
                r#""user.nam" is unknown, the nearest is "name""#,
                r#""user.age" must be an integer, not a string"#,
                r#""tags[1]" must be a string, not an integer"#,
                r#""files[0]" must be a string (the text {"file_id":"…"}, or a URL), not an object"#,
                r#""rows[1].id" must be an integer, not a string"#,
            ],
        );
    }

    #[test]
    fn a_text_that_is_no_object_is_a_fault() {
        for text in ["", "[]", "7", "{"] {
            found(text, &["they are a text that holds no JSON object"]);
        }
    }

    #[test]
    fn a_description_of_any_depth_is_read_so_far_only() {
        let deep = |open: &str, inner: &str, close: &str| {
            format!("{}{inner}{}", open.repeat(5000), close.repeat(5000))
        };
        let declared = deep(r#"{"a":{"type":"object","properties":"#, "{}", "}}");
        let parameters = parameters(Some(Json(&declared)), None, DEPTH).unwrap();
        assert_eq!(
            faults(&parameters, &deep(r#"{"a":"#, "{}", "}"), "").len(),
            0
        );
    }

    #[test]
    fn the_signature_names_every_parameter_in_both_languages() {
        let declared = types();
        let english = String::from(signature(&declared[..2]));
        assert_eq!(
            english,
            "the workflow takes days (integer, required), rate (number)"
        );
        let none = String::from(signature(&[]));
        assert_eq!(none, "the workflow takes no parameters");
        let words: Vec<_> = declared.iter().map(|one| one.takes.to_string()).collect();
        assert!(
            words.contains(&"array<object>".to_owned()) && words.contains(&"tensor".to_owned())
        );
    }
}
