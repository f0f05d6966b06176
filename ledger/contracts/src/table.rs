//! Transition tables (section 11) as data. One table is the rules, the tests' list of pairs, and the page for people.

use std::fmt::Write as _;

use stateset_ledger_types::body::DataClass;
use stateset_ledger_types::codec::{Encode, put_length, put_list, put_str};

use crate::state_type::{Ask, StateType};

/// A role of a type: its place in [`Table::roles`].
pub type Role = usize;
/// Code of a status: as in the state's head.
pub type Status = u16;

/// The whole life of one type of state.
pub struct Table<C: StateType> {
    /// `native:<name>`.
    pub contract: &'static str,
    pub version: u32,
    pub type_id: u16,
    pub schema_version: u16,
    pub name: &'static str,
    pub data_class: DataClass,
    /// Whether a private state of the type may be consumed in public (3.4).
    pub may_be_promoted: bool,
    /// Names of roles; a role's place is its number.
    pub roles: &'static [&'static str],
    /// Code, name, and whether nothing leads on.
    pub statuses: &'static [(Status, &'static str, bool)],
    /// Who holds the policy, in words of the specification.
    pub policy: &'static str,
    /// What holds in every state.
    pub invariants: &'static [Invariant<C>],
    pub rows: &'static [Row<C>],
}

/// One command.
pub struct Row<C: StateType> {
    pub command: &'static str,
    pub tag: u16,
    pub from: From,
    pub to: To,
    /// Each of them signs.
    pub signers: &'static [Signer],
    pub conditions: &'static [Condition<C>],
    /// Changes the fields that the command names. Head and policy are not its business.
    pub effect: fn(&mut C, &Ask<'_, C>) -> Result<(), String>,
}

/// What a row starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// No state: the command makes one.
    Nothing,
    OneOf(&'static [Status]),
}

/// What a row leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Same,
    One(Status),
    /// The effect says which.
    OneOf(&'static [Status]),
    /// No state.
    Nothing,
}

/// Whose signature a row asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// Who has the role before; for a row that creates, after.
    Has(Role),
    /// As [`Has`](Self::Has), where someone has it.
    IfAny(Role),
    /// Who has the role after.
    New(Role),
}

/// A condition of a row.
pub struct Condition<C: StateType> {
    pub text: &'static str,
    /// `Err`: what exactly is missing.
    pub holds: fn(&Ask<'_, C>) -> Result<(), String>,
}

/// A rule over one state.
pub struct Invariant<C> {
    pub text: &'static str,
    pub holds: fn(&C) -> bool,
}

/// Who can consume a state (the heading of section 11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holders {
    /// Every one of them.
    All(Vec<stateset_ledger_types::ids::EntityId>),
    /// One of them.
    Any(Vec<stateset_ledger_types::ids::EntityId>),
    /// This one.
    One(stateset_ledger_types::ids::EntityId),
}

impl From {
    /// In numbers.
    fn rule(self) -> Vec<u16> {
        match self {
            Self::Nothing => vec![0],
            Self::OneOf(statuses) => [&[1], statuses].concat(),
        }
    }
}

impl To {
    /// In numbers.
    fn rule(self) -> Vec<u16> {
        match self {
            Self::Nothing => vec![0],
            Self::One(status) => vec![1, status],
            Self::OneOf(statuses) => [&[1], statuses].concat(),
            Self::Same => vec![2],
        }
    }
}

impl Signer {
    /// In numbers.
    fn rule(self) -> [u16; 2] {
        let (kind, role) = match self {
            Self::Has(role) => (0, role),
            Self::IfAny(role) => (1, role),
            Self::New(role) => (2, role),
        };
        [kind, role as u16]
    }
}

impl<C: StateType> Table<C> {
    pub fn row(&self, tag: u16) -> Option<&'static Row<C>> {
        self.rows.iter().find(|row| row.tag == tag)
    }

    pub fn status_name(&self, status: Status) -> &'static str {
        self.status(status).map_or("?", |(_, name, _)| name)
    }

    pub fn status(&self, status: Status) -> Option<&'static (Status, &'static str, bool)> {
        self.statuses.iter().find(|(code, ..)| *code == status)
    }

    pub fn is_terminal(&self, status: Status) -> bool {
        self.status(status).is_some_and(|(.., terminal)| *terminal)
    }

    /// The table without its words: what the code hash of its contract is of (9.2). A condition or an effect that means
    /// something else comes with another `version`.
    pub fn rules(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_str(&mut out, self.contract);
        self.version.encode(&mut out);
        [self.type_id, self.schema_version].iter().for_each(|number| number.encode(&mut out));
        self.data_class.encode(&mut out);
        self.may_be_promoted.encode(&mut out);
        put_length(&mut out, self.statuses.len());
        for (code, _, terminal) in self.statuses {
            code.encode(&mut out);
            terminal.encode(&mut out);
        }
        put_length(&mut out, self.invariants.len());
        put_length(&mut out, self.rows.len());
        for row in self.rows {
            row.tag.encode(&mut out);
            let (from, to) = (row.from.rule(), row.to.rule());
            let signers: Vec<u16> = row.signers.iter().flat_map(|signer| signer.rule()).collect();
            [from, to, signers].iter().for_each(|numbers| put_list(&mut out, numbers));
            put_length(&mut out, row.conditions.len());
        }
        out
    }

    /// The table as the documents show it, in Markdown.
    pub fn to_markdown(&self) -> String {
        let mut out = String::new();
        let roles = self.roles.join(", ");
        let statuses: Vec<String> = self
            .statuses
            .iter()
            .map(|(code, name, terminal)| format!("{name} ({code}){}", if *terminal { " ■" } else { "" }))
            .collect();
        let _ =
            writeln!(out, "- contract `{}`, version {}, type {}", self.contract, self.version, self.type_id);
        let _ = writeln!(out, "- roles: {roles}");
        let _ = writeln!(out, "- statuses: {}", statuses.join(", "));
        let _ = writeln!(out, "- policy: {}", self.policy);
        let promoted = if self.may_be_promoted { "may" } else { "may not" };
        let _ = writeln!(out, "- a private state {promoted} be promoted");
        for invariant in self.invariants {
            let _ = writeln!(out, "- always: {}", invariant.text);
        }
        let _ = writeln!(
            out,
            "\n| tag | command | from | to | signers | conditions |\n| --- | --- | --- | --- | --- | --- |"
        );
        for row in self.rows {
            let conditions: Vec<&str> = row.conditions.iter().map(|condition| condition.text).collect();
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} |",
                row.tag,
                row.command,
                self.start_text(row.from),
                self.end_text(row.to),
                self.signers_text(row),
                conditions.join("; "),
            );
        }
        out
    }

    fn names(&self, statuses: &[Status], between: &str) -> String {
        let name = |status: &Status| {
            let mark = if self.is_terminal(*status) { " ■" } else { "" };
            format!("{}{mark}", self.status_name(*status))
        };
        statuses.iter().map(name).collect::<Vec<_>>().join(between)
    }

    fn start_text(&self, from: From) -> String {
        match from {
            From::Nothing => "—".to_owned(),
            From::OneOf(statuses) => self.names(statuses, ", "),
        }
    }

    fn end_text(&self, to: To) -> String {
        match to {
            To::Same => "same".to_owned(),
            To::One(status) => self.names(&[status], ""),
            To::OneOf(statuses) => self.names(statuses, " or "),
            To::Nothing => "(none)".to_owned(),
        }
    }

    fn signers_text(&self, row: &Row<C>) -> String {
        let is_new = |role: Role| row.signers.contains(&Signer::New(role));
        let name = |signer: &Signer| match *signer {
            Signer::Has(role) if is_new(role) => format!("old {}", self.roles[role]),
            Signer::Has(role) => self.roles[role].to_owned(),
            Signer::IfAny(role) => format!("{} if any", self.roles[role]),
            Signer::New(role) => format!("new {}", self.roles[role]),
        };
        row.signers.iter().map(name).collect::<Vec<_>>().join(" + ")
    }
}
