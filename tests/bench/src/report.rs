//! What a suite found: rows that each hold ours beside something else, measured in the same run, and the ratio.
//!
//! A report is written as JSON; the tables and the plots are drawn from the JSON alone. Everything is a whole number:
//! rates in units a second, times in microseconds, ratios in percent.

use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::load::{Round, buckets, per_second};
use crate::machine::Machine;
use crate::table;

/// Everything that one run of a suite found.
#[derive(Serialize, Deserialize)]
pub(crate) struct Report {
    /// The suite's name on the command line.
    pub(crate) suite: String,
    /// The name of its file without the ending: the suite's, unless somebody keeps several reports of one suite.
    #[serde(skip)]
    pub(crate) file: String,
    /// What it measures, as a heading.
    pub(crate) title: String,
    /// A first look only.
    pub(crate) quick: bool,
    /// When it ended, as RFC 3339.
    pub(crate) taken_at: String,
    /// What it ran on.
    pub(crate) machine: Machine,
    /// What it found.
    pub(crate) rows: Vec<Row>,
    /// What went on over time, for a suite that watches that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) samples: Vec<Sample>,
}

/// One figure of ours, and what it is held against.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What was measured, such as `POST /v1/checkouts`.
    pub(crate) name: String,
    /// Which journal, where it matters.
    pub(crate) journal: Option<String>,
    /// Over how many connections, where there are some.
    pub(crate) connections: Option<usize>,
    /// What the figures count, such as `req/s`, `commits/s`, `µs` or `MiB`.
    pub(crate) unit: String,
    /// Ours.
    pub(crate) ours: Side,
    /// The limit, a peer, or ours in other circumstances.
    pub(crate) against: Option<Side>,
    /// What it should be.
    pub(crate) goal: Option<Goal>,
    /// Ours in percent of the other side.
    pub(crate) ratio_percent: Option<u64>,
    /// Whether the goal is met; none without a goal.
    pub(crate) met: Option<bool>,
}

/// What a row should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// At least so many percent of the other side.
    PercentAtLeast(u64),
    /// At most so many percent of the other side.
    PercentAtMost(u64),
    /// At most so much, in the row's unit.
    AtMost(u64),
}

/// The rounds of one side.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Side {
    /// Who or what, such as `bare axum and SQLite`.
    pub(crate) name: String,
    /// What each round found, in the row's unit.
    pub(crate) rounds: Vec<u64>,
    /// The middle one.
    pub(crate) median: u64,
    /// The smallest.
    pub(crate) min: u64,
    /// The largest.
    pub(crate) max: u64,
    /// How long single requests took, where that was measured.
    pub(crate) latency: Option<Latency>,
}

/// How long requests took from when they were due.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// Requests that were due each second.
    pub(crate) offered: u64,
    /// Half took no longer, in microseconds.
    pub(crate) p50: u64,
    /// 99 of 100 took no longer.
    pub(crate) p99: u64,
    /// 999 of 1000 took no longer.
    pub(crate) p999: u64,
    /// None took longer.
    pub(crate) max: u64,
    /// All of them: microseconds, and how often. In a file to two digits, a third of what all three take.
    #[serde(serialize_with = "buckets::serialize_coarsely", deserialize_with = "buckets::deserialize")]
    pub(crate) histogram: Histogram<u64>,
}

/// How a server was at one moment.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Which journal.
    pub(crate) journal: String,
    /// Seconds since the start.
    pub(crate) at: u64,
    /// Answers a second since the last sample.
    pub(crate) rate: u64,
    /// Microseconds of half of them.
    pub(crate) p50: u64,
    /// Microseconds of 99 of 100 of them.
    pub(crate) p99: u64,
    /// Resident memory of the server, in KiB.
    pub(crate) rss_kib: u64,
    /// Bytes of the journal's files.
    pub(crate) journal_bytes: u64,
    /// Bytes of the views' files.
    pub(crate) views_bytes: u64,
}

impl Side {
    /// A side without rounds yet.
    pub(crate) fn new(name: &str) -> Self {
        Side { name: name.to_owned(), rounds: Vec::new(), median: 0, min: 0, max: 0, latency: None }
    }

    /// A side of one figure.
    pub(crate) fn once(name: &str, value: u64) -> Self {
        let mut side = Side::new(name);
        side.add(value);
        side
    }

    /// A round that found this.
    pub(crate) fn add(&mut self, value: u64) {
        self.rounds.push(value);
        let mut sorted = self.rounds.clone();
        sorted.sort_unstable();
        self.median = sorted[sorted.len() / 2];
        self.min = sorted[0];
        self.max = sorted[sorted.len() - 1];
    }

    /// A round that did so much in so long, as a rate.
    pub(crate) fn add_rate(&mut self, count: u64, elapsed: Duration) {
        self.add(per_second(count, elapsed));
    }

    /// The latencies of a round of an open loop at this rate, beside those of earlier ones.
    pub(crate) fn add_latency(&mut self, offered: u64, round: &Round) {
        let histogram = match self.latency.take() {
            Some(mut earlier) => {
                earlier.histogram.add(&round.latency).expect("histograms alike");
                earlier.histogram
            }
            None => round.latency.clone(),
        };
        self.latency = Some(Latency::of(offered, histogram));
    }
}

impl Latency {
    /// What is to be said of a histogram.
    pub(crate) fn of(offered: u64, histogram: Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
        Latency { offered, p50, p99, p999, max: histogram.max(), histogram }
    }
}

impl Row {
    /// Ours alone.
    pub(crate) fn new(name: &str, unit: &str, ours: Side) -> Self {
        Row {
            name: name.to_owned(),
            journal: None,
            connections: None,
            unit: unit.to_owned(),
            ours,
            against: None,
            goal: None,
            ratio_percent: None,
            met: None,
        }
    }

    /// On this journal.
    pub(crate) fn on(mut self, journal: &str) -> Self {
        self.journal = Some(journal.to_owned());
        self
    }

    /// Over so many connections.
    pub(crate) fn over(mut self, connections: usize) -> Self {
        self.connections = Some(connections);
        self
    }

    /// Held against this.
    pub(crate) fn against(mut self, other: Side) -> Self {
        self.ratio_percent = Some(self.ours.median.saturating_mul(100) / other.median.max(1));
        self.against = Some(other);
        self.judged()
    }

    /// With a goal.
    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self.judged()
    }

    fn judged(mut self) -> Self {
        let (ratio, value) = (self.ratio_percent, self.ours.median);
        self.met = self.goal.and_then(|goal| match goal {
            Goal::PercentAtLeast(percent) => ratio.map(|ratio| ratio >= percent),
            Goal::PercentAtMost(percent) => ratio.map(|ratio| ratio <= percent),
            Goal::AtMost(most) => Some(value <= most),
        });
        self
    }
}

impl Report {
    /// Of these rows, measured here and just now.
    pub(crate) fn new(suite: &str, title: &str, quick: bool, rows: Vec<Row>) -> Self {
        let (suite, file, title) = (suite.to_owned(), suite.to_owned(), title.to_owned());
        let (taken_at, machine) = (jiff::Timestamp::now().to_string(), Machine::here());
        Report { suite, file, title, quick, taken_at, machine, rows, samples: Vec::new() }
    }

    /// Prints the table, and writes the JSON to `<directory>/<suite>.json`.
    pub(crate) fn publish(&self, directory: &Path) {
        print!("{}", table::of(self));
        std::fs::create_dir_all(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
        let file = directory.join(format!("{}.json", self.file));
        let json = serde_json::to_vec(self).expect("JSON");
        std::fs::write(&file, json).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        eprintln!("wrote {}", file.display());
    }

    /// The reports in a directory, in this order of suites, and those of one suite by the names of their files.
    pub(crate) fn read_all(directory: &Path, suites: &[&str]) -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
        let files = entries.map(|entry| entry.expect("a directory that can be read").path());
        let files = files.filter(|file| file.extension().is_some_and(|ending| ending == "json"));
        let mut reports: Vec<_> = files.map(|file| Self::read(&file)).collect();
        let place = |report: &Self| suites.iter().position(|suite| *suite == report.suite);
        reports.sort_by(|a, b| (place(a), &a.file).cmp(&(place(b), &b.file)));
        reports
    }

    fn read(file: &Path) -> Self {
        let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let report: Self =
            serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        Report { file: file.file_stem().unwrap_or_default().display().to_string(), ..report }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: &[u64], other: &[u64]) -> Row {
        let side = |name: &str, rounds: &[u64]| {
            let mut side = Side::new(name);
            rounds.iter().for_each(|&round| side.add(round));
            side
        };
        Row::new("a row", "req/s", side("ours", ours)).against(side("other", other))
    }

    #[test]
    fn the_middle_round_is_held_against_the_middle_round() {
        let row = row(&[90, 10, 80], &[100, 1_000, 99]);
        assert_eq!((row.ours.median, row.ours.min, row.ours.max), (80, 10, 90));
        assert_eq!(row.ratio_percent, Some(80));
        assert_eq!(row.met, None, "no goal yet");
    }

    #[test]
    fn a_goal_is_met_from_its_bound_on() {
        let met = |goal| row(&[80], &[100]).goal(goal).met;
        assert_eq!(met(Goal::PercentAtLeast(80)), Some(true));
        assert_eq!(met(Goal::PercentAtLeast(81)), Some(false));
        assert_eq!(met(Goal::PercentAtMost(80)), Some(true));
        assert_eq!(met(Goal::PercentAtMost(79)), Some(false));
        assert_eq!(met(Goal::AtMost(80)), Some(true));
        assert_eq!(met(Goal::AtMost(79)), Some(false));
    }
}
