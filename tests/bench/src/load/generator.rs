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
fn due(number: usize, rate: u64) -> Duration {
    Duration::from_nanos((number as u64).saturating_mul(1_000_000_000) / rate)
}

/// Sends the load that is on standard input, and prints what it saw.
pub(crate) async fn generate() {
    let load: Load = serde_json::from_reader(std::io::stdin().lock()).expect("a load");
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
    let mut windows = shared.load.window.map(tokio::time::interval);
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
            _ = tick => if window.elapsed() >= Duration::from_millis(1) {
                print(&shared.window(window.elapsed()));
                window = Instant::now();
            },
        }
    }
    print(&shared.window(window.elapsed()));
}

fn print(round: &Round) {
    println!("{}", serde_json::to_string(round).expect("JSON"));
    std::io::stdout().flush().expect("somebody who reads");
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
