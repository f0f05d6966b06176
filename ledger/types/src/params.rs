//! Parameters that governance changes inside fixed bounds (section 12.2).

use serde::{Deserialize, Serialize};
use ves::Digest;

use crate::codec::{Decode, DecodeError, Encode, Map, Problem, Reader, Text};
use crate::hash::{Domain, hash};

/// Name of a parameter.
pub type ParamName = Text<64>;

/// Why a change of parameters is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    #[error("{0} is no parameter")]
    Unknown(String),
    #[error("{name} = {value} is outside {min} to {max}")]
    Bounds { name: &'static str, value: u64, min: u64, max: u64 },
}

macro_rules! params {
    ($($(#[$doc:meta])* $name:ident = $default:expr, $min:expr => $max:expr;)+) => {
        /// The parameters in force. Each stands inside its bounds.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "ParamsText", default)]
        pub struct Params { $($(#[$doc])* pub $name: u64),+ }

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct ParamsText { $($name: u64),+ }

        impl Default for Params {
            fn default() -> Self {
                Self { $($name: $default),+ }
            }
        }
        impl Default for ParamsText {
            fn default() -> Self {
                Self { $($name: $default),+ }
            }
        }

        impl TryFrom<ParamsText> for Params {
            type Error = ParamError;
            fn try_from(text: ParamsText) -> Result<Self, ParamError> {
                let mut params = Self::default();
                $(params.set(stringify!($name), text.$name)?;)+
                Ok(params)
            }
        }

        impl Params {
            /// Name, default and bounds of each, for people.
            pub const TABLE: &'static [(&'static str, u64, u64, u64)] =
                &[$((stringify!($name), $default, $min, $max)),+];

            pub fn get(&self, name: &str) -> Option<u64> {
                match name { $(stringify!($name) => Some(self.$name),)+ _ => None }
            }

            /// # Errors
            /// [`ParamError`]; then nothing changes.
            pub fn set(&mut self, name: &str, value: u64) -> Result<(), ParamError> {
                match name {
                    $(stringify!($name) => {
                        let (min, max): (u64, u64) = ($min, $max);
                        if !(min..=max).contains(&value) {
                            return Err(ParamError::Bounds { name: stringify!($name), value, min, max });
                        }
                        self.$name = value;
                        Ok(())
                    })+
                    _ => Err(ParamError::Unknown(name.to_owned())),
                }
            }
        }
    };
}

const MIB: u64 = 1 << 20;

params! {
    max_tx_bytes = 65_536, 4_096 => MIB;
    max_block_bytes = MIB, 65_536 => 16 * MIB;
    max_block_gas = 200_000_000, 1_000_000 => 10_000_000_000;
    max_tx_gas = 10_000_000, 100_000 => 1_000_000_000;
    /// Of a frame between peers.
    max_message_bytes = 4 * MIB, MIB => 4 * MIB;
    max_components = 256, 16 => 4_096;
    max_inputs = 64, 1 => 1_024;
    max_policy_keys = 16, 1 => 16;
    max_capsules = 32, 0 => 1_024;
    /// 1: each capsule needs receipts of f + 1 notaries.
    capsules_required = 0, 0 => 1;
    capsule_retention_days = 3_650, 1 => 36_500;
    params_grace_blocks = 1_000, 1 => 1_000_000;
    max_contract_bytes = 2 * MIB, 65_536 => 4 * MIB;
    vm_max_pages = 256, 1 => 1_024;
    fuel_per_gas = 10, 1 => 1_000;
    quota_tx_per_block = 200, 1 => 1_000_000;
    quota_bytes_per_block = MIB, 4_096 => 16 * MIB;
    quota_gas_per_block = 40_000_000, 100_000 => 10_000_000_000;
    voting_blocks = 17_280, 1 => 10_000_000;
    min_sponsors = 2, 1 => 100;
    quorum_permille = 400, 1 => 1_000;
    veto_permille = 334, 1 => 1_000;
    activation_delay_blocks = 100, 1 => 10_000_000;
    empty_block_interval_ms = 5_000, 100 => 3_600_000;
    default_fee_bps = 0, 0 => 1_000;
    escrow_days_max = 365, 1 => 3_650;
    dispute_window_days = 14, 1 => 365;
    max_batch = 100, 1 => 1_000;
    max_expiries_per_block = 200, 1 => 10_000;
    evidence_max_age_days = 14, 1 => 365;
    /// 1: contracts ask for the roles FACTOR, LENDER and FINANCER where one acts as such (1.3).
    require_capability = 0, 0 => 1;
    /// For light clients.
    unbonding_period_days = 21, 1 => 365;
    /// Contests (5.3) are not built: this stays 0.
    contest_enabled = 0, 0 => 0;
    contest_blocks = 1_000, 1 => 1_000_000;
    contest_answer_blocks = 1_000, 1 => 1_000_000;
}

/// Most parameters of any version.
const COUNT_MAX: usize = 256;

impl Params {
    /// What a header names as `params_hash`.
    pub fn hash(&self) -> Digest {
        hash(Domain::Params, &[&self.to_sce()])
    }

    fn map(&self) -> Map<ParamName, u64, COUNT_MAX> {
        let pairs = Self::TABLE.iter().map(|(name, ..)| {
            let name = ParamName::new(*name).expect("names are short");
            let value = self.get(&name).expect("a name of the table");
            (name, value)
        });
        Map::new(pairs).expect("names are distinct")
    }
}

/// A map from names to values, with all names.
impl Encode for Params {
    fn encode(&self, out: &mut Vec<u8>) {
        self.map().encode(out);
    }
}
impl Decode for Params {
    const BYTES_MIN: usize = 4;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        let wrong = |said| DecodeError { at, problem: Problem::Invalid(said) };
        let map: Map<ParamName, u64, COUNT_MAX> = Map::decode(reader)?;
        if map.len() != Self::TABLE.len() {
            return Err(wrong("parameters are all named"));
        }
        let mut params = Self::default();
        for (name, value) in map.iter() {
            params.set(name, *value).map_err(|_| wrong("a parameter is unknown or outside its bounds"))?;
        }
        Ok(params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_stand_inside_their_bounds() {
        for (name, default, min, max) in Params::TABLE {
            assert!(min <= default && default <= max, "{name}");
            assert_eq!(Params::default().get(name), Some(*default));
        }
        assert_eq!(Params::from_sce(&Params::default().to_sce()), Ok(Params::default()));
    }

    #[test]
    fn values_outside_their_bounds_are_refused() {
        for (name, default, min, max) in Params::TABLE {
            let mut params = Params::default();
            assert_eq!(params.set(name, *min), Ok(()));
            assert_eq!(params.set(name, *max), Ok(()));
            assert!(params.set(name, max + 1).is_err());
            assert!(*min == 0 || params.set(name, min - 1).is_err());
            assert_eq!(params.get(name), Some(*max), "{name}: default {default}");
        }
        assert!(matches!(Params::default().set("nothing", 1), Err(ParamError::Unknown(_))));
    }
}
