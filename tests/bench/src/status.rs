//! Status polls of orders that are in the views.

use std::sync::Arc;

use daybook_tests::client::ACME;
use daybook_tests::{Setup, World, checkout};

use crate::limit::Limit;
use crate::load::{self, Connection, Requests};
use crate::report::{Row, Side, print};
use crate::{Options, name};

/// Orders that are asked for in turn.
const ORDERS: usize = 1000;

pub(crate) async fn run(options: Options) {
    let mut rows = Vec::new();
    for kind in options.kinds() {
        let world = World::with(kind, Setup::default()).await;
        let shop = world.shop();
        let address = shop.url().trim_start_matches("http://").to_owned();
        let headers = format!("authorization: Bearer {}\r\n", ACME.key);
        let mut requests = Vec::new();
        for _ in 0..ORDERS {
            let order = shop.submit(&checkout(1_999)).await;
            requests.push(load::render("GET", &format!("/v1/orders/{order}/status"), &headers, ""));
        }
        let mut connection = Connection::open(&address).await;
        assert_eq!(connection.exchange(&requests[0]).await, 200);
        let body = world.directory().join("status.json");
        std::fs::write(&body, connection.body()).expect("a file");
        let limit = Limit::start(&["constant", &body.display().to_string()]).await;
        let ours = Requests::InTurn(Arc::new(requests));
        // The same header, so that the same is parsed.
        let bare = Requests::InTurn(Arc::new(vec![load::render("GET", "/", &headers, "")]));
        for connections in [64, 256] {
            let (mut ours_side, mut limit_side) = (Side::new(), Side::new());
            let warm = options.round() / 4;
            load::round(&limit.said, &bare, connections, warm, 200).await;
            load::round(&address, &ours, connections, warm, 200).await;
            for _ in 0..options.rounds() {
                limit_side.add(load::round(&limit.said, &bare, connections, options.round(), 200).await);
                ours_side.add(load::round(&address, &ours, connections, options.round(), 200).await);
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
    print("Status: `GET /v1/orders/{id}/status`", "req/s", &rows);
}
