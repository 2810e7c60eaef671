//! A router with oracles behind it, and what clients do with it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use datasets::maze::MazeShape;
use datasets::sudoku::SudokuShape;
use engine::MetricsSnapshot;
use engine::RuntimeFacts;
use engine::registry::{EngineLimits, Models, Registry, ServedModel};
use engine::task::Task;
use serde_json::Value;
use server::http::{HttpLimits, router};
use tower::ServiceExt;

use crate::oracle::{Oracle, card, maze_card};

/// The puzzle of the English Wikipedia's article on Sudoku.
pub(crate) const PUZZLE: &str = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79";
pub(crate) const SOLUTION: &str = "534678912672195348198342567859761423426853791713924856961537284287419635345286179";

/// Largest body that the routers of the tests read.
const MAX_BODY_BYTES: usize = 100_000;

pub(crate) struct Served {
    pub(crate) router: Router,
    models: Arc<Models>,
}

/// Status, headers and the whole body.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Models `sudoku-9x9`, `maze-12` and `maze-6`, in this order.
pub(crate) fn oracles() -> Served {
    Served::new(vec![sudoku(Oracle::new(SudokuShape::NINE)), maze("maze-12", 12), maze("maze-6", 6)])
}

pub(crate) fn sudoku(oracle: Oracle) -> ServedModel {
    let shape = SudokuShape::NINE;
    ServedModel::start(card("sudoku-9x9", shape), Task::Sudoku(shape), oracle, EngineLimits::plain(2, 8, 512)).unwrap()
}

pub(crate) fn maze(name: &str, side: usize) -> ServedModel {
    let shape = MazeShape::from_side(side).unwrap();
    let (task, limits) = (Task::Maze(shape), EngineLimits::plain(2, 8, 512));
    ServedModel::start(maze_card(name, shape), task, Oracle::of(task), limits).unwrap()
}

impl Served {
    pub(crate) fn new(models: Vec<ServedModel>) -> Self {
        let facts = RuntimeFacts {
            library: "none".into(),
            build: String::new(),
            execution_provider: "CPUExecutionProvider",
            threads: 1,
        };
        let limits =
            HttpLimits { max_body_bytes: MAX_BODY_BYTES, max_puzzles: 4, request_timeout: Duration::from_secs(30) };
        let models = Arc::new(Models::new(Registry::new(models).unwrap()));
        Self { router: router(models.clone(), limits, facts), models }
    }

    /// Counters of the first model's engine.
    pub(crate) fn counters(&self) -> MetricsSnapshot {
        self.models.current().models()[0].engine.metrics()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 24).await.unwrap().to_vec();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Reply {
        self.send(Request::post(path).body(body.into()).unwrap()).await
    }

    pub(crate) async fn post_accepting(&self, path: &str, accept: &str, body: impl Into<Body>) -> Reply {
        self.send(Request::post(path).header("accept", accept).body(body.into()).unwrap()).await
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The JSON of a success.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// Status and last part of the type of a refusal.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        let kind = body["type"].as_str().unwrap().strip_prefix("urn:trm:problem:").unwrap();
        (self.status.as_u16(), kind.to_owned())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}
