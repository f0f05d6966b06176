//! Settings, by the names in use (anchoring, section 4). Read once, checked before anything starts.

use std::path::PathBuf;
use std::time::Duration;

use set_registry::{Address, ChainKey, Node, ROOT_BATCHES_MAX, RpcSettings, words};
use zeroize::Zeroizing;

use crate::breaker::BreakerSettings;
use crate::machine::Patience;
use crate::plan::{BATCHES_MAX, Worth};

/// Chains that are made for development: one block is confirmation enough.
const DEVNETS: [u64; 3] = [31_337, 1_337, 84_532_001];
const CONFIRMATIONS: u64 = 6;
/// Ports, intervals and bounds where nothing is set.
const INTERVAL_S: u64 = 60;
/// Where batches go together: a lone one at once, and what closes meanwhile with the next root.
const AGGREGATED_INTERVAL_S: u64 = 1;
const AGGREGATED_EVENTS_MIN: u64 = 1;
const POLL_MS: u64 = 1_000;
const EVENTS_MIN: u64 = 100;
const AGE_MAX_S: u64 = 300;
const HEALTH_PORT: u16 = 9090;
const STUCK_S: u64 = 60;
const STUCK_BLOCKS: u64 = 30;
const RETRY_S: u64 = 5;

/// What the service needs, besides where batches come from.
#[derive(Debug)]
pub struct Settings {
    /// `SetRegistry`, or `StateSetAnchor` where roots are aggregated.
    pub registry: Address,
    pub expected_chain_id: u64,
    pub key: ChainKey,
    /// Folder of the journal.
    pub data_dir: PathBuf,
    /// Between two looks for new batches.
    pub interval: Duration,
    /// Between two looks at the chain while a transaction is on its way.
    pub poll: Duration,
    pub worth: Worth,
    pub patience: Patience,
    /// Whether "confirmed" also asks for the chain's `safe` block, as on chains of the OP Stack.
    pub waits_for_safe: bool,
    /// Wei for a unit of gas; `None` for no ceiling.
    pub fee_ceiling: Option<u128>,
    pub retry_first: Duration,
    pub breaker: BreakerSettings,
}

/// Settings of the program around the service.
#[derive(Debug)]
pub struct ProgramSettings {
    pub rpc_url: Zeroizing<String>,
    pub sequencer_url: String,
    pub sequencer_api_key: Option<Zeroizing<String>>,
    /// On 127.0.0.1, unless `HEALTH_HOST` says otherwise; 0 takes a free one.
    pub health_host: std::net::IpAddr,
    pub health_port: u16,
    /// Where roots are aggregated: a block that the contract is not older than.
    pub aggregate_from_block: Option<u64>,
    pub service: Settings,
}

/// A setting that is missing or wrong. The value is named only where it is no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct SettingError {
    pub name: &'static str,
    pub problem: String,
}

/// Every setting with its default and what it does, for `--help` and the operator's page.
pub const TABLE: &[(&str, &str, &str)] = &[
    ("L2_RPC_URL", "required", "JSON-RPC endpoint of the chain, http or https"),
    (
        "SET_REGISTRY_ADDRESS",
        "required, unless aggregated",
        "address of SetRegistry, with its checksum or in lower case",
    ),
    (
        "ANCHOR_AGGREGATE",
        "false",
        "true for one root over all batches that wait, in StateSetAnchor; also --aggregate",
    ),
    ("STATESET_ANCHOR_ADDRESS", "required, where aggregated", "address of StateSetAnchor"),
    (
        "ANCHOR_FROM_BLOCK",
        "0",
        "aggregated: block in which that contract was deployed, or one before; spares a long first reading",
    ),
    (
        "SEQUENCER_PRIVATE_KEY",
        "required",
        "key of the writer's account, 64 hex digits; or SEQUENCER_PRIVATE_KEY_FILE",
    ),
    ("EXPECTED_L2_CHAIN_ID", "required", "id of the chain; L2_CHAIN_ID is read where it is not set"),
    ("SEQUENCER_API_URL", "http://127.0.0.1:8080", "the sequencer"),
    ("SEQUENCER_API_KEY", "none", "its bootstrap key"),
    (
        "ANCHOR_DATA_DIR",
        "set-anchor-data",
        "folder of the journal; one for each account, on a disk that stays",
    ),
    ("ANCHOR_INTERVAL_SECS", "60, aggregated 1", "seconds between two looks for new batches"),
    ("ANCHOR_POLL_MS", "1000", "milliseconds between two looks at the chain while something is on its way"),
    ("MIN_EVENTS_FOR_ANCHOR", "100, aggregated 1", "fewer events of a stream wait for more"),
    ("ANCHOR_MAX_AGE_SECS", "300", "but no longer than this"),
    (
        "MAX_COMMITMENTS_PER_CYCLE",
        "0",
        "batches in one transaction, at most 200, aggregated 512; 0 for as many",
    ),
    ("ANCHOR_FINALITY_CONFIRMATIONS", "6, on devnets 1", "blocks that make a transaction confirmed"),
    ("ANCHOR_WAIT_FOR_SAFE", "false", "confirmed only when the chain's safe block is past it too (OP Stack)"),
    ("MAX_GAS_PRICE_GWEI", "0", "ceiling of fees, as 0.05; 0 for none"),
    ("TX_CONFIRMATION_TIMEOUT_SECS", "60", "seconds without a block before fees are raised"),
    ("ANCHOR_STUCK_BLOCKS", "30", "or blocks without the transaction"),
    ("RETRY_DELAY_SECS", "5", "first pause after a failure; it doubles up to five minutes, with jitter"),
    (
        "CIRCUIT_BREAKER_FAILURE_THRESHOLD",
        "5",
        "failures in two minutes after which the endpoint is left alone",
    ),
    ("CIRCUIT_BREAKER_RESET_TIMEOUT_SECS", "60", "for how long; it doubles up to five minutes"),
    ("CIRCUIT_BREAKER_HALF_OPEN_SUCCESS_THRESHOLD", "3", "good answers after which all is well"),
    ("HEALTH_PORT", "9090", "port of /health, /ready, /metrics, /stats and /errors"),
    ("HEALTH_HOST", "127.0.0.1", "address that they listen on"),
];

/// Reads settings through `get`, which tells a variable's value.
///
/// # Errors
/// The first [`SettingError`].
pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<ProgramSettings, SettingError> {
    let reader = Reader { get };
    let chain_id: u64 = match reader.optional("EXPECTED_L2_CHAIN_ID")? {
        Some(id) => id,
        None => reader.optional("L2_CHAIN_ID")?.ok_or_else(|| missing("EXPECTED_L2_CHAIN_ID"))?,
    };
    let confirmations = if DEVNETS.contains(&chain_id) { 1 } else { CONFIRMATIONS };
    let fee_ceiling = reader.gwei("MAX_GAS_PRICE_GWEI")?;
    let aggregates: bool = reader.or("ANCHOR_AGGREGATE", false)?;
    let (contract, batches_max, interval_s, events_min) = match aggregates {
        false => ("SET_REGISTRY_ADDRESS", BATCHES_MAX, INTERVAL_S, EVENTS_MIN),
        true => ("STATESET_ANCHOR_ADDRESS", ROOT_BATCHES_MAX, AGGREGATED_INTERVAL_S, AGGREGATED_EVENTS_MIN),
    };
    let seconds = |name, default| reader.or(name, default).map(Duration::from_secs);
    let defaults = BreakerSettings::default();
    let service = Settings {
        registry: reader.address(contract)?,
        expected_chain_id: chain_id,
        key: reader.key()?,
        data_dir: reader.or("ANCHOR_DATA_DIR", PathBuf::from("set-anchor-data"))?,
        interval: seconds("ANCHOR_INTERVAL_SECS", interval_s)?,
        poll: Duration::from_millis(reader.within("ANCHOR_POLL_MS", POLL_MS, 1, u64::MAX)?),
        worth: Worth {
            events_min: reader.or("MIN_EVENTS_FOR_ANCHOR", events_min)?,
            age_ms_max: milliseconds(seconds("ANCHOR_MAX_AGE_SECS", AGE_MAX_S)?),
            batches_max: match reader.within("MAX_COMMITMENTS_PER_CYCLE", 0, 0, batches_max)? {
                0 => batches_max,
                batches => batches,
            },
        },
        patience: Patience {
            confirmations: reader.or("ANCHOR_FINALITY_CONFIRMATIONS", confirmations)?.max(1),
            stuck_after_blocks: reader.or("ANCHOR_STUCK_BLOCKS", STUCK_BLOCKS)?.max(1),
            stuck_after_ms: milliseconds(seconds("TX_CONFIRMATION_TIMEOUT_SECS", STUCK_S)?),
        },
        waits_for_safe: reader.or("ANCHOR_WAIT_FOR_SAFE", false)?,
        fee_ceiling: (fee_ceiling > 0).then_some(fee_ceiling),
        retry_first: seconds("RETRY_DELAY_SECS", RETRY_S)?,
        breaker: BreakerSettings {
            failures: reader.or("CIRCUIT_BREAKER_FAILURE_THRESHOLD", defaults.failures)?.max(1),
            open_ms: milliseconds(seconds("CIRCUIT_BREAKER_RESET_TIMEOUT_SECS", 60)?),
            probes: reader.or("CIRCUIT_BREAKER_HALF_OPEN_SUCCESS_THRESHOLD", defaults.probes)?,
            ..defaults
        },
    };
    Ok(ProgramSettings {
        rpc_url: reader.url("L2_RPC_URL")?.ok_or_else(|| missing("L2_RPC_URL"))?,
        sequencer_url: reader
            .url("SEQUENCER_API_URL")?
            .map_or_else(|| "http://127.0.0.1:8080".to_owned(), |url| url.to_string()),
        sequencer_api_key: (get)("SEQUENCER_API_KEY").filter(|key| !key.is_empty()).map(Zeroizing::new),
        health_host: reader.or("HEALTH_HOST", std::net::Ipv4Addr::LOCALHOST.into())?,
        health_port: reader.or("HEALTH_PORT", HEALTH_PORT)?,
        aggregate_from_block: aggregates.then(|| reader.or("ANCHOR_FROM_BLOCK", 0)).transpose()?,
        service,
    })
}

fn missing(name: &'static str) -> SettingError {
    let what = TABLE.iter().find(|(known, ..)| *known == name).map_or("", |(.., what)| what);
    SettingError { name, problem: format!("it is not set; it is the {what}") }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    fn optional<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, SettingError>
    where
        T::Err: std::fmt::Display,
    {
        let Some(text) = (self.get)(name).filter(|text| !text.trim().is_empty()) else { return Ok(None) };
        let wrong = |problem: T::Err| SettingError { name, problem: format!("{text:?} is wrong: {problem}") };
        text.trim().parse().map(Some).map_err(wrong)
    }

    fn or<T: std::str::FromStr>(&self, name: &'static str, default: T) -> Result<T, SettingError>
    where
        T::Err: std::fmt::Display,
    {
        Ok(self.optional(name)?.unwrap_or(default))
    }

    /// A number that is refused where it is not between the two.
    fn within<T: std::str::FromStr + Ord + std::fmt::Display>(
        &self,
        name: &'static str,
        default: T,
        least: T,
        most: T,
    ) -> Result<T, SettingError>
    where
        T::Err: std::fmt::Display,
    {
        let number = self.or(name, default)?;
        if number < least {
            return Err(SettingError { name, problem: format!("{number} is less than {least}") });
        }
        if number > most {
            return Err(SettingError { name, problem: format!("{number} is more than {most}") });
        }
        Ok(number)
    }

    /// Gwei with up to nine decimal places, in wei.
    fn gwei(&self, name: &'static str) -> Result<u128, SettingError> {
        let text = (self.get)(name).unwrap_or_default();
        let text = if text.trim().is_empty() { "0" } else { text.trim() };
        set_registry::fees::gwei(text).map_err(|problem| SettingError { name, problem })
    }

    fn address(&self, name: &'static str) -> Result<Address, SettingError> {
        let Some(text) = (self.get)(name).filter(|text| !text.trim().is_empty()) else {
            return Err(missing(name));
        };
        words::address(text.trim())
            .map_err(|problem| SettingError { name, problem: format!("{text:?} is wrong: {problem}") })
    }

    /// http or https. It is not shown where it is wrong: its path may be a secret.
    fn url(&self, name: &'static str) -> Result<Option<Zeroizing<String>>, SettingError> {
        let text = (self.get)(name).map(|text| Zeroizing::new(text.trim().to_owned()));
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
        match Node::new(&text, RpcSettings::default()) {
            Ok(_) => Ok(Some(text)),
            Err(problem) => Err(SettingError { name, problem: problem.to_string() }),
        }
    }

    fn key(&self) -> Result<ChainKey, SettingError> {
        let wrong =
            |name| move |problem: set_registry::KeyError| SettingError { name, problem: problem.to_string() };
        let file = (self.get)("SEQUENCER_PRIVATE_KEY_FILE");
        if let Some(text) = (self.get)("SEQUENCER_PRIVATE_KEY").map(Zeroizing::new) {
            if file.is_some() {
                let problem = "SEQUENCER_PRIVATE_KEY is set too; leave one of the two out".to_owned();
                return Err(SettingError { name: "SEQUENCER_PRIVATE_KEY_FILE", problem });
            }
            return ChainKey::from_hex(&text).map_err(wrong("SEQUENCER_PRIVATE_KEY"));
        }
        match file {
            Some(path) => ChainKey::from_file(path.as_ref()).map_err(wrong("SEQUENCER_PRIVATE_KEY_FILE")),
            None => Err(missing("SEQUENCER_PRIVATE_KEY")),
        }
    }
}

#[cfg(test)]
mod tests {
    use set_registry::devnet::ACCOUNT_KEYS;

    use super::*;

    fn with(more: &[(&str, &str)]) -> Result<ProgramSettings, SettingError> {
        let mut values: std::collections::BTreeMap<String, String> = [
            ("L2_RPC_URL", "http://127.0.0.1:8545"),
            ("SET_REGISTRY_ADDRESS", "0x5FbDB2315678afecb367f032d93F642f64180aa3"),
            ("SEQUENCER_PRIVATE_KEY", ACCOUNT_KEYS[1]),
            ("EXPECTED_L2_CHAIN_ID", "8453"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (name, value) in more {
            match *value {
                "unset" => values.remove(*name),
                _ => values.insert((*name).to_owned(), (*value).to_owned()),
            };
        }
        read(&|name| values.get(name).cloned())
    }

    #[test]
    fn defaults_are_those_of_the_table() {
        let settings = with(&[]).unwrap();
        assert_eq!(settings.service.patience.confirmations, 6);
        assert_eq!(settings.service.worth.events_min, 100);
        assert_eq!(settings.service.worth.batches_max, 200);
        assert_eq!(settings.service.fee_ceiling, None);
        assert_eq!(settings.health_port, 9090);
        let devnet = with(&[("EXPECTED_L2_CHAIN_ID", "unset"), ("L2_CHAIN_ID", "84532001")]).unwrap();
        assert_eq!(devnet.service.patience.confirmations, 1);
    }

    #[test]
    fn a_ceiling_may_be_less_than_a_gwei() {
        for (text, wei) in [
            ("0", None),
            ("0.0", None),
            ("0.05", Some(50_000_000)),
            ("20", Some(20_000_000_000)),
            ("1.5", Some(1_500_000_000)),
        ] {
            assert_eq!(with(&[("MAX_GAS_PRICE_GWEI", text)]).unwrap().service.fee_ceiling, wei, "{text}");
        }
    }

    /// A lone batch goes at once there.
    #[test]
    fn where_roots_are_aggregated_nothing_waits_for_more() {
        let wanted = ("ANCHOR_AGGREGATE", "true");
        let problem = with(&[wanted]).unwrap_err();
        assert_eq!(problem.name, "STATESET_ANCHOR_ADDRESS");
        let address = ("STATESET_ANCHOR_ADDRESS", "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512");
        let settings = with(&[wanted, address, ("ANCHOR_FROM_BLOCK", "77")]).unwrap();
        assert_eq!(settings.aggregate_from_block, Some(77));
        assert_eq!(settings.service.registry.to_string(), address.1);
        assert_eq!((settings.service.worth.events_min, settings.service.worth.batches_max), (1, 512));
        assert_eq!(settings.service.interval, Duration::from_secs(1));
        assert_eq!(with(&[address]).unwrap().aggregate_from_block, None, "only when it is asked for");
    }

    #[test]
    fn a_wrong_setting_is_named_and_a_secret_is_not_shown() {
        for (name, value) in [
            ("SET_REGISTRY_ADDRESS", "0x5FbDB2315678afecb367f032d93F642f64180a"),
            ("EXPECTED_L2_CHAIN_ID", "base"),
            ("MAX_GAS_PRICE_GWEI", "-1"),
            ("MAX_GAS_PRICE_GWEI", "1.0000000001"),
            ("MAX_GAS_PRICE_GWEI", ".5"),
            ("ANCHOR_POLL_MS", "0"),
            ("MAX_COMMITMENTS_PER_CYCLE", "201"),
            ("SEQUENCER_PRIVATE_KEY_FILE", "beside-the-key"),
            ("ANCHOR_INTERVAL_SECS", "1m"),
            ("ANCHOR_WAIT_FOR_SAFE", "maybe"),
            ("ANCHOR_AGGREGATE", "yes"),
            ("L2_RPC_URL", "unset"),
            ("L2_RPC_URL", "htp://127.0.0.1:8545"),
            ("L2_RPC_URL", "127.0.0.1:8545"),
            ("SEQUENCER_API_URL", "http//127.0.0.1:8080"),
            // One letter in the other case: a checksum that is wrong (EIP-55).
            ("SET_REGISTRY_ADDRESS", "0x5fbDB2315678afecb367f032d93F642f64180aa3"),
            ("SET_REGISTRY_ADDRESS", "0x0000000000000000000000000000000000000000"),
        ] {
            let problem = with(&[(name, value)]).unwrap_err();
            assert_eq!(problem.name, name);
        }
        let secrets = [("SEQUENCER_PRIVATE_KEY", "0xsecret"), ("L2_RPC_URL", "htp://node.example/v2/secret")];
        for secret in secrets {
            let problem = with(&[secret]).unwrap_err().to_string();
            assert!(!problem.contains("secret"), "{problem}");
        }
        let lower = ("SET_REGISTRY_ADDRESS", "0x5fbdb2315678afecb367f032d93f642f64180aa3");
        assert!(with(&[lower]).is_ok(), "without a checksum there is none to be wrong");
        assert!(!format!("{:?}", with(&[]).unwrap().service.key).contains("59c6995e"));
    }
}
