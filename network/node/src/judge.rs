//! What is known of the network at one height, read from the ledger with proofs, and the rules asked on it (4.2).

use std::collections::BTreeSet;

use stateset_contracts::validate::evidence;
use stateset_contracts::{Facts, PaymentEvidence, Proven, Resolved, Transaction, validate};
use stateset_ledger_types::bank::Settlement;
use stateset_ledger_types::body::Header;
use stateset_ledger_types::codec::Decode;
use stateset_ledger_types::entity::Entity;
use stateset_ledger_types::governance::ContractSet;
use stateset_ledger_types::ids::{ChainId, EntityId, SpentKey, TxId};
use stateset_ledger_types::notary::NotaryRecord;
use stateset_ledger_types::tree::Mode;
use stateset_ledger_types::{Code, Params, Refusal, StateKey};
use stateset_peer::message::{Signatures, SignedBinding, Whole};

use crate::error::{ChainError, NodeError};
use crate::ports::{Chain, Tip};
use crate::vault::members;

/// Reads the ledger for one node.
#[derive(Clone, Copy)]
pub struct Ledger<'a> {
    pub chain: &'a dyn Chain,
    pub chain_id: &'a ChainId,
}

impl Ledger<'_> {
    /// The record at `key` in the state of `height`.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn record<T: Decode>(&self, key: &StateKey, height: u64) -> Result<Option<T>, ChainError> {
        let value = self.chain.prove(key, height)?.value;
        let bad = |problem| ChainError::NotProven(format!("{key} at height {height}: {problem}"));
        value.map(|value| T::from_sce(&value).map_err(bad)).transpose()
    }

    /// Who consumed a state, as of `height`.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn consumer(&self, spent: &SpentKey, height: u64) -> Result<Option<TxId>, ChainError> {
        self.record(&StateKey::spent(spent), height)
    }

    /// Where a transaction stands, as of `height`.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn notarised(&self, tx_id: &TxId, height: u64) -> Result<Option<NotaryRecord>, ChainError> {
        self.record::<NotaryRecord>(&StateKey::tx(tx_id), height)
    }

    /// The network at `height`, with the records of `entities`; `time_ms` is what the rules take as the present.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn facts(
        &self,
        height: u64,
        time_ms: u64,
        entities: &BTreeSet<EntityId>,
    ) -> Result<Facts, ChainError> {
        let missing = |what: &str| ChainError::NotProven(format!("height {height} has no {what}"));
        let params: Params =
            self.record(&StateKey::params(), height)?.ok_or_else(|| missing("parameters"))?;
        let contracts: ContractSet =
            self.record(&StateKey::contract_set(), height)?.ok_or_else(|| missing("set of contracts"))?;
        let mut records = Vec::new();
        for id in entities {
            records.extend(self.record::<Entity>(&StateKey::entity(id), height)?);
        }
        Ok(Facts::new(self.chain_id.clone(), time_ms, params, contracts).with_entities(records))
    }

    /// Adds what `header` may name besides (4.2, step 9): parameters and contracts at the height that it calls its first,
    /// and at the oldest within the grace. A value that held between the two only is not found, which refuses too much,
    /// never too little.
    fn add_named(&self, facts: &mut Facts, header: &Header, height: u64) {
        let has_params = facts.params_hashes.contains(&header.params_hash);
        if has_params && facts.contract_sets.iter().any(|set| set.hash() == header.contract_set_hash) {
            return;
        }
        let oldest = height.saturating_sub(facts.params.params_grace_blocks);
        for at in [header.not_before_height, oldest] {
            if !(oldest..=height).contains(&at) {
                continue;
            }
            // A height that is not kept any more tells nothing.
            if let Ok(Some(params)) = self.record::<Params>(&StateKey::params(), at) {
                facts.params_hashes.insert(params.hash());
            }
            if let Ok(Some(set)) = self.record::<ContractSet>(&StateKey::contract_set(), at) {
                facts.contract_sets.push(set);
            }
        }
    }

    /// Adds the settlements that `evidence` names, each as the ledger itself holds it at the evidence's height.
    pub(crate) fn add_settlements(
        &self,
        facts: &mut Facts,
        evidence: &[PaymentEvidence],
        height: u64,
    ) -> Result<(), NodeError> {
        for claimed in evidence {
            if claimed.height > height {
                let said = format!("the evidence is of height {}, after {height}", claimed.height);
                return Err(Refusal::new(Code::Invariant, said).into());
            }
            let key = StateKey::settlement(&claimed.settlement);
            let Some(settlement) = self.record::<Settlement>(&key, claimed.height)? else {
                let said = format!("height {} has no settlement {}", claimed.height, claimed.settlement);
                return Err(Refusal::new(Code::NotFound, said).into());
            };
            let time_ms = self.chain.block_time(claimed.height)?;
            facts
                .settlements
                .insert(claimed.settlement, Proven { settlement, height: claimed.height, time_ms });
        }
        Ok(())
    }

    /// All that the rules need to know for `whole` at `tip`.
    ///
    /// # Errors
    /// [`NodeError::Chain`]; [`NodeError::Refused`] for evidence of nothing.
    pub fn facts_for(
        &self,
        whole: &Whole,
        inputs: &[Resolved],
        bindings: &[SignedBinding],
        tip: Tip,
    ) -> Result<Facts, NodeError> {
        let members = members(whole, inputs);
        let mut facts = self.facts(tip.height, tip.time_ms, &members)?;
        self.add_named(&mut facts, &whole.body.body.header.0, tip.height);
        self.add_settlements(&mut facts, &evidence(&whole.body.body)?, tip.height)?;
        for bound in bindings {
            facts.bind(bound.binding.clone(), &bound.key, &bound.signature)?;
        }
        Ok(facts)
    }

    /// Whether `whole` may be signed, or, with its signatures, is valid at `tip`. Returns what was known of the network.
    ///
    /// # Errors
    /// [`NodeError::Refused`] with the code of the rule; [`NodeError::Chain`].
    pub fn judge(
        &self,
        whole: &Whole,
        signatures: Option<&Signatures>,
        inputs: &[Resolved],
        references: &[Resolved],
        tip: Tip,
    ) -> Result<Facts, NodeError> {
        let policy = whole.body.body.header.0.attester_policy;
        match whole.mode {
            Mode::Private => {}
            Mode::Attested if policy.is_some() => {}
            Mode::Attested => {
                let said = "an Attested transaction names its attester policy";
                return Err(Refusal::new(Code::Malformed, said).into());
            }
            Mode::Public => {
                let said = "this node takes part in Private and Attested transactions, this one is Public";
                return Err(Refusal::new(Code::Unsupported, said).into());
            }
        }
        let bindings = signatures.map(|signatures| signatures.bindings.to_vec()).unwrap_or_default();
        let facts = self.facts_for(whole, inputs, &bindings, tip)?;
        let tx_id = whole.body.tx_id(whole.mode);
        let transaction = Transaction {
            tx_id,
            mode: whole.mode,
            whole: &whole.body,
            signatures: signatures.map(|signatures| &*signatures.business),
            inputs,
            references,
        };
        validate(&transaction, &facts)?;
        Ok(facts)
    }

    /// Refuses what a nullifier or reference of `whole` makes impossible: a state that another transaction consumed.
    ///
    /// # Errors
    /// [`NodeError::Refused`] with CONFLICT or REFERENCE_SPENT; [`NodeError::Chain`].
    pub fn refuse_consumed(&self, whole: &Whole, tx_id: &TxId, height: u64) -> Result<(), NodeError> {
        let body = &whole.body.body;
        for (index, nullifier) in body.nullifiers.iter().enumerate() {
            if let Some(consumer) = self.consumer(&nullifier.spent_key(), height)?.filter(|by| by != tx_id) {
                let said = format!("input {index} was consumed by {consumer}");
                return Err(Refusal::new(Code::Conflict, said).into());
            }
        }
        for (index, reference) in body.references.iter().enumerate() {
            if let Some(consumer) = self.consumer(reference, height)? {
                let said = format!("reference {index} was consumed by {consumer}");
                return Err(Refusal::new(Code::ReferenceSpent, said).into());
            }
        }
        Ok(())
    }
}
