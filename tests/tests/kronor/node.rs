//! The surface through GraphQL clients that nobody here wrote: `graphql-request` and `graphql-ws` from npm.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use daybook_tests::{Client, DEADLINE, Reply, World};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

use super::buyer;

daybook_tests::in_each_world!(daybook_tests::Setup::demo(); a_client_of_others_follows_a_purchase_to_its_end);

/// Where `tests/setup` has put the client's libraries; none where there is no Node, or where they are not these.
fn libraries() -> Option<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tests.join("../target/tools/kronor-client");
    let wanted =
        std::fs::read(tests.join("clients/kronor/package-lock.json")).expect("the client's lock file");
    std::fs::read(directory.join("installed-lock.json")).is_ok_and(|got| got == wanted).then_some(directory)
}

async fn a_client_of_others_follows_a_purchase_to_its_end(world: World) {
    let Some(directory) = libraries() else {
        eprintln!("SKIPPED: there is no Node here, or tests/setup has not got the client's libraries");
        return;
    };
    let shop = world.shop();
    // Node looks for libraries beside the program, so a copy of it runs beside them.
    let program = directory.join(format!("{}.mjs", daybook_tests::client::unique("client")));
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/kronor/client.mjs"), &program)
        .expect("a copy");
    let mut client = Command::new("node")
        .arg(&program)
        .args([shop.url(), shop.tenant.key])
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("Node runs");
    let mut lines = BufReader::new(client.stdout.take().expect("a pipe")).lines();

    let (first, second) = (next(&mut lines).await, next(&mut lines).await);
    for (created, id) in [(&first, "client-1"), (&second, "client-2")] {
        assert_eq!(
            (&created["what"], &created["id"], &created["again"]),
            (&json!("created"), &json!(id), &json!(true))
        );
    }
    // The token of one reads nothing of the other.
    for (id, found) in [("client-2", json!([])), ("client-1", json!([])), ("client-1", json!(["client-1"]))] {
        assert_eq!(
            next(&mut lines).await,
            json!({"what": "read", "id": id, "found": found, "purchases": []})
        );
    }
    assert_eq!(next(&mut lines).await, json!({"what": "refused", "type": "FORBIDDEN"}));
    assert_eq!(next(&mut lines).await, json!({"what": "closed", "code": 4401}));

    let token = first["waitToken"].as_str().expect("a token");
    let mut done = Vec::new();
    while done.len() < 2 {
        let moved = next(&mut lines).await;
        assert_eq!(moved["what"], "moved", "{moved}");
        let ours = if moved["name"] == "buyer" { "client-1" } else { "client-2" };
        assert_eq!(moved["id"], ours, "{moved}");
        match (ours, moved["status"].as_str().expect("a status")) {
            ("client-1", "SCA_REQUIRED") => {
                let landed = authenticate(&shop, token).await;
                let expect =
                    "https://shop.example/done?status=WAITING_FOR_CAPTURE&reference=ref-client-1&purchaseId=";
                assert!(landed.starts_with(expect), "{landed}");
            }
            ("client-2", "SCA_REQUIRED") => {
                assert!(buyer::cancel(&shop, shop.tenant.key, "client-2").await);
            }
            ("client-1", "WAITING_FOR_CAPTURE") => {
                assert!(moved["purchase"].is_i64(), "{moved}");
                done.push(ours);
            }
            ("client-2", "CANCELLED") => done.push(ours),
            (_, "PRE_FLIGHT_SCORING" | "RISK_SCORING") => {}
            unexpected => panic!("{unexpected:?}"),
        }
    }
    let ended = tokio::time::timeout(DEADLINE, client.wait()).await.expect("an end in time");
    std::fs::remove_file(&program).expect("the copy goes");
    assert!(ended.expect("a process of ours").success());
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.expect("a line in time");
    let line = line.expect("a readable pipe").expect("the client ended early; what it said stands above");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Passes the sandbox's challenge as a browser would; returns where it leads in the end.
async fn authenticate(shop: &Client, token: &str) -> String {
    let page = format!("/kronor/sca?token={token}&success_url=https://shop.example/done");
    let page = Reply::to(shop.anonymous(Method::GET, &page)).await.expect(200);
    let cookie =
        page.header("set-cookie").and_then(|text| text.split(';').next()).expect("a cookie").to_owned();
    let body = page.body();
    let (_, link) = body.split_once("id=\"continue\" href=\"").expect("a link");
    let link = link.split('"').next().expect("its end").replace("&amp;", "&");
    let link = Url::parse(&link).expect("a URL");
    let mut form: Vec<(String, String)> = link.query_pairs().into_owned().collect();
    form.push(("answer".to_owned(), "pass".to_owned()));
    let answered = Reply::to(shop.anonymous(Method::POST, link.path()).form(&form)).await.expect(303);
    let back = answered
        .header("location")
        .and_then(|url| url.strip_prefix(shop.url()))
        .expect("the way back")
        .to_owned();
    let returned = Reply::to(shop.anonymous(Method::GET, &back).header("cookie", cookie)).await.expect(303);
    returned.header("location").expect("the shop's address").to_owned()
}
