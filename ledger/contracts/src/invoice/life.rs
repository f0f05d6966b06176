//! The life of an invoice: the one table of section 11.12.

use stateset_ledger_types::body::DataClass;
use stateset_ledger_types::entity::Role;
use stateset_ledger_types::ids::{EntityId, Units};
use ves::TimestampMs;

use super::{
    Adjustment, COUNTERPARTY, FACTOR, Finance, INVOICE, INVOICE_TYPE, Invoice, InvoiceCommand,
    InvoiceStatus as S, PARTY, PAYEE,
};
use crate::evidence::{Payment, PaymentEvidence};
use crate::state_type;
use crate::table::{Condition, From, Invariant, Row, Signer, Status, Table, To};

type Ask<'a> = state_type::Ask<'a, Invoice>;
type Done = Result<(), String>;

const ISSUED: Status = S::Issued.code();
const ACCEPTED: Status = S::Accepted.code();
const DISPUTED: Status = S::Disputed.code();
const PARTIALLY_PAID: Status = S::PartiallyPaid.code();
const PAID: Status = S::Paid.code();
const OVERDUE: Status = S::Overdue.code();
const VOID: Status = S::Void.code();

/// Section 11.12 as data.
pub static TABLE: Table<Invoice> = Table {
    contract: INVOICE,
    version: 1,
    type_id: INVOICE_TYPE,
    schema_version: 1,
    name: "invoice",
    data_class: DataClass::Business,
    may_be_promoted: true,
    roles: &["party", "counterparty", "factor", "payee"],
    statuses: &[
        (ISSUED, "ISSUED", false),
        (ACCEPTED, "ACCEPTED", false),
        (DISPUTED, "DISPUTED", false),
        (PARTIALLY_PAID, "PARTIALLY_PAID", false),
        (PAID, "PAID", true),
        (OVERDUE, "OVERDUE", false),
        (VOID, "VOID", true),
    ],
    policy: "HOLDER = payee: the factor if there is one, else the party",
    invariants: &[
        Invariant {
            text: "party and counterparty are distinct",
            holds: |invoice| invoice.party != invoice.counterparty,
        },
        Invariant {
            text: "each line's total = quantity × unit price, and lines add up to the subtotal",
            holds: lines_add_up,
        },
        Invariant {
            text: "total = subtotal + tax > 0",
            holds: |invoice| {
                let sum = invoice.subtotal.0.checked_add(invoice.tax.0);
                sum == Some(invoice.total.0) && invoice.total.0 > 0
            },
        },
        Invariant {
            text: "amount_paid + amount_remaining = total",
            holds: |invoice| {
                invoice.amount_paid.0.checked_add(invoice.amount_remaining.0) == Some(invoice.total.0)
            },
        },
        Invariant {
            text: "PAID exactly when nothing remains",
            holds: |invoice| (invoice.head.status == PAID) == (invoice.amount_remaining.0 == 0),
        },
        Invariant {
            text: "there is a finance exactly when there is a factor",
            holds: |invoice| invoice.factor.is_some() == invoice.finance.is_some(),
        },
        Invariant {
            text: "a period begins before it ends",
            holds: |invoice| invoice.period.is_none_or(|period| period.from_ms < period.until_ms),
        },
    ],
    rows: ROWS,
};

static ROWS: &[Row<Invoice>] = &[
    Row {
        command: "Create",
        tag: 1,
        from: From::Nothing,
        to: To::One(ISSUED),
        signers: &[Signer::Has(PARTY), Signer::Has(COUNTERPARTY)],
        conditions: &[],
        effect: |next, _| {
            next.total = sum(next.subtotal, next.tax)?;
            next.amount_remaining = next.total;
            Ok(())
        },
    },
    Row {
        command: "Accept",
        tag: 2,
        from: From::OneOf(&[ISSUED]),
        to: To::One(ACCEPTED),
        signers: &[Signer::Has(COUNTERPARTY)],
        conditions: &[],
        effect: unchanged,
    },
    Row {
        command: "Dispute",
        tag: 3,
        from: From::OneOf(&[ISSUED, ACCEPTED, PARTIALLY_PAID, OVERDUE]),
        to: To::One(DISPUTED),
        signers: &[Signer::Has(COUNTERPARTY), Signer::Has(PAYEE)],
        conditions: &[],
        effect: unchanged,
    },
    Row {
        command: "SettleDispute",
        tag: 4,
        from: From::OneOf(&[DISPUTED]),
        to: To::OneOf(&[ACCEPTED, PARTIALLY_PAID, PAID, VOID]),
        signers: &[Signer::Has(PARTY), Signer::Has(COUNTERPARTY), Signer::IfAny(FACTOR)],
        conditions: &[
            Condition { text: "the adjusted total ≥ amount_paid", holds: adjusted_covers_paid },
            Condition { text: "only what nothing was paid on becomes VOID", holds: void_is_unpaid },
        ],
        effect: settle_dispute,
    },
    Row {
        command: "Pay",
        tag: 5,
        from: From::OneOf(&[ISSUED, ACCEPTED, PARTIALLY_PAID, OVERDUE]),
        to: To::OneOf(&[PARTIALLY_PAID, PAID]),
        signers: &[Signer::Has(COUNTERPARTY), Signer::Has(PAYEE)],
        conditions: &[
            Condition { text: "0 < amount ≤ amount_remaining", holds: amount_is_due },
            Condition { text: "evidence counterparty → payee of amount", holds: payment_is_proven },
        ],
        effect: pay,
    },
    Row {
        command: "MarkOverdue",
        tag: 6,
        from: From::OneOf(&[ISSUED, ACCEPTED, PARTIALLY_PAID]),
        to: To::One(OVERDUE),
        signers: &[Signer::Has(PAYEE)],
        conditions: &[Condition { text: "window.from > due_date", holds: is_past_due }],
        effect: unchanged,
    },
    Row {
        command: "Factor",
        tag: 7,
        from: From::OneOf(&[ACCEPTED, PARTIALLY_PAID, OVERDUE]),
        to: To::Same,
        signers: &[Signer::Has(PARTY), Signer::New(FACTOR), Signer::Has(COUNTERPARTY)],
        conditions: &[
            NOT_FACTORED,
            Condition { text: "advance + discount = amount_remaining", holds: price_is_what_remains },
            Condition { text: "evidence factor → party of advance", holds: advance_is_proven },
            CAPABLE,
        ],
        effect: factor,
    },
    Row {
        command: "Refactor",
        tag: 8,
        from: From::OneOf(&[ACCEPTED, PARTIALLY_PAID, OVERDUE]),
        to: To::Same,
        signers: &[Signer::Has(FACTOR), Signer::New(FACTOR), Signer::Has(COUNTERPARTY)],
        conditions: &[
            Condition { text: "factor set before", holds: is_factored },
            Condition { text: "the new factor is another one", holds: factor_is_another },
            CAPABLE,
        ],
        effect: |next, ask| {
            if let InvoiceCommand::Refactor(refactor) = ask.command {
                next.factor = Some(refactor.factor);
            }
            Ok(())
        },
    },
    Row {
        command: "Recourse",
        tag: 9,
        from: From::OneOf(&[OVERDUE]),
        to: To::Same,
        signers: &[Signer::Has(FACTOR), Signer::Has(PARTY)],
        conditions: &[
            Condition { text: "factored with recourse", holds: has_recourse },
            Condition {
                text: "evidence party → factor of amount_remaining + fee",
                holds: buy_back_is_proven,
            },
        ],
        effect: |next, _| {
            (next.factor, next.finance) = (None, None);
            Ok(())
        },
    },
    Row {
        command: "Transfer",
        tag: 10,
        from: From::OneOf(&[ISSUED, ACCEPTED, DISPUTED, PARTIALLY_PAID, OVERDUE]),
        to: To::Same,
        signers: &[Signer::Has(PARTY), Signer::New(PARTY), Signer::Has(COUNTERPARTY)],
        conditions: &[
            NOT_FACTORED,
            Condition { text: "the new party is another one", holds: party_is_another },
        ],
        effect: |next, ask| {
            if let InvoiceCommand::Transfer(transfer) = ask.command {
                next.party = transfer.party;
            }
            Ok(())
        },
    },
    Row {
        command: "Void",
        tag: 11,
        from: From::OneOf(&[ISSUED, ACCEPTED]),
        to: To::One(VOID),
        signers: &[Signer::Has(PARTY), Signer::Has(COUNTERPARTY)],
        conditions: &[
            NOT_FACTORED,
            Condition {
                text: "amount_paid = 0",
                holds: |ask| when(before(ask).amount_paid.0 == 0, "a part is paid"),
            },
        ],
        effect: unchanged,
    },
];

const NOT_FACTORED: Condition<Invoice> = Condition {
    text: "factor unset before",
    holds: |ask| when(before(ask).factor.is_none(), "it is factored"),
};

const CAPABLE: Condition<Invoice> = Condition {
    text: "the factor has the role FACTOR where require_capability is set",
    holds: factor_is_capable,
};

fn when(holds: bool, why_not: &str) -> Done {
    if holds { Ok(()) } else { Err(why_not.to_owned()) }
}

/// Rows from a status have a state before.
fn before<'a>(ask: &Ask<'a>) -> &'a Invoice {
    ask.before.expect("the row starts from a state")
}

fn sum(a: Units, b: Units) -> Result<Units, String> {
    a.0.checked_add(b.0).map(Units).ok_or_else(|| "the sum is more than can be counted".to_owned())
}

fn unchanged(_: &mut Invoice, _: &Ask<'_>) -> Done {
    Ok(())
}

fn lines_add_up(invoice: &Invoice) -> bool {
    let mut subtotal = 0u128;
    for line in invoice.lines.iter() {
        let total = line.unit_price.0.checked_mul(u128::from(line.quantity));
        let Some(next) = subtotal.checked_add(line.total.0).filter(|_| total == Some(line.total.0)) else {
            return false;
        };
        subtotal = next;
    }
    invoice.lines.is_empty() || subtotal == invoice.subtotal.0
}

/// The payment of `amount` for this step is proven.
fn proven(
    ask: &Ask<'_>,
    evidence: &PaymentEvidence,
    payer: EntityId,
    payee: EntityId,
    amount: Units,
) -> Done {
    let invoice = before(ask);
    let proven = ask.facts.settlements.get(&evidence.settlement);
    let proven = proven.ok_or_else(|| format!("settlement {} is not proven", evidence.settlement))?;
    let payment = Payment {
        payer,
        payee,
        amount: invoice.amount(amount),
        linear_id: &ask.linear_id,
        version: invoice.head.version,
    };
    proven.check(evidence, &payment, &ask.facts.params, ask.at_ms)
}

fn adjustment<'a>(ask: &Ask<'a>) -> Option<&'a Adjustment> {
    match ask.command {
        InvoiceCommand::SettleDispute(settle) => settle.adjusted.as_ref(),
        _ => None,
    }
}

fn adjusted_covers_paid(ask: &Ask<'_>) -> Done {
    let Some(adjusted) = adjustment(ask) else { return Ok(()) };
    let total = sum(adjusted.subtotal, adjusted.tax)?;
    let paid = before(ask).amount_paid;
    when(total >= paid, &format!("{paid} are paid, {total} would be owed"))
}

fn void_is_unpaid(ask: &Ask<'_>) -> Done {
    when(adjustment(ask).is_some() || before(ask).amount_paid.0 == 0, "a part is paid")
}

fn settle_dispute(next: &mut Invoice, ask: &Ask<'_>) -> Done {
    let Some(adjusted) = adjustment(ask) else {
        next.head.status = VOID;
        return Ok(());
    };
    next.lines = adjusted.lines.clone();
    (next.subtotal, next.tax) = (adjusted.subtotal, adjusted.tax);
    next.total = sum(next.subtotal, next.tax)?;
    let remaining = next.total.0.checked_sub(next.amount_paid.0);
    next.amount_remaining = Units(remaining.ok_or("more is paid than owed")?);
    next.head.status = match (next.amount_remaining.0, next.amount_paid.0) {
        (0, _) => PAID,
        (_, 0) => ACCEPTED,
        _ => PARTIALLY_PAID,
    };
    Ok(())
}

fn amount_is_due(ask: &Ask<'_>) -> Done {
    let InvoiceCommand::Pay(pay) = ask.command else { return Ok(()) };
    let remaining = before(ask).amount_remaining;
    when((1..=remaining.0).contains(&pay.amount.0), &format!("{} of {remaining} are paid", pay.amount))
}

fn payment_is_proven(ask: &Ask<'_>) -> Done {
    let InvoiceCommand::Pay(pay) = ask.command else { return Ok(()) };
    let invoice = before(ask);
    proven(ask, &pay.evidence, invoice.counterparty, invoice.payee(), pay.amount)
}

fn pay(next: &mut Invoice, ask: &Ask<'_>) -> Done {
    let InvoiceCommand::Pay(pay) = ask.command else { return Ok(()) };
    next.amount_paid = sum(next.amount_paid, pay.amount)?;
    let remaining = next.amount_remaining.0.checked_sub(pay.amount.0);
    next.amount_remaining = Units(remaining.ok_or("more is paid than remains")?);
    next.head.status = if next.amount_remaining.0 == 0 { PAID } else { PARTIALLY_PAID };
    Ok(())
}

fn is_past_due(ask: &Ask<'_>) -> Done {
    let due = before(ask).due_date;
    let at = TimestampMs(i64::try_from(due).unwrap_or(i64::MAX));
    when(ask.window.from_ms.is_some_and(|from| from > due), &format!("it is due at {at}"))
}

fn price_is_what_remains(ask: &Ask<'_>) -> Done {
    let InvoiceCommand::Factor(terms) = ask.command else { return Ok(()) };
    let (price, remaining) = (sum(terms.advance, terms.discount)?, before(ask).amount_remaining);
    when(price == remaining, &format!("{price} is not {remaining}"))
}

fn advance_is_proven(ask: &Ask<'_>) -> Done {
    let InvoiceCommand::Factor(terms) = ask.command else { return Ok(()) };
    proven(ask, &terms.evidence, terms.factor, before(ask).party, terms.advance)
}

fn factor(next: &mut Invoice, ask: &Ask<'_>) -> Done {
    let InvoiceCommand::Factor(terms) = ask.command else { return Ok(()) };
    next.factor = Some(terms.factor);
    next.finance = Some(Finance {
        advance: terms.advance,
        discount: terms.discount,
        recourse: terms.recourse,
        factored_at: ask.at_ms,
    });
    Ok(())
}

fn is_factored(ask: &Ask<'_>) -> Done {
    when(before(ask).factor.is_some(), "it is not factored")
}

fn factor_is_another(ask: &Ask<'_>) -> Done {
    let InvoiceCommand::Refactor(refactor) = ask.command else { return Ok(()) };
    when(before(ask).factor != Some(refactor.factor), "it is the same")
}

fn factor_is_capable(ask: &Ask<'_>) -> Done {
    let factor = match ask.command {
        InvoiceCommand::Factor(terms) => terms.factor,
        InvoiceCommand::Refactor(refactor) => refactor.factor,
        _ => return Ok(()),
    };
    when(ask.facts.is_capable(&factor, Role::Factor), &format!("{factor} has it not"))
}

fn party_is_another(ask: &Ask<'_>) -> Done {
    let InvoiceCommand::Transfer(transfer) = ask.command else { return Ok(()) };
    when(before(ask).party != transfer.party, "it is the same")
}

fn has_recourse(ask: &Ask<'_>) -> Done {
    let invoice = before(ask);
    let recourse = invoice.factor.is_some() && invoice.finance.is_some_and(|finance| finance.recourse);
    when(recourse, "it is not")
}

fn buy_back_is_proven(ask: &Ask<'_>) -> Done {
    let InvoiceCommand::Recourse(recourse) = ask.command else { return Ok(()) };
    let invoice = before(ask);
    let Some(factor) = invoice.factor else { return Err("it is not factored".to_owned()) };
    proven(ask, &recourse.evidence, invoice.party, factor, sum(invoice.amount_remaining, recourse.fee)?)
}
