//! The `daybook` command; see [`daybook::cli`].

use std::process::ExitCode;

/// The server makes and drops many small values on many threads. Without transparent huge pages: with them half of
/// the projector's time went into zeroing memory that it hardly used.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    daybook::cli::run()
}
