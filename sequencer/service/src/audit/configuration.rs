//! `config_updated`: a term began with another configuration than the one before.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use stateset_event_log::Table;

use super::{Act, Action, chain};
use crate::error::ServiceError;
use crate::sequencer::Sequencer;

/// Key of the configuration that was recorded last.
const CONFIGURATION_KEY: &[u8] = b"config";

impl Sequencer {
    /// Records what changed of the settings since they were last recorded; nothing where nothing did. `effective` holds
    /// no secrets: of those it says whether they are set.
    pub async fn record_configuration(
        &self,
        effective: BTreeMap<String, String>,
    ) -> Result<(), ServiceError> {
        if !self.is_audited() {
            return Ok(());
        }
        let found = self.document(Table::AuditLog, CONFIGURATION_KEY).await?;
        let before: BTreeMap<String, String> =
            found.and_then(|document| serde_json::from_str(&document.text).ok()).unwrap_or_default();
        if before == effective {
            return Ok(());
        }
        let act = Act::new(Action::ConfigUpdated)
            .on("configuration", "settings")
            .with(changes(&before, &effective));
        let text =
            serde_json::to_string(&effective).map_err(|error| ServiceError::Internal(error.to_string()))?;
        self.put_documents_as(act, vec![chain::put(CONFIGURATION_KEY.to_vec(), text)]).await
    }
}

/// Each setting that is another one now, with both values. The first configuration of all is only counted.
fn changes(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Value {
    if before.is_empty() {
        return json!({ "first": true, "settings": now.len() });
    }
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let changed = names.into_iter().filter(|name| before.get(*name) != now.get(*name));
    let pairs = changed.map(|name| (name.clone(), json!({ "from": before.get(name), "to": now.get(name) })));
    json!({ "changed": pairs.collect::<Map<String, Value>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_named() {
        let settings = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let before = settings(&[("A", "1"), ("B", "2"), ("C", "3")]);
        let now = settings(&[("A", "1"), ("B", "20"), ("D", "4")]);
        let expected = json!({ "changed": {
            "B": { "from": "2", "to": "20" }, "C": { "from": "3", "to": null }, "D": { "from": null, "to": "4" },
        } });
        assert_eq!(changes(&before, &now), expected);
        assert_eq!(changes(&BTreeMap::new(), &now), json!({ "first": true, "settings": 3 }));
    }
}
