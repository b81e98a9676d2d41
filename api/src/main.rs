//! The `daybook` command; see [`daybook::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    daybook::cli::run()
}
