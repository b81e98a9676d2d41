//! Rows that are on their way to disk, in a file beside sled's: after a crash they are written again.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::store::StoreError;
use crate::store::block::{self, Entry};

/// Bytes that are written to a file at a time.
const BUFFER: usize = 64 * 1024;

/// The files of one table. There is one at most that counts.
pub(super) struct Redo {
    directory: PathBuf,
    /// What their names begin with.
    prefix: String,
}

impl Redo {
    pub(super) fn new(directory: &Path, table: &str) -> Self {
        Redo { directory: directory.to_owned(), prefix: format!("redo-{table}.") }
    }

    /// Puts rows down, durably. Returns a note of the file.
    pub(super) fn write<'a>(&self, rows: impl Iterator<Item = Entry<'a>>) -> Result<Vec<u8>, StoreError> {
        let note = Uuid::now_v7().to_string();
        let mut file = BufWriter::with_capacity(BUFFER, File::create(self.path(&note))?);
        block::write(&mut file, rows)?;
        file.flush()?;
        file.get_ref().sync_data()?;
        Ok(note.into_bytes())
    }

    /// The rows that a note tells of.
    pub(super) fn read(
        &self,
        note: &[u8],
        mut row: impl FnMut(&[u8], Option<&[u8]>),
    ) -> Result<(), StoreError> {
        let lost = |reason: &str| StoreError::Damaged(format!("rows were on their way to disk: {reason}"));
        let note = std::str::from_utf8(note).map_err(|_| lost("nobody can say which"))?;
        let bytes = match fs::read(self.path(note)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(lost("they are gone")),
            Err(error) => return Err(error.into()),
        };
        for entry in block::decode(&bytes)? {
            let (key, found) = entry?;
            row(key, found);
        }
        Ok(())
    }

    /// Removes all files: nothing is on its way.
    pub(super) fn forget(&self) -> Result<(), StoreError> {
        for file in fs::read_dir(&self.directory)? {
            let file = file?;
            if file.file_name().to_string_lossy().starts_with(&self.prefix) {
                fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }

    fn path(&self, note: &str) -> PathBuf {
        self.directory.join(format!("{}{note}", self.prefix))
    }
}
