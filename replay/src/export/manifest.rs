//! The manifest beside an export: what was asked for, what has been written, and how to go on.
//!
//! It is `<out>.manifest.json`. What must stay true: it never claims more than is on disk. It is written in one step,
//! after what it speaks of has been flushed.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ExportError, Format, What};

/// The only form of a manifest that there has been so far.
const FORM: u32 = 1;

/// What an export is and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this document.
    pub daybook_export: u32,
    /// What was asked for. It cannot change when an export is resumed.
    #[serde(flatten)]
    pub request: Request,
    /// The newest sequence of each partition when the export began: nothing after it is in the export.
    pub upto: Vec<u64>,
    /// Whether it is finished.
    pub is_done: bool,
    /// Rows in all files; lines but for a CSV's header.
    pub rows: u64,
    /// What has been written, in order.
    pub files: Vec<ExportedFile>,
    /// For an archive of all commits: the Merkle root of each partition at `upto`, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merkle_roots: Option<Vec<String>>,
    /// After what to go on.
    pub reached: Reached,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Which table.
    pub what: What,
    /// Written how.
    pub format: Format,
    /// Only this tenant's; null: everybody's.
    pub tenant: Option<String>,
    /// Only from this time or position on.
    pub from: Option<String>,
    /// Only before this time, or up to this position.
    pub to: Option<String>,
}

/// A file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedFile {
    /// Its name, beside the manifest or in the export's directory.
    pub name: String,
    /// Bytes that count; an unfinished file may have more.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
    /// SHA-256 of these bytes, in hex.
    pub sha256: String,
}

/// After what an export goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    /// After these sequences, by partition.
    Commits(Vec<u64>),
    /// After this order.
    Order {
        /// Whose it is.
        tenant: String,
        /// The position of its first commit.
        first: String,
    },
}

impl Manifest {
    /// An export that has not begun, of a log that ends at `upto`.
    pub(super) fn new(request: Request, upto: Vec<u64>) -> Self {
        let reached = Reached::Commits(vec![0; upto.len()]);
        Manifest {
            daybook_export: FORM,
            request,
            upto,
            is_done: false,
            rows: 0,
            files: Vec::new(),
            merkle_roots: None,
            reached,
        }
    }

    /// Where the manifest of an export is.
    pub fn path(out: &Path) -> PathBuf {
        let mut name = out.as_os_str().to_owned();
        name.push(".manifest.json");
        name.into()
    }

    /// Reads the manifest of an export; none when there is none.
    pub fn read(out: &Path) -> Result<Option<Self>, ExportError> {
        let path = Manifest::path(out);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ExportError::file(&path, error)),
        };
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| {
            ExportError::Refused(format!("{} is not an export's manifest: {error}", path.display()))
        })?;
        if manifest.daybook_export != FORM {
            return Err(ExportError::Refused(format!(
                "{} has form {}; this Daybook writes form {FORM}",
                path.display(),
                manifest.daybook_export
            )));
        }
        Ok(Some(manifest))
    }

    /// Replaces the manifest on disk.
    pub(super) fn write(&self, out: &Path) -> Result<(), ExportError> {
        let path = Manifest::path(out);
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        let put = || -> io::Result<()> {
            let mut text = serde_json::to_vec_pretty(self)?;
            text.push(b'\n');
            let mut file = File::create(&unfinished)?;
            file.write_all(&text)?;
            file.sync_all()?;
            rename(&unfinished, &path)
        };
        put().map_err(|error| ExportError::file(&path, error))
    }
}

/// Renames a file and sees to it that the name survives a power cut.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Not every platform can open a directory; where one cannot, its file system does not need it.
    match File::open(directory) {
        Ok(directory) => directory.sync_all(),
        Err(_) => Ok(()),
    }
}

/// Hashes the first `bytes` of a file. A file that is shorter is an error of kind `UnexpectedEof`.
pub(super) fn hash_beginning(path: &Path, bytes: u64) -> io::Result<Sha256> {
    let mut file = File::open(path)?.take(bytes);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut left = bytes;
    while left > 0 {
        match file.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => {
                hash.update(&buffer[..count]);
                left -= count as u64;
            }
        }
    }
    Ok(hash)
}

/// A hash as it stands in a manifest.
pub(super) fn hex(hash: Sha256) -> String {
    HEXLOWER.encode(&hash.finalize())
}
