//! `GET /api/v1/admin/audit` (ours): the records, a page at a time.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use ves::audit::{AuditRecord, SignedAuditStatement};
use ves::{TenantId, TimestampMs};
use ves_wire::admin::{AuditPage, AuditRecordBody, AuditStatementBody};
use ves_wire::{Hex, Rfc3339};

use crate::caller::Caller;
use crate::error::ApiError;
use crate::frame::json;
use crate::params::{Params, page_limit};
use crate::peer::Operator;
use crate::router::App;

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1000;
/// Records read at once, and looked at for one page: a filter that few records pass asks again.
const READ: usize = 1000;
const LOOKED_AT_MAX: usize = 20_000;

#[derive(Deserialize)]
pub(crate) struct AuditParams {
    /// Number of the last record that is known already.
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
    tenant_id: Option<TenantId>,
    action: Option<String>,
    actor: Option<String>,
    from_time: Option<Rfc3339>,
    to_time: Option<Rfc3339>,
}

impl AuditParams {
    /// A tenant's admin sees what was done in the tenant, and nothing else.
    fn admits(&self, caller: &Caller, record: &AuditRecord) -> bool {
        let is = |asked: &Option<String>, found: &str| asked.as_ref().is_none_or(|asked| asked == found);
        let seen = caller.sees().is_none_or(|own| record.tenant_id == Some(*own));
        let after = |from: TimestampMs| record.timestamp >= from;
        seen && self.tenant_id.is_none_or(|tenant| record.tenant_id == Some(tenant))
            && is(&self.action, &record.action)
            && is(&self.actor, &record.actor)
            && self.from_time.is_none_or(|from| after(from.0))
            && self.to_time.is_none_or(|to| record.timestamp < to.0)
    }
}

pub(crate) async fn list(
    State(app): State<App>,
    Operator(caller): Operator,
    Params(params): Params<AuditParams>,
) -> Result<Response, ApiError> {
    let limit = page_limit(params.limit, PAGE_DEFAULT, PAGE_MAX)?;
    caller.require_every_store()?;
    let (mut records, mut next_after, mut has_more) = (Vec::new(), params.after, true);
    let mut looked_at = 0;
    while has_more && looked_at < LOOKED_AT_MAX && records.len() < limit {
        let page = app.sequencer.audit_records(next_after, READ).await?;
        has_more = page.len() == READ;
        for record in page {
            if records.len() == limit {
                has_more = true;
                break;
            }
            looked_at += 1;
            next_after = record.seq;
            if params.admits(&caller, &record) {
                records.push(body(record));
            }
        }
    }
    let statement = app.sequencer.audit_statement().await?.map(statement_body);
    json(&AuditPage { count: records.len(), records, next_after, has_more, statement })
}

fn body(record: AuditRecord) -> AuditRecordBody {
    AuditRecordBody {
        seq: record.seq,
        id: record.id.to_string(),
        timestamp: Rfc3339(record.timestamp),
        action: record.action,
        actor: record.actor,
        actor_type: record.actor_type.text().to_owned(),
        tenant_id: record.tenant_id,
        resource_type: record.resource_type,
        resource_id: record.resource_id,
        request_id: record.request_id,
        ip_address: record.ip_address,
        user_agent: record.user_agent,
        details: (!record.details.is_null()).then_some(record.details),
        success: record.success,
        error_message: record.error_message,
        prev_hash: Hex(record.prev_hash.0),
        hash: Hex(record.hash.0),
    }
}

fn statement_body(stated: SignedAuditStatement) -> AuditStatementBody {
    AuditStatementBody {
        sequencer_id: stated.sequencer_id,
        key_version: stated.key_version,
        seq: stated.head.seq,
        hash: Hex(stated.head.hash.0),
        signed_at: Rfc3339(stated.head.signed_at),
        signature: stated.signature,
    }
}
