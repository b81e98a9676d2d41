//! The order's rules, and the journal that remembers what was decided.
//!
//! In reading order: ids and money; the pure records (`order`, `offer`, `quarantine`) and the books kept of them
//! (`accounts`); what is written down (`commit`, `codec`), what of it is sealed with which key (`keys`); where it is
//! written (`journal`); and the one function that ties them together (`execute`).

pub mod accounts;
pub mod codec;
pub mod commit;
pub mod execute;
pub mod ids;
pub mod journal;
pub mod keys;
pub mod money;
pub mod offer;
pub mod order;
pub mod quarantine;
