//! Stripe and Adyen as the tests play them: the examples that they publish, signed as their documentation says,
//! without a line of the server's code.

use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::client::{Client, Reply, now, unique};

/// The name of the Stripe source of either tenant.
pub const STRIPE: &str = "stripe";
/// Its secret.
pub const STRIPE_SECRET: &str = "whsec_cB3pX8yLq0vRz5tN2mK7wH4sD9fG1jA6";
/// The name of the Adyen source of either tenant.
pub const ADYEN: &str = "adyen";
/// Its HMAC key.
pub const ADYEN_KEY: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";

/// An example of Stripe's: `charge`, `event`, `payment_intent` or `refund`, with these members put over its own.
pub fn stripe_object(name: &str, over: Value) -> Value {
    let text = match name {
        "charge" => include_str!("../fixtures/stripe/charge.json"),
        "event" => include_str!("../fixtures/stripe/event.json"),
        "payment_intent" => include_str!("../fixtures/stripe/payment_intent.json"),
        "refund" => include_str!("../fixtures/stripe/refund.json"),
        _ => panic!("Stripe's examples have no {name}"),
    };
    put_over(serde_json::from_str(text).expect("JSON"), over)
}

/// An event of this kind about an object.
pub fn stripe_event(kind: &str, object: Value) -> Value {
    let over = json!({"id": unique("evt"), "type": kind, "created": now(), "data": {"object": object}});
    stripe_object("event", over)
}

/// The only item of an example of Adyen's, by its event code, with these members put over its own.
pub fn adyen_item(name: &str, over: Value) -> Value {
    let text = match name {
        "AUTHORISATION" => include_str!("../fixtures/adyen/AUTHORISATION.json"),
        "CANCELLATION" => include_str!("../fixtures/adyen/CANCELLATION.json"),
        "CAPTURE" => include_str!("../fixtures/adyen/CAPTURE.json"),
        "CAPTURE_FAILED" => include_str!("../fixtures/adyen/CAPTURE_FAILED.json"),
        "CHARGEBACK" => include_str!("../fixtures/adyen/CHARGEBACK.json"),
        "REFUND" => include_str!("../fixtures/adyen/REFUND.json"),
        "REFUND_FAILED" => include_str!("../fixtures/adyen/REFUND_FAILED.json"),
        _ => panic!("Adyen's examples have no {name}"),
    };
    let request: Value = serde_json::from_str(text).expect("JSON");
    put_over(request["notificationItems"][0]["NotificationRequestItem"].clone(), over)
}

/// A notification of these items, each as it is.
pub fn adyen_request(items: &[Value]) -> Value {
    let items: Vec<Value> = items.iter().map(|item| json!({"NotificationRequestItem": item})).collect();
    json!({"live": "false", "notificationItems": items})
}

/// The item with its signature.
pub fn adyen_signed(mut item: Value) -> Value {
    let text = |pointer: &str| match item.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let signed = [
        "/pspReference",
        "/originalReference",
        "/merchantAccountCode",
        "/merchantReference",
        "/amount/value",
        "/amount/currency",
        "/eventCode",
        "/success",
    ];
    let message = signed.map(text).join(":");
    let key = HEXLOWER_PERMISSIVE.decode(ADYEN_KEY.as_bytes()).expect("hex");
    item["additionalData"]["hmacSignature"] = BASE64.encode(&hmac(&key, &[message.as_bytes()])).into();
    item
}

/// The header of a body that Stripe sends at a moment, in seconds since 1970.
pub fn stripe_signature(at: i64, body: &[u8]) -> String {
    let mac = hmac(STRIPE_SECRET.as_bytes(), &[format!("{at}.").as_bytes(), body]);
    format!("t={at},v1={}", HEXLOWER.encode(&mac))
}

impl Client {
    /// A request of bytes to one of the tenant's webhook sources.
    pub fn to_source(&self, source: &str, body: Vec<u8>) -> RequestBuilder {
        self.anonymous(Method::POST, &format!("/webhooks/{}/{source}", self.tenant.id))
            .header("content-type", "application/json")
            .body(body)
    }

    /// An event as Stripe sends it.
    pub fn from_stripe(&self, event: &Value) -> RequestBuilder {
        let body = event.to_string().into_bytes();
        let signature = stripe_signature(now(), &body);
        self.to_source(STRIPE, body).header("stripe-signature", signature)
    }

    /// Sends what Stripe reports of an object.
    pub async fn stripe(&self, kind: &str, object: Value) -> Reply {
        Reply::to(self.from_stripe(&stripe_event(kind, object))).await
    }

    /// Sends these items as Adyen does, each signed.
    pub async fn adyen(&self, items: &[Value]) -> Reply {
        let signed: Vec<Value> = items.iter().cloned().map(adyen_signed).collect();
        Reply::to(self.to_source(ADYEN, adyen_request(&signed).to_string().into_bytes())).await
    }
}

fn hmac(key: &[u8], message: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    message.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

fn put_over(mut object: Value, over: Value) -> Value {
    for (name, value) in over.as_object().expect("an object") {
        object[name] = value.clone();
    }
    object
}
