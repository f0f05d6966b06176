//! The audit log from outside: exported, verified, and what tampering looks like.

use std::path::Path;

use stateset_event_log::{Document, DocumentChange, EventLog as _, SqliteLog, Table};

use crate::{json, run, world};

/// A log with at least four records: two of a service, two made while none ran.
fn recorded(at: &Path) {
    let (stream, agent) = world::make(at, 4);
    let tenant = stream.tenant_id.to_string();
    for _ in 0..3 {
        let (status, _, error) = run(
            at,
            &["api-keys", "create", "--tenant-id", &tenant, "--agent-id", &agent.agent_id.to_string()],
        );
        assert_eq!(status, 0, "{error}");
    }
}

fn rows(at: &Path) -> Vec<Document> {
    let log = SqliteLog::open(at.join("log.db")).unwrap();
    let rows = log.reader().documents(Table::AuditLog, &[], None, 100).unwrap();
    rows.into_iter().filter(|row| row.key.len() == 8).collect()
}

fn change(at: &Path, changes: &[DocumentChange]) {
    let mut log = SqliteLog::open(at.join("log.db")).unwrap();
    log.put_documents(changes).unwrap();
    Box::new(log).close().unwrap();
}

fn put(document: Document) -> DocumentChange {
    DocumentChange::Put(Table::AuditLog, document)
}

/// Exit status and codes of the findings.
fn verified(at: &Path) -> (i32, Vec<String>) {
    let (status, report) = json_of_failure(at);
    let codes = report["problems"].as_array().unwrap().iter();
    (status, codes.map(|problem| problem["code"].as_str().unwrap().to_owned()).collect())
}

fn json_of_failure(at: &Path) -> (i32, serde_json::Value) {
    json(at, &["audit", "verify"])
}

#[test]
fn acts_made_while_no_service_runs_join_the_chain_and_are_exported() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    recorded(at);
    assert_eq!(verified(at), (0, vec![]));
    // A service that starts signs for what was done meanwhile.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sequencer = world::open(at);
        let stated = sequencer.audit_statement().await.unwrap().expect("a statement");
        assert_eq!(stated.head.seq, 4);
        sequencer.shutdown().await;
    });
    let (status, exported, _) = run(at, &["audit", "export", "--after", "1"]);
    let lines: Vec<serde_json::Value> =
        exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((status, lines.len()), (0, 3));
    assert!(
        lines.iter().all(|line| line["actor_type"] == "admin_cli" && line["action"] == "api_key_created")
    );
    assert!(!exported.contains("ss_"), "no key is in the log");
    let (status, done) = json(at, &["audit", "export", "--output", "audit.ndjson"]);
    assert_eq!((status, &done["records"]), (0, &4.into()));
    assert_eq!(run(at, &["audit", "export", "--output", "audit.ndjson"]).0, 1, "no file is overwritten");
}

#[test]
fn each_way_of_tampering_is_named_and_ends_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    recorded(at);
    let whole = rows(at);
    let restore = || change(at, &whole.iter().cloned().map(put).collect::<Vec<_>>());

    let changed = Document { text: whole[1].text.replace("admin_cli", "system"), ..whole[1].clone() };
    change(at, &[put(changed)]);
    assert_eq!(verified(at), (1, vec!["audit_record_changed".to_owned()]));
    restore();

    change(at, &[DocumentChange::Remove(Table::AuditLog, whole[1].key.clone())]);
    assert_eq!(verified(at), (1, vec!["audit_record_missing".to_owned()]));
    restore();

    let swapped = [
        put(Document { text: whole[2].text.clone(), ..whole[1].clone() }),
        put(Document { text: whole[1].text.clone(), ..whole[2].clone() }),
    ];
    change(at, &swapped);
    let (status, codes) = verified(at);
    assert!(status == 1 && codes.iter().any(|code| code == "audit_record_misplaced"), "{codes:?}");
    restore();

    // The newest records, and the log's own note of them: the sequencer's signed word is left.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async { world::open(at).shutdown().await });
    let cut: Vec<DocumentChange> =
        whole[2..].iter().map(|row| DocumentChange::Remove(Table::AuditLog, row.key.clone())).collect();
    let second = ves::audit::AuditRecord::read(&whole[1].text).unwrap();
    let head = serde_json::json!({ "seq": 2, "hash": second.hash }).to_string();
    change(at, &cut);
    change(at, &[put(Document { key: b"head".to_vec(), text: head, content: Vec::new() })]);
    assert_eq!(verified(at), (1, vec!["audit_log_cut_off".to_owned()]));
    restore();

    let forged = rows_of_statement(at).replace("\"seq\":4", "\"seq\":2");
    change(at, &[put(Document { key: b"statement".to_vec(), text: forged, content: Vec::new() })]);
    assert!(verified(at).1.contains(&"audit_statement_bad".to_owned()));
    let (status, _, error) = run(at, &["audit", "verify"]);
    assert!(status == 1 && error.contains("audit log"), "{error}");
}

fn rows_of_statement(at: &Path) -> String {
    let log = SqliteLog::open(at.join("log.db")).unwrap();
    log.reader().document(Table::AuditLog, b"statement").unwrap().expect("a statement").text
}
