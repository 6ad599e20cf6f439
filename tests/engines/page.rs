//! README.md of this directory: its blocks of code, which the tests run. Both languages have the same.

const PAGE: &str = include_str!("README.md");

/// What tells a block from all others. Every block has a test that runs it.
const MARKS: &[&str] = &[
    ANSWERS,
    SCRIPT,
    ONE_MACHINE,
    HOSTS,
    SBATCH,
    SUBMIT,
    JOB,
    ROWS_PY,
    ANSWER_SH,
    SPARK,
    CRONTAB,
    REPORT,
];
pub(crate) const ANSWERS: &str = "> answers.jsonl";
/// The tests of documents run it.
const SCRIPT: &str = "while [ $status -eq 6 ]";
pub(crate) const ONE_MACHINE: &str = "split -d";
pub(crate) const HOSTS: &str = "--sshlogin";
pub(crate) const SBATCH: &str = "#SBATCH";
pub(crate) const SUBMIT: &str = "sbatch --parsable";
pub(crate) const JOB: &str = "kind: Job";
pub(crate) const ROWS_PY: &str = "import SparkSession";
pub(crate) const ANSWER_SH: &str = "read -r first";
pub(crate) const SPARK: &str = "spark-submit";
pub(crate) const CRONTAB: &str = "MAILTO=";
pub(crate) const REPORT: &str = "report.json";

#[test]
fn every_block_of_the_page_is_run_by_a_test_and_the_same_in_both_languages() {
    let (english, chinese) = PAGE.split_once("\n## 中文\n").unwrap();
    assert_eq!(blocks(english), blocks(chinese));
    for text in blocks(english) {
        let marks = MARKS.iter().filter(|&&mark| text.contains(mark));
        assert_eq!(marks.count(), 1, "{text}");
    }
}

/// The block that holds this mark.
#[track_caller]
pub(crate) fn block(mark: &str) -> String {
    assert!(MARKS.contains(&mark));
    let (english, _) = PAGE.split_once("\n## 中文\n").unwrap();
    let mut found = blocks(english);
    found.retain(|text| text.contains(mark));
    let [text] = &found[..] else {
        panic!("{} blocks have {mark:?}", found.len())
    };
    text.clone()
}

fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let inside = lines.by_ref().take_while(|line| !line.starts_with("```"));
            blocks.push(inside.flat_map(|line| [line, "\n"]).collect());
        }
    }
    blocks
}
