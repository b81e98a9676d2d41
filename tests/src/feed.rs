//! A reader of the feed, as any payment worker would write one.

use std::pin::Pin;

use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt};
use reqwest::RequestBuilder;
use serde_json::Value;

use crate::DEADLINE;

/// One event of the feed.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The position to resume after.
    pub id: String,
    /// `commit` or `position`.
    pub event: String,
    /// What it says.
    pub data: Value,
}

/// An open connection to the feed. Dropping it disconnects.
pub struct Feed {
    entries: Pin<Box<dyn Stream<Item = Option<Entry>> + Send>>,
}

impl Feed {
    /// Connects.
    pub async fn open(request: RequestBuilder) -> Self {
        let response = request.header("accept", "text/event-stream").send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        assert!(kind.is_some_and(|kind| kind.starts_with("text/event-stream")), "{kind:?}");
        let entries = response.bytes_stream().eventsource().map(|event| {
            let event = event.ok()?;
            let data = serde_json::from_str(&event.data).expect("JSON in the feed");
            Some(Entry { id: event.id, event: event.event, data })
        });
        Feed { entries: Box::pin(entries) }
    }

    /// The next event; `None` when the connection is gone.
    pub async fn next(&mut self) -> Option<Entry> {
        let next = tokio::time::timeout(DEADLINE, self.entries.next()).await;
        next.unwrap_or_else(|_| panic!("the feed was silent for {DEADLINE:?}")).flatten()
    }

    /// The next commit; `None` when the connection is gone.
    pub async fn next_commit(&mut self) -> Option<Entry> {
        loop {
            let entry = self.next().await?;
            if entry.event == "commit" {
                return Some(entry);
            }
        }
    }
}
