//! `execute` against a real journal whose answers get lost, late, or in somebody else's way.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;

use super::*;
use crate::ids::{RefundId, RequestHash};
use crate::journal::embedded::{EmbeddedJournal, EmbeddedOptions};
use crate::journal::{Description, Memo, PutMemoError, Tail};
use crate::money::Money;
use crate::order::{
    CaptureMode, Checkout, Command, Customer, Fact, Notification, Order, Rejection, ReturnUrls,
};

/// What goes wrong with one append.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The commit is stored, and the answer is lost.
    AnswerLost,
    /// The request is lost: nothing is stored, and nobody knows.
    RequestLost,
    /// The journal says that it cannot.
    Refused,
    /// Somebody else's commit gets in first.
    Overtaken,
    /// The commit is stored, and the answer says that it was not.
    FalseConflict,
}

/// A real embedded journal with faults to come, taken in order.
struct Faulty {
    journal: EmbeddedJournal,
    faults: Mutex<VecDeque<Fault>>,
    loads_fail: Mutex<u32>,
    rival: Mutex<u128>,
    _dir: tempfile::TempDir,
}

impl Faulty {
    fn next_fault(&self) -> Option<Fault> {
        self.faults.lock().unwrap().pop_front()
    }

    /// Puts a notification of somebody else's onto the order.
    async fn overtake(&self, draft: &Draft, expected: u64) {
        let n = {
            let mut rival = self.rival.lock().unwrap();
            *rival += 1;
            *rival
        };
        let commit = Commit {
            id: CommitId::random(),
            tenant: draft.subject.tenant.clone(),
            record: draft.subject.id,
            decided_at: now(),
            cause: webhook(&format!("rival-{n}")),
            changes: Changes::Order(vec![order::Event::WebhookNoted { kind: "rival".to_owned() }]),
        };
        let bytes = codec::encode(&commit).into();
        let rival = Draft { subject: commit.subject(), commit_id: commit.id, bytes };
        self.journal.append(&rival, expected).await.unwrap();
    }
}

#[async_trait]
impl Journal for Faulty {
    fn partitions(&self) -> u16 {
        self.journal.partitions()
    }

    async fn append(&self, draft: &Draft, expected: u64) -> Result<Position, AppendError> {
        match self.next_fault() {
            None => self.journal.append(draft, expected).await,
            Some(Fault::AnswerLost) => {
                self.journal.append(draft, expected).await?;
                Err(AppendError::Unknown("the answer was lost".into()))
            }
            Some(Fault::RequestLost) => Err(AppendError::Unknown("the request was lost".into())),
            Some(Fault::Refused) => Err(AppendError::Unavailable("out of order".into())),
            Some(Fault::FalseConflict) => {
                let actual = self.journal.append(draft, expected).await?;
                Err(AppendError::Conflict { actual })
            }
            Some(Fault::Overtaken) => {
                self.overtake(draft, expected).await;
                self.journal.append(draft, expected).await
            }
        }
    }

    async fn load(&self, subject: &Subject) -> Result<Vec<Stored>, ReadError> {
        {
            let mut left = self.loads_fail.lock().unwrap();
            if *left > 0 {
                *left -= 1;
                return Err(ReadError::Unavailable("out of order".into()));
            }
        }
        self.journal.load(subject).await
    }

    async fn at(&self, position: Position) -> Result<Option<Stored>, ReadError> {
        self.journal.at(position).await
    }

    async fn last_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        self.journal.last_sequence(partition).await
    }

    async fn tail(&self, partition: u16, after: u64) -> Result<Tail, ReadError> {
        self.journal.tail(partition, after).await
    }

    async fn page(&self, partition: u16, after: u64) -> Result<Vec<Stored>, ReadError> {
        self.journal.page(partition, after).await
    }

    async fn memo(&self, name: &str) -> Result<Option<Memo>, ReadError> {
        self.journal.memo(name).await
    }

    async fn put_memo(&self, name: &str, expected: u64, bytes: Bytes) -> Result<u64, PutMemoError> {
        self.journal.put_memo(name, expected, bytes).await
    }

    fn keys(&self) -> Arc<dyn crate::keys::KeyStore> {
        self.journal.keys()
    }

    async fn describe(&self) -> Result<Description, ReadError> {
        self.journal.describe().await
    }
}

/// A ledger on a fresh journal, and the journal.
async fn ledger(faults: impl IntoIterator<Item = Fault>) -> (Ledger, Arc<Faulty>) {
    let dir = tempfile::tempdir().unwrap();
    let journal = EmbeddedJournal::open(dir.path().join("journal.sqlite"), EmbeddedOptions::default());
    let journal = Arc::new(Faulty {
        journal: journal.await.unwrap(),
        faults: Mutex::new(faults.into_iter().collect()),
        loads_fail: Mutex::new(0),
        rival: Mutex::new(0),
        _dir: dir,
    });
    let retry = RetryPolicy { give_up_after: Duration::from_secs(60), first_wait: Duration::from_millis(1) };
    (Ledger::new(journal.clone(), retry), journal)
}

fn now() -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000).unwrap()
}

fn tenant() -> TenantId {
    "demo".parse().unwrap()
}

fn eur(minor: i64) -> Money {
    Money::of(minor, "EUR".parse().unwrap()).unwrap()
}

fn webhook(event_id: &str) -> Cause {
    Cause::Webhook { source: "psp".to_owned(), event_id: event_id.to_owned(), body: "{}".into() }
}

fn command(operation: &str, key: &str, content: &str) -> Cause {
    let request_hash = RequestHash::of(content.as_bytes());
    Cause::Command { operation: operation.to_owned(), key: Some(key.to_owned()), request_hash }
}

fn order_id() -> RecordId {
    RecordId::for_key(&tenant(), "checkout", "k")
}

fn submit(content: &str) -> Request<Command> {
    let checkout = Checkout {
        amount: eur(100),
        merchant_reference: content.to_owned(),
        capture: CaptureMode::Automatic,
        payment_method: None,
        items: Vec::new(),
        customer: Customer::default(),
        return_urls: ReturnUrls::default(),
        metadata: Default::default(),
        expires_at: now(),
        surface: Default::default(),
    };
    request(command("checkout", "k", content), Command::Submit(Box::new(checkout)), true)
}

fn request(cause: Cause, command: Command, is_new: bool) -> Request<Command> {
    Request { tenant: tenant(), record: order_id(), cause, command, at: now(), is_new }
}

fn captured(event_id: &str, amount: i64) -> Request<Command> {
    let fact = Fact::Captured { capture_id: None, reference: event_id.to_owned(), amount: eur(amount) };
    let notification = Notification { payment_reference: None, attempt: None, fact };
    request(webhook(event_id), Command::Record(notification), false)
}

fn refund(key: &str, amount: i64) -> Request<Command> {
    let id = RefundId::for_key(order_id(), Some(key));
    let refund = Command::Refund { id, amount: Some(eur(amount)), reason: None };
    request(command("refund", key, &amount.to_string()), refund, false)
}

async fn run(ledger: &Ledger, request: Request<Command>) -> Outcome<Order> {
    ledger.execute::<Order>(request).await.unwrap()
}

#[track_caller]
fn committed(outcome: Outcome<Order>) -> Done<Order> {
    match outcome {
        Outcome::Committed(done) => done,
        other @ (Outcome::Repeated(_) | Outcome::Unchanged(_)) => panic!("{other:?}"),
    }
}

#[track_caller]
fn repeated(outcome: Outcome<Order>) -> Done<Order> {
    match outcome {
        Outcome::Repeated(done) => done,
        other @ (Outcome::Committed(_) | Outcome::Unchanged(_)) => panic!("{other:?}"),
    }
}

async fn sequence(journal: &Faulty) -> u64 {
    journal.last_sequence(0).await.unwrap()
}

#[tokio::test]
async fn a_checkout_is_stored_once_however_many_answers_are_lost() {
    let faults = [Fault::AnswerLost, Fault::RequestLost, Fault::Refused, Fault::AnswerLost];
    let (ledger, journal) = ledger(faults).await;
    let done = committed(run(&ledger, submit("A")).await);
    assert_eq!((done.recorded.position.sequence, sequence(&journal).await), (1, 1));
}

#[tokio::test]
async fn unknown_after_unknown_is_retried_until_it_is_known() {
    let (ledger, journal) = ledger([Fault::RequestLost; 12]).await;
    committed(run(&ledger, submit("A")).await);
    assert_eq!(sequence(&journal).await, 1);
}

#[tokio::test]
async fn what_stays_unknown_is_never_acknowledged() {
    let (mut ledger, _) = ledger([Fault::AnswerLost; 1000]).await;
    ledger.retry.give_up_after = Duration::from_millis(20);
    let outcome = ledger.execute::<Order>(submit("A")).await;
    assert!(matches!(outcome, Err(ExecuteError::Unknown(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_doubt_outlives_a_later_refusal() {
    let faults = std::iter::once(Fault::RequestLost).chain([Fault::Refused; 1000]);
    let (mut ledger, _) = ledger(faults).await;
    ledger.retry.give_up_after = Duration::from_millis(20);
    let outcome = ledger.execute::<Order>(submit("A")).await;
    assert!(matches!(outcome, Err(ExecuteError::Unknown(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_journal_that_says_no_is_unavailable_and_holds_nothing() {
    let (mut ledger, journal) = ledger([Fault::Refused; 1000]).await;
    ledger.retry.give_up_after = Duration::from_millis(20);
    let outcome = ledger.execute::<Order>(submit("A")).await;
    assert!(matches!(outcome, Err(ExecuteError::Unavailable(_))), "{outcome:?}");
    assert_eq!(sequence(&journal).await, 0);
}

#[tokio::test]
async fn conflict_after_conflict_is_decided_again_on_what_is_there() {
    let (ledger, journal) = ledger([]).await;
    run(&ledger, submit("A")).await;
    journal.faults.lock().unwrap().extend([Fault::Overtaken; 20]);
    let done = committed(run(&ledger, captured("e1", 100)).await);
    assert_eq!(done.state.balance().captured_minor, 100);
    assert_eq!(sequence(&journal).await, 1 + 20 + 1);
}

#[tokio::test]
async fn a_lost_answer_is_found_also_when_others_came_after_it() {
    let (ledger, journal) = ledger([]).await;
    run(&ledger, submit("A")).await;
    // The capture is stored and its answer lost; by the time of the retry a rival stands behind it.
    journal.faults.lock().unwrap().push_back(Fault::AnswerLost);
    let (first, second) = tokio::join!(run(&ledger, captured("e1", 100)), run(&ledger, captured("e2", 1)));
    let (first, second) = (committed(first), committed(second));
    assert_ne!(first.recorded.position, second.recorded.position);
    assert_eq!(sequence(&journal).await, 3);
    let state = ledger.history::<Order>(&tenant(), order_id()).await.unwrap();
    assert_eq!(state.state.unwrap().balance().captured_minor, 101);
}

#[tokio::test]
async fn a_commit_that_was_stored_in_spite_of_what_the_journal_says_is_recognised() {
    let (ledger, journal) = ledger([]).await;
    run(&ledger, submit("A")).await;
    run(&ledger, captured("e1", 100)).await;
    journal.faults.lock().unwrap().push_back(Fault::FalseConflict);
    let without_key =
        Cause::Command { operation: "refund".to_owned(), key: None, request_hash: RequestHash::of(b"60") };
    let refund =
        Command::Refund { id: RefundId::for_key(order_id(), None), amount: Some(eur(60)), reason: None };
    let done = committed(run(&ledger, request(without_key, refund, false)).await);
    assert_eq!((done.recorded.position.sequence, sequence(&journal).await), (3, 3));
}

#[tokio::test]
async fn a_repeated_command_gets_its_first_answer_whatever_came_later() {
    let (ledger, journal) = ledger([]).await;
    let first = committed(run(&ledger, submit("A")).await);
    run(&ledger, captured("e1", 100)).await;
    let again = repeated(run(&ledger, submit("A")).await);
    assert_eq!(again.recorded, first.recorded);
    assert_eq!(again.state, first.state);
    assert_eq!(sequence(&journal).await, 2);
}

#[tokio::test]
async fn a_key_used_for_something_else_is_refused_and_changes_nothing() {
    let (ledger, journal) = ledger([]).await;
    run(&ledger, submit("A")).await;
    let outcome = ledger.execute::<Order>(submit("B")).await;
    assert!(matches!(outcome, Err(ExecuteError::KeyReused)), "{outcome:?}");
    run(&ledger, captured("e1", 100)).await;
    run(&ledger, refund("r", 10)).await;
    let outcome = ledger.execute::<Order>(refund("r", 11)).await;
    assert!(matches!(outcome, Err(ExecuteError::KeyReused)), "{outcome:?}");
    assert_eq!(sequence(&journal).await, 3);
}

#[tokio::test]
async fn a_repeated_refund_is_repeated_even_when_a_new_one_would_be_refused() {
    let (ledger, _) = ledger([]).await;
    run(&ledger, submit("A")).await;
    run(&ledger, captured("e1", 100)).await;
    let first = committed(run(&ledger, refund("r", 100)).await);
    assert_eq!(repeated(run(&ledger, refund("r", 100)).await).recorded, first.recorded);
    let refused = ledger.execute::<Order>(refund("s", 1)).await;
    assert!(matches!(refused, Err(ExecuteError::Rejected(Rejection::NothingToRefund { .. }))), "{refused:?}");
}

#[tokio::test]
async fn a_webhook_is_counted_once_however_often_it_comes() {
    let (ledger, journal) = ledger([]).await;
    run(&ledger, submit("A")).await;
    let first = committed(run(&ledger, captured("e1", 100)).await);
    assert_eq!(repeated(run(&ledger, captured("e1", 100)).await).recorded, first.recorded);
    assert_eq!(sequence(&journal).await, 2);
}

#[tokio::test]
async fn racing_refunds_never_add_up_to_more_than_was_captured() {
    let (ledger, _) = ledger([]).await;
    run(&ledger, submit("A")).await;
    run(&ledger, captured("e1", 100)).await;
    let racers = (0..50).map(|n| {
        let ledger = ledger.clone();
        async move { ledger.execute::<Order>(refund(&n.to_string(), 10)).await }
    });
    let outcomes = futures::future::join_all(racers).await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 10);
    for refused in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(refused, ExecuteError::Rejected(Rejection::NothingToRefund { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn a_load_that_fails_is_tried_again() {
    let (ledger, journal) = ledger([]).await;
    run(&ledger, submit("A")).await;
    *journal.loads_fail.lock().unwrap() = 3;
    committed(run(&ledger, captured("e1", 100)).await);
}

#[tokio::test]
async fn what_this_node_wrote_itself_is_decided_on_without_the_journal_being_asked() {
    let (ledger, journal) = ledger([]).await;
    run(&ledger, submit("A")).await;
    *journal.loads_fail.lock().unwrap() = 1000;
    committed(run(&ledger, captured("e1", 100)).await);
    committed(run(&ledger, refund("r", 60)).await);
    repeated(run(&ledger, captured("e1", 100)).await);
    repeated(run(&ledger, refund("r", 60)).await);
    assert_eq!(*journal.loads_fail.lock().unwrap(), 1000);
    assert_eq!(sequence(&journal).await, 3);
}

#[tokio::test]
async fn what_this_node_remembers_neither_refuses_nor_hides_what_another_one_stored() {
    let (ledger, journal) = ledger([]).await;
    let other = Ledger::new(journal.clone(), ledger.retry);
    run(&ledger, submit("A")).await;
    run(&other, captured("e1", 100)).await;
    // Here, nothing is captured yet.
    committed(run(&ledger, refund("r", 40)).await);
    run(&other, captured("e2", 50)).await;
    repeated(run(&ledger, captured("e2", 50)).await);
    committed(run(&other, refund("s", 110)).await);
    // Here, there is something left to refund.
    let refused = ledger.execute::<Order>(refund("t", 1)).await;
    assert!(matches!(refused, Err(ExecuteError::Rejected(Rejection::NothingToRefund { .. }))), "{refused:?}");
    let early = now().checked_sub(Duration::from_secs(1)).unwrap();
    let timer = Cause::Timer { name: "expiry".to_owned() };
    let outcome = run(&ledger, request(timer, Command::Expire { now: early }, false)).await;
    let Outcome::Unchanged(Some(order)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(order.balance().captured_minor, 150);
    assert_eq!(sequence(&journal).await, 5);
}

#[tokio::test]
async fn the_journal_is_asked_again_once_another_nodes_commit_was_heard_of() {
    let (ledger, journal) = ledger([]).await;
    let other = Ledger::new(journal.clone(), ledger.retry);
    let ours = committed(run(&ledger, submit("A")).await);
    let theirs = committed(run(&other, captured("e1", 100)).await);
    *journal.loads_fail.lock().unwrap() = 1;
    ledger.heard_of(&ours.recorded);
    ledger.heard_of(&theirs.recorded);
    committed(run(&ledger, captured("e2", 1)).await);
    assert_eq!(*journal.loads_fail.lock().unwrap(), 0);
    assert_eq!(sequence(&journal).await, 3);
}

#[tokio::test]
async fn nothing_personal_is_written_down_once_another_node_has_destroyed_the_key() {
    let (ledger, journal) = ledger([]).await;
    let other = Ledger::new(journal.clone(), ledger.retry);
    run(&ledger, submit("A")).await;
    other.destroy_keys(&tenant(), order_id()).await.unwrap();
    ledger.keyring().forget_what_is_in_memory();
    let done = committed(run(&ledger, captured("e1", 100)).await);
    let stored = journal.at(done.recorded.position).await.unwrap().unwrap();
    let (commit, sealed) = codec::decode_sealed(&stored.bytes).unwrap();
    let Cause::Webhook { body, .. } = &commit.cause else { panic!("{commit:?}") };
    assert_eq!((body.as_ref(), sealed), (&b""[..], None));
}

#[tokio::test]
async fn nothing_to_change_stores_nothing() {
    let (ledger, journal) = ledger([]).await;
    run(&ledger, submit("A")).await;
    let early = now().checked_sub(Duration::from_secs(1)).unwrap();
    let timer = Cause::Timer { name: "expiry".to_owned() };
    let outcome = run(&ledger, request(timer, Command::Expire { now: early }, false)).await;
    assert!(matches!(outcome, Outcome::Unchanged(Some(_))), "{outcome:?}");
    assert_eq!(sequence(&journal).await, 1);
}

#[tokio::test]
async fn an_offers_record_is_no_order() {
    let (ledger, _) = ledger([]).await;
    let offer = offer::Offer {
        identifier: "gold".to_owned(),
        amount: eur(100),
        items: Vec::new(),
        expires_at: None,
        purchasable: true,
    };
    let record = offer::Offer::record_id(&tenant(), "gold");
    let request = Request {
        tenant: tenant(),
        record,
        cause: command("offer", "gold", "gold"),
        command: offer::Command::Register(offer),
        at: now(),
        is_new: false,
    };
    ledger.execute::<offer::Offer>(request).await.unwrap();
    assert!(ledger.history::<Order>(&tenant(), record).await.unwrap().state.is_none());
}

/// An aggregate that counts how often it is copied.
#[derive(Debug, Default)]
struct Counted {
    copies: Arc<std::sync::atomic::AtomicUsize>,
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.copies.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Counted { copies: Arc::clone(&self.copies) }
    }
}

impl Aggregate for Counted {
    type Command = ();
    type Event = order::Event;
    type Rejection = std::convert::Infallible;

    fn decide(_: Option<&Self>, (): &()) -> Result<Vec<order::Event>, std::convert::Infallible> {
        Ok(vec![order::Event::WebhookNoted { kind: "new".to_owned() }])
    }

    fn evolve(state: Option<Self>, _: &order::Event) -> Result<Self, ImpossibleEvent> {
        Ok(state.unwrap_or_default())
    }

    fn to_changes(events: Vec<order::Event>) -> Changes {
        Changes::Order(events)
    }

    fn from_changes(changes: &Changes) -> Option<&[order::Event]> {
        order::Order::from_changes(changes)
    }
}

#[tokio::test]
async fn a_request_copies_a_record_once_at_most_however_long_its_history_is() {
    let (ledger, _) = ledger([]).await;
    let request = |cause: Cause| Request {
        tenant: tenant(),
        record: order_id(),
        cause,
        command: (),
        at: now(),
        is_new: false,
    };
    for n in 0..20 {
        let outcome = ledger.execute::<Counted>(request(webhook(&n.to_string()))).await.unwrap();
        let Outcome::Committed(Done { state, .. }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(state.copies.load(std::sync::atomic::Ordering::SeqCst), 0);
    }
    let outcome = ledger.execute::<Counted>(request(webhook("7"))).await.unwrap();
    let Outcome::Repeated(Done { state, recorded }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(recorded.position.sequence, 8);
    assert_eq!(state.copies.load(std::sync::atomic::Ordering::SeqCst), 1);
}
