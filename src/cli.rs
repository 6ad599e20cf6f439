//! Arguments → `Command`. The only file that names lexopt; reads neither the environment nor files. Options are those of GNU: `--name VALUE`, `--name=VALUE`, `-n VALUE`,
//! clusters of short ones, `--` before file names that begin with a dash. Where an option that takes
//! a value is repeated, the last one counts, as in curl.

pub(crate) mod help;

use std::ffi::OsString;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg::{Long, Short, Value};

use crate::error::{self, Error};

pub(crate) const VERSION: &str = concat!("coze-workflow ", env!("CARGO_PKG_VERSION"));

/// What the arguments ask for.
#[derive(Debug)]
pub(crate) enum Command {
    /// `-h`.
    ShortHelp,
    /// `--help`.
    Help,
    Version,
    /// Look whether the configuration is complete and somebody answers; start nothing.
    Check(Box<Options>),
    Run(Box<Options>),
}

/// The options as they were given: `None` and `false` are "not given", defaults are `config`'s.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, independent of the others"
)]
#[expect(
    clippy::option_option,
    reason = "the outer one is whether it was given, the inner one is no limit"
)]
pub(crate) struct Options {
    pub(crate) config: Option<PathBuf>,
    pub(crate) base_url: Option<String>,
    pub(crate) timeout: Option<Option<Duration>>,
    pub(crate) idle_timeout: Option<Option<Duration>>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) poll_interval: Option<Duration>,
    pub(crate) retries: Option<u32>,
    pub(crate) asynchronous: bool,
    pub(crate) no_wait: bool,
    pub(crate) events: bool,
    pub(crate) raw_output: bool,
    pub(crate) output: Option<PathBuf>,
    pub(crate) jobs: Option<NonZeroUsize>,
    pub(crate) journal: Option<PathBuf>,
    pub(crate) rerun_unknown: bool,
    pub(crate) cacert: Option<PathBuf>,
    pub(crate) request: Option<String>,
    pub(crate) allow_unknown_fields: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    pub(crate) files: Vec<PathBuf>,
}

/// Understands the arguments, without the program's own name.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, Error> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut options = Options::default();
    let mut check = false;
    // The first mistake is kept until all is read: `-h` behind it asks how to put it right.
    let mut mistake = None;
    loop {
        match read_argument(&mut parser, &mut options) {
            Ok(Seen::ShortHelp) => return Ok(Command::ShortHelp),
            Ok(Seen::Help) => return Ok(Command::Help),
            Ok(Seen::Version) => return Ok(Command::Version),
            Ok(Seen::Check) => check = true,
            Ok(Seen::Setting) => {}
            Ok(Seen::End) => break,
            Err(error) => mistake = mistake.or(Some(error)),
        }
    }
    match mistake.or_else(|| contradiction(&options, check)) {
        Some(error) => Err(error.into()),
        None if check => Ok(Command::Check(Box::new(options))),
        None => Ok(Command::Run(Box::new(options))),
    }
}

/// A year: longer than any run, and far from the end of every clock.
const LONGEST_SECONDS: f64 = 31_536_000.0;

const MOST_RETRIES: u32 = 1000;
const MOST_JOBS: u32 = 1024;

enum Seen {
    ShortHelp,
    Help,
    Version,
    Check,
    Setting,
    End,
}

fn read_argument(parser: &mut lexopt::Parser, options: &mut Options) -> Result<Seen, UsageError> {
    let argument = match parser.next() {
        Ok(Some(argument)) => argument,
        Ok(None) => return Ok(Seen::End),
        // The value itself is not repeated: it may be a secret.
        Err(lexopt::Error::UnexpectedValue { option, .. }) => {
            return Err(UsageError::UnexpectedValue { option });
        }
        Err(other) => return Err(UsageError::Other(other.to_string())),
    };
    match argument {
        Short('h') => return Ok(Seen::ShortHelp),
        Long("help") => return Ok(Seen::Help),
        Short('V') | Long("version") => return Ok(Seen::Version),
        Long("check") => return Ok(Seen::Check),
        Short('c') | Long("config") => options.config = Some(path(parser, "--config")?),
        Long("base-url") => options.base_url = Some(text(parser, "--base-url")?),
        Long("timeout") => options.timeout = Some(limit(parser, "--timeout")?),
        Long("idle-timeout") => options.idle_timeout = Some(limit(parser, "--idle-timeout")?),
        Long("connect-timeout") => {
            options.connect_timeout = Some(positive_seconds(parser, "--connect-timeout")?);
        }
        Long("poll-interval") => {
            options.poll_interval = Some(positive_seconds(parser, "--poll-interval")?);
        }
        Long("retries") => options.retries = Some(count(parser, "--retries", 0, MOST_RETRIES)?),
        Long("async") => options.asynchronous = true,
        Long("no-wait") => options.no_wait = true,
        Long("events") => options.events = true,
        Short('r') | Long("raw-output") => options.raw_output = true,
        Short('o') | Long("output") => options.output = Some(path(parser, "--output")?),
        Short('j') | Long("jobs") => {
            let jobs = count(parser, "--jobs", 1, MOST_JOBS)?;
            options.jobs = NonZeroUsize::new(jobs as usize);
        }
        Long("journal") => options.journal = Some(path(parser, "--journal")?),
        Long("rerun-unknown") => options.rerun_unknown = true,
        Long("cacert") => options.cacert = Some(path(parser, "--cacert")?),
        Long("request") => {
            // Where the last one counted, a request would be dropped without a word.
            if options
                .request
                .replace(text(parser, "--request")?)
                .is_some()
            {
                return Err(UsageError::RequestTwice);
            }
        }
        Long("allow-unknown-fields") => options.allow_unknown_fields = true,
        Short('q') | Long("quiet") => options.quiet = true,
        Short('v') | Long("verbose") => options.verbose = true,
        Value(file) => options.files.push(file.into()),
        Short(letter) => {
            let error = UsageError::Unknown {
                option: format!("-{letter}"),
                nearest: None,
            };
            skip_value(parser);
            return Err(error);
        }
        Long(name) => {
            let error = unknown(name);
            skip_value(parser);
            return Err(error);
        }
    }
    Ok(Seen::Setting)
}

/// A name that is no option: perhaps a misspelt one, perhaps an attempt to hand over the key.
fn unknown(name: &str) -> UsageError {
    let option = format!("--{}", name.escape_debug());
    let words: Vec<&str> = name.split(['-', '_']).collect();
    let is_about_key = ["key", "apikey", "token"];
    if words.iter().any(|word| is_about_key.contains(word)) {
        return UsageError::KeyAsOption { option };
    }
    // A beginning that fits one name only is nearer than any misspelling: `--raw`, `--allow`.
    let names = help::option_names();
    let mut begun = names.iter().filter(|known| known.starts_with(name));
    let nearest = match (begun.next(), begun.next()) {
        (Some(only), None) => Some(*only),
        _ => error::nearest(name, &names),
    };
    UsageError::Unknown { option, nearest }
}

/// Whatever is glued to an unknown option goes with it: the `h` in `-which` asks for no help.
fn skip_value(parser: &mut lexopt::Parser) {
    let _ = parser.optional_value();
}

fn path(parser: &mut lexopt::Parser, option: &'static str) -> Result<PathBuf, UsageError> {
    match parser.value() {
        Ok(value) => Ok(value.into()),
        Err(_) => Err(UsageError::MissingValue { option }),
    }
}

fn text(parser: &mut lexopt::Parser, option: &'static str) -> Result<String, UsageError> {
    let value = path(parser, option)?.into_os_string();
    value
        .into_string()
        .map_err(|_| UsageError::NotText { option })
}

/// Seconds, of which 0 means no limit.
fn limit(
    parser: &mut lexopt::Parser,
    option: &'static str,
) -> Result<Option<Duration>, UsageError> {
    let value = text(parser, option)?;
    let zero_is = Zero::NoLimit;
    match seconds(&value) {
        Some(Duration::ZERO) => Ok(None),
        Some(duration) => Ok(Some(duration)),
        None => Err(UsageError::NotSeconds {
            option,
            value,
            zero_is,
        }),
    }
}

fn positive_seconds(
    parser: &mut lexopt::Parser,
    option: &'static str,
) -> Result<Duration, UsageError> {
    let value = text(parser, option)?;
    let zero_is = Zero::Refused;
    seconds(&value)
        .filter(|duration| !duration.is_zero())
        .ok_or(UsageError::NotSeconds {
            option,
            value,
            zero_is,
        })
}

fn seconds(value: &str) -> Option<Duration> {
    let seconds: f64 = value.parse().ok()?;
    // NaN is in no range.
    let sensible = (0.0..=LONGEST_SECONDS).contains(&seconds);
    // What is rounded to nothing must not become no limit.
    let least = Duration::from_nanos(u64::from(seconds > 0.0));
    sensible.then(|| Duration::from_secs_f64(seconds).max(least))
}

fn count(
    parser: &mut lexopt::Parser,
    option: &'static str,
    least: u32,
    most: u32,
) -> Result<u32, UsageError> {
    let value = text(parser, option)?;
    let count = value.parse().ok();
    count
        .filter(|count| (least..=most).contains(count))
        .ok_or(UsageError::NotCount {
            option,
            value,
            least,
            most,
        })
}

/// Options that can't both be meant. Refused rather than one of them ignored: whoever wrote them
/// expects something that would not happen, and finds out after the run was paid for.
fn contradiction(options: &Options, check: bool) -> Option<UsageError> {
    let has_request = options.request.is_some();
    let has_files = !options.files.is_empty();
    let has_output = options.output.is_some();
    let pairs = [
        (has_request, "--request", has_files, "FILE"),
        (check, "--check", has_request, "--request"),
        (check, "--check", has_files, "FILE"),
        (
            options.raw_output,
            "--raw-output",
            options.events,
            "--events",
        ),
        (options.raw_output, "--raw-output", has_output, "--output"),
        (options.quiet, "--quiet", options.verbose, "--verbose"),
    ];
    if let Some((_, one, _, other)) = pairs.into_iter().find(|pair| pair.0 && pair.2) {
        return Some(UsageError::Together { one, other });
    }
    if options.rerun_unknown && options.journal.is_none() {
        return Some(UsageError::RerunWithoutJournal);
    }
    let is_dash = options
        .output
        .as_ref()
        .is_some_and(|file| file.as_os_str() == "-");
    is_dash.then_some(UsageError::OutputToDash)
}

/// What is wrong with the arguments. Names of options are as they are typed, `--jobs`.
#[derive(Debug)]
enum UsageError {
    Unknown {
        option: String,
        nearest: Option<&'static str>,
    },
    KeyAsOption {
        option: String,
    },
    MissingValue {
        option: &'static str,
    },
    UnexpectedValue {
        option: String,
    },
    NotText {
        option: &'static str,
    },
    NotSeconds {
        option: &'static str,
        value: String,
        zero_is: Zero,
    },
    NotCount {
        option: &'static str,
        value: String,
        least: u32,
        most: u32,
    },
    RequestTwice,
    Together {
        one: &'static str,
        other: &'static str,
    },
    RerunWithoutJournal,
    OutputToDash,
    /// What lexopt may come to say in a later version.
    Other(String),
}

#[derive(Clone, Copy, Debug)]
enum Zero {
    NoLimit,
    Refused,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { option, .. } => write!(f, "unknown option {option}"),
            Self::KeyAsOption { option } => {
                write!(f, "unknown option {option}: there is no option for the key")
            }
            Self::MissingValue { option } => write!(f, "{option} needs a value"),
            Self::UnexpectedValue { option } => write!(f, "{option} takes no value"),
            Self::NotText { option } => write!(f, "the value of {option} is not UTF-8"),
            Self::NotSeconds { option, value, .. } => {
                write!(f, "{option} takes seconds, not {value:?}")
            }
            Self::NotCount { option, value, .. } => write!(f, "{option} can't be {value:?}"),
            Self::RequestTwice => f.write_str("--request was given twice"),
            Self::Together { one, other } => write!(f, "{one} and {other} can't be used together"),
            Self::RerunWithoutJournal => f.write_str("--rerun-unknown needs --journal"),
            Self::OutputToDash => f.write_str("--output takes the name of a file, not \"-\""),
            Self::Other(sentence) => f.write_str(sentence),
        }
    }
}

impl From<UsageError> for Error {
    fn from(error: UsageError) -> Self {
        let local = Self::usage(error.to_string());
        match error {
            UsageError::Unknown {
                nearest: Some(name),
                ..
            } => local.hint(
                format!("did you mean --{name}?"),
                format!("您是想写 --{name} 吗？"),
            ),
            UsageError::KeyAsOption { .. } => local.hint(
                "arguments are visible to every user of the machine: set COZE_API_KEY",
                "命令行参数对本机所有用户可见：请设置 COZE_API_KEY",
            ),
            UsageError::NotSeconds { zero_is, .. } => {
                let (english, chinese) = match zero_is {
                    Zero::NoLimit => ("from 0, which is no limit,", "0（不限）"),
                    Zero::Refused => ("above 0 and", "大于 0 "),
                };
                local.hint(
                    format!("a number {english} up to {LONGEST_SECONDS}, such as 0.5"),
                    format!("{chinese}到 {LONGEST_SECONDS} 之间的数，例如 0.5"),
                )
            }
            UsageError::NotCount { least, most, .. } => local.hint(
                format!("a whole number from {least} to {most}"),
                format!("{least} 到 {most} 之间的整数"),
            ),
            UsageError::RequestTwice => local.hint(
                "put all requests into one value, separated by white space",
                "请把所有请求放进同一个值，以空白分隔",
            ),
            UsageError::Together { .. } => local.hint("leave one of them out", "请去掉其中一个"),
            UsageError::RerunWithoutJournal => local.hint(
                "the journal is what knows the unknown runs",
                "状态未知的运行只记在运行记录中",
            ),
            UsageError::OutputToDash => local.hint(
                "--raw-output prints the output to standard output",
                "--raw-output 会把 output 写到标准输出",
            ),
            UsageError::Unknown { nearest: None, .. }
            | UsageError::MissingValue { .. }
            | UsageError::UnexpectedValue { .. }
            | UsageError::NotText { .. }
            | UsageError::Other(_) => local.hint("see --help", "见 --help"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[track_caller]
    fn command(args: &[&str]) -> Command {
        parse(args.iter().map(OsString::from)).unwrap()
    }

    #[track_caller]
    fn options(args: &[&str]) -> Options {
        match command(args) {
            Command::Run(options) => *options,
            other => panic!("{args:?} is {other:?}"),
        }
    }

    #[track_caller]
    fn refused(args: &[&str], sentence: &str) {
        let error = parse(args.iter().map(OsString::from)).unwrap_err();
        assert_eq!(
            (error.kind, error.to_string().as_str()),
            (error::Kind::Usage, sentence)
        );
    }

    #[test]
    fn nothing_given_is_nothing_set() {
        let options = options(&[]);
        assert_eq!(format!("{options:?}"), format!("{:?}", Options::default()));
    }

    #[test]
    fn values_stand_apart_behind_an_equals_sign_or_glued_to_a_letter() {
        for args in [
            &["-j", "4"][..],
            &["-j4"],
            &["--jobs", "4"],
            &["--jobs=4"],
            &["-qj4"],
        ] {
            assert_eq!(
                options(args).jobs.map(NonZeroUsize::get),
                Some(4),
                "{args:?}"
            );
        }
    }

    #[test]
    fn help_and_version_win_wherever_they_stand() {
        assert!(matches!(
            command(&["--frob", "--jobs", "0", "-h"]),
            Command::ShortHelp
        ));
        assert!(matches!(command(&["file", "-qV", "-h"]), Command::Version));
        assert!(matches!(command(&["--check", "--help"]), Command::Help));
    }

    #[test]
    fn what_belongs_to_another_option_asks_for_no_help() {
        assert_eq!(options(&["--request", "-h"]).request.as_deref(), Some("-h"));
        assert_eq!(options(&["--", "-h"]).files, [PathBuf::from("-h")]);
        refused(&["-which"], "unknown option -w (see --help)");
    }

    #[test]
    fn a_dash_is_a_file_and_names_need_not_be_utf_8() {
        assert_eq!(
            options(&["-", "b"]).files,
            [PathBuf::from("-"), PathBuf::from("b")]
        );
        let name = OsString::from_vec(vec![b'f', 0xff]);
        let args = [name.clone(), "-o".into(), name.clone()];
        let Ok(Command::Run(options)) = parse(args) else {
            panic!("refused");
        };
        assert_eq!(options.files, [PathBuf::from(&name)]);
        assert_eq!(options.output, Some(PathBuf::from(name)));
    }

    #[test]
    fn the_last_of_several_values_counts() {
        let options = options(&["--timeout", "1", "--timeout", "0.5", "-o", "a", "-o", "b"]);
        assert_eq!(options.timeout, Some(Some(Duration::from_millis(500))));
        assert_eq!(options.output, Some(PathBuf::from("b")));
    }

    #[test]
    fn zero_seconds_are_no_limit_where_a_limit_may_be_absent() {
        let options = options(&["--timeout", "0", "--idle-timeout=0.0"]);
        assert_eq!(
            (options.timeout, options.idle_timeout),
            (Some(None), Some(None))
        );
        refused(
            &["--poll-interval", "0"],
            "--poll-interval takes seconds, not \"0\" (a number above 0 and up to 31536000, such as 0.5)",
        );
    }

    #[test]
    fn what_is_rounded_to_zero_seconds_is_no_endless_time() {
        let options = options(&["--timeout", "1e-10", "--idle-timeout", "-0"]);
        assert_eq!(options.timeout, Some(Some(Duration::from_nanos(1))));
        assert_eq!(options.idle_timeout, Some(None));
    }

    #[test]
    fn seconds_are_not_negative_endless_or_words() {
        for value in ["-1", "nan", "inf", "1e300", "", "ten", "31536001", "5s"] {
            refused(
                &["--timeout", value],
                &format!(
                    "--timeout takes seconds, not {value:?} (a number from 0, which is no limit, up to 31536000, such as 0.5)"
                ),
            );
        }
    }

    #[test]
    fn counts_have_bounds() {
        for value in ["0", "1025", "-1", "two"] {
            let sentence = format!("--jobs can't be {value:?} (a whole number from 1 to 1024)");
            refused(&["--jobs", value], &sentence);
        }
        assert_eq!(options(&["--retries", "0"]).retries, Some(0));
    }

    #[test]
    fn an_unknown_option_is_named_with_the_nearest_known_one() {
        refused(&["--frob"], "unknown option --frob (see --help)");
        refused(
            &["--timout=5"],
            "unknown option --timout (did you mean --timeout?)",
        );
        refused(
            &["--raw"],
            "unknown option --raw (did you mean --raw-output?)",
        );
        refused(&["-x"], "unknown option -x (see --help)");
    }

    #[test]
    fn the_key_is_no_argument_and_is_not_repeated() {
        for option in ["--api-key", "--key", "--token", "--api_key"] {
            let sentence = format!(
                "unknown option {option}: there is no option for the key (arguments are visible to every user of the machine: set COZE_API_KEY)"
            );
            refused(&[option, "pat_secret"], &sentence);
            refused(&[&format!("{option}=pat_secret")], &sentence);
        }
    }

    #[test]
    fn a_value_is_neither_missing_nor_superfluous() {
        refused(&["--config"], "--config needs a value (see --help)");
        refused(&["--quiet=yes"], "--quiet takes no value (see --help)");
    }

    #[test]
    fn text_is_utf_8() {
        let args = ["--base-url".into(), OsString::from_vec(vec![0xff])];
        let error = parse(args).unwrap_err();
        assert_eq!(error.message, "the value of --base-url is not UTF-8");
    }

    #[test]
    fn no_request_is_dropped_without_a_word() {
        refused(
            &["--request", "{}", "--request", "{}"],
            "--request was given twice (put all requests into one value, separated by white space)",
        );
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_both_names() {
        let pairs: [(&[&str], &str); 6] = [
            (&["--request", "{}", "f"], "--request and FILE"),
            (&["--check", "--request", "{}"], "--check and --request"),
            (&["--check", "f"], "--check and FILE"),
            (&["-r", "--events"], "--raw-output and --events"),
            (&["-r", "-o", "f"], "--raw-output and --output"),
            (&["-qv"], "--quiet and --verbose"),
        ];
        for (args, pair) in pairs {
            let sentence = format!("{pair} can't be used together (leave one of them out)");
            refused(args, &sentence);
        }
    }

    #[test]
    fn an_option_that_needs_another_says_so() {
        refused(
            &["--rerun-unknown"],
            "--rerun-unknown needs --journal (the journal is what knows the unknown runs)",
        );
        refused(
            &["-o", "-"],
            "--output takes the name of a file, not \"-\" (--raw-output prints the output to standard output)",
        );
    }

    #[test]
    fn check_is_a_command_of_its_own() {
        assert!(matches!(command(&["--check", "-v"]), Command::Check(_)));
    }
}
