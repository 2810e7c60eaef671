//! What must hold of every body that a client may send: the invariants that the fuzz targets check with instrumented
//! code, and the server's tests with the seeds and small changes of them.

#![allow(dead_code, reason = "every target uses its part")]

use std::fmt::Write as _;

use axum::http::Uri;
use datasets::maze::MazeShape;
use datasets::picture::read_maze;
use datasets::sudoku::SudokuShape;
use engine::Policy;
use engine::task::{self, Task};
use models::{ArchitectureConfig, TrmConfig};
use png::{BitDepth, ColorType, Encoder};
use serde_json::{Map, Value, json};
use server::http::SolveOptions;
use server::http::body::{MazePuzzle, Puzzle, SolveRequest, SudokuPuzzle};
use server::http::open_inference::InferRequest;

use crate::texts::{MAX_PUZZLES, check_problem};

/// Any bytes as the body of `POST /solve/sudoku`: text, strings, nested and flat arrays, objects, batches.
pub(crate) fn check_sudoku(body: &[u8]) {
    check_body::<SudokuPuzzle>(body, &SudokuShape::ALL.map(Task::Sudoku));
}

/// Any bytes as the body of `POST /solve/maze`: lines of text, arrays of them, objects, batches, PNG pictures.
pub(crate) fn check_maze(body: &[u8]) {
    let small = MazeShape::from_side(10).expect("there are 10x10 mazes");
    check_body::<MazePuzzle>(body, &[Task::Maze(small), Task::Maze(MazeShape::HARD)]);
}

/// Any bytes as a body: a problem with a sentence, or puzzles that fit their models, are written back in their form and
/// read again as what they were.
fn check_body<P: Puzzle>(body: &[u8], models: &[Task]) {
    match SolveRequest::<P>::parse(body, SolveOptions::default(), MAX_PUZZLES) {
        Ok(request) => {
            assert!((1..=MAX_PUZZLES).contains(&request.puzzles.len()));
            assert!(request.is_batch || request.puzzles.len() == 1);
            request.puzzles.iter().for_each(|puzzle| check_puzzle(puzzle, models));
        }
        Err(problem) => check_problem(&problem.to_string(), body.len()),
    }
}

fn check_puzzle<P: Puzzle>(puzzle: &P, models: &[Task]) {
    let givens = puzzle.givens();
    assert!(!givens.is_empty() && givens.len().is_multiple_of(puzzle.columns()));
    assert!(!puzzle.describe().is_empty());
    let _ = puzzle.check();
    let _ = puzzle.drawing(&givens);

    let written = json!(puzzle.write(&givens));
    let again = P::from_json(&written).unwrap_or_else(|problem| panic!("{written}: {problem}"));
    assert_eq!(again.givens(), givens, "{written}");
    assert_eq!(again.columns(), puzzle.columns(), "{written}");

    for &model in models.iter().filter(|&&model| puzzle.fits(model)) {
        let (vocab_size, seq_len) = model.dims();
        let tokens = puzzle.model_tokens(model);
        assert_eq!(tokens.len(), seq_len, "{model}");
        assert!(tokens.iter().all(|token| (0..vocab_size as i64).contains(token)), "{model}");
        // A model's answer is cut out to the board's size, whatever it holds.
        assert_eq!(puzzle.cells(model, &tokens).len(), givens.len());
        let nonsense = vec![i64::MIN; seq_len];
        assert_eq!(puzzle.cells(model, &nonsense).len(), givens.len());
        let _ = puzzle.write(&puzzle.cells(model, &nonsense));
        let _ = task::rules(model, &ArchitectureConfig::Trm(TrmConfig::default()));
    }
}

/// Any bytes as the body of `POST /v2/models/{name}/infer` behind the two bytes of its header, the length of the JSON part
/// (65535: no header): a problem with a sentence, or tensors with as many elements as their shapes say.
pub(crate) fn check_inference(bytes: &[u8]) {
    let Some((length, body)) = bytes.split_first_chunk::<2>() else { return };
    let length = u16::from_le_bytes(*length);
    match InferRequest::parse(body, (length != u16::MAX).then_some(usize::from(length))) {
        Ok(request) => {
            for input in &request.inputs {
                assert_eq!(input.values.len(), input.shape.iter().product::<usize>());
                assert!(input.values.len() <= body.len());
            }
            use_them(&request.options);
        }
        Err(problem) => check_problem(&problem.to_string(), body.len()),
    }
}

/// Pictures of mazes: raw bytes as a PNG (under the fuzzer the decoder leaves checksums unchecked, so that changes get past
/// them), or a well-formed PNG of any size, depth and colour type around the given pixels.
pub(crate) fn check_picture(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    if kind & 1 == 0 {
        check_png(rest);
    } else if let Some(picture) = picture(bytes) {
        check_png(&picture);
    }
}

/// What was read is a rectangle of cells.
fn check_png(png: &[u8]) {
    match read_maze(png) {
        Ok(drawing) => assert_eq!(drawing.cells().len(), drawing.rows() * drawing.columns()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A header of five bytes (kind, width, height, pixels of a cell, colours), then pixels.
fn picture(bytes: &[u8]) -> Option<Vec<u8>> {
    let (header, pixels) = bytes.split_first_chunk::<5>()?;
    let [kind, width, height, scale, shades] = *header;
    let (color, depth) = [
        (ColorType::Grayscale, BitDepth::One),
        (ColorType::Grayscale, BitDepth::Eight),
        (ColorType::Grayscale, BitDepth::Sixteen),
        (ColorType::GrayscaleAlpha, BitDepth::Eight),
        (ColorType::Rgb, BitDepth::Eight),
        (ColorType::Rgb, BitDepth::Sixteen),
        (ColorType::Rgba, BitDepth::Eight),
        (ColorType::Indexed, BitDepth::Four),
    ][usize::from(kind >> 1) % 8];
    let scale = 1 + u32::from(scale % 8);
    let (width, height) = ((1 + u32::from(width % 64)) * scale, (1 + u32::from(height % 64)) * scale);
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == ColorType::Indexed {
        encoder.set_palette((0..16 * 3).map(|shade: u8| shade.wrapping_mul(shades)).collect::<Vec<u8>>());
    }
    let row = (color.samples() * depth as usize * width as usize).div_ceil(8);
    let mut rows = vec![0; row * height as usize];
    // Few pixels fill large cells: the fuzzer's are repeated.
    rows.iter_mut().zip(pixels.iter().cycle()).for_each(|(target, pixel)| *target = *pixel);
    encoder.write_header().ok()?.write_image_data(&rows).ok()?;
    Some(file)
}

/// Any text as the query string of a request, any JSON object as its options: a problem with a sentence, or options that
/// mean the same in both places.
pub(crate) fn check_options(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(Value::Object(fields)) = serde_json::from_str(text) {
        match SolveOptions::from_fields(fields.clone()) {
            Ok(options) => compare(&options, &fields),
            Err(problem) => check_problem(&problem.to_string(), bytes.len()),
        }
    } else if let Ok(uri) = format!("/solve/sudoku?{text}").parse::<Uri>() {
        match SolveOptions::from_query(&uri) {
            Ok(options) => use_them(&options),
            Err(problem) => check_problem(&problem.to_string(), bytes.len()),
        }
    }
}

fn compare(options: &SolveOptions, fields: &Map<String, Value>) {
    use_them(options);
    // A null says nothing, in both places; names with other letters need escapes that this does not write.
    let plain = |value: &Value| match value {
        Value::String(text) => text.bytes().all(|byte| byte.is_ascii_alphanumeric()).then(|| text.clone()),
        other => Some(other.to_string()),
    };
    let mut query = String::from("/solve/sudoku?");
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let Some(value) = plain(value) else { return };
        write!(query, "{name}={value}&").expect("a string takes every text");
    }
    let Ok(uri) = query.trim_end_matches('&').parse::<Uri>() else { return };
    let again = SolveOptions::from_query(&uri).unwrap_or_else(|problem| panic!("{uri}: {problem}"));
    // JSON's numbers are doubles first: the last bit of `sigma` may differ.
    let bits = |options: &SolveOptions| options.sigma.map_or(0, f32::to_bits);
    assert!(bits(&again).abs_diff(bits(options)) <= 1, "{uri}");
    assert_eq!(SolveOptions { sigma: options.sigma, ..again }, *options, "{uri}");
}

/// None of it panics, and what was said wins.
fn use_them(options: &SolveOptions) {
    let _ = options.deadline();
    let policy = options.policy(&Policy::plain(16));
    if let Some(max_steps) = options.max_steps {
        assert_eq!(policy.max_steps, max_steps);
    }
    assert_eq!(&options.clone().or(SolveOptions::default()), options);
}
