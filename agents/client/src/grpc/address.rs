//! Where a gRPC door is.

use std::fmt::Display;

use hyper::Uri;

use crate::ClientError;

/// The ports of HTTP and HTTPS, where an address names none.
const PORTS: [u16; 2] = [80, 443];

/// An address that was checked.
pub(super) struct Address {
    /// As it was given.
    pub url: String,
    pub host: String,
    pub port: u16,
    pub has_tls: bool,
    /// Scheme and authority, as requests name them.
    pub origin: Uri,
}

impl Address {
    pub fn parse(url: &str) -> Result<Self, ClientError> {
        let wrong = |problem| ClientError::Address { url: url.to_owned(), problem };
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let has_tls = match scheme {
            "grpc" | "http" => false,
            "grpcs" | "https" => true,
            _ => return Err(wrong("it does not begin with grpc:// or grpcs://")),
        };
        let authority = rest.trim_end_matches('/');
        let scheme = if has_tls { "https" } else { "http" };
        let shape = || wrong("it should look like grpc://127.0.0.1:8081");
        let origin: Uri = format!("{scheme}://{authority}").parse().map_err(|_| shape())?;
        if authority.is_empty() || authority.contains(['/', '?', '#', '@', ' ']) {
            return Err(shape());
        }
        let host = origin.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = origin.port_u16().unwrap_or(PORTS[usize::from(has_tls)]);
        Ok(Self { url: url.to_owned(), host, port, has_tls, origin })
    }

    pub fn unreachable(&self, problem: &dyn Display) -> ClientError {
        ClientError::Unreachable { url: self.url.clone(), problem: problem.to_string(), was_cut: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_before_anything_is_sent() {
        for (url, host, port, has_tls) in [
            ("grpc://127.0.0.1:8081", "127.0.0.1", 8081, false),
            ("http://localhost:1/", "localhost", 1, false),
            ("grpcs://example.org", "example.org", 443, true),
            ("https://[::1]:8443", "::1", 8443, true),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.host.as_str(), address.port, address.has_tls), (host, port, has_tls));
        }
        for bad in
            ["127.0.0.1:8081", "ftp://x", "grpc://", "grpc:///", "grpc://a b", "grpc://h/p", "grpc://u@h"]
        {
            assert!(matches!(Address::parse(bad), Err(ClientError::Address { .. })), "{bad}");
        }
    }
}
