//! A node that stopped before a block because its program lacks the rules of that block (network.md 12.3).

use std::fs;

use serde_json::json;
use stateset_ledger_app::upgrade::KNOWN;
use stateset_ledger_app::{Fault, Ledger, Upgrades};

use crate::args::UpgradeArgs;
use crate::home::Home;
use crate::output::Failure;

/// In the home, while the node is stopped for it: what to install, for whoever watches the node.
const FILE: &str = "upgrade-needed.json";

/// The state machine with this program's upgrades, less what the operator skips.
pub fn ledger(args: &UpgradeArgs) -> Ledger {
    Ledger::with(Upgrades::new(KNOWN).skipping(args.unsafe_skip_upgrade.iter().copied()))
}

/// A start decides anew.
pub fn forget(home: &Home) -> Result<(), Failure> {
    let file = home.file(FILE);
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("remove", &file, &error))
        }
        _ => Ok(()),
    }
}

/// Why the node of `home` stopped; where it is for want of an upgrade, the file is written too.
pub fn stopped(home: &Home, fault: &Fault) -> Failure {
    match fault {
        Fault::UpgradeNeeded(plan) => {
            let needed = json!({"name": plan.name, "height": plan.height, "info": plan.info,
                "binary_hash": plan.binary_hash});
            let file = home.file(FILE);
            if let Err(error) = fs::write(&file, format!("{needed}\n")) {
                tracing::error!("cannot write {}: {error}", file.display());
            }
            let skip = format!(
                "if all who order the chain agreed to do without it, start with --unsafe-skip-upgrade {}",
                plan.height
            );
            Failure::failed("UPGRADE_NEEDED", format!("{fault}; {skip}"))
        }
        Fault::RulesUnknown { .. } => Failure::failed("UPGRADE_NEEDED", fault),
        _ => Failure::failed("APPLICATION", fault),
    }
}
