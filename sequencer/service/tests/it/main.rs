//! The service over a real SQLite log: what callers were promised, and what survives a restart.

mod anchors;
mod audit;
mod commitments;
mod dead_letters;
mod history;
mod ingest;
mod key_versions;
mod legacy;
mod legacy_check;
mod payments;
mod rotation;
#[cfg(feature = "schema-validation")]
mod schemas;
mod term;
mod worker;
mod world;
