//! Metrics on disk: `metrics.csv` for people and plots, TensorBoard events and Weights & Biases for dashboards.
//! Owns the first two files and their truncation on resume; leaves what is measured to the loop.

use std::fs::{self, File, OpenOptions};
use std::io::BufWriter;
use std::path::Path;

use tfrecord::EventWriter;

use crate::TrainError;
use crate::wandb::WandbRun;

/// Long table of all metrics in a run.
pub(crate) const CSV_FILE: &str = "metrics.csv";
/// Columns before the metrics themselves.
const CSV_HEADER: [&str; 4] = ["step", "phase", "metric", "value"];

/// Phase of what training steps give.
pub(crate) const TRAIN_PHASE: &str = "train";
/// Phase of what evaluations find.
pub(crate) const EVAL_PHASE: &str = "eval";

/// Writes metrics as they come.
pub(crate) struct Logger {
    csv: csv::Writer<File>,
    csv_path: std::path::PathBuf,
    events: EventWriter<BufWriter<File>>,
    /// An offline run of Weights & Biases, where one is asked for.
    wandb: Option<WandbRun>,
}

impl Logger {
    /// Opens the logs of a run in `directory`; rows past `resumed_step`, which a killed run wrote after its last
    /// checkpoint, are removed because they will be written again, and so are those of that step's evaluation where it is
    /// still due.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub(crate) fn open(directory: &Path, resumed_step: u64, evaluation_due: bool) -> Result<Self, TrainError> {
        let csv_path = directory.join(CSV_FILE);
        let kept = rows_up_to(&csv_path, resumed_step, evaluation_due)?;
        files::write(&csv_path, &kept)?;
        let file = OpenOptions::new().append(true).open(&csv_path).map_err(TrainError::io(&csv_path))?;
        let prefix = directory.join(format!("resumed-{resumed_step}")).to_string_lossy().into_owned();
        let events = EventWriter::from_prefix(prefix.as_str(), "", tfrecord::EventWriterConfig::default())
            .map_err(|error| TrainError::state(directory, format!("cannot write TensorBoard events: {error}")))?;
        let csv = csv::WriterBuilder::new().has_headers(false).from_writer(file);
        Ok(Self { csv, csv_path, events, wandb: None })
    }

    /// The same with a run of Weights & Biases besides.
    #[must_use]
    pub(crate) fn with_wandb(self, run: WandbRun) -> Self {
        Self { wandb: Some(run), ..self }
    }

    /// Writes what is not written yet, before a checkpoint that a resumed run begins at.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn sync(&mut self) -> Result<(), TrainError> {
        self.wandb.as_mut().map_or(Ok(()), WandbRun::flush)
    }

    /// Ends the logs of a run that is finished or will be resumed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn end(&mut self, is_finished: bool) -> Result<(), TrainError> {
        self.wandb.take().map_or(Ok(()), |run| run.end(is_finished))
    }

    /// Writes the metrics of `phase` (`train`, `eval`) at `step`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn write(&mut self, step: u64, phase: &str, metrics: &[(&str, f64)]) -> Result<(), TrainError> {
        for &(name, value) in metrics {
            self.csv
                .write_record([&step.to_string(), phase, name, &value.to_string()])
                .map_err(|error| TrainError::state(&self.csv_path, error.to_string()))?;
            self.events
                .write_scalar(format!("{phase}/{name}"), step as i64, value as f32)
                .map_err(|error| TrainError::state(&self.csv_path, format!("TensorBoard events: {error}")))?;
        }
        if let Some(run) = &mut self.wandb {
            run.metrics(step, phase, metrics.iter().copied())?;
        }
        self.csv.flush().map_err(TrainError::io(&self.csv_path))?;
        self.events.flush().map_err(|error| TrainError::state(&self.csv_path, format!("TensorBoard events: {error}")))
    }
}

/// Header and rows of an earlier log up to `step`; a row that a kill cut short is dropped.
fn rows_up_to(path: &Path, step: u64, evaluation_due: bool) -> Result<Vec<u8>, TrainError> {
    let mut kept = csv::Writer::from_writer(Vec::new());
    let problem = |error: csv::Error| TrainError::state(path, error.to_string());
    kept.write_record(CSV_HEADER).map_err(problem)?;
    if step > 0 && path.exists() {
        let text = fs::read(path).map_err(TrainError::io(path))?;
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_slice());
        for record in reader.records() {
            let Ok(record) = record else { break };
            let written = record.get(0).and_then(|field| field.parse::<u64>().ok());
            let comes_again = evaluation_due && written == Some(step) && record.get(1) == Some(EVAL_PHASE);
            if record.len() == CSV_HEADER.len() && written.is_some_and(|written| written <= step) && !comes_again {
                kept.write_record(&record).map_err(problem)?;
            }
        }
    }
    kept.into_inner().map_err(|error| TrainError::state(path, error.to_string()))
}
