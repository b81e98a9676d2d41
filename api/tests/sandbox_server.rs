//! The sandbox and its page on a real server: `daybook serve` as a process, with nothing configured but where it
//! keeps its data. Killed without warning in the middle of a challenge; and its printed tour, pasted.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);
const DECLINED: &str = "4000 0000 0000 0002";
const CHALLENGED: &str = "4000 0025 0000 3155";
const GOOD: &str = "4242 4242 4242 4242";

/// A demo server as a process, gone when dropped.
struct Demo {
    url: String,
    client: Client,
    process: Child,
    _stdout: BufReader<ChildStdout>,
    directory: TempDir,
    with_sandbox: bool,
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Demo {
    fn start() -> Demo {
        Demo::with_sandbox(true)
    }

    fn with_sandbox(with_sandbox: bool) -> Demo {
        let directory = TempDir::new().unwrap();
        let (process, stdout, url) = launch(&directory, "127.0.0.1:0", with_sandbox);
        // A connection to a server that was killed is of no use to anybody.
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0);
        let client = client.redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Demo { url, client, process, _stdout: stdout, directory, with_sandbox }
    }

    /// Without warning, as a power cut would.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// On the same data and the same port, since the links that buyers hold lead there.
    async fn restart(&mut self) {
        let address = self.url.strip_prefix("http://").unwrap();
        (self.process, self._stdout, _) = launch(&self.directory, address, self.with_sandbox);
        let is_ready = async {
            while self.get("/readyz").send().await.unwrap().status() != 200 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, is_ready).await.unwrap();
    }

    /// What it has printed for people.
    fn said(&self) -> String {
        std::fs::read_to_string(stderr_of(&self.directory)).unwrap()
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url)).bearer_auth("demo-key")
    }

    async fn read(&self, path: &str) -> Value {
        self.get(path).send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    /// Submits a checkout of 19.99 EUR with these fields besides.
    async fn submit(&self, more: Value) -> Value {
        let mut body = json!({"amount": {"value": 1999, "currency": "EUR"}, "merchant_reference": "A-1"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.post("/v1/checkouts", &body).await
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth("demo-key");
        let response = request.json(body).send().await.unwrap();
        assert_eq!(response.status(), 202);
        response.json().await.unwrap()
    }

    async fn card(&self, token: &str) -> String {
        let reply = self.submit(json!({"payment_method": {"type": "card", "token": token}})).await;
        reply["order_id"].as_str().unwrap().to_owned()
    }

    /// The order as soon as it is like this; waits from change to change.
    async fn until(&self, order: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let response = self.get(&format!("/v1/orders/{order}")).send().await.unwrap();
                let etag = response.headers()["etag"].clone();
                let shown: Value = response.json().await.unwrap();
                if is_so(&shown) {
                    return shown;
                }
                let wait = self.get(&format!("/v1/orders/{order}/status?wait=10s"));
                wait.header("if-none-match", etag).send().await.unwrap();
            }
        };
        match tokio::time::timeout(DEADLINE, waiting).await {
            Ok(shown) => shown,
            Err(_) => panic!("{order} never had {what}; the server said:\n{}", self.said()),
        }
    }

    async fn until_status(&self, order: &str, status: &str) -> Value {
        self.until(order, status, |order| order["status"] == status).await
    }

    /// The event ids of the webhooks in the order's history, without what they have in common.
    async fn webhooks(&self, order: &str) -> Vec<String> {
        let history = self.read(&format!("/v1/orders/{order}/history")).await;
        let ids = history["entries"].as_array().unwrap().iter();
        let ids = ids.filter_map(|entry| entry["cause"]["event_id"].as_str());
        ids.map(|id| id.replace(&format!("evt_{order}_1_"), "")).collect()
    }

    /// A page as a browser shows it.
    async fn open(&self, url: &str) -> Shown {
        let url = if url.starts_with('/') { format!("{}{url}", self.url) } else { url.to_owned() };
        let response = self.client.get(url).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Shown { html: response.text().await.unwrap() }
    }

    /// Fills in the page's form and presses one of its buttons.
    fn press(&self, page: &Shown, number: &str, (name, value): (&str, &str)) -> RequestBuilder {
        assert!(page.html.contains(&format!("name=\"{name}\" value=\"{value}\"")), "{}", page.html);
        let mut fields = page.hidden_fields();
        fields.extend([("number", number), (name, value)]);
        self.client.post(format!("{}{}", self.url, page.action())).form(&fields)
    }

    async fn pay(&self, page: &Shown, number: &str) -> String {
        leads_to(&self.press(page, number, ("action", "pay")).send().await.unwrap())
    }

    async fn answer(&self, page: &Shown, answer: &str) -> String {
        leads_to(&self.press(page, "", ("answer", answer)).send().await.unwrap())
    }
}

fn stderr_of(directory: &TempDir) -> PathBuf {
    directory.path().join("stderr")
}

/// Starts the server and returns when it takes requests.
fn launch(directory: &TempDir, address: &str, with_sandbox: bool) -> (Child, BufReader<ChildStdout>, String) {
    let stderr = File::options().create(true).append(true).open(stderr_of(directory)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_daybook"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DAYBOOK_")) {
        command.env_remove(name);
    }
    command.args(["serve", "--listen", address, "--data-dir", "data"]).current_dir(directory.path());
    command.env("DAYBOOK_SANDBOX_DELAY_MS", "200").env("DAYBOOK_SANDBOX_ENABLED", with_sandbox.to_string());
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
    let mut stdout = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let said = || std::fs::read_to_string(stderr_of(directory)).unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}{}", said()));
    (process, stdout, url.to_owned())
}

fn leads_to(response: &Response) -> String {
    assert_eq!(response.status(), 303);
    response.headers()["location"].to_str().unwrap().to_owned()
}

/// A page with a form.
struct Shown {
    html: String,
}

impl Shown {
    fn hidden_fields(&self) -> Vec<(&str, &str)> {
        let inputs = self.html.split("<input type=\"hidden\" name=\"").skip(1);
        inputs.map(|input| input.split_once("\">").unwrap().0.split_once("\" value=\"").unwrap()).collect()
    }

    fn action(&self) -> &str {
        self.html.split_once(" action=\"").unwrap().1.split_once('"').unwrap().0
    }
}

#[track_caller]
fn check_money(order: &Value, captured: i64, anomalies: &[&str]) {
    assert_eq!(order["balance"]["balance"], captured, "{order}");
    let found: Vec<&str> =
        order["anomalies"].as_array().unwrap().iter().filter_map(|a| a["code"].as_str()).collect();
    assert_eq!(found, anomalies, "{order}");
    assert_eq!(order["attempts"].as_array().unwrap().len(), 1, "{order}");
}

#[tokio::test]
async fn each_token_takes_an_order_to_its_end() {
    let demo = Demo::start();
    for (token, status, reason, captured, webhooks) in [
        ("tok_success", "captured", json!(null), 1999, &["authorized", "captured"][..]),
        ("tok_declined", "failed", json!("card_declined"), 0, &["failed"]),
        ("tok_nobody_knows", "failed", json!("unknown_token"), 0, &["failed"]),
        ("tok_delayed", "captured", json!(null), 1999, &["authorized", "captured"]),
        ("tok_reordered_webhooks", "captured", json!(null), 1999, &["captured", "authorized"]),
        (
            "tok_duplicate_webhooks",
            "captured",
            json!(null),
            1999,
            &["authorized", "captured", "captured_again"],
        ),
    ] {
        let id = demo.card(token).await;
        let all = |order: &Value| order["status"] == status && order["attempts"][0]["authorized"] == captured;
        let mut order = demo.until(&id, token, all).await;
        while demo.webhooks(&id).await.len() < webhooks.len() {
            let seen = order["position"].clone();
            order = demo.until(&id, "another webhook", |order| order["position"] != seen).await;
        }
        assert_eq!(demo.webhooks(&id).await, webhooks, "{token}");
        assert_eq!(order["attempts"][0]["failure_reason"], reason, "{token}");
        check_money(&order, captured, &[]);
    }
}

#[tokio::test]
async fn the_late_webhook_comes_after_the_order_has_expired() {
    let demo = Demo::start();
    let expires_at = (Timestamp::now() + 1500.milliseconds()).to_string();
    let method = json!({"type": "card", "token": "tok_late_webhook"});
    let reply = demo.submit(json!({"payment_method": method, "expires_at": expires_at})).await;
    let id = reply["order_id"].as_str().unwrap();
    let order = demo.until(id, "the capture", |order| order["balance"]["captured"] == 1999).await;
    assert_eq!(order["status"], "expired");
    check_money(&order, 1999, &["captured_after_end"]);
}

#[tokio::test]
async fn a_challenge_is_passed_or_failed_on_its_page() {
    let demo = Demo::start();
    for (token, answer, status, captured) in [
        ("tok_3ds", "pass", "captured", 1999),
        ("tok_3ds", "fail", "failed", 0),
        ("tok_3ds_failed", "pass", "failed", 0),
        ("tok_3ds_failed", "fail", "failed", 0),
    ] {
        let id = demo.card(token).await;
        let order = demo.until_status(&id, "action_required").await;
        let page = demo.open(order["attempts"][0]["challenge"]["url"].as_str().unwrap()).await;
        demo.answer(&page, answer).await;
        check_money(&demo.until_status(&id, status).await, captured, &[]);
    }
}

#[tokio::test]
async fn a_buyer_is_declined_fails_a_challenge_and_pays_with_a_third_card() {
    let demo = Demo::start();
    let reply = demo.submit(json!({})).await;
    let (id, url) = (reply["order_id"].as_str().unwrap(), reply["payment_url"].as_str().unwrap());
    let page = demo.open(&demo.pay(&demo.open(url).await, DECLINED).await).await;
    assert!(page.html.contains("The card was declined"), "{}", page.html);
    let challenge = demo.open(&demo.pay(&page, CHALLENGED).await).await;
    let page = demo.open(&demo.answer(&challenge, "fail").await).await;
    assert!(page.html.contains("did not confirm"), "{}", page.html);
    let page = demo.open(&demo.pay(&page, GOOD).await).await;
    assert!(page.html.contains("Thank you"), "{}", page.html);
    let order = demo.until_status(id, "captured").await;
    let ends: Vec<_> = order["attempts"].as_array().unwrap().iter().map(|a| a["status"].as_str()).collect();
    assert_eq!(ends, [Some("failed"), Some("failed"), Some("captured")]);
    assert_eq!((&order["balance"]["balance"], &order["anomalies"]), (&json!(1999), &json!([])));
}

#[tokio::test]
async fn the_browser_goes_back_to_the_shop_and_its_policy_lets_it() {
    let demo = Demo::start();
    let urls = json!({"success": "https://shop.example/ok?cart=7", "failure": "https://shop.example/no",
        "cancel": "https://shop.example/bye"});
    for (number, action, page, status) in [
        (GOOD, "pay", "ok?cart=7&", ""),
        (DECLINED, "pay", "no?", "failed"),
        ("", "cancel", "bye?", "canceled"),
    ] {
        let reply = demo.submit(json!({"return_urls": urls})).await;
        let (id, url) = (reply["order_id"].as_str().unwrap(), reply["payment_url"].as_str().unwrap());
        let response = demo.client.get(url).send().await.unwrap();
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("form-action 'self' https:;"), "{policy}");
        let shown = Shown { html: response.text().await.unwrap() };
        let left = leads_to(&demo.press(&shown, number, ("action", action)).send().await.unwrap());
        // A buyer may be back before the capture that follows the authorization.
        let expect = format!("https://shop.example/{page}order_id={id}&status={status}");
        assert!(left.starts_with(&expect), "{left}");
        demo.until_status(id, if status.is_empty() { "captured" } else { status }).await;
    }
}

#[tokio::test]
async fn a_server_that_is_killed_in_the_middle_of_a_challenge_goes_on_with_it() {
    let mut demo = Demo::start();
    let reply = demo.submit(json!({})).await;
    let (id, url) = (reply["order_id"].as_str().unwrap(), reply["payment_url"].as_str().unwrap());
    let challenge = demo.pay(&demo.open(url).await, CHALLENGED).await;
    demo.kill();
    demo.restart().await;
    let page = demo.open(&challenge).await;
    // The buyer presses the button; the server dies as soon as that is written down, before or while it acts on it.
    let press = tokio::spawn(demo.press(&page, "", ("answer", "pass")).send());
    let answered = format!("evt_{id}_1_challenge_answered");
    let is_noted = async {
        while !demo.webhooks(id).await.iter().any(|webhook| answered.ends_with(webhook)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, is_noted).await.unwrap();
    demo.kill();
    // Whatever the browser was told, or not told.
    drop(press.await.unwrap());
    demo.restart().await;
    check_money(&demo.until_status(id, "captured").await, 1999, &[]);
    let page = demo.open(&challenge.replace("/challenge/", "/pay/")).await;
    assert!(page.html.contains("Thank you"), "{}", page.html);
}

/// What bash prints when this is pasted into it.
async fn paste(text: String, directory: PathBuf) -> String {
    let pasting = tokio::task::spawn_blocking(move || {
        let mut bash = Command::new("timeout");
        bash.arg(DEADLINE.as_secs().to_string()).arg("bash").current_dir(directory);
        let mut bash = bash.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        bash.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = bash.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", output.status);
        String::from_utf8(output.stdout).unwrap()
    });
    pasting.await.unwrap()
}

#[tokio::test]
async fn the_tour_that_serve_prints_works_when_pasted_and_when_pasted_again() {
    let demo = Demo::start();
    let said = demo.said();
    let (_, after) = said.split_once("paste this").unwrap();
    let code = after.lines().skip_while(|line| !line.starts_with("  "));
    let code = code.take_while(|line| line.starts_with("  ")).map(|line| format!("{}\n", &line[2..]));
    let tour: String = code.collect();
    assert!(tour.contains(&demo.url) && tour.contains("answer=pass"), "{tour}");
    let printed = paste(tour.clone(), demo.directory.path().to_owned()).await;
    let mut rest = printed.as_str();
    for word in [
        "202 Accepted",
        "\"status\":\"processing\"",
        "\"status\":\"action_required\"",
        "\"status\":\"captured\"",
        "\"refund_id\"",
        "\"status\":\"partially_refunded\"",
        "\"captured\":1999",
        "\"refunded\":500",
        "\"balance\":1499",
    ] {
        let found = rest.find(word);
        assert!(found.is_some(), "{word} does not come, or not in its turn:\n{printed}");
        rest = &rest[found.unwrap()..];
    }
    let again = paste(tour, demo.directory.path().to_owned()).await;
    assert!(again.contains("202 Accepted") && again.contains("\"balance\":1499"), "{again}");
}

/// The worker of the guide, as a process. Gone when dropped.
struct Worker(Child);

impl Worker {
    fn start(demo: &Demo) -> Worker {
        let guide = include_str!("../../docs/src/guides/payment-worker.md");
        let (_, after) = guide.split_once("```python\n").unwrap();
        let (code, _) = after.split_once("```").unwrap();
        let said = demo.said();
        let (_, secret) = said.split_once("secret ").unwrap();
        let mut python = Command::new("python3");
        python.args(["-c", code]).current_dir(demo.directory.path()).stdin(Stdio::null());
        python.env("DAYBOOK", &demo.url).env("SECRET", secret.split_whitespace().next().unwrap());
        let printed = File::options().create(true).append(true).open(stderr_of(&demo.directory)).unwrap();
        python.stdout(printed.try_clone().unwrap()).stderr(printed);
        Worker(python.spawn().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn the_worker_of_the_guide_answers_all_that_is_asked_of_it_and_repeats_itself_harmlessly() {
    let demo = Demo::with_sandbox(false);
    let worker = Worker::start(&demo);
    let eur = |value: i64| json!({"amount": {"value": value, "currency": "EUR"}});
    let captured = demo.card("anything").await;
    demo.until_status(&captured, "captured").await;
    demo.post(&format!("/v1/orders/{captured}/refunds"), &eur(500)).await;
    demo.until_status(&captured, "partially_refunded").await;
    let manual = json!({"payment_method": {"type": "card"}, "capture": "manual"});
    let reply = demo.submit(manual.clone()).await;
    let in_part = reply["order_id"].as_str().unwrap();
    demo.until_status(in_part, "authorized").await;
    demo.post(&format!("/v1/orders/{in_part}/captures"), &eur(700)).await;
    demo.until_status(in_part, "partially_captured").await;
    let reply = demo.submit(manual).await;
    let given_up = reply["order_id"].as_str().unwrap();
    demo.until_status(given_up, "authorized").await;
    demo.post(&format!("/v1/orders/{given_up}/cancellations"), &json!({})).await;
    demo.until_status(given_up, "canceled").await;
    drop(worker);

    // It does everything again from the beginning, and then what is new.
    std::fs::remove_file(demo.directory.path().join("worker.position")).unwrap();
    let _worker = Worker::start(&demo);
    let last = demo.card("anything").await;
    demo.until_status(&last, "captured").await;
    for (order, balance) in [(captured.as_str(), 1499), (in_part, 700), (given_up, 0), (last.as_str(), 1999)]
    {
        check_money(&demo.read(&format!("/v1/orders/{order}")).await, balance, &[]);
    }
    let quarantine = demo.read("/v1/quarantine").await;
    assert_eq!(quarantine["webhooks"], json!([]));
}
