//! `daybook export`: the log and its views as files for others. Reads beside a running server.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use ledger::ids::TenantId;
use replay::AsOf;
use replay::export::{ExportError, ExportOptions, Format, Manifest, What, export};
use serde::Serialize;

use super::progress::ProgressReport;
use super::{Failure, chain, print, print_json};
use crate::config::Config;
use crate::startup;

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// What to export
    what: WhatWord,
    /// How to write it; `commits` are always JSON Lines
    #[arg(long, default_value = "jsonl")]
    format: FormatWord,
    /// The file to write; for Parquet, the directory
    #[arg(long, value_name = "FILE|DIR")]
    out: PathBuf,
    /// Only this tenant's
    #[arg(long)]
    tenant: Option<String>,
    /// Only from this time (RFC 3339) or position on; of orders, by their first commit
    #[arg(long, value_name = "TIME|POSITION")]
    from: Option<String>,
    /// Only before this time (RFC 3339), or up to this position
    #[arg(long, value_name = "TIME|POSITION")]
    to: Option<String>,
    /// Rows of a Parquet file, after which the next one begins
    #[arg(long, value_name = "N", default_value_t = 262_144, value_parser = clap::value_parser!(u64).range(1..))]
    part_rows: u64,
    /// Go on with an export that was cut short
    #[arg(long)]
    resume: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WhatWord {
    /// Every commit exactly as it is stored
    Commits,
    /// A row for each event
    Events,
    /// A row for each order
    Orders,
    /// Sums by tenant and currency
    Totals,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatWord {
    /// JSON Lines
    Jsonl,
    /// CSV with a header
    Csv,
    /// A directory of Parquet files
    Parquet,
}

#[derive(Serialize)]
struct Document {
    out: String,
    manifest_file: String,
    #[serde(flatten)]
    manifest: Manifest,
    seconds: u64,
}

impl Export {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        let mut options = ExportOptions::new(self.what.into(), self.format.into(), &self.out);
        options.tenant = self
            .tenant
            .map(|text| {
                text.parse::<TenantId>().map_err(|error| Failure::usage(format!("--tenant: {error}")))
            })
            .transpose()?;
        options.from = moment("--from", self.from)?;
        options.to = moment("--to", self.to)?;
        options.resume = self.resume;
        options.part_rows = self.part_rows;
        options.live_views = Some(startup::views_path(config));
        let journal = startup::open_journal_read_only(config).await?;
        let mut shown = ProgressReport::new(unit(options.what), self.json);
        let started = Instant::now();
        let outcome = export(journal, &options, |progress| shown.update(progress)).await;
        shown.finish();
        let document = Document {
            out: self.out.display().to_string(),
            manifest_file: Manifest::path(&self.out).display().to_string(),
            manifest: outcome.map_err(explain)?,
            seconds: started.elapsed().as_secs(),
        };
        if self.json {
            return print_json(&document);
        }
        print(&document.to_text())
    }
}

fn moment(name: &str, text: Option<String>) -> Result<Option<AsOf>, Failure> {
    text.map(|text| text.parse().map_err(|error| Failure::usage(format!("{name}: {error}")))).transpose()
}

fn unit(what: What) -> &'static str {
    match what {
        What::Commits | What::Events => "commits",
        // First commits are folded, then orders are written.
        What::Orders | What::Totals => "steps",
    }
}

fn explain(error: ExportError) -> Failure {
    let failure = Failure::new(chain(&error));
    match error {
        ExportError::Refused(_) => Failure { code: 2, ..failure },
        ExportError::Journal(_) | ExportError::File { .. } => {
            failure.hint("the same command with --resume goes on where this one stopped")
        }
        ExportError::Unreadable { .. }
        | ExportError::Fold(_)
        | ExportError::Views(_)
        | ExportError::TooLarge { .. }
        | ExportError::Changed { .. } => failure,
    }
}

impl Document {
    fn to_text(&self) -> String {
        let Manifest { rows, upto, files, merkle_roots, .. } = &self.manifest;
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        let upto: Vec<String> =
            upto.iter().enumerate().map(|(partition, sequence)| format!("{partition}-{sequence}")).collect();
        let mut text = format!(
            "rows     {rows}\nup to    {}\nfiles    {} of {bytes} bytes, {}\nmanifest {}\n",
            upto.join(", "),
            files.len(),
            self.out,
            self.manifest_file
        );
        for root in merkle_roots.iter().flatten() {
            text.push_str(&format!("root     {root}\n"));
        }
        text
    }
}

impl From<WhatWord> for What {
    fn from(word: WhatWord) -> Self {
        match word {
            WhatWord::Commits => What::Commits,
            WhatWord::Events => What::Events,
            WhatWord::Orders => What::Orders,
            WhatWord::Totals => What::Totals,
        }
    }
}

impl From<FormatWord> for Format {
    fn from(word: FormatWord) -> Self {
        match word {
            FormatWord::Jsonl => Format::Jsonl,
            FormatWord::Csv => Format::Csv,
            FormatWord::Parquet => Format::Parquet,
        }
    }
}
