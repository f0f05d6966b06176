//! What ties one batch to the next, outside any circuit (section 9).

use crate::inputs::BatchInputs;

/// Why batches are no chain. `place` is that of the later of the two batches, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("batch {place} is of another tenant or store")]
    OtherStream { place: usize },
    #[error("batch {place} does not start directly after the one before it")]
    SequenceGap { place: usize },
    #[error("batch {place} does not start from the state in which the one before it ended")]
    StateRoot { place: usize },
    #[error("batch {place} is for another deployment")]
    OtherDeployment { place: usize },
}

/// Whether each batch continues the one before it: same stream and deployment, ranges without gap, states that meet.
///
/// # Errors
/// [`ChainError`], the first break. None or one batch is a chain.
pub fn check_chain(batches: &[BatchInputs]) -> Result<(), ChainError> {
    for (place, pair) in (1..).zip(batches.windows(2)) {
        let (before, after) = (&pair[0], &pair[1]);
        if before.stream != after.stream {
            return Err(ChainError::OtherStream { place });
        }
        if before.chain_context != after.chain_context {
            return Err(ChainError::OtherDeployment { place });
        }
        if before.sequence_end.next() != Some(after.sequence_start) {
            return Err(ChainError::SequenceGap { place });
        }
        if before.new_state_root != after.prev_state_root {
            return Err(ChainError::StateRoot { place });
        }
    }
    Ok(())
}
