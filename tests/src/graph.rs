//! Exported graphs as plain function calls: tokens in, every supervision step's outputs out.

use exporter::graph_runner::GraphRunner;
pub use exporter::graph_runner::StepOutputs;
use exporter::runtime::{Optimization, SessionOptions};
use exporter::{Flavor, GraphKind, Precision};
use models::Checkpoint;

/// An exported graph in a session of one thread.
#[derive(Debug)]
pub struct Graph(GraphRunner);

impl Graph {
    /// Exports the checkpoint of a model without puzzle embedding and loads what comes out.
    pub fn of(checkpoint: &Checkpoint, kind: GraphKind, flavor: Flavor) -> Self {
        let optimization = match kind {
            GraphKind::Step => Optimization::All,
            GraphKind::Unrolled { .. } => Optimization::None,
        };
        let options = SessionOptions { threads: 1, optimization, spinning: false, ..SessionOptions::default() };
        assert_eq!(checkpoint.manifest.arch.puzzle_emb_len(), 0, "models with puzzle embedding have a further input");
        Self(GraphRunner::open(checkpoint, kind, flavor, Precision::Float32, &options).unwrap())
    }

    /// The first `steps` supervision steps on `[batch, seq_len]` tokens.
    pub fn run(&mut self, tokens: &[i64], steps: usize) -> Vec<StepOutputs> {
        self.0.run(tokens, None, steps).unwrap()
    }
}
