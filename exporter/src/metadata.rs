//! What a graph says about itself: the file's metadata, written by the exporter and read back from a session.
//! Untrusted when read: every entry is bounded and validated, and the session's inputs and outputs are compared with it.

use std::collections::BTreeMap;

use models::checkpoint::WeightsKind;
use models::{ArchitectureConfig, Manifest, Mixer, ModelDims};
use ort::session::Session;
use ort::value::{Outlet, TensorElementType};
use serde::de::DeserializeOwned;

use crate::{ElementType, ExportError, ExportOptions, Flavor, GraphKind, Precision, RuntimeError, TensorInfo, names};

/// Version of the entries that this code writes and reads.
const FORMAT_VERSION: u32 = 1;
/// Dimension of the cells of a board of any size.
const SEQ_LEN: &str = "seq_len";
/// Dimension of the sites that states live on.
const SITES: &str = "sites";
/// Dimension of the tokens of a board whose vocabulary follows its size.
const VOCAB_SIZE: &str = "vocab_size";
/// An entry is at most a page of JSON.
const MAX_ENTRY_BYTES: usize = 1 << 20;

/// What a graph computes and where its weights come from.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphMetadata {
    /// One step or all.
    pub graph: GraphKind,
    /// Which operators.
    pub flavor: Flavor,
    /// What products are computed in.
    pub precision: Precision,
    /// Whether the logits are an output.
    pub logits: bool,
    /// Name and config of the architecture.
    pub arch: ArchitectureConfig,
    /// Sizes that come from the data; `vocab_size` is the vocabulary.
    pub dims: ModelDims,
    /// What the tokens mean: `sudoku`, `maze` or `arc`.
    pub task: String,
    /// The data that the model was trained on.
    pub dataset: String,
    /// Optimizer steps that the weights have seen.
    pub step: u64,
    /// EMA or raw weights.
    pub weights: WeightsKind,
    /// Results of the last evaluation, by metric name.
    pub metrics: BTreeMap<String, f64>,
    /// Commit of the code that trained the weights, if known.
    pub git_commit: Option<String>,
    /// Hex sha256 of the checkpoint's weight file.
    pub checkpoint_sha256: String,
}

impl GraphMetadata {
    /// Metadata of the graph that `options` ask for.
    pub(crate) fn new(manifest: &Manifest, checkpoint_sha256: String, options: &ExportOptions) -> Self {
        Self {
            graph: options.graph,
            flavor: options.flavor,
            precision: options.precision,
            logits: options.logits,
            arch: manifest.arch.clone(),
            dims: manifest.dims,
            task: manifest.task.clone(),
            dataset: manifest.dataset.clone(),
            step: manifest.step,
            weights: manifest.weights,
            metrics: manifest.metrics.clone(),
            git_commit: manifest.git_commit.clone(),
            checkpoint_sha256,
        }
    }

    /// Positions of a state, on the largest board where sizes are free ([`ArchitectureConfig::state_tokens`]).
    pub fn tokens(&self) -> usize {
        self.arch.state_tokens(self.dims.seq_len)
    }

    /// The symbols of a tensor's dimensions after `batch`, of which `before` come before those that follow the board.
    fn symbols(&self, before: usize, board: &[Option<&'static str>]) -> Vec<Option<&'static str>> {
        if self.arch.mixer().is_size_free() { [vec![None; before].as_slice(), board].concat() } else { Vec::new() }
    }

    /// The graph's inputs, in order.
    pub fn inputs(&self) -> Vec<TensorInfo> {
        let hidden_size = self.arch.hidden_size();
        let cells = self.symbols(0, &[Some(SEQ_LEN)]);
        let mut inputs = vec![with_symbols(tensor(names::INPUTS, ElementType::Int64, &[self.dims.seq_len]), cells)];
        if self.arch.puzzle_emb_len() > 0 {
            let row_shape = [self.arch.puzzle_emb_len(), hidden_size];
            inputs.push(tensor(names::PUZZLE_EMBEDDINGS, ElementType::Float32, &row_shape));
        }
        if self.graph == GraphKind::Step {
            inputs.push(tensor(names::RESET, ElementType::Bool, &[]));
            inputs.extend(self.states(names::state_input));
        }
        inputs
    }

    /// The graph's outputs, in order.
    pub fn outputs(&self) -> Vec<TensorInfo> {
        let steps: &[usize] = match &self.graph {
            GraphKind::Step => &[],
            GraphKind::Unrolled { halt_steps } => std::slice::from_ref(halt_steps),
        };
        let with_steps = |row_shape: &[usize]| [steps, row_shape].concat();
        let ModelDims { seq_len, vocab_size, .. } = self.dims;
        let cells = |more: &[Option<&'static str>]| self.symbols(steps.len(), &[&[Some(SEQ_LEN)], more].concat());
        let mut outputs = vec![
            with_symbols(tensor(names::PREDS, ElementType::Int64, &with_steps(&[seq_len])), cells(&[])),
            tensor(names::Q_HALT_LOGITS, ElementType::Float32, &with_steps(&[])),
        ];
        if self.arch.uses_q_continue() {
            outputs.push(tensor(names::Q_CONTINUE_LOGITS, ElementType::Float32, &with_steps(&[])));
        }
        if self.logits {
            let classes = if self.arch.mixer() == Mixer::Units { Some(VOCAB_SIZE) } else { None };
            let logits = tensor(names::LOGITS, ElementType::Float32, &with_steps(&[seq_len, vocab_size]));
            outputs.push(with_symbols(logits, cells(&[classes])));
        }
        if self.graph == GraphKind::Step {
            outputs.extend(self.states(names::state_output));
        }
        outputs
    }

    fn states(&self, name: fn(&str) -> String) -> impl Iterator<Item = TensorInfo> {
        let row_shape = [self.tokens(), self.arch.hidden_size()];
        let sites = self.symbols(0, &[Some(SITES)]);
        let tensor = move |state: &&str| tensor(&name(state), ElementType::Float32, &row_shape);
        self.arch.state_names().iter().map(move |state| with_symbols(tensor(state), sites.clone()))
    }

    /// The file's `metadata_props`.
    pub(crate) fn to_properties(&self) -> Vec<(&'static str, String)> {
        let mut properties = vec![("format_version", FORMAT_VERSION.to_string())];
        match self.graph {
            GraphKind::Step => properties.push(("graph", "step".to_owned())),
            GraphKind::Unrolled { halt_steps } => {
                properties.push(("graph", "unrolled".to_owned()));
                properties.push(("halt_steps", halt_steps.to_string()));
            }
        }
        properties.extend([
            ("flavor", self.flavor.name().to_owned()),
            ("precision", self.precision.name().to_owned()),
            ("logits", self.logits.to_string()),
            ("arch", json(&self.arch)),
            ("dims", json(&self.dims)),
            ("task", self.task.clone()),
            ("dataset", self.dataset.clone()),
            ("step", self.step.to_string()),
            ("weights", json(&self.weights)),
            ("metrics", json(&self.metrics)),
            ("checkpoint_sha256", self.checkpoint_sha256.clone()),
        ]);
        properties.extend(self.git_commit.clone().map(|commit| ("git_commit", commit)));
        properties
    }
}

/// Reads the metadata of a loaded graph and checks that its inputs and outputs are what the metadata promises.
///
/// # Errors
/// [`ExportError::Metadata`] naming the entry, [`ExportError::Interface`] naming the input or output.
pub fn read(session: &Session) -> Result<GraphMetadata, ExportError> {
    let properties = session.metadata().map_err(RuntimeError::session("read the graph's metadata"))?;
    let metadata = from_properties(|key| properties.custom(key))?;
    check_interface("inputs", session.inputs(), &metadata.inputs())?;
    check_interface("outputs", session.outputs(), &metadata.outputs())?;
    Ok(metadata)
}

fn from_properties(lookup: impl Fn(&str) -> Option<String>) -> Result<GraphMetadata, ExportError> {
    let entry = |key: &'static str| {
        let value = lookup(key).ok_or_else(|| {
            problem(key, "is missing; the file was not written by this exporter, export the checkpoint again")
        })?;
        if value.len() > MAX_ENTRY_BYTES {
            return Err(problem(key, format!("has {} bytes, at most {MAX_ENTRY_BYTES} are read", value.len())));
        }
        Ok(value)
    };
    let version: u32 = parse("format_version", &entry("format_version")?)?;
    if version != FORMAT_VERSION {
        let message = format!("is {version}, this program reads {FORMAT_VERSION}; export the checkpoint again");
        return Err(problem("format_version", message));
    }
    let graph = match entry("graph")?.as_str() {
        "step" => GraphKind::Step,
        "unrolled" => GraphKind::Unrolled { halt_steps: parse("halt_steps", &entry("halt_steps")?)? },
        other => return Err(problem("graph", format!("is `{other}`, expected `step` or `unrolled`"))),
    };
    let flavor = match entry("flavor")?.as_str() {
        "fused" => Flavor::Fused,
        "portable" => Flavor::Portable,
        "kernels" => Flavor::Kernels,
        other => return Err(problem("flavor", format!("is `{other}`, expected `fused`, `portable` or `kernels`"))),
    };
    let precision = entry("precision")?;
    let precision = Precision::ALL.into_iter().find(|known| known.name() == precision).ok_or_else(|| {
        let known = Precision::ALL.map(Precision::name).join("`, `");
        problem("precision", format!("is `{precision}`, expected `{known}`"))
    })?;
    let arch: ArchitectureConfig = parse("arch", &entry("arch")?)?;
    let dims: ModelDims = parse("dims", &entry("dims")?)?;
    arch.validate(&dims).map_err(|error| problem("arch", error.to_string()))?;
    Ok(GraphMetadata {
        graph,
        flavor,
        precision,
        logits: parse("logits", &entry("logits")?)?,
        arch,
        dims,
        task: entry("task")?,
        // ONNX Runtime does not tell an empty entry from none.
        dataset: lookup("dataset").unwrap_or_default(),
        step: parse("step", &entry("step")?)?,
        weights: parse("weights", &entry("weights")?)?,
        metrics: parse("metrics", &entry("metrics")?)?,
        git_commit: lookup("git_commit"),
        checkpoint_sha256: entry("checkpoint_sha256")?,
    })
}

fn check_interface(what: &'static str, found: &[Outlet], expected: &[TensorInfo]) -> Result<(), ExportError> {
    let mismatch = |problem: String| ExportError::Interface { what, problem };
    if found.len() != expected.len() {
        return Err(mismatch(format!("expected {}, found {}", expected.len(), found.len())));
    }
    for (found, expected) in found.iter().zip(expected) {
        let element_type = match expected.element_type {
            ElementType::Float32 => TensorElementType::Float32,
            ElementType::Int64 => TensorElementType::Int64,
            ElementType::Bool => TensorElementType::Bool,
        };
        let of_row = |(size, symbol): (usize, Option<_>)| if symbol.is_some() { -1 } else { size as i64 };
        let shape = || std::iter::once(-1).chain(expected.dimensions().map(of_row));
        let same_shape = found.dtype().tensor_shape().is_some_and(|found| found.iter().copied().eq(shape()));
        if found.name() != expected.name || found.dtype().tensor_type() != Some(element_type) || !same_shape {
            return Err(mismatch(format!("expected {expected}, found {} {}", found.name(), found.dtype())));
        }
    }
    Ok(())
}

fn tensor(name: &str, element_type: ElementType, row_shape: &[usize]) -> TensorInfo {
    TensorInfo::new(name, element_type, row_shape)
}

fn with_symbols(tensor: TensorInfo, symbols: Vec<Option<&'static str>>) -> TensorInfo {
    TensorInfo { symbols, ..tensor }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("metadata holds only strings, numbers and maps")
}

fn parse<T: DeserializeOwned>(key: &'static str, value: &str) -> Result<T, ExportError> {
    serde_json::from_str(value).map_err(|error| problem(key, format!("{error}; export the checkpoint again")))
}

fn problem(key: &'static str, problem: impl Into<String>) -> ExportError {
    ExportError::Metadata { key, problem: problem.into() }
}
