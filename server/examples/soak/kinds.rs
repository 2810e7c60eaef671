//! The kinds of clients: what each sends, and what it has to get back.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use datasets::maze::Maze;
use datasets::sudoku::{Board, GeneratorOptions, held_out};
use hyper::{Request, header};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{self, Reply};
use crate::mazes;

/// A kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// One puzzle, as most clients send it.
    Puzzle,
    /// Several puzzles in one body.
    Batch,
    /// Server-sent events.
    Stream,
    /// The solved board as PNG.
    Picture,
    /// The steps as GIF.
    Animation,
    /// More steps, copies and noise than the default.
    Deep,
    /// A maze as text.
    Maze,
    /// A maze as a picture.
    MazePicture,
    /// Goes away before the answer.
    Vanishing,
    /// Goes away in the middle of a stream.
    VanishingStream,
    /// Wants the answer sooner than it may come.
    Hurried,
    /// Bodies that are not a request.
    Malformed,
    /// Puzzles without a solution.
    Contradictory,
    /// Bodies beyond the limit.
    Huge,
    /// A header that never ends.
    SlowHeader,
    /// A body that never ends.
    SlowBody,
}

/// How a client fared.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Its puzzles were answered, so many of them verified.
    Answered { puzzles: usize, verified: usize },
    /// 429 with `Retry-After`.
    Overloaded,
    /// Refused, as it should be.
    Refused,
    /// It went away or was cut off, as it should be.
    Gone,
    /// The connection was refused, which is right while a server is dead and at no other time.
    NobodyListened(String),
    /// Its connection broke, which is right when a server died that had it and at no other time.
    CutOff(String),
    /// A promise was broken.
    Broken(String),
}

/// An endless supply of puzzles, no two alike within hours.
pub(crate) struct Puzzles {
    boards: Vec<Board>,
    mazes: Vec<Maze>,
    next: AtomicUsize,
}

/// Share of each kind in a thousand requests, and puzzles that it means to have solved.
const MIX: [(Kind, u64, usize); 16] = [
    (Kind::Puzzle, 440, 1),
    (Kind::Batch, 60, BATCH),
    (Kind::Stream, 80, 1),
    (Kind::Picture, 30, 1),
    (Kind::Animation, 20, 1),
    (Kind::Deep, 20, 1),
    (Kind::Maze, 50, 1),
    (Kind::MazePicture, 30, 1),
    (Kind::Vanishing, 80, 1),
    (Kind::VanishingStream, 20, 1),
    (Kind::Hurried, 30, 1),
    (Kind::Malformed, 50, 0),
    (Kind::Contradictory, 40, 0),
    (Kind::Huge, 20, 0),
    (Kind::SlowHeader, 15, 0),
    (Kind::SlowBody, 15, 0),
];
const BATCH: usize = 8;
const PUZZLES: usize = 20_000;
const MAZES: usize = 2_000;

impl Puzzles {
    pub(crate) fn new(seed: u64) -> Result<Self> {
        let options = GeneratorOptions { seed, extra_clues: (0, 20), ..GeneratorOptions::default() };
        let boards = held_out(&options, PUZZLES)?.into_iter().map(|drawn| drawn.puzzle).collect();
        Ok(Self { boards, mazes: mazes::held_out_mazes(seed, MAZES)?, next: AtomicUsize::new(0) })
    }

    fn take(&self) -> &Board {
        &self.boards[self.next.fetch_add(1, Ordering::Relaxed) % self.boards.len()]
    }

    fn take_maze(&self) -> &Maze {
        &self.mazes[self.next.fetch_add(1, Ordering::Relaxed) % self.mazes.len()]
    }
}

impl Kind {
    /// All kinds in the order of the report.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        MIX.iter().map(|(kind, ..)| *kind)
    }

    /// The kind that a uniform random number falls on.
    pub(crate) fn draw(random: u64) -> Self {
        let total: u64 = MIX.iter().map(|(_, share, _)| share).sum();
        let mut rest = random % total;
        for (kind, share, _) in MIX {
            if rest < share {
                return kind;
            }
            rest -= share;
        }
        Self::Puzzle
    }
}

/// Puzzles of the average request.
pub(crate) fn mean_puzzles() -> f64 {
    let puzzles: u64 = MIX.iter().map(|(_, share, puzzles)| share * *puzzles as u64).sum();
    puzzles as f64 / MIX.iter().map(|(_, share, _)| share).sum::<u64>() as f64
}

/// Plays one client to its end.
pub(crate) async fn run(kind: Kind, address: SocketAddr, puzzles: &Puzzles) -> Outcome {
    play(kind, address, puzzles).await.unwrap_or_else(|error| {
        let what = format!("{kind:?}: {error:#}");
        if client::is_refused(&error) {
            Outcome::NobodyListened(what)
        } else if client::is_transport(&error) {
            Outcome::CutOff(what)
        } else {
            Outcome::Broken(what)
        }
    })
}

async fn play(kind: Kind, address: SocketAddr, puzzles: &Puzzles) -> Result<Outcome> {
    match kind {
        Kind::Puzzle => solve(address, puzzles.take(), json!({})).await,
        Kind::Deep => {
            let options = json!({ "max_steps": 32, "augmentations": 4, "rollouts": 2, "sigma": 0.2, "depth": 48 });
            solve(address, puzzles.take(), options).await
        }
        Kind::Maze => mazes::as_text(address, puzzles.take_maze()).await,
        Kind::MazePicture => mazes::as_picture(address, puzzles.take_maze()).await,
        Kind::Hurried => hurried(address, puzzles.take()).await,
        Kind::Batch => batch(address, puzzles).await,
        Kind::Stream => stream(address, puzzles.take()).await,
        Kind::Picture => picture(address, puzzles.take(), "image/png", b"\x89PNG").await,
        Kind::Animation => picture(address, puzzles.take(), "image/gif", b"GIF89a").await,
        Kind::Vanishing => vanish(address, puzzles.take(), false).await,
        Kind::VanishingStream => vanish(address, puzzles.take(), true).await,
        Kind::Malformed => refused(address, "{\"puzzle\": [[1,2", 400).await,
        Kind::Contradictory => refused(address, &format!("\"11{}\"", ".".repeat(79)), 422).await,
        Kind::Huge => huge(address).await,
        Kind::SlowHeader => slow(address, "POST /solve/sudoku HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", "a").await,
        Kind::SlowBody => {
            slow(address, "POST /solve/sudoku HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n", " ").await
        }
    }
}

fn post(body: &Value) -> Result<Request<String>> {
    Ok(Request::post("/solve/sudoku").header(header::CONTENT_TYPE, "application/json").body(body.to_string())?)
}

async fn solve(address: SocketAddr, puzzle: &Board, mut body: Value) -> Result<Outcome> {
    body["puzzle"] = puzzle.to_string().into();
    let reply = client::send(address, post(&body)?).await?;
    if let Some(outcome) = overloaded(&reply)? {
        return Ok(outcome);
    }
    let verified = check(puzzle, &serde_json::from_slice(&reply.body)?)?;
    Ok(Outcome::Answered { puzzles: 1, verified: usize::from(verified) })
}

/// An answer in time, or the word that there was none.
async fn hurried(address: SocketAddr, puzzle: &Board) -> Result<Outcome> {
    let reply = client::send(address, post(&json!({ "puzzle": puzzle.to_string(), "deadline_ms": 100 }))?).await?;
    if reply.status == 504 {
        let problem = problem(&reply)?;
        ensure!(problem["type"].as_str().is_some_and(|kind| kind.ends_with(":timeout")), "504 with {problem}");
        return Ok(Outcome::Refused);
    }
    if let Some(outcome) = overloaded(&reply)? {
        return Ok(outcome);
    }
    let verified = check(puzzle, &serde_json::from_slice(&reply.body)?)?;
    Ok(Outcome::Answered { puzzles: 1, verified: usize::from(verified) })
}

async fn batch(address: SocketAddr, puzzles: &Puzzles) -> Result<Outcome> {
    let boards: Vec<&Board> = (0..BATCH).map(|_| puzzles.take()).collect();
    let texts: Vec<String> = boards.iter().map(ToString::to_string).collect();
    let reply = client::send(address, post(&json!({ "puzzles": texts }))?).await?;
    if let Some(outcome) = overloaded(&reply)? {
        return Ok(outcome);
    }
    let body: Value = serde_json::from_slice(&reply.body)?;
    let results = body["results"].as_array().context("no results")?;
    ensure!(results.len() == boards.len(), "{} results for {} puzzles", results.len(), boards.len());
    let mut verified = 0;
    for (board, result) in boards.into_iter().zip(results) {
        verified += usize::from(check(board, result)?);
    }
    Ok(Outcome::Answered { puzzles: BATCH, verified })
}

async fn stream(address: SocketAddr, puzzle: &Board) -> Result<Outcome> {
    let reply = client::send(address, post(&json!({ "puzzle": puzzle.to_string(), "stream": true }))?).await?;
    if let Some(outcome) = overloaded(&reply)? {
        return Ok(outcome);
    }
    let text = str::from_utf8(&reply.body)?;
    let (mut answers, mut steps) = (Vec::new(), 0);
    for event in text.split("\n\n") {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        match (field("event:"), field("data:")) {
            (Some("step"), Some(_)) => steps += 1,
            (Some("answer"), Some(data)) => answers.push(serde_json::from_str::<Value>(data)?),
            (Some(other), data) => bail!("event {other}: {data:?}"),
            (None, _) => {}
        }
    }
    ensure!(answers.len() == 1 && steps > 0, "{} answers after {steps} steps in a stream", answers.len());
    Ok(Outcome::Answered { puzzles: 1, verified: usize::from(check(puzzle, &answers[0])?) })
}

async fn picture(address: SocketAddr, puzzle: &Board, accept: &str, magic: &[u8]) -> Result<Outcome> {
    let request = Request::post("/solve/sudoku").header(header::ACCEPT, accept).body(puzzle.to_string())?;
    let reply = client::send(address, request).await?;
    if let Some(outcome) = overloaded(&reply)? {
        return Ok(outcome);
    }
    ensure!(reply.body.starts_with(magic), "{accept} begins with {:?}", &reply.body[..reply.body.len().min(8)]);
    let verified = reply.headers.get("x-trm-verified").context("no x-trm-verified")?;
    Ok(Outcome::Answered { puzzles: 1, verified: usize::from(verified == "true") })
}

/// Sends a whole request and closes the connection after a moment.
async fn vanish(address: SocketAddr, puzzle: &Board, is_stream: bool) -> Result<Outcome> {
    let body = json!({ "puzzle": puzzle.to_string(), "stream": is_stream }).to_string();
    let head = format!("POST /solve/sudoku HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(format!("{head}{body}").as_bytes()).await?;
    let patience = 1 + u64::from(puzzle.cells()[0]) * 20;
    tokio::time::sleep(Duration::from_millis(patience)).await;
    Ok(Outcome::Gone)
}

async fn refused(address: SocketAddr, body: &str, expected: u16) -> Result<Outcome> {
    let reply = client::send(address, Request::post("/solve/sudoku").body(body.to_owned())?).await?;
    if let Some(outcome) = overloaded_status(&reply)? {
        return Ok(outcome);
    }
    ensure!(reply.status == expected, "status {} where {expected} was due", reply.status);
    problem(&reply)?;
    Ok(Outcome::Refused)
}

/// Four megabytes. The server may answer or hang up as soon as it has seen enough.
async fn huge(address: SocketAddr) -> Result<Outcome> {
    let request = Request::post("/solve/sudoku").body(" ".repeat(4 << 20))?;
    match client::send(address, request).await {
        Ok(reply) => match overloaded_status(&reply)? {
            Some(outcome) => Ok(outcome),
            None if reply.status == 413 => Ok(Outcome::Refused),
            None => bail!("status {} where 413 was due", reply.status),
        },
        Err(error) if client::is_refused(&error) => Err(error),
        Err(_) => Ok(Outcome::Gone),
    }
}

/// Sends a byte a second until it is cut off.
async fn slow(address: SocketAddr, begin: &str, more: &str) -> Result<Outcome> {
    const PATIENCE: usize = 90;
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(begin.as_bytes()).await?;
    let mut buffer = [0; 4096];
    for _ in 0..PATIENCE {
        tokio::select! {
            read = socket.read(&mut buffer) => {
                let read = read.unwrap_or(0);
                let head = String::from_utf8_lossy(&buffer[..read]);
                let is_fine = read == 0 || ["408", "429"].iter().any(|status| head.contains(status));
                ensure!(is_fine, "a slow client got {head:?}");
                return Ok(Outcome::Gone);
            }
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                if socket.write_all(more.as_bytes()).await.is_err() {
                    return Ok(Outcome::Gone);
                }
            }
        }
    }
    bail!("a client that sends a byte a second was not cut off in {PATIENCE} s")
}

/// Whether the answer is a verified one of this very puzzle.
fn check(puzzle: &Board, answer: &Value) -> Result<bool> {
    let verified = answer["verified"].as_bool().with_context(|| format!("no answer: {answer}"))?;
    ensure!(answer["solved"] == verified, "solved and verified differ: {answer}");
    if !verified {
        ensure!(answer["solution"].is_null(), "a solution that was not verified: {answer}");
        return Ok(false);
    }
    let solution = Board::parse(answer["solution"].as_str().context("no solution")?)?;
    ensure!(solution.is_solution_of(puzzle), "{solution} is not a solution of {puzzle}");
    Ok(true)
}

/// `None` for 200; 429 with `Retry-After` is an outcome, everything else is a broken promise.
pub(crate) fn overloaded(reply: &Reply) -> Result<Option<Outcome>> {
    match overloaded_status(reply)? {
        None if reply.status == 200 => Ok(None),
        None => bail!("status {}: {}", reply.status, String::from_utf8_lossy(&reply.body)),
        some => Ok(some),
    }
}

fn overloaded_status(reply: &Reply) -> Result<Option<Outcome>> {
    if reply.status != 429 {
        return Ok(None);
    }
    problem(reply)?;
    let seconds = reply.headers.get(header::RETRY_AFTER).context("no Retry-After")?.to_str()?;
    ensure!(seconds.parse::<u64>().is_ok_and(|seconds| seconds >= 1), "Retry-After: {seconds}");
    Ok(Some(Outcome::Overloaded))
}

/// The body of an answer that is an error.
fn problem(reply: &Reply) -> Result<Value> {
    let content_type = reply.headers.get(header::CONTENT_TYPE).context("no content type")?;
    ensure!(content_type == "application/problem+json", "{content_type:?}");
    let problem: Value = serde_json::from_slice(&reply.body)?;
    ensure!(problem["status"] == reply.status, "{problem}");
    Ok(problem)
}
