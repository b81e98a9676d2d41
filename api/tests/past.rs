//! The past is folded for one caller at a time, and nobody else waits for that.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use support::{Server, checkout, get};

const FOLDED: [&str; 3] = ["/v1/orders?as_of=0-1", "/v1/totals?as_of=0-1", "/v1/trial-balance?as_of=0-1"];

#[tokio::test]
async fn one_past_is_folded_at_a_time() {
    let server = Server::demo().await;
    let id = server.submit(&checkout()).await;
    let turn = server.app.folds.acquire().await.unwrap();
    for path in FOLDED {
        let refused = server.send(get(path)).await;
        refused.expect_problem(503, "busy");
        assert_eq!(refused.header("retry-after"), "1", "{path}");
    }
    // What is now, and the past of a single order, wait for nobody.
    let others = ["/v1/orders", "/v1/totals", "/v1/trial-balance"].map(str::to_owned);
    let of_one = format!("/v1/orders/{id}?as_of=0-1");
    for path in others.into_iter().chain([of_one]) {
        server.send(get(path)).await.expect(200);
    }
    drop(turn);
    for path in FOLDED {
        server.send(get(path)).await.expect(200);
    }
}

#[tokio::test]
async fn whoever_waits_for_a_turn_gets_it() {
    let server = Server::demo().await;
    let turn = server.app.folds.acquire().await.unwrap();
    let mut waiting = std::pin::pin!(server.send(get("/v1/totals?as_of=0-1")));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    drop(turn);
    waiting.await.expect(200);
}
