//! Oracles behind the server's routes, for tests of everything around inference.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use datasets::sudoku::SudokuShape;
use engine::RuntimeFacts;
use engine::StepModel;
use engine::registry::{EngineLimits, Models, Registry, ServedModel};
use engine::task::Task;
use serde_json::Value;
use server::http::{Access, HttpOptions, ServerParts};
use tower::ServiceExt;

use crate::oracle::{Oracle, card};

/// A 4x4 puzzle with one blank.
pub(crate) const PUZZLE: &str = "123434122143432.";
const LIMITS: EngineLimits = EngineLimits::plain(2, 16, 64);

/// What `Router::oneshot` gave.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// Status and last part of the type of a problem.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text);
        let body = self.json();
        let kind = body["type"].as_str().unwrap().strip_prefix("urn:trm:problem:").unwrap().to_owned();
        assert_eq!(body["status"], self.status.as_u16());
        (self.status.as_u16(), kind)
    }
}

/// A model for 4x4 boards of that name and sha256, which is `step_model`.
pub(crate) fn model(name: &str, sha256: &str, step_model: impl StepModel + 'static) -> ServedModel {
    let mut card = card(name, SudokuShape::FOUR);
    card.sha256 = sha256.repeat(64 / sha256.len());
    ServedModel::start(card, Task::Sudoku(SudokuShape::FOUR), step_model, LIMITS).unwrap()
}

/// One oracle for 4x4 boards.
pub(crate) fn oracle() -> Vec<ServedModel> {
    vec![model("small", "5eed", Oracle::new(SudokuShape::FOUR))]
}

/// Parts of a server that is ready and open to everyone.
pub(crate) fn parts(models: Vec<ServedModel>) -> ServerParts {
    let facts = RuntimeFacts {
        library: "none".into(),
        build: String::new(),
        execution_provider: "CPUExecutionProvider",
        threads: 1,
    };
    ServerParts::open(Arc::new(Models::new(Registry::new(models).unwrap())), HttpOptions::default().limits, facts)
}

/// The same for those who have one of `keys`.
pub(crate) fn with_keys(parts: ServerParts, keys: &str) -> ServerParts {
    let source = server::http::KeySource { file: None, variable: Some(keys.into()) };
    ServerParts { access: Arc::new(Access::open(source).unwrap()), ..parts }
}

pub(crate) async fn send(app: &Router, request: Request<Body>) -> Reply {
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.unwrap();
    Reply { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

pub(crate) async fn get(app: &Router, path: &str) -> Reply {
    send(app, Request::get(path).body(Body::empty()).unwrap()).await
}

pub(crate) async fn solve(app: &Router, body: impl Into<Body>) -> Reply {
    send(app, Request::post("/solve/sudoku").body(body.into()).unwrap()).await
}
