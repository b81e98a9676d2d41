//! Connections: accepted up to a limit, given up when they bring nothing, and closed on the way down.
//!
//! HTTP/1.1 alone. What a request may take is limited where requests are handled; here it is what a client may
//! take that never sends one.

mod head_timer;

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::startup::Shutdown;
use head_timer::HeadTimer;

/// How long a connection without a request may take to end once the shutdown has begun.
const PATIENCE_WHEN_IDLE: Duration = Duration::from_secs(3);

/// What connections may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Open at the same time; the next one waits to be accepted.
    pub open: usize,
    /// How long a connection may go without a whole request head: idle, or sending one byte after another. Longer
    /// than the minute for which load balancers keep an idle connection, which must be the first to close it.
    pub head: Duration,
    /// Memory for what is read or written ahead, in bytes; the largest request head.
    pub buffer_bytes: usize,
}

impl Default for ConnectionLimits {
    /// As many as three quarters of the files that the process may open: the journal and the views need some too.
    fn default() -> Self {
        let files = usize::try_from(most_files()).unwrap_or(usize::MAX);
        ConnectionLimits {
            open: (files / 4 * 3).clamp(16, 10_000),
            head: Duration::from_secs(75),
            buffer_bytes: 64 * 1024,
        }
    }
}

/// How many files the process may open. The soft limit is for programs that cannot do with more; it is raised.
#[cfg(unix)]
fn most_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(_) => current.unwrap_or(u64::MAX),
    }
}

#[cfg(not(unix))]
fn most_files() -> u64 {
    u64::MAX
}

/// Gives answers without waiting for anything, or none.
pub trait AtOnce: Fn(&Request<Incoming>) -> Option<Response> + Clone + Send + 'static {}

impl<F: Fn(&Request<Incoming>) -> Option<Response> + Clone + Send + 'static> AtOnce for F {}

/// A connection's place among those that may be open: an extension of each of its requests. Whoever takes a connection
/// over for another protocol (a WebSocket) keeps this as long as it is open, and ends when the shutdown begins.
#[derive(Debug, Clone)]
pub struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// Serves until the shutdown begins, and returns when the last connection has ended. What `at_once` has an answer to never
/// comes to the router.
pub async fn serve(
    listener: TcpListener,
    at_once: impl AtOnce,
    router: Router,
    limits: ConnectionLimits,
    shutdown: Shutdown,
) {
    let places = Arc::new(Semaphore::new(limits.open));
    let mut connections = JoinSet::new();
    loop {
        if places.available_permits() == 0 {
            tracing::warn!(open = limits.open, "as many connections as may be open; the next ones wait");
        }
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = shutdown.begun() => break,
        };
        match accepted {
            Ok((stream, _)) => match place {
                Ok(permit) => {
                    let place = Place { _permit: Arc::new(permit) };
                    let (answers, shutdown) = ((at_once.clone(), router.clone()), shutdown.clone());
                    connections.spawn(serve_one(stream, answers, place, limits, shutdown));
                }
                Err(closed) => tracing::error!(%closed, "INTERNAL: there are no places for connections"),
            },
            // The client was gone before it was met.
            Err(error)
                if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted; trying again in a second");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    // Those that were taken over have no task here, only a place.
    let all = u32::try_from(limits.open).unwrap_or(u32::MAX);
    drop(places.acquire_many(all).await);
}

async fn serve_one(
    stream: TcpStream,
    (at_once, router): (impl AtOnce, Router),
    place: Place,
    limits: ConnectionLimits,
    shutdown: Shutdown,
) {
    // Small answers should not wait for company on the wire.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection without TCP_NODELAY");
    }
    // Between the head of a request and the head of its answer.
    let busy = Arc::new(AtomicBool::new(false));
    let service = {
        let busy = Arc::clone(&busy);
        service_fn(move |mut request: Request<Incoming>| {
            let routed = match at_once(&request) {
                Some(answer) => Err(answer),
                None => {
                    request.extensions_mut().insert(place.clone());
                    Ok((router.clone(), request, Arc::clone(&busy)))
                }
            };
            async move {
                let (router, request, busy) = match routed {
                    Ok(routed) => routed,
                    Err(answer) => return Ok(answer),
                };
                busy.store(true, Ordering::Relaxed);
                let answer = router.oneshot(request).await;
                busy.store(false, Ordering::Relaxed);
                answer
            }
        })
    };
    let connection = http1::Builder::new()
        .timer(HeadTimer::default())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.buffer_bytes)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.begun() => {
            connection.as_mut().graceful_shutdown();
            if !busy.load(Ordering::Relaxed) {
                // A head that is half there, or a body that nobody takes, does not hold up the end.
                let ended = tokio::time::timeout(PATIENCE_WHEN_IDLE, connection).await;
                ended.unwrap_or(Ok(()))
            } else {
                connection.await
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Instant;

    use axum::http::StatusCode;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    async fn server(open: usize, head: Duration) -> (SocketAddr, Shutdown, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "hello"));
        let (shutdown, limits) =
            (Shutdown::default(), ConnectionLimits { open, head, buffer_bytes: 16 * 1024 });
        let serving = tokio::spawn(serve(listener, |_: &_| None, router, limits, shutdown.clone()));
        (address, shutdown, serving)
    }

    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") {
            let mut chunk = [0; 1024];
            let count = timeout(SOON, stream.read(&mut chunk)).await.unwrap().unwrap();
            assert!(count > 0, "closed after {answer:?}");
            answer.extend_from_slice(&chunk[..count]);
        }
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn a_client_that_never_ends_its_request_is_given_up() {
        let (address, ..) = server(16, Duration::from_millis(300)).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut slow = TcpStream::connect(address).await.unwrap();
        let started = Instant::now();
        let dripping = async {
            let head = b"GET / HTTP/1.1\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'a'));
            for byte in head {
                if slow.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let mut nothing = Vec::new();
        let (dripped, read) =
            tokio::join!(timeout(SOON, dripping), timeout(SOON, silent.read_to_end(&mut nothing)));
        assert!(dripped.is_ok() && read.is_ok(), "a slow client is served for ever");
        assert!(started.elapsed() >= Duration::from_millis(300));
    }

    #[tokio::test]
    async fn a_client_that_asks_no_more_is_given_up_after_its_last_answer() {
        let (address, ..) = server(16, Duration::from_millis(300)).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        ask(&mut client).await;
        ask(&mut client).await;
        // Its time runs from when the answer was written, a moment before it was read.
        let answered = Instant::now();
        let mut nothing = Vec::new();
        timeout(SOON, client.read_to_end(&mut nothing)).await.expect("given up").unwrap();
        assert!(answered.elapsed() >= Duration::from_millis(200), "{:?}", answered.elapsed());
    }

    #[tokio::test]
    async fn more_connections_than_may_be_open_wait_their_turn() {
        let (address, ..) = server(2, Duration::from_secs(60)).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut first).await.starts_with("HTTP/1.1 200"));
        assert!(ask(&mut second).await.starts_with("HTTP/1.1 200"));
        let mut third = TcpStream::connect(address).await.unwrap();
        let mut asking = pin!(ask(&mut third));
        assert!(timeout(Duration::from_millis(200), asking.as_mut()).await.is_err(), "a third is served");
        drop(first);
        assert!(asking.await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_connection_that_was_taken_over_keeps_its_place_until_it_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = tokio::sync::watch::channel(false);
        let take_over = async move |request: axum::extract::Request| {
            let place = request.extensions().get::<Place>().cloned();
            let mut ended = ended.clone();
            tokio::spawn(async move {
                let taken = hyper::upgrade::on(request).await;
                ended.wait_for(|ended| *ended).await.unwrap();
                drop((taken, place));
            });
            (StatusCode::SWITCHING_PROTOCOLS, [("connection", "upgrade"), ("upgrade", "other")])
        };
        let router = Router::new().route("/", get(async || "hello")).route("/other", get(take_over));
        let (shutdown, limits) = (Shutdown::default(), ConnectionLimits { open: 1, ..Default::default() });
        let serving = tokio::spawn(serve(listener, |_: &_| None, router, limits, shutdown.clone()));
        let mut first = TcpStream::connect(address).await.unwrap();
        let request = b"GET /other HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n";
        first.write_all(request).await.unwrap();
        let mut answer = [0; 12];
        timeout(SOON, first.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101");
        let mut second = TcpStream::connect(address).await.unwrap();
        let mut asking = Box::pin(ask(&mut second));
        assert!(timeout(Duration::from_millis(200), asking.as_mut()).await.is_err(), "a second is served");
        drop(asking);
        shutdown.begin();
        let mut serving = Box::pin(serving);
        assert!(timeout(Duration::from_millis(200), serving.as_mut()).await.is_err(), "it is still open");
        end.send_replace(true);
        timeout(SOON, serving).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn idle_connections_do_not_hold_up_the_end() {
        let (address, shutdown, serving) = server(16, Duration::from_secs(60)).await;
        let _silent = TcpStream::connect(address).await.unwrap();
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
        let mut idle = TcpStream::connect(address).await.unwrap();
        ask(&mut idle).await;
        shutdown.begin();
        timeout(SOON, serving).await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }
}
