//! A shop that calls OrkestaPay: it has a token, and knows the seed's example.

use daybook_tests::client::unique;
use daybook_tests::{Client, Reply, eventually};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// The seed's example request, to the byte, but for what stands there in place of a value: the two URLs, which are
/// those of the example reply, and the e-mail address.
pub(crate) const SEED_REQUEST: &str = r#"
{
    "completed_redirect_url": "https://example.com/complete",
    "canceled_redirect_url": "https://example.com/cancel",
    "allow_save_payment_methods": false,
    "locale": "ES_LATAM",
    "order": {
        "merchant_order_id": "1366656595193",
        "currency": "MXN",
        "subtotal_amount": 1000,
        "country_code": "MX",
        "discounts": [
            {
                "amount": 10
            }
        ],
        "total_amount": 990,
        "products": [
            {
                "id": "7197",
                "name": "Pantalla TCL Smart TV Serie A3 A343 HD Android TV 40",
                "quantity": 1,
                "unit_price": 1000
            }
        ],
        "customer": {
            "first_name": "John",
            "last_name": "Doe",
            "email": "john.doe@example.com"
        }
    }
}
"#;

/// The seed's example as an order of its own.
pub(crate) fn checkout() -> Value {
    let example: Value = serde_json::from_str(SEED_REQUEST).expect("JSON");
    with(example, "/order/merchant_order_id", json!(unique("A")))
}

/// The body with this value at a JSON pointer; an object takes a new member.
#[track_caller]
pub(crate) fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = body.pointer_mut(parent).expect("a parent");
    match name.parse::<usize>() {
        Ok(index) => parent[index] = value,
        Err(_) => parent[name] = value,
    }
    body
}

/// The body without what stands at a JSON pointer.
#[track_caller]
pub(crate) fn without(mut body: Value, pointer: &str) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = body.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    parent.remove(name).expect("a member");
    body
}

/// Asks for an access token.
pub(crate) async fn token_reply(client: &Client, client_id: &str, client_secret: &str) -> Reply {
    let body =
        json!({"client_id": client_id, "client_secret": client_secret, "grant_type": "client_credentials"});
    Reply::to(client.anonymous(Method::POST, "/orkestapay/v1/oauth/tokens").json(&body)).await
}

/// A tenant with an access token.
pub(crate) struct Caller {
    pub(crate) client: Client,
    pub(crate) token: String,
}

impl Caller {
    pub(crate) async fn new(client: Client) -> Self {
        let reply = token_reply(&client, client.tenant.id, client.tenant.key).await.expect(200);
        Caller { token: reply.text("/access_token"), client }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.anonymous(method, &format!("/orkestapay/v1{path}")).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        Reply::to(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        Reply::to(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn post_with_key(&self, path: &str, key: &str, body: &Value) -> Reply {
        Reply::to(self.request(Method::POST, path).header("idempotency-key", key).json(body)).await
    }

    /// Registers a checkout that must be taken.
    pub(crate) async fn register(&self, body: &Value) -> Registered {
        Registered::from(self.post("/checkouts", body).await.expect(201))
    }

    /// The order's status by the vendor's words.
    pub(crate) async fn status(&self, made: &Registered) -> String {
        self.get(&format!("/orders/{}", made.order)).await.expect(200).text("/status")
    }

    /// The order's payments.
    pub(crate) async fn payments(&self, made: &Registered) -> Value {
        let path = format!("/orders/{}/payments", made.order);
        self.get(&path).await.expect(200).json()["content"].clone()
    }

    /// Asks until the order has this status; the vendor has no long poll.
    pub(crate) async fn until(&self, made: &Registered, status: &str) {
        eventually(status, async || (self.status(made).await == status).then_some(())).await;
    }
}

/// A checkout that was registered.
#[derive(Debug, Clone)]
pub(crate) struct Registered {
    /// The answer.
    pub(crate) reply: Reply,
    /// `chk_…`.
    pub(crate) checkout: String,
    /// `ord_…`.
    pub(crate) order: String,
    /// The ledger's own id, by which the native API and webhooks know the order.
    pub(crate) id: String,
}

impl From<Reply> for Registered {
    fn from(reply: Reply) -> Self {
        let order = reply.text("/order/order_id");
        let hex = order.strip_prefix("ord_").expect("an order's id");
        let id = uuid::Uuid::try_parse(hex).expect("32 hexadecimal digits").to_string();
        Registered { checkout: reply.text("/checkout_id"), order, id, reply }
    }
}
