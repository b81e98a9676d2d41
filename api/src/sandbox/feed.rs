//! Following the feed: connects, reads, and reconnects after whatever was seen last, for ever.

use std::sync::Arc;
use std::time::Duration;

use eventsource_stream::Eventsource;
use futures::StreamExt;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::Value;
use tokio::sync::mpsc;

use super::Backoff;
use super::doors::{Cause, DoorError, Doors};

/// The feed says something every 15 seconds; after three silences the connection is taken for dead.
const SILENCE: Duration = Duration::from_secs(50);

/// One thing that the feed said.
#[derive(Debug)]
pub(super) enum Said {
    /// A commit of one of the tenant's orders, and the id of the event to resume after it.
    Commit { id: String, commit: Box<Commit> },
    /// Nothing of ours up to the event with this id.
    Position(String),
}

/// A commit as the feed shows it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Commit {
    pub(super) order_id: String,
    pub(super) tracking_number: String,
    #[serde(deserialize_with = "timestamp")]
    pub(super) decided_at: Timestamp,
    pub(super) cause: Cause,
    pub(super) events: Vec<Value>,
}

fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// Why a connection to the feed ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Door(#[from] DoorError),
    #[error("{0}")]
    Stream(String),
    #[error("the connection was closed")]
    Closed,
    #[error("nothing was heard for too long")]
    Silence,
    #[error("an event cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

impl Lost {
    /// A server that restarts looks like this; nobody needs to be told.
    fn happens(&self) -> bool {
        match self {
            Lost::Door(error) => !error.is_final(),
            Lost::Stream(_) | Lost::Closed | Lost::Silence => true,
            Lost::Unreadable(_) => false,
        }
    }

    /// Whether the place to go on from was refused: it is one in another log.
    fn is_lost_place(&self) -> bool {
        match self {
            Lost::Door(error) => error.is_bad_request(),
            Lost::Stream(_) | Lost::Closed | Lost::Silence | Lost::Unreadable(_) => false,
        }
    }
}

/// Sends on what the feed says after `cursor`, until nobody listens.
pub(super) async fn follow(doors: Arc<Doors>, mut cursor: Option<String>, listener: mpsc::Sender<Said>) {
    let mut backoff = Backoff::default();
    let mut complaint = String::new();
    while !listener.is_closed() {
        let before = cursor.clone();
        let Err(lost) = read(&doors, &mut cursor, &listener).await else { return };
        if cursor != before {
            backoff = Backoff::default();
            complaint.clear();
        }
        if lost.is_lost_place() && cursor.is_some() {
            let after = cursor.take();
            tracing::warn!(
                after,
                "sandbox: its place is not one in this log; it reads it from the beginning"
            );
            continue;
        }
        let said = lost.to_string();
        if lost.happens() || said == complaint {
            tracing::debug!(%lost, "sandbox: the feed ended; connecting again");
        } else {
            tracing::warn!(%lost, after = cursor, "sandbox: the feed cannot be followed; trying on");
            complaint = said;
        }
        backoff.wait().await;
    }
}

async fn read(doors: &Doors, cursor: &mut Option<String>, listener: &mpsc::Sender<Said>) -> Result<(), Lost> {
    let mut events = doors.feed(cursor.as_deref()).await?.bytes_stream().eventsource();
    loop {
        let next = tokio::time::timeout(SILENCE, events.next()).await.map_err(|_| Lost::Silence)?;
        let event = next.ok_or(Lost::Closed)?.map_err(|error| Lost::Stream(error.to_string()))?;
        let said = match event.event.as_str() {
            "commit" => Said::Commit { id: event.id.clone(), commit: serde_json::from_str(&event.data)? },
            "position" => Said::Position(event.id.clone()),
            _ => continue,
        };
        if listener.send(said).await.is_err() {
            return Ok(());
        }
        *cursor = Some(event.id);
    }
}
