//! What the nodes of this machine believe of a ledger before they ask it anything, and where they keep what they learned.

use std::path::{Path, PathBuf};
use std::time::Duration;

use stateset_ledger_types::Genesis;
use stateset_light::{Terms, TrustedState};

use crate::output::Failure;

/// A chain of this machine, whose only key lies beside its genesis, is believed at any age.
const OWN_TRUSTED_FOR: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A block that is believed, and how long.
#[derive(Debug, Clone)]
pub struct Trusted {
    pub state: TrustedState,
    pub terms: Terms,
    /// Where the newest block that was followed is kept, for the next start.
    pub kept: Option<PathBuf>,
}

fn of_genesis(genesis: &Genesis) -> Result<TrustedState, Failure> {
    TrustedState::of_genesis(genesis).map_err(|problem| Failure::input("GENESIS", problem))
}

impl Trusted {
    /// A ledger that is ordered here.
    ///
    /// # Errors
    /// A genesis whose validators are wrong.
    pub fn own(genesis: &Genesis) -> Result<Self, Failure> {
        let terms = Terms { trusting_period: OWN_TRUSTED_FOR, ..Terms::default() };
        Ok(Self { state: of_genesis(genesis)?, terms, kept: None })
    }

    /// A ledger that others order: by the rules of light clients, from the newest block that was kept in `file`, or from the
    /// genesis where nothing was.
    ///
    /// # Errors
    /// A file that is no trusted block of this chain.
    pub fn elsewhere(genesis: &Genesis, file: &Path) -> Result<Self, Failure> {
        let state = match std::fs::read(file) {
            Ok(text) => TrustedState::from_json(&text).map_err(|problem| {
                Failure::failed(
                    "TRUST",
                    format!("{}: {problem}; put a trusted block in its place", file.display()),
                )
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => of_genesis(genesis)?,
            Err(error) => return Err(Failure::io("read", file, &error)),
        };
        if state.chain_id != genesis.chain_id {
            let said = format!("{} is of {}, not of {}", file.display(), state.chain_id, genesis.chain_id);
            return Err(Failure::failed("TRUST", said));
        }
        Ok(Self { state, terms: Terms::default(), kept: Some(file.to_owned()) })
    }
}

/// Replaces the kept block, so that a crash leaves the old or the new one.
///
/// # Errors
/// A file that can't be written.
pub fn keep(file: &Path, state: &TrustedState) -> Result<(), Failure> {
    let new = file.with_extension("new");
    std::fs::write(&new, state.to_json())
        .and_then(|()| std::fs::File::open(&new)?.sync_all())
        .and_then(|()| std::fs::rename(&new, file))
        .map_err(|error| Failure::io("write", file, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::{Founder, founded};

    fn genesis(chain_id: &str) -> Genesis {
        let key = |seed| ves::Signer::public_key(&ves::SigningKey::from_seed([seed; 32]));
        let founder = Founder { name: "notary".to_owned(), validator: key(1), ledger: key(2) };
        founded(chain_id, 1_700_000_000_000, &[founder]).expect("a genesis")
    }

    #[test]
    fn what_was_kept_counts_at_the_next_start_and_that_of_another_chain_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, one) = (folder.path().join("trusted.json"), genesis("one-1"));
        let first = Trusted::elsewhere(&one, &file).expect("the genesis");
        assert_eq!((first.state.height, first.terms), (0, Terms::default()));
        let followed = TrustedState { height: 7, ..first.state };
        keep(&file, &followed).expect("kept");
        assert_eq!(Trusted::elsewhere(&one, &file).expect("read").state, followed);
        assert_eq!(Trusted::elsewhere(&genesis("other-1"), &file).expect_err("refused").code, "TRUST");
        std::fs::write(&file, "{").expect("written");
        assert_eq!(Trusted::elsewhere(&one, &file).expect_err("refused").code, "TRUST");
    }
}
