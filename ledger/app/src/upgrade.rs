//! Planned changes of the rules (section 12.3): those that this program has, and what it does at the height of one.
//!
//! The state says which rules hold (`gov/chain`), never the program: a program that has an upgrade keeps the old rules until the
//! height of its plan, so it may be installed early, and a replay from genesis passes both sides of the height.

use std::collections::{BTreeMap, BTreeSet};

use stateset_ledger_types::StateKey;
use stateset_ledger_types::codec::Text;
use stateset_ledger_types::genesis::ChainRecord;
use stateset_ledger_types::governance::SoftwareUpgrade;

use crate::application::Fault;
use crate::overlay::Overlay;

/// Version of the rules that every chain begins with.
pub const FIRST_VERSION: u64 = 1;

/// The upgrades of this program, oldest first. There are none yet: the rules are those of the first version.
pub const KNOWN: &[Upgrade] = &[];

/// One planned change that this program has.
#[derive(Debug, Clone, Copy)]
pub struct Upgrade {
    /// As proposals name it.
    pub name: &'static str,
    /// Of the rules from its height on; above that of the upgrade before it.
    pub app_version: u64,
    /// Changes the state before the first transaction of the block at the height of the plan. Deterministic: it reads nothing but
    /// the state.
    pub migrate: fn(&mut Overlay<'_>, &SoftwareUpgrade) -> Result<(), Fault>,
}

/// The upgrades that a program has, and the heights at which its operator lets none of them happen.
#[derive(Debug, Clone, Default)]
pub struct Upgrades {
    known: BTreeMap<&'static str, Upgrade>,
    skipped: BTreeSet<u64>,
}

/// What was done with a plan whose height came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Its migration ran; the next header has this version.
    Done { name: String, app_version: u64 },
    /// The operator said so; the rules stay as they were.
    Skipped { name: String },
}

impl Upgrades {
    /// # Panics
    /// When the table of the program is wrong: a name that is empty or stands twice, or versions that don't rise.
    pub fn new(known: &[Upgrade]) -> Self {
        let mut last = FIRST_VERSION;
        let mut table = BTreeMap::new();
        for upgrade in known {
            assert!(
                upgrade.app_version > last,
                "upgrade {:?}: its version is not above {last}",
                upgrade.name
            );
            assert!(!upgrade.name.is_empty(), "an upgrade has a name");
            assert!(
                table.insert(upgrade.name, *upgrade).is_none(),
                "upgrade {:?} stands twice",
                upgrade.name
            );
            last = upgrade.app_version;
        }
        Self { known: table, skipped: BTreeSet::new() }
    }

    /// Lets no plan of these heights happen. All who order the chain have to say the same, or they part at that height.
    #[must_use]
    pub fn skipping(self, heights: impl IntoIterator<Item = u64>) -> Self {
        Self { skipped: heights.into_iter().collect(), ..self }
    }

    /// The version of the rules that hold after the state.
    ///
    /// # Errors
    /// [`Fault::RulesUnknown`]: another program went on from here with rules that this one lacks.
    pub fn version(&self, overlay: &Overlay<'_>) -> Result<u64, Fault> {
        let chain: ChainRecord = overlay.expect(&StateKey::chain())?;
        let version = chain.app_version;
        let is_known = version == FIRST_VERSION || self.known.values().any(|it| it.app_version == version);
        if is_known {
            return Ok(version);
        }
        Err(Fault::RulesUnknown { app_version: version, upgrade: chain.upgrade.to_string() })
    }

    /// Step 1 of a block (6.3): nothing where no plan is due.
    ///
    /// # Errors
    /// [`Fault::UpgradeNeeded`]: nothing was changed, and a program that has the upgrade goes on from here.
    /// [`Fault::RulesUnknown`]; what the migration fails with.
    pub fn begin(&self, overlay: &mut Overlay<'_>, height: u64) -> Result<Option<Step>, Fault> {
        let version = self.version(overlay)?;
        let Some(plan): Option<SoftwareUpgrade> = overlay.get(&StateKey::upgrade_plan())? else {
            return Ok(None);
        };
        if plan.height > height {
            return Ok(None);
        }
        let name = plan.name.to_string();
        if self.skipped.contains(&plan.height) {
            overlay.delete(StateKey::upgrade_plan());
            overlay.keep();
            return Ok(Some(Step::Skipped { name }));
        }
        let Some(upgrade) = self.known.get(name.as_str()).filter(|it| it.app_version > version) else {
            return Err(Fault::UpgradeNeeded(Box::new(plan)));
        };
        (upgrade.migrate)(overlay, &plan)?;
        let chain: ChainRecord = overlay.expect(&StateKey::chain())?;
        let upgraded = Text::new(name.as_str()).expect("a plan's name is as long");
        let app_version = upgrade.app_version;
        overlay.put(StateKey::chain(), &ChainRecord { app_version, upgrade: upgraded, ..chain });
        overlay.put(StateKey::upgraded(&name), &height);
        overlay.delete(StateKey::upgrade_plan());
        overlay.keep();
        Ok(Some(Step::Done { name, app_version }))
    }
}
