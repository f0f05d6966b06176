//! Public behaviour.

#[path = "../../../solo/tests/it/support.rs"]
#[allow(dead_code, reason = "these tests need a part of the chain of those of solo")]
mod support;

mod following;
mod forms;
mod made;
mod refusals;
mod vectors;
