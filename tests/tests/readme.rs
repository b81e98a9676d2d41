//! The README's tour, pasted: every `sh` block runs against a demo server, and what stands below it comes out.
//!
//! A block fenced as `json` or `text` right after an `sh` block is what that block is expected to print: each of its
//! words (for `json`: each field with its value) has to be there, but for those that are different each time, which
//! are written with an ellipsis (`"trk_…"`). Blocks fenced as `console` or `bash` are not run.

use std::path::Path;
use std::process::{Command, Stdio};

use daybook_tests::{Kind, Setup, World};
use serde_json::Value;

/// A fenced block: its language and its text.
#[derive(Debug, PartialEq)]
struct Block {
    language: String,
    text: String,
    line: usize,
}

fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (index, line) in markdown.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), open) {
            (Some(language), false) => {
                blocks.push(Block {
                    language: language.trim().to_owned(),
                    text: String::new(),
                    line: index + 1,
                });
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => {
                let block = blocks.last_mut().expect("an open block");
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, false) => {}
        }
    }
    blocks
}

/// The tour: `sh` blocks that talk to the server, each with what it is expected to print.
fn tour(markdown: &str) -> Vec<(Block, Option<Block>)> {
    let mut steps: Vec<(Block, Option<Block>)> = Vec::new();
    let mut before_was_step = false;
    for block in blocks(markdown) {
        let is_step = block.language == "sh" && block.text.contains("curl");
        let is_expectation = before_was_step && ["json", "text"].contains(&block.language.as_str());
        match steps.last_mut() {
            _ if is_step => steps.push((block, None)),
            Some((_, expected)) if is_expectation => *expected = Some(block),
            _ => {}
        }
        before_was_step = is_step;
    }
    steps
}

/// What an expectation asks to be printed.
fn expected_words(block: &Block) -> Vec<String> {
    let mut words = Vec::new();
    match serde_json::from_str::<Value>(&block.text) {
        Ok(json) => leaves("", &json, &mut words),
        Err(_) => words.extend(block.text.split_whitespace().map(str::to_owned)),
    }
    words.retain(|word| !word.contains('…'));
    words
}

fn leaves(name: &str, json: &Value, words: &mut Vec<String>) {
    match json {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| leaves(name, value, words)),
        Value::Array(values) => values.iter().for_each(|value| leaves(name, value, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) if name.is_empty() => {
            words.push(json.to_string());
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            words.push(format!("\"{name}\":{json}"));
        }
    }
}

/// All steps as one script, so that a variable set in one is there in the next; a mark on stdout between them.
fn script(steps: &[(Block, Option<Block>)], url: &str) -> String {
    let mut script = "set -euo pipefail\n".to_owned();
    for (step, _) in steps {
        let text = step.text.replace("http://127.0.0.1:8080", url).replace("http://localhost:8080", url);
        let text = text.replace("127.0.0.1:8080", url.trim_start_matches("http://"));
        let text = text.replace("localhost:8080", url.trim_start_matches("http://"));
        script.push_str(&text);
        script.push_str("printf '\\n--- end of step ---\\n'\n");
    }
    script
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_works_when_pasted() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let markdown = std::fs::read_to_string(&path).expect("README.md");
    let steps = tour(&markdown);
    assert!(!steps.is_empty(), "README.md has no tour: no `sh` block with curl");
    let world = World::with(Kind::Embedded, Setup::demo()).await;
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(script(&steps, world.shop().url()))
        .current_dir(world.directory())
        .stdin(Stdio::null());
    let output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("bash runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let printed: Vec<&str> = stdout.split("\n--- end of step ---\n").collect();
    for (index, (step, expected)) in steps.iter().enumerate() {
        let printed = printed.get(index).copied().unwrap_or_default();
        println!("README.md:{}\n{}→ {printed}", step.line, step.text);
        let squeezed: String = printed.chars().filter(|c| !c.is_whitespace()).collect();
        for word in expected.iter().flat_map(expected_words) {
            let wanted: String = word.chars().filter(|c| !c.is_whitespace()).collect();
            // Whole: 70 is not there because 700 is.
            let ends = |end: usize| !squeezed[end..].starts_with(|c: char| c.is_ascii_digit());
            let there = squeezed.match_indices(&wanted).any(|(start, found)| ends(start + found.len()));
            assert!(there, "README.md:{} promises {word}, and got:\n{printed}\n{stderr}", step.line);
        }
    }
    assert!(output.status.success(), "the tour ended with {}:\n{stdout}\n{stderr}", output.status);
}

#[test]
fn a_tour_is_read_from_markdown() {
    let markdown = "# x\n```sh\ncargo run\n```\n```sh\ncurl a\n```\nprints\n```json\n{\"status\": \"captured\", \"id\": \
                    \"trk_…\", \"n\": [1]}\n```\n```sh\ncurl b\n```\n";
    let steps = tour(markdown);
    assert_eq!(
        steps.iter().map(|(step, _)| step.text.as_str()).collect::<Vec<_>>(),
        ["curl a\n", "curl b\n"]
    );
    assert_eq!(steps[1].1, None);
    let expected = steps[0].1.as_ref().map(expected_words);
    assert_eq!(expected, Some(vec!["\"n\":1".to_owned(), "\"status\":\"captured\"".to_owned()]));
}
