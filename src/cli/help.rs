//! The help, in two languages and two lengths, from one text each. `--help` prints `help/*.txt` as it
//! is; `-h`, the names that `cli` knows, the man page (`help/man.awk`) and what shells complete
//! (`help/completions.awk`) are taken out of it.
//! Its form: headings in column 0; an entry is a term, then two spaces and words, which go on in
//! lines indented deeper; blank lines between blocks; four spaces before what is to be typed.

use crate::language::Language;

/// Of a terminal; the last column stays free.
const COLUMNS: usize = 79;

/// Everything, for `--help`.
pub(crate) fn long(language: Language) -> &'static str {
    language.pick(include_str!("help/en.txt"), include_str!("help/zh.txt"))
}

/// What fits a screen, for `-h` and for a person who gives no request.
pub(crate) fn short(language: Language) -> String {
    let text = long(language);
    // The title, how it is called, where requests come from, what they look like.
    let blocks: Vec<_> = text.split("\n\n").take(4).collect();
    let (title, usage) = (blocks[0], blocks[1..].join("\n"));
    let [options, codes] = ["-", "0"].map(|first| {
        let (heading, entries) = list(text, first);
        heading.to_owned() + &fill(&terms(entries))
    });
    let rest = language.pick(
        "All of it, with examples: coze-workflow --help",
        "完整说明和示例：coze-workflow --help",
    );
    format!("{title}\n{usage}\n\n{options}\n\n{codes}\n{rest}\n")
}

/// The long names of all options, without their dashes. They are the same in every language.
pub(crate) fn option_names() -> Vec<&'static str> {
    let (_, entries) = list(long(Language::English), "-");
    let long_name = |term: &'static str| term.split_once("--")?.1.split(' ').next();
    terms(entries).into_iter().filter_map(long_name).collect()
}

/// The list whose first entry begins like this: its heading and its entries.
fn list<'a>(text: &'a str, first: &str) -> (&'a str, &'a str) {
    text.split("\n\n")
        .filter(|block| !block.starts_with(' '))
        .filter_map(|block| block.split_once('\n'))
        .find(|(_, entries)| entries.trim_start().starts_with(first))
        .expect("both texts have a list of options and one of exit codes")
}

fn terms(entries: &str) -> Vec<&str> {
    entries
        .lines()
        // What is indented deeper goes on with an entry's words.
        .filter(|line| !line.starts_with("       "))
        .filter_map(|line| line.trim_start().split("  ").next())
        .collect()
}

/// As many on a line as fit, each whole.
fn fill(terms: &[&str]) -> String {
    let mut filled = String::new();
    let mut column = COLUMNS;
    for term in terms {
        // Chinese letters are two columns wide, and terms hold no others beyond ASCII.
        let width: usize = term.chars().map(|c| 1 + usize::from(!c.is_ascii())).sum();
        if column + 2 + width > COLUMNS {
            filled.push('\n');
            column = 0;
        }
        filled.extend(["  ", term]);
        column += 2 + width;
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_options_are_those_of_the_help() {
        let names = option_names();
        assert_eq!(names[..2], ["workflow", "param"]);
        assert_eq!(names.last(), Some(&"version"));
    }

    #[test]
    fn words_that_go_on_are_no_terms() {
        let entries = "  -a, --all X  words\n                --not a term\n      --bare  words";
        assert_eq!(terms(entries), ["-a, --all X", "--bare"]);
    }

    #[test]
    fn a_line_is_filled_up_to_its_last_column() {
        let wide = "x".repeat(COLUMNS - 8);
        assert_eq!(fill(&[&wide, "秒秒"]), format!("\n  {wide}  秒秒"));
        assert_eq!(fill(&[&wide, "秒秒x"]), format!("\n  {wide}\n  秒秒x"));
    }
}
