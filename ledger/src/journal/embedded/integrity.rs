//! What of a journal's file a reader of its commits does not see: its guards, its index, and each order's chain.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{BoxError, SCHEMA, blocking, connect, position};
use crate::ids::Position;

/// How many complaints of SQLite's own to pass on.
const MOST_COMPLAINTS: u32 = 10;

/// Something in the file that contradicts the rest of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The commit that is concerned, where it is one.
    pub position: Option<Position>,
    /// What it is.
    pub reason: String,
}

/// Looks through the file of a journal, also while a server writes it. What cannot be read is a contradiction too.
pub async fn check_file(path: impl Into<PathBuf>) -> Result<Vec<Contradiction>, BoxError> {
    let path = path.into();
    blocking(move || check(&path)).await
}

fn check(path: &Path) -> Vec<Contradiction> {
    let of_file = |reason: String| Contradiction { position: None, reason };
    let connection = match connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY) {
        Ok(connection) => connection,
        Err(error) => return vec![of_file(error.to_string())],
    };
    let mut found = Vec::new();
    match guards(&connection) {
        Ok(reasons) => found.extend(reasons.into_iter().map(of_file)),
        Err(error) => found.push(of_file(error.to_string())),
    }
    match broken_link(&connection) {
        Ok(link) => found.extend(link),
        Err(error) => found.push(of_file(error.to_string())),
    }
    match complaints(&connection) {
        Ok(complaints) => found.extend(complaints.into_iter().map(of_file)),
        Err(error) => found.push(of_file(error.to_string())),
    }
    found
}

/// What of the schema is not as this Daybook makes it. Comments and spaces do not count.
fn guards(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let model = Connection::open_in_memory()?;
    model.execute_batch(SCHEMA)?;
    let (expected, actual) = (objects(&model)?, objects(connection)?);
    let differing = expected.iter().filter(|object| !actual.contains(object));
    let added = actual.iter().filter(|object| !expected.iter().any(|(name, _)| *name == object.0));
    Ok(differing
        .map(|(name, _)| format!("{name} is missing, or is not what keeps the commits from being changed"))
        .chain(added.map(|(name, _)| format!("{name} was added to the table of the commits")))
        .collect())
}

/// Name and text of what belongs to the table of the commits.
fn objects(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = connection.prepare(
        "SELECT name, sql FROM sqlite_master WHERE tbl_name = 'commits' AND sql IS NOT NULL ORDER BY name",
    )?;
    let objects = statement.query_map([], |row| {
        let (name, sql): (String, String) = (row.get(0)?, row.get(1)?);
        let code = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
        let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
        Ok((name, words.join(" ")))
    })?;
    objects.collect()
}

/// The first commit that does not name the one before it of the same record.
fn broken_link(connection: &Connection) -> rusqlite::Result<Option<Contradiction>> {
    let mut statement = connection.prepare(
        "SELECT sequence, previous, due FROM (
             SELECT sequence, previous, lag(sequence, 1, 0) OVER (PARTITION BY tenant, id ORDER BY previous) AS due
             FROM commits)
         WHERE previous IS NOT due ORDER BY sequence LIMIT 1",
    )?;
    let link = statement.query_row([], |row| {
        let (sequence, previous, due): (u64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let reason =
            format!("it names sequence {previous} as the commit before it of its record, which is {due}");
        Ok(Contradiction { position: Some(position(sequence)), reason })
    });
    link.optional()
}

/// What SQLite itself finds wrong with the file and its index.
fn complaints(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({MOST_COMPLAINTS})"))?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    let lines: Vec<String> = lines.collect::<rusqlite::Result<_>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;
    use crate::journal::conformance::{append_chain, subject};
    use crate::journal::embedded::{EmbeddedJournal, EmbeddedOptions};

    async fn after(sql: &str) -> Vec<Contradiction> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let journal = EmbeddedJournal::open(&path, EmbeddedOptions::default()).await.unwrap();
        append_chain(&journal, &subject(), 3).await;
        append_chain(&journal, &subject(), 2).await;
        assert_eq!(journal.last_sequence(0).await.unwrap(), 5);
        assert_eq!(check_file(&path).await.unwrap(), [], "beside its writer");
        drop(journal);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        check_file(&path).await.unwrap()
    }

    #[tokio::test]
    async fn a_guard_that_is_gone_or_blunt_is_missed() {
        assert_eq!(after("").await, []);
        let gone = after("DROP TRIGGER commits_never_change").await;
        assert_eq!(gone.len(), 1, "{gone:?}");
        let blunt = after(
            "DROP TRIGGER commits_never_disappear;
             CREATE TRIGGER commits_never_disappear BEFORE DELETE ON commits BEGIN SELECT 1; END",
        )
        .await;
        assert_eq!(blunt.len(), 1, "{blunt:?}");
        let added = after("CREATE TRIGGER one_more AFTER INSERT ON commits BEGIN SELECT 1; END").await;
        assert_eq!(added.len(), 1, "{added:?}");
    }

    #[tokio::test]
    async fn a_link_that_was_changed_is_found_at_its_commit() {
        let found =
            after("DROP TRIGGER commits_never_change; UPDATE commits SET previous = 3 WHERE sequence = 5;")
                .await;
        let positions: Vec<_> = found.iter().filter_map(|found| found.position).collect();
        assert_eq!(positions, [position(5)], "{found:?}");
    }
}
