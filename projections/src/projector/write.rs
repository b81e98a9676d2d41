//! The writing thread: folds what all partitions bring, and tells everybody what has become visible.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{Change, Shared};
use crate::store::{Entry, Stopped, StoreError, Views, Writer};

/// Chunks that may wait for the writer.
const QUEUE: usize = 4;
/// The least time from one batch to the next. A batch costs the same few rows however many commits share it, so
/// under load fewer and larger ones leave more of the machine to those who write. After a pause nobody waits.
const PACE: Duration = Duration::from_millis(2);

/// Commits of one partition, in order, and why nothing follows them, if so.
pub(super) struct Work {
    pub(super) entries: Vec<Entry>,
    pub(super) stopped: Option<Stopped>,
}

/// What the thread is asked to do.
pub(super) enum Message {
    /// Fold and write.
    Work(Work),
    /// Do this between two batches, and go on with the writer that it gives back.
    Between(Between),
}

/// What is done between two batches: nothing is being written, and the views stand at one place in the log.
pub(crate) type Between = Box<dyn FnOnce(Writer) -> Writer + Send>;

/// Starts the thread. It ends, with everything on disk, when every sender is gone.
pub(super) fn spawn(
    shared: Arc<Shared>,
    writer: Writer,
    views: Views,
) -> io::Result<(mpsc::Sender<Message>, JoinHandle<()>)> {
    let (works, waiting) = mpsc::channel(QUEUE);
    let thread = std::thread::Builder::new().name("projector".to_owned()).spawn(move || {
        run(&shared, writer, waiting);
        if let Err(error) = views.flush() {
            tracing::error!(%error, "the views could not be made durable; the next start folds what is missing");
        }
    })?;
    Ok((works, thread))
}

fn run(shared: &Shared, mut writer: Writer, mut waiting: mpsc::Receiver<Message>) {
    let mut last: Option<Instant> = None;
    while let Some(message) = waiting.blocking_recv() {
        let work = match message {
            Message::Work(work) => work,
            Message::Between(between) => {
                writer = between(writer);
                continue;
            }
        };
        let since_last = last.map_or(PACE, |last| last.elapsed());
        if work.entries.len() < shared.options.batch {
            std::thread::sleep(PACE.saturating_sub(since_last));
        }
        last = Some(Instant::now());
        let mut works = vec![work];
        let mut size = works[0].entries.len();
        let mut then = None;
        while size < shared.options.batch
            && let Ok(message) = waiting.try_recv()
        {
            match message {
                Message::Work(work) => {
                    size += work.entries.len();
                    works.push(work);
                }
                Message::Between(between) => {
                    then = Some(between);
                    break;
                }
            }
        }
        if let Err(error) = write(shared, &mut writer, works) {
            fail(shared, &error);
            return;
        }
        if let Some(between) = then {
            writer = between(writer);
        }
    }
}

fn write(shared: &Shared, writer: &mut Writer, works: Vec<Work>) -> Result<(), StoreError> {
    let mut entries = Vec::with_capacity(works.iter().map(|work| work.entries.len()).sum());
    let mut stops = Vec::new();
    for work in works {
        entries.extend(work.entries);
        stops.extend(work.stopped);
    }
    while !entries.is_empty() {
        entries.retain(|entry| shared.partition(entry.recorded.position.partition).halted.get().is_none());
        let Some(stopped) = writer.write(&entries)? else {
            publish(shared, entries);
            break;
        };
        // What comes before it is written; what comes after it in its partition never will be.
        let rest = entries.iter().position(|entry| entry.recorded.position == stopped.position);
        let rest = entries.split_off(rest.unwrap_or(entries.len()));
        publish(shared, entries);
        shared.halt(stopped);
        entries = rest;
    }
    for stopped in stops {
        shared.halt(stopped);
    }
    Ok(())
}

/// First the figure that says what is visible, then those who wait for it.
fn publish(shared: &Shared, entries: Vec<Entry>) {
    shared.applied.send_modify(|applied| {
        for entry in &entries {
            let position = entry.recorded.position;
            if let Some(applied) = applied.get_mut(usize::from(position.partition)) {
                *applied = position.sequence;
            }
        }
    });
    let mut touched = vec![false; shared.partitions.len()];
    let has_listeners = shared.changes.receiver_count() > 0;
    for Entry { recorded, sealed, bytes: _ } in entries {
        touched[usize::from(recorded.position.partition)] = true;
        shared.waiters.wake(recorded.commit.record);
        // It fails when the last listener has just left.
        if has_listeners && shared.changes.send(Arc::new(Change { recorded, sealed })).is_err() {
            tracing::trace!("nobody listens for changes any more");
        }
    }
    for (partition, _) in (0..).zip(touched).filter(|(_, touched)| *touched) {
        shared.report(partition);
    }
}

/// Without its store no partition can go on.
fn fail(shared: &Shared, error: &StoreError) {
    for (partition, of) in (0..).zip(&shared.partitions) {
        if of.halted.get().is_none() {
            let sequence = shared.applied(partition) + 1;
            let position = ledger::ids::Position { partition, sequence };
            shared.halt(Stopped { position, reason: error.to_string() });
        }
    }
}
