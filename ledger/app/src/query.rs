//! Queries by path (section 14). Answers with a tree key name its place, so that the engine can prove it.

mod capsules;
mod list;
mod question;

use stateset_ledger_types::codec::Encode;
use stateset_ledger_types::ids::{AccountId, Denom, Units};
use stateset_ledger_types::query::{PATHS, key_of};
use stateset_ledger_types::{Code, StateKey, Substore};

use crate::application::{Fault, QueryAnswer};
use crate::bank;
use crate::overlay::{Overlay, decode};
use crate::state::StateReader;
use list::List;
use question::Question;

/// Answers `path`; `data` is the key for `/store/<substore>/key`. Values are canonical encodings; lists are u32 count and items,
/// a page at a time: what is behind it is asked for by `?after=` and the last item's id.
///
/// # Errors
/// [`Fault`] when the state cannot be read.
pub fn answer(state: &dyn StateReader, height: u64, path: &str, data: &[u8]) -> Result<QueryAnswer, Fault> {
    let overlay = Overlay::new(state);
    if let Some(key) = key_of(path) {
        return at(&overlay, &key);
    }
    let (place, question) = path.split_once('?').unwrap_or((path, ""));
    let Some(asked) = Question::parse(question) else { return Ok(malformed(path)) };
    let list = |substore, prefix| List { substore, prefix, after: asked.after, limit: asked.limit };
    let parts: Vec<&str> = place.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["ssn", "capsules"] => Ok(capsules::answer(&overlay, asked)?.unwrap_or_else(|| malformed(path))),
        // Only they take a place; the others go on after an id.
        _ if asked.from.is_some() => Ok(malformed(path)),
        // Beside them are certificates and roots.
        ["ssn", "entities"] => {
            list(Substore::Entities, "").values(&overlay, |key| key.path.len() == 40).map(plain)
        }
        ["ssn", "gov", "proposals"] => {
            let Ok(after) = asked.after.map(str::parse).transpose() else { return Ok(malformed(path)) };
            let after = after.map(|after: u64| format!("{after:020}"));
            let list = List { after: after.as_deref(), ..list(Substore::Gov, "proposal/") };
            list.values(&overlay, |_| true).map(plain)
        }
        ["ssn", "gov", "proposals", id, "votes"] => match id.parse::<u64>() {
            Ok(id) => list(Substore::Gov, &format!("vote/{id:020}/")).values(&overlay, |_| true).map(plain),
            Err(_) => Ok(malformed(path)),
        },
        ["ssn", "bank", account] if *account != "audit" => {
            let Ok(account) = account.parse::<AccountId>() else { return Ok(malformed(path)) };
            balances(&overlay, &list(Substore::Bank, &format!("bal/{account}/")))
        }
        _ if !asked.is_plain() => Ok(malformed(path)),
        ["ssn", "params", name] => {
            let params: stateset_ledger_types::Params = overlay.expect(&StateKey::params())?;
            Ok(params.get(name).map_or_else(|| missing(path), |value| plain(value.to_sce())))
        }
        ["ssn", "bank", "audit"] => audit(&overlay),
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

/// An account's as a list of denomination and units.
fn balances(overlay: &Overlay<'_>, list: &List<'_>) -> Result<QueryAnswer, Fault> {
    let rows = list.rows(overlay, |_| true)?;
    let mut value = (rows.len() as u32).to_sce();
    for (key, units) in rows {
        let denom =
            std::str::from_utf8(&key.path[list.prefix.len()..]).ok().and_then(|text| Denom::new(text).ok());
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
