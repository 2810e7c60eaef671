//! What a predicted answer is worth: *exact*, *valid* and *shortest*, which are always counted separately.
//! Owns these three words; leaves sums and shares over a data set to the evaluation.

use serde::{Deserialize, Serialize};

use super::{Maze, MazeError};
use crate::IGNORE_LABEL_ID;

/// The three scores of one prediction. A shortest path is valid; an exact answer is whatever the label is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MazeScore {
    /// Every labelled cell equals the label.
    pub exact: bool,
    /// The marked cells form a simple path from start to goal; walls, start and goal are unchanged.
    pub valid: bool,
    /// Valid, and no path has fewer cells: any shortest path counts, also where the label is another one.
    pub shortest: bool,
}

/// Scores a prediction, all as `[cells]` tokens; `label` may hold [`IGNORE_LABEL_ID`].
///
/// # Errors
/// When `input` is not a maze. A prediction may hold anything.
pub fn score(input: &[i32], label: &[i32], prediction: &[i32]) -> Result<MazeScore, MazeError> {
    let maze = Maze::from_tokens(input)?;
    let length = maze.check_path(prediction).ok();
    let agrees = |(&label, &found): (&i32, &i32)| label == IGNORE_LABEL_ID || label == found;
    Ok(MazeScore {
        exact: label.len() == prediction.len() && label.iter().zip(prediction).all(agrees),
        valid: length.is_some(),
        shortest: length.is_some() && length == maze.path_length(),
    })
}
