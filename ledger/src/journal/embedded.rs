//! The embedded journal: one SQLite file, one writer, any number of readers.
//!
//! What must stay true:
//! - Only the writer thread writes. It stores all that waits in one transaction, so the price of making
//!   commits durable (`synchronous=FULL`) is shared by all who wait for it; when nobody waits, nobody is held up.
//! - The file alone upholds the contract: dense sequences, one commit per expectation, no change and no removal
//!   are constraints and triggers of its schema, and hold for any other program that opens it as well.
//! - An auditor needs `sqlite3` and nothing of ours: ids and commits are stored as text.

mod integrity;
mod keys;
mod writer;

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use self::keys::EmbeddedKeys;
use self::writer::{Append, PutMemo, Restore, Write, Writer, write};
use super::pages::{PAGE, Pages};
use super::recent::Recent;
use super::{
    AppendError, BoxError, Description, Draft, Journal, Memo, OpenError, PutMemoError, ReadError, Stored,
    Subject, Tail,
};
use crate::ids::Position;
use crate::keys::KeyStore;

pub use integrity::{Contradiction, check_file};

/// `PRAGMA application_id` of every Daybook journal: "Dayb".
const APPLICATION_ID: i32 = 0x4461_7962;
/// `PRAGMA user_version`: the only format there has been so far.
const FORMAT: i32 = 1;
/// The one partition of an embedded journal.
const PARTITION: u16 = 0;
/// Writes that may wait for the writer; the next one waits for room.
const QUEUE: usize = 1024;
/// Connections that read at the same time.
const READERS: usize = 4;
/// A tail reads this many commits at a time, or this many bytes, whichever comes first.
const TAIL_ROWS: usize = 1024;
const TAIL_BYTES: usize = 4 * 1024 * 1024;
/// How often a tail looks at a file that another process writes.
const POLL: Duration = Duration::from_millis(100);
/// How long to wait for a lock that somebody with a `sqlite3` prompt holds.
const BUSY: Duration = Duration::from_secs(5);
/// Why nothing is written.
const READ_ONLY: &str = "the journal was opened for reading only";
const STOPPED: &str = "the journal's writer has stopped";

/// The format, with its comments: `.schema` shows them to whoever opens the file.
///
/// A subject's commits form a chain through `previous`, so the unique constraint is at once the optimistic
/// concurrency, the index that finds a subject's commits in order, and the one that finds a retried append.
const SCHEMA: &str = "
CREATE TABLE commits (
    -- Daybook, an append-only ledger of orders: one row is one commit, and no row ever changes or disappears.
    sequence INTEGER PRIMARY KEY CHECK (sequence > 0), -- 1, 2, 3, ... without a gap
    tenant   TEXT    NOT NULL,                         -- whose order it is
    id       TEXT    NOT NULL,                         -- the order's id
    previous INTEGER NOT NULL CHECK (previous >= 0 AND previous < sequence), -- the order's commit before; 0: none
    bytes    ANY     NOT NULL,                         -- the commit, exactly as it was written: JSON
    UNIQUE (tenant, id, previous)
) STRICT;
CREATE TRIGGER commits_have_no_gap BEFORE INSERT ON commits
WHEN NEW.sequence IS NOT (SELECT coalesce(max(sequence), 0) + 1 FROM commits)
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: the next sequence is the newest and one'); END;
CREATE TRIGGER commits_never_change BEFORE UPDATE ON commits
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: a commit never changes'); END;
CREATE TRIGGER commits_never_disappear BEFORE DELETE ON commits
BEGIN SELECT RAISE(ABORT, 'the journal is append-only: a commit never disappears'); END;
";

/// Memos are no part of the log, so they came without a new format: a file that was made before has none.
const MEMOS: &str = "
CREATE TABLE IF NOT EXISTS memos (
    -- Not part of the ledger: what Daybook remembers about its own work. No fact of any order.
    name     TEXT    PRIMARY KEY,
    revision INTEGER NOT NULL CHECK (revision > 0), -- 1, 2, 3, ...
    bytes    ANY     NOT NULL
) STRICT;
";

/// What can be chosen about an embedded journal.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The largest commit taken, in bytes. The default is what a NATS server with default settings takes as
    /// well, so that every ledger can be copied to one.
    pub max_commit_bytes: usize,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        EmbeddedOptions { max_commit_bytes: 1023 * 1024 }
    }
}

/// A journal in one SQLite file.
#[derive(Debug)]
pub struct EmbeddedJournal {
    path: PathBuf,
    options: EmbeddedOptions,
    readers: Arc<Readers>,
    keys: Arc<EmbeddedKeys>,
    pages: Pages,
    /// None when the file was opened for reading only.
    writer: Option<Writer>,
}

impl EmbeddedJournal {
    /// Opens the journal at `path`, creating the file and its directory when missing.
    ///
    /// Only one process may have it open for writing: a file lock at `<path>.lock` sees to that.
    pub async fn open(path: impl Into<PathBuf>, options: EmbeddedOptions) -> Result<Self, OpenError> {
        let path = path.into();
        blocking(move || Self::open_blocking(&path, options, |_| Ok(())))
            .await
            .map_err(OpenError::Unavailable)?
    }

    /// Opens an existing journal to read it, also while another process writes it. Appends are `Unavailable`.
    pub async fn open_read_only(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let path = path.into();
        blocking(move || Self::open_read_only_blocking(path)).await.map_err(OpenError::Unavailable)?
    }

    /// Whether some process has the journal open to write it. What is not there is not in use.
    pub async fn is_in_use(path: impl Into<PathBuf>) -> Result<bool, OpenError> {
        let path = path.into();
        let ask = move || {
            if !path.is_file() {
                return Ok(false);
            }
            let path = resolve(&path).map_err(|e| OpenError::Unavailable(e.into()))?;
            match lock(&path) {
                Ok(_lock) => Ok(false),
                Err(OpenError::Refused(_)) => Ok(true),
                Err(error @ OpenError::Unavailable(_)) => Err(error),
            }
        };
        blocking(ask).await.map_err(OpenError::Unavailable)?
    }

    /// `tune` sees the writing connection before it is used; tests limit the size of the file with it.
    fn open_blocking(
        path: &Path,
        options: EmbeddedOptions,
        tune: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<Self, OpenError> {
        let path = resolve(path).map_err(|e| OpenError::Unavailable(e.into()))?;
        let lock = lock(&path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let connection = connect(&path, flags).map_err(|e| refusal(&path, e))?;
        prepare(&connection, &path)?;
        connection.execute_batch(MEMOS).map_err(|e| refusal(&path, e))?;
        tune(&connection).map_err(|e| refusal(&path, e))?;
        let newest = newest(&connection).map_err(|e| refusal(&path, e))?;

        let (requests, waiting) = mpsc::channel(QUEUE);
        let (sender, newest) = watch::channel(newest);
        let recent = Arc::new(Recent::default());
        let kept = Arc::clone(&recent);
        let thread = std::thread::Builder::new()
            .name("journal-writer".to_owned())
            .spawn(move || {
                // Declared first, dropped last: the next writer comes in after this one's connection is closed.
                let _lock = lock;
                write(connection, waiting, &sender, &kept);
            })
            .map_err(|e| OpenError::Unavailable(e.into()))?;
        let writer = Writer { requests: Some(requests), newest, recent, thread: Some(thread) };
        let keys = Arc::new(EmbeddedKeys::new(keys::path(&path), false));
        let (readers, pages) = (Readers::new(&path), Pages::new(1));
        Ok(EmbeddedJournal { path, options, readers, keys, pages, writer: Some(writer) })
    }

    fn open_read_only_blocking(path: PathBuf) -> Result<Self, OpenError> {
        if !path.is_file() {
            let shown = path.display();
            return Err(OpenError::Refused(format!("there is no journal at {shown}: check the path")));
        }
        let readers = Readers::new(&path);
        let connection = readers.connect().map_err(|e| refusal(&path, e))?;
        check_format(&connection, &path)?;
        readers.keep(connection);
        let keys = Arc::new(EmbeddedKeys::new(keys::path(&path), true));
        let (options, pages) = (EmbeddedOptions::default(), Pages::new(1));
        Ok(EmbeddedJournal { path, options, readers, keys, pages, writer: None })
    }

    /// The way to the writer; none where the file was opened for reading only.
    fn requests(&self) -> Option<&mpsc::Sender<Write>> {
        self.writer.as_ref()?.requests.as_ref()
    }
}

#[async_trait]
impl Journal for EmbeddedJournal {
    fn partitions(&self) -> u16 {
        1
    }

    async fn append(&self, draft: &Draft, expected: u64) -> Result<Position, AppendError> {
        let requests = self.requests().ok_or_else(|| AppendError::Unavailable(READ_ONLY.into()))?;
        let (size, limit) = (draft.bytes.len(), self.options.max_commit_bytes);
        if size > limit {
            return Err(AppendError::TooLarge { size, limit });
        }
        let (reply, outcome) = oneshot::channel();
        // Past what SQLite counts to there is no commit: such an expectation is as wrong clipped as it was.
        let expected = expected.min(i64::MAX as u64);
        let append = Append { draft: draft.clone(), expected, reply };
        requests.send(Write::Append(append)).await.map_err(|_| AppendError::Unavailable(STOPPED.into()))?;
        outcome.await.unwrap_or_else(|_| Err(AppendError::Unknown(STOPPED.into())))
    }

    async fn restore(&self, commits: &[Stored]) -> Result<(), AppendError> {
        let requests = self.requests().ok_or_else(|| AppendError::Unavailable(READ_ONLY.into()))?;
        let limit = self.options.max_commit_bytes;
        for Stored { position, bytes, .. } in commits {
            check_partition(position.partition).map_err(|e| AppendError::Unavailable(e.into()))?;
            if bytes.len() > limit {
                return Err(AppendError::TooLarge { size: bytes.len(), limit });
            }
        }
        let (reply, outcome) = oneshot::channel();
        let restore = Write::Restore(Restore { commits: commits.to_vec(), reply });
        requests.send(restore).await.map_err(|_| AppendError::Unavailable(STOPPED.into()))?;
        let stored = outcome.await.unwrap_or_else(|_| Err(AppendError::Unknown(STOPPED.into())));
        stored.map(|_newest| ())
    }

    async fn load(&self, subject: &Subject) -> Result<Vec<Stored>, ReadError> {
        let subject = subject.clone();
        self.readers.read(move |connection| load(connection, &subject)).await
    }

    async fn at(&self, position: Position) -> Result<Option<Stored>, ReadError> {
        let exists = position.partition == PARTITION && (1..=i64::MAX as u64).contains(&position.sequence);
        if !exists {
            return Ok(None);
        }
        let after = position.sequence - 1;
        let rows = self.readers.read(move |connection| page(connection, after, 1)).await?;
        Ok(rows.into_iter().find(|stored| stored.position == position))
    }

    async fn last_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        check_partition(partition)?;
        match &self.writer {
            Some(writer) => Ok(*writer.newest.borrow()),
            None => self.readers.read(|connection| newest(connection).map_err(unavailable)).await,
        }
    }

    async fn tail(&self, partition: u16, after: u64) -> Result<Tail, ReadError> {
        check_partition(partition)?;
        let writes = self.writer.as_ref().map(|writer| (writer.newest.clone(), Arc::clone(&writer.recent)));
        let tail = Follow { readers: Arc::clone(&self.readers), writes, after, read: VecDeque::new() };
        Ok(Box::pin(stream::try_unfold(tail, |mut tail| async move {
            let stored = tail.next().await?;
            Ok(Some((stored, tail)))
        })))
    }

    async fn page(&self, partition: u16, after: u64) -> Result<Vec<Stored>, ReadError> {
        if after >= self.last_sequence(partition).await? {
            return Ok(Vec::new());
        }
        if let Some(writer) = &self.writer {
            let recent = writer.recent.after(after, PAGE);
            if !recent.is_empty() {
                return Ok(recent.into());
            }
        }
        let fetch = |after, most| async move {
            let commits = self.readers.read(move |connection| page(connection, after, most)).await?;
            (after + 1..).zip(&commits).try_for_each(|(due, stored)| check_next(due, stored))?;
            Ok(commits.into())
        };
        self.pages.after(after, fetch).await
    }

    async fn memo(&self, name: &str) -> Result<Option<Memo>, ReadError> {
        let name = name.to_owned();
        self.readers.read(move |connection| memo(connection, &name).map_err(unavailable)).await
    }

    async fn memo_names(&self) -> Result<Vec<String>, ReadError> {
        self.readers.read(|connection| memo_names(connection).map_err(unavailable)).await
    }

    async fn put_memo(&self, name: &str, expected: u64, bytes: Bytes) -> Result<u64, PutMemoError> {
        PutMemoError::check_size(&bytes)?;
        let requests = self.requests().ok_or_else(|| PutMemoError::Unavailable(READ_ONLY.into()))?;
        let (reply, outcome) = oneshot::channel();
        let put = PutMemo { name: name.to_owned(), expected, bytes, reply };
        requests.send(Write::PutMemo(put)).await.map_err(|_| PutMemoError::Unavailable(STOPPED.into()))?;
        outcome.await.unwrap_or_else(|_| Err(PutMemoError::Unknown(STOPPED.into())))
    }

    fn keys(&self) -> Arc<dyn KeyStore> {
        Arc::clone(&self.keys) as Arc<dyn KeyStore>
    }

    async fn describe(&self) -> Result<Description, ReadError> {
        let newest = self.last_sequence(PARTITION).await?;
        let mode: String = self
            .readers
            .read(|connection| {
                connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(unavailable)
            })
            .await?;
        let access = if self.writer.is_some() { "reading and writing" } else { "reading only" };
        let size = |suffix: &str| fs::metadata(beside(&self.path, suffix)).map_or(0, |file| file.len());
        let facts = [
            ("engine", format!("SQLite {}", rusqlite::version())),
            ("format", FORMAT.to_string()),
            ("opened for", access.to_owned()),
            (
                "durability",
                format!("journal_mode={mode}, synchronous=FULL: flushed before it is acknowledged"),
            ),
            ("partitions", "1".to_owned()),
            ("commits", newest.to_string()),
            ("largest commit", format!("{} bytes", self.options.max_commit_bytes)),
        ];
        Ok(Description {
            kind: "embedded",
            location: self.path.display().to_string(),
            facts: facts.map(|(label, value)| (label.to_owned(), value)).into(),
            warnings: Vec::new(),
            bytes_on_disk: Some(size("") + size("-wal")),
        })
    }
}

// Opening ---------------------------------------------------------------------------------------------------

/// The path with symbolic links followed, so that one file has one lock; its directory is created.
fn resolve(path: &Path) -> std::io::Result<PathBuf> {
    if path.exists() {
        return fs::canonicalize(path);
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let name = path.file_name().ok_or_else(|| std::io::Error::other("the path names no file"))?;
    Ok(fs::canonicalize(parent)?.join(name))
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let lock_path = beside(path, ".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(|e| OpenError::Unavailable(format!("{}: {e}", lock_path.display()).into()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Refused(format!(
            "another process writes the journal {}: stop it, or choose another file (readers need no lock)",
            path.display()
        ))),
        Err(TryLockError::Error(e)) => {
            Err(OpenError::Unavailable(format!("{} cannot be locked: {e}", lock_path.display()).into()))
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    // Plans do not depend on what is bound. Without it, statements with a range or a limit are compiled anew each time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Makes a new file a journal, or makes sure that an old one is.
fn prepare(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |e| refusal(path, e);
    if is_new(connection).map_err(sqlite)? {
        let mode: String = connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
            .map_err(sqlite)?;
        if mode != "wal" {
            return Err(OpenError::Refused(format!(
                "{} is on a file system without shared memory (a network share?): use a local disk",
                path.display()
            )));
        }
        // One transaction: a crash leaves an empty file or a journal, nothing between.
        let create = format!(
            "BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; {SCHEMA} COMMIT;"
        );
        connection.execute_batch(&create).map_err(sqlite)?;
    }
    check_format(connection, path)
}

/// An empty database: never written, or cut off by a crash before its schema was.
fn is_new(connection: &Connection) -> rusqlite::Result<bool> {
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    Ok(objects == 0 && identity(connection)? == (0, 0))
}

fn identity(connection: &Connection) -> rusqlite::Result<(i32, i32)> {
    Ok((
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?,
        connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
    ))
}

fn check_format(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let shown = path.display();
    match identity(connection).map_err(|e| refusal(path, e))? {
        (APPLICATION_ID, FORMAT) => Ok(()),
        (APPLICATION_ID, other) => Err(OpenError::Refused(format!(
            "{shown} has format {other}, this Daybook knows format {FORMAT}: open it with the version that wrote it"
        ))),
        (_, _) => Err(OpenError::Refused(format!(
            "{shown} is a SQLite file but not a journal of Daybook's: choose another path"
        ))),
    }
}

/// Tells a file that is not SQLite's from one that cannot be opened just now.
fn refusal(path: &Path, error: rusqlite::Error) -> OpenError {
    let shown = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            OpenError::Refused(format!("{shown} is not a journal of Daybook's: choose another path"))
        }
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Refused(format!(
            "{shown} is damaged ({error}): restore it from a backup; `sqlite3 {shown} .recover` shows what is left"
        )),
        Some(_) | None => OpenError::Unavailable(format!("{shown}: {error}").into()),
    }
}

// Reading ---------------------------------------------------------------------------------------------------

/// A few connections that only read, opened when first needed.
#[derive(Debug)]
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    fn new(path: &Path) -> Arc<Self> {
        Arc::new(Readers {
            path: path.to_owned(),
            idle: Mutex::new(Vec::new()),
            permits: Semaphore::new(READERS),
        })
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    fn keep(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }

    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let _permit = self.permits.acquire().await.map_err(unavailable)?;
        let readers = Arc::clone(self);
        blocking(move || {
            let idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match idle {
                Some(connection) => connection,
                None => readers.connect().map_err(unavailable)?,
            };
            let answer = query(&connection);
            readers.keep(connection);
            answer
        })
        .await
        .map_err(ReadError::Unavailable)?
    }
}

fn memo_names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let is_there = connection.prepare("SELECT 1 FROM sqlite_master WHERE name = 'memos'")?.exists([])?;
    if !is_there {
        return Ok(Vec::new());
    }
    connection.prepare_cached("SELECT name FROM memos")?.query_map([], |row| row.get(0))?.collect()
}

fn newest(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT coalesce(max(sequence), 0) FROM commits")?
        .query_row([], |row| row.get(0))
}

/// None as well where a reader met a file that no writer with memos has opened yet.
fn memo(connection: &Connection, name: &str) -> rusqlite::Result<Option<Memo>> {
    let tables: i64 = connection
        .prepare_cached("SELECT count(*) FROM sqlite_master WHERE name = 'memos'")?
        .query_row([], |row| row.get(0))?;
    if tables == 0 {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached("SELECT revision, bytes FROM memos WHERE name = ?1")?;
    statement
        .query_row([name], |row| {
            let bytes = Bytes::copy_from_slice(bytes(row.get_ref(1)?).unwrap_or_default());
            Ok(Memo { revision: row.get(0)?, bytes })
        })
        .optional()
}

fn load(connection: &Connection, subject: &Subject) -> Result<Vec<Stored>, ReadError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT sequence, tenant, id, bytes FROM commits WHERE tenant = ?1 AND id = ?2 ORDER BY previous",
        )
        .map_err(unavailable)?;
    let mut rows = statement.query((subject.tenant.as_str(), subject.id.to_string())).map_err(unavailable)?;
    let mut commits = Vec::new();
    while let Some(row) = rows.next().map_err(unavailable)? {
        commits.push(stored(row)?);
    }
    Ok(commits)
}

/// Up to so many commits after a sequence, or bytes of them.
fn page(connection: &Connection, after: u64, limit: usize) -> Result<VecDeque<Stored>, ReadError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT sequence, tenant, id, bytes FROM commits WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
        )
        .map_err(unavailable)?;
    let mut rows = statement.query((after, limit)).map_err(unavailable)?;
    let mut commits = VecDeque::new();
    let mut size = 0;
    while size < TAIL_BYTES
        && let Some(row) = rows.next().map_err(unavailable)?
    {
        let stored = stored(row)?;
        size += stored.bytes.len();
        commits.push_back(stored);
    }
    Ok(commits)
}

fn stored(row: &Row<'_>) -> Result<Stored, ReadError> {
    let position = position(row.get(0).map_err(unavailable)?);
    let foreign = |reason: String| ReadError::Foreign { position, reason };
    let text = |column| {
        let value = row.get_ref(column).map_err(unavailable)?;
        value.as_str().map_err(|e| foreign(e.to_string()))
    };
    let subject = Subject {
        tenant: text(1)?.parse().map_err(|e: crate::ids::InvalidId| foreign(e.to_string()))?,
        id: text(2)?.parse().map_err(|e: crate::ids::InvalidId| foreign(e.to_string()))?,
    };
    let commit = bytes(row.get_ref(3).map_err(unavailable)?)
        .ok_or_else(|| foreign("the commit is neither text nor a blob".to_owned()))?;
    Ok(Stored { position, subject, bytes: Bytes::copy_from_slice(commit) })
}

fn bytes(value: ValueRef<'_>) -> Option<&[u8]> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
    }
}

/// A tail: what it has read ahead, and how it learns that there is more.
struct Follow {
    readers: Arc<Readers>,
    /// The newest sequence and the newest commits, where the writer is in this process; otherwise the file is polled.
    writes: Option<(watch::Receiver<u64>, Arc<Recent>)>,
    after: u64,
    read: VecDeque<Stored>,
}

impl Follow {
    async fn next(&mut self) -> Result<Stored, ReadError> {
        loop {
            if let Some(stored) = self.read.pop_front() {
                self.after += 1;
                check_next(self.after, &stored)?;
                return Ok(stored);
            }
            let after = self.after;
            if let Some((newest, recent)) = &mut self.writes {
                newest.wait_for(|&newest| newest > after).await.map_err(unavailable)?;
                self.read = recent.after(after, TAIL_ROWS);
                if !self.read.is_empty() {
                    continue;
                }
            }
            self.read = self.readers.read(move |connection| page(connection, after, TAIL_ROWS)).await?;
            if self.read.is_empty() {
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

/// A file in which sequences are missing is no journal.
fn check_next(due: u64, stored: &Stored) -> Result<(), ReadError> {
    if stored.position.sequence == due {
        return Ok(());
    }
    let reason = format!("sequence {due} is missing before it");
    Err(ReadError::Foreign { position: stored.position, reason })
}

fn position(sequence: u64) -> Position {
    Position { partition: PARTITION, sequence }
}

fn check_partition(partition: u16) -> Result<(), ReadError> {
    match partition {
        PARTITION => Ok(()),
        other => Err(ReadError::Unavailable(format!("there is no partition {other}").into())),
    }
}

fn unavailable(error: impl Into<BoxError>) -> ReadError {
    ReadError::Unavailable(error.into())
}

/// Runs what waits for a disk where waiting is allowed.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, BoxError> {
    tokio::task::spawn_blocking(work).await.map_err(BoxError::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::conformance::{append_chain, draft, subject};

    fn open_tuned(directory: &Path, sql: &'static str) -> EmbeddedJournal {
        let path = directory.join("journal.db");
        EmbeddedJournal::open_blocking(&path, EmbeddedOptions::default(), |connection| {
            connection.execute_batch(sql)
        })
        .unwrap()
    }

    #[tokio::test]
    async fn a_full_disk_stores_nothing_and_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let journal = open_tuned(directory.path(), "PRAGMA max_page_count = 16");
        let stored = append_chain(&journal, &subject(), 3).await;
        let mut large = draft(&subject());
        large.bytes = vec![b' '; 100 * 1024].into();
        let refused = journal.append(&large, 0).await;
        assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
        assert_eq!(journal.load(&large.subject).await.unwrap(), []);
        // What still fits is still taken.
        let newest = stored[2].position;
        let next = journal.append(&draft(&stored[0].subject), newest.sequence).await.unwrap();
        assert_eq!(next, position(newest.sequence + 1));
    }

    #[tokio::test]
    async fn a_memo_that_cannot_be_written_takes_no_commit_down_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let journal = open_tuned(directory.path(), "DROP TABLE memos");
        let drafts: Vec<Draft> = (0..20).map(|_| draft(&subject())).collect();
        let both = async |draft: &Draft| {
            let put = journal.put_memo("a", 0, "{}".into());
            let (appended, put) = tokio::join!(journal.append(draft, 0), put);
            assert!(matches!(put, Err(PutMemoError::Unavailable(_))), "{put:?}");
            appended.unwrap()
        };
        futures::future::join_all(drafts.iter().map(both)).await;
        assert_eq!(journal.last_sequence(PARTITION).await.unwrap(), 20);
    }

    #[tokio::test]
    async fn a_commit_that_fails_at_its_end_is_unknown_and_can_be_repeated() {
        let directory = tempfile::tempdir().unwrap();
        // A constraint that SQLite checks at COMMIT, for one tenant.
        let journal = open_tuned(
            directory.path(),
            "PRAGMA foreign_keys = ON;
             CREATE TEMP TABLE parent (id INTEGER PRIMARY KEY);
             CREATE TEMP TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
             CREATE TEMP TRIGGER doubt AFTER INSERT ON commits WHEN NEW.tenant = 'doubt'
             BEGIN INSERT INTO child VALUES (7); END;",
        );
        let mut doubtful = draft(&subject());
        doubtful.subject.tenant = "doubt".parse().unwrap();
        let unknown = journal.append(&doubtful, 0).await;
        assert!(matches!(unknown, Err(AppendError::Unknown(_))), "{unknown:?}");
        append_chain(&journal, &subject(), 1).await;
        drop(journal);
        let journal = open_tuned(directory.path(), "");
        assert_eq!(journal.append(&doubtful, 0).await.unwrap(), position(2));
        assert_eq!(journal.append(&doubtful, 0).await.unwrap(), position(2));
    }
}
