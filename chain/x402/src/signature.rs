//! Signatures of payers: 65 bytes of secp256k1 with a low `s`, or whatever a contract wallet takes (ERC-1271).

use alloy_primitives::{Address, B256, Signature, U256, uint};

/// Longest signature taken, in bytes: contract wallets of several owners have some hundreds.
pub const SIGNATURE_BYTES_MAX: usize = 4_096;

/// Half the order of secp256k1: a signature with a larger `s` has a twin, and tokens refuse it (EIP-2).
const HALF_ORDER: U256 = uint!(0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0_U256);

/// A signature of the ordinary form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayerSignature {
    pub r: B256,
    pub s: B256,
    /// 27 or 28.
    pub v: u8,
}

/// Why 65 bytes are no signature of an account with a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("it has {0} bytes, an account's has 65")]
    Length(usize),
    #[error("its last byte is {0}; expected 27 or 28")]
    Recovery(u8),
    #[error("its s is above half the order of the curve, and such a signature has a twin")]
    HighS,
    #[error("it is of no key")]
    NoKey,
    #[error("it is of {0}")]
    OtherSigner(Address),
    #[error("it is of a wallet that is not deployed (ERC-6492); deploy the wallet first")]
    Undeployed,
}

impl PayerSignature {
    /// Reads `r ‖ s ‖ v`.
    ///
    /// # Errors
    /// [`SignatureError`], but for the signer's.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        if is_undeployed(bytes) {
            return Err(SignatureError::Undeployed);
        }
        let Ok(bytes) = <&[u8; 65]>::try_from(bytes) else {
            return Err(SignatureError::Length(bytes.len()));
        };
        let (r, s, v) = (B256::from_slice(&bytes[..32]), B256::from_slice(&bytes[32..64]), bytes[64]);
        match v {
            27 | 28 if U256::from_be_bytes(s.0) <= HALF_ORDER => Ok(Self { r, s, v }),
            27 | 28 => Err(SignatureError::HighS),
            _ => Err(SignatureError::Recovery(v)),
        }
    }

    /// Whether `signer` signed these 32 bytes.
    ///
    /// # Errors
    /// [`SignatureError::NoKey`], [`SignatureError::OtherSigner`].
    pub fn check(&self, digest: &B256, signer: Address) -> Result<(), SignatureError> {
        let signature = Signature::from_scalars_and_parity(self.r, self.s, self.v == 28);
        match signature.recover_address_from_prehash(digest) {
            Ok(recovered) if recovered == signer => Ok(()),
            Ok(recovered) => Err(SignatureError::OtherSigner(recovered)),
            Err(_) => Err(SignatureError::NoKey),
        }
    }
}

/// Ends with the mark of ERC-6492.
pub fn is_undeployed(bytes: &[u8]) -> bool {
    bytes.len() >= 32 && bytes[bytes.len() - 32..].chunks(2).all(|pair| pair == [0x64, 0x92])
}

#[cfg(test)]
mod tests {
    use set_registry::ChainKey;

    use super::*;

    #[test]
    fn a_signature_counts_in_one_form_only() {
        let signer = ChainKey::from_hex(&"07".repeat(32)).unwrap();
        let digest = B256::repeat_byte(9);
        let bytes = signer.sign(&digest).as_bytes();
        let good = PayerSignature::parse(&bytes).unwrap();
        assert_eq!(good.check(&digest, signer.address()), Ok(()));
        assert!(matches!(
            good.check(&B256::repeat_byte(8), signer.address()),
            Err(SignatureError::OtherSigner(_))
        ));
        // The twin: s taken from the order, the parity turned.
        let order = HALF_ORDER * U256::from(2) + U256::from(1);
        let twin_s = order - U256::from_be_bytes(good.s.0);
        let mut twin = bytes;
        twin[32..64].copy_from_slice(&twin_s.to_be_bytes::<32>());
        twin[64] = 55 - twin[64];
        assert_eq!(PayerSignature::parse(&twin), Err(SignatureError::HighS));
        let mut zero_based = bytes;
        zero_based[64] -= 27;
        assert_eq!(PayerSignature::parse(&zero_based), Err(SignatureError::Recovery(zero_based[64])));
        assert_eq!(PayerSignature::parse(&bytes[..64]), Err(SignatureError::Length(64)));
        assert_eq!(
            PayerSignature::parse(&[&bytes[..], &[0x64, 0x92].repeat(16)].concat()),
            Err(SignatureError::Undeployed)
        );
    }
}
