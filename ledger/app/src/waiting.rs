//! What members have waiting in the pool: a share each. The quota bounds what a member brings into one block (5.1), and a pool is
//! emptied in the order in which it was filled: without a share, one member could stand in front of all others for hours.

use std::collections::BTreeMap;

use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::{Code, Refusal};
use ves::Digest;

use crate::context::Used;

/// Blocks whose quota a member may have waiting: one that is stored, one that is executed, one that fills, and one more.
pub const BLOCKS_MAX: u64 = 4;
/// What came into no block for so many of them has left the pool, which does not say so.
const FORGOTTEN_BLOCKS: u64 = 100;
/// What is forgotten is looked for each so many blocks.
const LOOK_BLOCKS: u64 = 16;

#[derive(Debug)]
struct One {
    entity: EntityId,
    used: Used,
    /// The block that it could have come into first.
    height: u64,
}

/// Requests that were let into the pool, by the hash of their bytes.
#[derive(Debug, Default)]
pub struct Waiting {
    requests: BTreeMap<Digest, One>,
    shares: BTreeMap<EntityId, Used>,
}

impl Waiting {
    /// Counts a request of `entity`, once however often the pool asks about it.
    ///
    /// - `quota`: what the member may bring into one block.
    ///
    /// # Errors
    /// QUOTA where its share is taken.
    pub fn enter(
        &mut self,
        hash: Digest,
        entity: EntityId,
        used: Used,
        quota: Used,
        height: u64,
    ) -> Result<(), Refusal> {
        if self.requests.contains_key(&hash) {
            return Ok(());
        }
        let share = self.shares.get(&entity).copied().unwrap_or_default().and(used);
        if let Some((what, needed, limit)) = share.over(quota.times(BLOCKS_MAX)) {
            let said = format!(
                "{needed} {what} of this member would wait for blocks, at most {limit}: try again after the next block"
            );
            return Err(Refusal::new(Code::Quota, said));
        }
        self.shares.insert(entity, share);
        self.requests.insert(hash, One { entity, used, height });
        Ok(())
    }

    /// It is in a block, or refused.
    pub fn leave(&mut self, hash: &Digest) {
        let Some(gone) = self.requests.remove(hash) else { return };
        if let Some(share) = self.shares.get_mut(&gone.entity) {
            *share = share.less(gone.used);
            if share.transactions == 0 {
                self.shares.remove(&gone.entity);
            }
        }
    }

    /// What cannot be in the pool any more once `committed` is.
    pub fn forget(&mut self, committed: u64) {
        if !committed.is_multiple_of(LOOK_BLOCKS) {
            return;
        }
        let is_old = |one: &One| one.height.saturating_add(FORGOTTEN_BLOCKS) <= committed;
        let old: Vec<_> =
            self.requests.iter().filter(|(_, one)| is_old(one)).map(|(hash, _)| *hash).collect();
        old.iter().for_each(|hash| self.leave(hash));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Used = Used { transactions: 2, bytes: 100, gas: 10 };

    fn enter(waiting: &mut Waiting, n: u8, member: u8, used: Used) -> Result<(), String> {
        let entered = waiting.enter(Digest([n; 32]), EntityId([member; 20]), used, QUOTA, 1);
        entered.map_err(|refusal| refusal.text)
    }

    #[test]
    fn a_member_has_its_share_and_takes_nobody_elses() {
        let (mut waiting, small) = (Waiting::default(), Used { transactions: 1, bytes: 10, gas: 1 });
        for n in 0..8 {
            enter(&mut waiting, n, 1, small).unwrap();
            enter(&mut waiting, n, 1, small).expect("counted once");
        }
        assert!(enter(&mut waiting, 8, 1, small).unwrap_err().starts_with("9 transactions"));
        enter(&mut waiting, 9, 2, small).expect("another's");
        waiting.leave(&Digest([0; 32]));
        waiting.leave(&Digest([0; 32]));
        enter(&mut waiting, 8, 1, small).expect("one came into a block");
        let dear = Used { gas: 40, ..small };
        enter(&mut waiting, 10, 3, dear).unwrap();
        assert!(enter(&mut waiting, 11, 3, small).unwrap_err().starts_with("41 gas"));
        let long = Used { bytes: 401, ..small };
        assert!(enter(&mut waiting, 12, 4, long).unwrap_err().starts_with("401 bytes"));
    }

    #[test]
    fn what_left_the_pool_unsaid_is_forgotten() {
        let (mut waiting, all) = (Waiting::default(), Used { transactions: 8, bytes: 10, gas: 1 });
        enter(&mut waiting, 0, 1, all).unwrap();
        waiting.forget(96);
        enter(&mut waiting, 1, 1, all).unwrap_err();
        waiting.forget(112);
        enter(&mut waiting, 1, 1, all).expect("nothing of it waits");
        assert_eq!(waiting.requests.len(), 1);
    }
}
