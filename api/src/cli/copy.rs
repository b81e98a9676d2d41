//! `daybook copy`: the whole ledger to another journal, position for position, and the switch-over to it.

mod place;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use ledger::journal::{Journal, ReadError};
use replay::copy::{
    Beside, Comparison, CopyError, Moved, catch_up, compare, copy_beside, note_moved, open_again,
};
use serde::Serialize;

use self::place::Place;
use super::progress::ProgressReport;
use super::{Failure, chain, print, print_json};
use crate::config::Config;
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
    /// Move: go on until no server writes the source any more, and see to it that none does again
    #[arg(long)]
    switch_over: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    from: String,
    to: String,
    /// Commits that this run copied.
    copied: u64,
    /// The newest sequence of each partition.
    ends: Vec<u64>,
    /// The Merkle root of each partition, the same on both sides.
    merkle_roots: Vec<String>,
    memos: u64,
    pages_of_keys: u64,
    /// Whether servers are to be started with the target from now on.
    moved: bool,
    /// How to start them.
    settings: Vec<String>,
    seconds: u64,
}

impl Copy {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        let from = Place::parse(&self.from, config).map_err(|text| usage("--from", &text))?;
        let to = Place::parse(&self.to, config).map_err(|text| usage("--to", &text))?;
        if from.is_same_as(&to) {
            return Err(Failure::usage("--from and --to are the same journal"));
        }
        let started = Instant::now();
        let source = from.open_read_only().await?;
        let target = to.open().await?;
        let mut work = Work {
            source,
            target,
            from: &from,
            to: &to,
            copied: 0,
            shown: ProgressReport::new("commits", self.json),
            is_json: self.json,
        };
        let done = if self.switch_over { work.switch_over().await } else { work.copy_once().await };
        work.shown.finish();
        let (comparison, beside) = done?;
        let document = Document {
            from: from.to_string(),
            to: to.to_string(),
            copied: work.copied,
            ends: comparison.ends,
            merkle_roots: comparison.roots.iter().map(ToString::to_string).collect(),
            memos: beside.memos,
            pages_of_keys: beside.pages_of_keys,
            moved: self.switch_over,
            settings: to.settings(),
            seconds: started.elapsed().as_secs(),
        };
        if self.json {
            return print_json(&document);
        }
        print(&document.to_text())
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
    copied: u64,
    shown: ProgressReport,
    is_json: bool,
}

impl Work<'_> {
    /// Copies what there is now. The source may be written meanwhile: what comes later is for the next run.
    async fn copy_once(&mut self) -> Result<(Comparison, Beside), Failure> {
        self.catch_up().await?;
        let beside = copy_beside(self.source.as_ref(), self.target.as_ref()).await.map_err(explain)?;
        Ok((self.compare().await?, beside))
    }

    /// Follows the source until nobody writes it, proves that all of it is in the target, and notes where it went.
    async fn switch_over(&mut self) -> Result<(Comparison, Beside), Failure> {
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
        let beside = copy_beside(self.source.as_ref(), self.target.as_ref()).await.map_err(explain)?;
        let comparison = loop {
            let comparison = self.compare().await?;
            // A node that was slow to stop may have stored something meanwhile.
            let before = self.copied;
            self.catch_up().await?;
            if self.copied == before {
                break comparison;
            }
        };
        let moved = Moved { ends: Some(comparison.ends.clone()), ..moved };
        // In this order: were it the other way round, a crash between could leave two journals open to servers.
        note_moved(self.source.as_ref(), &moved).await.map_err(explain)?;
        open_again(self.target.as_ref()).await.map_err(explain)?;
        Ok((comparison, beside))
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
        let copied = catch_up(source, target, |progress| self.shown.update(progress)).await;
        self.copied += copied.map_err(explain)?;
        Ok(())
    }

    async fn compare(&mut self) -> Result<Comparison, Failure> {
        let (source, target) = (self.source.as_ref(), self.target.as_ref());
        compare(source, target, |progress| self.shown.update(progress)).await.map_err(explain)
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
        CopyError::TargetGoesOn { .. } | CopyError::Differs { .. } | CopyError::OtherKeys { .. } => failure
            .hint("copy to a journal that is empty, or holds an earlier copy of this one and nothing else"),
        CopyError::Source(ReadError::Foreign { .. }) | CopyError::Target(ReadError::Foreign { .. }) => {
            failure
        }
        CopyError::Source(ReadError::Unavailable(_))
        | CopyError::Target(ReadError::Unavailable(_))
        | CopyError::Append { .. }
        | CopyError::Beside { .. } => failure.hint("the same command goes on where this one stopped"),
        CopyError::Partitions { .. } => failure,
    }
}

impl Document {
    fn to_text(&self) -> String {
        let Document { copied, ends, merkle_roots, memos, pages_of_keys, .. } = self;
        let mut text = String::new();
        for (partition, (end, root)) in ends.iter().zip(merkle_roots).enumerate() {
            text.push_str(&format!("up to    {partition}-{end}\nroot     {root}, the same on both sides\n"));
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
        } else {
            text.push_str(
                "         the source goes on; copy again for what comes, and with --switch-over to move\n",
            );
        }
        text
    }
}
