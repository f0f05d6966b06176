//! Lists of section 14, a page at a time.

use stateset_ledger_app::application::{Application, QueryAnswer};
use stateset_ledger_types::Code;
use stateset_ledger_types::codec::{Blob, Decode, List, Text};
use stateset_ledger_types::entity::Entity;
use stateset_ledger_types::governance::{Action, GovernanceMessage, Proposal, RootChange, Submit};
use stateset_ledger_types::ids::EntityId;

use crate::world::{World, code};

fn asked(world: &World, path: &str) -> QueryAnswer {
    world.ledger.query(&world.state, world.height, path, &[]).unwrap()
}

fn page<T: Decode>(world: &World, path: &str) -> Vec<T> {
    let answer = asked(world, path);
    assert_eq!(answer.code, 0, "{path}: {}", answer.log);
    List::<T, 500>::from_sce(&answer.value).unwrap().into_vec()
}

/// As large as a request may be, and of no use to anybody.
fn junk() -> GovernanceMessage {
    let change = |number| {
        let certificate = Blob::new(vec![7; 8_192]).unwrap();
        Action::RootChange(RootChange { number, certificate })
    };
    let actions = List::new((0..7).map(change).collect::<Vec<_>>()).unwrap();
    GovernanceMessage::Submit(Box::new(Submit { title: Text::new("").unwrap(), actions, expedited: false }))
}

#[test]
fn no_member_makes_a_list_unreadable_for_the_others() {
    let mut world = World::new();
    for _ in 0..90 {
        let tx = world.govern(4, junk());
        assert_eq!(code(&world.run(tx)), None);
    }
    let (mut seen, mut pages, mut path) = (Vec::new(), 0, "/ssn/gov/proposals".to_owned());
    loop {
        let proposals: Vec<Proposal> = page(&world, &path);
        let Some(last) = proposals.last() else { break };
        path = format!("/ssn/gov/proposals?after={}", last.id);
        seen.extend(proposals.iter().map(|proposal| proposal.id));
        pages += 1;
    }
    assert_eq!(seen, (1..=90).collect::<Vec<u64>>());
    assert!(pages > 4, "{pages} pages");
    assert!(asked(&world, "/ssn/gov/proposals").value.len() <= 1 << 20);
}

#[test]
fn a_page_goes_on_after_the_last_one() {
    let world = World::new();
    let all: Vec<Entity> = page(&world, "/ssn/entities");
    let ids: Vec<EntityId> = all.iter().map(|one| one.entity_id).collect();
    assert!(ids.len() > 3);
    let mut paged: Vec<EntityId> = Vec::new();
    loop {
        let after = paged.last().map_or(String::new(), |last| format!("&after={last}"));
        let next: Vec<Entity> = page(&world, &format!("/ssn/entities?limit=2{after}"));
        assert!(next.len() <= 2);
        if next.is_empty() {
            break;
        }
        paged.extend(next.iter().map(|one| one.entity_id));
    }
    assert_eq!(paged, ids);
}

#[test]
fn a_question_that_a_path_does_not_take_is_malformed() {
    let world = World::new();
    for path in [
        "/ssn/entities?from=00",
        "/ssn/entities?after=",
        "/ssn/entities?limit=many",
        "/ssn/gov/proposals?after=x",
        "/ssn/gov/proposals/1?limit=2",
        "/ssn/status?limit=2",
        "/ssn/bank/audit?after=usd",
        "/ssn/capsules",
    ] {
        assert_eq!(asked(&world, path).code, Code::Malformed.code(), "{path}");
    }
}
