//! Where a request comes from, and the routes that ask for it (section 3.11: the admin allowlist).

use std::net::{IpAddr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use ipnet::IpNet;
use ves_wire::error::ErrorCode;

use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::hop::ToldAddress;
use crate::router::App;

/// Most proxies that a request is believed to have passed.
const PROXIES_MAX: usize = 16;

/// The address at the other end of the connection; the listener puts it into each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyTrust {
    /// `TRUST_PROXY_HEADERS`; off, the header is not read.
    pub headers: bool,
    /// `TRUST_PROXY_ALLOWLIST`: the proxies. Empty means a proxy on this machine only, since a stranger's header
    /// must not open the admin routes.
    pub allowlist: Vec<IpNet>,
}

impl ProxyTrust {
    fn trusts(&self, address: IpAddr) -> bool {
        match self.allowlist.as_slice() {
            [] => address.is_loopback(),
            listed => listed.iter().any(|net| net.contains(&address)),
        }
    }

    /// The caller's own address: from the connection inwards, the first that is no proxy of ours.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.headers {
            return client;
        }
        let sent = headers.get_all("x-forwarded-for").iter().rev();
        let hops = sent.flat_map(|value| value.to_str().unwrap_or("?").rsplit(','));
        for hop in hops.take(PROXIES_MAX) {
            if !self.trusts(client) {
                break;
            }
            // What a proxy wrote that is no address ends the chain: the proxy itself is answerable.
            let Some(address) = address_of(hop.trim()) else { break };
            client = address;
        }
        client
    }
}

/// An address as proxies write it: bare, with a port, or in brackets.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare.or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}

/// The address of the one who sent this request; `None` where no listener told it, here or at the standby that passed
/// it on.
pub(crate) fn client_address(extensions: &Extensions, headers: &HeaderMap, app: &App) -> Option<IpAddr> {
    if let Some(ToldAddress(address)) = extensions.get() {
        return *address;
    }
    let peer = extensions.get::<PeerAddress>()?.0.ip();
    Some(app.config.proxies.client(peer, headers))
}

/// An admin who calls from an address that may (section 3.11).
pub(crate) struct Operator(pub Caller);

impl FromRequestParts<App> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        check_address(parts, app)?;
        let address = client_address(&parts.extensions, &parts.headers, app);
        let caller = Caller::admit_from(&parts.headers, address, app)?;
        caller.require_right(Permission::Admin)?;
        Ok(Self(caller))
    }
}

/// Before the credential, so that a stranger's address learns nothing about keys.
fn check_address(parts: &Parts, app: &App) -> Result<(), ApiError> {
    let allowed = &app.config.admin_ip_allowlist;
    if allowed.is_empty() {
        return Ok(());
    }
    let client = client_address(&parts.extensions, &parts.headers, app);
    if client.is_some_and(|address| allowed.iter().any(|net| net.contains(&address))) {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::AdminIpDenied, "this address is not among those of the admin routes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trust: &ProxyTrust, peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().expect("a header"));
        }
        trust.client(peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_caller() {
        let net = |text: &str| text.parse::<IpNet>().expect("a net");
        let trust = ProxyTrust { headers: true, allowlist: vec![net("10.0.0.0/8"), net("::1/128")] };
        for (peer, forwarded, expected) in [
            ("10.1.1.1", &["203.0.113.7"][..], "203.0.113.7"),
            ("10.1.1.1", &["192.0.2.1, 203.0.113.7, 10.2.2.2"], "203.0.113.7"),
            ("10.1.1.1", &["192.0.2.1", "203.0.113.7:9000"], "203.0.113.7"),
            ("10.1.1.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.1.1.1", &["unknown"], "10.1.1.1"),
            ("10.1.1.1", &[], "10.1.1.1"),
            ("203.0.113.9", &["10.0.0.1"], "203.0.113.9"),
            ("::ffff:10.1.1.1", &["203.0.113.7"], "203.0.113.7"),
            ("::1", &["10.9.9.9"], "10.9.9.9"),
        ] {
            assert_eq!(client(&trust, peer, forwarded), expected, "{peer} {forwarded:?}");
        }
        let off = ProxyTrust::default();
        assert_eq!(client(&off, "127.0.0.1", &["203.0.113.7"]), "127.0.0.1");
        let local = ProxyTrust { headers: true, allowlist: Vec::new() };
        assert_eq!(client(&local, "127.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client(&local, "192.0.2.5", &["10.0.0.1"]), "192.0.2.5");
    }
}
