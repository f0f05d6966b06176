//! Signatures a second by a key in a token, SoftHSM, on one thread, beside the same by a key in memory:
//! `cargo xtask bench token`.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use stateset_bench_report::beside::{self, Options};
use stateset_bench_report::report::{Goal, Row};
use stateset_keystore::{
    Algorithm, Ed25519Signer, KeyName, Keystore as _, Passphrase, Pkcs11Config, Pkcs11Keystore,
};
use stateset_softhsm::SoftToken;
use ves::ed25519::Signer;

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(400);
/// Signatures a second (platform.md, section 1).
const GOAL: f64 = 1_000.0;
/// Module, label and PIN, for the process that measures: the module reads its own settings from the environment, which only a
/// new process can be given.
const TOKEN: [&str; 3] = ["BENCH_TOKEN_MODULE", "BENCH_TOKEN_LABEL", "BENCH_TOKEN_PIN"];

fn main() -> ExitCode {
    let given = TOKEN.map(|name| std::env::var(name).ok());
    if let [Some(module), Some(label), Some(pin)] = given {
        let config = Pkcs11Config {
            module: module.into(),
            token_label: label,
            pin: Some(Passphrase::new(pin).expect("a PIN")),
            folder: None,
        };
        return beside::main(|options, notes| Ok(measure(config, options, notes)));
    }
    let Some(token) = SoftToken::new() else { return ExitCode::SUCCESS };
    let (variable, conf) = token.env();
    let mut again = Command::new(std::env::current_exe().expect("this program"));
    again.env(variable, conf).env(TOKEN[0], token.module()).env(TOKEN[1], token.label());
    again.env(TOKEN[2], token.pin()).args(std::env::args_os().skip(1));
    let status = again.status().expect("this program starts again");
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(config: Pkcs11Config, options: &Options, notes: &mut Vec<String>) -> Vec<Row> {
    let name: KeyName = "bench".parse().expect("a name");
    let keys = Pkcs11Keystore::open(config).expect("the token opens");
    keys.generate(&name, Algorithm::Ed25519, &BTreeMap::new()).expect("a key");
    let in_token = keys.signer(&name).expect("it signs");
    let in_memory = Ed25519Signer::from_seed(&[7; 32], &name).expect("it signs");
    let (mut token, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..options.count(ROUNDS, 1) {
        // In turn, so that both see the same machine.
        token.push(per_second(in_token.as_ref()));
        memory.push(per_second(&in_memory));
    }
    let (token, memory) = (median(token), median(memory));
    notes.push("one thread; the token is SoftHSM".to_owned());
    vec![
        Row::new("signing by a key in a token", token, "signatures/s").goal(Goal::AtLeast(GOAL)),
        Row::new("signing by a key in memory", memory, "signatures/s"),
    ]
}

fn per_second(signer: &dyn Signer) -> f64 {
    let (mut count, started) = (0_u64, Instant::now());
    while started.elapsed() < ROUND {
        let message = count.to_be_bytes();
        signer.sign(&message).expect("it signs");
        count += 1;
    }
    count as f64 / started.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
