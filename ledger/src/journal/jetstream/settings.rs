//! How the streams are kept: the settings under which nothing that was acknowledged can disappear.
//!
//! The settings are compared at every start. A stream that could drop, age out or overwrite a commit is refused,
//! and so is one that was made for another number of partitions: its orders would be looked for elsewhere.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use async_nats::jetstream::stream::{
    Compression, Config, DiscardPolicy, Info, PersistenceMode, RetentionPolicy, StorageType,
};

use super::JetStreamConfig;
use crate::journal::OpenError;

/// In a stream's metadata: how many partitions the journal has.
const PARTITIONS: &str = "daybook_partitions";
/// The shortest that servers take. Retries are recognised by their expectation, so the window serves nobody.
const DUPLICATE_WINDOW: Duration = Duration::from_millis(100);

/// Refuses what cannot be part of a stream's name and a subject's token alike.
pub(super) fn check_names(config: &JetStreamConfig) -> Result<(), OpenError> {
    let prefix = &config.prefix;
    let alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(alphabet) {
        return Err(OpenError::Refused(format!(
            "{prefix:?} cannot be the prefix of a journal: use up to 64 of a-z A-Z 0-9 - _"
        )));
    }
    if config.partitions == 0 {
        return Err(OpenError::Refused("a journal has at least one partition".to_owned()));
    }
    Ok(())
}

/// Refuses streams that were made for another number of partitions.
pub(super) fn check_partitions<'a>(
    config: &JetStreamConfig,
    mut streams: impl Iterator<Item = &'a Info>,
) -> Result<(), OpenError> {
    let made_for = |info: &Info| info.config.metadata.get(PARTITIONS)?.parse::<u16>().ok();
    let Some(made_for) = streams.find_map(made_for).filter(|made_for| *made_for != config.partitions) else {
        return Ok(());
    };
    let JetStreamConfig { prefix, partitions, .. } = config;
    Err(OpenError::Refused(format!(
        "the journal {prefix} was made with {made_for} partitions, and {partitions} are configured. An order is found \
         by this number, so it stays for the life of a journal: configure `partitions = {made_for}`, or copy the ledger \
         to streams with another prefix and the number that you want, with `daybook copy`"
    )))
}

pub(super) fn stream_name(config: &JetStreamConfig, partition: u16) -> String {
    format!("{}-{partition}", config.prefix)
}

/// The stream of one partition, as it is created.
pub(super) fn wanted(config: &JetStreamConfig, partition: u16) -> Config {
    Config {
        name: stream_name(config, partition),
        description: Some("Daybook's ledger: one message is one commit, none is ever removed".to_owned()),
        subjects: vec![format!("{}.{partition}.>", config.prefix)],
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        max_age: Duration::ZERO,
        max_bytes: -1,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_message_size: -1,
        max_consumers: -1,
        deny_delete: true,
        deny_purge: true,
        allow_direct: true,
        compression: Some(compression(config)),
        num_replicas: config.replicas,
        duplicate_window: DUPLICATE_WINDOW,
        metadata: HashMap::from([(PARTITIONS.to_owned(), config.partitions.to_string())]),
        ..Config::default()
    }
}

fn compression(config: &JetStreamConfig) -> Compression {
    if config.compression { Compression::S2 } else { Compression::None }
}

/// Where a stream differs from what the journal needs: one line per setting, with both values.
pub(super) fn differences(config: &JetStreamConfig, partition: u16, info: &Info) -> Vec<String> {
    let wanted = wanted(config, partition);
    let found = &info.config;
    let mut lines = Lines { stream: wanted.name, lines: Vec::new() };
    // Servers write "no limit" as -1 or 0.
    let limit = |value: i64| value.max(0);
    lines.compare("subjects", wanted.subjects, found.subjects.clone());
    lines.compare("storage", wanted.storage, found.storage);
    lines.compare("retention", wanted.retention, found.retention);
    lines.compare("discard", wanted.discard, found.discard);
    lines.compare("max_age", wanted.max_age, found.max_age);
    lines.compare("max_bytes", 0, limit(found.max_bytes));
    lines.compare("max_msgs", 0, limit(found.max_messages));
    lines.compare("max_msgs_per_subject", 0, limit(found.max_messages_per_subject));
    lines.compare("max_msg_size", 0, limit(found.max_message_size.into()));
    lines.compare("deny_delete", wanted.deny_delete, found.deny_delete);
    lines.compare("deny_purge", wanted.deny_purge, found.deny_purge);
    lines.compare("allow_direct", wanted.allow_direct, found.allow_direct);
    lines.compare("allow_rollup_hdrs", false, found.allow_rollup);
    lines.compare("allow_msg_ttl", false, found.allow_message_ttl);
    lines.compare("allow_msg_counter", false, found.allow_message_counter);
    lines.compare("allow_msg_schedules", false, found.allow_message_schedules);
    lines.compare("no_ack", false, found.no_ack);
    lines.compare("sealed", false, found.sealed);
    lines.compare("mirror", None, found.mirror.clone());
    lines.compare("sources", 0, found.sources.as_ref().map_or(0, Vec::len));
    lines.compare("subject_transform", None, found.subject_transform.clone());
    lines.compare("persist_mode", PersistenceMode::Default, found.persist_mode.unwrap_or_default());
    lines.compare("compression", compression(config), found.compression.clone().unwrap_or(Compression::None));
    lines.compare("num_replicas", wanted.num_replicas, found.num_replicas);
    let partitions = found.metadata.get(PARTITIONS).map_or("", String::as_str);
    lines.compare(PARTITIONS, config.partitions.to_string().as_str(), partitions);
    lines.compare("messages (as many as the last sequence)", info.state.last_sequence, info.state.messages);
    lines.lines
}

struct Lines {
    stream: String,
    lines: Vec<String>,
}

impl Lines {
    fn compare<T: PartialEq + Debug>(&mut self, setting: &str, wanted: T, found: T) {
        if wanted != found {
            let stream = &self.stream;
            self.lines.push(format!("  {stream}: {setting}: wanted {wanted:?}, found {found:?}"));
        }
    }
}

/// What an operator wants to know of a stream.
pub(super) fn facts(info: &Info) -> Vec<(&'static str, String)> {
    let Info { config, state, .. } = info;
    let leader = info.cluster.as_ref().and_then(|cluster| cluster.leader.clone());
    let compression = match config.compression {
        Some(Compression::S2) => "S2",
        Some(Compression::None) | None => "none",
    };
    let leader = leader.unwrap_or_else(|| "none".to_owned());
    vec![(
        "stream",
        format!(
            "{}: {} commits, {} bytes before compression, file storage, nothing is ever removed, compression {compression}, \
             replicas {}, leader {leader}",
            config.name, state.messages, state.bytes, config.num_replicas
        ),
    )]
}

/// What an operator should change.
pub(super) fn warnings(info: &Info) -> Vec<String> {
    let name = &info.config.name;
    let mut warnings = Vec::new();
    if info.config.num_replicas < 3 {
        warnings.push(format!(
            "{name} has {} replica(s): losing one disk can lose acknowledged commits; run three with \
             `sync_interval: always`",
            info.config.num_replicas
        ));
    }
    for replica in info.cluster.iter().flat_map(|cluster| &cluster.replicas) {
        if replica.offline || !replica.current {
            let lag = replica.lag.unwrap_or(0);
            warnings.push(format!("{name}: the replica on {} is behind by {lag} or away", replica.name));
        }
    }
    warnings
}
