//! Payments that private steps rest on (10.3): a transfer of the bank whose reference only the parties can read, and the
//! evidence of it.
//!
//! A payment is known by what it pays: its payer derives the reference from its view key, the payee, the state and the
//! version, and the ledger takes a payer's reference once. So a node that has lost what it knew, or knows less than it
//! did, finds on the ledger what it has paid, and cannot pay it again.

use std::collections::BTreeSet;

use stateset_contracts::validate::evidence;
use stateset_contracts::{PaymentEvidence, Resolved};
use stateset_ledger_types::bank::{BANK, BankCommand, DenomRecord, Settlement, Transfer, payment_reference};
use stateset_ledger_types::body::{Body, Command, HEADER_FORMAT, Header, One, OutputState, SaltedBody};
use stateset_ledger_types::codec::{Blob, Decode, Encode, List, Set, record};
use stateset_ledger_types::envelope::{PublicTx, Request, Submission};
use stateset_ledger_types::hash::Domain;
use stateset_ledger_types::ids::{Amount, ChainId, ContractId, EntityId, LinearId, SettlementId, Units};
use stateset_ledger_types::keys::{BusinessSignature, Purpose, Signature, business_message};
use stateset_ledger_types::tree::{Mode, Salt};
use stateset_ledger_types::{Code, Envelope, Refusal, StateKey};
use ves::Digest;

use crate::build::{random, signed_envelope};
use crate::error::NodeError;
use crate::node::Node;
use crate::vault::{StateFilter, describe, entities};

/// One payment for one step of one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub payee: EntityId,
    pub amount: Amount,
    pub linear_id: LinearId,
    /// Version of the state that the step will consume.
    pub version: u64,
}

record! {
    /// A payment under way: kept before it is submitted, so that it can be submitted again.
    pub struct Pending {
        pub body: SaltedBody,
        pub blind: Digest,
    }

    /// What a payment is for, whatever its amount: a payee is paid once for a version of a state.
    pub struct PaidFor {
        pub chain_id: ChainId,
        pub payer: EntityId,
        pub payee: EntityId,
        pub linear_id: LinearId,
        pub version: u64,
    }
}

/// What a payment is kept under.
fn name(payee: &EntityId, linear_id: &LinearId, version: u64) -> String {
    format!("payment {linear_id} {version} {payee}")
}

impl Pending {
    /// What it transfers.
    fn amount(&self) -> Result<Amount, NodeError> {
        let none = || Refusal::new(Code::Internal, "what is kept as a payment is no transfer");
        let command = self.body.body.commands.first().ok_or_else(none)?;
        let sce = [&command.tag.to_sce()[..], &command.args].concat();
        match BankCommand::from_sce(&sce) {
            Ok(BankCommand::Transfer(transfer)) => Ok(transfer.amount),
            _ => Err(none().into()),
        }
    }
}

/// A payment that the ledger holds.
struct Made {
    id: SettlementId,
    amount: Amount,
    blind: Digest,
}

impl Node {
    /// Pays, or goes on with the same payment: call again until the evidence is there. However often it is called, and
    /// whatever happens in between to this node or its vault, a payee is paid once for a version of a state.
    ///
    /// # Errors
    /// [`NodeError::Refused`] with the ledger's code, as INSUFFICIENT_FUNDS; [`NodeError::Chain`].
    pub fn pay(&self, payment: &Payment) -> Result<Option<PaymentEvidence>, NodeError> {
        let _turn = self.take_turn();
        let name = name(&payment.payee, &payment.linear_id, payment.version);
        let tip = self.ports.chain.tip()?;
        let pending = self.vault().kept::<Pending>(&name)?;
        // The ledger knows what an older vault does not.
        let made =
            self.made(&payment.payee, &payment.linear_id, payment.version, pending.as_ref(), tip.height)?;
        if let Some(made) = made {
            refuse_other_amount(&made.amount, &payment.amount)?;
            return self.evidence(&payment.linear_id, payment.version, &made).map(Some);
        }
        let Some(pending) = pending else {
            self.refuse_in_vain(payment)?;
            let pending = self.transfer(payment)?;
            self.vault().keep(&name, &pending)?;
            self.submit_transfer(&pending)?;
            return Ok(None);
        };
        refuse_other_amount(&pending.amount()?, &payment.amount)?;
        let expires = pending.body.body.header.0.expires_height;
        if tip.height > expires {
            self.vault().forget(&name)?;
            let said = format!("the payment was not made by height {expires}; nothing was paid, pay again");
            return Err(Refusal::new(Code::Expired, said).into());
        }
        self.submit_transfer(&pending)?;
        Ok(None)
    }

    /// Evidence of a payment that was made by [`pay`](Self::pay); `None` where none was, or not yet.
    ///
    /// # Errors
    /// As of [`pay`](Self::pay).
    pub fn paid(
        &self,
        payee: &EntityId,
        linear_id: &LinearId,
        version: u64,
    ) -> Result<Option<PaymentEvidence>, NodeError> {
        let _turn = self.take_turn();
        let height = self.ports.chain.tip()?.height;
        let pending = self.vault().kept::<Pending>(&name(payee, linear_id, version))?;
        let made = self.made(payee, linear_id, version, pending.as_ref(), height)?;
        made.map(|made| self.evidence(linear_id, version, &made)).transpose()
    }

    /// What this entity has paid to `payee` for the version, as of `height`: by the reference, and by the transfer that the
    /// vault keeps, which may be of another blind.
    fn made(
        &self,
        payee: &EntityId,
        linear_id: &LinearId,
        version: u64,
        pending: Option<&Pending>,
        height: u64,
    ) -> Result<Option<Made>, NodeError> {
        let derived = self.blind(payee, linear_id, version);
        let reference = payment_reference(linear_id, version, &derived);
        let by_reference: Option<SettlementId> =
            self.ledger().record(&StateKey::payment(&self.entity(), &reference), height)?;
        let found = match (by_reference, pending) {
            (Some(id), _) => Some((id, derived)),
            (None, Some(kept)) => {
                let id = SettlementId::of(&kept.body.tx_id(Mode::Public), 0);
                Some((id, kept.blind))
            }
            (None, None) => None,
        };
        let Some((id, blind)) = found else { return Ok(None) };
        let settlement: Option<Settlement> = self.ledger().record(&StateKey::settlement(&id), height)?;
        Ok(settlement.map(|settlement| Made { id, amount: settlement.amount, blind }))
    }

    /// The blind of a payment. Who is shown one learns nothing of another, and the same payment has the same at every
    /// attempt: one that came into no block has used up nothing.
    fn blind(&self, payee: &EntityId, linear_id: &LinearId, version: u64) -> Digest {
        let (chain_id, payer) = (self.config.chain_id.clone(), self.entity());
        let paid = PaidFor { chain_id, payer, payee: *payee, linear_id: *linear_id, version };
        Digest(self.keys.derive(Domain::PaymentBlind, &paid.to_sce()))
    }

    /// Nothing is paid for a step that cannot follow: of a version that is consumed, or that another step is about to
    /// consume, or with money that is not there.
    fn refuse_in_vain(&self, payment: &Payment) -> Result<(), NodeError> {
        let conflict = |said: String| NodeError::from(Refusal::new(Code::Conflict, said));
        let filter =
            StateFilter { linear_id: Some(payment.linear_id), unspent: Some(true), ..StateFilter::default() };
        let held = self.vault().states(&filter, None, 1)?.items.pop();
        if let Some(held) = held {
            if held.version != Some(payment.version) {
                let said = format!("version {} is asked for, and this vault holds another", payment.version);
                return Err(conflict(said));
            }
            self.refuse_locked(&held.place)?;
            if let Some(flow) = self.vault().open_flow_on(&held.place)? {
                let said = format!("flow {flow} proposes another step of it: approve or decline that first");
                return Err(conflict(said));
            }
            let tip = self.ports.chain.tip()?;
            if let Some(consumer) = self.ledger().consumer(&held.spent_key, tip.height)? {
                return Err(conflict(format!("{consumer} has consumed this version: this vault is behind")));
            }
        }
        self.refuse_unfunded(&payment.amount)
    }

    fn refuse_unfunded(&self, amount: &Amount) -> Result<(), NodeError> {
        let height = self.ports.chain.tip()?.height;
        let key = StateKey::balance(&self.entity().account(), &amount.denom);
        let held: Option<Units> = self.ledger().record(&key, height)?;
        let held = held.unwrap_or(Units(0));
        if held < amount.units {
            let known: Option<DenomRecord> = self.ledger().record(&StateKey::denom(&amount.denom), height)?;
            let exponent = known.map_or(0, |known| known.exponent);
            let [asked, held] = [amount.units, held].map(|units| units.decimal(exponent));
            let said = format!("{asked} {} are to be paid, and {held} are there", amount.denom);
            return Err(Refusal::new(Code::InsufficientFunds, said).into());
        }
        Ok(())
    }

    /// What this node has paid for a version is not lost by another step of it: such a step is neither begun nor approved.
    pub(crate) fn refuse_paid(&self, body: &Body, inputs: &[Resolved]) -> Result<(), NodeError> {
        let evidence: BTreeSet<Digest> = evidence(body)?.iter().map(|evidence| evidence.blind).collect();
        for input in inputs {
            let version = describe(&input.output).map(|described| described.version);
            let Some((linear_id, version)) = input.output.linear_id.zip(version) else { continue };
            let kept = self.vault().kept_like::<Pending>(&format!("payment {linear_id} {version} "))?;
            let is_unspent = kept.iter().any(|pending| !evidence.contains(&pending.blind))
                || self.has_paid_any(&input.output, &linear_id, version, &evidence)?;
            if is_unspent {
                let said = format!("version {version} of {linear_id} is paid for: that step comes first");
                return Err(Refusal::new(Code::Conflict, said).into());
            }
        }
        Ok(())
    }

    /// Whether the ledger holds a payment of this entity to one who takes part in the state, for this version, beside those
    /// with the blinds of `evidence`: an older vault does not know of it.
    fn has_paid_any(
        &self,
        state: &OutputState,
        linear_id: &LinearId,
        version: u64,
        evidence: &BTreeSet<Digest>,
    ) -> Result<bool, NodeError> {
        let height = self.ports.chain.tip()?.height;
        for payee in entities(state).filter(|entity| *entity != self.entity()) {
            let made = self.made(&payee, linear_id, version, None, height)?;
            if made.is_some_and(|made| !evidence.contains(&made.blind)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn transfer(&self, payment: &Payment) -> Result<Pending, NodeError> {
        let blind = self.blind(&payment.payee, &payment.linear_id, payment.version);
        let reference = payment_reference(&payment.linear_id, payment.version, &blind);
        let transfer = BankCommand::Transfer(Transfer {
            payer: self.entity(),
            payee: payment.payee.account(),
            amount: payment.amount.clone(),
            reference: Some(reference),
        });
        let sce = transfer.to_sce();
        let command = Command {
            contract_id: ContractId::new(BANK).expect("a contract's name"),
            tag: transfer.tag(),
            // Behind the tag.
            args: Blob::new(&sce[2..]).expect("a transfer is short"),
            signers: Set::new([self.keys.ledger_key()]).expect("one key"),
        };
        let tip = self.ports.chain.tip()?;
        let facts = self.ledger().facts(tip.height, tip.time_ms, &[].into())?;
        let header = Header {
            format: HEADER_FORMAT,
            chain_id: self.config.chain_id.clone(),
            not_before_height: 0,
            expires_height: tip.height + self.config.expires_blocks,
            params_hash: facts.params.hash(),
            contract_set_hash: facts.contract_sets.first().expect("the set in force").hash(),
            attester_policy: None,
        };
        let body = Body {
            nullifiers: List::default(),
            outputs: List::default(),
            commands: List::new([command]).expect("one command"),
            references: List::default(),
            attachments: List::default(),
            time_window: List::default(),
            header: One(header),
            inputs: List::default(),
            capsules: List::default(),
            memo: List::default(),
        };
        Ok(Pending { body: SaltedBody { salt: Salt(random()?), body }, blind })
    }

    fn submit_transfer(&self, pending: &Pending) -> Result<(), NodeError> {
        let (chain_id, key) = (&self.config.chain_id, self.keys.ledger_key());
        let (tx_id, purpose) = (pending.body.tx_id(Mode::Public), Purpose::LedgerSigning);
        let signature = self.keys.sign(&business_message(chain_id, &tx_id, purpose, &key))?;
        let submission =
            Submission { entity: self.entity(), seq: self.next_seq()?, key, signature: Signature([0; 64]) };
        let request = Request::PublicTx(Box::new(PublicTx {
            content: pending.body.clone(),
            signatures: List::new([BusinessSignature { purpose, key, signature }]).expect("one signature"),
            openings: List::default(),
            submission,
        }));
        let envelope: Envelope = signed_envelope(&self.keys, request, chain_id)?;
        match self.ports.chain.submit(envelope.bytes())? {
            Ok(()) => Ok(()),
            // It is made, by this transfer or by another of the same reference: the next look finds it.
            Err(refusal) if matches!(refusal.code, Code::AlreadyNotarised | Code::Conflict) => Ok(()),
            Err(refusal) if crate::flow::is_for_now(refusal.code) => Ok(()),
            Err(refusal) => Err(refusal.into()),
        }
    }

    fn evidence(
        &self,
        linear_id: &LinearId,
        version: u64,
        made: &Made,
    ) -> Result<PaymentEvidence, NodeError> {
        let (settlement, height) = (made.id, self.ports.chain.tip()?.height);
        let proven = self.ports.chain.prove(&StateKey::settlement(&settlement), height)?;
        if proven.value.is_none() {
            let said = format!("height {height} has no settlement {settlement}");
            return Err(Refusal::new(Code::NotFound, said).into());
        }
        let proof = Blob::new(proven.proof).map_err(|error| Refusal::new(Code::TooLarge, error))?;
        let (linear_id, blind) = (*linear_id, made.blind);
        Ok(PaymentEvidence { settlement, height, proof, linear_id, version, blind })
    }
}

fn refuse_other_amount(made: &Amount, asked: &Amount) -> Result<(), Refusal> {
    if made == asked {
        return Ok(());
    }
    let said = format!(
        "{} of {} are paid for this version, or about to be; ask for that amount",
        made.units, made.denom
    );
    Err(Refusal::new(Code::Conflict, said))
}

impl crate::Vault {
    /// Every record kept under a name that begins like this.
    fn kept_like<T: Decode>(&self, beginning: &str) -> Result<Vec<T>, NodeError> {
        let read = |problem| NodeError::Damaged { what: "setting", problem };
        self.settings_like(beginning)?.iter().map(|bytes| T::from_sce(bytes).map_err(read)).collect()
    }

    /// A record kept under `name`.
    fn kept<T: Decode>(&self, name: &str) -> Result<Option<T>, NodeError> {
        let read = |problem| NodeError::Damaged { what: "setting", problem };
        self.setting(name)?.map(|bytes| T::from_sce(&bytes).map_err(read)).transpose()
    }

    fn keep(&mut self, name: &str, value: &impl Encode) -> Result<(), NodeError> {
        self.set(name, &value.to_sce())
    }
}
