//! A running server's API, for commands that work through it: only the server writes the log and the views.

use futures::StreamExt;
use reqwest::{Client, Method, RequestBuilder, Response};
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
        sent(request).await?.json().await.map_err(unreachable)
    }

    /// An answer of many lines, as it comes in.
    pub(super) async fn lines(
        &self,
        path: &str,
        query: &[(&str, String)],
        mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.key).query(query);
        let mut parts = sent(request).await?.bytes_stream();
        let mut waiting = Vec::new();
        while let Some(part) = parts.next().await {
            waiting.extend_from_slice(&part.map_err(unreachable)?);
            let whole = waiting.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            waiting[..whole].split_inclusive(|byte| *byte == b'\n').try_for_each(&mut each)?;
            waiting.drain(..whole);
        }
        Ok(())
    }
}

/// The answer, if it is a success.
async fn sent(request: RequestBuilder) -> Result<Response, Failure> {
    let reply = request.send().await.map_err(unreachable)?;
    let status = reply.status();
    if status.is_success() {
        return Ok(reply);
    }
    let document: Value = reply.json().await.map_err(unreachable)?;
    let detail = document["detail"].as_str().unwrap_or("the server refused");
    Err(Failure::new(format!("{status}: {detail}")))
}

fn unreachable(error: reqwest::Error) -> Failure {
    Failure::new(chain(&error)).hint("is the server running, and is --server right?")
}
