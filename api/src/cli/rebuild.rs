//! `daybook rebuild`: folds the whole log into new views and makes them live. With `--server`, beside the live views of
//! a running server, whose reads never stop; without it, in this process, while no server runs.

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use projections::{Progress, RebuildError, StoreError, StoreOptions, rebuild};
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;

use super::progress::ProgressReport;
use super::remote::Remote;
use super::{Failure, chain, print, print_json};
use crate::config::Config;
use crate::startup;

/// How often the server is asked how far it is.
const POLL: Duration = Duration::from_millis(300);
const ROUTE: &str = "/admin/rebuild";

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Rebuild {
    /// What to do about the rebuild of a running server; without it, one is begun
    #[arg(value_enum, requires = "server")]
    action: Option<Action>,
    /// A running server, which does it beside its live views; the admin key is in DAYBOOK_ADMIN_KEY
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Let the new views wait for `swap` when they have caught up
    #[arg(long, requires = "server")]
    manual_swap: bool,
    /// Do not wait for the end
    #[arg(long, requires = "server")]
    no_wait: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Say what it is at
    Status,
    /// Have it stand still, also across a restart
    Pause,
    /// Have it go on
    Resume,
    /// Give it up
    Cancel,
    /// Make it live: it waits for that, or has raised an alarm
    Swap,
    /// Go back to the generation that was live before
    Rollback,
}

#[derive(Serialize)]
struct Document {
    generation: u64,
    commits: u64,
    /// More than none when an earlier rebuild was gone on with.
    resumed_at: u64,
    digest: String,
    previous_digest: Option<String>,
    /// Null where there is nothing to compare with.
    same_as_before: Option<bool>,
    seconds: u64,
}

impl Rebuild {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        match &self.server {
            Some(url) => {
                let key = config.admin_key.as_ref().ok_or_else(|| {
                    Failure::usage("DAYBOOK_ADMIN_KEY is not set").hint("it is the server's admin.key")
                })?;
                let server = Remote::new(url, key.reveal())?;
                self.run_remotely(&server).await
            }
            None => self.run_offline(config).await,
        }
    }

    async fn run_offline(&self, config: &Config) -> Result<(), Failure> {
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
            resumed_at: report.resumed_at,
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

    async fn run_remotely(&self, server: &Remote) -> Result<(), Failure> {
        let (method, path) = match self.action {
            None => (Method::POST, ROUTE.to_owned()),
            Some(Action::Status) => (Method::GET, ROUTE.to_owned()),
            Some(Action::Pause) => (Method::POST, format!("{ROUTE}/pause")),
            Some(Action::Resume) => (Method::POST, format!("{ROUTE}/resume")),
            Some(Action::Cancel) => (Method::POST, format!("{ROUTE}/cancel")),
            Some(Action::Swap) => (Method::POST, format!("{ROUTE}/swap")),
            Some(Action::Rollback) => (Method::POST, format!("{ROUTE}/rollback")),
        };
        let is_begun = matches!(self.action, None | Some(Action::Rollback));
        let swap = self.manual_swap.then(|| ("swap", "manual".to_owned()));
        let query: Vec<_> = swap.into_iter().filter(|_| self.action.is_none()).collect();
        let mut status = server.call(method, &path, &query, None).await?;
        if is_begun && !self.no_wait {
            status = self.wait(server, status).await?;
        }
        if self.json {
            print_json(&status)?;
        } else {
            print(&shown(&status))?;
        }
        if is_begun { judge(&status) } else { Ok(()) }
    }

    /// Until nothing happens any more by itself.
    async fn wait(&self, server: &Remote, mut status: Value) -> Result<Value, Failure> {
        let mut report = ProgressReport::new("commits", self.json);
        while ["folding", "paused", "comparing"].contains(&word(&status, "state")) {
            report.update(progress(&status));
            tokio::time::sleep(POLL).await;
            status = server.call(Method::GET, ROUTE, &[], None).await.inspect_err(|_| report.finish())?;
        }
        report.finish();
        Ok(status)
    }
}

fn progress(status: &Value) -> Progress {
    let number = |field: &str| status[field].as_u64();
    Progress {
        done: number("done").unwrap_or_default(),
        total: number("total").unwrap_or_default(),
        rate_per_s: number("rate_per_s").unwrap_or_default(),
        eta: number("eta_s").map(Duration::from_secs),
    }
}

/// How a rebuild that was begun here has ended, for scripts: anything but a success or a wait is a failure.
fn judge(status: &Value) -> Result<(), Failure> {
    let reason = || status["reason"].as_str().unwrap_or("the server's log says more").to_owned();
    match word(status, "state") {
        "alarm" => Err(Failure::new(format!("nothing was swapped: {}", reason())).hint(
            "see which orders differ with `daybook diff`; then `daybook rebuild --server … swap`, or `cancel`",
        )),
        "failed" => Err(Failure::new(format!("the rebuild failed: {}", reason()))
            .hint("the views that were live before still are")),
        "canceled" => Err(Failure::new("somebody canceled the rebuild")),
        _ => Ok(()),
    }
}

fn shown(status: &Value) -> String {
    let number = |field: &str| status[field].as_u64().map(|number| number.to_string());
    let commits = number("done").zip(number("total")).map(|(done, total)| format!("{done} of {total}"));
    let comparison = &status["comparison"];
    let compared = match (comparison["same"].as_bool(), comparison["same_version"].as_bool()) {
        (Some(true), _) => Some("the same as those that were live"),
        (Some(false), Some(true)) => Some("other than those that were live"),
        (Some(false), _) => Some("other than those that were live, which another version had folded"),
        (None, _) => None,
    };
    let lines = [
        ("state", Some(word(status, "state").to_owned())),
        ("kind", Some(word(status, "kind").to_owned())),
        ("generation", number("generation")),
        ("live", number("live_generation")),
        ("commits", commits),
        ("digest", comparison["digest"].as_str().map(str::to_owned)),
        ("", compared.map(str::to_owned)),
        ("reason", status["reason"].as_str().map(str::to_owned)),
    ];
    let line = |(name, value): (&str, Option<String>)| Some(format!("{name:<10} {}\n", value?));
    lines.into_iter().filter_map(line).collect()
}

fn word<'a>(status: &'a Value, field: &str) -> &'a str {
    status[field].as_str().unwrap_or_default()
}

fn explain(error: RebuildError) -> Failure {
    match &error {
        RebuildError::Store(StoreError::Locked { .. }) => {
            Failure::new(error.to_string()).hint("a server has it: name it with --server, or stop it first")
        }
        RebuildError::Journal(_) => Failure::new(chain(&error)).hint(
            "the views that were live before still are, and the next rebuild goes on where this one stopped",
        ),
        RebuildError::Store(_) | RebuildError::Unreadable { .. } => {
            Failure::new(chain(&error)).hint("the views that were live before still are")
        }
    }
}
