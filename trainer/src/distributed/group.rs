//! Collectives between the ranks: each blocks until all ranks have called it alike, or names who has not. Tensors must be
//! contiguous and of one size on all ranks; that is checked here and at the start of a run, because c10d ends the process
//! where sizes differ.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use super::ffi::GroupHandle;
use super::store::{Blame, milliseconds};
use super::{DistributedError, Environment, Store};

/// How long the other ranks may take to show that they are alive once a collective has failed.
const GRACE: Duration = Duration::from_secs(4);

/// The processes that train together.
#[derive(Debug)]
pub struct ProcessGroup {
    group: GroupHandle,
    store: Store,
    rank: usize,
    size: usize,
    spent: Cell<Duration>,
}

impl ProcessGroup {
    /// Meets the other ranks; collectives of CPU tensors run over Gloo, those of CUDA tensors over NCCL. No collective may
    /// take longer than `timeout`.
    ///
    /// # Errors
    /// When a rank does not come, or the program was built without NCCL.
    pub fn connect(
        environment: &Environment,
        store: Store,
        device: Device,
        timeout: Duration,
    ) -> Result<Self, DistributedError> {
        let Environment { rank, world_size, master_addr, .. } = environment;
        let (rank, size) = (*rank, *world_size);
        // Ranks on one machine meet at the loopback interface: the machine's name may lead nowhere.
        let is_local = master_addr == "localhost" || master_addr.starts_with("127.");
        let address = is_local.then_some("127.0.0.1").filter(|_| std::env::var_os("GLOO_SOCKET_IFNAME").is_none());
        let cuda = matches!(device, Device::Cuda(_));
        let timeout = milliseconds(timeout);
        let group = GroupHandle::open(store.handle(), store.prefix(), (rank, size), timeout, address, cuda);
        let group = group.map_err(|reason| blame(&store, (rank, size), "the first connection", reason))?;
        Ok(Self { group, store, rank, size, spent: Cell::default() })
    }

    /// Number of this process.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Processes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Where failures are posted.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Time in collectives since the last call, waiting for slower ranks included.
    pub fn take_time(&self) -> Duration {
        self.spent.take()
    }

    /// Replaces the values of `tensor` by those of rank `root`.
    ///
    /// # Errors
    /// Naming the rank that is gone, hangs, or has failed; likewise in every other collective.
    pub fn broadcast(&self, tensor: &Tensor, root: usize) -> Result<(), DistributedError> {
        self.collective("a broadcast", &[tensor], || self.group.broadcast(tensor, root))
    }

    /// Replaces the values of `tensor` by their sums over all ranks, which are the same to the bit on each.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn all_reduce(&self, tensor: &Tensor) -> Result<(), DistributedError> {
        self.collective("the sum of gradients", &[tensor], || self.group.all_reduce(tensor))
    }

    /// The tensors of all ranks, in the order of ranks.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn all_gather(&self, tensor: &Tensor) -> Result<Vec<Tensor>, DistributedError> {
        let outputs: Vec<Tensor> = (0..self.size).map(|_| tensor.empty_like()).collect();
        self.collective("a gathering", &[tensor], || self.group.all_gather(tensor, &outputs))?;
        Ok(outputs)
    }

    /// Waits until every rank is here.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn barrier(&self) -> Result<(), DistributedError> {
        self.collective("a barrier", &[], || self.group.barrier())
    }

    /// Hands bytes to rank `to`, which [receives](Self::receive) them.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn send(&self, bytes: &[u8], to: usize) -> Result<(), DistributedError> {
        let length = Tensor::from_slice(&[bytes.len() as i64]);
        self.collective("sending", &[], || {
            self.group.send(&length, to)?;
            if bytes.is_empty() { Ok(()) } else { self.group.send(&Tensor::from_slice(bytes), to) }
        })
    }

    /// Bytes that rank `from` sends.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn receive(&self, from: usize) -> Result<Vec<u8>, DistributedError> {
        let length = Tensor::zeros([1], (Kind::Int64, Device::Cpu));
        self.collective("receiving", &[], || self.group.receive(&length, from))?;
        let mut bytes = vec![0; length.int64_value(&[0]).max(0) as usize];
        if !bytes.is_empty() {
            let tensor = Tensor::zeros([bytes.len() as i64], (Kind::Uint8, Device::Cpu));
            self.collective("receiving", &[], || self.group.receive(&tensor, from))?;
            let count = bytes.len();
            tensor.copy_data(&mut bytes, count);
        }
        Ok(bytes)
    }

    /// Runs `call`, timed; a failure is looked into.
    fn collective(
        &self,
        operation: &'static str,
        tensors: &[&Tensor],
        call: impl FnOnce() -> Result<(), String>,
    ) -> Result<(), DistributedError> {
        if tensors.iter().any(|tensor| !tensor.is_contiguous()) {
            let reason = "the tensor is not contiguous".to_owned();
            return Err(DistributedError::Collective { rank: self.rank, operation, reason });
        }
        let begin = Instant::now();
        let result = call();
        self.spent.set(self.spent.get() + begin.elapsed());
        result.map_err(|reason| blame(&self.store, (self.rank, self.size), operation, reason))
    }
}

/// Says who is to blame for a failed operation.
fn blame(store: &Store, (rank, size): (usize, usize), operation: &'static str, reason: String) -> DistributedError {
    match store.blame(size, GRACE) {
        Blame::Failed(message) => DistributedError::Failed { message },
        Blame::Silent(ranks) if ranks.is_empty() || ranks == [rank] => {
            DistributedError::Collective { rank, operation, reason }
        }
        Blame::Silent(ranks) => DistributedError::Silent { ranks: named(&ranks), operation, reason },
    }
}

/// `rank 1`, `ranks 1 and 3`, `ranks 1, 2 and 3`.
fn named(ranks: &[usize]) -> String {
    let texts: Vec<String> = ranks.iter().map(usize::to_string).collect();
    match texts.as_slice() {
        [rank] => format!("rank {rank}"),
        [first @ .., last] => format!("ranks {} and {last}", first.join(", ")),
        [] => "no rank".to_owned(),
    }
}
