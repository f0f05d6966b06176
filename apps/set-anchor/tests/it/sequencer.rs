//! The two routes of a sequencer that an anchor service uses, with its rule about what is told twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use ves_wire::anchor::{AnchoredNotice, PendingCommitment, PendingCommitments};

#[derive(Clone, Default)]
pub struct Sequencer(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    pending: Vec<PendingCommitment>,
    told: BTreeMap<String, AnchoredNotice>,
    conflicts: usize,
}

impl Sequencer {
    /// Serves on a free port until the process ends; tells the address.
    pub fn serve(&self) -> String {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new()
            .route("/v1/commitments/pending", get(pending))
            .route("/v1/commitments/{batch_id}/anchored", post(anchored))
            .with_state(self.clone());
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), routes).await.unwrap();
            });
        });
        url
    }

    pub fn close(&self, batch: PendingCommitment) {
        self.0.lock().unwrap().pending.push(batch);
    }

    pub fn pending_count(&self) -> usize {
        self.0.lock().unwrap().pending.len()
    }

    pub fn told(&self, batch: &PendingCommitment) -> Option<AnchoredNotice> {
        self.0.lock().unwrap().told.get(&batch.batch_id.to_string()).cloned()
    }

    pub fn conflicts(&self) -> usize {
        self.0.lock().unwrap().conflicts
    }
}

async fn pending(State(sequencer): State<Sequencer>) -> Json<PendingCommitments> {
    let commitments = sequencer.0.lock().unwrap().pending.clone();
    Json(PendingCommitments { total: commitments.len(), commitments, next_after: None })
}

async fn anchored(
    State(sequencer): State<Sequencer>,
    Path(batch_id): Path<String>,
    Json(notice): Json<AnchoredNotice>,
) -> (StatusCode, Json<Value>) {
    let mut held = sequencer.0.lock().unwrap();
    held.pending.retain(|batch| batch.batch_id.to_string() != batch_id);
    let known = held.told.entry(batch_id).or_insert_with(|| notice.clone());
    if known.chain_tx_hash == notice.chain_tx_hash {
        return (StatusCode::OK, Json(json!({})));
    }
    held.conflicts += 1;
    (StatusCode::CONFLICT, Json(json!({ "error": { "message": "another transaction" } })))
}
