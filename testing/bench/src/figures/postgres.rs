//! 100 events a request on PostgreSQL, 16 clients: what an event costs the service, and what it costs the database
//! beside a COPY of the very same rows.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use stateset_postgres::{Server as Cluster, Settings};

use crate::events::{Plan, STREAMS};
use crate::figures::batch::{cpu_us_per_event, middle};
use crate::load::Round;
use crate::machine;
use crate::report::{Goal, Row, progress};
use crate::run::Bench;
use crate::server::{Server, Serves};

const CLIENTS: u64 = 16;
const EVENTS: u64 = 100;

pub fn measure(bench: &mut Bench) -> Result<()> {
    let floor = bench.floor()?.batched_us();
    progress("100 events a request on PostgreSQL");
    let settings = Settings { fsync: true, inside: Some(bench.folder.clone()), ..Settings::default() };
    let cluster = Cluster::start(settings);
    let database = cluster.database();
    let server = Server::start(&Serves::Database(cluster.url(&database)))?;
    let plan = |streams, requests_per_client| Plan {
        clients: CLIENTS,
        first_stream: 1,
        streams,
        requests_per_client,
        events_per_request: EVENTS,
    };
    for streams in [STREAMS, 1] {
        bench.round(&server, plan(streams, 4))?;
    }
    let requests = bench.count(75, 4);
    let (mut many, mut alone, mut spent) = (Vec::new(), Vec::new(), Spent::default());
    for _ in 0..bench.count(5, 1) {
        let before = Reading::now(&cluster, &database)?;
        many.push(bench.round(&server, plan(STREAMS, requests))?);
        spent.add(&before, &Reading::now(&cluster, &database)?);
        alone.push(bench.round(&server, plan(1, requests))?);
    }
    server.stop()?;
    progress("a COPY of the same rows");
    let rows = number(&cluster, &database, "SELECT count(*) FROM ves_events")?;
    let turns = number(&cluster, &database, "SELECT count(DISTINCT xmin::text) FROM ves_events")?;
    let copied = copy_us_per_event(&cluster, &database, turns)?;
    let at_once = copy_us_per_event(&cluster, &database, 1)?;

    let rate = |rounds: &[Round]| middle(rounds, |round| round.per_second() * EVENTS as f64);
    let (many_rate, alone_rate) = (rate(&many), rate(&alone));
    let name = "PostgreSQL, 100 a request, 16 streams";
    bench.rows.extend([
        Row::new(
            format!("{name}: service CPU an event"),
            middle(&many, |round| cpu_us_per_event(round, EVENTS)),
            "us",
        )
        .floor(floor)
        .goal(Goal::AtMost(1.5)),
        Row::new(
            format!("{name}: database CPU an event / COPY, as many transactions"),
            spent.us_per_event(),
            "us",
        )
        .floor(copied)
        .goal(Goal::AtMost(1.5)),
        Row::new(
            format!("{name}: database CPU an event / COPY, all rows at once"),
            spent.us_per_event(),
            "us",
        )
        .floor(at_once),
        Row::new(format!("{name}: events a transaction"), rows as f64 / turns as f64, ""),
        Row::new(format!("{name}: throughput"), many_rate, "events/s"),
        Row::new("PostgreSQL, 100 a request, one stream alone / 16 streams", alone_rate, "events/s")
            .floor(many_rate)
            .goal(Goal::AtLeast(0.8)),
    ]);
    Ok(())
}

/// What the database has done so far.
struct Reading {
    cpu: Duration,
    events: u64,
}

impl Reading {
    fn now(cluster: &Cluster, database: &str) -> Result<Self> {
        Ok(Self { cpu: cpu(cluster), events: number(cluster, database, "SELECT count(*) FROM ves_events")? })
    }
}

/// CPU time of all processes of the cluster; one that ended meanwhile counts nothing.
fn cpu(cluster: &Cluster) -> Duration {
    cluster.processes().into_iter().filter_map(|id| machine::cpu_of(id).ok()).sum()
}

fn number(cluster: &Cluster, database: &str, sql: &str) -> Result<u64> {
    let text = cluster.sql(database, sql);
    text.trim().parse().with_context(|| format!("{sql}: {text}"))
}

#[derive(Default)]
struct Spent {
    cpu: Duration,
    events: u64,
}

impl Spent {
    fn add(&mut self, before: &Reading, after: &Reading) {
        self.cpu += after.cpu.saturating_sub(before.cpu);
        self.events += after.events - before.events;
    }
    fn us_per_event(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.events as f64
    }
}

/// Database CPU of copying the rows of `ves_events` into a table of the same form, in `transactions` parts.
///
/// The rows come from files of the server, so that no client's work is counted.
fn copy_us_per_event(cluster: &Cluster, database: &str, transactions: u64) -> Result<f64> {
    let rows = number(cluster, database, "SELECT count(*) FROM ves_events")?;
    let pages = number(
        cluster,
        database,
        "SELECT pg_relation_size('ves_events') / current_setting('block_size')::int8",
    )?;
    let folder = cluster.folder().join("data");
    let part = |n: u64| folder.join(format!("copy-{n}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let spent = runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&cluster.url(database), tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        for n in 0..transactions {
            let (from, to) = (pages * n / transactions, pages * (n + 1) / transactions);
            let rows = format!("SELECT * FROM ves_events WHERE ctid >= '({from},0)' AND ctid < '({to},0)'");
            client
                .batch_execute(&format!("COPY ({rows}) TO '{}' (FORMAT binary)", part(n).display()))
                .await?;
        }
        client.batch_execute("CREATE TABLE copied (LIKE ves_events INCLUDING ALL)").await?;
        client.batch_execute("CHECKPOINT").await?;
        let before = cpu(cluster);
        for n in 0..transactions {
            client
                .batch_execute(&format!("COPY copied FROM '{}' (FORMAT binary)", part(n).display()))
                .await?;
        }
        let spent = cpu(cluster).saturating_sub(before);
        let copied: i64 = client.query_one("SELECT count(*) FROM copied", &[]).await?.get(0);
        ensure!(copied as u64 == rows, "{copied} of {rows} rows were copied");
        client.batch_execute("DROP TABLE copied").await?;
        anyhow::Ok(spent)
    })?;
    for n in 0..transactions {
        std::fs::remove_file(part(n))?;
    }
    Ok(spent.as_secs_f64() * 1e6 / rows as f64)
}
