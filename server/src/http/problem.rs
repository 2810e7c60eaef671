//! Every way in which a request can fail, and the response that it gets (RFC 9457), in one place.
//! Leaves statuses and stable names to [`ProblemKind`], and finding out what is wrong to the code that reads the request.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use datasets::maze::MazeError;
use datasets::picture::PictureError;
use datasets::sudoku::{Contradiction, SudokuError};
use engine::EngineError;
use serde_json::{Value, json};

use super::ProblemKind;
use super::problem_report::ProblemReport;

/// Why a request got no solution.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Problem {
    /// Body or query are in no form that the route reads.
    #[error("{0}")]
    Malformed(String),
    /// The board has a size that no such puzzle has.
    #[error("{0}")]
    WrongSize(String),
    /// The puzzle can be read in two ways.
    #[error("{0}")]
    Ambiguous(String),
    /// Cells hold several candidates each.
    #[error("{0}")]
    Candidates(String),
    /// The board is sound, but no loaded model takes its size.
    #[error("{puzzle} needs a model that is not loaded; this server solves {available}")]
    NoModel {
        /// What was sent, such as `a 6x6 Sudoku`.
        puzzle: String,
        /// What is served.
        available: String,
    },
    /// Nothing that is loaded solves such puzzles.
    #[error("no model for {task} is loaded; see GET /info for those that are")]
    NoModelForTask {
        /// What was asked for, such as `ARC tasks`.
        task: &'static str,
    },
    /// An ARC task that the models were not trained on.
    #[error("{reason}")]
    UnknownTask {
        /// What was looked for, and what to do.
        reason: String,
        /// What to run so that a model learns it, in order.
        commands: Vec<String>,
    },
    /// The model that the request names does not fit.
    #[error("model {name:?}: {reason}")]
    UnknownModel {
        /// The name in the request.
        name: String,
        /// What is wrong with it, and which models there are.
        reason: String,
    },
    /// The path of a route names no loaded model.
    #[error("no model {name:?} is loaded; there are {available}")]
    ModelNotFound {
        /// The name in the path.
        name: String,
        /// Those that are loaded.
        available: String,
    },
    /// Two givens exclude each other.
    #[error("the givens contradict each other: {0}")]
    Contradictory(Contradiction),
    /// A maze without a solution.
    #[error("{0}")]
    Maze(MazeError),
    /// A picture that shows no puzzle.
    #[error("{0}")]
    Picture(PictureError),
    /// A picture that the route does not read.
    #[error("{0}")]
    UnsupportedMedia(String),
    /// Nothing that the client accepts can be made.
    #[error("none of {accept:?} can be answered; this route answers with {available}")]
    NotAcceptable {
        /// What the client accepts.
        accept: String,
        /// What there is.
        available: String,
    },
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
    /// The request's deadline passed in the queue.
    #[error("{detail}")]
    DeadlinePassed {
        /// What the engine said.
        detail: String,
        /// When to try again: as long as it had to wait.
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
    /// More requests at a time than the server works on.
    #[error("{limit} requests are being worked on, as many as this server takes at a time; try again later")]
    Overloaded {
        /// The limit.
        limit: usize,
        /// When to try again.
        retry_after: Duration,
    },
    /// The request brings no key, or none that is known.
    #[error("{}", if *was_sent { "the API key is not known" } else { "this route needs an API key: Authorization: Bearer KEY" })]
    Unauthorized {
        /// Whether it brought one.
        was_sent: bool,
    },
    /// Not allowed here.
    #[error("{0}")]
    Forbidden(String),
    /// Models are being loaded already.
    #[error("{0}")]
    ReloadRunning(String),
    /// The models are as they were.
    #[error("{0}")]
    ReloadFailed(String),
    /// A defect of this program.
    #[error("the server failed to answer; its log says why")]
    Internal,
    /// No such route.
    #[error("no such route; GET /openapi.json lists them all, GET /docs shows them")]
    NotFound,
    /// No such job.
    #[error(
        "no job of that name is there; POST /solve/arc makes one for a task that no model knows, on a server with --adapt"
    )]
    UnknownJob,
    /// The job was cancelled.
    #[error("the job was cancelled")]
    JobCancelled,
    /// The route exists for another method.
    #[error("this route takes {0}")]
    MethodNotAllowed(&'static str),
    /// Another problem, in one puzzle of a batch.
    #[error("puzzles[{index}]: {problem}")]
    InPuzzle {
        /// Which puzzle, from 0.
        index: usize,
        /// What is wrong with it.
        problem: Box<Self>,
    },
}

impl Problem {
    /// In a library's words, which quote what was sent: of a long message, its beginning and its end, where what was
    /// expected stands.
    pub(super) fn malformed(message: &str) -> Self {
        const BEGINNING: usize = 300;
        const END: usize = 700;
        let characters = message.chars().count();
        if characters <= BEGINNING + END {
            return Self::Malformed(message.to_owned());
        }
        let beginning: String = message.chars().take(BEGINNING).collect();
        let end: String = message.chars().skip(characters - END).collect();
        Self::Malformed(format!("{beginning} … {end}"))
    }

    /// The kind, which has the status and the name.
    pub fn kind(&self) -> ProblemKind {
        match self {
            Self::InvalidOption(_) => ProblemKind::InvalidOption,
            Self::NotFound => ProblemKind::NotFound,
            Self::UnknownJob => ProblemKind::UnknownJob,
            Self::JobCancelled => ProblemKind::JobCancelled,
            Self::MethodNotAllowed(_) => ProblemKind::MethodNotAllowed,
            Self::NotAcceptable { .. } => ProblemKind::NotAcceptable,
            Self::SlowBody(_) => ProblemKind::SlowBody,
            Self::BodyTooLarge { .. } => ProblemKind::BodyTooLarge,
            Self::TooManyPuzzles { .. } => ProblemKind::TooManyPuzzles,
            Self::UnsupportedMedia(_) => ProblemKind::UnsupportedMedia,
            Self::NoModelForTask { .. } => ProblemKind::NoModelForTask,
            Self::UnknownTask { .. } => ProblemKind::UnknownTask,
            Self::UnknownModel { .. } => ProblemKind::UnknownModel,
            Self::ModelNotFound { .. } => ProblemKind::ModelNotFound,
            Self::NoModel { .. } => ProblemKind::NoModel,
            Self::Contradictory(_) => ProblemKind::Contradictory,
            Self::Maze(MazeError::Missing { .. }) => ProblemKind::MazeEndMissing,
            Self::Maze(MazeError::Twice { .. }) => ProblemKind::MazeEndTwice,
            Self::Maze(MazeError::Separated { .. }) => ProblemKind::MazeSeparated,
            Self::WrongSize(_)
            | Self::Maze(
                MazeError::Side { .. }
                | MazeError::CellCount { .. }
                | MazeError::Size { .. }
                | MazeError::NotSquare { .. }
                | MazeError::Ragged { .. },
            ) => ProblemKind::WrongSize,
            Self::Ambiguous(_) | Self::Maze(MazeError::Ambiguous { .. }) => ProblemKind::Ambiguous,
            Self::Candidates(_) => ProblemKind::Candidates,
            Self::Malformed(_) | Self::Maze(_) => ProblemKind::Malformed,
            Self::Picture(_) => ProblemKind::UnreadablePicture,
            Self::QueueFull { .. } => ProblemKind::QueueFull,
            Self::Engine(_) => ProblemKind::Engine,
            Self::Stopping(_) => ProblemKind::Stopping,
            Self::DeadlinePassed { .. } => ProblemKind::DeadlinePassed,
            Self::Timeout(_) => ProblemKind::Timeout,
            Self::Overloaded { .. } => ProblemKind::Overloaded,
            Self::Unauthorized { .. } => ProblemKind::Unauthorized,
            Self::Forbidden(_) => ProblemKind::Forbidden,
            Self::ReloadRunning(_) => ProblemKind::ReloadRunning,
            Self::ReloadFailed(_) => ProblemKind::ReloadFailed,
            Self::Internal => ProblemKind::Internal,
            Self::InPuzzle { problem, .. } => problem.kind(),
        }
    }

    /// Says which puzzle of a batch is meant.
    #[must_use]
    pub fn in_puzzle(self, index: usize) -> Self {
        Self::InPuzzle { index, problem: Box::new(self) }
    }

    /// The problem as the object that clients see, also inside streams.
    pub fn to_json(&self) -> Value {
        let kind = self.kind();
        let mut body = json!({
            "type": kind.urn(),
            "title": kind.status().canonical_reason(),
            "status": kind.status().as_u16(),
            "detail": self.to_string(),
        });
        if let Self::InPuzzle { index, .. } = self {
            body["puzzle"] = json!(index);
        }
        if let Some((name, value)) = self.extension() {
            body[name] = value;
        }
        body
    }

    /// Facts for programs, beside the text for people.
    fn extension(&self) -> Option<(&'static str, Value)> {
        let place = |&(row, column): &(usize, usize)| json!({ "row": row + 1, "column": column + 1 });
        match self {
            Self::Contradictory(Contradiction { digit, first, second, .. }) => {
                Some(("conflict", json!({ "digit": digit, "cells": [place(first), place(second)] })))
            }
            Self::Maze(MazeError::Twice { first, second, .. }) => {
                Some(("conflict", json!({ "cells": [place(first), place(second)] })))
            }
            Self::Maze(MazeError::Separated { start, goal }) => {
                Some(("conflict", json!({ "cells": [place(start), place(goal)] })))
            }
            Self::UnknownTask { commands, .. } if !commands.is_empty() => Some(("commands", json!(commands))),
            Self::InPuzzle { problem, .. } => problem.extension(),
            _ => self.retry_after().map(|retry_after| ("retry_after_seconds", json!(seconds(retry_after)))),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::QueueFull { retry_after, .. }
            | Self::DeadlinePassed { retry_after, .. }
            | Self::Overloaded { retry_after, .. } => Some(*retry_after),
            Self::InPuzzle { problem, .. } => problem.retry_after(),
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
            | SudokuError::Lines { .. }
            | SudokuError::WrongShape { .. } => Self::WrongSize(error.to_string()),
            SudokuError::Ambiguous { .. } | SudokuError::Blanks { .. } | SudokuError::Zero { .. } => {
                Self::Ambiguous(error.to_string())
            }
            SudokuError::Candidates => Self::Candidates(error.to_string()),
            other => Self::Malformed(other.to_string()),
        }
    }
}

impl From<MazeError> for Problem {
    fn from(error: MazeError) -> Self {
        Self::Maze(error)
    }
}

impl From<PictureError> for Problem {
    fn from(error: PictureError) -> Self {
        Self::Picture(error)
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let detail = error.to_string();
        match error {
            EngineError::QueueFull { retry_after, .. } => Self::QueueFull { detail, retry_after },
            EngineError::DeadlineExceeded { waited } => Self::DeadlinePassed { detail, retry_after: waited },
            EngineError::Request { .. } => Self::InvalidOption(detail),
            EngineError::Step(_) => Self::Engine(detail),
            EngineError::Stopped => Self::Stopping(detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (kind, body) = (self.kind(), self.to_json());
        let mut response = (kind.status(), Json(&body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(retry_after) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds(retry_after)));
        }
        match self {
            Self::MethodNotAllowed(allowed) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Unauthorized { was_sent } => {
                let challenge =
                    if was_sent { "Bearer realm=\"trm\", error=\"invalid_token\"" } else { "Bearer realm=\"trm\"" };
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
            _ => {}
        }
        response.extensions_mut().insert(ProblemReport::new(kind, body));
        response
    }
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs_f64().ceil().max(1.0) as u64
}
