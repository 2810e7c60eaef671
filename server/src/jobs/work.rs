//! What the threads of the jobs do: take the next job, watch its process, answer the task with the result.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::process::{End, Plan, Working, last_line};
use super::store::JobRecord;
use super::{Inner, JobId, JobState, JobView};
use crate::http::answer_alone;

/// Between two looks at a process.
const POLL: Duration = Duration::from_millis(50);
/// Between two looks at its progress.
const LOOK: Duration = Duration::from_millis(500);
/// How long a process may take to save.
const GRACE: Duration = Duration::from_secs(10);

/// Why a job has no answer.
enum Failure {
    /// For clients.
    Problem(String),
    /// The server ends; the next one goes on.
    Interrupted,
    /// Somebody has cancelled it.
    Cancelled,
}

impl Inner {
    /// Works until the jobs are dropped.
    pub(super) fn work(&self) {
        while let Some((id, record)) = self.take() {
            let result = self.run(id, &record);
            self.finish(id, result);
        }
    }

    /// Waits for the next job; `None` at the end.
    fn take(&self) -> Option<(JobId, JobRecord)> {
        let mut state = self.lock();
        loop {
            if state.ends {
                return None;
            }
            if let Some(id) = state.queue.pop_front() {
                state.tell_places();
                let Some(job) = state.jobs.get_mut(&id) else { continue };
                job.active = true;
                job.view.send_modify(|view| (view.state, view.ahead) = (JobState::Running, None));
                let record = job.record.clone();
                state.working += 1;
                return Some((id, record));
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run(&self, id: JobId, record: &JobRecord) -> Result<serde_json::Value, Failure> {
        let (task, adapted, log) = (self.store.task_path(id), self.store.adapted(id), self.store.log(id));
        let options = &self.options;
        let plan = Plan {
            trainer: &options.trainer,
            record,
            task: &task,
            adapted: &adapted,
            log: &log,
            cores: &options.cores,
            jobs: options.jobs,
        };
        let broken = |error: std::io::Error| {
            tracing::error!(job = %id, "the trainer cannot be run: {error}");
            Failure::Problem("the trainer cannot be run; the server's log says why".into())
        };
        let mut working = Working::start(&plan).map_err(broken)?;
        let mut looked = Instant::now();
        let mut asked: Option<Instant> = None;
        let end = loop {
            if let Some(end) = working.poll().map_err(broken)? {
                break end;
            }
            if self.is_cancelled(id) {
                return Err(Failure::Cancelled);
            }
            match asked {
                None if self.lock().ends => {
                    working.ask_to_stop();
                    asked = Some(Instant::now());
                }
                Some(since) if since.elapsed() > GRACE => return Err(Failure::Interrupted),
                _ => {}
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.look(id);
            }
            std::thread::sleep(POLL);
        };
        self.look(id);
        match end {
            End::Finished => self.answer(id),
            End::Interrupted => Err(Failure::Interrupted),
            End::Failed(_) if self.is_cancelled(id) => Err(Failure::Cancelled),
            End::Failed(status) => {
                tracing::error!(job = %id, "the trainer failed ({status}): {}", last_line(&log));
                Err(Failure::Problem(format!("the trainer failed ({status}); the server's log says why")))
            }
        }
    }

    /// Asks the result about the task that was sent.
    fn answer(&self, id: JobId) -> Result<serde_json::Value, Failure> {
        let failed = |error: String| {
            tracing::error!(job = %id, "the task was learned, but not answered: {error}");
            Failure::Problem("the task was learned, but not answered; the server's log says why".into())
        };
        let sent = self.store.task(id).ok_or_else(|| failed("its file is gone".into()))?;
        let registry = self.model(id).map_err(|error| failed(error.to_string()))?;
        let answer = self.runtime.block_on(answer_alone(&registry, sent)).map_err(|error| failed(error.to_string()))?;
        if self.is_cancelled(id) {
            return Err(Failure::Cancelled);
        }
        self.store.write_answer(id, &answer).map_err(|error| failed(error.to_string()))?;
        self.store.tidy(id);
        Ok(answer)
    }

    fn is_cancelled(&self, id: JobId) -> bool {
        self.lock().jobs.get(&id).is_none_or(|job| job.kill)
    }

    /// Publishes the progress of the process to its watchers.
    fn look(&self, id: JobId) {
        let Some(progress) = self.store.progress(id) else { return };
        let state = self.lock();
        let Some(job) = state.jobs.get(&id).filter(|job| !job.kill) else { return };
        job.view.send_if_modified(|view| {
            let before = (view.step, view.steps, view.eta_seconds);
            view.step = progress.step;
            view.steps = progress.steps;
            view.elapsed_seconds = progress.elapsed_seconds;
            view.eta_seconds = progress.eta_seconds;
            before != (view.step, view.steps, view.eta_seconds)
        });
    }

    fn finish(&self, id: JobId, result: Result<serde_json::Value, Failure>) {
        let cancelled = matches!(result, Err(Failure::Cancelled)) || self.is_cancelled(id);
        if cancelled {
            self.store.remove(id);
        }
        if let (Err(Failure::Problem(problem)), false) = (&result, cancelled)
            && let Err(error) = self.store.write_problem(id, problem)
        {
            tracing::error!(job = %id, "{error}");
        }
        let mut state = self.lock();
        state.working -= 1;
        let ends = state.ends;
        if let Some(job) = state.jobs.get_mut(&id) {
            job.active = false;
        }
        if let Some(job) = state.jobs.get_mut(&id).filter(|_| !cancelled) {
            match result {
                Ok(answer) => {
                    tracing::info!(job = %id, "the task was learned and answered");
                    job.view.send_modify(|view| {
                        view.state = JobState::Done;
                        view.eta_seconds = None;
                        view.answer = Some(answer);
                    });
                }
                Err(Failure::Problem(problem)) => job.view.send_modify(|view| {
                    view.state = JobState::Failed;
                    view.eta_seconds = None;
                    view.problem = Some(problem);
                }),
                Err(_) if !ends => job.view.send_modify(|view| {
                    view.state = JobState::Failed;
                    view.problem = Some("the trainer was stopped; send the task again".into());
                }),
                // The next server goes on with it.
                Err(Failure::Interrupted | Failure::Cancelled) => job.view.send_modify(|view| {
                    *view = JobView { step: view.step, steps: view.steps, ..JobView::new(id, JobState::Queued) };
                }),
            }
        }
        drop(state);
        self.wake.notify_all();
    }
}
