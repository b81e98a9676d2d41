//! Rows written in bulk, by `COPY`.

use std::fmt::Write;

use futures::SinkExt;
use tokio_postgres::{Client, NoTls};

/// Bytes that are sent at once.
const CHUNK: usize = 256 * 1024;

/// Connects to a database.
pub(crate) async fn connect(database: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(database, NoTls).await.expect("a database");
    tokio::spawn(async move { connection.await.expect("a connection that stands") });
    client
}

/// Runs `COPY … FROM STDIN` with a line for each item, which `write` appends in the text format, without its end.
pub(crate) async fn copy<T>(
    client: &Client,
    statement: &str,
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    let sink = client.copy_in::<_, axum::body::Bytes>(statement).await.expect("a copy");
    let mut sink = std::pin::pin!(sink);
    let mut lines = String::with_capacity(CHUNK * 2);
    for item in items {
        write(&mut lines, item);
        lines.push('\n');
        if lines.len() > CHUNK {
            let full = std::mem::replace(&mut lines, String::with_capacity(CHUNK * 2));
            sink.send(full.into()).await.expect("a copy that goes on");
        }
    }
    sink.send(lines.into()).await.expect("a copy that goes on");
    sink.finish().await.expect("a copy that ends well");
}

/// Appends a column's text, escaped.
pub(crate) fn escaped(line: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            other => line.push(other),
        }
    }
}

/// Appends a tab and a number.
pub(crate) fn number(line: &mut String, number: i64) {
    write!(line, "\t{number}").expect("a string takes everything");
}
