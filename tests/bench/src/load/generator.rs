//! What the load's own process does.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Connection, Load, Requests, Round, histogram};

/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What all connections share.
struct Shared {
    load: Load,
    /// The number of the next request.
    next: AtomicUsize,
    /// Open loop: a permit for each request that is due.
    due: Semaphore,
    started: Instant,
    seen: Mutex<Histogram<u64>>,
}

impl Shared {
    /// The number of a request to send now, and from when its latency counts. None at the end.
    async fn turn(&self) -> Option<(usize, Instant)> {
        if self.load.rate.is_some() {
            self.due.acquire().await.ok()?.forget();
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let since = match self.load.rate {
            Some(rate) => self.started + due(number, rate),
            None => Instant::now(),
        };
        let late = since >= self.started + self.load.length;
        let over = match (&self.load.requests, self.load.rate) {
            (Requests::Once(all), None) => number >= all.len(),
            (Requests::Once(all), Some(_)) => late || number >= all.len(),
            (Requests::Unique { .. } | Requests::InTurn(_), _) => late,
        };
        (!over).then_some((number, since))
    }

    fn record(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros);
    }

    /// What was seen since the last call.
    fn window(&self, elapsed: Duration) -> Round {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let latency = std::mem::replace(&mut *seen, histogram());
        Round { answers: latency.len(), elapsed, latency }
    }
}

/// When request `number` of an open loop is due.
pub(crate) fn due(number: usize, rate: u64) -> Duration {
    Duration::from_nanos((number as u64).saturating_mul(1_000_000_000) / rate)
}

/// Sends the load that is on standard input, and prints what it saw.
pub(crate) async fn generate() {
    let load: Load = serde_json::from_reader(std::io::stdin().lock()).expect("a load");
    drive(load, |round| {
        println!("{}", serde_json::to_string(&round).expect("JSON"));
        std::io::stdout().flush().expect("somebody who reads");
    })
    .await;
}

/// Sends a load, and hands over what each window saw.
async fn drive(load: Load, mut saw: impl FnMut(Round)) {
    let mut connections = Vec::new();
    for _ in 0..load.connections {
        connections.push(Connection::open(&load.address).await);
    }
    let shared = Arc::new(Shared {
        load,
        next: AtomicUsize::new(0),
        due: Semaphore::new(0),
        started: Instant::now(),
        seen: Mutex::new(histogram()),
    });
    if let Some(rate) = shared.load.rate {
        let shared = Arc::clone(&shared);
        std::thread::spawn(move || pace(&shared, rate));
    }
    let mut workers = JoinSet::new();
    for connection in connections {
        workers.spawn(worker(connection, Arc::clone(&shared)));
    }
    let mut window = Instant::now();
    let mut windows =
        shared.load.window.map(|every| tokio::time::interval_at((window + every).into(), every));
    loop {
        let tick = async {
            match &mut windows {
                Some(windows) => windows.tick().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = workers.join_next() => match ended {
                Some(ended) => ended.expect("a connection that holds"),
                None => break,
            },
            _ = tick => {
                saw(shared.window(window.elapsed()));
                window = Instant::now();
            },
        }
    }
    saw(shared.window(window.elapsed()));
}

/// Gives a permit for each request when it is due. A thread of its own, because the runtime's timers count in
/// milliseconds.
fn pace(shared: &Shared, rate: u64) {
    let length = shared.load.length;
    let mut given: usize = 0;
    loop {
        let elapsed = shared.started.elapsed().min(length);
        let target =
            usize::try_from(elapsed.as_nanos() * u128::from(rate) / 1_000_000_000).unwrap_or(given) + 1;
        shared.due.add_permits(target.saturating_sub(given));
        given = target;
        if elapsed >= length {
            break;
        }
        let next = shared.started + due(given, rate);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    // A permit too many for each connection: it finds the time over.
    shared.due.add_permits(shared.load.connections);
}

async fn worker(mut connection: Connection, shared: Arc<Shared>) {
    let mut random = fastrand::Rng::new();
    let mut buffer = match &shared.load.requests {
        Requests::Unique { template, .. } => template.as_bytes().to_vec(),
        Requests::InTurn(_) | Requests::Once(_) => Vec::new(),
    };
    while let Some((number, since)) = shared.turn().await {
        let request: &[u8] = match &shared.load.requests {
            Requests::Unique { at, .. } => {
                let digits = format!("{:032x}", random.u128(..));
                buffer[*at..at + 32].copy_from_slice(digits.as_bytes());
                &buffer
            }
            Requests::InTurn(all) => all[number % all.len()].as_bytes(),
            Requests::Once(all) => all[number].as_bytes(),
        };
        let answer = tokio::time::timeout(PATIENCE, connection.exchange(request)).await;
        let status = answer.unwrap_or_else(|_| panic!("no answer within {PATIENCE:?}"));
        assert_eq!(status, shared.load.expected, "{}", String::from_utf8_lossy(&connection.buffer));
        shared.record(since.elapsed());
    }
}

/// Waits until a moment more exactly than the runtime's timers do.
pub(crate) async fn wait_until(moment: Instant) {
    let sleep = move || std::thread::sleep(moment.saturating_duration_since(Instant::now()));
    tokio::task::spawn_blocking(sleep).await.expect("a sleep");
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::load::render;

    /// A server that answers at once, but lets the first request of each connection wait for so long.
    async fn stalling(stall: Duration) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = [0; 1024];
                    let mut stall = Some(stall);
                    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                        tokio::time::sleep(stall.take().unwrap_or_default()).await;
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                        stream.write_all(answer).await.expect("a client");
                    }
                });
            }
        });
        address
    }

    async fn saw(load: Load) -> Round {
        let mut rounds = Vec::new();
        drive(load, |round| rounds.push(round)).await;
        assert_eq!(rounds.len(), 1, "one window");
        rounds.remove(0)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_open_loop_counts_those_who_had_to_wait_behind_a_stall() {
        let address = stalling(Duration::from_secs(1)).await;
        let requests = Requests::InTurn(vec![render("GET", "/", "", "")]);
        let load = Load::closed(&address, &requests, 1, Duration::from_secs(2));
        let closed = saw(load.clone()).await;
        let slow = |round: &Round| round.latency.len() - round.latency.count_between(0, 500_000);
        assert_eq!(slow(&closed), 1, "a closed loop sees the stall once");
        let open = saw(load.open(100)).await;
        assert_eq!(open.answers, 200, "all that was due was sent");
        assert!(slow(&open) >= 50, "only {} of those that were due during the stall", slow(&open));
        assert!(open.latency.max() >= 990_000, "{}", open.latency.max());
    }

    #[tokio::test]
    async fn what_is_sent_once_is_sent_once() {
        let address = stalling(Duration::ZERO).await;
        let requests = Requests::Once(vec![render("GET", "/", "", ""); 250]);
        let seen = saw(Load::closed(&address, &requests, 8, Duration::from_secs(60))).await;
        assert_eq!(seen.answers, 250);
    }

    #[test]
    fn a_histogram_survives_the_way_through_json() {
        let mut round = Round { answers: 3, elapsed: Duration::from_secs(1), latency: histogram() };
        for micros in [1, 1_234, 59_000_000] {
            round.latency.record(micros).expect("a value in bounds");
        }
        let json = serde_json::to_string(&round).expect("JSON");
        let read: Round = serde_json::from_str(&json).expect("what was written");
        assert_eq!(read.latency, round.latency);
    }
}
