//! The native contracts of this program, and the set that a network runs (section 9.2).

use stateset_ledger_types::codec::List;
use stateset_ledger_types::governance::{ContractRecord, ContractSet, ContractStatus, ContractVersion};
use stateset_ledger_types::ids::ContractId;
use stateset_ledger_types::{Code, Refusal};

use crate::contract::Contract;
use crate::invoice::Invoice;
use crate::rules::TableContract;

static INVOICE: TableContract<Invoice> = TableContract::new();

/// Every contract that is compiled in.
pub static NATIVE: &[&dyn Contract] = &[&INVOICE];

/// The compiled contract of this id.
pub fn find(id: &ContractId) -> Option<&'static dyn Contract> {
    NATIVE.iter().copied().find(|contract| contract.id() == *id)
}

/// The compiled contract that owns a type.
pub fn of_type(type_id: u16) -> Option<&'static dyn Contract> {
    NATIVE.iter().copied().find(|contract| contract.types().contains(&type_id))
}

/// The native contracts as a genesis lists them.
pub fn versions() -> Vec<ContractVersion> {
    let version = |contract: &&dyn Contract| ContractVersion {
        contract_id: contract.id(),
        version: contract.version(),
        code_hash: contract.code_hash(),
    };
    NATIVE.iter().map(version).collect()
}

/// The set of a network whose genesis lists [`versions`] and that changed nothing since; its hash is what headers name.
pub fn native_set() -> ContractSet {
    let record = |version: ContractVersion| ContractRecord {
        contract_id: version.contract_id,
        version: version.version,
        code_hash: version.code_hash,
        status: ContractStatus::Active,
    };
    let mut contracts: Vec<ContractRecord> = versions().into_iter().map(record).collect();
    contracts.sort_by(|a, b| (&a.contract_id, a.version).cmp(&(&b.contract_id, b.version)));
    ContractSet { contracts: List::new(contracts).expect("few contracts are compiled in") }
}

/// The compiled contract `id`, which `set` runs in this version and code. `makes`: whether a state of it is made; a
/// deprecated contract makes no more.
///
/// # Errors
/// CONTRACT_UNKNOWN.
pub fn running(set: &ContractSet, id: &ContractId, makes: bool) -> Result<&'static dyn Contract, Refusal> {
    let unknown = |said: String| Refusal::new(Code::ContractUnknown, said);
    let contract = find(id).ok_or_else(|| unknown(format!("this program has no contract {id}")))?;
    let version = contract.version();
    let registered =
        set.contracts.iter().find(|record| (&record.contract_id, record.version) == (id, version));
    let record =
        registered.ok_or_else(|| unknown(format!("the network has no version {version} of {id}")))?;
    if record.code_hash != contract.code_hash() {
        return Err(unknown(format!("the network runs other rules of {id} than this program")));
    }
    match record.status {
        ContractStatus::Active => Ok(contract),
        ContractStatus::Deprecated if !makes => Ok(contract),
        status => Err(unknown(format!("{id} version {version} is {status:?}"))),
    }
}
