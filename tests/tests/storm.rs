//! A storm: thousands of webhooks of three kinds of sender, each sent one to three times, in random order, by many
//! senders at once, over every API process there is, some before their orders. In the end every order stands
//! where it stands when the same webhooks come once, one after the other, as they happened.
//!
//! `DAYBOOK_STORM_WEBHOOKS` says how many (10,000), `DAYBOOK_STORM_SEED` repeats a run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use daybook_tests::client::{ACME, SOURCE, now};
use daybook_tests::psp::{
    ADYEN, STRIPE, adyen_item, adyen_request, adyen_signed, stripe_object, stripe_signature,
};
use daybook_tests::{Client, Kind, Reply, Setup, World, eur};
use futures::future::join_all;
use ledger::ids::{RecordId, TenantId};
use reqwest::Method;
use serde_json::{Value, json};

mod embedded {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_same_webhooks_in_any_order_end_in_the_same_place() {
        // One process has no other to race with: a fifth is enough.
        super::storm(super::World::start(super::Kind::Embedded).await, super::webhooks() / 5).await;
    }
}

mod jetstream_newest {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_same_webhooks_in_any_order_over_two_processes_end_in_the_same_place() {
        let world = super::World::with(super::Kind::JetStreamNewest, super::Setup::two_nodes());
        super::storm(world.await, super::webhooks()).await;
    }
}

mod partitioned {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_same_webhooks_in_any_order_end_in_the_same_place_in_a_log_of_four_partitions() {
        let setup = super::Setup { partitions: 4, ..super::Setup::two_nodes() };
        let world = super::World::with(super::Kind::JetStreamNewest, setup);
        super::storm(world.await, super::webhooks() / 20).await;
    }
}

/// How many send at once.
const SENDERS: usize = 24;
/// How long what waits may take to be applied when all was sent.
const CALM: Duration = Duration::from_secs(120);

/// What each order, by its id, and the tenant's totals come to.
type Ends = (BTreeMap<String, Value>, Value);

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn webhooks() -> usize {
    setting("DAYBOOK_STORM_WEBHOOKS").unwrap_or(10_000) as usize
}

async fn storm(world: World, webhooks: usize) {
    let seed = setting("DAYBOOK_STORM_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("DAYBOOK_STORM_SEED={seed}, {webhooks} webhooks");
    let orders = orders(webhooks);
    let expected = tell_in_order(&orders).await;

    let mut random = fastrand::Rng::with_seed(seed);
    let mut before = Vec::new();
    let mut sent = Vec::new();
    for order in &orders {
        // Some orders are there only after their first webhooks.
        let is_late = random.u8(..) < 26;
        if is_late { &mut sent } else { &mut before }.push(Sent::Checkout(order.clone()));
        for webhook in &order.webhooks {
            sent.extend((0..random.usize(1..=3)).map(|_| Sent::Webhook(webhook.clone())));
        }
    }
    random.shuffle(&mut sent);
    let started = Instant::now();
    in_parallel(&world, before).await;
    let requests = sent.len();
    in_parallel(&world, sent).await;
    println!("{requests} requests in {:?}", started.elapsed());
    let shop = world.client(0, ACME);
    let deadline = Instant::now() + CALM;
    let found = loop {
        // The totals are cheap to ask for, and right once everything is.
        if totals(&shop).await == expected.1 || Instant::now() > deadline {
            let found = ends(&shop).await;
            if found == expected || Instant::now() > deadline {
                break found;
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    for (id, end) in &expected.0 {
        assert_eq!(found.0.get(id), Some(end), "order {id}; DAYBOOK_STORM_SEED={seed}");
    }
    assert_eq!(found, expected, "DAYBOOK_STORM_SEED={seed}");
    println!("calm after {:?}", started.elapsed());
    for server in 1..world.servers.len() {
        let shop = world.client(server, ACME);
        daybook_tests::eventually("the same on every node", async || {
            (ends(&shop).await == expected).then_some(())
        })
        .await;
    }
    world.log().await.assert_nothing_is_there_twice();
}

/// On a server of its own: every order's webhooks once and in the order in which they happened.
async fn tell_in_order(orders: &[Order]) -> Ends {
    let world = World::start(Kind::Embedded).await;
    let started = Instant::now();
    let next = AtomicUsize::new(0);
    let senders = (0..SENDERS).map(|_| async {
        let shop = world.client(0, ACME);
        while let Some(order) = orders.get(next.fetch_add(1, Ordering::Relaxed)) {
            Sent::Checkout(order.clone()).send(&shop).await;
            for webhook in &order.webhooks {
                Sent::Webhook(webhook.clone()).send(&shop).await;
            }
        }
    });
    join_all(senders).await;
    let shop = world.client(0, ACME);
    let ends = ends(&shop).await;
    println!("in order: {} orders in {:?}", orders.len(), started.elapsed());
    assert_eq!(ends.0.len(), orders.len());
    ends
}

async fn in_parallel(world: &World, all: Vec<Sent>) {
    let (all, next) = (Arc::new(all), Arc::new(AtomicUsize::new(0)));
    let senders = (0..SENDERS).map(|sender| {
        let shop = world.client(sender % world.servers.len(), ACME);
        let (all, next) = (Arc::clone(&all), Arc::clone(&next));
        tokio::spawn(async move {
            while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                one.send(&shop).await;
            }
        })
    });
    for sender in join_all(senders).await {
        sender.expect("a sender");
    }
}

/// Status, money and anomalies of every order, and the totals.
async fn ends(shop: &Client) -> Ends {
    let mut orders = BTreeMap::new();
    let mut path = "/v1/orders?limit=100".to_owned();
    loop {
        let page = shop.get(&path).await.expect(200).json();
        for order in page["orders"].as_array().expect("orders") {
            let anomalies = order["anomalies"].as_array().expect("anomalies");
            let codes: Vec<&Value> = anomalies.iter().map(|anomaly| &anomaly["code"]).collect();
            let mut balance = order["balance"].clone();
            balance["position"].take();
            let end = json!({"status": order["status"], "balance": balance, "anomalies": codes});
            orders.insert(order["order_id"].as_str().expect("an id").to_owned(), end);
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/orders?limit=100&cursor={cursor}");
    }
    (orders, totals(shop).await)
}

async fn totals(shop: &Client) -> Value {
    shop.get("/v1/totals").await.expect(200).json()["totals"].clone()
}

/// An order and all that is reported of it, in the order in which it happened.
#[derive(Clone)]
struct Order {
    key: String,
    checkout: Value,
    webhooks: Vec<Webhook>,
}

/// A webhook before it is signed.
#[derive(Clone)]
struct Webhook {
    source: &'static str,
    event_id: String,
    body: Arc<[u8]>,
}

enum Sent {
    Checkout(Order),
    Webhook(Webhook),
}

impl Sent {
    /// Sends it until it is taken: a PSP sends again what was answered with 503.
    async fn send(&self, shop: &Client) {
        let deadline = Instant::now() + CALM;
        loop {
            let reply = match self {
                Sent::Checkout(order) => {
                    let request = shop.request(Method::POST, "/v1/checkouts").json(&order.checkout);
                    Reply::to(request.header("idempotency-key", &order.key)).await
                }
                Sent::Webhook(webhook) => Reply::to(webhook.signed(shop)).await,
            };
            match reply.status {
                200 | 202 => return,
                503 if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(50)).await,
                status => panic!("{status}: {}", reply.body()),
            }
        }
    }
}

impl Webhook {
    fn signed(&self, shop: &Client) -> reqwest::RequestBuilder {
        match self.source {
            SOURCE => shop.signed(&self.event_id, &self.body, now(), ACME.secret),
            STRIPE => {
                let signature = stripe_signature(now(), &self.body);
                shop.to_source(STRIPE, self.body.to_vec()).header("stripe-signature", signature)
            }
            source => shop.to_source(source, self.body.to_vec()),
        }
    }
}

/// As many orders as come to at least `webhooks` webhooks, through every story in turn.
fn orders(webhooks: usize) -> Vec<Order> {
    let tenant: TenantId = ACME.id.parse().expect("a tenant");
    let mut orders: Vec<Order> = Vec::new();
    let mut count = 0;
    while count < webhooks {
        let number = orders.len();
        let key = format!("storm-{number}");
        let story = Teller {
            number,
            order: RecordId::for_key(&tenant, "checkout", &key).to_string(),
            amount: 1_000 + 7 * number as i64,
            webhooks: Vec::new(),
        };
        let story = STORIES[number % STORIES.len()](story);
        let checkout = json!({"amount": eur(story.amount), "merchant_reference": story.merchant()});
        count += story.webhooks.len();
        orders.push(Order { key, checkout, webhooks: story.webhooks });
    }
    orders
}

/// Tells what happened to one order.
struct Teller {
    number: usize,
    order: String,
    amount: i64,
    webhooks: Vec<Webhook>,
}

const STORIES: [fn(Teller) -> Teller; 12] = [
    paid_refunded_and_disputed,
    known_by_its_references,
    refused_and_paid_with_another_card,
    voided,
    lapsed,
    refused,
    captured_and_taken_back,
    paid_through_stripe,
    paid_by_a_charge_of_stripes,
    refused_by_stripe_and_paid,
    paid_through_adyen,
    canceled_through_adyen,
];

impl Teller {
    fn merchant(&self) -> String {
        format!("S-{}", self.number)
    }

    fn name(&self, what: &str) -> String {
        format!("{what}_{}", self.number)
    }

    fn push(mut self, source: &'static str, event_id: String, body: &Value) -> Self {
        let body = body.to_string().into_bytes().into();
        self.webhooks.push(Webhook { source, event_id, body });
        self
    }

    fn event_id(&self) -> String {
        format!("evt_{}_{}", self.number, self.webhooks.len())
    }

    /// A Standard Webhook about the order, by its id.
    fn says(self, kind: &str, data: Value) -> Self {
        let mut data = data;
        data["order_id"] = self.order.clone().into();
        self.says_only(kind, data)
    }

    fn says_only(self, kind: &str, data: Value) -> Self {
        let event_id = self.event_id();
        self.push(SOURCE, event_id, &json!({"type": kind, "data": data}))
    }

    fn stripe(self, kind: &str, object: &str, over: Value) -> Self {
        let event_id = self.event_id();
        let object = stripe_object(object, over);
        let over = json!({"id": event_id, "type": kind, "data": {"object": object}});
        self.push(STRIPE, event_id, &stripe_object("event", over))
    }

    /// Something of the intent: it names the order by its id.
    fn intent(self, kind: &str, mut over: Value) -> Self {
        over["id"] = self.name("pi").into();
        over["currency"] = "eur".into();
        over["metadata"] = json!({"order_id": self.order});
        self.stripe(kind, "payment_intent", over)
    }

    /// Something that names the intent alone.
    fn of_intent(self, kind: &str, object: &str, mut over: Value) -> Self {
        over["payment_intent"] = self.name("pi").into();
        over["currency"] = "eur".into();
        self.stripe(kind, object, over)
    }

    fn adyen(self, items: &[(&str, &str, &str, i64, &str)]) -> Self {
        let items = items.iter().map(|(name, code, reference, amount, success)| {
            let mut item = adyen_item(
                name,
                json!({
                    "eventCode": code, "success": success, "pspReference": self.name(reference),
                    "originalReference": self.name("PSP"), "amount": {"value": amount, "currency": "EUR"},
                }),
            );
            // The shop's reference is on what the shop asked for; the others are known by the payment.
            let by_payment = ["CHARGEBACK", "REFUND"].contains(name);
            item["merchantReference"] = if by_payment { String::new() } else { self.order.clone() }.into();
            adyen_signed(item)
        });
        let body = adyen_request(&items.collect::<Vec<_>>());
        let event_id = self.event_id();
        self.push(ADYEN, event_id, &body)
    }
}

fn paid_refunded_and_disputed(story: Teller) -> Teller {
    let (amount, pay) = (story.amount, story.name("pay"));
    let data = |of: Value| {
        let mut data = json!({"payment_reference": pay});
        of.as_object().expect("an object").iter().for_each(|(name, value)| data[name] = value.clone());
        data
    };
    let moved = |minor: i64, reference: &str| data(json!({"amount": eur(minor), "reference": reference}));
    story
        .says("payment.action_required", data(json!({"challenge": {"url": "https://bank.example"}})))
        .says("payment.authorized", data(json!({"amount": eur(amount)})))
        .says("payment.captured", moved(600, "c1"))
        .says("payment.captured", moved(amount - 600, "c2"))
        .says("payment.captured", moved(600, "c1"))
        .says("refund.settled", moved(100, "r1"))
        .says("refund.settled", moved(150, "r2"))
        .says("refund.failed", moved(150, "r2"))
        .says("risk.reviewed", json!({}))
        .says("chargeback.opened", moved(400, "d1"))
        .says("chargeback.won", moved(400, "d1"))
        .says("chargeback.opened", moved(200, "d2"))
        .says("chargeback.lost", moved(200, "d2"))
}

fn known_by_its_references(story: Teller) -> Teller {
    let (amount, pay, merchant) = (story.amount, story.name("pay"), story.merchant());
    let moved =
        |reference: &str| json!({"payment_reference": pay, "amount": eur(300), "reference": reference});
    let both = json!({"payment_reference": pay, "merchant_reference": merchant, "amount": eur(amount)});
    story
        .says_only("payment.authorized", both.clone())
        .says_only(
            "payment.captured",
            json!({"payment_reference": pay, "amount": eur(amount), "reference": "c1"}),
        )
        .says_only("refund.settled", moved("r1"))
        .says_only("refund.settled", moved("r2"))
        .says_only("refund.settled", moved("r2"))
        .says_only("risk.reviewed", json!({"merchant_reference": merchant}))
        .says_only("payout.created", json!({}))
}

fn refused_and_paid_with_another_card(story: Teller) -> Teller {
    let amount = eur(story.amount);
    let (first, second) = (story.name("first"), story.name("second"));
    story
        .says("payment.failed", json!({"payment_reference": first, "reason": "card_declined"}))
        .says("payment.authorized", json!({"payment_reference": second, "amount": amount}))
        .says("payment.captured", json!({"payment_reference": second, "amount": amount, "reference": "c1"}))
}

fn voided(story: Teller) -> Teller {
    let (amount, pay) = (eur(story.amount), story.name("pay"));
    story
        .says("payment.authorized", json!({"payment_reference": pay, "amount": amount}))
        .says("payment.voided", json!({"payment_reference": pay}))
}

fn lapsed(story: Teller) -> Teller {
    let (amount, pay) = (eur(story.amount), story.name("pay"));
    story
        .says("payment.authorized", json!({"payment_reference": pay, "amount": amount}))
        .says("payment.authorization_expired", json!({"payment_reference": pay}))
}

fn refused(story: Teller) -> Teller {
    let pay = story.name("pay");
    story
        .says("payment.action_required", json!({"payment_reference": pay, "challenge": {"html": "<form>"}}))
        .says("payment.failed", json!({"payment_reference": pay, "reason": "challenge_failed"}))
}

fn captured_and_taken_back(story: Teller) -> Teller {
    let pay = story.name("pay");
    let capture = json!({"payment_reference": pay, "amount": eur(story.amount), "reference": "c1"});
    story.says("payment.captured", capture.clone()).says("payment.capture_failed", capture)
}

fn paid_through_stripe(story: Teller) -> Teller {
    let (amount, charge) = (story.amount, story.name("ch"));
    let (re1, re2, dispute) = (story.name("re1"), story.name("re2"), story.name("du"));
    let refund =
        |id: &str, status: &str| json!({"id": id, "amount": 250, "charge": charge, "status": status});
    let disputed = |status: &str| json!({"id": dispute, "object": "dispute", "amount": 300, "charge": charge, "status": status, "reason": "general"});
    let paid = json!({"id": charge, "amount": amount, "amount_captured": amount, "captured": true});
    story
        .intent("payment_intent.created", json!({}))
        .intent("payment_intent.requires_action", json!({"next_action": {"type": "use_stripe_sdk"}}))
        .of_intent("charge.succeeded", "charge", paid.clone())
        .intent("payment_intent.succeeded", json!({"amount_received": amount, "latest_charge": charge}))
        .of_intent("refund.created", "refund", refund(&re1, "pending"))
        .of_intent("refund.updated", "refund", refund(&re1, "succeeded"))
        .of_intent("charge.refund.updated", "refund", refund(&re1, "succeeded"))
        .of_intent("charge.refunded", "charge", paid)
        .of_intent("refund.created", "refund", refund(&re2, "succeeded"))
        .of_intent("refund.failed", "refund", refund(&re2, "failed"))
        .of_intent("charge.dispute.created", "refund", disputed("needs_response"))
        .of_intent("charge.dispute.funds_withdrawn", "refund", disputed("needs_response"))
        .of_intent("charge.dispute.closed", "refund", disputed("lost"))
        .stripe("plan.created", "event", json!({}))
}

fn paid_by_a_charge_of_stripes(story: Teller) -> Teller {
    let (amount, charge, merchant) = (story.amount, story.name("ch"), story.merchant());
    let of_charge = |captured: i64| {
        json!({
            "id": charge, "amount": amount, "amount_captured": captured, "captured": captured > 0, "currency": "eur",
            "metadata": {"merchant_reference": merchant},
        })
    };
    let refund = json!({"id": story.name("re"), "amount": amount, "charge": charge, "currency": "eur"});
    story
        .stripe("charge.succeeded", "charge", of_charge(0))
        .stripe("charge.captured", "charge", of_charge(amount))
        .stripe("refund.created", "refund", refund)
}

fn refused_by_stripe_and_paid(story: Teller) -> Teller {
    let (amount, charge) = (story.amount, story.name("ch"));
    let error = json!({"code": "card_declined", "charge": story.name("refused")});
    story
        .intent("payment_intent.payment_failed", json!({"last_payment_error": error}))
        .intent("payment_intent.amount_capturable_updated", json!({"amount_capturable": amount}))
        .intent("payment_intent.succeeded", json!({"amount_received": amount, "latest_charge": charge}))
}

fn paid_through_adyen(story: Teller) -> Teller {
    let amount = story.amount;
    story
        .adyen(&[("AUTHORISATION", "AUTHORISATION", "PSP", amount, "true")])
        .adyen(&[
            ("CAPTURE", "CAPTURE", "C1", 400, "true"),
            ("CAPTURE", "CAPTURE", "C2", amount - 400, "true"),
            ("CAPTURE", "CAPTURE", "C3", 10, "false"),
        ])
        .adyen(&[("REFUND", "REFUND", "R1", 300, "true")])
        .adyen(&[("REFUND", "REFUND", "R2", 200, "false")])
        .adyen(&[("REFUND", "REFUND", "R3", 100, "true")])
        .adyen(&[("REFUND", "REFUND_FAILED", "R3", 100, "true")])
        .adyen(&[("CHARGEBACK", "NOTIFICATION_OF_CHARGEBACK", "D1", 250, "true")])
        .adyen(&[("CHARGEBACK", "CHARGEBACK", "D1", 250, "true")])
        .adyen(&[("CHARGEBACK", "CHARGEBACK_REVERSED", "D1", 250, "true")])
        .adyen(&[("CHARGEBACK", "SECOND_CHARGEBACK", "D1", 250, "true")])
}

fn canceled_through_adyen(story: Teller) -> Teller {
    let amount = story.amount;
    story.adyen(&[("AUTHORISATION", "AUTHORISATION", "PSP", amount, "true")]).adyen(&[(
        "CANCELLATION",
        "CANCELLATION",
        "M1",
        amount,
        "true",
    )])
}
