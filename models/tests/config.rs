//! Configs that cannot be built are refused with the field and what to change; the rest has the reference's sizes.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use models::{ArchitectureConfig, ModelDims, ParameterKind, PosEncodings, TrmConfig};

const SUDOKU: ModelDims = ModelDims { vocab_size: 11, seq_len: 81, num_puzzle_identifiers: 1 };

fn refused(config: TrmConfig) -> String {
    ArchitectureConfig::Trm(config).validate(&SUDOKU).unwrap_err().to_string()
}

/// Trained parameters, as `num_params` of the reference counts them.
fn parameter_count(config: TrmConfig, dims: &ModelDims) -> usize {
    let specs = ArchitectureConfig::Trm(config).parameter_specs(dims).unwrap();
    specs.iter().filter(|spec| spec.kind == ParameterKind::Weight).map(models::ParameterSpec::element_count).sum()
}

#[test]
fn parameter_counts_are_the_published_ones() {
    let mlp = TrmConfig { mlp_t: true, pos_encodings: PosEncodings::None, ..TrmConfig::default() };
    assert_eq!(parameter_count(mlp.clone(), &SUDOKU), 5_028_866);
    assert_eq!(parameter_count(TrmConfig::default(), &SUDOKU), 6_828_034);
    let maze = ModelDims { vocab_size: 6, seq_len: 900, num_puzzle_identifiers: 1 };
    assert_eq!(parameter_count(TrmConfig::default(), &maze), 6_822_914);
    let small = TrmConfig { hidden_size: 128, num_heads: 4, puzzle_emb_ndim: 0, puzzle_emb_len: 0, ..mlp };
    assert_eq!(parameter_count(small, &SUDOKU), 520_706);
}

#[test]
fn impossible_configs_say_what_to_change() {
    let defaults = TrmConfig::default;
    assert!(refused(TrmConfig { num_heads: 0, ..defaults() }).contains("must lie in 1..=512"));
    assert!(refused(TrmConfig { num_heads: 513, ..defaults() }).contains("must lie in 1..=512"));
    assert!(refused(TrmConfig { num_heads: 7, ..defaults() }).contains("odd width 73"));
    assert!(refused(TrmConfig { num_heads: 512, ..defaults() }).contains("odd width 1"));
    assert!(refused(TrmConfig { puzzle_emb_ndim: 10_000, ..defaults() }).contains("raise puzzle_emb_len"));
    assert!(refused(TrmConfig { H_cycles: 0, ..defaults() }).contains("H_cycles: is 0"));
    assert!(refused(TrmConfig { expansion: f64::NAN, ..defaults() }).contains("expansion"));
    assert!(refused(TrmConfig { halt_exploration_prob: 1.5, ..defaults() }).contains("halt_exploration_prob"));
}

/// The reference crashes on `puzzle_emb_ndim=0` with its own default `puzzle_emb_len=16`; evidently no position is meant.
#[test]
fn without_puzzle_embedding_there_are_no_puzzle_positions() {
    let config = TrmConfig { puzzle_emb_ndim: 0, ..TrmConfig::default() };
    assert_eq!(config.puzzle_positions(), 0);
    ArchitectureConfig::Trm(config).validate(&SUDOKU).unwrap();
    assert_eq!(TrmConfig { puzzle_emb_ndim: 1000, puzzle_emb_len: 0, ..TrmConfig::default() }.puzzle_positions(), 2);
}
