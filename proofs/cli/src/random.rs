//! Bytes from the operating system's generator.

use crate::failure::Failure;

pub fn fill(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes).map_err(no_randomness)
}

pub fn bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

pub fn no_randomness(error: getrandom::Error) -> Failure {
    Failure::failed("NO_RANDOMNESS", format!("no randomness: {error}"))
}
