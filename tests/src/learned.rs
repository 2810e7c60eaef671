//! Training and libtorch's own answers, through the library that the program `trainer` is made of.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use datasets::batch::Batch;
use models::Checkpoint;
use tch::{Device, Kind, Tensor};
use trainer::act::{Halting, Reasoner};
use trainer::carry::Carry;
use trainer::config::PretrainConfig;
use trainer::evaluate::Evaluation;
use trainer::losses::LossType;
use trainer::parameters::Parameters;
use trainer::pretrain::{Observer, Outcome, pretrain};

use crate::StepOutputs;

/// An observer that ignores everything.
struct Unwatched;

impl Observer for Unwatched {
    fn started(&mut self, _directory: &Path, _step: u64, _total_steps: u64, _parameter_count: usize) {}
    fn logged(&mut self, _step: u64, _means: &[(&'static str, f64)], _samples_per_second: f64) {}
    fn stepped(&mut self, _step: u64) {}
    fn evaluated(&mut self, _step: u64, _evaluation: &Evaluation, _best: bool) {}
}

/// Trains as `trainer pretrain {settings} checkpoint_path={folder}/run` does, and gives the last checkpoint.
pub fn train(folder: &Path, settings: &str) -> PathBuf {
    let run = folder.join("run");
    let place = format!("checkpoint_path={}", run.display());
    let overrides = settings.split_whitespace().chain([place.as_str()]).map(|text| text.parse().unwrap());
    let config = PretrainConfig::resolve(&[], &overrides.collect::<Vec<_>>()).unwrap();
    let outcome = pretrain(&config, None, &AtomicBool::new(false), &mut Unwatched).unwrap();
    assert!(matches!(outcome, Outcome::Finished { .. }), "{outcome:?}");
    run.join("last")
}

/// `steps` supervision steps of the checkpoint's model on `batch`, computed by libtorch.
pub fn libtorch_steps(checkpoint: &Checkpoint, batch: &Batch, steps: usize) -> Vec<StepOutputs> {
    let manifest = &checkpoint.manifest;
    let parameters = Parameters::from_checkpoint(checkpoint, Device::Cpu).unwrap();
    let reasoner = Reasoner::new(&manifest.arch, &manifest.dims, &parameters, LossType::default()).unwrap();
    let mut carry = Carry::empty(&manifest.arch, batch.rows(), batch.seq_len, Device::Cpu);
    carry.admit(batch);
    let mut step = || reasoner.step_without_gradient(&mut carry, &parameters, Halting::AtLimit);
    (0..steps)
        .map(|_| {
            let act = step();
            StepOutputs {
                preds: floats(&act.preds).into_iter().map(|token| token as i64).collect(),
                q_halt: floats(&act.q_halt),
                logits: floats(&act.logits),
                ..StepOutputs::default()
            }
        })
        .collect()
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.to_kind(Kind::Float).contiguous();
    let mut values = vec![0.0; tensor.numel()];
    let count = values.len();
    tensor.copy_data(&mut values, count);
    values
}
