//! Amounts of the ledger as a person writes them: decimals of the main unit, where the ledger counts minor units.

use std::fmt;

use serde::{Deserialize, Serialize};
use stateset_ledger_types::bank::DenomRecord;
use stateset_ledger_types::ids::{Amount, Denom, Units};
use stateset_node_client::NodeApi;
use ves_stark_primitives::decimal::minor_units_wide;

use crate::error::CliError;

/// An amount with the decimal places of its denomination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    pub amount: Amount,
    exponent: u8,
}

/// As programs read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyView {
    pub currency: String,
    /// In the main unit, as `12.50`.
    pub amount: String,
    /// In the smallest unit.
    pub units: Units,
}

/// A denomination that the ledger has.
#[derive(Debug, Clone)]
pub struct Currency(DenomRecord);

impl Currency {
    /// # Errors
    /// Where the ledger has none of that name.
    pub fn of(api: &NodeApi, name: &str) -> Result<Self, CliError> {
        let wrong = |problem| CliError::input("BAD_CURRENCY", format!("--currency {name}: {problem}"));
        let denom = Denom::new(name).map_err(wrong)?;
        api.get::<DenomRecord>(&format!("/denoms/{denom}"), &[]).map(Self).map_err(|error| {
            let error = CliError::from(error);
            match error.code.as_str() {
                "NOT_FOUND" => CliError::input("BAD_CURRENCY", error.message)
                    .hint("a ledger of this machine begins with usd and eur; others are added by a proposal"),
                _ => error,
            }
        })
    }

    /// # Errors
    /// BAD_AMOUNT for what is no amount of it.
    pub fn read(&self, option: &str, text: &str) -> Result<Money, CliError> {
        let wrong =
            |problem: &dyn fmt::Display| CliError::input("BAD_AMOUNT", format!("{option} {text}: {problem}"));
        let units = minor_units_wide(text, self.0.exponent).map_err(|problem| wrong(&problem))?;
        let too_large = || wrong(&"the amount does not fit in 128 bits of minor units");
        Ok(self.of_units(Units(units.ok_or_else(too_large)?)))
    }

    /// The same for an amount that has to be more than nothing.
    ///
    /// # Errors
    /// BAD_AMOUNT.
    pub fn read_positive(&self, option: &str, text: &str) -> Result<Money, CliError> {
        let money = self.read(option, text)?;
        if money.amount.units.0 == 0 {
            let said = format!("{option} {text}: give more than zero {}", self.0.denom);
            return Err(CliError::input("BAD_AMOUNT", said));
        }
        Ok(money)
    }

    pub fn of_units(&self, units: Units) -> Money {
        Money { amount: Amount { denom: self.0.denom.clone(), units }, exponent: self.0.exponent }
    }
}

impl Money {
    /// In the main unit, without the currency.
    pub fn decimal(&self) -> String {
        self.amount.units.decimal(self.exponent)
    }

    pub fn view(&self) -> MoneyView {
        let currency = self.amount.denom.to_string();
        MoneyView { currency, amount: self.decimal(), units: self.amount.units }
    }
}

/// `12.50 usd`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.amount.denom)
    }
}
