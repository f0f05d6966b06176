//! One task for each entity: hands what arrived to the node, one message after the other.

use std::sync::Arc;

use tokio::time::sleep;

use crate::frame::Frame;
use crate::greeting::message;
use crate::handler::Delivery;
use crate::link::Link;
use crate::peers::Shared;
use crate::store::{StoreError, Stored};

/// Messages read from the inbox at once.
const INBOX_READ: usize = 16;

pub(crate) async fn run(shared: Arc<Shared>, link: Arc<Link>) {
    while !shared.stop.is_cancelled() {
        let again = match deliver(&shared, &link).await {
            Ok(0) => None,
            Ok(_) => continue,
            Err(error) => {
                tracing::error!(entity = %link.entity, %error, "a message could not be handled");
                Some(shared.config.timing.delivery_retry)
            }
        };
        tokio::select! {
            () = link.arrived.notified(), if again.is_none() => {}
            () = sleep(again.unwrap_or_default()), if again.is_some() => {}
            () = shared.stop.cancelled() => return,
        }
    }
}

/// Hands over some of what waits; how much it was. At the stop the message in hand is finished, so that an orderly end
/// repeats none.
async fn deliver(shared: &Shared, link: &Link) -> Result<usize, String> {
    let entity = link.entity;
    let failed = |error: StoreError| error.to_string();
    let waiting = shared.store(move |store| store.inbox(&entity, INBOX_READ)).await.map_err(failed)?;
    let count = waiting.len();
    for Stored { place, session, sequence, kind, payload } in waiting {
        let message =
            message(&Frame { kind, session, sequence, payload }).map_err(|error| error.to_string())?;
        if shared.stop.is_cancelled() {
            break;
        }
        let handler = shared.handler.clone();
        let delivery = Delivery { from: entity, session, sequence, message };
        // A task of its own, so that a panic of the node ends the message and not the entity's others.
        let delivered = shared.tasks.spawn(async move { handler.deliver(delivery).await });
        delivered.await.map_err(|error| error.to_string())??;
        shared.store(move |store| store.handled(&entity, place)).await.map_err(failed)?;
        link.room.notify_one();
    }
    Ok(count)
}
