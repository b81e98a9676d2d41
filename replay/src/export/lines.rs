//! JSON Lines and CSV: one file that grows by whole lines.
//!
//! What must stay true: up to the length that the manifest tells, the file holds whole lines and is on disk. What a
//! crash left after it is cut off before anything is added.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::ser::{CompactFormatter, Formatter};
use sha2::{Digest, Sha256};

use super::manifest::{ExportedFile, hash_beginning, hex};
use super::table::{Column, Row, Value, time};
use super::{ExportError, Format};

/// A file of lines that is being written.
pub(super) struct Lines {
    path: PathBuf,
    columns: &'static [Column],
    writer: LineWriter,
    rows: u64,
}

enum LineWriter {
    Json(Hashed),
    Csv(Box<csv::Writer<Hashed>>),
}

/// A file, the hash of what it holds, and how much that is.
struct Hashed {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write_all(buffer)?;
        self.hash.update(buffer);
        self.bytes += buffer.len() as u64;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Lines {
    /// Begins a file, or goes on with one of which `written` is on disk.
    pub(super) fn open(
        path: &Path,
        format: Format,
        columns: &'static [Column],
        written: Option<&ExportedFile>,
    ) -> Result<Self, ExportError> {
        let failed = |error| ExportError::file(path, error);
        let (bytes, rows) = written.map_or((0, 0), |written| (written.bytes, written.rows));
        let mut hash = Sha256::new();
        if let Some(written) = written {
            hash = hash_beginning(path, bytes).map_err(failed)?;
            if hex(hash.clone()) != written.sha256 {
                return Err(ExportError::Changed { path: path.to_owned() });
            }
        }
        let options = || {
            let mut file = File::options().create(true).truncate(false).write(true).open(path)?;
            file.set_len(bytes)?;
            file.seek(SeekFrom::Start(bytes))?;
            Ok(BufWriter::with_capacity(256 * 1024, file))
        };
        let file = Hashed { file: options().map_err(failed)?, hash, bytes };
        let writer = match format {
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(file);
                if bytes == 0 {
                    let names = columns.iter().map(|column| column.name);
                    writer.write_record(names).map_err(|error| failed(error.into()))?;
                }
                LineWriter::Csv(Box::new(writer))
            }
            Format::Jsonl | Format::Parquet => LineWriter::Json(file),
        };
        Ok(Lines { path: path.to_owned(), columns, writer, rows })
    }

    /// Adds a row.
    pub(super) fn write(&mut self, row: &Row) -> Result<(), ExportError> {
        let columns = self.columns;
        let written = match &mut self.writer {
            LineWriter::Json(file) => write_json(file, columns, row),
            LineWriter::Csv(writer) => write_csv(writer, row),
        };
        self.rows += 1;
        written.map_err(|error| ExportError::file(&self.path, error))
    }

    /// Adds a line that has its form already; only to JSON Lines.
    pub(super) fn write_line(&mut self, line: &[u8]) -> Result<(), ExportError> {
        let written = match &mut self.writer {
            LineWriter::Json(file) => file.write_all(line).and_then(|()| file.write_all(b"\n")),
            LineWriter::Csv(_) => Err(io::Error::other("a line of JSON in a CSV file")),
        };
        self.rows += 1;
        written.map_err(|error| ExportError::file(&self.path, error))
    }

    /// Flushes all that was added to disk, and says what that is.
    pub(super) fn flush(&mut self) -> Result<ExportedFile, ExportError> {
        let mut flush = || {
            let file = match &mut self.writer {
                LineWriter::Json(file) => {
                    file.flush()?;
                    file
                }
                LineWriter::Csv(writer) => {
                    writer.flush()?;
                    writer.get_ref()
                }
            };
            file.file.get_ref().sync_data()?;
            Ok((file.bytes, file.hash.clone()))
        };
        let (bytes, hash): (u64, Sha256) = flush().map_err(|error| ExportError::file(&self.path, error))?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(ExportedFile { name, bytes, rows: self.rows, sha256: hex(hash) })
    }
}

/// One JSON object, its fields in the order of the columns; every field is there.
fn write_json(out: &mut Hashed, columns: &[Column], row: &Row) -> io::Result<()> {
    let mut line = Vec::with_capacity(512);
    let mut form = CompactFormatter;
    form.begin_object(&mut line)?;
    for (index, (column, value)) in columns.iter().zip(row).enumerate() {
        form.begin_object_key(&mut line, index == 0)?;
        serde_json::to_writer(&mut line, column.name)?;
        form.begin_object_value(&mut line)?;
        match value {
            Value::Missing => line.extend_from_slice(b"null"),
            Value::Integer(number) => serde_json::to_writer(&mut line, number)?,
            Value::Time(at) => serde_json::to_writer(&mut line, &time(*at))?,
            Value::Text(text) => serde_json::to_writer(&mut line, text)?,
        }
    }
    form.end_object(&mut line)?;
    line.push(b'\n');
    out.write_all(&line)
}

/// One record of RFC 4180; what is missing is empty.
fn write_csv(out: &mut csv::Writer<Hashed>, row: &Row) -> io::Result<()> {
    for value in row {
        match value {
            Value::Missing => out.write_field(""),
            Value::Integer(number) => out.write_field(number.to_string()),
            Value::Time(at) => out.write_field(time(*at)),
            Value::Text(text) => out.write_field(text.as_bytes()),
        }?;
    }
    Ok(out.write_record(None::<&[u8]>)?)
}
