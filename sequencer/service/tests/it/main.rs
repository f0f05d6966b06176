//! The service over a real SQLite log: what callers were promised, and what survives a restart.

mod commitments;
mod ingest;
mod key_versions;
mod term;
mod world;
