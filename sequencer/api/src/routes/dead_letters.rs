//! Dead letters and the log of rejections (section 8.1, ours).

use stateset_sequencer::{Action, DeadLetterReason, DeadLetterStatus};
use ves_wire::dead_letters::{
    DeadLetterBody, DeadLetterList, DeadLettersChanged, RejectedEventList, RetryDeadLettersRequest,
};

use super::Routes;
use crate::dead_letters;
use crate::openapi::operation::{Operation, delete, get, number, one_of, post, text, uuid};

pub(crate) fn routes() -> Routes {
    let (all, one) = ("/api/v1/dead-letters", "/api/v1/dead-letters/{event_id}");
    Routes::default()
        .add(
            filtered(letters(get(all, "listDeadLetters", "Events that projections could not apply")))
                .page(100, 1000)
                .query("after", text(1, 64), "The next_after of the page before")
                .answers::<DeadLetterList>()
                .compressed(),
            dead_letters::list,
        )
        .add(
            filtered(letters(delete(all, "purgeDeadLetters", "Remove letters by status and age")))
                .records(&[Action::DeadLetterPurged])
                .query(
                    "older_than_secs",
                    number(0, u32::MAX.into()),
                    "Seconds since a letter was refused, retried or resolved; this, status or both are needed",
                )
                .answers::<DeadLettersChanged>(),
            dead_letters::purge_all,
        )
        .add(
            letters(post(
                "/api/v1/dead-letters/retry",
                "retryDeadLetters",
                "Try all that fit at once, with a whole budget of retries",
            ))
            .records(&[Action::DeadLetterRetried])
            .body::<RetryDeadLettersRequest>()
            .answers::<DeadLettersChanged>(),
            dead_letters::retry_all,
        )
        .add(
            one_letter(get(one, "getDeadLetter", "One letter with the payload of its event"))
                .answers::<DeadLetterBody>()
                .compressed(),
            dead_letters::get,
        )
        .add(
            one_letter(delete(one, "purgeDeadLetter", "Remove one letter; its event stays"))
                .records(&[Action::DeadLetterPurged])
                .answers::<DeadLettersChanged>(),
            dead_letters::purge,
        )
        .add(
            one_letter(post(
                "/api/v1/dead-letters/{event_id}/retry",
                "retryDeadLetter",
                "Try one at once, with a whole budget of retries",
            ))
            .records(&[Action::DeadLetterRetried])
            .answers::<DeadLetterBody>()
            .refuses([409]),
            dead_letters::retry,
        )
        .add(
            letters(get("/api/v1/rejected-events", "listRejectedEvents", "Each refusal of an event"))
                .query("tenant_id", uuid(), "The caller's own when left out")
                .query("from", number(0, i64::MAX as u64), "The first number wanted")
                .page(100, 1000)
                .answers::<RejectedEventList>()
                .compressed(),
            dead_letters::rejected,
        )
}

fn letters(operation: Operation) -> Operation {
    operation.tag("dead letters").administers()
}

fn filtered(operation: Operation) -> Operation {
    let statuses: Vec<_> = DeadLetterStatus::ALL.iter().map(|status| status.name()).collect();
    let reasons: Vec<_> = DeadLetterReason::ALL.iter().map(|reason| reason.name()).collect();
    operation
        .query("tenant_id", uuid(), "The caller's own when left out")
        .query("store_id", uuid(), "One store alone")
        .query("status", one_of(&statuses), "Letters of this status alone")
        .query("reason", one_of(&reasons), "Letters of this reason alone")
}

fn one_letter(operation: Operation) -> Operation {
    letters(operation)
        .segment("event_id", uuid(), "The event")
        .query("tenant_id", uuid(), "The caller's own when left out")
        .query("store_id", uuid(), "Needed only where two stores hold the id")
        .refuses([404])
}
