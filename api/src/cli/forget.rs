//! `daybook forget`: destroys the key of an order's personal data, through a running server's API.

use clap::Args;
use reqwest::Method;

use super::server::Server;
use super::{Failure, print, print_json};

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Forget {
    /// The order's id or tracking number
    order: String,
    /// The server to ask; the tenant's key is in DAYBOOK_API_KEY
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// Do it: what is forgotten cannot be brought back
    #[arg(long)]
    yes: bool,
    /// For programs: as the API answers
    #[arg(long)]
    json: bool,
}

impl Forget {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let is_id = !self.order.is_empty()
            && self.order.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !is_id {
            return Err(Failure::usage(format!(
                "{:?} is neither an order id nor a tracking number",
                self.order
            )));
        }
        if !self.yes {
            return Err(Failure::usage("what is forgotten cannot be brought back")
                .hint("say `--yes` if that is what you want; money, status and references stay"));
        }
        let server = Server::new(&self.server)?;
        let path = format!("/v1/orders/{}/personal-data", self.order);
        let document = server.call(Method::DELETE, &path, &[], None).await?;
        if self.json {
            return print_json(&document);
        }
        let said =
            document["position"].as_str().map_or("said before".to_owned(), |at| format!("said at {at}"));
        print(&format!(
            "{}  forgotten, {said}; {} commits cannot be opened any more\n",
            document["order_id"].as_str().unwrap_or_default(),
            document["commits"]
        ))
    }
}
