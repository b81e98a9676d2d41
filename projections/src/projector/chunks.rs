//! A tail as decoded chunks: as many commits as are there, in order, each the successor of the one before.

use futures::stream::{Stream, StreamExt};
use ledger::codec;
use ledger::commit::Recorded;
use ledger::ids::Position;
use ledger::journal::{ReadError, Stored, Tail};

use crate::store::{Entry, Stopped};

/// Chunks decoded ahead of the one that is asked for.
const AHEAD: usize = 2;
/// Fewer commits than this are decoded where they are: handing them over would take longer.
const FEW: usize = 16;

/// Some commits, and why there are no more, if so.
pub(crate) struct Chunk {
    pub(crate) entries: Vec<Entry>,
    pub(crate) end: Option<End>,
}

/// Why a tail ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The journal failed.
    Failed(ReadError),
    /// The next commit is not the one that was due.
    Gap { due: u64, found: u64 },
    /// The next commit cannot be read.
    Unreadable(Stopped),
}

/// Reads a tail that was opened after sequence `after`. Never waits for a chunk to fill up.
pub(crate) fn chunks(
    tail: Tail,
    partition: u16,
    after: u64,
    most: usize,
) -> impl Stream<Item = Chunk> + Send + Unpin {
    let mut due = after + 1;
    let chunks = tail.ready_chunks(most.max(1)).map(move |results| {
        let (stored, end) = in_order(results, &mut due);
        decode(stored, end, partition)
    });
    Box::pin(chunks.buffered(AHEAD))
}

/// The same, decoded by whoever asks for the next chunk, when they ask.
pub(crate) fn chunks_here(
    tail: Tail,
    partition: u16,
    after: u64,
    most: usize,
) -> impl Stream<Item = Chunk> + Send + Unpin {
    let mut due = after + 1;
    tail.ready_chunks(most.max(1)).map(move |results| {
        let (stored, end) = in_order(results, &mut due);
        decode_all(stored, end, partition)
    })
}

/// The commits up to the first that is out of order, or up to the end of the tail.
fn in_order(results: Vec<Result<Stored, ReadError>>, due: &mut u64) -> (Vec<Stored>, Option<End>) {
    let mut commits = Vec::with_capacity(results.len());
    for result in results {
        match result {
            Ok(stored) if stored.position.sequence == *due => {
                *due += 1;
                commits.push(stored);
            }
            Ok(stored) => {
                return (commits, Some(End::Gap { due: *due, found: stored.position.sequence }));
            }
            Err(error) => return (commits, Some(End::Failed(error))),
        }
    }
    (commits, None)
}

async fn decode(stored: Vec<Stored>, end: Option<End>, partition: u16) -> Chunk {
    if stored.len() < FEW {
        return decode_all(stored, end, partition);
    }
    let position = stored.first().map(|stored| stored.position);
    match tokio::task::spawn_blocking(move || decode_all(stored, end, partition)).await {
        Ok(chunk) => chunk,
        Err(error) => {
            let position = position.unwrap_or(Position { partition, sequence: 0 });
            let reason = format!("decoding panicked in the chunk that begins here: {error}");
            Chunk { entries: Vec::new(), end: Some(End::Unreadable(Stopped { position, reason })) }
        }
    }
}

fn decode_all(stored: Vec<Stored>, end: Option<End>, partition: u16) -> Chunk {
    let mut entries = Vec::with_capacity(stored.len());
    for stored in stored {
        let position = stored.position;
        match decode_one(stored, partition) {
            Ok(entry) => entries.push(entry),
            Err(reason) => {
                return Chunk { entries, end: Some(End::Unreadable(Stopped { position, reason })) };
            }
        }
    }
    Chunk { entries, end }
}

fn decode_one(stored: Stored, partition: u16) -> Result<Entry, String> {
    let Stored { position, subject, bytes } = stored;
    if position.partition != partition {
        return Err(format!("it came from a tail of partition {partition}"));
    }
    let (commit, sealed) = codec::decode_sealed(&bytes).map_err(|error| error.to_string())?;
    if (&commit.tenant, commit.record) != (&subject.tenant, subject.id) {
        return Err("it is filed under another tenant or record than it says".to_owned());
    }
    Ok(Entry { recorded: Recorded { position, commit }, sealed, bytes })
}
