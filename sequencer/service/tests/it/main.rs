//! The service over a real SQLite log: what callers were promised, and what survives a restart.

mod commitments;
mod dead_letters;
mod history;
mod ingest;
mod key_versions;
mod legacy;
mod rotation;
mod term;
mod worker;
mod world;
