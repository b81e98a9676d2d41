//! The embedded journal: the contract, and what only a file can do.

#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it should be")]

use std::path::PathBuf;

use futures::StreamExt;
use ledger::ids::Position;
use ledger::journal::conformance::{Fixture, append_chain, draft, subject};
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use ledger::journal::{AppendError, Journal, OpenError, PutMemoError, ReadError};
use rusqlite::Connection;
use tempfile::TempDir;

struct Embedded {
    directory: TempDir,
    journal: EmbeddedJournal,
}

async fn open(directory: &TempDir) -> EmbeddedJournal {
    EmbeddedJournal::open(path(directory), EmbeddedOptions::default()).await.unwrap()
}

async fn an_embedded_journal() -> Embedded {
    let directory = tempfile::tempdir().unwrap();
    Embedded { journal: open(&directory).await, directory }
}

impl Fixture for Embedded {
    type Journal = EmbeddedJournal;

    fn journal(&self) -> &EmbeddedJournal {
        &self.journal
    }

    async fn reopen(self) -> Self {
        let Embedded { directory, journal } = self;
        drop(journal);
        Embedded { journal: open(&directory).await, directory }
    }
}

ledger::journal_conformance!(an_embedded_journal);

fn path(directory: &TempDir) -> PathBuf {
    directory.path().join("journal.db")
}

async fn refusal(directory: &TempDir) -> String {
    match EmbeddedJournal::open(path(directory), EmbeddedOptions::default()).await {
        Err(OpenError::Refused(reason)) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_second_writer_is_refused_until_the_first_has_gone() {
    let fixture = an_embedded_journal().await;
    let reason = refusal(&fixture.directory).await;
    assert!(reason.contains("another process writes the journal"), "{reason}");
    fixture.reopen().await;
}

#[tokio::test]
async fn a_file_that_is_not_a_journal_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let text = "dear diary, ".repeat(1000);
    std::fs::write(path(&directory), &text).unwrap();
    assert!(refusal(&directory).await.contains("not a journal of Daybook's"));
    assert_eq!(std::fs::read_to_string(path(&directory)).unwrap(), text);

    std::fs::remove_file(path(&directory)).unwrap();
    let other = Connection::open(path(&directory)).unwrap();
    other.execute_batch("CREATE TABLE somebody_elses (id)").unwrap();
    assert!(refusal(&directory).await.contains("is a SQLite file but not a journal"));
    let mode: String = other.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete");
}

#[tokio::test]
async fn a_journal_of_another_format_is_refused() {
    let fixture = an_embedded_journal().await;
    drop(fixture.journal);
    Connection::open(path(&fixture.directory)).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let reason = refusal(&fixture.directory).await;
    assert!(reason.contains("has format 2, this Daybook knows format 1"), "{reason}");
}

#[tokio::test]
async fn reading_a_journal_that_does_not_exist_is_refused_and_creates_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let opened = EmbeddedJournal::open_read_only(path(&directory)).await;
    assert!(matches!(opened, Err(OpenError::Refused(_))), "{opened:?}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_reader_follows_while_another_process_writes() {
    let fixture = an_embedded_journal().await;
    let before = append_chain(&fixture.journal, &subject(), 2).await;
    // Another process as far as SQLite and the lock can tell: nothing is shared but the file.
    let reader = EmbeddedJournal::open_read_only(path(&fixture.directory)).await.unwrap();
    let mut tail = reader.tail(0, 0).await.unwrap();
    let after = append_chain(&fixture.journal, &subject(), 2).await;
    for stored in before.iter().chain(&after) {
        assert_eq!(tail.next().await.unwrap().unwrap(), *stored);
    }
    assert_eq!(reader.load(&after[0].subject).await.unwrap(), after);
    assert_eq!(reader.last_sequence(0).await.unwrap(), 4);
    let refused = reader.append(&draft(&subject()), 0).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    // And when the writer has gone.
    drop(fixture.journal);
    let late = EmbeddedJournal::open_read_only(path(&fixture.directory)).await.unwrap();
    assert_eq!(late.load(&before[0].subject).await.unwrap(), before);
}

#[tokio::test]
async fn a_reader_sees_memos_and_a_file_from_before_there_were_any_has_none() {
    let fixture = an_embedded_journal().await;
    let reader = EmbeddedJournal::open_read_only(path(&fixture.directory)).await.unwrap();
    fixture.journal.put_memo("a", 0, "{}".into()).await.unwrap();
    assert_eq!(reader.memo("a").await.unwrap().map(|memo| memo.revision), Some(1));
    let refused = reader.put_memo("a", 1, "{}".into()).await;
    assert!(matches!(refused, Err(PutMemoError::Unavailable(_))), "{refused:?}");

    let other = Connection::open(path(&fixture.directory)).unwrap();
    other.execute_batch("DROP TABLE memos").unwrap();
    assert_eq!(reader.memo("a").await.unwrap(), None);
    let fixture = fixture.reopen().await;
    assert_eq!(fixture.journal.memo("a").await.unwrap(), None);
    fixture.journal.put_memo("a", 0, "{}".into()).await.unwrap();
}

#[tokio::test]
async fn an_auditor_can_read_the_file_but_no_program_can_rewrite_it() {
    let fixture = an_embedded_journal().await;
    let chain = append_chain(&fixture.journal, &subject(), 2).await;
    let auditor = Connection::open(path(&fixture.directory)).unwrap();
    let found: (String, String, u64) = auditor
        .query_row("SELECT id, bytes ->> 'commit', previous FROM commits WHERE sequence = 2", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    let commit_id = ledger::codec::commit_id(&chain[1].bytes).unwrap().to_string();
    assert_eq!(found, (chain[0].subject.id.to_string(), commit_id, 1));

    for forbidden in [
        "UPDATE commits SET bytes = '{}' WHERE sequence = 1",
        "DELETE FROM commits WHERE sequence = 2",
        "INSERT OR REPLACE INTO commits SELECT sequence, 'other', id, previous, bytes FROM commits",
        "INSERT INTO commits SELECT 4, 'other', id, 0, bytes FROM commits WHERE sequence = 1",
        "INSERT INTO commits SELECT 3, tenant, id, 0, bytes FROM commits WHERE sequence = 1",
    ] {
        assert!(auditor.execute(forbidden, []).is_err(), "{forbidden}");
    }
    assert_eq!(fixture.journal.load(&chain[0].subject).await.unwrap(), chain);
}

#[tokio::test]
async fn a_row_that_no_daybook_writes_is_reported_with_its_position() {
    let fixture = an_embedded_journal().await;
    let intruder = Connection::open(path(&fixture.directory)).unwrap();
    intruder.execute("INSERT INTO commits VALUES (1, 'Not A Tenant', 'x', 0, '{}')", []).unwrap();
    let position = Position { partition: 0, sequence: 1 };
    let error = fixture.journal.at(position).await.unwrap_err();
    assert!(matches!(error, ReadError::Foreign { position: at, .. } if at == position), "{error:?}");
}
