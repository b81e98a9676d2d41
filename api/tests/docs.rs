//! The book, the README and CONTRIBUTING against what is there: pages, links, anchors, paths, flags.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every page by its path from the root: the book, the README, CONTRIBUTING.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut pages = BTreeMap::new();
    let mut folders = vec![root().join("docs/src")];
    let mut files = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    for path in files.into_iter().filter(|path| path.extension().is_some_and(|e| e == "md")) {
        let text = std::fs::read_to_string(&path).unwrap();
        pages.insert(path.strip_prefix(root()).unwrap().to_owned(), text);
    }
    assert!(pages.len() > 15, "the pages are where they are looked for");
    pages
}

/// The text without fenced blocks.
fn prose(markdown: &str) -> String {
    let parts = markdown.split("```").enumerate().filter(|(index, _)| index % 2 == 0);
    parts.map(|(_, part)| part).collect()
}

/// What `[text](target)` leads to, leaving out code.
fn links(markdown: &str) -> Vec<String> {
    let prose = prose(markdown);
    let code_free: String =
        prose.split("\n\n").flat_map(|paragraph| paragraph.split('`').step_by(2).chain(["\n\n"])).collect();
    let targets = code_free.split("](").skip(1);
    targets.map(|rest| rest.split_once(')').unwrap().0.to_owned()).collect()
}

/// The texts between backticks.
fn code_spans(markdown: &str) -> Vec<String> {
    let spans =
        |paragraph: &str| paragraph.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    prose(markdown).split("\n\n").flat_map(spans).collect()
}

/// A heading's anchor, as mdBook and GitHub make it.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let prose = prose(markdown);
    let headings = prose.lines().filter_map(|line| line.strip_prefix('#'));
    let slug = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(slug).collect()
}

/// `from/../to` without its detours.
fn resolve(page: &Path, target: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for part in page.parent().unwrap().join(target).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{target} leads out of the repository"),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => path.push(part),
        }
    }
    path
}

#[test]
fn the_summary_lists_every_page_once() {
    let pages = pages();
    let summary = Path::new("docs/src/SUMMARY.md");
    let listed: Vec<PathBuf> = links(&pages[summary]).iter().map(|target| resolve(summary, target)).collect();
    let book = pages.keys().filter(|page| page.starts_with("docs") && *page != summary);
    let mut sorted = listed.clone();
    sorted.sort();
    assert_eq!(sorted, book.cloned().collect::<Vec<_>>());
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut broken = Vec::new();
    for (page, text) in &pages {
        for link in links(text).iter().filter(|link| !link.contains("://")) {
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            let to = if target.is_empty() { page.clone() } else { resolve(page, target) };
            let is_there = root().join(&to).exists();
            let has_anchor = anchor.is_empty() || pages.get(&to).is_some_and(|t| anchors(t).contains(anchor));
            // Between pages of the book, since the book is also read without the repository.
            let stays = !page.starts_with("docs") || to.starts_with("docs/src");
            if !is_there || !has_anchor || !stays {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

#[test]
fn every_path_that_a_page_names_exists() {
    let mut missing = Vec::new();
    for (page, text) in pages() {
        for span in code_spans(&text) {
            let path = span.trim_start_matches("./");
            let is_ours = ["api/", "ledger/", "projections/", "replay/", "tests/", "docs/", ".ci/"];
            let is_path = is_ours.iter().any(|folder| path.starts_with(folder)) && !path.contains([' ', '*']);
            if is_path && !root().join(path).exists() {
                missing.push(format!("{}: {path}", page.display()));
            }
        }
    }
    assert_eq!(missing, [""; 0]);
}

/// The options that `daybook <command> --help` lists, with what it says of each.
fn options(command: &str) -> BTreeMap<String, String> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_daybook")).args(command.split(' ')).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let listed = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
    let split = |line: &str| {
        let name = line.split_whitespace().next().unwrap();
        (format!("--{name}"), line.to_owned())
    };
    listed.map(split).collect()
}

#[test]
fn the_reference_has_every_option_of_every_command() {
    let pages = pages();
    let configuration = &pages[Path::new("docs/src/reference/configuration.md")];
    let commands = &pages[Path::new("docs/src/reference/cli.md")];
    let common = options("serve");
    assert!(common.len() >= 7, "{common:?}");
    for (option, help) in &common {
        let (_, variable) = help.split_once("[env: ").unwrap();
        let (variable, _) = variable.split_once(']').unwrap();
        let mut rows = configuration.lines().filter(|line| line.starts_with('|'));
        let row = rows.find(|row| row.contains(&format!("`{option}`")));
        assert!(row.is_some_and(|row| row.contains(&format!("`{variable}`"))), "{option} {variable}");
    }
    let quarantine = ["list", "show", "retry", "discard"].map(|action| format!("quarantine {action}"));
    let others = [
        "history",
        "orders",
        "totals",
        "trial-balance",
        "rebuild",
        "diff",
        "verify",
        "export",
        "copy",
        "audit check-proof",
        "doctor",
    ];
    for command in others.map(str::to_owned).into_iter().chain(quarantine) {
        let usage =
            commands.lines().find(|line| line.starts_with(&format!("    daybook {command}"))).unwrap();
        for option in options(&command).keys().filter(|option| !common.contains_key(*option)) {
            assert!(usage.contains(option.as_str()), "{command} {option} is not in: {usage}");
        }
    }
}
