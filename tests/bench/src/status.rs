//! Status polls of orders that are in the views.

use daybook_tests::client::ACME;
use daybook_tests::{Setup, World, checkout};

use crate::ingest::{address, first_answer};
use crate::limit::Limit;
use crate::load::{self, Requests};
use crate::report::{Goal, Report, Row};
use crate::versus::{Target, compare};
use crate::{Options, name};

/// Orders that are asked for in turn.
const ORDERS: usize = 1000;

pub(crate) async fn run(options: Options) {
    let mut rows = Vec::new();
    for kind in options.kinds() {
        let world = World::with(kind, Setup::default()).await;
        let shop = world.shop();
        let headers = format!("authorization: Bearer {}\r\n", ACME.key);
        let mut requests = Vec::new();
        for _ in 0..ORDERS {
            let order = shop.submit(&checkout(1_999)).await;
            requests.push(load::render("GET", &format!("/v1/orders/{order}/status"), &headers, ""));
        }
        let answer = first_answer(&address(&world), &requests[0], 200).await;
        let body = world.directory().join("status.json");
        std::fs::write(&body, answer).expect("a file");
        let limit = Limit::start(&["constant", &body.display().to_string()]).await;
        let ours = Target {
            name: "Daybook".to_owned(),
            address: address(&world),
            requests: Requests::InTurn(requests),
            expected: 200,
        };
        let bare = Target {
            name: "bare axum, constant body".to_owned(),
            address: limit.said.clone(),
            // The same header, so that the same is parsed.
            requests: Requests::InTurn(vec![load::render("GET", "/", &headers, "")]),
            expected: 200,
        };
        for connections in [64, 256] {
            let (ours, bare) = compare(&options, connections, &ours, &bare, async || ()).await;
            let row = Row::new("GET …/status", "req/s", ours).on(name(kind)).over(connections);
            rows.push(row.against(bare).goal(Goal::PercentAtLeast(85)));
        }
    }
    Report::new("status", "Status polls", options.quick, rows).publish(&options.out());
}
