//! The `daybook` command; see [`daybook::cli`].

use std::process::ExitCode;

/// The server makes and drops many small values on many threads; see `docs/src/reference/benchmarks.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    daybook::cli::run()
}
