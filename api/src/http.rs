//! What every route needs: problems, who is calling, reading a body, ids in paths, and the layers around it all.
//!
//! Nothing in here knows an order; nothing outside of here knows a status code's title.

pub mod auth;
pub mod body;
pub mod id;
pub mod layers;
pub mod problem;

pub use auth::Caller;
pub use problem::{Code, Problem};
