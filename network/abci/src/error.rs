use stateset_ledger_app::Fault;
use stateset_ledger_store::StoreError;

/// Why the application cannot go on. CometBFT has no answer for it: the node stops, and says this.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Application(#[from] Fault),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("genesis: {0}")]
    Genesis(String),
    #[error("CometBFT and the state do not fit together: {0}")]
    Order(String),
    #[error("snapshots: {0}")]
    Snapshots(#[from] std::io::Error),
    #[error("the application panicked in {0}; its log says where")]
    Panicked(&'static str),
}
