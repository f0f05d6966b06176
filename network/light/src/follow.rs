//! From one trusted block to a later one, over the changes of validators between them.

use crate::fetch::{Call, latest, light_block, validator_set};
use crate::{CertificateError, FetchError, Terms, Trust, TrustedState};

/// Why a later block is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum FollowError<E> {
    #[error(transparent)]
    Fetch(#[from] FetchError<E>),
    #[error("block {height}: {problem}")]
    Refused { height: u64, problem: CertificateError },
}

/// Follows the chain of a node from `trusted` to `height`, or without one to its newest block, at `now_ms` (Unix
/// milliseconds). Where too many validators changed at once, blocks between are asked for: at most
/// `2 log2(height - trusted.height)` for each change.
///
/// # Errors
/// [`FollowError`].
pub fn follow<E>(
    call: &mut Call<'_, E>,
    trusted: &TrustedState,
    terms: Terms,
    height: Option<u64>,
    now_ms: u64,
) -> Result<TrustedState, FollowError<E>> {
    let target = match height {
        Some(height) => height,
        // The next validators of the newest block are known to both engines.
        None => latest(call)?,
    };
    let mut trusted = trusted.clone();
    let mut next = target;
    while trusted.height < target {
        let block = light_block(call, next)?;
        match block.verify(&Trust::Block(&trusted, terms), now_ms) {
            Ok(()) => {
                let set = validator_set(call, next + 1)?;
                trusted =
                    block.trusted(set).map_err(|problem| FollowError::Refused { height: next, problem })?;
                next = target;
            }
            // Nearer to what is trusted; the next block itself is judged by the set that was announced.
            Err(CertificateError::TrustedTooFew { .. }) if next > trusted.height + 1 => {
                next = trusted.height + (next - trusted.height) / 2;
            }
            Err(problem) => return Err(FollowError::Refused { height: next, problem }),
        }
    }
    Ok(trusted)
}

/// The block of `height`, or without one the newest, as a trusted one, where `trust` suffices to verify it by itself.
///
/// # Errors
/// [`FollowError`].
pub fn trusted_block<E>(
    call: &mut Call<'_, E>,
    trust: &Trust<'_>,
    height: Option<u64>,
    now_ms: u64,
) -> Result<TrustedState, FollowError<E>> {
    let height = match height {
        Some(height) => height,
        None => latest(call)?,
    };
    let refused = |problem| FollowError::Refused { height, problem };
    let block = light_block(call, height)?;
    block.verify(trust, now_ms).map_err(refused)?;
    block.trusted(validator_set(call, height + 1)?).map_err(refused)
}
