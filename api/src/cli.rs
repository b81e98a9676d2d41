//! The command line, one file per command.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 asked for wrongly; 3 done, and what
//! was looked for was found.

mod audit;
mod copy;
mod diff;
mod doctor;
mod export;
mod forget;
mod history;
mod orders;
mod past;
mod progress;
mod quarantine;
mod rebuild;
mod remote;
mod serve;
mod table;
mod totals;
mod trial_balance;
mod verify;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use ledger::journal::OpenError;
use serde::Serialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Config, ConfigError, LogFormat};
use crate::startup::ServerError;

/// An event-sourced order ledger. Without a command, `serve`.
#[derive(Debug, Parser)]
#[command(name = "daybook", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default).
    Serve,
    /// Show what happened to an order, folded from the log.
    History(history::History),
    /// List a tenant's orders, now or as of a moment, folded from the log.
    Orders(orders::Orders),
    /// Add up a tenant's money, now or as of a moment, folded from the log.
    Totals(totals::Totals),
    /// Show what each account of a tenant's books holds, now or as of a moment, folded from the log.
    TrialBalance(trial_balance::TrialBalance),
    /// Fold the whole log into new views and make them live: through a running server, or offline.
    Rebuild(rebuild::Rebuild),
    /// Check the whole log, offline: that it is all there, unchanged, possible, and what the views show.
    Verify(verify::Verify),
    /// Show which orders two generations of the views, or the views and the log, do not agree on.
    Diff(diff::Diff),
    /// Write the log, its events, the orders or their totals to files. Reads beside a running server.
    Export(export::Export),
    /// Copy the whole ledger to another journal, and move to it.
    Copy(copy::Copy),
    /// List, show, retry or discard webhooks that were set aside, through a running server.
    Quarantine(quarantine::Quarantine),
    /// Forget who the buyer of an order was, through a running server.
    Forget(forget::Forget),
    /// Check what was saved of the log's proofs, without a server.
    Audit(audit::Audit),
    /// Check the journal, the views and the disk.
    Doctor(doctor::Doctor),
}

/// What every command is configured by; the rest is in the environment and in the file.
#[derive(Debug, Args)]
struct Settings {
    /// The configuration file (TOML) [env: DAYBOOK_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen; port 0 picks a free one [env: DAYBOOK_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// How the world reaches this server [env: DAYBOOK_PUBLIC_URL] [default: http://<listen>]
    #[arg(long, global = true, value_name = "URL")]
    public_url: Option<String>,
    /// Where the views and the embedded journal are [env: DAYBOOK_DATA_DIR] [default: daybook-data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// The JetStream journal; without it, the embedded one [env: DAYBOOK_NATS_URL]
    #[arg(long, global = true, value_name = "URL")]
    nats_url: Option<String>,
    /// Names the streams and subjects [env: DAYBOOK_NATS_PREFIX] [default: daybook]
    #[arg(long, global = true, value_name = "PREFIX")]
    nats_prefix: Option<String>,
    /// In how many streams the log is kept; fixed once they exist [env: DAYBOOK_NATS_PARTITIONS] [default: 1]
    #[arg(long, global = true, value_name = "COUNT")]
    nats_partitions: Option<String>,
    /// Only read: serve from the log of others, and take nothing [env: DAYBOOK_REPLICA]
    #[arg(long, global = true)]
    replica: bool,
    /// How log lines look: text or json [env: DAYBOOK_LOG_FORMAT] [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Settings {
    fn load(self) -> Result<Config, ConfigError> {
        let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let file = self.config.or_else(|| environment("DAYBOOK_CONFIG").map(PathBuf::from));
        let flags = [
            ("listen", self.listen),
            ("public_url", self.public_url),
            ("data_dir", self.data_dir),
            ("nats.url", self.nats_url),
            ("nats.prefix", self.nats_prefix),
            ("nats.partitions", self.nats_partitions),
            ("replica", self.replica.then(|| true.to_string())),
            ("log_format", self.log_format),
        ];
        Config::load(file.as_deref(), environment, &flags)
    }
}

/// Why a command ended badly, for the person who typed it.
#[derive(Debug)]
struct Failure {
    message: String,
    hint: Option<String>,
    code: u8,
}

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Failure { message: message.into(), hint: None, code: 1 }
    }

    fn usage(message: impl Into<String>) -> Self {
        Failure { code: 2, ..Failure::new(message) }
    }

    /// No failure: what a script looks for is there, and what it is stands on stdout.
    fn found() -> Self {
        Failure { message: String::new(), hint: None, code: 3 }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Failure { hint: Some(hint.into()), ..self }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure { message: error.to_string(), hint: error.hint, code: 2 }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let hint = match &error {
            OpenError::Unavailable(_) => {
                Some("check nats.url, or data_dir for the embedded journal".to_owned())
            }
            OpenError::Refused(_) => None,
        };
        Failure { hint, ..Failure::new(error.to_string()) }
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Journal(error) => error.into(),
            ServerError::Moved(_) => Failure::new(error.to_string()).hint(
                "start the server with that journal; if the ledger has not moved after all, empty the memo `moved`",
            ),
            ServerError::DataDirectory { .. }
            | ServerError::Store(_)
            | ServerError::Projector(_)
            | ServerError::Unreadable(_)
            | ServerError::AuditKey(_)
            | ServerError::Audit(_)
            | ServerError::Rebuild(_)
            | ServerError::Notifications(_) => Failure::new(chain(&error)),
        }
    }
}

/// The error and what is behind it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { message, hint, code }) => {
            if !message.is_empty() {
                eprintln!("error: {message}");
            }
            if let Some(hint) = hint {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(code)
        }
    }
}

impl Cli {
    fn run(self) -> Result<(), Failure> {
        let config = self.settings.load()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(format!("no runtime: {error}")))?;
        let command = self.command.unwrap_or(Command::Serve);
        // A server tells its story; a command speaks up when something is wrong.
        let level = match command {
            Command::Serve => "info",
            Command::History(_)
            | Command::Orders(_)
            | Command::Totals(_)
            | Command::TrialBalance(_)
            | Command::Rebuild(_)
            | Command::Verify(_)
            | Command::Diff(_)
            | Command::Export(_)
            | Command::Copy(_)
            | Command::Quarantine(_)
            | Command::Forget(_)
            | Command::Audit(_)
            | Command::Doctor(_) => "warn",
        };
        log(config.log_format, level);
        runtime.block_on(async move {
            match command {
                Command::Serve => serve::run(config).await,
                Command::History(command) => command.run(&config).await,
                Command::Orders(command) => command.run(&config).await,
                Command::Totals(command) => command.run(&config).await,
                Command::TrialBalance(command) => command.run(&config).await,
                Command::Rebuild(command) => command.run(&config).await,
                Command::Verify(command) => command.run(&config).await,
                Command::Diff(command) => command.run(&config).await,
                Command::Export(command) => command.run(&config).await,
                Command::Copy(command) => command.run(&config).await,
                Command::Quarantine(command) => command.run().await,
                Command::Forget(command) => command.run().await,
                Command::Audit(command) => command.run(),
                Command::Doctor(command) => command.run(&config).await,
            }
        })
    }
}

/// Libraries that write down what passes through them, keys and card numbers too, when everything is asked for.
/// They do so only where `RUST_LOG` names them.
const DISCREET: &str = "async_nats=warn,hyper=warn,hyper_util=warn,reqwest=warn,rustls=warn,sled=warn";

/// What is logged: what `RUST_LOG` says, else `level`.
fn filter(rust_log: Option<String>, level: &str) -> EnvFilter {
    let wanted = rust_log.filter(|text| !text.trim().is_empty());
    let wanted = wanted.and_then(|text| EnvFilter::try_new(format!("{DISCREET},{text}")).ok());
    wanted.unwrap_or_else(|| EnvFilter::new(format!("{DISCREET},{level}")))
}

/// Log lines go to stderr.
fn log(format: LogFormat, level: &str) {
    let filter = filter(std::env::var("RUST_LOG").ok(), level);
    let is_terminal = io::stderr().is_terminal();
    // A server whose stderr is gone goes on without; telling of that on stderr would panic.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(is_terminal)
        .log_internal_errors(false);
    let set = match format {
        LogFormat::Text => lines.finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    if set.is_err() {
        eprintln!("warning: logging was set up before");
    }
}

/// Writes data. Whoever reads it may have stopped, such as `head`: that is no failure.
fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// The same for data that need not be text.
fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to stdout: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn print_json(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document)
        .map_err(|error| Failure::new(format!("cannot be written as JSON: {error}")))?;
    print(&(text + "\n"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_speaks_json() {
        fn check(command: &clap::Command, inherited: bool) {
            let has_json = inherited || command.get_arguments().any(|argument| argument.get_id() == "json");
            let mut subcommands = command.get_subcommands().peekable();
            if subcommands.peek().is_none() {
                // A server's documents are its API.
                assert!(has_json || command.get_name() == "serve", "{}", command.get_name());
            }
            subcommands.for_each(|subcommand| check(subcommand, has_json));
        }
        check(&Cli::command(), false);
    }

    #[track_caller]
    fn check(rust_log: Option<&str>, expect: [bool; 3]) {
        let filter = filter(rust_log.map(str::to_owned), "info");
        let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::sink).finish();
        let enabled = tracing::subscriber::with_default(subscriber, || {
            [
                tracing::enabled!(target: "daybook", tracing::Level::TRACE),
                tracing::enabled!(target: "daybook", tracing::Level::INFO),
                tracing::enabled!(target: "hyper::proto", tracing::Level::TRACE),
            ]
        });
        assert_eq!(enabled, expect, "{rust_log:?}");
    }

    #[test]
    fn libraries_write_nothing_down_unless_they_are_named() {
        check(None, [false, true, false]);
        check(Some(""), [false, true, false]);
        check(Some("=nonsense="), [false, true, false]);
        check(Some("trace"), [true, true, false]);
        check(Some("trace,hyper=trace"), [true, true, true]);
    }
}
