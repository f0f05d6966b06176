//! What the nodes answer, as far as programs use it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stateset_contracts::Invoice;
use stateset_ledger_types::ids::{EntityId, LinearId, StateRef, TxId};

use crate::error::CallError;

/// A page of a list; `next` is the cursor of the one after it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// A version of an invoice in a company's vault.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Held {
    pub place: StateRef,
    pub linear_id: LinearId,
    pub status: Option<String>,
    pub number: Option<String>,
    pub version: Option<u64>,
    pub height: u64,
    /// Of the block, in Unix milliseconds.
    pub time_ms: u64,
    pub consumer: Option<TxId>,
    /// `None`: of a later version of the contract.
    pub content: Option<Invoice>,
}

impl Held {
    pub fn status(&self) -> &str {
        self.status.as_deref().unwrap_or("?")
    }

    /// # Errors
    /// Of a later version of the contract.
    pub fn invoice(&self) -> Result<&Invoice, CallError> {
        let said = || format!("{} is an invoice of a kind that this program does not know", self.linear_id);
        self.content.as_ref().ok_or_else(|| CallError::Unreadable(said()))
    }
}

/// A flow, as a node shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Flow {
    pub flow_id: String,
    pub tx_id: TxId,
    pub phase: String,
    /// Who proposes it; `None`: this company.
    pub from: Option<EntityId>,
    pub code: Option<Value>,
    pub reason: Option<String>,
    pub linear_id: Option<LinearId>,
    pub commands: Vec<String>,
    pub content: Option<Invoice>,
    pub waits_for: Vec<EntityId>,
    /// Whether only persons can go on with it.
    pub undecided: bool,
}

impl Flow {
    pub fn is_final(&self) -> bool {
        self.phase == "final"
    }

    pub fn is_over(&self) -> bool {
        self.is_final() || self.phase == "ended"
    }

    /// Whether a person of this company has to say yes or no.
    pub fn is_asked(&self) -> bool {
        self.phase == "deciding"
    }

    /// What it does, as `Create`.
    pub fn step(&self) -> &str {
        self.commands.first().and_then(|command| command.rsplit(' ').next()).unwrap_or("?")
    }

    /// Whether it is named by this flow's id, invoice's number or invoice's id.
    pub fn is_about(&self, reference: &str) -> bool {
        self.flow_id == reference
            || self.content.as_ref().is_some_and(|invoice| *invoice.head.number == *reference)
            || self.linear_id.is_some_and(|id| id.to_string() == reference)
    }

    /// Whether its proposer took it back.
    pub fn is_withdrawn(&self) -> bool {
        self.ended().1.starts_with("withdrawn: ")
    }

    /// Code and reason of one that ended.
    pub fn ended(&self) -> (String, String) {
        let code = self.code.as_ref().and_then(Value::as_str).unwrap_or("REFUSED").to_owned();
        let reason = self.reason.as_deref().unwrap_or_default();
        // What another company's node says begins with the code.
        let said = reason.strip_prefix(&format!("{code}: ")).unwrap_or(reason).to_owned();
        (code, said)
    }
}
