//! How payments are admitted, batched and forgotten.

use std::sync::Arc;
use std::time::Duration;

use set_registry::{ChainKey, Node, RpcSettings, fees};
use stateset_sequencer::{BatchPolicy, PaymentConfig, PaymentWorkerSettings, Settlement};
use ves::x402::{Network, TokenAddress, TokenTable};

use super::Problem;
use super::gather::Gathered;
use super::settings::{number, size};
use crate::joined::settlement::ChainSettlement;

/// The rules of admission, and how the worker works. Forms are checked before; what values mean together is here.
pub(super) fn read(
    gathered: &Gathered,
    problems: &mut Vec<Problem>,
) -> (PaymentConfig, PaymentWorkerSettings) {
    let seconds = |name: &str| Duration::from_secs(number(gathered, name));
    let mut tokens = TokenTable::default();
    for line in gathered.list("X402_TOKENS") {
        if let Err(error) = tokens.set(&line) {
            problems.push(Problem::new("X402_TOKENS", &format!("{line:?}: {error}")));
        }
    }
    let mut networks = Vec::new();
    for name in gathered.list("X402_BATCH_NETWORKS") {
        match Network::from_text(&name) {
            Some(network) => networks.push(network),
            None => {
                let names: Vec<_> = Network::ALL.iter().map(|network| network.text()).collect();
                let problem = format!("{name:?} is none of {}", names.join(", "));
                problems.push(Problem::new("X402_BATCH_NETWORKS", &problem));
            }
        }
    }
    let (size_min, size_max) = (size(gathered, "X402_BATCH_MIN_SIZE"), size(gathered, "X402_BATCH_MAX_SIZE"));
    if size_min > size_max {
        let problem = format!("{size_min} is more than X402_BATCH_MAX_SIZE, {size_max}");
        problems.push(Problem::new("X402_BATCH_MIN_SIZE", &problem));
    }
    let old_intents = gathered.is_true("X402_OLD_INTENTS");
    let settlement = settlement(gathered, &networks, problems);
    let config = PaymentConfig { old_intents, tokens, settlement };
    let wait_max = seconds("X402_BATCH_MAX_WAIT_SECS");
    let worker = PaymentWorkerSettings {
        interval: seconds("X402_BATCH_INTERVAL_SECS"),
        policy: BatchPolicy { networks, size_min, size_max, wait_max },
        auto_commit: gathered.is_true("X402_BATCH_AUTO_COMMIT"),
        nonce_interval: seconds("X402_NONCE_CLEANUP_INTERVAL_SECS"),
    };
    (config, worker)
}

/// Of the account that sends batches.
const KEY: &str = "X402_SETTLEMENT_KEY";
/// Of a unit of gas.
const CEILING: &str = "X402_SETTLEMENT_MAX_GAS_PRICE_GWEI";

/// The chain that batches are settled on, where one is named.
fn settlement(
    gathered: &Gathered,
    networks: &[Network],
    problems: &mut Vec<Problem>,
) -> Option<Arc<dyn Settlement>> {
    const NAMES: [&str; 2] = ["X402_SETTLEMENT_RPC_URL", "X402_SETTLEMENT_CONTRACT"];
    let [url, contract] = NAMES.map(|name| gathered.text(name));
    let key = match gathered.text(KEY) {
        "" => None,
        // The problem never repeats the text.
        text => match ChainKey::from_hex(text) {
            Ok(key) => Some(key),
            Err(error) => {
                problems.push(Problem::new(KEY, &error.to_string()));
                return None;
            }
        },
    };
    let missing = match (url, contract) {
        ("", "") if key.is_some() => Some(NAMES[0]),
        ("", "") => return None,
        ("", _) => Some(NAMES[0]),
        (_, "") => Some(NAMES[1]),
        _ => None,
    };
    if let Some(name) = missing {
        problems.push(Problem::new(name, "is missing: an endpoint and a contract go together"));
        return None;
    }
    let node = Node::new(url, RpcSettings::default());
    let node = node.map_err(|error| problems.push(Problem::new(NAMES[0], &error.to_string()))).ok();
    // In the manner of tokens: letters of both cases have to be the checksum.
    let contract = contract.parse::<TokenAddress>();
    let contract = contract.map_err(|error| problems.push(Problem::new(NAMES[1], &error.to_string()))).ok();
    let ceiling = fees::gwei(gathered.text(CEILING));
    let ceiling = ceiling.map_err(|problem| problems.push(Problem::new(CEILING, &problem))).ok();
    let confirmations = number(gathered, "X402_SETTLEMENT_CONFIRMATIONS");
    let settlement = ChainSettlement::new(node?, contract?.0.into(), networks.to_vec(), confirmations, key);
    let ceiling = ceiling.filter(|ceiling| *ceiling > 0);
    Some(Arc::new(settlement.with_fee_ceiling(ceiling)))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use ves::x402::Asset;

    use super::*;

    fn read_with(settings: &[(&str, &str)]) -> (PaymentConfig, PaymentWorkerSettings, Vec<String>) {
        let environment = settings.iter().map(|(name, text)| (OsString::from(name), OsString::from(text)));
        let gathered = crate::config::gather(environment, None).expect("known settings");
        let mut problems = Vec::new();
        let (config, worker) = read(&gathered, &mut problems);
        (config, worker, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nothing_set_is_the_default_of_the_service() {
        let (config, worker, problems) = read_with(&[]);
        assert_eq!((worker, config.old_intents), (PaymentWorkerSettings::default(), false));
        assert_eq!((config.tokens, problems), (TokenTable::default(), Vec::new()));
    }

    #[test]
    fn a_chain_to_settle_on_is_an_endpoint_and_a_contract() {
        let contract = format!("0x{}", "1".repeat(40));
        let (url, name) = (("X402_SETTLEMENT_RPC_URL", "http://127.0.0.1:8545"), "X402_SETTLEMENT_CONTRACT");
        let (config, _, problems) = read_with(&[url, (name, &contract)]);
        assert!(config.settlement.is_some() && problems.is_empty(), "{problems:?}");
        for (settings, named) in
            [(vec![url], name), (vec![(name, contract.as_str())], url.0), (vec![url, (name, "0x12")], name)]
        {
            let (config, _, problems) = read_with(&settings);
            assert!(config.settlement.is_none());
            assert!(problems.len() == 1 && problems[0].starts_with(named), "{problems:?}");
        }
        // Without a key batches are followed, with one they are sent.
        let (key, wrong) = ("07".repeat(32), "g7".repeat(32));
        for (text, settles) in [("", false), (key.as_str(), true)] {
            let (config, _, problems) = read_with(&[url, (name, &contract), (KEY, text)]);
            assert_eq!(config.settlement.map(|port| port.settles()), Some(settles), "{problems:?}");
        }
        for settings in
            [vec![(KEY, key.as_str())], vec![url, (name, contract.as_str()), (KEY, wrong.as_str())]]
        {
            let (config, _, problems) = read_with(&settings);
            assert!(config.settlement.is_none() && problems.len() == 1, "{problems:?}");
            assert!(!problems[0].contains(&wrong) && !problems[0].contains(&key), "{problems:?}");
        }
    }

    #[test]
    fn what_is_set_acts_and_what_is_wrong_is_named() {
        let token = format!("set_chain:usdc=0x{}", "1".repeat(40));
        let (config, worker, problems) = read_with(&[
            ("X402_OLD_INTENTS", "true"),
            ("X402_TOKENS", &token),
            ("X402_BATCH_NETWORKS", "base, arc"),
            ("X402_BATCH_AUTO_COMMIT", "false"),
        ]);
        assert_eq!(problems, Vec::<String>::new());
        assert!(config.old_intents && config.tokens.get(Network::SetChain, Asset::Usdc).is_some());
        assert_eq!(worker.policy.networks, [Network::Base, Network::Arc]);
        assert!(!worker.auto_commit);

        let (.., problems) = read_with(&[
            ("X402_TOKENS", "base:gold=0x1"),
            ("X402_BATCH_NETWORKS", "mars"),
            ("X402_BATCH_MIN_SIZE", "200"),
        ]);
        assert_eq!(problems.len(), 3, "{problems:?}");
        for (problem, name) in
            problems.iter().zip(["X402_TOKENS", "X402_BATCH_NETWORKS", "X402_BATCH_MIN_SIZE"])
        {
            assert!(problem.starts_with(name), "{problem}");
        }
    }
}
