//! Intents that are answered and not yet filed: guarded, found by whoever reads, and filed once after a crash.

use stateset_event_log::Table;
use stateset_sequencer::{PaymentContent, PaymentError};

use super::{NOW_S, field, signed, unsigned};
use crate::term::Faulty;
use crate::world::{World, config};

impl World {
    async fn rows_of_the_journal(&self) -> usize {
        self.sequencer.documents(Table::PaymentLists, b"j", None, 4_096).await.unwrap().len()
    }

    fn keyed(&self, nonce: u64, key: &str) -> PaymentContent {
        let content = unsigned(&self.agent, &self.stream, nonce);
        signed(&self.agent, PaymentContent { idempotency_key: Some(key.to_owned()), ..content })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_guarded_as_what_is_filed_and_every_reader_finds_it() {
    let world = Faulty::default().world(config()).await;
    let payments = world.sequencer.payments();
    world.pay(world.intent(1)).await;
    let second = world.pay(world.keyed(2, "k")).await;
    assert_eq!(world.rows_of_the_journal().await, 2, "nobody has read yet");

    assert!(matches!(world.refused_payment(world.intent(1)).await, PaymentError::NonceUsed));
    assert!(matches!(world.refused_payment(world.keyed(3, "k")).await, PaymentError::KeyTaken));
    assert_eq!(world.rows_of_the_journal().await, 2, "a refusal reads none of them");

    let found = payments.payment(None, &second.intent_id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&second));
    assert_eq!(world.rows_of_the_journal().await, 0);
    assert_eq!(world.pay(world.keyed(2, "k")).await, second, "a repeat");
    assert!(matches!(world.refused_payment(world.intent(1)).await, PaymentError::NonceUsed));
    assert_eq!(world.pay(world.intent(3)).await.sequence_number, 3);
    assert_eq!(world.listed(None).await.len(), 3, "a list finds the newest");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_in_the_journal_is_filed_once() {
    let disk = Faulty::default();
    let world = disk.world(config()).await;
    let mut paid = vec![world.pay(world.intent(1)).await, world.pay(world.keyed(2, "k")).await];
    // The store dies before anything is filed: neither a reader nor the end of the term can file it.
    disk.fail(true);
    assert!(world.sequencer.payments().announce().await.is_err());
    world.close().await;
    disk.fail(false);

    let world = disk.world(config()).await;
    assert!(matches!(world.refused_payment(world.intent(1)).await, PaymentError::NonceUsed));
    assert!(matches!(world.refused_payment(world.keyed(4, "k")).await, PaymentError::KeyTaken));
    paid.push(world.pay(world.intent(3)).await);
    assert_eq!(world.listed(None).await, paid, "numbers go on where they stood");
    assert_eq!(world.sequencer.payments().announce().await.unwrap(), 6);
    world.close().await;

    let world = disk.world(config()).await;
    assert_eq!((world.rows_of_the_journal().await, world.listed(None).await.len()), (0, 3));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_bounded_though_nobody_reads() {
    let world = Faulty::default().world(config()).await;
    for nonce in 1..=600 {
        world.pay(world.intent(nonce)).await;
    }
    let waiting = world.rows_of_the_journal().await;
    assert!((1..=512).contains(&waiting), "{waiting} rows wait");
    assert_eq!(world.listed(None).await.len(), 600);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_reads_back_however_deep_its_metadata() {
    let nested =
        |levels: usize| (0..levels).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
    let disk = Faulty::default();
    let world = disk.world(config()).await;
    let deep = |nonce, levels| {
        let content = unsigned(&world.agent, &world.stream, nonce);
        signed(&world.agent, PaymentContent { metadata: Some(nested(levels)), ..content })
    };
    for levels in [33, 124] {
        assert_eq!(field(&world.refused_payment(deep(1, levels)).await), "metadata");
    }
    let paid = world.pay(deep(1, 32)).await;
    disk.fail(true);
    world.close().await;
    disk.fail(false);
    let world = disk.world(config()).await;
    assert_eq!(world.listed(None).await, [paid]);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_after_its_time_gets_what_was_accepted_in_time() {
    let world = Faulty::default().world(config()).await;
    let (first, never) = (world.keyed(1, "k"), world.keyed(2, "other"));
    let paid = world.pay(first.clone()).await;
    world.clock.advance_ms(3_601_000);
    assert!(i64::try_from(NOW_S + 3_600).is_ok_and(|end| end * 1_000 < world.sequencer.now().0));
    assert_eq!(world.pay(first).await, paid, "also before it is filed");
    assert_eq!(field(&world.refused_payment(never).await), "valid_until");
    world.close().await;
}
