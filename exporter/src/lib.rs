//! The ONNX backend: runs the models of `models` with symbols and writes what they do as an ONNX graph.
//! Owns the graphs' nodes, [`names`], [`metadata`] and the loading of ONNX Runtime ([`runtime`]); leaves architectures
//! and checkpoints to `models`, and what is done with a loaded graph to `server`.

mod attention;
pub mod check;
mod emitter;
mod error;
mod graph;
pub mod graph_runner;
pub mod metadata;
pub mod names;
mod operators;
mod parameter;
pub mod probe;
mod proto;
pub mod providers;
mod quantized;
mod recurrent;
pub mod runtime;
mod shared_weights;
mod site_operators;
#[cfg(test)]
mod structure_tests;
mod structured;
pub mod triton;
pub mod verify;

use std::collections::BTreeMap;

use models::{Checkpoint, Mixer, Model, StepInputs};
use prost::Message;
use serde::{Deserialize, Serialize};

pub use error::{ExportError, RuntimeError};
pub use graph::{ElementType, TensorInfo};
pub use metadata::GraphMetadata;

use crate::emitter::Emitter;
use crate::error::{MAX_GRAPH_BYTES, MAX_HALT_STEPS};
use crate::graph::{MICROSOFT, Symbol};
use crate::parameter::{CheckpointSource, Parameter};
use crate::proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};

/// Version of the standard operators: old enough for every runtime of today, new enough for what a model needs.
const OPSET: i64 = 17;
/// Version of the file format that belongs to that opset.
const IR_VERSION: i64 = 8;
/// Version of ONNX Runtime's own operators; there is only this one.
const MICROSOFT_OPSET: i64 = 1;

/// What one run of the graph computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphKind {
    /// One supervision step: the recursion state is input and output.
    Step,
    /// All supervision steps from fresh states.
    Unrolled {
        /// How many, 1 to 1024.
        halt_steps: usize,
    },
}

/// Which operators the graph is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// ONNX Runtime's fused operators (domain `com.microsoft`), which its CPU and CUDA providers have kernels for.
    Fused,
    /// The standard's operators only, for any runtime.
    Portable,
    /// As fused, with operators of this project (domain `kernels`), which only sessions of [`runtime`] on processors have. In
    /// float32 they compute the structured mixers, on live sites alone; in int8 the halves of other blocks, and only
    /// where [`kernels::is_supported`] says so.
    Kernels,
}

impl Flavor {
    /// `fused`, `portable` or `kernels`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fused => "fused",
            Self::Portable => "portable",
            Self::Kernels => "kernels",
        }
    }

    /// What computes a model with that mixer in that precision fastest in a session of [`runtime`] on this processor.
    pub fn fastest(mixer: Mixer, precision: Precision) -> Self {
        let has_kernels = match precision {
            Precision::Float32 => mixer.is_size_free(),
            Precision::Int8 => !mixer.is_size_free() && kernels::is_supported(),
        };
        if has_kernels { Self::Kernels } else { Self::Fused }
    }
}

/// Type that a graph computes its products in. Whatever goes in or out is float32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// IEEE single precision.
    #[default]
    Float32,
    /// 8-bit integers, for processors: each output channel of a weight has a scale of its own, activations get theirs
    /// when the graph runs. Norms, gates and heads stay float32.
    Int8,
}

impl Precision {
    /// Every precision that graphs are exported in.
    pub const ALL: [Self; 2] = [Self::Float32, Self::Int8];

    /// `float32` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Int8 => "int8",
        }
    }
}

/// What the weights of a graph may be quantised to: the choices of `--quantize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Quantization {
    /// 8-bit integers: a quarter of the size, and two to five times as fast on processors with instructions for them
    /// (VNNI on x86).
    Int8,
}

impl From<Option<Quantization>> for Precision {
    fn from(quantization: Option<Quantization>) -> Self {
        match quantization {
            None => Self::Float32,
            Some(Quantization::Int8) => Self::Int8,
        }
    }
}

/// What to export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportOptions {
    /// One step or all.
    pub graph: GraphKind,
    /// Which operators.
    pub flavor: Flavor,
    /// What products are computed in.
    pub precision: Precision,
    /// Whether the logits are an output too.
    pub logits: bool,
}

/// An ONNX file in memory, and what is in it.
#[derive(Debug, Clone)]
pub struct ExportedGraph {
    /// The file.
    pub bytes: Vec<u8>,
    /// What is in it.
    pub summary: GraphSummary,
}

/// What an exported graph consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphSummary {
    /// Operations.
    pub nodes: usize,
    /// Constants, each stored once.
    pub initializers: usize,
    /// Size of the file.
    pub bytes: usize,
    /// Version of the standard operators.
    pub opset: i64,
    /// Inputs, in order.
    pub inputs: Vec<TensorInfo>,
    /// Outputs, in order.
    pub outputs: Vec<TensorInfo>,
    /// How often each operator occurs, those of `com.microsoft` with their domain.
    pub kernels: BTreeMap<String, usize>,
}

/// Exports the model of `checkpoint`. The same checkpoint and options give the same bytes.
///
/// Source: the model is run by `models::Model` on symbols, so there is no second definition that could differ.
///
/// # Errors
/// When a weight is missing or has the wrong shape or type, `halt_steps` is out of range, or the file would exceed 2 GiB.
pub fn export(checkpoint: &Checkpoint, options: &ExportOptions) -> Result<ExportedGraph, ExportError> {
    if let GraphKind::Unrolled { halt_steps: found } = options.graph
        && !(1..=MAX_HALT_STEPS).contains(&found)
    {
        return Err(ExportError::HaltSteps { found });
    }
    let manifest = &checkpoint.manifest;
    // Structured mixers have kernels in float32 alone.
    let has_none = manifest.arch.mixer().is_size_free() && options.precision == Precision::Int8;
    let is_fused = options.flavor == Flavor::Kernels && has_none;
    let options = &ExportOptions { flavor: if is_fused { Flavor::Fused } else { options.flavor }, ..*options };
    let model = Model::new(&manifest.arch, &manifest.dims, &mut CheckpointSource { checkpoint })?;
    let metadata = GraphMetadata::new(manifest, checkpoint.sha256()?, options);

    let emitter = Emitter::new(options.flavor, options.precision);
    let inputs: BTreeMap<String, Symbol> =
        metadata.inputs().iter().map(|info| (info.name.clone(), emitter.graph().declared_input(info))).collect();
    let outputs = match options.graph {
        GraphKind::Step => emit_step(&emitter, &model, &inputs),
        GraphKind::Unrolled { halt_steps } => emit_unrolled(&emitter, &model, &inputs, halt_steps, &metadata),
    };
    assemble(emitter, &metadata, &outputs)
}

fn emit_step(
    emitter: &Emitter,
    model: &Model<Parameter>,
    inputs: &BTreeMap<String, Symbol>,
) -> BTreeMap<String, Symbol> {
    let state: Vec<Symbol> = model.state_names().iter().map(|name| inputs[&names::state_input(name)].clone()).collect();
    let state = model.reset_state(emitter, &inputs[names::RESET], &state);
    let output = model.step(emitter, &step_inputs(inputs), &state);

    let mut outputs = BTreeMap::from([
        (names::PREDS.to_owned(), emitter.predictions(&output.logits)),
        (names::Q_HALT_LOGITS.to_owned(), output.q_halt),
        (names::Q_CONTINUE_LOGITS.to_owned(), output.q_continue),
        (names::LOGITS.to_owned(), output.logits),
    ]);
    outputs.extend(model.state_names().iter().zip(output.state).map(|(name, next)| (names::state_output(name), next)));
    outputs
}

fn emit_unrolled(
    emitter: &Emitter,
    model: &Model<Parameter>,
    inputs: &BTreeMap<String, Symbol>,
    halt_steps: usize,
    metadata: &GraphMetadata,
) -> BTreeMap<String, Symbol> {
    let tokens = metadata.tokens();
    let inputs = step_inputs(inputs);
    let mixer = metadata.arch.mixer();
    let initial_state = |init| {
        if mixer.is_size_free() {
            emitter.initial_site_state(init, &inputs.tokens, mixer == Mixer::Units)
        } else {
            emitter.initial_state(init, tokens, &inputs.tokens)
        }
    };
    let mut state: Vec<Symbol> = model.initial_states().iter().map(initial_state).collect();
    let (mut preds, mut q_halt, mut q_continue, mut logits) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..halt_steps {
        let output = model.step(emitter, &inputs, &state);
        preds.push(emitter.predictions(&output.logits));
        q_halt.push(output.q_halt);
        q_continue.push(output.q_continue);
        logits.push(output.logits);
        state = output.state;
    }
    BTreeMap::from([
        (names::PREDS.to_owned(), emitter.stack(&preds)),
        (names::Q_HALT_LOGITS.to_owned(), emitter.stack(&q_halt)),
        (names::Q_CONTINUE_LOGITS.to_owned(), emitter.stack(&q_continue)),
        (names::LOGITS.to_owned(), emitter.stack(&logits)),
    ])
}

fn step_inputs(inputs: &BTreeMap<String, Symbol>) -> StepInputs<Symbol> {
    StepInputs {
        tokens: inputs[names::INPUTS].clone(),
        puzzle_embeddings: inputs.get(names::PUZZLE_EMBEDDINGS).cloned(),
    }
}

fn assemble(
    emitter: Emitter,
    metadata: &GraphMetadata,
    symbols: &BTreeMap<String, Symbol>,
) -> Result<ExportedGraph, ExportError> {
    let outputs: Vec<(TensorInfo, Symbol)> = metadata
        .outputs()
        .into_iter()
        .map(|info| {
            let symbol = symbols[&info.name].clone();
            (info, symbol)
        })
        .collect();
    let graph = emitter.into_graph().finish(metadata.arch.name(), &outputs);

    let mut kernels = BTreeMap::new();
    for node in &graph.node {
        let name = match node.domain.as_str() {
            "" => node.op_type.clone(),
            domain => format!("{domain}.{}", node.op_type),
        };
        *kernels.entry(name).or_insert(0) += 1;
    }
    let mut opset_import = vec![OperatorSetIdProto { domain: String::new(), version: OPSET }];
    if metadata.flavor != Flavor::Portable {
        opset_import.push(OperatorSetIdProto { domain: MICROSOFT.to_owned(), version: MICROSOFT_OPSET });
    }
    if metadata.flavor == Flavor::Kernels {
        opset_import.push(OperatorSetIdProto { domain: operators::DOMAIN.to_owned(), version: operators::VERSION });
    }
    let mut summary = GraphSummary {
        nodes: graph.node.len(),
        initializers: graph.initializer.len(),
        bytes: 0,
        opset: OPSET,
        inputs: metadata.inputs(),
        outputs: metadata.outputs(),
        kernels,
    };
    let file = ModelProto {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        opset_import,
        metadata_props: metadata
            .to_properties()
            .into_iter()
            .map(|(key, value)| StringStringEntryProto { key: key.to_owned(), value })
            .collect(),
    };
    summary.bytes = file.encoded_len();
    if summary.bytes > MAX_GRAPH_BYTES {
        return Err(ExportError::TooLarge { bytes: summary.bytes });
    }
    Ok(ExportedGraph { bytes: file.encode_to_vec(), summary })
}
