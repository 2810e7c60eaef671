//! A tiny untrained ARC checkpoint, for tests of real graphs with a puzzle-embedding table.

use std::path::{Path, PathBuf};

use datasets::arc::{SEQ_LEN, VOCAB_SIZE};
use models::checkpoint::{HostTensor, write};
use models::{ArchitectureConfig, Initializer, Manifest, ModelDims, ParameterKind, TrmConfig};

/// Writes an untrained ARC model whose rows differ much, one for each of so many identifiers.
pub(crate) fn checkpoint(parent: &Path, num_puzzle_identifiers: usize) -> PathBuf {
    let config = TrmConfig {
        hidden_size: 16,
        num_heads: 2,
        H_cycles: 1,
        L_cycles: 1,
        L_layers: 1,
        puzzle_emb_ndim: 16,
        puzzle_emb_len: 1,
        ..TrmConfig::default()
    };
    let arch = ArchitectureConfig::Trm(config);
    let dims = ModelDims { vocab_size: VOCAB_SIZE, seq_len: SEQ_LEN, num_puzzle_identifiers, sizes: None };
    let initializer = Initializer::new(3);
    let tensors = arch.parameter_specs(&dims).unwrap().into_iter().map(|spec| {
        let mut values = initializer.draw(&spec);
        if spec.kind == ParameterKind::PuzzleTable {
            let far = |index: usize| ((index * 37 % 101) as f32 - 50.0) * 0.4;
            values.iter_mut().enumerate().for_each(|(index, value)| *value = far(index));
        } else if spec.name.contains("q_head") {
            values.iter_mut().enumerate().for_each(|(index, value)| *value = (index % 7) as f32 * 0.3 - 1.0);
        }
        (spec.name.clone(), HostTensor::float32(&spec.shape, &values))
    });
    let directory = parent.join("tiny-arc");
    write(&directory, &Manifest::new(arch, dims, "arc"), &tensors.collect(), |_| Ok(())).unwrap();
    directory
}
