//! Distinguished names as text (RFC 4514), in one form: attribute names of its section 3 in capitals, every other
//! attribute as its number and the hexadecimal of its value.

use std::fmt::Write as _;

use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::der::{Encode as _, Tag, Tagged as _};
use x509_cert::name::Name;

use super::CertificateError;

/// The attributes that have a name in RFC 4514, section 3.
const NAMES: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// The name, last part first as RFC 4514 has it. `whose`: what is named, for the error.
pub(super) fn text(name: &Name, whose: &'static str) -> Result<String, CertificateError> {
    if name.is_empty() {
        return Err(CertificateError::NoName(whose));
    }
    let mut text = String::new();
    for (at, part) in name.0.iter().rev().enumerate() {
        if at > 0 {
            text.push(',');
        }
        for (at, attribute) in part.0.iter().enumerate() {
            if at > 0 {
                text.push('+');
            }
            put(&mut text, attribute, whose)?;
        }
    }
    Ok(text)
}

fn put(
    text: &mut String,
    attribute: &AttributeTypeAndValue,
    whose: &'static str,
) -> Result<(), CertificateError> {
    let number = attribute.oid.to_string();
    let Some((_, name)) = NAMES.iter().find(|(known, _)| *known == number) else {
        let value = attribute.value.to_der()?;
        write!(text, "{number}=#{}", ves::hex::encode(&value)).expect("strings take text");
        return Ok(());
    };
    text.push_str(name);
    text.push('=');
    let value = &attribute.value;
    match value.tag() {
        Tag::Utf8String => escape(text, value.decode_as::<Utf8StringRef<'_>>()?.as_str()),
        Tag::PrintableString => escape(text, value.decode_as::<PrintableStringRef<'_>>()?.as_str()),
        Tag::Ia5String => escape(text, value.decode_as::<Ia5StringRef<'_>>()?.as_str()),
        _ => return Err(CertificateError::NameText(whose)),
    }
    Ok(())
}

/// The distinguished name of which `name` is all that is said: `CN=` and the name, escaped.
pub fn common_name(name: &str) -> String {
    let mut text = "CN=".to_owned();
    escape(&mut text, name);
    text
}

/// RFC 4514, section 2.4.
fn escape(text: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        match c {
            '\0' => text.push_str("\\00"),
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', c]),
            '#' if at == 0 => text.push_str("\\#"),
            ' ' if at == 0 || at == last => text.push_str("\\ "),
            _ => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dn: &str) -> String {
        text(&dn.parse().unwrap(), "subject").unwrap()
    }

    #[test]
    fn names_stand_as_rfc_4514_writes_them() {
        for same in
            ["CN=Acme,O=Acme GmbH,C=DE", "DC=example,DC=com", "CN=a\\,b\\+c\\\\d", "CN=\\#1", "CN=\\ a\\ "]
        {
            assert_eq!(of(same), same);
        }
        assert_eq!(of("cn=Lu\\C4\\8Di\\C4\\87"), "CN=Lučić", "section 4, last example");
        assert_eq!(
            of("CN=J. Smith+OU=Sales,DC=example"),
            "OU=Sales+CN=J. Smith,DC=example",
            "in DER's order of a set"
        );
        // A serial number has no name in section 3.
        assert_eq!(of("SERIALNUMBER=12"), "2.5.4.5=#13023132");
    }

    #[test]
    fn any_name_of_a_company_is_a_common_name() {
        for name in ["Acme", "Müller, Söhne & Co", " #1 = <a+b>; \"c\\d\" ", "#"] {
            let dn = common_name(name);
            let parsed: Name = dn.parse().unwrap();
            assert_eq!(parsed.0[0].0.get(0).unwrap().value.value(), name.as_bytes());
            assert_eq!(text(&parsed, "subject"), Ok(dn));
        }
    }

    #[test]
    fn an_empty_name_is_no_name() {
        assert_eq!(text(&Name::default(), "subject"), Err(CertificateError::NoName("subject")));
    }
}
