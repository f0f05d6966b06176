//! Keys of agents and of callers.

use crate::{json, run, world};

#[test]
fn a_rotated_key_is_registered_before_the_old_one_falls_and_asking_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (stream, agent) = world::make(at, 4);
    let next = agent.with_key(ves::KeyId(2));
    let (tenant, id) = (stream.tenant_id.to_string(), agent.agent_id.to_string());
    let public = ves::hex::encode(&next.public_key());
    let rotate = [
        "rotate-keys",
        "--tenant-id",
        &tenant,
        "--agent-id",
        &id,
        "--new-key-id",
        "2",
        "--public-key",
        &public,
    ];

    let forged = ves::hex::encode(&agent.possession_bound());
    let (status, _, error) = run(at, &[&rotate[..], &["--proof-of-possession", &forged]].concat());
    assert!(status == 2 && error.contains("--proof-of-possession"), "{error}");

    let (status, _, error) = run(at, &rotate);
    assert!(status == 2 && error.contains("--proof-of-possession is missing"), "{error}");
    assert!(error.contains("AGENT_KEY_POP=optional"), "{error}");

    let proof = ves::hex::encode(&next.possession_bound());
    let (status, done) =
        json(at, &[&rotate[..], &["--proof-of-possession", &proof, "--revoke-old"]].concat());
    assert_eq!(
        (status, &done["revoked"], &done["already_there"]),
        (0, &serde_json::json!([1]), &false.into())
    );
    let (status, again) = json(at, &[&rotate[..], &["--revoke-old"]].concat());
    assert_eq!(
        (status, &again["revoked"], &again["already_there"]),
        (0, &serde_json::json!([]), &true.into())
    );

    let (_, listed) = json(at, &["list-agent-keys", "--tenant-id", &tenant, "--agent-id", &id]);
    let states: Vec<_> =
        listed["keys"].as_array().unwrap().iter().map(|key| (&key["keyId"], &key["status"])).collect();
    assert_eq!(format!("{states:?}"), r#"[(Number(1), String("revoked")), (Number(2), String("active"))]"#);
    let other = "99999999-9999-4999-8999-999999999999";
    assert_eq!(
        json(at, &["list-agent-keys", "--tenant-id", other]).1["count"],
        0,
        "another tenant sees none"
    );

    let older = [
        "rotate-keys",
        "--tenant-id",
        &tenant,
        "--agent-id",
        &id,
        "--new-key-id",
        "1",
        "--public-key",
        &public,
    ];
    assert_eq!(run(at, &older).0, 2, "a number is not used twice");
    let weak =
        ["rotate-keys", "--tenant-id", &tenant, "--agent-id", &id, "--new-key-id", "3", "--public-key"];
    let (status, _, error) = run(at, &[&weak[..], &[&ves::hex::encode(&agent.public_key())]].concat());
    assert!(status == 2 && error.contains("key 1, which is revoked"), "{error}");
    let small_order = "0100000000000000000000000000000000000000000000000000000000000000";
    let (status, _, error) = run(at, &[&weak[..], &[small_order]].concat());
    assert!(status == 2 && error.contains("--public-key"), "{error}");
}

#[test]
fn a_key_needs_no_proof_where_the_service_asks_for_none() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (stream, agent) = world::make(at, 2);
    let (tenant, id) = (stream.tenant_id.to_string(), agent.agent_id.to_string());
    let public = ves::hex::encode(&agent.with_key(ves::KeyId(2)).public_key());
    let rotate = ["rotate-keys", "--tenant-id", &tenant, "--agent-id", &id, "--new-key-id", "2"];
    let rotate = [&rotate[..], &["--public-key", &public]].concat();
    let output = crate::admin(at).env("AGENT_KEY_POP", "optional").args(&rotate).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let third = ves::hex::encode(&agent.with_key(ves::KeyId(3)).public_key());
    let rotate = [&rotate[..5], &["--new-key-id", "3", "--public-key", &third]].concat();
    let output = crate::admin(at).env("AGENT_KEY_POP", "sometimes").args(&rotate).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("AGENT_KEY_POP"), "{error}");
}

#[test]
fn a_key_is_shown_once_stored_as_its_hash_and_dead_after_revocation() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (stream, agent) = world::make(at, 2);
    let (tenant, id) = (stream.tenant_id.to_string(), agent.agent_id.to_string());
    let (status, made) =
        json(at, &["api-keys", "create", "--tenant-id", &tenant, "--agent-id", &id, "--read-only"]);
    assert_eq!((status, &made["permissions"]), (0, &serde_json::json!(["read"])));
    let key = made["api_key"].as_str().unwrap();
    assert!(key.starts_with(&format!("ss_{}", &tenant[..8])));
    let prefix = made["key_hash_prefix"].as_str().unwrap();

    let (_, listed) = json(at, &["api-keys", "list", "--tenant-id", &tenant]);
    assert_eq!((&listed["count"], &listed["keys"][0]["keyHashPrefix"]), (&1.into(), &prefix.into()));
    assert!(!listed.to_string().contains(key));
    let stored = std::fs::read(at.join("log.db")).unwrap();
    assert!(!stored.windows(key.len()).any(|window| window == key.as_bytes()), "only its hash is kept");

    assert_eq!(json(at, &["api-keys", "revoke", prefix]).1["was_active"], true);
    assert_eq!(json(at, &["api-keys", "revoke", prefix]).1["was_active"], false);
    assert_eq!(json(at, &["api-keys", "list"]).1["count"], 0);
    assert_eq!(json(at, &["api-keys", "list", "--all"]).1["keys"][0]["active"], false);
    assert_eq!(run(at, &["api-keys", "revoke", "0000000000000000"]).0, 2);
    assert_eq!(run(at, &["api-keys", "revoke", "short"]).0, 2);
    let nil = "00000000-0000-0000-0000-000000000000";
    assert_eq!(
        run(at, &["api-keys", "create", "--tenant-id", nil, "--admin"]).0,
        2,
        "every tenant has to be said"
    );
    let (status, made) = json(at, &["api-keys", "create", "--all-tenants", "--admin"]);
    assert_eq!((status, made["tenant_id"].as_str()), (0, Some(nil)));
}

#[test]
fn a_write_waits_for_no_service_and_says_what_to_do_while_one_runs() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (stream, _) = world::make(at, 2);
    let service = world::open(at);
    let create = ["api-keys", "create", "--tenant-id", &stream.tenant_id.to_string()];
    let (status, _, error) = run(at, &create);
    assert!(status == 1 && error.contains("stop it") && error.contains("--server"), "{error}");
    assert_eq!(json(at, &["api-keys", "list"]).0, 0, "reads go beside it");
    tokio::runtime::Runtime::new().unwrap().block_on(service.shutdown());
    assert_eq!(run(at, &create).0, 0);
}
