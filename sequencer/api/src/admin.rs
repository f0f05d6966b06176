//! The operator's view in numbers (section 3.11): a tenant's admin sees its own tenant, the bootstrap admin every one.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use stateset_sequencer::ApiKeyRecord;
use ves::keys::{AgentKey, KeyStatus};
use ves::{AgentId, SequenceNumber, StreamKey, TenantId, TimestampMs};
use ves_wire::Rfc3339;
use ves_wire::admin::{
    AdminAgent, AdminAgents, AdminOverview, AdminStore, AdminStores, AdminTenant, AdminTenants,
};

use crate::caller::Caller;
use crate::error::ApiError;
use crate::frame::json;
use crate::params::{Params, page_limit};
use crate::peer::Operator;
use crate::router::App;

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Streams looked at before other tasks of the thread get a turn.
const STREAMS_CHUNK: usize = 64;

#[derive(Default, Deserialize)]
pub(crate) struct PageParams {
    limit: Option<usize>,
    #[serde(default)]
    offset: usize,
}

impl PageParams {
    fn cut<T>(&self, entries: Vec<T>) -> Result<(Vec<T>, usize), ApiError> {
        let (limit, total) = (page_limit(self.limit, PAGE_DEFAULT, PAGE_MAX)?, entries.len());
        Ok((entries.into_iter().skip(self.offset).take(limit).collect(), total))
    }
}

/// What the caller may see, read once.
struct View {
    streams: Vec<StreamKey>,
    api_keys: Vec<ApiKeyRecord>,
    signing_keys: Vec<AgentKey>,
    now: TimestampMs,
}

impl View {
    fn of(app: &App, caller: &Caller) -> Self {
        let tenant = (!caller.is_bootstrap()).then_some(caller.tenant_id);
        let mut streams = app.sequencer.streams();
        streams.retain(|stream| {
            tenant.is_none_or(|own| own == stream.tenant_id) && caller.may_enter(&stream.store_id)
        });
        let mut api_keys = app.sequencer.api_keys(tenant.as_ref());
        api_keys.retain(|key| !key.tenant_id.is_nil() || caller.is_bootstrap());
        let tenants: BTreeSet<TenantId> = match tenant {
            Some(own) => [own].into(),
            None => tenants_of(&streams, &api_keys).chain(app.sequencer.keys().tenants()).collect(),
        };
        let keys = tenants.iter().flat_map(|tenant| app.sequencer.agent_keys(tenant, None));
        Self { signing_keys: keys.collect(), streams, api_keys, now: app.sequencer.now() }
    }

    /// Tenants that have a stream, a signing key or an API key. The nil tenant of the bootstrap key is none.
    fn tenants(&self) -> BTreeSet<TenantId> {
        let signing = self.signing_keys.iter().map(|key| key.tenant_id);
        tenants_of(&self.streams, &self.api_keys).chain(signing).filter(|tenant| !tenant.is_nil()).collect()
    }

    /// Each stream as it stands; one row of the store is read for each.
    async fn stores(&self, app: &App, streams: &[StreamKey]) -> Result<Vec<AdminStore>, ApiError> {
        let mut stores = Vec::with_capacity(streams.len());
        for (n, stream) in streams.iter().enumerate() {
            let head = app.sequencer.head(stream);
            let last = app.sequencer.events(stream, head.head_sequence, 1).await?;
            stores.push(AdminStore {
                tenant_id: stream.tenant_id,
                store_id: stream.store_id,
                head_sequence: head.head_sequence,
                committed_sequence: head.latest_commitment.map_or(SequenceNumber::ZERO, |c| c.sequence_end),
                last_activity_at: last.first().map(|event| Rfc3339(event.sequenced_at)),
            });
            if n % STREAMS_CHUNK == STREAMS_CHUNK - 1 {
                tokio::task::yield_now().await;
            }
        }
        Ok(stores)
    }

    fn agents(&self) -> BTreeMap<(TenantId, AgentId), AdminAgent> {
        let mut agents = BTreeMap::new();
        for key in &self.signing_keys {
            let agent = agent_entry(&mut agents, key.tenant_id, key.agent_id);
            agent.signing_keys += 1;
            agent.active_signing_keys += u64::from(key.status == KeyStatus::Active);
        }
        for key in &self.api_keys {
            let Some(agent_id) = key.agent_id else { continue };
            let agent = agent_entry(&mut agents, key.tenant_id, agent_id);
            agent.api_keys += 1;
            agent.active_api_keys += u64::from(key.active);
        }
        agents
    }

    fn active_within_day(&self, stores: &[AdminStore]) -> u64 {
        let since = TimestampMs(self.now.0 - DAY_MS);
        stores.iter().filter(|store| store.last_activity_at.is_some_and(|at| at.0 >= since)).count() as u64
    }
}

fn tenants_of<'a>(
    streams: &'a [StreamKey],
    api_keys: &'a [ApiKeyRecord],
) -> impl Iterator<Item = TenantId> + 'a {
    streams.iter().map(|stream| stream.tenant_id).chain(api_keys.iter().map(|key| key.tenant_id))
}

fn agent_entry(
    agents: &mut BTreeMap<(TenantId, AgentId), AdminAgent>,
    tenant_id: TenantId,
    agent_id: AgentId,
) -> &mut AdminAgent {
    agents.entry((tenant_id, agent_id)).or_insert(AdminAgent {
        tenant_id,
        agent_id,
        signing_keys: 0,
        active_signing_keys: 0,
        api_keys: 0,
        active_api_keys: 0,
    })
}

/// Events not yet projected in the stream that is furthest behind.
async fn projection_lag(app: &App, stores: &[AdminStore]) -> Result<Option<u64>, ApiError> {
    let Some(read_models) = &app.config.read_models else { return Ok(None) };
    let mut lag = 0;
    for store in stores {
        let stream = StreamKey { tenant_id: store.tenant_id, store_id: store.store_id };
        let projected = read_models.projected(&app.sequencer, &stream).await?;
        lag = lag.max(store.head_sequence.get().saturating_sub(projected.get()));
    }
    Ok(Some(lag))
}

/// The numbers of the overview and of the dashboard.
pub(crate) async fn overview_of(app: &App, caller: &Caller) -> Result<AdminOverview, ApiError> {
    let view = View::of(app, caller);
    let stores = view.stores(app, &view.streams).await?;
    Ok(AdminOverview {
        tenants: view.tenants().len() as u64,
        stores: stores.len() as u64,
        agents: view.agents().len() as u64,
        api_keys: view.api_keys.len() as u64,
        active_api_keys: view.api_keys.iter().filter(|key| key.active).count() as u64,
        total_head_sequence: stores.iter().map(|store| store.head_sequence.get()).sum(),
        active_stores24h: view.active_within_day(&stores),
        max_projection_lag: projection_lag(app, &stores).await?,
        last_activity_at: stores.iter().filter_map(|store| store.last_activity_at).max(),
    })
}

/// `GET /api/v1/admin/overview`
pub(crate) async fn overview(
    State(app): State<App>,
    Operator(caller): Operator,
) -> Result<Response, ApiError> {
    json(&overview_of(&app, &caller).await?)
}

/// `GET /api/v1/admin/tenants`
pub(crate) async fn tenants(
    State(app): State<App>,
    Operator(caller): Operator,
    Params(params): Params<PageParams>,
) -> Result<Response, ApiError> {
    let view = View::of(&app, &caller);
    let (page, total) = params.cut(view.tenants().into_iter().collect())?;
    let agents = view.agents();
    let mut tenants = Vec::with_capacity(page.len());
    for tenant_id in page {
        let streams: Vec<StreamKey> =
            view.streams.iter().filter(|stream| stream.tenant_id == tenant_id).copied().collect();
        let stores = view.stores(&app, &streams).await?;
        let keys = || view.api_keys.iter().filter(|key| key.tenant_id == tenant_id);
        tenants.push(AdminTenant {
            tenant_id,
            stores: stores.len() as u64,
            agents: agents.keys().filter(|(tenant, _)| *tenant == tenant_id).count() as u64,
            api_keys: keys().count() as u64,
            active_api_keys: keys().filter(|key| key.active).count() as u64,
            total_head_sequence: stores.iter().map(|store| store.head_sequence.get()).sum(),
            active_stores24h: view.active_within_day(&stores),
            last_activity_at: stores.iter().filter_map(|store| store.last_activity_at).max(),
        });
    }
    json(&AdminTenants { count: tenants.len(), tenants, total })
}

/// `GET /api/v1/admin/stores`
pub(crate) async fn stores(
    State(app): State<App>,
    Operator(caller): Operator,
    Params(params): Params<PageParams>,
) -> Result<Response, ApiError> {
    json(&stores_of(&app, &caller, &params).await?)
}

pub(crate) async fn stores_of(
    app: &App,
    caller: &Caller,
    params: &PageParams,
) -> Result<AdminStores, ApiError> {
    let view = View::of(app, caller);
    let (page, total) = params.cut(view.streams.clone())?;
    let stores = view.stores(app, &page).await?;
    Ok(AdminStores { count: stores.len(), stores, total })
}

/// `GET /api/v1/admin/agents`
pub(crate) async fn agents(
    State(app): State<App>,
    Operator(caller): Operator,
    Params(params): Params<PageParams>,
) -> Result<Response, ApiError> {
    let view = View::of(&app, &caller);
    let (agents, total) = params.cut(view.agents().into_values().collect())?;
    json(&AdminAgents { count: agents.len(), agents, total })
}
