//! A merchant and a buyer as the Kronor tests know them: GraphQL over HTTP and over a socket, and the SCA page.

use daybook_tests::client::unique;
use daybook_tests::{Client, DEADLINE, Reply};
use futures::{SinkExt, StreamExt};
use ledger::ids::RecordId;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub const PATH: &str = "/kronor/v1/graphql";
pub const CREATE: &str = "mutation Create($purchase: PurchaseOrderInput!) { \
    newPurchaseOrder(purchase: $purchase) { id waitToken } }";
/// Everything that a purchase order has.
pub const ORDERS: &str = "{ purchaseOrders { id createdAt merchantReference purchaseCountry purchaseLanguage \
    purchaseTaxAmount purchaseTotalAmount resultingPurchaseId status { status enteredAt } } }";
const CANCEL: &str =
    "mutation Cancel($id: String!) { purchaseOrderCancel(cancel: {purchaseOrderId: $id}) { result } }";

/// 300.00 SEK for three lamps, 60.00 of it tax.
pub fn purchase(key: &str) -> Value {
    json!({
        "idempotencyKey": key,
        "merchantReference": format!("ref-{key}"),
        "billingAddress": {
            "firstName": "Ada", "lastName": "Byron", "email": "ada@shop.example", "phoneNumber": "+46701234567",
            "streetAddress": "Storgatan 1", "postalCode": "11122", "city": "Stockholm", "country": "SE",
        },
        "nationalIdentificationNumber": "181512101234",
        "purchaseCountry": "SE",
        "purchaseLanguage": "SV",
        "purchaseLines": [{"name": "Lamp", "pricePerItem": 10000, "quantity": 3, "taxRate": 2500,
                           "totalAmount": 30000, "totalTaxAmount": 6000, "reference": "lamp"}],
        "purchaseTotalAmount": 30000,
        "purchaseTaxAmount": 6000,
    })
}

/// An amount in öre.
pub fn sek(minor: i64) -> Value {
    json!({"value": minor, "currency": "SEK"})
}

/// A purchase order that was created, with what its creator was given.
pub struct Created {
    pub id: String,
    pub token: String,
    /// The order's id in the ledger.
    pub order: String,
}

impl Created {
    /// What the buyer is told of it.
    pub async fn seen(&self, shop: &Client) -> Value {
        let reply = ask(shop, &self.token, ORDERS, json!({})).await.expect(200).json();
        reply["data"]["purchaseOrders"][0].clone()
    }

    /// Its one status.
    pub async fn status(&self, shop: &Client) -> String {
        let seen = self.seen(shop).await;
        assert_eq!(seen["status"].as_array().map(Vec::len), Some(1), "{seen}");
        seen["status"][0]["status"].as_str().expect("a status").to_owned()
    }

    /// Waits until it has this status.
    pub async fn until(&self, shop: &Client, status: &str) {
        daybook_tests::eventually(status, async || (self.status(shop).await == status).then_some(())).await;
    }
}

/// Sends an operation with these credentials.
pub async fn ask(shop: &Client, token: &str, query: &str, variables: Value) -> Reply {
    let request = shop.anonymous(Method::POST, PATH).bearer_auth(token);
    Reply::to(request.json(&json!({"query": query, "variables": variables}))).await
}

/// Creates a purchase order with a new key.
pub async fn create(shop: &Client) -> Created {
    let id = unique("key");
    let reply = ask(shop, shop.tenant.key, CREATE, json!({"purchase": purchase(&id)})).await.expect(200);
    assert_eq!(reply.text("/data/newPurchaseOrder/id"), id);
    let tenant = shop.tenant.id.parse().expect("a tenant's name");
    let order = RecordId::for_key(&tenant, "kronor.purchase_order", &id).to_string();
    Created { token: reply.text("/data/newPurchaseOrder/waitToken"), id, order }
}

/// The `result` of a cancellation.
pub async fn cancel(shop: &Client, token: &str, id: &str) -> bool {
    let reply = ask(shop, token, CANCEL, json!({"id": id})).await.expect(200).json();
    reply["data"]["purchaseOrderCancel"]["result"].as_bool().unwrap_or_else(|| panic!("{reply}"))
}

/// The `extensions.type` of a refusal.
#[track_caller]
pub fn kind(reply: &Reply) -> String {
    reply.text("/errors/0/extensions/type")
}

/// A socket in the protocol `graphql-transport-ws`.
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens one that says who it is in `connection_init`.
    pub async fn open(shop: &Client, token: &str) -> Self {
        let mut socket = Socket::dial(shop, None).await;
        let payload = json!({"Authorization": format!("Bearer {token}")});
        socket.send(json!({"type": "connection_init", "payload": payload})).await;
        assert_eq!(socket.next().await, Ok(json!({"type": "connection_ack"})));
        socket
    }

    /// Opens one without a word, except for a header.
    pub async fn dial(shop: &Client, header: Option<&str>) -> Self {
        Socket::try_dial(shop, "graphql-transport-ws", header).await.expect("a socket")
    }

    /// The HTTP status that refuses it otherwise.
    pub async fn try_dial(shop: &Client, protocol: &str, header: Option<&str>) -> Result<Self, u16> {
        let url = format!("{}{PATH}", shop.url().replacen("http", "ws", 1));
        let mut request = url.into_client_request().expect("a request");
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().expect("a header"));
        if let Some(header) = header {
            request.headers_mut().insert("authorization", header.parse().expect("a header"));
        }
        match connect_async(request).await {
            Ok((socket, response)) => {
                assert_eq!(response.headers()["sec-websocket-protocol"], protocol);
                Ok(Socket(socket))
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn send(&mut self, message: Value) {
        self.send_text(message.to_string()).await;
    }

    pub async fn send_text(&mut self, text: String) {
        self.0.send(Message::text(text)).await.expect("an open socket");
    }

    /// Begins an operation.
    pub async fn subscribe(&mut self, id: &str, query: &str) {
        self.send(json!({"type": "subscribe", "id": id, "payload": {"query": query}})).await;
    }

    /// The next message, or the code with which the socket was closed.
    pub async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.0.next()).await.expect("a message in time");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(0, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(0),
            }
        }
    }

    /// The data of the next message, which must be one of this operation.
    pub async fn data(&mut self, id: &str) -> Value {
        let message = self.next().await.expect("an open socket");
        assert_eq!((&message["type"], &message["id"]), (&json!("next"), &json!(id)), "{message}");
        assert!(message["payload"]["errors"].is_null(), "{message}");
        message["payload"]["data"].clone()
    }

    /// Waits until an operation that watches one order shows this status.
    pub async fn until(&mut self, id: &str, status: &str) {
        loop {
            let data = self.data(id).await;
            if data["purchaseOrders"][0]["status"][0]["status"] == status {
                return;
            }
        }
    }
}
