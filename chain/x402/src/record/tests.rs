use alloy_primitives::U256;

use super::*;

fn record(nonce: u8, stage: Stage) -> Record {
    let authorization = Authorization {
        from: Address::repeat_byte(1),
        to: Address::repeat_byte(2),
        value: U256::from(10_000),
        valid_after: U256::ZERO,
        valid_before: U256::from(2_000),
        nonce: B256::repeat_byte(nonce),
    };
    Record {
        key: PaymentKey {
            chain_id: 84_532,
            token: Address::repeat_byte(3),
            from: authorization.from,
            nonce: authorization.nonce,
        },
        stage,
        authorization,
        signature: Bytes::from(vec![5; 65]),
        token_name: "USDC".to_owned(),
        token_version: "2".to_owned(),
        version: 2,
        resource: "GET /demo/paid".to_owned(),
        from_block: 7,
        reserved_at: 1_000,
        logged: None,
        sale: Uuid::from_u128(nonce.into()),
        hold: Hold::Asked,
        earlier: Vec::new(),
        undone: None,
        is_firm: false,
    }
}

fn sent() -> Stage {
    let (transaction, sender) = (B256::repeat_byte(9), Address::repeat_byte(4));
    Stage::Sent { transaction, sender, account_nonce: 3, attempts: Vec::new() }
}

#[test]
fn the_last_state_of_a_payment_survives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("payments");
    let records = Records::open(&path, 1_000).unwrap();
    records.put(record(1, Stage::Reserved)).unwrap();
    records.put(record(2, Stage::Reserved)).unwrap();
    records.put(record(1, sent())).unwrap();
    assert!(matches!(Records::open(&path, 1_000), Err(OpenError::InUse { .. })), "one process");
    drop(records);
    let records = Records::open(&path, 1_000).unwrap();
    assert_eq!(records.get(&record(1, sent()).key), Some(record(1, sent())));
    assert_eq!(records.open_ones().len(), 2);
}

#[test]
fn a_line_that_a_crash_cut_short_is_cut_off_and_one_that_is_broken_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("payments");
    let records = Records::open(&path, 1_000).unwrap();
    records.put(record(1, sent())).unwrap();
    records.put(record(2, Stage::Reserved)).unwrap();
    drop(records);
    let whole = std::fs::read(&path).unwrap();
    for cut in 1..150 {
        std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        let records = Records::open(&path, 1_000).unwrap();
        assert_eq!(records.open_ones(), [record(1, sent())], "{cut} bytes short");
        records.put(record(3, Stage::Reserved)).unwrap();
        drop(records);
        assert_eq!(Records::open(&path, 1_000).unwrap().open_ones().len(), 2, "{cut} bytes short");
    }
    let mut spoiled = whole.clone();
    spoiled[10] ^= 1;
    std::fs::write(&path, spoiled).unwrap();
    assert!(matches!(Records::open(&path, 1_000), Err(OpenError::Broken { line: 1, .. })));
}

#[test]
fn what_ended_long_ago_is_forgotten_and_what_did_not_end_never() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("payments");
    let records = Records::open(&path, 1_000).unwrap();
    let settled = Stage::Settled { transaction: B256::repeat_byte(9), block_number: 5, block_hash: None };
    records.put(Record { logged: Some(Logged::Nowhere), ..record(1, settled.clone()) }).unwrap();
    records.put(record(2, settled)).unwrap();
    drop(records);
    let key = record(1, sent()).key;
    assert!(Records::open(&path, 2_000 + KEPT_S).unwrap().get(&key).is_some());
    let records = Records::open(&path, 2_001 + KEPT_S).unwrap();
    assert_eq!(records.get(&key), None);
    assert_eq!(records.open_ones().len(), 1, "one is not told to the log yet");
    drop(records);
    let lines = std::fs::read(&path).unwrap().iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, 1, "the file is as long as what matters");
}

#[test]
fn a_settled_payment_is_kept_until_it_was_seen_standing_deep_enough() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("payments");
    let block_hash = Some(B256::repeat_byte(8));
    let settled = Stage::Settled { transaction: B256::repeat_byte(9), block_number: 5, block_hash };
    let watched = Record { logged: Some(Logged::Nowhere), ..record(1, settled) };
    Records::open(&path, 1_000).unwrap().put(watched.clone()).unwrap();
    let records = Records::open(&path, 9_000 + KEPT_S).unwrap();
    assert_eq!(records.watched(84_532), std::slice::from_ref(&watched));
    records.put(Record { is_firm: true, ..watched.clone() }).unwrap();
    assert!(records.watched(84_532).is_empty());
    drop(records);
    assert_eq!(Records::open(&path, 9_000 + KEPT_S).unwrap().get(&watched.key), None);
}
