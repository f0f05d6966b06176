//! The store's public behaviour: proofs as strangers check them, crashes, pruning, snapshots.

mod ahead;
mod faults;
mod proofs;
mod snapshots;
mod support;
