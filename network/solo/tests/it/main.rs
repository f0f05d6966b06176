//! The engine as strangers see it: light blocks and proofs judged by others' libraries alone, restarts, old backups.

mod light_client;
mod pace;
mod restart;
mod rpc;
mod same_hashes;
mod support;
mod upgrade;
