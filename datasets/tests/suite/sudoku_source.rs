//! The endless training source: the same examples on every machine, from any position, on any rank.

use datasets::endless::PREFETCH_EXAMPLES;
use datasets::sudoku::{
    Board, GeneratedSource, GeneratorOptions, PuzzleRequest, SudokuShape, generate, held_out, solve,
};
use datasets::{Batch, IGNORE_LABEL_ID, SourcePosition, TrainingSource};

fn options(size: usize) -> GeneratorOptions {
    GeneratorOptions { size, seed: 42, extra_clues: (0, 5), symmetries_per_puzzle: 4, ..GeneratorOptions::default() }
}

/// `count` examples as `(puzzle, solution)` text, in batches of `batch_size`.
fn draw(source: &mut GeneratedSource, count: usize, batch_size: usize) -> Vec<(String, String)> {
    let mut examples = Vec::new();
    while examples.len() < count {
        examples.extend(rows(&source.next_batch(&vec![true; batch_size]).expect("a generated source has no end")));
    }
    examples.truncate(count);
    examples
}

fn rows(batch: &Batch) -> Vec<(String, String)> {
    let text = |tokens: &[i32]| Board::from_tokens(tokens).expect("every wanted row is a board").to_string();
    batch
        .inputs
        .chunks(batch.seq_len)
        .zip(batch.labels.chunks(batch.seq_len))
        .map(|(x, y)| (text(x), text(y)))
        .collect()
}

#[test]
fn the_streams_never_change() {
    let first = |size| draw(&mut GeneratedSource::new(options(size), 0, 1).unwrap(), 2, 2);
    let pinned = |rows: [(&str, &str); 2]| rows.map(|(puzzle, solution)| (puzzle.to_owned(), solution.to_owned()));
    let four = [("3.1.1.4.4..12.34", "3412124343212134"), ("2...1....1.3...1", "2314143241233241")];
    assert_eq!(first(4), pinned(four));
    let nine = [
        (
            "1...6........3.86...28...31.........52...9...98.6....7.597....2........57.3..518.",
            "138967524475132869692854731364571298527489613981623457859716342216348975743295186",
        ),
        (
            "3..9......1..3...79..86....2......5....6.8....7..9...8.2.....19.58.1....7....3.25",
            "365972184812534967947861532289147356534628791176395248423756819658219473791483625",
        ),
    ];
    assert_eq!(first(9), pinned(nine));

    let held = held_out(&GeneratorOptions { seed: 42, ..GeneratorOptions::default() }, 1).unwrap();
    let pinned = "...2.4.....4.8....7.....5..83..1..6..5...3..147.59................6.948....1.53.9";
    assert_eq!((held[0].puzzle.to_string().as_str(), held[0].guesses), (pinned, 0));
    let requested = generate(&PuzzleRequest::minimal(SudokuShape::SIX), 42, 7).unwrap();
    assert_eq!(requested.puzzle.to_string(), "....3.1.4...6..........4.25.4...6..5");
}

#[test]
fn examples_are_proper_puzzles_with_clues_within_bounds() {
    let options = GeneratorOptions { extra_clues: (3, 6), ..options(9) };
    let mut source = GeneratedSource::new(options.clone(), 0, 1).unwrap();
    let minimal = GeneratorOptions { extra_clues: (0, 0), ..options };
    let mut bare = GeneratedSource::new(minimal, 0, 1).unwrap();
    let mut revealed = Vec::new();
    for ((puzzle, solution), (bare, _)) in draw(&mut source, 64, 16).into_iter().zip(draw(&mut bare, 64, 16)) {
        let (puzzle, bare) = (Board::parse(&puzzle).unwrap(), Board::parse(&bare).unwrap());
        assert_eq!(solve(&puzzle).unique().unwrap().to_string(), solution);
        assert!(puzzle.agrees_with(&bare), "the clue bounds must not change which puzzle is drawn");
        revealed.push(puzzle.givens() - bare.givens());
    }
    revealed.sort_unstable();
    revealed.dedup();
    assert_eq!(revealed, [3, 4, 5, 6]);
}

#[test]
fn a_source_can_be_left_and_resumed_anywhere() {
    let mut source = GeneratedSource::new(options(6), 0, 1).unwrap();
    let all = draw(&mut source, 300, 10);
    assert_eq!(source.position(), SourcePosition { iteration: 0, consumed: 300 });
    for start in [0, 1, 7, 150, 299] {
        let position = SourcePosition { iteration: 0, consumed: start };
        let mut fresh = GeneratedSource::new(options(6), 0, 1).unwrap();
        fresh.seek(&position).unwrap();
        source.seek(&position).unwrap();
        let expected = &all[start as usize..(start as usize + 20).min(300)];
        assert_eq!(draw(&mut fresh, expected.len(), 1), expected);
        assert_eq!(draw(&mut source, expected.len(), 1), expected);
        assert_eq!(source.position(), fresh.position());
    }
    let far = SourcePosition { iteration: 0, consumed: 1 << 50 };
    source.seek(&far).unwrap();
    assert_ne!(draw(&mut source, 1, 1), all[..1]);
    assert!(source.seek(&SourcePosition { iteration: 1, consumed: 0 }).is_err());
    assert!(source.seek(&SourcePosition { iteration: 0, consumed: u64::MAX }).is_err());
}

#[test]
fn ranks_interleave_the_stream() {
    let all = draw(&mut GeneratedSource::new(options(6), 0, 1).unwrap(), 60, 6);
    for rank in 0..3 {
        let own: Vec<_> = all.iter().skip(rank).step_by(3).cloned().collect();
        assert_eq!(draw(&mut GeneratedSource::new(options(6), rank, 3).unwrap(), 20, 5), own);
    }
    assert!(GeneratedSource::new(options(6), 3, 3).is_err());
    assert!(GeneratedSource::new(options(6), 0, 0).is_err());
}

#[test]
fn unwanted_rows_are_padding_and_cost_no_example() {
    let mut source = GeneratedSource::new(options(4), 0, 1).unwrap();
    let all = draw(&mut source, 3, 3);
    source.seek(&SourcePosition::default()).unwrap();
    let batch = source.next_batch(&[false, true, false, true]).unwrap();
    assert_eq!((batch.rows(), batch.real_rows, batch.seq_len), (4, 4, 16));
    assert_eq!(source.position().consumed, 2);
    for row in [0, 2] {
        assert_eq!(batch.inputs[row * 16..][..16], [0; 16]);
        assert_eq!(batch.labels[row * 16..][..16], [IGNORE_LABEL_ID; 16]);
    }
    assert_eq!(batch.puzzle_identifiers, [0; 4]);
    let taken = [1, 3].map(|row: usize| {
        let text = |tokens: &[i32]| Board::from_tokens(&tokens[row * 16..][..16]).unwrap().to_string();
        (text(&batch.inputs), text(&batch.labels))
    });
    assert_eq!(taken, all[..2]);
    assert_eq!(rows(&source.next_batch(&[true]).unwrap()), all[2..]);
    let none = source.next_batch(&[false; 2]).unwrap();
    assert_eq!((none.rows(), source.position().consumed), (2, 3));
}

#[test]
fn sources_end_at_once_however_full_their_queue_is() {
    for batches in 0..20 {
        let mut source = GeneratedSource::new(options(9), 0, 1).unwrap();
        draw(&mut source, batches, 1);
    }
    let mut source = GeneratedSource::new(options(4), 0, 1).unwrap();
    // More than the queue holds, so that the thread has to keep pace.
    assert_eq!(draw(&mut source, 3 * PREFETCH_EXAMPLES, 7).len(), 3 * PREFETCH_EXAMPLES);
}

#[test]
fn metadata_describe_the_vocabulary_of_the_reference() {
    for (size, vocab_size) in [(4, 6), (6, 8), (9, 11), (16, 18)] {
        let source = GeneratedSource::new(options(size), 0, 1).unwrap();
        let metadata = source.metadata();
        assert_eq!((metadata.seq_len, metadata.vocab_size), (size * size, vocab_size));
        assert_eq!((metadata.pad_id, metadata.ignore_label_id, metadata.blank_identifier_id), (0, Some(0), 0));
        assert_eq!((metadata.num_puzzle_identifiers, metadata.total_groups, metadata.total_puzzles), (1, 1, 1));
    }
}

#[test]
fn options_are_checked_and_read_from_config_files() {
    let parsed: GeneratorOptions = serde_json::from_str(r#"{"size": 6, "extra_clues": [0, 12]}"#).unwrap();
    assert_eq!(parsed, GeneratorOptions { size: 6, extra_clues: (0, 12), ..GeneratorOptions::default() });
    assert!(serde_json::from_str::<GeneratorOptions>(r#"{"sise": 6}"#).is_err());
    for (wrong, name) in [
        (GeneratorOptions { size: 5, ..options(4) }, "4, 6, 9 or 16"),
        (GeneratorOptions { extra_clues: (2, 1), ..options(4) }, "extra_clues"),
        (GeneratorOptions { extra_clues: (0, 17), ..options(4) }, "extra_clues"),
        (GeneratorOptions { symmetries_per_puzzle: 0, ..options(4) }, "symmetries_per_puzzle"),
    ] {
        let error = GeneratedSource::new(wrong, 0, 1).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn training_never_meets_the_held_out_stream_of_its_seed() {
    let options = GeneratorOptions { extra_clues: (0, 0), symmetries_per_puzzle: 1, ..options(9) };
    let held: Vec<String> = held_out(&options, 50).unwrap().iter().map(|held| held.puzzle.to_string()).collect();
    let trained = draw(&mut GeneratedSource::new(options, 0, 1).unwrap(), 500, 10);
    assert!(trained.iter().all(|(puzzle, _)| !held.contains(puzzle)));
}
