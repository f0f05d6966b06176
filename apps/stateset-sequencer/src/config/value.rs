//! Whether a text is of the form its setting wants. Answers never repeat a secret.

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding as _};
use ipnet::IpNet;
use zeroize::Zeroizing;

use super::gather::read_bool;
use super::setting::{Kind, Setting};

/// `Err` says what is wrong and what would be right.
pub fn check(setting: &Setting, text: &str) -> Result<(), String> {
    let text = text.trim();
    let fits = match setting.kind {
        Kind::Text => !text.is_empty(),
        Kind::Bool => read_bool(text).is_some(),
        Kind::Number(min, max) => text.parse::<u64>().is_ok_and(|n| (min..=max).contains(&n)),
        Kind::Ratio => text.parse::<f64>().is_ok_and(|n| (0.0..=1.0).contains(&n)),
        Kind::Word(words) => words.iter().any(|word| word.eq_ignore_ascii_case(text)),
        Kind::Uuid => text.parse::<uuid::Uuid>().is_ok_and(|id| !id.is_nil()),
        Kind::Bytes32 => bytes32(text).is_some(),
        Kind::Bytes32List => text.split(',').all(|part| bytes32(part.trim()).is_some()),
        Kind::Networks => text.split(',').all(|part| network(part.trim()).is_some()),
        Kind::List => !text.is_empty(),
        Kind::Url | Kind::DatabaseUrl => text.contains("://"),
    };
    if fits {
        return Ok(());
    }
    let form = setting.form();
    Err(if setting.is_secret {
        format!("its value (not shown) is not {form}")
    } else {
        format!("{text:?} is not {form}")
    })
}

/// 32 bytes as 64 hexadecimal digits, with or without `0x`, or in base64 of any alphabet.
pub fn bytes32(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.len() == 64 {
        *bytes = ves::hex::decode_lenient(digits).ok()?;
        return Some(bytes);
    }
    let mut buffer = Zeroizing::new([0; 64]);
    let unpadded = text.trim_end_matches('=');
    // 43 digits hold 32 bytes in either alphabet; no text is of both and means two keys.
    let is_url = unpadded.contains(['-', '_']);
    let decoded = match is_url {
        true => Base64UrlUnpadded::decode(unpadded, buffer.as_mut()),
        false => Base64Unpadded::decode(unpadded, buffer.as_mut()),
    };
    *bytes = decoded.ok()?.try_into().ok()?;
    Some(bytes)
}

/// One address, or a network.
pub fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

/// An origin as browsers send it: scheme, host, port; no path.
pub fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '?' | '#' | '@' | '*');
    !scheme.is_empty()
        && scheme.bytes().all(|b| b.is_ascii_lowercase())
        && !rest.is_empty()
        && rest.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use base64ct::Base64;

    use super::*;
    use crate::config::table::setting;

    #[test]
    fn a_key_is_read_in_every_spelling_and_nothing_else_is() {
        let raw = std::array::from_fn::<u8, 32, _>(|i| (i as u8).wrapping_mul(7).wrapping_add(250));
        let hex = ves::hex::encode(&raw);
        let (padded, url) = (Base64::encode_string(&raw), Base64UrlUnpadded::encode_string(&raw));
        for text in [&hex, &format!("0x{hex}"), &hex.to_uppercase(), &padded, &url] {
            assert_eq!(bytes32(text).map(|bytes| *bytes), Some(raw), "{text}");
        }
        for text in ["", "ab", &hex[1..], &padded[4..], "zz"] {
            assert!(bytes32(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_value_of_another_form_is_named_unless_it_is_secret() {
        let problem = |name: &str, text: &str| check(setting(name).unwrap(), text).unwrap_err();
        assert_eq!(problem("PORT", "70000"), "\"70000\" is not a whole number from 0 to 65535");
        assert_eq!(problem("GRPC_DISABLED", "perhaps"), "\"perhaps\" is not true or false");
        assert_eq!(problem("AUTH_MODE", "open"), "\"open\" is not required, disabled");
        assert!(problem("ADMIN_IP_ALLOWLIST", "10.0.0.0/8, here").contains("addresses and networks"));
        let secret = problem("VES_SEQUENCER_SIGNING_KEY", "a-secret-that-slipped");
        assert!(!secret.contains("slipped"), "{secret}");
    }

    #[test]
    fn origins_have_no_path() {
        assert!(is_origin("https://shop.example") && is_origin("http://localhost:3000"));
        for text in ["shop.example", "https://", "https://shop.example/", "https://*.example", "null"] {
            assert!(!is_origin(text), "{text}");
        }
    }
}
