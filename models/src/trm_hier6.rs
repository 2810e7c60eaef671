//! TRM with a hierarchy of six latents: `z_L1` to `z_L6` are updated in turn from their sum, `z_H` after them. Follows
//! `models/recursive_reasoning/trm_hier6.py` of the reference. Leaves halting and carried state to the
//! caller.

use crate::architecture::{Architecture, ArchitectureFields};
use crate::frame::{Frame, Start, initial_state};
use crate::layers::{BlockShape, ReasoningModule};
use crate::{Backend, ModelDims, ModelError, ParameterSource, StepInputs, StepOutput, TrmConfig};

/// Latents of the hierarchy.
const LATENTS: usize = 6;

/// A six-level TRM whose tensors are weights `W` of some backend.
#[derive(Debug)]
#[expect(non_snake_case, reason = "the reference's names")]
pub(crate) struct TrmHier6<W> {
    frame: Frame<W>,
    L_level: ReasoningModule<W>,
    /// `z_H`, `z_L1` to `z_L6`: `[hidden_size]` each.
    init: [W; LATENTS + 1],
    H_cycles: usize,
    L_cycles: usize,
}

impl<W> Architecture<W> for TrmHier6<W> {
    type Config = TrmConfig;

    const STATE_NAMES: &'static [&'static str] = &["z_H", "z_L1", "z_L2", "z_L3", "z_L4", "z_L5", "z_L6"];

    /// `L_cycles` means something else here than in TRM.
    fn validate(config: &TrmConfig) -> Result<(), ModelError> {
        if config.L_cycles > LATENTS {
            return Err(ModelError::config(
                "L_cycles",
                format!(
                    "is {}, but every L cycle updates a latent of its own and trm_hier6 has {LATENTS}; set it to {LATENTS} or less",
                    config.L_cycles
                ),
            ));
        }
        config.validate_own()
    }

    fn new(
        config: &TrmConfig,
        dims: &ModelDims,
        source: &mut impl ParameterSource<Weight = W>,
    ) -> Result<Self, ModelError> {
        let outline = config.outline();
        let frame = Frame::new(source, &outline, dims)?;
        let shape = BlockShape::new(source, &outline, dims);
        let reasoning = ReasoningModule::new(source, "inner.L_level", config.L_layers, &shape)?;
        let mut init = |name: &str| initial_state(source, name, config.hidden_size);
        Ok(Self {
            frame,
            L_level: reasoning,
            init: [
                init("H_init")?,
                init("L1_init")?,
                init("L2_init")?,
                init("L3_init")?,
                init("L4_init")?,
                init("L5_init")?,
                init("L6_init")?,
            ],
            H_cycles: config.H_cycles,
            L_cycles: config.L_cycles,
        })
    }

    fn initial_states(&self) -> &[W] {
        &self.init
    }

    /// One supervision step: `H_cycles` rounds, of which only the last is differentiated.
    fn step<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        inputs: &StepInputs<B::Tensor>,
        state: &[B::Tensor],
    ) -> StepOutput<B::Tensor> {
        let start = self.frame.start(backend, inputs, state);
        let mut z = start.state.clone();
        if self.H_cycles > 1 {
            z = backend.no_grad(|| (1..self.H_cycles).fold(z, |z, _| self.recursion(backend, &start, z)));
        }
        let z = self.recursion(backend, &start, z);
        self.frame.output(backend, &z[0], &z, start.sites.as_ref())
    }
}

impl<W> TrmHier6<W> {
    /// The first `L_cycles` latents in turn, each `z_Li ← f(Σ z_L + z_H + x)`, then `z_H ← f(z_H + Σ z_L)`.
    #[expect(non_snake_case, reason = "the reference's letters")]
    fn recursion<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        start: &Start<B>,
        mut z: Vec<B::Tensor>,
    ) -> Vec<B::Tensor> {
        let sites = start.sites.as_ref();
        let sum = |latents: &[B::Tensor]| {
            let (first, rest) = latents.split_first().expect("the hierarchy has six latents");
            rest.iter().fold(first.clone(), |sum, z_L| backend.add(&sum, z_L))
        };
        let injection = backend.add(&z[0], &start.x);
        for latent in 1..=self.L_cycles {
            z[latent] = self.L_level.forward(backend, &sum(&z[1..]), &injection, sites);
        }
        z[0] = self.L_level.forward(backend, &z[0], &sum(&z[1..]), sites);
        z
    }
}
