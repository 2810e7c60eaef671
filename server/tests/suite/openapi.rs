//! The description of the interface against the interface: routes, methods, examples, problems, and that the page that
//! shows it needs nothing from elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use server::http::ProblemKind;

use crate::served::{PUZZLE, Served, oracles};
use crate::streams::events;

async fn description(served: &Served) -> Value {
    served.get("/openapi.json").await.ok()
}

/// Paths and their methods.
fn described(document: &Value) -> BTreeMap<&str, BTreeSet<String>> {
    let methods = |path: &Value| path.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
    document["paths"].as_object().unwrap().iter().map(|(path, item)| (path.as_str(), methods(item))).collect()
}

/// The paths that the router names when it is printed for debugging: it has no other way to tell.
fn routed(served: &Served) -> BTreeSet<String> {
    let printed = format!("{:?}", served.router);
    let paths = printed.split("RouteId(").filter_map(|part| part.split_once("): \"")?.1.split_once('"'));
    let own = paths.map(|(path, _)| path.to_owned()).filter(|path| !path.contains("__private__axum"));
    own.filter(|path| path.starts_with('/')).collect()
}

#[tokio::test]
async fn every_route_is_described_and_no_other() {
    let served = oracles();
    let document = description(&served).await;
    let described = described(&document);
    let paths: BTreeSet<String> = described.keys().map(|&path| path.to_owned()).collect();
    assert_eq!(paths, routed(&served), "describe each route at its handler and list it in http/openapi/mod.rs");
    for (path, methods) in described {
        // As Rust's router sees it, GET answers HEAD, too.
        let path = path.replace("{name}", "index.html").replace("{file}", "start.js");
        let path = path.replace("{id}", &"0".repeat(32));
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let request = Request::builder().method(&method).uri(&path).body(Body::empty()).unwrap();
            let status = served.send(request).await.status;
            // A closed route is closed to every method.
            if status == StatusCode::FORBIDDEN {
                continue;
            }
            let is_described = methods.contains(method.as_str());
            assert_eq!(status != StatusCode::METHOD_NOT_ALLOWED, is_described, "{method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn every_example_gets_the_status_that_it_promises() {
    let served = oracles();
    let document = description(&served).await;
    let mut sent = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let examples = item["post"]["requestBody"]["content"]["application/json"]["examples"].as_object();
        for (name, example) in examples.into_iter().flatten() {
            let reply = served.post(path, example["value"].to_string()).await;
            assert_eq!(reply.status, example["x-status"].as_u64().unwrap() as u16, "{path}, {name}");
            assert!(item["post"]["responses"].get(reply.status.as_str()).is_some(), "{path}, {name}: {}", reply.status);
            if reply.status == StatusCode::OK && reply.header("content-type") == "application/json" {
                let answer = reply.json();
                let first = answer.get("results").map_or(&answer, |results| &results[0]);
                assert_eq!(first["solved"], true, "{path}, {name}");
            }
            sent += 1;
        }
    }
    assert!(sent >= 20, "{sent} examples");
}

#[tokio::test]
async fn seeds_are_described_with_all_their_64_bits() {
    let document = description(&oracles()).await;
    let seed = |schema: &str| document["components"]["schemas"][schema]["properties"]["seed"]["format"].clone();
    assert_eq!([seed("SolveOptions"), seed("SudokuSample")], ["uint64", "uint64"]);
    assert!(!document.to_string().contains("\"int64\""), "an unsigned number is described as a signed one");
}

#[tokio::test]
async fn every_kind_of_problem_is_described_with_its_status() {
    let served = oracles();
    let document = description(&served).await;
    let problem = &document["components"]["schemas"]["Problem"];
    let types: Vec<&str> =
        problem["properties"]["type"]["enum"].as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect();
    assert_eq!(types, ProblemKind::ALL.iter().map(|kind| kind.urn()).collect::<Vec<_>>());
    let mut names: Vec<&str> = ProblemKind::ALL.iter().map(|kind| kind.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ProblemKind::ALL.len(), "two kinds share a name");
    for (path, item) in document["paths"].as_object().unwrap() {
        for (status, response) in
            item.as_object().unwrap().values().flat_map(|operation| operation["responses"].as_object().unwrap())
        {
            let described = response["description"].as_str().unwrap();
            for kind in ProblemKind::ALL.iter().filter(|kind| described.contains(&format!("`{}`:", kind.name()))) {
                assert_eq!(*status, kind.status().as_u16().to_string(), "{path}: {}", kind.name());
            }
        }
    }
    // The table of the manual.
    let manual = include_str!("../../../docs/server.md");
    for kind in ProblemKind::ALL {
        let row = format!("| {} | `{}` | {} |", kind.status().as_u16(), kind.name(), kind.meaning());
        assert!(manual.contains(&row), "docs/server.md lacks: {row}");
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    fn references<'d>(value: &'d Value, found: &mut Vec<&'d str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = description(&oracles()).await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
}

/// Names that an object of `schema` must and may have.
fn fields<'d>(document: &'d Value, schema: &'d Value) -> (BTreeSet<&'d str>, BTreeSet<&'d str>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return fields(document, document.pointer(reference.strip_prefix('#').unwrap()).unwrap());
    }
    let strings = |list: &'d Value| list.as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut required: BTreeSet<&str> = strings(&schema["required"]).collect();
    let mut known: BTreeSet<&str> =
        schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        let (more_required, more_known) = fields(document, part);
        required.extend(more_required);
        known.extend(more_known);
    }
    (required, known)
}

#[tokio::test]
async fn streams_consist_of_the_events_that_are_described() {
    let served = oracles();
    let document = description(&served).await;
    let schema =
        &document["paths"]["/solve/sudoku"]["post"]["responses"]["200"]["content"]["text/event-stream"]["schema"];
    let schema = document.pointer(schema["$ref"].as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
    assert_eq!((&schema["type"], &schema["required"]), (&json!("object"), &json!(["event", "data"])));
    let reply = served.post("/solve/sudoku?stream=true", PUZZLE).await;
    let mut names = BTreeSet::new();
    for (name, data) in events(&reply) {
        let event =
            schema["oneOf"].as_array().unwrap().iter().find(|event| event["properties"]["event"]["const"] == *name);
        let data_schema = &event.unwrap()["properties"]["data"];
        assert_eq!(data_schema["contentMediaType"], "application/json");
        let (required, known) = fields(&document, &data_schema["contentSchema"]);
        let found: BTreeSet<&str> = data.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(required.contains("puzzle") && required.len() > 3, "{name}: {required:?}");
        assert!(required.is_subset(&found) && found.is_subset(&known), "{name}: {required:?}, {found:?}, {known:?}");
        names.insert(name);
    }
    assert_eq!(names, BTreeSet::from(["answer".to_owned(), "step".to_owned()]));
    let problem = schema["oneOf"].as_array().unwrap().last().unwrap();
    let (required, _) = fields(&document, &problem["properties"]["data"]["contentSchema"]);
    assert_eq!(required, BTreeSet::from(["detail", "puzzle", "status", "title", "type"]));
}

#[tokio::test]
async fn the_page_of_the_description_loads_its_own_files_only() {
    let served = oracles();
    let index = served.get("/docs").await;
    assert_eq!((index.status, index.header("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
    let text = String::from_utf8(index.body.clone()).unwrap();
    assert!(!text.contains("://"), "something comes from elsewhere");
    let mut sizes = Vec::new();
    for mark in ["src=\"", "rel=\"stylesheet\" href=\""] {
        for path in text.split(mark).skip(1).map(|rest| rest.split('"').next().unwrap()) {
            let file = served.get(&format!("/{path}")).await;
            assert_eq!(file.status, StatusCode::OK, "{path}");
            assert_eq!(file.header("x-content-type-options"), "nosniff");
            let policy = file.header("content-security-policy");
            assert!(policy.starts_with("default-src 'self';") && !policy.contains("script-src"), "{policy}");
            sizes.push((path.to_owned(), file.body.len()));
        }
    }
    let size = |name: &str| sizes.iter().find(|(path, _)| path.ends_with(name)).unwrap().1;
    assert!(size("swagger-ui-bundle.js") > 1_000_000 && size("swagger-ui.css") > 100_000 && size("start.js") > 100);
    assert_eq!(served.get("/docs/other.js").await.problem().0, 404);
}
