//! How much a proof is worth, said twice (section 7).

use serde::{Deserialize, Serialize};

/// Security of one proof, computed by its verifier from the parameters. What a bundle says of it is only compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecurityReport {
    /// Bits that follow from proven bounds (list decoding), the minimum over all rounds.
    pub proven_bits: u32,
    /// Bits under the conjecture named in `assumptions`, the minimum over all rounds.
    pub conjectured_bits: u32,
    /// Whether the proof hides its witness.
    pub zk: bool,
    /// What the figures rest on, for people.
    pub assumptions: Vec<String>,
}
