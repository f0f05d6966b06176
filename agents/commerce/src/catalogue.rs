//! What is sold, and for how much.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Items of one catalogue.
const ITEMS_MAX: usize = 10_000;
const TEXT_BYTES_MAX: usize = 200;

/// Something on offer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    pub id: String,
    pub title: String,
    /// Minor units of the catalogue's currency.
    pub price: u64,
}

/// Everything on offer, in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    /// ISO 4217.
    pub currency: String,
    items: BTreeMap<String, Item>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    currency: String,
    items: Vec<Item>,
}

/// Why a catalogue is not one.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("currency: expected three capital letters, such as USD")]
    Currency,
    #[error("items[{index}].{problem}")]
    Item { index: usize, problem: String },
    #[error("items: expected 1 to {ITEMS_MAX}")]
    Count,
}

impl Catalogue {
    /// Reads `{"currency": "USD", "items": [{"id", "title", "price"}]}`; prices are whole minor units.
    ///
    /// # Errors
    /// [`CatalogueError`].
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let File { currency, items } = serde_json::from_str(text)?;
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(CatalogueError::Currency);
        }
        if !(1..=ITEMS_MAX).contains(&items.len()) {
            return Err(CatalogueError::Count);
        }
        let mut all = BTreeMap::new();
        for (index, item) in items.into_iter().enumerate() {
            let bad = |problem: &str| Err(CatalogueError::Item { index, problem: problem.to_owned() });
            let is_id = !item.id.is_empty()
                && item.id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
            if !is_id || item.id.len() > TEXT_BYTES_MAX {
                return bad("id: expected letters, digits, - _ .");
            }
            if item.title.is_empty() || item.title.len() > TEXT_BYTES_MAX {
                return bad("title: expected 1 to 200 bytes");
            }
            if item.price == 0 {
                return bad("price: expected 1 or more minor units");
            }
            if all.contains_key(&item.id) {
                return bad("id: it is there twice");
            }
            all.insert(item.id.clone(), item);
        }
        Ok(Self { currency, items: all })
    }

    pub fn item(&self, id: &str) -> Option<&Item> {
        self.items.get(id)
    }
}
