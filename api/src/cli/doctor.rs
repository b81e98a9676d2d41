//! `daybook doctor`: is the journal what it should be, do the views keep up, is there room.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use ledger::codec;
use ledger::ids::Position;
use ledger::journal::Journal;
use projections::{StoreError, StoreOptions, Views};
use replay::audit::key;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{Failure, chain, print, print_json};
use crate::config::Config;
use crate::startup;

/// Less free space than this is a problem: appends are refused when there is none.
const LEAST_FREE_BYTES: u64 = 1024 * 1024 * 1024;
/// How long a running server may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// For programs
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Findings {
    healthy: bool,
    problems: Vec<String>,
    warnings: Vec<String>,
    journal: Option<JournalFacts>,
    views: ViewsFacts,
    audit: AuditFacts,
    disk: Option<DiskFacts>,
}

#[derive(Debug, Serialize)]
struct JournalFacts {
    kind: &'static str,
    location: String,
    #[serde(serialize_with = "as_object")]
    facts: Vec<(String, String)>,
    bytes_on_disk: Option<u64>,
    /// The newest sequence of each partition.
    last: Vec<u64>,
}

fn as_object<S: Serializer>(facts: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(facts.iter().map(|(label, text)| (label, text)))
}

/// Where the views are, by the store or by the server that has it open.
#[derive(Debug, Default, Serialize)]
struct ViewsFacts {
    location: String,
    state: String,
    checkpoint: Option<Vec<u64>>,
    lag: Option<u64>,
}

/// What checks the signed heads of the log's tree.
#[derive(Debug, Default, Serialize)]
struct AuditFacts {
    /// Where the private key is.
    key_file: String,
    /// The public key of each partition; none before the first start.
    keys: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DiskFacts {
    data_bytes: u64,
    free_bytes: Option<u64>,
}

impl Doctor {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        let mut findings = Findings::default();
        examine_journal(config, &mut findings).await;
        examine_views(config, &mut findings).await;
        examine_audit(config, &mut findings);
        examine_disk(&config.data_dir, &mut findings);
        findings.healthy = findings.problems.is_empty();
        if self.json {
            print_json(&findings)?;
        } else {
            print(&findings.to_text())?;
        }
        match findings.problems.len() {
            0 => Ok(()),
            1 => Err(Failure::new("1 problem")),
            several => Err(Failure::new(format!("{several} problems"))),
        }
    }
}

async fn examine_journal(config: &Config, findings: &mut Findings) {
    let journal = match startup::open_journal_read_only(config).await {
        Ok(journal) => journal,
        Err(error) => return findings.problems.push(format!("journal: {error}")),
    };
    match facts_of(journal.as_ref()).await {
        Ok((facts, warnings)) => {
            findings.journal = Some(facts);
            findings.warnings.extend(warnings.into_iter().map(|text| format!("journal: {text}")));
        }
        Err(error) => findings.problems.push(format!("journal: {}", chain(&error))),
    }
    match lost_keys(journal.as_ref()).await {
        Ok(lost) => findings.problems.extend(lost),
        Err(error) => findings.problems.push(format!("keys: {}", chain(&error))),
    }
}

/// What is wrong when the keys of the newest commits are not there: a log that was restored without them.
async fn lost_keys(journal: &dyn Journal) -> Result<Vec<String>, ledger::journal::ReadError> {
    let mut lost = Vec::new();
    for partition in 0..journal.partitions() {
        let sequence = journal.last_sequence(partition).await?;
        let newest = journal.at(Position { partition, sequence }).await?;
        // What cannot be decoded is for `verify` to tell.
        let sealed = newest.and_then(|stored| codec::decode_sealed(&stored.bytes).ok()?.1);
        let Some(sealed) = sealed else { continue };
        if journal.keys().page(sealed.key.page).await?.is_none() {
            lost.push(format!(
                "keys: the page {} is missing, and personal data cannot be read without it; bring the keys back from \
                 their own backup",
                sealed.key.page
            ));
        }
    }
    Ok(lost)
}

async fn facts_of(journal: &dyn Journal) -> Result<(JournalFacts, Vec<String>), ledger::journal::ReadError> {
    let described = journal.describe().await?;
    let mut last = Vec::new();
    for partition in 0..journal.partitions() {
        let sequence = journal.last_sequence(partition).await?;
        // A log that says where it ends and cannot show it is damaged.
        let position = Position { partition, sequence };
        if sequence > 0 && journal.at(position).await?.is_none() {
            let reason = "the newest commit is not there".to_owned();
            return Err(ledger::journal::ReadError::Foreign { position, reason });
        }
        last.push(sequence);
    }
    let facts = JournalFacts {
        kind: described.kind,
        location: described.location,
        facts: described.facts,
        bytes_on_disk: described.bytes_on_disk,
        last,
    };
    Ok((facts, described.warnings))
}

async fn examine_views(config: &Config, findings: &mut Findings) {
    let path = startup::views_path(config);
    findings.views.location = path.display().to_string();
    if !path.exists() {
        findings.views.state = "none yet; folded from the log when the server starts".to_owned();
        return;
    }
    match tokio::task::spawn_blocking(move || Views::open(&path, &StoreOptions::default())).await {
        Ok(Ok(views)) => examine_checkpoint(&views, findings),
        Ok(Err(StoreError::Locked { .. })) => ask_the_server(config, findings).await,
        Ok(Err(error)) => findings.problems.push(format!("views: {}", chain(&error))),
        Err(error) => findings.problems.push(format!("views: {error}")),
    }
}

fn examine_checkpoint(views: &Views, findings: &mut Findings) {
    findings.views.state = "not in use by a server".to_owned();
    let Some(journal) = &findings.journal else { return };
    let partitions = 0..journal.last.len() as u16;
    let checkpoint: Vec<u64> = partitions.map(|partition| views.checkpoint(partition)).collect();
    let pairs = || checkpoint.iter().zip(&journal.last);
    if pairs().any(|(folded, last)| folded > last) {
        findings.problems.push("views: they are ahead of the log; a part of it is missing".to_owned());
    }
    findings.views.lag = Some(pairs().map(|(folded, last)| last.saturating_sub(*folded)).sum());
    findings.views.checkpoint = Some(checkpoint);
}

/// A running server has the views open, and knows best how they are.
async fn ask_the_server(config: &Config, findings: &mut Findings) {
    let url = format!("http://{}/readyz", config.listen);
    let asked = async {
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build()?;
        client.get(&url).send().await?.json::<Value>().await
    };
    match asked.await {
        Ok(answer) => {
            findings.views.state = format!("in use by the server at {}", config.listen);
            findings.views.lag = answer["lag"].as_u64();
            // The sum over all partitions, which is a place in the log only where there is one.
            let partitions = findings.journal.as_ref().map_or(1, |journal| journal.last.len());
            let applied = answer["applied"].as_u64().filter(|_| partitions == 1);
            findings.views.checkpoint = applied.map(|applied| vec![applied]);
            for reason in answer["reasons"].as_array().into_iter().flatten() {
                findings.problems.push(format!("server: {}", reason.as_str().unwrap_or_default()));
            }
        }
        Err(_) => {
            findings.views.state = "in use by another process".to_owned();
            findings.warnings.push(format!(
                "views: in use by another process, and no server answers at {url}; tell me where it listens \
                 with --listen"
            ));
        }
    }
}

fn examine_audit(config: &Config, findings: &mut Findings) {
    let path = startup::audit_key_path(config);
    findings.audit.key_file = path.display().to_string();
    let partitions = findings.journal.as_ref().map_or(1, |journal| journal.last.len());
    match key::load(&path) {
        Ok(Some(signer)) => {
            let named = |partition| signer.named(&format!("{}/{partition}", signer.name()));
            let keys = (0..partitions).filter_map(|partition| named(partition).ok());
            findings.audit.keys = keys.map(|signer| signer.verifier().to_string()).collect();
        }
        Ok(None) => {}
        Err(error) => findings.problems.push(format!("audit: {}", chain(&error))),
    }
}

fn examine_disk(data_dir: &Path, findings: &mut Findings) {
    if !data_dir.exists() {
        return;
    }
    let free_bytes = free_bytes(data_dir);
    if free_bytes.is_some_and(|free| free < LEAST_FREE_BYTES) {
        let shown = data_dir.display();
        findings.problems.push(format!("disk: less than {} free at {shown}", size(LEAST_FREE_BYTES)));
    }
    findings.disk = Some(DiskFacts { data_bytes: used_bytes(data_dir), free_bytes });
}

#[cfg(unix)]
fn free_bytes(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_path: &Path) -> Option<u64> {
    None
}

/// The sizes of all files in the directory. What cannot be read counts as nothing.
fn used_bytes(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => used_bytes(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Bytes for people, in whole units rounded down to a tenth.
fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(unit, name)| format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
    )
}

impl Findings {
    fn to_text(&self) -> String {
        let mut lines = Vec::new();
        let mut line = |label: &str, text: &str| lines.push(format!("  {label:<20} {text}"));
        if let Some(journal) = &self.journal {
            line("journal", &format!("{} at {}", journal.kind, journal.location));
            for (label, text) in &journal.facts {
                line(label, text);
            }
            let last: Vec<String> = journal.last.iter().map(u64::to_string).collect();
            line("last sequence", &last.join(", "));
            if let Some(bytes) = journal.bytes_on_disk {
                line("journal size", &size(bytes));
            }
        }
        line("views", &format!("{} ({})", self.views.location, self.views.state));
        if let Some(checkpoint) = &self.views.checkpoint {
            let checkpoint: Vec<String> = checkpoint.iter().map(u64::to_string).collect();
            line("checkpoint", &checkpoint.join(", "));
        }
        if let Some(lag) = self.views.lag {
            line("lag", &format!("{lag} commits"));
        }
        for key in &self.audit.keys {
            line("audit key", key);
        }
        if let Some(disk) = &self.disk {
            line("data directory", &size(disk.data_bytes));
            line("disk free", &disk.free_bytes.map_or_else(|| "unknown".to_owned(), size));
        }
        lines.extend(self.warnings.iter().map(|text| format!("warning: {text}")));
        lines.extend(self.problems.iter().map(|text| format!("problem: {text}")));
        if self.healthy {
            lines.push("all is well".to_owned());
        }
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(5 << 30), "5.0 GiB");
    }
}
