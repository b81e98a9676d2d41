//! What the log proves, held against implementations that nobody here wrote: `ct-merkle` and `ed25519-dalek` in the
//! test itself, and Python's standard library with OpenSSL as an auditor would use them.

use std::path::Path;
use std::process::{Command, Stdio};

use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use data_encoding::{BASE64, HEXLOWER};
use daybook_tests::client::{ACME, GLOBEX};
use daybook_tests::{Client, Reply, World, checkout, eur, eventually};
use ed25519_dalek::{Signature, VerifyingKey};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

daybook_tests::in_each_world!(
    every_commit_of_an_order_is_proven_to_an_auditor_with_other_tools,
    a_checkpoint_is_public_to_tenants_and_proofs_to_their_own,
    a_killed_server_goes_on_with_the_same_log,
    a_deleted_tree_comes_back_with_the_same_root,
    doctor_shows_the_key,
);

mod two_nodes {
    daybook_tests::in_each_world!(
        daybook_tests::Setup::two_nodes();
        nodes_agree_on_every_root,
    );
    use super::nodes_agree_on_every_root;
}

fn base64(text: &Value) -> Vec<u8> {
    BASE64.decode(text.as_str().expect("text").as_bytes()).expect("base64")
}

/// The hashes of a proof, one after the other.
fn path(hashes: &Value) -> Vec<u8> {
    hashes.as_array().expect("hashes").iter().flat_map(base64).collect()
}

/// The public key as text, and taken apart by the documented format alone.
struct Key {
    text: String,
    name: String,
    id: Vec<u8>,
    key: VerifyingKey,
}

impl Key {
    async fn of(client: &Client) -> Self {
        let text = client.get("/audit/key").await.expect(200).body().trim_end().to_owned();
        let parts: Vec<&str> = text.splitn(3, '+').collect();
        let bytes = BASE64.decode(parts[2].as_bytes()).expect("base64");
        let id = Sha256::digest([parts[0].as_bytes(), b"\n", &bytes].concat())[..4].to_vec();
        assert_eq!((HEXLOWER.encode(&id).as_str(), bytes[0]), (parts[1], 1));
        let key = VerifyingKey::from_bytes(bytes[1..].try_into().expect("32 bytes")).expect("a key");
        Key { name: parts[0].to_owned(), text, id, key }
    }

    /// Origin, size and root of a note, if the key has signed it.
    fn open(&self, note: &str) -> Option<(u64, RootHash<Sha256>)> {
        let (text, signature) = note.split_once("\n\n")?;
        let (text, line) = (format!("{text}\n"), signature.strip_suffix('\n')?);
        let blob = BASE64.decode(line.strip_prefix(&format!("— {} ", self.name))?.as_bytes()).ok()?;
        let (id, signature) = blob.split_at_checked(4)?;
        let signature = Signature::from_slice(signature).ok()?;
        self.key.verify_strict(text.as_bytes(), &signature).ok()?;
        let lines: Vec<&str> = text.lines().collect();
        let [origin, size, root] = lines[..] else { return None };
        let root: [u8; 32] = BASE64.decode(root.as_bytes()).ok()?.try_into().ok()?;
        let size = size.parse().ok()?;
        (id == self.id && origin == self.name).then(|| (size, RootHash::new(root.into(), size)))
    }
}

/// What the documented leaf of a commit is made of.
fn leaf(commit: &Value) -> Vec<u8> {
    let number = |name: &str| commit[name].as_u64().expect("a number");
    let tenant = commit["tenant"].as_str().expect("a tenant");
    let record: uuid::Uuid = commit["record"].as_str().expect("an id").parse().expect("a UUID");
    let mut leaf = (number("partition") as u16).to_be_bytes().to_vec();
    leaf.extend(number("sequence").to_be_bytes());
    leaf.push(tenant.len() as u8);
    leaf.extend(tenant.as_bytes());
    leaf.extend(record.as_bytes());
    leaf.extend(base64(&commit["stored"]));
    leaf
}

fn is_proven(root: &RootHash<Sha256>, leaf: &Vec<u8>, index: u64, path: Vec<u8>) -> bool {
    let proof = InclusionProof::try_from_bytes(path);
    proof.is_ok_and(|proof| root.verify_inclusion(leaf, index, &proof).is_ok())
}

/// A captured and partly refunded order, and another tenant's among its commits.
async fn an_order(world: &World) -> String {
    let (shop, other) = (world.client(0, ACME), world.client(0, GLOBEX));
    let order = shop.submit(&checkout(1_999)).await;
    other.submit(&checkout(5)).await;
    shop.report(&order, "payment.captured", json!({"amount": eur(1_999), "reference": "cap"})).await;
    shop.post(&format!("/v1/orders/{order}/refunds"), &json!({"amount": eur(500)})).await.expect(202);
    order
}

async fn proofs(client: &Client, order: &str) -> Value {
    client.get(&format!("/v1/orders/{order}/proofs")).await.expect(200).json()
}

async fn checkpoint(client: &Client) -> Reply {
    client.get("/audit/checkpoint").await.expect(200)
}

/// A checkpoint over this commit and maybe more: whoever asks for an order's proofs has one made.
async fn checkpoint_over(client: &Client, order: &str) -> String {
    let document = proofs(client, order).await;
    assert!(document["commits"].as_array().expect("commits").iter().all(|commit| commit["pending"] == false));
    document["checkpoint"].as_str().expect("a note").to_owned()
}

/// Runs the auditor's own script; None where there is no Python or no OpenSSL, which is said.
fn auditor(world: &World, arguments: &[&str], files: &[(&str, &str)]) -> Option<bool> {
    let has = |program: &str, flag: &str| {
        let found = Command::new(program).arg(flag).stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    };
    if !has("python3", "--version") || !has("openssl", "version") {
        println!("skipped: there is no Python or no OpenSSL here to check proofs with");
        return None;
    }
    for (name, text) in files {
        std::fs::write(world.directory().join(name), text).expect("a file");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/audit/check.py");
    let output = Command::new("python3").arg(script).args(arguments).current_dir(world.directory()).output();
    let output = output.expect("Python starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || said.contains("NOT PROVEN"), "{said}");
    Some(output.status.success())
}

async fn every_commit_of_an_order_is_proven_to_an_auditor_with_other_tools(world: World) {
    let shop = world.shop();
    let key = Key::of(&shop).await;
    let order = an_order(&world).await;
    let document = proofs(&shop, &order).await;
    let (size, root) = key.open(document["checkpoint"].as_str().expect("a note")).expect("a signed note");
    assert_eq!(document["size"], size);
    let commits = document["commits"].as_array().expect("commits");
    assert_eq!(commits.len(), 3, "{document}");
    for commit in commits {
        let index = commit["leaf_index"].as_u64().expect("an index");
        assert_eq!(commit["sequence"], index + 1);
        let (leaf, proof) = (leaf(commit), path(&commit["proof"]));
        let hash = Sha256::digest([&[0][..], &leaf].concat());
        assert_eq!(base64(&commit["leaf_hash"])[..], hash[..]);
        assert!(is_proven(&root, &leaf, index, proof.clone()), "{commit}");
        for byte in 0..proof.len() {
            let mut altered = proof.clone();
            altered[byte] ^= 1;
            assert!(!is_proven(&root, &leaf, index, altered), "byte {byte} of the proof");
        }
        for byte in 0..leaf.len() {
            let mut altered = leaf.clone();
            altered[byte] ^= 1;
            assert!(!is_proven(&root, &altered, index, proof.clone()), "byte {byte} of the leaf");
        }
    }

    // The commits are those of the log, and the checkpoint is over all of it or a beginning of it.
    let log = world.log().await;
    let events = shop.get(&format!("/v1/orders/{order}/events")).await.expect(200).json();
    for (commit, event) in commits.iter().zip(events["commits"].as_array().expect("commits")) {
        assert_eq!(commit["position"], event["position"]);
        let position = commit["position"].as_str().expect("a position").parse().expect("a position");
        let stored = log.journal.at(position).await.expect("the log can be read").expect("a commit");
        assert_eq!(base64(&commit["stored"]), stored.bytes);
    }

    // An older checkpoint proves what it is over, and says what came later.
    let first = checkpoint(&shop).await.body();
    let later = an_order(&world).await;
    shop.report(&order, "dispute.opened", json!({"amount": eur(100), "reference": "dp"})).await;
    let against_first = shop.get(&format!("/v1/orders/{order}/proofs?size={size}")).await.expect(200).json();
    assert_eq!(against_first["checkpoint"], first.as_str());
    let pending: Vec<bool> = against_first["commits"]
        .as_array()
        .expect("commits")
        .iter()
        .map(|commit| commit["pending"] == true && commit["proof"].is_null())
        .collect();
    assert_eq!(pending, [false, false, false, true]);
    shop.get(&format!("/v1/orders/{order}/proofs?size=999999")).await.problem(400, "invalid_query");

    // Between two checkpoints nothing was changed.
    let second = checkpoint_over(&shop, &later).await;
    let (old, old_root) = key.open(&first).expect("a signed note");
    let (new, new_root) = key.open(&second).expect("a signed note");
    assert!(new > old);
    let consistency = shop.get(&format!("/audit/consistency?from={old}&to={new}")).await.expect(200);
    let consistent = |hashes: Vec<u8>| {
        let proof = ConsistencyProof::<Sha256>::try_from_bytes(hashes);
        proof.is_ok_and(|proof| new_root.verify_consistency(&old_root, &proof).is_ok())
    };
    let hashes = path(&consistency.json()["hashes"]);
    assert!(consistent(hashes.clone()), "{}", consistency.body());
    for byte in 0..hashes.len() {
        let mut altered = hashes.clone();
        altered[byte] ^= 1;
        assert!(!consistent(altered), "byte {byte} of the proof");
    }
    assert!(key.open(&first.replace(&format!("\n{old}\n"), &format!("\n{}\n", old + 1))).is_none());

    check_with_python(&world, &key, &document, [&first, &second], &consistency.body());
}

fn check_with_python(world: &World, key: &Key, document: &Value, notes: [&str; 2], consistency: &str) {
    let proofs = ["proofs", &key.text, "proofs.json"];
    let check = |document: &Value| auditor(world, &proofs, &[("proofs.json", &document.to_string())]);
    let Some(is_proven) = check(document) else { return };
    assert!(is_proven, "{document}");
    let mut forged = document.clone();
    let other = json!({"forged": true}).to_string();
    forged["commits"][1]["stored"] = BASE64.encode(other.as_bytes()).into();
    assert_eq!(check(&forged), Some(false), "a forged commit");
    let mut forged = document.clone();
    forged["commits"][1]["proof"] = document["commits"][2]["proof"].clone();
    assert_eq!(check(&forged), Some(false), "the proof of another commit");
    let mut forged = document.clone();
    forged["checkpoint"] = notes[0].replacen("\n— ", "\n— x", 1).into();
    assert_eq!(check(&forged), Some(false), "a checkpoint that nobody signed");

    let arguments = ["consistency", &key.text, "old", "new", "proof.json"];
    let check = |old: &str, new: &str| {
        auditor(world, &arguments, &[("old", old), ("new", new), ("proof.json", consistency)])
    };
    assert_eq!(check(notes[0], notes[1]), Some(true));
    assert_eq!(check(notes[1], notes[0]), Some(false), "the other way round");
}

async fn a_checkpoint_is_public_to_tenants_and_proofs_to_their_own(world: World) {
    let (shop, other) = (world.shop(), world.other_shop());
    let order = an_order(&world).await;
    let note = checkpoint_over(&shop, &order).await;

    // Any tenant's key sees sizes and hashes; nobody sees them without one.
    let reply = checkpoint(&other).await;
    assert_eq!(reply.body(), note);
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    let etag = reply.header("etag").expect("an ETag").to_owned();
    let again = shop.request(Method::GET, "/audit/checkpoint").header("if-none-match", &etag);
    Reply::to(again).await.expect(304);
    let size = note.lines().nth(1).expect("a size");
    let older = other.get(&format!("/audit/checkpoint?size={size}&partition=0")).await.expect(200);
    assert_eq!(older.body(), note);
    let first = other.get("/audit/checkpoint?size=0").await.expect(200).body();
    assert!(first.contains("\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"), "{first}");
    for path in [
        "/audit/checkpoint",
        "/audit/key",
        "/audit/consistency?from=0",
        &format!("/v1/orders/{order}/proofs"),
    ] {
        Reply::to(shop.anonymous(Method::GET, path)).await.problem(401, "unauthenticated");
    }

    // A commit is shown to its own tenant alone.
    other.get(&format!("/v1/orders/{order}/proofs")).await.problem(404, "not_found");
    let unknown = uuid::Uuid::now_v7();
    shop.get(&format!("/v1/orders/{unknown}/proofs")).await.problem(404, "not_found");
    let tracking = shop.get(&format!("/v1/orders/{order}")).await.expect(200).text("/tracking_number");
    let by_number = proofs(&shop, &tracking).await;
    assert_eq!(by_number["order_id"], order.as_str());

    // What cannot be asked.
    let beyond = size.parse::<u64>().expect("a size") + 1_000;
    for path in [
        format!("/audit/consistency?from=0&to={beyond}"),
        "/audit/consistency?from=2&to=1".to_owned(),
        "/audit/consistency".to_owned(),
        "/audit/consistency?from=-1".to_owned(),
        "/audit/checkpoint?partition=x".to_owned(),
        "/audit/key?side=left".to_owned(),
        format!("/v1/orders/{order}/proofs?size=x"),
    ] {
        shop.get(&path).await.problem(400, "invalid_query");
    }
    for path in ["/audit/checkpoint?partition=9", "/audit/key?partition=9", "/audit/checkpoint?size=999999"] {
        shop.get(path).await.problem(404, "not_found");
    }
    let all = shop.get("/audit/consistency?from=0").await.expect(200).json();
    assert_eq!((&all["hashes"], &all["from"]["size"]), (&json!([]), &json!(0)));
}

async fn a_killed_server_goes_on_with_the_same_log(mut world: World) {
    let shop = world.shop();
    let key = Key::of(&shop).await;
    let order = an_order(&world).await;
    let before = checkpoint_over(&shop, &order).await;
    let later = an_order(&world).await;
    world.servers[0].kill();
    world.servers[0].restart().await;
    assert_eq!(Key::of(&shop).await.text, key.text, "the key stays");
    let after = checkpoint_over(&shop, &later).await;
    let (old, old_root) = key.open(&before).expect("a signed note");
    let (new, new_root) = key.open(&after).expect("a signed note");
    assert!(new > old);
    let proof = shop.get(&format!("/audit/consistency?from={old}&to={new}")).await.expect(200).json();
    let proof = ConsistencyProof::try_from_bytes(path(&proof["hashes"])).expect("a proof");
    new_root.verify_consistency(&old_root, &proof).expect("the same log");
    // What was signed stays for whoever asks.
    assert_eq!(shop.get(&format!("/audit/checkpoint?size={old}")).await.expect(200).body(), before);
    // The private key is in its file, and nowhere else.
    let secret = std::fs::read_to_string(world.data_dir(0).join("audit/key")).expect("the key");
    // Base64 has a plus of its own.
    let secret = secret.trim_end().splitn(5, '+').nth(4).expect("a key");
    let printed = world.servers[0].printed();
    assert!(printed.contains(key.name.trim_end_matches("/0")) && !printed.contains(secret), "{printed}");
}

async fn a_deleted_tree_comes_back_with_the_same_root(mut world: World) {
    let shop = world.shop();
    let order = an_order(&world).await;
    let before = proofs(&shop, &order).await;
    world.servers[0].kill();
    std::fs::remove_dir_all(world.data_dir(0).join("audit/0/tree")).expect("the tree is there");
    world.servers[0].restart().await;
    assert_eq!(checkpoint(&shop).await.body(), before["checkpoint"].as_str().expect("a note"));
    let path = format!("/v1/orders/{order}/proofs");
    let after = eventually("the tree", async || {
        let reply = shop.get(&path).await;
        // Until it is there again, nothing is proven and nothing is made up.
        if reply.status == 503 {
            reply.problem(503, "tree_incomplete");
            return None;
        }
        Some(reply.expect(200).json())
    })
    .await;
    assert_eq!(after, before);
}

async fn doctor_shows_the_key(mut world: World) {
    let key = Key::of(&world.shop()).await;
    let found = world.run("doctor", &["--json"]).await;
    let document: Value = serde_json::from_slice(&found.stdout).expect("JSON");
    assert_eq!(document["audit"]["keys"], json!([key.text]), "{document}");
    let text = String::from_utf8(world.run("doctor", &[]).await.stdout).expect("text");
    assert!(text.contains(&key.text), "{text}");

    // A key for another log stops the start, and nothing is lost by it.
    world.servers[0].stop().await;
    let file = world.data_dir(0).join("audit/key");
    let kept = std::fs::read_to_string(&file).expect("the key");
    std::fs::write(&file, "no key").expect("the key");
    let refused = world.run("serve", &["--listen", "127.0.0.1:0"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("audit key"), "{said}");
    assert!(!world.run("doctor", &[]).await.status.success());
    std::fs::write(&file, kept).expect("the key");
    world.servers[0].restart().await;
    assert_eq!(Key::of(&world.shop()).await.text, key.text);
}

async fn nodes_agree_on_every_root(world: World) {
    // An embedded journal has one writer.
    let nodes: Vec<Client> = (0..world.servers.len()).map(|node| world.client(node, ACME)).collect();
    let order = an_order(&world).await;
    let mut roots = Vec::new();
    for node in &nodes {
        let note = checkpoint_over(node, &order).await;
        let (size, root) = Key::of(node).await.open(&note).expect("a signed note");
        let up_to = node.get("/audit/consistency?from=3").await.expect(200).json();
        roots.push((up_to["from"].clone(), size >= 4, root.num_leaves() == size));
    }
    assert!(roots.iter().all(|root| *root == roots[0] && root.1 && root.2), "{roots:?}");
}
