//! The answers of a batch as tensors: in JSON, or as bytes in little-endian order behind the JSON part.

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use engine::Answer;
use engine::registry::ServedModel;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::HEADER_LENGTH;
use super::metadata::{OutputTensor, listed};
use super::request::Outputs;
use super::tensor::Datatype;
use crate::http::Problem;

/// The answer to a request for inference, or its JSON part where the bytes of tensors follow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InferenceResponse)]
pub(super) struct Head {
    model_name: String,
    /// That of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    parameters: ModelParameters,
    outputs: Vec<OutputHead>,
}

/// Which weights answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InferenceModelParameters)]
struct ModelParameters {
    /// Hex sha256 of the weights.
    sha256: String,
}

/// A tensor of a response.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InferenceOutput)]
struct OutputHead {
    name: &'static str,
    datatype: Datatype,
    shape: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<OutputParameters>,
    /// Elements, row by row; left out where they follow the JSON part as bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Vec<Value>>,
}

/// Where the elements are that follow the JSON part.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InferenceOutputParameters)]
struct OutputParameters {
    /// Bytes of this tensor behind the JSON part.
    binary_data_size: usize,
}

/// The response: the `wanted` outputs, each with whether it is binary, and the id of the request.
pub(super) fn write(
    model: &ServedModel,
    id: Option<String>,
    wanted: &[(OutputTensor, bool)],
    shape: &[usize],
    answers: &[Answer],
) -> Response {
    let mut bytes = Vec::new();
    let mut outputs = Vec::with_capacity(wanted.len());
    for &(output, is_binary) in wanted {
        let shape = if output == OutputTensor::Preds { shape } else { &shape[..1] };
        let (parameters, data) = if is_binary {
            let before = bytes.len();
            for answer in answers {
                output.extend(answer, &mut bytes);
            }
            (Some(OutputParameters { binary_data_size: bytes.len() - before }), None)
        } else {
            (None, Some(answers.iter().flat_map(|answer| output.values(answer)).collect()))
        };
        let (name, datatype, shape) = (output.name(), output.datatype(), shape.to_vec());
        outputs.push(OutputHead { name, datatype, shape, parameters, data });
    }
    let parameters = ModelParameters { sha256: model.card.sha256.clone() };
    let head = Head { model_name: model.card.name.clone(), id, parameters, outputs };
    if bytes.is_empty() {
        return Json(head).into_response();
    }
    let head = json!(head).to_string();
    let content_type = HeaderValue::from_static("application/octet-stream");
    let length = [(HEADER_LENGTH, head.len().to_string())];
    let body = [head.into_bytes(), bytes].concat();
    (length, [(header::CONTENT_TYPE, content_type)], body).into_response()
}

impl Outputs {
    /// The outputs, each with whether it is binary.
    ///
    /// # Errors
    /// When a name is not that of an output, or stands twice: a short request must not make a long response.
    pub(super) fn resolve(&self) -> Result<Vec<(OutputTensor, bool)>, Problem> {
        let Some(named) = &self.named else {
            return Ok(OutputTensor::ALL.map(|output| (output, self.are_binary)).to_vec());
        };
        let of = |(index, (name, form)): (usize, &(String, Option<bool>))| {
            if named[..index].iter().any(|(other, _)| other == name) {
                return Err(Problem::Malformed(format!("output {name:?} stands twice")));
            }
            let output = OutputTensor::ALL.into_iter().find(|output| output.name() == name);
            let output = output.ok_or_else(|| {
                let known = listed(OutputTensor::ALL.iter().map(|output| output.name()));
                let found: String = name.chars().take(100).collect();
                Problem::Malformed(format!("there is no output {found:?}; the model gives {known}"))
            });
            Ok((output?, form.unwrap_or(self.are_binary)))
        };
        named.iter().enumerate().map(of).collect()
    }
}

impl OutputTensor {
    /// The elements of one row.
    fn values(self, answer: &Answer) -> Vec<Value> {
        match self {
            Self::Preds => answer.tokens.iter().map(|&token| json!(token)).collect(),
            Self::QHaltLogits => vec![json!(answer.q)],
            Self::Verified => vec![json!(answer.verified)],
            Self::Steps => vec![json!(answer.steps)],
        }
    }

    /// The same as bytes.
    fn extend(self, answer: &Answer, bytes: &mut Vec<u8>) {
        match self {
            Self::Preds => bytes.extend(answer.tokens.iter().flat_map(|token| token.to_le_bytes())),
            Self::QHaltLogits => bytes.extend(answer.q.to_le_bytes()),
            Self::Verified => bytes.push(u8::from(answer.verified)),
            Self::Steps => bytes.extend((answer.steps as i64).to_le_bytes()),
        }
    }
}
