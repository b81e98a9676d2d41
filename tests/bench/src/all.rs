//! Every suite one after another, and the tables of what they wrote.

use std::path::Path;
use std::process::Command;

use clap::ValueEnum;

use crate::report::Report;
use crate::{Options, SUITES, plot, table};

/// Runs each suite in a process of its own, so that the others go on when one fails. Panics at the end if one did.
pub(crate) fn run(options: &Options) {
    let ours = std::env::current_exe().expect("a benchmark knows where it is");
    let mut failed = Vec::new();
    for suite in SUITES {
        eprintln!("running {suite}");
        let mut command = Command::new(&ours);
        command.arg(suite).arg("--out").arg(&options.out);
        if let Some(journal) = options.journal.and_then(|journal| journal.to_possible_value()) {
            command.args(["--journal", journal.get_name()]);
        }
        if options.quick {
            command.arg("--quick");
        }
        if let Some(commits) = options.commits {
            command.arg("--commits").arg(commits.to_string());
        }
        let status = command.status().expect("a process");
        if !status.success() {
            failed.push(format!("{suite}: {status}"));
        }
    }
    assert!(failed.is_empty(), "these suites failed: {}", failed.join(", "));
}

/// The tables of reports, with the plots beside them.
pub(crate) fn markdown(reports: &[Report]) -> String {
    let judged: Vec<bool> =
        reports.iter().flat_map(|report| &report.rows).filter_map(|row| row.met).collect();
    let met = judged.iter().filter(|met| **met).count();
    let mut text = format!("{met} of {} goals are met.\n", judged.len());
    let link = |plot: plot::Plot| format!("\n![{}](benchmarks/{}.svg)\n", plot.heading, plot.name);
    text.extend(plot::of_all(reports).into_iter().map(link));
    for report in reports {
        text.push_str(&table::of(report));
        text.extend(plot::of(report).into_iter().map(link));
    }
    text
}

/// What the tables stand between in a page.
const MARKS: [&str; 2] = ["<!-- figures -->\n", "<!-- end of figures -->\n"];

/// Replaces what stands between the marks of a page.
pub(crate) fn put_into(page: &Path, tables: &str) {
    let text = std::fs::read_to_string(page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
    let [begin, end] = MARKS;
    let parts = text.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let (before, after) = parts.unwrap_or_else(|| panic!("{} has no marks for figures", page.display()));
    let text = format!("{before}{begin}\n{tables}\n{end}{after}");
    std::fs::write(page, text).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn documentation(file: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/reference").join(file)
    }

    #[test]
    fn the_page_shows_the_reports_that_are_kept_beside_it() {
        let page = std::fs::read_to_string(documentation("benchmarks.md")).expect("the page");
        let figures = markdown(&Report::read_all(&documentation("benchmarks/reports"), &SUITES));
        assert!(page.contains(&figures), "draw the page again: `report --from … --into …`");
        for rest in figures.split("](").skip(1) {
            let (file, _) = rest.split_once(')').expect("the end of a link");
            assert!(documentation(file).is_file(), "{file} is missing: `plot --from …`");
        }
    }
}
