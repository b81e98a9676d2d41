//! A table is a sorted map, whatever is in memory, on disk or on its way, and whenever its process dies.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::*;
use crate::store::pages::CRASH_AFTER;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

const NAME: &str = "rows-1";

struct Opened {
    disk: Disk,
    table: Table,
    model: Model,
    _directory: tempfile::TempDir,
}

impl Opened {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::open(&directory.path().join("views"), 1024 * 1024).unwrap();
        let table = Table::open(&disk, NAME).unwrap();
        Opened { disk, table, model: Model::new(), _directory: directory }
    }

    fn write(&mut self, rows: &[(u16, Option<usize>)]) {
        let rows: Writes = rows.iter().map(|(key, row)| (name(*key), row.map(|row| vec![7; row]))).collect();
        for (key, row) in &rows {
            match row {
                Some(row) => self.model.insert(key.as_ref().to_vec(), row.clone()),
                None => self.model.remove(key.as_ref()),
            };
        }
        self.table.write(Room::Live, rows).unwrap();
    }

    fn reopen(self) -> Self {
        drop(self.table);
        let table = Table::open(&self.disk, NAME).unwrap();
        Opened { table, ..self }
    }

    /// The process dies: what is in memory is gone.
    fn crash(self) -> Self {
        self.table.wait().unwrap();
        self.table.inner.memory_mut().is_changed = false;
        self.reopen()
    }

    #[track_caller]
    fn check(&self) {
        let found: Vec<_> = self.table.rows().map(|row| owned(row.unwrap())).collect();
        let mut expected: Vec<_> = self.model.clone().into_iter().collect();
        assert_eq!(found, expected);
        let found: Vec<_> = self.table.rows().rev().map(|row| owned(row.unwrap())).collect();
        expected.reverse();
        assert_eq!(found, expected);
    }

    #[track_caller]
    fn check_range(&self, range: &Range<u16>, ends: &[bool]) {
        let (from, to) = (name(range.start), name(range.end));
        let expected: Vec<_> = self
            .model
            .iter()
            .filter(|(key, _)| key[..] >= *from.as_ref() && key[..] < *to.as_ref())
            .collect();
        let mut expected = expected.into_iter();
        let mut rows = self.table.range(&from, &to);
        for is_front in ends.iter().cycle().take(expected.len() + 1) {
            let (found, expected) = match is_front {
                true => (rows.next(), expected.next()),
                false => (rows.next_back(), expected.next_back()),
            };
            let expected = expected.map(|(key, row)| (key.clone(), row.clone()));
            assert_eq!(found.map(|row| owned(row.unwrap())), expected);
        }
        for key in range.clone().step_by(7) {
            let found = self.table.get(name(key)).unwrap();
            assert_eq!(found.as_deref(), self.model.get(name(key).as_ref()).map(Vec::as_slice));
        }
    }
}

/// Keys of three kinds.
fn name(key: u16) -> Key {
    Key::from(&[(key / 256) as u8, 0, (key % 256) as u8][..])
}

fn owned((key, row): (Bytes, Bytes)) -> (Vec<u8>, Vec<u8>) {
    (key.to_vec(), row.to_vec())
}

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<(u16, Option<usize>)>),
    MoveToDisk,
    Reopen,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let row = prop_oneof![3 => (0..200_usize).prop_map(Some), 2 => Just(None), 1 => Just(Some(700))];
    let rows = prop::collection::vec((0..768_u16, row), 1..60);
    prop_oneof![
        6 => rows.prop_map(Step::Write),
        // In the order of their keys, as most rows arrive.
        2 => (0..700_u16, 1..60_u16)
            .prop_map(|(from, rows)| Step::Write((from..from + rows).map(|key| (key, Some(90))).collect())),
        3 => Just(Step::MoveToDisk),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_table_is_a_sorted_map(
        steps in prop::collection::vec(step(), 1..20),
        range in (0..768_u16, 0..768_u16),
        ends in prop::collection::vec(any::<bool>(), 1..8),
    ) {
        let mut opened = Opened::new();
        for step in steps {
            match step {
                Step::Write(rows) => opened.write(&rows),
                Step::MoveToDisk => opened.table.move_to_disk().unwrap(),
                Step::Reopen => opened = opened.reopen(),
                Step::Crash => {
                    opened.table.move_to_disk().unwrap();
                    opened = opened.crash();
                }
            }
            opened.check();
            opened.check_range(&(range.0.min(range.1)..range.0.max(range.1)), &ends);
        }
    }
}

proptest! {
    // Each case dies once at every block that it writes.
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_on_the_way_to_disk_loses_nothing_and_brings_nothing_back(
        before in step(),
        moved in prop::collection::vec(step(), 1..4),
        after in step(),
    ) {
        for writes in 0.. {
            let mut opened = Opened::new();
            let write = |opened: &mut Opened, step: &Step| if let Step::Write(rows) = step { opened.write(rows) };
            write(&mut opened, &before);
            opened.table.move_to_disk().unwrap();
            moved.iter().for_each(|step| write(&mut opened, step));
            opened.table.wait().unwrap();
            CRASH_AFTER.set(Some(writes));
            let is_crashed = opened.table.move_to_disk().is_err();
            CRASH_AFTER.set(None);
            opened = opened.crash();
            opened.check();
            opened.check_range(&(0..768), &[true, false]);
            write(&mut opened, &after);
            opened.check();
            opened.table.move_to_disk().unwrap();
            opened.check();
            // All of them gone, nothing that the crash had left behind comes back.
            opened.write(&(0..768).step_by(3).map(|key| (key, None)).collect::<Vec<_>>());
            opened.table.move_to_disk().unwrap();
            opened = opened.crash();
            opened.check();
            if !is_crashed {
                break;
            }
        }
    }
}

#[test]
fn whoever_reads_while_rows_go_to_disk_misses_none_and_sees_none_twice() {
    let mut opened = Opened::new();
    // Every other row stays as it is, and the rows between them come and go.
    opened.write(&(0..768).step_by(2).map(|key| (key, Some(40))).collect::<Vec<_>>());
    let is_done = AtomicBool::new(false);
    let Opened { table, .. } = &opened;
    std::thread::scope(|scope| {
        for is_forward in [true, false] {
            let is_done = &is_done;
            scope.spawn(move || {
                while !is_done.load(Ordering::Relaxed) {
                    let mut keys: Vec<Bytes> = match is_forward {
                        true => table.rows().map(|row| row.unwrap().0).collect(),
                        false => table.rows().rev().map(|row| row.unwrap().0).collect(),
                    };
                    if !is_forward {
                        keys.reverse();
                    }
                    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "in order, and none twice");
                    assert_eq!(keys.iter().filter(|key| key[2] % 2 == 0).count(), 384, "none is missed");
                    assert!(table.get(name(10)).unwrap().is_some());
                }
            });
        }
        for round in 0..60_u16 {
            let rows = (0..768).filter(|key| key % 2 == 1);
            let row = |key: u16| (!(key + round).is_multiple_of(3)).then(|| vec![1; usize::from(round)]);
            table.write(Room::Live, rows.map(|key| (name(key), row(key))).collect()).unwrap();
            table.move_to_disk().unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_table_whose_rows_on_their_way_are_gone_says_that_it_is_damaged() {
    let mut opened = Opened::new();
    opened.write(&[(1, Some(10))]);
    opened.table.move_to_disk().unwrap();
    opened.table.tear();
    opened.table.inner.redo.forget().unwrap();
    drop(opened.table);
    let Err(error) = Table::open(&opened.disk, NAME) else { panic!("it opens") };
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
}
