//! Domain-separated SHA-256 (section 2.2), by the hashing library of the event protocol.

use ves::Digest;
use ves::hash::{Hasher, hash_gathered};

macro_rules! domains {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// The ASCII tags of section 2.2, written raw at the front of the preimage. None begins another, here or among
        /// those of [`ves::Domain`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Domain { $($(#[$doc])* $name),+ }

        impl Domain {
            /// Every tag, in the order of section 2.2; ours last.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The text that enters the hash.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

domains! {
    /// 1.1
    Entity = "SSN_ENTITY_V1",
    /// 2.3
    Nonce = "SSN_NONCE_V1",
    /// 2.3
    Leaf = "SSN_LEAF_V1",
    /// 2.3
    Pad = "SSN_PAD_V1",
    /// 2.3
    Node = "SSN_NODE_V1",
    /// 2.3
    Empty = "SSN_EMPTY_V1",
    /// 2.3
    Group = "SSN_GROUP_V1",
    /// 2.3
    Transaction = "SSN_TX_V1",
    /// 3.3
    Policy = "SSN_POLICY_V1",
    /// 3.3
    NullifierSeed = "SSN_NSEED_V1",
    /// 3.3
    NullifierBlind = "SSN_NBLIND_V1",
    /// 3.3
    Nullifier = "SSN_NULL_V1",
    /// 3.3
    Spent = "SSN_SPENT_V1",
    /// 3.3
    Spend = "SSN_SPEND_V1",
    /// 3.5
    Signature = "SSN_SIG_V1",
    /// 3.5
    Submit = "SSN_SUBMIT_V1",
    /// 5.4
    Attest = "SSN_ATTEST_V1",
    /// 8.4
    Core = "SSN_CORE_V1",
    /// 8.4
    Capsule = "SSN_CAPSULE_V1",
    /// 8.4
    ViewTag = "SSN_VIEWTAG_V1",
    /// 8.4
    BlobReceipt = "SSN_BLOB_V1",
    /// 10.3
    PaymentReference = "SSN_PAYREF_V1",
    /// 13.5
    Import = "SSN_IMPORT_V1",
    /// 13.5
    Restore = "SSN_RESTORE_V1",
    /// 9.2
    ContractSet = "SSN_CONTRACT_V1",
    /// 11.12
    Content = "SSN_CONTENT_V1",
    /// 12.1
    Vote = "SSN_VOTE_V1",
    /// Ours: the hash of the parameters in force, which a header names (3.1)
    Params = "SSN_PARAMS_V1",
    /// Ours: what an owner of a one-time key is bound by (1.2)
    KeyBinding = "SSN_KEYBIND_V1",
    /// Ours: a mandate that lets a merchant collect (10.2)
    Mandate = "SSN_MANDATE_V1",
    /// Ours: a claim on a payment channel (10.2)
    Claim = "SSN_CLAIM_V1",
    /// Ours: the unspent states of a vault, by which two vaults are compared (8.5)
    Vault = "SSN_VAULT_V1",
    /// Ours: what hides the reference of a payment, derived by its payer (10.3)
    PaymentBlind = "SSN_PAYBLIND_V1",
    /// Ours: what a node seals a transaction of others to itself with (8.5)
    Backup = "SSN_BACKUP_V1",
}

/// SHA-256 of the tag and the pieces behind it. Short preimages are put together first, without allocation.
#[inline]
pub fn hash(domain: Domain, pieces: &[&[u8]]) -> Digest {
    hash_gathered(std::iter::once(domain.text().as_bytes()).chain(pieces.iter().copied()))
}

/// For a preimage whose pieces are not all at hand.
pub fn hasher(domain: Domain) -> Hasher {
    Hasher::bare().bytes(domain.text().as_bytes())
}

/// Length of a text as it stands before it in a preimage (`STR`).
pub(crate) fn length(bytes: &[u8]) -> [u8; 4] {
    (bytes.len() as u32).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 2.2: over this list and the one of the event protocol together.
    #[test]
    fn no_tag_of_ledger_or_events_begins_another() {
        let ours = Domain::ALL.iter().map(|domain| domain.text());
        let all: Vec<&str> = ours.chain(ves::Domain::ALL.iter().map(|domain| domain.text())).collect();
        for (i, a) in all.iter().enumerate() {
            assert!(a.is_ascii() && !a.is_empty());
            for (j, b) in all.iter().enumerate() {
                assert!(i == j || !b.starts_with(a), "{a} begins {b}");
            }
        }
    }
}
