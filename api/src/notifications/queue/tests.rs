//! Days pass here in no time: the clock is an argument.

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn id(order: u128, sequence: u64) -> NotificationId {
    NotificationId { order: RecordId(uuid::Uuid::from_u128(order)), position: at_position(sequence) }
}

fn at_position(sequence: u64) -> Position {
    Position { partition: 0, sequence }
}

fn dice() -> fastrand::Rng {
    fastrand::Rng::with_seed(7)
}

/// A queue with these orders' status changes, at sequences 1, 2, 3, …
fn queue(orders: &[u128]) -> Queue {
    let mut queue = Queue::new(vec![0], [], []);
    for (sequence, order) in (1..).zip(orders) {
        queue.add(id(*order, sequence), at(0), at(0));
        queue.pass(at_position(sequence));
    }
    queue
}

#[test]
fn an_orders_messages_go_one_after_the_other_and_orders_side_by_side() {
    let mut queue = queue(&[1, 1, 2, 1]);
    assert_eq!(queue.take(at(0)), Some(id(1, 1)));
    assert_eq!(queue.take(at(0)), Some(id(2, 3)));
    assert_eq!(queue.take(at(0)), None, "the others wait for the first of their order");
    queue.delivered(at_position(1));
    assert_eq!(queue.take(at(0)), Some(id(1, 2)));
    assert_eq!(queue.take(at(0)), None);
    queue.delivered(at_position(2));
    queue.delivered(at_position(3));
    assert_eq!(queue.take(at(0)), Some(id(1, 4)));
    queue.delivered(at_position(4));
    assert_eq!((queue.pending().len(), queue.next_at(), queue.read()), (0, None, &[4][..]));
}

#[test]
fn a_message_that_fails_holds_up_its_own_order_alone() {
    let mut queue = queue(&[1, 2, 1, 2]);
    assert_eq!(queue.take(at(0)), Some(id(1, 1)));
    assert_eq!(queue.failed(at_position(1), "answered 500".to_owned(), at(0), &mut dice()), None);
    assert_eq!(queue.take(at(0)), Some(id(2, 2)));
    queue.delivered(at_position(2));
    assert_eq!(queue.take(at(0)), Some(id(2, 4)));
    queue.delivered(at_position(4));
    assert_eq!(queue.take(at(0)), None);
    let again = queue.next_at().unwrap();
    assert!(at(0) < again && again <= at(1), "{again}");
    assert_eq!(queue.take(again), Some(id(1, 1)), "and then the one that came after it");
    let entry = queue.pending().next().unwrap();
    assert_eq!((entry.attempts, entry.last_error.as_deref()), (1, Some("answered 500")));
}

#[test]
fn waits_double_from_a_second_to_an_hour_with_jitter() {
    let mut dice = dice();
    for (failures, most) in [(1, 1), (2, 2), (3, 4), (7, 64), (12, 2048), (13, 3600), (80, 3600)] {
        let waits: HashSet<Duration> = (0..50).map(|_| wait_after(failures, &mut dice)).collect();
        let most = Duration::from_secs(most);
        assert!(waits.iter().all(|wait| (most / 2..=most).contains(wait)), "{failures}: {waits:?}");
        assert!(waits.len() > 10, "they differ");
    }
}

#[test]
fn after_three_days_a_message_is_given_up_and_the_next_of_its_order_goes() {
    let mut queue = queue(&[1, 1]);
    let mut dice = dice();
    let mut now = at(0);
    let given_up = loop {
        assert_eq!(queue.take(now), Some(id(1, 1)), "at {now}");
        if let Some(entry) = queue.failed(at_position(1), "answered 500".to_owned(), now, &mut dice) {
            break entry;
        }
        now = queue.next_at().unwrap();
    };
    assert_eq!(now, at(3 * 86_400), "the last attempt is made when the time is up");
    assert!((75..=160).contains(&given_up.attempts), "{}", given_up.attempts);
    assert_eq!(queue.given_up().collect::<Vec<_>>(), [&given_up]);
    assert_eq!(queue.take(now), Some(id(1, 2)), "each message is tried at least once");
    queue.delivered(at_position(2));
    assert_eq!(queue.pending().len(), 0);

    assert!(queue.retry(at_position(1), now));
    assert!(!queue.retry(at_position(2), now));
    assert_eq!(queue.given_up().len(), 0);
    assert_eq!(queue.take(now), Some(id(1, 1)));
    let again = queue.failed(at_position(1), "answered 500".to_owned(), now, &mut dice).unwrap();
    assert_eq!(again.attempts, given_up.attempts + 1);
}

#[test]
fn what_was_postponed_counts_as_no_attempt() {
    let mut queue = queue(&[1]);
    assert_eq!(queue.take(at(0)), Some(id(1, 1)));
    queue.postpone(at_position(1), at(0));
    assert_eq!(queue.take(at(1)), None);
    assert_eq!(queue.take(at(5)), Some(id(1, 1)));
    assert_eq!(queue.pending().next().unwrap().attempts, 0);
}

#[test]
fn there_is_a_bound_to_everything() {
    let mut queue = queue(&[]);
    let mut dice = dice();
    for sequence in 1..=3 * MAX_PENDING as u64 {
        if !queue.has_room() {
            let id = queue.take(at(300_000)).unwrap();
            assert!(queue.failed(id.position, "down".to_owned(), at(300_000), &mut dice).is_some());
        }
        assert!(queue.has_room());
        queue.add(id(u128::from(sequence), sequence), at(0), at(0));
    }
    assert_eq!(queue.pending().len(), MAX_PENDING);
    assert_eq!(queue.given_up().len(), MAX_GIVEN_UP);
    let oldest = queue.given_up().next().unwrap().id.position;
    assert_eq!(oldest, at_position(MAX_PENDING as u64 + 1), "the last ones are kept");
    // Whatever is asked for again, the two together stay bounded.
    let again: Vec<Position> = queue.given_up().map(|entry| entry.id.position).collect();
    assert!(again.into_iter().all(|position| queue.retry(position, at(0))));
    while let Some(id) = queue.take(at(300_000)) {
        queue.failed(id.position, "down".to_owned(), at(300_000), &mut dice);
        assert!(queue.pending().len() + queue.given_up().len() <= MAX_ENTRIES);
        assert!(queue.given_up().len() <= MAX_GIVEN_UP);
    }
}
