//! The worker: takes what the feed says, works in order for each order and side by side for different ones, and
//! keeps the place in the feed up to which everything is done.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use super::doors::Doors;
use super::feed::{self, Said};
use super::job::Job;
use super::{Backoff, Settings};

/// How many commits may be worked on at once. The feed waits when there are more.
const OPEN_COMMITS: usize = 10_000;
/// How often the place in the feed is written down.
const SAVE_EVERY: Duration = Duration::from_millis(250);
const FEED_BUFFER: usize = 256;

/// Works until `shutdown` is done.
pub(super) async fn run(settings: Settings, shutdown: impl Future<Output = ()> + Send) {
    let mut shutdown = pin!(shutdown);
    let cursor_file = settings.cursor_file.clone();
    let doors = match Doors::new(settings) {
        Ok(doors) => Arc::new(doors),
        Err(error) => {
            tracing::error!(%error, "sandbox: cannot make requests; it does not run");
            return;
        }
    };
    let mut backoff = Backoff::default();
    loop {
        let mut worker = Worker::new(doors.clone(), cursor_file.clone()).await;
        tokio::select! {
            () = &mut shutdown => {
                worker.save().await;
                return;
            }
            Err(error) = worker.work() => {
                // What was under way is done again from the place that was written down.
                tracing::error!(%error, "sandbox: a task broke; starting over");
            }
        }
        backoff.wait().await;
    }
}

/// A commit that is being worked on, in the order of the feed.
type Ticket = u64;

/// How a task ended.
enum Ended {
    /// A job ran to its end; there may be more to do when the delay is over.
    Job { ticket: Ticket, order_id: String },
    /// The delay of a job is over.
    Due { ticket: Ticket, job: Job },
    /// A job ran to its end, and its rest waits for its delay.
    Delayed { ticket: Ticket, order_id: String, rest: Job, wait: Duration },
}

struct Worker {
    doors: Arc<Doors>,
    place: Place,
    /// The orders that a task is working on, and what waits for it.
    busy: HashMap<String, VecDeque<(Ticket, Job)>>,
    tasks: JoinSet<Ended>,
    /// The file could not be written, and that has been said.
    complained: bool,
}

impl Worker {
    async fn new(doors: Arc<Doors>, cursor_file: PathBuf) -> Worker {
        let place = Place::load(cursor_file).await;
        Worker { doors, place, busy: HashMap::new(), tasks: JoinSet::new(), complained: false }
    }

    /// Works for ever; ends only when a task breaks. May be dropped at any await.
    async fn work(&mut self) -> Result<std::convert::Infallible, JoinError> {
        self.recognize().await;
        let (listener, mut feed) = mpsc::channel(FEED_BUFFER);
        let mut follower = JoinSet::new();
        follower.spawn(feed::follow(self.doors.clone(), self.place.cursor(), listener));
        let mut save = tokio::time::interval(SAVE_EVERY);
        save.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(ended) = self.tasks.join_next() => self.ended(ended?),
                Some(said) = feed.recv(), if self.place.open() < OPEN_COMMITS => self.hear(said),
                Some(broken) = follower.join_next() => broken?,
                _ = save.tick() => self.save().await,
            }
        }
    }

    /// Starts over if the place is one in another log: the one behind the server was replaced.
    async fn recognize(&mut self) {
        let Some(witness) = self.place.witness.clone() else { return };
        if self.doors.insist(|| self.doors.order(&witness)).await.is_none() {
            tracing::warn!("sandbox: this is not the log that it knows; it reads it from the beginning");
            self.place.forget();
        }
    }

    fn hear(&mut self, said: Said) {
        match said {
            Said::Position(id) => self.place.pass(id),
            Said::Commit { id, commit } => {
                let job = Job::of(&commit);
                self.place.witness = Some(commit.order_id);
                match job {
                    None => self.place.pass(id),
                    Some(job) => {
                        let ticket = self.place.begin(id);
                        self.enqueue(ticket, job);
                    }
                }
            }
        }
    }

    fn enqueue(&mut self, ticket: Ticket, job: Job) {
        match self.busy.get_mut(&job.order_id) {
            Some(waiting) => waiting.push_back((ticket, job)),
            None => {
                self.busy.insert(job.order_id.clone(), VecDeque::new());
                self.start(ticket, job);
            }
        }
    }

    fn start(&mut self, ticket: Ticket, job: Job) {
        let doors = self.doors.clone();
        self.tasks.spawn(async move {
            let order_id = job.order_id.clone();
            match job.run(&doors).await {
                None => Ended::Job { ticket, order_id },
                Some((rest, wait)) => Ended::Delayed { ticket, order_id, rest, wait },
            }
        });
    }

    fn ended(&mut self, ended: Ended) {
        match ended {
            Ended::Job { ticket, order_id } => {
                self.place.finish(ticket);
                self.next(&order_id);
            }
            // While it waits, the order goes on: a cancellation must not queue behind a capture to come.
            Ended::Delayed { ticket, order_id, rest, wait } => {
                self.tasks.spawn(async move {
                    tokio::time::sleep(wait).await;
                    Ended::Due { ticket, job: rest }
                });
                self.next(&order_id);
            }
            Ended::Due { ticket, job } => self.enqueue(ticket, job),
        }
    }

    /// Starts what waited for this order, if anything did.
    fn next(&mut self, order_id: &str) {
        match self.busy.get_mut(order_id).and_then(VecDeque::pop_front) {
            Some((ticket, job)) => self.start(ticket, job),
            None => drop(self.busy.remove(order_id)),
        }
    }

    async fn save(&mut self) {
        match self.place.save().await {
            Ok(()) => self.complained = false,
            Err(error) if !self.complained => {
                let file = self.place.file.display();
                tracing::warn!(%error, %file, "sandbox: the place in the feed cannot be written; it stays behind");
                self.complained = true;
            }
            Err(_) => {}
        }
    }
}

/// The place in the feed up to which everything is done, and its file: the position, and an order of that log.
#[derive(Debug)]
struct Place {
    file: PathBuf,
    saved: Option<String>,
    /// The last position that was heard of.
    heard: Option<String>,
    /// An order that the feed spoke of, to recognize the log by.
    witness: Option<String>,
    /// For each commit that is being worked on, the position before it.
    open: BTreeMap<Ticket, Option<String>>,
    next: Ticket,
}

impl Place {
    /// The place that was written down; without one, the beginning.
    async fn load(file: PathBuf) -> Place {
        let text = match tokio::fs::read_to_string(&file).await {
            Ok(text) => text,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    let file = file.display();
                    tracing::warn!(%error, %file, "sandbox: the place in the feed cannot be read; starting over");
                }
                String::new()
            }
        };
        let mut words = text.split_whitespace().map(str::to_owned);
        let (saved, witness) = (words.next(), words.next());
        Place { file, heard: saved.clone(), saved, witness, open: BTreeMap::new(), next: 0 }
    }

    /// Goes back to the beginning. Only before anything was heard.
    fn forget(&mut self) {
        (self.heard, self.saved, self.witness) = (None, None, None);
    }

    fn begin(&mut self, position: String) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        self.open.insert(ticket, self.heard.replace(position));
        ticket
    }

    fn pass(&mut self, position: String) {
        self.heard = Some(position);
    }

    fn finish(&mut self, ticket: Ticket) {
        self.open.remove(&ticket);
    }

    fn open(&self) -> usize {
        self.open.len()
    }

    /// The last position of which nothing, and before which nothing, is still to be done.
    fn cursor(&self) -> Option<String> {
        self.open.first_key_value().map_or(&self.heard, |(_, before)| before).clone()
    }

    async fn save(&mut self) -> std::io::Result<()> {
        let cursor = self.cursor();
        if let Some(position) = cursor.as_deref().filter(|_| cursor != self.saved) {
            let witness = self.witness.as_deref().unwrap_or_default();
            replace(&self.file, &format!("{position} {witness}\n")).await?;
            self.saved = cursor;
        }
        Ok(())
    }
}

/// Writes beside the file and renames, so that a crash leaves the old text or the new one.
async fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let beside = file.with_extension("tmp");
    let mut written = tokio::fs::File::create(&beside).await?;
    written.write_all(text.as_bytes()).await?;
    written.sync_all().await?;
    tokio::fs::rename(&beside, file).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_place_is_before_the_first_commit_that_is_not_done() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cursor");
        let mut place = Place::load(file.clone()).await;
        assert_eq!(place.cursor(), None);
        let at = |n: u32| format!("0-{n}");
        let first = place.begin(at(1));
        assert_eq!(place.cursor(), None, "nothing is done yet");
        place.pass(at(2));
        let third = place.begin(at(3));
        place.finish(first);
        assert_eq!(place.cursor(), Some(at(2)));
        place.pass(at(4));
        assert_eq!(place.cursor(), Some(at(2)), "the third is still open");
        place.save().await.unwrap();
        place.finish(third);
        assert_eq!(place.cursor(), Some(at(4)));
        assert_eq!(Place::load(file.clone()).await.cursor(), Some(at(2)), "as it was written");
        place.save().await.unwrap();
        assert_eq!(Place::load(file).await.cursor(), Some(at(4)));
    }

    #[tokio::test]
    async fn a_file_that_a_crash_left_empty_means_the_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cursor");
        std::fs::write(&file, "\n").unwrap();
        assert_eq!(Place::load(file).await.cursor(), None);
    }
}
