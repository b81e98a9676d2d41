//! Shops and PSPs that go on whatever happens to the servers, and remember every answer they were given.
//!
//! Each worker takes orders through checkout, capture and refund. When a connection breaks or the server is not
//! available, it sends the same again under the same key or event id, or now and then gives up and never knows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ledger::commit::Cause;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::client::{Client, Reply, SOURCE, about, checkout, eur};
use crate::log::Log;

/// The wait before something that failed is sent again.
const PAUSE: Duration = Duration::from_millis(20);

/// What was acknowledged: a 202 to a command, or a 200 to a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// The key or event id that was sent.
    pub key: String,
    /// The order, if the answer named it.
    pub order: Option<String>,
    /// Where the answer says that it stands.
    pub position: String,
    /// Whether it was a webhook.
    pub is_webhook: bool,
}

/// What the workers have been told so far.
#[derive(Debug, Default)]
struct Told {
    acknowledged: Vec<Acknowledged>,
    unexpected: Vec<String>,
    abandoned: usize,
    failures: BTreeMap<String, usize>,
}

/// Workers under way.
pub struct Load {
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

/// What the workers were told in all.
#[derive(Debug)]
pub struct Witness {
    /// Every acknowledgement.
    pub acknowledged: Vec<Acknowledged>,
}

impl Load {
    /// Starts a worker on each of these clients.
    pub fn start(clients: impl IntoIterator<Item = Client>, seed: u64) -> Self {
        let (told, stop) = (Arc::new(Mutex::new(Told::default())), Arc::new(AtomicBool::new(false)));
        let workers = clients.into_iter().enumerate().map(|(number, client)| {
            let random = fastrand::Rng::with_seed(seed.wrapping_add(number as u64));
            let worker = Worker { client, random, told: Arc::clone(&told), stop: Arc::clone(&stop) };
            tokio::spawn(worker.work())
        });
        let workers = workers.collect();
        Load { told, stop, workers }
    }

    /// How many acknowledgements there have been so far.
    pub fn acknowledged(&self) -> usize {
        lock(&self.told).acknowledged.len()
    }

    /// Lets every worker finish what it is at, and returns what they were told.
    pub async fn finish(self) -> Witness {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.await.expect("a worker");
        }
        let told = std::mem::take(&mut *lock(&self.told));
        assert_eq!(told.unexpected, Vec::<String>::new(), "answers that no failure explains");
        println!(
            "acknowledged: {}, given up on: {}, failures: {:?}",
            told.acknowledged.len(),
            told.abandoned,
            told.failures
        );
        Witness { acknowledged: told.acknowledged }
    }
}

impl Witness {
    /// Panics unless every acknowledgement is in the log, where it said, and for the cause that it answered.
    pub fn assert_all_is_in(&self, log: &Log) {
        let by_position = log.by_position();
        for acknowledged in &self.acknowledged {
            let found = by_position.get(&acknowledged.position);
            let recorded = found.unwrap_or_else(|| panic!("{acknowledged:?} is not in the log"));
            let cause = match &recorded.commit.cause {
                Cause::Command { key, .. } => (key.as_deref().unwrap_or_default(), false),
                Cause::Webhook { source, event_id, .. } if source == SOURCE => (event_id.as_str(), true),
                Cause::Webhook { .. } | Cause::Timer { .. } => ("", false),
            };
            assert_eq!(cause, (acknowledged.key.as_str(), acknowledged.is_webhook), "{acknowledged:?}");
            if let Some(order) = &acknowledged.order {
                assert_eq!(&recorded.commit.record.to_string(), order, "{acknowledged:?}");
            }
        }
    }
}

struct Worker {
    client: Client,
    random: fastrand::Rng,
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    async fn work(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            // `None`: gave up on this order.
            self.live_through_an_order().await;
        }
    }

    async fn live_through_an_order(&mut self) -> Option<()> {
        let body = checkout(1_000);
        let submitted = self.command("/v1/checkouts", &body).await?;
        let order = submitted.text("/order_id");
        let captured = json!({"amount": eur(1_000), "payment_reference": format!("pay-{order}")});
        self.webhook(&order, "payment.captured", captured).await?;
        let refunds = format!("/v1/orders/{order}/refunds");
        let refund = self.command(&refunds, &json!({"amount": eur(400)})).await?;
        let data = json!({"refund_id": refund.text("/refund_id"), "amount": eur(400), "reference": "r1"});
        self.webhook(&order, "refund.settled", data).await?;
        Some(())
    }

    /// A key that the seed decides, so that a run can be repeated.
    fn key(&mut self) -> String {
        format!("{:032x}", self.random.u128(..))
    }

    async fn command(&mut self, path: &str, body: &Value) -> Option<Reply> {
        let key = self.key();
        let request = |client: &Client| {
            client.request(reqwest::Method::POST, path).header("idempotency-key", &key).json(body)
        };
        let reply = self.insist(202, request).await?;
        let order = Some(reply.text("/order_id"));
        self.remember(Acknowledged {
            key: key.clone(),
            order,
            position: reply.text("/position"),
            is_webhook: false,
        });
        if self.random.u8(..) < 16 {
            // A shop that is not sure asks again, and is told the same.
            let again = self.insist(202, request).await?;
            if again.bytes != reply.bytes {
                self.complain(format!("{} at first, then {}", reply.body(), again.body()));
            }
        }
        Some(reply)
    }

    async fn webhook(&mut self, order: &str, kind: &str, data: Value) -> Option<()> {
        let event_id = self.key();
        let body = serde_json::to_vec(&about(order, kind, data)).expect("JSON");
        let request =
            |client: &Client| client.signed(&event_id, &body, crate::client::now(), client.tenant.secret);
        let reply = self.insist(200, request).await?;
        let (key, order) = (event_id.clone(), Some(order.to_owned()));
        self.remember(Acknowledged { key, order, position: reply.text("/position"), is_webhook: true });
        Some(())
    }

    /// Sends until there is an answer, or no more.
    async fn insist(
        &mut self,
        wanted: u16,
        request: impl Fn(&Client) -> reqwest::RequestBuilder,
    ) -> Option<Reply> {
        loop {
            let failure = match Reply::of(request(&self.client)).await {
                Ok(reply) if reply.status == wanted => return Some(reply),
                Ok(reply) if reply.status == 503 => reply.text("/code"),
                Ok(reply) => {
                    self.complain(format!("{}: {}", reply.status, reply.body()));
                    return None;
                }
                Err(error) if error.is_connect() => "no connection".to_owned(),
                Err(_) => "no answer".to_owned(),
            };
            *lock(&self.told).failures.entry(failure).or_default() += 1;
            let stopping = self.stop.load(Ordering::Relaxed);
            if stopping || self.random.u8(..) < 8 {
                lock(&self.told).abandoned += 1;
                return None;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn remember(&self, acknowledged: Acknowledged) {
        lock(&self.told).acknowledged.push(acknowledged);
    }

    fn complain(&self, what: String) {
        lock(&self.told).unexpected.push(what);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
