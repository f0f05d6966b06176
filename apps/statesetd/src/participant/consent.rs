//! What a company signs without asking anybody, and what a person decides.

use stateset_contracts::InvoiceCommand;
use stateset_contracts::invoice::INVOICE;
use stateset_node::ports::{Consent, Decision, Proposal};

/// Signs what can only be to the company's good, and leaves the rest to a person.
///
/// Both are found valid before: the step is one of the contract's, whoever has to sign it does, and a payment that it
/// rests on was made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Careful;

/// Tags of steps that a counterparty may take without a person here: it acknowledges its debt, or has paid.
fn is_harmless(tag: u16) -> bool {
    let accept = InvoiceCommand::Accept(()).tag();
    tag == accept || tag == PAY
}

/// [`InvoiceCommand::Pay`].
const PAY: u16 = 5;

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
