//! The facilitator of the public x402 protocol: where it listens, and what it settles with.

use std::net::SocketAddr;
use std::path::PathBuf;

use set_registry::{ChainKey, Node, RpcSettings, fees};
use ves::StreamKey;
use ves::x402::TokenTable;
use zeroize::Zeroizing;

use super::Problem;
use super::gather::Gathered;

const LISTEN: &str = "X402_FACILITATOR_LISTEN";
const RPC_URL: &str = "X402_FACILITATOR_RPC_URL";
const KEY: &str = "X402_FACILITATOR_KEY";
const STREAM: &str = "X402_FACILITATOR_STREAM";
const TOKEN: &str = "X402_FACILITATOR_TOKEN";
const RECORDS: &str = "X402_FACILITATOR_RECORDS";
const CEILING: &str = "X402_FACILITATOR_MAX_GAS_PRICE_GWEI";
/// The account that sends batches; see `payments`.
const SETTLEMENT_KEY: &str = "X402_SETTLEMENT_KEY";

/// What a facilitator is started with.
#[derive(Clone)]
pub struct FacilitatorSettings {
    pub listen: SocketAddr,
    /// The endpoint of the one chain that is settled on.
    pub node: Node,
    /// 64 hex digits that were found to be a key.
    pub key: Zeroizing<String>,
    /// Where settled payments become intents.
    pub stream: StreamKey,
    /// Contracts of every network: those of the chain are settled.
    pub tokens: TokenTable,
    /// What callers have to send; without one it listens on this machine alone.
    pub token: Option<Zeroizing<String>>,
    /// The file of what was sold; `None`: beside the data of the program.
    pub records: Option<PathBuf>,
    /// Most that is offered for a unit of gas, in wei.
    pub fee_ceiling: Option<u128>,
}

/// `None` where nothing of it is set, or something is wrong. Forms were checked before. `has_file`: whether the database is
/// one, beside which the records may lie.
pub(super) fn read(
    gathered: &Gathered,
    tokens: &TokenTable,
    has_file: bool,
    problems: &mut Vec<Problem>,
) -> Option<FacilitatorSettings> {
    if ![LISTEN, RPC_URL, KEY, STREAM, TOKEN, RECORDS].iter().any(|name| gathered.set(name).is_some()) {
        return None;
    }
    let known = problems.len();
    if gathered.set(RECORDS).is_none() && !has_file {
        problems.push(Problem::new(RECORDS, "is missing: the database is no file that it could lie beside"));
    }
    for name in [LISTEN, RPC_URL, KEY, STREAM] {
        if gathered.set(name).is_none() {
            let whole = [LISTEN, RPC_URL, KEY, STREAM].join(", ");
            problems.push(Problem::new(name, &format!("is missing: a facilitator needs {whole}")));
        }
    }
    if problems.len() > known {
        return None;
    }
    let listen = listen(gathered, problems);
    let node = Node::new(gathered.text(RPC_URL), RpcSettings::default());
    let node = node.map_err(|error| problems.push(Problem::new(RPC_URL, &error.to_string()))).ok();
    let key = key(gathered, problems);
    let stream = stream(gathered.text(STREAM));
    if stream.is_none() {
        problems.push(Problem::new(STREAM, "expected TENANT/STORE, two UUIDs"));
    }
    let token = gathered.set(TOKEN).map(|token| Zeroizing::new(token.trim().to_owned()));
    if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
        problems
            .push(Problem::new(TOKEN, "a bearer's token is of letters, digits and signs, without spaces"));
    }
    let fee_ceiling = fees::gwei(gathered.text(CEILING));
    let fee_ceiling = fee_ceiling
        .map_err(|problem| problems.push(Problem::new(CEILING, &problem)))
        .ok()
        .filter(|wei| *wei > 0);
    (problems.len() == known).then_some(())?;
    Some(FacilitatorSettings {
        listen: listen?,
        node: node?,
        key: key?,
        stream: stream?,
        tokens: tokens.clone(),
        token,
        records: gathered.set(RECORDS).map(|path| PathBuf::from(path.trim())),
        fee_ceiling,
    })
}

fn listen(gathered: &Gathered, problems: &mut Vec<Problem>) -> Option<SocketAddr> {
    let Ok(listen) = gathered.text(LISTEN).trim().parse::<SocketAddr>() else {
        problems.push(Problem::new(LISTEN, "expected ADDRESS:PORT in numbers, such as 127.0.0.1:8402"));
        return None;
    };
    if !listen.ip().is_loopback() && gathered.set(TOKEN).is_none() {
        let cure = "it can be reached from other machines, and whoever reaches it spends the account's gas: set \
                    X402_FACILITATOR_TOKEN, or listen on 127.0.0.1";
        problems.push(Problem::new(LISTEN, cure));
    }
    Some(listen)
}

/// The problem never repeats the text.
fn key(gathered: &Gathered, problems: &mut Vec<Problem>) -> Option<Zeroizing<String>> {
    let text = Zeroizing::new(gathered.text(KEY).trim().to_owned());
    let key = match ChainKey::from_hex(&text) {
        Ok(key) => key,
        Err(error) => {
            problems.push(Problem::new(KEY, &error.to_string()));
            return None;
        }
    };
    let of_batches = gathered.set(SETTLEMENT_KEY).and_then(|text| ChainKey::from_hex(text.trim()).ok());
    if of_batches.is_some_and(|other| other.address() == key.address()) {
        let cure = "it is the account of X402_SETTLEMENT_KEY: each sends by its own numbers, so each needs an account";
        problems.push(Problem::new(KEY, cure));
    }
    Some(text)
}

fn stream(text: &str) -> Option<StreamKey> {
    let (tenant, store) = text.trim().split_once('/')?;
    let key = StreamKey { tenant_id: tenant.parse().ok()?, store_id: store.parse().ok()? };
    (!key.tenant_id.is_nil() && !key.store_id.is_nil()).then_some(key)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    const WHOLE: [(&str, &str); 4] = [
        (LISTEN, "127.0.0.1:8402"),
        (RPC_URL, "http://127.0.0.1:8545"),
        (KEY, "0707070707070707070707070707070707070707070707070707070707070707"),
        (STREAM, "00000000-0000-4000-8000-000000000001/00000000-0000-4000-8000-000000000002"),
    ];

    fn read_with(settings: &[(&str, &str)]) -> (Option<FacilitatorSettings>, Vec<String>) {
        let environment = settings.iter().map(|(name, text)| (OsString::from(name), OsString::from(text)));
        let gathered = crate::config::gather(environment, None).expect("known settings");
        let mut problems = Vec::new();
        let read =
            read(&gathered, &TokenTable::default(), gathered.set("DATABASE_URL").is_none(), &mut problems);
        (read, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn it_is_whole_or_says_what_is_missing() {
        assert!(matches!(read_with(&[]), (None, problems) if problems.is_empty()));
        let (read, problems) = read_with(&WHOLE);
        assert!(read.is_some_and(|read| read.fee_ceiling == Some(500_000_000_000)), "{problems:?}");
        for left_out in 0..WHOLE.len() {
            let mut some = WHOLE.to_vec();
            let (name, _) = some.remove(left_out);
            let (read, problems) = read_with(&some);
            assert!(read.is_none() && problems.len() == 1 && problems[0].starts_with(name), "{problems:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_no_key_is_repeated() {
        let with = |name: &'static str, text: &'static str| {
            let mut settings = WHOLE.to_vec();
            settings.retain(|(other, _)| *other != name);
            settings.push((name, text));
            let (read, problems) = read_with(&settings);
            assert!(read.is_none() && problems.len() == 1, "{problems:?}");
            assert!(!problems[0].contains("0707") && !problems[0].contains("g7g7"), "{problems:?}");
            problems[0].clone()
        };
        assert!(with(LISTEN, "localhost").starts_with(LISTEN));
        assert!(with(LISTEN, "0.0.0.0:8402").contains(TOKEN));
        assert!(with(KEY, "g7g7").starts_with(KEY));
        assert!(with(SETTLEMENT_KEY, WHOLE[2].1).starts_with(KEY));
        assert!(with(STREAM, "acme").starts_with(STREAM));
        assert!(with(TOKEN, "two words").starts_with(TOKEN));
        assert!(with("DATABASE_URL", "postgres://127.0.0.1/log").starts_with(RECORDS));
        let mut open = WHOLE.to_vec();
        open[0] = (LISTEN, "0.0.0.0:8402");
        open.push((TOKEN, "a-token-for-the-shops-of-this-operator"));
        assert!(read_with(&open).0.is_some());
    }
}
