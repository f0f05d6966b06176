//! What a row of the table of tools is. The rows are in [`crate::tools`].

use crate::tools;

/// Every tool. Schemas, the page of the book and the tests come from these rows.
pub static TOOLS: &[&[Tool]] = &[
    tools::PRODUCTS,
    tools::INVENTORY,
    tools::CUSTOMERS,
    tools::ORDERS,
    tools::RETURNS,
    tools::PAYMENTS,
    tools::INVOICES,
    tools::RECORDS,
];

/// The tool of a name.
pub fn tool(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().flat_map(|group| group.iter()).find(|tool| tool.name == name)
}

/// One tool.
pub struct Tool {
    pub name: &'static str,
    pub title: &'static str,
    /// What it does and when to use it, for a model.
    pub about: &'static str,
    pub effect: Effect,
    pub arguments: &'static [Argument],
    pub work: Work,
}

/// What a call does to the world; the annotations of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Read,
    /// Changes something.
    Write {
        /// Whether it takes something away, rather than adding to what is there.
        destroys: bool,
        /// Whether the same call again without an idempotency key changes nothing more.
        repeats: bool,
    },
}

impl Effect {
    pub fn is_write(self) -> bool {
        self != Self::Read
    }
}

/// What carries a tool out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Appends one event. Arguments that are neither the id nor common to all writes are its payload.
    Event {
        entity: &'static str,
        event: &'static str,
        id: EntityId,
        worth: Worth,
    },
    Get {
        entity: &'static str,
        id: EntityId,
    },
    List {
        entity: &'static str,
    },
    ProductSearch,
    History,
    ReceiptGet,
    ProofGet,
    ProofVerify,
    PaymentCreate,
    PaymentGet,
    PaymentReceipt,
    KeyList,
    SyncStatus,
    SyncPush,
    SyncPull,
    ApprovalGet,
    ApprovalList,
    InvoiceGet,
    InvoiceList,
    InvoiceRequests,
    InvoiceStep(Step),
}

impl Work {
    /// Whether a company's node on the shared ledger carries it out: a tool that is there only where that is.
    pub fn needs_ledger(self) -> bool {
        matches!(self, Self::InvoiceGet | Self::InvoiceList | Self::InvoiceRequests | Self::InvoiceStep(_))
    }
}

/// Whose answer a call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    /// This machine's own files.
    Nobody,
    Service,
    Ledger,
}

impl Work {
    pub(crate) fn asks(self) -> Asks {
        match self {
            _ if self.needs_ledger() => Asks::Ledger,
            Self::PaymentCreate
            | Self::PaymentGet
            | Self::PaymentReceipt
            | Self::KeyList
            | Self::SyncPush
            | Self::SyncPull
            | Self::ProofGet => Asks::Service,
            _ => Asks::Nobody,
        }
    }
}

/// What a company does about an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Create,
    Accept,
    Approve,
    Decline,
    Pay,
}

/// Where the id of an entity comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntityId {
    /// This argument; where it is optional and left out, a new id that begins with `prefix`.
    Argument { name: &'static str, prefix: &'static str },
    /// `product_id`, and behind a colon `location` where one is given.
    Stock,
}

impl EntityId {
    /// Whether the argument names the entity, so that it is no member of the payload.
    pub fn uses(self, argument: &str) -> bool {
        match self {
            Self::Argument { name, .. } => name == argument,
            Self::Stock => matches!(argument, "product_id" | "location"),
        }
    }
}

/// What a call is worth, to be held against the agent's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    Nothing,
    /// This argument, in `currency`.
    Argument(&'static str),
    /// The larger of `total_amount` and the sum of the lines, in `currency`.
    Order,
}

/// One argument of a tool.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    pub name: &'static str,
    pub kind: Kind,
    pub need: Need,
    pub about: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Required,
    Optional,
}

/// What an argument must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An id: 1 to 256 bytes without control characters.
    Id,
    /// Text of 1 to so many bytes.
    Text { bytes_max: usize },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Decimal text in the currency of the call, never a number.
    Amount,
    /// 3 to 12 capital letters or digits.
    Currency,
    /// A whole number, `min` to 2^53 - 1.
    Count { min: i64 },
    /// A whole number of either sign, within 2^53 - 1.
    Change,
    /// `[{product_id, quantity, unit_price}]`.
    Lines,
    /// Any object, of bounded size and depth.
    Object,
    /// A UUID.
    Uuid,
    /// `0x` and 40 or 64 hex digits.
    Address,
    /// 1 to 100.
    PageSize,
    /// What an earlier page gave.
    Cursor,
    /// A day, as `2030-01-31`.
    Day,
    /// True or false.
    Flag,
    /// A proof of an event, as `proof_get` gave it: an object.
    Proof,
}

/// Arguments of every write.
pub const IDEMPOTENCY_KEY: Argument = Argument {
    name: "idempotency_key",
    kind: Kind::Text { bytes_max: 128 },
    need: Need::Optional,
    about: "Chosen by the caller, one for each thing to be done: the same call with the same key gets the first answer \
            again and does nothing more",
};
pub const EXPECTED_VERSION: Argument = Argument {
    name: "expected_version",
    kind: Kind::Count { min: 0 },
    need: Need::Optional,
    about: "Version of the entity that the call is made for; refused where it has another one",
};
pub const COMPANY: Argument = Argument {
    name: "company",
    kind: Kind::Id,
    need: Need::Optional,
    about: "The company that does it: that of this server, and no other is taken",
};
pub const WAIT: Argument = Argument {
    name: "wait_for_receipt",
    kind: Kind::Flag,
    need: Need::Optional,
    about: "True: sends the event at once, and answers with its number in the stream. False, the default: answers when the \
            signed event is safe on disk",
};

impl Tool {
    /// The arguments of the row, and those common to its sort.
    pub fn all_arguments(&self) -> impl Iterator<Item = &'static Argument> + use<> {
        const EVENT: &[Argument] = &[EXPECTED_VERSION, WAIT, IDEMPOTENCY_KEY];
        const UNSENT: &[Argument] = &[IDEMPOTENCY_KEY];
        const OF_COMPANY: &[Argument] = &[COMPANY, IDEMPOTENCY_KEY];
        let common = match self.work {
            Work::Event { .. } => EVENT,
            Work::PaymentCreate => UNSENT,
            Work::InvoiceStep(_) => OF_COMPANY,
            _ => &[],
        };
        self.arguments.iter().chain(common)
    }

    /// Whether an argument is common to all writes, so that it is no member of a payload.
    pub fn is_common(argument: &str) -> bool {
        [EXPECTED_VERSION, WAIT, IDEMPOTENCY_KEY].iter().any(|common| common.name == argument)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn all() -> impl Iterator<Item = &'static Tool> {
        TOOLS.iter().flat_map(|group| group.iter())
    }

    #[test]
    fn names_are_unique_and_of_the_form_that_every_client_takes() {
        let mut names = BTreeSet::new();
        for tool in all() {
            assert!(names.insert(tool.name), "{} stands twice", tool.name);
            assert!(tool.name.len() <= 64 && tool.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            let mut arguments = BTreeSet::new();
            for argument in tool.all_arguments() {
                assert!(arguments.insert(argument.name), "{}: {} stands twice", tool.name, argument.name);
            }
        }
    }

    #[test]
    fn an_amount_never_comes_without_a_currency() {
        for tool in all() {
            let has = |kind: Kind| tool.arguments.iter().any(|argument| argument.kind == kind);
            let names_unit =
                has(Kind::Currency) || tool.arguments.iter().any(|argument| argument.name == "asset");
            assert!(!(has(Kind::Amount) || has(Kind::Lines)) || names_unit, "{}", tool.name);
        }
    }

    #[test]
    fn the_id_of_an_entity_is_an_argument_of_its_tool() {
        for tool in all() {
            let id = match tool.work {
                Work::Event { id, event, entity, .. } => {
                    assert!(event.starts_with(&format!("{entity}.")), "{}", tool.name);
                    assert!(tool.effect.is_write(), "{}", tool.name);
                    id
                }
                Work::Get { id, .. } => id,
                _ => continue,
            };
            assert!(tool.arguments.iter().any(|argument| id.uses(argument.name)), "{}", tool.name);
        }
    }
}
