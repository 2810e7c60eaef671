//! The forms in which people send ARC tasks: ARC's own JSON, a name, both, alone or many at once.
//! A pure function of untrusted bytes; leaves which task is meant to [`engine::arc`].

use datasets::arc::SentTask;
use serde_json::{Map, Value};

use crate::http::body::Content;
use crate::http::{Problem, SolveOptions};

/// A task as it was sent: at least one of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArcQuestion {
    /// Name of a task that the model knows.
    pub task_id: Option<String>,
    /// Demonstrations and test inputs.
    pub task: Option<SentTask>,
}

/// A whole request for ARC.
#[derive(Debug, Clone)]
pub struct ArcRequest {
    /// The tasks, at least one.
    pub questions: Vec<ArcQuestion>,
    /// Whether the answer is one object or a list.
    pub is_batch: bool,
    /// Everything else that was said.
    pub options: SolveOptions,
}

/// The form that error messages recommend.
const EXPECTED: &str = "expected {\"task\": {\"train\": [{\"input\": [[0, 1], …], \"output\": …}, …], \"test\": \
                        [{\"input\": …}]}} in ARC's own form, or {\"task_id\": \"…\"} of a task that the model knows";

/// Demonstrations and test inputs of one task; ARC's tasks have at most ten and four.
const MAX_PAIRS: usize = 64;
/// A name and its augmentation.
const MAX_NAME_BYTES: usize = 256;

impl ArcRequest {
    /// Reads a body; the options of the query string hold where the body says nothing.
    ///
    /// # Errors
    /// When the body is in no form that is read, or holds more than `max_puzzles` tasks.
    pub fn parse(body: &[u8], query: SolveOptions, max_puzzles: usize) -> Result<Self, Problem> {
        match Content::of(body, EXPECTED)? {
            Content::Fields(mut fields) => {
                let (questions, is_batch) = questions_of(&mut fields, max_puzzles)?;
                Ok(Self { questions, is_batch, options: SolveOptions::from_fields(fields)?.or(query) })
            }
            Content::Json(value) => Ok(Self::single(question_of(value)?, query)),
            Content::Text(name) => Ok(Self::single(named(name.trim())?, query)),
            Content::Picture(_) => {
                Err(Problem::UnsupportedMedia("an ARC task is not read from a picture; send its JSON".into()))
            }
        }
    }

    fn single(question: ArcQuestion, options: SolveOptions) -> Self {
        Self { questions: vec![question], is_batch: false, options }
    }
}

/// Takes the tasks out of a JSON object; the second value says whether they came as a list.
fn questions_of(fields: &mut Map<String, Value>, max_puzzles: usize) -> Result<(Vec<ArcQuestion>, bool), Problem> {
    match (fields.remove("puzzle"), fields.remove("puzzles")) {
        (None, None) => Ok((vec![question_of_fields(fields)?], false)),
        (Some(puzzle), None) => Ok((vec![question_of(puzzle)?], false)),
        (Some(_), Some(_)) => Err(Problem::Malformed("send either \"puzzle\" or \"puzzles\", not both".into())),
        (None, Some(Value::Array(puzzles))) if puzzles.is_empty() => {
            Err(Problem::Malformed("\"puzzles\" is empty; send at least one".into()))
        }
        (None, Some(Value::Array(puzzles))) if puzzles.len() > max_puzzles => {
            Err(Problem::TooManyPuzzles { found: puzzles.len(), limit: max_puzzles })
        }
        (None, Some(Value::Array(puzzles))) => {
            let numbered = puzzles.into_iter().enumerate();
            let questions = numbered.map(|(index, value)| question_of(value).map_err(|error| error.in_puzzle(index)));
            Ok((questions.collect::<Result<_, _>>()?, true))
        }
        (None, Some(_)) => Err(Problem::Malformed(format!("\"puzzles\" is not a list; {EXPECTED}"))),
    }
}

/// A task in any of its forms, without options.
fn question_of(value: Value) -> Result<ArcQuestion, Problem> {
    match value {
        Value::String(name) => named(&name),
        Value::Object(mut fields) => {
            let question = question_of_fields(&mut fields)?;
            match fields.keys().next() {
                None => Ok(question),
                Some(other) => {
                    let other: String = other.chars().take(80).collect();
                    Err(Problem::Malformed(format!("{other:?} is nothing that a task has; {EXPECTED}")))
                }
            }
        }
        _ => Err(Problem::Malformed(format!("this is not a task; {EXPECTED}"))),
    }
}

/// Takes what describes a task out of an object.
fn question_of_fields(fields: &mut Map<String, Value>) -> Result<ArcQuestion, Problem> {
    let task_id = match fields.remove("task_id") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(checked_name(name)?),
        Some(_) => return Err(Problem::Malformed(format!("\"task_id\" is not a string; {EXPECTED}"))),
    };
    let bare: Map<String, Value> =
        ["train", "test"].iter().filter_map(|&key| Some((key.to_owned(), fields.remove(key)?))).collect();
    if !bare.is_empty() {
        // Files of tasks say more of themselves: names, identifiers, comments.
        fields.retain(|key, _| SolveOptions::may_mean(key) || key == "task");
    }
    let task = match (fields.remove("task"), bare.is_empty()) {
        (None | Some(Value::Null), true) => None,
        (None, false) => Some(Value::Object(bare)),
        (Some(task), true) => Some(task),
        (Some(_), false) => {
            return Err(Problem::Malformed("send the pairs either in \"task\" or beside the options, not both".into()));
        }
    };
    if task.is_none() && task_id.is_none() {
        return Err(Problem::Malformed(format!("there is no task; {EXPECTED}")));
    }
    Ok(ArcQuestion { task_id, task: task.map(sent_task).transpose()? })
}

fn sent_task(value: Value) -> Result<SentTask, Problem> {
    let task: SentTask = serde_json::from_value(value)
        .map_err(|error| Problem::Malformed(format!("this is not an ARC task: {error}; {EXPECTED}")))?;
    for (kind, found) in [("train", task.task.train.len()), ("test", task.task.test.len())] {
        if found > MAX_PAIRS {
            return Err(Problem::Malformed(format!("expected 1 to {MAX_PAIRS} {kind} pairs, found {found}")));
        }
    }
    Ok(task)
}

fn named(name: &str) -> Result<ArcQuestion, Problem> {
    Ok(ArcQuestion { task_id: Some(checked_name(name.to_owned())?), task: None })
}

fn checked_name(name: String) -> Result<String, Problem> {
    if (1..=MAX_NAME_BYTES).contains(&name.len()) {
        return Ok(name);
    }
    let found = name.len();
    Err(Problem::Malformed(format!("\"task_id\": expected 1 to {MAX_NAME_BYTES} bytes, found {found}")))
}
