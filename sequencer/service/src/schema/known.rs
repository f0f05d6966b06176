//! What is known of the schemas of event types, held while it is used: bounded by number, size and age.

use std::sync::Arc;

use ves::TenantId;

use super::SchemaSettings;
use super::compiled::Compiled;
use crate::cache::{Cache, CacheSize};

/// Bytes of schema text whose compiled forms are held at once; a compiled form is several times as large.
const BYTES_MAX: usize = 32 << 20;
/// What an entry without a schema counts for.
const EMPTY_BYTES: usize = 256;

/// What is known of an event type.
#[derive(Debug, Clone)]
pub(super) enum Known {
    /// It has no schema in force.
    None,
    Schema(Arc<Compiled>),
    /// Its schema was admitted by another release, and is not by this one.
    Unusable(Arc<str>),
}

impl Known {
    fn bytes(&self) -> usize {
        match self {
            Self::Schema(compiled) => compiled.bytes(),
            Self::None | Self::Unusable(_) => EMPTY_BYTES,
        }
    }
}

/// By tenant and event type.
pub(super) type KnownTypes = Cache<(TenantId, String), Known>;

pub(super) fn cache(settings: &SchemaSettings) -> KnownTypes {
    let size = CacheSize { entries_max: settings.cache_entries_max, age_max: settings.cache_age_max };
    Cache::weighed(size, BYTES_MAX, Known::bytes)
}
