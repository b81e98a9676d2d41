//! Those who wait learn of a change at once, those who know already are not told again, and a feed that was cut
//! off goes on where it was.

use std::time::{Duration, Instant};

use daybook_tests::client::{ACME, GLOBEX, about, unique};
use daybook_tests::feed::{Entry, Feed};
use daybook_tests::{Client, Reply, World, checkout, eur};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

daybook_tests::in_each_world!(
    daybook_tests::Setup::two_nodes();
    a_long_poll_returns_within_100_ms_of_the_change,
    a_long_poll_without_a_change_ends_when_its_time_is_up,
    a_reader_who_knows_is_told_304,
    an_answer_is_not_given_again_once_its_order_has_changed,
    a_poll_that_is_not_routed_looks_like_one_that_is,
    the_feed_goes_on_where_it_was_cut_off,
    two_feeds_tell_the_same_also_across_a_restart,
    the_feed_moves_its_readers_past_what_is_not_theirs,
    a_hundred_readers_of_the_feed_catch_up_together,
);

async fn a_long_poll_returns_within_100_ms_of_the_change(world: World) {
    // Reported at the last node, awaited at the first.
    let (shop, psp) = (world.shop(), world.client(world.servers.len() - 1, ACME));
    let mut fastest = Duration::MAX;
    // A busy machine may delay any one of them, but not all.
    for _ in 0..5 {
        let order = shop.submit(&checkout(100)).await;
        let etag = shop.status(&order).await.header("etag").expect("an ETag").to_owned();
        let path = format!("/v1/orders/{order}/status?wait=20s");
        let request = shop.request(Method::GET, &path).header("if-none-match", etag);
        let poll = tokio::spawn(async { (Reply::to(request).await, Instant::now()) });
        // Long enough for the poll to wait; a poll that did not would return before the report and be seen below.
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(!poll.is_finished(), "the poll waits for a change");
        let body = about(&order, "payment.captured", json!({"amount": eur(100)}));
        psp.webhook(&unique("evt"), &body).await.expect(200);
        let acknowledged = Instant::now();
        let (reply, returned) = poll.await.expect("a poll");
        assert_eq!(reply.expect(200).text("/status"), "captured");
        fastest = fastest.min(returned.saturating_duration_since(acknowledged));
    }
    println!("returned after {fastest:?}");
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}

async fn a_long_poll_without_a_change_ends_when_its_time_is_up(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(100)).await;
    let path = format!("/v1/orders/{order}/status?wait=300ms");
    let started = Instant::now();
    let unchanged = shop.get(&path).await.expect(200);
    assert_eq!(unchanged.text("/status"), "processing");
    let etag = unchanged.header("etag").expect("an ETag");
    Reply::to(shop.request(Method::GET, &path).header("if-none-match", etag)).await.expect(304);
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(600), "two waits took {waited:?}");
    assert!(waited < Duration::from_secs(10), "two waits took {waited:?}");

    // Nothing is waited for where nothing is to come.
    shop.report(&order, "payment.captured", json!({"amount": eur(100)})).await;
    shop.wait_for(&order, "captured").await;
    let started = Instant::now();
    shop.get(&format!("/v1/orders/{order}/status?wait=20s")).await.expect(200);
    assert!(started.elapsed() < Duration::from_secs(10));
    shop.get(&format!("/v1/orders/{order}/status?wait=61s")).await.problem(400, "invalid_query");
}

async fn a_reader_who_knows_is_told_304(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(100)).await;
    let views =
        ["", "/status", "/balance", "/history", "/events"].map(|view| format!("/v1/orders/{order}{view}"));
    let mut known = Vec::new();
    for path in &views {
        let etag = shop.get(path).await.expect(200).header("etag").expect("an ETag").to_owned();
        let same =
            Reply::to(shop.request(Method::GET, path).header("if-none-match", &etag)).await.expect(304);
        assert!(same.bytes.is_empty(), "{path}");
        known.push(etag);
    }
    shop.report(&order, "payment.captured", json!({"amount": eur(100)})).await;
    shop.wait_for(&order, "captured").await;
    for (path, etag) in views.iter().zip(&known) {
        let changed =
            Reply::to(shop.request(Method::GET, path).header("if-none-match", etag)).await.expect(200);
        assert_ne!(changed.header("etag"), Some(etag.as_str()), "{path}");
    }
}

async fn an_answer_is_not_given_again_once_its_order_has_changed(world: World) {
    // Reported at the last node: the first learns of it by the log alone, or by what the caller was told.
    let (shop, psp) = (world.shop(), world.client(world.servers.len() - 1, ACME));
    let order = shop.submit(&checkout(1000)).await;
    let path = format!("/v1/orders/{order}/status");
    let mut before = shop.status(&order).await;
    for round in 0..20 {
        // The second one may be the first one given again; nothing tells them apart.
        let again = shop.status(&order).await;
        assert_eq!((again.body(), again.header("etag")), (before.body(), before.header("etag")));
        assert_eq!(
            again.header("retry-after").is_some(),
            !again.json()["terminal"].as_bool().expect("a word")
        );
        let etag = before.header("etag").expect("an ETag");
        let same =
            Reply::to(shop.request(Method::GET, &path).header("if-none-match", etag)).await.expect(304);
        assert_eq!((same.header("etag"), same.bytes.is_empty()), (Some(etag), true));
        world.other_shop().get(&path).await.expect(404);
        Reply::to(shop.anonymous(Method::GET, &path)).await.expect(401);

        let data = json!({"reference": unique("cap"), "amount": eur(10)});
        let position = psp.report(&order, "payment.captured", data).await.text("/position");
        let told = Reply::to(shop.request(Method::GET, &path).header("daybook-position", &position)).await;
        let told = told.expect(200);
        assert_eq!(told.text("/position"), position, "round {round}");
        assert_eq!(psp.status(&order).await.text("/position"), position, "round {round}");
        // Without the position the first node may be a moment behind, and then never goes back.
        before = wait_for_position(&shop, &order, &position).await;
        assert_eq!(before.body(), told.body());
    }
}

async fn a_poll_that_is_not_routed_looks_like_one_that_is(world: World) {
    let shop = world.shop();
    let order = shop.submit(&checkout(1000)).await;
    shop.wait_for(&order, "processing").await;
    // The plain one may be answered before it is routed. The other one, which has a query, never is.
    let paths = ["", "?wait=0s"].map(|query| format!("/v1/orders/{order}/status{query}"));
    let shown = |reply: &Reply| {
        let of_each = |name: &str| name == "date" || name == "x-request-id";
        let headers = reply.headers.iter().filter(|(name, _)| !of_each(name.as_str()));
        let mut headers: Vec<_> = headers.map(|(name, value)| (name.clone(), value.clone())).collect();
        headers.sort_by(|one, other| one.0.as_str().cmp(other.0.as_str()));
        (reply.status, headers, reply.bytes.clone())
    };
    let route = r#"route="/v1/orders/{id}/status""#;
    let counted = async || shop.metric("daybook_http_requests_total", route).await;
    let before = counted().await;
    let etag = shop.status(&order).await.header("etag").expect("an ETag").to_owned();
    let mut ids = std::collections::BTreeSet::new();
    for round in 0..10 {
        for known in ["\"0-0\"", etag.as_str()] {
            let given = format!("poll-{round}");
            let [plain, routed] = paths.each_ref().map(|path| {
                let request = shop.request(Method::GET, path).header("if-none-match", known);
                Reply::to(request.header("x-request-id", &given))
            });
            let (plain, routed) = (plain.await, routed.await);
            assert_eq!(shown(&plain), shown(&routed));
            assert_eq!(plain.header("x-request-id"), Some(given.as_str()));
        }
        for path in &paths {
            ids.insert(shop.get(path).await.expect(200).header("x-request-id").expect("an id").to_owned());
        }
    }
    assert_eq!(ids.len(), 20, "each has an id of its own");
    assert_eq!(counted().await, before + 1 + 60);

    // What is seldom asked is answered alike too: with what is known of the order, and with what stands in the way.
    type Asked = fn(RequestBuilder, &str) -> RequestBuilder;
    let odd: [(&str, Asked); 7] = [
        ("a body", |request, _| request.body("{}")),
        ("any ETag", |request, _| request.header("if-none-match", "*")),
        ("a weak ETag", |request, etag| request.header("if-none-match", format!("W/{etag}"))),
        ("two ETags", |request, etag| request.header("if-none-match", format!("\"0-0\", {etag}"))),
        ("two fields of ETags", |request, etag| {
            request.header("if-none-match", "\"0-0\"").header("if-none-match", etag)
        }),
        ("a second key", |request, _| request.header("authorization", format!("Bearer {}", GLOBEX.key))),
        ("a request id that is too long", |request, _| request.header("x-request-id", "x".repeat(300))),
    ];
    for (what, asked) in odd {
        let [plain, routed] = paths.each_ref().map(|path| shop.request(Method::GET, path));
        let plain = Reply::to(asked(plain, &etag)).await;
        let routed = Reply::to(asked(routed, &etag)).await;
        assert_eq!(shown(&plain), shown(&routed), "{what}");
    }
    // Another tenant learns nothing of it, and an order that is known by one key is not by another.
    for path in &paths {
        world.other_shop().get(path).await.problem(404, "not_found");
    }
}

async fn wait_for_position(shop: &Client, order: &str, position: &str) -> Reply {
    let ask = async || Some(shop.status(order).await).filter(|reply| reply.text("/position") == position);
    daybook_tests::eventually("the poll shows the change", ask).await
}

/// Some orders of both tenants, each with a webhook.
async fn some_commits(world: &World, count: usize) {
    for _ in 0..count {
        for shop in [world.shop(), world.other_shop()] {
            let order = shop.submit(&checkout(100)).await;
            shop.report(&order, "payment.captured", json!({"amount": eur(100)})).await;
        }
    }
}

/// Reads commits until the last of `expected` has come, and holds them against it.
async fn assert_feed_is(feed: &mut Feed, expected: &[String]) {
    for position in expected {
        let entry = feed.next_commit().await.expect("a connection that stands");
        assert_eq!((&entry.id, &entry.data["position"]), (position, &json!(position)));
    }
}

async fn reconnect(shop: &Client, last: Option<&Entry>, by_header: bool) -> Feed {
    match last {
        Some(last) if by_header => {
            let request = shop.request(Method::GET, "/v1/feed").header("last-event-id", &last.id);
            Feed::open(request).await
        }
        _ => shop.feed(last.map(|last| last.id.as_str())).await,
    }
}

async fn the_feed_goes_on_where_it_was_cut_off(world: World) {
    let shop = world.shop();
    some_commits(&world, 10).await;
    let expected = world.log().await.order_positions("acme");
    let mut seen: Vec<Entry> = Vec::new();
    while seen.len() < expected.len() {
        let mut feed = reconnect(&shop, seen.last(), fastrand::bool()).await;
        for _ in 0..fastrand::usize(1..6).min(expected.len() - seen.len()) {
            seen.push(feed.next_commit().await.expect("a connection that stands"));
        }
    }
    let ids: Vec<String> = seen.iter().map(|entry| entry.id.clone()).collect();
    assert_eq!(ids, expected, "without a gap or a repeat");
    let first = &seen[0].data;
    assert_eq!(first["events"][0]["type"], "checkout_submitted.v2");
    assert_eq!((&first["status"], &first["cause"]["type"]), (&json!("processing"), &json!("command")));
    assert!(first["order_id"].is_string() && first["tracking_number"].is_string(), "{first}");
    assert_eq!(seen[1].data["status"], "captured");
}

async fn two_feeds_tell_the_same_also_across_a_restart(mut world: World) {
    some_commits(&world, 2).await;
    let (mut one, mut two) = (world.shop().feed(None).await, world.shop().feed(None).await);
    let expected = world.log().await.order_positions("acme");
    assert_feed_is(&mut one, &expected).await;
    assert_feed_is(&mut two, &expected[..1]).await;

    world.servers[0].kill();
    assert!(one.next().await.is_none(), "the connection is gone with the server");
    world.servers[0].restart().await;
    some_commits(&world, 2).await;
    let all = world.log().await.order_positions("acme");
    let mut one = world.shop().feed(expected.last().map(String::as_str)).await;
    let mut two = world.shop().feed(expected.first().map(String::as_str)).await;
    assert_feed_is(&mut one, &all[expected.len()..]).await;
    assert_feed_is(&mut two, &all[1..]).await;
    // What comes while they are connected comes to both.
    some_commits(&world, 1).await;
    let newest = world.log().await.order_positions("acme");
    assert_feed_is(&mut one, &newest[all.len()..]).await;
    assert_feed_is(&mut two, &newest[all.len()..]).await;
}

async fn the_feed_moves_its_readers_past_what_is_not_theirs(world: World) {
    let shop = world.shop();
    for _ in 0..3 {
        world.other_shop().submit(&checkout(100)).await;
    }
    let last = world.log().await.commits.last().expect("a commit").position;
    let mut feed = shop.feed(None).await;
    // One may come before the projector has seen the newest commit; the next one, 15 seconds later, cannot.
    let mut entry = feed.next().await.expect("a connection that stands");
    if entry.id != last.to_string() {
        entry = feed.next().await.expect("a connection that stands");
    }
    assert_eq!((entry.event.as_str(), entry.id.as_str()), ("position", last.to_string().as_str()));
    assert_eq!(entry.data, json!({"position": last.to_string()}));
}

async fn a_hundred_readers_of_the_feed_catch_up_together(world: World) {
    // More than one page of the journal, of two tenants.
    for (shop, orders) in [(world.shop(), 1500), (world.other_shop(), 100), (world.shop(), 700)] {
        let opens = |_| json!({"op": "checkout", "idempotency_key": unique("key"), "body": checkout(100)});
        let lines: String = (0..orders).map(|number| format!("{}\n", opens(number))).collect();
        let request = shop.request(Method::POST, "/v1/batch").header("content-type", "application/x-ndjson");
        Reply::to(request.body(lines)).await.expect(200);
    }
    let expected = world.log().await.order_positions("acme");
    assert_eq!(expected.len(), 2200);
    let shop = world.shop();
    let readers = (0..100).map(|number| {
        // One from the start, the others from all over the log.
        let (seen, rest) = expected.split_at(number * 20);
        let shop = &shop;
        async move {
            let mut feed = shop.feed(seen.last().map(String::as_str)).await;
            assert_feed_is(&mut feed, rest).await;
        }
    });
    futures::future::join_all(readers).await;
}
