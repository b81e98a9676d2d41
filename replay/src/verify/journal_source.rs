//! A journal as a source: read past what its adapter stops at.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use ledger::ids::Position;
use ledger::journal::{BoxError, Journal, ReadError, Stored, Tail};

use super::fault::FaultKind;
use super::source::{Found, Source, SourceError};

/// A tail that brings nothing for so long although there is more has failed.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);
/// How often a server may fail in a row before it is called away.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);
/// After a failure of a file, this many commits are read one by one, to tell the readable from the rest.
const ONE_BY_ONE: u64 = 1024;

/// The commits of a journal, which may be in use meanwhile.
pub struct JournalSource {
    journal: Arc<dyn Journal>,
    medium: Medium,
}

/// What a read that fails means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// A file on this machine: what cannot be read is damaged.
    File,
    /// A server: it may be away.
    Server,
}

impl JournalSource {
    /// The journal's commits.
    pub fn new(journal: Arc<dyn Journal>, medium: Medium) -> Self {
        JournalSource { journal, medium }
    }
}

#[async_trait]
impl Source for JournalSource {
    fn partitions(&self) -> u16 {
        self.journal.partitions()
    }

    async fn count(&self, partition: u16) -> Result<Option<u64>, SourceError> {
        match self.journal.last_sequence(partition).await {
            Ok(last) => Ok(Some(last)),
            // The damaged place is found by reading up to it.
            Err(_) if self.medium == Medium::File => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn read(
        &self,
        partition: u16,
        count: Option<u64>,
    ) -> Result<BoxStream<'_, Result<Found, SourceError>>, SourceError> {
        let reading =
            Reading { source: self, partition, due: 1, last: count, tail: None, one_by_one: 0, failures: 0 };
        Ok(stream::try_unfold(reading, |mut reading| async move {
            Ok(reading.next().await?.map(|found| (found, reading)))
        })
        .boxed())
    }
}

struct Reading<'a> {
    source: &'a JournalSource,
    partition: u16,
    /// The sequence to be read next.
    due: u64,
    /// The last one to read. None when nobody knows: then what cannot be read is the end.
    last: Option<u64>,
    tail: Option<Tail>,
    /// How many more to read without the tail.
    one_by_one: u64,
    /// In a row.
    failures: u32,
}

impl Reading<'_> {
    async fn next(&mut self) -> Result<Option<Found>, SourceError> {
        while self.last.is_none_or(|last| self.due <= last) {
            let found = match self.one_by_one {
                0 => self.follow().await?,
                _ => self.look().await?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The next one of the tail. None when it has to be tried again.
    async fn follow(&mut self) -> Result<Option<Found>, SourceError> {
        let next = match self.tail.take() {
            Some(tail) => Ok(tail),
            None => self.source.journal.tail(self.partition, self.due - 1).await,
        };
        let next = match next {
            Ok(mut tail) => match tokio::time::timeout(LONGEST_SILENCE, tail.next()).await {
                Ok(Some(Ok(stored))) => {
                    self.tail = Some(tail);
                    return Ok(self.commit(stored));
                }
                Ok(Some(Err(error))) => error,
                Ok(None) => ReadError::Unavailable("the journal's tail ended".into()),
                Err(_elapsed) => ReadError::Unavailable("the journal's tail has fallen silent".into()),
            },
            Err(error) => error,
        };
        match (next, self.source.medium) {
            (ReadError::Foreign { position, reason }, Medium::Server) if position.sequence == self.due => {
                Ok(Some(self.broken(FaultKind::Misfiled, reason)))
            }
            // What lies between is not there; the next commit shows it.
            (ReadError::Foreign { position, .. }, Medium::Server) if position.sequence > self.due => {
                self.due = position.sequence;
                Ok(None)
            }
            // A page of a file is read together, so those before it may be good.
            (ReadError::Foreign { position, .. }, Medium::File) if position.sequence >= self.due => {
                self.one_by_one = position.sequence - self.due + 1;
                Ok(None)
            }
            (ReadError::Foreign { .. } | ReadError::Unavailable(_), Medium::File) => {
                self.one_by_one = ONE_BY_ONE;
                Ok(None)
            }
            (error, Medium::Server) => {
                self.failures += 1;
                if self.failures >= TRIES {
                    return Err(error.into());
                }
                tokio::time::sleep(PAUSE).await;
                Ok(None)
            }
        }
    }

    /// The one that is due, by itself. None when there is none.
    async fn look(&mut self) -> Result<Option<Found>, SourceError> {
        self.one_by_one -= 1;
        let position = Position { partition: self.partition, sequence: self.due };
        match self.source.journal.at(position).await {
            Ok(Some(stored)) => Ok(self.commit(stored)),
            Ok(None) => {
                self.due += 1;
                Ok(None)
            }
            Err(ReadError::Foreign { reason, .. }) => Ok(Some(self.broken(FaultKind::Misfiled, reason))),
            Err(ReadError::Unavailable(error)) => {
                if self.last.is_none() {
                    self.last = Some(self.due);
                }
                Ok(Some(self.broken(FaultKind::Undecodable, unreadable(&error))))
            }
        }
    }

    fn commit(&mut self, stored: Stored) -> Option<Found> {
        self.failures = 0;
        self.due = stored.position.sequence + 1;
        // One that came after the reading began is another day's.
        let is_wanted = self.last.is_none_or(|last| stored.position.sequence <= last);
        is_wanted.then_some(Found::Commit(stored))
    }

    fn broken(&mut self, kind: FaultKind, reason: String) -> Found {
        let position = Position { partition: self.partition, sequence: self.due };
        self.due += 1;
        Found::Broken { position, kind, reason }
    }
}

/// A journal in a file that is there and cannot be opened as one.
pub struct UnreadableJournal {
    /// Why not.
    pub reason: String,
}

#[async_trait]
impl Source for UnreadableJournal {
    fn partitions(&self) -> u16 {
        1
    }

    async fn count(&self, _partition: u16) -> Result<Option<u64>, SourceError> {
        Ok(None)
    }

    async fn read(
        &self,
        partition: u16,
        _count: Option<u64>,
    ) -> Result<BoxStream<'_, Result<Found, SourceError>>, SourceError> {
        let position = Position { partition, sequence: 1 };
        let reason = self.reason.clone();
        Ok(stream::iter([Ok(Found::Broken { position, kind: FaultKind::Undecodable, reason })]).boxed())
    }
}

fn unreadable(error: &BoxError) -> String {
    format!("the file cannot be read here: {error}")
}
