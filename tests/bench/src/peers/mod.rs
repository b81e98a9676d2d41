//! The same job on what a team would pick instead: a plain PostgreSQL schema, `cqrs-es`, and `disintegrate`.
//!
//! The peers are built from `tests/bench/peers`, a workspace of its own, and run on a PostgreSQL that this suite starts.

mod http;
mod postgres;
mod process;
mod rebuild;

use daybook_tests::Kind;

use crate::report::{Goal, Report, Row, Side};
use crate::{Options, name};
use postgres::Postgres;

/// Who is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Plain,
    CqrsEs,
    Disintegrate,
}

impl Peer {
    const ALL: [Peer; 3] = [Peer::Plain, Peer::CqrsEs, Peer::Disintegrate];

    /// Its name on the command line of the peers' binary.
    fn word(self) -> &'static str {
        match self {
            Peer::Plain => "plain",
            Peer::CqrsEs => "cqrs-es",
            Peer::Disintegrate => "disintegrate",
        }
    }

    /// Its name in the tables.
    fn title(self) -> &'static str {
        match self {
            Peer::Plain => "plain schema and outbox",
            Peer::CqrsEs => "cqrs-es, postgres-es",
            Peer::Disintegrate => "disintegrate, its postgres",
        }
    }
}

/// What one job found: a side for each journal of ours, and one for each peer.
struct Job {
    name: &'static str,
    unit: &'static str,
    connections: Option<usize>,
    goal: Goal,
    ours: Vec<(Kind, Side)>,
    peers: Vec<Side>,
}

impl Job {
    /// A row for each pair.
    fn rows(self) -> Vec<Row> {
        let Job { name: what, unit, connections, goal, ours, peers } = self;
        let row = |kind, ours: &Side, peer: &Side| {
            let mut row = Row::new(what, unit, ours.clone()).on(name(kind)).against(peer.clone()).goal(goal);
            row.connections = connections;
            row
        };
        let of =
            |(kind, ours): &(Kind, Side)| peers.iter().map(|peer| row(*kind, ours, peer)).collect::<Vec<_>>();
        ours.iter().flat_map(of).collect()
    }
}

pub(crate) async fn run(options: Options) {
    let Some(postgres) = Postgres::start() else {
        eprintln!(
            "there is no PostgreSQL here (PG_BIN, `pg_config --bindir`, /usr/lib/postgresql/*/bin): no rows"
        );
        return;
    };
    process::build();
    let mut rows = Vec::new();
    for job in http::run(&options, &postgres).await {
        rows.extend(job.rows());
    }
    rows.extend(rebuild::run(&options, &postgres).await.rows());
    let title = format!("Peers, on {}", postgres.version());
    Report::new("peers", &title, options.quick, rows).publish(&options.out());
}
