//! Commerce for language models: the tools, resources and prompts of an agent over the Model Context Protocol.
//!
//! ```text
//! stdio ─┐
//! HTTP ──┴► Server (protocol) ─► Desk ─► arguments ─► limits ─► Journal (first answers, approvals)
//!                                        └─ ports: Outbox (signed events), Entities (states), Service (proofs, payments),
//!                                                  Invoices (a company's node on the shared ledger)
//! ```
//!
//! Invariants:
//! - one table, [`TOOLS`], is behind the code, the schemas, the documentation and the tests: a tool that no engine stands
//!   behind has no row;
//! - a tool of the shared ledger is there only where a company's node is; its steps are that node's transactions;
//! - every change of an entity is an event that the agent signs, and it lies in the outbox before it is answered;
//! - an idempotency key is remembered on disk: a repetition gets the first answer, whatever happened between;
//! - what is worth more than the agent's own limit waits for a person, and no tool decides about it;
//! - amounts are integers of minor units inside, decimal text at the edges, never floating point;
//! - the crate prints nothing, reads no environment and holds no key.

mod answer;
mod arguments;
mod cursor;
mod desk;
mod docs;
mod form;
mod http;
mod invoices;
mod journal;
mod limits;
mod money;
mod port;
mod prompts;
mod resources;
mod schema;
mod server;
mod stdio;
mod sync;
mod table;
mod tools;

pub use answer::{CallError, Refusal};
pub use desk::{Clock, Desk, DeskConfig, Ports, SystemClock};
pub use docs::page;
pub use http::{Access, BODY_BYTES_MAX, CONNECTIONS_MAX, Door, DoorError, Token, TokenError};
pub use invoices::{InvoiceLine, InvoicePage, InvoicePlan, InvoiceQuery, InvoiceStep, Invoices, NewInvoice};
pub use journal::{Approval, ApprovalState, Journal, JournalError};
pub use limits::{Limit, Limits};
pub use money::{Money, exponent_of, is_currency};
pub use port::{
    Entities, Entity, EntryState, HistoryEvent, NewEvent, Outbox, PaymentOrder, PortError, Service,
    SyncReport, SyncStatus,
};
pub use prompts::PROMPTS;
pub use server::{CALLS_MAX, Server};
pub use sync::Syncer;
pub use table::{Argument, Effect, EntityId, Kind, Need, Step, TOOLS, Tool, Work, Worth, tool};
