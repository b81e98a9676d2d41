//! What `daybook copy` says at the end: what was copied, what was proven, and how to go on.

use std::path::Path;

use replay::audit::read_checkpoints;
use replay::copy::{Beside, ChainComparison, Comparison, Predecessor};
use serde::Serialize;

use super::place::Place;
use crate::cli::{Failure, print, print_json};

/// What was proven of both sides.
pub(super) enum Proof {
    /// The same commits at the same positions.
    Positions(Comparison),
    /// The same commits of every record, in the same order.
    Chains(ChainComparison),
}

impl Proof {
    /// The newest sequence of each partition of the source.
    pub(super) fn source_ends(&self) -> &[u64] {
        match self {
            Proof::Positions(comparison) => &comparison.ends,
            Proof::Chains(comparison) => &comparison.source_ends,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Document {
    from: String,
    to: String,
    /// Commits that this run copied.
    copied: u64,
    /// The newest sequence of each partition of the target.
    ends: Vec<u64>,
    /// The Merkle root of each partition of the target; where positions were kept, the same on both sides.
    merkle_roots: Vec<String>,
    /// Where positions have changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    repartitioned: Option<Repartitioned>,
    memos: u64,
    pages_of_keys: u64,
    /// Whether servers are to be started with the target from now on.
    moved: bool,
    /// How to start them.
    settings: Vec<String>,
    seconds: u64,
}

#[derive(Serialize)]
struct Repartitioned {
    /// Commits, the same on both sides.
    commits: u64,
    /// For each partition of the source, the Merkle roots over the commits that it has in each partition of the target,
    /// without positions; the same on both sides.
    chains: Vec<Vec<String>>,
    source_ends: Vec<u64>,
    source_merkle_roots: Vec<String>,
}

impl Document {
    pub(super) fn new(
        from: &Place,
        to: &Place,
        copied: u64,
        proof: Proof,
        beside: Beside,
        moved: bool,
        seconds: u64,
    ) -> Self {
        let texts = |roots: &[replay::audit::Hash]| roots.iter().map(ToString::to_string).collect();
        let (ends, merkle_roots, repartitioned) = match proof {
            Proof::Positions(comparison) => (comparison.ends, texts(&comparison.roots), None),
            Proof::Chains(comparison) => {
                let repartitioned = Repartitioned {
                    commits: comparison.commits,
                    chains: comparison.chains.iter().map(|roots| texts(roots)).collect(),
                    source_merkle_roots: texts(&comparison.source_roots),
                    source_ends: comparison.source_ends,
                };
                (comparison.target_ends, texts(&comparison.target_roots), Some(repartitioned))
            }
        };
        Document {
            from: from.to_string(),
            to: to.to_string(),
            copied,
            ends,
            merkle_roots,
            repartitioned,
            memos: beside.memos,
            pages_of_keys: beside.pages_of_keys,
            moved,
            settings: to.settings(),
            seconds,
        }
    }

    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        if json { print_json(self) } else { print(&self.to_text()) }
    }

    fn to_text(&self) -> String {
        let Document { copied, ends, merkle_roots, memos, pages_of_keys, .. } = self;
        let mut text = String::new();
        let both = if self.repartitioned.is_some() { "" } else { ", the same on both sides" };
        for (partition, (end, root)) in ends.iter().zip(merkle_roots).enumerate() {
            text.push_str(&format!("up to    {partition}-{end}\nroot     {root}{both}\n"));
        }
        if let Some(Repartitioned { commits, source_ends, .. }) = &self.repartitioned {
            text.push_str(&format!(
                "proven   {commits} commits, each order's the same and in the same order on both sides\n\
                 \x20        positions have changed, from {} partition(s) to {}: see the guide on changing the number \
                 of partitions\n",
                source_ends.len(),
                ends.len()
            ));
        }
        text.push_str(&format!(
            "copied   {copied} commits, {memos} memos, {pages_of_keys} pages of keys in this run\n"
        ));
        if self.moved {
            text.push_str(&format!(
                "moved    {} is not written any more; start every server with:\n",
                self.from
            ));
            self.settings.iter().for_each(|line| text.push_str(&format!("         {line}\n")));
            if self.repartitioned.is_some() {
                text.push_str("         # a new data_dir, and another audit.origin: it is another log\n");
            }
        } else {
            text.push_str(
                "         the source goes on; copy again for what comes, and with --switch-over to move\n",
            );
        }
        text
    }
}

/// Where the log in the target came from, with the signed head over the end of each partition where there is one below
/// `audit`.
pub(super) fn predecessor(from: &Place, at: &str, comparison: &ChainComparison, audit: &Path) -> Predecessor {
    let texts = |roots: &[replay::audit::Hash]| roots.iter().map(ToString::to_string).collect();
    let signed = |partition: usize| {
        let last = read_checkpoints(&audit.join(partition.to_string()).join("checkpoints")).ok()?.pop()?;
        let (end, root) = (comparison.source_ends.get(partition)?, comparison.source_roots.get(partition)?);
        // One that says otherwise is of another log, or of one that went on.
        (last.head.size == *end && last.head.root == *root).then(|| last.note.to_string())
    };
    Predecessor {
        journal: from.to_string(),
        at: at.to_owned(),
        checkpoints: (0..comparison.source_ends.len()).map(signed).collect(),
        ends: comparison.source_ends.clone(),
        merkle_roots: texts(&comparison.source_roots),
        copied_to: comparison.target_ends.clone(),
        copied_merkle_roots: texts(&comparison.target_roots),
    }
}
