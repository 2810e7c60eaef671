//! The process of a job: `trainer adapt` behind everything else that the machine does, on cores that do not answer where
//! there are such. Owns its command, its place in the system and its end.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::Pid;

use super::store::JobRecord;

/// The trainer ends when its standard input does: it follows a server that is killed.
const FOLLOWS: &str = "TRAINER_FOLLOWS_STUDY";
/// Exit status of a trainer that was asked to stop and can go on.
const INTERRUPTED: i32 = 130;
/// The least urgent priority.
const NICE: i32 = 19;
/// Characters of a message that are kept.
const MOST_MESSAGE: usize = 400;

/// Where jobs compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cores {
    /// Processors that a job is held to; none: any, one thread, after everything else that wants to run.
    pub processors: Vec<usize>,
    /// How far a job steps back behind other processes, 0 to 19.
    pub nice: i32,
}

impl Cores {
    /// Those that `answering` threads leave over of the processors that this process may use; none where their number is
    /// not given (0).
    pub fn beside(answering: usize) -> Self {
        let mut processors = available();
        let over = processors.len().saturating_sub(answering);
        processors.reverse();
        processors.truncate(if answering == 0 { 0 } else { over });
        Self { processors, nice: NICE }
    }

    /// Threads of each of `jobs` jobs.
    fn threads(&self, jobs: usize) -> usize {
        (self.processors.len() / jobs.max(1)).max(1)
    }
}

#[cfg(target_os = "linux")]
fn available() -> Vec<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::MAX_CPU).filter(|&processor| set.is_set(processor)).collect()
}

/// Other systems have no such interface.
#[cfg(not(target_os = "linux"))]
fn available() -> Vec<usize> {
    Vec::new()
}

/// What a job's process is made of.
pub(super) struct Plan<'a> {
    pub(super) trainer: &'a Path,
    pub(super) record: &'a JobRecord,
    pub(super) task: &'a Path,
    pub(super) adapted: &'a Path,
    pub(super) log: &'a Path,
    pub(super) cores: &'a Cores,
    pub(super) jobs: usize,
}

/// A process under way. Dropping it kills it.
pub(super) struct Working {
    child: Child,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Finished,
    Interrupted,
    Failed(ExitStatus),
}

impl Working {
    pub(super) fn start(plan: &Plan<'_>) -> io::Result<Self> {
        let threads = plan.cores.threads(plan.jobs).to_string();
        let mut command = Command::new(plan.trainer);
        command.arg("adapt");
        match &plan.record.base {
            Some(base) => command.arg("--checkpoint").arg(base),
            None => command.arg("--scratch"),
        };
        command.arg("--tasks").arg(plan.task).arg("--output").arg(plan.adapted);
        command.args(["--minutes", &plan.record.minutes.to_string(), &format!("threads={threads}")]);
        command.args(&plan.record.settings);
        command.env(FOLLOWS, "1").env("OMP_NUM_THREADS", &threads);
        let log = File::options().create(true).append(true).open(plan.log)?;
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        // Ctrl-C in the terminal reaches the server alone, whose end the trainer sees.
        command.process_group(0);
        let child = command.spawn()?;
        step_aside(Pid::from_child(&child), plan.cores);
        Ok(Self { child })
    }

    /// Closes its standard input, on which it saves and ends.
    pub(super) fn ask_to_stop(&mut self) {
        drop(self.child.stdin.take());
    }

    /// How it ended, once it has.
    pub(super) fn poll(&mut self) -> io::Result<Option<End>> {
        Ok(self.child.try_wait()?.map(|status| match status.code() {
            Some(0) => End::Finished,
            Some(INTERRUPTED) => End::Interrupted,
            _ => End::Failed(status),
        }))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts a process that has just begun behind all others. Its threads, which come later, inherit both.
fn step_aside(process: Pid, cores: &Cores) {
    if let Err(error) = rustix::process::setpriority_process(Some(process), cores.nice) {
        tracing::warn!("a job keeps the server's priority: {error}");
    }
    hold_to(process, cores);
}

#[cfg(target_os = "linux")]
fn hold_to(process: Pid, cores: &Cores) {
    use rustix::thread::{CpuSet, sched_setaffinity};
    if cores.processors.is_empty() {
        return;
    }
    let mut set = CpuSet::new();
    cores.processors.iter().for_each(|&processor| set.set(processor));
    if let Err(error) = sched_setaffinity(Some(process), &set) {
        tracing::warn!("a job may run on every processor: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
fn hold_to(_process: Pid, _cores: &Cores) {}

/// The last line that a process has written.
pub(super) fn last_line(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    last.chars().take(MOST_MESSAGE).collect()
}
