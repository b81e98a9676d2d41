//! The SCA page and the way back from it.

use daybook_tests::client::ACME;
use daybook_tests::{Client, Reply, Server, World};
use reqwest::Method;
use serde_json::json;

use super::buyer::{Created, create, sek};
use super::challenge;

daybook_tests::in_each_world!(
    a_buyer_goes_to_the_challenge_and_comes_back_with_the_outcome,
    a_challenge_in_html_is_shut_off_from_the_page,
    nobody_sees_the_page_of_an_order_without_its_token,
);

async fn get(shop: &Client, path: &str, cookie: Option<&str>) -> Reply {
    let request = shop.anonymous(Method::GET, path);
    Reply::to(match cookie {
        Some(cookie) => request.header("cookie", cookie),
        None => request,
    })
    .await
}

/// Where the PSP sends the buyer back to, as it reads it in the order.
async fn way_back(shop: &Client, created: &Created) -> String {
    let order = shop.get(&format!("/v1/orders/{}", created.order)).await.expect(200);
    let url = order.text("/return_urls/success");
    assert_eq!(order.text("/return_urls/failure"), url);
    url.strip_prefix(shop.url()).expect("an address of this server").to_owned()
}

fn is_confidential(reply: &Reply) {
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
}

async fn a_buyer_goes_to_the_challenge_and_comes_back_with_the_outcome(world: World) {
    let shop = world.shop();
    for outcome in ["pass", "fail", "cancel"] {
        let created = create(&shop).await;
        let success_url = "https://shop.example/done?cart=7%269&status=old";
        let page = format!(
            "/kronor/sca?token={}&success_url={}",
            created.token,
            success_url.replace('%', "%25").replace('&', "%26")
        );
        let waiting = get(&shop, &page, None).await.expect(200);
        assert!(waiting.body().contains("http-equiv=\"refresh\""), "{}", waiting.body());

        challenge(&shop, &created.order, "https://bank.example/sca?a=1&b=\"<x>").await;
        created.until(&shop, "SCA_REQUIRED").await;
        let shown = get(&shop, &page, None).await.expect(200);
        is_confidential(&shown);
        let policy = shown.header("content-security-policy").expect("a policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"),
            "{policy}"
        );
        let body = shown.body();
        assert!(
            body.contains(&format!("<dd>ref-{}</dd>", created.id)) && body.contains("300.00 SEK"),
            "{body}"
        );
        assert!(body.contains("href=\"https://bank.example/sca?a=1&amp;b=%22%3Cx%3E\""), "{body}");
        assert!(!body.contains(&created.token) && !body.contains("<script"), "{body}");
        let cookie = shown.header("set-cookie").expect("a cookie").to_owned();
        assert!(cookie.contains("; Path=/kronor/sca; Max-Age=3600; HttpOnly; SameSite=Lax"), "{cookie}");
        let cookie = cookie.split(';').next().expect("a pair").to_owned();

        match outcome {
            "pass" => {
                drop(shop.report(&created.order, "payment.authorized", json!({"amount": sek(30_000)})).await)
            }
            "fail" => drop(shop.report(&created.order, "payment.failed", json!({"reason": "no"})).await),
            _ => assert!(super::cancel(&shop, &created.token, &created.id).await),
        }
        let back = way_back(&shop, &created).await;
        let returned = get(&shop, &format!("{back}?order_id=x&status=y"), Some(&cookie)).await.expect(303);
        is_confidential(&returned);
        let expect = match created.seen(&shop).await["resultingPurchaseId"].as_i64() {
            Some(number) => {
                format!("status=WAITING_FOR_CAPTURE&reference=ref-{}&purchaseId={number}", created.id)
            }
            None => format!("status=REJECTED&reference=ref-{}", created.id),
        };
        assert_eq!(outcome == "pass", expect.contains("purchaseId"));
        let expect = format!("https://shop.example/done?cart=7%269&{expect}");
        assert_eq!(returned.header("location"), Some(expect.as_str()));
        // By now the page itself knows, too.
        assert_eq!(get(&shop, &page, None).await.expect(303).header("location"), Some(expect.as_str()));
        // A bank that sends a form is answered with the same address again.
        let by_form = Reply::to(shop.anonymous(Method::POST, &back).body("x=1")).await.expect(303);
        assert_eq!(by_form.header("location"), Some(format!("{}{back}", shop.url()).as_str()));

        // Without the cookie, or with one that was tampered with or is another order's, no address is known here.
        let other = create(&shop).await;
        let forged = cookie.replacen('=', "=aHR0cHM6Ly9ldmlsLmV4YW1wbGU", 1);
        for cookie in [None, Some(forged.as_str())] {
            let told = get(&shop, &back, cookie).await.expect(200);
            let title = if outcome == "pass" { "Thank you" } else { "Not confirmed" };
            assert!(told.body().contains(title), "{}", told.body());
        }
        assert!(super::cancel(&shop, &other.token, &other.id).await);
        let back = way_back(&shop, &other).await;
        get(&shop, &back, Some(&cookie)).await.expect(200);
    }
}

async fn a_challenge_in_html_is_shut_off_from_the_page(world: World) {
    let shop = world.shop();
    let created = create(&shop).await;
    let html = "<form action='https://bank.example'></form><script>document.forms[0].submit()</script>";
    let data = json!({"challenge": {"html": html, "id": "sca-1"}});
    shop.report(&created.order, "payment.action_required", data).await;
    created.until(&shop, "SCA_REQUIRED").await;
    let onward = format!("/kronor/sca/challenge?token={}", created.token);
    let page = get(&shop, &format!("/kronor/sca?token={}", created.token), None).await.expect(200).body();
    assert!(
        page.contains(&format!("href=\"{}{onward}\"", shop.url())) && !page.contains("<script"),
        "{page}"
    );
    let foreign = get(&shop, &onward, None).await.expect(200);
    assert_eq!(foreign.body(), html);
    is_confidential(&foreign);
    let policy = foreign.header("content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("sandbox allow-forms allow-scripts") && !policy.contains("same-origin"),
        "{policy}"
    );
    // Where the PSP's address is none of the web's, the buyer stays.
    let bad = create(&shop).await;
    challenge(&shop, &bad.order, "javascript:alert(1)").await;
    bad.until(&shop, "SCA_REQUIRED").await;
    let page = get(&shop, &format!("/kronor/sca?token={}", bad.token), None).await.expect(200).body();
    assert!(!page.contains("javascript:"), "{page}");
}

async fn nobody_sees_the_page_of_an_order_without_its_token(world: World) {
    let shop = world.shop();
    let created = create(&shop).await;
    let back = way_back(&shop, &created).await;
    let native =
        shop.post("/v1/checkouts", &daybook_tests::checkout(100)).await.expect(202).text("/status_token");
    for path in [
        "/kronor/sca".to_owned(),
        "/kronor/sca?token=".to_owned(),
        format!("/kronor/sca?token={native}"),
        format!("/kronor/sca?token={}", shop.tenant.key),
        format!("/kronor/sca?token={}x", created.token),
        format!("/kronor/sca?token={}", back.rsplit('/').next().expect("a token")),
        format!("/kronor/sca/challenge?token={}", created.token),
        "/kronor/sca/return/x".to_owned(),
        format!("{back}x"),
        format!("/kronor/sca/return/{}", created.token.trim_start_matches("wt_")),
    ] {
        let reply = get(&shop, &path, None).await.expect(404);
        assert!(reply.header("content-type").is_some_and(|text| text.starts_with("text/html")), "{path}");
        assert!(!reply.body().contains(&created.id));
    }
    for bad in ["javascript:alert(1)", "/done", "shop.example", "ftp://shop.example/"] {
        get(&shop, &format!("/kronor/sca?token={}&success_url={bad}", created.token), None).await.expect(400);
    }
}

/// With the tenant's own addresses configured; the pages are the same on every journal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buyers_are_sent_to_the_configured_addresses_alone() {
    let directory = tempfile::TempDir::with_prefix("daybook-test-").expect("a directory");
    let plain = daybook_tests::worlds::configuration("");
    let (acme, globex) = plain.split_at(plain.rfind("[[tenants]]").expect("a second tenant"));
    let kronor = "[tenants.kronor]\nredirect_url = \"https://checkout.example/return?lang=sv\"\n\
                  redirect_origins = [\"https://shop.example\"]\n\n";
    let file = directory.path().join("daybook.toml");
    std::fs::write(&file, format!("{acme}{kronor}{globex}")).expect("a configuration file");
    let arguments = ["--config".to_owned(), file.display().to_string()];
    let server = Server::start(directory.path(), &arguments).await;
    let shop = Client::new(server.url(), ACME);

    let created = create(&shop).await;
    let page = |url: &str| format!("/kronor/sca?token={}&success_url={url}", created.token);
    for (url, status) in [
        ("https://shop.example/thanks", 200),
        ("https://checkout.example/", 200),
        ("https://evil.example/", 400),
        ("http://shop.example/", 400),
        ("https://shop.example.evil.example/", 400),
        ("https://shop.example@evil.example/", 400),
    ] {
        get(&shop, &page(url), None).await.expect(status);
    }
    shop.report(&created.order, "payment.authorized", json!({"amount": sek(30_000)})).await;
    created.until(&shop, "WAITING_FOR_CAPTURE").await;
    let number = created.seen(&shop).await["resultingPurchaseId"].clone();
    let expect = format!(
        "https://checkout.example/return?lang=sv&status=WAITING_FOR_CAPTURE&reference=ref-{}&purchaseId={number}",
        created.id
    );
    let back = way_back(&shop, &created).await;
    for path in [back, format!("/kronor/sca/?token={}", created.token)] {
        assert_eq!(get(&shop, &path, None).await.expect(303).header("location"), Some(expect.as_str()));
    }
}
