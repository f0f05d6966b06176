//! The audit log: each act with its record or neither, in one chain that outlives restarts.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use stateset_event_log::{EventLog as _, SqliteLog, Table};
use stateset_fixtures::sequencer_key;
use stateset_sequencer::{
    Act, Action, Actor, Document, DocumentChange, RegisterError, Sequencer, ServiceError,
};
use ves::KeyId;
use ves::audit::{ActorType, AuditCheck, AuditHead, AuditRecord, HEAD_KEY};
use ves::ed25519::{PublicKey, Signer, SignerError};
use ves::keys::AgentKey;

use crate::world::World;

async fn records(sequencer: &Sequencer) -> Vec<AuditRecord> {
    sequencer.audit_records(0, 1000).await.expect("records")
}

/// Checks the whole chain and that the sequencer's word covers all of it.
async fn assert_sound(sequencer: &Sequencer, length: u64) {
    let stated = sequencer.audit_statement().await.expect("readable").expect("a statement");
    assert!(stated.is_by(&PublicKey::from_bytes(&sequencer.public_key()).expect("a key")));
    assert_eq!(stated.head.seq, length);
    let mut check = AuditCheck::default();
    check.expect(AuditHead { seq: stated.head.seq, hash: stated.head.hash }, "the statement");
    for record in records(sequencer).await {
        check.row(&record.seq.to_be_bytes(), &record.text().expect("JSON"));
    }
    let report = check.finish();
    assert_eq!((report.findings, report.records), (Vec::new(), length));
}

fn other_key(world: &World, n: u32) -> AgentKey {
    world.agent.with_key(KeyId(n)).registered_key()
}

#[tokio::test]
async fn acts_are_recorded_with_who_did_them_and_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let actor = Actor {
        request_id: Some("request-1".to_owned()),
        address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        user_agent: Some("x".repeat(1000)),
        ..Actor::new(ActorType::ApiKey, "0011223344556677")
    };
    let admin = world.sequencer.acting(actor);
    admin.register_agent_key(other_key(&world, 2)).await.expect("a key");
    let tenant = world.stream.tenant_id;
    admin.revoke_agent_key(&tenant, &world.agent.agent_id, KeyId(2)).await.expect("revoked");
    admin.revoke_agent_key(&tenant, &world.agent.agent_id, KeyId(2)).await.expect("revoked before");
    let group =
        admin.create_encryption_group(&tenant, "all".to_owned(), None, Vec::new()).await.expect("a group");
    admin.delete_encryption_group(&tenant, &group.group_id).await.expect("deleted");
    let found = records(&world.sequencer).await;
    let actions: Vec<&str> = found.iter().map(|record| record.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "agent_key_registered",
            "agent_key_rotated",
            "agent_key_revoked",
            "custom:encryption_group_created",
            "custom:encryption_group_deleted"
        ]
    );
    assert_eq!((found[0].actor_type, found[1].actor_type), (ActorType::System, ActorType::ApiKey));
    assert_eq!(
        (found[1].actor.as_str(), found[1].request_id.as_deref(), found[1].ip_address.as_deref()),
        ("0011223344556677", Some("request-1"), Some("127.0.0.1"))
    );
    assert_eq!(found[1].user_agent.as_ref().map(String::len), Some(256), "texts of callers are bounded");
    assert_sound(&world.sequencer, 5).await;
    world.close().await;

    let world = World::open(dir.path()).await;
    assert_eq!(world.sequencer.audit_head().seq, 5);
    world
        .sequencer
        .record(vec![Act::new(Action::RotationPolicySet), Act::new(Action::RotationPolicyRemoved)])
        .await
        .expect("recorded");
    assert_sound(&world.sequencer, 7).await;
    assert_eq!(world.sequencer.metrics().audit_records, 2);
    world.close().await;
}

/// A key that can be out of reach.
struct Flaky {
    key: ves::SigningKey,
    is_out_of_reach: AtomicBool,
}

impl Signer for Flaky {
    fn public_key(&self) -> [u8; 32] {
        self.key.public_key()
    }
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        match self.is_out_of_reach.load(SeqCst) {
            true => Err(SignerError("out of reach".to_owned())),
            false => Ok(self.key.sign(message)),
        }
    }
}

#[tokio::test]
async fn an_act_that_cannot_be_recorded_is_not_carried_out() {
    let dir = tempfile::tempdir().unwrap();
    let signer = Arc::new(Flaky { key: sequencer_key(1), is_out_of_reach: AtomicBool::new(false) });
    let world = World::open_configured(dir.path(), |config| config.signer = signer.clone()).await;
    signer.is_out_of_reach.store(true, SeqCst);
    let refused = world.sequencer.register_agent_key(other_key(&world, 2)).await;
    assert!(matches!(refused, Err(RegisterError::Service(ServiceError::StoreRefused(_)))), "{refused:?}");
    assert_eq!(world.sequencer.agent_keys(&world.stream.tenant_id, None).len(), 1);
    let change = DocumentChange::Put(
        Table::EncryptionGroups,
        Document { key: vec![1], text: "{}".to_owned(), content: Vec::new() },
    );
    assert!(
        world.sequencer.put_documents_as(Act::new(Action::CommitmentRequested), vec![change]).await.is_err()
    );
    assert_eq!(world.sequencer.document(Table::EncryptionGroups, &[1]).await.expect("read"), None);
    assert_eq!(records(&world.sequencer).await.len(), 1);
    signer.is_out_of_reach.store(false, SeqCst);
    world.sequencer.register_agent_key(other_key(&world, 2)).await.expect("a key");
    assert_sound(&world.sequencer, 2).await;
    world.close().await;
}

#[tokio::test]
async fn nothing_is_recorded_where_the_audit_log_is_off() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open_configured(dir.path(), |config| config.audit = false).await;
    world.sequencer.record(vec![Act::new(Action::CommitmentRequested)]).await.expect("nothing to do");
    world.sequencer.register_agent_key(other_key(&world, 2)).await.expect("a key");
    assert_eq!(records(&world.sequencer).await, []);
    assert_eq!(world.sequencer.audit_statement().await.expect("read"), None);
    world.close().await;
}

#[tokio::test]
async fn a_chain_whose_end_was_cut_off_goes_on_and_the_gap_stays() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    world
        .sequencer
        .record(vec![Act::new(Action::LoginSuccess), Act::new(Action::LoginFailure)])
        .await
        .expect("recorded");
    world.close().await;
    let mut log = SqliteLog::open(dir.path().join("log.db")).expect("the log");
    log.put_documents(&[DocumentChange::Remove(Table::AuditLog, 3_u64.to_be_bytes().to_vec())])
        .expect("removed");
    assert!(log.reader().document(Table::AuditLog, HEAD_KEY).expect("read").is_some());
    Box::new(log).close().expect("closed");

    let world = World::open(dir.path()).await;
    world.sequencer.record(vec![Act::new(Action::ConfigUpdated)]).await.expect("recorded");
    let numbers: Vec<u64> = records(&world.sequencer).await.iter().map(|record| record.seq).collect();
    assert_eq!(numbers, [1, 2, 4]);
    world.close().await;
}

#[tokio::test]
async fn a_changed_configuration_is_recorded_once() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let settings = |port: &str| [("PORT".to_owned(), port.to_owned())].into();
    for port in ["1", "1", "2", "2"] {
        world.sequencer.record_configuration(settings(port)).await.expect("recorded");
    }
    let found = records(&world.sequencer).await;
    let changes: Vec<_> = found.iter().filter(|record| record.action == "config_updated").collect();
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[1].details, serde_json::json!({ "changed": { "PORT": { "from": "1", "to": "2" } } }));
    world.close().await;
}
