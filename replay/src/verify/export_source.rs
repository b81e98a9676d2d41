//! An exported log as a source: JSON Lines in one file, or in several of a directory in the order of their names.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use ledger::ids::Position;
use serde::Deserialize;

use super::export_line::{parse_export_line, position_of};
use super::fault::FaultKind;
use super::source::{Found, Source, SourceError};

/// Lines read together.
const LINES: usize = 512;
/// No line comes near this: a commit has at most a mebibyte, and a byte takes at most six characters.
const LONGEST_LINE: u64 = 16 * 1024 * 1024;

/// An export of commits.
#[derive(Debug)]
pub struct ExportSource {
    /// Where each partition's lines are.
    segments: Vec<Vec<Segment>>,
    /// By the manifest, how many commits each partition has.
    upto: Vec<u64>,
}

/// What counts here of the manifest beside an export.
#[derive(Deserialize)]
struct Manifest {
    tenant: Option<String>,
    from: Option<String>,
    to: Option<String>,
    is_done: bool,
    upto: Vec<u64>,
}

/// Lines of one partition that follow each other in a file.
#[derive(Debug, Clone)]
struct Segment {
    file: PathBuf,
    from: u64,
    to: u64,
    lines: u64,
}

impl ExportSource {
    /// Looks through an export, which is a file or a directory with files that end in `.jsonl`.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, SourceError> {
        let path = path.into();
        let opened = tokio::task::spawn_blocking(move || Self::open_blocking(&path)).await;
        opened.map_err(io::Error::other).flatten().map_err(|error| SourceError(error.into()))
    }

    fn open_blocking(path: &Path) -> io::Result<Self> {
        let upto = manifest_of(path)?;
        // A partition begins with its first sequence; no other line leaves the partition that it stands in.
        let mut segments: Vec<Vec<Segment>> = vec![Vec::new()];
        for file in files(path)? {
            let mut reader =
                BufReader::with_capacity(1 << 16, File::open(&file).map_err(|e| naming(&file, e))?);
            let mut offset = 0;
            let mut is_new = true;
            let mut line = Vec::new();
            loop {
                let length = read_line(&mut reader, &mut line).map_err(|e| naming(&file, e))?;
                if length == 0 {
                    break;
                }
                let begins = position_of(&line).filter(|position| {
                    usize::from(position.partition) >= segments.len() && position.sequence == 1
                });
                if let Some(position) = begins {
                    segments.resize(usize::from(position.partition) + 1, Vec::new());
                    is_new = true;
                }
                let partition = segments.last_mut().ok_or_else(|| io::Error::other("no partition"))?;
                if is_new {
                    partition.push(Segment { file: file.clone(), from: offset, to: offset, lines: 0 });
                    is_new = false;
                }
                if let Some(segment) = partition.last_mut() {
                    segment.to = offset + length;
                    segment.lines += 1;
                }
                offset += length;
            }
        }
        segments.resize(segments.len().max(upto.len()), Vec::new());
        Ok(ExportSource { segments, upto })
    }

    fn of(&self, partition: u16) -> &[Segment] {
        self.segments.get(usize::from(partition)).map_or(&[], Vec::as_slice)
    }
}

#[async_trait]
impl Source for ExportSource {
    fn partitions(&self) -> u16 {
        u16::try_from(self.segments.len()).unwrap_or(u16::MAX)
    }

    async fn count(&self, partition: u16) -> Result<Option<u64>, SourceError> {
        Ok(Some(self.of(partition).iter().map(|segment| segment.lines).sum()))
    }

    fn noted(&self, partition: u16) -> Option<(u64, &str)> {
        let upto = self.upto.get(usize::from(partition))?;
        Some((*upto, "the manifest of the export"))
    }

    async fn read(
        &self,
        partition: u16,
        _count: Option<u64>,
    ) -> Result<BoxStream<'_, Result<Found, SourceError>>, SourceError> {
        let segments = self.of(partition).to_vec().into_iter();
        let reading = Reading { partition, segments, open: None, due: 1 };
        let chunks = stream::try_unfold(reading, |mut reading| async move {
            let read = tokio::task::spawn_blocking(move || {
                let chunk = reading.chunk()?;
                Ok((chunk, reading))
            });
            let (chunk, reading) =
                read.await.map_err(io::Error::other).flatten().map_err(|error| SourceError(error.into()))?;
            Ok((!chunk.is_empty()).then_some((chunk, reading)))
        });
        let found = chunks.map(|chunk| match chunk {
            Ok(chunk) => stream::iter(chunk.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(error) => stream::iter(vec![Err(error)]),
        });
        Ok(found.flatten().boxed())
    }
}

struct Reading {
    partition: u16,
    segments: std::vec::IntoIter<Segment>,
    open: Option<io::Take<BufReader<File>>>,
    /// The sequence after that of the last line.
    due: u64,
}

impl Reading {
    /// Some lines; none at the end.
    fn chunk(&mut self) -> io::Result<Vec<Found>> {
        let mut chunk = Vec::new();
        let (mut line, mut size) = (Vec::new(), 0);
        while chunk.len() < LINES && size < LONGEST_LINE {
            let Some(open) = &mut self.open else {
                let Some(segment) = self.segments.next() else { break };
                let mut file = BufReader::with_capacity(1 << 16, File::open(&segment.file)?);
                file.seek(SeekFrom::Start(segment.from))?;
                self.open = Some(file.take(segment.to - segment.from));
                continue;
            };
            match read_line(open, &mut line)? {
                0 => self.open = None,
                length => {
                    size += length;
                    chunk.push(self.found(&line));
                }
            }
        }
        Ok(chunk)
    }

    fn found(&mut self, line: &[u8]) -> Found {
        let position = Position { partition: self.partition, sequence: self.due };
        let broken = |kind, reason: &str| Found::Broken { position, kind, reason: reason.to_owned() };
        let found = match parse_export_line(line) {
            Ok(stored) if stored.position.partition == self.partition => {
                self.due = stored.position.sequence;
                Found::Commit(stored)
            }
            Ok(stored) => {
                let partition = stored.position.partition;
                broken(FaultKind::Misfiled, &format!("the line says that it is of partition {partition}"))
            }
            Err(_) if !line.ends_with(b"\n") => broken(FaultKind::Truncated, "the last line is cut off"),
            Err(reason) => broken(FaultKind::Undecodable, &reason),
        };
        self.due = self.due.saturating_add(1);
        found
    }
}

/// Reads up to and including a line feed; returns how many bytes there were, none at the end. What is longer than
/// any line is cut short: it is wrong anyway.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<u64> {
    line.clear();
    let mut length = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', line)? as u64;
    if length == LONGEST_LINE && !line.ends_with(b"\n") {
        length += reader.skip_until(b'\n')? as u64;
        line.push(b'\n');
    }
    Ok(length)
}

/// How many commits each partition of an export has by its manifest, which is beside it if it was not left behind.
fn manifest_of(path: &Path) -> io::Result<Vec<u64>> {
    let mut file = path.as_os_str().to_owned();
    file.push(".manifest.json");
    let file = PathBuf::from(file);
    let text = match std::fs::read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(naming(&file, error)),
    };
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| naming(&file, error.into()))?;
    if manifest.tenant.is_some() || manifest.from.is_some() || manifest.to.is_some() {
        let reason = "only some commits were exported; a log can be verified only whole";
        return Err(naming(&file, io::Error::other(reason)));
    }
    if !manifest.is_done {
        return Err(naming(&file, io::Error::other("the export is not finished: resume it first")));
    }
    Ok(manifest.upto)
}

fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !std::fs::metadata(path).map_err(|e| naming(path, e))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(file);
        }
    }
    files.sort_unstable();
    if files.is_empty() {
        return Err(io::Error::other(format!("{}: no file in it ends in .jsonl", path.display())));
    }
    Ok(files)
}

fn naming(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
