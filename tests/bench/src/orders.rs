//! A server with many orders in its log and in its views, before anything is measured.

use daybook_tests::client::ACME;
use daybook_tests::{Kind, Setup, World};

use crate::bulk::{self, Life};
use crate::online::wait_until_ready;
use crate::table::thousands;
use crate::{load, log};

/// A world with the orders `0..orders` of the tenant `acme`, each opened and not paid yet.
pub(crate) async fn world(kind: Kind, orders: u64) -> World {
    let mut world = World::with(kind, Setup::default()).await;
    world.servers[0].stop().await;
    eprintln!("writing a log of {} orders", thousands(orders));
    bulk::fill(log::open(&world).await.as_ref(), 0..orders, Life::Opened).await;
    eprintln!("the server folds it");
    world.servers[0].respawn();
    wait_until_ready(&world.shop()).await;
    world
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
