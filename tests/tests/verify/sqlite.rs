//! The SQLite file, tampered with by somebody who has `sqlite3` and knows the schema, or by a bad disk.

use std::fs;
use std::path::{Path, PathBuf};

use daybook_tests::{Kind, Log, World};
use rusqlite::Connection;
use serde_json::Value;

use super::{assert_found, exported, first, kept, ledger, setup, verify};

/// Takes the guards away that keep commits from being changed.
const UNGUARD: &str = "DROP TRIGGER commits_have_no_gap; DROP TRIGGER commits_never_change;
    DROP TRIGGER commits_never_disappear;";

/// A copy of the stopped world's journal to do things to.
struct Copy {
    data_dir: PathBuf,
    kept: String,
}

impl Copy {
    fn of(world: &World, name: &str) -> Self {
        let data_dir = world.directory().join(name);
        fs::create_dir_all(&data_dir).expect("a directory");
        let connection =
            Connection::open(world.data_dir(0).join("journal.sqlite")).expect("the journal opens");
        let file = data_dir.join("journal.sqlite").display().to_string();
        connection.execute("VACUUM INTO ?1", [file]).expect("a copy in one file");
        Copy { data_dir, kept: kept(world).display().to_string() }
    }

    fn file(&self) -> PathBuf {
        self.data_dir.join("journal.sqlite")
    }

    async fn verify(&self, directory: &Path) -> (i32, Value) {
        let data_dir = self.data_dir.display().to_string();
        verify(directory, &["--data-dir", &data_dir, "--audit-dir", &self.kept]).await
    }
}

async fn stopped() -> (World, Log) {
    let mut world = World::with(Kind::Embedded, setup()).await;
    let log = ledger(&world).await;
    world.servers[0].stop().await;
    (world, log)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done_to_the_rows_is_found() {
    let (world, log) = stopped().await;
    assert_eq!(log.len(), 6);
    let swap = "UPDATE commits SET sequence = 102 WHERE sequence = 2;
        UPDATE commits SET sequence = 2 WHERE sequence = 3;
        UPDATE commits SET sequence = 3 WHERE sequence = 102;";
    let cases = [
        ("UPDATE commits SET bytes = replace(bytes, '\"A-', '\"B-') WHERE sequence = 3", 3, "altered"),
        ("UPDATE commits SET bytes = bytes || ' ' WHERE sequence = 4", 4, "altered"),
        ("UPDATE commits SET bytes = CAST(bytes || x'00' AS BLOB) WHERE sequence = 1", 1, "altered"),
        ("UPDATE commits SET tenant = 'globex' WHERE sequence = 2", 2, "altered"),
        ("UPDATE commits SET tenant = 'Not a tenant!' WHERE sequence = 5", 5, "misfiled"),
        ("DELETE FROM commits WHERE sequence = 3", 3, "gap"),
        ("DELETE FROM commits WHERE sequence IN (1, 2)", 1, "gap"),
        (
            "DELETE FROM commits WHERE sequence = 3;
             UPDATE commits SET sequence = sequence - 1, previous = 0 WHERE sequence = 4;
             UPDATE commits SET sequence = sequence - 1 WHERE sequence = 5;
             UPDATE commits SET sequence = sequence - 1, previous = 4 WHERE sequence = 6",
            3,
            "removed",
        ),
        ("DELETE FROM commits WHERE sequence > 4", 5, "truncated"),
        ("DELETE FROM commits", 1, "truncated"),
        (
            "INSERT INTO commits SELECT 7, tenant, id, 6, bytes FROM commits WHERE sequence = 6",
            7,
            "duplicated",
        ),
        (swap, 2, "reordered"),
    ];
    for (number, (sql, position, kind)) in cases.into_iter().enumerate() {
        let copy = Copy::of(&world, &format!("copy-{number}"));
        let connection = Connection::open(copy.file()).expect("the copy opens");
        connection.execute_batch(UNGUARD).expect("the guards are gone");
        connection.execute_batch("PRAGMA ignore_check_constraints = ON").expect("no checks");
        connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        drop(connection);
        println!("{sql}");
        assert_found(&copy.verify(world.directory()).await, position, kind);
    }
    // What is no commit, and changes how the next ones are stored and read.
    let relinked = Copy::of(&world, "relinked");
    let connection = Connection::open(relinked.file()).expect("the copy opens");
    let guard: String = connection
        .query_row("SELECT sql FROM sqlite_master WHERE name = 'commits_never_change'", [], |row| row.get(0))
        .expect("a guard");
    let relink = "DROP TRIGGER commits_never_change; UPDATE commits SET previous = 2 WHERE sequence = 4;";
    connection.execute_batch(&format!("{relink}{guard}")).expect("the link is another");
    drop(connection);
    assert_found(&relinked.verify(world.directory()).await, 4, "bad_file");

    let untouched = Copy::of(&world, "untouched");
    let (code, found) = untouched.verify(world.directory()).await;
    assert_eq!(code, 0, "{found:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_that_a_disk_has_changed_is_found_wherever_it_matters() {
    let (world, log) = stopped().await;
    let original = exported::stored(&log).await;
    let copy = Copy::of(&world, "copy");
    let whole = fs::read(copy.file()).expect("the file");
    // The texts of the commits themselves: the place is exact.
    for stored in &original {
        let text = &stored.bytes[..64];
        // SQLite leaves what it has moved where it was; only one of them is the commit.
        let places: Vec<usize> = (0..whole.len() - 64).filter(|&at| whole[at..at + 64] == *text).collect();
        assert!(!places.is_empty(), "a commit stands in the file");
        let mut bytes = whole.clone();
        places.into_iter().for_each(|at| bytes[at + 40] ^= 1);
        fs::write(copy.file(), bytes).expect("a file");
        let found = copy.verify(world.directory()).await;
        assert_found(&found, stored.position.sequence, "altered");
    }
    // Anywhere: found, or nothing of a commit was changed. Never a crash, and never "could not be run".
    let step = whole.len() / 24;
    for at in [0, 18, 60, 100, 105].into_iter().chain((1..24).map(|part| part * step)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        fs::write(copy.file(), bytes).expect("a file");
        let (code, document) = copy.verify(world.directory()).await;
        match code {
            // A place, or what is no commit.
            3 => {
                let (position, kind) = first(&document);
                assert!(!position.is_empty() || kind == "bad_file", "byte {at}: {document:#}");
            }
            0 => assert_eq!(document["partitions"][0]["commits_as_kept"], original.len(), "byte {at}"),
            other => panic!("byte {at}: exit code {other}, {document:#}"),
        }
    }
    // The end of the file is gone.
    fs::write(copy.file(), &whole[..whole.len() / 2]).expect("a file");
    let (code, document) = copy.verify(world.directory()).await;
    assert_eq!(code, 3, "{document:#}");
}
