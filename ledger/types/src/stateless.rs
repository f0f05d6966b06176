//! What can be said of a request without any state (section 4.1).

use ves::Digest;

use crate::body::{CONTENT_BYTES_MAX, HEADER_FORMAT, Header};
use crate::envelope::{Envelope, Notarise, PublicTx, Request};
use crate::error::{Code, Refusal};
use crate::ids::{ChainId, Nullifier, SpentKey, TxId};
use crate::keys::{Plain, PublicKey, Verifier, attest_message, blob_message, business_message};
use crate::params::Params;
use crate::policy::{Opening, OpeningError, spend_message};
use crate::tree::Mode;

const _: () = assert!(crate::envelope::ENVELOPE_BYTES_MAX <= CONTENT_BYTES_MAX);

/// What a check needs to know of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub chain_id: ChainId,
    pub tx_bytes_max: u64,
    pub components_max: u64,
    pub inputs_max: u64,
    pub policy_keys_max: u64,
    pub capsules_max: u64,
}

impl Rules {
    pub fn new(chain_id: ChainId, params: &Params) -> Self {
        Self {
            chain_id,
            tx_bytes_max: params.max_tx_bytes,
            components_max: params.max_components,
            inputs_max: params.max_inputs,
            policy_keys_max: params.max_policy_keys,
            capsules_max: params.max_capsules,
        }
    }
}

/// A request that passed every check of section 4.1 under some [`Rules`]. Only [`check`] makes one.
///
/// All its signatures are good: what is left to ask is whether their keys may speak for the entities it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    envelope: Envelope,
    tx_id: TxId,
    spent: Vec<SpentKey>,
}

impl Checked {
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }
    pub fn request(&self) -> &Request {
        self.envelope.request()
    }
    /// For governance, whose requests are no transactions, the hash of the unsigned envelope.
    pub fn tx_id(&self) -> &TxId {
        &self.tx_id
    }
    /// Spent keys of the nullifiers, in their order.
    pub fn spent(&self) -> &[SpentKey] {
        &self.spent
    }
}

/// Checks `bytes` as a request: size and form, counts, id, openings, chain, duplicates, signatures.
///
/// # Errors
/// The [`Refusal`] of the first step of section 4.1 that fails.
pub fn check(bytes: &[u8], rules: &Rules) -> Result<Checked, Refusal> {
    check_by(bytes, rules, &Plain)
}

/// [`check`] with signatures judged by `verifier`.
///
/// # Errors
/// As of [`check`].
pub fn check_by(bytes: &[u8], rules: &Rules, verifier: &dyn Verifier) -> Result<Checked, Refusal> {
    if bytes.len() as u64 > rules.tx_bytes_max {
        let said = format!("{} bytes, at most {}", bytes.len(), rules.tx_bytes_max);
        return Err(Refusal::new(Code::TooLarge, said));
    }
    if !bytes.starts_with(&crate::envelope::MAGIC) {
        return Err(Refusal::new(
            Code::Unsupported,
            "the account lane is not open: begin a request with SSN1",
        ));
    }
    if matches!(bytes.get(4), Some(4 | 5)) {
        return Err(Refusal::new(Code::Unsupported, "contests are not enabled on this network"));
    }
    let envelope = Envelope::from_bytes(bytes)?;
    let (tx_id, spent) = match envelope.request() {
        Request::Notarise(request) => notarise(request, rules, verifier)?,
        Request::PublicTx(request) => public(request, rules, verifier)?,
        Request::Governance(_) => (TxId(envelope.unsigned_hash().0), Vec::new()),
    };
    let message = match envelope.request() {
        Request::Governance(_) => envelope.submission_message(&rules.chain_id),
        _ => envelope.submit_message(&rules.chain_id, &tx_id),
    };
    let submission = envelope.request().submission();
    if !verifier.verify(&submission.key, &message, &submission.signature) {
        return Err(Refusal::new(Code::BadSignature, "the submission's signature is wrong"));
    }
    Ok(Checked { envelope, tx_id, spent })
}

type Ids = (TxId, Vec<SpentKey>);

fn notarise(request: &Notarise, rules: &Rules, verifier: &dyn Verifier) -> Result<Ids, Refusal> {
    let content = &request.content;
    if content.mode == Mode::Public {
        return Err(Refusal::new(Code::Malformed, "a Public transaction is submitted with its whole body"));
    }
    count("nullifiers", content.nullifiers.len(), rules.inputs_max)?;
    count("references", content.references.len(), rules.components_max)?;
    count("capsules", content.capsules.len(), rules.capsules_max)?;
    let tx_id = content.tx_id();
    let nullifiers = content.nullifiers.iter().map(|shown| &shown.component);
    let message = spend_message(&rules.chain_id, &tx_id);
    openings(nullifiers.clone(), &request.openings, &message, rules, verifier)?;
    header(content.header(), rules)?;
    endorsements(request, &tx_id, rules, verifier)?;
    let references = content.references.iter().map(|shown| &shown.component);
    Ok((tx_id, distinct(nullifiers, references)?))
}

fn public(request: &PublicTx, rules: &Rules, verifier: &dyn Verifier) -> Result<Ids, Refusal> {
    let body = &request.content.body;
    count("nullifiers", body.nullifiers.len(), rules.inputs_max)?;
    count("outputs", body.outputs.len(), rules.components_max)?;
    count("commands", body.commands.len(), rules.components_max)?;
    count("references", body.references.len(), rules.components_max)?;
    count("attachments", body.attachments.len(), rules.components_max)?;
    count("capsules", body.capsules.len(), rules.capsules_max)?;
    count("memos", body.memo.len(), rules.components_max)?;
    if body.nullifiers.len() != body.inputs.len() {
        return Err(Refusal::new(Code::Malformed, "there is one nullifier for each input"));
    }
    let tx_id = request.content.tx_id(Mode::Public);
    let message = spend_message(&rules.chain_id, &tx_id);
    openings(body.nullifiers.iter(), &request.openings, &message, rules, verifier)?;
    header(&body.header.0, rules)?;
    let spent = distinct(body.nullifiers.iter(), body.references.iter())?;
    for (place, signed) in request.signatures.iter().enumerate() {
        let message = business_message(&rules.chain_id, &tx_id, signed.purpose, &signed.key);
        if !verifier.verify(&signed.key, &message, &signed.signature) {
            let said = format!("business signature {place} is wrong");
            return Err(Refusal::new(Code::BadSignature, said));
        }
    }
    // Section 3.5: every key that a command lists has to sign.
    let has_signed = |key: &PublicKey| request.signatures.iter().any(|signed| signed.key == *key);
    for (place, command) in body.commands.iter().enumerate() {
        if let Some(missing) = command.signers.iter().find(|key| !has_signed(key)) {
            let said = format!("command {place} lists key {}, which did not sign", missing.id());
            return Err(Refusal::new(Code::NotAuthorised, said));
        }
    }
    Ok((tx_id, spent))
}

/// Signatures of attesters and notaries outside the id; whether they speak for enough entities is asked of the state.
fn endorsements(
    request: &Notarise,
    tx_id: &TxId,
    rules: &Rules,
    verifier: &dyn Verifier,
) -> Result<(), Refusal> {
    let header = request.content.header();
    let wrong =
        |what: &str, place| Refusal::new(Code::BadSignature, format!("{what} {place} has a wrong signature"));
    match (request.content.mode, header.attester_policy) {
        (Mode::Attested, Some(policy)) => {
            // Before anything is verified: nobody makes the chain check one attester's signature many times.
            if request.attestations.windows(2).any(|two| two[0].attester >= two[1].attester) {
                let said = "attestations stand by ascending attester, one of each";
                return Err(Refusal::new(Code::Malformed, said));
            }
            let message = attest_message(&rules.chain_id, tx_id, policy, &header.contract_set_hash);
            for (place, attestation) in request.attestations.iter().enumerate() {
                if !verifier.verify(&attestation.key, &message, &attestation.signature) {
                    return Err(wrong("attestation", place));
                }
            }
        }
        (Mode::Attested, None) => {
            return Err(Refusal::new(Code::Malformed, "an Attested transaction names its attester policy"));
        }
        _ if !request.attestations.is_empty() => {
            return Err(Refusal::new(Code::Malformed, "only an Attested transaction has attestations"));
        }
        _ => {}
    }
    for (place, receipt) in request.receipts.iter().enumerate() {
        let message = blob_message(&rules.chain_id, &receipt.ciphertext_hash);
        if !verifier.verify(&receipt.key, &message, &receipt.signature) {
            return Err(wrong("receipt", place));
        }
    }
    Ok(())
}

fn count(what: &str, found: usize, max: u64) -> Result<(), Refusal> {
    if found as u64 > max {
        return Err(Refusal::new(Code::TooLarge, format!("{found} {what}, at most {max}")));
    }
    Ok(())
}

fn openings<'a>(
    nullifiers: impl ExactSizeIterator<Item = &'a Nullifier>,
    openings: &[Opening],
    message: &Digest,
    rules: &Rules,
    verifier: &dyn Verifier,
) -> Result<(), Refusal> {
    if nullifiers.len() != openings.len() {
        let said = format!("{} openings for {} nullifiers", openings.len(), nullifiers.len());
        return Err(Refusal::new(Code::PolicyNotMet, said));
    }
    for (index, (nullifier, opening)) in nullifiers.zip(openings).enumerate() {
        count("keys of a policy", opening.policy.keys().len(), rules.policy_keys_max)?;
        opening.check(nullifier, message, verifier).map_err(|error| {
            let code = match error {
                OpeningError::Signature { .. } => Code::BadSignature,
                _ => Code::PolicyNotMet,
            };
            Refusal::new(code, format!("opening {index}: {error}"))
        })?;
    }
    Ok(())
}

fn header(header: &Header, rules: &Rules) -> Result<(), Refusal> {
    if header.format != HEADER_FORMAT {
        return Err(Refusal::new(Code::Malformed, format!("header format {} is not known", header.format)));
    }
    if header.chain_id != rules.chain_id {
        let said = format!("the header names chain {}, this is {}", header.chain_id, rules.chain_id);
        return Err(Refusal::new(Code::BadTxId, said));
    }
    Ok(())
}

/// No nullifier twice, and no reference to what the transaction itself consumes. Returns the spent keys.
fn distinct<'a>(
    nullifiers: impl Iterator<Item = &'a Nullifier>,
    references: impl Iterator<Item = &'a SpentKey>,
) -> Result<Vec<SpentKey>, Refusal> {
    let spent: Vec<SpentKey> = nullifiers.map(Nullifier::spent_key).collect();
    let mut sorted = spent.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|two| two[0] == two[1]) {
        return Err(Refusal::new(Code::Malformed, "a nullifier stands twice"));
    }
    for (place, reference) in references.enumerate() {
        if sorted.binary_search(reference).is_ok() {
            let said = format!("reference {place} is to a state that the transaction consumes");
            return Err(Refusal::new(Code::Malformed, said));
        }
    }
    Ok(spent)
}
