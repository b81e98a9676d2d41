//! What every route needs: problems, who is calling, reading a body, ids in paths, and the layers around it all.
//!
//! Nothing in here knows an order; nothing outside of here knows a status code's title.

pub mod auth;
pub mod body;
pub mod decimal;
pub mod etag;
pub mod id;
pub mod layers;
pub mod page;
pub mod problem;
pub mod query;
pub mod url;

use std::sync::Arc;

use axum::routing::MethodRouter;

use crate::app::App;

pub use auth::Caller;
pub use problem::{Code, Problem};

/// Routes as data: each path and what answers there, so that a test can hold them against the document.
pub type Routes = Vec<(&'static str, MethodRouter<Arc<App>>)>;
