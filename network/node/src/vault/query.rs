//! What a participant asks of its own vault (14). Lists are pages of at most [`ROWS_MAX`] rows, each with the cursor of the
//! next.

use serde::Serialize;
use stateset_ledger_types::Code;
use stateset_ledger_types::body::OutputState;
use stateset_ledger_types::ids::{EntityId, LinearId, SpentKey, StateRef, TxId};
use stateset_peer::message::{FlowId, SignedTransaction};

use super::{ROWS_MAX, Vault, decode};
use crate::error::NodeError;
use crate::flow::{Entry, Flow};

/// Which states are asked for; what is not set does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateFilter {
    pub linear_id: Option<LinearId>,
    pub type_id: Option<u16>,
    /// Name of a status, as `ACCEPTED`.
    pub status: Option<String>,
    /// The vault's entity has this role, as `factor`.
    pub role: Option<String>,
    /// This entity has a role too.
    pub counterparty: Option<EntityId>,
    /// By its number.
    pub number: Option<String>,
    /// Notarised at or after, Unix milliseconds.
    pub from_ms: Option<u64>,
    /// Notarised before, Unix milliseconds.
    pub until_ms: Option<u64>,
    /// Only states that are not consumed, or only those that are.
    pub unspent: Option<bool>,
}

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where to go on; `None` at the end.
    pub next: Option<String>,
}

/// A state in the vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateView {
    pub place: StateRef,
    pub linear_id: Option<LinearId>,
    pub type_id: u16,
    pub contract_id: String,
    pub status: Option<String>,
    pub number: Option<String>,
    pub version: Option<u64>,
    pub height: u64,
    pub time_ms: u64,
    pub spent_key: SpentKey,
    pub consumer: Option<TxId>,
    pub state: OutputState,
}

/// A notarised transaction in the vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransactionView {
    pub tx_id: TxId,
    pub height: u64,
    pub index: u32,
    pub time_ms: u64,
    /// Whether the entity takes part, or it is an ancestor only.
    pub own: bool,
    /// Whether it was taken on attesters' word, without what is behind it.
    pub vouched: bool,
    pub signed: SignedTransaction,
}

/// Where a flow stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlowView {
    pub flow_id: FlowId,
    pub tx_id: TxId,
    pub phase: String,
    /// Who began it, where that is another.
    pub from: Option<EntityId>,
    pub began_ms: u64,
    pub changed_ms: u64,
    /// Whose signatures are missing.
    pub waits_for: Vec<EntityId>,
    /// How it ended, if it failed.
    pub code: Option<Code>,
    pub reason: Option<String>,
}

/// One step of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryItem {
    pub at_ms: u64,
    pub step: &'static str,
}

const STATE_COLUMNS: &str = "position, tx_id, output, linear_id, type_id, contract_id, status, number, version, height, \
                             time_ms, spent_key, consumer, state";

/// A row whose state is still to be decoded.
type StateRow = (i64, Vec<u8>, Box<dyn FnOnce(OutputState) -> StateView>);

impl Vault {
    /// States by filter, oldest first.
    ///
    /// # Errors
    /// [`NodeError::Cursor`].
    pub fn states(
        &self,
        filter: &StateFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<StateView>, NodeError> {
        let after = position(cursor)?;
        let limit = limit.clamp(1, ROWS_MAX);
        let mine = self.entity;
        let sql = format!(
            "SELECT {STATE_COLUMNS} FROM states WHERE position > ?1
             AND (?2 IS NULL OR linear_id = ?2) AND (?3 IS NULL OR type_id = ?3) AND (?4 IS NULL OR status = ?4)
             AND (?5 IS NULL OR EXISTS (SELECT 1 FROM roles WHERE roles.position = states.position AND role = ?5
                                        AND entity = ?6))
             AND (?7 IS NULL OR EXISTS (SELECT 1 FROM roles WHERE roles.position = states.position AND entity = ?7))
             AND (?8 IS NULL OR number = ?8) AND (?9 IS NULL OR time_ms >= ?9) AND (?10 IS NULL OR time_ms < ?10)
             AND (?11 IS NULL OR (consumer IS NULL) = ?11)
             ORDER BY position LIMIT ?12"
        );
        let values = rusqlite::params![
            after,
            filter.linear_id.map(|id| id.0),
            filter.type_id,
            filter.status,
            filter.role,
            mine.0,
            filter.counterparty.map(|id| id.0),
            filter.number,
            filter.from_ms,
            filter.until_ms,
            filter.unspent,
            limit + 1,
        ];
        let rows = self.rows("reading states", &sql, values, state_row)?;
        page(rows, limit, |(position, ..)| *position, |(_, state, view)| Ok(view(decode("state", &state)?)))
    }

    /// Every version of a linear state that the vault holds, oldest first.
    ///
    /// # Errors
    /// [`NodeError::Cursor`].
    pub fn history(
        &self,
        linear_id: &LinearId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<StateView>, NodeError> {
        let filter = StateFilter { linear_id: Some(*linear_id), ..StateFilter::default() };
        self.states(&filter, cursor, limit)
    }

    /// A notarised transaction with its place.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn transaction_view(&self, tx_id: &TxId) -> Result<Option<TransactionView>, NodeError> {
        let sql = "SELECT height, position, time_ms, own, signed, vouched FROM transactions WHERE tx_id = ?1";
        let read = |row: &rusqlite::Row<'_>| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get::<_, Vec<u8>>(4)?, row.get(5)?))
        };
        let found =
            self.optional("reading a transaction", self.connection.query_row(sql, [tx_id.0], read))?;
        let Some((height, index, time_ms, own, signed, vouched)) = found else { return Ok(None) };
        let signed = decode("transaction", &signed)?;
        Ok(Some(TransactionView { tx_id: *tx_id, height, index, time_ms, own, vouched, signed }))
    }

    /// Where a flow stands.
    ///
    /// # Errors
    /// [`NodeError::NoFlow`].
    pub fn flow_view(&self, id: &FlowId) -> Result<FlowView, NodeError> {
        let sql = "SELECT began_ms, changed_ms FROM flows WHERE flow_id = ?1";
        let found = self.connection.query_row(sql, [id.0], |row| Ok((row.get(0)?, row.get(1)?)));
        let times = self.optional("reading a flow", found)?.ok_or(NodeError::NoFlow(*id))?;
        let flow = self.flow(id)?.ok_or(NodeError::NoFlow(*id))?;
        Ok(view_of(&flow, times))
    }

    /// Flows by when they began, those that have not ended if `open`.
    ///
    /// # Errors
    /// [`NodeError::Cursor`].
    pub fn flows(&self, open: bool, cursor: Option<&str>, limit: usize) -> Result<Page<FlowView>, NodeError> {
        let after = position(cursor)?;
        let limit = limit.clamp(1, ROWS_MAX);
        // Where its journal begins is a flow's place in the list.
        let sql = "SELECT (SELECT min(position) FROM journal WHERE journal.flow_id = flows.flow_id) AS begin, flow_id,
                          began_ms, changed_ms FROM flows
                   WHERE begin > ?1 AND (NOT ?2 OR phase NOT IN ('final', 'ended')) ORDER BY begin LIMIT ?3";
        let read =
            |row: &rusqlite::Row<'_>| Ok((row.get(0)?, FlowId(row.get(1)?), (row.get(2)?, row.get(3)?)));
        let rows: Vec<(i64, FlowId, (u64, u64))> =
            self.rows("reading flows", sql, (after, open, limit + 1), read)?;
        page(
            rows,
            limit,
            |(position, ..)| *position,
            |(_, id, times)| Ok(view_of(&self.flow(&id)?.ok_or(NodeError::NoFlow(id))?, times)),
        )
    }

    /// The steps of a flow.
    ///
    /// # Errors
    /// [`NodeError::NoFlow`].
    pub fn flow_history(&self, id: &FlowId) -> Result<Vec<HistoryItem>, NodeError> {
        let sql = "SELECT at_ms, entry FROM journal WHERE flow_id = ?1 ORDER BY position";
        let rows = self
            .rows("reading the journal", sql, [id.0], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        if rows.is_empty() {
            return Err(NodeError::NoFlow(*id));
        }
        let item = |(at_ms, entry): (u64, Vec<u8>)| {
            Ok(HistoryItem { at_ms, step: decode::<Entry>("journal", &entry)?.name() })
        };
        rows.into_iter().map(item).collect()
    }
}

fn view_of(flow: &Flow, (began_ms, changed_ms): (u64, u64)) -> FlowView {
    let ended = flow.ended();
    FlowView {
        flow_id: flow.id,
        tx_id: flow.tx_id,
        phase: flow.phase.name().to_owned(),
        from: flow.from(),
        began_ms,
        changed_ms,
        waits_for: flow.waits_for(),
        code: ended.map(|ended| ended.code),
        reason: ended.map(|ended| ended.text.to_string()),
    }
}

fn state_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<StateRow> {
    let place = StateRef { tx_id: TxId(row.get(1)?), index: row.get(2)? };
    let linear_id = row.get::<_, Option<[u8; 16]>>(3)?.map(LinearId);
    let (type_id, contract_id) = (row.get(4)?, row.get(5)?);
    let (status, number, version) = (row.get(6)?, row.get(7)?, row.get(8)?);
    let (height, time_ms, spent_key) = (row.get(9)?, row.get(10)?, SpentKey(row.get(11)?));
    let consumer = row.get::<_, Option<[u8; 32]>>(12)?.map(TxId);
    let view = move |state| StateView {
        place,
        linear_id,
        type_id,
        contract_id,
        status,
        number,
        version,
        height,
        time_ms,
        spent_key,
        consumer,
        state,
    };
    Ok((row.get(0)?, row.get(13)?, Box::new(view)))
}

fn position(cursor: Option<&str>) -> Result<i64, NodeError> {
    let wrong = |text: &str| NodeError::Cursor(text.to_owned());
    cursor.map_or(Ok(0), |text| text.parse().map_err(|_| wrong(text)))
}

/// `rows` has one more than a page where there is a next one.
fn page<R, T>(
    mut rows: Vec<R>,
    limit: usize,
    position: impl Fn(&R) -> i64,
    read: impl FnMut(R) -> Result<T, NodeError>,
) -> Result<Page<T>, NodeError> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|last| position(last).to_string());
    Ok(Page { items: rows.into_iter().map(read).collect::<Result<_, _>>()?, next })
}
