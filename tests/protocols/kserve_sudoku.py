#!/usr/bin/env python3
"""Solves a Sudoku on a running server with KServe's client, with tensors in JSON and as bytes.

    pip install kserve
    cargo run --release -p server -- --bind 127.0.0.1:8080 &
    python3 tests/protocols/kserve_sudoku.py http://127.0.0.1:8080 sudoku
"""
import asyncio
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
SOLUTION = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"


def tokens(puzzle):
    return np.array([[int(cell) + 1 for cell in puzzle.replace(".", "0")]], dtype=np.int64)


async def main():
    url, model = sys.argv[1:]
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(url) and await client.is_server_ready(url)
    assert await client.is_model_ready(url, model)
    for binary in [True, False]:
        board = InferInput("inputs", [1, 81], "INT64")
        board.set_data_from_numpy(tokens(PUZZLE), binary_data=binary)
        request = InferRequest(model, [board], parameters={"max_steps": 16, "binary_data_output": binary})
        answer = await client.infer(url, request, model_name=model)
        outputs = {output.name: output.as_numpy() for output in answer.outputs}
        assert (outputs["preds"] == tokens(SOLUTION)).all() and outputs["verified"].all()
        print("bytes:" if binary else "JSON:", {name: value.tolist() for name, value in outputs.items() if name != "preds"})
    await client.close()


asyncio.run(main())
