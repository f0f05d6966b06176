//! The operator's routes (section 3.11): numbers, health, the page, and from where they may be asked.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use stateset_fixtures::{Agent, plain_event, stream};
use stateset_sequencer_api::{ApiConfig, PeerAddress, ProxyTrust};

use crate::world::{ADMIN, Answer, World};

const OPERATOR_ROUTES: [&str; 7] = [
    "/metrics",
    "/health/detailed",
    "/admin",
    "/api/v1/admin/overview",
    "/api/v1/admin/tenants",
    "/api/v1/admin/stores",
    "/api/v1/admin/agents",
];

#[tokio::test]
async fn the_overview_counts_what_is_there() {
    let (world, agent, first) = World::with_agent().await;
    world.mint(&agent, json!({})).await;
    world.ingest(&agent, &[plain_event(&agent, &first, 1), plain_event(&agent, &first, 2)]).await;
    let second = stream(2);
    let other = Agent::new(&second, 1);
    world.register(&other).await;
    world.ingest(&other, &[plain_event(&other, &second, 1)]).await;
    let overview = world.get("/api/v1/admin/overview").await.ok();
    for (name, value) in [
        ("tenants", 2),
        ("stores", 2),
        ("agents", 2),
        ("apiKeys", 2),
        ("activeApiKeys", 2),
        ("totalHeadSequence", 3),
        ("activeStores24h", 2),
    ] {
        assert_eq!(overview[name], value, "{name} in {overview}");
    }
    assert!(overview["lastActivityAt"].is_string() && overview["maxProjectionLag"].is_null());

    let key = world.mint(&other, json!({"admin": true})).await;
    let own = world.call(Some(&key), "GET", "/api/v1/admin/overview", "").await.ok();
    assert_eq!(
        (&own["tenants"], &own["totalHeadSequence"], &own["apiKeys"]),
        (&json!(1), &json!(1), &json!(1))
    );
    for path in OPERATOR_ROUTES {
        let seen = world.call(Some(&key), "GET", path, "").await;
        assert_eq!(seen.status, 200, "{path}");
        assert!(!seen.text().contains(&first.tenant_id.to_string()), "{path} shows another tenant");
    }

    let stores = world.get("/api/v1/admin/stores?limit=1&offset=1").await.ok();
    assert_eq!((&stores["count"], &stores["total"]), (&json!(1), &json!(2)));
    assert_eq!(world.get("/api/v1/admin/agents").await.ok()["agents"][0]["activeSigningKeys"], 1);
    world.get("/api/v1/admin/tenants?limit=0").await.refused(400, "INVALID_FIELD_VALUE");
}

#[tokio::test]
async fn detailed_health_names_each_part() {
    let world = World::new().await;
    let health = world.get("/health/detailed").await.ok();
    assert_eq!(
        (&health["status"], &health["components"]["database"]["status"]),
        (&json!("healthy"), &json!("healthy"))
    );
    assert_eq!(health["components"]["pool"]["active_connections"], 0);
    assert_eq!(health["components"]["queue"]["status"], "healthy");
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let (world, agent, stream) = World::with_agent().await;
    world.ingest(&agent, &[plain_event(&agent, &stream, 1)]).await;
    let page = world.get("/admin").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    assert!(page.text().contains(&stream.store_id.to_string()));
    for outside in ["<script", "http://", "https://", "<img", "<link", "src="] {
        assert!(!page.text().contains(outside), "the page has {outside}");
    }
}

async fn ask(world: &World, path: &str, peer: Option<&str>, forwarded: &str) -> Answer {
    let mut request = Request::get(path).header("x-api-key", ADMIN);
    if !forwarded.is_empty() {
        request = request.header("x-forwarded-for", forwarded);
    }
    let mut request = request.body(Body::empty()).expect("a request");
    if let Some(peer) = peer {
        request.extensions_mut().insert(PeerAddress(SocketAddr::new(peer.parse().expect("an address"), 9)));
    }
    world.send(request).await
}

#[tokio::test]
async fn admin_routes_answer_only_to_listed_addresses() {
    let listed = |nets: &[&str]| nets.iter().map(|net| net.parse().expect("a net")).collect::<Vec<_>>();
    let config = ApiConfig {
        admin_ip_allowlist: listed(&["192.0.2.0/24", "2001:db8::7/128"]),
        proxies: ProxyTrust { headers: true, allowlist: listed(&["10.0.0.0/8"]) },
        ..ApiConfig::default()
    };
    let world = World::with(config).await;
    for path in OPERATOR_ROUTES {
        for (peer, forwarded, let_in) in [
            (Some("192.0.2.9"), "", true),
            (Some("2001:db8::7"), "", true),
            (Some("203.0.113.1"), "", false),
            (Some("203.0.113.1"), "192.0.2.9", false),
            (Some("10.0.0.1"), "192.0.2.9", true),
            (Some("10.0.0.1"), "192.0.2.9, 203.0.113.1", false),
            (Some("10.0.0.1"), "", false),
            (None, "192.0.2.9", false),
        ] {
            let answer = ask(&world, path, peer, forwarded).await;
            match let_in {
                true => assert_eq!(answer.status, 200, "{path} {peer:?} {forwarded}"),
                false => drop(answer.refused(403, "ADMIN_IP_DENIED")),
            }
        }
    }
    assert_eq!(ask(&world, "/health", Some("203.0.113.1"), "").await.status, 200);
}
