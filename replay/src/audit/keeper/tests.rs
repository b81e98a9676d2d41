//! The keeper over real embedded journals: what it signs, what a restart finds, and a log that was changed.

use bytes::Bytes;
use ledger::ids::{CommitId, RecordId};
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use ledger::journal::{Draft, Subject};
use tempfile::TempDir;

use super::super::checkpoints::read_checkpoints;
use super::super::merkle::{Frontier, is_consistent, is_included};
use super::*;

/// Heads are signed as soon as they are asked for, and otherwise never.
const ON_DEMAND: KeeperOptions =
    KeeperOptions { commits: u64::MAX, every: Duration::from_secs(3600), least: Duration::ZERO };
const PATIENCE: Duration = Duration::from_secs(20);

struct Bench {
    directory: TempDir,
    journal: Arc<dyn Journal>,
    signer: NoteSigner,
}

impl Bench {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let journal = journal(&directory.path().join("journal")).await;
        Bench { directory, journal, signer: NoteSigner::generate("log.example").unwrap() }
    }

    fn audit(&self) -> PathBuf {
        self.directory.path().join("audit")
    }

    fn file(&self) -> PathBuf {
        self.audit().join("0/checkpoints")
    }

    async fn open(&self, options: KeeperOptions) -> Result<Keeper, OpenKeeperError> {
        Keeper::open(Arc::clone(&self.journal), &self.audit(), &self.signer, options).await
    }

    /// A keeper that runs until the sender is dropped, or told.
    async fn run(&self, options: KeeperOptions) -> Running {
        let keeper = self.open(options).await.unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn({
            let keeper = keeper.clone();
            async move { keeper.run(async move { drop(stopped.await) }).await }
        });
        Running { keeper, stop, task }
    }
}

struct Running {
    keeper: Keeper,
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap();
    }

    /// The head over exactly this many commits.
    async fn head(&self, sequence: u64) -> Checkpoint {
        let covering = self.keeper.covering(at(sequence), PATIENCE).await.unwrap();
        assert_eq!(covering.head.size, sequence);
        covering.verify(&self.keeper.verifier(0).unwrap()).unwrap();
        covering
    }
}

fn at(sequence: u64) -> Position {
    Position { partition: 0, sequence }
}

async fn journal(path: &Path) -> Arc<dyn Journal> {
    Arc::new(EmbeddedJournal::open(path.to_owned(), EmbeddedOptions::default()).await.unwrap())
}

/// Appends commits, the journal's number `from` and on. The content is the caller's, so logs can differ.
async fn append(journal: &Arc<dyn Journal>, sequences: std::ops::RangeInclusive<u64>, content: &str) {
    for sequence in sequences {
        let subject = Subject {
            tenant: "demo".parse().unwrap(),
            id: RecordId(uuid::Uuid::from_u128(u128::from(sequence))),
        };
        let bytes = Bytes::from(format!("{{\"commit\":\"{content} {sequence}\"}}"));
        let draft = Draft { subject, commit_id: CommitId::random(), bytes };
        assert_eq!(journal.append(&draft, 0).await.unwrap(), at(sequence));
    }
}

/// The root over the first `size` commits of the log, worked out from the log alone.
async fn expected(journal: &Arc<dyn Journal>, size: u64) -> Hash {
    let mut frontier = Frontier::default();
    for sequence in 1..=size {
        frontier.push(leaf_of(&journal.at(at(sequence)).await.unwrap().unwrap()));
    }
    frontier.root()
}

#[tokio::test]
async fn heads_are_signed_over_what_is_in_the_log_and_kept_in_a_file() {
    let bench = Bench::new().await;
    let running = bench.run(ON_DEMAND).await;
    assert_eq!(running.keeper.latest(0).unwrap().head.size, 0);
    let mut heads = vec![running.keeper.latest(0).unwrap()];
    for (from, to) in [(1, 1), (2, 7), (8, 300)] {
        append(&bench.journal, from..=to, "order").await;
        let head = running.head(to).await;
        assert_eq!(head.head.root, expected(&bench.journal, to).await);
        assert_eq!(head.head.origin, "log.example/0");
        heads.push(head);
    }
    assert_eq!(read_checkpoints(&bench.file()).unwrap(), heads);
    assert_eq!(running.keeper.of_size(0, 7).await.unwrap().as_ref(), Some(&heads[2]));
    assert_eq!(running.keeper.of_size(0, 8).await.unwrap(), None);
    running.stop().await;
}

#[tokio::test]
async fn proofs_check_out_against_the_signed_heads() {
    let bench = Bench::new().await;
    append(&bench.journal, 1..=40, "order").await;
    let running = bench.run(ON_DEMAND).await;
    let old = running.head(40).await.head;
    append(&bench.journal, 41..=77, "order").await;
    let new = running.head(77).await.head;
    let proof = running.keeper.consistency(0, 40, 77).await.unwrap();
    assert_eq!((proof.from_root, proof.to_root), (old.root, new.root));
    assert!(is_consistent(40, old.root, 77, new.root, &proof.hashes));
    let sequences = [1, 40, 41, 77];
    let proofs = running.keeper.inclusion(0, 77, sequences.to_vec()).await.unwrap();
    for (sequence, proof) in sequences.into_iter().zip(proofs) {
        let stored = bench.journal.at(at(sequence)).await.unwrap().unwrap();
        assert_eq!(proof.leaf, leaf_of(&stored));
        assert!(is_included(proof.leaf, sequence - 1, 77, new.root, &proof.hashes));
    }
    let beyond = running.keeper.consistency(0, 40, 78).await;
    assert!(matches!(beyond, Err(ProofError::CatchingUp { size: 77, wanted: 78 })));
    assert!(matches!(running.keeper.latest(1), Err(ProofError::NoSuchPartition(1))));
    running.stop().await;
}

#[tokio::test]
async fn a_head_is_signed_after_so_many_commits_or_so_long() {
    let bench = Bench::new().await;
    let options = KeeperOptions { commits: 10, ..ON_DEMAND };
    let running = bench.run(options).await;
    append(&bench.journal, 1..=10, "order").await;
    let mut state = running.keeper.partitions[0].0.state.subscribe();
    let reached = |size| move |state: &State| state.latest.head.size >= size;
    tokio::time::timeout(PATIENCE, state.wait_for(reached(10))).await.unwrap().unwrap();
    append(&bench.journal, 11..=12, "order").await;
    running.stop().await;
    // What was new is signed on the way down.
    assert_eq!(read_checkpoints(&bench.file()).unwrap().last().unwrap().head.size, 12);

    let options = KeeperOptions { every: Duration::from_millis(20), ..ON_DEMAND };
    let running = bench.run(options).await;
    append(&bench.journal, 13..=13, "order").await;
    let mut state = running.keeper.partitions[0].0.state.subscribe();
    tokio::time::timeout(PATIENCE, state.wait_for(reached(13))).await.unwrap().unwrap();
    running.stop().await;
}

#[tokio::test]
async fn a_restart_goes_on_with_the_same_tree() {
    let bench = Bench::new().await;
    append(&bench.journal, 1..=30, "order").await;
    let running = bench.run(ON_DEMAND).await;
    let first = running.head(30).await;
    // Not stopped: killed, with leaves in the tree that no head covers.
    append(&bench.journal, 31..=33, "order").await;
    running.task.abort();
    let Running { keeper, .. } = running;
    drop(keeper);
    let again = bench.run(ON_DEMAND).await;
    assert_eq!(again.keeper.latest(0).unwrap(), first);
    assert_eq!(again.head(33).await.head.root, expected(&bench.journal, 33).await);
    again.stop().await;
}

#[tokio::test]
async fn a_tree_that_is_deleted_or_damaged_comes_back_with_the_same_root() {
    let bench = Bench::new().await;
    append(&bench.journal, 1..=30, "order").await;
    let running = bench.run(ON_DEMAND).await;
    let head = running.head(30).await;
    running.stop().await;
    let tree = bench.audit().join("0/tree");

    let damage = |level: &str, byte: usize| {
        let path = tree.join(level);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[byte] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    };
    for how in 0..3 {
        match how {
            0 => std::fs::remove_dir_all(&tree).unwrap(),
            1 => damage("level-00", 29 * 32),
            _ => damage("level-04", 0),
        }
        let running = bench.run(ON_DEMAND).await;
        assert_eq!(running.keeper.latest(0).unwrap(), head, "the signed head is there at once");
        let proof = loop {
            match running.keeper.inclusion(0, 30, vec![30]).await {
                Ok(mut proofs) => break proofs.remove(0),
                Err(ProofError::CatchingUp { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        assert!(is_included(proof.leaf, 29, 30, head.head.root, &proof.hashes), "damage {how}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_log_that_was_changed_after_it_was_signed_raises_the_alarm() {
    let mut bench = Bench::new().await;
    append(&bench.journal, 1..=30, "order").await;
    let running = bench.run(ON_DEMAND).await;
    running.head(30).await;
    running.stop().await;

    // The same commits but for the last.
    bench.journal = journal(&bench.directory.path().join("forged")).await;
    append(&bench.journal, 1..=29, "order").await;
    append(&bench.journal, 30..=35, "forgery").await;
    let running = bench.run(ON_DEMAND).await;
    let mut state = running.keeper.partitions[0].0.state.subscribe();
    let halted = state.wait_for(|state| state.halted.is_some());
    tokio::time::timeout(PATIENCE, halted).await.unwrap().unwrap();
    assert!(running.keeper.halted().unwrap().contains("first 30 commits"));
    let refused = running.keeper.latest(0).unwrap_err();
    assert!(matches!(refused, ProofError::Halted(_)), "{refused}");
    let refused = running.keeper.inclusion(0, 30, vec![1]).await.unwrap_err();
    assert!(matches!(refused, ProofError::Halted(_)), "{refused}");
    let signed = read_checkpoints(&bench.file()).unwrap();
    running.stop().await;
    assert_eq!(read_checkpoints(&bench.file()).unwrap(), signed, "nothing more is signed");
}

#[tokio::test]
async fn a_log_that_lost_its_end_is_refused() {
    let mut bench = Bench::new().await;
    append(&bench.journal, 1..=30, "order").await;
    let running = bench.run(ON_DEMAND).await;
    running.head(30).await;
    running.stop().await;
    bench.journal = journal(&bench.directory.path().join("shorter")).await;
    append(&bench.journal, 1..=29, "order").await;
    let refused = bench.open(ON_DEMAND).await.err().unwrap();
    assert!(matches!(refused, OpenKeeperError::LogIsShorter { last: 29, signed: 30, .. }), "{refused}");
}

#[tokio::test]
async fn a_checkpoint_that_was_changed_in_the_file_is_refused_and_another_key_goes_on() {
    let mut bench = Bench::new().await;
    append(&bench.journal, 1..=3, "order").await;
    let running = bench.run(ON_DEMAND).await;
    let head = running.head(3).await.head;
    running.stop().await;
    let file = bench.file();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\n3\n", "\n2\n")).unwrap();
    let refused = bench.open(ON_DEMAND).await.err().unwrap();
    assert!(matches!(refused, OpenKeeperError::Forged { .. }), "{refused}");

    std::fs::write(&file, &text).unwrap();
    bench.signer = NoteSigner::generate("log.example").unwrap();
    append(&bench.journal, 4..=4, "order").await;
    let running = bench.run(ON_DEMAND).await;
    let next = running.head(4).await.head;
    let proof = running.keeper.consistency(0, 3, 4).await.unwrap();
    assert!(is_consistent(3, head.root, 4, next.root, &proof.hashes));
    running.stop().await;
}
