//! Points at which the power may go. Tests stop a node at each of them and open its file again.

/// Where a node is in one turn of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The step is decided and not yet in the journal.
    BeforeCommit,
    /// The step is in the journal and nothing followed.
    AfterCommit,
    /// The effect is about to be done.
    BeforeEffect,
    /// The effect was done and nothing knows of it.
    AfterEffect,
}

/// Says whether the node goes on at a point.
pub trait Probe: Send + Sync {
    fn goes_on(&self, point: Point) -> bool;
}

/// Never stops.
#[derive(Debug, Clone, Copy)]
pub struct Always;

impl Probe for Always {
    fn goes_on(&self, _: Point) -> bool {
        true
    }
}
