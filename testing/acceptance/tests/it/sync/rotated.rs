//! The sequencer signs with a new key: agents name it, and believe it once a person says so.

use stateset_acceptance::Instance;
use stateset_acceptance::instance::ADMIN;
use stateset_fixtures::stream;
use ves::ed25519::SigningKey;

use super::agent::{Agent, Doors};

fn instance(url: &str, seed: [u8; 32]) -> Instance {
    Instance::start(url, &[("VES_SEQUENCER_SIGNING_KEY", &ves::hex::encode(&seed))])
}

fn doors(instance: &Instance) -> Doors {
    Doors { rest: instance.url().to_owned(), grpc: format!("grpc://{}", instance.grpc()) }
}

#[test]
fn a_rotated_key_of_the_sequencer_is_named_and_believed_when_a_person_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}/events.db", folder.path().display());
    let (old, new) = ([5; 32], [6; 32]);
    let first = instance(&url, old);
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, ADMIN).expect("is written");
    let (stream, reached) = (stream(1), doors(&first));
    let agent = Agent::bare(folder.path().join("agent"), Vec::new());
    let public = |seed| ves::hex::encode(&SigningKey::from_seed(seed).public_key());
    agent.good(&[
        "init",
        "--server",
        &reached.rest,
        "--transport",
        "grpc",
        "--grpc-server",
        &reached.grpc,
        "--tenant",
        &stream.tenant_id.to_string(),
        "--store",
        &stream.store_id.to_string(),
        "--sequencer-key",
        &public(old),
        "--api-key-file",
        key_file.to_str().expect("a plain path"),
    ]);
    agent.good(&["keys:generate"]);
    agent.append(0..3);
    assert_eq!(agent.good(&["push"])["receipted"], 3);
    assert_eq!(agent.good(&["pull"])["events"], 3);
    assert!(first.stop().success());

    let second = instance(&url, new);
    agent.talks_to(&doors(&second));
    agent.append(3..5);
    let unknown = || (Some(1), "SEQUENCER_KEY_UNKNOWN".to_owned());
    assert_eq!(agent.refused(&["push"]), unknown());
    assert_eq!(agent.refused(&["keys:list", "--agent", &agent.id()]), unknown());
    assert_eq!(agent.refused(&["trust", &public([7; 32])]), (Some(1), "OTHER_SEQUENCER".to_owned()));
    assert_eq!(agent.refused(&["push"]), unknown(), "a key that the server does not name changes nothing");
    agent.good(&["trust", &public(new)]);
    assert_eq!(agent.good(&["push"])["receipted"], 2, "the first answer again");
    assert_eq!(agent.good(&["pull"])["events"], 2);
    assert_eq!(agent.good(&["verify"])["events"], 5, "under the key of each time");
    let checks = agent.good(&["doctor"]);
    assert!(checks.as_array().is_some_and(|all| all.iter().all(|one| one["ok"] == true)), "{checks}");
    assert!(second.stop().success());
}
