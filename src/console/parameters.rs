//! What `--check` found, for a person at a terminal: configuration and connection, or what a workflow
//! takes, one parameter a line. Only the text of it; `console` escapes and prints it.

use std::iter;

use super::printable;
use crate::coze::description::Parameter;
use crate::language::Language;
use crate::run::rehearse::Report;

/// The lines of one report, each after its break; none where nothing is known.
pub(super) fn lines(report: &Report<'_>, language: Language) -> String {
    let mut lines = String::new();
    let mut add = |line: &str| printable::add_line(&mut lines, line);
    let told = |word| language.pick(word, chinese(word));
    for one in report.config {
        let [field, value, source] = [one.field, &one.value, &one.source].map(told);
        add(&format!("{field} {value} ({source})"));
    }
    if let (Some(true), Some(time)) = (report.reachable, report.milliseconds) {
        add(&language.pick(
            format!("✓ the server answers ({time} ms); the token was not tried"),
            format!("✓ 服务器有应答（{time} 毫秒）；没有检验令牌"),
        ));
    }
    if let Some(workflow) = report.workflow
        && let Some(parameters) = &workflow.parameters
    {
        let [name, description] = workflow.title();
        // A deployed project has neither.
        let workflow_id = report.workflow_id.unwrap_or_default();
        if !(name.is_empty() && workflow_id.is_empty()) {
            add(&format!("{name} ({workflow_id})"));
        }
        add(&one_line(&description));
        let mut rows = Vec::new();
        add_rows(&mut rows, parameters, "  ", language);
        // In columns.
        let widest = |column: usize| rows.iter().map(|row: &Row| width(&row[column])).max();
        let widths = [0, 1, 2, 3, 4].map(|column| widest(column).unwrap_or_default());
        for row in &rows {
            let mut line = String::new();
            for (cell, most) in row.iter().zip(widths).filter(|(_, most)| *most > 0) {
                line.push_str(cell);
                line.extend(iter::repeat_n(' ', most + 2 - width(cell)));
            }
            add(line.trim_end_matches(' '));
        }
        if parameters.is_empty() {
            add(language.pick("  no parameters", "  没有参数"));
        }
    }
    for warning in &report.warnings {
        add(&format!("! {}", String::from(warning.clone())));
    }
    lines
}

/// Words of the configuration that are no names of places nor values of a person's.
const CHINESE: &str = "api_key 令牌, base_url 服务地址, service 服务种类, certificates 根证书, \
    timeout 总时限, idle_timeout 静默时限, connect_timeout 连接时限, poll_interval 查看间隔, \
    retries 重试次数, proxy 代理, set 已设置, found out from the server 由服务器的响应判断, \
    built in 内置, none 不限, default 默认";

/// The word in Chinese, or as it is.
fn chinese(word: &str) -> &str {
    let mut pairs = CHINESE.split(", ").filter_map(|pair| pair.rsplit_once(' '));
    let known = pairs.find(|(english, _)| *english == word);
    known.map_or(word, |(_, chinese)| chinese)
}

/// Name, type, whether it is required, default, description.
type Row = [String; 5];

fn add_rows(rows: &mut Vec<Row>, parameters: &[Parameter], indent: &str, language: Language) {
    for parameter in parameters {
        let [yes, no] = language.pick(["required", "optional"], ["必填", "选填"]);
        let required = if parameter.is_required { yes } else { no };
        let default = match one_line(&parameter.default) {
            none if none.is_empty() => none,
            default => format!("{} {default}", language.pick("default", "默认")),
        };
        rows.push([
            format!("{indent}{}", one_line(&parameter.name)),
            one_line(&parameter.takes.to_string()),
            required.to_owned(),
            default,
            one_line(&parameter.description),
        ]);
        let properties = parameter.takes.properties();
        add_rows(rows, properties, &format!("{indent}  "), language);
    }
}

/// On one line, cut to what a person reads: the widest cell of a column widens every row.
fn one_line(text: &str) -> String {
    printable::begin(&text.split_whitespace().collect::<Vec<_>>().join(" "), 500)
}

/// In columns: Chinese letters, and their punctuation, are two wide.
fn width(text: &str) -> usize {
    let columns = |char: char| 1 + usize::from(char >= '\u{2e80}');
    text.chars().map(columns).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coze::description;
    use crate::coze::envelope::Envelope;
    use crate::error::Hint;

    const BODY: &str = r#"{"data":{"workflow_detail":{"workflow_name":"天气","description":"a forecast"},"input":{"parameters":{
        "城市":{"type":"string","required":true,"description":"where,\n and nowhere else"},
        "days":{"type":"integer","default_value":3},
        "users":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string","required":true,"default_value":"x"}}}}}}}}"#;

    /// The lines about what this answer describes.
    fn lines_of(body: &str, warnings: Vec<Hint>, language: Language) -> Vec<String> {
        let envelope = Envelope::parse(body).unwrap();
        let workflow = description::read(&envelope, 200).unwrap();
        let mut report = Report::default();
        report.workflow_id = Some("7");
        report.warnings = warnings;
        report.workflow = Some(&workflow);
        let lines = lines(&report, language);
        lines.lines().skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn each_parameter_is_a_line_in_columns() {
        assert_eq!(
            lines_of(BODY, Vec::new(), Language::English),
            [
                "天气 (7)",
                "a forecast",
                "  城市    string         required             where, and nowhere else",
                "  days    integer        optional  default 3",
                "  users   array<object>  optional",
                "    name  string         required  default x",
            ]
        );
    }

    #[test]
    fn what_is_very_long_is_cut() {
        let long = "x".repeat(100_000);
        let body = format!(
            r#"{{"data":{{"workflow_detail":{{}},"input":{{"parameters":{{
            "a":{{"type":"string"}},"b":{{"type":"{long}","default_value":"{long}","description":"{long}"}}}}}}}}}}"#
        );
        let lines = lines_of(&body, Vec::new(), Language::English);
        assert!(lines.iter().all(|line| line.len() < 2000));
    }

    #[test]
    fn a_chinese_reader_reads_chinese() {
        let lines = lines_of(BODY, Vec::new(), Language::Chinese);
        assert_eq!(
            lines[2],
            "  城市    string         必填          where, and nowhere else"
        );
        assert_eq!(lines[3], "  days    integer        选填  默认 3");
    }

    #[test]
    fn what_takes_nothing_or_is_not_told_says_so() {
        let body = |input| format!(r#"{{"data":{{"workflow_detail":{{}},"input":{input}}}}}"#);
        let none = body(r#"{"parameters":{}}"#);
        assert_eq!(
            lines_of(&none, Vec::new(), Language::English),
            [" (7)", "  no parameters"]
        );
        let warning = vec![Hint::new("not told", "没有说明")];
        assert_eq!(
            lines_of(&body("null"), warning, Language::English),
            ["! not told"]
        );
    }
}
