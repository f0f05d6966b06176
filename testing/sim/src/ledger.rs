//! Worlds of the shared ledger: real state machines over real stores, on disks that lose power, in a consensus that the
//! world plays, with companies that cheat and proposers that lie.
//!
//! - what every node must say: [`model`]; the nodes: [`replica`]; who sends requests: [`submitters`]; what must have been tried
//!   in every hostile world, and refused: [`attacks`].
//!
//! Checked in every run: each request gets the result that the model gives; a state is consumed once; after each block, at
//! each node, what exists is somewhere; every node has the same results and the same app hash at every height, whatever it went through; what one
//! node proposes, all accept; a block with a request that nobody may take, all reject; a store that lost power holds whole
//! blocks.

pub mod attacks;
mod kinds;
pub mod model;
pub mod replica;
pub mod submitters;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use stateset_fixtures::ledger as network;
use stateset_ledger_app::application::{Application, Proposal};
use stateset_ledger_types::{Code, Genesis, Params};
use ves::Digest;
use ves::hash::Hasher;

use crate::Rng;
use crate::trace::{Failure, Trace};
use attacks::Attack;
pub use kinds::{LEDGER_WORLDS, LedgerWorld, ledger_world};
use model::{Model, PREFIXES, Tx};
use replica::{Made, Ordered, Replica};
use submitters::{Sent, Submitters};

/// A promise that does not hold.
#[derive(Debug)]
pub struct Broken(pub String);

/// A deliberate mistake, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// No node writes down what was consumed.
    ForgetsConsumption,
    /// One node loses the sequences of submitters.
    OneNodeForgetsSequences,
    /// Every balance that changes is off by one.
    MakesMoney,
    /// Nodes vote for whatever is proposed.
    AcceptsEveryBlock,
}

/// Steps of a world for each of its blocks, at most: blocks are rejected, and attacks may need what is not there yet.
const STEPS_PER_BLOCK_MAX: u64 = 12;

/// Runs a world.
///
/// # Errors
/// [`Failure`] when a promise was broken.
pub fn run(
    world: &LedgerWorld,
    seed: u64,
    sabotage: Option<Sabotage>,
    keeps_lines: bool,
) -> Result<Trace, Box<Failure>> {
    let mut chain = Chain::new(*world, seed, sabotage, keeps_lines);
    match chain.run() {
        Ok(()) => Ok(chain.trace),
        Err(Broken(problem)) => Err(Box::new(Failure { problem, trace: chain.trace })),
    }
}

struct Chain {
    world: LedgerWorld,
    rng: Rng,
    sabotage: Option<Sabotage>,
    trace: Trace,
    params: Params,
    nodes: Vec<Replica>,
    submitters: Submitters,
    model: Model,
    /// What is on its way, by the hash of its bytes.
    known: BTreeMap<Digest, Sent>,
    /// Bytes in the pool, in order of arrival.
    pool: Vec<Vec<u8>>,
    /// Decided blocks with what the first node made of them; place 0 is height 1.
    decided: Vec<(Ordered, Made)>,
    /// Unix milliseconds of each height, genesis first.
    times: Vec<u64>,
}

/// The genesis of every world, and its text. Its certificates are signed once.
fn genesis() -> &'static (Genesis, String) {
    static GENESIS: LazyLock<(Genesis, String)> = LazyLock::new(|| {
        let mut genesis = network::genesis();
        for (name, value) in
            [("quota_tx_per_block", model::QUOTA), ("default_fee_bps", model::FEE_BPS as u64)]
        {
            genesis.params.set(name, value).expect("within its bounds");
        }
        let text = genesis.to_json();
        (genesis, text)
    });
    &GENESIS
}

impl Chain {
    fn new(world: LedgerWorld, seed: u64, sabotage: Option<Sabotage>, keeps_lines: bool) -> Self {
        let (genesis, text) = genesis();
        let mut rng = Rng::new(seed);
        Self {
            world,
            sabotage,
            trace: Trace::new(world.name, seed, keeps_lines),
            nodes: (0..world.nodes).map(|number| Replica::new(number, text)).collect(),
            params: genesis.params.clone(),
            submitters: Submitters::new(rng.fork()),
            model: Model::of_genesis(),
            known: BTreeMap::new(),
            pool: Vec::new(),
            decided: Vec::new(),
            times: vec![network::GENESIS_TIME],
            rng,
        }
    }

    fn height(&self) -> u64 {
        self.decided.len() as u64
    }

    fn run(&mut self) -> Result<(), Broken> {
        while self.height() < self.world.blocks || self.has_untried() {
            self.trace.steps += 1;
            if self.trace.steps > STEPS_PER_BLOCK_MAX * self.world.blocks {
                let refused = &self.trace.attacks;
                return Err(Broken(format!("not every attack comes to its refusal: {refused:?}")));
            }
            let proposer = self.rng.below(self.nodes.len());
            self.catch_up(proposer)?;
            self.arrive(proposer)?;
            let (block, is_honest) = self.propose(proposer)?;
            if self.vote(&block, is_honest)? {
                self.decide(block, is_honest)?;
                self.spread()?;
            }
        }
        for node in 0..self.nodes.len() {
            self.catch_up(node)?;
            self.compare_with_model(node)?;
        }
        Ok(())
    }

    /// Requests reach the proposer's pool, if its check lets them.
    fn arrive(&mut self, proposer: usize) -> Result<(), Broken> {
        let (height, time_ms) = (self.height(), *self.times.last().expect("genesis"));
        self.model.begin(height, time_ms);
        for _ in 0..self.rng.below(9) {
            let sent = self.submitters.next(&self.model, height, time_ms, &self.params, self.world.hostile);
            self.arrives(proposer, sent)?;
        }
        for attack in Attack::ALL {
            if self.is_untried(attack) {
                let now = (height, time_ms);
                for sent in self.submitters.attack(attack, &self.model, now, &self.params) {
                    self.arrives(proposer, sent)?;
                }
            }
        }
        Ok(())
    }

    fn arrives(&mut self, proposer: usize, sent: Sent) -> Result<(), Broken> {
        let node = &self.nodes[proposer];
        let checked = node.ledger.check_tx(&node.view(), &sent.bytes);
        let code = checked.map_err(|fault| Broken(fault.to_string()))?.code;
        let expected = sent.means.as_ref().map(|tx| self.model.admits(tx).err());
        self.same_code("CheckTx", &sent, expected, code)?;
        self.trace.line(|| format!("{} arrives: {}", sent.what, name(code)));
        self.refused(sent.attack, Code::from_code(code));
        if code == 0 {
            self.pool.push(sent.bytes.clone());
        }
        self.known.insert(hash(&sent.bytes), sent);
        Ok(())
    }

    /// Counts an attack that came to its refusal.
    fn refused(&mut self, attack: Option<Attack>, code: Option<Code>) {
        if let (Some(attack), Some(code)) = (attack, code)
            && attack.is_refused_by(code)
        {
            *self.trace.attacks.entry(attack.name()).or_default() += 1;
        }
    }

    fn is_untried(&self, attack: Attack) -> bool {
        self.world.hostile > 0 && !self.trace.attacks.contains_key(attack.name())
    }

    fn has_untried(&self) -> bool {
        Attack::ALL.into_iter().any(|attack| self.is_untried(attack))
    }

    /// Counts the members that have more in the pool than a block may have of them; `block` must have no more than that.
    fn keep_to_quotas(&mut self, block: &[Vec<u8>]) -> Result<(), Broken> {
        let of = |requests: &[Vec<u8>], by: u8| {
            let is_of = |tx: &&Tx| tx.by == by && self.model.admits(tx).is_ok();
            let means = requests.iter().filter_map(|bytes| self.known[&hash(bytes)].means.as_ref());
            means.filter(is_of).count() as u64
        };
        let mut kept = 0;
        for by in 1..=network::MEMBERS {
            if of(block, by) > model::QUOTA {
                return Err(Broken(format!("a block is proposed with more of member {by} than its quota")));
            }
            kept += u64::from(of(&self.pool, by) > model::QUOTA);
        }
        if kept > 0 {
            *self.trace.attacks.entry(Attack::OverQuota.name()).or_default() += kept;
        }
        Ok(())
    }

    /// `expected`: `None` for any refusal.
    fn same_code(
        &self,
        where_: &str,
        sent: &Sent,
        expected: Option<Option<Code>>,
        code: u32,
    ) -> Result<(), Broken> {
        let is_right = match expected {
            Some(expected) => code == expected.map_or(0, Code::code),
            None => code != 0 && code != Code::Internal.code(),
        };
        if is_right {
            return Ok(());
        }
        let expected = expected.map_or("a refusal".to_owned(), |code| name(code.map_or(0, Code::code)));
        Err(Broken(format!("{where_} of {}: {} instead of {expected}", sent.what, name(code))))
    }

    /// The next block, and whether its proposer kept to the rules.
    fn propose(&mut self, proposer: usize) -> Result<(Ordered, bool), Broken> {
        let height = self.height() + 1;
        let time_ms = self.times[self.height() as usize] + 1_000 + self.rng.below(2_000) as u64;
        let node = &self.nodes[proposer];
        let transactions = self.pool.iter().map(Vec::as_slice).collect();
        let proposal = Proposal { height, time_ms, transactions, bytes_max: 1 << 20 };
        let places = node.ledger.prepare_proposal(&node.view(), &proposal);
        let places = places.map_err(|fault| Broken(fault.to_string()))?;
        let mut block: Vec<Vec<u8>> = places.iter().map(|place| self.pool[*place].clone()).collect();
        self.keep_to_quotas(&block)?;
        self.pool.clear();
        let lies = self.rng.chance(self.world.hostile / 3) && !self.known.is_empty();
        if lies {
            for _ in 0..=self.rng.below(3) {
                let all: Vec<&Sent> = self.known.values().collect();
                let bytes = self.rng.pick(&all).bytes.clone();
                block.insert(self.rng.below(block.len() + 1), bytes);
            }
            self.trace.reach("a proposer that lies");
        }
        Ok((Ordered { height, time_ms, transactions: block }, !lies))
    }

    /// Whether the block is decided: all nodes must be of one mind.
    fn vote(&mut self, block: &Ordered, is_honest: bool) -> Result<bool, Broken> {
        let may = block.transactions.iter().all(|bytes| self.known[&hash(bytes)].means.is_some());
        for node in &self.nodes {
            if node.height() + 1 != block.height {
                continue;
            }
            let vote = node.ledger.process_proposal(&node.view(), &block.block());
            let mut vote = vote.map_err(|fault| Broken(fault.to_string()))?;
            if self.sabotage == Some(Sabotage::AcceptsEveryBlock) {
                vote = true;
            }
            if vote != may {
                let kind = if is_honest { "an honest" } else { "a false" };
                return Err(Broken(format!("node {} votes {vote} on {kind} block", node.number)));
            }
        }
        if !may {
            self.trace.reach("a rejected block");
            self.trace.line(|| format!("block {} is rejected", block.height));
        }
        Ok(may)
    }

    /// The model executes the block.
    fn decide(&mut self, block: Ordered, is_honest: bool) -> Result<(), Broken> {
        self.times.push(block.time_ms);
        self.model.begin(block.height, block.time_ms);
        let before = self.model.spent.len();
        let mut expected = Vec::new();
        for bytes in &block.transactions {
            let sent = &self.known[&hash(bytes)];
            let tx: &Tx = sent.means.as_ref().expect("the block was voted for");
            let code = self.model.execute(tx).err();
            if is_honest && matches!(code, Some(Code::AlreadyNotarised | Code::Quota | Code::BadSequence)) {
                return Err(Broken(format!("{} is proposed in vain: {code:?}", sent.what)));
            }
            expected.push(code);
        }
        let locked = self.model.escrows.values().filter(|locked| locked.units > 0).count();
        self.model.end();
        if self.model.escrows.values().filter(|locked| locked.units > 0).count() < locked {
            self.trace.reach("an escrow that expired");
        }
        let made = self.first_execution(&block, &expected)?;
        for (bytes, code) in block.transactions.iter().zip(&expected) {
            let attack = self.known[&hash(bytes)].attack;
            self.refused(attack, *code);
        }
        for code in &expected {
            self.trace.acknowledged += u64::from(code.is_none());
            self.trace.reach(landmark(*code));
        }
        let consumed = self.model.spent.len() - before;
        let (height, count) = (block.height, block.transactions.len());
        self.trace.line(|| format!("block {height} of {count} consumes {consumed}, {}", hex(&made.app_hash)));
        self.decided.push((block, made));
        if !self.model.holds_all() {
            return Err(Broken("the books of the test do not add up".to_owned()));
        }
        Ok(())
    }

    /// The first node that can executes the block; the others are compared with it.
    fn first_execution(&mut self, block: &Ordered, expected: &[Option<Code>]) -> Result<Made, Broken> {
        let first = (0..self.nodes.len()).find(|node| self.nodes[*node].height() + 1 == block.height);
        let node = first.expect("the proposer has every block before");
        let (made, is_committed) = self.nodes[node].deliver(block, self.sabotage)?;
        for (bytes, (result, expected)) in block.transactions.iter().zip(made.results.iter().zip(expected)) {
            self.same_code("execution", &self.known[&hash(bytes)], Some(*expected), result.code)?;
        }
        if is_committed {
            self.compare_with_model(node)?;
        } else {
            self.lost_power(node)?;
        }
        Ok(made)
    }

    /// The rows that follow from the model are the rows of the state.
    fn compare_with_model(&self, node: usize) -> Result<(), Broken> {
        let mut found = BTreeMap::new();
        for (substore, from, to) in PREFIXES {
            let rows = self.nodes[node].rows(substore, from, to).into_iter();
            found.extend(rows.map(|(key, value)| ((substore, key), value)));
        }
        let expected = self.model.rows();
        if found == expected {
            return Ok(());
        }
        let is_other = |(place, value): &(&(_, Vec<u8>), &Vec<u8>)| found.get(*place) != Some(value);
        let missing = expected.iter().find(is_other).map(|(place, _)| place);
        let place = missing.or_else(|| found.keys().find(|place| !expected.contains_key(*place)));
        let text =
            place.map(|(substore, key)| format!("{}/{}", substore.name(), String::from_utf8_lossy(key)));
        Err(Broken(format!("node {node} differs from the model at {}", text.unwrap_or_default())))
    }

    /// The other nodes get the block, or do not; some fail over it.
    fn spread(&mut self) -> Result<(), Broken> {
        for node in 0..self.nodes.len() {
            if self.rng.chance(self.world.faults) {
                match self.rng.below(5) {
                    0 => self.restart(node)?,
                    1 => {
                        self.trace.reach("a node that lags");
                        continue;
                    }
                    2 => self.nodes[node].keep_backup(),
                    3 => {
                        if self.nodes[node].restore_backup(&self.times)? {
                            self.trace.reach("an old backup");
                        }
                    }
                    _ => {
                        let operations = self.rng.below(24) as u64;
                        self.nodes[node].will_lose_power(operations);
                    }
                }
            }
            self.catch_up(node)?;
        }
        Ok(())
    }

    fn restart(&mut self, node: usize) -> Result<(), Broken> {
        self.trace.starts += 1;
        self.nodes[node].restart(&mut self.rng, &self.times)?;
        let height = self.nodes[node].height();
        self.trace.line(|| format!("node {node} starts at height {height}"));
        Ok(())
    }

    /// Executes what `node` has not, and compares each height.
    fn catch_up(&mut self, node: usize) -> Result<(), Broken> {
        while self.nodes[node].height() < self.height() {
            let at = self.nodes[node].height() as usize;
            let (block, expected) = &self.decided[at];
            let (made, is_committed) = self.nodes[node].deliver(block, self.sabotage)?;
            if made != *expected {
                let what = if made.app_hash == expected.app_hash { "results" } else { "app hash" };
                return Err(Broken(format!("node {node} has another {what} at height {}", at + 1)));
            }
            if !is_committed {
                self.lost_power(node)?;
            }
        }
        Ok(())
    }

    fn lost_power(&mut self, node: usize) -> Result<(), Broken> {
        self.trace.faults += 1;
        self.trace.reach("power lost in a commit");
        self.restart(node)
    }
}

fn hash(bytes: &[u8]) -> Digest {
    Hasher::bare().bytes(bytes).finish()
}

fn name(code: u32) -> String {
    match Code::from_code(code) {
        Some(code) => code.name(),
        None => "OK".to_owned(),
    }
}

fn hex(app_hash: &[u8; 32]) -> String {
    Digest(*app_hash).to_string()
}

/// The landmark of a result; those that a world cannot meet have one name.
fn landmark(code: Option<Code>) -> &'static str {
    match code {
        None => "OK",
        Some(Code::AlreadyNotarised) => "ALREADY_NOTARISED",
        Some(Code::Quota) => "QUOTA",
        Some(Code::BadSequence) => "BAD_SEQUENCE",
        Some(Code::Conflict) => "CONFLICT",
        Some(Code::ReferenceSpent) => "REFERENCE_SPENT",
        Some(Code::WindowNotOpen) => "WINDOW_NOT_OPEN",
        Some(Code::WindowClosed) => "WINDOW_CLOSED",
        Some(Code::Expired) => "EXPIRED",
        Some(Code::ParamsMismatch) => "PARAMS_MISMATCH",
        Some(Code::AttestationMissing) => "ATTESTATION_MISSING",
        Some(Code::NotAuthorised) => "NOT_AUTHORISED",
        Some(Code::BadTransition) => "BAD_TRANSITION",
        Some(Code::Invariant) => "INVARIANT",
        Some(Code::InsufficientFunds) => "INSUFFICIENT_FUNDS",
        Some(Code::NotFound) => "NOT_FOUND",
        Some(_) => "another refusal",
    }
}
