//! The parsers of bodies on whatever clients may send: they refuse, they never panic, and what they accept they write
//! back as it was.

use proptest::prelude::*;
use serde_json::{Value, json};
use server::http::SolveOptions;
use server::http::body::{MazePuzzle, Puzzle, SolveRequest, SudokuPuzzle};
use server::http::open_inference::InferRequest;

fn parse<P: Puzzle>(body: &[u8]) {
    if let Ok(request) = SolveRequest::<P>::parse(body, SolveOptions::default(), 4) {
        assert!((1..=4).contains(&request.puzzles.len()));
        for puzzle in request.puzzles {
            let givens = puzzle.givens();
            assert_eq!(givens.len() % puzzle.columns(), 0);
            let _ = puzzle.check();
            let written = serde_json::to_value(puzzle.write(&givens)).unwrap();
            let again = P::from_json(&written).unwrap();
            assert_eq!(again.givens(), givens);
            let (task, shown) = puzzle.scene(&givens);
            assert_eq!(shown.len(), task.dims().1);
        }
    }
}

/// What was read holds as many elements as its shapes say, and no more than the body has bytes for.
fn parse_tensors(body: &[u8], header_length: Option<usize>) {
    if let Ok(request) = InferRequest::parse(body, header_length) {
        for input in request.inputs {
            assert_eq!(input.values.len(), input.shape.iter().product::<usize>());
            assert!(input.values.len() <= body.len());
        }
    }
}

/// JSON that looks like a request for inference, and bytes behind it.
fn inferences() -> impl Strategy<Value = (Value, Vec<u8>)> {
    let side = prop_oneof![0..4_i64, Just(81), any::<i64>()];
    let datatype = prop_oneof![Just("INT64"), Just("INT8"), Just("UINT16"), Just("FP32"), Just("BYTES")];
    let data = prop_oneof![
        prop::collection::vec(any::<i64>(), 0..6).prop_map(Value::from),
        Just(json!([[1, 2], [3, 4]])),
        Just(json!([1.5, null])),
        Just(Value::Null)
    ];
    let size = prop::option::of(prop_oneof![0..40_u64, any::<u64>()]);
    let input = (prop::collection::vec(side, 0..4), datatype, prop::option::of(data), size).prop_map(
        |(shape, datatype, data, size)| {
            let mut input = json!({ "name": "inputs", "shape": shape, "datatype": datatype });
            if let Some(data) = data {
                input["data"] = data;
            }
            if let Some(size) = size {
                input["parameters"] = json!({ "binary_data_size": size });
            }
            input
        },
    );
    let parameter = prop_oneof![Just("timeout"), Just("max_steps"), Just("binary_data_output"), Just("other")];
    let parameters = prop::option::of((parameter, any::<u64>()));
    (prop::collection::vec(input, 0..4), parameters, prop::collection::vec(any::<u8>(), 0..40)).prop_map(
        |(inputs, parameters, bytes)| {
            let parameters: Value =
                parameters.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
            (json!({ "inputs": inputs, "parameters": parameters }), bytes)
        },
    )
}

/// Read, all four are free cells; written back, a line of blanks would not show them.
#[test]
fn a_maze_of_path_cells_alone_is_written_back() {
    for body in [r#"{"puzzle":"oooo"}"#, "oooo"] {
        assert!(SolveRequest::<MazePuzzle>::parse(body.as_bytes(), SolveOptions::default(), 4).is_ok(), "{body}");
        parse::<MazePuzzle>(body.as_bytes());
    }
}

/// JSON that looks like a request.
fn requests() -> impl Strategy<Value = Value> {
    let text = prop_oneof!["[.0-9A-G]{0,90}", "[# .SGo\n]{0,60}", any::<String>()];
    let cell = prop_oneof![(0..20_i64).prop_map(Value::from), any::<f64>().prop_map(Value::from), Just(Value::Null)];
    let row = prop::collection::vec(cell, 0..17).prop_map(Value::from);
    let lines = prop::collection::vec("[# .SGo]{0,12}".prop_map(Value::from), 0..12).prop_map(Value::from);
    let puzzle = prop_oneof![
        text.prop_map(Value::from),
        row.clone(),
        lines,
        prop::collection::vec(row, 0..17).prop_map(Value::from)
    ];
    let option =
        prop_oneof![Just("max_steps"), Just("halting"), Just("sigma"), Just("stream"), Just("model"), Just("other")];
    let value = prop_oneof![any::<i64>().prop_map(Value::from), any::<bool>().prop_map(Value::from), Just(json!("q"))];
    (prop::collection::vec(puzzle, 0..6), any::<bool>(), prop::option::of((option, value))).prop_map(
        |(puzzles, is_batch, option)| {
            let mut request = match puzzles.first() {
                Some(first) if !is_batch => json!({ "puzzle": first }),
                _ => json!({ "puzzles": puzzles }),
            };
            if let Some((name, value)) = option {
                request[name] = value;
            }
            request
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_refused_or_read(body in prop::collection::vec(any::<u8>(), 0..400)) {
        parse::<SudokuPuzzle>(&body);
        parse::<MazePuzzle>(&body);
        parse::<MazePuzzle>(&[b"\x89PNG\r\n\x1a\n", body.as_slice()].concat());
    }

    #[test]
    fn any_request_is_refused_or_read(request in requests()) {
        let body = request.to_string();
        parse::<SudokuPuzzle>(body.as_bytes());
        parse::<MazePuzzle>(body.as_bytes());
        for key in ["puzzle", "puzzles"] {
            parse::<SudokuPuzzle>(request[key].to_string().as_bytes());
            parse::<MazePuzzle>(request[key].to_string().as_bytes());
        }
    }

    #[test]
    fn any_text_is_refused_or_read(text in prop_oneof!["[.0-9|+ \n-]{0,110}", "[# .SGo\r\n]{0,110}"]) {
        parse::<SudokuPuzzle>(text.as_bytes());
        parse::<MazePuzzle>(text.as_bytes());
    }

    #[test]
    fn any_tensors_are_refused_or_read((head, bytes) in inferences(), off in 0..3_usize, noise in any::<[u8; 4]>()) {
        let head = head.to_string();
        let mut body = [head.as_bytes(), &bytes].concat();
        parse_tensors(&body, Some((head.len() + off).saturating_sub(1)));
        parse_tensors(&body, None);
        parse_tensors(head.as_bytes(), None);
        let place = usize::from(noise[0]) * body.len() / 256;
        body[place] = noise[1];
        parse_tensors(&body, Some(head.len()));
        parse_tensors(&noise, Some(usize::from(noise[0] % 8)));
    }

    #[test]
    fn any_query_is_refused_or_read(query in "[a-z_]{0,10}(=[-0-9a-z.%&+]{0,20}){0,3}") {
        if let Ok(uri) = format!("/solve/maze?{query}").parse() {
            let _ = SolveOptions::from_query(&uri);
        }
    }
}
