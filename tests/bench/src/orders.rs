//! A server with many orders in its log and in its views, before anything is measured.

use std::time::Duration;

use daybook_tests::client::{ACME, Client};
use daybook_tests::{Kind, Reply, Setup, World};
use reqwest::Method;

use crate::bulk::{self, Life};
use crate::load;
use crate::rebuild;

/// How often to ask whether the views have caught up.
const POLL: Duration = Duration::from_millis(200);

/// A world with the orders `0..orders` of the tenant `acme`, each opened and not paid yet.
pub(crate) async fn world(kind: Kind, orders: u64) -> World {
    let mut world = World::with(kind, Setup::default()).await;
    world.servers[0].stop().await;
    let journal = rebuild::open(&world, kind).await;
    bulk::fill(&*journal, 0..orders, Life::Opened).await;
    drop(journal);
    world.servers[0].respawn();
    ready(&world.shop()).await;
    world
}

/// Waits until the views have caught up with the log, however long that takes.
pub(crate) async fn ready(shop: &Client) {
    loop {
        let asked = Reply::of(shop.anonymous(Method::GET, "/readyz")).await;
        if asked.is_ok_and(|reply| reply.status == 200) {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The header that says who asks.
pub(crate) fn credentials() -> String {
    format!("authorization: Bearer {}\r\n", ACME.key)
}

/// A poll of an order's status, with further headers.
pub(crate) fn poll(number: u64, query: &str, headers: &str) -> String {
    let path = format!("/v1/orders/{}/status{query}", bulk::order(number));
    load::render("GET", &path, &format!("{}{headers}", credentials()), "")
}
