//! Every way in which a request can fail, with its status and its stable `type` (RFC 9457), in one place.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use datasets::sudoku::{Contradiction, SudokuError};
use serde_json::{Value, json};

use crate::engine::EngineError;

/// Why a request got no solution.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Problem {
    /// The body is no puzzle in any form that the route reads.
    #[error("{0}")]
    Malformed(String),
    /// The board has a size that no Sudoku has.
    #[error("{0}")]
    WrongSize(String),
    /// The board is sound, but no loaded model thinks about its size.
    #[error("no model for {size}x{size} boards is loaded; this server solves {available}")]
    NoModel {
        /// Side length of the board.
        size: usize,
        /// Sizes that are served.
        available: String,
    },
    /// Two givens exclude each other.
    #[error("the givens contradict each other: {0}")]
    Contradictory(Contradiction),
    /// An option lies outside its range.
    #[error("{0}")]
    InvalidOption(String),
    /// A batch holds more puzzles than the server takes at once.
    #[error("the request holds {found} puzzles, this server takes up to {limit} at once; split it")]
    TooManyPuzzles {
        /// Puzzles in the request.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The body exceeds the limit.
    #[error("the body is larger than {limit} bytes; split the batch")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The client sent its body too slowly.
    #[error("the body did not arrive within {} s", .0.as_secs())]
    SlowBody(Duration),
    /// No room in the engine's queue.
    #[error("{detail}")]
    QueueFull {
        /// What the engine said.
        detail: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// No answer in time.
    #[error("{0}")]
    Timeout(String),
    /// The model failed.
    #[error("{0}")]
    Engine(String),
    /// The server shuts down.
    #[error("{0}")]
    Stopping(String),
    /// No such route.
    #[error("no such route; see GET /info, GET /health and POST /solve/sudoku")]
    NotFound,
    /// The route exists for another method.
    #[error("this route takes {0}")]
    MethodNotAllowed(&'static str),
}

impl Problem {
    /// The status, and the name that ends the `type`.
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed-request"),
            Self::InvalidOption(_) => (StatusCode::BAD_REQUEST, "invalid-option"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found"),
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
            Self::SlowBody(_) => (StatusCode::REQUEST_TIMEOUT, "slow-body"),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
            Self::TooManyPuzzles { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-many-puzzles"),
            Self::WrongSize(_) => (StatusCode::UNPROCESSABLE_ENTITY, "wrong-size"),
            Self::NoModel { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "no-model-for-size"),
            Self::Contradictory(_) => (StatusCode::UNPROCESSABLE_ENTITY, "contradictory-givens"),
            Self::QueueFull { .. } => (StatusCode::TOO_MANY_REQUESTS, "queue-full"),
            Self::Engine(_) => (StatusCode::INTERNAL_SERVER_ERROR, "engine-failed"),
            Self::Stopping(_) => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            Self::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
        }
    }

    /// Facts for programs, beside the text for people.
    fn extensions(&self) -> Option<(&'static str, Value)> {
        match self {
            Self::Contradictory(Contradiction { digit, first, second, .. }) => {
                let place = |(row, column): (usize, usize)| json!({ "row": row + 1, "column": column + 1 });
                Some(("conflict", json!({ "digit": digit, "cells": [place(*first), place(*second)] })))
            }
            Self::QueueFull { retry_after, .. } => Some(("retry_after_seconds", json!(seconds(*retry_after)))),
            _ => None,
        }
    }
}

impl From<SudokuError> for Problem {
    fn from(error: SudokuError) -> Self {
        match error {
            SudokuError::CellCount { .. }
            | SudokuError::Size { .. }
            | SudokuError::RowLength { .. }
            | SudokuError::WrongShape { .. } => Self::WrongSize(error.to_string()),
            other => Self::Malformed(other.to_string()),
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let detail = error.to_string();
        match error {
            EngineError::QueueFull { retry_after, .. } => Self::QueueFull { detail, retry_after },
            EngineError::DeadlineExceeded { .. } => Self::Timeout(detail),
            EngineError::Request { .. } => Self::InvalidOption(detail),
            EngineError::Step(_) => Self::Engine(detail),
            EngineError::Stopped => Self::Stopping(detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, kind) = self.kind();
        let mut body = json!({
            "type": format!("urn:trm:problem:{kind}"),
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": self.to_string(),
        });
        if let Some((name, value)) = self.extensions() {
            body[name] = value;
        }
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self {
            Self::QueueFull { retry_after, .. } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds(retry_after)));
            }
            Self::MethodNotAllowed(allowed) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
            }
            _ => {}
        }
        response
    }
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs_f64().ceil().max(1.0) as u64
}
