//! What a standby tells the writer of a request that it passes on: that it is a peer, and who sent the request.
//!
//! The admin allowlist and the limits of callers without credential go by addresses, and the writer sees the standby's.
//! It takes the caller's from a header, and believes that header only beside the secret that it put into the store
//! itself: no caller can read it there. A request whose header is not believed is refused whole, since neither its
//! word nor the address of its connection says who sent it.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use stateset_sequencer::PeerSecret;
use ves::hex;

/// Marks a request that a standby passed on: the writer's secret in hex and the caller's address, or `-` where no
/// listener told one. Standbys refuse it, so that two that hold each other for the writer pass nothing in a circle.
pub(crate) const FORWARDED: HeaderName = HeaderName::from_static("x-stateset-forwarded");

/// Marks an answer of gRPC that ends by itself, for the standby that gives it to the caller.
pub(crate) const ENDS: HeaderName = HeaderName::from_static("x-stateset-ends");

/// The caller's address as a peer tells it. Only the door puts it into a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ToldAddress(pub Option<IpAddr>);

/// The header's value was not written by a peer of this term.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoPeer;

/// The header's value for a writer with this secret.
pub(crate) fn value(secret: Option<&PeerSecret>, client: Option<IpAddr>) -> HeaderValue {
    let secret = secret.map_or_else(|| "-".to_owned(), |secret| hex::encode(secret.as_bytes()));
    let client = client.map_or_else(|| "-".to_owned(), |address| address.to_string());
    // Hex digits and an address are always a header's value; an empty one would be believed by no one.
    let mut value =
        HeaderValue::try_from(format!("{secret} {client}")).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// Takes the header out of a request that the writer is to answer, and puts in what it tells.
pub(crate) fn take(request: &mut Request, mine: Option<&PeerSecret>) -> Result<(), NoPeer> {
    if let Some(told) = told(request.headers(), mine)? {
        request.headers_mut().remove(FORWARDED);
        request.extensions_mut().insert(told);
    }
    Ok(())
}

fn told(headers: &HeaderMap, mine: Option<&PeerSecret>) -> Result<Option<ToldAddress>, NoPeer> {
    let mut values = headers.get_all(FORWARDED).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let (Some(mine), None, Ok(value)) = (mine, values.next(), value.to_str()) else { return Err(NoPeer) };
    let (secret, client) = value.split_once(' ').ok_or(NoPeer)?;
    let secret = PeerSecret::new(hex::decode(secret, hex::Format::Lenient).map_err(|_| NoPeer)?);
    if secret != *mine {
        return Err(NoPeer);
    }
    match client {
        "-" => Ok(Some(ToldAddress(None))),
        address => address.parse().map(|address| Some(ToldAddress(Some(address)))).map_err(|_| NoPeer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[HeaderValue], mine: Option<&PeerSecret>) -> Result<Option<ToldAddress>, NoPeer> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(FORWARDED, value.clone());
        }
        told(&headers, mine)
    }

    #[test]
    fn only_the_secret_of_this_term_is_believed() {
        let (mine, other) = (PeerSecret::new([1; 32]), PeerSecret::new([2; 32]));
        for client in [None, Some("192.0.2.7".parse().unwrap()), Some("2001:db8::7".parse().unwrap())] {
            let sent = value(Some(&mine), client);
            assert!(sent.is_sensitive());
            let once = std::slice::from_ref(&sent);
            assert_eq!(read(once, Some(&mine)), Ok(Some(ToldAddress(client))));
            assert_eq!(read(once, Some(&other)), Err(NoPeer));
            assert_eq!(read(once, None), Err(NoPeer), "a log without peers");
            assert_eq!(read(&[sent.clone(), sent.clone()], Some(&mine)), Err(NoPeer), "sent twice");
            assert_eq!(read(&[value(None, client)], Some(&mine)), Err(NoPeer));
        }
        assert_eq!(read(&[], Some(&mine)), Ok(None));
        let hex = hex::encode(mine.as_bytes());
        for text in
            ["", "1", "- -", &hex, &format!("{hex} "), &format!("{hex} nobody"), &format!("{} -", &hex[2..])]
        {
            assert_eq!(read(&[HeaderValue::from_str(text).unwrap()], Some(&mine)), Err(NoPeer), "{text}");
        }
    }
}
