//! Conservation (section 10.1), recounted from the state.

use std::collections::BTreeMap;

use stateset_ledger_types::Substore;
use stateset_ledger_types::bank::{Channel, Escrow};
use stateset_ledger_types::ids::{Denom, Units};

use crate::application::Fault;
use crate::overlay::{Overlay, decode};

/// Where the supply of a denomination is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holding {
    pub supply: u128,
    pub balances: u128,
    pub escrows: u128,
    pub channels: u128,
}

impl Holding {
    /// Whether the supply is where it should be.
    pub fn is_conserved(&self) -> bool {
        let parts = [self.escrows, self.channels].into_iter().try_fold(self.balances, u128::checked_add);
        parts == Some(self.supply)
    }
}

/// Counts every denomination. Reads every balance, escrow and channel.
///
/// # Errors
/// [`Fault`].
pub fn audit(overlay: &Overlay<'_>) -> Result<BTreeMap<Denom, Holding>, Fault> {
    let mut found: BTreeMap<Denom, Holding> = BTreeMap::new();
    let corrupt = |place: String| Fault::Corrupt { place, problem: "not a key of the bank".to_owned() };
    let add = |to: &mut u128, units: u128, place: &dyn std::fmt::Display| {
        *to = to.checked_add(units).ok_or_else(|| corrupt(place.to_string()))?;
        Ok::<(), Fault>(())
    };
    for (key, bytes) in overlay.prefix(Substore::Bank, "supply/", usize::MAX)? {
        let denom = denom_at(&key.path, 1).ok_or_else(|| corrupt(key.to_string()))?;
        add(&mut found.entry(denom).or_default().supply, decode::<Units>(&key, &bytes)?.0, &key)?;
    }
    for (key, bytes) in overlay.prefix(Substore::Bank, "bal/", usize::MAX)? {
        let denom = denom_at(&key.path, 2).ok_or_else(|| corrupt(key.to_string()))?;
        add(&mut found.entry(denom).or_default().balances, decode::<Units>(&key, &bytes)?.0, &key)?;
    }
    for (key, bytes) in overlay.prefix(Substore::Settle, "escrow/", usize::MAX)? {
        let escrow: Escrow = decode(&key, &bytes)?;
        add(&mut found.entry(escrow.denom).or_default().escrows, escrow.locked.0, &key)?;
    }
    for (key, bytes) in overlay.prefix(Substore::Settle, "chan/", usize::MAX)? {
        let channel: Channel = decode(&key, &bytes)?;
        let left =
            channel.deposit.0.checked_sub(channel.claimed.0).ok_or_else(|| corrupt(key.to_string()))?;
        add(&mut found.entry(channel.denom).or_default().channels, left, &key)?;
    }
    Ok(found)
}

/// The denomination behind `skip` parts of a path; it may hold slashes itself.
fn denom_at(path: &[u8], skip: usize) -> Option<Denom> {
    let text = std::str::from_utf8(path).ok()?;
    Denom::new(text.splitn(skip + 1, '/').nth(skip)?).ok()
}
