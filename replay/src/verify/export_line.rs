//! One line of an exported log: one commit, in one spelling.
//!
//! `{"partition":0,"sequence":1,"subject":"<tenant>.<record id>","commit":"<the stored bytes>"}`, or with
//! `"commit_base64"` where the bytes are not UTF-8. No commit has two lines that mean it, so no byte of a line can
//! be changed without changing the commit or breaking the line.

use bytes::Bytes;
use data_encoding::BASE64;
use ledger::ids::Position;
use ledger::journal::{Stored, Subject};
use serde::Deserialize;

use crate::export::archive_line;

/// The fields of a line; [`archive_line`] writes them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    partition: u16,
    sequence: u64,
    subject: String,
    #[serde(default)]
    commit: Option<String>,
    #[serde(default)]
    commit_base64: Option<String>,
}

/// The line of a commit, with the line feed that ends it.
pub fn export_line(stored: &Stored) -> Vec<u8> {
    let mut line = archive_line(stored);
    line.push(b'\n');
    line
}

/// The commit of a line, given with its line feed. The text says what is wrong with it.
pub fn parse_export_line(bytes: &[u8]) -> Result<Stored, String> {
    let line: Line =
        serde_json::from_slice(bytes).map_err(|error| format!("not a line of an export: {error}"))?;
    let (tenant, id) = line.subject.split_once('.').ok_or("its subject is not <tenant>.<record id>")?;
    let subject = Subject {
        tenant: tenant.parse().map_err(|error| format!("its subject: {error}"))?,
        id: id.parse().map_err(|error| format!("its subject: {error}"))?,
    };
    let commit = match (line.commit, line.commit_base64) {
        (Some(text), None) => Bytes::from(text),
        (None, Some(text)) => {
            BASE64.decode(text.as_bytes()).map_err(|error| format!("its commit_base64: {error}"))?.into()
        }
        (Some(_), Some(_)) | (None, None) => return Err("it has not exactly one commit".to_owned()),
    };
    let position = Position { partition: line.partition, sequence: line.sequence };
    let stored = Stored { position, subject, bytes: commit };
    if export_line(&stored) != bytes {
        return Err("it is not spelled as an export spells it".to_owned());
    }
    Ok(stored)
}

/// Partition and sequence of a line, as far as its beginning tells.
pub(super) fn position_of(line: &[u8]) -> Option<Position> {
    let rest = line.strip_prefix(br#"{"partition":"#)?;
    let (partition, rest) = number(rest)?;
    let (sequence, _) = number(rest.strip_prefix(br#","sequence":"#)?)?;
    Some(Position { partition: partition.try_into().ok()?, sequence })
}

fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn stored(partition: u16, sequence: u64, bytes: &[u8]) -> Stored {
        let subject =
            Subject { tenant: "acme".parse().unwrap(), id: ledger::ids::RecordId(Uuid::from_u128(7)) };
        Stored { position: Position { partition, sequence }, subject, bytes: Bytes::copy_from_slice(bytes) }
    }

    #[test]
    fn a_line_looks_as_documented() {
        let line = export_line(&stored(0, 1, br#"{"commit":"x"}"#));
        let expected = concat!(
            r#"{"partition":0,"sequence":1,"subject":"acme.00000000-0000-0000-0000-000000000007","#,
            r#""commit":"{\"commit\":\"x\"}"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(line).unwrap(), expected);
        let line = export_line(&stored(0, 1, &[0xff]));
        assert!(String::from_utf8(line).unwrap().ends_with(",\"commit_base64\":\"/w==\"}\n"));
    }

    proptest! {
        #[test]
        fn every_commit_comes_back_and_no_changed_byte_goes_unseen(
            partition: u16,
            sequence: u64,
            bytes: Vec<u8>,
            at: prop::sample::Index,
            by in 1_u8..,
        ) {
            let stored = stored(partition, sequence, &bytes);
            let mut line = export_line(&stored);
            prop_assert_eq!(parse_export_line(&line), Ok(stored.clone()));
            prop_assert_eq!(position_of(&line), Some(stored.position));
            let at = at.index(line.len());
            line[at] = line[at].wrapping_add(by);
            prop_assert_ne!(parse_export_line(&line), Ok(stored));
        }
    }

    #[test]
    fn another_spelling_is_refused() {
        let line = String::from_utf8(export_line(&stored(0, 1, b"A"))).unwrap();
        for other in [
            line.replace("\"A\"", "\"\\u0041\""),
            line.replace(":1", ": 1"),
            line.replace("commit\":\"A\"", "commit_base64\":\"QQ==\""),
            line.replace('\n', ""),
            line.replace('\n', "\r\n"),
            line.replace("}\n", ",\"more\":1}\n"),
        ] {
            assert_ne!(other, line);
            assert!(parse_export_line(other.as_bytes()).is_err(), "{other}");
        }
    }
}
