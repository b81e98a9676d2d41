//! `daybook audit`: what an auditor does with a saved proof, far from any server.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use replay::audit::{NoteVerifier, TreeHead};
use serde::Serialize;

use super::table::table;
use super::{Failure, print, print_json};
use crate::audit::{ProofsJson, Verdict};

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check the proofs of an order's commits, as `GET /v1/orders/{id}/proofs` gave them
    CheckProof {
        /// The saved answer
        file: PathBuf,
        /// The public key that the checkpoint must be signed with: <name>+<id>+<key>
        #[arg(long, value_name = "VKEY")]
        key: String,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct Document {
    order_id: String,
    origin: String,
    size: u64,
    proven: bool,
    commits: Vec<CommitDocument>,
}

#[derive(Serialize)]
struct CommitDocument {
    position: String,
    /// `proven`, `pending` or `not_proven`.
    verdict: &'static str,
}

impl Audit {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Action::CheckProof { file, key, json } = self.action;
        let verifier: NoteVerifier =
            key.trim().parse().map_err(|error| Failure::usage(format!("--key: {error}")))?;
        let proofs = read(&file)?;
        let head = TreeHead::open(&proofs.checkpoint, &verifier)
            .map_err(|error| Failure::new(format!("the checkpoint in {}: {error}", file.display())))?;
        let verdicts = proofs.verdicts(&head);
        let document = Document {
            order_id: proofs.order_id,
            origin: head.origin,
            size: head.size,
            // Nothing is proven by a document in which all is pending.
            proven: verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Proven)
                && verdicts.iter().all(|(_, verdict)| *verdict != Verdict::NotProven),
            commits: verdicts
                .into_iter()
                .map(|(position, verdict)| CommitDocument { position, verdict: verdict.as_str() })
                .collect(),
        };
        if json {
            print_json(&document)?;
        } else {
            let row = |commit: &CommitDocument| [commit.position.clone(), commit.verdict.to_owned()];
            let rows: Vec<_> = document.commits.iter().map(row).collect();
            let Document { order_id, origin, size, .. } = &document;
            print(&format!("order {order_id} in the log {origin} of {size} commits\n"))?;
            print(&table(["position", "verdict"], &rows))?;
        }
        if document.proven {
            Ok(())
        } else {
            Err(Failure::new("not every commit is in the log that was signed"))
        }
    }
}

fn read(file: &Path) -> Result<ProofsJson, Failure> {
    let shown = file.display();
    let bytes =
        std::fs::read(file).map_err(|error| Failure::new(format!("{shown} cannot be read: {error}")))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Failure::new(format!("{shown} is no document of proofs: {error}"))
            .hint("save it with: curl -H \"Authorization: Bearer $KEY\" <server>/v1/orders/<id>/proofs")
    })
}
