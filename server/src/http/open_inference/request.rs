//! A request for inference: its JSON part, the tensors' bytes behind it, and its parameters as inference policy.
//! A pure function of untrusted bytes; leaves which tensors a model takes to `metadata`.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::tensor::{self, Datatype, InputTensor};
use crate::http::{Problem, SolveOptions};

/// A whole request.
#[derive(Debug, Clone, PartialEq)]
pub struct InferRequest {
    /// The client's name for it, which the response repeats.
    pub id: Option<String>,
    /// Its tensors, in order.
    pub inputs: Vec<InputTensor>,
    /// The tensors that are asked for.
    pub outputs: Outputs,
    /// Its inference policy.
    pub options: SolveOptions,
}

/// What a response is to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outputs {
    /// Names, each with its form (binary or JSON) where the request says one; `None`: all that there are.
    pub named: Option<Vec<(String, Option<bool>)>>,
    /// Whether the others are binary.
    pub are_binary: bool,
}

/// A request for inference, or its JSON part where the bytes of tensors follow.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = InferenceRequest, example = json!({
    "inputs": [{ "name": "inputs", "datatype": "INT64", "shape": [1, 16],
                 "data": [2, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 4, 5, 4, 3, 1] }],
    "parameters": { "max_steps": 16 },
}))]
pub(super) struct Head {
    /// The client's name for the request, which the response repeats.
    id: Option<String>,
    /// Options of the inference policy (`max_steps`, `halting`, …), `timeout` in microseconds, and `binary_data_output`:
    /// whether outputs are binary that do not say so themselves.
    #[serde(default)]
    parameters: Map<String, Value>,
    inputs: Vec<InputHead>,
    /// The tensors that are asked for; all of them where it is missing.
    outputs: Option<Vec<OutputHead>>,
}

/// A tensor of a request.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = InferenceTensor)]
struct InputHead {
    name: String,
    shape: Vec<usize>,
    datatype: Datatype,
    #[serde(default)]
    parameters: TensorParameters,
    /// Elements, row by row, flat or nested; left out where `binary_data_size` is given.
    #[schema(value_type = Option<Vec<Value>>)]
    data: Option<Value>,
}

/// A tensor that a request asks for.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = InferenceRequestedOutput)]
struct OutputHead {
    name: String,
    #[serde(default)]
    parameters: TensorParameters,
}

/// Parameters of a tensor; others are hints that nothing here follows.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = InferenceTensorParameters)]
struct TensorParameters {
    /// Of an input: bytes of this tensor behind the JSON part.
    binary_data_size: Option<usize>,
    /// Of an output: whether its elements follow the JSON part as bytes.
    binary_data: Option<bool>,
    #[schema(ignore)]
    shared_memory_region: Option<Value>,
    #[schema(ignore)]
    classification: Option<Value>,
}

/// Parameters of the request that are not part of the inference policy.
#[derive(Debug, Default, Deserialize)]
struct RequestParameters {
    /// Whether outputs are binary that do not say so themselves.
    #[serde(default)]
    binary_data_output: bool,
    /// Deadline in microseconds, as Triton's clients name it.
    timeout: Option<u64>,
}

impl InferRequest {
    /// Reads a body whose first `header_length` bytes are JSON; `None`: all of them.
    ///
    /// # Errors
    /// When it is not a request, or its parts are not as long as they say.
    pub fn parse(body: &[u8], header_length: Option<usize>) -> Result<Self, Problem> {
        let json_bytes = header_length.unwrap_or(body.len());
        let (json, tensors) = body.split_at_checked(json_bytes).ok_or_else(|| {
            let found = body.len();
            Problem::Malformed(format!("{} says {json_bytes} bytes, the body has {found}", super::HEADER_LENGTH))
        })?;
        let Head { id, parameters, inputs, outputs } = head(json)?;
        let (options, are_binary) = options_of(parameters)?;
        let inputs = tensors_of(inputs, tensors)?;
        Ok(Self { id, inputs, outputs: outputs_of(outputs, are_binary)?, options })
    }
}

fn head(json: &[u8]) -> Result<Head, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let head = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let (field, separator) = if path == "." { ("", "") } else { (path.as_str(), ": ") };
        Problem::malformed(&format!("the body is not a request for inference: {field}{separator}{}", error.inner()))
    })?;
    reader.end().map_err(|error| {
        let hint = "where tensors follow the JSON part, a header says how long that is";
        Problem::malformed(&format!("{error} behind the JSON part; {hint}: {}", super::HEADER_LENGTH))
    })?;
    Ok(head)
}

/// The elements of each input: out of its `data`, or the next of the bytes behind the JSON part.
fn tensors_of(inputs: Vec<InputHead>, mut bytes: &[u8]) -> Result<Vec<InputTensor>, Problem> {
    let mut tensors = Vec::with_capacity(inputs.len());
    for InputHead { name, shape, datatype, parameters, data } in inputs {
        let shown = shown(&name);
        refuse_unsupported(&shown, &parameters)?;
        let count = tensor::element_count(&shown, &shape)?;
        let values = match (data, parameters.binary_data_size) {
            (Some(data), None) => tensor::from_json(&shown, datatype, count, &data)?,
            (None, Some(size)) => {
                let left = bytes.len();
                let (own, rest) = bytes.split_at_checked(size).ok_or_else(|| {
                    Problem::Malformed(format!("input {shown:?}: binary_data_size is {size}, {left} bytes are left"))
                })?;
                bytes = rest;
                tensor::from_bytes(&shown, datatype, count, own)?
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(Problem::Malformed(format!(
                    "input {shown:?}: expected either \"data\" or the parameter binary_data_size"
                )));
            }
        };
        tensors.push(InputTensor { name, shape, values });
    }
    match bytes.len() {
        0 => Ok(tensors),
        left => Err(Problem::Malformed(format!("{left} bytes follow the last tensor"))),
    }
}

fn outputs_of(outputs: Option<Vec<OutputHead>>, are_binary: bool) -> Result<Outputs, Problem> {
    let named = outputs.filter(|outputs| !outputs.is_empty()).map(|outputs| {
        let each = outputs.into_iter().map(|OutputHead { name, parameters }| {
            refuse_unsupported(&shown(&name), &parameters)?;
            Ok((name, parameters.binary_data))
        });
        each.collect::<Result<Vec<_>, Problem>>()
    });
    Ok(Outputs { named: named.transpose()?, are_binary })
}

/// A name in a message, whatever its length.
fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}

/// Extensions that change what a tensor is: to pass over them would answer something else than was asked.
fn refuse_unsupported(name: &str, parameters: &TensorParameters) -> Result<(), Problem> {
    let extension = match parameters {
        TensorParameters { shared_memory_region: Some(_), .. } => "shared memory",
        TensorParameters { classification: Some(_), .. } => "classification",
        _ => return Ok(()),
    };
    Err(Problem::Malformed(format!("tensor {name:?}: this server has no extension for {extension}; see GET /v2")))
}

/// The inference policy, and whether outputs are binary.
fn options_of(mut parameters: Map<String, Value>) -> Result<(SolveOptions, bool), Problem> {
    let own: Map<String, Value> = ["binary_data_output", "timeout"]
        .iter()
        .filter_map(|&name| Some((name.to_owned(), parameters.remove(name)?)))
        .collect();
    let RequestParameters { binary_data_output, timeout } = serde_path_to_error::deserialize(Value::Object(own))
        .map_err(|error| Problem::malformed(&format!("parameters: {}: {}", error.path(), error.inner())))?;
    let options = SolveOptions::from_fields(parameters)?;
    let SolveOptions { model, trace, grid, stream, .. } = &options;
    let others = [("model", model.is_some()), ("trace", trace.is_some()), ("grid", grid.is_some())];
    let others = others.into_iter().chain([("stream", stream.is_some())]);
    if let Some((name, _)) = others.into_iter().find(|(_, is_set)| *is_set) {
        return Err(Problem::InvalidOption(format!(
            "{name}: expected an option of the inference policy; POST /solve/sudoku, /solve/maze and /solve/arc take it"
        )));
    }
    let deadline_ms = [options.deadline_ms, timeout.map(|micros| micros / 1000)].into_iter().flatten().min();
    Ok((SolveOptions { deadline_ms, ..options }, binary_data_output))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(value: &Value) -> Result<InferRequest, Problem> {
        InferRequest::parse(value.to_string().as_bytes(), None)
    }

    fn input() -> Value {
        json!({ "name": "inputs", "shape": [1, 4], "datatype": "INT64", "data": [1, 2, 3, 4] })
    }

    #[test]
    fn tensors_come_as_json_and_as_bytes_in_the_order_of_the_inputs() {
        let head = json!({ "id": "7", "inputs": [
            { "name": "a", "shape": [2], "datatype": "INT16", "parameters": { "binary_data_size": 4 } },
            input(),
            { "name": "b", "shape": [1, 1], "datatype": "UINT8", "parameters": { "binary_data_size": 1 } },
        ] });
        let head = head.to_string();
        let body = [head.as_bytes(), &[1, 0, 255, 255, 9]].concat();
        let read = InferRequest::parse(&body, Some(head.len())).unwrap();
        let values: Vec<_> = read.inputs.iter().map(|input| (input.name.as_str(), &input.values[..])).collect();
        assert_eq!(values, [("a", &[1, -1][..]), ("inputs", &[1, 2, 3, 4]), ("b", &[9])]);
        assert_eq!((read.id.as_deref(), &read.outputs), (Some("7"), &Outputs::default()));

        for (length, bytes) in [(None, &body[..]), (Some(head.len() - 1), &body), (Some(body.len() + 1), &body)] {
            assert!(InferRequest::parse(bytes, length).is_err(), "{length:?}");
        }
        for bytes in [&body[..body.len() - 1], &[&body[..], &[0]].concat()] {
            assert!(InferRequest::parse(bytes, Some(head.len())).is_err(), "{} bytes", bytes.len());
        }
    }

    #[test]
    fn parameters_are_the_inference_policy() {
        let read = request(&json!({ "inputs": [input()], "parameters": {
            "max_steps": 4, "halting": "q", "timeout": 2_500_000, "binary_data_output": true } }));
        let read = read.unwrap();
        assert_eq!((read.options.max_steps, read.options.deadline_ms), (Some(4), Some(2500)));
        assert_eq!(read.options.halting, Some(engine::Halting::Q));
        assert!(read.outputs.are_binary);
        for (name, value) in [
            ("steps", json!(4)),
            ("max_steps", json!("4")),
            ("timeout", json!(-1)),
            ("binary_data_output", json!(1)),
            ("stream", json!(true)),
            ("model", json!("other")),
            ("trace", json!(false)),
            ("grid", json!(true)),
        ] {
            let problem = request(&json!({ "inputs": [input()], "parameters": { name: value } })).unwrap_err();
            assert!(problem.to_string().contains(name), "{problem}");
        }
    }

    #[test]
    fn outputs_say_their_form() {
        let outputs = json!([{ "name": "preds", "parameters": { "binary_data": true } }, { "name": "steps" }]);
        let read = request(&json!({ "inputs": [input()], "outputs": outputs })).unwrap();
        let named = vec![("preds".to_owned(), Some(true)), ("steps".to_owned(), None)];
        assert_eq!(read.outputs, Outputs { named: Some(named), are_binary: false });
        assert_eq!(request(&json!({ "inputs": [input()], "outputs": [] })).unwrap().outputs.named, None);
        for extension in ["shared_memory_region", "classification"] {
            let outputs = json!([{ "name": "preds", "parameters": { extension: 1 } }]);
            assert!(request(&json!({ "inputs": [input()], "outputs": outputs })).is_err(), "{extension}");
        }
    }

    #[test]
    fn an_input_has_one_source_of_elements() {
        for change in [json!({ "data": null }), json!({ "parameters": { "binary_data_size": 0 } })] {
            let mut input = input();
            for (name, value) in change.as_object().unwrap() {
                input[name] = value.clone();
            }
            let problem = request(&json!({ "inputs": [input] })).unwrap_err();
            assert!(problem.to_string().contains("either"), "{problem}");
        }
    }
}
