//! How far back a node goes before it accepts a state (8.3), by contract: to the issuance, or to a transaction whose attesters
//! it trusts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stateset_ledger_types::ids::{ContractId, EntityId, TxId};
use stateset_ledger_types::notary::NotaryRecord;
use stateset_ledger_types::tree::Mode;
use stateset_ledger_types::{Code, Refusal};
use stateset_peer::message::{SignedTransaction, Whole};

use crate::attest::attesting_keys;
use crate::error::NodeError;
use crate::flow::attesting::{message_of, policy_of};
use crate::node::Node;
use crate::resolve::{signatures_of, whole_of};
use crate::signing;
use crate::vault::{Recorded, entities, members};

/// Attesters whose word is enough: `threshold` of them, each by a key that was live when the transaction was notarised.
///
/// It is this node's own choice, and no policy of the ledger: governance cannot change whom a company trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedQuorum {
    /// At least 1.
    pub threshold: u32,
    pub attesters: BTreeSet<EntityId>,
}

/// Where resolution of a contract's states stops.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// FULL: at the issuance.
    #[default]
    Full,
    /// TO_ATTESTED: at a transaction that this quorum attested; otherwise at the issuance.
    ToAttested(TrustedQuorum),
}

/// By contract; FULL for one that is not named.
pub type Resolutions = BTreeMap<ContractId, Resolution>;

impl TrustedQuorum {
    /// # Errors
    /// A threshold that nobody meets, or everybody.
    pub fn check(&self) -> Result<(), String> {
        let (threshold, attesters) = (self.threshold, self.attesters.len());
        if threshold == 0 || threshold as usize > attesters {
            return Err(format!(
                "the threshold is {threshold}: at least 1, at most the {attesters} attesters"
            ));
        }
        Ok(())
    }
}

impl Node {
    /// From now on resolution goes so far back. What was accepted on attesters' word before is checked again where a contract
    /// is FULL, as soon as something rests on it.
    ///
    /// # Errors
    /// MALFORMED for a quorum that nobody or everybody meets.
    pub fn set_resolutions(&self, resolutions: Resolutions) -> Result<(), Refusal> {
        for (contract, resolution) in &resolutions {
            if let Resolution::ToAttested(quorum) = resolution {
                let wrong = |said| Refusal::new(Code::Malformed, format!("{contract}: {said}"));
                quorum.check().map_err(wrong)?;
            }
        }
        *self.resolutions.write().unwrap_or_else(std::sync::PoisonError::into_inner) = resolutions;
        Ok(())
    }

    /// How far back resolution goes, by contract.
    pub fn resolutions(&self) -> Resolutions {
        self.resolutions.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The quorums that each have to vouch for `whole`: that of each contract of its outputs. `None` where one is FULL.
    fn quorums_of(&self, whole: &Whole) -> Option<Vec<TrustedQuorum>> {
        let resolutions = self.resolutions();
        let of = |contract: &ContractId| match resolutions.get(contract) {
            Some(Resolution::ToAttested(quorum)) => Some(quorum.clone()),
            _ => None,
        };
        let contracts: BTreeSet<&ContractId> =
            whole.body.body.outputs.iter().map(|output| &output.contract_id).collect();
        let quorums: Option<Vec<_>> = contracts.into_iter().map(of).collect();
        quorums.filter(|quorums| !quorums.is_empty() && policy_of(whole).is_some())
    }

    /// Whether a transaction that was once taken on attesters' word may stay so.
    pub(crate) fn may_stay_vouched(&self, whole: &Whole) -> bool {
        self.quorums_of(whole).is_some()
    }

    /// A notarised transaction on the word of attesters whom this node trusts, without what is behind it; `None` where they
    /// do not vouch for it.
    ///
    /// # Errors
    /// [`NodeError::Refused`] for one whose signatures are wrong or missing; [`NodeError::Chain`].
    pub(crate) fn vouched(
        &self,
        tx_id: &TxId,
        signed: &SignedTransaction,
    ) -> Result<Option<Recorded>, NodeError> {
        let whole = whole_of(signed)?;
        let Some(quorums) = self.quorums_of(whole) else { return Ok(None) };
        let height = self.ports.chain.tip()?.height;
        let record = self.ledger().notarised(tx_id, height)?;
        let Some(record) = record.filter(|record| record.mode == Mode::Attested) else { return Ok(None) };
        let mut signed = signed.clone();
        self.add_attestations(tx_id, &record, &mut signed)?;
        let time_ms = self.ports.chain.block_time(record.height)?;
        for quorum in &quorums {
            if !self.is_attested_by(quorum, whole, &signed, record.height, time_ms)? {
                return Ok(None);
            }
        }
        self.refuse_unfit(tx_id, &signed, record.height, time_ms)?;
        let (height, index, whole) = (record.height, record.index, whole.clone());
        // Who took part in what it consumed is not known, and not asked for.
        let members = members(&whole, &[]);
        Ok(Some(Recorded { tx_id: *tx_id, height, index, time_ms, members, whole, signed, vouched: true }))
    }

    /// The attestations of a transaction that came without, from the block that has it.
    pub(crate) fn add_attestations(
        &self,
        tx_id: &TxId,
        record: &NotaryRecord,
        signed: &mut SignedTransaction,
    ) -> Result<(), NodeError> {
        if record.mode == Mode::Attested && signed.attestations.is_empty() {
            let found = self.attestations_on_chain(tx_id, record)?;
            let too_many = |error| Refusal::new(Code::TooLarge, error);
            signed.attestations = stateset_ledger_types::codec::List::new(found).map_err(too_many)?;
        }
        Ok(())
    }

    fn is_attested_by(
        &self,
        quorum: &TrustedQuorum,
        whole: &Whole,
        signed: &SignedTransaction,
        height: u64,
        time_ms: u64,
    ) -> Result<bool, NodeError> {
        let Some(policy) = policy_of(whole) else { return Ok(false) };
        let facts = self.ledger().facts(height, time_ms, &quorum.attesters)?;
        let message = message_of(whole, policy);
        let speaks = |attester: &&EntityId| {
            let keys = facts.entities.get(*attester).map(|entity| attesting_keys(entity, time_ms));
            let keys = keys.unwrap_or_default();
            signed.attestations.iter().any(|one| {
                one.attester == **attester
                    && keys.contains(&one.key)
                    && one.key.verify(&message.0, &one.signature)
            })
        };
        Ok(quorum.attesters.iter().filter(speaks).count() >= quorum.threshold as usize)
    }

    /// What can be said of a transaction without its inputs: its signatures, and that those who take part are members.
    fn refuse_unfit(
        &self,
        tx_id: &TxId,
        signed: &SignedTransaction,
        height: u64,
        time_ms: u64,
    ) -> Result<(), NodeError> {
        let whole = whole_of(signed)?;
        let chain_id = &self.config.chain_id;
        if whole.body.body.header.0.chain_id != *chain_id {
            return Err(Refusal::new(Code::BadTxId, format!("{tx_id} is of another chain")).into());
        }
        signing::check(&signatures_of(signed, *tx_id), chain_id, tx_id)?;
        let unsigned = signing::command_keys(whole)
            .into_iter()
            .find(|key| !signed.signatures.iter().any(|given| given.key == *key));
        if let Some(key) = unsigned {
            let said = format!("a command of {tx_id} lists key {}, which did not sign", key.id());
            return Err(Refusal::new(Code::NotAuthorised, said).into());
        }
        let taking_part: BTreeSet<EntityId> = whole.body.body.outputs.iter().flat_map(entities).collect();
        let facts = self.ledger().facts(height, time_ms, &taking_part)?;
        for entity in &taking_part {
            facts.admitted(entity)?;
        }
        Ok(())
    }
}
