//! The amount policies (sections 2.1 and 2.2): one number that a private amount may not exceed.

use serde_json::{Map, Value};
use ves::Digest;
use ves::compliance::{ComplianceError, Policy};

/// Largest limit that a policy of section 2.1 can state: the last integer that every JSON reader keeps.
pub const LIMIT_MAX: u64 = (1 << 53) - 1;

/// Why a policy is refused. Members are named as in `policyParams`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error(
        "policyId: {0:?} is not known; known are aml.threshold, order_total.cap, agent.authorization.v1, agent.budget.v1"
    )]
    Unknown(String),
    #[error(transparent)]
    Text(#[from] ComplianceError),
    #[error("policyParams.{0} is missing")]
    Missing(&'static str),
    #[error("policyParams.{name} is not a parameter of {policy}")]
    UnknownParameter { policy: &'static str, name: String },
    #[error("policyParams.{0} must be an integer from 0 to {LIMIT_MAX}, written without point or exponent")]
    NotAnInteger(&'static str),
    #[error("policyParams.intentHash must be 64 hex digits")]
    IntentHash,
    /// No amount is below zero, so nothing could ever be proved.
    #[error("policyParams.threshold must be at least 1: no amount is below 0")]
    ThresholdZero,
    #[error("agent.authorization.v1 needs the hash of its intent")]
    IntentMissing,
    #[error("{0} takes no hash of an intent")]
    IntentUnused(&'static str),
}

/// A policy of section 2.1. Amounts are unsigned 64-bit integers in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AmountPolicy {
    /// `aml.threshold`: v < threshold, which is at least 1.
    AmlThreshold { threshold: u64 },
    /// `order_total.cap`: v <= cap.
    OrderTotalCap { cap: u64 },
    /// `agent.authorization.v1`: v <= max_total, under a delegated intent.
    AgentAuthorization { intent_hash: Digest, max_total: u64 },
    /// `agent.budget.v1`: the running total after this event <= budget_limit.
    AgentBudget { budget_limit: u64 },
}

impl AmountPolicy {
    pub const IDS: [&'static str; 4] =
        ["aml.threshold", "order_total.cap", "agent.authorization.v1", "agent.budget.v1"];

    /// The policy `id` with the number `limit` in its one numeric parameter.
    ///
    /// # Errors
    /// [`PolicyError`], with the parameter's own name.
    pub fn with_limit(id: &str, limit: u64, intent_hash: Option<Digest>) -> Result<Self, PolicyError> {
        let (id, parameter) = parameter_of(id)?;
        if limit > LIMIT_MAX {
            return Err(PolicyError::NotAnInteger(parameter));
        }
        match (id, intent_hash) {
            ("agent.authorization.v1", Some(intent_hash)) => {
                Ok(Self::AgentAuthorization { intent_hash, max_total: limit })
            }
            ("agent.authorization.v1", None) => Err(PolicyError::IntentMissing),
            (_, Some(_)) => Err(PolicyError::IntentUnused(id)),
            ("aml.threshold", None) if limit == 0 => Err(PolicyError::ThresholdZero),
            ("aml.threshold", None) => Ok(Self::AmlThreshold { threshold: limit }),
            ("order_total.cap", None) => Ok(Self::OrderTotalCap { cap: limit }),
            _ => Ok(Self::AgentBudget { budget_limit: limit }),
        }
    }

    /// Reads `policyId` and `policyParams`, a JSON text, by the rules of section 2.2: every parameter there, none
    /// besides, none twice, and each of exactly its type.
    ///
    /// # Errors
    /// [`PolicyError`] names the member.
    pub fn parse(id: &str, params_json: &str) -> Result<Self, PolicyError> {
        // A repeated member is found here: the parser below would keep the last one.
        Policy::new(id, Some(params_json))?;
        let (id, parameter) = parameter_of(id.trim())?;
        let params: Map<String, Value> =
            serde_json::from_str(params_json).map_err(|_| ComplianceError::PolicyParamsShape)?;
        let takes_intent = id == "agent.authorization.v1";
        let is_known = |name: &str| name == parameter || (takes_intent && name == "intentHash");
        if let Some(name) = params.keys().find(|name| !is_known(name)) {
            return Err(PolicyError::UnknownParameter { policy: id, name: name.clone() });
        }
        let limit = params.get(parameter).ok_or(PolicyError::Missing(parameter))?;
        // `as_u64` is `None` for text, for negative numbers and for everything written with a point or an exponent.
        let limit = limit.as_u64().ok_or(PolicyError::NotAnInteger(parameter))?;
        let intent_hash = match params.get("intentHash") {
            Some(Value::String(text)) => Some(text.parse().map_err(|_| PolicyError::IntentHash)?),
            Some(_) => return Err(PolicyError::IntentHash),
            None if takes_intent => return Err(PolicyError::Missing("intentHash")),
            None => None,
        };
        Self::with_limit(id, limit, intent_hash)
    }

    /// The same from a policy whose text was already read.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn of(policy: &Policy) -> Result<Self, PolicyError> {
        Self::parse(policy.id(), policy.params())
    }

    pub const fn id(&self) -> &'static str {
        match self {
            Self::AmlThreshold { .. } => Self::IDS[0],
            Self::OrderTotalCap { .. } => Self::IDS[1],
            Self::AgentAuthorization { .. } => Self::IDS[2],
            Self::AgentBudget { .. } => Self::IDS[3],
        }
    }

    /// The number in the parameters, before it is made inclusive.
    pub const fn limit(&self) -> u64 {
        match self {
            Self::AmlThreshold { threshold: limit }
            | Self::OrderTotalCap { cap: limit }
            | Self::AgentAuthorization { max_total: limit, .. }
            | Self::AgentBudget { budget_limit: limit } => *limit,
        }
    }

    /// The largest amount that satisfies the policy: what the circuit compares with.
    pub const fn effective_limit(&self) -> u64 {
        match self {
            // At least 1 by construction.
            Self::AmlThreshold { threshold } => threshold.saturating_sub(1),
            _ => self.limit(),
        }
    }

    /// Whether `amount`, in minor units, satisfies the policy.
    pub const fn allows(&self, amount: u64) -> bool {
        amount <= self.effective_limit()
    }

    /// Id and canonical parameters, with the policy hash of section 2.2 in [`Policy::hash`].
    pub fn policy(&self) -> Policy {
        let limit = self.limit();
        let params = match self {
            Self::AmlThreshold { .. } => format!(r#"{{"threshold":{limit}}}"#),
            Self::OrderTotalCap { .. } => format!(r#"{{"cap":{limit}}}"#),
            Self::AgentAuthorization { intent_hash, .. } => {
                format!(r#"{{"intentHash":"{intent_hash}","maxTotal":{limit}}}"#)
            }
            Self::AgentBudget { .. } => format!(r#"{{"budgetLimit":{limit}}}"#),
        };
        Policy::new(self.id(), Some(&params)).expect("a known id and canonical parameters make a policy")
    }

    pub fn hash(&self) -> Digest {
        self.policy().hash()
    }
}

/// The id as a constant, and the name of its numeric parameter.
fn parameter_of(id: &str) -> Result<(&'static str, &'static str), PolicyError> {
    let names = ["threshold", "cap", "maxTotal", "budgetLimit"];
    let known = AmountPolicy::IDS.into_iter().zip(names).find(|(known, _)| *known == id);
    known.ok_or_else(|| PolicyError::Unknown(id.chars().take(64).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strict_policy_ends_one_below_its_threshold() {
        let threshold = AmountPolicy::with_limit("aml.threshold", 10_001, None).unwrap();
        let cap = AmountPolicy::with_limit("order_total.cap", 10_000, None).unwrap();
        assert_eq!(threshold.effective_limit(), cap.effective_limit());
        assert!(threshold.allows(10_000) && !threshold.allows(10_001));
        assert!(cap.allows(10_000) && !cap.allows(10_001));
        // Section 11, item 3: the same limit under two policies is two statements.
        assert_ne!(threshold.hash(), cap.hash());
    }

    #[test]
    fn a_threshold_of_zero_is_no_policy() {
        assert_eq!(AmountPolicy::with_limit("aml.threshold", 0, None), Err(PolicyError::ThresholdZero));
        assert_eq!(
            AmountPolicy::parse("aml.threshold", r#"{"threshold":0}"#),
            Err(PolicyError::ThresholdZero)
        );
        assert_eq!(
            AmountPolicy::parse("order_total.cap", r#"{"cap":0}"#).map(|policy| policy.allows(0)),
            Ok(true)
        );
    }

    #[test]
    fn parameters_of_another_shape_are_refused_and_named() {
        use PolicyError::*;
        let intent = "ab".repeat(32);
        let cases = [
            ("aml.threshold", r#"{"threshold":"10000"}"#.to_owned(), NotAnInteger("threshold")),
            ("aml.threshold", r#"{"threshold":10000.0}"#.to_owned(), NotAnInteger("threshold")),
            ("aml.threshold", r#"{"threshold":1e4}"#.to_owned(), NotAnInteger("threshold")),
            ("aml.threshold", r#"{"threshold":-1}"#.to_owned(), NotAnInteger("threshold")),
            ("aml.threshold", r#"{"threshold":9007199254740992}"#.to_owned(), NotAnInteger("threshold")),
            ("aml.threshold", r#"{"threshold":null}"#.to_owned(), NotAnInteger("threshold")),
            (
                "aml.threshold",
                r#"{"cap":1}"#.to_owned(),
                UnknownParameter { policy: "aml.threshold", name: "cap".into() },
            ),
            ("order_total.cap", "{}".to_owned(), Missing("cap")),
            ("order_total.cap", "[]".to_owned(), Text(ComplianceError::PolicyParamsShape)),
            ("agent.authorization.v1", r#"{"maxTotal":1}"#.to_owned(), Missing("intentHash")),
            ("agent.authorization.v1", r#"{"maxTotal":1,"intentHash":"ab"}"#.to_owned(), IntentHash),
            (
                "agent.budget.v1",
                format!(r#"{{"budgetLimit":1,"intentHash":"{intent}"}}"#),
                UnknownParameter { policy: "agent.budget.v1", name: "intentHash".into() },
            ),
            ("aml.other", "{}".to_owned(), Unknown("aml.other".into())),
        ];
        for (id, params, expected) in cases {
            assert_eq!(AmountPolicy::parse(id, &params), Err(expected), "{id} {params}");
        }
        let twice = AmountPolicy::parse("order_total.cap", r#"{"cap":1,"cap":1}"#);
        assert!(matches!(twice, Err(Text(ComplianceError::PolicyParams(_)))), "{twice:?}");
    }

    #[test]
    fn what_is_written_reads_back_with_the_hash_of_the_protocol() {
        let intent = Digest([0xab; 32]);
        for (id, intent) in AmountPolicy::IDS.into_iter().zip([None, None, Some(intent), None]) {
            let policy = AmountPolicy::with_limit(id, LIMIT_MAX, intent).unwrap();
            let text = policy.policy();
            assert_eq!(AmountPolicy::of(&text), Ok(policy.clone()));
            assert_eq!(policy.hash(), Policy::new(id, Some(text.params())).unwrap().hash());
        }
        let upper = format!(r#"{{"maxTotal":7,"intentHash":"0x{}"}}"#, "AB".repeat(32));
        let read = AmountPolicy::parse("agent.authorization.v1", &upper).unwrap();
        assert_eq!(read.policy().params(), format!(r#"{{"intentHash":"{}","maxTotal":7}}"#, "ab".repeat(32)));
    }
}
