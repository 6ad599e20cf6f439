//! Where a field may be: variables, then files. What one place holds, and what was found where.

use std::borrow::Cow;

use crate::cli::Options;
use crate::error::Error;

use super::env::Env;
use super::file::ConfigFile;

/// The `source` of what nobody configured.
pub(super) const DEFAULT: &str = "default";

/// What is found in some place, or why it can't be used.
pub(super) type Search<T> = Result<Found<T>, Error>;

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

/// A text, or why there is none.
pub(super) type Content = Result<String, Cow<'static, str>>;

/// All that a field may come from.
pub(super) struct Sources<'a> {
    pub(super) options: &'a Options,
    pub(super) env: &'a Env,
    pub(super) files: Vec<ConfigFile>,
}

impl Sources<'_> {
    /// The variables, then the files, and what each holds of one field.
    pub(super) fn places(&self, variables: &[&str], field: &str) -> Vec<Found<Content>> {
        let text = |name| self.env.text(name).ok_or("not set".into());
        let variables = variables.iter().map(|name| Found::new(text(name), *name));
        let file = |file: &ConfigFile| Found::new(file.text(field), file.name());
        variables.chain(self.files.iter().map(file)).collect()
    }

    /// What they hold, trimmed.
    pub(super) fn texts(&self, variables: &[&str], field: &str) -> Vec<Found<String>> {
        let text = |content: Content| Some(content.ok()?.trim().to_owned());
        let found = |place: Found<Content>| Some(Found::new(text(place.value)?, place.source));
        let places = self.places(variables, field).into_iter();
        places.filter_map(found).collect()
    }
}
