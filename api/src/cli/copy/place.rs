//! Where a journal is, as `daybook copy` is told: a path, or the address of a NATS server with settings.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use ledger::journal::jetstream::{Credentials, JetStreamConfig, JetStreamJournal};
use ledger::journal::{Journal, OpenError};

use crate::config::Config;
use crate::startup::{JOURNAL_FILE, audit_path};

/// A journal's place.
#[derive(Debug)]
pub(super) enum Place {
    /// A SQLite file.
    Embedded(PathBuf),
    /// Streams on NATS servers.
    JetStream(Box<JetStreamConfig>),
}

impl Place {
    /// Reads a path or an address. What an address does not say is as the configuration has it, or as it is by default.
    pub(super) fn parse(text: &str, config: &Config) -> Result<Self, String> {
        if !text.contains("://") {
            let path = PathBuf::from(text);
            let is_file = path.is_file() || path.extension().is_some_and(|extension| extension == "sqlite");
            return Ok(Place::Embedded(if is_file { path } else { path.join(JOURNAL_FILE) }));
        }
        let (url, query) = text.split_once('?').unwrap_or((text, ""));
        if !["nats://", "tls://", "ws://", "wss://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(format!("{url:?} is neither a path nor an address such as nats://host:4222"));
        }
        let mut place = JetStreamConfig::new(url);
        if let Some(file) = config.nats.as_ref().and_then(|nats| nats.credentials_file.clone()) {
            place.credentials = Credentials::File(file);
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let wrong = || format!("{name}={value} is not understood");
            match name {
                "prefix" => place.prefix = value.to_owned(),
                "replicas" => place.replicas = value.parse().map_err(|_| wrong())?,
                "partitions" => place.partitions = value.parse().map_err(|_| wrong())?,
                "compression" => place.compression = value.parse().map_err(|_| wrong())?,
                "credentials_file" => place.credentials = Credentials::File(value.into()),
                _ => {
                    return Err(format!(
                        "{name:?} is none of prefix, replicas, partitions, compression, credentials_file"
                    ));
                }
            }
        }
        Ok(Place::JetStream(Box::new(place)))
    }

    /// The same place with so many partitions. An address that says otherwise is refused, and a file that has one.
    pub(super) fn with_partitions(self, partitions: u16) -> Result<Self, String> {
        match self {
            Place::Embedded(_) if partitions != 1 => {
                Err("an embedded journal has one partition; only JetStream has several".to_owned())
            }
            Place::JetStream(config) if config.partitions != partitions && config.partitions != 1 => {
                Err(format!("the address says partitions={}", config.partitions))
            }
            Place::JetStream(config) => {
                Ok(Place::JetStream(Box::new(JetStreamConfig { partitions, ..*config })))
            }
            Place::Embedded(_) => Ok(self),
        }
    }

    /// Where the server keeps the signed heads of the log's tree, as far as can be told from here.
    pub(super) fn audit_directory(&self, config: &Config) -> PathBuf {
        match self {
            Place::Embedded(path) => path.with_file_name("audit"),
            Place::JetStream(_) => audit_path(config),
        }
    }

    /// Opens the journal to write it; creates it where there is none.
    pub(super) async fn open(&self) -> Result<Arc<dyn Journal>, OpenError> {
        Ok(match self {
            Place::Embedded(path) => Arc::new(EmbeddedJournal::open(path, EmbeddedOptions::default()).await?),
            Place::JetStream(config) => Arc::new(JetStreamJournal::connect((**config).clone()).await?),
        })
    }

    /// Opens the journal to read it, also beside a server.
    pub(super) async fn open_read_only(&self) -> Result<Arc<dyn Journal>, OpenError> {
        Ok(match self {
            Place::Embedded(path) => Arc::new(EmbeddedJournal::open_read_only(path).await?),
            Place::JetStream(config) => {
                Arc::new(JetStreamJournal::connect_existing((**config).clone()).await?)
            }
        })
    }

    /// Whether a process holds the journal to write it. Nobody ever holds streams.
    pub(super) async fn is_in_use(&self) -> Result<bool, OpenError> {
        match self {
            Place::Embedded(path) => EmbeddedJournal::is_in_use(path).await,
            Place::JetStream(_) => Ok(false),
        }
    }

    /// Whether both are one journal, as far as their names tell.
    pub(super) fn is_same_as(&self, other: &Place) -> bool {
        match (self, other) {
            (Place::Embedded(one), Place::Embedded(other)) => {
                let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
                real(one) == real(other)
            }
            (Place::JetStream(one), Place::JetStream(other)) => {
                (&one.url, &one.prefix) == (&other.url, &other.prefix)
            }
            (Place::Embedded(_), Place::JetStream(_)) | (Place::JetStream(_), Place::Embedded(_)) => false,
        }
    }

    /// The lines of a configuration file with which a server uses this journal.
    pub(super) fn settings(&self) -> Vec<String> {
        match self {
            Place::Embedded(path) => {
                let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let directory =
                    directory.map_or_else(|| ".".into(), |directory| directory.display().to_string());
                let mut lines = vec![format!("data_dir = {directory:?}"), "# and no [nats]".to_owned()];
                if path.file_name().is_none_or(|name| name != JOURNAL_FILE) {
                    lines.push(format!("# {} must be named {JOURNAL_FILE} there", path.display()));
                }
                lines
            }
            Place::JetStream(config) => vec![
                "[nats]".to_owned(),
                format!("url = {:?}", self.address()),
                format!("prefix = {:?}", config.prefix),
                format!("partitions = {}", config.partitions),
                format!("replicas = {}", config.replicas),
                format!("compression = {}", config.compression),
            ],
        }
    }

    /// The path, or the addresses without the credentials that may stand in them.
    fn address(&self) -> String {
        match self {
            Place::Embedded(path) => path.display().to_string(),
            Place::JetStream(config) => {
                let bare = |address: &str| match address.split_once("://") {
                    Some((scheme, rest)) => {
                        format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host))
                    }
                    None => address.to_owned(),
                };
                config.url.split(',').map(bare).collect::<Vec<_>>().join(",")
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Embedded(_) => f.write_str(&self.address()),
            Place::JetStream(config) => write!(f, "{}?prefix={}", self.address(), config.prefix),
        }
    }
}
