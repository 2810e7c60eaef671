//! Weights & Biases: an offline run beside the training run, which `wandb sync` uploads. Owns the run's folder, its records and
//! the environment variables of the client; leaves the metrics to the loop. Nothing here opens a connection.

mod chunks;
mod record;

use std::env;
use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prost::Message;
use rand::RngExt;
use serde_json::{Value, json};

use self::chunks::ChunkWriter;
use self::record::{Body, Exit, Header, History, Item, Items, Record, Run, Step, Timestamp, VersionInfo};
use crate::TrainError;
use crate::logger::EVAL_PHASE;

/// In the folder of the training run: the id that a resumed run goes on under.
const ID_FILE: &str = "wandb_run_id";
/// The set that evaluations are of, under which their metrics are nested.
const EVALUATED_SET: &str = "all";
/// Oldest client whose reader knows these records.
const MIN_CONSUMER: &str = "0.10.0";
/// Exit code of a run that was asked to stop, as that of Ctrl-C in the client.
const INTERRUPTED: i32 = 255;

/// What the client's environment variables say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `WANDB_DIR`: where the folder `wandb` lies; the working directory by default.
    pub(crate) directory: PathBuf,
    entity: String,
    project: Option<String>,
    name: Option<String>,
    run_id: Option<String>,
    group: String,
    tags: Vec<String>,
}

/// What a run says of itself.
#[derive(Debug)]
pub(crate) struct Description<'d> {
    /// Folder of the training run.
    pub(crate) run_directory: &'d Path,
    /// Groups runs, where the environment names no project.
    pub(crate) project: String,
    /// Shown name, where the environment has none.
    pub(crate) name: String,
    /// All settings.
    pub(crate) config: &'d Value,
    /// Trained weights.
    pub(crate) num_params: usize,
}

/// An offline run that is being written.
#[derive(Debug)]
pub(crate) struct WandbRun {
    folder: PathBuf,
    writer: ChunkWriter<BufWriter<File>>,
    records: i64,
    begin: Instant,
    /// Metrics of a step that is not written yet: all of a step belong in one row.
    row: Option<(u64, Vec<Item>)>,
    /// The last value under each name.
    summary: Vec<Item>,
}

impl Settings {
    /// Reads them; `None` when `WANDB_MODE` is `disabled`.
    ///
    /// # Errors
    /// When `WANDB_MODE` or `WANDB_RUN_ID` holds what the client would refuse.
    pub(crate) fn from_env() -> Result<Option<Self>, TrainError> {
        Self::read(|name| env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, TrainError> {
        let set = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        match set("WANDB_MODE").as_deref() {
            Some("disabled") => return Ok(None),
            None | Some("online" | "offline" | "dryrun" | "run" | "shared") => {}
            Some(other) => {
                let problem = format!("is {other} in the environment; expected online, offline or disabled");
                return Err(TrainError::setting("WANDB_MODE", problem));
            }
        }
        let run_id = set("WANDB_RUN_ID");
        if let Some(id) = run_id.as_deref().filter(|id| !is_run_id(id)) {
            let problem = format!("is {id:?} in the environment; expected 1 to 128 characters without / \\ # ? % :");
            return Err(TrainError::setting("WANDB_RUN_ID", problem));
        }
        let tags = set("WANDB_TAGS").unwrap_or_default();
        Ok(Some(Self {
            directory: set("WANDB_DIR").map_or_else(PathBuf::new, PathBuf::from),
            entity: set("WANDB_ENTITY").unwrap_or_default(),
            project: set("WANDB_PROJECT"),
            name: set("WANDB_NAME"),
            run_id,
            group: set("WANDB_RUN_GROUP").unwrap_or_default(),
            tags: tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
        }))
    }
}

impl WandbRun {
    /// Begins a run of its own folder; the id is that of an earlier part of the same training run, if there is one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn begin(settings: &Settings, description: &Description<'_>) -> Result<Self, TrainError> {
        let run_id = run_id(settings, description.run_directory)?;
        let now = SystemTime::now();
        let (folder, file) = create(&settings.directory.join("wandb"), &run_id, now)?;
        let writer = ChunkWriter::begin(BufWriter::new(file)).map_err(TrainError::io(&folder))?;
        let mut run = Self { folder, writer, records: 0, begin: Instant::now(), row: None, summary: Vec::new() };
        let version = VersionInfo { producer: env!("CARGO_PKG_VERSION").into(), min_consumer: MIN_CONSUMER.into() };
        run.put(Body::Header(Header { version_info: Some(version) }))?;
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let settings_of_run = description.config.as_object().into_iter().flatten();
        let config = settings_of_run.map(|(key, value)| Item {
            key: key.clone(),
            nested_key: Vec::new(),
            value_json: value.to_string(),
        });
        run.put(Body::Run(Run {
            id: run_id,
            entity: settings.entity.clone(),
            project: settings.project.clone().unwrap_or_else(|| description.project.clone()),
            config: Some(Items { update: config.collect() }),
            group: settings.group.clone(),
            display_name: settings.name.clone().unwrap_or_else(|| description.name.clone()),
            tags: settings.tags.clone(),
            host: crate::experiment::hostname(),
            start_time: Some(Timestamp {
                seconds: since_epoch.as_secs() as i64,
                nanos: since_epoch.subsec_nanos() as i32,
            }),
        }))?;
        run.log(0, [(vec!["num_params".to_owned()], json!(description.num_params))])?;
        Ok(run)
    }

    /// The folder that `wandb sync` takes.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes the metrics of a phase at `step`: those of training under `train/`, those of an evaluation nested under its set,
    /// votes under their own names.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn metrics<'n>(
        &mut self,
        step: u64,
        phase: &str,
        metrics: impl Iterator<Item = (&'n str, f64)>,
    ) -> Result<(), TrainError> {
        let path = |name: &str| match phase {
            EVAL_PHASE if name.contains('/') => vec![name.to_owned()],
            EVAL_PHASE => vec![EVALUATED_SET.to_owned(), name.to_owned()],
            phase => vec![format!("{phase}/{name}")],
        };
        self.log(step, metrics.map(|(name, value)| (path(name), number(value))))
    }

    fn log(&mut self, step: u64, values: impl IntoIterator<Item = (Vec<String>, Value)>) -> Result<(), TrainError> {
        if self.row.as_ref().is_some_and(|(of, _)| *of != step) {
            self.flush()?;
        }
        let (_, items) = self.row.get_or_insert_with(|| (step, Vec::new()));
        items.extend(values.into_iter().map(|(path, value)| item(path, &value)));
        Ok(())
    }

    /// Writes the row of the step under way.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn flush(&mut self) -> Result<(), TrainError> {
        let Some((step, mut items)) = self.row.take() else { return Ok(()) };
        for found in &items {
            self.summary.retain(|old| old.nested_key != found.nested_key);
            self.summary.push(found.clone());
        }
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let own = [
            ("_step", json!(step)),
            ("_runtime", json!(self.begin.elapsed().as_secs_f64())),
            ("_timestamp", json!(since_epoch.as_secs_f64())),
        ];
        items.extend(own.map(|(name, value)| item(vec![name.to_owned()], &value)));
        self.put(Body::History(History { item: items, step: Some(Step { num: step as i64 }) }))
    }

    /// Writes the last row, the summary and the exit.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn end(mut self, is_finished: bool) -> Result<(), TrainError> {
        self.flush()?;
        let update = std::mem::take(&mut self.summary);
        self.put(Body::Summary(Items { update }))?;
        let exit_code = if is_finished { 0 } else { INTERRUPTED };
        self.put(Body::Exit(Exit { exit_code, runtime: self.begin.elapsed().as_secs() as i32 }))
    }

    fn put(&mut self, body: Body) -> Result<(), TrainError> {
        self.records += 1;
        let record = Record { num: self.records, body: Some(body) };
        self.writer.append(&record.encode_to_vec()).map_err(TrainError::io(&self.folder))
    }
}

fn item(path: Vec<String>, value: &Value) -> Item {
    Item { key: String::new(), nested_key: path, value_json: value.to_string() }
}

/// JSON has no infinities; the client writes them as text.
fn number(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { json!(format!("{value}")) }
}

/// The id in the environment, that of the training run's earlier parts, or eight letters and digits drawn for it.
fn run_id(settings: &Settings, run_directory: &Path) -> Result<String, TrainError> {
    let path = run_directory.join(ID_FILE);
    let known = fs::read_to_string(&path).ok().map(|id| id.trim().to_owned()).filter(|id| is_run_id(id));
    let drawn = || {
        let mut rng = rand::rng();
        (0..8).map(|_| char::from(b"abcdefghijklmnopqrstuvwxyz0123456789"[rng.random_range(0..36)])).collect()
    };
    let id = settings.run_id.clone().or(known).unwrap_or_else(drawn);
    files::write(&path, id.as_bytes())?;
    Ok(id)
}

/// Whether the client takes it for an id, and so for part of a folder's name.
fn is_run_id(id: &str) -> bool {
    let is_fine = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | '#' | '?' | '%' | ':');
    (1..=128).contains(&id.len()) && id.trim() == id && id.chars().all(is_fine)
}

/// `offline-run-YYYYMMDD_HHMMSS-ID` with `files/` and an empty `run-ID.wandb`, which no other run has; of two that begin in the
/// same second the later takes the next.
fn create(parent: &Path, run_id: &str, now: SystemTime) -> Result<(PathBuf, File), TrainError> {
    fs::create_dir_all(parent).map_err(TrainError::io(parent))?;
    for later in 0.. {
        let time = humantime::format_rfc3339_seconds(now + Duration::from_secs(later)).to_string();
        let digits: String = time.chars().filter(char::is_ascii_digit).collect();
        let (day, clock) = digits.split_at(8);
        let folder = parent.join(format!("offline-run-{day}_{clock}-{run_id}"));
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            made => made.map_err(TrainError::io(&folder))?,
        }
        let files = folder.join("files");
        fs::create_dir(&files).map_err(TrainError::io(&files))?;
        let path = folder.join(format!("run-{run_id}.wandb"));
        let file = File::create_new(&path).map_err(TrainError::io(&path))?;
        // As the client leaves it, so that its commands find the run; a file system without links does without.
        let latest = parent.join("latest-run");
        let _ = fs::remove_file(&latest);
        let _ = std::os::unix::fs::symlink(folder.file_name().unwrap_or_default(), &latest);
        return Ok((folder, file));
    }
    unreachable!("some second is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Option<Settings>, TrainError> {
        let found = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Settings::read(found)
    }

    fn records(folder: &Path) -> Vec<Record> {
        let mut files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let file = files.find(|path| path.extension().is_some_and(|end| end == "wandb")).unwrap();
        let records = chunks::read_records(&fs::read(file).unwrap()).unwrap();
        records.iter().map(|record| Record::decode(record.as_slice()).unwrap()).collect()
    }

    #[test]
    fn a_run_and_its_resumed_part_share_an_id_and_say_what_they_measured() {
        let place = tempfile::tempdir().unwrap();
        let run_directory = place.path().join("run");
        fs::create_dir(&run_directory).unwrap();
        let config = json!({"lr": 1e-3, "arch": {"name": "trm"}, "long": "x".repeat(100_000)});
        let description = || Description {
            run_directory: &run_directory,
            project: "Sudoku-ACT-torch".into(),
            name: "first".into(),
            config: &config,
            num_params: 46_369,
        };
        let directory = place.path().to_string_lossy().into_owned();
        let variables = [("WANDB_DIR", directory.as_str()), ("WANDB_ENTITY", " lab "), ("WANDB_TAGS", "a, b,")];
        let settings = settings(&variables).unwrap().unwrap();
        let mut run = WandbRun::begin(&settings, &description()).unwrap();
        run.metrics(50, "train", [("lm_loss", 0.5), ("lr", 1e-3)].into_iter()).unwrap();
        run.metrics(50, "eval", [("exact_accuracy", 0.25), ("ARC/pass@2", 1.0)].into_iter()).unwrap();
        run.metrics(100, "train", [("lm_loss", f64::INFINITY)].into_iter()).unwrap();
        let first = run.folder().to_owned();
        run.end(true).unwrap();
        let resumed = WandbRun::begin(&settings, &description()).unwrap();
        let second = resumed.folder().to_owned();
        drop(resumed);

        let found = records(&first);
        assert_eq!(found.iter().map(|record| record.num).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
        let Some(Body::Run(of)) = &found[1].body else { panic!("{:?}", found[1]) };
        assert_eq!((of.entity.as_str(), of.project.as_str()), ("lab", "Sudoku-ACT-torch"));
        assert_eq!((of.display_name.as_str(), &of.tags), ("first", &vec!["a".to_owned(), "b".to_owned()]));
        let config_found = &of.config.as_ref().unwrap().update;
        assert_eq!((config_found[1].key.as_str(), config_found[1].value_json.as_str()), ("arch", r#"{"name":"trm"}"#));
        let rows: Vec<(i64, Vec<(String, String)>)> = found
            .iter()
            .filter_map(|record| match &record.body {
                Some(Body::History(row)) => {
                    let values = row.item.iter().filter(|item| !item.nested_key[0].starts_with('_'));
                    let values = values.map(|item| (item.nested_key.join("."), item.value_json.clone()));
                    Some((row.step.unwrap().num, values.collect()))
                }
                _ => None,
            })
            .collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let at_50 =
            [("train/lm_loss", "0.5"), ("train/lr", "0.001"), ("all.exact_accuracy", "0.25"), ("ARC/pass@2", "1.0")];
        assert_eq!(
            rows,
            [
                (0, vec![pair("num_params", "46369")]),
                (50, at_50.map(|(name, value)| pair(name, value)).to_vec()),
                (100, vec![pair("train/lm_loss", "\"inf\"")]),
            ]
        );
        let Some(Body::Summary(summary)) = &found[5].body else { panic!("{:?}", found[5]) };
        assert_eq!(summary.update.len(), 5);
        assert!(matches!(found[6].body, Some(Body::Exit(Exit { exit_code: 0, .. }))));

        let again = records(&second);
        let Some(Body::Run(resumed)) = &again[1].body else { panic!("{:?}", again[1]) };
        assert_eq!(resumed.id, of.id);
        assert_ne!(first, second);
        assert!(!again.iter().any(|record| matches!(record.body, Some(Body::Exit(_)))), "a run that was killed");
    }

    #[test]
    fn the_environment_is_read_as_the_client_reads_it() {
        assert_eq!(settings(&[("WANDB_MODE", "disabled")]).unwrap(), None);
        assert_eq!(settings(&[("WANDB_MODE", ""), ("WANDB_PROJECT", " ")]).unwrap(), Some(Settings::default()));
        assert!(settings(&[("WANDB_MODE", "ofline")]).unwrap_err().to_string().contains("expected online, offline or"));
        let refused = settings(&[("WANDB_RUN_ID", "a/b")]).unwrap_err().to_string();
        assert!(refused.contains("WANDB_RUN_ID"), "{refused}");
    }
}
