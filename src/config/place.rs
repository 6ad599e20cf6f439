//! Where a field may be: variables, then files. What one place holds, and what was found where.

use std::borrow::Cow;

use super::env::Env;
use super::file::ConfigFile;

/// The `source` of what nobody configured.
pub(super) const DEFAULT: &str = "default";

/// A value and the place that held it.
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) source: String,
}

impl<T> Found<T> {
    pub(super) fn new(value: T, source: impl Into<String>) -> Self {
        let source = source.into();
        Self { value, source }
    }
}

/// Somewhere a field may be, and what is there: a text, or why there is none.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) content: Result<String, Cow<'static, str>>,
}

impl Place {
    pub(super) fn variable(name: &str, env: &Env) -> Self {
        Self {
            name: name.to_owned(),
            content: env.text(name).ok_or("not set".into()),
        }
    }

    pub(super) fn file(file: &ConfigFile, field: &str) -> Self {
        Self {
            name: file.path.display().to_string(),
            content: file.text(field),
        }
    }
}

/// What the variables, then the files, hold of one field; trimmed.
pub(super) fn texts(
    variables: &[&str],
    field: &str,
    env: &Env,
    files: &[ConfigFile],
) -> impl Iterator<Item = Found<String>> {
    let variables = variables.iter().map(|name| Place::variable(name, env));
    let files = files.iter().map(|file| Place::file(file, field));
    variables.chain(files).filter_map(|place| {
        let text = place.content.ok()?;
        Some(Found::new(text.trim().to_owned(), place.name))
    })
}
