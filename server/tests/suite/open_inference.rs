//! The Open Inference Protocol below `/v2`, on oracles instead of models: metadata, tensors in JSON and as bytes, limits,
//! and that errors have its form.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use datasets::sudoku::SudokuShape;
use engine::registry::{EngineLimits, ServedModel};
use engine::task::Task;
use serde_json::{Value, json};
use server::http::{HttpOptions, ServerParts, routes};
use server::lifecycle::{Lifecycle, Phase};

use crate::arc_world::{IDENTIFIERS, Scripted};
use crate::oracle::{Oracle, STEPS, card};
use crate::served::{PUZZLE, Reply, SOLUTION, Served, oracles};
use crate::served_oracles::{get, oracle, parts, send, with_keys};

const INFER: &str = "/v2/models/sudoku-9x9/infer";

/// Tokens of a Sudoku in text.
fn tokens(text: &str) -> Vec<i64> {
    text.chars().map(|cell| i64::from(cell.to_digit(10).unwrap_or(0)) + 1).collect()
}

fn boards(rows: &[&str]) -> Value {
    let data: Vec<Vec<i64>> = rows.iter().map(|row| tokens(row)).collect();
    json!({ "name": "inputs", "datatype": "INT64", "shape": [rows.len(), data[0].len()], "data": data })
}

fn output<'r>(response: &'r Value, name: &str) -> &'r Value {
    response["outputs"].as_array().unwrap().iter().find(|output| output["name"] == name).unwrap()
}

/// Status and message of an error in the protocol's form.
fn error(reply: &Reply) -> (u16, String) {
    assert_eq!(reply.header("content-type"), "application/json");
    let body = reply.json();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    (reply.status.as_u16(), body["error"].as_str().unwrap().to_owned())
}

async fn infer(served: &Served, body: Value) -> Reply {
    served.post(INFER, body.to_string()).await
}

/// The JSON part with the bytes of tensors behind it.
async fn infer_bytes(served: &Served, head: &Value, bytes: &[u8]) -> Reply {
    let head = head.to_string();
    let request = Request::post(INFER).header("inference-header-content-length", head.len());
    served.send(request.body(Body::from([head.as_bytes(), bytes].concat())).unwrap()).await
}

#[tokio::test]
async fn server_and_models_describe_themselves() {
    let served = oracles();
    let server = served.get("/v2").await.ok();
    assert_eq!((&server["name"], &server["extensions"]), (&json!("server"), &json!(["binary_tensor_data"])));
    assert_eq!(served.get("/v2/health/live").await.ok(), json!({ "live": true }));
    assert_eq!(served.get("/v2/health/ready").await.ok(), json!({ "ready": true }));
    assert_eq!(served.get("/v2/models/maze-6/ready").await.ok(), json!({ "name": "maze-6", "ready": true }));
    let model = served.get("/v2/models/maze-6").await.ok();
    let cells = json!([-1, 36]);
    assert_eq!(model["inputs"], json!([{ "name": "inputs", "datatype": "INT64", "shape": cells }]));
    assert_eq!(
        model["outputs"],
        json!([
            { "name": "preds", "datatype": "INT64", "shape": cells },
            { "name": "q_halt_logits", "datatype": "FP32", "shape": [-1] },
            { "name": "verified", "datatype": "BOOL", "shape": [-1] },
            { "name": "steps", "datatype": "INT64", "shape": [-1] },
        ])
    );
    for path in ["/v2/models/other", "/v2/models/other/ready"] {
        let (status, message) = error(&served.get(path).await);
        assert!(status == 404 && message.contains("\"other\"") && message.contains("maze-6"), "{message}");
    }
}

#[tokio::test]
async fn rows_of_json_get_all_outputs() {
    let served = oracles();
    let nearly = format!(".{}", &SOLUTION[1..]);
    let body = json!({ "id": "job-7", "inputs": [boards(&[PUZZLE, &nearly])] });
    let answer = infer(&served, body).await.ok();
    assert_eq!((&answer["model_name"], &answer["id"]), (&json!("sudoku-9x9"), &json!("job-7")));
    assert_eq!(answer["parameters"]["sha256"], "5eed".repeat(16));
    let solution = tokens(SOLUTION);
    assert_eq!(output(&answer, "preds")["data"], json!([&solution[..], &solution].concat()));
    assert_eq!(output(&answer, "preds")["shape"], json!([2, 81]));
    assert_eq!(output(&answer, "verified")["data"], json!([true, true]));
    assert_eq!(output(&answer, "steps")["data"], json!([STEPS, STEPS]));
    assert_eq!(output(&answer, "q_halt_logits")["data"], json!([0.5, 0.5]));
    // It went through the engine's queue, and counts where every request counts.
    assert_eq!(served.counters().answered, 2);
    let metrics = served.get("/metrics").await;
    let page = String::from_utf8(metrics.body).unwrap();
    assert!(page.contains(r#"trm_http_requests_total{route="/v2/models/{name}/infer",status="200"} 1"#), "{page}");
}

#[tokio::test]
async fn rows_of_bytes_get_bytes_where_they_ask_for_them() {
    let served = oracles();
    let bytes: Vec<u8> = tokens(PUZZLE).iter().flat_map(|&token| (token as i32).to_le_bytes()).collect();
    let head = json!({
        "inputs": [{ "name": "inputs", "datatype": "INT32", "shape": [1, 9, 9],
                     "parameters": { "binary_data_size": bytes.len() } }],
        "outputs": [{ "name": "steps", "parameters": { "binary_data": true } }, { "name": "verified" },
                    { "name": "preds", "parameters": { "binary_data": true } }],
    });
    let reply = infer_bytes(&served, &head, &bytes).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", String::from_utf8_lossy(&reply.body));
    assert_eq!(reply.header("content-type"), "application/octet-stream");
    let length: usize = reply.header("inference-header-content-length").parse().unwrap();
    let (json, bytes) = reply.body.split_at(length);
    let json: Value = serde_json::from_slice(json).unwrap();
    let sizes = ["steps", "preds"].map(|name| output(&json, name)["parameters"]["binary_data_size"].as_u64());
    assert_eq!((sizes, bytes.len()), ([Some(8), Some(648)], 656));
    assert_eq!(output(&json, "preds")["shape"], json!([1, 9, 9]));
    assert_eq!(output(&json, "verified")["data"], json!([true]));
    let values: Vec<i64> = bytes.chunks(8).map(|chunk| i64::from_le_bytes(chunk.try_into().unwrap())).collect();
    assert_eq!((values[0], &values[1..]), (STEPS as i64, &tokens(SOLUTION)[..]));

    let mut head = json!({ "inputs": [boards(&[PUZZLE])], "parameters": { "binary_data_output": true } });
    let reply = infer(&served, head.clone()).await;
    assert_eq!(reply.header("content-type"), "application/octet-stream");
    let length: usize = reply.header("inference-header-content-length").parse().unwrap();
    assert_eq!(reply.body.len() - length, 648 + 4 + 1 + 8);
    head["inputs"][0]["shape"] = json!([1, 80]);
    assert_eq!(error(&infer(&served, head).await).0, 400);
}

#[tokio::test]
async fn parameters_are_the_inference_policy() {
    let served = oracles();
    let request = |parameters: Value| json!({ "inputs": [boards(&[PUZZLE])], "parameters": parameters });
    let answer = infer(&served, request(json!({ "max_steps": 1 }))).await.ok();
    assert_eq!(output(&answer, "steps")["data"], json!([1]));
    assert_eq!(output(&answer, "verified")["data"], json!([false]));
    for (parameters, message) in [
        (json!({ "max_steps": 0 }), "max_steps: expected 1 to 512, found 0"),
        (json!({ "steps": 3 }), "steps"),
        (json!({ "stream": true }), "stream"),
    ] {
        let (status, found) = error(&infer(&served, request(parameters)).await);
        assert!(status == 400 && found.contains(message), "{found}");
    }
}

#[tokio::test]
async fn one_name_serves_boards_of_several_sizes() {
    let model = |shape| {
        ServedModel::start(card("both", shape), Task::Sudoku(shape), Oracle::new(shape), EngineLimits::plain(2, 8, 64))
    };
    let served = Served::new([SudokuShape::FOUR, SudokuShape::NINE].map(|shape| model(shape).unwrap()).into());
    assert_eq!(served.get("/v2/models/both").await.ok()["inputs"][0]["shape"], json!([-1, -1]));
    for (puzzle, solution) in [("123434122143432.", "1234341221434321"), (PUZZLE, SOLUTION)] {
        let body = json!({ "inputs": [boards(&[puzzle])] }).to_string();
        let answer = served.post("/v2/models/both/infer", body).await.ok();
        assert_eq!(output(&answer, "preds")["data"], json!(tokens(solution)));
    }
    let body = json!({ "inputs": [boards(&["1".repeat(36).as_str()])] }).to_string();
    let (status, message) = error(&served.post("/v2/models/both/infer", body).await);
    assert!(status == 422 && message.contains("16, 81") && message.contains("[1, 36]"), "{message}");
}

#[tokio::test]
async fn models_with_an_embedding_for_each_puzzle_take_identifiers() {
    // Every token of the answer is the identifier that the row was asked under.
    let model = Scripted::new(|identifier, tokens, _| (vec![identifier as i64 % 12; tokens.len()], 1.0));
    let model = model.served();
    let (name, cells) = (model.card.name.clone(), model.card.dims.seq_len);
    let served = Served::new(vec![model]);
    let described = served.get(&format!("/v2/models/{name}")).await.ok();
    assert_eq!(described["inputs"][1]["name"], "puzzle_identifiers");
    let path = format!("/v2/models/{name}/infer");
    let request = |identifiers: Value| {
        let rows = json!({ "name": "inputs", "datatype": "UINT8", "shape": [2, cells], "data": vec![0; 2 * cells] });
        let mut inputs = vec![rows];
        if let Some(list) = identifiers.as_array() {
            inputs.push(
                json!({ "name": "puzzle_identifiers", "datatype": "INT32", "shape": [list.len()], "data": list }),
            );
        }
        json!({ "inputs": inputs, "outputs": [{ "name": "preds" }], "parameters": { "augmentations": 0 } }).to_string()
    };
    let answer = served.post(&path, request(json!([3, 7]))).await.ok();
    assert_eq!(output(&answer, "preds")["data"], json!([vec![3; cells], vec![7; cells]].concat()));
    for (identifiers, status) in
        [(Value::Null, 400), (json!([1]), 422), (json!([1, -1]), 400), (json!([1, IDENTIFIERS]), 400)]
    {
        let (found, message) = error(&served.post(&path, request(identifiers)).await);
        assert!(found == status && message.contains("identifier"), "{found}: {message}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_in_the_protocols_form() {
    let served = oracles();
    let mut unknown = boards(&[PUZZLE]);
    unknown["name"] = json!("tokens");
    let mut pad = boards(&[PUZZLE]);
    pad["data"][0][0] = json!(0);
    let twice = boards(&["55..............................................................................."]);
    for (body, status, message) in [
        (json!({ "inputs": [unknown] }), 400, "no input \"tokens\""),
        (json!({ "inputs": [] }), 400, "\"inputs\" is missing"),
        (json!({ "inputs": [boards(&[PUZZLE]), boards(&[PUZZLE])] }), 400, "stands twice"),
        (json!({ "inputs": [pad] }), 400, "token"),
        (json!({ "inputs": [twice] }), 422, "contradict"),
        (json!({ "inputs": [boards(&[PUZZLE; 5])] }), 413, "5 puzzles"),
        (json!({ "inputs": [boards(&[PUZZLE])], "outputs": [{ "name": "logits" }] }), 400, "no output \"logits\""),
        (
            json!({ "inputs": [boards(&[PUZZLE])], "outputs": [{ "name": "preds" }, { "name": "preds" }] }),
            400,
            "stands twice",
        ),
        (json!({}), 400, "inputs"),
        (json!({ "inputs": [{ "name": "inputs", "datatype": "FP16", "shape": [1, 81], "data": [] }] }), 400, "FP16"),
        (json!({ "inputs": [{ "name": "inputs", "datatype": "INT64", "shape": [0, 81], "data": [] }] }), 400, "empty"),
        (json!({ "inputs": [{ "name": "inputs", "datatype": "INT64", "shape": [-1, 81], "data": [] }] }), 400, "shape"),
    ] {
        let (found, text) = error(&infer(&served, body.clone()).await);
        assert!(found == status && text.contains(message), "{found} {text}: {body}");
    }
    assert_eq!(error(&served.post(INFER, "x".repeat(200_000)).await).0, 413);
    assert_eq!(error(&served.post("/v2/models/other/infer", json!({ "inputs": [] }).to_string()).await).0, 404);
    assert_eq!(error(&served.get(INFER).await).0, 405);
    assert_eq!(error(&served.get("/v2/repository/index").await).0, 404);
    let reply = served
        .send(Request::post(INFER).header("inference-header-content-length", "ten").body(Body::empty()).unwrap())
        .await;
    assert!(error(&reply).1.contains("\"ten\""));
    assert!(!reply.header("x-request-id").is_empty());
    // Of all these none reached the engine.
    assert_eq!(served.counters().answered + served.counters().rejected, 0);
    // Elsewhere problems keep their form.
    assert_eq!(served.get("/v2x").await.problem().0, 404);
}

#[tokio::test]
async fn keys_limits_and_the_end_hold_as_everywhere() {
    let guarded = routes(with_keys(parts(oracle()), "a-secret"));
    let request = || Request::post("/v2/models/small/infer").body(Body::from("{}")).unwrap();
    let reply = send(&guarded, request()).await;
    assert_eq!((reply.status, reply.json()["error"].is_string()), (StatusCode::UNAUTHORIZED, true));
    assert_eq!(reply.headers["www-authenticate"], "Bearer realm=\"trm\"");
    for (path, status) in [
        ("/v2", 401),
        ("/v2/models/small", 401),
        ("/v2/models/small/ready", 200),
        ("/v2/health/live", 200),
        ("/v2/health/ready", 200),
    ] {
        assert_eq!(get(&guarded, path).await.status, status, "{path}");
    }

    let open = parts(oracle());
    let full = routes(ServerParts { options: HttpOptions { max_in_flight: 0, ..open.options.clone() }, ..open });
    let reply = send(&full, request()).await;
    assert_eq!((reply.status, reply.json()["error"].is_string()), (StatusCode::TOO_MANY_REQUESTS, true));
    assert!(reply.headers.contains_key("retry-after"));

    let lifecycle = Arc::new(Lifecycle::new(Phase::Ready));
    let draining = routes(ServerParts { lifecycle: lifecycle.clone(), ..parts(oracle()) });
    lifecycle.advance(Phase::Draining);
    let reply = get(&draining, "/v2/health/ready").await;
    assert_eq!((reply.status, reply.json()["error"].is_string()), (StatusCode::SERVICE_UNAVAILABLE, true));
    assert_eq!(get(&draining, "/v2/health/live").await.status, 200);
}
