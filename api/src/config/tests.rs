//! What a configuration may say, and what it may not.

use std::io::Write;

use super::*;

/// The configuration that this file, environment and these flags make.
fn load(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut toml = tempfile::NamedTempFile::new().unwrap();
    toml.write_all(file.as_bytes()).unwrap();
    let of = |name: &str| {
        environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    let flags: Vec<_> = flags.iter().map(|(key, value)| (*key, Some((*value).to_owned()))).collect();
    Config::load(Some(toml.path()), of, &flags)
}

#[track_caller]
fn refused(file: &str, mention: &str) {
    let error = load(file, &[], &[]).unwrap_err();
    assert!(error.to_string().contains(mention), "{error}");
}

const KEY_HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn tenant(more: &str) -> String {
    format!(
        "token_secret = \"0123456789abcdef0123456789abcdef\"\n[[tenants]]\nid = \"acme\"\n\
         api_key_hashes = [\"{KEY_HASH}\"]\n{more}"
    )
}

#[test]
fn nothing_at_all_is_the_demo() {
    let config = load("", &[], &[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.tenants[0].id.as_str(), DEMO_TENANT);
    assert!(config.has_demo_credentials() && config.sandbox.enabled && config.nats.is_none());
    assert_eq!(config.limits.body_bytes, 65_536);
    assert_eq!(config.admin_key.unwrap().reveal(), DEMO_ADMIN_KEY);
    assert!(load(&tenant(""), &[], &[]).unwrap().admin_key.is_none(), "nobody is an admin by default");
    assert_eq!(config.order_life, Duration::from_secs(86_400));
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let file = "listen = \"127.0.0.1:1\"\ndata_dir = \"file\"\n[nats]\nreplicas = 3\nurl = \"nats://file\"";
    let environment = [
        ("DAYBOOK_LISTEN", "127.0.0.1:2"),
        ("DAYBOOK_NATS_REPLICAS", "5"),
        ("DAYBOOK_NATS_COMPRESSION", "false"),
        ("DAYBOOK_SANDBOX_DELAY_MS", "7"),
    ];
    let config = load(file, &environment, &[("listen", "127.0.0.1:3")]).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.data_dir, PathBuf::from("file"));
    assert_eq!(config.sandbox.delay, Duration::from_millis(7));
    let nats = config.nats.unwrap();
    assert_eq!((nats.replicas, nats.compression, nats.url.reveal()), (5, false, "nats://file"));
}

#[test]
fn the_demos_credentials_stay_on_this_machine() {
    refused("listen = \"0.0.0.0:8080\"", "reachable by others");
    refused("listen = \"[::]:8080\"", "reachable by others");
    assert!(load("listen = \"[::1]:8080\"", &[], &[]).is_ok());
    let listen = "listen = \"0.0.0.0:8080\"\n";
    let demo_key = data_encoding::HEXLOWER.encode(&hash_of(DEMO_KEY));
    refused(&(listen.to_owned() + &tenant("").replace(KEY_HASH, &demo_key)), "reachable by others");
    let source = format!(
        "[tenants.webhooks.psp]\nscheme = \"standard_webhooks\"\nsecrets = [\"{}\"]",
        Config::demo_webhook_secret().reveal()
    );
    refused(&(listen.to_owned() + &tenant(&source)), "reachable by others");
    let admin = format!("[admin]\nkey = \"{DEMO_ADMIN_KEY}\"\n");
    refused(&(listen.to_owned() + &tenant(&admin)), "reachable by others");
    let config = load(&(listen.to_owned() + &tenant("")), &[], &[]).unwrap();
    assert!(!config.has_demo_credentials() && !config.sandbox.enabled);
}

#[test]
fn the_sandbox_is_for_the_demo_tenant_only_and_says_so() {
    let sandbox = "\n[sandbox]\nenabled = true\n";
    refused(&(tenant("") + sandbox), "sandbox.enabled");
    let source = "[tenants.webhooks.sandbox]\nscheme = \"standard_webhooks\"\nsecrets = [\"whsec_c2VjcmV0\"]";
    refused(&(tenant(source).replace("acme", DEMO_TENANT) + sandbox), "sandbox.enabled");
    let demo_key = data_encoding::HEXLOWER.encode(&hash_of(DEMO_KEY));
    let demo = tenant(source).replace("acme", DEMO_TENANT).replace(KEY_HASH, &demo_key);
    refused(&(demo.replace("standard_webhooks", "stripe") + sandbox), "sandbox.enabled");
    assert!(load(&(demo + sandbox), &[], &[]).unwrap().sandbox.enabled);
    assert!(!load("[sandbox]\nenabled = false", &[], &[]).unwrap().sandbox.enabled);
}

#[test]
fn what_is_wrong_is_named() {
    refused("listne = \"x\"", "listne");
    refused("listen = \"8080\"", "listen");
    refused("order_life_seconds = 0", "order_life_seconds");
    refused("[azotte]\nmilpieces_per_minor_unit = 10", "milpieces_per_minor_unit");
    refused("public_url = \"shop.example\"", "public_url");
    refused("[audit]\norigin = \"our shop\"", "audit.origin");
    refused("[audit]\ncheckpoint_commits = 0", "audit.checkpoint_commits");
    refused("token_secret = \"short\"", "token_secret");
    refused(&tenant("").replace("token_secret", "# token_secret"), "token_secret");
    refused("[nats]\npartitions = 4", "nats.partitions: 4 without nats.url");
    refused("[nats]\nurl = \"nats://h\"\npartitions = 0", "nats.partitions: not between 1 and 64");
    refused("[nats]\nurl = \"nats://h\"\npartitions = 65", "nats.partitions: not between 1 and 64");
    refused("[rebuild]\nswap = \"never\"", "rebuild.swap");
    refused("replica = true", "replica: the embedded journal is one server's");
    refused("replica = true\n[nats]\nurl = \"nats://h\"\n[sandbox]\nenabled = true", "sandbox.enabled");
    refused("[admin]\nkey = \"short\"", "admin.key");
    refused(&tenant("").replace("acme", "Acme"), "Acme");
    refused(&tenant("").replace(KEY_HASH, "beef"), "api_key_hashes");
    refused(&tenant("[[tenants]]\nid = \"acme\""), "twice");
    refused(&tenant(&format!("[[tenants]]\nid = \"b\"\napi_key_hashes = [\"{KEY_HASH}\"]")), "one key");
    let source = "[tenants.webhooks.psp]\nscheme = \"standard_webhooks\"\nsecrets = ";
    refused(&tenant(&format!("{source}[]")), "tenants.acme.webhooks.psp");
    refused(&tenant(&format!("{source}[\"hunter2\"]")), "whsec_");
    refused(
        &tenant(&format!("{source}[\"whsec_c2VjcmV0\"]\ncapture = \"reported\"")),
        "only the scheme adyen",
    );
    let stripe = source.replace("standard_webhooks", "stripe");
    refused(&tenant(&format!("{stripe}[\"hunter2\"]")), "whsec_");
    let adyen = source.replace("standard_webhooks", "adyen");
    refused(&tenant(&format!("{adyen}[\"whsec_c2VjcmV0\"]")), "64 hex digits");
    refused(&tenant(&format!("{adyen}[\"{KEY_HASH}\"]\ncapture = \"never\"")), "never");
    refused(&tenant("[tenants.webhooks.psp]\nscheme = \"x\"\nsecrets = []"), "x");
    let endpoint = |url: &str, secrets: &str| {
        tenant(&format!("[tenants.notifications]\nurl = \"{url}\"\nsecrets = {secrets}"))
    };
    let secret = "[\"whsec_c2VjcmV0\"]";
    assert!(load(&endpoint("https://shop.example/hook/", secret), &[], &[]).is_ok());
    for url in ["", "shop.example", "/hook", "ftp://shop.example", "https://", "https://u:pw@shop.example"] {
        refused(&endpoint(url, secret), "tenants.acme.notifications.url");
    }
    refused(&endpoint("https://shop.example", "[]"), "tenants.acme.notifications.secrets");
    refused(&endpoint("https://shop.example", "[\"hunter2\"]"), "whsec_");
}

#[test]
fn every_setting_stands_in_the_reference() {
    let page = include_str!("../../../docs/src/reference/configuration.md");
    for (key, variable) in SETTINGS {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
        assert!(row.is_some_and(|row| row.contains(&format!("`{variable}`"))), "{key} {variable}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let text = format!("{:?}", load(&tenant(""), &[("DAYBOOK_NATS_URL", "nats://u:pw@h")], &[]).unwrap());
    assert!(!text.contains("0123456789abcdef") && !text.contains("pw@"), "{text}");
}
