//! The writer's thread: all that waits, in one transaction.

use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::{bytes, memo, newest, position};
use crate::ids::Position;
use crate::journal::recent::Recent;
use crate::journal::{AppendError, Draft, PutMemoError, Stored};

/// Most writes that share a transaction: enough to hide the cost of a flush, few enough to keep latency flat.
const BATCH: usize = 1000;

#[derive(Debug)]
pub(super) struct Writer {
    /// None only while dropping.
    pub(super) requests: Option<mpsc::Sender<Write>>,
    pub(super) newest: watch::Receiver<u64>,
    pub(super) recent: Arc<Recent>,
    pub(super) thread: Option<JoinHandle<()>>,
}

impl Drop for Writer {
    /// Waits for the last commit, so that whoever opens the file next finds it unlocked.
    fn drop(&mut self) {
        self.requests = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the journal's writer panicked");
        }
    }
}

#[derive(Debug)]
pub(super) enum Write {
    Append(Append),
    Restore(Restore),
    PutMemo(PutMemo),
}

#[derive(Debug)]
pub(super) struct Append {
    pub(super) draft: Draft,
    pub(super) expected: u64,
    pub(super) reply: oneshot::Sender<Result<Position, AppendError>>,
}

#[derive(Debug)]
pub(super) struct Restore {
    pub(super) commits: Vec<Stored>,
    pub(super) reply: oneshot::Sender<Result<Position, AppendError>>,
}

#[derive(Debug)]
pub(super) struct PutMemo {
    pub(super) name: String,
    pub(super) expected: u64,
    pub(super) bytes: Bytes,
    pub(super) reply: oneshot::Sender<Result<u64, PutMemoError>>,
}

/// How one write of a stored batch ended: sequences of an append, revisions of a memo.
#[derive(Debug)]
enum Outcome {
    Stored(u64),
    Conflict {
        actual: u64,
    },
    /// Only this one could not be written.
    Failed(rusqlite::Error),
}

#[derive(Debug, Clone)]
enum BatchError {
    /// Nothing of the batch was stored.
    RolledBack(Arc<rusqlite::Error>),
    /// `COMMIT` failed: its last page may have reached the disk, and would count after a crash.
    InDoubt(Arc<rusqlite::Error>),
}

impl BatchError {
    fn rolled_back(error: rusqlite::Error) -> Self {
        BatchError::RolledBack(Arc::new(error))
    }
}

pub(super) fn write(
    mut connection: Connection,
    mut waiting: mpsc::Receiver<Write>,
    newest: &watch::Sender<u64>,
    recent: &Recent,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.blocking_recv_many(&mut batch, BATCH) > 0 {
        match store(&mut connection, &batch) {
            Ok((last, outcomes)) => {
                keep(recent, *newest.borrow(), batch.iter().zip(&outcomes));
                newest.send_replace(last);
                for (write, outcome) in batch.drain(..).zip(outcomes) {
                    write.answer(Ok(outcome));
                }
            }
            Err(error) => {
                recent.clear();
                match &error {
                    BatchError::RolledBack(error) => {
                        tracing::error!(%error, writes = batch.len(), "the journal stored none of a batch");
                    }
                    BatchError::InDoubt(error) => {
                        tracing::error!(%error, writes = batch.len(), "it is unknown whether the journal stored a batch");
                    }
                }
                for write in batch.drain(..) {
                    write.answer(Err(error.clone()));
                }
            }
        }
    }
}

/// Keeps what a stored batch has appended after the sequence that was the newest before.
fn keep<'a>(recent: &Recent, before: u64, batch: impl Iterator<Item = (&'a Write, &'a Outcome)>) {
    let mut newest = before;
    for (write, outcome) in batch {
        match (write, outcome) {
            (Write::Append(Append { draft, .. }), Outcome::Stored(sequence)) if *sequence == newest + 1 => {
                newest = *sequence;
                let (subject, bytes) = (draft.subject.clone(), draft.bytes.clone());
                recent.add(Stored { position: position(newest), subject, bytes });
            }
            // Copies come in bulk; who follows them reads the file.
            (Write::Restore(_), Outcome::Stored(last) | Outcome::Conflict { actual: last }) => {
                newest = *last;
            }
            // What was stored before, or not at all.
            (Write::Append(_) | Write::Restore(_) | Write::PutMemo(_), _) => {}
        }
    }
}

impl Write {
    fn answer(self, outcome: Result<Outcome, BatchError>) {
        let heard = match self {
            Write::Append(Append { reply, .. }) | Write::Restore(Restore { reply, .. }) => reply
                .send(match outcome {
                    Ok(Outcome::Stored(sequence)) => Ok(position(sequence)),
                    Ok(Outcome::Conflict { actual }) => {
                        Err(AppendError::Conflict { actual: position(actual) })
                    }
                    Ok(Outcome::Failed(error)) => Err(AppendError::Unavailable(Box::new(error))),
                    Err(BatchError::RolledBack(error)) => Err(AppendError::Unavailable(Box::new(error))),
                    Err(BatchError::InDoubt(error)) => Err(AppendError::Unknown(Box::new(error))),
                })
                .is_ok(),
            Write::PutMemo(put) => put
                .reply
                .send(match outcome {
                    Ok(Outcome::Stored(revision)) => Ok(revision),
                    Ok(Outcome::Conflict { .. }) => Err(PutMemoError::Conflict),
                    Ok(Outcome::Failed(error)) => Err(PutMemoError::Unavailable(Box::new(error))),
                    Err(BatchError::RolledBack(error)) => Err(PutMemoError::Unavailable(Box::new(error))),
                    Err(BatchError::InDoubt(error)) => Err(PutMemoError::Unknown(Box::new(error))),
                })
                .is_ok(),
        };
        if !heard {
            tracing::debug!("nobody waits for this write any more");
        }
    }
}

/// Stores a batch in one transaction; returns the newest sequence and each write's outcome.
fn store(connection: &mut Connection, batch: &[Write]) -> Result<(u64, Vec<Outcome>), BatchError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(BatchError::rolled_back)?;
    // Dropping the transaction on the way out rolls it back.
    let mut last = newest(&transaction).map_err(BatchError::rolled_back)?;
    let mut outcomes = Vec::with_capacity(batch.len());
    for write in batch {
        let outcome = match write {
            Write::Append(append) => {
                let outcome = store_one(&transaction, append, last + 1).map_err(BatchError::rolled_back)?;
                if let Outcome::Stored(sequence) = outcome {
                    last = last.max(sequence);
                }
                outcome
            }
            Write::Restore(restore) => {
                let outcome =
                    store_copies(&transaction, &restore.commits, last).map_err(BatchError::rolled_back)?;
                last = match outcome {
                    Outcome::Stored(newest) | Outcome::Conflict { actual: newest } => newest,
                    Outcome::Failed(_) => last,
                };
                outcome
            }
            Write::PutMemo(put) => match store_memo(&transaction, put) {
                // A memo is not worth a commit, unless SQLite gave up the whole transaction.
                Err(error) if !transaction.is_autocommit() => Outcome::Failed(error),
                outcome => outcome.map_err(BatchError::rolled_back)?,
            },
        };
        outcomes.push(outcome);
    }
    transaction.commit().map_err(|error| BatchError::InDoubt(Arc::new(error)))?;
    Ok((last, outcomes))
}

fn store_memo(connection: &Connection, put: &PutMemo) -> rusqlite::Result<Outcome> {
    let PutMemo { name, expected, bytes, reply: _ } = put;
    let actual = memo(connection, name)?.map_or(0, |memo| memo.revision);
    if actual != *expected {
        return Ok(Outcome::Conflict { actual });
    }
    let mut put = connection
        .prepare_cached("INSERT OR REPLACE INTO memos (name, revision, bytes) VALUES (?1, ?2, ?3)")?;
    match std::str::from_utf8(bytes) {
        // Text, for `sqlite3` to show.
        Ok(text) if !text.contains('\0') => put.execute((name, actual + 1, text))?,
        Ok(_) | Err(_) => put.execute((name, actual + 1, bytes.as_ref()))?,
    };
    Ok(Outcome::Stored(actual + 1))
}

fn store_one(connection: &Connection, append: &Append, next: u64) -> rusqlite::Result<Outcome> {
    let Append { draft, expected, reply: _ } = append;
    let tenant = draft.subject.tenant.as_str();
    let id = draft.subject.id.to_string();
    // A first commit needs no look: a subject that has commits has one without a commit before it.
    if *expected == 0 && insert(connection, next, (tenant, &id), 0, &draft.bytes)? {
        return Ok(Outcome::Stored(next));
    }
    let actual = newest_of(connection, tenant, &id)?;
    if actual == *expected && insert(connection, next, (tenant, &id), actual, &draft.bytes)? {
        return Ok(Outcome::Stored(next));
    }
    let follower = connection
        .prepare_cached(
            "SELECT sequence, bytes FROM commits WHERE tenant = ?1 AND id = ?2 AND previous = ?3",
        )?
        .query_row((tenant, &id, expected), |row| {
            let stored: u64 = row.get(0)?;
            Ok(bytes(row.get_ref(1)?).is_some_and(|bytes| draft.is(bytes)).then_some(stored))
        })
        .optional()?;
    Ok(match follower.flatten() {
        Some(sequence) => Outcome::Stored(sequence),
        None => Outcome::Conflict { actual },
    })
}

/// Stores commits where they stood in another journal, up to the first that is not due. Either outcome tells the
/// newest sequence then.
fn store_copies(connection: &Connection, commits: &[Stored], newest: u64) -> rusqlite::Result<Outcome> {
    let mut newest = newest;
    for commit in commits {
        let Stored { position, subject, bytes } = commit;
        let (tenant, id) = (subject.tenant.as_str(), subject.id.to_string());
        if position.sequence == newest + 1 {
            let previous = newest_of(connection, tenant, &id)?;
            if !insert(connection, position.sequence, (tenant, &id), previous, bytes)? {
                return Ok(Outcome::Conflict { actual: newest });
            }
            newest = position.sequence;
        } else if !is_there(connection, commit)? {
            return Ok(Outcome::Conflict { actual: newest });
        }
    }
    Ok(Outcome::Stored(newest))
}

/// Whether exactly this commit stands at its position.
fn is_there(connection: &Connection, commit: &Stored) -> rusqlite::Result<bool> {
    let there = connection
        .prepare_cached("SELECT tenant, id, bytes FROM commits WHERE sequence = ?1")?
        .query_row([commit.position.sequence], |row| {
            let same_subject = row.get_ref(0)?.as_str().is_ok_and(|it| it == commit.subject.tenant.as_str())
                && row.get_ref(1)?.as_str().is_ok_and(|it| it == commit.subject.id.to_string());
            Ok(same_subject && bytes(row.get_ref(2)?) == Some(&commit.bytes[..]))
        })
        .optional()?;
    Ok(there == Some(true))
}

/// The sequence of a subject's newest commit, 0 when it has none. A chain's links come in the order of its sequences,
/// so the last link is the newest commit.
fn newest_of(connection: &Connection, tenant: &str, id: &str) -> rusqlite::Result<u64> {
    let newest = connection
        .prepare_cached(
            "SELECT sequence FROM commits WHERE tenant = ?1 AND id = ?2 ORDER BY previous DESC LIMIT 1",
        )?
        .query_row((tenant, id), |row| row.get(0))
        .optional()?;
    Ok(newest.unwrap_or(0))
}

/// Whether the commit was stored: not when its subject has another one after `previous`.
fn insert(
    connection: &Connection,
    sequence: u64,
    (tenant, id): (&str, &str),
    previous: u64,
    bytes: &[u8],
) -> rusqlite::Result<bool> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO commits (sequence, tenant, id, previous, bytes) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (tenant, id, previous) DO NOTHING",
    )?;
    let inserted = match std::str::from_utf8(bytes) {
        // Text, for `sqlite3` to show. Anything else has to come back unchanged as well.
        Ok(text) if !text.contains('\0') => insert.execute((sequence, tenant, id, previous, text))?,
        Ok(_) | Err(_) => insert.execute((sequence, tenant, id, previous, bytes))?,
    };
    Ok(inserted == 1)
}
