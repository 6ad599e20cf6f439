//! What the machine says of the process: its variables, its executable, the user's home. Taken once,
//! so that a test can say it instead.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::language::Language;
use crate::platform;

/// Has no `Debug`: among the variables is the key.
pub(crate) struct Env {
    pub(super) variables: BTreeMap<OsString, OsString>,
    pub(super) executable: Option<PathBuf>,
    pub(super) home: Option<PathBuf>,
}

impl Env {
    pub(crate) fn real() -> Self {
        Self {
            variables: env::vars_os()
                .map(|(name, value)| (platform::variable(name).into_owned(), value))
                .collect(),
            executable: env::current_exe().ok(),
            home: home::home_dir().filter(|home| !home.as_os_str().is_empty()),
        }
    }

    /// A variable that is not empty.
    fn variable(&self, name: &str) -> Option<&OsStr> {
        let value = self.variables.get(&*platform::variable(OsStr::new(name)))?;
        (!value.is_empty()).then_some(value)
    }

    /// A variable as text, trimmed; an empty one is unset. Bytes that are no UTF-8 become U+FFFD,
    /// which no field accepts.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let value = self.variable(name)?.to_string_lossy();
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// A variable as a path; an empty one is unset.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(PathBuf::from)
    }

    /// A directory in a variable of `OpenClaw`, which expands `~` itself.
    pub(super) fn directory(&self, name: &str) -> Option<PathBuf> {
        let path = self.path(name)?;
        match (path.strip_prefix("~"), &self.home) {
            (Ok(below), Some(home)) => Some(home.join(below)),
            _ => Some(path),
        }
    }
}

/// Whether a terminal understands escape sequences.
pub(crate) fn knows_escapes(env: &Env) -> bool {
    platform::knows_escapes(|name| env.text(name).is_some())
}

/// Whether a terminal may be sent colours. <https://no-color.org>
pub(crate) fn has_colours(env: &Env) -> bool {
    env.path("NO_COLOR").is_none() && env.text("TERM").is_none_or(|term| term != "dumb")
}

/// The language of whoever started the program. As POSIX has it, the first of the variables that is
/// not empty decides alone: `LC_ALL=C` is English whatever `LANG` says.
pub(crate) fn language(env: &Env) -> Language {
    let names = ["LC_ALL", "LC_MESSAGES", "LANG"];
    let locale = names.into_iter().find_map(|name| env.text(name));
    locale.map_or(Language::English, |name| Language::of_locale(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Env {
        /// A machine with nothing on it but these variables.
        pub(in crate::config) fn scripted(variables: &[(&str, &str)]) -> Self {
            let variables = variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()));
            Self {
                variables: variables.collect(),
                executable: None,
                home: None,
            }
        }
    }

    #[test]
    fn the_first_locale_variable_that_is_not_empty_decides_the_language() {
        use Language::{Chinese, English};
        let table: [(&[(&str, &str)], Language); 7] = [
            (&[], English),
            (&[("LANG", "zh_CN.UTF-8")], Chinese),
            (&[("LANG", "C.UTF-8")], English),
            (&[("LC_ALL", "C"), ("LANG", "zh_CN")], English),
            (&[("LC_ALL", ""), ("LC_MESSAGES", "zh_TW")], Chinese),
            (&[("LC_MESSAGES", "zh-Hans"), ("LANG", "C")], Chinese),
            (&[("LC_ALL", "en_US"), ("LC_MESSAGES", "zh_TW")], English),
        ];
        for (variables, expected) in table {
            let env = Env::scripted(variables);
            assert_eq!(language(&env), expected, "{variables:?}");
        }
    }
}
