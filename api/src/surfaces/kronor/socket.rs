//! The API over a WebSocket, in the protocol `graphql-transport-ws`.
//!
//! What must stay true: a socket costs a bounded amount whatever its client does: the operations that it may have
//! at once, the time without a word from the client, and the time to take what is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_graphql::http::{ClientMessage, WebSocketProtocols, WsMessage};
use async_graphql::{Data, Executor, Request, Response};
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures::stream::{BoxStream, SplitSink};
use futures::{SinkExt, StreamExt, future, stream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior};

use super::caller::Caller;
use super::refusal::{ErrorType, Refusal, finished};
use super::schema::SCHEMA;
use crate::app::App;
use crate::cards;

/// What is spoken.
pub(super) const PROTOCOL: &str = "graphql-transport-ws";

/// Operations that one socket may have at once.
const OPERATIONS: usize = 20;
/// How long a client may take to say who it is.
const PATIENCE_WITH_INIT: Duration = Duration::from_secs(10);
/// How often a client that is silent is asked whether it is there; the second time without an answer it is not.
const ASK_AFTER: Duration = Duration::from_secs(20);
/// How long a client may take to receive one message.
const PATIENCE_WITH_READER: Duration = Duration::from_secs(20);

/// Close codes of the protocol, and of WebSocket itself (RFC 6455, 7.4.1).
mod code {
    pub(super) const GOING_AWAY: u16 = 1001;
    pub(super) const BAD_REQUEST: u16 = 4400;
    pub(super) const UNAUTHORIZED: u16 = 4401;
    pub(super) const INIT_TIMEOUT: u16 = 4408;
    pub(super) const TOO_MANY_INITS: u16 = 4429;
}

/// Runs the operations of one socket. `known`: whoever opened it, if the request said so; `connection_init` may say it
/// as well, and outweighs it.
pub(super) async fn serve(socket: WebSocket, app: Arc<App>, known: Option<Caller>) {
    let (mut sink, incoming) = socket.split();
    let is_heard = Arc::new(AtomicBool::new(true));
    let is_known = Arc::new(AtomicBool::new(false));
    let is_refused = Arc::new(AtomicBool::new(false));
    let messages = {
        let is_heard = Arc::clone(&is_heard);
        incoming
            .take_while(|message| {
                future::ready(matches!(message, Ok(message) if !matches!(message, Message::Close(_))))
            })
            .filter_map(move |message| {
                is_heard.store(true, Ordering::Relaxed);
                future::ready(match message {
                    Ok(Message::Text(text)) => Some(ClientMessage::from_bytes(text.as_str())),
                    Ok(Message::Binary(bytes)) => Some(ClientMessage::from_bytes(bytes)),
                    Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_)) | Err(_) => None,
                })
            })
    };
    let operations = Operations { running: Arc::new(Semaphore::new(OPERATIONS)) };
    let init = {
        let (app, is_known, is_refused) = (Arc::clone(&app), Arc::clone(&is_known), Arc::clone(&is_refused));
        move |payload: serde_json::Value| async move {
            let Some(caller) = Caller::in_payload(&app, &payload).unwrap_or(known) else {
                is_refused.store(true, Ordering::Relaxed);
                return Err(Refusal::unauthenticated().into());
            };
            is_known.store(true, Ordering::Relaxed);
            let mut data = Data::default();
            data.insert(app);
            data.insert(caller);
            Ok(data)
        }
    };
    let answers = async_graphql::http::WebSocket::from_message_stream(
        operations,
        messages,
        WebSocketProtocols::GraphQLWS,
    );
    let mut answers = answers.on_connection_init(init);
    let init_deadline = Instant::now() + PATIENCE_WITH_INIT;
    let mut ask = tokio::time::interval_at(Instant::now() + ASK_AFTER, ASK_AFTER);
    ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            answer = answers.next() => match answer {
                Some(WsMessage::Text(text)) => Message::Text(text.into()),
                Some(WsMessage::Close(code, reason)) => {
                    close(&mut sink, known_code(code, is_refused.load(Ordering::Relaxed)), &reason).await;
                    return;
                }
                // The client has gone, or said goodbye.
                None => return,
            },
            () = tokio::time::sleep_until(init_deadline), if !is_known.load(Ordering::Relaxed) => {
                close(&mut sink, code::INIT_TIMEOUT, "Connection initialisation timeout").await;
                return;
            }
            _ = ask.tick() => {
                if !is_heard.swap(false, Ordering::Relaxed) {
                    return;
                }
                Message::Ping(Default::default())
            }
            () = app.shutdown.begun() => {
                close(&mut sink, code::GOING_AWAY, "the server is going down").await;
                return;
            }
        };
        if !send(&mut sink, message).await {
            return;
        }
    }
}

/// The protocol's code for what the library closes a socket with.
fn known_code(code: u16, is_refused: bool) -> u16 {
    match code {
        code::TOO_MANY_INITS => code,
        // An operation before the acknowledgement.
        1011 => code::UNAUTHORIZED,
        _ if is_refused => code::UNAUTHORIZED,
        _ => code::BAD_REQUEST,
    }
}

/// False: the client is gone, or takes nothing any more.
async fn send(sink: &mut SplitSink<WebSocket, Message>, message: Message) -> bool {
    matches!(tokio::time::timeout(PATIENCE_WITH_READER, sink.send(message)).await, Ok(Ok(())))
}

async fn close(sink: &mut SplitSink<WebSocket, Message>, code: u16, reason: &str) {
    // RFC 6455 allows 123 bytes. What cannot be read is quoted in it.
    let reason: String = cards::redacted(reason).chars().take(100).filter(char::is_ascii).collect();
    let is_told = send(sink, Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
    tracing::debug!(code, is_told, "kronor: a socket was closed");
}

/// The schema for one socket: runs so many operations at once.
#[derive(Clone)]
struct Operations {
    running: Arc<Semaphore>,
}

impl Executor for Operations {
    async fn execute(&self, request: Request) -> Response {
        finished(SCHEMA.execute(request).await)
    }

    fn execute_stream(&self, request: Request, session: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        let Ok(place) = Arc::clone(&self.running).try_acquire_owned() else {
            let message = format!("a socket may have {OPERATIONS} operations at once");
            let refusal = Refusal::new(ErrorType::TooManyOperations, message);
            return stream::once(future::ready(Response::from_errors(vec![refusal.into()]))).boxed();
        };
        let responses = SCHEMA.execute_stream_with_session_data(request, session.unwrap_or_default());
        responses
            .map(move |response| {
                // Held until the operation is over.
                let _place = &place;
                finished(response)
            })
            .boxed()
    }
}
