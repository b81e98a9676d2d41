//! `daybook quarantine`: what was set aside, through a running server's API. Only the server writes the log.

use clap::{Args, Subcommand};
use data_encoding::BASE64;
use reqwest::Method;
use serde_json::{Value, json};

use super::server::Server;
use super::table::table;
use super::{Failure, print, print_bytes, print_json};

/// How many a page of the list has.
const PAGE: usize = 100;

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Quarantine {
    #[command(subcommand)]
    action: Action,
    /// The server to ask; the tenant's key is in DAYBOOK_API_KEY
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// For programs: as the API answers
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List what was set aside, newest first
    List {
        /// Only these: open, kept, released, discarded, or all
        #[arg(long, default_value = "open")]
        state: String,
        /// Only those set aside for this reason, such as bad_signature
        #[arg(long)]
        reason: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = PAGE)]
        limit: usize,
    },
    /// Show one, with its headers and its body
    Show {
        /// Its id in quarantine
        id: String,
        /// Only the body, byte for byte as it came in
        #[arg(long)]
        raw: bool,
    },
    /// Verify, read and apply one again
    Retry {
        /// Its id in quarantine
        id: String,
    },
    /// Write down that one means nothing
    Discard {
        /// Its id in quarantine
        id: String,
        /// Why, for whoever asks later
        #[arg(long)]
        reason: String,
    },
}

impl Quarantine {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let server = Server::new(&self.server)?;
        let document = match &self.action {
            Action::List { state, reason, limit } => list(&server, state, reason.as_deref(), *limit).await?,
            Action::Show { id, .. } => server.call(Method::GET, &path(id, "")?, &[], None).await?,
            Action::Retry { id } => {
                server.call(Method::POST, &path(id, "/retry")?, &[], Some(json!({}))).await?
            }
            Action::Discard { id, reason } => {
                let body = json!({"reason": reason});
                server.call(Method::POST, &path(id, "/discard")?, &[], Some(body)).await?
            }
        };
        match &self.action {
            Action::Show { raw: true, .. } => print_bytes(&body(&document)?),
            _ if self.json => print_json(&document),
            Action::List { .. } => print(&listed(&document)),
            Action::Show { .. } => print(&shown(&document)),
            Action::Retry { .. } | Action::Discard { .. } => print(&settled(&document)),
        }
    }
}

/// A webhook's route. An id has no characters that a path would have to escape; anything else names no webhook.
fn path(id: &str, action: &str) -> Result<String, Failure> {
    let is_id = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if is_id {
        Ok(format!("/v1/quarantine/{id}{action}"))
    } else {
        Err(Failure::usage(format!("{id:?} is not the id of a quarantined webhook")))
    }
}

/// So many entries, page after page.
async fn list(server: &Server, state: &str, reason: Option<&str>, limit: usize) -> Result<Value, Failure> {
    let mut webhooks = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = limit.saturating_sub(webhooks.len()).clamp(1, PAGE);
        let mut query = vec![("limit", page.to_string())];
        query.extend((state != "all").then(|| ("state", state.to_owned())));
        query.extend(reason.map(|reason| ("reason", reason.to_owned())));
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let mut document = server.call(Method::GET, "/v1/quarantine", &query, None).await?;
        if let Value::Array(found) = document["webhooks"].take() {
            webhooks.extend(found);
        }
        cursor = document["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() || webhooks.len() >= limit {
            return Ok(json!({"webhooks": webhooks, "next_cursor": cursor}));
        }
    }
}

fn word(document: &Value, field: &str) -> String {
    document[field].as_str().unwrap_or_default().to_owned()
}

fn listed(document: &Value) -> String {
    let webhooks = document["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let fields = ["id", "received_at", "source", "reason", "outcome", "detail"];
    let rows: Vec<[String; 6]> =
        webhooks.iter().map(|webhook| fields.map(|field| word(webhook, field))).collect();
    table(["id", "received", "source", "reason", "state", "detail"], &rows)
}

fn shown(document: &Value) -> String {
    let fields = [
        "id",
        "source",
        "event_id",
        "reason",
        "detail",
        "received_at",
        "outcome",
        "order_id",
        "discard_reason",
        "position",
    ];
    let line = |field: &&str| {
        let value = document[*field].as_str()?;
        Some(format!("{:<14}  {value}\n", field.replace('_', " ")))
    };
    let mut text: String = fields.iter().filter_map(line).collect();
    for header in document["headers"].as_array().into_iter().flatten() {
        text.push_str(&format!("header          {}: {}\n", word(header, "name"), word(header, "value")));
    }
    for waits_for in document["waits_for"].as_array().into_iter().flatten() {
        text.push_str(&format!("waits for       {waits_for}\n"));
    }
    format!("{text}\n{}\n", word(document, "body"))
}

fn settled(document: &Value) -> String {
    let order = document["order_id"].as_str().map(|order| format!("  order {order}")).unwrap_or_default();
    format!("{}  {}{order}\n", word(document, "id"), word(document, "outcome"))
}

fn body(document: &Value) -> Result<Vec<u8>, Failure> {
    let encoded = document["body_base64"].as_str().unwrap_or_default();
    BASE64.decode(encoded.as_bytes()).map_err(|_| Failure::new("the server's answer cannot be read"))
}
