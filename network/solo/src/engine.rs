//! One block after the other: choose, execute, sign, store. Time comes in as a value; nothing here waits.
//!
//! A block may be executed while the one before it is on its way into the file ([`Engine::execute_next`]); it is noted and signed
//! ([`Engine::seal`]) when that one is stored. So what is durable comes in the same order as without haste: note, block, note,
//! block.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use stateset_ledger_app::application::{Application, Block as AppBlock, Outcome, Proposal};
use stateset_ledger_app::{Fault, StateReader};
use stateset_ledger_store::{Prepared, Store, StoreError, View};
use tendermint_proto::v0_38::types::{Block, BlockId, Commit};
use ves::Signer;

use crate::block::{
    CHAIN_ID_BYTES_MAX, Limits, Tip, UnixNanos, Validator, Validators, block_id, commit, empty_block_id,
    empty_commit, results_hash, vote_bytes, vote_time,
};
use crate::records::{self, Results, SavedTip};
use crate::signed::{LastSigned, SignedError, SignedRecord};

/// Bytes of a block beside its transactions: header, one vote, framing. CometBFT counts 11 + 626 + 94 + 109.
pub const BLOCK_OVERHEAD_BYTES: usize = 1_024;
/// Bytes that frame one transaction in a block: tag and length.
pub const TX_OVERHEAD_BYTES: usize = 6;

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Application(#[from] Fault),
    #[error(transparent)]
    Signed(#[from] SignedError),
    #[error("genesis refused: {0}")]
    Genesis(String),
    #[error("the consensus key did not sign: {0}")]
    Key(String),
    #[error(
        "the validators of height {height} are not one whose key is here: solo orders for one validator; give it the key, \
         or run CometBFT"
    )]
    NotSolo { height: u64 },
    #[error(
        "the state ends at height {stored}, but height {signed} was signed with this key: the state is an old backup. \
         Restore a newer one, or follow the chain from a node that has it; signing again would freeze every client"
    )]
    OldBackup { stored: u64, signed: u64 },
    #[error(
        "the state ends at height {stored} and no record of the last signed block is here. Put the record back, or, if this \
         key signed nothing above that height, start once with --trust-stored-height"
    )]
    RecordMissing { stored: u64 },
    #[error(
        "block {height} was signed as {signed} before the power went, and is now {built}: the program or its rules changed"
    )]
    OtherBlock { height: u64, signed: String, built: String },
    #[error("what the store keeps of the chain is damaged: {0}")]
    Damaged(String),
}

/// A block that is stored and may be shown.
#[derive(Debug, Clone)]
pub struct Committed {
    pub height: u64,
    pub id: BlockId,
    pub block: Arc<Block>,
    pub commit: Arc<Commit>,
    pub results: Arc<Results>,
    /// The block changed the app hash, so one that carries it is due at once.
    pub proof_block_due: bool,
}

/// What starts an engine.
pub struct EngineParts<A> {
    pub application: Arc<A>,
    pub store: Arc<Store>,
    /// Validator keys: the one of the set that signs a height is used, so that keys can be changed by governance.
    pub keys: Vec<Arc<dyn Signer>>,
    pub last_signed: LastSigned,
    /// Signs on although the record of the last signed block is missing.
    pub trust_stored_height: bool,
}

/// The ordering engine. One owner; readers use the store.
pub struct Engine<A> {
    application: Arc<A>,
    store: Arc<Store>,
    keys: BTreeMap<[u8; 32], Arc<dyn Signer>>,
    last_signed: LastSigned,
    tip: Tip,
    initial_height: u64,
    proof_block_due: bool,
    /// The state after the newest sealed block, while the file may not hold it.
    ahead: Option<Prepared>,
}

/// A block that is executed and not yet signed: nothing of it is durable.
pub struct Executed {
    /// That it was built on.
    tip: Tip,
    block: Block,
    id: BlockId,
    vote_time: UnixNanos,
    results: Results,
    results_hash: [u8; 32],
    prepared: Prepared,
    /// The set after the next one.
    later: Validators,
    limits: Limits,
    /// Of the rules, in the next header.
    app_version: u64,
}

/// A signed block, to be stored before it is shown and before the next one is signed.
pub struct Sealed<A> {
    application: Arc<A>,
    store: Arc<Store>,
    prepared: Prepared,
    /// That it was built on, and that the next one is built on.
    tips: (Tip, Tip),
    initial_height: u64,
    committed: Committed,
}

impl<A: Application> Sealed<A> {
    /// Stores the block. Durable when it returns. May run while the engine executes the next block.
    ///
    /// # Errors
    /// [`EngineError::Store`]: the engine must then be started anew, since it has signed.
    pub fn store(self) -> Result<Committed, EngineError> {
        let Self { committed, tips: (tip, next), .. } = &self;
        let batch = records::block(
            tip,
            next,
            &committed.block,
            &committed.commit,
            &committed.results,
            (self.initial_height, committed.proof_block_due),
        );
        self.store.commit(self.prepared, batch)?;
        self.application.commit(self.committed.height);
        Ok(self.committed)
    }
}

impl<A: Application> Engine<A> {
    /// Starts the chain from `genesis_json`, or goes on where the store ends. A block that was signed but not stored is
    /// stored now and returned.
    ///
    /// # Errors
    /// [`EngineError`]; notably when the store is an old backup.
    pub fn start(
        parts: EngineParts<A>,
        genesis_json: &[u8],
    ) -> Result<(Self, Option<Committed>), EngineError> {
        let EngineParts { application, store, keys, last_signed, trust_stored_height } = parts;
        let fresh = store.latest()?.is_none();
        if fresh {
            genesis(&*application, &store, genesis_json)?;
        }
        let view = store.view()?;
        let saved = records::tip(&view)?;
        let keys = keys.into_iter().map(|key| (key.public_key(), key)).collect();
        let tip = saved.tip(application.app_version(&view)?);
        let (initial_height, proof_block_due) = (saved.initial_height, saved.proof_block_due);
        let ahead = None;
        let mut engine =
            Self { application, store, keys, last_signed, tip, initial_height, proof_block_due, ahead };
        engine.signer(engine.tip.height)?;
        let stored = engine.tip.height - 1;
        if let Some(header) = records::block_at(&view, stored)?.and_then(|block| block.header) {
            let time = header.time.as_ref().and_then(UnixNanos::from_timestamp).unwrap_or(engine.tip.time);
            engine.application.resume(stored, time.as_ms());
        }
        drop(view);
        match engine.last_signed.newest().cloned() {
            None if stored >= initial_height && !trust_stored_height => {
                Err(EngineError::RecordMissing { stored })
            }
            Some(newest) if newest.height > engine.tip.height => {
                Err(EngineError::OldBackup { stored, signed: newest.height })
            }
            Some(newest) if newest.height == engine.tip.height => {
                let committed = engine.finish_signed(newest)?;
                Ok((engine, Some(committed)))
            }
            _ => Ok((engine, None)),
        }
    }

    pub fn application(&self) -> Arc<A> {
        Arc::clone(&self.application)
    }

    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// The height that the next block will have.
    pub fn next_height(&self) -> u64 {
        self.tip.height
    }

    pub fn chain_id(&self) -> &str {
        &self.tip.chain_id
    }

    /// Whether the newest block changed the app hash and no header carries it yet.
    pub fn proof_block_due(&self) -> bool {
        self.proof_block_due
    }

    /// Whether the next block comes at once, transactions or not: it carries a new app hash, or it is one of the first two,
    /// with which a new chain proves its state.
    pub fn block_due(&self) -> bool {
        self.proof_block_due || self.tip.height <= self.initial_height + 1
    }

    /// Bytes of transactions, with [`TX_OVERHEAD_BYTES`] each, that the next block takes.
    pub fn room_bytes(&self) -> usize {
        let max = usize::try_from(self.tip.limits.block_bytes_max).unwrap_or(usize::MAX);
        max.saturating_sub(BLOCK_OVERHEAD_BYTES)
    }

    /// Makes the next block of those of `candidates` that the application picks, and stores it. Returns it with the places
    /// of the picked candidates. On an error nothing was stored; the engine must then be started anew, since it may have
    /// signed.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn next_block(
        &mut self,
        candidates: &[Arc<[u8]>],
        clock: UnixNanos,
    ) -> Result<(Committed, Vec<usize>), EngineError> {
        let (executed, picked) = self.execute_next(candidates, clock)?;
        Ok((self.seal(executed)?.store()?, picked))
    }

    /// The first half of [`next_block`](Self::next_block): the block, executed on the one that was sealed last, stored or not.
    /// Changes nothing that outlives the process.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn execute_next(
        &mut self,
        candidates: &[Arc<[u8]>],
        clock: UnixNanos,
    ) -> Result<(Executed, Vec<usize>), EngineError> {
        let view = self.newest()?;
        let proposal = Proposal {
            height: self.tip.height,
            time_ms: self.tip.time.as_ms(),
            transactions: candidates.iter().map(|candidate| &**candidate).collect(),
            bytes_max: self.room_bytes() as u64,
        };
        let picked = match candidates {
            [] => Vec::new(),
            _ => self.application.prepare_proposal(&view, &proposal)?,
        };
        let transactions = picked.iter().map(|&place| candidates[place].to_vec()).collect();
        let block = self.tip.block(transactions);
        let vote_time = vote_time(clock, self.tip.time);
        let id = block_id(&block);
        Ok((self.execute(&view, block, id, vote_time)?, picked))
    }

    /// The second half: notes the block and signs it. Execution came before: a signed block whose state cannot be made could not be
    /// taken back.
    ///
    /// # Errors
    /// [`EngineError`]; notably [`StoreError::OutOfOrder`] while the block before is not stored, or when `executed` is not of the
    /// next height.
    pub fn seal(&mut self, executed: Executed) -> Result<Sealed<A>, EngineError> {
        let (height, expected) = (executed.tip.height, self.store.latest()?.map_or(0, |stored| stored + 1));
        if height != expected || height != self.tip.height {
            return Err(StoreError::OutOfOrder { height, expected }.into());
        }
        let (vote_time, block) = (executed.vote_time, executed.block.encode_to_vec());
        self.last_signed.note(SignedRecord { height, vote_time, block })?;
        self.sign(executed)
    }

    /// The state that the next block is built on.
    fn newest(&mut self) -> Result<View, EngineError> {
        if self.ahead.is_some() && self.store.latest()? == Some(self.tip.height - 1) {
            self.ahead = None;
        }
        Ok(match &self.ahead {
            Some(ahead) => self.store.view_on(ahead)?,
            None => self.store.view()?,
        })
    }

    /// Stores the block that was noted for signing when the power went.
    fn finish_signed(&mut self, signed: SignedRecord) -> Result<Committed, EngineError> {
        let noted = Block::decode(signed.block.as_slice())
            .map_err(|error| EngineError::Damaged(format!("the block noted before signing: {error}")))?;
        let block = self.tip.block(noted.data.clone().unwrap_or_default().txs);
        let (id, noted) = (block_id(&block), block_id(&noted));
        if id != noted {
            let (signed, built) = (hex(&noted.hash), hex(&id.hash));
            return Err(EngineError::OtherBlock { height: self.tip.height, signed, built });
        }
        let view = self.newest()?;
        let executed = self.execute(&view, block, id, signed.vote_time)?;
        drop(view);
        self.sign(executed)?.store()
    }

    fn execute(
        &self,
        view: &View,
        block: Block,
        id: BlockId,
        vote_time: UnixNanos,
    ) -> Result<Executed, EngineError> {
        let empty = Vec::new();
        let transactions = block.data.as_ref().map_or(&empty, |data| &data.txs);
        let input = AppBlock {
            height: self.tip.height,
            time_ms: self.tip.time.as_ms(),
            transactions: transactions.iter().map(Vec::as_slice).collect(),
        };
        let outcome = self.application.finalize_block(view as &dyn StateReader, &input)?;
        assert_eq!(outcome.results.len(), transactions.len(), "one result for each transaction");
        for &place in &outcome.panicked {
            let input = transactions.get(place).map(Vec::as_slice).unwrap_or_default();
            tracing::error!(height = self.tip.height, place, input = %hex(input), "a transaction panicked");
        }
        for note in &outcome.notes {
            tracing::warn!(height = self.tip.height, "{note}");
        }
        let prepared = match &self.ahead {
            Some(ahead) => self.store.prepare_on(ahead, self.tip.height, &outcome.writes)?,
            None => self.store.prepare(self.tip.height, &outcome.writes)?,
        };
        let later = updated(&self.tip.next_validators, &outcome);
        // The set that this block announces must be one that this engine can sign for.
        if later.as_slice().len() != 1 || !self.keys.contains_key(&later.as_slice()[0].public_key) {
            return Err(EngineError::NotSolo { height: self.tip.height + 2 });
        }
        let results = Results::new(&outcome, &prepared.app_hash());
        Ok(Executed {
            tip: self.tip.clone(),
            results_hash: results_hash(&results.0.tx_results),
            limits: outcome.bounds.map_or(self.tip.limits, records::limits),
            app_version: outcome.app_version.unwrap_or(self.tip.app_version),
            block,
            id,
            vote_time,
            results,
            prepared,
            later,
        })
    }

    /// Signs a block that is noted, and builds on it from now on.
    fn sign(&mut self, executed: Executed) -> Result<Sealed<A>, EngineError> {
        let Executed {
            tip,
            block,
            id,
            vote_time,
            results,
            results_hash,
            prepared,
            later,
            limits,
            app_version,
        } = executed;
        let height = tip.height;
        let signer = self.signer(height)?;
        let bytes = vote_bytes(&tip.chain_id, height, &id, vote_time);
        let signature = signer.sign(&bytes).map_err(|error| EngineError::Key(error.to_string()))?;
        let commit = commit(height, id.clone(), tip.proposer, vote_time, signature);

        let app_hash = prepared.app_hash();
        let proof_block_due = app_hash[..] != tip.app_hash[..];
        let mut next = tip.clone();
        next.app_version = app_version;
        next.height += 1;
        next.time = vote_time;
        next.last_block_id = id.clone();
        next.last_commit = commit.clone();
        next.app_hash = app_hash.to_vec();
        next.last_results_hash = results_hash;
        next.validators = std::mem::replace(&mut next.next_validators, later);
        next.proposer = next.validators.as_slice()[0].address();
        next.limits = limits;
        self.tip = next.clone();
        self.proof_block_due = proof_block_due;
        self.ahead = Some(prepared.clone());
        let (block, commit, results) = (Arc::new(block), Arc::new(commit), Arc::new(results));
        Ok(Sealed {
            application: Arc::clone(&self.application),
            store: Arc::clone(&self.store),
            prepared,
            tips: (tip, next),
            initial_height: self.initial_height,
            committed: Committed { height, id, block, commit, results, proof_block_due },
        })
    }

    /// The key of the one validator that signs the next height.
    fn signer(&self, height: u64) -> Result<&Arc<dyn Signer>, EngineError> {
        match self.tip.validators.as_slice() {
            [validator] => self.keys.get(&validator.public_key).ok_or(EngineError::NotSolo { height }),
            _ => Err(EngineError::NotSolo { height }),
        }
    }
}

/// The set after a block's updates: power 0 removes.
fn updated(validators: &Validators, outcome: &Outcome) -> Validators {
    let mut powers: BTreeMap<_, _> = validators.as_slice().iter().map(|v| (v.public_key, v.power)).collect();
    for update in &outcome.validators {
        powers.insert(update.public_key, update.power);
    }
    let left = powers.into_iter().filter(|(_, power)| *power > 0);
    Validators::new(left.map(|(public_key, power)| Validator { public_key, power }).collect())
}

/// Writes the state of genesis, at the height before the first.
fn genesis<A: Application>(application: &A, store: &Store, json: &[u8]) -> Result<(), EngineError> {
    let initial = application.init_chain(json).map_err(EngineError::Genesis)?;
    if initial.initial_height == 0 {
        return Err(EngineError::Genesis("initial_height must be at least 1".into()));
    }
    if initial.chain_id.is_empty() || initial.chain_id.len() > CHAIN_ID_BYTES_MAX {
        let length = initial.chain_id.len();
        return Err(EngineError::Genesis(format!(
            "chain_id has {length} bytes; 1 to {CHAIN_ID_BYTES_MAX} are allowed"
        )));
    }
    let validators =
        initial.validators.iter().map(|v| Validator { public_key: v.public_key, power: v.power });
    let validators = Validators::new(validators.collect());
    let [validator] = validators.as_slice() else {
        return Err(EngineError::NotSolo { height: initial.initial_height });
    };
    let prepared = store.prepare_genesis(initial.initial_height - 1, &initial.writes)?;
    let tip = Tip {
        chain_id: initial.chain_id.clone(),
        app_version: application.info().app_version,
        height: initial.initial_height,
        time: UnixNanos::from_ms(initial.genesis_time_ms),
        last_block_id: empty_block_id(),
        last_commit: empty_commit(),
        app_hash: prepared.app_hash().to_vec(),
        last_results_hash: results_hash(&[]),
        proposer: validator.address(),
        next_validators: validators.clone(),
        validators,
        limits: records::limits(initial.bounds),
    };
    let saved = SavedTip::new(&tip, initial.initial_height, false);
    store.commit(prepared, records::genesis(&saved, json))?;
    Ok(())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
