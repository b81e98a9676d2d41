//! However many refunds race, on however many nodes: never more than was captured.

use std::sync::Arc;

use daybook_tests::client::{ACME, unique};
use daybook_tests::{World, checkout, eur};
use futures::future::join_all;
use serde_json::json;
use tokio::sync::Barrier;

daybook_tests::in_each_world!(
    daybook_tests::Setup::two_nodes();
    of_50_racing_refunds_of_a_tenth_exactly_ten_are_accepted,
);

async fn of_50_racing_refunds_of_a_tenth_exactly_ten_are_accepted(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(10_000)).await;
    shop.report(&order, "payment.captured", json!({"amount": eur(10_000)})).await;
    shop.wait_for(&order, "captured").await;

    let start = Arc::new(Barrier::new(50));
    let refunds = (0..50).map(|number| {
        let client = world.client(number % world.servers.len(), ACME);
        let (start, path) = (Arc::clone(&start), format!("/v1/orders/{order}/refunds"));
        tokio::spawn(async move {
            start.wait().await;
            client.post(&path, &json!({"amount": eur(1_000)})).await
        })
    });
    let mut accepted = Vec::new();
    for refund in join_all(refunds).await {
        let refund = refund.expect("a racer");
        match refund.status {
            202 => accepted.push(refund.text("/refund_id")),
            _ => {
                let code = refund.text("/code");
                assert!(
                    ["exceeds_refundable", "nothing_to_refund"].contains(&code.as_str()),
                    "{}",
                    refund.body()
                );
                refund.problem(409, &code);
            }
        }
    }
    assert_eq!(accepted.len(), 10);
    let balance = shop.balance(&order).await;
    assert_eq!((balance.number("/refund_pending"), balance.number("/available_to_refund")), (10_000, 0));

    for refund_id in accepted {
        let data = json!({"refund_id": refund_id, "amount": eur(1_000), "reference": unique("ref")});
        shop.report(&order, "refund.settled", data).await;
    }
    shop.wait_for(&order, "refunded").await;
    let balance = shop.balance(&order).await;
    assert_eq!((balance.number("/refunded"), balance.number("/balance")), (10_000, 0));
    assert_eq!(shop.anomalies(&order).await, Vec::<String>::new());
    // The order as every node sees it.
    for server in 0..world.servers.len() {
        let client = world.client(server, ACME);
        client.wait_for(&order, "refunded").await;
        assert_eq!(client.figure(&order, "balance").await, 0);
    }
}
