//! What stands beside the graph for people: a guide that starts the server and asks it, and a request to begin with.

use serde_json::{Value, json};

use super::config::kserve_type;
use super::{CONFIG_FILE, REQUEST_FILE, TritonOptions, steps_of};
use crate::{GraphMetadata, TensorInfo, names};

/// Release of Triton's container whose ONNX Runtime is new enough for the graph's operators; later ones are, too.
const TRITON_IMAGE: &str = "nvcr.io/nvidia/tritonserver:25.10-py3";

/// The guide, Markdown.
pub(super) fn text(name: &str, metadata: &GraphMetadata, options: &TritonOptions) -> String {
    let steps = steps_of(metadata);
    let row = |tensor: &TensorInfo| {
        let dims: Vec<String> =
            std::iter::once("batch".to_owned()).chain(tensor.row_shape.iter().map(usize::to_string)).collect();
        format!("| `{}` | {} | [{}] |", tensor.name, kserve_type(tensor.element_type), dims.join(", "))
    };
    let table = |tensors: Vec<TensorInfo>| tensors.iter().map(row).collect::<Vec<_>>().join("\n");
    format!(
        "# {name}

{steps} supervision steps of `{arch}` for {task} in one ONNX graph ({flavor} operators, {precision}). Trained on
{dataset}; {weights} of optimizer step {step}; sha256 of the checkpoint {sha256}.

## Start

In the folder that holds this model's folder (the model repository):

```
docker run --rm -p 8000:8000 -p 8001:8001 -p 8002:8002 -v \"$PWD\":/models:ro {TRITON_IMAGE} \\
    tritonserver --model-repository=/models
```

with `--gpus all` after `--rm` where there are GPUs. KServe runs the same folder: let the `storageUri` of an
`InferenceService` with `modelFormat: triton` point at the repository.

## Ask

In this folder (the KServe protocol, version 2; `{REQUEST_FILE}` is one row in the right shape):

```
curl localhost:8000/v2/health/ready
curl localhost:8000/v2/models/{name}
curl localhost:8000/v2/models/{name}/infer -H 'content-type: application/json' -d @{REQUEST_FILE}
```

| input | type | shape |
|---|---|---|
{inputs}

| output | type | shape |
|---|---|---|
{outputs}

* `{inputs_name}` holds tokens 0 to {last_token}{tokens}.
{embeddings}* `{preds_name}` is the answer after each step, `{q_name}` how sure the model is of it (positive: it takes it for right).
  Take the first step with a positive value, else the last. Nothing here checks the answer against the rules.
* Up to {max_batch_size} puzzles make a batch. All {steps} steps are always computed: Triton cannot stop a puzzle early.

`{CONFIG_FILE}` says how Triton runs it: batches, instances, devices, warm-up.
",
        arch = metadata.arch.name(),
        task = metadata.task,
        flavor = metadata.flavor.name(),
        precision = metadata.precision.name(),
        dataset = if metadata.dataset.is_empty() { "unnamed data" } else { &metadata.dataset },
        weights = match metadata.weights {
            models::checkpoint::WeightsKind::Ema => "moving average of the weights",
            models::checkpoint::WeightsKind::Raw => "weights",
        },
        step = metadata.step,
        sha256 = metadata.checkpoint_sha256,
        inputs = table(metadata.inputs()),
        outputs = table(metadata.outputs()),
        inputs_name = names::INPUTS,
        last_token = metadata.dims.vocab_size - 1,
        tokens = tokens(metadata),
        embeddings = embeddings(metadata),
        preds_name = names::PREDS,
        q_name = names::Q_HALT_LOGITS,
        max_batch_size = options.max_batch_size,
    )
}

/// A request of the `KServe` protocol: one row of token 1 (an empty Sudoku), and the embedding of puzzle identifier 0.
pub(super) fn request(metadata: &GraphMetadata, embedding: Option<&[f32]>) -> String {
    let inputs = metadata.inputs().into_iter().map(|tensor| {
        let shape: Vec<usize> = std::iter::once(1).chain(tensor.row_shape.iter().copied()).collect();
        let data: Value = match embedding {
            Some(embedding) if tensor.name == names::PUZZLE_EMBEDDINGS => json!(embedding),
            _ => json!(vec![1; tensor.row_shape.iter().product()]),
        };
        json!({ "name": tensor.name, "shape": shape, "datatype": kserve_type(tensor.element_type), "data": data })
    });
    json!({ "inputs": inputs.collect::<Vec<_>>() }).to_string() + "\n"
}

fn tokens(metadata: &GraphMetadata) -> &'static str {
    match metadata.task.split('-').next() {
        Some("sudoku") => ": 0 is padding, 1 an empty cell, a digit d is d + 1, row by row",
        Some("maze") => ": 0 is padding, then wall `#`, free ` `, start `S`, goal `G`, path `o`, row by row",
        Some("arc") => {
            ": 0 is padding, 1 ends rows and the last row, colour c is c + 2, row by row on a canvas 30 cells wide"
        }
        _ => ", with the meaning that the training data gives them",
    }
}

fn embeddings(metadata: &GraphMetadata) -> String {
    if metadata.arch.puzzle_emb_len() == 0 {
        return String::new();
    }
    let rows = metadata.dims.num_puzzle_identifiers;
    let which = if rows == 1 {
        "The table has one row, which every puzzle shares: copy it out of the request.".to_owned()
    } else {
        format!(
            "The table has {rows} rows, one for each puzzle identifier (0 to {}); the request has that of 0.",
            rows - 1
        )
    };
    format!(
        "* `{}` is the row of the puzzle's identifier, zero-padded to whole positions. {which} Triton does not look
  rows up: clients send them. `exporter safetensors` writes the table as `inner.puzzle_emb.weights`
  [{rows}, {}].\n",
        names::PUZZLE_EMBEDDINGS,
        metadata.arch.puzzle_emb_ndim(),
    )
}
