//! Sending: one signed POST to the configured URL and to no other. No redirect is followed, no cookie kept, no proxy
//! asked, and nothing that the receiver says is believed but its status.

use std::error::Error;
use std::time::Duration;

use axum::body::Body;
use axum::http::uri::Scheme;
use axum::http::{Request, Response, Uri, header};
use bytes::Bytes;
use futures::StreamExt;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::Timestamp;
use standardwebhooks::Webhook;
use tokio::time::{Instant, timeout_at};

use super::message::NotificationId;
use crate::config::NotificationEndpoint;

/// How long an attempt may take, from the first packet to the status.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read of an answer's body, so that its connection can be used again.
const BODY_BYTES: usize = 64 * 1024;
/// How long a connection that nobody uses is kept; shorter than what most servers keep theirs.
const IDLE: Duration = Duration::from_secs(20);
/// The longest description of a failure, in bytes.
pub(super) const MAX_REASON: usize = 160;
const USER_AGENT: &str = concat!("Daybook/", env!("CARGO_PKG_VERSION"));

/// Sends one tenant's messages.
pub(super) struct Sender {
    url: Uri,
    signers: Vec<Webhook>,
    client: HttpClient,
    patience: Duration,
}

enum HttpClient {
    Plain(Client<HttpConnector, Body>),
    Tls(Client<HttpsConnector<HttpConnector>, Body>),
}

impl Sender {
    /// Connects to nothing yet. The error says what is wrong with the configuration, or with this machine.
    pub(super) fn new(endpoint: &NotificationEndpoint) -> Result<Sender, String> {
        let signer = |secret: &crate::config::Secret| {
            Webhook::new(secret.reveal()).map_err(|_| "a secret is not whsec_ and base64".to_owned())
        };
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_idle_timeout(IDLE).pool_timer(TokioTimer::new());
        let client = if endpoint.url.scheme() == Some(&Scheme::HTTPS) {
            HttpClient::Tls(tls(&builder)?)
        } else {
            HttpClient::Plain(builder.build(HttpConnector::new()))
        };
        let signers = endpoint.secrets.iter().map(signer).collect::<Result<_, _>>()?;
        Ok(Sender { url: endpoint.url.clone(), signers, client, patience: PATIENCE })
    }

    /// Sends a message. The error says, in short printable ASCII, why it was not taken, as far as anybody can tell.
    pub(super) async fn send(&self, id: NotificationId, body: Bytes) -> Result<(), String> {
        let deadline = Instant::now() + self.patience;
        let request = self.request(id, body)?;
        let response = match timeout_at(deadline, self.client.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(printable(&describe(&error))),
            Err(_) => return Err(format!("no answer within {:?}", self.patience)),
        };
        let status = response.status();
        // What the receiver has more to say changes nothing, nor does it if it never stops.
        let _rest = timeout_at(deadline, discard(response)).await;
        match status {
            status if status.is_success() => Ok(()),
            status if status.is_redirection() => {
                Err(format!("answered {}; redirects are not followed", status.as_u16()))
            }
            status => Err(format!("answered {}", status.as_u16())),
        }
    }

    fn request(&self, id: NotificationId, body: Bytes) -> Result<Request<Body>, String> {
        let id = id.to_string();
        let now = Timestamp::now().as_second();
        let sign = |signer: &Webhook| signer.sign(&id, now, &body).map_err(|_| "cannot be signed".to_owned());
        let signatures = self.signers.iter().map(sign).collect::<Result<Vec<_>, _>>()?.join(" ");
        Request::post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .header("webhook-id", id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signatures)
            .body(Body::from(body))
            .map_err(|error| printable(&error.to_string()))
    }
}

impl HttpClient {
    async fn request(&self, request: Request<Body>) -> Result<Response<Incoming>, ClientError> {
        match self {
            HttpClient::Plain(client) => client.request(request).await,
            HttpClient::Tls(client) => client.request(request).await,
        }
    }
}

fn tls(builder: &Builder) -> Result<Client<HttpsConnector<HttpConnector>, Body>, String> {
    let connector = HttpsConnectorBuilder::new().with_native_roots().map_err(|error| {
        format!("this machine has no certificates to trust an https endpoint by: {error}")
    })?;
    Ok(builder.build(connector.https_only().enable_http1().build()))
}

async fn discard(response: Response<Incoming>) {
    let mut body = Body::new(response.into_body()).into_data_stream();
    let mut size = 0;
    while size < BODY_BYTES
        && let Some(Ok(bytes)) = body.next().await
    {
        size += bytes.len();
    }
}

/// The innermost reason: what the outer ones add is known.
fn describe(error: &ClientError) -> String {
    let mut reason: &dyn Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    let what = if error.is_connect() { "cannot connect" } else { "the request failed" };
    format!("{what}: {reason}")
}

/// Fit to be stored and shown.
fn printable(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && !"\"\\".contains(c) { c } else { ' ' };
    text.chars().take(MAX_REASON).map(plain).collect()
}

#[cfg(test)]
mod tests;
