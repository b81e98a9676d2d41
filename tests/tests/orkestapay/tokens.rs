//! Access tokens: whom they open the door to, and for how long.

use data_encoding::BASE64URL_NOPAD;
use daybook_tests::client::{ACME, GLOBEX};
use daybook_tests::{Client, Reply, World, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use super::caller::{Caller, checkout, token_reply, with, without};

daybook_tests::in_each_world!(
    a_token_opens_its_own_tenant_on_every_node,
    what_is_not_a_token_of_ours_opens_nothing,
    credentials_are_taken_as_json_and_as_a_form_and_refused_by_the_book,
);

async fn orders_with(client: &Client, authorization: Option<&str>) -> Reply {
    let path = format!("/orkestapay/v1/orders/ord_{}", "0".repeat(32));
    let request = client.anonymous(Method::GET, &path);
    Reply::to(match authorization {
        Some(authorization) => request.header("authorization", authorization),
        None => request,
    })
    .await
}

#[track_caller]
fn unauthenticated(reply: &Reply, challenge: &str) {
    assert_eq!(reply.status, 401, "{}", reply.body());
    assert_eq!(reply.text("/code"), "UNAUTHENTICATED");
    assert_eq!(reply.header("www-authenticate"), Some(challenge));
}

const NO_TOKEN: &str = "Bearer realm=\"orkestapay\"";
const BAD_TOKEN: &str = "Bearer realm=\"orkestapay\", error=\"invalid_token\"";

/// One part of a JWT.
fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("a part");
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).expect("base64url")).expect("JSON")
}

/// A part of a forged JWT.
fn forged_part(json: &str) -> String {
    BASE64URL_NOPAD.encode(json.as_bytes())
}

async fn a_token_opens_its_own_tenant_on_every_node(mut world: World) {
    let shop = Caller::new(world.shop()).await;
    let reply = token_reply(&shop.client, ACME.id, ACME.key).await.expect(200);
    let keys: Vec<String> = reply.json().as_object().expect("an object").keys().cloned().collect();
    assert_eq!(keys, ["access_token", "expires_in", "token_type"]);
    assert_eq!((reply.text("/token_type").as_str(), reply.number("/expires_in")), ("Bearer", 1_800));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(part(&shop.token, 0), json!({"typ": "JWT", "alg": "HS256"}));
    let claims = part(&shop.token, 1);
    assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("acme"), &json!("acme")));
    let seconds = |name: &str| claims[name].as_i64().expect("seconds");
    assert!((1_800..=1_801).contains(&(seconds("exp") - seconds("iat"))), "{claims}");
    assert!(!claims.to_string().contains(ACME.key) && !claims.to_string().contains(ACME.key_hash));

    let made = shop.register(&checkout()).await;
    // The token outlives the process that made it.
    world.servers[0].stop().await;
    world.servers[0].restart().await;
    let after = Caller { client: world.shop(), token: shop.token.clone() };
    assert_eq!(after.status(&made).await, "CREATED");
    // And is no API key.
    let native = after.client.anonymous(Method::GET, "/v1/orders").bearer_auth(&after.token);
    Reply::to(native).await.expect(401);
    unauthenticated(&orders_with(&after.client, Some(&format!("Bearer {}", ACME.key))).await, BAD_TOKEN);
}

async fn what_is_not_a_token_of_ours_opens_nothing(world: World) {
    let shop = Caller::new(world.shop()).await;
    assert_eq!(orders_with(&shop.client, Some(&format!("Bearer {}", shop.token))).await.status, 404);
    unauthenticated(&orders_with(&shop.client, None).await, NO_TOKEN);
    unauthenticated(&orders_with(&shop.client, Some("Basic YWNtZTphY21l")).await, NO_TOKEN);
    unauthenticated(&orders_with(&shop.client, Some("Bearer")).await, NO_TOKEN);
    let [head, claims, signature]: [&str; 3] =
        shop.token.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    let as_globex = part(&shop.token, 1).to_string().replace("acme", "globex");
    let unsigned = forged_part(r#"{"typ":"JWT","alg":"none"}"#);
    let rsa = forged_part(r#"{"typ":"JWT","alg":"RS256"}"#);
    let theirs = Caller::new(world.other_shop()).await;
    let their_claims = theirs.token.split('.').nth(1).expect("claims");
    let mut altered = signature.to_owned().into_bytes();
    altered[0] = if altered[0] == b'A' { b'B' } else { b'A' };
    for forged in [
        "x".to_owned(),
        format!("{head}.{claims}"),
        format!("{head}.{claims}."),
        format!("{head}.{claims}.{}", String::from_utf8(altered).expect("ASCII")),
        format!("{unsigned}.{claims}."),
        format!("{unsigned}.{claims}.{signature}"),
        format!("{rsa}.{claims}.{signature}"),
        format!("{head}.{}.{signature}", forged_part(&as_globex)),
        format!("{head}.{their_claims}.{signature}"),
    ] {
        let reply = orders_with(&shop.client, Some(&format!("Bearer {forged}"))).await;
        unauthenticated(&reply, BAD_TOKEN);
    }
}

async fn credentials_are_taken_as_json_and_as_a_form_and_refused_by_the_book(world: World) {
    let client = world.shop();
    for (id, secret) in
        [(ACME.id, "wrong"), (ACME.id, GLOBEX.key), (GLOBEX.id, ACME.key), ("nobody", ACME.key), ("A b", "x")]
    {
        let refused = token_reply(&client, id, secret).await.expect(401);
        assert_eq!(refused.text("/error"), "invalid_client");
        assert_eq!(refused.header("www-authenticate"), Some(NO_TOKEN));
        assert!(![ACME.key, GLOBEX.key].iter().any(|key| refused.body().contains(key)));
    }
    let request = || client.anonymous(Method::POST, "/orkestapay/v1/oauth/tokens");
    let form = |text: String| {
        request().header("content-type", "application/x-www-form-urlencoded; charset=utf-8").body(text)
    };
    let good = format!("grant_type=client_credentials&client_id={}&client_secret={}", ACME.id, ACME.key);
    let token = Reply::to(form(good.clone())).await.expect(200).text("/access_token");
    assert_eq!(orders_with(&client, Some(&format!("Bearer {token}"))).await.status, 404);
    Reply::to(form(format!("{good}&scope=api"))).await.expect(200);

    let json = |body: Value| request().json(&body);
    let all = json!({"client_id": ACME.id, "client_secret": ACME.key, "grant_type": "client_credentials"});
    let changed = |name: &str, value: Value| with(all.clone(), &format!("/{name}"), value);
    let cases = [
        (form(format!("{good}&client_id=globex")), 400, "invalid_request", "INVALID_FIELD"),
        (form("client_id=acme".to_owned()), 400, "invalid_request", "MISSING_FIELD"),
        (form(good.replace(ACME.key, "")), 400, "invalid_request", "MISSING_FIELD"),
        (form("x".repeat(70_000)), 413, "invalid_request", "BODY_TOO_LARGE"),
        (json(without(all.clone(), "/client_id")), 400, "invalid_request", "MISSING_FIELD"),
        (json(without(all.clone(), "/client_secret")), 400, "invalid_request", "MISSING_FIELD"),
        (json(without(all.clone(), "/grant_type")), 400, "invalid_request", "MISSING_FIELD"),
        (json(changed("client_secret", json!(7))), 400, "invalid_request", "INVALID_FIELD"),
        (json(changed("grant_type", json!("password"))), 400, "unsupported_grant_type", "INVALID_FIELD"),
        (json(json!([])), 400, "invalid_request", "INVALID_FIELD"),
        (request().body("{}"), 415, "invalid_request", "UNSUPPORTED_MEDIA_TYPE"),
        (
            request().header("content-type", "application/json").body("{"),
            400,
            "invalid_request",
            "MALFORMED_JSON",
        ),
        (
            request().header("content-type", "application/x-www-form-urlencoded").body(vec![0xff]),
            400,
            "invalid_request",
            "INVALID_UTF8",
        ),
    ];
    for (request, status, error, code) in cases {
        let refused = Reply::to(request).await.expect(status);
        assert_eq!((refused.text("/error"), refused.text("/code")), (error.into(), code.into()));
        assert!(!refused.body().contains(ACME.key));
    }
    assert_eq!(world.log().await.len(), 0);
}

mod that_live_for_a_second {
    use super::*;

    daybook_tests::in_each_world!(
        daybook_tests::Setup { config: "[orkestapay]\ntoken_life_seconds = 1".to_owned(), ..daybook_tests::Setup::default() };
        a_token_really_expires,
    );

    async fn a_token_really_expires(world: World) {
        let shop = Caller::new(world.shop()).await;
        let begun = tokio::time::Instant::now();
        let authorization = format!("Bearer {}", shop.token);
        assert_eq!(orders_with(&shop.client, Some(&authorization)).await.status, 404, "it is good at first");
        let expired = eventually("the token's end", async || {
            let reply = orders_with(&shop.client, Some(&authorization)).await;
            (reply.status != 404).then_some(reply)
        })
        .await;
        unauthenticated(&expired, BAD_TOKEN);
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "without minutes of leeway");
        let refused = shop.post("/checkouts", &checkout()).await;
        unauthenticated(&refused, BAD_TOKEN);
        assert_eq!(world.log().await.len(), 0);
        let renewed = Caller::new(world.shop()).await;
        assert_eq!(
            orders_with(&renewed.client, Some(&format!("Bearer {}", renewed.token))).await.status,
            404
        );
    }
}
