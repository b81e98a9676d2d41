//! The journal's contract as tests: each sentence of the [`Journal`] trait's documentation is one function here.
//!
//! `journal_conformance!(fresh_journal)` turns all of them into tests of one adapter, where `fresh_journal` is an
//! `async fn() -> impl Fixture`. What only one adapter promises is tested beside that adapter, not here.

pub mod nats;

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use futures::{FutureExt, StreamExt};

use super::{AppendError, Draft, Journal, MAX_MEMO_BYTES, Memo, PutMemoError, Stored, Subject, Tail};
use crate::ids::{CommitId, Position, RecordId};
use crate::keys::{Page, PageId};

/// An empty journal, and the means to open it again.
pub trait Fixture: Send + Sized {
    /// The adapter under test.
    type Journal: Journal;

    /// The journal.
    fn journal(&self) -> &Self::Journal;

    /// Closes the journal and opens it again, as after a crash of whatever keeps it where that can be had.
    fn reopen(self) -> impl Future<Output = Self> + Send;
}

/// Declares one test per sentence of the contract, for the journals that `$fresh` makes.
#[macro_export]
macro_rules! journal_conformance {
    ($fresh:path) => {
        $crate::journal_conformance! { @each $fresh;
            a_new_journal_is_empty,
            the_number_of_partitions_is_fixed,
            all_of_a_subjects_commits_are_in_one_partition,
            in_each_partition_sequences_are_1_2_3_without_a_gap,
            a_stored_commit_never_changes_moves_or_disappears,
            an_append_is_stored_if_the_newest_commit_is_the_expected_one,
            an_append_with_another_expectation_is_a_conflict_that_names_the_newest_commit,
            a_position_is_returned_only_after_the_commit_is_stored,
            of_several_appends_with_one_expectation_exactly_one_is_stored,
            repeating_an_append_returns_its_first_position_also_when_others_followed,
            an_append_that_is_repeated_at_the_same_time_is_stored_once,
            different_subjects_never_conflict,
            one_id_under_two_tenants_is_two_subjects,
            load_gives_every_commit_of_the_subject_in_order,
            load_includes_every_acknowledged_commit,
            load_is_empty_when_there_is_no_commit,
            bytes_come_back_exactly_as_they_were_appended,
            a_commit_over_the_limit_is_too_large_and_changes_nothing,
            at_finds_the_commit_of_a_position,
            at_finds_nothing_at_a_missing_position,
            the_last_sequence_is_that_of_the_newest_commit,
            a_tail_gives_each_commit_once_in_order_without_a_gap,
            a_tail_begins_after_the_given_sequence,
            a_tail_gives_new_commits_as_they_are_stored,
            a_tail_has_no_end,
            tails_do_not_disturb_each_other,
            pages_give_each_commit_once_in_order_without_a_gap,
            a_page_has_a_commit_unless_there_is_none,
            pages_of_large_commits_are_short,
            reopening_finds_everything,
            a_memo_is_there_once_it_was_put_and_stays,
            a_memo_changes_only_from_the_revision_that_was_expected,
            of_several_puts_with_one_expectation_exactly_one_is_stored,
            a_memo_is_no_commit,
            a_memo_may_be_as_large_as_promised_and_no_larger,
            memos_are_listed,
            a_copy_is_stored_at_its_own_position_and_nowhere_else,
            copies_that_are_stored_together_keep_their_order,
            a_page_of_keys_is_there_once_it_was_put_and_stays,
            a_page_of_keys_changes_only_from_the_revision_that_was_expected,
            a_description_says_what_the_journal_is,
        }
    };
    (@each $fresh:path; $($sentence:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                $crate::journal::conformance::$sentence($fresh().await).await;
            }
        )*
    };
}

/// The longest that anything here may take; a journal that needs longer has hung.
const DEADLINE: Duration = Duration::from_secs(30);

/// A subject that no other call returns.
pub fn subject() -> Subject {
    Subject { tenant: "demo".parse().expect("a tenant"), id: RecordId::random() }
}

/// A commit about a subject, the smallest that a journal takes for one.
pub fn draft(subject: &Subject) -> Draft {
    let commit_id = CommitId::random();
    Draft { subject: subject.clone(), commit_id, bytes: format!(r#"{{"commit":"{commit_id}"}}"#).into() }
}

/// Appends `count` commits to a subject that has none, and returns them as they must be found.
pub async fn append_chain(journal: &impl Journal, subject: &Subject, count: usize) -> Vec<Stored> {
    let mut chain: Vec<Stored> = Vec::new();
    for _ in 0..count {
        let expected = chain.last().map_or(0, |stored| stored.position.sequence);
        chain.push(append(journal, &draft(subject), expected).await);
    }
    chain
}

async fn append(journal: &impl Journal, draft: &Draft, expected: u64) -> Stored {
    let position = within("append", journal.append(draft, expected)).await.expect("the append is stored");
    Stored { position, subject: draft.subject.clone(), bytes: draft.bytes.clone() }
}

async fn load(journal: &impl Journal, subject: &Subject) -> Vec<Stored> {
    within("load", journal.load(subject)).await.expect("the journal can be read")
}

async fn last_sequence(journal: &impl Journal, partition: u16) -> u64 {
    within("last_sequence", journal.last_sequence(partition)).await.expect("the journal can be read")
}

async fn tail(journal: &impl Journal, partition: u16, after: u64) -> Tail {
    within("tail", journal.tail(partition, after)).await.expect("the journal can be read")
}

async fn page(journal: &impl Journal, partition: u16, after: u64) -> Vec<Stored> {
    within("page", journal.page(partition, after)).await.expect("the journal can be read")
}

/// Page after page to the end of the log.
async fn pages(journal: &impl Journal, partition: u16, mut after: u64) -> Vec<Stored> {
    let mut read = Vec::new();
    loop {
        let page = page(journal, partition, after).await;
        let Some(newest) = page.last() else { return read };
        after = newest.position.sequence;
        read.extend(page);
    }
}

async fn next(tail: &mut Tail) -> Stored {
    within("the tail's next commit", tail.next()).await.expect("a tail has no end").expect("a commit")
}

async fn take(tail: &mut Tail, count: usize) -> Vec<Stored> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(next(tail).await);
    }
    taken
}

async fn memo(journal: &impl Journal, name: &str) -> Option<Memo> {
    within("memo", journal.memo(name)).await.expect("the journal can be read")
}

async fn put(journal: &impl Journal, name: &str, expected: u64, bytes: &Bytes) -> Result<u64, PutMemoError> {
    within("put_memo", journal.put_memo(name, expected, bytes.clone())).await
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what} took over {DEADLINE:?}"))
}

/// A subject in the partition asked for.
fn subject_in(journal: &impl Journal, partition: u16) -> Subject {
    std::iter::repeat_with(subject)
        .find(|subject| subject.partition(journal.partitions()) == partition)
        .expect("every partition has subjects")
}

#[allow(missing_docs)] // The names are the documentation.
mod sentences {
    use super::*;

    pub async fn a_new_journal_is_empty(fixture: impl Fixture) {
        let journal = fixture.journal();
        assert!(journal.partitions() >= 1);
        for partition in 0..journal.partitions() {
            assert_eq!(last_sequence(journal, partition).await, 0);
            let first = Position { partition, sequence: 1 };
            assert_eq!(journal.at(first).await.expect("readable"), None);
        }
    }

    pub async fn the_number_of_partitions_is_fixed(fixture: impl Fixture) {
        let partitions = fixture.journal().partitions();
        append_chain(fixture.journal(), &subject(), 1).await;
        let fixture = fixture.reopen().await;
        assert_eq!(fixture.journal().partitions(), partitions);
    }

    pub async fn all_of_a_subjects_commits_are_in_one_partition(fixture: impl Fixture) {
        let journal = fixture.journal();
        for _ in 0..8 {
            let subject = subject();
            let home = subject.partition(journal.partitions());
            let chain = append_chain(journal, &subject, 3).await;
            assert!(chain.iter().all(|stored| stored.position.partition == home), "{chain:?}");
        }
    }

    pub async fn in_each_partition_sequences_are_1_2_3_without_a_gap(fixture: impl Fixture) {
        let journal = fixture.journal();
        for partition in 0..journal.partitions() {
            let first = draft(&subject_in(journal, partition));
            let position = |sequence| Position { partition, sequence };
            assert_eq!(append(journal, &first, 0).await.position, position(1));
            for sequence in 2..=5 {
                // Appends that store nothing use no sequence up.
                check_conflict(journal, &first.subject, 0, position(1)).await;
                assert_eq!(append(journal, &first, 0).await.position, position(1));
                let next = draft(&subject_in(journal, partition));
                assert_eq!(append(journal, &next, 0).await.position, position(sequence));
            }
        }
    }

    pub async fn a_stored_commit_never_changes_moves_or_disappears(fixture: impl Fixture) {
        let subject = subject();
        let chain = append_chain(fixture.journal(), &subject, 3).await;
        for _ in 0..3 {
            append_chain(fixture.journal(), &super::subject(), 2).await;
            assert_eq!(load(fixture.journal(), &subject).await, chain);
        }
        let fixture = fixture.reopen().await;
        for stored in chain {
            let found = fixture.journal().at(stored.position).await.expect("readable");
            assert_eq!(found, Some(stored));
        }
    }

    pub async fn an_append_is_stored_if_the_newest_commit_is_the_expected_one(fixture: impl Fixture) {
        let journal = fixture.journal();
        let subject = subject();
        let first = append(journal, &draft(&subject), 0).await;
        append_chain(journal, &subject_in(journal, first.position.partition), 1).await;
        let second = append(journal, &draft(&subject), first.position.sequence).await;
        assert_eq!(load(journal, &subject).await, [first, second]);
    }

    pub async fn an_append_with_another_expectation_is_a_conflict_that_names_the_newest_commit(
        fixture: impl Fixture,
    ) {
        let journal = fixture.journal();
        let subject = subject();
        let partition = subject.partition(journal.partitions());
        let none = Position { partition, sequence: 0 };
        check_conflict(journal, &subject, 7, none).await;
        let chain = append_chain(journal, &subject, 3).await;
        let other = append_chain(journal, &subject_in(journal, partition), 1).await.remove(0).position;
        let newest = chain[2].position;
        // None yet, an older one, another subject's, one that is not there yet, the largest there can be.
        let wrong = [0, chain[0].position.sequence, chain[1].position.sequence, other.sequence, 99, u64::MAX];
        for expected in wrong {
            check_conflict(journal, &subject, expected, newest).await;
        }
        assert_eq!(load(journal, &subject).await, chain);
        assert_eq!(last_sequence(journal, partition).await, other.sequence);
    }

    async fn check_conflict(journal: &impl Journal, subject: &Subject, expected: u64, newest: Position) {
        match within("append", journal.append(&draft(subject), expected)).await {
            Err(AppendError::Conflict { actual }) => assert_eq!(actual, newest, "expected {expected}"),
            other => panic!("not a conflict when {expected} is expected: {other:?}"),
        }
    }

    pub async fn a_position_is_returned_only_after_the_commit_is_stored(fixture: impl Fixture) {
        let stored = append(fixture.journal(), &draft(&subject()), 0).await;
        assert_eq!(fixture.journal().at(stored.position).await.expect("readable").as_ref(), Some(&stored));
        let fixture = fixture.reopen().await;
        assert_eq!(fixture.journal().at(stored.position).await.expect("readable"), Some(stored));
    }

    pub async fn of_several_appends_with_one_expectation_exactly_one_is_stored(fixture: impl Fixture) {
        let journal = fixture.journal();
        let subject = subject();
        let mut chain = Vec::new();
        for _ in 0..5 {
            let expected = chain.last().map_or(0, |stored: &Stored| stored.position.sequence);
            let drafts: Vec<Draft> = (0..32).map(|_| draft(&subject)).collect();
            let appends = drafts.iter().map(|draft| within("append", journal.append(draft, expected)));
            let outcomes = join_all(appends).await;
            let mut winners = Vec::new();
            for (draft, outcome) in drafts.iter().zip(&outcomes) {
                if let Ok(position) = outcome {
                    let (subject, bytes) = (subject.clone(), draft.bytes.clone());
                    winners.push(Stored { position: *position, subject, bytes });
                }
            }
            let [winner] = winners.try_into().unwrap_or_else(|_| panic!("not one winner: {outcomes:?}"));
            for outcome in outcomes {
                match outcome {
                    Ok(_) => {}
                    Err(AppendError::Conflict { actual }) => assert_eq!(actual, winner.position),
                    Err(other) => panic!("{other:?}"),
                }
            }
            chain.push(winner);
            assert_eq!(load(journal, &subject).await, chain);
        }
    }

    pub async fn repeating_an_append_returns_its_first_position_also_when_others_followed(
        fixture: impl Fixture,
    ) {
        let journal = fixture.journal();
        let subject = subject();
        let drafts = [0, 1, 2].map(|_| draft(&subject));
        let mut chain: Vec<Stored> = Vec::new();
        for newest in &drafts {
            let mut expected = chain.last().map_or(0, |stored| stored.position.sequence);
            chain.push(append(journal, newest, expected).await);
            expected = 0;
            for (repeated, stored) in drafts.iter().zip(&chain) {
                assert_eq!(append(journal, repeated, expected).await, *stored);
                expected = stored.position.sequence;
            }
        }
        assert_eq!(load(journal, &subject).await, chain, "a repetition stores nothing");
        assert_eq!(last_sequence(journal, chain[0].position.partition).await, 3);
    }

    pub async fn an_append_that_is_repeated_at_the_same_time_is_stored_once(fixture: impl Fixture) {
        let journal = fixture.journal();
        let draft = draft(&subject());
        let appends = (0..32).map(|_| append(journal, &draft, 0));
        let outcomes = join_all(appends).await;
        assert!(outcomes.iter().all(|stored| *stored == outcomes[0]), "{outcomes:?}");
        assert_eq!(load(journal, &draft.subject).await, outcomes[..1]);
    }

    pub async fn different_subjects_never_conflict(fixture: impl Fixture) {
        let journal = fixture.journal();
        let subjects: Vec<Subject> = (0..64).map(|_| subject()).collect();
        let chains = join_all(subjects.iter().map(|subject| append_chain(journal, subject, 4))).await;
        for (subject, chain) in subjects.iter().zip(chains) {
            assert_eq!(load(journal, subject).await, chain);
        }
    }

    pub async fn one_id_under_two_tenants_is_two_subjects(fixture: impl Fixture) {
        let journal = fixture.journal();
        let mine = subject();
        let theirs = Subject { tenant: "demo-2".parse().expect("a tenant"), id: mine.id };
        let chains = [append_chain(journal, &mine, 2).await, append_chain(journal, &theirs, 1).await];
        assert_eq!([load(journal, &mine).await, load(journal, &theirs).await], chains);
    }

    pub async fn load_gives_every_commit_of_the_subject_in_order(fixture: impl Fixture) {
        let journal = fixture.journal();
        let subject = subject();
        let mut chain: Vec<Stored> = Vec::new();
        for _ in 0..10 {
            append_chain(journal, &super::subject(), 1).await;
            let expected = chain.last().map_or(0, |stored| stored.position.sequence);
            chain.push(append(journal, &draft(&subject), expected).await);
            assert_eq!(load(journal, &subject).await, chain);
        }
    }

    pub async fn load_includes_every_acknowledged_commit(fixture: impl Fixture) {
        let journal = fixture.journal();
        let subjects: Vec<Subject> = (0..16).map(|_| subject()).collect();
        join_all(subjects.iter().map(|subject| async {
            let mut expected = 0;
            for count in 1..=10 {
                let stored = append(journal, &draft(subject), expected).await;
                expected = stored.position.sequence;
                let loaded = load(journal, subject).await;
                assert_eq!(loaded.len(), count);
                assert_eq!(loaded.last(), Some(&stored));
            }
        }))
        .await;
    }

    pub async fn load_is_empty_when_there_is_no_commit(fixture: impl Fixture) {
        let journal = fixture.journal();
        assert_eq!(load(journal, &subject()).await, []);
        append_chain(journal, &subject(), 1).await;
        assert_eq!(load(journal, &subject()).await, []);
    }

    pub async fn bytes_come_back_exactly_as_they_were_appended(fixture: impl Fixture) {
        let journal = fixture.journal();
        let id = CommitId::random();
        let shapes: [Vec<u8>; 6] = [
            format!("{{\"commit\":\"{id}\"}}").into(),
            format!(" {{ \"b\" : 1.50 ,\r\n\t\"commit\":\"{id}\", \"a\":\"\\u00e9\\/\" }}\n\n").into(),
            format!("{{\"commit\":\"{id}\",\"name\":\"Zoë 李 🧾 \u{202e}\u{0301}\u{feff}\"}}").into(),
            format!("{{\"commit\":\"{id}\",\"nul\":\"\0\"}}").into(),
            [format!("{{\"commit\":\"{id}\",\"raw\":\"").as_bytes(), &[0xff, 0xfe, 0, 0x80], b"\"}"].concat(),
            (0..=255).collect(),
        ];
        for bytes in shapes {
            let draft = Draft { subject: subject(), commit_id: id, bytes: bytes.into() };
            let stored = append(journal, &draft, 0).await;
            let mut tail = tail(journal, stored.position.partition, stored.position.sequence - 1).await;
            assert_eq!(next(&mut tail).await, stored);
            assert_eq!(journal.at(stored.position).await.expect("readable").as_ref(), Some(&stored));
            assert_eq!(load(journal, &draft.subject).await, [stored]);
        }
    }

    pub async fn a_commit_over_the_limit_is_too_large_and_changes_nothing(fixture: impl Fixture) {
        let journal = fixture.journal();
        let of_size = |size: usize| {
            let mut draft = draft(&subject());
            let mut bytes = draft.bytes.to_vec();
            bytes.resize(size, b' ');
            draft.bytes = Bytes::from(bytes);
            draft
        };
        const HUGE: usize = 64 * 1024 * 1024;
        let limit = match journal.append(&of_size(HUGE), 0).await {
            Err(AppendError::TooLarge { size: HUGE, limit }) => limit,
            other => panic!("{:?}", other.map_err(|e| e.to_string())),
        };
        assert!(limit >= 512 * 1024, "a commit carries a webhook's raw body; {limit} bytes are too few");
        let over = of_size(limit + 1);
        let refused = journal.append(&over, 0).await;
        assert!(matches!(refused, Err(AppendError::TooLarge { .. })), "{refused:?}");
        assert_eq!(load(journal, &over.subject).await, []);
        assert_eq!(last_sequence(journal, over.subject.partition(journal.partitions())).await, 0);

        let largest = of_size(limit);
        let stored = append(journal, &largest, 0).await;
        assert_eq!(append(journal, &largest, 0).await, stored, "a repetition is recognised at any size");
        assert!(load(journal, &largest.subject).await == [stored.clone()]);
        let mut tail = tail(journal, stored.position.partition, 0).await;
        assert!(next(&mut tail).await == stored);
    }

    pub async fn at_finds_the_commit_of_a_position(fixture: impl Fixture) {
        let journal = fixture.journal();
        for _ in 0..5 {
            for stored in append_chain(journal, &subject(), 2).await {
                assert_eq!(journal.at(stored.position).await.expect("readable"), Some(stored));
            }
        }
    }

    pub async fn at_finds_nothing_at_a_missing_position(fixture: impl Fixture) {
        let journal = fixture.journal();
        let Position { partition, sequence } = append_chain(journal, &subject(), 3).await[2].position;
        let missing = [
            (partition, 0),
            (partition, sequence + 1),
            (partition, u64::MAX),
            (journal.partitions(), 1),
            (u16::MAX, 1),
        ];
        for (partition, sequence) in missing {
            let position = Position { partition, sequence };
            assert_eq!(journal.at(position).await.expect("readable"), None, "{position}");
        }
    }

    pub async fn the_last_sequence_is_that_of_the_newest_commit(fixture: impl Fixture) {
        let journal = fixture.journal();
        for partition in 0..journal.partitions() {
            for sequence in 1..=3 {
                append_chain(journal, &subject_in(journal, partition), 1).await;
                assert_eq!(last_sequence(journal, partition).await, sequence);
            }
        }
    }

    pub async fn a_tail_gives_each_commit_once_in_order_without_a_gap(fixture: impl Fixture) {
        let journal = fixture.journal();
        const SUBJECTS: usize = 300;
        // Half are there before the tails begin, the others come while they run.
        let appends = async |count: usize| {
            let subjects: Vec<Subject> = (0..count).map(|_| subject()).collect();
            join_all(subjects.iter().map(|subject| append_chain(journal, subject, 4))).await.concat()
        };
        let mut all = appends(SUBJECTS / 2).await;
        let partitions: Vec<u16> = (0..journal.partitions()).collect();
        let mut tails = Vec::new();
        for partition in &partitions {
            tails.push(tail(journal, *partition, 0).await);
        }
        let read_first = async {
            let mut read = Vec::new();
            for tail in &mut tails {
                read.push(take(tail, 10).await);
            }
            read
        };
        let (mut read, more) = tokio::join!(read_first, appends(SUBJECTS / 2));
        all.extend(more);
        all.sort_by_key(|stored| stored.position);
        for partition in partitions {
            let wanted: Vec<&Stored> =
                all.iter().filter(|stored| stored.position.partition == partition).collect();
            let index = usize::from(partition);
            let rest = take(&mut tails[index], wanted.len() - read[index].len()).await;
            read[index].extend(rest);
            assert!(read[index].iter().eq(wanted), "partition {partition}");
        }
    }

    pub async fn a_tail_begins_after_the_given_sequence(fixture: impl Fixture) {
        let journal = fixture.journal();
        let chain = append_chain(journal, &subject(), 5).await;
        let partition = chain[0].position.partition;
        for after in 0..5 {
            let mut tail = tail(journal, partition, after).await;
            let index = usize::try_from(after).expect("small");
            assert_eq!(take(&mut tail, 5 - index).await, chain[index..]);
        }
    }

    pub async fn a_tail_gives_new_commits_as_they_are_stored(fixture: impl Fixture) {
        let journal = fixture.journal();
        for partition in 0..journal.partitions() {
            let mut tail = tail(journal, partition, 0).await;
            for _ in 0..20 {
                let stored = append(journal, &draft(&subject_in(journal, partition)), 0).await;
                assert_eq!(next(&mut tail).await, stored);
            }
        }
    }

    pub async fn a_tail_has_no_end(fixture: impl Fixture) {
        let journal = fixture.journal();
        let stored = append(journal, &draft(&subject()), 0).await;
        let mut tail = tail(journal, stored.position.partition, 0).await;
        assert_eq!(next(&mut tail).await, stored);
        // It waits, rather than ending, when it has given everything.
        assert!(tail.next().now_or_never().is_none());
        let more = append(journal, &draft(&stored.subject), stored.position.sequence).await;
        assert_eq!(next(&mut tail).await, more);
    }

    pub async fn tails_do_not_disturb_each_other(fixture: impl Fixture) {
        let journal = fixture.journal();
        let chain = append_chain(journal, &subject(), 20).await;
        let partition = chain[0].position.partition;
        let mut slow = tail(journal, partition, 0).await;
        assert_eq!(take(&mut slow, 3).await, chain[..3]);
        for _ in 0..3 {
            let mut other = tail(journal, partition, 0).await;
            assert_eq!(take(&mut other, 20).await, chain);
        }
        assert_eq!(take(&mut slow, 17).await, chain[3..]);
    }

    pub async fn pages_give_each_commit_once_in_order_without_a_gap(fixture: impl Fixture) {
        let journal = fixture.journal();
        // Several pages, while others are being appended.
        let subjects: Vec<Subject> = (0..1500).map(|_| subject()).collect();
        let appends = join_all(subjects.iter().map(|subject| append_chain(journal, subject, 2)));
        let readers = join_all((0..4).map(|_| async {
            let mut read = Vec::new();
            while read.len() < 2 * subjects.len() {
                // What is read from memory waits for nothing, and would leave no time for the appends.
                tokio::task::yield_now().await;
                read.clear();
                for partition in 0..journal.partitions() {
                    read.extend(pages(journal, partition, 0).await);
                }
            }
            read
        }));
        let (chains, readers) = tokio::join!(appends, readers);
        let mut all = chains.concat();
        all.sort_by_key(|stored| stored.position);
        for read in readers {
            assert!(read == all, "a reader has read something else than what was appended");
        }
        let Stored { position: Position { partition, sequence }, .. } = all[700];
        let rest = all
            .iter()
            .filter(|stored| stored.position.partition == partition)
            .skip_while(|stored| stored.position.sequence <= sequence);
        assert!(pages(journal, partition, sequence).await.iter().eq(rest), "from the middle");
    }

    pub async fn a_page_has_a_commit_unless_there_is_none(fixture: impl Fixture) {
        let journal = fixture.journal();
        for partition in 0..journal.partitions() {
            for after in [0, 1, u64::MAX] {
                assert_eq!(page(journal, partition, after).await, []);
            }
        }
        let mut chain: Vec<Stored> = Vec::new();
        let subject = subject();
        let partition = subject.partition(journal.partitions());
        for _ in 0..5 {
            let newest = chain.last().map_or(0, |stored| stored.position.sequence);
            chain.push(append(journal, &draft(&subject), newest).await);
            assert_eq!(page(journal, partition, newest).await, chain[chain.len() - 1..]);
            assert_eq!(page(journal, partition, newest + 1).await, []);
        }
    }

    pub async fn pages_of_large_commits_are_short(fixture: impl Fixture) {
        let journal = fixture.journal();
        let subject = subject();
        let partition = subject.partition(journal.partitions());
        let mut all: Vec<Stored> = Vec::new();
        for _ in 0..20 {
            let mut draft = draft(&subject);
            let mut bytes = draft.bytes.to_vec();
            bytes.resize(512 * 1024, b' ');
            draft.bytes = bytes.into();
            all.push(append(journal, &draft, all.len() as u64).await);
        }
        let first = page(journal, partition, 0).await;
        assert!((1..=10).contains(&first.len()), "{} commits of half a megabyte", first.len());
        assert!(pages(journal, partition, 0).await == all);
    }

    pub async fn reopening_finds_everything(fixture: impl Fixture) {
        let subjects = [0, 1, 2].map(|_| subject());
        let mut chains = Vec::new();
        for subject in &subjects {
            chains.push(append_chain(fixture.journal(), subject, 3).await);
        }
        let fixture = fixture.reopen().await;
        let journal = fixture.journal();
        for (subject, chain) in subjects.iter().zip(&chains) {
            assert_eq!(load(journal, subject).await, *chain);
        }
        for partition in 0..journal.partitions() {
            let mut wanted: Vec<Stored> = chains.concat();
            wanted.retain(|stored| stored.position.partition == partition);
            wanted.sort_by_key(|stored| stored.position);
            assert_eq!(last_sequence(journal, partition).await, wanted.len() as u64);
            let mut tail = tail(journal, partition, 0).await;
            assert_eq!(take(&mut tail, wanted.len()).await, wanted);
        }
        // And it goes on where it stopped.
        let newest = chains[0][2].position.sequence;
        append(journal, &draft(&subjects[0]), newest).await;
    }

    pub async fn a_memo_is_there_once_it_was_put_and_stays(fixture: impl Fixture) {
        let names = ["a", "notifications.acme", "notifications.acme-2", "0.1-2"];
        let mut wanted = Vec::new();
        for name in names {
            assert_eq!(memo(fixture.journal(), name).await, None);
            let bytes = Bytes::from(format!("{{\"of\": \"{name}\"}}\0 李 🧾"));
            let revision = put(fixture.journal(), name, 0, &bytes).await.expect("stored");
            wanted.push(Some(Memo { revision, bytes }));
            assert_eq!(memo(fixture.journal(), name).await.as_ref(), wanted.last().and_then(Option::as_ref));
        }
        let fixture = fixture.reopen().await;
        for (name, wanted) in names.iter().zip(wanted) {
            assert_eq!(memo(fixture.journal(), name).await, wanted);
        }
        assert_eq!(memo(fixture.journal(), "notifications").await, None);
    }

    pub async fn a_memo_changes_only_from_the_revision_that_was_expected(fixture: impl Fixture) {
        let journal = fixture.journal();
        let (old, new) = (Bytes::from_static(b"old"), Bytes::from_static(&[0xff, 0]));
        let first = put(journal, "a", 0, &old).await.expect("stored");
        put(journal, "b", 0, &new).await.expect("stored");
        for wrong in [0, first + 1, first + 99] {
            let refused = put(journal, "a", wrong, &new).await;
            assert!(matches!(refused, Err(PutMemoError::Conflict)), "{wrong}: {refused:?}");
        }
        assert_eq!(memo(journal, "a").await, Some(Memo { revision: first, bytes: old }));
        let second = put(journal, "a", first, &new).await.expect("stored");
        assert!(second > first);
        assert_eq!(memo(journal, "a").await, Some(Memo { revision: second, bytes: new.clone() }));
        let refused = put(journal, "a", first, &new).await;
        assert!(matches!(refused, Err(PutMemoError::Conflict)), "{refused:?}");
        let refused = put(journal, "c", 7, &new).await;
        assert!(matches!(refused, Err(PutMemoError::Conflict)), "{refused:?}");
        assert_eq!(memo(journal, "c").await, None);
    }

    pub async fn of_several_puts_with_one_expectation_exactly_one_is_stored(fixture: impl Fixture) {
        let journal = fixture.journal();
        let mut expected = 0;
        for _ in 0..10 {
            let texts: Vec<Bytes> = (0..16).map(|n| Bytes::from(format!("writer {n}"))).collect();
            let outcomes = join_all(texts.iter().map(|text| put(journal, "a", expected, text))).await;
            let mut winners = Vec::new();
            for (bytes, outcome) in texts.into_iter().zip(outcomes) {
                match outcome {
                    Ok(revision) => winners.push(Memo { revision, bytes }),
                    Err(PutMemoError::Conflict) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            let [winner] = winners.try_into().unwrap_or_else(|winners| panic!("not one winner: {winners:?}"));
            expected = winner.revision;
            assert_eq!(memo(journal, "a").await, Some(winner));
        }
    }

    pub async fn memos_are_listed(fixture: impl Fixture) {
        let journal = fixture.journal();
        assert!(journal.memo_names().await.expect("readable").is_empty());
        for name in ["b", "a.c-1"] {
            put(journal, name, 0, &Bytes::from_static(b"{}")).await.expect("stored");
        }
        let mut names = within("memo_names", journal.memo_names()).await.expect("readable");
        names.sort();
        assert_eq!(names, ["a.c-1", "b"]);
    }

    /// Commits as another journal might have them in one partition: of several subjects, each with several.
    fn foreign(journal: &impl Journal, count: u64) -> Vec<Stored> {
        let partition = subject().partition(journal.partitions());
        let subjects: Vec<Subject> = (0..3).map(|_| subject_in(journal, partition)).collect();
        let commit = |sequence: u64| {
            let subject = subjects[sequence as usize % subjects.len()].clone();
            let bytes = draft(&subject).bytes;
            Stored { position: Position { partition, sequence }, subject, bytes }
        };
        (1..=count).map(commit).collect()
    }

    pub async fn a_copy_is_stored_at_its_own_position_and_nowhere_else(fixture: impl Fixture) {
        let journal = fixture.journal();
        let mut commits = foreign(journal, 8);
        // Bytes that are no text come over as they are.
        commits[4].bytes = Bytes::from_static(&[0xff, 0, b'{']);
        let conflict = async |commit: &Stored, newest: u64| {
            let refused = within("restore", journal.restore(std::slice::from_ref(commit))).await;
            let newest = Position { sequence: newest, ..commit.position };
            assert!(
                matches!(&refused, Err(AppendError::Conflict { actual }) if *actual == newest),
                "{refused:?}"
            );
        };
        conflict(&commits[1], 0).await;
        for (index, commit) in commits.iter().enumerate() {
            within("restore", journal.restore(std::slice::from_ref(commit))).await.expect("stored");
            within("restore", journal.restore(std::slice::from_ref(commit))).await.expect("stored before");
            let newest = index as u64 + 1;
            let other = Stored { bytes: draft(&commit.subject).bytes, ..commit.clone() };
            conflict(&other, newest).await;
            if let Some(later) = commits.get(index + 2) {
                conflict(later, newest).await;
            }
        }
        for subject in commits.iter().map(|commit| &commit.subject) {
            let own: Vec<Stored> = commits.iter().filter(|one| one.subject == *subject).cloned().collect();
            assert_eq!(load(journal, subject).await, own);
        }
        // The ledger goes on from there.
        let newest = &commits[7];
        let next = append(journal, &draft(&newest.subject), newest.position.sequence).await;
        assert_eq!(next.position.sequence, 9);
        let last = append(journal, &draft(&newest.subject), 9).await;
        let mut own = commits.clone();
        own.retain(|one| one.subject == newest.subject);
        own.extend([next, last]);
        assert_eq!(load(journal, &own[0].subject).await, own);
    }

    pub async fn copies_that_are_stored_together_keep_their_order(fixture: impl Fixture) {
        let journal = fixture.journal();
        let commits = foreign(journal, 3000);
        let (first, second) = commits.split_at(1000);
        within("restore", journal.restore(first)).await.expect("stored");
        // With some that are there already, and then with one that is wrong.
        within("restore", journal.restore(&commits[900..2000])).await.expect("stored");
        let mut wrong = second[900..1200].to_vec();
        wrong[200].bytes = draft(&wrong[200].subject).bytes;
        wrong.swap(150, 151);
        let refused = within("restore", journal.restore(&wrong)).await;
        assert!(matches!(refused, Err(AppendError::Conflict { .. })), "{refused:?}");
        within("restore", journal.restore(&commits[2000..])).await.expect("stored");
        let partition = commits[0].position.partition;
        assert_eq!(take(&mut tail(journal, partition, 0).await, commits.len()).await, commits);
    }

    pub async fn a_memo_is_no_commit(fixture: impl Fixture) {
        let journal = fixture.journal();
        let before = append(journal, &draft(&subject()), 0).await;
        let partition = before.position.partition;
        let mut tail = tail(journal, partition, 0).await;
        let put = put(journal, "a", 0, &Bytes::from_static(b"{}")).await;
        assert!(put.is_ok(), "{put:?}");
        let after = append(journal, &draft(&subject_in(journal, partition)), 0).await;
        assert_eq!(after.position.sequence, before.position.sequence + 1);
        assert_eq!(take(&mut tail, 2).await, [before, after]);
    }

    pub async fn a_memo_may_be_as_large_as_promised_and_no_larger(fixture: impl Fixture) {
        let journal = fixture.journal();
        let largest = Bytes::from(vec![b'x'; MAX_MEMO_BYTES]);
        let revision = put(journal, "a", 0, &largest).await.expect("stored");
        let larger = Bytes::from(vec![b'x'; MAX_MEMO_BYTES + 1]);
        let refused = put(journal, "a", revision, &larger).await;
        assert!(matches!(refused, Err(PutMemoError::Unavailable(_))), "{refused:?}");
        assert!(memo(journal, "a").await == Some(Memo { revision, bytes: largest }));
    }

    pub async fn a_page_of_keys_is_there_once_it_was_put_and_stays(fixture: impl Fixture) {
        let (first, second) = (PageId(7), PageId(u64::MAX));
        let keys = fixture.journal().keys();
        assert_eq!(within("page", keys.page(first)).await.expect("readable"), None);
        let mut pages = Vec::new();
        for (page, fill) in [(first, 1), (second, 0xff)] {
            let content = Bytes::from(vec![fill; 32 * 1024]);
            let revision = within("put_page", keys.put_page(page, 0, content.clone())).await.expect("stored");
            pages.push((page, Page { revision, keys: content }));
        }
        let fixture = fixture.reopen().await;
        let keys = fixture.journal().keys();
        for (page, wanted) in pages {
            assert_eq!(within("page", keys.page(page)).await.expect("readable"), Some(wanted));
        }
        let mut all = within("pages", keys.pages()).await.expect("readable");
        all.sort_unstable();
        assert_eq!(all, [first, second]);
    }

    pub async fn a_page_of_keys_changes_only_from_the_revision_that_was_expected(fixture: impl Fixture) {
        let keys = fixture.journal().keys();
        let put = async |expected: u64, fill: u8| {
            within("put_page", keys.put_page(PageId(7), expected, Bytes::from(vec![fill; 64]))).await
        };
        let first = put(0, 1).await.expect("stored");
        for wrong in [0, first + 1, first + 99] {
            let refused = put(wrong, 2).await;
            assert!(matches!(refused, Err(PutMemoError::Conflict)), "{wrong}: {refused:?}");
        }
        let mut revision = first;
        for fill in 2..6 {
            let next = put(revision, fill).await.expect("stored");
            assert!(next > revision);
            revision = next;
        }
        let page = within("page", keys.page(PageId(7))).await.expect("readable");
        assert_eq!(page, Some(Page { revision, keys: Bytes::from(vec![5; 64]) }));
        assert_eq!(within("pages", keys.pages()).await.expect("readable"), [PageId(7)]);
    }

    pub async fn a_description_says_what_the_journal_is(fixture: impl Fixture) {
        append_chain(fixture.journal(), &subject(), 2).await;
        let description = within("describe", fixture.journal().describe()).await.expect("readable");
        assert!(["embedded", "jetstream"].contains(&description.kind), "{description:?}");
        assert!(!description.location.is_empty(), "{description:?}");
        assert!(description.bytes_on_disk.is_none_or(|bytes| bytes > 0), "{description:?}");
        let commits = description.facts.iter().find(|(label, _)| label == "commits");
        assert_eq!(commits.map(|(_, value)| value.as_str()), Some("2"), "{description:?}");
    }
}
pub use sentences::*;

#[cfg(test)]
mod tests {
    #[test]
    fn every_sentence_is_run() {
        let source = include_str!("conformance.rs");
        let (head, rest) = source.split_once("mod sentences {").unwrap();
        let (body, _) = rest.split_once("pub use sentences").unwrap();
        let sentences: Vec<&str> =
            body.split("    pub async fn ").skip(1).map(|rest| rest.split('(').next().unwrap()).collect();
        assert!(sentences.len() > 20);
        for sentence in sentences {
            assert!(head.contains(&format!("{sentence},")), "{sentence} is not in journal_conformance!");
        }
    }
}
