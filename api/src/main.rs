//! The `daybook` command; see [`daybook::cli`].

fn main() {}
