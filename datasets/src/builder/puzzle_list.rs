//! What the builders of published puzzle lists share: where the lists are, subsampling, progress.
//! Owns the reference's draw of a subsample; leaves rows to [`super::puzzle_csv`] and fetching to [`hub`].

use std::path::PathBuf;

use hub::{FileReference, Hub, RepositoryKind, registry};

use crate::DatasetError;
use crate::numpy::LegacyGenerator;
use crate::store::Split;

/// Where `train.csv` and `test.csv` come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PuzzleListSource {
    /// A local folder.
    Folder(PathBuf),
    /// A dataset repository on the hub, or the short name of one in [`hub::registry`].
    Hub(String),
}

/// Where a build stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildProgress {
    /// Bytes of a list that have arrived from the hub, of how many if that is known.
    Fetching(Split, u64, Option<u64>),
    /// Rows of a list read so far.
    Reading(Split, usize),
    /// Groups written so far, of how many.
    Writing(Split, usize, usize),
}

impl PuzzleListSource {
    /// The local path of a split's list, fetched if need be.
    pub(super) fn locate(
        &self,
        split: Split,
        progress: &mut impl FnMut(BuildProgress),
    ) -> Result<PathBuf, DatasetError> {
        let file = format!("{}.csv", split.name());
        match self {
            Self::Folder(folder) => Ok(folder.join(file)),
            Self::Hub(repository) => {
                let published = registry::dataset(repository).map(|set| (set.repository, set.revision));
                let (repository, revision) = published.unwrap_or((repository, "main"));
                let reference = FileReference::new(RepositoryKind::Dataset, repository, &file, revision)?;
                let on_bytes = |bytes, total| progress(BuildProgress::Fetching(split, bytes, total));
                Ok(Hub::from_env()?.file(&reference, on_bytes)?)
            }
        }
    }
}

/// Refuses to draw nothing.
pub(super) fn check_subsample_size(size: Option<usize>) -> Result<(), DatasetError> {
    match size {
        Some(0) => Err(DatasetError::argument("--subsample-size", "at least 1 puzzle", 0)),
        _ => Ok(()),
    }
}

/// `size` of the training puzzles in the order of `np.random.choice(…, replace=False)`. Where that would be all of them,
/// they keep their order and nothing is drawn.
pub(super) fn subsample<T: Clone>(puzzles: Vec<T>, size: Option<usize>, rng: &mut LegacyGenerator) -> Vec<T> {
    match size {
        Some(size) if size < puzzles.len() => {
            let chosen = rng.choice_without_replacement(puzzles.len(), size);
            chosen.into_iter().map(|index| puzzles[index].clone()).collect()
        }
        _ => puzzles,
    }
}
