//! An archive of commits: JSON Lines, one commit a line, from which every hash can be computed again.
//!
//! What must stay true: one commit has one line, to the byte. `{"partition":0,"sequence":1,"subject":"<tenant>.<record
//! id>","commit":"<the stored bytes as text>"}`, without spaces, strings escaped no more than JSON asks for; bytes that
//! are not UTF-8 stand as `"commit_base64"` instead. Lines are sorted by partition and sequence.

use data_encoding::BASE64;
use ledger::journal::Stored;
use serde::Serialize;

#[derive(Serialize)]
struct Line<'a> {
    partition: u16,
    sequence: u64,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit_base64: Option<String>,
}

/// The line of a commit, without its end.
pub fn archive_line(stored: &Stored) -> Vec<u8> {
    let text = std::str::from_utf8(&stored.bytes).ok();
    let line = Line {
        partition: stored.position.partition,
        sequence: stored.position.sequence,
        subject: format!("{}.{}", stored.subject.tenant, stored.subject.id),
        commit: text,
        commit_base64: text.is_none().then(|| BASE64.encode(&stored.bytes)),
    };
    serde_json::to_vec(&line).expect("texts and numbers are always JSON")
}
