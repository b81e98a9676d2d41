//! `GET /v1/orders/{id}/proofs`: everything that it takes to check, far from here and without trusting us, that an
//! order's commits stand in the log that a checkpoint was signed over.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use data_encoding::BASE64;
use ledger::codec;
use ledger::commit::Changes;
use ledger::ids::{Position, RecordId, TenantId};
use ledger::journal::{Stored, Subject};
use replay::audit::keeper::Inclusion;
use replay::audit::leaf::{leaf_hash, leaf_of};
use replay::audit::merkle::is_included;
use replay::audit::{Checkpoint, Hash, TreeHead};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::altered;
use crate::app::App;
use crate::http::id::OrderId;
use crate::http::problem::Document;
use crate::http::query::{Query, invalid};
use crate::http::{Caller, Code, Problem};

/// How long a checkpoint over the order's newest commit is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProofsQuery {
    size: Option<u64>,
}

/// An order's commits, each with the proof that it is in the log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Proofs)]
pub(crate) struct ProofsJson {
    pub(crate) order_id: String,
    partition: u16,
    /// The signed note that the proofs lead to, byte for byte.
    pub(crate) checkpoint: String,
    /// How many commits the checkpoint is over.
    size: u64,
    /// Oldest first.
    commits: Vec<ProvenJson>,
}

/// One commit: what its leaf is made of, and the way from the leaf to the root.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ProvenCommit)]
struct ProvenJson {
    position: String,
    partition: u16,
    sequence: u64,
    tenant: String,
    /// The order's id, which is 16 bytes of the leaf.
    record: String,
    /// The commit as it is stored, in base64.
    stored: String,
    /// In base64. Work it out from the fields above, and do not believe this.
    leaf_hash: String,
    /// One less than the sequence.
    leaf_index: u64,
    /// True when the commit is newer than the checkpoint, and there is no proof.
    pending: bool,
    /// Hashes in base64, from the bottom of the tree up (RFC 9162, 2.1.3).
    proof: Option<Vec<String>>,
}

/// What a saved proof comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The commit is in the log.
    Proven,
    /// The document says itself that it has no proof.
    Pending,
    /// The document does not show what it says.
    NotProven,
}

impl Verdict {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Verdict::Proven => "proven",
            Verdict::Pending => "pending",
            Verdict::NotProven => "not_proven",
        }
    }
}

impl ProofsJson {
    /// What each commit's proof comes to, against a tree head whose signature was checked. Nothing that the document
    /// says of hashes and indexes is believed.
    pub(crate) fn verdicts(&self, head: &TreeHead) -> Vec<(String, Verdict)> {
        self.commits.iter().map(|commit| (commit.position.clone(), commit.verdict(head))).collect()
    }
}

impl ProvenJson {
    fn verdict(&self, head: &TreeHead) -> Verdict {
        match self.is_in(head) {
            Some(true) => Verdict::Proven,
            None if self.pending && self.proof.is_none() => Verdict::Pending,
            Some(false) | None => Verdict::NotProven,
        }
    }

    /// None where a part of the proof is missing, or is not what it should be.
    fn is_in(&self, head: &TreeHead) -> Option<bool> {
        let hashes: Vec<Hash> =
            self.proof.as_ref()?.iter().map(|text| text.parse().ok()).collect::<Option<_>>()?;
        let position = Position { partition: self.partition, sequence: self.sequence };
        let subject = Subject { tenant: self.tenant.parse().ok()?, id: self.record.parse().ok()? };
        let leaf = leaf_hash(position, &subject, &BASE64.decode(self.stored.as_bytes()).ok()?);
        let is_itself = position.to_string() == self.position;
        let index = self.sequence.checked_sub(1)?;
        Some(is_itself && is_included(leaf, index, head.size, head.root, &hashes))
    }

    fn of(stored: &Stored, leaf: Hash, proof: Option<Vec<Hash>>) -> Self {
        ProvenJson {
            position: stored.position.to_string(),
            partition: stored.position.partition,
            sequence: stored.position.sequence,
            tenant: stored.subject.tenant.to_string(),
            record: stored.subject.id.to_string(),
            stored: BASE64.encode(&stored.bytes),
            leaf_hash: leaf.to_string(),
            leaf_index: stored.position.sequence - 1,
            pending: proof.is_none(),
            proof: proof.map(|hashes| hashes.iter().map(Hash::to_string).collect()),
        }
    }
}

/// The proof that each commit of an order is in the log, against a checkpoint.
#[utoipa::path(
    get, path = "/v1/orders/{id}/proofs", tag = "Audit", security(("api_key" = [])),
    params(
        ("id" = String, Path, description = "Order id or tracking number"),
        ("size" = Option<u64>, Query, description = "Commits under an older checkpoint to prove against"),
    ),
    responses(
        (status = 200, description = "The proofs", body = ProofsJson),
        (status = 400, description = "No checkpoint was signed over so many commits", body = Document),
        (status = 404, description = "No such order", body = Document),
        (status = 500, description = "The log is not what was signed", body = Document),
        (status = 503, description = "The tree is being made again from the log", body = Document),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    OrderId(id): OrderId,
    Query(ProofsQuery { size }): Query<ProofsQuery>,
) -> Result<Json<ProofsJson>, Problem> {
    let commits = commits_of_order(&app, tenant, id).await?;
    let newest = commits.last().ok_or_else(Problem::not_found)?.position;
    let partition = newest.partition;
    let checkpoint: Checkpoint = match size {
        Some(size) => {
            let signed = app.keeper()?.of_size(partition, size).await?;
            signed.ok_or_else(|| invalid(format!("size: no checkpoint was signed over {size} commits")))?
        }
        None => app.keeper()?.covering(newest, PATIENCE).await?,
    };
    let size = checkpoint.head.size;
    let sequences: Vec<u64> =
        commits.iter().map(|stored| stored.position.sequence).filter(|&sequence| sequence <= size).collect();
    let mut proofs = app.keeper()?.inclusion(partition, size, sequences).await?.into_iter();
    let mut proven = Vec::with_capacity(commits.len());
    for stored in &commits {
        let leaf = leaf_of(stored);
        // Those that the checkpoint is over come first, as an order's commits are all in one partition.
        let proof = match proofs.next() {
            Some(Inclusion { leaf: signed, hashes }) if signed == leaf => Some(hashes),
            Some(_) => {
                let position = stored.position;
                tracing::error!(%position, "ALARM: a commit is not the one that was signed");
                return Err(altered());
            }
            None => None,
        };
        proven.push(ProvenJson::of(stored, leaf, proof));
    }
    let checkpoint = checkpoint.note.to_string();
    Ok(Json(ProofsJson { order_id: id.to_string(), partition, checkpoint, size, commits: proven }))
}

/// The commits as they are stored; none when the id names no order of this tenant.
async fn commits_of_order(app: &App, tenant: TenantId, id: RecordId) -> Result<Vec<Stored>, Problem> {
    let loaded = app.ledger.journal().load(&Subject { tenant, id }).await;
    let commits = loaded.map_err(|error| {
        tracing::warn!(%error, "the journal cannot be read for a proof");
        Problem::new(Code::JournalUnavailable, "nothing can be proven now; try again")
    })?;
    let Some(first) = commits.first() else { return Ok(commits) };
    // One that cannot be decoded may still be proven; it is an order's unless it says otherwise.
    let is_of_order = codec::decode(&first.bytes).map_or(true, |commit| match commit.changes {
        Changes::Order(_) => true,
        Changes::Offer(_) | Changes::Quarantine(_) => false,
    });
    Ok(if is_of_order { commits } else { Vec::new() })
}
