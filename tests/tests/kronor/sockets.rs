//! Subscriptions over a socket.

use daybook_tests::World;
use serde_json::json;

use super::buyer::{PATH, Socket, ask, cancel, create, sek};
use super::challenge;

daybook_tests::in_each_world!(
    a_subscription_sees_its_order_move,
    a_list_that_is_watched_shows_what_comes_and_what_changes,
    a_socket_says_who_it_is_or_is_closed,
    a_socket_ends_with_its_server,
);

const STATUS: &str = "subscription { purchaseOrders { id resultingPurchaseId status { status } } }";

async fn a_subscription_sees_its_order_move(world: World) {
    let shop = world.shop();
    let (created, other) = (create(&shop).await, create(&shop).await);
    let mut socket = Socket::open(&shop, &created.token).await;
    socket.subscribe("a", STATUS).await;
    let data = socket.data("a").await;
    let expect = json!([{"id": created.id, "resultingPurchaseId": null, "status": [{"status": "PRE_FLIGHT_SCORING"}]}]);
    assert_eq!(data["purchaseOrders"], expect);
    socket.subscribe("purchases", "subscription { purchases { id status { status } } }").await;
    assert_eq!(socket.data("purchases").await["purchases"], json!([]));
    socket.send(json!({"type": "complete", "id": "purchases"})).await;
    let ended = socket.next().await.expect("an open socket");
    assert_eq!(ended, json!({"type": "complete", "id": "purchases"}));

    assert!(cancel(&shop, shop.tenant.key, &other.id).await, "nothing of it is seen here");
    challenge(&shop, &created.order, "https://bank.example/sca").await;
    socket.until("a", "SCA_REQUIRED").await;
    shop.report(&created.order, "payment.authorized", json!({"amount": sek(30_000)})).await;
    let complete = socket.data("a").await;
    assert_eq!(complete["purchaseOrders"][0]["status"], json!([{"status": "WAITING_FOR_CAPTURE"}]));
    assert!(complete["purchaseOrders"][0]["resultingPurchaseId"].is_i64());
    // A note changes nothing that is shown: the next message is about the capture.
    shop.report(&created.order, "something.else", json!({})).await;
    shop.report(&created.order, "payment.captured", json!({"amount": sek(30_000)})).await;
    assert_eq!(socket.data("a").await["purchaseOrders"][0]["status"], json!([{"status": "CAPTURE_DONE"}]));
    // Queries and mutations work here, too.
    socket.subscribe("q", "{ purchases { purchaseOrderId } }").await;
    assert_eq!(socket.data("q").await["purchases"], json!([{"purchaseOrderId": created.id}]));
}

async fn a_list_that_is_watched_shows_what_comes_and_what_changes(world: World) {
    let shop = world.shop();
    let mut socket = Socket::open(&shop, shop.tenant.key).await;
    socket
        .subscribe(
            "open",
            "subscription { purchaseOrders(where: {status: {status: {_neq: CANCELLED}}}) { id } }",
        )
        .await;
    assert_eq!(socket.data("open").await["purchaseOrders"], json!([]));
    let first = create(&shop).await;
    assert_eq!(socket.data("open").await["purchaseOrders"], json!([{"id": first.id}]));
    let second = create(&shop).await;
    assert_eq!(socket.data("open").await["purchaseOrders"], json!([{"id": second.id}, {"id": first.id}]));
    create(&world.other_shop()).await;
    assert!(cancel(&shop, shop.tenant.key, &first.id).await);
    assert_eq!(socket.data("open").await["purchaseOrders"], json!([{"id": second.id}]));
}

async fn a_socket_says_who_it_is_or_is_closed(world: World) {
    let shop = world.shop();
    let created = create(&shop).await;
    let bearer = format!("Bearer {}", created.token);
    // By the header of its request; `connection_init` may leave it out then.
    let mut socket = Socket::dial(&shop, Some(&bearer)).await;
    socket.send(json!({"type": "connection_init"})).await;
    assert_eq!(socket.next().await, Ok(json!({"type": "connection_ack"})));
    socket.subscribe("a", STATUS).await;
    assert_eq!(socket.data("a").await["purchaseOrders"][0]["id"], created.id);
    let mut socket = Socket::dial(&shop, None).await;
    let payload = json!({"headers": {"authorization": bearer}});
    socket.send(json!({"type": "connection_init", "payload": payload})).await;
    assert_eq!(socket.next().await, Ok(json!({"type": "connection_ack"})));
    socket.send(json!({"type": "ping"})).await;
    assert_eq!(socket.next().await, Ok(json!({"type": "pong"})));
    socket.send(json!({"type": "connection_init"})).await;
    assert_eq!(socket.next().await, Err(4429));

    for payload in
        [json!(null), json!({}), json!({"Authorization": "Bearer nobody"}), json!({"Authorization": 7})]
    {
        let mut socket = Socket::dial(&shop, None).await;
        socket.send(json!({"type": "connection_init", "payload": payload})).await;
        assert_eq!(socket.next().await, Err(4401), "{payload}");
    }
    let mut socket = Socket::dial(&shop, None).await;
    socket.subscribe("a", STATUS).await;
    assert_eq!(socket.next().await, Err(4401), "before it said who it is");
    for mut socket in [Socket::open(&shop, &created.token).await, Socket::dial(&shop, None).await] {
        socket.send_text("no JSON".to_owned()).await;
        assert_eq!(socket.next().await, Err(4400));
    }
    let mut socket = Socket::open(&shop, &created.token).await;
    socket.send_text(format!("\"{}\"", "x".repeat(70_000))).await;
    assert!(socket.next().await.is_err(), "too large");
    assert_eq!(Socket::try_dial(&shop, "graphql-transport-ws", Some("Bearer nobody")).await.err(), Some(401));
    assert_eq!(Socket::try_dial(&shop, "graphql-ws", None).await.err(), Some(400));
    // Without an upgrade there is nothing to see, except in the demo.
    let plain = daybook_tests::Reply::to(shop.anonymous(reqwest::Method::GET, PATH)).await.expect(426);
    assert_eq!(plain.text("/errors/0/extensions/type"), "INVALID_REQUEST");

    // More operations than a socket may have are refused one by one; the others go on.
    let mut socket = Socket::open(&shop, &created.token).await;
    for number in 0..20 {
        socket.subscribe(&number.to_string(), STATUS).await;
        socket.data(&number.to_string()).await;
    }
    socket.subscribe("20", STATUS).await;
    let refused = socket.next().await.expect("an open socket");
    assert_eq!(refused["payload"]["errors"][0]["extensions"]["type"], "TOO_MANY_OPERATIONS", "{refused}");
    assert_eq!(socket.next().await, Ok(json!({"type": "complete", "id": "20"})));
    socket.send(json!({"type": "complete", "id": "7"})).await;
    assert_eq!(socket.next().await, Ok(json!({"type": "complete", "id": "7"})));
    socket.subscribe("21", STATUS).await;
    assert_eq!(socket.data("21").await["purchaseOrders"][0]["id"], created.id);
    ask(&shop, &created.token, "{ purchases { id } }", json!({})).await.expect(200);
}

/// The same on every journal, and it takes its ten seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_never_says_who_it_is_is_closed() {
    let world = World::start(daybook_tests::Kind::Embedded).await;
    let mut socket = Socket::dial(&world.shop(), None).await;
    assert_eq!(socket.next().await, Err(4408));
}

async fn a_socket_ends_with_its_server(mut world: World) {
    let shop = world.shop();
    let created = create(&shop).await;
    let mut socket = Socket::open(&shop, &created.token).await;
    socket.subscribe("a", STATUS).await;
    socket.data("a").await;
    let mut silent = Socket::dial(&shop, None).await;
    let started = std::time::Instant::now();
    let server = &mut world.servers[0];
    server.terminate();
    // Either the operation is over first, or the socket.
    let last = match socket.next().await {
        Ok(message) => {
            assert_eq!(message, json!({"type": "complete", "id": "a"}));
            socket.next().await
        }
        closed => closed,
    };
    assert_eq!(last, Err(1001));
    assert_eq!(silent.next().await, Err(1001));
    assert!(server.ended().await.success());
    assert!(started.elapsed().as_secs() < 10, "sockets do not hold up the end");
}
