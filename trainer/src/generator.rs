//! Which puzzles a run draws instead of reading them: the task and its options, and evaluation puzzles of the same kind.
//! Owns the keys `generator.*`; leaves drawing to `datasets`.

use datasets::batch::TrainingSource;
use datasets::maze::{Cell, MazeOptions, MazeSource};
use datasets::sudoku::{GeneratedSource, GeneratorOptions};
use datasets::{DatasetError, Task, maze, sudoku};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::TrainError;

/// Endless generated puzzles of one task; written as the options of the task with `task` beside them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub enum Generator {
    /// `generator.task=sudoku`, which is understood where `task` is missing.
    Sudoku(GeneratorOptions),
    /// `generator.task=maze`
    Maze(MazeOptions),
}

/// Input and label tokens of a puzzle, `[seq_len]` each.
pub type TokenPair = (Vec<i32>, Vec<i32>);

impl Generator {
    /// The keys of all tasks with their defaults. `size` is null: a generator is wanted once it or another task is set.
    pub(crate) fn defaults() -> Map<String, Value> {
        let mut keys = Map::from(Self::Sudoku(GeneratorOptions::default()));
        for (key, value) in Map::from(Self::Maze(MazeOptions::default())) {
            keys.entry(key).or_insert(value);
        }
        keys.insert("size".to_owned(), Value::Null);
        keys
    }

    /// The keys of the chosen task out of those of all tasks; `None` where no generator is wanted.
    ///
    /// # Errors
    /// When the task has no generator or a key of another task was set.
    pub(crate) fn select(mut keys: Map<String, Value>) -> Result<Option<Map<String, Value>>, TrainError> {
        let own = match keys["task"].as_str() {
            Some("sudoku") if keys["size"].is_null() => return Ok(None),
            Some("sudoku") => Map::from(Self::Sudoku(GeneratorOptions::default())),
            Some("maze") => Map::from(Self::Maze(MazeOptions::default())),
            _ => {
                let problem = format!("is {}, puzzles are generated for sudoku and maze", keys["task"]);
                return Err(TrainError::setting("generator.task", problem));
            }
        };
        if keys["size"].is_null() {
            keys.insert("size".to_owned(), own["size"].clone());
        }
        let defaults = Self::defaults();
        let unexpected = keys.iter().find(|(key, value)| !own.contains_key(*key) && defaults.get(*key) != Some(*value));
        if let Some((key, value)) = unexpected {
            let problem = format!("is {value}, which generator.task={} does not have", keys["task"]);
            return Err(TrainError::setting(format!("generator.{key}"), problem));
        }
        keys.retain(|key, _| own.contains_key(key));
        Ok(Some(keys))
    }

    /// The default puzzles of a task; `None` where nothing draws them.
    pub fn of_task(task: Task) -> Option<Self> {
        match task {
            Task::Sudoku(shape) => {
                Some(Self::Sudoku(GeneratorOptions { size: shape.size(), ..GeneratorOptions::default() }))
            }
            Task::Maze(shape) => {
                let options = MazeOptions { size: shape.side(), ..MazeOptions::default() };
                options.validate().is_ok().then_some(Self::Maze(options))
            }
            Task::Arc => None,
        }
    }

    /// Checks every option.
    ///
    /// # Errors
    /// When no such puzzle can exist.
    pub fn validate(&self) -> Result<(), DatasetError> {
        match self {
            Self::Sudoku(options) => options.validate().map(|_| ()).map_err(DatasetError::from),
            Self::Maze(options) => options.validate().map_err(DatasetError::from),
        }
    }

    /// The same puzzles for a run of this seed.
    #[must_use]
    pub fn seeded(&self, seed: u64) -> Self {
        let mut seeded = self.clone();
        match &mut seeded {
            Self::Sudoku(options) => options.seed ^= seed,
            Self::Maze(options) => options.seed ^= seed,
        }
        seeded
    }

    /// The same puzzles on boards of `size` cells a side.
    #[must_use]
    pub fn of_size(&self, size: usize) -> Self {
        let mut sized = self.clone();
        match &mut sized {
            Self::Sudoku(options) => options.size = size,
            Self::Maze(options) => options.size = size,
        }
        sized
    }

    /// The training source for one rank of `world_size`.
    ///
    /// # Errors
    /// When the options are invalid.
    pub fn source(&self, rank: usize, world_size: usize) -> Result<Box<dyn TrainingSource>, DatasetError> {
        Ok(match self {
            Self::Sudoku(options) => Box::new(GeneratedSource::new(options.clone(), rank, world_size)?),
            Self::Maze(options) => Box::new(MazeSource::new(options, rank, world_size)?),
        })
    }

    /// The first `count` evaluation puzzles, which no training seed draws.
    ///
    /// # Errors
    /// When the options are invalid.
    pub fn held_out(&self, count: usize) -> Result<Vec<TokenPair>, DatasetError> {
        let tokens = |cells: &[Cell]| cells.iter().map(|cell| cell.token()).collect();
        Ok(match self {
            Self::Sudoku(options) => sudoku::held_out(options, count)?
                .iter()
                .map(|held_out| (held_out.puzzle.to_tokens(), held_out.solution.to_tokens()))
                .collect(),
            Self::Maze(options) => maze::held_out(options, count)?
                .iter()
                .map(|solved| (solved.maze.to_tokens(), tokens(&solved.answer())))
                .collect(),
        })
    }

    /// Task and size in a word: `sudoku-9x9`.
    pub fn task_name(&self) -> String {
        match self {
            Self::Sudoku(options) => format!("sudoku-{0}x{0}", options.size),
            Self::Maze(options) => format!("maze-{0}x{0}", options.size),
        }
    }

    /// The puzzles in words, for manifests.
    pub fn description(&self) -> String {
        match self {
            Self::Sudoku(options) => describe_sudoku(options),
            Self::Maze(MazeOptions { size, style, min_length, shortest_paths, seed }) => {
                let style = style.map_or("mixed".to_owned(), |style| style.to_string());
                let length = min_length.map_or("as hard as Maze-Hard".to_owned(), |length| length.to_string());
                format!("generated {size}x{size} mazes, {style}, {length}, {shortest_paths}, seed {seed}")
            }
        }
    }
}

fn describe_sudoku(options: &GeneratorOptions) -> String {
    let GeneratorOptions { size, extra_clues: (least, most), seed, .. } = options;
    let kind = options.givens.map_or("minimal".to_owned(), |(least, most)| format!("{least}-{most} givens"));
    let fresh = format!("generated {size}x{size} Sudoku, {kind} plus {least}-{most} clues, seed {seed}");
    if options.pools.is_empty() {
        return fresh;
    }
    let pools = options.pools.iter().zip(&options.pool_weights).zip(&options.pool_puzzles);
    let pools = pools.map(|((path, weight), puzzles)| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        format!("{weight} parts of {name} ({puzzles} puzzles)")
    });
    let pools = pools.collect::<Vec<_>>().join(", ");
    let (least, most) = options.pool_extra_clues;
    format!("{} parts of {fresh}; {pools}, each plus {least}-{most} clues", options.random_weight)
}

impl From<Generator> for Map<String, Value> {
    fn from(generator: Generator) -> Self {
        let (task, options) = match generator {
            Generator::Sudoku(options) => ("sudoku", serde_json::to_value(options)),
            Generator::Maze(options) => ("maze", serde_json::to_value(options)),
        };
        let mut keys = Self::from_iter([("task".to_owned(), Value::from(task))]);
        if let Ok(Value::Object(options)) = options {
            keys.extend(options);
        }
        keys
    }
}

impl TryFrom<Map<String, Value>> for Generator {
    type Error = serde_json::Error;

    fn try_from(mut keys: Map<String, Value>) -> Result<Self, serde_json::Error> {
        let task = keys.remove("task").unwrap_or_else(|| "sudoku".into());
        let options = Value::Object(keys);
        match task.as_str() {
            Some("sudoku") => serde_json::from_value(options).map(Self::Sudoku),
            Some("maze") => serde_json::from_value(options).map(Self::Maze),
            _ => Err(serde::de::Error::custom("expected sudoku or maze")),
        }
    }
}
