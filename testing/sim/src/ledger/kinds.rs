//! The worlds of the shared ledger, by name.

/// A kind of world.
#[derive(Debug, Clone, Copy)]
pub struct LedgerWorld {
    pub name: &'static str,
    pub about: &'static str,
    pub(super) nodes: usize,
    pub(super) blocks: u64,
    /// How often callers cheat and proposers lie, of 100.
    pub(super) hostile: u32,
    /// How often a node meets a fault at a block, of 100.
    pub(super) faults: u32,
}

pub const LEDGER_WORLDS: [LedgerWorld; 4] = [
    LedgerWorld {
        name: "ledger-calm",
        about: "three nodes of the shared ledger, honest companies, nothing fails",
        nodes: 3,
        blocks: 8,
        hostile: 0,
        faults: 0,
    },
    LedgerWorld {
        name: "ledger",
        about: "companies that cheat, proposers that lie, nodes that restart, lag and lose power",
        nodes: 3,
        blocks: 14,
        hostile: 100,
        faults: 20,
    },
    LedgerWorld {
        name: "ledger-swarm",
        about: "as ledger, and short: for thousands of seeds",
        nodes: 2,
        blocks: 4,
        hostile: 100,
        faults: 30,
    },
    LedgerWorld {
        name: "ledger-crash",
        about: "nodes of the shared ledger that lose power at almost every block, and old backups",
        nodes: 2,
        blocks: 16,
        hostile: 40,
        faults: 80,
    },
];

/// The world `name` of the shared ledger.
pub fn ledger_world(name: &str) -> Option<&'static LedgerWorld> {
    LEDGER_WORLDS.iter().find(|world| world.name == name)
}
