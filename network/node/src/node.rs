//! The node: what programs call, and what peers' messages reach.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use stateset_contracts::{Draft, Move, Resolved, StateType, assemble, draft};
use stateset_ledger_types::body::{HEADER_FORMAT, Header, TimeWindow};
use stateset_ledger_types::ids::{ChainId, EntityId, LinearId, StateRef, TxId};
use stateset_ledger_types::{Code, Refusal};
use stateset_peer::frame::SessionId;
use stateset_peer::message::{FlowId, Message, Whole};

use crate::build::{Plan, build, mode_of, random};
use crate::error::NodeError;
use crate::flow::attesting::policy_of;
use crate::flow::{Built, Entry, Flow, Input, Phase};
use crate::judge::Ledger;
use crate::keys::NodeKeys;
use crate::ports::{CapsuleStore, Chain, Clock, Consent, Decision, Peers};
use crate::probe::Probe;
use crate::trust::Resolutions;
use crate::vault::{Done, Vault, entities};
use crate::work::Bell;

/// What a node is told when it starts.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The vault's file; made where it is missing.
    pub vault: PathBuf,
    pub chain_id: ChainId,
    /// Between two looks at the ledger; grows tenfold for what takes long.
    pub poll_ms: u64,
    /// Blocks after which a transaction that was built here and is not notarised is dead.
    pub expires_blocks: u64,
    /// How far the window of a transaction reaches back: the time of a block lags behind the present.
    pub window_before_ms: u64,
    /// How far it reaches ahead.
    pub window_after_ms: u64,
    /// Most transactions behind one that is accepted (8.3).
    pub backchain_depth_max: usize,
    /// Most bytes of them.
    pub backchain_bytes_max: usize,
}

impl NodeConfig {
    /// The usual settings.
    pub fn new(vault: PathBuf, chain_id: ChainId) -> Self {
        Self {
            vault,
            chain_id,
            poll_ms: 500,
            expires_blocks: 2_000,
            window_before_ms: 60_000,
            window_after_ms: 3_600_000,
            backchain_depth_max: 10_000,
            backchain_bytes_max: 64 << 20,
        }
    }
}

/// The world as the node reaches it.
#[derive(Clone)]
pub struct Ports {
    pub chain: Arc<dyn Chain>,
    pub capsules: Arc<dyn CapsuleStore>,
    pub peers: Arc<dyn Peers>,
    pub consent: Arc<dyn Consent>,
    pub clock: Arc<dyn Clock>,
    /// [`Always`](crate::probe::Always) outside of tests.
    pub probe: Arc<dyn Probe>,
}

/// One command on one state, to be made a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition<C: StateType> {
    /// The unspent state; `None` for a command that creates.
    pub on: Option<StateRef>,
    pub command: C::Command,
    /// Entities that the command names, beside those who take part already.
    pub parties: BTreeSet<EntityId>,
    /// The time that the new state carries, inside the window; `None`: the present and the usual window.
    pub at: Option<(u64, TimeWindow)>,
}

/// Whether attesters check a step besides those who take part (3.4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attested {
    /// As the step before it; a first step is not attested.
    #[default]
    AsBefore,
    /// It is Private.
    No,
    /// By those whom this attester policy of the ledger names.
    By(u32),
}

/// A flow that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Started {
    pub flow_id: FlowId,
    pub tx_id: TxId,
    /// Of the state that the transaction is about.
    pub linear_id: Option<LinearId>,
}

/// A participant's node. It starts no thread: [`turn`](Self::turn) does one piece of work, [`run`](Self::run) all of them
/// on the caller's thread.
pub struct Node {
    pub(crate) config: NodeConfig,
    pub(crate) keys: Arc<NodeKeys>,
    pub(crate) ports: Ports,
    vault: Mutex<Vault>,
    /// Held while a piece of work is done: steps of flows are made one after the other.
    pub(crate) turn: Mutex<()>,
    pub(crate) bell: Bell,
    pub(crate) resolutions: RwLock<Resolutions>,
}

impl Node {
    /// Opens the vault; flows go on where their journals end.
    ///
    /// # Errors
    /// Those of [`Vault::open`].
    pub fn open(config: NodeConfig, keys: Arc<NodeKeys>, ports: Ports) -> Result<Self, NodeError> {
        let vault = Vault::open(&config.vault, keys.entity(), &config.chain_id)?;
        Ok(Self {
            config,
            keys,
            ports,
            vault: Mutex::new(vault),
            turn: Mutex::new(()),
            bell: Bell::default(),
            resolutions: RwLock::default(),
        })
    }

    pub fn entity(&self) -> EntityId {
        self.keys.entity()
    }

    /// What the node knows; to be let go of before the node is asked anything else.
    pub fn vault(&self) -> MutexGuard<'_, Vault> {
        self.vault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ledger(&self) -> Ledger<'_> {
        Ledger { chain: &*self.ports.chain, chain_id: &self.config.chain_id }
    }

    /// [`start_as`](Self::start_as), attested as the step before.
    ///
    /// # Errors
    /// As of [`start_as`](Self::start_as).
    pub fn start<C: StateType>(&self, transition: &Transition<C>) -> Result<Started, NodeError> {
        self.start_as(transition, Attested::AsBefore)
    }

    /// Builds the transaction of a command, signs it, and asks the others that have to sign. Returns when the flow is in
    /// the journal; the rest is done by [`turn`](Self::turn).
    ///
    /// # Errors
    /// [`NodeError::NoState`]; CONFLICT for a state that another flow has signed away; what the contract refuses.
    pub fn start_as<C: StateType>(
        &self,
        transition: &Transition<C>,
        attested: Attested,
    ) -> Result<Started, NodeError> {
        let attester_policy = match (attested, &transition.on) {
            (Attested::By(policy), _) => Some(policy),
            (Attested::AsBefore, Some(place)) => self.policy_before(place)?,
            (Attested::No, _) | (Attested::AsBefore, None) => None,
        };
        let plan = self.plan(transition, attester_policy)?;
        self.start_plan(plan)
    }

    /// The attester policy of the transaction that made the state at `place`.
    fn policy_before(&self, place: &StateRef) -> Result<Option<u32>, NodeError> {
        let made = self.vault().transaction(&place.tx_id)?.ok_or(NodeError::NoState(*place))?;
        Ok(policy_of(crate::resolve::whole_of(&made)?))
    }

    fn plan<C: StateType>(
        &self,
        transition: &Transition<C>,
        attester_policy: Option<u32>,
    ) -> Result<Plan, NodeError> {
        let tip = self.ports.chain.tip()?;
        let (at_ms, window) = transition.at.clone().unwrap_or_else(|| self.present());
        let input = transition.on.map(|place| self.unspent(&place)).transpose()?;
        let malformed = |problem| Refusal::new(Code::Malformed, problem);
        let before =
            input.as_ref().map(|input| C::from_sce(&input.output.content).map_err(malformed)).transpose()?;
        let mut parties = transition.parties.clone();
        parties.insert(self.entity());
        parties.extend(input.iter().flat_map(|input| entities(&input.output)));
        let mut facts = self.ledger().facts(tip.height, at_ms, &parties)?;
        let evidence: Vec<_> = C::evidence(&transition.command).into_iter().cloned().collect();
        self.ledger().add_settlements(&mut facts, &evidence, tip.height)?;
        let linear_id = match &input {
            Some(input) => input.output.linear_id.ok_or_else(|| malformed_state("it has no linear id"))?,
            None => LinearId(random()?),
        };
        let step = Move { linear_id, before: before.as_ref(), command: transition.command.clone(), at_ms };
        let me = self.entity();
        let key_of =
            |id: &EntityId| if *id == me { Some(self.keys.ledger_key()) } else { facts.ledger_key(id) };
        let Draft { output, command, .. } = draft::<C>(&step, &window, &facts, &key_of)?;
        let contracts = facts.contract_sets.first().expect("the set in force").hash();
        let header = Header {
            format: HEADER_FORMAT,
            chain_id: self.config.chain_id.clone(),
            not_before_height: tip.height,
            expires_height: tip.height + self.config.expires_blocks,
            params_hash: facts.params.hash(),
            contract_set_hash: contracts,
            attester_policy,
        };
        let inputs: Vec<Resolved> = input.into_iter().collect();
        let body = assemble(header, window, &inputs, [(command, output)])?;
        Ok(Plan { body, inputs })
    }

    /// As [`start`](Self::start), of a body that the caller has made.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub fn start_plan(&self, plan: Plan) -> Result<Started, NodeError> {
        let _turn = self.take_turn();
        for input in &plan.inputs {
            self.refuse_locked(&input.place)?;
        }
        self.refuse_paid(&plan.body, &plan.inputs)?;
        self.refuse_number(&plan)?;
        let tip = self.ports.chain.tip()?;
        let draft = Whole { mode: mode_of(&plan.body), body: unsalted(&plan) };
        let now = crate::ports::Tip { time_ms: self.ports.clock.now_ms().max(tip.time_ms), ..tip };
        let facts = self.ledger().facts_for(&draft, &plan.inputs, &[], now)?;
        let inputs = plan.inputs.clone();
        let built: Built = build(&self.keys, &facts, plan)?;
        // What this node would refuse to sign for others it does not propose itself.
        self.ledger().judge(&built.whole, None, &inputs, &[], now)?;
        self.refuse_unattestable(&built.whole, &inputs)?;
        let linear_id = built.whole.body.body.outputs.first().and_then(|output| output.linear_id);
        let linear_id = linear_id.or_else(|| inputs.first().and_then(|input| input.output.linear_id));
        let entry = Entry::Built(Box::new(built));
        let flow = Flow::begin(&entry).expect("a built transaction begins a flow");
        let started = Started { flow_id: flow.id, tx_id: flow.tx_id, linear_id };
        self.begin(flow, entry, Done::Call)?;
        self.bell.ring();
        Ok(started)
    }

    fn present(&self) -> (u64, TimeWindow) {
        let now = self.ports.clock.now_ms();
        let from_ms = Some(now.saturating_sub(self.config.window_before_ms));
        (now, TimeWindow { from_ms, until_ms: Some(now.saturating_add(self.config.window_after_ms)) })
    }

    /// The unspent state at `place`, with what consuming it needs.
    ///
    /// # Errors
    /// [`NodeError::NoState`].
    pub fn unspent(&self, place: &StateRef) -> Result<Resolved, NodeError> {
        let vault = self.vault();
        vault.unspent(place)?.ok_or(NodeError::NoState(*place))?;
        let signed = vault.transaction(&place.tx_id)?.ok_or(NodeError::NoState(*place))?;
        let whole = crate::resolve::whole_of(&signed)?;
        Resolved::of(&whole.body, &place.tx_id, place.index).ok_or(NodeError::NoState(*place))
    }

    pub(crate) fn refuse_locked(&self, place: &StateRef) -> Result<(), NodeError> {
        match self.vault().lock_of(place)? {
            None => Ok(()),
            Some(flow) => {
                let said = format!(
                    "another step is under way, by flow {flow}: output {} of {} is signed away until that ends",
                    place.index, place.tx_id
                );
                Err(Refusal::new(Code::Conflict, said).into())
            }
        }
    }

    /// Decides on a proposal that waits for a person.
    ///
    /// # Errors
    /// [`NodeError::NoFlow`], [`NodeError::NotDeciding`]; CONFLICT for another step of what this node has paid for.
    pub fn decide(&self, flow_id: &FlowId, decision: Decision) -> Result<(), NodeError> {
        let _turn = self.take_turn();
        let flow = self.vault().flow(flow_id)?.ok_or(NodeError::NoFlow(*flow_id))?;
        if flow.phase != Phase::Deciding {
            return Err(NodeError::NotDeciding { flow: *flow_id, phase: flow.phase.name() });
        }
        let input = match decision {
            Decision::Accept => {
                self.refuse_paid(&flow.whole.body.body, &self.inputs(&flow.whole)?)?;
                Input::Accepted
            }
            Decision::Decline(text) => Input::Declined(text),
            Decision::Ask => return Ok(()),
        };
        self.advance(flow, input, Done::Call)?;
        self.bell.ring();
        Ok(())
    }

    /// Takes a message of a peer. It is durable when this returns; [`turn`](Self::turn) does the rest.
    ///
    /// # Errors
    /// [`NodeError`] of the vault.
    pub fn receive(&self, from: &EntityId, session: SessionId, message: &Message) -> Result<(), NodeError> {
        self.vault().keep_letter(from, session, message)?;
        self.bell.ring();
        Ok(())
    }

    pub(crate) fn take_turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn malformed_state(problem: &str) -> Refusal {
    Refusal::new(Code::Malformed, format!("the state: {problem}"))
}

/// The body of a plan before its salt is drawn: enough to say who takes part and what it rests on.
fn unsalted(plan: &Plan) -> stateset_ledger_types::body::SaltedBody {
    let salt = stateset_ledger_types::tree::Salt([0; 32]);
    stateset_ledger_types::body::SaltedBody { salt, body: plan.body.clone() }
}
