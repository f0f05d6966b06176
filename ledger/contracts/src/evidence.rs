//! Payment evidence in private transactions (section 10.3).

use stateset_ledger_types::bank::{Settlement, SettlementKind, SettlementStatus, payment_reference};
use stateset_ledger_types::codec::{Blob, record};
use stateset_ledger_types::ids::{Amount, EntityId, LinearId, SettlementId};
use stateset_ledger_types::params::Params;
use ves::Digest;

record! {
    /// Shows that a settlement of the bank pays one step of one state.
    pub struct PaymentEvidence {
        /// Its record stands at `settle/s/<settlement>`.
        pub settlement: SettlementId,
        /// Height whose state holds the record.
        pub height: u64,
        /// Protobuf `ibc.core.commitment.v1.MerkleProof`: under the substore `settle`, then under the app hash of
        /// `height`, which the header of `height + 1` carries.
        pub proof: Blob<65536>,
        pub linear_id: LinearId,
        /// Version of the state that the payment's command consumes.
        pub version: u64,
        /// Opens the reference of the settlement.
        pub blind: Digest,
    }
}

/// A settlement as the state of one height holds it. Who makes one has verified the evidence's proof against a header that
/// it trusts, or reads the state itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    pub settlement: Settlement,
    pub height: u64,
    /// Time of the block of that height, Unix milliseconds.
    pub time_ms: u64,
}

/// Who has to have paid what to whom, for which state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment<'a> {
    pub payer: EntityId,
    pub payee: EntityId,
    pub amount: Amount,
    pub linear_id: &'a LinearId,
    pub version: u64,
}

const DAY_MS: u64 = 86_400_000;

impl Proven {
    /// Whether this is the payment that `evidence` claims it to be, still fresh at `at_ms`.
    ///
    /// # Errors
    /// What is not as it has to be.
    pub fn check(
        &self,
        evidence: &PaymentEvidence,
        payment: &Payment<'_>,
        params: &Params,
        at_ms: u64,
    ) -> Result<(), String> {
        let settlement = &self.settlement;
        if self.height != evidence.height {
            return Err(format!("the settlement was proven at height {}", self.height));
        }
        if (&evidence.linear_id, evidence.version) != (payment.linear_id, payment.version) {
            return Err("the evidence is for another state or version".to_owned());
        }
        let reference = payment_reference(&evidence.linear_id, evidence.version, &evidence.blind);
        if settlement.reference != Some(reference) {
            return Err("the settlement's reference is not to this state and version".to_owned());
        }
        // A channel's record tells its deposit, not what was claimed of it.
        if settlement.kind == SettlementKind::Channel || settlement.status != SettlementStatus::Completed {
            return Err(format!("the settlement is {:?} {:?}", settlement.kind, settlement.status));
        }
        if settlement.payer != payment.payer {
            return Err(format!("{} paid, {} has to", settlement.payer, payment.payer));
        }
        if settlement.payee != payment.payee.account() {
            return Err(format!("{} was paid, {} has to be", settlement.payee, payment.payee));
        }
        if settlement.amount != payment.amount {
            let (found, due) = (&settlement.amount, &payment.amount);
            return Err(format!(
                "{} {} were paid, {} {} have to be",
                found.units, found.denom, due.units, due.denom
            ));
        }
        let age_max = params.evidence_max_age_days.saturating_mul(DAY_MS);
        if self.time_ms.saturating_add(age_max) < at_ms {
            let days = params.evidence_max_age_days;
            return Err(format!(
                "the evidence is older than {days} days: prove the settlement at a later height"
            ));
        }
        Ok(())
    }
}
