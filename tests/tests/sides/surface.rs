//! The surfaces as their callers use them: how an order is made there, and what is told of it.

use daybook_tests::client::unique;
use daybook_tests::{Client, Reply};
use ledger::ids::RecordId;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surface {
    Azotte,
    AkinonSale,
    AkinonAuth,
    OrkestaPay,
    Carat,
    Kronor,
}

/// An order that was made on a surface.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) surface: Surface,
    /// The order's id in the ledger.
    pub(crate) order: String,
    /// What the surface calls it.
    name: String,
    pub(crate) amount_minor: i64,
    pub(crate) currency: &'static str,
}

/// What a surface's caller is told of an order; None where the surface tells no such thing.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) word: String,
    pub(crate) amount_minor: Option<i64>,
    pub(crate) balance_minor: Option<i64>,
}

impl Surface {
    /// A request with the vendor's credentials.
    async fn request(self, shop: &Client, method: Method, path: &str) -> RequestBuilder {
        let tenant = shop.tenant;
        match self {
            Surface::Azotte => shop
                .anonymous(method, &format!("/azotte/api/c2a/offer{path}"))
                .header("x-api-key", tenant.key)
                .header("x-tn", tenant.id),
            Surface::AkinonSale | Surface::AkinonAuth => {
                shop.anonymous(method, &format!("/akinon{path}")).basic_auth(tenant.id, Some(tenant.key))
            }
            Surface::OrkestaPay => {
                let credentials = json!({
                    "client_id": tenant.id, "client_secret": tenant.key, "grant_type": "client_credentials",
                });
                let token = shop.anonymous(Method::POST, "/orkestapay/v1/oauth/tokens").json(&credentials);
                let token = Reply::to(token).await.expect(200).text("/access_token");
                shop.anonymous(method, &format!("/orkestapay/v1{path}")).bearer_auth(token)
            }
            Surface::Carat => shop
                .anonymous(method, &format!("/carat/v1{path}"))
                .header("merchant_id", tenant.id)
                .header("merchant_key", tenant.key),
            Surface::Kronor => shop.anonymous(method, &format!("/kronor/v1{path}")).bearer_auth(tenant.key),
        }
    }

    async fn get(self, shop: &Client, path: &str) -> Value {
        Reply::to(self.request(shop, Method::GET, path).await).await.expect(200).json()
    }

    async fn post(self, shop: &Client, path: &str, body: &Value) -> Reply {
        Reply::to(self.request(shop, Method::POST, path).await.json(body)).await
    }

    /// Makes an order.
    pub(crate) async fn make(self, shop: &Client) -> Made {
        let made = |order: String, name: String, amount_minor, currency| Made {
            surface: self,
            order,
            name,
            amount_minor,
            currency,
        };
        match self {
            Surface::Azotte => {
                let offer = unique("offer");
                let registered = json!({"amount": {"value": 1_501, "currency": "EUR"}});
                shop.put(&format!("/v1/offers/{offer}"), &registered).await.expect(201);
                let body = json!({
                    "order": {"offerIdentifier": offer, "correlationId": unique("cor"), "items": [],
                              "customer": {"customerUrn": "urn:customer:1"}},
                    "paymentMethod": {"paymentChannel": "PayPal"},
                });
                let name = self.post(shop, "/checkout", &body).await.expect(202).text("/trackingNumber");
                let order = shop.get(&format!("/v1/orders/{name}")).await.expect(200).text("/order_id");
                made(order, name, 1_501, "EUR")
            }
            Surface::AkinonSale | Surface::AkinonAuth => {
                let name = unique("ord");
                let kind = if self == Surface::AkinonSale { "SALE" } else { "AUTH" };
                let session = json!({
                    "version": "1.0", "guid": unique("guid"), "orderId": name, "orderAmount": 100.01,
                    "locale": "tr-TR", "returnUrl": "https://shop.example/back", "type": kind, "currency": "TRY",
                    "customer": {"firstName": "Ada", "lastName": "Buyer", "phoneNumber": "+905551112233",
                                 "email": "ada@shop.example", "clientIp": "203.0.113.7"},
                });
                let order =
                    self.post(shop, "/start-session", &session).await.expect(200).text("/transactionId");
                made(order, name, 10_001, "TRY")
            }
            Surface::OrkestaPay => {
                let body = json!({
                    "completed_redirect_url": "https://shop.example/ok",
                    "canceled_redirect_url": "https://shop.example/no",
                    "order": {
                        "merchant_order_id": unique("A"), "currency": "MXN", "country_code": "MX",
                        "subtotal_amount": 1000.5, "discounts": [{"amount": 10}], "total_amount": 990.5,
                        "products": [{"id": "7197", "name": "Television", "quantity": 1, "unit_price": 1000.5}],
                        "customer": {"first_name": "John", "last_name": "Doe", "email": "john.doe@example.com"},
                    },
                });
                let name = self.post(shop, "/checkouts", &body).await.expect(201).text("/order/order_id");
                let order = name.strip_prefix("ord_").expect("an order's id");
                let order = uuid::Uuid::try_parse(order).expect("a UUID").to_string();
                made(order, name, 99_050, "MXN")
            }
            Surface::Carat => {
                let reference = unique("A");
                let body = json!({
                    "amount": "1001", "order_id": reference, "transaction_type": "confirmation",
                    "is_transaction_origin_external": "true",
                });
                let name = self.post(shop, "/transactions", &body).await.expect(201).text("/payment/nit");
                let listed = shop.get(&format!("/v1/orders?reference={reference}")).await.expect(200);
                made(listed.text("/orders/0/order_id"), name, 1_001, "BRL")
            }
            Surface::Kronor => {
                let name = unique("key");
                let purchase = json!({
                    "idempotencyKey": name, "merchantReference": format!("ref-{name}"),
                    "billingAddress": {
                        "firstName": "Ada", "lastName": "Byron", "email": "ada@shop.example",
                        "phoneNumber": "+46701234567", "streetAddress": "Storgatan 1", "postalCode": "11122",
                        "city": "Stockholm", "country": "SE",
                    },
                    "nationalIdentificationNumber": "181512101234", "purchaseCountry": "SE",
                    "purchaseLanguage": "SV",
                    "purchaseLines": [{"name": "Lamp", "pricePerItem": 10000, "quantity": 3, "taxRate": 2500,
                                       "totalAmount": 30000, "totalTaxAmount": 6000, "reference": "lamp"}],
                    "purchaseTotalAmount": 30000, "purchaseTaxAmount": 6000,
                });
                let query = "mutation Create($purchase: PurchaseOrderInput!) {
                    newPurchaseOrder(purchase: $purchase) { id } }";
                let body = json!({"query": query, "variables": {"purchase": purchase}});
                let created = self.post(shop, "/graphql", &body).await.expect(200);
                assert_eq!(created.text("/data/newPurchaseOrder/id"), name);
                let tenant = shop.tenant.id.parse().expect("a tenant's name");
                let order = RecordId::for_key(&tenant, "kronor.purchase_order", &name).to_string();
                made(order, name, 30_000, "SEK")
            }
        }
    }
}

impl Made {
    /// So much of the order's currency.
    pub(crate) fn amount(&self, minor: i64) -> Value {
        json!({"value": minor, "currency": self.currency})
    }

    /// Asks for all that is authorized: where the vendor has a call for it by that, else natively. Returns the
    /// capture's id.
    pub(crate) async fn ask_for_capture(&self, shop: &Client) -> String {
        if self.surface == Surface::AkinonAuth {
            let body = json!({"version": "1.0", "guid": unique("guid"), "orderId": self.name});
            let reply = self.surface.post(shop, "/purchase", &body).await.expect(200);
            assert_eq!(reply.text("/status"), "PENDING");
            return reply.text("/transactionId");
        }
        let captures = format!("/v1/orders/{}/captures", self.order);
        shop.post(&captures, &json!({})).await.expect(202).text("/capture_id")
    }

    /// Confirms that it was paid elsewhere.
    pub(crate) async fn confirm(&self, shop: &Client) {
        let path = format!("/payments/{}?confirm=true", self.name);
        let body = json!({"authorizer_id": "2", "acquirer": {"routing_id": "1005", "host_usn": "000000123"}});
        let request = self.surface.request(shop, Method::PUT, &path).await.json(&body);
        assert_eq!(Reply::to(request).await.expect(200).text("/payment/status"), "CON");
    }

    /// What the surface says of it now.
    pub(crate) async fn told(&self, shop: &Client) -> Told {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        match self.surface {
            Surface::Azotte => {
                let status = self.surface.get(shop, &format!("/checkout/{}/status", self.name)).await;
                let word = text(&status["status"]["messageCode"]);
                Told { word, amount_minor: None, balance_minor: None }
            }
            Surface::AkinonSale | Surface::AkinonAuth => {
                let body = json!({"version": "1.0", "guid": unique("guid"), "orderId": self.name});
                let history = self.surface.post(shop, "/history", &body).await.expect(200).json();
                assert_eq!(history["currency"], self.currency);
                let balance_minor = Some(minor(&history["balance"]));
                Told { word: text(&history["status"]), amount_minor: None, balance_minor }
            }
            Surface::OrkestaPay => {
                let order = self.surface.get(shop, &format!("/orders/{}", self.name)).await;
                let payments = self.surface.get(shop, &format!("/orders/{}/payments", self.name)).await;
                let payments = payments["content"].as_array().expect("payments").clone();
                let sum = |name: &str| payments.iter().map(|payment| minor(&payment[name])).sum::<i64>();
                Told {
                    word: text(&order["status"]),
                    amount_minor: Some(minor(&order["total_amount"])),
                    balance_minor: Some(sum("captured_amount") - sum("refunded_amount")),
                }
            }
            Surface::Carat => {
                let reply = self.surface.get(shop, &format!("/transactions/{}", self.name)).await;
                let amount = text(&reply["payment"]["amount"]).parse().expect("cents");
                Told {
                    word: text(&reply["payment"]["status"]),
                    amount_minor: Some(amount),
                    balance_minor: None,
                }
            }
            Surface::Kronor => {
                let query = "query Order($id: String!) { purchaseOrders(where: {id: {_eq: $id}}) {
                    purchaseTotalAmount status { status } } }";
                let body = json!({"query": query, "variables": {"id": self.name}});
                let reply = self.surface.post(shop, "/graphql", &body).await.expect(200).json();
                let order = &reply["data"]["purchaseOrders"][0];
                Told {
                    word: text(&order["status"][0]["status"]),
                    amount_minor: order["purchaseTotalAmount"].as_i64(),
                    balance_minor: None,
                }
            }
        }
    }
}

/// The minor units of a JSON number with at most two decimals.
#[track_caller]
fn minor(decimal: &Value) -> i64 {
    let text = decimal.to_string();
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    assert!(rest.len() <= 2, "{decimal}");
    format!("{whole}{rest:0<2}").parse().unwrap_or_else(|_| panic!("{decimal}"))
}
