//! Pools of rare 9×9 puzzles: a text file that grows by numbered chains of a search, killed and continued at will.
//! Owns the file, its resumption, duplicates and held-out grids; leaves searching to [`crate::sudoku::search_chain`].
//!
//! The file opens with a line that says what it holds. Puzzles follow, one a line with its facts behind a `#`, and behind
//! the puzzles of each chain a line `# chain N`. Whatever stands after the last such line is the debris of a kill and is
//! cut off. All of it is a pure function of the settings, however often the work was interrupted.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::DatasetError;
use crate::sudoku::{
    CanonicalPuzzle, PoolDomain, PoolKind, Puzzle, PuzzlePool, RarePuzzle, SudokuError, canonical_form, search_chain,
};

/// Largest file that is continued, as much as is read for training.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Begins the line behind the puzzles of a chain.
const CHAIN_LINE: &str = "# chain ";

/// What to search for, and where to put it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolBuild {
    /// The file; continued if it is there.
    pub path: PathBuf,
    /// Kind of the puzzles.
    pub kind: PoolKind,
    /// Training or evaluation.
    pub domain: PoolDomain,
    /// Moves of a chain; [`PoolKind::default_moves`] unless there is a reason.
    pub moves: u32,
    /// Seed of the chains.
    pub seed: u64,
    /// Files of puzzles whose solution grids must not occur, nor any symmetric copy of them.
    pub exclude: Vec<PathBuf>,
    /// The search ends with the chain that reaches this number of puzzles.
    pub count: usize,
}

/// How far a search has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolProgress {
    /// Chains that are in the file.
    pub chains: u64,
    /// Puzzles that are in the file.
    pub puzzles: usize,
}

/// Searches until the file has its number of puzzles; `progress` is called after every chain.
///
/// # Errors
/// When a file cannot be read or written, another process is at work on it, or it belongs to other settings.
pub fn build(config: &PoolBuild, mut progress: impl FnMut(PoolProgress)) -> Result<PoolProgress, DatasetError> {
    let excluded = excluded_grids(&config.exclude)?;
    let mut pool = PoolFile::open(config, &excluded)?;
    let width = rayon::current_num_threads() as u64;
    progress(pool.progress());
    while pool.known.len() < config.count {
        let chains = (pool.chains..pool.chains + width)
            .into_par_iter()
            .map(|index| canonical_chain(config, index))
            .collect::<Result<Vec<_>, SudokuError>>()?;
        for chain in chains {
            if pool.known.len() < config.count {
                pool.append(chain, &excluded)?;
                progress(pool.progress());
            }
        }
    }
    Ok(pool.progress())
}

/// A chain's puzzles with their canonical forms.
fn canonical_chain(config: &PoolBuild, index: u64) -> Result<Vec<(RarePuzzle, CanonicalPuzzle)>, SudokuError> {
    let found = search_chain(config.kind, config.domain, config.moves, config.seed, index)?;
    found.into_iter().map(|rare| canonical_form(&rare.puzzle).map(|form| (rare, form))).collect()
}

/// The canonical solution grids of all puzzles in some files.
fn excluded_grids(paths: &[PathBuf]) -> Result<HashSet<[u8; 81]>, DatasetError> {
    let mut grids = HashSet::new();
    for path in paths {
        let pool = PuzzlePool::read(path, None)?;
        grids.extend(canonical_forms(&pool)?.iter().map(|form| form.grid));
    }
    Ok(grids)
}

fn canonical_forms(pool: &PuzzlePool) -> Result<Vec<CanonicalPuzzle>, SudokuError> {
    (0..pool.len()).into_par_iter().map(|index| canonical_form(&pool.puzzle(index))).collect()
}

/// The file under construction.
struct PoolFile {
    path: PathBuf,
    /// Locked for as long as it is open.
    file: File,
    chains: u64,
    known: HashSet<CanonicalPuzzle>,
}

impl PoolFile {
    /// Opens or creates the file, cuts off an unfinished chain, and learns what is in it.
    fn open(config: &PoolBuild, excluded: &HashSet<[u8; 81]>) -> Result<Self, DatasetError> {
        let path = config.path.clone();
        let failed = |action: &'static str| DatasetError::io(action, &config.path);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("open"))?;
        file.try_lock().map_err(|_| {
            DatasetError::format(&path, "a pool that no other process is building", "one that another process holds")
        })?;
        let mut text = String::new();
        (&file).take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(failed("read"))?;
        let header = header(config, excluded.len());
        let finished = finished_part(&path, &text, &header)?;
        let chains = chains_of(&path, &text[..finished])?;
        if finished == 0 {
            file.set_len(0).map_err(failed("truncate"))?;
            file.seek(SeekFrom::Start(0)).map_err(failed("write"))?;
            file.write_all(header.as_bytes()).map_err(failed("write"))?;
        } else {
            file.set_len(finished as u64).map_err(failed("truncate"))?;
            file.seek(SeekFrom::End(0)).map_err(failed("write"))?;
        }
        file.sync_all().map_err(failed("sync"))?;
        let known = if PuzzlePool::count(&path)? == 0 {
            HashSet::new()
        } else {
            canonical_forms(&PuzzlePool::read(&path, None)?)?.into_iter().collect()
        };
        Ok(Self { path, file, chains, known })
    }

    fn progress(&self) -> PoolProgress {
        PoolProgress { chains: self.chains, puzzles: self.known.len() }
    }

    /// Appends what is new of a chain, in one write, and syncs.
    fn append(
        &mut self,
        chain: Vec<(RarePuzzle, CanonicalPuzzle)>,
        excluded: &HashSet<[u8; 81]>,
    ) -> Result<(), DatasetError> {
        let mut text = String::new();
        for (rare, form) in chain {
            if !excluded.contains(&form.grid) && self.known.insert(form) {
                text.push_str(&line(&rare));
            }
        }
        writeln!(text, "{CHAIN_LINE}{}", self.chains).expect("a string takes any text");
        self.file.write_all(text.as_bytes()).map_err(DatasetError::io("write", &self.path))?;
        self.file.sync_data().map_err(DatasetError::io("sync", &self.path))?;
        self.chains += 1;
        Ok(())
    }
}

/// The first line: everything that the content depends on.
fn header(config: &PoolBuild, excluded: usize) -> String {
    format!(
        "# 9x9 puzzle pool, version 1: {} for {}, {} moves a chain, seed {}, {excluded} solution grids excluded\n",
        config.kind,
        config.domain.name(),
        config.moves,
        config.seed
    )
}

/// Length of the part that ends with a finished chain, or with the header alone.
fn finished_part(path: &Path, text: &str, header: &str) -> Result<usize, DatasetError> {
    if text.is_empty() {
        return Ok(0);
    }
    if !text.starts_with(header) {
        // A header cut short by a kill holds nothing that could be lost.
        if header.starts_with(text) {
            return Ok(0);
        }
        let first = text.lines().next().unwrap_or_default().chars().take(120).collect::<String>();
        return Err(DatasetError::format(
            path,
            format!("a pool that begins with {:?}, to continue it", header.trim_end()),
            format!("{first:?}; choose another file or the settings of this one"),
        ));
    }
    let last = text.rfind(&format!("\n{CHAIN_LINE}"));
    let end = last.and_then(|start| text[start + 1..].find('\n').map(|length| start + 1 + length + 1));
    match (end, last) {
        (Some(end), _) => Ok(end),
        // The last chain's own line was cut short: the chain before it is the last finished one.
        (None, Some(start)) => finished_part(path, &text[..=start], header),
        (None, None) => Ok(header.len()),
    }
}

/// Chains of the finished part, which must be numbered without gaps.
fn chains_of(path: &Path, text: &str) -> Result<u64, DatasetError> {
    let mut chains = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix(CHAIN_LINE)) {
        if line.parse::<u64>() != Ok(chains) {
            return Err(DatasetError::format(path, format!("{CHAIN_LINE}{chains}"), format!("{CHAIN_LINE}{line}")));
        }
        chains += 1;
    }
    Ok(chains)
}

fn line(RarePuzzle { puzzle: Puzzle { puzzle, .. }, hardness }: &RarePuzzle) -> String {
    let mut line = String::new();
    writeln!(line, "{puzzle} # {} givens, {}, {:.1} guesses", puzzle.givens(), hardness.level.name(), hardness.guesses)
        .expect("a string takes any text");
    line
}
