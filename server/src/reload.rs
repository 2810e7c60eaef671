//! New models for a running server: loaded, checked and warmed up beside the old ones, then put in their place.
//! Leaves how a checkpoint is loaded to `registry` and when to reload to the operator.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use engine::LoadError;
use engine::registry::{Models, Registry, ServedModel};
use serde::Serialize;
use tracing::{error, info};
use utoipa::ToSchema;

use crate::http::{Access, KeyError};

/// Loads every model afresh; blocks.
pub type LoadModels = dyn Fn() -> Result<Registry, LoadError> + Send + Sync;

/// Exchanges the models, one exchange at a time.
pub struct Reloader {
    models: Arc<Models>,
    access: Arc<Access>,
    load: Box<LoadModels>,
    is_running: AtomicBool,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

/// How reloads have ended so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReloadCounts {
    /// The new models serve.
    pub succeeded: u64,
    /// The old models have stayed.
    pub failed: u64,
}

/// What a reload has changed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Reloaded {
    /// The models that are served from now on.
    pub models: Vec<ReloadedModel>,
    /// Names of models that are served no more.
    pub removed: Vec<String>,
    /// How long it took, warm-up included.
    pub seconds: f64,
}

/// One model after a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReloadedModel {
    /// Its name.
    pub name: String,
    /// Hex sha256 of its weight file.
    pub sha256: String,
    /// The same before the reload; null when the model is new.
    pub previous_sha256: Option<String>,
}

/// Why the models are as they were.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Models are being loaded already.
    #[error("models are being loaded already; ask again when that is done")]
    Running,
    /// A model cannot be served.
    #[error("nothing was reloaded: {0}")]
    Models(#[from] LoadError),
    /// The keys cannot be read.
    #[error("nothing was reloaded: {0}")]
    Keys(#[from] KeyError),
    /// A defect of this program.
    #[error("nothing was reloaded: loading broke off: {0}")]
    Broken(String),
}

impl Reloader {
    /// Exchanges what `models` holds for what `load` gives, and reads the keys of `access` again.
    pub fn new(models: Arc<Models>, access: Arc<Access>, load: Box<LoadModels>) -> Self {
        let (succeeded, failed) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { models, access, load, is_running: AtomicBool::new(false), succeeded, failed }
    }

    /// How reloads have ended so far.
    pub fn counts(&self) -> ReloadCounts {
        let [succeeded, failed] = [&self.succeeded, &self.failed].map(|count| count.load(Ordering::Relaxed));
        ReloadCounts { succeeded, failed }
    }

    /// Loads, checks and warms up, then swaps. Requests that have begun finish on the models that they began with. Goes
    /// on when the future is dropped.
    ///
    /// # Errors
    /// When something cannot be loaded; then everything stays as it was.
    pub async fn reload(self: &Arc<Self>) -> Result<Reloaded, ReloadError> {
        let this = self.clone();
        let task = tokio::task::spawn_blocking(move || this.reload_here());
        task.await.unwrap_or_else(|error| Err(ReloadError::Broken(error.to_string())))
    }

    fn reload_here(&self) -> Result<Reloaded, ReloadError> {
        if self.is_running.swap(true, Ordering::AcqRel) {
            return Err(ReloadError::Running);
        }
        let _running = RunningGuard(&self.is_running);
        let result = self.exchange();
        match &result {
            Ok(reloaded) => {
                self.succeeded.fetch_add(1, Ordering::Relaxed);
                let names: Vec<&str> = reloaded.models.iter().map(|model| model.name.as_str()).collect();
                info!(seconds = reloaded.seconds, "reloaded the models {}", names.join(", "));
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                error!("{error}");
            }
        }
        result
    }

    fn exchange(&self) -> Result<Reloaded, ReloadError> {
        let started = Instant::now();
        let keys = self.access.read_keys()?;
        let registry = (self.load)()?;
        let mut fresh: Vec<(String, String)> =
            registry.models().iter().map(|model| (model.card.name.clone(), model.card.sha256.clone())).collect();
        // One checkpoint may stand for several sizes of boards, one after the other.
        fresh.dedup();
        let old = self.models.swap(registry);
        self.access.set_keys(keys);
        let before = |name: &String| old.named(name).map(|model| model.card.sha256.clone());
        let is_gone = |model: &&Arc<ServedModel>| !fresh.iter().any(|(name, _)| *name == model.card.name);
        let mut removed: Vec<String> =
            old.models().iter().filter(is_gone).map(|model| model.card.name.clone()).collect();
        removed.dedup();
        let reloaded = Reloaded {
            removed,
            models: fresh
                .iter()
                .map(|(name, sha256)| ReloadedModel {
                    name: name.clone(),
                    sha256: sha256.clone(),
                    previous_sha256: before(name),
                })
                .collect(),
            seconds: started.elapsed().as_secs_f64(),
        };
        retire(old);
        Ok(reloaded)
    }
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reloader").field("is_running", &self.is_running).finish_non_exhaustive()
    }
}

struct RunningGuard<'r>(&'r AtomicBool);

impl Drop for RunningGuard<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// How often it is looked whether the last request on an old model has gone.
const RETIRE_INTERVAL: Duration = Duration::from_millis(20);

/// Ends the engines of `registry` when their last request has its answer, on a thread that may wait: dropping an
/// engine waits for its thread, and that must not be a thread that serves requests.
pub(crate) fn retire(registry: Arc<Registry>) {
    let watch = move || {
        let models = last_holder(registry).into_models();
        for model in models {
            let model = last_holder(model);
            let (name, sha256) = (model.card.name.clone(), model.card.sha256.clone());
            drop(model);
            info!(name, sha256, "the old model has answered its last request and is gone");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("retire".into()).spawn(watch) {
        error!("no thread to end the old models on: {error}");
    }
}

fn last_holder<T>(mut shared: Arc<T>) -> T {
    loop {
        match Arc::try_unwrap(shared) {
            Ok(last) => return last,
            Err(held) => shared = held,
        }
        std::thread::sleep(RETIRE_INTERVAL);
    }
}
