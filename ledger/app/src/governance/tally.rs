//! Counting votes, in integers (section 12.1).

use stateset_ledger_types::governance::{Proposal, Threshold, VoteChoice};
use stateset_ledger_types::{Params, StateKey};

use super::life;
use crate::application::Fault;
use crate::overlay::Overlay;

/// Votes by weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Weight of everyone who may vote.
    pub total: u64,
    pub yes: u64,
    pub no: u64,
    pub abstain: u64,
    pub veto: u64,
    /// Notaries, each counted once.
    pub notaries: u64,
    pub notaries_yes: u64,
}

/// What a tally means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    Rejected,
    Vetoed,
}

impl Tally {
    /// Counts the votes as they stand, over the electorate of when voting began.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn count(overlay: &Overlay<'_>, proposal: &Proposal) -> Result<Self, Fault> {
        let mut tally = Self::default();
        for voter in life::electorate(overlay, proposal.id)?.voters.iter() {
            let weight = u64::from(voter.power);
            tally.total += weight;
            tally.notaries += u64::from(voter.is_notary);
            let vote: Option<VoteChoice> = overlay.get(&StateKey::vote(proposal.id, &voter.entity))?;
            match vote {
                None => {}
                Some(VoteChoice::Yes) => {
                    tally.yes += weight;
                    tally.notaries_yes += u64::from(voter.is_notary);
                }
                Some(VoteChoice::No) => tally.no += weight,
                Some(VoteChoice::Abstain) => tally.abstain += weight,
                Some(VoteChoice::NoWithVeto) => tally.veto += weight,
            }
        }
        Ok(tally)
    }

    /// Whether two thirds of the notaries voted yes: what carries out an expedited proposal.
    pub const fn two_thirds_of_notaries(&self) -> bool {
        self.notaries_yes > 0 && self.notaries_yes * 3 >= self.notaries * 2
    }

    /// Quorum, veto, threshold, in this order. A proposal for which nobody votes yes never passes.
    pub const fn verdict(&self, threshold: Threshold, params: &Params) -> Verdict {
        let decided = self.yes + self.no + self.veto;
        let votes = decided + self.abstain;
        if votes * 1000 < self.total * params.quorum_permille {
            return Verdict::Rejected;
        }
        if self.veto * 1000 > votes * params.veto_permille {
            return Verdict::Vetoed;
        }
        let passes = match threshold {
            Threshold::Majority => self.yes * 2 > decided,
            Threshold::TwoThirds => self.yes * 3 >= decided * 2,
        };
        if passes && self.yes > 0 { Verdict::Passed } else { Verdict::Rejected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(total: u64, [yes, no, abstain, veto]: [u64; 4], threshold: Threshold) -> Verdict {
        let tally = Tally { total, yes, no, abstain, veto, ..Tally::default() };
        tally.verdict(threshold, &Params::default())
    }

    #[test]
    fn edges_of_quorum_veto_and_thresholds() {
        use Threshold::{Majority, TwoThirds};
        use Verdict::{Passed, Rejected, Vetoed};
        for (total, votes, threshold, expected) in [
            // Quorum: 400 of 1000.
            (1000, [400, 0, 0, 0], Majority, Passed),
            (1000, [399, 0, 0, 0], Majority, Rejected),
            (1000, [1, 0, 399, 0], Majority, Passed),
            // Veto: more than 334 of 1000 votes.
            (1000, [666, 0, 0, 334], Majority, Passed),
            (1000, [665, 0, 0, 335], Majority, Vetoed),
            (1000, [600, 0, 66, 334], Majority, Passed),
            // More than half of yes, no and veto.
            (1000, [500, 500, 0, 0], Majority, Rejected),
            (1000, [501, 499, 0, 0], Majority, Passed),
            // At least two thirds of them.
            (3, [2, 1, 0, 0], TwoThirds, Passed),
            (1000, [666, 334, 0, 0], TwoThirds, Rejected),
            (1000, [667, 333, 0, 0], TwoThirds, Passed),
            // Nobody for it.
            (1000, [0, 0, 1000, 0], TwoThirds, Rejected),
            (0, [0, 0, 0, 0], Majority, Rejected),
        ] {
            assert_eq!(verdict(total, votes, threshold), expected, "{votes:?} of {total} for {threshold:?}");
        }
    }

    #[test]
    fn notaries_decide_by_two_thirds_of_heads() {
        let enough = |notaries, notaries_yes| {
            Tally { notaries, notaries_yes, ..Tally::default() }.two_thirds_of_notaries()
        };
        assert!(enough(3, 2) && enough(4, 3) && enough(1, 1));
        assert!(!enough(3, 1) && !enough(4, 2) && !enough(0, 0));
    }
}
