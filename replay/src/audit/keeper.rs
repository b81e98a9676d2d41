//! Keeps the tree of each partition up with the journal, and signs its head now and then.
//!
//! What must stay true: only commits that the journal has given a position are in a tree; a head is signed only where
//! the tree goes on from every head that was signed before; and whoever asks waits for no disk that a writer of the
//! journal waits for.

mod follow;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ledger::ids::Position;
use ledger::journal::{Journal, ReadError, Stored};
use tokio::sync::{Notify, watch};

use super::checkpoints::{Checkpoint, CheckpointFile};
use super::key::sync_directory;
use super::leaf::leaf_of;
use super::merkle::{self, Hash};
use super::note::{KeyError, NoteError, NoteSigner, NoteVerifier, TreeHead};
use super::tree::Tree;

/// When heads are signed.
#[derive(Debug, Clone, Copy)]
pub struct KeeperOptions {
    /// After this many new commits,
    pub commits: u64,
    /// or this long after the first of them, whichever is earlier.
    pub every: Duration,
    /// But never sooner than this after the head before.
    pub least: Duration,
}

impl Default for KeeperOptions {
    fn default() -> Self {
        KeeperOptions { commits: 1000, every: Duration::from_secs(10), least: Duration::from_millis(500) }
    }
}

/// Why the trees cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum OpenKeeperError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] ReadError),
    /// The files cannot be read or written.
    #[error("the audit files in {} cannot be used: {source}", path.display())]
    Files {
        /// The partition's directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key cannot sign for this log.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The newest signed head is by this key, and its signature is wrong: somebody has changed the file.
    #[error("the newest checkpoint in {} was changed after it was signed: {source}", path.display())]
    Forged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: NoteError,
    },
    /// A part of the log is gone.
    #[error(
        "the log of partition {partition} ends at {last}, and a checkpoint was signed over {signed} commits: a part of \
         the log is gone, or this is another log. Put the log back as it was, or, to begin again in front of everybody \
         who has a checkpoint, move the file {} away", path.display()
    )]
    LogIsShorter {
        /// Which.
        partition: u16,
        /// The newest sequence in the log.
        last: u64,
        /// The size of the newest signed tree.
        signed: u64,
        /// The file of checkpoints.
        path: PathBuf,
    },
}

/// Why a tree does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// There is no such partition.
    #[error("there is no partition {0}")]
    NoSuchPartition(u16),
    /// The tree is being made again from the journal, and has not come to what is asked for. Try again later.
    #[error("the tree holds {size} of {wanted} commits; it is being made again from the log")]
    CatchingUp {
        /// Leaves in the tree.
        size: u64,
        /// Leaves that the answer needs.
        wanted: u64,
    },
    /// The log is not what was signed. Nothing is signed or proven any more; a human has to look.
    #[error("{0}")]
    Halted(Arc<str>),
    /// The files cannot be read.
    #[error("the tree cannot be read")]
    Io(#[from] io::Error),
}

/// The tree and the signed heads of each partition. Cheap to clone.
#[derive(Clone)]
pub struct Keeper {
    partitions: Arc<[Partition]>,
    journal: Arc<dyn Journal>,
}

/// A proof that one commit is in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    /// Hash of the commit's leaf, as the tree has it.
    pub leaf: Hash,
    /// From the bottom up.
    pub hashes: Vec<Hash>,
}

/// A proof that one tree goes on from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    /// Root of the smaller tree.
    pub from_root: Hash,
    /// Root of the larger one.
    pub to_root: Hash,
    /// From the bottom up.
    pub hashes: Vec<Hash>,
}

impl Keeper {
    /// Opens, or begins, the trees in a directory, one folder for each partition. `signer` is named after the log; the
    /// heads of a partition are signed in the name `<log>/<partition>`.
    pub async fn open(
        journal: Arc<dyn Journal>,
        directory: &Path,
        signer: &NoteSigner,
        options: KeeperOptions,
    ) -> Result<Self, OpenKeeperError> {
        let mut partitions = Vec::new();
        for partition in 0..journal.partitions() {
            let path = directory.join(partition.to_string());
            let last = journal.last_sequence(partition).await?;
            let signer = signer.named(&format!("{}/{partition}", signer.name()))?;
            let opened = blocking(move || Partition::open(partition, path, signer, options, last)).await?;
            opened.check_newest_leaf(&*journal).await?;
            partitions.push(opened);
        }
        Ok(Keeper { partitions: partitions.into(), journal })
    }

    /// Follows the journal until `stop` ends. Then signs what is new, so that nothing waits for the next start.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let followers = self.partitions.iter().map(|partition| follow::follow(partition, &*self.journal));
        tokio::select! {
            _never = futures::future::join_all(followers) => {}
            () = stop => {}
        }
        for partition in self.partitions.iter() {
            partition.sign_and_report().await;
        }
    }

    /// What checks the heads of a partition.
    pub fn verifier(&self, partition: u16) -> Result<NoteVerifier, ProofError> {
        Ok(self.partition(partition)?.0.signer.verifier())
    }

    /// The newest signed head of a partition.
    pub fn latest(&self, partition: u16) -> Result<Checkpoint, ProofError> {
        self.partition(partition)?.latest()
    }

    /// Why nothing is signed any more, if that is so, of the first partition that it is so of.
    pub fn halted(&self) -> Option<Arc<str>> {
        self.partitions.iter().find_map(|partition| partition.0.state.borrow().halted.clone())
    }

    /// The signed head over exactly `size` commits, if there is one.
    pub async fn of_size(&self, partition: u16, size: u64) -> Result<Option<Checkpoint>, ProofError> {
        self.partition(partition)?.with_files(move |files| Ok(files.checkpoints.of_size(size)?)).await
    }

    /// The newest signed head, over the commit at this position if one can be had within `patience`.
    pub async fn covering(&self, position: Position, patience: Duration) -> Result<Checkpoint, ProofError> {
        let partition = self.partition(position.partition)?;
        partition.0.wanted.fetch_max(position.sequence, Ordering::Relaxed);
        partition.0.wake.notify_one();
        let mut state = partition.0.state.subscribe();
        let covers = |state: &State| state.halted.is_some() || state.latest.head.size >= position.sequence;
        // Too late, or the keeper is gone: the newest there is has to do.
        let _waited = tokio::time::timeout(patience, state.wait_for(covers)).await;
        partition.latest()
    }

    /// Proofs that the commits at these sequences are in the tree of the first `size` commits, each at most `size`.
    pub async fn inclusion(
        &self,
        partition: u16,
        size: u64,
        sequences: Vec<u64>,
    ) -> Result<Vec<Inclusion>, ProofError> {
        self.proof(partition, size, move |tree| {
            let prove = |sequence: u64| {
                let index = sequence.saturating_sub(1);
                let hashes = merkle::inclusion_proof(tree, index, size)?;
                Ok(Inclusion { leaf: tree.leaf(index)?, hashes })
            };
            sequences.into_iter().map(prove).collect()
        })
        .await
    }

    /// The proof that the tree of the first `to` commits goes on from that of the first `from`.
    pub async fn consistency(&self, partition: u16, from: u64, to: u64) -> Result<Consistency, ProofError> {
        self.proof(partition, to, move |tree| {
            let hashes = merkle::consistency_proof(tree, from, to)?;
            Ok(Consistency { from_root: merkle::root(tree, from)?, to_root: merkle::root(tree, to)?, hashes })
        })
        .await
    }

    /// What the tree says of its first `size` leaves.
    async fn proof<T: Send + 'static>(
        &self,
        partition: u16,
        size: u64,
        prove: impl FnOnce(&Tree) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ProofError> {
        let partition = self.partition(partition)?;
        partition.latest()?;
        partition
            .with_files(move |files| match files.tree.size() {
                kept if kept < size => Err(ProofError::CatchingUp { size: kept, wanted: size }),
                _ => Ok(prove(&files.tree)?),
            })
            .await
    }

    fn partition(&self, partition: u16) -> Result<&Partition, ProofError> {
        self.partitions.get(usize::from(partition)).ok_or(ProofError::NoSuchPartition(partition))
    }
}

/// One partition, shared by its follower and those who ask.
#[derive(Clone)]
struct Partition(Arc<Shared>);

struct Shared {
    partition: u16,
    signer: NoteSigner,
    options: KeeperOptions,
    files: Mutex<Files>,
    state: watch::Sender<State>,
    /// The largest sequence that somebody waits for a head of.
    wanted: AtomicU64,
    wake: Notify,
}

struct Files {
    tree: Tree,
    checkpoints: CheckpointFile,
    /// The head that the tree, once it is as large, has to agree with before another is signed.
    unchecked: Option<TreeHead>,
}

#[derive(Debug, Clone)]
struct State {
    /// Leaves in the tree.
    size: u64,
    latest: Checkpoint,
    signed_at: Instant,
    halted: Option<Arc<str>>,
}

impl Partition {
    /// `last` is the newest sequence in the journal.
    fn open(
        partition: u16,
        path: PathBuf,
        signer: NoteSigner,
        options: KeeperOptions,
        last: u64,
    ) -> Result<Self, OpenKeeperError> {
        let file = path.join("checkpoints");
        let (mut tree, mut checkpoints) =
            open_files(&path).map_err(|source| OpenKeeperError::Files { path: path.clone(), source })?;
        let latest = match checkpoints.last() {
            Some(newest) => {
                match newest.verify(&signer.verifier()) {
                    Ok(()) => {}
                    Err(NoteError::NotSigned) => {
                        tracing::warn!(
                            partition,
                            "the newest checkpoint was signed with another key; going on with this one"
                        );
                    }
                    Err(source) => return Err(OpenKeeperError::Forged { path: file, source }),
                }
                newest.clone()
            }
            None => {
                // Over nothing, so that there is a head from the first moment on.
                let origin = signer.name().to_owned();
                let head = TreeHead { origin, size: 0, root: merkle::empty_root() };
                let first = Checkpoint::sign(head, &signer);
                let added = checkpoints.append(&first);
                added.map_err(|source| OpenKeeperError::Files { path: path.clone(), source })?;
                first
            }
        };
        let signed = latest.head.size;
        if last < signed {
            return Err(OpenKeeperError::LogIsShorter { partition, last, signed, path: file });
        }
        // What no head covers may not have reached the disk whole; the journal has it.
        tree.truncate(signed).map_err(|source| OpenKeeperError::Files { path, source })?;
        let state =
            State { size: tree.size(), latest: latest.clone(), signed_at: Instant::now(), halted: None };
        let mut files = Files { tree, checkpoints, unchecked: Some(latest.head) };
        if files.check().is_err() {
            files.tree_is_wrong(partition);
        }
        let state = State { size: files.tree.size(), ..state };
        Ok(Partition(Arc::new(Shared {
            partition,
            signer,
            options,
            files: Mutex::new(files),
            state: watch::Sender::new(state),
            wanted: AtomicU64::new(0),
            wake: Notify::new(),
        })))
    }

    /// The newest leaf of the tree against the journal. Where they differ the tree is made again, which shows whether it
    /// is the tree or the log that was changed.
    async fn check_newest_leaf(&self, journal: &dyn Journal) -> Result<(), OpenKeeperError> {
        let size = self.size();
        let position = Position { partition: self.0.partition, sequence: size };
        if size == 0 {
            return Ok(());
        }
        let stored = journal.at(position).await?;
        let shared = self.clone();
        blocking(move || {
            let mut files = shared.files();
            let kept = files.tree.leaf(size - 1);
            if !matches!((stored, kept), (Some(stored), Ok(leaf)) if leaf_of(&stored) == leaf) {
                files.tree_is_wrong(position.partition);
                shared.0.state.send_modify(|state| state.size = files.tree.size());
            }
        })
        .await;
        Ok(())
    }

    fn latest(&self) -> Result<Checkpoint, ProofError> {
        let state = self.0.state.borrow();
        match &state.halted {
            Some(reason) => Err(ProofError::Halted(Arc::clone(reason))),
            None => Ok(state.latest.clone()),
        }
    }

    fn size(&self) -> u64 {
        self.0.state.borrow().size
    }

    fn files(&self) -> std::sync::MutexGuard<'_, Files> {
        self.0.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn with_files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Files) -> Result<T, ProofError> + Send + 'static,
    ) -> Result<T, ProofError> {
        let shared = self.clone();
        blocking(move || work(&mut shared.files())).await
    }

    /// Adds the commits that follow the tree's newest.
    async fn append(&self, commits: Vec<Stored>) -> Result<(), ProofError> {
        let shared = self.clone();
        blocking(move || {
            let leaves: Vec<Hash> = commits.iter().map(leaf_of).collect();
            let mut files = shared.files();
            files.tree.append(&leaves)?;
            let checked = files.check();
            let size = files.tree.size();
            shared.0.state.send_modify(|state| state.size = size);
            checked.map_err(|error| shared.halt(error))
        })
        .await
    }

    /// Signs the tree as it is, if anything is new.
    async fn sign(&self) -> Result<(), ProofError> {
        let shared = self.clone();
        blocking(move || {
            let mut files = shared.files();
            let Files { tree, checkpoints, unchecked } = &mut *files;
            if unchecked.is_some() || tree.size() <= shared.0.state.borrow().latest.head.size {
                return Ok(());
            }
            // The next start trusts the files up to the newest head.
            tree.sync()?;
            let origin = shared.0.signer.name().to_owned();
            let head = TreeHead { origin, size: tree.size(), root: tree.root() };
            let checkpoint = Checkpoint::sign(head, &shared.0.signer);
            checkpoints.append(&checkpoint)?;
            shared.0.state.send_modify(|state| {
                state.latest = checkpoint;
                state.signed_at = Instant::now();
            });
            Ok(())
        })
        .await
    }

    async fn sign_and_report(&self) {
        if let Err(error) = self.sign().await {
            tracing::error!(partition = self.0.partition, %error, "the log's tree cannot be signed");
        }
    }

    /// Stops for good, loudly, where the log contradicts what was signed.
    fn halt(&self, error: ProofError) -> ProofError {
        if let ProofError::Halted(reason) = &error {
            tracing::error!(
                partition = self.0.partition,
                %reason,
                "ALARM: the log contradicts a signed checkpoint; nothing is signed any more"
            );
            self.0.state.send_modify(|state| state.halted = Some(Arc::clone(reason)));
        }
        error
    }
}

impl Files {
    /// Holds the tree against the newest head that was signed before this start, once it is as large.
    fn check(&mut self) -> Result<(), ProofError> {
        let Some(head) = self.unchecked.as_ref().filter(|head| head.size <= self.tree.size()) else {
            return Ok(());
        };
        let root = merkle::root(&self.tree, head.size)?;
        if root != head.root {
            let TreeHead { size, root: signed, .. } = head;
            let reason = format!(
                "over its first {size} commits the log has the root {root}, and {signed} was signed: commits were changed \
                 after they were signed for, or this is another log"
            );
            return Err(ProofError::Halted(reason.into()));
        }
        self.unchecked = None;
        Ok(())
    }

    /// Begins the tree again. That it is wrong says nothing of the log.
    fn tree_is_wrong(&mut self, partition: u16) {
        tracing::warn!(partition, "the tree on disk is not what was signed; making it again from the log");
        self.unchecked = self.checkpoints.last().map(|newest| newest.head.clone());
        if let Err(error) = self.tree.truncate(0) {
            tracing::error!(partition, %error, "the tree on disk cannot be emptied");
        }
    }
}

/// The files of a partition, whose names are on the disk when this returns.
fn open_files(path: &Path) -> io::Result<(Tree, CheckpointFile)> {
    let tree = Tree::open(&path.join("tree"))?;
    let checkpoints = CheckpointFile::open(&path.join("checkpoints"))?;
    sync_directory(path)?;
    Ok((tree, checkpoints))
}

/// Runs what waits for the disk, or computes for long, where it holds nobody up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Cancelled: the runtime is going down, and nobody is left to ask.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests;
