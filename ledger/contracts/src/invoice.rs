//! The invoice (section 11.12): type 13, held by its payee.

mod life;

use stateset_ledger_types::Encode;
use stateset_ledger_types::codec::{Blob, List, Map, Text, choice, codes, record};
use stateset_ledger_types::hash::{Domain, hash};
use stateset_ledger_types::ids::{Amount, Denom, EntityId, LinearId, Units};
use ves::Digest;

use crate::evidence::PaymentEvidence;
use crate::state_type::{Head, StateType};
use crate::table::{Holders, Role, Table};

pub use life::TABLE;

/// The contract that owns invoices.
pub const INVOICE: &str = "native:invoice";
/// Their type.
pub const INVOICE_TYPE: u16 = 13;

/// Entries of the issuer's own beside the fields.
pub type Extensions = Map<Text<64>, Blob<1024>, 16>;
/// Lines of an invoice.
pub type Lines = List<Line, 256>;

codes! {
    /// Where an invoice is in its life.
    pub enum InvoiceStatus: u16 {
        Issued = 1,
        Accepted = 2,
        Disputed = 3,
        PartiallyPaid = 4,
        Paid = 5,
        Overdue = 6,
        Void = 7,
    }
}

record! {
    /// One line: `total = quantity * unit_price`.
    pub struct Line {
        pub sku: Text<64>,
        pub description: Text<256>,
        pub quantity: u64,
        pub unit_price: Units,
        pub total: Units,
    }

    /// What is billed for, Unix milliseconds, from inclusive, until exclusive.
    #[derive(Copy)]
    pub struct Period {
        pub from_ms: u64,
        pub until_ms: u64,
    }

    /// The sale of the claim to a factor. All units are of the invoice's denomination.
    #[derive(Copy)]
    pub struct Finance {
        /// Paid by the factor to the party.
        pub advance: Units,
        /// What the factor earns: advance + discount = what remained to be paid.
        pub discount: Units,
        /// Whether the factor may give the claim back once it is overdue.
        pub recourse: bool,
        /// Unix milliseconds.
        pub factored_at: u64,
    }

    /// The content of a state of type 13. All units are of `denom`, so that amounts of two currencies can't meet.
    pub struct Invoice {
        pub head: Head,
        /// The seller.
        pub party: EntityId,
        /// The payer.
        pub counterparty: EntityId,
        /// Who bought the claim, and is paid.
        pub factor: Option<EntityId>,
        /// Whether the status is not terminal.
        pub active: bool,
        pub extensions: Extensions,
        pub name: Text<256>,
        pub billing_reason: Text<256>,
        pub denom: Denom,
        /// Where there are some, they add up to the subtotal.
        pub lines: Lines,
        pub subtotal: Units,
        pub tax: Units,
        pub total: Units,
        pub amount_paid: Units,
        pub amount_remaining: Units,
        /// Unix milliseconds.
        pub due_date: u64,
        pub period: Option<Period>,
        pub po_ref: Option<LinearId>,
        pub agreement_ref: Option<LinearId>,
        pub finance: Option<Finance>,
    }

    /// What is agreed when an invoice is issued.
    pub struct Terms {
        pub number: Text<64>,
        pub party: EntityId,
        pub counterparty: EntityId,
        pub extensions: Extensions,
        pub name: Text<256>,
        pub billing_reason: Text<256>,
        pub denom: Denom,
        pub lines: Lines,
        pub subtotal: Units,
        pub tax: Units,
        pub due_date: u64,
        pub period: Option<Period>,
        pub po_ref: Option<LinearId>,
        pub agreement_ref: Option<LinearId>,
    }

    /// What a dispute ended in: the lines and sums that are owed.
    pub struct Adjustment {
        pub lines: Lines,
        pub subtotal: Units,
        pub tax: Units,
    }

    pub struct SettleDispute {
        /// `None`: nothing is owed, the invoice is void.
        pub adjusted: Option<Adjustment>,
    }

    pub struct Pay {
        pub amount: Units,
        pub evidence: PaymentEvidence,
    }

    pub struct FactorIt {
        pub factor: EntityId,
        pub advance: Units,
        pub discount: Units,
        pub recourse: bool,
        /// Of the advance.
        pub evidence: PaymentEvidence,
    }

    #[derive(Copy)]
    pub struct Refactor {
        pub factor: EntityId,
    }

    pub struct Recourse {
        /// Agreed on top of what remains.
        pub fee: Units,
        /// Of what remains and the fee.
        pub evidence: PaymentEvidence,
    }

    #[derive(Copy)]
    pub struct Transfer {
        pub party: EntityId,
    }
}

choice! {
    /// Commands on an invoice, by tag.
    pub enum InvoiceCommand {
        Create(Box<Terms>) = 1,
        Accept(()) = 2,
        Dispute(()) = 3,
        SettleDispute(SettleDispute) = 4,
        Pay(Pay) = 5,
        MarkOverdue(()) = 6,
        Factor(FactorIt) = 7,
        Refactor(Refactor) = 8,
        Recourse(Recourse) = 9,
        Transfer(Transfer) = 10,
        Void(()) = 11,
    }
}

/// Roles of [`TABLE`].
pub const PARTY: Role = 0;
pub const COUNTERPARTY: Role = 1;
pub const FACTOR: Role = 2;
pub const PAYEE: Role = 3;

impl Invoice {
    /// Who is paid: the factor, if there is one, else the party.
    pub fn payee(&self) -> EntityId {
        self.factor.unwrap_or(self.party)
    }

    /// # Panics
    /// For a status that is none of an invoice's; contents that were read or computed have one.
    pub fn status(&self) -> InvoiceStatus {
        InvoiceStatus::from_code(self.head.status).expect("a status of an invoice")
    }

    /// So many units of its denomination.
    pub fn amount(&self, units: Units) -> Amount {
        Amount { denom: self.denom.clone(), units }
    }

    /// What a registry of financed invoices knows this one by, under whatever linear id (11.12).
    pub fn fingerprint(&self) -> Digest {
        let total = self.amount(self.total).to_sce();
        let number = self.head.number.to_sce();
        hash(Domain::Content, &[&self.party.0, &self.counterparty.0, &number, &total])
    }
}

impl StateType for Invoice {
    type Command = InvoiceCommand;

    fn table() -> &'static Table<Self> {
        &TABLE
    }
    fn tag(command: &InvoiceCommand) -> u16 {
        command.tag()
    }
    fn head(&self) -> &Head {
        &self.head
    }
    fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }
    fn set_active(&mut self, active: bool) {
        self.active = active;
    }

    fn role(&self, role: Role) -> Option<EntityId> {
        match role {
            PARTY => Some(self.party),
            COUNTERPARTY => Some(self.counterparty),
            FACTOR => self.factor,
            PAYEE => Some(self.payee()),
            _ => None,
        }
    }
    fn holders(&self) -> Holders {
        Holders::One(self.payee())
    }
    fn participants(&self) -> Vec<EntityId> {
        [self.party, self.counterparty].into_iter().chain(self.factor).collect()
    }

    fn created(command: &InvoiceCommand) -> Option<Self> {
        let InvoiceCommand::Create(terms) = command else { return None };
        let terms = (**terms).clone();
        let head = Head { number: terms.number, status: 0, version: 0, created_at: 0, updated_at: 0 };
        Some(Self {
            head,
            party: terms.party,
            counterparty: terms.counterparty,
            factor: None,
            active: true,
            extensions: terms.extensions,
            name: terms.name,
            billing_reason: terms.billing_reason,
            denom: terms.denom,
            lines: terms.lines,
            subtotal: terms.subtotal,
            tax: terms.tax,
            // The effect of Create adds it up, or refuses.
            total: Units(0),
            amount_paid: Units(0),
            amount_remaining: Units(0),
            due_date: terms.due_date,
            period: terms.period,
            po_ref: terms.po_ref,
            agreement_ref: terms.agreement_ref,
            finance: None,
        })
    }

    fn stake(command: &InvoiceCommand, before: Option<&Self>) -> Option<Amount> {
        let sum = |a: Units, b: Units| Units(a.0.saturating_add(b.0));
        let units = match (command, before) {
            (InvoiceCommand::Create(terms), _) => {
                let units = sum(terms.subtotal, terms.tax);
                return Some(Amount { denom: terms.denom.clone(), units });
            }
            (InvoiceCommand::Pay(pay), _) => pay.amount,
            (InvoiceCommand::SettleDispute(SettleDispute { adjusted: Some(adjusted) }), Some(before)) => {
                before.total.max(sum(adjusted.subtotal, adjusted.tax))
            }
            (InvoiceCommand::Recourse(recourse), Some(before)) => sum(before.amount_remaining, recourse.fee),
            (_, Some(before)) => before.amount_remaining,
            (_, None) => return None,
        };
        before.map(|before| before.amount(units))
    }

    fn evidence(command: &InvoiceCommand) -> Vec<&PaymentEvidence> {
        match command {
            InvoiceCommand::Pay(Pay { evidence, .. })
            | InvoiceCommand::Factor(FactorIt { evidence, .. })
            | InvoiceCommand::Recourse(Recourse { evidence, .. }) => vec![evidence],
            _ => Vec::new(),
        }
    }
}
