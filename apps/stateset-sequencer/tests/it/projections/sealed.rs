//! States and dead letters under encryption at rest: kept, sealed, and in nobody's way when a key is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::Ordering;

use stateset_at_rest::{AtRest, Key, KeyName, Keys, Mode};
use stateset_event_log::SqliteStore;
use stateset_sequencer::DeadLetterReason;
use stateset_sequencer_api::{EntitiesWanted, ReadModels as _};
use stateset_sequencer_app::joined::projections::States;
use stateset_sequencer_app::joined::{WorkerSettings, store};

use super::{LATER_MS, NOW_MS, Term, status_of};

/// Found in no database by accident. As a currency it comes into the message of a dead letter.
const CANARY: &str = "CANARYQ7W2";

fn sealing(mode: Mode, keys: &[u8], lost: &[u8]) -> WorkerSettings {
    let keys: Vec<Key> = keys.iter().map(|n| Key::new([*n; 32])).collect();
    let lost: BTreeSet<KeyName> = lost.iter().map(|n| KeyName::of(&[*n; 32])).collect();
    let keys = Keys::new(mode, &keys, &BTreeMap::new(), lost).expect("sound keys");
    WorkerSettings { at_rest: AtRest::new(keys), ..WorkerSettings::default() }
}

async fn open(folder: &Path, settings: &WorkerSettings) -> Term {
    Term::open_with(folder, NOW_MS, settings, |_| ()).await
}

/// Whether a file of the folder holds the canary.
fn has_canary(folder: &Path) -> bool {
    let holds = |file: std::io::Result<std::fs::DirEntry>| {
        let bytes = std::fs::read(file.expect("a file").path()).expect("readable");
        bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
    };
    std::fs::read_dir(folder).expect("the folder").any(holds)
}

/// A product whose state, whose earlier states and whose dead letter hold the canary; `from` events were sent before.
async fn fill(term: &Term, from: u64, id: &'static str) {
    let product = ("product", id);
    let created = format!(r#"{{"sku":"s","name":"{CANARY}","price":"1","currency":"{CANARY}"}}"#);
    term.send(from + 1, product, "product.created", &created).await;
    term.send(from + 2, product, "product.updated", r#"{"currency":"JPY"}"#).await;
    for n in 3..=258 {
        term.send(from + n, product, "product.updated", r#"{"description":"longer"}"#).await;
    }
    term.caught_up().await;
}

async fn check(term: &Term, ids: &[&'static str]) {
    for id in ids {
        let state = term.state(("product", id), None).await.unwrap();
        assert_eq!((&state.state.as_ref().unwrap()["name"], state.version), (&CANARY.into(), 258));
        let then = term.state(("product", id), Some(state.sequence.get() - 1)).await.unwrap();
        assert_eq!(then.version, 257);
    }
    let wanted = EntitiesWanted { entity_type: "product", status: None, after: None, limit: 10 };
    let listed = States.entities(&term.sequencer, &term.stream, wanted).await.unwrap().entities;
    assert_eq!(listed.len(), ids.len());
    let letters = term.letters().await;
    assert_eq!(letters.len(), ids.len());
    assert!(letters.iter().all(|letter| letter.message.contains(CANARY)), "{letters:?}");
    let rejected = term.sequencer.rejected_events(&term.stream.tenant_id, 0, 10).await.unwrap();
    assert!(rejected.iter().all(|rejected| rejected.refused.message.contains(CANARY)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_optional_to_required_states_are_kept_and_no_byte_of_a_payload_is_ever_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let term = open(at, &sealing(Mode::Optional, &[1], &[])).await;
    fill(&term, 0, "P-1").await;
    check(&term, &["P-1"]).await;
    assert!(!has_canary(at), "while the database is open");
    term.close().await;
    let term = open(at, &sealing(Mode::Required, &[1], &[])).await;
    fill(&term, 1_000, "P-2").await;
    check(&term, &["P-1", "P-2"]).await;
    assert!(!has_canary(at));
    term.close().await;
    assert!(!has_canary(at), "after it was closed");
    // A new key, and the old one may go.
    let both = sealing(Mode::Required, &[2, 1], &[]);
    let term = open(at, &both).await;
    term.until("the new key", async |_| !both.at_rest.status().is_rotating).await;
    term.close().await;
    let term = open(at, &sealing(Mode::Required, &[2], &[])).await;
    check(&term, &["P-1", "P-2"]).await;
    term.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lay_in_clear_is_sealed_before_required_starts_and_refused_until_then() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let term = Term::open(at, NOW_MS).await;
    fill(&term, 0, "P-1").await;
    term.close().await;
    assert!(has_canary(at), "or this test shows nothing");
    let required = sealing(Mode::Required, &[1], &[]);
    let refused = |at: &Path| {
        let opened = store(std::sync::Arc::new(SqliteStore::new(at.join("log.db"))), &required).open();
        matches!(opened, Err(error) if error.to_string().contains("required"))
    };
    assert!(refused(at));
    let optional = sealing(Mode::Optional, &[1], &[]);
    let term = open(at, &optional).await;
    term.until("the re-encryption", async |_| !optional.at_rest.status().is_rotating).await;
    check(&term, &["P-1"]).await;
    term.close().await;

    // What the database holds, without the free space that VACUUM gives back.
    let compact = tempfile::tempdir().unwrap();
    let (from, to) = (at.join("log.db"), compact.path().join("log.db"));
    stateset_event_log::backup_sqlite(&from, &to, std::sync::Arc::new(|_, _| ())).expect("a copy");
    assert!(!has_canary(compact.path()));
    let term = open(compact.path(), &required).await;
    check(&term, &["P-1"]).await;
    fill(&term, 1_000, "P-2").await;
    term.close().await;
    assert!(!has_canary(compact.path()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_lost_stops_neither_its_stream_nor_the_retries_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let term = open(at, &sealing(Mode::Optional, &[1], &[])).await;
    term.send(1, ("order", "O-1"), "order.created", r#"{"customer_id":"C"}"#).await;
    term.send(2, ("order", "O-2"), "order.created", r#"{"customer_id":7}"#).await;
    term.caught_up().await;
    assert_eq!(term.letters().await.len(), 1);
    term.close().await;

    let term = open(at, &sealing(Mode::Optional, &[2], &[1])).await;
    // Its state was sealed by the lost key: the states are made anew, as far as events can be read.
    term.send(3, ("order", "O-1"), "order.confirmed", "{}").await;
    term.send(4, ("order", "O-3"), "order.confirmed", "{}").await;
    term.send(5, ("order", "O-3"), "order.created", r#"{"customer_id":"C"}"#).await;
    term.caught_up().await;
    let partial = term.state(("order", "O-1"), None).await.unwrap();
    assert_eq!((partial.state, partial.version, partial.unreadable), (None, 2, 2));
    assert_eq!(status_of(term.state(("order", "O-3"), None).await).as_deref(), Some("pending"));
    let before = term.letters().await;
    assert_eq!(before.len(), 2);
    assert!(before[0].message.contains("no key"), "{before:?}");

    term.clock.0.fetch_add(LATER_MS, Ordering::SeqCst);
    term.until("the retry behind the lost one", async |term| {
        status_of(term.state(("order", "O-3"), None).await).as_deref() == Some("confirmed")
    })
    .await;
    term.until("the lost one's turn", async |term| term.letters().await[0].retry_count == 1).await;
    let lost = term.letters().await.remove(0);
    assert_eq!(lost.reason, DeadLetterReason::HandlerError);
    assert!(lost.message.contains("no key") && lost.next_retry_at.is_some(), "{lost:?}");
    term.close().await;

    // The key comes back, and with it everything.
    super::build_anew(at);
    let term = open(at, &sealing(Mode::Optional, &[2, 1], &[])).await;
    term.caught_up().await;
    assert_eq!(status_of(term.state(("order", "O-1"), None).await).as_deref(), Some("confirmed"));
    term.close().await;
}
