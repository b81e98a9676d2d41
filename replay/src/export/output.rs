//! Where rows go: a file of lines or a directory of parts, and the manifest that says how far that has come.

use super::lines::Lines;
use super::manifest::{Manifest, Reached};
use super::parquet::Parts;
use super::table::{Column, Row};
use super::{ExportError, ExportOptions, Format, What, events, orders};
use std::path::PathBuf;

/// Rows after which a file of lines is flushed and the manifest written: what a crash costs at most.
const SAVE_EVERY: u64 = 10_000;

/// The output of one export.
pub(super) struct Output {
    out: PathBuf,
    manifest: Manifest,
    files: Files,
    /// Rows since the manifest was written.
    unsaved: u64,
}

enum Files {
    Lines(Box<Lines>),
    Parts(Box<Parts>),
}

impl Output {
    /// Opens the output where the manifest says it is.
    pub(super) fn open(options: &ExportOptions, manifest: Manifest) -> Result<Self, ExportError> {
        let ExportOptions { what, format, out, part_rows, .. } = options;
        let columns: &'static [Column] = match what {
            What::Commits => &[],
            What::Events => events::COLUMNS,
            What::Orders => orders::ORDERS,
            What::Totals => orders::TOTALS,
        };
        // The manifest first: an output without one belongs to somebody else.
        manifest.write(out)?;
        let files = match format {
            Format::Jsonl | Format::Csv => {
                Files::Lines(Box::new(Lines::open(out, *format, columns, manifest.files.first())?))
            }
            Format::Parquet => {
                Files::Parts(Box::new(Parts::open(out, columns, *part_rows, &manifest.files)?))
            }
        };
        Ok(Output { out: out.clone(), manifest, files, unsaved: 0 })
    }

    /// After what this run goes on.
    pub(super) fn reached(&self) -> &Reached {
        &self.manifest.reached
    }

    /// Adds a row.
    pub(super) fn write(&mut self, row: &Row) -> Result<(), ExportError> {
        self.unsaved += 1;
        match &mut self.files {
            Files::Lines(lines) => lines.write(row),
            Files::Parts(parts) => parts.write(row),
        }
    }

    /// Adds a line that has its form already.
    pub(super) fn write_line(&mut self, line: &[u8]) -> Result<(), ExportError> {
        self.unsaved += 1;
        match &mut self.files {
            Files::Lines(lines) => lines.write_line(line),
            Files::Parts(_) => {
                Err(ExportError::Refused("commits are archived as JSON Lines only".to_owned()))
            }
        }
    }

    /// Whether it is time to save what there is.
    pub(super) fn is_due(&self) -> bool {
        match &self.files {
            Files::Lines(_) => self.unsaved >= SAVE_EVERY,
            Files::Parts(parts) => parts.is_full(),
        }
    }

    /// Makes durable what was added, all of it up to `reached`, and then says so.
    pub(super) fn save(&mut self, reached: Reached) -> Result<(), ExportError> {
        match &mut self.files {
            Files::Lines(lines) => self.manifest.files = vec![lines.flush()?],
            Files::Parts(parts) => self.manifest.files.push(parts.close_part()?),
        }
        self.manifest.rows = self.manifest.files.iter().map(|file| file.rows).sum();
        self.manifest.reached = reached;
        self.manifest.write(&self.out)?;
        self.unsaved = 0;
        Ok(())
    }

    /// Saves the rest, and says that this is all.
    pub(super) fn finish(
        mut self,
        reached: Reached,
        merkle_roots: Option<Vec<String>>,
    ) -> Result<Manifest, ExportError> {
        match &mut self.files {
            Files::Lines(lines) => self.manifest.files = vec![lines.flush()?],
            // Without any row there is still a file, so that a reader learns the columns.
            Files::Parts(parts) if parts.is_empty() && parts.closed() > 0 => {}
            Files::Parts(parts) => self.manifest.files.push(parts.close_part()?),
        }
        self.manifest.rows = self.manifest.files.iter().map(|file| file.rows).sum();
        self.manifest.reached = reached;
        self.manifest.merkle_roots = merkle_roots;
        self.manifest.is_done = true;
        self.manifest.write(&self.out)?;
        Ok(self.manifest)
    }
}
