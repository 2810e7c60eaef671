//! The kinds of problems with status, stable name and meaning: one table, which the responses, the description of the
//! interface and the documentation follow. Leaves what belongs to a single failure to [`super::Problem`].

use axum::http::StatusCode;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $status:ident $name:literal: $meaning:literal,)*) => {
        /// The kinds of problems: what programs tell apart, and what the documentation lists.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemKind {
            $(#[doc = $meaning] $kind,)*
        }

        impl ProblemKind {
            /// All kinds, by status.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The last part of the `type`, after `urn:trm:problem:`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// The whole `type`.
            pub fn urn(self) -> String {
                format!("urn:trm:problem:{}", self.name())
            }

            /// The HTTP status.
            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$kind => StatusCode::$status,)*
                }
            }

            /// When it happens, for the documentation.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$kind => $meaning,)*
                }
            }
        }
    };
}

kinds! {
    Malformed = BAD_REQUEST "malformed-request":
        "Body or query string have none of the forms that the route reads.",
    InvalidOption = BAD_REQUEST "invalid-option":
        "An option lies outside its range.",
    Unauthorized = UNAUTHORIZED "unauthorized":
        "The server asks for an API key, and the request brings none that it knows.",
    Forbidden = FORBIDDEN "forbidden":
        "The route is closed: it needs API keys, and the server has none.",
    NotFound = NOT_FOUND "not-found":
        "No such route.",
    ModelNotFound = NOT_FOUND "model-not-found":
        "No loaded model has the name that stands in the path.",
    UnknownJob = NOT_FOUND "unknown-job":
        "No job of that name is there: it was never made, was cancelled and forgotten, or the server does not adapt models.",
    MethodNotAllowed = METHOD_NOT_ALLOWED "method-not-allowed":
        "The route exists for other methods, which `Allow` names.",
    NotAcceptable = NOT_ACCEPTABLE "not-acceptable":
        "`Accept` names nothing that the route answers with.",
    SlowBody = REQUEST_TIMEOUT "slow-body":
        "The body did not arrive in time.",
    ReloadRunning = CONFLICT "reload-running":
        "Models are being loaded already.",
    JobCancelled = CONFLICT "job-cancelled":
        "The job was cancelled while its events were watched.",
    BodyTooLarge = PAYLOAD_TOO_LARGE "body-too-large":
        "The body has more bytes than the server reads.",
    TooManyPuzzles = PAYLOAD_TOO_LARGE "too-many-puzzles":
        "The batch holds more puzzles than the server takes at once.",
    UnsupportedMedia = UNSUPPORTED_MEDIA_TYPE "unsupported-media-type":
        "The body is a picture that the route does not read: mazes may come as PNG files, nothing else as pictures.",
    WrongSize = UNPROCESSABLE_ENTITY "wrong-size":
        "The board has a size that no such puzzle has.",
    Ambiguous = UNPROCESSABLE_ENTITY "ambiguous-puzzle":
        "The puzzle can be read in more than one way; `detail` names the readings.",
    Candidates = UNPROCESSABLE_ENTITY "candidate-grid":
        "The cells of a Sudoku hold candidates (pencil marks) instead of one digit each.",
    UnknownModel = UNPROCESSABLE_ENTITY "unknown-model":
        "No loaded model has the name, or it solves other puzzles.",
    NoModel = UNPROCESSABLE_ENTITY "no-model-for-size":
        "The puzzle is sound, but no loaded model takes its size.",
    NoModelForTask = UNPROCESSABLE_ENTITY "no-model-for-task":
        "No model for this kind of puzzle is loaded.",
    UnknownTask = UNPROCESSABLE_ENTITY "unknown-task":
        "No loaded ARC model was trained on the task; `commands` adapt one.",
    Contradictory = UNPROCESSABLE_ENTITY "contradictory-givens":
        "Two givens of a Sudoku exclude each other; `conflict` names both cells.",
    MazeEndMissing = UNPROCESSABLE_ENTITY "maze-end-missing":
        "The maze has no start or no goal.",
    MazeEndTwice = UNPROCESSABLE_ENTITY "maze-end-twice":
        "The maze has two starts or two goals; `conflict` names both cells.",
    MazeSeparated = UNPROCESSABLE_ENTITY "maze-separated":
        "Walls separate start and goal; `conflict` names both cells.",
    UnreadablePicture = UNPROCESSABLE_ENTITY "unreadable-picture":
        "The picture is broken, too large or shows no puzzle.",
    QueueFull = TOO_MANY_REQUESTS "queue-full":
        "As many puzzles wait as the server lets wait; `Retry-After` says when there will be room.",
    Overloaded = TOO_MANY_REQUESTS "overloaded":
        "The server works on as many requests as it takes at a time; `Retry-After` says when to come again.",
    DeadlinePassed = TOO_MANY_REQUESTS "deadline-passed":
        "The request's deadline (its own, or nine tenths of the server's time for a request) passed while others were served; `Retry-After` says when to come again.",
    Engine = INTERNAL_SERVER_ERROR "engine-failed":
        "The model failed.",
    ReloadFailed = INTERNAL_SERVER_ERROR "reload-failed":
        "The new models cannot be served; the old ones stay.",
    Internal = INTERNAL_SERVER_ERROR "internal":
        "A defect of the server; its log says more.",
    Stopping = SERVICE_UNAVAILABLE "stopping":
        "The server shuts down.",
    Timeout = GATEWAY_TIMEOUT "timeout":
        "No answer within the server's limit.",
}

impl ProblemKind {
    /// Whether responses of this kind say when to try again.
    pub const fn has_retry_after(self) -> bool {
        matches!(self, Self::QueueFull | Self::DeadlinePassed | Self::Overloaded)
    }
}
