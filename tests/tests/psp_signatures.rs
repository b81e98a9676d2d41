//! Signatures made by the PSPs' own libraries are accepted by a running server; one altered byte, and they are not.
//!
//! The libraries are Python's, as `tests/setup` gets them. Where there is no Python the test says that it was
//! skipped; where there is, they must be there.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use daybook_tests::client::{ACME, SOURCE, about, now, unique};
use daybook_tests::psp::{
    ADYEN, ADYEN_KEY, STRIPE, STRIPE_SECRET, adyen_item, adyen_request, stripe_event, stripe_object,
};
use daybook_tests::{Client, Reply, World, checkout, eur};
use serde_json::{Value, json};

daybook_tests::in_each_world!(
    what_stripes_own_library_signs_is_accepted,
    what_adyens_own_library_signs_is_accepted,
    what_standard_webhooks_own_library_signs_is_accepted,
);

/// The signatures of these webhooks, by the libraries of their senders. `None`: there is no Python here.
fn signed(webhooks: &[Value]) -> Option<Vec<String>> {
    let python = ["python3", "python"].into_iter().find(|name| {
        let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    });
    let Some(python) = python else {
        println!("skipped: there is no Python here to run the PSPs' own libraries");
        return None;
    };
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let default = || tests.join("../target/tools/psp-libraries");
    let libraries = std::env::var_os("DAYBOOK_PSP_LIBRARIES").map_or_else(default, PathBuf::from);
    assert!(libraries.is_dir(), "no {}: run tests/setup first", libraries.display());
    let mut process = Command::new(python)
        .arg(tests.join("psp-libraries/sign.py"))
        .env("PYTHONPATH", &libraries)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let request = serde_json::to_vec(webhooks).expect("JSON");
    process.stdin.take().expect("a pipe").write_all(&request).expect("Python reads");
    let output = process.wait_with_output().expect("Python ends");
    assert!(output.status.success(), "the libraries failed");
    Some(serde_json::from_slice(&output.stdout).expect("signatures"))
}

/// Sends the genuine request and then, with one byte altered at a time, what must not be believed.
async fn is_believed_as_it_is_only(
    shop: &Client,
    source: &str,
    body: &str,
    headers: &[(&str, &str)],
    altered: Vec<(String, Vec<(String, String)>)>,
) {
    let request = |body: &str, headers: &[(&str, &str)]| {
        let request = shop.to_source(source, body.as_bytes().to_vec());
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    assert!(altered.len() > 3, "the forgeries are there");
    for (body, headers) in &altered {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let reply = Reply::to(request(body, &headers)).await;
        assert_eq!(reply.status, 401, "{body} {headers:?}: {}", reply.body());
    }
    let reply = Reply::to(request(body, headers)).await.expect(200);
    assert!(reply.body().contains("recorded") || reply.body() == "[accepted]", "{}", reply.body());
}

/// The text with each of these places altered by one bit, one at a time; a place is where a part of it begins.
fn altered(text: &str, parts: &[&str]) -> Vec<String> {
    let one = |part: &&str| {
        let at = text.find(*part).unwrap_or_else(|| panic!("{part} is in {text}")) + part.len() - 1;
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] ^= 1;
        String::from_utf8(bytes).expect("still text")
    };
    parts.iter().map(one).collect()
}

fn owned(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn what_stripes_own_library_signs_is_accepted(world: World) {
    let shop = world.client(0, ACME);
    let order = shop.submit(&checkout(1_099)).await;
    let over = json!({"id": unique("pi"), "currency": "eur", "amount_received": 1_099, "metadata": {"order_id": order}});
    // With characters beyond ASCII, which sign as their bytes.
    let mut event = stripe_event("payment_intent.succeeded", stripe_object("payment_intent", over));
    event["data"]["object"]["description"] = "Größe 42, «neu» ✓".into();
    let body = event.to_string();
    let Some(signatures) = signed(&[json!({"scheme": "stripe", "secret": STRIPE_SECRET, "body": body})])
    else {
        return;
    };
    let header = [("stripe-signature", signatures[0].as_str())];
    let mut forged: Vec<_> = altered(&body, &["1099", &order, "payment_intent.succeeded", "Gr"])
        .into_iter()
        .map(|body| (body, owned(&header)))
        .collect();
    for value in altered(&signatures[0], &["t=1", &signatures[0][..40]]) {
        forged.push((body.clone(), owned(&[("stripe-signature", &value)])));
    }
    is_believed_as_it_is_only(&shop, STRIPE, &body, &header, forged).await;
    shop.wait_for(&order, "captured").await;
}

async fn what_adyens_own_library_signs_is_accepted(world: World) {
    let shop = world.client(0, ACME);
    let order = shop.submit(&checkout(1_000)).await;
    let payment = unique("PSP");
    let over = json!({"merchantReference": order, "pspReference": payment});
    let capture =
        json!({"merchantReference": order, "pspReference": unique("PSP"), "originalReference": payment});
    let mut items = [adyen_item("AUTHORISATION", over), adyen_item("CAPTURE", capture)];
    let webhooks = items.clone().map(|item| json!({"scheme": "adyen", "secret": ADYEN_KEY, "item": item}));
    let Some(signatures) = signed(&webhooks) else { return };
    for (item, signature) in items.iter_mut().zip(&signatures) {
        item["additionalData"]["hmacSignature"] = signature.as_str().into();
    }
    let body = adyen_request(&items).to_string();
    let signed = [
        order.as_str(),
        "YOUR_MERCHANT_ACCOUNT",
        "AUTHORISATIO",
        "\"value\":1000",
        "\"currency\":\"EUR",
        "\"success\":\"tru",
        &format!("\"originalReference\":\"{payment}"),
        &signatures[0][..20],
        &signatures[1][..20],
    ];
    let forged = altered(&body, &signed).into_iter().map(|body| (body, Vec::new())).collect();
    is_believed_as_it_is_only(&shop, ADYEN, &body, &[], forged).await;
    shop.wait_for(&order, "captured").await;
}

async fn what_standard_webhooks_own_library_signs_is_accepted(world: World) {
    let shop = world.client(0, ACME);
    let order = shop.submit(&checkout(1_999)).await;
    let data = json!({"amount": eur(1_999), "reason": "Größe 42, «neu» ✓"});
    let body = about(&order, "payment.captured", data).to_string();
    let (id, at) = (unique("msg"), now());
    let webhook = json!({"scheme": "standard_webhooks", "secret": ACME.secret, "id": id, "timestamp": at, "body": body});
    let Some(signatures) = signed(&[webhook]) else { return };
    let timestamp = at.to_string();
    let with = |id: &str, timestamp: &str, signature: &str| {
        owned(&[("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)])
    };
    let genuine = with(&id, &timestamp, &signatures[0]);
    let mut forged: Vec<_> = altered(&body, &["1999", &order, "payment.captured"])
        .into_iter()
        .map(|body| (body, genuine.clone()))
        .collect();
    forged.push((body.clone(), with(&altered(&id, &["msg_"])[0], &timestamp, &signatures[0])));
    forged.push((body.clone(), with(&id, &(at + 1).to_string(), &signatures[0])));
    forged.push((body.clone(), with(&id, &timestamp, &altered(&signatures[0], &[&signatures[0][..20]])[0])));
    let genuine: Vec<(&str, &str)> =
        genuine.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    is_believed_as_it_is_only(&shop, SOURCE, &body, &genuine, forged).await;
    shop.wait_for(&order, "captured").await;
}
