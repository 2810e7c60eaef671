//! A model's tensors on their way into a graph: read from a checkpoint, laid out as the operators want them.
//! Leaves which layout an operation asks for to `emitter`.

use models::{Checkpoint, ModelError, ParameterKind, ParameterSource, ParameterSpec};

/// A named tensor with its values in row-major order.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl Parameter {
    /// Rows `start..start + count` of a matrix, transposed: `[columns, count]`.
    pub(crate) fn transposed_rows(&self, start: usize, count: usize) -> Vec<f32> {
        let columns = self.shape[1];
        let rows = &self.values[start * columns..(start + count) * columns];
        (0..columns).flat_map(|column| rows.iter().skip(column).step_by(columns).copied()).collect()
    }
}

/// Reads parameters out of a checkpoint.
#[derive(Debug)]
pub(crate) struct CheckpointSource<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
}

impl ParameterSource for CheckpointSource<'_> {
    type Weight = Parameter;

    fn parameter(&mut self, spec: ParameterSpec) -> Result<Parameter, ModelError> {
        let values = match spec.kind {
            // Its rows are an input of the graph, and all of it can be larger than the memory.
            ParameterKind::PuzzleTable => Vec::new(),
            ParameterKind::Weight | ParameterKind::Buffer => self.checkpoint.values(&spec)?,
        };
        Ok(Parameter { name: spec.name, shape: spec.shape, values })
    }

    fn constant(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> Parameter {
        Parameter { name: name.to_owned(), shape: shape.to_vec(), values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_transposed() {
        let values = (0_u8..12).map(f32::from).collect();
        let parameter = Parameter { name: "w".into(), shape: vec![4, 3], values };
        assert_eq!(parameter.transposed_rows(0, 4), [0., 3., 6., 9., 1., 4., 7., 10., 2., 5., 8., 11.]);
        assert_eq!(parameter.transposed_rows(1, 2), [3., 6., 4., 7., 5., 8.]);
    }
}
