//! The endless training source of Sudoku: what example number `i` is.
//! Owns the options and the draw of one example; leaves numbering and batches to [`crate::endless`] and what a puzzle is to
//! [`super::generator`].

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::board::token_of;
use super::draw::Purpose;
use super::generator::{Puzzle, minimal_puzzle, puzzle_of_givens, reveal};
use super::{Board, PuzzlePool, SudokuError, SudokuRng, SudokuShape, Symmetry};
use crate::endless::{DrawExample, DrawnExample, EndlessSource};
use crate::error::DatasetError;

/// An endless source of Sudoku puzzles.
pub type GeneratedSource = EndlessSource<SudokuExamples>;

/// What a [`GeneratedSource`] or a held-out set is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeneratorOptions {
    /// Cells per side: 4, 6, 9 or 16.
    pub size: usize,
    /// Seed of all draws.
    pub seed: u64,
    /// Least and greatest number (inclusive) of givens of a random puzzle, drawn per puzzle; none makes it minimal. On
    /// 16×16, puzzles with givens to spare are drawn a hundred times as fast as minimal ones.
    pub givens: Option<(usize, usize)>,
    /// Least and greatest number (inclusive) of blanks revealed on top of a random puzzle, drawn per example;
    /// a number beyond the blanks there are reveals them all.
    pub extra_clues: (usize, usize),
    /// Consecutive examples made from one random puzzle, each with its own symmetry and revealed clues.
    /// A higher number costs less and repeats puzzles (never visibly: a 9×9 puzzle has 1.2 · 10^12 arrangements).
    pub symmetries_per_puzzle: u64,
    /// Weight of freshly drawn random puzzles among the sources of examples; the pools' weights stand beside it.
    pub random_weight: u32,
    /// Files of 9×9 puzzles ([`PuzzlePool`]) to mix in; each example is a random symmetric copy of a random puzzle of one.
    pub pools: Vec<PathBuf>,
    /// One weight for each pool: an example comes from pool `p` with probability `pool_weights[p]` over the sum of all
    /// weights.
    pub pool_weights: Vec<u32>,
    /// How many puzzles, from the beginning of each pool's file, belong to the source. Left empty,
    /// [`pin_pools`](Self::pin_pools) fills in what the files hold; a run that keeps these numbers sees the same examples
    /// when the files have grown.
    pub pool_puzzles: Vec<usize>,
    /// As `extra_clues`, for puzzles of pools.
    pub pool_extra_clues: (usize, usize),
}

impl Default for GeneratorOptions {
    /// Minimal 9×9 puzzles, each seen once: several arrangements in a row make the batches of a small model alike, and
    /// drawing a puzzle (0.2 ms) costs little beside learning from it.
    fn default() -> Self {
        Self {
            size: 9,
            seed: 0,
            givens: None,
            extra_clues: (0, 0),
            symmetries_per_puzzle: 1,
            random_weight: 1,
            pools: Vec::new(),
            pool_weights: Vec::new(),
            pool_puzzles: Vec::new(),
            pool_extra_clues: (0, 0),
        }
    }
}

impl GeneratorOptions {
    /// Checks every option and gives the board shape.
    ///
    /// # Errors
    /// When the size is unsupported, the clue bounds are reversed or exceed the board, or no example per puzzle is
    /// asked for.
    pub fn validate(&self) -> Result<SudokuShape, SudokuError> {
        let shape = SudokuShape::from_size(self.size)?;
        let givens = self.givens.unwrap_or_default();
        for (name, (least, greatest)) in
            [("givens", givens), ("extra_clues", self.extra_clues), ("pool_extra_clues", self.pool_extra_clues)]
        {
            if least > greatest || greatest > shape.cells() {
                return Err(SudokuError::Option {
                    name,
                    expected: format!("two numbers (least, greatest) with least <= greatest <= {}", shape.cells()),
                    found: format!("({least}, {greatest})"),
                });
            }
        }
        if self.symmetries_per_puzzle == 0 {
            return Err(SudokuError::Option {
                name: "symmetries_per_puzzle",
                expected: "1 or more".to_owned(),
                found: "0".to_owned(),
            });
        }
        self.validate_pools(shape)?;
        Ok(shape)
    }

    /// Fills in `pool_puzzles` from the files where it is empty, and checks the options.
    ///
    /// # Errors
    /// When a file cannot be read or an option is invalid.
    pub fn pin_pools(&mut self) -> Result<(), DatasetError> {
        if self.pool_puzzles.is_empty() {
            self.pool_puzzles = self.pools.iter().map(|path| PuzzlePool::count(path)).collect::<Result<_, _>>()?;
        }
        self.validate()?;
        Ok(())
    }

    fn validate_pools(&self, shape: SudokuShape) -> Result<(), SudokuError> {
        let wrong = |name, expected: String, found: String| Err(SudokuError::Option { name, expected, found });
        let pools = self.pools.len();
        if pools > 0 && shape != SudokuShape::NINE {
            return wrong("pools", "none where size is not 9".to_owned(), pools.to_string());
        }
        if self.pool_weights.len() != pools {
            return wrong(
                "pool_weights",
                format!("one for each of {pools} pools"),
                self.pool_weights.len().to_string(),
            );
        }
        if !self.pool_puzzles.is_empty() && (self.pool_puzzles.len() != pools || self.pool_puzzles.contains(&0)) {
            let expected = format!("nothing, or a number of puzzles for each of {pools} pools");
            return wrong("pool_puzzles", expected, format!("{:?}", self.pool_puzzles));
        }
        let total = self.total_weight();
        if total == 0 || total > u64::from(u32::MAX) {
            let expected = format!("a sum with the pools' weights between 1 and {}", u32::MAX);
            return wrong("random_weight", expected, total.to_string());
        }
        Ok(())
    }

    fn total_weight(&self) -> u64 {
        u64::from(self.random_weight) + self.pool_weights.iter().copied().map(u64::from).sum::<u64>()
    }

    /// A random puzzle of these options, before clues are revealed.
    pub(super) fn draw_puzzle(&self, shape: SudokuShape, rng: &mut SudokuRng) -> Result<Puzzle, SudokuError> {
        match self.givens {
            None => minimal_puzzle(shape, rng),
            Some(bounds) => puzzle_of_givens(shape, draw_between(bounds, rng), rng),
        }
    }

    /// The number of clues to reveal in one example.
    pub(super) fn draw_extra_clues(&self, rng: &mut SudokuRng) -> usize {
        draw_between(self.extra_clues, rng)
    }
}

/// Draws examples by number and remembers the random puzzle that neighbours share.
#[derive(Debug, Clone)]
pub struct SudokuExamples {
    options: GeneratorOptions,
    shape: SudokuShape,
    /// Shared with the background thread.
    pools: Arc<[PuzzlePool]>,
    base: Option<(u64, Puzzle)>,
}

impl GeneratedSource {
    /// A source at its first example; reads the pools.
    ///
    /// # Errors
    /// When the options are invalid, a pool is unreadable or too short, or `rank` is not below `world_size`.
    pub fn new(options: GeneratorOptions, rank: usize, world_size: usize) -> Result<Self, DatasetError> {
        let shape = options.validate()?;
        let limits = options.pool_puzzles.iter().copied().map(Some).chain(std::iter::repeat(None));
        let pools = options.pools.iter().zip(limits).map(|(path, limit)| PuzzlePool::read(path, limit));
        let pools = pools.collect::<Result<_, _>>()?;
        Self::of(SudokuExamples { options, shape, pools, base: None }, rank, world_size)
    }
}

impl SudokuExamples {
    /// The pool puzzle that example `index` is a copy of; `None` where it is drawn freshly.
    fn pool_puzzle(&self, index: u64) -> Option<Puzzle> {
        if self.pools.is_empty() {
            return None;
        }
        let mut rng = Purpose::TrainingMix.stream(self.options.seed, self.shape, index);
        let mut weight = rng.below(self.options.total_weight() as u32).checked_sub(self.options.random_weight)?;
        for (pool, &share) in self.pools.iter().zip(&self.options.pool_weights) {
            match weight.checked_sub(share) {
                Some(rest) => weight = rest,
                None => return Some(pool.puzzle(rng.below(pool.len() as u32) as usize)),
            }
        }
        None
    }

    /// The random puzzle that example `index` is a copy of.
    fn random_puzzle(&mut self, index: u64) -> Result<Puzzle, SudokuError> {
        let number = index / self.options.symmetries_per_puzzle;
        if let Some((known, base)) = &self.base
            && *known == number
        {
            return Ok(base.clone());
        }
        let mut rng = Purpose::TrainingPuzzle.stream(self.options.seed, self.shape, number);
        let base = self.options.draw_puzzle(self.shape, &mut rng)?;
        self.base = Some((number, base.clone()));
        Ok(base)
    }
}

impl DrawExample for SudokuExamples {
    fn seq_len(&self) -> usize {
        self.shape.cells()
    }

    fn vocab_size(&self) -> usize {
        self.shape.vocab_size()
    }

    fn draw(&mut self, index: u64) -> Result<DrawnExample, DatasetError> {
        let (base, extra_clues) = match self.pool_puzzle(index) {
            Some(base) => (base, self.options.pool_extra_clues),
            None => (self.random_puzzle(index)?, self.options.extra_clues),
        };
        let mut rng = Purpose::TrainingExample.stream(self.options.seed, self.shape, index);
        let symmetry = Symmetry::random(self.shape, &mut rng);
        let mut example = Puzzle { puzzle: symmetry.apply(&base.puzzle)?, solution: symmetry.apply(&base.solution)? };
        example.puzzle = reveal(&example, draw_between(extra_clues, &mut rng), &mut rng);
        Ok(DrawnExample { inputs: tokens(&example.puzzle), labels: tokens(&example.solution) })
    }
}

fn draw_between((least, greatest): (usize, usize), rng: &mut SudokuRng) -> usize {
    least + rng.below((greatest - least + 1) as u32) as usize
}

fn tokens(board: &Board) -> Vec<u8> {
    board.cells().iter().map(|&value| token_of(value) as u8).collect()
}
