//! The stream, made anew by somebody who may do so, or damaged on the server's disk.

use std::fs;
use std::path::{Path, PathBuf};

use async_nats::jetstream;
use async_nats::jetstream::stream::Config;
use daybook_tests::{Kind, Log, World};
use ledger::journal::Stored;
use serde_json::Value;

use super::{assert_found, document, exported, first, ledger, setup};

/// Puts a stream of the same name and settings in the place of the world's, with these commits.
async fn replace_stream(world: &World, commits: &[Stored]) {
    let url = world.nats.as_ref().expect("a nats-server").url();
    let context = jetstream::new(async_nats::connect(url).await.expect("a connection"));
    let config: Config =
        context.get_stream("daybook-0").await.expect("the stream").cached_info().config.clone();
    context.delete_stream("daybook-0").await.expect("whoever may make streams may delete them");
    context.create_stream(config).await.expect("the stream again");
    for Stored { subject, bytes, .. } in commits {
        let subject = format!("daybook.0.{}.{}", subject.tenant, subject.id);
        let stored = context.publish(subject, bytes.clone()).await.expect("a publish");
        stored.await.expect("it is stored");
    }
}

async fn verify(world: &World) -> (i32, Value) {
    document(&world.run("verify", &["--json"]).await)
}

async fn stopped(kind: Kind) -> (World, Log) {
    let mut world = World::with(kind, setup()).await;
    let log = ledger(&world).await;
    world.servers[0].stop().await;
    (world, log)
}

async fn a_stream_made_anew_with_a_difference_is_found(kind: Kind) {
    let (world, log) = stopped(kind).await;
    let original = exported::stored(&log).await;
    let check = async |commits: &[Stored], position, kind| {
        replace_stream(&world, commits).await;
        assert_found(&verify(&world).await, position, kind);
    };
    let mut altered = original.clone();
    let text = String::from_utf8(altered[2].bytes.to_vec()).expect("text");
    altered[2].bytes = text.replace("\"A-", "\"B-").into();
    assert_ne!(altered, original);
    check(&altered, 3, "altered").await;
    let mut removed = original.clone();
    removed.remove(1);
    check(&removed, 2, "removed").await;
    let mut swapped = original.clone();
    swapped.swap(1, 2);
    check(&swapped, 2, "reordered").await;
    let mut doubled = original.clone();
    doubled.insert(4, original[1].clone());
    check(&doubled, 5, "duplicated").await;
    let mut appended = original.clone();
    appended.push(original[5].clone());
    check(&appended, 7, "duplicated").await;
    check(&original[..4], 5, "truncated").await;
    check(&[], 1, "truncated").await;
    replace_stream(&world, &original).await;
    let (code, found) = verify(&world).await;
    assert_eq!(code, 0, "the same commits are the same log: {found:#}");
}

/// A server that finds a damaged message leaves it out, or all that follows.
async fn a_byte_that_the_servers_disk_has_changed_is_found(kind: Kind) {
    let (mut world, _) = stopped(kind).await;
    let nats = world.nats.as_mut().expect("a nats-server");
    nats.kill();
    let blocks = files(&world.directory().join("nats"), "blk");
    let block = blocks.into_iter().find(|path| path.display().to_string().contains("daybook-0"));
    let block = block.expect("the stream's messages");
    let mut bytes = fs::read(&block).expect("the block");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&block, bytes).expect("the block");
    // Or the server would believe its notes of what is in the block.
    for note in files(&world.directory().join("nats"), "db") {
        fs::remove_file(note).expect("a note");
    }
    world.nats.as_mut().expect("a nats-server").restart().await;
    let (code, found) = verify(&world).await;
    assert_eq!(code, 3, "{found:#}");
    let (position, kind) = first(&found);
    assert!(["gap", "truncated", "altered"].contains(&kind.as_str()) && !position.is_empty(), "{found:#}");
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found
}

macro_rules! on_each_server {
    ($($world:ident, $kind:ident);+) => {
        $(
            mod $world {
                use super::Kind;

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn a_stream_made_anew_with_a_difference_is_found() {
                    super::a_stream_made_anew_with_a_difference_is_found(Kind::$kind).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn a_byte_that_the_servers_disk_has_changed_is_found() {
                    super::a_byte_that_the_servers_disk_has_changed_is_found(Kind::$kind).await;
                }
            }
        )+
    };
}

on_each_server!(newest, JetStreamNewest; oldest, JetStreamOldest);
