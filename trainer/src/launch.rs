//! `trainer launch`: several ranks on one machine, with the environment that `torchrun` gives them. Owns starting, watching
//! and ending the ranks, and the store where they meet; leaves training and blame to the ranks.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::distributed::{DistributedError, Store};
use crate::stopping::INTERRUPTED;
use crate::study::FOLLOWS_STUDY;

const POLL: Duration = Duration::from_millis(20);
/// How long the other ranks may take to name the one that failed, before they are killed.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// How long ranks may take to stop: a little longer than each of them allows itself.
const AFTER_STOP: Duration = Duration::from_secs(20);
/// For operations on the store, which is in this process.
const STORE_TIMEOUT: Duration = Duration::from_mins(1);

/// Ranks to start.
#[derive(Debug, Clone)]
pub struct Launch {
    /// How many.
    pub nproc: usize,
    /// How often all of them are started anew after one has failed.
    pub max_restarts: u64,
    /// The program.
    pub program: PathBuf,
    /// Its arguments, the same for every rank.
    pub arguments: Vec<String>,
}

/// How ranks came to their end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// All steps are done.
    Finished,
    /// Asked to stop; the run can be resumed.
    Interrupted,
}

/// Why ranks could not be led to their end.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The system refused.
    #[error("cannot start rank {rank}: {source}")]
    Start {
        /// The rank.
        rank: usize,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The store where ranks meet.
    #[error(transparent)]
    Store(#[from] DistributedError),
    /// A rank failed, and no start anew is left.
    #[error("rank {rank} {how}; all ranks have ended. The last checkpoint is intact; go on with resume=RUN")]
    Rank {
        /// The first rank that failed.
        rank: usize,
        /// `was killed by signal 9`, `ended with status 1 …`.
        how: String,
    },
}

impl Launch {
    /// Runs the ranks to their end; `stop` ends them with a checkpoint, and `notes` are for a person.
    ///
    /// # Errors
    /// Naming the rank that failed, once all have ended.
    pub fn run(&self, stop: &AtomicBool, mut notes: impl FnMut(&str)) -> Result<Ended, LaunchError> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
        let run_id = format!("{}-{since}", std::process::id());
        let (store, port) = Store::host(&run_id, STORE_TIMEOUT)?;
        let mut restarts = 0;
        loop {
            let store = store.of_start(&run_id, restarts);
            let mut ranks = Running::start(self, &run_id, port, restarts)?;
            let (rank, how) = match ranks.watch(stop, &store) {
                Ok(ended) => return Ok(ended),
                Err(failure) => failure,
            };
            drop(ranks);
            if restarts == self.max_restarts || stop.load(Ordering::Relaxed) {
                return Err(LaunchError::Rank { rank, how });
            }
            restarts += 1;
            notes(&format!(
                "rank {rank} {how}; starting all ranks anew from the last checkpoint ({restarts} of {})",
                self.max_restarts
            ));
        }
    }

    fn command(&self, rank: usize, run_id: &str, port: u16, restarts: u64) -> Command {
        let mut command = Command::new(&self.program);
        let size = self.nproc.to_string();
        command.args(&self.arguments).env("RANK", rank.to_string()).env("LOCAL_RANK", rank.to_string());
        command.env("WORLD_SIZE", &size).env("LOCAL_WORLD_SIZE", size).env("GROUP_RANK", "0");
        command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
        command.env("TORCHELASTIC_RUN_ID", run_id).env("TORCHELASTIC_USE_AGENT_STORE", "True");
        command.env("TORCHELASTIC_RESTART_COUNT", restarts.to_string());
        command.env("TORCHELASTIC_MAX_RESTARTS", self.max_restarts.to_string());
        // A rank stops when its standard input ends: also when this process is killed.
        command.env(FOLLOWS_STUDY, "1").stdin(Stdio::piped());
        // Ctrl-C in the terminal reaches this process alone, which passes it on.
        command.process_group(0);
        command
    }
}

/// Ranks that were started; killed when dropped.
struct Running(Vec<Child>);

impl Running {
    fn start(launch: &Launch, run_id: &str, port: u16, restarts: u64) -> Result<Self, LaunchError> {
        let mut ranks = Self(Vec::new());
        for rank in 0..launch.nproc {
            let child = launch.command(rank, run_id, port, restarts).spawn();
            ranks.0.push(child.map_err(|source| LaunchError::Start { rank, source })?);
        }
        Ok(ranks)
    }

    /// Waits for all ranks; gives the first that failed, and how, once the others have ended, too.
    fn watch(&mut self, stop: &AtomicBool, store: &Store) -> Result<Ended, (usize, String)> {
        let mut failed: Option<(usize, String)> = None;
        let mut deadline = None;
        let mut stopping = false;
        let mut interrupted = false;
        let mut open: Vec<usize> = (0..self.0.len()).collect();
        while !open.is_empty() {
            open.retain(|&rank| {
                let status = match self.0[rank].try_wait() {
                    Ok(None) => return true,
                    Ok(Some(status)) => status,
                    // It was not ours to wait for: nothing more will be heard of it.
                    Err(_) => ExitStatus::from_raw(256),
                };
                if status.code() == Some(i32::from(INTERRUPTED)) {
                    interrupted = true;
                } else if !status.success() && failed.is_none() {
                    let how = how(status);
                    store.post_failure(rank, &how);
                    failed = Some((rank, how));
                    deadline = Some(Instant::now() + AFTER_FAILURE);
                }
                false
            });
            if stop.load(Ordering::Relaxed) && !stopping {
                stopping = true;
                self.0.iter_mut().for_each(|rank| drop(rank.stdin.take()));
                deadline.get_or_insert(Instant::now() + AFTER_STOP);
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                for &rank in &open {
                    // It may have ended by now.
                    let _ = self.0[rank].kill();
                }
            }
            thread::sleep(POLL);
        }
        match failed {
            Some(failure) => Err(failure),
            None if interrupted => Ok(Ended::Interrupted),
            None => Ok(Ended::Finished),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for rank in &mut self.0 {
            // Those that have ended are not there to be killed.
            let _ = rank.kill();
            let _ = rank.wait();
        }
    }
}

/// How a rank failed, in words.
fn how(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (None, Some(code)) => format!("ended with status {code}, see its message above"),
        (None, None) => "ended".to_owned(),
    }
}
