//! The `daybook` command; see [`daybook::cli`].

use std::process::ExitCode;

/// The server makes and drops many small values on many threads, and what sled keeps of each page stands between them for
/// as long as the process runs. So this is the allocator that leaves the fewest holes around what stays.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    daybook::cli::run()
}
