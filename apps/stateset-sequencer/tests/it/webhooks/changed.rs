//! Receivers that change, pause, ask for time, or want nothing more.

use stateset_sequencer::{WebhookChange, WebhookStatus};

use super::*;

const HOUR_MS: i64 = 60 * 60 * 1000;

impl Term {
    async fn change(&self, webhook: &Webhook, change: WebhookChange) -> Webhook {
        let changed = self.sequencer.update_webhook(&webhook.tenant_id, &webhook.webhook_id, change).await;
        changed.expect("is changed")
    }

    async fn pause(&self, webhook: &Webhook, is_active: bool) -> Webhook {
        self.change(webhook, WebhookChange { is_active: Some(is_active), ..WebhookChange::default() }).await
    }

    async fn now_is(&self, webhook: &Webhook) -> Webhook {
        self.sequencer.webhook(&webhook.tenant_id, &webhook.webhook_id).await.expect("it is there")
    }

    /// The lane of the first stream, once it is so.
    async fn lane(
        &self,
        webhook: &Webhook,
        is_so: impl Fn(&stateset_sequencer::WebhookLane) -> bool,
    ) -> stateset_sequencer::WebhookLane {
        let began = Instant::now();
        loop {
            let lanes = self.sequencer.webhook_lanes(webhook).await.unwrap();
            if let Some(lane) =
                lanes.into_iter().find(|lane| lane.store_id == first().store_id && is_so(lane))
            {
                return lane;
            }
            assert!(began.elapsed() < LONG, "the lane does not come there");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Shop {
    fn numbers(&self) -> Vec<u64> {
        self.taken().iter().map(Came::number).collect()
    }

    /// By which of these secrets each delivery is signed.
    fn signed_by(&self, webhooks: &[&Webhook]) -> Vec<Vec<bool>> {
        let secrets = webhooks.iter().map(|webhook| Secret::parse(webhook.secret.text()).expect("a secret"));
        let secrets: Vec<Secret> = secrets.collect();
        let is_by = |came: &Came, secret: &Secret| {
            let header = |name: &str| came.headers[name].as_str();
            let now_s = header("webhook-timestamp").parse().expect("seconds");
            let (id, at, signatures) =
                (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
            secret.verify(id, at, signatures, &came.body, now_s).is_ok()
        };
        self.taken().iter().map(|came| secrets.iter().map(|secret| is_by(came, secret)).collect()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_goes_at_once_to_the_address_that_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (term, old, new) = (Term::open(folder.path(), NOW.0).await, Shop::open(), Shop::open());
    let webhook = term.webhook(&old, NewWebhook::default()).await;
    old.says(DOWN);
    term.orders(&first(), 1..=3).await;
    term.lane(&webhook, |lane| lane.failures == 1).await;
    // The clock stands still: nothing would be tried again by itself.
    term.change(&webhook, WebhookChange { url: Some(new.url()), ..WebhookChange::default() }).await;
    new.until("all of them", |shop| shop.taken().len() == 3).await;
    assert_eq!((new.numbers(), old.taken().len()), (vec![1, 2, 3], 0));
    let lane = term.lane(&webhook, |lane| lane.next == SequenceNumber(4)).await;
    assert_eq!((lane.failures, lane.last_error, lane.given_up), (0, None, 0));
    term.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_longer_wanted_holds_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (term, shop) = (Term::open(folder.path(), NOW.0).await, Shop::open());
    let webhook = term.webhook(&shop, NewWebhook::default()).await;
    shop.says(DOWN);
    let of = |n, kind: &str| sign_payload(&agent(1), &first(), n, kind, "{}".into());
    term.send(&first(), vec![of(1, "order.noted"), of(2, "order.paid")]).await;
    term.lane(&webhook, |lane| lane.failures == 1).await;
    shop.says(TAKEN);
    let wanted = Some(vec!["order.paid".to_owned()]);
    term.change(&webhook, WebhookChange { event_types: wanted, ..WebhookChange::default() }).await;
    shop.until("the one that is wanted", |shop| !shop.taken().is_empty()).await;
    assert_eq!(shop.numbers(), [2]);
    term.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_receiver_hears_nothing_and_everything_once_it_is_active_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut term, shop) = (Term::open(folder.path(), NOW.0).await, Shop::open());
    let webhook = term.webhook(&shop, NewWebhook::default()).await;
    let paused = term.pause(&webhook, false).await;
    assert_eq!((paused.status, paused.status_since), (WebhookStatus::Paused, Some(NOW)));
    term.orders(&first(), 1..=5).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Also after a restart.
    term.stop().await;
    term = Term::open(folder.path(), NOW.0 + 1000).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((shop.taken().len(), shop.refused.load(Ordering::SeqCst)), (0, 0));
    term.pause(&webhook, true).await;
    shop.until("everything", |shop| shop.taken().len() == 5).await;
    assert_eq!(shop.numbers(), [1, 2, 3, 4, 5]);
    term.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_410_is_sent_nothing_more_until_an_administrator_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (term, shop) = (Term::open(folder.path(), NOW.0).await, Shop::open());
    let webhook = term.webhook(&shop, NewWebhook::default()).await;
    shop.says("410 Gone");
    term.orders(&first(), 1..=2).await;
    let lane = term.lane(&webhook, |lane| lane.failures == 1).await;
    assert_eq!(
        (lane.next, lane.last_error.as_deref()),
        (SequenceNumber(1), Some("the receiver answered 410"))
    );
    let began = Instant::now();
    while term.now_is(&webhook).await.status != WebhookStatus::Gone {
        assert!(began.elapsed() < LONG, "it stays active");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    shop.says(TAKEN);
    term.clock.0.fetch_add(DAY_MS, Ordering::SeqCst);
    term.orders(&second(), 11..=12).await;
    tokio::time::sleep(Duration::from_millis(1300)).await;
    assert_eq!((shop.taken().len(), shop.refused.load(Ordering::SeqCst)), (0, 1));
    let active = term.pause(&webhook, true).await;
    assert_eq!((active.status, active.status_since), (WebhookStatus::Active, Some(term.clock.now())));
    shop.until("all of both streams", |shop| shop.taken().len() == 4).await;
    term.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_time_with_429_or_503_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let (term, shop) = (Term::open(folder.path(), NOW.0).await, Shop::open());
    let webhook = term.webhook(&shop, NewWebhook::default()).await;
    for (failures, said, wait_ms) in [
        (1, "429 Slow Down\r\nretry-after: 7200", 2 * HOUR_MS),
        (2, "503 Down\r\nretry-after: 9999999", 24 * HOUR_MS),
    ] {
        shop.says(said);
        if failures == 1 {
            term.orders(&first(), 1..=1).await;
        } else {
            term.clock.0.fetch_add(2 * HOUR_MS, Ordering::SeqCst);
        }
        let lane = term.lane(&webhook, |lane| lane.failures == failures).await;
        let (_, retry_at) = lane.failing.expect("it failed");
        assert_eq!(retry_at.0 - term.clock.now().0, wait_ms, "{said}");
    }
    // Our own wait would be over by now.
    shop.says(TAKEN);
    term.clock.0.fetch_add(HOUR_MS, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1300)).await;
    assert!(shop.taken().is_empty());
    term.clock.0.fetch_add(23 * HOUR_MS, Ordering::SeqCst);
    shop.until("when its time is over", |shop| shop.taken().len() == 1).await;
    term.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_secrets_sign_while_one_takes_the_place_of_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let (mut term, shop) = (Term::open(folder.path(), NOW.0).await, Shop::open());
    let first_secret = term.webhook(&shop, NewWebhook::default()).await;
    let (tenant, id) = (first_secret.tenant_id, first_secret.webhook_id);
    let deliver = async |term: &Term, n: u64| {
        term.orders(&first(), n..=n).await;
        shop.until("the event", |shop| shop.taken().len() as u64 == n).await;
        shop.signed_by(&[&first_secret]).last().expect("one")[0]
    };
    assert!(deliver(&term, 1).await);
    let second_secret = term.sequencer.rotate_webhook_secret(&tenant, &id, HOUR_MS).await.expect("another");
    assert!(deliver(&term, 2).await);
    // It survives a restart, as the receiver does.
    term.stop().await;
    term = Term::open(folder.path(), NOW.0 + 1000).await;
    assert!(deliver(&term, 3).await);
    term.clock.0.store(NOW.0 + HOUR_MS, Ordering::SeqCst);
    assert!(!deliver(&term, 4).await, "its time is over");
    let third_secret = term.sequencer.rotate_webhook_secret(&tenant, &id, 0).await.expect("another");
    deliver(&term, 5).await;
    let signed = shop.signed_by(&[&first_secret, &second_secret, &third_secret]);
    assert_eq!(
        signed,
        [
            [true, false, false],
            [true, true, false],
            [true, true, false],
            [false, true, false],
            [false, false, true]
        ]
    );
    // Three at most, however often it is changed.
    for _ in 0..5 {
        term.sequencer.rotate_webhook_secret(&tenant, &id, HOUR_MS).await.expect("another");
    }
    assert_eq!(term.now_is(&third_secret).await.signing_secrets(term.clock.now()).count(), 3);
    term.stop().await;
}
