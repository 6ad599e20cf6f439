//! What is told on the way, and what many requests came to: the status line for a person at a terminal,
//! the steps of `-v`, the sum. Only the text of it; `screen` draws and erases the line.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::time::Duration;

use super::printable;
use crate::error::Kind;
use crate::language::Language;
use crate::response::totals::{TOLD, Totals};
use crate::run::Note;

/// The width of a line that no terminal wraps.
const COLUMNS: usize = 79;

/// Work that takes no longer needs no line.
const MOMENT: Duration = Duration::from_millis(400);

/// What there is to tell.
#[derive(Debug, Default)]
pub(super) struct Status {
    language: Language,
    /// How many requests there are, where that is known.
    total: Option<u64>,
    began: Duration,
    taken: u64,
    answered: Totals,
    /// What is waited for.
    step: String,
}

impl Status {
    pub(super) fn new(language: Language, total: Option<usize>) -> Self {
        // At a terminal where requests are typed it would only be in the way.
        let waiting = !io::stdin().is_terminal();
        let waiting = waiting.then(|| language.pick("waiting for a request", "正在等待请求"));
        Self {
            language,
            total: total.map(|total| total as u64),
            step: waiting.unwrap_or_default().to_owned(),
            ..Self::default()
        }
    }

    /// A request was taken up. The time of many goes on from the first.
    pub(super) fn taken(&mut self, now: Duration) {
        if self.taken == 0 {
            self.began = now;
        }
        self.taken += 1;
        self.step.clear();
    }

    /// So many are at work.
    pub(super) fn running(&self) -> u64 {
        self.taken.saturating_sub(self.answered.all())
    }

    /// The end of the input tells how many there are.
    pub(super) fn all_taken(&mut self) {
        self.total = Some(self.taken);
    }

    pub(super) fn answered(&mut self, totals: Totals) {
        self.answered = totals;
    }

    /// `mask`: the service's words may quote the key.
    pub(super) fn note(&mut self, note: &Note<'_>, mask: impl Fn(&str) -> String) {
        let mut detail = String::new();
        let (english, chinese) = match note {
            Note::Calling(_) if self.step.is_empty() => ("sending", "正在发送"),
            Note::Answered { .. } => ("waiting for the workflow", "等待工作流"),
            Note::Heard { speaker, .. } => match speaker.filter(|title| !title.is_empty()) {
                Some(title) => {
                    detail += title;
                    ("receiving from ", "正在接收：")
                }
                None => ("the workflow is at work", "工作流正在运行"),
            },
            Note::Polling {
                why: "running" | "just started",
                ..
            } => ("still running, polling", "仍在运行，继续查看"),
            Note::Retrying { why, .. } | Note::Polling { why, .. } => {
                detail += why;
                ("trying again soon: ", "稍后重试：")
            }
            Note::FallingBack { .. } => ("asking for the result", "正在查询结果"),
            Note::Calling(_) | Note::Event(_) => return,
        };
        self.step = self.language.pick(english, chinese).to_owned() + &mask(&detail);
    }

    /// The line, at most 79 columns wide; nothing between two requests, nor for a moment's work. The
    /// first request may keep it waiting, and nobody would know for what.
    pub(super) fn line(&self, now: Duration) -> Option<String> {
        let (done, running) = (self.answered.all(), self.running());
        let elapsed = now.saturating_sub(self.began);
        let is_waiting = self.taken == 0 && !self.step.is_empty();
        if running == 0 && !is_waiting || elapsed < MOMENT {
            return None;
        }
        let time = clock(elapsed);
        if self.total.unwrap_or(self.taken) <= 1 {
            return Some(fit(&format!("{time}  {}", self.step)));
        }
        let mut facts = Vec::new();
        // The number is where `#` is.
        let mut add = |number: String, english, chinese| {
            let words: &str = self.language.pick(english, chinese);
            facts.push(words.replace('#', &number));
        };
        let total = self.total.map(|all| format!("/{all}")).unwrap_or_default();
        add(format!("{done}{total}"), "# done", "已完成 #");
        let each = elapsed.checked_div(u32::try_from(done).unwrap_or(u32::MAX));
        // A narrow terminal does not show the end of the line.
        if let (Some(each), Some(total)) = (each, self.total) {
            let left = u32::try_from(total.saturating_sub(done)).unwrap_or(u32::MAX);
            add(clock(each.saturating_mul(left)), "# left", "还需 #");
        }
        add(running.to_string(), "# running", "运行中 #");
        let failed = done - self.answered.succeeded();
        add(failed.to_string(), "# without success", "未成功 #");
        if let Some(each) = each {
            let each_micros = u64::try_from(each.as_micros()).unwrap_or(u64::MAX).max(1);
            let rate = (60_000_000 + each_micros / 2) / each_micros;
            add(rate.to_string(), "# a minute", "每分钟 # 个");
        }
        let comma = self.language.pick(", ", "，");
        Some(fit(&format!("{time}  {}", facts.join(comma))))
    }
}

/// A step on the way, as `-v` shows it.
pub(super) fn step(note: &Note<'_>, mask: impl Fn(&str) -> String) -> Option<String> {
    let seconds = |pause: &Duration| format!("{} s", pause.as_secs_f64());
    Some(match note {
        Note::Heard { .. } => return None,
        Note::Calling(call) => format!("> {call}"),
        Note::Answered { status, logid } => {
            let logid = logid.map(|logid| format!(", logid {logid}"));
            format!("< HTTP {status}{}", logid.unwrap_or_default())
        }
        Note::Event(frame) => {
            let id = frame.id.as_deref().unwrap_or("-");
            // Masked before it is cut: half a key would not be found.
            let masked = mask(&frame.data);
            let mut data: String = masked.chars().take(300).collect();
            if data.len() < masked.len() {
                write!(data, "… ({} bytes)", frame.data.len()).expect("a string takes all");
            }
            format!("< {} {id} {data}", frame.event)
        }
        Note::Retrying { pause, why } => format!("retrying in {}: {why}", seconds(pause)),
        Note::FallingBack { why } => format!("asking the history: {why}"),
        Note::Polling { pause, why } => format!("polling again in {}: {why}", seconds(pause)),
    })
}

/// What many requests came to, in one line.
pub(super) fn sum(totals: &Totals, language: Language) -> String {
    let (all, succeeded) = (totals.all(), totals.succeeded());
    let mut line = language.pick(
        format!("{all} requests: {succeeded} succeeded"),
        format!("{all} 个请求：{succeeded} 个成功"),
    );
    line += &kinds(totals, language);
    if totals.from_journal > 0 {
        let count = totals.from_journal;
        line += &language.pick(
            format!("; of them {count} from the journal"),
            format!("；其中 {count} 个取自运行记录"),
        );
    }
    line
}

/// What many requests would come to, of which nothing was run.
pub(super) fn sum_of_check(totals: &Totals, language: Language) -> String {
    let (all, passed) = (totals.all(), totals.succeeded());
    let line = language.pick(
        format!("{all} requests checked: {passed} in order"),
        format!("已检查 {all} 个请求：{passed} 个没有问题"),
    );
    line + &kinds(totals, language)
}

/// How many ended in each kind that there was.
fn kinds(totals: &Totals, language: Language) -> String {
    let mut line = String::new();
    for kind in TOLD.into_iter().filter(|&kind| totals.of(kind) > 0) {
        let (count, label) = (totals.of(kind), kind.label(language));
        let word = match kind {
            Kind::Running => "still running",
            Kind::Usage => "not valid",
            Kind::Config => "not configured",
            Kind::Io => "not written",
            _ => label,
        };
        line += &language.pick(format!(", {count} {word}"), format!("，{count} 个{label}"));
    }
    line
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

/// Cut to the width of a line. Chinese letters are two columns wide; which others are is not worth a
/// table, so all beyond ASCII count as two.
fn fit(line: &str) -> String {
    let mut columns = 0;
    printable::line(line)
        .chars()
        .take_while(|char| {
            columns += if char.is_ascii() { 1 } else { 2 };
            columns <= COLUMNS
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn many(language: Language, total: Option<usize>) -> Status {
        let mut totals = Totals::default();
        for kind in [None, None, None, Some(Kind::Failed)] {
            totals.count(kind, true);
        }
        Status {
            taken: 7,
            answered: totals,
            ..Status::new(language, total)
        }
    }

    fn one(step: &str) -> Status {
        Status {
            taken: 1,
            step: step.to_owned(),
            ..Status::default()
        }
    }

    #[test]
    fn one_run_tells_its_time_and_what_is_waited_for() {
        let line = one("waiting for the workflow").line(Duration::from_secs(75));
        assert_eq!(line.as_deref(), Some("01:15  waiting for the workflow"));
        let line = one("").line(Duration::from_secs(3661));
        assert_eq!(line.as_deref(), Some("61:01  "));
    }

    #[test]
    fn a_batch_tells_its_totals_its_pace_and_what_is_left() {
        for (language, total, told) in [
            (
                Language::English,
                None,
                "01:00  4 done, 3 running, 1 without success, 4 a minute",
            ),
            (
                Language::English,
                Some(10),
                "01:00  4/10 done, 01:30 left, 3 running, 1 without success, 4 a minute",
            ),
            (
                Language::Chinese,
                Some(10),
                "01:00  已完成 4/10，还需 01:30，运行中 3，未成功 1，每分钟 4 个",
            ),
        ] {
            let line = many(language, total).line(MINUTE);
            assert_eq!(line.as_deref(), Some(told));
        }
    }

    #[test]
    fn the_end_of_the_input_tells_what_is_left() {
        let mut status = many(Language::English, None);
        status.all_taken();
        let line = status.line(MINUTE).unwrap();
        assert!(line.contains("4/7 done, 00:45 left, 3 running"), "{line}");
    }

    #[test]
    fn nothing_is_reported_when_nothing_runs_nor_of_a_moment() {
        assert_eq!(Status::default().line(MINUTE), None);
        assert_eq!(one("x").line(Duration::from_millis(300)), None);
    }

    #[test]
    fn every_step_has_words() {
        let mut status = Status::new(Language::Chinese, None);
        let retrying = Note::Retrying {
            pause: Duration::from_millis(1500),
            why: "refused pat_xxx",
        };
        status.note(&retrying, |words| words.replace("pat_xxx", "***"));
        assert_eq!(status.step, "稍后重试：refused ***");
        status.note(&Note::FallingBack { why: "" }, str::to_owned);
        assert_eq!(status.step, "正在查询结果");
        let mut heard = |speaker| {
            let text = None;
            status.note(&Note::Heard { speaker, text }, str::to_owned);
            status.step.clone()
        };
        assert_eq!(heard(Some("结束")), "正在接收：结束");
        // A deployed project names no node.
        assert_eq!([heard(Some("")), heard(None)], ["工作流正在运行"; 2]);
    }

    #[test]
    fn a_line_is_never_wider_than_79_columns_and_commands_no_terminal() {
        let line = one(&"\u{1b}[2J\u{202e}字".repeat(60)).line(MINUTE).unwrap();
        let width: usize = line
            .chars()
            .map(|char| if char.is_ascii() { 1 } else { 2 })
            .sum();
        assert!((77..=79).contains(&width), "{width}");
        assert!(!line.contains(['\u{1b}', '\u{202e}']));
    }

    #[test]
    fn the_sum_of_a_check_says_that_nothing_was_run() {
        let mut totals = Totals::default();
        for kind in [None, Some(Kind::Usage), None, Some(Kind::Refused)] {
            totals.count(kind, false);
        }
        assert_eq!(
            sum_of_check(&totals, Language::English),
            "4 requests checked: 2 in order, 1 refused, 1 not valid"
        );
        assert_eq!(
            sum_of_check(&totals, Language::Chinese),
            "已检查 4 个请求：2 个没有问题，1 个被拒绝，1 个用法有误"
        );
    }

    #[test]
    fn the_sum_names_what_there_was() {
        let mut totals = Totals::default();
        for kind in [None, None, None] {
            totals.count(kind, true);
        }
        assert_eq!(sum(&totals, Language::English), "3 requests: 3 succeeded");
        for kind in [Kind::Unknown, Kind::Running, Kind::Unknown, Kind::Refused] {
            totals.count(Some(kind), true);
        }
        assert_eq!(
            sum(&totals, Language::English),
            "7 requests: 3 succeeded, 1 refused, 2 unknown, 1 still running"
        );
        totals.from_journal = 2;
        assert!(
            sum(&totals, Language::English)
                .ends_with(", 1 still running; of them 2 from the journal")
        );
        assert_eq!(
            sum(&totals, Language::Chinese),
            "7 个请求：3 个成功，1 个被拒绝，2 个情况不明，1 个仍在运行；其中 2 个取自运行记录"
        );
    }
}
