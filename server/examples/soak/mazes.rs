//! Clients that send mazes, and what they have to get back.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use datasets::Task;
use datasets::maze::{Cell, Maze, MazeOptions, held_out, parse_cells};
use datasets::picture::Scene;
use hyper::body::Bytes;
use hyper::{Request, header};
use serde_json::{Value, json};

use crate::client;
use crate::kinds::{Outcome, overloaded};

/// Cells per side: what the shipped model was trained for.
const SIDE: usize = 10;

/// Hard mazes of a seed.
pub(crate) fn held_out_mazes(seed: u64, count: usize) -> Result<Vec<Maze>> {
    let options = MazeOptions { size: SIDE, seed, ..MazeOptions::default() };
    Ok(held_out(&options, count)?.into_iter().map(|solved| solved.maze).collect())
}

/// Sends it in JSON.
pub(crate) async fn as_text(address: SocketAddr, maze: &Maze) -> Result<Outcome> {
    let body = json!({ "puzzle": maze.to_grid() }).to_string();
    let request = Request::post("/solve/maze").header(header::CONTENT_TYPE, "application/json");
    solve(address, maze, request.body(body.into())?).await
}

/// Sends it as PNG.
pub(crate) async fn as_picture(address: SocketAddr, maze: &Maze) -> Result<Outcome> {
    let png = Scene::question(Task::Maze(maze.shape()), &maze.to_tokens()).draw()?.to_png()?;
    let request = Request::post("/solve/maze").header(header::CONTENT_TYPE, "image/png");
    solve(address, maze, request.body(png.into())?).await
}

async fn solve(address: SocketAddr, maze: &Maze, request: Request<Bytes>) -> Result<Outcome> {
    let reply = client::send(address, request).await?;
    if let Some(outcome) = overloaded(&reply)? {
        return Ok(outcome);
    }
    let verified = check(maze, &serde_json::from_slice(&reply.body)?)?;
    Ok(Outcome::Answered { puzzles: 1, verified: usize::from(verified) })
}

/// Whether the answer is a verified shortest path through this very maze.
fn check(maze: &Maze, answer: &Value) -> Result<bool> {
    let verified = answer["verified"].as_bool().with_context(|| format!("no answer: {answer}"))?;
    ensure!(answer["solved"] == verified, "solved and verified differ: {answer}");
    if !verified {
        ensure!(answer["solution"].is_null(), "a solution that was not verified: {answer}");
        return Ok(false);
    }
    let lines = match &answer["solution"] {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        other => bail!("the solution is {other}"),
    };
    let tokens: Vec<i32> = parse_cells(&lines)?.1.into_iter().map(Cell::token).collect();
    let length = maze.check_path(&tokens)?;
    ensure!(Some(length) == maze.path_length(), "{lines}\nis no shortest path");
    Ok(true)
}
