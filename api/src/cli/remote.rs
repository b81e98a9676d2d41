//! A running server's API, for commands that work through it: only the server writes the log and the views.

use reqwest::{Client, Method};
use serde_json::Value;

use super::{Failure, chain};

/// Where a tenant's key is: an argument would stand in the list of processes.
const KEY_VARIABLE: &str = "DAYBOOK_API_KEY";

/// A running server and the caller's key.
pub(super) struct Remote {
    http: Client,
    url: String,
    key: String,
}

impl Remote {
    /// The server at `url`, for the tenant whose key is in the environment.
    pub(super) fn for_tenant(url: &str) -> Result<Self, Failure> {
        let key = std::env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| {
            Failure::usage(format!("{KEY_VARIABLE} is not set"))
                .hint("it is the tenant's API key, as for `Authorization: Bearer`")
        })?;
        Remote::new(url, key)
    }

    /// The server at `url`, for the holder of `key`.
    pub(super) fn new(url: &str, key: impl Into<String>) -> Result<Self, Failure> {
        let http = Client::builder().build().map_err(|error| Failure::new(chain(&error)))?;
        Ok(Remote { http, url: url.trim_end_matches('/').to_owned(), key: key.into() })
    }

    /// The answer, if it is a success. What the server refused fails in its own words.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Value>,
    ) -> Result<Value, Failure> {
        let request = self.http.request(method, format!("{}{path}", self.url));
        let request = request.bearer_auth(&self.key).query(query);
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        let unreachable = |error: reqwest::Error| {
            Failure::new(chain(&error)).hint("is the server running, and is --server right?")
        };
        let reply = request.send().await.map_err(unreachable)?;
        let status = reply.status();
        let document: Value = reply.json().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(document);
        }
        let detail = document["detail"].as_str().unwrap_or("the server refused");
        Err(Failure::new(format!("{status}: {detail}")))
    }
}
