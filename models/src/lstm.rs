//! The LSTM baselines of the recursive-reasoning benchmark (`src/models/lstm.py` of vitornegromonte/recursive-reasoning):
//! a bidirectional LSTM that reads the cells several times over, and its deep variant with a residual around every
//! layer. Embedding, heads and supervision steps are those of the other architectures, so that only the network differs.

use serde::{Deserialize, Serialize};

use crate::architecture::{Architecture, ArchitectureFields};
use crate::config::{ForwardDtype, Mixer, PosEncodings, QHeadInput};
use crate::frame::{Frame, initial_state};
use crate::layers::{LayerNorm, Linear, LstmLayer};
use crate::outline::{HaltingOutline, MixingOutline, Outline, check_depths, check_widths};
use crate::{Backend, ModelDims, ModelError, ParameterSource, StepInputs, StepOutput};

/// LSTM baselines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(non_snake_case, reason = "the reference's config field names are the user's interface")]
pub struct LstmConfig {
    /// Chance that a training row must go on past its first halt.
    pub halt_exploration_prob: f64,
    /// Supervision steps per example; the benchmark takes one.
    pub halt_max_steps: usize,
    /// Width of an activation, and of each direction of an LSTM (of both together where `residual`).
    pub hidden_size: usize,
    /// LSTMs on top of each other.
    pub num_layers: usize,
    /// Times that a supervision step reads the cells; all have gradients.
    pub num_passes: usize,
    /// Read the cells from both ends.
    pub bidirectional: bool,
    /// Put a residual and a layer norm around every LSTM, in place of one around the stack: the deep variant, which the
    /// benchmark builds with 6 layers, 256 wide.
    pub residual: bool,
    /// Width of a row of the puzzle-embedding table; 0: no puzzle embedding.
    pub puzzle_emb_ndim: usize,
    /// Positions that the puzzle embedding takes; 0: as many as `puzzle_emb_ndim` needs.
    pub puzzle_emb_len: usize,
    /// Position encoding: learned or none.
    pub pos_encodings: PosEncodings,
    /// Type of the activations; inside an LSTM they are float32, because its cells add up over the whole sequence.
    pub forward_dtype: ForwardDtype,
    /// Halt on the sign of `q_halt` alone; otherwise `q_continue` is learned and compared with.
    pub no_ACT_continue: bool,
    /// Epsilon of the norms.
    pub rms_norm_eps: f64,
    /// What the Q head reads.
    pub q_head_input: QHeadInput,
}

impl Default for LstmConfig {
    /// `SudokuLSTM` of the benchmark at its default sizes.
    fn default() -> Self {
        Self {
            halt_exploration_prob: 0.1,
            halt_max_steps: 1,
            hidden_size: 128,
            num_layers: 3,
            num_passes: 3,
            bidirectional: true,
            residual: false,
            puzzle_emb_ndim: 0,
            puzzle_emb_len: 0,
            pos_encodings: PosEncodings::Learned,
            forward_dtype: ForwardDtype::BFloat16,
            no_ACT_continue: true,
            rms_norm_eps: 1e-5,
            q_head_input: QHeadInput::Mean,
        }
    }
}

impl ArchitectureFields for LstmConfig {
    fn outline(&self) -> Outline {
        Outline {
            hidden_size: self.hidden_size,
            puzzle_emb_ndim: self.puzzle_emb_ndim,
            puzzle_emb_len: self.puzzle_emb_len,
            pos_encodings: self.pos_encodings,
            forward_dtype: self.forward_dtype,
            q_head_input: self.q_head_input,
            mixing: MixingOutline::of(Mixer::Attention),
            attention: None,
            expansion: None,
            rms_norm_eps: self.rms_norm_eps,
            halting: HaltingOutline::new(self.halt_max_steps, self.halt_exploration_prob, self.no_ACT_continue),
        }
    }

    fn validate_own(&self) -> Result<(), ModelError> {
        check_widths(&[("hidden_size", self.hidden_size)])?;
        check_depths(&[("num_layers", self.num_layers), ("num_passes", self.num_passes)])?;
        if self.pos_encodings == PosEncodings::Rope {
            return Err(ModelError::config(
                "pos_encodings",
                "is rope, which turns queries and keys, and an LSTM has none; set it to learned or none",
            ));
        }
        if self.residual && !self.hidden_size.is_multiple_of(self.directions()) {
            return Err(ModelError::config(
                "hidden_size",
                format!("is {}, but residual splits it between two directions; make it even", self.hidden_size),
            ));
        }
        Ok(())
    }
}

impl LstmConfig {
    fn directions(&self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }
}

/// An LSTM baseline whose tensors are weights `W` of some backend.
#[derive(Debug)]
pub(crate) struct Lstm<W> {
    frame: Frame<W>,
    network: Network<W>,
    /// `z_H`: `[hidden_size]`.
    init: [W; 1],
    num_passes: usize,
    rms_norm_eps: f64,
}

/// What reads the cells in one pass.
#[derive(Debug)]
enum Network<W> {
    /// LSTMs on top of each other, projected back to the activations' width.
    Stacked { layers: Vec<LstmLayer<W>>, pass_proj: Linear<W> },
    /// LSTMs that each refine the activations.
    Residual(Vec<(LstmLayer<W>, LayerNorm<W>)>),
}

impl<W> Architecture<W> for Lstm<W> {
    type Config = LstmConfig;

    const STATE_NAMES: &'static [&'static str] = &["z_H"];

    fn new(
        config: &LstmConfig,
        dims: &ModelDims,
        source: &mut impl ParameterSource<Weight = W>,
    ) -> Result<Self, ModelError> {
        let frame = Frame::new(source, &config.outline(), dims)?;
        let network = if config.residual { residual(config, source)? } else { stacked(config, source)? };
        Ok(Self {
            frame,
            network,
            init: [initial_state(source, "H_init", config.hidden_size)?],
            num_passes: config.num_passes,
            rms_norm_eps: config.rms_norm_eps,
        })
    }

    fn initial_states(&self) -> &[W] {
        &self.init
    }

    /// One supervision step: the question is added to the state, which `num_passes` readings of the cells refine.
    ///
    /// The benchmark's multi-pass network has no norm between its passes; here there is one, because the state goes
    /// round not three times but as often as there are supervision steps.
    #[expect(non_snake_case, reason = "the reference's letters")]
    fn step<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        inputs: &StepInputs<B::Tensor>,
        state: &[B::Tensor],
    ) -> StepOutput<B::Tensor> {
        let start = backend.add(&state[0], &self.frame.embed(backend, inputs));
        let z_H = (0..self.num_passes).fold(start, |hidden, _| match &self.network {
            Network::Stacked { layers, pass_proj } => {
                let read = layers.iter().fold(hidden.clone(), |x, layer| backend.lstm(&x, layer));
                backend.residual_rms_norm(&hidden, &backend.linear(&read, pass_proj), self.rms_norm_eps)
            }
            Network::Residual(layers) => layers
                .iter()
                .fold(hidden, |x, (layer, norm)| backend.layer_norm(&backend.add(&x, &backend.lstm(&x, layer)), norm)),
        });
        self.frame.output(backend, &z_H, std::slice::from_ref(&z_H), None)
    }
}

fn stacked<W>(config: &LstmConfig, source: &mut impl ParameterSource<Weight = W>) -> Result<Network<W>, ModelError> {
    let (width, read) = (config.hidden_size, config.hidden_size * config.directions());
    let layers = (0..config.num_layers)
        .map(|layer| {
            let in_features = if layer == 0 { width } else { read };
            LstmLayer::new(source, "inner.lstm", layer, in_features, width, config.bidirectional)
        })
        .collect::<Result<_, _>>()?;
    Ok(Network::Stacked { layers, pass_proj: Linear::biased(source, "inner.pass_proj", read, width)? })
}

fn residual<W>(config: &LstmConfig, source: &mut impl ParameterSource<Weight = W>) -> Result<Network<W>, ModelError> {
    let width = config.hidden_size;
    let layers = (0..config.num_layers)
        .map(|layer| {
            let (name, norm) = (format!("inner.lstm_layers.{layer}"), format!("inner.layer_norms.{layer}"));
            let lstm = LstmLayer::new(source, &name, 0, width, width / config.directions(), config.bidirectional)?;
            Ok((lstm, LayerNorm::new(source, &norm, width, config.rms_norm_eps)?))
        })
        .collect::<Result<_, ModelError>>()?;
    Ok(Network::Residual(layers))
}
