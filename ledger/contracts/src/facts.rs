//! What is known of the network at the height at which a transaction is judged. Whoever fills it in has proven each part, or
//! reads the state itself; the rules take it as it is.

use std::collections::{BTreeMap, BTreeSet};

use stateset_ledger_types::body::Participant;
use stateset_ledger_types::entity::{Entity, Role};
use stateset_ledger_types::governance::ContractSet;
use stateset_ledger_types::ids::{ChainId, EntityId, SettlementId};
use stateset_ledger_types::keys::{KeyBinding, PublicKey, Purpose, Signature};
use stateset_ledger_types::{Code, Params, Refusal};
use ves::Digest;

use crate::contract::SignerView;
use crate::evidence::Proven;

/// The network as a transaction's judge knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub chain_id: ChainId,
    /// Time of the block that notarised the transaction; before it is notarised, the present. Unix milliseconds.
    pub time_ms: u64,
    pub params: Params,
    /// Hashes of parameters that a header may name at this height (4.2, step 9).
    pub params_hashes: BTreeSet<Digest>,
    /// Contract sets that a header may name at this height (4.2, step 9).
    pub contract_sets: Vec<ContractSet>,
    /// Records of the members that take part.
    pub entities: BTreeMap<EntityId, Entity>,
    /// Settlements that evidence in the transaction names.
    pub settlements: BTreeMap<SettlementId, Proven>,
    bindings: BTreeMap<PublicKey, KeyBinding>,
}

impl Facts {
    /// Facts of a network whose parameters and contracts are those in force.
    pub fn new(chain_id: ChainId, time_ms: u64, params: Params, contracts: ContractSet) -> Self {
        Self {
            chain_id,
            time_ms,
            params_hashes: [params.hash()].into(),
            contract_sets: vec![contracts],
            params,
            entities: BTreeMap::new(),
            settlements: BTreeMap::new(),
            bindings: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn with_entities(mut self, entities: impl IntoIterator<Item = Entity>) -> Self {
        self.entities.extend(entities.into_iter().map(|entity| (entity.entity_id, entity)));
        self
    }

    /// Takes over whose a one-time key is (1.2): `signature` is by `key`, a ledger key of the entity.
    ///
    /// # Errors
    /// NOT_AUTHORISED for a key that may not bind, BAD_SIGNATURE.
    pub fn bind(
        &mut self,
        binding: KeyBinding,
        key: &PublicKey,
        signature: &Signature,
    ) -> Result<(), Refusal> {
        let entity = self.entities.get(&binding.entity_id);
        if !entity.is_some_and(|entity| entity.signs_with(key, Purpose::LedgerSigning, self.time_ms)) {
            let said = format!("key {} is no live ledger key of {}", key.id(), binding.entity_id);
            return Err(Refusal::new(Code::NotAuthorised, said));
        }
        if !key.verify(&binding.message(&self.chain_id).0, signature) {
            return Err(Refusal::new(Code::BadSignature, "the signature of a key binding is wrong"));
        }
        self.bindings.insert(binding.one_time_key, binding);
        Ok(())
    }

    /// The member, if it may act.
    ///
    /// # Errors
    /// UNKNOWN_ENTITY, ENTITY_NOT_ACTIVE.
    pub fn admitted(&self, id: &EntityId) -> Result<&Entity, Refusal> {
        let entity = self.entities.get(id);
        let entity = entity.ok_or_else(|| Refusal::new(Code::UnknownEntity, format!("{id} is no entity")))?;
        if !entity.is_active(self.time_ms) {
            let said = format!("entity {id} is {:?}", entity.status);
            return Err(Refusal::new(Code::EntityNotActive, said));
        }
        Ok(entity)
    }

    /// Whether `id` may act in a business role: always, unless the network asks for its flag (1.3).
    pub fn is_capable(&self, id: &EntityId, role: Role) -> bool {
        let has = |entity: &Entity| entity.roles.has(role);
        self.params.require_capability == 0 || self.entities.get(id).is_some_and(has)
    }

    fn bound(&self, key: &PublicKey) -> Option<EntityId> {
        let binding = self.bindings.get(key)?;
        (self.time_ms < binding.not_after).then_some(binding.entity_id)
    }

    /// For whom `key` signs now, and with which purpose: as its ledger key, a key bound to it, or its agent's. A key of two
    /// entities speaks for neither.
    pub fn signer(&self, key: &PublicKey) -> Option<(SignerView<'_>, Purpose)> {
        let bound =
            self.bound(key).map(|entity| (SignerView { entity, scope: None }, Purpose::LedgerSigning));
        let mut found = bound.into_iter().chain(self.entities.values().filter_map(|entity| {
            let record = entity.key(key).filter(|record| record.is_live(self.time_ms))?;
            let entity = entity.entity_id;
            match (record.purpose, &record.scope) {
                (Purpose::LedgerSigning, _) => Some((SignerView { entity, scope: None }, record.purpose)),
                (Purpose::Agent, Some(_)) => {
                    Some((SignerView { entity, scope: record.scope.as_ref() }, record.purpose))
                }
                _ => None,
            }
        }));
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// Whose `key` is as a key that may hold a state: an agent's is not one.
    pub fn holder(&self, key: &PublicKey) -> Option<EntityId> {
        self.signer(key).filter(|(signer, _)| signer.scope.is_none()).map(|(signer, _)| signer.entity)
    }

    /// Which entity takes part.
    pub fn participant(&self, participant: &Participant) -> Option<EntityId> {
        match participant {
            Participant::Entity(id) => Some(*id),
            Participant::OneTimeKey(key) => self.bound(key),
        }
    }

    /// The first live ledger key of `id`: what its states are held by unless it chooses another.
    pub fn ledger_key(&self, id: &EntityId) -> Option<PublicKey> {
        let live = |record: &&stateset_ledger_types::keys::KeyRecord| {
            record.purpose == Purpose::LedgerSigning && record.is_live(self.time_ms)
        };
        Some(self.entities.get(id)?.keys.iter().find(live)?.key)
    }
}
