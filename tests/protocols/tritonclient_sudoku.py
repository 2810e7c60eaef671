#!/usr/bin/env python3
"""Solves Sudokus on a running server with Triton's client, with tensors in JSON and as bytes.

    pip install 'tritonclient[http]'
    cargo run --release -p server -- --bind 127.0.0.1:8080 &
    python3 tests/protocols/tritonclient_sudoku.py 127.0.0.1:8080 sudoku
"""
import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
SOLUTION = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
DTYPES = {"INT8": np.int8, "INT32": np.int32, "INT64": np.int64, "UINT8": np.uint8}


def tokens(puzzle):
    return np.array([int(cell) + 1 for cell in puzzle.replace(".", "0")])


def ask(client, model, datatype, shape, binary, **options):
    board = triton.InferInput("inputs", shape, datatype)
    board.set_data_from_numpy(np.tile(tokens(PUZZLE), shape[0]).astype(DTYPES[datatype]).reshape(shape), binary_data=binary)
    names = ["preds", "q_halt_logits", "verified", "steps"]
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
    answer = client.infer(model, [board], outputs=outputs, request_id="7", **options)
    assert answer.get_response()["id"] == "7"
    return [answer.as_numpy(name) for name in names]


def main():
    url, model = sys.argv[1:]
    client = triton.InferenceServerClient(url)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata(model)
    print(metadata)
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["inputs"]

    solution = tokens(SOLUTION)
    for binary in [True, False]:
        for datatype in DTYPES:
            for shape in [[1, 81], [3, 9, 9]]:
                preds, q, verified, steps = ask(client, model, datatype, shape, binary)
                assert (preds.dtype, q.dtype, verified.dtype, steps.dtype) == (np.int64, np.float32, np.bool_, np.int64)
                assert list(preds.shape) == shape and q.shape == verified.shape == steps.shape == (shape[0],)
                assert (preds.reshape(-1, 81) == solution).all() and verified.all() and (steps >= 1).all()
    print("solved with", ", ".join(DTYPES), "as bytes and in JSON; steps", steps, "q", q)

    # Without a list of outputs the client asks for all of them, as bytes.
    board = triton.InferInput("inputs", [1, 81], "INT64")
    board.set_data_from_numpy(tokens(PUZZLE)[None].astype(np.int64))
    answer = client.infer(model, [board], request_compression_algorithm="gzip", timeout=20_000_000)
    assert (answer.as_numpy("preds") == solution).all() and answer.as_numpy("verified").all()

    # Parameters are the inference policy.
    *_, steps = ask(client, model, "INT64", [1, 81], True, parameters={"max_steps": 1, "halting": "fixed"})
    assert steps == 1
    for wrong in [{"max_steps": 0}, {"unknown": 1}]:
        try:
            ask(client, model, "INT64", [1, 81], True, parameters=wrong)
            raise AssertionError(f"{wrong} was accepted")
        except InferenceServerException as error:
            print("refused:", error)


main()
