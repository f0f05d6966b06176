//! Who calls, and what they may do (sections 1.2 and 1.3).

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use stateset_sequencer::{Actor, ApiKeyRecord};
use ves::audit::ActorType;
use ves::{AgentId, Digest, StoreId, StreamKey, TenantId};
use ves_wire::error::ErrorCode;

use crate::access::{KEY_PREFIX, key_hash};
use crate::audit::{Origin, asks, key_name};
use crate::config::AuthMode;
use crate::error::ApiError;
use crate::peer::client_address;
use crate::rate::Counted;
use crate::router::App;
use crate::token::Grant;

/// What a route asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    Read,
    Write,
    Admin,
}

/// The one who sent the request, from its API key or its token.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub tenant_id: TenantId,
    /// Empty: every store of the tenant.
    pub store_ids: Vec<StoreId>,
    pub agent_id: Option<AgentId>,
    pub can_read: bool,
    pub can_write: bool,
    pub can_admin: bool,
    pub rate_limit: Option<u32>,
    /// By a token, which is over soon.
    pub is_lent: bool,
    counted: Counted,
    /// Of the API key; `None` for a token, and where everyone may call.
    key: Option<Digest>,
    origin: Origin,
}

impl Caller {
    fn of(record: ApiKeyRecord) -> Self {
        Self {
            tenant_id: record.tenant_id,
            store_ids: record.store_ids,
            agent_id: record.agent_id,
            can_read: record.can_read || record.can_admin,
            can_write: record.can_write || record.can_admin,
            can_admin: record.can_admin,
            rate_limit: record.rate_limit,
            is_lent: false,
            key: Some(record.key_hash),
            origin: Origin::default(),
            counted: match record.agent_id {
                Some(agent_id) => Counted::Agent(record.tenant_id, agent_id),
                None => Counted::Key(record.key_hash),
            },
        }
    }

    /// A token has no limit of its own: its tenant's holds.
    fn granted(grant: Grant) -> Self {
        Self {
            tenant_id: grant.tenant_id,
            store_ids: grant.store_ids,
            agent_id: grant.agent_id,
            can_read: grant.read || grant.admin,
            can_write: grant.write || grant.admin,
            can_admin: grant.admin,
            rate_limit: None,
            is_lent: true,
            key: None,
            origin: Origin::default(),
            counted: match grant.agent_id {
                Some(agent_id) => Counted::Agent(grant.tenant_id, agent_id),
                None => Counted::Tokens(grant.tenant_id),
            },
        }
    }

    /// Admin of every tenant.
    fn bootstrap() -> Self {
        Self {
            tenant_id: TenantId::from_bytes([0; 16]),
            store_ids: Vec::new(),
            agent_id: None,
            can_read: true,
            can_write: true,
            can_admin: true,
            rate_limit: None,
            is_lent: false,
            key: None,
            origin: Origin::default(),
            counted: Counted::Key(Digest::ZERO),
        }
    }

    /// The caller that these headers (or metadata) name, within its rate limit; `address` is where the request comes from,
    /// where a listener told it.
    pub fn admit_from(headers: &HeaderMap, address: Option<IpAddr>, app: &App) -> Result<Self, ApiError> {
        let mut caller = match Self::known(headers, app) {
            Ok(caller) => caller,
            Err(error) => {
                app.audit.refused(headers, address, &error);
                return Err(error);
            }
        };
        caller.origin = caller.origin.at(address);
        asks(app, &caller);
        app.audit.admitted(&caller);
        app.rates.admit(&caller.tenant_id, caller.counted(), caller.rate_limit, app.sequencer.now())?;
        Ok(caller)
    }

    /// The same without counting a request: for a stream that goes on.
    pub fn known(headers: &HeaderMap, app: &App) -> Result<Self, ApiError> {
        let mut caller = match identify(headers, app) {
            Err(_) if app.config.auth == AuthMode::Disabled => Self::bootstrap(),
            found => found?,
        };
        caller.origin = Origin::of(headers);
        Ok(caller)
    }

    /// Who acts, as the audit log names it.
    pub fn actor(&self) -> Actor {
        let (kind, name) = match &self.key {
            Some(key) if self.is_bootstrap() => (ActorType::Bootstrap, key_name(key)),
            Some(key) => (ActorType::ApiKey, key_name(key)),
            None if self.is_lent => match &self.agent_id {
                Some(agent) => (ActorType::Jwt, format!("agent:{agent}")),
                None => (ActorType::Jwt, format!("tenant:{}", self.tenant_id)),
            },
            None => (ActorType::Bootstrap, "authentication is off".to_owned()),
        };
        self.origin.actor(kind, name)
    }

    /// Whose requests its limit counts.
    pub fn counted(&self) -> Counted {
        self.counted
    }

    /// Admin with the nil tenant: every tenant and store.
    pub fn is_bootstrap(&self) -> bool {
        self.can_admin && self.tenant_id.is_nil()
    }

    /// The tenant in which look-ups by an id alone find anything; `None` finds in every tenant.
    pub fn sees(&self) -> Option<&TenantId> {
        (!self.is_bootstrap()).then_some(&self.tenant_id)
    }

    /// The right itself, before the object is known.
    pub fn require_right(&self, permission: Permission) -> Result<(), ApiError> {
        let (granted, name) = match permission {
            Permission::Read => (self.can_read, "read"),
            Permission::Write => (self.can_write, "write"),
            Permission::Admin => (self.can_admin, "admin"),
        };
        if granted {
            return Ok(());
        }
        Err(ApiError::forbidden(format!("{name} permission is required")))
    }

    pub fn require_tenant(&self, permission: Permission, tenant_id: &TenantId) -> Result<(), ApiError> {
        self.require_right(permission)?;
        if self.is_bootstrap() || self.tenant_id == *tenant_id {
            return Ok(());
        }
        Err(ApiError::forbidden("Tenant access denied"))
    }

    pub fn require(&self, permission: Permission, stream: &StreamKey) -> Result<(), ApiError> {
        self.require_tenant(permission, &stream.tenant_id)?;
        if self.may_enter(&stream.store_id) {
            return Ok(());
        }
        Err(ApiError::forbidden("Store access denied"))
    }

    /// Whether the caller's stores include this one.
    pub fn may_enter(&self, store_id: &StoreId) -> bool {
        self.is_bootstrap()
            || store_id.is_nil()
            || self.store_ids.is_empty()
            || self.store_ids.contains(store_id)
    }

    /// What holds in the whole tenant is not for a credential of some of its stores.
    pub fn require_every_store(&self) -> Result<(), ApiError> {
        if self.store_ids.is_empty() || self.is_bootstrap() {
            return Ok(());
        }
        Err(ApiError::forbidden("this changes what holds in every store: use an admin of the whole tenant"))
    }

    /// The tenant that the request names, or the caller's own, which the bootstrap key does not have.
    pub fn tenant_or_own(&self, asked: Option<TenantId>) -> Result<TenantId, ApiError> {
        match asked {
            Some(tenant_id) => Ok(tenant_id),
            None if self.is_bootstrap() => {
                Err(ApiError::new(ErrorCode::MissingRequiredField, "tenant_id is missing in the query"))
            }
            None => Ok(self.tenant_id),
        }
    }

    /// A key that is bound to an agent speaks for no other.
    pub fn require_agent(&self, agent_id: &AgentId) -> Result<(), ApiError> {
        if self.agent_id.is_none_or(|own| own == *agent_id) {
            return Ok(());
        }
        Err(ApiError::forbidden("Agent mismatch"))
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let address = client_address(&parts.extensions, &parts.headers, app);
        let caller = Self::admit_from(&parts.headers, address, app)?;
        // For whoever reads the body.
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }
}

fn identify(headers: &HeaderMap, app: &App) -> Result<Caller, ApiError> {
    match credential(headers)? {
        Credential::Key(text) => {
            let record = app.sequencer.api_key(&key_hash(text)).filter(|record| record.active);
            record
                .map(Caller::of)
                .ok_or_else(|| ApiError::new(ErrorCode::InvalidApiKey, "the API key is unknown or revoked"))
        }
        Credential::Token(text) => {
            let Some(tokens) = &app.tokens else {
                let message = "bearer tokens are not enabled here, use an API key";
                return Err(ApiError::new(ErrorCode::InvalidToken, message));
            };
            tokens.believe(text, app.sequencer.now()).map(Caller::granted)
        }
    }
}

/// What a caller shows.
#[derive(Debug, PartialEq, Eq)]
enum Credential<'a> {
    /// The text of an API key.
    Key(&'a str),
    /// A JSON web token.
    Token(&'a str),
}

/// The credential, from `Authorization` or else `X-Api-Key` (section 1.2).
fn credential(headers: &HeaderMap) -> Result<Credential<'_>, ApiError> {
    let authorization = headers.get(header::AUTHORIZATION);
    let Some(value) = authorization.or_else(|| headers.get("x-api-key")) else {
        let message = "send an API key: authorization: ApiKey ss_…, or x-api-key: ss_…";
        return Err(ApiError::new(ErrorCode::AuthRequired, message));
    };
    let refused = |code, message: &str| Err(ApiError::new(code, message));
    let Ok(text) = value.to_str() else {
        return refused(ErrorCode::InvalidApiKey, "the credential is not ASCII");
    };
    let (scheme, text) = text.trim().split_once(' ').unwrap_or(("", text.trim()));
    let text = text.trim();
    let bearer = scheme.eq_ignore_ascii_case("bearer") && authorization.is_some();
    if !(bearer || scheme.is_empty() || scheme.eq_ignore_ascii_case("apikey")) {
        return refused(ErrorCode::AuthRequired, "the authorization scheme is not ApiKey or Bearer");
    }
    // A published client sends every credential it does not know as a bearer, keys among them (section 3.12).
    match text.starts_with(KEY_PREFIX) {
        true => Ok(Credential::Key(text)),
        false if bearer => Ok(Credential::Token(text)),
        false => refused(ErrorCode::InvalidApiKey, "an API key starts with ss_"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(pairs: &[(&'static str, &'static str)]) -> Result<String, ErrorCode> {
        let headers = pairs.iter().map(|(n, v)| (n.parse().unwrap(), HeaderValue::from_static(v))).collect();
        let text = |credential| match credential {
            Credential::Key(text) => text.to_owned(),
            Credential::Token(text) => format!("token {text}"),
        };
        credential(&headers).map(text).map_err(|error| error.code())
    }

    #[test]
    fn tokens_are_counted_by_tenant_and_agent() {
        let counted = |tenant: u8, agent: Option<u8>| {
            let agent_id = agent.map(|n| AgentId::from_bytes([n; 16]));
            let tenant_id = TenantId::from_bytes([tenant; 16]);
            let rights =
                Grant { tenant_id, agent_id, store_ids: vec![], read: true, write: true, admin: false };
            Caller::granted(rights).counted()
        };
        assert_eq!(counted(1, None), counted(1, None));
        assert_ne!(counted(1, None), counted(2, None));
        assert_ne!(counted(1, None), counted(1, Some(1)));
        assert_ne!(counted(1, Some(1)), counted(2, Some(1)));
        assert_ne!(counted(1, None), Caller::bootstrap().counted());
    }

    #[test]
    fn three_header_forms_carry_a_key_and_authorization_comes_first() {
        for form in ["ApiKey ss_a", "apikey ss_a", "ss_a", "ApiKey  ss_a "] {
            assert_eq!(read(&[("authorization", form)]), Ok("ss_a".to_owned()));
            assert_eq!(read(&[("x-api-key", form)]), Ok("ss_a".to_owned()));
        }
        assert_eq!(read(&[("x-api-key", "ss_b"), ("authorization", "ss_a")]), Ok("ss_a".to_owned()));
        assert_eq!(read(&[]), Err(ErrorCode::AuthRequired));
        assert_eq!(read(&[("authorization", "Basic abc")]), Err(ErrorCode::AuthRequired));
        assert_eq!(read(&[("authorization", "Bearer ss_a")]), Ok("ss_a".to_owned()));
        assert_eq!(read(&[("authorization", "bearer a.b.c")]), Ok("token a.b.c".to_owned()));
        assert_eq!(read(&[("x-api-key", "Bearer a.b.c")]), Err(ErrorCode::AuthRequired));
        assert_eq!(read(&[("authorization", "ApiKey sk_a")]), Err(ErrorCode::InvalidApiKey));
    }
}
