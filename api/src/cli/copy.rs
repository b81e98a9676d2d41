//! `daybook copy`: the whole ledger to another journal, position for position or into another number of partitions, and
//! the switch-over to it.

mod place;
mod positions;
mod report;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use ledger::journal::{Journal, ReadError};
use replay::copy::{
    Beside, CopyError, Moved, PREDECESSORS, catch_up, catch_up_repartitioned, compare, compare_chains,
    copy_beside, note_moved, note_predecessor, open_again,
};

use self::place::Place;
use self::report::{Document, Proof};
use super::progress::ProgressReport;
use super::{Failure, chain};
use crate::config::Config;
use crate::notifications;
use crate::startup::LOOK_FOR_MOVE;

/// How often to look whether the source has more.
const LOOK: Duration = Duration::from_millis(200);
/// Nodes that were told to stop have stopped when nothing came for so long.
const QUIET: Duration = Duration::from_secs(5 * LOOK_FOR_MOVE.as_secs());

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Copy {
    /// The journal to copy: a file or data directory, or nats://host:port?prefix=…&replicas=…
    #[arg(long, value_name = "JOURNAL")]
    from: String,
    /// Where to: the same. What is there must be an earlier copy, or nothing
    #[arg(long, value_name = "JOURNAL")]
    to: String,
    /// How many partitions the target has. Where the source has another number, positions change
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    partitions: Option<u16>,
    /// Move: go on until no server writes the source any more, and see to it that none does again
    #[arg(long)]
    switch_over: bool,
    /// Copy nothing; say where a reader of the source that has come to this place goes on in the target
    #[arg(long, value_name = "PLACE", conflicts_with = "switch_over")]
    at: Option<String>,
    /// For programs
    #[arg(long)]
    json: bool,
}

impl Copy {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        let from = Place::parse(&self.from, config).map_err(|text| usage("--from", &text))?;
        let mut to = Place::parse(&self.to, config).map_err(|text| usage("--to", &text))?;
        if let Some(partitions) = self.partitions {
            to = to.with_partitions(partitions).map_err(|text| usage("--partitions", &text))?;
        }
        if from.is_same_as(&to) {
            return Err(Failure::usage("--from and --to are the same journal"));
        }
        if let Some(at) = &self.at {
            let at = positions::parse(at).map_err(|text| usage("--at", &text))?;
            return positions::look_up(&from, &to, at, self.json).await;
        }
        let started = Instant::now();
        let source = from.open_read_only().await?;
        let target = to.open().await?;
        let mut work = Work {
            changes_positions: self.partitions.is_some() && source.partitions() != target.partitions(),
            source,
            target,
            from: &from,
            to: &to,
            config,
            copied: 0,
            shown: ProgressReport::new("commits", self.json),
            is_json: self.json,
        };
        let done = if self.switch_over { work.switch_over().await } else { work.copy_once().await };
        work.shown.finish();
        let (proof, beside) = done?;
        let (copied, seconds) = (work.copied, started.elapsed().as_secs());
        Document::new(&from, &to, copied, proof, beside, self.switch_over, seconds).print(self.json)
    }
}

fn usage(name: &str, text: &str) -> Failure {
    Failure::usage(format!("{name}: {text}"))
}

struct Work<'a> {
    source: Arc<dyn Journal>,
    target: Arc<dyn Journal>,
    from: &'a Place,
    to: &'a Place,
    config: &'a Config,
    /// Whether the target is to have another number of partitions than the source.
    changes_positions: bool,
    copied: u64,
    shown: ProgressReport,
    is_json: bool,
}

impl Work<'_> {
    /// Copies what there is now. The source may be written meanwhile: what comes later is for the next run.
    async fn copy_once(&mut self) -> Result<(Proof, Beside), Failure> {
        self.catch_up().await?;
        let beside = self.copy_beside().await?;
        Ok((self.compare().await?, beside))
    }

    /// Follows the source until nobody writes it, proves that all of it is in the target, and notes where it went.
    async fn switch_over(&mut self) -> Result<(Proof, Beside), Failure> {
        self.catch_up().await?;
        let moved =
            Moved { to: self.to.to_string(), at: format!("{:.3}", jiff::Timestamp::now()), ends: None };
        match self.from {
            Place::Embedded(_) => self.wait_for_the_writer().await?,
            // Nobody holds a stream for itself. The note comes first: it stops the nodes that run.
            Place::JetStream(_) => {
                self.source = self.from.open().await?;
                self.say("the source's servers are told to stop; waiting until nothing comes from them");
                note_moved(self.source.as_ref(), &moved).await.map_err(explain)?;
                self.wait_for_quiet().await?;
            }
        }
        let beside = self.copy_beside().await?;
        let proof = loop {
            let proof = self.compare().await?;
            // A node that was slow to stop may have stored something meanwhile.
            let before = self.copied;
            self.catch_up().await?;
            if self.copied == before {
                break proof;
            }
        };
        if let Proof::Chains(comparison) = &proof {
            let audit = self.from.audit_directory(self.config);
            let predecessor = report::predecessor(self.from, &moved.at, comparison, &audit);
            let (source, target) = (self.source.as_ref(), self.target.as_ref());
            note_predecessor(source, target, predecessor).await.map_err(explain)?;
        }
        let moved = Moved { ends: Some(proof.source_ends().to_vec()), ..moved };
        // In this order: were it the other way round, a crash between could leave two journals open to servers.
        note_moved(self.source.as_ref(), &moved).await.map_err(explain)?;
        open_again(self.target.as_ref()).await.map_err(explain)?;
        Ok((proof, beside))
    }

    /// Copies on until the source can be opened as its only writer, and then the rest.
    async fn wait_for_the_writer(&mut self) -> Result<(), Failure> {
        let mut is_told = false;
        while self.from.is_in_use().await? {
            if !is_told {
                self.say("all that there is has been copied; stop the server now");
                is_told = true;
            }
            self.catch_up().await?;
            tokio::time::sleep(LOOK).await;
        }
        self.source = self.from.open().await?;
        self.catch_up().await
    }

    async fn wait_for_quiet(&mut self) -> Result<(), Failure> {
        let mut quiet_since = Instant::now();
        while quiet_since.elapsed() < QUIET {
            let before = self.copied;
            self.catch_up().await?;
            if self.copied > before {
                quiet_since = Instant::now();
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn catch_up(&mut self) -> Result<(), Failure> {
        let (source, target) = (self.source.as_ref(), self.target.as_ref());
        let shown = |progress| self.shown.update(progress);
        let copied = match self.changes_positions {
            true => catch_up_repartitioned(source, target, shown).await,
            false => catch_up(source, target, shown).await,
        };
        self.copied += copied.map_err(explain)?;
        Ok(())
    }

    async fn copy_beside(&self) -> Result<Beside, Failure> {
        // Memos in which positions stand are written anew: see `compare`, and `switch_over`.
        let names_positions = |name: &str| name == PREDECESSORS || notifications::is_document(name);
        let leave = |name: &str| self.changes_positions && names_positions(name);
        copy_beside(self.source.as_ref(), self.target.as_ref(), leave).await.map_err(explain)
    }

    async fn compare(&mut self) -> Result<Proof, Failure> {
        let (source, target) = (self.source.as_ref(), self.target.as_ref());
        let shown = |progress| self.shown.update(progress);
        if !self.changes_positions {
            return Ok(Proof::Positions(compare(source, target, shown).await.map_err(explain)?));
        }
        // What the documents name is looked up while both logs go by.
        let documents = positions::Documents::read(source).await?;
        let comparison = compare_chains(source, target, documents.wanted(), shown).await.map_err(explain)?;
        documents.put(target, &comparison.places).await?;
        Ok(Proof::Chains(comparison))
    }

    fn say(&self, text: &str) {
        if self.is_json {
            eprintln!("{}", serde_json::json!({ "message": text }));
        } else {
            eprintln!("{text}");
        }
    }
}

fn explain(error: CopyError) -> Failure {
    let failure = Failure::new(chain(&error));
    match error {
        CopyError::TargetGoesOn { .. }
        | CopyError::Differs { .. }
        | CopyError::NotACopy { .. }
        | CopyError::OtherKeys { .. } => failure
            .hint("copy to a journal that is empty, or holds an earlier copy of this one and nothing else"),
        CopyError::Source(ReadError::Foreign { .. }) | CopyError::Target(ReadError::Foreign { .. }) => {
            failure
        }
        CopyError::Source(ReadError::Unavailable(_))
        | CopyError::Target(ReadError::Unavailable(_))
        | CopyError::Append { .. }
        | CopyError::Beside { .. } => failure.hint("the same command goes on where this one stopped"),
        CopyError::Partitions { to, .. } => failure
            .hint(format!("--partitions {to} copies all the same, and every commit gets another position")),
    }
}
