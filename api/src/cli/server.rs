//! Asking a running server, as a tenant: only the server writes the log.

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use super::{Failure, chain};

/// Where the key is: an argument would stand in the list of processes.
const KEY_VARIABLE: &str = "DAYBOOK_API_KEY";

/// A running server and the caller's key.
pub(super) struct Server {
    http: Client,
    url: String,
    key: String,
}

impl Server {
    /// The server at `url`, as the tenant whose key is in the environment.
    pub(super) fn new(url: &str) -> Result<Self, Failure> {
        let key = std::env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| {
            Failure::usage(format!("{KEY_VARIABLE} is not set"))
                .hint("it is the tenant's API key, as for `Authorization: Bearer`")
        })?;
        let http = Client::builder().build().map_err(|error| Failure::new(chain(&error)))?;
        Ok(Server { http, url: url.trim_end_matches('/').to_owned(), key })
    }

    /// The document that the server answers with; anything but a 200 is a failure.
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
        if status == StatusCode::OK {
            return Ok(document);
        }
        let detail = document["detail"].as_str().unwrap_or("the server refused");
        Err(Failure::new(format!("{status}: {detail}")))
    }
}
