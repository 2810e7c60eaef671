//! Votes on Sudoku and maze predictions, counted by hand: candidates, cells, draws, difficulty, rules.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::common::fixture;
use datasets::scoring::predictions::{PredictionRows, PredictionSource};
use datasets::scoring::{BoardScorer, ReportOptions, ScoreReport, read_ratings, wilson_interval};
use datasets::sudoku::{Board, SudokuShape, solve};
use datasets::{IGNORE_LABEL_ID, Task};

/// A 4×4 puzzle with one solution, and that solution.
fn puzzle(text: &str) -> (Vec<i32>, Vec<i32>) {
    let givens = Board::parse_shape(SudokuShape::FOUR, text).expect("a board");
    let solution = solve(&givens).unique().expect("one solution").clone();
    (givens.to_tokens(), solution.to_tokens())
}

fn rows(answers: &[(&[i32], Vec<i32>, f64)]) -> PredictionRows {
    let byte = |&token: &i32| u8::try_from(token).expect("a token");
    PredictionRows {
        seq_len: answers[0].0.len(),
        first_row: 0,
        inputs: answers.iter().flat_map(|(input, ..)| input.iter().map(byte)).collect(),
        preds: answers.iter().flat_map(|(_, pred, _)| pred.iter().map(byte)).collect(),
        puzzle_identifiers: vec![0; answers.len()],
        q_halt_logits: answers.iter().map(|(.., logit)| *logit).collect(),
    }
}

fn source(augmentations: usize) -> PredictionSource {
    PredictionSource { path: PathBuf::from("predictions"), augmentations }
}

fn with_wrong(answer: &[i32], cells: &[usize]) -> Vec<i32> {
    let mut wrong = answer.to_vec();
    for &cell in cells {
        wrong[cell] = wrong[cell] % 4 + 2;
        if wrong[cell] == answer[cell] {
            wrong[cell] = 2;
        }
    }
    assert_eq!(wrong.iter().zip(answer).filter(|(a, b)| a != b).count(), cells.len());
    wrong
}

fn report(scorer: &BoardScorer, pass_ks: &[usize]) -> ScoreReport {
    let options = ReportOptions { pass_ks: pass_ks.to_vec(), ratings: HashMap::new() };
    scorer.report(&["predictions".into()], &options).expect("votes")
}

fn share(report: &ScoreReport, name: &str) -> f64 {
    report.accuracy(name).unwrap_or_else(|| panic!("{name} is not in the report")).share.accuracy
}

const FIRST: &str = "12343412214343..";
const SECOND: &str = "2143432112343.1.";
const THIRD: &str = "43122134342..2..";

#[test]
fn copies_vote_by_board_and_by_cell() {
    let [(first, one), (second, two), (third, three)] = [FIRST, SECOND, THIRD].map(puzzle);
    let mut scorer = BoardScorer::new(Task::Sudoku(SudokuShape::FOUR)).expect("a board task");
    for (input, label) in [(&first, &one), (&second, &two), (&third, &three)] {
        assert!(scorer.add_puzzle(input, label));
    }
    let answers = [
        // The right answer has two votes of four.
        (&first[..], with_wrong(&one, &[15]), 2.0),
        (&first[..], one.clone(), -1.0),
        (&first[..], with_wrong(&one, &[14]), 0.5),
        (&first[..], one.clone(), -1.0),
        // No prediction is right, but each cell is, with three votes of four.
        (&second[..], with_wrong(&two, &[0]), 1.0),
        (&second[..], with_wrong(&two, &[5]), 1.0),
        (&second[..], with_wrong(&two, &[10]), 1.0),
        (&second[..], with_wrong(&two, &[13]), 1.0),
        // The right answer has one vote, a wrong one three; the right one has the largest Q.
        (&third[..], with_wrong(&three, &[12]), 0.0),
        (&third[..], with_wrong(&three, &[12]), 0.0),
        (&third[..], three.clone(), 3.0),
        (&third[..], with_wrong(&three, &[12]), 0.0),
    ];
    scorer.add(&rows(&answers), &source(4)).expect("four copies each");
    let found = report(&scorer, &[1, 2, 4, 10]);
    assert_eq!((found.coverage.rows, found.coverage.puzzles, found.coverage.puzzles_without_predictions), (12, 3, 0));

    // Each prediction for itself: 3 of 12 right; Q of a third, a third and three quarters of them is right.
    assert!((share(&found, "exact_accuracy") - 0.25).abs() < 1e-12);
    assert!((share(&found, "valid_accuracy") - 0.25).abs() < 1e-12);
    let token = (2.0 + 2.0 * 15.0 / 16.0 + 4.0 * 15.0 / 16.0 + 3.0 * 15.0 / 16.0 + 1.0) / 12.0;
    assert!((share(&found, "accuracy") - token).abs() < 1e-12);
    assert!((share(&found, "q_halt_accuracy") - 1.0 / 12.0).abs() < 1e-12);
    assert_eq!(found.accuracy("exact_accuracy").expect("there").trials, 3, "copies are not independent trials");

    for (name, expected) in [
        ("exact_pass@1/count_then_mean_q", 1.0 / 3.0),
        ("exact_pass@2/count_then_mean_q", 2.0 / 3.0),
        ("exact_pass@1/count", 1.0 / 3.0),
        ("exact_pass@1/mean_q", 1.0 / 3.0),
        // Sums of Q: first 0.54 against 0.88, third 0.95 against 1.5.
        ("exact_pass@1/q_weighted", 0.0),
        ("exact_pass@2/q_weighted", 1.0 / 3.0),
        ("exact_pass@1/cell", 2.0 / 3.0),
        ("valid_pass@1/cell", 2.0 / 3.0),
        // Of 4 predictions 2, 0 and 1 are right: one drawn 1/2, 0, 1/4; two drawn 1 - 1/6, 0, 1/2; four drawn 1, 0, 1.
        ("exact_pass@1/sampled", 0.25),
        ("exact_pass@2/sampled", (5.0 / 6.0 + 0.5) / 3.0),
        ("exact_pass@4/sampled", 2.0 / 3.0),
    ] {
        assert!((share(&found, name) - expected).abs() < 1e-12, "{name}: {}", share(&found, name));
    }
    assert!(found.accuracy("exact_pass@10/sampled").is_none(), "there are no ten predictions to draw");
    assert!(found.accuracy("exact_pass@10/count").is_none(), "there are no ten candidates");
    let voted = found.accuracy("exact_pass@2/count_then_mean_q").expect("there");
    assert_eq!((voted.trials, voted.share.interval), (3, wilson_interval(2, 3)));
}

#[test]
fn one_prediction_per_puzzle_has_no_votes_and_repetitions_are_refused_unless_announced() {
    let [(first, one), (second, two)] = [FIRST, SECOND].map(puzzle);
    let mut scorer = BoardScorer::new(Task::Sudoku(SudokuShape::FOUR)).expect("a board task");
    scorer.add_puzzle(&first, &one);
    scorer.add_puzzle(&second, &two);
    let single = rows(&[(&first, one.clone(), 4.0)]);
    scorer.add(&single, &source(1)).expect("once");
    let found = report(&scorer, &[1, 2]);
    assert!(found.accuracies.iter().all(|accuracy| accuracy.vote == "none"));
    assert_eq!(found.coverage.puzzles_without_predictions, 1);
    assert!((share(&found, "exact_accuracy") - 1.0).abs() < 1e-12);

    let error = scorer.add(&single, &source(1)).expect_err("twice in one pass").to_string();
    assert!(error.starts_with("predictions: expected at most 1 rows per puzzle") && error.contains("row 0"), "{error}");
    scorer.begin_pass();
    scorer.add(&single, &source(1)).expect("another pass");
    scorer.allow_duplicates(true);
    scorer.add(&single, &source(1)).expect("allowed");
    assert_eq!(report(&scorer, &[1]).coverage.rows, 3);

    // A puzzle that the dataset holds twice may be answered twice.
    let mut twice = BoardScorer::new(Task::Sudoku(SudokuShape::FOUR)).expect("a board task");
    assert!(twice.add_puzzle(&first, &one) && twice.add_puzzle(&first, &one));
    assert!(!twice.add_puzzle(&first, &two), "one puzzle, another answer");
    twice.add(&single, &source(1)).expect("once");
    twice.add(&single, &source(1)).expect("twice");
}

#[test]
fn padding_and_unknown_puzzles_are_counted_apart() {
    let [(first, one), (second, two)] = [FIRST, SECOND].map(puzzle);
    let mut scorer = BoardScorer::new(Task::Sudoku(SudokuShape::FOUR)).expect("a board task");
    scorer.add_puzzle(&first, &one);
    let padding = vec![0; 16];
    scorer.add(&rows(&[(&second, two, 0.0), (&padding, vec![2; 16], 9.0)]), &source(1)).expect("readable");
    let error = scorer.report(&["there".into()], &ReportOptions::default()).expect_err("nothing fits").to_string();
    assert_eq!(error, "predictions: expected answers to puzzles of the dataset, found none in 1 rows of there");
    scorer.add(&rows(&[(&first, one, 0.0)]), &source(1)).expect("readable");
    let coverage = report(&scorer, &[1]).coverage;
    assert_eq!((coverage.rows, coverage.padding_rows, coverage.unmatched_rows), (1, 1, 1));
}

/// 4×4 boards where another solution is valid but not the label, and labels that do not count everywhere.
#[test]
fn valid_answers_need_not_be_the_label() {
    let givens = Board::parse_shape(SudokuShape::FOUR, "12343412........").expect("a board");
    let solutions = solve(&givens);
    let [label, other] = [solutions.first, solutions.second].map(|board| board.expect("two solutions").to_tokens());
    let input = givens.to_tokens();
    let mut scorer = BoardScorer::new(Task::Sudoku(SudokuShape::FOUR)).expect("a board task");
    scorer.add_puzzle(&input, &label);
    scorer.add(&rows(&[(&input, other.clone(), 1.0)]), &source(1)).expect("readable");
    let found = report(&scorer, &[1]);
    assert!((share(&found, "exact_accuracy"), share(&found, "valid_accuracy")) == (0.0, 1.0));

    // Labels only where both solutions agree: now the other one is exact, too.
    let agreed = |(a, b): (&i32, &i32)| if a == b { *a } else { IGNORE_LABEL_ID };
    let partial: Vec<i32> = label.iter().zip(&other).map(agreed).collect();
    let mut scorer = BoardScorer::new(Task::Sudoku(SudokuShape::FOUR)).expect("a board task");
    scorer.add_puzzle(&input, &partial);
    scorer.add(&rows(&[(&input, other, 1.0)]), &source(1)).expect("readable");
    let found = report(&scorer, &[1]);
    assert!(
        ["exact_accuracy", "accuracy", "q_halt_accuracy"].iter().all(|name| (share(&found, name) - 1.0).abs() < 1e-12)
    );
}

#[test]
fn mazes_are_scored_by_label_by_path_and_by_length() {
    let maze = "S..\n.#.\n..G\n".replace('.', " ");
    let tokens = |text: &str| -> Vec<i32> {
        text.chars().filter_map(|c| "# SGo".find(c)).map(|index| index as i32 + 1).collect()
    };
    let input = tokens(&maze);
    let (label, mirrored) = (tokens("Soo\n #o\n  G\n"), tokens("S  \no# \nooG\n"));
    let broken = tokens("So \n #o\n  G\n");
    let mut scorer = BoardScorer::open(&fixture("maze_plain")).expect("a maze dataset");
    assert!(scorer.metadata().seq_len == 900);
    let task = Task::infer(6, 9).expect("a maze of 3");
    scorer = BoardScorer::new(task).expect("a board task");
    scorer.add_puzzle(&input, &label);
    let answers = [(&input[..], label.clone(), 1.0), (&input[..], mirrored, 1.0), (&input[..], broken, 1.0)];
    scorer.add(&rows(&answers), &source(3)).expect("readable");
    let found = report(&scorer, &[1, 2, 3]);
    for (name, expected) in [
        ("exact_accuracy", 1.0 / 3.0),
        ("valid_accuracy", 2.0 / 3.0),
        ("shortest_accuracy", 2.0 / 3.0),
        ("exact_pass@1/count_then_mean_q", 1.0),
        ("shortest_pass@1/sampled", 2.0 / 3.0),
        ("shortest_pass@2/sampled", 1.0),
    ] {
        assert!((share(&found, name) - expected).abs() < 1e-12, "{name}: {}", share(&found, name));
    }
    let buckets: Vec<(&str, &str)> = found.buckets.iter().map(|bucket| (bucket.by, bucket.label.as_str())).collect();
    assert_eq!(buckets, [("path_length", "3")], "cells between start and goal");
}

#[test]
fn difficulty_is_measured_by_guesses_clues_and_published_ratings() {
    let folder = fixture("sudoku_plain");
    let mut scorer = BoardScorer::open(&folder).expect("a Sudoku dataset");
    let split = datasets::store::DatasetSplit::open(&folder, datasets::store::Split::Test).expect("opens");
    let set = &split.sets()[0];
    let mut answers = Vec::new();
    let mut boards = Vec::new();
    for example in 0..set.examples() {
        let (mut input, mut label) = (Vec::new(), Vec::new());
        set.append_input(example, &mut input).expect("tokens");
        set.append_label(example, &mut label).expect("tokens");
        // The first half is answered rightly.
        let pred = if example < 5 { label } else { input.clone() };
        boards.push(Board::from_tokens(&input).expect("a board"));
        answers.push((input, pred));
    }
    let answers: Vec<_> = answers.iter().map(|(input, pred)| (&input[..], pred.clone(), 1.0)).collect();
    scorer.add(&rows(&answers), &source(1)).expect("readable");
    let task = Task::Sudoku(SudokuShape::NINE);
    let ratings = read_ratings(&fixture("sources/sudoku/test.csv"), task).expect("the list of the dataset");
    let options = ReportOptions { pass_ks: vec![1], ratings };
    let found = scorer.report(&["predictions".into()], &options).expect("votes");
    for by in ["rating", "guesses", "clues"] {
        let buckets: Vec<_> = found.buckets.iter().filter(|bucket| bucket.by == by).collect();
        let trials: u64 = buckets.iter().map(|bucket| bucket.accuracies[0].trials).sum();
        let right: f64 =
            buckets.iter().map(|bucket| bucket.accuracies[0].share.accuracy * bucket.accuracies[0].trials as f64).sum();
        assert_eq!((trials, right.round() as u64), (10, 5), "{by}");
    }
    let fewest = boards.iter().map(Board::givens).min().expect("ten");
    let clues = found.buckets.iter().find(|bucket| bucket.by == "clues").expect("the bucket of fewest clues first");
    let bound = clues.label.split('–').next().and_then(|low| low.parse::<usize>().ok()).expect("a number");
    assert!(bound <= fewest);
    let csv = fixture("sources/maze/test.csv");
    let error = read_ratings(&csv, task).expect_err("mazes are not Sudoku").to_string();
    assert!(error.contains("test.csv, line 2: expected a question of task sudoku"), "{error}");
}
