//! The key that tree heads are signed with: made on the first start, and from then on what names the log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::checkpoints::MAX_ORIGIN_BYTES;
use super::note::{KeyError, NoteSigner, is_name};

/// Room for the number of a partition after the origin.
const MAX_NAME_BYTES: usize = MAX_ORIGIN_BYTES - 6;

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or made.
    #[error("the audit key {} cannot be read or made: {source}", path.display())]
    Io {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no key.
    #[error("the audit key {} cannot be used: {source}", path.display())]
    Invalid {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// It signs for another log than the one configured.
    #[error("the audit key {} is for the log {found}, and {configured} is configured", path.display())]
    OtherOrigin {
        /// Where it is.
        path: PathBuf,
        /// What it signs for.
        found: String,
        /// What it should sign for.
        configured: String,
    },
}

/// Whether a log may have this name: no spaces, no `+`, at most 249 bytes.
pub fn is_origin(text: &str) -> bool {
    is_name(text) && text.len() <= MAX_NAME_BYTES
}

/// Reads the key in a file, and makes the file, for its owner alone, where there is none. `origin` is what the log is
/// called; where it is not given, a new log is called `default`, and an old one is called what it was.
pub fn load_or_make(path: &Path, origin: Option<&str>, default: &str) -> Result<NoteSigner, KeyFileError> {
    match load(path)? {
        Some(signer) => {
            let found = signer.name();
            match origin {
                Some(configured) if configured != found => Err(KeyFileError::OtherOrigin {
                    path: path.to_owned(),
                    found: found.to_owned(),
                    configured: configured.to_owned(),
                }),
                Some(_) | None => Ok(signer),
            }
        }
        None => {
            let made = NoteSigner::generate(origin.unwrap_or(default));
            let signer = made.map_err(|source| KeyFileError::Invalid { path: path.to_owned(), source })?;
            write(path, &signer).map_err(|source| KeyFileError::Io { path: path.to_owned(), source })?;
            tracing::info!(file = %path.display(), "a new audit key was made; keep a copy of it");
            Ok(signer)
        }
    }
}

/// Reads the key in a file, if there is one.
pub fn load(path: &Path) -> Result<Option<NoteSigner>, KeyFileError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(KeyFileError::Io { path: path.to_owned(), source }),
    };
    let invalid = |source| KeyFileError::Invalid { path: path.to_owned(), source };
    let signer: NoteSigner = text.trim_end().parse().map_err(invalid)?;
    if !is_origin(signer.name()) {
        return Err(invalid(KeyError::Name));
    }
    if is_open_to_others(path) {
        tracing::warn!(file = %path.display(), "other users of this machine can read the audit key");
    }
    Ok(Some(signer))
}

/// By way of a file beside it, so that there is never half a key.
fn write(path: &Path, signer: &NoteSigner) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    file.write_all(format!("{}\n", signer.to_secret_text()).as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    sync_directory(directory)
}

/// Makes the names in a directory durable, where the system can.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_path: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit/key");
        assert!(load(&path).unwrap().is_none());
        let made = load_or_make(&path, Some("log.example"), "daybook").unwrap();
        assert!(!is_open_to_others(&path));
        let read = load_or_make(&path, None, "daybook").unwrap();
        assert_eq!((read.name(), read.verifier()), ("log.example", made.verifier()));
        let other = load_or_make(&path, Some("other.example"), "daybook").unwrap_err();
        assert!(matches!(other, KeyFileError::OtherOrigin { .. }), "{other}");
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, "hunter2").unwrap();
        let error = load_or_make(&path, None, "daybook").unwrap_err();
        assert!(matches!(error, KeyFileError::Invalid { .. }) && !error.to_string().contains("hunter2"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "hunter2");
    }

    #[test]
    fn an_origin_has_neither_spaces_nor_a_plus() {
        assert!(is_origin("daybook") && is_origin("shop.example/log"));
        for bad in ["", "a b", "a+b", &"x".repeat(MAX_NAME_BYTES + 1)] {
            assert!(!is_origin(bad), "{bad:?}");
        }
    }
}
