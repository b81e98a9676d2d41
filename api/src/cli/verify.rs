//! `daybook verify`: recomputes everything that the log claims, and names the first place where it is not so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use ledger::journal::OpenError;
use ledger::journal::embedded::{Contradiction, check_file};
use projections::{StoreError, StoreOptions, Views, ViewsDigest};
use replay::audit::note::next_note;
use replay::audit::{NoteVerifier, TreeHead, key};
use replay::verify::{
    Evidence, ExportSource, Fault, FaultKind, JournalSource, Medium, Options, PartitionSummary, Report,
    Source, UnreadableJournal, ViewsFound, verify,
};
use serde::Serialize;

use super::progress::ProgressReport;
use super::table::table;
use super::{Failure, chain, print, print_json};
use crate::config::Config;
use crate::startup;

/// The exit code of a log that is at fault.
const AT_FAULT: u8 = 3;
/// Faults that are described; those beyond are counted.
const MOST_FAULTS: usize = 1000;

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// An export of commits to verify instead of the journal: a file, or a directory with `.jsonl` files
    #[arg(long, value_name = "PATH")]
    export: Option<PathBuf>,
    /// Signed tree heads that you have saved; needs --key
    #[arg(long, value_name = "FILE", requires = "key")]
    checkpoint: Vec<PathBuf>,
    /// The public key of the log, as `GET /audit/key` gives it; several for several partitions
    /// [default: that of the key file]
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    /// Where the tree of the log and its signed heads are kept [default: `audit` in the data directory; with --export,
    /// none]
    #[arg(long, value_name = "DIR")]
    audit_dir: Option<PathBuf>,
    /// Show every fault, not only the first
    #[arg(long)]
    all: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    healthy: bool,
    source: String,
    commits: u64,
    orders: u64,
    partitions: Vec<PartitionDocument>,
    /// Whether there were signed tree heads or a kept tree to hold the log against.
    has_evidence: bool,
    views: &'static str,
    /// Why the views were not compared.
    views_skipped: Option<String>,
    faults: Vec<FaultDocument>,
    faults_in_all: u64,
    seconds: u64,
}

#[derive(Serialize)]
struct PartitionDocument {
    partition: u16,
    commits: u64,
    /// Base64; null when a fault is in the way.
    root: Option<String>,
    signed_up_to: u64,
    heads_as_signed: u64,
    commits_as_kept: u64,
}

#[derive(Serialize)]
struct FaultDocument {
    position: Option<String>,
    kind: &'static str,
    detail: String,
}

impl Verify {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        let started = Instant::now();
        let (source, name) = self.source(config).await?;
        let keys = self.keys(config, source.partitions())?;
        let evidence = self.evidence(config, source.partitions(), &keys)?;
        let has_evidence = evidence.iter().any(|evidence| !evidence.is_empty());
        let (views, views_skipped) = match self.export {
            Some(_) => (None, Some("an export has none".to_owned())),
            None => digest_of_views(startup::views_path(config)).await?,
        };
        let mut shown = ProgressReport::new("commits", self.json);
        let of_medium = match (&self.export, &config.nats) {
            (None, None) => contradictions(&startup::journal_path(config)).await?,
            (Some(_), _) | (None, Some(_)) => Vec::new(),
        };
        let options = Options { most_faults: MOST_FAULTS, views, of_medium };
        let report = verify(source.as_ref(), evidence, options, |progress| shown.update(progress)).await;
        shown.finish();
        let report = report.map_err(|error| Failure::new(chain(&error)))?;
        let document = Document {
            healthy: report.faults_in_all == 0,
            source: name,
            commits: report.partitions.iter().map(|partition| partition.last_sequence).sum(),
            orders: report.orders,
            partitions: report.partitions.iter().map(PartitionDocument::of).collect(),
            has_evidence,
            views: word(report.views),
            views_skipped,
            faults: report.faults.iter().map(FaultDocument::of).collect(),
            faults_in_all: report.faults_in_all,
            seconds: started.elapsed().as_secs(),
        };
        if self.json {
            print_json(&document)?
        } else {
            print(&self.text(&document, &report))?
        }
        match report.faults.first() {
            None => Ok(()),
            Some(first) => {
                Err(Failure { code: AT_FAULT, ..Failure::new(format!("the log is at fault: {first}")) })
            }
        }
    }

    async fn source(&self, config: &Config) -> Result<(Box<dyn Source>, String), Failure> {
        if let Some(path) = &self.export {
            let source = ExportSource::open(path).await.map_err(|error| Failure::new(chain(&error)))?;
            return Ok((Box::new(source), path.display().to_string()));
        }
        let (medium, name) = match &config.nats {
            Some(_) => (Medium::Server, "JetStream".to_owned()),
            None => (Medium::File, startup::journal_path(config).display().to_string()),
        };
        match startup::open_journal_read_only(config).await {
            Ok(journal) => Ok((Box::new(JournalSource::new(journal, medium)), name)),
            // A file that is there and is no journal any more is what a verifier is for.
            Err(OpenError::Refused(reason))
                if medium == Medium::File && startup::journal_path(config).is_file() =>
            {
                Ok((Box::new(UnreadableJournal { reason }), name))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The keys that are trusted, by partition: those given, else the server's own where it can be read.
    fn keys(&self, config: &Config, partitions: u16) -> Result<Keys, Failure> {
        let mut keys = Keys::new();
        for text in &self.key {
            let verifier: NoteVerifier =
                text.trim().parse().map_err(|error| Failure::usage(format!("--key: {error}")))?;
            let partition = partition_of(verifier.name()).ok_or_else(|| {
                Failure::usage(format!(
                    "--key: {} does not end with the number of a partition",
                    verifier.name()
                ))
            })?;
            keys.insert(partition, verifier);
        }
        let of_the_server = match (&self.audit_dir, &self.export) {
            (Some(directory), _) => Some(directory.join("key")),
            (None, None) => Some(startup::audit_key_path(config)),
            (None, Some(_)) => None,
        };
        if let (true, Some(file)) = (keys.is_empty(), of_the_server) {
            let signer = key::load(&file).map_err(|error| Failure::new(chain(&error)))?;
            for partition in 0..partitions {
                let named =
                    signer.as_ref().map(|signer| signer.named(&format!("{}/{partition}", signer.name())));
                if let Some(named) = named.transpose().map_err(|error| Failure::new(chain(&error)))? {
                    keys.insert(partition, named.verifier());
                }
            }
        }
        Ok(keys)
    }

    /// Where the tree of the log is kept. An export may be of another log than the one configured.
    fn kept(&self, config: &Config) -> Option<PathBuf> {
        match (&self.audit_dir, &self.export) {
            (Some(directory), _) => Some(directory.clone()),
            (None, None) => Some(startup::audit_path(config)),
            (None, Some(_)) => None,
        }
    }

    fn evidence(&self, config: &Config, partitions: u16, keys: &Keys) -> Result<Vec<Evidence>, Failure> {
        let mut all: Vec<Evidence> = (0..partitions).map(|_| Evidence::default()).collect();
        if let Some(directory) = self.kept(config) {
            for (partition, evidence) in (0..partitions).zip(&mut all) {
                let kept = directory.join(partition.to_string());
                let added = evidence.add_directory(partition, &kept, keys.get(&partition));
                added.map_err(|error| Failure::new(chain(&error)))?;
            }
        }
        for file in &self.checkpoint {
            add_saved(file, keys, &mut all)?;
        }
        Ok(all)
    }

    fn text(&self, document: &Document, report: &Report) -> String {
        let rows: Vec<[String; 5]> = report
            .partitions
            .iter()
            .map(|partition| {
                [
                    partition.partition.to_string(),
                    partition.last_sequence.to_string(),
                    partition.signed_up_to.to_string(),
                    partition.commits_as_kept.to_string(),
                    partition.root.map_or_else(|| "-".to_owned(), |root| root.to_string()),
                ]
            })
            .collect();
        let table = table(["partition", "commits", "as signed up to", "as kept", "root"], &rows);
        let mut text = format!("{}\n\n{table}\n", document.source);
        let views = match (&document.views_skipped, report.views) {
            (Some(reason), _) => format!("not compared: {reason}"),
            (None, ViewsFound::AsFolded) => "as the log folds".to_owned(),
            (None, ViewsFound::Different) => "not as the log folds".to_owned(),
            (None, ViewsFound::NotGiven) => "not compared".to_owned(),
            (None, ViewsFound::NotComparable) => "not compared: the log is at fault".to_owned(),
        };
        text.push_str(&format!("books      {} orders added up\nviews      {views}\n", document.orders));
        if !document.has_evidence {
            text.push_str("evidence   none: what was changed by somebody who knows the rules is not found\n");
        }
        let shown = if self.all { report.faults.len() } else { 1 };
        for fault in report.faults.iter().take(shown) {
            text.push_str(&format!("fault      {fault}\n"));
        }
        let rest = report.faults_in_all - report.faults.len().min(shown) as u64;
        match (rest, self.all) {
            (0, _) if report.faults.is_empty() => text.push_str("no fault\n"),
            (0, _) => {}
            (rest, false) => text.push_str(&format!("           and {rest} more; --all shows them\n")),
            (rest, true) => text.push_str(&format!("           and {rest} more\n")),
        }
        text
    }
}

/// Whose signatures count, by partition.
type Keys = BTreeMap<u16, NoteVerifier>;

/// The partition that a tree head's origin is about.
fn partition_of(origin: &str) -> Option<u16> {
    origin.rsplit_once('/')?.1.parse().ok()
}

/// Adds tree heads that somebody has saved. They are what the caller believes, so each has to be what it says.
fn add_saved(file: &Path, keys: &Keys, evidence: &mut [Evidence]) -> Result<(), Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| Failure::new(format!("{shown}: {error}")))?;
    let mut rest = text.as_str();
    while let Some((note, after)) = next_note(rest) {
        rest = after;
        let unusable = |reason: String| Failure::new(format!("{shown}: {reason}"));
        let claimed = TreeHead::read_unverified(note).map_err(|error| unusable(error.to_string()))?;
        let no_partition = || unusable(format!("{} names no partition of this log", claimed.origin));
        let partition = partition_of(&claimed.origin).ok_or_else(no_partition)?;
        let evidence = evidence.get_mut(usize::from(partition)).ok_or_else(no_partition)?;
        let verifier = keys.get(&partition);
        let verifier = verifier.ok_or_else(|| unusable(format!("no --key for {}", claimed.origin)))?;
        let head = TreeHead::open(note, verifier).map_err(|error| unusable(error.to_string()))?;
        evidence.add_head(partition, head);
    }
    match rest.trim() {
        "" if rest.len() < text.len() => Ok(()),
        _ => Err(Failure::new(format!("{shown} is not a series of signed tree heads"))),
    }
}

/// What is wrong with the file of an embedded journal besides its commits.
async fn contradictions(path: &Path) -> Result<Vec<Fault>, Failure> {
    let found = check_file(path).await.map_err(|error| Failure::new(chain(error.as_ref())))?;
    let fault =
        |Contradiction { position, reason }| Fault { position, kind: FaultKind::BadFile, detail: reason };
    Ok(found.into_iter().map(fault).collect())
}

/// The digest of the views that are live, or why they are not looked at.
async fn digest_of_views(path: PathBuf) -> Result<(Option<ViewsDigest>, Option<String>), Failure> {
    let read = tokio::task::spawn_blocking(move || {
        if !path.exists() {
            return Ok((None, Some("there are none here".to_owned())));
        }
        match Views::open(&path, &StoreOptions::default()).and_then(|views| views.digest_by_scan()) {
            Ok(digest) if digest.checkpoint.is_empty() => Ok((None, Some("they are empty".to_owned()))),
            Ok(digest) => Ok((Some(digest), None)),
            Err(StoreError::Locked { .. }) => Ok((None, Some("a running server uses them".to_owned()))),
            Err(error @ (StoreError::Damaged(_) | StoreError::Disk(_))) => Err(error),
        }
    });
    let read = read.await.map_err(|error| Failure::new(error.to_string()))?;
    read.map_err(|error: StoreError| Failure::new(chain(&error)))
}

fn word(views: ViewsFound) -> &'static str {
    match views {
        ViewsFound::AsFolded => "as_folded",
        ViewsFound::Different => "different",
        ViewsFound::NotGiven => "not_compared",
        ViewsFound::NotComparable => "not_comparable",
    }
}

impl PartitionDocument {
    fn of(summary: &PartitionSummary) -> Self {
        let PartitionSummary {
            partition,
            last_sequence,
            root,
            heads_as_signed,
            signed_up_to,
            commits_as_kept,
        } = *summary;
        PartitionDocument {
            partition,
            commits: last_sequence,
            root: root.map(|root| root.to_string()),
            signed_up_to,
            heads_as_signed,
            commits_as_kept,
        }
    }
}

impl FaultDocument {
    fn of(fault: &Fault) -> Self {
        FaultDocument {
            position: fault.position.map(|position| position.to_string()),
            kind: fault.kind.as_str(),
            detail: fault.detail.clone(),
        }
    }
}
