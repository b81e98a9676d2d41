//! How far a long command has come, on stderr: a bar for people who wait; without a terminal, a line every few
//! seconds; for programs, the same line as JSON.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use projections::Progress;
use serde_json::json;

/// Without a terminal, a line this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Where a command reports its progress.
pub(super) struct ProgressReport {
    /// What is counted, such as `commits`.
    unit: &'static str,
    is_json: bool,
    bar: Option<ProgressBar>,
    said: Instant,
}

impl ProgressReport {
    /// A report in this unit; as JSON where the command was asked for JSON.
    pub(super) fn new(unit: &'static str, is_json: bool) -> Self {
        let is_for_people = !is_json && std::io::stderr().is_terminal();
        let bar = is_for_people.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let template = format!("{{bar:40}} {{human_pos}} of {{human_len}} {unit}  {{msg}}  {{elapsed}}");
            // Were the template wrong, the plain bar would do.
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style);
            }
            bar
        });
        ProgressReport { unit, is_json, bar, said: Instant::now() }
    }

    /// Shows it, if it is time to.
    pub(super) fn update(&mut self, progress: Progress) {
        if let Some(bar) = &self.bar {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
            bar.set_message(pace(progress));
        } else if self.said.elapsed() >= LINE_EVERY {
            self.said = Instant::now();
            eprintln!("{}", self.line(progress));
        }
    }

    fn line(&self, progress: Progress) -> String {
        let Progress { done, total, rate_per_s, eta } = progress;
        let unit = self.unit;
        if self.is_json {
            let eta_s = eta.map(|eta| eta.as_secs());
            json!({"done": done, "total": total, "unit": unit, "rate_per_s": rate_per_s, "eta_s": eta_s})
                .to_string()
        } else {
            format!("{done} of {total} {unit}, {}", pace(progress))
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How fast it goes, and how long it will take at that pace.
fn pace(Progress { rate_per_s, eta, .. }: Progress) -> String {
    let left = eta.map(|eta| format!(", {} s left", eta.as_secs())).unwrap_or_default();
    format!("{rate_per_s}/s{left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_far_how_fast_and_how_long_still() {
        let report = |is_json| ProgressReport { unit: "commits", is_json, bar: None, said: Instant::now() };
        let progress = Progress::at(500, 2000, Duration::from_secs(2));
        assert_eq!(report(false).line(progress), "500 of 2000 commits, 250/s, 6 s left");
        let line: serde_json::Value = serde_json::from_str(&report(true).line(progress)).unwrap();
        let expected = json!({"done": 500, "total": 2000, "unit": "commits", "rate_per_s": 250, "eta_s": 6});
        assert_eq!(line, expected);
        let begun = Progress::at(0, 2000, Duration::ZERO);
        assert_eq!(report(false).line(begun), "0 of 2000 commits, 0/s");
    }
}
