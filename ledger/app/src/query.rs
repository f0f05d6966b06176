//! Queries by path (section 14). Answers with a tree key name its place, so that the engine can prove it.

mod capsules;

use stateset_ledger_types::codec::Encode;
use stateset_ledger_types::ids::{AccountId, Denom, Units};
use stateset_ledger_types::query::{PATHS, key_of};
use stateset_ledger_types::{Code, StateKey, Substore};

use crate::application::{Fault, QueryAnswer};
use crate::bank;
use crate::overlay::{Overlay, decode};
use crate::state::StateReader;

/// Most rows of one answer.
const ROWS_MAX: usize = 500;

/// Answers `path`; `data` is the key for `/store/<substore>/key`. Values are canonical encodings; lists are u32 count and items.
///
/// # Errors
/// [`Fault`] when the state cannot be read.
pub fn answer(state: &dyn StateReader, height: u64, path: &str, data: &[u8]) -> Result<QueryAnswer, Fault> {
    let overlay = Overlay::new(state);
    if let Some(key) = key_of(path) {
        return at(&overlay, &key);
    }
    if let Some(question) = path.strip_prefix("/ssn/capsules?") {
        return Ok(capsules::answer(&overlay, question)?.unwrap_or_else(|| malformed(path)));
    }
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["ssn", "entities"] => list(&overlay, Substore::Entities, "", |key| key.path.len() == 40),
        ["ssn", "params", name] => {
            let params: stateset_ledger_types::Params = overlay.expect(&StateKey::params())?;
            Ok(params.get(name).map_or_else(|| missing(path), |value| plain(value.to_sce())))
        }
        ["ssn", "gov", "proposals"] => list(&overlay, Substore::Gov, "proposal/", |_| true),
        ["ssn", "gov", "proposals", id, "votes"] => match id.parse::<u64>() {
            Ok(id) => list(&overlay, Substore::Gov, &format!("vote/{id:020}/"), |_| true),
            Err(_) => Ok(malformed(path)),
        },
        ["ssn", "bank", "audit"] => audit(&overlay),
        ["ssn", "bank", account] => balances(&overlay, path, account),
        ["ssn", "status"] => status(&overlay, height),
        // Any key of the state, as light clients of other chains ask for it.
        ["store", name, "key"] => match Substore::from_name(name) {
            Some(substore) if !data.is_empty() => at(&overlay, &StateKey { substore, path: data.to_vec() }),
            _ => Ok(malformed(path)),
        },
        _ => Ok(malformed(path)),
    }
}

fn plain(value: Vec<u8>) -> QueryAnswer {
    QueryAnswer { value, ..QueryAnswer::default() }
}

fn missing(what: impl std::fmt::Display) -> QueryAnswer {
    let log = format!("NOT_FOUND: {what}");
    QueryAnswer { code: Code::NotFound.code(), log, ..QueryAnswer::default() }
}

fn malformed(path: &str) -> QueryAnswer {
    let paths = PATHS.join(", ");
    let log = format!("MALFORMED: {path} is no query, or an id in it is none; there are {paths}");
    QueryAnswer { code: Code::Malformed.code(), log, ..QueryAnswer::default() }
}

/// The value at a key; an absent one too has a place, whose absence can be proven.
fn at(overlay: &Overlay<'_>, key: &StateKey) -> Result<QueryAnswer, Fault> {
    let value = overlay.get_raw(key)?;
    let mut answer = value.map_or_else(|| missing(key), plain);
    answer.place = Some((key.substore, key.path.clone()));
    Ok(answer)
}

fn list(
    overlay: &Overlay<'_>,
    substore: Substore,
    prefix: &str,
    keep: impl Fn(&StateKey) -> bool,
) -> Result<QueryAnswer, Fault> {
    let rows = overlay.prefix(substore, prefix, usize::MAX)?;
    let values: Vec<Vec<u8>> =
        rows.into_iter().filter(|(key, _)| keep(key)).map(|(_, value)| value).take(ROWS_MAX).collect();
    let mut answer = (values.len() as u32).to_sce();
    values.iter().for_each(|value| answer.extend_from_slice(value));
    Ok(plain(answer))
}

/// All of an account as a list of denomination and units.
fn balances(overlay: &Overlay<'_>, path: &str, account: &str) -> Result<QueryAnswer, Fault> {
    let Ok(account) = account.parse::<AccountId>() else { return Ok(malformed(path)) };
    let prefix = format!("bal/{account}/");
    let rows = overlay.prefix(Substore::Bank, &prefix, ROWS_MAX)?;
    let mut value = (rows.len() as u32).to_sce();
    for (key, units) in rows {
        let denom =
            std::str::from_utf8(&key.path[prefix.len()..]).ok().and_then(|text| Denom::new(text).ok());
        let corrupt = || Fault::Corrupt { place: key.to_string(), problem: "not a balance".to_owned() };
        denom.ok_or_else(corrupt)?.encode(&mut value);
        decode::<Units>(&key, &units)?.encode(&mut value);
    }
    Ok(plain(value))
}

/// A list of denomination, supply, balances, escrows, channels.
fn audit(overlay: &Overlay<'_>) -> Result<QueryAnswer, Fault> {
    let found = bank::audit(overlay)?;
    let mut value = (found.len() as u32).to_sce();
    for (denom, holding) in &found {
        denom.encode(&mut value);
        for units in [holding.supply, holding.balances, holding.escrows, holding.channels] {
            units.encode(&mut value);
        }
    }
    let broken = found.iter().find(|(_, holding)| !holding.is_conserved());
    let mut answer = plain(value);
    if let Some((denom, holding)) = broken {
        answer.code = Code::Invariant.code();
        answer.log = format!("INVARIANT: {denom} is not conserved: {holding:?}");
    }
    Ok(answer)
}

/// Chain id, height, version of the rules, hash of the parameters.
fn status(overlay: &Overlay<'_>, height: u64) -> Result<QueryAnswer, Fault> {
    let chain: stateset_ledger_types::genesis::ChainRecord = overlay.expect(&StateKey::chain())?;
    let params: stateset_ledger_types::Params = overlay.expect(&StateKey::params())?;
    let mut value = chain.chain_id.to_sce();
    height.encode(&mut value);
    chain.app_version.encode(&mut value);
    params.hash().encode(&mut value);
    Ok(plain(value))
}
