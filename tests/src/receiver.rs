//! A tenant's endpoint for notifications: a small HTTP server that verifies every message with the reference library,
//! remembers it, and answers as it is told to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{HeaderMap, HeaderName};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::eventually;

/// What a receiver answers a message with: an HTTP status, or nothing for as long as it runs.
pub type Answer = Option<u16>;

/// A message as it came in.
#[derive(Debug, Clone)]
pub struct Received {
    /// `webhook-id`.
    pub id: String,
    /// How many signatures it carries.
    pub signatures: usize,
    /// The body.
    pub body: Value,
    /// What it was answered with.
    pub answer: Answer,
}

impl Received {
    /// A text in its `data`; empty when there is none.
    pub fn data(&self, name: &str) -> &str {
        self.body["data"][name].as_str().unwrap_or_default()
    }

    /// Whether it was answered with 2xx.
    pub fn is_taken(&self) -> bool {
        self.answer.is_some_and(|status| (200..300).contains(&status))
    }
}

/// A running receiver, gone when dropped.
pub struct Receiver {
    received: Arc<Mutex<Vec<Received>>>,
    /// Dropped, and so ended, with it.
    tasks: JoinSet<()>,
}

impl Receiver {
    /// Listens on `address`. Each of `secrets` must have signed every message.
    pub async fn start(
        address: SocketAddr,
        secrets: &'static [&'static str],
        answer: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let received = Arc::new(Mutex::new(Vec::new()));
        let (into, answer) = (Arc::clone(&received), Arc::new(answer));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.expect("a connection");
                let (into, answer) = (Arc::clone(&into), Arc::clone(&answer));
                connections.spawn(async move {
                    let mut connection = Connection { socket, read: Vec::new() };
                    while let Some(message) = connection.next(secrets).await {
                        let answer = answer(&message);
                        into.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(Received { answer, ..message });
                        match answer {
                            Some(status) => connection.answer(status).await,
                            None => std::future::pending().await,
                        }
                    }
                });
            }
        });
        Receiver { received, tasks }
    }

    /// One that takes everything.
    pub async fn taking(address: SocketAddr, secrets: &'static [&'static str]) -> Self {
        Self::start(address, secrets, |_| Some(204)).await
    }

    /// Hangs up on everybody, and leaves its address to another one.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }

    /// Every message so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those that it took.
    pub fn taken(&self) -> Vec<Received> {
        self.received().into_iter().filter(Received::is_taken).collect()
    }

    /// The statuses that it took of one order, in the order in which they came.
    pub fn statuses(&self, order: &str) -> Vec<String> {
        let taken = self.taken();
        let of_order = taken.iter().filter(|message| message.data("order_id") == order);
        of_order.map(|message| message.data("status").to_owned()).collect()
    }

    /// Waits until it has taken this status of an order.
    pub async fn wait_for(&self, order: &str, status: &str) {
        eventually(&format!("the notification that {order} is {status}"), async || {
            self.statuses(order).iter().any(|taken| taken == status).then_some(())
        })
        .await;
    }
}

struct Connection {
    socket: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    /// The next message; none when the sender has hung up. Panics when it is not as it should be.
    async fn next(&mut self, secrets: &[&str]) -> Option<Received> {
        let head_end = loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.read_more().await?;
        };
        let head = String::from_utf8(self.read[..head_end].to_vec()).expect("a head in ASCII");
        assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
        let mut headers = HeaderMap::new();
        for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(": ")) {
            headers.append(name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value"));
        }
        let text = |name: &str| headers[name].to_str().expect("a text").to_owned();
        let length: usize = text("content-length").parse().expect("a length");
        while self.read.len() < head_end + length {
            self.read_more().await?;
        }
        let rest = self.read.split_off(head_end + length);
        let body = self.read.split_off(head_end);
        self.read = rest;
        for secret in secrets {
            let verified = Webhook::new(secret).expect("a secret").verify(&body, &headers);
            assert!(verified.is_ok(), "{secret} did not sign this: {verified:?}\n{head}");
        }
        assert_eq!(text("content-type"), "application/json");
        let signatures = text("webhook-signature").split(' ').count();
        let body = serde_json::from_slice(&body).expect("JSON");
        Some(Received { id: text("webhook-id"), signatures, body, answer: None })
    }

    async fn read_more(&mut self) -> Option<()> {
        match self.socket.read_buf(&mut self.read).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(()),
        }
    }

    async fn answer(&mut self, status: u16) {
        // A sender that is killed meanwhile does not hear it.
        let answer = format!("HTTP/1.1 {status} As told\r\ncontent-length: 0\r\n\r\n");
        drop(self.socket.write_all(answer.as_bytes()).await);
    }
}
