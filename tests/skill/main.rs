//! What `make skill` puts together, and what the documents promise, used as its readers use it: the
//! page and the launcher in a copied directory, every command of the documents in a shell, the static
//! binary in an empty root. Around the program under test, or, with nothing skipped, in
//! the directory that `COZE_WORKFLOW_SKILL` names.

#![allow(clippy::unwrap_used)]

mod assembled;
mod documents;
mod launcher;
mod others;
mod page;
mod sandbox;
#[path = "../support/mod.rs"]
mod support;
mod systems;
mod trials;
