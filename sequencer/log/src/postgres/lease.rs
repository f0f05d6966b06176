//! Who writes: one epoch at a time, held by a session and by a time.
//!
//! Safety is the fence alone: every write checks the epoch under a lock, and a take-over raises it before it reads
//! anything. The two signs of life only say when a take-over is in place: the advisory lock is given up by the server
//! as soon as it notices the end of the writer's session, and the time of the last renewal tells of a writer whose
//! machine is gone while its session still stands.

use std::time::{Duration, Instant};

use tokio_postgres::{Client, Error, Row};

use crate::event_store::{Holder, PeerSecret};

/// The lock belongs to the table, so that several logs may lie in one server or database.
const LOCK_KEYS: &str = "1937007988, 'sequencer_writer'::regclass::oid::integer";

/// How long the end of a session that was told to end is waited for.
const END_TRIES: u32 = 50;
const END_WAIT: Duration = Duration::from_millis(20);

/// What this session holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    pub epoch: i64,
    pub holds_lock: bool,
    /// From when on it counts: a moment before the server's own time.
    pub taken_at: Instant,
}

pub(super) enum Taking {
    Taken(Hold),
    Held(Holder),
}

/// The writer's row, and whether this session got the lock just now.
struct Seen {
    epoch: i64,
    holder: Holder,
    holds_lock: bool,
    is_over: bool,
    got_lock: bool,
}

/// Takes the log over, unless another process writes it.
pub(super) async fn take(client: &Client, me: &Holder, lease_ms: u64) -> Result<Taking, Error> {
    let seen = look(client).await?;
    // Own sessions of before are over: a process has one writer. A lock that was had for nothing while its writer
    // lives happens where that writer could not get it, since the session before it would not end.
    let is_free = seen.is_over || seen.holder.instance == me.instance || (seen.got_lock && seen.holds_lock);
    if !is_free {
        if seen.got_lock {
            unlock(client).await?;
        }
        return Ok(Taking::Held(seen.holder));
    }
    let holds_lock = seen.got_lock || end_session(client, seen.epoch).await?;
    let taken_at = Instant::now();
    match raise_epoch(client, seen.epoch, holds_lock, me, lease_ms).await? {
        Some(epoch) => Ok(Taking::Taken(Hold { epoch, holds_lock, taken_at })),
        None => {
            if holds_lock {
                unlock(client).await?;
            }
            Ok(Taking::Held(look_only(client).await?))
        }
    }
}

async fn look(client: &Client) -> Result<Seen, Error> {
    let sql = format!(
        "SELECT epoch, instance, rest, grpc, holds_lock, renewed_at IS NULL \
         OR clock_timestamp() - renewed_at > lease_ms * interval '1 millisecond', pg_try_advisory_lock({LOCK_KEYS}), \
         secret FROM sequencer_writer"
    );
    let row = client.query_one(&sql, &[]).await?;
    Ok(Seen {
        epoch: row.try_get(0)?,
        holder: Holder {
            instance: row.try_get(1)?,
            rest: row.try_get(2)?,
            grpc: row.try_get(3)?,
            secret: secret(&row, 7)?,
        },
        holds_lock: row.try_get(4)?,
        is_over: row.try_get(5)?,
        got_lock: row.try_get(6)?,
    })
}

async fn look_only(client: &Client) -> Result<Holder, Error> {
    let row = client.query_one("SELECT instance, rest, grpc, secret FROM sequencer_writer", &[]).await?;
    Ok(Holder {
        instance: row.try_get(0)?,
        rest: row.try_get(1)?,
        grpc: row.try_get(2)?,
        secret: secret(&row, 3)?,
    })
}

/// One of another length is none: whoever shows it is not believed.
fn secret(row: &Row, column: usize) -> Result<Option<PeerSecret>, Error> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map(PeerSecret::new))
}

/// Ends the session that wrote in `epoch`, and no other, where that is allowed. Its open transaction then cannot hold
/// the take-over up. Returns whether the lock could be had after that.
async fn end_session(client: &Client, epoch: i64) -> Result<bool, Error> {
    let ended = client
        .execute(
            "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN sequencer_writer w \
             ON a.pid = w.backend_pid AND a.backend_start = w.backend_start \
             WHERE w.epoch = $1 AND a.pid <> pg_backend_pid()",
            &[&epoch],
        )
        .await;
    if let Err(error) = ended {
        if error.as_db_error().is_none() {
            return Err(error);
        }
        tracing::warn!(%error, "the session of the writer before cannot be ended; its epoch is over all the same");
    }
    for _ in 0..END_TRIES {
        let is_locked = try_lock(client).await?;
        let is_same: bool =
            client.query_one("SELECT epoch = $1 FROM sequencer_writer", &[&epoch]).await?.try_get(0)?;
        if is_locked || !is_same {
            return Ok(is_locked);
        }
        tokio::time::sleep(END_WAIT).await;
    }
    Ok(false)
}

/// `None`: another process was faster.
async fn raise_epoch(
    client: &Client,
    seen: i64,
    holds_lock: bool,
    me: &Holder,
    lease_ms: u64,
) -> Result<Option<i64>, Error> {
    let lease_ms = i64::try_from(lease_ms).unwrap_or(i64::MAX);
    let secret = me.secret.as_ref().map(|secret| secret.as_bytes().as_slice());
    // Every session that may write only reads by default.
    client.batch_execute("BEGIN READ WRITE").await?;
    let row = client
        .query_opt(
            "UPDATE sequencer_writer SET epoch = epoch + 1, instance = $2, rest = $3, grpc = $4, holds_lock = $5, \
             lease_ms = $6, secret = $7, backend_pid = pg_backend_pid(), renewed_at = clock_timestamp(), \
             backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()) \
             WHERE epoch = $1 RETURNING epoch",
            &[&seen, &me.instance, &me.rest, &me.grpc, &holds_lock, &lease_ms, &secret],
        )
        .await?;
    client.batch_execute("COMMIT").await?;
    row.map(|row| row.try_get(0)).transpose()
}

pub(super) async fn try_lock(client: &Client) -> Result<bool, Error> {
    client.query_one(&format!("SELECT pg_try_advisory_lock({LOCK_KEYS})"), &[]).await?.try_get(0)
}

async fn unlock(client: &Client) -> Result<(), Error> {
    client.execute(&format!("SELECT pg_advisory_unlock({LOCK_KEYS})"), &[]).await.map(drop)
}

/// Says that the writer lives.
pub(super) const RENEW: &str =
    "UPDATE sequencer_writer SET renewed_at = clock_timestamp(), holds_lock = $2 WHERE epoch = $1";

/// Says that no one writes any more.
pub(super) const RELEASE: &str = "UPDATE sequencer_writer SET renewed_at = NULL WHERE epoch = $1";
