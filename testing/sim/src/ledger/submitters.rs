//! Who sends requests: companies that keep to the rules, and the same companies when they do not.

use stateset_fixtures::ledger::{self as network, dollars, id, notarise, private_body, public_tx, signed};
use stateset_ledger_types::bank::{
    BANK, BankCommand, Burn, EscrowCreate, EscrowRefund, EscrowRelease, Mint, Transfer,
};
use stateset_ledger_types::body::{Header, TimeWindow};
use stateset_ledger_types::codec::List;
use stateset_ledger_types::envelope::{Notarise, Request};
use stateset_ledger_types::ids::{ChainId, SettlementId, Units};
use stateset_ledger_types::keys::Purpose;
use stateset_ledger_types::tree::{Mode, Salt};
use stateset_ledger_types::{Encode, Params};
use ves::Digest;

use super::attacks::Attack;
use super::model::{Bounds, Deed, Model, QUOTA, Tx};
use crate::Rng;

/// A request on its way, and what it is; `None`: nothing that any node may take.
#[derive(Debug, Clone)]
pub struct Sent {
    pub bytes: Vec<u8>,
    pub means: Option<Tx>,
    pub what: &'static str,
    /// What it tries, where that is one of those that are counted.
    pub attack: Option<Attack>,
}

/// What may be sent, and how often.
const KINDS: [(u32, &str); 19] = [
    (26, "a notarisation"),
    (10, "a double spend"),
    (6, "a spent reference"),
    (6, "a copy under another name"),
    (6, "a replay"),
    (5, "a header out of bounds"),
    (5, "a closed window"),
    (6, "an attested one"),
    (4, "an attestation that is missing"),
    (26, "a payment"),
    (6, "a new supply"),
    (8, "an escrow"),
    (12, "the end of an escrow"),
    (5, "a payment from a stranger's account"),
    (5, "a stolen opening"),
    (8, "damaged bytes"),
    (3, "another chain's"),
    (4, "a twisted attestation"),
    (5, "a forged signature"),
];
/// Of [`KINDS`], from here on what only a hostile caller sends.
const HOSTILE: [usize; 12] = [1, 2, 3, 4, 5, 6, 8, 13, 14, 15, 17, 18];

pub struct Submitters {
    rng: Rng,
    seqs: [u64; 5],
    next_state: u8,
    /// Private requests that anybody may have seen.
    seen: Vec<(Notarise, Tx)>,
    sent: Vec<Sent>,
}

impl Submitters {
    pub fn new(rng: Rng) -> Self {
        Self { rng, seqs: [0; 5], next_state: 1, seen: Vec::new(), sent: Vec::new() }
    }

    /// The next request. `height`, `time_ms`: of the last block.
    pub fn next(&mut self, model: &Model, height: u64, time_ms: u64, params: &Params, hostile: u32) -> Sent {
        let weights: Vec<u32> = (0..KINDS.len())
            .map(|kind| {
                if HOSTILE.contains(&kind) || kind == 16 {
                    KINDS[kind].0 * hostile / 100
                } else {
                    KINDS[kind].0
                }
            })
            .collect();
        let kind = self.rng.weighted(&weights).unwrap_or(0);
        let now = Now { model, height, time_ms, header: network::header(params) };
        let (bytes, means) = self.make(kind, &now);
        let attack = match kind {
            1 => Some(Attack::DoubleSpend),
            4 => Some(Attack::Replay),
            15 => Some(Attack::Malformed),
            18 => Some(Attack::ForgedSignature),
            _ => None,
        };
        self.note(bytes, means, KINDS[kind].1, attack)
    }

    fn note(
        &mut self,
        bytes: Vec<u8>,
        means: Option<Tx>,
        what: &'static str,
        attack: Option<Attack>,
    ) -> Sent {
        let sent = Sent { bytes, means, what, attack };
        self.sent.push(sent.clone());
        sent
    }

    /// The requests of one `attack`; none while there is nothing yet that it needs. `height`, `time_ms`: of the last block.
    pub fn attack(
        &mut self,
        attack: Attack,
        model: &Model,
        (height, time_ms): (u64, u64),
        params: &Params,
    ) -> Vec<Sent> {
        let now = Now { model, height, time_ms, header: network::header(params) };
        let made = match attack {
            Attack::ForgedSignature => vec![self.forged(&now)],
            Attack::Malformed => vec![(self.rng.bytes::<64>().to_vec(), None)],
            Attack::Replay => {
                let is_done =
                    |sent: &&Sent| sent.means.as_ref().is_some_and(|tx| model.notarised.contains(&tx.id));
                let done: Vec<&Sent> = self.sent.iter().filter(is_done).collect();
                let found = done.get(self.rng.below(done.len()));
                found.map(|sent| (sent.bytes.clone(), sent.means.clone())).into_iter().collect()
            }
            Attack::DoubleSpend => {
                let spent: Vec<u8> = model.spent.keys().copied().collect();
                let Some(old) = spent.get(self.rng.below(spent.len())).copied() else { return Vec::new() };
                vec![self.private(now.header.clone(), None, Plan { inputs: vec![old], ..Plan::default() })]
            }
            Attack::OverQuota => self.flood(&now),
        };
        made.into_iter().map(|(bytes, means)| self.note(bytes, means, attack.name(), Some(attack))).collect()
    }

    /// One more request of one member than a block may have of it.
    fn flood(&mut self, now: &Now<'_>) -> Vec<(Vec<u8>, Option<Tx>)> {
        let by = 1 + self.rng.below(4) as u8;
        let next = |submitters: &mut Self, _| {
            let last = &mut submitters.seqs[usize::from(by)];
            *last += 1;
            let signer = (by, *last);
            let inputs = submitters.states();
            submitters.private_by(signer, now.header.clone(), None, Plan { inputs, ..Plan::default() })
        };
        (0..=QUOTA).map(|n| next(self, n)).collect()
    }

    /// A good request, but for its submission, which another member signed.
    fn forged(&mut self, now: &Now<'_>) -> (Vec<u8>, Option<Tx>) {
        let inputs = self.states();
        let (by, seq) = self.who();
        let body = private_body(now.header.clone(), self.rng.bytes(), &inputs, &[], None);
        let request = notarise(&body, Mode::Private, (by, seq), &inputs, &[]);
        (signed(Request::Notarise(Box::new(request)), 1 + by % 4), None)
    }

    fn make(&mut self, kind: usize, now: &Now<'_>) -> (Vec<u8>, Option<Tx>) {
        match kind {
            1 => self.spend_again(now),
            2 => self.refer_to_spent(now),
            3 => self.copy(now),
            4 => self.replay(now),
            5 => self.out_of_bounds(now),
            6 => self.closed_window(now),
            7 => self.attested(now, true),
            8 => self.attested(now, false),
            9 => self.transfer(now, false),
            10 => self.supply(now),
            11 => self.lock(now),
            12 => self.unlock(now),
            13 => self.transfer(now, true),
            14 => self.steal(now),
            15 => self.damaged(now),
            16 => self.other_chain(now),
            17 => self.twisted(now),
            18 => self.forged(now),
            _ => self.fresh(now),
        }
    }

    fn who(&mut self) -> (u8, u64) {
        let by = 1 + self.rng.below(4) as u8;
        let last = &mut self.seqs[usize::from(by)];
        // Now and then a number is used again, or numbers are left out.
        let seq = if self.rng.chance(4) { *last } else { *last + 1 + self.rng.below(2) as u64 };
        *last = seq.max(*last);
        (by, seq)
    }

    fn states(&mut self) -> Vec<u8> {
        let count = 1 + self.rng.below(3) as u8;
        let first = self.next_state;
        self.next_state = first.saturating_add(count).min(250);
        (first..self.next_state.max(first + 1)).collect()
    }

    fn private(&mut self, header: Header, window: Option<TimeWindow>, plan: Plan) -> (Vec<u8>, Option<Tx>) {
        let signer = self.who();
        self.private_by(signer, header, window, plan)
    }

    fn private_by(
        &mut self,
        (by, seq): (u8, u64),
        header: Header,
        window: Option<TimeWindow>,
        plan: Plan,
    ) -> (Vec<u8>, Option<Tx>) {
        let Plan { inputs, references, attested, unknown_params } = plan;
        let bounds = Bounds {
            not_before: header.not_before_height,
            expires: header.expires_height,
            unknown_params,
            window: window.clone(),
        };
        let body = private_body(header, self.rng.bytes(), &inputs, &references, window);
        let mode = if attested.is_some() { Mode::Attested } else { Mode::Private };
        // Others' signatures are good, and count for nothing.
        let attesters: &[u8] = match attested {
            Some(true) => [&[3][..], &[1, 3], &[2, 3, 4]][self.rng.below(3)],
            Some(false) => [&[][..], &[1], &[1, 2, 4]][self.rng.below(3)],
            None => &[],
        };
        let request = notarise(&body, mode, (by, seq), &inputs, attesters);
        let tx_id = request.content.tx_id();
        let tx = Tx { id: tx_id, by, seq, bounds, deed: Deed::Notarise { inputs, references, attested } };
        self.seen.push((request.clone(), tx.clone()));
        (signed(Request::Notarise(Box::new(request)), by), Some(tx))
    }

    fn fresh(&mut self, now: &Now<'_>) -> (Vec<u8>, Option<Tx>) {
        let inputs = self.states();
        // A state that does not exist yet, so far as anybody can tell.
        let references = if self.rng.chance(30) { vec![255 - self.rng.below(4) as u8] } else { Vec::new() };
        self.private(now.header.clone(), None, Plan { inputs, references, ..Plan::default() })
    }

    /// Consumes what is, or soon will be, consumed by another transaction.
    fn spend_again(&mut self, now: &Now<'_>) -> (Vec<u8>, Option<Tx>) {
        let Some(old) = self.earlier_input() else { return self.fresh(now) };
        let mut inputs = if self.rng.chance(50) { self.states() } else { Vec::new() };
        inputs.push(old);
        inputs.dedup();
        self.private(now.header.clone(), None, Plan { inputs, ..Plan::default() })
    }

    fn refer_to_spent(&mut self, now: &Now<'_>) -> (Vec<u8>, Option<Tx>) {
        let Some(old) = self.earlier_input() else { return self.fresh(now) };
        let inputs = self.states();
        let references = if inputs.contains(&old) { Vec::new() } else { vec![old] };
        self.private(now.header.clone(), None, Plan { inputs, references, ..Plan::default() })
    }

    fn earlier_input(&mut self) -> Option<u8> {
        let at = self.rng.below(self.seen.len());
        match &self.seen.get(at)?.1.deed {
            Deed::Notarise { inputs, .. } => inputs.first().copied(),
            Deed::Bank(_) => None,
        }
    }

    /// What another one sent, submitted by an observer: the same transaction, once (C6).
    fn copy(&mut self, now: &Now<'_>) -> (Vec<u8>, Option<Tx>) {
        let at = self.rng.below(self.seen.len());
        let Some((mut request, tx)) = self.seen.get(at).cloned() else { return self.fresh(now) };
        let (by, seq) = self.who();
        request.submission = network::submission(by, seq);
        (signed(Request::Notarise(Box::new(request)), by), Some(Tx { by, seq, ..tx }))
    }

    /// The very same bytes.
    fn replay(&mut self, now: &Now<'_>) -> (Vec<u8>, Option<Tx>) {
        let at = self.rng.below(self.sent.len());
        match self.sent.get(at) {
            Some(sent) => (sent.bytes.clone(), sent.means.clone()),
            None => self.fresh(now),
        }
    }

    fn out_of_bounds(&mut self, now: &Now<'_>) -> (Vec<u8>, Option<Tx>) {
        let mut header = now.header.clone();
        let mut unknown_params = false;
        match self.rng.below(3) {
            0 => header.not_before_height = now.height + 1 + self.rng.below(3) as u64,
            1 => header.expires_height = (now.height + self.rng.below(3) as u64).max(1),
            _ => {
                header.params_hash = Digest(self.rng.bytes());
                unknown_params = true;
            }
        }
        let inputs = self.states();
        self.private(header, None, Plan { inputs, unknown_params, ..Plan::default() })
    }

    fn closed_window(&mut self, now: &Now<'_>) -> (Vec<u8>, Option<Tx>) {
        let around = now.time_ms.saturating_sub(2_000) + self.rng.below(6_000) as u64;
        let (from, until) = if self.rng.chance(50) { (Some(around), None) } else { (None, Some(around)) };
        let inputs = self.states();
        let window = TimeWindow { from_ms: from, until_ms: until };
        self.private(now.header.clone(), Some(window), Plan { inputs, ..Plan::default() })
    }

    fn attested(&mut self, now: &Now<'_>, signs: bool) -> (Vec<u8>, Option<Tx>) {
        let header = Header { attester_policy: Some(network::ATTESTER_POLICY), ..now.header.clone() };
        let inputs = self.states();
        self.private(header, None, Plan { inputs, attested: Some(signs), ..Plan::default() })
    }

    /// The attester's signature twice, out of order, over another transaction, or under another's name.
    fn twisted(&mut self, now: &Now<'_>) -> (Vec<u8>, Option<Tx>) {
        let header = Header { attester_policy: Some(network::ATTESTER_POLICY), ..now.header.clone() };
        let inputs = self.states();
        let (by, seq) = self.who();
        let body = private_body(header.clone(), self.rng.bytes(), &inputs, &[], None);
        let made = |attesters: &[u8]| notarise(&body, Mode::Attested, (by, seq), &inputs, attesters);
        let request = match self.rng.below(4) {
            0 => made(&[3, 3]),
            1 => made(&[3, 1]),
            2 => {
                let other = private_body(header, self.rng.bytes(), &inputs, &[], None);
                let other = notarise(&other, Mode::Attested, (by, seq), &inputs, &[3]);
                Notarise { attestations: other.attestations, ..made(&[]) }
            }
            _ => {
                let mut request = made(&[1]);
                let mut named = request.attestations.clone().into_vec();
                (named[0].attester, named[0].key) = (id(3), network::public_key(3));
                request.attestations = List::new(named).expect("one");
                request
            }
        };
        (signed(Request::Notarise(Box::new(request)), by), None)
    }

    fn bank(&mut self, now: &Now<'_>, (by, seq): (u8, u64), command: BankCommand) -> (Vec<u8>, Option<Tx>) {
        let salt = Salt(self.rng.bytes());
        let signer = (by, Purpose::LedgerSigning, seq);
        let (tx_id, request) = public_tx(signer, now.header.clone(), salt, BANK, &[command.to_sce()]);
        let tx = Tx { id: tx_id, by, seq, bounds: Bounds::default(), deed: Deed::Bank(command) };
        (signed(Request::PublicTx(Box::new(request)), by), Some(tx))
    }

    /// Nothing, something, or more than anybody has.
    fn units(&mut self) -> u128 {
        match self.rng.below(12) {
            0 => 0,
            1 => u128::MAX,
            2 => 5_000_000,
            n => 1 + self.rng.below(50_000 * n) as u128,
        }
    }

    fn transfer(&mut self, now: &Now<'_>, steals: bool) -> (Vec<u8>, Option<Tx>) {
        let (by, seq) = self.who();
        let payer = if steals { id(1 + by % 4) } else { id(by) };
        let payee = id(1 + self.rng.below(4) as u8).account();
        let amount = dollars(self.units());
        self.bank(now, (by, seq), BankCommand::Transfer(Transfer { payer, payee, amount, reference: None }))
    }

    fn supply(&mut self, now: &Now<'_>) -> (Vec<u8>, Option<Tx>) {
        let (by, seq) = self.who();
        // No more than can be counted: the sum of the test's own books has no bound.
        let amount = dollars(self.units().min(5_000_000));
        let (issuer, to) = (id(by), id(1 + self.rng.below(3) as u8).account());
        let command = if self.rng.chance(50) {
            BankCommand::Mint(Mint { issuer, to, amount })
        } else {
            BankCommand::Burn(Burn { issuer, amount })
        };
        self.bank(now, (by, seq), command)
    }

    fn lock(&mut self, now: &Now<'_>) -> (Vec<u8>, Option<Tx>) {
        let (by, seq) = self.who();
        let payee = id(1 + self.rng.below(4) as u8).account();
        let arbiter = self.rng.chance(50).then(|| id(1 + self.rng.below(4) as u8));
        let expires_at = (now.time_ms + 1 + self.rng.below(12_000) as u64).saturating_sub(1_000);
        let create = EscrowCreate {
            payer: id(by),
            payee,
            amount: dollars(self.units() / 10),
            arbiter,
            expires_at,
            reference: None,
        };
        self.bank(now, (by, seq), BankCommand::EscrowCreate(create))
    }

    fn unlock(&mut self, now: &Now<'_>) -> (Vec<u8>, Option<Tx>) {
        let (by, seq) = self.who();
        let ids: Vec<SettlementId> = now.model.escrows.keys().copied().collect();
        let escrow = match ids.get(self.rng.below(ids.len())) {
            Some(id) if !self.rng.chance(10) => *id,
            _ => SettlementId([9; 36]),
        };
        let command = if self.rng.chance(50) {
            BankCommand::EscrowRelease(EscrowRelease { escrow, by: id(by) })
        } else {
            let units = Units(self.units() / 20);
            BankCommand::EscrowRefund(EscrowRefund { escrow, by: id(by), units })
        };
        self.bank(now, (by, seq), command)
    }

    /// The openings of a transaction that was seen, on another one that consumes the same states (C6).
    fn steal(&mut self, now: &Now<'_>) -> (Vec<u8>, Option<Tx>) {
        let at = self.rng.below(self.seen.len());
        let Some((seen, tx)) = self.seen.get(at).cloned() else { return self.fresh(now) };
        let Deed::Notarise { inputs, .. } = tx.deed else { return self.fresh(now) };
        let (by, seq) = self.who();
        let body = private_body(now.header.clone(), self.rng.bytes(), &inputs, &[], None);
        let mut request = notarise(&body, Mode::Private, (by, seq), &inputs, &[]);
        request.openings = if self.rng.chance(80) { seen.openings } else { List::default() };
        (signed(Request::Notarise(Box::new(request)), by), None)
    }

    fn damaged(&mut self, now: &Now<'_>) -> (Vec<u8>, Option<Tx>) {
        let (mut bytes, _) = self.fresh(now);
        match self.rng.below(4) {
            0 => {
                let bit = self.rng.below(bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            1 => bytes.truncate(self.rng.below(bytes.len())),
            2 => bytes.push(self.rng.u64() as u8),
            _ => bytes = self.rng.bytes::<64>().to_vec(),
        }
        (bytes, None)
    }

    fn other_chain(&mut self, now: &Now<'_>) -> (Vec<u8>, Option<Tx>) {
        let header =
            Header { chain_id: ChainId::new("ssn-app-2").expect("a chain id"), ..now.header.clone() };
        let inputs = self.states();
        let (bytes, _) = self.private(header, None, Plan { inputs, ..Plan::default() });
        self.seen.pop();
        (bytes, None)
    }
}

/// What a caller knows.
struct Now<'a> {
    model: &'a Model,
    height: u64,
    time_ms: u64,
    header: Header,
}

/// What a private transaction is made of.
#[derive(Debug, Default)]
struct Plan {
    inputs: Vec<u8>,
    references: Vec<u8>,
    attested: Option<bool>,
    unknown_params: bool,
}
