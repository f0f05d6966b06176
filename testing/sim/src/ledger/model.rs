//! What the ledger should say, told a second time and in another way: the rules of sections 5.1 and 10 over plain maps.

use std::collections::{BTreeMap, BTreeSet};

use stateset_fixtures::ledger::{self as network, dollars, id};
use stateset_ledger_types::bank::{BankCommand, EscrowCreate, EscrowRefund, EscrowRelease, Transfer};
use stateset_ledger_types::body::TimeWindow;
use stateset_ledger_types::entity::Role;
use stateset_ledger_types::ids::{AccountId, EntityId, SettlementId, TxId, Units};
use stateset_ledger_types::{Code, Encode, StateKey, Substore};

/// Requests of one entity in one block.
pub const QUOTA: u64 = 4;
/// Part of each payment that goes to the collector, of 10,000.
pub const FEE_BPS: u128 = 30;
const DAY_MS: u64 = 86_400_000;
const ESCROW_DAYS_MAX: u64 = 365;

/// A request that passes every check that needs no state.
#[derive(Debug, Clone)]
pub struct Tx {
    pub id: TxId,
    pub by: u8,
    pub seq: u64,
    pub bounds: Bounds,
    pub deed: Deed,
}

/// When a transaction may be notarised.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    pub not_before: u64,
    /// 0: never.
    pub expires: u64,
    pub unknown_params: bool,
    pub window: Option<TimeWindow>,
}

#[derive(Debug, Clone)]
pub enum Deed {
    /// `attested`: whether the attester that is asked for signed.
    Notarise {
        inputs: Vec<u8>,
        references: Vec<u8>,
        attested: Option<bool>,
    },
    Bank(BankCommand),
}

#[derive(Debug, Clone)]
pub struct Locked {
    pub payer: EntityId,
    pub payee: AccountId,
    pub arbiter: Option<EntityId>,
    pub units: u128,
    pub due: u64,
}

/// The state that matters, by entity number, state number and id.
#[derive(Debug, Clone)]
pub struct Model {
    seqs: BTreeMap<u8, u64>,
    pub spent: BTreeMap<u8, TxId>,
    pub notarised: BTreeSet<TxId>,
    balances: BTreeMap<AccountId, u128>,
    supply: u128,
    pub escrows: BTreeMap<SettlementId, Locked>,
    in_block: BTreeMap<u8, u64>,
    height: u64,
    time_ms: u64,
}

type Done = Result<(), Code>;

impl Model {
    /// What the genesis of the world says.
    pub fn of_genesis() -> Self {
        Self {
            seqs: BTreeMap::new(),
            spent: BTreeMap::new(),
            notarised: BTreeSet::new(),
            balances: (1..=3).map(|n| (id(n).account(), 1_000_000)).collect(),
            supply: 3_000_000,
            escrows: BTreeMap::new(),
            in_block: BTreeMap::new(),
            height: 0,
            time_ms: network::GENESIS_TIME,
        }
    }

    pub fn begin(&mut self, height: u64, time_ms: u64) {
        (self.height, self.time_ms) = (height, time_ms);
        self.in_block.clear();
    }

    /// Steps 1 and 2 of section 5.1: what CheckTx goes by.
    pub fn admits(&self, tx: &Tx) -> Done {
        refuse(self.notarised.contains(&tx.id), Code::AlreadyNotarised)?;
        refuse(self.in_block.get(&tx.by).is_some_and(|used| *used >= QUOTA), Code::Quota)?;
        refuse(self.seqs.get(&tx.by).is_some_and(|last| tx.seq <= *last), Code::BadSequence)
    }

    /// The whole of a request in a block.
    pub fn execute(&mut self, tx: &Tx) -> Done {
        self.admits(tx)?;
        self.seqs.insert(tx.by, tx.seq);
        *self.in_block.entry(tx.by).or_default() += 1;
        self.within(&tx.bounds)?;
        match &tx.deed {
            Deed::Notarise { inputs, references, attested } => {
                refuse(inputs.iter().any(|n| self.spent.contains_key(n)), Code::Conflict)?;
                refuse(references.iter().any(|n| self.spent.contains_key(n)), Code::ReferenceSpent)?;
                refuse(*attested == Some(false), Code::AttestationMissing)?;
                self.spent.extend(inputs.iter().map(|n| (*n, tx.id)));
            }
            Deed::Bank(command) => self.bank(tx, command)?,
        }
        self.notarised.insert(tx.id);
        Ok(())
    }

    /// Escrows that are due go back to their payers.
    pub fn end(&mut self) {
        let due: Vec<SettlementId> = self
            .escrows
            .iter()
            .filter(|(_, locked)| locked.units > 0 && locked.due <= self.time_ms)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let locked = self.escrows.get_mut(&id).expect("found above");
            let (payer, units) = (locked.payer.account(), std::mem::take(&mut locked.units));
            self.credit(payer, units);
        }
    }

    fn within(&self, bounds: &Bounds) -> Done {
        refuse(self.height < bounds.not_before, Code::WindowNotOpen)?;
        refuse(bounds.expires != 0 && bounds.expires < self.height, Code::Expired)?;
        refuse(bounds.unknown_params, Code::ParamsMismatch)?;
        let Some(window) = &bounds.window else { return Ok(()) };
        refuse(window.from_ms.is_some_and(|from| self.time_ms < from), Code::WindowNotOpen)?;
        refuse(window.until_ms.is_some_and(|until| until <= self.time_ms), Code::WindowClosed)
    }

    fn bank(&mut self, tx: &Tx, command: &BankCommand) -> Done {
        let made = SettlementId::of(&tx.id, 0);
        let may = |named: &EntityId| refuse(*named != id(tx.by), Code::NotAuthorised);
        match command {
            BankCommand::Transfer(Transfer { payer, payee, amount, .. }) => {
                may(payer)?;
                self.debit(payer.account(), amount.units.0)?;
                self.pay(*payee, amount.units.0);
            }
            BankCommand::Mint(mint) => {
                may(&mint.issuer)?;
                refuse(tx.by != 4, Code::NotAuthorised)?;
                refuse(mint.amount.units.0 == 0, Code::Invariant)?;
                self.supply = self.supply.checked_add(mint.amount.units.0).ok_or(Code::Invariant)?;
                self.credit(mint.to, mint.amount.units.0);
            }
            BankCommand::Burn(burn) => {
                may(&burn.issuer)?;
                refuse(tx.by != 4, Code::NotAuthorised)?;
                self.debit(burn.issuer.account(), burn.amount.units.0)?;
                self.supply -= burn.amount.units.0;
            }
            BankCommand::EscrowCreate(create) => {
                may(&create.payer)?;
                self.lock(made, create)?;
            }
            BankCommand::EscrowRelease(release) => self.release(tx.by, release)?,
            BankCommand::EscrowRefund(refund) => self.refund(tx.by, refund)?,
            other => unreachable!("no submitter sends {other:?}"),
        }
        Ok(())
    }

    fn lock(&mut self, made: SettlementId, create: &EscrowCreate) -> Done {
        let latest = self.time_ms + ESCROW_DAYS_MAX * DAY_MS;
        refuse(create.expires_at <= self.time_ms || create.expires_at > latest, Code::Invariant)?;
        let arbitrates = |arbiter: &EntityId| network::entity(arbiter.0[0]).roles.has(Role::Arbiter);
        refuse(create.arbiter.is_some_and(|arbiter| !arbitrates(&arbiter)), Code::NotAuthorised)?;
        let units = create.amount.units.0;
        self.debit(create.payer.account(), units)?;
        let (payer, payee, arbiter) = (create.payer, create.payee, create.arbiter);
        self.escrows.insert(made, Locked { payer, payee, arbiter, units, due: create.expires_at });
        Ok(())
    }

    fn release(&mut self, by: u8, release: &EscrowRelease) -> Done {
        let locked = self.open(&release.escrow)?;
        decides(by, &release.by, locked.payer, &locked)?;
        self.pay(locked.payee, locked.units);
        self.escrows.get_mut(&release.escrow).expect("open").units = 0;
        Ok(())
    }

    fn refund(&mut self, by: u8, refund: &EscrowRefund) -> Done {
        let locked = self.open(&refund.escrow)?;
        decides(by, &refund.by, EntityId(locked.payee.0), &locked)?;
        refuse(refund.units.0 == 0, Code::Invariant)?;
        let left = locked.units.checked_sub(refund.units.0).ok_or(Code::InsufficientFunds)?;
        self.credit(locked.payer.account(), refund.units.0);
        self.escrows.get_mut(&refund.escrow).expect("open").units = left;
        Ok(())
    }

    fn open(&self, id: &SettlementId) -> Result<Locked, Code> {
        let locked = self.escrows.get(id).ok_or(Code::NotFound)?;
        refuse(locked.units == 0, Code::BadTransition)?;
        Ok(locked.clone())
    }

    fn debit(&mut self, account: AccountId, units: u128) -> Done {
        refuse(units == 0, Code::Invariant)?;
        let held = self.balances.entry(account).or_default();
        *held = held.checked_sub(units).ok_or(Code::InsufficientFunds)?;
        Ok(())
    }

    fn credit(&mut self, account: AccountId, units: u128) {
        *self.balances.entry(account).or_default() += units;
    }

    fn pay(&mut self, payee: AccountId, units: u128) {
        let fee = units / 10_000 * FEE_BPS + units % 10_000 * FEE_BPS / 10_000;
        self.credit(payee, units - fee);
        self.credit(id(4).account(), fee);
    }

    /// Every row that the state has under [`PREFIXES`].
    pub fn rows(&self) -> BTreeMap<(Substore, Vec<u8>), Vec<u8>> {
        let mut rows = BTreeMap::new();
        let mut put = |key: StateKey, value: Vec<u8>| rows.insert((key.substore, key.path), value);
        for (account, units) in self.balances.iter().filter(|(_, units)| **units > 0) {
            put(StateKey::balance(account, &network::usd()), Units(*units).to_sce());
        }
        put(StateKey::supply(&network::usd()), dollars(self.supply).units.to_sce());
        for (state, consumer) in &self.spent {
            put(StateKey::spent(&network::spent_key(*state)), consumer.to_sce());
        }
        for (by, seq) in &self.seqs {
            put(StateKey::seq(&id(*by)), seq.to_sce());
        }
        rows
    }

    /// Conservation: what exists is somewhere.
    pub fn holds_all(&self) -> bool {
        let locked: u128 = self.escrows.values().map(|locked| locked.units).sum();
        self.balances.values().sum::<u128>() + locked == self.supply
    }
}

/// Parts of the state that follow from the model alone: substore, from, below.
pub const PREFIXES: [(Substore, &[u8], &[u8]); 4] = [
    (Substore::Bank, b"bal/", b"bal0"),
    (Substore::Bank, b"supply/", b"supply0"),
    (Substore::Notary, b"spent/", b"spent0"),
    (Substore::Notary, b"seq/", b"seq0"),
];

fn refuse(refused: bool, code: Code) -> Done {
    if refused { Err(code) } else { Ok(()) }
}

/// The party that gives the amount up decides, or the arbiter.
fn decides(signer: u8, by: &EntityId, party: EntityId, locked: &Locked) -> Done {
    refuse(*by != id(signer), Code::NotAuthorised)?;
    let arbitrates = locked.arbiter == Some(*by) && network::entity(signer).roles.has(Role::Arbiter);
    refuse(*by != party && !arbitrates, Code::NotAuthorised)
}
