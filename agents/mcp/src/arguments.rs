//! Arguments of a call, read once at the door by the rows of the table.

use serde_json::{Map, Value};

use crate::answer::CallError;
use crate::money::{Money, exponent_of, is_currency, units};
use crate::table::{Argument, Kind, Need, Tool};

/// Entries of a list of lines.
const LINES_MAX: usize = 1000;
/// Bytes of an object that is kept as it is.
const OBJECT_BYTES_MAX: usize = 64 << 10;
/// Arrays and objects within each other in such an object.
const LEVELS_MAX: usize = 32;
const ID_BYTES_MAX: usize = 256;
const CURSOR_BYTES_MAX: usize = 2048;
/// Largest integer that every reader of JSON keeps exact (2^53 - 1).
pub const EXACT_MAX: i64 = (1 << 53) - 1;
pub const PAGE_SIZE_MAX: usize = 100;
const PAGE_SIZE_DEFAULT: usize = 20;

/// Arguments that are as the table says. Members that were `null` are absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Given(Map<String, Value>);

impl Given {
    /// Reads the arguments of a call.
    ///
    /// # Errors
    /// [`CallError::Argument`] for the first that is missing, unknown, or not of its kind.
    pub fn read(tool: &Tool, given: Option<Map<String, Value>>) -> Result<Self, CallError> {
        let mut given = given.unwrap_or_default();
        given.retain(|_, value| !value.is_null());
        if let Some(unknown) = given.keys().find(|name| tool.all_arguments().all(|known| known.name != *name))
        {
            let known: Vec<&str> = tool.all_arguments().map(|argument| argument.name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(CallError::argument(
                unknown.chars().take(64).collect::<String>(),
                format!("is no argument of {}; it has {known}", tool.name),
            ));
        }
        let unit = unit_of(tool, &given)?;
        for argument in tool.all_arguments() {
            match (given.get(argument.name), argument.need) {
                (Some(value), _) => check(argument, value, unit)?,
                (None, Need::Required) => return Err(CallError::argument(argument.name, "is required")),
                (None, Need::Optional) => {}
            }
        }
        Ok(Self(given))
    }

    /// The same call with this text for an argument.
    pub fn with(&self, name: &str, text: &str) -> Self {
        let mut given = self.0.clone();
        given.insert(name.to_owned(), text.into());
        Self(given)
    }
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_i64)
    }
    pub fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }
    /// The last millisecond of a day, Unix milliseconds.
    pub fn day_end_ms(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(day_end_ms)
    }
    pub fn page_size(&self) -> usize {
        self.integer("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_SIZE_DEFAULT)
    }
    /// An amount in the currency of the call; `None` where it is left out.
    pub fn money(&self, name: &str) -> Option<Money> {
        self.text(name)
            .zip(self.text("currency"))
            .and_then(|(text, currency)| Money::read(text, currency).ok())
    }

    /// The sum of the lines in the currency of the call.
    ///
    /// # Errors
    /// [`CallError::Argument`] where it is too large to be an amount.
    pub fn sum_of_lines(&self) -> Result<Option<Money>, CallError> {
        let (Some(lines), Some(currency)) =
            (self.0.get("line_items").and_then(Value::as_array), self.text("currency"))
        else {
            return Ok(None);
        };
        let line = |line: &Value| {
            let quantity = line.get("quantity")?.as_u64()?;
            let price = line.get("unit_price").and_then(Value::as_str).unwrap_or("0");
            u128::from(quantity).checked_mul(u128::from(Money::read(price, currency).ok()?.minor))
        };
        let sum = lines.iter().try_fold(0_u128, |sum, entry| sum.checked_add(line(entry)?));
        let minor = sum.and_then(|sum| i64::try_from(sum).ok()).and_then(|minor| u64::try_from(minor).ok());
        let minor = minor
            .ok_or_else(|| CallError::argument("line_items", "are worth more than an amount can say"))?;
        Ok(Some(Money { minor, currency: currency.to_owned() }))
    }
}

/// What the amounts of a call are in.
#[derive(Debug, Clone, Copy)]
struct Unit {
    exponent: u32,
}

/// The unit of the amounts: that of `currency`, or of `asset`. `None` where the call has no amounts.
fn unit_of(tool: &Tool, given: &Map<String, Value>) -> Result<Option<Unit>, CallError> {
    let is_amount = |argument: &&Argument| matches!(argument.kind, Kind::Amount | Kind::Lines);
    let Some(amount) =
        tool.arguments.iter().filter(is_amount).find(|argument| given.contains_key(argument.name))
    else {
        return Ok(None);
    };
    let is_of_asset = tool.arguments.iter().any(|argument| argument.name == "asset");
    let (field, name) = match is_of_asset {
        true => ("asset", given.get("asset").and_then(Value::as_str).map(str::to_ascii_uppercase)),
        false => ("currency", given.get("currency").and_then(Value::as_str).map(str::to_owned)),
    };
    match name.filter(|name| is_currency(name)) {
        Some(name) => Ok(Some(Unit { exponent: exponent_of(&name) })),
        None if given.contains_key(field) => Err(CallError::argument(field, currency_problem())),
        None => Err(CallError::argument(field, format!("is required beside {}", amount.name))),
    }
}

fn currency_problem() -> &'static str {
    "must name a currency by 3 to 12 capital letters or digits, such as USD"
}

fn check(argument: &Argument, value: &Value, unit: Option<Unit>) -> Result<(), CallError> {
    let Argument { name, kind, .. } = argument;
    let wrong = |problem: String| Err(CallError::argument(*name, problem));
    match kind {
        Kind::Lines => return check_lines(name, value, unit),
        Kind::Choice(words) => {
            if !value.as_str().is_some_and(|text| words.contains(&text)) {
                return wrong(format!("must be one of {}", words.join(", ")));
            }
        }
        Kind::Amount => return check_amount(name, value, unit),
        kind => {
            if let Some(problem) = problem_of(*kind, value) {
                return wrong(problem);
            }
        }
    }
    Ok(())
}

/// What is wrong with a value of a kind that needs no other argument.
fn problem_of(kind: Kind, value: &Value) -> Option<String> {
    let whole = |min: i64, max: i64| {
        let fits = value.as_i64().is_some_and(|number| (min..=max).contains(&number));
        (!fits).then(|| format!("must be a whole number from {min} to {max}"))
    };
    let text = |bytes_max: usize| match value.as_str() {
        Some(text) if (1..=bytes_max).contains(&text.len()) && !text.contains('\0') => None,
        _ => Some(format!("must be a text of 1 to {bytes_max} bytes without NUL")),
    };
    match kind {
        Kind::Id => match value.as_str() {
            Some(text) if (1..=ID_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control) => {
                None
            }
            _ => Some(format!("must be a text of 1 to {ID_BYTES_MAX} bytes without control characters")),
        },
        Kind::Text { bytes_max } => text(bytes_max),
        Kind::Cursor => text(CURSOR_BYTES_MAX),
        Kind::Currency => (!value.as_str().is_some_and(is_currency)).then(|| currency_problem().to_owned()),
        Kind::Count { min } => whole(min, EXACT_MAX),
        Kind::Change => whole(-EXACT_MAX, EXACT_MAX),
        Kind::PageSize => whole(1, PAGE_SIZE_MAX as i64),
        Kind::Day => value
            .as_str()
            .and_then(day_end_ms)
            .is_none()
            .then(|| "must be a day such as 2030-01-31".to_owned()),
        Kind::Flag => (!value.is_boolean()).then(|| "must be true or false".to_owned()),
        Kind::Uuid => {
            let is_uuid =
                value.as_str().is_some_and(|text| text.len() == 36 && uuid::Uuid::try_parse(text).is_ok());
            (!is_uuid).then(|| "must be a UUID such as 018f0f6e-7a1b-7c3d-9e5f-001122334455".to_owned())
        }
        Kind::Address => {
            let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
            let is_address = digits.is_some_and(|hex| {
                matches!(hex.len(), 40 | 64) && hex.bytes().all(|b| b.is_ascii_hexdigit())
            });
            (!is_address).then(|| "must be 0x and 40 or 64 hex digits".to_owned())
        }
        Kind::Object | Kind::Proof => object_problem(value),
        Kind::Choice(_) | Kind::Amount | Kind::Lines => None,
    }
}

/// The last millisecond of a day that is written as `2030-01-31`, from 1970 on.
fn day_end_ms(text: &str) -> Option<u64> {
    let is_day = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let end = ves::TimestampMs::parse_rfc3339(&format!("{text}T23:59:59.999Z")).filter(|_| is_day);
    end.and_then(|end| u64::try_from(end.0).ok())
}

fn object_problem(value: &Value) -> Option<String> {
    if !value.is_object() {
        return Some("must be an object".to_owned());
    }
    if !has_levels_at_most(LEVELS_MAX, value) {
        return Some(format!("has more than {LEVELS_MAX} arrays and objects within each other"));
    }
    let bytes = value.to_string().len();
    (bytes > OBJECT_BYTES_MAX).then(|| format!("has {bytes} bytes, at most {OBJECT_BYTES_MAX} are taken"))
}

fn has_levels_at_most(levels: usize, value: &Value) -> bool {
    let inside = |value: &Value| has_levels_at_most(levels - 1, value);
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(inside),
        Value::Object(members) => levels > 0 && members.values().all(inside),
        _ => true,
    }
}

fn check_amount(path: &str, value: &Value, unit: Option<Unit>) -> Result<(), CallError> {
    let Some(text) = value.as_str() else {
        return Err(CallError::argument(path, "must be a decimal text such as \"12.50\", not a number"));
    };
    let Some(Unit { exponent }) = unit else {
        return Err(CallError::argument("currency", format!("is required beside {path}")));
    };
    units(text, exponent).map(|_| ()).map_err(|problem| CallError::argument(path, problem))
}

fn check_lines(path: &str, value: &Value, unit: Option<Unit>) -> Result<(), CallError> {
    let Value::Array(lines) = value else {
        return Err(CallError::argument(path, "must be a list of {product_id, quantity, unit_price}"));
    };
    if lines.len() > LINES_MAX {
        return Err(CallError::argument(
            path,
            format!("has {} entries, at most {LINES_MAX} are taken", lines.len()),
        ));
    }
    for (at, line) in lines.iter().enumerate() {
        let path = format!("{path}[{at}]");
        let Value::Object(members) = line else {
            return Err(CallError::argument(path, "must be an object {product_id, quantity, unit_price}"));
        };
        let named = |name: &str| format!("{path}.{name}");
        if let Some(unknown) =
            members.keys().find(|name| !matches!(name.as_str(), "product_id" | "quantity" | "unit_price"))
        {
            let unknown: String = unknown.chars().take(64).collect();
            return Err(CallError::argument(named(&unknown), "is no member of a line"));
        }
        for (name, kind) in [("product_id", Kind::Id), ("quantity", Kind::Count { min: 1 })] {
            let Some(value) = members.get(name) else {
                return Err(CallError::argument(named(name), "is required"));
            };
            if let Some(problem) = problem_of(kind, value) {
                return Err(CallError::argument(named(name), problem));
            }
        }
        let price = members.get("unit_price");
        let price = price.ok_or_else(|| CallError::argument(named("unit_price"), "is required"))?;
        check_amount(&named("unit_price"), price, unit)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::table::{TOOLS, tool};

    fn read(name: &str, value: Value) -> Result<Given, CallError> {
        Given::read(tool(name).unwrap(), value.as_object().cloned())
    }

    fn field(name: &str, value: Value) -> String {
        match read(name, value) {
            Err(CallError::Argument { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_bad_argument_is_named() {
        let order = |more: Value| {
            let mut order = json!({"customer_id": "c", "currency": "USD", "total_amount": "1.00"});
            order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            order
        };
        assert!(read("order_create", order(json!({}))).is_ok());
        assert_eq!(field("order_create", json!({"currency": "USD", "total_amount": "1"})), "customer_id");
        assert_eq!(field("order_create", order(json!({"total_amount": 1.5}))), "total_amount");
        assert_eq!(field("order_create", order(json!({"total_amount": "1.005"}))), "total_amount");
        assert_eq!(field("order_create", order(json!({"total_amount": "-1"}))), "total_amount");
        assert_eq!(field("order_create", order(json!({"currency": "usd"}))), "currency");
        assert_eq!(field("order_create", order(json!({"discount": "1"}))), "discount");
        assert_eq!(field("order_create", order(json!({"customer_id": "a\u{0}b"}))), "customer_id");
        assert_eq!(field("order_create", order(json!({"idempotency_key": ""}))), "idempotency_key");
        let line = |line: Value| {
            order(json!({"line_items": [{"product_id": "p", "quantity": 1, "unit_price": "1"}, line]}))
        };
        assert_eq!(
            field("order_create", line(json!({"product_id": "p", "unit_price": "1"}))),
            "line_items[1].quantity"
        );
        assert_eq!(
            field("order_create", line(json!({"product_id": "p", "quantity": 1, "unit_price": 2}))),
            "line_items[1].unit_price"
        );
        assert_eq!(field("product_update", json!({"product_id": "p", "price": "2.00"})), "currency");
        assert_eq!(field("order_list", json!({"limit": 101})), "limit");
        assert_eq!(field("order_list", json!({"status": "lost"})), "status");
        assert_eq!(field("receipt_get", json!({"event_id": "1"})), "event_id");
        let invoice =
            |due: &str| json!({"counterparty": "globex", "number": "1", "currency": "USD", "due_date": due});
        assert!(read("invoice_create", invoice("2030-01-31")).is_ok());
        for due in ["2030-02-30", "2030-1-1", "31.01.2030", "2030-01-31T00:00:00Z", "1969-12-31"] {
            assert_eq!(field("invoice_create", invoice(due)), "due_date", "{due}");
        }
        assert_eq!(field("invoice_pay", json!({"invoice": "1", "amount": "1.00"})), "currency");
        assert_eq!(field("sync_status", json!({"x": 1})), "x");
        assert_eq!(field("payment_intent_create", json!({"amount": "1", "network": "arc"})), "asset");
    }

    #[test]
    fn lines_are_summed_exactly_or_refused() {
        let order = |quantity: u64, price: &str| {
            let lines = json!([{"product_id": "p", "quantity": quantity, "unit_price": price}]);
            json!({"customer_id": "c", "currency": "USD", "total_amount": "0", "line_items": lines})
        };
        let sum = read("order_create", order(3, "0.10")).unwrap().sum_of_lines().unwrap().unwrap();
        assert_eq!(sum.to_string(), "0.30 USD");
        let too_large = read("order_create", order(1 << 52, "90000000000000.00")).unwrap().sum_of_lines();
        assert!(matches!(too_large, Err(CallError::Argument { field, .. }) if field == "line_items"));
    }

    proptest! {
        #[test]
        fn no_arguments_panic(name in "[a-z_]{1,20}", value in any_json()) {
            for tool in TOOLS.iter().flat_map(|group| group.iter()) {
                let mut given = Map::new();
                given.insert(name.clone(), value.clone());
                for argument in tool.all_arguments() {
                    given.insert(argument.name.to_owned(), value.clone());
                }
                let _ = Given::read(tool, Some(given));
            }
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z_]{1,10}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }
}
