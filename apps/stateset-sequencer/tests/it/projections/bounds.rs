//! States that are too deep, too large, or unreadable: they stop neither their stream nor a page.

use std::path::Path;
use std::sync::Arc;

use stateset_event_log::{DocumentChange, EventLog as _, LogReader, SqliteLog, SqliteReader, Table};
use stateset_fixtures::stream;
use stateset_sequencer::DeadLetterReason;
use stateset_sequencer_api::{EntitiesFound, EntitiesWanted, ReadModels as _};
use stateset_sequencer_app::joined::projections::{States, check, status};

use super::{NOW_MS, Term, status_of};

fn reader(folder: &Path) -> Arc<dyn LogReader> {
    Arc::new(SqliteReader::open(folder.join("log.db")).unwrap())
}

async fn listed(term: &Term, entity_type: &str, after: Option<&str>) -> EntitiesFound {
    let wanted = EntitiesWanted { entity_type, status: None, after, limit: 1_000 };
    States.entities(&term.sequencer, &term.stream, wanted).await.unwrap()
}

fn nested(levels: usize) -> String {
    format!("{}{}", r#"{"a":"#.repeat(levels - 1) + "{}", "}".repeat(levels - 1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deepest_payload_that_comes_in_is_a_dead_letter_and_every_state_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let term = Term::open(folder.path(), NOW_MS).await;
    let product = |levels| format!(r#"{{"attributes":{},"name":"n","sku":"s"}}"#, nested(levels));
    term.send(1, ("product", "P-1"), "product.created", &product(64)).await;
    term.send(2, ("product", "P-2"), "product.created", &product(125)).await;
    term.send(3, ("product", "P-3"), "product.created", &product(1)).await;
    assert_eq!(term.sequencer.head(&term.stream).head_sequence.get(), 3, "ingest takes them");
    term.caught_up().await;
    let ids: Vec<_> =
        listed(&term, "product", None).await.entities.into_iter().map(|e| e.entity_id).collect();
    assert_eq!(ids, ["P-1", "P-3"]);
    let letters = term.letters().await;
    assert_eq!((letters.len(), letters[0].reason), (1, DeadLetterReason::InvariantViolation));
    assert!(letters[0].message.starts_with("$.attributes: has more than 64"), "{}", letters[0].message);
    term.close().await;

    // Read from the store and not from memory.
    let term = Term::open(folder.path(), NOW_MS).await;
    term.send(4, ("product", "P-1"), "product.deactivated", "{}").await;
    term.caught_up().await;
    assert_eq!(status_of(term.state(("product", "P-1"), None).await).as_deref(), Some("inactive"));
    term.close().await;
    let reader = reader(folder.path());
    assert_eq!(check(&reader, &stream(1)).unwrap().differences, vec![]);
    assert_eq!(status(reader.as_ref(), &stream(1)).unwrap().generation, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_can_not_be_read_back_leaves_its_entity_partial_and_builds_nothing_anew() {
    let folder = tempfile::tempdir().unwrap();
    let term = Term::open(folder.path(), NOW_MS).await;
    for (n, order) in [(1, "O-1"), (2, "O-2")] {
        term.send(n, ("order", order), "order.created", r#"{"customer_id":"C"}"#).await;
    }
    term.caught_up().await;
    term.close().await;
    let mut log = SqliteLog::open(folder.path().join("log.db")).unwrap();
    let mut document = log.reader().documents(Table::ProjectionStates, &[], None, 1).unwrap().remove(0);
    document.text =
        document.text.replacen(r#""customer_id":"C""#, &format!(r#""customer_id":{}"#, nested(200)), 1);
    log.put_documents(&[DocumentChange::Put(Table::ProjectionStates, document)]).unwrap();
    Box::new(log).close().unwrap();

    let term = Term::open(folder.path(), NOW_MS).await;
    for (n, order) in [(3, "O-1"), (4, "O-2")] {
        term.send(n, ("order", order), "order.confirmed", "{}").await;
    }
    term.caught_up().await;
    let partial = term.state(("order", "O-1"), None).await.unwrap();
    assert_eq!((partial.state, partial.version), (None, 2));
    assert!(partial.unreadable > 0);
    assert_eq!(status_of(term.state(("order", "O-2"), None).await).as_deref(), Some("confirmed"));
    assert_eq!(listed(&term, "order", None).await.entities.len(), 1);
    term.close().await;
    let reader = reader(folder.path());
    assert_eq!(status(reader.as_ref(), &stream(1)).unwrap().generation, 0, "nothing was built anew");
    let differences = check(&reader, &stream(1)).unwrap().differences;
    assert_eq!(differences.len(), 1, "and a check names it");
    assert_eq!(differences[0].entity.entity_id(), "O-1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_large_states_ends_at_its_bytes_and_the_last_page_says_so() {
    const STATES: [&str; 20] = [
        "P-00", "P-01", "P-02", "P-03", "P-04", "P-05", "P-06", "P-07", "P-08", "P-09", "P-10", "P-11",
        "P-12", "P-13", "P-14", "P-15", "P-16", "P-17", "P-18", "P-19",
    ];
    let folder = tempfile::tempdir().unwrap();
    let term = Term::open(folder.path(), NOW_MS).await;
    let product = format!(r#"{{"description":"{}","name":"n","sku":"s"}}"#, "d".repeat(250 << 10));
    for (n, id) in (1..).zip(STATES) {
        term.send(n, ("product", id), "product.created", &product).await;
    }
    let larger = format!(r#"{{"description":"{}","name":"n","sku":"s"}}"#, "d".repeat(257 << 10));
    term.send(21, ("product", "P-20"), "product.created", &larger).await;
    term.caught_up().await;
    let first = listed(&term, "product", None).await;
    assert_eq!((first.entities.len(), first.next_after.as_deref()), (17, Some("P-16")));
    let second = listed(&term, "product", first.next_after.as_deref()).await;
    assert_eq!((second.entities.len(), second.next_after), (3, None));
    let letters = term.letters().await;
    assert_eq!((letters.len(), letters[0].reason), (1, DeadLetterReason::InvariantViolation));
    term.close().await;
}
