//! Checkouts: from the request to the 202 that says that the commit is stored.

use std::sync::Arc;
use std::time::Duration;

use daybook_tests::client::ACME;
use daybook_tests::{Kind, Setup, World};
use ledger::codec;

use crate::limit::Limit;
use crate::load::{self, Requests};
use crate::report::{Row, Side, print};
use crate::{Options, name};

/// What a shop sends: small, and with what most shops have to say.
const CHECKOUT: &str = r#"{"amount":{"value":1999,"currency":"EUR"},"merchant_reference":"A-1001","payment_method":{"type":"card","token":"tok_visa"}}"#;
/// Where a new key goes.
const KEY: &str = "00000000000000000000000000000000";

pub(crate) async fn run(options: Options) {
    let mut rows = Vec::new();
    for kind in options.kinds() {
        let world = World::with(kind, Setup::default()).await;
        let address = world.shop().url().trim_start_matches("http://").to_owned();
        let headers = format!("authorization: Bearer {}\r\nidempotency-key: {KEY}\r\n", ACME.key);
        let template = load::render("POST", "/v1/checkouts", &headers, CHECKOUT);
        let at = template.windows(KEY.len()).position(|window| window == KEY.as_bytes()).expect("the key");
        let ours = Requests::Unique { template: Arc::new(template), at };
        load::round(&address, &ours, 1, Duration::from_millis(50), 202).await;

        let payload = world.directory().join("commit.json");
        let commit = &world.log().await.commits[0].commit;
        std::fs::write(&payload, codec::encode(commit)).expect("a file");
        let limit = limit_of(&world, kind, &payload.display().to_string()).await;
        let bare = Requests::InTurn(Arc::new(vec![load::render("POST", "/", "", CHECKOUT)]));
        for connections in [64, 256] {
            let (mut ours_side, mut limit_side) = (Side::new(), Side::new());
            let warm = options.round() / 4;
            load::round(&limit.said, &bare, connections, warm, 202).await;
            load::round(&address, &ours, connections, warm, 202).await;
            for _ in 0..options.rounds() {
                limit_side.add(load::round(&limit.said, &bare, connections, options.round(), 202).await);
                ours_side.add(load::round(&address, &ours, connections, options.round(), 202).await);
                caught_up(&world).await;
            }
            let row = Row {
                journal: name(kind),
                connections: Some(connections),
                ours: ours_side,
                limit: limit_side,
            };
            rows.push(row);
        }
    }
    print("Ingest: `POST /v1/checkouts`, each stored before its 202", "req/s", &rows);
}

async fn limit_of(world: &World, kind: Kind, payload: &str) -> Limit {
    match &world.nats {
        Some(nats) if kind != Kind::Embedded => Limit::start(&["publish", &nats.url(), payload]).await,
        _ => {
            let database = world.directory().join("limit.sqlite").display().to_string();
            Limit::start(&["insert", &database, payload]).await
        }
    }
}

/// The views catch up before the other side's turn, so that neither pays for the other's work.
async fn caught_up(world: &World) {
    let client = world.shop();
    daybook_tests::eventually("views that have caught up", async || {
        let ready = client.anonymous(reqwest::Method::GET, "/readyz").send().await.ok()?;
        ready.status().is_success().then_some(())
    })
    .await;
}
