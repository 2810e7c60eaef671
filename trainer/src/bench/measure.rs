//! The clocks of `trainer bench`: products and memory in libtorch alone, training steps through the learner.

use std::hint::black_box;
use std::time::Instant;

use datasets::Task;
use datasets::batch::Batch;
use models::ModelDims;
use models::benchmark::{CountedProduct, MemoryPeak, Product, ProductKind, Spread, StepCost};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

use super::Candidate;
use crate::TrainError;
use crate::generator::Generator;
use crate::learner::{Learner, LearnerConfig};
use crate::losses::{LossType, LossWeights};
use crate::optimizer::{FlatOptimizerConfig, LearningRateSchedule, OptimizerKind};
use crate::parameters::Parameters;
use crate::phases::{PhaseClock, PhaseTimes};
use crate::transfer::{counted_by_libtorch, host_syncs};

/// Steps that were timed.
#[derive(Debug, Clone)]
pub(super) struct StepTiming {
    /// Seconds of a step.
    pub(super) seconds: Spread,
    /// Time in each phase, summed over the steps.
    pub(super) phases: PhaseTimes,
    /// How often the host waited for values of the device, in all steps.
    pub(super) host_syncs: u64,
    /// How often libtorch says that it waited for a GPU, in one more step.
    pub(super) gpu_waits: Option<u64>,
}

/// Runs of anything that is measured, at least.
const LEAST_RUNS: usize = 3;
/// Steps before those that are timed: the first allocate, and the third may be recorded.
const WARM_UP: usize = 3;

/// Two arrays are read and one is written.
pub(super) fn memory(device: Device, budget: f64) -> MemoryPeak {
    let array = |value: f64| Tensor::full([MemoryPeak::ARRAY_LENGTH as i64], value, (Kind::Float, device));
    let (x, y, out) = (array(1.0), array(2.0), array(0.0));
    let array_bytes = MemoryPeak::ARRAY_LENGTH * size_of::<f32>();
    let seconds = time(device, budget, || x.lerp_scalar_out(&out, &y, 0.5));
    MemoryPeak { array_bytes, bytes_per_second: seconds.rate_of(3.0 * array_bytes as f64) }
}

/// Operations a second of each product of `cost`, in its order.
pub(super) fn products(cost: &StepCost, kind: Kind, device: Device, budget: f64) -> Vec<Spread> {
    tch::no_grad(|| {
        let rate = |CountedProduct { product, .. }: &CountedProduct| {
            time_product(product, kind, device, budget).rate_of(product.flops() as f64)
        };
        cost.products.iter().map(rate).collect()
    })
}

/// As the backend's plain operations compute it.
fn time_product(product: &Product, kind: Kind, device: Device, budget: f64) -> Spread {
    let [matrices, rows, inner, columns] =
        [product.matrices, product.rows, product.inner, product.columns].map(|size| size as i64);
    let random = |size: &[i64]| Tensor::rand(size, (Kind::Float, device)).to_kind(kind);
    match product.kind {
        ProductKind::Linear if matrices == 1 => {
            let (x, weight) = (random(&[rows, inner]), random(&[columns, inner]));
            time(device, budget, || x.linear(&weight, None::<Tensor>))
        }
        ProductKind::Linear | ProductKind::Attention => {
            let (x, y) = (random(&[matrices, rows, inner]), random(&[matrices, inner, columns]));
            time(device, budget, || x.bmm(&y))
        }
        ProductKind::TokenMixing => {
            let (weight, x) = (random(&[rows, inner]), random(&[matrices, columns, inner]));
            time(device, budget, || x.linear(&weight, None::<Tensor>))
        }
    }
}

/// Seconds of one run.
fn time<R>(device: Device, budget: f64, mut run: impl FnMut() -> R) -> Spread {
    let wait = || {
        if let Device::Cuda(index) = device {
            tch::Cuda::synchronize(index as i64);
        }
    };
    black_box(run());
    wait();
    let mut seconds = Vec::new();
    let begin = Instant::now();
    while seconds.len() < LEAST_RUNS || begin.elapsed().as_secs_f64() < budget {
        let start = Instant::now();
        black_box(run());
        wait();
        seconds.push(start.elapsed().as_secs_f64());
    }
    Spread::of(&seconds).expect("something was run")
}

/// Training steps on generated puzzles, on random tokens where the task has no generator.
///
/// A row takes a new example every `halt_max_steps` steps, each row at another, as in the middle of a run in which no row
/// halts early.
pub(super) fn steps(
    candidate: &Candidate,
    device: Device,
    count: usize,
    replays: bool,
) -> Result<StepTiming, TrainError> {
    let Candidate { arch, dims, batch_size, .. } = candidate;
    let parameters = Parameters::initialised(arch, dims, device, 0)?;
    let clock = PhaseClock::started(device);
    let mut learner = Learner::timed(config(candidate), parameters, dims.seq_len, clock.clone())?;
    if replays {
        learner.replay_steps()?;
    }
    let mut examples = Examples::new(dims, *batch_size)?;
    let period = arch.halt_max_steps().max(1);
    let mut seconds = Vec::with_capacity(count);
    let mut syncs_before = 0;
    for step in 0..WARM_UP + count {
        if step == WARM_UP {
            clock.take();
            syncs_before = host_syncs();
        }
        let start = Instant::now();
        if step > 0 {
            let halted = learner.carry.halted.iter_mut().enumerate();
            halted.for_each(|(row, halted)| *halted |= row % period == step % period);
        }
        let batch = examples.next(&learner.carry.halted)?;
        learner.train_step(&batch)?;
        if let Device::Cuda(index) = device {
            tch::Cuda::synchronize(index as i64);
        }
        if step >= WARM_UP {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let seconds = Spread::of(&seconds).expect("there is at least one step");
    let (phases, host_syncs) = (clock.take(), host_syncs() - syncs_before);
    let batch = examples.next(&learner.carry.halted)?;
    let (step, gpu_waits) = counted_by_libtorch(device, || learner.train_step(&batch));
    step?;
    Ok(StepTiming { seconds, phases, host_syncs, gpu_waits })
}

fn config(candidate: &Candidate) -> LearnerConfig {
    LearnerConfig {
        arch: candidate.arch.clone(),
        dims: candidate.dims,
        loss_type: LossType::StablemaxCrossEntropy,
        loss_weights: LossWeights::default(),
        optimizer: FlatOptimizerConfig { kind: OptimizerKind::AdamW, beta1: 0.9, beta2: 0.95, weight_decay: 0.1 },
        lr: 1e-4,
        puzzle_emb_lr: 1e-4,
        puzzle_emb_weight_decay: 0.1,
        schedule: LearningRateSchedule { warmup_steps: 0, total_steps: 1_000_000, min_ratio: 1.0 },
        ema_rate: Some(0.999),
        freeze_weights: false,
        grad_clip: None,
        micro_batch_size: candidate.micro_batch_size,
        global_batch_size: candidate.batch_size,
        local_batch_size: candidate.batch_size,
        carried_batches: 1,
        rank: 0,
        seed: 0,
    }
}

/// Where examples come from.
enum Examples {
    Generated(Box<dyn datasets::batch::TrainingSource>),
    Random { rng: Box<ChaCha8Rng>, dims: ModelDims, rows: usize },
}

impl Examples {
    fn new(dims: &ModelDims, rows: usize) -> Result<Self, TrainError> {
        let generator = Task::infer(dims.vocab_size, dims.seq_len).and_then(Generator::of_task);
        Ok(match generator {
            Some(generator) => Self::Generated(generator.source(0, 1)?),
            None => Self::Random { rng: Box::new(ChaCha8Rng::seed_from_u64(1)), dims: *dims, rows },
        })
    }

    fn next(&mut self, wanted: &[bool]) -> Result<Batch, TrainError> {
        Ok(match self {
            Self::Generated(source) => source.next_batch(wanted)?,
            Self::Random { rng, dims, rows } => {
                let mut tokens = || {
                    let last = dims.vocab_size as i32;
                    (0..*rows * dims.seq_len).map(|_| rng.random_range(1..last)).collect()
                };
                let (inputs, labels) = (tokens(), tokens());
                let (seq_len, puzzle_identifiers) = (dims.seq_len, vec![0; *rows]);
                Batch { seq_len, inputs, labels, puzzle_identifiers, real_rows: *rows }
            }
        })
    }
}
