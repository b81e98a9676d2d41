//! The same job as Daybook's on what a team would pick instead: a plain PostgreSQL schema with an outbox, `cqrs-es`
//! with `postgres-es`, and `disintegrate` with `disintegrate-postgres`.
//!
//! Each of them accepts checkouts, takes verified webhooks, answers status polls, and rebuilds its read model. One axum
//! front serves them all, with Daybook's JSON in and out. Started by `daybook-bench -- peers`.

mod copy;
mod cqrs;
mod decisions;
mod events;
mod fill;
mod front;
mod order;
mod peer;
mod plain;

use clap::{Parser, Subcommand, ValueEnum};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
#[command(about)]
struct Cli {
    /// Which of them.
    #[arg(value_enum)]
    peer: Name,
    /// The database, as `host=… user=… dbname=…`; it is created on first use.
    database: String,
    #[command(subcommand)]
    what: What,
}

#[derive(ValueEnum, Clone, Copy)]
enum Name {
    Plain,
    CqrsEs,
    Disintegrate,
}

#[derive(Subcommand)]
enum What {
    /// Serve HTTP; the first line of the output is the address.
    Serve(front::Access),
    /// Write so many orders of four events each past the server, in bulk.
    Fill {
        /// How many orders.
        orders: u64,
    },
    /// Build the read model anew from the events and print a line of JSON: what was read, what came out, how long it took.
    Rebuild {
        /// Which way.
        #[arg(value_enum)]
        way: Way,
    },
}

/// How to build the read model anew.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// With what the library has for it.
    Documented,
    /// As fast as one could write it.
    Fastest,
}

#[tokio::main]
async fn main() {
    let Cli { peer, database, what } = Cli::parse();
    match (peer, what) {
        (Name::Plain, What::Serve(access)) => front::serve(plain::Plain::open(&database).await, access).await,
        (Name::Plain, What::Fill { orders }) => plain::fill(&database, orders).await,
        (Name::Plain, What::Rebuild { .. }) => plain::rebuild(&database).await.print(),
        (Name::CqrsEs, What::Serve(access)) => {
            front::serve(cqrs::CqrsEs::open(&database).await, access).await
        }
        (Name::CqrsEs, What::Fill { orders }) => cqrs::fill(&database, orders).await,
        (Name::CqrsEs, What::Rebuild { way }) => cqrs::rebuild(&database, way).await.print(),
        (Name::Disintegrate, What::Serve(access)) => {
            front::serve(decisions::Disintegrate::open(&database).await, access).await;
        }
        (Name::Disintegrate, What::Fill { orders }) => decisions::fill(&database, orders).await,
        (Name::Disintegrate, What::Rebuild { way }) => decisions::rebuild(&database, way).await.print(),
    }
}
