//! The page as files: types, versions, and that nothing in it comes from elsewhere. What it does in a browser is tested
//! in the package `integration-tests`.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use tower::ServiceExt;

use crate::http::app;

async fn get(app: &Router, path: &str, known: Option<&str>) -> (StatusCode, HeaderMap, String) {
    let request = Request::get(path).header("if-none-match", known.unwrap_or("\"another\""));
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.unwrap();
    (parts.status, parts.headers, String::from_utf8(bytes.to_vec()).unwrap())
}

/// What stands in quotes after each `mark`.
fn quoted<'t>(text: &'t str, mark: &str) -> Vec<&'t str> {
    text.split(mark).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// The page and everything that it loads, by path.
async fn files(app: &Router) -> Vec<(String, HeaderMap, String)> {
    let mut waiting = vec!["/".to_owned()];
    let mut found: Vec<(String, HeaderMap, String)> = Vec::new();
    while let Some(path) = waiting.pop() {
        if found.iter().any(|(known, ..)| *known == path) {
            continue;
        }
        let (status, headers, text) = get(app, &path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        // The page's own addresses are relative, so that it may lie below a path.
        let relative = |name: &str| format!("/{name}");
        waiting.extend(quoted(&text, "src=\"").into_iter().map(relative));
        waiting.extend(quoted(&text, "<link rel=\"stylesheet\" href=\"").into_iter().map(relative));
        waiting.extend(quoted(&text, "<link rel=\"icon\" href=\"").into_iter().map(relative));
        waiting.extend(quoted(&text, " from \"./").into_iter().map(|name| format!("/page/{name}")));
        found.push((path, headers, text));
    }
    found
}

#[tokio::test]
async fn every_file_that_the_page_loads_is_served_with_its_type_and_shields() {
    let files = files(&app()).await;
    let shipped = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/page")).unwrap().count();
    assert_eq!(files.len(), shipped, "every file of the folder is loaded by the page");
    for (path, headers, _) in files {
        let expected = match path.rsplit('.').next().unwrap() {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(headers["content-type"], expected, "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["cache-control"], "no-cache", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{path}: {policy}");
    }
}

#[tokio::test]
async fn the_page_obeys_its_own_security_policy_and_needs_no_network() {
    for (path, _, text) in files(&app()).await {
        for forbidden in ["style=\"", "onclick=", "<style", "<script>", "javascript:", "url(", "@import", "eval("] {
            assert!(!text.contains(forbidden), "{path} has {forbidden}");
        }
        for (at, _) in text.match_indices("://") {
            let around: String = text[at.saturating_sub(8)..].chars().take(40).collect();
            assert!(around.contains("www.w3.org"), "{path} names a place elsewhere: {around}");
        }
    }
}

#[tokio::test]
async fn a_version_that_the_browser_has_is_not_sent_again() {
    let app = app();
    let (_, headers, _) = get(&app, "/page/main.js", None).await;
    let tag = headers["etag"].to_str().unwrap();
    for known in [tag.to_owned(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let (status, headers, body) = get(&app, "/page/main.js", Some(&known)).await;
        assert_eq!((status, body.as_str()), (StatusCode::NOT_MODIFIED, ""), "{known}");
        assert_eq!(headers["etag"], tag);
    }
    let (status, other, _) = get(&app, "/page/style.css", Some(tag)).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(other["etag"], tag);
}

#[tokio::test]
async fn what_is_no_file_of_the_page_is_a_problem() {
    let app = app();
    for path in ["/page/", "/page/other.js", "/page/..%2FCargo.toml", "/page/%2e%2e/Cargo.toml"] {
        let (status, headers, _) = get(&app, path, None).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(headers["content-type"], "application/problem+json", "{path}");
    }
    let posted = app.oneshot(Request::post("/").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(posted.headers()["allow"], "GET, HEAD");
}
