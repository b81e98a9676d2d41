//! The sandbox as a whole, against a stand-in for the server.

#![allow(clippy::unwrap_used, reason = "these are tests")]

#[path = "sandbox/stand_in.rs"]
mod stand_in;

use std::time::Duration;

use daybook::sandbox::{self, ApiKey, Settings};
use jiff::{Timestamp, ToSpan};
use ledger::ids::{CaptureId, RecordId, RefundId, TrackingNumber};
use ledger::order::{CaptureMode, Command, Status};
use reqwest::{Client, Response};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::stand_in::{SECRET, StandIn};

/// A server, its sandbox, and a directory for the sandbox's file.
struct Stage {
    server: StandIn,
    base_url: String,
    settings: Settings,
    client: Client,
    worker: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    _dir: tempfile::TempDir,
}

impl Stage {
    /// Everything but the worker.
    async fn set() -> Stage {
        let server = StandIn::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            base_url: base_url.clone(),
            public_url: base_url.clone(),
            tenant: "demo".to_owned(),
            api_key: ApiKey::new("demo-key"),
            webhook_secret: SECRET.parse().unwrap(),
            delay: Duration::from_millis(300),
            cursor_file: dir.path().join("sandbox.cursor"),
        };
        let app = server.router().merge(sandbox::router(settings.clone()));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let client =
            Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Stage { server, base_url, settings, client, worker: None, _dir: dir }
    }

    async fn with_worker() -> Stage {
        let mut stage = Stage::set().await;
        stage.start();
        stage
    }

    fn start(&mut self) {
        let (stop, stopped) = oneshot::channel();
        let worker = sandbox::run(self.settings.clone(), async {
            let _stopped = stopped.await;
        });
        self.worker = Some((stop, tokio::spawn(worker)));
    }

    async fn stop(&mut self) {
        let (stop, worker) = self.worker.take().unwrap();
        stop.send(()).unwrap();
        worker.await.unwrap();
    }

    /// As a crash would: nothing more is done or written.
    async fn kill(&mut self) {
        let (_stop, worker) = self.worker.take().unwrap();
        worker.abort();
        assert!(worker.await.unwrap_err().is_cancelled());
    }

    fn card(&self, token: &str) -> RecordId {
        self.server.submit(Some(("card", Some(token))), CaptureMode::Automatic)
    }

    fn page(&self, page: &str, id: RecordId) -> String {
        format!("{}/sandbox/{page}/{}", self.base_url, TrackingNumber(id))
    }

    async fn post(&self, url: String, fields: &[(&str, &str)]) -> Response {
        self.client.post(url).form(fields).send().await.unwrap()
    }

    async fn pay(&self, id: RecordId, attempt: &str, number: &str) -> Response {
        let token = format!("st_{id}");
        let fields = [("token", token.as_str()), ("attempt", attempt), ("number", number), ("action", "pay")];
        self.post(self.page("pay", id), &fields).await
    }

    async fn show(&self, id: RecordId) -> String {
        let response = self.client.get(self.page("pay", id)).query(&[("token", format!("st_{id}"))]);
        response.send().await.unwrap().text().await.unwrap()
    }
}

fn location(response: &Response) -> &str {
    assert_eq!(response.status(), 303);
    response.headers()["location"].to_str().unwrap()
}

#[tokio::test]
async fn each_token_ends_as_the_guide_says_in_either_capture_mode() {
    let stage = Stage::with_worker().await;
    for (token, automatic, manual) in [
        ("tok_success", "captured", "authorized"),
        ("tok_3ds", "action_required", "action_required"),
        ("tok_3ds_failed", "action_required", "action_required"),
        ("tok_declined", "failed", "failed"),
        ("tok_delayed", "captured", "authorized"),
        ("tok_duplicate_webhooks", "captured", "authorized"),
        ("tok_reordered_webhooks", "captured", "authorized"),
        ("tok_nobody_knows", "failed", "failed"),
    ] {
        for (mode, status) in [(CaptureMode::Automatic, automatic), (CaptureMode::Manual, manual)] {
            let id = stage.server.submit(Some(("card", Some(token))), mode);
            stage.server.until_status(id, status).await;
        }
    }
}

#[tokio::test]
async fn duplicates_are_sent_as_often_as_promised_and_count_once() {
    let stage = Stage::with_worker().await;
    let id = stage.card("tok_duplicate_webhooks");
    stage.server.until(|| stage.server.taken(id).len() == 7).await;
    let expect =
        ["authorized", "authorized", "authorized", "captured", "captured", "captured", "captured_again"];
    assert_eq!(stage.server.taken(id), expect);
    stage.server.until(|| stage.server.end() == "0-4").await;
    let order = stage.server.order(id);
    assert_eq!((order.balance().balance_minor, order.anomalies()), (1999, vec![]));
}

#[tokio::test]
async fn webhooks_out_of_order_are_sent_out_of_order() {
    let stage = Stage::with_worker().await;
    let id = stage.card("tok_reordered_webhooks");
    stage.server.until(|| stage.server.taken(id).len() == 2).await;
    assert_eq!(stage.server.taken(id), ["captured", "authorized"]);
}

#[tokio::test]
async fn the_late_webhook_comes_when_the_order_has_expired_and_not_before() {
    let stage = Stage::with_worker().await;
    let late = stage.card("tok_late_webhook");
    let other = stage.card("tok_success");
    stage.server.until_status(other, "captured").await;
    assert_eq!(stage.server.taken(late), [""; 0]);
    stage.server.command(late, Command::Expire { now: Timestamp::now() + 2.hours() });
    stage.server.until(|| stage.server.order(late).balance().captured_minor == 1999).await;
    assert_eq!(stage.server.order(late).status(), Status::Expired);
    assert_eq!(stage.server.order(late).anomalies().len(), 1);
}

#[tokio::test]
async fn captures_refunds_and_cancellations_are_answered() {
    let stage = Stage::with_worker().await;
    let manual = || stage.server.submit(Some(("card", Some("tok_success"))), CaptureMode::Manual);
    let (kept, given_up) = (manual(), manual());
    stage.server.until_status(kept, "authorized").await;
    let capture = CaptureId::for_key(kept, Some("c"));
    stage.server.command(kept, Command::Capture { id: capture, amount: None });
    stage.server.until_status(kept, "captured").await;
    let refund = RefundId::for_key(kept, Some("r"));
    stage.server.command(kept, Command::Refund { id: refund, amount: None, reason: None });
    stage.server.until_status(kept, "refunded").await;
    let order = stage.server.order(kept);
    assert_eq!((order.attempts[0].captures.len(), order.attempts[0].refunds.len()), (1, 1));

    stage.server.until_status(given_up, "authorized").await;
    stage.server.command(given_up, Command::Cancel);
    stage.server.until_status(given_up, "canceled").await;
    assert_eq!(stage.server.order(given_up).anomalies(), []);
}

#[tokio::test]
async fn a_cancellation_overtakes_a_delayed_capture() {
    let mut stage = Stage::set().await;
    stage.settings.delay = Duration::from_secs(1);
    stage.start();
    let id = stage.card("tok_delayed");
    stage.server.until_status(id, "authorized").await;
    stage.server.command(id, Command::Cancel);
    stage.server.until_status(id, "canceled").await;
    let end = format!("{} {id}\n", stage.server.end());
    let file = stage.settings.cursor_file.clone();
    let is_done = async {
        while tokio::fs::read_to_string(&file).await.unwrap_or_default() != end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), is_done).await.unwrap();
    assert_eq!(stage.server.taken(id), ["authorized", "voided"], "nothing is open and nothing was captured");
}

#[tokio::test]
async fn a_webhook_is_sent_until_it_is_taken_and_one_stuck_order_holds_up_no_other() {
    let stage = Stage::set().await;
    let stuck = stage.card("tok_success");
    stage.server.stick(stuck);
    stage.server.fail_webhooks(3);
    let mut stage = stage;
    stage.start();
    let others: Vec<RecordId> = (0..100).map(|_| stage.card("tok_success")).collect();
    for id in others {
        stage.server.until_status(id, "captured").await;
    }
    assert_eq!(stage.server.order(stuck).status(), Status::Processing);
    stage.stop().await;
    assert!(
        !stage.settings.cursor_file.exists(),
        "the first order is not done, so the place is the beginning"
    );
    stage.server.unstick(stuck);
    stage.start();
    stage.server.until_status(stuck, "captured").await;
}

#[tokio::test]
async fn a_webhook_that_is_refused_for_good_is_given_up() {
    let mut stage = Stage::set().await;
    let id = stage.card("tok_success");
    stage.server.refuse(format!("evt_{id}_1_authorized"));
    stage.start();
    stage.server.until_status(id, "captured").await;
    assert_eq!(stage.server.taken(id), ["captured"]);
}

#[tokio::test]
async fn a_worker_that_is_killed_at_any_moment_goes_on_where_it_was() {
    let mut stage = Stage::set().await;
    let orders: Vec<RecordId> = (0..60)
        .map(|n| stage.card(["tok_success", "tok_delayed", "tok_reordered_webhooks"][n % 3]))
        .collect();
    let done = |stage: &Stage| {
        orders.iter().filter(|id| stage.server.order(**id).status() == Status::Captured).count()
    };
    for target in [5, 15, 40, 60] {
        // Slows it down, so that the place is written while orders are under way.
        let left = orders.len() - done(&stage);
        stage.server.fail_webhooks(2 * u32::try_from(left).unwrap());
        stage.start();
        stage.server.until(|| done(&stage) >= target).await;
        stage.kill().await;
    }
    for id in &orders {
        let order = stage.server.order(*id);
        assert_eq!((order.balance().balance_minor, order.anomalies()), (1999, vec![]));
        assert_eq!(order.attempts.len(), 1);
    }
}

#[tokio::test]
async fn a_place_in_another_log_is_forgotten() {
    let mut stage = Stage::set().await;
    let of_another_log = format!("0-500 {}\n", RecordId::random());
    std::fs::write(&stage.settings.cursor_file, of_another_log).unwrap();
    let id = stage.card("tok_success");
    stage.start();
    stage.server.until_status(id, "captured").await;
}

#[tokio::test]
async fn a_challenge_is_passed_or_failed_by_the_buyer() {
    let stage = Stage::with_worker().await;
    for (token, answer, status) in
        [("tok_3ds", "pass", "captured"), ("tok_3ds", "fail", "failed"), ("tok_3ds_failed", "pass", "failed")]
    {
        let id = stage.card(token);
        stage.server.until_status(id, "action_required").await;
        let url = stage.server.order(id).attempts[0].challenge.clone().unwrap().url.unwrap();
        let shown = stage.client.get(&url).send().await.unwrap().text().await.unwrap();
        assert!(shown.contains("value=\"pass\"") && shown.contains("19.99 EUR"), "{shown}");
        // As the guide tells a program to do it.
        let (page, query) = url.split_once('?').unwrap();
        let body = format!("{query}&answer={answer}");
        let form =
            stage.client.post(page).header("content-type", "application/x-www-form-urlencoded").body(body);
        let response = form.send().await.unwrap();
        match status {
            "captured" => {
                assert!(location(&response).starts_with("https://shop.example/ok?cart=7&order_id="))
            }
            _ => assert!(location(&response).starts_with("/sandbox/pay/"), "there is no URL for a failure"),
        }
        stage.server.until_status(id, status).await;
    }
}

#[tokio::test]
async fn a_buyer_pays_on_the_page_and_a_second_click_is_harmless() {
    let stage = Stage::with_worker().await;
    let id = stage.server.submit(None, CaptureMode::Automatic);
    let shown = stage.show(id).await;
    assert!(shown.contains("A-1 &lt;b&gt;") && shown.contains("Pay 19.99 EUR"), "{shown}");
    let pay = || stage.pay(id, "1", "4242 4242 4242 4242");
    let (first, second) = tokio::join!(pay(), pay());
    for response in [first, second] {
        assert!(location(&response).starts_with("https://shop.example/ok?cart=7&order_id="));
    }
    stage.server.until_status(id, "captured").await;
    let order = stage.server.order(id);
    assert_eq!((order.attempts.len(), order.balance().balance_minor), (1, 1999));
    assert_eq!(order.attempts[0].payment_reference, Some(format!("pay_{id}_1")));
    assert!(stage.show(id).await.contains("Thank you"));
}

#[tokio::test]
async fn a_buyer_who_was_declined_pays_with_another_card() {
    let stage = Stage::with_worker().await;
    let id = stage.server.submit(None, CaptureMode::Automatic);
    let declined = stage.pay(id, "1", "4000000000000002").await;
    assert!(location(&declined).starts_with("/sandbox/pay/"));
    assert!(stage.show(id).await.contains("card_declined"));
    let challenge = stage.pay(id, "2", "4000002500003155").await;
    let url = format!("{}{}", stage.base_url, location(&challenge));
    assert!(url.contains("/sandbox/challenge/") && url.ends_with(&format!("&payment=pay_{id}_2")), "{url}");
    let (page, _) = url.split_once('?').unwrap();
    let (token, payment) = (format!("st_{id}"), format!("pay_{id}_2"));
    let fields = [("token", token.as_str()), ("payment", payment.as_str()), ("answer", "pass")];
    let passed = stage.post(page.to_owned(), &fields).await;
    assert!(location(&passed).starts_with("https://shop.example/ok"));
    assert_eq!(stage.server.order(id).attempts.len(), 2);
}

#[tokio::test]
async fn a_wallet_sends_the_buyer_to_the_page_for_the_same_attempt() {
    let stage = Stage::with_worker().await;
    let id = stage.server.submit(Some(("paypal", None)), CaptureMode::Automatic);
    stage.server.until_status(id, "action_required").await;
    let url = stage.server.order(id).attempts[0].challenge.clone().unwrap().url.unwrap();
    let shown = stage.client.get(url).send().await.unwrap().text().await.unwrap();
    assert!(shown.contains("stands in for <b>paypal</b>"), "{shown}");
    let paid = stage.pay(id, "1", "4242424242424242").await;
    assert!(location(&paid).starts_with("https://shop.example/ok"));
    assert_eq!(stage.server.order(id).attempts.len(), 1);
}

#[tokio::test]
async fn the_late_card_of_the_page_is_remembered_until_the_order_expires() {
    let mut stage = Stage::with_worker().await;
    let id = stage.server.submit(None, CaptureMode::Automatic);
    // No outcome will come; the buyer gives up waiting before the page does.
    let token = format!("st_{id}");
    let fields = [("token", token.as_str()), ("attempt", "1"), ("number", "4000000000005423")];
    let request = stage.client.post(stage.page("pay", id)).form(&fields).timeout(Duration::from_millis(500));
    assert!(request.send().await.is_err());
    stage.server.until(|| !stage.server.taken(id).is_empty()).await;
    assert!(stage.show(id).await.contains("Please wait"));
    stage.kill().await;
    stage.server.command(id, Command::Expire { now: Timestamp::now() + 2.hours() });
    stage.start();
    stage.server.until(|| stage.server.order(id).balance().captured_minor == 1999).await;
}

#[tokio::test]
async fn a_buyer_gives_up() {
    let stage = Stage::with_worker().await;
    let id = stage.server.submit(None, CaptureMode::Automatic);
    let token = format!("st_{id}");
    for _ in 0..2 {
        let fields = [("token", token.as_str()), ("attempt", "1"), ("action", "cancel")];
        let response = stage.post(stage.page("pay", id), &fields).await;
        let expect = format!("https://shop.example/cancel?order_id={id}&status=canceled");
        assert_eq!(location(&response), expect);
    }
    assert!(stage.show(id).await.contains("was canceled"));
}

#[tokio::test]
async fn the_page_opens_for_the_right_token_only_and_keeps_to_itself() {
    let stage = Stage::with_worker().await;
    let id = stage.server.submit(None, CaptureMode::Automatic);
    let other = stage.server.submit(None, CaptureMode::Automatic);
    let other_token = format!("st_{other}");
    for token in ["", "x", "pt_AAAA", other_token.as_str()] {
        for page in ["pay", "challenge", "result"] {
            let url = stage.page(page, id);
            let response = stage.client.get(url).query(&[("token", token)]).send().await.unwrap();
            assert_eq!(response.status(), 404, "{page} {token}");
        }
        let fields = [("token", token), ("attempt", "1"), ("number", "4242424242424242")];
        assert_eq!(stage.post(stage.page("pay", id), &fields).await.status(), 404);
    }
    let escape = format!("{}/sandbox/pay/..%2F..%2Fhealthz?token=st_{id}", stage.base_url);
    assert_eq!(stage.client.get(escape).send().await.unwrap().status(), 404);

    let url = stage.page("pay", id);
    let response = stage.client.get(url).query(&[("token", format!("st_{id}"))]).send().await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert!(header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("referrer-policy"), "no-referrer");
    assert_eq!(header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn a_card_that_is_not_a_test_card_goes_nowhere() {
    let stage = Stage::with_worker().await;
    let id = stage.server.submit(None, CaptureMode::Automatic);
    for (number, alert) in [("4012888888881881", "Only the test cards"), ("4242", "typing error")] {
        let response = stage.pay(id, "1", number).await;
        assert_eq!(response.status(), 422);
        let shown = response.text().await.unwrap();
        assert!(shown.contains(alert), "{shown}");
        assert!(!shown.contains(&format!("\"{number}\"")), "the number is not shown again");
    }
    assert_eq!(stage.server.end(), "0-1", "nothing was reported");
}

#[test]
fn the_page_takes_the_same_cards_as_the_surfaces_that_send_cards() {
    let guide = include_str!("../../docs/src/guides/sandbox.md");
    let listed: Vec<String> =
        guide.lines().filter(|line| line.starts_with("| `tok_")).map(|line| line.replace(' ', "")).collect();
    let known = daybook::cards::TEST_CARDS;
    assert_eq!(listed.len(), known.len());
    for (number, token, _) in known {
        let row = format!("|`{token}`|{number}|");
        assert!(listed.iter().any(|line| line.starts_with(&row)), "{row}");
    }
}
