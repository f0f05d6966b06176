//! The agent's signing key, from the environment: a key on the command line could be read by every user.

use clap::Args;
use ves::ed25519::SigningKey;
use ves::{KeyId, hex};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Names the seed: 64 hex digits.
const VARIABLE: &str = "VES_AGENT_KEY";

#[derive(Debug, Args)]
pub struct SigningArgs {
    /// Number of the agent's signing key, whose seed is in VES_AGENT_KEY (64 hex digits)
    #[arg(long, value_name = "N", default_value_t = 1)]
    agent_key_id: u32,
}

impl SigningArgs {
    /// The key, where the environment holds one.
    pub fn read(&self) -> Result<Option<(KeyId, SigningKey)>, Failure> {
        let Some(text) = std::env::var_os(VARIABLE) else { return Ok(None) };
        let text = Zeroizing::new(text.into_string().unwrap_or_default());
        let seed = hex::decode_lenient::<32>(text.trim()).map_err(|error| {
            Failure::input("BAD_KEY", format!("{VARIABLE}: {error}"))
                .hint("the seed of the key, 64 hex digits")
        })?;
        Ok(Some((KeyId(self.agent_key_id), SigningKey::from_seed(seed))))
    }
}
