//! A local chain with the contracts on it.

use set_registry::artifact::Contract;
use set_registry::devnet::{ACCOUNT_KEYS, Anvil, AnvilSettings, Wallet, find_anvil};
use set_registry::{Address, ChainKey, Registry};

pub struct Chain {
    pub anvil: Anvil,
    pub owner: Wallet,
    pub registry: Registry,
}

/// `None` where anvil is not installed, which continuous integration does not allow.
pub fn start() -> Option<Chain> {
    if find_anvil().is_none() {
        let in_ci = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
        assert!(!in_ci, "anvil is missing: cargo xtask contracts installs it by npm");
        eprintln!("not tested here: anvil is not installed (cargo xtask contracts installs it by npm)");
        return None;
    }
    let anvil = Anvil::start(&AnvilSettings::default()).unwrap();
    let owner = Wallet::new(anvil.node(), account(0)).unwrap();
    let address = owner.deploy(Contract::SetRegistry).unwrap();
    let registry = Registry::new(anvil.node(), address);
    Some(Chain { anvil, owner, registry })
}

pub fn account(at: usize) -> ChainKey {
    ChainKey::from_hex(ACCOUNT_KEYS[at]).unwrap()
}

pub fn address(at: usize) -> Address {
    account(at).address()
}
