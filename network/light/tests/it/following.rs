//! Trust carried on over a change of validators, asked of a node through a function.

use serde_json::{Value, json};
use stateset_light::{CertificateError, FollowError, Terms, follow};

use crate::made::{NOW, block, by_block, certificate, infos, note, trusted};
use crate::support::Chain;

/// Answers `commit`, `validators` and `status` as a node would, one validator a page; counts the calls.
fn node(chain: &Chain, calls: &mut u32, method: &str, params: &Value) -> Result<Value, String> {
    *calls += 1;
    let height = || params["height"].as_str().and_then(|text| text.parse::<u64>().ok()).expect("a height");
    match method {
        "status" => {
            let latest = chain.blocks.last().expect("blocks").height;
            Ok(json!({"sync_info": {"latest_block_height": latest.to_string()}}))
        }
        "commit" => Ok(
            json!({"signed_header": serde_json::to_value(block(chain, height()).signed_header).expect("JSON")}),
        ),
        "validators" => {
            let listed = infos(chain, height());
            let total = listed.len().to_string();
            Ok(json!({"validators": listed, "count": total, "total": total}))
        }
        other => Err(format!("{other} is not asked")),
    }
}

#[test]
fn a_change_of_all_validators_is_followed_over_the_block_that_announces_it() {
    let mut chain = Chain::new("notes-1");
    chain.block(&["a=b"]);
    let change = chain.block(&["!validator"]).height;
    for n in 0..40 {
        chain.block(&[&format!("c{n}=d")]);
    }
    let (first, latest) = (trusted(&chain, change), chain.blocks.last().expect("blocks").height);
    let after = certificate(&chain, latest - 1, &note("c0"));
    let error = after.verify_at(&note("c0"), &by_block(&first), NOW).expect_err("all changed");
    assert_eq!(error.name(), "TRUSTED_TOO_FEW");

    let mut calls = 0;
    let mut ask = |method: &str, params: &Value| node(&chain, &mut calls, method, params);
    let followed = follow(&mut ask, &first, Terms::default(), None, NOW).expect("followed");
    assert_eq!(followed, trusted(&chain, latest));
    assert!(calls < 40, "{calls} calls");
    // A certificate by that very header, which the followed trust holds.
    assert!(after.verify_at(&note("c0"), &by_block(&followed), NOW).is_ok());
}

#[test]
fn a_node_of_another_chain_is_not_followed() {
    let (mut ours, mut theirs) = (Chain::new("notes-1"), Chain::new("notes-2"));
    for chain in [&mut ours, &mut theirs] {
        (0..6).for_each(|n| drop(chain.block(&[&format!("a{n}=b")])));
    }
    let mut calls = 0;
    let mut ask = |method: &str, params: &Value| node(&theirs, &mut calls, method, params);
    let error = follow(&mut ask, &trusted(&ours, 5), Terms::default(), Some(9), NOW).expect_err("refused");
    let FollowError::Refused { height: 9, problem: CertificateError::WrongChain { .. } } = error else {
        panic!("{error}")
    };
}
