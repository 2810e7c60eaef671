//! What can be wrong with a file of `torch.save`. The messages complete a sentence that begins with the file's name.

/// Why a file cannot be read as a state dict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TorchFileError {
    /// The archive around the pickle is broken.
    #[error("is not an intact torch.save file ({problem}); copy or download it again")]
    Archive {
        /// What does not hold.
        problem: String,
    },
    /// The archive is whole, but no archive of `torch.save`.
    #[error(
        "is a zip archive, but not one of torch.save: {problem}; save it with torch.save(model.state_dict(), path)"
    )]
    Layout {
        /// What was found.
        problem: String,
    },
    /// An instruction that no state dict needs.
    #[error(
        "holds a pickle with opcode {code:#04x} at byte {position}, which a state dict has no use for; save it with torch.save(model.state_dict(), path)"
    )]
    Opcode {
        /// The opcode.
        code: u8,
        /// Its position in the pickle.
        position: usize,
    },
    /// The tensors depend on a class or function that no state dict needs: unpickling with Python would run it.
    #[error(
        "has tensors that refer to {name:?} in Python, and only tensors and plain values are read, nothing is executed; save it with torch.save(model.state_dict(), path)"
    )]
    Global {
        /// Module and name, shortened.
        name: String,
    },
    /// The pickle's instructions make no sense.
    #[error("holds a broken pickle: at byte {position}, {problem}; copy or download the file again")]
    Pickle {
        /// What is wrong.
        problem: String,
        /// Position in the pickle.
        position: usize,
    },
    /// More of something than any model has.
    #[error("holds more than {most} {what}; this is not a checkpoint of a tiny model")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is read.
        most: usize,
    },
    /// A tensor that does not lie inside its storage.
    #[error("tensor {name:?} {problem}; the file is damaged or was tampered with")]
    Tensor {
        /// Name in the state dict.
        name: String,
        /// What does not hold.
        problem: String,
    },
    /// There is no state dict, or more than one, or none under the given key.
    #[error("{problem}")]
    StateDict {
        /// What was found, and what to do.
        problem: String,
    },
}

impl TorchFileError {
    pub(super) fn archive(problem: impl Into<String>) -> Self {
        Self::Archive { problem: problem.into() }
    }
}
