//! Texts and lengths.

use serde_json::Value;

use super::Comparison;
use super::known::{Known, count};

impl<'a> Comparison<'a> {
    pub(super) fn text_holds(
        &mut self,
        wide: &'a Value,
        keyword: &str,
        value: &Value,
        known: &Known<'a>,
    ) -> bool {
        match keyword {
            "minLength" => self.least_holds(wide, keyword, value, known.at_least(keyword)),
            "maxLength" => self.most_holds(wide, keyword, value, known.at_most(keyword)),
            _ => {
                if known.maps().any(|map| map.get(keyword) == Some(value)) {
                    return true;
                }
                let what = format!("{} does not have the same {keyword} here", self.other());
                self.refuse(wide, keyword, &what)
            }
        }
    }

    /// A bound from below, of something that has at least `known`.
    pub(super) fn least_holds(&mut self, wide: &'a Value, keyword: &str, value: &Value, known: u64) -> bool {
        match count(value) {
            Some(least) if known >= least => true,
            _ => {
                let what = format!("at least {value} is asked for, and {} admits {known}", self.other());
                self.refuse(wide, keyword, &what)
            }
        }
    }

    /// A bound from above, of something that has at most `known`.
    pub(super) fn most_holds(
        &mut self,
        wide: &'a Value,
        keyword: &str,
        value: &Value,
        known: Option<u64>,
    ) -> bool {
        match (count(value), known) {
            (Some(most), Some(known)) if known <= most => true,
            (_, Some(known)) => {
                let what = format!("at most {value} is admitted, and {} admits {known}", self.other());
                self.refuse(wide, keyword, &what)
            }
            (_, None) => {
                let what = format!("at most {value} is admitted, and {} has no such bound", self.other());
                self.refuse(wide, keyword, &what)
            }
        }
    }
}
