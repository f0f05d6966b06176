//! The network's registry of financed invoices (network.md 11.12): a factor writes an invoice's fingerprint before it signs the
//! sale, so that no other factor buys a copy of it under another id.

use clap::Args;
use serde_json::json;
use stateset_ledger_types::Encode as _;
use stateset_ledger_types::registry::{REGISTRY, RecordFingerprint, RegistryCommand};

use super::OrgArgs;
use super::nodes::{company, request};
use crate::context::Context;
use crate::error::{CliError, printable};
use crate::ledger::acting;

#[derive(Debug, Args)]
pub struct RegisterArgs {
    /// The invoice that the company is asked to buy, or holds: its number, or its id
    pub invoice: String,
    #[command(flatten)]
    pub org: OrgArgs,
}

pub fn register(context: &Context, args: &RegisterArgs) -> Result<(), CliError> {
    let node = company(context, &args.org.org)?;
    let asked = request(&node, &args.invoice)?.and_then(|flow| flow.content);
    let invoice = match asked {
        Some(invoice) => invoice,
        None => super::nodes::invoice(&node, &args.invoice)?.invoice()?.clone(),
    };
    let member = acting::company(context, &args.org.org)?;
    if invoice.factor != Some(member.entity) {
        let said = format!("{} is not the factor of this invoice, and is not asked to be", args.org.org);
        return Err(CliError::against_rules("NOT_AUTHORISED", said));
    }
    let fingerprint = invoice.fingerprint();
    let record = RegistryCommand::RecordFingerprint(RecordFingerprint { factor: member.entity, fingerprint });
    // The arguments are behind the tag.
    let (tx_id, committed) = member.public(REGISTRY, &[(record.tag(), record.to_sce()[2..].to_vec())])?;
    context.out.result(
        &json!({"fingerprint": fingerprint, "tx_id": tx_id, "height": committed.height}),
        &format!(
            "{} is entered as the one who finances invoice {}.\n  fingerprint  {fingerprint}",
            args.org.org,
            printable(&invoice.head.number)
        ),
    );
    Ok(())
}
