//! Members of payloads: what they must be, read once at the door.

use serde_json::{Map, Value};

use crate::money::{Money, is_currency};
use crate::refusal::Refusal;

/// Entries of a list in a state.
pub(crate) const LIST_ENTRIES_MAX: usize = 1000;
/// Arrays and objects within each other in a member that is kept as it is. JSON of at most 127 levels is read back, and a
/// member lies some levels deep in its record; a payload may have nearly as many as can be read.
pub(crate) const LEVELS_MAX: usize = 64;
/// What amounts are in where nothing names a currency (section 8).
pub(crate) const CURRENCY_DEFAULT: &str = "USD";

/// One member of a payload, and of the state it comes to lie in.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub need: Need,
    /// Whether it becomes a member of the state as it is; the others only feed the rule.
    pub kept: bool,
}

/// What a member must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Not empty.
    Text,
    /// A whole number from `min` to 2^63 - 1.
    Integer { min: i64 },
    /// A whole number from 0 to 2^64 - 1, kept as it is.
    Unsigned,
    /// The same as a number or as decimal digits, kept as text: a number loses digits where it is read as a double.
    Units,
    /// A currency of 3 to 12 capital letters or digits.
    Currency,
    /// An amount of the entity's currency; see [`Money::read`].
    Amount,
    /// Any object of at most 64 levels; kept as it is.
    Object,
    /// `[{product_id, quantity, unit_price}]`.
    Lines,
}

impl Kind {
    /// For the documentation.
    pub fn describe(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Integer { min: i64::MIN } => "integer".to_owned(),
            Self::Integer { min } => format!("integer from {min}"),
            Self::Unsigned => "integer from 0 to 2^64 - 1".to_owned(),
            Self::Units => "atomic units, to 2^64 - 1".to_owned(),
            Self::Currency => "currency".to_owned(),
            Self::Amount => "amount".to_owned(),
            Self::Object => "object".to_owned(),
            Self::Lines => "list of {product_id, quantity, unit_price}".to_owned(),
        }
    }
}

/// Whether a member may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Required,
    Optional,
    /// What stands for it when it is left out.
    Text(&'static str),
    Integer(i64),
    EmptyList,
    EmptyObject,
}

impl Need {
    fn value(self) -> Option<Value> {
        match self {
            Self::Required | Self::Optional => None,
            Self::Text(text) => Some(text.into()),
            Self::Integer(number) => Some(number.into()),
            Self::EmptyList => Some(Value::Array(Vec::new())),
            Self::EmptyObject => Some(Value::Object(Map::new())),
        }
    }
}

/// Members that were read, by name.
pub(crate) type Given = Vec<(&'static Field, Value)>;

/// Reads the `fields` of a payload. `null` is as good as absent. Members that no field names are left.
///
/// - `currency`: what the entity reckons in so far.
pub(crate) fn read(
    fields: &'static [Field],
    payload: &Value,
    currency: Option<&str>,
) -> Result<Given, Refusal> {
    let Value::Object(members) = payload else {
        return Err(Refusal::payload("$", "must be an object"));
    };
    let currency = currency_of(fields, members, currency)?;
    let mut given = Vec::with_capacity(fields.len());
    for field in fields {
        let path = || format!("$.{}", field.name);
        let value = match (members.get(field.name), field.kind) {
            (_, Kind::Currency) => Some(Value::String(currency.to_owned())),
            (None | Some(Value::Null), _) => match (field.need, field.kind) {
                (Need::Required, _) => return Err(Refusal::payload(&path(), "is required")),
                (need, Kind::Amount) => {
                    let stands = need.value().map(|value| amount(&path(), &value, currency));
                    stands.transpose()?
                }
                (need, _) => need.value(),
            },
            (Some(value), kind) => Some(read_one(&path(), kind, value, currency)?),
        };
        given.extend(value.map(|value| (field, value)));
    }
    Ok(given)
}

fn read_one(path: &str, kind: Kind, value: &Value, currency: &str) -> Result<Value, Refusal> {
    let wrong = |expected: &str| Refusal::payload(path, format_args!("must be {expected}"));
    match kind {
        Kind::Text => match value {
            Value::String(text) if !text.is_empty() => Ok(value.clone()),
            _ => Err(wrong("a text that is not empty")),
        },
        Kind::Integer { min } => {
            let number = value.as_i64().ok_or_else(|| wrong("a whole number of at most 2^63 - 1"))?;
            match number >= min {
                true => Ok(number.into()),
                false => Err(wrong(&format!("{min} or more"))),
            }
        }
        Kind::Unsigned => match value.as_u64() {
            Some(number) => Ok(number.into()),
            None => Err(wrong("a whole number from 0 to 2^64 - 1")),
        },
        Kind::Units => {
            let units: Option<u64> = match value {
                Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
                value => value.as_u64(),
            };
            units.map(|units| units.to_string().into()).ok_or_else(|| wrong("0 to 2^64 - 1 atomic units"))
        }
        Kind::Currency => Ok(currency.into()),
        Kind::Amount => amount(path, value, currency),
        Kind::Object => match value {
            Value::Object(_) if has_levels_at_most(LEVELS_MAX, value) => Ok(value.clone()),
            Value::Object(_) => Err(Refusal::invariant(format!(
                "{path}: has more than {LEVELS_MAX} arrays and objects within each other, which no state keeps"
            ))),
            _ => Err(wrong("an object")),
        },
        Kind::Lines => lines(path, value, currency),
    }
}

fn has_levels_at_most(levels: usize, value: &Value) -> bool {
    let inside = |value: &Value| has_levels_at_most(levels - 1, value);
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(inside),
        Value::Object(members) => levels > 0 && members.values().all(inside),
        _ => true,
    }
}

fn amount(path: &str, value: &Value, currency: &str) -> Result<Value, Refusal> {
    let money = Money::read(value, currency).map_err(|problem| Refusal::payload(path, problem))?;
    Ok(money.text())
}

/// The lines of an order or a return.
const LINE: [(&str, Kind, bool); 3] = [
    ("product_id", Kind::Text, true),
    ("quantity", Kind::Integer { min: 0 }, true),
    ("unit_price", Kind::Amount, false),
];

fn lines(path: &str, value: &Value, currency: &str) -> Result<Value, Refusal> {
    let Value::Array(lines) = value else {
        return Err(Refusal::payload(path, "must be a list of lines"));
    };
    if lines.len() > LIST_ENTRIES_MAX {
        return Err(Refusal::payload(path, format_args!("has more than {LIST_ENTRIES_MAX} entries")));
    }
    let line = |(at, line): (usize, &Value)| {
        let Value::Object(members) = line else {
            return Err(Refusal::payload(&format!("{path}[{at}]"), "must be an object"));
        };
        let mut read = Map::new();
        for (name, kind, is_required) in LINE {
            let path = || format!("{path}[{at}].{name}");
            let value = match members.get(name) {
                Some(value) if !value.is_null() => read_one(&path(), kind, value, currency)?,
                _ if is_required => return Err(Refusal::payload(&path(), "is required")),
                _ => amount(&path(), &Value::from(0), currency)?,
            };
            read.insert(name.to_owned(), value);
        }
        Ok(Value::Object(read))
    };
    lines.iter().enumerate().map(line).collect::<Result<Vec<_>, _>>().map(Value::Array)
}

/// What the amounts of this payload are in: what it names, else what its first amount names, else the entity's.
fn currency_of<'v>(
    fields: &[Field],
    members: &'v Map<String, Value>,
    known: Option<&'v str>,
) -> Result<&'v str, Refusal> {
    if !fields.iter().any(|field| field.kind == Kind::Currency) {
        return Ok(known.unwrap_or(CURRENCY_DEFAULT));
    }
    let amounts = || fields.iter().filter(|field| field.kind == Kind::Amount);
    let inside = || {
        amounts()
            .find_map(|field| Some((field.name, members.get(field.name)?.get("currency")?)))
            .map(|(name, value)| (format!("$.{name}.currency"), value))
    };
    let named = members.get("currency").filter(|value| !value.is_null());
    let Some((path, named)) = named.map(|value| ("$.currency".to_owned(), value)).or_else(inside) else {
        return Ok(known.unwrap_or(CURRENCY_DEFAULT));
    };
    let currency = named.as_str().filter(|text| is_currency(text)).ok_or_else(|| {
        Refusal::payload(&path, "must name a currency by 3 to 12 capital letters or digits, such as USD")
    })?;
    // Amounts that are there already are of the currency they were written in.
    let is_said_again = || amounts().all(|field| members.get(field.name).is_some_and(|v| !v.is_null()));
    match known {
        Some(known) if known != currency && !is_said_again() => {
            Err(Refusal::payload(&path, format_args!("is not {known}: give the amount with a new currency")))
        }
        _ => Ok(currency),
    }
}
