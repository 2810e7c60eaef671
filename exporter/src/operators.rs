//! The project's own operators in ONNX Runtime: the halves of a block and plain products in integers, by `kernels`.
//! Owns their names, their nodes' inputs, and their registration; leaves the arithmetic to `kernels` and the nodes to
//! `quantized`.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use kernels::{ChannelMixing, Linear, Matrix, ShapeError, SwiGlu, TokenMixing};
use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput};
use ort::value::{TensorElementType, TensorValueType, ValueRef};

use crate::shared_weights::SharedWeights;
use crate::site_operators;

/// Domain of the operators.
pub(crate) const DOMAIN: &str = "kernels";
/// Version of the domain.
pub(crate) const VERSION: i64 = 1;
/// `y / sqrt(mean(y²) + epsilon)` over the last axis for `y = x + swiglu(x)`. Inputs: `x` `[batch, tokens, hidden_size]`,
/// then the integers and the scales of gate, up and down.
pub(crate) const CHANNEL_MIXING: &str = "ChannelMixing";
/// The same over the token axis.
pub(crate) const TOKEN_MIXING: &str = "TokenMixing";
/// `x · matrix`, no attribute. Inputs: `x` `[batch, tokens, inputs]`, the integers and the scales of the matrix.
pub(crate) const LINEAR: &str = "Linear";
/// The attribute of both halves, and of the mixers of sites.
pub(crate) const EPSILON: &str = "epsilon";

/// The operators for a session whose operations share so many threads.
pub(crate) fn domain(threads: usize) -> ort::Result<OperatorDomain> {
    let domain = OperatorDomain::new(DOMAIN)?
        .add(Shared::<ChannelMixing>::new(threads))?
        .add(Shared::<TokenMixing>::new(threads))?
        .add(Shared::<Linear>::new(threads))?;
    site_operators::add_to(domain, threads)
}

/// A call of an operator.
struct Call<'a> {
    context: &'a ComputeContext,
    /// `[batch, tokens, channels]` of `x`.
    shape: [usize; 3],
    x: &'a [f32],
    epsilon: f32,
    threads: usize,
}

impl Call<'_> {
    /// Cuts tokens into tiles, `x` and `out` alike, and runs them on the session's threads.
    fn run_tiles(
        &self,
        out: &mut [f32],
        outputs: usize,
        tile: impl Fn(&[f32], &mut [f32]) + Sync + Send,
    ) -> ort::Result<()> {
        let [batch, tokens, inputs] = self.shape;
        let size = kernels::tile_tokens(batch * tokens, self.threads);
        let tiles: Vec<_> = self.x.chunks(size * inputs).zip(out.chunks_mut(size * outputs)).map(Mutex::new).collect();
        self.context.par_for(tiles.len(), 0, |index| {
            let (x, out) = &mut *tiles[index].lock().unwrap_or_else(PoisonError::into_inner);
            tile(x, out);
        })
    }
}

/// Packed weights and what is done with them.
trait Weights: Sized + Send + Sync + 'static {
    const NAME: &str;
    /// Matrices that a node has.
    const MATRICES: usize;
    /// Whether it has an epsilon.
    const NORM: bool;

    /// As many matrices as [`MATRICES`](Self::MATRICES) says.
    fn pack(matrices: &[Matrix<'_>]) -> Result<Self, ShapeError>;

    /// Channels of the result for so many of `x`.
    fn outputs_for(&self, inputs: usize) -> usize {
        inputs
    }

    /// Computes `out`, `[batch, tokens, outputs]`.
    fn run(&self, call: &Call<'_>, out: &mut [f32]) -> ort::Result<()>;
}

/// The three matrices of a half.
fn swiglu<'a>(matrices: &[Matrix<'a>]) -> SwiGlu<'a> {
    SwiGlu { gate: matrices[0], up: matrices[1], down: matrices[2] }
}

impl Weights for Linear {
    const NAME: &str = LINEAR;
    const MATRICES: usize = 1;
    const NORM: bool = false;

    fn pack(matrices: &[Matrix<'_>]) -> Result<Self, ShapeError> {
        Self::new(&matrices[0])
    }

    fn outputs_for(&self, _inputs: usize) -> usize {
        self.outputs()
    }

    fn run(&self, call: &Call<'_>, out: &mut [f32]) -> ort::Result<()> {
        check("inputs", self.inputs(), call.shape[2])?;
        call.run_tiles(out, self.outputs(), |x, out| self.tile(x, out))
    }
}

impl Weights for ChannelMixing {
    const NAME: &str = CHANNEL_MIXING;
    const MATRICES: usize = 3;
    const NORM: bool = true;

    fn pack(matrices: &[Matrix<'_>]) -> Result<Self, ShapeError> {
        Self::new(&swiglu(matrices))
    }

    fn run(&self, call: &Call<'_>, out: &mut [f32]) -> ort::Result<()> {
        check("hidden_size", self.width(), call.shape[2])?;
        let epsilon = call.epsilon;
        call.run_tiles(out, self.width(), |x, out| self.tile(x, out, epsilon))
    }
}

impl Weights for TokenMixing {
    const NAME: &str = TOKEN_MIXING;
    const MATRICES: usize = 3;
    const NORM: bool = true;

    fn pack(matrices: &[Matrix<'_>]) -> Result<Self, ShapeError> {
        Self::new(&swiglu(matrices))
    }

    fn run(&self, call: &Call<'_>, out: &mut [f32]) -> ort::Result<()> {
        let &Call { context, shape: [batch, tokens, hidden_size], x, epsilon, .. } = call;
        let tiles = hidden_size / Self::TILE_CHANNELS;
        check("tokens", self.tokens(), tokens)?;
        check("hidden_size", tiles * Self::TILE_CHANNELS, hidden_size)?;
        // A tile's pieces lie apart, one in each token: every tile gets a list of its own.
        let mut outs: Vec<_> = (0..batch * tiles).map(|_| Mutex::new(Vec::with_capacity(tokens))).collect();
        for (row, out) in out.chunks_mut(tokens * hidden_size).enumerate() {
            for (piece, out) in out.as_chunks_mut::<{ Self::TILE_CHANNELS }>().0.iter_mut().enumerate() {
                outs[row * tiles + piece % tiles].get_mut().unwrap_or_else(PoisonError::into_inner).push(out);
            }
        }
        context.par_for(outs.len(), 0, |index| {
            let mut out = outs[index].lock().unwrap_or_else(PoisonError::into_inner);
            let x = &x[index / tiles * tokens * hidden_size..][..tokens * hidden_size];
            self.tile(x, index % tiles * Self::TILE_CHANNELS, &mut out, epsilon);
        })
    }
}

/// One of the operators, with what its nodes share: a block runs many times in a step, each time as a node of its own
/// with the same weights.
struct Shared<W> {
    threads: usize,
    weights: SharedWeights<W>,
}

impl<W> Shared<W> {
    fn new(threads: usize) -> Self {
        Self { threads, weights: SharedWeights::default() }
    }
}

impl<W: Weights> Operator for Shared<W> {
    type Kernel<'attr> = Node<W>;

    fn name(&self) -> &str {
        W::NAME
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let matrix = [TensorElementType::Int8, TensorElementType::Float32];
        let types = std::iter::once(TensorElementType::Float32).chain((0..W::MATRICES).flat_map(move |_| matrix));
        types.map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        if !kernels::is_supported() {
            return Err(failed("this processor lacks AVX-512 with VNNI"));
        }
        let epsilon = if W::NORM { context.get::<f32>(EPSILON) } else { Some(0.0) };
        let epsilon = epsilon.ok_or_else(|| failed("the attribute epsilon is missing"))?;
        let name = context.inputs()?.get(1).map(|input| input.name().to_owned());
        let name = name.ok_or_else(|| failed("a node has no matrix"))?;
        let weights = self.weights.get_or_pack(name, || pack::<W>(context))?;
        Ok(Node { weights, epsilon, threads: self.threads })
    }
}

fn pack<W: Weights>(context: &KernelContext<'_>) -> ort::Result<W> {
    let constants = |matrix: usize| -> ort::Result<(ValueRef<'_, _>, ValueRef<'_, _>)> {
        let integers = context.constant_input::<TensorValueType<i8>>(1 + 2 * matrix)?;
        Ok((integers, context.constant_input::<TensorValueType<f32>>(2 + 2 * matrix)?))
    };
    let constants = (0..W::MATRICES).map(constants).collect::<ort::Result<Vec<_>>>()?;
    let matrices: Vec<_> = constants
        .iter()
        .map(|(integers, scales)| Matrix { integers: integers.extract_tensor().1, scales: scales.extract_tensor().1 })
        .collect();
    W::pack(&matrices).map_err(failed)
}

/// A node.
struct Node<W> {
    weights: Arc<W>,
    epsilon: f32,
    threads: usize,
}

impl<W: Weights> Kernel for Node<W> {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let x = context.input(0)?.ok_or_else(|| failed("x is missing"))?;
        let (shape, x) = x.try_extract_tensor::<f32>()?;
        let &[batch, tokens, inputs] = &**shape else {
            return Err(failed(format!("x: expected [batch, tokens, channels], found {shape:?}")));
        };
        let sizes = [batch, tokens, inputs].map(|size| size as usize);
        let outputs = self.weights.outputs_for(sizes[2]) as i64;
        let mut out = context.output(0, [batch, tokens, outputs])?.ok_or_else(|| failed("the output is missing"))?;
        let (_, out) = out.try_extract_tensor_mut::<f32>()?;
        let call = Call { context, shape: sizes, x, epsilon: self.epsilon, threads: self.threads };
        self.weights.run(&call, out)
    }
}

pub(crate) fn check(what: &str, expected: usize, found: usize) -> ort::Result<()> {
    if expected == found { Ok(()) } else { Err(failed(format!("{what}: expected {expected}, found {found}"))) }
}

pub(crate) fn failed(problem: impl Display) -> ort::Error {
    ort::Error::new(format!("operator of the domain {DOMAIN}: {problem}"))
}
