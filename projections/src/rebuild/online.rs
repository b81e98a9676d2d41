//! A rebuild in a running server: a new generation is folded beside the live one and takes its place.
//!
//! What must stay true: reads never stop, never see half, and never see less than they were promised. So the new
//! generation is never ahead of the live one; the two meet between two batches of the projector's writer, which
//! brings them to the same commit, compares them, and goes on with the one that is live from then on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use jiff::Timestamp;
use tokio::sync::watch;

use super::background::{Background, Wishes};
use super::status::{RebuildState, RebuildStatus};
use crate::projector::Projector;
use crate::store::{Generation, Goal, Intent, Store, StoreError, SwapWhen, Views};

/// Why a rebuild was not begun, or not told what to do. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum RebuildRefused {
    /// There is one under way.
    #[error("a rebuild is {} already: wait for its end, or cancel it", .0.name())]
    UnderWay(RebuildState),
    /// There is none under way.
    #[error("no rebuild is under way")]
    NotUnderWay,
    /// Only a rebuild that has been compared can become live.
    #[error("the rebuild is {}: it can be swapped in once it has been compared with the live views", .0.name())]
    NotCompared(RebuildState),
    /// No generation is kept from before.
    #[error("there is no generation to go back to")]
    NothingBefore,
    /// The generation from before was folded by another version, which alone can bring it up to date.
    #[error(
        "the generation before this one was folded by another version of Daybook: start that version, and it goes back \
         by itself"
    )]
    OtherVersion,
    /// The view store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gave no thread.
    #[error("the rebuild's thread cannot be started")]
    Thread(#[source] std::io::Error),
}

/// The rebuilds of a running server, one at a time. Cheap to clone; what is under way stops with `shutdown`, or when the
/// last clone is gone, and is gone on with by the next process.
#[derive(Clone)]
pub struct Rebuilds {
    inner: Arc<Inner>,
}

struct Inner {
    views: Views,
    projector: Projector,
    status: Arc<watch::Sender<RebuildStatus>>,
    running: Mutex<Option<Running>>,
}

struct Running {
    wishes: watch::Sender<Wishes>,
    thread: JoinHandle<()>,
}

impl Rebuilds {
    /// Takes up a rebuild that an earlier process has left. Where there is none, and another version of the views has folded
    /// those that are live, begins one, which is swapped in by itself unless `is_manual`. Needs a tokio runtime.
    pub async fn open(views: Views, projector: Projector, is_manual: bool) -> Result<Self, RebuildRefused> {
        let status = Arc::new(watch::Sender::new(RebuildStatus::idle()));
        let rebuilds =
            Rebuilds { inner: Arc::new(Inner { views, projector, status, running: Mutex::default() }) };
        rebuilds.blocking(Inner::take_up).await?;
        let inner = &rebuilds.inner;
        let is_outdated = !inner.store().is_of_this_version(inner.store().live().number)?;
        if is_outdated && !rebuilds.status().state.is_running() {
            rebuilds.start(is_manual).await?;
        }
        Ok(rebuilds)
    }

    /// Begins to fold a new generation. It becomes live by itself, or, when `is_manual`, when `swap` is called.
    pub async fn start(&self, is_manual: bool) -> Result<RebuildStatus, RebuildRefused> {
        self.blocking(move |inner| {
            let mut running = inner.idle()?;
            let store = inner.views.store();
            let generation = store.new_generation()?;
            let swap = if is_manual { SwapWhen::Asked } else { SwapWhen::CaughtUp };
            let intent = Intent { swap, ..Intent::rebuild(generation.number) };
            *running = Some(inner.begin(intent, generation)?);
            Ok(())
        })
        .await
    }

    /// Begins to bring the generation that was live before up to date, to make it live again.
    pub async fn rollback(&self) -> Result<RebuildStatus, RebuildRefused> {
        self.blocking(|inner| {
            let mut running = inner.idle()?;
            let store = inner.views.store();
            let number = store.previous()?.ok_or(RebuildRefused::NothingBefore)?;
            if !store.is_of_this_version(number)? {
                return Err(RebuildRefused::OtherVersion);
            }
            let generation = store.generation(number)?.ok_or(RebuildRefused::NothingBefore)?;
            let intent = Intent { goal: Goal::Rollback, ..Intent::rebuild(number) };
            *running = Some(inner.begin(intent, generation)?);
            Ok(())
        })
        .await
    }

    /// Has the rebuild stand still, also across a restart.
    pub async fn pause(&self) -> Result<RebuildStatus, RebuildRefused> {
        self.blocking(|inner| inner.set_paused(true)).await
    }

    /// Has the rebuild go on.
    pub async fn resume(&self) -> Result<RebuildStatus, RebuildRefused> {
        self.blocking(|inner| inner.set_paused(false)).await
    }

    /// Gives the rebuild up. Returns when it has ended; its generation is dropped unless it was live before.
    pub async fn cancel(&self) -> Result<RebuildStatus, RebuildRefused> {
        self.wish(|wishes| wishes.cancel = true)?;
        let mut status = self.inner.status.subscribe();
        // The sender is as old as `self`, so waiting cannot fail.
        let _ended = status.wait_for(|status| !status.state.is_running()).await;
        Ok(self.status())
    }

    /// Makes a rebuild live that waits for it, or that has raised an alarm.
    pub async fn swap(&self) -> Result<RebuildStatus, RebuildRefused> {
        let state = self.status().state;
        match state {
            RebuildState::Waiting | RebuildState::Alarm => {}
            RebuildState::Folding | RebuildState::Paused | RebuildState::Comparing => {
                return Err(RebuildRefused::NotCompared(state));
            }
            RebuildState::Idle | RebuildState::Done | RebuildState::Canceled | RebuildState::Failed => {
                return Err(RebuildRefused::NotUnderWay);
            }
        }
        self.wish(|wishes| wishes.swap = true)?;
        let mut status = self.inner.status.subscribe();
        let _ended = status.wait_for(|status| !status.state.is_running()).await;
        Ok(self.status())
    }

    /// What the rebuild is at, or what the last one came to.
    pub fn status(&self) -> RebuildStatus {
        self.inner.status.borrow().clone()
    }

    /// What the rebuild is at, as it goes on.
    pub fn statuses(&self) -> watch::Receiver<RebuildStatus> {
        self.inner.status.subscribe()
    }

    /// Stops what is under way where it is. To be called before the projector's.
    pub async fn shutdown(&self) {
        let running = self.inner.running().take();
        if let Some(Running { wishes, thread }) = running {
            wishes.send_modify(|wishes| wishes.stop = true);
            if !matches!(tokio::task::spawn_blocking(move || thread.join()).await, Ok(Ok(()))) {
                tracing::error!("INTERNAL: the rebuild's thread panicked; the live views are as they were");
            }
        }
    }

    fn wish(&self, wish: impl FnOnce(&mut Wishes)) -> Result<(), RebuildRefused> {
        let running = self.inner.running();
        let under_way = running.as_ref().filter(|_| self.status().state.is_running());
        under_way.ok_or(RebuildRefused::NotUnderWay)?.wishes.send_modify(wish);
        Ok(())
    }

    async fn blocking(
        &self,
        work: impl FnOnce(&Arc<Inner>) -> Result<(), RebuildRefused> + Send + 'static,
    ) -> Result<RebuildStatus, RebuildRefused> {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|error| Err(StoreError::Disk(std::io::Error::other(error)).into()))?;
        Ok(self.status())
    }
}

impl Inner {
    fn store(&self) -> &Arc<Store> {
        self.views.store()
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place for a rebuild, held while it is begun.
    fn idle(&self) -> Result<MutexGuard<'_, Option<Running>>, RebuildRefused> {
        let running = self.running();
        let state = self.status.borrow().state;
        if state.is_running() { Err(RebuildRefused::UnderWay(state)) } else { Ok(running) }
    }

    fn take_up(self: &Arc<Self>) -> Result<(), RebuildRefused> {
        let store = self.store();
        let Some(intent) = store.intent()? else { return Ok(()) };
        let mut running = self.idle()?;
        let is_ours =
            intent.generation != store.live().number && store.is_of_this_version(intent.generation)?;
        let generation = if is_ours { store.generation(intent.generation)? } else { None };
        let Some(generation) = generation else {
            tracing::warn!(
                generation = intent.generation,
                "the rebuild that was under way was another version's; it is given up"
            );
            store.note_intent(None)?;
            return Ok(store.drop_unused()?);
        };
        *running = Some(self.begin(intent, generation)?);
        Ok(())
    }

    fn begin(
        self: &Arc<Self>,
        intent: Intent,
        generation: Arc<Generation>,
    ) -> Result<Running, RebuildRefused> {
        let resumed_at = generation.folded();
        tracing::info!(
            generation = intent.generation, resumed_at, kind = ?intent.goal, paused = intent.is_paused,
            "folding a view generation beside the live one"
        );
        self.store().note_intent(Some(intent))?;
        self.status.send_replace(RebuildStatus {
            state: if intent.is_paused { RebuildState::Paused } else { RebuildState::Folding },
            kind: intent.goal.into(),
            is_manual: intent.swap.is_manual(),
            generation: Some(intent.generation),
            resumed_at,
            started_at: Some(Timestamp::now()),
            ..RebuildStatus::idle()
        });
        let (wishes, wished) = watch::channel(Wishes { pause: intent.is_paused, ..Wishes::default() });
        let status = Arc::clone(&self.status);
        let background = Background::new(
            self.projector.clone(),
            Arc::clone(self.store()),
            generation,
            intent,
            wished,
            status,
        );
        let runtime = tokio::runtime::Handle::current();
        let thread = std::thread::Builder::new().name("rebuild".to_owned());
        match thread.spawn(move || background.run(&runtime)) {
            Ok(thread) => Ok(Running { wishes, thread }),
            Err(error) => {
                self.status.send_replace(RebuildStatus::idle());
                self.store().note_intent(None)?;
                Err(RebuildRefused::Thread(error))
            }
        }
    }

    fn set_paused(&self, is_paused: bool) -> Result<(), RebuildRefused> {
        let running = self.running();
        let generation = {
            let status = self.status.borrow();
            status.generation.filter(|_| status.state.is_running())
        };
        let (Some(Running { wishes, .. }), Some(generation)) = (running.as_ref(), generation) else {
            return Err(RebuildRefused::NotUnderWay);
        };
        self.store().note_paused(generation, is_paused)?;
        wishes.send_modify(|wishes| wishes.pause = is_paused);
        if is_paused && let Some(generation) = self.store().generation(generation)? {
            // It may stand still for long, and what is folded is not to be folded again.
            generation.rows.move_to_disk()?;
        }
        self.status.send_modify(|status| {
            if is_paused && status.state == RebuildState::Folding {
                status.state = RebuildState::Paused;
            } else if !is_paused && status.state == RebuildState::Paused {
                status.state = RebuildState::Folding;
            }
        });
        Ok(())
    }
}
