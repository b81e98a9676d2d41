//! The README's tour, pasted: every `sh` block runs against a demo server, and what stands below it comes out.
//!
//! Two things right after an `sh` block say what it must have printed. In a paragraph: each `code` span, and each
//! "`name` number" as that field with that value; what stands in parentheses is an aside, and a paragraph that begins
//! in **bold** is about the next block. In a `json` or `text` block: each field with its value, each word. What is
//! different each time is written with an ellipsis (`"trk_…"`).

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

/// A block to run, and what it is expected to print.
#[derive(Debug)]
struct Step {
    block: Block,
    expected: Vec<String>,
}

/// The tour: `sh` blocks that talk to the server.
fn tour(markdown: &str) -> Vec<Step> {
    let lines: Vec<&str> = markdown.lines().collect();
    let mut steps: Vec<Step> = Vec::new();
    let mut before_was_step = false;
    for block in blocks(markdown) {
        let is_step = block.language == "sh" && block.text.contains("curl");
        if is_step {
            let after = block.line + block.text.lines().count() + 1;
            let paragraph = lines.iter().skip(after).skip_while(|line| line.trim().is_empty());
            let paragraph: Vec<&str> =
                paragraph.take_while(|line| !line.trim().is_empty()).copied().collect();
            steps.push(Step { block, expected: expected_of_prose(&paragraph.join(" ")) });
        } else if let Some(step) = steps.last_mut()
            && before_was_step
            && ["json", "text"].contains(&block.language.as_str())
        {
            step.expected.extend(expected_words(&block.text));
        }
        before_was_step = is_step;
    }
    steps
}

/// What a paragraph says that a block prints.
fn expected_of_prose(paragraph: &str) -> Vec<String> {
    if ["**", "```", "#"].iter().any(|start| paragraph.starts_with(start)) {
        return Vec::new();
    }
    let mut depth = 0_u32;
    let plain = paragraph.chars().filter(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    });
    let plain: String = plain.collect();
    let parts: Vec<&str> = plain.split('`').collect();
    let spans = parts.iter().enumerate().filter(|(index, _)| index % 2 == 1);
    let expected = spans.map(|(index, span)| {
        let after = parts.get(index + 1).copied().unwrap_or_default();
        let number: String = after.trim_start().chars().take_while(char::is_ascii_digit).collect();
        if number.is_empty() { (*span).to_owned() } else { format!("\"{span}\":{number}") }
    });
    expected.collect()
}

/// What a block of expectations asks to be printed.
fn expected_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    match serde_json::from_str::<Value>(text) {
        Ok(json) => leaves("", &json, &mut words),
        Err(_) => words.extend(text.split_whitespace().map(str::to_owned)),
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
///
/// The server listens elsewhere than in the README, keeps its data elsewhere, and is not built a second time.
fn script(steps: &[Step], world: &World) -> String {
    let shop = world.shop();
    let mut script = format!(
        "set -euo pipefail\ncargo() {{ while [ \"$1\" != -- ]; do shift; done; shift; '{}' \"$@\" --data-dir '{}'; }}\n",
        daybook_tests::server::binary().display(),
        world.data_dir(0).display()
    );
    for step in steps {
        script.push_str(&step.block.text.replace("http://127.0.0.1:8080", shop.url()));
        script.push_str("printf '\\n--- end of step ---\\n'\n");
    }
    script
}

/// Whether all of it is there, white space aside, and whole: 70 is not there because 700 is.
fn has(printed: &str, word: &str) -> bool {
    let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let (printed, word) = (squeeze(printed), squeeze(word));
    let ends = |end: usize| !printed[end..].starts_with(|c: char| c.is_ascii_digit());
    printed.match_indices(&word).any(|(start, found)| ends(start + found.len()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_works_when_pasted() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let markdown = std::fs::read_to_string(&path).expect("README.md");
    let steps = tour(&markdown);
    assert!(!steps.is_empty(), "README.md has no tour: no `sh` block with curl");
    assert!(steps.iter().any(|step| !step.expected.is_empty()), "README.md promises nothing");
    let world = World::with(Kind::Embedded, Setup::demo()).await;
    let mut command = Command::new("bash");
    command.arg("-c").arg(script(&steps, &world)).current_dir(world.directory()).stdin(Stdio::null());
    let output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("bash runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let printed: Vec<&str> = stdout.split("\n--- end of step ---\n").collect();
    for (index, Step { block, expected }) in steps.iter().enumerate() {
        let printed = printed.get(index).copied().unwrap_or_default();
        println!("README.md:{}\n{}→ {printed}\nexpected: {expected:?}\n", block.line, block.text);
        for word in expected {
            assert!(has(printed, word), "README.md:{} promises {word}; {stderr}", block.line);
        }
    }
    assert!(output.status.success(), "the tour ended with {}:\n{stdout}\n{stderr}", output.status);
}

#[test]
fn a_tour_is_read_from_markdown() {
    let markdown = "# x\n```sh\ncargo run\n```\n```sh\ncurl a\n```\n\nThe `status`, (not `this`) and\n`balance` \
                    70.\n\n**Next.** `x`\n```sh\ncurl b\n```\n```json\n{\"status\": \"captured\", \"id\": \"trk_…\", \
                    \"n\": [1]}\n```\n";
    let steps = tour(markdown);
    let blocks: Vec<&str> = steps.iter().map(|step| step.block.text.as_str()).collect();
    assert_eq!(blocks, ["curl a\n", "curl b\n"]);
    assert_eq!(steps[0].expected, ["status", "\"balance\":70"]);
    assert_eq!(steps[1].expected, ["\"n\":1", "\"status\":\"captured\""]);
    assert!(has("{\"balance\": 70}", "\"balance\":70") && !has("{\"balance\": 700}", "\"balance\":70"));
}
