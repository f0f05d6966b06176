//! The OpenAPI document: settled, whole, and about the routes that are served.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use axum::body::Body;
use serde_json::Value;
use stateset_sequencer_api::openapi_text;

use crate::conformance::{document, operations, resolve};
use crate::world::World;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

/// `UPDATE_GOLDEN=1` writes the file anew; the change is then seen in review.
#[test]
fn the_document_is_the_one_under_review() {
    let text = openapi_text();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &text).expect("writes the golden file");
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    if let Some((n, (now, then))) =
        text.lines().zip(golden.lines().chain(std::iter::repeat(""))).enumerate().find(|(_, (a, b))| a != b)
    {
        panic!(
            "openapi.json differs at line {}: {now:?}, was {then:?}; UPDATE_GOLDEN=1 takes it over",
            n + 1
        );
    }
    assert_eq!(text.len(), golden.len());
}

#[tokio::test]
async fn the_document_is_served_without_a_credential() {
    let world = World::new().await;
    let answer = world.call(None, "GET", "/openapi.json", Body::empty()).await;
    assert_eq!(&answer.ok(), document());
    assert_eq!(document()["openapi"], "3.1.0");
}

#[tokio::test]
async fn every_documented_operation_is_served() {
    let world = World::new().await;
    for (method, path, _) in operations() {
        let plain = path.replace(['{', '}'], "");
        let answer = world.call(None, &method, &plain, Body::empty()).await;
        assert_ne!(answer.status, 405, "{method} {path}");
        assert!(!answer.text().contains("no such route"), "{method} {path}: {}", answer.text());
    }
}

/// Routes are added by `Routes::add` alone, which takes the description with the handler.
#[test]
fn every_route_is_documented() {
    fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                // gRPC has a description of its own.
                true if path.ends_with("grpc") => {}
                true => rust_files(&path, files),
                false => files.push(path),
            }
        }
    }
    let mut files = Vec::new();
    rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    for file in files.iter().filter(|file| !file.ends_with("src/routes.rs")) {
        let text = std::fs::read_to_string(file).expect("a file");
        assert!(!text.contains(".route("), "{} adds a route that is not documented", file.display());
    }
}

#[test]
fn every_operation_says_all_it_takes_and_answers() {
    let mut ids = BTreeSet::new();
    let tags: Vec<&Value> =
        document()["tags"].as_array().expect("tags").iter().map(|tag| &tag["name"]).collect();
    for (method, path, operation) in operations() {
        let place = format!("{method} {path}");
        let id = operation["operationId"].as_str().expect("an id");
        assert!(ids.insert(id), "{place}: {id} is taken");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{place}: no summary");
        assert!(tags.contains(&&operation["tags"][0]), "{place}: its tag is not described");
        let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        let in_path = |name: &str| parameters.iter().any(|p| p["in"] == "path" && p["name"] == name);
        let segments: Vec<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        assert!(segments.iter().all(|name| in_path(name)), "{place}: a segment is not described");
        assert_eq!(parameters.iter().filter(|p| p["in"] == "path").count(), segments.len(), "{place}");
        for parameter in parameters {
            let schema = resolve(&parameter["schema"]);
            let bounded = match schema["type"].as_str() {
                Some("integer") => schema["minimum"].is_number() && schema["maximum"].is_number(),
                Some("string") => {
                    ["format", "enum", "maxLength", "pattern"].iter().any(|key| !schema[*key].is_null())
                }
                Some(_) => true,
                None => false,
            };
            assert!(bounded, "{place}: {} has no bounds", parameter["name"]);
        }
        let answers = operation["responses"].as_object().expect("answers");
        let good = if answers.contains_key("101") { "101" } else { "200" };
        for status in [good, "500", "503", "504"] {
            assert!(answers.contains_key(status), "{place}: {status} is missing");
        }
        for (status, answer) in answers {
            let content = resolve(answer)["content"].as_object().expect("content");
            assert!(content.values().all(|media| media["schema"].is_object()), "{place} -> {status}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &'static Value) {
        resolve(value);
        match value {
            Value::Object(members) => members.values().for_each(walk),
            Value::Array(items) => items.iter().for_each(walk),
            _ => {}
        }
    }
    walk(document());
}
