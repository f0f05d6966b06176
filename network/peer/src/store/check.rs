//! What "a store of sessions" means. Every implementation runs this.

use stateset_ledger_types::ids::EntityId;

use super::{
    INBOX_MESSAGES_MAX, Kept, OUTBOX_BYTES_MAX, OUTBOX_MESSAGES_MAX, SessionStore, StoreError, Stored,
};
use crate::frame::{MessageType, SessionId};

const ALICE: EntityId = EntityId([1; 20]);
const BOB: EntityId = EntityId([2; 20]);
const CAROL: EntityId = EntityId([3; 20]);
const KIND: MessageType = MessageType::Propose;
const FIRST: SessionId = SessionId(7);
/// A store of signed numbers would change its sign.
const SECOND: SessionId = SessionId(u64::MAX - 1);

/// Holds the store that `open` opens to its contract. Each call of `open` opens the same store again, as after a restart;
/// the first one finds it empty.
///
/// # Panics
/// When the store breaks the contract.
pub fn check_session_store<S: SessionStore>(open: impl Fn() -> S) {
    outbox_keeps_order_until_acknowledged(&open);
    inbox_takes_each_message_once(&open);
    bounds_are_kept(&open);
}

fn sequences(stored: &[Stored]) -> Vec<(SessionId, u32)> {
    stored.iter().map(|stored| (stored.session, stored.sequence)).collect()
}

fn outbox_keeps_order_until_acknowledged<S: SessionStore>(open: &impl Fn() -> S) {
    let store = open();
    assert_eq!(store.peers(), Ok(vec![]), "the store is empty at first");
    assert_eq!(store.push(&ALICE, FIRST, KIND, b"a"), Ok(1));
    assert_eq!(store.push(&ALICE, SECOND, KIND, b"b"), Ok(1), "each session has its own sequence");
    assert_eq!(store.push(&ALICE, FIRST, KIND, b"c"), Ok(2));
    assert_eq!(store.push(&BOB, FIRST, KIND, b"d"), Ok(1), "and each entity its own sessions");
    drop(store);
    let store = open();
    let outbox = store.outbox(&ALICE, 0, 10).unwrap();
    assert_eq!(sequences(&outbox), [(FIRST, 1), (SECOND, 1), (FIRST, 2)]);
    assert_eq!(outbox.iter().map(|stored| stored.payload.as_slice()).collect::<Vec<_>>(), [b"a", b"b", b"c"]);
    assert!(outbox.is_sorted_by(|a, b| a.place < b.place) && outbox[0].place > 0);
    assert_eq!(store.outbox(&ALICE, 0, 2).unwrap(), outbox[..2]);
    assert_eq!(store.outbox(&ALICE, outbox[0].place, 10).unwrap(), outbox[1..]);
    assert_eq!(store.peers(), Ok(vec![ALICE, BOB]));
    assert_eq!(store.acknowledge(&ALICE, FIRST, 1), Ok(()));
    assert_eq!(sequences(&store.outbox(&ALICE, 0, 10).unwrap()), [(SECOND, 1), (FIRST, 2)]);
    assert_eq!(store.acknowledge(&ALICE, FIRST, 2), Ok(()));
    assert_eq!(store.acknowledge(&ALICE, SECOND, 1), Ok(()));
    assert_eq!(store.acknowledge(&BOB, FIRST, 1), Ok(()));
    assert_eq!(store.peers(), Ok(vec![]));
    drop(store);
    assert_eq!(open().push(&ALICE, FIRST, KIND, b"e"), Ok(3), "sequences go on, also when nothing waits");
    let ahead = StoreError::Ahead { session: FIRST, received: 8, sent: 3 };
    assert_eq!(open().acknowledge(&ALICE, FIRST, 8), Err(ahead));
    let renumbered = open().outbox(&ALICE, 0, 10).unwrap();
    assert_eq!(sequences(&renumbered), [(FIRST, 9)], "an old copy sends what it has as new");
    assert_eq!(renumbered[0].payload, b"e");
    assert_eq!(open().push(&ALICE, FIRST, KIND, b"f"), Ok(10));
    assert_eq!(open().acknowledge(&ALICE, FIRST, 10), Ok(()));
    let ahead = StoreError::Ahead { session: SECOND, received: 5, sent: 1 };
    assert_eq!(open().acknowledge(&ALICE, SECOND, 5), Err(ahead));
    assert_eq!(open().push(&ALICE, SECOND, KIND, b"g"), Ok(6), "also when nothing waits");
    assert_eq!(open().acknowledge(&ALICE, SECOND, 6), Ok(()));
    assert_eq!(open().peers(), Ok(vec![]));
}

fn inbox_takes_each_message_once<S: SessionStore>(open: &impl Fn() -> S) {
    let store = open();
    let keep = |sequence| store.keep(&ALICE, FIRST, sequence, KIND, &[u8::try_from(sequence).unwrap()]);
    assert_eq!(keep(1), Ok(Kept::New));
    assert_eq!(keep(1), Ok(Kept::Duplicate { last: 1 }));
    assert_eq!(keep(2), Ok(Kept::New));
    assert_eq!(keep(9), Ok(Kept::New), "gaps are taken");
    assert_eq!(keep(3), Ok(Kept::Duplicate { last: 9 }), "and not filled later: order is kept");
    assert_eq!(store.keep(&ALICE, SECOND, 1, KIND, b"s"), Ok(Kept::New));
    assert_eq!(store.keep(&BOB, FIRST, 1, KIND, b"b"), Ok(Kept::New));
    drop(store);
    let store = open();
    let inbox = store.inbox(&ALICE, 10).unwrap();
    assert_eq!(sequences(&inbox), [(FIRST, 1), (FIRST, 2), (FIRST, 9), (SECOND, 1)]);
    assert_eq!(store.inbox(&ALICE, 1).unwrap(), inbox[..1]);
    assert_eq!(store.peers(), Ok(vec![ALICE, BOB]));
    for stored in inbox {
        assert_eq!(store.handled(&ALICE, stored.place), Ok(()));
    }
    let of_bob = store.inbox(&BOB, 10).unwrap();
    assert_eq!(store.handled(&BOB, of_bob[0].place), Ok(()));
    assert_eq!(store.peers(), Ok(vec![]));
    drop(store);
    assert_eq!(
        open().keep(&ALICE, FIRST, 9, KIND, b"9"),
        Ok(Kept::Duplicate { last: 9 }),
        "what was handled stays known"
    );
}

fn bounds_are_kept<S: SessionStore>(open: &impl Fn() -> S) {
    let store = open();
    let large = vec![0; OUTBOX_BYTES_MAX / 16];
    for _ in 0..16 {
        store.push(&CAROL, FIRST, KIND, &large).unwrap();
    }
    let full = StoreError::OutboxFull { messages: 16, bytes: OUTBOX_BYTES_MAX };
    assert_eq!(store.push(&CAROL, FIRST, KIND, b"1"), Err(full));
    store.acknowledge(&CAROL, FIRST, 16).unwrap();
    assert_eq!(store.push(&CAROL, FIRST, KIND, b""), Ok(17), "what was refused took no sequence");
    for _ in 1..OUTBOX_MESSAGES_MAX {
        store.push(&CAROL, FIRST, KIND, b"").unwrap();
    }
    let full = StoreError::OutboxFull { messages: OUTBOX_MESSAGES_MAX, bytes: 0 };
    assert_eq!(store.push(&CAROL, FIRST, KIND, b""), Err(full));
    for sequence in (1..).take(INBOX_MESSAGES_MAX) {
        assert_eq!(store.keep(&CAROL, FIRST, sequence, KIND, b""), Ok(Kept::New));
    }
    let next = u32::try_from(INBOX_MESSAGES_MAX).unwrap() + 1;
    assert_eq!(store.keep(&CAROL, FIRST, next, KIND, b""), Ok(Kept::Full));
    assert_eq!(
        store.keep(&CAROL, FIRST, 1, KIND, b""),
        Ok(Kept::Duplicate { last: next - 1 }),
        "known also while there is no room"
    );
    let first = store.inbox(&CAROL, 1).unwrap()[0].place;
    store.handled(&CAROL, first).unwrap();
    assert_eq!(store.keep(&CAROL, FIRST, next, KIND, b""), Ok(Kept::New), "refused is not received");
}
