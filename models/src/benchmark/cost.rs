//! What one supervision step costs, counted by running the model on shapes instead of numbers.
//! Counts the products of matrices and the values that operations read and write; an operation of [`Backend`](crate::Backend) counts as
//! one pass, as if all that it computes in between stayed in the cache.

use serde::Serialize;

use super::counter::{Counter, Shape, Shapes};
use crate::{ArchitectureConfig, Model, ModelDims, ModelError, StepInputs};

/// Which operand of a product is a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProductKind {
    /// `x · weightᵀ` over the last axis: one product of all rows of the batch.
    Linear,
    /// `weight · x` over the token axis: a product for each row of the batch.
    TokenMixing,
    /// Two activations, inside of attention: a product for each head of each row of the batch.
    Attention,
}

/// `matrices` products `[rows, inner] · [inner, columns]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Product {
    /// Which operand is a weight.
    pub kind: ProductKind,
    /// Products side by side.
    pub matrices: usize,
    /// Rows of the left operand.
    pub rows: usize,
    /// What is summed over.
    pub inner: usize,
    /// Columns of the right operand.
    pub columns: usize,
}

impl Product {
    /// Floating point operations, a multiplication and an addition being two.
    pub fn flops(&self) -> u64 {
        2 * (self.matrices * self.rows) as u64 * self.inner as u64 * self.columns as u64
    }
}

/// A product and how often a step computes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CountedProduct {
    /// Shapes.
    #[serde(flatten)]
    pub product: Product,
    /// Times in one forward pass, with and without gradient.
    pub uses: usize,
}

/// What is to be done in a part of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Work {
    /// Floating point operations of products; those of norms and gates, under 1 % of them, are left out as is usual for
    /// utilisation.
    pub flops: u64,
    /// Values of weights that operations read (or of their gradients, written), once per use.
    pub weight_values: u64,
    /// Values of activations that operations read and write.
    pub activation_values: u64,
}

impl Work {
    /// Bytes that move between memory and operations where a weight and an activation take so many.
    pub fn bytes(&self, weight_bytes: usize, activation_bytes: usize) -> u64 {
        self.weight_values * weight_bytes as u64 + self.activation_values * activation_bytes as u64
    }

    /// The work of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            flops: self.flops + other.flops,
            weight_values: self.weight_values + other.weight_values,
            activation_values: self.activation_values + other.activation_values,
        }
    }

    /// Backward: a gradient for each operand of a product, and a pass that reads what forward read and the gradient of
    /// what it wrote, and writes the gradient of what it read.
    pub(super) fn backward(reads: u64, writes: u64, weights: u64, flops: u64) -> Self {
        Self { flops: 2 * flops, weight_values: 2 * weights, activation_values: 2 * reads + writes }
    }
}

/// What one supervision step of a batch costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepCost {
    /// Rows of the batch.
    pub batch_size: usize,
    /// Forward, cycles without gradient.
    pub without_gradient: Work,
    /// Forward, the rest.
    pub with_gradient: Work,
    /// Backward through the rest.
    pub backward: Work,
    /// Every shape of product, the most expensive first.
    pub products: Vec<CountedProduct>,
    /// Trained weights.
    pub parameters: usize,
}

impl StepCost {
    /// A step of inference, or of the forward pass of training.
    pub fn forward(&self) -> Work {
        self.without_gradient.plus(self.with_gradient)
    }

    /// A step of training, but for the update of the weights.
    pub fn training(&self) -> Work {
        self.forward().plus(self.backward)
    }

    /// Bytes of one update in float32: weights, two moments and their moving average are read and written, the gradient
    /// is read.
    pub fn update_bytes(&self) -> u64 {
        9 * 4 * self.parameters as u64
    }

    /// Share of the forward pass's operations that are in the product at `index` of [`products`](Self::products).
    pub fn share(&self, index: usize) -> f64 {
        let CountedProduct { product, uses } = self.products[index];
        (uses as u64 * product.flops()) as f64 / self.forward().flops.max(1) as f64
    }
}

/// Counts a supervision step of `batch_size` rows.
///
/// # Errors
/// When the config is invalid.
pub fn step_cost(arch: &ArchitectureConfig, dims: &ModelDims, batch_size: usize) -> Result<StepCost, ModelError> {
    let mut source = Shapes::default();
    let model = Model::new(arch, dims, &mut source)?;
    let counter = Counter::new(batch_size);
    let (positions, hidden_size) = (arch.state_tokens(dims.seq_len), arch.hidden_size());
    let inputs = StepInputs {
        tokens: vec![dims.seq_len],
        puzzle_embeddings: (arch.puzzle_emb_len() > 0).then(|| vec![arch.puzzle_emb_len(), hidden_size]),
    };
    let state: Vec<Shape> = model.state_names().iter().map(|_| vec![positions, hidden_size]).collect();
    let state = model.reset_state(&counter, &Vec::new(), &state);
    model.step(&counter, &inputs, &state);
    Ok(counter.finish(source.parameters))
}
