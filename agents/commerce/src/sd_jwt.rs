//! SD-JWT (RFC 9901) and chains of them (Delegate SD-JWT): claims come back whole, and each hop is bound to the one before.
//!
//! ```text
//! root JWT ~ disclosures ~ ~ hop JWT ~ disclosures ~
//!    │ delegate_payload[].cnf.jwk  │
//!    └──────── signs ──────────────┘ sd_hash = hash of all before the second ~
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::jose::{JoseError, Jws, PublicKey, TOKEN_BYTES_MAX, decode, hash_text, read_json};

/// Disclosures of one token, and tokens of one chain.
pub const DISCLOSURES_MAX: usize = 256;
pub const HOPS_MAX: usize = 4;
/// Levels of a payload with its disclosures put in.
const DEPTH_MAX: usize = 64;
/// How far a clock of another may be ahead, in seconds.
pub const SKEW_S: u64 = 60;

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdJwtError {
    #[error("token {hop}: {error}")]
    Jose { hop: usize, error: JoseError },
    #[error("token {hop}: {problem}")]
    Form { hop: usize, problem: String },
    #[error("token {hop}: signed by a key that is not trusted here{0}", .kid.as_ref().map(|kid| format!(" (kid {kid:?})")).unwrap_or_default())]
    UnknownKey { hop: usize, kid: Option<String> },
    #[error("token {hop}: the signature does not verify")]
    Signature { hop: usize },
    #[error("token {hop}: expired at {at}")]
    Expired { hop: usize, at: u64 },
    #[error("token {hop}: not valid before {at}")]
    NotYet { hop: usize, at: u64 },
    #[error("token {hop}: aud is {found:?}, expected {expected}")]
    Audience { hop: usize, found: String, expected: String },
}

/// One token as it was read: nothing of it is believed yet.
struct Token<'a> {
    /// With its disclosures and the `~` at its end: what `sd_hash` is of.
    text: String,
    jws: Jws<'a>,
    disclosures: Vec<&'a str>,
}

/// One verified token.
#[derive(Debug, Clone, PartialEq)]
pub struct Hop {
    /// Contents that it carries: `delegate_payload`, or the claims themselves.
    pub contents: Vec<Map<String, Value>>,
    /// Hash of the token, as `sd_hash` writes it.
    pub hash: String,
    /// Hash of what was signed: the same for whatever disclosures, and for the other form of an ECDSA signature.
    pub identity: String,
}

/// What a verifier asks of a chain.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Keys of those who may sign the first token.
    pub keys: &'a [PublicKey],
    /// Names under which the verifier is addressed by the last token of a chain.
    pub audiences: &'a [&'a str],
    pub now_s: u64,
}

/// Verifies a token, or a chain of tokens joined by `~~`.
///
/// # Errors
/// [`SdJwtError`].
///
/// # Source
/// RFC 9901, section 7; AP2 0.2, Agent Authorization, with draft-gco-oauth-delegate-sd-jwt-00.
pub fn verify_chain(text: &str, expected: &Expected<'_>) -> Result<Vec<Hop>, SdJwtError> {
    let tokens = read_chain(text)?;
    let mut hops: Vec<Hop> = Vec::with_capacity(tokens.len());
    let last = tokens.len() - 1;
    let mut key: Option<PublicKey> = None;
    for (hop, token) in tokens.iter().enumerate() {
        match (hops.last(), &key) {
            (None, _) => check_root(token, expected.keys)?,
            (Some(before), Some(key)) => {
                token.jws.verify(key).map_err(|_| SdJwtError::Signature { hop })?;
                check_binding(hop, hop == last, token, before, expected)?;
            }
            (Some(_), None) => {
                return Err(form(hop, "the token before it names no key in cnf that could sign it"));
            }
        }
        let claims = claims(hop, token)?;
        check_times(hop, &claims, expected.now_s)?;
        let contents = contents(hop, claims)?;
        for content in &contents {
            check_times(hop, content, expected.now_s)?;
        }
        key = confirmed(hop, &contents, hop == last)?;
        hops.push(Hop { contents, hash: hash_text(&token.text), identity: hash_text(token.jws.input) });
    }
    Ok(hops)
}

fn form(hop: usize, problem: impl Into<String>) -> SdJwtError {
    SdJwtError::Form { hop, problem: problem.into() }
}

fn read_chain(text: &str) -> Result<Vec<Token<'_>>, SdJwtError> {
    if text.len() > TOKEN_BYTES_MAX {
        return Err(SdJwtError::Jose { hop: 0, error: JoseError::TooLong });
    }
    let whole = text.strip_suffix('~').ok_or_else(|| form(0, "an SD-JWT ends with ~"))?;
    let parts: Vec<&str> = whole.split("~~").collect();
    if parts.len() > HOPS_MAX {
        return Err(form(HOPS_MAX, format!("a chain has at most {HOPS_MAX} tokens")));
    }
    parts.into_iter().enumerate().map(|(hop, part)| read_token(hop, part)).collect()
}

/// `part`: without the `~` at its end.
fn read_token(hop: usize, part: &str) -> Result<Token<'_>, SdJwtError> {
    let mut pieces = part.split('~');
    let jws = pieces.next().unwrap_or_default();
    let jws = Jws::parse(jws).map_err(|error| SdJwtError::Jose { hop, error })?;
    let disclosures: Vec<&str> = pieces.collect();
    if disclosures.len() > DISCLOSURES_MAX {
        return Err(form(hop, format!("more than {DISCLOSURES_MAX} disclosures")));
    }
    Ok(Token { text: format!("{part}~"), jws, disclosures })
}

fn check_root(token: &Token<'_>, keys: &[PublicKey]) -> Result<(), SdJwtError> {
    let typ = token.jws.header("typ").unwrap_or_default();
    if !typ.ends_with("+sd-jwt") || typ.starts_with("kb") {
        return Err(form(0, format!("typ is {typ:?}, expected that of an SD-JWT, such as dc+sd-jwt")));
    }
    let kid = token.jws.header("kid");
    let known = keys.iter().filter(|key| kid.is_none() || key.kid.as_deref() == kid);
    let mut is_known = false;
    for key in known {
        is_known = true;
        if token.jws.verify(key).is_ok() {
            return Ok(());
        }
    }
    Err(match is_known {
        true => SdJwtError::Signature { hop: 0 },
        false => SdJwtError::UnknownKey { hop: 0, kid: kid.map(str::to_owned) },
    })
}

/// What a hop says of the token before it, and of whom it is for.
fn check_binding(
    hop: usize,
    is_last: bool,
    token: &Token<'_>,
    before: &Hop,
    expected: &Expected<'_>,
) -> Result<(), SdJwtError> {
    let typ = token.jws.header("typ").unwrap_or_default();
    let wanted = if is_last { "kb+sd-jwt" } else { "kb+sd-jwt+kb" };
    if typ != wanted {
        return Err(form(hop, format!("typ is {typ:?}, expected {wanted}")));
    }
    let text = |name: &str| token.jws.payload.get(name).and_then(Value::as_str);
    if text("sd_hash") != Some(&before.hash) {
        return Err(form(hop, "sd_hash is not the hash of the token before it"));
    }
    if token.jws.payload.get("iat").and_then(Value::as_u64).is_none() {
        return Err(form(hop, "iat is missing"));
    }
    if text("nonce").is_none_or(str::is_empty) {
        return Err(form(hop, "nonce is missing"));
    }
    let found = text("aud").unwrap_or_default();
    if is_last && !expected.audiences.contains(&found) {
        let expected = expected.audiences.join(" or ");
        return Err(SdJwtError::Audience { hop, found: found.to_owned(), expected });
    }
    Ok(())
}

fn check_times(hop: usize, claims: &Map<String, Value>, now_s: u64) -> Result<(), SdJwtError> {
    let time = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_u64()
            .map(Some)
            .ok_or_else(|| form(hop, format!("{name} is not a number of whole seconds"))),
    };
    if let Some(at) = time("exp")?.filter(|at| now_s >= *at) {
        return Err(SdJwtError::Expired { hop, at });
    }
    for name in ["nbf", "iat"] {
        if let Some(at) = time(name)?.filter(|at| *at > now_s.saturating_add(SKEW_S)) {
            return Err(SdJwtError::NotYet { hop, at });
        }
    }
    Ok(())
}

/// The mandates of a token.
fn contents(hop: usize, mut claims: Map<String, Value>) -> Result<Vec<Map<String, Value>>, SdJwtError> {
    let Some(payload) = claims.remove("delegate_payload") else { return Ok(vec![claims]) };
    let Value::Array(items) = payload else { return Err(form(hop, "delegate_payload is not an array")) };
    if items.is_empty() {
        return Err(form(hop, "delegate_payload discloses nothing"));
    }
    let object = |item| match item {
        Value::Object(members) => Ok(members),
        _ => Err(form(hop, "delegate_payload holds something else than objects")),
    };
    items.into_iter().map(object).collect()
}

/// The key that signs the next token: one, whichever content names it.
fn confirmed(
    hop: usize,
    contents: &[Map<String, Value>],
    is_last: bool,
) -> Result<Option<PublicKey>, SdJwtError> {
    let mut found: Option<PublicKey> = None;
    for cnf in contents.iter().filter_map(|content| content.get("cnf")) {
        if is_last && hop > 0 {
            return Err(form(hop, "the last token of a chain names a further key in cnf"));
        }
        let key = cnf.get("jwk").map(PublicKey::from_jwk);
        let mut key = match key {
            Some(Ok(key)) => key,
            _ => return Err(form(hop, "cnf.jwk is not an EC key on P-256")),
        };
        key.kid = None;
        if found.as_ref().is_some_and(|before| *before != key) {
            return Err(form(hop, "cnf names two keys"));
        }
        found = Some(key);
    }
    Ok(found)
}

/// One disclosure, by its digest.
struct Disclosure {
    name: Option<String>,
    value: Value,
}

/// The payload with what is disclosed put in, and all digests taken out (RFC 9901, 7.1).
fn claims(hop: usize, token: &Token<'_>) -> Result<Map<String, Value>, SdJwtError> {
    let Value::Object(payload) = token.jws.payload.clone() else {
        return Err(form(hop, "the payload is not an object"));
    };
    match payload.get("_sd_alg") {
        None => {}
        Some(Value::String(algorithm)) if algorithm == "sha-256" => {}
        Some(other) => return Err(form(hop, format!("_sd_alg is {other}, only sha-256 is taken"))),
    }
    let mut disclosed = BTreeMap::new();
    for text in &token.disclosures {
        let disclosure = disclosure(hop, text)?;
        if disclosed.insert(hash_text(text), disclosure).is_some() {
            return Err(form(hop, "a disclosure is repeated"));
        }
    }
    let mut resolver = Resolver { hop, disclosed, seen: BTreeSet::new() };
    let mut claims = resolver.object(payload, 0)?;
    claims.remove("_sd_alg");
    match resolver.disclosed.is_empty() {
        true => Ok(claims),
        false => Err(form(hop, "a disclosure belongs to no digest")),
    }
}

fn disclosure(hop: usize, text: &str) -> Result<Disclosure, SdJwtError> {
    let jose = |error| SdJwtError::Jose { hop, error };
    let value = read_json(&decode(text, "disclosure").map_err(jose)?, "disclosure").map_err(jose)?;
    let Value::Array(mut parts) = value else { return Err(form(hop, "a disclosure is not an array")) };
    let bad = || form(hop, "a disclosure is not [salt, value] or [salt, name, value]");
    let value = parts.pop().ok_or_else(bad)?;
    let name = match (parts.as_slice(), parts.len()) {
        ([Value::String(_)], 1) => None,
        ([Value::String(_), Value::String(name)], 2) => match name.as_str() {
            "_sd" | "..." => return Err(form(hop, "a disclosure is named as a digest")),
            name => Some(name.to_owned()),
        },
        _ => return Err(bad()),
    };
    Ok(Disclosure { name, value })
}

struct Resolver {
    hop: usize,
    /// Not used yet.
    disclosed: BTreeMap<String, Disclosure>,
    seen: BTreeSet<String>,
}

impl Resolver {
    fn value(&mut self, value: Value, depth: usize) -> Result<Value, SdJwtError> {
        if depth > DEPTH_MAX {
            return Err(form(self.hop, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        Ok(match value {
            Value::Object(members) => Value::Object(self.object(members, depth)?),
            Value::Array(items) => Value::Array(self.array(items, depth)?),
            plain => plain,
        })
    }

    fn object(
        &mut self,
        members: Map<String, Value>,
        depth: usize,
    ) -> Result<Map<String, Value>, SdJwtError> {
        let mut whole = Map::new();
        let mut digests = Vec::new();
        for (name, value) in members {
            match (name.as_str(), value) {
                ("_sd", Value::Array(items)) => digests = items,
                ("_sd" | "...", _) => return Err(form(self.hop, format!("{name} is out of place"))),
                (_, value) => {
                    whole.insert(name, self.value(value, depth + 1)?);
                }
            }
        }
        for digest in digests {
            let Some(Disclosure { name, value }) = self.take(&digest)? else { continue };
            let name = name.ok_or_else(|| form(self.hop, "an element is disclosed as a member"))?;
            if whole.contains_key(&name) {
                return Err(form(self.hop, format!("{name} is there twice")));
            }
            let value = self.value(value, depth + 1)?;
            whole.insert(name, value);
        }
        Ok(whole)
    }

    fn array(&mut self, items: Vec<Value>, depth: usize) -> Result<Vec<Value>, SdJwtError> {
        let mut whole = Vec::with_capacity(items.len());
        for item in items {
            let digest = item
                .as_object()
                .filter(|item| item.contains_key("..."))
                .map(|item| (item.len(), &item["..."]));
            let Some((members, digest)) = digest else {
                whole.push(self.value(item, depth + 1)?);
                continue;
            };
            if members != 1 {
                return Err(form(self.hop, "... stands beside other members"));
            }
            let Some(Disclosure { name, value }) = self.take(&digest.clone())? else { continue };
            if name.is_some() {
                return Err(form(self.hop, "a member is disclosed as an element"));
            }
            whole.push(self.value(value, depth + 1)?);
        }
        Ok(whole)
    }

    /// The disclosure of a digest; `None` is not disclosed. A digest stands once.
    fn take(&mut self, digest: &Value) -> Result<Option<Disclosure>, SdJwtError> {
        let Value::String(digest) = digest else { return Err(form(self.hop, "a digest is not text")) };
        if !self.seen.insert(digest.clone()) {
            return Err(form(self.hop, "a digest is repeated"));
        }
        Ok(self.disclosed.remove(digest))
    }
}

#[cfg(test)]
mod tests;
