//! Layers of the plain baselines: an LSTM over the tokens, and a layer norm with learned gain.
//! Names and shapes are PyTorch's. Leaves the arithmetic to the backend.

use crate::{Init, ModelError, ParameterKind, ParameterSource, ParameterSpec};

/// One layer of a long short-term memory over the tokens (`torch.nn.LSTM`).
#[derive(Debug)]
pub struct LstmLayer<W> {
    /// From the first token to the last; then, where bidirectional, from the last to the first.
    pub directions: Vec<LstmDirection<W>>,
    /// Width of the input.
    pub in_features: usize,
    /// Width of one direction's output.
    pub hidden_size: usize,
}

/// The weights of one direction: rows of input, forget, cell and output gates, each `hidden_size` of them.
#[derive(Debug)]
pub struct LstmDirection<W> {
    /// `[4 · hidden_size, in_features]`.
    pub weight_ih: W,
    /// `[4 · hidden_size, hidden_size]`.
    pub weight_hh: W,
    /// `[4 · hidden_size]`.
    pub bias_ih: W,
    /// `[4 · hidden_size]`.
    pub bias_hh: W,
}

impl<W> LstmLayer<W> {
    /// `{name}.weight_ih_l{layer}` and so on, all drawn from ±`1/sqrt(hidden_size)`.
    pub(crate) fn new(
        source: &mut impl ParameterSource<Weight = W>,
        name: &str,
        layer: usize,
        in_features: usize,
        hidden_size: usize,
        bidirectional: bool,
    ) -> Result<Self, ModelError> {
        let suffixes: &[&str] = if bidirectional { &["", "_reverse"] } else { &[""] };
        let directions = suffixes
            .iter()
            .map(|suffix| {
                let mut parameter = |what: &str, columns: Option<usize>| {
                    source.parameter(ParameterSpec {
                        name: format!("{name}.{what}_l{layer}{suffix}"),
                        shape: std::iter::once(4 * hidden_size).chain(columns).collect(),
                        init: Init::Uniform { bound: (hidden_size as f64).powf(-0.5) },
                        kind: ParameterKind::Weight,
                    })
                };
                Ok(LstmDirection {
                    weight_ih: parameter("weight_ih", Some(in_features))?,
                    weight_hh: parameter("weight_hh", Some(hidden_size))?,
                    bias_ih: parameter("bias_ih", None)?,
                    bias_hh: parameter("bias_hh", None)?,
                })
            })
            .collect::<Result<_, ModelError>>()?;
        Ok(Self { directions, in_features, hidden_size })
    }

    /// Width of the output: both directions side by side.
    pub fn out_features(&self) -> usize {
        self.directions.len() * self.hidden_size
    }
}

/// `(x - mean) / sqrt(variance + eps) · weight + bias` over the last axis.
#[derive(Debug)]
pub struct LayerNorm<W> {
    /// `[width]`.
    pub weight: W,
    /// `[width]`.
    pub bias: W,
    /// Added to the variance.
    pub eps: f64,
}

impl<W> LayerNorm<W> {
    pub(crate) fn new(
        source: &mut impl ParameterSource<Weight = W>,
        name: &str,
        width: usize,
        eps: f64,
    ) -> Result<Self, ModelError> {
        let mut constant = |suffix: &str, value: f32| {
            source.parameter(ParameterSpec {
                name: format!("{name}.{suffix}"),
                shape: vec![width],
                init: Init::Constant(value),
                kind: ParameterKind::Weight,
            })
        };
        Ok(Self { weight: constant("weight", 1.0)?, bias: constant("bias", 0.0)?, eps })
    }
}
