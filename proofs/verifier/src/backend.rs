//! What prover and verifier share. Hidden from users: types here name the field library.

pub mod codec;
pub mod extension;
pub mod merkle;
pub mod parameters;
pub mod shape;
pub mod transcript;

pub use crate::batch::{batch_circuit, batch_shape};
pub use crate::check::{Claim, batch_powers, begin, verify};
pub use crate::clauses::{clauses_circuit, clauses_shape};
pub use crate::one_event::{circuit, profile, shape};
pub use crate::payload::{payload_circuit, payload_shape};
pub use crate::security::levels;
