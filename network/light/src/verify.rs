//! Judging a certificate: header, key, proofs.

use std::time::Duration;

use stateset_ledger_types::StateKey;
use stateset_ledger_types::codec::Decode;
use stateset_ledger_types::ids::{SpentKey, TxId};
use stateset_ledger_types::notary::NotaryRecord;
use tendermint::Time;
use tendermint::chain;
use tendermint_light_client_verifier::errors::VerificationErrorDetail as Detail;
use tendermint_light_client_verifier::types::{TrustedBlockState, UntrustedBlockState};
use tendermint_light_client_verifier::{ProdVerifier, Verdict, Verifier as _};
use ves::Digest;

use crate::state_proof::leads;
use crate::trust::{Terms, Trust, TrustedState, time_of_ms};
use crate::validators::{digest, validators_hash};
use crate::{Certificate, CertificateError, LightBlock};

/// What was proven of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    pub key: StateKey,
    /// `None`: its absence was proven.
    pub value: Option<Vec<u8>>,
    /// Height of the state.
    pub height: u64,
    /// Hash of the header that proves it, which is of the next height.
    pub header_hash: Digest,
    /// Time of that header.
    pub header_time: Time,
    /// Hash of the validators that signed it.
    pub validators_hash: Digest,
}

impl Proven {
    /// The value as a record of the ledger; `None` where absence was proven.
    ///
    /// # Errors
    /// [`CertificateError::BadRecord`].
    pub fn record<T: Decode>(&self) -> Result<Option<T>, CertificateError> {
        let bad = |problem: stateset_ledger_types::DecodeError| CertificateError::BadRecord {
            key: self.key.to_string(),
            problem: problem.to_string(),
        };
        self.value.as_deref().map(T::from_sce).transpose().map_err(bad)
    }
}

/// A transaction that is final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finality {
    pub tx_id: TxId,
    /// Block, place and mode of the transaction.
    pub record: NotaryRecord,
    pub proven: Proven,
}

impl Certificate {
    /// Whether `tx_id` was notarised, by a chain that `trust` speaks of, at `now_ms` (Unix milliseconds).
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn verify(&self, tx_id: &TxId, trust: &Trust<'_>, now_ms: u64) -> Result<Finality, CertificateError> {
        let key = StateKey::tx(tx_id);
        let proven = self.verify_at(&key, trust, now_ms)?;
        let record: NotaryRecord = proven
            .record()?
            .ok_or_else(|| CertificateError::Absent { key: key.to_string(), height: self.height })?;
        if record.height > self.height {
            let problem = format!("block {} is after the state of height {}", record.height, self.height);
            return Err(CertificateError::BadRecord { key: key.to_string(), problem });
        }
        Ok(Finality { tx_id: *tx_id, record, proven })
    }

    /// Whether `spent` was unknown at the certificate's height: the state that it stands for was not consumed until then.
    ///
    /// # Errors
    /// [`CertificateError`]; [`CertificateError::Present`] where it was consumed.
    pub fn verify_unspent(
        &self,
        spent: &SpentKey,
        trust: &Trust<'_>,
        now_ms: u64,
    ) -> Result<Proven, CertificateError> {
        let proven = self.verify_at(&StateKey::spent(spent), trust, now_ms)?;
        match proven.value {
            None => Ok(proven),
            Some(_) => Err(CertificateError::Present { key: proven.key.to_string(), height: proven.height }),
        }
    }

    /// What the state held at `key`.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn verify_at(
        &self,
        key: &StateKey,
        trust: &Trust<'_>,
        now_ms: u64,
    ) -> Result<Proven, CertificateError> {
        if self.key != *key {
            let (found, asked) = (self.key.to_string(), key.to_string());
            return Err(CertificateError::WrongKey { found, asked });
        }
        let header = &self.block.signed_header.header;
        if header.chain_id.as_str() != self.chain_id.as_str() {
            let (found, trusted) = (header.chain_id.to_string(), self.chain_id.to_string());
            return Err(CertificateError::WrongChain { found, trusted });
        }
        // State of h is in the header of h + 1, and of no other.
        if Some(self.block.height()) != self.height.checked_add(1) {
            return Err(CertificateError::WrongHeight { height: self.height, header: self.block.height() });
        }
        self.block.verify(trust, now_ms)?;
        let (value, app_hash) = (self.value.as_deref(), header.app_hash.as_bytes());
        if !leads(key, value, &self.key_proof, &self.substore_proof, app_hash) {
            return Err(CertificateError::ProofRefused { key: key.to_string() });
        }
        Ok(Proven {
            key: key.clone(),
            value: self.value.clone(),
            height: self.height,
            header_hash: digest(&header.hash()),
            header_time: header.time,
            validators_hash: digest(&header.validators_hash),
        })
    }
}

impl LightBlock {
    /// Whether the header may be believed at `now_ms` (Unix milliseconds).
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn verify(&self, trust: &Trust<'_>, now_ms: u64) -> Result<(), CertificateError> {
        let now = time_of_ms(now_ms);
        match trust {
            Trust::Block(trusted, terms) => self.verify_from(trusted, *terms, now),
            Trust::Validators { chain_id, hash, clock_drift } => {
                self.same_chain(chain_id.as_str())?;
                if self.signed_header.header.validators_hash.as_bytes() != hash.0 {
                    let found = digest(&self.signed_header.header.validators_hash);
                    return Err(CertificateError::OtherValidators { found, trusted: hash.to_string() });
                }
                self.signed_by_its_set(*clock_drift, now)
            }
        }
    }

    fn same_chain(&self, trusted: &str) -> Result<(), CertificateError> {
        let found = self.signed_header.header.chain_id.as_str();
        if found == trusted {
            return Ok(());
        }
        Err(CertificateError::WrongChain { found: found.to_owned(), trusted: trusted.to_owned() })
    }

    fn untrusted(&self) -> UntrustedBlockState<'_> {
        UntrustedBlockState {
            signed_header: &self.signed_header,
            validators: &self.validators,
            next_validators: None,
        }
    }

    /// The rules of light clients that need no trusted block: set, header, commit, +2/3, clock.
    fn signed_by_its_set(&self, clock_drift: Duration, now: Time) -> Result<(), CertificateError> {
        let (verifier, untrusted) = (ProdVerifier::default(), self.untrusted());
        let options = Terms { clock_drift, ..Terms::default() }.options();
        judged(verifier.verify_validator_sets(&untrusted), 0)?;
        judged(verifier.check_header_is_from_past(&untrusted, &options, now), 0)?;
        judged(verifier.verify_commit(&untrusted), 0)
    }

    /// The rules of light clients from `trusted` (network.md 5.2).
    fn verify_from(&self, trusted: &TrustedState, terms: Terms, now: Time) -> Result<(), CertificateError> {
        self.same_chain(trusted.chain_id.as_str())?;
        let height = self.height();
        let until = trusted.time.checked_add(terms.trusting_period);
        if until.is_none_or(|until| !now.before(until)) {
            let until = until.map_or_else(|| "the end of time".to_owned(), |until| until.to_rfc3339());
            return Err(CertificateError::TrustExpired { until });
        }
        if height < trusted.height {
            return Err(CertificateError::BeforeTrust { found: height, trusted: trusted.height });
        }
        if height == trusted.height {
            // The trusted block itself: the set that signed it is judged by the header.
            return match trusted.header_hash {
                Some(hash) if hash == digest(&self.signed_header.header.hash()) => {
                    self.signed_by_its_set(terms.clock_drift, now)
                }
                Some(_) => Err(CertificateError::OtherHeader { height }),
                None => Err(CertificateError::BeforeTrust { found: height, trusted: trusted.height }),
            };
        }
        let chain_id = chain::Id::try_from(trusted.chain_id.to_string())
            .map_err(|problem| CertificateError::MalformedCommit(problem.to_string()))?;
        let state = TrustedBlockState {
            chain_id: &chain_id,
            header_time: trusted.time,
            height: tendermint::block::Height::try_from(trusted.height)
                .map_err(|problem| CertificateError::MalformedCommit(problem.to_string()))?,
            next_validators: &trusted.next_validators,
            next_validators_hash: trusted.next_validators.hash(),
        };
        let verdict =
            ProdVerifier::default().verify_update_header(self.untrusted(), state, &terms.options(), now);
        judged(verdict, trusted.height)
    }

    /// This block as the trusted one, once it was verified; `next` signs the height after it.
    ///
    /// # Errors
    /// [`CertificateError::OtherValidators`] where `next` is another set than the header names.
    pub fn trusted(&self, next: tendermint::validator::Set) -> Result<TrustedState, CertificateError> {
        let header = &self.signed_header.header;
        let (found, named) = (validators_hash(&next), digest(&header.next_validators_hash));
        if found != named {
            return Err(CertificateError::OtherValidators { found, trusted: named.to_string() });
        }
        let chain_id = stateset_ledger_types::ids::ChainId::new(header.chain_id.as_str())
            .map_err(|problem| CertificateError::MalformedCommit(problem.to_owned()))?;
        Ok(TrustedState {
            chain_id,
            height: self.height(),
            time: header.time,
            header_hash: Some(digest(&header.hash())),
            next_validators: next,
        })
    }
}

/// The verdict of the light client's library in our words.
fn judged(verdict: Verdict, trusted: u64) -> Result<(), CertificateError> {
    use CertificateError as Said;
    let detail = match verdict {
        Verdict::Success => return Ok(()),
        Verdict::NotEnoughTrust(tally) => {
            return Err(Said::TrustedTooFew { trusted, tally: tally.to_string() });
        }
        Verdict::Invalid(detail) => detail,
    };
    Err(match detail {
        Detail::HeaderFromTheFuture(e) => {
            Said::FromTheFuture { header_time: e.header_time.to_rfc3339(), now: e.now.to_rfc3339() }
        }
        Detail::NotEnoughTrust(e) => Said::TrustedTooFew { trusted, tally: e.tally.to_string() },
        Detail::InsufficientSignersOverlap(e) => Said::TooFewSignatures(e.tally.to_string()),
        Detail::InvalidSignature(_) => Said::BadSignature,
        Detail::InvalidCommitValue(_) => Said::HeaderAltered,
        Detail::InvalidNextValidatorSet(e) => Said::OtherValidators {
            found: digest(&e.header_next_validators_hash),
            trusted: digest(&e.next_validators_hash).to_string(),
        },
        Detail::InvalidValidatorSet(_) => Said::ValidatorsNotOfHeader,
        Detail::NonMonotonicBftTime(_) => Said::TimeNotLater,
        Detail::NonIncreasingHeight(e) => {
            Said::BeforeTrust { found: e.got.value(), trusted: e.expected.value() }
        }
        Detail::ChainIdMismatch(e) => Said::WrongChain { found: e.got, trusted: e.expected },
        Detail::NotWithinTrustPeriod(e) => Said::TrustExpired { until: e.expires_at.to_rfc3339() },
        Detail::NoSignatureForCommit(_) => Said::TooFewSignatures("nobody signed".to_owned()),
        other => Said::MalformedCommit(name_of(&other)),
    })
}

fn name_of(detail: &Detail) -> String {
    format!("{detail:?}").split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}
