//! `daybook rebuild`: folds the whole log into new views and makes them live.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use projections::{Progress, RebuildError, StoreError, StoreOptions, rebuild};
use serde::Serialize;

use super::{Failure, chain, print, print_json};
use crate::config::Config;
use crate::startup;

/// Without a terminal, a line this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

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
        let mut shown = Shown::new();
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

/// How far it has come: a bar for people who wait, lines for a log.
struct Shown {
    bar: Option<ProgressBar>,
    said: Instant,
}

impl Shown {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // The template is a constant; were it wrong, the plain bar would do.
            if let Ok(style) =
                ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} commits  {msg}  {elapsed}")
            {
                bar.set_style(style);
            }
            bar
        });
        Shown { bar, said: Instant::now() }
    }

    fn update(&mut self, Progress { applied, last, rate_per_s, eta }: Progress) {
        let eta = eta.map(|eta| format!(", {} s left", eta.as_secs())).unwrap_or_default();
        match &self.bar {
            Some(bar) => {
                bar.set_length(last);
                bar.set_position(applied);
                bar.set_message(format!("{rate_per_s}/s{eta}"));
            }
            None if self.said.elapsed() >= LINE_EVERY => {
                eprintln!("{applied} of {last} commits, {rate_per_s}/s{eta}");
                self.said = Instant::now();
            }
            None => {}
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
