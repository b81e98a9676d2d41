//! The rules that keep the parts apart, as far as a machine can check them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every Rust file under a directory of the workspace, with what it says.
fn sources(under: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut directories = vec![root().join(under)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("a file of the workspace").display().to_string();
                found.push((name, fs::read_to_string(&path).expect("a readable file")));
            }
        }
    }
    assert!(!found.is_empty(), "{under} has no sources");
    found.sort();
    found
}

/// The lines of a source that are code: without comments, and without what follows `#[cfg(test)]`.
fn code(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let untested = source.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    let lines =
        untested.enumerate().map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()));
    lines.filter(|(_, line)| !line.trim().is_empty())
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let (before, after) = (line[..start].chars().next_back(), line[start + word.len()..].chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[test]
fn the_core_is_pure() {
    let impure = [
        "async",
        "await",
        "tokio",
        "futures",
        "std::time",
        "SystemTime",
        "Instant",
        "Timestamp::now",
        "now_v7",
        "new_v4",
        "random",
        "fastrand",
        "rand",
        "serde",
        "serde_json",
        "Serialize",
        "Deserialize",
        "std::fs",
        "std::io",
        "std::net",
        "std::env",
        "std::thread",
        "println",
        "tracing",
        "f32",
        "f64",
        "unsafe",
    ];
    let mut found = Vec::new();
    let files = ["order", "money", "accounts"].map(|name| {
        let name = format!("ledger/src/{name}.rs");
        let source = fs::read_to_string(root().join(&name)).expect("a file");
        (name, source)
    });
    for (name, source) in sources("ledger/src/order").into_iter().chain(files) {
        if name.ends_with("tests.rs") || name.contains("/tests/") {
            continue;
        }
        for (number, line) in code(&source) {
            let words = impure.iter().filter(|word| has_word(line, word));
            found.extend(words.map(|word| format!("{name}:{number}: {word}")));
        }
    }
    assert!(found.is_empty(), "the order's rules take what they need as arguments:\n{}", found.join("\n"));
}

/// What `cargo metadata` says of this workspace on this platform, without asking anybody.
fn metadata() -> Value {
    let version = output(Command::new("rustc").arg("-vV"));
    let version = String::from_utf8(version).expect("text");
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform", host]);
    serde_json::from_slice(&output(command.current_dir(root()))).expect("JSON")
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn packages(metadata: &Value) -> &[Value] {
    metadata["packages"].as_array().expect("packages")
}

#[test]
fn crate_arrows_point_one_way() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = packages(&metadata)
        .iter()
        .filter(|package| package["source"].is_null())
        .filter_map(|package| package["name"].as_str())
        .collect();
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("ledger", &[] as &[&str]),
        ("projections", &["ledger"]),
        ("replay", &["ledger", "projections"]),
        ("daybook", &["ledger", "projections", "replay"]),
        ("daybook-tests", &["ledger", "projections", "replay"]),
        ("daybook-bench", &["ledger", "projections", "replay", "daybook-tests"]),
    ]);
    assert_eq!(ours, allowed.keys().copied().collect(), "a crate that this test does not know");
    for package in packages(&metadata).iter().filter(|package| package["source"].is_null()) {
        let name = package["name"].as_str().expect("a name");
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let on = dependency["name"].as_str().expect("a name");
            let may = !ours.contains(on) || allowed[name].contains(&on) || on == name;
            assert!(may, "{name} must not depend on {on}");
        }
    }
}

#[test]
fn each_library_that_may_have_to_go_sits_behind_one_module() {
    let homes = [
        ("async_nats", "ledger/src/journal/jetstream"),
        ("rusqlite", "ledger/src/journal/embedded"),
        ("sled", "projections/src/store"),
        ("bincode", "projections/src/store"),
        ("chacha20poly1305", "ledger/src/codec/sealed"),
        ("ed25519_dalek", "replay/src/audit/note"),
        ("parquet", "replay/src/export"),
    ];
    let mut found = Vec::new();
    for (name, source) in
        ["ledger/src", "projections/src", "replay/src", "api/src"].into_iter().flat_map(sources)
    {
        for (number, line) in code(&source) {
            for (library, home) in homes {
                let named = has_word(line, library) && line.contains(&format!("{library}::"));
                if named && !name.starts_with(home) {
                    found.push(format!("{name}:{number}: {library} belongs to {home}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_sandbox_knows_daybook_only_through_public_doors() {
    let mut found = Vec::new();
    let ours = ["ledger", "projections", "replay"];
    for (name, source) in sources("api/src/sandbox") {
        for (number, line) in code(&source) {
            let import = ours.iter().any(|library| line.contains(&format!("{library}::")));
            let inside = line.contains("crate::") && !line.contains("crate::sandbox");
            if import || inside {
                found.push(format!("{name}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn vendors_know_nothing_of_each_other_and_the_ledger_nothing_of_vendors() {
    let vendors = ["azotte", "akinon", "orkestapay", "carat", "kronor"];
    let surfaces = root().join("api/src/surfaces");
    let mut found = Vec::new();
    let folders =
        fs::read_dir(&surfaces).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
    for folder in folders {
        let own = folder.file_name().into_string().expect("a name");
        for (name, source) in sources(&format!("api/src/surfaces/{own}")) {
            for (number, line) in code(&source) {
                let lower = line.to_lowercase();
                let others = vendors.iter().filter(|vendor| **vendor != own && lower.contains(**vendor));
                found.extend(others.map(|vendor| format!("{name}:{number}: {vendor}")));
            }
        }
    }
    for (name, source) in ["ledger/src", "projections/src"].into_iter().flat_map(sources) {
        // The codec and the core name a checkout's surface, and nothing else of it.
        for (number, line) in code(&source).filter(|(_, line)| !line.contains("Surface::")) {
            let lower = line.to_lowercase();
            let named = vendors.iter().filter(|vendor| {
                lower.contains(&format!("{vendor}_")) || lower.contains(&format!("{vendor}::"))
            });
            found.extend(named.map(|vendor| format!("{name}:{number}: {vendor}")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A list of texts in `deny.toml`, read as simply as it is written.
fn listed(deny: &str, key: &str) -> Vec<String> {
    let after =
        deny.split(&format!("\n{key} = [")).nth(1).unwrap_or_else(|| panic!("deny.toml has no {key}"));
    let list = after.split("\n]").next().unwrap_or_default();
    list.lines()
        .filter_map(|line| Some(line.trim().strip_prefix('"')?.split('"').next()?.to_owned()))
        .collect()
}

#[test]
fn every_dependency_is_licensed_and_from_the_registry() {
    // What `cargo deny check licenses sources` asks, for machines without cargo-deny.
    let deny = fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let allowed = listed(&deny, "allow");
    let metadata = metadata();
    let mut found = Vec::new();
    for package in packages(&metadata) {
        let name = package["name"].as_str().expect("a name");
        if let Some(source) = package["source"].as_str()
            && source != "registry+https://github.com/rust-lang/crates.io-index"
        {
            found.push(format!("{name} comes from {source}"));
        }
        let license = package["license"].as_str().unwrap_or("none");
        let satisfied = license.replace('/', " OR ").split(" OR ").any(|choice| {
            let parts = choice.split(" AND ").map(|part| part.trim_matches(|c| " ()".contains(c)));
            parts.into_iter().all(|part| allowed.iter().any(|license| license == part))
        });
        if !satisfied {
            found.push(format!("{name} is licensed {license}"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_file_says_what_it_is_and_stays_readable() {
    let directories = ["ledger/src", "projections/src", "replay/src", "api/src", "tests/src", "tests/tests"];
    let mut found = Vec::new();
    for (name, source) in directories.into_iter().flat_map(sources) {
        if !source.starts_with("//!") {
            found.push(format!("{name} does not say what it is"));
        }
        let lines = source.lines().count();
        if lines > 1_000 {
            found.push(format!("{name} has {lines} lines"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
