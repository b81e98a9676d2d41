//! Reports as Markdown.

use crate::report::{Goal, Latency, Report, Row, Side};

/// What is written where there is nothing to say.
const NONE: &str = "–";

/// A heading, what it was measured on, the figures, and the latencies if there are any.
pub(crate) fn of(report: &Report) -> String {
    let mut text = format!("\n### {}\n\n", report.title);
    let first_look = if report.quick { "A first look (`--quick`). " } else { "" };
    let day = report.taken_at.split('T').next().unwrap_or_default();
    let file = &report.file;
    text.push_str(&format!(
        "{first_look}{day}, {}. From [`{file}.json`](benchmarks/reports/{file}.json).\n\n",
        report.machine
    ));
    text.push_str(
        "| what | journal | connections | unit | Daybook (min–max) | beside it | (min–max) | ratio | goal | met |\n\
         |---|---|--:|---|--:|---|--:|--:|--:|---|\n",
    );
    for row in &report.rows {
        let against = row.against.as_ref();
        let cells = [
            row.name.clone(),
            row.journal.clone().unwrap_or_else(|| NONE.to_owned()),
            row.connections.map_or(NONE.to_owned(), |connections| connections.to_string()),
            row.unit.clone(),
            spread(&row.ours),
            against.map_or(NONE.to_owned(), |side| side.name.clone()),
            against.map_or(NONE.to_owned(), spread),
            row.ratio_percent.map_or(NONE.to_owned(), hundredths),
            row.goal.map_or(NONE.to_owned(), goal),
            row.met.map_or(NONE, |met| if met { "yes" } else { "no" }).to_owned(),
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    latencies(&mut text, &report.rows);
    text
}

fn latencies(text: &mut String, rows: &[Row]) {
    let mut lines = Vec::new();
    for row in rows {
        for (side, who) in std::iter::once((&row.ours, "Daybook"))
            .chain(row.against.iter().map(|side| (side, side.name.as_str())))
        {
            let Some(latency) = &side.latency else { continue };
            let Latency { offered, p50, p99, p999, max, .. } = latency;
            let cells = [
                row.name.clone(),
                row.journal.clone().unwrap_or_else(|| NONE.to_owned()),
                row.connections.map_or(NONE.to_owned(), |connections| connections.to_string()),
                who.to_owned(),
                thousands(*offered),
            ];
            let times = [p50, p99, p999, max].map(|micros| millis(*micros));
            lines.push(format!("| {} | {} |\n", cells.join(" | "), times.join(" | ")));
        }
    }
    if !lines.is_empty() {
        text.push_str(
            "\nLatencies at a fixed rate, counted from when each request was due:\n\n\
             | what | journal | connections | who | requests due/s | p50 ms | p99 ms | p99.9 ms | most ms |\n\
             |---|---|--:|---|--:|--:|--:|--:|--:|\n",
        );
        text.extend(lines);
    }
}

/// The middle round, and between which two the others were.
fn spread(side: &Side) -> String {
    match side.rounds.len() {
        0 => NONE.to_owned(),
        1 => thousands(side.median),
        _ => format!("{} ({}–{})", thousands(side.median), thousands(side.min), thousands(side.max)),
    }
}

fn goal(goal: Goal) -> String {
    match goal {
        Goal::PercentAtLeast(percent) => format!("≥ {}", hundredths(percent)),
        Goal::PercentAtMost(percent) => format!("≤ {}", hundredths(percent)),
        Goal::AtMost(value) => format!("≤ {}", thousands(value)),
    }
}

/// 123 as `1.23`.
pub(crate) fn hundredths(percent: u64) -> String {
    format!("{}.{:02}", percent / 100, percent % 100)
}

/// Microseconds as milliseconds.
fn millis(micros: u64) -> String {
    hundredths(micros / 10)
}

/// 1234567 as `1 234 567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}
