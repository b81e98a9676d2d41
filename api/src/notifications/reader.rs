//! Following one partition of the log for one tenant: every commit in its place, and what it changed.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use ledger::execute::{Ledger, LoadError};
use ledger::ids::{Position, TenantId};
use ledger::journal::{BoxError, Tail};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::message::Change;

/// The first wait after a failure of the journal, doubled each time, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// After so much silence the end of the log is looked at: a tail that has fallen silent is opened again.
const SILENCE: Duration = Duration::from_secs(5);
/// A tail that is not read from costs memory; after so long it is closed until there is room again.
const PAUSE: Duration = Duration::from_secs(1);

/// One commit of the log.
#[derive(Debug)]
pub(super) struct Read {
    /// Which.
    pub(super) position: Position,
    /// The tenant's order whose status it changed, if so.
    pub(super) change: Option<Change>,
}

/// Why a tail is done with.
enum Ended {
    /// Nobody wants to know any more.
    Unheard,
    /// There was no room for long; there is now.
    Paused,
    /// It has to be opened again.
    Failed(BoxError),
}

/// Reads a partition from the commit after `after`.
pub(super) struct Reader {
    pub(super) ledger: Ledger,
    pub(super) tenant: TenantId,
    pub(super) partition: u16,
    pub(super) after: u64,
    pub(super) reads: mpsc::Sender<Read>,
}

impl Reader {
    /// Reads until nobody listens.
    pub(super) async fn run(mut self) {
        let mut wait = FIRST_WAIT;
        loop {
            let before = self.after;
            match self.read_one_tail().await {
                Ended::Unheard => return,
                Ended::Paused => {}
                Ended::Failed(error) => {
                    if self.after > before {
                        wait = FIRST_WAIT;
                    }
                    let (tenant, after) = (&self.tenant, self.after);
                    tracing::warn!(%tenant, after, error, "the log cannot be read for notifications; trying again");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    async fn read_one_tail(&mut self) -> Ended {
        let journal = Arc::clone(self.ledger.journal());
        let mut tail = match journal.tail(self.partition, self.after).await {
            Ok(tail) => tail,
            Err(error) => return Ended::Failed(error.into()),
        };
        let reads = self.reads.clone();
        loop {
            let room = match timeout(PAUSE, reads.reserve()).await {
                Ok(Ok(room)) => room,
                Ok(Err(_)) => return Ended::Unheard,
                Err(_) => {
                    drop(tail);
                    return if reads.reserve().await.is_ok() { Ended::Paused } else { Ended::Unheard };
                }
            };
            match self.next(&mut tail).await {
                Ok(Some(read)) => {
                    self.after = read.position.sequence;
                    room.send(read);
                }
                Ok(None) => {}
                Err(error) => return Ended::Failed(error),
            }
        }
    }

    /// The next commit; none after a silence that is in order.
    async fn next(&self, tail: &mut Tail) -> Result<Option<Read>, BoxError> {
        let stored = match timeout(SILENCE, tail.next()).await {
            Ok(Some(stored)) => stored?,
            Ok(None) => return Err("the journal's tail ended".into()),
            Err(_) if self.ledger.journal().last_sequence(self.partition).await? > self.after => {
                return Err("the journal's tail has fallen silent".into());
            }
            Err(_) => return Ok(None),
        };
        let position = stored.position;
        if position.sequence != self.after + 1 {
            return Err(format!("the journal's tail gave {position} after {}", self.after).into());
        }
        let change = if stored.subject.tenant == self.tenant {
            Change::by(&self.ledger, &stored).await.inspect_err(|error| match error {
                LoadError::Unavailable(_) => {}
                LoadError::Corrupt { position, reason } => {
                    tracing::error!(%position, reason, "INTERNAL: notifications stop in front of a commit");
                }
            })?
        } else {
            None
        };
        Ok(Some(Read { position, change }))
    }
}
