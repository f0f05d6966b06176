//! How a key lies in a token.
//!
//! | Object | `CKA_LABEL` | `CKA_ID` / `CKA_OBJECT_ID` | what it holds |
//! | --- | --- | --- | --- |
//! | private key, `CKK_EC_EDWARDS` | the key's name | 16 random bytes | sensitive, never extractable, signs |
//! | public key, `CKK_EC_EDWARDS` | the key's name | the same | the point; readable without a PIN |
//! | data, `CKA_APPLICATION` `stateset` | the key's name | the same | the labels, a line `Label: value` each; readable without a PIN |
//! | secret key, `CKK_AES` | `stateset-wrapping` | 16 random bytes | AES-256, sensitive, never extractable; wraps data keys and decryption keys |
//!
//! Objects of other programs are left alone: a public key counts when its private key has the same name and its parameters
//! are those of Ed25519.

use std::collections::BTreeMap;

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use zeroize::Zeroizing;

use super::token::ActError;
use crate::key::KeyPlace;
use crate::seal::{self, TAG_BYTES};
use crate::{Algorithm, KeyInfo, KeyName, KeystoreError, TokenProblem, pem};

/// `CKA_EC_PARAMS` of Ed25519: the object identifier 1.3.101.112 (RFC 8410, section 3).
const ED25519_OID: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];
const APPLICATION: &[u8] = b"stateset";
const WRAPPING_KEY: &[u8] = b"stateset-wrapping";
/// A token may hold keys of others; more than this are not read.
const KEYS_MAX: usize = 10_000;
const LABELS_BYTES_MAX: usize = 16 * 1024;

type Act<T> = Result<T, ActError>;

/// The public keys of the token that are ours, each with its labels.
pub(super) fn list(session: &Session) -> Act<Vec<KeyInfo>> {
    let template = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::KeyType(KeyType::EC_EDWARDS)];
    let mut keys = Vec::new();
    for handle in find(session, &template)?.into_iter().take(KEYS_MAX) {
        keys.extend(read_public(session, handle)?);
    }
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(keys)
}

/// The one of this name.
pub(super) fn info(session: &Session, name: &KeyName) -> Act<KeyInfo> {
    let template = [Attribute::Class(ObjectClass::PUBLIC_KEY), label(name)];
    for handle in find(session, &template)? {
        if let Some(info) = read_public(session, handle)? {
            return Ok(info);
        }
    }
    Err(KeystoreError::NotFound { name: name.clone() }.into())
}

fn read_public(session: &Session, handle: ObjectHandle) -> Act<Option<KeyInfo>> {
    use AttributeType::{EcParams, EcPoint, Id, Label};
    let (mut name, mut id, mut point, mut params) = (None, Vec::new(), None, Vec::new());
    for attribute in session.get_attributes(handle, &[Label, Id, EcParams, EcPoint])? {
        match attribute {
            Attribute::Label(bytes) => {
                name = String::from_utf8(bytes).ok().and_then(|text| text.parse::<KeyName>().ok());
            }
            Attribute::Id(bytes) => id = bytes,
            Attribute::EcParams(bytes) => params = bytes,
            Attribute::EcPoint(bytes) => point = unwrap_point(&bytes),
            _ => {}
        }
    }
    let (Some(name), Some(public_key)) = (name, point) else { return Ok(None) };
    if params != ED25519_OID {
        return Ok(None);
    }
    let labels = read_labels(session, &name, &id)?;
    Ok(Some(KeyInfo { name, algorithm: Algorithm::Ed25519, public_key, place: KeyPlace::InHsm, labels }))
}

/// The 32 bytes of a point: PKCS#11 2.40 packs them into a DER OCTET STRING, 3.0 gives them as they are.
fn unwrap_point(bytes: &[u8]) -> Option<[u8; 32]> {
    bytes.strip_prefix(&[0x04, 0x20]).unwrap_or(bytes).try_into().ok()
}

fn read_labels(session: &Session, name: &KeyName, id: &[u8]) -> Act<BTreeMap<String, String>> {
    for handle in find(session, &labels_of(name))? {
        let (mut value, mut of) = (Vec::new(), Vec::new());
        for attribute in session.get_attributes(handle, &[AttributeType::ObjectId, AttributeType::Value])? {
            match attribute {
                Attribute::ObjectId(bytes) => of = bytes,
                Attribute::Value(bytes) => value = bytes,
                _ => {}
            }
        }
        if of == id && value.len() <= LABELS_BYTES_MAX {
            return Ok(pem::read_labels(&String::from_utf8_lossy(&value)));
        }
    }
    Ok(BTreeMap::new())
}

/// The private key of this name, to sign with.
pub(super) fn private_key(session: &Session, name: &KeyName) -> Act<ObjectHandle> {
    let found = find(session, &[Attribute::Class(ObjectClass::PRIVATE_KEY), label(name)])?;
    found.first().copied().ok_or_else(|| KeystoreError::NotFound { name: name.clone() }.into())
}

/// Pure Ed25519 (RFC 8032).
pub(super) fn sign(session: &Session, key: ObjectHandle, message: &[u8]) -> Act<Vec<u8>> {
    let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
    Ok(session.sign(&mechanism, key, message)?)
}

/// Makes a key pair that never leaves the token, and the object of its labels.
pub(super) fn generate(
    session: &Session,
    token: &str,
    name: &KeyName,
    labels: &BTreeMap<String, String>,
) -> Act<KeyInfo> {
    let labels_text = pem::write_labels(labels)?;
    let mut id = vec![0; 16];
    getrandom::fill(&mut id).map_err(|_| KeystoreError::NoRandomness)?;
    let public = [
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::EcParams(ED25519_OID.to_vec()),
        label(name),
        Attribute::Id(id.clone()),
    ];
    let private = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        label(name),
        Attribute::Id(id.clone()),
    ];
    let (public, private) = session.generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private)?;
    let data = [
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Application(APPLICATION.to_vec()),
        label(name),
        Attribute::ObjectId(id),
        Attribute::Value(labels_text.into_bytes()),
    ];
    let made = stays_in_token(session, token, private)
        .and_then(|()| Ok(session.create_object(&data)?))
        .and_then(|_| match read_public(session, public)? {
            Some(info) => Ok(info),
            None => Err(bad(token, "its public key can't be read").into()),
        });
    if made.is_err() {
        // Half a key would only be in the way.
        let _ = session.destroy_object(private);
        let _ = session.destroy_object(public);
    }
    made
}

/// What the token says of the new key, after what it was told.
fn stays_in_token(session: &Session, token: &str, private: ObjectHandle) -> Act<()> {
    use AttributeType::{AlwaysSensitive, Extractable, Local, NeverExtractable, Sensitive};
    for attribute in session
        .get_attributes(private, &[Sensitive, Extractable, AlwaysSensitive, NeverExtractable, Local])?
    {
        match attribute {
            Attribute::Extractable(true)
            | Attribute::Sensitive(false)
            | Attribute::AlwaysSensitive(false)
            | Attribute::NeverExtractable(false)
            | Attribute::Local(false) => {
                return Err(bad(token, "the token would let the private key out").into());
            }
            _ => {}
        }
    }
    Ok(())
}

fn bad(token: &str, problem: &'static str) -> KeystoreError {
    KeystoreError::Token { token: token.to_owned(), problem: TokenProblem::BadKey(problem) }
}

/// Every object of the key of this name.
fn objects_of(session: &Session, name: &KeyName) -> Act<Vec<ObjectHandle>> {
    let mut all = Vec::new();
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        all.extend(find(session, &[Attribute::Class(class), label(name)])?);
    }
    if all.is_empty() {
        return Err(KeystoreError::NotFound { name: name.clone() }.into());
    }
    all.extend(find(session, &labels_of(name))?);
    Ok(all)
}

/// The private key goes first: what is left without it can sign nothing.
pub(super) fn destroy(session: &Session, name: &KeyName) -> Act<()> {
    for object in objects_of(session, name)? {
        session.destroy_object(object)?;
    }
    Ok(())
}

pub(super) fn rename(session: &Session, from: &KeyName, to: &KeyName) -> Act<()> {
    for object in objects_of(session, from)? {
        session.update_attributes(object, &[label(to)])?;
    }
    Ok(())
}

/// The key that wraps; `None` where there is none yet. Of several, which two processes made at once, it is always the same.
pub(super) fn wrapping_key(session: &Session) -> Act<Option<ObjectHandle>> {
    let template = [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::Label(WRAPPING_KEY.to_vec())];
    let mut found = Vec::new();
    for handle in find(session, &template)? {
        for attribute in session.get_attributes(handle, &[AttributeType::Id])? {
            if let Attribute::Id(id) = attribute {
                found.push((id, handle));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found.first().map(|(_, handle)| *handle))
}

pub(super) fn make_wrapping_key(session: &Session) -> Act<()> {
    let mut id = vec![0; 16];
    getrandom::fill(&mut id).map_err(|_| KeystoreError::NoRandomness)?;
    let template = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::ValueLen(32.into()),
        Attribute::Label(WRAPPING_KEY.to_vec()),
        Attribute::Id(id),
    ];
    session.generate_key(&Mechanism::AesKeyGen, &template)?;
    Ok(())
}

/// The form of [`seal`], made by the token.
pub(super) fn seal(
    session: &Session,
    key: ObjectHandle,
    secret: &[u8; 32],
    aad: &[u8],
) -> Act<Option<Vec<u8>>> {
    let nonce = seal::nonce()?;
    let mut iv = nonce;
    let params = GcmParams::new(&mut iv, aad, ((TAG_BYTES * 8) as u64).into())?;
    let ciphertext = session.encrypt(&Mechanism::AesGcm(params), key, secret)?;
    Ok(seal::join(&nonce, &ciphertext))
}

/// The key that was sealed; `None` when it was not sealed so.
pub(super) fn open(
    session: &Session,
    key: ObjectHandle,
    sealed: &[u8],
    aad: &[u8],
) -> Act<Option<Zeroizing<[u8; 32]>>> {
    use cryptoki::error::{Error, RvError};
    let Some((mut nonce, ciphertext)) = seal::split(sealed) else { return Ok(None) };
    let params = GcmParams::new(&mut nonce, aad, ((TAG_BYTES * 8) as u64).into())?;
    match session.decrypt(&Mechanism::AesGcm(params), key, ciphertext) {
        Ok(bytes) => {
            let bytes = Zeroizing::new(bytes);
            Ok(bytes.as_slice().try_into().ok().map(Zeroizing::new))
        }
        // Tokens have several words for a tag that does not fit.
        Err(Error::Pkcs11(
            RvError::EncryptedDataInvalid
            | RvError::EncryptedDataLenRange
            | RvError::DataInvalid
            | RvError::GeneralError
            | RvError::FunctionFailed,
            _,
        )) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn find(session: &Session, template: &[Attribute]) -> Act<Vec<ObjectHandle>> {
    let stored = [&[Attribute::Token(true)], template].concat();
    Ok(session.find_objects(&stored)?)
}

fn label(name: &KeyName) -> Attribute {
    Attribute::Label(name.as_str().as_bytes().to_vec())
}

fn labels_of(name: &KeyName) -> [Attribute; 3] {
    [Attribute::Class(ObjectClass::DATA), Attribute::Application(APPLICATION.to_vec()), label(name)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_unwrapped_from_its_octet_string() {
        let point = [7; 32];
        assert_eq!(unwrap_point(&[&[0x04, 0x20], &point[..]].concat()), Some(point));
        assert_eq!(unwrap_point(&point), Some(point));
        for bad in [
            &point[..31],
            &[&[0x04, 0x21], &point[..], &[0]].concat(),
            &[&[0x04, 0x20], &point[..31]].concat(),
            &[],
        ] {
            assert_eq!(unwrap_point(bad), None, "{bad:?}");
        }
    }
}
