//! How far a reader of the feed has come: what stands in an event's `id`, and in `after`.
//!
//! A cursor names every partition of the log once, in order: `0-17,1-4,2-0,3-9`. In a log of one partition that is a
//! position. One that lacks a partition is refused: whoever left it out would see all of it again, or nothing of it.

use std::fmt;

use ledger::ids::Position;

/// By partition, the sequence up to which a reader has seen everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor(Vec<u64>);

/// A text that is no cursor of a log with so many partitions.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotACursor {
    /// Of a log with one partition.
    #[error("not a position of this log, such as 0-42")]
    OfOnePartition,
    /// Of a log with several.
    #[error(
        "not an id of this feed: the log has {0} partitions, and an id names each of them in order, such as \
         0-42,1-40 for two"
    )]
    OfPartitions(u16),
}

impl Cursor {
    /// Nothing seen yet.
    pub(super) fn beginning(partitions: u16) -> Self {
        Cursor(vec![0; usize::from(partitions)])
    }

    /// Reads what `Display` writes, for a log with so many partitions.
    pub(super) fn parse(text: &str, partitions: u16) -> Result<Self, NotACursor> {
        let parsed: Result<Vec<Position>, _> = text.split(',').map(str::parse).collect();
        let in_order = |positions: &Vec<Position>| {
            positions.len() == usize::from(partitions)
                && (0..).zip(positions).all(|(partition, position)| position.partition == partition)
        };
        match parsed.ok().filter(in_order) {
            Some(positions) => Ok(Cursor(positions.iter().map(|position| position.sequence).collect())),
            None if partitions == 1 => Err(NotACursor::OfOnePartition),
            None => Err(NotACursor::OfPartitions(partitions)),
        }
    }

    /// The sequence up to which everything of this partition has been seen; 0 when there is no such partition.
    pub(super) fn at(&self, partition: u16) -> u64 {
        self.0.get(usize::from(partition)).copied().unwrap_or(0)
    }

    /// Everything up to here has been seen.
    pub(super) fn pass(&mut self, Position { partition, sequence }: Position) {
        if let Some(seen) = self.0.get_mut(usize::from(partition)) {
            *seen = sequence;
        }
    }

    /// The positions in it, one for each partition.
    pub(super) fn positions(&self) -> impl Iterator<Item = Position> {
        (0..).zip(&self.0).map(|(partition, &sequence)| Position { partition, sequence })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for position in self.positions() {
            let comma = if position.partition == 0 { "" } else { "," };
            write!(f, "{comma}{position}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for (text, partitions) in [("0-0", 1), ("0-42", 1), ("0-17,1-4,2-0,3-9", 4)] {
            let cursor = Cursor::parse(text, partitions).unwrap();
            assert_eq!(cursor.to_string(), text);
        }
        let mut cursor = Cursor::beginning(3);
        cursor.pass(Position { partition: 1, sequence: 7 });
        assert_eq!((cursor.to_string().as_str(), cursor.at(1), cursor.at(2)), ("0-0,1-7,2-0", 7, 0));
    }

    #[test]
    fn what_does_not_name_every_partition_in_order_is_no_cursor() {
        for text in ["", "0", "0-1,", "1-1", "0-1,1-1", "x"] {
            assert_eq!(Cursor::parse(text, 1), Err(NotACursor::OfOnePartition), "{text}");
        }
        for text in ["", "0-1", "0-1,1-1", "0-1,1-1,2-1,3-1", "1-1,0-1,2-1", "0-1,0-1,2-1", "0-1, 1-1,2-1"] {
            assert_eq!(Cursor::parse(text, 3), Err(NotACursor::OfPartitions(3)), "{text}");
        }
    }
}
