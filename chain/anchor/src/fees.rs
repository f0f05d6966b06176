//! Fees by EIP-1559: what `set_registry` works out, whoever sends.

pub use set_registry::fees::{AboveCeiling, HISTORY_BLOCKS, bump, quote};
