//! `daybook rebuild`: folds the whole log into new views and makes them live.

use std::time::Instant;

use clap::Args;
use projections::{RebuildError, StoreError, StoreOptions, rebuild};
use serde::Serialize;

use super::progress::ProgressReport;
use super::{Failure, chain, print, print_json};
use crate::config::Config;
use crate::startup;

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Rebuild {
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    generation: u64,
    commits: u64,
    digest: String,
    previous_digest: Option<String>,
    /// Null where there is nothing to compare with.
    same_as_before: Option<bool>,
    seconds: u64,
}

impl Rebuild {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        let journal = startup::open_journal_read_only(config).await?;
        let mut shown = ProgressReport::new("commits", self.json);
        let started = Instant::now();
        let options = StoreOptions::default();
        let path = startup::views_path(config);
        let report = rebuild(journal.as_ref(), &path, &options, |progress| shown.update(progress)).await;
        shown.finish();
        let report = report.map_err(explain)?;
        let document = Document {
            generation: report.generation,
            commits: report.commits,
            digest: report.digest.to_string(),
            previous_digest: report.previous_digest.map(|digest| digest.to_string()),
            same_as_before: report.previous_digest.map(|digest| digest == report.digest),
            seconds: started.elapsed().as_secs(),
        };
        if self.json {
            return print_json(&document);
        }
        let compared = match document.same_as_before {
            Some(true) => "the same as before".to_owned(),
            Some(false) => format!("before: {}", document.previous_digest.unwrap_or_default()),
            None => "nothing to compare it with".to_owned(),
        };
        print(&format!(
            "generation {}\ncommits    {}\ndigest     {}\n           {compared}\n",
            document.generation, document.commits, document.digest
        ))
    }
}

fn explain(error: RebuildError) -> Failure {
    match &error {
        RebuildError::Store(StoreError::Locked { .. }) => {
            Failure::new(error.to_string()).hint("a rebuild is done offline: stop the server first")
        }
        RebuildError::Store(_) | RebuildError::Journal(_) | RebuildError::Unreadable { .. } => {
            Failure::new(chain(&error)).hint("the views that were live before still are")
        }
    }
}
