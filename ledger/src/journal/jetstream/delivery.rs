//! One push consumer, as the commits of its partition in order.
//!
//! What must stay true: a commit is given only right after the one before it. Whatever looks like a message that was
//! lost on the way ends the delivery; whoever reads it begins anew after the last commit that it gave.
//!
//! The client library has ordered consumers of its own, which begin anew by themselves. They copy the handle of the
//! connection for every message, which costs more than the rest of the reading.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, push};
use async_nats::{Message, StatusCode, Subscriber, header};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio::sync::watch;

use super::tails::{AT_A_TIME, NEAR, Tails};
use super::{parse_subject, unavailable, while_connected};
use crate::ids::Position;
use crate::journal::{BoxError, ReadError, Stored};

/// How often the server says that it has nothing to say.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A consumer that says less is gone.
const SILENCE: Duration = Duration::from_secs(10);
/// How long the server keeps a consumer that nobody listens to.
const FORGET: Duration = Duration::from_secs(30);

/// A consumer, and what it has to come up with next.
pub(super) struct Delivery {
    messages: Subscriber,
    /// Its name on the server.
    consumer: String,
    losses: watch::Receiver<u64>,
    tails: Arc<Tails>,
    /// The sequence of the last commit that it gave, or after which it began.
    last: u64,
    /// How many messages it gave.
    given: u64,
    /// How many were still to come when it began, or when the last of them was sent.
    pending: u64,
    /// The commit that came in the place of the next one.
    stray: Option<Position>,
    /// What has ended it, when there were commits to give before.
    failure: Option<ReadError>,
}

impl Delivery {
    /// Has the server deliver what comes after a sequence.
    pub(super) async fn open(tails: &Arc<Tails>, after: u64) -> Result<Self, ReadError> {
        let inbox = tails.client.new_inbox();
        let config = push::Config {
            deliver_subject: inbox.clone(),
            description: Some("a Daybook node follows the ledger".to_owned()),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after.saturating_add(1) },
            ack_policy: AckPolicy::None,
            max_deliver: 1,
            flow_control: true,
            idle_heartbeat: HEARTBEAT,
            inactive_threshold: FORGET,
            num_replicas: 1,
            memory_storage: true,
            ..push::Config::default()
        };
        let mut losses = tails.losses.clone();
        losses.mark_unchanged();
        let open = pin!(async {
            let messages = tails.client.subscribe(inbox).await?;
            let consumer = tails.stream.create_consumer(config).await?;
            Ok::<_, BoxError>((messages, consumer))
        });
        let opened = while_connected(&tails.losses, open).await.flatten();
        let (messages, consumer) = opened.map_err(ReadError::Unavailable)?;
        let info = consumer.cached_info();
        let (consumer, pending) = (info.name.clone(), info.num_pending);
        Ok(Delivery {
            messages,
            consumer,
            losses,
            tails: Arc::clone(tails),
            last: after,
            given: 0,
            pending,
            stray: None,
            failure: None,
        })
    }

    /// The sequence of the last commit that it gave.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Whether it has come near the end of the log, and works: what it cannot give, nobody should wait for with it.
    pub(super) fn is_near_the_end(&self) -> bool {
        self.pending == 0 || (self.given > 0 && self.pending <= NEAR)
    }

    /// The next commit and those that have come with it, once there is one. After an error there is none. Who stops
    /// waiting loses nothing.
    pub(super) async fn next(&mut self) -> Result<VecDeque<Stored>, ReadError> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let mut commits = VecDeque::from([self.next_one().await?]);
        while commits.len() < AT_A_TIME
            && let Some(next) = self.next_one().now_or_never()
        {
            match next {
                Ok(stored) => commits.push_back(stored),
                Err(error) => {
                    self.failure = Some(error);
                    break;
                }
            }
        }
        Ok(commits)
    }

    async fn next_one(&mut self) -> Result<Stored, ReadError> {
        loop {
            if let Some(stray) = self.stray {
                return Err(Box::pin(self.tails.out_of_order(self.last + 1, stray)).await);
            }
            // Timers are for those who have to wait.
            let message = match self.messages.next().now_or_never() {
                Some(message) => message,
                None => tokio::select! {
                    message = self.messages.next() => message,
                    _ = self.losses.changed() => return Err(unavailable("the connection was lost")),
                    () = tokio::time::sleep(SILENCE) => return Err(unavailable("the consumer is silent")),
                },
            };
            let message = message.ok_or_else(|| unavailable("the connection was closed"))?;
            if let Some(stored) = self.take(message)? {
                return Ok(stored);
            }
        }
    }

    fn take(&mut self, message: Message) -> Result<Option<Stored>, ReadError> {
        if let Some(status) = message.status {
            self.heed(status, &message)?;
            return Ok(None);
        }
        let delivered = message.reply.as_deref().and_then(Delivered::parse);
        let Delivered { sequence, count, pending } =
            delivered.ok_or_else(|| unavailable("a message that no consumer has delivered"))?;
        let position = Position { partition: self.tails.partition, sequence };
        if sequence != self.last + 1 {
            self.stray = Some(position);
            return Ok(None);
        }
        (self.last, self.given, self.pending) = (sequence, count, pending);
        let subject = parse_subject(&self.tails.subjects, self.tails.partitions, position, &message.subject)?;
        Ok(Some(Stored { position, subject, bytes: message.payload }))
    }

    /// A heartbeat, or the question whether the messages before it have been read.
    fn heed(&self, status: StatusCode, message: &Message) -> Result<(), ReadError> {
        if status != StatusCode::IDLE_HEARTBEAT {
            return Err(unavailable(format!("the consumer has ended with status {status}")));
        }
        let headers = message.headers.as_ref();
        if let Some(given) = headers.and_then(|headers| headers.get_last(header::NATS_LAST_CONSUMER))
            && given.as_str().parse() != Ok(self.given)
        {
            return Err(unavailable(format!("{} messages have come of {given}", self.given)));
        }
        if let Some(question) = message.reply.clone() {
            let client = self.tails.client.clone();
            // Without the answer the consumer stands still until its next heartbeat finds nobody.
            tokio::spawn(async move { client.publish(question, Bytes::new()).await });
        }
        Ok(())
    }

    /// Tells the server that the consumer is of no more use, which it would notice by itself, but later.
    pub(super) fn retire(self) {
        tokio::spawn(async move {
            let Delivery { messages, consumer, tails, .. } = self;
            drop(messages);
            if let Err(error) = tails.stream.delete_consumer(&consumer).await {
                tracing::debug!(consumer, %error, "the server will forget this consumer by itself");
            }
        });
    }
}

/// What a delivered message's reply subject says about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivered {
    /// In the stream.
    pub(super) sequence: u64,
    /// How many messages the consumer has sent with it.
    count: u64,
    /// How many are to come.
    pending: u64,
}

impl Delivered {
    /// `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<count>.<time>.<pending>`. Newer servers put a domain and
    /// an account in front of the stream, and may put more behind.
    pub(super) fn parse(reply: &str) -> Option<Self> {
        let tokens = reply.strip_prefix("$JS.ACK.")?;
        let in_front = match tokens.split('.').count() {
            7 => 0,
            9.. => 2,
            _ => return None,
        };
        let mut numbers = tokens.split('.').skip(in_front + 3).map(str::parse);
        let (sequence, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        let pending = numbers.nth(1)?.ok()?;
        Some(Delivered { sequence, count, pending })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_subject_tells_of_the_message_in_its_old_and_its_new_form() {
        let told = Some(Delivered { sequence: 7, count: 5, pending: 3 });
        for reply in [
            "$JS.ACK.daybook-0.abc.1.7.5.1700000000000000000.3",
            "$JS.ACK._.hash.daybook-0.abc.1.7.5.1700000000000000000.3",
            "$JS.ACK.hub.hash.daybook-0.abc.1.7.5.1700000000000000000.3.random",
        ] {
            assert_eq!(Delivered::parse(reply), told, "{reply}");
        }
        for reply in ["", "_INBOX.1.2", "$JS.ACK.daybook-0.abc.1.7.5", "$JS.ACK.daybook-0.abc.1.x.5.1.3"] {
            assert_eq!(Delivered::parse(reply), None, "{reply}");
        }
    }
}
