//! JSON web tokens (section 1.2): signed by whoever shares the secret, never by us.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation, decode};
use serde::Deserialize;
use ves::{AgentId, StoreId, TenantId, TimestampMs};
use ves_wire::error::ErrorCode;
use zeroize::Zeroizing;

use crate::error::ApiError;

/// The algorithms taken. The list is ours, never the token's: `none` and public-key algorithms are refused.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
/// Seconds that the clocks of the issuer and of this service may differ.
const LEEWAY_S: i64 = 30;
/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Who may issue tokens, and for whom.
#[derive(Clone)]
pub struct JwtConfig {
    /// Shared with the issuer; at least 32 bytes in production.
    pub secret: Zeroizing<Vec<u8>>,
    /// What `iss` must say.
    pub issuer: String,
    /// What `aud` must say, or hold.
    pub audience: String,
}

impl JwtConfig {
    /// The default `JWT_ISSUER`.
    pub const ISSUER: &'static str = "stateset-sequencer";
    /// The default `JWT_AUDIENCE`.
    pub const AUDIENCE: &'static str = "stateset-api";

    /// With the default issuer and audience.
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self {
            secret: Zeroizing::new(secret.into()),
            issuer: Self::ISSUER.to_owned(),
            audience: Self::AUDIENCE.to_owned(),
        }
    }
}

impl std::fmt::Debug for JwtConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("JwtConfig");
        shown.field("issuer", &self.issuer).field("audience", &self.audience).finish_non_exhaustive()
    }
}

/// What a token grants, once it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub tenant_id: TenantId,
    pub store_ids: Vec<StoreId>,
    pub agent_id: Option<AgentId>,
    pub read: bool,
    pub write: bool,
    pub admin: bool,
}

/// The claims of section 1.2. `iss` and `aud` are checked before these are read.
#[derive(Deserialize)]
struct Claims {
    sub: TenantId,
    /// Seconds since 1970; RFC 7519 allows fractions.
    exp: f64,
    nbf: Option<f64>,
    #[serde(default)]
    stores: String,
    agent: Option<AgentId>,
    #[serde(default)]
    perms: String,
}

/// Believes tokens of one issuer.
pub(crate) struct Tokens {
    key: DecodingKey,
    validation: Validation,
}

impl Tokens {
    pub fn new(config: &JwtConfig) -> Self {
        let mut validation = Validation::new(ALGORITHMS[0]);
        validation.algorithms = ALGORITHMS.to_vec();
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Times are compared with the service's own clock, below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self { key: DecodingKey::from_secret(&config.secret), validation }
    }

    /// What `token` grants at `now`.
    ///
    /// # Errors
    /// `TOKEN_EXPIRED` for a genuine token whose time is over, else `INVALID_TOKEN` with what is wrong.
    pub fn believe(&self, token: &str, now: TimestampMs) -> Result<Grant, ApiError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(invalid(format_args!("it is longer than {TOKEN_BYTES_MAX} bytes")));
        }
        let decoded = decode::<Claims>(token, &self.key, &self.validation);
        let TokenData { header, claims, .. } = decoded.map_err(|error| refused(error.kind()))?;
        // RFC 7515, section 4.1.11: extensions that must be understood, and we understand none.
        if header.crit.is_some() {
            return Err(invalid("its header demands extensions (crit)"));
        }
        let now_s = now.0 as f64 / 1000.0;
        if claims.exp + LEEWAY_S as f64 <= now_s {
            return Err(ApiError::new(
                ErrorCode::TokenExpired,
                "the token's time (exp) is over: get a new one",
            ));
        }
        if claims.nbf.is_some_and(|from| from - LEEWAY_S as f64 > now_s) {
            return Err(invalid("its time (nbf) has not begun"));
        }
        grant(&claims)
    }
}

fn grant(claims: &Claims) -> Result<Grant, ApiError> {
    let mut granted = Grant {
        tenant_id: claims.sub,
        store_ids: Vec::new(),
        agent_id: claims.agent,
        read: false,
        write: false,
        admin: false,
    };
    // An id that can't be read must not leave the list empty: that would mean every store.
    for text in members(&claims.stores) {
        let id = text.parse().map_err(|_| invalid(format_args!("stores: {text:?} is not a UUID")))?;
        granted.store_ids.push(id);
    }
    for name in members(&claims.perms) {
        match name {
            "read" => granted.read = true,
            "write" => granted.write = true,
            "admin" => granted.admin = true,
            other => return Err(invalid(format_args!("perms: {other:?} is not read, write or admin"))),
        }
    }
    Ok(granted)
}

fn members(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|member| !member.is_empty())
}

fn refused(kind: &ErrorKind) -> ApiError {
    match kind {
        ErrorKind::InvalidSignature => invalid("its signature is not by the issuer's secret"),
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => {
            invalid("its algorithm is not HS256, HS384 or HS512")
        }
        ErrorKind::InvalidIssuer => invalid("iss is another issuer"),
        ErrorKind::InvalidAudience => invalid("aud is another audience"),
        ErrorKind::MissingRequiredClaim(name) => invalid(format_args!("the claim {name} is missing")),
        ErrorKind::Json(problem) => invalid(problem),
        _ => invalid("it is not a signed JSON web token"),
    }
}

fn invalid(problem: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::InvalidToken, format!("the bearer token is refused: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    const SECRET: &[u8] = b"a secret of thirty-two bytes....";
    const NOW_S: i64 = 1_800_000_000;
    const TENANT: &str = "00000000-0000-0000-0000-0000000000a1";

    fn claims(change: impl FnOnce(&mut Value)) -> Value {
        let mut claims = json!({
            "sub": TENANT, "iss": JwtConfig::ISSUER, "aud": JwtConfig::AUDIENCE,
            "exp": NOW_S + 600, "iat": NOW_S, "perms": "read,write",
        });
        change(&mut claims);
        claims
    }

    fn signed(algorithm: Algorithm, secret: &[u8], claims: &Value) -> String {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).expect("signs")
    }

    fn believe(token: &str) -> Result<Grant, ErrorCode> {
        let tokens = Tokens::new(&JwtConfig::new(SECRET));
        tokens.believe(token, TimestampMs(NOW_S * 1000)).map_err(|error| error.code())
    }

    #[test]
    fn the_three_hmac_algorithms_are_believed_and_claims_become_rights() {
        for algorithm in ALGORITHMS {
            let granted = believe(&signed(algorithm, SECRET, &claims(|_| ()))).expect("believed");
            assert_eq!((granted.read, granted.write, granted.admin), (true, true, false));
            assert_eq!(granted.tenant_id.to_string(), TENANT);
            assert!(granted.store_ids.is_empty() && granted.agent_id.is_none());
        }
        let narrow = claims(|c| {
            c["stores"] = json!(format!("{TENANT}, {TENANT}"));
            c["agent"] = json!(TENANT);
            c["perms"] = json!("read");
            c["aud"] = json!(["other", JwtConfig::AUDIENCE]);
            c["exp"] = json!(NOW_S as f64 + 0.5);
        });
        let granted = believe(&signed(Algorithm::HS256, SECRET, &narrow)).expect("believed");
        assert_eq!((granted.store_ids.len(), granted.write), (2, false));
        assert!(granted.agent_id.is_some());
    }

    #[test]
    fn what_is_forged_foreign_or_unclear_is_refused() {
        let genuine = signed(Algorithm::HS256, SECRET, &claims(|_| ()));
        assert_eq!(
            believe(&signed(Algorithm::HS256, b"another", &claims(|_| ()))),
            Err(ErrorCode::InvalidToken)
        );
        let [_, body, signature] = genuine.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
        // {"alg":"none","typ":"JWT"}
        let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
        for token in [
            format!("{unsigned}.{body}."),
            format!("{unsigned}.{body}.{signature}"),
            "a.b".into(),
            String::new(),
        ] {
            assert_eq!(believe(&token), Err(ErrorCode::InvalidToken), "{token}");
        }
        let changes: [fn(&mut Value); 9] = [
            |c| c["iss"] = json!("other"),
            |c| c["aud"] = json!("other"),
            |c| drop(c.as_object_mut().expect("claims").remove("exp")),
            |c| drop(c.as_object_mut().expect("claims").remove("aud")),
            |c| drop(c.as_object_mut().expect("claims").remove("iss")),
            |c| c["sub"] = json!("me"),
            |c| c["stores"] = json!("x"),
            |c| c["perms"] = json!("root"),
            |c| c["nbf"] = json!(NOW_S + 3600),
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let token = signed(Algorithm::HS256, SECRET, &claims(change));
            assert_eq!(believe(&token), Err(ErrorCode::InvalidToken), "change {n}");
        }
    }

    #[test]
    fn a_token_ends_with_its_time() {
        let at = |exp: i64| signed(Algorithm::HS512, SECRET, &claims(|c| c["exp"] = json!(exp)));
        assert!(believe(&at(NOW_S - LEEWAY_S + 1)).is_ok());
        assert_eq!(believe(&at(NOW_S - LEEWAY_S)), Err(ErrorCode::TokenExpired));
        assert_eq!(believe(&at(0)), Err(ErrorCode::TokenExpired));
    }

    #[test]
    fn the_secret_is_never_printed() {
        assert!(!format!("{:?}", JwtConfig::new("a very secret text")).contains("secret text"));
    }
}
