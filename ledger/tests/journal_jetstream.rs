//! The journal on JetStream, on real servers: the contract on the oldest and the newest supported one, and what
//! only a server can do - vanish, be too old, be configured otherwise.

#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it should be")]

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::Config;
use futures::future::join_all;
use futures::{FutureExt, StreamExt};
use ledger::ids::Position;
use ledger::journal::conformance::nats::{self, NatsServer, NatsSettings};
use ledger::journal::conformance::{Fixture, append_chain, draft, subject};
use ledger::journal::jetstream::{Credentials, JetStreamConfig, JetStreamJournal};
use ledger::journal::{AppendError, Draft, Journal, OpenError, PutMemoError, ReadError, Tail};
use tempfile::TempDir;

/// Dropped in this order: the client, its server, the server's directory.
struct OnItsOwnServer {
    journal: JetStreamJournal,
    config: JetStreamConfig,
    server: NatsServer,
    directory: TempDir,
}

impl Fixture for OnItsOwnServer {
    type Journal = JetStreamJournal;

    fn journal(&self) -> &JetStreamJournal {
        &self.journal
    }

    /// As after a crash: the server is killed, not stopped.
    async fn reopen(self) -> Self {
        let OnItsOwnServer { journal, config, mut server, directory } = self;
        drop(journal);
        server.restart().await;
        let journal = JetStreamJournal::connect(config.clone()).await.unwrap();
        OnItsOwnServer { journal, config, server, directory }
    }
}

async fn a_journal(binary: std::path::PathBuf, partitions: u16) -> OnItsOwnServer {
    let directory = tempfile::tempdir().unwrap();
    let server = NatsServer::start(binary, directory.path()).await;
    let config = JetStreamConfig { partitions, ..JetStreamConfig::new(server.url()) };
    let journal = JetStreamJournal::connect(config.clone()).await.unwrap();
    OnItsOwnServer { journal, config, server, directory }
}

async fn a_jetstream_journal_on_the_newest_server() -> OnItsOwnServer {
    a_journal(nats::newest(), 1).await
}

async fn a_jetstream_journal_on_the_oldest_supported_server() -> OnItsOwnServer {
    a_journal(nats::oldest_supported(), 1).await
}

async fn a_jetstream_journal_with_three_partitions() -> OnItsOwnServer {
    a_journal(nats::newest(), 3).await
}

mod newest {
    ledger::journal_conformance!(super::a_jetstream_journal_on_the_newest_server);
}

mod oldest_supported {
    ledger::journal_conformance!(super::a_jetstream_journal_on_the_oldest_supported_server);
}

mod three_partitions {
    ledger::journal_conformance!(super::a_jetstream_journal_with_three_partitions);
}

// Losing the server -----------------------------------------------------------------------------------------

/// The longest that anything here may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Retries an append until its outcome is known, as every writer must.
async fn append_surely(journal: &JetStreamJournal, draft: &Draft, expected: u64) -> Position {
    let retries = async {
        loop {
            match journal.append(draft, expected).await {
                Ok(position) => return position,
                // There is no event to wait for: the client tells nobody when it has connected again.
                Err(AppendError::Unknown(_) | AppendError::Unavailable(_)) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    tokio::time::timeout(DEADLINE, retries).await.expect("the journal recovers")
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_commits_outlive_a_killed_server_and_nothing_is_stored_twice() {
    for binary in [nats::newest(), nats::oldest_supported()] {
        let mut fixture = a_journal(binary, 1).await;
        let mut tail = fixture.journal.tail(0, 0).await.unwrap();
        let drafts: Vec<Draft> = (0..3000).map(|_| draft(&subject())).collect();
        for (round, drafts) in drafts.chunks(1000).enumerate() {
            let journal = &fixture.journal;
            let writes = join_all(drafts.iter().map(|draft| append_surely(journal, draft, 0)));
            let first = journal.append(&drafts[0], 0).await.unwrap();
            // The server dies with appends under way, and comes back.
            let server = &mut fixture.server;
            let (positions, ()) = tokio::join!(writes, server.restart());
            assert_eq!(positions[0], first);
            for (draft, position) in drafts.iter().zip(&positions) {
                let stored = journal.at(*position).await.unwrap().unwrap();
                assert_eq!((stored.subject, stored.bytes), (draft.subject.clone(), draft.bytes.clone()));
            }
            assert_eq!(journal.last_sequence(0).await.unwrap(), 1000 * (round as u64 + 1));
        }
        // The tail has lived through it all, or has ended with an error and is opened where it was.
        let mut seen = 0;
        while seen < 3000 {
            match tokio::time::timeout(DEADLINE, tail.next()).await.unwrap() {
                Some(Ok(stored)) => {
                    seen += 1;
                    assert_eq!(stored.position.sequence, seen);
                }
                Some(Err(ReadError::Unavailable(_))) => {
                    assert!(tail.next().await.is_none(), "after an error a tail ends");
                    tail = fixture.journal.tail(0, seen).await.unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn an_append_is_unavailable_while_there_is_no_server() {
    let mut fixture = a_journal(nats::newest(), 1).await;
    let draft = draft(&subject());
    fixture.server.kill();
    let unavailable = async {
        loop {
            match fixture.journal.append(&draft, 0).await {
                Err(AppendError::Unavailable(_)) => return,
                // The client has not noticed yet.
                Err(AppendError::Unknown(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(DEADLINE, unavailable).await.unwrap();
    fixture.server.restart().await;
    assert_eq!(append_surely(&fixture.journal, &draft, 0).await.sequence, 1);
}

#[tokio::test]
async fn an_append_without_an_answer_is_unknown_and_can_be_repeated() {
    let mut fixture = a_journal(nats::newest(), 1).await;
    let config = JetStreamConfig { ack_timeout: Duration::from_millis(200), ..fixture.config.clone() };
    let journal = JetStreamJournal::connect(config).await.unwrap();
    let draft = draft(&subject());
    fixture.server.pause();
    let unknown = journal.append(&draft, 0).await;
    assert!(matches!(unknown, Err(AppendError::Unknown(_))), "{unknown:?}");
    fixture.server.resume();
    assert_eq!(append_surely(&fixture.journal, &draft, 0).await.sequence, 1);
    assert_eq!(fixture.journal.load(&draft.subject).await.unwrap().len(), 1);
}

// Tails that share a consumer -------------------------------------------------------------------------------

/// The next commits, up to a sequence, from a tail that is opened again wherever it ends with an error.
async fn follow_surely(journal: &JetStreamJournal, tail: &mut Tail, from: u64, upto: u64) {
    let mut seen = from;
    while seen < upto {
        match tokio::time::timeout(DEADLINE, tail.next()).await.unwrap() {
            Some(Ok(stored)) => {
                seen += 1;
                assert_eq!(stored.position.sequence, seen);
            }
            Some(Err(ReadError::Unavailable(_))) => *tail = tail_surely(journal, seen).await,
            other => panic!("{other:?}"),
        }
    }
}

/// Waits until the server has so many consumers for the first partition, and names them.
async fn until_consumers_are(fixture: &OnItsOwnServer, wanted: usize) -> Vec<String> {
    let context = jetstream::new(async_nats::connect(fixture.server.url()).await.unwrap());
    let stream = context.get_stream("daybook-0").await.unwrap();
    let settled = async {
        loop {
            let names: Vec<String> = stream.consumer_names().map(Result::unwrap).collect().await;
            if names.len() == wanted {
                return names;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, settled).await.unwrap_or_else(|_| panic!("not {wanted} consumer(s)"))
}

async fn append_all(journal: &JetStreamJournal, count: usize) {
    let drafts: Vec<Draft> = (0..count).map(|_| draft(&subject())).collect();
    join_all(drafts.iter().map(|draft| append_surely(journal, draft, 0))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tails_that_are_up_with_the_log_share_one_consumer() {
    for binary in [nats::newest(), nats::oldest_supported()] {
        let fixture = a_journal(binary, 1).await;
        let journal = &fixture.journal;
        append_all(journal, 100).await;
        // From the beginning, from the middle, from the end.
        let mut tails = Vec::new();
        for after in [0, 50, 100] {
            tails.push((after, journal.tail(0, after).await.unwrap()));
        }
        append_all(journal, 1).await;
        for (after, tail) in &mut tails {
            follow_surely(journal, tail, *after, 101).await;
            // Who came from behind has joined by the time that there is nothing left to read.
            assert!(tail.next().now_or_never().is_none());
        }
        let shared = until_consumers_are(&fixture, 1).await;
        // Many at once, but no more than are kept in memory: nobody needs another consumer.
        append_all(journal, 3000).await;
        for (_, tail) in &mut tails {
            follow_surely(journal, tail, 101, 3101).await;
        }
        assert_eq!(until_consumers_are(&fixture, 1).await, shared);
        // More than are kept.
        append_all(journal, 5000).await;
        for (_, tail) in &mut tails {
            follow_surely(journal, tail, 3101, 8101).await;
            assert!(tail.next().now_or_never().is_none());
        }
        until_consumers_are(&fixture, 1).await;
        drop(tails);
        until_consumers_are(&fixture, 0).await;
        follow_surely(journal, &mut journal.tail(0, 0).await.unwrap(), 0, 8101).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_tail_holds_up_nobody_and_misses_nothing_also_when_the_server_restarts() {
    for binary in [nats::newest(), nats::oldest_supported()] {
        let mut fixture = a_journal(binary, 1).await;
        append_all(&fixture.journal, 1).await;
        let mut slow = fixture.journal.tail(0, 0).await.unwrap();
        let mut quick = fixture.journal.tail(0, 0).await.unwrap();
        follow_surely(&fixture.journal, &mut slow, 0, 1).await;
        follow_surely(&fixture.journal, &mut quick, 0, 1).await;
        // More than is kept in memory, while one of them does not read.
        let mut newest = 1;
        for round in 0..4 {
            append_all(&fixture.journal, 3000).await;
            follow_surely(&fixture.journal, &mut quick, newest, newest + 3000).await;
            newest += 3000;
            if round == 2 {
                fixture.server.restart().await;
            }
        }
        follow_surely(&fixture.journal, &mut slow, 1, newest).await;
        // And then they are together again.
        append_all(&fixture.journal, 10).await;
        follow_surely(&fixture.journal, &mut quick, newest, newest + 10).await;
        follow_surely(&fixture.journal, &mut slow, newest, newest + 10).await;
        until_consumers_are(&fixture, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_is_opened_again_is_rid_of_a_shared_consumer_that_has_fallen_silent() {
    let fixture = a_journal(nats::newest(), 1).await;
    let journal = &fixture.journal;
    append_all(journal, 10).await;
    let mut tail = journal.tail(0, 0).await.unwrap();
    follow_surely(journal, &mut tail, 0, 10).await;
    assert!(tail.next().now_or_never().is_none());
    // Behind the journal's back; nobody tells the client.
    let context = jetstream::new(async_nats::connect(fixture.server.url()).await.unwrap());
    let stream = context.get_stream("daybook-0").await.unwrap();
    for name in until_consumers_are(&fixture, 1).await {
        stream.delete_consumer(&name).await.unwrap();
    }
    append_all(journal, 1).await;
    assert!(tail.next().now_or_never().is_none());
    let mut again = journal.tail(0, 10).await.unwrap();
    follow_surely(journal, &mut again, 10, 11).await;
    // Who waits on notices as well, once the server has sent no heartbeat for long enough.
    follow_surely(journal, &mut tail, 10, 11).await;
    append_all(journal, 1).await;
    follow_surely(journal, &mut again, 11, 12).await;
    follow_surely(journal, &mut tail, 11, 12).await;
    until_consumers_are(&fixture, 1).await;
}

// Several nodes ---------------------------------------------------------------------------------------------

/// Every node sends its own commit with the same expectation, round after round: one chain must come of it.
async fn race(nodes: &[JetStreamJournal]) {
    let subject = subject();
    let mut newest = 0;
    for round in 1..=20 {
        let drafts: Vec<Draft> = nodes.iter().map(|_| draft(&subject)).collect();
        // Each of them twice, as if an answer had been lost.
        let appends = nodes
            .iter()
            .zip(&drafts)
            .flat_map(|(node, draft)| [node.append(draft, newest), node.append(draft, newest)]);
        let mut winners = Vec::new();
        for (index, outcome) in join_all(appends).await.into_iter().enumerate() {
            match outcome {
                Ok(position) => winners.push((index / 2, position)),
                Err(AppendError::Conflict { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        let [first, second] = winners[..] else { panic!("one draft, twice: {winners:?}") };
        assert_eq!(first, second);
        newest = first.1.sequence;
        for node in nodes {
            let loaded = node.load(&subject).await.unwrap();
            assert_eq!(loaded.len(), round);
            assert_eq!(loaded[round - 1].bytes, drafts[first.0].bytes);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_nodes_with_one_expectation_exactly_one_wins() {
    for binary in [nats::newest(), nats::oldest_supported()] {
        let fixture = a_journal(binary, 1).await;
        let connects = (0..4).map(|_| JetStreamJournal::connect(fixture.config.clone()));
        let nodes: Vec<_> = join_all(connects).await.into_iter().map(Result::unwrap).collect();
        race(&nodes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_one_wins_and_a_killed_leader_loses_nothing() {
    for binary in [nats::newest(), nats::oldest_supported()] {
        let directory = tempfile::tempdir().unwrap();
        let mut servers = NatsServer::start_cluster(binary, directory.path(), 3).await;
        let urls: Vec<String> = servers.iter().map(NatsServer::url).collect();
        let ack_timeout = Duration::from_secs(2);
        let config = JetStreamConfig { replicas: 3, ack_timeout, ..JetStreamConfig::new(urls.join(",")) };
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(connect_surely(&config).await);
        }
        race(&nodes).await;

        let before = nodes[0].last_sequence(0).await.unwrap();
        let client = async_nats::connect(urls.clone()).await.unwrap();
        let stream = jetstream::new(client).get_stream("daybook-0").await.unwrap();
        let leader = stream.cached_info().cluster.as_ref().unwrap().leader.clone().unwrap();
        let leader: usize = leader.strip_prefix("node-").unwrap().parse().unwrap();

        let drafts: Vec<Draft> = (0..300).map(|_| draft(&subject())).collect();
        let appends = drafts.iter().zip(nodes.iter().cycle());
        let writes = join_all(appends.map(|(draft, node)| append_surely(node, draft, 0)));
        // The leader dies with appends under way, and stays away.
        let (positions, ()) = tokio::join!(writes, async { servers[leader].kill() });
        for (draft, position) in drafts.iter().zip(positions) {
            assert_eq!(append_surely(&nodes[0], draft, 0).await, position);
        }
        servers[leader].restart().await;
        let mut tail = tail_surely(&nodes[0], before).await;
        for sequence in before + 1..=before + 300 {
            let stored = tokio::time::timeout(DEADLINE, tail.next()).await.unwrap().unwrap().unwrap();
            assert_eq!(stored.position.sequence, sequence);
        }
        assert_eq!(nodes[0].last_sequence(0).await.unwrap(), before + 300);
    }
}

/// A cluster whose leader was killed cannot be read until it has another one.
async fn tail_surely(journal: &JetStreamJournal, after: u64) -> Tail {
    let open = async {
        loop {
            match journal.tail(0, after).await {
                Ok(tail) => return tail,
                Err(ReadError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(DEADLINE, open).await.expect("the cluster elects a leader")
}

/// A cluster answers before it has elected a leader; until then it is unavailable.
async fn connect_surely(config: &JetStreamConfig) -> JetStreamJournal {
    let connect = async {
        loop {
            match JetStreamJournal::connect(config.clone()).await {
                Ok(journal) => return journal,
                Err(OpenError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(DEADLINE, connect).await.expect("the cluster elects a leader")
}

// What must not be used -------------------------------------------------------------------------------------

async fn refusal(config: JetStreamConfig) -> String {
    match JetStreamJournal::connect(config).await {
        Err(OpenError::Refused(reason)) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_by_its_version() {
    let Some(binary) = nats::too_old() else {
        eprintln!("skipped: there is no nats-server older than 2.10 to try; `tests/setup` gets one");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let server = NatsServer::start(binary, directory.path()).await;
    let reason = refusal(JetStreamConfig::new(server.url())).await;
    assert!(reason.contains("has version 2.9.") && reason.contains("needs 2.10 or later"), "{reason}");
}

#[tokio::test]
async fn whoever_only_looks_creates_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = NatsServer::start(nats::newest(), directory.path()).await;
    let config = JetStreamConfig::new(server.url());
    for _ in 0..2 {
        match JetStreamJournal::connect_existing(config.clone()).await {
            Err(OpenError::Refused(text)) => assert!(text.contains("there is no stream daybook-0"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    let journal = JetStreamJournal::connect(config.clone()).await.unwrap();
    append_chain(&journal, &subject(), 1).await;
    let looking = JetStreamJournal::connect_existing(config.clone()).await.unwrap();
    assert_eq!(looking.last_sequence(0).await.unwrap(), 1);
    let revision = journal.put_memo("a", 0, "{}".into()).await.unwrap();
    assert_eq!(looking.memo("a").await.unwrap().map(|memo| memo.revision), Some(revision));

    // A journal from before there were memos has none, and whoever looks makes none.
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    context.delete_key_value("daybook_memos").await.unwrap();
    let looking = JetStreamJournal::connect_existing(config).await.unwrap();
    assert_eq!(looking.memo("a").await.unwrap(), None);
    let refused = looking.put_memo("a", 0, "{}".into()).await;
    assert!(matches!(refused, Err(PutMemoError::Unavailable(_))), "{refused:?}");
    assert!(context.get_key_value("daybook_memos").await.is_err());
}

#[tokio::test]
async fn memos_that_would_be_forgotten_by_themselves_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = NatsServer::start(nats::newest(), directory.path()).await;
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let forgetful = jetstream::kv::Config {
        bucket: "daybook_memos".to_owned(),
        max_age: Duration::from_secs(3600),
        ..jetstream::kv::Config::default()
    };
    context.create_key_value(forgetful).await.unwrap();
    let reason = refusal(JetStreamConfig::new(server.url())).await;
    assert!(reason.contains("daybook_memos") && reason.contains("without an age limit"), "{reason}");
}

#[tokio::test]
async fn a_memo_that_an_operator_took_away_is_empty_and_can_be_put_again() {
    let fixture = a_journal(nats::newest(), 1).await;
    fixture.journal.put_memo("a", 0, "{}".into()).await.unwrap();
    let context = jetstream::new(async_nats::connect(fixture.server.url()).await.unwrap());
    context.get_key_value("daybook_memos").await.unwrap().delete("a").await.unwrap();
    let memo = fixture.journal.memo("a").await.unwrap().unwrap();
    assert!(memo.bytes.is_empty(), "{memo:?}");
    fixture.journal.put_memo("a", memo.revision, "new".into()).await.unwrap();
    assert_eq!(fixture.journal.memo("a").await.unwrap().unwrap().bytes, "new");
}

#[tokio::test]
async fn a_server_without_jetstream_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let settings = NatsSettings { without_jetstream: true, ..NatsSettings::default() };
    let server = NatsServer::start_with(nats::newest(), directory.path(), settings).await;
    let reason = refusal(JetStreamConfig::new(server.url())).await;
    assert!(reason.contains("has no JetStream"), "{reason}");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_unavailable() {
    let mut fixture = a_journal(nats::newest(), 1).await;
    fixture.server.kill();
    let opened = JetStreamJournal::connect(fixture.config.clone()).await;
    assert!(matches!(opened, Err(OpenError::Unavailable(_))), "{opened:?}");
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_right_ones_are_shown_to_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let server = "authorization { user: ledger, password: hunter2 }".to_owned();
    let settings = NatsSettings { server, ..NatsSettings::default() };
    let server = NatsServer::start_with(nats::newest(), directory.path(), settings).await;
    let reason = refusal(JetStreamConfig::new(server.url())).await;
    assert!(reason.contains("does not accept the credentials"), "{reason}");

    let credentials = Credentials::Password { user: "ledger".to_owned(), password: "hunter2".to_owned() };
    let apart = JetStreamConfig { credentials, ..JetStreamConfig::new(server.url()) };
    let within = JetStreamConfig::new(server.url().replace("://", "://ledger:hunter2@"));
    for config in [apart, within] {
        let shown = format!("{config:?} {:?}", config.credentials);
        let journal = JetStreamJournal::connect(config).await.unwrap();
        let description = journal.describe().await.unwrap();
        assert_eq!(description.location, server.url());
        assert!(!format!("{shown} {journal:?} {description:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_stream_with_other_settings_is_refused_with_the_difference() {
    let directory = tempfile::tempdir().unwrap();
    let server = NatsServer::start(nats::newest(), directory.path()).await;
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let careless = Config {
        name: "daybook-0".to_owned(),
        subjects: vec!["daybook.0.>".to_owned()],
        max_age: Duration::from_secs(3600),
        ..Config::default()
    };
    context.create_stream(careless).await.unwrap();
    let reason = refusal(JetStreamConfig::new(server.url())).await;
    for line in [
        "daybook-0: max_age: wanted 0ns, found 3600s",
        "daybook-0: discard: wanted New, found Old",
        "daybook-0: deny_delete: wanted true, found false",
        "daybook-0: deny_purge: wanted true, found false",
        "daybook-0: compression: wanted S2, found None",
    ] {
        assert!(reason.contains(line), "{line:?} is not in:\n{reason}");
    }
    assert!(!reason.contains("storage"), "what is right is not listed:\n{reason}");
}

#[tokio::test]
async fn a_stream_that_has_lost_a_message_is_refused() {
    let fixture = a_journal(nats::newest(), 1).await;
    append_chain(&fixture.journal, &subject(), 3).await;
    let context = jetstream::new(async_nats::connect(fixture.server.url()).await.unwrap());
    // A journal's stream lets nobody delete; so the same is made once more, without that.
    let kept = context.get_stream("daybook-0").await.unwrap().cached_info().config.clone();
    assert!(context.get_stream("daybook-0").await.unwrap().delete_message(2).await.is_err());
    assert!(context.get_stream("daybook-0").await.unwrap().purge().await.is_err());
    context.delete_stream("daybook-0").await.unwrap();
    context.create_stream(Config { deny_delete: false, ..kept.clone() }).await.unwrap();
    let refused = refusal(fixture.config.clone()).await;
    assert!(refused.contains("deny_delete: wanted true, found false"), "{refused}");
    append_chain(&fixture.journal, &subject(), 3).await;
    context.get_stream("daybook-0").await.unwrap().delete_message(2).await.unwrap();
    context.update_stream(kept).await.unwrap();
    let reason = refusal(fixture.config.clone()).await;
    assert!(reason.contains("messages (as many as the last sequence): wanted 3, found 2"), "{reason}");

    // And a node that runs already reports the hole instead of passing over it.
    let mut tail = fixture.journal.tail(0, 0).await.unwrap();
    assert!(tail.next().await.unwrap().is_ok());
    let error = tail.next().await.unwrap().unwrap_err();
    let at = Position { partition: 0, sequence: 3 };
    assert!(matches!(error, ReadError::Foreign { position, .. } if position == at), "{error:?}");
}

#[tokio::test]
async fn another_number_of_partitions_is_refused() {
    let fixture = a_journal(nats::newest(), 2).await;
    append_chain(&fixture.journal, &subject(), 1).await;
    for partitions in [1, 3] {
        let reason = refusal(JetStreamConfig { partitions, ..fixture.config.clone() }).await;
        assert!(reason.contains("partitions"), "{reason}");
        let both = format!("made with 2 partitions, and {partitions} are configured");
        assert!(reason.contains(&both) && reason.contains("daybook copy"), "{reason}");
    }
    // A refusal leaves nothing behind.
    let context = jetstream::new(async_nats::connect(fixture.server.url()).await.unwrap());
    assert!(context.get_stream("daybook-2").await.is_err());
    let none = refusal(JetStreamConfig { partitions: 0, ..fixture.config.clone() }).await;
    assert!(none.contains("at least one partition"), "{none}");
    let prefix = refusal(JetStreamConfig { prefix: "a.b".to_owned(), ..fixture.config.clone() }).await;
    assert!(prefix.contains("cannot be the prefix"), "{prefix}");
}

#[tokio::test]
async fn replicas_without_a_cluster_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = NatsServer::start(nats::newest(), directory.path()).await;
    let reason = refusal(JetStreamConfig { replicas: 3, ..JetStreamConfig::new(server.url()) }).await;
    assert!(reason.contains("the server will not create daybook-0"), "{reason}");
}

#[tokio::test]
async fn a_message_that_no_daybook_writes_is_reported_with_its_position() {
    let fixture = a_journal(nats::newest(), 1).await;
    let context = jetstream::new(async_nats::connect(fixture.server.url()).await.unwrap());
    for (sequence, subject) in (1..).zip(["daybook.0.demo", "daybook.0.DEMO.1", "daybook.0.a.b.c"]) {
        context.publish(subject, "hello".into()).await.unwrap().await.unwrap();
        let position = Position { partition: 0, sequence };
        let error = fixture.journal.at(position).await.unwrap_err();
        assert!(matches!(error, ReadError::Foreign { position: at, .. } if at == position), "{error:?}");
        let mut tail = fixture.journal.tail(0, sequence - 1).await.unwrap();
        let error = tail.next().await.unwrap().unwrap_err();
        assert!(matches!(error, ReadError::Foreign { position: at, .. } if at == position), "{error:?}");
        assert!(tail.next().await.is_none());
    }
}
