//! What happens by the clock. Every node runs every timer: a timer only asks, and the order's rules and the
//! journal decide, so it does not matter which node asks, or how many.

mod expiry;

pub use expiry::run as run_expiry;
