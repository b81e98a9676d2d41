//! `GET /v1/feed`: every commit of the tenant's orders, once each, in the order of the log, without end.
//!
//! A feed catches up from the journal and then follows the projector's broadcast, so that a reader who is live costs
//! the journal nothing. What must stay true: of each partition a feed hands out sequence after sequence without a gap
//! or a repeat, whichever of the two it reads from, and never one that the views do not show yet; and a reader who is
//! slow, or takes nothing at all, costs a bounded amount of memory and keeps nobody else waiting.
//!
//! A commit is rendered by the first reader who comes to it, and the others write the same bytes.

mod backlog;
mod cursor;
mod renderer;
mod renderings;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use backlog::Backlog;
use bytes::{BufMut, Bytes, BytesMut};
use cursor::Cursor;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use ledger::execute::LoadError;
use ledger::ids::Position;
use projections::{Change, StoreError};
use renderer::{CommitJson, Rendered, Renderer, event};
pub use renderings::Renderings;
use serde::Deserialize;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;

use crate::app::App;
use crate::http::query::{Query, invalid};
use crate::http::{Caller, Code, Problem};
use crate::orders::OrderError;

/// Where it is served.
pub const PATH: &str = "/v1/feed";

/// After so much silence the reader is told how far the log has come.
const SILENCE: Duration = Duration::from_secs(15);
/// How often a feed looks whether the broadcast has left something out.
const LOOK: Duration = Duration::from_secs(1);
/// Events are sent on together when there are so many bytes of them, or no more at the moment.
const CHUNK: usize = 32 * 1024;
/// How long a reader who was told something waits for more: what comes so close together is sent on together. Without it
/// each of a thousand readers is woken for every batch of the projector.
const REST: Duration = Duration::from_millis(5);
/// Commits that are rendered together for a reader who catches up, and groups of them at the same time: readers who are
/// live wait no longer than one group takes.
const GROUP: usize = 32;
const GROUPS: usize = 4;
/// Chunks on their way to one reader.
const AHEAD: usize = 1;
/// A reader who takes nothing for so long is gone, whatever its connection says.
const READER_PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeedQuery {
    after: Option<String>,
}

/// Every commit of the tenant's orders, once each, in the order of the log, as server-sent events without end.
#[utoipa::path(
    get, path = "/v1/feed", tag = "Feed", security(("api_key" = [])),
    params(
        ("after" = Option<String>, Query, description = "Begin after the event with this id; else at the beginning of the log"),
        ("Last-Event-ID" = Option<String>, Header, description = "The same, for a reader who comes back; it outweighs `after`"),
    ),
    responses((status = 200, description = "`commit` events, and `position` events after 15 s of silence",
        body = CommitJson, content_type = "text/event-stream"))
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    Query(query): Query<FeedQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // What is no text is no position either; nothing said means nothing seen.
    let seen = headers.get("last-event-id").map(|value| value.to_str().unwrap_or("not a text"));
    // A browser that comes back asks the same URL again, and says in the header how far it got.
    let cursor = match seen.filter(|seen| !seen.is_empty()).or(query.after.as_deref()) {
        None => Cursor::beginning(app.partitions()),
        Some(text) => {
            Cursor::parse(text, app.partitions()).map_err(|error| invalid(format!("after: {error}")))?
        }
    };
    if app.shutdown.has_begun() {
        return Err(Problem::new(Code::ShuttingDown, "connect again, to another node or in a moment"));
    }
    if cursor.positions().any(|after| after.sequence > 0) {
        let ends = app.log_ends().await.map_err(|error| OrderError::from(LoadError::from(error)))?;
        if let Some(end) = ends.into_iter().find(|end| cursor.at(end.partition) > end.sequence) {
            // Whoever waits here for the log to get that far would miss all that comes before.
            return Err(invalid(format!("after: the log ends at {end}; was it another log?")));
        }
    }
    let (chunks, stream) = mpsc::channel(AHEAD);
    let renderer = Renderer { app, tenant };
    let feed = Feed { renderer, chunks, chunk: BytesMut::new(), cursor, spoke: Instant::now() };
    tokio::spawn(feed.run());
    let headers = [
        (header::CONTENT_TYPE.as_str(), "text/event-stream"),
        (header::CACHE_CONTROL.as_str(), "no-cache"),
        // Proxies that buffer would hold events back.
        ("x-accel-buffering", "no"),
    ];
    let body = Body::from_stream(ReceiverStream::new(stream).map(Ok::<Bytes, Infallible>));
    Ok((headers, body).into_response())
}

/// One reader's feed.
struct Feed {
    renderer: Renderer,
    chunks: mpsc::Sender<Bytes>,
    /// Events that wait to be sent on together.
    chunk: BytesMut,
    /// Up to where everything has been handed out or passed by.
    cursor: Cursor,
    /// When the reader was last told something.
    spoke: Instant,
}

/// Why a feed ends.
enum End {
    /// The reader is gone.
    Gone,
    /// The server is going down.
    Shutdown,
    /// The journal or the views cannot be read; the reader comes back and goes on where it was.
    Failed(String),
}

impl End {
    fn failed(error: &dyn std::error::Error) -> Self {
        End::Failed(error.to_string())
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        End::Failed(error.to_string())
    }
}

impl Feed {
    async fn run(mut self) {
        let shutdown = self.renderer.app.shutdown.clone();
        let end = tokio::select! {
            end = self.follow() => end,
            () = shutdown.begun() => End::Shutdown,
        };
        let tenant = &self.renderer.tenant;
        match end {
            End::Gone => tracing::debug!(%tenant, "a feed's reader has gone"),
            End::Shutdown => {}
            End::Failed(reason) => {
                tracing::warn!(%tenant, reason, "a feed ends; its reader may come back");
            }
        }
    }

    async fn follow(&mut self) -> End {
        loop {
            if let Err(end) = self.follow_until_left_behind().await {
                return end;
            }
        }
    }

    /// Catches up, then hands out what the projector broadcasts, until the broadcast leaves something out.
    async fn follow_until_left_behind(&mut self) -> Result<(), End> {
        // Listening begins before the end of the log is looked at, so that nothing falls in between.
        let projector = &self.renderer.app.projector;
        let (mut live, applied) = (projector.changes(), projector.applied());
        let newest = || applied.borrow().clone();
        self.catch_up(&newest()).await?;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut newest_before = Vec::new();
        loop {
            let chunks = self.chunks.clone();
            tokio::select! {
                received = live.recv() => match received {
                    Ok(change) => match self.hand_out_live(change, &mut live).await? {
                        Live::Caught => tokio::time::sleep(REST).await,
                        Live::LeftBehind => return Ok(()),
                    },
                    Err(RecvError::Lagged(_)) => return Ok(()),
                    // The projector has stopped, so the server is going down or has halted.
                    Err(RecvError::Closed) => return Err(End::Shutdown),
                },
                _ = look.tick() => {
                    // Applied a whole tick ago, and still not broadcast: it never will be.
                    let is_behind = (0..).zip(&newest_before).any(|(at, &newest)| newest > self.cursor.at(at));
                    if live.is_empty() && is_behind {
                        return Ok(());
                    }
                    newest_before = newest();
                    self.break_silence().await?;
                }
                () = chunks.closed() => return Err(End::Gone),
            }
        }
    }

    /// Hands out a change, and all that are there already behind it.
    async fn hand_out_live(
        &mut self,
        mut change: Arc<Change>,
        live: &mut broadcast::Receiver<Arc<Change>>,
    ) -> Result<Live, End> {
        loop {
            let Position { partition, sequence } = change.recorded.position;
            match sequence.cmp(&(self.cursor.at(partition) + 1)) {
                Ordering::Less => {}
                Ordering::Equal => {
                    let (recorded, sealed) = (Cow::Borrowed(&change.recorded), change.sealed.as_ref());
                    let rendered = self.renderer.rendered(recorded, sealed).await?;
                    self.hand_out(rendered).await?;
                }
                Ordering::Greater => return Ok(Live::LeftBehind),
            }
            change = match live.try_recv() {
                Ok(change) => change,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Lagged(_)) => return Ok(Live::LeftBehind),
                Err(TryRecvError::Closed) => return Err(End::Shutdown),
            };
        }
        self.send_on().await?;
        Ok(Live::Caught)
    }

    /// Hands out what the journal holds up to `newest`, by partition, which the views show already. Some groups are
    /// rendered while those before them are on their way to the reader.
    async fn catch_up(&mut self, newest: &[u64]) -> Result<(), End> {
        let mut backlog = Backlog::new(&self.cursor, newest);
        let mut under_way = FuturesOrdered::new();
        loop {
            while under_way.len() < GROUPS
                && let Some(group) = backlog.take_group(GROUP)?
            {
                under_way.push_back(tokio::spawn(self.renderer.clone().rendered_group(group)));
            }
            if let Some(group) = under_way.next().await {
                for rendered in group.map_err(|error| End::failed(&error))?? {
                    if !self.renderer.is_good(&rendered) {
                        // It and what is behind it have waited for a slow reader: once more, from here.
                        (backlog, under_way) = (Backlog::new(&self.cursor, newest), FuturesOrdered::new());
                        break;
                    }
                    self.hand_out(rendered).await?;
                }
                continue;
            }
            backlog.passed(&mut self.cursor);
            self.break_silence().await?;
            self.send_on().await?;
            if backlog.is_empty() {
                return Ok(());
            }
            backlog.read_on(&self.renderer.app, &self.renderer.tenant).await?;
        }
    }

    /// Passes one commit on if the renderer has something to say of it.
    async fn hand_out(&mut self, rendered: Rendered) -> Result<(), End> {
        self.cursor.pass(rendered.position);
        match rendered.event {
            Some(event) => self.say(&event).await,
            None => Ok(()),
        }
    }

    async fn break_silence(&mut self) -> Result<(), End> {
        if self.spoke.elapsed() < SILENCE {
            return Ok(());
        }
        let position = serde_json::json!({"position": self.cursor.to_string()});
        self.say(&event("position", &position)?).await?;
        self.send_on().await
    }

    /// Puts an event behind those that wait, under the id that a reader comes back with.
    async fn say(&mut self, event: &[u8]) -> Result<(), End> {
        let id = writeln!((&mut self.chunk).writer(), "id: {}", self.cursor);
        id.map_err(|error| End::failed(&error))?;
        self.chunk.extend_from_slice(event);
        if self.chunk.len() >= CHUNK { self.send_on().await } else { Ok(()) }
    }

    /// Sends on what waits.
    async fn send_on(&mut self) -> Result<(), End> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        // No room is kept for the next one: most readers have nothing to be told for a long time.
        let chunk = std::mem::take(&mut self.chunk).freeze();
        let sent = tokio::time::timeout(READER_PATIENCE, self.chunks.send(chunk)).await;
        let Ok(Ok(())) = sent else { return Err(End::Gone) };
        self.spoke = Instant::now();
        Ok(())
    }
}

/// Where a feed stands after what it was sent.
enum Live {
    /// Nothing more is there.
    Caught,
    /// Something was left out, and has to be read from the journal.
    LeftBehind,
}
