//! What a request costs: a count of its bytes and of the work that it asks for, known before it is executed (section 9.3).

use stateset_ledger_types::Params;
use stateset_ledger_types::bank::{BANK, BankCommand};
use stateset_ledger_types::body::Command;
use stateset_ledger_types::codec::Decode as _;
use stateset_ledger_types::envelope::Request;
use stateset_ledger_types::policy::Opening;
use stateset_ledger_types::stateless::Checked;

const BASE: u64 = 1_000;
const PER_BYTE: u64 = 10;
const PER_SIGNATURE: u64 = 500;
/// A charge that is settled: balances of two accounts, the mandate and the settlement are read and written.
const PER_CHARGE: u64 = 1_000;

/// Gas of a request under these parameters.
pub fn gas(checked: &Checked, params: &Params) -> u64 {
    let of_openings = |openings: &[Opening]| {
        openings.iter().flat_map(|opening| opening.signatures.iter()).flatten().count()
    };
    let (signatures, work) = match checked.request() {
        Request::Notarise(request) => {
            (of_openings(&request.openings) + request.attestations.len() + request.receipts.len(), 0)
        }
        Request::PublicTx(request) => {
            let commands = request.content.body.commands.iter();
            let work = commands.fold(0u64, |sum, command| sum.saturating_add(of_command(command, params)));
            (of_openings(&request.openings) + request.signatures.len(), work)
        }
        Request::Governance(_) => (0, 0),
    };
    let bytes = checked.envelope().bytes().len() as u64;
    (BASE + PER_BYTE * bytes + PER_SIGNATURE * (1 + signatures as u64)).saturating_add(work)
}

/// What a command does besides reading its bytes: signatures that it brings in its arguments, and what it finds in the state.
fn of_command(command: &Command, params: &Params) -> u64 {
    if command.contract_id.as_str() != BANK {
        return 0;
    }
    let encoded = [&command.tag.to_be_bytes(), &*command.args].concat();
    match BankCommand::from_sce(&encoded) {
        Ok(BankCommand::BatchCreate(create)) => PER_SIGNATURE * create.charges.len() as u64,
        // How many charges the batch has stands in the state: as many as it may have.
        Ok(BankCommand::BatchSettle(_)) => PER_CHARGE * params.max_batch,
        Ok(BankCommand::ChannelClaim(_)) => PER_SIGNATURE,
        _ => 0,
    }
}
