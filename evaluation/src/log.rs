//! The log of an evaluation: JSON lines, only ever appended to, a block of puzzles at a time.
//! Owns the file: its header, which pins what is evaluated, its blocks, each sealed by a line with their checksum, and
//! how a killed run goes on; leaves what a record says to its callers.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{EvaluationError, Shard};

/// Version of the layout; 2: Sudoku puzzles are rated.
const FORMAT: u32 = 2;
/// Longest line: a record is a few hundred bytes.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// Most records in a block.
const MAX_BLOCK_LINES: usize = 1 << 16;
/// How a line begins that seals a block.
const SEAL: &str = "{\"block\":";

/// The first line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHeader {
    format: u32,
    /// Which part of the run is in this file.
    pub shard: Shard,
    /// Everything that the results depend on.
    pub run: Value,
}

/// The line that seals a block.
#[derive(Debug, Serialize, Deserialize)]
struct Seal {
    block: u64,
    lines: usize,
    elapsed_us: u64,
    /// Of the block's lines, newlines included.
    sha256: String,
}

/// The last line of a complete log.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    end: u64,
}

/// A log that is written.
#[derive(Debug)]
pub struct EvaluationLog {
    path: PathBuf,
    file: File,
    contents: LogContents,
}

/// What a log holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogContents {
    /// Blocks that are complete.
    pub blocks: BTreeSet<u64>,
    /// Puzzles of the whole run, this part's and the others', once this part is complete.
    pub finished: Option<u64>,
    /// Time that the blocks took.
    pub elapsed: Duration,
    /// Bytes up to which the file is sound.
    sound_bytes: u64,
}

impl EvaluationLog {
    /// Opens or begins the log of `run` at `path`. What a killed process left of its last block is cut off.
    ///
    /// # Errors
    /// When the file belongs to another run (the message names what differs), another process writes it, it is damaged
    /// before its last block, or the disk refuses.
    pub fn open(path: &Path, run: &Value, shard: Shard) -> Result<Self, EvaluationError> {
        let failed = |what: &'static str| move |error: std::io::Error| log_problem(path, format!("{what}: {error}"));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed("cannot create its folder"))?;
        }
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = options.map_err(failed("cannot open"))?;
        file.try_lock().map_err(|_| {
            log_problem(path, "another process is writing it; wait for it, or choose another folder with --out".into())
        })?;
        let header = LogHeader { format: FORMAT, shard, run: run.clone() };
        let contents = if let Some((found, header_bytes)) = read_header(path, &file)? {
            refuse_other_run(path, &found, &header)?;
            scan(path, &file, header_bytes, |_| Ok(()))?
        } else {
            file.set_len(0).map_err(failed("cannot cut"))?;
            let line = line_of(&header);
            file.seek(SeekFrom::Start(0)).map_err(failed("cannot seek in"))?;
            file.write_all(line.as_bytes()).map_err(failed("cannot write"))?;
            LogContents { sound_bytes: line.len() as u64, ..LogContents::default() }
        };
        file.set_len(contents.sound_bytes).map_err(failed("cannot cut"))?;
        file.seek(SeekFrom::End(0)).map_err(failed("cannot seek in"))?;
        file.sync_all().map_err(failed("cannot sync"))?;
        Ok(Self { path: path.to_owned(), file, contents })
    }

    /// What the log holds so far.
    pub fn contents(&self) -> &LogContents {
        &self.contents
    }

    /// Appends a block, which is on disk afterwards or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn append<R: Serialize>(
        &mut self,
        block: u64,
        records: &[R],
        elapsed: Duration,
    ) -> Result<(), EvaluationError> {
        let mut text: String = records.iter().map(line_of).collect();
        let sha256 = hex::encode(Sha256::digest(text.as_bytes()));
        let elapsed_us = elapsed.as_micros() as u64;
        text.push_str(&line_of(&Seal { block, lines: records.len(), elapsed_us, sha256 }));
        self.write(&text)?;
        self.contents.blocks.insert(block);
        self.contents.elapsed += elapsed;
        Ok(())
    }

    /// Notes that this part is complete; the whole run has `puzzles`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(&mut self, puzzles: u64) -> Result<(), EvaluationError> {
        if self.contents.finished.is_none() {
            self.write(&line_of(&End { end: puzzles }))?;
            self.contents.finished = Some(puzzles);
        }
        Ok(())
    }

    fn write(&mut self, text: &str) -> Result<(), EvaluationError> {
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written
            .map_err(|error| log_problem(&self.path, format!("cannot write: {error}; free some space and run again")))
    }
}

/// The header of the log at `path`.
///
/// # Errors
/// When there is none.
pub fn header_of(path: &Path) -> Result<LogHeader, EvaluationError> {
    let file = File::open(path).map_err(|error| log_problem(path, format!("cannot open: {error}")))?;
    let found = read_header(path, &file)?;
    found
        .map(|(header, _)| header)
        .ok_or_else(|| log_problem(path, "is empty; expected the log of an evaluation".into()))
}

/// Hands every record of the complete blocks at `path` to `take`, in the order of the file, and says what the log holds.
///
/// # Errors
/// When the file is not a log, or damaged before its last block.
pub fn read_records<R: DeserializeOwned>(path: &Path, mut take: impl FnMut(R)) -> Result<LogContents, EvaluationError> {
    let file = File::open(path).map_err(|error| log_problem(path, format!("cannot open: {error}")))?;
    let header = read_header(path, &file)?;
    let (_, header_bytes) =
        header.ok_or_else(|| log_problem(path, "is empty; expected the log of an evaluation".into()))?;
    scan(path, &file, header_bytes, |line| {
        take(serde_json::from_str(line).map_err(|error| error.to_string())?);
        Ok(())
    })
}

/// The first place where two runs differ, by its path, with what is there in each.
pub fn difference(left: &Value, right: &Value) -> Option<(String, Value, Value)> {
    if let (Value::Object(left), Value::Object(right)) = (left, right) {
        let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
        return keys.into_iter().find_map(|key| {
            let of = |side: &serde_json::Map<String, Value>| side.get(key).cloned().unwrap_or_default();
            let (path, left, right) = difference(&of(left), &of(right))?;
            Some((if path.is_empty() { key.clone() } else { format!("{key}.{path}") }, left, right))
        });
    }
    (left != right).then(|| (String::new(), left.clone(), right.clone()))
}

fn refuse_other_run(path: &Path, found: &LogHeader, wanted: &LogHeader) -> Result<(), EvaluationError> {
    let advice = "choose another folder with --out, or delete this one";
    if let Some((field, old, new)) = difference(&found.run, &wanted.run) {
        return Err(log_problem(
            path,
            format!("belongs to another run: its `{field}` is {old}, this run's is {new}; {advice}"),
        ));
    }
    if found.shard != wanted.shard {
        let (old, new) = (found.shard, wanted.shard);
        return Err(log_problem(path, format!("holds shard {old}, this run is shard {new}; {advice}")));
    }
    Ok(())
}

/// The header and its length; `None` when the file ends before its first line does.
fn read_header(path: &Path, file: &File) -> Result<Option<(LogHeader, u64)>, EvaluationError> {
    let mut line = Vec::new();
    let mut input = file;
    input
        .seek(SeekFrom::Start(0))
        .and_then(|_| BufReader::new(input).take(MAX_LINE_BYTES).read_until(b'\n', &mut line))
        .map_err(|error| log_problem(path, format!("cannot read: {error}")))?;
    if line.last() != Some(&b'\n') && (line.len() as u64) < MAX_LINE_BYTES {
        return Ok(None);
    }
    let header: LogHeader = serde_json::from_slice(&line).map_err(|error| {
        log_problem(path, format!("its first line is not a header of an evaluation's log: {error}"))
    })?;
    if header.format != FORMAT {
        let problem =
            format!("its format is {}, this program reads {FORMAT}; use the release that wrote it", header.format);
        return Err(log_problem(path, problem));
    }
    Ok(Some((header, line.len() as u64)))
}

/// Reads all lines behind the header and hands those of complete blocks to `take`.
fn scan(
    path: &Path,
    file: &File,
    header_bytes: u64,
    mut take: impl FnMut(&str) -> Result<(), String>,
) -> Result<LogContents, EvaluationError> {
    let mut contents = LogContents { sound_bytes: header_bytes, ..LogContents::default() };
    let mut input = file;
    let failed = |error: std::io::Error| log_problem(path, format!("cannot read: {error}"));
    input.seek(SeekFrom::Start(header_bytes)).map_err(failed)?;
    let mut reader = BufReader::new(input);
    let (mut bytes, mut number, mut pending) = (header_bytes, 1_u64, Vec::<String>::new());
    // The first thing that is wrong; harmless as long as nothing sound follows it.
    let mut fault: Option<(u64, String)> = None;
    loop {
        let mut line = Vec::new();
        bytes += reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line).map_err(failed)? as u64;
        if line.is_empty() {
            return Ok(contents);
        }
        number += 1;
        let is_seal = line.starts_with(SEAL.as_bytes());
        match classify(line, &pending) {
            Ok(Line::Record(text)) if pending.len() < MAX_BLOCK_LINES => pending.push(text),
            Ok(Line::Record(_)) => fault = fault.or(Some((number, "a block that never ends".into()))),
            Ok(sealed) => {
                if let Some((line, what)) = fault {
                    let advice = "delete the file to evaluate its puzzles again, or restore it";
                    return Err(log_problem(path, format!("is damaged: line {line}: {what}; {advice}")));
                }
                for (index, text) in pending.iter().enumerate() {
                    let line = number - (pending.len() - index) as u64;
                    take(text).map_err(|what| log_problem(path, format!("line {line} is not a record: {what}")))?;
                }
                pending.clear();
                contents.sound_bytes = bytes;
                match sealed {
                    Line::Seal(seal) => {
                        contents.blocks.insert(seal.block);
                        contents.elapsed += Duration::from_micros(seal.elapsed_us);
                    }
                    Line::End(end) => contents.finished = Some(end.end),
                    Line::Record(_) => {}
                }
            }
            Err(what) => {
                fault = fault.or(Some((number, what)));
                if is_seal {
                    pending.clear();
                }
            }
        }
    }
}

enum Line {
    Record(String),
    Seal(Seal),
    End(End),
}

/// What a line is; a seal must fit the records before it.
fn classify(line: Vec<u8>, pending: &[String]) -> Result<Line, String> {
    if line.last() != Some(&b'\n') {
        return Err("is cut off".into());
    }
    let text = String::from_utf8(line).map_err(|_| "is not text".to_owned())?;
    if text.starts_with("{\"end\":") {
        let end: End = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        return if pending.is_empty() { Ok(Line::End(end)) } else { Err("an end within a block".into()) };
    }
    if !text.starts_with(SEAL) {
        return if text.starts_with('{') && text.ends_with("}\n") {
            Ok(Line::Record(text))
        } else {
            Err("is not a JSON object".into())
        };
    }
    let seal: Seal = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let mut hash = Sha256::new();
    for text in pending {
        hash.update(text.as_bytes());
    }
    if seal.lines == pending.len() && seal.sha256 == hex::encode(hash.finalize()) {
        return Ok(Line::Seal(seal));
    }
    Err(format!("the {} records of block {} are not those that were written", seal.lines, seal.block))
}

/// One line of JSON.
fn line_of<T: Serialize>(value: &T) -> String {
    let mut line = serde_json::to_string(value).expect("records hold only strings, finite numbers and lists");
    line.push('\n');
    line
}

fn log_problem(path: &Path, problem: String) -> EvaluationError {
    EvaluationError::Log { path: path.to_owned(), problem }
}
