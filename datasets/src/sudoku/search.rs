//! Searches for rare 9×9 puzzles in numbered chains, each a pure function of seed and number: the stuff of puzzle pools.
//! Owns which kinds there are and what belongs to each; leaves walking to [`super::local_search`] and
//! [`super::few_clues`], and files to [`crate::builder::sudoku_pool`].

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::str::FromStr;

use super::draw::Purpose;
use super::generator::Puzzle;
use super::hardness::{Hardness, LogicLevel, hardness};
use super::vicinity::Clues;
use super::{SudokuError, SudokuShape, few_clues, local_search};

/// Most givens of a [`PoolKind::FewClues`] puzzle. Random minimal puzzles have 24 or 25; no puzzle has fewer than 17.
pub const FEW_CLUES: usize = 18;
/// Least mean guesses of a [`PoolKind::Hard`] puzzle: fewer than one in 200 random minimal ones has as many.
pub const HARD_GUESSES: f64 = 10.0;

/// Kinds of rare puzzles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolKind {
    /// At most [`FEW_CLUES`] givens, of any difficulty.
    FewClues,
    /// Needs refutations and at least [`HARD_GUESSES`] guesses, but no nested assumptions.
    Hard,
    /// [`LogicLevel::Nested`].
    Hardest,
}

impl PoolKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::FewClues, Self::Hard, Self::Hardest];

    /// The kind's name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::FewClues => "few-clues",
            Self::Hard => "hard",
            Self::Hardest => "hardest",
        }
    }

    /// Whether a minimal puzzle of this rating is of the kind.
    pub fn admits(self, givens: usize, rating: &Hardness) -> bool {
        match self {
            Self::FewClues => givens <= FEW_CLUES,
            Self::Hard => rating.level == LogicLevel::Refutation && rating.guesses >= HARD_GUESSES,
            Self::Hardest => rating.level == LogicLevel::Nested,
        }
    }

    /// Moves of a chain that proved worth their time.
    pub fn default_moves(self) -> u32 {
        match self {
            Self::FewClues => 4_000,
            Self::Hard => 1_500,
            Self::Hardest => 15_000,
        }
    }

    /// Puzzles entered from one that is kept to the next at least: neighbours differ by a clue or two.
    fn stride(self) -> u32 {
        match self {
            Self::FewClues => 2,
            Self::Hard => 8,
            Self::Hardest => 4,
        }
    }
}

impl Display for PoolKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for PoolKind {
    type Err = SudokuError;

    fn from_str(text: &str) -> Result<Self, SudokuError> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| SudokuError::Option {
            name: "kind of puzzle pool",
            expected: "few-clues, hard or hardest".to_owned(),
            found: text.to_owned(),
        })
    }
}

/// What a pool is for; no chain of one serves the other, whatever the seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolDomain {
    /// To train on.
    Training,
    /// To evaluate on, never to train on.
    HeldOut,
}

impl PoolDomain {
    /// The domain's name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::HeldOut => "held-out",
        }
    }
}

/// A rare puzzle and its rating.
#[derive(Debug, Clone, PartialEq)]
pub struct RarePuzzle {
    /// The puzzle, minimal, and its solution.
    pub puzzle: Puzzle,
    /// Its rating.
    pub hardness: Hardness,
}

/// The puzzles that chain number `index` finds, distinct, in order of discovery; often none.
///
/// With the kind's [default](PoolKind::default_moves) number of `moves` a chain takes some seconds. It starts from a random minimal puzzle of its own, so chains share neither grids nor
/// puzzles but by chance.
///
/// # Errors
/// When no minimal puzzle can be drawn to start from (not seen in practice).
pub fn search_chain(
    kind: PoolKind,
    domain: PoolDomain,
    moves: u32,
    seed: u64,
    index: u64,
) -> Result<Vec<RarePuzzle>, SudokuError> {
    let purpose = match domain {
        PoolDomain::Training => Purpose::TrainingPool,
        PoolDomain::HeldOut => Purpose::HeldOutPool,
    };
    let mut rng = purpose.stream(seed, SudokuShape::NINE, index);
    let mut harvest = Harvest { kind, entered: 0, seen: HashSet::new(), found: Vec::new(), failure: None };
    match kind {
        PoolKind::FewClues => {
            few_clues::descend(moves, FEW_CLUES, &mut rng, |clues| harvest.offer(clues))?;
        }
        PoolKind::Hard | PoolKind::Hardest => {
            local_search::climb(moves, &mut rng, |clues| harvest.offer(clues))?;
        }
    }
    harvest.failure.map_or(Ok(harvest.found), Err)
}

/// Keeps what is of the kind, some moves apart.
struct Harvest {
    kind: PoolKind,
    /// Puzzles entered since the last one that was kept.
    entered: u32,
    seen: HashSet<Clues>,
    found: Vec<RarePuzzle>,
    failure: Option<SudokuError>,
}

impl Harvest {
    fn offer(&mut self, clues: &Clues) {
        self.entered += 1;
        // Seventeen clues are too rare to pass one by.
        let is_precious = self.kind == PoolKind::FewClues && clues.count() < FEW_CLUES;
        if (self.entered < self.kind.stride() && !is_precious) || self.seen.contains(clues) {
            return;
        }
        let puzzle = clues.to_puzzle();
        match hardness(&puzzle.puzzle) {
            Ok(hardness) if self.kind.admits(clues.count(), &hardness) => {
                self.entered = 0;
                self.seen.insert(*clues);
                self.found.push(RarePuzzle { puzzle, hardness });
            }
            Ok(_) => {}
            Err(error) => self.failure = Some(error),
        }
    }
}
