//! Bodies to try. Each says which status it gets (`x-status`), and a test sends them all.

use serde_json::{Value, json};

/// The puzzle of the English Wikipedia's article on Sudoku.
const SUDOKU: &str = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79";
const MAZE: [&str; 6] = ["######", "#S  G#", "# ## #", "#    #", "## ###", "######"];

/// Bodies for `POST /solve/sudoku`.
pub(in crate::http) fn sudoku_examples() -> Value {
    let contradictory = format!("55{}", &SUDOKU[2..]);
    let flat: Vec<u32> = SUDOKU.chars().map(|cell| cell.to_digit(10).unwrap_or(0)).collect();
    let rows: Vec<&[u32]> = flat.chunks(9).collect();
    json!({
        "text": example("81 characters", 200, json!({ "puzzle": SUDOKU })),
        "rows": example("An array per row", 200, json!({ "puzzle": rows })),
        "flat": example("All cells in one array", 200, json!({ "puzzle": flat })),
        "bare": example("The puzzle alone", 200, json!(SUDOKU)),
        "batch": example("Several puzzles", 200, json!({ "puzzles": [SUDOKU, rows] })),
        "options": example(
            "At most 32 steps, and a trace of all of them",
            200,
            json!({ "puzzle": SUDOKU, "max_steps": 32, "trace": true, "grid": true }),
        ),
        "votes": example(
            "Four chains vote, as the reference evaluates",
            200,
            json!({ "puzzle": SUDOKU, "halting": "fixed", "augmentations": 3, "seed": 7 }),
        ),
        "stream": example("Every step as an event", 200, json!({ "puzzle": SUDOKU, "stream": true })),
        "contradictory": example("Two fives in a row", 422, json!({ "puzzle": contradictory })),
        "too short": example("80 characters", 422, json!({ "puzzle": SUDOKU[1..] })),
        "misspelled": example("An option that there is not", 400, json!({ "puzzle": SUDOKU, "steps": 3 })),
    })
}

/// Bodies for `POST /solve/maze`.
pub(in crate::http) fn maze_examples() -> Value {
    json!({
        "lines": example("A string per row", 200, json!({ "puzzle": MAZE })),
        "text": example("Text with line breaks", 200, json!({ "puzzle": MAZE.join("\n") })),
        "bare": example("The maze alone", 200, json!(MAZE)),
        "small": example("Of any size: walls around it make the model's square", 200, json!({ "puzzle": ["S..", "##G"] })),
        "batch": example("Several mazes", 200, json!({ "puzzles": [MAZE, ["S..", "##G"]] })),
        "stream": example("Every step as an event", 200, json!({ "puzzle": MAZE, "stream": true })),
        "no goal": example("No goal", 422, json!({ "puzzle": ["S..", "..."] })),
        "two starts": example("Two starts", 422, json!({ "puzzle": ["S.S", "..G"] })),
        "separated": example("Walls separate start and goal", 422, json!({ "puzzle": ["S#.", ".#G"] })),
        "strange": example("A character that is not a cell", 400, json!({ "puzzle": ["S?G"] })),
    })
}

/// Bodies for `POST /solve/arc`.
pub(in crate::http) fn arc_examples() -> Value {
    let pair = |input: u8, output: u8| json!({ "input": [[input, 0]], "output": [[0, output]] });
    let task = json!({ "train": [pair(1, 1), pair(2, 2)], "test": [{ "input": [[3, 0]] }] });
    json!({
        "unknown": example("A task that no loaded model was trained on", 422, json!({ "task": task })),
        "no task": example("Options alone", 400, json!({ "augmentations": 8 })),
        "no grid": example("Colours that there are not", 400, json!({ "train": [pair(1, 12)], "test": [] })),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "examples are made where they are handed over")]
fn example(summary: &str, status: u16, value: Value) -> Value {
    json!({ "summary": summary, "value": value, "x-status": status })
}
