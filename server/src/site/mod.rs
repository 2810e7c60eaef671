//! The page without a server, as a folder of files: the page itself, models as portable step graphs with their policies,
//! samples, and ONNX Runtime for browsers. Owns what lies where; leaves solving to the scripts of `server/site`, and
//! fetching the runtime to `cargo xtask site`.

mod arc;
mod samples;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use datasets::DatasetError;
use datasets::arc::ARC_DATA_FOLDER;
use engine::LoadError;
use engine::arc::TaskIndex;
use engine::default_policy::{DefaultPolicy, PolicyOverrides};
use engine::model::{ModelCard, checkpoints_in, shipped_directory};
use engine::task::{self, Task};
use engine::{Policy, PolicyLimits};
use exporter::{ExportError, ExportOptions, Flavor, GraphKind, Precision};
use files::{FileError, StagedFolder};
use flate2::Compression;
use flate2::write::GzEncoder;
use models::{Checkpoint, Manifest, Mixer, ModelError};
use serde::Serialize;

use self::arc::ArcFiles;
use crate::http::page_files;

/// Writes the page as a folder of files that any file host serves: puzzles are solved in the visitor's browser.
#[derive(Debug, Clone, Args)]
pub struct SiteArgs {
    /// Folder of a checkpoint. May be given several times, in the order in which models of one task are asked. Default:
    /// every shipped model for boards of any size.
    #[arg(long = "checkpoint", value_name = "DIR")]
    pub checkpoints: Vec<PathBuf>,

    /// Folder whose subfolders are the shipped models. Default: as in `server`.
    #[arg(long, env = "TRM_MODELS_DIR", value_name = "DIR")]
    pub models_dir: Option<PathBuf>,

    /// Folder with ONNX Runtime for browsers, as `cargo xtask site` lays it out: the files ort.wasm.bundle.min.mjs,
    /// ort-wasm-simd-threaded.wasm and version.
    #[arg(long, value_name = "DIR")]
    pub onnxruntime_web: PathBuf,

    /// Folder to write. A site that lies there is replaced, anything else is not.
    #[arg(long, default_value = "site", value_name = "DIR")]
    pub out: PathBuf,

    /// Samples of each kind and size.
    #[arg(long, default_value_t = 24, value_name = "COUNT")]
    pub samples: u64,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteSummary {
    /// Each file by its path in the folder, with its size.
    pub files: Vec<(String, usize)>,
}

/// Why no site was written.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// A model cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A checkpoint is missing or damaged.
    #[error(transparent)]
    Checkpoint(#[from] ModelError),
    /// No graph could be made of a checkpoint.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// No samples could be drawn, or the tasks of an ARC model are damaged.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The model solves something that the site's scripts do not.
    #[error(
        "{}: a site holds models for Sudoku and mazes without puzzle-embedding table, and for ARC with their tasks in the \
         folder {ARC_DATA_FOLDER} (`trainer publish --arc-data`), found one for {task}; leave it out, or serve it with \
         `server`", checkpoint.display()
    )]
    Task {
        /// Folder of the checkpoint.
        checkpoint: PathBuf,
        /// What it solves.
        task: String,
    },
    /// A visitor would wait for it too long.
    #[error(
        "{}: its puzzle table has {bytes} bytes, a site carries up to {}; serve it with `server`",
        checkpoint.display(), arc::MAX_TABLE_BYTES
    )]
    Table {
        /// Folder of the checkpoint.
        checkpoint: PathBuf,
        /// Size of the table.
        bytes: usize,
    },
    /// Two models would have the same files.
    #[error("two checkpoints are called {name:?}: rename one of their folders")]
    SameName {
        /// The name.
        name: String,
    },
    /// The folder holds something else.
    #[error("{} exists and is not a site (it has no {SITE_FILE}): name another folder with --out", folder.display())]
    Occupied {
        /// The folder.
        folder: PathBuf,
    },
    /// A file of the runtime is missing.
    #[error("cannot read {}: {source}; `cargo xtask site` lays ONNX Runtime for browsers out", path.display())]
    Runtime {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder cannot be written.
    #[error(transparent)]
    Write(#[from] FileError),
}

/// Says what the site holds; its presence says that a folder is one.
const SITE_FILE: &str = "site.json";
/// ONNX Runtime's scripts, with the loader of its WebAssembly in the same file.
const RUNTIME_SCRIPT: &str = "ort.wasm.bundle.min.mjs";
/// ONNX Runtime's processor kernels for one thread or several, without those for GPUs.
const RUNTIME_BINARY: &str = "ort-wasm-simd-threaded.wasm";

/// A file of `server/site` by its name.
macro_rules! scripts {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/site/", $name)).as_slice())),*]
    };
}

const SCRIPTS: &[(&str, &[u8])] = scripts![
    "arc.js",
    "client.js",
    "copies.js",
    "files.js",
    "puzzles.js",
    "random.js",
    "reading.js",
    "search.js",
    "worker.js",
];

/// The document's beginning, and the same with the module that answers in place of a server.
const PLAIN_DOCUMENT: &str = "<html lang=\"en\">";
const SITE_DOCUMENT: &str = "<html lang=\"en\" data-site=\"../site/client.js\">";

/// What requests may ask for, as in a server without flags.
const LIMITS: PolicyLimits = PolicyLimits { max_steps: 1024, chains: 128 };

/// What `site.json` says, in the form of `GET /info`.
#[derive(Serialize)]
struct SiteInfo {
    name: &'static str,
    version: &'static str,
    runtime: RuntimeInfo,
    models: Vec<SiteModel>,
}

#[derive(Serialize)]
struct RuntimeInfo {
    library: String,
    execution_provider: &'static str,
    threads: usize,
}

/// A model on boards of one size.
#[derive(Serialize)]
struct SiteModel {
    #[serde(flatten)]
    card: ModelCard,
    /// Cells per side.
    board_size: usize,
    /// The graph's file.
    graph: String,
    /// Names of the recursion states, in order.
    states: &'static [&'static str],
    /// Shape of one row of a state: `[tokens, hidden_size]`.
    state_shape: [usize; 2],
    /// Whether symmetric copies say nothing new to it, so that further chains see guesses.
    is_equivariant: bool,
    /// Of ARC's models: the tasks that they know.
    #[serde(skip_serializing_if = "Option::is_none")]
    arc: Option<ArcFiles>,
    /// The policy of a puzzle that comes without options.
    policy: Policy,
    limits: PolicyLimits,
}

/// Writes the site; the folder appears whole or not at all.
///
/// # Errors
/// When a model, the runtime or the folder cannot be used.
pub fn write(args: &SiteArgs) -> Result<SiteSummary, SiteError> {
    let out = &args.out;
    if out.exists() && !out.join(SITE_FILE).is_file() && !is_empty(out) {
        return Err(SiteError::Occupied { folder: out.clone() });
    }
    let mut folder = Folder { staged: StagedFolder::create(out)?, files: Vec::new() };
    write_page(&mut folder)?;
    let library = write_runtime(&mut folder, &args.onnxruntime_web)?;
    let models = write_models(&mut folder, &checkpoints(args)?)?;
    folder.add_json("samples.json", &samples::draw(&models, args.samples)?)?;
    let runtime = RuntimeInfo { library, execution_provider: "WebAssembly in this browser", threads: 1 };
    let models = models.into_iter().map(|(_, model)| model).collect();
    let info = SiteInfo { name: "site", version: env!("CARGO_PKG_VERSION"), runtime, models };
    folder.add_json(SITE_FILE, &info)?;
    folder.publish()
}

/// The checkpoints that are named, else the shipped ones that take boards of any size, Sudoku first.
fn checkpoints(args: &SiteArgs) -> Result<Vec<PathBuf>, SiteError> {
    if !args.checkpoints.is_empty() {
        return Ok(args.checkpoints.clone());
    }
    let mut found = Vec::new();
    for checkpoint in checkpoints_in(&shipped_directory(args.models_dir.as_deref())?)? {
        let manifest = Manifest::read(&checkpoint.join(models::checkpoint::MANIFEST_FILE))?;
        if manifest.dims.sizes.is_some() && is_solved(&checkpoint, &manifest) {
            found.push((!manifest.task.starts_with("sudoku"), checkpoint));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, checkpoint)| checkpoint).collect())
}

/// Whether the scripts of the site solve what the model in `checkpoint` solves.
fn is_solved(checkpoint: &Path, manifest: &Manifest) -> bool {
    let tasks = task::tasks_of(manifest);
    let is_board = tasks.iter().any(|task| matches!(task, Task::Sudoku(_) | Task::Maze(_)));
    let is_arc = tasks.contains(&Task::Arc) && TaskIndex::folder_in(checkpoint).is_some();
    is_arc || (is_board && manifest.dims.num_puzzle_identifiers <= 1)
}

fn write_page(folder: &mut Folder) -> Result<(), SiteError> {
    for (name, content) in page_files() {
        if name == "index.html" {
            let document = String::from_utf8_lossy(content).replacen(PLAIN_DOCUMENT, SITE_DOCUMENT, 1);
            folder.add(name, document.as_bytes())?;
        } else {
            folder.add(&format!("page/{name}"), content)?;
        }
    }
    SCRIPTS.iter().try_for_each(|(name, content)| folder.add(&format!("site/{name}"), content))
}

/// The runtime, its WebAssembly packed; its name and version.
fn write_runtime(folder: &mut Folder, from: &Path) -> Result<String, SiteError> {
    let read = |name: &str| {
        let path = from.join(name);
        fs::read(&path).map_err(|source| SiteError::Runtime { path, source })
    };
    folder.add(&format!("runtime/{RUNTIME_SCRIPT}"), &read(RUNTIME_SCRIPT)?)?;
    // Hosts differ in what they pack on the way, and it is most of what a visitor waits for.
    folder.add(&format!("runtime/{RUNTIME_BINARY}.gz"), &packed(&read(RUNTIME_BINARY)?))?;
    Ok(format!("onnxruntime-web {}", String::from_utf8_lossy(&read("version")?).trim()))
}

fn packed(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(content).and_then(|()| encoder.finish());
    written.expect("writing to memory does not fail")
}

fn write_models(folder: &mut Folder, checkpoints: &[PathBuf]) -> Result<Vec<(Task, SiteModel)>, SiteError> {
    let mut models: Vec<(Task, SiteModel)> = Vec::new();
    for directory in checkpoints {
        let checkpoint = Checkpoint::open(directory)?;
        let manifest = &checkpoint.manifest;
        if !is_solved(directory, manifest) {
            return Err(SiteError::Task { checkpoint: directory.clone(), task: manifest.task.clone() });
        }
        let card = ModelCard::of(&checkpoint, Precision::Float32)?;
        let graph = format!("models/{}.onnx", card.name);
        if models.iter().any(|(_, other)| other.graph == graph) {
            return Err(SiteError::SameName { name: card.name });
        }
        let options = ExportOptions {
            graph: GraphKind::Step,
            flavor: Flavor::Portable,
            precision: Precision::Float32,
            logits: false,
        };
        folder.add(&graph, &exporter::export(&checkpoint, &options)?.bytes)?;
        let trained = task::task_of(manifest).map_or(0, task::side);
        let tasks = task::tasks_of(manifest).into_iter();
        // Larger mazes than it was trained on take a browser long.
        let tasks = tasks.filter(|&task| !matches!(task, Task::Maze(_)) || task::side(task) <= trained);
        let arc = match TaskIndex::folder_in(directory) {
            Some(data) if card.dims.num_puzzle_identifiers > 1 => {
                Some(arc::write(folder, &card, &TaskIndex::open(&data)?, checkpoint)?)
            }
            _ => None,
        };
        models.extend(tasks.map(|task| (task, site_model(card.clone(), task, graph.clone(), arc.clone()))));
    }
    Ok(models)
}

fn site_model(card: ModelCard, task: Task, graph: String, arc: Option<ArcFiles>) -> SiteModel {
    let card = card.for_task(task);
    let arch = &card.arch;
    let default = DefaultPolicy::of(task, arch.halt_max_steps(), card.inference.as_ref(), &PolicyOverrides::NONE);
    let (policy, PolicyLimits { max_steps, chains }) = (default.policy, LIMITS);
    let limits = PolicyLimits {
        max_steps: max_steps.max(arch.halt_max_steps()).max(policy.max_steps).max(policy.restarts.depth),
        chains: chains.max(policy.restarts.chains()),
    };
    SiteModel {
        board_size: task::side(task),
        graph,
        states: arch.state_names(),
        state_shape: [arch.state_tokens(card.dims.seq_len), arch.hidden_size()],
        is_equivariant: arch.mixer() == Mixer::Units,
        arc,
        policy,
        limits,
        card,
    }
}

/// A folder in the making.
struct Folder {
    staged: StagedFolder,
    files: Vec<(String, usize)>,
}

impl Folder {
    fn add(&mut self, name: &str, content: &[u8]) -> Result<(), SiteError> {
        files::write(&self.staged.path().join(name), content)?;
        self.files.push((name.to_owned(), content.len()));
        Ok(())
    }

    fn add_json(&mut self, name: &str, content: &impl Serialize) -> Result<(), SiteError> {
        let text = serde_json::to_vec(content).expect("names and numbers are written without fail");
        self.add(name, &text)
    }

    /// Makes the folder visible, in the place of a former site.
    fn publish(mut self) -> Result<SiteSummary, SiteError> {
        self.staged.publish(true)?;
        self.files.sort();
        Ok(SiteSummary { files: self.files })
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}
