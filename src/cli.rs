//! Arguments → `Command`. The only file that names lexopt; reads neither the environment nor files.
//! Options are those of GNU: `--name VALUE`, `--name=VALUE`, `-n VALUE`, clusters of short ones, `--`
//! before file names that begin with a dash. Where an option that takes a value is repeated, the last
//! one counts, as in curl.

pub(crate) mod help;

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lexopt::{Arg, Parser};

use crate::error::{self, Error, Kind};
use crate::service::ServiceName;

pub(crate) const VERSION: &str = concat!("coze-workflow ", env!("CARGO_PKG_VERSION"));

/// What the arguments ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// `-h`.
    ShortHelp,
    /// `--help`.
    Help,
    Version,
    /// Anything else.
    Work,
}

/// The options as they were given: `None` and `false` are "not given", defaults are `config`'s.
/// A new one is a field here, an arm in `read_argument`, and an entry in each of `help/*.txt` and in the
/// tables of the pages; what it can't be given with is in `contradiction`.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, independent of the others"
)]
pub(crate) struct Options {
    pub(crate) config: Option<PathBuf>,
    pub(crate) base_url: Option<String>,
    pub(crate) service: Option<ServiceName>,
    pub(crate) timeout: Option<Limit>,
    pub(crate) idle_timeout: Option<Limit>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) poll_interval: Option<Duration>,
    pub(crate) retries: Option<u32>,
    pub(crate) asynchronous: bool,
    pub(crate) no_wait: bool,
    pub(crate) events: bool,
    pub(crate) raw_output: bool,
    pub(crate) get: Option<String>,
    pub(crate) json: bool,
    pub(crate) output: Option<PathBuf>,
    pub(crate) jobs: Option<NonZeroUsize>,
    pub(crate) journal: Option<PathBuf>,
    /// What is run again although it may have been started: `Unknown`, `Failed`.
    pub(crate) rerun: Vec<Kind>,
    pub(crate) cacert: Option<PathBuf>,
    pub(crate) request: Option<String>,
    pub(crate) workflow: Option<String>,
    /// `NAME=VALUE`, as they were given.
    pub(crate) params: Vec<String>,
    pub(crate) allow_unknown_fields: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    /// Look whether the configuration is complete and somebody answers; start nothing.
    pub(crate) check: bool,
    pub(crate) files: Vec<PathBuf>,
}

/// `None` is no limit.
pub(crate) type Limit = Option<Duration>;

impl Options {
    /// Whether a place is named where requests are.
    pub(crate) fn names_requests(&self) -> bool {
        !self.files.is_empty() || self.request.is_some() || self.gives_request()
    }

    /// Whether they are a request themselves.
    pub(crate) fn gives_request(&self) -> bool {
        self.workflow.is_some() || !self.params.is_empty()
    }
}

/// Understands the arguments, without the program's own name. What is understood of them is in
/// `options` when there is a mistake as well.
pub(crate) fn parse(
    args: impl IntoIterator<Item = OsString>,
    options: &mut Options,
) -> Result<Command, Error> {
    let mut parser = Parser::from_args(args);
    // The first mistake is kept until all is read: a later `-h` asks how to put it right.
    let mut mistake = None;
    loop {
        match read_argument(&mut parser, options) {
            Ok(None) => {}
            Ok(Some(Command::Work)) => {
                let mistake = mistake.or_else(|| contradiction(options));
                return mistake.map_or(Ok(Command::Work), Err);
            }
            Ok(Some(asked)) => return Ok(asked),
            Err(error) => mistake = mistake.or(Some(error)),
        }
    }
}

/// A year: longer than any run, and far from the end of every clock.
const LONGEST_SECONDS: f64 = 31_536_000.0;

const MOST_RETRIES: u16 = 1000;
const MOST_JOBS: u16 = 1024;

/// The command, as soon as it is known: one that comes before anything that other arguments ask for,
/// or at the end work.
fn read_argument(parser: &mut Parser, options: &mut Options) -> Result<Option<Command>, Error> {
    if let Some(mut rest) = parser.try_raw_args()
        && let Some(next) = rest.peek()
    {
        if let Some(option) = long_with_one_dash(next) {
            rest.next();
            return Err(unknown(&option));
        }
        if next == "--" {
            options.files.extend(rest.skip(1).map(PathBuf::from));
        }
    }
    let name = match parser.next() {
        Ok(Some(Arg::Short(letter))) => format!("-{letter}"),
        Ok(Some(Arg::Long(name))) => format!("--{name}"),
        Ok(Some(Arg::Value(file))) => {
            options.files.push(file.into());
            return Ok(None);
        }
        Ok(None) => return Ok(Some(Command::Work)),
        // The value itself is not repeated: it may be a secret.
        Err(lexopt::Error::UnexpectedValue { option, .. }) => {
            return Err(see_help(format!("{option} takes no value")));
        }
        // What lexopt may come to say in a later version.
        Err(other) => return Err(see_help(other.to_string())),
    };
    let option = &*name;
    let mut value = Value { option, parser };
    match name.as_str() {
        "-h" => return Ok(Some(Command::ShortHelp)),
        "--help" => return Ok(Some(Command::Help)),
        "-V" | "--version" => return Ok(Some(Command::Version)),
        "--check" => options.check = true,
        "-w" | "--workflow" => {
            let id = value.filled(
                "give the workflow's id, or the address of its page",
                "请给出工作流的 ID，或其页面的地址",
            )?;
            if options.workflow.replace(id).is_some() {
                return Err(value.twice(
                    "for several workflows write requests, one after the other",
                    "多个工作流请写成多个请求",
                ));
            }
        }
        "-p" | "--param" => options.params.push(value.text()?),
        "-c" | "--config" => options.config = Some(value.path()?),
        "--base-url" => {
            options.base_url = Some(value.filled(
                "leave it out, or give a URL such as https://api.coze.cn",
                "请去掉该选项，或给出网址，例如 https://api.coze.cn",
            )?);
        }
        "--service" => options.service = Some(value.service()?),
        "--timeout" => options.timeout = Some(value.limit()?),
        "--idle-timeout" => options.idle_timeout = Some(value.limit()?),
        "--connect-timeout" => options.connect_timeout = Some(value.time()?),
        "--poll-interval" => options.poll_interval = Some(value.time()?),
        "--retries" => options.retries = Some(value.count(0, MOST_RETRIES)?.into()),
        "--async" => options.asynchronous = true,
        "--no-wait" => options.no_wait = true,
        "--events" => options.events = true,
        "-r" | "--raw-output" => options.raw_output = true,
        "-g" | "--get" => {
            options.get = Some(value.filled(
                "a PATH such as data.images.0.url, or -r for all of it",
                "请给出路径，例如 data.images.0.url；要全部结果请用 -r",
            )?);
        }
        "--json" => options.json = true,
        "-o" | "--output" => options.output = Some(value.path()?),
        "-j" | "--jobs" => options.jobs = NonZeroUsize::new(value.count(1, MOST_JOBS)?.into()),
        "--journal" => options.journal = Some(value.path()?),
        "--rerun" => options.rerun.push(value.rerun()?),
        "--cacert" => options.cacert = Some(value.path()?),
        "--request" => value.only(&mut options.request)?,
        "--allow-unknown-fields" => options.allow_unknown_fields = true,
        "-q" | "--quiet" => options.quiet = true,
        "-v" | "--verbose" => options.verbose = true,
        _ => {
            // Whatever is glued to it goes with it: the `h` in `-which` asks for no help.
            let _ = parser.optional_value();
            return Err(unknown(option));
        }
    }
    Ok(None)
}

/// A long option with one dash, which would be taken for letters: `-timeout` is no `-t`.
fn long_with_one_dash(argument: &OsStr) -> Option<String> {
    let name = argument.to_str()?.strip_prefix('-')?.split('=').next()?;
    // Whoever asks for help gets it.
    let may_be_long = name.len() > 1 && !name.starts_with('-') && name != "help";
    let is_long = may_be_long && help::option_names().contains(&name);
    is_long.then(|| format!("-{name}"))
}

/// The value of the option that was just read, if it takes one.
struct Value<'a> {
    /// As it was typed, with its dashes.
    option: &'a str,
    parser: &'a mut Parser,
}

impl Value<'_> {
    fn value(&mut self) -> Result<OsString, Error> {
        let value = self.parser.value();
        value.map_err(|_| see_help(format!("{} needs a value", self.option)))
    }

    fn path(&mut self) -> Result<PathBuf, Error> {
        let path = PathBuf::from(self.value()?);
        if path.as_os_str().is_empty() {
            return Err(self.empty("leave it out, or give a path", "请去掉该选项，或给出路径"));
        }
        Ok(path)
    }

    /// A variable that somebody forgot to set; no default is what they meant.
    fn empty(&self, english: &'static str, chinese: &'static str) -> Error {
        Error::usage(format!("{} is empty", self.option)).hint(english, chinese)
    }

    fn text(&mut self) -> Result<String, Error> {
        let value = self.value()?;
        let not_text = |_| see_help(format!("the value of {} is not UTF-8", self.option));
        value.into_string().map_err(not_text)
    }

    fn rerun(&mut self) -> Result<Kind, Error> {
        match self.text()?.as_str() {
            "unknown" => Ok(Kind::Unknown),
            "failed" => Ok(Kind::Failed),
            other => Err(self.impossible(other).hint(
                "unknown or failed; for both, give it twice",
                "unknown 或 failed；两者都要时请写两次",
            )),
        }
    }

    fn filled(&mut self, english: &'static str, chinese: &'static str) -> Result<String, Error> {
        let text = self.text()?;
        if text.trim().is_empty() {
            return Err(self.empty(english, chinese));
        }
        Ok(text)
    }

    fn service(&mut self) -> Result<ServiceName, Error> {
        let name = ServiceName::parse(&self.text()?);
        name.ok_or_else(|| ServiceName::unknown(Kind::Usage, self.option))
    }

    /// Where the last one counted, a request would be dropped without a word.
    fn only(&mut self, request: &mut Option<String>) -> Result<(), Error> {
        if request.replace(self.text()?).is_none() {
            return Ok(());
        }
        Err(self.twice(
            "put all requests into one value, separated by white space",
            "请把所有请求放进同一个值，以空白分隔",
        ))
    }

    fn twice(&self, english: &'static str, chinese: &'static str) -> Error {
        Error::usage(format!("{} was given twice", self.option)).hint(english, chinese)
    }

    /// Seconds, of which 0 means no limit.
    fn limit(&mut self) -> Result<Limit, Error> {
        let duration = self.seconds(0.0, "from 0, which is no limit,", "0（不限）")?;
        Ok(Some(duration).filter(|duration| !duration.is_zero()))
    }

    /// Seconds, and not 0.
    fn time(&mut self) -> Result<Duration, Error> {
        self.seconds(0_f64.next_up(), "above 0 and", "大于 0 ")
    }

    fn seconds(&mut self, least: f64, english: &str, chinese: &str) -> Result<Duration, Error> {
        let value = self.text()?;
        let is_allowed = |seconds: &f64| (least..=LONGEST_SECONDS).contains(seconds);
        // As JSON writes numbers. std's own reader of them would add 15 KB to the program.
        let seconds = serde_json::from_str(&value).ok();
        let seconds = seconds.filter(is_allowed).ok_or_else(|| {
            let message = format!("{} takes seconds, not {value:?}", self.option);
            Error::usage(message).hint(
                format!("a number {english} up to {LONGEST_SECONDS}, such as 0.5"),
                format!("{chinese}到 {LONGEST_SECONDS} 之间的数，例如 0.5"),
            )
        })?;
        // What is rounded to nothing must not become no limit.
        let shortest = Duration::from_nanos(u64::from(seconds > 0.0));
        Ok(Duration::from_secs_f64(seconds).max(shortest))
    }

    fn count(&mut self, least: u16, most: u16) -> Result<u16, Error> {
        let value = self.text()?;
        let is_allowed = |count: &u16| (least..=most).contains(count);
        value.parse().ok().filter(is_allowed).ok_or_else(|| {
            self.impossible(&value).hint(
                format!("a whole number from {least} to {most}"),
                format!("{least} 到 {most} 之间的整数"),
            )
        })
    }

    fn impossible(&self, value: &str) -> Error {
        Error::usage(format!("{} can't be {value:?}", self.option))
    }
}

/// The error about a name that is no option: perhaps a misspelt one, perhaps an attempt to hand over
/// the token.
fn unknown(option: &str) -> Error {
    let message = format!("unknown option {}", option.escape_debug());
    let name = option.trim_start_matches('-');
    let is_secret = |word| ["key", "apikey", "token"].contains(&word);
    if name.split(['-', '_']).any(is_secret) {
        return Error::usage(format!("{message}: there is no option for the token")).hint(
            "arguments are visible to every user of the machine: set COZE_API_KEY",
            "命令行参数对本机所有用户可见：请设置 COZE_API_KEY",
        );
    }
    // A beginning that fits one name only is nearer than any misspelling: `--raw`, `--allow`.
    let names = help::option_names();
    let mut begun = names.iter().filter(|known| known.starts_with(name));
    let nearest = match (begun.next(), begun.next()) {
        _ if option.len() == 2 => None,
        (Some(only), None) => Some(*only),
        _ => error::nearest(name, &names),
    };
    let Some(name) = nearest else {
        return see_help(message);
    };
    Error::usage(message).hint(
        format!("did you mean --{name}?"),
        format!("您是想写 --{name} 吗？"),
    )
}

fn see_help(message: String) -> Error {
    Error::usage(message).hint("see --help", "见 --help")
}

/// Options that can't both be meant. Refused rather than one of them ignored: whoever wrote them
/// expects something that would not happen, and finds out after the run was paid for.
fn contradiction(options: &Options) -> Option<Error> {
    let request = options.request.is_some();
    let files = !options.files.is_empty();
    let workflow = options.workflow.is_some();
    let param = !options.params.is_empty();
    let (raw_output, get) = (options.raw_output, options.get.is_some());
    let (events, output) = (options.events, options.output.is_some());
    let (journal, rerun) = (options.journal.is_some(), !options.rerun.is_empty());
    let pairs = [
        (options.check && output, "--check and --output"),
        (options.check && journal, "--check and --journal"),
        (options.check && rerun, "--check and --rerun"),
        (options.check && events, "--check and --events"),
        (options.check && raw_output, "--check and --raw-output"),
        (options.check && get, "--check and --get"),
        (request && files, "--request and FILE"),
        (workflow && request, "--workflow and --request"),
        (workflow && files, "--workflow and FILE"),
        (param && request, "--param and --request"),
        (param && files, "--param and FILE"),
        (raw_output && events, "--raw-output and --events"),
        (raw_output && output, "--raw-output and --output"),
        (raw_output && options.json, "--raw-output and --json"),
        (get && raw_output, "--get and --raw-output"),
        (get && events, "--get and --events"),
        (get && output, "--get and --output"),
        (get && options.json, "--get and --json"),
        (options.quiet && options.verbose, "--quiet and --verbose"),
    ];
    if let Some((_, pair)) = pairs.into_iter().find(|(are_given, _)| *are_given) {
        let error = Error::usage(format!("{pair} can't be used together"));
        return Some(match pair {
            "--workflow and FILE" | "--param and FILE" => error.hint(
                "whatever is no option is a FILE; a parameter needs its -p",
                "不是选项的内容都算作文件；参数前面要有 -p",
            ),
            _ => error.hint("leave one of them out", "请去掉其中一个"),
        });
    }
    if rerun && !journal {
        return Some(Error::usage("--rerun needs --journal").hint(
            "the journal is what knows how runs ended",
            "只有运行记录知道各次运行如何结束",
        ));
    }
    (options.output.as_deref() == Some(Path::new("-"))).then(|| {
        Error::usage("--output takes the name of a file, not \"-\"").hint(
            "--raw-output prints the output to standard output",
            "--raw-output 会把 output 写到标准输出",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn parsed(args: &[&str], options: &mut Options) -> Result<Command, Error> {
        parse(args.iter().map(OsString::from), options)
    }

    #[track_caller]
    fn command(args: &[&str]) -> Command {
        parsed(args, &mut Options::default()).unwrap()
    }

    #[track_caller]
    fn options(args: &[&str]) -> Options {
        let mut options = Options::default();
        assert_eq!(parsed(args, &mut options).unwrap(), Command::Work);
        options
    }

    #[track_caller]
    fn refused(args: &[&str], sentence: &str) {
        let error = parsed(args, &mut Options::default()).unwrap_err();
        assert_eq!(
            (error.kind, error.to_string().as_str()),
            (Kind::Usage, sentence)
        );
    }

    #[test]
    fn nothing_given_is_nothing_set() {
        let options = options(&[]);
        assert_eq!(format!("{options:?}"), format!("{:?}", Options::default()));
    }

    #[test]
    fn a_value_is_apart_after_an_equals_sign_or_glued_to_a_letter() {
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
    fn help_and_version_win_wherever_they_are() {
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
        refused(&["-zh"], "unknown option -z (see --help)");
    }

    #[test]
    fn a_dash_is_a_file_and_names_need_not_be_utf_8() {
        assert_eq!(
            options(&["-", "b"]).files,
            [PathBuf::from("-"), PathBuf::from("b")]
        );
        let name = OsString::from_vec(vec![b'f', 0xff]);
        let args = [name.clone(), "-o".into(), name.clone()];
        let mut options = Options::default();
        assert_eq!(parse(args, &mut options).unwrap(), Command::Work);
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
    fn a_long_option_with_one_dash_is_no_cluster_of_letters() {
        for (args, name) in [
            (&["-workflow", "7"][..], "workflow"),
            (&["-q", "-config=c.json"], "config"),
            (&["-json"], "json"),
            (&["-output", "f"], "output"),
        ] {
            let sentence = format!("unknown option -{name} (did you mean --{name}?)");
            refused(args, &sentence);
        }
        assert_eq!(command(&["-help"]), Command::ShortHelp);
        let value = options(&["--request", "-json"]).request;
        assert_eq!(value.as_deref(), Some("-json"));
        assert_eq!(options(&["--", "-json", "--"]).files.len(), 2);
    }

    #[test]
    fn a_mistake_leaves_what_else_was_understood() {
        for args in [["--frob", "--json"], ["--json", "--frob"]] {
            let mut options = Options::default();
            parsed(&args, &mut options).unwrap_err();
            assert!(options.json, "{args:?}");
        }
    }

    #[test]
    fn a_base_url_that_is_empty_is_a_variable_that_nobody_set() {
        for value in ["", " "] {
            refused(
                &["--base-url", value],
                "--base-url is empty (leave it out, or give a URL such as https://api.coze.cn)",
            );
        }
    }

    #[test]
    fn a_service_has_a_name() {
        let studio = options(&["--service", "studio"]).service;
        assert_eq!(studio, Some(ServiceName::Studio));
        for word in ["auto", "", "Studio"] {
            refused(
                &["--service", word],
                "the service in --service is none of coze, studio, site \
                 (leave it out, and what the server says decides)",
            );
        }
    }

    #[test]
    fn a_mistake_names_the_option_as_it_was_typed() {
        refused(
            &["-j", "x"],
            "-j can't be \"x\" (a whole number from 1 to 1024)",
        );
        refused(&["-c"], "-c needs a value (see --help)");
        refused(
            &["--fr\u{1b}ob"],
            "unknown option --fr\\u{1b}ob (see --help)",
        );
    }

    #[test]
    fn the_key_is_no_argument_and_is_not_repeated() {
        for option in ["--api-key", "--key", "--token", "--api_key"] {
            let sentence = format!(
                "unknown option {option}: there is no option for the token (arguments are visible to every user of the machine: set COZE_API_KEY)"
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
        let error = parse(args, &mut Options::default()).unwrap_err();
        assert_eq!(error.message, "the value of --base-url is not UTF-8");
    }

    #[test]
    fn no_request_is_dropped_without_a_word() {
        refused(
            &["-w", "7", "-w", "8"],
            "-w was given twice (for several workflows write requests, one after the other)",
        );
        refused(
            &["--request", "{}", "--request", "{}"],
            "--request was given twice (put all requests into one value, separated by white space)",
        );
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_both_names() {
        let pairs: [(&[&str], &str); 16] = [
            (&["-p", "a=1", "--request", "{}"], "--param and --request"),
            (&["--check", "-o", "f"], "--check and --output"),
            (&["--check", "--journal", "d"], "--check and --journal"),
            (&["--check", "--rerun", "failed"], "--check and --rerun"),
            (&["--events", "--check"], "--check and --events"),
            (&["--check", "-r"], "--check and --raw-output"),
            (&["--check", "-g", "a"], "--check and --get"),
            (&["--request", "{}", "f"], "--request and FILE"),
            (&["-r", "--events"], "--raw-output and --events"),
            (&["-r", "-o", "f"], "--raw-output and --output"),
            (&["-r", "--json"], "--raw-output and --json"),
            (&["-g", "a", "-r"], "--get and --raw-output"),
            (&["-g", "a", "--events"], "--get and --events"),
            (&["-g", "a", "-o", "f"], "--get and --output"),
            (&["-g", "a", "--json"], "--get and --json"),
            (&["-qv"], "--quiet and --verbose"),
        ];
        for (args, pair) in pairs {
            let sentence = format!("{pair} can't be used together (leave one of them out)");
            refused(args, &sentence);
        }
    }

    #[test]
    fn an_empty_path_is_refused_before_anything_is_paid_for() {
        refused(
            &["--get="],
            "--get is empty (a PATH such as data.images.0.url, or -r for all of it)",
        );
    }

    #[test]
    fn an_option_that_needs_another_says_so() {
        refused(
            &["--rerun", "unknown"],
            "--rerun needs --journal (the journal is what knows how runs ended)",
        );
        refused(
            &["-o", "-"],
            "--output takes the name of a file, not \"-\" (--raw-output prints the output to standard output)",
        );
    }

    #[test]
    fn a_check_takes_requests_by_every_door() {
        for args in [&["--check", "f"][..], &["--check", "--request", "{}"]] {
            assert!(options(args).names_requests());
        }
        assert!(options(&["--check", "-v"]).check);
    }
}
