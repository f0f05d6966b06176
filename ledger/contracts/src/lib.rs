//! What states of the shared ledger mean (network.md, sections 4.2, 9 and 11). This crate is pure: no clock, file, socket,
//! thread or random source; maps are ordered, numbers are integers. Section numbers in its comments are those of the
//! network specification.
//!
//! - the interface: a contract gets a [`TxView`] and accepts or refuses ([`contract`], [`registry`]);
//! - what is known of the network at one height, and was proven before: [`facts`];
//! - participants' validation of a whole transaction: [`validate`](mod@validate);
//! - business types as data: a [`Table`] of commands, statuses, signers and conditions drives the rules
//!   ([`state_type`], [`rules`]), the tests and the documents;
//! - making the next state: [`draft`](mod@draft);
//! - the types themselves: [`invoice`].

pub mod contract;
pub mod draft;
pub mod evidence;
pub mod facts;
pub mod invoice;
pub mod registry;
pub mod rules;
pub mod state_type;
pub mod table;
pub mod validate;

pub use contract::{CommandView, Contract, Seen, SignerView, TxView, Verdict};
pub use draft::{Draft, Move, assemble, draft};
pub use evidence::{PaymentEvidence, Proven};
pub use facts::Facts;
pub use invoice::{Invoice, InvoiceCommand, InvoiceStatus};
pub use state_type::{Ask, Head, StateType};
pub use table::{Condition, Holders, Role, Row, Signer, Status, Table};
pub use validate::{Resolved, Transaction, judge, validate};
