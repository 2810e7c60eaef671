//! Which of the known tasks somebody asks about: by name, by its demonstrations, or both.
//! Owns that choice and its refusals; leaves what is known to the index.

use datasets::arc::{ArcPair, Augmentation, Grid, PUZZLE_ID_SEPARATOR, SentTask, inverse_aug};

use super::index::TaskIndex;

/// A known task with the inputs that are to be solved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArcPuzzle {
    /// The task's name, or that of its augmentation where it was asked for by that name.
    pub name: String,
    /// The task in the index.
    pub task: usize,
    /// What was done to the task before it was sent.
    pub frame: Augmentation,
    /// What to solve, at least one.
    pub tests: Vec<TestInput>,
}

/// An input to solve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestInput {
    /// As it was sent.
    pub input: Grid,
    /// The right answer, where it is known.
    pub output: Option<Grid>,
}

/// Why a task is none that the checkpoint knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Neither a name nor a task was sent.
    #[error("expected a \"task\" ({{\"train\": […], \"test\": […]}}) or a \"task_id\", found neither")]
    Nothing,
    /// The name has the separator of augmentations, but none behind it.
    #[error(transparent)]
    Name(#[from] datasets::arc::ArcError),
    /// No task is called so, and no demonstrations were sent.
    #[error("none of the {known} tasks that this model was trained on is called {name:?}")]
    UnknownName {
        /// What was asked for.
        name: String,
        /// How many tasks there are.
        known: usize,
    },
    /// No task has these demonstrations.
    #[error(
        "none of the {known} tasks that this model was trained on has these {demonstrations} demonstrations (compared \
         cell by cell, in any order; a recoloured or turned task is found by its name only{by_name})"
    )]
    UnknownDemonstrations {
        /// Pairs sent.
        demonstrations: usize,
        /// How many tasks there are.
        known: usize,
        /// What was said of the name.
        by_name: String,
    },
    /// The name is known, but the demonstrations are others.
    #[error(
        "task {name:?} is known, but was trained on other demonstrations than those sent; leave out \"task_id\" to look \
         for the demonstrations alone"
    )]
    OtherDemonstrations {
        /// The task.
        name: String,
    },
    /// The data set does not tell what is to be solved.
    #[error("the test inputs of task {name:?} are not known here; send them in \"task\"")]
    NoTests {
        /// The task.
        name: String,
    },
}

impl LookupError {
    /// Whether the checkpoint would have to be trained on the task; otherwise the request is at fault.
    pub fn is_unknown_task(&self) -> bool {
        matches!(self, Self::UnknownName { .. } | Self::UnknownDemonstrations { .. })
    }
}

impl TaskIndex {
    /// Finds the task of a name, of the demonstrations that were sent, or of both; a name that is not known gives way to
    /// known demonstrations. The inputs to solve are those sent, else those of the data set.
    ///
    /// # Errors
    /// When nothing is found or name and demonstrations contradict each other.
    pub fn recognise(&self, name: Option<&str>, sent: Option<&SentTask>) -> Result<ArcPuzzle, LookupError> {
        let named = match name {
            None => None,
            Some(name) => {
                let (base, frame) = inverse_aug(name)?;
                self.named(base).map(|(task, _)| (task, frame))
            }
        };
        match (named, name, sent) {
            (Some((task, frame)), _, Some(sent)) => self.check_demonstrations(task, frame, sent),
            (Some((task, frame)), _, None) => self.known_tests(task, frame),
            (None, name, Some(sent)) => match self.with_pairs(&sent.task.train) {
                Some(task) => Ok(self.puzzle(task, Augmentation::IDENTITY, tests_of(sent))),
                None => Err(LookupError::UnknownDemonstrations {
                    demonstrations: sent.task.train.len(),
                    known: self.tasks().len(),
                    by_name: name.map_or_else(String::new, |name| format!("; nor is one called {:?}", shorten(name))),
                }),
            },
            (None, Some(name), None) => {
                Err(LookupError::UnknownName { name: shorten(name), known: self.tasks().len() })
            }
            (None, None, None) => Err(LookupError::Nothing),
        }
    }

    fn check_demonstrations(
        &self,
        task: usize,
        frame: Augmentation,
        sent: &SentTask,
    ) -> Result<ArcPuzzle, LookupError> {
        let pairs: Vec<ArcPair> = sent.task.train.iter().map(|pair| undone(pair, frame)).collect();
        // A name says enough where the data set holds no pairs to compare with.
        if self.is_known_by_content(task) && !self.has_pairs(task, &pairs) {
            return Err(LookupError::OtherDemonstrations { name: self.tasks()[task].name.clone() });
        }
        Ok(self.puzzle(task, frame, tests_of(sent)))
    }

    fn known_tests(&self, task: usize, frame: Augmentation) -> Result<ArcPuzzle, LookupError> {
        let known = &self.tasks()[task];
        let pairs = known.task.as_ref().map_or(&[][..], |task| &task.test);
        if pairs.is_empty() {
            return Err(LookupError::NoTests { name: known.name.clone() });
        }
        let test = |pair: &ArcPair| TestInput {
            input: frame.apply(&pair.input),
            output: (!is_placeholder(&pair.output)).then(|| frame.apply(&pair.output)),
        };
        Ok(self.puzzle(task, frame, pairs.iter().map(test).collect()))
    }

    fn puzzle(&self, task: usize, frame: Augmentation, tests: Vec<TestInput>) -> ArcPuzzle {
        let name = &self.tasks()[task].name;
        let name = if frame == Augmentation::IDENTITY { name.clone() } else { frame.name(name) };
        ArcPuzzle { name, task, frame, tests }
    }
}

fn tests_of(sent: &SentTask) -> Vec<TestInput> {
    let pairs = sent.task.test.iter().zip(&sent.has_output);
    let test = |(pair, &has_output): (&ArcPair, &bool)| TestInput {
        input: pair.input.clone(),
        output: has_output.then(|| pair.output.clone()),
    };
    pairs.map(test).collect()
}

fn undone(pair: &ArcPair, frame: Augmentation) -> ArcPair {
    ArcPair::new(frame.undo(&pair.input), frame.undo(&pair.output))
}

/// What a data set holds where the answer is unknown: a single black cell.
fn is_placeholder(output: &Grid) -> bool {
    (output.rows(), output.columns(), output.cells()) == (1, 1, &[0])
}

/// A name as a message quotes it.
fn shorten(name: &str) -> String {
    let most = 80 + PUZZLE_ID_SEPARATOR.len();
    name.chars().take(most).collect()
}
