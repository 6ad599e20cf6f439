//! All that Linux, macOS and Windows do differently: who may use a file, names, words, streams. Decides
//! nothing about a run. What each system is promised is a table in src/static/README.md.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use self::system::*;

/// How the name of a variable is looked for: on Windows capitals and small letters are the same.
pub(crate) fn variable<'a>(name: impl Into<Cow<'a, OsStr>>) -> Cow<'a, OsStr> {
    if cfg!(windows) {
        return name.into().to_ascii_uppercase().into();
    }
    name.into()
}

/// Whether a terminal understands escape sequences; on Windows, if a variable that `is_set` says so.
pub(crate) fn knows_escapes(is_set: impl Fn(&str) -> bool) -> bool {
    !cfg!(windows) || ["WT_SESSION", "TERM", "ConEmuANSI"].into_iter().any(is_set)
}

/// The user's directory of configurations, where `XDG_CONFIG_HOME` does not say.
pub(crate) fn configurations(data: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    if cfg!(windows) {
        return data;
    }
    Some(home?.join(".config"))
}

/// What went wrong, without its number. Where Windows says it, in the user's language, std's words.
pub(crate) fn reason(error: &io::Error) -> String {
    let (kind, text) = (error.kind().to_string(), error.to_string());
    if cfg!(windows) && error.raw_os_error().is_some() && kind != "uncategorized error" {
        return kind;
    }
    text.split(" (os error").next().unwrap_or_default().into()
}

/// Whether others than its owner may read or write a file.
pub(crate) fn others_may_use(path: &Path) -> bool {
    mode_and_owner(path).0 & 0o077 != 0
}

pub(crate) fn everyone_may_write(path: &Path) -> bool {
    mode_and_owner(path).0 & 0o002 != 0
}

/// Whether a stranger may have put the file there: everyone may write its directory; where the sticky
/// bit keeps others' files, it is no stranger's if the superuser owns it, or who owns `ours`.
pub(crate) fn may_be_a_strangers(file: &Path, ours: &Path) -> bool {
    let directory = file.parent().map_or(0, |path| mode_and_owner(path).0);
    let is_known = [0, mode_and_owner(ours).1].contains(&mode_and_owner(file).1);
    directory & 0o002 != 0 && !(is_known && directory & 0o1000 != 0)
}

#[cfg(unix)]
mod system {
    use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
    use std::io::ErrorKind::{InvalidInput, Unsupported};
    use std::os::fd::AsFd;
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};

    use super::{Path, PathBuf, io};

    /// Standard output without std's buffer, which looks for a line feed in a text of megabytes too.
    pub(crate) type StandardOutput = File;

    pub(crate) fn standard_output() -> io::Result<StandardOutput> {
        Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
    }

    /// A file that is made so is its owner's alone.
    pub(crate) fn make_private(options: &mut OpenOptions) -> &mut OpenOptions {
        options.mode(0o600)
    }

    pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    /// Without the bits that would run the file in somebody else's name: its content is another.
    pub(crate) fn copy_mode(from: &Metadata, to: &File) -> io::Result<()> {
        to.set_permissions(Permissions::from_mode(from.mode() & 0o777))
    }

    /// Of a link the owner is its own. Nobody may do anything with what is not there.
    pub(super) fn mode_and_owner(path: &Path) -> (u32, u32) {
        let owner = fs::symlink_metadata(path).map_or(0, |name| name.uid());
        (fs::metadata(path).map_or(0, |file| file.mode()), owner)
    }

    /// The one name of a file, as a person is shown it.
    pub(crate) fn canonical(path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    /// Syncs the names in a directory. Some file systems can't, and need not.
    pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
        match File::open(path)?.sync_all() {
            Err(error) if matches!(error.kind(), InvalidInput | Unsupported) => Ok(()),
            other => other,
        }
    }
}

#[cfg(windows)]
mod system {
    use std::fs::{self, File, Metadata, OpenOptions};

    use super::{Path, PathBuf, io};

    /// std writes UTF-16 where it is a console.
    pub(crate) type StandardOutput = io::Stdout;

    pub(crate) fn standard_output() -> io::Result<StandardOutput> {
        Ok(io::stdout())
    }

    /// The directory's access list decides.
    pub(crate) fn make_private(options: &mut OpenOptions) -> &mut OpenOptions {
        options
    }

    pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    pub(crate) fn copy_mode(_: &Metadata, _: &File) -> io::Result<()> {
        Ok(())
    }

    /// Access lists are not judged.
    pub(super) fn mode_and_owner(_: &Path) -> (u32, u32) {
        (0, 0)
    }

    /// Without `\\?\`, which few other programs take.
    pub(crate) fn canonical(path: &Path) -> io::Result<PathBuf> {
        let path = fs::canonicalize(path)?;
        let plain = |text: &str| text.replace(r"\\?\UNC\", r"\\").replace(r"\\?\", "");
        Ok(path.to_str().map(plain).map_or(path, PathBuf::from))
    }

    /// A directory can't be synced.
    pub(crate) fn sync_directory(_: &Path) -> io::Result<()> {
        Ok(())
    }
}
