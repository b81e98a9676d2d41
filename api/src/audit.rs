//! The log as a transparency log, over HTTP: signed tree heads, proofs, and the key that checks them.
//!
//! `/audit` shows sizes and hashes of the whole log, and nothing of what is in it, to whoever has any tenant's key.
//! What is in a commit is shown to its own tenant, beside the order that it is about.

mod checkpoint;
mod consistency;
mod key;
mod proofs;

use axum::routing::get;
use replay::audit::ProofError;
use utoipa::OpenApi;

use crate::http::{Code, Problem, Routes};

/// Every route.
pub fn routes() -> Routes {
    vec![
        ("/audit/checkpoint", get(checkpoint::get)),
        ("/audit/consistency", get(consistency::get)),
        ("/audit/key", get(key::get)),
        ("/v1/orders/{id}/proofs", get(proofs::get)),
    ]
}

/// What the OpenAPI document says of them.
#[derive(OpenApi)]
#[openapi(paths(checkpoint::get, consistency::get, key::get, proofs::get))]
pub struct Document;

impl From<ProofError> for Problem {
    fn from(error: ProofError) -> Self {
        match &error {
            ProofError::NoSuchPartition(_) => Problem::not_found(),
            ProofError::CatchingUp { .. } => Problem::new(Code::TreeIncomplete, error.to_string()),
            ProofError::Halted(_) => altered(),
            ProofError::Io(source) => {
                tracing::error!(%source, "the log's tree cannot be read");
                Problem::internal()
            }
        }
    }
}

/// Why stands in the logs of the operator, who must not be able to look away.
fn altered() -> Problem {
    Problem::new(Code::LogAltered, "nothing is signed or proven until an operator has looked into it")
}
