//! Commits as the feed shows them, rendered once for all readers of a tenant.
//!
//! What must stay true: a rendering holds personal data, and is not handed out any more once a key has been destroyed.
//! So each carries how often keys had been forgotten before its own was looked up, and is good for that count alone.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ledger::ids::Position;

/// Bytes kept in memory: what a crowd of readers is apart who follow the same log.
const ROOM: usize = 8 * 1024 * 1024;

/// The renderings of one server, the newest ones that were needed.
#[derive(Default)]
pub struct Renderings(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_position: HashMap<Position, Rendering>,
    /// In the order in which they came.
    order: VecDeque<Position>,
    bytes: usize,
}

struct Rendering {
    /// The keyring's count when its key was looked up.
    forgettings: u64,
    event: Bytes,
}

impl Renderings {
    /// The commit at a position, if it was rendered since a key was forgotten last. Whose it is, the caller has seen.
    pub(super) fn get(&self, position: Position, forgettings: u64) -> Option<Bytes> {
        let kept = self.kept();
        let rendering = kept.by_position.get(&position)?;
        (rendering.forgettings == forgettings).then(|| rendering.event.clone())
    }

    /// Keeps a rendering for the other readers. `forgettings` is the keyring's count from before its key was looked up.
    pub(super) fn keep(&self, position: Position, forgettings: u64, event: Bytes) {
        let mut kept = self.kept();
        kept.bytes += event.len();
        match kept.by_position.insert(position, Rendering { forgettings, event }) {
            Some(before) => kept.bytes -= before.event.len(),
            None => kept.order.push_back(position),
        }
        while kept.bytes > ROOM
            && let Some(oldest) = kept.order.pop_front()
        {
            let gone = kept.by_position.remove(&oldest);
            kept.bytes -= gone.map_or(0, |gone| gone.event.len());
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sequence: u64) -> Position {
        Position { partition: 0, sequence }
    }

    #[test]
    fn a_rendering_is_good_until_a_key_is_forgotten() {
        let renderings = Renderings::default();
        renderings.keep(at(1), 0, Bytes::from_static(b"with a name"));
        assert_eq!(renderings.get(at(1), 0).as_deref(), Some(&b"with a name"[..]));
        assert_eq!(renderings.get(at(1), 1), None);
        renderings.keep(at(1), 1, Bytes::from_static(b"without"));
        assert_eq!(renderings.get(at(1), 1).as_deref(), Some(&b"without"[..]));
        // Whoever began before, and was slow, brings nothing back.
        renderings.keep(at(1), 0, Bytes::from_static(b"with a name"));
        assert_eq!(renderings.get(at(1), 1), None);
    }

    #[test]
    fn the_oldest_make_room() {
        let renderings = Renderings::default();
        let event = Bytes::from(vec![0; ROOM / 4]);
        for sequence in 1..=6 {
            renderings.keep(at(sequence), 0, event.clone());
            renderings.keep(at(sequence), 0, event.clone());
        }
        let kept = (1..=6).filter(|&sequence| renderings.get(at(sequence), 0).is_some());
        assert_eq!(kept.collect::<Vec<_>>(), [3, 4, 5, 6]);
    }
}
