//! Messages of sessions: order, durability, questions, the end of a membership.

use std::sync::Arc;

use stateset_ledger_types::entity::EntityStatus;
use stateset_ledger_types::x509::check_entity;
use stateset_peer::message::{GetBlob, GetCertChain, RejectCode};
use stateset_peer::{
    Answer, AskError, ConnectionError, Members as _, MemoryStore, Question, SendError, SessionId,
};

use crate::world::{Company, Ledger, NOW, config, number, numbered, session, start, start_with};

#[tokio::test]
async fn messages_arrive_once_and_in_the_order_of_their_session() {
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    let (left, mut right) = (start(&a, &ledger).await, start(&b, &ledger).await);
    left.knows(&right);
    for n in 1..=100 {
        let sequence = left.peers.send(b.id, session(u64::from(n % 3) + 1), &numbered(n)).await.unwrap();
        assert_eq!(sequence, n.div_ceil(3));
    }
    let mut last = [0; 3];
    for _ in 0..100 {
        let delivery = right.next().await;
        assert_eq!(delivery.from, a.id);
        let n = number(&delivery);
        let last = &mut last[(n % 3) as usize];
        assert!(n > *last, "{n} came after {last}");
        *last = n;
    }
    assert!(right.arrived.try_recv().is_err(), "nothing came twice");
    left.peers.close().await;
    right.peers.close().await;
}

#[tokio::test]
async fn a_peer_that_cannot_be_dialled_hears_over_the_connection_it_made() {
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    let store = Arc::new(MemoryStore::default());
    let listening = start(&a, &ledger).await;
    let mut hidden =
        start_with(&b, &ledger, store, stateset_peer::Config { listen: None, ..config(&b) }).await.unwrap();
    listening.peers.send(b.id, session(1), &numbered(1)).await.unwrap();
    hidden.knows(&listening);
    hidden.peers.connect(a.id).await.unwrap();
    assert_eq!(number(&hidden.next().await), 1);
}

#[tokio::test]
async fn what_waits_outlives_the_process_on_both_sides() {
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    let (of_a, of_b) = (Arc::new(MemoryStore::default()), Arc::new(MemoryStore::default()));
    let left = start_with(&a, &ledger, of_a.clone(), config(&a)).await.unwrap();
    for n in 1..=3 {
        left.peers.send(b.id, session(9), &numbered(n)).await.unwrap();
    }
    left.peers.close().await;
    // The peer comes up, then the sender again.
    let mut right = start_with(&b, &ledger, of_b.clone(), config(&b)).await.unwrap();
    let left = start_with(&a, &ledger, of_a.clone(), config(&a)).await.unwrap();
    left.knows(&right);
    for n in 1..=3 {
        assert_eq!(number(&right.next().await), n);
    }
    right.peers.close().await;
    left.peers.send(b.id, session(9), &numbered(4)).await.unwrap();
    let mut right = start_with(&b, &ledger, of_b, config(&b)).await.unwrap();
    left.knows(&right);
    assert_eq!(number(&right.next().await), 4, "and nothing of before");
}

#[tokio::test]
async fn both_dialling_at_once_lose_and_double_nothing() {
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    for _ in 0..5 {
        let (mut left, mut right) = (start(&a, &ledger).await, start(&b, &ledger).await);
        left.knows(&right);
        right.knows(&left);
        for n in 1..=20 {
            let (to_right, to_left) = (numbered(n), numbered(n));
            let both = tokio::join!(
                left.peers.send(b.id, session(1), &to_right),
                right.peers.send(a.id, session(1), &to_left)
            );
            assert_eq!(both, (Ok(n), Ok(n)));
        }
        for n in 1..=20 {
            assert_eq!((number(&left.next().await), number(&right.next().await)), (n, n));
        }
        left.peers.close().await;
        right.peers.close().await;
        assert!(left.arrived.try_recv().is_err() && right.arrived.try_recv().is_err());
    }
}

#[tokio::test]
async fn three_nodes_speak_with_one_another() {
    let companies = [Company::new(1), Company::new(2), Company::new(3)];
    let ledger = Ledger::of(&companies.iter().collect::<Vec<_>>());
    let mut nodes = Vec::new();
    for company in &companies {
        nodes.push(start(company, &ledger).await);
    }
    for from in &nodes {
        for to in nodes.iter().filter(|to| to.id != from.id) {
            from.knows(to);
            for n in 1..=10 {
                from.peers.send(to.id, session(5), &numbered(n)).await.unwrap();
            }
        }
    }
    for node in &mut nodes {
        let mut last = std::collections::BTreeMap::new();
        for _ in 0..20 {
            let delivery = node.next().await;
            assert_eq!(last.insert(delivery.from, number(&delivery)).unwrap_or(0) + 1, number(&delivery));
        }
        assert_eq!(last.len(), 2);
    }
}

#[tokio::test]
async fn questions_are_answered_and_refusals_have_their_name() {
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    let (left, right) = (start(&a, &ledger).await, start(&b, &ledger).await);
    left.knows(&right);
    let question = Question::CertChain(GetCertChain { entity: b.id });
    let Answer::CertChain(answer) = left.peers.ask(b.id, question).await.unwrap() else {
        panic!("another answer")
    };
    let chain: Vec<&[u8]> = answer.certificates.iter().map(|der| &**der).collect();
    let certificate = check_entity(&chain, &ledger.roots(), NOW).unwrap();
    assert_eq!(certificate.is_of(&b.record(), NOW), Ok(()), "what a peer serves is held against the chain");
    let blob = Question::Blob(GetBlob { hash: ves::Digest([1; 32]), offset: 0 });
    let refused = left.peers.ask(b.id, blob.clone()).await;
    assert!(
        matches!(&refused, Err(AskError::Refused(reject)) if reject.code == RejectCode::NotFound),
        "{refused:?}"
    );
    // The other way by the same connection, without an address.
    let refused = right.peers.ask(a.id, blob.clone()).await;
    assert!(matches!(refused, Err(AskError::Refused(_))), "{refused:?}");
    let stranger = Company::new(9).id;
    assert_eq!(left.peers.ask(stranger, blob).await, Err(AskError::UnknownEntity(stranger)));
    assert_eq!(left.peers.connect(stranger).await, Err(ConnectionError::NoAddress(stranger)));
}

#[tokio::test]
async fn what_has_no_place_in_a_session_is_not_sent_in_one() {
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    let left = start(&a, &ledger).await;
    let question = Question::CertChain(GetCertChain { entity: b.id });
    let refused = left.peers.send(b.id, session(1), &question.into()).await;
    assert!(matches!(refused, Err(SendError::NotSequenced(_))), "{refused:?}");
    let refused = left.peers.send(b.id, SessionId::CONNECTION, &numbered(1)).await;
    assert_eq!(refused, Err(SendError::ConnectionSession));
    let stranger = Company::new(9).id;
    let refused = left.peers.send(stranger, session(1), &numbered(1)).await;
    assert_eq!(refused, Err(SendError::UnknownEntity(stranger)));
}

#[tokio::test]
async fn a_suspended_entity_is_cut_off_at_once_and_heard_again_after() {
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    let (left, mut right) = (start(&a, &ledger).await, start(&b, &ledger).await);
    left.knows(&right);
    left.peers.send(b.id, session(1), &numbered(1)).await.unwrap();
    assert_eq!(number(&right.next().await), 1);
    ledger.change(|state| state.entities.get_mut(&a.id).unwrap().status = EntityStatus::Suspended);
    right.peers.recheck();
    while right.peers.status()[0].connections > 0 || left.peers.status()[0].connections > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    left.peers.send(b.id, session(1), &numbered(2)).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(right.arrived.try_recv().is_err(), "a suspended entity is not heard");
    ledger.change(|state| state.entities.get_mut(&a.id).unwrap().status = EntityStatus::Admitted);
    assert_eq!(number(&right.next().await), 2, "what waited arrives");
}

#[tokio::test]
async fn an_orderly_end_is_seen_as_one_by_the_peer() {
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    // Once the side that dialled ends, once the other one.
    for dialler_ends in [true, false] {
        let (left, right) = (start(&a, &ledger).await, start(&b, &ledger).await);
        left.knows(&right);
        left.peers.connect(b.id).await.unwrap();
        while right.peers.status().is_empty() || right.peers.status()[0].connections == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let (ends, sees) = if dialler_ends { (&left, &right) } else { (&right, &left) };
        ends.peers.close().await;
        while sees.peers.status()[0].last_error.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        // The side that dialled may have tried again already.
        let seen = sees.peers.status()[0].last_error.clone();
        let in_order = matches!(seen, Some(ConnectionError::Ended | ConnectionError::Unreachable { .. }));
        assert!(in_order, "closed, not cut: {seen:?}");
    }
}
