//! Documents that are made of what payloads say: states of entities, and why events were refused. And receivers of
//! webhooks, for their secrets.
//!
//! | what | stays in clear | sealed |
//! |---|---|---|
//! | states and earlier states | their keys | the text |
//! | receivers of webhooks | their keys | the text |
//! | dead letters and rejections | the text without its message | the whole text |
//!
//! So letters are listed, tried again and purged also without the key that sealed their messages. A seal is bound to the
//! table and the key. These documents change all the time: they are given another form by the one thread that writes.

use std::borrow::Cow;

use serde_json::{Map, Value};
use stateset_event_log::{Document, Table};
use ves::hash::Hasher;
use ves::{Digest, StoreId, TenantId};

/// Of the additional data, as the domain strings of VES section 19 are.
const AAD_DOMAIN: &[u8] = b"STATESET_DERIVED_ATREST_AAD_V1";

/// What stands for a text that is sealed as a whole.
const SEALED_TEXT: &str = r#"{"sealed":true}"#;

pub(crate) const TABLES: [Table; 5] = [
    Table::DeadLetters,
    Table::RejectedEvents,
    Table::ProjectionStates,
    Table::ProjectionSnapshots,
    Table::WebhookEndpoints,
];

pub(crate) fn is_derived(table: Table) -> bool {
    TABLES.contains(&table)
}

/// Whose a document is: all keys of these tables begin with a tenant, and all but those of rejections and
/// receivers go on with a store.
pub(crate) fn owner(table: Table, key: &[u8]) -> Option<(TenantId, Option<StoreId>)> {
    let (tenant, rest) = key.split_first_chunk()?;
    let store = match table {
        Table::RejectedEvents | Table::WebhookEndpoints => None,
        _ => Some(StoreId::from_bytes(*rest.first_chunk()?)),
    };
    Some((TenantId::from_bytes(*tenant), store))
}

pub(crate) fn aad(table: Table, key: &[u8]) -> Digest {
    Hasher::bare().bytes(AAD_DOMAIN).str(table.name()).bytes(key).finish()
}

/// The text of a document in clear without what payloads may stand in: nothing of one that is no letter.
pub(crate) fn open_part(table: Table, document: &Document) -> Cow<'static, str> {
    let message = match table {
        Table::DeadLetters => "error_message",
        Table::RejectedEvents => "message",
        _ => return Cow::Borrowed(SEALED_TEXT),
    };
    let without = |mut members: Map<String, Value>| {
        members.insert(message.to_owned(), Value::String(String::new()));
        serde_json::to_string(&members)
    };
    serde_json::from_str(&document.text).and_then(without).map_or(Cow::Borrowed(SEALED_TEXT), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_keeps_everything_but_its_message_in_clear() {
        let text = r#"{"entity_id":"o","error_message":"$.amount: 12 of a secret","expected_version":18446744073709551615}"#;
        let document = Document { key: vec![1; 40], text: text.to_owned(), content: Vec::new() };
        let open = open_part(Table::DeadLetters, &document);
        assert!(!open.contains("secret") && open.contains("18446744073709551615"), "{open}");
        assert_eq!(open_part(Table::ProjectionStates, &document), SEALED_TEXT);
        let broken = Document { text: "[]".to_owned(), ..document };
        assert_eq!(open_part(Table::RejectedEvents, &broken), SEALED_TEXT);
    }

    #[test]
    fn a_seal_of_one_place_is_not_that_of_another() {
        let keys: [&[u8]; 2] = [&[1; 40], &[2; 40]];
        assert_ne!(aad(Table::DeadLetters, keys[0]), aad(Table::DeadLetters, keys[1]));
        assert_ne!(aad(Table::DeadLetters, keys[0]), aad(Table::ProjectionStates, keys[0]));
        assert_eq!(owner(Table::RejectedEvents, &[1; 24]), Some((TenantId::from_bytes([1; 16]), None)));
        assert_eq!(owner(Table::DeadLetters, &[1; 24]), None);
    }
}
