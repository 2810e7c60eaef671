//! The ranks as training sees them: alone, everything here does nothing and costs nothing.

use std::rc::Rc;
use std::time::Duration;

use tch::{Device, Kind, Tensor};

use super::{DistributedError, ProcessGroup};

/// The processes that train together, of which there may be one.
#[derive(Debug, Clone, Default)]
pub struct Ranks(Option<Rc<ProcessGroup>>);

/// What one rank asks for and all must do at the same step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// A signal came.
    pub stop: bool,
    /// The step was so slow that it deserves a checkpoint.
    pub slow: bool,
}

impl Ranks {
    /// One process.
    pub fn alone() -> Self {
        Self(None)
    }

    /// The processes of a group.
    pub fn of(group: Rc<ProcessGroup>) -> Self {
        Self(Some(group))
    }

    /// Number of this process.
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |group| group.rank())
    }

    /// Processes.
    pub fn size(&self) -> usize {
        self.0.as_ref().map_or(1, |group| group.size())
    }

    /// The group, where there are several processes.
    pub fn group(&self) -> Option<&ProcessGroup> {
        self.0.as_deref()
    }

    /// Sums `tensor` over the ranks, in place.
    ///
    /// # Errors
    /// When a rank is gone.
    pub fn sum(&self, tensor: &Tensor) -> Result<(), DistributedError> {
        self.group().map_or(Ok(()), |group| group.all_reduce(tensor))
    }

    /// The rows of all ranks in the order of ranks; `tensor` itself where there is one.
    ///
    /// # Errors
    /// When a rank is gone.
    pub fn gather_rows(&self, tensor: &Tensor) -> Result<Tensor, DistributedError> {
        match self.group() {
            None => Ok(tensor.shallow_clone()),
            Some(group) => Ok(Tensor::cat(&group.all_gather(&tensor.contiguous())?, 0)),
        }
    }

    /// The numbers of every rank, in the order of ranks.
    ///
    /// # Errors
    /// When a rank is gone.
    pub fn gather_numbers(&self, numbers: &[f64]) -> Result<Vec<Vec<f64>>, DistributedError> {
        let Some(group) = self.group() else { return Ok(vec![numbers.to_vec()]) };
        let all = group.all_gather(&Tensor::from_slice(numbers))?;
        Ok(all
            .iter()
            .map(|tensor| {
                let mut values = vec![0.0; numbers.len()];
                tensor.copy_data(&mut values, numbers.len());
                values
            })
            .collect())
    }

    /// Whether any rank says so.
    ///
    /// # Errors
    /// When a rank is gone.
    pub fn any(&self, says: bool) -> Result<bool, DistributedError> {
        if self.group().is_none() {
            return Ok(says);
        }
        Ok(self.gather_numbers(&[f64::from(u8::from(says))])?.iter().any(|numbers| numbers[0] > 0.0))
    }

    /// Replaces `tensor` on every rank by rank 0's.
    ///
    /// # Errors
    /// When a rank is gone.
    pub fn take_from_first(&self, tensor: &Tensor) -> Result<(), DistributedError> {
        self.group().map_or(Ok(()), |group| group.broadcast(tensor, 0))
    }

    /// Bytes of rank 0 on every rank.
    ///
    /// # Errors
    /// When a rank is gone.
    pub fn bytes_from_first(&self, bytes: Vec<u8>) -> Result<Vec<u8>, DistributedError> {
        let Some(group) = self.group() else { return Ok(bytes) };
        let length = Tensor::from_slice(&[bytes.len() as i64]);
        group.broadcast(&length, 0)?;
        let count = length.int64_value(&[0]).max(0);
        let tensor = if group.rank() == 0 {
            Tensor::from_slice(&bytes)
        } else {
            Tensor::zeros([count], (Kind::Uint8, Device::Cpu))
        };
        group.broadcast(&tensor, 0)?;
        let mut bytes = vec![0; count as usize];
        tensor.copy_data(&mut bytes, count as usize);
        Ok(bytes)
    }

    /// On rank 0: the bytes of all other ranks, in the order of ranks. Elsewhere nothing.
    ///
    /// # Errors
    /// When a rank is gone.
    pub fn bytes_to_first(&self, bytes: impl FnOnce() -> Vec<u8>) -> Result<Vec<Vec<u8>>, DistributedError> {
        match self.group() {
            None => Ok(Vec::new()),
            Some(group) if group.rank() == 0 => (1..group.size()).map(|rank| group.receive(rank)).collect(),
            Some(group) => group.send(&bytes(), 0).map(|()| Vec::new()),
        }
    }

    /// Hands `shares[rank]` of rank 0 to each rank.
    ///
    /// # Errors
    /// When a rank is gone.
    pub fn share_from_first(&self, mut shares: Vec<Vec<u8>>) -> Result<Vec<u8>, DistributedError> {
        match self.group() {
            Some(group) if group.rank() > 0 => group.receive(0),
            group => {
                for (rank, share) in shares.iter().enumerate().skip(1) {
                    if let Some(group) = group {
                        group.send(share, rank)?;
                    }
                }
                Ok(if shares.is_empty() { Vec::new() } else { shares.swap_remove(0) })
            }
        }
    }

    /// Time in collectives since the last call; `None` alone.
    pub fn take_time(&self) -> Option<Duration> {
        self.group().map(ProcessGroup::take_time)
    }
}
