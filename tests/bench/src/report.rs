//! The table: ours, the limit, and the ratio.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::{Round, histogram};

/// Several rounds of one side.
pub(crate) struct Side {
    rates: Vec<u64>,
    latency: Histogram<u64>,
}

impl Side {
    pub(crate) fn new() -> Self {
        Side { rates: Vec::new(), latency: histogram() }
    }

    pub(crate) fn add(&mut self, round: Round) {
        self.rates.push(round.rate());
        self.latency.add(round.latency).expect("histograms alike");
    }

    /// A round that did so much in so long, without latencies.
    pub(crate) fn add_rate(&mut self, count: u64, elapsed: Duration) {
        self.rates.push(count * 1_000_000 / u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    pub(crate) fn median(&self) -> u64 {
        let mut rates = self.rates.clone();
        rates.sort_unstable();
        rates.get(rates.len() / 2).copied().unwrap_or(0)
    }

    fn quantile(&self, quantile: f64) -> String {
        match self.latency.is_empty() {
            true => "–".to_owned(),
            false => {
                let micros = self.latency.value_at_quantile(quantile);
                format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10)
            }
        }
    }
}

/// A row: what was measured, over how many connections (none: not over HTTP), ours and the limit.
pub(crate) struct Row {
    pub(crate) journal: &'static str,
    pub(crate) connections: Option<usize>,
    pub(crate) ours: Side,
    pub(crate) limit: Side,
}

/// Prints the table as Markdown.
pub(crate) fn print(what: &str, unit: &str, rows: &[Row]) {
    println!("\n{what}, on {}\n", crate::machine::describe());
    println!(
        "| journal | connections | Daybook {unit} | p50 | p99 | limit {unit} | p50 | p99 | ratio | rounds |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for Row { journal, connections, ours, limit } in rows {
        let (mine, theirs) = (ours.median(), limit.median());
        let ratio = mine * 100 / theirs.max(1);
        println!(
            "| {journal} | {} | {} | {} | {} | {} | {} | {} | {}.{:02} | {} |",
            connections.map_or("–".to_owned(), |connections| connections.to_string()),
            thousands(mine),
            ours.quantile(0.5),
            ours.quantile(0.99),
            thousands(theirs),
            limit.quantile(0.5),
            limit.quantile(0.99),
            ratio / 100,
            ratio % 100,
            ours.rates.len(),
        );
    }
}

/// 1234567 as `1 234 567`.
fn thousands(number: u64) -> String {
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
