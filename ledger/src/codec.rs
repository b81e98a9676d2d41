//! The stored form of a commit: JSON with versioned event names.
use crate::commit::Commit;
use crate::ids::CommitId;

/// Bytes that are not a commit.
#[derive(Debug, thiserror::Error)]
#[error("not a commit: {0}")]
pub struct DecodeError(pub String);

/// The id of an encoded commit, without decoding the rest of it.
pub fn commit_id(bytes: &[u8]) -> Result<CommitId, DecodeError> {
    #[derive(serde::Deserialize)]
    struct Head {
        commit: String,
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|e| DecodeError(e.to_string()))?;
    head.commit.parse().map_err(|e: crate::ids::InvalidId| DecodeError(e.to_string()))
}
/// encode
pub fn encode(_commit: &Commit) -> Vec<u8> {
    unimplemented!()
}
/// decode
pub fn decode(_bytes: &[u8]) -> Result<Commit, DecodeError> {
    unimplemented!()
}
