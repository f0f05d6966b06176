//! Four validators: agreement, conflicts, the loss of one and of two.

use std::time::Duration;

use crate::key_value::{CONFLICT, MALFORMED};
use crate::world::{World, until};

#[test]
fn four_validators_agree_and_conflicts_have_one_winner() {
    let Some(world) = World::start(4) else { return };
    let validators = &world.validators;
    assert_eq!(validators[0].send("no transaction"), u64::from(MALFORMED));
    for (at, validator) in validators.iter().enumerate() {
        for number in 0..5 {
            assert_eq!(validator.send(&format!("key-{at}-{number}=value")), 0);
        }
    }
    // Both are good for the node that has them; the order of the block decides.
    std::thread::scope(|scope| {
        scope.spawn(|| validators[1].send("contested=left"));
        scope.spawn(|| validators[2].send("contested=right"));
    });
    let (winner, _) = until("a winner", || validators[0].get("contested"));
    assert!(["left", "right"].contains(&winner.as_str()));
    for validator in validators {
        assert_eq!(until("the winner", || validator.get("contested")).0, winner);
        for key in ["key-0-4", "key-1-4", "key-2-4", "key-3-4"] {
            until(key, || validator.get(key));
        }
        assert_eq!(validator.send("contested=late"), u64::from(CONFLICT));
    }
    let height = validators[0].height().unwrap();
    world.wait_for(&[0, 1, 2, 3], height + 1);
    assert!(world.agreed_heights(4) as u64 >= height);
}

#[test]
fn one_lost_validator_is_outvoted_two_stop_the_chain_until_they_return() {
    let Some(mut world) = World::start(4) else { return };
    world.validators[3].crash();
    assert_eq!(world.validators[0].send("without=one"), 0);
    for validator in &world.validators[..3] {
        until("a block without the fourth", || validator.get("without"));
    }

    world.validators[2].stop();
    // What was voted for before the loss may still be committed.
    let stopped = until("the chain to stop", || {
        let before = world.validators[0].height()?;
        std::thread::sleep(Duration::from_millis(1500));
        (world.validators[0].height()? == before).then_some(before)
    });
    assert_eq!(world.validators[0].send("without=two"), u64::from(CONFLICT));
    assert_eq!(world.validators[0].send("waiting=for two"), 0);
    assert_eq!(world.validators[1].get("waiting"), None);

    world.start_one(2);
    world.start_one(3);
    for at in 0..4 {
        until(&format!("recovery of validator {at}"), || world.validators[at].get("waiting"));
    }
    world.wait_for(&[0, 1, 2, 3], stopped + 2);
    // The one that was away longest executed every height that it missed.
    assert!(world.agreed_heights(4) as u64 >= stopped);
}
