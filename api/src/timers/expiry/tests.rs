//! Orders run out of time, and only those that do.

use jiff::SignedDuration;
use ledger::commit::Cause;
use ledger::order::{Order, Status};
use serde_json::json;
use tempfile::tempdir;

use crate::webhooks::tests::server::{Server, demo};

#[tokio::test]
async fn an_order_that_nobody_paid_in_time_expires_and_an_authorized_one_does_not() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let soon = SignedDuration::from_secs(1);
    let paid = server.submit(&demo(), "paid", soon).await;
    let late = server.submit(&demo(), "late", soon).await;
    let open = server.submit(&demo(), "open", SignedDuration::from_hours(1)).await;
    let data = json!({"order_id": paid.to_string(), "amount": {"value": 1999, "currency": "EUR"}});
    server.report("evt_1", "payment.authorized", data).await.expect(200);
    server.until(&demo(), late, Status::Expired).await;
    assert_eq!(server.order(&demo(), paid).await.status(), Status::Authorized);
    assert_eq!(server.order(&demo(), open).await.status(), Status::Processing);
    let history = server.app.ledger.history::<Order>(&demo(), late).await.unwrap();
    let causes: Vec<_> = history.commits.iter().map(|recorded| &recorded.commit.cause).collect();
    assert_eq!(causes[1..], [&Cause::Timer { name: "expiry".to_owned() }], "once, by the clock");
    server.stop().await;
}
