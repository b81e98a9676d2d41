//! Against real sockets: what is sent, what is not followed, and how long is waited.

use axum::http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::Secret;

const SECRETS: [&str; 2] = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2VjcmV0LW51bWJlci10d28="];
const BODY: &str = r#"{"type":"order.status_changed","data":{"merchant_reference":"Ä-1"}}"#;

fn sender(url: &str) -> Sender {
    let secrets = SECRETS.map(Secret::new).into();
    Sender::new(&NotificationEndpoint { url: url.parse().unwrap(), secrets }).unwrap()
}

fn id() -> NotificationId {
    "ntf_bd6fdb1c-5e78-55f9-aee6-ed210905f6db_0-42".parse().unwrap()
}

/// The whole request.
async fn read(socket: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).ends_with(BODY) {
        assert!(socket.read_buf(&mut read).await.unwrap() > 0);
    }
    String::from_utf8(read).unwrap()
}

/// What a message came to with a receiver that answers this, and what the receiver read.
async fn answered(answer: &str) -> (Result<(), String>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook/?of=daybook", listener.local_addr().unwrap());
    let answer = answer.replace("{url}", &url);
    let receiver = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let read = read(&mut socket).await;
        socket.write_all(answer.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        let more = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(more.is_err(), "one attempt is one request");
        read
    });
    let outcome = sender(&url).send(id(), Bytes::from_static(BODY.as_bytes())).await;
    (outcome, receiver.await.unwrap())
}

#[tokio::test]
async fn a_message_is_a_post_that_the_reference_library_verifies_with_either_secret() {
    let (outcome, request) = answered("HTTP/1.1 204 No Content\r\nset-cookie: a=b\r\n\r\n").await;
    assert_eq!(outcome, Ok(()));
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook/?of=daybook HTTP/1.1\r\n"), "{head}");
    let mut headers = HeaderMap::new();
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap());
    }
    assert_eq!(headers["webhook-id"], id().to_string().as_str());
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["webhook-signature"].to_str().unwrap().split(' ').count(), 2);
    for secret in SECRETS {
        assert!(Webhook::new(secret).unwrap().verify(body.as_bytes(), &headers).is_ok());
        assert!(Webhook::new(secret).unwrap().verify(b"{}", &headers).is_err());
    }
}

#[tokio::test]
async fn whatever_is_not_2xx_is_a_failure_and_no_redirect_is_followed() {
    assert_eq!(answered("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.0, Ok(()));
    for status in ["400", "410", "500", "503"] {
        let (outcome, _) = answered(&format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n")).await;
        assert_eq!(outcome, Err(format!("answered {status}")));
    }
    let redirect = "HTTP/1.1 307 Temporary Redirect\r\nlocation: {url}\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(answered(redirect).await.0, Err("answered 307; redirects are not followed".to_owned()));
    let (outcome, _) = answered("what is \"HTTP\"?\r\n\r\n").await;
    assert!(outcome.as_ref().is_err_and(|e| e.starts_with("the request failed: ")), "{outcome:?}");
}

#[tokio::test]
async fn a_receiver_who_says_nothing_is_not_waited_for_and_one_who_goes_on_and_on_is_believed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sender = sender(&format!("http://{}", listener.local_addr().unwrap()));
    sender.patience = Duration::from_millis(200);
    let silent = sender.send(id(), Bytes::from_static(BODY.as_bytes())).await;
    assert_eq!(silent, Err("no answer within 200ms".to_owned()));

    let (outcome, ()) = tokio::join!(sender.send(id(), Bytes::from_static(BODY.as_bytes())), async {
        // The first one is of the attempt before.
        drop(listener.accept().await.unwrap());
        let (mut socket, _) = listener.accept().await.unwrap();
        read(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n").await.unwrap();
        while socket.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    assert_eq!(outcome, Ok(()));
}

#[tokio::test]
async fn nobody_there_is_a_failure_with_its_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sender = sender(&format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    let error = sender.send(id(), Bytes::new()).await.unwrap_err();
    assert!(error.starts_with("cannot connect: "), "{error}");
}

#[tokio::test]
async fn an_https_endpoint_is_spoken_to_in_tls_and_in_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sender = sender(&format!("https://{}", listener.local_addr().unwrap()));
    let (outcome, first) = tokio::join!(sender.send(id(), Bytes::from_static(BODY.as_bytes())), async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut first = [0; 3];
        socket.read_exact(&mut first).await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        first
    });
    assert_eq!(first[..2], [0x16, 0x03], "a TLS handshake");
    assert!(outcome.as_ref().is_err_and(|e| e.starts_with("cannot connect: ")), "{outcome:?}");
}

#[test]
fn a_reason_is_short_and_plain() {
    assert_eq!(printable("a \"quote\"\\\n\u{1b}[31mä"), "a  quote    [31m ");
    assert_eq!(printable(&"x".repeat(1000)).len(), MAX_REASON);
}
