//! `-o FILE`: the output of a run, in a file that is there whole or not at all. Its temporary file
//! is made before anything is sent, so that a run is not paid for and then has nowhere to go.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::response;

/// A file that is about to be written.
#[derive(Debug)]
pub(crate) struct OutputFile {
    /// As the caller named it.
    name: PathBuf,
    file: File,
    /// The temporary file and what it will replace; nothing for what is written in place.
    replaces: Option<Replaces>,
}

#[derive(Debug)]
struct Replaces {
    temporary: PathBuf,
    target: PathBuf,
}

impl Drop for Replaces {
    /// What was not moved to its place is not left lying about.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary);
    }
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
        let existing = fs::metadata(name).ok();
        if existing
            .as_ref()
            .is_some_and(|metadata| !metadata.is_file())
        {
            return Ok(Self {
                name: name.to_owned(),
                file: OpenOptions::new().write(true).open(name)?,
                replaces: None,
            });
        }
        // Behind a symbolic link the file itself is replaced, not the link.
        let target = match &existing {
            Some(_) => fs::canonicalize(name)?,
            None => name.to_owned(),
        };
        let mut temporary_name = OsString::from(".");
        temporary_name.push(target.file_name().ok_or(io::ErrorKind::InvalidInput)?);
        temporary_name.push(format!(".{}.tmp", std::process::id()));
        let temporary = target.with_file_name(temporary_name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        let replaces = Replaces { temporary, target };
        if let Some(existing) = existing {
            file.set_permissions(existing.permissions())?;
        }
        Ok(Self {
            name: name.to_owned(),
            file,
            replaces: Some(replaces),
        })
    }

    /// Writes all of it, and only then gives the file its name.
    pub(crate) fn write(mut self, output: &[u8]) -> Result<response::OutputFile, String> {
        let written = self.write_all(output);
        match written {
            Ok(()) => Ok(response::OutputFile {
                path: self.name.display().to_string(),
                bytes: output.len() as u64,
            }),
            Err(error) => Err(format!("cannot write {}: {error}", self.name.display())),
        }
    }

    fn write_all(&mut self, output: &[u8]) -> io::Result<()> {
        self.file.write_all(output)?;
        if let Some(Replaces { temporary, target }) = &self.replaces {
            self.file.sync_all()?;
            fs::rename(temporary, target)?;
        }
        Ok(())
    }
}

/// Whether it is another name for what this process has open.
fn names_descriptor(name: &Path) -> bool {
    let streams = ["/dev/stdin", "/dev/stdout", "/dev/stderr"];
    let directories = ["/dev/fd", "/proc/self/fd"];
    streams.into_iter().any(|stream| name == Path::new(stream))
        || directories
            .into_iter()
            .any(|directory| name.starts_with(directory))
}

#[cfg(test)]
mod tests {
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
        let written = file.write("你好".as_bytes()).unwrap();
        assert_eq!(written.bytes, 6);
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
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
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
        assert!(error.starts_with("cannot write /dev/full: "), "{error}");
    }

    #[test]
    fn a_directory_that_is_not_there_is_told_before_anything_is_sent() {
        let error = OutputFile::prepare(Path::new("/nowhere/out")).unwrap_err();
        assert!(
            error.message.starts_with("cannot write /nowhere/out: "),
            "{error}"
        );
    }
}
