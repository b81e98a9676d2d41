//! Parquet, behind one door: nothing else in Daybook knows the library.
//!
//! An export is a directory of parts, `part-00000.parquet` and so on, each a whole file: what a crash left unfinished
//! has another name and is written again. Row groups are small, since a group is held in memory until it is whole.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::ExportError;
use super::manifest::{ExportedFile, hash_beginning, hex, rename};
use super::table::{Column, Kind, Row, Value};

/// Rows of a group.
const GROUP: usize = 32 * 1024;

/// The parts of an export that are being written.
pub(super) struct Parts {
    directory: PathBuf,
    schema: Arc<Type>,
    properties: Arc<WriterProperties>,
    /// Rows after which a part is closed.
    part_rows: u64,
    number: usize,
    part: Option<SerializedFileWriter<File>>,
    /// Rows of the part that is open, with those of the group.
    rows: u64,
    columns: Vec<Group>,
    group_rows: usize,
}

/// The values of one column in the row group that is being gathered.
struct Group {
    is_required: bool,
    values: Values,
    /// For each row, 1 where there is a value and 0 where there is none; empty for a required column.
    levels: Vec<i16>,
}

enum Values {
    Integers(Vec<i64>),
    Texts(Vec<ByteArray>),
}

impl Parts {
    /// Goes on after the parts that are `written`, which must still be as they were.
    pub(super) fn open(
        directory: &Path,
        columns: &'static [Column],
        part_rows: u64,
        written: &[ExportedFile],
    ) -> Result<Self, ExportError> {
        let failed = |error| ExportError::file(directory, error);
        fs::create_dir_all(directory).map_err(failed)?;
        for part in written {
            let path = directory.join(&part.name);
            let hash = hash_beginning(&path, part.bytes).map_err(|error| ExportError::file(&path, error))?;
            if hex(hash) != part.sha256 {
                return Err(ExportError::Changed { path });
            }
        }
        // A part that was renamed just before a crash is not in the manifest: it is written again.
        for entry in fs::read_dir(directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_string_lossy();
            let is_ours = name.starts_with("part-") || name.starts_with(UNFINISHED);
            if is_ours && !written.iter().any(|part| *part.name == *name) {
                fs::remove_file(directory.join(&*name)).map_err(failed)?;
            }
        }
        let schema = schema(columns).map_err(|error| failed(io::Error::other(error)))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(None)
            .set_created_by(concat!("daybook ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        Ok(Parts {
            directory: directory.to_owned(),
            schema: Arc::new(schema),
            properties: Arc::new(properties),
            part_rows,
            number: written.len(),
            part: None,
            rows: 0,
            columns: columns.iter().map(Group::new).collect(),
            group_rows: 0,
        })
    }

    /// Adds a row.
    pub(super) fn write(&mut self, row: &Row) -> Result<(), ExportError> {
        for (column, value) in self.columns.iter_mut().zip(row) {
            column.push(value);
        }
        self.rows += 1;
        self.group_rows += 1;
        if self.group_rows == GROUP {
            self.write_group().map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    /// Whether the part that is open has all the rows that it should have.
    pub(super) fn is_full(&self) -> bool {
        self.rows >= self.part_rows
    }

    /// Whether nothing was added since the last part was closed.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// How many parts are closed.
    pub(super) fn closed(&self) -> usize {
        self.number
    }

    /// Closes the part that is open; one without rows where there is none. It is on disk when this returns.
    pub(super) fn close_part(&mut self) -> Result<ExportedFile, ExportError> {
        let name = format!("part-{:05}.parquet", self.number);
        let path = self.directory.join(&name);
        let unfinished = self.unfinished();
        let mut close = || -> Result<(u64, String), ParquetError> {
            self.write_group()?;
            let part = match self.part.take() {
                Some(part) => part,
                None => self.begin_part()?,
            };
            part.into_inner()?.sync_all()?;
            rename(&unfinished, &path)?;
            let bytes = fs::metadata(&path)?.len();
            Ok((bytes, hex(hash_beginning(&path, bytes)?)))
        };
        let (bytes, sha256) = close().map_err(|error| self.failed(error))?;
        let rows = std::mem::take(&mut self.rows);
        self.number += 1;
        Ok(ExportedFile { name, bytes, rows, sha256 })
    }

    fn unfinished(&self) -> PathBuf {
        self.directory.join(format!("{UNFINISHED}{:05}.parquet", self.number))
    }

    fn begin_part(&self) -> Result<SerializedFileWriter<File>, ParquetError> {
        let file = File::create(self.unfinished())?;
        SerializedFileWriter::new(file, Arc::clone(&self.schema), Arc::clone(&self.properties))
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        if self.group_rows == 0 {
            return Ok(());
        }
        let part = match self.part.take() {
            Some(part) => part,
            None => self.begin_part()?,
        };
        let part = self.part.insert(part);
        let mut group = part.next_row_group()?;
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column()? else { break };
            let levels = (!column.is_required).then_some(column.levels.as_slice());
            match &column.values {
                Values::Integers(values) => {
                    writer.typed::<Int64Type>().write_batch(values, levels, None)?;
                }
                Values::Texts(values) => {
                    writer.typed::<ByteArrayType>().write_batch(values, levels, None)?;
                }
            }
            writer.close()?;
            column.clear();
        }
        group.close()?;
        self.group_rows = 0;
        Ok(())
    }

    fn failed(&self, error: ParquetError) -> ExportError {
        ExportError::file(&self.directory, io::Error::other(error))
    }
}

/// Readers of a directory pass over what begins with a dot.
const UNFINISHED: &str = ".unfinished-";

impl Group {
    fn new(column: &Column) -> Self {
        let values = match column.kind {
            Kind::Integer | Kind::Time => Values::Integers(Vec::new()),
            Kind::Text => Values::Texts(Vec::new()),
        };
        Group { is_required: column.is_required, values, levels: Vec::new() }
    }

    fn push(&mut self, value: &Value) {
        match (&mut self.values, value) {
            (Values::Integers(values), Value::Integer(number)) => values.push(*number),
            (Values::Integers(values), Value::Time(at)) => values.push(at.as_microsecond()),
            (Values::Texts(values), Value::Text(text)) => values.push(ByteArray::from(text.as_ref())),
            // A required column that lacks a value has too few of them, which the library refuses.
            (Values::Integers(_) | Values::Texts(_), _) => return self.levels.push(0),
        }
        self.levels.push(1);
    }

    fn clear(&mut self) {
        self.levels.clear();
        match &mut self.values {
            Values::Integers(values) => values.clear(),
            Values::Texts(values) => values.clear(),
        }
    }
}

fn schema(columns: &[Column]) -> Result<Type, ParquetError> {
    let field = |column: &Column| {
        let (physical, logical) = match column.kind {
            Kind::Integer => (Physical::INT64, None),
            Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let repetition = if column.is_required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
        let built = Type::primitive_type_builder(column.name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical)
            .build();
        built.map(Arc::new)
    };
    let fields = columns.iter().map(field).collect::<Result<_, _>>()?;
    Type::group_type_builder("daybook").with_fields(fields).build()
}
