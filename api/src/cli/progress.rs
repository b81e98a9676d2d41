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
    pub(super) fn update(&mut self, Progress { done, total, rate_per_s, eta }: Progress) {
        let left = eta.map(|eta| format!(", {} s left", eta.as_secs())).unwrap_or_default();
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(format!("{rate_per_s}/s{left}"));
        } else if self.said.elapsed() >= LINE_EVERY {
            self.said = Instant::now();
            if self.is_json {
                let eta_s = eta.map(|eta| eta.as_secs());
                let line = json!({ "done": done, "total": total, "unit": self.unit, "rate_per_s": rate_per_s, "eta_s": eta_s });
                eprintln!("{line}");
            } else {
                eprintln!("{done} of {total} {}, {rate_per_s}/s{left}", self.unit);
            }
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
