//! The two documents, and what hears of our versions.

use serde_json::{Value, json};
use stateset_commerce::versions::{UCP_VERSION, capabilities};

use crate::world::{PLATFORM, World, lines, profile_of};

const EXTENSION: &str = "https://ucp.dev/2026-08-25/specification/reference";

#[tokio::test]
async fn card_and_profile_name_each_other() {
    let world = World::new();
    let (status, card) = world.call("GET", "/.well-known/agent-card.json", &[], "").await;
    assert_eq!((status, &card["supportedInterfaces"][0]["protocolVersion"]), (200, &json!("1.0")));
    assert_eq!(card["supportedInterfaces"][0]["url"], "https://shop.example/a2a");
    let (status, profile) = world.call("GET", "/.well-known/ucp", &[], "").await;
    assert_eq!((status, &profile["ucp"]["version"]), (200, &json!(UCP_VERSION)));
    let services = &profile["ucp"]["services"]["dev.ucp.shopping"];
    assert_eq!(services[1]["endpoint"], "https://shop.example/.well-known/agent-card.json");
}

#[tokio::test]
async fn an_unknown_version_is_refused_with_ours() {
    let world = World::new();
    let (status, error) =
        world.call("GET", "/.well-known/agent-card.json", &[("A2A-Version", "9.9")], "").await;
    assert_eq!(status, 400);
    let info = &error["error"]["details"][0];
    assert_eq!(
        (&info["reason"], &info["metadata"]["supportedVersions"]),
        (&json!("VERSION_NOT_SUPPORTED"), &json!("1.0"))
    );
    for version in [None, Some("0.3"), Some("2.0")] {
        let headers: Vec<_> = version.map(|version| ("a2a-version", version)).into_iter().collect();
        let (status, error) = world.call("POST", "/a2a/message:send", &headers, "{}").await;
        assert_eq!((status, &error["error"]["details"][0]["reason"]), (400, &json!("VERSION_NOT_SUPPORTED")));
    }

    let document = profile_of("2026-01-11", capabilities(true), &world.platform);
    world.directory.profiles.lock().unwrap().insert("https://old.example/p".to_owned(), document);
    let agent = [("ucp-agent", "profile=\"https://old.example/p\"")];
    let body = lines(&[("mug", 1)]).to_string();
    let (status, error) = world.call("POST", "/ucp/v1/checkout-sessions", &agent, &body).await;
    assert_eq!((status, &error["code"]), (422, &json!("version_unsupported")));
    assert_eq!(error["supported_versions"], json!([UCP_VERSION]));
    assert!(error["content"].as_str().unwrap().contains(UCP_VERSION), "{error}");
    assert!(world.log.types().is_empty(), "nothing was recorded");
}

#[tokio::test]
async fn a_platform_is_named_reachable_able_and_trusted() {
    let world = World::new();
    let body = lines(&[("mug", 1)]).to_string();
    let ask = async |agent: &str| {
        let headers = [("ucp-agent", agent)];
        let (status, answer) = world.call("POST", "/ucp/v1/checkout-sessions", &headers, &body).await;
        (
            status,
            answer["code"].as_str().or(answer["messages"][0]["code"].as_str()).unwrap_or_default().to_owned(),
        )
    };
    let put = |url: &str, document: Vec<u8>| {
        world.directory.profiles.lock().unwrap().insert(url.to_owned(), document);
    };
    assert_eq!(ask("").await, (400, "invalid_profile_url".to_owned()));
    assert_eq!(ask("profile=\"https://no.example\"").await, (424, "profile_unreachable".to_owned()));
    put("https://bad.example", b"{}".to_vec());
    assert_eq!(ask("profile=\"https://bad.example\"").await, (422, "profile_malformed".to_owned()));
    put("https://poor.example", profile_of(UCP_VERSION, serde_json::Map::new(), &world.platform));
    assert_eq!(ask("profile=\"https://poor.example\"").await, (200, "capabilities_incompatible".to_owned()));
    put("https://new.example", profile_of(UCP_VERSION, capabilities(true), &world.platform));
    assert_eq!(ask("profile=\"https://new.example\"").await, (403, "platform_not_trusted".to_owned()));
    assert_eq!(ask(&format!("profile=\"{PLATFORM}\"")).await.0, 201);
}

#[tokio::test]
async fn a_message_of_a2a_opens_a_checkout_once() {
    let world = World::new();
    let agent = format!("profile=\"{PLATFORM}\"");
    let headers = [("a2a-version", "1.0"), ("ucp-agent", &*agent), ("a2a-extensions", EXTENSION)];
    let data = json!({"action": "create_checkout", "checkout": lines(&[("tea", 2)])});
    let message = |id: &str, context: Option<&Value>, data: &Value| {
        let mut message = json!({"messageId": id, "role": "ROLE_USER", "parts": [{"data": data}]});
        if let Some(context) = context {
            message["contextId"] = context.clone();
        }
        json!({"message": message}).to_string()
    };
    let (status, error) =
        world.call("POST", "/a2a/message:send", &headers[..2], &message("m1", None, &data)).await;
    assert_eq!(
        (status, &error["error"]["details"][0]["reason"]),
        (400, &json!("EXTENSION_SUPPORT_REQUIRED"))
    );
    let (status, first) =
        world.call("POST", "/a2a/message:send", &headers, &message("m1", None, &data)).await;
    assert_eq!(status, 200, "{first}");
    let again = world.call("POST", "/a2a/message:send", &headers, &message("m1", None, &data)).await.1;
    let checkout = |answer: &Value| answer["message"]["parts"][0]["data"]["a2a.ucp.checkout"].clone();
    assert_eq!(checkout(&first)["id"], checkout(&again)["id"], "the message sent twice is one");
    let context = &first["message"]["contextId"];
    assert_eq!(context, &checkout(&first)["id"]);
    let cancel = json!({"action": "cancel_checkout"});
    let ended =
        world.call("POST", "/a2a/message:send", &headers, &message("m2", Some(context), &cancel)).await.1;
    assert_eq!(checkout(&ended)["status"], "canceled", "{ended}");
    let (status, error) = world
        .call("POST", "/a2a/message:send", &headers, &message("m3", None, &json!({"action": "dance"})))
        .await;
    assert_eq!(status, 400);
    assert!(error["error"]["message"].as_str().unwrap().contains("create_checkout"), "{error}");
    let (status, error) = world.call("GET", "/a2a/tasks/1", &headers, "").await;
    assert_eq!((status, &error["error"]["details"][0]["reason"]), (400, &json!("UNSUPPORTED_OPERATION")));
}
