//! The operating system's generator, for the masks of a proof.

use getrandom::SysRng;
use rand_core::{CryptoRng, UnwrapErr};

/// The operating system's generator, after it has answered once: it then answers for as long as the process lives.
///
/// # Errors
/// Where it does not answer.
pub fn system_random() -> Result<impl CryptoRng, getrandom::Error> {
    getrandom::fill(&mut [0; 1])?;
    Ok(UnwrapErr(SysRng))
}
