//! Checkpoints of untrained models, for tests that need real graphs and no good answers.

use std::path::{Path, PathBuf};

use datasets::maze::MazeShape;
use datasets::sudoku::SudokuShape;
use models::checkpoint::{HostTensor, write};
use models::{
    ArchitectureConfig, HrmConfig, Initializer, LstmConfig, Manifest, ModelDims, ParameterKind, PosEncodings,
    QHeadInput, TransformerConfig, TransformersBaselineConfig, TrmConfig,
};

/// Writes `{parent}/{name}`: a tiny TRM with MLP mixing for boards of `shape`.
pub(crate) fn write_random(parent: &Path, name: &str, shape: SudokuShape) -> PathBuf {
    write_with_table(parent, name, shape, &[], |_| {})
}

/// As [`write_random`], with changes to the config and the puzzle-embedding `table` (whole rows) that they ask for.
pub(crate) fn write_with_table(
    parent: &Path,
    name: &str,
    shape: SudokuShape,
    table: &[f32],
    change: impl FnOnce(&mut TrmConfig),
) -> PathBuf {
    let mut config = TrmConfig {
        hidden_size: 32,
        num_heads: 2,
        H_cycles: 2,
        L_cycles: 2,
        L_layers: 1,
        puzzle_emb_ndim: 0,
        puzzle_emb_len: 0,
        mlp_t: true,
        pos_encodings: PosEncodings::None,
        q_head_input: QHeadInput::Mean,
        ..TrmConfig::default()
    };
    change(&mut config);
    write_architecture(parent, name, shape, table, ArchitectureConfig::Trm(config))
}

/// Small configs of every architecture, without puzzle embedding.
pub(crate) fn architectures() -> Vec<ArchitectureConfig> {
    let trm =
        TrmConfig { hidden_size: 32, num_heads: 2, L_layers: 1, H_cycles: 2, L_cycles: 2, ..TrmConfig::default() };
    let trm = TrmConfig { puzzle_emb_ndim: 0, halt_max_steps: 4, ..trm };
    let halts_early =
        HrmConfig { H_layers: 1, L_layers: 1, puzzle_emb_ndim: 0, halt_max_steps: 4, ..HrmConfig::default() };
    let lstm = LstmConfig { hidden_size: 32, num_layers: 2, num_passes: 2, halt_max_steps: 4, ..LstmConfig::default() };
    vec![
        ArchitectureConfig::TrmSinglez(trm.clone()),
        ArchitectureConfig::TrmHier6(trm.clone()),
        ArchitectureConfig::Hrm(HrmConfig { hidden_size: 32, num_heads: 2, ..halts_early }),
        ArchitectureConfig::TransformersBaseline(TransformersBaselineConfig {
            hidden_size: 32,
            num_heads: 5,
            H_layers: 2,
            puzzle_emb_ndim: 0,
            halt_max_steps: 4,
            ..TransformersBaselineConfig::default()
        }),
        ArchitectureConfig::Lstm(LstmConfig { residual: true, ..lstm.clone() }),
        ArchitectureConfig::Lstm(lstm),
        ArchitectureConfig::Transformer(TransformerConfig {
            hidden_size: 32,
            num_layers: 2,
            halt_max_steps: 4,
            ..TransformerConfig::default()
        }),
        ArchitectureConfig::Trm(trm),
    ]
}

/// Writes `{parent}/{name}`: an untrained model of `arch`, with the rows of a puzzle-embedding `table` where it has one.
pub(crate) fn write_architecture(
    parent: &Path,
    name: &str,
    shape: SudokuShape,
    table: &[f32],
    arch: ArchitectureConfig,
) -> PathBuf {
    let num_puzzle_identifiers = table.len().checked_div(arch.puzzle_emb_ndim()).unwrap_or(1);
    let dims =
        ModelDims { vocab_size: shape.vocab_size(), seq_len: shape.cells(), num_puzzle_identifiers, sizes: None };
    write_of(&parent.join(name), dims, "sudoku", table, arch)
}

/// Writes `{parent}/{name}`: an untrained TRM for mazes of `shape`.
pub(crate) fn write_maze(parent: &Path, name: &str, shape: MazeShape) -> PathBuf {
    let arch = ArchitectureConfig::Trm(TrmConfig {
        hidden_size: 32,
        num_heads: 2,
        H_cycles: 2,
        L_cycles: 2,
        L_layers: 1,
        puzzle_emb_ndim: 0,
        halt_max_steps: 4,
        ..TrmConfig::default()
    });
    let dims =
        ModelDims { vocab_size: MazeShape::VOCAB_SIZE, seq_len: shape.cells(), num_puzzle_identifiers: 1, sizes: None };
    write_of(&parent.join(name), dims, "maze", &[], arch)
}

fn write_of(directory: &Path, dims: ModelDims, task: &str, table: &[f32], arch: ArchitectureConfig) -> PathBuf {
    let initializer = Initializer::new(7);
    let tensors = arch.parameter_specs(&dims).unwrap().into_iter().map(|spec| {
        let mut values = initializer.draw(&spec);
        if spec.kind == ParameterKind::PuzzleTable {
            values = table.to_vec();
        } else if spec.name.contains("q_head") {
            // Zeros would make the Q head invisible.
            values.iter_mut().enumerate().for_each(|(index, value)| *value = (index % 7) as f32 * 0.3 - 1.0);
        }
        (spec.name.clone(), HostTensor::float32(&spec.shape, &values))
    });
    write(directory, &Manifest::new(arch, dims, task), &tensors.collect(), |_| Ok(())).unwrap();
    directory.to_owned()
}
