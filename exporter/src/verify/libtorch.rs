//! The libtorch columns of a parity report, computed by the program `trainer`: found beside this program, on PATH, or
//! where the user says. Owns calling it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use models::names;
use tempfile::TempDir;

use super::outputs::TensorFile;
use super::{Arithmetic, Job, STATE_ROWS, StepValues, VerifyError, VerifyInputs};

/// What a report says that has no libtorch columns.
pub(super) const ABSENT: &str = "no program `trainer` beside this one or on PATH (name it with --trainer, or build it with cargo build --release -p trainer): \
     libtorch was not compared, and the reference is ONNX Runtime's float32";

/// The program `trainer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trainer {
    program: PathBuf,
}

impl Trainer {
    /// The program `named`, else the one beside the running program or on PATH; `None` where there is none of these.
    ///
    /// # Errors
    /// When the named one is not a file.
    pub fn find(named: Option<&Path>) -> Result<Option<Self>, VerifyError> {
        let file_name = format!("trainer{}", std::env::consts::EXE_SUFFIX);
        if let Some(program) = named {
            if program.is_file() {
                return Ok(Some(Self { program: program.to_owned() }));
            }
            return Err(VerifyError::Trainer { program: program.to_owned(), problem: "is not a file".into() });
        }
        let beside = std::env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = beside.into_iter().chain(std::env::split_paths(&path));
        Ok(folders.find_map(|folder| {
            let program = folder.join(&file_name);
            program.is_file().then_some(Self { program })
        }))
    }

    /// Where it is.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Every step's values from `trainer forward`.
    pub(super) fn forward(
        &self,
        job: &Job<'_>,
        inputs: &VerifyInputs,
        arithmetic: Arithmetic,
        plain: bool,
    ) -> Result<Vec<StepValues>, VerifyError> {
        let folder = self.folder()?;
        let file = folder.path().join("inputs.safetensors");
        inputs.write(&file)?;
        let (steps, states) = (job.options.steps.to_string(), STATE_ROWS.to_string());
        let mut options: Vec<&OsStr> = vec!["--inputs".as_ref(), file.as_ref()];
        options.extend(["--precision", arithmetic.name(), "--steps", &steps, "--states", &states].map(OsStr::new));
        if plain {
            options.push("--plain".as_ref());
        }
        let outputs = self.call(&folder, job, &options)?;
        let arch = &job.checkpoint.manifest.arch;
        let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        let step_of = |step: usize| {
            let floats = |name: &str| outputs.floats(&names::of_step(step, name));
            let states = arch.state_names().iter().map(|name| Ok(narrow(floats(name)?)));
            let mut halt_margin = floats(names::Q_HALT_LOGITS)?;
            if arch.uses_q_continue() {
                let q_continue = floats(names::Q_CONTINUE_LOGITS)?;
                halt_margin.iter_mut().zip(q_continue).for_each(|(margin, q_continue)| *margin -= q_continue);
            }
            Ok(StepValues {
                logits: floats(names::LOGITS)?,
                halt_margin,
                preds: outputs.integers(&names::of_step(step, names::PREDS))?,
                state: states.collect::<Result<_, VerifyError>>()?,
            })
        };
        let found: Result<_, VerifyError> = (1..=job.options.steps).map(step_of).collect();
        found.map_err(|error| self.unexpected(&error))
    }

    /// The first puzzles of the dataset folder `data`, or generated ones that no training seed draws.
    pub(super) fn puzzles(
        &self,
        job: &Job<'_>,
        name: String,
        data: Option<&Path>,
    ) -> Result<VerifyInputs, VerifyError> {
        let folder = self.folder()?;
        let rows = job.options.rows.to_string();
        let mut options = ["--rows", rows.as_str(), "--steps", "1", "--precision", "float32"].map(OsStr::new).to_vec();
        if let Some(data) = data {
            options.extend(["--data".as_ref(), data.as_os_str()]);
        }
        let outputs = self.call(&folder, job, &options)?;
        VerifyInputs::read(name, &outputs, &job.checkpoint.manifest.dims).map_err(|error| self.unexpected(&error))
    }

    fn folder(&self) -> Result<TempDir, VerifyError> {
        tempfile::tempdir().map_err(|e| self.failed(format!("no temporary folder for its files: {e}")))
    }

    fn call(&self, folder: &TempDir, job: &Job<'_>, options: &[&OsStr]) -> Result<TensorFile, VerifyError> {
        let out = folder.path().join("outputs.safetensors");
        let output = Command::new(&self.program)
            .arg("forward")
            .arg("--checkpoint")
            .arg(job.checkpoint.directory())
            .arg("--out")
            .arg(&out)
            .args(["--threads", &job.options.threads.to_string()])
            .args(options)
            .output()
            .map_err(|e| self.failed(format!("cannot be started: {e}")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(self.failed(format!("`trainer forward` ended with {}: {}", output.status, said.trim())));
        }
        TensorFile::open(&out)
    }

    fn unexpected(&self, error: &VerifyError) -> VerifyError {
        self.failed(format!("its outputs are not those of this release's trainer: {error}"))
    }

    fn failed(&self, problem: String) -> VerifyError {
        VerifyError::Trainer { program: self.program.clone(), problem }
    }
}
