//! Paths of queries whose answer is one key of the state (section 14), and so can be proven.

use ves::Digest;

use crate::StateKey;
use crate::ids::{AccountId, Denom, EntityId, SettlementId, SpentKey, TxId};

/// The paths of queries. Words in braces stand for ids; hashes and ids are in hexadecimal. Lists are pages of at most `limit` rows,
/// 500 where it is left out, and a mebibyte; the next page is that after the last id.
pub const PATHS: &[&str] = &[
    "/ssn/status",
    "/ssn/notary/tx/{tx_id}",
    "/ssn/notary/spent/{spent_key}",
    "/ssn/notary/seq/{entity_id}",
    "/ssn/entities?after={entity_id}&limit={n}",
    "/ssn/entities/{entity_id}",
    "/ssn/entities/by-cert/{hash}",
    "/ssn/params",
    "/ssn/params/{name}",
    "/ssn/gov/proposals?after={number}&limit={n}",
    "/ssn/gov/proposals/{number}",
    "/ssn/gov/proposals/{number}/votes?after={entity_id}&limit={n}",
    "/ssn/gov/upgrade",
    "/ssn/gov/attesters/{number}",
    "/ssn/contracts",
    "/ssn/bank/{account}?after={denom}&limit={n}",
    "/ssn/bank/{account}/{denom}",
    "/ssn/bank/audit",
    "/ssn/settle/{settlement_id}",
    "/ssn/escrow/{settlement_id}",
    "/ssn/anchor/{stream}/head",
    "/ssn/anchor/{stream}/{batch}",
    "/ssn/capsules?from={height/index/n}&limit={n}",
    "/store/{substore}/key",
];

/// The key that the answer to `path` rests on. `None` for answers made of several keys, and for what is no path.
pub fn key_of(path: &str) -> Option<StateKey> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let ["ssn", parts @ ..] = parts.as_slice() else { return None };
    Some(match parts {
        ["notary", "tx", id] => StateKey::tx(&id.parse::<TxId>().ok()?),
        ["notary", "spent", key] => StateKey::spent(&key.parse::<SpentKey>().ok()?),
        ["notary", "seq", id] => StateKey::seq(&id.parse::<EntityId>().ok()?),
        ["entities", "by-cert", hash] => StateKey::cert(&hash.parse::<Digest>().ok()?),
        ["entities", id] => StateKey::entity(&id.parse::<EntityId>().ok()?),
        ["params"] => StateKey::params(),
        ["gov", "proposals", id] => StateKey::proposal(id.parse().ok()?),
        ["gov", "upgrade"] => StateKey::upgrade_plan(),
        ["gov", "attesters", id] => StateKey::attester_policy(id.parse().ok()?),
        ["contracts"] => StateKey::contract_set(),
        ["bank", account, denom @ ..] if !denom.is_empty() && *account != "audit" => {
            StateKey::balance(&account.parse::<AccountId>().ok()?, &Denom::new(denom.join("/")).ok()?)
        }
        ["settle", id] => StateKey::settlement(&id.parse::<SettlementId>().ok()?),
        ["escrow", id] => StateKey::escrow(&id.parse::<SettlementId>().ok()?),
        ["anchor", stream, "head"] => StateKey::anchor_head(&stream.parse::<Digest>().ok()?),
        ["anchor", stream, batch] => {
            StateKey::anchor_batch(&stream.parse::<Digest>().ok()?, batch.parse().ok()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_one_key_name_it() {
        let id = "07".repeat(32);
        let named = |path: &str| key_of(path).map(|key| key.to_string());
        assert_eq!(named(&format!("/ssn/notary/tx/{id}")), Some(format!("notary/tx/{id}")));
        assert_eq!(named(&format!("/ssn/anchor/{id}/head")), Some(format!("anchor/{id}/head")));
        assert_eq!(named(&format!("ssn/anchor/{id}/12")), Some(format!("anchor/{id}/12")));
        let account = "05".repeat(20);
        assert_eq!(
            named(&format!("/ssn/bank/{account}/ibc/usd")),
            Some(format!("bank/bal/{account}/ibc/usd"))
        );
        assert_eq!(named("/ssn/params"), Some("gov/params".to_owned()));
        assert_eq!(named("/ssn/gov/attesters/7"), Some("gov/attester/7".to_owned()));
    }

    #[test]
    fn lists_and_nonsense_name_none() {
        let account = "05".repeat(20);
        let of_account = format!("/ssn/bank/{account}");
        for path in [
            "",
            "/",
            "/ssn",
            "/ssn/entities?after={entity_id}&limit={n}",
            "/ssn/notary/tx/",
            "/ssn/notary/tx/07",
            "/ssn/bank/audit",
            "/ssn/status",
            "/ssn/gov/proposals/x",
            "/ssn/anchor/07/head",
            "/store/bank/key",
            of_account.as_str(),
        ] {
            assert_eq!(key_of(path), None, "{path}");
        }
    }
}
