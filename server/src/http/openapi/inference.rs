//! The routes below `/v2` and what they read and write: the Open Inference Protocol's own forms.

use serde_json::{Value, json};

use super::operations::{Operation, PROBE, ok, path_parameter, reference, solve_problems};
use crate::http::ProblemKind as Kind;
use crate::http::open_inference::HEADER_LENGTH;

/// All operations of the protocol.
pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        path: "/v2",
        id: "inferenceServer",
        summary: "Name, version and extensions of the server.",
        responses: || ok("The server.", &reference("InferenceServer")),
        problems: || vec![Kind::Unauthorized],
        ..INFERENCE
    },
    Operation {
        path: "/v2/health/live",
        id: "inferenceLive",
        summary: "Whether the process answers and no engine has died.",
        responses: || ok("Alive.", &json!({ "type": "object" })),
        problems: || vec![Kind::Stopping],
        ..INFERENCE
    },
    Operation {
        path: "/v2/health/ready",
        id: "inferenceReady",
        summary: "Whether requests are welcome.",
        responses: || ok("Ready.", &json!({ "type": "object" })),
        problems: || vec![Kind::Stopping],
        ..INFERENCE
    },
    Operation {
        path: "/v2/models/{name}",
        id: "inferenceModel",
        summary: "The tensors that a model takes and gives.",
        parameters: model_parameters,
        responses: || ok("The model.", &reference("InferenceModel")),
        problems: || vec![Kind::ModelNotFound, Kind::Unauthorized],
        ..INFERENCE
    },
    Operation {
        path: "/v2/models/{name}/ready",
        id: "inferenceModelReady",
        summary: "Whether the model's engines run.",
        parameters: model_parameters,
        responses: || ok("Ready.", &json!({ "type": "object" })),
        problems: || vec![Kind::ModelNotFound, Kind::Stopping],
        ..INFERENCE
    },
    Operation {
        method: "post",
        path: "/v2/models/{name}/infer",
        id: "infer",
        summary: "Has a model answer rows of tokens.",
        description: "Goes through the same queue, policy, limits and checks as the routes below `/solve`. `parameters` of the \
                      request are options of the inference policy.",
        parameters: infer_parameters,
        body: Some(body),
        responses: || {
            json!({ "200": {
                "description": "The outputs that were asked for; all of them where the request names none.",
                "headers": { HEADER_LENGTH: {
                    "description": "Bytes of the JSON part, where the bytes of tensors follow it.",
                    "schema": { "type": "integer" },
                } },
                "content": contents("InferenceResponse"),
            } })
        },
        problems: || {
            let of_boards = [Kind::Contradictory, Kind::MazeEndMissing, Kind::MazeEndTwice, Kind::MazeSeparated];
            let own = [Kind::ModelNotFound, Kind::WrongSize].into_iter().chain(of_boards);
            let not_here = [Kind::NotAcceptable, Kind::UnknownModel];
            let common = solve_problems(&own.collect::<Vec<_>>());
            common.into_iter().filter(|kind| !not_here.contains(kind)).collect()
        },
        ..INFERENCE
    },
];

const INFERENCE: Operation = Operation { tag: "inference", ..PROBE };

fn model_parameters() -> Vec<Value> {
    vec![path_parameter("name", "A model, as `GET /info` names it.")]
}

fn infer_parameters() -> Vec<Value> {
    let mut parameters = model_parameters();
    parameters.push(json!({
        "name": HEADER_LENGTH,
        "in": "header",
        "description": "Bytes of the body's JSON part, where the bytes of tensors follow it.",
        "schema": { "type": "integer", "minimum": 0 },
    }));
    parameters
}

fn body() -> Value {
    json!({ "required": true, "content": contents("InferenceRequest") })
}

/// A JSON object, alone or with the bytes of tensors behind it.
fn contents(schema: &str) -> Value {
    json!({
        "application/json": { "schema": reference(schema) },
        "application/octet-stream": { "schema": {
            "type": "string",
            "contentMediaType": "application/octet-stream",
            "description": "The JSON object, then the bytes of each tensor in order, little-endian.",
        } },
    })
}

/// Adds the schemas of the protocol's objects.
pub(super) fn add_schemas(schemas: &mut Value) {
    let text = || json!({ "type": "string" });
    let list = |schema: &str| json!({ "type": "array", "items": reference(schema) });
    let shape = json!({ "type": "array", "items": { "type": "integer" } });
    let tensor = |more: Value| {
        let mut properties = json!({ "name": text(), "datatype": text(), "shape": shape });
        for (name, schema) in more.as_object().into_iter().flatten() {
            properties[name] = schema.clone();
        }
        json!({ "type": "object", "required": ["name", "datatype", "shape"], "properties": properties })
    };
    let parameters = json!({
        "type": "object",
        "description": "`binary_data_size`: bytes of this tensor behind the JSON part.",
        "properties": { "binary_data_size": { "type": "integer" } },
    });
    let data = json!({ "type": "array", "items": {}, "description": "Elements, row by row, flat or nested." });
    schemas["InferenceError"] = json!({ "type": "object", "required": ["error"], "properties": { "error": text() } });
    schemas["InferenceServer"] = json!({
        "type": "object",
        "required": ["name", "version", "extensions"],
        "properties": { "name": text(), "version": text(), "extensions": { "type": "array", "items": text() } },
    });
    schemas["InferenceTensorMetadata"] = tensor(json!({}));
    schemas["InferenceTensor"] = tensor(json!({ "parameters": parameters, "data": data }));
    schemas["InferenceModel"] = json!({
        "type": "object",
        "required": ["name", "platform", "inputs", "outputs"],
        "properties": {
            "name": text(),
            "platform": text(),
            "inputs": list("InferenceTensorMetadata"),
            "outputs": list("InferenceTensorMetadata"),
        },
    });
    schemas["InferenceRequestedOutput"] = json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": text(),
            "parameters": { "type": "object", "properties": { "binary_data": { "type": "boolean" } } },
        },
    });
    schemas["InferenceRequest"] = json!({
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": text(),
            "parameters": {
                "type": "object",
                "description": "Options of the inference policy (`max_steps`, `halting`, …), `timeout` in microseconds, and \
                                `binary_data_output`: whether outputs are binary that do not say so themselves.",
            },
            "inputs": list("InferenceTensor"),
            "outputs": list("InferenceRequestedOutput"),
        },
        "example": {
            "inputs": [{ "name": "inputs", "datatype": "INT64", "shape": [1, 16],
                         "data": [2, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 4, 5, 4, 3, 1] }],
            "parameters": { "max_steps": 16 },
        },
    });
    schemas["InferenceResponse"] = json!({
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "model_name": text(),
            "id": text(),
            "parameters": { "type": "object", "properties": { "sha256": text() } },
            "outputs": list("InferenceTensor"),
        },
    });
}
