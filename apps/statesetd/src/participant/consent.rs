//! What a company signs without asking anybody, and what a person decides.

use stateset_contracts::invoice::INVOICE;
use stateset_contracts::{Invoice, StateType as _};
use stateset_node::ports::{Consent, Decision, Proposal};

/// Signs what can only be to the company's good, and leaves the rest to a person.
///
/// Both are found valid before: the step is one of the contract's, whoever has to sign it does, and a payment that it
/// rests on was made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Careful;

/// Steps that a counterparty may take without a person here: it acknowledges its debt, or has paid.
const HARMLESS: [&str; 2] = ["Accept", "Pay"];

fn is_harmless(tag: u16) -> bool {
    Invoice::table().row(tag).is_some_and(|row| HARMLESS.contains(&row.command))
}

impl Consent for Careful {
    fn decide(&self, proposal: &Proposal<'_>) -> Decision {
        let commands = &proposal.whole.body.body.commands;
        let harmless = |contract: &str, tag| contract == INVOICE && is_harmless(tag);
        if commands.iter().all(|command| harmless(command.contract_id.as_str(), command.tag)) {
            Decision::Accept
        } else {
            Decision::Ask
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By name, so that a table with other tags or names fails here and signs nothing by mistake.
    #[test]
    fn of_the_invoices_steps_two_are_signed_without_a_person() {
        let harmless: Vec<_> = Invoice::table().rows.iter().filter(|row| is_harmless(row.tag)).collect();
        let named: Vec<_> = harmless.iter().map(|row| (row.command, row.tag)).collect();
        assert_eq!(named, [("Accept", 2), ("Pay", 5)]);
        assert!(!is_harmless(0) && !is_harmless(99));
    }
}
