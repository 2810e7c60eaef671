//! The invariants of the fuzz targets (`fuzz/`), held on every seed and on small changes of it, without a fuzzer. What
//! only coverage finds is the fuzzer's business.

use std::fs;
use std::path::Path;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{arc_requests, requests, texts};

/// Changes of every seed; the environment may ask for more.
const CHANGES: usize = 200;

/// Runs `check` on the seeds of `target` and on changes of them.
fn hold(target: &str, check: impl Fn(&[u8])) {
    let changes = std::env::var("TRM_TEST_CHANGES").ok().map_or(CHANGES, |count| count.parse().unwrap());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(seeds.len() >= 4, "{} holds {} seeds", folder.display(), seeds.len());
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for seed in &seeds {
        check(seed);
        for _ in 0..changes {
            let other = &seeds[rng.random_range(0..seeds.len())];
            check(&changed(seed, other, &mut rng));
        }
    }
}

/// A few of the changes that a fuzzer makes: bits, bytes, numbers, pieces left out, doubled, or taken from another seed.
fn changed(seed: &[u8], other: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..rng.random_range(1..4) {
        if bytes.is_empty() {
            return bytes;
        }
        let place = rng.random_range(0..bytes.len());
        let end = (place + rng.random_range(1..32)).min(bytes.len());
        match rng.random_range(0..7) {
            0 => bytes[place] ^= 1 << rng.random_range(0..8),
            1 => bytes[place] = rng.random(),
            2 => bytes[place] = *b"{}[]\",:.0123456789-eE #SGo\n\r\\u".get(rng.random_range(0..30)).unwrap(),
            3 => drop(bytes.drain(place..end)),
            4 => {
                let piece = bytes[place..end].repeat(rng.random_range(1..20));
                bytes.splice(place..place, piece);
            }
            5 => {
                let from = rng.random_range(0..=other.len());
                bytes.splice(place..end, other[from..].iter().take(64).copied());
            }
            _ => bytes.truncate(place),
        }
    }
    bytes
}

#[test]
fn bodies_of_sudoku_requests() {
    hold("solve_sudoku", requests::check_sudoku);
}

#[test]
fn bodies_of_maze_requests() {
    hold("solve_maze", requests::check_maze);
}

#[test]
fn texts_of_sudokus() {
    hold("sudoku_text", texts::check_sudoku_text);
}

#[test]
fn texts_of_mazes() {
    hold("maze_text", texts::check_maze_text);
}

#[test]
fn pictures_of_mazes() {
    hold("maze_picture", requests::check_picture);
}

#[test]
fn options_of_requests() {
    hold("solve_options", requests::check_options);
}

#[test]
fn bodies_of_requests_for_inference() {
    hold("infer", requests::check_inference);
}

#[test]
fn bodies_of_arc_requests() {
    hold("solve_arc", arc_requests::check_arc);
}
