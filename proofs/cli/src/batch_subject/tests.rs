use ves::{AgentId, Digest};

use super::*;

/// A batch of events 11 to 14 of one agent.
fn events() -> Vec<BatchEvent> {
    (11..15u8)
        .map(|number| BatchEvent {
            number: SequenceNumber(number.into()),
            event_id: EventId::from_bytes([number; 16]),
            author: AgentId::from_bytes([1; 16]),
            signing_hash: Digest([number; 32]),
        })
        .collect()
}

fn read(option: &str, text: &str) -> Result<Numbers, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("numbers");
    std::fs::write(&file, text).unwrap();
    let (amounts, openings) = match option {
        "--amounts" => (Some(file), None),
        _ => (None, Some(file)),
    };
    NumbersArgs { amounts, openings }.read()
}

fn cap(limit: u64) -> AmountPolicy {
    AmountPolicy::with_limit("order_total.cap", limit, None).unwrap()
}

fn subject(option: &str, text: &str, limit: u64) -> Result<Subject, Failure> {
    read(option, text)?.of(&events(), &cap(limit))
}

fn numbers(subject: &Subject) -> (Vec<u64>, Vec<u64>) {
    let proved = subject.proved.iter().map(|(event, _)| event.number.get()).collect();
    (proved, subject.excluded.iter().map(|number| number.get()).collect())
}

/// Ids and numbers in any order; what is not named or breaks the policy is left out.
#[test]
fn amounts_find_their_events_by_id_and_by_number() {
    let id = EventId::from_bytes([12; 16]);
    let found = subject("--amounts", &format!("14 100\n{id}\t7\n11 101\n"), 100).unwrap();
    assert_eq!((numbers(&found), found.above), ((vec![12, 14], vec![11, 13]), 1));
    let values: Vec<u64> = found.proved.iter().map(|(_, opening)| opening.value()).collect();
    assert_eq!(values, [7, 100]);
    assert_eq!(found.commitments().len(), 2);
}

#[test]
fn kept_openings_make_the_same_commitments_again() {
    let first = subject("--amounts", "11 5\n12 6\n14 1000\n", 100).unwrap();
    let again = subject("--openings", &first.to_json(), 100).unwrap();
    assert_eq!((numbers(&again), again.above), (numbers(&first), 1));
    assert_eq!(again.commitments(), first.commitments());
    let fresh = subject("--amounts", "11 5\n12 6\n14 1000\n", 100).unwrap();
    assert_ne!(fresh.commitments(), first.commitments(), "randomness that is not given is drawn");
}

#[test]
fn every_binding_is_over_its_own_event_and_commitment() {
    let key = (KeyId(3), SigningKey::from_seed([7; 32]));
    let public = ves::ed25519::PublicKey::from_bytes(&key.1.public_key()).unwrap();
    let found = subject("--amounts", "12 6\n14 5\n", 100).unwrap();
    let commitments = found.commitments();
    let bindings = found.bindings(&commitments, &key).unwrap();
    let list = |place: usize| [CommittedField { field: found.field.clone(), commitment: commitments[place] }];
    for place in 0..2 {
        let hash = found.proved[place].0.signing_hash;
        assert_eq!(bindings[place].agent_key_id, KeyId(3));
        assert_eq!(bindings[place].verify(&hash, &list(place), &public), Ok(()));
        assert!(bindings[place].verify(&hash, &list(1 - place), &public).is_err());
        assert!(bindings[1 - place].verify(&hash, &list(place), &public).is_err());
    }
}

/// By place, with what is expected; no amount is repeated.
#[test]
fn what_cannot_be_read_or_placed_is_refused_by_name() {
    let opening = |event: &str, name: &str, value: &str| {
        format!(r#"{{"event":{event},"opening":{{"name":"{name}","value":"{value}"}}}}"#)
    };
    let other_id = EventId::from_bytes([99; 16]).to_string();
    let cases = [
        ("--amounts", "11\n".to_owned(), "line 1"),
        ("--amounts", "11 5\n12 5.5\n".to_owned(), "line 2"),
        ("--amounts", "11 5\n\n12 987654\n".to_owned(), "line 2"),
        ("--amounts", "11 \n".to_owned(), "line 1"),
        ("--amounts", "+11 987654\n".to_owned(), "line 1"),
        ("--amounts", "11 -987654\n".to_owned(), "line 1"),
        ("--amounts", String::new(), "names 0 events"),
        ("--amounts", "15 987654\n".to_owned(), "event 15 is not of the batch, which holds 11 to 14"),
        ("--amounts", format!("{other_id} 987654\n"), "is not of the batch"),
        ("--amounts", "11 987654\n11 987654\n".to_owned(), "event 11 is named twice"),
        ("--amounts", format!("11 987654\n{} 987654\n", EventId::from_bytes([11; 16])), "is named twice"),
        ("--openings", "{}".to_owned(), "JSON array"),
        ("--openings", format!("[{}]", opening("-1", "a", "987654")), "openings[0]: event must be"),
        ("--openings", format!("[{}]", opening("11", "a", "987654.5")), "openings[0]"),
        ("--openings", r#"[{"event":11,"value":987654}]"#.to_owned(), "event and opening"),
        (
            "--openings",
            format!("[{},{}]", opening("11", "a", "987654"), opening("\"12\"", "b", "987654")),
            "event 12: all events of a batch commit to one field",
        ),
    ];
    for (option, text, named) in cases {
        let Err(failure) = subject(option, &text, 100) else { panic!("{text}") };
        assert_eq!(failure.exit, 2, "{text}: {}", failure.message);
        assert!(failure.message.contains(named), "{text}: {}", failure.message);
        assert!(!failure.message.contains("987654"), "{text}: {}", failure.message);
    }
    let Err(failure) = subject("--amounts", "11 101\n", 100) else { panic!("it obeys no policy") };
    assert_eq!((failure.exit, failure.code), (1, "POLICY_NOT_SATISFIED"));
}

#[test]
fn events_of_two_agents_are_not_signed_by_one() {
    let mut events = events();
    events[2].author = AgentId::from_bytes([2; 16]);
    let of = |text: &str| read("--amounts", text).unwrap().of(&events, &cap(100));
    assert_eq!(
        numbers(&of("11 5\n12 5\n14 5\n").unwrap()).1,
        [13],
        "an event that is not named may be another's"
    );
    let Err(failure) = of("11 5\n13 5\n") else { panic!("two agents") };
    assert_eq!((failure.exit, failure.code), (2, "OTHER_AGENT"));
    assert!(failure.message.contains("events 11 and 13"), "{}", failure.message);
}
