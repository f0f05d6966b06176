//! How payments are admitted, batched and forgotten.

use std::time::Duration;

use stateset_sequencer::{BatchPolicy, PaymentConfig, PaymentWorkerSettings};
use ves::x402::{Network, TokenTable};

use super::Problem;
use super::gather::Gathered;
use super::settings::{number, size};

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
    let config =
        PaymentConfig { old_intents: gathered.is_true("X402_OLD_INTENTS"), tokens, settlement: None };
    let wait_max = seconds("X402_BATCH_MAX_WAIT_SECS");
    let worker = PaymentWorkerSettings {
        interval: seconds("X402_BATCH_INTERVAL_SECS"),
        policy: BatchPolicy { networks, size_min, size_max, wait_max },
        auto_commit: gathered.is_true("X402_BATCH_AUTO_COMMIT"),
        nonce_interval: seconds("X402_NONCE_CLEANUP_INTERVAL_SECS"),
    };
    (config, worker)
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
