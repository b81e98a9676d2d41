//! Buyers of the vendor surfaces: where their vendors send them, what they do there, and how they come back.

use daybook_tests::browser::Shop;
use daybook_tests::client::unique;
use daybook_tests::{Reply, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use crate::{DECLINED, GOOD, Scene, query};

crate::in_a_browser!(
    orkestapay_sends_its_buyers_back_completed_or_canceled,
    akinon_gets_its_buyers_back_by_a_form_with_a_hash,
    akinon_may_send_its_buyers_on_to_another_site,
    kronors_buyers_pass_or_fail_the_authentication,
    kronors_buyers_without_a_success_url_are_told_the_outcome,
);

impl Scene {
    async fn orkestapay(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let merchant = self.merchant();
        let credentials = json!({
            "client_id": merchant.tenant.id, "client_secret": merchant.tenant.key,
            "grant_type": "client_credentials",
        });
        let token = merchant.anonymous(Method::POST, "/orkestapay/v1/oauth/tokens").json(&credentials);
        let token = Reply::to(token).await.expect(200).text("/access_token");
        let request = merchant.anonymous(method, &format!("/orkestapay/v1{path}")).bearer_auth(token);
        Reply::to(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    async fn akinon(&self, path: &str, body: &Value) -> Reply {
        let merchant = self.merchant();
        let request = merchant.anonymous(Method::POST, &format!("/akinon{path}"));
        Reply::to(request.basic_auth(merchant.tenant.id, Some(merchant.tenant.key)).json(body)).await
    }

    /// Begins a session for 100.00 TRY.
    async fn session(&self, order: &str, return_url: &str) -> Reply {
        let session = json!({
            "version": "1.0", "guid": unique("guid"), "orderId": order, "orderAmount": 100.00, "locale": "tr-TR",
            "returnUrl": return_url, "type": "SALE", "currency": "TRY", "clientIp": "203.0.113.7",
            "customer": {"firstName": "Ada", "lastName": "Buyer", "phoneNumber": "+905551112233",
                         "email": "ada@shop.example", "clientIp": "203.0.113.7"},
            "targetProvider": "bank-1",
        });
        self.akinon("/start-session", &session).await.expect(200)
    }

    async fn kronor(&self, token: &str, query: &str, variables: Value) -> Value {
        let request = self.merchant().anonymous(Method::POST, "/kronor/v1/graphql").bearer_auth(token);
        let reply = Reply::to(request.json(&json!({"query": query, "variables": variables}))).await;
        let reply = reply.expect(200).json();
        assert!(reply["errors"].is_null(), "{reply}");
        reply["data"].clone()
    }

    /// A purchase of 300.00 SEK that waits for its buyer's authentication: its reference and waitToken.
    async fn purchase(&self) -> (String, String) {
        let key = unique("key");
        let reference = format!("ref-{key}");
        let address = json!({
            "firstName": "Ada", "lastName": "Byron", "email": "ada@shop.example", "phoneNumber": "+46701234567",
            "streetAddress": "Storgatan 1", "postalCode": "11122", "city": "Stockholm", "country": "SE",
        });
        let purchase = json!({
            "idempotencyKey": key, "merchantReference": reference, "billingAddress": address,
            "nationalIdentificationNumber": "181512101234", "purchaseCountry": "SE", "purchaseLanguage": "SV",
            "purchaseLines": [{"name": "Lamp", "pricePerItem": 10000, "quantity": 3, "taxRate": 2500,
                               "totalAmount": 30000, "totalTaxAmount": 6000, "reference": "lamp"}],
            "purchaseTotalAmount": 30000, "purchaseTaxAmount": 6000,
        });
        let create = "mutation Create($purchase: PurchaseOrderInput!) {
            newPurchaseOrder(purchase: $purchase) { waitToken } }";
        let created = self.kronor(self.merchant().tenant.key, create, json!({"purchase": purchase})).await;
        let token = created["newPurchaseOrder"]["waitToken"].as_str().expect("a token").to_owned();
        self.purchase_until(&token, "SCA_REQUIRED").await;
        (reference, token)
    }

    /// Waits until the purchase has this status, and returns its `resultingPurchaseId`.
    async fn purchase_until(&self, token: &str, status: &str) -> Value {
        let query = "{ purchaseOrders { resultingPurchaseId status { status } } }";
        eventually(status, async || {
            let seen = self.kronor(token, query, json!({})).await["purchaseOrders"][0].clone();
            (seen["status"][0]["status"] == status).then(|| seen["resultingPurchaseId"].clone())
        })
        .await
    }

    /// The SCA page's address, as a merchant's web site makes it.
    fn sca_page(&self, token: &str, success_url: Option<&str>) -> String {
        let mut page = reqwest::Url::parse(self.merchant().url()).expect("a URL");
        page.set_path("/kronor/sca");
        page.query_pairs_mut()
            .append_pair("token", token)
            .extend_pairs(success_url.map(|url| ("success_url", url)));
        page.into()
    }
}

async fn orkestapay_sends_its_buyers_back_completed_or_canceled(scene: &Scene) {
    for (path, status) in [("/completed", "COMPLETED"), ("/canceled", "CANCELED")] {
        let shop = Shop::open().await;
        let body = json!({
            "completed_redirect_url": shop.url("/completed?cart=7&tag=a%20b&tag=c%26d"),
            "canceled_redirect_url": shop.url("/canceled?cart=7&tag=a%20b&tag=c%26d"),
            "locale": "ES_LATAM",
            "order": {
                "merchant_order_id": unique("A"), "currency": "MXN", "country_code": "MX",
                "subtotal_amount": 1000, "discounts": [{"amount": 10}], "total_amount": 990,
                "products": [{"id": "7197", "name": "Television", "quantity": 1, "unit_price": 1000}],
                "customer": {"first_name": "John", "last_name": "Doe", "email": "john.doe@example.com"},
            },
        });
        let made = scene.orkestapay(Method::POST, "/checkouts", Some(&body)).await.expect(201);
        let order = made.text("/order/order_id");
        scene.browser.open(&made.text("/checkout_redirect_url")).await;
        scene.browser.shows("990.00 MXN").await;
        match status {
            "COMPLETED" => scene.pay(GOOD).await,
            _ => scene.browser.press("Cancel").await,
        }
        scene.browser.arrives_at(&shop.url(path)).await;
        scene.browser.shows("Back at the shop").await;
        let visits = shop.visits();
        assert_eq!((visits.len(), &visits[0].referer), (1, &None), "{visits:?}");
        let own = query(&[("cart", "7"), ("tag", "a b"), ("tag", "c&d")]);
        assert_eq!(visits[0].query[..3], own, "the shop's own parameters survive");
        assert_eq!(visits[0].value("order_id"), order);
        eventually(status, async || {
            let told = scene.orkestapay(Method::GET, &format!("/orders/{order}"), None).await.expect(200);
            (told.text("/status") == status).then_some(())
        })
        .await;
    }
    scene.assert_clean(&[]).await;
}

async fn akinon_gets_its_buyers_back_by_a_form_with_a_hash(scene: &Scene) {
    // The form sends itself; where no script runs, its button does. A failed payment comes back as nothing paid.
    for (card, has_scripts, amount) in
        [(GOOD, true, "100.00"), (GOOD, false, "100.00"), (DECLINED, true, "0.00")]
    {
        let (name, shop) = (unique("ord"), Shop::open().await);
        let begun = scene.session(&name, &shop.url("/orders/redirection/?page=OrderNotePage")).await;
        scene.browser.allow_scripts(has_scripts).await;
        scene.browser.open(&begun.text("/redirectUrl")).await;
        scene.pay(card).await;
        if !has_scripts {
            scene.browser.shows("You are being taken back to the shop").await;
            scene.assert_fits("the way back").await;
            scene.browser.press("Continue").await;
        }
        scene.browser.arrives_at(&shop.url("/orders/redirection/")).await;
        scene.browser.shows("Back at the shop").await;

        let visits = shop.visits();
        assert_eq!((visits.len(), &visits[0].referer), (1, &None), "{visits:?}");
        let visit = &visits[0];
        assert_eq!((visit.method.as_str(), visit.value("page")), ("POST", "OrderNotePage"));
        let session_id = begun.text("/sessionId");
        let [id, order, salt, paid, hash] =
            ["sessionId", "orderId", "salt", "amount", "hash"].map(|field| visit.value(field));
        assert_eq!((id, order, paid), (session_id.as_str(), name.as_str(), amount));
        assert!(salt.len() == 10 && salt.bytes().all(|b| b.is_ascii_alphanumeric()), "{salt}");
        let text = format!("{salt}|{session_id}|{amount}|demo-hash-key");
        assert_eq!(hash, data_encoding::HEXLOWER.encode(&Sha512::digest(text.as_bytes())));

        let purchase = json!({"version": "1.0", "guid": unique("guid"), "orderId": name});
        let status = scene.akinon("/purchase", &purchase).await.text("/status");
        assert_eq!(status, if card == GOOD { "RESOLVED" } else { "REJECTED" });
    }
    scene.assert_clean(&[]).await;
}

async fn akinon_may_send_its_buyers_on_to_another_site(scene: &Scene) {
    let elsewhere = Shop::open().await;
    let return_url = scene.shop.url(&format!("/redirection?then={}", elsewhere.url("/thanks")));
    let begun = scene.session(&unique("ord"), &return_url).await;
    scene.browser.open(&begun.text("/redirectUrl")).await;
    scene.pay(GOOD).await;
    // What the page's policy says of forms holds for every redirect that follows one.
    scene.browser.arrives_at(&elsewhere.url("/thanks")).await;
    scene.assert_clean(&[]).await;
}

async fn kronors_buyers_pass_or_fail_the_authentication(scene: &Scene) {
    for (button, status) in [("Pass", "WAITING_FOR_CAPTURE"), ("Fail", "REJECTED")] {
        let shop = Shop::open().await;
        let (reference, token) = scene.purchase().await;
        let success_url = shop.url("/done?cart=7%269&status=old");
        scene.browser.open(&scene.sca_page(&token, Some(&success_url))).await;
        let text = scene.browser.shows("Continue to authentication").await;
        assert!(text.contains(&reference) && text.contains("300.00 SEK"), "{text}");
        scene.assert_fits("the SCA page").await;
        scene.browser.press("Continue to authentication").await;
        scene.browser.press(button).await;
        scene.browser.arrives_at(&shop.url("/done")).await;
        scene.browser.shows("Back at the shop").await;

        let visits = shop.visits();
        assert_eq!((visits.len(), &visits[0].referer), (1, &None), "{visits:?}");
        let number = scene.purchase_until(&token, status).await;
        let mut expect = query(&[("cart", "7&9"), ("status", status), ("reference", &reference)]);
        if button == "Pass" {
            expect.push(("purchaseId".to_owned(), number.as_i64().expect("a number").to_string()));
        } else {
            assert!(number.is_null(), "{number}");
        }
        assert_eq!(visits[0].query, expect, "merged into the shop's own query");
    }
    scene.assert_clean(&[]).await;
}

async fn kronors_buyers_without_a_success_url_are_told_the_outcome(scene: &Scene) {
    for (button, title) in [("Pass", "Thank you"), ("Fail", "Not confirmed")] {
        let (reference, token) = scene.purchase().await;
        let page = scene.sca_page(&token, None);
        scene.browser.open(&page).await;
        scene.browser.press("Continue to authentication").await;
        scene.browser.press(button).await;
        let text = scene.browser.shows(title).await;
        assert!(text.contains(&reference), "{text}");
        scene.assert_fits(title).await;
        // Who opens the first page again is told the same.
        scene.browser.open(&page).await;
        scene.browser.shows(title).await;
    }
    scene.assert_clean(&[]).await;
}
