//! The service over a real SQLite log: what callers were promised, and what survives a restart.

mod commitments;
mod history;
mod ingest;
mod key_versions;
mod legacy;
mod rotation;
#[cfg(feature = "schema-validation")]
mod schemas;
mod term;
mod worker;
mod world;
