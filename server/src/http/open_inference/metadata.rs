//! What a model takes and gives as tensors: names, types and shapes, under the names of the exported step graph; and the
//! checks of a request's tensors against them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use engine::registry::ServedModel;
use engine::task;
use serde::Serialize;
use utoipa::ToSchema;

use super::tensor::{Datatype, InputTensor};
use super::{Kind, MODEL, Problem, ServerState, named, problems};

/// The boards: a row of tokens each.
pub(super) const INPUTS: &str = "inputs";
/// Rows of the puzzle-embedding table, where the model has one.
pub(super) const PUZZLE_IDENTIFIERS: &str = "puzzle_identifiers";

/// A tensor of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputTensor {
    /// The predicted tokens, in the shape of the inputs.
    Preds,
    /// Its last Q value: above 0 the model takes the answer for right.
    QHaltLogits,
    /// Whether the answer obeys the rules of the puzzle.
    Verified,
    /// Supervision steps of the chain that gave the answer.
    Steps,
}

impl OutputTensor {
    pub(super) const ALL: [Self; 4] = [Self::Preds, Self::QHaltLogits, Self::Verified, Self::Steps];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Preds => "preds",
            Self::QHaltLogits => "q_halt_logits",
            Self::Verified => "verified",
            Self::Steps => "steps",
        }
    }

    pub(super) const fn datatype(self) -> Datatype {
        match self {
            Self::Preds | Self::Steps => Datatype::Int64,
            Self::QHaltLogits => Datatype::Fp32,
            Self::Verified => Datatype::Bool,
        }
    }
}

/// What runs here.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InferenceServer)]
pub(in crate::http) struct ServerMetadata {
    name: &'static str,
    version: &'static str,
    /// Extensions of the protocol that it has.
    extensions: Vec<&'static str>,
}

/// What a model takes and gives.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InferenceModel)]
pub(in crate::http) struct ModelMetadata {
    name: String,
    platform: &'static str,
    inputs: Vec<TensorMetadata>,
    outputs: Vec<TensorMetadata>,
}

/// A tensor that a model takes or gives.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InferenceTensorMetadata)]
struct TensorMetadata {
    name: &'static str,
    datatype: Datatype,
    /// -1 stands for every number of rows, and of cells where boards may have several sizes.
    shape: Vec<isize>,
}

/// Name, version and extensions of the server.
#[utoipa::path(
    get, path = "/v2", operation_id = "inferenceServer", tag = "inference",
    responses((status = 200, description = "The server.", body = ServerMetadata)),
    extensions(("x-responses" = json!(problems(&[Kind::Unauthorized])))),
)]
pub(in crate::http) async fn server() -> Json<ServerMetadata> {
    Json(ServerMetadata {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        extensions: vec!["binary_tensor_data"],
    })
}

/// The tensors that a model takes and gives.
#[utoipa::path(
    get, path = "/v2/models/{name}", operation_id = "inferenceModel", tag = "inference",
    params(("name" = String, Path, description = MODEL)),
    responses((status = 200, description = "The model.", body = ModelMetadata)),
    extensions(("x-responses" = json!(problems(&[Kind::ModelNotFound, Kind::Unauthorized])))),
)]
pub(in crate::http) async fn model(
    State(state): State<Arc<ServerState>>,
    Path(name): Path<String>,
) -> Result<Json<ModelMetadata>, Problem> {
    let registry = state.models.current();
    let models = named(&registry, &name)?;
    let cells = if let [only] = models[..] { only.card.dims.seq_len as isize } else { -1 };
    let tensor = |name, datatype, shape: &[isize]| TensorMetadata { name, datatype, shape: shape.to_vec() };
    let mut inputs = vec![tensor(INPUTS, Datatype::Int64, &[-1, cells])];
    if has_identifiers(models[0]) {
        inputs.push(tensor(PUZZLE_IDENTIFIERS, Datatype::Int64, &[-1]));
    }
    let outputs = OutputTensor::ALL.map(|output| {
        let shape: &[isize] = if output == OutputTensor::Preds { &[-1, cells] } else { &[-1] };
        tensor(output.name(), output.datatype(), shape)
    });
    Ok(Json(ModelMetadata { name, platform: "onnxruntime_onnx", inputs, outputs: outputs.into() }))
}

/// Whether the model has an embedding for each puzzle, so that a row must say which.
pub(super) fn has_identifiers(model: &ServedModel) -> bool {
    model.card.dims.num_puzzle_identifiers > 1
}

/// # Errors
/// When an input is none of the model's, or stands twice.
pub(super) fn check_names(model: &ServedModel, inputs: &[InputTensor]) -> Result<(), Problem> {
    let known: &[&str] = if has_identifiers(model) { &[INPUTS, PUZZLE_IDENTIFIERS] } else { &[INPUTS] };
    for (index, InputTensor { name, .. }) in inputs.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            let found: String = name.chars().take(100).collect();
            let known = listed(known.iter().copied());
            return Err(Problem::Malformed(format!("there is no input {found:?}; the model takes {known}")));
        }
        if inputs[..index].iter().any(|other| other.name == *name) {
            return Err(Problem::Malformed(format!("input {name:?} stands twice")));
        }
    }
    Ok(())
}

/// The model among `models` of one name that takes boards of this size: `[batch, cells]`, or `[batch, rows, columns]`.
///
/// # Errors
/// When there is none.
pub(super) fn fitting<'m>(
    models: &[&'m Arc<ServedModel>],
    boards: &InputTensor,
) -> Result<&'m Arc<ServedModel>, Problem> {
    let fits = |model: &ServedModel| {
        let (cells, side) = (model.card.dims.seq_len, task::side(model.task));
        match boards.shape[..] {
            [_, found] => found == cells,
            [_, rows, columns] => rows == side && columns == side && rows * columns == cells,
            _ => false,
        }
    };
    models.iter().copied().find(|model| fits(model)).ok_or_else(|| {
        let sizes = models.iter().map(|model| model.card.dims.seq_len.to_string());
        let sizes = listed(sizes.collect::<Vec<_>>().iter().map(String::as_str));
        let found = &boards.shape;
        Problem::WrongSize(format!("{INPUTS}: expected the shape [batch, cells] with {sizes} cells, found {found:?}"))
    })
}

/// A row of the puzzle-embedding table for each of `count` boards; the engine checks that they are there.
///
/// # Errors
/// When there are not as many, or one is negative.
pub(super) fn identifiers(input: &InputTensor, count: usize) -> Result<Vec<usize>, Problem> {
    if input.shape != [count] && input.shape != [count, 1] {
        let found = &input.shape;
        return Err(Problem::WrongSize(format!(
            "{PUZZLE_IDENTIFIERS}: expected the shape [{count}], one for each row of {INPUTS}, found {found:?}"
        )));
    }
    let read = input.values.iter().map(|&value| usize::try_from(value).map_err(|_| value));
    read.collect::<Result<_, _>>().map_err(|value| {
        Problem::InvalidOption(format!("{PUZZLE_IDENTIFIERS}: expected numbers from 0, found {value}"))
    })
}

/// Names in a sentence, each once.
pub(super) fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut listed: Vec<&str> = Vec::new();
    for name in names {
        if !listed.contains(&name) {
            listed.push(name);
        }
    }
    if listed.is_empty() { "none".to_owned() } else { listed.join(", ") }
}
