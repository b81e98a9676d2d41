//! A rebuild in a running server: reads go on and miss nothing, a kill in the middle costs nothing but time, and
//! operators stay in command.

use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use daybook_tests::client::{ACME, DEMO};
use daybook_tests::load::Load;
use daybook_tests::{Client, Kind, Reply, Setup, World, checkout, eventually, in_each_world};
use futures::StreamExt;
use ledger::commit::Cause;
use ledger::execute::{Ledger, Request, RetryPolicy};
use ledger::ids::{RecordId, RequestHash, TenantId};
use ledger::journal::Journal;
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use ledger::journal::jetstream::{JetStreamConfig, JetStreamJournal};
use ledger::money::Money;
use ledger::order::{CaptureMode, Checkout, Command, Customer, Order, ReturnUrls, Surface};
use projections::{StoreOptions, Views, fresh_digest};
use reqwest::Method;
use serde_json::Value;

const ADMIN_KEY: &str = "an admin key for tests alone, long enough";

fn administered() -> Setup {
    Setup { config: format!("admin.key = \"{ADMIN_KEY}\"\n"), ..Setup::default() }
}

in_each_world! {
    crate::administered();
    reads_and_orders_go_on_through_rebuilds_and_miss_nothing,
    a_rebuild_that_is_killed_in_the_middle_goes_on_from_there,
    operators_pause_resume_cancel_and_roll_back,
    the_command_line_does_it_too,
}

/// Orders that are in the log before a rebuild: a fold of them takes a moment.
const ORDERS: u64 = 3_000;

async fn admin(world: &World, method: Method, path: &str) -> Reply {
    let shop = world.shop();
    Reply::to(shop.anonymous(method, &format!("/admin/rebuild{path}")).bearer_auth(ADMIN_KEY)).await
}

async fn state(world: &World) -> Value {
    admin(world, Method::GET, "").await.expect(200).json()
}

/// Waits until the rebuild is in this state.
async fn is(world: &World, wanted: &str) -> Value {
    eventually(wanted, async || Some(state(world).await).filter(|status| status["state"] == wanted)).await
}

/// Begins a rebuild and stops it somewhere on its way.
async fn pause_half_way(world: &World) -> Value {
    admin(world, Method::POST, "").await.expect(202);
    eventually("some of it folded", async || (state(world).await["done"].as_u64()? > 0).then_some(())).await;
    admin(world, Method::POST, "/pause").await.expect(200);
    let paused = is(world, "paused").await;
    assert!(paused["done"].as_u64() < paused["total"].as_u64(), "it was over too soon: {paused}");
    paused
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

/// Writes orders past the API, while the server is down.
async fn fill(world: &mut World) {
    world.servers[0].stop().await;
    let ledger = Ledger::new(journal(world).await, RetryPolicy::default());
    let tenant: TenantId = ACME.id.parse().expect("a tenant");
    futures::stream::iter(0..ORDERS)
        .for_each_concurrent(128, |number| {
            let (ledger, tenant) = (ledger.clone(), tenant.clone());
            async move {
                let at = jiff::Timestamp::now();
                let key = format!("fill-{number}");
                let checkout = Checkout {
                    amount: Money::of(1_999, "EUR".parse().expect("a currency")).expect("an amount"),
                    merchant_reference: key.clone(),
                    capture: CaptureMode::Automatic,
                    payment_method: None,
                    items: Vec::new(),
                    customer: Customer::default(),
                    return_urls: ReturnUrls::default(),
                    metadata: Default::default(),
                    expires_at: at + jiff::SignedDuration::from_hours(24),
                    surface: Surface { name: "v1".to_owned(), data: Default::default() },
                };
                let request = Request {
                    record: RecordId::for_key(&tenant, "checkout", &key),
                    tenant,
                    cause: Cause::Command {
                        operation: "checkout".to_owned(),
                        request_hash: RequestHash::of(key.as_bytes()),
                        key: Some(key),
                    },
                    command: Command::Submit(Box::new(checkout)),
                    at,
                    is_new: true,
                };
                ledger.execute::<Order>(request).await.expect("a commit");
            }
        })
        .await;
    drop(ledger);
    if world.nats.is_none() {
        // It has one writer, and the last append may still hold the one above.
        let path = world.data_dir(0).join("journal.sqlite");
        let open = async || EmbeddedJournal::open(&path, EmbeddedOptions::default()).await.ok();
        drop(eventually("a journal that nobody writes", open).await);
    }
    world.servers[0].restart().await;
}

/// After a stop in good order, the live views are what a fresh fold of the log gives.
async fn check_views(world: &mut World) {
    world.servers[0].stop().await;
    let path = world.data_dir(0).join("views");
    let views = Views::open(&path, &StoreOptions::default()).expect("the views open");
    let scanned = views.digest_by_scan().expect("the views can be read");
    assert_eq!(views.digest(), scanned, "the digest that is kept is that of the rows");
    drop(views);
    let fresh = fresh_digest(&*world.log().await.journal, None).await.expect("a fold");
    assert_eq!(scanned, fresh);
    world.servers[0].restart().await;
}

/// Reads as fast as answers come, and panics at the first that is not as good as it must be.
async fn read_all_the_time(shop: Client, stop: Arc<AtomicBool>) -> u64 {
    let known = shop.submit(&checkout(100)).await;
    let first = shop.get(&format!("/v1/orders/{known}")).await.expect(200).bytes;
    let (mut reads, mut orders) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        // What does not change, does not.
        assert_eq!(shop.get(&format!("/v1/orders/{known}")).await.expect(200).bytes, first);
        // What was acknowledged is there, whichever generation answers.
        let accepted = shop.post("/v1/checkouts", &checkout(100)).await.expect(202);
        let (order, position) = (accepted.text("/order_id"), accepted.text("/position"));
        let history = shop.history(&order).await;
        assert_eq!(history.text("/entries/0/position"), position, "{}", history.body());
        // Lists and sums never show less than they did.
        let at_least = ("daybook-position", position.as_str());
        let request = |path: &str| shop.request(Method::GET, path).header(at_least.0, at_least.1);
        let listed = Reply::to(request("/v1/orders?limit=1")).await.expect(200).json();
        assert_eq!(listed["orders"].as_array().map(Vec::len), Some(1), "{listed}");
        let totals = Reply::to(request("/v1/totals")).await.expect(200);
        let now = totals.number("/totals/0/orders");
        assert!(now > orders, "{now} orders after {orders}");
        orders = now;
        reads += 4;
    }
    reads
}

async fn reads_and_orders_go_on_through_rebuilds_and_miss_nothing(mut world: World) {
    fill(&mut world).await;
    let load = Load::start([world.shop()], 7);
    let stop = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(read_all_the_time(world.shop(), Arc::clone(&stop)));
    for generation in 2..4 {
        let begun = admin(&world, Method::POST, "").await.expect(202).json();
        assert_eq!((&begun["generation"], &begun["resumed_at"]), (&generation.into(), &0.into()), "{begun}");
        let done = is(&world, "done").await;
        assert_eq!(done["comparison"]["same"], true, "{done}");
        assert_eq!(done["live_generation"], generation, "{done}");
        assert!(!reader.is_finished(), "the reader has seen something wrong");
    }
    stop.store(true, Ordering::Relaxed);
    assert!(reader.await.expect("every read was as it must be") > 0);
    let witness = load.finish().await;
    witness.assert_all_is_in(&world.log().await);
    check_views(&mut world).await;
}

async fn a_rebuild_that_is_killed_in_the_middle_goes_on_from_there(mut world: World) {
    fill(&mut world).await;
    let paused = pause_half_way(&world).await;
    world.servers[0].kill();
    world.servers[0].restart().await;
    let again = is(&world, "paused").await;
    assert_eq!(again["generation"], paused["generation"]);
    let resumed_at = again["resumed_at"].as_u64().expect("a number");
    assert!(resumed_at > 0, "it began from nothing: {again}");
    assert!(Some(resumed_at) <= paused["done"].as_u64(), "{again} after {paused}");

    admin(&world, Method::POST, "/resume").await.expect(200);
    // And once more, without a word to it.
    world.servers[0].kill();
    world.servers[0].restart().await;
    let done = is(&world, "done").await;
    assert!(done["resumed_at"].as_u64() >= Some(resumed_at), "{done}");
    assert_eq!((&done["comparison"]["same"], &done["live_generation"]), (&true.into(), &2.into()), "{done}");
    check_views(&mut world).await;
}

async fn operators_pause_resume_cancel_and_roll_back(mut world: World) {
    let shop = world.shop();
    for (key, status) in [("acme-key-3f1c9f60b1a24e57", 401), ("", 401), ("x", 401)] {
        let asked = Reply::to(shop.anonymous(Method::GET, "/admin/rebuild").bearer_auth(key)).await;
        asked.problem(status, "unauthenticated");
    }
    for action in ["/pause", "/resume", "/cancel", "/swap"] {
        admin(&world, Method::POST, action).await.problem(409, "no_rebuild_under_way");
    }
    admin(&world, Method::POST, "/rollback").await.problem(409, "nothing_to_roll_back_to");
    admin(&world, Method::POST, "?swap=never").await.problem(400, "invalid_query");
    assert_eq!(state(&world).await["state"], "idle");

    fill(&mut world).await;
    pause_half_way(&world).await;
    admin(&world, Method::POST, "").await.problem(409, "rebuild_under_way");
    admin(&world, Method::POST, "/rollback").await.problem(409, "rebuild_under_way");
    admin(&world, Method::POST, "/swap").await.problem(409, "rebuild_not_compared");
    let canceled = admin(&world, Method::POST, "/cancel").await.expect(200).json();
    assert_eq!((&canceled["state"], &canceled["live_generation"]), (&"canceled".into(), &1.into()));

    // Held for a person between the comparison and the swap.
    admin(&world, Method::POST, "?swap=manual").await.expect(202);
    let waiting = is(&world, "waiting").await;
    assert_eq!((&waiting["comparison"]["same"], &waiting["live_generation"]), (&true.into(), &1.into()));
    let order = world.shop().submit(&checkout(100)).await;
    let done = admin(&world, Method::POST, "/swap").await.expect(200).json();
    assert_eq!((&done["state"], &done["generation"]), (&"done".into(), &done["live_generation"]), "{done}");
    world.shop().status(&order).await;

    // And back again, with what has come in since.
    let order = world.shop().submit(&checkout(100)).await;
    admin(&world, Method::POST, "/rollback").await.expect(202);
    let back = is(&world, "done").await;
    assert_eq!((&back["kind"], &back["live_generation"]), (&"rollback".into(), &1.into()), "{back}");
    assert!(back["resumed_at"].as_u64() >= Some(ORDERS), "it goes on from where it stopped: {back}");
    world.shop().status(&order).await;
    check_views(&mut world).await;
}

/// `daybook rebuild --server`, with the admin key in the environment.
async fn run(world: &World, key: &str, further: &[&str]) -> Output {
    let mut command = daybook_tests::server::command(world.directory());
    command.env("DAYBOOK_ADMIN_KEY", key).args(["rebuild", "--server", world.shop().url()]).args(further);
    tokio::task::spawn_blocking(move || command.output().expect("the daybook binary starts"))
        .await
        .expect("a command")
}

#[track_caller]
fn printed(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn the_command_line_does_it_too(mut world: World) {
    fill(&mut world).await;
    let done = printed(&run(&world, ADMIN_KEY, &["--json"]).await, 0);
    let done: Value = serde_json::from_str(&done).expect("JSON");
    assert_eq!((&done["state"], &done["live_generation"]), (&"done".into(), &2.into()), "{done}");
    let waiting = printed(&run(&world, ADMIN_KEY, &["--manual-swap"]).await, 0);
    assert!(waiting.contains("waiting") && waiting.contains("the same as those that were live"), "{waiting}");
    let refused = run(&world, ADMIN_KEY, &[]).await;
    printed(&refused, 1);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("already"), "it says why");
    assert!(printed(&run(&world, ADMIN_KEY, &["status"]).await, 0).contains("waiting"));
    assert!(printed(&run(&world, ADMIN_KEY, &["swap"]).await, 0).contains("done"));
    assert!(printed(&run(&world, ADMIN_KEY, &["rollback"]).await, 0).contains("rollback"));
    assert_eq!(state(&world).await["live_generation"], 2);
    printed(&run(&world, "another key, which is just as long as it has to be", &["status"]).await, 1);
    let without = daybook_tests::server::run(world.directory(), &["rebuild", "pause"]).await;
    printed(&without, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_admin_key_there_is_no_administration() {
    let world = World::start(Kind::Embedded).await;
    let asked = world.shop().anonymous(Method::GET, "/admin/rebuild").bearer_auth(ACME.key);
    Reply::to(asked).await.problem(404, "admin_not_configured");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_is_administered_with_the_demos_key() {
    let world = World::with(Kind::Embedded, Setup::demo()).await;
    let asked = |key: &str| world.shop().anonymous(Method::GET, "/admin/rebuild").bearer_auth(key);
    Reply::to(asked("demo-admin-key")).await.expect(200);
    Reply::to(asked(DEMO.key)).await.problem(401, "unauthenticated");
}
