//! Generations side by side: each can be read by itself, and one that is read is kept.

use ledger::order::{Command, Order};

use super::{Shop, checkout, euros, keyed, reached, tenant};
use crate::{GenerationInfo, StoreOptions, Views, fresh_digest, rebuild};

/// A store with two generations of a whole log.
async fn twice_folded() -> (Shop, Views) {
    let shop = Shop::open().await;
    shop.fill().await;
    let views = shop.views();
    let projector = shop.projector(&views).await;
    reached(&projector, shop.last().await).await;
    projector.shutdown().await.unwrap();
    drop((projector, views));
    rebuild(shop.journal.as_ref(), &shop.views_path(), &StoreOptions::default(), |_| {}).await.unwrap();
    let views = shop.views();
    (shop, views)
}

#[tokio::test]
async fn each_generation_is_listed_and_read_by_itself() {
    let (shop, views) = twice_folded().await;
    let checkpoint = vec![shop.last().await.sequence];
    let info = |number, is_live| GenerationInfo {
        number,
        is_live,
        is_previous: !is_live,
        is_rebuilding: false,
        checkpoint: checkpoint.clone(),
        fingerprint_is_current: true,
    };
    assert_eq!(views.generations().unwrap(), [info(1, false), info(2, true)]);

    let before = views.of_generation(1).unwrap().expect("it is kept");
    assert_eq!((before.generation(), before.checkpoint(0)), (1, checkpoint[0]));
    let projector = shop.projector(&views).await;
    let (id, position) = shop.submit("A-9").await;
    reached(&projector, position).await;
    assert!(views.order(&tenant(), id).unwrap().is_some());
    assert_eq!(before.order(&tenant(), id).unwrap(), None, "it stands still");
    assert!(views.of_generation(3).unwrap().is_none());
    let fresh = fresh_digest(shop.journal.as_ref(), Some(&checkpoint)).await.unwrap();
    assert_eq!(before.digest_by_scan().unwrap(), fresh);
}

#[tokio::test]
async fn all_orders_of_all_tenants_are_read_in_pages() {
    let shop = Shop::open().await;
    let other: ledger::ids::TenantId = "another".parse().unwrap();
    for key in ["A-1", "A-2", "A-3"] {
        shop.submit(key).await;
        let id = ledger::ids::RecordId::for_key(&other, "checkout", key);
        let command = Command::Submit(Box::new(checkout(key, euros(700))));
        shop.execute::<Order>(other.clone(), id, keyed("checkout", key), command).await;
    }
    let views = shop.views();
    let projector = shop.projector(&views).await;
    reached(&projector, shop.last().await).await;

    let mut seen = Vec::new();
    loop {
        let after = seen.last().cloned();
        let page = views.orders(after.as_ref().map(|(tenant, first)| (tenant, *first)), 2).unwrap();
        seen.extend(page.iter().map(|order| (order.tenant.clone(), order.first)));
        if page.len() < 2 {
            break;
        }
    }
    assert_eq!(seen.len(), 6);
    assert!(seen.is_sorted(), "by tenant, then by position");
    let totals = views.all_totals().unwrap();
    let figures: Vec<_> = totals
        .iter()
        .map(|(tenant, currency, totals)| (tenant.as_str(), currency.code(), totals.orders))
        .collect();
    assert_eq!(figures, [("another", "EUR", 3), ("demo", "EUR", 3)]);
}
