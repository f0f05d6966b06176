//! Parameters by name, from JSON or from a query string. Numbers come as numbers or as strings, as Go clients send them.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use serde_json::Value;

use super::RpcError;

#[derive(Debug, Default, PartialEq)]
pub(super) struct Params {
    values: BTreeMap<String, Value>,
    /// From a query string: bytes are `0x…` or `"text"`.
    by_path: bool,
}

impl Params {
    pub(super) fn from_json(params: Option<&Value>) -> Result<Self, RpcError> {
        match params {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(Value::Object(values)) => Ok(Self {
                values: values.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
                by_path: false,
            }),
            Some(_) => Err(RpcError::params("params must be an object with names")),
        }
    }

    pub(super) fn from_query(query: &str) -> Result<Self, RpcError> {
        let mut values = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value =
                decode(value).ok_or_else(|| RpcError::params(format!("{name} is not URL-encoded text")))?;
            values.insert(name.to_owned(), Value::String(value));
        }
        Ok(Self { values, by_path: true })
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, RpcError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if self.by_path => {
                let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                Ok(Some(quoted.unwrap_or(text).to_owned()))
            }
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(RpcError::params(format!("{name} must be a string"))),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, RpcError> {
        let wrong = || RpcError::params(format!("{name} must be a whole number, not below 0"));
        match self.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => number.as_u64().map(Some).ok_or_else(wrong),
            Some(Value::String(text)) => match text.trim_matches('"') {
                "" => Ok(None),
                text => text.parse().map(Some).map_err(|_| wrong()),
            },
            Some(_) => Err(wrong()),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, RpcError> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(_) => Err(RpcError::params(format!("{name} must be true or false"))),
        }
    }

    /// Base64 as transactions have it in JSON.
    pub(super) fn base64(&self, name: &str) -> Result<Option<Vec<u8>>, RpcError> {
        self.bytes(name, |text| Base64::decode_vec(text).ok(), "base64")
    }

    /// Hexadecimal as queries have it in JSON.
    pub(super) fn hex(&self, name: &str) -> Result<Option<Vec<u8>>, RpcError> {
        self.bytes(name, unhex, "hexadecimal")
    }

    fn bytes(
        &self,
        name: &str,
        decode: impl Fn(&str) -> Option<Vec<u8>>,
        form: &str,
    ) -> Result<Option<Vec<u8>>, RpcError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let text =
            value.as_str().ok_or_else(|| RpcError::params(format!("{name} must be a string of {form}")))?;
        let decoded = match self.by_path {
            true if text.starts_with('"') => {
                text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).map(Vec::from)
            }
            true => text.strip_prefix("0x").and_then(unhex),
            false => decode(text),
        };
        let form = if self.by_path { "0x… or \"text\"" } else { form };
        decoded.map(Some).ok_or_else(|| RpcError::params(format!("{name} must be {form}")))
    }
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    let (pairs, rest) = digits.as_ref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                (digit(rest.next())? << 4 | digit(rest.next())?) as u8
            }
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_read_as_clients_send_them() {
        let json = Params::from_json(Some(
            &json!({"height": "7", "page": 2, "tx": "YT1i", "data": "6162", "x": true}),
        ));
        let json = json.expect("an object");
        assert_eq!(
            (json.number("height"), json.number("page"), json.number("none")),
            (Ok(Some(7)), Ok(Some(2)), Ok(None))
        );
        assert_eq!((json.base64("tx"), json.hex("data")), (Ok(Some(b"a=b".into())), Ok(Some(b"ab".into()))));
        assert!(json.number("tx").is_err() && json.hex("tx").is_err() && json.text("x").is_err());
        assert!(Params::from_json(Some(&json!([1]))).is_err());

        let path = Params::from_query(
            "height=7&query=%22tx.height%3D5%22&tx=0x613d62&key=\"a+b\"&prove=true&bad=%zz",
        );
        assert!(path.is_err());
        let path =
            Params::from_query("height=7&query=%22tx.height%3D5%22&tx=0x613d62&key=\"a+b\"&prove=true")
                .expect("ok");
        assert_eq!(path.text("query"), Ok(Some("tx.height=5".into())));
        assert_eq!((path.base64("tx"), path.hex("key")), (Ok(Some(b"a=b".into())), Ok(Some(b"a b".into()))));
        assert_eq!((path.flag("prove"), path.number("height")), (Ok(true), Ok(Some(7))));
    }
}
