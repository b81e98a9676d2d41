//! The references view: which orders go by which outside names.

use ledger::order::Order;

/// The PSPs' names for the order's payments, each once, in the order of the attempts.
pub fn payment_references(order: &Order) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for reference in order.attempts.iter().filter_map(|attempt| attempt.payment_reference.as_deref()) {
        if !found.contains(&reference) {
            found.push(reference);
        }
    }
    found
}
