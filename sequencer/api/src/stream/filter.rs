//! Which events a listener wants.

use crate::error::ApiError;

/// Most types that one list names: each event is asked about each.
const TYPES_MAX: usize = 100;
/// Longest name of a type, as in an event.
const TYPE_BYTES_MAX: usize = 256;

/// Longest list, in characters: two of them in percent-encoding fit the line of a request.
pub(crate) const TYPE_LIST_CHARS_MAX: u64 = 2_000;

/// Types by name, or by what their names begin with: `order.created`, `order.*`. An empty list wants all.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    event_types: Vec<String>,
    entity_types: Vec<String>,
}

impl Filter {
    /// Of two lists of names with commas between.
    pub fn new(event_types: Option<&str>, entity_types: Option<&str>) -> Result<Self, ApiError> {
        Ok(Self {
            event_types: names("event_type", event_types)?,
            entity_types: names("entity_type", entity_types)?,
        })
    }

    pub fn wants(&self, event_type: &str, entity_type: &str) -> bool {
        is_named(&self.event_types, event_type) && is_named(&self.entity_types, entity_type)
    }
}

fn is_named(names: &[String], found: &str) -> bool {
    names.is_empty()
        || names.iter().any(|name| match name.strip_suffix('*') {
            Some(begin) => found.starts_with(begin),
            None => name == found,
        })
}

fn names(field: &str, list: Option<&str>) -> Result<Vec<String>, ApiError> {
    let Some(list) = list else { return Ok(Vec::new()) };
    if list.chars().count() as u64 > TYPE_LIST_CHARS_MAX {
        return Err(ApiError::invalid(
            field,
            format_args!("expected at most {TYPE_LIST_CHARS_MAX} characters"),
        ));
    }
    let names: Vec<String> = list.split(',').map(|name| name.trim().to_owned()).collect();
    if names.len() > TYPES_MAX {
        let problem = format_args!("{} names, at most {TYPES_MAX} are taken", names.len());
        return Err(ApiError::invalid(field, problem));
    }
    match names.iter().all(|name| (1..=TYPE_BYTES_MAX).contains(&name.len())) {
        true => Ok(names),
        false => Err(ApiError::invalid(field, "expected names of types with commas between them")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_wanted_by_name_or_by_their_beginning() {
        let filter = Filter::new(Some("order.created, invoice.*"), Some("order,invoice")).expect("a filter");
        assert!(filter.wants("order.created", "order") && filter.wants("invoice.paid", "invoice"));
        assert!(!filter.wants("order.created", "item") && !filter.wants("order.created.late", "order"));
        assert!(!filter.wants("invoice", "invoice"));
        assert!(Filter::default().wants("anything", "at all"));
        assert!(Filter::new(Some("*"), None).expect("a filter").wants("anything", "at all"));
    }

    #[test]
    fn lists_are_bounded_and_name_something() {
        let many = vec!["a"; TYPES_MAX + 1].join(",");
        let long = "a".repeat(TYPE_BYTES_MAX + 1);
        for list in ["", "a,,b", "a,", many.as_str(), long.as_str()] {
            assert!(
                Filter::new(Some(list), None).is_err() && Filter::new(None, Some(list)).is_err(),
                "{list}"
            );
        }
    }
}
