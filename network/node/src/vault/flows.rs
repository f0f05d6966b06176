//! Flows: their journal, what is still to do for them, and the messages that arrived.

use rusqlite::Transaction as Sql;
use stateset_ledger_types::codec::Encode;
use stateset_ledger_types::ids::{EntityId, StateRef, TxId};
use stateset_peer::frame::{MessageType, SessionId};
use stateset_peer::message::{FlowId, Message};

use super::states::{Change, apply};
use super::{Vault, decode};
use crate::error::NodeError;
use crate::flow::{Effect, Entry, Flow};

/// One step of a flow, written as a whole: what happened, what is to be done about it, and which cause is settled by it.
pub struct Step<'a> {
    /// The flow after the step.
    pub flow: &'a Flow,
    pub now_ms: u64,
    pub entries: &'a [Entry],
    /// With the time from which each is due, Unix milliseconds.
    pub effects: &'a [(Effect, u64)],
    pub changes: &'a [Change],
    pub done: Done,
}

/// What a step settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// A call of the program that uses the node.
    Call,
    Letter(i64),
    Todo(i64),
}

/// An effect that follows from a journalled step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Todo {
    pub position: i64,
    pub flow_id: FlowId,
    pub attempts: u32,
    pub effect: Effect,
}

/// A message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub position: i64,
    pub from: EntityId,
    pub session: SessionId,
    pub message: Message,
}

impl Vault {
    /// Writes a step. Durable when it returns.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn step(&mut self, step: &Step<'_>) -> Result<(), NodeError> {
        let me = self.entity;
        self.write("writing a step of a flow", |sql| {
            write_flow(sql, step)?;
            let id = step.flow.id;
            for change in step.changes {
                apply(sql, &me, Some(&id), change)?;
            }
            for (effect, due_ms) in step.effects {
                put_todo(sql, &id, effect, *due_ms)?;
            }
            settle(sql, step.done)
        })
    }

    /// A flow as its journal tells it.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn flow(&self, id: &FlowId) -> Result<Option<Flow>, NodeError> {
        let entries = self.entries(id)?;
        Ok(Flow::replay(&entries))
    }

    /// The journal of a flow.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn entries(&self, id: &FlowId) -> Result<Vec<Entry>, NodeError> {
        let sql = "SELECT entry FROM journal WHERE flow_id = ?1 ORDER BY position";
        let rows = self.rows("reading the journal", sql, [id.0], |row| row.get::<_, Vec<u8>>(0))?;
        rows.iter().map(|entry| decode("journal", entry)).collect()
    }

    /// The flow that is held in a session.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn flow_of(&self, session: SessionId) -> Result<Option<FlowId>, NodeError> {
        let sql = "SELECT flow_id FROM flows WHERE session = ?1";
        let found = self.connection.query_row(sql, [session.0.to_be_bytes()], |row| row.get(0).map(FlowId));
        self.optional("reading a flow", found)
    }

    /// The flow with a transaction.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn flow_with(&self, tx_id: &TxId) -> Result<Option<FlowId>, NodeError> {
        let sql = "SELECT flow_id FROM flows WHERE tx_id = ?1 LIMIT 1";
        let found = self.connection.query_row(sql, [tx_id.0], |row| row.get(0).map(FlowId));
        self.optional("reading a flow", found)
    }

    /// A flow that is not over and would consume `place`.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn open_flow_on(&self, place: &StateRef) -> Result<Option<FlowId>, NodeError> {
        let sql = "SELECT flow_id FROM flows WHERE phase NOT IN ('final', 'ended')";
        let open: Vec<FlowId> = self.rows("reading flows", sql, [], |row| row.get(0).map(FlowId))?;
        for id in open {
            let flow = self.flow(&id)?;
            if flow.is_some_and(|flow| flow.whole.body.body.inputs.contains(place)) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// The effect that is due first, and when it is due where that is not yet.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn next_todo(&self) -> Result<Option<(Todo, u64)>, NodeError> {
        let sql =
            "SELECT position, flow_id, attempts, effect, due_ms FROM todo ORDER BY due_ms, position LIMIT 1";
        let read = |row: &rusqlite::Row<'_>| {
            let effect: Vec<u8> = row.get(3)?;
            Ok((row.get(0)?, FlowId(row.get(1)?), row.get(2)?, effect, row.get(4)?))
        };
        let found = self.connection.query_row(sql, [], read);
        let Some((position, flow_id, attempts, effect, due)) =
            self.optional("reading what is to do", found)?
        else {
            return Ok(None);
        };
        let effect = decode("effect", &effect)?;
        Ok(Some((Todo { position, flow_id, attempts, effect }, due)))
    }

    /// An effect that could not be done yet is tried again from `due_ms` on.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn postpone(&mut self, position: i64, due_ms: u64) -> Result<(), NodeError> {
        let sql = "UPDATE todo SET due_ms = ?1, attempts = attempts + 1 WHERE position = ?2";
        self.write("postponing", |connection| connection.execute(sql, (due_ms, position)).map(|_| ()))
    }

    /// An effect is done, or no longer of use.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn settle(&mut self, done: Done) -> Result<(), NodeError> {
        self.write("settling", |sql| settle(sql, done))
    }

    /// Keeps a message; after this it may be acknowledged.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn keep_letter(
        &mut self,
        from: &EntityId,
        session: SessionId,
        message: &Message,
    ) -> Result<(), NodeError> {
        let values = (from.0, session.0.to_be_bytes(), message.kind().code(), message.payload());
        let sql = "INSERT INTO inbox (peer, session, kind, payload) VALUES (?1, ?2, ?3, ?4)";
        self.write("keeping a message", |connection| connection.execute(sql, values).map(|_| ()))
    }

    /// The message that arrived first.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn next_letter(&self) -> Result<Option<Letter>, NodeError> {
        let sql = "SELECT position, peer, session, kind, payload FROM inbox ORDER BY position LIMIT 1";
        let read = |row: &rusqlite::Row<'_>| {
            let (kind, payload): (u16, Vec<u8>) = (row.get(3)?, row.get(4)?);
            let session = SessionId(u64::from_be_bytes(row.get(2)?));
            Ok((row.get(0)?, EntityId(row.get(1)?), session, kind, payload))
        };
        let found = self.connection.query_row(sql, [], read);
        let Some((position, from, session, kind, payload)) = self.optional("reading a message", found)?
        else {
            return Ok(None);
        };
        let kind = MessageType::from_code(kind).expect("kept with the code of a type");
        let message = Message::decode(kind, &payload)
            .map_err(|problem| NodeError::Damaged { what: "message", problem })?;
        Ok(Some(Letter { position, from, session, message }))
    }
}

fn write_flow(sql: &Sql<'_>, step: &Step<'_>) -> rusqlite::Result<()> {
    let (flow, now) = (step.flow, step.now_ms);
    sql.execute(
        "INSERT INTO flows VALUES (?1, ?2, ?3, ?4, ?5, ?5)
         ON CONFLICT (flow_id) DO UPDATE SET phase = excluded.phase, changed_ms = excluded.changed_ms",
        (flow.id.0, flow.session().0.to_be_bytes(), flow.tx_id.0, flow.phase.name(), now),
    )?;
    let mut insert = sql.prepare_cached("INSERT INTO journal (flow_id, at_ms, entry) VALUES (?1, ?2, ?3)")?;
    step.entries.iter().try_for_each(|entry| insert.execute((flow.id.0, now, entry.to_sce())).map(|_| ()))
}

/// A flow waits for the ledger once at a time: what is to be looked at again is brought forward, not doubled.
fn put_todo(sql: &Sql<'_>, flow: &FlowId, effect: &Effect, due_ms: u64) -> rusqlite::Result<()> {
    let bytes = effect.to_sce();
    if matches!(effect, Effect::Await(())) {
        let update =
            "UPDATE todo SET due_ms = min(due_ms, ?1), attempts = 0 WHERE flow_id = ?2 AND effect = ?3";
        if sql.execute(update, (due_ms, flow.0, &bytes))? > 0 {
            return Ok(());
        }
    }
    let insert = "INSERT INTO todo (flow_id, due_ms, effect) VALUES (?1, ?2, ?3)";
    sql.execute(insert, (flow.0, due_ms, bytes)).map(|_| ())
}

fn settle(sql: &Sql<'_>, done: Done) -> rusqlite::Result<()> {
    match done {
        Done::Call => Ok(()),
        Done::Letter(position) => {
            sql.execute("DELETE FROM inbox WHERE position = ?1", [position]).map(|_| ())
        }
        Done::Todo(position) => sql.execute("DELETE FROM todo WHERE position = ?1", [position]).map(|_| ()),
    }
}
