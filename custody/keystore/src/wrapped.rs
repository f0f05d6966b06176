//! The text of a wrapped key's file: the clear lines of a key file, then 61 bytes that a key in a token sealed.
//!
//! ```text
//! Name: inbox
//! Algorithm: X25519
//! Public-Key: 64 hex digits
//! Agent: any further label
//! -----BEGIN STATESET WRAPPED KEY-----
//! ```

use base64ct::{Base64, Encoding as _};

use crate::key::KeyPlace;
use crate::seal::SEALED_BYTES;
use crate::{KeyInfo, pem};

pub(crate) const BEGIN: &str = "-----BEGIN STATESET WRAPPED KEY-----";
pub(crate) const END: &str = "-----END STATESET WRAPPED KEY-----";

/// The whole text of a file.
#[cfg(feature = "pkcs11")]
pub(crate) fn write(info: &KeyInfo, sealed: &[u8]) -> Result<String, crate::KeystoreError> {
    let clear = pem::write_clear(info)?;
    let text = Base64::encode_string(sealed);
    let (first, second) = text.split_at(64);
    Ok(format!("{}{BEGIN}\n{first}\n{second}\n{END}\n", clear.as_str()))
}

/// What the file of a wrapped key says, and its 61 sealed bytes. Nothing of it is proven before the token opened it.
///
/// # Errors
/// What is missing.
pub fn read_wrapped_file(text: &str) -> Result<(KeyInfo, [u8; SEALED_BYTES]), &'static str> {
    let (clear, rest) = text.split_once(BEGIN).ok_or("no STATESET WRAPPED KEY block")?;
    let (block, _) = rest.split_once(END).ok_or("its block does not end")?;
    let info = pem::read_clear(clear, KeyPlace::Wrapped)?;
    let digits: String = block.split_ascii_whitespace().collect();
    let mut sealed = [0; SEALED_BYTES];
    match Base64::decode(&digits, &mut sealed) {
        Ok(read) if read.len() == SEALED_BYTES => Ok((info, sealed)),
        _ => Err("its block is not 61 bytes in Base64"),
    }
}

#[cfg(all(test, feature = "pkcs11"))]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::Algorithm;

    fn info() -> KeyInfo {
        KeyInfo {
            name: "inbox".parse().unwrap(),
            algorithm: Algorithm::X25519,
            public_key: [7; 32],
            place: KeyPlace::Wrapped,
            labels: BTreeMap::from([("Agent".to_owned(), "one".to_owned())]),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(sealed in prop::array::uniform32(any::<u8>())) {
            let sealed: Vec<u8> = sealed.into_iter().cycle().take(SEALED_BYTES).collect();
            let text = write(&info(), &sealed).unwrap();
            let (read, bytes) = read_wrapped_file(&text).unwrap();
            prop_assert_eq!(read, info());
            prop_assert_eq!(bytes.to_vec(), sealed);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,300}", cut in 0usize..400, put in ".{0,8}") {
            let _ = read_wrapped_file(&text);
            let mut whole = write(&info(), &[9; SEALED_BYTES]).unwrap();
            let at = cut.min(whole.len());
            whole.insert_str(at, &put);
            if let Ok((_, sealed)) = read_wrapped_file(&whole) {
                prop_assert_eq!(sealed.len(), SEALED_BYTES);
            }
        }
    }
}
