//! Why a payment is refused, by the names that public clients know (x402 B.4).

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// A reason by its public name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name),+ }

        impl Reason {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The text on the wire.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
            pub fn from_text(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.text() == text)
            }
        }
    };
}

reasons! {
    Version = "invalid_x402_version",
    Scheme = "unsupported_scheme",
    Network = "invalid_network",
    NetworkMismatch = "invalid_exact_evm_network_mismatch",
    Payload = "invalid_payload",
    Requirements = "invalid_payment_requirements",
    MissingDomain = "invalid_exact_evm_missing_eip712_domain",
    TokenName = "invalid_exact_evm_token_name_mismatch",
    TokenVersion = "invalid_exact_evm_token_version_mismatch",
    /// Permit2 and other ways to move a token are not offered here.
    TransferMethod = "unsupported_asset_transfer_method",
    Recipient = "invalid_exact_evm_recipient_mismatch",
    Value = "invalid_exact_evm_payload_authorization_value_mismatch",
    ValidAfter = "invalid_exact_evm_payload_authorization_valid_after",
    ValidBefore = "invalid_exact_evm_payload_authorization_valid_before",
    Signature = "invalid_exact_evm_signature",
    NonceUsed = "invalid_exact_evm_nonce_already_used",
    Balance = "invalid_exact_evm_insufficient_balance",
    Simulation = "invalid_exact_evm_transaction_simulation_failed",
    Transaction = "invalid_exact_evm_transaction_failed",
    TransferEvent = "invalid_exact_evm_transfer_event_mismatch",
    /// Ours to mend: the chain can't be reached, or a store is full.
    UnexpectedVerify = "unexpected_verify_error",
    UnexpectedSettle = "unexpected_settle_error",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A refused payment: the public name, and a sentence for whoever reads it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refusal {
    pub reason: Reason,
    pub detail: String,
}

impl Refusal {
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_reads_back_by_its_public_name() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_text(reason.text()), Some(*reason));
        }
        assert_eq!(Reason::from_text("invalid_everything"), None);
    }
}
