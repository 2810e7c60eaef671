//! What the figures of an evaluation mean: votes and pass@K on scripted chains, curves against runs of that many steps,
//! puzzles from every source.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use datasets::builder::puzzle_csv::PuzzleCsv;
use datasets::maze::MazeShape;
use datasets::scoring::wilson_interval;
use datasets::sudoku::{Board, HARD_GUESSES, Hardness, HeldOutPuzzle, LogicLevel, SudokuShape, hardness, solve};
use engine::registry::{EngineLimits, ServedModel};
use engine::task::{self, Task, tokens_of};
use engine::{Answer, Batching, Halting, Policy, Request, Rules, StepTrace, Stopped, Timings};
use evaluation::records::{ChainsRecord, Entry, ServedRecord, StepsRecord};
use evaluation::score::Group;
use evaluation::tally::{ChainsTally, ServedTally, StepsTally};
use evaluation::{BoardPuzzle, PuzzleSource, Shard};
use exporter::runtime::SessionOptions;
use flate2::Compression;
use flate2::write::GzEncoder;
use models::ArchitectureConfig;

use crate::golden::unpack;
use crate::raw::{RawOutcome, held_out, run_raw, score_raw};

/// Label 1; everything from 1 on obeys the rules, so that an answer may obey them and not be the label.
struct FromOneOn;

impl Rules for FromOneOn {
    fn obeyed(&self, _inputs: &[i64], answer: &[i64]) -> bool {
        answer[0] >= 1
    }
}

fn puzzle() -> BoardPuzzle {
    BoardPuzzle { number: 7, tokens: vec![0, 0], label: vec![1, -100], hardness: 3, givens: Some(4), rating: None }
}

/// An answer whose chains gave these answers and Q values, step by step.
fn scripted(chains: &[&[(i64, f32)]]) -> Answer {
    let trace = chains.iter().enumerate().flat_map(|(chain, steps)| {
        let of = move |(index, &(token, q)): (usize, &(i64, f32))| StepTrace {
            chain,
            step: index + 1,
            tokens: vec![token, 9],
            q,
        };
        steps.iter().enumerate().map(of)
    });
    Answer {
        tokens: vec![0, 9],
        verified: false,
        steps: 1,
        q: 0.0,
        stopped: Stopped::Vote,
        chain: 0,
        chains: chains.len(),
        votes: 1,
        total_steps: 1,
        trace: trace.collect(),
        timings: Timings { queue: Duration::ZERO, compute: Duration::ZERO },
    }
}

#[test]
fn pass_vote_best_q_and_verified_at_k_are_told_apart() {
    let points = [1, 2, 4, 5];
    // Last answers: wrong, label, wrong, wrong (another), label. Q: the second chain is trusted most.
    let chains: [&[(i64, f32)]; 5] =
        [&[(0, 1.0), (-1, 0.5)], &[(1, 2.0)], &[(-1, 0.1)], &[(-2, 1.0)], &[(2, 0.0), (1, 1.9)]];
    let record = ChainsRecord::of(&puzzle(), &scripted(&chains), &points, &FromOneOn);
    assert_eq!(record.pass_at, [2, 4, 5]);
    // K 2: one vote each, the label with more Q. K 4: two votes for -1. K 5: two each, the label with more mean Q.
    assert_eq!(record.vote_at, [2, 5]);
    assert_eq!(record.best_q_at, [2, 4, 5]);
    assert_eq!(record.verified_at, [2, 4, 5]);

    // Rule-abiding on the way, but not the label; and never the label.
    let chains: [&[(i64, f32)]; 2] = [&[(2, 0.0), (0, 9.0)], &[(3, 0.0)]];
    let never = ChainsRecord::of(&puzzle(), &scripted(&chains), &points, &FromOneOn);
    assert_eq!((never.pass_at.len(), never.vote_at.len(), never.best_q_at.len()), (0, 0, 0));
    assert_eq!(never.verified_at, points);

    let mut tally = ChainsTally::new(&points);
    tally.add(&Entry::Puzzle(record));
    tally.add(&Entry::Puzzle(never));
    let curve = tally.curve();
    let shares: Vec<[f64; 4]> = curve
        .iter()
        .map(|point| [point.pass, point.vote, point.best_q, point.verified].map(|share| share.accuracy))
        .collect();
    assert_eq!(shares, [[0.0, 0.0, 0.0, 0.5], [0.5, 0.5, 0.5, 1.0], [0.5, 0.0, 0.5, 1.0], [0.5, 0.5, 0.5, 1.0]]);
}

#[test]
fn raw_and_verified_are_counted_apart_at_every_step() {
    let chain: &[(i64, f32)] = &[(0, -1.0), (2, 1.0), (1, 1.0), (0, 1.0)];
    let record = StepsRecord::of(&puzzle(), &scripted(&[chain]), &[1, 2, 3, 4], 3, &FromOneOn);
    assert_eq!((record.exact_at.as_slice(), record.obeys_at.as_slice()), ([3].as_slice(), [2, 3].as_slice()));
    assert_eq!((record.q_at.as_slice(), record.first_verified), ([2, 3, 4].as_slice(), Some(2)));
    assert_eq!((record.correct_cells, record.labelled_cells), (1, 1));
    let line = serde_json::to_string(&Entry::Puzzle(&record)).unwrap();
    assert_eq!(serde_json::from_str::<Entry<StepsRecord>>(&line).unwrap(), Entry::Puzzle(record.clone()));

    let mut tally = StepsTally::new(&[1, 2, 3, 4], 3);
    tally.add(Entry::Puzzle(record));
    let of = |share: datasets::scoring::Share| share.accuracy > 0.5;
    let curve: Vec<[bool; 3]> =
        tally.curve().iter().map(|point| [of(point.exact), of(point.obeys), of(point.verified)]).collect();
    let (no, yes) = (false, true);
    assert_eq!(curve, [[no, no, no], [no, yes, yes], [yes, yes, yes], [no, no, yes]]);
    let score = tally.score(None);
    assert!(of(score.overall.raw) && of(score.rules_accuracy) && score.q_halt_accuracy > 0.5);
    assert_eq!(score.mean_verified_step, Some(2.0));
}

#[test]
fn accuracy_is_reported_for_each_bucket_of_hardness_easiest_first() {
    let rated = |number, level, guesses| BoardPuzzle { number, rating: Some(Hardness { level, guesses }), ..puzzle() };
    let puzzles = [
        rated(0, LogicLevel::Nested, 40.0),
        rated(1, LogicLevel::Refutation, HARD_GUESSES),
        rated(2, LogicLevel::Pairs, 3.0),
        rated(3, LogicLevel::Refutation, HARD_GUESSES - 0.5),
        rated(4, LogicLevel::Singles, 0.0),
        rated(5, LogicLevel::Nested, 60.0),
        // No rating: another size, or several solutions.
        puzzle(),
    ];
    // Raw right; verified at the first step and spoiled at the second; neither.
    let right: &[(i64, f32)] = &[(0, 0.0), (1, 1.0)];
    let spoiled: &[(i64, f32)] = &[(1, 1.0), (0, 1.0)];
    let wrong: &[(i64, f32)] = &[(0, 0.0), (0, 0.0)];
    let (mut steps, mut served) = (StepsTally::new(&[2], 2), ServedTally::default());
    for (puzzle, chain) in puzzles.iter().zip([right, spoiled, right, right, right, wrong, right]) {
        let answer = scripted(&[chain]);
        steps.add(Entry::Puzzle(StepsRecord::of(puzzle, &answer, &[2], 2, &FromOneOn)));
        let answer = Answer { verified: puzzle.number != 5, ..answer };
        served.add(&Entry::Puzzle(ServedRecord::of(puzzle, &answer)));
    }
    let score = steps.score(Some(&served));
    let found: Vec<(&str, usize, [f64; 3])> = score
        .by_hardness
        .iter()
        .map(|group| {
            let shares = [group.raw, group.verified, group.engine.unwrap()].map(|share| share.accuracy);
            (group.label.as_str(), group.puzzles, shares)
        })
        .collect();
    let expected = [
        ("singles", 1, [1.0, 1.0, 1.0]),
        ("pairs", 1, [1.0, 1.0, 1.0]),
        ("refutation, under 10 guesses", 1, [1.0, 1.0, 1.0]),
        ("refutation, 10+ guesses", 1, [0.0, 1.0, 1.0]),
        ("nested", 2, [0.5, 0.5, 0.5]),
    ];
    assert_eq!(found, expected);
    assert_eq!(score.overall.puzzles, 7);
}

#[test]
fn points_of_a_curve_equal_runs_of_that_many_steps() {
    const POINTS: [usize; 5] = [1, 2, 4, 8, 16];
    let session = SessionOptions { threads: 1, ..SessionOptions::default() };
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/shipped/sudoku-9x9");
    let set = held_out(SudokuShape::NINE, 5, 0, 24);
    let tokens: Vec<Vec<i64>> = set.iter().map(|puzzle| tokens_of(&puzzle.puzzle)).collect();
    let rules = task::rules(Task::Sudoku(SudokuShape::NINE), &ArchitectureConfig::default_of("trm").unwrap());

    let limits = EngineLimits { batching: Batching::Padded, ..EngineLimits::plain(8, 64, 64) };
    let model = ServedModel::load(&checkpoint, &session, limits).unwrap();
    let policy = Policy { halting: Halting::Fixed, ..Policy::plain(16) };
    let request = |tokens: &Vec<i64>| Request { trace: true, ..Request::new(tokens.clone()).with_policy(policy) };
    let pending = model.engine.submit_all(tokens.iter().map(request).collect()).unwrap();
    let source = PuzzleSource::generated(Task::Sudoku(SudokuShape::NINE), 5, 0, 24).unwrap();
    let mut tally = StepsTally::new(&POINTS, 8);
    for (pending, puzzle) in pending.into_iter().zip(read_all(&source)) {
        let answer = pending.wait().unwrap();
        tally.add(Entry::Puzzle(StepsRecord::of(&puzzle, &answer, &POINTS, 8, &*rules)));
    }
    let mut step_model = engine::model::load(&checkpoint, &session).unwrap().step_model;
    let mut distinct = Vec::new();
    for point in tally.curve() {
        let outcomes = run_raw(&mut step_model, &*rules, &tokens, point.steps, 8);
        let score = score_raw(&set, &outcomes, point.steps);
        assert_eq!(point.exact, score.overall.raw, "{} steps", point.steps);
        assert_eq!(point.obeys, score.rules_accuracy, "{} steps", point.steps);
        assert_eq!(point.verified, score.overall.verified, "{} steps", point.steps);
        distinct.push(point.exact.accuracy.to_bits());
    }
    distinct.dedup();
    assert!(distinct.len() > 1, "the model learned nothing that steps could show");
}

fn board(text: &str, guesses: u32) -> HeldOutPuzzle {
    let puzzle = Board::parse_shape(SudokuShape::FOUR, text).unwrap();
    HeldOutPuzzle { solution: solve(&puzzle).first.unwrap(), givens: puzzle.givens(), puzzle, guesses }
}

fn outcome(answer: Vec<i64>, q: f32, first_verified: Option<usize>) -> RawOutcome {
    RawOutcome { obeys: first_verified.is_some() && q > 0.0, answer, q, first_verified }
}

#[test]
fn raw_and_verified_are_counted_apart() {
    let puzzles = [
        board("1...............", 0),
        board("12..............", 2),
        board("123.............", 11),
        board("12..............", 3),
    ];
    let right = |index: usize| tokens_of(&puzzles[index].solution);
    let mut off_by_one = right(1);
    off_by_one[15] = 1;
    let outcomes = [
        outcome(right(0), 1.0, Some(2)),
        // Was right at step 4 and spoiled it later: verified, not raw.
        outcome(off_by_one, -1.0, Some(4)),
        outcome(vec![1; 16], 1.0, None),
        outcome(right(3), -1.0, Some(3)),
    ];
    let score = score_raw(&puzzles, &outcomes, 16);
    assert!((score.overall.raw.accuracy - 0.5).abs() < 1e-12);
    assert!((score.overall.verified.accuracy - 0.75).abs() < 1e-12);
    assert_eq!(score.overall.raw.interval, wilson_interval(2, 4));
    assert!((score.token_accuracy - (1.0 + 15.0 / 16.0 + 0.0 + 1.0) / 4.0).abs() < 1e-12);
    assert!((score.q_halt_accuracy - 0.5).abs() < 1e-12);
    assert_eq!(score.mean_verified_step, Some(3.0));
    let labels = |groups: &[Group]| -> Vec<(String, usize)> {
        groups.iter().map(|group| (group.label.clone(), group.puzzles)).collect()
    };
    assert_eq!(labels(&score.by_guesses), [("0".into(), 1), ("1–3".into(), 2), ("11–30".into(), 1)]);
    assert_eq!(labels(&score.by_givens), [("1".into(), 1), ("2".into(), 2), ("3".into(), 1)]);
}

#[test]
fn shards_divide_blocks_without_rest_or_overlap() {
    let shards: Vec<Shard> = ["1/3", "2/3", "3/3"].map(|text| text.parse().unwrap()).into();
    for block in 0..20 {
        assert_eq!(shards.iter().filter(|shard| shard.holds(block)).count(), 1, "block {block}");
    }
    for text in ["0/3", "4/3", "1/0", "1", "a/b", ""] {
        assert!(text.parse::<Shard>().unwrap_err().contains("such as 1/4"), "{text:?}");
    }
}

fn read_all(source: &PuzzleSource) -> Vec<BoardPuzzle> {
    let read = |draft| match source.read(draft).unwrap() {
        Entry::Puzzle(puzzle) => puzzle,
        Entry::Skipped(skipped) => panic!("{skipped:?}"),
    };
    source.drafts().unwrap().map(|draft| read(draft.unwrap())).collect()
}

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/datasets").join(path)
}

/// The puzzles of a source are these, with all that is known about them.
fn assert_same(source: &PuzzleSource, set: &[HeldOutPuzzle]) {
    let found = read_all(source);
    assert_eq!(found.len(), set.len());
    for (index, (found, expected)) in found.iter().zip(set).enumerate() {
        let expected = BoardPuzzle {
            number: index as u64,
            tokens: tokens_of(&expected.puzzle),
            label: tokens_of(&expected.solution),
            hardness: u64::from(expected.guesses),
            givens: Some(expected.puzzle.givens() as u64),
            rating: hardness(&expected.puzzle).ok(),
        };
        assert_eq!(*found, expected);
    }
}

/// The puzzles of the published list that the data set was built from, read here.
fn listed_boards() -> Vec<HeldOutPuzzle> {
    let rows = PuzzleCsv::open(&fixture("sources/sudoku/test.csv")).unwrap();
    let board = |text: &str| Board::parse_shape(SudokuShape::NINE, text).unwrap();
    let boards = rows.map(|row| {
        let row = row.unwrap();
        let (puzzle, solution) = (board(&row.question), board(&row.answer));
        assert!(solution.is_solution_of(&puzzle));
        HeldOutPuzzle { guesses: solve(&puzzle).guesses, givens: puzzle.givens(), puzzle, solution }
    });
    boards.collect()
}

#[test]
fn sources_give_boards_with_solutions_and_difficulty() {
    let (nine, task) = (SudokuShape::NINE, Task::Sudoku(SudokuShape::NINE));
    let generated = PuzzleSource::generated(task, 3, 2, 5).unwrap();
    assert_same(&generated, &held_out(nine, 3, 2, 5));
    let folder = fixture("sudoku_plain");
    let all = PuzzleSource::folder(task, &folder, u64::MAX).unwrap();
    assert_eq!(all.count(), Some(10));
    let boards = listed_boards();
    assert_same(&all, &boards);
    assert_same(&PuzzleSource::folder(task, &folder, 3).unwrap(), &boards[..3]);
    let list = fixture("sources/sudoku/test.csv");
    let listed = PuzzleSource::list(task, &list, "list", 4).unwrap();
    assert_same(&listed, &boards[..4]);
    // Content decides, not the number of puzzles taken.
    assert_eq!(all.digest(), PuzzleSource::folder(task, &folder, 3).unwrap().digest());
    assert_ne!(all.digest(), listed.digest());
    assert_ne!(generated.digest(), PuzzleSource::generated(task, 4, 2, 5).unwrap().digest());
}

#[test]
fn lines_are_puzzles_comments_or_problems_with_their_number_packed_or_not() {
    let task = Task::Sudoku(SudokuShape::FOUR);
    let folder = tempfile::tempdir().unwrap();
    let text = "# 4x4 puzzles\n\n123434122143....  # easy\n1234341221430000\n1.q.............\n11..............\n\
                ................\n1....\n123....4........\n";
    let (plain, packed) = (folder.path().join("puzzles.txt"), folder.path().join("puzzles.txt.gz"));
    fs::write(&plain, text).unwrap();
    fs::write(&packed, gzip(text.as_bytes())).unwrap();
    for path in [&plain, &packed] {
        let source = PuzzleSource::lines(task, path, u64::MAX).unwrap();
        let entries: Vec<Entry<BoardPuzzle>> =
            source.drafts().unwrap().map(|draft| source.read(draft.unwrap()).unwrap()).collect();
        let (mut labels, mut problems) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                Entry::Puzzle(puzzle) => labels.push(puzzle.label),
                Entry::Skipped(skipped) => problems.push((skipped.line, skipped.problem)),
            }
        }
        let solution: Vec<i64> = "1234341221434321".bytes().map(|digit| i64::from(digit - b'0') + 1).collect();
        assert_eq!(labels, [solution.clone(), solution]);
        let says = ["'q'", "1 stands twice in row 1", "more than one", "found 5", "no solution"];
        assert_eq!(problems.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
        for ((_, problem), says) in problems.iter().zip(says) {
            assert!(problem.contains(says), "{problem:?} does not say {says:?}");
        }
        assert_eq!(PuzzleSource::lines(task, path, 1).unwrap().drafts().unwrap().count(), 1);
    }
    // What does not unpack, and what unpacks to one endless line.
    for (bytes, says) in
        [(b"no gzip".to_vec(), "cannot read"), (gzip(&vec![b'.'; 1 << 20]), "has more than 262144 bytes")]
    {
        fs::write(&packed, bytes).unwrap();
        let source = PuzzleSource::lines(task, &packed, u64::MAX).unwrap();
        let error = source.drafts().unwrap().find_map(Result::err).unwrap().to_string();
        assert!(error.contains("puzzles.txt.gz: ") && error.contains(says), "{error}");
    }
    assert!(PuzzleSource::lines(task, &folder.path().join("gone"), 10).is_err());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn mazes_come_with_a_shortest_path_as_label() {
    let hard = Task::Maze(MazeShape::HARD);
    let folder = tempfile::tempdir().unwrap();
    unpack(&fixture("maze_plain"), folder.path());
    let built = read_all(&PuzzleSource::folder(hard, folder.path(), 4).unwrap());
    assert_eq!(built.len(), 4);
    let drawn = read_all(&PuzzleSource::generated(Task::Maze(MazeShape::from_side(10).unwrap()), 0, 0, 4).unwrap());
    for maze in built.iter().chain(&drawn) {
        let shape = MazeShape::from_cells(maze.tokens.len()).unwrap();
        assert!(
            task::rules(Task::Maze(shape), &ArchitectureConfig::default_of("trm").unwrap())
                .obeyed(&maze.tokens, &maze.label)
        );
        assert_eq!(maze.label.iter().filter(|&&token| token == 5).count() as u64, maze.hardness);
    }
    let wrong = PuzzleSource::folder(Task::Sudoku(SudokuShape::NINE), folder.path(), 4).unwrap_err();
    assert!(
        wrong.to_string().contains("expected puzzles of task `sudoku`, as the model solves, found maze"),
        "{wrong}"
    );
    assert!(PuzzleSource::generated(Task::Arc, 0, 0, 1).is_err());
}
