//! Pools of rare puzzles: files that survive kills and never hold a copy, and training sources mixed with them.

use std::fs;
use std::path::{Path, PathBuf};

use datasets::builder::sudoku_pool::{PoolBuild, build};
use datasets::sudoku::{
    Board, GeneratedSource, GeneratorOptions, PoolDomain, PoolKind, Puzzle, PuzzlePool, SudokuRng, SudokuShape,
    canonical_form, hardness, is_minimal, minimal_puzzle, search_chain, solve,
};
use datasets::{SourcePosition, TrainingSource};

/// Chains far shorter than the default, for tests that care about files and not about what is in them.
const MOVES: u32 = 250;

fn config(path: PathBuf, count: usize) -> PoolBuild {
    PoolBuild {
        path,
        kind: PoolKind::Hard,
        domain: PoolDomain::Training,
        moves: MOVES,
        seed: 3,
        exclude: Vec::new(),
        count,
    }
}

/// A file of random minimal puzzles, and these.
fn random_pool(path: &Path, seed: u64, count: usize) -> Vec<Puzzle> {
    let mut rng = SudokuRng::from_seed(seed);
    let puzzles: Vec<Puzzle> =
        (0..count).map(|_| minimal_puzzle(SudokuShape::NINE, &mut rng).expect("a pool of random puzzles")).collect();
    let lines: Vec<String> =
        puzzles.iter().map(|drawn| format!("{} # {}\n", drawn.puzzle, drawn.puzzle.givens())).collect();
    fs::write(path, format!("# a pool\n\n{}", lines.concat())).expect("a pool of random puzzles");
    puzzles
}

/// One search, cut at every kind of place, ends in the same bytes.
#[test]
fn a_killed_search_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pool.txt");
    let first = build(&config(path.clone(), 1), |_| {}).unwrap();
    let short = fs::read_to_string(&path).unwrap();
    let whole = build(&config(path.clone(), first.puzzles + 1), |_| {}).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(whole.chains > first.chains && text.starts_with(&short));
    assert_eq!(PuzzlePool::count(&path).unwrap(), whole.puzzles);
    // Asked for what it has, it does nothing.
    assert_eq!(build(&config(path.clone(), 1), |_| {}).unwrap(), whole);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    let inside_chain = short.len() + 40;
    let inside_chain_line = text.trim_end().len() - 2;
    for cut in [inside_chain, inside_chain_line, text.len() - 1, short.len()] {
        fs::write(&path, &text[..cut]).unwrap();
        assert_eq!(build(&config(path.clone(), whole.puzzles), |_| {}).unwrap(), whole, "cut at {cut}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "cut at {cut}");
    }

    let other = PoolBuild { seed: 4, ..config(path.clone(), 1) };
    let error = build(&other, |_| {}).unwrap_err().to_string();
    assert!(error.contains("pool.txt") && error.contains("seed 4") && error.contains("seed 3"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "a refused build leaves the file alone");
    let missing_chain = text.replacen("# chain 0\n", "", 1);
    fs::write(&path, missing_chain).unwrap();
    assert!(build(&config(path, 1), |_| {}).unwrap_err().to_string().contains("# chain 0"));
}

/// What is excluded does not come back, whole grids included: the same search without its first chain's grids.
#[test]
fn excluded_grids_never_occur() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, excluding) = (folder.path().join("plain.txt"), folder.path().join("excluding.txt"));
    build(&config(plain.clone(), 1), |_| {}).unwrap();
    let held_out = PuzzlePool::read(&plain, None).unwrap();
    let grid = |puzzle: &Puzzle| canonical_form(puzzle).unwrap().grid;
    let forbidden: Vec<[u8; 81]> = (0..held_out.len()).map(|index| grid(&held_out.puzzle(index))).collect();
    let found = build(&PoolBuild { exclude: vec![plain], ..config(excluding.clone(), 1) }, |_| {}).unwrap();
    assert!(found.chains > 1, "the first chain finds nothing else");
    let pool = PuzzlePool::read(&excluding, None).unwrap();
    assert!((0..pool.len()).all(|index| !forbidden.contains(&grid(&pool.puzzle(index)))));
    let header = fs::read_to_string(&excluding).unwrap();
    assert!(!header.lines().next().unwrap().contains(" 0 solution grids"), "{header}");
}

#[test]
fn pools_are_read_with_their_line_in_mind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pool.txt");
    let puzzles = random_pool(&path, 5, 4);
    let pool = PuzzlePool::read(&path, None).unwrap();
    assert_eq!((0..pool.len()).map(|index| pool.puzzle(index)).collect::<Vec<_>>(), puzzles);
    assert_eq!(PuzzlePool::read(&path, Some(2)).unwrap().len(), 2);
    let says = |text: &str, limit, expected: &str| {
        fs::write(&path, text).unwrap();
        let error = PuzzlePool::read(&path, limit).unwrap_err().to_string();
        assert!(error.contains("pool.txt") && error.contains(expected), "{error}");
    };
    let good = puzzles[0].puzzle.to_string();
    says(&format!("{good}\n{}\n", &good[1..]), None, "line 2");
    says(&format!("{good}\n\n{}\n", ".".repeat(81)), None, "on line 3: expected a puzzle with exactly one solution");
    says(&format!("{good}\n"), Some(2), "2 puzzles or more");
    says("# nothing\n", None, "1 puzzles or more");
    fs::write(folder.path().join("pool.txt.gz"), b"no gzip").unwrap();
    assert!(PuzzlePool::read(&folder.path().join("pool.txt.gz"), None).is_err());
    assert!(PuzzlePool::read(&folder.path().join("gone"), None).is_err());
}

/// The files beside the crate are what their README says, and the search still finds what is in them.
#[test]
fn shipped_held_out_pools_are_proper_rare_and_found_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("held-out");
    for (name, kind, count, most_givens) in [
        ("hard.txt.gz", PoolKind::Hard, 1006, 81),
        ("few-clues.txt.gz", PoolKind::FewClues, 230, 18),
        ("seventeen.txt.gz", PoolKind::FewClues, 56, 17),
        ("hardest.txt.gz", PoolKind::Hardest, 14, 81),
    ] {
        let pool = PuzzlePool::read(&folder.join(name), None).unwrap();
        assert_eq!(pool.len(), count, "{name}");
        for index in (0..count).step_by(count / 12) {
            let Puzzle { puzzle, solution } = pool.puzzle(index);
            assert_eq!(solve(&puzzle).unique(), Some(&solution), "{name}: {puzzle}");
            assert!(puzzle.givens() <= most_givens, "{name}: {puzzle}");
            assert!(
                is_minimal(&puzzle) && kind.admits(puzzle.givens(), &hardness(&puzzle).unwrap()),
                "{name}: {puzzle}"
            );
        }
    }
    let pool = PuzzlePool::read(&folder.join("hard.txt.gz"), None).unwrap();
    let moves = PoolKind::Hard.default_moves();
    let found: Vec<Puzzle> = (0..2)
        .flat_map(|chain| search_chain(PoolKind::Hard, PoolDomain::HeldOut, moves, 1, chain).unwrap())
        .map(|rare| rare.puzzle)
        .collect();
    assert!(!found.is_empty());
    assert_eq!(found, (0..found.len()).map(|index| pool.puzzle(index)).collect::<Vec<_>>());
}

fn mixed(folder: &Path) -> (GeneratorOptions, Vec<Vec<Puzzle>>) {
    let paths = ["few.txt", "hard.txt"].map(|name| folder.join(name));
    let pools = vec![random_pool(&paths[0], 6, 5), random_pool(&paths[1], 7, 3)];
    let options = GeneratorOptions {
        seed: 11,
        extra_clues: (4, 4),
        random_weight: 5,
        pools: paths.to_vec(),
        pool_weights: vec![1, 2],
        pool_extra_clues: (1, 1),
        ..GeneratorOptions::default()
    };
    (options, pools)
}

fn draw(source: &mut GeneratedSource, count: usize) -> Vec<Puzzle> {
    let batch = source.next_batch(&vec![true; count]).expect("boards without end");
    let board = |tokens: &[i32]| Board::from_tokens(tokens).expect("boards without end");
    let rows = batch.inputs.chunks(81).zip(batch.labels.chunks(81));
    rows.map(|(inputs, labels)| Puzzle { puzzle: board(inputs), solution: board(labels) }).collect()
}

/// Shares of 240 examples lie within four standard deviations of the weights; every pool puzzle has its turn, with its own
/// number of revealed clues, and is a symmetric copy.
#[test]
fn examples_come_from_their_sources_by_weight() {
    let folder = tempfile::tempdir().unwrap();
    let (options, pools) = mixed(folder.path());
    let grids: Vec<Vec<[u8; 81]>> =
        pools.iter().map(|pool| pool.iter().map(|puzzle| canonical_form(puzzle).unwrap().grid).collect()).collect();
    let mut counts = [[0_usize; 5]; 2];
    let mut copies = std::collections::HashSet::new();
    let examples = draw(&mut GeneratedSource::new(options, 0, 1).unwrap(), 240);
    for example in &examples {
        assert_eq!(solve(&example.puzzle).unique(), Some(&example.solution));
        let grid = canonical_form(example).unwrap().grid;
        for (pool, grids) in grids.iter().enumerate() {
            if let Some(index) = grids.iter().position(|known| *known == grid) {
                counts[pool][index] += 1;
                assert_eq!(example.puzzle.givens(), pools[pool][index].puzzle.givens() + 1);
                copies.insert(example.puzzle.to_string());
            }
        }
    }
    let totals = counts.map(|counts| counts.iter().sum::<usize>());
    // 240 · 1/8 = 30 with deviation 5.1, 240 · 2/8 = 60 with deviation 6.7.
    assert!(totals[0].abs_diff(30) < 21 && totals[1].abs_diff(60) < 27, "{totals:?}");
    assert!(counts[0].iter().all(|&count| count > 0) && counts[1][..3].iter().all(|&count| count > 8), "{counts:?}");
    assert_eq!(copies.len(), totals[0] + totals[1], "each is an arrangement of its own");
}

#[test]
fn mixed_sources_resume_exactly_even_when_pools_have_grown() {
    let folder = tempfile::tempdir().unwrap();
    let (mut options, _) = mixed(folder.path());
    options.pin_pools().unwrap();
    assert_eq!(options.pool_puzzles, [5, 3]);
    let all = draw(&mut GeneratedSource::new(options.clone(), 0, 1).unwrap(), 60);
    for path in &options.pools {
        let more = random_pool(&folder.path().join("more.txt"), 8, 4);
        let lines = more.iter().map(|drawn| format!("{}\n", drawn.puzzle)).collect::<Vec<_>>().concat();
        fs::write(path, fs::read_to_string(path).unwrap() + &lines).unwrap();
    }
    options.pin_pools().unwrap();
    assert_eq!(options.pool_puzzles, [5, 3], "pinned once");
    let mut resumed = GeneratedSource::new(options.clone(), 0, 1).unwrap();
    resumed.seek(&SourcePosition { iteration: 0, consumed: 17 }).unwrap();
    assert_eq!(draw(&mut resumed, 43), all[17..]);
    let second: Vec<Puzzle> = all.iter().skip(1).step_by(2).cloned().collect();
    assert_eq!(draw(&mut GeneratedSource::new(options.clone(), 1, 2).unwrap(), 30), second);
    options.pool_puzzles = vec![10, 3];
    assert!(GeneratedSource::new(options, 0, 1).unwrap_err().to_string().contains("10 puzzles or more"));
}

#[test]
fn pool_options_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let (options, _) = mixed(folder.path());
    for (wrong, name) in [
        (GeneratorOptions { pool_weights: vec![1], ..options.clone() }, "pool_weights"),
        (GeneratorOptions { size: 4, extra_clues: (0, 0), ..options.clone() }, "pools"),
        (GeneratorOptions { pool_puzzles: vec![1], ..options.clone() }, "pool_puzzles"),
        (GeneratorOptions { pool_puzzles: vec![1, 0], ..options.clone() }, "pool_puzzles"),
        (GeneratorOptions { random_weight: 0, pool_weights: vec![0, 0], ..options.clone() }, "random_weight"),
        (GeneratorOptions { random_weight: u32::MAX, ..options.clone() }, "random_weight"),
        (GeneratorOptions { pool_extra_clues: (2, 1), ..options.clone() }, "pool_extra_clues"),
    ] {
        let error = wrong.validate().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name}:")), "{error}");
    }
    let only_pools = GeneratorOptions { random_weight: 0, ..options };
    assert_eq!(draw(&mut GeneratedSource::new(only_pools, 0, 1).unwrap(), 20).len(), 20);
}
