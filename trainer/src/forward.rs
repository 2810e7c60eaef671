//! What a checkpoint's model says, step by step, on given inputs: libtorch's column of a parity report.
//! Owns the file of inputs, the choice of arithmetic and the file of outputs; leaves comparing to `exporter verify`.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, ValueEnum};
use datasets::Task;
use models::names::{INPUTS, LOGITS, PREDS, PUZZLE_IDENTIFIERS, Q_CONTINUE_LOGITS, Q_HALT_LOGITS, of_step};
use models::{Backend, Checkpoint, ForwardDtype, Model, ModelDims, ModelError, ParameterKind, StepInputs};
use tch::{Device, Kind, Tensor};

use crate::TrainError;
use crate::backend::{Activation, TchBackend, Weight};
use crate::data::EvaluationData;
use crate::generator::Generator;
use crate::parameters::Parameters;
use crate::pretrain::set_threads;

/// Type that everything is computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub enum Precision {
    /// What the error of the others is measured against.
    Float64,
    /// As exported graphs compute.
    Float32,
    /// As most models are trained.
    BFloat16,
}

impl Precision {
    /// The backend that computes in it, with fused operations where there are some.
    pub fn backend(self) -> TchBackend {
        match self {
            Self::Float64 => TchBackend::float64(),
            Self::Float32 => TchBackend::new(ForwardDtype::Float32),
            Self::BFloat16 => TchBackend::new(ForwardDtype::BFloat16),
        }
    }
}

/// How to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardOptions {
    /// Supervision steps.
    pub steps: usize,
    /// Arithmetic.
    pub precision: Precision,
    /// libtorch's own operations only, without the fused ones.
    pub plain: bool,
    /// Keep the recursion states of this many rows, from the first.
    pub state_rows: usize,
}

/// What `trainer forward` runs on what.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("source").required(true).args(["inputs", "rows"]))]
pub struct ForwardArguments {
    /// Checkpoint folder
    #[arg(long)]
    pub checkpoint: PathBuf,
    /// Safetensors file with `inputs` `[rows, seq_len]` and, where needed, `puzzle_identifiers` `[rows]`
    #[arg(long, value_name = "FILE")]
    pub inputs: Option<PathBuf>,
    /// In place of a file: the first so many puzzles of a data set, or generated ones that no training seed draws
    #[arg(long)]
    pub rows: Option<usize>,
    /// Folder in the reference's format that `--rows` takes the puzzles from
    #[arg(long, value_name = "DIR", requires = "rows")]
    pub data: Option<PathBuf>,
    /// Safetensors file to write: the inputs, and `step{n}.logits`, `.q_halt_logits`, `.preds` for every step
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Supervision steps; the checkpoint's `halt_max_steps` where not given
    #[arg(long)]
    pub steps: Option<usize>,
    /// Type to compute in; the checkpoint's `forward_dtype` where not given
    #[arg(long)]
    pub precision: Option<Precision>,
    /// Without the fused operations
    #[arg(long)]
    pub plain: bool,
    /// Keep the recursion states of this many rows, from the first
    #[arg(long, default_value_t = 0)]
    pub states: usize,
    /// Threads; 0 takes all cores
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
}

/// Runs `trainer forward`.
///
/// # Errors
/// As [`forward`], and when the checkpoint or the puzzles cannot be read.
pub fn run(arguments: &ForwardArguments) -> Result<(), TrainError> {
    set_threads(arguments.threads);
    let checkpoint = Checkpoint::open(&arguments.checkpoint)?;
    let arch = &checkpoint.manifest.arch;
    let options = ForwardOptions {
        steps: arguments.steps.unwrap_or(arch.halt_max_steps()),
        precision: arguments.precision.unwrap_or(match arch.forward_dtype() {
            ForwardDtype::BFloat16 => Precision::BFloat16,
            ForwardDtype::Float32 => Precision::Float32,
        }),
        plain: arguments.plain,
        state_rows: arguments.states,
    };
    let rows = arguments.rows.unwrap_or(1);
    let (inputs, origin) = match (&arguments.inputs, &arguments.data) {
        (Some(path), _) => (ForwardInputs::read(path)?, path.clone()),
        (None, Some(data)) => (ForwardInputs::of_folder(data, rows)?, data.clone()),
        (None, None) => (ForwardInputs::held_out(&checkpoint, rows)?, "generated puzzles".into()),
    };
    forward(&checkpoint, &inputs, &origin, &options, &arguments.out)?;
    println!("{}", arguments.out.display());
    Ok(())
}

/// Puzzles for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardInputs {
    /// `[rows, seq_len]` row-major tokens.
    pub tokens: Vec<i64>,
    /// `[rows]` rows of the puzzle table.
    pub puzzle_identifiers: Vec<i64>,
}

impl ForwardInputs {
    /// Reads a safetensors file with `inputs` `[rows, seq_len]` and, where puzzles have identifiers,
    /// `puzzle_identifiers` `[rows]`, of any integer type.
    ///
    /// # Errors
    /// When the file is malformed or holds something else.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let tensors = Tensor::read_safetensors(path).map_err(|e| TrainError::state(path, e.to_string()))?;
        let find = |name: &str| tensors.iter().find(|(found, _)| found == name).map(|(_, tensor)| tensor);
        let inputs = find(INPUTS).ok_or_else(|| TrainError::state(path, "holds no tensor `inputs`"))?;
        let &[rows, _] = inputs.size().as_slice() else {
            let problem = format!("`inputs` has shape {:?}, expected [rows, seq_len]", inputs.size());
            return Err(TrainError::state(path, problem));
        };
        let puzzle_identifiers = match find(PUZZLE_IDENTIFIERS) {
            Some(tensor) if tensor.size() == [rows] => integers(path, PUZZLE_IDENTIFIERS, tensor)?,
            Some(tensor) => {
                let problem = format!("`puzzle_identifiers` has shape {:?}, expected [{rows}]", tensor.size());
                return Err(TrainError::state(path, problem));
            }
            None => vec![0; rows as usize],
        };
        Ok(Self { tokens: integers(path, INPUTS, inputs)?, puzzle_identifiers })
    }

    /// The first `rows` puzzles of the test split of the dataset folder `data`.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn of_folder(data: &Path, rows: usize) -> Result<Self, TrainError> {
        let (mut tokens, mut puzzle_identifiers) = (Vec::new(), Vec::new());
        for batch in EvaluationData::folders(vec![data.to_owned()], BATCH, Some(rows)).batches()? {
            let batch = batch?;
            let real = batch.real_rows;
            tokens.extend(batch.inputs[..real * batch.seq_len].iter().map(|&token| i64::from(token)));
            puzzle_identifiers.extend(batch.puzzle_identifiers[..real].iter().map(|&identifier| i64::from(identifier)));
        }
        Ok(Self { tokens, puzzle_identifiers })
    }

    /// `rows` generated puzzles of the checkpoint's task that no training seed draws.
    ///
    /// # Errors
    /// When the task has no generator.
    pub fn held_out(checkpoint: &Checkpoint, rows: usize) -> Result<Self, TrainError> {
        let manifest = &checkpoint.manifest;
        let task = Task::infer(manifest.dims.vocab_size, manifest.dims.seq_len);
        let Some(generator) = task.and_then(Generator::of_task) else {
            let problem = format!("the task is {}, puzzles are generated for sudoku and maze only", manifest.task);
            return Err(TrainError::state(checkpoint.directory(), problem));
        };
        let tokens = generator.held_out(rows)?.into_iter().flat_map(|(input, _)| input).map(i64::from).collect();
        Ok(Self { tokens, puzzle_identifiers: vec![0; rows] })
    }

    fn check(&self, path: &Path, dims: &ModelDims) -> Result<(), TrainError> {
        let within = |what: &str, values: &[i64], limit: usize| {
            let unexpected = values.iter().find(|value| !(0..limit as i64).contains(value));
            unexpected.map_or(Ok(()), |value| {
                Err(TrainError::state(path, format!("{what} {value} is none of the model's 0..{limit}")))
            })
        };
        if self.tokens.len() != self.puzzle_identifiers.len() * dims.seq_len {
            let (found, rows) = (self.tokens.len(), self.puzzle_identifiers.len());
            let problem =
                format!("`inputs` holds {found} tokens for {rows} rows, the model takes {} each", dims.seq_len);
            return Err(TrainError::state(path, problem));
        }
        within("token", &self.tokens, dims.vocab_size)?;
        within("puzzle identifier", &self.puzzle_identifiers, dims.num_puzzle_identifiers)
    }
}

/// Rows that are computed together: bounds the memory of attention over long sequences.
const BATCH: usize = 16;

/// Runs the model of `checkpoint` on `inputs` from fresh states and writes the safetensors file `out`: `inputs`,
/// `puzzle_identifiers`, and for every step from 1 `step{n}.logits` `[rows, seq_len, vocab_size]`,
/// `step{n}.q_halt_logits` and `step{n}.q_continue_logits` `[rows]` (float64 where computed so, else float32),
/// `step{n}.preds` `[rows, seq_len]` int64, and `step{n}.{state}` `[state_rows, tokens, hidden_size]` float32.
///
/// Of the puzzle table only the rows in use are loaded.
///
/// # Errors
/// When the inputs do not fit the model, a tensor cannot be read or the disk refuses.
pub fn forward(
    checkpoint: &Checkpoint,
    inputs: &ForwardInputs,
    origin: &Path,
    options: &ForwardOptions,
    out: &Path,
) -> Result<(), TrainError> {
    let manifest = &checkpoint.manifest;
    inputs.check(origin, &manifest.dims)?;
    let (parameters, rows_of_table) = parameters_in_use(checkpoint, &inputs.puzzle_identifiers)?;
    let dims = ModelDims { num_puzzle_identifiers: rows_of_table.len(), ..manifest.dims };
    let model = parameters.model(&manifest.arch, &dims)?;
    let backend = match (options.precision, options.plain) {
        (Precision::Float32, true) => TchBackend::plain(ForwardDtype::Float32),
        (Precision::BFloat16, true) => TchBackend::plain(ForwardDtype::BFloat16),
        (precision, _) => precision.backend(),
    };
    let run = Run { model, parameters, backend, options: *options, rows_of_table };
    let seq_len = manifest.dims.seq_len;
    let batches = inputs.tokens.chunks(BATCH * seq_len).zip(inputs.puzzle_identifiers.chunks(BATCH));
    let mut steps: Vec<Vec<NamedTensors>> = (0..options.steps).map(|_| Vec::new()).collect();
    for (index, (tokens, identifiers)) in batches.enumerate() {
        let state_rows = options.state_rows.saturating_sub(index * BATCH).min(identifiers.len());
        for (step, outputs) in run.batch(checkpoint, tokens, identifiers, state_rows).into_iter().enumerate() {
            steps[step].push(outputs);
        }
    }
    let rows = inputs.puzzle_identifiers.len() as i64;
    let mut tensors = vec![
        (INPUTS.to_owned(), Tensor::from_slice(&inputs.tokens).view([rows, seq_len as i64])),
        (PUZZLE_IDENTIFIERS.to_owned(), Tensor::from_slice(&inputs.puzzle_identifiers)),
    ];
    for (step, batches) in steps.iter().enumerate() {
        for (position, (name, _)) in batches.first().into_iter().flatten().enumerate() {
            let parts: Vec<&Tensor> = batches.iter().map(|batch| &batch[position].1).collect();
            tensors.push((of_step(step + 1, name), Tensor::cat(&parts, 0)));
        }
    }
    Ok(files::write_at(out, |staging| {
        Tensor::write_safetensors(&tensors, staging)
            .map_err(|e| ModelError::Format { path: out.to_owned(), problem: format!("cannot write: {e}") })
    })?)
}

type NamedTensors = Vec<(String, Tensor)>;

struct Run {
    model: Model<Weight>,
    parameters: Parameters,
    backend: TchBackend,
    options: ForwardOptions,
    /// Identifiers whose rows the loaded table holds, in order.
    rows_of_table: Vec<usize>,
}

impl Run {
    /// Every step's outputs for some rows.
    fn batch(
        &self,
        checkpoint: &Checkpoint,
        tokens: &[i64],
        identifiers: &[i64],
        state_rows: usize,
    ) -> Vec<NamedTensors> {
        let manifest = &checkpoint.manifest;
        let arch = &manifest.arch;
        let (rows, seq_len) = (identifiers.len() as i64, manifest.dims.seq_len as i64);
        let positions = arch.state_tokens(manifest.dims.seq_len) as i64;
        let zeros = || Tensor::zeros([rows, positions, arch.hidden_size() as i64], (self.backend.kind(), Device::Cpu));
        let inputs = StepInputs {
            tokens: Activation(Tensor::from_slice(tokens).view([rows, seq_len])),
            puzzle_embeddings: self.puzzle_embeddings(checkpoint, identifiers),
        };
        self.backend.no_grad(|| {
            let reset = Activation(Tensor::ones([rows], (Kind::Bool, Device::Cpu)));
            let state: Vec<Activation> = self.model.state_names().iter().map(|_| Activation(zeros())).collect();
            let mut state = self.model.reset_state(&self.backend, &reset, &state);
            let mut steps = Vec::with_capacity(self.options.steps);
            for _ in 0..self.options.steps {
                let output = self.model.step(&self.backend, &inputs, &state);
                state = output.state;
                let mut named = vec![
                    (PREDS.to_owned(), output.logits.0.argmax(-1, false)),
                    (LOGITS.to_owned(), self.wide(&output.logits.0)),
                    (Q_HALT_LOGITS.to_owned(), self.wide(&output.q_halt.0)),
                    (Q_CONTINUE_LOGITS.to_owned(), self.wide(&output.q_continue.0)),
                ];
                let kept = |state: &Activation| state.0.narrow(0, 0, state_rows as i64).to_kind(Kind::Float);
                let states = self.model.state_names().iter().zip(&state);
                named.extend(states.map(|(name, state)| ((*name).to_owned(), kept(state))));
                steps.push(named);
            }
            steps
        })
    }

    fn puzzle_embeddings(&self, checkpoint: &Checkpoint, identifiers: &[i64]) -> Option<Activation> {
        let table = self.parameters.puzzle_table()?;
        let arch = &checkpoint.manifest.arch;
        let positions: Vec<i64> = identifiers
            .iter()
            .map(|&identifier| self.rows_of_table.partition_point(|&row| row < identifier as usize) as i64)
            .collect();
        let (len, hidden_size) = (arch.puzzle_emb_len() as i64, arch.hidden_size() as i64);
        let rows = table.index_select(0, &Tensor::from_slice(&positions));
        let padding = len * hidden_size - rows.size()[1];
        Some(Activation(rows.constant_pad_nd([0, padding]).view([-1, len, hidden_size]).to_kind(self.backend.kind())))
    }

    /// What was computed in float64 stays so.
    fn wide(&self, tensor: &Tensor) -> Tensor {
        let kind = if self.backend.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        tensor.to_kind(kind).contiguous()
    }
}

/// The checkpoint's tensors with a puzzle table of the rows `identifiers` alone, which are given back in order.
fn parameters_in_use(checkpoint: &Checkpoint, identifiers: &[i64]) -> Result<(Parameters, Vec<usize>), TrainError> {
    let manifest = &checkpoint.manifest;
    let mut rows: Vec<usize> = identifiers.iter().map(|&identifier| identifier as usize).collect();
    rows.sort_unstable();
    rows.dedup();
    let dims = ModelDims { num_puzzle_identifiers: rows.len(), ..manifest.dims };
    let table = checkpoint.puzzle_table();
    let parameters = Parameters::new(&manifest.arch, &dims, Device::Cpu, |spec| match (spec.kind, table) {
        (ParameterKind::PuzzleTable, Some(table)) => checkpoint.rows(table, &rows),
        _ => checkpoint.values(spec),
    })?;
    Ok((parameters, rows))
}

fn integers(path: &Path, name: &str, tensor: &Tensor) -> Result<Vec<i64>, TrainError> {
    if tensor.is_floating_point() {
        return Err(TrainError::state(path, format!("`{name}` holds {:?}, expected integers", tensor.kind())));
    }
    let tensor = tensor.to_kind(Kind::Int64).contiguous();
    let mut values = vec![0; tensor.numel()];
    let count = values.len();
    tensor.copy_data(&mut values, count);
    Ok(values)
}
