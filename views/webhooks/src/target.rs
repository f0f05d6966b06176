//! Where deliveries may go. A name is judged by the addresses it has at the moment of the connection, and those alone are
//! connected to: a name that meant another address when it was registered gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

/// Longest address of a receiver, in bytes.
pub const URL_BYTES_MAX: usize = 2048;

/// What an operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TargetPolicy {
    /// Also to this machine and to private networks, and without TLS. For a network of one's own.
    pub allows_private: bool,
}

/// An address of a receiver that has the right form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(Uri);

/// Why nothing is sent there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error(
        "url: expected https://HOST/PATH of at most {URL_BYTES_MAX} bytes, without credentials and fragment"
    )]
    Form,
    #[error(
        "url: expected https, since http can be read and changed on its way; the setting WEBHOOK_ALLOW_PRIVATE_TARGETS admits it"
    )]
    Plain,
    #[error(
        "url: {0} is an address of this machine or of a private network; the setting WEBHOOK_ALLOW_PRIVATE_TARGETS admits it"
    )]
    Private(IpAddr),
}

impl Target {
    /// Reads and judges an address as far as it can be without looking its name up.
    pub fn parse(url: &str, policy: TargetPolicy) -> Result<Self, TargetError> {
        if url.len() > URL_BYTES_MAX || url.contains('#') || !url.is_ascii() {
            return Err(TargetError::Form);
        }
        let uri: Uri = url.parse().map_err(|_| TargetError::Form)?;
        let authority = uri.authority().ok_or(TargetError::Form)?;
        // What stands around the host: no credentials before it, and behind it a port that is one, or nothing.
        let has_form = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => true,
            Some(_) => matches!(authority.port_u16(), Some(1..)),
            None => false,
        };
        if authority.host().is_empty() || !has_form {
            return Err(TargetError::Form);
        }
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if policy.allows_private => {}
            Some("http") => return Err(TargetError::Plain),
            _ => return Err(TargetError::Form),
        }
        let host = authority.host();
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match bracketed.unwrap_or(host).parse() {
            Ok(address) => policy.judge(address)?,
            // Not an address, so no name either: one with a zone, or of a later version.
            Err(_) if bracketed.is_some() || ends_in_number(host) => return Err(TargetError::Form),
            Err(_) if is_this_machine(host) => policy.judge(IpAddr::V4(Ipv4Addr::LOCALHOST))?,
            Err(_) => {}
        }
        Ok(Self(uri))
    }

    pub fn uri(&self) -> &Uri {
        &self.0
    }
}

/// Whether a host is an address in a spelling of its own, such as 127.1 or 0x7f000001: no name ends in a number (URL Standard,
/// "ends in a number").
fn ends_in_number(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or_default();
    match last.strip_prefix("0x").or(last.strip_prefix("0X")) {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// Names that mean this machine wherever they are looked up (RFC 6761).
fn is_this_machine(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
}

impl TargetPolicy {
    /// Whether a connection to this address is allowed.
    pub fn judge(self, address: IpAddr) -> Result<(), TargetError> {
        match self.allows_private || is_public(address) {
            true => Ok(()),
            false => Err(TargetError::Private(address)),
        }
    }
}

/// Whether an address is one of the open Internet (IANA special-purpose registries, RFC 6890).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = a == 0
        || a == 10
        || a == 127
        || (a, b) == (169, 254)
        || a == 172 && (16..32).contains(&b)
        || (a, b) == (192, 168)
        // Shared by carriers (RFC 6598), protocols (RFC 6890), 6to4 relays, benchmarks (RFC 2544).
        || a == 100 && (64..128).contains(&b)
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || a == 198 && (18..20).contains(&b)
        // Documentation (RFC 5737).
        || [(192, 0, 2), (198, 51, 100), (203, 0, 113)].contains(&(a, b, c))
        // Multicast, reserved, broadcast.
        || a >= 224;
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    let parts = address.segments();
    // Only 2000::/3 is given out; within it, what leads to other networks by way of this address is not public.
    let is_global = parts[0] & 0xe000 == 0x2000;
    let is_special = parts[0] == 0x2001 && (parts[1] < 0x0200 || parts[1] == 0x0db8)
        || parts[0] == 0x2002
        || parts[0] == 0x3fff && parts[1] < 0x1000;
    is_global && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: TargetPolicy = TargetPolicy { allows_private: false };
    const OPEN: TargetPolicy = TargetPolicy { allows_private: true };

    #[test]
    fn addresses_inside_are_told_from_those_outside_in_every_spelling() {
        for inside in [
            "127.0.0.1",
            "127.255.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.2.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "100::1",
            "3fff::1",
        ] {
            assert!(!is_public(inside.parse().expect("an address")), "{inside}");
        }
        for outside in [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "198.17.0.1",
            "9.9.9.9",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:1.1.1.1",
            "2001:4860:4860::8888",
        ] {
            assert!(is_public(outside.parse().expect("an address")), "{outside}");
        }
    }

    #[test]
    fn only_https_to_outside_is_a_target_unless_more_is_allowed() {
        for url in ["https://example.com/hooks", "https://example.com:8443/h?a=b", "https://1.1.1.1/"] {
            assert!(Target::parse(url, STRICT).is_ok(), "{url}");
        }
        assert_eq!(Target::parse("http://example.com/", STRICT), Err(TargetError::Plain));
        for url in [
            "https://127.0.0.1/",
            "https://[::1]:1/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/x",
            "https://localhost/",
            "https://LocalHost.:8443/",
            "https://a.localhost/",
        ] {
            assert!(matches!(Target::parse(url, STRICT), Err(TargetError::Private(_))), "{url}");
            assert!(Target::parse(url, OPEN).is_ok(), "{url}");
        }
        assert!(Target::parse("http://localhost:3000/hook", OPEN).is_ok());
        let long = format!("https://example.com/{}", "a".repeat(URL_BYTES_MAX));
        for url in [
            "",
            "example.com",
            "/hooks",
            "ftp://example.com/",
            "https://",
            "https:///x",
            "https://u:p@example.com/",
            "https://example.com/#x",
            "https://example.com:0/",
            "https://example.com:65536/",
            "https://example.com:22x/",
            "https://example.com:/",
            "https://user@example.com/",
            "https://a@a/",
            "https://example.com\\@127.0.0.1/",
            "https://127.0.0.1 .example.com/",
            "https://[::1%25lo]/",
            "//example.com/",
            "https://exämple.com/",
            "file:///etc/passwd",
            // Addresses in other spellings.
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.1/",
            "https://127.0.0.1./",
            "https://0/",
            &long,
        ] {
            assert_eq!(Target::parse(url, OPEN), Err(TargetError::Form), "{url}");
        }
    }
}
