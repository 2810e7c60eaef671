//! What can go wrong between processes. Every message names a rank.

/// Why processes cannot train together, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DistributedError {
    /// The launcher's environment is incomplete or impossible.
    #[error("{variable}: {problem}")]
    Environment {
        /// The variable.
        variable: &'static str,
        /// What was found and what was expected.
        problem: String,
    },
    /// The store, where processes find each other, cannot be reached or has gone.
    #[error("rank {rank} cannot reach the store at {address}, which {host} holds: {reason}")]
    Store {
        /// This process.
        rank: usize,
        /// Host and port.
        address: String,
        /// Who holds the store.
        host: &'static str,
        /// libtorch's words.
        reason: String,
    },
    /// Processes were not started alike.
    #[error("rank {rank} was started otherwise than rank {other}: {problem}; start every rank with the same command")]
    Different {
        /// The process that differs.
        rank: usize,
        /// The one that it is compared to.
        other: usize,
        /// What differs, with both values.
        problem: String,
    },
    /// Other ranks did not come to a point that this one has reached.
    #[error("rank {rank} waited {seconds} seconds for {what} and gave up; look at the other ranks' output")]
    Late {
        /// This process.
        rank: usize,
        /// How long.
        seconds: u64,
        /// What it waited for.
        what: String,
    },
    /// A rank said why it failed.
    #[error("{message}. The last checkpoint is intact")]
    Failed {
        /// `rank 1 failed: …`.
        message: String,
    },
    /// Ranks are gone, hang, or are cut off.
    #[error(
        "{ranks} ended, hangs or cannot be reached: no answer after {operation} failed ({reason}). The last checkpoint is intact; go on with resume=RUN"
    )]
    Silent {
        /// Who did not answer: `rank 1`, `ranks 1 and 3`.
        ranks: String,
        /// The collective that failed.
        operation: &'static str,
        /// libtorch's words.
        reason: String,
    },
    /// A collective failed although all ranks are there.
    #[error("rank {rank}: {operation} failed: {reason}")]
    Collective {
        /// This process.
        rank: usize,
        /// The collective.
        operation: &'static str,
        /// libtorch's words.
        reason: String,
    },
}

impl DistributedError {
    /// Whether the fault lies with another process, which says so itself.
    pub(crate) fn is_of_others(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Silent { .. } | Self::Late { .. })
    }
}
