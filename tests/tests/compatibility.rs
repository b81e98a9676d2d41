//! What Daybook refuses to start on, and says why; and how it stops.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use async_nats::jetstream::stream::{Config, StorageType};
use daybook_tests::client::{ACME, unique};
use daybook_tests::server::{self, Server};
use daybook_tests::worlds::configuration;
use daybook_tests::{Kind, Reply, World, checkout, eur};
use ledger::journal::conformance::nats::{self, NatsServer};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn directory() -> TempDir {
    TempDir::with_prefix("daybook-test-").expect("a directory for the test")
}

/// What a server that must not start printed on stderr. It must have failed without a panic, and said nothing on
/// stdout.
#[track_caller]
fn refusal(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code().is_some_and(|code| code != 0 && code != 101), "{:?}: {said}", output.status);
    assert!(!said.contains("panicked"), "{said}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("listening"), "{said}");
    said
}

async fn refused(directory: &TempDir, further: &[&str]) -> String {
    let mut arguments = vec!["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"];
    arguments.extend(further);
    refusal(&server::run(directory.path(), &arguments).await)
}

#[track_caller]
fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "it does not say {word:?}:\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_server_that_is_too_old_is_refused() {
    let Some(binary) = nats::too_old() else {
        println!("skipped: there is no nats-server 2.9 on this machine (tests/setup says why)");
        return;
    };
    let directory = directory();
    let nats = NatsServer::start(binary, directory.path().join("nats")).await;
    let said = refused(&directory, &["--nats-url", &nats.url()]).await;
    assert_says(&said, &["2.9", "2.10"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_with_other_settings_is_refused_with_the_difference() {
    let directory = directory();
    let nats = NatsServer::start(nats::newest(), directory.path().join("nats")).await;
    let client = async_nats::connect(nats.url()).await.expect("a nats-server");
    let context = async_nats::jetstream::new(client);
    let config = Config {
        name: "daybook-0".to_owned(),
        subjects: vec!["daybook.0.>".to_owned()],
        storage: StorageType::Memory,
        max_age: Duration::from_secs(3600),
        ..Config::default()
    };
    context.create_stream(config).await.expect("a stream");
    let said = refused(&directory, &["--nats-url", &nats.url()]).await;
    assert_says(&said, &["daybook-0", "storage", "max_age", "deny_delete"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_server_that_is_not_there_is_named() {
    let directory = directory();
    let url = format!("nats://127.0.0.1:{}", server::free_port());
    let said = refused(&directory, &["--nats-url", &url]).await;
    assert_says(&said, &[url.trim_start_matches("nats://")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_is_refused_on_an_open_address() {
    let directory = directory();
    for address in ["0.0.0.0:0", "[::]:0"] {
        let arguments = ["serve", "--listen", address, "--data-dir", "data"];
        let said = refusal(&server::run(directory.path(), &arguments).await);
        assert_says(&said, &["demo"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_cannot_be_right_is_refused_by_name() {
    let directory = directory();
    let good = configuration("");
    let cases = [
        (good.replace("token_secret = \"", "token_secret = \"short\" # "), "token_secret"),
        (good.replace("token_secret", "# token_secret"), "token_secret"),
        (format!("colour = \"red\"\n{good}"), "colour"),
        (good.replace("id = \"acme\"", "id = \"ACME\""), "ACME"),
        (good.replace("id = \"globex\"", "id = \"acme\""), "acme"),
        (good.replace("standard_webhooks", "trust_me"), "trust_me"),
        (good.replace("whsec_Z2", "Z2"), "secret"),
        (good.replacen(ACME.key_hash, "0123", 1), "api_key_hashes"),
        (format!("azotte.milpieces_per_minor_unit = 10\n{good}"), "milpieces"),
    ];
    for (text, word) in cases {
        let file = directory.path().join("daybook.toml");
        std::fs::write(&file, &text).expect("a file");
        let said = refused(&directory, &["--config", &file.display().to_string()]).await;
        assert_says(&said, &[word]);
        assert!(!said.contains("Z2xvYmV4"), "a secret is shown:\n{said}");
    }
    assert_says(&refused(&directory, &["--config", "nowhere.toml"]).await, &["nowhere.toml"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_the_same_data_is_refused() {
    let mut world = World::start(Kind::Embedded).await;
    let mut arguments = world.arguments(0);
    arguments.splice(0..0, ["serve", "--listen", "127.0.0.1:0"].map(str::to_owned));
    let all: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = refusal(&server::run(world.directory(), &all).await);
    assert_says(&said, &["journal.sqlite"]);
    // The first one is none the worse, and the place is free when it is gone.
    world.shop().submit(&checkout(100)).await;
    world.servers[0].kill();
    world.servers[0].restart().await;
}

/// A server that has been restarted after its log was swapped for another one must refuse to serve.
async fn assert_refuses_to_serve(world: &World) {
    let mut arguments = world.arguments(0);
    arguments.splice(0..0, ["serve", "--listen", "127.0.0.1:0"].map(str::to_owned));
    let all: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = refusal(&server::run(world.directory(), &all).await);
    assert_says(&said, &["log"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_log_that_went_backwards_is_refused() {
    let mut world = World::start(Kind::Embedded).await;
    world.shop().submit(&checkout(100)).await;
    world.servers[0].stop().await;
    for name in ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"] {
        let file = world.data_dir(0).join(name);
        if file.exists() {
            std::fs::remove_file(file).expect("a file that can be removed");
        }
    }
    assert_refuses_to_serve(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_on_jetstream_that_is_another_one_is_refused() {
    let mut world = World::start(Kind::JetStreamNewest).await;
    world.shop().submit(&checkout(100)).await;
    world.servers[0].stop().await;
    // As long as the old one, and yet not the same.
    let store = world.directory().join("another-nats");
    world.nats = Some(NatsServer::start(nats::newest(), store).await);
    let elsewhere = world.directory().join("elsewhere").display().to_string();
    let mut arguments = world.arguments(0);
    arguments[1] = elsewhere;
    let other = Server::start(world.directory(), &arguments).await;
    daybook_tests::Client::new(other.url(), ACME).submit(&checkout(100)).await;
    drop(other);
    assert_refuses_to_serve(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrupt_views_are_rebuilt_at_the_start_and_the_log_says_so() {
    let mut world = World::start(Kind::Embedded).await;
    let shop = world.shop();
    let order = shop.submit(&checkout(700)).await;
    shop.report(&order, "payment.captured", json!({"amount": eur(700)})).await;
    shop.wait_for(&order, "captured").await;
    let before = shop.get(&format!("/v1/orders/{order}")).await.expect(200).bytes;
    world.servers[0].stop().await;
    corrupt(&world.data_dir(0).join("views"));
    world.servers[0].restart().await;
    assert_eq!(shop.get(&format!("/v1/orders/{order}")).await.expect(200).bytes, before);
    assert_eq!(shop.history(&order).await.json()["entries"].as_array().map(Vec::len), Some(2));
    let printed = world.servers[0].printed();
    let loud = printed.lines().any(|line| {
        (line.contains("WARN") || line.contains("ERROR"))
            && (line.contains("damaged") || line.contains("rebuil"))
    });
    assert!(loud, "{printed}");
}

/// Overwrites every file under a directory with noise.
fn corrupt(directory: &std::path::Path) {
    let mut count = 0;
    for entry in std::fs::read_dir(directory).expect("the views").flatten() {
        if entry.path().is_dir() {
            corrupt(&entry.path());
        } else {
            let length = entry.metadata().expect("a file").len();
            let noise: Vec<u8> = (0..length).map(|_| fastrand::u8(..)).collect();
            std::fs::write(entry.path(), noise).expect("a file that can be written");
            count += 1;
        }
    }
    assert!(count > 0 || directory.parent().is_some(), "there is nothing to corrupt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_lets_requests_finish_and_waiters_go() {
    let mut world = World::start(Kind::Embedded).await;
    let shop = world.shop();
    let order = shop.submit(&checkout(100)).await;
    // A checkout that is half sent, a long poll, and a feed.
    let body = checkout(200).to_string();
    let (first, rest) = body.split_at(body.len() / 2);
    let head = format!(
        "POST /v1/checkouts HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nidempotency-key: {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{first}",
        ACME.key,
        unique("key"),
        body.len()
    );
    let mut connection =
        TcpStream::connect(shop.url().trim_start_matches("http://")).await.expect("a connection");
    connection.write_all(head.as_bytes()).await.expect("half a request");
    let etag = shop.status(&order).await.header("etag").expect("an ETag").to_owned();
    let poll = shop.request(Method::GET, &format!("/v1/orders/{order}/status?wait=50s"));
    let poll = tokio::spawn(Reply::of(poll.header("if-none-match", etag)));
    let mut feed = shop.feed(None).await;
    feed.next_commit().await.expect("the first commit");
    // Both have been taken in when the server has answered something that was sent after them.
    tokio::time::sleep(Duration::from_millis(200)).await;
    shop.status(&order).await;

    world.servers[0].terminate();
    tokio::time::sleep(Duration::from_millis(300)).await;
    connection.write_all(rest.as_bytes()).await.expect("the other half");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 202"), "a request that was under way is answered: {answer}");
    let polled = poll.await.expect("a poll").expect("an answer");
    assert!([200, 304, 503].contains(&polled.status), "{}", polled.body());
    let status = world.servers[0].ended().await;
    assert_eq!(status.code(), Some(0));
    assert!(Reply::of(shop.anonymous(Method::GET, "/healthz")).await.is_err(), "nobody is there any more");
    assert_eq!(world.log().await.order_positions("acme").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_nobody_listens_to_any_more_still_serves_and_stops() {
    let directory = directory();
    let mut command = server::command(directory.path());
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"]);
    let mut process =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the daybook binary starts");
    let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
    let line = lines.next().expect("a line").expect("a line of text");
    let url = line.strip_prefix("listening on ").expect("an address").to_owned();
    // Both pipes break: whatever the server says from here on fails.
    drop((lines, process.stderr.take()));

    let health = reqwest::get(format!("{url}/healthz")).await.expect("an answer");
    assert_eq!(health.status(), 200);
    let sent = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "SIGTERM cannot be sent");
    let ended = async {
        loop {
            match process.try_wait().expect("a process of ours") {
                Some(status) => return status,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends");
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_says_where_it_listens_and_what_the_demo_takes() {
    let directory = directory();
    let arguments = ["--data-dir", "data"].map(str::to_owned);
    let server = Server::start_on_any_port(directory.path(), &arguments).await;
    assert!(!server.url().ends_with(":0"), "{}", server.url());
    let health = reqwest::get(format!("{}/healthz", server.url())).await.expect("an answer");
    assert_eq!(health.status(), 200);
    assert_says(&server.printed(), &["listening on http://127.0.0.1:", "demo-key"]);
}
