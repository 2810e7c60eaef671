//! Pictures and sample puzzles are drawn beside the engines, few at a time, on threads that may block.

use std::time::Duration;

use tokio::sync::Semaphore;

use super::Problem;

/// Drawn at a time: an animation holds all its frames, up to some 100 MB, and a 16×16 Sudoku takes up to two seconds.
static PERMITS: Semaphore = Semaphore::const_new(2);

/// Runs `work` as soon as fewer than two others are drawn. `what` names it in problems.
///
/// # Errors
/// [`Problem::Timeout`] when no turn comes within `timeout`, [`Problem::Engine`] when `work` breaks.
pub(super) async fn draw<T: Send + 'static>(
    what: &str,
    timeout: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let failed = |reason: String| Problem::Engine(format!("the {what} could not be drawn: {reason}"));
    let late = |_| Problem::Timeout(format!("too many {what}s are being drawn; ask again later"));
    let permit = tokio::time::timeout(timeout, PERMITS.acquire()).await.map_err(late)?;
    let permit = permit.map_err(|error| failed(error.to_string()))?;
    let drawing = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    drawing.await.map_err(|error| failed(error.to_string()))
}
