//! Exports: what they say is what the API says, in every format; they go on after a kill; they need little memory.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use daybook_tests::client::{ACME, GLOBEX};
use daybook_tests::fill::{COMMITS, fill};
use daybook_tests::{Kind, Log, Setup, World, checkout, eur, server};
use ledger::codec;
use ledger::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use replay::audit::Frontier;
use replay::audit::leaf::leaf_of;
use serde_json::{Value, json};
use tempfile::TempDir;

daybook_tests::in_each_world!(
    every_format_says_what_the_api_says,
    an_archive_holds_every_commit_to_the_byte,
    a_period_and_a_tenant_leave_out_the_rest,
);

/// Orders of two tenants in several states and currencies, through the server.
async fn some_orders(world: &World) {
    for tenant in [ACME, GLOBEX] {
        let shop = world.client(0, tenant);
        for minor in [100, 2_500, 999_999_999_999_999] {
            let order = shop.submit(&checkout(minor)).await;
            shop.report(&order, "payment.captured", json!({"amount": eur(minor), "reference": "cap, \"1\""}))
                .await;
            shop.wait_for(&order, "captured").await;
            shop.post(
                &format!("/v1/orders/{order}/refunds"),
                &json!({"amount": eur(40), "reason": "=1+1\n"}),
            )
            .await
            .expect(202);
        }
        let yen =
            json!({"amount": {"value": 77, "currency": "JPY"}, "merchant_reference": "Größe 42, «neu»"});
        shop.submit(&yen).await;
    }
}

async fn export(world: &World, arguments: &[&str]) -> Value {
    let mut all = arguments.to_vec();
    all.push("--json");
    let output = world.run("export", &all).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("an export");
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// The answers of DuckDB. `None`: there is no Python here.
fn query(queries: &[String]) -> Option<Vec<Vec<Vec<Value>>>> {
    let python = ["python3", "python"].into_iter().find(|name| {
        let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    });
    let Some(python) = python else {
        println!("skipped: there is no Python here to run DuckDB");
        return None;
    };
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let default = || tests.join("../target/tools/parquet-reader");
    let library = std::env::var_os("DAYBOOK_PARQUET_READER").map_or_else(default, PathBuf::from);
    assert!(library.is_dir(), "no {}: run tests/setup first", library.display());
    let mut process = Command::new(python)
        .arg(tests.join("parquet-reader/query.py"))
        .env("PYTHONPATH", &library)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let request = serde_json::to_vec(queries).expect("JSON");
    process.stdin.take().expect("a pipe").write_all(&request).expect("Python reads");
    let output = process.wait_with_output().expect("Python ends");
    assert!(output.status.success(), "DuckDB failed");
    Some(serde_json::from_slice(&output.stdout).expect("rows"))
}

/// What `/v1/totals` says, as rows of tenant, currency, orders, captured, refund pending, balance.
async fn totals(world: &World) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for tenant in [ACME, GLOBEX] {
        let document = world.client(0, tenant).get("/v1/totals").await.expect(200).json();
        for row in document["totals"].as_array().expect("totals") {
            let figures = ["currency", "orders", "captured", "refund_pending", "balance"];
            let figures = figures.into_iter().map(|name| row[name].clone());
            rows.push(std::iter::once(json!(tenant.id)).chain(figures).collect());
        }
    }
    assert_eq!(rows.len(), 4, "two tenants in two currencies");
    rows
}

async fn every_format_says_what_the_api_says(world: World) {
    some_orders(&world).await;
    let totals = totals(&world).await;
    let log = world.log().await;
    let events: usize = log.commits.iter().map(|one| codec::event_names(&one.commit.changes).len()).sum();

    for what in ["events", "orders", "totals"] {
        for format in ["jsonl", "csv", "parquet"] {
            let name = format!("{what}.{format}");
            let manifest = export(&world, &[what, "--format", format, "--out", &name]).await;
            let rows = match what {
                "events" => events,
                "orders" => 8,
                _ => 4,
            };
            assert_eq!((&manifest["rows"], &manifest["is_done"]), (&json!(rows), &json!(true)), "{manifest}");
            assert_eq!(manifest["upto"], json!([log.len()]), "{manifest}");
        }
        // The CSV has the same rows in the same order, every value as text.
        let json = lines(&world.directory().join(format!("{what}.jsonl")));
        let mut csv = csv::Reader::from_path(world.directory().join(format!("{what}.csv"))).expect("a CSV");
        let names = csv.headers().expect("a header").clone();
        let rows: Vec<csv::StringRecord> = csv.records().map(|row| row.expect("a row")).collect();
        assert_eq!(rows.len(), json.len());
        for (row, object) in rows.iter().zip(&json) {
            for (name, text) in names.iter().zip(row) {
                let value = &object[name];
                let plain = if value.is_null() { String::new() } else { value.to_string() };
                let value = value.as_str().map_or(plain, str::to_owned);
                assert_eq!(text, value, "{name}");
            }
        }
    }
    let text = std::fs::read_to_string(world.directory().join("events.jsonl")).expect("an export");
    assert!(text.contains(r#""detail":"=1+1\n""#) && text.contains("Größe 42, «neu»"), "{text}");

    let sums = "select tenant, currency, count(*)::bigint, sum(captured_minor)::bigint, \
                sum(refund_pending_minor)::bigint, sum(balance_minor)::bigint from 'orders.parquet/*.parquet' \
                group by all order by all";
    let told = "select tenant, currency, orders, captured_minor, refund_pending_minor, balance_minor from \
                'totals.parquet/*.parquet' order by all";
    let captures = "select tenant, currency, sum(amount_minor)::bigint from 'events.parquet/*.parquet' where event = \
                    'payment_captured' group by all order by all";
    let types = "select column_name, column_type from (describe select * from 'events.parquet/*.parquet') where \
                 column_name in ('amount_minor', 'decided_at', 'event') order by all";
    let times = "select distinct strftime(decided_at, '%Y-%m-%dT%H:%M:%S.%gZ') from 'events.parquet/*.parquet' \
                 order by all";
    let there = world.directory().display().to_string();
    let queries =
        [sums, told, captures, types, times].map(|query| query.replace("from '", &format!("from '{there}/")));
    let Some(answers) = query(&queries) else { return };
    assert_eq!(answers[0], totals, "the orders add up to what the API says");
    assert_eq!(answers[1], totals, "the totals are what the API says");
    let captured: Vec<Vec<Value>> = totals
        .iter()
        .filter(|row| row[3] != json!(0))
        .map(|row| vec![row[0].clone(), row[1].clone(), row[3].clone()])
        .collect();
    assert_eq!(answers[2], captured, "the captures add up to what the API says");
    assert_eq!(
        json!(answers[3]),
        json!([["amount_minor", "BIGINT"], ["decided_at", "TIMESTAMP WITH TIME ZONE"], ["event", "VARCHAR"]])
    );
    let mut decided: Vec<Value> =
        lines(&world.directory().join("events.jsonl")).iter().map(|row| json!([row["decided_at"]])).collect();
    decided.sort_by_key(Value::to_string);
    decided.dedup();
    assert_eq!(json!(answers[4]), json!(decided), "moments are the same to the millisecond");
}

async fn an_archive_holds_every_commit_to_the_byte(world: World) {
    some_orders(&world).await;
    let manifest = export(&world, &["commits", "--out", "archive.jsonl"]).await;
    let log = world.log().await;
    let archive = lines(&world.directory().join("archive.jsonl"));
    assert_eq!(archive.len(), log.len());
    let mut frontier = Frontier::default();
    for (line, recorded) in archive.iter().zip(&log.commits) {
        let stored = log.journal.at(recorded.position).await.expect("the journal").expect("a commit");
        assert_eq!(line["commit"].as_str().expect("text").as_bytes(), stored.bytes.as_ref());
        let subject = format!("{}.{}", stored.subject.tenant, stored.subject.id);
        assert_eq!(
            (&line["partition"], &line["sequence"], &line["subject"]),
            (&json!(0), &json!(stored.position.sequence), &json!(subject))
        );
        frontier.push(leaf_of(&stored));
    }
    assert_eq!(manifest["merkle_roots"], json!([frontier.root().to_string()]));
    // What is there is not overwritten, and what is done stays as it is.
    let again = world.run("export", &["commits", "--out", "archive.jsonl"]).await;
    assert_eq!(again.status.code(), Some(2), "{}", String::from_utf8_lossy(&again.stderr));
    world.shop().submit(&checkout(1)).await;
    let resumed = export(&world, &["commits", "--out", "archive.jsonl", "--resume"]).await;
    assert_eq!((&resumed["rows"], &resumed["files"]), (&manifest["rows"], &manifest["files"]));
    let other = world.run("export", &["events", "--out", "archive.jsonl", "--resume"]).await;
    assert_eq!(other.status.code(), Some(2), "{}", String::from_utf8_lossy(&other.stderr));
    let table = world.run("export", &["commits", "--format", "csv", "--out", "archive.csv"]).await;
    assert_eq!(table.status.code(), Some(2), "{}", String::from_utf8_lossy(&table.stderr));
}

async fn a_period_and_a_tenant_leave_out_the_rest(world: World) {
    some_orders(&world).await;
    let log = world.log().await;
    let middle = log.commits[log.len() / 2].commit.decided_at;
    let positions = |rows: &[Value]| rows.iter().map(|row| row["position"].clone()).collect::<Vec<_>>();
    let of = |wanted: &dyn Fn(&ledger::commit::Recorded) -> bool| {
        let wanted = log.commits.iter().filter(|recorded| wanted(recorded));
        let rows = wanted.flat_map(|recorded| {
            let events = codec::event_names(&recorded.commit.changes).len();
            std::iter::repeat_n(json!(recorded.position.to_string()), events)
        });
        rows.collect::<Vec<_>>()
    };
    let moment = middle.to_string();
    let cases: [(&[&str], Vec<Value>); 4] = [
        (&["--tenant", "globex"], of(&|one| one.commit.tenant.as_str() == "globex")),
        (&["--from", &moment], of(&|one| one.commit.decided_at >= middle)),
        (&["--to", &moment], of(&|one| one.commit.decided_at < middle)),
        (
            &["--from", "0-3", "--to", "0-9", "--tenant", "acme"],
            of(&|one| (3..=9).contains(&one.position.sequence) && one.commit.tenant.as_str() == "acme"),
        ),
    ];
    for (number, (arguments, expected)) in cases.into_iter().enumerate() {
        let name = format!("{number}.jsonl");
        let all = [&["events", "--out", &name], arguments].concat();
        export(&world, &all).await;
        assert_eq!(positions(&lines(&world.directory().join(name))), expected, "{arguments:?}");
    }
    let orders = export(&world, &["orders", "--out", "o.jsonl", "--tenant", "acme", "--to", "0-3"]).await;
    assert_eq!(orders["rows"], json!(1), "the order of the first commits: {orders}");
    let nobody =
        export(&world, &["orders", "--format", "parquet", "--out", "none", "--tenant", "nobody"]).await;
    assert_eq!((&nobody["rows"], &nobody["files"][0]["rows"]), (&json!(0), &json!(0)), "{nobody}");
}

/// Orders in the log of a world without a server, and their number of commits.
async fn a_long_log(orders: u64) -> (TempDir, u64) {
    let directory = TempDir::with_prefix("daybook-test-").expect("a directory");
    let path = directory.path().join("data/journal.sqlite");
    let journal = EmbeddedJournal::open(path, EmbeddedOptions::default()).await.expect("a journal");
    fill(Arc::new(journal), 0..orders).await;
    (directory, orders * COMMITS)
}

fn begin(directory: &Path, arguments: &[&str]) -> Child {
    let mut command = server::command(directory);
    command.args(["export", "--data-dir", "data", "--json"]).args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the daybook binary starts")
}

async fn finish(directory: &Path, arguments: &[&str]) -> Value {
    let all = [&["export", "--data-dir", "data", "--json"], arguments].concat();
    let output = server::run(directory, &all).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Rows that the manifest tells of, of an export that is not done.
fn unfinished_rows(path: &Path) -> Option<u64> {
    let manifest: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (manifest["is_done"] == json!(false)).then(|| manifest["rows"].as_u64())?
}

/// Kills an export in its middle and resumes it. Returns what the resumed one says.
async fn killed_and_resumed(directory: &Path, arguments: &[&str], out: &str) -> Value {
    let manifest = directory.join(format!("{out}.manifest.json"));
    for _ in 0..20 {
        let mut process = begin(directory, &[arguments, &["--out", out]].concat());
        let deadline = Instant::now() + daybook_tests::DEADLINE;
        let caught = loop {
            if unfinished_rows(&manifest).is_some_and(|rows| rows > 0) {
                break true;
            }
            if process.try_wait().expect("a process of ours").is_some() {
                break false;
            }
            assert!(Instant::now() < deadline, "the export neither got on nor ended");
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        process.kill().expect("a process of ours can be killed");
        process.wait().expect("a killed process ends");
        if caught && unfinished_rows(&manifest).is_some() {
            return finish(directory, &[arguments, &["--out", out, "--resume"]].concat()).await;
        }
        // It was faster than the kill.
        for leftover in [directory.join(out), manifest.clone()] {
            if leftover.is_dir() {
                std::fs::remove_dir_all(leftover).expect("a directory of ours");
            } else if leftover.exists() {
                std::fs::remove_file(leftover).expect("a file of ours");
            }
        }
    }
    panic!("the export was never caught in its middle");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_was_killed_goes_on_and_is_as_if_it_had_not_been() {
    let (directory, commits) = a_long_log(6_000).await;
    let directory = directory.path();
    let cases: [(&[&str], &str); 5] = [
        (&["commits"], "commits.jsonl"),
        (&["events"], "events.jsonl"),
        (&["events", "--format", "csv"], "events.csv"),
        (&["events", "--format", "parquet", "--part-rows", "4000"], "events.parquet"),
        (&["orders", "--format", "parquet", "--part-rows", "1000"], "orders.parquet"),
    ];
    for (arguments, out) in cases {
        let resumed = killed_and_resumed(directory, arguments, out).await;
        let whole = finish(directory, &[arguments, &["--out", &format!("whole-{out}")]].concat()).await;
        assert_eq!(resumed["rows"], whole["rows"], "{out}");
        assert_eq!(resumed["merkle_roots"], whole["merkle_roots"], "{out}");
        let hashes = |manifest: &Value| {
            let files = manifest["files"].as_array().expect("files").clone();
            files.into_iter().map(|file| (file["bytes"].clone(), file["sha256"].clone())).collect::<Vec<_>>()
        };
        assert_eq!(hashes(&resumed), hashes(&whole), "{out}: the same to the byte");
        assert_eq!(resumed["upto"], json!([commits]));
    }
    // Whoever touches what was written is told.
    std::fs::write(directory.join("touched.jsonl"), "").expect("a file");
    let manifest = std::fs::read_to_string(directory.join("events.jsonl.manifest.json")).expect("a manifest");
    let manifest = manifest.replace("\"is_done\": true", "\"is_done\": false");
    std::fs::write(directory.join("touched.jsonl.manifest.json"), manifest).expect("a manifest");
    let mut text = std::fs::read(directory.join("events.jsonl")).expect("an export");
    text[100] ^= 1;
    std::fs::write(directory.join("touched.jsonl"), text).expect("a file");
    let all = ["export", "--data-dir", "data", "events", "--out", "touched.jsonl", "--resume"];
    let output = server::run(directory, &all).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("not as the export left it"), "{said}");
}

/// The most memory that a command had at once, in KiB. Only Linux tells.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_needs_little_memory() {
    const EVENTS_KIB: u64 = 192 * 1024;
    // With a fold of the log before it.
    const ORDERS_KIB: u64 = 512 * 1024;
    let (directory, _) = a_long_log(5_000).await;
    for (number, arguments) in [
        ["events", "--format", "jsonl"],
        ["events", "--format", "parquet"],
        ["orders", "--format", "parquet"],
    ]
    .into_iter()
    .enumerate()
    {
        let out = format!("out-{number}");
        let mut process = begin(directory.path(), &[&arguments[..], &["--out", &out]].concat());
        let status = PathBuf::from(format!("/proc/{}/status", process.id()));
        let mut peak = 0;
        let ended = loop {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
            peak = kib.unwrap_or(peak);
            if let Some(status) = process.try_wait().expect("a process of ours") {
                break status;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        assert!(ended.success());
        println!("{arguments:?}: {peak} KiB");
        let most = if arguments[0] == "events" { EVENTS_KIB } else { ORDERS_KIB };
        assert!((1..most).contains(&peak), "{arguments:?}: {peak} KiB");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_exported_from_the_live_views_too() {
    let mut world = World::with(Kind::Embedded, Setup::default()).await;
    some_orders(&world).await;
    export(&world, &["orders", "--out", "beside.jsonl"]).await;
    world.servers[0].stop().await;
    export(&world, &["orders", "--out", "live.jsonl"]).await;
    let read = |name: &str| std::fs::read(world.directory().join(name)).expect("an export");
    assert_eq!(read("beside.jsonl"), read("live.jsonl"));
    let log: Log = world.log().await;
    assert!(log.len() > 8);
}
