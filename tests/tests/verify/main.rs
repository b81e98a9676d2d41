//! `daybook verify`: a healthy ledger is found healthy, and whatever was done to one behind its back is found, with its
//! place.

mod exported;
mod sqlite;
mod stream;

use std::path::{Path, PathBuf};
use std::process::Output;

use daybook_tests::{Log, Setup, World, checkout, eur, eventually, server};
use serde_json::{Value, json};

daybook_tests::in_each_world!(
    super::setup();
    a_healthy_ledger_is_found_healthy_beside_its_server_and_without_it,
    an_export_is_verified_against_what_an_auditor_has_saved,
    what_is_asked_for_wrongly_is_no_finding,
);

/// Tree heads as often as there may be.
fn setup() -> Setup {
    Setup { config: "[audit]\ncheckpoint_ms = 1\n".to_owned(), ..Setup::default() }
}

/// Three orders, captured, and so six commits; all of them under a signed head.
async fn ledger(world: &World) -> Log {
    let shop = world.shop();
    for order in 0..3 {
        let id = shop.submit(&checkout(1_000 + order)).await;
        let data = json!({"amount": eur(1_000 + order), "reference": format!("cap-{order}")});
        shop.report(&id, "payment.captured", data).await;
        shop.wait_for(&id, "captured").await;
    }
    let log = world.log().await;
    let size = log.len() as u64;
    eventually("a signed head over all commits", || async {
        let reply = shop.get("/audit/checkpoint").await;
        (reply.status == 200 && reply.body().lines().nth(1) == Some(&size.to_string())).then_some(())
    })
    .await;
    log
}

/// The tree and the signed heads that the first API process keeps.
fn kept(world: &World) -> PathBuf {
    world.data_dir(0).join("audit")
}

/// Runs `daybook verify --json` with these arguments; its exit code and its document.
async fn verify(directory: &Path, arguments: &[&str]) -> (i32, Value) {
    let all: Vec<&str> = ["verify", "--json"].iter().chain(arguments).copied().collect();
    document(&server::run(directory, &all).await)
}

fn document(output: &Output) -> (i32, Value) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
    let code = output.status.code().expect("an exit code");
    let document = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: exit code {code}, {stderr}"));
    (code, document)
}

/// Position and kind of the first fault of a document.
fn first(document: &Value) -> (String, String) {
    let fault = &document["faults"][0];
    let text = |name: &str| fault[name].as_str().unwrap_or_default().to_owned();
    (text("position"), text("kind"))
}

#[track_caller]
fn assert_found((code, document): &(i32, Value), position: u64, kind: &str) {
    assert_eq!(*code, 3, "{document:#}");
    assert_eq!(document["healthy"], false, "{document:#}");
    assert_eq!(first(document), (format!("0-{position}"), kind.to_owned()), "{document:#}");
}

async fn a_healthy_ledger_is_found_healthy_beside_its_server_and_without_it(mut world: World) {
    let log = ledger(&world).await;
    for (views, runs) in [("not_compared", true), ("as_folded", false)] {
        if !runs {
            world.servers[0].stop().await;
        }
        let (code, document) = document(&world.run("verify", &["--json"]).await);
        assert_eq!((code, &document["healthy"]), (0, &json!(true)), "{document:#}");
        assert_eq!(
            (&document["commits"], &document["orders"], &document["views"]),
            (&json!(log.len()), &json!(3), &json!(views)),
            "{document:#}"
        );
        assert_eq!(document["views_skipped"].is_string(), runs, "{document:#}");
        let partition = &document["partitions"][0];
        for figure in ["commits", "signed_up_to", "commits_as_kept"] {
            assert_eq!(partition[figure], json!(log.len()), "{figure}: {document:#}");
        }
        let text = world.run("verify", &[]).await;
        let text = String::from_utf8(text.stdout).expect("text");
        assert!(
            text.contains("no fault") && text.contains(partition["root"].as_str().expect("a root")),
            "{text}"
        );
    }
}

async fn an_export_is_verified_against_what_an_auditor_has_saved(world: World) {
    let log = ledger(&world).await;
    let shop = world.shop();
    let (checkpoint, key) =
        (world.directory().join("saved"), shop.get("/audit/key").await.expect(200).body());
    std::fs::write(&checkpoint, shop.get("/audit/checkpoint").await.expect(200).bytes).expect("a file");
    let export = world.directory().join("log.jsonl");
    let out = export.display().to_string();
    let done = world.run("export", &["commits", "--format", "jsonl", "--out", &out]).await;
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let written = std::fs::read(&export).expect("an export");
    assert_eq!(written, exported::lines(&log).await.concat(), "what is exported is what is verified");
    let (export, checkpoint) = (export.display().to_string(), checkpoint.display().to_string());
    let arguments = ["--export", &export, "--checkpoint", &checkpoint, "--key", key.trim()];
    let (code, found) = verify(world.directory(), &arguments).await;
    assert_eq!((code, &found["partitions"][0]["signed_up_to"]), (0, &json!(log.len())), "{found:#}");
    exported::every_line_counts(&world, &log, &arguments).await;
}

async fn what_is_asked_for_wrongly_is_no_finding(mut world: World) {
    let code = async |world: &World, arguments: &[&str]| {
        let output = world.run("verify", arguments).await;
        assert!(output.stdout.is_empty(), "{arguments:?}");
        output.status.code()
    };
    assert_eq!(code(&world, &["--checkpoint", "saved"]).await, Some(2));
    assert_eq!(code(&world, &["--key", "no key"]).await, Some(2));
    assert_eq!(code(&world, &["--export", "/nowhere"]).await, Some(1));
    world.servers[0].stop().await;
    match world.nats.as_mut() {
        Some(nats) => nats.kill(),
        None => std::fs::remove_file(world.data_dir(0).join("journal.sqlite")).expect("a file"),
    }
    assert_eq!(code(&world, &[]).await, Some(1));
}
