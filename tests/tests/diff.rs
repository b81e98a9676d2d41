//! A projection with a mistake in it, from the day that it is noticed: `daybook diff` lists exactly the orders that
//! it had wrong, with the exact sums; a rebuild mends them; the generation before still shows what was wrong.
//!
//! The truth is worked out here from what each order was made of, not by Daybook.

use std::collections::BTreeMap;
use std::process::Output;
use std::sync::Arc;

use daybook_tests::{Reply, Setup, World, checkout};
use futures::StreamExt;
use ledger::commit::{Cause, Changes};
use ledger::execute::{Ledger, Outcome, Request, RetryPolicy};
use ledger::ids::{RecordId, RequestHash, TenantId};
use ledger::journal::Journal;
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use ledger::journal::jetstream::{JetStreamConfig, JetStreamJournal};
use ledger::money::Money;
use ledger::order::{CaptureMode, Checkout, Command, Event, Fact, Movement, Notification, Order};
use projections::rules::{Release, Rules, fold_by};
use projections::views::order;
use reqwest::Method;
use serde_json::{Value, json};

daybook_tests::in_each_world!(
    crate::administered();
    the_orders_that_an_earlier_release_had_wrong_are_listed_and_mended,
    the_orders_that_this_release_had_wrong_are_listed_and_mended,
    a_running_server_compares_what_it_has_open,
    a_running_server_is_in_the_way_and_what_is_asked_wrongly_is_refused,
);

const ADMIN_KEY: &str = "an admin key for tests alone, long enough";

fn administered() -> Setup {
    Setup { config: format!("admin.key = \"{ADMIN_KEY}\"\n"), ..Setup::default() }
}

/// Repeats the same log every time.
const SEED: u64 = 20_260_117;
const ORDERS: usize = 300;
/// Orders written at the same time.
const WRITERS: usize = 32;
const PLACES: [(&str, &str); 4] = [("acme", "EUR"), ("acme", "JPY"), ("globex", "EUR"), ("globex", "KWD")];

/// The mistake: a capture forgets the ones before it, and a refund after a chargeback is counted twice.
fn mistaken() -> Rules {
    Rules {
        order: |view, recorded| {
            let mut view = order::apply(view, recorded)?;
            let Changes::Order(events) = &recorded.commit.changes else { return Ok(view) };
            for attempt in &mut view.order.attempts {
                let forgotten = attempt.captures.len().saturating_sub(1);
                attempt.captures.drain(..forgotten);
                for event in events {
                    if let Event::RefundSettled { reference, amount, .. } = event
                        && !attempt.disputes.is_empty()
                    {
                        attempt.refunds.push(Movement {
                            id: None,
                            reference: Some(format!("{reference} again")),
                            amount_minor: amount.minor(),
                            settled: true,
                            failure: None,
                        });
                    }
                }
            }
            Ok(view)
        },
    }
}

/// What an order is made of, in this order.
struct Plan {
    tenant: TenantId,
    currency: &'static str,
    authorized: i64,
    captures: Vec<i64>,
    charged_back: Option<i64>,
    refunds: Vec<i64>,
}

/// Figures by name.
type Figures = BTreeMap<&'static str, i64>;

impl Plan {
    fn random(random: &mut fastrand::Rng) -> Self {
        let (tenant, currency) = PLACES[random.usize(..PLACES.len())];
        let authorized = random.i64(10_000..1_000_000);
        // Two in three are captured at once, one in four is disputed, and half are refunded.
        let captures = match random.u8(..6) {
            0 => Vec::new(),
            1 => (0..random.usize(2..4)).map(|_| random.i64(1..authorized / 4)).collect(),
            _ => vec![authorized],
        };
        let captured: i64 = captures.iter().sum();
        let charged_back = (captured > 0 && random.u8(..4) == 0).then(|| random.i64(1..=captured / 4 + 1));
        let refunds = match captured > 0 && random.bool() {
            true => (0..random.usize(1..3)).map(|_| random.i64(1..=captured / 4 + 1)).collect(),
            false => Vec::new(),
        };
        let tenant = tenant.parse().expect("a tenant");
        Plan { tenant, currency, authorized, captures, charged_back, refunds }
    }

    fn facts(&self, name: &str) -> Vec<Fact> {
        let money = |minor| Money::of(minor, self.currency.parse().expect("a currency")).expect("money");
        let mut facts = vec![Fact::Authorized { amount: money(self.authorized) }];
        facts.extend(self.captures.iter().enumerate().map(|(n, &minor)| Fact::Captured {
            capture_id: None,
            reference: format!("{name}-c{n}"),
            amount: money(minor),
        }));
        facts.extend(self.charged_back.map(|minor| Fact::ChargebackOpened {
            reference: format!("{name}-d"),
            amount: money(minor),
            reason: "fraud".to_owned(),
        }));
        facts.extend(self.refunds.iter().enumerate().map(|(n, &minor)| Fact::RefundSettled {
            refund_id: None,
            reference: format!("{name}-r{n}"),
            amount: money(minor),
        }));
        facts
    }

    fn is_mistaken(&self) -> bool {
        self.captures.len() > 1 || (self.charged_back.is_some() && !self.refunds.is_empty())
    }

    /// The order's figures, right or as the mistake has them.
    fn figures(&self, mistaken: bool) -> Figures {
        let charged_back = self.charged_back.unwrap_or(0);
        let captured = match mistaken {
            true => self.captures.last().copied().unwrap_or(0),
            false => self.captures.iter().sum(),
        };
        let twice = if mistaken && self.charged_back.is_some() { 2 } else { 1 };
        let refunded = twice * self.refunds.iter().sum::<i64>();
        let left = (captured - refunded - charged_back).max(0);
        BTreeMap::from([
            ("authorized_minor", self.authorized),
            ("captured_minor", captured),
            ("capture_pending_minor", 0),
            ("refunded_minor", refunded),
            ("refund_pending_minor", 0),
            ("charged_back_minor", charged_back),
            ("balance_minor", left),
            ("available_to_capture_minor", 0),
            ("available_to_refund_minor", left),
        ])
    }

    fn checkout(&self, name: &str) -> Checkout {
        Checkout {
            amount: Money::of(self.authorized, self.currency.parse().expect("a currency")).expect("money"),
            merchant_reference: name.to_owned(),
            capture: CaptureMode::Automatic,
            payment_method: None,
            items: Vec::new(),
            customer: Default::default(),
            return_urls: Default::default(),
            metadata: Default::default(),
            expires_at: jiff::Timestamp::MAX,
            surface: Default::default(),
        }
    }
}

async fn journal(world: &World) -> Arc<dyn Journal> {
    match &world.nats {
        Some(nats) => {
            let journal = JetStreamJournal::connect(JetStreamConfig::new(nats.url())).await;
            Arc::new(journal.expect("the journal opens"))
        }
        None => {
            let path = world.data_dir(0).join("journal.sqlite");
            let journal = EmbeddedJournal::open(path, EmbeddedOptions::default()).await;
            Arc::new(journal.expect("the journal opens"))
        }
    }
}

/// Writes one order as planned.
async fn write(ledger: &Ledger, plan: &Plan, id: RecordId) {
    let name = id.to_string();
    let mut commands = vec![(
        Cause::Command {
            operation: "checkout".to_owned(),
            key: Some(name.clone()),
            request_hash: RequestHash::of(name.as_bytes()),
        },
        Command::Submit(Box::new(plan.checkout(&name))),
    )];
    for (n, fact) in plan.facts(&name).into_iter().enumerate() {
        let cause = Cause::Webhook {
            source: "psp".to_owned(),
            event_id: format!("{name}-{n}"),
            body: b"{}".to_vec().into(),
        };
        let payment_reference = Some(format!("pay-{name}"));
        let notification = Notification { payment_reference, attempt: None, fact };
        commands.push((cause, Command::Record(notification)));
    }
    for (cause, command) in commands {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let request = Request { tenant: plan.tenant.clone(), record: id, cause, command, at, is_new: false };
        let outcome = ledger.execute::<Order>(request).await.expect("it is stored");
        assert!(matches!(outcome, Outcome::Committed(_)), "{name}");
    }
}

/// Fills the log, and leaves the views that the mistake makes of it.
async fn mistaken_world(world: &mut World, release: Release) -> BTreeMap<String, Plan> {
    world.servers[0].stop().await;
    let mut random = fastrand::Rng::with_seed(SEED);
    let plans: Vec<(RecordId, Plan)> = (0..ORDERS)
        .map(|_| {
            (
                RecordId(uuid::Builder::from_random_bytes(random.u128(..).to_be_bytes()).into_uuid()),
                Plan::random(&mut random),
            )
        })
        .collect();
    let journal = journal(world).await;
    let ledger = Ledger::new(Arc::clone(&journal), RetryPolicy::default());
    futures::stream::iter(&plans).for_each_concurrent(WRITERS, |(id, plan)| write(&ledger, plan, *id)).await;
    let views = world.data_dir(0).join("views");
    std::fs::remove_dir_all(&views).expect("the server made its views");
    fold_by(mistaken(), journal.as_ref(), &views, release).await.expect("the log can be folded");
    plans.into_iter().map(|(id, plan)| (id.to_string(), plan)).collect()
}

#[track_caller]
fn printed(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// The lines of `--json`, by their type.
#[track_caller]
fn lines(output: &Output, code: i32) -> BTreeMap<String, Vec<Value>> {
    let mut lines: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in printed(output, code).lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let kind = line["type"].as_str().expect("a type").to_owned();
        lines.entry(kind).or_default().push(line);
    }
    assert_eq!(lines["end"].len(), 1, "there is one end");
    lines
}

/// Holds what a comparison lists and sums up against what the orders were made of.
#[track_caller]
fn assert_lists_the_mistake(lines: &BTreeMap<String, Vec<Value>>, plans: &BTreeMap<String, Plan>) {
    let mistaken: BTreeMap<&str, &Plan> =
        plans.iter().filter(|(_, plan)| plan.is_mistaken()).map(|(id, plan)| (id.as_str(), plan)).collect();
    assert!(mistaken.len() > 50 && mistaken.len() < ORDERS / 2, "{} orders are mistaken", mistaken.len());
    let listed: BTreeMap<&str, &Value> =
        lines["order"].iter().map(|line| (line["order_id"].as_str().expect("an id"), line)).collect();
    assert_eq!(listed.len(), lines["order"].len(), "each order is listed once");
    assert_eq!(listed.keys().collect::<Vec<_>>(), mistaken.keys().collect::<Vec<_>>());
    for (id, line) in &listed {
        let plan = mistaken[id];
        assert_eq!(
            (&line["tenant"], &line["currency"]),
            (&json!(plan.tenant.as_str()), &json!(plan.currency))
        );
        let (wrong, right) = (plan.figures(true), plan.figures(false));
        let differing: BTreeMap<&str, (i64, i64)> = right
            .iter()
            .map(|(name, right)| (*name, (wrong[name], *right)))
            .filter(|(_, (wrong, right))| wrong != right)
            .collect();
        let fields = line["fields"].as_array().expect("fields");
        let told: BTreeMap<&str, (i64, i64)> = fields
            .iter()
            .filter(|field| right.contains_key(field["field"].as_str().expect("a name")))
            .map(|field| {
                let minor = |side: &str| field[side].as_i64().expect("minor units");
                (field["field"].as_str().expect("a name"), (minor("from"), minor("to")))
            })
            .collect();
        assert_eq!(told, differing, "{id}");
    }

    let mut sums: BTreeMap<(&str, &str), (i64, Figures)> = BTreeMap::new();
    for plan in mistaken.values() {
        let (orders, more) = sums.entry((plan.tenant.as_str(), plan.currency)).or_default();
        *orders += 1;
        let wrong = plan.figures(true);
        for (name, right) in plan.figures(false) {
            *more.entry(name).or_default() += right - wrong[name];
        }
    }
    let told: BTreeMap<(&str, &str), (i64, Figures)> = lines["sum"]
        .iter()
        .map(|line| {
            let place =
                (line["tenant"].as_str().expect("a tenant"), line["currency"].as_str().expect("a code"));
            let names = sums.values().next().expect("a sum").1.keys();
            let figures = names.map(|name| (*name, line[*name].as_i64().expect("minor units"))).collect();
            (place, (line["orders"].as_i64().expect("a number"), figures))
        })
        .collect();
    assert_eq!(told, sums);

    let end = &lines["end"][0];
    assert_eq!(end["orders_compared"], json!(ORDERS));
    assert_eq!(end["orders_differ"], json!(mistaken.len()));
    assert_eq!((&end["orders_newer"], &end["orders_unreadable"]), (&json!(0), &json!(0)));
    assert_eq!((&end["same"], &end["rows_compared"]), (&json!(false), &json!(true)));
    let totals = lines["rows"].iter().find(|line| line["kind"] == "totals").expect("totals differ too");
    assert_eq!(totals["changed"], json!(sums.len()));
}

/// The sums of one figure from a spreadsheet, by tenant and currency.
fn csv_sums(csv: &str, figure: &str) -> BTreeMap<(String, String), i64> {
    let mut sums = BTreeMap::new();
    for line in csv.lines().skip(1) {
        // Nothing in front of the field's name is ever quoted, and neither are numbers.
        let cells: Vec<&str> = line.split(',').collect();
        if cells[6] == figure {
            let more: i64 = cells[9].parse().expect("a number");
            *sums.entry((cells[0].to_owned(), cells[5].to_owned())).or_default() += more;
        }
    }
    sums
}

async fn the_orders_that_an_earlier_release_had_wrong_are_listed_and_mended(world: World) {
    the_orders_that_were_wrong_are_listed_and_mended(world, Release::Earlier).await;
}

async fn the_orders_that_this_release_had_wrong_are_listed_and_mended(world: World) {
    the_orders_that_were_wrong_are_listed_and_mended(world, Release::This).await;
}

async fn the_orders_that_were_wrong_are_listed_and_mended(mut world: World, release: Release) {
    let plans = mistaken_world(&mut world, release).await;

    // Before anything is mended, and without mending anything.
    let before = lines(&world.run("diff", &["--json"]).await, 3);
    assert_lists_the_mistake(&before, &plans);
    let sides = &before["sides"][0];
    let is_this = json!(release == Release::This);
    assert_eq!((&sides["from"]["generation"], &sides["from"]["this_version"]), (&json!(1), &is_this));
    assert_eq!((&sides["to"]["generation"], &sides["to"]["name"]), (&Value::Null, &json!("fresh")));

    let globex = lines(&world.run("diff", &["--json", "--tenant", "globex"]).await, 3);
    let of_globex = |line: &&Value| line["tenant"] == "globex";
    assert!(globex["order"].iter().eq(before["order"].iter().filter(of_globex)));
    assert!(globex["sum"].iter().eq(before["sum"].iter().filter(of_globex)));

    let text = printed(&world.run("diff", &["--limit", "1"]).await, 3);
    let first = before["order"][0]["order_id"].as_str().expect("an id");
    let others = before["order"].len() - 1;
    for part in [first, "acme", "KWD", "captured", &format!("and {others} more"), "of 300 orders differ"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    let second = before["order"][1]["order_id"].as_str().expect("an id");
    assert!(!text.contains(second), "{text}");

    let csv = printed(&world.run("diff", &["--csv"]).await, 3);
    for figure in ["captured_minor", "refunded_minor", "balance_minor"] {
        let told = csv_sums(&csv, figure);
        for sum in &before["sum"] {
            let place = (
                sum["tenant"].as_str().expect("text").to_owned(),
                sum["currency"].as_str().expect("text").to_owned(),
            );
            assert_eq!(json!(told.get(&place).copied().unwrap_or(0)), sum[figure], "{figure} of {place:?}");
        }
    }

    let rebuilt: Value =
        serde_json::from_str(&printed(&world.run("rebuild", &["--json"]).await, 0)).expect("JSON");
    assert_ne!(rebuilt["same_as_before"], json!(true));

    let after = lines(&world.run("diff", &["--from", "previous", "--to", "live", "--json"]).await, 3);
    assert_lists_the_mistake(&after, &plans);
    assert_eq!((&after["order"], &after["sum"]), (&before["order"], &before["sum"]));
    let back = lines(&world.run("diff", &["--from", "fresh", "--to", "previous", "--json"]).await, 3);
    let opposite = |line: &Value| -line["balance_minor"].as_i64().expect("minor units");
    assert_eq!(
        back["sum"].iter().map(opposite).collect::<Vec<_>>(),
        before["sum"].iter().map(|line| -opposite(line)).collect::<Vec<_>>()
    );

    let same = lines(&world.run("diff", &["--json"]).await, 0);
    assert!(
        !same.contains_key("order") && !same.contains_key("sum") && !same.contains_key("rows"),
        "{same:?}"
    );
    assert_eq!(same["end"][0]["same"], json!(true));
    let text = printed(&world.run("diff", &[]).await, 0);
    assert!(text.contains("Nothing differs: 300 orders"), "{text}");
}

async fn a_running_server_compares_what_it_has_open(mut world: World) {
    let plans = mistaken_world(&mut world, Release::This).await;
    world.servers[0].restart().await;
    let url = world.servers[0].url().to_owned();
    let asked = async |further: &[&str]| {
        let all = [&["--server", &url, "--json"], further].concat();
        world.run("diff", &all).await
    };
    let served = lines(&asked(&[]).await, 3);
    assert_lists_the_mistake(&served, &plans);
    assert_eq!(served["sides"][0]["from"]["name"], "live");

    // An engineer looks before the swap, and again after it.
    let rebuild = async |further: &[&str]| {
        let all = [further, &["--server", &url, "--json"]].concat();
        let _status: Value =
            serde_json::from_str(&String::from_utf8_lossy(&world.run("rebuild", &all).await.stdout))
                .expect("JSON");
    };
    rebuild(&["--manual-swap"]).await;
    let waiting = lines(&asked(&["--from", "live", "--to", "rebuilding"]).await, 3);
    assert_lists_the_mistake(&waiting, &plans);
    assert_eq!((&waiting["order"], &waiting["sum"]), (&served["order"], &served["sum"]));
    rebuild(&["swap"]).await;
    let swapped = lines(&asked(&["--from", "previous", "--to", "live"]).await, 3);
    assert_eq!((&swapped["order"], &swapped["sum"]), (&served["order"], &served["sum"]));
    assert_eq!(lines(&asked(&[]).await, 0)["end"][0]["same"], json!(true));

    // Where only one side goes on, orders are compared as far as both know them.
    let shop = world.shop();
    shop.submit(&checkout(1_999)).await;
    let moved = lines(&asked(&["--from", "previous", "--to", "live"]).await, 3);
    assert_eq!((&moved["order"], &moved["sum"]), (&served["order"], &served["sum"]));
    let end = &moved["end"][0];
    assert_eq!((&end["orders_newer"], &end["rows_compared"]), (&json!(1), &json!(false)));

    let get = async |query: &str, key: &str| {
        Reply::to(shop.anonymous(Method::GET, &format!("/admin/diff{query}")).bearer_auth(key)).await
    };
    get("", "demo-key").await.problem(401, "unauthenticated");
    get("?from=99", ADMIN_KEY).await.problem(404, "not_found");
    for wrong in ["?from=yesterday", "?to=live", "?tenant=%2F", "?limit=-1", "?unknown=1"] {
        get(wrong, ADMIN_KEY).await.problem(400, "invalid_query");
    }
}

async fn a_running_server_is_in_the_way_and_what_is_asked_wrongly_is_refused(mut world: World) {
    let said = |output: &Output, code: i32| {
        assert_eq!(printed(output, code), "");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let locked = said(&world.run("diff", &[]).await, 1);
    assert!(
        locked.contains("in use") && locked.contains("hint: ") && locked.contains("--server"),
        "{locked}"
    );
    world.servers[0].stop().await;
    said(&world.run("diff", &["--from", "live", "--to", "live"]).await, 2);
    said(&world.run("diff", &["--from", "yesterday"]).await, 2);
    said(&world.run("diff", &["--json", "--csv"]).await, 2);
    let missing = said(&world.run("diff", &["--from", "99"]).await, 1);
    assert!(missing.contains("99"), "{missing}");
    // Views of an empty log are the same as a fold of it.
    assert!(printed(&world.run("diff", &[]).await, 0).contains("Nothing differs"));
    std::fs::remove_dir_all(world.data_dir(0).join("views")).expect("the server made its views");
    let none = said(&world.run("diff", &[]).await, 1);
    assert!(none.contains("no views"), "{none}");
}
