//! The books against the balance, whatever anybody sends, in whatever order.

use proptest::prelude::*;

use super::properties::{capture_mode, run};
use super::strategies::command;
use super::{about, eur, submitted};
use crate::accounts::{Account, Figures, TrialBalance, check, postings};
use crate::order::{CaptureMode, Command, Fact, Order};

fn figures(order: &Order) -> Figures {
    Figures::from(&order.balance())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_postings_of_an_order_add_up_to_its_balance(
        capture in capture_mode(),
        commands in proptest::collection::vec(command(), 0..40),
    ) {
        let mut books = TrialBalance::of(&figures(&submitted(capture)));
        let last = run(capture, &commands, |before, command, after| {
            for posting in postings(&figures(before), &figures(after)) {
                assert!(posting.amount_minor() > 0 && posting.debit() != posting.credit());
                books.post(posting);
            }
            assert!(books.is_balanced());
            assert_eq!(check(&books, &figures(after)), Ok(()), "{command:?}");
        });
        let (said, balance) = (books.figures(), last.balance());
        prop_assert_eq!(said.captured_minor, i128::from(balance.captured_minor));
        prop_assert_eq!(said.refunded_minor, i128::from(balance.refunded_minor));
        prop_assert_eq!(said.refund_pending_minor, i128::from(balance.refund_pending_minor));
        prop_assert_eq!(said.charged_back_minor, i128::from(balance.charged_back_minor));
        prop_assert_eq!(said.balance_minor, i128::from(balance.balance_minor));
    }

    #[test]
    fn the_books_of_many_orders_are_the_books_of_their_sums(
        histories in proptest::collection::vec(proptest::collection::vec(command(), 0..12), 0..6),
    ) {
        let (mut books, mut sums) = (TrialBalance::default(), Figures::default());
        for commands in histories {
            let order = figures(&run(CaptureMode::Automatic, &commands, |_, _, _| {}));
            books += TrialBalance::of(&order);
            sums.captured_minor += order.captured_minor;
            sums.refunded_minor += order.refunded_minor;
            sums.refund_pending_minor += order.refund_pending_minor;
            sums.charged_back_minor += order.charged_back_minor;
            sums.balance_minor += order.balance_minor;
        }
        prop_assert_eq!(books, TrialBalance::of(&sums));
        prop_assert_eq!(books.debit_minor(), books.credit_minor());
    }
}

#[test]
fn authorizations_requests_and_ends_are_no_entries() {
    let steps = [
        about("pay", Fact::Authorized { amount: eur(100) }),
        Command::Capture { id: crate::ids::CaptureId(uuid::Uuid::from_u128(1)), amount: None },
        about("pay", Fact::Voided),
    ];
    run(CaptureMode::Manual, &steps, |before, command, after| {
        assert_ne!(before, after, "{command:?}");
        assert_eq!(postings(&figures(before), &figures(after)), [], "{command:?}");
    });
}

#[test]
fn a_capture_that_is_reversed_is_posted_back() {
    let (reference, amount) = ("cap".to_owned(), eur(100));
    let steps = [
        about("pay", Fact::Captured { capture_id: None, reference: reference.clone(), amount }),
        about(
            "pay",
            Fact::CaptureFailed { capture_id: None, reference, amount, reason: "reversed".to_owned() },
        ),
    ];
    let mut posted = Vec::new();
    run(CaptureMode::Automatic, &steps, |before, _, after| {
        posted.extend(postings(&figures(before), &figures(after)));
    });
    let sides: Vec<_> = posted.iter().map(|posting| (posting.debit(), posting.credit())).collect();
    let (clearing, merchant) = (Account::PspClearing, Account::MerchantPayable);
    assert_eq!(sides, [(clearing, merchant), (merchant, clearing)]);
    assert_eq!(posted.into_iter().collect::<TrialBalance>(), TrialBalance::default());
}
