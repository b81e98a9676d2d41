//! What the end-to-end tests share: real `daybook` processes, real `nats-server` processes, a client that knows
//! only the documented contract, and a reader of the log that trusts nobody's word for what is in it.
//!
//! A test is one `async fn(World)`, and [`in_each_world!`] makes one test of it for every journal there is.

pub mod browser;
pub mod client;
pub mod copying;
pub mod feed;
pub mod fill;
pub mod load;
pub mod log;
pub mod psp;
pub mod receiver;
pub mod server;
pub mod worlds;

pub use client::{Client, Reply, checkout, eur};
pub use log::Log;
pub use receiver::Receiver;
pub use server::Server;
pub use worlds::{Kind, Setup, World};

use std::time::Duration;

/// The longest that anything may take that happens "soon"; whatever needs longer has hung.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Asks again until the answer is `Some`, for as long as [`DEADLINE`].
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "within {DEADLINE:?} there was no sign of: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
