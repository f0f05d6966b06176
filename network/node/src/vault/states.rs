//! Transactions and states: what a notarised transaction changes, and what the vault's digest is of.

use std::collections::BTreeSet;

use rusqlite::Transaction as Sql;
use stateset_contracts::{Invoice, Resolved, StateType};
use stateset_ledger_types::body::{OutputState, Participant};
use stateset_ledger_types::codec::Encode;
use stateset_ledger_types::hash::{Domain, hasher};
use stateset_ledger_types::ids::{EntityId, SpentKey, StateRef, TxId};
use stateset_peer::message::{FlowId, SignedTransaction, Whole};
use ves::Digest;

use super::{Vault, decode};
use crate::error::NodeError;

/// A notarised transaction that was found valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub tx_id: TxId,
    pub height: u64,
    /// Place in the block.
    pub index: u32,
    /// Of the block, Unix milliseconds.
    pub time_ms: u64,
    /// Entities of its inputs and outputs.
    pub members: BTreeSet<EntityId>,
    pub whole: Whole,
    pub signed: SignedTransaction,
    /// Taken on the word of attesters, without what is behind it.
    pub vouched: bool,
}

/// What a step of a flow changes besides the flow.
#[derive(Debug, Clone)]
pub enum Change {
    /// A transaction may become one: its participants may ask for what it rests on (8.3).
    Open {
        whole: Box<Whole>,
        members: BTreeSet<EntityId>,
    },
    /// These may read it, and what is behind it, without taking part.
    Read {
        tx_id: TxId,
        readers: Vec<EntityId>,
    },
    /// Its inputs are not to be consumed by another.
    Lock(Vec<StateRef>),
    /// It is dead: its inputs are free again.
    Close,
    Record(Box<Recorded>),
}

/// What a state's content says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub status: &'static str,
    pub number: String,
    pub version: u64,
    pub roles: Vec<(&'static str, EntityId)>,
}

/// Reads a state's content, where a contract of this program has its type.
pub fn describe(state: &OutputState) -> Option<Description> {
    fn of<C: StateType>(state: &OutputState) -> Option<Description> {
        let content = C::from_sce(&state.content).ok()?;
        let (table, head) = (C::table(), content.head());
        let roles = table.roles.iter().enumerate();
        Some(Description {
            status: table.status_name(head.status),
            number: head.number.to_string(),
            version: head.version,
            roles: roles.filter_map(|(role, name)| Some((*name, content.role(role)?))).collect(),
        })
    }
    if state.type_id == Invoice::table().type_id { of::<Invoice>(state) } else { None }
}

/// Entities that take part in a state. One-time keys are bound to entities elsewhere (1.2).
pub fn entities(state: &OutputState) -> impl Iterator<Item = EntityId> + '_ {
    state.participants.iter().filter_map(|participant| match participant {
        Participant::Entity(id) => Some(*id),
        Participant::OneTimeKey(_) => None,
    })
}

/// Everyone that takes part in an input or output.
pub fn members(whole: &Whole, inputs: &[Resolved]) -> BTreeSet<EntityId> {
    let consumed = inputs.iter().flat_map(|input| entities(&input.output));
    consumed.chain(whole.body.body.outputs.iter().flat_map(entities)).collect()
}

pub(super) fn apply(
    sql: &Sql<'_>,
    me: &EntityId,
    flow: Option<&FlowId>,
    change: &Change,
) -> rusqlite::Result<()> {
    let flow = flow.map(|flow| flow.0).unwrap_or_default();
    match change {
        Change::Open { whole, members } => edges(sql, &whole.body.tx_id(whole.mode), whole, members),
        Change::Lock(inputs) => {
            let mut insert = sql.prepare_cached("INSERT OR IGNORE INTO locks VALUES (?1, ?2, ?3)")?;
            inputs.iter().try_for_each(|input| insert.execute((input.tx_id.0, input.index, flow)).map(|_| ()))
        }
        Change::Read { tx_id, readers } => {
            let mut insert = sql.prepare_cached("INSERT OR IGNORE INTO readers VALUES (?1, ?2)")?;
            readers.iter().try_for_each(|reader| insert.execute((tx_id.0, reader.0)).map(|_| ()))
        }
        Change::Close => {
            sql.execute("DELETE FROM locks WHERE flow_id = ?1", [flow])?;
            // What was notarised stays, whatever became of a flow with it.
            let of_flow = "SELECT tx_id FROM flows WHERE flow_id = ?1 AND tx_id NOT IN (SELECT tx_id FROM transactions)";
            sql.execute(&format!("DELETE FROM inputs WHERE consumer IN ({of_flow})"), [flow])?;
            sql.execute(&format!("DELETE FROM members WHERE tx_id IN ({of_flow})"), [flow])?;
            sql.execute(&format!("DELETE FROM readers WHERE tx_id IN ({of_flow})"), [flow])?;
            Ok(())
        }
        Change::Record(recorded) => {
            record(sql, me, recorded)?;
            sql.execute("DELETE FROM locks WHERE flow_id = ?1", [flow])?;
            Ok(())
        }
    }
}

fn edges(sql: &Sql<'_>, tx_id: &TxId, whole: &Whole, members: &BTreeSet<EntityId>) -> rusqlite::Result<()> {
    let mut insert = sql.prepare_cached("INSERT OR IGNORE INTO inputs VALUES (?1, ?2, ?3, ?4)")?;
    for (place, input) in (0u32..).zip(whole.body.body.inputs.iter()) {
        insert.execute((tx_id.0, place, input.tx_id.0, input.index))?;
    }
    let mut insert = sql.prepare_cached("INSERT OR IGNORE INTO members VALUES (?1, ?2)")?;
    members.iter().try_for_each(|member| insert.execute((tx_id.0, member.0)).map(|_| ()))
}

fn record(sql: &Sql<'_>, me: &EntityId, recorded: &Recorded) -> rusqlite::Result<()> {
    let (tx_id, own) = (recorded.tx_id, recorded.members.contains(me));
    let new = sql.execute(
        "INSERT OR IGNORE INTO transactions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            tx_id.0,
            recorded.height,
            recorded.index,
            recorded.time_ms,
            recorded.signed.to_sce(),
            own,
            recorded.vouched,
        ),
    )?;
    if new == 0 {
        return checked(sql, recorded);
    }
    edges(sql, &tx_id, &recorded.whole, &recorded.members)?;
    let mut consume =
        sql.prepare_cached("UPDATE states SET consumer = ?1 WHERE tx_id = ?2 AND output = ?3")?;
    for input in recorded.whole.body.body.inputs.iter() {
        consume.execute((tx_id.0, input.tx_id.0, input.index))?;
    }
    for (index, output) in (0u32..).zip(recorded.whole.body.body.outputs.iter()) {
        if entities(output).any(|entity| entity == *me) {
            insert_state(sql, recorded, index, output)?;
        }
    }
    Ok(())
}

/// What was taken on attesters' word before is now found valid here; who took part in its inputs is known now.
fn checked(sql: &Sql<'_>, recorded: &Recorded) -> rusqlite::Result<()> {
    if recorded.vouched {
        return Ok(());
    }
    let update = "UPDATE transactions SET vouched = 0 WHERE tx_id = ?1 AND vouched = 1";
    if sql.execute(update, [recorded.tx_id.0])? > 0 {
        edges(sql, &recorded.tx_id, &recorded.whole, &recorded.members)?;
    }
    Ok(())
}

fn insert_state(
    sql: &Sql<'_>,
    recorded: &Recorded,
    index: u32,
    output: &OutputState,
) -> rusqlite::Result<()> {
    let resolved = Resolved::of(&recorded.whole.body, &recorded.tx_id, index).expect("an output of the body");
    let said = describe(output);
    // A descendant may be known already, where history is recovered from its end.
    let consumer: Option<[u8; 32]> = sql
        .query_row(
            "SELECT consumer FROM inputs JOIN transactions ON transactions.tx_id = consumer
             WHERE inputs.tx_id = ?1 AND output = ?2",
            (recorded.tx_id.0, index),
            |row| row.get(0),
        )
        .map(Some)
        .or_else(|error| if error == rusqlite::Error::QueryReturnedNoRows { Ok(None) } else { Err(error) })?;
    sql.execute(
        "INSERT INTO states (tx_id, output, linear_id, type_id, contract_id, status, number, version, height, time_ms,
                             spent_key, consumer, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        rusqlite::params![
            recorded.tx_id.0,
            index,
            output.linear_id.map(|id| id.0),
            output.type_id,
            output.contract_id.as_str(),
            said.as_ref().map(|said| said.status),
            said.as_ref().map(|said| said.number.as_str()),
            said.as_ref().map(|said| said.version),
            recorded.height,
            recorded.time_ms,
            resolved.nullifier().spent_key().0,
            consumer,
            output.to_sce(),
        ],
    )?;
    let position = sql.last_insert_rowid();
    let mut insert = sql.prepare_cached("INSERT OR IGNORE INTO roles VALUES (?1, ?2, ?3)")?;
    for (role, entity) in said.map(|said| said.roles).unwrap_or_default() {
        insert.execute((position, role, entity.0))?;
    }
    Ok(())
}

impl Vault {
    /// Keeps a transaction that no flow of this node made: one that was resolved or recovered.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn record(&mut self, recorded: Recorded) -> Result<(), NodeError> {
        let me = self.entity;
        let change = Change::Record(Box::new(recorded));
        self.write("recording a transaction", |sql| apply(sql, &me, None, &change))
    }

    /// A notarised transaction that was found valid before.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn transaction(&self, tx_id: &TxId) -> Result<Option<SignedTransaction>, NodeError> {
        let sql = "SELECT signed FROM transactions WHERE tx_id = ?1";
        let found = self.connection.query_row(sql, [tx_id.0], |row| row.get::<_, Vec<u8>>(0));
        let bytes = self.optional("reading a transaction", found)?;
        bytes.map(|bytes| decode("transaction", &bytes)).transpose()
    }

    /// Of `tx_id` and the transactions behind it, those that were taken on attesters' word.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn vouched_behind(&self, tx_id: &TxId) -> Result<Vec<TxId>, NodeError> {
        // Most vaults have none, and histories are long.
        let any = self.rows(
            "reading transactions",
            "SELECT 1 FROM transactions WHERE vouched = 1 LIMIT 1",
            [],
            |_| Ok(()),
        )?;
        if any.is_empty() {
            return Ok(Vec::new());
        }
        let sql = "WITH RECURSIVE behind (tx_id) AS (
                       SELECT ?1 UNION SELECT inputs.tx_id FROM inputs JOIN behind ON inputs.consumer = behind.tx_id
                   )
                   SELECT tx_id FROM transactions WHERE vouched = 1 AND tx_id IN behind ORDER BY tx_id";
        self.rows("reading transactions", sql, [tx_id.0], |row| row.get(0).map(TxId))
    }

    /// The unspent state at `place`, of which the entity takes part.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn unspent(&self, place: &StateRef) -> Result<Option<OutputState>, NodeError> {
        let sql = "SELECT state FROM states WHERE tx_id = ?1 AND output = ?2 AND consumer IS NULL";
        let key = (place.tx_id.0, place.index);
        let found = self.connection.query_row(sql, key, |row| row.get::<_, Vec<u8>>(0));
        let bytes = self.optional("reading a state", found)?;
        bytes.map(|bytes| decode("state", &bytes)).transpose()
    }

    /// Which state a reference tag names, among those of the vault.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn place_of(&self, spent: &SpentKey) -> Result<Option<StateRef>, NodeError> {
        let sql = "SELECT tx_id, output FROM states WHERE spent_key = ?1";
        let read = |row: &rusqlite::Row<'_>| Ok(StateRef { tx_id: TxId(row.get(0)?), index: row.get(1)? });
        let found = self.connection.query_row(sql, [spent.0], read);
        self.optional("reading a state", found)
    }

    /// The flow that has signed away `place`, if one has.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn lock_of(&self, place: &StateRef) -> Result<Option<FlowId>, NodeError> {
        let sql = "SELECT flow_id FROM locks WHERE tx_id = ?1 AND output = ?2";
        let found =
            self.connection.query_row(sql, (place.tx_id.0, place.index), |row| row.get(0).map(FlowId));
        self.optional("reading a lock", found)
    }

    /// Every unspent state with its spent key.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn unspent_keys(&self) -> Result<Vec<(StateRef, SpentKey)>, NodeError> {
        let sql = "SELECT tx_id, output, spent_key FROM states WHERE consumer IS NULL ORDER BY position";
        self.rows("reading states", sql, [], |row| {
            Ok((StateRef { tx_id: TxId(row.get(0)?), index: row.get(1)? }, SpentKey(row.get(2)?)))
        })
    }

    /// The ledger says that `place` was consumed, by a transaction of which nothing else is known here.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn consumed(&mut self, place: &StateRef, consumer: &TxId) -> Result<(), NodeError> {
        let sql = "UPDATE states SET consumer = ?1 WHERE tx_id = ?2 AND output = ?3";
        let values = (consumer.0, place.tx_id.0, place.index);
        self.write("marking a state as consumed", |connection| connection.execute(sql, values).map(|_| ()))
    }

    /// Hash over the unspent states, by place: two vaults of an entity with the same digest hold the same (8.5).
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn digest(&self) -> Result<Digest, NodeError> {
        let sql = "SELECT tx_id, output, spent_key, state FROM states WHERE consumer IS NULL ORDER BY tx_id, output";
        let rows = self.rows("reading states", sql, [], |row| {
            let place = StateRef { tx_id: TxId(row.get(0)?), index: row.get(1)? };
            Ok((place, SpentKey(row.get(2)?), row.get::<_, Vec<u8>>(3)?))
        })?;
        let mut preimage = (rows.len() as u32).to_sce();
        for (place, spent, state) in &rows {
            place.encode(&mut preimage);
            spent.encode(&mut preimage);
            // Already in its canonical encoding.
            preimage.extend_from_slice(state);
        }
        Ok(hasher(Domain::Vault).bytes(&self.entity.0).bytes(&preimage).finish())
    }
}
