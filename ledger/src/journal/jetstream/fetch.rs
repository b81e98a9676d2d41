//! Commits that are stored already, asked for by how many of them.
//!
//! A tail's consumer sends what it has until it is told to stop, and a server cuts off a connection on which too much
//! waits, with the appends that go over it. What is asked for by its size stays small, however many ask.

use std::pin::pin;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures::StreamExt;
use tokio::time::Instant;

use super::delivery::Delivered;
use super::tails::Tails;
use super::{IN_FLIGHT, parse_subject, unavailable, while_connected};
use crate::ids::Position;
use crate::journal::pages::PAGE;
use crate::journal::{BoxError, ReadError, Stored};

/// Bytes that are sent at a time, unless one commit has more.
const BYTES: usize = 4 * 1024 * 1024;
/// What a message has beside the payload that servers count.
const AROUND: usize = 4096;
/// A server that has sent nothing for so long sends nothing more.
const SILENCE: Duration = Duration::from_secs(5);
/// How long the server keeps a consumer that was not taken away.
const FORGET: Duration = Duration::from_secs(10);

impl Tails {
    /// The commits from after a sequence to the end of its page, or fewer. None at the end of the log.
    pub(super) async fn page(&self, after: u64) -> Result<Vec<Stored>, ReadError> {
        let deadline = Instant::now() + SILENCE;
        loop {
            let unread = self.unread(after).await?;
            if !unread.is_empty() {
                return Ok(unread);
            }
            // Whichever replica gave it may be behind the leader, who knows where the log ends.
            if self.newest().await? <= after {
                return Ok(unread);
            }
            if Instant::now() > deadline {
                return Err(unavailable(format!("no replica has what comes after {after}")));
            }
            tokio::time::sleep(IN_FLIGHT).await;
        }
    }

    async fn unread(&self, after: u64) -> Result<Vec<Stored>, ReadError> {
        if let Some(commits) = self.recent_after(after, PAGE) {
            return Ok(commits.into());
        }
        self.pages.after(after, |after, most| self.fetch(after, most)).await
    }

    /// Up to so many commits after a sequence, or bytes of them, from a consumer that is asked once.
    async fn fetch(&self, after: u64, most: usize) -> Result<Vec<Stored>, ReadError> {
        let config = pull::Config {
            description: Some("a Daybook node reads a page of the ledger".to_owned()),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after.saturating_add(1) },
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGET,
            num_replicas: 1,
            memory_storage: true,
            ..pull::Config::default()
        };
        let bytes = BYTES.max(self.client.max_payload() + AROUND);
        let asked = pin!(async {
            let consumer = self.stream.create_consumer(config).await?;
            let messages = consumer.fetch().max_messages(most).max_bytes(bytes).messages().await?;
            Ok::<_, BoxError>((consumer.cached_info().name.clone(), messages))
        });
        let asked = while_connected(&self.losses, asked).await.flatten();
        let (consumer, messages) = asked.map_err(ReadError::Unavailable)?;
        let page = while_connected(&self.losses, pin!(self.collect(after, messages))).await;
        let stream = self.stream.clone();
        tokio::spawn(async move {
            if let Err(error) = stream.delete_consumer(&consumer).await {
                tracing::debug!(consumer, %error, "the server will forget this consumer by itself");
            }
        });
        page.map_err(ReadError::Unavailable)?
    }

    async fn collect(&self, after: u64, mut messages: pull::Batch) -> Result<Vec<Stored>, ReadError> {
        let mut page: Vec<Stored> = Vec::new();
        loop {
            let message = match tokio::time::timeout(SILENCE, messages.next()).await {
                Ok(Some(Ok(message))) => message.message,
                // There is no more, or no more that has room on the page.
                Ok(None) => return Ok(page),
                Ok(Some(Err(_))) if !page.is_empty() => return Ok(page),
                Ok(Some(Err(error))) => return Err(ReadError::Unavailable(error)),
                Err(_elapsed) => return Err(unavailable("the consumer is silent")),
            };
            let delivered = message.reply.as_deref().and_then(Delivered::parse);
            let Delivered { sequence, .. } =
                delivered.ok_or_else(|| unavailable("a message that no consumer has delivered"))?;
            let (due, position) =
                (after + page.len() as u64 + 1, Position { partition: self.partition, sequence });
            if sequence != due {
                return Err(self.out_of_order(due, position).await);
            }
            let subject = parse_subject(&self.subjects, self.partitions, position, &message.subject)?;
            page.push(Stored { position, subject, bytes: message.payload });
        }
    }
}
