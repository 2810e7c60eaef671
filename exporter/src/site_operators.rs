//! The project's own operators on the live sites of boards: which there are, from dense states and back, and the structured
//! mixers in float32 by `kernels::sites`. They run on every processor.
//! Owns their names, their nodes' inputs, and their registration; leaves the arithmetic to `kernels`, the wiring of boards
//! to `models`, and the nodes to `structured`.

use std::sync::{Arc, Mutex, PoisonError};

use kernels::ShapeError;
use kernels::sites::{Parallel, Serial, SiteSwiGlu, UnitsMixing};
use models::{LiveSites, STENCIL, UNIT_KINDS, UNIT_PARTS, open_candidates};
use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput};
use ort::value::{PrimitiveTensorElementType, TensorElementType, TensorValueType, ValueRef};

use crate::operators::{EPSILON, check, failed};
use crate::shared_weights::SharedWeights;

/// The open candidates of `tokens` `[batch, seq_len]`, as fields of [`LiveSites`]: `places`, `rows`, `links`, `units`.
pub(crate) const CANDIDATES: &str = "Candidates";
/// The cells of `tokens` whose token is none of the int64 `blocked`: `places`, `rows`, `links`.
pub(crate) const CELLS: &str = "Cells";
/// `[batch, sites, width]` with the rows of `x` `[live, width]` at `places` and zeros elsewhere. Inputs: `x`, `places`, and any
/// float32 `[batch, sites, …]`.
pub(crate) const LEAVE_SITES: &str = "LeaveSites";
/// [`models::UnitsMixing`] with residual and norm. Inputs: `x`, `rows`, `links`, `units`, the weights of input and output.
pub(crate) const UNITS_MIXING: &str = "UnitsMixing";
/// [`models::LocalMixing`] with residual and norm. Inputs: `x`, `rows`, `links`, the weights of gate and up, down, stencil.
pub(crate) const LOCAL_MIXING: &str = "LocalMixing";
/// A SwiGLU of each site with residual and norm. Inputs: `x`, the weights of gate and up, and of down.
pub(crate) const SITE_SWIGLU: &str = "SiteSwiGlu";

/// Adds the operators for a session whose operations share so many threads.
pub(crate) fn add_to(domain: OperatorDomain, threads: usize) -> ort::Result<OperatorDomain> {
    domain
        .add(Wiring { name: CANDIDATES })?
        .add(Wiring { name: CELLS })?
        .add(Leave)?
        .add(Mixer::<UnitsMixing>::new(threads))?
        .add(Mixer::<Local>::new(threads))?
        .add(Mixer::<SiteSwiGlu>::new(threads))
}

/// [`CANDIDATES`] or [`CELLS`].
struct Wiring {
    name: &'static str,
}

impl Wiring {
    fn are_candidates(&self) -> bool {
        self.name == CANDIDATES
    }
}

impl Operator for Wiring {
    type Kernel<'attr> = Wiring;

    fn name(&self) -> &str {
        self.name
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let count = if self.are_candidates() { 1 } else { 2 };
        (0..count).map(|_| OperatorInput::required(TensorElementType::Int64))
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        let others = if self.are_candidates() { 3 } else { 2 };
        let types = std::iter::once(TensorElementType::Int64).chain((0..others).map(|_| TensorElementType::Int32));
        types.map(OperatorOutput::required)
    }

    fn create_kernel<'attr>(&self, _context: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        Ok(Self { name: self.name })
    }
}

impl Kernel for Wiring {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let tokens = input(context, 0)?;
        let (shape, tokens) = tokens.try_extract_tensor::<i64>()?;
        let &[_, seq_len] = &**shape else {
            return Err(failed(format!("tokens: expected [batch, seq_len], found {shape:?}")));
        };
        let side = (seq_len as usize).isqrt();
        check("tokens of a square board", side * side, seq_len as usize)?;
        let live = if self.are_candidates() {
            LiveSites::of_candidates(&open_candidates(tokens, side), side)
        } else {
            let blocked = input(context, 1)?;
            let (_, blocked) = blocked.try_extract_tensor::<i64>()?;
            let mask: Vec<bool> = tokens.iter().map(|token| !blocked.contains(token)).collect();
            LiveSites::of_cells(&mask, side)
        };
        let count = live.places.len() as i64;
        write::<i64>(context, 0, &[count], &live.places)?;
        write(context, 1, &[live.rows.len() as i64], &live.rows)?;
        let links = if self.are_candidates() { UNIT_KINDS } else { STENCIL };
        write(context, 2, &[count, links as i64], &live.links)?;
        if self.are_candidates() {
            write(context, 3, &[live.units.len() as i64], &live.units)?;
        }
        Ok(())
    }
}

/// [`LEAVE_SITES`].
struct Leave;

impl Operator for Leave {
    type Kernel<'attr> = Leave;

    fn name(&self) -> &str {
        LEAVE_SITES
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [TensorElementType::Float32, TensorElementType::Int64, TensorElementType::Float32].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, _context: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        Ok(Self)
    }
}

impl Kernel for Leave {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let (x, places, like) = (input(context, 0)?, input(context, 1)?, input(context, 2)?);
        let (shape, x) = x.try_extract_tensor::<f32>()?;
        let (_, places) = places.try_extract_tensor::<i64>()?;
        let like = like.try_extract_tensor::<f32>()?.0;
        let (&[live, width], &[batch, sites, ..]) = (&**shape, &**like) else {
            return Err(failed(format!("x: expected [live, width], found {shape:?} for states {like:?}")));
        };
        check("live sites", places.len(), live as usize)?;
        let mut out = context.output(0, [batch, sites, width])?.ok_or_else(|| failed("the output is missing"))?;
        let out = out.try_extract_tensor_mut::<f32>()?.1;
        out.fill(0.0);
        let width = width as usize;
        for (row, &place) in x.chunks_exact(width.max(1)).zip(places) {
            let place = out.get_mut(place as usize * width..(place as usize + 1) * width);
            place.ok_or_else(|| failed("a place lies outside of the boards"))?.copy_from_slice(row);
        }
        Ok(())
    }
}

/// A mixer's packed weights and what a node does with them.
trait Weights: Sized + Send + Sync + 'static {
    const NAME: &str;
    /// int32 inputs behind `x`.
    const WIRES: usize;
    /// Constant inputs behind these.
    const CONSTANTS: usize;

    fn pack(constants: &[Constant<'_>]) -> Result<Self, ShapeError>;

    fn width(&self) -> usize;

    /// Computes board after board, or all of them at once where they do not matter.
    fn run(&self, boards: &Boards<'_>, out: &mut [f32]) -> ort::Result<()>;
}

/// Values of a weight and its shape.
struct Constant<'a> {
    shape: Vec<usize>,
    values: &'a [f32],
}

/// A call of a mixer.
struct Boards<'a> {
    pool: Pool<'a>,
    threads: usize,
    x: &'a [f32],
    wires: &'a [&'a [i32]],
    width: usize,
    epsilon: f32,
}

impl Boards<'_> {
    /// How the pieces of one board are computed.
    fn parallel(&self) -> &dyn Parallel {
        if self.threads == 1 { &Serial } else { &self.pool }
    }

    /// Calls `board` with the index of each board, its part of `x`, its `links` and its part of `out`: boards side by side where
    /// there are enough of them, else one after the other on all threads.
    fn each(
        &self,
        links_of_site: usize,
        out: &mut [f32],
        board: impl Fn(&dyn Parallel, usize, &[f32], &[i32], &mut [f32]) + Sync + Send,
    ) -> ort::Result<()> {
        let (rows, links) = (self.wires[0], self.wires[1]);
        let sites = self.x.len() / self.width.max(1);
        let ascending = rows.first() == Some(&0) && rows.is_sorted() && rows.last() == Some(&(sites as i32));
        if !ascending || links.len() != links_of_site * sites {
            return Err(failed("rows and links do not fit the sites"));
        }
        let mut pieces = Vec::with_capacity(rows.len());
        let mut rest = out;
        for (index, pair) in rows.windows(2).enumerate() {
            let (begin, end) = (pair[0] as usize, pair[1] as usize);
            let (out, others) = rest.split_at_mut((end - begin) * self.width);
            let x = &self.x[begin * self.width..end * self.width];
            pieces.push((index, x, &links[begin * links_of_site..end * links_of_site], out));
            rest = others;
        }
        if self.threads > 1 && pieces.len() >= self.threads {
            let pieces: Vec<_> = pieces.into_iter().map(Mutex::new).collect();
            self.pool.context.par_for(pieces.len(), 0, |index| {
                let (index, x, links, out) = &mut *pieces[index].lock().unwrap_or_else(PoisonError::into_inner);
                board(&Serial, *index, x, links, out);
            })?;
        } else {
            for (index, x, links, out) in pieces {
                board(self.parallel(), index, x, links, out);
            }
        }
        self.pool.result()
    }
}

/// The session's threads.
struct Pool<'a> {
    context: &'a ComputeContext,
    failure: Mutex<Option<ort::Error>>,
}

impl Pool<'_> {
    fn result(&self) -> ort::Result<()> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

impl Parallel for Pool<'_> {
    fn run(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        if count < 2 {
            return Serial.run(count, work);
        }
        if let Err(error) = self.context.par_for(count, 0, work) {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }
}

impl Weights for UnitsMixing {
    const NAME: &str = UNITS_MIXING;
    const WIRES: usize = 3;
    const CONSTANTS: usize = 2;

    fn pack(constants: &[Constant<'_>]) -> Result<Self, ShapeError> {
        let [input, output] = constants else { unreachable!("there are as many constants as asked for") };
        let (channels, width) = matrix(input);
        Self::new(width, channels / UNIT_PARTS, input.values, output.values)
    }

    fn width(&self) -> usize {
        self.width()
    }

    fn run(&self, boards: &Boards<'_>, out: &mut [f32]) -> ort::Result<()> {
        let (rows, links, units) = (boards.wires[0], boards.wires[1], boards.wires[2]);
        check("boards with units", rows.len(), units.len())?;
        let of_board = |board: usize| units[board + 1].saturating_sub(units[board]).max(0);
        for (board, pair) in rows.windows(2).enumerate() {
            let links = links.get(pair[0].max(0) as usize * UNIT_KINDS..pair[1].max(0) as usize * UNIT_KINDS);
            if !links.is_some_and(|links| links.iter().all(|unit| (0..of_board(board)).contains(unit))) {
                return Err(failed("a link names no unit"));
            }
        }
        let epsilon = boards.epsilon;
        boards.each(UNIT_KINDS, out, |parallel, board, x, links, out| {
            self.board(parallel, x, links, of_board(board) as usize, epsilon, out);
        })
    }
}

/// A [`SiteSwiGlu`] with a stencil.
struct Local(SiteSwiGlu);

impl Weights for Local {
    const NAME: &str = LOCAL_MIXING;
    const WIRES: usize = 2;
    const CONSTANTS: usize = 3;

    fn pack(constants: &[Constant<'_>]) -> Result<Self, ShapeError> {
        let [gate_up, down, stencil] = constants else { unreachable!("there are as many constants as asked for") };
        SiteSwiGlu::new(matrix(gate_up).1, gate_up.values, down.values, stencil.values).map(Self)
    }

    fn width(&self) -> usize {
        self.0.width()
    }

    fn run(&self, boards: &Boards<'_>, out: &mut [f32]) -> ort::Result<()> {
        let (rows, links) = (boards.wires[0], boards.wires[1]);
        for pair in rows.windows(2) {
            let links = links.get(pair[0].max(0) as usize * STENCIL..pair[1].max(0) as usize * STENCIL);
            if !links.is_some_and(|links| links.iter().all(|site| (0..=pair[1] - pair[0]).contains(site))) {
                return Err(failed("a link names no site"));
            }
        }
        let epsilon = boards.epsilon;
        boards.each(STENCIL, out, |parallel, _, x, links, out| self.0.board(parallel, x, links, epsilon, out))
    }
}

impl Weights for SiteSwiGlu {
    const NAME: &str = SITE_SWIGLU;
    const WIRES: usize = 0;
    const CONSTANTS: usize = 2;

    fn pack(constants: &[Constant<'_>]) -> Result<Self, ShapeError> {
        let [gate_up, down] = constants else { unreachable!("there are as many constants as asked for") };
        Self::new(matrix(gate_up).1, gate_up.values, down.values, &[])
    }

    fn width(&self) -> usize {
        self.width()
    }

    fn run(&self, boards: &Boards<'_>, out: &mut [f32]) -> ort::Result<()> {
        self.sites(boards.parallel(), boards.x, boards.epsilon, out);
        boards.pool.result()
    }
}

/// Rows and columns.
fn matrix(constant: &Constant<'_>) -> (usize, usize) {
    match *constant.shape {
        [rows, columns] => (rows, columns),
        _ => (0, 0),
    }
}

/// One of the mixers, with what its nodes share: a block runs many times in a step, each time as a node of its own with
/// the same weights.
struct Mixer<W> {
    threads: usize,
    weights: SharedWeights<W>,
}

impl<W> Mixer<W> {
    fn new(threads: usize) -> Self {
        Self { threads, weights: SharedWeights::default() }
    }
}

impl<W: Weights> Operator for Mixer<W> {
    type Kernel<'attr> = Node<W>;

    fn name(&self) -> &str {
        W::NAME
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let types = std::iter::once(TensorElementType::Float32)
            .chain((0..W::WIRES).map(|_| TensorElementType::Int32))
            .chain((0..W::CONSTANTS).map(|_| TensorElementType::Float32));
        types.map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        let epsilon = context.get::<f32>(EPSILON).ok_or_else(|| failed("the attribute epsilon is missing"))?;
        let name = context.inputs()?.get(1 + W::WIRES).map(|input| input.name().to_owned());
        let name = name.ok_or_else(|| failed("a node has no weights"))?;
        let weights = self.weights.get_or_pack(name, || pack::<W>(context))?;
        Ok(Node { weights, epsilon, threads: self.threads })
    }
}

fn pack<W: Weights>(context: &KernelContext<'_>) -> ort::Result<W> {
    let inputs = (1 + W::WIRES..1 + W::WIRES + W::CONSTANTS)
        .map(|index| context.constant_input::<TensorValueType<f32>>(index))
        .collect::<ort::Result<Vec<_>>>()?;
    let constants: Vec<_> = inputs
        .iter()
        .map(|input| {
            let (shape, values) = input.extract_tensor();
            Constant { shape: shape.iter().map(|&size| size as usize).collect(), values }
        })
        .collect();
    W::pack(&constants).map_err(failed)
}

/// A node.
struct Node<W> {
    weights: Arc<W>,
    epsilon: f32,
    threads: usize,
}

impl<W: Weights> Kernel for Node<W> {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let x = input(context, 0)?;
        let (shape, x) = x.try_extract_tensor::<f32>()?;
        let &[live, width] = &**shape else {
            return Err(failed(format!("x: expected [live, hidden_size], found {shape:?}")));
        };
        check("hidden_size", self.weights.width(), width as usize)?;
        let wires = (1..=W::WIRES).map(|index| input(context, index)).collect::<ort::Result<Vec<_>>>()?;
        let wires =
            wires.iter().map(|wire| Ok(wire.try_extract_tensor::<i32>()?.1)).collect::<ort::Result<Vec<&[i32]>>>()?;
        let mut out = context.output(0, [live, width])?.ok_or_else(|| failed("the output is missing"))?;
        let out = out.try_extract_tensor_mut::<f32>()?.1;
        let boards = Boards {
            pool: Pool { context, failure: Mutex::new(None) },
            threads: self.threads,
            x,
            wires: &wires,
            width: width as usize,
            epsilon: self.epsilon,
        };
        self.weights.run(&boards, out)
    }
}

fn input(context: &ComputeContext, index: usize) -> ort::Result<ValueRef<'_>> {
    context.input(index)?.ok_or_else(|| failed(format!("input {index} is missing")))
}

fn write<T: PrimitiveTensorElementType + Copy + std::fmt::Debug>(
    context: &ComputeContext,
    index: usize,
    shape: &[i64],
    values: &[T],
) -> ort::Result<()> {
    let mut out = context.output(index, shape.to_vec())?.ok_or_else(|| failed("an output is missing"))?;
    out.try_extract_tensor_mut::<T>()?.1.copy_from_slice(values);
    Ok(())
}
