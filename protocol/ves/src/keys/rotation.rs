//! Rotation policies (section 9.2): how long and how often a key may be used, and what is said when its end comes near.

use crate::reject::KeyProblem;
use crate::time::TimestampMs;

const HOUR_MS: i64 = 3_600_000;

/// How long and how often a key may be used. A missing bound is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationRule {
    /// From the key's registration on.
    pub age_hours_max: Option<u32>,
    /// Accepted events.
    pub uses_max: Option<u64>,
    /// How long before its greatest age a key is warned about.
    pub warning_hours: u32,
    /// How long beyond its greatest age a key is still accepted.
    pub grace_hours: u32,
    /// `false`: the rule warns and never refuses.
    pub enforce: bool,
}

/// Hours of warning where a policy names none.
pub const WARNING_HOURS_DEFAULT: u32 = 24;
/// Hours of grace where a policy names none (section 9.2).
pub const GRACE_HOURS_DEFAULT: u32 = 72;

/// What a rule says of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Good,
    /// The key reaches its greatest age at `at`, or has few uses left.
    Warning(Ending),
    /// The key is older than it may be, and is accepted until `until`; for ever where the rule is not enforced.
    Grace {
        until: Option<TimestampMs>,
    },
    Refused(KeyProblem),
}

/// How a key comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Age { at: TimestampMs },
    Uses { left: u64 },
}

impl RotationRule {
    /// Judges a key registered at `created_at` that has signed `uses` accepted events, at `now`.
    ///
    /// The greatest age is inclusive, as `valid_to` is; so is the end of grace. Uses have no grace: the event after
    /// the last one allowed is refused. What refuses comes before what warns, age before uses.
    pub fn judge(&self, created_at: TimestampMs, uses: u64, now: TimestampMs) -> Standing {
        let hours = |hours: u32| i64::from(hours) * HOUR_MS;
        let end = self.age_hours_max.map(|age| TimestampMs(created_at.0.saturating_add(hours(age))));
        let last = end.map(|end| TimestampMs(end.0.saturating_add(hours(self.grace_hours))));
        let left = self.uses_max.map(|max| max.saturating_sub(uses));
        if self.enforce {
            if let Some(at) = last.filter(|last| now > *last) {
                return Standing::Refused(KeyProblem::Outdated { at });
            }
            if let Some(max) = self.uses_max.filter(|_| left == Some(0)) {
                return Standing::Refused(KeyProblem::UsedUp { max });
            }
        }
        match (end, left, self.uses_max) {
            (Some(end), _, _) if now > end => Standing::Grace { until: last.filter(|_| self.enforce) },
            (Some(at), _, _) if at.0.saturating_sub(now.0) <= hours(self.warning_hours) => {
                Standing::Warning(Ending::Age { at })
            }
            (_, Some(left), Some(max)) if left <= max / USES_WARNED_PART => {
                Standing::Warning(Ending::Uses { left })
            }
            _ => Standing::Good,
        }
    }
}

/// A key is warned about when it has this part of its uses left, or fewer.
const USES_WARNED_PART: u64 = 10;

impl Standing {
    /// `ok`, `warning`, `grace` or `refused`.
    pub const fn text(&self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning(_) => "warning",
            Self::Grace { .. } => "grace",
            Self::Refused(_) => "refused",
        }
    }

    /// What the owner should hear, if anything.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Good => None,
            Self::Warning(Ending::Age { at }) => Some(format!("reaches its greatest age at {at}; rotate it")),
            Self::Warning(Ending::Uses { left }) => Some(format!("has {left} uses left; rotate it")),
            Self::Grace { until: Some(until) } => {
                Some(format!("is older than its policy allows and is accepted until {until}; rotate it"))
            }
            Self::Grace { until: None } => Some("is older than its policy allows; rotate it".to_owned()),
            Self::Refused(problem) => Some(format!("{problem}; rotate it")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULE: RotationRule = RotationRule {
        age_hours_max: Some(100),
        uses_max: Some(50),
        warning_hours: WARNING_HOURS_DEFAULT,
        grace_hours: GRACE_HOURS_DEFAULT,
        enforce: true,
    };

    fn at(hours: i64) -> TimestampMs {
        TimestampMs(hours * HOUR_MS)
    }

    #[test]
    fn a_key_grows_old_in_the_order_good_warning_grace_refused() {
        let standing = |now: TimestampMs| RULE.judge(at(0), 0, now);
        let end = at(100);
        assert_eq!(standing(TimestampMs(at(76).0 - 1)), Standing::Good);
        assert_eq!(standing(at(76)), Standing::Warning(Ending::Age { at: end }));
        assert_eq!(standing(end), Standing::Warning(Ending::Age { at: end }));
        assert_eq!(standing(TimestampMs(end.0 + 1)), Standing::Grace { until: Some(at(172)) });
        assert_eq!(standing(at(172)), Standing::Grace { until: Some(at(172)) });
        let gone = Standing::Refused(KeyProblem::Outdated { at: at(172) });
        assert_eq!(standing(TimestampMs(at(172).0 + 1)), gone);
    }

    #[test]
    fn a_key_wears_out_at_its_last_use() {
        let standing = |uses| RULE.judge(at(0), uses, at(1));
        assert_eq!(standing(44), Standing::Good);
        assert_eq!(standing(45), Standing::Warning(Ending::Uses { left: 5 }));
        assert_eq!(standing(49), Standing::Warning(Ending::Uses { left: 1 }));
        assert_eq!(standing(50), Standing::Refused(KeyProblem::UsedUp { max: 50 }));
    }

    proptest! {
        #[test]
        fn a_rule_that_is_not_enforced_never_refuses_and_an_open_one_says_nothing(
            created in any::<i64>(), uses in any::<u64>(), now in any::<i64>(),
            age in any::<Option<u32>>(), max in any::<Option<u64>>(), warning in any::<u32>(), grace in any::<u32>(),
        ) {
            let rule = RotationRule {
                age_hours_max: age, uses_max: max, warning_hours: warning, grace_hours: grace, enforce: false,
            };
            let standing = rule.judge(TimestampMs(created), uses, TimestampMs(now));
            prop_assert!(!matches!(standing, Standing::Refused(_)));
            let open = RotationRule { age_hours_max: None, uses_max: None, enforce: true, ..rule };
            prop_assert_eq!(open.judge(TimestampMs(created), uses, TimestampMs(now)), Standing::Good);
        }

        #[test]
        fn standing_never_improves_with_time_or_use(
            uses in 0..60u64, more_uses in 0..60u64, hours in 0..300i64, more_hours in 0..300i64,
        ) {
            let rank = |standing: Standing| match standing {
                Standing::Good => 0,
                Standing::Warning(_) => 1,
                Standing::Grace { .. } => 2,
                Standing::Refused(_) => 3,
            };
            let before = rank(RULE.judge(at(0), uses, at(hours)));
            prop_assert!(rank(RULE.judge(at(0), uses + more_uses, at(hours + more_hours))) >= before);
        }
    }
}
