//! `-o FILE`: the output of a run, in a file that is there whole or not at all. Its temporary file
//! is made before anything is sent, so that a run is not paid for and then has nowhere to go.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use super::new_file::{Temporary, create_new};
use crate::error::Error;
use crate::platform;

/// A file that is about to be written.
#[derive(Debug)]
pub(crate) struct OutputFile {
    /// As the caller named it.
    pub(super) name: String,
    /// What is written first.
    file: File,
    /// How that file takes the place of the target; nothing for what is no regular file, which is
    /// written itself.
    replacement: Option<Replacement>,
}

#[derive(Debug)]
struct Replacement {
    path: Temporary,
    target: PathBuf,
    /// What is there already: open, so that it can be written in place.
    existing: Option<File>,
}

impl OutputFile {
    /// Makes sure that the file can be written. What is no regular file (a pipe, `/dev/stdout` when it
    /// is one) is opened as it is.
    pub(crate) fn prepare(name: &Path) -> Result<Self, Error> {
        if names_descriptor(name) && fs::metadata(name).is_ok_and(|metadata| metadata.is_file()) {
            let sentence = "leads to a file that is open already and would be replaced";
            let local = Error::usage(format!("{} {sentence}", name.display()));
            return Err(local.hint(
                "to print the output itself: -r",
                "要直接输出 output 本身，请用 -r",
            ));
        }
        Self::open(name).map_err(|error| {
            Error::usage(format!("cannot write {}: {error}", name.display())).hint(
                "-o needs a file in a directory that can be written",
                "-o 需要位于可写目录中的文件",
            )
        })
    }

    fn open(name: &Path) -> io::Result<Self> {
        let existing = match OpenOptions::new().write(true).open(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Self::beside(name, name.to_owned(), None);
            }
            opened => opened?,
        };
        let metadata = existing.metadata()?;
        if !metadata.is_file() {
            return Ok(Self {
                name: name.display().to_string(),
                file: existing,
                replacement: None,
            });
        }
        // A symbolic link stays, and the file that it names is replaced.
        let new = Self::beside(name, platform::canonical(name)?, Some(existing))?;
        platform::copy_mode(&metadata, &new.file)?;
        Ok(new)
    }

    /// A new file, under a name of its own, so that nothing that an earlier process left is in the way.
    fn beside(name: &Path, target: PathBuf, existing: Option<File>) -> io::Result<Self> {
        target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        // Not from the target's name, which may be as long as names can be.
        let random = RandomState::new().hash_one(std::process::id());
        let path = target.with_file_name(format!(".coze-workflow-{random:016x}.tmp"));
        Ok(Self {
            name: name.display().to_string(),
            file: create_new(&path)?,
            replacement: Some(Replacement {
                path: Temporary(path),
                target,
                existing,
            }),
        })
    }

    /// Writes all of it, and only then gives the file its name.
    pub(crate) fn write(mut self, output: &[u8]) -> io::Result<()> {
        self.file.write_all(output)?;
        let Some(new) = &mut self.replacement else {
            return Ok(());
        };
        self.file.sync_all()?;
        match (fs::rename(&new.path.0, &new.target), &mut new.existing) {
            // The target is mounted, or somebody else's in a sticky directory: it has its place.
            (Err(_), Some(existing)) => {
                existing.set_len(0)?;
                existing.rewind()?;
                existing.write_all(output)?;
                existing.sync_all()
            }
            (renamed, _) => renamed,
        }
    }
}

/// Whether it is another name for what this process has open.
fn names_descriptor(name: &Path) -> bool {
    let streams = ["/dev/stdin", "/dev/stdout", "/dev/stderr"];
    let directories = ["/dev/fd", "/proc/self/fd"];
    let mut places = streams.into_iter().chain(directories);
    // What the shell sent a stream to has a name of its own.
    let real = fs::canonicalize(name).ok();
    let is_stream = |stream| real.is_some() && fs::canonicalize(stream).ok() == real;
    places.any(|place| name.starts_with(place)) || streams.into_iter().any(is_stream)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn the_file_has_its_name_only_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let file = OutputFile::prepare(&path).unwrap();
        assert!(!path.exists());
        file.write("你好".as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "你好");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(names(directory.path()), ["out"]);
    }

    #[test]
    fn a_file_that_is_not_written_leaves_nothing_and_the_old_one_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        fs::write(&path, "old").unwrap();
        drop(OutputFile::prepare(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(directory.path()), ["out"]);
    }

    #[test]
    fn the_old_files_mode_stays_and_a_link_stays_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("out"), directory.path().join("link"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        symlink(&path, &link).unwrap();
        OutputFile::prepare(&link).unwrap().write(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn what_is_no_regular_file_is_written_in_place() {
        OutputFile::prepare(Path::new("/dev/null"))
            .unwrap()
            .write(b"x")
            .unwrap();
        let error = OutputFile::prepare(Path::new("/dev/full"))
            .unwrap()
            .write(b"x")
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_directory_that_is_not_there_is_reported_before_anything_is_sent() {
        let error = OutputFile::prepare(Path::new("/nowhere/out")).unwrap_err();
        assert!(
            error.message.starts_with("cannot write /nowhere/out: "),
            "{error}"
        );
    }

    #[test]
    fn what_an_earlier_process_left_does_not_stand_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        for _ in 0..3 {
            // As a process that was killed does.
            std::mem::forget(OutputFile::prepare(&path).unwrap());
        }
        OutputFile::prepare(&path).unwrap().write(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(directory.path()).len(), 4);
    }

    #[test]
    fn a_replaced_files_mode_is_kept_without_what_would_run_it_as_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o6751)).unwrap();
        OutputFile::prepare(&path).unwrap().write(b"new").unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o751);
    }

    #[test]
    fn a_name_as_long_as_names_can_be_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("o".repeat(255));
        OutputFile::prepare(&path).unwrap().write(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn where_names_cannot_be_exchanged_the_old_file_is_written_in_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        fs::write(&path, "an old text that is longer").unwrap();
        let file = OutputFile::prepare(&path).unwrap();
        // As on a mounted file: its name can't be given to another one.
        let hidden = directory.path().join("hidden");
        fs::rename(&path, &hidden).unwrap();
        fs::create_dir(&path).unwrap();
        file.write(b"new").unwrap();
        assert_eq!(fs::read_to_string(&hidden).unwrap(), "new");
        assert_eq!(names(directory.path()).len(), 2);
    }

    #[test]
    fn where_names_cannot_be_exchanged_and_nothing_was_there_it_is_reported() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let file = OutputFile::prepare(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let error = file.write(b"new").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        assert_eq!(names(directory.path()), ["out"]);
    }

    #[test]
    fn a_target_that_cannot_be_written_is_reported_before_anything_is_sent() {
        // A process whose user may write everything opens it all the same.
        let read_only = Path::new("/proc/version");
        let error = OutputFile::prepare(read_only).unwrap_err();
        let begin = "cannot write /proc/version: ";
        assert!(error.message.starts_with(begin), "{error}");
    }
}
