//! The key-value store where processes find each other, leave their settings, and say why they fail. Owns keys and
//! waiting; never blocks in libtorch for a key, because a failure must be seen meanwhile.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use super::ffi::StoreHandle;
use super::{DistributedError, Environment};

/// How often a key that others set is looked for.
const POLL: Duration = Duration::from_millis(10);
/// How long a process that fails keeps the store that it holds, so that the others read why.
const LINGER: Duration = Duration::from_millis(500);
/// Of all ranks that failed, the first one's reason.
const FAILURE: &str = "failure";

/// A connection to the store of one job.
#[derive(Debug, Clone)]
pub struct Store {
    handle: Arc<StoreHandle>,
    rank: usize,
    address: String,
    holder: &'static str,
    /// Whether the store ends with this rank.
    ends_with_rank: bool,
    /// Keys of one start of the processes.
    prefix: String,
    /// Keys that stay when the launcher starts the processes anew.
    job: String,
    timeout: Duration,
}

impl Store {
    /// A store on this machine at a free port, for a launcher; gives the port.
    ///
    /// # Errors
    /// When the system has no port to listen at.
    pub fn host(run_id: &str, timeout: Duration) -> Result<(Self, u16), DistributedError> {
        let address = "127.0.0.1".to_owned();
        let refused =
            |reason| DistributedError::Store { rank: 0, address: address.clone(), host: "the launcher", reason };
        let (handle, port) = StoreHandle::open(&address, 0, true, milliseconds(timeout)).map_err(refused)?;
        let store = Self {
            handle: Arc::new(handle),
            rank: 0,
            address,
            holder: "the launcher",
            ends_with_rank: false,
            prefix: start_prefix(run_id, 0),
            job: job_prefix(run_id),
            timeout,
        };
        Ok((store, port))
    }

    /// The same for the launcher's `restart_count`th start anew.
    #[must_use]
    pub fn of_start(&self, run_id: &str, restart_count: u64) -> Self {
        Self { prefix: start_prefix(run_id, restart_count), ..self.clone() }
    }

    /// Connects to the store of `environment`, or holds it where that falls to this process.
    ///
    /// # Errors
    /// When no store answers within `timeout`.
    pub fn join(environment: &Environment, timeout: Duration) -> Result<Self, DistributedError> {
        let Environment { rank, master_addr, master_port, run_id, restart_count, .. } = environment;
        let (rank, address) = (*rank, format!("{master_addr}:{master_port}"));
        let hosts = rank == 0 && !environment.agent_holds_store;
        let holder = environment.store_holder();
        let refused = |reason| DistributedError::Store { rank, address: address.clone(), host: holder, reason };
        let (handle, _) =
            StoreHandle::open(master_addr, *master_port, hosts, milliseconds(timeout)).map_err(refused)?;
        Ok(Self {
            handle: Arc::new(handle),
            rank,
            holder,
            ends_with_rank: hosts,
            prefix: start_prefix(run_id, *restart_count),
            job: job_prefix(run_id),
            timeout,
            address,
        })
    }

    /// Sets `key`.
    ///
    /// # Errors
    /// When the store is gone.
    pub fn set(&self, key: &str, value: &str) -> Result<(), DistributedError> {
        self.named(self.handle.set(&self.key(key), value.as_bytes()))
    }

    /// The value of `key`, if it has one.
    ///
    /// # Errors
    /// When the store is gone.
    pub fn get(&self, key: &str) -> Result<Option<String>, DistributedError> {
        let key = self.key(key);
        if !self.named(self.handle.has(&key))? {
            return Ok(None);
        }
        self.named(self.handle.get(&key)).map(|value| Some(text(&value)))
    }

    /// Sets `key` where no rank has done so; gives the value that it has then.
    ///
    /// # Errors
    /// When the store is gone.
    pub fn set_first(&self, key: &str, value: &str) -> Result<String, DistributedError> {
        self.named(self.handle.set_first(&self.key(key), value.as_bytes())).map(|value| text(&value))
    }

    /// As [`set_first`](Self::set_first), for a key that outlives a start anew.
    ///
    /// # Errors
    /// When the store is gone.
    pub fn set_first_of_job(&self, key: &str, value: &str) -> Result<String, DistributedError> {
        self.named(self.handle.set_first(&format!("{}{key}", self.job), value.as_bytes())).map(|value| text(&value))
    }

    /// The value of `key` once another rank has set it; `what` names it in messages.
    ///
    /// # Errors
    /// When a rank fails meanwhile, the store is gone, or the time is over.
    pub fn wait(&self, key: &str, what: &str) -> Result<String, DistributedError> {
        let begin = Instant::now();
        loop {
            if let Some(value) = self.get(key)? {
                return Ok(value);
            }
            if let Some(message) = self.get(FAILURE)? {
                return Err(DistributedError::Failed { message });
            }
            if begin.elapsed() > self.timeout {
                let seconds = self.timeout.as_secs();
                return Err(DistributedError::Late { rank: self.rank, seconds, what: what.to_owned() });
            }
            thread::sleep(POLL);
        }
    }

    /// Says why `rank` fails, so that the others can name it. A store that is gone is not a further failure.
    pub fn post_failure(&self, rank: usize, reason: &str) {
        let (store, message) = (self.clone(), format!("rank {rank} failed: {}", reason.trim_end_matches('.')));
        let _ = within(Duration::from_secs(2), move || store.set_first(FAILURE, &message));
        if self.ends_with_rank {
            thread::sleep(LINGER);
        }
    }

    /// After a collective has failed: the first reason that a rank gave, or those of `size` ranks that give no sign
    /// within `grace`.
    pub(super) fn blame(&self, size: usize, grace: Duration) -> Blame {
        let store = self.clone();
        let found = within(grace + Duration::from_secs(1), move || store.look_for_the_silent(size, grace));
        match found {
            Some(Ok(blame)) => blame,
            // The store has gone or hangs, and with it the rank that holds it.
            Some(Err(_)) | None => Blame::Silent(vec![0]),
        }
    }

    fn look_for_the_silent(&self, size: usize, grace: Duration) -> Result<Blame, DistributedError> {
        self.set(&format!("alive/{}", self.rank), "1")?;
        let begin = Instant::now();
        loop {
            if let Some(message) = self.get(FAILURE)? {
                return Ok(Blame::Failed(message));
            }
            let mut silent = Vec::new();
            for rank in 0..size {
                if rank != self.rank && self.get(&format!("alive/{rank}"))?.is_none() {
                    silent.push(rank);
                }
            }
            if silent.is_empty() || begin.elapsed() > grace {
                return Ok(Blame::Silent(silent));
            }
            thread::sleep(POLL);
        }
    }

    pub(super) fn handle(&self) -> &StoreHandle {
        &self.handle
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn named<T>(&self, result: Result<T, String>) -> Result<T, DistributedError> {
        result.map_err(|reason| DistributedError::Store {
            rank: self.rank,
            address: self.address.clone(),
            host: self.holder,
            reason,
        })
    }
}

/// Who is to blame for a failed collective.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Blame {
    /// A rank that said why.
    Failed(String),
    /// Ranks without a sign; none when all are there.
    Silent(Vec<usize>),
}

/// What `work` gives within `limit`; it goes on in its thread otherwise, until the process ends.
fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(limit).ok()
}

fn job_prefix(run_id: &str) -> String {
    format!("trainer/{run_id}/")
}

fn start_prefix(run_id: &str, restart_count: u64) -> String {
    format!("trainer/{run_id}/{restart_count}/")
}

pub(super) fn milliseconds(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
