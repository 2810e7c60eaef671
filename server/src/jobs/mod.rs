//! Jobs that adapt an ARC model to a task that it does not know, each a process of the program `trainer`, so that the
//! server needs no libtorch. Owns the queue, what is known of each job, and the results, which it loads when they are
//! asked for; leaves the files of a job to `store`, its process to `process`.

mod id;
mod process;
mod store;
mod view;
mod work;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use datasets::arc::SentTask;
use engine::LoadError;
use engine::registry::{Registry, ServedModel};
use files::FileError;
use models::{ArchitectureConfig, Mixer};
use tokio::sync::watch;

pub use id::JobId;
pub use process::Cores;
use store::{JobRecord, Outcome, Store};
pub use view::{JobError, JobState, JobView};

use crate::reload::retire;

/// Results that stay loaded for tasks that are asked about again.
const LOADED: usize = 4;
/// Cancelled jobs to keep in memory, so that their watchers see the cancellation.
const REMEMBERED: usize = 256;
/// How long the processes may take to save when the jobs are dropped.
const PATIENCE: Duration = Duration::from_secs(12);

/// How jobs are run.
#[derive(Debug, Clone, PartialEq)]
pub struct JobOptions {
    /// Where jobs and their results lie.
    pub folder: PathBuf,
    /// Jobs at a time.
    pub jobs: usize,
    /// Jobs that may wait.
    pub queue: usize,
    /// Longest time of each.
    pub minutes: f64,
    /// The program `trainer`.
    pub trainer: PathBuf,
    /// Where it computes.
    pub cores: Cores,
    /// Further arguments of `trainer adapt`, such as `key=value` for its training run.
    pub settings: Vec<String>,
}

/// Loads the checkpoint in the first folder, whose puzzle table the data set in the second one numbers; blocks.
pub type LoadResult = dyn Fn(&Path, &Path) -> Result<Registry, LoadError> + Send + Sync;

/// What becomes of a task that no model knows.
#[derive(Debug)]
pub enum Adapted {
    /// It was learned before: the model that answers.
    Known(Arc<Registry>),
    /// It is being learned.
    Pending(JobView),
}

/// The jobs of a server. Dropping them tells their processes to save and end; the next server goes on with them.
pub struct Jobs {
    inner: Arc<Inner>,
}

struct Inner {
    options: JobOptions,
    store: Store,
    load: Box<LoadResult>,
    state: Mutex<State>,
    /// Something has been queued, or everything ends.
    wake: Condvar,
    loaded: Mutex<VecDeque<(JobId, Arc<Registry>)>>,
    runtime: tokio::runtime::Handle,
}

#[derive(Default)]
struct State {
    jobs: HashMap<JobId, Job>,
    queue: VecDeque<JobId>,
    cancelled: VecDeque<JobId>,
    /// Workers that have a process.
    working: usize,
    ends: bool,
}

struct Job {
    view: watch::Sender<JobView>,
    record: JobRecord,
    /// Whether a worker has it.
    active: bool,
    /// Whether its process is to be killed.
    kill: bool,
}

impl Jobs {
    /// Opens the folder, goes on with what was not finished, and begins to work. Called in a runtime, on which answers
    /// are waited for.
    ///
    /// # Errors
    /// When the folder or the program cannot be used.
    pub fn open(options: JobOptions, load: Box<LoadResult>) -> Result<Self, JobError> {
        if !options.trainer.is_file() {
            return Err(JobError::NoTrainer(options.trainer));
        }
        let store = Store::open(&options.folder)?;
        let mut state = State::default();
        for (id, record, outcome) in store.scan()? {
            let view = match outcome {
                Some(Outcome::Answer(answer)) => JobView { answer: Some(answer), ..JobView::new(id, JobState::Done) },
                Some(Outcome::Problem(text)) => JobView { problem: Some(text), ..JobView::new(id, JobState::Failed) },
                None => {
                    state.queue.push_back(id);
                    JobView::new(id, JobState::Queued)
                }
            };
            state.jobs.insert(id, Job::new(view, record));
        }
        state.tell_places();
        let workers = options.jobs;
        let inner = Arc::new(Inner {
            options,
            store,
            load,
            state: Mutex::new(state),
            wake: Condvar::new(),
            loaded: Mutex::default(),
            runtime: tokio::runtime::Handle::current(),
        });
        for number in 0..workers {
            let inner = inner.clone();
            let name = format!("adapt-{number}");
            let spawned = std::thread::Builder::new().name(name).spawn(move || inner.work());
            let path = PathBuf::from("a thread");
            spawned.map_err(FileError::new("start", path))?;
        }
        Ok(Self { inner })
    }

    /// The model that has learned the demonstrations of `sent` on top of `base`, or the job that does it; a new job where
    /// there is none, or it failed. Without `base` a small model begins with nothing. Blocks while a result is loaded.
    ///
    /// # Errors
    /// When the queue is full, the model cannot answer such a task, or a result cannot be loaded.
    pub fn find_or_submit(&self, sent: &SentTask, base: Option<&ServedModel>) -> Result<Adapted, JobError> {
        let inner = &self.inner;
        check(sent, base)?;
        let id = JobId::of(sent, base.map(|model| model.card.sha256.as_str()));
        let known = inner.lock().jobs.get(&id).map(|job| job.view.borrow().clone());
        match known {
            Some(view) if view.state == JobState::Done => Ok(Adapted::Known(inner.model(id)?)),
            Some(view) if !view.has_ended() => Ok(Adapted::Pending(view)),
            _ => inner.submit(id, sent, base).map(Adapted::Pending),
        }
    }

    /// A job that clients may watch; `None` where there is none of that name.
    pub fn watch(&self, id: JobId) -> Option<watch::Receiver<JobView>> {
        self.inner.lock().jobs.get(&id).map(|job| job.view.subscribe())
    }

    /// Ends a job and forgets its result; `None` where there is none of that name.
    pub fn cancel(&self, id: JobId) -> Option<JobView> {
        self.inner.cancel(id)
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        let begin = Instant::now();
        let mut state = self.inner.lock();
        state.ends = true;
        self.inner.wake.notify_all();
        while state.working > 0 && begin.elapsed() < PATIENCE {
            let waited = self.inner.wake.wait_timeout(state, Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Jobs").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock, so a poisoned holder is still a consistent one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, id: JobId, sent: &SentTask, base: Option<&ServedModel>) -> Result<JobView, JobError> {
        let mut state = self.lock();
        // Another request may have been faster.
        if let Some(job) = state.jobs.get(&id)
            && !job.view.borrow().has_ended()
        {
            return Ok(job.view.borrow().clone());
        }
        if state.jobs.get(&id).is_some_and(|job| job.active) {
            return Err(JobError::Ending { retry_after: Duration::from_secs(1) });
        }
        let waiting = state.queue.len();
        if waiting >= self.options.queue {
            let turns = waiting.div_ceil(self.options.jobs).max(1);
            let retry_after = Duration::from_secs_f64((self.options.minutes * 60.0).clamp(1.0, 86_400.0));
            return Err(JobError::QueueFull { waiting, retry_after: retry_after / turns as u32 });
        }
        let record = JobRecord::new(base, &self.options)?;
        self.store.create(id, &record, sent)?;
        tracing::info!(job = %id, model = record.model(), "a task that is not known will be learned");
        state.jobs.insert(id, Job::new(JobView::new(id, JobState::Queued), record));
        state.queue.push_back(id);
        state.tell_places();
        let view = state.jobs[&id].view.borrow().clone();
        drop(state);
        self.wake.notify_one();
        Ok(view)
    }

    fn cancel(&self, id: JobId) -> Option<JobView> {
        let mut state = self.lock();
        let job = state.jobs.get_mut(&id)?;
        let was = job.view.borrow().state;
        if was == JobState::Cancelled {
            return Some(job.view.borrow().clone());
        }
        job.kill = true;
        let is_active = job.active;
        job.view.send_modify(|view| *view = JobView { problem: None, ..JobView::new(id, JobState::Cancelled) });
        let view = job.view.borrow().clone();
        state.queue.retain(|queued| *queued != id);
        state.tell_places();
        state.cancelled.push_back(id);
        if state.cancelled.len() > REMEMBERED
            && let Some(oldest) = state.cancelled.pop_front()
            && state.jobs.get(&oldest).is_some_and(|job| job.view.borrow().state == JobState::Cancelled)
        {
            state.jobs.remove(&oldest);
        }
        // The worker of a running one removes its files when its process is gone.
        if !is_active {
            self.store.remove(id);
        }
        drop(state);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = loaded.iter().position(|(known, _)| *known == id)
            && let Some((_, registry)) = loaded.remove(place)
        {
            retire(registry);
        }
        tracing::info!(job = %id, "the job was cancelled");
        Some(view)
    }

    /// The model of a job that is done, loaded where it is not yet.
    fn model(&self, id: JobId) -> Result<Arc<Registry>, JobError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = loaded.iter().position(|(known, _)| *known == id)
            && let Some(entry) = loaded.remove(place)
        {
            let registry = entry.1.clone();
            loaded.push_back(entry);
            return Ok(registry);
        }
        let (checkpoint, data) = self.store.result(id);
        let registry = (self.load)(&checkpoint, &data).map_err(|error| {
            tracing::error!(job = %id, "its result cannot be loaded: {error}");
            JobError::Unfit(
                "the model that has learned this task cannot be loaded; cancel its job to begin anew".into(),
            )
        })?;
        let registry = Arc::new(registry);
        loaded.push_back((id, registry.clone()));
        if loaded.len() > LOADED
            && let Some((_, oldest)) = loaded.pop_front()
        {
            retire(oldest);
        }
        Ok(registry)
    }
}

impl Job {
    fn new(view: JobView, record: JobRecord) -> Self {
        Self { view: watch::Sender::new(view), record, active: false, kill: false }
    }
}

impl State {
    /// Tells everyone in the queue how many come first.
    fn tell_places(&mut self) {
        for (place, id) in self.queue.iter().enumerate() {
            if let Some(job) = self.jobs.get(id) {
                job.view.send_if_modified(|view| view.ahead.replace(place) != Some(place));
            }
        }
    }
}

/// Whether the model that would be made can answer at all.
fn check(sent: &SentTask, base: Option<&ServedModel>) -> Result<(), JobError> {
    let is_local = |arch: &ArchitectureConfig| arch.mixer() == Mixer::Local;
    let size = |grid: &datasets::arc::Grid| (grid.rows(), grid.columns());
    let same_size = sent.task.train.iter().all(|pair| size(&pair.input) == size(&pair.output));
    if same_size || base.is_some_and(|model| !is_local(&model.card.arch)) {
        return Ok(());
    }
    let problem = "the outputs of this task have another size than its inputs, which the model that would learn it (local \
                   mixing) cannot draw; name another with \"model\"";
    Err(JobError::Unfit(problem.into()))
}
