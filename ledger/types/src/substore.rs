//! The substores of the state tree (section 6.2).

use std::fmt;

macro_rules! substores {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// A substore: a tree of its own, whose root is the value under [`Substore::name`] in the root tree.
        ///
        /// The order of the variants is the order in which a block's writes are committed (section 6.3, step 7).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Substore { $($(#[$doc])* $name),+ }

        impl Substore {
            /// All substores in the order of section 6.2.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The ASCII name: key in the root tree and merkle prefix of its proofs.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

substores! {
    /// ICS-24 paths.
    Ibc = "ibc",
    /// Upgraded client and consensus states.
    Upgrade = "upgrade",
    /// Notarised transactions, spent keys, submitter sequences.
    Notary = "notary",
    /// Members, their certificates, root certificates.
    Entities = "entities",
    /// Proposals, votes, parameters, attester policies.
    Gov = "gov",
    /// Registered contracts.
    Contracts = "contracts",
    /// Balances, supplies, denominations.
    Bank = "bank",
    /// Settlements, escrows, payment channels, merchants, fingerprints.
    Settle = "settle",
    /// Outputs of Public-mode transactions.
    Utxo = "utxo",
    /// Accounts of the account lane.
    Accounts = "accounts",
    /// Capsule entries.
    Capsule = "capsule",
    /// States handed to and from other chains.
    Export = "export",
    /// Batches of event streams.
    Anchor = "anchor",
}

impl Substore {
    /// The key that every substore holds from genesis on, with its name as value (section 6.1): an empty tree has no
    /// absence proof.
    pub const FIRST_KEY: &'static [u8] = b"_";

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|substore| substore.name() == name)
    }
}

impl fmt::Display for Substore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
