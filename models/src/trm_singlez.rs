//! TRM with a single state: one `z_L` is both latent and answer. Follows `models/recursive_reasoning/trm_singlez.py` of
//! the reference (the ablation "single z" of arXiv 2510.04871). Leaves halting and carried state to the
//! caller.

use crate::architecture::{Architecture, ArchitectureFields};
use crate::frame::{Frame, Start, initial_state};
use crate::layers::{BlockShape, ReasoningModule};
use crate::{Backend, ModelDims, ModelError, ParameterSource, StepInputs, StepOutput, TrmConfig};

/// A single-state TRM whose tensors are weights `W` of some backend.
#[derive(Debug)]
#[expect(non_snake_case, reason = "the reference's names")]
pub(crate) struct TrmSinglez<W> {
    frame: Frame<W>,
    L_level: ReasoningModule<W>,
    /// `z_L`: `[hidden_size]`.
    init: [W; 1],
    H_cycles: usize,
    L_cycles: usize,
}

impl<W> Architecture<W> for TrmSinglez<W> {
    type Config = TrmConfig;

    const STATE_NAMES: &'static [&'static str] = &["z_L"];

    fn new(
        config: &TrmConfig,
        dims: &ModelDims,
        source: &mut impl ParameterSource<Weight = W>,
    ) -> Result<Self, ModelError> {
        let outline = config.outline();
        let frame = Frame::new(source, &outline, dims)?;
        let shape = BlockShape::new(source, &outline, dims);
        Ok(Self {
            frame,
            L_level: ReasoningModule::new(source, "inner.L_level", config.L_layers, &shape)?,
            init: [initial_state(source, "L_init", config.hidden_size)?],
            H_cycles: config.H_cycles,
            L_cycles: config.L_cycles,
        })
    }

    fn initial_states(&self) -> &[W] {
        &self.init
    }

    /// One supervision step: `H_cycles` rounds, of which only the last is differentiated.
    #[expect(non_snake_case, reason = "the reference's letters")]
    fn step<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        inputs: &StepInputs<B::Tensor>,
        state: &[B::Tensor],
    ) -> StepOutput<B::Tensor> {
        let start = self.frame.start(backend, inputs, state);
        let mut z_L = start.state[0].clone();
        if self.H_cycles > 1 {
            z_L = backend.no_grad(|| (1..self.H_cycles).fold(z_L, |z_L, _| self.recursion(backend, &start, z_L)));
        }
        let z_L = self.recursion(backend, &start, z_L);
        self.frame.output(backend, &z_L, std::slice::from_ref(&z_L), start.sites.as_ref())
    }
}

impl<W> TrmSinglez<W> {
    /// `z_L ← f(z_L + x)` `L_cycles` times, then once without the question: `z_L ← f(z_L)`.
    #[expect(non_snake_case, reason = "the reference's letters")]
    fn recursion<B: Backend<Weight = W>>(&self, backend: &B, start: &Start<B>, z_L: B::Tensor) -> B::Tensor {
        let sites = start.sites.as_ref();
        let z_L = (0..self.L_cycles).fold(z_L, |z_L, _| self.L_level.forward(backend, &z_L, &start.x, sites));
        self.L_level.blocks(backend, z_L, sites)
    }
}
