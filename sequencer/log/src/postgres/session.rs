//! The writer's own connection: transactions that are sent whole, and answered once.

use std::borrow::Cow;
use std::collections::HashMap;

use futures_util::future::{BoxFuture, join_all};
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement};

use super::config::Place;
use super::connect::Tls;

/// A value of a statement.
pub(super) type Param<'a> = Box<dyn ToSql + Sync + Send + 'a>;

/// One statement of a transaction.
pub(super) struct Step<'a> {
    sql: Cow<'static, str>,
    params: Vec<Param<'a>>,
}

impl<'a> Step<'a> {
    pub fn new(sql: impl Into<Cow<'static, str>>, params: Vec<Param<'a>>) -> Self {
        Self { sql: sql.into(), params }
    }
}

/// When a transaction is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durable {
    /// When it is answered.
    Now,
    /// With the next one that is durable when answered.
    WithNext,
}

/// A transaction that did not come about, and what is known of it.
pub(super) struct Failed {
    pub error: Error,
    /// Whether the server surely kept nothing of it.
    pub is_undone: bool,
}

const FENCE: &str = "SELECT sequencer_fence($1)";

/// Raises what a server or a role was set to, where commits would not wait for the disk (decision 13). A setting that
/// waits for more than this machine's disk stays.
const SYNCHRONOUS: &str = "SELECT set_config('synchronous_commit', 'on', false) \
    WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')";

/// A statement whose BEGIN failed would be a transaction of its own, beside the fence. So the session only reads unless
/// a transaction says that it writes.
const READS_BY_DEFAULT: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY";

pub(super) struct Session {
    client: Client,
    connection: JoinHandle<()>,
    statements: HashMap<String, Statement>,
}

impl Session {
    pub async fn connect(place: &Place, tls: Tls) -> Result<Self, Error> {
        let (client, connection) = place.config.connect(tls).await?;
        let connection = tokio::spawn(async move {
            // Each request that was waiting learns of the end itself.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the writer's connection ended");
            }
        });
        client.batch_execute(SYNCHRONOUS).await?;
        client.batch_execute(READS_BY_DEFAULT).await?;
        Ok(Self { client, connection, statements: HashMap::new() })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub async fn statement(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(known) = self.statements.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Runs all steps under the fence in one transaction, in one round trip once their statements are prepared.
    ///
    /// Everything is sent before anything is answered. Where a step fails the server ignores the rest and turns the
    /// COMMIT into a ROLLBACK, so the first error tells the cause. That holds only where there is a transaction: where
    /// BEGIN itself fails, or is cancelled, every step fails by itself, since the session only reads by default.
    pub async fn transaction(
        &mut self,
        epoch: i64,
        durable: Durable,
        steps: Vec<Step<'_>>,
    ) -> Result<(), Failed> {
        // Until BEGIN nothing is sent that changes anything.
        let unsent = |error| Failed { error, is_undone: true };
        let fence = self.statement(FENCE).await.map_err(unsent)?;
        let mut statements = Vec::with_capacity(steps.len());
        for step in &steps {
            statements.push(self.statement(&step.sql).await.map_err(unsent)?);
        }
        let begin = match durable {
            Durable::Now => "BEGIN READ WRITE",
            Durable::WithNext => "BEGIN READ WRITE; SET LOCAL synchronous_commit = off",
        };
        let client = &self.client;
        let mut requests: Vec<BoxFuture<'_, Result<(), Error>>> = vec![
            Box::pin(client.batch_execute(begin)),
            Box::pin(async { client.execute_raw(&fence, [epoch]).await.map(drop) }),
        ];
        for (step, statement) in steps.into_iter().zip(&statements) {
            requests
                .push(Box::pin(async move { client.execute_raw(statement, step.params).await.map(drop) }));
        }
        requests.push(Box::pin(client.batch_execute("COMMIT")));
        // Each request is sent when it is first polled, which happens in this order.
        let mut answers = join_all(requests).await;
        let commit = answers.pop().expect("COMMIT is the last");
        let has_begun = answers.first().is_some_and(Result::is_ok);
        let failed = answers.into_iter().find_map(Result::err);
        match (failed, commit) {
            (None, Ok(())) => Ok(()),
            // The COMMIT of a transaction that failed is answered, as a ROLLBACK.
            (Some(error), Ok(())) => Err(Failed { error, is_undone: has_begun }),
            (Some(error), Err(_)) | (None, Err(error)) => Err(Failed { error, is_undone: false }),
        }
    }

    /// Ends the session in good order, so that the server gives up what it holds without waiting for a time-out.
    pub async fn end(self) {
        let Self { client, connection, statements } = self;
        // A statement closes itself through its client.
        drop(statements);
        drop(client);
        let _ = connection.await;
    }
}
