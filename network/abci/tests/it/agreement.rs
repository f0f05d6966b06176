//! Four validators of the ledger: agreement, conflicting spends, the loss of one and of two, restarts at chance.

use std::time::Duration;

use stateset_fixtures::ledger_requests::Random;
use stateset_ledger_types::Code;

use crate::ledger::{LEDGER, Member};
use crate::world::{World, until};

fn members() -> [Member; 4] {
    [1, 2, 3, 4].map(Member::new)
}

#[test]
fn four_validators_agree_and_of_conflicting_spends_at_two_nodes_one_wins() {
    let Some(world) = World::start(LEDGER, 4) else { return };
    let (validators, mut members) = (&world.validators, members());
    assert_eq!(validators[0].send(b"no request"), u64::from(Code::Unsupported.code()));
    let mut ids = Vec::new();
    for (validator, member) in validators.iter().zip(&mut members) {
        for _ in 0..5 {
            let (tx_id, bytes) = member.notarisation();
            assert_eq!(validator.send(&bytes), 0);
            ids.push(tx_id);
        }
    }
    // Both are good for the node that has them; the order of the block decides.
    let (left, right) = (members[1].consuming(9, 1), members[2].consuming(9, 2));
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(validators[1].send(&left), 0));
        scope.spawn(|| assert_eq!(validators[2].send(&right), 0));
    });
    let winner = until("a winner", || validators[0].consumer(9));
    for validator in validators {
        assert_eq!(until("the winner", || validator.consumer(9)), winner);
        for tx_id in &ids {
            until("a notarisation", || validator.is_notarised(tx_id).then_some(()));
        }
    }
    let late = members[3].consuming(9, 3);
    // The pool takes it: what it consumes is judged in the block.
    assert_eq!(validators[3].send(&late), 0);
    let conflict = u64::from(Code::Conflict.code());
    assert_eq!(validators[0].result(&late), conflict);
    let mut codes = Vec::from([&left, &right].map(|sent| validators[0].result(sent)));
    // A proposer leaves the second one out of its block; the next proposer takes it, since its pool still has it.
    codes.sort();
    assert_eq!(codes, [0, conflict]);
    let height = validators[0].height().unwrap();
    world.wait_for(&[0, 1, 2, 3], height + 1);
    assert!(world.agreed_heights(4) as u64 >= height);
}

#[test]
fn one_lost_validator_is_outvoted_two_stop_the_chain_until_they_return() {
    let Some(mut world) = World::start(LEDGER, 4) else { return };
    let [mut member, ..] = members();
    world.validators[3].crash();
    let (first, bytes) = member.notarisation();
    assert_eq!(world.validators[0].send(&bytes), 0);
    for validator in &world.validators[..3] {
        until("a block without the fourth", || validator.is_notarised(&first).then_some(()));
    }

    world.validators[2].stop();
    // What was voted for before the loss may still be committed.
    let stopped = until("the chain to stop", || {
        let before = world.validators[0].height()?;
        std::thread::sleep(Duration::from_millis(1500));
        (world.validators[0].height()? == before).then_some(before)
    });
    let (waiting, bytes) = member.notarisation();
    assert_eq!(world.validators[0].send(&bytes), 0);
    assert!(!world.validators[1].is_notarised(&waiting));

    world.start_one(2);
    world.start_one(3);
    for at in 0..4 {
        let validator = &world.validators[at];
        until(&format!("recovery of validator {at}"), || validator.is_notarised(&waiting).then_some(()));
    }
    world.wait_for(&[0, 1, 2, 3], stopped + 2);
    // The one that was away longest executed every height that it missed.
    assert!(world.agreed_heights(4) as u64 >= stopped);
}

#[test]
fn validators_that_end_and_crash_at_chance_say_the_same_app_hash_at_every_height() {
    let Some(mut world) = World::start(LEDGER, 4) else { return };
    let (mut members, mut random) = (members(), Random(8));
    let (mut ids, mut crashes) = (Vec::new(), 0);
    for _ in 0..8 {
        // Validator 0 hears every request, so that each one's numbers arrive in order; one of the others goes.
        let goes = 1 + random.below(3) as usize;
        if random.below(2) == 0 {
            world.validators[goes].crash();
            crashes += 1;
        } else {
            world.validators[goes].stop();
        }
        for member in &mut members {
            let (tx_id, bytes) = member.notarisation();
            assert_eq!(world.validators[0].send(&bytes), 0);
            ids.push(tx_id);
        }
        if random.below(2) == 0 {
            // Without it, and when it returns it has a block to catch up with.
            let last = ids.last().expect("some were sent");
            until("a block of the others", || world.validators[0].is_notarised(last).then_some(()));
        }
        world.start_one(goes);
    }
    assert!((1..8).contains(&crashes), "{crashes} crashes");
    for (at, validator) in world.validators.iter().enumerate() {
        for tx_id in &ids {
            validator.until(&format!("a notarisation at validator {at}"), |validator| {
                validator.is_notarised(tx_id).then_some(())
            });
        }
    }
    let height = world.validators[0].height().unwrap();
    world.wait_for(&[0, 1, 2, 3], height);
    assert!(world.agreed_heights(4) as u64 >= height - 1);
}
