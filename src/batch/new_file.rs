//! Files that are made: of their owner's alone, and never in the place of one that is there.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::platform;

/// Makes a file that its owner alone may read and write; an error where one is there.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).append(true).create_new(true);
    platform::make_private(options).open(path)
}

/// The name of a file that is removed on drop: by then it has its own name, or is not wanted. Makes
/// no file.
#[derive(Debug)]
pub(super) struct Temporary(pub(super) PathBuf);

impl Temporary {
    pub(super) fn new(directory: &Path, token: &str) -> Self {
        Self(directory.join(format!(".{token}.tmp")))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
