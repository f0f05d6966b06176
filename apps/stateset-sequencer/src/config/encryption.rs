//! Keys of what is sealed in the database. No problem repeats a key.

use super::Problem;
use super::gather::Gathered;
use crate::joined::AtRest;

/// Keys and mode, as the settings say.
#[cfg(feature = "encryption")]
pub fn at_rest(gathered: &Gathered, problems: &mut Vec<Problem>) -> AtRest {
    use std::collections::BTreeSet;

    use stateset_at_rest::{Key, KeyName, Keys, Mode};

    use super::settings::is_word;
    use super::value::bytes32;

    let (one, many, by_tenant, lost) = (
        "PAYLOAD_ENCRYPTION_KEY",
        "PAYLOAD_ENCRYPTION_KEYS",
        "PAYLOAD_ENCRYPTION_KEYS_BY_TENANT",
        "PAYLOAD_ENCRYPTION_LOST_KEYS",
    );
    if gathered.set(one).is_some() && gathered.set(many).is_some() {
        problems.push(Problem::new(
            many,
            "PAYLOAD_ENCRYPTION_KEY is set too; write all keys here, the newest first, and leave that one out",
        ));
    }
    // Their form was checked.
    let list = gathered.set(one).or(gathered.set(many)).unwrap_or_default();
    let common: Vec<Key> = list.split(',').filter_map(|text| bytes32(text.trim())).collect();
    let tenants = match gathered.set(by_tenant).map(keys_by_tenant).transpose() {
        Ok(tenants) => tenants.unwrap_or_default(),
        Err(problem) => {
            problems.push(Problem::new(by_tenant, &problem));
            Default::default()
        }
    };
    let mut given_up = BTreeSet::new();
    for name in gathered.list(lost) {
        match name.parse::<KeyName>() {
            Ok(name) => drop(given_up.insert(name)),
            Err(_) => problems
                .push(Problem::new(lost, "a key's name is 16 hexadecimal digits, as the start names it")),
        }
    }
    let mode = match () {
        () if is_word(gathered, "PAYLOAD_ENCRYPTION_MODE", "required") => Mode::Required,
        () if is_word(gathered, "PAYLOAD_ENCRYPTION_MODE", "optional") => Mode::Optional,
        () => Mode::Disabled,
    };
    match Keys::new(mode, &common, &tenants, given_up) {
        Ok(keys) => AtRest::new(keys),
        Err(error) => {
            problems.push(Problem::new("PAYLOAD_ENCRYPTION_MODE", &error.to_string()));
            AtRest::default()
        }
    }
}

/// `{"TENANT": ["KEY", …], …}`, or one key instead of a list. What is wrong is said without a word of the text.
#[cfg(feature = "encryption")]
fn keys_by_tenant(
    text: &str,
) -> Result<std::collections::BTreeMap<ves::TenantId, Vec<stateset_at_rest::Key>>, String> {
    use std::collections::BTreeMap;

    /// Borrowed, so that no copy of a key is left behind.
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum One<'a> {
        #[serde(borrow)]
        Key(&'a str),
        Keys(Vec<&'a str>),
    }

    let form = "expected a JSON object of tenant ids, each with a list of keys, the newest first";
    let read: BTreeMap<&str, One<'_>> = serde_json::from_str(text).map_err(|_| form.to_owned())?;
    let mut tenants = BTreeMap::new();
    for (place, (tenant, keys)) in (1..).zip(read) {
        let tenant =
            tenant.parse().map_err(|_| format!("entry {place} is not named by a tenant id; {form}"))?;
        let keys = match keys {
            One::Key(key) => vec![key],
            One::Keys(keys) => keys,
        };
        let keys = keys.iter().map(|key| {
            super::value::bytes32(key.trim())
                .ok_or_else(|| format!("a key of tenant {tenant} is not 32 bytes in hexadecimal or base64"))
        });
        tenants.insert(tenant, keys.collect::<Result<_, _>>()?);
    }
    Ok(tenants)
}

/// A build that cannot seal must not go on as if it did.
#[cfg(not(feature = "encryption"))]
pub fn at_rest(gathered: &Gathered, problems: &mut Vec<Problem>) -> AtRest {
    if !super::settings::is_word(gathered, "PAYLOAD_ENCRYPTION_MODE", "disabled") {
        problems.push(Problem::new(
            "PAYLOAD_ENCRYPTION_MODE",
            "this program was built without the feature encryption; use disabled",
        ));
    }
    AtRest
}
