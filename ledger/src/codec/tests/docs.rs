//! The page about events shows what is stored: its examples are those of the golden files, no more and no less.

use serde_json::Value;

use super::cases::{UPCAST, cases};
use super::golden::golden;
use crate::codec::EVENT_NAMES;

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/src/reference/events.md");
    std::fs::read_to_string(path).unwrap()
}

/// The page's JSON examples, parsed.
fn examples(page: &str) -> Vec<Value> {
    let blocks = page.split("```json\n").skip(1);
    let json = |block: &str| block.split("```").next().unwrap().to_owned();
    blocks
        .map(json)
        .map(|json| serde_json::from_str(&json).unwrap_or_else(|e| panic!("{e}: {json}")))
        .collect()
}

fn stored(name: &str) -> Value {
    serde_json::from_slice(&golden(name)).unwrap()
}

/// What is under the heading of an event.
#[track_caller]
fn section<'a>(page: &'a str, name: &str) -> &'a str {
    let heading = format!("\n### `{name}`\n");
    let Some((_, rest)) = page.split_once(&heading) else { panic!("{name} has no section") };
    rest.split("\n##").next().unwrap()
}

#[test]
fn every_event_is_shown_as_it_is_stored_and_every_field_of_it_explained() {
    let page = page();
    for name in EVENT_NAMES {
        let section = section(&page, name);
        let event = &stored(name)["events"][0];
        assert_eq!(examples(section).iter().collect::<Vec<_>>(), [event], "{name}");
        for field in event.as_object().unwrap().keys().filter(|field| *field != "type") {
            assert!(section.contains(&format!("| `{field}` |")), "{name} does not explain {field}");
        }
    }
}

#[test]
fn every_kind_of_cause_is_shown_as_it_is_stored() {
    let examples = examples(&page());
    for name in ["cause_command", "cause_webhook", "cause_webhook_base64", "cause_timer"] {
        assert!(examples.contains(&stored(name)["cause"]), "{name}");
    }
    for name in ["cause_command", "cause_webhook", "cause_timer"] {
        assert!(examples.contains(&stored(&format!("sealed/{name}"))["cause"]), "{name}, sealed");
    }
}

#[test]
fn a_whole_commit_is_shown_and_every_field_of_it_explained() {
    let page = page();
    for name in ["sealed/checkout_submitted.v2", "checkout_submitted.v1"] {
        let commit = stored(name);
        assert!(examples(&page).contains(&commit), "{name}");
        for field in commit.as_object().unwrap().keys() {
            assert!(page.contains(&format!("| `{field}` |")), "{field} is not explained");
        }
    }
}

#[test]
fn nothing_is_shown_that_is_not_stored() {
    let names = cases().into_iter().flat_map(|case| [case.name.to_owned(), format!("sealed/{}", case.name)]);
    let names = names.chain(UPCAST.iter().map(|(old, _)| (*old).to_owned()));
    let commits: Vec<Value> = names.map(|name| stored(&name)).collect();
    for example in examples(&page()) {
        let is_stored = |commit: &Value| {
            *commit == example || commit["cause"] == example || commit["events"][0] == example
        };
        assert!(commits.iter().any(is_stored), "{example}");
    }
}
