//! A key in a token as a [`Signer`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cryptoki::object::ObjectHandle;
use ves::ed25519::{PublicKey, Signer, SignerError};

use super::objects;
use super::token::Token;
use crate::{KeyName, KeystoreError, TokenProblem};

/// What is signed to see whether the token can: neither a hash of 32 bytes nor a note of several lines, so it is no message of
/// any protocol.
const PROBE: &[u8] = b"stateset: can this token sign?";
/// A signature younger than this says so too.
const GOOD_FOR: Duration = Duration::from_millis(500);

pub(super) struct TokenSigner {
    token: Arc<Token>,
    name: KeyName,
    public_key: [u8; 32],
    verifier: PublicKey,
    /// The private key's handle, and the connection it is of.
    handle: Mutex<Option<(u64, ObjectHandle)>>,
    signed_at: Mutex<Option<Instant>>,
}

impl TokenSigner {
    /// The signer of this key. It has signed once when this returns, and the signature was that of `public_key`.
    pub fn open(token: Arc<Token>, name: KeyName, public_key: [u8; 32]) -> Result<Self, KeystoreError> {
        let verifier = PublicKey::from_bytes(&public_key)
            .map_err(|_| token.problem(TokenProblem::BadKey("its public key is no good Ed25519 key")))?;
        let (handle, signed_at) = (Mutex::new(None), Mutex::new(None));
        let signer = Self { token, name, public_key, verifier, handle, signed_at };
        signer.probe()?;
        Ok(signer)
    }

    fn probe(&self) -> Result<(), KeystoreError> {
        let signature = self.sign_in_token(PROBE)?;
        match self.verifier.verify(PROBE, &signature) {
            true => Ok(()),
            false => {
                let problem = TokenProblem::BadKey("its signatures are not those of its public key");
                Err(self.token.problem(problem))
            }
        }
    }

    fn sign_in_token(&self, message: &[u8]) -> Result<[u8; 64], KeystoreError> {
        let signature = self.token.repeatable(|session, generation| {
            let mut held = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
            let key = match *held {
                Some((of, key)) if of == generation => key,
                _ => {
                    let key = objects::private_key(session, &self.name)?;
                    *held = Some((generation, key));
                    key
                }
            };
            drop(held);
            objects::sign(session, key, message)
        })?;
        let signature = signature.as_slice().try_into().map_err(|_| {
            self.token.problem(TokenProblem::BadKey("its signatures have not the length of Ed25519"))
        })?;
        *self.signed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(signature)
    }
}

impl Signer for TokenSigner {
    fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        self.sign_in_token(message).map_err(|error| SignerError(error.to_string()))
    }

    /// Signs a message of no protocol, unless a signature was made just now.
    fn ready(&self) -> Result<(), SignerError> {
        let signed_at = *self.signed_at.lock().unwrap_or_else(PoisonError::into_inner);
        if signed_at.is_some_and(|at| at.elapsed() < GOOD_FOR) {
            return Ok(());
        }
        self.probe().map_err(|error| SignerError(error.to_string()))
    }
}
