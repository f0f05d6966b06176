//! Connections and pools of them, with TLS as the URL asks for it.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use super::config::{Place, PoolSizes, PostgresConfigError};
use super::migrate;
use super::runtime::Driver;

/// How often connections that are too old, or were idle too long, are looked for.
const POOL_CARE_INTERVAL_MAX: Duration = Duration::from_secs(5);
const POOL_CARE_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// The client's side of TLS, for one server.
pub(super) type Tls = MakeRustlsConnect;

/// The client's side of TLS. The server's name and chain are always checked, whatever `sslmode` says.
pub(super) fn tls(place: &Place) -> Result<Tls, PostgresConfigError> {
    let mut roots = RootCertStore::empty();
    if place.config.get_ssl_mode() != SslMode::Disable {
        let (_, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if let Some(path) = &place.roots {
        add_roots(&mut roots, path)
            .map_err(|problem| PostgresConfigError::Roots { path: path.display().to_string(), problem })?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn add_roots(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A pool of connections to one server.
///
/// Where `log_id` is given, only to the log that it names: a connection to another one is never used, and none is
/// before the id is known.
pub(super) fn pool(
    place: &Place,
    sizes: PoolSizes,
    driver: &Driver,
    log_id: Option<Arc<OnceLock<Uuid>>>,
) -> Result<Pool, PostgresConfigError> {
    let method = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(place.config.clone(), tls(place)?, method);
    let lifetime = sizes.lifetime_max_ms.map(Duration::from_millis);
    let wait = Some(Duration::from_millis(sizes.acquire_timeout_ms));
    let builder = match log_id {
        Some(expected) => Pool::builder(manager).post_create(same_log(expected)),
        None => Pool::builder(manager),
    };
    let pool = builder
        .max_size(sizes.max)
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts { wait, create: wait, recycle: wait })
        .pre_recycle(Hook::sync_fn(move |_, metrics| match lifetime {
            Some(lifetime) if metrics.age() >= lifetime => Err(HookError::message("the connection is old")),
            _ => Ok(()),
        }))
        .build()
        .map_err(|error| PostgresConfigError::Thread { problem: error.to_string() })?;
    driver.handle().spawn(care(pool.clone(), sizes));
    Ok(pool)
}

fn same_log(expected: Arc<OnceLock<Uuid>>) -> Hook {
    Hook::async_fn(move |client, _| {
        let expected = expected.get().copied();
        Box::pin(async move {
            let found = migrate::log_id(client).await.map_err(HookError::Backend)?;
            match expected {
                Some(expected) if expected == found => Ok(()),
                Some(_) => Err(HookError::message("it is a replica of another log; check READ_DATABASE_URL")),
                None => Err(HookError::message("the log was not opened yet")),
            }
        })
    })
}

/// Closes connections that are old or were not used for long, and keeps the least number open. Ends with its pool.
async fn care(pool: Pool, sizes: PoolSizes) {
    let weak = pool.weak();
    drop(pool);
    let idle = sizes.idle_timeout_ms.map(Duration::from_millis);
    let lifetime = sizes.lifetime_max_ms.map(Duration::from_millis);
    let shortest = idle.into_iter().chain(lifetime).min().unwrap_or(POOL_CARE_INTERVAL_MAX);
    let interval = (shortest / 2).clamp(POOL_CARE_INTERVAL_MIN, POOL_CARE_INTERVAL_MAX);
    loop {
        let Some(pool) = weak.upgrade() else { return };
        let mut kept = pool.status().size;
        let _ = pool.retain(|_, metrics| {
            let is_old = lifetime.is_some_and(|lifetime| metrics.age() >= lifetime);
            let is_idle = kept > sizes.min && idle.is_some_and(|idle| metrics.last_used() >= idle);
            kept -= usize::from(is_old || is_idle);
            !is_old && !is_idle
        });
        // Taken together, then given back together: one after the other would take the same one.
        let mut taken = Vec::new();
        while pool.status().size < sizes.min.min(sizes.max) {
            match pool.get().await {
                Ok(connection) => taken.push(connection),
                Err(_) => break,
            }
        }
        drop(taken);
        drop(pool);
        tokio::time::sleep(interval).await;
    }
}
