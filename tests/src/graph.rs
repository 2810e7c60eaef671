//! Exported graphs as plain function calls: tokens in, every supervision step's outputs out.

use std::sync::Arc;

use exporter::graph_runner::GraphRunner;
pub use exporter::graph_runner::StepOutputs;
use exporter::runtime::{Optimization, SessionOptions};
use exporter::{Flavor, GraphKind, Precision};
use models::Checkpoint;
use models::checkpoint::PuzzleEmbeddings;

/// An exported graph in a session of one thread, and the puzzle table of its checkpoint.
#[derive(Debug)]
pub struct Graph {
    runner: GraphRunner,
    embeddings: Option<PuzzleEmbeddings>,
}

impl Graph {
    /// Exports the checkpoint and loads what comes out.
    pub fn of(checkpoint: &Checkpoint, kind: GraphKind, flavor: Flavor) -> Self {
        let optimization = match kind {
            GraphKind::Step => Optimization::All,
            GraphKind::Unrolled { .. } => Optimization::None,
        };
        let options = SessionOptions { threads: 1, optimization, spinning: false, ..SessionOptions::default() };
        let embeddings = PuzzleEmbeddings::of(Arc::new(Checkpoint::open(checkpoint.directory()).unwrap()));
        let runner = GraphRunner::open(checkpoint, kind, flavor, Precision::Float32, &options).unwrap();
        Self { runner, embeddings }
    }

    /// The first `steps` supervision steps on `[batch, seq_len]` tokens, for models without puzzle embedding.
    pub fn run(&mut self, tokens: &[i64], steps: usize) -> Vec<StepOutputs> {
        assert!(self.embeddings.is_none(), "models with puzzle embedding have a further input");
        self.runner.run(tokens, None, steps).unwrap()
    }

    /// The same with the rows `identifiers` `[batch]` of the puzzle table.
    pub fn run_puzzles(&mut self, tokens: &[i64], identifiers: &[usize], steps: usize) -> Vec<StepOutputs> {
        let rows = self.embeddings.as_ref().map(|embeddings| embeddings.rows(identifiers).unwrap());
        self.runner.run(tokens, rows.as_deref(), steps).unwrap()
    }
}
