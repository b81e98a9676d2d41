//! Every suite one after another, and the tables of what they wrote.

use std::path::Path;
use std::process::Command;

use clap::ValueEnum;

use crate::report::Report;
use crate::{Options, SUITES, table};

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
        let status = command.status().expect("a process");
        if !status.success() {
            failed.push(format!("{suite}: {status}"));
        }
    }
    assert!(failed.is_empty(), "these suites failed: {}", failed.join(", "));
}

/// Prints the tables of the reports in a directory.
pub(crate) fn report(from: &Path) {
    for report in Report::read_all(from, &SUITES) {
        print!("{}", table::of(&report));
    }
}
